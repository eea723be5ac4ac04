"""Day 1's own engine, held against torch, and the numbers that it shares with its exercises."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lesson import definitions

from nnlab_helpers.exercises.days import day01, tiny_engine

STEM = "day01_tensors_autograd"
lesson = definitions(STEM, "Value", "in_order", "backward", "backward_hasty", "doubled")
walks = definitions(STEM, "chirps_per_second", "degrees_fahrenheit", "chirps", "x", "y", "loss_at", "descend")


def play(moves, numbers, tanh):
    """Build a result from three numbers by a list of moves, in torch or in an engine alike."""
    made = list(numbers)
    for kind, i, j in moves:
        a, b = made[i % len(made)], made[j % len(made)]
        made.append(a + b if kind == "+" else tanh(a * b) if kind == "×" else tanh(a))
    return made[-1] * made[0]


moves = st.lists(st.tuples(st.sampled_from("+×t"), st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=8)
three = st.lists(st.floats(-2, 2), min_size=3, max_size=3)


@settings(max_examples=60, deadline=None)
@given(moves, three)
def test_the_engine_agrees_with_torch_on_any_graph(moves, numbers):
    leaves = [torch.tensor(n, dtype=torch.float64, requires_grad=True) for n in numbers]
    result = play(moves, leaves, torch.tanh)
    result.backward()

    values = [lesson.Value(n) for n in numbers]
    ours = play(moves, values, lambda v: v.tanh())
    lesson.backward(ours)

    assert math.isclose(ours.data, result.item(), rel_tol=1e-9, abs_tol=1e-12)
    for value, leaf in zip(values, leaves, strict=True):
        want = 0.0 if leaf.grad is None else leaf.grad.item()
        assert math.isclose(value.grad, want, rel_tol=1e-9, abs_tol=1e-12)


@settings(max_examples=30, deadline=None)
@given(moves, three)
def test_the_checker_has_the_same_engine(moves, numbers):
    values = [lesson.Value(n) for n in numbers]
    lesson.backward(play(moves, values, lambda v: v.tanh()))
    copies = [tiny_engine.Value(n) for n in numbers]
    result = play(moves, copies, lambda v: v.tanh())
    assert tiny_engine.slopes(result, *copies) == pytest.approx([v.grad for v in values], rel=1e-9, abs=1e-12)


@settings(max_examples=30, deadline=None)
@given(moves, three)
def test_each_number_comes_after_its_inputs(moves, numbers):
    order = lesson.in_order(play(moves, [lesson.Value(n) for n in numbers], lambda v: v.tanh()))
    place = {value: i for i, value in enumerate(order)}
    assert len(place) == len(order)
    assert all(place[source] < place[value] for value in order for source, _ in value.inputs)


@pytest.mark.parametrize("times", [1, 5, 10])
def test_haste_costs_a_power_of_two_and_patience_two_messages_a_step(times):
    leaf, result = lesson.doubled(times)
    assert lesson.backward_hasty(result) == 2 ** (times + 1) - 2
    assert leaf.grad == 2**times
    leaf, result = lesson.doubled(times)
    assert lesson.backward(result) == 2 * times
    assert leaf.grad == 2**times


def test_the_lesson_and_its_exercise_listen_to_the_same_crickets():
    assert tuple(walks.chirps_per_second) == day01.CHIRPS
    assert tuple(walks.degrees_fahrenheit) == day01.FAHRENHEIT


@pytest.mark.parametrize(("rate", "steps"), [(0.05, 0), (0.05, 8), (0.2, 8), (0.25, 8), (0.36, 20), (0.38, 20)])
def test_the_exercise_walks_as_the_lesson_does(rate, steps):
    table = torch.stack([walks.x, torch.ones_like(walks.x)], 1).double()
    best = torch.linalg.lstsq(table, walks.y[:, None].double()).solution[:, 0]
    low = walks.loss_at(*best.to(walks.x)).item()
    assert walks.descend(rate, steps)[1][-1] - low == pytest.approx(day01.height_after(rate, steps), rel=1e-3, abs=2e-5)


def test_kept_gradients_add_up_to_a_swing_and_emptied_ones_to_rest():
    clean, swing = (walks.descend(0.05, keep=keep)[1] for keep in (0.0, 1.0))
    assert all(clean[i + 1] <= clean[i] + 1e-4 for i in range(100))
    assert max(swing[50:]) > 0.5 * swing[0]


def test_the_column_and_row_trap():
    perfect = walks.y.reshape(15, 1)
    assert ((perfect - walks.y) ** 2).mean().item() == pytest.approx(2 * walks.y.var(correction=0).item(), rel=1e-5)
