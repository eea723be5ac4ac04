"""Exercises that answer back: `check`, `hint` and `progress`."""

from __future__ import annotations

from typing import Any

from nnlab_helpers.exercises import engine
from nnlab_helpers.exercises.display import Card, show

__all__ = ["check", "hint", "keep_record", "progress"]

MARKS = {"right": "✓", "wrong": "✗", "not attempted": "○"}

_hints_given: dict[str, int] = {}


def check(exercise_id: str, answer: Any) -> None:
    """Say whether `answer` solves the exercise: right, what is wrong with it, or not attempted yet.

    Shows exactly one result and returns nothing. Whatever the answer does, nothing is raised and nothing global changes.

    Args:
        exercise_id: such as `"day03.leaky_relu_grad"`.
        answer: what the exercise asks for: a function, a class, a module or a value.

    Raises:
        ValueError: there is no such exercise; the message names similar ones.
    """
    outcome = engine.grade(exercise_id, answer)
    card = Card(MARKS[outcome.status], exercise_id, outcome.headline, outcome.notes)
    show(str(card), card.to_html())


def hint(exercise_id: str) -> None:
    """Show the next hint for the exercise; the last one stays.

    Raises:
        ValueError: there is no such exercise; the message names similar ones.
    """
    hints = engine.find(exercise_id).hints
    given = min(_hints_given.get(exercise_id, 0) + 1, len(hints))
    last = _hints_given.get(exercise_id, 0) >= len(hints)
    _hints_given[exercise_id] = given
    count = f"hint {given} of {len(hints)}" + (", the last one" if last else "")
    card = Card("→", exercise_id, count, tuple(hints[given - 1].splitlines()))
    show(str(card), card.to_html())


def keep_record(keep: bool) -> None:
    """Turn the record of solved exercises on or off for this kernel."""


def progress() -> None:
    """Show what is solved, day by day."""
