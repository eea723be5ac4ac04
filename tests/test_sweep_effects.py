"""`effects`: the mean difference to the baseline, with an interval over seeds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nnlab_helpers.sweep import effects, sweep


def additive(config, seed):
    """Width adds its log, norm adds 0.5; noise of the seed is common to all its runs."""
    noise = [0.3, -0.1, 0.05][seed]
    wobble = 0.01 * ((seed + config["width"]) % 3)
    return {"score": math.log2(config["width"]) + 0.5 * config["norm"] + noise + wobble}


GRID = {"width": [4, 8, 16], "norm": [False, True]}


@pytest.fixture(scope="module")
def frame():
    return sweep(additive, GRID, n_jobs=1, progress=False)


def test_additive_effects_are_found(frame):
    found = effects(frame, "score").set_index(["factor", "level"])
    assert found.index.tolist() == [("width", 8), ("width", 16), ("norm", True)]
    assert found.loc[("norm", True), "difference"] == pytest.approx(0.5)
    assert found.loc[("width", 16), "difference"] == pytest.approx(2.0, abs=0.03)
    assert found["seeds"].tolist() == [3, 3, 3]
    assert found["pairs"].tolist() == [6, 6, 9]
    assert (found["low"] <= found["difference"]).all()
    assert (found["difference"] <= found["high"]).all()


def test_the_interval_is_students_over_the_seeds(frame):
    row = effects(frame, "score").iloc[0]
    by_seed = []
    for seed in range(3):
        ours = frame[(frame["seed"] == seed) & (frame["width"] == 4)].set_index("norm")["score"]
        theirs = frame[(frame["seed"] == seed) & (frame["width"] == 8)].set_index("norm")["score"]
        by_seed.append((theirs - ours).mean())
    low, high = stats.t.interval(0.95, 2, np.mean(by_seed), stats.sem(by_seed))
    assert (row["low"], row["high"]) == (pytest.approx(low), pytest.approx(high))
    narrow = effects(frame, "score", confidence=0.5).iloc[0]
    assert narrow["high"] - narrow["low"] < high - low


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        score = rng.normal(size=10) + np.array([0.0] * 5 + [1.0] * 5)
        data = pd.DataFrame({"a": [0] * 5 + [1] * 5, "seed": [*range(5)] * 2, "score": score})
        row = effects(data, "score").iloc[0]
        held += row["low"] <= 1.0 <= row["high"]
    assert 0.92 < held / 400 < 0.98


def test_another_baseline(frame):
    found = effects(frame, "score", baseline={"width": 16, "norm": True})
    assert found["level"].tolist() == [4, 8, False]
    assert (found["difference"] < 0).all()
    assert found["baseline"].tolist() == [16, 16, True]


def test_one_change_at_a_time():
    configs = [{"width": 4, "norm": False}, {"width": 8, "norm": False}, {"width": 4, "norm": True}]
    found = effects(sweep(additive, configs, n_jobs=1, progress=False), "score")
    assert found["level"].tolist() == [8, True]
    assert found["pairs"].tolist() == [3, 3]


def test_failed_runs_are_left_out(frame):
    def picky(config, seed):
        if config["width"] == 8 and seed == 2:
            raise ValueError
        return additive(config, seed)

    found = effects(sweep(picky, GRID, n_jobs=1, progress=False), "score")
    assert found["seeds"].tolist() == [2, 3, 3]
    assert found["pairs"].tolist() == [4, 6, 8]


def test_one_seed_has_no_interval():
    found = effects(sweep(additive, GRID, seeds=[1], n_jobs=1, progress=False), "score")
    assert found["low"].isna().all()
    assert found["high"].isna().all()
    assert found["difference"].notna().all()


def test_levels_may_be_lists_none_and_functions():
    def run(config, seed):
        return {"score": sum(config["hidden"]) + (config["bend"] is not None)}

    grid = {"hidden": [[1, 2], [3]], "bend": [None, math.tanh]}
    found = effects(sweep(run, grid, n_jobs=1, progress=False), "score")
    assert found["level"].tolist() == [[3], math.tanh]
    assert found["difference"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"metric": "loss"}, KeyError, "no column 'loss'"),
        ({"metric": "score", "baseline": {"depth": 1}}, KeyError, "no factor 'depth'"),
        ({"metric": "score", "baseline": {"width": 5}}, ValueError, "width = 5"),
        ({"metric": "score", "confidence": 95}, ValueError, "between 0 and 1"),
    ],
)
def test_bad_questions_are_told(frame, options, error, told):
    with pytest.raises(error, match=told):
        effects(frame, **options)


def test_nothing_to_compare_is_told():
    with pytest.raises(ValueError, match="no factor has two levels"):
        effects(sweep(additive, {"width": [4], "norm": [True]}, n_jobs=1, progress=False), "score")
    configs = [{"width": 4, "norm": False}, {"width": 8, "norm": True}]
    with pytest.raises(ValueError, match="one factor alone"):
        effects(sweep(additive, configs, n_jobs=1, progress=False), "score")
