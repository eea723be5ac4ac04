"""The lesson template as rules: each takes a stored notebook and its path and yields what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import nbformat
from lesson_cells import asserts, code, empty_asserts, prose
from lesson_outputs import executed, figures, markers, size, tolerances, varying_numbers
from lesson_prose import alt_texts, anchors, days, heading_levels, links, measured_numbers
from nbformat import NotebookNode

from nnlab_helpers.sweep.records import SHIPPED

Rule = Callable[[NotebookNode, Path], Iterator[str]]

MOST_LINES = 25  # of code in a cell
LONGEST_LINE = 88  # of code
LONGEST_RUN = 30  # seconds on two cores
LONGER_RUNS = {21: 90}  # day: seconds; it studies ten choices at once


def shipped_sweeps(notebook: NotebookNode, path: Path) -> Iterator[str]:
    """Each sweep that a lesson keeps is shipped, under a name that says whose it is."""
    source = "\n".join(cell.source for _, cell in code(notebook))
    named = set(re.findall(r"""cache_folder\(["'](.+?)["']\)""", source))
    day = path.stem.partition("_")[0]
    packs = {pack.stem for pack in SHIPPED.glob(f"{day}_*.jsonl")}
    if named != packs:
        yield f"its sweeps are {sorted(named)}, but the course ships {sorted(packs)}: `nnlab build {day}` packs them"


# How a lesson opens and ends ---------------------------------------------------------------------------------------


def opening(notebook: NotebookNode, path: Path) -> Iterator[str]:
    first = notebook.cells[0]
    text = " ".join(first.source.split())
    day = int(re.match(r"day(\d+)_", path.stem)[1])
    if first.cell_type != "markdown" or not re.match(rf"# Day {day}: [^\n]+\?\n", first.source):
        yield f'the first cell does not begin with "# Day {day}: ...?"'
    if not re.search(r"\*Reading: about \d+ minutes\. Running: under \d+ seconds\b", text):
        yield 'no line "*Reading: about N minutes. Running: under N seconds ..."'
    elif (promised := promised_seconds(first.source)) != (most := LONGER_RUNS.get(day, LONGEST_RUN)):
        yield f"it promises to run in under {promised} seconds, not in under {most}"
    aims = first.source.partition("**By the end you can**")[2]
    if not 3 <= len(re.findall(r"^- ", aims, re.MULTILINE)) <= 4:
        yield 'no three or four aims under "**By the end you can**"'
    for neighbour in (day - 1, day + 1):
        for other in path.parent.glob(f"day{neighbour:02d}_*.ipynb"):
            if f"({other.name})" not in first.source:
                yield f"no link to {other.name} at the top"


def promised_seconds(opening: str) -> int | None:
    """What the first cell of a lesson says of its running time."""
    found = re.search(r"\bRunning: under (\d+) seconds\b", " ".join(opening.split()))
    return int(found[1]) if found else None


def first_code(notebook: NotebookNode, path: Path) -> Iterator[str]:
    source = next((cell.source for _, cell in code(notebook)), "")
    for call in ("seed_everything(", "use_style()"):
        if call not in source:
            yield f"the first code cell does not call {call}"


ENDING = ["Recap", "What to try next", "References"]


def ending(notebook: NotebookNode, path: Path) -> Iterator[str]:
    sections = re.split(r"^## +(.+)$", prose(notebook), flags=re.MULTILINE)[1:]  # title, text, title, text, ...
    titles, texts = sections[::2], sections[1::2]
    if titles[-3:] != ENDING:
        yield f"the last headings are {titles[-3:]}, not {ENDING}, each after ##"
        return
    recap, further, references = (re.split(r"^- ", text, flags=re.MULTILINE)[1:] for text in texts[-3:])
    aims = len(re.findall(r"^- ", notebook.cells[0].source, re.MULTILINE))
    if len(recap) < aims:
        yield f"{len(recap)} points in the recap, fewer than the {aims} aims it should mirror"
    if len(further) < 2:
        yield "fewer than two things to try next"
    if not references:
        yield "no references"
    for reference in references:
        years = re.findall(r"\b(?:1[89]|20)\d\d\b", reference)
        if not years:
            yield f"a reference without a year: {reference.strip()[:60]!r}"
        elif min(map(int, years)) > date.today().year:
            yield f"a reference from the future: {reference.strip()[:60]!r}"


# What happens in between -------------------------------------------------------------------------------------------


def landmarks(notebook: NotebookNode) -> Iterator[tuple[int, str, str]]:
    """What a reader passes, in order: (cell, kind, text). Kinds: the marks of a heading, predict, answer, code."""
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type == "code" and cell.source.strip():
            yield number, "code", cell.source
        for line in cell.source.splitlines() if cell.cell_type == "markdown" else []:
            if heading := re.match(r"(#+) +(.+)", line):
                yield number, heading[1], heading[2]
            elif "**Predict" in line:
                yield number, "predict", line
            elif "**What happened" in line:
                yield number, "answer", line


def predictions(notebook: NotebookNode, path: Path) -> Iterator[str]:
    passed = list(landmarks(notebook))
    for at, (number, kind, text) in enumerate(passed):
        if kind == "answer" and not re.match(r"\*\*What happened\.\*\* \S", text):
            yield f'cell {number}: a line that does not begin with "**What happened.** ...": {text[:60]!r}'
        if kind == "predict":
            yield from (f"cell {number}: {fault}" for fault in _prediction(notebook, passed, at))
    if (made := [kind for _, kind, _ in passed].count("predict")) < 3:
        yield f"{made} predictions, fewer than three"


def _prediction(notebook: NotebookNode, passed: list[tuple[int, str, str]], at: int) -> Iterator[str]:
    """What is wrong with the prediction at landmark `at`."""
    number, _, text = passed[at]
    last = notebook.cells[number].source.strip().split("\n\n")[-1]
    if not text.startswith("> **Predict.** "):
        yield f'a prediction that is not a quote, "> **Predict.** ...": {text[:60]!r}'
    elif text not in last or not all(line.startswith(">") for line in last.splitlines()):
        yield "the prediction is not the end of its cell, so the reader reads on instead of guessing"
    if at + 1 == len(passed) or passed[at + 1][:2] != (number + 1, "code"):
        yield "no code follows the prediction"
    until_next = []  # to the next prediction or the next section
    for _, kind, source in passed[at + 1 :]:
        if kind in ("predict", "##"):
            break
        until_next.append((kind, source))
    if "answer" not in [kind for kind, _ in until_next]:
        yield "the prediction is never answered by **What happened.** before the next one or the next section"
    if not any(kind == "code" and asserts(source) for kind, source in until_next):
        yield "no assert holds what happened after the prediction"


def breakage(notebook: NotebookNode, path: Path) -> Iterator[str]:
    passed = list(landmarks(notebook))
    titles = [(at, marks, title) for at, (_, marks, title) in enumerate(passed) if marks.startswith("#")]
    broken = [(at, marks, title) for at, marks, title in titles if re.search(r"\bbreak it\b", title, re.IGNORECASE)]
    if not any(marks == "##" for _, marks, _ in broken):
        yield 'no experiment that fails, under a heading "## Break it on purpose: ..."'
    for at, marks, title in broken:
        if not re.match(r"Break it on purpose: \S", title):
            yield f'heading {title!r} is not "Break it on purpose: ..."'
        end = next((later for later, other, _ in titles if later > at and len(other) <= len(marks)), len(passed))
        kinds = [kind for _, kind, _ in passed[at:end]]
        if "code" not in kinds or "answer" not in kinds[kinds.index("code") :]:
            yield f"{title!r} is not explained: no **What happened.** after its code"


def exercises(notebook: NotebookNode, path: Path) -> Iterator[str]:
    at = [number for number, cell in code(notebook) if re.search(r"^check\(", cell.source, re.MULTILINE)]
    if len(at) < 3:
        yield f"{len(at)} exercises, fewer than three"
    if at and at[0] > len(notebook.cells) * 2 / 3:
        yield "the exercises all wait at the end"
    for number in at:
        above = notebook.cells[number - 1]
        if above.cell_type != "markdown" or not re.search(r"^### Exercise: .+ (★☆☆|★★☆|★★★)$", above.source, re.M):
            yield f'cell {number}: no "### Exercise: title ★☆☆" above it'
        call = notebook.cells[number].source.strip().splitlines()[-1]
        parts = re.fullmatch(rf'check\("{path.stem[:5]}\.(\w+)", (\w+)\)', call)
        if not parts or parts[1].replace("_", "") != parts[2].replace("_", "").lower():  # lenet64 may be LeNet64
            yield f'cell {number} ends in {call!r}, not in check("{path.stem[:5]}.name", name)'
    for name in re.findall(r'\b(?:hint|check)\("(day\d\d\.\w+)"\)?', "\n".join(cell.source for cell in notebook.cells)):
        if name not in asked(notebook) and not any(
            name in asked(nbformat.read(other, 4)) for other in path.parent.glob(f"{name[:5]}_*.ipynb") if other != path
        ):
            yield f"{name} is spoken of, but no lesson asks it"
    if at and not any('hint("' in cell.source for cell in notebook.cells[: at[0] + 2]):
        yield 'hint("...") is not mentioned by the first exercise'


def asked(notebook: NotebookNode) -> set[str]:
    """The exercises that a lesson checks."""
    source = "\n".join(cell.source for _, cell in code(notebook))
    return set(re.findall(r'^check\("(day\d\d\.\w+)"', source, re.MULTILINE))


def oracles(notebook: NotebookNode, path: Path) -> Iterator[str]:
    held = sum(asserts(cell.source) for _, cell in code(notebook))
    if held < 3:
        yield f"{held} asserts: what is claimed is not held"
    for number, cell in code(notebook):
        yield from (f"cell {number}: an assert that cannot fail: {test}" for test in empty_asserts(cell.source))


# How it is written -------------------------------------------------------------------------------------------------


def cell_lengths(notebook: NotebookNode, path: Path) -> Iterator[str]:
    for number, cell in code(notebook):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if len(lines) > MOST_LINES:
            yield f"cell {number}: {len(lines)} lines of code, more than {MOST_LINES}"
        for line in lines:
            if len(line) > LONGEST_LINE:
                yield f"cell {number}: {len(line)} characters, more than {LONGEST_LINE}: {line.strip()}"


# Solutions ---------------------------------------------------------------------------------------------------------


def solution_opening(notebook: NotebookNode, path: Path) -> Iterator[str]:
    day = int(re.match(r"day(\d+)_", path.stem)[1])
    if not re.match(rf"# Day {day}\b", notebook.cells[0].source):
        yield f'the first cell does not begin with "# Day {day} ..."'
    if f"(../{path.name})" not in prose(notebook):
        yield "no link back to the lesson"
    if "keep_record(False)" not in next((cell.source for _, cell in code(notebook)), ""):
        yield "the first code cell does not call keep_record(False)"


def solved(notebook: NotebookNode, path: Path) -> Iterator[str]:
    checks = 0
    for number, cell in code(notebook):
        for name in re.findall(r'^check\("([\w.]+)"', cell.source, re.MULTILINE):
            checks += 1
            shown = "".join(
                str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
                for output in cell.outputs
            )
            if f"✓ {name}" not in shown:
                yield f"cell {number}: {name} does not show ✓"
    if checks < 3:
        yield f"{checks} exercises solved, fewer than three"


BOTH: list[Rule] = [
    links, anchors, days, measured_numbers, alt_texts, heading_levels, cell_lengths,
    varying_numbers, tolerances, executed, figures, size, markers,
]  # fmt: skip
LESSON: list[Rule] = [opening, first_code, ending, predictions, breakage, exercises, oracles, shipped_sweeps, *BOTH]
SOLUTION: list[Rule] = [solution_opening, solved, *BOTH]
NOT_YET: set[Rule] = set()  # what the lessons do not all keep yet
