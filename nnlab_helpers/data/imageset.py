"""A set of labelled images, held in memory as one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Integral

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK = 4096  # images resized at once: bounds the memory of the float copies

Index = Tensor | slice | range | Sequence[int]


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Labelled images that never change; every method returns a new set.

    A split of the data is not another set but an index into this one. Treat the tensors as read-only: loaders and
    other sets may share their memory.

    Args:
        images: uint8 `[N, C, H, W]`, 0 (black) to 255 (white), C = 1 (grey) or 3 (RGB).
        labels: int64 `[N]`, each the position of a class in `classes`.
        classes: The names of the classes.
        name: What to call the set in messages and titles.

    Raises:
        TypeError: A tensor has the wrong dtype.
        ValueError: Shapes do not fit together, or a label names no class.

    Example:
        >>> digits = load_images("mnist", "test")
        >>> digits.images.shape, digits.classes[digits.labels[0]]
        (torch.Size([10000, 1, 28, 28]), '7')
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str = "images"

    def __post_init__(self) -> None:
        """Check that the parts fit together."""
        for field, dtype in (("images", torch.uint8), ("labels", torch.int64)):
            value = getattr(self, field)
            if not isinstance(value, Tensor) or value.dtype != dtype:
                got = value.dtype if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(f"{field} must be a tensor of {dtype}, got {got}")
        names = self.classes if isinstance(self.classes, Sequence) and not isinstance(self.classes, str) else [None]
        if not all(isinstance(name, str) for name in names):
            raise TypeError(f"classes must be a tuple of names, got {self.classes!r}")
        object.__setattr__(self, "classes", tuple(self.classes))
        shape = tuple(self.images.shape)
        if len(shape) != 4 or shape[1] not in (1, 3) or min(shape[2:]) < 1:
            raise ValueError(f"images must be [N, C, H, W] with C = 1 or 3, got {list(shape)}")
        if tuple(self.labels.shape) != shape[:1]:
            raise ValueError(
                f"there must be one label per image: {shape[0]} images, labels of shape {list(self.labels.shape)}"
            )
        if self.labels.device != self.images.device:
            raise ValueError(f"images are on {self.images.device}, labels on {self.labels.device}")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"class names must differ from each other, got {self.classes}")
        if len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise ValueError(
                    f"labels must be from 0 to {len(self.classes) - 1} ({len(self.classes)} classes), "
                    f"got {low} to {high}"
                )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        """Return name, shape and number of classes."""
        return f"ImageSet({self.name!r}, images={list(self.images.shape)}, {len(self.classes)} classes)"

    def counts(self) -> dict[str, int]:
        """Return how many images each class has, in the order of `classes`."""
        per_class = torch.bincount(self.labels, minlength=len(self.classes)).tolist()
        return dict(zip(self.classes, per_class, strict=True))

    def take(self, index: Index) -> ImageSet:
        """Return the images at `index`: positions (may repeat), a slice, or a bool mask `[N]`.

        Raises:
            IndexError: A position is outside the set.
            TypeError, ValueError: `index` is not one of these.
        """
        rows = as_index(index, len(self), self.images.device)
        return replace(self, images=self.images[rows], labels=self.labels[rows])

    def resize(self, size: int | tuple[int, int]) -> ImageSet:
        """Return the images scaled to `size` (one side, or height and width), bilinear and antialiased.

        Raises:
            TypeError, ValueError: `size` is not one or two whole numbers, each at least 1.
        """
        height, width = sides(size)
        resized = self.images.new_empty(*self.images.shape[:2], height, width)
        for start in range(0, len(self), _CHUNK):
            block = self.images[start : start + _CHUNK].float()
            block = F.interpolate(block, (height, width), mode="bilinear", antialias=True)
            resized[start : start + _CHUNK] = block.round_().clamp_(0, 255).to(torch.uint8)
        return replace(self, images=resized)

    def pad(self, pixels: int, value: int = 0) -> ImageSet:
        """Return the images with a border of `pixels` pixels of brightness `value` (0 to 255) on all four sides.

        Raises:
            TypeError, ValueError: `pixels` is negative or no whole number, or `value` no brightness.
        """
        for name, number in (("pixels", pixels), ("value", value)):
            if not _whole(number):
                raise TypeError(f"{name} must be a whole number, got {number!r}")
        if pixels < 0:
            raise ValueError(f"pixels must not be negative, got {pixels}")
        if not 0 <= value <= 255:
            raise ValueError(f"value must be from 0 to 255, got {value}")
        return replace(self, images=F.pad(self.images, (int(pixels),) * 4, value=int(value)))


def sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Return height and width from one side, or from both.

    Raises:
        TypeError, ValueError: These are not one or two whole numbers, each at least 1.
    """
    height_width = size if isinstance(size, Sequence) else (size, size)
    if len(height_width) != 2 or not all(map(_whole, height_width)):
        raise TypeError(f"size must be a whole number of pixels, or height and width, got {size!r}")
    if min(height_width) < 1:
        raise ValueError(f"size must be at least 1 pixel, got {size}")
    return int(height_width[0]), int(height_width[1])


def _whole(number: object) -> bool:
    return isinstance(number, Integral) and not isinstance(number, bool)


def as_index(index: Index, length: int, device: torch.device) -> Tensor:
    """Return `index` as int64 positions `[M]` on `device`, every one from 0 to `length` - 1.

    Negative positions count from the end, as in a list.

    Raises:
        IndexError: A position is outside `length`.
        TypeError, ValueError: `index` is not a list of positions, a slice, or a bool mask of `length`.
    """
    if isinstance(index, slice):
        return torch.arange(length, device=device)[index] if (index.step or 1) > 0 else torch.tensor(
            range(*index.indices(length)), dtype=torch.int64, device=device
        )
    try:
        rows = torch.as_tensor(index, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"index must be positions, a slice, or a bool mask, got {index!r:.80}") from error
    if rows.ndim != 1:
        raise ValueError(f"index must be a list of positions, got shape {list(rows.shape)}")
    if rows.dtype == torch.bool:
        if len(rows) != length:
            raise ValueError(f"a bool mask must have one entry per image: {len(rows)} for {length} images")
        return rows.nonzero().flatten()
    if len(rows) == 0:
        return rows.to(torch.int64)
    if rows.is_floating_point() or rows.is_complex():
        raise TypeError(f"index must be whole numbers, got {rows.dtype}")
    rows = rows.to(torch.int64)
    low, high = int(rows.min()), int(rows.max())
    if low < -length or high >= length:
        raise IndexError(f"index runs from {low} to {high}, outside a set of {length} images")
    return torch.where(rows < 0, rows + length, rows)
