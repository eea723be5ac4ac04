"""What `fit` does when something is wrong: losses that blow up, a hand on the stop button, mistaken arguments."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, IterableDataset
from training import X, Y, batches_of, make_model, sgd, weights

from nnlab_helpers.train import EarlyStopping, fit, load_checkpoint


class TestNotFinite:
    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_says_where_and_what_to_try(self, bad):
        loader = batches_of(X, Y, 10)
        loader[3] = (torch.full_like(X[:10], bad), Y[:10])
        model = make_model()
        with pytest.raises(FloatingPointError, match=r"epoch 1, batch 4\. .*smaller learning rate") as error:
            fit(model, loader, epochs=3, optimizer=sgd(model))
        assert "the loss became" in str(error.value)

    def test_is_noticed_long_before_the_end_of_a_long_epoch(self):
        used = []

        def loader():
            for number in range(1, 1000):
                used.append(number)
                yield (X, Y) if number < 60 else (X * float("nan"), Y)

        model = make_model()
        with pytest.raises(FloatingPointError, match="epoch 1, batch 60"):
            fit(model, loader(), epochs=1, optimizer=sgd(model))
        assert len(used) <= 110

    def test_a_rate_far_too_high(self):
        torch.manual_seed(0)
        model = nn.Linear(6, 1)
        with pytest.raises(FloatingPointError, match="smaller learning rate"):
            fit(model, [(X, X[:, :1])], epochs=100, optimizer=sgd(model, 1e4), loss=F.mse_loss)

    def test_in_validation(self):
        model = make_model()
        with pytest.raises(FloatingPointError, match="validation after epoch 1, batch 2"):
            fit(model, [(X, Y)], [(X, Y), (X * float("nan"), Y)], epochs=1, optimizer=sgd(model))

    def test_in_the_last_gradient(self, tmp_path):
        """The loss before it was finite; the checkpoint of the epoch before stays."""

        class Spoil(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, gradient):
                return gradient * float("nan") if len(steps) == 6 else gradient

        steps = []

        def step(model, batch):
            steps.append(1)
            return Spoil.apply(F.cross_entropy(model(batch[0]), batch[1]))

        model, path = make_model(), tmp_path / "run.pt"
        with pytest.raises(FloatingPointError, match=r"weight became NaN or infinite in the last updates of epoch 2"):
            fit(model, batches_of(X, Y, 20), epochs=3, optimizer=sgd(model), step=step, checkpoint=path)
        content = load_checkpoint(path, model)
        assert len(content["history"]) == 1
        assert weights(model).isfinite().all()


class TestInterrupt:
    @pytest.mark.parametrize("where", ["training", "validation", "hook"])
    def test_returns_the_epochs_so_far(self, where):
        model, calls = make_model(), itertools.count(1)

        def interrupt_at(third, batch):
            if next(calls) == third:
                raise KeyboardInterrupt
            yield batch

        class Loader:
            def __iter__(self):
                return interrupt_at(3, (X, Y))

        loaders = {"training": (Loader(), [(X, Y)]), "validation": ([(X, Y)], Loader()), "hook": ([(X, Y)], None)}
        hooks = [lambda event: list(interrupt_at(2, 0))] if where == "hook" else []
        history = fit(model, *loaders[where], epochs=10, optimizer=sgd(model), hooks=hooks)
        assert len(history) == 2
        assert history.ended == "interrupted"
        assert "interrupted" in repr(history)

    def test_brings_back_the_best_weights_if_asked(self):
        model, seen = make_model(), []

        def hook(event):
            seen.append(copy.deepcopy(event.model.state_dict()))
            if event.epoch == 4:
                raise KeyboardInterrupt

        history = fit(
            model, [(X, Y)], epochs=10, optimizer=torch.optim.SGD(model.parameters(), lr=0.1, maximize=True),
            early_stopping=EarlyStopping("train_loss", patience=9), hooks=[hook],
        )  # fmt: skip
        assert history.best_epoch == 1
        assert all(torch.equal(value, seen[0][name]) for name, value in model.state_dict().items())


class Unending(IterableDataset):
    """Samples whose number nobody knows beforehand."""

    def __iter__(self):
        return zip(X, Y, strict=True)


class TestMistakes:
    """Each speaks up before anything is trained."""

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"epochs": 0}, ValueError, "epochs must be at least 1"),
            ({"epochs": 2.0}, TypeError, "epochs must be a whole number, got 2.0"),
            ({"epochs": True}, TypeError, "epochs must be a whole number, not True"),
            ({"accumulate": 1.5}, TypeError, "accumulate must be a whole number"),
            ({"accumulate": True}, TypeError, "accumulate must be a whole number"),
            ({"optimizer": None}, ValueError, "without an optimizer nothing is learnt"),
            ({"accumulate": 0}, ValueError, "accumulate"),
            ({"clip_norm": 0.0}, ValueError, "clip_norm"),
            ({"resume": True}, ValueError, "resume=True needs checkpoint="),
            ({"scheduler_per": "batch"}, ValueError, '"epoch" or "step"'),
            ({"early_stopping": EarlyStopping()}, ValueError, "there is no val_loader.*train_loss"),
            (
                {"early_stopping": EarlyStopping("train_f1")},
                ValueError,
                "'train_f1', which no epoch reports",
            ),
            ({"step": lambda m, b: m(b[0]).mean(), "loss": F.mse_loss}, ValueError, "step or loss, not both"),
            ({"step": lambda m, b: m(b[0]).mean().item()}, TypeError, "must return the loss"),
            ({"step": lambda m, b: {"loss": m(b[0]).mean().item()}}, TypeError, r"leave out .item\(\)"),
            ({"step": lambda m, b: {"accuracy": m(b[0]).mean()}}, TypeError, '"loss" in it'),
            ({"step": lambda m, b: m(b[0]).mean(dim=1)}, ValueError, r"shape \[50\]: return its mean"),
            ({"step": lambda m, b: m(b[0]).mean().detach()}, ValueError, "does not depend on any trainable"),
            ({"hooks": ["print"]}, TypeError, "is no hook"),
            ({"train_loader": []}, ValueError, "train_loader gave no batches"),
            ({"val_loader": []}, ValueError, "val_loader gave no batches"),
            ({"train_loader": [X]}, ValueError, r"batches \(x, y\), got a tensor \[50, 6\]"),
            ({"train_loader": [{"x": X, "y": Y}]}, ValueError, r"batches \(x, y\), got a dict of 2"),
            ({"train_loader": ["a"]}, TypeError, "how many samples"),
        ],
    )
    def test_arguments(self, change, error, says):
        model = make_model()
        before = weights(model)
        arguments = {"train_loader": [(X, Y)], "epochs": 1, "optimizer": sgd(model)} | change
        with pytest.raises(error, match=says):
            fit(model, **arguments)
        if "early_stopping" not in change and "val_loader" not in change:
            assert torch.equal(weights(model), before)

    def test_an_iterator_is_used_up(self):
        model = make_model()
        with pytest.raises(ValueError, match="in epoch 2: an iterator can be used only once"):
            fit(model, iter([(X, Y)]), epochs=2, optimizer=sgd(model))

    def test_a_frozen_model(self):
        model = make_model()
        optimizer = sgd(model)
        with pytest.raises(ValueError, match="nothing to train"):
            fit(model.requires_grad_(False), [(X, Y)], epochs=1, optimizer=optimizer)

    def test_an_optimizer_of_another_model(self):
        with pytest.raises(ValueError, match="holds none of this model's"):
            fit(make_model(), [(X, Y)], epochs=1, optimizer=sgd(make_model()))

    def test_a_layer_replaced_after_the_optimizer_was_made(self):
        model = make_model()
        optimizer = sgd(model)
        model.layers[3] = nn.Linear(8, 3)
        with pytest.raises(ValueError, match=r"lacks layers\.3\.weight.*replaced"):
            fit(model, [(X, Y)], epochs=1, optimizer=optimizer)

    def test_a_move_that_leaves_the_optimizer_behind(self):
        """Moving to some accelerators makes new parameters: nothing would be learned, and nothing would say so."""
        model = make_model()
        optimizer = sgd(model)
        model.to = lambda device: setattr(model.layers[1], "weight", nn.Parameter(model.layers[1].weight.clone()))
        with pytest.raises(ValueError, match=r'move it first, model\.to\("cpu"\)'):
            fit(model, [(X, Y)], epochs=1, optimizer=optimizer, device="cpu")

    def test_a_head_alone_may_learn(self):
        model = make_model()
        body = model.layers[1].weight.clone()
        fit(model, [(X, Y)], epochs=1, optimizer=sgd(model.layers[3]))
        assert torch.equal(model.layers[1].weight, body)

    def test_whole_numbers_of_numpy(self):
        model, updates = make_model(), []
        history = fit(
            model, batches_of(X, Y, 10), epochs=np.int64(2), optimizer=sgd(model), accumulate=np.int32(2),
            early_stopping=EarlyStopping("train_loss", patience=np.int64(2)), hooks=lambda e: updates.append(e.update),
        )  # fmt: skip
        assert (len(history), updates) == (2, [3, 6])

    def test_an_optimizer_that_calls_back(self):
        class OfOnesOwn(torch.optim.SGD):
            def step(self, closure):
                return super().step(closure)

        for make in (torch.optim.LBFGS, OfOnesOwn):
            model = make_model()
            with pytest.raises(ValueError, match=rf"{make.__name__} computes the loss several times.*optimizer=None"):
                fit(model, [(X, Y)], epochs=1, optimizer=make(model.parameters()))

    def test_it_runs_in_a_step_of_its_own(self):
        model = make_model()
        optimizer = torch.optim.LBFGS(model.parameters())

        def step(model, batch):
            def closure():
                optimizer.zero_grad()
                loss = F.cross_entropy(model(batch[0]), batch[1])
                loss.backward()
                return loss

            return torch.as_tensor(optimizer.step(closure) if model.training else closure())

        history = fit(model, [(X, Y)], epochs=3, optimizer=None, step=step)
        assert history["train_loss"][-1] < history["train_loss"][0]

    def test_schedulers(self):
        model = make_model()
        optimizer = sgd(model)
        foreign = torch.optim.lr_scheduler.ExponentialLR(sgd(make_model()), 0.5)
        with pytest.raises(ValueError, match="another optimizer"):
            fit(model, [(X, Y)], epochs=1, optimizer=optimizer, scheduler=foreign)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
        with pytest.raises(ValueError, match='scheduler_per="epoch"'):
            fit(model, [(X, Y)], epochs=1, optimizer=optimizer, scheduler=plateau, scheduler_per="step")
        rising = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="max")
        with pytest.raises(ValueError, match=r'mode="max".*fit gives it the loss.*mode="min"'):
            fit(model, [(X, Y)], epochs=1, optimizer=optimizer, scheduler=rising)

    @pytest.mark.parametrize("kind", ["alone", "chained", "second in a sequence"])
    @pytest.mark.parametrize(("per", "accumulate", "needed"), [("step", 1, 15), ("step", 2, 9), ("epoch", 1, 3)])
    def test_a_scheduler_with_too_few_steps(self, kind, per, accumulate, needed, tmp_path):
        """Five batches, three epochs: known before the first one, also when the run goes on."""

        def run(steps, epochs=3, loader=None, changes=False, **kwargs):
            model = make_model()
            optimizer = sgd(model)
            scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=steps - (1 if kind[:6] == "second" else 0))
            constant = lr_scheduler.ConstantLR(optimizer, total_iters=1)
            if kind == "chained":
                scheduler = lr_scheduler.ChainedScheduler([constant, scheduler])
            elif kind != "alone":
                scheduler = lr_scheduler.SequentialLR(optimizer, [constant, scheduler], milestones=[1])
            before = weights(model)
            try:
                return fit(
                    model, batches_of(X, Y, 10) if loader is None else loader, epochs=epochs, optimizer=optimizer,
                    scheduler=scheduler, scheduler_per=per, accumulate=accumulate, **kwargs,
                )  # fmt: skip
            except ValueError:
                assert torch.equal(weights(model), before) is not changes
                raise

        with pytest.raises(
            ValueError, match=rf"ends after {needed - 1} steps, and this run takes {needed} .*total_steps"
        ):
            run(needed - 1)
        if per == "step":  # a loader that does not know its length: PyTorch says so once it happens
            with pytest.raises(ValueError, match="Tried to step"):
                run(needed - 1, loader=DataLoader(Unending(), batch_size=10), changes=True)
        assert len(run(needed, checkpoint=tmp_path / "run.pt")) == 3
        with pytest.raises(ValueError, match=f"ends after {needed} steps"):
            run(needed, epochs=4, checkpoint=tmp_path / "run.pt", resume=True)
