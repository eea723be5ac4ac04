"""Divide a set into training, validation and test indices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nnlab_helpers.data.imageset import ImageSet
from nnlab_helpers.device import check_seed


@dataclass(frozen=True, eq=False)
class Splits:
    """Indices into one set, int64 `[M]` each, with no index in two of them; each in random order."""

    train: Tensor
    val: Tensor
    test: Tensor

    def __repr__(self) -> str:
        """Return the sizes."""
        return f"Splits(train={len(self.train)}, val={len(self.val)}, test={len(self.test)})"


def make_splits(
    labels: ImageSet | Tensor | Sequence[int],
    *,
    val: float | int = 0.1,
    test: float | int = 0.1,
    seed: int = 0,
    train: float | int | None = None,
) -> Splits:
    """Divide a set at random so that every part has the classes in the same proportions (stratified).

    Sizes are counts (whole numbers, 500) or fractions of the whole set (0.1). `train` takes what the others leave, or
    its own size, and then some images may stay unused. 0 leaves a part empty.

    Args:
        labels: The labels `[N]`, or the `ImageSet` that has them.
        val: Size of the validation part.
        test: Size of the test part; 0 where the set comes with a test set of its own.
        seed: From 0 to 2**32 - 1; the same seed gives the same parts.
        train: Size of the training part (default: all the rest).

    Returns:
        `Splits`; the first k indices of a part are a random (not stratified) sample of it.

    Raises:
        ValueError: The sizes do not fit into the set, or a class is too small to be in each part.
        TypeError: A size is not a number, or labels are not whole numbers.

    Example:
        >>> make_splits(digits, val=5000, test=0)
        Splits(train=55000, val=5000, test=0)
    """
    names = labels.classes if isinstance(labels, ImageSet) else None
    values = _label_array(labels)
    total = len(values)
    sizes = {"val": _count("val", val, total), "test": _count("test", test, total)}
    rest = total - sizes["val"] - sizes["test"]
    fractions = [size for size in (train, val, test) if isinstance(size, float)]
    if train is None or (len(fractions) == 3 and abs(sum(fractions) - 1) < 1e-9):
        sizes["train"] = rest  # three rounded fractions of the whole could miss it by one
    else:
        sizes["train"] = _count("train", train, total)
    if sizes["train"] < 1 or sum(sizes.values()) > total:
        asked = ", ".join(f"{part}={sizes[part]:,}" for part in ("train", "val", "test"))
        raise ValueError(f"{total:,} images cannot be divided into {asked}: train must get at least one")
    _check_classes(values, sizes, names)

    remaining = np.arange(total)
    parts = {}
    for number, part in enumerate(("test", "val", "train")):
        try:
            parts[part], remaining = _draw(remaining, values, sizes[part], check_seed(seed), number)
        except _TooRareError as error:
            raise _too_rare(error.label, part, sizes, names) from None
        missing = np.setdiff1d(values, values[parts[part]])
        if sizes[part] and len(missing):
            raise _too_rare(missing[0], part, sizes, names)
    return Splits(**{part: torch.from_numpy(index) for part, index in parts.items()})


class _TooRareError(Exception):
    def __init__(self, label: int) -> None:
        self.label = label


def _too_rare(label: int, part: str, sizes: dict[str, int], names: Sequence[str] | None) -> ValueError:
    return ValueError(
        f"class {_name(label, names)} is too rare for its share of {part} ({sizes[part]:,} images) and of the parts "
        f"after it: add images of it, leave it out, or choose other sizes"
    )


def _draw(pool: np.ndarray, values: np.ndarray, size: int, seed: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Take `size` indices out of `pool`, stratified; return them and those left."""
    random = np.random.RandomState(np.random.SeedSequence((seed, number)).generate_state(4))
    if size == 0:
        return pool[:0], pool
    if len(pool) - size < len(np.unique(values)):  # (nearly) all that is left: as good as stratified
        pool = random.permutation(pool)
        return pool[:size], pool[size:]
    from sklearn.model_selection import train_test_split

    classes, counts = np.unique(values[pool], return_counts=True)
    if counts.min() < 2:  # scikit-learn could put it on one side only
        raise _TooRareError(classes[counts.argmin()])
    taken, rest = train_test_split(pool, train_size=size, stratify=values[pool], random_state=random)
    return taken, rest


def _label_array(labels: ImageSet | Tensor | Sequence[int]) -> np.ndarray:
    source = labels.labels if isinstance(labels, ImageSet) else labels
    values = source.detach().cpu().numpy() if isinstance(source, Tensor) else np.asarray(source)
    if values.size == 0:
        raise ValueError("labels must be one number per image, got none: there is nothing to divide")
    if values.ndim != 1:
        raise ValueError(f"labels must be one number per image, got shape {list(values.shape)}")
    if values.dtype.kind not in "iu":
        raise TypeError(f"labels must be whole numbers, got {values.dtype}")
    return values


def _count(part: str, size: float | int, total: int) -> int:
    """Return `size` as a number of images."""
    if isinstance(size, bool) or not isinstance(size, int | float | np.integer | np.floating):
        raise TypeError(f"{part} must be a count or a fraction, got {size!r}")
    if isinstance(size, int | np.integer):
        if not 0 <= size <= total:
            raise ValueError(f"{part} must be from 0 to {total:,} images, got {size:,}")
        return int(size)
    if not 0 <= size < 1:
        raise ValueError(f"{part} as a fraction must be at least 0 and below 1, got {size} (a count is an int)")
    return round(size * total)


def _check_classes(values: np.ndarray, sizes: dict[str, int], names: Sequence[str] | None) -> None:
    """Each class must have a member for each part that is not empty."""
    used = [part for part, size in sizes.items() if size]
    classes, counts = np.unique(values, return_counts=True)
    rarest = counts.argmin()
    if counts[rarest] < len(used):
        raise ValueError(
            f"class {_name(classes[rarest], names)} has only {counts[rarest]} image(s), too few to be in each of "
            f"{', '.join(sorted(used))}: add images, leave the class out, or set a part to 0"
        )
    for part in used:
        if sizes[part] < len(classes):
            raise ValueError(f"{part}={sizes[part]} is too small: at least one image of each of {len(classes)} classes")


def _name(label: int, names: Sequence[str] | None) -> str:
    return str(label) if names is None else repr(names[label])
