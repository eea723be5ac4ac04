"""A hook for `fit` that writes what it sees as TensorBoard's event files."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from nnlab_helpers.files import check_writable
from nnlab_helpers.tracking.checks import check_examples, check_images, check_inputs, check_often, local_folder
from nnlab_helpers.tracking.parts import Inputs, waits, write_curves, write_embedding, write_graph, write_histograms
from nnlab_helpers.tracking.sweeps import as_hparams, as_number

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class Epochs(Protocol):
    """What is used of a history: its rows, and which epoch was best (counted from 1)."""

    @property
    def best_epoch(self) -> int: ...  # noqa: D102
    def __len__(self) -> int: ...  # noqa: D105
    def __getitem__(self, key: int) -> Mapping[str, Any]: ...  # noqa: D105


class Seen(Protocol):
    """What is used of an event; `nnlab_helpers.train.hooks.Event` is one."""

    @property
    def model(self) -> nn.Module: ...  # noqa: D102
    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def update(self) -> int: ...  # noqa: D102
    @property
    def values(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def history(self) -> Any: ...  # noqa: D102


class TensorBoardLogger:
    """A hook that writes a run of `fit` into `log_dir`, and a context manager that closes the file at the end.

    What it writes, and where TensorBoard shows it:

    - after each epoch, every number of the history's row, at the epoch: "train_loss" as `loss/train`, "val_loss" as
      `loss/val`, others under their own name (`learning_rate`, `seconds`);
    - every `updates_every` updates the batch's own values, at the update: `loss/update`, `accuracy/update`. They are
      kept on the device and read together at the end of the epoch, so a GPU never waits for them;
    - every `histograms_every` epochs, and before the first: `weights/<parameter>`; and of the epoch's last update
      `gradients/<parameter>`. Numbers that are not finite, or beyond the last bin (about 1e20), are left out;
    - before the first epoch: `images` as one grid, and the model's graph (after it, if the model has lazy modules);
    - with `examples`: a precision-recall curve for each class after each epoch (`precision_recall/<class>`), and
      at the end, as an embedding, what the model's last linear layer is given for them (`features`);
    - with `hparams`: at the end, beside them, the values of the history's best epoch (`best/val_loss`, ...).

    It only looks: the model runs in evaluation mode without gradients, and the mode of each of its modules is put back.
    What cannot be written is noticed before the first epoch where possible; later it is left out, with one warning, and
    training goes on.

    Args:
        log_dir: the run's own folder, made where it is missing; `~` is the home folder. TensorBoard is given the folder
            above it and shows every run in it.
        updates_every: how many updates lie between two that are written; 0 writes none.
        histograms_every: how many epochs lie between two that are written; 0 writes none.
        images: `[N, C, H, W]` with 1 or 3 channels, uint8 or floats in [0, 1].
        graph: a batch `[B, ...]` to follow through the model; a tuple of them, if the model takes several inputs.
        examples: inputs `[N, ...]` (or a tuple of them) and their classes `[N]`, for a model that gives logits
            `[N, K]`.
        hparams: what was chosen for this run: numbers, strings, booleans; anything else is written as text.

    Raises:
        FileExistsError: `log_dir` holds the events of another run, which would be drawn as one curve with this one's.
        OSError: `log_dir` cannot be made or written.
        TypeError, ValueError: a negative number of updates or epochs, images or examples of another kind or shape, none
            of them, `hparams` without names, a `log_dir` that is an address.

    Example:
        >>> with TensorBoardLogger("runs/first", hparams={"rate": 0.1}) as logger:        # doctest: +SKIP
        ...     fit(model, train_loader, val_loader, epochs=3, optimizer=optimizer, hooks=[logger])
    """

    def __init__(
        self,
        log_dir: str | os.PathLike[str],
        *,
        updates_every: int = 10,
        histograms_every: int = 1,
        images: Tensor | None = None,
        graph: Inputs | None = None,
        examples: tuple[Inputs, Tensor] | None = None,
        hparams: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the event file."""
        for name, number in (("updates_every", updates_every), ("histograms_every", histograms_every)):
            check_often(name, number)
        check_images(images)
        check_examples(examples)
        if graph is not None:
            check_inputs("graph", graph)
        if hparams is not None and not isinstance(hparams, Mapping):
            raise TypeError(f"hparams must be a dict of names and values, got {type(hparams).__name__}")
        self.log_dir = local_folder(log_dir)
        if any(self.log_dir.glob("events.out.tfevents.*")):
            raise FileExistsError(
                f"{self.log_dir} holds the events of another run, and TensorBoard would draw both as one curve: "
                "give each run a folder of its own"
            )
        check_writable(self.log_dir / "events")  # now rather than after an epoch
        self.updates_every, self.histograms_every = updates_every, histograms_every
        self.images, self.graph, self.examples, self.hparams = images, graph, examples, hparams
        self._latest: list[tuple[int, float, Mapping[str, Tensor]]] = []  # update, time and values, still on the device
        self._epoch = self._updates = self._before = 0
        self._writer: SummaryWriter | None = None
        self._graph_waits = self._lost = False
        self._told: set[str] = set()  # what could not be written, and was said
        self.writer  # noqa: B018  (a folder that cannot be written shows now)

    @property
    def writer(self) -> SummaryWriter:
        """The `SummaryWriter` below, for whatever else is to be written."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.log_dir))
        return self._writer

    # -- the moments of a run ------------------------------------------------------------------------------------

    def on_start(self, event: Seen) -> None:
        """Write images, graph, and how the weights and curves stand before the first epoch.

        Raises:
            ValueError: this logger has already seen a later epoch; a model that cannot be traced, or whose output for
                the examples is not `[N, K]`.
            OSError: the file cannot be written.
        """
        if event.epoch < self._epoch:
            raise ValueError(
                f"{self.log_dir} already has epochs up to {self._epoch}, and this run begins after {event.epoch}: "
                "give each run a logger and a folder of its own"
            )
        self._before = self._updates
        if event.epoch:  # a run that goes on: its beginning was written then
            return
        try:
            self._write_beginning(event.model)
        except OSError as error:
            if error.filename is None:  # the system does not say which file it had no room for
                error.filename = str(self._file())
            raise

    def on_update(self, event: Seen) -> None:
        """Keep the batch's values; they are written after the epoch."""
        self._updates = self._before + event.update
        if self.updates_every and event.update % self.updates_every == 0:
            self._latest.append((self._updates, time.time(), event.values))

    def on_epoch(self, event: Seen) -> None:
        """Write the epoch's numbers, histograms and curves."""
        self._epoch = event.epoch
        self._attempt("values of updates", self._write_updates)
        self._attempt("the epoch's numbers", self._write_row, event.values, event.epoch)
        if self._graph_waits and self.graph is not None:
            self._graph_waits = False
            self._attempt("the graph", write_graph, self.writer, event.model, self.graph)
        if self.histograms_every and event.epoch % self.histograms_every == 0:
            weights = dict(event.model.named_parameters())
            gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
            for group, tensors in (("weights", weights), ("gradients", gradients)):
                self._attempt(f"histograms of {group}", write_histograms, self.writer, group, tensors, event.epoch)
        self._attempt("precision-recall curves", self._write_curves, event.model, event.epoch)
        self._attempt("the file", self.writer.flush)

    def on_end(self, event: Seen) -> None:
        """Write embedding and hyperparameters, and see to it that everything is in the file."""
        self._attempt("values of updates", self._write_updates)  # of an epoch that was interrupted
        if self.examples is not None and not waits(event.model):
            self._attempt("the embedding", write_embedding, self.writer, event.model, *self.examples, event.epoch)
        if self.hparams is not None and len(event.history):
            self._attempt("hyperparameters", self._write_hparams, event.history)
        self._attempt("the file", self.writer.flush)

    def close(self) -> None:
        """Close the file. Nothing is lost without it: every epoch is flushed."""
        if self._writer is not None:
            self._attempt("the file", self._writer.close)
            self._writer = None

    def __enter__(self) -> TensorBoardLogger:
        """Return the logger itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file."""
        self.close()

    # -- what is written -----------------------------------------------------------------------------------------

    def _file(self) -> Path:
        return next(self.log_dir.glob("events.out.tfevents.*"), self.log_dir)

    def _attempt(self, what: str, write: Callable[..., object], *arguments: Any) -> None:
        """Write `what`, or say once why not: whoever watches must not end the training, nor cost its history."""
        if self._lost:
            return
        try:
            write(*arguments)
        except Exception as error:
            self._lost = isinstance(error, OSError)  # a full disk: the writer takes nothing more
            if what not in self._told:
                self._told.add(what)
                place = self._file() if self._lost else self.log_dir
                rest = "; nor is anything more of this run" if self._lost else ""
                why = f"{type(error).__name__}: {error}"
                said = f"{place}: could not write {what} ({why}){rest}. Training goes on"
                warnings.warn(said, RuntimeWarning, stacklevel=3)

    def _write_beginning(self, model: nn.Module) -> None:
        if self.images is not None:
            images = self.images.float() if self.images.is_floating_point() else self.images  # NumPy knows no bfloat16
            self.writer.add_images("images", images, 0)
        if self.histograms_every:
            write_histograms(self.writer, "weights", dict(model.named_parameters()), 0)
        self._graph_waits = self.graph is not None and waits(model)
        if waits(model):  # to look at its outputs would be to give it its weights
            return
        if self.graph is not None:
            write_graph(self.writer, model, self.graph)
        self._write_curves(model, 0)
        self.writer.flush()

    def _write_row(self, values: Mapping[str, Any], epoch: int) -> None:
        for name, value in values.items():
            if name != "epoch" and (number := as_number(value)) is not None:
                self.writer.add_scalar(tag_of(name), number, epoch)

    def _write_updates(self) -> None:
        latest, self._latest = self._latest, []
        names = [name for name in latest[0][2] if all(name in values for _, _, values in latest)] if latest else []
        for name in names:
            numbers = torch.stack([torch.as_tensor(values[name]).detach() for _, _, values in latest]).tolist()
            for (update, at, _), number in zip(latest, numbers, strict=True):
                self.writer.add_scalar(f"{name}/update", number, update, walltime=at)

    def _write_curves(self, model: nn.Module, step: int) -> None:
        if self.examples is not None:
            write_curves(self.writer, model, *self.examples, step)

    def _write_hparams(self, history: Epochs) -> None:
        row = history[history.best_epoch - 1]
        part = "val_" if any(name.startswith("val_") for name in row) else "train_"
        numbers = {f"best/{name}": as_number(value) for name, value in row.items() if name.startswith(part)}
        metrics = {name: number for name, number in numbers.items() if number is not None}
        # Without a name it would go into a folder of its own, as a run of its own.
        chosen = as_hparams(self.hparams or {})
        self.writer.add_hparams(chosen, metrics | {"best/epoch": float(row["epoch"])}, run_name=".")


def tag_of(name: str) -> str:
    """TensorBoard's name for a column of the history: "train_loss" is "loss/train", so that both losses stand together.

    Example:
        >>> tag_of("val_accuracy"), tag_of("learning_rate")
        ('accuracy/val', 'learning_rate')
    """
    part, _, rest = name.partition("_")
    return f"{rest}/{part}" if part in ("train", "val") and rest else name
