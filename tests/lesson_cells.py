"""Read a notebook: its code, its prose, what it prints, and how often it holds something."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode


def code(notebook: NotebookNode) -> Iterator[tuple[int, NotebookNode]]:
    """The code cells with something in them, numbered among all cells."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            yield number, cell


def prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def compared(cell: NotebookNode) -> bool:
    """Whether the regression compares what the cell gives."""
    return not any("nbval" in tag for tag in cell.metadata.get("tags", []))


def parsed(source: str) -> ast.AST:
    """The code of a cell, without its magics."""
    return ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE))


def asserts(source: str) -> int:
    """How often the code of a cell holds a claim: assert statements, and calls of assert_close and its kin."""
    nodes = list(ast.walk(parsed(source)))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = [getattr(function, "attr", getattr(function, "id", "")) for function in called]
    return sum(isinstance(node, ast.Assert) for node in nodes) + sum(name.startswith("assert_") for name in names)
