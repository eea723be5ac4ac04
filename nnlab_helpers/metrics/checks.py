"""What is no class, score, count or share is refused here, in words, before anything is computed from it."""

from __future__ import annotations

import numbers
import operator
from typing import Any

import numpy as np
import torch
from torch import Tensor


def tensor_of(name: str, value: Any) -> Tensor:
    """`value` as a tensor without a graph: a tensor, an array, a list, a column of a table.

    Raises: TypeError if it is nothing that holds numbers.
    """
    if isinstance(value, Tensor):
        return value.detach()
    try:
        return torch.as_tensor(np.asarray(value))
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be a tensor, an array or a list of numbers, got {value!r:.60}") from error


def classes_of(name: str, classes: Tensor, count: int | None = None) -> Tensor:
    """Classes `[N]` as int64. Raises: TypeError if they are not whole; ValueError if outside of 0 ... count - 1."""
    if classes.is_floating_point() or classes.is_complex():
        raise TypeError(f"{name} must be whole numbers, got {classes.dtype}: are these logits, or one-hot rows?")
    if classes.dtype == torch.bool:
        raise TypeError(f"{name} must be whole numbers, got truth values: of two classes, .long() makes 0 and 1")
    classes = classes.long()
    if len(classes) and (lowest := int(classes.min())) < 0:
        raise ValueError(f"{name}: classes are counted from 0, there is a {lowest}: leave out what has no label")
    if count is not None and len(classes) and (highest := int(classes.max())) >= count:
        raise ValueError(f"{name}: a class is outside 0 ... {count - 1}: there is a {highest}")
    return classes


def predictions_and_labels(pred: Any, labels: Any) -> tuple[Tensor, Tensor, int]:
    """Predicted and true classes, int64 `[N]` on one device, and how many outputs the logits had (0: no logits).

    Raises: ValueError for shapes that do not belong together, NaN among the logits, or a class that is none;
        TypeError for classes that are not whole numbers.
    """
    pred, labels = tensor_of("predictions", pred), tensor_of("labels", labels)
    outputs = 0
    if pred.ndim == 2:
        outputs = pred.shape[1]
        if outputs < 2:
            raise ValueError(
                f"logits {list(pred.shape)} have one output per sample: turn them into classes first, as in "
                "(logits[:, 0] > 0).long()"
            )
        if pred.isnan().any() or (pred.is_floating_point() and (pred.amax(dim=1).isinf()).any()):
            raise ValueError("a logit is NaN or inf, or all of a row are -inf: none of the row is the largest")
        pred = (pred.int() if pred.dtype == torch.bool else pred).argmax(dim=1)
    if pred.ndim != 1 or pred.shape != labels.shape:
        raise ValueError(
            f"expected logits [N, C] or classes [N], and labels [N]: got {list(pred.shape)} and {list(labels.shape)}"
        )
    return classes_of("predictions", pred), classes_of("labels", labels, outputs or None).to(pred.device), outputs


def whole(name: str, value: Any) -> int:
    """A count as an int: 29, 29.0 or a tensor of it. Raises: TypeError if it is not whole, such as 0.29 * 100."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and np.ndim(value) == 0:
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if isinstance(value, numbers.Integral):
        return operator.index(value)
    if not float(value).is_integer():
        raise TypeError(f"{name} must be a whole number, got {value!r}: a share times a count needs round()")
    return int(float(value))


def truths(name: str, value: Any) -> Tensor:
    """Truth values as bool `[N]` on the CPU. Raises: TypeError if they are something else: classes are 0 and 1 too."""
    found = tensor_of(name, value)
    if found.dtype != torch.bool:
        raise TypeError(f"{name} must be true or false for each sample, as in pred == labels; got {found.dtype}")
    return found.cpu()
