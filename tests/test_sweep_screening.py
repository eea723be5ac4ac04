"""Screening designs, and the effects read from them: balance, aliases, planted effects, intervals that hold."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from nnlab_helpers.sweep import effects, interactions, main_effects, pareto_front, screening_design, sweep

LETTERS = "abcdefghijklmnop"


def factors(count):
    return {name: (0, 1) for name in LETTERS[:count]}


def signs(design):
    return np.array([[1 if level else -1 for level in config.values()] for config in design])


def study(value, design, seeds=3):
    """The frame of a sweep in which `value(x, seed)` is the result, x a dict from factor to sign."""

    def run(config, seed):
        return {"score": value({name: 2 * level - 1 for name, level in config.items()}, seed)}

    return sweep(run, design, seeds=range(seeds), n_jobs=1, progress=False)


@pytest.mark.parametrize(("count", "runs"), [(3, 4), (4, 8), (7, 8), (8, 16), (9, 16), (10, 32), (16, 32), (31, 32)])
def test_columns_are_balanced_and_orthogonal(count, runs):
    names = {f"f{k}": ("low", "high") for k in range(count)}
    design = screening_design(names, runs)
    x = np.array([[1 if level == "high" else -1 for level in config.values()] for config in design])
    assert x.shape == (runs, count)
    assert (x.T @ x == runs * np.eye(count)).all()
    assert (x.sum(axis=0) == 0).all()
    assert set(design[0].values()) == {"low"}
    assert len({tuple(row) for row in x}) == runs, "no configuration comes twice"


@pytest.mark.parametrize(("count", "runs"), [(4, 8), (8, 16), (10, 32), (16, 32)])
def test_up_to_half_as_many_factors_as_runs_is_resolution_four(count, runs):
    x = signs(screening_design(factors(count), runs))
    for i, j in combinations(range(count), 2):
        assert not (x.T @ (x[:, i] * x[:, j])).any(), "a main effect is aliased with a pair"
    assert (np.vstack([x, -x])[: len(x)] == x).all()
    assert {tuple(row) for row in x} == {tuple(-row) for row in x}, "each run has its mirror image"


def test_more_factors_alias_with_pairs():
    x = signs(screening_design(factors(9), 16))
    assert any((x.T @ (x[:, i] * x[:, j])).any() for i, j in combinations(range(9), 2))


@pytest.mark.parametrize(("count", "runs"), [(1, 4), (2, 4), (3, 8), (4, 8), (5, 16), (9, 32), (10, 32)])
def test_by_default_as_many_runs_as_resolution_four_needs(count, runs):
    assert len(screening_design(factors(count))) == runs


def test_three_factors_in_eight_runs_are_all_combinations():
    assert len({tuple(config.values()) for config in screening_design(factors(3), 8)}) == 8


def test_levels_may_be_anything_a_sweep_takes():
    design = screening_design({"norm": (None, "batch"), "hidden": ([32], [64, 64]), "rate": (0.1, 1)})
    assert design[0] == {"norm": None, "hidden": [32], "rate": 0.1}
    assert sum(config["hidden"] == [64, 64] for config in design) == len(design) / 2


@pytest.mark.parametrize(
    ("given", "runs", "told"),
    [
        ({}, None, "no factors"),
        ({"a": (0, 1, 2)}, None, "'a' needs two different levels"),
        ({"a": (1, 1.0)}, None, "two different levels"),
        ({"a": "no"}, None, "two different levels"),
        (factors(3), 12, "power of two"),
        (factors(1), 2, "power of two"),
        (factors(8), 8, "more than 8 runs"),
    ],
)
def test_bad_designs_are_told(given, runs, told):
    with pytest.raises(ValueError, match=told):
        screening_design(given, runs)


def test_planted_main_effects_are_found_to_the_last_digit():
    planted = {name: 0.1 * k - 0.3 for k, name in enumerate(LETTERS[:10])}
    design = screening_design(factors(10))
    frame = study(lambda x, seed: sum(planted[n] / 2 * x[n] for n in planted) + 0.7 * seed, design)
    found = main_effects(frame, "score")
    assert found["factor"].tolist() == list(planted)
    assert found["difference"].tolist() == pytest.approx(list(planted.values()))
    assert found["low"].tolist() == pytest.approx(found["high"].tolist()), "what a seed adds to all runs is no noise"
    assert (found["level"].tolist(), found["baseline"].tolist()) == ([1] * 10, [0] * 10)
    assert set(found["seeds"]) == {3}
    assert set(found["runs"]) == {32}


def test_an_interaction_does_not_touch_main_effects_but_its_aliases():
    frame = study(lambda x, seed: 1.5 / 2 * x["a"] * x["b"] + seed, screening_design(factors(8), 16))
    assert main_effects(frame, "score")["difference"].abs().max() < 1e-12
    found = interactions(frame, "score")
    assert found["difference"].iloc[0] == pytest.approx(1.5)
    assert found["difference"].iloc[1:].abs().max() < 1e-12
    top = found.iloc[0]
    assert (top["factor"], top["level"], top["baseline"]) == ("a x b", "alike", "unlike")
    assert len(found) == 7
    assert {1 + len(aliases) for aliases in found["aliases"]} == {4}, "28 pairs in seven columns"


def test_aliases_have_their_sign_and_name_main_effects_too():
    design = screening_design(factors(3), 4)
    frame = study(lambda x, seed: 1.0 * x["c"] + seed, design)
    found = interactions(frame, "score").set_index("factor")
    assert found.loc["a x b", "aliases"] == ("-c",)
    assert found.loc["a x b", "difference"] == pytest.approx(-2.0)
    assert main_effects(frame, "score").set_index("factor").loc["c", "difference"] == pytest.approx(2.0)


def test_an_opposite_column_counts_negative():
    design = screening_design(factors(8), 16)
    turned = [{**config, "a": 1 - config["a"]} for config in design]
    frame = study(lambda x, seed: x["a"] * x["b"] / 2 + seed, turned)
    row = interactions(frame, "score", baseline=dict.fromkeys(LETTERS[:8], 0)).iloc[0]
    assert row["factor"] == "a x b"
    assert row["difference"] == pytest.approx(1.0)
    assert row["aliases"]
    assert all(alias.startswith("-") for alias in row["aliases"])


def test_the_baseline_is_the_first_row_or_as_told():
    frame = study(lambda x, seed: x["a"] / 2, screening_design(factors(3)))
    assert main_effects(frame, "score", baseline={"a": 1})["difference"].iloc[0] == pytest.approx(-1.0)
    turned = frame.sort_values("a", ascending=False)
    turned.attrs = frame.attrs
    assert main_effects(turned, "score")["difference"].iloc[0] == pytest.approx(-1.0)
    assert main_effects(turned, "score", baseline={"a": 0})["difference"].iloc[0] == pytest.approx(1.0)


def noisy(rng, design, seeds, spread=1.0):
    table = [{**config, "seed": seed} for config in design for seed in range(seeds)]
    frame = pd.DataFrame(table)
    scale = np.where(frame["b"] == 1, spread, 1.0)
    frame["score"] = 0.25 * (2 * frame["a"] - 1) + rng.normal(size=len(frame)) * scale + frame["seed"]
    return frame


@pytest.mark.parametrize("error", ["replicates", "seeds"])
@pytest.mark.parametrize("spread", [1.0, 3.0], ids=["alike", "unlike"])
def test_intervals_hold_the_truth_as_often_as_they_say(error, spread):
    rng, design = np.random.default_rng(1), screening_design(factors(4), 8)
    truth, held = np.array([0.5, 0.0, 0.0, 0.0]), []
    for _ in range(80):
        found = main_effects(noisy(rng, design, 3, spread), "score", error=error, confidence=0.9)
        held += [*((found["low"] <= truth) & (truth <= found["high"]))]
    assert 0.85 < np.mean(held) < 0.95


def test_the_interval_over_seeds_is_that_of_effects():
    full = screening_design(factors(2))
    frame = noisy(np.random.default_rng(2), full, 4)
    ours = main_effects(frame, "score", error="seeds")
    theirs = effects(frame, "score")
    for column in ("difference", "low", "high"):
        assert ours[column].tolist() == pytest.approx(theirs[column].tolist())


def test_the_replicate_error_by_hand():
    frame = noisy(np.random.default_rng(3), screening_design(factors(3), 4), 5)
    y = frame["score"].to_numpy().reshape(4, 5)
    rest = y - y.mean(1, keepdims=True) - y.mean(0) + y.mean()
    reach = stats.t.ppf(0.975, 12) * 2 * np.sqrt((rest**2).sum() / 12 / 20)
    found = main_effects(frame, "score")
    assert (found["high"] - found["difference"]).tolist() == pytest.approx([reach] * 3)


def test_one_seed_has_no_interval():
    found = main_effects(study(lambda x, seed: x["a"], screening_design(factors(3)), seeds=1), "score")
    assert found[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "options", "error", "told"),
    [
        (None, {"metric": "loss"}, KeyError, "no column 'loss'"),
        (None, {"confidence": 95}, ValueError, "between 0 and 1"),
        (None, {"error": "guess"}, ValueError, "'replicates' or 'seeds'"),
        (None, {"baseline": {"z": 0}}, KeyError, "no factor 'z'"),
        (None, {"baseline": {"a": 7}}, ValueError, "a = 7"),
        (lambda f: f.iloc[1:], {}, ValueError, "1 of 24 runs are missing"),
        (lambda f: f.assign(score=f["score"].where(f.index != 3)), {}, ValueError, "missing or failed"),
        (lambda f: f.assign(a=0), {}, ValueError, "'a' needs two levels"),
        (lambda f: pd.concat([f, f.iloc[:1]]), {}, ValueError, "twice"),
        (lambda f: f[f["a"] + f["b"] < 2], {}, ValueError, "equally often"),
        (lambda f: f.assign(c=f["b"]).drop_duplicates(["a", "b", "c", "seed"]), {}, ValueError, "not orthogonal"),
    ],
)
@pytest.mark.parametrize("function", [main_effects, interactions])
def test_bad_questions_are_told(function, change, options, error, told):
    frame = study(lambda x, seed: x["a"] + seed, screening_design(factors(3)))
    changed = frame if change is None else change(frame)
    changed.attrs["factors"] = ["a", "b", "c"]
    with pytest.raises(error, match=told):
        function(changed, **({"metric": "score"} | options))


def test_the_front_holds_what_nobody_beats():
    frame = pd.DataFrame(
        [(4, 95.0, "d"), (1, 80.0, "a"), (3, 85.0, "c"), (2, 90.0, "b"), (2, 90.0, "twin"), (2, 70.0, "e"),
         (5, 95.0, "f"), (0, float("nan"), "failed")],
        columns=["cost", "score", "name"],
    )  # fmt: skip
    assert pareto_front(frame, "cost", "score")["name"].tolist() == ["a", "b", "twin", "d"]
    assert pareto_front(frame.iloc[:0], "cost", "score").empty
    with pytest.raises(KeyError, match="no column 'price'"):
        pareto_front(frame, "price", "score")
