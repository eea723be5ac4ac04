"""TensorBoard servers: which of them show a folder, how to close them, and that they end with whoever started them.

Run as a script, `servers.py FOLDER` closes the servers of a folder once its standard input ends. It imports nothing of
the package then: it is there in a blink, and stays small.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

_PROGRAMS = {"tensorboard", "tensorboard.main", "tensorboard-script.py"}  # a command, a module, a command on Windows


def dashboards(log_dir: str | os.PathLike[str]) -> list[psutil.Process]:
    """Return this user's TensorBoard servers that show `log_dir` or a folder in it, those that are still starting too.

    A server is a process whose program is TensorBoard, not one that merely speaks of it (`ssh`, `grep`, an editor).
    """
    folder = _real(log_dir)
    user = psutil.Process().username()
    found = []
    for process in psutil.process_iter():
        try:
            shown = _shown(process.cmdline(), process.cwd)
            mine = any(folder == path or folder in path.parents for path in shown) and process.username() == user
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # it has just ended, or is somebody else's
            continue
    return found


def close_dashboards(log_dir: str | os.PathLike[str], *, patience: float = 3.0) -> int:
    """End every TensorBoard that shows `log_dir` (see `dashboards`), and return how many processes that were.

    A process is known by its id and the time of its start: one that has taken over the id of a server is left alone.

    Args:
        log_dir: the folder given to TensorBoard, or one above it.
        patience: seconds that a server has to end by itself before it is killed.
    """
    return _end(dashboards(log_dir), patience)


def _end(found: list[psutil.Process], patience: float = 3.0) -> int:
    for process in found:
        with suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(found, timeout=patience)
    for process in alive:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=patience)
    return len(found)


def guard_dashboards(log_dir: str | os.PathLike[str]) -> subprocess.Popen[bytes]:
    """From now on, no TensorBoard that is started to show `log_dir` outlives this process, however it ends.

    A small process waits at the other end of a pipe. When this one is gone, killed or crashed even, the system closes
    the pipe, and the small one closes the servers and ends. Call it before a server is started: those that are there
    already, somebody else's, are left alone.

    Args:
        log_dir: the folder that TensorBoard will be given, or one above it.

    Returns:
        The small process; closing its `stdin` closes the servers at once.
    """
    before = [f"{server.pid}:{server.create_time()}" for server in dashboards(log_dir)]
    # -P: the folder of this file is no place to import from.
    command = [sys.executable, "-P", __file__, str(_real(log_dir)), *before]
    # In a session of its own: what interrupts or kills this process and its group must not reach it.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def _real(path: str | os.PathLike[str]) -> Path:
    return Path(os.path.realpath(os.path.expanduser(path)))


def _shown(words: list[str], cwd: Callable[[], str]) -> list[Path]:
    """Return the folders that the process with this command line shows, if it is a TensorBoard."""
    program, *rest = _program(words) or [""]
    if Path(program).name.removesuffix(".exe") not in _PROGRAMS:
        return []
    given = {}
    for word, following in zip(rest, [*rest, ""][1:], strict=True):
        name, equals, value = word.partition("=")
        given[name] = value if equals else following
    folders = [given["--logdir"]] if "--logdir" in given else []
    for part in given.get("--logdir_spec", "").split(","):  # name:folder,name:folder; the names may be left out
        named = ":" in part and not part.startswith("/") and not os.path.splitdrive(part)[0]
        folders += [part.partition(":")[2] if named else part]
    return [_real(os.path.join(cwd(), os.path.expanduser(folder))) for folder in folders if folder]


def _program(words: list[str]) -> list[str]:
    """Return a command line from its program on; of one that Python runs, from the script or module on."""
    if not words or not re.fullmatch(r"(python|pypy)w?[\d.]*t?(\.exe)?", Path(words[0]).name.lower()):
        return words
    rest = words[1:]
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if re.fullmatch(r"-[a-zA-Z]*m", option):
            return rest
        if re.fullmatch(r"-[a-zA-Z]*[cWX]|--check-hash-based-pycs", option):  # another word belongs to it
            rest = rest[1:]
    return rest


def _wait_and_close(folder: str, *before: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    started = {int(pid): float(time) for pid, _, time in (one.partition(":") for one in before)}
    # Two readings of a start may be a tick of the clock apart.
    _end([s for s in dashboards(folder) if abs(s.create_time() - started.get(s.pid, 0.0)) > 1.0])


if __name__ == "__main__":
    _wait_and_close(*sys.argv[1:])
