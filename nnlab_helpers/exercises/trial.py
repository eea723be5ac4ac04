"""What a checker holds in its hands: call the learner's code, compare, and say what is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn

from nnlab_helpers.exercises.compare import close, difference, recognise
from nnlab_helpers.exercises.sandbox import Modes, Place, Printed, TimeUp, learners_line
from nnlab_helpers.exercises.wording import FEW, describe, first_line, given_in, named_arguments, number


class Wrong(Exception):
    """The answer is wrong: `headline` says what came, `note` why."""

    def __init__(self, headline: str, note: str = "") -> None:
        """Say it in a headline, and more below it."""
        super().__init__(headline)
        self.headline = headline
        self.note = note


class Trial:
    """One run of a checker over one answer, with random numbers of its own that are the same on every run."""

    def __init__(self, exercise_id: str, printed: Printed | None = None) -> None:
        """Begin a trial of the exercise; `printed` is where printing goes meanwhile."""
        self.seed = zlib.crc32(exercise_id.encode())
        self.generator = torch.Generator().manual_seed(self.seed)
        self.numpy_rng = np.random.default_rng(self.seed)
        self._out = printed or Printed()
        self._arguments: dict[str, Any] = {}

    # -- running the answer ------------------------------------------------------------------------------------

    def call(
        self, function: Any, /, *args: Any, may_change: Any = (), watch: Any = (), **kwargs: Any
    ) -> Any:
        """Return `function(*args, **kwargs)`, a learner's function, class or module.

        An error in it becomes "wrong", at the learner's own line. So does a changed input: tensors, arrays, lists,
        dicts, sets in the arguments, unless `may_change` is True or holds them. Modules may change, unless they stand
        in `watch` (their parameters, buffers and mode must then stay). Global modes are restored after the call.

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
        before = {name: _snapshot(value) for name, value in guarded.items()}
        watched = [(module, _snapshot_module(module)) for module in watch]
        modes = Modes()
        try:
            result = function(*args, **kwargs)
        except (Wrong, TimeUp, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise self.failed(error) from None
        finally:
            modes.restore()
        for name, value in guarded.items():
            if _snapshot(value) != before[name]:
                raise Wrong(
                    f"your code changes its input `{name}` in place",
                    "Whoever called it still needs the old values: compute new ones and leave the input as it is.",
                )
        for module, snapshot in watched:
            if _snapshot_module(module) != snapshot:
                raise Wrong(f"your code changes {describe(module)} that it was only to look at")
        return result

    def failed(self, error: BaseException) -> Wrong:
        """Return the verdict on code that ended with `error`, at the learner's own line."""
        return self.stopped(first_line(error), learners_line(error))

    def stopped(self, headline: str, place: Place | None) -> Wrong:
        """Return the verdict on code that came to an end at `place`."""
        notes = [f"in line {place[0]} of your code: `{place[1]}`"] if place and place[1] else []
        given = given_in(self._arguments) or ", ".join(self._arguments)
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
        entry = self._entry(want, found.index) if given is None else ""
        at = self._at(entry or given)
        place = " ".join(part for part in (what, "" if entry else found.place) if part)
        headline = f"{at}{place + ': ' if place else ''}expected {found.expected}, got {found.got}"
        for message, wrong in (known or {}).items():
            values = wrong.values if isinstance(wrong, _AnyOf) else (wrong,)
            for value in values:
                value = value() if callable(value) and not isinstance(value, torch.Tensor | nn.Module) else value
                if close(got, value, rtol, atol) and not close(value, want, rtol, atol):
                    raise Wrong(headline, message)
        raise Wrong(headline, recognise(got, want, self._sizes()) or found.note)

    def fail(self, message: str, note: str = "") -> NoReturn:
        """Refuse the answer with `message`."""
        raise Wrong(message, note)

    def require(self, condition: object, message: str, note: str = "") -> None:
        """Refuse the answer with `message` unless `condition` holds."""
        if not bool(condition):
            raise Wrong(message, note)

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

    def _at(self, given: str | None = None) -> str:
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

    def _sizes(self) -> set[int]:
        sizes: set[int] = set()
        for value in self._arguments.values():
            if isinstance(value, torch.Tensor | np.ndarray):
                sizes.update(value.shape)
                sizes.add(int(np.prod(value.shape, dtype=int)))
            elif isinstance(value, list | tuple):
                sizes.add(len(value))
        return sizes


class _AnyOf:
    def __init__(self, values: Iterable[Any]) -> None:
        self.values = tuple(values)


def any_of(*values: Any | Callable[[], Any]) -> _AnyOf:
    """Several wrong values that come from the same misconception, for `known=`."""
    return _AnyOf(values)


def _flat(shape: tuple[int | Sequence[int], ...]) -> list[int]:
    return [size for part in shape for size in ([part] if isinstance(part, int) else part)]


def _among(value: Any, allowed: Iterable[Any]) -> bool:
    return any(value is one for one in allowed)


def _snapshot(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """Something that compares equal as long as `value` has not been changed in place."""
    if id(value) in seen:
        return "itself"
    seen = (*seen, id(value))
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_meta:
            return tuple(value.shape)
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return tuple(value.shape), value.dtype, value.requires_grad, content
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, value.tolist() if value.dtype.hasobject else value.tobytes()
    if isinstance(value, list | tuple):
        return [_snapshot(part, seen) for part in value]
    if isinstance(value, dict):
        return [(_snapshot(key), _snapshot(part, seen)) for key, part in value.items()]
    if isinstance(value, set):
        return set(value)
    return id(value)


def _snapshot_module(module: Any) -> Any:
    if isinstance(module, nn.Module):
        return module.training, [(name, _snapshot(value)) for name, value in module.state_dict().items()]
    return _snapshot(module)
