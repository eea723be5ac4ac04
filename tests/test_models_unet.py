"""U-Net: any size comes back, what crosses its shortcuts, and what it says to a wrong batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.models import UNet, count_parameters


@pytest.mark.parametrize("size", [(4, 4), (5, 4), (7, 7), (14, 14), (13, 28), (30, 17)])
@pytest.mark.parametrize("skip", [True, False])
def test_the_size_comes_back(size, skip):
    model = UNet(3, 2, channels=(4, 6, 8), skip=skip)
    assert model(torch.zeros(2, 3, *size)).shape == (2, 2, *size)


def test_two_sizes_by_hand():
    torch.manual_seed(0)
    model, x = UNet(channels=(3, 5)), torch.randn(2, 1, 7, 6)
    across = F.conv2d(x, model.down[0].weight, model.down[0].bias, padding=1).relu()
    below = F.max_pool2d(across, 2)
    below = F.conv2d(below, model.down[1].weight, model.down[1].bias, padding=1).relu()
    rows, columns = torch.arange(7) * 3 // 7, torch.arange(6) // 2  # the nearest of 3 x 3
    raised = below[:, :, rows][:, :, :, columns]
    joined = torch.cat([raised, across], dim=1)
    up = F.conv2d(joined, model.up[0].weight, model.up[0].bias, padding=1).relu()
    torch.testing.assert_close(model(x), F.conv2d(up, model.last.weight, model.last.bias))


def test_without_shortcuts_it_is_as_large_but_sees_through_the_bottom_alone():
    torch.manual_seed(0)
    whole, cut = UNet(channels=(4, 6, 8)), UNet(channels=(4, 6, 8), skip=False)
    assert count_parameters(whole) == count_parameters(cut)
    cut.load_state_dict(whole.state_dict())
    for model in (whole, cut):
        nn.init.zeros_(model.down[-1].weight)  # nothing gets through the bottom any more
    x = torch.randn(2, 1, 12, 12)
    assert whole(x).std(dim=0).max() > 0
    assert cut(x).std(dim=0).max() == 0, "the image reached the output although the bottom was shut"


def test_every_weight_hears_the_loss():
    model = UNet(channels=(4, 6, 8))
    model(torch.randn(4, 1, 14, 14)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: UNet(channels=(8,)), "at least two sizes"),
        (lambda: UNet(channels=()), "at least two sizes"),
        (lambda: UNet(channels=(8, 0)), r"channels \(8, 0\)"),
        (lambda: UNet(0), "in_channels 0"),
        (lambda: UNet()(torch.zeros(2, 3, 14, 14)), r"\[N, 1, H, W\], got shape \[2, 3, 14, 14\]"),
        (lambda: UNet()(torch.zeros(14, 14)), r"got shape \[14, 14\]"),
        (lambda: UNet()(torch.zeros(1, 1, 14, 3)), "an image of 14x3 cannot be halved 2 times: needs 4 pixels"),
    ],
)
def test_mistakes_speak(call, says):
    with pytest.raises(ValueError, match=says):
        call()
