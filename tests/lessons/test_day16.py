"""Day 16's own starts, statistics and norms, held against torch and the package."""

import math

import pytest
import torch
from lesson import definitions
from torch import nn

from nnlab_helpers.models import MLP, initialize, layer_statistics

LESSON = "day16_init_norm"


@pytest.mark.parametrize("scheme", ["xavier", "he"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_the_lessons_start_has_the_packages_deviation(scheme, distribution):
    start_layer = definitions(LESSON, "start_layer").start_layer
    torch.manual_seed(0)
    ours, theirs = nn.Linear(300, 700), nn.Linear(300, 700)
    start_layer(ours, scheme, distribution)
    initialize(theirs, f"{scheme}_{distribution}")
    assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.01)
    limit = math.sqrt(3) * theirs.weight.std().item()
    assert (ours.weight.abs().max().item() < 1.02 * limit) == (distribution == "uniform")
    assert not ours.bias.any()


@pytest.mark.parametrize(("bend", "norm"), [("relu", None), ("tanh", None), ("relu", "batch"), ("relu", "layer")])
def test_the_lessons_signals_are_the_packages_statistics(bend, norm):
    lesson = definitions(LESSON, "signals", "size", "network", "start_layer")
    torch.manual_seed(0)
    model = lesson.network("he", depth=4, bend=bend, norm=norm).double()
    x, y = torch.randn(32, 784).double(), torch.randint(10, (32,))
    table = layer_statistics(model, x, y)
    table = table[table["kind"].isin(["ReLU", "Tanh"])]
    sizes, spreads, gradients = lesson.signals(model, x, y)
    count = 32 * 64
    for row, size, spread, gradient in zip(table.itertuples(), sizes, spreads, gradients, strict=True):
        assert math.sqrt(row.mean**2 + row.std**2 * (count - 1) / count) == pytest.approx(size.item(), rel=1e-5)
        assert row.spread == pytest.approx(spread.item(), rel=1e-5)
        each = 32 * math.sqrt(row.gradient_mean**2 + row.gradient_std**2 * (count - 1) / count)
        assert each == pytest.approx(gradient.item(), rel=1e-4)


def test_the_lessons_starts():
    lesson = definitions(LESSON, "network", "start_layer")
    torch.manual_seed(0)
    assert [len(list(lesson.network("default", depth=d).modules())) for d in (1, 3)] == [6, 10]
    for start, want in ((0.3, 0.3), ("he", math.sqrt(2 / 64)), ("xavier", 1 / 8), ("default", 1 / math.sqrt(192))):
        model = lesson.network(start, depth=3)
        inner = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][1]
        assert inner.weight.std().item() == pytest.approx(want, rel=0.06)
        assert inner.bias.any().item() == (start == "default")
    assert isinstance(lesson.network("he", depth=1, norm="group").layers[2], nn.GroupNorm)


def test_the_lessons_norms_are_torchs():
    lesson = definitions(LESSON, "batch_norm", "layer_norm", "group_norm", "EPS")
    torch.manual_seed(0)
    x = 4 * torch.randn(5, 12) + 3
    torch.testing.assert_close(lesson.batch_norm(x), nn.BatchNorm1d(12)(x))
    torch.testing.assert_close(lesson.layer_norm(x), nn.LayerNorm(12)(x))
    torch.testing.assert_close(lesson.group_norm(x, 3), nn.GroupNorm(3, 12)(x))


def test_copies_are_counted_as_one():
    different_units = definitions(LESSON, "different_units").different_units
    layer = nn.Linear(3, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2, 3], [3, 2, 1], [1, 2, 3], [0, 0, 0]]))
    assert different_units(layer) == 3
    assert different_units(initialize(MLP(4, (9,), 2), "zero").layers[1]) == 1
