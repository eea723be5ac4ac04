"""The heading above an exercise says as many stars as its declaration, in the lesson and in the solution."""

from __future__ import annotations

import re

import nbformat
import pytest
from harness import FOLDERS, IDS, script_of

from nnlab_helpers.exercises.checking.declare import find
from nnlab_helpers.pairs.step import notebook_of


@pytest.mark.parametrize("kind", FOLDERS)
@pytest.mark.parametrize("exercise_id", IDS)
def test_stars_are_those_of_the_exercise(exercise_id: str, kind: str) -> None:
    cells = nbformat.read(notebook_of(script_of(exercise_id, kind)), 4).cells
    at = max(n for n, cell in enumerate(cells) if f'check("{exercise_id}"' in cell.source and cell.cell_type == "code")
    above = "\n".join(cell.source for cell in cells[:at] if cell.cell_type == "markdown")
    stars = re.findall(r"^##+ .* ([★☆]{3})$", above, re.MULTILINE)[-1]
    assert stars == "★" * find(exercise_id).stars + "☆" * (3 - find(exercise_id).stars)
