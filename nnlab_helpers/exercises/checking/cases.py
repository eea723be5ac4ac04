"""The cases that an answer is tried on, and the same in other forms: float64, not contiguous, no dimensions."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Case:
    """The arguments of one call, what the learner is told of them (left out, the arguments themselves), and a note.

    The note is shown below a wrong result of this case, unless a known mistake explains it.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    given: str | None = None
    note: str = ""


def case(*args: Any, given: str | None = None, note: str = "", **kwargs: Any) -> Case:
    """A case with arguments by name, or with words of its own: `case(z, slope=0.2, given="a steep slope")`."""
    return Case(args, kwargs, given, note)


def as_case(value: Any) -> Case:
    """Return `value` as a case: a tuple holds the arguments, anything else is the only one."""
    if isinstance(value, Case):
        return value
    return Case(value if isinstance(value, tuple) else (value,))


def fresh(one: Case) -> Case:
    """Return the case with copies of all that a call could change; what belongs together stays together."""
    args, kwargs = _copied((one.args, dict(one.kwargs)))
    return Case(args, kwargs, one.given, one.note)


def _copied(value: Any) -> Any:
    memo: dict[int, Any] = {}
    for generator in _found(value, torch.Generator):  # torch's own cannot be copied everywhere
        twin = torch.Generator(generator.device)
        twin.set_state(generator.get_state())
        memo[id(generator)] = twin
    return copy.deepcopy(value, memo)


def _found(value: Any, kind: type) -> list[Any]:
    if isinstance(value, kind):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [one for part in parts for one in _found(part, kind)]


def mapped(function: Callable[[Any], Any], value: Any) -> Any:
    """Apply `function` to every tensor, array and module in lists, tuples and dicts."""
    if isinstance(value, torch.Tensor | np.ndarray | nn.Module):
        return function(value)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return type(value)(mapped(function, part) for part in value)
    if type(value) is dict:
        return {key: mapped(function, part) for key, part in value.items()}
    return value


def changed(function: Callable[[Any], Any], one: Case) -> Case:
    """Return the case with `function` applied to every tensor, array and module in it."""
    args, kwargs = mapped(function, (one.args, dict(one.kwargs)))
    return Case(args, kwargs, one.given, one.note)


def _strided(value: Any) -> Any:
    """The same numbers, in memory column by column, or every other one."""
    if isinstance(value, nn.Module) or not value.ndim:
        return value
    if isinstance(value, np.ndarray):
        return np.asfortranarray(value) if value.ndim > 1 else np.repeat(value, 2)[::2]
    if value.ndim == 1:
        return value.repeat_interleave(2)[::2]
    order = tuple(reversed(range(value.ndim)))
    return value.permute(order).clone(memory_format=torch.contiguous_format).permute(order)


def _double(value: Any) -> Any:
    if isinstance(value, nn.Module):
        return value.double()
    return value.double() if isinstance(value, torch.Tensor) and value.dtype == torch.float32 else value


def _first_entry(value: Any) -> Any:
    return value if isinstance(value, nn.Module) else value.reshape(-1)[0]


NOT_CONTIGUOUS = "with input that is not contiguous in memory, as after a transpose,"
FLOAT64 = "with float64 input"
ZERO_DIM = "with a tensor of no dimensions"  # for functions that work entry by entry

FORMS: dict[str, Callable[[Any], Any]] = {NOT_CONTIGUOUS: _strided, FLOAT64: _double, ZERO_DIM: _first_entry}
VARIANTS = (NOT_CONTIGUOUS, FLOAT64)  # what every function has to bear


def in_form(one: Case, variant: str) -> Case | None:
    """Return a copy of the case in the form of `variant`, or None where it would be no other."""
    form = FORMS[variant]
    parts = [*_found((one.args, dict(one.kwargs)), torch.Tensor), *_found((one.args, dict(one.kwargs)), np.ndarray)]
    if variant == FLOAT64:
        parts = [part for part in parts if isinstance(part, torch.Tensor) and part.dtype == torch.float32]
    elif variant == NOT_CONTIGUOUS:
        parts = [part for part in parts if part.ndim and len(part.reshape(-1)) > 1]
    return changed(form, fresh(one)) if parts else None
