"""How good are the predictions? Counts of right and wrong, over all and class by class, thin over torchmetrics.

torchmetrics is imported at the first call: that takes seconds, as it brings torchvision along.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    import pandas


def accuracy(logits_or_pred: Tensor, labels: Tensor) -> float:
    """The share of predictions that are right, in [0, 1].

    Args:
        logits_or_pred: logits or probabilities `[N, C]`, of which the largest wins, or predicted classes `[N]`.
        labels: true classes, whole numbers `[N]`.

    Raises:
        ValueError: there are no samples, a class is negative, or the shapes do not belong together.
        TypeError: classes are not whole numbers.

    Example:
        >>> accuracy(torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
        0.5
    """
    pred, labels = _classes(logits_or_pred, labels)
    if len(labels) == 0:
        raise ValueError("the accuracy of no samples is not defined")
    lowest = min(int(pred.min()), int(labels.min()))
    if lowest < 0:
        raise ValueError(f"classes are counted from 0, there is a {lowest}: leave out what has no label")
    from torchmetrics.functional.classification import multiclass_accuracy

    count = max(int(pred.max()), int(labels.max())) + 1
    return float(multiclass_accuracy(pred, labels, num_classes=max(count, 2), average="micro"))


def confusion_matrix(pred: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Count how often each class was taken for which: int64 `[C, C]`, rows true, columns predicted.

    Args:
        pred: predicted classes `[N]`, or logits `[N, C]`.
        labels: true classes `[N]`.
        num_classes: C.

    Raises:
        ValueError: a class is outside 0 ... C - 1, or the shapes do not belong together.
        TypeError: classes are not whole numbers.

    Example:
        >>> confusion_matrix(torch.tensor([0, 1, 1]), torch.tensor([0, 1, 0]), num_classes=2)
        tensor([[1, 1],
                [0, 1]])
    """
    pred, labels = _classes(pred, labels)
    for name, classes in (("predicted", pred), ("true", labels)):
        if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < num_classes:
            raise ValueError(
                f"a {name} class is outside 0 ... {num_classes - 1}: they go from {int(classes.min())} "
                f"to {int(classes.max())}"
            )
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    return multiclass_confusion_matrix(pred.long(), labels.long(), num_classes)


def classification_report(pred: Tensor, labels: Tensor, classes: Sequence[str] | None = None) -> pandas.DataFrame:
    """Precision, recall, F1 and support of each class, and their averages.

    Precision: of those called a class, how many are. Recall: of those that are, how many were found. F1: the harmonic
    mean of both. Support: how many there are. A value with nothing to divide by is 0, as in scikit-learn.

    Args:
        pred: predicted classes `[N]`, or logits `[N, C]`.
        labels: true classes `[N]`.
        classes: names of all classes, in order. Default: their numbers, up to the largest that occurs.

    Returns:
        A frame with a row per class, then "macro average" (each class counts the same) and "weighted average" (each
        class counts by its support), and the columns `precision`, `recall`, `f1` (in [0, 1]) and `support` (samples).

    Raises:
        ValueError: there are no samples, a class has no name, or the shapes do not belong together.
        TypeError: classes are not whole numbers.
    """
    import pandas

    outputs = pred.shape[1] if pred.ndim == 2 else 0
    pred, labels = _classes(pred, labels)
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
    shares = support / support.sum()
    report = pandas.DataFrame(
        {name: [*column.tolist(), column.mean().item(), (column @ shares).item()] for name, column in columns.items()},
        index=[*classes, "macro average", "weighted average"],
    )
    report["support"] = [int(count) for count in [*support.tolist(), len(labels), len(labels)]]
    return report


def _classes(pred: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Predicted and true classes `[N]`, on one device."""
    if pred.ndim == 2:
        pred = pred.argmax(dim=1)
    if pred.ndim != 1 or pred.shape != labels.shape:
        raise ValueError(
            f"expected logits [N, C] or classes [N], and labels [N]: got {list(pred.shape)} and {list(labels.shape)}"
        )
    for name, classes in (("predictions", pred), ("labels", labels)):
        if classes.is_floating_point():
            raise TypeError(f"{name} must be whole numbers, got {classes.dtype}: are these logits, or one-hot rows?")
    return pred, labels.to(pred.device)
