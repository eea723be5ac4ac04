"""Check an answer, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from nnlab_helpers.exercises.checking.declare import Exercise, find
from nnlab_helpers.exercises.checking.isolation import Printed, captured, undisturbed
from nnlab_helpers.exercises.checking.stubs import marked, untouched
from nnlab_helpers.exercises.checking.timeout import limited
from nnlab_helpers.exercises.checking.trial import Trial, Wrong
from nnlab_helpers.exercises.checking.wording import first_printed

TIME_LIMIT = 4.0  # seconds


@dataclass(frozen=True)
class Outcome:
    """What came of a check."""

    exercise: Exercise
    status: Literal["not attempted", "wrong", "right"]
    headline: str
    notes: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.status == "right"


def grade(id: str, answer: Any, *, time_limit: float | None = None) -> Outcome:
    """Check `answer` without showing or recording anything. Raises only what `find` does."""
    found = find(id)
    time_limit = TIME_LIMIT if time_limit is None else time_limit
    waiting = f'hint("{id}") gives the first of {len(found.hints)} hints'
    odd = isinstance(answer, type) and found.formula is not None and found.formula.asks_function
    if not odd and _holds(untouched, answer):
        return Outcome(found, "not attempted", f"not attempted yet   {waiting}")
    wrong = _trial(found, answer, time_limit)
    if wrong is None:
        return Outcome(found, "right", f"right. {found.learned}")
    if _holds(marked, answer):
        note = "A line with `...` still waits in it. Put your code in its place, or take it away when you are done."
        return Outcome(found, "not attempted", f"not attempted yet   {waiting}", (note,))
    return Outcome(found, "wrong", wrong.headline, tuple(wrong.note.splitlines()))


def _holds(question: Callable[[Any], bool], answer: Any) -> bool:
    """What is asked of an answer; an answer that cannot even be asked is an attempt."""
    try:
        return question(answer)
    except KeyboardInterrupt:
        raise
    except BaseException:
        return False


def _trial(found: Exercise, answer: Any, time_limit: float) -> Wrong | None:
    printed = Printed()
    trial = Trial(found.id, printed, draws=found.draws, forbids=found.forbids)
    with undisturbed(trial.seed), captured(printed):
        try:
            late = limited(lambda: found.checker(answer, trial), time_limit)
            if late is None:
                return None
            wrong = trial.stopped(f"stopped after {time_limit:g} seconds: does a loop in it never end?", late.place)
        except Wrong as error:
            wrong = error
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            wrong = trial.failed(error)
    lines = first_printed(trial.printed)
    if lines:
        wrong.note = "\n".join([*wrong.note.splitlines(), "Your code printed:", *(f"  {line}" for line in lines)])
    return wrong
