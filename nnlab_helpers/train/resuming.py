"""The checkpoint of a run of `fit`: usable before it begins, written as it goes, read when it goes on."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from nnlab_helpers.files import check_writable, expanded
from nnlab_helpers.train.checkpoint import read_checkpoint, write_checkpoint
from nnlab_helpers.train.history import Row


def usable(path: str | os.PathLike[str]) -> Path:
    """Return the path of a checkpoint (`~` is the home folder), whose folder is made and can be written.

    Raises:
        OSError: it cannot be written.
    """
    target = expanded(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    check_writable(target)
    return target


def begun(path: Path, parts: Mapping[str, Any]) -> tuple[dict[str, Any], list[Row], int]:
    """Read the checkpoint of a run that `parts` are to go on with: its content, history, and its scheduler's steps.

    Raises:
        ValueError: it is no checkpoint, or none of `fit`, or its run had a part that is not given.
    """
    content = read_checkpoint(path)
    rows = content.get("history")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "epoch" in row for row in rows):
        raise ValueError(f"{path} holds no history, so fit did not write it: bring it back with load_checkpoint")
    for name in ("optimizer", "scheduler"):
        if parts[name] is None and content.get(name) is not None:
            article = "an" if name == "optimizer" else "a"
            raise ValueError(f"the run in {path} had {article} {name}: pass one like it to go on")
    return content, rows, steps_done(content.get("scheduler"))


def steps_done(state: Any) -> int:
    """How many steps a scheduler has taken, from its `state_dict()` (a chain has no count of its own)."""
    if not isinstance(state, dict):
        return 0
    done = state.get("last_epoch")
    return done if isinstance(done, int) else max(map(steps_done, state.get("_schedulers", [])), default=0)


def keep(path: Path, model: nn.Module, rows: list[Row], parts: Mapping[str, Any], made: Mapping[str, Any]) -> None:
    """Write the checkpoint after an epoch; where the disk does not take it, only warn."""
    try:
        write_checkpoint(path, model, {"history": rows, **parts}, made)
    except OSError as error:
        warnings.warn(
            f"the checkpoint of epoch {len(rows)} could not be written ({error}): {path} is what it was before, and "
            "training goes on",
            RuntimeWarning,
            stacklevel=3,
        )
