"""Run what is meant for a GPU on a stand-in for one: `python -m tests.accelerator`.

That is: the tests marked `gpu`, every solution of the exercises, and every lesson, whose runs are made there and not
read. It needs g++. Where there is a real GPU, `make test` and `make run` use it by themselves.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.accelerator import standin

HERE = Path(__file__).parent
COMMANDS = (
    ["-c", "from nnlab_helpers.device import describe_device; print(describe_device())"],
    ["-m", "pytest", "-q", "tests", "-m", "gpu"],
    ["-m", "pytest", "-q", "notebooks/solutions"],
    ["-m", "nnlab_helpers.cli", "run", "--jobs", "2"],
)


def main() -> int:
    """Build the device and run each command; the exit status is 0 where all of them pass."""
    print("building the stand-in accelerator ...", flush=True)
    standin.build()
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory(prefix="nnlab-") as cache:
        environment = {**os.environ, "PYTHONPATH": path, "NNLAB_DEVICE": "standin", "NNLAB_CACHE": cache}
        failed = [c for c in COMMANDS if subprocess.run([sys.executable, *c], env=environment).returncode]
    for command in failed:
        print("FAILED:", *command)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
