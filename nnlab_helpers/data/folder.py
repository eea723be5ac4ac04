"""Load a folder of image files."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFile, ImageOps

from nnlab_helpers.data.errors import DataFileError
from nnlab_helpers.data.imageset import ImageSet, sides

_LEFT_BEHIND = {  # by systems and tools, like names with a dot; in lower case
    *("thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "recycler", "system volume information"),  # Windows
    *("__macosx", "icon\r", "network trash folder", "temporary items", "lost+found"),  # macOS, Linux
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # network storage
    *("__pycache__", "cvs"),
}
_FORMATS = ("PNG", "JPEG")


def load_folder(
    path: str | Path, *, size: int | tuple[int, int] = 28, mode: str = "L", background: int = 255
) -> ImageSet:
    """Load a folder of PNG and JPEG files, of any size and kind of pixel.

    Two layouts are understood. **Class folders**: `path` holds nothing but folders; each is a class, in alphabetical
    order, and holds nothing but images. **Flat**: `path` holds nothing but images; there is one class, named like the
    folder, and every label is 0. In both, images come in the alphabetical order of their file names.

    Nothing is skipped silently: whatever is not an image or cannot be read raises an error that names it. Only hidden
    entries (names that start with a dot, such as `.DS_Store`) and what systems and tools leave behind (`Thumbs.db`,
    `__MACOSX`, `lost+found`, `$RECYCLE.BIN`, `@eaDir`, `__pycache__`, ...) are passed over.

    A picture turned by its camera's EXIF tag is turned upright; 16-bit grey is scaled to 8 bits; transparency is laid
    over `background`; of an animation the first picture counts. Then it is converted to `mode` and stretched to
    `size`, whatever its proportions were.

    Args:
        path: The folder.
        size: Side in pixels, or (height, width).
        mode: `"L"` for grey, `"RGB"` for colour.
        background: Brightness behind transparent pixels, 0 (black) to 255 (white).

    Returns:
        An `ImageSet` with images `[N, 1 or 3, height, width]`.

    Raises:
        FileNotFoundError, NotADirectoryError: `path` is no folder.
        DataFileError: A file is not a PNG or JPEG image, damaged, or too large for Pillow to open safely.
        TypeError, ValueError: A folder is empty or mixes files and folders, its name is not UTF-8, or an argument makes
            no sense.

    Example:
        >>> shapes = load_folder("shapes", size=32, mode="RGB")   # shapes/circle/1.png, shapes/square/1.png, ...
        >>> shapes.classes
        ('circle', 'square')
    """
    if mode not in ("L", "RGB"):
        raise ValueError(f"mode must be 'L' (grey) or 'RGB', got {mode!r}")
    height, width = sides(size)
    if not isinstance(background, Integral):
        raise TypeError(f"background must be a whole number, got {background!r}")
    if not 0 <= background <= 255:
        raise ValueError(f"background must be from 0 to 255, got {background}")
    root = expanded(path)
    if not root.exists():
        raise FileNotFoundError(f"{root}: no such folder")
    if not root.is_dir():
        raise NotADirectoryError(f"{root}: a file, not a folder of images")

    files, labels, classes = _list(root)
    images = np.empty((len(files), height, width, len(mode)), np.uint8)
    for i, file in enumerate(files):
        images[i] = _read(file, height, width, mode, int(background)).reshape(height, width, len(mode))
    return ImageSet(
        images=torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        labels=torch.tensor(labels, dtype=torch.int64),
        classes=classes,
        name=root.resolve().name,
    )


def expanded(path: str | Path) -> Path:
    """Return `path` with the home folder in place of `~`.

    Raises:
        FileNotFoundError: There is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"{path}: there is no such home folder") from error


def _list(root: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    """Return the image files, their labels and the class names."""
    folders, files = _entries(root)
    if folders and files:
        raise ValueError(
            f"{files[0]}: a file next to class folders such as {folders[0].name!r}. Put it into its class's folder, "
            "or load a folder that holds nothing but images."
        )
    if not folders and not files:
        raise ValueError(f"{root}: empty folder, neither images nor class folders in it")
    if not folders:
        return files, [0] * len(files), (root.resolve().name or "images",)
    images: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        if any("\ud800" <= letter <= "\udfff" for letter in folder.name):  # bytes that are no UTF-8
            raise ValueError(f"{folder.name!r} in {root}: a class name that cannot be shown. Rename the folder.")
        inner, members = _entries(folder)
        if inner:
            raise ValueError(f"{inner[0]}: folder inside the class folder {folder.name!r}, which may only hold images")
        if not members:
            raise ValueError(f"{folder}: empty class folder. Remove it, or put its images there.")
        images += members
        labels += [label] * len(members)
    return images, labels, tuple(folder.name for folder in folders)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders and the files in `folder`, by name, without what operating systems leave behind."""
    visible = [
        entry
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if not entry.name.startswith(".") and entry.name.lower() not in _LEFT_BEHIND
    ]
    return [entry for entry in visible if entry.is_dir()], [entry for entry in visible if not entry.is_dir()]


def _read(file: Path, height: int, width: int, mode: str, background: int) -> np.ndarray:
    """Return one image as uint8 `[height, width]` or `[height, width, 3]`."""
    if file.exists() and not file.is_file():
        raise DataFileError(f"{file}: neither a file nor a folder")
    if file.is_file() and file.stat().st_size == 0:
        raise DataFileError(f"{file}: empty file")
    try:
        with Image.open(file, formats=_FORMATS) as opened:
            opened.verify()  # a PNG to the mark of its end; loading needs not go so far
        with Image.open(file, formats=_FORMATS) as opened:
            picture = _flatten(ImageOps.exif_transpose(_loaded(opened, file)), background).convert(mode)
    except Image.UnidentifiedImageError as error:
        raise DataFileError(f"{file}: not a PNG or JPEG image") from error
    except Image.DecompressionBombError as error:
        raise DataFileError(f"{file}: too large to be opened safely ({error})") from error
    except (FileNotFoundError, PermissionError):  # a dangling link, a file of somebody else: the message names it
        raise
    except Exception as error:  # Pillow raises many kinds
        raise DataFileError(f"{file}: damaged or truncated image ({error})") from error
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def _loaded(opened: ImageFile.ImageFile, file: Path) -> Image.Image:
    """Return `opened` with its pixels, and the colour that a PNG declares transparent (tRNS) in terms of these.

    Pillow leaves that colour in the bits of the file, and spreads or cuts the pixels to 8.
    """
    key, raw = opened.info.get("transparency"), str(opened.tile[0][3]) if opened.tile else ""
    if raw == "RGB;16B" and key is not None:
        del opened.info["transparency"]
        high = np.asarray(opened).astype(np.uint16)
        with Image.open(file, formats=_FORMATS) as again:  # the other byte of each number
            again.tile = [tile._replace(args="RGB;16L") for tile in again.tile]
            values = 256 * high + np.asarray(again)
        picture = opened.convert("RGBA")
        picture.putalpha(Image.fromarray(np.where((values == key).all(axis=2), 0, 255).astype(np.uint8)))
        return picture
    opened.load()
    if isinstance(key, int) and raw in ("L;2", "L;4", "L"):
        largest = 2 ** int(raw[2:] or 8) - 1
        opened.info["transparency"] = (key & largest) * 255 // largest  # only its low bits count
    return opened


def _flatten(picture: Image.Image, background: int) -> Image.Image:
    """Return `picture` with 8 bits and without transparency."""
    if picture.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip at 255
        values = np.asarray(picture).astype(np.float64)
        values[values == picture.info.get("transparency")] = 257 * background
        return Image.fromarray((values / 257).round().clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        below = Image.new("RGBA", picture.size, (background,) * 3 + (255,))
        return Image.alpha_composite(below, picture.convert("RGBA")).convert("RGB")
    return picture
