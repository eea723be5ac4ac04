"""What tests/test_faults.py runs in a process of its own. Not a file that loads the package: it is about to change."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def run_tests(folder: Path, arguments: list[str], output: Path) -> None:
    """Run pytest on the package in `folder`, write what it prints to `output`, and end with its exit status."""
    import pytest

    with output.open("w") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.exit(pytest.main(arguments))
