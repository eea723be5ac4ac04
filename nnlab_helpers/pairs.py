"""Lessons and their pairs: the notebook learners open and the script maintainers edit."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient


def build(script: Path) -> Path:
    """Execute `script` (py:percent) in a fresh kernel and store it, with outputs, as the notebook one folder up."""
    os.environ["TQDM_DISABLE"] = "1"
    notebook = jupytext.read(script)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        digest = hashlib.sha1(cell.source.encode()).hexdigest()[:8]
        seen[digest] = seen.get(digest, 0) + 1
        cell["id"] = f"{digest}-{seen[digest]}"
    target = script.parent.parent / f"{script.stem}.ipynb"
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": target.parent}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    nbformat.write(notebook, target)
    return target


if __name__ == "__main__":
    for name in sys.argv[2:]:
        print(build(Path(name)))
