"""A resumed run is held to what it began with: class and settings of each part, or nothing is changed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as lrs
from torch.utils.data import DataLoader, TensorDataset
from training import X, Y, make_model, weights

from nnlab_helpers.data import TensorLoader
from nnlab_helpers.train import fit, load_checkpoint, save_checkpoint

SGD = lambda p: torch.optim.SGD(p, lr=0.1)  # noqa: E731
OPTIMIZERS = {
    "SGD": SGD,
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
    "another rate": lambda p: torch.optim.SGD(p, lr=0.01),
    "weight decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.01),
    "betas": lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.99)),
    "another order": lambda p: SGD(list(p)[::-1]),
    "another group": lambda p: torch.optim.SGD([{"params": [q], "lr": 0.1 + i} for i, q in enumerate(p)]),
}
SCHEDULERS = {
    "StepLR": lambda o: lrs.StepLR(o, 1, 0.5),
    "step_size": lambda o: lrs.StepLR(o, 2, 0.5),
    "gamma": lambda o: lrs.StepLR(o, 1, 0.9),
    "cosine": lambda o: lrs.CosineAnnealingLR(o, 4),
    "T_max": lambda o: lrs.CosineAnnealingLR(o, 6),
    "eta_min": lambda o: lrs.CosineAnnealingLR(o, 4, eta_min=0.01),
    "milestones": lambda o: lrs.MultiStepLR(o, [1]),
    "other milestones": lambda o: lrs.MultiStepLR(o, [3]),
    "one cycle": lambda o: lrs.OneCycleLR(o, 0.5, total_steps=9),
    "total_steps": lambda o: lrs.OneCycleLR(o, 0.5, total_steps=12),
    "max_lr": lambda o: lrs.OneCycleLR(o, 0.4, div_factor=20.0, total_steps=9),
    "plateau": lambda o: lrs.ReduceLROnPlateau(o),
    "patience": lambda o: lrs.ReduceLROnPlateau(o, patience=3),
    "cyclic": lambda o: lrs.CyclicLR(o, 0.1, 0.3, cycle_momentum=False),
    "top": lambda o: lrs.CyclicLR(o, 0.1, 0.4, cycle_momentum=False),
    "sequence": lambda o: lrs.SequentialLR(o, [lrs.ConstantLR(o, total_iters=2), lrs.ExponentialLR(o, 0.9)], [2]),
    "gamma within": lambda o: lrs.SequentialLR(o, [lrs.ConstantLR(o, total_iters=2), lrs.ExponentialLR(o, 0.8)], [2]),
    "cosine within": lambda o: lrs.SequentialLR(
        o, [lrs.ConstantLR(o, total_iters=2), lrs.CosineAnnealingLR(o, 4)], [2]
    ),
    "milestone": lambda o: lrs.SequentialLR(o, [lrs.ConstantLR(o, total_iters=2), lrs.ExponentialLR(o, 0.9)], [3]),
}
NAMES = {
    "another rate": "lr: 0.1 then, 0.01 now", "weight decay": "weight_decay: 0 then, 0.01 now", "betas": "betas",
    "another order": "shapes of the parameters", "step_size": "step_size: 1 then, 2 now", "gamma": "gamma",
    "T_max": "T_max: 4 then, 6 now", "eta_min": "eta_min", "other milestones": "milestones",
    "total_steps": "total_steps", "max_lr": "max_lr: 0.5 then, 0.4 now", "patience": "patience", "top": "max_lrs",
    "gamma within": "gamma of scheduler 1",
    "milestone": "milestones", "momentum": "momentum: 0 then, 0.9 now",
}  # fmt: skip


def run(path, optimizer="SGD", scheduler=None, epochs=2, make=None, loader=None, **kwargs):
    """Run `fit` on parts made anew; where it raises, it must have left them as they were."""
    model = make_model(1 if kwargs.get("resume") else 0)
    optimizer = (make or OPTIMIZERS[optimizer])(model.parameters())
    scheduler = SCHEDULERS[scheduler](optimizer) if scheduler else None
    before = weights(model), copy.deepcopy(optimizer.state_dict()), scheduler and copy.deepcopy(scheduler.state_dict())
    try:
        fit(
            model,
            loader or [(X, Y)],
            epochs=epochs,
            optimizer=optimizer,
            scheduler=scheduler,
            checkpoint=path,
            **kwargs,
        )
    except ValueError:
        assert torch.equal(weights(model), before[0])
        assert str(optimizer.state_dict()) == str(before[1])
        assert scheduler is None or str(scheduler.state_dict()) == str(before[2])
        raise


PAIRS = [(a, b) for a in ("SGD", "Adam", "AdamW", "RMSprop") for b in ("SGD", "Adam", "AdamW", "RMSprop") if a != b]
CHANGES = [
    ("SGD", "another rate"),
    ("SGD", "weight decay"),
    ("SGD", "momentum"),
    ("Adam", "betas"),
    ("SGD", "another order"),
]


@pytest.mark.parametrize(("first", "second"), [*PAIRS, *CHANGES])
def test_another_optimizer(tmp_path, first, second):
    run(tmp_path / "run.pt", first)
    says = NAMES.get(second, f"it was an {first}, and now it is an {second}")
    with pytest.raises(ValueError, match=rf"the optimizer is not the one of the run in .*{says}.*make it as it was"):
        run(tmp_path / "run.pt", second, epochs=4, resume=True)
    run(tmp_path / "run.pt", first, epochs=4, resume=True)


def test_another_number_of_groups(tmp_path):
    run(tmp_path / "run.pt")
    with pytest.raises(ValueError, match="optimizer"):
        run(tmp_path / "run.pt", "another group", epochs=4, resume=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("StepLR", "cosine"), ("cosine", "StepLR"), ("plateau", "StepLR"), ("StepLR", "plateau"),
        ("sequence", "cosine"), ("sequence", "cosine within"), ("StepLR", "step_size"), ("StepLR", "gamma"),
        ("cosine", "T_max"), ("cosine", "eta_min"), ("milestones", "other milestones"), ("one cycle", "total_steps"),
        ("plateau", "patience"), ("cyclic", "top"), ("sequence", "gamma within"), ("sequence", "milestone"),
    ],
)  # fmt: skip
def test_another_scheduler(tmp_path, first, second):
    run(tmp_path / "run.pt", scheduler=first)
    says = NAMES.get(second, "it was a ")
    with pytest.raises(ValueError, match=rf"the scheduler is not the one of the run in .*{says}"):
        run(tmp_path / "run.pt", scheduler=second, epochs=4, resume=True)
    run(tmp_path / "run.pt", scheduler=first, epochs=4, resume=True)


def test_a_top_rate_that_the_optimizer_holds(tmp_path):
    run(tmp_path / "run.pt", scheduler="one cycle")
    with pytest.raises(ValueError, match=NAMES["max_lr"]):
        run(tmp_path / "run.pt", scheduler="max_lr", epochs=4, resume=True)


@pytest.mark.parametrize("scheduler", [None, "cosine"])
def test_a_part_left_out(tmp_path, scheduler):
    run(tmp_path / "run.pt", scheduler=scheduler)
    if scheduler:
        with pytest.raises(ValueError, match="had a scheduler: pass one like it"):
            run(tmp_path / "run.pt", epochs=4, resume=True)
    model = make_model(1)
    before = weights(model)
    with pytest.raises(ValueError, match="had an optimizer: pass one like it"):
        fit(
            model, [(X, Y)], epochs=4, optimizer=None, step=lambda model, batch: model(batch[0]).mean(),
            checkpoint=tmp_path / "run.pt", resume=True,
        )  # fmt: skip
    assert torch.equal(weights(model), before)


def test_another_seed_of_the_loader(tmp_path):
    def loader(seed):
        return TensorLoader((X, Y), batch_size=16, shuffle=True, seed=seed, device="cpu")

    run(tmp_path / "run.pt", loader=loader(3))
    with pytest.raises(ValueError, match=r"the train_loader is not the one.*seed: 3 then, 4 now"):
        run(tmp_path / "run.pt", loader=loader(4), epochs=4, resume=True)
    plain = DataLoader(TensorDataset(X, Y), generator=torch.Generator())
    with pytest.raises(ValueError, match="it was a TensorLoader, and now it is a DataLoader"):
        run(tmp_path / "run.pt", loader=plain, epochs=4, resume=True)
    run(tmp_path / "run.pt", loader=loader(3), epochs=4, resume=True)


@pytest.mark.parametrize("scheduler", [None, "plateau", "one cycle", "cosine"])
@pytest.mark.parametrize("per", ["epoch", "step"])
def test_the_same_objects_go_on_in_the_same_notebook(tmp_path, scheduler, per):
    """Interrupted in the middle of an epoch: rate and momentum have moved on, and that is no other setting."""
    if scheduler == "plateau" and per == "step":
        pytest.skip("ReduceLROnPlateau goes by epochs")
    model = make_model()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    make = SCHEDULERS | {"one cycle": lambda o: lrs.OneCycleLR(o, 0.5, total_steps=30)}
    scheduler = make[scheduler](optimizer) if scheduler else None
    arguments = {
        "optimizer": optimizer,
        "scheduler": scheduler,
        "scheduler_per": per,
        "checkpoint": tmp_path / "run.pt",
    }

    class Stop:
        def on_update(self, event):
            if event.update == 7:
                raise KeyboardInterrupt

    assert len(fit(model, [(X, Y)] * 3, epochs=5, hooks=[Stop()], **arguments)) == 2
    assert len(fit(model, [(X, Y)] * 3, epochs=5, resume=True, **arguments)) == 5


def test_a_rate_changed_on_the_way(tmp_path):
    """By the step, or by hand: the run goes on with the rate it began with, or with the one it has by now."""

    def step(model, batch):
        optimizer.param_groups[0]["lr"] = 0.03
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    path, found = tmp_path / "run.pt", []
    for rate in (0.1, 0.03, np.float64(0.1)):
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        fit(model, [(X, Y)], epochs=2, optimizer=optimizer, step=step, checkpoint=path)
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        found.append(fit(model, [(X, Y)], epochs=3, optimizer=optimizer, step=step, checkpoint=path, resume=True))
        run(path, epochs=4, resume=True)  # still the run that began with 0.1
    assert found[0]["train_loss"] == found[1]["train_loss"] == found[2]["train_loss"]
    with pytest.raises(ValueError, match=r"lr: 0.1 then, 0.5 now.*with the rate that it has by now"):
        run(path, make=lambda p: torch.optim.SGD(p, lr=0.5), epochs=5, resume=True)


def test_what_only_changes_how_it_is_computed(tmp_path):
    run(tmp_path / "run.pt", make=lambda p: torch.optim.Adam(p, lr=0.1))
    run(tmp_path / "run.pt", make=lambda p: torch.optim.Adam(p, lr=0.1, foreach=False), epochs=4, resume=True)


def test_loading_by_hand_is_held_to_them_too(tmp_path):
    model = make_model()
    optimizer = OPTIMIZERS["Adam"](model.parameters())
    save_checkpoint(tmp_path / "run.pt", model, optimizer=optimizer, scheduler=SCHEDULERS["cosine"](optimizer))
    other = make_model(1)
    before, optimizer = weights(other), OPTIMIZERS["Adam"](other.parameters())
    with pytest.raises(ValueError, match="T_max: 4 then, 6 now"):
        load_checkpoint(tmp_path / "run.pt", other, optimizer=optimizer, scheduler=SCHEDULERS["T_max"](optimizer))
    with pytest.raises(ValueError, match="it was an Adam, and now it is an SGD"):
        load_checkpoint(tmp_path / "run.pt", other, optimizer=SGD(other.parameters()))
    assert torch.equal(weights(other), before)
    load_checkpoint(tmp_path / "run.pt", other, optimizer=optimizer, scheduler=SCHEDULERS["cosine"](optimizer))
    assert torch.equal(weights(other), weights(model))


def test_a_model_of_lazy_layers_can_be_trained():
    def go(epochs):
        torch.manual_seed(0)
        model = nn.Sequential(nn.LazyLinear(3), nn.ReLU(), nn.LazyLinear(2))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        batches = [(torch.ones(4, 5), torch.tensor([0, 1, 0, 1]))]
        return fit(model, batches, epochs=epochs, optimizer=optimizer, progress=False)

    assert len(go(2)) == 2
