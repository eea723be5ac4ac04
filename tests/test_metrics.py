"""Metrics held against scikit-learn and torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from closeness import rounding

from nnlab_helpers.metrics import accuracy, classification_report, confusion_matrix


@pytest.fixture
def predictions():
    """Logits and labels of 500 samples in 5 classes; class 3 is never predicted, class 4 rare."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 5, (500,), generator=generator)
    labels[labels == 4] = torch.where(torch.rand(int((labels == 4).sum()), generator=generator) < 0.1, 4, 0)
    logits = torch.nn.functional.one_hot(labels, 5) + torch.randn(500, 5, generator=generator)
    logits[:, 3] = -10.0
    return logits, labels


def test_accuracy_is_that_of_scikit_learn(predictions):
    from sklearn.metrics import accuracy_score

    logits, labels = predictions
    expected = accuracy_score(labels.numpy(), logits.argmax(dim=1).numpy())
    assert accuracy(logits, labels) == pytest.approx(expected)
    assert accuracy(logits.argmax(dim=1), labels) == pytest.approx(expected)
    assert 0.3 < expected < 0.9


def test_confusion_has_true_rows_and_predicted_columns(predictions):
    from sklearn.metrics import confusion_matrix as oracle

    logits, labels = predictions
    matrix = confusion_matrix(logits.argmax(dim=1), labels, num_classes=5)
    assert matrix.dtype == torch.int64
    np.testing.assert_array_equal(matrix.numpy(), oracle(labels.numpy(), logits.argmax(dim=1).numpy()))
    assert not torch.equal(matrix, matrix.T)
    assert torch.equal(matrix, confusion_matrix(logits, labels, num_classes=5))
    assert confusion_matrix(logits, labels, num_classes=7).shape == (7, 7)


def test_report_is_that_of_scikit_learn(predictions):
    from sklearn.metrics import classification_report as oracle

    logits, labels = predictions
    names = ["ankle boot", "bag", "coat", "dress", "sneaker"]
    report = classification_report(logits, labels, names)
    expected = oracle(
        labels.numpy(), logits.argmax(dim=1).numpy(), target_names=names, output_dict=True, zero_division=0
    )
    for row, theirs in [
        *zip(names, names, strict=True),
        ("macro average", "macro avg"),
        ("weighted average", "weighted avg"),
    ]:
        for ours, key in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"), ("support", "support")):
            assert report.loc[row, ours] == pytest.approx(expected[theirs][key], abs=1e-12), (row, ours)
    assert report["support"].dtype.kind == "i"
    assert report.loc["dress", "precision"] == 0.0


def test_report_names_classes_by_number(predictions):
    logits, labels = predictions
    rows = ["0", "1", "2", "3", "4", "macro average", "weighted average"]
    assert list(classification_report(logits, labels).index) == rows
    assert list(classification_report(logits.argmax(dim=1), labels).index) == rows


@pytest.mark.filterwarnings("ignore")  # warnings of importing torchmetrics are not ours
def test_torchmetrics_agrees(predictions):
    torchmetrics = pytest.importorskip("torchmetrics.functional.classification")
    logits, labels = predictions
    theirs = torchmetrics.multiclass_accuracy(logits, labels, num_classes=5, average="micro")
    assert accuracy(logits, labels) == pytest.approx(theirs.item(), abs=rounding())
    matrix = torchmetrics.multiclass_confusion_matrix(logits, labels, num_classes=5)
    assert torch.equal(confusion_matrix(logits, labels, 5), matrix)
    f1 = torchmetrics.multiclass_f1_score(logits, labels, num_classes=5, average=None)
    np.testing.assert_allclose(classification_report(logits, labels)["f1"][:5], f1.numpy(), atol=rounding())


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: accuracy(torch.zeros(2, 3), torch.tensor([0, -1])), ValueError, "there is a -1"),
        (lambda: accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)), ValueError, "no samples"),
        (lambda: accuracy(torch.zeros(4, 3), torch.zeros(5, dtype=torch.long)), ValueError, r"\[4\] and \[5\]"),
        (lambda: accuracy(torch.zeros(4), torch.zeros(4, dtype=torch.long)), TypeError, "whole numbers"),
        (lambda: accuracy(torch.zeros(4, 3), torch.zeros(4)), TypeError, "labels must be whole"),
        (lambda: confusion_matrix(torch.tensor([5]), torch.tensor([1]), 5), ValueError, "predictions: .* outside 0"),
        (lambda: confusion_matrix(torch.tensor([0]), torch.tensor([-1]), 5), ValueError, "labels: .* there is a -1"),
        (lambda: classification_report(torch.tensor([2]), torch.tensor([1]), ["a", "b"]), ValueError, "outside"),
    ],
)
def test_mistakes_speak(call, error, says):
    with pytest.raises(error, match=says):
        call()
