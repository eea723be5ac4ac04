"""The progress bar of `fit`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from tqdm import tqdm


def silent(show: bool) -> bool:
    """Whether a progress bar is to be left out: where it is not wanted, and where TQDM_DISABLE=1."""
    return not show or os.environ.get("TQDM_DISABLE", "0") not in ("", "0")


class Progress:
    """One bar over all batches of a run, naming the epoch and the last epoch's losses; silent where TQDM_DISABLE=1."""

    def __init__(self, loader: Iterable[Any], done: int, epochs: int, show: bool) -> None:
        """Open the bar, with `done` epochs behind it."""
        try:
            batches: int | None = len(loader)  # type: ignore[arg-type]
        except TypeError:
            batches = None
        self._epochs = epochs
        total = None if batches is None else epochs * batches
        self._bar = tqdm(total=total, initial=done * (batches or 0), unit="batch", disable=silent(show))

    def epoch(self, number: int) -> None:
        """Name the epoch that begins."""
        self._bar.set_description(f"epoch {number}/{self._epochs}", refresh=False)

    def batches(self, count: int) -> None:
        """Move on by `count` batches."""
        self._bar.update(count)

    def row(self, row: Mapping[str, Any]) -> None:
        """Show the losses and accuracies of an epoch that ended."""
        if not self._bar.disable:
            shown = {name: f"{value:.4f}" for name, value in row.items() if name.startswith(("train_", "val_"))}
            self._bar.set_postfix(shown)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
