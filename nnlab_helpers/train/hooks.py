"""Hooks: they are shown what happens, and cannot steer it."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import nn

from nnlab_helpers.models.modes import keeping_modes
from nnlab_helpers.train.history import History
from nnlab_helpers.train.rng import random_state, set_random_state

Moment = Literal["start", "update", "epoch", "end"]


@dataclass(frozen=True)
class Event:
    """What a hook is shown.

    Attributes:
        moment: "start" (before the first epoch), "update" (after each change of the weights, gradients still there),
            "epoch" (after each epoch and its validation) or "end" (when `fit` is about to return).
        model: the model in training.
        optimizer: the caller's optimizer (None where the step updates the weights itself).
        epoch: the number of the epoch, from 1; 0 at the start.
        update: how often the weights have changed in this call of `fit`.
        values: at an update the means over its samples as scalar tensors on the device ("loss", "accuracy", ...:
            reading one with `.item()` waits for the device); at an epoch its row of the history; else empty.
        history: the epochs so far.
    """

    moment: Moment
    model: nn.Module
    optimizer: torch.optim.Optimizer | None
    epoch: int
    update: int
    values: Mapping[str, Any]
    history: History


Hook = Callable[[Event], object] | Any


class Hooks:
    """The caller's hooks, called so that they observe and never steer."""

    METHODS: Mapping[str, str] = MappingProxyType(
        {"start": "on_start", "update": "on_update", "epoch": "on_epoch", "end": "on_end"}
    )

    def __init__(self, hooks: Iterable[Hook]) -> None:
        """Sort the hooks by what they listen to."""
        self._calls: dict[str, list[Callable[[Event], object]]] = {moment: [] for moment in self.METHODS}
        for hook in [hooks] if callable(hooks) else hooks:
            methods = {m: getattr(hook, name) for m, name in self.METHODS.items() if hasattr(hook, name)}
            if not methods and callable(hook):
                methods = {"epoch": hook}
            if not methods:
                raise TypeError(
                    f"{hook!r} is no hook: pass a function of one event, called after each epoch, or an object "
                    f"with any of the methods {', '.join(self.METHODS.values())}"
                )
            for moment, method in methods.items():
                self._calls[moment].append(method)

    def listen(self, moment: Moment) -> bool:
        """Whether any hook wants to hear of `moment`."""
        return bool(self._calls[moment])

    def call(self, event: Event, *loaders: Any) -> None:
        """Show `event` to every hook that listens; what a hook returns is ignored, and `loaders` go on as before.

        A hook that fails after the start must not cost the run: a warning says so, it hears of nothing more but the end
        (where it may close what it opened), and training goes on. At the start, where nothing is lost, it raises.
        """
        for hook in list(self._calls[event.moment]):
            try:
                with unmoved(event.model, *loaders):
                    hook(event)
            except Exception as error:
                if event.moment == "start":
                    raise
                self._dismiss(hook)
                warnings.warn(failure(hook, event, error), RuntimeWarning, stacklevel=2)

    def _dismiss(self, hook: Callable[[Event], object]) -> None:
        """Tell `hook`, and the other methods of its object, nothing more but the end."""
        owner = getattr(hook, "__self__", hook)
        for moment in ("update", "epoch"):
            self._calls[moment] = [h for h in self._calls[moment] if getattr(h, "__self__", h) is not owner]


def failure(hook: Any, event: Event, error: Exception) -> str:
    """What to say of a hook that failed: which, when, why and where."""
    owner = getattr(hook, "__self__", hook)
    name = getattr(owner, "__name__", type(owner).__name__)
    last = traceback.extract_tb(error.__traceback__)[-1]
    when, rest = f"after update {event.update} in epoch {event.epoch}", "training goes on without it"
    if event.moment == "end":
        when, rest = "at the end", "the run is complete all the same"
    why = f"{type(error).__name__}: {error} ({last.filename}, {last.lineno})"
    return f"the hook {name} failed {when}, with {why}; {rest}"


@contextmanager
def unmoved(model: nn.Module, *loaders: Any) -> Iterator[None]:
    """Put back what code may move in passing: the modes of `model`'s modules, random states, and those of `loaders`."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    state, places = random_state(device), [loader.state_dict() for loader in loaders]
    try:
        with keeping_modes(model):
            yield
    finally:
        set_random_state(state, device)
        for loader, place in zip(loaders, places, strict=True):
            loader.load_state_dict(place)
