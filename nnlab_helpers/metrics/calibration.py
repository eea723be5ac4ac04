"""Does 90 % mean nine out of ten? How far stated confidence and measured accuracy lie apart, and one way to mend it."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from nnlab_helpers.metrics.checks import classes_of, tensor_of, whole


class CalibrationTable(NamedTuple):
    """Bins with samples, on the CPU: mean confidence and accuracy (float64) and samples (int64) of each, `[B]`."""

    confidence: Tensor
    accuracy: Tensor
    samples: Tensor


def calibration_table(probabilities: Tensor, labels: Tensor, bins: int = 15) -> CalibrationTable:
    """Sort predictions by their confidence into `bins` bins of equal width, and compare with how many are right.

    A prediction's confidence is the probability of the class it chose. A bin holds its upper edge and not its lower
    one, as in Guo et al. (2017). Empty bins are left out.

    Args:
        probabilities: `[N, C]`, in [0, 1].
        labels: true classes `[N]`.
        bins: how many bins [0, 1] is cut into.

    Raises:
        ValueError: no samples, shapes that do not belong together, no bins, numbers that are no probabilities, or a
            label that is none of the C classes.
        TypeError: probabilities that are no floats, labels or bins that are not whole numbers.
    """
    probabilities, labels = _floats("probabilities", probabilities), tensor_of("labels", labels)
    bins = whole("bins", bins)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise ValueError(
            "expected probabilities [N, C] and labels [N] with N > 0, "
            f"got {list(probabilities.shape)} and {list(labels.shape)}"
        )
    if bins < 1:
        raise ValueError(f"at least one bin is needed, not {bins}")
    # On the CPU, as not every GPU has float64.
    confidence, chosen = probabilities.detach().cpu().double().max(dim=1)
    labels = classes_of("labels", labels, probabilities.shape[1])
    if not ((probabilities >= 0).all() and (confidence <= 1 + 1e-6).all()):  # NaN is neither
        raise ValueError("probabilities must lie in [0, 1]: are these logits? Apply softmax first")
    if ((probabilities.sum(dim=1) - 1).abs() > 0.01).any():
        raise ValueError("the probabilities of a sample must sum to 1: of one sigmoid output p make [1 - p, p]")
    right = (chosen == labels.cpu()).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)[1:-1]
    at = torch.bucketize(confidence, edges)
    count = torch.bincount(at, minlength=bins)
    held = count > 0
    mean_confidence = torch.bincount(at, confidence, minlength=bins)[held] / count[held]
    accuracy = torch.bincount(at, right, minlength=bins)[held] / count[held]
    return CalibrationTable(mean_confidence, accuracy, count[held])


def expected_calibration_error(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Mean distance between confidence and accuracy over bins of confidence, each bin by its share of the samples.

    Source: Naeini, Cooper, Hauskrecht (2015), "Obtaining well calibrated probabilities using Bayesian binning";
    Guo, Pleiss, Sun, Weinberger (2017), "On calibration of modern neural networks".

    Args:
        probabilities: `[N, C]`, in [0, 1].
        labels: true classes `[N]`.
        bins: how many bins [0, 1] is cut into; the result depends on it somewhat, so report it.

    Returns:
        A number in [0, 1]; 0 for a model that keeps its promises in every bin.

    Raises:
        ValueError: as `calibration_table`.

    Example:
        >>> expected_calibration_error(torch.tensor([[0.75, 0.25], [0.75, 0.25]]), torch.tensor([0, 1]))  # half right
        0.25
    """
    table = calibration_table(probabilities, labels, bins)
    gaps = (table.confidence - table.accuracy).abs()
    return float((gaps * table.samples).sum() / table.samples.sum())


def fit_temperature(logits: Tensor, labels: Tensor, lowest: float = 0.05, highest: float = 20.0) -> float:
    """The T for which `softmax(logits / T)` has the least cross-entropy: above 1 for a model that is too sure.

    Source: Guo et al. (2017), "On calibration of modern neural networks". Use samples that the model was not trained
    on. In 1 / T the loss is convex, so the place where its slope changes sign is found by halving an interval.

    Args:
        logits: `[N, C]`. A class that a sample cannot have may be ruled out by -inf.
        labels: true classes `[N]`.
        lowest: the smallest T considered; it is returned where the loss falls until there (no mistakes, say).
        highest: the largest T considered.

    Raises:
        ValueError: no samples, shapes that do not belong together, a logit that is NaN or infinite, a label that is
            none of the C classes or was ruled out, logits that are alike in each row (every temperature gives the
            same), or bounds that are not 0 < lowest < highest.
        TypeError: logits that are no floats, labels that are not whole numbers.
    """
    logits, labels = _floats("logits", logits), tensor_of("labels", labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise ValueError(
            f"expected logits [N, C] and labels [N] with N > 0, got {list(logits.shape)} and {list(labels.shape)}"
        )
    if not 0 < lowest < highest < math.inf:
        raise ValueError(f"the temperatures must satisfy 0 < lowest < highest, both finite, not {lowest} and {highest}")
    z, y = logits.cpu().double(), classes_of("labels", labels, logits.shape[1]).cpu()  # not every GPU has float64
    if z.isnan().any() or (z == torch.inf).any():
        raise ValueError("a logit is NaN or infinite: look for it with logits.isfinite()")
    ahead = z - z.gather(1, y[:, None])  # of the true class; so the slope of a perfect model is never above 0
    if ahead.isnan().any() or (ahead == torch.inf).any():
        raise ValueError("a true class was ruled out by -inf: its loss is infinite at every temperature")
    if not ahead[ahead.isfinite()].any():
        raise ValueError("the logits of each row are alike or -inf: every temperature gives the same probabilities")
    possible = ahead.where(ahead.isfinite(), 0.0)  # where it is not, its probability is 0
    low, high = 1 / highest, 1 / lowest
    for _ in range(50):
        middle = math.sqrt(low * high)
        slope = float(((ahead * middle).softmax(1) * possible).sum(1).mean())
        low, high = (middle, high) if slope <= 0 else (low, middle)
    return min(max(2 / (low + high), lowest), highest)


def _floats(name: str, value: Tensor) -> Tensor:
    found = tensor_of(name, value)
    if not found.is_floating_point():
        raise TypeError(f"{name} must be floats, got {found.dtype}")
    return found
