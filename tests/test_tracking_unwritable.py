"""TensorBoardLogger and what it cannot write: said before the first epoch, or left out while the training goes on."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from torch import nn

from nnlab_helpers.tracking import TensorBoardLogger, log_sweep
from nnlab_helpers.tracking import logger as logger_module
from nnlab_helpers.tracking.parts import write_graph
from nnlab_helpers.tracking.sweeps import as_hparams
from nnlab_helpers.train import fit

X, Y = torch.randn(8, 2, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "tensors": 0}).Reload()


def train(logger, model=None, *, epochs=2, batches=((X, Y),), rate=0.01, **arguments):
    torch.manual_seed(0)
    model = model or nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    hooks = [logger] if logger else []
    return fit(model, list(batches), epochs=epochs, optimizer=optimizer, hooks=hooks, progress=False, **arguments)


class Seen:
    """An event, for a logger outside of `fit`."""

    def __init__(self, model, epoch=0, history=(), **values):
        self.model, self.epoch, self.update, self.values, self.history = model, epoch, 10, values, history


# Numbers


@pytest.mark.parametrize("value", [1e17, 3e19, 5e19, 1.5e20, 1e38])
@pytest.mark.parametrize("count", [1, 3])
def test_huge_numbers_are_drawn_or_left_out_but_end_nothing(tmp_path, value, count):
    model = nn.Linear(count, 1, bias=False)
    logger = TensorBoardLogger(tmp_path)
    with torch.no_grad():
        model.weight.fill_(value)
    model.weight.grad = torch.full_like(model.weight, -value)
    logger.on_start(Seen(model))
    logger.on_epoch(Seen(model, 1))
    events = read(tmp_path)
    assert events.Tags()["histograms"] == (["weights/weight", "gradients/weight"] if value < 9e19 else [])
    if value < 9e19:
        found = events.Histograms("weights/weight")[-1].histogram_value
        assert found.num == count
        assert found.sum_squares == pytest.approx(count * value**2, rel=1e-5)


def test_a_run_that_explodes_ends_as_it_does_without_a_logger(tmp_path):
    said = []
    huge = {"loss": nn.functional.mse_loss, "batches": [(1e12 * X, torch.zeros(8, 3))], "rate": 1.0}
    for logger in (None, TensorBoardLogger(tmp_path, examples=(1e12 * X, Y))):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
        with pytest.raises(FloatingPointError) as error:
            train(logger, model, **huge)
        said.append(str(error.value))
    assert said[0] == said[1]


def test_sparse_gradients_and_complex_weights(tmp_path):
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(5, 2, sparse=True)
            self.phase = nn.Parameter(torch.ones(3, dtype=torch.complex64))

    model = Odd()
    model.table(torch.tensor([1, 1, 4])).sum().backward()
    TensorBoardLogger(tmp_path).on_epoch(Seen(model, 1))
    events = read(tmp_path)
    assert events.Histograms("gradients/table.weight")[0].histogram_value.num == 4, "two rows of two"
    assert events.Histograms("weights/phase")[0].histogram_value.num == 6, "real and imaginary parts"


# Settings


class Unprintable:
    def __str__(self):
        raise RuntimeError("no words")


ODD = {
    "tensor": torch.tensor([32, 64]),
    "array": np.array([[1.5], [2.5]]),
    "one": torch.tensor([3]),
    "numpy": np.float32(0.5),
    "meta": torch.zeros((), device="meta"),
    "none": None,
    "huge": 10**400,
    "class": nn.ReLU,
    "device": torch.device("cpu"),
    "odd text": "\udc80",
    "unprintable": Unprintable(),
    7: {"a": [1]},
}


def test_hparams_of_any_kind(tmp_path):
    history = train(TensorBoardLogger(tmp_path, hparams=ODD))
    assert len(history) == 2
    metadata = read(tmp_path).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    found = plugin_data_pb2.HParamsPluginData.FromString(metadata).session_start_info.hparams
    shown = {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}
    assert shown == as_hparams(ODD)
    assert shown["tensor"] == "tensor([32, 64])"
    assert (shown["one"], shown["numpy"], shown["class"], shown["7"]) == (3, 0.5, "ReLU", "{'a': [1]}")


@pytest.mark.parametrize("hparams", [["rate"], 0.1, "rate=0.1"])
def test_hparams_without_names(tmp_path, hparams):
    with pytest.raises(TypeError, match="hparams must be a dict"):
        TensorBoardLogger(tmp_path, hparams=hparams)


# Models


def lazy():
    return nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d(), nn.Dropout(0.5), nn.LazyLinear(3))


def test_lazy_modules(tmp_path, monkeypatch):
    """The hook does not give them their weights, and draws them once they have some."""
    model, drawn = lazy(), []
    monkeypatch.setattr(logger_module, "write_graph", lambda *a: drawn.append(len(a)) or write_graph(*a))
    logger = TensorBoardLogger(tmp_path, graph=X, examples=(X, Y))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        logger.on_start(Seen(model))
        assert isinstance(model[0].weight, nn.UninitializedParameter)
        for epoch in (1, 2):
            nn.functional.cross_entropy(model(X), Y).backward()
            logger.on_epoch(Seen(model, epoch))
        logger.on_end(Seen(model, 2))
    assert len(drawn) == 1
    events = read(tmp_path)
    assert any("Linear" in node.name for node in events.Graph().node)
    assert [event.step for event in events.Histograms("weights/0.weight")] == [1, 2]
    assert [event.step for event in events.Tensors("precision_recall/0")] == [1, 2]


class Two(nn.Module):
    """A model of two inputs."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, a, b):
        return self.out(input=torch.cat([a, b], dim=1))


def two_inputs(model, batch):
    return nn.functional.cross_entropy(model(batch[0], batch[1]), batch[2])


def test_a_model_of_two_inputs(tmp_path):
    logger = TensorBoardLogger(tmp_path, graph=(X[:1], X[:1]), examples=((X, X), Y))
    train(logger, Two(), batches=[(X, X, Y)], step=two_inputs)
    assert len(list(tmp_path.glob("*/features/tensors.tsv"))) == 1
    assert "precision_recall/2" in read(tmp_path).Tags()["tensors"]
    assert any("Linear" in node.name for node in read(tmp_path).Graph().node)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"graph": X}, r"no graph of this Two can be drawn \(.*missing 1 required positional argument.*leave `graph`"),
        ({"examples": (X, Y)}, r"this Two does not take the examples \(.*missing 1 required.*leave `examples` out"),
    ],
)
def test_the_second_input_is_missing(tmp_path, arguments, told):
    with pytest.raises(ValueError, match=told):
        train(TensorBoardLogger(tmp_path, **arguments), Two(), batches=[(X, X, Y)], step=two_inputs)


class Gives(nn.Linear):
    """A linear layer whose output is wrapped by a function."""

    def __init__(self, wrap):
        super().__init__(2, 3)
        self.wrap = wrap

    def forward(self, x):
        return self.wrap(super().forward(x))


def test_outputs_that_are_no_logits(tmp_path):
    with pytest.raises(ValueError, match="the model gives a tuple; curves need logits"):
        TensorBoardLogger(tmp_path / "a", examples=(X, Y)).on_start(Seen(Gives(lambda z: (z, z))))
    with pytest.raises(ValueError, match="classes of the examples are 0 to 7, but the model tells 3 classes apart"):
        TensorBoardLogger(tmp_path / "b", examples=(X, torch.arange(8))).on_start(Seen(nn.Linear(2, 3)))
    logger = TensorBoardLogger(tmp_path / "c", examples=(X, Y), graph=X)
    logger.on_start(Seen(Gives(lambda z: z / 0)))
    assert read(tmp_path / "c").Tags()["tensors"] == []
    TensorBoardLogger(tmp_path / "d", graph=X).on_start(Seen(Gives(lambda z: {"logits": z})))
    assert read(tmp_path / "d").Graph().node


def test_an_embedding_without_its_layer(tmp_path):
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 3), nn.Linear(2, 3)

        def forward(self, x):
            return self.used(x)

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        train(TensorBoardLogger(tmp_path, examples=(X, Y)), Idle())
    assert not list(tmp_path.glob("*/features"))


# What fails on the way


def test_what_fails_later_is_left_out_with_one_warning(tmp_path):
    calls = iter(range(100))

    def moody(z):
        if not torch.is_grad_enabled() and next(calls):  # the first look succeeds
            raise RuntimeError("not today")
        return z

    with pytest.warns(RuntimeWarning) as caught:
        history = train(TensorBoardLogger(tmp_path, examples=(X, Y), hparams={"rate": 1}), Gives(moody), epochs=4)
    assert len(history) == 4
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2, said
    assert "could not write precision-recall curves (ValueError: this Gives does not take the examples" in said[0]
    assert "could not write the embedding" in said[1]
    events = read(tmp_path)
    assert [event.step for event in events.Scalars("loss/train")] == [1, 2, 3, 4], "the rest goes on"
    assert events.Scalars("best/epoch")


FULL = '''
import resource, signal, sys, threading, warnings
import torch
from torch import nn
from nnlab_helpers.tracking import TensorBoardLogger
from nnlab_helpers.train import fit
threading.excepthook = lambda told: None  # the writer's own thread
model = nn.Linear(50, 3)
batches = [(torch.randn(8, 50), torch.arange(8) % 3)]
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)


class Fill:
    """From an epoch on there is no room: "File too large", which is met like a full disk."""

    def on_start(self, event):
        if event.epoch == int(sys.argv[2]):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    on_epoch = on_start


with warnings.catch_warnings(record=True) as caught, TensorBoardLogger(sys.argv[1], hparams={"rate": 0.1}) as logger:
    warnings.simplefilter("always")
    history = fit(model, batches, epochs=5, optimizer=optimizer, hooks=[Fill(), logger], progress=False)
print(len(history), [str(warning.message) for warning in caught if warning.category is RuntimeWarning])
'''


@pytest.mark.skipif(sys.platform == "win32", reason="limits as on POSIX")
@pytest.mark.parametrize("epoch", [0, 2])
def test_a_full_disk_names_the_file(tmp_path, epoch):
    command = [sys.executable, "-c", FULL, str(tmp_path), str(epoch)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if epoch == 0:
        assert f"File too large: '{tmp_path}/events.out.tfevents." in done.stderr
        return
    assert done.returncode == 0, done.stderr
    epochs, _, said = done.stdout.partition(" ")
    assert epochs == "5"
    assert said.count("Training goes on") == 1
    assert f"{tmp_path}/events.out.tfevents." in said
    assert "nor is anything more of this run" in said


# Folders


def test_a_home_folder_is_written_with_a_tilde(tmp_path, monkeypatch):
    import pandas as pd

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert TensorBoardLogger("~/runs/a").log_dir == tmp_path / "runs" / "a"
    log_sweep(pd.DataFrame({"rate": [0.1], "loss": [1.0]}), "~/sweep", choices=["rate"])
    assert list((tmp_path / "sweep").iterdir())
    assert not list((tmp_path / "here").iterdir())


def test_a_folder_that_cannot_be_used_is_noticed_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file: a file, not a folder for a run"):
        TensorBoardLogger(tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        TensorBoardLogger(tmp_path / "file" / "run")
    for address in ("s3://bucket/run", "gs://bucket"):
        with pytest.raises(ValueError, match=f"{address}: events go to a folder of this machine"):
            TensorBoardLogger(address)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path.parent))

    monkeypatch.setattr("nnlab_helpers.tracking.logger.check_writable", refuse)  # a read-only folder
    with pytest.raises(PermissionError, match="run"):
        TensorBoardLogger(tmp_path / "run")
    assert not list(tmp_path.glob("**/events*"))


# Arguments


@pytest.mark.parametrize(
    ("arguments", "kind", "told"),
    [
        ({"images": torch.zeros(0, 1, 4, 4)}, ValueError, r"images must be \[N, C, H, W\].*got \[0, 1, 4, 4\]"),
        ({"images": torch.zeros(2, 1, 4, 4, dtype=torch.int64)}, TypeError, "uint8, or of floats.*int64"),
        ({"images": np.zeros((2, 1, 4, 4))}, TypeError, "ndarray"),
        ({"examples": (X[:0], Y[:0])}, ValueError, r"got \[0, 2\] and \[0\]"),
        ({"examples": X}, TypeError, "examples must be a pair"),
        ({"examples": (X, [0] * 8)}, TypeError, "examples must be a pair of tensors"),
        ({"examples": (X.numpy(), Y)}, TypeError, "the inputs of examples must be a tensor.*ndarray"),
        ({"examples": ((X, X[:3]), Y)}, ValueError, r"got \[3, 2\] and \[8\]"),
        ({"graph": X.numpy()}, TypeError, "graph must be a tensor.*ndarray"),
        ({"graph": ()}, TypeError, "graph must be a tensor"),
        ({"updates_every": 2.5}, TypeError, "updates_every must be a whole number"),
    ],
)
def test_arguments_of_another_kind(tmp_path, arguments, kind, told):
    with pytest.raises(kind, match=told):
        TensorBoardLogger(tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bfloat16, torch.float64])
def test_images_of_any_kind_of_number(tmp_path, dtype):
    images = torch.ones(2, 3, 4, 4, dtype=dtype)
    TensorBoardLogger(tmp_path, images=images, histograms_every=0).on_start(Seen(nn.Linear(2, 3)))
    assert EventAccumulator(str(tmp_path), size_guidance={"images": 0}).Reload().Images("images")
