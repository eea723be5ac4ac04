"""Checkpoints: whole or not there, and a resumed run ends where the uninterrupted one does, bit for bit."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, TensorDataset
from training import X, Y, make_model, sgd, weights

from nnlab_helpers.augment import Noise
from nnlab_helpers.data import TensorLoader
from nnlab_helpers.models import MLP
from nnlab_helpers.train import EarlyStopping, evaluate, fit, load_checkpoint, save_checkpoint

EPOCHS = 6
IMAGES = (X.reshape(50, 1, 2, 3) * 0.1 + 0.5).clamp(0, 1)

SCHEDULERS = {
    "none": None,
    "cosine": lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS),
    "multi-step": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [2, 4]),
    "lambda": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.9**epoch),
    "NumPy's numbers": lambda optimizer: lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 + np.cos(np.pi * epoch / 6)),
    "NumPy's keys": lambda optimizer: lr_scheduler.MultiStepLR(optimizer, np.array([2, 4])),
    "plateau": lambda optimizer: lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5),
    "warm-up": lambda optimizer: lr_scheduler.SequentialLR(
        optimizer,
        [lr_scheduler.LinearLR(optimizer, total_iters=2), lr_scheduler.ExponentialLR(optimizer, 0.9)],
        milestones=[2],
    ),
}


class Noisy(Dataset):
    """Images changed one by one, with the generators that such code mostly uses."""

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, index):
        return IMAGES[index] + random.gauss(0, 0.1) + np.float32(np.random.normal(0, 0.1)), Y[index]


class Run:
    """A run with everything that could go astray: dropout, shuffling, augmentation, momentum, batch statistics."""

    def __init__(
        self, loader="tensor", scheduler="none", per="epoch", stopping=None, optimizer=torch.optim.Adam, val=None
    ):
        torch.manual_seed(1)
        self.val = [(IMAGES[:20], Y[:20])] if val is None else val()
        self.model = MLP(6, (16,), 3, norm="batch", dropout=0.4)
        self.optimizer = optimizer(self.model.parameters(), lr=0.01)
        self.scheduler = SCHEDULERS[scheduler](self.optimizer) if scheduler != "none" else None
        if loader == "tensor":
            self.loader = TensorLoader((IMAGES, Y), batch_size=16, shuffle=True, augment=Noise(0.1), device="cpu")
        elif loader == "batch sampler":
            order = RandomSampler(IMAGES, generator=torch.Generator().manual_seed(3))
            self.loader = DataLoader(TensorDataset(IMAGES, Y), batch_sampler=BatchSampler(order, 16, drop_last=False))
        elif loader == "Python's and NumPy's random numbers":
            random.seed(3)
            np.random.seed(3)
            self.loader = DataLoader(Noisy(), batch_size=16)
        else:
            generator = torch.Generator().manual_seed(3) if loader == "own generator" else None
            self.loader = DataLoader(TensorDataset(IMAGES, Y), batch_size=16, shuffle=True, generator=generator)
        self.arguments = {"scheduler": self.scheduler, "scheduler_per": per, "early_stopping": stopping}

    def fit(self, epochs=EPOCHS, **kwargs):
        return fit(
            self.model, self.loader, self.val, epochs=epochs, optimizer=self.optimizer, **self.arguments, **kwargs
        )  # fmt: skip


def numbers(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def in_two_parts(path: Path, first: int = 3, epochs: int = EPOCHS, **setting):
    """Train to epoch `first`, then, as in another process, build everything anew and go on to the end."""
    Run(**setting).fit(epochs=first, checkpoint=path)
    torch.manual_seed(999)
    torch.rand(17)
    resumed = Run(**setting)
    torch.manual_seed(1000)
    history = resumed.fit(epochs=epochs, checkpoint=path, resume=True)
    return resumed, history


def assert_same(one: Run, other: Run) -> None:
    assert torch.equal(weights(one.model), weights(other.model))
    ours, theirs = one.optimizer.state_dict()["state"], other.optimizer.state_dict()["state"]
    for key in ours:
        assert all(torch.equal(ours[key][name], theirs[key][name]) for name in ours[key])


LOADERS = ["tensor", "own generator", "global generator", "batch sampler", "Python's and NumPy's random numbers"]


@pytest.mark.parametrize("loader", LOADERS)
def test_resumed_ends_where_uninterrupted_does(tmp_path, loader):
    whole = Run(loader)
    history = whole.fit()
    resumed, resumed_history = in_two_parts(tmp_path / "run.pt", loader=loader)
    assert_same(whole, resumed)
    assert numbers(resumed_history) == numbers(history)
    assert len({row["train_loss"] for row in history}) == EPOCHS, "the runs must have something to get wrong"


@pytest.mark.parametrize("scheduler", [name for name in SCHEDULERS if name != "none"])
def test_schedulers_go_on(tmp_path, scheduler):
    per = "step" if scheduler in ("cosine", "lambda") else "epoch"
    setting = {"scheduler": scheduler, "per": per, "optimizer": lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9)}
    whole = Run(**setting)
    history = whole.fit()
    resumed, resumed_history = in_two_parts(tmp_path / "run.pt", **setting)
    assert numbers(resumed_history) == numbers(history)
    assert torch.equal(weights(whole.model), weights(resumed.model))
    assert len(set(history["learning_rate"])) > 1


@pytest.mark.parametrize("loader", LOADERS)
def test_hooks_that_read_the_training_data_change_nothing(tmp_path, loader):
    def read(event):
        torch.manual_seed(0)
        evaluate(event.model, run.loader)

    run = Run(loader)
    plain = Run(loader)
    plain.fit()
    run = Run(loader)
    run.fit(epochs=3, checkpoint=tmp_path / "run.pt", hooks=[read])
    run = Run(loader)
    run.fit(checkpoint=tmp_path / "run.pt", resume=True, hooks=[read])
    assert_same(plain, run)


@pytest.mark.parametrize("first", [1, 3])
def test_early_stopping_goes_on(tmp_path, first):
    def setting():
        return {"stopping": EarlyStopping(patience=2, min_delta=10.0), "loader": "tensor"}

    whole = Run(**setting())
    history = whole.fit()
    Run(**setting()).fit(epochs=first, checkpoint=tmp_path / "run.pt")
    resumed = Run(**setting())
    resumed_history = resumed.fit(checkpoint=tmp_path / "run.pt", resume=True)
    assert len(history) == 3
    assert history.ended == resumed_history.ended == "early stopping"
    assert numbers(resumed_history) == numbers(history)
    assert torch.equal(weights(whole.model), weights(resumed.model))


def test_an_interrupted_epoch_is_done_again(tmp_path):
    """The hand comes down in the middle of epoch 3; resuming starts from the end of epoch 2."""
    whole = Run()
    history = whole.fit()
    broken = Run()

    class Stop:
        def on_update(self, event):
            if event.update == 10:
                raise KeyboardInterrupt

    assert len(broken.fit(checkpoint=tmp_path / "run.pt", hooks=[Stop()])) == 2
    resumed = Run()
    assert numbers(resumed.fit(checkpoint=tmp_path / "run.pt", resume=True)) == numbers(history)
    assert_same(whole, resumed)


def test_hooks_do_not_disturb_a_run():
    plain = Run()
    history = plain.fit()
    watched = Run()

    class Nosy:
        def on_update(self, event):
            event.model.eval()
            torch.rand(3)

        def on_epoch(self, event):
            event.model.eval()
            torch.manual_seed(0)
            return "stop"

    assert numbers(watched.fit(hooks=[Nosy()])) == numbers(history)
    assert_same(plain, watched)


def test_resume_without_a_file_starts(tmp_path):
    run = Run()
    assert len(run.fit(epochs=1, checkpoint=tmp_path / "new" / "run.pt", resume=True)) == 1
    assert (tmp_path / "new" / "run.pt").is_file()
    assert len(run.fit(epochs=1, checkpoint=tmp_path / "new" / "run.pt", resume=True)) == 1


def test_another_kind_of_run(tmp_path):
    Run().fit(epochs=1, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match="holds no scheduler"):
        Run(scheduler="cosine").fit(checkpoint=tmp_path / "run.pt", resume=True)
    Run(scheduler="cosine").fit(epochs=1, checkpoint=tmp_path / "cosine.pt")
    with pytest.raises(ValueError, match="had a scheduler"):
        Run().fit(checkpoint=tmp_path / "cosine.pt", resume=True)
    Run(stopping=EarlyStopping("val_loss")).fit(epochs=1, checkpoint=tmp_path / "stopping.pt")
    with pytest.raises(ValueError, match=r"it watched 'val_loss' \(min\), this one watches 'val_accuracy'"):
        Run(stopping=EarlyStopping("val_accuracy")).fit(checkpoint=tmp_path / "stopping.pt", resume=True)
    save_checkpoint(tmp_path / "part.pt", make_model(), optimizer=sgd(nn.Linear(2, 2)))
    model = make_model(1)
    before, state = weights(model), torch.get_rng_state()
    with pytest.raises(
        ValueError, match=r"the optimizer is not the one of .*shapes of the parameters: \[\[2, 2\], \[2\]\] "
    ):
        load_checkpoint(tmp_path / "part.pt", model, optimizer=torch.optim.SGD([model.layers[1].weight], lr=0.1))
    assert torch.equal(weights(model), before)
    assert torch.equal(torch.get_rng_state(), state)


def test_validation_goes_on_too(tmp_path):
    """A validation loader that shuffles and augments: its epochs go on where they were."""
    setting = {
        "val": lambda: TensorLoader((IMAGES, Y), batch_size=16, shuffle=True, drop_last=True, augment=Noise(0.3))
    }
    whole = Run(**setting)
    history = whole.fit()
    _, resumed_history = in_two_parts(tmp_path / "run.pt", **setting)
    assert numbers(resumed_history) == numbers(history)
    assert len(set(history["val_loss"])) == EPOCHS
