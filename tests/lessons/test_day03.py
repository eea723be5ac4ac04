"""Day 3's own activations, network and measurements, held against PyTorch."""

import pytest
import torch
from closeness import rounding
from lesson import definitions
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.device import pick_device
from nnlab_helpers.models.activations import make_activation

LESSON = "day03_activations"


@pytest.fixture
def device():
    return pick_device()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh", "gelu", "swish"])
def test_activations_and_their_slopes_are_torchs(name):
    lesson = definitions(LESSON, name, "slope_of")
    oracle = make_activation(name)
    z = torch.cat([torch.linspace(-120, 120, 1000), torch.linspace(-4, 4, 1000)])
    torch.testing.assert_close(getattr(lesson, name)(z), oracle(z))
    mine, theirs = lesson.slope_of(getattr(lesson, name), z), lesson.slope_of(oracle, z)
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize(("name", "at_zero"), [("sigmoid", 0.25), ("tanh", 1.0), ("gelu", 0.5), ("swish", 0.5)])
def test_slope_at_zero(name, at_zero):
    lesson = definitions(LESSON, name, "slope_of")
    assert lesson.slope_of(getattr(lesson, name), torch.zeros(1)).item() == pytest.approx(at_zero, abs=rounding())


def test_the_textbooks_sigmoid_has_no_slope_far_out():
    lesson = definitions(LESSON, "textbook_sigmoid", "sigmoid", "slope_of")
    far = torch.tensor([-100.0])
    assert lesson.slope_of(lesson.textbook_sigmoid, far).isnan()
    assert lesson.slope_of(lesson.sigmoid, far).item() == 0


def test_spiral_is_seeded_and_balanced():
    make_spiral = definitions(LESSON, "make_spiral").make_spiral
    points, arm = make_spiral(per_arm=20)
    assert points.shape == (40, 2)
    assert arm.bincount().tolist() == [20, 20]
    torch.testing.assert_close(make_spiral(per_arm=20)[0], points, rtol=0, atol=0)
    assert not torch.equal(make_spiral(per_arm=20, seed=1)[0], points)


def as_module(layers, network, activation):
    """The network of this index as an `nn.Sequential`."""
    parts = []
    for weight, bias in layers:
        linear = nn.Linear(weight.shape[1], weight.shape[2]).to(weight.device)
        linear.weight.data.copy_(weight[network].T)
        linear.bias.data.copy_(bias[network, 0])
        parts += [linear, activation()]
    return nn.Sequential(*parts[:-1])


def test_networks_side_by_side_train_like_single_ones(device, generator):
    lesson = definitions(LESSON, "make_layers", "forward", "losses", "accuracy", "train")
    x = torch.randn(40, 6, generator=generator).to(device)
    y = torch.randint(0, 3, (40,), generator=generator).to(device)
    layers = lesson.make_layers([6, 8, 5, 3])
    singles = [as_module(layers, network, nn.Tanh) for network in range(3)]
    seen = lesson.train(
        layers, torch.tanh, x, y, rate=0.3, steps=20, batch=16,
        watch=lambda net, bend: lesson.losses(lesson.forward(net, x, bend), y).detach(),
    )
    assert seen.shape == (3, 3)
    for network, single in enumerate(singles):
        optimizer = torch.optim.SGD(single.parameters(), lr=0.3)
        picks = torch.Generator().manual_seed(0)
        for step in range(21):
            if step % 10 == 0:
                assert seen[network, step // 10].item() == pytest.approx(F.cross_entropy(single(x), y).item(), rel=1e-3)
            if step == 20:
                break
            chosen = torch.randint(40, (16,), generator=picks).to(device)
            optimizer.zero_grad()
            F.cross_entropy(single(x[chosen]), y[chosen]).backward()
            optimizer.step()
        right = (single(x).argmax(1) == y).float().mean().item()
        assert lesson.accuracy(layers, torch.tanh, x, y)[network].item() == pytest.approx(right, abs=0.05)


def test_the_start_has_the_spread_it_names():
    make_layers = definitions(LESSON, "make_layers").make_layers
    (weight, bias), *_ = make_layers([400, 200, 10], gain=1.5)
    assert weight.shape == (3, 400, 200)
    assert bias.shape == (3, 1, 200)
    assert weight.std().item() == pytest.approx(1.5 / 20, rel=0.02)
    assert not bias.any()


def test_gradient_by_depth_is_that_of_backward(device, generator):
    lesson = definitions(LESSON, "make_layers", "forward", "losses", "gradient_by_depth", "relu")
    x = torch.randn(30, 6, generator=generator).to(device)
    y = torch.randint(0, 3, (30,), generator=generator).to(device)
    layers = lesson.make_layers([6, 8, 8, 3])
    norms = lesson.gradient_by_depth(layers, lesson.relu, x, y)
    assert norms.shape == (3, 2)
    for network in range(3):
        single = as_module(layers, network, nn.ReLU)
        first = single[0](x)
        second = single[2](single[1](first))
        loss = F.cross_entropy(single[4](single[3](second)), y)
        expected = torch.stack([g.norm() for g in torch.autograd.grad(loss, [first, second])])
        torch.testing.assert_close(norms[network], expected, rtol=1e-4, atol=rounding())


def test_dead_units_are_silent_for_every_row(device):
    dead_units = definitions(LESSON, "dead_units").dead_units
    weight = torch.eye(3, device=device)[None]
    bias = torch.tensor([[[0.0, -1.0, -5.0]]], device=device)
    x = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 2.0, 4.0]], device=device)
    assert dead_units([(weight, bias)], x).tolist() == [[False, False, True]]
    assert dead_units([(weight, bias)], x[:1]).tolist() == [[False, True, True]]
