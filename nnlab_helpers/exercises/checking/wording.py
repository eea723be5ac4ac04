"""Values, types, calls and errors in a few words that are the same on every run and every machine."""

from __future__ import annotations

import inspect
import itertools
import types
from typing import Any

import numpy as np
import torch
from torch import nn

FEW = 6  # an array of up to this many entries is shown whole


def number(value: Any, digits: int = 4) -> str:
    """Write a number with `digits` significant digits: `-2.0`, `0.3333`, `1e-05`, `nan`."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value))
    if isinstance(value, int | np.integer):
        return str(int(value))
    if isinstance(value, complex | np.complexfloating):
        return f"{complex(value):.{digits}g}"
    text = f"{float(value) + 0.0:.{digits}g}"  # adding zero turns -0.0 into 0.0
    return text if any(mark in text for mark in ".en") else text + ".0"


def show(value: Any, digits: int = 4, depth: int = 2) -> str:
    """Write a small value out, describe a large one."""
    if isinstance(value, torch.Tensor | np.ndarray):
        count = value.numel() if isinstance(value, torch.Tensor) else value.size
        if 0 < count <= FEW and not (isinstance(value, torch.Tensor) and value.is_meta):
            return _nested(value.tolist(), digits)
        return describe(value)
    if isinstance(value, bool | int | float | complex | np.number | np.bool_):
        return number(value, digits)
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:59] + "…")
    if isinstance(value, tuple | list) and len(value) <= FEW and depth:
        parts = [show(part, digits, depth - 1) for part in value]
        if isinstance(value, list):
            return f"[{', '.join(parts)}]"
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if isinstance(value, dict) and len(value) <= FEW and depth:
        return "{" + ", ".join(f"{show(k)}: {show(v, digits, depth - 1)}" for k, v in value.items()) + "}"
    return describe(value)


def _nested(value: Any, digits: int) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_nested(part, digits) for part in value)}]"
    return number(value, digits)


def describe(value: Any) -> str:
    """Say what `value` is: "a Tensor of shape [3, 4]", "the function f", "None"."""
    if isinstance(value, torch.Tensor):
        return f"a Tensor of shape {list(value.shape)}"
    if isinstance(value, np.ndarray):
        return f"a NumPy array of shape {list(value.shape)}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, types.FunctionType | types.MethodType | types.BuiltinFunctionType):
        return f"the function {value.__name__}"
    if value is None or value is Ellipsis:
        return "None" if value is None else "..."
    if isinstance(value, types.GeneratorType):
        return "a generator"
    if isinstance(value, bool | int | float | complex | np.number | np.bool_):
        return f"the number {number(value)}" if not isinstance(value, bool | np.bool_) else str(bool(value))
    if isinstance(value, str):
        return "a string"
    if isinstance(value, tuple | list | dict | set):
        return f"a {type(value).__name__} of {len(value)}"
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def named_arguments(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Pair the arguments of a call with the names that `function` has for them."""
    target = function.forward if isinstance(function, nn.Module) else function
    named: dict[str, Any] = {}
    try:
        parameters = list(inspect.signature(target).parameters.values())
    except Exception:  # asked for its signature, an answer may raise anything
        parameters = []
    plain = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for position, (name, value) in enumerate(itertools.zip_longest(plain[: len(args)], args)):
        named[name or f"argument {position + 1}"] = value
    return {**named, **kwargs}


def given_in(arguments: dict[str, Any], most: int = 3) -> str:
    """Describe a call by its first few arguments: "z = [-2.0], slope = 0.01", "x of shape [4, 3]"."""
    parts = []
    for name, value in arguments.items():
        if isinstance(value, torch.Tensor | np.ndarray):
            small = 0 < np.prod(value.shape, dtype=int) <= (FEW if len(value.shape) < 2 else 4)
            parts.append(f"{name} = {show(value)}" if small else f"{name} of shape {list(value.shape)}")
        elif isinstance(value, bool | int | float | str | np.number | tuple | list | dict):
            text = show(value)
            if len(text) <= 60:
                parts.append(f"{name} = {text}")
    return ", ".join(parts[:most])


def first_line(error: BaseException, width: int = 160) -> str:
    """Return the type and the first line of the message of `error`."""
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # an exception class of the learner's may fail here too
        lines = []
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return text if len(text) <= width else text[: width - 1] + "…"


def first_printed(text: str, count: int = 3) -> list[str]:
    """Return the first `count` lines of what was printed, shortened, with a mark where more was left out."""
    lines = [line[:100] for line in text.splitlines() if line.strip()]
    return lines[:count] + (["…"] if len(lines) > count else [])
