"""Kernels as copies of one process that has loaded PyTorch and Matplotlib, so that each is about 5 s quicker.

Such a kernel is as fresh as any other: the process that it copies has imported libraries and done nothing else. Unseen
stay what their import would warn about, and the chance in the order of a set; `pytest -n0` and `nnlab run` start
kernels as Jupyter does.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

# Not pandas, which asks IPython how wide a page is when it is imported.
PRELOAD = ["ipykernel.kernelapp", "matplotlib.pyplot", "torch._dynamo"]  # the last is for optimizers
BACKEND = "module://matplotlib_inline.backend_inline"  # read when Matplotlib is imported; a kernel would name the same
POSSIBLE = sys.platform == "linux"  # where the system copies processes safely
_started: list[BaseProcess] = []


class KernelCopy:
    """The part of `subprocess.Popen` that jupyter_client wants of a kernel."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess) -> None:
        assert process.pid is not None
        self.process, self.pid = process, process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, signum)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def start(environment: Mapping[str, str]) -> None:
    """Start the process to copy, unless it runs, in the environment of kernels; it loads the libraries by itself."""
    before = dict(os.environ)
    multiprocessing.set_forkserver_preload(PRELOAD)
    try:
        _replace_environment({"MPLBACKEND": BACKEND} | dict(environment))
        forkserver.ensure_running()
    finally:
        _replace_environment(before)


def launch(cmd: list[str], *, env: dict[str, str], cwd: str | None = None, **_: Any) -> KernelCopy:
    """Do what `jupyter_client.launcher.launch_kernel` does; `cmd` is `[python, ..., "-m", module, ...]`."""
    start(env)
    command = [sys.executable, "-c", "import json, sys; print(json.dumps(sys.path[1:]))"]
    path = json.loads(subprocess.run(command, env=env, check=True, capture_output=True).stdout)
    context = multiprocessing.get_context("forkserver")
    started, here = context.Pipe(duplex=False)
    arguments = (cmd[cmd.index("-m") + 1 :], env, cwd or os.getcwd(), path, here)
    process = context.Process(target=_be_a_kernel, args=arguments)
    process.start()
    _started.append(process)
    here.close()
    started.recv()  # until then its process group is ours, and would be killed with it
    return KernelCopy(process)


def stop() -> None:
    """Kill the kernels that an interrupted run has left; Python would wait for them. Others' processes are theirs."""
    while _started:
        process = _started.pop()
        if process.is_alive():
            process.kill()


def _be_a_kernel(arguments: list[str], environment: dict[str, str], cwd: str, path: list[str], ready: Connection):
    import numpy
    import torch

    os.setsid()
    _replace_environment(environment | {"JPY_PARENT_PID": str(os.getppid())})
    os.chdir(cwd)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 2):
        os.dup2(nothing, stream)
    sys.argv[:], sys.path[:], tempfile.tempdir = arguments, path, None
    numpy.random.seed()  # else copies would draw the same random numbers, which Python's own module prevents
    torch.default_generator.seed()
    resource_tracker._resource_tracker._fd = None  # it is to have its own, as it will be killed with things in use
    ready.send(None)
    ready.close()
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def _replace_environment(environment: Mapping[str, str]) -> None:
    for key in os.environ.keys() - environment.keys():
        del os.environ[key]
    os.environ.update(environment)
