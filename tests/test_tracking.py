"""TensorBoardLogger: what it writes, that it only looks, what it refuses."""

from __future__ import annotations

import copy

import pytest
import torch
from closeness import rounding
from gpu import DEVICE, on_gpu
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from nnlab_helpers.tracking import TensorBoardLogger
from nnlab_helpers.tracking.logger import tag_of
from nnlab_helpers.train import EarlyStopping, fit


class Net(nn.Module):
    """A network with everything that looking could move: dropout, batch statistics, and a part that is frozen."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.frozen = nn.BatchNorm2d(2)
        self.drop = nn.Dropout(0.5)
        self.out = nn.Linear(2 * 6 * 6, 3)

    def forward(self, x):
        return self.out(self.drop(self.frozen(self.norm(self.conv(x)).relu()).flatten(1)))


def batches(count=20, size=4):
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(count * size, 1, 8, 8, generator=generator)
    y = torch.arange(count * size) % 3
    return list(zip(x.split(size), y.split(size), strict=True))


def train(hooks=(), *, epochs=3, seed=0, **arguments):
    torch.manual_seed(seed)
    model = Net()
    model.frozen.eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    history = fit(model, batches(), batches(5), epochs=epochs, optimizer=optimizer, hooks=hooks, **arguments)
    return model, history


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
    return events.Reload()


def scalars(folder):
    events = read(folder)
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def everything(folder, **more):
    x, y = batches()[0]
    return TensorBoardLogger(folder, images=x, graph=x[:1], examples=(x, y), hparams={"rate": 0.05}, **more)


# What is written ---------------------------------------------------------------------------------------------------


def test_every_number_of_the_history_is_in_the_file(tmp_path):
    _, history = train([TensorBoardLogger(tmp_path)])
    found = scalars(tmp_path)
    for name in set(history.columns) - {"epoch"}:
        steps, values = zip(*found.pop(tag_of(name)), strict=True)
        assert list(steps) == [1, 2, 3]
        assert list(values) == pytest.approx(history[name], rel=rounding())
    assert set(found) == {"loss/update", "accuracy/update"}


@pytest.mark.parametrize(("every", "steps"), [(10, [10, 20, 30, 40, 50, 60]), (25, [25, 50]), (0, [])])
def test_values_of_updates_at_their_updates(tmp_path, every, steps):
    seen = []

    class Note:
        def on_update(self, event):
            seen.append((event.update, event.values["loss"].item()))

    train([TensorBoardLogger(tmp_path, updates_every=every), Note()])
    wanted = [(update, loss) for update, loss in seen if update in steps]
    found = scalars(tmp_path).get("loss/update", [])
    assert [step for step, _ in found] == [step for step, _ in wanted] == steps
    assert [value for _, value in found] == pytest.approx([loss for _, loss in wanted])


@pytest.mark.parametrize(
    ("every", "weights", "gradients"), [(1, [0, 1, 2, 3], [1, 2, 3]), (2, [0, 2], [2]), (0, [], [])]
)
def test_histograms(tmp_path, every, weights, gradients):
    model, _ = train([TensorBoardLogger(tmp_path, histograms_every=every)])
    events = read(tmp_path)
    names = [f"{group}/{name}" for group in ("weights", "gradients") for name, _ in model.named_parameters()]
    assert events.Tags()["histograms"] == (names if every else [])
    for name, parameter in model.named_parameters() if every else ():
        found = events.Histograms(f"weights/{name}")
        assert [event.step for event in found] == weights
        assert [event.step for event in events.Histograms(f"gradients/{name}")] == gradients
        assert found[0].histogram_value.num == parameter.numel()
    if every == 1:
        last = events.Histograms("weights/out.weight")[-1].histogram_value
        assert (last.min, last.max) == pytest.approx((model.out.weight.min().item(), model.out.weight.max().item()))
        grad = events.Histograms("gradients/out.weight")[-1].histogram_value
        assert grad.max == pytest.approx(model.out.weight.grad.max().item())


def test_images_and_graph_before_the_first_epoch(tmp_path):
    train([everything(tmp_path)])
    events = read(tmp_path)
    (picture,) = events.Images("images")
    assert picture.step == 0
    assert picture.encoded_image_string.startswith(b"\x89PNG")
    operators = [node.op for node in events.Graph().node]
    assert any("conv" in name for name in operators)
    assert any("Linear" in node.name for node in events.Graph().node)


def test_precision_recall_curves(tmp_path):
    model, _ = train([everything(tmp_path)])
    events = read(tmp_path)
    x, y = batches()[0]
    model.eval()
    probability = model(x).softmax(1)[:, 2].detach()
    found = events.Tensors("precision_recall/2")
    assert [event.step for event in found] == [0, 1, 2, 3]
    proto = found[-1].tensor_proto
    curve = torch.frombuffer(bytearray(proto.tensor_content), dtype=torch.float32) if proto.tensor_content else None
    curve = torch.tensor(proto.float_val) if curve is None else curve
    true_positives = curve.reshape(6, -1)[0]  # rows: TP, FP, TN, FN, precision, recall; a column for each threshold
    assert true_positives[0] == (y == 2).sum()
    middle = len(true_positives) // 2
    assert true_positives[middle] == ((y == 2) & (probability >= 0.5)).sum()


def test_embedding_is_what_the_last_layer_is_given(tmp_path):
    model, _ = train([everything(tmp_path)])
    x, y = batches()[0]
    (folder,) = tmp_path.glob("*/features")
    rows = [[float(v) for v in line.split("\t")] for line in (folder / "tensors.tsv").read_text().splitlines()]
    model.eval()
    wanted = model.frozen(model.norm(model.conv(x)).relu()).flatten(1).detach()
    torch.testing.assert_close(torch.tensor(rows), wanted, rtol=1e-4, atol=1e-5)
    assert (folder / "metadata.tsv").read_text().split() == [str(v) for v in y.tolist()]
    assert (folder / "sprite.png").is_file()
    assert not model.out._forward_pre_hooks


def test_hyperparameters_with_the_best_epochs_numbers(tmp_path):
    chosen = {"rate": 0.05, "hidden": (8, 8), "name": "net", "norm": True}
    _, history = train([TensorBoardLogger(tmp_path, hparams=chosen)], epochs=6)
    found = scalars(tmp_path)
    best = history[history.best_epoch - 1]
    assert found["best/val_loss"][0][1] == pytest.approx(best["val_loss"])
    assert found["best/val_accuracy"][0][1] == pytest.approx(best["val_accuracy"])
    assert found["best/epoch"][0][1] == best["epoch"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [], "no run of its own"
    metadata = read(tmp_path).summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert all(text in metadata for text in (b"rate", b"(8, 8)", b"net"))


def test_hyperparameters_of_a_run_without_validation_or_without_an_epoch(tmp_path):
    x, y = batches()[0]
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, [(x, y)], epochs=1, optimizer=optimizer, hooks=[TensorBoardLogger(tmp_path / "a", hparams={"b": 1})])
    assert "best/train_loss" in scalars(tmp_path / "a")

    def interrupt(model, batch):
        raise KeyboardInterrupt

    logger = TensorBoardLogger(tmp_path / "b", hparams={"b": 1})
    history = fit(model, [(x, y)], epochs=1, optimizer=optimizer, step=interrupt, hooks=[logger])
    assert history.ended == "interrupted"
    assert scalars(tmp_path / "b") == {}


# It only looks -----------------------------------------------------------------------------------------------------


def test_training_is_the_same_bit_for_bit(tmp_path):
    plain, before = train()
    watched, after = train([everything(tmp_path, updates_every=1)])
    assert before["val_loss"] == after["val_loss"]
    for (name, a), (_, b) in zip(plain.state_dict().items(), watched.state_dict().items(), strict=True):
        assert torch.equal(a, b), name


def test_outside_of_fit_too_it_moves_nothing(tmp_path):
    """`fit` puts modes and random state back after hooks; a loop of one's own does not."""
    model = Net()
    model.frozen.eval()
    logger = everything(tmp_path)
    event = FakeEvent(model)
    for moment in (logger.on_start, logger.on_update, logger.on_epoch, logger.on_end):
        before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
        moment(event)
        assert [m.training for m in (model, model.norm, model.frozen, model.drop)] == [True, True, False, True]
        assert torch.equal(state, torch.get_rng_state())
        assert all(torch.equal(a, b) for a, b in zip(before.values(), model.state_dict().values(), strict=True))
        assert all(p.grad is None for p in model.parameters())


class FakeEvent:
    def __init__(self, model, epoch=0, **values):
        self.model, self.epoch, self.update, self.values = model, epoch, 10, values
        self.history = []


def test_values_are_read_once_an_epoch(tmp_path, monkeypatch):
    """Each `.item()` or `float()` of an update's value would make a GPU wait."""
    logger = TensorBoardLogger(tmp_path, updates_every=1)
    event = FakeEvent(Net(), loss=torch.tensor(1.0))
    for name in ("item", "__float__", "tolist", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("read during an update"))
    logger.on_update(event)


def test_numbers_that_are_not_finite_do_not_stop_a_run(tmp_path):
    model = nn.Linear(2, 2).to(torch.bfloat16)
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
        model.bias[:] = float("inf")
    logger = TensorBoardLogger(tmp_path)
    logger.on_start(FakeEvent(model))
    logger.on_epoch(FakeEvent(model, 1, train_loss=float("nan")))
    events = read(tmp_path)
    assert events.Tags()["histograms"] == ["weights/weight"]
    assert events.Histograms("weights/weight")[0].histogram_value.num == 3
    assert str(events.Scalars("loss/train")[0].value) == "nan"


# Files and folders -------------------------------------------------------------------------------------------------


def test_two_runs_do_not_share_a_folder(tmp_path):
    train([TensorBoardLogger(tmp_path)], epochs=1)
    with pytest.raises(FileExistsError, match="a folder of its own"):
        TensorBoardLogger(tmp_path)


def test_one_logger_is_not_for_two_runs(tmp_path):
    logger = TensorBoardLogger(tmp_path)
    train([logger], epochs=2)
    with pytest.raises(ValueError, match="epochs up to 2"):
        train([logger], epochs=1)


def test_a_run_that_goes_on(tmp_path):
    """The same logger through an interruption: epochs and updates go on counting, nothing is written twice."""
    logger = everything(tmp_path / "log")
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    more = {"optimizer": optimizer, "hooks": [logger], "checkpoint": tmp_path / "c.pt", "resume": True}
    fit(model, batches(), epochs=1, **more)
    fit(model, batches(), epochs=3, **more)
    found = scalars(tmp_path / "log")
    assert [step for step, _ in found["loss/train"]] == [1, 2, 3]
    assert [step for step, _ in found["loss/update"]] == [10, 20, 30, 40, 50, 60]
    assert len(read(tmp_path / "log").Images("images")) == 1


def test_with_closes_the_file(tmp_path):
    with TensorBoardLogger(tmp_path) as logger:
        train([logger], epochs=1)
        assert logger.writer is logger.writer
    assert logger._writer is None
    assert len(list(tmp_path.glob("events*"))) == 1
    with pytest.raises(KeyError), TensorBoardLogger(tmp_path / "other") as logger:
        raise KeyError
    assert logger._writer is None


def test_early_stopping_and_the_logger(tmp_path):
    stop = EarlyStopping(patience=1)
    _, history = train([TensorBoardLogger(tmp_path, hparams={})], epochs=40, early_stopping=stop)
    assert scalars(tmp_path)["best/epoch"][0][1] == history.best_epoch


# What it refuses ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"updates_every": -1}, "updates_every must be 0"),
        ({"histograms_every": -2}, "histograms_every must be 0"),
        ({"images": torch.rand(8, 8)}, r"images must be \[N, C, H, W\].*\[8, 8\]"),
        ({"images": torch.rand(2, 2, 8, 8)}, "1 or 3 channels"),
        ({"examples": (torch.rand(4, 1, 8, 8), torch.zeros(3))}, r"classes \[N\], got \[4, 1, 8, 8\] and \[3\]"),
    ],
)
def test_wrong_arguments(tmp_path, arguments, told):
    with pytest.raises(ValueError, match=told):
        TensorBoardLogger(tmp_path / "log", **arguments)
    assert not (tmp_path / "log").exists()


def test_a_model_without_a_graph_or_classes(tmp_path, capsys):
    class Choosy(nn.Linear):
        def forward(self, x):
            raise RuntimeError("not today\nor tomorrow")

    with pytest.raises(ValueError, match=r"no graph of this Choosy can be drawn \(not today\): leave `graph` out"):
        TensorBoardLogger(tmp_path / "a", graph=torch.rand(1, 2)).on_start(FakeEvent(Choosy(2, 2)))
    assert capsys.readouterr().out == ""
    regression = TensorBoardLogger(tmp_path / "b", examples=(torch.rand(4, 2), torch.zeros(4)))
    with pytest.raises(ValueError, match=r"the model gives \[4, 1\]; curves need logits"):
        regression.on_start(FakeEvent(nn.Linear(2, 1)))


@pytest.mark.parametrize("name", ["train_loss", "val_top_5", "learning_rate", "seconds", "training_speed"])
def test_tags(name):
    tags = {"train_loss": "loss/train", "val_top_5": "top_5/val"}
    assert tag_of(name) == tags.get(name, name)


@on_gpu
def test_on_a_gpu(tmp_path):
    train([everything(tmp_path)], device=DEVICE, epochs=1)
    assert "precision_recall/0" in read(tmp_path).Tags()["tensors"]
