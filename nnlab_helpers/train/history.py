"""What a training run remembers: one row of numbers per epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from nnlab_helpers.train.directions import direction

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]


class History(Sequence[Row]):
    """The epochs of a run, in order: a list of rows that also answers by column.

    A row holds "epoch" (1, 2, ...), "train_loss" and whatever else the step returned with "train_" before it, the same
    with "val_" where there was a validation loader, "learning_rate" (at the start of the epoch) and "seconds".

    Attributes:
        monitor: the column that decides which epoch is best; `fit` sets it to what early stopping watches.
        mode: "min" or "max": whether smaller or larger values of `monitor` are better; by default what its name tells.
        ended: how the run ended: "finished", "early stopping" or "interrupted" ("" while it runs).

    Example:
        >>> history = History([{"epoch": 1, "train_loss": 0.9}, {"epoch": 2, "train_loss": 0.4}])
        >>> history["train_loss"], history[-1]["epoch"], history.best_epoch
        ([0.9, 0.4], 2, 2)
    """

    def __init__(
        self, rows: Iterable[Mapping[str, Any]] = (), monitor: str | None = None, mode: str | None = None
    ) -> None:
        """Start with these rows.

        Raises:
            ValueError: an unknown mode, or none where the name of `monitor` does not tell.
        """
        if mode not in ("min", "max", None):
            raise ValueError(f'mode must be "min" or "max", got {mode!r}')
        self.rows: list[Row] = [dict(row) for row in rows]
        self._monitor = monitor
        self.mode = mode or direction(monitor or "loss")
        self.ended = ""

    @property
    def monitor(self) -> str:
        """The column that decides which epoch is best: "val_loss" where there is one, else "train_loss"."""
        return self._monitor or ("val_loss" if "val_loss" in self.columns else "train_loss")

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in order of appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> list[Row]: ...
    def __getitem__(self, key: str | int | slice) -> list[Any] | Row:
        """`history["val_loss"]` is a column, one number per epoch; `history[-1]` the last epoch's row.

        Raises:
            KeyError: there is no such column.
            IndexError: there is no such epoch.
        """
        if not isinstance(key, str):
            return self.rows[key]
        if key not in self.columns:
            raise KeyError(f"no column {key!r} in this history: it has {', '.join(self.columns) or 'no epochs yet'}")
        return [row.get(key, float("nan")) for row in self.rows]

    def __len__(self) -> int:
        """Return the number of epochs."""
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows, epoch by epoch."""
        return iter(self.rows)

    @property
    def best_epoch(self) -> int:
        """The number of the epoch at which `monitor` was best (the first one on a tie).

        Raises:
            ValueError: there is no epoch yet, or none with a number in that column.
        """
        if not self.rows:
            raise ValueError("this history has no epochs yet, so none is best")
        values = self[self.monitor]
        numbers = [v for v in values if v == v]  # without NaN
        if not numbers:
            raise ValueError(f"no epoch is best: {self.monitor!r} is NaN in all of them")
        return int(self.rows[values.index(min(numbers) if self.mode == "min" else max(numbers))]["epoch"])

    def frame(self) -> pandas.DataFrame:
        """The history as a pandas frame, one row per epoch, indexed by epoch."""
        import pandas

        return pandas.DataFrame(self.rows, columns=self.columns or ["epoch"]).set_index("epoch")

    def __repr__(self) -> str:
        """Say how long the run was, how it stood at the end and which epoch was best."""
        if not self.rows:
            return "History of no epochs"
        last = self.rows[-1]
        shown = ", ".join(
            f"{name} {value:.4f}"
            for name, value in last.items()
            if name.startswith(("train_", "val_")) and isinstance(value, float)
        )
        ended = f", ended by {self.ended}" if self.ended and self.ended != "finished" else ""
        plural = "epoch" if len(self) == 1 else "epochs"
        known = any(value == value for value in self[self.monitor])
        best = f"; best {self.monitor} at epoch {self.best_epoch}" if known else ""
        return f"History of {len(self)} {plural}{ended}: at the last {shown}{best}"
