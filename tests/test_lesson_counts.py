"""A lesson keeps its asserts, figures, exercises, predictions and compared cells, unless it is meant to lose them."""

import copy

import lesson_counts
import nbformat
import pytest
from lesson_counts import changes, counts, read, whole_course, written
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

IMAGE = new_output("display_data", data={"image/png": "iVBO"})
LESSON = new_notebook(
    cells=[
        new_markdown_cell("# Day 1\n\n[a](b.ipynb)\n\n> **Predict.** What?"),
        new_code_cell(
            "x = 1\nassert x\nassert x\ntorch.testing.assert_close(x, x)\nassert_close(x, 1)", outputs=[IMAGE]
        ),
        new_code_cell("print(1)", outputs=[new_output("stream", text="1")]),
        new_code_cell('check("day01.a", a)'),
        new_markdown_cell("## References\n\n- A (1998)\n- B (2021)"),
    ]
)
COUNTS = {
    "code": 3, "compared": 2, "asserts": 4, "figures": 1, "exercises": 1, "predictions": 1, "headings": 2, "links": 1,
    "references": 2,
}  # fmt: skip


def test_nothing_went_missing():
    told = changes(read(lesson_counts.STORED.read_text(encoding="utf-8")), whole_course())
    assert not told, "\n".join([*told, f"If that is meant, write the list anew: {lesson_counts.UPDATE}"])


def test_everything_is_counted():
    assert counts(LESSON) == COUNTS


@pytest.mark.parametrize(
    ("cell", "old", "new", "lost"),
    [
        (1, "assert x\nassert", "assert", ["asserts"]),
        (1, "assert_close(x, 1)", "", ["asserts"]),
        (3, "check", "# check", ["exercises"]),
        (0, "> **Predict.** What?", "", ["predictions"]),
        (0, "[a](b.ipynb)", "a", ["links"]),
        (4, "- B (2021)", "", ["references"]),
        (4, "## References", "References", ["headings", "references"]),
    ],
)
def test_what_is_taken_out_is_noticed(cell, old, new, lost):
    changed = copy.deepcopy(LESSON)
    changed.cells[cell].source = changed.cells[cell].source.replace(old, new, 1)
    (told,) = changes({"day01_a": COUNTS}, {"day01_a": counts(changed)})
    assert [one.split()[-1] for one in told.split(", ")] == lost


def test_a_lost_figure_and_a_cell_no_longer_compared_are_noticed():
    changed = copy.deepcopy(LESSON)
    changed.cells[1].outputs.clear()
    changed.cells[2].metadata["tags"] = ["nbval-ignore-output"]
    told = changes({"day01_a": COUNTS}, {"day01_a": counts(changed)})
    assert told == ["day01_a: 2 -> 0 compared, 1 -> 0 figures"]


@pytest.mark.parametrize("mark", ["# NBVAL_IGNORE_OUTPUT", "  #NBVAL_SKIP", "# PYTEST_VALIDATE_IGNORE_OUTPUT"])
def test_a_cell_no_longer_compared_by_a_comment_is_noticed(mark):
    changed = copy.deepcopy(LESSON)
    changed.cells[2].source = f"y = 1\n{mark}\n" + changed.cells[2].source
    assert changes({"day01_a": COUNTS}, {"day01_a": counts(changed)}) == ["day01_a: 2 -> 1 compared"]


def test_a_lesson_that_comes_or_goes_is_noticed():
    assert changes({"day01_a": COUNTS}, {"day02_a": COUNTS}) == ["day01_a: is gone", "day02_a: is not in the list"]


def test_the_list_is_read_as_it_was_written(tmp_path):
    (tmp_path / "solutions").mkdir()
    for name in ("day01_a", "solutions/day01_a"):
        nbformat.write(LESSON, tmp_path / f"{name}.ipynb")
    course = whole_course(tmp_path)
    assert course == read(written(course)) == {"day01_a": COUNTS, "solutions/day01_a": COUNTS}
