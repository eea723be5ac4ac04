"""Activations by name, so that a lesson can swap one for another with a word."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "swish": nn.SiLU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
}


def make_activation(activation: str | Callable[[], nn.Module]) -> nn.Module:
    """Make a fresh activation module from its name, or from a class such as `nn.ELU`.

    Raises:
        ValueError: the name is unknown; the message lists the known ones.
        TypeError: `activation` does not make a module.
    """
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"unknown activation {activation!r}: choose one of {', '.join(ACTIVATIONS)}, "
                "or pass a class such as nn.ELU"
            )
        return ACTIVATIONS[activation]()
    if isinstance(activation, nn.Module):
        raise TypeError(f"pass the class, not one object of it: each layer needs its own {type(activation).__name__}")
    made = activation() if callable(activation) else activation
    if not isinstance(made, nn.Module):
        raise TypeError(f"activation must be a name or a class such as nn.ELU, not {activation!r}")
    return made
