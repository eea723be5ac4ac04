"""How an exercise is declared and found."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from nnlab_helpers.exercises.checking.formula import Ask, Cases, Formula
from nnlab_helpers.exercises.checking.trial import Trial

Checker = Callable[[Any, Trial], None]


@dataclass(frozen=True)
class Exercise:
    """An exercise: its id (`dayNN.name`), what it is called, how hard it is (1 to 3 stars), and how it is checked."""

    id: str
    title: str
    stars: int
    hints: tuple[str, ...]
    learned: str
    checker: Checker = field(repr=False)
    formula: Formula | None = field(default=None, repr=False)  # what it was declared by, if not by a checker of its own
    draws: bool = False
    forbids: Mapping[str, Sequence[str]] = field(default_factory=dict)
    module: str = ""  # where it is declared


REGISTRY: dict[str, Exercise] = {}


@overload
def exercise(
    id: str, *, title: str, stars: int, hints: Sequence[str], learned: str, draws: bool = ...,
    forbids: Mapping[str, Sequence[str]] | None = ...,
) -> Callable[[Checker], Checker]: ...  # fmt: skip


@overload
def exercise(
    id: str, *, title: str, stars: int, hints: Sequence[str], learned: str, right: Callable[..., Any], cases: Cases,
    returns: str | Sequence[str] = ..., mistakes: Mapping[str, Any] | None = ...,
    refuses: Cases | None = ..., ask: Ask | None = ..., draws: bool = ...,
    forbids: Mapping[str, Sequence[str]] | None = ..., changes: Sequence[str] = ..., may_change: Sequence[str] = ...,
    fresh: bool = ..., number: bool = ..., gradient: bool = ..., variants: Sequence[str] = ..., rtol: float = ...,
    atol: float = ...,
) -> Exercise: ...  # fmt: skip


def exercise(
    id: str,
    *,
    title: str,
    stars: int,
    hints: Sequence[str],
    learned: str,
    right: Callable[..., Any] | None = None,
    cases: Cases | None = None,
    draws: bool = False,
    forbids: Mapping[str, Sequence[str]] | None = None,
    **formula: Any,
) -> Any:
    """Declare the exercise `id`: by its reference `right` and `cases`, or by the checker function below it.

    Args:
        id: such as `"day03.leaky_relu_grad"`.
        title: what the overview calls it.
        stars: how hard it is, 1 to 3.
        hints: two to four, each saying more than the one before.
        learned: one sentence worth knowing, for those who solved it.
        right: the reference. An answer is asked on every case, and must give what `right` gives.
        cases: makes the cases with a `Trial`: smallest first, then random ones of odd sizes. See `formula.Formula`.
        draws: the task draws from the global random numbers, or makes layers, which do.
        forbids: message -> patterns of the names of what must not be called; see `tracing`.
        formula: the other fields of `formula.Formula`; only together with `right`.

    Returns:
        The exercise; without `right`, a decorator for the checker, `checker(answer, trial)`.

    Raises:
        ValueError: an id that is not like `day03.leaky_relu_grad` or is taken, stars not 1 to 3, hints not 2 to 4.
    """
    if not re.fullmatch(r"day\d\d\.[A-Za-z]\w*", id):
        raise ValueError(f"an exercise id looks like day03.leaky_relu_grad, not {id!r}")
    if isinstance(hints, str) or not 2 <= len(hints) <= 4:
        raise ValueError(f"{id}: two to four hints are needed")
    if stars not in (1, 2, 3):
        raise ValueError(f"{id}: one to three stars, not {stars!r}")
    if right is not None and cases is None:
        raise ValueError(f"{id}: `right` needs `cases`")
    if right is None and (cases is not None or formula):
        raise ValueError(f"{id}: without `right` there are no {', '.join(formula) or 'cases'}")

    module = sys._getframe(1).f_globals.get("__name__", "")

    def declare(checker: Checker, formula: Formula | None = None) -> Exercise:
        taken = REGISTRY.get(id)
        if taken is not None and taken.module != module:
            raise ValueError(f"two exercises are called {id!r}")
        found = Exercise(id, title, stars, tuple(hints), learned, checker, formula, draws, forbids or {}, module)
        REGISTRY[id] = found
        return found

    if right is not None and cases is not None:
        declared = Formula(right, cases, **formula)
        return declare(declared.check, declared)

    def register(checker: Checker) -> Checker:
        declare(checker)
        return checker

    return register


def days() -> list[str]:
    """Return the days that have exercises, in order: `["day01", ...]`. Imports none of them."""
    package = importlib.import_module("nnlab_helpers.exercises.days")
    return sorted(name for _, name, _ in pkgutil.iter_modules(package.__path__) if re.fullmatch(r"day\d\d", name))


def exercises(day: str | None = None) -> list[Exercise]:
    """Return the exercises of one day, or of all, in the order in which they were declared."""
    wanted = [day] if day else days()
    for name in wanted:
        if name in days():
            importlib.import_module(f"nnlab_helpers.exercises.days.{name}")
    return [found for name in wanted for found in REGISTRY.values() if found.id.startswith(f"{name}.")]


def find(id: str) -> Exercise:
    """Return the exercise called `id`; imports the checkers of its day alone.

    Raises:
        TypeError: `id` is not a string.
        ValueError: there is no such exercise; the message names similar ones.
    """
    if not isinstance(id, str):
        raise TypeError(f"an exercise is named by a string such as 'day03.leaky_relu_grad', not by {id!r:.60}")
    day = id.partition(".")[0]
    if id not in REGISTRY:
        exercises(day)
    if id not in REGISTRY:
        exercises()
        near = difflib.get_close_matches(id, REGISTRY, n=3) or [one for one in REGISTRY if one.startswith(f"{day}.")]
        question = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"there is no exercise {id!r}{question}")
    return REGISTRY[id]
