"""Read the IDX format of the original MNIST files."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from math import prod
from pathlib import Path

import numpy as np

from nnlab_helpers.data.errors import DataFileError

_UINT8 = 0x08  # the element type in byte 3 of the header


def read_idx(path: str | Path, *, ndim: int, md5: str | None = None, remedy: str = "") -> np.ndarray:
    """Read one IDX file of bytes, gzipped or not (Y. LeCun, C. Cortes, C. Burges, 1998).

    The file starts with two zero bytes, the element type, the number of dimensions, and the size of each dimension
    as a big-endian 32-bit number; then come the elements.

    Args:
        path: The file. A gzipped one is recognised by its first bytes, not by its name.
        ndim: Number of dimensions it must have (3 for images, 1 for labels).
        md5: Checksum that the unpacked file must have.
        remedy: What to do about a damaged file; ends the error message.

    Returns:
        uint8 array with `ndim` dimensions.

    Raises:
        FileNotFoundError: There is no such file.
        DataFileError: The file is damaged, truncated, of another kind, or has another checksum.
    """
    path = Path(path)

    def damaged(problem: str) -> DataFileError:
        return DataFileError(f"{path}: {problem}. {remedy}".strip())

    try:
        data = _unpacked(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise damaged(f"damaged or incomplete gzip file ({error})") from error
    if len(data) < 4 + 4 * ndim:
        raise damaged(f"too short for an IDX file ({len(data)} bytes)")
    if data[:4] != bytes((0, 0, _UINT8, ndim)):
        expected = bytes((0, 0, _UINT8, ndim)).hex(" ")
        raise damaged(f"not an IDX file of {ndim}-dimensional bytes: starts with {data[:4].hex(' ')}, not {expected}")
    start = 4 + 4 * ndim
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", ndim, offset=4))
    if len(data) != start + prod(shape):
        problem = "truncated" if len(data) < start + prod(shape) else "has bytes left over"
        raise damaged(f"{problem}: {len(data):,} bytes, {start + prod(shape):,} expected for shape {list(shape)}")
    if md5 is not None and (got := _md5(data)) != md5:
        raise damaged(f"its content has changed: MD5 {got}, expected {md5}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def has_md5(path: Path, md5: str) -> bool:
    """Return whether the file, unpacked, has this checksum; a damaged one has not."""
    try:
        return _md5(_unpacked(path)) == md5
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
