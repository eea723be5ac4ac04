"""What the README says of the lessons: seconds that they promise, and days that exist. So does the package."""

import re

import nbformat
import pytest
from lesson import NOTEBOOKS
from lesson_prose import ANNOUNCED, unknown_days
from lesson_rules import promised_seconds

from nnlab_helpers.cli.lessons import Lesson
from nnlab_helpers.cli.readme import read_rows, table

ROOT = NOTEBOOKS.parent
README = ROOT / "README.md"
LEAST = 5  # seconds: a kernel and PyTorch alone take about as long
DAYS = {int(path.name[3:5]): path for path in NOTEBOOKS.glob("day[0-9][0-9]_*.ipynb")}
TEXTS = [README, *sorted((ROOT / "nnlab_helpers").rglob("*.py"))]


def promises():
    """Day -> the seconds that its lesson promises to take at most."""
    return {day: promised_seconds(nbformat.read(path, 4).cells[0].source) for day, path in DAYS.items()}


def unlikely(rows, promised):
    """The days whose seconds in the README's table cannot be right."""
    seconds = {day: int(re.fullmatch(r"(\d+) s", cells[4])[1]) for day, cells in rows.items()}
    return [
        f"day {day}: {took} s, but the lesson promises to take less than {promised[day]} s, and none takes {LEAST} s"
        for day, took in seconds.items()
        if not LEAST <= took < promised[day]
    ]


def test_seconds_keep_what_the_lessons_promise():
    assert unlikely(read_rows(README.read_text(encoding="utf-8")), promises()) == [], "run `make readme`"


@pytest.mark.parametrize("typed", ["42 s", "240 s", "2 s", "30 s"])
def test_seconds_typed_wrong_are_noticed(typed):
    row = ["1", "[How?](notebooks/day01_a.ipynb)", "a net", "12 min"]
    assert unlikely({1: [*row, "24 s"]}, {1: 30}) == []
    assert len(unlikely({1: [*row, typed]}, {1: 30})) == 1


@pytest.mark.parametrize(("measured", "told"), [(23.5, "24 s"), (23.4, "23 s"), (9.6, "10 s")])
def test_seconds_are_rounded_to_the_nearest(measured, told):
    assert f"| {told} |" in table([Lesson(DAYS[1])], {1: measured}, {1: ["1", "", "", "", "99 s"]})


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_days_that_are_spoken_of_exist(path):
    assert list(unknown_days(path.read_text(encoding="utf-8"), {*DAYS, *ANNOUNCED})) == []
