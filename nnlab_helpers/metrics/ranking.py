"""A score for each sample, and every threshold at once: ROC and precision-recall curves and their areas.

Thin over scikit-learn, imported at the first call, and not over torchmetrics: that sends scores outside [0, 1] through
a sigmoid first, where confident logits round to one and the same number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nnlab_helpers.metrics.checks import tensor_of


class RocCurve(NamedTuple):
    """False and true positive rates, from (0, 0) to (1, 1), and the falling thresholds, all `[T + 1]` on the CPU.

    A sample counts as positive when its score reaches the threshold; the first threshold is infinite, the others are
    the scores that occur. They are floats, also where the scores were whole numbers.
    """

    false_positive_rate: Tensor
    true_positive_rate: Tensor
    thresholds: Tensor


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall at each score that occurs, and these falling thresholds, all `[T]` on the CPU.

    A sample counts as positive when its score reaches the threshold.
    """

    precision: Tensor
    recall: Tensor
    thresholds: Tensor


def roc_curve(scores: Tensor, labels: Tensor) -> RocCurve:
    """Share of negatives that are called positive against share of positives that are, at every threshold.

    Source: Fawcett (2006), "An introduction to ROC analysis".

    Args:
        scores: any real numbers `[N]`, infinite ones too; higher means "rather positive".
        labels: `[N]`, true or 1 for positive, false or 0 for negative.

    Raises:
        ValueError: shapes differ, labels are not 0 and 1, a score is NaN, or one of the two classes does not occur.
        TypeError: scores are no real numbers (truth values, say).

    Example:
        >>> roc_curve(torch.tensor([0.9, 0.6, 0.2]), torch.tensor([1, 0, 1])).true_positive_rate
        tensor([0.0000, 0.5000, 0.5000, 1.0000], dtype=torch.float64)
    """
    truth, ranks, values = _checked(scores, labels)
    if truth.all() or not truth.any():
        raise ValueError("an ROC curve needs positives and negatives: only one of them occurs in the labels")
    from sklearn import metrics

    false, true, thresholds = metrics.roc_curve(truth, ranks, drop_intermediate=False)
    beyond = values.new_full((1,), torch.inf)
    return RocCurve(_tensor(false), _tensor(true), torch.cat([beyond, values[_tensor(thresholds[1:]).long()]]))


def precision_recall_curve(scores: Tensor, labels: Tensor) -> PrecisionRecallCurve:
    """Precision against recall at every threshold, from the highest score to the lowest.

    Args:
        scores: any real numbers `[N]`, infinite ones too; higher means "rather positive".
        labels: `[N]`, true or 1 for positive, false or 0 for negative.

    Raises:
        ValueError: shapes differ, labels are not 0 and 1, a score is NaN, or there is no positive.
    """
    truth, ranks, values = _checked(scores, labels)
    if not truth.any():
        raise ValueError("recall needs positives: none occurs in the labels")
    from sklearn import metrics

    precision, recall, thresholds = metrics.precision_recall_curve(truth, ranks)
    # Theirs go from the lowest score to the highest, and end in a point (1, 0) that belongs to no score.
    falling = values[_tensor(thresholds[::-1]).long()]
    return PrecisionRecallCurve(_tensor(precision[-2::-1]), _tensor(recall[-2::-1]), falling)


def auroc(scores: Tensor, labels: Tensor) -> float:
    """Area under the ROC curve: the chance that a random positive scores above a random negative, ties half.

    Source: Hanley, McNeil (1982), "The meaning and use of the area under a receiver operating characteristic curve".

    Raises:
        ValueError: as `roc_curve`.
    """
    curve = roc_curve(scores, labels)
    return float(torch.trapezoid(curve.true_positive_rate, curve.false_positive_rate))


def average_precision(scores: Tensor, labels: Tensor) -> float:
    """Mean of the precision over the recall gained: the area under the precision-recall curve, taken in steps.

    In steps, because a straight line between two points of that curve promises precision that no threshold has
    (Davis, Goadrich, 2006, "The relationship between precision-recall and ROC curves").

    Raises:
        ValueError: as `precision_recall_curve`.
    """
    curve = precision_recall_curve(scores, labels)
    gained = torch.diff(curve.recall, prepend=curve.recall.new_zeros(1))
    return float((curve.precision * gained).sum())


def _checked(scores: Tensor, labels: Tensor) -> tuple[np.ndarray, np.ndarray, Tensor]:
    """Which samples are positive (bool `[N]`), the rank of each score `[N]`, and the scores in rising order `[R]`.

    The curves depend on the order of the scores alone, so scikit-learn gets their ranks: infinite scores have one, and
    scores that are nearly alike are not tied.
    """
    scores, labels = tensor_of("scores", scores), tensor_of("labels", labels)
    if scores.ndim != 1 or scores.shape != labels.shape or not len(scores):
        raise ValueError(
            f"expected scores [N] and labels [N] with N > 0, got {list(scores.shape)} and {list(labels.shape)}"
        )
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("labels must be 0 (negative) and 1 (positive): for one class of many pass labels == class")
    if scores.dtype == torch.bool or scores.is_complex():
        raise TypeError(f"scores must be real numbers, got {scores.dtype}")
    if scores.isnan().any():
        raise ValueError("a score is NaN: it stands neither above nor below a threshold")
    values, ranks = torch.unique(scores.cpu(), return_inverse=True)
    floats = values if values.is_floating_point() else values.double()
    return labels.cpu().bool().numpy(), ranks.numpy(), floats


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.copy())  # a tensor cannot go backwards through memory, as a reversed array does
