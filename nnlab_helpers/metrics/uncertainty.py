"""How far a measured share can be trusted, and whether one classifier is better than another on the same samples.

scipy is imported at the first call.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple

from torch import Tensor

from nnlab_helpers.metrics.checks import truths, whole


def wilson_interval(right: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Confidence interval (low, high) for a share of which `right` of `count` independent samples were counted.

    Holds those shares from which the measured one is less than z standard errors away, each with its *own* standard
    error. So it stays in [0, 1] and has a width where there is no mistake, unlike measured share ± z standard errors.

    Source: Wilson (1927), "Probable inference, the law of succession, and statistical inference".

    Args:
        right: samples counted, 0 to `count`.
        count: samples in all, at least 1.
        level: how often such an interval is to contain the true share, in (0, 1).

    Raises:
        ValueError: the counts are not 0 <= right <= count with count >= 1, or `level` is not in (0, 1).
        TypeError: a count is not whole. Of a share, pass `round(share * count)`.

    Example:
        >>> low, high = wilson_interval(98, 100)
        >>> f"{low:.3f} to {high:.3f}"
        '0.930 to 0.994'
    """
    right, count = whole("right", right), whole("count", count)
    if count < 1 or not 0 <= right <= count:
        raise ValueError(f"expected 0 <= right <= count and count >= 1, got {right} of {count}")
    from scipy.stats import binomtest

    interval = binomtest(right, count).proportion_ci(_checked_level(level), method="wilson")
    return float(interval.low), float(interval.high)


class PairedDifference(NamedTuple):
    """How much larger the accuracy of B is than that of A, and its confidence interval."""

    difference: float
    low: float
    high: float


def paired_difference(right_a: Tensor, right_b: Tensor, level: float = 0.95) -> PairedDifference:
    """Accuracy of B minus accuracy of A on the *same* samples, with a normal confidence interval.

    Only samples on which exactly one of the two is right contribute, so the interval is narrower than one from two
    separate accuracies would be, the more so the more alike the two are.

    Args:
        right_a: true where A is right, bool `[N]`.
        right_b: true where B is right, bool `[N]`, of the same samples in the same order.
        level: how often such an interval is to contain the true difference, in (0, 1).

    Raises:
        ValueError: the shapes are not one `[N]` with N > 0, or `level` is not in (0, 1).
        TypeError: something else than true and false (probabilities, say).
    """
    only_a, only_b, count = _disagreements(right_a, right_b)
    difference = (only_b - only_a) / count
    z = NormalDist().inv_cdf(0.5 + _checked_level(level) / 2)  # standard errors to each side
    half = z * math.sqrt((only_a + only_b) / count - difference**2) / math.sqrt(count)
    return PairedDifference(difference, difference - half, difference + half)


def mcnemar_test(right_a: Tensor, right_b: Tensor) -> float:
    """Exact p-value for "A and B are equally often right", from the samples on which exactly one of them is.

    If the two were equally good, each such sample would be A's or B's as by a fair coin. The p-value is the chance
    that the coin splits at least as unevenly as was counted; 1.0 if the two never disagree.

    Source: McNemar (1947), "Note on the sampling error of the difference between correlated proportions or
    percentages".

    Args:
        right_a: true where A is right, bool `[N]`.
        right_b: true where B is right, bool `[N]`, of the same samples in the same order.

    Raises:
        ValueError: the shapes are not one `[N]` with N > 0.
        TypeError: something else than true and false (probabilities, say).
    """
    only_a, only_b, _ = _disagreements(right_a, right_b)
    if only_a + only_b == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue)


def _checked_level(level: float) -> float:
    if isinstance(level, bool | str) or not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, as in 0.95, not {level}")
    return level


def _disagreements(right_a: Tensor, right_b: Tensor) -> tuple[int, int, int]:
    """How often only A is right, how often only B is, and the number of samples."""
    a, b = truths("right_a", right_a), truths("right_b", right_b)
    if a.ndim != 1 or a.shape != b.shape or not len(a):
        raise ValueError(f"expected two tensors [N] of the same samples, got {list(a.shape)} and {list(b.shape)}")
    return int((a & ~b).sum()), int((b & ~a).sum()), len(a)
