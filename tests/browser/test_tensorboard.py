"""The real TensorBoard, in a browser, on what day 11's own hooks have written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import urllib.parse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

pytest.importorskip("playwright", reason="playwright is not installed")

import psutil
from lab import BROWSER_TEST, browser_page
from lesson import definitions
from tensorboard import manager
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter
from waiting import wait_for

from nnlab_helpers.tracking import TensorBoardLogger, close_dashboards, dashboards, guard_dashboards, log_sweep
from nnlab_helpers.train import fit

LESSON = "day11_tensorboard"
TAGS = ["accuracy/train", "accuracy/val", "learning_rate", "loss/train", "loss/update", "loss/val"]

pytestmark = BROWSER_TEST


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """Two runs: one that the lesson's hooks have written, one by the package's."""
    folder = tmp_path_factory.mktemp("runs")
    lesson = definitions(LESSON, "Curves", "Histograms", "Settings")
    x, y = torch.rand(60, 1, 28, 28), torch.arange(60) % 10
    batches = list(zip(x.split(10), y.split(10), strict=True))

    def train(hooks):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 8), nn.ReLU(), nn.Linear(8, 10))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        fit(model, batches, batches[:2], epochs=4, optimizer=optimizer, hooks=hooks)

    with SummaryWriter(str(folder / "lesson")) as writer:
        train([lesson.Curves(writer), lesson.Histograms(writer), lesson.Settings(writer, rate=0.1)])
    with TensorBoardLogger(folder / "package", images=x, graph=x[:1], examples=(x, y), hparams={"rate": 0.1}) as logger:
        train([logger])
    table = pd.DataFrame({"rate": [0.25, 0.5], "best/val_loss": [81.25, 93.5]})
    log_sweep(table, folder / "sweep", choices=["rate"])
    return folder


@pytest.fixture(scope="module")
def address(logs):
    """A TensorBoard on these runs, as the lesson says to start it."""
    guard = guard_dashboards(logs)
    log = logs.parent / "tensorboard.log"
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logs), "--host", "127.0.0.1", "--port", "0"]
    assert str(Path(__file__).parents[1] / "plugins" / "offline") in os.environ["PYTHONPATH"], "the network is cut"
    with log.open("w") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        found = wait_for(lambda: [i for i in manager.get_all() if i.pid == server.pid], 90, log.read_text)
        yield f"http://127.0.0.1:{found[0].port}/"
    finally:
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        close_dashboards(logs)
        server.wait(20)
        _, alive = psutil.wait_procs(family, timeout=10)
        guard.stdin.close()
        assert guard.wait(20) == 0
        assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
        assert dashboards(logs) == []


@pytest.fixture(scope="module")
def page(address):
    """A page, and the hosts that it asked for anything."""
    with browser_page() as opened:
        opened.hosts = set()
        opened.on("request", lambda request: opened.hosts.add(urllib.parse.urlsplit(request.url).hostname))
        yield opened


def test_the_server_is_on_loopback_alone(address, logs):
    (server,) = (process for process in dashboards(logs) if "data_server" not in process.cmdline()[0])
    listening = {at.laddr.ip for at in server.net_connections("tcp") if at.status == "LISTEN"}
    assert listening == {"127.0.0.1"}


def curves(page, tag):
    """The card of a scalar among those that the filter lets through."""
    page.locator('input[placeholder^="Filter tags"]').fill(f"^{tag}$")
    card = page.locator(f'metrics-filtered-view scalar-card:has([title="{tag}"])')
    card.wait_for(timeout=60_000)
    return card


def coloured(picture):
    """How many pixels of a PNG are neither white nor grey: those of the curves."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    return int((pixels.max(axis=2) - pixels.min(axis=2) > 25).sum())


def test_the_curves_are_there_by_name_and_drawn(page, address, logs):
    page.goto(f"{address}#timeseries")
    page.locator("scalar-card").first.wait_for(timeout=60_000)
    for tag in TAGS:
        card = curves(page, tag)
        chart = card.locator("line-chart .series-view")
        wait_for(lambda chart=chart: coloured(chart.screenshot()) > 30, 30, lambda tag=tag: f"{tag} has no line")
    card = curves(page, "loss/val")
    wait_for(lambda: all(name in card.inner_text() for name in ("lesson", "package")), 30, card.inner_text)
    for run in ("lesson", "package"):
        last = EventAccumulator(str(logs / run)).Reload().Scalars("loss/val")[-1]
        assert last.step == 4
        assert f"{last.value:.5g}" in card.inner_text(), "the table below the chart has the file's number"


def test_a_curve_that_is_not_there_is_not_drawn(page):
    """The two looks above can fail."""
    page.locator('input[placeholder^="Filter tags"]').fill("^loss/none$")
    wait_for(lambda: page.locator("metrics-filtered-view scalar-card").count() == 0, 30)
    buffer = io.BytesIO()
    Image.new("RGB", (200, 100), (200, 200, 200)).save(buffer, "PNG")
    assert coloured(buffer.getvalue()) == 0


def test_hyperparameters_stand_beside_their_metrics(page, address, logs):
    page.goto(f"{address}#hparams")
    for run in ("lesson", "package"):
        best = EventAccumulator(str(logs / run)).Reload().Scalars("best/val_loss")[0].value
        for text in (run, "rate", "best/val_loss", f"{best:#.5g}"):
            page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)


def test_a_sweep_stands_there_too(page, address):
    page.goto(f"{address}#hparams")
    for text in ("sweep/run0", "sweep/run1", "0.25000", "0.50000", "81.250", "93.500"):
        page.get_by_text(text, exact=True).first.wait_for(timeout=60_000)


def test_there_is_something_in_each_tab(page):
    tabs = {tab.strip().title() for tab in page.get_by_role("tab").all_inner_texts()}
    assert {"Time Series", "Images", "Graphs", "Distributions", "Histograms", "Pr Curves", "Hparams"} <= tabs


def test_nothing_was_asked_of_the_network(page):
    assert page.hosts == {"127.0.0.1"}
