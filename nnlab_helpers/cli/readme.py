"""The README's table of lessons: questions and minutes from the lessons, seconds from a run, the rest kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from nnlab_helpers.cli.lessons import Lesson
from nnlab_helpers.files import replacing

BEGIN, END = "<!-- lessons: begin -->", "<!-- lessons: end -->"
_HEAD = "| Day | Question | You build | Reading | Running |\n|---:|---|---|---:|---:|\n"


def read_rows(text: str) -> dict[int, list[str]]:
    """Day -> the cells of its row in the README's table.

    Raises:
        ValueError: The markers are missing.
    """
    if BEGIN not in text or END not in text:
        raise ValueError(f"README.md needs the lines {BEGIN!r} and {END!r} around its table of lessons")
    rows = {}
    for line in text.split(BEGIN)[1].split(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if re.fullmatch(r"\d+", cells[0]):
            rows[int(cells[0])] = cells
    return rows


def table(lessons: Sequence[Lesson], seconds: Mapping[int, float], before: Mapping[int, Sequence[str]]) -> str:
    """The table as Markdown. A day without a new measurement keeps the seconds of `before`."""
    lines = []
    for lesson in lessons:
        old = before.get(lesson.day, ["", "", "", "", ""])
        minutes = f"{lesson.reading_minutes} min" if lesson.reading_minutes else ""
        took = f"{seconds[lesson.day]:.0f} s" if lesson.day in seconds else old[4]
        link = f"[{lesson.question}](notebooks/{lesson.path.name})"
        lines.append(f"| {lesson.day} | {link} | {old[2]} | {minutes} | {took} |\n")
    return _HEAD + "".join(lines)


def update(readme: Path, lessons: Sequence[Lesson], seconds: Mapping[int, float]) -> bool:
    """Write the table anew between its markers; return whether that changed the file."""
    text = readme.read_text(encoding="utf-8")
    fresh = table(lessons, seconds, read_rows(text))
    head, rest = text.split(BEGIN, 1)
    tail = rest.split(END, 1)[1]
    updated = f"{head}{BEGIN}\n{fresh}{END}{tail}"
    if updated != text:
        with replacing(readme) as file:
            file.write(updated)
    return updated != text
