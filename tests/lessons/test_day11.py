"""Day 11's own reader and hooks, held against TensorBoard's and against the package."""

from __future__ import annotations

import pytest
import torch
from closeness import rounding
from lesson import definitions
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from nnlab_helpers.tracking import TensorBoardLogger
from nnlab_helpers.train import fit

LESSON = "day11_tensorboard"


def run(hooks):
    torch.manual_seed(0)
    x, y = torch.rand(60, 1, 28, 28), torch.arange(60) % 10
    batches = list(zip(x.split(10), y.split(10), strict=True))
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    fit(model, batches, batches[:2], epochs=3, optimizer=optimizer, hooks=hooks)
    return model


def scalars(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    found = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    found.pop("seconds", None)
    return found


def test_the_lessons_hook_and_the_packages_write_the_same_curves(tmp_path):
    curves = definitions(LESSON, "Curves").Curves
    with SummaryWriter(str(tmp_path / "lesson")) as writer:
        run([curves(writer)])
    with TensorBoardLogger(tmp_path / "package", updates_every=5) as logger:
        run([logger])
    own, theirs = scalars(tmp_path / "lesson"), scalars(tmp_path / "package")
    assert {"loss/train", "loss/val", "accuracy/train", "accuracy/val", "learning_rate", "loss/update"} <= own.keys()
    assert own.items() <= theirs.items()
    assert theirs.keys() - own.keys() == {"accuracy/update"}


def test_the_lessons_histograms_and_the_packages_agree(tmp_path):
    histograms = definitions(LESSON, "Histograms").Histograms
    with SummaryWriter(str(tmp_path / "lesson")) as writer:
        run([histograms(writer)])
    with TensorBoardLogger(tmp_path / "package") as logger:
        run([logger])
    own, theirs = (EventAccumulator(str(tmp_path / name), size_guidance={"histograms": 0}).Reload()
                   for name in ("lesson", "package"))  # fmt: skip
    assert own.Tags()["histograms"]
    for tag in own.Tags()["histograms"]:
        wanted = {event.step: event.histogram_value for event in theirs.Histograms(tag)}
        for event in own.Histograms(tag):
            assert event.histogram_value == wanted[event.step], tag


def test_the_lessons_reader_reads_what_tensorboards_does(tmp_path):
    scalars_in = definitions(LESSON, "records", "scalars_in").scalars_in
    with TensorBoardLogger(tmp_path, histograms_every=0) as logger:
        run([logger])
    (path,) = tmp_path.glob("events*")
    found = {}
    for tag, step, value in scalars_in(path.read_bytes()):
        found.setdefault(tag, []).append((step, value))
    found.pop("seconds")
    assert found == scalars(tmp_path)


@pytest.mark.parametrize("lost", [1, 5, 20, 33])
def test_the_lessons_reader_stops_where_a_file_is_cut_off(tmp_path, lost):
    scalars_in = definitions(LESSON, "records", "scalars_in").scalars_in
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(5):
            writer.add_scalar("a", step, step)
    (path,) = tmp_path.iterdir()
    assert scalars_in(path.read_bytes()[:-lost]) == [("a", step, step) for step in range(4)]


@pytest.mark.parametrize("names", [["Curves"], ["Histograms"], ["EightsCurve"], ["Embedding"]])
def test_the_lessons_hooks_disturb_nothing(tmp_path, names):
    lesson = definitions(LESSON, *names)
    for name in names:  # what the lesson has at hand when its hooks are called
        method = getattr(getattr(lesson, name), "on_epoch", None) or getattr(lesson, name).on_end
        scope = getattr(method, "__wrapped__", method).__globals__
        scope["val_x"], scope["val_y"] = torch.rand(300, 1, 28, 28), torch.arange(300) % 10
        scope["first_images"] = torch.zeros(300, 1, 28, 28, dtype=torch.uint8)
    plain = run([])
    with SummaryWriter(str(tmp_path)) as writer:
        watched = run([getattr(lesson, name)(writer) for name in names])
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), watched.parameters(), strict=True))


def test_the_solutions_slider_is_the_debiased_average():
    smooth = definitions(LESSON, "smooth", folder="solutions").smooth
    values = torch.randn(30, generator=torch.Generator().manual_seed(0)).tolist()
    for weight in (0.0, 0.6, 0.99):
        weights = torch.tensor([weight**age if age else 1.0 for age in range(30)], dtype=torch.float64)
        wanted = [
            float((weights[: t + 1].flip(0) * torch.tensor(values[: t + 1])).sum() / weights[: t + 1].sum())
            for t in range(30)
        ]
        assert smooth(values, weight) == pytest.approx(wanted, abs=rounding())
