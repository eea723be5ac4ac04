"""What is no class, score, count, share or picture is refused by every metric, and what is unusual but right is not."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as theirs
from torch import tensor

from nnlab_helpers import metrics

LOGITS, CLASSES = tensor([[2.0, 1.0], [0.0, 3.0]]), tensor([0, 1])
PROBABILITIES = LOGITS.softmax(1)
SCORES, BINARY = tensor([0.1, 0.9]), tensor([0, 1])
RIGHT = tensor([True, False])
PICTURE = torch.rand(2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
NAN, INF = math.nan, math.inf

USUAL = {  # function: arguments that it takes
    "accuracy": (LOGITS, CLASSES),
    "auroc": (SCORES, BINARY),
    "average_precision": (SCORES, BINARY),
    "calibration_table": (PROBABILITIES, CLASSES),
    "classification_report": (LOGITS, CLASSES),
    "confusion_matrix": (CLASSES, CLASSES, 2),
    "expected_calibration_error": (PROBABILITIES, CLASSES),
    "fit_temperature": (LOGITS, CLASSES),
    "mcnemar_test": (RIGHT, RIGHT),
    "paired_difference": (RIGHT, RIGHT),
    "precision_recall_curve": (SCORES, BINARY),
    "psnr": (PICTURE, PICTURE * 0.9),
    "roc_curve": (SCORES, BINARY),
    "ssim": (PICTURE, PICTURE * 0.9),
    "wilson_interval": (29, 100),
}
COUNTS, CALIBRATION = ("accuracy", "classification_report"), ("calibration_table", "expected_calibration_error")
RANKS = ("auroc", "average_precision", "precision_recall_curve", "roc_curve")
PAIRS, PICTURES = ("mcnemar_test", "paired_difference"), ("psnr", "ssim")
CLASSIFIED = (*COUNTS, *CALIBRATION, "fit_temperature")


def at(position, value, functions):
    """The usual arguments of each function, with another one at `position`."""
    for name in functions:
        arguments = list(USUAL[name])
        arguments[position] = value
        yield name, tuple(arguments)


REFUSED = [  # (functions with arguments, the kind of error, a part of what it says)
    (at(0, LOGITS.clone().fill_(NAN), (*COUNTS, "fit_temperature")), ValueError, "NaN"),
    (at(0, PROBABILITIES.clone().fill_(NAN), CALIBRATION), ValueError, r"must lie in \[0, 1\]"),
    (at(0, LOGITS, CALIBRATION), ValueError, "are these logits"),
    (at(0, LOGITS[:, :1], COUNTS), ValueError, "one output per sample"),
    (at(0, LOGITS[:1], CLASSIFIED), ValueError, r"\[1, 2\]|\[1\]"),
    (at(0, torch.zeros(2, 2, 2), CLASSIFIED), ValueError, r"\[2, 2, 2\]"),
    (at(0, SCORES, (*COUNTS, "confusion_matrix")), TypeError, "whole numbers"),
    (at(0, CLASSES.repeat(2, 1).T, (*CALIBRATION, "fit_temperature")), TypeError, "floats"),
    (at(1, SCORES, (*CLASSIFIED, "confusion_matrix")), TypeError, "whole numbers"),
    (at(1, tensor([0, 2]), (*CLASSIFIED, "confusion_matrix")), ValueError, "a class is outside 0 ... 1: there is a 2"),
    (at(1, tensor([0, -100]), (*CLASSIFIED, "confusion_matrix")), ValueError, "there is a -100: leave out what has no"),
    (at(0, tensor([0, -1]), (*COUNTS, "confusion_matrix")), ValueError, "there is a -1"),
    (at(2, 1, ("confusion_matrix",)), ValueError, "outside 0 ... 0"),
    (at(2, 0, ("confusion_matrix",)), ValueError, "at least 1"),
    (at(2, 2.5, ("confusion_matrix",)), TypeError, "whole number"),
    (at(0, SCORES.clone().fill_(NAN), RANKS), ValueError, "NaN"),
    (at(0, SCORES[:1], RANKS), ValueError, r"\[1\] and \[2\]"),
    (at(0, BINARY.bool(), RANKS), TypeError, "real numbers"),
    (at(1, tensor([0, 2]), RANKS), ValueError, "0 .negative. and 1 .positive."),
    (at(1, tensor([0.5, 0.5]), RANKS), ValueError, "0 .negative. and 1 .positive."),
    (at(1, tensor([0, 0]), RANKS), ValueError, "positive"),
    (at(0, SCORES, PAIRS), TypeError, "true or false for each sample"),
    (at(1, tensor([0, 1]), PAIRS), TypeError, "true or false for each sample"),
    (at(1, BINARY.bool(), (*CLASSIFIED, "confusion_matrix")), TypeError, "truth values"),
    (at(0, torch.full((2, 2), -INF), COUNTS), ValueError, "none of the row is the largest"),
    (at(0, PROBABILITIES / 2, CALIBRATION), ValueError, "must sum to 1"),
    ([(name, (*USUAL[name], True)) for name in PICTURES], ValueError, "data_range"),
    ([(name, (*USUAL[name], "0.95")) for name in ("wilson_interval", "paired_difference")], ValueError, "level"),
    ([("fit_temperature", (LOGITS, CLASSES, 0.05, INF))], ValueError, "both finite"),
    ([("fit_temperature", (tensor([[0.0, -INF]]), tensor([0])))], ValueError, "alike or -inf"),
    (at(1, tensor([True]), PAIRS), ValueError, "same samples"),
    (at(0, PICTURE.clone().fill_(NAN), PICTURES), ValueError, "NaN or infinite"),
    (at(1, PICTURE.clone().fill_(INF), PICTURES), ValueError, "NaN or infinite"),
    (at(0, (255 * PICTURE).byte(), PICTURES), TypeError, "divide bytes by 255"),
    (at(0, PICTURE[0], PICTURES), ValueError, "of one shape"),
    (at(0, 0.29 * 100, ("wilson_interval",)), TypeError, r"whole number, got 28\.9+6: a share times a count"),
    (at(0, 0.95, ("wilson_interval",)), TypeError, "whole number"),
    (at(0, True, ("wilson_interval",)), TypeError, "whole number"),
    (at(0, NAN, ("wilson_interval",)), TypeError, "whole number"),
    (at(1, INF, ("wilson_interval",)), TypeError, "whole number"),
    (at(0, -1, ("wilson_interval",)), ValueError, "0 <= right <= count"),
    (at(1, 28, ("wilson_interval",)), ValueError, "0 <= right <= count"),
    ([(name, (*USUAL[name], 0.0)) for name in ("wilson_interval", "paired_difference")], ValueError, "level"),
    ([(name, (*USUAL[name], 95)) for name in ("wilson_interval", "paired_difference")], ValueError, "level"),
    ([(name, (*USUAL[name], 0)) for name in CALIBRATION], ValueError, "at least one bin"),
    ([(name, (*USUAL[name], 1.5)) for name in CALIBRATION], TypeError, "whole number"),
    ([(name, (*USUAL[name], 0.0)) for name in PICTURES], ValueError, "data_range"),
    ([("fit_temperature", (tensor([[INF, 0.0]]), tensor([0])))], ValueError, "NaN or infinite"),
    ([("fit_temperature", (tensor([[-INF, 0.0]]), tensor([0])))], ValueError, "ruled out"),
    ([("fit_temperature", (torch.ones(4, 3), torch.arange(4) % 3))], ValueError, "alike or -inf"),
]
CASES = [
    pytest.param(name, arguments, error, told, id=f"{name}-{number}")
    for number, (some, error, told) in enumerate(REFUSED)
    for name, arguments in some
]


@pytest.mark.parametrize(("name", "arguments", "error", "told"), CASES)
def test_refused(name, arguments, error, told):
    with pytest.raises(error, match=told):
        getattr(metrics, name)(*arguments)


def test_every_metric_is_tried():
    functions = {name for name in metrics.__all__ if name[0].islower()}
    assert functions == USUAL.keys()
    assert functions <= {case.values[0] for case in CASES}
    for name, arguments in USUAL.items():
        assert getattr(metrics, name)(*arguments) is not None


@pytest.mark.parametrize("name", [name for name in USUAL if name not in ("wilson_interval", *PICTURES)])
def test_no_samples_are_refused(name):
    first, second, *more = USUAL[name]
    if name == "confusion_matrix":
        assert metrics.confusion_matrix(first[:0], second[:0], 2).tolist() == [[0, 0], [0, 0]], "no counts are counts"
        return
    with pytest.raises(ValueError, match=r"no samples|N > 0|same samples"):
        getattr(metrics, name)(first[:0], second[:0], *more)


@pytest.mark.parametrize("form", [list, tuple, np.array], ids=["list", "tuple", "array"])
@pytest.mark.parametrize("name", [name for name in USUAL if name != "wilson_interval"])
def test_lists_and_arrays_are_taken(name, form):
    first, second, *more = USUAL[name]
    expected = getattr(metrics, name)(first, second, *more)
    got = getattr(metrics, name)(form(first.tolist()), form(second.tolist()), *more)
    for a, b in zip(np.ravel(np.asarray(got, dtype=object)), np.ravel(np.asarray(expected, dtype=object)), strict=True):
        np.testing.assert_allclose(np.asarray(a, float), np.asarray(b, float), rtol=1e-6)


def test_counts_that_are_whole_are_taken_in_any_form():
    expected = metrics.wilson_interval(29, 100)
    for right in (29.0, np.int64(29), tensor(29), tensor(29.0), np.float64(29)):
        assert metrics.wilson_interval(right, 100) == expected
    pred, labels = torch.arange(1000) * 0, (torch.arange(1000) >= 983).long()
    share = metrics.accuracy(pred, labels)
    assert share == 0.983
    assert metrics.wilson_interval(share * 1000, 1000) == metrics.wilson_interval(983, 1000)


@pytest.mark.parametrize(
    ("pred", "labels"),
    [([0, 2, 2, 0], [0, 2, 2, 0]), ([0, 2, 2, 0], [0, 2, 0, 0]), ([0, 0], [0, 0]), ([4, 1, 1], [1, 1, 2])],
)
def test_the_macro_average_leaves_out_classes_that_do_not_occur(pred, labels):
    report = metrics.classification_report(pred, labels)
    for column in ("f1", "precision", "recall"):
        expected = getattr(theirs, f"{column}_score")(labels, pred, average="macro", zero_division=0)
        assert report.loc["macro average", column] == pytest.approx(expected, abs=1e-12)


def test_the_first_threshold_is_infinite_also_for_whole_numbers():
    curve = metrics.roc_curve(tensor([3, 1, 2]), tensor([1, 0, 1]))
    assert curve.thresholds.tolist() == [INF, 3.0, 2.0, 1.0]
    assert metrics.precision_recall_curve(tensor([3, 1, 2]), tensor([1, 0, 1])).thresholds.tolist() == [3.0, 2.0, 1.0]


def test_infinite_scores_have_their_place():
    labels = tensor([0, 0, 1, 1])
    assert metrics.auroc(tensor([-INF, 0.0, 1.0, INF]), labels) == 1.0
    assert metrics.average_precision(tensor([INF, 0.0, 1.0, -INF]), labels) < 1.0
    assert metrics.roc_curve(tensor([-INF, 0.0, 1.0, INF]), labels).thresholds.tolist() == [INF, INF, 1.0, 0.0, -INF]


def test_scores_that_are_nearly_alike_are_no_ties():
    labels = tensor([1, 0, 1, 0])
    for scale in (1.0, 1e-8, 1e-30):
        scores = scale * tensor([4.0, 3.0, 2.0, 1.0])
        assert metrics.auroc(scores, labels) == 0.75
        assert len(metrics.roc_curve(scores, labels).thresholds) == 5
    close = torch.nextafter(tensor(0.5), tensor(1.0))
    assert metrics.auroc(tensor([0.5, close]), tensor([0, 1])) == 1.0


@pytest.mark.parametrize("size", [5.0, 30.0, 100.0, 1000.0])
def test_a_perfect_model_gets_the_lowest_temperature(size):
    for logits in (tensor([[size, 0.0], [0.0, size]]), tensor([[0.0, -size], [-size, 0.0]])):
        assert metrics.fit_temperature(logits, tensor([0, 1])) == pytest.approx(0.05)
    assert metrics.fit_temperature(tensor([[size, 0.0], [0.0, size]]), tensor([1, 0])) == pytest.approx(20.0)


def test_a_class_that_is_ruled_out_changes_no_temperature():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(200) % 2
    logits = 4.0 * torch.nn.functional.one_hot(labels, 2) + 2 * torch.randn(200, 2, generator=generator)
    masked = torch.cat([logits, torch.full((200, 1), -INF)], 1)
    assert metrics.fit_temperature(masked, labels) == pytest.approx(metrics.fit_temperature(logits, labels))
    assert metrics.fit_temperature(2 * logits, labels) == pytest.approx(2 * metrics.fit_temperature(logits, labels))


@pytest.mark.parametrize(("only_a", "only_b", "count"), [(0, 40, 100), (10, 90, 100), (3, 7, 20)])
def test_the_paired_interval_is_that_of_the_mean_of_the_differences(only_a, only_b, count):
    a = torch.arange(count) < only_a
    b = (torch.arange(count) >= only_a) & (torch.arange(count) < only_a + only_b)
    differences = b.double() - a.double()
    found = metrics.paired_difference(a, b)
    half = 1.959964 * differences.std(correction=0).item() / math.sqrt(count)
    assert found.difference == pytest.approx(differences.mean().item())
    assert (found.low, found.high) == pytest.approx((found.difference - half, found.difference + half), rel=1e-6)
