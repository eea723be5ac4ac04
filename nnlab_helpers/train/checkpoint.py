"""Checkpoints: all that a run needs to go on another day, in one file that is whole or not there."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.serialization import get_unsafe_globals_in_checkpoint

from nnlab_helpers.files import expanded, replacing
from nnlab_helpers.train.rng import random_state, set_random_state
from nnlab_helpers.train.settings import differences, kind_of, settings_of
from nnlab_helpers.train.wrappers import put_state, state_of, weights_of

FORMAT = "nnlab-checkpoint-3"
OWN = ("format", "model", "random_state", "made")  # what each checkpoint holds besides its parts
MARK = b"nnlab-sha256:"  # then 64 digits: the comment at the end of the zip archive that PyTorch writes
AFRESH = "take an older copy of the file, or start afresh with another one"


def save_checkpoint(path: str | os.PathLike[str], model: nn.Module, **parts: Any) -> None:
    """Write `model` and whatever else a run consists of to `path`, whole or not at all, with a checksum.

    The file is written beside its target under another name and then renamed, so that a crash, a full disk or an
    interrupt leaves the previous checkpoint as it was. The random states of torch (dropout, augmentation), NumPy and
    Python go in as well, and what the parts were made with. Of a model in `torch.compile` or `DataParallel` the weights
    are stored as those of the model within. `torch.load(path)["model"]` gives them without this package.

    Args:
        path: the file; missing folders are made, and a `~` is the home folder.
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
    write_checkpoint(path, model, parts, made_of(parts))


def made_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """What each part with a state was made with, for a checkpoint."""
    stateful = {n: part for n, part in parts.items() if hasattr(part, "state_dict") and not isinstance(part, nn.Module)}
    return {name: {"kind": kind_of(part), "settings": settings_of(part)} for name, part in stateful.items()}


def write_checkpoint(path: str | os.PathLike[str], model: nn.Module, parts: Mapping[str, Any], made: Any) -> None:
    """Write a checkpoint of parts that were made with `made`, which they need no longer show."""
    target = expanded(path)
    if taken := [name for name in parts if name in OWN]:
        raise ValueError(f"a checkpoint keeps {', '.join(taken)} itself: give your part another name")
    content = {"format": FORMAT, "model": weights_of(model), "random_state": random_state(_device(model)), "made": made}
    for name, part in parts.items():
        content[name] = _plain(state_of(part) if hasattr(part, "state_dict") else part)
    archive = io.BytesIO()
    torch.save(content, archive)
    _check_loadable(content, archive)
    archive.seek(-2, os.SEEK_END)
    archive.write(struct.pack("<H", len(MARK) + 64))  # a zip archive ends with the length of its comment
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target, binary=True) as file:
        file.write(archive.getbuffer())
        file.write(MARK + hashlib.sha256(archive.getbuffer()).hexdigest().encode())


def load_checkpoint(path: str | os.PathLike[str], model: nn.Module | None = None, **parts: Any) -> dict[str, Any]:
    """Read a checkpoint, bring `model` and `parts` to the state in it, and return its content.

    Nothing but tensors and plain values is unpickled (`weights_only`), so a file from a stranger runs no code. With
    a model, the random states of torch, NumPy and Python are brought back too.

    Args:
        path: a file written by `save_checkpoint`, whose checksum must be right.
        model: takes the stored weights, in `torch.compile` or `DataParallel` or not; None to look only.
        parts: objects with `load_state_dict`, under the names they were saved by; None is skipped. They must be of the
            same class, and made with the same settings, as those that were saved.

    Returns:
        The content: "model" (a state dict), and each part by name.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it cannot be read.
        ValueError: the file is no checkpoint, or damaged, or one of another model or with other parts; `model` and all
            parts are then as they were.
    """
    content = read_checkpoint(path)
    bring_back(path, content, model, parts)
    return content


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and check a file; return what is in it. Raises as `load_checkpoint`."""
    target = expanded(path)
    if not target.is_file():
        raise FileNotFoundError(f"no checkpoint at {target}")
    data = target.read_bytes()
    archive, mark, digest = data[: -len(MARK) - 64], data[-len(MARK) - 64 : -64], data[-64:]
    signed = mark == MARK
    if signed and hashlib.sha256(archive).hexdigest().encode() != digest:
        raise ValueError(f"{target} is damaged, its checksum is not the one it was written with: {AFRESH}")
    try:
        content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        version = str(content.get("format")) if isinstance(content, dict) else ""
    except Exception as error:  # what damaged bytes raise in the unpickler is anyone's guess
        raise ValueError(
            f"{target} is damaged, or no checkpoint of save_checkpoint, in which there is nothing but tensors and "
            f"plain values: {AFRESH}"
        ) from error
    if not version.startswith("nnlab-checkpoint-"):
        raise ValueError(f"{target} is no checkpoint of save_checkpoint: load plain weights with torch.load")
    if version != FORMAT:
        raise ValueError(
            f"{target} was written by another version of this package ({version}, now {FORMAT}; up to 2 there was no "
            'checksum): its weights are in torch.load(path)["model"], and a run goes on with the version that began it'
        )
    if not signed or any(not isinstance(content.get(name), dict) for name in OWN[1:]):
        raise ValueError(f"{target} is damaged, a part of it or its checksum is missing: {AFRESH}")
    return content


def bring_back(
    path: str | os.PathLike[str], content: dict[str, Any], model: nn.Module | None, parts: Mapping[str, Any]
) -> None:
    """Bring `model` and `parts` to the state in `content`, all or none. Raises as `load_checkpoint`."""
    target = expanded(path)
    parts = {name: part for name, part in parts.items() if part is not None}
    if missing := [name for name in parts if content.get(name) is None]:
        raise ValueError(f"the checkpoint {target} holds no {', '.join(missing)}: it was saved by another kind of run")
    with _in_words(target, "content"):
        if model is not None:
            _check_same_architecture(target, content["model"], model)
        for name, part in parts.items():
            made = content["made"].get(name)
            if made is not None and (changed := differences(made, part, content[name])):
                rate = ", or with the rate that it has by now" if any(c.startswith("lr") for c in changed) else ""
                raise ValueError(
                    f"the {name} is not the one of the run in {target} ({'; '.join(changed)}): to go on, make it as it "
                    f"was{rate}; to train on from the weights alone, load_checkpoint(path, model) without the parts, "
                    "and then fit without resume"
                )
    device = torch.device("cpu") if model is None else _device(model)
    every = parts if model is None else parts | {"model": model}
    before, state = {name: copy.deepcopy(state_of(part)) for name, part in every.items()}, random_state(device)
    try:
        for name, part in every.items():
            with _in_words(target, name):
                put_state(part, content[name])
        if model is not None:
            with _in_words(target, "random_state"):
                set_random_state(content["random_state"], device)
    except BaseException:
        for name, part in every.items():
            put_state(part, before[name])
        set_random_state(state, device)
        raise


@contextmanager
def _in_words(path: Path, name: str) -> Iterator[None]:
    """Turn whatever odd content raises into one kind of error that says what to do."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(
            f"the {name} in {path} does not fit the one given: {why}. Make it as it was when saved, or {AFRESH}"
        ) from error


class GeneratorState:
    """The random generators of a plain `DataLoader` and its samplers, as a part that a checkpoint can hold."""

    known_as = "DataLoader"  # what a learner knows it by

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


def _device(model: nn.Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _check_loadable(content: dict[str, Any], archive: io.BytesIO) -> None:
    archive.seek(0)
    if not get_unsafe_globals_in_checkpoint(archive):
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
    here = weights_of(model)
    unlike = [f"{name} is only in the checkpoint" for name in stored if name not in here]
    unlike += [f"{name} is only in the model" for name in here if name not in stored]
    unlike += [
        f"{name} is {list(stored[name].shape)} in the checkpoint and {list(value.shape)} in the model"
        for name, value in here.items()
        if name in stored and hasattr(value, "dtype") and not is_lazy(value) and stored[name].shape != value.shape
    ]
    if unlike:
        more = f" (and {len(unlike) - 3} more)" if len(unlike) > 3 else ""
        raise ValueError(
            f"the checkpoint {path} is of another architecture: {'; '.join(unlike[:3])}{more}. "
            "Build the model as it was when saved, or start afresh with another file."
        )
