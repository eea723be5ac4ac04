"""Day 9's own rules, held against `torch.optim`, and its race against what is known of quadratics."""

import math
from functools import partial

import pytest
import torch
from lesson import definitions

LESSON = "day09_optimizers"
RULES = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adam_l2", "adamw")
PYTORCH = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adam_l2": partial(torch.optim.Adam, weight_decay=0.3),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.3),
}


@pytest.fixture(scope="module")
def lesson():
    walking = ("gradient", "walk", "arrivals", "race", "forgetful", "START", "RATES")
    return definitions(LESSON, *RULES, *walking, "ravine", "turn", "saddle")


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_pytorchs_over_many_steps_and_several_parameters(lesson, name):
    rule = getattr(lesson, name)
    options = {"decay": 0.3} if name in ("adam_l2", "adamw") else {}
    random = torch.Generator().manual_seed(1)
    shapes = [(3, 2), (4,), (1, 1, 2)]
    ours = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    theirs = [torch.nn.Parameter(w.clone()) for w in ours]
    first = [w.clone() for w in ours]
    states = [{} for _ in ours]
    optimizer = PYTORCH[name](theirs, lr=0.02)
    for step in range(30):
        for i, p in enumerate(theirs):
            g = 10.0 ** (step % 4 - 2) * torch.randn(shapes[i], generator=random, dtype=torch.float64)
            p.grad = g
            ours[i] = rule(ours[i], g, states[i], 0.02, **options)
        optimizer.step()
    for mine, other, start in zip(ours, theirs, first, strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=1e-12, atol=1e-13)
        assert (mine - start).abs().min() > 1e-3, "it went somewhere"


@pytest.mark.parametrize("name", RULES)
def test_a_rule_leaves_weight_and_gradient_as_they_were(lesson, name):
    w, g = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0])
    options = {"decay": 0.3} if name in ("adam_l2", "adamw") else {}
    getattr(lesson, name)(w, g, {}, 0.1, **options)
    assert w.tolist() == [1.0, -2.0]
    assert g.tolist() == [0.5, 3.0]


def test_the_ravines_gradient_is_the_one_in_the_text(lesson):
    points = torch.tensor([[-10.0, 1.0], [2.0, -0.5]], dtype=torch.float64)
    assert lesson.gradient(lesson.ravine, points).tolist() == [[-10.0, 100.0], [2.0, -50.0]]


def test_walks_with_many_rates_at_once_are_those_with_one(lesson):
    rates = [0.001, 0.01]
    both = lesson.walk(lesson.momentum, lesson.ravine, lesson.START, rates, 20)
    assert both.shape == (2, 21, 2)
    for path, rate in zip(both, rates, strict=True):
        (alone,) = lesson.walk(lesson.momentum, lesson.ravine, lesson.START, [rate], 20)
        torch.testing.assert_close(path, alone, rtol=0, atol=0)


def test_a_walk_has_arrived_when_it_stays_below_the_line(lesson):
    heights = torch.tensor([[9, 1, 1, 1.0], [9, 1, 9, 1], [9, 9, 9, 9], [9, 1, 1, math.nan], [0, 0, 0, 0]])
    assert lesson.arrivals(heights, line=5).tolist() == [1, 3, 4, 4, 0]


def test_the_race_takes_the_fastest_rate(lesson):
    steps, rate, path = lesson.race(lesson.sgd)
    assert rate in lesson.RATES
    assert rate < 0.02, "the bound of the steep direction"
    height = lesson.ravine(path)
    assert height[steps] < 0.5 <= height[steps - 1]
    expected = math.log(math.sqrt(2 * 0.5) / 10) / math.log(1 - rate)  # along x alone
    assert steps == math.ceil(expected)


def test_momentum_in_a_ravine_shrinks_by_the_root_of_beta(lesson):
    (path,) = lesson.walk(lesson.momentum, lesson.ravine, lesson.START, [0.01], 400)
    y = path[:, 1].abs()
    assert (y[350:400].max() / y[100:150].max()) ** (1 / 250) == pytest.approx(math.sqrt(0.9), abs=2e-3)


def test_a_turn_is_a_turn_by_45_degrees(lesson):
    w = torch.tensor([1.0, 0.0])
    torch.testing.assert_close(lesson.turn(w), torch.tensor([1.0, 1.0]) / math.sqrt(2))
    eight = w
    for _ in range(8):
        eight = lesson.turn(eight)
    torch.testing.assert_close(eight, w)


def test_the_saddle_has_its_saddle_and_its_valleys_where_the_text_says(lesson):
    points = torch.tensor([[0.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    assert lesson.gradient(lesson.saddle, points).abs().max() == 0
    assert lesson.saddle(points).tolist() == [0.0, -0.25, -0.25]


def test_a_forgetful_rule_has_an_empty_memory_at_every_step(lesson):
    state = {}
    w, g = torch.zeros(1), torch.ones(1)
    rule = lesson.forgetful(lesson.momentum)
    assert [rule(w, g, state, 1.0).item() for _ in range(3)] == [-1, -1, -1]


def test_the_solutions_nesterov_walks_where_pytorch_looks():
    nesterov_step = definitions(LESSON, "nesterov_step", folder="solutions").nesterov_step
    curvature = torch.tensor([1.0, 30.0], dtype=torch.float64)
    w, m = torch.tensor([-3.0, 1.0], dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    stored = torch.nn.Parameter(w.clone())
    optimizer = torch.optim.SGD([stored], lr=0.02, momentum=0.9, nesterov=True)
    for _ in range(15):
        w, m = nesterov_step(w, m, lambda p: curvature * p, 0.02, 0.9)
        stored.grad = curvature * stored.detach()
        optimizer.step()
        torch.testing.assert_close(stored.detach(), w - 0.02 * 0.9 * m)


def test_the_solutions_effective_rate_is_the_length_of_a_step_of_momentum(lesson):
    effective_rate = definitions(LESSON, "effective_rate", folder="solutions").effective_rate
    w, state = torch.zeros(1, dtype=torch.float64), {}
    for step in range(1, 20):
        new = lesson.momentum(w, torch.ones(1, dtype=torch.float64), state, 0.1)
        assert effective_rate(0.1, 0.9, step) == pytest.approx((w - new).item())
        w = new


def test_the_solutions_adam_is_pytorchs():
    own = definitions(LESSON, "MendedAdam", folder="solutions").MendedAdam
    random = torch.Generator().manual_seed(2)
    starts = [torch.randn(shape, generator=random) for shape in ((3, 2), (4,))]
    mine, theirs = ([torch.nn.Parameter(w.clone()) for w in starts] for _ in range(2))
    optimizers = own(mine, 0.03), torch.optim.Adam(theirs, lr=0.03)
    for _ in range(12):
        for p, q in zip(mine, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=random)
            q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    for p, q in zip(mine, theirs, strict=True):
        torch.testing.assert_close(p, q)
