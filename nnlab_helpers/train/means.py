"""Means over an epoch, weighted by samples, kept on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

REMEDY = (
    "Try a smaller learning rate first (a tenth), then clip_norm=1.0; look for log(0), a division by zero or NaN in "
    "the data; cross-entropy wants raw logits, not softmax. If weights are NaN by now, build the model anew or load a "
    "checkpoint."
)
LOOK_EVERY = 50  # batches between looks at the losses: each look waits for the device


class Means:
    """Weighted means of what steps return. Nothing is read from the device until `fold` or `read`.

    A ragged last batch must not count as much as a full one, so every value is weighted by its batch's samples, or by
    what the step says it was divided by (`Weighed`).
    """

    def __init__(self, where: str) -> None:
        """Start empty; `where` names the pass in an error message."""
        self._where = where
        self._batches = 0
        self.samples = 0
        self._sums: dict[str, float] = {}
        self._weights: dict[str, float] = {}
        self._waiting: list[Mapping[str, Tensor]] = []
        self._counts: list[int] = []
        self._over: list[Mapping[str, Tensor]] = []

    def add(self, values: Mapping[str, Tensor], samples: int) -> None:
        """Note the means of one batch (scalars on any device) over `samples` samples."""
        self._waiting.append({name: value.detach() for name, value in values.items()})
        self._over.append(getattr(values, "over", {}))
        self._counts.append(samples)
        self.samples += samples

    def latest(self, batches: int) -> dict[str, Tensor]:
        """The means over the last `batches` batches, still on the device."""
        if batches == 1:
            return dict(self._waiting[-1])
        values = self._waiting[-batches:]
        means = {}
        for name in values[0]:
            over = self._divisors(name)[-batches:]
            parts = [_counting(v[name], n) * n for v, n in zip(values, over, strict=True)]
            means[name] = sum(parts, torch.tensor(0.0)) / sum(over)
        return means

    @property
    def due(self) -> bool:
        """Whether enough batches wait for a look."""
        return len(self._waiting) >= LOOK_EVERY

    def fold(self, check: bool = True) -> None:
        """Add the waiting batches to the sums: one read from the device per name, not one per batch.

        Raises:
            FloatingPointError: a loss is NaN or infinite (with `check`); the message names the first such batch.
            ValueError: the batches do not all report the same names.
        """
        if not self._waiting:
            return
        names = self._waiting[0].keys()
        if any(values.keys() != names for values in self._waiting) or (self._sums and self._sums.keys() != names):
            raise ValueError("step must return the same names for every batch")
        for name in names:
            column = torch.stack([values[name].reshape(()) for values in self._waiting]).cpu().double()
            over = self._divisors(name)
            if isinstance(over[0], Tensor):
                weights = torch.stack([torch.as_tensor(n) for n in over]).cpu().double()
            else:
                weights = torch.tensor(over, dtype=torch.float64)
            column = _counting(column, weights)
            if check and name == "loss" and not column.isfinite().all():
                first = int((~column.isfinite()).nonzero()[0, 0])
                raise FloatingPointError(not_finite(column[first].item(), self._where, self._batches + first + 1))
            total, weight = torch.stack((column @ weights, weights.sum())).tolist()
            self._sums[name] = self._sums.get(name, 0.0) + total
            self._weights[name] = self._weights.get(name, 0.0) + weight
        self._batches += len(self._waiting)
        self._waiting, self._counts, self._over = [], [], []

    def read(self, check: bool = True) -> dict[str, float]:
        """The means so far; what nothing counted for is left out.

        Raises:
            ValueError: nothing counted for the loss.
        """
        self.fold(check)
        if self.samples and not self._weights.get("loss"):
            raise ValueError(f"no label counts in {self._where}: the loss ignores all of them (ignore_index)")
        return {name: total / self._weights[name] for name, total in self._sums.items() if self._weights[name]}

    def _divisors(self, name: str) -> list[Any]:
        """What the means called `name` were divided by: scalars beside them on the device, or numbers of samples."""
        return [over.get(name, samples) for over, samples in zip(self._over, self._counts, strict=True)]


def _counting(mean: Tensor, over: Any) -> Tensor:
    """`mean`, or 0 where it was divided by 0, since nothing in its batch counts."""
    return torch.where(over != 0, mean, torch.zeros_like(mean)) if isinstance(over, Tensor) else mean


def not_finite(value: float, where: str, batch: int) -> str:
    """What to say, and what to try, when a loss is NaN or infinite."""
    return f"the loss became {value} in {where}, batch {batch}. {REMEDY}"
