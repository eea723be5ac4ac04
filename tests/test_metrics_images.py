"""PSNR and SSIM against their formulas and against values known beforehand."""

from __future__ import annotations

import math

import pytest
import torch
from closeness import rounding
from torch.nn import functional as F

from nnlab_helpers.metrics import psnr, ssim

# torchmetrics warns of its own parts when it is imported; that is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def pictures():
    """Two batches [3, 2, 13, 17], one a noisy copy of the other, each image with noise of another size."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(3, 2, 13, 17, generator=generator)
    noise = torch.randn(truth.shape, generator=generator) * torch.tensor([0.05, 0.2, 0.6]).view(3, 1, 1, 1)
    return truth + noise, truth


def ssim_by_hand(a: torch.Tensor, b: torch.Tensor, data_range: float) -> float:
    """Formula 13 of Wang et al. (2004) around every pixel, the border mirrored."""
    line = torch.exp(-((torch.arange(11.0) - 5) ** 2) / (2 * 1.5**2))
    window = torch.outer(line, line) / line.sum() ** 2

    def mean(x: torch.Tensor) -> torch.Tensor:
        mirrored = F.pad(x, (5, 5, 5, 5), mode="reflect")
        return F.conv2d(mirrored.flatten(0, 1)[:, None], window[None, None]).view(*x.shape[:2], -1)

    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    covariance = mean(a * b) - mean(a) * mean(b)
    variances = mean(a * a) - mean(a) ** 2 + mean(b * b) - mean(b) ** 2
    brightness = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
    return float((brightness * (2 * covariance + c2) / (variances + c2)).mean())


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_psnr_is_the_mean_of_each_images_own(pictures, data_range):
    images, truth = pictures
    each = [10 * math.log10(data_range**2 / float(((a - b) ** 2).mean())) for a, b in zip(images, truth, strict=True)]
    assert psnr(images, truth, data_range) == pytest.approx(sum(each) / 3, rel=1e-5)
    pooled = 10 * math.log10(data_range**2 / float(((images - truth) ** 2).mean()))
    assert abs(psnr(images, truth, data_range) - pooled) > 1, "the case would not tell the two apart"


@pytest.mark.parametrize(("off", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.01, 40.0)])
def test_psnr_of_an_even_error(off, decibels):
    black = torch.zeros(2, 1, 5, 4)
    assert psnr(black, black + off) == pytest.approx(decibels, abs=1e-3)
    assert psnr(255 * black, 255 * (black + off), 255) == pytest.approx(decibels, abs=1e-3)


def test_equal_pictures(pictures):
    _, truth = pictures
    assert psnr(truth, truth.clone()) == math.inf
    assert ssim(truth, truth.clone()) == pytest.approx(1.0, abs=rounding())


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_is_the_papers_formula(pictures, data_range):
    images, truth = pictures
    assert ssim(images, truth, data_range) == pytest.approx(ssim_by_hand(images, truth, data_range), abs=1e-4)
    assert 0.1 < ssim(images, truth) < 0.9


def test_ssim_minds_structure_more_than_brightness():
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand(1, 1, 20, 20, generator=generator) * 0.8
    brighter = truth + 0.1
    noise = torch.randn(truth.shape, generator=generator)
    noisy = truth + 0.1 * noise / noise.square().mean().sqrt()
    assert psnr(brighter, truth) == pytest.approx(psnr(noisy, truth), abs=0.01)
    assert ssim(brighter, truth) > ssim(noisy, truth) + 0.03


def test_gradients_and_types_do_not_matter(pictures):
    images, truth = pictures
    assert psnr(images.clone().requires_grad_(), truth) == psnr(images, truth)
    assert psnr(images.double(), truth) == pytest.approx(psnr(images, truth), rel=1e-5)
    assert ssim(images, truth.double()) == pytest.approx(ssim(images, truth), rel=1e-5)


@pytest.mark.parametrize("metric", [psnr, ssim])
@pytest.mark.parametrize(
    ("images", "truth", "data_range", "error", "says"),
    [
        (torch.zeros(2, 1, 14, 14), torch.zeros(2, 1, 14, 15), 1.0, ValueError, r"\[2, 1, 14, 14\] and \[2, 1, 14, 15"),
        (torch.zeros(14, 14), torch.zeros(14, 14), 1.0, ValueError, r"\[N, C, H, W\]"),
        (torch.zeros(0, 1, 14, 14), torch.zeros(0, 1, 14, 14), 1.0, ValueError, r"\[0, 1, 14, 14\]"),
        (torch.zeros(1, 1, 14, 14, dtype=torch.uint8), torch.zeros(1, 1, 14, 14), 1.0, TypeError, "images must be fl"),
        (torch.zeros(1, 1, 14, 14), torch.zeros(1, 1, 14, 14, dtype=torch.uint8), 1.0, TypeError, "truth must be flo"),
        (torch.zeros(1, 1, 14, 14), torch.zeros(1, 1, 14, 14), 0.0, ValueError, "data_range"),
        (torch.zeros(1, 1, 14, 14), torch.zeros(1, 1, 14, 14), math.nan, ValueError, "data_range"),
    ],
)
def test_mistakes_speak(metric, images, truth, data_range, error, says):
    with pytest.raises(error, match=says):
        metric(images, truth, data_range)


def test_ssim_needs_room_for_its_window():
    small = torch.zeros(1, 1, 5, 14)
    with pytest.raises(ValueError, match="images of 5x14 are too small, 6 pixels"):
        ssim(small, small)
    assert ssim(torch.rand(1, 1, 6, 6), torch.rand(1, 1, 6, 6)) < 1
