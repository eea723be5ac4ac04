"""TensorBoard's servers: which show a folder, which processes are none, and that none outlives who started it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from waiting import wait_for

from nnlab_helpers.tracking import close_dashboards, dashboards, guard_dashboards, servers

# Stands for a server, and starts in a blink: what counts is how it was called.
STAND_IN = [sys.executable, "-c", "import time; time.sleep(60)", "tensorboard", "--logdir"]


def start(*arguments, cwd=None):
    process = subprocess.Popen([*STAND_IN, *map(str, arguments)], cwd=cwd)
    wait_for(lambda: psutil.Process(process.pid).cmdline()[-1:] == [str(arguments[-1])])
    return process


def test_the_servers_of_a_folder_and_of_no_other(tmp_path):
    (tmp_path / "logs" / "run").mkdir(parents=True)
    (tmp_path / "logs2").mkdir()
    own = [start(tmp_path / "logs"), start(tmp_path / "logs" / "run"), start("logs/../logs", cwd=tmp_path)]
    others = [start(tmp_path / "logs2"), start(tmp_path)]
    no_server = subprocess.Popen([*STAND_IN[:3], "--logdir", str(tmp_path / "logs")])
    try:
        assert {process.pid for process in dashboards(tmp_path / "logs")} == {process.pid for process in own}
        assert close_dashboards(tmp_path / "logs") == 3
        assert [process.poll() is None for process in own] == [False] * 3
        assert dashboards(tmp_path / "logs") == []
        assert close_dashboards(tmp_path / "logs") == 0
        assert [process.poll() for process in (*others, no_server)] == [None] * 3
    finally:
        for process in (*own, *others, no_server):
            process.kill()
            process.wait()


@pytest.mark.skipif(os.name != "posix", reason="a signal that can be ignored")
def test_a_server_that_does_not_listen_is_killed(tmp_path):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, "tensorboard", f"--logdir={tmp_path}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as deaf:
        deaf.stdout.readline()
        assert close_dashboards(tmp_path, patience=0.2) == 1
        assert not alive(deaf.pid)


# A process that guards a folder, starts a server in it, tells both ids, and waits for its end.
OWNER = """
import subprocess, sys
sys.path.insert(0, {folder!r})  # without the package, and so without the seconds that torch takes
import servers
guard = servers.guard_dashboards(sys.argv[1])
server = subprocess.Popen([*{stand_in!r}, sys.argv[1]])
print(guard.pid, server.pid, flush=True)
{end}
"""


@pytest.mark.parametrize("end", ["", "1 / 0", "import os; os.kill(os.getpid(), 9)", "import os; os._exit(0)"])
def test_no_server_outlives_its_owner(tmp_path, end):
    code = OWNER.format(stand_in=STAND_IN, folder=str(Path(servers.__file__).parent), end=end)
    command = [sys.executable, "-c", code, str(tmp_path)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, _ = owner.communicate(timeout=60)
    guard, server = map(int, output.split())
    wait_for(lambda: not alive(guard) and not alive(server))
    assert dashboards(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="process groups as on POSIX")
def test_an_interrupt_does_not_reach_the_guard(tmp_path):
    """The stop button interrupts a kernel's whole process group."""
    guard = guard_dashboards(tmp_path)
    try:
        assert os.getpgid(guard.pid) != os.getpgid(0)
        wait_for(lambda: psutil.Process(guard.pid).status() == psutil.STATUS_SLEEPING)
        assert guard.poll() is None
    finally:
        guard.stdin.close()
        assert guard.wait(20) == 0


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# How processes are called that show F (a placeholder), and of some that only speak of it.
SERVERS = [
    ["tensorboard", "--logdir", "F"],
    ["/venv/bin/tensorboard", "--port=0", "--logdir=F"],
    ["/venv/bin/python3.11", "/venv/bin/tensorboard", "serve", "--logdir", "F"],
    ["python", "-X", "dev", "-W", "error", "-u", "-m", "tensorboard.main", "--logdir", "F", "--port", "0"],
    ["python", "-Im", "tensorboard.main", "--logdir", "F/run"],
    ["tensorboard", "--logdir_spec", "a:/elsewhere,b:F"],
    ["tensorboard", "--logdir_spec=F,/elsewhere"],
]
OTHERS = [
    ["ssh", "host", "tensorboard", "--logdir", "F"],
    ["grep", "-r", "tensorboard", "--logdir", "F"],
    ["bash", "-c", "tensorboard --logdir F", "--logdir", "F"],
    ["python", "tensorboard_report.py", "--logdir", "F"],
    ["python", "/home/me/tensorboard/read.py", "--logdir=F"],
    ["python", "train.py", "tensorboard", "--logdir", "F"],
    ["python", "-m", "mine", "--name", "tensorboard", "--logdir", "F"],
    ["vim", "/tensorboard/notes", "--logdir", "F"],
    ["tensorboard", "--window_title", "F"],
    ["tensorboard", "--logdir", "F2"],
    ["tensorboard"],
    [],
]


class Process:
    """What `dashboards` asks of a process."""

    def __init__(self, words, cwd="/", user=None):
        self.words, self.folder, self.user = words, cwd, user or psutil.Process().username()

    def cmdline(self):
        return self.words

    def cwd(self):
        return str(self.folder)

    def username(self):
        return self.user

    def status(self):
        return psutil.STATUS_RUNNING


def test_only_servers_count(tmp_path, monkeypatch):
    processes = [Process([word.replace("F", str(tmp_path / "F")) for word in words]) for words in [*SERVERS, *OTHERS]]
    stranger = Process([word.replace("F", str(tmp_path / "F")) for word in SERVERS[0]], user="somebody else")
    ended = Process(stranger.words)
    ended.status = lambda: psutil.STATUS_ZOMBIE
    monkeypatch.setattr(psutil, "process_iter", lambda: iter([*processes, stranger, ended]))
    assert [p.words for p in dashboards(tmp_path / "F")] == [p.words for p in processes[: len(SERVERS)]]


@pytest.mark.skipif(os.name != "posix", reason="links as on POSIX")
def test_folders_by_links_relative_paths_and_home(tmp_path, monkeypatch):
    (tmp_path / "real" / "runs").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("HOME", str(tmp_path))
    real, link = tmp_path / "real", tmp_path / "link"
    calls = [("runs", link), ("runs", real), (link / "runs", "/"), ("~/real/runs", "/"), (".", real / "runs"),
             ("../runs/", link / "runs")]  # fmt: skip
    processes = [Process(["tensorboard", "--logdir", str(shown)], cwd) for shown, cwd in calls]
    monkeypatch.setattr(psutil, "process_iter", lambda: iter(processes))
    for asked in (tmp_path / "real" / "runs", tmp_path / "link" / "runs", "~/link/runs", tmp_path / "link"):
        assert dashboards(asked) == processes, asked
    monkeypatch.chdir(tmp_path / "link")
    assert dashboards("runs") == processes


def test_a_guard_spares_servers_that_were_there_before(tmp_path):
    before = start(tmp_path)
    guard = guard_dashboards(tmp_path)
    after = start(tmp_path)
    try:
        guard.stdin.close()
        assert guard.wait(20) == 0
        assert (before.poll() is None, after.wait(20) is None) == (True, False)
    finally:
        for process in (before, after):
            process.kill()
            process.wait()
