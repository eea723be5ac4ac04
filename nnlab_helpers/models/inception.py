"""Multi-branch blocks: windows of several sizes look at the same place, side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _conv(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class InceptionBlock(nn.Module):
    """Four branches side by side, their channels concatenated (Szegedy et al., 2015).

    A 1x1 convolution; a 1x1 bottleneck, then 3x3; a 1x1 bottleneck, then 5x5; 3x3 max pooling, then 1x1. Takes
    `[N, in_channels, H, W]` and returns `[N, 4 * branch_channels, H, W]`. Each convolution is followed by BatchNorm
    (as in the second version, Ioffe and Szegedy, 2015) and ReLU.

    Args:
        in_channels: channels of the input.
        branch_channels: channels that each of the four branches ends with.
        bottleneck: channels between the 1x1 and the larger window; None leaves the 1x1 away, and the larger windows
            see all input channels (the paper's naive version).

    Raises:
        ValueError: a size below 1, or, when called, a batch of another shape.

    Example:
        >>> InceptionBlock(16, 8, bottleneck=4)(torch.zeros(5, 16, 7, 7)).shape
        torch.Size([5, 32, 7, 7])
    """

    def __init__(self, in_channels: int, branch_channels: int, bottleneck: int | None = 4) -> None:
        """Check the sizes and lay out the branches."""
        super().__init__()
        if min(in_channels, branch_channels) < 1 or (bottleneck is not None and bottleneck < 1):
            raise ValueError(
                f"every size must be 1 or more: got in_channels {in_channels}, branch_channels {branch_channels}, "
                f"bottleneck {bottleneck} (None for none)"
            )
        self.in_channels = in_channels
        self.out_channels = 4 * branch_channels
        branches: list[nn.Module] = [_conv(in_channels, branch_channels, 1)]
        for kernel in (3, 5):
            if bottleneck is None:
                branches.append(_conv(in_channels, branch_channels, kernel))
            else:
                narrow = _conv(in_channels, bottleneck, 1)
                branches.append(nn.Sequential(narrow, _conv(bottleneck, branch_channels, kernel)))
        pool = nn.MaxPool2d(3, stride=1, padding=1)
        branches.append(nn.Sequential(pool, _conv(in_channels, branch_channels, 1)))
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[N, 4 * branch_channels, H, W]` for maps `[N, in_channels, H, W]`."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected maps [N, {self.in_channels}, H, W], got shape {list(x.shape)}")
        return torch.cat([branch(x) for branch in self.branches], dim=1)
