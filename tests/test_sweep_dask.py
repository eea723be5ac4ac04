"""The same sweep on a Dask cluster: real worker processes, one of which is killed on the way."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import joblib
import pytest

from nnlab_helpers.sweep import sweep

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # connections of a worker that was killed
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """One cluster for all tests here; a worker that one of them kills is replaced."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    options["local_directory"] = str(tmp_path_factory.mktemp("dask"))
    with (
        distributed.LocalCluster(**options, host="127.0.0.1") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_gives_the_same_table(client):
    def run(config, seed):
        import torch

        return {"value": config["n"] * torch.rand(1).item(), "pid": os.getpid()}

    here = sweep(run, {"n": [1, 2, 3]}, n_jobs=1)
    with joblib.parallel_config(backend="dask", wait_for_workers_timeout=60):
        there = sweep(run, {"n": [1, 2, 3]})
    assert there["value"].tolist() == here["value"].tolist()
    assert os.getpid() not in set(there["pid"])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_worker_loses_no_run(client, tmp_path):
    log = tmp_path / "log"

    def run(config, seed):
        with open(log, "a") as file:
            file.write(f"{os.getpid()} {config['n']}\n")
        time.sleep(0.2)
        return {"twice": 2 * config["n"], "pid": os.getpid()}

    killed = []

    def kill_one() -> None:
        while not log.exists() or len(log.read_text().splitlines()) < 4:
            time.sleep(0.02)
        killed.append(int(log.read_text().splitlines()[-1].split()[0]))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    with joblib.parallel_config(backend="dask", wait_for_workers_timeout=60):
        frame = sweep(run, {"n": list(range(16))}, seeds=[0], cache=tmp_path / "cache")
    killer.join()
    assert frame["twice"].tolist() == [2 * n for n in range(16)]
    assert frame["error"].isna().all()
    started = [int(line.split()[0]) for line in log.read_text().splitlines()]
    assert killed[0] in started
    assert (frame["pid"] != killed[0]).any()
    assert len(started) > 16, "the run that was under way has to be done again"
    assert len(list((tmp_path / "cache").glob("*.json"))) == 16
