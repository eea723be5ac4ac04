"""The image sets the lessons know by name."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nnlab_helpers.data.errors import DataFileError
from nnlab_helpers.data.folder import expanded
from nnlab_helpers.data.idx import has_md5, read_idx
from nnlab_helpers.data.imageset import ImageSet
from nnlab_helpers.files import user_folder

DATA_VARIABLE = "NNLAB_DATA"
PACKAGED = Path(__file__).resolve().parent.parent / "assets"
MNIST_MD5 = {  # of the unpacked files
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_PREFIX = {"train": "train", "test": "t10k"}
_SECONDS = 30.0  # without a byte from the server before a download is given up
_verified: set[tuple[str, Path, int, int]] = set()


@dataclass(frozen=True)
class _Known:
    folder: str  # under the data directory, and the name of torchvision's class
    classes: tuple[str, ...]


_SETS = {
    "mnist": _Known("MNIST", tuple("0123456789")),
    "fashion_mnist": _Known(
        "FashionMNIST",
        ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": _Known("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
}


def load_images(
    name: str = "mnist", split: str = "train", *, root: str | Path | None = None, download: bool = False
) -> ImageSet:
    """Load an image set by name, all of it into memory.

    MNIST ships with this package, so it needs neither network nor `root`. Fashion-MNIST and KMNIST are read from the
    data directory, and fetched into it by torchvision if `download` is set and they are not there yet.

    The data directory is `root`, else the environment variable `NNLAB_DATA`, else `~/.cache/nnlab` (see
    `data_directory`). In it the files lie as torchvision lays them (`MNIST/raw/train-images-idx3-ubyte`, ...) or
    directly, gzipped or unpacked; MNIST's are told from the others' by their checksums. Without `root`, and with no
    MNIST in `NNLAB_DATA`, MNIST comes from the package; `root` must hold what it is asked for.

    Args:
        name: `"mnist"` (60,000 + 10,000 digits), `"fashion_mnist"` or `"kmnist"` (as many, the same size).
        split: `"train"` or `"test"`, the split published with the set.
        root: The data directory.
        download: Fetch the files if any is missing. Nothing is ever downloaded otherwise.

    Returns:
        An `ImageSet` with images `[60000, 1, 28, 28]` or `[10000, 1, 28, 28]`.

    Raises:
        ValueError: The set or split is not known, or a file is damaged or another set's (`DataFileError`).
        FileNotFoundError: The data directory or a file in it is missing.
        OSError: The data directory cannot be written, or a file not be read.
        ConnectionError: The download failed.
    """
    if name not in _SETS:
        raise ValueError(f"unknown image set {name!r}: choose one of {', '.join(_SETS)}")
    if split not in _PREFIX:
        raise ValueError(f"unknown split {split!r}: choose 'train' or 'test'")
    known = _SETS[name]
    folder = _find_folder(name, root, download)
    parts = []
    for kind, ndim in (("images-idx3", 3), ("labels-idx1", 1)):
        path = _find_file(folder, f"{_PREFIX[split]}-{kind}-ubyte", name)
        parts.append((path, _read(path, ndim, name)))
    (image_path, images), (label_path, labels) = parts
    if len(images) != len(labels):
        raise DataFileError(
            f"{image_path} holds {len(images):,} images but {label_path} {len(labels):,} labels. "
            + _remedy(image_path, name)
        )
    if len(labels) and labels.max() >= len(known.classes):
        raise DataFileError(f"{label_path}: label {labels.max()}, but there are {len(known.classes)} classes")
    # Copies: the arrays are views of read-only bytes.
    return ImageSet(
        images=torch.from_numpy(images.copy()).unsqueeze(1),
        labels=torch.from_numpy(labels.astype("int64")),
        classes=known.classes,
        name=f"{name} {split}",
    )


def data_directory(root: str | Path | None = None) -> Path:
    """Return the directory of the user's data: `root`, else `$NNLAB_DATA`, else `~/.cache/nnlab`.

    Where there is no home folder, or none that can be written, a temporary folder takes the place of the last.
    """
    if root is not None:
        return expanded(root)
    if override := os.environ.get(DATA_VARIABLE, "").strip():
        return expanded(override)
    return user_folder()


def _find_folder(name: str, root: str | Path | None, download: bool) -> Path:
    """Return the folder with the set's four files, which may have to be downloaded first."""
    download = download and name != "mnist"
    chosen = root is not None or bool(os.environ.get(DATA_VARIABLE, "").strip())
    if name == "mnist" and not chosen:
        return PACKAGED / "MNIST" / "raw"  # the home folder, which may be closed, is not asked
    directory = data_directory(root)
    if chosen and not directory.is_dir() and not download:
        origin = "root" if root is not None else f"${DATA_VARIABLE}"
        raise FileNotFoundError(f"{directory}: no such directory (given by {origin})")
    if (found := _holding_folder(directory, name)) and not (download and any(not _at(found, f) for f in MNIST_MD5)):
        return found
    if name == "mnist" and root is None:
        return PACKAGED / "MNIST" / "raw"
    if download:
        return _download(name, directory)
    if name == "mnist":
        remedy = "Leave out `root` to use the digits that ship with the package."
    else:
        remedy = (
            f"With a network, load_images({name!r}, download=True) fetches it; without one, copy the four files there "
            f"from a machine that has them, or point ${DATA_VARIABLE} or `root` at them."
        )
    raise FileNotFoundError(f"no {name} in {directory}, nor in {_raw(directory, name)}. {remedy}")


def _raw(directory: Path, name: str) -> Path:
    return directory / _SETS[name].folder / "raw"


def _holding_folder(directory: Path, name: str) -> Path | None:
    """Return the first folder with at least one of the set's files, so that a missing one is reported by name."""
    for folder in (_raw(directory, name), directory / _SETS[name].folder):
        if any(_at(folder, file) for file in MNIST_MD5):
            return folder
    # Without the set's name in the path only the caller can tell Fashion-MNIST from KMNIST, and checksums MNIST.
    found = [path for file in MNIST_MD5 if (path := _at(directory, file))]
    return directory if found and (name == "mnist" or not any(map(_is_mnist, found))) else None


def _at(folder: Path, file: str) -> Path | None:
    """Return where `file` lies in `folder`, unpacked or gzipped."""
    return next((path for end in ("", ".gz") if (path := folder / f"{file}{end}").is_file()), None)


def _is_mnist(path: Path) -> bool:
    return has_md5(path, MNIST_MD5[path.name.removesuffix(".gz")])


def _find_file(folder: Path, file: str, name: str) -> Path:
    if path := _at(folder, file):
        return path
    remedy = _remedy(folder / file, name, damaged=False)
    raise FileNotFoundError(f"{folder / file}: missing (nor is there {file}.gz). {remedy}")


def _read(path: Path, ndim: int, name: str) -> np.ndarray:
    """Read a file, with its checksum at the first read of it in this process."""
    status = path.stat()
    key = (name, path.resolve(), status.st_size, status.st_mtime_ns)
    if name != "mnist" and key not in _verified and _is_mnist(path):
        raise DataFileError(f"{path}: a file of MNIST, not of {name}. {_remedy(path, name)}")
    md5 = MNIST_MD5[path.name.removesuffix(".gz")] if name == "mnist" and key not in _verified else None
    array = read_idx(path, ndim=ndim, md5=md5, remedy=_remedy(path, name))
    _verified.add(key)
    return array


def _remedy(path: Path, name: str, damaged: bool = True) -> str:
    if path.is_relative_to(PACKAGED):
        return "Install the package again, or restore this file from the repository."
    if name == "mnist":
        return "Copy the original file there again, or leave out `root` to use the digits that ship with the package."
    remove = f"Delete {path} and call" if damaged else "Call"
    return f"{remove} load_images({name!r}, download=True), or copy the original file there."


def _download(name: str, directory: Path) -> Path:
    """Fetch a set with torchvision, into place only when all of it is there and its checksums are right."""
    from torchvision import datasets

    target = _raw(directory, name)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        choose = f"Choose another `root` or ${DATA_VARIABLE}."
        raise type(error)(f"cannot write to {directory}: {error}. {choose}") from error
    try:
        with tempfile.TemporaryDirectory(prefix=".download-", dir=directory) as scratch:
            timeout = socket.getdefaulttimeout()
            socket.setdefaulttimeout(_SECONDS)
            try:
                getattr(datasets, _SETS[name].folder)(scratch, download=True)
            finally:
                socket.setdefaulttimeout(timeout)
            fetched = _raw(Path(scratch), name)
            target.mkdir(parents=True, exist_ok=True)
            for file in MNIST_MD5:
                shutil.move(fetched / file, target / file)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"could not download {name} to {directory}: {error}\n"
            f"Check the network and try again, or copy the four files from a machine that has them to {target}."
        ) from error
    return target
