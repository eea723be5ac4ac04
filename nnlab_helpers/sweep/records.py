"""Finished runs on disk: a small file for each, written whole, and found again only if it is intact.

The course ships the runs of its own lessons, packed into a file for each sweep (see `shipped.py`). They stand behind
the user's own, as long as these lie in their usual place.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nnlab_helpers
from nnlab_helpers.files import check_writable, clear_leftovers, replacing, user_folder

FORMAT = 2
CACHE_VARIABLE = "NNLAB_CACHE"
SHIPPED = Path(str(nnlab_helpers.__file__)).parent / "assets" / "sweeps"


def cache_folder(name: str) -> Path:
    """Return the folder for the records of one sweep: `name` in `$NNLAB_CACHE`, else in `~/.cache/nnlab/sweeps`.

    In the latter, `sweep` also finds the records that the course ships under this name. Where `$NNLAB_CACHE` is set, it
    finds only what that folder holds: an empty one lets every run be made anew.

    Raises:
        ValueError: `name` leads out of that folder.
    """
    chosen = os.environ.get(CACHE_VARIABLE, "").strip()
    folder = Path(chosen).expanduser() if chosen else user_folder() / "sweeps"
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"a sweep needs a name of its own in {folder}, got {name!r}")
    return folder / name


def shipped_for(folder: Path) -> Path | None:
    """Return the pack of records that stands behind `folder`, or None if none does."""
    if os.environ.get(CACHE_VARIABLE, "").strip() or folder.parent != user_folder() / "sweeps":
        return None
    pack = SHIPPED / f"{folder.name}.jsonl"
    return pack if pack.is_file() else None


@dataclass(frozen=True)
class Record:
    """What one run gave.

    Attributes:
        config: the configuration, described as JSON can hold it.
        seed: the seed of the run.
        version: the digest of the code that ran, and of all that it read.
        code: the same without the last bits of floats, on which processors differ.
        result: names and numbers (or strings) that the run returned; empty if it failed.
        error: None, or what went wrong, on one line.
        traceback: None, or where it went wrong, as Python prints it.
        seconds: how long it took.
    """

    config: Any
    seed: int
    version: str
    code: str
    result: dict[str, Any]
    error: str | None
    traceback: str | None
    seconds: float

    @property
    def key(self) -> str:
        """What the record is found by: a digest of configuration, seed and version."""
        return key_of(self.config, self.seed, self.version)


def key_of(config: Any, seed: int, version: str) -> str:
    """Return the digest under which a run's record is kept."""
    return hashlib.sha256(_text([config, seed, version]).encode()).hexdigest()[:32]


class Records:
    """The records in one folder, or nowhere if there is none."""

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        """Use `folder`, which is made when the first record is written."""
        self.folder = None if folder is None else Path(folder)
        self.damaged: list[Path] = []  # records that were found broken, and so are run again
        self.from_course = 0  # how many were found among those that the course ships
        pack = shipped_for(self.folder) if self.folder else None
        self.made_with = made_with(pack) if pack else {}
        self._shipped = {record.key: record for record in read_pack(pack)} if pack else {}

    def find(self, config: Any, seed: int, version: str) -> Record | None:
        """Return the record of this very run, or None if there is none or it is damaged."""
        if self.folder is None:
            return None
        key = key_of(config, seed, version)
        try:
            record = record_from(self._path(key).read_text(encoding="utf-8"))
            if record is None:
                return None
        except (FileNotFoundError, NotADirectoryError):
            record = self._shipped.get(key)
            if record is None:
                return None
            self.from_course += 1
        except ValueError:
            record = None
        if record is None or (record.config, record.seed, record.version) != (config, seed, version):
            self.damaged.append(self._path(key))
            return None
        return record

    def prepare(self) -> None:
        """Make the folder, so that it is known before the first run whether there is one. Raises: OSError."""
        if self.folder is None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            check_writable(self.folder / "record.json")
        except OSError as error:
            why = error.strerror or error
            told = f"no records can be kept in {self.folder} ({why}): name another folder as `cache`"
            raise type(error)(error.errno, told) from error
        for leftover in {path.name.rsplit(".", 2)[0][1:] for path in self.folder.glob(".*.tmp")}:
            clear_leftovers(self.folder / leftover)

    def keep(self, record: Record) -> None:
        """Write `record` to its file, whole or not at all. Raises: OSError, which names the file."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._path(record.key)) as file:
            file.write(text_of(record, indent=1) + "\n")

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}.json"


def text_of(record: Record, indent: int | None = None) -> str:
    """Return `record` as JSON, with a checksum."""
    return _text({**asdict(record), "format": FORMAT, "sha256": _checksum(record)}, indent)


def record_from(text: str) -> Record | None:
    """Return the record that `text` holds, or None if it is of another format.

    Raises:
        ValueError: it is damaged.
    """
    try:
        content = json.loads(text)
        checksum = content.pop("sha256")
        if content.pop("format") != FORMAT:
            return None
        record = Record(**content)
        intact = checksum == _checksum(record)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a record: {error}") from None
    if not intact:
        raise ValueError("not the record that was written: its checksum differs")
    return record


def made_with(pack: Path) -> dict[str, str]:
    """Return what a pack was made with, by name: "processor", "python", "torch"."""
    return dict(json.loads(pack.read_text(encoding="utf-8").partition("\n")[0]))


def read_pack(path: Path) -> list[Record]:
    """Return the intact records of a pack, a line each; its first line says what made it."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        with contextlib.suppress(ValueError):  # what is damaged is run again
            record = record_from(line)
            if record is not None:
                found.append(record)
    return found


def _checksum(record: Record) -> str:
    return hashlib.sha256(_text(asdict(record)).encode()).hexdigest()


def _text(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent)
