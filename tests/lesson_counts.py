"""Count what a lesson holds and shows, so that nothing of it goes missing unnoticed (lesson and script alike).

    PYTHONPATH=tests/plugins .venv/bin/python tests/lesson_counts.py

writes tests/lesson_counts.txt anew. Do that when a lesson is meant to change, and read the difference before a commit.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from lesson_cells import asserts, code, compared, prose
from nbformat import NotebookNode
from nbval_tolerance import IMAGES

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
STORED = Path(__file__).with_suffix(".txt")
UPDATE = "PYTHONPATH=tests/plugins .venv/bin/python tests/lesson_counts.py"


def counts(notebook: NotebookNode) -> dict[str, int]:
    """How many there are of each."""
    cells = [cell for _, cell in code(notebook)]
    outputs = [output for cell in cells for output in cell.outputs]
    text = prose(notebook)
    return {
        "code": len(cells),
        "compared": sum(bool(cell.outputs) and compared(cell) for cell in cells),
        "asserts": sum(asserts(cell.source) for cell in cells),
        "figures": sum(bool(output.get("data", {}).keys() & IMAGES) for output in outputs),
        "exercises": sum(len(re.findall(r"^check\(", cell.source, re.MULTILINE)) for cell in cells),
        "predictions": text.count("**Predict."),
        "headings": len(re.findall(r"^#+ ", text, re.MULTILINE)),
        "links": len(re.findall(r"\]\(", text)),
        "references": len(re.findall(r"^- ", text.partition("## References")[2], re.MULTILINE)),
    }


def whole_course(root: Path = NOTEBOOKS) -> dict[str, dict[str, int]]:
    """The counts of every notebook, by its name."""
    paths = [*sorted(root.glob("*.ipynb")), *sorted(root.glob("solutions/*.ipynb"))]
    return {str(path.relative_to(root).with_suffix("")): counts(nbformat.read(path, 4)) for path in paths}


def written(course: dict[str, dict[str, int]]) -> str:
    """The counts as a table."""
    columns = list(next(iter(course.values()), {}))
    width = max(map(len, course), default=0)
    lines = [" ".join([" " * width, *columns])]
    for name, found in course.items():
        lines.append(" ".join([name.ljust(width), *(str(found[column]).rjust(len(column)) for column in columns)]))
    return "\n".join(lines) + "\n"


def read(table: str) -> dict[str, dict[str, int]]:
    """The counts that `written` wrote."""
    head, *rows = [line.split() for line in table.splitlines()]
    return {name: dict(zip(head, map(int, numbers), strict=True)) for name, *numbers in rows}


def changes(stored: dict[str, dict[str, int]], found: dict[str, dict[str, int]]) -> list[str]:
    """What differs, a line for each lesson."""
    told = []
    for name in sorted(stored.keys() | found.keys()):
        before, now = stored.get(name), found.get(name)
        if before is None or now is None:
            told.append(f"{name}: {'is not in the list' if before is None else 'is gone'}")
        elif before != now:
            differing = [key for key in before.keys() | now.keys() if before.get(key) != now.get(key)]
            told.append(
                f"{name}: " + ", ".join(f"{before.get(key)} -> {now.get(key)} {key}" for key in sorted(differing))
            )
    return told


if __name__ == "__main__":
    STORED.write_text(written(whole_course()), encoding="utf-8")
