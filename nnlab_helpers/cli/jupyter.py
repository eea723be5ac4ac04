"""`nnlab lab`: JupyterLab on the lessons, reachable from this machine alone, behind a token."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path


def lab_command(root: Path, *, port: int | None = None, browser: bool = True, extra: Sequence[str] = ()) -> list[str]:
    """The command line that starts JupyterLab with `notebooks/` as its root folder.

    It listens on 127.0.0.1 only and asks for a token, which the address it prints and opens carries.
    """
    command = [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1"]
    command.append(f"--ServerApp.root_dir={root / 'notebooks'}")
    if port is not None:
        command.append(f"--ServerApp.port={port}")
    if not browser:
        command.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")  # in a container; otherwise Jupyter refuses to start
    return [*command, *extra]


def lab_environment() -> dict[str, str]:
    """The environment for it: JupyterLab fetches no news and does not ask to, unless the user's settings say so."""
    defaults = str(Path(__file__).resolve().parents[1] / "assets" / "jupyter")
    further = os.environ.get("JUPYTER_CONFIG_PATH", "")
    return os.environ | {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [further, defaults]))}
