"""Whether a monitored number should fall or rise, told from its name."""

from __future__ import annotations

import re

FALLS = {
    "loss", "losses", "error", "errors", "err", "mse", "mae", "rmse", "mape", "nll", "bce", "ce", "kl", "fid",
    "lpips", "ece", "mce", "brier", "wer", "cer", "perplexity", "ppl", "cost", "regret", "distance", "divergence",
    "deviation", "fpr", "fnr", "eer",
}  # fmt: skip
RISES = {
    "accuracy", "acc", "f1", "fbeta", "auc", "auroc", "auprc", "ap", "map", "precision", "recall", "sensitivity",
    "specificity", "tpr", "tnr", "psnr", "ssim", "iou", "miou", "jaccard", "dice", "r2", "mcc", "kappa", "bleu",
    "rouge", "elbo", "top1", "top3", "top5", "correct",
}  # fmt: skip


def direction(monitor: str) -> str:
    """Return "min" where less of `monitor` is better, "max" where more is, by the last word of its name that tells.

    Raises:
        ValueError: no word of the name tells.

    Example:
        >>> direction("val_loss"), direction("val_f1_macro"), direction("train_f1_loss")
        ('min', 'max', 'min')
    """
    for word in reversed(re.split(r"[^a-z0-9]+", monitor.lower())):
        if word in FALLS or word in RISES:
            return "min" if word in FALLS else "max"
    raise ValueError(f'is more or less of {monitor!r} better? Its name does not tell: pass mode="max" or mode="min"')
