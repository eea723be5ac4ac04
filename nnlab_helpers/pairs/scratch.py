"""A temporary folder for one kernel: gone afterwards, and with it whatever was started in it, however the run ends."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MARK = "NNLAB_PROGRESS"  # whoever is started by a kernel has it in its environment: a file in the kernel's folder
TEMPORARY = ("TMPDIR", "TEMP", "TMP")  # where the systems look for the folder of temporary files
_PREFIX = "nnlab-run-"
_LOCK = re.compile(re.escape(_PREFIX) + r"[a-z0-9_]{8}\.lock")


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a temporary folder for a kernel whose environment is `kernel_environment(folder / "progress.json")`.

    At the end the processes that have this environment are ended, those too whose parents are gone, and the folder is
    deleted. What a killed run has left is cleared first; that of a living one is locked, and stays.
    """
    _clear_leftovers()
    handle, lock = _own_lock()
    folder = Path(lock).with_suffix("")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        _clear(folder)
        os.close(handle)
        with contextlib.suppress(OSError):
            os.unlink(lock)


def end_processes(folder: Path) -> None:
    """Kill every process that was started for `folder`, as its environment tells."""
    mark = str(folder / "progress.json")
    for _ in range(5):  # one of them may be starting another
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # it has just ended, or is somebody else's
                if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                    process.kill()
                    found.append(process)
        if not found:
            return
        psutil.wait_procs(found, timeout=3)


def home_is_usable() -> bool:
    """Whether there is a home folder, and it can be written."""
    home = os.path.expanduser("~")
    return os.path.isabs(home) and os.path.isdir(home) and os.access(home, os.W_OK | os.X_OK)


def _clear(folder: Path) -> None:
    end_processes(folder)
    shutil.rmtree(folder, ignore_errors=True)


def _clear_leftovers() -> None:
    """Clear the folders whose lock nobody holds."""
    with os.scandir(tempfile.gettempdir()) as entries:
        found = [entry.path for entry in entries if _LOCK.fullmatch(entry.name)]
    for lock in found:
        folder = Path(lock).with_suffix("")
        with contextlib.suppress(OSError):  # a living run's, or another user's
            if fcntl is None:  # Windows deletes no open file
                os.unlink(lock)
                _clear(folder)
                continue
            with open(lock, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _clear(folder)
                os.unlink(lock)


def _own_lock() -> tuple[int, str]:
    """Make the file beside the folder that is to be, and hold it locked while we live: its handle and its name."""
    while True:
        handle, lock = tempfile.mkstemp(prefix=_PREFIX, suffix=".lock")
        if fcntl is None:
            return handle, lock
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        if os.path.exists(lock):
            return handle, lock
        os.close(handle)  # another run took it for a leftover before we had the lock
