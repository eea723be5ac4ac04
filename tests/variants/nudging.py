"""Initial weights moved by a millionth: a stand-in for processors, and versions of PyTorch, that nobody here has."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable

import torch
from torch import Tensor

SIZE = 1e-6  # about ten times what rounding a float32 may change
DRAWS = (
    "uniform_", "normal_", "trunc_normal_", "xavier_uniform_", "xavier_normal_", "kaiming_uniform_", "kaiming_normal_",
    "orthogonal_",
)  # fmt: skip


def nudge(weight: Tensor, seed: int) -> Tensor:
    """Multiply each number of `weight`, float32, by 1 + 1e-6 or 1 - 1e-6, in place.

    Which of them follows from the number's own bits and `seed`: weights that are equal stay equal, so what compares two
    networks bit for bit still can.
    """
    with torch.no_grad():
        mixed = (weight.detach().contiguous().view(torch.int32).long() ^ (seed * 0x9E3779B1)) * 0x5851F42D4C957F2D
        weight.mul_(1 + SIZE * (1 - 2 * ((mixed >> 40) & 1)).float())
    return weight


def nudge_initialization(seed: int) -> None:
    """From now on, in this process, nudge whatever `torch.nn.init` draws on the CPU in float32.

    So are matrices that are made by hand and then get `requires_grad_()`.
    """
    for name in DRAWS:
        _replace(name, _nudged(getattr(torch.nn.init, name), seed))
    plain = Tensor.requires_grad_

    @functools.wraps(plain)
    def requires_grad_(tensor: Tensor, requires_grad: bool = True) -> Tensor:
        if requires_grad and tensor.ndim > 1 and _can(tensor) and not tensor.requires_grad:
            nudge(tensor, seed)
        return plain(tensor, requires_grad)

    Tensor.requires_grad_ = requires_grad_  # type: ignore[method-assign]


def _nudged(draw: Callable[..., Tensor], seed: int) -> Callable[..., Tensor]:
    @functools.wraps(draw)
    def drawn(tensor: Tensor, *args: object, **kwargs: object) -> Tensor:
        weight = draw(tensor, *args, **kwargs)
        return nudge(weight, seed) if _can(weight) else weight

    return drawn


def _can(weight: Tensor) -> bool:
    return weight.dtype == torch.float32 and weight.device.type == "cpu"


def _replace(name: str, new: Callable[..., Tensor]) -> None:
    """Put `new` where `torch.nn.init` and the modules that import from it have the function `name`."""
    old = getattr(torch.nn.init, name)
    for module in [m for key, m in sys.modules.items() if key.startswith("torch.nn")]:
        if vars(module).get(name) is old:
            setattr(module, name, new)
