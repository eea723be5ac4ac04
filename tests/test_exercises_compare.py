"""What passes for an expected value, and how a difference is put into words."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nnlab_helpers.exercises.checking.compare import close, difference, recognise

T = torch.tensor
NAN = float("nan")


@pytest.mark.parametrize(
    ("got", "want"),
    [
        (0, 0.0),
        (T(2.0), 2.0),
        (np.float32(2.0), 2.0),
        (np.array(2), 2),
        (np.int64(12), 12),
        (T(12), 12),
        (T([1.0]), 1.0),
        (np.ones((1, 1)), 1.0),
        (1e-9, 0.0),
        (NAN, NAN),
        (np.True_, True),
        (T([1.0, NAN]), T([1.0, NAN])),
        (T([1.0], dtype=torch.float64), T([1.0])),
        (T([1], dtype=torch.int32), T([1])),
        (T([1.0], requires_grad=True), T([1.0])),
        (T([1.0], dtype=torch.bfloat16), T([1.0])),
        (T([[0.0, 2.0]]).to_sparse(), T([[0.0, 2.0]])),
        (torch.nn.Parameter(T([1.0])), T([1.0])),
        (torch.empty(0, 3), torch.empty(0, 3)),
        (np.float64(1.0), np.array(1.0)),
        ([1, 2], (1, 2)),
        (torch.Size([3, 4]), (3, 4)),
        ([T(1.0), 2], [1.0, 2.0]),
        ({"b": 1, "a": T([2])}, {"a": T([2]), "b": 1}),
        ("relu", "relu"),
        (None, None),
        ({1, 2}, {2, 1}),
    ],
)
def test_passes(got, want) -> None:
    assert difference(got, want) is None


@pytest.mark.parametrize(
    ("got", "want", "expected", "received", "note"),
    [
        (0.0, 0.01, "0.01", "0.0", ""),
        (0.1000009, 0.1, None, None, None),
        (1.00021, 1.0, "1.0", "1.00021", ""),
        (13, 12, "12", "13", ""),
        (12.4, 12, "12", "12.4", ""),
        (1, True, "True or False", "1", ""),
        (True, 1, "1", "True", ""),
        (None, 1.0, "1.0", "None", "`return` missing"),
        ("1.0", 1.0, "1.0", "'1.0'", ""),
        (..., 1.0, "1.0", "...", "still waits"),
        (T([1.0, 2.0]), 1.0, "1.0", "[1.0, 2.0]", "shape [2]"),
        (T([[2.0]]), T([[1.0]]), "1.0", "2.0", ""),
        (T(2.0), T(1.0), "1.0", "2.0", ""),
        (np.ones(2), torch.ones(2), "a Tensor of shape [2]", "a NumPy array of shape [2]", ""),
        ([1.0, 1.0], torch.ones(2), "a Tensor of shape [2]", "the list [1.0, 1.0]", ""),
        (12.0, 12, "12", "12.0", "a whole number is asked for"),
        (T([1 / 3]).half(), T([1 / 3]), "[0.333333]", "[0.333252]", "float16 holds too few digits"),
        (1.0, T(1.0), "a Tensor of shape []", "the number 1.0", ""),
        (None, torch.ones(2), "a Tensor of shape [2]", "None", "`return` missing"),
        (torch.ones, torch.ones(2), "a Tensor of shape [2]", "the function ones", ""),
        (T([1, 2]), T([1.0, 2.0]), "float values (float32)", "integer (int64)", ""),
        (T([1.0, 2.0]), T([1, 2]), "integer values (int64)", "float (float32)", ""),
        (torch.ones(3, 1), torch.ones(3), "shape [3]", "shape [3, 1]", "in another shape"),
        (T([[1.0, 2.0, 3.0]]).T, T([[1.0, 2.0, 3.0]]), "shape [1, 3]", "shape [3, 1]", "in another shape"),
        (torch.arange(6.0).view(2, 3).T, torch.arange(6.0).view(2, 3), "shape [2, 3]", "shape [3, 2]", "transposed"),
        (T([1.0, NAN, 2.0]), T([1.0, 1.0, 3.0]), "[1.0, 1.0, 3.0]", "[1.0, nan, 2.0]", "NaN comes from"),
        (T([1.0, float("inf")]), T([1.0, 1.0]), "[1.0, 1.0]", "[1.0, inf]", ""),
        ([1, 2, 3], [1, 2], "2 values", "3: [1, 2, 3]", ""),
        (5, [1, 2], "[1, 2]", "5", ""),
        ([(1, 2), "error"], [(1, 3), "error"], "(1, 3)", "(1, 2)", ""),
        ({"a": 1}, {"a": 1, "b": 2}, "the keys 'a', 'b'", "'a'", "Missing: 'b'."),
        ({"a": 1, "c": 3}, {"a": 1}, "the keys 'a'", "'a', 'c'", "Not asked for: 'c'."),
        ("Relu", "relu", "'relu'", "'Relu'", ""),
        (object(), None, "None", "an object", ""),
    ],
)
def test_differs(got, want, expected, received, note) -> None:
    found = difference(got, want)
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert (found.expected, found.got) == (expected, received)
    assert note in found.note
    assert bool(note) == bool(found.note)


def test_names_the_first_wrong_entry_of_many() -> None:
    want = torch.zeros(3, 5)
    got = want.clone()
    got[1, 4] = got[2, 0] = 0.5
    found = difference(got, want)
    assert found is not None
    assert (found.place, found.expected, found.got, found.index) == ("entry [1, 4]", "0.0", "0.5", (1, 4))
    assert found.note == "2 of 15 entries differ."


def test_names_the_place_in_nested_answers() -> None:
    found = difference({"loss": [1.0, T([1.0, 2.0])]}, {"loss": [1.0, T([1.0, 3.0])]})
    assert found is not None
    assert found.place == "['loss'] [1]"


def test_survives_a_list_that_contains_itself() -> None:
    endless: list = [1]
    endless.append(endless)
    assert not close(endless, [1, [1, [1, 2]]])
    assert not close(endless, torch.ones(2))


def test_survives_a_hostile_object() -> None:
    class Hostile:
        def __eq__(self, other):
            return torch.ones(2)

        __hash__ = None  # type: ignore[assignment]

    assert not close(Hostile(), None)


WANT = T([[0.3, -1.2, 0.7], [2.0, 0.1, -0.4], [0.5, 0.6, 0.9]])


@pytest.mark.parametrize(
    ("got", "want", "sentence"),
    [
        (-WANT, WANT, "The sign is turned round."),
        (WANT.T, WANT, "transposed"),
        (8 * WANT, WANT, "8 times too large, and 8 is a size of the input: summed where a mean was asked?"),
        (WANT / 8, WANT, "8 times too small, and 8 is a size of the input"),
        (2 * WANT, WANT, "That is twice what was expected."),
        (8 * T(0.3), T(0.3), "8 times too large"),
        (2.4, 0.3, "8 times too large"),
        (1.7 * WANT, WANT, "Every entry is 1.7 times"),
        (WANT + 0.5, WANT, "off by the same amount: 0.5."),
        (13, 12, "One too many."),
        (11, 12, "One too few."),
        (0.7, 0.3, ""),
        (WANT * WANT, WANT, ""),
        (WANT * NAN, WANT, ""),
        (WANT, torch.zeros(3, 3), ""),
        ("a", "b", ""),
        (torch.ones(2), torch.ones(3), ""),
        (True, 1, ""),
    ],
)
def test_recognises_how_a_result_is_wrong(got, want, sentence) -> None:
    found = recognise(got, want, {8, 5})
    assert sentence in found
    assert bool(sentence) == bool(found)
