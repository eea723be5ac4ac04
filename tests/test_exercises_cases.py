"""The cases that answers are tried on, in all their forms, and the models that exercises share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from nnlab_helpers.exercises.checking import FLOAT64, NOT_CONTIGUOUS, ZERO_DIM, example_models
from nnlab_helpers.exercises.checking.cases import as_case, fresh, in_form


def test_cases_are_copied_for_every_call() -> None:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(3)
    one = as_case((model, optimizer, generator, [torch.ones(2)]))
    first, second = fresh(one), fresh(one)
    assert first.args[1].param_groups[0]["params"][0] is first.args[0].weight
    assert first.args[0].weight is not model.weight
    assert torch.equal(torch.rand(3, generator=first.args[2]), torch.rand(3, generator=second.args[2]))
    first.args[3][0].zero_()
    assert one.args[3][0].sum() == 2


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 4), (1, 1), (4, 1)])
def test_forms_hold_the_same_numbers(shape) -> None:
    x, array = torch.randn(shape), np.random.default_rng(0).standard_normal(shape)
    one = as_case((x, array, 3))
    strided = in_form(one, NOT_CONTIGUOUS)
    if x.numel() == 1:
        assert strided is None
        return
    assert strided is not None
    assert torch.equal(strided.args[0], x)
    assert (strided.args[1] == array).all()
    if max(shape) == x.numel() and len(shape) > 1:
        return  # a row or column is contiguous in any order
    assert not strided.args[0].is_contiguous()
    assert not strided.args[1].flags["C_CONTIGUOUS"]
    double = in_form(one, FLOAT64)
    assert double.args[0].dtype == torch.float64
    assert in_form(as_case(3), FLOAT64) is None
    assert in_form(one, ZERO_DIM).args[0].shape == ()


# -- the shared models -----------------------------------------------------------------------------------------


def test_the_example_models_have_all_kinds() -> None:
    torch.manual_seed(0)
    examples = {one.name: one.with_gradients() for one in example_models()}
    assert all(one.model(one.x).shape[0] == len(one.x) for one in examples.values())
    every = [p for one in examples.values() for p in one.model.parameters()]
    assert {p.ndim for p in every} >= {0, 1, 2, 3, 4}
    assert any(p.grad is None and p.requires_grad for p in every), "one is never used"
    assert any(not p.requires_grad for p in every), "one is frozen"
    assert any(not list(one.model.parameters()) for one in examples.values())
    assert any(not one.model.training for one in examples.values())
    assert any(len({m.training for m in one.model.modules()}) == 2 for one in examples.values()), "partly asleep"
    models = [one.model for one in examples.values()]
    names = [[len([*m.named_parameters(remove_duplicate=once)]) for once in (True, False)] for m in models]
    assert any(once < each for once, each in names), "one is tied"
    layers = {type(m) for one in examples.values() for m in one.model.modules()}
    assert layers >= {nn.GRU, nn.MultiheadAttention, nn.Conv1d, nn.Conv2d, nn.BatchNorm2d, nn.LayerNorm, nn.GroupNorm,
                      nn.Embedding, nn.Linear}  # fmt: skip
    assert isinstance(next(iter(examples.values())).model, nn.Linear), "a bare one, the smallest first"
    assert len(example_models(leave_out=("nothing but a ReLU",))) == len(examples) - 1


