"""Day 14's networks side by side, its interval, its verdicts and its gradient, held against PyTorch and NumPy."""

import numpy as np
import pytest
import torch
from lesson import definitions
from torch.nn import functional as F

from nnlab_helpers.device import seed_everything
from nnlab_helpers.exercises.days.day14 import CURVES
from nnlab_helpers.models import MLP

LESSON = "day14_recap"


def test_networks_side_by_side_are_the_networks_alone():
    lesson = definitions(LESSON, "SideBySide")
    together = lesson.SideBySide([3, 8], inputs=20, hidden=7).cpu()
    x = torch.randn(5, 20)
    for number, seed in enumerate((3, 8)):
        seed_everything(seed)
        torch.testing.assert_close(together(x)[number], MLP(20, (7,), 10)(x))
    own = torch.randn(2, 5, 20)  # digits of their own for each network
    torch.testing.assert_close(together(own)[1], together(own[1])[1])


def test_each_network_gets_its_own_gradient():
    lesson = definitions(LESSON, "SideBySide", "surprise", "squared")
    x, y = torch.randn(2, 6, 20), torch.randint(0, 10, (2, 6))
    for loss in (lesson.surprise, lesson.squared):
        together = lesson.SideBySide([3, 8], inputs=20, hidden=7).cpu()
        loss(together(x).flatten(0, 1), y.flatten()).view(2, 6).mean(dim=1).sum().backward()
        seed_everything(8)
        alone = MLP(20, (7,), 10)
        loss(alone(x[1]), y[1]).mean().backward()
        for mine, theirs in zip(together.weights, alone.parameters(), strict=True):
            torch.testing.assert_close(mine.grad[1], theirs.grad)


def test_every_epoch_of_an_order_holds_every_row_once():
    orders = definitions(LESSON, "orders").orders
    rows = orders([4, 5], 30, 3).cpu()
    assert rows.shape == (2, 90)
    for epoch in rows.split(30, dim=1):
        assert all(torch.equal(row.sort().values, torch.arange(30)) for row in epoch)
    assert not torch.equal(rows[0], rows[1])
    assert torch.equal(orders([5], 30, 3).cpu()[0], rows[1])


@pytest.mark.parametrize("n", [3, 4, 5, 10])
def test_the_interval_is_students(n):
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(n).normal(size=n)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert definitions(LESSON, "interval").interval(values) == pytest.approx((values.mean(), low, high), rel=1e-3)


@pytest.mark.parametrize(
    ("bound", "verdict"),
    [
        ({"above": 0}, "stands"),
        ({"above": 2}, "open"),
        ({"above": 9}, "falls"),
        ({"below": 9}, "stands"),
        ({"below": 2}, "open"),
        ({"below": -9}, "falls"),
    ],
)
def test_a_verdict_needs_the_whole_interval_on_one_side(bound, verdict, capsys):
    lesson = definitions(LESSON, "record", "findings")
    row = lesson.record("1", "it holds", [1.5, 2.0, 2.5], "points", **bound)
    assert row["verdict"] == verdict
    assert lesson.findings == [row]
    assert verdict in capsys.readouterr().out


def test_the_gradient_by_hand_is_autograds():
    numpy_network = definitions(LESSON, "numpy_network").numpy_network
    rng = np.random.default_rng(0)
    shapes = {"W1": (6, 4), "b1": (4,), "W2": (4, 10), "b2": (10,)}
    params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
    x, y = rng.normal(size=(9, 6)), rng.integers(0, 10, 9)
    loss, grads = numpy_network(params, x, y)
    leaves = {name: torch.tensor(value, requires_grad=True) for name, value in params.items()}
    hidden = torch.tanh(torch.tensor(x) @ leaves["W1"] + leaves["b1"])
    oracle = F.cross_entropy(hidden @ leaves["W2"] + leaves["b2"], torch.tensor(y))
    oracle.backward()
    assert loss == pytest.approx(oracle.item())
    for name, leaf in leaves.items():
        np.testing.assert_allclose(grads[name], leaf.grad, rtol=1e-8, atol=1e-12)


def test_the_lot_gives_the_curves_the_letters_that_the_check_expects():
    lesson = definitions(LESSON, "letters", "RATES")
    drawn = {letter: lesson.RATES[number] for letter, number in zip("ABCD", lesson.letters, strict=True)}
    assert drawn == CURVES
