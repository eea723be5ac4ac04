"""Ranking, calibration and uncertainty, held against counting, torchmetrics and simulation."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from closeness import rounding
from gpu import DEVICE, on_gpu

from nnlab_helpers import metrics


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["all different", "with ties", "negative scores", "one positive"])
def scored(request):
    """Scores and labels of 400 samples."""
    labels = torch.rand(400, generator=generator()) < 0.15
    scores = labels + torch.randn(400, generator=generator(1))
    if request.param == "with ties":
        scores = (2 * scores).round() / 2
    elif request.param == "negative scores":
        scores = scores - 30.0
    elif request.param == "one positive":
        labels = torch.arange(400) == scores.argsort()[300]
    return scores, labels


# Ranking -----------------------------------------------------------------------------------------------------------


def test_roc_counts_what_reaches_each_threshold(scored):
    scores, labels = scored
    curve = metrics.roc_curve(scores, labels)
    assert curve.thresholds[0] == math.inf
    assert curve.thresholds.dtype == scores.dtype
    assert curve.thresholds[1:].tolist() == scores.unique().flip(0).tolist()
    reached = scores >= curve.thresholds[:, None]  # [T + 1, N]
    assert curve.false_positive_rate.tolist() == pytest.approx(reached[:, ~labels].double().mean(1).tolist())
    assert curve.true_positive_rate.tolist() == pytest.approx(reached[:, labels].double().mean(1).tolist())


def test_precision_recall_counts_what_reaches_each_threshold(scored):
    scores, labels = scored
    curve = metrics.precision_recall_curve(scores, labels)
    assert curve.thresholds.tolist() == scores.unique().flip(0).tolist()
    reached = scores >= curve.thresholds[:, None]  # [T, N]
    precision = [labels[row].double().mean().item() for row in reached]
    assert curve.precision.tolist() == pytest.approx(precision)
    assert curve.recall.tolist() == pytest.approx(reached[:, labels].double().mean(1).tolist())


@pytest.mark.filterwarnings("ignore")  # warnings of importing torchmetrics are not ours
def test_torchmetrics_agrees_on_probabilities(scored):
    from torchmetrics.functional.classification import binary_auroc, binary_average_precision

    scores, labels = scored[0].sub(scored[0].min()).div(100), scored[1].long()
    assert metrics.auroc(scores, labels) == pytest.approx(binary_auroc(scores, labels).item(), abs=rounding(steps=128))
    theirs = binary_average_precision(scores, labels).item()
    assert metrics.average_precision(scores, labels) == pytest.approx(theirs, abs=rounding(steps=128))


def test_confident_logits_are_not_rounded_together():
    logits, labels = torch.tensor([40.0, 50.0, 30.0, 60.0]), torch.tensor([0, 1, 0, 1])
    assert logits.sigmoid().unique().numel() == 1
    assert metrics.auroc(logits, labels) == metrics.average_precision(logits, labels) == 1.0


def test_area_is_the_share_of_pairs_in_order(scored):
    scores, labels = scored
    above = torch.sign(scores[labels][:, None] - scores[~labels]).double()
    assert metrics.auroc(scores, labels) == pytest.approx((above.mean().item() + 1) / 2, abs=1e-12)


# Calibration -------------------------------------------------------------------------------------------------------


@pytest.fixture
def overconfident():
    """Logits that are three times as large as they should be, and labels [4000]."""
    logits = 1.5 * torch.randn(4_000, 5, generator=generator())
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator(1))[:, 0]
    return 3 * logits, labels


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_error_is_that_of_torchmetrics(overconfident, bins):
    from torchmetrics.functional.classification import multiclass_calibration_error

    logits, labels = overconfident
    probabilities = logits.softmax(1)
    theirs = multiclass_calibration_error(probabilities, labels, num_classes=5, n_bins=bins, norm="l1").item()
    mine = metrics.expected_calibration_error(probabilities, labels, bins)
    assert mine == pytest.approx(theirs, abs=rounding(steps=128))
    assert theirs > 0.1


def test_a_bin_holds_its_upper_edge_and_empty_bins_are_left_out():
    probabilities = torch.tensor([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0], [0.6, 0.4]])
    table = metrics.calibration_table(probabilities, torch.tensor([0, 1, 1, 0]), bins=4)
    assert table.samples.tolist() == [1, 2, 1]
    assert table.accuracy.tolist() == [0.0, 1.0, 0.0]
    np.testing.assert_allclose(table.confidence, [0.5, 0.675, 1.0], atol=rounding())


def test_the_temperature_is_found_and_mends_the_calibration(overconfident):
    logits, labels = overconfident
    temperature = metrics.fit_temperature(logits, labels)
    assert temperature == pytest.approx(3.0, rel=0.1)
    losses = [
        torch.nn.functional.cross_entropy(logits / t, labels).item()
        for t in (0.98 * temperature, temperature, 1.02 * temperature)
    ]
    assert losses[1] == min(losses)
    before, after = (metrics.expected_calibration_error((logits / t).softmax(1), labels) for t in (1, temperature))
    assert after < 0.03 < 0.1 < before


@on_gpu  # which need not have float64
def test_calibration_is_the_same_from_a_gpu(overconfident):
    logits, labels = overconfident
    for judge in (metrics.fit_temperature, lambda z, y: metrics.expected_calibration_error(z.softmax(1), y)):
        assert judge(logits.to(DEVICE), labels.to(DEVICE)) == pytest.approx(judge(logits, labels), rel=1e-4)
    table = metrics.calibration_table(logits.softmax(1).to(DEVICE), labels)
    assert all(column.device.type == "cpu" for column in table)


def test_the_temperature_stops_at_its_bounds():
    logits = torch.eye(3)
    assert metrics.fit_temperature(logits, torch.arange(3), lowest=0.2) == pytest.approx(0.2)
    assert metrics.fit_temperature(-logits, torch.arange(3), highest=8.0) == pytest.approx(8.0)


# Uncertainty -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (98, 100), (9_712, 10_000), (1, 3)])
@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_wilson_ends_where_the_measured_share_is_z_of_their_own_errors_away(right, count, level):
    z = NormalDist().inv_cdf((1 + level) / 2)
    for end in metrics.wilson_interval(right, count, level):
        assert 0 <= end <= 1
        assert abs(right / count - end) == pytest.approx(z * math.sqrt(end * (1 - end) / count), abs=1e-9)


def test_paired_difference_holds_the_truth_as_often_as_it_says():
    hits, trials = 0, 600
    for seed in range(trials):
        hard = torch.rand(500, generator=generator(seed))
        a, b = (hard + 0.2 * torch.rand(500, generator=generator(10_000 * k + seed)) < 0.95 for k in (1, 2))
        found = metrics.paired_difference(a, b)
        hits += found.low <= 0 <= found.high
        assert found.difference == pytest.approx((b.double() - a.double()).mean().item(), abs=1e-9)
    assert 0.92 < hits / trials < 0.98


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (3, 3), (2, 9), (12, 5), (400, 470)])
def test_mcnemar_counts_the_splits_that_are_as_uneven(only_a, only_b):
    a = torch.tensor([True] * only_a + [False] * only_b + [True, False] * 5)
    b = torch.tensor([False] * only_a + [True] * only_b + [True, False] * 5)
    tosses, few = only_a + only_b, min(only_a, only_b)
    uneven = [k for k in range(tosses + 1) if min(k, tosses - k) <= few]
    expected = sum(math.comb(tosses, k) for k in uneven) / 2**tosses
    assert metrics.mcnemar_test(a, b) == pytest.approx(expected, rel=1e-6)
    assert metrics.mcnemar_test(a, b) == metrics.mcnemar_test(b, a)


YES = torch.ones(3, dtype=torch.bool)


ZEROS = torch.zeros(9, dtype=torch.long)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.roc_curve(torch.rand(3), torch.ones(3)), "positives and negatives"),
        (lambda: metrics.precision_recall_curve(torch.rand(3), ZEROS[:3]), "none occurs"),
        (lambda: metrics.auroc(torch.rand(3), torch.tensor([0, 1, 2])), "labels == class"),
        (lambda: metrics.auroc(torch.rand(3, 2), torch.ones(3)), r"\[3, 2\]"),
        (lambda: metrics.auroc(torch.rand(0), torch.ones(0)), "N > 0"),
        (lambda: metrics.auroc(torch.tensor([1.0, math.nan]), torch.tensor([0, 1])), "NaN"),
        (lambda: metrics.expected_calibration_error(torch.randn(9, 3) * 9, ZEROS), "Apply softmax"),
        (lambda: metrics.expected_calibration_error(torch.rand(9), ZEROS), r"\[N, C\]"),
        (lambda: metrics.expected_calibration_error(torch.rand(9, 2) / 2, ZEROS, bins=0), "at least one bin"),
        (lambda: metrics.fit_temperature(torch.zeros(2, 3), ZEROS[:3]), r"\[2, 3\] and \[3\]"),
        (lambda: metrics.fit_temperature(torch.zeros(2, 3), ZEROS[:2], lowest=-1), "0 < lowest"),
        (lambda: metrics.wilson_interval(5, 4), "5 of 4"),
        (lambda: metrics.wilson_interval(0, 0), "0 of 0"),
        (lambda: metrics.wilson_interval(1, 4, level=95), "as in 0.95"),
        (lambda: metrics.paired_difference(YES, YES[:2]), r"\[3\] and \[2\]"),
        (lambda: metrics.mcnemar_test(YES[:0], YES[:0]), "same samples"),
    ],
)
def test_mistakes_speak(call, says):
    with pytest.raises(ValueError, match=says):
        call()
