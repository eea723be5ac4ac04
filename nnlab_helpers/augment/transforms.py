"""The transforms themselves."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from nnlab_helpers.augment.parameters import check_transform, finite, limits, within

_GREY = (0.2989, 0.587, 0.114)  # how bright red, green and blue look (ITU-R BT.601)


class Transform(ABC):
    """Base of the transforms: checks the batch and takes care of uint8.

    Raises (when called):
        TypeError: The batch is neither float nor uint8.
        ValueError: The batch is not `[B, C, H, W]`, the generator lives on another device, or a parameter does not fit
            the images (a shift as long as they are, a filling that is no uint8, saturation without colour).
    """

    _rearranges = False  # True: moves pixels without computing with them, so that any dtype does

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Return a randomly changed copy of the batch `x` `[B, C, H, W]`."""
        if x.ndim != 4:
            raise ValueError(f"expected a batch [B, C, H, W], got shape {list(x.shape)}")
        if generator is not None and generator.device.type != x.device.type:
            raise ValueError(f"the batch is on {x.device}, the generator on {generator.device}: both on one device")
        if len(x) == 0:
            return x.clone()
        if x.is_floating_point() or (x.dtype == torch.uint8 and self._rearranges):
            return self._apply(x, generator)
        if x.dtype == torch.uint8:
            y = self._apply(x.to(torch.float32).div_(255), generator)
            return y.mul_(255).round_().clamp_(0, 255).to(torch.uint8)
        raise TypeError(f"expected float pixels in [0, 1] or uint8, got {x.dtype}")

    def __repr__(self) -> str:
        """Return the transform with its parameters."""
        return f"{type(self).__name__}({', '.join(f'{k}={v}' for k, v in vars(self).items())})"

    @abstractmethod
    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        """Return a new tensor; `x` is valid, not empty, and must stay as it is."""


class Shift(Transform):
    """Move each image by whole pixels, from `-max_pixels` to `max_pixels` in either direction.

    What moves out is lost; what comes in is `fill` (in the units of the batch). Exact: no pixel is blurred.

    Example:
        >>> Shift(2)(x).shape == x.shape
        True
    """

    _rearranges = True

    def __init__(self, max_pixels: int, fill: float = 0.0) -> None:
        """Set the largest shift, in pixels, and the value of what comes in."""
        if isinstance(max_pixels, bool) or not isinstance(max_pixels, (int, np.integer)) or max_pixels < 0:
            raise ValueError(f"max_pixels must be a whole number, 0 or more, got {max_pixels!r}")
        self.max_pixels = int(max_pixels)
        self.fill = finite("fill", fill)

    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        most, (count, _, height, width) = self.max_pixels, x.shape
        if most >= min(height, width):
            raise ValueError(f"max_pixels={most} would move images of {height} x {width} pixels out of sight")
        _check_fits("fill", self.fill, x)
        by = torch.randint(-most, most + 1, (2, count), generator=generator, device=x.device)
        return shift(x, by[0], by[1], most, self.fill)


class Rotate(Transform):
    """Turn each image about its centre by an angle from `-max_degrees` to `max_degrees`, bilinear.

    Positive angles turn anticlockwise. Corners that come into view are `fill`.
    """

    def __init__(self, max_degrees: float, fill: float = 0.0) -> None:
        """Set the largest angle, in degrees (0 to 180), and the brightness of new corners in [0, 1]."""
        self.max_degrees = within("max_degrees", max_degrees, 0, 180)
        self.fill = finite("fill", fill)

    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        degrees = _uniform(len(x), -self.max_degrees, self.max_degrees, x, generator)
        return rotate(x, degrees, self.fill)


class Flip(Transform):
    """Mirror each image with probability `p`, left to right (or, if `vertical`, top to bottom).

    Not for digits or letters: a mirrored 2 is no 2.
    """

    _rearranges = True

    def __init__(self, p: float = 0.5, vertical: bool = False) -> None:
        """Set the probability and the direction."""
        self.p = within("p", p, 0, 1)
        self.vertical = bool(vertical)

    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        mirrored = x.flip(-2 if self.vertical else -1)
        return torch.where(_chosen(self.p, x, generator), mirrored, x)


class Noise(Transform):
    """Add Gaussian noise of standard deviation `std`, in units of brightness, to each pixel.

    The result is clamped to [0, 1], so that it is still an image; `clamp=False` leaves it as it comes.
    """

    def __init__(self, std: float, clamp: bool = True) -> None:
        """Set the standard deviation, 0 or more."""
        self.std = within("std", std, 0, math.inf)
        self.clamp = bool(clamp)

    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        y = noise.mul_(self.std).add_(x)
        return y.clamp_(0, 1) if self.clamp else y


class Jitter(Transform):
    """Change brightness, contrast and (RGB only) saturation of each image, in this order.

    Each is scaled by a factor from `1 - amount` to `1 + amount`, never below 0: brightness scales the pixels, contrast
    their distance from the image's mean brightness, saturation their distance from their own grey. After each step
    pixels are clamped to [0, 1]. The same operations as torchvision's `ColorJitter`.
    """

    def __init__(self, brightness: float = 0.0, contrast: float = 0.0, saturation: float = 0.0) -> None:
        """Set the amounts, 0 (no change) or more."""
        self.brightness = within("brightness", brightness, 0, math.inf)
        self.contrast = within("contrast", contrast, 0, math.inf)
        self.saturation = within("saturation", saturation, 0, math.inf)

    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        if self.saturation and x.shape[1] != 3:
            raise ValueError(f"saturation needs RGB images, got {x.shape[1]} channel(s)")
        y = x.clone()
        if self.brightness:
            y = y.mul_(self._factor(self.brightness, x, generator)).clamp_(0, 1)
        if self.contrast:
            mean = _grey(y).mean(dim=(1, 2, 3), keepdim=True)
            y = y.sub_(mean).mul_(self._factor(self.contrast, x, generator)).add_(mean).clamp_(0, 1)
        if self.saturation:
            grey = _grey(y)
            y = y.sub_(grey).mul_(self._factor(self.saturation, x, generator)).add_(grey).clamp_(0, 1)
        return y

    @staticmethod
    def _factor(amount: float, x: Tensor, generator: Generator | None) -> Tensor:
        return _uniform(len(x), max(0.0, 1 - amount), 1 + amount, x, generator).view(-1, 1, 1, 1)


class Erase(Transform):
    """Cover a random rectangle of each image, with probability `p` (Zhong et al., "Random Erasing", AAAI 2020).

    The rectangle takes a share of the image from `area`, its height is `aspect` times its width, and it lies anywhere
    inside. One that would not fit is drawn again, up to ten times; an image for which none fits stays as it is.

    Args:
        p: Probability for an image to lose a rectangle.
        area: Smallest and largest share of the image, in (0, 1].
        aspect: Smallest and largest ratio of height to width; drawn evenly on a logarithmic scale.
        value: What the rectangle is filled with, in the units of the batch.
    """

    _rearranges = True
    _tries = 10

    def __init__(
        self,
        p: float = 0.5,
        area: tuple[float, float] = (0.02, 0.33),
        aspect: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        """Set probability, size, shape and filling."""
        self.p = within("p", p, 0, 1)
        self.area = limits("area", area, 1.0)
        self.aspect = limits("aspect", aspect, math.inf)
        self.value = finite("value", value)

    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        _check_fits("value", self.value, x)
        count, _, height, width = x.shape
        chosen = _chosen(self.p, x, generator)
        draws = torch.rand(2, count, self._tries, generator=generator, device=x.device)
        share = self.area[0] + (self.area[1] - self.area[0]) * draws[0]
        low, high = math.log(self.aspect[0]), math.log(self.aspect[1])
        aspect = torch.exp(low + (high - low) * draws[1])
        tall = (share * height * width * aspect).sqrt().round().clamp(min=1)  # [B, tries]
        wide = (share * height * width / aspect).sqrt().round().clamp(min=1)
        fits = (tall <= height) & (wide <= width)
        first = fits.to(torch.uint8).argmax(dim=1, keepdim=True)  # the first that fits
        tall, wide = tall.gather(1, first), wide.gather(1, first)  # [B, 1]
        place = torch.rand(2, count, 1, generator=generator, device=x.device)
        top = (place[0] * (height - tall + 1)).floor()
        left = (place[1] * (width - wide + 1)).floor()
        rows = torch.arange(height, device=x.device)
        columns = torch.arange(width, device=x.device)
        in_rows = (rows >= top) & (rows < top + tall)  # [B, H]
        in_columns = (columns >= left) & (columns < left + wide)  # [B, W]
        inside = (in_rows[:, :, None] & in_columns[:, None, :])[:, None]  # [B, 1, H, W]
        covered = inside & chosen & fits.any(dim=1).view(-1, 1, 1, 1)
        return x.masked_fill(covered, self.value)


class Compose(Transform):
    """Apply transforms one after the other; all draw from the same generator.

    Example:
        >>> augment = Compose([Shift(2), Rotate(10)])
        >>> augment(x, generator=torch.Generator().manual_seed(0))
    """

    _rearranges = True  # each transform looks after its own dtype

    def __init__(self, transforms: Iterable[Callable[..., Tensor]]) -> None:
        """Take the transforms, or any functions called as `t(x, generator=generator)`."""
        self.transforms = tuple(transforms)
        for transform in self.transforms:
            check_transform("Compose", transform)

    def __repr__(self) -> str:
        """Return the transforms in order."""
        return f"Compose([{', '.join(map(repr, self.transforms))}])"

    def _apply(self, x: Tensor, generator: Generator | None) -> Tensor:
        if not self.transforms:
            return x.clone()
        for transform in self.transforms:
            x = transform(x, generator=generator)
        return x


def shift(x: Tensor, down: Tensor, right: Tensor, most: int, fill: float = 0.0) -> Tensor:
    """Move image i of `x` `[B, C, H, W]` by `down[i]` and `right[i]` pixels, whole numbers from `-most` to `most`."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (most,) * 4, value=fill)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: every place the image can be seen from
    return windows[torch.arange(len(x), device=x.device), :, most - down, most - right]


def rotate(x: Tensor, degrees: Tensor, fill: float = 0.0) -> Tensor:
    """Turn image i of `x` `[B, C, H, W]` about its centre by `degrees[i]`, anticlockwise, bilinear."""
    height, width = x.shape[-2:]
    if x.dtype not in (torch.float32, torch.float64):  # too coarse for positions
        return rotate(x.float(), degrees.float(), fill).to(x.dtype)
    angle = torch.deg2rad(degrees)
    cos, sin = angle.cos(), angle.sin()
    # Where each pixel of the result comes from, in units of half a side; F.affine_grid does the same but slower.
    rows = (torch.arange(height, device=x.device, dtype=x.dtype) + 0.5) * (2 / height) - 1
    columns = (torch.arange(width, device=x.device, dtype=x.dtype) + 0.5) * (2 / width) - 1
    places = torch.cartesian_prod(rows, columns)  # [H W, 2]: (row, column)
    from_column = torch.stack((-sin * (height / width), cos))  # [2, B]
    from_row = torch.stack((cos, sin * (width / height)))
    grid = (places @ torch.stack((from_column, from_row), dim=-1).flatten(1)).view(height, width, -1, 2)
    grid = grid.permute(2, 0, 1, 3)  # [B, H, W, 2]: (column, row)
    turned = F.grid_sample(x - fill if fill else x, grid, mode="bilinear", align_corners=False)
    return turned.add_(fill) if fill else turned


def _chosen(p: float, x: Tensor, generator: Generator | None) -> Tensor:
    """Which images a transform of probability `p` applies to, bool `[B, 1, 1, 1]`."""
    return torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < p


def _uniform(count: int, low: float, high: float, x: Tensor, generator: Generator | None) -> Tensor:
    """`count` numbers from `low` to `high`, with device and dtype of `x`."""
    draws = torch.rand(count, generator=generator, device=x.device)
    return draws.mul_(high - low).add_(low).to(x.dtype)


def _grey(x: Tensor) -> Tensor:
    """Brightness `[B, 1, H, W]` of gray or RGB images."""
    if x.shape[1] != 3:
        return x.mean(dim=1, keepdim=True)
    return (x * x.new_tensor(_GREY).view(3, 1, 1)).sum(dim=1, keepdim=True)


def _check_fits(name: str, value: float, x: Tensor) -> None:
    if x.dtype == torch.uint8 and not (0 <= value <= 255 and value == int(value)):
        raise ValueError(f"{name}={value} is no uint8 pixel: with uint8 images it must be a whole number, 0 to 255")
