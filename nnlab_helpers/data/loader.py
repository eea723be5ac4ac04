"""Feed a network: batches from tensors that stay on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import TensorDataset

from nnlab_helpers.augment.parameters import check_transform
from nnlab_helpers.data.imageset import ImageSet, Index, as_index
from nnlab_helpers.device import check_seed, check_whole, pick_device

_CHUNK = 4096


@dataclass(frozen=True)
class Normalize:
    """Subtract a mean from each channel and divide by a standard deviation, both in pixel units of [0, 1].

    Args:
        mean: One number per channel, or one for all.
        std: Likewise, greater than zero.

    Raises:
        ValueError: A deviation is not positive, or the two differ in length.

    Example:
        >>> to_minus_one_to_one = Normalize(0.5, 0.5)
        >>> normalize = Normalize.from_images(digits, splits.train)
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        """Check and keep the statistics."""
        means = tuple(float(value) for value in np.atleast_1d(np.asarray(mean)))
        stds = tuple(float(value) for value in np.atleast_1d(np.asarray(std)))
        if len(means) != len(stds):
            raise ValueError(f"mean has {len(means)} values, std {len(stds)}: give one of each per channel")
        if not np.isfinite(means).all():
            raise ValueError(f"mean must be finite, got {mean}")
        if not all(0 < value < float("inf") for value in stds):
            raise ValueError(f"std must be greater than 0 and finite, got {std}")
        object.__setattr__(self, "mean", means)
        object.__setattr__(self, "std", stds)

    def __call__(self, x: Tensor) -> Tensor:
        """Return `(x - mean) / std` for float images `[B, C, H, W]`, a new tensor.

        Raises:
            TypeError: The images are not floats.
            ValueError: They have another number of channels.
        """
        mean, std = self._columns(x)
        return x.sub(mean).div_(std)

    def inverse(self, x: Tensor) -> Tensor:
        """Return `x * std + mean`: pixels again, for showing what a network was given; raises as a call does."""
        mean, std = self._columns(x)
        return x.mul(std).add_(mean)

    @classmethod
    def from_images(cls, images: ImageSet, index: Index | None = None) -> Normalize:
        """Measure mean and standard deviation per channel over the images at `index` alone (default: all).

        Pass the training indices: statistics that have seen the test set leak from it.

        Raises:
            ValueError: There are no images, or a channel has the same value everywhere.
        """
        device = images.images.device
        rows = None if index is None else as_index(index, len(images), device)
        total = len(images) if rows is None else len(rows)
        if total == 0:
            raise ValueError("no images to take statistics from")
        channels = images.images.shape[1]
        counts = torch.zeros(channels, 256, dtype=torch.int64)  # exact: how often each brightness occurs
        for start in range(0, total, _CHUNK):
            stop = start + _CHUNK
            block = images.images[start:stop] if rows is None else images.images[rows[start:stop]]
            for channel in range(channels):
                counts[channel] += torch.bincount(block[:, channel].flatten(), minlength=256).cpu()
        pixels = torch.arange(256, dtype=torch.float64) / 255
        weights = counts.double() / counts.sum(dim=1, keepdim=True)
        mean = weights @ pixels
        std = (weights * (pixels - mean[:, None]) ** 2).sum(dim=1).sqrt()
        if (std == 0).any():
            raise ValueError(f"cannot normalise {images.name!r}: every pixel of a channel has the same value")
        return cls(mean.tolist(), std.tolist())

    def _columns(self, x: Tensor) -> tuple[Any, Any]:
        """Return mean and deviation ready to broadcast over `x`; one channel as numbers, which is faster."""
        if not x.is_floating_point():
            raise TypeError(f"expected float images in [0, 1], got {x.dtype}: divide by 255 first")
        if x.ndim < 3 or len(self.mean) not in (1, x.shape[-3]):
            raise ValueError(f"expected [B, C, H, W] with C = {len(self.mean)}, got {list(x.shape)}")
        if len(self.mean) == 1:
            return self.mean[0], self.std[0]
        shape = (len(self.mean), 1, 1)
        return x.new_tensor(self.mean).view(shape), x.new_tensor(self.std).view(shape)


class TensorLoader:
    """Batches of `(x, y)` from data that lies on the device as a whole.

    For images, `x` is float32 `[B, C, H, W]`: pixels in [0, 1], then `augment`, then `normalize`, applied to the whole
    batch at once; `y` is int64 `[B]`. Every batch is a new tensor, yours to change.

    All randomness comes from `seed` and the epoch number, never from the global generators: epoch 7 of a loader is
    the same in every run, whatever else ran before, and differs from epoch 6. Each `for` loop over the loader is one
    epoch. The shuffle is the same on every device; augmentations differ between devices, as their generators do.

    Args:
        data: An `ImageSet`, a `TensorDataset` of two tensors, or a pair `(x, y)` of tensors or arrays with as many
            rows: uint8 `x` is scaled to [0, 1], any other dtype is passed on as it is. Arrays (and lists) are copied,
            their whole numbers but uint8 as int64, floats as float32, which is what networks compute with.
        index: The rows to use (default: all), as from `make_splits`.
        batch_size: Rows per batch; the last batch may be smaller.
        shuffle: A new order in every epoch.
        seed: From 0 to 2**32 - 1.
        augment: Called as `augment(x, generator=g)` with `g` on the device; training loaders only. Torchvision's
            transforms take no generator: those of `nnlab_helpers.augment` do.
        normalize: Called as `normalize(x)`, such as a `Normalize`.
        device: Where the data is kept and batches come from (default: `pick_device()`).
        drop_last: Leave out a last batch that is not full.

    Raises:
        TypeError: The data is no `ImageSet` and no pair, `augment` takes no generator, or `batch_size` is no whole
            number.
        ValueError: The data is empty or of other than two parts, lengths differ, or `batch_size` is below 1.
        IndexError: `index` points outside the data.

    Example:
        >>> train = TensorLoader(digits, splits.train, shuffle=True, augment=Shift(2), normalize=normalize)
        >>> for x, y in train:
        ...     loss = F.cross_entropy(model(x), y)
    """

    def __init__(
        self,
        data: ImageSet | TensorDataset | Sequence[ArrayLike],
        index: Index | None = None,
        *,
        batch_size: int = 128,
        shuffle: bool = False,
        seed: int = 0,
        augment: Callable[..., Tensor] | None = None,
        normalize: Callable[[Tensor], Tensor] | None = None,
        device: str | torch.device | None = None,
        drop_last: bool = False,
    ) -> None:
        """Check the arguments and move the data to the device."""
        x, y = _pair(data)
        if len(x) != len(y):
            raise ValueError(f"there must be one label per row: {len(x)} rows, {len(y)} labels")
        batch_size = check_whole("batch_size", batch_size)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if augment is not None:
            check_transform("augment", augment)
        self.device = pick_device(device)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = check_seed(seed)
        self.augment = augment
        self.normalize = normalize
        self.drop_last = drop_last
        self.epoch = 0
        self._rows: Tensor | None = None
        if index is not None:
            rows = as_index(index, len(x), x.device)
            if self.device.type == "cpu" and x.device.type == "cpu":
                self._rows = rows  # several loaders share one tensor in memory
            else:
                x, y = x[rows], y[rows]  # move only what is needed
        self._x, self._y = x.to(self.device), y.to(self.device)
        self.num_rows = len(self._x) if self._rows is None else len(self._rows)
        if self.num_rows == 0:
            raise ValueError("no data: the index (or the set) is empty")
        if len(self) == 0:
            raise ValueError(f"no batch: drop_last with {self.num_rows} rows and batch_size {batch_size}")

    @property
    def num_samples(self) -> int:
        """Rows that one epoch yields."""
        return len(self) * self.batch_size if self.drop_last else self.num_rows

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        return self.num_rows // self.batch_size if self.drop_last else -(-self.num_rows // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Run through one epoch; the next loop runs through the next one."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._batches(epoch)

    def __repr__(self) -> str:
        """Return size, batch size and what is done to a batch."""
        parts = [f"{self.num_samples} rows", f"{len(self)} batches of {self.batch_size}", f"device={self.device}"]
        for name in ("shuffle", "augment", "normalize", "drop_last"):
            if value := getattr(self, name):
                parts.append(f"{name}={value}")
        return f"TensorLoader({', '.join(parts)})"

    def set_epoch(self, epoch: int) -> None:
        """Make the next loop over the loader epoch number `epoch` (from 0).

        Raises:
            TypeError: `epoch` is no whole number.
            ValueError: It is negative.
        """
        epoch = check_whole("epoch", epoch)
        if epoch < 0:
            raise ValueError(f"epoch must not be negative, got {epoch}")
        self.epoch = epoch

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs for the same batches: the number of the next epoch, and the seed."""
        return {"epoch": self.epoch, "seed": self.seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up where `state_dict` was taken (between epochs)."""
        self.seed = check_seed(state["seed"])
        self.set_epoch(state["epoch"])

    def _batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        shuffle_seed, augment_seed = np.random.SeedSequence((self.seed, epoch)).generate_state(2, np.uint32).tolist()
        order = self._rows
        if self.shuffle:
            order = torch.randperm(self.num_rows, generator=torch.Generator().manual_seed(shuffle_seed))
            order = order.to(self.device) if self._rows is None else self._rows[order]
        generator = torch.Generator(self.device).manual_seed(augment_seed) if self.augment else None
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            stop = min(start + self.batch_size, self.num_rows)
            if order is None:
                x, y = self._x[start:stop].clone(), self._y[start:stop].clone()
            else:
                rows = order[start:stop]
                # index_select: several times faster than self._x[rows] on a CPU
                x, y = self._x.index_select(0, rows), self._y.index_select(0, rows)
            if x.dtype == torch.uint8:
                x = x.to(torch.float32).div_(255)
            if self.augment is not None:
                x = self.augment(x, generator=generator)
            if self.normalize is not None:
                x = self.normalize(x)
            yield x, y


def _pair(data: Any) -> tuple[Tensor, Tensor]:
    """The rows and labels in what a `TensorLoader` is given."""
    if isinstance(data, ImageSet):
        return data.images, data.labels
    if isinstance(data, TensorDataset):
        data = data.tensors
    if not isinstance(data, (tuple, list)):
        shape = list(getattr(data, "shape", []))
        kind = f"one tensor {shape}" if shape else f"a {type(data).__name__}"
        raise TypeError(f"data must be an ImageSet or a pair (x, y), got {kind}")
    if len(data) != 2:
        raise ValueError(
            f"data must be a pair (x, y), got {len(data)} parts: for batches of more, use PyTorch's "
            "DataLoader(TensorDataset(...), batch_size=..., shuffle=True)"
        )
    x, y = (_tensor(name, part) for name, part in zip("xy", data, strict=True))
    return x, y


def _tensor(name: str, part: Any) -> Tensor:
    """One part of a pair as a tensor; an array's numbers in the kinds that networks compute with."""
    if not isinstance(part, Tensor):
        array = np.array(part, order="C")  # a copy: it may be read-only, and its owner may change it
        if array.dtype.kind not in "buif":
            raise TypeError(f"{name} must be a tensor or array of numbers, got {type(part).__name__} of {array.dtype}")
        if array.dtype.kind != "b" and array.dtype != np.uint8:
            array = array.astype(np.float32 if array.dtype.kind == "f" else np.int64)
        part = torch.from_numpy(array)
    if part.ndim == 0:
        raise ValueError(f"{name} must have a row per sample, got a single number")
    return part
