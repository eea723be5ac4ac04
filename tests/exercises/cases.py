"""Which cases a check tries: with what its answer is called, watched from inside the answer.

The calls are seen by the interpreter's own profiler, so it is the same for functions, classes and modules, and however
an exercise is declared.
"""

from __future__ import annotations

import inspect
import sys
import types
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from harness import script_of
from torch import nn

from nnlab_helpers.exercises.checking.grade import Outcome, grade
from nnlab_helpers.exercises.checking.tracing import Calls

DEEPEST = 6  # levels of lists, objects and closures that are looked into


def cases(exercise_id: str, answer: Any, *, seed: int = 0) -> tuple[Outcome, list[Any]]:
    """Grade the solution's `answer`, and return what it was called with (see `description`), call by call.

    The random cases of the check are drawn with another seed where `seed` is not 0.
    """
    script = str(script_of(exercise_id, "solution"))
    found: list[Any] = []

    def watch(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename == script and not _called_by_itself(frame, script):
            sys.setprofile(None)
            arguments = inspect.getargvalues(frame)
            names = [*arguments.args, *filter(None, (arguments.varargs, arguments.keywords))]
            found.append([frame.f_code.co_name, *(description(arguments.locals[n]) for n in names if n != "self")])
            sys.setprofile(watch)

    before = sys.getprofile()
    untraced = patch("nnlab_helpers.exercises.checking.trial.traced", lambda: nullcontext(Calls()))  # it profiles too
    with other_random_numbers(exercise_id, seed), untraced:
        sys.setprofile(watch)
        try:
            outcome = grade(exercise_id, answer)
        finally:
            sys.setprofile(before)
    return outcome, found


def _called_by_itself(frame: types.FrameType, script: str) -> bool:
    caller = frame.f_back
    while caller is not None and caller.f_globals.get("__name__", "").startswith("torch.nn.modules"):
        caller = caller.f_back  # a module of the answer calls one of its own
    return caller is not None and caller.f_code.co_filename == script


@contextmanager
def other_random_numbers(exercise_id: str, seed: int) -> Iterator[None]:
    """Let the trial of this exercise, whose seed is a checksum of its id, have another one."""
    checksum = zlib.crc32

    def changed(data: Any, *rest: int) -> int:
        return checksum(data, *rest) ^ (seed if data == exercise_id.encode() else 0)

    zlib.crc32 = changed
    try:
        yield
    finally:
        zlib.crc32 = checksum


def description(value: Any, depth: int = 0) -> Any:
    """A value as something that can be compared later, when it may have changed: nested lists of plain values.

    A tensor or array is `["tensor", shape, dtype, contents]`.
    """
    if depth > DEEPEST:
        return "..."
    inside = depth + 1
    if isinstance(value, nn.Module):
        return [type(value).__name__, description(dict(value.state_dict()), inside)]
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return ["tensor", list(value.shape), str(value.dtype), hash(str(value.tolist()))]
    if isinstance(value, np.ndarray):
        return ["array", list(value.shape), str(value.dtype), hash(str(value.tolist()))]
    if isinstance(value, torch.Generator):
        return ["generator", value.initial_seed()]
    if isinstance(value, dict):
        return ["dict", *([description(key, inside), description(one, inside)] for key, one in value.items())]
    if isinstance(value, list | tuple | set):
        return [type(value).__name__, *(description(one, inside) for one in value)]
    if value is None or isinstance(value, bool | int | float | complex | str):
        return value
    if callable(value):
        cells = getattr(value, "__closure__", None) or ()
        return ["function", *(description(cell.cell_contents, inside) for cell in cells)]
    return [type(value).__name__, description(getattr(value, "__dict__", {}), inside)]


def sizes(case: Any) -> Any:
    """The shapes and lengths in a case, without contents; empty if nothing in it has a size."""
    if not isinstance(case, list):
        return ()
    if case[:1] in (["tensor"], ["array"]) and len(case) == 4:
        return tuple(case[1])
    inside = tuple(sizes(part) for part in case[1:])
    return (len(inside), *inside) if any(inside) or case[:1] in (["list"], ["tuple"]) else ()
