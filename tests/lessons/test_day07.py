"""Day 7's own convolution and LeNet, held against PyTorch and against the package."""

import pytest
import torch
from lesson import definitions
from torch.nn import functional as F

from nnlab_helpers import models

LESSON = "day07_lenet"


@pytest.mark.parametrize(("height", "width", "k"), [(5, 5, 3), (4, 7, 2), (3, 3, 3), (6, 5, 1)])
def test_the_lessons_convolution_is_pytorchs(height, width, k):
    generator = torch.Generator().manual_seed(height)
    image, kernel = torch.randn(height, width, generator=generator), torch.randn(k, k, generator=generator)
    own = definitions(LESSON, "convolve").convolve(image, kernel)
    torch.testing.assert_close(own, F.conv2d(image[None, None], kernel[None, None])[0, 0])


def test_the_solutions_convolution_is_pytorchs_for_many_channels():
    generator = torch.Generator().manual_seed(0)
    images, kernels = torch.randn(2, 3, 9, 8, generator=generator), torch.randn(5, 3, 4, 4, generator=generator)
    own = definitions(LESSON, "conv2d", folder="solutions").conv2d(images, kernels)
    torch.testing.assert_close(own, F.conv2d(images, kernels))


def test_the_lessons_lenet_is_the_packages():
    own, package = definitions(LESSON, "LeNet").LeNet(), models.LeNet()
    mine, theirs = list(own.parameters()), list(package.parameters())
    assert [p.shape for p in mine] == [p.shape for p in theirs]
    with torch.no_grad():
        for p, q in zip(mine, theirs, strict=True):
            q.copy_(p)
    x = torch.randn(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(own(x), package(x))


def test_the_solutions_lenet64_is_the_packages_at_that_size():
    own = definitions(LESSON, "LeNet64", folder="solutions").LeNet64()
    assert models.count_parameters(own) == models.count_parameters(models.LeNet(image_size=64))
    assert own(torch.zeros(2, 1, 64, 64)).shape == (2, 10)


def test_shifting_moves_to_the_right_and_loses_nothing():
    shifted = definitions(LESSON, "shifted").shifted
    x = torch.zeros(1, 1, 6, 6)
    x[..., 2, 1] = 1
    moved = shifted(x, 3)
    assert moved[..., 2, 4] == 1
    assert moved.sum() == 1


def test_squared_error_is_zero_only_for_a_sure_right_answer():
    squared_error = definitions(LESSON, "squared_error").squared_error
    y = torch.tensor([3])
    assert squared_error(100.0 * F.one_hot(y, 10), y).item() == pytest.approx(0)
    assert squared_error(torch.zeros(1, 10), y).item() == pytest.approx(0.9**2 + 9 * 0.1**2)
