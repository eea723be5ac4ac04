"""Inception blocks: branches, parameters, and what they say to a wrong batch."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.models import InceptionBlock, count_parameters


@pytest.mark.parametrize("bottleneck", [None, 3])
@pytest.mark.parametrize("size", [(1, 1), (7, 5), (14, 14)])
def test_size_stays_and_channels_are_concatenated(bottleneck, size):
    block = InceptionBlock(6, 5, bottleneck).eval()
    out = block(torch.randn(2, 6, *size))
    assert out.shape == (2, 20, *size)
    assert block.out_channels == 20
    assert (out >= 0).all()


def test_branches_by_hand():
    """In evaluation mode an untrained BatchNorm divides by root(1 + eps) alone."""
    torch.manual_seed(0)
    block = InceptionBlock(4, 3, bottleneck=2).eval()
    x = torch.randn(2, 4, 6, 7)
    one, three, five, pooled = (
        [layer for layer in branch.modules() if isinstance(layer, nn.Conv2d)] for branch in block.branches
    )

    def bend(x: torch.Tensor, conv: nn.Conv2d, pad: int = 0) -> torch.Tensor:
        return F.conv2d(x, conv.weight, padding=pad).relu() / (1 + 1e-5) ** 0.5

    by_hand = [
        bend(x, one[0]),
        bend(bend(x, three[0]), three[1], 1),
        bend(bend(x, five[0]), five[1], 2),
        bend(F.max_pool2d(x, 3, 1, 1), pooled[0]),
    ]
    torch.testing.assert_close(block(x), torch.cat(by_hand, dim=1))


def test_what_bottlenecks_save():
    weights_and_norms = {
        None: 16 * 8 * (1 + 9 + 25 + 1) + 4 * 2 * 8,
        4: 16 * 8 + 16 * 4 + 4 * 8 * 9 + 16 * 4 + 4 * 8 * 25 + 16 * 8 + 4 * 2 * 8 + 2 * 2 * 4,
    }
    for bottleneck, count in weights_and_norms.items():
        assert count_parameters(InceptionBlock(16, 8, bottleneck)) == count


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: InceptionBlock(0, 4), "in_channels 0"),
        (lambda: InceptionBlock(4, 0), "branch_channels 0"),
        (lambda: InceptionBlock(4, 4, bottleneck=0), "bottleneck 0"),
        (lambda: InceptionBlock(4, 4)(torch.zeros(2, 3, 5, 5)), r"\[N, 4, H, W\], got shape \[2, 3, 5, 5\]"),
        (lambda: InceptionBlock(4, 4)(torch.zeros(4, 5, 5)), r"got shape \[4, 5, 5\]"),
    ],
)
def test_mistakes_speak(call, says):
    with pytest.raises(ValueError, match=says):
        call()
