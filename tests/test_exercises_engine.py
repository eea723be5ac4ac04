"""Declaring, finding and checking exercises: every kind of answer gets the reply it should, and none raises."""

from __future__ import annotations

import functools
import sys
import time

import numpy as np
import pytest
import torch
from torch import nn

import nnlab_helpers.exercises as package
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.exercises.checking import Trial, any_of, declare, exercise
from nnlab_helpers.exercises.checking.declare import find
from nnlab_helpers.exercises.checking.grade import grade
from nnlab_helpers.exercises.checking.trial import Wrong
from nnlab_helpers.exercises.checking.wording import describe

ID = "day90.leaky_relu_grad"
DECLARED = {"title": "t", "stars": 1, "hints": ("first", "second"), "learned": "Well done."}


@pytest.fixture(autouse=True)
def own_exercises(monkeypatch, tmp_path):
    """A registry of this test's own, and a record of its own."""
    monkeypatch.setattr(declare, "REGISTRY", dict(declare.REGISTRY))
    monkeypatch.setattr(package, "_hints_given", {})
    monkeypatch.setenv("NNLAB_PROGRESS", str(tmp_path / "progress.json"))

    @exercise(ID, **DECLARED)
    def _(answer, t: Trial) -> None:
        for z in (torch.tensor([-2.0]), torch.tensor([3.0]), t.randn(4, 3)):
            half = functools.partial(torch.div, z, 2)
            known = {"That is the derivative of plain ReLU.": (z > 0).float(), "Halved.": any_of(half, z / 4)}
            t.expect(t.call(answer, z), torch.where(z > 0, 1.0, 0.01), known=known)


def right(z):
    return torch.where(z > 0, 1.0, 0.01)


def declared(checker, id="day90.other"):
    exercise(id, **DECLARED)(checker)
    return id


# -- the three replies -----------------------------------------------------------------------------------------


def stub(z):
    """Doc."""
    ...


def test_not_attempted(capsys) -> None:
    assert check(ID, stub) is None
    expected = f'○ {ID}   not attempted yet   hint("{ID}") gives the first of 2 hints\n'
    assert capsys.readouterr().out == expected


def test_right(capsys) -> None:
    assert check(ID, right) is None
    assert capsys.readouterr().out == f"✓ {ID}   right. Well done.\n"


def test_wrong(capsys) -> None:
    assert check(ID, lambda z: (z > 0).float()) is None
    indent = " " * len(f"✗ {ID}   ")
    assert capsys.readouterr().out == (
        f"✗ {ID}   at z = [-2.0] expected [0.01], got [0.0]\n{indent}That is the derivative of plain ReLU.\n"
    )


def test_given_code_with_a_waiting_line_counts_as_not_attempted_until_it_is_right() -> None:
    def half(z):
        positive = z > 0
        ...
        return positive

    def leftover(z):
        ...  # forgotten, and harmless
        return torch.where(z > 0, 1.0, 0.01)

    outcome = grade(ID, half)
    assert outcome.status == "not attempted"
    assert "`...`" in outcome.notes[0]
    assert grade(ID, leftover).passed


# -- abuse -----------------------------------------------------------------------------------------------------


def raises(z):
    values = [1, 2]
    return values[int(z.numel()) + 5]


def exits(z):
    sys.exit("bye")


def recursive(z):
    return recursive(z)


def in_place(z):
    return z.clamp_(0.01, 1)


def resized(z):
    z.unsqueeze_(0)
    return right(z[0])


def prints(z):
    for number in range(100_000):
        print("line", number)
    return z


class BadError(Exception):
    def __str__(self):
        raise ValueError("even this")


def raises_bad_error(z):
    raise BadError


def base_exception(z):
    raise BaseException("base")


def deletes(z):
    del z


def rebinds(z):
    torch.set_grad_enabled(False)
    torch.manual_seed(0)
    np.random.seed(0)
    return z


def generates(z):
    yield z


def itself(z):
    endless: list = []
    endless.append(endless)
    return endless


class Hostile:
    def __repr__(self):
        raise RuntimeError("no")

    __str__ = __repr__

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("answer", "headline", "note"),
    [
        (raises, "IndexError: list index out of range", "`return values[int(z.numel()) + 5]`"),
        (exits, "SystemExit: bye", '`sys.exit("bye")`'),
        (recursive, "RecursionError", "`return recursive(z)`"),
        (raises_bad_error, "BadError", "`raise BadError`"),
        (base_exception, "BaseException: base", "line"),
        (lambda: 1, "takes 0 positional arguments but 1 was given", ""),
        (in_place, "changes its input `z` in place", "compute new ones"),
        (resized, "changes its input `z` in place", ""),
        (prints, "expected [0.01], got [-2.0]", "Your code printed:"),
        (deletes, "expected a Tensor of shape [1], got None", "Is a `return` missing?"),
        (rebinds, "seeds the global random numbers", ""),
        (generates, "got a generator", ""),
        (itself, "got a list of 1", ""),
        (lambda z: Hostile(), "got a Hostile", ""),
        (Hostile(), "a function or class was expected, got a Hostile", "without calling it"),
        (right(torch.ones(2)), "a function or class was expected, got a Tensor of shape [2]", "without calling it"),
        (lambda z: right(z).double().numpy(), "got a NumPy array", ""),
        (lambda z: right(z) * float("nan"), "got [nan]", "NaN comes from"),
        (lambda z: -right(z), "expected [0.01], got [-0.01]", "The sign is turned round."),
        (lambda z: z / 2, "got [-1.0]", "Halved."),
        (lambda z: z / 4, "got [-0.5]", "Halved."),
        (lambda z: right(z).sum(), "expected shape [1], got shape []", ""),
        (lambda z: right(z) + 0.1 * z.relu() * (z.numel() > 1), "at z[0, 0] = 2.262 exp", "12 entries differ"),
    ],
)
def test_wrong_answers_of_all_kinds(answer, headline, note) -> None:
    outcome = grade(ID, answer)
    assert outcome.status == "wrong"
    assert headline in outcome.headline
    assert note in "\n".join(outcome.notes)
    assert len("\n".join(outcome.notes)) < 1000
    assert "\n" not in outcome.headline
    assert torch.is_grad_enabled()


class Attributes(dict):
    __getattr__ = dict.__getitem__


class Delegate:
    def __getattr__(self, name):
        return getattr(self.inner, name)


class Exits:
    def __getattr__(self, name):
        sys.exit("bye")


def test_answers_that_raise_when_asked_for_an_attribute_are_judged() -> None:
    for answer in (Attributes(a=1), Delegate(), Exits()):
        outcome = grade(ID, answer)
        assert outcome.status == "wrong"
        assert outcome.headline == f"a function or class was expected, got {describe(answer)}"


def test_a_mode_that_an_answer_enters_spoils_no_later_check() -> None:
    def enters(z):
        torch.device("meta").__enter__()
        torch.inference_mode().__enter__()
        return right(z)

    grade(ID, enters)
    assert grade(ID, right).passed
    assert torch.zeros(1).device.type == "cpu"


def test_endless_loop_is_stopped() -> None:
    def endless(z):
        print("working")
        while True:
            try:
                z = z + 1
            except BaseException:
                z = z - 1

    start = time.monotonic()
    outcome = grade(ID, endless, time_limit=0.2)
    assert time.monotonic() - start < 5
    assert outcome.headline == "stopped after 0.2 seconds: does a loop in it never end?"
    assert outcome.notes[0].startswith("in line ")
    assert "  working" in outcome.notes


def test_a_real_interrupt_is_the_learners_to_have() -> None:
    def interrupted(z):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(ID, interrupted)


def test_an_error_in_the_checker_caused_by_the_answer_is_told() -> None:
    id = declared(lambda answer, t: t.require(answer.shape == (2,), "shape"))
    outcome = grade(id, 3)
    assert outcome.status == "wrong"
    assert "AttributeError" in outcome.headline


def test_outcomes_are_the_same_on_every_run() -> None:
    first = grade(ID, lambda z: right(z) + 1e-2 * torch.rand(z.shape))
    torch.manual_seed(5)
    assert grade(ID, lambda z: right(z) + 1e-2 * torch.rand(z.shape)) == first


# -- what a checker can do -------------------------------------------------------------------------------------


def trial() -> Trial:
    return Trial("day90.x")


def refused(action) -> str:
    with pytest.raises(Wrong) as caught:
        action()
    return f"{caught.value.headline}\n{caught.value.note}"


CONTAINERS = {
    "list": ([1, [2]], lambda v: v[1].append(3)),
    "dict": ({"a": [1]}, lambda v: v["a"].clear()),
    "dict of tensors": ({"a": torch.zeros(2)}, lambda v: v["a"].add_(1)),
    "set": ({1}, lambda v: v.add(2)),
    "array": (np.zeros(2), lambda v: v.__setitem__(0, 1)),
    "array of nan": (np.full(2, np.nan), lambda v: v.__setitem__(0, 1)),
    "bfloat16": (torch.zeros(2, dtype=torch.bfloat16), lambda v: v.add_(1)),
    "bool": (torch.zeros(2, dtype=torch.bool), lambda v: v.logical_not_()),
    "transposed": (torch.zeros(2, 3).T, lambda v: v.add_(1)),
    "requires grad": (torch.zeros(2), lambda v: v.requires_grad_()),
    "tuple": ((torch.zeros(2), 1), lambda v: v[0].add_(1)),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_changed_inputs_are_noticed(name: str) -> None:
    value, change = CONTAINERS[name]
    t = trial()
    t.call(lambda v: None, value)
    assert "`v` in place" in refused(lambda: t.call(lambda v: change(v), value))
    t.call(lambda v: change(v), value, may_change=True)
    t.call(lambda v, w: change(v), value, 1, may_change=(value,))


def test_nan_in_an_input_is_no_change() -> None:
    trial().call(lambda v: None, torch.tensor([float("nan")]))


def test_watched_modules_must_stay() -> None:
    t, model = trial(), nn.BatchNorm1d(2)
    t.call(lambda m: m.eval(), model)
    t.call(lambda m: m.bias, model, watch=(model,))
    assert "only to look at" in refused(lambda: t.call(lambda m: m.train(), model, watch=(model,)))
    assert "only to look at" in refused(lambda: t.call(lambda m: m.weight.data.add_(1), model, watch=(model,)))
    assert "only to look at" in refused(lambda: t.call(lambda m: m(torch.ones(3, 2)), model.train(), watch=(model,)))


def test_modes_are_restored_after_each_call() -> None:
    t = trial()
    t.call(lambda: torch.set_grad_enabled(False))
    assert torch.is_grad_enabled()


def test_classes_and_modules_can_be_called() -> None:
    t = trial()
    layer = t.call(nn.Linear, 3, 2)
    got = t.call(layer, torch.ones(4, 3))
    assert "for input of shape [4, 3]: expected shape [5, 2]" in refused(lambda: t.expect(got, torch.ones(5, 2)))


@pytest.mark.parametrize(
    ("arguments", "given", "headline"),
    [
        ({"a": 1, "b": 2.5}, None, "at a = 1, b = 2.5 expected 2, got 1"),
        ({"a": "relu"}, None, "at a = 'relu' expected 2, got 1"),
        ({"a": [1, 2]}, None, "at a = [1, 2] expected 2, got 1"),
        ({"a": torch.tensor(2.0)}, None, "at a = 2.0 expected 2, got 1"),
        ({"a": torch.tensor([[2.0]])}, None, "at a = [[2.0]] expected 2, got 1"),
        ({"a": torch.ones(3, 4)}, None, "for a of shape [3, 4]: expected 2, got 1"),
        ({"a": nn.Linear(1, 1)}, None, "expected 2, got 1"),
        ({}, None, "expected 2, got 1"),
        ({"a": 1}, "z = -2.0", "at z = -2.0 expected 2, got 1"),
        ({"a": 1}, "a batch of 5", "for a batch of 5: expected 2, got 1"),
        ({"a": 1}, "after two steps", "after two steps: expected 2, got 1"),
    ],
)
def test_the_case_is_described(arguments, given, headline) -> None:
    t = trial()
    t.call(lambda **kwargs: 1, **arguments)
    assert refused(lambda: t.expect(1, 2, given=given)).splitlines()[0] == headline
    assert "the loss: expected 2" in refused(lambda: t.expect(1, 2, what="the loss"))


def test_known_values_do_not_shadow_a_case_in_which_they_are_right() -> None:
    assert "mistake" not in refused(lambda: trial().expect(3.0, 2.0, known={"mistake": 2.0}))
    assert "mistake" in refused(lambda: trial().expect(3.0, 2.0, known={"mistake": 3.0}))


def test_printed_text_can_be_judged() -> None:
    seen: list[str] = []

    def checker(answer, t: Trial) -> None:
        t.call(answer)
        seen.append(t.printed)

    def answer():
        print("weight 10")

    assert grade(declared(checker), answer).passed
    assert seen == ["weight 10\n"]


def test_random_numbers_are_the_trials_own() -> None:
    one, other = trial(), trial()
    state = torch.get_rng_state()
    assert torch.equal(one.randn(3, 4), other.randn((3, 4)))
    assert torch.equal(one.rand(2, low=5.0, high=6.0), other.rand([2], low=5.0, high=6.0))
    assert 5 <= one.rand(1, low=5.0, high=6.0).item() < 6
    assert one.randint(0, 9, 4).dtype == torch.int64
    assert one.randint(0, 9).shape == ()
    assert one.numpy_rng.random() == other.numpy_rng.random()
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(Trial("day90.y").randn(3), Trial("day90.z").randn(3))


def test_fail_and_require() -> None:
    t = trial()
    t.require(torch.tensor(True), "fine")
    assert refused(lambda: t.require(0, "no", "why")) == "no\nwhy"
    assert refused(lambda: t.fail("no")) == "no\n"


# -- finding and declaring -------------------------------------------------------------------------------------


def test_unknown_ids_suggest_close_ones() -> None:
    with pytest.raises(ValueError, match=r"no exercise 'day90.leaky_relu_gard'; did you mean 'day90.leaky_relu_grad'"):
        check("day90.leaky_relu_gard", right)
    with pytest.raises(ValueError, match=r"no exercise 'zzz'$"):
        find("zzz")
    with pytest.raises(ValueError, match=r"did you mean 'day90.leaky_relu_grad'"):
        hint("day90.zzzzz")
    with pytest.raises(TypeError, match="named by a string"):
        check(right, ID)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("id", "change"),
    [
        ("leaky", {}),
        ("day9.x", {}),
        ("day90.9x", {}),
        ("day90.x", {"hints": ("one",)}),
        ("day90.x", {"hints": "one"}),
        ("day90.x", {"hints": ("1", "2", "3", "4", "5")}),
        ("day90.x", {"stars": 4}),
    ],
)
def test_declarations_are_checked(id, change) -> None:
    with pytest.raises(ValueError, match="day"):
        exercise(id, **{**DECLARED, **change})


def test_hints_are_a_ladder(capsys) -> None:
    for _ in range(3):
        hint(ID)
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        f"→ {ID}   hint 1 of 2", "first",
        f"→ {ID}   hint 2 of 2", "second",
        f"→ {ID}   hint 2 of 2 once more: it was the last", "second",
    ]  # fmt: skip


def test_days_are_imported_when_needed() -> None:
    """`import nnlab_helpers.exercises` loads no day's checkers."""
    import subprocess

    code = (
        "import sys, nnlab_helpers.exercises;"
        "print(sum('exercises.days' in m for m in sys.modules), 'IPython' in sys.modules, 'torchvision' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False", "False"]
