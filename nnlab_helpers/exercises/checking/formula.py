"""Exercises that are declared by a reference, cases and mistakes: the answer must give what the reference gives."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from nnlab_helpers.exercises.checking.cases import VARIANTS, Case, as_case, fresh, in_form
from nnlab_helpers.exercises.checking.compare import difference
from nnlab_helpers.exercises.checking.mistakes import Parts, explained
from nnlab_helpers.exercises.checking.slopes import slopes
from nnlab_helpers.exercises.checking.trial import Trial, Wrong, sizes_in
from nnlab_helpers.exercises.checking.wording import describe, first_line, named_arguments, show

Ask = Callable[..., Any]
Cases = Callable[[Trial], Sequence[Any]]

COUNTS = {2: "two", 3: "three", 4: "four", 5: "five"}
CUT_OFF = (
    "The value is right, but no gradient flows back through it: was something detached, or computed under `no_grad`, "
    "in NumPy or with plain numbers?"
)
OTHER_GRADIENT = "The value is right, but not the gradient that flows back through it: is a part of it detached?"
KEPT = "Something is kept from one call to the next, in a global, in a default argument or in the function."


@dataclass(frozen=True)
class Formula:
    """What an answer is held against.

    Attributes:
        right: the reference, a function of the arguments of a case.
        cases: makes the cases: the only argument, a tuple of arguments, or `case(...)`. Smallest first, as the learner
            sees the first that fails, then random ones of odd, different sizes.
        returns: what is returned, in words ("the loss"); several of them for a tuple.
        mistakes: message -> the function that makes this mistake, or `any_of(...)` several. A message is shown only
            if its function gives what the answer gives in every case.
        refuses: cases in which the reference raises; the answer must raise the same type.
        ask: `ask(call, answer, *arguments)` where an answer is not asked by a plain call: it makes a layer and calls
            it, runs a loop. What it returns is compared. Call all that is the learner's through `call`.
        changes: names of the arguments that the answer is to change; what becomes of them is compared.
        may_change: names of arguments that may change in any way.
        fresh: the result must not share memory with the input.
        number: one number is returned, as a float or a tensor; then no gradient is asked for.
        gradient: where the reference passes gradients back to its inputs and to weights, the answer must too.
        variants: forms of input (see `cases`) which the answer has to bear as the reference does.
        rtol: relative tolerance.
        atol: absolute tolerance.
    """

    right: Callable[..., Any]
    cases: Cases
    returns: str | Sequence[str] = ""
    mistakes: Mapping[str, Any] | None = None  # functions, or `any_of` several
    refuses: Cases | None = None
    ask: Ask | None = None
    changes: Sequence[str] = ()
    may_change: Sequence[str] = ()
    fresh: bool = False
    number: bool = False
    gradient: bool = True
    variants: Sequence[str] = field(default=VARIANTS)
    rtol: float = 1e-4
    atol: float = 1e-5

    @property
    def asks_function(self) -> bool:
        """Whether a class is no answer."""
        return self.ask is None and not isinstance(self.right, type)

    def check(self, answer: Any, t: Trial) -> None:
        """Refuse `answer` unless it does what the reference does.

        Raises:
            Wrong: it does not.
        """
        if isinstance(answer, type) and self.asks_function:
            t.fail(f"a function was expected, got {describe(answer)}")
        run = _Run(self, answer, t)
        run.compare(run.values)
        if self.fresh:
            run.own_memory()
        run.refusals()
        run.once_more()
        run.other_forms()
        if self.gradient and not self.number:
            run.compare(run.slopes)


class _Run:
    """One answer, on all cases."""

    def __init__(self, formula: Formula, answer: Any, t: Trial) -> None:
        self.formula, self.answer, self.t = formula, answer, t
        self.right = partial(formula.right)  # another object than the answer, whatever that is
        self.cases = [as_case(one) for one in formula.cases(t)]

    # -- asking ------------------------------------------------------------------------------------------------

    def values(self, function: Any, index: int) -> Parts:
        """What `function` returns on a case, and what it made of the arguments that it is to change."""
        return self.parts(function, fresh(self.cases[index]))

    def slopes(self, function: Any, index: int) -> Parts:
        """The gradients that flow back through what `function` returns, to inputs and weights."""
        free = (*self.formula.changes, *self.formula.may_change)
        return slopes(partial(self.parts, function), fresh(self.cases[index]), self.named, free)

    def named(self, one: Case) -> dict[str, Any]:
        """The arguments of a case under the names that the reference, or `ask`, has for them."""
        function = partial(self.formula.ask, None, None) if self.formula.ask else self.formula.right
        return named_arguments(function, one.args, dict(one.kwargs))

    def parts(self, function: Any, one: Case) -> Parts:
        """Ask `function` and take apart what it returns; `one` may be changed."""
        formula, learners = self.formula, function is self.answer
        named = self.named(one)
        if self.t.draws:  # the same lots for everybody
            torch.default_generator.manual_seed(self.t.seed)
            np.random.seed(self.t.seed)
            random.seed(self.t.seed)
        if formula.ask:
            result = formula.ask(self.t.call if learners else _plain, function, *one.args, **one.kwargs)
        elif learners:
            free = [named[name] for name in (*formula.changes, *formula.may_change)]
            kept = [v for v in named.values() if isinstance(v, nn.Module) and not any(v is f for f in free)]
            result = self.t.call(function, *one.args, may_change=tuple(free), watch=kept, **one.kwargs)
        else:
            result = function(*one.args, **one.kwargs)
        return self.split(result, one) + [(f"`{name}` afterwards", _state(named[name])) for name in formula.changes]

    def split(self, result: Any, one: Case) -> Parts:
        """The parts of a result, each with its name."""
        names = self.formula.returns
        if isinstance(names, str):
            return [(names, result)]
        if not isinstance(result, tuple | list) or len(result) != len(names):
            count = COUNTS.get(len(names), str(len(names)))
            came = f"{len(result)} of them" if isinstance(result, tuple | list) else describe(result)
            self.t.fail(
                f"{self.t.at(one.given)}{count} things are to be returned, ({', '.join(names)}); got {came}",
                "Is a `return` missing?" if result is None else "",
            )
        return list(zip(names, result, strict=True))

    # -- judging -----------------------------------------------------------------------------------------------

    def compare(self, view: Callable[[Any, int], Parts]) -> None:
        """Hold the answer against the reference, in every case."""
        slopes = view == self.slopes
        for index, one in enumerate(self.cases):
            want = view(self.right, index)
            if slopes and not want:
                continue
            when = "with inputs that require a gradient, " if slopes else ""
            got = self.asked(partial(view, self.answer, index), when)
            if slopes and not got:
                self.t.fail(f"{self.t.at(one.given)}the result does not depend on the input for autograd", CUT_OFF)
            for part, (name, value) in enumerate(want):
                self.judge(got[part][1], value, name, one, view, index, part)

    def judge(
        self, got: Any, want: Any, name: str, one: Case, view: Any = None, index: int = 0, part: int = 0,
        given: str | None = None,
    ) -> None:  # fmt: skip
        """Refuse `got` unless it is `want`; known mistakes are looked for in all cases of `view`."""
        formula, t = self.formula, self.t
        if formula.number and isinstance(want, torch.Tensor | np.ndarray) and want.ndim == 0:
            want = want.item()
        found = difference(got, want, formula.rtol, formula.atol)
        if found is None:
            return
        headline = t.headline(found, want, given=given or one.given, what=name)
        note = one.note or found.note
        if view is not None:
            sizes = [sizes_in(self.named(other)) for other in self.cases]
            note = explained(view, formula, self.right, self.answer, sizes, index, part) or note
            if view == self.slopes and not (note and note != found.note):
                note = OTHER_GRADIENT
        raise Wrong(headline, note)

    def asked(self, ask: Callable[[], Parts], when: str) -> Parts:
        """The answer's parts; what goes wrong is told with `when` before it."""
        try:
            return ask()
        except Wrong as error:
            raise Wrong(when + error.headline, error.note) from None

    def own_memory(self) -> None:
        """The result must not share memory with the input."""
        for one in map(fresh, self.cases):
            for name, value in self.parts(self.answer, one):
                self.t.expect_own_memory(value, [*self.named(one).values()], name or "the result")

    def refusals(self) -> None:
        """The answer must raise where the reference does."""
        for one in map(as_case, self.formula.refuses(self.t) if self.formula.refuses else ()):
            expected = _refusal(partial(self.parts, self.right, fresh(one)))
            assert expected is not None, "the reference does not raise where it is said to"
            copied, got = fresh(one), None
            if self.formula.ask:
                ask = partial(self.formula.ask, self._raising, self.answer)
                error = _refusal(partial(ask, *copied.args, **copied.kwargs))
            else:
                error, got = self.t.error_of(self.answer, *copied.args, **copied.kwargs)
            if isinstance(error, type(expected)):
                continue
            came = first_line(error) if error else "nothing was raised" if got is None else f"got {show(got)}"
            kind = type(expected).__name__
            article = "an" if kind[0] in "AEIO" else "a"
            self.t.fail(f"{self.t.at(one.given)}{article} {kind} was expected, {came}", one.note)

    def _raising(self, function: Any, /, *args: Any, may_change: Any = (), watch: Any = (), **kwargs: Any) -> Any:
        error, result = self.t.error_of(function, *args, **kwargs)
        if error:
            raise error
        return result

    def once_more(self) -> None:
        """The first case again must give the same as before."""
        if len(self.cases) > 1:
            want = self.values(self.right, 0)
            for (_, got), (name, value) in zip(self.values(self.answer, 0), want, strict=True):
                one = Case(note=KEPT)
                self.judge(got, value, name, one, given="after other calls, with the first input again")

    def other_forms(self) -> None:
        """The answer must bear float64 and the like, where the reference does."""
        for variant in self.formula.variants:
            fitting = [one for one in self.cases if in_form(one, variant)]
            for one in fitting if len(fitting) < 4 else [*fitting[:2], fitting[-1]]:  # a slow answer has its limit
                try:
                    want = self.parts(self.right, in_form(one, variant) or one)
                except Exception:
                    continue  # neither does the reference bear it: the tests ask for a reason
                got = self.asked(partial(self.parts, self.answer, in_form(one, variant) or one), f"{variant} ")
                for (_, came), (name, value) in zip(got, want, strict=True):
                    self.judge(came, value, name, one, given=variant)


def _plain(function: Any, /, *args: Any, may_change: Any = (), watch: Any = (), **kwargs: Any) -> Any:
    """As `Trial.call`, for the reference and for mistakes."""
    return function(*args, **kwargs)


def _refusal(run: Callable[[], Any]) -> Exception | None:
    try:
        run()
    except Exception as error:
        return error
    return None


def _state(value: Any) -> Any:
    """What became of an argument, as it is now."""
    if isinstance(value, nn.Module):
        return {name: part.detach().clone() for name, part in value.state_dict().items()}
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value
