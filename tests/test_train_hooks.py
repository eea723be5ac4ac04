"""Hooks: shown what happens, and unable to steer it or to cost it anything."""

from __future__ import annotations

import contextlib

import pytest
import torch
from closeness import rounding
from torch import nn
from training import Watch, X, Y, batches_of, make_data, make_model, sgd, weights

from nnlab_helpers.train import EarlyStopping, Event, evaluate, fit


class TestHooks:
    def test_get_what_is_documented(self):
        events: list[Event] = []
        watch = Watch(start=events.append, update=events.append, epoch=events.append, end=events.append)
        model = make_model()
        optimizer = sgd(model)
        history = fit(model, batches_of(X, Y, 20), [(X, Y)], epochs=2, optimizer=optimizer, accumulate=2, hooks=[watch])
        assert [(e.moment, e.epoch, e.update) for e in events] == [
            ("start", 0, 0), ("update", 1, 1), ("update", 1, 2), ("epoch", 1, 2),
            ("update", 2, 3), ("update", 2, 4), ("epoch", 2, 4), ("end", 2, 4),
        ]  # fmt: skip
        assert all(e.model is model and e.optimizer is optimizer and e.history is history for e in events)
        assert [dict(e.values) for e in events if e.moment == "epoch"] == list(history)
        assert events[0].values == {}

    def test_values_of_an_update_are_means_over_its_samples(self):
        model, seen = make_model(), []
        watch = Watch(update=lambda event: seen.append(event.values["loss"]))
        whole = nn.functional.cross_entropy(model(X), Y).item()
        fit(model, batches_of(X, Y, 40), epochs=1, optimizer=sgd(model), accumulate=2, hooks=[watch])
        assert isinstance(seen[0], torch.Tensor)
        assert seen[0].item() == pytest.approx(whole, rel=rounding())
        assert not seen[0].requires_grad

    def test_a_function_is_called_after_each_epoch(self):
        model, seen = make_model(), []
        hook = lambda event: seen.append((event.epoch, event.values["train_loss"]))  # noqa: E731
        history = fit(model, [(X, Y)], epochs=3, optimizer=sgd(model), hooks=[hook])
        assert seen == list(zip([1, 2, 3], history["train_loss"], strict=True))
        fit(model, [(X, Y)], epochs=1, optimizer=sgd(model), hooks=hook)
        assert len(seen) == 4, "one hook alone needs no list"

    def test_cannot_steer(self):
        """Returning something, changing modes, drawing random numbers: the run is the same."""

        def meddle(event):
            event.model.eval()
            torch.rand(5)
            torch.manual_seed(7)
            with pytest.raises(TypeError):
                event.values["train_loss"] = 0.0
            with pytest.raises(AttributeError):
                event.epoch = 99
            return True

        runs = []
        for hooks in ([], [Watch(start=meddle, update=meddle, epoch=meddle, end=meddle)]):
            model = make_model(dropout=0.5)
            history = fit(
                model, batches_of(X, Y, 20), [(X, Y)], epochs=3, optimizer=sgd(model), hooks=hooks,
                early_stopping=EarlyStopping(),
            )  # fmt: skip
            runs.append((weights(model), history["train_loss"], history["val_loss"]))
            assert model.training
        assert torch.equal(runs[0][0], runs[1][0])
        assert runs[0][1:] == runs[1][1:]

    def test_may_evaluate_on_the_way(self):
        model, seen = make_model(), []
        test = [make_data(seed=2)]
        fit(model, [(X, Y)], epochs=2, optimizer=sgd(model), hooks=[lambda e: seen.append(evaluate(e.model, test))])
        assert seen[1]["loss"] < seen[0]["loss"]

    @pytest.mark.parametrize("moment", ["update", "epoch", "end"])
    def test_one_that_fails_costs_nothing_but_itself(self, moment):
        """A warning says which, when, why and where; the run is what it is without it, and other hooks go on."""

        class Broken:
            def __init__(self):
                self.heard = []

            def on_update(self, event):
                self.hear("update", event)

            def on_epoch(self, event):
                self.hear("epoch", event)

            def on_end(self, event):
                self.hear("end", event)

            def hear(self, now, event):
                self.heard.append((now, event.epoch))
                if now == moment and (event.epoch == 2 or now == "end"):
                    event.model.eval()
                    torch.rand(9)
                    raise RuntimeError("my own mistake")

        runs, others, broken = [], [], Broken()
        place = "at the end" if moment == "end" else "after update [34] in epoch 2"
        for hooks in ([], [broken, Watch(update=others.append, epoch=others.append, end=others.append)]):
            model = make_model(dropout=0.5)
            says = rf"hook Broken failed {place}, with RuntimeError: my own mistake \(.*py, \d+\); (training|the run)"
            expected = pytest.warns(RuntimeWarning, match=says) if hooks else contextlib.nullcontext([])
            with expected as caught:
                history = fit(model, batches_of(X, Y, 25), epochs=3, optimizer=sgd(model), hooks=hooks)
            assert len(caught) == len(hooks) // 2
            runs.append((weights(model).tolist(), history["train_loss"], len(history)))
        assert runs[0] == runs[1]
        assert len(others) == 6 + 3 + 1
        assert broken.heard[-1] == ("end", 3), "it may still close what it opened"
        at = {
            "update": [("update", 2), ("end", 3)],
            "epoch": [("epoch", 2), ("end", 3)],
            "end": [("epoch", 3), ("end", 3)],
        }
        assert broken.heard[-2:] == at[moment], "and hears nothing else"

    def test_a_function_that_fails(self):
        def broken(event):
            raise ZeroDivisionError

        model = make_model()
        with pytest.warns(
            RuntimeWarning, match="the hook broken failed after update 1 in epoch 1, with ZeroDivisionError"
        ):
            assert len(fit(model, [(X, Y)], epochs=3, optimizer=sgd(model), hooks=[broken])) == 3

    def test_at_the_start_nothing_is_lost_and_the_error_speaks(self):
        def broken(event):
            raise ValueError("no such folder")

        model = make_model()
        before = weights(model)
        with pytest.raises(ValueError, match="no such folder"):
            fit(model, [(X, Y)], epochs=1, optimizer=sgd(model), hooks=[Watch(start=broken)])
        assert torch.equal(weights(model), before)
