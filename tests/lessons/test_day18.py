"""Day 18's own transforms, network and costs, held against the package, PyTorch and counting."""

import pytest
import torch
from lesson import definitions
from torch import nn

from nnlab_helpers.augment import Noise, rotate, shift

LESSON = "day18_augmentation_resolution"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_lessons_shift_is_the_packages(channels):
    move = definitions(LESSON, "move").move
    x = torch.rand(40, channels, 9, 12, generator=seeded())
    down, right = torch.randint(-3, 4, (2, 40), generator=seeded(1))
    assert torch.equal(move(x, down, right, most=3), shift(x, down, right, most=3))


def test_the_lessons_noise_is_the_packages():
    add_noise = definitions(LESSON, "add_noise").add_noise
    x = torch.rand(5, 1, 6, 6, generator=seeded())
    assert torch.equal(add_noise(x, 0.4, seeded(2)), Noise(0.4)(x, generator=seeded(2)))


def test_the_lessons_rotation_is_the_packages():
    turn = definitions(LESSON, "turn").turn
    x = torch.rand(20, 2, 11, 11, generator=seeded())
    degrees = 360 * torch.rand(20, generator=seeded(3)) - 180
    torch.testing.assert_close(turn(x, degrees), rotate(x, degrees), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(turn(x, torch.full((20,), 90.0)), torch.rot90(x, 1, (2, 3)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("name", "changed"), [("half_turn", (-2, -1)), ("shuffle", None), ("grey", None)])
def test_the_lessons_other_changes_keep_what_they_promise(name, changed):
    change = getattr(definitions(LESSON, "GREY", name), name)
    x = torch.rand(60, 3, 5, 5, generator=seeded())
    before = x.clone()
    y = change(x, generator=seeded(4))
    assert torch.equal(x, before)
    assert y.shape == x.shape
    if changed:
        same, turned = (y == x).flatten(1).all(1), (y == x.flip(changed)).flatten(1).all(1)
        assert (same ^ turned).all()
        assert 15 < same.sum() < 45
    elif name == "shuffle":
        assert torch.equal(y.sort(dim=1).values, x.sort(dim=1).values)
        assert len({tuple(row) for row in y.mean(dim=(2, 3)).argsort(dim=1).tolist()}) == 6
    else:
        assert torch.equal(y[:, 0], y[:, 1])
        assert torch.equal(y[:, 0], y[:, 2])


def test_inks_are_equally_bright_and_differ():
    lesson = definitions(LESSON, "paint", "GREY")
    inks = torch.stack([lesson.paint(i / 10) for i in range(10)])
    torch.testing.assert_close(inks @ lesson.GREY, torch.full((10,), 0.5), rtol=0, atol=1e-3)
    assert inks.min() >= 0
    assert inks.max() <= 1
    assert torch.pdist(inks).min() > 0.15


@pytest.mark.parametrize("size", [7, 10, 14, 20, 28])
def test_multiply_adds_are_those_of_the_network(size):
    lesson = definitions(LESSON, "Reader", "multiply_adds")
    conv_cost = definitions(LESSON, "conv_cost", folder="solutions").conv_cost
    model, total = lesson.Reader(size), 0
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            total += conv_cost(layer, size, size)
        elif isinstance(layer, nn.Linear):
            total += layer.weight.numel()
    assert lesson.multiply_adds(size) == total
    assert model(torch.zeros(2, 1, size, size)).shape == (2, 10)


def test_every_second_picture_is_behind_glass():
    behind_glass = definitions(LESSON, "behind_glass").behind_glass
    x = torch.rand(7, 1, 4, 4, generator=seeded())
    seen = behind_glass(x)
    assert torch.equal(seen[1::2], x[1::2])
    assert torch.equal(seen[::2], x[::2].flip(-1))


def test_standardising_each_image_makes_fading_disappear():
    lesson = definitions(LESSON, "each")
    standardize_each = definitions(LESSON, "standardize_each", folder="solutions").standardize_each
    x = torch.rand(6, 1, 14, 14, generator=seeded())
    torch.testing.assert_close(lesson.each(0.4 * x + 0.3), lesson.each(x), rtol=0.02, atol=0.02)
    torch.testing.assert_close(lesson.each(x), standardize_each(x), rtol=0.01, atol=0.01)
