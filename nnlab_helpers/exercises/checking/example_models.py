"""Models of all kinds, for exercises that walk through one: what is said of every model must hold for these."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Example:
    """A model, what to call it ("a model with ..."), and a batch that it takes."""

    name: str
    model: nn.Module
    x: Tensor

    def with_gradients(self) -> Example:
        """Go back once from the sum of squared outputs; what is frozen or not used keeps no gradient."""
        result = self.model(self.x).square().sum()
        if result.requires_grad:
            result.backward()
        return self


class Unused(nn.Module):
    """Has a layer that `forward` never comes to: its gradients stay None."""

    def __init__(self) -> None:
        """A used and an unused layer."""
        super().__init__()
        self.used, self.unused = nn.Linear(3, 2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3] -> [N, 2]."""
        return self.used(x)


class Tied(nn.Module):
    """Two layers with one weight, as embeddings and output layers have; and a block that has two names."""

    def __init__(self) -> None:
        """Three layers, of which two share their weight."""
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.block = nn.Sequential(nn.Linear(4, 3), nn.Tanh())
        self.second.weight = self.first.weight
        self.same_block = self.block

    def forward(self, x: Tensor) -> Tensor:
        """[N, 4] -> [N, 3]."""
        return self.same_block(self.second(self.first(x).relu()))


class OwnParameters(nn.Module):
    """Parameters that belong to no layer: a number, a vector, matrices in a list, one of them inside a layer."""

    def __init__(self) -> None:
        """No layer but an inner one."""
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.randn(3))
        self.matrices = nn.ParameterList([nn.Parameter(torch.randn(3, 3)), nn.Parameter(torch.randn(3, 2))])
        self.inner = nn.ModuleDict({"norm": nn.LayerNorm(3)})

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3] -> [N, 2]."""
        return self.inner["norm"](self.scale * x + self.shift) @ self.matrices[0] @ self.matrices[1]


class Frozen(nn.Module):
    """A frozen body, whose normalization is in evaluation mode while the model trains, and a new head."""

    def __init__(self) -> None:
        """Body and head."""
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU())
        self.head = nn.Linear(4, 2)
        self.body.requires_grad_(False)
        self.body.eval()

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3] -> [N, 2]."""
        return self.head(self.body(x))


class Recurrent(nn.Module):
    """A GRU, whose matrices hold three gates each."""

    def __init__(self) -> None:
        """A GRU of two layers and a head."""
        super().__init__()
        self.gru, self.head = nn.GRU(3, 4, num_layers=2, batch_first=True), nn.Linear(4, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[N, T, 3] -> [N, 2]."""
        return self.head(self.gru(x)[0][:, -1])


class Attending(nn.Module):
    """Embeddings and attention, whose first matrix holds queries, keys and values."""

    def __init__(self) -> None:
        """Embedding, attention, normalization."""
        super().__init__()
        self.tokens, self.attention = nn.Embedding(7, 4), nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        """Whole numbers below 7 [N, T] -> [N, 4]."""
        h = self.tokens(x)
        return self.norm(h + self.attention(h, h, h, need_weights=False)[0]).mean(1)


def example_models(leave_out: Collection[str] = ()) -> list[Example]:
    """Make the models anew, the smallest first; `leave_out` names those that a task rules out.

    The weights come from the global random numbers, which are seeded during a check.
    """
    half_frozen = nn.Linear(3, 2)
    half_frozen.bias.requires_grad_(False)
    asleep = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Dropout(0.5), nn.Linear(5, 1)).eval()
    signal = nn.Sequential(nn.Conv1d(2, 4, 3), nn.GroupNorm(2, 4), nn.GELU(), nn.Flatten(), nn.Linear(12, 3))
    image = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 2)),
    )  # fmt: skip
    examples = [
        Example("a bare nn.Linear(3, 2)", nn.Linear(3, 2), torch.randn(4, 3)),
        Example("nn.Linear(3, 2) with its bias frozen", half_frozen, torch.randn(4, 3)),
        Example("nothing but a ReLU", nn.ReLU(), torch.randn(4, 3)),
        Example("a model in evaluation mode", asleep, torch.randn(5, 4)),
        Example("a model with a layer that is never used", Unused(), torch.randn(4, 3)),
        Example("a model with tied weights", Tied(), torch.randn(5, 4)),
        Example("a model with a frozen body", Frozen(), torch.randn(5, 3)),
        Example("a model with parameters outside of layers", OwnParameters(), torch.randn(6, 3)),
        Example("a model with a GRU", Recurrent(), torch.randn(3, 5, 3)),
        Example("a model with attention", Attending(), torch.randint(0, 7, (3, 5))),
        Example("a model with a 1-d convolution", signal, torch.randn(4, 2, 5)),
        Example("a model with nested layers and batch normalization", image, torch.randn(6, 1, 5, 7)),
    ]
    unknown = set(leave_out) - {one.name for one in examples}
    assert not unknown, f"there are no examples called {unknown}"
    return [one for one in examples if one.name not in leave_out]
