"""Day 17's own dropout, prices and clock, held against PyTorch, closed forms and the package."""

import pytest
import torch
from closeness import rounding
from lesson import definitions
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.models import MLP
from nnlab_helpers.train import EarlyStopping

LESSON = "day17_regularisation"


@pytest.mark.parametrize("p", [0.0, 0.25, 0.8])
def test_the_lessons_dropout_keeps_the_mean_and_silences_its_share(p):
    dropout = definitions(LESSON, "Dropout").Dropout(p)
    torch.manual_seed(1)
    out = dropout(torch.ones(100_000))
    torch.testing.assert_close(out.unique()[-1].item(), 1 / (1 - p), rtol=rounding(), atol=0)
    assert len(out.unique()) == (2 if p else 1)
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.01)
    assert out.mean().item() == pytest.approx(1, abs=0.03)
    numbers = torch.randn(5, 7)
    assert torch.equal(dropout.eval()(numbers), numbers)


def test_the_lessons_dropout_is_pytorchs_under_the_same_mask():
    dropout = definitions(LESSON, "Dropout").Dropout(0.3)
    numbers = torch.randn(40, 30)
    torch.manual_seed(2)
    theirs = F.dropout(numbers, 0.3)
    torch.manual_seed(2)
    kept = F.dropout(torch.ones_like(numbers), 0.3) > 0
    torch.testing.assert_close(dropout.masked(numbers, kept), theirs)


def test_decayed_is_adamw_that_spares_the_biases():
    decayed = definitions(LESSON, "decayed").decayed
    torch.manual_seed(3)
    model = MLP(6, (4,), 3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer = decayed(model, decay=2.0)
    optimizer.step()
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 4
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), before[name] * (1 - 5e-3 * 2.0 * (p.ndim > 1)))


def test_with_l1_takes_the_same_amount_from_each_and_stops_at_zero():
    with_l1 = definitions(LESSON, "with_l1", "decayed", "threshold").with_l1
    torch.manual_seed(4)
    model = MLP(6, (40,), 3)
    before = [p.detach().clone() for p in model.parameters()]
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    with_l1(model, strength=10.0).step()
    for p, old in zip(model.parameters(), before, strict=True):
        torch.testing.assert_close(p.detach(), F.softshrink(old, 0.05) if p.ndim > 1 else old)
    assert any((p == 0).any() for p in model.parameters())


def test_one_weight_finds_the_soft_threshold():
    one_weight = definitions(LESSON, "one_weight").one_weight
    for pull in (-2.0, 0.3, 1.5):
        path = one_weight(lambda w, a=pull: F.softshrink(w - 0.1 * (w - a), 0.1 * 0.7), steps=300)
        torch.testing.assert_close(path[-1], F.softshrink(torch.tensor(pull), 0.7), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy"])
@pytest.mark.parametrize("min_delta", [0.0, 0.25])
def test_the_solutions_clock_is_the_packages(monitor, min_delta):
    patient_stop = definitions(LESSON, "patient_stop", folder="solutions").patient_stop
    mode = "min" if monitor == "val_loss" else "max"
    generator = torch.Generator().manual_seed(5)
    for _ in range(30):
        values = (torch.randint(0, 16, (12,), generator=generator) / 8).tolist()
        for patience in (1, 2, 4):
            watcher, model = EarlyStopping(monitor, patience, min_delta), nn.Linear(1, 1)
            for epoch, value in enumerate(values):
                if watcher.stop:
                    break
                nn.init.constant_(model.weight, epoch)
                watcher.see({monitor: value}, model)
                last = epoch
            watcher.restore(model)
            assert patient_stop(values, patience, min_delta, mode) == (int(model.weight.item()), last)


def test_the_solutions_step_minimises_the_priced_valley():
    l1_step = definitions(LESSON, "l1_step", folder="solutions").l1_step
    w = torch.linspace(-3, 3, 6_001)[:, None]
    a = torch.linspace(-2, 2, 9)
    best = w[((w - a) ** 2 / 2 + 0.5 * w.abs()).argmin(dim=0), 0]
    torch.testing.assert_close(l1_step(a, torch.zeros(9), 1.0, 0.5), best, atol=2e-3, rtol=0)
