"""Checkpoints: all that a run needs to go on another day, in one file that is whole or not there."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import nn
from torch.serialization import get_unsafe_globals_in_checkpoint

from nnlab_helpers.files import replacing
from nnlab_helpers.train.rng import random_state, set_random_state

FORMAT = "nnlab-checkpoint-2"
OWN = ("format", "model", "random_state")  # what each checkpoint holds besides its parts


def save_checkpoint(path: str | os.PathLike[str], model: nn.Module, **parts: Any) -> None:
    """Write `model` and whatever else a run consists of to `path`, whole or not at all.

    The file is written beside its target under another name and then renamed, so that a crash, a full disk or an
    interrupt leaves the previous checkpoint as it was. The random states of torch (dropout, augmentation), NumPy and
    Python go in as well.

    Args:
        path: the file; missing folders are made.
        model: its `state_dict()` is stored.
        parts: by name, an optimizer, scheduler, loader or anything else with a `state_dict()`, or plain numbers,
            strings, lists, dicts and tensors. NumPy's numbers are stored as Python's. None is stored as None.

    Raises:
        TypeError: a part holds something else, which `load_checkpoint` would refuse.
        ValueError: a part has a name that the checkpoint needs itself.
        OSError: the file cannot be written.

    Example:
        >>> save_checkpoint("digits.pt", model, optimizer=optimizer, epoch=3)  # doctest: +SKIP
    """
    target = Path(path)
    if taken := [name for name in parts if name in OWN]:
        raise ValueError(f"a checkpoint keeps {', '.join(taken)} itself: give your part another name")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    content = {"format": FORMAT, "model": model.state_dict(), "random_state": random_state(device)}
    for name, part in parts.items():
        content[name] = _plain(part.state_dict() if hasattr(part, "state_dict") else part)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, binary=True) as file:
        torch.save(content, file)
        file.flush()
        _check_loadable(content, file)


def load_checkpoint(path: str | os.PathLike[str], model: nn.Module | None = None, **parts: Any) -> dict[str, Any]:
    """Read a checkpoint, bring `model` and `parts` to the state in it, and return its content.

    Nothing but tensors and plain values is unpickled (`weights_only`), so a file from a stranger runs no code. With
    a model, the random states of torch, NumPy and Python are brought back too.

    Args:
        path: a file written by `save_checkpoint`.
        model: takes the stored weights; None to look only.
        parts: objects with `load_state_dict`, under the names they were saved by; None is skipped.

    Returns:
        The content: "model" (a state dict), and each part by name.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: the file is no checkpoint, or one of another model or with other parts; `model` is then unchanged.
    """
    target = Path(path)
    if not target.is_file():
        raise FileNotFoundError(f"no checkpoint at {target}")
    device = torch.device("cpu") if model is None else next((p.device for p in model.parameters()), torch.device("cpu"))
    stored = io.BytesIO(target.read_bytes())
    try:
        content = torch.load(stored, map_location="cpu", weights_only=True)
    except Exception as error:  # what damaged bytes raise in the unpickler is anyone's guess
        raise ValueError(
            f"{target} is damaged, or no checkpoint of save_checkpoint, in which there is nothing but tensors and "
            "plain values"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"{target} is no checkpoint of save_checkpoint (of this version): load plain weights with torch.load"
        )
    missing = [name for name, part in parts.items() if part is not None and content.get(name) is None]
    if missing:
        raise ValueError(f"the checkpoint {target} holds no {', '.join(missing)}: it was saved by another kind of run")
    if model is not None:
        _check_same_architecture(target, content["model"], model)
    for name, part in parts.items():
        if part is not None:
            try:
                part.load_state_dict(content[name])
            except (ValueError, KeyError, RuntimeError, AttributeError) as error:
                raise ValueError(f"the {name} in {target} does not fit the one given: {error}") from error
    if model is not None:  # last, so that a part that does not fit leaves the model as it was
        model.load_state_dict(content["model"])
        set_random_state(content["random_state"], device)
    return content


class GeneratorState:
    """The random generators of a plain `DataLoader` and its samplers, as a part that a checkpoint can hold."""

    def __init__(self, generators: list[torch.Generator]) -> None:
        """Keep the generators."""
        self._generators = generators

    def state_dict(self) -> dict[str, Any]:
        """The states of the generators."""
        return {"generators": [generator.get_state() for generator in self._generators]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        for generator, kept in zip(self._generators, state["generators"], strict=True):
            generator.set_state(kept)


def loader_state(loader: Any) -> Any:
    """What a checkpoint must hold of a loader: the loader itself if it has a state, else its generators, else None."""
    if hasattr(loader, "state_dict"):
        return loader
    batches = getattr(loader, "batch_sampler", None)
    owners = (loader, getattr(loader, "sampler", None), batches, getattr(batches, "sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    generators = {id(generator): generator for generator in found if isinstance(generator, torch.Generator)}
    return GeneratorState(list(generators.values())) if generators else None


def _plain(value: Any) -> Any:
    """A copy of `value` with NumPy's numbers as Python's, such as a learning rate from `np.logspace`."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        copy = value.copy()
        copy.clear()
        copy.update({_plain(key): _plain(inner) for key, inner in value.items()})
        return copy
    return type(value)(_plain(inner) for inner in value) if type(value) in (list, tuple, set) else value


def _check_loadable(content: dict[str, Any], file: IO[bytes]) -> None:
    if not get_unsafe_globals_in_checkpoint(file.name):
        return
    for name, part in content.items():
        alone = io.BytesIO()
        torch.save(part, alone)
        alone.seek(0)
        if foreign := get_unsafe_globals_in_checkpoint(alone):
            raise TypeError(
                f"{name} holds something of the kind {foreign[0]}, and a checkpoint holds only tensors, numbers, "
                "strings, lists and dicts, so that loading it runs no code: convert it before saving"
            )


def _check_same_architecture(path: Path, stored: dict[str, Any], model: nn.Module) -> None:
    here = model.state_dict()
    differences = [f"{name} is only in the checkpoint" for name in stored if name not in here]
    differences += [f"{name} is only in the model" for name in here if name not in stored]
    differences += [
        f"{name} is {list(stored[name].shape)} in the checkpoint and {list(value.shape)} in the model"
        for name, value in here.items()
        if name in stored and hasattr(value, "shape") and stored[name].shape != value.shape
    ]
    if differences:
        more = f" (and {len(differences) - 3} more)" if len(differences) > 3 else ""
        raise ValueError(
            f"the checkpoint {path} is of another architecture: {'; '.join(differences[:3])}{more}. "
            "Build the model as it was when saved, or start afresh with another file."
        )
