"""A pytest plugin for the surroundings of every test and every lesson's kernel: no network, a share of the cores.

A kernel gets the environment that it has when its lesson is built (no progress bars, a record of its own). At the end
of a lesson its sweeps are held against those that the course ships.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import kernel_copies
import psutil
import pytest
from jupyter_client.provisioning import local_provisioner
from nbval.plugin import IPyNbCell

from nnlab_helpers.pairs import COURSE, reference_environment, sweeps_beside

OFFLINE = Path(__file__).parent / "offline"
RECORDS = pytest.StashKey[Path]()  # where the kernels keep their records of solved exercises


def pytest_configure(config: pytest.Config) -> None:
    """Cut the network here and in every process started from here; share the cores among workers."""
    if str(OFFLINE) not in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(OFFLINE), os.environ.get("PYTHONPATH")]))
    spec = importlib.util.spec_from_file_location("offline", OFFLINE / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    config.stash[RECORDS] = Path(tempfile.mkdtemp(prefix="nnlab-"))


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core and 2 GB of free memory, at most four; none where a single file is to be tested.

    Two lessons side by side, a thread each, take less time than one after the other on two threads.
    """
    if len(config.args) == 1 and Path(config.args[0].partition("::")[0]).is_file():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, 4, psutil.virtual_memory().available // 2**31)
    return workers if workers > 1 else 0


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let a worker with lessons load in time what its kernels will be copies of."""
    if any(isinstance(item, IPyNbCell) for item in session.items) and _copies():
        kernel_copies.start(_environment(session.config, session.config.stash[RECORDS] / "none.json"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Forget what the kernels recorded."""
    kernel_copies.stop()
    shutil.rmtree(config.stash[RECORDS], ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Start a lesson's kernel, which nbval does in the set-up of its first cell, in the environment of a build."""
    if not isinstance(item, IPyNbCell):
        return (yield)
    environment = _environment(item.config, _record_of(item))
    with pytest.MonkeyPatch.context() as patch:
        for key in os.environ.keys() - environment.keys():
            patch.delenv(key)
        for key, value in environment.items():
            patch.setenv(key, value)
        if _copies():
            patch.setattr(local_provisioner, "launch_kernel", kernel_copies.launch)
        return (yield)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After a lesson's last cell: its runs must be those that the course ships, or learners wait for nothing."""
    if not isinstance(item, IPyNbCell) or (nextitem is not None and nextitem.path == item.path):
        return
    if item.path.parent == COURSE and sweeps_beside(_record_of(item)).is_dir():
        from nnlab_helpers.sweep.shipped import unshipped

        if missing := unshipped(sweeps_beside(_record_of(item))):
            runs = ", ".join(f"{number} of {name}" for name, number in missing.items())
            pytest.fail(
                f"the course ships runs of another version of this lesson or of the package (missing: {runs}); "
                f"`nnlab build {item.path.stem}` makes them anew",
                pytrace=False,
            )


@functools.cache
def _copies() -> bool:
    """Whether kernels are copies of a process. Not with -n0, nor where there is a GPU, which a copy could not use."""
    if not kernel_copies.POSSIBLE or "PYTEST_XDIST_WORKER" not in os.environ:
        return False
    import torch

    return not torch.accelerator.is_available()


def _environment(config: pytest.Config, record: Path) -> dict[str, str]:
    """As in a build, with a temporary folder among the records: a kernel is killed at its end and cannot tidy up."""
    return reference_environment(record) | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(config.stash[RECORDS]))


def _record_of(item: pytest.Item) -> Path:
    return item.config.stash[RECORDS] / f"{item.path.parent.name}-{item.path.stem}.json"
