"""The eleven patients of day 13, as they came in: each of these functions has one fault.

The lesson runs them before it shows their code; the stubs of its exercises are these functions (a test holds that).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.data import ImageSet, TensorLoader

Batches = Iterable[tuple[Tensor, Tensor]]


def patient_a(
    model: nn.Module, x: Tensor, y: Tensor, epochs: int = 8, batch_size: int = 20, learning_rate: float = 0.05
) -> list[float]:
    """Train `model` on x [N, ...] and y [N] with SGD; the mean loss of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size)):  # noqa: B905
            loss = F.cross_entropy(model(batch), target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        history.append(total / len(x))
    return history


def patient_b(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy of `model` on a batch x [B, ...] with labels y [B]."""
    scores = model(x).softmax(dim=1)
    return F.cross_entropy(scores, y)


def patient_c(
    model: nn.Module, x: Tensor, y: Tensor, epochs: int = 8, batch_size: int = 20, learning_rate: float = 0.05
) -> list[float]:
    """Train `model` on x [N, ...] and y [N] with SGD; the mean loss of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size)):  # noqa: B905
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), target, reduction="sum")
            loss.backward()
            optimizer.step()
            total += loss.item()
        history.append(total / len(x))
    return history


def patient_d(model: nn.Sequential) -> None:
    """Give every linear layer of `model` fresh weights, in place."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / layer.in_features)
            nn.init.uniform_(layer.weight, -bound, 0.0)
            nn.init.zeros_(layer.bias)


def patient_e(x: Tensor, y: Tensor, batch_size: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    """One epoch as a list of batches (x, y), in a new random order."""
    x = x[torch.randperm(len(x), generator=generator)]
    y = y[torch.randperm(len(y), generator=generator)]
    return list(zip(x.split(batch_size), y.split(batch_size)))  # noqa: B905


def patient_f(model: nn.Sequential, classes: int, learning_rate: float) -> torch.optim.Optimizer:
    """Give `model` a new last layer for `classes` classes; returns its optimizer."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    old: Any = model[-1]
    model[-1] = nn.Linear(old.in_features, classes, device=old.weight.device)
    return optimizer


def patient_g(images: Tensor, mean: float, std: float) -> Tensor:
    """Grey values uint8 [N, 1, H, W] scaled to [0, 1] and normalised: float32."""
    scaled = images // 255
    return (scaled - mean) / std


def patient_h(
    digits: ImageSet,
    train_index: Tensor,
    val_index: Tensor,
    augment: Callable[..., Tensor],
    normalize: Callable[[Tensor], Tensor],
    device: torch.device | str,
) -> tuple[TensorLoader, TensorLoader]:
    """Two loaders of 100 images a batch: one to train with, one to validate with."""
    common: dict[str, Any] = {"batch_size": 100, "augment": augment, "normalize": normalize, "device": device}
    train_loader = TensorLoader(digits, train_index, shuffle=True, **common)
    val_loader = TensorLoader(digits, val_index, **common)
    return train_loader, val_loader


def patient_i(count: int, val: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Divide 0 ... count - 1 at random: (training, `val` numbers for validation)."""
    order = torch.randperm(count, generator=generator)
    return order[val:], order[-val:]


@torch.no_grad()
def patient_j(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the images x [N, ...] that `model` reads as their labels y [N] say."""
    guess = model(x).argmax(dim=1)
    return (guess == y).float().mean().item()


@torch.no_grad()
def patient_k(model: nn.Module, loader: Batches) -> float:
    """Mean loss of `model` over `loader`, which yields batches (x, y)."""
    losses = []
    for x, y in loader:
        losses.append(F.cross_entropy(model(x), y).item())
    return sum(losses) / len(losses)
