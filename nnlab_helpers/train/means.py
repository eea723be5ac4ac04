"""Means over an epoch, weighted by samples, kept on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

REMEDY = (
    "Try a smaller learning rate first (a tenth), then clip_norm=1.0; look for log(0), a division by zero or NaN in "
    "the data; cross-entropy wants raw logits, not softmax. If weights are NaN by now, build the model anew or load a "
    "checkpoint."
)
LOOK_EVERY = 50  # batches between looks at the losses: each look waits for the device


class Means:
    """Sample-weighted means of what steps return. Nothing is read from the device until `fold` or `read`.

    A ragged last batch must not count as much as a full one, so every value is weighted by its batch's samples.
    """

    def __init__(self, where: str) -> None:
        """Start empty; `where` names the pass in an error message."""
        self._where = where
        self._batches = 0
        self.samples = 0
        self._sums: dict[str, float] = {}
        self._waiting: list[Mapping[str, Tensor]] = []
        self._counts: list[int] = []

    def add(self, values: Mapping[str, Tensor], samples: int) -> None:
        """Note the means of one batch (scalars on any device, cut from the graph) over `samples` samples."""
        self._waiting.append(values)
        self._counts.append(samples)
        self.samples += samples

    def latest(self, batches: int) -> dict[str, Tensor]:
        """The means over the last `batches` batches, still on the device."""
        if batches == 1:
            return dict(self._waiting[-1])
        counts, values = self._counts[-batches:], self._waiting[-batches:]
        return {
            name: sum((v[name] * (n / sum(counts)) for v, n in zip(values, counts, strict=True)), torch.tensor(0.0))
            for name in values[0]
        }

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
        counts = torch.tensor(self._counts, dtype=torch.float64)
        for name in names:
            column = torch.stack([values[name].reshape(()) for values in self._waiting]).cpu().double()
            if check and name == "loss" and not column.isfinite().all():
                first = int((~column.isfinite()).nonzero()[0, 0])
                raise FloatingPointError(not_finite(column[first].item(), self._where, self._batches + first + 1))
            self._sums[name] = self._sums.get(name, 0.0) + float(column @ counts)
        self._batches += len(self._waiting)
        self._waiting, self._counts = [], []

    def read(self, check: bool = True) -> dict[str, float]:
        """The means so far."""
        self.fold(check)
        return {name: total / max(self.samples, 1) for name, total in self._sums.items()}


def not_finite(value: float, where: str, batch: int) -> str:
    """What to say, and what to try, when a loss is NaN or infinite."""
    return f"the loss became {value} in {where}, batch {batch}. {REMEDY}"
