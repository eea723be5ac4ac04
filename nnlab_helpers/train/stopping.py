"""When to stop: once the validation loss has not improved for a while."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from nnlab_helpers.device import check_whole
from nnlab_helpers.train.directions import direction
from nnlab_helpers.train.history import Row
from nnlab_helpers.train.wrappers import put_weights, weights_of


class EarlyStopping:
    """Stop when `monitor` has not improved for `patience` epochs, and bring back the best epoch's weights.

    The idea is old; Prechelt ("Early stopping, but when?", 1998) compared when to stop. The weights kept are those of
    the plainly best epoch, also when the run ends for another reason; `min_delta` only decides what resets the
    patience.

    Args:
        monitor: the column of the history to watch, such as "val_loss" or "val_accuracy".
        patience: epochs without improvement to bear; 1 stops at the first one.
        min_delta: how much better, in the units of `monitor`, counts as an improvement.
        mode: "min" or "max": whether smaller or larger is better. By default what the name of `monitor` tells: losses
            and errors fall; accuracies, F1, AUROC, PSNR and the like rise.

    Raises:
        TypeError: a patience that is no whole number.
        ValueError: a patience below 1, a negative `min_delta`, an unknown mode, or none where the name does not tell.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 3, min_delta: float = 0.0, mode: str | None = None
    ) -> None:
        """Check the arguments; nothing has been seen yet."""
        patience = check_whole("patience", patience)
        if patience < 1:
            raise ValueError(f"patience is a number of epochs, at least 1: got {patience}")
        if not min_delta >= 0:
            raise ValueError(f"min_delta is how much better a value must be, 0 or more: got {min_delta}")
        if mode not in ("min", "max", None):
            raise ValueError(f'mode must be "min" or "max", got {mode!r}')
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.mode = mode or direction(monitor)
        self.start()

    def start(self) -> None:
        """Forget what an earlier run has seen; `fit` calls it."""
        self.best: float | None = None
        self.mark: float | None = None  # the value that the next one must beat by min_delta
        self.waited = 0
        self.weights: dict[str, Any] | None = None

    def _better(self, value: float, than: float | None, by: float = 0.0) -> bool:
        if than is None:
            return value == value
        return value < than - by if self.mode == "min" else value > than + by

    def see(self, row: Row, model: nn.Module) -> None:
        """Take in one epoch: keep the weights if it is the best so far, else wait one epoch more."""
        if self.monitor not in row:
            raise ValueError(
                f"early stopping watches {self.monitor!r}, which no epoch reports: choose one of "
                + ", ".join(name for name in row if name.startswith(("train_", "val_")))
            )
        value = float(row[self.monitor])
        if self._better(value, self.best):
            self.best = value
            self.weights = {
                name: v.detach().clone() if isinstance(v, Tensor) else v for name, v in weights_of(model).items()
            }
        if self._better(value, self.mark, self.min_delta):
            self.mark, self.waited = value, 0
        else:
            self.waited += 1

    @property
    def stop(self) -> bool:
        """Whether patience has run out."""
        return self.waited >= self.patience

    def restore(self, model: nn.Module) -> None:
        """Bring the best epoch's weights back into `model`."""
        if self.weights is not None:
            put_weights(model, self.weights)

    def state_dict(self) -> dict[str, Any]:
        """What has been seen so far, for a checkpoint."""
        seen = {"best": self.best, "mark": self.mark, "waited": self.waited, "weights": self.weights}
        return {"monitor": self.monitor, "mode": self.mode, **seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave.

        Raises:
            ValueError: another column was watched, or the other way round.
        """
        if (state["monitor"], state["mode"]) != (self.monitor, self.mode):
            watched = f"{state['monitor']!r} ({state['mode']})"
            raise ValueError(f"it watched {watched}, this one watches {self.monitor!r} ({self.mode})")
        self.best, self.mark, self.waited, self.weights = (state[k] for k in ("best", "mark", "waited", "weights"))

    def __repr__(self) -> str:
        """Name what is watched and for how long."""
        return f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience}, mode={self.mode!r})"
