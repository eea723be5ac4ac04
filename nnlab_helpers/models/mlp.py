"""The multilayer perceptron: linear layers with a bent line between them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from torch import Tensor, nn

from nnlab_helpers.models.activations import make_activation

GROUPS = 8  # of units in a group norm, where 8 divides the width


def _group_norm(units: int) -> nn.Module:
    return nn.GroupNorm(math.gcd(GROUPS, units), units)


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "group": _group_norm,
}  # fmt: skip


class MLP(nn.Module):
    """Multilayer perceptron: flatten, then (linear, norm, activation, dropout) per hidden layer, then linear.

    Takes `[N, ...]` with `in_features` numbers per sample (images `[N, 1, 28, 28]` are flattened) and returns
    `[N, out_features]` logits: there is no softmax at the end, since cross-entropy brings its own.

    Args:
        in_features: numbers per sample; 784 for a 28x28 image in one channel.
        hidden: the width of each hidden layer, first to last; `()` leaves a plain linear model.
        out_features: logits per sample.
        activation: a name ("relu", "leaky_relu", "sigmoid", "tanh", "gelu", "swish", "identity") or a class.
        norm: None, "batch" (Ioffe and Szegedy, 2015), "layer" (Ba, Kiros and Hinton, 2016), or "group" (Wu and He,
            2018; eight groups, or as many as divide both 8 and the width).
        dropout: the chance that a hidden unit is silenced in training (Srivastava et al., 2014).

    Raises:
        ValueError: a size below 1, an unknown activation or norm, a dropout outside [0, 1), or, when called, a
            batch that does not hold `in_features` numbers per sample.

    Example:
        >>> MLP(784, (256, 256), 10)(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        in_features: int = 784,
        hidden: Sequence[int] = (256, 256),
        out_features: int = 10,
        activation: str | Callable[[], nn.Module] = "relu",
        norm: str | None = None,
        dropout: float = 0.0,
    ) -> None:
        """Check the sizes and lay out the layers."""
        super().__init__()
        if min(in_features, out_features, *hidden) < 1:
            raise ValueError(f"every layer needs at least one unit, got {(in_features, *hidden, out_features)}")
        if norm is not None and norm not in NORMS:
            raise ValueError(f"unknown norm {norm!r}: choose None, {', '.join(map(repr, NORMS))}")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout is the share of units silenced, in [0, 1): got {dropout}")
        self.in_features = in_features
        layers: list[nn.Module] = [nn.Flatten()]
        width = in_features
        for units in hidden:
            layers.append(nn.Linear(width, units))
            if norm is not None:
                layers.append(NORMS[norm](units))
            layers.append(make_activation(activation))
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            width = units
        layers.append(nn.Linear(width, out_features))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[N, out_features]` for a batch `[N, ...]` of `in_features` numbers per sample."""
        if x.ndim < 2 or math.prod(x.shape[1:]) != self.in_features:
            raise ValueError(
                f"expected a batch [N, ...] of {self.in_features} numbers per sample, got shape {list(x.shape)}"
                + ("; a single sample becomes a batch of one with x[None]" if x.numel() == self.in_features else "")
            )
        return self.layers(x)
