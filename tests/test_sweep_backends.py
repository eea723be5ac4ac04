"""A sweep on joblib backends that give their results all at once, as that of Ray does."""

from __future__ import annotations

import joblib
import pytest
from joblib._parallel_backends import ThreadingBackend

from nnlab_helpers.sweep import sweep


class AllAtOnce(ThreadingBackend):
    """Like Ray's: no generator of results."""

    supports_return_generator = False


@pytest.fixture(autouse=True)
def _backend():
    joblib.register_parallel_backend("all_at_once", AllAtOnce)
    yield
    joblib.parallel.BACKENDS.pop("all_at_once")


def test_gives_the_same_table(tmp_path):
    def run(config, seed):
        return {"value": 10 * config["n"] + seed}

    here = sweep(run, {"n": list(range(7))}, n_jobs=1, progress=False)
    with joblib.parallel_config(backend="all_at_once"):
        there = sweep(run, {"n": list(range(7))}, n_jobs=2, progress=False)
    assert there["value"].tolist() == here["value"].tolist()


def test_keeps_what_is_finished_when_it_is_stopped(tmp_path):
    def run(config, seed):
        if config["n"] == 10:
            raise KeyboardInterrupt
        return {"value": config["n"]}

    with joblib.parallel_config(backend="all_at_once"), pytest.raises(KeyboardInterrupt):
        sweep(run, {"n": list(range(12))}, seeds=[0], n_jobs=2, cache=tmp_path, progress=False)
    assert len(list(tmp_path.glob("*.json"))) == 8, "two bundles of four were finished"
