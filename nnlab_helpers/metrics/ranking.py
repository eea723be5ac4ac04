"""A score for each sample, and every threshold at once: ROC and precision-recall curves and their areas.

These few lines are held against torchmetrics and scikit-learn in the tests and not passed on to torchmetrics: that
sends scores outside [0, 1] through a sigmoid first, where confident logits round to one and the same number.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class RocCurve(NamedTuple):
    """False and true positive rates `[T + 1]` (float64), from (0, 0) to (1, 1), and the falling thresholds `[T + 1]`.

    A sample counts as positive when its score reaches the threshold; the first threshold is infinite, the others are
    the scores that occur.
    """

    false_positive_rate: Tensor
    true_positive_rate: Tensor
    thresholds: Tensor


class PrecisionRecallCurve(NamedTuple):
    """Precision and recall (float64) at each score that occurs, and these falling thresholds, all `[T]`.

    A sample counts as positive when its score reaches the threshold.
    """

    precision: Tensor
    recall: Tensor
    thresholds: Tensor


def roc_curve(scores: Tensor, labels: Tensor) -> RocCurve:
    """Share of negatives that are called positive against share of positives that are, at every threshold.

    Source: Fawcett (2006), "An introduction to ROC analysis".

    Args:
        scores: any real numbers `[N]`; higher means "rather positive".
        labels: `[N]`, true or 1 for positive, false or 0 for negative.

    Raises:
        ValueError: shapes differ, labels are not 0 and 1, a score is NaN, or one of the two classes does not occur.

    Example:
        >>> roc_curve(torch.tensor([0.9, 0.6, 0.2]), torch.tensor([1, 0, 1])).true_positive_rate
        tensor([0.0000, 0.5000, 0.5000, 1.0000], dtype=torch.float64)
    """
    thresholds, hits, alarms = _counts(scores, labels)
    if hits[-1] == 0 or alarms[-1] == 0:
        raise ValueError("an ROC curve needs positives and negatives: only one of them occurs in the labels")
    start = hits.new_zeros(1)
    return RocCurve(
        torch.cat([start, alarms / alarms[-1]]),
        torch.cat([start, hits / hits[-1]]),
        torch.cat([thresholds.new_full((1,), torch.inf), thresholds]),
    )


def precision_recall_curve(scores: Tensor, labels: Tensor) -> PrecisionRecallCurve:
    """Precision against recall at every threshold, from the highest score to the lowest.

    Args:
        scores: any real numbers `[N]`; higher means "rather positive".
        labels: `[N]`, true or 1 for positive, false or 0 for negative.

    Raises:
        ValueError: shapes differ, labels are not 0 and 1, a score is NaN, or there is no positive.
    """
    thresholds, hits, alarms = _counts(scores, labels)
    if hits[-1] == 0:
        raise ValueError("recall needs positives: none occurs in the labels")
    return PrecisionRecallCurve(hits / (hits + alarms), hits / hits[-1], thresholds)


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


def _counts(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each score that occurs, highest first, and how many positives and negatives (float64) reach it."""
    if scores.ndim != 1 or scores.shape != labels.shape or not len(scores):
        raise ValueError(
            f"expected scores [N] and labels [N] with N > 0, got {list(scores.shape)} and {list(labels.shape)}"
        )
    labels = labels.to(scores.device)
    if not ((labels == 0) | (labels == 1)).all():
        raise ValueError("labels must be 0 (negative) and 1 (positive): for one class of many pass labels == class")
    scores = scores.detach()
    if scores.isnan().any():
        raise ValueError("a score is NaN: it stands neither above nor below a threshold")
    scores, order = scores.sort(descending=True, stable=True)
    positive = labels[order].double()
    hits, alarms = positive.cumsum(0), (1 - positive).cumsum(0)
    last = torch.ones_like(scores, dtype=torch.bool)  # of those with the same score
    last[:-1] = scores[:-1] != scores[1:]
    return scores[last], hits[last], alarms[last]
