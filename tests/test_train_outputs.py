"""What `fit` and `evaluate` make of outputs and targets: a right accuracy or none, no broadcasting, plain words."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from closeness import rounding
from torch import nn
from torch.nn import functional as F
from training import Constant, X, Y, batches_of, make_model, sgd

from nnlab_helpers.train import EarlyStopping, evaluate, fit, supervised

BINARY = (X[:, 0] > 0).float()


class TestOneOutputPerSample:
    @pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
    @pytest.mark.parametrize(
        "loss",
        [
            F.binary_cross_entropy_with_logits,
            nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)),
            partial(F.binary_cross_entropy_with_logits, pos_weight=torch.tensor(2.0)),
        ],
    )
    def test_binary_logits(self, loss, shape):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 1), nn.Flatten(0) if shape == (-1,) else nn.Identity())
        right = ((model(X).flatten() > 0).float() == BINARY).double().mean().item()
        found = evaluate(model, batches_of(X, BINARY.reshape(shape), 16), loss=loss)
        assert found["accuracy"] == pytest.approx(right, rel=rounding())
        assert 0.1 < right < 0.9

    @pytest.mark.parametrize("loss", [F.binary_cross_entropy, nn.BCELoss()])
    def test_binary_probabilities(self, loss):
        probabilities = torch.tensor([[0.9], [0.4], [0.2], [0.6]])
        targets = torch.tensor([[1.0], [1.0], [0.0], [0.0]])
        assert evaluate(Constant(probabilities), [(probabilities, targets)], loss=loss)["accuracy"] == 0.5

    def test_soft_targets_have_no_accuracy(self):
        model = Constant(torch.zeros(4))
        bce = F.binary_cross_entropy_with_logits
        assert evaluate(model, [(X[:4], torch.full((4,), 0.3))], loss=bce).keys() == {"loss"}
        mixed = torch.tensor([1.0, 0.0, 0.5, 0.5])
        assert evaluate(model, [(X[:4], mixed)], loss=bce)["accuracy"] == 0.5, "over those that are 0 or 1"

    @pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
    def test_a_loss_of_ones_own_has_none(self, shape):
        """Whether its outputs are logits or probabilities only its author knows."""
        labels = BINARY.long().reshape(shape)

        def loss(output, y):
            return F.binary_cross_entropy_with_logits(output.flatten(), y.flatten().float())

        model = nn.Linear(6, 1)
        assert evaluate(model, [(X, labels)], loss=loss).keys() == {"loss"}
        with pytest.raises(ValueError, match="'val_accuracy', which no epoch reports"):
            fit(
                model, [(X, labels)], [(X, labels)], epochs=9, optimizer=sgd(model), loss=loss,
                early_stopping=EarlyStopping("val_accuracy"),
            )  # fmt: skip

    def test_other_losses_over_classes_keep_theirs(self):
        model = make_model()
        expected = (model(X).argmax(dim=1) == Y).double().mean().item()
        for loss in (lambda o, y: F.multi_margin_loss(o, y), nn.MultiMarginLoss(), nn.CrossEntropyLoss()):
            assert evaluate(model, [(X, Y)], loss=loss)["accuracy"] == pytest.approx(expected, rel=rounding())

    def test_cross_entropy_over_one_class(self):
        with pytest.raises(ValueError, match=r"\[50, 1\], and cross-entropy over a single class is always 0"):
            evaluate(nn.Linear(6, 1), [(X, torch.zeros(50, dtype=torch.long))])


OWN = {
    "arithmetic": lambda o, y: ((o - y) ** 2).mean(),
    "arithmetic turned round": lambda o, y: (y.float() - 2 * o).abs().mean(),
    "cross-entropy by hand": lambda o, y: -torch.where(y > 0.5, F.logsigmoid(o), F.logsigmoid(-o)).mean(),
    "arguments by name": lambda o, y: F.smooth_l1_loss(input=o, target=y),
    "a function within": lambda o, y: F.mse_loss(o, y),
    "a variance too": lambda o, y: F.gaussian_nll_loss(o, y, torch.ones_like(o)),
    "another within": lambda o, y: F.soft_margin_loss(o, 2 * y - 1),
}


class TestBroadcasting:
    @pytest.mark.parametrize(
        "loss",
        [
            F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.poisson_nll_loss, nn.MSELoss(), nn.L1Loss(),
            nn.SmoothL1Loss(), nn.HuberLoss(), nn.KLDivLoss(reduction="batchmean"), nn.HingeEmbeddingLoss(),
            nn.MultiLabelSoftMarginLoss(), partial(F.huber_loss, delta=2.0), *OWN.values(),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("flat", ["targets", "output"])
    def test_is_refused_in_training_and_in_evaluation(self, loss, flat):
        model = nn.Linear(6, 1) if flat == "targets" else nn.Sequential(nn.Linear(6, 1), nn.Flatten(0))
        y, before = BINARY if flat == "targets" else BINARY[:, None], [p.clone() for p in model.parameters()]
        shapes = (r"\[25, 1\]", r"\[25\]") if flat == "targets" else (r"\[25\]", r"\[25, 1\]")
        says = "output is {} and the targets are {}".format(*shapes)
        with pytest.raises(ValueError, match=says):
            fit(model, batches_of(X, y, 25), epochs=1, optimizer=sgd(model), loss=loss)
        with pytest.raises(ValueError, match=says):
            evaluate(model, batches_of(X, y, 25), loss=loss)
        assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))

    def test_images_too(self):
        model = nn.Conv2d(1, 1, 3, padding=1)
        images = torch.rand(8, 1, 6, 6)
        with pytest.raises(ValueError, match=r"\[8, 1, 6, 6\] and the targets are \[8, 6, 6\]"):
            evaluate(model, [(images, images[:, 0])], loss=OWN["arithmetic"])

    def test_in_a_step_of_ones_own(self):
        model = nn.Linear(6, 1)
        with pytest.raises(ValueError, match=r"output is \[50, 1\] and the targets are \[50\]"):
            fit(model, [(X, BINARY)], epochs=1, optimizer=sgd(model), step=lambda m, b: F.mse_loss(m(b[0]), b[1]))

    @pytest.mark.parametrize(
        ("loss", "y"),
        [
            (lambda o, y: F.mse_loss(o[:, 0], y), BINARY),
            (lambda o, y: F.mse_loss(o, y[:, None]), BINARY),
            (lambda o, y: F.binary_cross_entropy_with_logits(o.squeeze(1), y.float()), BINARY.long()),
            (lambda o, y: ((o - o.T) * (y[:, None] - y).sign()).mean(), BINARY),  # of pairs
            (lambda o, y: torch.relu(0.5 - (y[:, None] == y) * o[:, 0][:, None] * o[:, 0]).mean(), BINARY),
            (F.mse_loss, BINARY[:, None]),
        ],
    )
    def test_what_is_meant_is_computed(self, loss, y):
        torch.manual_seed(0)
        model = nn.Linear(6, 1)
        assert evaluate(model, [(X, y)], loss=loss)["loss"] == pytest.approx(loss(model(X), y).item(), rel=rounding())
        fit(model, [(X, y)], epochs=1, optimizer=sgd(model), loss=loss)

    def test_quantiles_share_their_targets(self):
        """`[N, 3]` against `[N, 1]` is meant: no output is compared with the target of another sample."""
        model = make_model()

        def pinball(output, y):
            over = y - output
            return torch.maximum(0.1 * over, -0.9 * over).mean()

        assert evaluate(model, [(X, BINARY[:, None])], loss=pinball).keys() == {"loss"}


LABELS = torch.where(torch.arange(50) % 3 == 0, -100, Y)
WEIGHT = torch.tensor([1.0, 5.0, 0.5])


class TestWhatCounts:
    """A loss with class weights or ignored labels: the same mean whatever the size of the batches."""

    @pytest.mark.parametrize(
        "loss",
        [
            F.cross_entropy, nn.CrossEntropyLoss(), nn.CrossEntropyLoss(WEIGHT),
            partial(F.cross_entropy, weight=WEIGHT), nn.CrossEntropyLoss(WEIGHT, ignore_index=1),
            nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("size", [1, 7, 16])
    def test_evaluation_does_not_depend_on_the_batches(self, loss, size):
        model = make_model()
        y = LABELS.clamp(min=0) if getattr(loss, "ignore_index", -100) == 1 else LABELS
        whole = loss(model(X), y).item()
        found = evaluate(model, batches_of(X, y, size), loss=loss)
        assert found["loss"] == pytest.approx(whole, rel=rounding(steps=128))
        counted = y != getattr(loss, "ignore_index", -100)
        right = (model(X).argmax(dim=1) == y)[counted].double().mean().item()
        assert found["accuracy"] == pytest.approx(right, rel=rounding())

    def test_nll_loss(self):
        model = nn.Sequential(make_model(), nn.LogSoftmax(dim=1))
        loss = nn.NLLLoss(WEIGHT)
        found = evaluate(model, batches_of(X, LABELS, 16), loss=loss)
        assert found["loss"] == pytest.approx(loss(model(X), LABELS).item(), rel=rounding(steps=128))

    def test_pixels(self):
        torch.manual_seed(0)
        model, images = nn.Conv2d(1, 3, 1), torch.rand(10, 1, 4, 4)
        y = torch.randint(0, 3, (10, 4, 4))
        y[:4] = -100
        y[4, 0] = -100
        found = evaluate(model, batches_of(images, y, 3))
        assert found == {"loss": pytest.approx(F.cross_entropy(model(images), y).item(), rel=rounding(steps=128))}

    def test_training_losses_and_what_hooks_see(self):
        model, seen = make_model(), []

        class Hook:
            def on_update(self, event):
                seen.append({name: value.item() for name, value in event.values.items()})

        whole = F.cross_entropy(model(X), LABELS).item()
        history = fit(
            model, batches_of(X, LABELS, 16), epochs=1, optimizer=sgd(model, lr=0.0), accumulate=9, hooks=[Hook()]
        )
        assert history["train_loss"][0] == pytest.approx(whole, rel=rounding(steps=128))
        assert seen[0]["loss"] == pytest.approx(whole, rel=rounding(steps=128))
        assert seen[0]["accuracy"] == pytest.approx(history["train_accuracy"][0], rel=rounding(steps=128))

    def test_a_batch_without_labels_that_count(self):
        model = make_model()
        nothing = torch.full((10,), -100)
        loader = [(X[:10], Y[:10]), (X[10:20], nothing)]
        expected = F.cross_entropy(model(X[:10]), Y[:10]).item()
        assert evaluate(model, loader)["loss"] == pytest.approx(expected, rel=rounding())
        assert len(fit(model, loader, epochs=1, optimizer=sgd(model))) == 1
        with pytest.raises(ValueError, match=r"no label counts in evaluation.*ignore_index"):
            evaluate(model, loader[1:])

    def test_class_probabilities_count_by_samples(self):
        model, y = make_model(), F.one_hot(Y, 3).float()
        loss = nn.CrossEntropyLoss(WEIGHT)
        found = evaluate(model, batches_of(X, y, 16), loss=loss)
        assert found == {"loss": pytest.approx(loss(model(X), y).item(), rel=rounding(steps=128))}

    @pytest.mark.parametrize("loss", [nn.MSELoss(reduction="sum"), partial(F.cross_entropy, reduction="sum")])
    def test_a_sum_is_refused(self, loss):
        with pytest.raises(ValueError, match='reduction="mean"'):
            supervised(loss)
