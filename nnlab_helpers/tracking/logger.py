"""A hook for `fit` that writes what it sees as TensorBoard's event files."""

from __future__ import annotations

import copy
import io
import os
import time
import warnings
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from nnlab_helpers.models.modes import evaluating
from nnlab_helpers.tracking.sweeps import as_hparams

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
      `gradients/<parameter>`. Numbers that are not finite are left out;
    - before the first epoch: `images` as one grid, and the model's graph;
    - with `examples`: a precision-recall curve for each class after each epoch (`precision_recall/<class>`), and
      at the end, as an embedding, what the model's last linear layer is given for them (`features`);
    - with `hparams`: at the end, beside them, the values of the history's best epoch (`best/val_loss`, ...).

    It only looks: the model runs in evaluation mode without gradients, and the mode of each of its modules is put back.

    Args:
        log_dir: the run's own folder, made where it is missing. TensorBoard is given the folder above it and shows
            every run in it.
        updates_every: how many updates lie between two that are written; 0 writes none.
        histograms_every: how many epochs lie between two that are written; 0 writes none.
        images: `[N, C, H, W]` with 1 or 3 channels, uint8 or floats in [0, 1].
        graph: a batch `[B, ...]` to follow through the model.
        examples: inputs `[N, ...]` and their classes `[N]`, for a model that gives logits `[N, K]`.
        hparams: what was chosen for this run: numbers, strings, booleans; anything else is written as text.

    Raises:
        FileExistsError: `log_dir` holds the events of another run, which would be drawn as one curve with this one's.
        ValueError: a negative number of updates or epochs, images or examples of another shape.

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
        graph: Tensor | None = None,
        examples: tuple[Tensor, Tensor] | None = None,
        hparams: Mapping[str, Any] | None = None,
    ) -> None:
        """Open the event file."""
        for name, number in (("updates_every", updates_every), ("histograms_every", histograms_every)):
            if number < 0:
                raise ValueError(f"{name} must be 0 (never) or more, got {number}")
        if images is not None and (images.ndim != 4 or images.shape[1] not in (1, 3)):
            raise ValueError(f"images must be [N, C, H, W] with 1 or 3 channels, got {list(images.shape)}")
        if examples is not None and (examples[1].ndim != 1 or len(examples[0]) != len(examples[1])):
            shapes = [list(part.shape) for part in examples]
            raise ValueError(f"examples must be inputs [N, ...] and their classes [N], got {shapes[0]} and {shapes[1]}")
        self.log_dir = Path(log_dir)
        if any(self.log_dir.glob("events.out.tfevents.*")):
            raise FileExistsError(
                f"{self.log_dir} holds the events of another run, and TensorBoard would draw both as one curve: "
                "give each run a folder of its own"
            )
        self.updates_every, self.histograms_every = updates_every, histograms_every
        self.images, self.graph, self.examples, self.hparams = images, graph, examples, hparams
        self._latest: list[tuple[int, float, Mapping[str, Tensor]]] = []  # update, time and values, still on the device
        self._epoch = self._updates = self._before = 0
        self._writer: SummaryWriter | None = None
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
        """
        if event.epoch < self._epoch:
            raise ValueError(
                f"{self.log_dir} already has epochs up to {self._epoch}, and this run begins after {event.epoch}: "
                "give each run a logger and a folder of its own"
            )
        self._before = self._updates
        if event.epoch:  # a run that goes on: its beginning was written then
            return
        if self.images is not None:
            self.writer.add_images("images", self.images, 0)
        if self.graph is not None:
            self._write_graph(event.model, self.graph)
        if self.histograms_every:
            self._write_histograms("weights", {n: p.detach() for n, p in event.model.named_parameters()}, 0)
        self._write_curves(event.model, 0)

    def on_update(self, event: Seen) -> None:
        """Keep the batch's values; they are written after the epoch."""
        self._updates = self._before + event.update
        if self.updates_every and event.update % self.updates_every == 0:
            self._latest.append((self._updates, time.time(), event.values))

    def on_epoch(self, event: Seen) -> None:
        """Write the epoch's numbers, histograms and curves."""
        self._epoch = event.epoch
        self._write_updates()
        for name, value in event.values.items():
            if name != "epoch":
                self.writer.add_scalar(tag_of(name), value, event.epoch)
        if self.histograms_every and event.epoch % self.histograms_every == 0:
            parameters = dict(event.model.named_parameters())
            self._write_histograms("weights", {n: p.detach() for n, p in parameters.items()}, event.epoch)
            gradients = {n: p.grad for n, p in parameters.items() if p.grad is not None}
            self._write_histograms("gradients", gradients, event.epoch)
        self._write_curves(event.model, event.epoch)
        self.writer.flush()

    def on_end(self, event: Seen) -> None:
        """Write embedding and hyperparameters, and see to it that everything is in the file."""
        self._write_updates()  # of an epoch that was interrupted
        self._write_embedding(event.model, event.epoch)
        if self.hparams is not None and len(event.history):
            self._write_hparams(event.history)
        self.writer.flush()

    def close(self) -> None:
        """Close the file. Nothing is lost without it: every epoch is flushed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> TensorBoardLogger:
        """Return the logger itself."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Close the file."""
        self.close()

    # -- what is written -----------------------------------------------------------------------------------------

    def _write_updates(self) -> None:
        if not self._latest:
            return
        names = [name for name in self._latest[0][2] if all(name in values for _, _, values in self._latest)]
        for name in names:
            numbers = torch.stack([torch.as_tensor(values[name]).detach() for _, _, values in self._latest]).tolist()
            for (update, at, _), number in zip(self._latest, numbers, strict=True):
                self.writer.add_scalar(f"{name}/update", number, update, walltime=at)
        self._latest = []

    def _write_histograms(self, group: str, tensors: Mapping[str, Tensor], step: int) -> None:
        for name, tensor in tensors.items():
            numbers = tensor.float()  # NumPy knows no bfloat16
            numbers = numbers[numbers.isfinite()]
            if len(numbers):
                self.writer.add_histogram(f"{group}/{name}", numbers, step)

    def _write_graph(self, model: nn.Module, batch: Tensor) -> None:
        try:
            if _device(model).type != "cpu":  # tracing compares in float64, which not every GPU has
                model, batch = copy.deepcopy(model).cpu(), batch.cpu()
            with evaluating(model), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
                # PyTorch has no other way to this graph, and deprecates the way there (2.15).
                warnings.filterwarnings("ignore", r"`torch\.jit\.trace", FutureWarning)
                # "The trace might not generalize": it is drawn, never run.
                warnings.simplefilter("ignore", torch.jit.TracerWarning)
                self.writer.add_graph(model, batch.to(_device(model)))
        except RuntimeError as error:
            why = str(error).strip().partition("\n")[0]
            name = type(model).__name__
            raise ValueError(f"no graph of this {name} can be drawn ({why}): leave `graph` out") from error

    def _write_curves(self, model: nn.Module, step: int) -> None:
        if self.examples is None:
            return
        inputs, classes = self.examples
        with evaluating(model):
            logits = model(inputs.to(_device(model)))
        if logits.ndim != 2 or len(logits) != len(classes) or logits.shape[1] < 2:
            raise ValueError(
                f"for {len(classes)} examples the model gives {list(logits.shape)}; curves need logits [N, K] of at "
                "least two classes: leave `examples` out"
            )
        for number, probability in enumerate(logits.float().softmax(dim=1).cpu().T):
            self.writer.add_pr_curve(f"precision_recall/{number}", classes.cpu() == number, probability, step)

    def _write_embedding(self, model: nn.Module, step: int) -> None:
        linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
        if self.examples is None or not linear:
            return
        inputs, classes = self.examples
        given: list[Tensor] = []
        handle = linear[-1].register_forward_pre_hook(lambda module, arguments: given.append(arguments[0]))
        try:
            with evaluating(model):
                model(inputs.to(_device(model)))
        finally:
            handle.remove()
        features = given[-1].float().flatten(1).cpu()
        if len(features) != len(inputs):
            return
        pictures = None
        if inputs.ndim == 4 and inputs.shape[1] in (1, 3) and inputs.shape[2] == inputs.shape[3]:
            low, high = inputs.amin().cpu(), inputs.amax().cpu()
            pictures = (inputs.cpu() - low) / (high - low).clamp(min=1e-12)
        self.writer.add_embedding(features, classes.tolist(), pictures, step, tag="features")

    def _write_hparams(self, history: Epochs) -> None:
        row = history[history.best_epoch - 1]
        part = "val_" if any(name.startswith("val_") for name in row) else "train_"
        metrics = {f"best/{name}": float(value) for name, value in row.items() if name.startswith(part)}
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


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
