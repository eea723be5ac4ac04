"""Execute one notebook in a fresh kernel of its own, watched, and leave nothing running."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import psutil
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from nnlab_helpers.cli.lessons import Lesson
from nnlab_helpers.pairs import TEMPORARY, kernel_environment, scratch_folder, write_atomically

_SAMPLE_SECONDS = 0.1
RESULT = "written by nnlab run"  # in the metadata of a notebook: another run may replace it


@dataclass
class Run:
    """What came of executing a lesson. `seconds` counts from before the kernel starts, `peak_bytes` its processes."""

    lesson: Lesson
    seconds: float = 0.0
    peak_bytes: int = 0
    cells: int = 0
    cell: int = 0  # the code cell at work, from 1
    state: str = "waiting"  # "running", "passed", "failed" or "interrupted"
    error: str = ""
    source: str = ""  # of the failing cell
    started: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether every cell ran."""
        return self.state == "passed"

    @property
    def place(self) -> str:
        """Where it stopped."""
        return f"at cell {self.cell} of {self.cells}" if self.cell else "before the first cell"


async def execute(run: Run, output: Path, *, timeout: float, threads: int | None, changed: Callable[[], None]) -> None:
    """Execute `run.lesson` and write the result to `output`, also when a cell fails; fill in `run` along the way.

    The kernel works in the lesson's folder, as it does for a reader, but nothing is written to the lesson.

    Args:
        timeout: Seconds that one cell may take.
        threads: Threads for numerical libraries in the kernel; None leaves them as they are.
        changed: Called when `run` changed.
    """
    lesson = run.lesson
    try:
        notebook = nbformat.read(lesson.path, as_version=4)
    except Exception as error:  # nbformat raises many kinds
        run.state, run.error = "failed", f"not a readable notebook: {_short(error, timeout)}"
        output.unlink(missing_ok=True)  # of an earlier run
        changed()
        return
    code = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
    run.cells, run.state, run.started = len(code), "running", time.perf_counter()
    changed()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    watch: asyncio.Task[None] | None = None
    with scratch_folder() as scratch:
        manager = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=_ThisPython(),
            connection_file=str(scratch / "kernel.json"),
            transport_encryption="auto" if zmq.has("curve") else "disabled",
        )
        client = NotebookClient(
            notebook, km=manager, timeout=None if timeout <= 0 else max(1, round(timeout)),
            resources={"metadata": {"path": str(lesson.path.parent)}},
        )  # fmt: skip
        try:
            await client.async_start_new_kernel(env=_environment(scratch, threads))
            watch = asyncio.create_task(_watch(manager, run))
            await client.async_start_new_kernel_client()
            for number, index in enumerate(code, start=1):
                run.cell, run.source = number, notebook.cells[index].source
                changed()
                await client.async_execute_cell(notebook.cells[index], index, execution_count=number)
            run.state, run.source = "passed", ""
        except asyncio.CancelledError:
            run.state, run.error = "interrupted", "interrupted"
            raise
        except (CellExecutionError, CellTimeoutError, DeadKernelError, RuntimeError) as error:
            # nbclient reports a cancelled wait as a dead kernel.
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                run.state, run.error = "interrupted", "interrupted"
                raise asyncio.CancelledError from error
            run.state, run.error = "failed", _short(error, timeout)
        finally:
            run.seconds = time.perf_counter() - run.started
            if watch is not None:
                watch.cancel()
            _measure(manager, run)
            pid = _kernel_pid(manager)
            kill_tree(pid)  # without an await: a second Ctrl-C must not stop it half-way
            _clear_shared_memory(pid)
            with contextlib.suppress(Exception):
                await client._async_cleanup_kernel()
            notebook.metadata["nnlab"] = {RESULT: True}
            try:
                output.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(output, nbformat.writes(notebook) + "\n")
            except OSError as error:  # a full disk: the other lessons may still be run
                if run.passed:
                    run.state, run.error = "failed", f"the result could not be written: {error}"
            changed()


def is_result(notebook: Path) -> bool:
    """Whether an earlier `nnlab run` wrote `notebook`, so that another may replace it."""
    try:
        return bool(nbformat.read(notebook, as_version=4).metadata.get("nnlab", {}).get(RESULT))
    except Exception:  # nbformat raises many kinds
        return False


class _ThisPython(KernelSpecManager):
    """Kernels of the Python that runs `nnlab`, whatever other kernels the machine knows as "python3"."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict())


def _environment(scratch: Path, threads: int | None) -> dict[str, str]:
    environment = kernel_environment(scratch / "progress.json")
    # The kernel is killed, not asked to end: what it leaves in its temporary folder goes with ours.
    environment |= dict.fromkeys(TEMPORARY, str(scratch))
    if threads is not None:
        environment.setdefault("OMP_NUM_THREADS", str(threads))
    return environment


def _kernel_pid(manager: AsyncKernelManager) -> int | None:
    process: Any = getattr(manager.provisioner, "process", None)
    return process.pid if process is not None else None


async def _watch(manager: AsyncKernelManager, run: Run) -> None:
    while True:
        _measure(manager, run)
        await asyncio.sleep(_SAMPLE_SECONDS)


def _measure(manager: AsyncKernelManager, run: Run) -> None:
    pid = _kernel_pid(manager)
    if pid is not None:
        run.peak_bytes = max(run.peak_bytes, _tree_bytes(pid), _high_water(pid))


def _tree_bytes(pid: int) -> int:
    """Resident memory of a process and what its descendants hold beside what they share with it."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        total = root.memory_info().rss
        for child in root.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                total += child.memory_full_info().uss
    return total


def _high_water(pid: int) -> int:
    """The kernel's own peak, which sampling may miss; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        if match := re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE):
            return int(match[1]) * 1024
    return 0


def kill_tree(pid: int | None) -> None:
    """End a process and its descendants, those first that could start new ones."""
    if pid is None:
        return
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                process.kill()


def _clear_shared_memory(pid: int | None) -> None:
    """Remove what joblib in a killed process left in shared memory, where the system shows that as files."""
    for name in (f"sem.loky-{pid}-*", f"joblib_memmapping_folder_{pid}_*"):
        for left in Path("/dev/shm").glob(name):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _short(error: Exception, timeout: float) -> str:
    if isinstance(error, CellExecutionError):
        lines = str(error.evalue).strip().splitlines() or [""]
        return f"{error.ename}: {lines[0]}" if lines[0] else error.ename
    if isinstance(error, CellTimeoutError):
        return f"the cell took longer than {timeout:g} seconds (--timeout)"
    if isinstance(error, DeadKernelError):
        return "the kernel died, perhaps for want of memory"
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
