"""Where to run, and how to run the same way twice."""

from __future__ import annotations

import operator
import os
import random
import warnings
from typing import SupportsIndex

import numpy as np
import torch

DEVICE_VARIABLE = "NNLAB_DEVICE"
_KINDS = ("cuda", "mps", "xpu", "cpu")  # that PyTorch brings, in order of preference


def available_devices() -> list[str]:
    """Kinds of device that work here, best first; the last one is always `"cpu"`."""
    return [kind for kind in _kinds() if _device_count(kind) > 0]


def pick_device(prefer: str | torch.device | None = None) -> torch.device:
    """Choose the device to compute on.

    The first of these that says anything decides: `prefer`, the environment variable `NNLAB_DEVICE`, and then
    whichever is available of CUDA, MPS (Apple), XPU (Intel), an accelerator that its maker's package adds to PyTorch
    (`"npu"`, for example), and CPU, in this order. `"auto"` says nothing.

    Raises:
        ValueError: The name is not that of a known device.
        RuntimeError: The device is known but not available on this machine.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    return _choose(prefer)[0]


def describe_device(prefer: str | torch.device | None = None) -> str:
    """Say in one line which device `pick_device(prefer)` chooses, and why; raises what that raises."""
    device, why = _choose(prefer)
    detail = ""
    if device.type == "cuda":
        detail = f" ({torch.cuda.get_device_name(device)})"
    elif device.type == "xpu":
        detail = f" ({torch.xpu.get_device_name(device)})"
    elif device.type == "cpu":
        detail = f" ({torch.get_num_threads()} threads)"
    return f"{device}{detail}: {why}"


def seed_everything(seed: SupportsIndex) -> None:
    """Seed the global random numbers of Python, NumPy and PyTorch (CPU and every accelerator).

    Args:
        seed: A whole number from 0 to 2**32 - 1 (the range NumPy takes).

    Raises:
        TypeError: `seed` is not a whole number.
        ValueError: `seed` is out of range.
    """
    seed = check_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # also seeds CUDA, MPS and XPU


def check_seed(seed: SupportsIndex) -> int:
    """Return `seed` as an int, or raise if it is no whole number from 0 to 2**32 - 1."""
    seed = check_whole("seed", seed)
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed must be from 0 to 2**32 - 1, got {seed}")
    return seed


def check_whole(name: str, value: SupportsIndex) -> int:
    """Return `value`, one of Python's or NumPy's whole numbers, as an int, or raise TypeError, which names it."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not True or False")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None


def _choose(prefer: str | torch.device | None) -> tuple[torch.device, str]:
    if prefer is not None and str(prefer) != "auto":
        return _checked(prefer, "asked for"), "asked for"
    wanted = os.environ.get(DEVICE_VARIABLE, "").strip()
    if wanted and wanted != "auto":
        return _checked(wanted, f"${DEVICE_VARIABLE}"), f"${DEVICE_VARIABLE} says so"
    best = available_devices()[0]
    missing = _kinds()[: _kinds().index(best)]
    why = f"the first that is available of {', '.join(_kinds())}"
    if missing:
        why += "; " + ", ".join(f"{kind}: {_why_not(kind)}" for kind in missing)
    return torch.device(best), why


def _checked(wanted: str | torch.device, origin: str) -> torch.device:
    """Turn `wanted` into a device that exists here."""
    choices = ", ".join(_kinds())
    try:
        device = torch.device(wanted)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"unknown device {wanted!r} ({origin}): choose one of {choices}, or for example 'cuda:1'"
        ) from error
    if device.type not in _kinds():
        raise ValueError(f"unknown device {wanted!r} ({origin}): choose one of {choices}")
    count = _device_count(device.type)
    if (device.index or 0) >= count:
        reason = _why_not(device.type) if count == 0 else f"there are {count}, counted from 0"
        raise RuntimeError(
            f"device '{device}' ({origin}) is not available here: {reason}. Available: {', '.join(available_devices())}"
        )
    return device


def _kinds() -> tuple[str, ...]:
    """Kinds of device that may be asked for, in order of preference."""
    with warnings.catch_warnings():  # see _device_count
        warnings.simplefilter("ignore")
        current = torch.accelerator.current_accelerator(check_available=True)
    added = () if current is None or current.type in _KINDS else (current.type,)
    return (*_KINDS[:-1], *added, _KINDS[-1])


def _device_count(kind: str) -> int:
    with warnings.catch_warnings():  # an old driver warns; describe_device() tells that story instead
        warnings.simplefilter("ignore")
        if kind == "cuda":
            return torch.cuda.device_count() if torch.cuda.is_available() else 0
        if kind == "mps":
            return int(torch.backends.mps.is_available())
        if kind == "xpu":
            return torch.xpu.device_count() if torch.xpu.is_available() else 0
    return 1 if kind == "cpu" else torch.accelerator.device_count()


def _why_not(kind: str) -> str:
    built = {
        "cuda": torch.version.cuda is not None or torch.version.hip is not None,
        "mps": torch.backends.mps.is_built(),
        "xpu": torch.version.xpu is not None,
    }[kind]
    return "no such device or driver found" if built else "this build of PyTorch does not support it"
