"""Small data, models and loaders that the tests of `fit` share."""

from __future__ import annotations

import torch
from torch import nn

from nnlab_helpers.models import MLP


def make_data(samples=50, features=6, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, features, generator=generator)
    return x, (x[:, :classes] + 0.1 * torch.randn(samples, classes, generator=generator)).argmax(dim=1)


def batches_of(x, y, size):
    return list(zip(x.split(size), y.split(size), strict=True))


def make_model(seed=0, **kwargs):
    torch.manual_seed(seed)
    return MLP(6, (8,), 3, **kwargs)


def sgd(model, lr=0.1, **kwargs):
    return torch.optim.SGD(model.parameters(), lr=lr, **kwargs)


def weights(model):
    return torch.cat([value.cpu().flatten().double() for value in model.state_dict().values()])


def grad(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


class Watch:
    """A hook that passes each moment on to the function given for it."""

    def __init__(self, **functions):
        for moment, function in functions.items():
            setattr(self, f"on_{moment}", function)


class Constant(nn.Module):
    """A model that returns the same whatever comes, and has a weight to learn."""

    def __init__(self, output):
        super().__init__()
        self.output = nn.Parameter(output.clone()) if isinstance(output, torch.Tensor) else output
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.output


X, Y = make_data()
