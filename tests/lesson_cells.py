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
    """Whether the regression compares what the cell gives; nbval is told not to by a tag or by a comment."""
    marks = [*cell.metadata.get("tags", []), *re.findall(r"^\s*#\s*(NBVAL_\w+|PYTEST_VALIDATE_\w+)", cell.source, re.M)]
    return not any(re.search(r"skip|ignore", mark, re.IGNORECASE) for mark in marks)


def parsed(source: str) -> ast.AST:
    """The code of a cell, without its magics."""
    return ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.MULTILINE))


def asserts(source: str) -> int:
    """How often the code of a cell holds a claim: assert statements, and calls of assert_close and its kin."""
    nodes = list(ast.walk(parsed(source)))
    called = [node.func for node in nodes if isinstance(node, ast.Call)]
    names = [getattr(function, "attr", getattr(function, "id", "")) for function in called]
    return sum(isinstance(node, ast.Assert) for node in nodes) + sum(name.startswith("assert_") for name in names)


def empty_asserts(source: str) -> list[str]:
    """The assert statements of a cell that cannot fail: constants, tuples, and comparisons of a thing with itself."""
    tests = [node.test for node in ast.walk(parsed(source)) if isinstance(node, ast.Assert)]
    return [ast.unparse(test) for test in tests if _cannot_fail(test)]


def _cannot_fail(test: ast.expr) -> bool:
    if isinstance(test, ast.Compare):
        sides = [ast.unparse(side) for side in (test.left, *test.comparators)]
        return len(set(sides)) == 1 and all(isinstance(op, ast.Eq | ast.LtE | ast.GtE | ast.Is) for op in test.ops)
    if isinstance(test, ast.BoolOp):
        return (all if isinstance(test.op, ast.And) else any)(_cannot_fail(value) for value in test.values)
    return isinstance(test, ast.Constant | ast.Tuple | ast.List | ast.JoinedStr | ast.Lambda)
