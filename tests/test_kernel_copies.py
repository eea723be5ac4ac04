"""A kernel copied from a process that has PyTorch in memory is like one that Jupyter starts."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kernel_copies
import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import local_provisioner
from waiting import wait_for

pytestmark = pytest.mark.skipif(not kernel_copies.POSSIBLE, reason="processes are copied on Linux alone")

# topic: what shows it
STATE = {
    "command line": "import sys; print(sys.argv[0], len(sys.argv), sys.flags, sys.executable)",
    "path": "import sys; print(sys.path)",
    "folders": "import os, tempfile; print(os.getcwd(), tempfile.gettempdir())",
    "environment": "import os; print(sorted((k, v) for k, v in os.environ.items() if k != 'JPY_PARENT_PID'))",
    "parent": "import os; print(os.getppid() == int(os.environ['JPY_PARENT_PID']), os.getsid(0) == os.getpid())",
    "names": "import sys; x = 1; print(sorted(vars()), __name__, sys.modules['__main__'].x)",
    "warnings": "import torch._dynamo, warnings; print(sorted(map(str, warnings.filters)))",
    "signals": "import signal; print([str(signal.getsignal(number)) for number in (2, 15, 17)])",
    "threads": "import torch; print(torch.get_num_threads(), torch.get_num_interop_threads())",
    "plots": "import matplotlib.pyplot as plt; print(plt.get_backend(), sorted(plt.rcParams.items()))",
    "frames": "import pandas; print(pandas.DataFrame([range(100)]))",
    "processes": "import multiprocessing as m; print(m.current_process().daemon, m.active_children())",
    "our modules": "print([name for name in sys.modules if name.startswith(('nnlab', 'pytest', '_pytest'))])",
}


@contextmanager
def kernel(launch: Callable[..., Any], **options: Any) -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    """A kernel of this Python, and a client that it answers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local_provisioner, "launch_kernel", launch)
        manager = KernelManager(kernel_name="python3")
        manager.start_kernel(**options)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def printed(client: BlockingKernelClient, code: str) -> str:
    """What `code` prints in the kernel."""
    texts: list[str] = []
    reply = client.execute_interactive(
        code, timeout=60, output_hook=lambda message: texts.append(message["content"].get("text", ""))
    )
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(texts)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What a kernel of Jupyter's and a copy print about themselves, by topic."""
    folder = tmp_path_factory.mktemp("kernels")
    environment = os.environ | {"TMPDIR": str(folder), "NNLAB_DEVICE": "cpu", "MARK": "here"}
    environment.pop("MPLBACKEND", None)
    told = []
    for launch in (local_provisioner.launch_kernel, kernel_copies.launch):
        with kernel(launch, env=dict(environment), cwd=str(folder)) as (_, client):
            told.append({topic: printed(client, code) for topic, code in STATE.items()})
    return told


@pytest.mark.parametrize("topic", STATE)
def test_a_copy_is_like_any_kernel(both, topic):
    fresh, copy = (told[topic] for told in both)
    assert copy == fresh != ""


def test_each_copy_has_random_numbers_of_its_own():
    """Or a lesson that forgets its seed would look repeatable."""
    code = "import random, numpy, torch; print(random.random(), numpy.random.rand(), torch.rand(1).item())"
    drawn = []
    for _ in range(2):
        with kernel(kernel_copies.launch) as (_, client):
            drawn.append(printed(client, code).split())
    assert [one != other for one, other in zip(*drawn, strict=True)] == [True, True, True]


def test_a_copy_can_be_interrupted():
    with kernel(kernel_copies.launch) as (manager, client):
        client.execute("print('asleep'); import time; time.sleep(60)", stop_on_error=False)
        wait_for(lambda: client.get_iopub_msg(timeout=20)["content"].get("text") == "asleep\n", 20)
        manager.interrupt_kernel()
        assert client.get_shell_msg(timeout=20)["content"]["ename"] == "KeyboardInterrupt"
        assert printed(client, "print(1 + 1)") == "2\n"


def test_what_a_copy_started_goes_with_it():
    code = "import os, subprocess; print(os.getpid(), subprocess.Popen(['sleep', '60']).pid)"
    with kernel(kernel_copies.launch) as (manager, client):
        family = [psutil.Process(int(number)) for number in printed(client, code).split()]
        process = manager.provisioner.process
    assert process.wait() == -signal.SIGKILL
    wait_for(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family), 20)


def test_how_a_copy_ended_is_known():
    with kernel(kernel_copies.launch) as (manager, client):
        process = manager.provisioner.process
        assert process.poll() is None
        client.execute("import os; os._exit(3)")
        assert wait_for(process.poll, 20) == 3
        assert not manager.is_alive()


def test_stop_ends_the_copies_alone():
    """And not the workers of a sweep, which live on for the next one."""
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    try:
        with kernel(kernel_copies.launch) as (manager, _):
            process = manager.provisioner.process
            assert process.poll() is None
            kernel_copies.stop()
            assert process.wait() == -signal.SIGKILL
            kernel_copies.stop()  # nothing is left to do
        assert other.is_alive()
    finally:
        other.kill()
        other.join()


def test_stop_leaves_the_workers_of_a_sweep_alone():
    """`pytest -n0 tests/test_sweep.py` ends after them; joblib's processes cannot be killed like Python's own."""
    code = "import joblib, kernel_copies\nprint(joblib.Parallel(2)(joblib.delayed(abs)(-n) for n in range(2)))\n"
    command = [sys.executable, "-c", code + "kernel_copies.stop()"]
    environment = os.environ | {"PYTHONPATH": str(Path(kernel_copies.__file__).parent)}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == ("[0, 1]\n", 0), run.stderr
