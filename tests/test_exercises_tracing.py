"""Bans: what is really called counts, not what it is called."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import nn

from nnlab_helpers.exercises.checking import AUTOGRAD, CONVOLUTIONS, LAYERS, called, declare, exercise
from nnlab_helpers.exercises.checking.grade import grade
from nnlab_helpers.exercises.checking.tracing import traced
from nnlab_helpers.exercises.checking.trial import Trial

DECLARED: dict[str, Any] = {"title": "t", "stars": 1, "hints": ("first", "second"), "learned": "Well done."}


@pytest.fixture(autouse=True)
def own_exercises(monkeypatch):
    monkeypatch.setattr(declare, "REGISTRY", dict(declare.REGISTRY))


def declared(right, cases, **options) -> str:
    exercise("day90.x", right=right, cases=cases, **{**DECLARED, **options})
    return "day90.x"


def told(answer, right, cases, **options) -> str:
    """All that the learner reads: "right", or headline and notes."""
    outcome = grade(declared(right, cases, **options), answer)
    return "right" if outcome.passed else "\n".join((outcome.headline, *outcome.notes))


BANNED = {"No autograd.": AUTOGRAD, "No layers.": LAYERS, "No convolutions.": CONVOLUTIONS, "No relu.": called("relu")}


class Convolve:
    def __call__(self, x):
        return nn.functional.conv1d(x[None, None], torch.ones(1, 1, 1))[0, 0]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (lambda x: torch.func.vjp(lambda v: v, x)[1](x)[0], "No autograd."),
        (lambda x: torch.func.jacrev(torch.sum)(x) * x, "No autograd."),
        (lambda x: torch.autograd.grad((v := x.clone().requires_grad_()).sum(), v)[0] * x, "No autograd."),
        (lambda x: (v := x.clone().requires_grad_()).sum().backward() or v.grad * x, "No autograd."),
        (lambda x: torch.func.jvp(lambda v: v, (x,), (x,))[1], "No autograd."),
        (lambda x: nn.Identity()(x), "No layers."),
        (lambda x: nn.Sequential()(x), "No layers."),
        (Convolve(), "No convolutions."),
        (lambda x: torch.conv_transpose1d(x[None, None], torch.ones(1, 1, 1))[0, 0], "No convolutions."),
        (lambda x: next(f(x[None, None], torch.ones(1, 1, 1))[0, 0] for f in (torch.conv1d,)), "No convolutions."),
        (lambda x: x.relu() - (-x).relu(), "No relu."),
        (lambda x: torch.relu(x) - nn.functional.relu(-x), "No relu."),
    ],
)
def test_what_is_called_counts(answer, note: str) -> None:
    text = told(answer, right=lambda x: x * 1, cases=lambda t: [t.randn(3)], forbids=BANNED, gradient=False)
    assert text == f"your code uses what the task rules out\n{note}"


def test_names_do_not_count() -> None:
    def relu(x):
        return x * 1

    def convolution(grad, depth=3):
        backward = relu(grad)
        return convolution(backward, depth - 1) if depth else backward

    assert told(convolution, right=lambda x: x * 1, cases=lambda t: [t.randn(3)], forbids=BANNED) == "right"


def test_a_trace_loads_nothing_heavy_and_ends() -> None:
    heavy = "torch._dynamo" in sys.modules
    before = sys.getprofile()
    with traced() as calls:
        _ = torch.ones(3) @ torch.ones(3)
    assert sys.getprofile() is before
    assert calls.first(("torch*.matmul", "torch*.__matmul__"))
    assert heavy or "torch._dynamo" not in sys.modules


def test_loops_make_more_calls_for_more_input() -> None:
    t = Trial("day90.x")

    def calls(function) -> list[int]:
        return [t.count_calls(function, torch.ones(n, n)) for n in (3, 9)]

    few, many = calls(lambda x: x.square().sum())
    assert few == many
    few, many = calls(lambda x: sum(row.square().sum() for row in x))
    assert many > 2 * few


