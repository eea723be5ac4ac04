"""What the variants printed, held against the stored notebooks: one table of how far each number moves.

A row of `table.csv` is a decimal that some variant printed otherwise than it is stored; `record.json` says what was
run: the variants, the code of each notebook (a changed one has to be run again), and what cannot be put into a row.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbval.plugin import coalesce_streams, find_metadata_tags
from nbval_tolerance import IMAGES, Number, Tolerance, compare, numbers_in, texts_by_kind

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
TABLE, RECORD = HERE / "table.csv", HERE / "record.json"
MOST_SHARE = 2 / 3  # of a tolerance that a number may use over all variants: processors that nobody here has need room
ANYTHING = Tolerance(rtol=1e300, atol=1e300)  # of decimals; words and whole numbers stay exact

Outputs = dict[str, list[str]]  # what a cell gave, by stream or MIME type
Raw = dict[str, dict[str, Outputs]]  # by variant and cell id


@dataclass(frozen=True)
class Row:
    """A number that moves. `share`: how much of its tolerance the widest move takes, 1 being all."""

    notebook: str
    cell: str
    output: str
    number: int
    stored: str
    lowest: str
    highest: str
    share: float
    line: str


@dataclass(frozen=True)
class Failure:
    """What a variant gave that is no number within reach of the stored one: an error, other words, another count."""

    notebook: str
    cell: str
    variant: str
    what: str


def name_of(notebook: Path) -> str:
    """`day03_activations`, or `solutions/day03_activations`."""
    return notebook.with_suffix("").relative_to(NOTEBOOKS).as_posix()


def notebooks() -> dict[str, Path]:
    """All lessons and solutions, by name."""
    found = [*sorted(NOTEBOOKS.glob("*.ipynb")), *sorted(NOTEBOOKS.glob("solutions/*.ipynb"))]
    return {name_of(path): path for path in found}


def code_of(notebook: NotebookNode) -> str:
    """A digest of what a notebook computes: its code, whatever its prose says."""
    code = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def compared(notebook: NotebookNode) -> Iterator[tuple[str, Tolerance, Outputs]]:
    """The id, the tolerance and the stored outputs of each cell that the regression compares."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and dict(find_metadata_tags(cell.metadata)).get("check", True):
            outputs = texts_by_kind(coalesce_streams(cell.outputs))
            yield cell["id"], Tolerance.of(cell.metadata), {k: v for k, v in outputs.items() if k not in IMAGES}


def decimals(stored: str, fresh: str) -> Iterator[tuple[int, Number, Number]]:
    """The decimals of two texts with the same words: position, stored, fresh."""
    for position, (a, b) in enumerate(zip(numbers_in(stored), numbers_in(fresh), strict=True)):
        if not (a.whole or a.named):
            yield position, a, b


def share_of(tolerance: Tolerance, a: Number, b: Number) -> float:
    """What share of its tolerance a number uses that went from `a` to `b`."""
    off, allowed = abs(a.value - b.value), tolerance.allows(a, b)
    return 0.0 if not off else off / allowed if allowed else float("inf")


def moved(name: str, notebook: NotebookNode, raw: Raw) -> tuple[list[Row], list[Failure], int]:
    """The rows and failures of one notebook, and how many decimals were compared."""
    rows, failures, count = [], [], 0
    for variant, cells in raw.items():
        for cell, outputs in cells.items():
            failures += [Failure(name, cell, variant, text) for text in outputs.get("error", [])]
    for cell, tolerance, stored in compared(notebook):
        for kind, texts in stored.items():
            for at, text in enumerate(texts):
                count += sum(not (number.whole or number.named) for number in numbers_in(text))
                fresh = {}
                for variant, cells in raw.items():
                    got = cells.get(cell, {}).get(kind, [])
                    if len(got) != len(texts):
                        failures.append(Failure(name, cell, variant, f"{kind}: {len(texts)} stored, {len(got)} fresh"))
                    elif problem := compare(text, got[at], ANYTHING):
                        failures.append(Failure(name, cell, variant, problem))
                    else:
                        fresh[variant] = got[at]
                rows += _rows(name, cell, f"{kind} {at}", tolerance, text, fresh.values())
    return rows, failures, count


def _rows(name: str, cell: str, output: str, tolerance: Tolerance, stored: str, fresh: Iterable[str]) -> Iterator[Row]:
    given: dict[int, list[Number]] = {}
    for text in fresh:
        for position, _, b in decimals(stored, text):
            given.setdefault(position, []).append(b)
    for position, numbers in given.items():
        a = numbers_in(stored)[position]
        lowest, highest = (pick([a, *numbers], key=lambda number: number.value) for pick in (min, max))
        share = max(share_of(tolerance, a, lowest), share_of(tolerance, a, highest))
        if share:
            line = stored[stored.rfind("\n", 0, a.start) + 1 :].partition("\n")[0].strip()
            yield Row(name, cell, output, position, a.text, lowest.text, highest.text, round(share, 3), line[:80])


# On disk ------------------------------------------------------------------------------------------------------------


def write(rows: Iterable[Row], record: dict[str, Any]) -> None:
    """Store the table and what it was made from."""
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read() -> tuple[list[Row], dict[str, Any]]:
    """The stored table, and what it was made from."""
    with TABLE.open(newline="", encoding="utf-8") as file:
        rows = [
            Row(**row | {"number": int(row["number"]), "share": float(row["share"])})  # type: ignore[arg-type]
            for row in csv.DictReader(file)
        ]
    return rows, json.loads(RECORD.read_text(encoding="utf-8"))


def share_now(row: Row, notebook: NotebookNode) -> float:
    """The share of its tolerance that a row's number uses, as notebook and tolerance are stored now.

    Raises: LookupError if there is no such number.
    """
    kind, _, at = row.output.rpartition(" ")
    for cell, tolerance, outputs in compared(notebook):
        if cell == row.cell:
            numbers = numbers_in(outputs[kind][int(at)])
            one = numbers_in(f"[{row.lowest}]") + numbers_in(f"[{row.highest}]")
            a = numbers[row.number]
            return max(share_of(tolerance, a, Number(b.text, 0, 0, a.digits)) for b in one)
    raise LookupError(f"{row.notebook} compares no cell {row.cell}")


def load(path: Path) -> NotebookNode:
    return nbformat.read(path, as_version=4)
