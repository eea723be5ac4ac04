"""The training loop: a plain `for` over epochs and batches."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from nnlab_helpers.data.loader import TensorLoader
from nnlab_helpers.models.modes import evaluating
from nnlab_helpers.train.checkpoint import GeneratorState, bring_back, loader_state, made_of
from nnlab_helpers.train.checks import (
    check_arguments,
    check_loss,
    check_not_empty,
    check_optimizer,
    check_scheduler,
    check_steps,
    check_weights,
    place,
)
from nnlab_helpers.train.history import History, Row
from nnlab_helpers.train.hooks import Event, Hook, Hooks, Moment
from nnlab_helpers.train.losses import Loss
from nnlab_helpers.train.means import Means
from nnlab_helpers.train.precision import Precision
from nnlab_helpers.train.progress import Progress
from nnlab_helpers.train.resuming import begun, keep, steps_done, usable
from nnlab_helpers.train.steps import Step, batch_size, choose_step, run_step, to_device
from nnlab_helpers.train.stopping import EarlyStopping


def fit(
    model: nn.Module,
    train_loader: Iterable[Any],
    val_loader: Iterable[Any] | None = None,
    *,
    epochs: int,
    optimizer: torch.optim.Optimizer | None,
    step: Step | None = None,
    loss: Loss | None = None,
    scheduler: LRScheduler | ReduceLROnPlateau | None = None,
    scheduler_per: str = "epoch",
    accumulate: int = 1,
    clip_norm: float | None = None,
    early_stopping: EarlyStopping | None = None,
    hooks: Sequence[Hook] = (),
    amp: bool = False,
    device: torch.device | str | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: bool = True,
) -> History:
    """Train `model` for `epochs` epochs and return what happened in each.

    Training losses and accuracies are means over the epoch as it went, while the weights were changing and with
    dropout at work; validation follows each epoch, in evaluation mode. The model is left in training mode: call
    `model.eval()` before you predict with it.

    Args:
        model: any module with parameters to learn.
        train_loader: an iterable of batches, such as a `TensorLoader`, a `DataLoader` or a list of `(x, y)`.
        val_loader: the same for validation, or None.
        epochs: epochs in all (on resuming: those already done included).
        optimizer: holds the model's parameters. `torch.optim.Adam(..., fused=True)` gives the same training with
            less work between steps, about 1.5 times as fast for small networks on a CPU. None if `step` updates
            the weights itself (a GAN's two players).
        step: `step(model, batch)` -> the mean of the losses of the batch's samples as a scalar tensor, or a dict of
            such means with "loss" among them. Default: `supervised(loss)`.
        loss: `loss(output, y)` -> a scalar, for the default step. Default: cross-entropy.
        scheduler: changes the learning rate once per epoch or once per update (`scheduler_per="step"`).
            `ReduceLROnPlateau(mode="min")` is stepped per epoch with the validation loss (without a `val_loader`: the
            training loss).
        scheduler_per: "epoch" or "step".
        accumulate: batches per update. Each counts by its samples, so that the gradient equals that of one big batch
            (up to rounding), also for a ragged or missing last one. It does so where the loss is a plain mean over the
            samples: not with batch normalisation, class weights or `ignore_index`, and not for a sum.
        clip_norm: the largest norm of the whole gradient; longer ones are scaled down (Pascanu et al., 2013).
        early_stopping: when to stop; the best epoch's weights are then in the model, however the run ends but for
            an error.
        hooks: functions of one `Event`, called after each epoch, or objects with any of the methods `on_start`,
            `on_update`, `on_epoch`, `on_end`. They observe: what they return is ignored, and the model's mode,
            the random states and the place in the loaders (a `TensorLoader`'s epoch, a `DataLoader`'s generator) are
            put back after them. One that raises is left out from there on, with a warning (`on_start`: an error).
        amp: mixed precision on CUDA: bfloat16 where the GPU has it, else float16 with a gradient scaler. On any
            other device it changes nothing.
        device: where to train; the model moves there. Default: where the model is.
        checkpoint: a file, written after each epoch, from which the run can go on. Where it cannot be made, nothing is
            trained; if a later write fails (a full disk), a warning says so, the last one stays, and training goes on.
        resume: go on from `checkpoint` if it exists, and end bit for bit where an uninterrupted run would have
            (of worker processes and of objects without a `state_dict` it knows nothing).
        progress: show a progress bar (silent where TQDM_DISABLE=1).

    Returns:
        The `History`, one row per epoch. Interrupting by hand (Ctrl-C, the stop button) returns the epochs so far.

    Raises:
        ValueError: nothing to train, an empty loader, an optimizer of another model, arguments that contradict each
            other, labels or images that loss or model do not take, a damaged checkpoint or one of another architecture
            or of a run with other parts or settings (nothing is changed then).
        TypeError: a step that returns no loss, or a hook that is none.
        OSError: the checkpoint's folder cannot be made or written.
        FloatingPointError: a loss, or at the end of an epoch a weight, turned NaN or infinite. Losses are looked at
            every 50 batches and at the end of the epoch, since each look makes a GPU wait; the message names the batch
            in which it began.

    Example:
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)                      # doctest: +SKIP
        >>> history = fit(model, train_loader, val_loader, epochs=3, optimizer=optimizer)  # doctest: +SKIP
        >>> history["val_accuracy"]                                                      # doctest: +SKIP
        [0.941, 0.958, 0.966]
    """
    epochs, accumulate = check_arguments(epochs, accumulate, clip_norm, early_stopping, val_loader, checkpoint, resume)
    if optimizer is None and step is None:
        raise ValueError("without an optimizer nothing is learnt: pass one, or a step that updates the weights itself")
    check_optimizer(model, optimizer, accumulate=accumulate > 1, clip_norm=clip_norm is not None, amp=amp)
    check_scheduler(scheduler, scheduler_per, optimizer)
    step = choose_step(step, loss)
    device = place(model, optimizer, device)
    precision = Precision(amp, device)
    scaler = precision.scaler  # does nothing unless gradients are float16
    listeners = Hooks(hooks)
    history = History()
    if early_stopping is not None:
        early_stopping.start()
        history = History(monitor=early_stopping.monitor, mode=early_stopping.mode)
    parts = {"optimizer": optimizer, "scheduler": scheduler, "scaler": scaler, "early_stopping": early_stopping}
    parts |= {"train_loader": loader_state(train_loader), "val_loader": loader_state(val_loader)}
    made, content, done = made_of(parts), None, steps_done(getattr(scheduler, "state_dict", dict)())
    if checkpoint is not None:
        checkpoint = usable(checkpoint)
        if resume and checkpoint.exists():
            content, history.rows, done = begun(checkpoint, parts)
            made = content["made"]
    epoch, updates = len(history), 0
    check_steps(scheduler, scheduler_per, train_loader, epochs - epoch, accumulate, done)
    if content is not None:
        bring_back(str(checkpoint), content, model, parts)
    loaders = [state for state in parts.values() if isinstance(state, (TensorLoader, GeneratorState))]

    def tell(moment: Moment, values: Mapping[str, Any] = MappingProxyType({})) -> None:
        if listeners.listen(moment):
            shown = MappingProxyType(dict(values))
            listeners.call(Event(moment, model, optimizer, epoch, updates, shown, history), *loaders)

    optim: Any = optimizer or NoOptimizer()
    tell("start")
    bar = Progress(train_loader, epoch, epochs, show=progress)
    try:
        for epoch in range(len(history) + 1, epochs + 1):
            if early_stopping is not None and early_stopping.stop:
                history.ended = "early stopping"
                break
            started = time.perf_counter()
            learning_rate = float(optim.param_groups[0]["lr"])
            means = Means(f"epoch {epoch}")
            bar.epoch(epoch)

            model.train()
            for group in groups_of(train_loader, accumulate):  # the batches of one update: mostly one
                optim.zero_grad()
                sizes = [batch_size(batch) for batch in group]
                for batch, size in zip(group, sizes, strict=True):
                    with precision.autocast():
                        values = run_step(step, model, to_device(batch, device), first=updates == 0)
                    if optimizer is not None:
                        mean_loss = check_loss(values["loss"])
                        if len(group) > 1:  # a batch counts by its samples
                            mean_loss = mean_loss * (size / sum(sizes))
                        scaler.scale(mean_loss).backward()
                    means.add(values, size)
                if clip_norm is not None:
                    scaler.unscale_(optim)
                    clip_grad_norm_([p for g in optim.param_groups for p in g["params"]], clip_norm)
                scaler.step(optim)
                scaler.update()
                if scheduler is not None and scheduler_per == "step":
                    scheduler.step()
                updates += 1
                if listeners.listen("update"):
                    tell("update", means.latest(len(group)))
                if means.due:
                    means.fold()
                bar.batches(len(group))
            check_not_empty(means.samples, "train_loader", epoch)
            row: Row = {"epoch": epoch} | {f"train_{name}": value for name, value in means.read().items()}
            check_weights(model, epoch)

            if val_loader is not None:
                with precision.autocast():
                    validation = run_through(model, val_loader, step, device, f"validation after epoch {epoch}")
                check_not_empty(validation.samples, "val_loader", epoch)
                row |= {f"val_{name}": value for name, value in validation.read().items()}

            if isinstance(scheduler, ReduceLROnPlateau):
                scheduler.step(row["val_loss" if val_loader is not None else "train_loss"])
            elif scheduler is not None and scheduler_per == "epoch":
                scheduler.step()
            row |= {"learning_rate": learning_rate, "seconds": time.perf_counter() - started}
            history.rows.append(row)
            if early_stopping is not None:
                early_stopping.see(row, model)
            if checkpoint is not None:
                keep(checkpoint, model, history.rows, parts, made)
            bar.row(row)
            tell("epoch", row)
        else:
            history.ended = "finished"
    except KeyboardInterrupt:
        history.ended = "interrupted"
    finally:
        bar.close()
    if early_stopping is not None:
        early_stopping.restore(model)
    tell("end")
    return history


def evaluate(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    step: Step | None = None,
    loss: Loss | None = None,
    device: torch.device | str | None = None,
) -> dict[str, float]:
    """Run `model` over `loader` in evaluation mode, without gradients, and return the means over all samples.

    A ragged last batch counts by its samples, or by what its loss was divided by, where that is known (see
    `supervised`: class weights, `ignore_index`). A loss of your own that is no plain mean over the samples of a batch
    gives another number for another batch size. The modes of the model and of its parts are put back afterwards.

    Args:
        model: any module.
        loader: an iterable of batches.
        step: as in `fit`. Default: `supervised(loss)`, which gives "loss" and "accuracy" (in [0, 1]).
        loss: as in `fit`.
        device: where to evaluate; the model moves there. Default: where the model is.

    Raises:
        ValueError: the loader gives no batches, or such that model or loss do not take.
    """
    means = run_through(model, loader, choose_step(step, loss), place(model, None, device))
    check_not_empty(means.samples, "the loader")
    return means.read(check=False)


def run_through(
    model: nn.Module, loader: Iterable[Any], step: Step, device: torch.device, where: str = "evaluation"
) -> Means:
    """The means over a loader, in evaluation mode; read them with `.read()`."""
    means = Means(where)
    with evaluating(model):
        for batch in loader:
            size = batch_size(batch)
            means.add(run_step(step, model, to_device(batch, device), first=means.samples == 0), size)
    return means


class NoOptimizer:
    """Stands in for an optimizer where the step updates the weights itself."""

    param_groups: tuple[dict[str, Any], ...] = ({"lr": float("nan"), "params": []},)

    def zero_grad(self) -> None:
        """Leave the gradients to the step."""

    def step(self) -> None:
        """Leave the weights to the step."""


def groups_of(loader: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """The batches of `loader` in lists of `size`; the last list may be shorter."""
    batches = iter(loader)
    while group := list(islice(batches, size)):
        yield group
