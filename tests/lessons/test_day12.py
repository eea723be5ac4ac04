"""Day 12's own counts, curves, calibration and intervals, held against the package and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from closeness import rounding
from lesson import definitions

from nnlab_helpers import metrics

LESSON = "day12_metrics"


@pytest.fixture
def scored():
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(300, generator=generator) < 0.2
    scores = (4 * (labels + torch.randn(300, generator=generator))).round()  # with ties
    return scores, labels


@pytest.fixture
def classified():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(500, 4, generator=generator)
    return logits, torch.randint(0, 4, (500,), generator=generator)


def test_the_lessons_counts_are_those_of_scikit_learn(scored):
    from sklearn.metrics import precision_recall_fscore_support

    lesson = definitions(LESSON, "three_counts", "scores_of")
    said, truth = scored[0] > 2, scored[1]
    expected = precision_recall_fscore_support(truth, said, average="binary")[:3]
    assert lesson.scores_of(*lesson.three_counts(said, truth)) == pytest.approx(expected)
    assert lesson.scores_of(0, 0, 5) == lesson.scores_of(0, 0, 0) == (0.0, 0.0, 0.0)


def test_the_lessons_curves_are_the_packages(scored):
    lesson = definitions(LESSON, "walk_down", "areas")
    thresholds, tp, fp = lesson.walk_down(*scored)
    curve = metrics.precision_recall_curve(*scored)
    assert torch.equal(thresholds, curve.thresholds)
    torch.testing.assert_close(tp / (tp + fp), curve.precision)
    torch.testing.assert_close(tp / tp[-1], curve.recall)
    torch.testing.assert_close(fp / fp[-1], metrics.roc_curve(*scored).false_positive_rate[1:])
    assert lesson.areas(*scored) == pytest.approx((metrics.auroc(*scored), metrics.average_precision(*scored)))


def test_the_lessons_threshold_has_the_highest_f1(scored):
    from sklearn.metrics import f1_score

    scores, labels = scored
    chosen = definitions(LESSON, "walk_down", "best_threshold").best_threshold(scores, labels)
    each = [f1_score(labels, scores >= t) for t in scores.unique()]
    assert f1_score(labels, scores >= chosen) == pytest.approx(max(each))


def test_the_lessons_reliability_is_the_packages_table(classified):
    logits, labels = classified
    probabilities = logits.softmax(1)
    confidence, answer = probabilities.max(1)
    table = definitions(LESSON, "reliability").reliability(confidence, answer == labels)
    package = metrics.calibration_table(probabilities, labels, bins=10)
    assert table[:, 0].tolist() == package.samples.tolist()
    np.testing.assert_allclose(table[:, 1], package.confidence, atol=rounding())
    np.testing.assert_allclose(table[:, 2], package.accuracy, atol=rounding())


def test_the_lessons_temperature_is_the_packages_to_a_step_of_its_grid(classified):
    logits, labels = classified
    logits = logits + 4 * torch.nn.functional.one_hot(labels, 4)
    own = definitions(LESSON, "GRID", "best_temperature").best_temperature(logits, labels)
    assert own == pytest.approx(metrics.fit_temperature(logits, labels), rel=0.04)


@pytest.mark.parametrize(("right", "count"), [(0, 20), (20, 20), (97, 100), (9_800, 10_000)])
def test_the_lessons_wilson_interval_is_the_packages(right, count):
    own = definitions(LESSON, "wilson_interval").wilson_interval(right, count)
    assert own == pytest.approx(metrics.wilson_interval(right, count), abs=rounding())


def test_the_lessons_comparison_is_the_packages():
    lesson = definitions(LESSON, "paired", "mcnemar")
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(400, generator=generator) < 0.8, torch.rand(400, generator=generator) < 0.85
    difference, half = lesson.paired(a, b)
    package = metrics.paired_difference(a, b)
    assert (difference, difference - half, difference + half) == pytest.approx(package, abs=2e-4)
    assert lesson.mcnemar(a, b) == pytest.approx(metrics.mcnemar_test(a, b))


def test_the_solutions_are_the_packages(classified, scored):
    solved = definitions(LESSON, "expected_calibration_error", "auc", "precision_recall", "f1_over_batches",
                         folder="solutions")  # fmt: skip
    logits, labels = classified
    probabilities = logits.softmax(1)
    confidence, answer = probabilities.max(1)
    for bins in (1, 5, 10):
        own = solved.expected_calibration_error(confidence, answer == labels, bins)
        assert own == pytest.approx(metrics.expected_calibration_error(probabilities, labels, bins), abs=rounding())
    scores, positive = scored
    assert solved.auc(scores[positive], scores[~positive]) == pytest.approx(metrics.auroc(*scored))
    report = metrics.classification_report(answer, labels)
    precision, recall = solved.precision_recall(metrics.confusion_matrix(answer, labels, 4))
    np.testing.assert_allclose(precision, report["precision"][:4], atol=rounding())
    np.testing.assert_allclose(recall, report["recall"][:4], atol=rounding())
    batches = [((answer == 2)[part], (labels == 2)[part]) for part in torch.arange(500).split(64)]
    assert solved.f1_over_batches(batches) == pytest.approx(report["f1"].iloc[2])


def test_the_solutions_sample_size_gives_the_margin():
    needed_samples = definitions(LESSON, "needed_samples", folder="solutions").needed_samples
    normal_interval = definitions(LESSON, "normal_interval").normal_interval
    for margin, accuracy in ((0.01, 0.9), (0.004, 0.97)):
        n = needed_samples(margin, accuracy)
        low, high = normal_interval(accuracy * n, n)
        assert (high - low) / 2 <= margin < 1.96 * math.sqrt(accuracy * (1 - accuracy) / (n - 1))
