"""U-Net: down to a small picture, up again, and a shortcut across at each size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """A small U-Net (Ronneberger, Fischer and Brox, 2015): image in, image of the same size out.

    Takes `[N, in_channels, H, W]` and returns `[N, out_channels, H, W]`. On the way down each size is kept, on the way
    up it is concatenated to what comes from below. An odd side is no obstacle: pooling rounds down, and the way up
    takes the size of the map that it meets. Convolutions are padded (the original's were not, so its result was
    smaller than the image), one at each size, and begin as in the
    paper, with weights after He et al. (2015) and biases of zero. Nothing bends the output: it may leave [0, 1].

    Args:
        in_channels: of the image.
        out_channels: of the result.
        channels: at each size, largest first; each further one halves the image once more.
        skip: False puts zeros in the place of the maps kept on the way down: the same size of network without
            shortcuts, for comparison.

    Raises:
        ValueError: fewer than two sizes, a size below 1, or, when called, a batch of another shape or an image too
            small to be halved that often.

    Example:
        >>> UNet(channels=(8, 16, 16))(torch.zeros(5, 1, 14, 13)).shape
        torch.Size([5, 1, 14, 13])
    """

    def __init__(
        self, in_channels: int = 1, out_channels: int = 1, channels: Sequence[int] = (8, 16, 32), skip: bool = True
    ) -> None:
        """Check the sizes and lay out the ways down and up."""
        super().__init__()
        if len(channels) < 2:
            raise ValueError(f"needs channels for at least two sizes, such as (8, 16): got {tuple(channels)}")
        if min(in_channels, out_channels, *channels) < 1:
            raise ValueError(
                f"every size must be 1 or more: got in_channels {in_channels}, out_channels {out_channels}, "
                f"channels {tuple(channels)}"
            )
        self.in_channels = in_channels
        self.smallest = 2 ** (len(channels) - 1)
        self.skip = skip
        self.down = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in zip((in_channels, *channels), channels, strict=False)
        )
        self.up = nn.ModuleList(
            nn.Conv2d(below + across, across, 3, padding=1)
            for below, across in zip(channels[:0:-1], channels[-2::-1], strict=True)
        )
        self.last = nn.Conv2d(channels[0], out_channels, 1)
        for p in self.parameters():
            nn.init.kaiming_normal_(p) if p.ndim > 1 else nn.init.zeros_(p)

    def forward(self, x: Tensor) -> Tensor:
        """Images `[N, out_channels, H, W]` for images `[N, in_channels, H, W]`."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected images [N, {self.in_channels}, H, W], got shape {list(x.shape)}")
        if min(x.shape[2:]) < self.smallest:
            raise ValueError(
                f"an image of {x.shape[2]}x{x.shape[3]} cannot be halved {len(self.up)} times: needs "
                f"{self.smallest} pixels or more on each side; pad it, or build the UNet with fewer channels"
            )
        kept = []
        h = x
        for conv in self.down[:-1]:
            h = conv(h).relu()
            kept.append(h)
            h = F.max_pool2d(h, 2)
        h = self.down[-1](h).relu()
        for conv, across in zip(self.up, reversed(kept), strict=True):
            h = F.interpolate(h, size=across.shape[2:])
            h = conv(torch.cat([h, across if self.skip else torch.zeros_like(across)], dim=1)).relu()
        return self.last(h)
