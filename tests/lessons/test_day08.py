"""Day 8's own losses and the solutions' formulas, held against PyTorch."""

import pytest
import torch
from lesson import definitions
from torch.nn import functional as F

LESSON = "day08_losses"


def generator(seed):
    return torch.Generator().manual_seed(seed)


def solution(name):
    return getattr(definitions(LESSON, name, folder="solutions"), name)


def test_four_ways_agree_where_float32_can_and_only_the_logits_where_it_cannot():
    four_ways = definitions(LESSON, "four_ways").four_ways
    for _, price in four_ways(torch.tensor([-3.0, 0.0, 2.0])):
        torch.testing.assert_close(price, F.softplus(torch.tensor([-3.0, 0.0, 2.0])), atol=1e-5, rtol=1e-4)
    large = {name: price.item() for name, price in four_ways(torch.tensor([50.0]))}
    assert [abs(price - 50) < 1e-4 for price in large.values()] == [False, False, False, True]


def test_settling_on_cross_entropy_ends_at_the_target():
    settle = definitions(LESSON, "settle").settle
    target = torch.tensor([[0.5, 0.3, 0.2] + 7 * [0.0]]).expand(3, 10)
    ended = settle(lambda z: F.cross_entropy(z, target, reduction="sum"))
    torch.testing.assert_close(ended.softmax(dim=1), target, atol=0.01, rtol=0)


@pytest.mark.parametrize("name", ["ce", "bce", "mse"])
def test_each_loss_is_lowest_for_the_right_answer(name):
    loss = getattr(definitions(LESSON, name), name)
    y = torch.tensor([3, 7])
    right = F.one_hot(y, 10).float()
    good, bad = (right, right.roll(1, dims=1)) if name == "mse" else (20 * right - 10, 10 - 20 * right)
    assert loss(good, y).item() == pytest.approx(0, abs=1e-3)
    assert loss(bad, y) > 0.1


def test_softmax_twice_cannot_get_below_its_floor():
    twice = definitions(LESSON, "ce_twice").ce_twice
    y = torch.arange(10)
    sure = twice(1000.0 * F.one_hot(y, 10), y)
    assert sure.item() == pytest.approx(1.4612, abs=1e-4)
    assert twice(torch.randn(10, 10, generator=generator(0)), y) > sure


def test_smoothing_in_the_lesson_is_the_solutions():
    y = torch.tensor([0, 9, 4])
    logits = torch.randn(3, 10, generator=generator(1))
    by_hand = F.cross_entropy(logits, solution("smooth_labels")(y, 10, 0.1))
    torch.testing.assert_close(definitions(LESSON, "smooth_ce").smooth_ce(logits, y), by_hand)


@pytest.mark.parametrize("delta", [0.3, 1.0, 2.5])
def test_the_solutions_huber_is_pytorchs(delta):
    error = (3 * torch.randn(4, 5, generator=generator(2))).requires_grad_()
    price, pull = solution("huber")(error, delta)
    oracle = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=delta)
    torch.testing.assert_close(price, oracle)
    torch.testing.assert_close(pull, torch.autograd.grad(oracle.sum(), error)[0])


def test_the_solutions_binary_cross_entropy_is_pytorchs():
    logits, targets = 30 * torch.randn(6, 3, generator=generator(3)), torch.rand(6, 3, generator=generator(4))
    own = solution("binary_cross_entropy")(logits, targets)
    torch.testing.assert_close(own, F.binary_cross_entropy_with_logits(logits, targets))


def test_the_solutions_kl_is_pytorchs():
    p, q = (torch.randn(5, 4, generator=generator(seed)).softmax(dim=1) for seed in (5, 6))
    categorical = torch.distributions.Categorical
    oracle = torch.distributions.kl_divergence(categorical(p), categorical(q))
    torch.testing.assert_close(solution("kl_divergence")(p, q), oracle)
