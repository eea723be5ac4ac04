"""A project of small lessons, for the tests of `nnlab`."""

from __future__ import annotations

from pathlib import Path

import nbformat

OPENING = "# Day {day}: {question}\n\n*Reading: about 12 minutes. Running: under 30 seconds.*"


def write_lesson(folder: Path, name: str, *cells: str, question: str = "what is it?") -> Path:
    opening = nbformat.v4.new_markdown_cell(OPENING.format(day=int(name[3:5]), question=question))
    notebook = nbformat.v4.new_notebook(cells=[opening, *map(nbformat.v4.new_code_cell, cells)])
    path = folder / f"{name}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path
