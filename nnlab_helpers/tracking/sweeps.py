"""A sweep's table as TensorBoard's HParams page shows it: what was chosen for each run beside what came of it."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnlab_helpers.tracking.checks import local_folder

if TYPE_CHECKING:
    import pandas


def log_sweep(
    frame: pandas.DataFrame,
    log_dir: str | os.PathLike[str],
    *,
    metrics: Sequence[str] | None = None,
    choices: Sequence[str] | None = None,
) -> list[Path]:
    """Write each run of a sweep into a folder of its own below `log_dir`, for TensorBoard's HParams page.

    There they are a table to sort and filter, a plot with an axis for each choice (parallel coordinates) and a matrix
    of scatter plots. Choices that are not plain (a list of widths, a class) are written as text.

    Args:
        frame: what `nnlab_helpers.sweep.sweep` returned; any frame with a row a run will do.
        log_dir: the folder to give to `tensorboard --logdir`, made where it is missing; `~` is the home folder.
        metrics: the columns that hold results. Default: those with numbers that are neither choices nor the seed.
        choices: the columns that hold what was chosen. Default: `frame.attrs["factors"]` and "seed".

    Returns:
        The runs' folders, in the order of the frame. Runs that failed have none: there is nothing to show of them.

    Raises:
        KeyError: no such column.
        ValueError: no metrics, or no run with a number in any of them.
        FileExistsError: `log_dir` holds the events of other runs, which would stand in the same table.

    Example:
        >>> folders = log_sweep(sweep(run, {"width": [16, 64]}), "runs/widths")     # doctest: +SKIP
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype
    from torch.utils.tensorboard import SummaryWriter

    chosen = list(choices) if choices is not None else [*frame.attrs.get("factors", []), "seed"]
    if metrics is None:
        numbers = [c for c in frame.columns if is_numeric_dtype(frame[c]) and not is_bool_dtype(frame[c])]
        metrics = [name for name in numbers if name not in chosen]
    for name in [*chosen, *metrics]:
        if name not in frame:
            raise KeyError(f"no column {name!r} in the table: there are {list(frame.columns)}")
    shown = []
    for number, row in enumerate(frame.to_dict("records")):
        found = {name: as_number(row[name]) for name in metrics}
        values = {name: math.nan if value is None else value for name, value in found.items()}
        if not all(math.isnan(value) for value in values.values()):
            shown.append((number, values, row))  # NaN too: the page shows the columns of the first run alone
    if not shown:
        raise ValueError(f"no run has a number in any of {list(metrics)}: there is nothing to show")
    folder = local_folder(log_dir)
    if any(folder.rglob("events.out.tfevents.*")):
        raise FileExistsError(f"{folder} holds the events of other runs: give each sweep a folder of its own")
    folders = []
    for number, values, row in shown:
        folders.append(folder / f"run{number:0{len(str(len(frame) - 1))}d}")
        with SummaryWriter(str(folders[-1])) as writer:
            # Without a name it would go into a folder of its own, as a run of its own.
            writer.add_hparams(as_hparams({name: row[name] for name in chosen}), values, run_name=".")
    return folders


def as_hparams(chosen: Mapping[str, Any]) -> dict[str, bool | int | float | str]:
    """Return `chosen` as TensorBoard can hold it: numbers, truth values and text; a function or class by its name."""
    return {str(name): _plain(value) for name, value in chosen.items()}


def _plain(value: Any) -> bool | int | float | str:
    if hasattr(value, "item"):
        with suppress(Exception):  # a tensor or array of several numbers, or of none
            value = value.item()
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < sys.float_info.max):
        return value
    try:
        text = value if isinstance(value, str) else str(getattr(value, "__name__", value))
    except Exception:  # an object that cannot be printed
        text = f"<{type(value).__name__}>"
    return text.encode(errors="replace").decode()


def as_number(value: Any) -> float | None:
    """Return `value` as a number, None where it is none."""
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of several numbers
        return None
