"""Day 19's own blocks and networks, held against the package's, and its numbers against oracles."""

from __future__ import annotations

import pytest
import torch
from lesson import definitions
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.metrics import psnr
from nnlab_helpers.models import InceptionBlock, ResidualBlock, ResNet, UNet

LESSON = "day19_skip_multibranch"


def same(ours: nn.Module, theirs: nn.Module, x: torch.Tensor, translate=lambda key: key) -> None:
    """Both give the same, in training and evaluation mode, once they have the same weights."""
    theirs.load_state_dict({translate(key): value for key, value in ours.state_dict().items()})
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(x), theirs.train(training)(x))


@pytest.mark.parametrize(("channels", "out", "stride"), [(4, 4, 1), (4, 6, 1), (4, 6, 2), (4, 4, 2)])
@pytest.mark.parametrize("skip", [True, False])
def test_the_residual_block_is_the_packages(channels, out, stride, skip):
    ours = definitions(LESSON, "ResidualBlock").ResidualBlock
    torch.manual_seed(0)
    x = torch.randn(3, channels, 7, 6)
    same(ours(channels, out, stride, skip), ResidualBlock(channels, out, stride, skip), x)


@pytest.mark.parametrize("skip", [True, False])
def test_the_small_resnet_is_the_packages(skip):
    resnet = definitions(LESSON, "ResidualBlock", "resnet").resnet
    names = {"0.": "stem.0.", "1.": "stem.1.", "3.": "stages.0.", "4.": "stages.1.", "7.": "classifier."}

    def translate(key: str) -> str:
        return names[key[:2]] + key[2:]

    torch.manual_seed(0)
    x = torch.randn(3, 1, 14, 14)
    same(resnet((4, 6), skip), ResNet(channels=(4, 6), stem_stride=2, skip=skip), x, translate)


def test_the_inception_block_is_the_packages():
    ours = definitions(LESSON, "bent", "InceptionBlock").InceptionBlock
    torch.manual_seed(0)
    same(ours(6, 5, 3), InceptionBlock(6, 5, bottleneck=3), torch.randn(3, 6, 7, 5))


@pytest.mark.parametrize("skip", [True, False])
def test_the_unet_is_the_packages(skip):
    ours = definitions(LESSON, "UNet").UNet
    torch.manual_seed(0)
    same(ours((3, 4, 5), skip), UNet(channels=(3, 4, 5), skip=skip), torch.randn(2, 1, 14, 13))


def test_the_lessons_psnr_is_the_packages():
    ours = definitions(LESSON, "psnr").psnr
    torch.manual_seed(0)
    a, b = torch.rand(3, 1, 12, 13), torch.rand(3, 1, 12, 13)
    for peak in (1.0, 255.0):
        assert ours(a, b, peak) == pytest.approx(psnr(a, b, peak), rel=1e-5)


@pytest.mark.parametrize("keep", [0.0, 0.5, 1.0])
def test_a_towers_states(keep):
    Tower = definitions(LESSON, "Tower").Tower
    torch.manual_seed(0)
    tower, x = Tower(3, keep), torch.randn(5, 1, 14, 14)
    h = F.relu(x.flatten(1) @ tower.first.weight.T + tower.first.bias)
    for layer in tower.layers:
        z = h @ layer[0].weight.T + layer[0].bias
        z = (z - z.mean(1, keepdim=True)) / (z.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
        h = keep * h + z.relu()
    torch.testing.assert_close(tower.states(x)[-1], h)
    torch.testing.assert_close(tower(x), tower.last(h))
    assert len(tower.states(x)) == 4
    assert len(list(Tower(3, keep, norm=False).parameters())) == len(list(tower.parameters())), "no weights in the norm"


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_the_solutions_stack_is_autograds(keep):
    stack_jacobian = definitions(LESSON, "stack_jacobian", folder="solutions").stack_jacobian
    torch.manual_seed(0)
    layers = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(4)]
    h = start = torch.randn(4)
    jacobians = []
    for f in layers:
        jacobians.append(torch.autograd.functional.jacobian(f, h))
        h = (keep * h + f(h)).detach()

    def stack(h: torch.Tensor) -> torch.Tensor:
        for f in layers:
            h = keep * h + f(h)
        return h

    torch.testing.assert_close(stack_jacobian(jacobians, keep), torch.autograd.functional.jacobian(stack, start))


def test_the_solutions_counts_are_those_of_the_layers():
    branch_sizes = definitions(LESSON, "branch_sizes", folder="solutions").branch_sizes
    block = InceptionBlock(6, 5, bottleneck=3)
    weights = sum(p.numel() for p in block.parameters() if p.ndim == 4)
    branches = [[(1, 5)], [(1, 3), (3, 5)], [(1, 3), (5, 5)], [(1, 5)]]
    assert branch_sizes(6, branches) == (block.out_channels, weights)


def test_the_solutions_decibels_go_back():
    rms_error = definitions(LESSON, "rms_error", folder="solutions").rms_error
    torch.manual_seed(0)
    a, b = torch.rand(1, 1, 9, 9), torch.rand(1, 1, 9, 9)
    assert rms_error(psnr(a, b, 2.0), 2.0) == pytest.approx((a - b).square().mean().sqrt().item(), rel=1e-4)
