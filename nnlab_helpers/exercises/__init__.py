"""Exercises that answer back: `check`, `hint` and `progress`."""

from __future__ import annotations

from typing import Any

from nnlab_helpers.exercises import show as display
from nnlab_helpers.exercises.checking import declare
from nnlab_helpers.exercises.checking.grade import grade
from nnlab_helpers.exercises.progress import Record

__all__ = ["check", "hint", "keep_record", "progress"]

MARKS = {"right": "✓", "wrong": "✗", "not attempted": "○"}

_record = Record()
_hints_given: dict[str, int] = {}


def check(exercise_id: str, answer: Any) -> None:
    """Say whether `answer` solves the exercise: right, what is wrong with it, or not attempted yet.

    Shows exactly one result and returns nothing. Whatever the answer does, nothing is raised and nothing global
    changes.

    Args:
        exercise_id: such as `"day03.leaky_relu_grad"`.
        answer: what the exercise asks for: a function, a class, a module or a value.

    Raises:
        ValueError: there is no such exercise; the message names similar ones.
    """
    outcome = grade(exercise_id, answer)
    notes = outcome.notes
    if outcome.status != "not attempted":
        told = _record.add(exercise_id, outcome.passed)
        notes += (told,) if told else ()
    display.Card(MARKS[outcome.status], exercise_id, outcome.headline, notes).show()


def hint(exercise_id: str) -> None:
    """Show the next hint for the exercise, as long as there is another one.

    Raises:
        ValueError: there is no such exercise; the message names similar ones.
    """
    hints = declare.find(exercise_id).hints
    before = _hints_given.get(exercise_id, 0)
    now = _hints_given[exercise_id] = min(before + 1, len(hints))
    headline = f"hint {now} of {len(hints)}" + (" once more: it was the last" if before == now else "")
    display.Card("→", exercise_id, headline, (hints[now - 1],)).show()


def progress() -> None:
    """Show what is solved, day by day, from the learner's record."""
    entries, told = _record.entries()
    rows = []
    for found in declare.exercises():
        entry = entries.get(found.id)
        mark = "○" if entry is None else "✓" if entry.solved else "✗"
        rows.append(display.Row(found.id.partition(".")[0], mark, found.id, found.title, found.stars))
    display.show_progress(rows, told)


def keep_record(keep: bool) -> None:
    """Turn the record of solved exercises off or on again, for this kernel alone.

    The solution notebooks turn it off, so that running them does not mark the reader's exercises as solved.
    """
    _record.keep = keep


def __getattr__(name: str) -> Any:
    if name == "clinic":  # lesson 13 imports its patients from here
        from nnlab_helpers.exercises.days.day13 import patients

        return patients
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
