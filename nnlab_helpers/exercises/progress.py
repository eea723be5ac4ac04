"""The learner's own record of what was tried and solved: one small JSON file, never a reason to fail."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnlab_helpers.files import replacing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What is known of one exercise: how often it was checked, and whether it was ever solved."""

    attempts: int = 0
    solved: bool = False


def record_path() -> Path:
    """Return where the record lies: `$NNLAB_PROGRESS`, or `nnlab/progress.json` where the system keeps such data.

    Raises:
        RuntimeError: there is no home directory.
    """
    chosen = os.environ.get("NNLAB_PROGRESS")
    if chosen:
        return Path(chosen).expanduser().resolve()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "nnlab" / "progress.json"


class Record:
    """The record as this kernel sees it. What cannot be written to the file is kept in memory alone."""

    def __init__(self) -> None:
        """Begin with nothing; the file is read when it is needed."""
        self.keep = True
        self._mine: dict[str, Entry] = {}
        self._told: set[str] = set()

    def add(self, exercise_id: str, passed: bool) -> str:
        """Count an attempt; once solved stays solved. Returns what has to be told about the file, mostly ""."""
        if not self.keep:
            return ""
        old = self._mine.get(exercise_id, Entry())
        self._mine[exercise_id] = Entry(old.attempts + 1, old.solved or passed)
        problem = ""
        try:
            path = record_path()
            path.parent.mkdir(parents=True, exist_ok=True)
            with _locked(path):
                entries, extra, problem = _load(path)
                old = entries.get(exercise_id, Entry())
                entries[exercise_id] = Entry(old.attempts + 1, old.solved or passed)
                _write(path, entries, extra)
        except (OSError, RuntimeError) as error:
            problem = f"Your progress is not being kept: {_reason(error)}. The check itself is not affected."
        return self._once(problem)

    def entries(self) -> tuple[dict[str, Entry], str]:
        """Return what file and kernel know together, and what has to be told about the file, mostly ""."""
        entries: dict[str, Entry] = {}
        problem = ""
        try:
            entries, _, problem = _load(record_path())
        except (OSError, RuntimeError) as error:
            problem = f"The record of your progress cannot be read: {_reason(error)}."
        for exercise_id, mine in self._mine.items():
            kept = entries.get(exercise_id, Entry())
            entries[exercise_id] = Entry(max(mine.attempts, kept.attempts), mine.solved or kept.solved)
        return entries, self._once(problem)

    def _once(self, problem: str) -> str:
        if problem in self._told:
            return ""
        self._told.add(problem)
        return problem


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _load(path: Path) -> tuple[dict[str, Entry], dict[str, Any], str]:
    """Read the entries, whatever else the file holds, and what has to be told. A damaged file is set aside.

    Raises:
        OSError: the file is there and cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for ever
            raise OSError(errno.EINVAL, "not a plain file", str(path))
        text = path.read_bytes()
    except FileNotFoundError:
        return {}, {}, ""
    try:
        content = json.loads(text)
        found = content["exercises"]
        entries = {
            str(name): Entry(int(entry.get("attempts", 0)), bool(entry.get("solved", False)))
            for name, entry in found.items()
            if isinstance(entry, dict)
        }
        return entries, {key: value for key, value in content.items() if key != "exercises"}, ""
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        aside = path.with_name(path.name + ".bak")
        with contextlib.suppress(OSError):
            os.replace(path, aside)
        return {}, {}, f"The record of your progress was damaged. It was set aside as {aside}, and a new one begins."


def _write(path: Path, entries: dict[str, Entry], extra: dict[str, Any]) -> None:
    """Replace the file as a whole, so that nobody ever reads half of it.

    Raises:
        OSError: the file or its folder cannot be written.
    """
    if path.exists() and not os.access(path, os.W_OK):  # replacing it would work, against its owner's wish
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    exercises = {name: {"attempts": entry.attempts, "solved": entry.solved} for name, entry in sorted(entries.items())}
    content = {"format": FORMAT, **extra, "exercises": exercises}
    with replacing(path) as file:
        json.dump(content, file, indent=1)


@contextlib.contextmanager
def _locked(path: Path, patience: float = 1.0) -> Iterator[None]:
    """Let one kernel at a time read and replace the file.

    Where there are no such locks (Windows, some network drives) or somebody holds one too long, the last to write wins.
    What already lies under the name of the lock, or behind a link of that name, is not touched.

    Raises:
        OSError: the lock's name is taken by a link, a folder or a pipe.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(os.open(path.with_name(path.name + ".lock"), flags, 0o666), "rb") as lock:
        end = time.monotonic() + patience
        while fcntl is not None and time.monotonic() < end:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(0.02)
            except OSError:
                break
        yield
