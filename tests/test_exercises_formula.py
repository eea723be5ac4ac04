"""Exercises declared by reference, cases and mistakes: what the engine refuses by itself, and what it names."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nnlab_helpers.exercises.checking import (
    VARIANTS,
    ZERO_DIM,
    Formula,
    any_of,
    case,
    declare,
    example_models,
    exercise,
)
from nnlab_helpers.exercises.checking.cases import NOT_CONTIGUOUS
from nnlab_helpers.exercises.checking.grade import grade
from nnlab_helpers.exercises.checking.guards import shared
from nnlab_helpers.exercises.checking.trial import Trial

DECLARED: dict[str, Any] = {"title": "t", "stars": 1, "hints": ("first", "second"), "learned": "Well done."}


@pytest.fixture(autouse=True)
def own_exercises(monkeypatch):
    monkeypatch.setattr(declare, "REGISTRY", dict(declare.REGISTRY))


def declared(right, cases, **options) -> str:
    exercise("day90.x", right=right, cases=cases, **{**DECLARED, **options})
    return "day90.x"


def told(answer, right=None, cases=None, **options) -> str:
    """All that the learner reads: "right", or headline and notes."""
    outcome = grade(declared(right or mean, cases or means, **options), answer)
    return "right" if outcome.passed else "\n".join((outcome.headline, *outcome.notes))


def mean(x: torch.Tensor, weight: float = 1.0) -> torch.Tensor:
    return weight * x.mean(1)


def means(t: Trial) -> list[Any]:
    return [torch.tensor([[2.0, 4.0]]), case(t.randn(3, 5), weight=2.0), (t.randn(2, 7), 0.5)]


MISTAKES = {
    "Summed.": lambda x, weight=1.0: weight * x.sum(1),
    "Twice.": lambda x, weight=1.0: 2 * weight * x.mean(1),
    "No weight.": any_of(lambda x, weight=1.0: x.mean(1), lambda x, weight=1.0: x.mean(1) / weight),
}


# -- naming mistakes -------------------------------------------------------------------------------------------


def test_a_mistake_is_named_by_its_function() -> None:
    assert told(lambda x, weight=1.0: weight * x.mean(1)) == "right"
    assert told(lambda x, weight=1.0: x.sum(1) * weight, mistakes=MISTAKES) == (
        "at x = [[2.0, 4.0]] expected [3.0], got [6.0]\nSummed."
    )
    assert "No weight." in told(lambda x, weight=1.0: x.mean(1), mistakes=MISTAKES)


def test_a_mistake_is_named_only_if_it_is_true_in_every_case() -> None:
    """In the first case, two entries, the sum and twice the mean are the same."""
    assert told(lambda x, weight=1.0: 2 * weight * x.mean(1), mistakes=MISTAKES).endswith("\nTwice.")
    other = told(lambda x, weight=1.0: weight * x.sum(1) if len(x) < 3 else weight * x.mean(1) + 1, mistakes=MISTAKES)
    assert "Summed" not in other
    assert "Twice" not in other


def test_a_general_note_is_given_only_if_it_is_true_in_every_case() -> None:
    assert "The sign is turned round." in told(lambda x, weight=1.0: -weight * x.mean(1))
    assert "sign" not in told(lambda x, weight=1.0: -weight * x.mean(1) if len(x) == 1 else 0 * x.mean(1))
    assert "summed where a mean was asked" in told(lambda x, weight=1.0: weight * x.sum(1))


def test_cases_in_which_the_answer_breaks_do_not_hide_a_mistake() -> None:
    def breaks(x, weight=1.0):
        return weight * x.sum(1) / (0.0 if len(x) == 3 else 1.0)

    def raises(x, weight=1.0):
        if len(x) == 3:
            raise ZeroDivisionError
        return weight * x.sum(1)

    assert told(breaks, mistakes=MISTAKES).endswith("\nSummed.")
    assert told(raises, mistakes=MISTAKES).endswith("\nSummed.")


def test_mistakes_are_not_asked_about_right_answers() -> None:
    def never(x, weight=1.0):
        raise AssertionError("asked")

    assert told(mean, mistakes={"Never.": never}) == "right"
    assert "Never" not in told(lambda x, weight=1.0: x, mistakes={"Never.": never})


PAIR: dict[str, Any] = {
    "right": lambda x: (x + 1, x - 1),
    "cases": lambda t: [torch.tensor([1.0]), t.randn(3)],
    "returns": ("the sum", "the difference"),
}


def test_parts_have_names_and_one_mistake_each() -> None:
    mistakes = {
        "First.": lambda x: (x, x - 1),
        "Second.": lambda x: (x + 1, x),
        "Exchanged.": lambda x: (x - 1, x + 1),
    }
    assert told(lambda x: [x + 1, x - 1], **PAIR) == "right"
    assert told(lambda x: (x + 1, x), mistakes=mistakes, **PAIR) == (
        "at x = [1.0] the difference: expected [0.0], got [1.0]\nSecond."
    )
    assert "First." in told(lambda x: (x, 5 * x), mistakes=mistakes, **PAIR)
    assert "Exchanged." in told(lambda x: (x - 1, x + 1), mistakes=mistakes, **PAIR)


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (lambda x: x, "got a Tensor of shape [1]"),
        (lambda x: (x,), "got 1 of them"),
        (lambda x: print(x), "got None\nIs a `return` missing?"),
    ],
)
def test_the_number_of_results_is_checked(answer, came: str) -> None:
    text = told(answer, **PAIR)
    assert text.startswith("at x = [1.0] two things are to be returned, (the sum, the difference); ")
    assert came in text


# -- what is refused without a word in the declaration ---------------------------------------------------------


def test_a_gradient_that_does_not_flow_back_is_refused() -> None:
    assert "no gradient flows back" in told(lambda x, weight=1.0: weight * x.detach().mean(1))
    assert "no gradient flows back" in told(lambda x, weight=1.0: torch.tensor((weight * x.mean(1)).tolist()))
    assert told(lambda x, weight=1.0: weight * x.detach().mean(1), gradient=False) == "right"


def test_a_gradient_that_is_wrong_is_refused_and_may_be_named() -> None:
    def standardized(x, cut=False):
        m = x.mean(1, keepdim=True)
        return x - (m.detach() if cut else m)

    options: dict[str, Any] = {"right": standardized, "cases": lambda t: [t.randn(3, 5)]}
    answer = functools.partial(standardized, cut=True)
    text = told(lambda x: answer(x), **options)
    assert "the gradient that flows back to `x`" in text
    assert "The value is right" in text
    named = told(lambda x: answer(x), mistakes={"The mean is cut off.": answer}, **options)
    assert named.endswith("\nThe mean is cut off.")


def test_gradients_of_a_models_weights_count() -> None:
    def loss(model, x):
        return model(x).square().mean()

    def detached(model, x):
        with torch.no_grad():
            return model(x).square().mean()

    options: dict[str, Any] = {"right": loss, "cases": lambda t: [(nn.Linear(3, 2), t.randn(4, 3))], "draws": True}
    assert told(lambda model, x: model(x).pow(2).mean(), **options) == "right"
    assert "no gradient flows back" in told(detached, **options)

    def body_alone(model, x):
        return nn.functional.linear(x, model.weight.detach(), model.bias).square().mean()

    assert "`weight` of `model`" in told(body_alone, **options)


def test_other_forms_of_input_are_tried() -> None:
    def by_view(x, weight=1.0):
        return weight * x.view(-1).view(x.shape).mean(1)

    def only_float32(x, weight=1.0):
        return weight * (x @ torch.full((x.shape[1],), 1 / x.shape[1]))

    assert "as after a transpose" in told(by_view)
    assert "with float64 input" in told(only_float32)
    assert told(by_view, variants=()) == "right"
    assert told(only_float32, variants=(NOT_CONTIGUOUS,)) == "right"
    square: dict[str, Any] = {"right": lambda x: x * x, "cases": lambda t: [t.randn(3)]}
    assert "no dimensions" in told(lambda x: x * x[:1].expand(len(x)) * 0 + x * x, variants=(ZERO_DIM,), **square)


def test_what_is_kept_between_calls_is_refused() -> None:
    seen: list[Any] = []

    def remembers(x, weight=1.0):
        seen.append(x)
        return mean(x, weight) + (len(seen) > 3)

    assert "Something is kept from one call to the next" in told(remembers)


def test_models_must_come_back_as_they_were() -> None:
    def sizes(model):
        return sum(p.numel() for p in model.parameters())

    options: dict[str, Any] = {
        "right": sizes, "cases": lambda t: [case(one.model, given=f"for {one.name}") for one in example_models()]
    }  # fmt: skip
    changes = {
        "mode": lambda model: list(model.modules())[-1].train(not list(model.modules())[-1].training),
        "weights": lambda model: [p.data.add_(1) for p in model.parameters()],
        "requires_grad": lambda model: [p.requires_grad_(False) for p in model.parameters()],
        "gradients": lambda model: [setattr(p, "grad", torch.zeros_like(p)) for p in model.parameters()],
        "running statistics": lambda model: [b.add_(1) for b in model.buffers()],
        "hooks": lambda model: model.register_forward_hook(lambda *args: None),
        "layers": lambda model: model.add_module("extra", nn.ReLU()),
    }
    assert told(sizes, **options) == "right"
    for what, change in changes.items():

        def answer(model, change=change):
            change(model)
            return sizes(model)

        text = told(answer, **options)
        assert "only to look at" in text
        assert what in text
        assert told(lambda model, answer=answer: answer(model), may_change=("model",), **options) == "right"


def test_what_becomes_of_an_argument_may_be_asked() -> None:
    def step(w, g):
        w -= 0.1 * g

    options: dict[str, Any] = {
        "right": step, "cases": lambda t: [(torch.tensor([1.0]), torch.tensor([2.0])), (t.randn(3), t.randn(3))],
        "changes": ("w",), "mistakes": {"Uphill.": lambda w, g: w.add_(0.1 * g) and None},
    }  # fmt: skip
    assert told(step, **options) == "right"
    assert "`w` afterwards: expected [0.8], got [1.0]" in told(lambda w, g: print(g), **options)
    assert "changes its input `g`" in told(lambda w, g: g.mul_(0.1) and None, **options)


def test_copies_may_be_asked() -> None:
    options: dict[str, Any] = {"right": lambda x: x.clone(), "cases": lambda t: [t.randn(3)], "gradient": False}
    assert told(lambda x: x, **options) == "right"
    assert "shares its memory" in told(lambda x: x[:], fresh=True, **options)
    assert "shares its memory" in told(lambda x: [torch.from_numpy(x.numpy())][0], fresh=True, **options)
    assert told(lambda x: x + 0, fresh=True, **options) == "right"


def test_memory_is_told_apart() -> None:
    layer, array = nn.Linear(2, 2), np.zeros((4, 2))
    assert shared([layer.bias.detach()], layer)
    assert shared({"a": (array[1:],)}, [array])
    assert shared(torch.from_numpy(array), array)
    assert not shared(array[:2], array[2:])
    assert not shared(layer.bias.detach().clone(), layer)


def test_refusals_are_asked() -> None:
    def root(x):
        if x < 0:
            raise ValueError("negative")
        return x**0.5

    options: dict[str, Any] = {
        "right": root, "cases": lambda t: [4.0, 9.0],
        "refuses": lambda t: [case(-1.0, note="No number has this square.")],
    }  # fmt: skip
    assert told(root, **options) == "right"
    assert told(lambda x: abs(x) ** 0.5, **options) == (
        "at x = -1.0 a ValueError was expected, got 1.0\nNo number has this square."
    )
    assert "a ValueError was expected, nothing was raised" in told(lambda x: root(x) if x > 0 else None, **options)
    assert "a ValueError was expected, KeyError: 1" in told(lambda x: root(x) if x > 0 else {}[1], **options)


def test_one_number_in_any_form() -> None:
    options: dict[str, Any] = {"right": lambda x: x.sum(), "cases": lambda t: [t.randn(3)], "number": True}
    for form in (float, lambda v: v, lambda v: v[None], lambda v: v.numpy(), lambda v: np.float64(v), lambda v: [v][0]):
        assert told(lambda x, form=form: form(x.sum()), **options) == "right"
    assert "One number was expected, and what came has shape [3]." in told(lambda x: x, **options)


def test_a_class_where_a_function_is_asked() -> None:
    class Empty:
        pass

    for answer in (Empty, nn.ReLU, nn.Module, int):
        assert told(answer).startswith("a function was expected, got the class")


def test_classes_are_asked_by_ask() -> None:
    class Counter:
        def __init__(self, step=1):
            self.step, self.n = step, 0

        def up(self):
            self.n += self.step
            return self.n

    class Shared(Counter):
        seen: list[int] = []  # noqa: RUF012

        def up(self):
            self.seen.append(1)
            return len(self.seen)

    def ask(call, answer, many):
        counter = call(answer)
        return [call(counter.up) for _ in range(many)]

    options: dict[str, Any] = {
        "right": Counter, "cases": lambda t: [1, 3], "ask": ask,
        "mistakes": {"By two.": functools.partial(Counter, 2)},
    }  # fmt: skip
    assert told(type("Inherits", (Counter,), {}), **options) == "right"
    assert told(type("Other", (Counter,), {"__init__": lambda self: Counter.__init__(self, 2)}), **options).endswith(
        "\nBy two."
    )
    assert told(Shared, **options) != "right"


# -- declaring -------------------------------------------------------------------------------------------------


def test_declarations_are_complete() -> None:
    with pytest.raises(ValueError, match="`right` needs `cases`"):
        exercise("day90.y", right=mean, **DECLARED)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="without `right` there are no mistakes"):
        exercise("day90.y", mistakes={}, **DECLARED)  # type: ignore[call-overload]


def test_a_checker_may_use_a_formula() -> None:
    @exercise("day90.z", **DECLARED)
    def _(answer, t: Trial) -> None:
        Formula(mean, means, mistakes=MISTAKES).check(answer, t)

    assert grade("day90.z", mean).passed
    assert "Summed." in grade("day90.z", lambda x, weight=1.0: weight * x.sum(1)).notes


def test_arguments_of_a_call_that_went_well_are_not_shown_for_a_later_error() -> None:
    @exercise("day90.z", **DECLARED)
    def _(answer, t: Trial) -> None:
        t.call(answer, 12340 + 5)
        answer(0)

    assert f"n = {12340 + 5}" not in "\n".join(grade("day90.z", lambda n: 1 / n).notes)

    @exercise("day90.z", **DECLARED)
    def _(answer, t: Trial) -> None:
        t.call(answer, 12345)

    assert "called with n = 12345" in grade("day90.z", lambda n: 1 / (n - n)).notes
    assert VARIANTS
