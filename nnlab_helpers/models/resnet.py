"""Residual networks: each block adds a correction to what it was given."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions whose result is added to the input (He, Zhang, Ren and Sun, 2016).

    `relu(f(x) + shortcut(x))` with f = conv, BatchNorm, ReLU, conv, BatchNorm. Takes `[N, in_channels, H, W]` and
    returns `[N, out_channels, H', W']`, where H' is H divided by `stride`, rounded up. The shortcut is the identity
    where shapes agree, and else a 1x1 convolution with BatchNorm (the paper's option B).

    Args:
        in_channels: channels of the input.
        out_channels: channels of the result.
        stride: 1 keeps height and width, 2 halves them.
        skip: False leaves the shortcut away: the plain twin, for comparison.

    Raises:
        ValueError: a size below 1, or, when called, a batch of another shape.

    Example:
        >>> ResidualBlock(8, 16, stride=2)(torch.zeros(5, 8, 7, 7)).shape
        torch.Size([5, 16, 4, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, skip: bool = True) -> None:
        """Check the sizes and lay out both paths."""
        super().__init__()
        if min(in_channels, out_channels, stride) < 1:
            raise ValueError(
                f"needs at least one channel on either side and a stride of 1 or more, got {in_channels} and "
                f"{out_channels} channels, stride {stride}"
            )
        self.in_channels = in_channels
        self.f = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.shortcut: nn.Module | None = None
        if skip:
            self.shortcut = nn.Identity()
            if stride != 1 or in_channels != out_channels:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
                )

    def forward(self, x: Tensor) -> Tensor:
        """Maps `[N, out_channels, H', W']` for maps `[N, in_channels, H, W]`."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected maps [N, {self.in_channels}, H, W], got shape {list(x.shape)}")
        change = self.f(x)
        return F.relu(change if self.shortcut is None else change + self.shortcut(x))


class ResNet(nn.Module):
    """A small residual network (He, Zhang, Ren and Sun, 2016): a convolution, stages of blocks, a mean over each map.

    Takes `[N, in_channels, H, W]` of any size and returns logits `[N, num_classes]`. The first stage keeps the size,
    each further one halves it in its first block.

    Args:
        in_channels: 1 for gray images, 3 for colour.
        num_classes: logits per sample.
        channels: of each stage, first to last.
        blocks: residual blocks in each stage.
        stem_stride: 2 halves the image already in the first convolution, for speed.
        skip: False leaves all shortcuts away: the plain twin, for comparison.

    Raises:
        ValueError: no stage, a size below 1, or, when called, a batch of another shape.

    Example:
        >>> ResNet(channels=(8, 16))(torch.zeros(5, 1, 14, 14)).shape
        torch.Size([5, 10])
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 10,
        channels: Sequence[int] = (8, 16, 32),
        blocks: int = 1,
        stem_stride: int = 1,
        skip: bool = True,
    ) -> None:
        """Check the sizes and lay out the stages."""
        super().__init__()
        if not channels or min(in_channels, num_classes, blocks, stem_stride, *channels) < 1:
            raise ValueError(
                "needs at least one stage, and every size 1 or more: got "
                f"in_channels {in_channels}, num_classes {num_classes}, channels {tuple(channels)}, "
                f"blocks {blocks}, stem_stride {stem_stride}"
            )
        self.in_channels = in_channels
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels[0], 3, stride=stem_stride, padding=1, bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        )
        stages: list[nn.Module] = []
        width = channels[0]
        for number, out in enumerate(channels):
            for block in range(blocks):
                stages.append(ResidualBlock(width, out, stride=2 if number and not block else 1, skip=skip))
                width = out
        self.stages = nn.Sequential(*stages)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits `[N, num_classes]` for images `[N, in_channels, H, W]`."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ValueError(f"expected images [N, {self.in_channels}, H, W], got shape {list(x.shape)}")
        return self.classifier(self.stages(self.stem(x)).mean(dim=(2, 3)))
