"""How good are the predictions? Counts of right and wrong, over all and class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from nnlab_helpers.metrics.checks import classes_of, predictions_and_labels, whole

if TYPE_CHECKING:
    import pandas


def accuracy(logits_or_pred: Any, labels: Any) -> float:
    """The share of predictions that are right, in [0, 1].

    Args:
        logits_or_pred: logits or probabilities `[N, C]`, of which the largest wins, or predicted classes `[N]`.
        labels: true classes, whole numbers `[N]`. Both may be tensors, arrays or lists.

    Raises:
        ValueError: there are no samples, a class is negative or not among the C, a logit is NaN, there is one output
            per sample, or the shapes do not belong together.
        TypeError: classes are not whole numbers.

    Example:
        >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        0.5
    """
    pred, labels, _ = predictions_and_labels(logits_or_pred, labels)
    if len(labels) == 0:
        raise ValueError("the accuracy of no samples is not defined")
    return int((pred == labels).sum()) / len(labels)


def confusion_matrix(pred: Any, labels: Any, num_classes: int) -> Tensor:
    """Count how often each class was taken for which: int64 `[C, C]`, rows true, columns predicted.

    Args:
        pred: predicted classes `[N]`, or logits `[N, C]`.
        labels: true classes `[N]`. Both may be tensors, arrays or lists.
        num_classes: C, at least 1.

    Raises:
        ValueError: a class is outside 0 ... C - 1, C is below 1, or as `accuracy`.
        TypeError: classes, or C, are not whole numbers.

    Example:
        >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), num_classes=2)
        tensor([[1, 1],
                [0, 1]])
    """
    if (count := whole("num_classes", num_classes)) < 1:
        raise ValueError(f"num_classes must be at least 1, got {count}")
    pred, labels, _ = predictions_and_labels(pred, labels)
    pred, labels = classes_of("predictions", pred, count), classes_of("labels", labels, count)
    return torch.bincount(count * labels + pred, minlength=count * count).reshape(count, count)


def classification_report(pred: Any, labels: Any, classes: Sequence[str] | None = None) -> pandas.DataFrame:
    """Precision, recall, F1 and support of each class, and their averages.

    Precision: of those called a class, how many are. Recall: of those that are, how many were found. F1: the harmonic
    mean of both. Support: how many there are. A value with nothing to divide by is 0, as in scikit-learn.

    Args:
        pred: predicted classes `[N]`, or logits `[N, C]`.
        labels: true classes `[N]`. Both may be tensors, arrays or lists.
        classes: names of all classes, in order. Default: their numbers, up to the largest that occurs.

    Returns:
        A frame with a row per class, then "macro average" (each class counts the same that occurs among the labels or
        the predictions, as in scikit-learn) and "weighted average" (each class counts by its support), and the columns
        `precision`, `recall`, `f1` (in [0, 1]) and `support` (samples).

    Raises:
        ValueError: there are no samples, a class has no name, or as `accuracy`.
        TypeError: classes are not whole numbers.
    """
    import pandas

    pred, labels, outputs = predictions_and_labels(pred, labels)
    if len(labels) == 0:
        raise ValueError("there are no samples to report on")
    if classes is None:
        classes = [str(k) for k in range(max(outputs, int(pred.max()) + 1, int(labels.max()) + 1))]
    matrix = confusion_matrix(pred, labels, len(classes)).cpu().double()
    right, called, support = matrix.diagonal(), matrix.sum(dim=0), matrix.sum(dim=1)
    columns = {
        "precision": right / called.clamp(min=1),
        "recall": right / support.clamp(min=1),
        "f1": 2 * right / (called + support).clamp(min=1),
    }
    shares, occurs = support / support.sum(), called + support > 0
    report = pandas.DataFrame(
        {
            name: [*column.tolist(), column[occurs].mean().item(), (column @ shares).item()]
            for name, column in columns.items()
        },
        index=[*classes, "macro average", "weighted average"],
    )
    report["support"] = [int(count) for count in [*support.tolist(), len(labels), len(labels)]]
    return report

