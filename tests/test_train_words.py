"""A batch that does not fit, in words that name the argument, what came, and what to do."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from training import Constant, X, Y, batches_of, make_model, sgd

from nnlab_helpers.train import evaluate, fit

CROSS = F.cross_entropy
WORDS = {
    "float labels": (X, Y.float(), CROSS, r"labels are a tensor \[50\] of float32.*y\.long\(\)"),
    "int32 labels": (X, Y.int(), nn.CrossEntropyLoss(), r"\[50\] of int32.*y\.long\(\)"),
    "boolean labels": (X, Y > 0, CROSS, r"\[50\] of bool.*y\.long\(\)"),
    "one-hot labels": (X, F.one_hot(Y, 3), CROSS, r"\[50, 3\].*one-hot.*y\.argmax\(dim=1\)"),
    "a column of labels": (X, Y[:, None], CROSS, r"\[50, 1\] of int64, and the loss needs \[50\]: y\.squeeze\(-1\)"),
    "a column of floats": (X, Y[:, None].float(), CROSS, r"\[50, 1\].*y\.squeeze\(-1\)\.long\(\)"),
    "labels from 1": (X, Y + 1, CROSS, r"label 3 is out of range: for 3 outputs labels are 0 to 2\. Count from 0"),
    "negative labels": (X, Y - 1, CROSS, "label -1 is out of range"),
    "float labels in a loss of ones own": (X, Y.float(), lambda o, y: CROSS(o, y), r"of float32.*y\.long\(\)"),
    "one-hot labels in a loss of ones own": (X, F.one_hot(Y, 3), lambda o, y: CROSS(o, y), r"y\.argmax\(dim=1\)"),
    "too few labels": (X, Y[:20], CROSS, r"\[20\].*the loss needs \[50\]"),
    "labels in a list": (X, Y.tolist(), CROSS, r"targets are a list of 50.*torch\.as_tensor"),
    "bytes": ((X * 9).byte(), Y, CROSS, r"x is a tensor \[50, 6\] of uint8.*x\.float\(\) / 255"),
    "doubles": (
        X.double(),
        Y,
        CROSS,
        r"of float64, and the model computes in float32: give it x\.to\(torch\.float32\)",
    ),
    "binary labels that are whole": (X, F.one_hot(Y, 3), F.binary_cross_entropy_with_logits, r"floats: y\.float\(\)"),
    "logits for probabilities": (X, F.one_hot(Y, 3).float(), F.binary_cross_entropy, "_with_logits for logits"),
}


class TestWords:
    @pytest.mark.parametrize("what", WORDS)
    def test_a_batch_that_does_not_fit(self, what):
        x, y, loss, says = WORDS[what]
        model = make_model()
        with pytest.raises(ValueError, match=says):
            fit(model, [(x, y)], epochs=1, optimizer=sgd(model), loss=loss)
        with pytest.raises(ValueError, match=says):
            evaluate(model, [(x, y)], loss=loss)

    def test_one_output_under_cross_entropy(self):
        with pytest.raises(ValueError, match=r"output is \[50\], and a loss over classes needs logits \[N, C\]"):
            evaluate(nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), [(X, Y)])

    def test_labels_out_of_range_in_a_step_of_ones_own(self):
        with pytest.raises(ValueError, match=r"label [34] is out of range"):
            evaluate(make_model(), [(X, Y + 2)], step=lambda m, b: F.cross_entropy(m(b[0]), b[1]))

    def test_images_for_a_convolution(self):
        for images, says in (
            (torch.zeros(4, 1, 8, 8, dtype=torch.uint8), "/ 255"),
            (torch.zeros(4, 1, 8, 8).double(), "float32"),
        ):
            with pytest.raises(ValueError, match=says):
                evaluate(nn.Sequential(nn.Conv2d(1, 3, 8), nn.Flatten()), [(images, Y[:4])])

    def test_whole_numbers_for_an_embedding(self):
        model = nn.Sequential(nn.Embedding(9, 3), nn.Flatten())
        with pytest.raises(ValueError, match=r"give it x\.long\(\)"):
            evaluate(model, [(torch.zeros(4, 1), Y[:4])])

    @pytest.mark.parametrize(
        "output", [(torch.zeros(50, 3),) * 2, {"logits": torch.zeros(50, 3)}, [torch.zeros(50, 3)]]
    )
    def test_a_model_that_returns_several(self, output):
        with pytest.raises(
            TypeError, match=f"the model returned a {type(output).__name__} of .*step=lambda model, batch"
        ):
            evaluate(Constant(output), [(X, Y)])

    def test_a_loss_that_takes_what_the_model_returns(self):
        model = Constant((torch.zeros(50, 3), 1))
        assert evaluate(model, [(X, Y)], loss=lambda out, y: F.cross_entropy(out[0], y)).keys() == {"loss"}

    def test_the_images_are_not_blamed_for_the_labels(self):
        """Tokens are whole numbers, and the weights are not: that is no mistake."""
        model, tokens = nn.Sequential(nn.Embedding(9, 3), nn.Flatten()), torch.zeros(4, 1, dtype=torch.long)
        with pytest.raises(RuntimeError, match="expected target dtype"):
            evaluate(model, [(tokens, Y[:4].int())], step=lambda m, b: F.cross_entropy(m(b[0]), b[1]))

    @pytest.mark.parametrize("step", [None, lambda model, batch: F.cross_entropy(model(batch[0]), batch[1])])
    def test_batch_normalisation_of_one_sample(self, step):
        model = make_model(norm="batch")
        with pytest.raises(ValueError, match=r"batch of one sample.*drop_last=True"):
            fit(model, batches_of(X, Y, 49), epochs=1, optimizer=sgd(model), step=step)

    def test_arrays(self):
        with pytest.raises(TypeError, match=r"samples are in a ndarray.*torch\.as_tensor"):
            evaluate(make_model(), [(X.numpy(), Y)])

    def test_another_error_keeps_its_kind_and_says_what_came(self):
        with pytest.raises(RuntimeError, match="cannot be multiplied") as caught:
            evaluate(nn.Linear(5, 3), [(X, Y)])
        assert caught.value.__notes__ == ["The batch began with a tensor [50, 6]."]

        def mistaken(output, y):
            raise KeyError("my own mistake")

        with pytest.raises(KeyError, match="my own mistake"):
            evaluate(make_model(), [(X, Y)], loss=mistaken)
