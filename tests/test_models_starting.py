"""Starting weights and what they do to signal and gradient: against torch's own, exact cases and by hand."""

from __future__ import annotations

import math

import pytest
import torch
from closeness import rounding
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.models import MLP, initialize, layer_statistics
from nnlab_helpers.models.starting import SCHEMES


def weight_of(layer: nn.Module, scheme: str, **options: float) -> torch.Tensor:
    torch.manual_seed(0)
    initialize(layer, scheme, **options)
    return layer.weight.detach()


WANTED = {
    "xavier_normal": math.sqrt(2 / (300 + 900)),
    "xavier_uniform": math.sqrt(2 / (300 + 900)),
    "he_normal": math.sqrt(2 / 300),
    "he_uniform": math.sqrt(2 / 300),
    "normal": 0.01,
    "uniform": 0.01,
    "zero": 0.0,
    "default": 1 / math.sqrt(3 * 300),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_deviation_and_shape_of_the_distribution(scheme):
    weight = weight_of(nn.Linear(300, 900), scheme)
    assert weight.std().item() == pytest.approx(WANTED[scheme], rel=0.01)
    assert weight.mean().item() == pytest.approx(0, abs=0.001)
    if scheme.endswith(("uniform", "default")):
        assert weight.abs().max().item() == pytest.approx(math.sqrt(3) * WANTED[scheme], rel=0.001)
    elif scheme.endswith("normal"):
        assert weight.abs().max().item() > 4 * WANTED[scheme]


def test_a_kernel_counts_its_area():
    weight = weight_of(nn.Conv2d(32, 64, 5), "he_normal")
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 25)), rel=0.02)
    weight = weight_of(nn.Conv2d(32, 64, 5), "xavier_uniform")
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (25 * (32 + 64))), rel=0.02)


@pytest.mark.parametrize("scheme", ["xavier_normal", "xavier_uniform", "he_normal", "he_uniform"])
def test_gain_multiplies(scheme):
    plain, doubled = weight_of(nn.Linear(20, 30), scheme), weight_of(nn.Linear(20, 30), scheme, gain=2.0)
    torch.testing.assert_close(doubled, 2 * plain)


@pytest.mark.parametrize("scheme", ["normal", "uniform"])
def test_std_is_the_deviation(scheme):
    assert weight_of(nn.Linear(300, 300), scheme, std=0.5).std().item() == pytest.approx(0.5, rel=0.02)


def test_biases_become_zero_and_other_parameters_stay():
    model = MLP(20, (16, 16), 3, norm="layer")
    norm = model.layers[2]
    nn.init.constant_(norm.weight, 7.0)
    nn.init.constant_(norm.bias, 8.0)
    assert initialize(model, "he_normal") is model
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    assert len(linear) == 3
    assert not any(layer.bias.any() for layer in linear)
    assert (norm.weight == 7).all()
    assert (norm.bias == 8).all()
    initialize(nn.Linear(3, 3, bias=False), "zero")


def test_default_is_what_torch_draws():
    torch.manual_seed(3)
    fresh = nn.Linear(9, 5)
    layer = nn.Linear(9, 5)
    torch.manual_seed(3)
    initialize(layer, "default")
    assert torch.equal(layer.weight, fresh.weight)
    assert torch.equal(layer.bias, fresh.bias)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"scheme": "kaiming"}, "he_normal"), ({"scheme": "normal", "std": -1.0}, "std"),
     ({"scheme": "he_normal", "gain": math.inf}, "gain"), ({"scheme": "he_normal", "gain": math.nan}, "gain")],
)  # fmt: skip
def test_what_it_refuses(arguments, words):
    with pytest.raises(ValueError, match=words):
        initialize(nn.Linear(2, 2), **arguments)


# Statistics --------------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_a_step_by_hand():
    torch.manual_seed(0)
    model, x, y = MLP(6, (5, 4), 3), torch.randn(8, 6), torch.randint(3, (8,))
    table = layer_statistics(model, x, y)
    assert table["kind"].tolist() == ["Flatten", "Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert table["layer"].tolist() == [f"layers.{k}" for k in range(6)]
    h = x
    for row, layer in zip(table.itertuples(), model.layers, strict=True):
        h = layer(h)
        h.requires_grad_() if h.is_leaf else h.retain_grad()
        again = h
        assert row.mean == pytest.approx(again.mean().item(), abs=rounding())
        assert row.std == pytest.approx(again.std().item(), rel=1e-5)
        assert row.spread == pytest.approx(again.std(dim=0).mean().item(), rel=1e-5)
    by_hand = torch.autograd.grad(F.cross_entropy(model(x), y), model.layers[-1].bias)[0]
    assert by_hand.shape == (3,)
    logits = model(x).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(logits, y), logits)
    assert table["gradient_std"].iloc[-1] == pytest.approx(gradient.std().item(), rel=1e-5)
    assert table["gradient_mean"].iloc[-1] == pytest.approx(gradient.mean().item(), abs=rounding(steps=8))


def test_gradients_of_a_middle_layer():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[1].weight.copy_(torch.tensor([[1.0, 3.0]]))
    table = layer_statistics(model, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 0, lambda out, y: out.sum())
    assert table["gradient_mean"].tolist() == [2.0, 1.0]
    assert table["gradient_std"].iloc[0] == pytest.approx(torch.tensor([1.0, 3.0, 1.0, 3.0]).std().item())
    assert table["spread"].iloc[0] == pytest.approx(math.sqrt(2))


def test_the_model_is_left_as_it_was():
    torch.manual_seed(0)
    model = MLP(6, (5, 4), 3, norm="batch", dropout=0.5)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    layer_statistics(model, torch.randn(8, 6, generator=torch.Generator().manual_seed(1)), torch.zeros(8).long())
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.modules())


def test_layers_that_work_in_place_and_frozen_ones():
    torch.manual_seed(0)
    calm = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    hasty = nn.Sequential(calm[0], nn.ReLU(inplace=True), calm[2])
    x, y = torch.randn(5, 4), torch.tensor([0, 1, 0, 1, 0])
    assert layer_statistics(hasty, x, y).equals(layer_statistics(calm, x, y))
    frozen = layer_statistics(calm.requires_grad_(False), x)
    assert frozen["gradient_std"].isna().all()
    assert frozen["std"].notna().all()
    with torch.no_grad():
        calm.requires_grad_(True)
        assert layer_statistics(calm, x, y)["gradient_std"].notna().all()


def test_what_statistics_refuse():
    with pytest.raises(ValueError, match="two samples"):
        layer_statistics(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="single number"):
        layer_statistics(nn.Linear(2, 2), torch.zeros(2, 2), 0, lambda out, y: out)


@pytest.mark.parametrize(("width", "groups"), [(64, 8), (12, 4), (7, 1)])
def test_group_norm_in_an_mlp(width, groups):
    model = MLP(5, (width,), 2, norm="group")
    assert model.layers[2].num_groups == groups
    h = model.layers[2](3 * torch.randn(4, width) + 1).reshape(4, groups, -1)
    torch.testing.assert_close(h.mean(dim=2), torch.zeros(4, groups), atol=rounding(steps=128), rtol=0)
