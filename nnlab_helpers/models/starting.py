"""Where a network starts: how its weights are drawn, and what that does to signal and gradient, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    import pandas

SCHEMES = (
    "default", "xavier_normal", "xavier_uniform", "he_normal", "he_uniform", "normal", "uniform", "zero",
)  # fmt: skip
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
COLUMNS = ("layer", "kind", "mean", "std", "spread", "gradient_mean", "gradient_std")


def initialize(model: nn.Module, scheme: str, *, gain: float = 1.0, std: float = 0.01) -> nn.Module:
    """Draw the weights of all linear and convolutional layers of `model` anew, and set their biases to zero.

    Thin over `torch.nn.init`. With n_in inputs and n_out outputs of a weight (for a kernel: channels times its area)
    the standard deviation is

    - "xavier_normal", "xavier_uniform": gain * sqrt(2 / (n_in + n_out)) (Glorot and Bengio, 2010);
    - "he_normal", "he_uniform": gain * sqrt(2 / n_in), for ReLU (He, Zhang, Ren and Sun, 2015);
    - "normal", "uniform": `std`, whatever the size of the layer;
    - "zero": 0, so that all units of a layer stay the same.

    "default" draws what PyTorch draws when a layer is made, its biases included. Other parameters, such as those of
    normalisation, stay as they are.

    Args:
        model: any module; changed in place.
        scheme: one of the names above.
        gain: a factor on the Xavier and He deviations, such as `torch.nn.init.calculate_gain("tanh")`.
        std: the deviation of "normal" and "uniform".

    Returns:
        The same model.

    Raises:
        ValueError: an unknown scheme, a negative or infinite gain or std.

    Example:
        >>> layer = initialize(nn.Linear(200, 1000), "he_normal")
        >>> round(layer.weight.std().item(), 2)
        0.1
    """
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme!r}: choose {', '.join(map(repr, SCHEMES))}")
    for name, value in (("gain", gain), ("std", std)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and not negative, got {value}")
    for layer in model.modules():
        if not isinstance(layer, WEIGHTED):
            continue
        if scheme == "default":
            layer.reset_parameters()
            continue
        _draw(layer.weight, scheme, gain, std)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return model


def _draw(weight: Tensor, scheme: str, gain: float, std: float) -> None:
    if scheme == "xavier_normal":
        nn.init.xavier_normal_(weight, gain)
    elif scheme == "xavier_uniform":
        nn.init.xavier_uniform_(weight, gain)
    elif scheme in ("he_normal", "he_uniform"):
        draw = nn.init.kaiming_normal_ if scheme == "he_normal" else nn.init.kaiming_uniform_
        draw(weight, nonlinearity="relu")
        with torch.no_grad():
            weight.mul_(gain)
    elif scheme == "normal":
        nn.init.normal_(weight, std=std)
    elif scheme == "uniform":
        nn.init.uniform_(weight, -math.sqrt(3) * std, math.sqrt(3) * std)
    else:
        nn.init.zeros_(weight)


def layer_statistics(
    model: nn.Module, x: Tensor, y: Any = None, loss: Callable[[Tensor, Any], Tensor] | None = None
) -> pandas.DataFrame:
    """Measure what comes out of each layer, and the gradient that comes back to it.

    A layer is a module without modules of its own that returns a tensor; the rows are in the order of the calls. The
    model is used in the mode it is in, and left as it was: gradients, buffers and random numbers included.

    Args:
        model: any module.
        x: a batch `[N, ...]`, at least two samples.
        y: what the loss compares with, usually labels `[N]`. Left out, the gradients are NaN.
        loss: `loss(output, y)` -> a scalar; default: cross-entropy.

    Returns:
        A frame with a row for each call of a layer and the columns "layer" (its name), "kind", "mean" and "std" of all
        numbers that it put out, "spread" (their standard deviation over the samples, on average over units: what
        depends on the input, and is not the same for each sample), "gradient_mean" and "gradient_std" (of the loss's
        gradient with respect to these numbers).

    Raises:
        ValueError: fewer than two samples, or a loss that is not a single number.
    """
    import pandas

    if x.ndim < 1 or len(x) < 2:
        raise ValueError(f"a spread needs at least two samples [N, ...], got shape {list(x.shape)}")
    calls: list[tuple[str, str, Tensor]] = []
    hooks = [
        layer.register_forward_hook(_recorder(calls, name or "(model)"))
        for name, layer in model.named_modules()
        if not list(layer.children())
    ]
    try:
        with _unchanged(model, x.device), torch.enable_grad():
            output = model(x)
            gradients: list[Tensor | None] = [None] * len(calls)
            if y is not None:
                value = (loss or F.cross_entropy)(output, y)
                if value.numel() != 1:
                    raise ValueError(f"the loss must be a single number, got shape {list(value.shape)}")
                asked = [number for number, (_, _, out) in enumerate(calls) if out.requires_grad]
                outputs = [calls[number][2] for number in asked]
                found = torch.autograd.grad(value, outputs, allow_unused=True) if outputs else ()
                for number, gradient in zip(asked, found, strict=True):
                    gradients[number] = gradient
    finally:
        for hook in hooks:
            hook.remove()
    rows = [
        (name, kind, *_describe(out), *_mean_std(gradient))
        for (name, kind, out), gradient in zip(calls, gradients, strict=True)
    ]
    return pandas.DataFrame(rows, columns=list(COLUMNS))


def _recorder(calls: list[tuple[str, str, Tensor]], name: str) -> Callable[[nn.Module, Any, Any], Any]:
    def record(layer: nn.Module, inputs: Any, output: Any) -> Any:
        if not isinstance(output, Tensor):
            return None
        calls.append((name, type(layer).__name__, output))
        return output.clone()  # what is passed on, so that a later layer that works in place leaves ours alone

    return record


@contextmanager
def _unchanged(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put buffers (running statistics) and the generators back afterwards."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)


def _describe(output: Tensor) -> tuple[float, float, float]:
    out = output.detach().float()
    spread = out.std(dim=0).mean().item() if out.ndim and len(out) > 1 else math.nan
    return (*_mean_std(out), spread)


def _mean_std(values: Tensor | None) -> tuple[float, float]:
    if values is None or values.numel() < 2:
        return math.nan, math.nan
    return values.float().mean().item(), values.float().std().item()
