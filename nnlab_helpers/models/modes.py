"""Training and evaluation mode, put back as they were: each module has its own, and a frozen part may differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def keeping_modes(model: nn.Module) -> Iterator[None]:
    """Put the mode of each of `model`'s modules back at the end, whatever was done to them.

    Example:
        >>> model = nn.Dropout()
        >>> with keeping_modes(model):
        ...     print(model.eval().training)
        False
        >>> model.training
        True
    """
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients; afterwards each module's own mode again.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> with evaluating(model):
        ...     model(torch.ones(1, 2)).requires_grad
        False
    """
    with keeping_modes(model), torch.no_grad():
        model.eval()
        yield
