"""What to run: a grid of choices or a list of configurations, written out, and described as a record can hold it."""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nnlab_helpers.sweep.fingerprint import code_version, is_library

Config = dict[str, Any]
Grid = Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]]

RESERVED = ("seed", "seconds", "error", "cached")  # columns of the frame that a sweep fills in itself


def configurations(grid: Grid) -> list[Config]:
    """Return every configuration of `grid`, the last choice varying fastest.

    Args:
        grid: a dict of lists, for all their combinations, or a list of dicts, for these alone.

    Raises:
        ValueError: there is nothing to run, a configuration comes twice, or a choice has the name of a column that the
            sweep fills in itself ("seed", "seconds", "error", "cached").
        TypeError: a choice is neither plain data nor a function or class, or a list is missing around the choices.

    Example:
        >>> configurations({"width": [16, 32], "depth": [1]})
        [{'width': 16, 'depth': 1}, {'width': 32, 'depth': 1}]
    """
    if isinstance(grid, Mapping):
        for name, choices in grid.items():
            if isinstance(choices, (str, bytes, Mapping)) or not isinstance(choices, Iterable):
                raise TypeError(f"grid[{name!r}] is {choices!r}: a list of choices is needed, if need be [{choices!r}]")
        lists = {name: list(choices) for name, choices in grid.items()}
        empty = [name for name, choices in lists.items() if not choices]
        if empty:
            raise ValueError(f"there is nothing to choose from for {empty[0]!r}: its list is empty")
        found = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    else:
        found = [dict(config) for config in grid]
    if not found:
        raise ValueError("there is nothing to run: the list of configurations is empty")
    seen: dict[str, Config] = {}
    for config in found:
        for name in config:
            if not isinstance(name, str):
                raise TypeError(f"{name!r} is no name for a choice: use a string")
            described(name, "the name of a choice")
            if name in RESERVED:
                raise ValueError(f"a choice may not be called {name!r}: the sweep has a column of that name")
        key = repr(described(config))
        if key in seen:
            raise ValueError(f"the configuration {config} is there twice")
        seen[key] = config
    return found


def described(value: Any, where: str = "the configuration") -> Any:
    """Return `value` as JSON can hold it; functions and classes by module and name, those not of a library by code too.

    Raises:
        TypeError: it is an object of another kind.
        ValueError: a text that no file can hold (half of a character).
    """
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{where} holds {value!r}, which is no whole text: no file can hold it") from None
        return value
    if isinstance(value, (bool, type(None))):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else repr(float(value))
    if isinstance(value, Mapping):
        return {str(name): described(item, f"{where}, {name!r}") for name, item in sorted(value.items())}
    if isinstance(value, (list, tuple)):
        return [described(item, where) for item in value]
    if callable(value) and hasattr(value, "__qualname__"):
        name = f"{value.__module__}.{value.__qualname__}"
        return name if is_library(value) else f"{name} {code_version(value)}"
    raise TypeError(
        f"{where} holds {value!r}, a {type(value).__name__}: use numbers, strings, lists, functions or classes, "
        "and build everything else from them inside `run`"
    )
