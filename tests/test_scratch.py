"""A kernel's folder: nothing that was started in it outlives it, and the next run clears what a killed one left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from small_project import write_lesson
from waiting import wait_for

from nnlab_helpers import pairs
from nnlab_helpers.pairs.scratch import MARK, scratch_folder

# Three ways to leave a process: with its parent alive, orphaned, and in a session of its own.
LEAVE = """
import pathlib, subprocess, sys
code = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1], f'left{os.getpid()}').touch(); time.sleep(300)"
run = [sys.executable, "-c", code, FOLDER]
subprocess.Popen(run)
subprocess.run(["sh", "-c", '"$@" & exit 0', "sh", *run])
subprocess.Popen(run, start_new_session=True)
import time
while len(list(pathlib.Path(FOLDER).glob("left*"))) < 3:
    time.sleep(0.05)
"""


def leave(folder: Path) -> str:
    return LEAVE.replace("FOLDER", repr(str(folder))).strip()


def left(folder: Path) -> list[int]:
    """Which of the processes left in `folder` are alive."""
    found = [int(path.name.removeprefix("left")) for path in folder.glob("left*")]
    return [pid for pid in found if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files, here and in processes started from here."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def project(tmp_path):
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    return tmp_path


def nnlab(*words, cwd):
    return subprocess.Popen([sys.executable, "-m", "nnlab_helpers.cli", *words], cwd=cwd, stdout=subprocess.DEVNULL)


@pytest.mark.skipif(os.name != "posix", reason="processes as on POSIX")
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_outlives_a_build(temporary, project, fails):
    script = project / "notebooks" / "py" / "day99_a.py"
    script.write_text(f"# %%\n{leave(project)}\n" + "\n# %%\n1 / 0\n" * fails)
    try:
        if fails:
            with pytest.raises(pairs.BuildError, match="ZeroDivisionError"):
                pairs.build(script)
        else:
            pairs.build(script)
        assert len(list(project.glob("left*"))) == 3
        assert left(project) == []
        assert list(temporary.iterdir()) == []
    finally:
        for pid in left(project):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="processes as on POSIX")
def test_nothing_outlives_a_run(temporary, project):
    write_lesson(project / "notebooks", "day01_a", leave(project))
    assert nnlab("run", cwd=project).wait(120) == 0
    assert len(list(project.glob("left*"))) == 3
    assert left(project) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
@pytest.mark.parametrize("command", ["run", "build"])
def test_the_next_run_clears_what_a_killed_one_left(temporary, project, command):
    wait = f"{leave(project)}\nimport tempfile\ntempfile.mkdtemp()\npathlib.Path({str(project)!r}, 'ready').touch()"
    lesson = write_lesson(project / "notebooks", "day01_a", f"{wait}\ntime.sleep(300)")
    pairs.script_of(lesson).write_text(pairs.regenerate(lesson))
    killed = nnlab(command, cwd=project)
    try:
        wait_for((project / "ready").exists)
    finally:
        killed.kill()
        killed.wait()
    assert len(left(project)) > 0
    assert list(temporary.glob("nnlab-run-*/*"))
    with scratch_folder() as folder:
        assert sorted(path.name for path in temporary.glob("nnlab-run-*")) == [folder.name, f"{folder.name}.lock"]
        assert left(project) == []
    assert list(temporary.glob("nnlab-run-*")) == []


def test_a_living_run_is_left_alone(temporary):
    code = "from nnlab_helpers.pairs import scratch_folder\nwith scratch_folder() as f: print(f, flush=True); input()"
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = Path(other.stdout.readline().strip())
        (theirs / "work").touch()
        with scratch_folder() as ours, scratch_folder() as more:
            assert len({ours, more, theirs}) == 3
        assert (theirs / "work").exists()
        other.communicate("\n", timeout=30)
    assert list(temporary.iterdir()) == []


def test_only_what_was_started_for_it_is_ended(temporary):
    run = [sys.executable, "-c", "import time; time.sleep(60)"]
    with scratch_folder() as folder:
        mine = subprocess.Popen(run, env=os.environ | {MARK: str(folder / "progress.json")})
        other = subprocess.Popen(run, env=os.environ | {MARK: f"{folder}x/progress.json"})
        wait_for(lambda: MARK in psutil.Process(mine.pid).environ() and MARK in psutil.Process(other.pid).environ())
    try:
        mine.wait(20)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
        mine.kill()
