"""Every lesson and every solution follows the template."""

import lesson_rules as rules
import nbformat
import pytest
from lesson import NOTEBOOKS
from lesson_outputs import MOST_WIDE, too_wide

LESSONS = sorted(NOTEBOOKS.glob("day*.ipynb"))
SOLUTIONS = sorted(NOTEBOOKS.glob("solutions/day*.ipynb"))


def held(every):
    return [rule for rule in every if rule not in rules.NOT_YET]


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", held(rules.LESSON), ids=lambda rule: rule.__name__)
def test_a_lesson(path, rule):
    assert list(rule(nbformat.read(path, 4), path)) == []


@pytest.mark.parametrize("path", SOLUTIONS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", held(rules.SOLUTION), ids=lambda rule: rule.__name__)
def test_a_solution(path, rule):
    assert list(rule(nbformat.read(path, 4), path)) == []


@pytest.mark.skipif(rules.tolerances in rules.NOT_YET, reason="wide tolerances are not all mended yet")
def test_few_tolerances_are_wide():
    """Each says why; and all of them together are few, or nobody reads the reasons."""
    cells = [(path, *cell) for path in [*LESSONS, *SOLUTIONS] for cell in rules.code(nbformat.read(path, 4))]
    wide = [f"{path.stem}, cell {number}: {too_wide(cell)}" for path, number, cell in cells if too_wide(cell)]
    assert len(wide) <= MOST_WIDE, "\n".join(wide)


def test_every_lesson_has_its_solutions():
    assert [path.name for path in LESSONS] == [path.name for path in SOLUTIONS]
