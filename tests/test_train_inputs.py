"""What `fit` takes: schedulers, loaders and batches of many kinds, and the bar it shows."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset
from training import X, Y, batches_of, make_model, sgd

from nnlab_helpers.train import fit


class TestSchedulers:
    def test_per_epoch(self):
        model = make_model()
        optimizer = sgd(model, 1.0)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        history = fit(model, batches_of(X, Y, 10), epochs=3, optimizer=optimizer, scheduler=scheduler)
        assert history["learning_rate"] == [1.0, 0.5, 0.25]
        assert optimizer.param_groups[0]["lr"] == 0.125

    @pytest.mark.parametrize(("accumulate", "updates"), [(1, 5), (2, 3)])
    def test_per_step_means_per_update(self, accumulate, updates):
        model, seen = make_model(), []
        optimizer = sgd(model, 1.0)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
        history = fit(
            model, batches_of(X, Y, 10), epochs=2, optimizer=optimizer, scheduler=scheduler, scheduler_per="step",
            accumulate=accumulate, hooks=[lambda event: seen.append(event.update)],
        )  # fmt: skip
        assert history["learning_rate"] == [1.0, 0.5**updates]
        assert seen == [updates, 2 * updates]

    @pytest.mark.parametrize("validation", [True, False])
    def test_plateau_watches_the_loss(self, validation):
        model = make_model()
        optimizer = sgd(model, 1e-4)
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, threshold=0.1)
        val = [(X, Y)] if validation else None
        history = fit(model, [(X, Y)], val, epochs=6, optimizer=optimizer, scheduler=scheduler)
        assert history["learning_rate"] == pytest.approx([1e-4] * 3 + [5e-5] * 2 + [2.5e-5])
        assert scheduler.best == history["val_loss" if validation else "train_loss"][0]


class TestLoaders:
    def test_a_plain_data_loader(self):
        loader = DataLoader(TensorDataset(X, Y), batch_size=16, shuffle=True)
        model = make_model()
        torch.manual_seed(0)
        history = fit(model, loader, loader, epochs=2, optimizer=sgd(model))
        assert len(history) == 2
        twin = make_model()
        torch.manual_seed(0)
        assert fit(twin, loader, loader, epochs=2, optimizer=sgd(twin))["train_loss"] == history["train_loss"]

    def test_a_tensor_loader(self):
        from nnlab_helpers.data import TensorLoader

        loader = TensorLoader((X, Y), batch_size=16, shuffle=True, device="cpu")
        model = make_model()
        assert len(fit(model, loader, loader, epochs=2, optimizer=sgd(model))) == 2

    @pytest.mark.parametrize("kind", ["tensor", "dict", "list", "nested"])
    def test_batches_of_other_kinds(self, kind):
        batch = {"tensor": X, "dict": {"pixels": X, "mask": Y}, "list": [X], "nested": ((X, X), Y)}[kind]

        def find(batch):
            if kind == "dict":
                return batch["pixels"]
            return {"tensor": lambda: batch, "list": lambda: batch[0], "nested": lambda: batch[0][1]}[kind]()

        model = make_model()
        history = fit(model, [batch], epochs=2, optimizer=sgd(model), step=lambda m, b: m(find(b)).square().mean())
        assert history["train_loss"][1] < history["train_loss"][0]

    def test_loss_as_a_function(self):
        model = make_model()

        def squared(output, y):
            return F.mse_loss(output, F.one_hot(y, 3).float())

        history = fit(model, [(X, Y)], epochs=1, optimizer=sgd(model), loss=squared)
        assert history["train_loss"][0] == pytest.approx(squared(make_model()(X), Y).item(), rel=1e-6)
        assert "train_accuracy" in history.columns

    def test_regression_has_no_accuracy(self):
        torch.manual_seed(0)
        model = nn.Linear(6, 1)
        history = fit(model, [(X, X[:, :1])], epochs=1, optimizer=sgd(model), loss=F.mse_loss)
        assert "train_accuracy" not in history.columns


class TestProgress:
    def test_bar(self, capsys, monkeypatch):
        monkeypatch.setenv("TQDM_DISABLE", "0")
        model = make_model()
        fit(model, batches_of(X, Y, 10), epochs=2, optimizer=sgd(model))
        shown = capsys.readouterr()
        assert "epoch 2/2" in shown.err
        assert "10/10" in shown.err
        assert "train_loss" in shown.err
        assert shown.out == ""

    @pytest.mark.parametrize("how", ["variable", "argument"])
    def test_silence(self, how, capsys, monkeypatch):
        monkeypatch.setenv("TQDM_DISABLE", "1" if how == "variable" else "0")
        model = make_model()
        fit(model, batches_of(X, Y, 10), epochs=2, optimizer=sgd(model), progress=how == "variable")
        assert capsys.readouterr() == ("", "")


def test_bars_are_off_in_tests():
    """The other tests rely on it: a bar on stderr would hide what they say."""
    assert os.environ.get("TQDM_DISABLE") == "1"
