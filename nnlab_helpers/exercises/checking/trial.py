"""What a checker holds in its hands: call the learner's code, compare, and say what is wrong."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from nnlab_helpers.exercises.checking.compare import Difference, close, difference, recognise
from nnlab_helpers.exercises.checking.guards import random_state, shared, snapshot, snapshot_module
from nnlab_helpers.exercises.checking.isolation import Modes, Printed
from nnlab_helpers.exercises.checking.learner_code import Place, learners_line
from nnlab_helpers.exercises.checking.timeout import TimeUp
from nnlab_helpers.exercises.checking.tracing import Calls, forbidden, traced
from nnlab_helpers.exercises.checking.wording import FEW, describe, first_line, given_in, named_arguments, number


class Wrong(Exception):
    """The answer is wrong: `headline` says what came, `note` why."""

    def __init__(self, headline: str, note: str = "") -> None:
        """Say it in a headline, and more below it."""
        super().__init__(headline)
        self.headline = headline
        self.note = note


class Trial:
    """One run of a checker over one answer, with random numbers of its own that are the same on every run."""

    def __init__(
        self,
        exercise_id: str,
        printed: Printed | None = None,
        *,
        draws: bool = True,
        forbids: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Begin a trial; printing goes to `printed` meanwhile. For `draws` and `forbids` see `declare.exercise`."""
        self.seed = zlib.crc32(exercise_id.encode())
        self.generator = torch.Generator().manual_seed(self.seed)
        self.numpy_rng = np.random.default_rng(self.seed)
        self.draws = draws
        self.forbids = forbids or {}
        self._out = printed or Printed()
        self._arguments: dict[str, Any] = {}
        self._inside = False  # the learner's code is running, or has failed
        self._tracing = bool(self.forbids)
        self._calls = Calls()

    # -- running the answer ------------------------------------------------------------------------------------

    def call(
        self, function: Any, /, *args: Any, may_change: Any = (), watch: Any = (), **kwargs: Any
    ) -> Any:
        """Return `function(*args, **kwargs)`, a learner's function, class or module.

        An error in it becomes "wrong", at the learner's own line. So does a changed input: tensors, arrays, lists,
        dicts, sets in the arguments, unless `may_change` is True or holds them. Modules may change, unless they stand
        in `watch` (weights, buffers, gradients, hooks and the modes of all layers must then stay). So do draws from the
        global random numbers, unless `draws` allows them or a class is called; seeding is never allowed. Global modes
        are restored after the call.

        Raises:
            Wrong: in all these cases.
        """
        if not callable(function):
            raise Wrong(
                f"a function or class was expected, got {describe(function)}",
                "Hand over the function itself, by its name and without calling it.",
            )
        self._arguments = named_arguments(function, args, kwargs)
        self._out.text = ""
        allowed = may_change if isinstance(may_change, tuple | list) else (may_change,)
        guarded = {} if may_change is True else {k: v for k, v in self._arguments.items() if not _among(v, allowed)}
        before = {name: snapshot(value) for name, value in guarded.items()}
        watched = [(module, snapshot_module(module)) for module in watch]
        lots = random_state(seeds_only=self.draws or isinstance(function, type))
        modes = Modes()
        self._inside = True
        try:
            with traced() if self._tracing else nullcontext(Calls()) as self._calls:
                result = function(*args, **kwargs)
        except (Wrong, TimeUp, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise self.failed(error) from None
        finally:
            modes.restore()
        self._inside = False
        message = forbidden(self._calls, self.forbids)
        if message:
            raise Wrong("your code uses what the task rules out", message)
        for name, value in guarded.items():
            if snapshot(value) != before[name]:
                raise Wrong(
                    f"your code changes its input `{name}` in place",
                    "Whoever called it still needs the old values: compute new ones and leave the input as it is.",
                )
        for module, kept in watched:
            now = snapshot_module(module)
            moved = [what for what in kept if kept[what] != now[what]]
            if moved:
                raise Wrong(f"your code changes {describe(module)} that it was only to look at", _changed(moved))
        self._judge_random_numbers(lots)
        return result

    def _judge_random_numbers(self, before: tuple[Any, ...]) -> None:
        now = random_state(seeds_only=len(before) == 1)
        if now == before:
            return
        later = "Every later draw in the notebook would come out differently."
        if now[0] != before[0]:
            raise Wrong("your code seeds the global random numbers anew", later)
        given = [name for name, value in self._arguments.items() if isinstance(value, torch.Generator)]
        if given:
            later = f"`{given[0]}` was handed over: draw from `{given[0]}`, not from the global random numbers."
        raise Wrong("your code draws from the global random numbers", later)

    def error_of(self, function: Any, /, *args: Any, **kwargs: Any) -> tuple[Exception | None, Any]:
        """Return the exception that the call raises and None, or None and what it returns; guarded as `call` is."""

        def caught(*args: Any, **kwargs: Any) -> tuple[Exception | None, Any]:
            try:
                return None, function(*args, **kwargs)
            except Exception as error:
                return error, None

        caught.__signature__ = _signature(function)  # type: ignore[attr-defined]
        return self.call(caught if callable(function) else function, *args, **kwargs)

    def count_calls(self, function: Any, /, *args: Any, **kwargs: Any) -> int:
        """Return how many tensor operations and library functions a call makes: constant, unless it loops."""
        self._tracing = True
        self.call(function, *args, **kwargs)
        self._tracing = bool(self.forbids)
        return self._calls.count

    def failed(self, error: BaseException) -> Wrong:
        """Return the verdict on code that ended with `error`, at the learner's own line."""
        return self.stopped(first_line(error), learners_line(error))

    def stopped(self, headline: str, place: Place | None) -> Wrong:
        """Return the verdict on code that came to an end at `place`."""
        notes = [f"in line {place[0]} of your code: `{place[1]}`"] if place and place[1] else []
        arguments = self._arguments if self._inside else {}  # else those of a call that went well
        given = given_in(arguments) or ", ".join(arguments)
        return Wrong(headline, "\n".join([*notes, f"called with {given}"] if given else notes))

    @property
    def printed(self) -> str:
        """What the learner's code printed during the last call (the first 4,000 characters)."""
        return self._out.text

    # -- judging what came -------------------------------------------------------------------------------------

    def expect(
        self,
        got: Any,
        want: Any,
        *,
        given: str | None = None,
        what: str = "",
        known: Mapping[str, Any] | None = None,
        rtol: float = 1e-4,
        atol: float = 1e-5,
    ) -> None:
        """Compare `got` with `want`; see `compare.difference` for what passes.

        Args:
            got: what the learner's code returned.
            want: the right value. It also fixes type, shape and kind of dtype.
            given: the case, as in "z = -2.0". Left out, it is taken from the arguments of the last call.
            what: what is compared, when a function returns several things: "the gradient of w".
            known: message -> the value that a known misconception gives. The first that fits is shown. A value may be
                a function without arguments, called when needed, or a list of values under `any_of(...)`.
            rtol: relative tolerance.
            atol: absolute tolerance.

        Raises:
            Wrong: they differ.
        """
        found = difference(got, want, rtol, atol)
        if found is None:
            return
        headline = self.headline(found, want, given=given, what=what)
        for message, wrong in (known or {}).items():
            values = wrong.values if isinstance(wrong, AnyOf) else (wrong,)
            for value in values:
                value = value() if callable(value) and not isinstance(value, torch.Tensor | nn.Module) else value
                if close(got, value, rtol, atol) and not close(value, want, rtol, atol):
                    raise Wrong(headline, message)
        raise Wrong(headline, recognise(got, want, sizes_in(self._arguments)) or found.note)

    def headline(self, found: Difference, want: Any, *, given: str | None = None, what: str = "") -> str:
        """Say where and how an answer differs from `want`; the words are those of `expect`."""
        entry = self._entry(want, found.index) if given is None else ""
        place = " ".join(part for part in (what, "" if entry else found.place) if part)
        return f"{self.at(entry or given)}{place + ': ' if place else ''}expected {found.expected}, got {found.got}"

    def fail(self, message: str, note: str = "") -> NoReturn:
        """Refuse the answer with `message`."""
        raise Wrong(message, note)

    def require(self, condition: object, message: str, note: str = "") -> None:
        """Refuse the answer with `message` unless `condition` holds."""
        if not bool(condition):
            raise Wrong(message, note)

    def expect_own_memory(self, result: Any, inputs: Any, what: str = "the result") -> None:
        """Refuse a result that shares memory with `inputs`, so that changing the one would change the other."""
        if shared(result, inputs):
            raise Wrong(
                f"{what} shares its memory with what was handed over: a copy is needed",
                "Change the one, and the other changes with it. `clone()` or `copy.deepcopy` makes a copy.",
            )

    # -- random numbers of the trial's own ---------------------------------------------------------------------

    def rand(self, *shape: int | Sequence[int], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Uniform float32 tensor in [low, high) of the given shape, `rand(3, 5)` or `rand((3, 5))`."""
        return low + (high - low) * torch.rand(_flat(shape), generator=self.generator)

    def randn(self, *shape: int | Sequence[int]) -> torch.Tensor:
        """Standard normal float32 tensor of the given shape."""
        return torch.randn(_flat(shape), generator=self.generator)

    def randint(self, low: int, high: int, *shape: int | Sequence[int]) -> torch.Tensor:
        """Whole numbers (int64) in [low, high) of the given shape, a tensor of no dimensions without one."""
        return torch.randint(low, high, _flat(shape), generator=self.generator)

    # -- wording -----------------------------------------------------------------------------------------------

    def at(self, given: str | None = None) -> str:
        """Introduce a case: "at z = -2.0 ", "for x of shape [3, 5]: "; without `given`, the last call's arguments."""
        given = given_in(self._arguments) if given is None else given.rstrip(": ")
        if not given or given.startswith(("at ", "for ", "with ", "in ", "after ")):
            return f"{given}: " if given else ""
        return f"at {given} " if " = " in given and " of shape " not in given else f"for {given}: "

    def _entry(self, want: Any, index: tuple[int, ...] | None) -> str:
        """The entry of a large input that stands where the result is wrong, as in "z[2, 0] = -1.5"."""
        for name, value in self._arguments.items() if index and np.prod(np.shape(want), dtype=int) > FEW else ():
            if isinstance(value, torch.Tensor | np.ndarray) and tuple(value.shape) == tuple(want.shape):
                return f"{name}{list(index or ())} = {number(value[index].item())}"
        return ""


class AnyOf:
    """Several values, or functions, of one misconception."""

    def __init__(self, values: Iterable[Any]) -> None:
        """Hold them."""
        self.values = tuple(values)


def any_of(*values: Any) -> AnyOf:
    """Several wrong values (for `known=`) or functions (for `mistakes=`) of the same misconception."""
    return AnyOf(values)


def sizes_in(arguments: Mapping[str, Any]) -> set[int]:
    """Return the sizes of what goes into a call, by which a factor may be explained."""
    sizes: set[int] = set()
    for value in arguments.values():
        if isinstance(value, torch.Tensor | np.ndarray):
            sizes.update(value.shape)
            sizes.add(int(np.prod(value.shape, dtype=int)))
        elif isinstance(value, list | tuple):
            sizes.add(len(value))
    return sizes


def _flat(shape: tuple[int | Sequence[int], ...]) -> list[int]:
    return [size for part in shape for size in ([part] if isinstance(part, int) else part)]


def _among(value: Any, allowed: Iterable[Any]) -> bool:
    return any(value is one for one in allowed)


def _changed(moved: Sequence[str]) -> str:
    return f"Its {', '.join(moved)} {'is' if len(moved) == 1 and moved[0].startswith('mode') else 'are'} not as before."


def _signature(function: Any) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except Exception:  # asked for its signature, an answer may raise anything
        return inspect.signature(lambda *args, **kwargs: None)
