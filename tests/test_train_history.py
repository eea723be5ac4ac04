"""History, early stopping and hooks."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from training import X, Y, make_model, sgd, weights

from nnlab_helpers.train import EarlyStopping, History, fit

ROWS = [
    {"epoch": 1, "train_loss": 0.9, "val_loss": 0.8, "val_accuracy": 0.70, "learning_rate": 0.1, "seconds": 1.0},
    {"epoch": 2, "train_loss": 0.5, "val_loss": 0.6, "val_accuracy": 0.75, "learning_rate": 0.1, "seconds": 1.0},
    {"epoch": 3, "train_loss": 0.3, "val_loss": 0.7, "val_accuracy": 0.80, "learning_rate": 0.1, "seconds": 1.0},
]


class TestHistory:
    def test_by_column_and_by_row(self):
        history = History(ROWS)
        assert history["val_loss"] == [0.8, 0.6, 0.7]
        assert history[-1] == ROWS[2]
        assert history[:2] == ROWS[:2]
        assert len(history) == 3
        assert list(history) == ROWS
        with pytest.raises(KeyError, match=r"no column 'loss'.*train_loss"):
            history["loss"]

    def test_best_epoch(self):
        assert History(ROWS).best_epoch == 2
        assert History(ROWS, monitor="val_accuracy", mode="max").best_epoch == 3
        assert History(ROWS, monitor="val_accuracy").best_epoch == 3
        with pytest.raises(ValueError, match='mode must be "min" or "max"'):
            History(ROWS, mode="maximum")
        assert History([{"epoch": 1, "train_loss": 1.0}, {"epoch": 2, "train_loss": 0.5}]).best_epoch == 2
        assert History([ROWS[0] | {"val_loss": float("nan")}, ROWS[1]]).best_epoch == 2
        with pytest.raises(ValueError, match="no epochs yet"):
            _ = History().best_epoch
        unknown = History([ROWS[0] | {"val_auc": float("nan")}], monitor="val_auc", mode="max")
        assert "best" not in repr(unknown)
        with pytest.raises(ValueError, match="'val_auc' is NaN in all of them"):
            _ = unknown.best_epoch

    def test_frame(self):
        frame = History(ROWS).frame()
        assert frame.index.tolist() == [1, 2, 3]
        assert frame.index.name == "epoch"
        assert frame["val_loss"].tolist() == [0.8, 0.6, 0.7]
        assert list(frame.columns) == list(ROWS[0])[1:]
        assert len(History().frame()) == 0

    def test_repr(self):
        assert repr(History(ROWS)) == (
            "History of 3 epochs: at the last train_loss 0.3000, val_loss 0.7000, val_accuracy 0.8000; "
            "best val_loss at epoch 2"
        )
        assert repr(History()) == "History of no epochs"

    def test_is_a_copy(self):
        rows = copy.deepcopy(ROWS)
        history = History(rows)
        rows[0]["val_loss"] = -1.0
        assert history.best_epoch == 2


def validation_with(losses, monitor="val_loss"):
    """A step whose value in validation epoch k is `losses[k]`; training moves the weights as usual."""
    left = iter(losses)

    def step(model, batch):
        value = model(batch[0]).square().mean()
        if not model.training:
            value = 0 * value + next(left)
        return {"loss": value, "score": value.detach(), "accuracy": value.detach()}

    return step


def stop_after(losses, stopping, epochs=None):
    """Run `fit` on these validation losses; give the history, the model and a copy of its weights per epoch."""
    model, kept = make_model(norm="batch"), []
    history = fit(
        model, [(X, Y)], [(X, Y)], epochs=epochs or len(losses), optimizer=sgd(model), step=validation_with(losses),
        early_stopping=stopping, hooks=[lambda event: kept.append(weights(event.model))],
    )  # fmt: skip
    return history, model, kept


class TestEarlyStopping:
    @pytest.mark.parametrize(
        ("losses", "patience", "ran", "best"),
        [
            ([5, 4, 3, 2, 1], 1, 5, 5),
            ([5, 4, 6, 3, 2], 1, 3, 2),
            ([5, 4, 6, 3, 7, 7, 1], 2, 6, 4),
            ([5, 4, 4, 4, 1], 2, 4, 2),
            ([1, 2, 3, 4], 3, 4, 1),
            ([3, 4, 2], 9, 3, 3),
        ],
    )
    def test_stops_and_brings_back_the_best(self, losses, patience, ran, best):
        history, model, kept = stop_after([float(v) for v in losses], EarlyStopping(patience=patience))
        assert len(history) == ran
        assert history.best_epoch == best
        assert torch.equal(weights(model), kept[best - 1])
        assert len({tuple(w.tolist()) for w in kept}) == ran, "every epoch must have moved the weights"
        assert history.ended == ("early stopping" if ran < len(losses) else "finished")

    def test_batch_statistics_come_back_too(self):
        history, model, _ = stop_after([1.0, 2.0, 3.0], EarlyStopping(patience=2))
        assert model.layers[2].num_batches_tracked == 1
        assert len(history) == 3

    def test_min_delta_counts_for_patience_only(self):
        """A slow crawl ends the run, and yet its best epoch is the one brought back."""
        losses = [1.0, 0.99, 0.98, 0.97, 0.1]
        history, model, kept = stop_after(losses, EarlyStopping(patience=3, min_delta=0.1))
        assert len(history) == 4
        assert torch.equal(weights(model), kept[3])
        assert history.best_epoch == 4

    @pytest.mark.parametrize(("monitor", "mode"), [("val_accuracy", None), ("val_score", "max")])
    def test_larger_is_better(self, monitor, mode):
        stopping = EarlyStopping(monitor, patience=1, mode=mode)
        history, model, kept = stop_after([0.1, 0.9, 0.5, 0.95], stopping)
        assert (len(history), history.best_epoch) == (3, 2)
        assert torch.equal(weights(model), kept[1])

    def test_works_on_the_training_loss_alone(self):
        model = make_model()
        worse = torch.optim.SGD(model.parameters(), lr=0.1, maximize=True)
        history = fit(
            model, [(X, Y)], epochs=9, optimizer=worse, early_stopping=EarlyStopping("train_loss", patience=2)
        )
        assert len(history) == 3

    def test_starts_afresh_with_each_run(self):
        stopping = EarlyStopping(patience=2)
        stop_after([0.1, 5.0, 5.0], stopping)
        history, model, kept = stop_after([9.0, 8.0, 7.0], stopping)
        assert len(history) == 3
        assert torch.equal(weights(model), kept[2])

    @pytest.mark.parametrize(
        "bad",
        [
            {"patience": 0}, {"patience": 1.5}, {"patience": True}, {"min_delta": -1.0}, {"min_delta": float("nan")},
            {"mode": "maximum"},
        ],
    )  # fmt: skip
    def test_mistakes_speak(self, bad):
        with pytest.raises((ValueError, TypeError), match=next(iter(bad))):
            EarlyStopping(**bad)

    RISE = (
        "accuracy acc f1 F1 f1_macro macro_f1_score auroc auc roc_auc precision recall psnr ssim iou mean_iou dice r2"
    )
    FALL = "loss error error_rate mse MSE mae rmse mean_absolute_error nll perplexity f1_loss fid ece brier top5_error"

    @pytest.mark.parametrize("part", ["train_", "val_"])
    def test_the_name_tells_the_direction(self, part):
        for mode, names in (("max", self.RISE), ("min", self.FALL)):
            for name in names.split():
                assert (EarlyStopping(part + name).mode, History(monitor=part + name).mode) == (mode, mode), name
                other = "min" if mode == "max" else "max"
                assert EarlyStopping(part + name, mode=other).mode == other

    @pytest.mark.parametrize("name", ["val_score", "val_metric", "learning_rate", "val_a", "seconds", "val_closs"])
    def test_or_else_is_asked_for(self, name):
        for make in (EarlyStopping, lambda monitor: History(monitor=monitor)):
            with pytest.raises(ValueError, match=f"is more or less of '{name}' better.*mode="):
                make(name)
        assert EarlyStopping(name, mode="max").mode == History(monitor=name, mode="max").mode == "max"

    def test_a_score_that_rises_ends_at_its_top(self):
        scores = iter([0.2, 0.9, 0.5, 0.4])

        def step(model, batch):
            loss = model(batch[0]).square().mean()
            return {"loss": loss, "f1": loss.detach() * 0 + (next(scores) if not model.training else 0.0)}

        model = make_model()
        history = fit(
            model, [(X, Y)], [(X, Y)], epochs=9, optimizer=sgd(model), step=step,
            early_stopping=EarlyStopping("val_f1", patience=2),
        )  # fmt: skip
        assert (len(history), history.best_epoch) == (4, 2)


def test_importing_train_loads_nothing_heavy():
    heavy = ["matplotlib", "pandas", "sklearn", "torchmetrics", "torchvision", "tensorboard", "scipy"]
    code = f"import sys, nnlab_helpers.train, nnlab_helpers.metrics; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
