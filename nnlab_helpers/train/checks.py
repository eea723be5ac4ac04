"""What `fit` checks before it starts, so that a mistake speaks up at once and in words."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, SequentialLR

from nnlab_helpers.device import check_whole
from nnlab_helpers.train.means import REMEDY
from nnlab_helpers.train.stopping import EarlyStopping


def check_arguments(
    epochs: int,
    accumulate: int,
    clip_norm: float | None,
    early_stopping: EarlyStopping | None,
    val_loader: Iterable[Any] | None,
    checkpoint: object,
    resume: bool,
) -> tuple[int, int]:
    """Hold the plain arguments of `fit` to what makes sense together; return `epochs` and `accumulate` as ints."""
    epochs, accumulate = check_whole("epochs", epochs), check_whole("accumulate", accumulate)
    if epochs < 1:
        raise ValueError(f"epochs must be at least 1, got {epochs}")
    if accumulate < 1:
        raise ValueError(f"accumulate is a number of batches per update, at least 1: got {accumulate}")
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm is the largest norm allowed, above 0 (None: no clipping): got {clip_norm}")
    if resume and checkpoint is None:
        raise ValueError("resume=True needs checkpoint=, the file to go on from")
    if early_stopping is not None and early_stopping.monitor.startswith("val_") and val_loader is None:
        raise ValueError(
            f"early stopping watches {early_stopping.monitor!r}, but there is no val_loader: "
            'pass one, or use EarlyStopping(monitor="train_loss")'
        )
    return epochs, accumulate


def check_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer | None, **needs_one: bool) -> None:
    """The model must have something to learn, and the optimizer must hold it."""
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    if not trainable:
        raise ValueError(
            "nothing to train: the model has no parameter with requires_grad=True (is it frozen, or without layers?)"
        )
    if optimizer is None:
        unusable = [name for name, used in needs_one.items() if used]
        if unusable:
            raise ValueError(f"{', '.join(unusable)} needs an optimizer: without one, step updates the weights itself")
        return
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        name = type(optimizer).__name__
        raise ValueError(
            f"{name} computes the loss several times for one update, which fit does not do: take another optimizer, or "
            f"pass optimizer=None and a step of your own, which calls {name}.step(closure) and returns its loss"
        )
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    remedy = "make the optimizer after the model is complete: optimizer = torch.optim.SGD(model.parameters(), lr=...)"
    if not held & trainable:
        raise ValueError(f"the optimizer holds none of this model's trainable parameters; {remedy}")
    if held - {id(p) for p in model.parameters()} and trainable - held:
        forgotten = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in held]
        raise ValueError(
            f"the optimizer holds parameters that this model does not have, and lacks {', '.join(forgotten[:3])}: "
            f"was a layer replaced after it was made? {remedy}, or freeze what should not learn (requires_grad_(False))"
        )


def check_scheduler(scheduler: Any, scheduler_per: str, optimizer: torch.optim.Optimizer | None) -> None:
    """The scheduler must steer this optimizer, as often as it can."""
    if scheduler_per not in ("epoch", "step"):
        raise ValueError(f'scheduler_per must be "epoch" or "step", got {scheduler_per!r}')
    if scheduler is None:
        return
    if scheduler.optimizer is not optimizer:
        raise ValueError("the scheduler belongs to another optimizer: make it from the one passed to fit")
    if scheduler_per == "step" and isinstance(scheduler, ReduceLROnPlateau):
        raise ValueError('ReduceLROnPlateau waits for a validation loss: use it with scheduler_per="epoch"')
    if isinstance(scheduler, ReduceLROnPlateau) and scheduler.mode != "min":
        raise ValueError(
            f'ReduceLROnPlateau(mode="{scheduler.mode}") waits for a number that rises, and fit gives it the loss: '
            'make it with mode="min"'
        )


def check_steps(scheduler: Any, per: str, loader: Iterable[Any], epochs: int, accumulate: int, done: int) -> None:
    """A scheduler that has taken `done` steps and ends after some must last for the `epochs` still to come."""
    updates = 1
    if per == "step":
        try:
            updates = -(-len(loader) // accumulate)  # type: ignore[arg-type]
        except TypeError:
            return  # how many there will be is not known
    needed = done + epochs * updates
    limit = _limit(scheduler)
    if limit is not None and needed > limit:
        raise ValueError(
            f"{type(scheduler).__name__} ends after {limit} steps, and this run takes {needed} (one per "
            f"{'epoch' if per == 'epoch' else 'update'}): make it with total_steps={needed}, or train for fewer epochs"
        )


def _limit(scheduler: Any) -> int | None:
    """The step after which `scheduler` raises, if it has one; of a sequence or chain that of its parts."""
    parts = getattr(scheduler, "_schedulers", [])
    begins = [0, *getattr(scheduler, "_milestones", [0] * len(parts))]
    limits = [_limit(part) for part in parts]
    if isinstance(scheduler, SequentialLR):  # a part hears only of the steps from its milestone on
        limits = [None if limit is None else limit + begin for limit, begin in zip(limits, begins, strict=False)][-1:]
    own = scheduler.total_steps if isinstance(scheduler, OneCycleLR) else None
    return min((limit for limit in [own, *limits] if limit is not None), default=None)


def check_loss(loss: Tensor) -> Tensor:
    """Return the loss, which must still hang on the graph, or nothing would be learnt from it."""
    if not loss.requires_grad:
        raise ValueError(
            "the loss does not depend on any trainable parameter: was it detached, computed under no_grad, or from "
            "argmax (which has no gradient)?"
        )
    return loss


def check_weights(model: nn.Module, epoch: int) -> None:
    """After an epoch the weights must be numbers: a last gradient may have spoiled them after a finite loss."""
    finite = {name: p.isfinite().all() for name, p in model.named_parameters() if p.requires_grad}
    if not torch.stack(list(finite.values())).all():  # one wait for the device
        name = next(name for name, is_finite in finite.items() if not is_finite)
        raise FloatingPointError(
            f"{name} became NaN or infinite in the last updates of epoch {epoch}, from a gradient that was not finite. "
            + REMEDY
        )


def check_not_empty(samples: int, name: str, epoch: int | None = None) -> None:
    """A pass over a loader must have brought something."""
    if samples == 0:
        used_up = epoch is not None and epoch > 1
        raise ValueError(
            f"{name} gave no batches"
            + (f" in epoch {epoch}: an iterator can be used only once; pass the loader or a list" if used_up else "")
            + ("" if used_up else ": is the data empty, or drop_last dropping the only batch?")
        )


def place(model: nn.Module, optimizer: torch.optim.Optimizer | None, device: torch.device | str | None) -> torch.device:
    """Move model and optimizer to `device`, if given, and return where the model is."""
    if device is not None:
        before = [id(p) for p in model.parameters()]
        model.to(device)
        if optimizer is not None and before != [id(p) for p in model.parameters()]:
            raise ValueError(
                f"moving the model to {device} gave it other parameters than those that the optimizer holds: "
                f'move it first, model.to("{device}"), and make the optimizer then'
            )
        if optimizer is not None and optimizer.state:
            optimizer.load_state_dict(optimizer.state_dict())  # loading casts its state to where the parameters are
    return next((p.device for p in model.parameters()), torch.device(device or "cpu"))
