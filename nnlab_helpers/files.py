"""Files that are there whole or not at all, and where the user's own are kept."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FULL = {errno.ENOSPC, errno.EFBIG, errno.EIO, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def replacing(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """Open a new file that takes the place of `path` when the block ends well.

    Whoever reads sees the old content or the new, never a part, also if the machine stops in between. If the block
    raises, `path` stays as it was. Text is UTF-8 with plain newlines; a file's permissions are kept. What a writer of
    the same file left behind that was killed is cleared away.

    Raises:
        OSError: the folder of `path` does not exist or cannot be written, or the disk is full; it names the file.

    Example:
        >>> with replacing(Path("notes.txt")) as file:  # doctest: +SKIP
        ...     file.write("all of it")
    """
    path = path.resolve()  # behind a link, the file that it points to
    clear_leftovers(path)
    handle, temporary = _own_file(path)
    try:
        mode, encoding, newline = ("wb", None, None) if binary else ("w", "utf-8", "\n")
        with open(temporary, mode, encoding=encoding, newline=newline) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, path.stat().st_mode & 0o7777 if path.exists() else 0o666 & ~_umask())
        if fcntl is None:  # Windows moves no open file
            os.close(handle)
            handle = -1
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = str(path)  # the system does not say which file it had no room for
        raise
    finally:
        if handle >= 0:
            os.close(handle)


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return `path` with the home folder in place of a `~` at its beginning.

    Raises:
        FileNotFoundError: no home folder is known.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(errno.ENOENT, "no home folder is known for the ~ in this path", str(path)) from error


def check_writable(path: Path) -> None:
    """Raise the OSError that making the file for `replacing(path)` would end with, and leave nothing behind."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder, not a file", str(path))
    handle, temporary = _own_file(path.resolve())
    os.close(handle)
    os.unlink(temporary)


def clear_leftovers(path: Path) -> None:
    """Delete the unfinished files of writers of `path` that were killed; those of living ones are locked, and stay."""
    ours = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}\.tmp")
    with os.scandir(path.parent) as entries:
        found = [entry.path for entry in entries if ours.fullmatch(entry.name)]
    for name in found:
        with contextlib.suppress(OSError):  # another has cleared it, or it is not ours to delete
            if fcntl is None:  # Windows deletes no open file
                os.unlink(name)
                continue
            with open(name, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(name)


def _own_file(path: Path) -> tuple[int, str]:
    """Make the file that is to take the place of `path`: its handle, which holds it locked while we live, and name."""
    while True:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        if fcntl is None:
            return handle, temporary
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            return handle, temporary
        if os.path.exists(temporary):
            return handle, temporary
        os.close(handle)  # another writer took it for a leftover before we had the lock


def user_folder() -> Path:
    """Return the folder for what can be made again: `nnlab` in `$XDG_CACHE_HOME`, else in `~/.cache`.

    Where there is no home, or none that can be written, it lies among the temporary files.
    """
    if cache := os.environ.get("XDG_CACHE_HOME", "").strip():
        return Path(cache) / "nnlab"
    folder = os.path.join(os.path.expanduser("~"), ".cache", "nnlab")  # "~" stays where there is no home
    there = next((path for path in (folder, *map(str, Path(folder).parents)) if os.path.exists(path)), ".")
    if os.path.isabs(folder) and os.path.isdir(there) and os.access(there, os.W_OK | os.X_OK):
        return Path(folder)
    return Path(tempfile.gettempdir()) / f"nnlab-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _umask() -> int:
    mask = os.umask(0o022)  # it can only be read by setting it
    os.umask(mask)
    return mask
