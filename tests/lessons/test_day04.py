"""Day 4's own normalisation, networks and loop, held against PyTorch and against the package."""

import copy

import pytest
import torch
from closeness import rounding
from lesson import definitions
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.models import count_parameters, parameter_table
from nnlab_helpers.train import fit

LESSON = "day04_layers_modules"


@pytest.fixture
def x():
    return torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("axes", "norm"),
    [((0, 2), nn.BatchNorm1d(6)), ((1, 2), nn.LayerNorm([6, 5])), (2, nn.InstanceNorm1d(6))],
    ids=["batch", "layer", "instance"],
)
def test_one_formula_gives_three_norms(x, axes, norm):
    standardised = definitions(LESSON, "standardised").standardised
    torch.testing.assert_close(standardised(3 * x + 1, axes), norm.double()(3 * x + 1))


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_the_solutions_group_norm_is_pytorchs(x, groups):
    group_norm = definitions(LESSON, "group_norm", folder="solutions").group_norm
    torch.testing.assert_close(group_norm(x, groups), F.group_norm(x, groups))


def test_the_lessons_picture_shows_who_shares_a_mean():
    has_a_say = definitions(LESSON, "has_a_say").has_a_say
    group = has_a_say(nn.GroupNorm(3, 6), entry=(2, 3, 1))
    assert group.nonzero()[:, :2].unique(dim=0).tolist() == [[2, 2], [2, 3]]
    batch = has_a_say(nn.BatchNorm1d(6), entry=(2, 3, 1))
    assert batch.nonzero()[:, :2].unique(dim=0).tolist() == [[sample, 3] for sample in range(4)]


@pytest.mark.parametrize(("layer", "sizes", "row"), [
    (nn.Linear(4, 3), (8, 4), ("Linear", [8, 4], [8, 3], 15, "")),
    (nn.BatchNorm1d(6), (8, 6), ("BatchNorm1d", [8, 6], [8, 6], 12, "differs")),
    (nn.Dropout(0.5), (8, 6), ("Dropout", [8, 6], [8, 6], 0, "differs")),
    (nn.LSTM(4, 16, batch_first=True), (8, 12, 4), ("LSTM", [8, 12, 4], [8, 12, 16], 1408, "")),
])  # fmt: skip
def test_asking_a_layer(layer, sizes, row):
    lesson = definitions(LESSON, "ask", "catalogue")
    lesson.ask(layer, *sizes)
    assert lesson.catalogue == [row]


@pytest.mark.parametrize("norm", [True, False])
def test_the_lessons_network_counts_as_the_package_does(norm):
    net = definitions(LESSON, "Net").Net(norm=norm)
    assert count_parameters(net) == 1153 + 128 * norm
    layer_parameters = definitions(LESSON, "layer_parameters", folder="solutions").layer_parameters
    table = parameter_table(net)["parameters"]
    assert layer_parameters(net) == table.drop("total").to_dict()


def test_a_plain_list_hides_layers():
    deep = definitions(LESSON, "Deep").Deep
    assert count_parameters(deep(list)) == 33
    assert count_parameters(deep(nn.ModuleList)) == 33 + (8 * 32 + 32) + (32 * 32 + 32)


def test_the_solutions_loop_and_fit_train_alike():
    log_losses = definitions(LESSON, "log_losses", folder="solutions").log_losses
    torch.manual_seed(0)
    own = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
    other = copy.deepcopy(own)
    x, y = torch.randn(23, 2), torch.randn(23, 1)
    batches = list(zip(x[:17].split(6), y[:17].split(6), strict=True))
    losses = log_losses(own, batches, x[17:], y[17:], 3, 0.1)
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    history = fit(other, batches, [(x[17:], y[17:])], epochs=3, optimizer=optimizer, loss=F.mse_loss, device="cpu")
    expected = list(zip(history["train_loss"], history["val_loss"], strict=True))
    within = {"rtol": rounding(steps=1024), "atol": rounding(steps=128)}
    torch.testing.assert_close(torch.tensor(losses), torch.tensor(expected), **within)


def test_measuring_changes_nothing():
    lesson = definitions(LESSON, "Net", "measure")
    net = lesson.Net()
    before = copy.deepcopy(net.state_dict())
    x = torch.randn(9, 1)
    assert lesson.measure(net, x, x) == lesson.measure(net, x, x)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
