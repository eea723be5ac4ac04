'''How an exercise is declared, found and checked.

For authors: an exercise in five steps
--------------------------------------
1. **The lesson** asks and gives a stub. What is still to be written is a bare `...`:

       def leaky_relu_grad(z, slope=0.01):
           """Derivative of LeakyReLU at `z`, the same shape as `z`."""
           ...  # your code here

       check("day03.leaky_relu_grad", leaky_relu_grad)

   The answer may be a function, a class, a module or a value (`prediction = ...`).

2. **Not attempted** is one rule, the same for all kinds of stubs: *a `...` still waits*, as a statement or as the whole
   right side of `name = ...` or `return ...`. A stub that is nothing else (docstring, `...`, `pass`, `return None`,
   `raise NotImplementedError`, `super().__init__()`; a value that is None, `...` or a collection of them) is never run.
   One with given code around the `...` is run; if it does not pass, it counts as not attempted and the learner is told
   that a `...` still stands in it. So for "find the bug in this loop" put the line

       ...  # take this line away when the loop is mended

   into the given function. A leftover `...` never refuses a right answer.

3. **The checker** stands in `nnlab_helpers/exercises/dayNN.py`. It is given the answer and a `Trial` and returns
   nothing: whatever it does not refuse is right.

       @exercise("day03.leaky_relu_grad", title="The slope of LeakyReLU", stars=1,
                 hints=("a nudge", "stronger", "almost the answer"),  # 2 to 4
                 learned="At z = 0 the derivative is not defined; like PyTorch you took the left one.")
       def leaky_relu_grad(answer: Any, t: Trial) -> None:
           for z in (torch.tensor([-2.0]), torch.tensor([3.0]), t.randn(4, 3)):
               got = t.call(answer, z)
               t.expect(got, torch.where(z > 0, 1.0, 0.01), known={
                   "That is the derivative of plain ReLU: what does LeakyReLU do left of zero?": (z > 0).float()})

   - The smallest fixed case comes first (it is the one a learner sees), then fresh random ones of odd, different
     sizes (3 by 5, not 4 by 4), so that a swapped axis cannot hide. Random numbers come from `t.rand`, `t.randn`,
     `t.randint`, `t.numpy_rng`. Global generators are seeded too, and everything global is put back after the check.
   - Run learner's code through `t.call`, always: a function, a class (`net = t.call(Net)`), a module
     (`t.call(net, x)`). It turns errors into a verdict, notices changed inputs, and remembers its arguments: they
     become "at z = [-2.0]". `may_change=(w,)` or `may_change=True` where changing in place is the task;
     `watch=(model,)` where a module must stay as it is. What it printed is in `t.printed`.
   - `t.expect(got, want)` compares type, shape, kind of dtype and values. `known={message: wrong value}` names
     misconceptions, `any_of(v1, v2)` several values for one message; a value may be a `lambda:`. A turned sign, a
     transposed result, a factor that is the batch size and a constant offset are recognised without it.
     `what="the gradient of w"` says which of several results. `t.fail(message)`, `t.require(condition, message)`.
   - Everything a checker hands over lies on the CPU, so that a check is the same everywhere: let tasks speak of the
     inputs ("on the device of `x`"), not of the lesson's `device`. A check runs in one thread.
   - A check takes well under a second. A learner's code that takes longer than `TIME_LIMIT` seconds is stopped.
   - Messages speak to the learner, in full sentences, and do not give the solution away. `code` goes in backticks.

4. **The answers** that the tests use stand in `tests/exercises/dayNN.py` (see `tests/exercises/answers.py`): at least
   one other right answer and three wrong ones, each with a fragment of the message it must get. The reference is what
   the solution in `notebooks/solutions/py/` hands to its `check`.

5. **Try it**: `pytest tests/exercises -k leaky_relu_grad`. The mutation test changes the reference in small ways; a
   change that still passes shows a gap in the checker, or goes into `tests/exercises/survivors.py` with the reason why
   it is right.
'''

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nnlab_helpers.exercises.sandbox import Printed, captured, limited, undisturbed
from nnlab_helpers.exercises.stubs import marked, untouched
from nnlab_helpers.exercises.trial import Trial, Wrong, any_of
from nnlab_helpers.exercises.wording import first_printed

__all__ = ["TIME_LIMIT", "Exercise", "Outcome", "Trial", "any_of", "exercise", "exercises", "find", "grade"]

TIME_LIMIT = 4.0  # seconds

Checker = Callable[[Any, Trial], None]


@dataclass(frozen=True)
class Exercise:
    """An exercise: its id (`dayNN.name`), what it is called, how hard it is (1 to 3 stars), and how it is checked."""

    id: str
    title: str
    stars: int
    hints: tuple[str, ...]
    learned: str
    checker: Checker


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


REGISTRY: dict[str, Exercise] = {}


def exercise(id: str, *, title: str, stars: int, hints: Sequence[str], learned: str) -> Callable[[Checker], Checker]:
    """Declare the function below it as the checker of the exercise `id`.

    Raises:
        ValueError: an id that is not like `day03.leaky_relu_grad` or is taken, stars not 1 to 3, hints not 2 to 4.
    """
    if not re.fullmatch(r"day\d\d\.[A-Za-z]\w*", id):
        raise ValueError(f"an exercise id looks like day03.leaky_relu_grad, not {id!r}")
    if isinstance(hints, str) or not 2 <= len(hints) <= 4:
        raise ValueError(f"{id}: two to four hints are needed")
    if stars not in (1, 2, 3):
        raise ValueError(f"{id}: one to three stars, not {stars!r}")

    def register(checker: Checker) -> Checker:
        taken = REGISTRY.get(id)
        if taken is not None and taken.checker.__module__ != checker.__module__:
            raise ValueError(f"two exercises are called {id!r}")
        REGISTRY[id] = Exercise(id, title, stars, tuple(hints), learned, checker)
        return checker

    return register


def days() -> list[str]:
    """Return the days that have exercises, in order: `["day01", ...]`. Imports none of them."""
    package = importlib.import_module("nnlab_helpers.exercises")
    return sorted(name for _, name, _ in pkgutil.iter_modules(package.__path__) if re.fullmatch(r"day\d\d", name))


def exercises(day: str | None = None) -> list[Exercise]:
    """Return the exercises of one day, or of all, in the order in which they were declared."""
    wanted = [day] if day else days()
    for name in wanted:
        if name in days():
            importlib.import_module(f"nnlab_helpers.exercises.{name}")
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


def grade(id: str, answer: Any, *, time_limit: float | None = None) -> Outcome:
    """Check `answer` without showing or recording anything. Raises only what `find` does."""
    found = find(id)
    time_limit = TIME_LIMIT if time_limit is None else time_limit
    waiting = f'hint("{id}") gives the first of {len(found.hints)} hints'
    if untouched(answer):
        return Outcome(found, "not attempted", f"not attempted yet   {waiting}")
    wrong = _trial(found, answer, time_limit)
    if wrong is None:
        return Outcome(found, "right", f"right. {found.learned}")
    if marked(answer):
        note = "A line with `...` still waits in it. Put your code in its place, or take it away when you are done."
        return Outcome(found, "not attempted", f"not attempted yet   {waiting}", (note,))
    return Outcome(found, "wrong", wrong.headline, tuple(wrong.note.splitlines()))


def _trial(found: Exercise, answer: Any, time_limit: float) -> Wrong | None:
    printed = Printed()
    trial = Trial(found.id, printed)
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
