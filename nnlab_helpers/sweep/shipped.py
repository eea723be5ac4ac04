"""The finished runs of the lessons, which the course ships: packed when a lesson is built, a file for each sweep.

A shipped record serves like one of the user's own: only where configuration, seed and code are the same, and the code
includes the versions of Python and PyTorch and all parts of this package that train.
"""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch

from nnlab_helpers.files import replacing
from nnlab_helpers.sweep.fingerprint import library_version, python_version
from nnlab_helpers.sweep.records import SHIPPED, Record, key_of, made_with, read_pack, record_from, text_of


def made_here() -> dict[str, str]:
    """Return what records made here are made with. The processor decides their last digits."""
    return {
        "python": python_version(),
        "torch": library_version("torch"),
        "processor": f"{_processor()} ({platform.machine()} {torch.backends.cpu.get_cpu_capability()})",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):  # not on Linux, or not this kind of processor
        return platform.processor() or "a processor"


def pack_lesson(day: str, folder: Path, target: Path = SHIPPED) -> list[Path]:
    """Pack what a lesson's sweeps left in `folder`, in a folder each, and forget packs of sweeps it no longer has.

    A record that says the same as the one packed before stays as it was, so that only what changed changes.

    Args:
        day: what the names of the lesson's sweeps begin with, as "day15".
        folder: the value that `$NNLAB_CACHE` had.
        target: where the packs go: `<name of the sweep>.jsonl`.

    Returns:
        The packs.

    Raises:
        ValueError: a sweep's name does not begin with `day`, so it might be another lesson's.
    """
    sweeps = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if foreign := [sweep.name for sweep in sweeps if not sweep.name.startswith(f"{day}_")]:
        raise ValueError(f"the names of the sweeps of {day} must begin with '{day}_', got {', '.join(foreign)}")
    packs = [target / f"{sweep.name}.jsonl" for sweep in sweeps]
    for sweep, pack in zip(sweeps, packs, strict=True):
        target.mkdir(parents=True, exist_ok=True)
        _write(_records(sweep), pack)
    for old in set(target.glob(f"{day}_*.jsonl")) - set(packs):
        old.unlink()
    return packs


def unshipped(folder: Path, shipped: Path = SHIPPED) -> dict[str, int]:
    """Return how many runs of each sweep in `folder` are not among the shipped: the names of sweeps out of step.

    What was run counts: configuration, seed and code. What came out does not, nor do the last bits of floats among what
    was read, so that processors which round differently agree. Sweeps whose pack was made with another Python or
    PyTorch, which are part of the code, are left out.
    """
    missing = {}
    for sweep in sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []:
        pack = shipped / f"{sweep.name}.jsonl"
        if pack.is_file() and any(made_with(pack).get(part) != made_here()[part] for part in ("python", "torch")):
            continue
        known = {_ran(record) for record in read_pack(pack)} if pack.is_file() else set()
        if lost := sum(_ran(record) not in known for record in _records(sweep)):
            missing[sweep.name] = lost
    return missing


def _ran(record: Record) -> str:
    return key_of(record.config, record.seed, record.code)


def _records(folder: Path) -> list[Record]:
    """The records of the runs in `folder` that went well, in a fixed order."""
    found = [record_from(path.read_text(encoding="utf-8")) for path in folder.glob("*.json")]
    return sorted((one for one in found if one is not None and one.error is None), key=lambda one: one.key)


def _write(records: list[Record], pack: Path) -> None:
    before = {record.key: record for record in read_pack(pack)} if pack.is_file() else {}
    lines = [json.dumps(made_here(), sort_keys=True)]
    for record in records:
        old = before.get(record.key)
        lines.append(text_of(old if old is not None and old.result == record.result else record))
    with replacing(pack) as file:
        file.write("\n".join(lines) + "\n")
