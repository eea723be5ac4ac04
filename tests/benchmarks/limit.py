"""The time that the machine's own matrix-multiply rate would allow."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import nn

Shape = tuple[int, int, int]


def products(model: nn.Module, sample: torch.Tensor) -> list[Shape]:
    """The matrix products `(m, k, n)` of one forward and backward pass over the batch `sample`.

    A linear layer multiplies three times: for its output, for the gradient of its weights and, unless it is the first,
    for that of its input. A convolution counts as the product of its weights with the unrolled windows.
    """
    found: list[Shape] = []

    def note(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if isinstance(module, nn.Linear):
            rows, inner, outer = inputs[0].numel() // module.in_features, module.in_features, module.out_features
        else:
            rows, inner, outer = output.numel() // output.shape[1], module.weight[0].numel(), output.shape[1]
        first = not found
        found.extend([(rows, inner, outer), (outer, rows, inner)] + ([] if first else [(rows, outer, inner)]))

    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    handles = [layer.register_forward_hook(note) for layer in layers]
    model(sample)
    for handle in handles:
        handle.remove()
    return found


@dataclass
class Limit:
    """Runs the matrix products of a training step and nothing else."""

    shapes: list[Shape]
    device: torch.device

    def __post_init__(self) -> None:
        self.factors = [
            (
                torch.rand(m, k, device=self.device),
                torch.rand(k, n, device=self.device),
                torch.empty(m, n).to(self.device),
            )
            for m, k, n in self.shapes
        ]
        self.seconds: list[float] = []

    @property
    def flop(self) -> int:
        """Floating-point operations per step: a multiplication and an addition per term."""
        return sum(2 * m * k * n for m, k, n in self.shapes)

    def measure(self, repeats: int = 100) -> None:
        """Note the mean time of a step's products."""
        for _ in range(5):
            self._step()
        self._wait()
        start = time.perf_counter()
        for _ in range(repeats):
            self._step()
        self._wait()
        self.seconds.append((time.perf_counter() - start) / repeats)

    def _step(self) -> None:
        for a, b, out in self.factors:
            torch.mm(a, b, out=out)

    def _wait(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize()
