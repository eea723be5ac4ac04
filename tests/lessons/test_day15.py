"""Day 15's own sweep, counts, folded line and bottleneck, held against the package, PyTorch and arithmetic."""

import numpy as np
import pandas
import pytest
import torch
from lesson import definitions

from nnlab_helpers.models import MLP, count_parameters, width_for_budget
from nnlab_helpers.sweep import effects, sweep

LESSON = "day15_depth_width"


def noisy(config, seed):
    return {"score": config["a"] * 2.0 + config.get("b", 0) + torch.rand(()).item(), "twice": 2 * seed}


def test_the_lessons_sweep_is_the_packages():
    tiny_sweep = definitions(LESSON, "tiny_sweep").tiny_sweep
    grid, seeds = {"a": [1, 3, 2], "b": [0.5, 0.1]}, (4, 0, 7)
    ours = tiny_sweep(noisy, grid, seeds)
    theirs = sweep(noisy, grid, seeds=seeds, n_jobs=1, progress=False)
    pandas.testing.assert_frame_equal(ours, theirs[ours.columns], check_exact=True)
    assert len(ours) == 18


def test_the_lessons_count_and_width_are_the_packages():
    lesson = definitions(LESSON, "parameters", "width_for_budget", "BUDGET")
    for depth in (1, 2, 3, 8, 16):
        assert lesson.parameters(7, depth) == count_parameters(MLP(196, [7] * depth, 10))
        assert lesson.parameters(7, depth, 5, 3) == count_parameters(MLP(5, [7] * depth, 3))
        for budget in (lesson.BUDGET, 4_000, lesson.parameters(12, depth), lesson.parameters(12, depth) - 1):
            assert lesson.width_for_budget(budget, depth) == width_for_budget(budget, depth, 196, 10)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_the_folder_folds_and_the_wide_one_draws_the_same(depth):
    lesson = definitions(LESSON, "folder", "wide")
    x = torch.linspace(0, 1, 257)
    folded = x.numpy().astype(np.float64)
    for _ in range(depth):
        folded = 1 - np.abs(2 * folded - 1)
    for model in (lesson.folder(depth), lesson.wide(2**depth)):
        np.testing.assert_allclose(model(x[:, None]).detach()[:, 0], folded, atol=1e-4)


def test_the_bottleneck_lets_through_k_numbers_and_has_no_bend_there():
    bottleneck = definitions(LESSON, "Bottleneck").Bottleneck
    torch.manual_seed(0)
    model, x = bottleneck(3), torch.randn(50, 1, 14, 14)
    middle = model.squeeze(x)
    assert middle.shape == (50, 3)
    assert (middle < 0).any()
    assert (middle > 0).any()
    torch.testing.assert_close(model(x), model.read(middle))
    assert torch.linalg.matrix_rank(model.read[0](middle) - model.read[0].bias) == 3


def test_the_solutions_effect_is_the_packages():
    effect = definitions(LESSON, "effect", folder="solutions").effect
    frame = sweep(noisy, {"a": [1, 3, 2], "b": [0.5, 0.1, 4.0]}, seeds=range(4), n_jobs=1, progress=False)
    frame = frame.drop(index=[2, 11, 30])  # runs that are missing
    theirs = effects(frame, "score", baseline={"a": 3, "b": 0.1})
    rows = frame[["a", "b", "seed", "score"]].to_dict("records")
    t95 = {4: 3.18244631}
    for row in theirs.itertuples():
        got = effect(rows, row.factor, row.level, row.baseline, t95)
        assert got == pytest.approx((row.difference, row.low, row.high), rel=1e-4, abs=1e-5)


def test_the_solutions_pyramid_of_one_layer_is_the_width_for_the_budget():
    pyramid = definitions(LESSON, "mlp_size", "pyramid", folder="solutions").pyramid
    for budget in (1_000, 5_432, 50_000):
        assert pyramid(budget, 1, 784, 10) == [width_for_budget(budget, 1)]
