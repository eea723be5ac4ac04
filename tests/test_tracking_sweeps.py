"""A sweep on TensorBoard's HParams page: a run for each row, with its choices and its numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2
from torch import nn

from nnlab_helpers.sweep import sweep
from nnlab_helpers.tracking import log_sweep


def run(config, seed):
    if config["width"] == 3:
        raise ValueError("three is no width")
    return {"accuracy": 10.0 * config["width"] + seed, "note": "fine"}


@pytest.fixture
def frame():
    return sweep(run, {"width": [1, 2, 3], "activation": [nn.ReLU], "norm": [True]}, seeds=[0, 1], n_jobs=1)


def scalars(folder):
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [event.value for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def hparams(folder):
    """What the page shows as the run's choices."""
    metadata = EventAccumulator(str(folder)).Reload().summary_metadata["_hparams_/session_start_info"]
    found = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in found.items()}


def test_each_finished_run_has_its_choices_and_its_numbers(frame, tmp_path):
    folders = log_sweep(frame, tmp_path / "runs", metrics=["accuracy"])
    assert [folder.name for folder in folders] == ["run0", "run1", "run2", "run3"], "the runs that failed have none"
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [folder.name for folder in folders]
    for folder, row in zip(folders, frame.to_dict("records"), strict=False):
        assert scalars(folder) == {"accuracy": [row["accuracy"]]}
        choices = {"width": row["width"], "activation": "ReLU", "norm": True, "seed": row["seed"]}
        assert hparams(folder) == choices


def test_without_a_word_all_numbers_are_metrics(frame, tmp_path):
    (first, *_) = log_sweep(frame, tmp_path)
    assert set(scalars(first)) == {"accuracy", "seconds"}


def test_any_table_will_do(tmp_path):
    table = pd.DataFrame({"rate": [0.1, 0.2], "loss": [1.0, float("nan")], "error": [2.0, 3.0]})
    folders = log_sweep(table, tmp_path, choices=["rate"])
    first, second = map(scalars, folders)
    assert first == {"loss": [1.0], "error": [2.0]}
    assert second["error"] == [3.0]
    assert np.isnan(second["loss"]), "the page has the columns of the first run alone, whichever that is"
    assert hparams(folders[0]) == {"rate": 0.1}


def test_refuses_what_it_cannot_show(frame, tmp_path):
    with pytest.raises(KeyError, match="no column 'precision'"):
        log_sweep(frame, tmp_path, metrics=["precision"])
    with pytest.raises(KeyError, match="no column 'depth'"):
        log_sweep(frame, tmp_path, choices=["depth"])
    with pytest.raises(ValueError, match="nothing to show"):
        log_sweep(frame[frame["width"] == 3], tmp_path, metrics=["accuracy"])
    assert not list(tmp_path.iterdir())
    log_sweep(frame, tmp_path / "runs")
    with pytest.raises(FileExistsError, match="other runs"):
        log_sweep(frame, tmp_path / "runs")
