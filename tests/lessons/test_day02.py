"""Day 2's own network, gradients and checks, held against torch and against planted faults."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lesson import definitions
from torch.nn import functional as F

STEM = "day02_numpy_network"
lesson = definitions(
    STEM,
    "make_spiral",
    "init_params",
    "forward",
    "naive_softmax",
    "softmax",
    "cross_entropy",
    "loss_and_grads",
    "numerical_gradient",
    "relative_error",
    "gradient_check",
    "train",
    "accuracy",
    "suspicious_grads",
    "strangers_backward",
)


@pytest.fixture
def spiral():
    rng = np.random.default_rng(3)
    params = {name: rng.standard_normal(a.shape) for name, a in lesson.init_params(7, rng).items()}
    return params, *lesson.make_spiral(11, rng)


def test_the_spiral_has_three_equal_arms_inside_the_unit_circle():
    X, y = lesson.make_spiral(50, np.random.default_rng(0))
    assert X.shape == (150, 2)
    assert np.bincount(y).tolist() == [50, 50, 50]
    assert np.linalg.norm(X, axis=1).max() <= 1 + 1e-12


def test_without_noise_the_arms_are_one_arm_turned():
    X, y = lesson.make_spiral(50, np.random.default_rng(0), noise=0.0)
    turn = np.exp(2j * np.pi / 3)
    arms = [X[y == arm] @ np.array([1, 1j]) for arm in range(3)]
    np.testing.assert_allclose(arms[1], arms[0] * turn)
    np.testing.assert_allclose(arms[2], arms[0] * turn**2)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_softmax_and_cross_entropy_are_torchs(scale):
    rng = np.random.default_rng(0)
    logits, labels = scale * rng.standard_normal((9, 4)), rng.integers(0, 4, 9)
    np.testing.assert_allclose(lesson.softmax(logits), torch.from_numpy(logits).softmax(dim=1).numpy(), atol=1e-15)
    expected = F.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)).item()
    assert lesson.cross_entropy(logits, labels) == pytest.approx(expected, rel=1e-12)


def test_the_naive_softmax_is_right_only_for_small_scores():
    small = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_allclose(lesson.naive_softmax(small), lesson.softmax(small))
    with np.errstate(all="ignore"):
        assert np.isnan(lesson.naive_softmax(small + 1000)).all()


def test_loss_and_gradients_are_torchs(spiral):
    params, X, y = spiral
    loss, grads = lesson.loss_and_grads(params, X, y)
    t = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
    logits = torch.tanh(torch.from_numpy(X) @ t["W1"] + t["b1"]) @ t["W2"] + t["b2"]
    expected = F.cross_entropy(logits, torch.from_numpy(y))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for name in params:
        np.testing.assert_allclose(grads[name], t[name].grad.numpy(), rtol=1e-9, atol=1e-14)


def test_numerical_gradient_leaves_the_weights_as_they_were():
    w = np.random.default_rng(0).standard_normal((3, 2))
    before = w.copy()
    slope = lesson.numerical_gradient(lambda: (w**3).sum(), w)
    assert (w == before).all()
    np.testing.assert_allclose(slope, 3 * before**2, rtol=1e-6)


@pytest.mark.parametrize(
    ("b", "expected"),
    [([3.0, 4.0], 0.0), ([6.0, 8.0], 1 / 3), ([1.5, 2.0], 1 / 3), ([-3.0, -4.0], 1.0), ([0.0, 0.0], 1.0)],
)
def test_fingerprints_of_the_relative_error(b, expected):
    assert lesson.relative_error(np.array([3.0, 4.0]), np.array(b)) == pytest.approx(expected)


def test_two_zero_gradients_agree():
    assert lesson.relative_error(np.zeros(3), np.zeros(3)) == 0.0


FAULTS = {
    "sign": lambda g: {**g, "W1": -g["W1"]},
    "summed": lambda g: {name: 33 * a for name, a in g.items()},
    "zero": lambda g: {**g, "b2": 0 * g["b2"]},
    "one column": lambda g: {**g, "W2": g["W2"] * np.array([1.0, 1.0, 1.01])},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_gradient_check_names_what_is_wrong(spiral, fault):
    params, X, y = spiral
    right = lesson.loss_and_grads(params, X, y)[1]
    wrong = FAULTS[fault](right)
    touched = {name for name in right if not np.array_equal(right[name], wrong[name])}

    def faulty(params, X, y):
        loss, grads = lesson.loss_and_grads(params, X, y)
        return loss, FAULTS[fault](grads)

    errors = lesson.gradient_check(faulty, params, X, y)
    assert {name for name, error in errors.items() if error > 1e-4} == touched
    assert max((error for name, error in errors.items() if name not in touched), default=0) < 1e-7


def test_the_hidden_bug_is_in_b1_alone(spiral):
    params, X, y = spiral
    errors = lesson.gradient_check(lesson.suspicious_grads, params, X, y)
    assert errors.pop("b1") == pytest.approx((33 - 1) / (33 + 1))  # 33 points: 33 times too small
    assert max(errors.values()) < 1e-7


def test_the_strangers_backward_is_wrong_everywhere_and_half_at_the_end():
    rng = np.random.default_rng(0)
    shapes = {"W1": (2, 5), "b1": (5,), "W2": (5, 1), "b2": (1,)}
    params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    X, y = rng.standard_normal((20, 2)), rng.standard_normal((20, 1))
    errors = lesson.gradient_check(lesson.strangers_backward, params, X, y)
    assert [errors["W2"], errors["b2"]] == pytest.approx([1 / 3, 1 / 3], abs=1e-6)
    assert min(errors["W1"], errors["b1"]) > 0.1
    assert abs(errors["W1"] - 1 / 3) > 0.05, "a second bug stands before the first layer"


def test_training_changes_no_array_in_place(spiral):
    params, X, y = spiral
    before = {name: array.copy() for name, array in params.items()}
    losses, history = lesson.train(params, X, y, steps=20)
    assert len(losses) == len(history) == 21
    assert all((params[name] == before[name]).all() for name in params)
    assert losses[20] == lesson.loss_and_grads(history[20], X, y)[0] < losses[0]


def test_accuracy_counts_the_highest_logit(spiral):
    params, X, _ = spiral
    guesses = lesson.forward(params, X)[1].argmax(axis=1)
    assert lesson.accuracy(params, X, guesses) == 1.0
    assert lesson.accuracy(params, X, (guesses + 1) % 3) == 0.0
