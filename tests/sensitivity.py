"""How much would have to go wrong with a lesson's number for the regression to notice.

    PYTHONPATH=tests/plugins python tests/sensitivity.py

prints, for each lesson, the share of its compared decimals that could be doubled, halved or lost (zero) and still pass
within their cells' tolerance, and the cells with most of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from lesson_cells import compared
from nbformat import NotebookNode
from nbval_tolerance import IMAGES, NOT_COMPARED, STYLE, Number, Tolerance, numbers_in

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
SLIPS: dict[str, Callable[[float], float]] = {
    "doubled": lambda value: 2 * value,
    "halved": lambda value: value / 2,
    "zero": lambda value: 0.0,
}


@dataclass(frozen=True)
class Unnoticed:
    """A cell's compared decimals other than zero, and how many of them each slip would leave within tolerance."""

    lesson: str
    cell: int
    decimals: int
    passing: dict[str, int]
    tolerance: str
    examples: tuple[str, ...]  # of numbers that may double


def compared_texts(cell: NotebookNode) -> Iterator[str]:
    """The stored outputs of a cell that the regression compares as text."""
    if not compared(cell):
        return
    for output in cell.outputs:
        if output.output_type == "stream" and output.name != "stderr":
            yield output.text
        for mime, value in output.get("data", {}).items():
            if mime not in IMAGES | NOT_COMPARED and isinstance(value, str):
                yield STYLE.sub("", value) if mime == "text/html" else value


def passes(number: Number, tolerance: Tolerance, slip: Callable[[float], float]) -> bool:
    """Whether the slip, printed to as many places, would still be within tolerance."""
    mantissa, e, _ = number.plain.partition("e")
    text = f"{slip(number.value):#.{len(mantissa.partition('.')[2])}{'e' if e else 'f'}}"  # "#": "2." keeps its point
    slipped = replace(number, text=text)
    return abs(slipped.value - number.value) <= tolerance.allows(number, slipped)


def unnoticed(notebook: NotebookNode, lesson: str) -> Iterator[Unnoticed]:
    """What could go unnoticed in each cell that prints decimals."""
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        found = [number for text in compared_texts(cell) for number in numbers_in(text)]
        decimals = [number for number in found if not (number.whole or number.named) and number.value != 0]
        tolerance = Tolerance.of(cell.metadata)
        passing = {
            name: [number for number in decimals if passes(number, tolerance, slip)] for name, slip in SLIPS.items()
        }
        if decimals:
            counts = {name: len(numbers) for name, numbers in passing.items()}
            examples = tuple(dict.fromkeys(number.text for number in passing["doubled"]))[:6]
            told = ", ".join(f"{key} {value}" for key, value in cell.metadata.get("tolerance", {}).items())
            yield Unnoticed(lesson, index, len(decimals), counts, told or "default", examples)


def whole_course(root: Path = NOTEBOOKS) -> list[Unnoticed]:
    paths = [*sorted(root.glob("*.ipynb")), *sorted(root.glob("solutions/*.ipynb"))]
    return [
        cell
        for path in paths
        for cell in unnoticed(nbformat.read(path, 4), str(path.relative_to(root).with_suffix("")))
    ]


def share(cells: Iterable[Unnoticed], slip: str = "doubled") -> float:
    """The share of decimals that the slip would leave within tolerance; 0 where there are none."""
    cells = list(cells)
    return sum(cell.passing[slip] for cell in cells) / max(1, sum(cell.decimals for cell in cells))


def table(cells: list[Unnoticed], worst: int = 40) -> str:
    """Shares by lesson, and the cells in which most numbers may double."""
    lines = [f"{'':44} decimals " + " ".join(f"{name:>8}" for name in SLIPS)]
    groups = {lesson: [cell for cell in cells if cell.lesson == lesson] for lesson in [c.lesson for c in cells]}
    for lesson, group in [*groups.items(), ("all", cells)]:
        shares = " ".join(f"{share(group, slip):8.1%}" for slip in SLIPS)
        lines.append(f"{lesson:44} {sum(cell.decimals for cell in group):8} {shares}")
    lines += ["", "cells in which most numbers may double (cells are numbered from 0)"]
    for cell in sorted(cells, key=lambda cell: -cell.passing["doubled"])[:worst]:
        if count := cell.passing["doubled"]:
            place = f"{cell.lesson}, cell {cell.cell}"
            lines.append(f"{place:54} {count:3} of {cell.decimals:3}  {cell.tolerance:24} {', '.join(cell.examples)}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(whole_course(), worst=int(sys.argv[1]) if sys.argv[1:] else 40))
