"""Rules for the prose of a lesson: links and references lead somewhere, and no measured number is typed by hand."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import pairwise
from math import ceil
from pathlib import Path
from urllib.parse import unquote

import nbformat
from lesson_cells import prose
from nbformat import NotebookNode
from typed_numbers import typed_numbers

ANNOUNCED: set[int] = set()  # days to come that a lesson may speak of already
IMAGE_WITHOUT_ALT = re.compile(r"!\[\]\(|<img(?![^>]*alt=)")
LINK = re.compile(r"""\]\(([^)\s]+)|\bhref=["']([^"']+)|^\[[^\]]+\]: *(\S+)""", re.MULTILINE)
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60}
ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
WORD = rf"(?:(?:{'|'.join(TENS)})(?:[- ](?:{'|'.join(NUMBERS)}))?|{'|'.join(NUMBERS)})"
NUMBER = rf"(?:[0-9]+|{WORD})"
LIST = rf"{NUMBER}(?:(?:, {NUMBER})*,? (?:and|or|to) {NUMBER}|[–-]{NUMBER})?(?![,.]?\w)"  # 3; 3, 5 and 7; 15 to 21
DAYS = re.compile(rf"\bdays? {LIST}|\bday[0-9]{{2,}}(?=[_.]|\b)", re.IGNORECASE)
WEEKS = re.compile(rf"\bweeks? {LIST}|\b(?:{'|'.join(ORDINALS)}) week\b", re.IGNORECASE)


def targets(notebook: NotebookNode) -> list[str]:
    """Where the links of a notebook lead."""
    return ["".join(groups) for groups in LINK.findall(prose(notebook))]


def links(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for target in targets(notebook):
        file = unquote(target.partition("#")[0])
        if file and not re.match(r"[a-z]+:", target) and not (path.parent / file).exists():
            yield f"a link to {target}, which does not exist"
    for text, day in re.findall(r"\[([^\]]*)\]\((?:[^)\s]*/)?day(\d+)_", prose(notebook)):
        named = re.search(r"\bday (\d+)\b", text, re.IGNORECASE)
        if named and int(named[1]) != int(day):
            yield f"a link called {text!r} leads to day {int(day)}"


def anchors(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """A link into a notebook names one of its headings, as JupyterLab and nbconvert do: blanks become hyphens."""
    for target in targets(notebook):
        file, _, heading = target.partition("#")
        other = path.parent / unquote(file)
        if not heading or re.match(r"[a-z]+:", target) or (file and not (other.suffix == ".ipynb" and other.exists())):
            continue
        if unquote(heading) not in heading_ids(nbformat.read(other, 4) if file else notebook):
            yield f"a link to {target}, but no heading is called {unquote(heading).replace('-', ' ')!r}"


def heading_ids(notebook: NotebookNode) -> set[str]:
    """What a link to each heading has behind its `#`."""
    from nbconvert.filters import markdown2html

    cells = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    found = [id for cell in cells for id in re.findall(r'<h\d id="([^"]*)"', markdown2html(cell))]
    return {unquote(html.unescape(id)) for id in found}


def days(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Every day and week that is spoken of, in prose or code, is one of the course."""
    folder = path.parent.parent if path.parent.name == "solutions" else path.parent
    there = {int(other.name[3:5]) for other in folder.glob("day[0-9][0-9]_*.ipynb")} | ANNOUNCED
    for number, cell in enumerate(notebook.cells):
        for fault in unknown_days(cell.source, there):
            yield f"cell {number}: {fault}"


def unknown_days(text: str, there: set[int]) -> Iterator[str]:
    """The days and weeks that `text` speaks of and that are not `there`."""
    text = " ".join(text.split())
    weeks = {ceil(day / 7) for day in there}
    for pattern, what, known in ((DAYS, "day", there), (WEEKS, "week", weeks)):
        for match in pattern.finditer(text):
            for word in re.findall(rf"\d+|\b(?:{WORD}|{'|'.join(ORDINALS)})\b", match[0], re.IGNORECASE):
                if _number(word.lower()) not in known:
                    yield f"{match[0]!r}, but the course has no {what} {word}"


def _number(word: str) -> int:
    """The number that `twenty-two`, `second` or `22` stands for."""
    if word.isdigit():
        return int(word)
    if word in ORDINALS:
        return ORDINALS.index(word) + 1
    parts = re.split(r"[- ]", word)
    return sum(TENS[part] if part in TENS else NUMBERS.index(part) + 1 for part in parts)


def measured_numbers(notebook: NotebookNode, path: Path) -> Iterator[str]:
    lesson = f"solutions/{path.stem}" if path.parent.name == "solutions" else path.stem
    for number, cell in enumerate(notebook.cells):
        for found in typed_numbers(cell.source, lesson) if cell.cell_type == "markdown" else ():
            yield f"cell {number}: a measured number typed by hand? {found!r} (what is none: tests/typed_numbers.py)"


def alt_texts(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "markdown" and (found := IMAGE_WITHOUT_ALT.search(cell.source)):
            yield f"cell {number}: an image without alternative text: {found[0]}"


def heading_levels(notebook: NotebookNode, path: Path) -> Iterator[str]:
    found = re.findall(r"^(#+) +(.+)$", prose(notebook), re.MULTILINE)
    if sum(len(marks) == 1 for marks, _ in found) != 1:
        yield "not exactly one heading of the first level"
    for (above, _), (below, title) in pairwise(found):
        if len(below) > len(above) + 1:
            yield f"heading {title!r} skips a level"
