"""`fit` and `evaluate`: what is computed, with what weights, in which mode."""

from __future__ import annotations

import contextlib
import sys
import threading

import pytest
import torch
from closeness import rounding
from torch import nn
from torch.nn import functional as F
from training import Watch, X, Y, batches_of, grad, make_data, make_model, sgd, weights

from nnlab_helpers.train import evaluate, fit


class TestAgainstALoopByHand:
    """The same numbers as the loop that a lesson writes in its cells."""

    def by_hand(self, model, loader, epochs, lr, momentum=0.9):
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=momentum)
        losses = []
        for _ in range(epochs):
            model.train()
            total = 0.0
            for x, y in loader:
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(y)
            losses.append(total / sum(len(y) for _, y in loader))
        return losses

    @pytest.mark.parametrize("lr", [0.01, 0.3])
    def test_bit_for_bit(self, lr):
        loader = batches_of(X, Y, 16)  # a ragged tail of 2
        ours, theirs = make_model(), make_model()
        history = fit(ours, loader, epochs=3, optimizer=sgd(ours, lr, momentum=0.9))
        losses = self.by_hand(theirs, loader, 3, lr)
        assert torch.equal(weights(ours), weights(theirs))
        assert history["train_loss"] == pytest.approx(losses, rel=rounding())
        assert history["learning_rate"] == [lr] * 3
        assert history["epoch"] == [1, 2, 3]
        assert history.ended == "finished"

    def test_learns(self):
        model = make_model()
        history = fit(model, batches_of(X, Y, 10), batches_of(*make_data(seed=1), 10), epochs=30, optimizer=sgd(model))
        assert history["val_accuracy"][-1] > 0.8 > history["val_accuracy"][0]
        assert history["train_loss"][-1] < history["train_loss"][0] / 2


class TestMeans:
    def test_ragged_batches_count_by_their_samples(self):
        """Losses 1 and 7 over 3 samples and 1: the mean over samples is 2.5, over batches 4."""
        model = make_model()

        def step(model, batch):
            anchor = 0.0 * sum(p.sum() for p in model.parameters())
            return {"loss": batch.mean() + anchor, "half": batch.mean() / 2}

        loader = [torch.ones(3), torch.full((1,), 7.0)]
        history = fit(model, loader, loader, epochs=1, optimizer=sgd(model), step=step)
        assert history["train_loss"] == [2.5]
        assert history["val_half"] == [1.25]
        assert evaluate(model, loader, step=step) == {"loss": 2.5, "half": 1.25}

    def test_evaluate_equals_one_pass_over_everything(self):
        model = make_model()
        result = evaluate(model, batches_of(X, Y, 16))
        assert result["loss"] == pytest.approx(F.cross_entropy(model(X), Y).item(), rel=1e-6)
        assert result["accuracy"] == pytest.approx((model(X).argmax(dim=1) == Y).double().mean().item(), rel=1e-6)

    def test_more_batches_than_are_held_back(self):
        """Means are folded every 50 batches; none may be lost or counted twice."""
        model = make_model()
        values = torch.rand(173)
        result = evaluate(model, list(values.split(1)), step=lambda model, batch: batch.mean())
        assert result["loss"] == pytest.approx(values.double().mean().item(), rel=1e-6)
        loader = [(X, Y)] * 123
        history = fit(model, loader, epochs=1, optimizer=sgd(model, lr=0.0))
        assert history["train_loss"][0] == pytest.approx(F.cross_entropy(model(X), Y).item(), rel=1e-6)

    def test_nothing_is_read_from_the_device_within_an_epoch(self, monkeypatch):
        """Reading a number makes a GPU wait: it must not happen for every batch."""
        reads = []

        def reading(name, original):
            def read(tensor, *args, **kwargs):
                caller = sys._getframe(1)
                if threading.current_thread() is threading.main_thread():
                    reads.append(f"{name} in {caller.f_code.co_filename}:{caller.f_lineno}")
                return original(tensor, *args, **kwargs)

            return read

        def train(batches):
            model = make_model()
            reads.clear()
            fit(model, [(X, Y)] * batches, epochs=1, optimizer=sgd(model))
            return list(reads)

        train(1)  # what torch loads at first use may read numbers of its own
        for name in ("item", "__float__", "__bool__", "tolist", "cpu"):
            monkeypatch.setattr(torch.Tensor, name, reading(name, getattr(torch.Tensor, name)))
        few, many = train(10), train(40)
        assert few == many
        assert 0 < len(few) < 10


class TestAccumulation:
    """Batches taken together give the gradient of one big batch."""

    @pytest.mark.parametrize("sizes", [(10, 10, 10, 10), (10, 10, 10, 3), (7, 1, 13), (20,)])
    @pytest.mark.parametrize("clip_norm", [None, 0.05])
    def test_equals_one_big_batch(self, sizes, clip_norm):
        x, y = X[: sum(sizes)], Y[: sum(sizes)]
        small, big = make_model().double(), make_model().double()
        loader = list(zip(x.double().split(sizes), y.split(sizes), strict=True))
        fit(small, loader, epochs=5, optimizer=sgd(small), accumulate=4, clip_norm=clip_norm)
        fit(big, [(x.double(), y)], epochs=5, optimizer=sgd(big), clip_norm=clip_norm)
        torch.testing.assert_close(weights(small), weights(big), rtol=0, atol=rounding(torch.float64, 4096))

    def test_the_last_group_may_be_short(self):
        """Five batches by two: updates over 2, 2 and 1 of them, the last at full size."""
        loader = batches_of(X.double(), Y, 10)
        ours, theirs = make_model().double(), make_model().double()
        updates = []
        fit(ours, loader, epochs=1, optimizer=sgd(ours), accumulate=2, hooks=[Watch(update=updates.append)])
        grouped = [(X[:20].double(), Y[:20]), (X[20:40].double(), Y[20:40]), (X[40:].double(), Y[40:])]
        fit(theirs, grouped, epochs=1, optimizer=sgd(theirs))
        torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=rounding(torch.float64, 4096))
        assert [event.update for event in updates] == [1, 2, 3]


class TestUpdate:
    def test_gradients_start_from_zero(self):
        """Left-over gradients, from before or from the last batch, must not count."""
        model, twin = make_model(), make_model()
        F.cross_entropy(100 * model(X), Y).backward()
        seen = []
        fit(model, [(X, Y)], epochs=1, optimizer=sgd(model), hooks=[Watch(update=lambda e: seen.append(grad(e.model)))])
        F.cross_entropy(twin(X), Y).backward()
        assert torch.equal(seen[0], grad(twin))

    def test_clip_norm_bounds_the_whole_gradient(self):
        model, seen = make_model(), []
        hook = Watch(update=lambda event: seen.append(grad(event.model).norm().item()))
        fit(model, batches_of(X, Y, 10), epochs=1, optimizer=sgd(model), clip_norm=0.01, hooks=[hook])
        assert seen == pytest.approx([0.01] * 5, rel=1e-3)

    def test_clip_norm_comes_after_unscaling(self, monkeypatch):
        """With a gradient scaler, as for float16, the gradients are clipped at their own size, not the scaled one."""
        runs = []
        for enabled in (False, True):
            scaler = torch.amp.GradScaler("cpu", enabled=enabled, init_scale=2.0**12)
            monkeypatch.setattr("nnlab_helpers.train.loop.Precision", lambda amp, device, s=scaler: ScaledBy(s))
            model, seen = make_model(), []
            hook = Watch(update=lambda event, seen=seen: seen.append(grad(event.model).norm().item()))
            fit(model, batches_of(X, Y, 10), epochs=2, optimizer=sgd(model), clip_norm=0.01, hooks=[hook])
            assert seen == pytest.approx([0.01] * 10, rel=1e-3)
            runs.append(weights(model))
        torch.testing.assert_close(runs[0], runs[1], rtol=0, atol=1e-5)
        assert not torch.allclose(runs[1], weights(make_model()), rtol=0, atol=1e-3), "something must have been learnt"

    def test_amp_changes_nothing_off_cuda(self):
        plain, mixed = make_model(), make_model()
        fit(plain, [(X, Y)], epochs=2, optimizer=sgd(plain))
        fit(mixed, [(X, Y)], epochs=2, optimizer=sgd(mixed), amp=True)
        assert torch.equal(weights(plain), weights(mixed))

    def test_a_step_that_updates_by_itself(self):
        """Two players with an optimizer each, as in a GAN: `fit` leaves the weights to the step."""
        model = nn.ModuleDict({"a": nn.Linear(6, 1), "b": nn.Linear(6, 1)})
        optimizers = {name: torch.optim.SGD(part.parameters(), lr=0.05) for name, part in model.items()}

        def step(model, batch):
            losses = {}
            for (name, player), target in zip(model.items(), (1.0, -1.0), strict=True):
                loss = (player(batch) - target).square().mean()
                optimizers[name].zero_grad()
                loss.backward()
                optimizers[name].step()
                losses[name] = loss
            return {"loss": losses["a"] + losses["b"], **losses}

        history = fit(model, [X], epochs=20, optimizer=None, step=step)
        assert history["train_a"][-1] < history["train_a"][0]
        assert history["train_b"][-1] < history["train_b"][0]
        with pytest.raises(ValueError, match="clip_norm needs an optimizer"):
            fit(model, [X], epochs=1, optimizer=None, step=step, clip_norm=1.0)


class ScaledBy:
    """Stands in for `Precision`: full precision, and a scaler."""

    def __init__(self, scaler):
        self.scaler = scaler

    def autocast(self):
        return contextlib.nullcontext()


class TestModes:
    def test_training_and_evaluation_alternate(self):
        model, modes = make_model(dropout=0.5), []

        def step(model, batch):
            modes.append(model.training)
            return F.cross_entropy(model(batch[0]), batch[1])

        model.eval()
        loader = batches_of(X, Y, 25)
        fit(model, loader, loader[:1], epochs=2, optimizer=sgd(model), step=step)
        assert modes == [True, True, False] * 2
        assert model.training

    @pytest.mark.parametrize("training", [True, False])
    def test_evaluate_puts_every_mode_back(self, training):
        model = make_model(norm="batch", dropout=0.5)
        model.train(training)
        model.layers[2].eval()  # a part that is kept out of training
        modes = [module.training for module in model.modules()]
        evaluate(model, [(X, Y)])
        assert [module.training for module in model.modules()] == modes
        with pytest.raises(RuntimeError, match="broken"):
            evaluate(model, broken_loader())
        assert [module.training for module in model.modules()] == modes

    def test_evaluation_changes_nothing_and_needs_no_luck(self):
        """No dropout, no batch statistics gathered, no gradients, the same result every time."""
        model = make_model(norm="batch", dropout=0.5)
        before, state = weights(model), torch.get_rng_state()
        results = [evaluate(model, batches_of(X, Y, 16)) for _ in range(2)]
        assert results[0] == results[1]
        assert torch.equal(weights(model), before)
        assert torch.equal(torch.get_rng_state(), state)
        assert evaluate(model, [(X, Y)])["loss"] == pytest.approx(results[0]["loss"], rel=rounding(steps=128))
        grads = []
        evaluate(model, [X], step=lambda model, x: grads.append(model(x).requires_grad) or x.mean())
        assert grads == [False]


def broken_loader():
    yield X, Y
    raise RuntimeError("broken")
