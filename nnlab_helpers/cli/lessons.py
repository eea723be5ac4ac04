"""Which lessons there are, and what their first cells say about them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

_NAME = re.compile(r"day(\d+)_\w+")
USUAL_SECONDS = 30.0  # what a lesson, or its solutions, may take if it says nothing else


class LessonError(ValueError):
    """A lesson or the lessons' folder cannot be found or read; the message says what to do."""


@dataclass(frozen=True)
class Lesson:
    """One notebook of the course: a lesson, or the solutions of one."""

    path: Path
    is_solution: bool = False

    @property
    def name(self) -> str:
        """`"day03_activations"`."""
        return self.path.stem

    @property
    def day(self) -> int:
        """The number of the day."""
        match = _NAME.fullmatch(self.name)
        assert match is not None, f"{self.path} is not named like a lesson"
        return int(match[1])

    @property
    def relative(self) -> Path:
        """Path below `notebooks/`: `day03_activations.ipynb` or `solutions/day03_activations.ipynb`."""
        return Path("solutions", self.path.name) if self.is_solution else Path(self.path.name)

    @cached_property
    def _opening(self) -> str:
        try:
            cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
            return "".join(cells[0]["source"]) if cells else ""
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LessonError(f"{self.path} is not a readable notebook: {error}") from error

    @property
    def question(self) -> str:
        """What the title asks, without "Day 3: ", beginning with a capital; `""` if there is no such title."""
        match = re.search(r"^# Day \d+: (.+)$", self._opening, re.MULTILINE)
        return match[1][:1].upper() + match[1][1:].strip() if match else ""

    @property
    def reading_minutes(self) -> int | None:
        """Minutes to read, as the opening cell says."""
        match = re.search(r"[Rr]eading: about (\d+) minutes", self._opening)
        return int(match[1]) if match else None

    @property
    def promised_seconds(self) -> float:
        """Seconds that it takes at most on two cores, as the opening cell says ("Running: under 30 seconds").

        A notebook that says nothing, or cannot be read, has the usual ones.
        """
        try:
            match = re.search(r"[Rr]unning: under (\d+) seconds", self._opening)
        except LessonError:
            return USUAL_SECONDS
        return float(match[1]) if match else USUAL_SECONDS


def find_root(start: Path | None = None) -> Path:
    """Return the folder of the project: the nearest one around `start` that has `notebooks/py`, else the checkout.

    Raises:
        LessonError: There is none, as when the package was installed without its checkout.
    """
    here = (start or Path.cwd()).resolve()
    package = Path(__file__).resolve().parents[2]
    for folder in (here, *here.parents, package):
        if (folder / "notebooks" / "py").is_dir():
            return folder
    raise LessonError(
        f"no lessons around {here}: go to the project's folder (the one with notebooks/ in it) and try again"
    )


def find_lessons(root: Path, *, solutions: bool = False) -> list[Lesson]:
    """All lessons below `root`, or all solutions, in the order of their days."""
    folder = root / "notebooks" / "solutions" if solutions else root / "notebooks"
    found = [Lesson(path, solutions) for path in folder.glob("day*.ipynb") if _NAME.fullmatch(path.stem)]
    return sorted(found, key=lambda lesson: (lesson.day, lesson.name))


def select(lessons: Sequence[Lesson], wanted: Iterable[str]) -> list[Lesson]:
    """Pick lessons by `"3"`, `"day03"`, `"day03_activations"` or the path of a notebook or script, in their own order.

    Nothing wanted means all of them. A path counts as a whole: a notebook of the same name elsewhere is another one.

    Raises:
        LessonError: Something wanted is not there; the message lists what is.
    """
    wanted = list(wanted)
    if not wanted:
        return list(lessons)
    chosen: set[Lesson] = set()
    for word in wanted:
        matches = [lesson for lesson in lessons if _matches(lesson, word)]
        if not matches:
            there = ", ".join(lesson.name for lesson in lessons) or "none"
            also = " (With --solutions it can be a solution.)" if "solutions" in Path(word).parts else ""
            raise LessonError(f"there is no lesson {word!r}. The lessons are: {there}{also}")
        chosen.update(matches)
    return [lesson for lesson in lessons if lesson in chosen]


def _matches(lesson: Lesson, word: str) -> bool:
    if Path(word).name != word:
        script = lesson.path.parent / "py" / f"{lesson.name}.py"
        return Path(word).resolve() in (lesson.path.resolve(), script.resolve())
    name = Path(word).name.removesuffix(".ipynb").removesuffix(".py").lower()
    if number := re.fullmatch(r"(?:day)?0*(\d+)", name):
        return lesson.day == int(number[1])
    return lesson.name == name
