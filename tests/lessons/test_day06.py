"""Day 6's own loop, loss and Adam, held against PyTorch and against the package."""

import copy

import pytest
import torch
from closeness import rounding
from lesson import definitions
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.models import MLP
from nnlab_helpers.train import evaluate, fit

LESSON = "day06_mlp_mnist"


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(70, 1, 28, 28, generator=generator), torch.randint(0, 10, (70,), generator=generator)
    return list(zip(x.split(32), y.split(32), strict=True))  # the last batch is smaller


def test_the_lessons_network_is_the_packages_mlp(batches):
    own = definitions(LESSON, "make_mlp").make_mlp()
    package = MLP(784, (256, 256), 10)
    assert [p.shape for p in own.parameters()] == [p.shape for p in package.parameters()]
    for mine, theirs in zip(package.parameters(), own.parameters(), strict=True):
        mine.data.copy_(theirs.data)
    torch.testing.assert_close(package(batches[0][0]), own(batches[0][0]))


def test_the_lessons_loop_and_fit_train_alike(batches):
    lesson = definitions(LESSON, "make_mlp", "train_one_epoch", "evaluate")
    torch.manual_seed(0)
    own = lesson.make_mlp(32)
    other = copy.deepcopy(own)
    losses = [
        lesson.train_one_epoch(own, batches, torch.optim.Adam(own.parameters(), lr=1e-3))[0],
        lesson.evaluate(own, batches)[0],
    ]
    history = fit(
        other, batches, batches, epochs=1, optimizer=torch.optim.Adam(other.parameters(), lr=1e-3), device="cpu"
    )
    assert losses == pytest.approx([history["train_loss"][0], history["val_loss"][0]], rel=rounding(steps=256))
    for a, b in zip(own.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_the_lessons_evaluation_weighs_samples_and_agrees_with_the_package(batches):
    lesson = definitions(LESSON, "make_mlp", "evaluate")
    model = lesson.make_mlp(16)
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    whole = F.cross_entropy(model(x), y).item()
    assert lesson.evaluate(model, batches)[0] == pytest.approx(whole, rel=rounding(steps=256))
    theirs = evaluate(model, batches, device="cpu")
    mine = lesson.evaluate(model, batches)
    assert (theirs["loss"], theirs["accuracy"]) == pytest.approx(mine, rel=rounding(steps=256))


def test_the_solutions_adam_is_pytorchs():
    adam_step = definitions(LESSON, "adam_step", folder="solutions").adam_step
    torch.manual_seed(0)
    weight = nn.Parameter(torch.randn(5))
    w, m, v = weight.detach().clone(), torch.zeros(5), torch.zeros(5)
    optimizer = torch.optim.Adam([weight], lr=0.03)
    for t in range(1, 8):
        weight.grad = torch.randn(5) * 10.0 ** torch.arange(-3, 2)
        w, m, v = adam_step(w, weight.grad, m, v, t, 0.03)
        optimizer.step()
    torch.testing.assert_close(w, weight.detach())
