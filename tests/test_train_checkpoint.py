"""The files of checkpoints: whole, intact and loadable, or refused by one kind of error that leaves all as it was."""

from __future__ import annotations

import copy
import hashlib
import io
import os
import pickle
import random
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training import X, Y, make_model, sgd, weights

from nnlab_helpers.data import TensorLoader
from nnlab_helpers.models import MLP
from nnlab_helpers.train import EarlyStopping, fit, load_checkpoint, save_checkpoint
from nnlab_helpers.train.checkpoint import FORMAT, MARK


def test_save_and_load(tmp_path):
    model, other = make_model(0), make_model(1)
    optimizer = sgd(model)
    save_checkpoint(tmp_path / "model.pt", model, optimizer=optimizer, epoch=7, note=None)
    content = load_checkpoint(tmp_path / "model.pt", other)
    assert torch.equal(weights(model), weights(other))
    assert (content["epoch"], content["note"]) == (7, None)
    assert load_checkpoint(tmp_path / "model.pt")["model"].keys() == model.state_dict().keys()


def test_loading_runs_no_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"format": FORMAT, "model": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(ValueError, match="damaged, or no checkpoint"):
        load_checkpoint(tmp_path / "trap.pt")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("failure", [KeyboardInterrupt, OSError])
def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, monkeypatch, failure):
    path = tmp_path / "run.pt"
    save_checkpoint(path, make_model(0))
    before = path.read_bytes()

    def stop(handle):
        assert len(list(tmp_path.iterdir())) == 2
        raise failure

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(failure):
        save_checkpoint(path, make_model(1))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("other", "says"),
    [
        (lambda: MLP(6, (9,), 3), r"layers\.1\.weight is \[8, 6\] in the checkpoint and \[9, 6\] in the model"),
        (lambda: MLP(6, (8, 8), 3), r"layers\.5\.weight is only in the model"),
        (lambda: MLP(6, (), 3), r"layers\.3\.weight is only in the checkpoint"),
        (lambda: nn.Linear(6, 3), "another architecture.*and 3 more"),
    ],
)
def test_another_architecture(tmp_path, other, says):
    save_checkpoint(tmp_path / "run.pt", make_model())
    model = other()
    before = weights(model)
    with pytest.raises(ValueError, match=says):
        load_checkpoint(tmp_path / "run.pt", model)
    assert torch.equal(weights(model), before)


def test_numbers_of_numpy(tmp_path):
    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=np.logspace(-3, -1, 3)[1], weight_decay=np.float32(0.5))
    found = {"accuracy": np.float64(0.9), "counts": [np.int64(3)], 7: (np.bool_(True), None)}
    save_checkpoint(tmp_path / "run.pt", model, optimizer=optimizer, found=found)
    content = load_checkpoint(tmp_path / "run.pt", model, optimizer=optimizer)
    assert content["found"] == {"accuracy": 0.9, "counts": [3], 7: (True, None)}
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("parts", "error", "says"),
    [
        ({"folder": Path("runs")}, TypeError, "folder holds something of the kind pathlib"),
        ({"epoch": 3, "scores": {"a": np.zeros(3)}}, TypeError, "scores holds something of the kind numpy"),
        ({"format": "mine"}, ValueError, "keeps format itself"),
        ({"random_state": 1}, ValueError, "keeps random_state itself"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(tmp_path, parts, error, says):
    save_checkpoint(tmp_path / "run.pt", make_model(), epoch=2)
    with pytest.raises(error, match=says):
        save_checkpoint(tmp_path / "run.pt", make_model(), **parts)
    assert load_checkpoint(tmp_path / "run.pt")["epoch"] == 2, "the last one is still there"


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        load_checkpoint(tmp_path / "nowhere.pt")
    torch.save(make_model().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ValueError, match="no checkpoint of save_checkpoint"):
        load_checkpoint(tmp_path / "weights.pt")
    save_checkpoint(tmp_path / "cut.pt", make_model())
    whole = (tmp_path / "cut.pt").read_bytes()
    for content in (b"", b"text", *(whole[:-cut] for cut in range(1, len(whole), 997)), pickle.dumps({"format": 1})):
        (tmp_path / "cut.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"is damaged.*start afresh"):
            load_checkpoint(tmp_path / "cut.pt")


def signed(content) -> bytes:
    """A file like those of `save_checkpoint`, with any content and the right checksum."""
    archive = io.BytesIO()
    torch.save(content, archive)
    archive = archive.getvalue()[:-2] + struct.pack("<H", len(MARK) + 64)
    return archive + MARK + hashlib.sha256(archive).hexdigest().encode()


def test_a_flipped_bit_anywhere(tmp_path):
    path, chance = tmp_path / "run.pt", random.Random(0)
    save_checkpoint(path, make_model(), optimizer=sgd(make_model()))
    whole = path.read_bytes()
    load_checkpoint(path)
    for _ in range(200):
        place = chance.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"damaged.*start afresh"):
            load_checkpoint(path)


def test_the_weights_are_there_without_the_package(tmp_path):
    model = make_model()
    save_checkpoint(tmp_path / "run.pt", model, epoch=3)
    make_model(1).load_state_dict(torch.load(tmp_path / "run.pt", weights_only=True)["model"])


def test_an_older_checkpoint_says_how_to_go_on(tmp_path):
    torch.save({"format": "nnlab-checkpoint-2", "model": make_model().state_dict()}, tmp_path / "old.pt")
    with pytest.raises(ValueError, match=r"another version.*no checksum.*torch\.load\(path\)\[\"model\"\]"):
        load_checkpoint(tmp_path / "old.pt", make_model())


def remove(content, *path):
    for key in path[:-1]:
        content = content[key]
    del content[path[-1]]


def put(value, content, *path):
    for key in path[:-1]:
        content = content[key]
    content[path[-1]] = value


HUGE = (3, tuple([2**70] * 625), None)
ODD = {
    "weights that are a number": lambda c: put(3, c, "model"),
    "a weight that is a string": lambda c: put("x", c, "model", "layers.1.weight"),
    "a weight less": lambda c: remove(c, "model", "layers.1.weight"),
    "a weight by number": lambda c: put(torch.zeros(1), c, "model", 7),
    "no random state": lambda c: remove(c, "random_state"),
    "random numbers too large": lambda c: put(HUGE, c, "random_state", "python"),
    "random numbers of another kind": lambda c: put(7, c, "random_state", "numpy"),
    "no random numbers of torch": lambda c: remove(c, "random_state", "cpu"),
    "an optimizer that is a string": lambda c: put("s", c, "optimizer"),
    "an optimizer without groups": lambda c: put({"state": {}}, c, "optimizer"),
    "a state that is a number": lambda c: put({0: 3}, c, "optimizer", "state"),
    "groups that are a number": lambda c: put(3, c, "optimizer", "param_groups"),
    "no settings": lambda c: remove(c, "made"),
    "odd settings": lambda c: put(3, c, "made", "optimizer"),
    "a stopping without its monitor": lambda c: remove(c, "early_stopping", "monitor"),
    "a loader's epoch that is a string": lambda c: put("x", c, "train_loader", "epoch"),
    "a history that is a number": lambda c: put(3, c, "history"),
    "a history of numbers": lambda c: put([3], c, "history"),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_content_is_refused_and_changes_nothing(tmp_path, odd):
    path = tmp_path / "run.pt"

    def make(seed):
        model = make_model(seed)
        return model, {
            "optimizer": torch.optim.Adam(model.parameters()),
            "early_stopping": EarlyStopping("train_loss"),
            "train_loader": TensorLoader((X, Y), batch_size=16, shuffle=True, device="cpu"),
        }

    def run(model, parts, **kwargs):
        kept = {name: part for name, part in parts.items() if name != "train_loader"}
        fit(model, parts["train_loader"], epochs=2, **kept, checkpoint=path, **kwargs)

    run(*make(0))
    content = load_checkpoint(path)
    ODD[odd](content)
    path.write_bytes(signed(content))
    random.random(), np.random.rand(), torch.rand(1)
    model, parts = make(1)
    before, states = weights(model), {name: copy.deepcopy(part.state_dict()) for name, part in parts.items()}
    random_before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    with pytest.raises(ValueError, match=str(path)):
        run(model, parts, resume=True)
    assert torch.equal(weights(model), before)
    assert {name: part.state_dict() for name, part in parts.items()} == states
    assert torch.equal(torch.get_rng_state(), random_before[0])
    assert random.getstate() == random_before[1]
    assert np.array_equal(np.random.get_state()[1], random_before[2])


def test_a_checkpoint_of_ones_own_has_no_history(tmp_path):
    model = make_model()
    save_checkpoint(tmp_path / "run.pt", model, optimizer=sgd(model))
    with pytest.raises(ValueError, match="holds no history, so fit did not write it"):
        fit(model, [(X, Y)], epochs=1, optimizer=sgd(model), checkpoint=tmp_path / "run.pt", resume=True)


WRAPPERS = {
    "plain": lambda model: model,
    "compiled": lambda model: torch.compile(model, backend="eager"),
    "parallel": nn.DataParallel,
    "both": lambda model: nn.DataParallel(torch.compile(model, backend="eager")),
    "a part compiled": lambda model: setattr(model, "layers", torch.compile(model.layers, backend="eager")) or model,
}


@pytest.mark.parametrize("saved", WRAPPERS)
@pytest.mark.parametrize("loaded", WRAPPERS)
def test_wrapped_models(tmp_path, saved, loaded):
    save_checkpoint(tmp_path / "run.pt", WRAPPERS[saved](make_model(0)), other=make_model(2))
    model, other = make_model(1), make_model(3)
    content = load_checkpoint(tmp_path / "run.pt", WRAPPERS[loaded](model), other=WRAPPERS[loaded](other))
    assert torch.equal(weights(model), weights(make_model(0)))
    assert torch.equal(weights(other), weights(make_model(2)))
    assert list(content["model"]) == list(make_model().state_dict())
    with pytest.raises(ValueError, match="another architecture"):
        load_checkpoint(tmp_path / "run.pt", WRAPPERS[loaded](MLP(6, (9,), 3)))


@pytest.mark.parametrize("wrapper", ["parallel", "a part compiled"])
def test_a_wrapped_run_goes_on_unwrapped(tmp_path, wrapper):
    def run(wrap, epochs, **kwargs):
        model = wrap(make_model())
        stopping = EarlyStopping("train_loss", patience=9)
        return model, fit(model, [(X, Y)], epochs=epochs, optimizer=sgd(model), early_stopping=stopping, **kwargs)

    path = tmp_path / "run.pt"
    run(WRAPPERS[wrapper], 2, checkpoint=path)
    model, _ = run(WRAPPERS["plain"], 4, checkpoint=path, resume=True)
    assert torch.equal(weights(model), weights(run(WRAPPERS["plain"], 4)[0]))


def test_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    model = make_model()
    save_checkpoint("~/runs/one.pt", model)
    load_checkpoint("~/runs/one.pt", model)
    fit(model, [(X, Y)], epochs=1, optimizer=sgd(model), checkpoint="~/runs/two.pt")
    resumed = fit(model, [(X, Y)], epochs=2, optimizer=sgd(model), checkpoint=Path("~/runs/two.pt"), resume=True)
    assert len(resumed) == 2
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["one.pt", "two.pt"]
    assert not list((tmp_path / "elsewhere").iterdir())
    with pytest.raises(FileNotFoundError, match="no home folder is known"):
        save_checkpoint("~no-such-user/run.pt", model)
