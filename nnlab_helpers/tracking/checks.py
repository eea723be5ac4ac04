"""What can be logged, and where: said before anything is written."""

from __future__ import annotations

import os
import re
from numbers import Integral
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def check_often(name: str, number: int) -> None:
    """Raise unless `number` says how often something is written."""
    if not isinstance(number, Integral):
        raise TypeError(f"{name} must be a whole number, got {number!r}")
    if number < 0:
        raise ValueError(f"{name} must be 0 (never) or more, got {number}")


def check_images(images: Tensor | None) -> None:
    """Raise unless these are images that TensorBoard can show, at least one."""
    if images is None:
        return
    if not isinstance(images, Tensor) or not (images.dtype == torch.uint8 or images.is_floating_point()):
        got = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise TypeError(f"images must be a tensor of uint8, or of floats in [0, 1], got {got}")
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.numel():
        raise ValueError(f"images must be [N, C, H, W] with 1 or 3 channels, at least one, got {list(images.shape)}")


def check_inputs(name: str, inputs: Any) -> None:
    """Raise unless these are what a model takes: a tensor, or several."""
    parts = inputs if isinstance(inputs, tuple) else (inputs,)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        got = ", ".join(type(part).__name__ for part in parts)
        raise TypeError(f"{name} must be a tensor, or a tuple of them for a model of several inputs, got {got}")


def check_examples(examples: Any) -> None:
    """Raise unless these are inputs and their classes, at least one."""
    if examples is None:
        return
    if not isinstance(examples, (tuple, list)) or len(examples) != 2 or not isinstance(examples[1], Tensor):
        raise TypeError("examples must be a pair of tensors: inputs [N, ...] and their classes [N]")
    inputs, classes = examples
    check_inputs("the inputs of examples", inputs)
    for part in inputs if isinstance(inputs, tuple) else (inputs,):
        if classes.ndim != 1 or part.ndim == 0 or len(part) != len(classes) or not len(classes):
            raise ValueError(
                "examples must be inputs [N, ...] and their classes [N], got "
                f"{list(part.shape)} and {list(classes.shape)}"
            )


def local_folder(log_dir: str | os.PathLike[str]) -> Path:
    """Return a run's folder as a path, `~` being the home folder, and make it where it is missing.

    Raises:
        ValueError: it is an address ("s3://..."), which would become a folder of that name.
        OSError: it cannot be made.
    """
    if re.match(r"[a-zA-Z][\w+.-]+:/", os.fspath(log_dir)):
        raise ValueError(f"{os.fspath(log_dir)}: events go to a folder of this machine, not to an address")
    try:
        folder = Path(log_dir).expanduser()
    except RuntimeError as error:
        raise FileNotFoundError(f"{os.fspath(log_dir)}: there is no such home folder") from error
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: a file, not a folder for a run")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
