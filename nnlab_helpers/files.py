"""Files that are there whole or not at all, and where the user's own are kept."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


@contextmanager
def replacing(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a new file that takes the place of `path` when the block ends well.

    Whoever reads sees the old content or the new, never a part, also if the machine stops in between. If the block
    raises, `path` stays as it was. Text is UTF-8 with plain newlines; a file's permissions are kept.

    Raises:
        OSError: the folder of `path` does not exist or cannot be written.

    Example:
        >>> with replacing(Path("notes.txt")) as file:  # doctest: +SKIP
        ...     file.write("all of it")
    """
    path = path.resolve()  # behind a link, the file that it points to
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    try:
        mode, encoding, newline = ("wb", None, None) if binary else ("w", "utf-8", "\n")
        with open(temporary, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def user_folder() -> Path:
    """Return the folder for what can be made again: `nnlab` in `$XDG_CACHE_HOME`, else in `~/.cache`."""
    cache = os.environ.get("XDG_CACHE_HOME", "").strip()
    return (Path(cache) if cache else Path("~/.cache").expanduser()) / "nnlab"


def _umask() -> int:
    mask = os.umask(0o022)  # it can only be read by setting it
    os.umask(mask)
    return mask
