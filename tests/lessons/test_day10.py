"""Day 10's own curvature, range test and schedules, held against exact answers and PyTorch."""

import math

import pytest
import torch
from lesson import definitions
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

LESSON = "day10_learning_rate"


def pytorch_rates(make_scheduler, total, peak=1.0):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = make_scheduler(optimizer)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


@pytest.mark.parametrize("total", [20, 200])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("step_decay", lambda opt, total: lr_scheduler.StepLR(opt, total // 4, 0.3)),
        ("cosine", lambda opt, total: lr_scheduler.CosineAnnealingLR(opt, total)),
        ("warm_up", lambda opt, total: lr_scheduler.LinearLR(opt, 0.04, total_iters=total // 10)),
        (
            "one_cycle",
            lambda opt, total: lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=total, cycle_momentum=False),
        ),
    ],
)
def test_the_lessons_schedules_are_pytorchs(name, make, total):
    schedule = getattr(definitions(LESSON, name), name)
    want = pytorch_rates(lambda opt: make(opt, total), total)
    assert [schedule(step, total) for step in range(total)] == pytest.approx(want, rel=1e-4, abs=1e-6)


def test_power_iteration_finds_the_largest_eigenvalue_of_the_hessian():
    largest_curvature = definitions(LESSON, "largest_curvature").largest_curvature
    torch.manual_seed(1)
    model, x, y = nn.Linear(5, 3, bias=False), torch.randn(30, 5), torch.randint(3, (30,))
    hessian = torch.autograd.functional.hessian(lambda w: F.cross_entropy(x @ w.T, y), model.weight.detach())
    exact = torch.linalg.eigvalsh(hessian.reshape(15, 15))[-1].item()
    assert largest_curvature(model, x, y, rounds=60) == pytest.approx(exact, rel=1e-3)
    assert all(p.grad is None for p in model.parameters())


def test_the_batch_gradient_is_autograds():
    gradient = definitions(LESSON, "gradient").gradient
    torch.manual_seed(2)
    model, x, y = nn.Linear(4, 3), torch.randn(9, 4), torch.randint(3, (9,))
    F.cross_entropy(model(x), y).backward()
    torch.testing.assert_close(gradient(model, x, y), torch.cat([p.grad.flatten() for p in model.parameters()]))


def test_the_solutions_plateau_rule_is_pytorchs():
    plateau_rates = definitions(LESSON, "plateau_rates", folder="solutions").plateau_rates
    generator = torch.Generator().manual_seed(3)
    for patience in range(4):
        losses = torch.rand(40, generator=generator).round(decimals=1).tolist()
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience, threshold=0, eps=0)
        want = []
        for loss in losses:
            want.append(optimizer.param_groups[0]["lr"])
            scheduler.step(loss)
        assert plateau_rates(losses, 1.0, 0.5, patience) == pytest.approx(want)


def test_the_solutions_warm_cosine_is_a_linear_rise_before_pytorchs_cosine():
    warm_cosine = definitions(LESSON, "warm_cosine", folder="solutions").warm_cosine
    total, warmup, peak = 23, 5, 0.3
    rise = [peak * (step + 1) / warmup for step in range(warmup)]
    fall = pytorch_rates(lambda opt: lr_scheduler.CosineAnnealingLR(opt, total - warmup), total - warmup, peak)
    got = [warm_cosine(step, total, warmup, peak) for step in range(total)]
    assert got == pytest.approx(rise + fall, rel=1e-5, abs=1e-8)
    assert math.isclose(max(got), peak)
