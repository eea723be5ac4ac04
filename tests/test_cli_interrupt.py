"""`nnlab run` leaves no process behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from small_project import write_lesson
from waiting import wait_for


@pytest.fixture
def project(tmp_path):
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    return tmp_path


def kernels_of(folder: Path) -> list[psutil.Process]:
    """Processes that work in `folder`, as this project's kernels do."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize(("name", "jobs"), [("SIGINT", 2), ("SIGTERM", 1), ("SIGHUP", 2)])
def test_interrupting_leaves_no_kernel(project, name, jobs):
    wait = f"""import subprocess, sys, time
from pathlib import Path
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
Path({str(project)!r}, f"ready{{child.pid}}").touch()
time.sleep(300)"""
    for day in (1, 2):
        write_lesson(project / "notebooks", f"day0{day}_a", wait)
    command = [sys.executable, "-m", "nnlab_helpers.cli", "run", "--jobs", str(jobs)]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        wait_for(lambda: len(list(project.glob("ready*"))) == jobs)
        assert len(kernels_of(project / "notebooks")) == 2 * jobs, "a kernel and its child for each job"
        process.send_signal(getattr(signal, name))
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert kernels_of(project / "notebooks") == []
    assert process.returncode == 128 + getattr(signal, name)
    assert f"Stopped by {name}" in output
    assert "interrupted at cell 1 of 1" in output
    assert "Traceback" not in output


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_a_kernel_goes_when_nnlab_is_killed(project):
    ready = project / "ready"
    wait = f"import pathlib, time\npathlib.Path({str(ready)!r}).touch()\ntime.sleep(300)"
    write_lesson(project / "notebooks", "day01_a", wait)
    command = [sys.executable, "-m", "nnlab_helpers.cli", "run"]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.DEVNULL)
    try:
        wait_for(ready.exists)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not kernels_of(project / "notebooks"))


def test_a_lessons_own_processes_go_with_it(project):
    leave = 'import subprocess, sys\nsubprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]).pid'
    write_lesson(project / "notebooks", "day01_a", leave)
    subprocess.run([sys.executable, "-m", "nnlab_helpers.cli", "run"], cwd=project, check=True, timeout=180)
    assert kernels_of(project / "notebooks") == []
