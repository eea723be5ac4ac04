"""The networks: shapes, counts, what is in them, and what they say to a wrong batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nnlab_helpers.models import MLP, LeNet, count_parameters, parameter_table, width_for_budget
from nnlab_helpers.models.modes import evaluating, keeping_modes


def kinds(model: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in model.modules() if not list(layer.children())]


def test_mlp_layers_in_order():
    model = MLP(20, (16, 8), 3, activation="gelu", norm="batch", dropout=0.5)
    block = ["Linear", "BatchNorm1d", "GELU", "Dropout"]
    assert kinds(model) == ["Flatten", *block, *block, "Linear"]
    assert kinds(MLP(20, (), 3)) == ["Flatten", "Linear"]
    assert kinds(MLP(20, (4,), 3, norm="layer")) == ["Flatten", "Linear", "LayerNorm", "ReLU", "Linear"]


def test_mlp_is_the_composition_of_its_matrices():
    torch.manual_seed(0)
    model = MLP(12, (7,), 4)
    x = torch.randn(5, 1, 3, 4)
    first, last = (layer for layer in model.layers if isinstance(layer, nn.Linear))
    by_hand = (x.reshape(5, 12) @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    torch.testing.assert_close(model(x), by_hand)
    assert (model(x) < 0).any(), "logits, with no ReLU after the last layer"


def test_default_mlp_size():
    assert count_parameters(MLP()) == 785 * 256 + 257 * 256 + 257 * 10


@pytest.mark.parametrize("size", [16, 17, 28, 32, 47, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_lenet_takes_any_size(size, channels):
    model = LeNet(channels, num_classes=7, image_size=size)
    assert model(torch.zeros(2, channels, size, size)).shape == (2, 7)


def test_lenet_is_the_published_one():
    """Convolutions and dense layers of LeNet-5; the original also thinned out connections between maps."""
    table = parameter_table(LeNet())
    assert table["parameters"].tolist() == [156, 2416, 48120, 10164, 850, 61706]
    assert kinds(LeNet(activation="tanh")).count("Tanh") == 4


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "swish"])
def test_activation_names_are_those_of_torch(name):
    theirs = {"swish": "silu"}.get(name, name)
    x = torch.linspace(-3, 3, 13).reshape(1, 13)
    model = MLP(13, (13,), 13, activation=name)
    activation = model.layers[2]
    function = getattr(torch.nn.functional, theirs, None) or getattr(torch, theirs)
    assert torch.equal(activation(x), function(x))
    assert any(type(layer) is type(activation) for layer in LeNet(activation=name).modules())


def test_activation_as_a_class_is_fresh_in_each_layer():
    layers = [layer for layer in MLP(4, (3, 3), 2, activation=nn.PReLU).modules() if isinstance(layer, nn.PReLU)]
    assert len(layers) == 2
    assert layers[0].weight is not layers[1].weight


@pytest.mark.parametrize("share", [0.1, 0.8])
def test_dropout_is_the_share_that_is_silenced(share):
    torch.manual_seed(0)
    model = MLP(10, (4_000,), 3, activation="identity", dropout=share)
    hidden = []
    model.layers[-1].register_forward_pre_hook(lambda module, inputs: hidden.append(inputs[0]))
    model(torch.randn(1, 10))
    assert (hidden[0] == 0).float().mean().item() == pytest.approx(share, abs=0.03)  # deviation 0.006


def test_dropout_only_in_training():
    torch.manual_seed(0)
    model, x = MLP(10, (64,), 3, dropout=0.5), torch.randn(2, 10)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_counts_know_frozen_and_shared_parameters():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    assert count_parameters(model) == 24
    model[2].weight = model[0].weight
    assert count_parameters(model) == 15
    model[0].weight.requires_grad_(False)
    assert count_parameters(model) == 6
    assert count_parameters(model, trainable_only=False) == 15
    table = parameter_table(model)
    assert table.loc["total", ["parameters", "trainable"]].tolist() == [15, 6]
    assert list(table.index) == ["0", "2", "total"]
    assert table.loc["0", "shapes"] == "weight [3, 3], bias [3]"


def test_table_of_a_model_without_parameters():
    assert parameter_table(nn.ReLU()).loc["total", "parameters"] == 0


@pytest.mark.parametrize("depth", [1, 2, 3, 7, 20])
@pytest.mark.parametrize(("inputs", "outputs"), [(784, 10), (3, 1)])
def test_width_for_budget_is_the_largest_that_fits(depth, inputs, outputs):
    def count(width: int) -> int:
        return count_parameters(MLP(inputs, [width] * depth, outputs))

    for width in (1, 2, 17):
        exact = count(width)
        assert width_for_budget(exact, depth, inputs, outputs) == width
        assert width_for_budget(count(width + 1) - 1, depth, inputs, outputs) == width
        if width > 1:
            assert width_for_budget(exact - 1, depth, inputs, outputs) == width - 1
    with pytest.raises(ValueError, match=f"{count(1)} parameters already"):
        width_for_budget(count(1) - 1, depth, inputs, outputs)


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: MLP(activation="rleu"), ValueError, "unknown activation 'rleu'.*leaky_relu"),
        (lambda: MLP(activation=nn.ReLU()), TypeError, "pass the class"),
        (lambda: MLP(norm="instance"), ValueError, "unknown norm"),
        (lambda: MLP(dropout=1.0), ValueError, "dropout"),
        (lambda: MLP(hidden=(10, 0)), ValueError, "at least one unit"),
        (lambda: MLP()(torch.zeros(5, 1, 32, 32)), ValueError, r"784 numbers per sample, got shape \[5, 1, 32, 32\]"),
        (lambda: MLP()(torch.zeros(28, 28)), ValueError, r"x\[None\]"),
        (lambda: MLP()(torch.zeros(784)), ValueError, r"x\[None\]"),
        (lambda: width_for_budget(1000, 0), ValueError, "at least 1, got depth 0"),
        (lambda: LeNet(image_size=15), ValueError, "too small"),
        (lambda: LeNet(num_classes=0), ValueError, "at least one"),
        (lambda: LeNet()(torch.zeros(5, 1, 28, 28)), ValueError, r"\[N, 1, 32, 32\], got shape \[5, 1, 28, 28\]"),
        (lambda: LeNet()(torch.zeros(1, 32, 32)), ValueError, r"\[N, 1, 32, 32\]"),
    ],
)
def test_mistakes_speak(call, error, says):
    with pytest.raises(error, match=says):
        call()


def test_an_empty_batch_gives_no_logits():
    assert MLP()(torch.zeros(0, 1, 28, 28)).shape == (0, 10)


@pytest.mark.parametrize("context", [keeping_modes, evaluating])
def test_each_part_gets_its_own_mode_back(context):
    """Also a frozen part that was in evaluation mode, and also after an error."""
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)))
    model[1].eval()
    with pytest.raises(RuntimeError, match="on the way"), context(model):  # noqa: PT012  (it must raise inside)
        model.train(not model.training)
        raise RuntimeError("on the way")
    assert [module.training for module in model.modules()] == [True, True, False, False]


def test_evaluating_is_without_gradients_and_dropout():
    model = nn.Sequential(nn.Linear(3, 50), nn.Dropout())
    x = torch.ones(2, 3)
    with evaluating(model):
        torch.testing.assert_close(model(x), model[0](x), rtol=0, atol=0)
        assert not model(x).requires_grad
    assert model(x).requires_grad
