"""TensorBoard servers: which of them show a folder, how to close them, and that they end with whoever started them.

Run as a script, `servers.py FOLDER` closes the servers of a folder once its standard input ends. It imports nothing of
the package then: it is there in a blink, and stays small.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil


def dashboards(log_dir: str | os.PathLike[str]) -> list[psutil.Process]:
    """Return the processes of TensorBoard that show `log_dir` or a folder in it, those that are still starting too."""
    folder = Path(os.path.abspath(log_dir))
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            if _serves(words, process, folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):  # it has just ended, or is somebody else's
            continue
    return found


def close_dashboards(log_dir: str | os.PathLike[str], *, patience: float = 3.0) -> int:
    """End every TensorBoard that shows `log_dir`, and return how many processes that were.

    Args:
        log_dir: the folder given to TensorBoard, or one above it.
        patience: seconds that a server has to end by itself before it is killed.
    """
    found = dashboards(log_dir)
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
    """From now on, no TensorBoard that shows `log_dir` outlives this process, however it ends.

    A small process waits at the other end of a pipe. When this one is gone, killed or crashed even, the system closes
    the pipe, and the small one closes the servers and ends. Call it before a server is started.

    Args:
        log_dir: the folder that TensorBoard will be given, or one above it.

    Returns:
        The small process; closing its `stdin` closes the servers at once.
    """
    # -P: the folder of this file is no place to import from.
    command = [sys.executable, "-P", __file__, os.path.abspath(log_dir)]
    # In a session of its own: what interrupts or kills this process and its group must not reach it.
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def _serves(words: list[str], process: psutil.Process, folder: Path) -> bool:
    if not any("tensorboard" in word for word in words):
        return False
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if name == "--logdir":
            shown = value or "".join(words[number + 1 : number + 2])
            path = Path(os.path.normpath(os.path.join(process.cwd(), shown)))
            if folder == path or folder in path.parents:
                return True
    return False


def _wait_and_close(folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdin.buffer.read()
    close_dashboards(folder)


if __name__ == "__main__":
    _wait_and_close(sys.argv[1])
