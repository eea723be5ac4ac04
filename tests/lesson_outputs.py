"""Rules for what a lesson prints and stores: how it is compared, figures, warnings, size."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from lesson_cells import code, compared, parsed
from nbformat import NotebookNode
from nbval_tolerance import IMAGES, Tolerance, numbers_in
from sensitivity import compared_texts

MOST_UNCOMPARED = 3  # cells of a lesson
MOST_FIGURES = 14
MOST_BYTES = 3_000_000
# A tolerance above these needs a "why" in its cell's metadata, and the whole course has MOST_WIDE such cells.
WIDEST = 0.25  # rtol
WIDEST_PERCENT, WIDEST_SHARE = 4.0, 0.04  # atol
MOST_WIDE = 10


def varying_numbers(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Numbers that may vary are not printed as whole ones, which the regression takes for counts: compared exactly."""
    for number, cell in code(notebook):
        if "tolerance" in cell.metadata:
            calls = [node for node in ast.walk(parsed(cell.source)) if isinstance(node, ast.Call)]
            printed = "\n".join(ast.unparse(call) for call in calls if ast.unparse(call.func) == "print")
            for text in re.findall(r"\{[^{}]+:[^{}]*\.0f\}", printed):
                yield f"cell {number}: a tolerance, and yet {text}: give it a decimal"


def tolerances(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """A wide tolerance says why; one that applies to nothing is none."""
    for number, cell in code(notebook):
        given = cell.metadata.get("tolerance")
        if not isinstance(given, dict):
            continue
        if not _decimals(cell):
            yield f"cell {number}: a tolerance, and no decimal that it could apply to"
        elif (wide := too_wide(cell)) and not str(cell.metadata.get("why", "")).strip():
            yield f'cell {number}: {wide}, and no "why" beside it'


def too_wide(cell: NotebookNode) -> str | None:
    """What in the tolerance of a cell is above what any cell may have, or None.

    Percentages may move by 4 points, shares by 0.04, and what is neither by a quarter of the largest number shown.
    """
    given = cell.metadata.get("tolerance", {})
    texts, decimals = list(compared_texts(cell)), _decimals(cell)
    largest = max(map(abs, decimals), default=0)
    percent = any(re.search("%|percent|points", text) for text in texts)
    counted = any(re.search("accuracy|right|share|read", text) for text in texts)
    most = WIDEST_SHARE if counted else WIDEST * largest
    atol = WIDEST_PERCENT if percent or (counted and largest > 1) else most
    limits = {"rtol": WIDEST, "atol": atol}
    wide = {name: limit for name, limit in limits.items() if given.get(name, 0) > limit}
    return ", ".join(f"{name} {given[name]:g} is above {limit:g}" for name, limit in wide.items()) or None


def _decimals(cell: NotebookNode) -> list[float]:
    numbers = [number for text in compared_texts(cell) for number in numbers_in(text)]
    return [number.value for number in numbers if not (number.whole or number.named)]


def executed(notebook: NotebookNode, path: Path) -> Iterator[str]:
    counts = [cell.execution_count for _, cell in code(notebook)]
    if None in counts:
        yield f"{counts.count(None)} cells were never executed"
    elif counts != sorted(counts) or len(set(counts)) != len(counts):
        yield "the cells were not executed from top to bottom"
    for number, cell in code(notebook):
        for output in cell.outputs:
            if output.output_type == "error":
                yield f"cell {number}: stores an error, {output.ename}: {output.evalue}"
            if output.output_type == "stream" and output.name == "stderr":
                yield f"cell {number}: stores text on stderr: {output.text.strip()[:80]}"


def figures(notebook: NotebookNode, path: Path) -> Iterator[str]:
    total = 0
    for number, cell in code(notebook):
        shown = sum(bool(output.get("data", {}).keys() & IMAGES) for output in cell.outputs)
        total += shown
        if shown and not re.search(r"^ *plt\.show\(\)$", cell.source, re.MULTILINE):
            yield f"cell {number}: draws a figure without plt.show()"
        for output in cell.outputs:
            text = str(output.get("data", {}).get("text/plain", ""))
            if output.output_type == "execute_result" and re.match(r"\[?<(matplotlib|Figure|Axes)|Text\(", text):
                yield f"cell {number}: shows {text[:50]!r} beside its figure"
    if total > MOST_FIGURES:
        yield f"{total} figures, more than {MOST_FIGURES}"


def size(notebook: NotebookNode, path: Path) -> Iterator[str]:
    if path.stat().st_size > MOST_BYTES:
        yield f"{path.stat().st_size / 1e6:.1f} MB, more than {MOST_BYTES / 1e6:.0f} MB"


def markers(notebook: NotebookNode, path: Path) -> Iterator[str]:
    uncompared = [number for number, cell in code(notebook) if not compared(cell)]
    if len(uncompared) > MOST_UNCOMPARED:
        yield f"{len(uncompared)} cells are not compared, more than {MOST_UNCOMPARED}"
    for number, cell in code(notebook):
        if number in uncompared and not cell.metadata.get("why"):
            yield f"cell {number}: not compared, and does not say why"
        try:
            Tolerance.of(cell.metadata)
        except ValueError as error:
            yield f"cell {number}: {error}"
