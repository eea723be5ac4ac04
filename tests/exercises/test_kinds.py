"""Answers that go wrong in one way of many, made from every declared reference: each kind is refused wherever it shows.

And right answers in unusual forms, which must pass.
"""

from __future__ import annotations

import functools
import random
from typing import Any

import numpy as np
import pytest
import torch
from harness import DECLARED, text_of
from torch import nn

from nnlab_helpers.exercises.checking.cases import VARIANTS, as_case, fresh, in_form
from nnlab_helpers.exercises.checking.declare import find
from nnlab_helpers.exercises.checking.formula import Formula
from nnlab_helpers.exercises.checking.grade import grade
from nnlab_helpers.exercises.checking.isolation import undisturbed
from nnlab_helpers.exercises.checking.trial import Trial

# Arguments that need not matter in any case, by name or position, and why.
IGNORED: dict[tuple[str, str], str] = {}


def formula_of(exercise_id: str) -> Formula:
    formula = find(exercise_id).formula
    assert formula is not None
    return formula


def cases_of(exercise_id: str, seed: str = "") -> list[Any]:
    with undisturbed(len(seed)):
        return [as_case(one) for one in formula_of(exercise_id).cases(Trial(exercise_id + seed))]


def plain(exercise_id: str) -> bool:
    """Asked by a plain call of a function."""
    return formula_of(exercise_id).ask is None


PLAIN = [id for id in DECLARED if plain(id)]
every_plain = pytest.mark.parametrize("exercise_id", PLAIN)
every_function = pytest.mark.parametrize(
    "exercise_id", [id for id in DECLARED if not isinstance(formula_of(id).right, type)]
)


def refused(exercise_id: str, answer: Any, *fragments: str) -> None:
    outcome = grade(exercise_id, answer)
    assert outcome.status == "wrong", text_of(outcome)
    assert not fragments or any(fragment in text_of(outcome) for fragment in fragments), text_of(outcome)


def tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [one for part in parts for one in tensors(part)]


def mapped(function: Any, value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, list | tuple):
        return type(value)(mapped(function, part) for part in value)
    return value


def content(value: Any) -> Any:
    """Something that compares equal for equal numbers."""
    if isinstance(value, nn.Module):
        value = dict(value.state_dict())
    if isinstance(value, dict):
        return [(key, content(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [content(part) for part in value]
    if isinstance(value, torch.Tensor | np.ndarray):
        return value.tolist()
    return value if isinstance(value, int | float | str) else type(value)


@pytest.mark.parametrize("exercise_id", DECLARED)
def test_two_cases_are_random(exercise_id: str) -> None:
    """What is learned by heart, or right for the fixed cases by accident, must not pass."""
    one, other = cases_of(exercise_id), cases_of(exercise_id, "other")
    assert len(one) == len(other)
    random_ones = [a for a, b in zip(one, other, strict=True) if content(a.args) != content(b.args)]
    assert len(random_ones) >= 2, "at least two random cases are needed"


@every_function
def test_a_callable_object_and_a_wrapped_function_pass(exercise_id: str) -> None:
    right = formula_of(exercise_id).right

    class Answer:
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return right(*args, **kwargs)

    @functools.wraps(right)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return right(*args, **kwargs)

    for answer in (Answer(), wrapped, functools.partial(right)):
        outcome = grade(exercise_id, answer)
        assert outcome.passed, text_of(outcome)


@every_plain
def test_what_changes_its_input_is_refused(exercise_id: str) -> None:
    formula = formula_of(exercise_id)
    free = {*formula.changes, *formula.may_change}
    found = [one for one in cases_of(exercise_id) if any(part.numel() for part in tensors(one.args))]
    if free or not found:
        return

    def answer(*args: Any, **kwargs: Any) -> Any:
        result = formula.right(*args, **kwargs)
        with torch.no_grad():
            for part in tensors(args):
                part.copy_(torch.zeros_like(part) if part.any() else torch.ones_like(part))
        return result

    refused(exercise_id, answer, "in place", "autograd", "expected")


@every_function
def test_what_seeds_or_draws_is_refused(exercise_id: str) -> None:
    formula = formula_of(exercise_id)

    def seeds(*args: Any, **kwargs: Any) -> Any:
        torch.manual_seed(0)
        return formula.right(*args, **kwargs)

    def draws(*args: Any, **kwargs: Any) -> Any:
        random.random()
        np.random.rand()
        return formula.right(*args, **kwargs)

    refused(exercise_id, seeds, "random numbers")
    if not find(exercise_id).draws:
        refused(exercise_id, draws, "random numbers")


@every_plain
def test_what_leaves_a_model_in_another_mode_is_refused(exercise_id: str) -> None:
    formula = formula_of(exercise_id)
    named = [v for one in cases_of(exercise_id) for v in (*one.args, *one.kwargs.values())]
    if formula.may_change or not any(isinstance(value, nn.Module) for value in named):
        return

    def answer(*args: Any, **kwargs: Any) -> Any:
        result = formula.right(*args, **kwargs)
        for value in (*args, *kwargs.values()):
            if isinstance(value, nn.Module):
                list(value.modules())[-1].train(not list(value.modules())[-1].training)
        return result

    if not formula.changes:
        refused(exercise_id, answer, "only to look at")


@every_plain
def test_an_argument_that_is_ignored_is_noticed(exercise_id: str) -> None:
    """One argument after the other is taken from the first case, or left at its default."""
    formula, cases = formula_of(exercise_id), cases_of(exercise_id)
    first = fresh(cases[0])
    for position in range(max(len(one.args) for one in cases)):
        if (exercise_id, str(position)) in IGNORED or position >= len(first.args):
            continue

        def answer(*args: Any, position: int = position, **kwargs: Any) -> Any:
            args = (*args[:position], fresh(first).args[position], *args[position + 1 :])
            return formula.right(*args, **kwargs)

        refused(exercise_id, answer)
    for name in {name for one in cases for name in one.kwargs}:
        if (exercise_id, name) not in IGNORED:
            def without(*args: Any, name: str = name, **kwargs: Any) -> Any:
                return formula.right(*args, **{key: value for key, value in kwargs.items() if key != name})

            refused(exercise_id, without)


@every_function
def test_what_remembers_is_refused(exercise_id: str) -> None:
    formula = formula_of(exercise_id)
    kept: list[Any] = []

    def answer(*args: Any, **kwargs: Any) -> Any:
        kept.append(formula.right(*args, **kwargs))
        return kept[0]

    refused(exercise_id, answer)


@every_plain
def test_a_result_cut_off_from_autograd_is_refused(exercise_id: str) -> None:
    formula = formula_of(exercise_id)
    if not formula.gradient or formula.number:
        return

    def flows(one: Any) -> bool:
        leaves = [part.requires_grad_() for part in tensors(fresh(one).args) if part.is_floating_point()]
        args = mapped(lambda v: v.clone().requires_grad_() if v.is_floating_point() else v, fresh(one).args)
        return bool(leaves) and any(part.requires_grad for part in tensors(formula.right(*args, **one.kwargs)))

    if not any(flows(one) for one in cases_of(exercise_id)):
        return

    def answer(*args: Any, **kwargs: Any) -> Any:
        return mapped(torch.detach, formula.right(*args, **kwargs))

    refused(exercise_id, answer, "autograd", "gradient")


@every_plain
@pytest.mark.parametrize("variant", VARIANTS)
def test_input_in_another_form_is_borne_by_the_reference_and_asked_of_answers(exercise_id: str, variant: str) -> None:
    formula = formula_of(exercise_id)
    forms = [form for form in (in_form(one, variant) for one in cases_of(exercise_id)) if form]
    if not forms or variant not in formula.variants:
        return
    for form in forms:
        formula.right(*form.args, **form.kwargs)

    def answer(*args: Any, **kwargs: Any) -> Any:
        for part in tensors(args):
            if part.dtype == torch.float64 or not part.is_contiguous():
                raise TypeError("not in this form")
        return formula.right(*args, **kwargs)

    if any(isinstance(value, torch.Tensor) for form in forms for value in form.args):
        refused(exercise_id, answer, "not in this form")


@pytest.mark.parametrize("exercise_id", [id for id in DECLARED if formula_of(id).number])
def test_one_number_may_come_in_any_form(exercise_id: str) -> None:
    right = formula_of(exercise_id).right
    for form in (float, torch.tensor, lambda v: torch.tensor([float(v)]), np.float64, np.array):
        outcome = grade(exercise_id, lambda *args, form=form, **kwargs: form(right(*args, **kwargs)))
        assert outcome.passed, text_of(outcome)
