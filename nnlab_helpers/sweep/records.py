"""Finished runs on disk: a small file for each, written whole, and found again only if it is intact."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nnlab_helpers.files import replacing, user_folder

FORMAT = 1
CACHE_VARIABLE = "NNLAB_CACHE"


def cache_folder(name: str) -> Path:
    """Return the folder for the records of one sweep: `name` in `$NNLAB_CACHE`, else in `~/.cache/nnlab/sweeps`.

    Raises:
        ValueError: `name` leads out of that folder.
    """
    chosen = os.environ.get(CACHE_VARIABLE, "").strip()
    folder = Path(chosen).expanduser() if chosen else user_folder() / "sweeps"
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ValueError(f"a sweep needs a name of its own in {folder}, got {name!r}")
    return folder / name


@dataclass(frozen=True)
class Record:
    """What one run gave.

    Attributes:
        config: the configuration, described as JSON can hold it.
        seed: the seed of the run.
        version: the digest of the code that ran.
        result: names and numbers (or strings) that the run returned; empty if it failed.
        error: None, or what went wrong, on one line.
        traceback: None, or where it went wrong, as Python prints it.
        seconds: how long it took.
    """

    config: Any
    seed: int
    version: str
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

    def find(self, config: Any, seed: int, version: str) -> Record | None:
        """Return the record of this very run, or None if there is none or it is damaged."""
        if self.folder is None:
            return None
        path = self._path(key_of(config, seed, version))
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            checksum = content.pop("sha256")
            if content.pop("format") != FORMAT:
                return None
            record = Record(**content)
            intact = checksum == _checksum(record)
            same = (record.config, record.seed, record.version) == (config, seed, version)
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            intact = same = False
        if not (intact and same):
            self.damaged.append(path)
            return None
        return record

    def keep(self, record: Record) -> None:
        """Write `record` to its file, whole or not at all."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._path(record.key)) as file:
            file.write(_text({**asdict(record), "format": FORMAT, "sha256": _checksum(record)}, indent=1) + "\n")

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / f"{key}.json"


def _checksum(record: Record) -> str:
    return hashlib.sha256(_text(asdict(record)).encode()).hexdigest()


def _text(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, indent=indent)
