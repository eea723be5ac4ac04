"""Hold what a learner's code returned against what was expected, and say where and how they differ."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nnlab_helpers.exercises.checking.wording import FEW, describe, number, show


@dataclass(frozen=True)
class Difference:
    """The first place where two values differ, in words."""

    expected: str
    got: str
    place: str = ""  # "entry [2, 1]", "[0]", "['loss']"
    note: str = ""  # a sentence about it
    index: tuple[int, ...] | None = None  # of an entry in an array


def close(got: Any, want: Any, rtol: float = 1e-4, atol: float = 1e-5) -> bool:
    """Return whether `got` passes for `want`."""
    return difference(got, want, rtol, atol) is None


def difference(got: Any, want: Any, rtol: float = 1e-4, atol: float = 1e-5) -> Difference | None:
    """Return the first difference between `got` and `want`, or None.

    A tensor must be met by a tensor and an array by an array, of the same shape and kind of dtype (any float, any
    integer, bool); a number by any number, a NumPy scalar or a tensor of one entry; a tuple or list by either of
    them; NaN by NaN. Integers, bools and strings must match exactly.
    """
    if got is Ellipsis:
        return Difference(_brief(want), "...", note="Here `...` still waits for your answer.")
    if isinstance(want, torch.Tensor | np.ndarray):
        return _arrays(got, want, rtol, atol)
    if isinstance(want, bool | np.bool_):
        same = _scalar(got)
        if not isinstance(same, bool | np.bool_):
            return Difference("True or False", show(got), note=_missing(got))
        return None if same == want else Difference(str(bool(want)), str(bool(same)))
    if isinstance(want, int | float | complex | np.number):
        return _numbers(got, want, rtol, atol)
    if isinstance(want, tuple | list):
        return _sequences(got, want, rtol, atol)
    if isinstance(want, dict):
        return _dicts(got, want, rtol, atol)
    same = type(got) is type(want) and bool(got == want) if isinstance(want, str | set) else got is want or got == want
    return None if same is True else Difference(show(want), show(got), note=_missing(got))


def _brief(want: Any) -> str:
    text = show(want)
    return text if len(text) <= 60 else describe(want)


def _told(got: Any) -> str:
    """What came, where its type is wrong: a short list is written out."""
    flat = isinstance(got, list | tuple) and all(isinstance(part, str | int | float) for part in got)
    short = flat and len(got) <= FEW and len(show(got)) <= 60
    return f"the {type(got).__name__} {show(got)}" if short else describe(got)


def _missing(got: Any) -> str:
    return "Is a `return` missing?" if got is None else ""


def _scalar(value: Any) -> Any:
    """The Python number in a number-like value, else the value itself."""
    if isinstance(value, torch.Tensor | np.ndarray | np.generic) and value.ndim == 0:
        return value.item()
    return value


def _numbers(got: Any, want: Any, rtol: float, atol: float) -> Difference | None:
    plain = _scalar(got)
    if isinstance(plain, torch.Tensor | np.ndarray) and plain.reshape(-1).shape[0] == 1:
        plain = plain.reshape(-1)[0].item()  # one number, if in brackets
    if isinstance(plain, bool) or not isinstance(plain, int | float | complex):
        note = _missing(got)
        if isinstance(got, torch.Tensor | np.ndarray):
            note = f"One number was expected, and what came has shape {list(got.shape)}."
        return Difference(number(want), show(got), note=note)
    exact = isinstance(want, int | np.integer)
    if exact and isinstance(plain, float) and plain == want:
        note = "The number is right, but it is a float: a whole number is asked for."
        return Difference(number(want), number(plain), note=note)
    if plain == want if exact else np.isclose(plain, want, rtol=rtol, atol=atol, equal_nan=True):
        return None
    return Difference(*_apart(want, plain))


def _apart(want: Any, got: Any) -> tuple[str, str]:
    """Both numbers, with as many digits as it takes to tell them apart."""
    for digits in (4, 6, 9):
        texts = number(want, digits), number(got, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _sequences(got: Any, want: Any, rtol: float, atol: float) -> Difference | None:
    if not isinstance(got, tuple | list):
        return Difference(_brief(want), show(got), note=_missing(got))
    if len(got) != len(want):
        return Difference(f"{len(want)} values", f"{len(got)}: {show(got)}" if len(got) <= FEW else str(len(got)))
    for position, (one, other) in enumerate(zip(got, want, strict=True)):
        found = difference(one, other, rtol, atol)
        if found:
            flat = all(isinstance(_scalar(part), int | float | complex | str) for part in want)
            if not found.place and flat and len(show(want)) <= 60 and len(show(got)) <= 60:
                return Difference(show(want), show(got), note=found.note)
            return _inside(found, f"[{position}]")
    return None


def _inside(found: Difference, place: str) -> Difference:
    place = f"{place} {found.place}".strip()
    return Difference(found.expected, found.got, place, found.note, found.index)


def _dicts(got: Any, want: dict[Any, Any], rtol: float, atol: float) -> Difference | None:
    if not isinstance(got, dict):
        return Difference(f"a dict with the keys {_keys(want)}", show(got), note=_missing(got))
    missing, extra = [k for k in want if k not in got], [k for k in got if k not in want]
    if missing or extra:
        note = f"Missing: {_keys(missing)}. " if missing else ""
        note += f"Not asked for: {_keys(extra)}." if extra else ""
        return Difference(f"the keys {_keys(want)}", _keys(got) or "none", note=note.strip())
    for key, other in want.items():
        found = difference(got[key], other, rtol, atol)
        if found:
            return _inside(found, f"[{key!r}]")
    return None


def _keys(keys: Iterable[Any]) -> str:
    names = [repr(key) for key in keys]
    return ", ".join(names[:FEW]) + (", …" if len(names) > FEW else "")


KINDS = {"b": "bool", "i": "integer", "u": "integer", "f": "float", "c": "complex"}


def _arrays(got: Any, want: Any, rtol: float, atol: float) -> Difference | None:
    if isinstance(want, torch.Tensor) != isinstance(got, torch.Tensor) or (
        isinstance(want, np.ndarray) and not isinstance(got, np.ndarray | np.generic)
    ):
        return Difference(describe(want), _told(got), note=_missing(got))
    one, other = array(got), array(want)
    if one.shape != other.shape:
        note = ""
        if one.size == other.size and np.allclose(one.ravel(), other.ravel(), rtol, atol, equal_nan=True):
            note = "The numbers are right, in another shape."
        elif one.T.shape == other.shape and np.allclose(one.T, other, rtol, atol, equal_nan=True):
            note = "The numbers are right, but transposed: rows and columns have changed places."
        return Difference(f"shape {list(other.shape)}", f"shape {list(one.shape)}", note=note)
    kinds = KINDS.get(one.dtype.kind, str(one.dtype)), KINDS.get(other.dtype.kind, str(other.dtype))
    if kinds[0] != kinds[1]:
        return Difference(f"{kinds[1]} values ({_dtype(want)})", f"{kinds[0]} ({_dtype(got)})")
    exact = other.dtype.kind in "biu"
    same = one == other if exact else np.isclose(one, other, rtol=rtol, atol=atol, equal_nan=True)
    if same.all():
        return None
    index = tuple(int(i) for i in np.argwhere(~same)[0])
    note = ""
    wrong = int((~same).sum())
    if not exact and np.isnan(one).any() and not np.isnan(other).any():
        index = tuple(int(i) for i in np.argwhere(np.isnan(one))[0])
        note = "NaN comes from 0/0, inf - inf, 0 times inf, log or square root of a negative number."
    elif not exact and one.dtype.itemsize < other.dtype.itemsize and np.allclose(one, other, 1e-2, 1e-2):
        note = f"{_dtype(got)} holds too few digits for this: is float32 lost on the way?"
    elif other.size > FEW:
        note = f"{wrong} of {other.size} entries differ."
    if other.size <= FEW and other.ndim <= 1:
        for digits in (4, 6, 9):
            texts = show(other, digits), show(one, digits)
            if texts[0] != texts[1]:
                break
        return Difference(*texts, note=note, index=index)
    texts = _apart(other[index].item(), one[index].item())
    return Difference(*texts, place=f"entry {list(index)}", note=note, index=index)


def array(value: Any) -> np.ndarray:
    """Return a tensor or array as a NumPy array, bfloat16 and sparse ones too."""
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    value = value.detach().cpu().resolve_conj().resolve_neg()
    if value.layout != torch.strided:
        value = value.to_dense()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _dtype(value: Any) -> str:
    return str(value.dtype).removeprefix("torch.")


def recognise(got: Any, want: Any, sizes: Collection[int], rtol: float = 1e-3) -> str:
    """Return a sentence on how `got` differs from `want` as a whole, or "": flipped sign, transposed, n times, shifted.

    `sizes` are the numbers that a factor is explained by: the sizes of the dimensions that went in.
    """
    return recognised(got, want, sizes, rtol)[1]


def recognised(got: Any, want: Any, sizes: Collection[int], rtol: float = 1e-3) -> tuple[str, str]:
    """Return the kind of difference, which is the same in every case of one mistake, and the sentence about it."""
    nothing = "", ""
    try:
        one, other = array(_tensorless(got)).astype(float), array(_tensorless(want)).astype(float)
    except (TypeError, ValueError):
        return nothing
    if one.shape != other.shape or not other.size or not np.isfinite(one).all() or not np.isfinite(other).all():
        return nothing
    scale = float(np.abs(other).max())
    if scale == 0:
        return nothing

    def alike(a: np.ndarray, b: Any) -> bool:
        return bool(np.allclose(a, b, rtol=rtol, atol=rtol * scale * 1e-2))

    whole = isinstance(want, int) or (hasattr(want, "dtype") and other.size and array(want).dtype.kind in "biu")
    if not whole and alike(one, -other):
        return "sign", "The sign is turned round."
    if one.ndim == 2 and one.shape[0] == one.shape[1] > 1 and alike(one, other.T):
        return "transposed", "The numbers are right, but transposed: rows and columns have changed places."
    for size in () if whole else sorted({2, *(n for n in sizes if n > 1)}):
        known = size in sizes
        if alike(one, other * size):
            why = f"{size} times too large, and {size} is a size of the input: summed where a mean was asked?"
            return "large" if known else "twice", f"That is {why if known else 'twice what was expected.'}"
        if alike(one * size, other):
            why = f"{size} times too small, and {size} is a size of the input: averaged where a sum was asked?"
            return "small" if known else "half", f"That is {why if known else 'half of what was expected.'}"
    if other.size > 1 and not whole:
        ratio = float(one.ravel()[np.abs(other).argmax()] / other.ravel()[np.abs(other).argmax()])
        if abs(ratio) > 1e-6 and number(ratio) != "1.0" and alike(one, other * ratio):
            return "factor", f"Every entry is {number(ratio)} times what was expected."
        if np.ptp(other) > 0 and alike(one - other, (one - other).ravel()[0]):
            shift = number(float((one - other).ravel()[0]))
            return "shift", f"Every entry is off by the same amount: {shift}."
    if whole and other.size == 1 and abs(float(one.item() - other.item())) == 1:
        many = one.item() > other.item()
        return "many" if many else "few", f"One too {'many' if many else 'few'}."
    return nothing


def _tensorless(value: Any) -> Any:
    if isinstance(value, torch.Tensor | np.ndarray | np.generic | int | float) and not isinstance(value, bool):
        return value
    raise TypeError("only numbers and arrays of them can be recognised")
