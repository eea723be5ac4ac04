"""Name what is wrong with an answer: only a mistake that explains it in every case."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from nnlab_helpers.exercises.checking.compare import array, close, recognised
from nnlab_helpers.exercises.checking.trial import AnyOf, Wrong

Parts = list[tuple[str, Any]]  # what came, each part with its name
View = Callable[[Any, int], Parts]  # a function and the index of a case -> the parts


class Declared(Protocol):
    """What of a declaration is needed here."""

    @property
    def mistakes(self) -> Mapping[str, Any] | None:
        """Message -> function."""

    @property
    def rtol(self) -> float:
        """Relative tolerance."""

    @property
    def atol(self) -> float:
        """Absolute tolerance."""


def functions(mistake: Any) -> tuple[Callable[..., Any], ...]:
    """The functions of one mistake."""
    return mistake.values if isinstance(mistake, AnyOf) else (mistake,)


def explained(
    view: View,
    declared: Declared,
    right: Any,
    answer: Any,
    sizes: Sequence[Collection[int]],
    index: int,
    part: int,
) -> str:
    """Return what is wrong with an answer that differs from the reference in `part` of the case `index`, or "".

    The first mistake that gives what the answer gives in every case, in all parts or else in this one; then the first
    that does so but for cases in which the answer gives NaN, where something else is wrong too (not if that is what is
    wrong here); then how the numbers differ as a whole. Cases in which the answer fails are left out. `sizes` are those
    of each case's input.
    """
    seen: dict[tuple[int, int], Parts | None] = {}

    def parts(function: Any, at: int) -> Parts | None:
        key = id(function), at
        if key not in seen:
            try:
                seen[key] = view(function, at)
            except (Wrong, Exception):
                seen[key] = None
        return seen[key]

    order = [index, *(other for other in range(len(sizes)) if other != index)]

    def fits(mistake: Any, whole: bool, strict: bool) -> bool:
        for at in order:
            got, want = parts(answer, at), parts(right, at)
            if not got or not want:
                continue
            wrong = parts(mistake, at)
            if not wrong or len(wrong) != len(want):
                return False
            for k in range(len(want)) if whole else [part]:
                same = close(got[k][1], wrong[k][1], declared.rtol, declared.atol)
                if not same and (strict or at == index or not _breaks(got[k][1], want[k][1])):
                    return False
            if at == index and close(wrong[part][1], want[part][1], declared.rtol, declared.atol):
                return False
        return True

    came, wanted = parts(answer, index), parts(right, index)
    breaks = not came or not wanted or _breaks(came[part][1], wanted[part][1])
    for strict, whole in itertools.product((True,) if breaks else (True, False), (True, False)):
        for message, mistake in (declared.mistakes or {}).items():
            if any(fits(function, whole, strict) for function in functions(mistake)):
                return message

    def kinds() -> Iterator[tuple[str, str]]:
        for at in order:
            got, want = parts(answer, at), parts(right, at)
            if got and want and not close(got[part][1], want[part][1], declared.rtol, declared.atol):
                yield recognised(got[part][1], want[part][1], _sizes(want) | set(sizes[at]))

    found = list(kinds())
    return found[0][1] if found and len({kind for kind, _ in found}) == 1 else ""


def _sizes(parts: Parts) -> set[int]:
    return {size for _, value in parts if isinstance(value, torch.Tensor | np.ndarray) for size in value.shape}


def _breaks(got: Any, want: Any) -> bool:
    """Whether NaN or infinity came where numbers were asked."""
    try:
        return bool(np.isfinite(array(want)).all() and not np.isfinite(array(got)).all())
    except (TypeError, ValueError):
        return False
