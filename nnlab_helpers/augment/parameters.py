"""What transforms are made of: single numbers within limits, pairs of them, and functions that take a generator."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import numpy as np
from torch import nn


def check_transform(name: str, transform: Callable[..., object]) -> None:
    """Refuse, with TypeError, what cannot be called as `transform(x, generator=g)`, such as a torchvision transform."""
    if not callable(transform):
        raise TypeError(f"{name} takes transforms, got {transform!r}")
    try:
        called = transform.forward if isinstance(transform, nn.Module) else transform
        parameters = inspect.signature(called).parameters
    except ValueError:  # some functions in C do not say
        return
    if "generator" not in parameters and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        raise TypeError(
            f"{name} calls its transforms as t(x, generator=...) on [B, C, H, W], and {_named(transform)} takes "
            "no generator: use one of nnlab_helpers.augment, or wrap it, lambda x, generator=None: t(x) (torchvision's "
            "then change all images of a batch alike, and differ from run to run)"
        )


def _named(transform: object) -> str:
    return getattr(transform, "__name__", type(transform).__name__)


def _number(name: str, value: float) -> float:
    """Return `value` if it is one number, Python's or NumPy's, the latter as Python's."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        pair = "; it serves both directions: Rotate(10) turns by -10 to 10 degrees, Jitter(0.2) scales by 0.8 to 1.2"
        raise TypeError(
            f"{name} must be a single number, got {value!r}" + (pair if isinstance(value, (tuple, list)) else "")
        )
    return value.item() if isinstance(value, np.generic) else value  # NumPy's would show in the transform's repr


def finite(name: str, value: float) -> float:
    """Return `value`, which must be a finite number."""
    value = _number(name, value)
    if not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value}")
    return value


def within(name: str, value: float, low: float, high: float) -> float:
    """Return `value`, which must be a number from `low` to `high`."""
    value = _number(name, value)
    if not (math.isfinite(value) and low <= value <= high):
        limits = f"{low} or more" if high == math.inf else f"from {low} to {high}"
        raise ValueError(f"{name} must be {limits}, got {value}")
    return value


def limits(name: str, value: tuple[float, float], limit: float) -> tuple[float, float]:
    """Return the pair `value`: the smallest and the largest of something above 0, up to `limit`."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise TypeError(f"{name} must be a pair, (smallest, largest), got {value!r}")
    low, high = (_number(name, end) for end in value)
    if not (0 < low <= high <= limit and math.isfinite(high)):
        top = "" if limit == math.inf else f", at most {limit}"
        raise ValueError(f"{name} must be (smallest, largest), both above 0{top}, got {value}")
    return low, high
