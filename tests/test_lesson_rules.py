"""The rules for lessons can be broken: a lesson and a solution that keep them all, and one that breaks each."""

import copy

import lesson_rules as rules
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

OPENING = """# Day 2: does it hold?

*Reading: about 5 minutes. Running: under 30 seconds on two CPU cores.*

**By the end you can**

- see
- say
- do

[← Day 1: what?](day01_a.ipynb)
"""
IMAGE = new_output("display_data", data={"image/png": "iVBO", "text/plain": "<Figure size 640x480 with 1 Axes>"})
ENDING = """## Recap

- it held
- it was said
- it was done

## What to try next

- more
- less

## References

- A. Author (1998): that it holds
- B. Author (2021): that it held
"""
RIGHT = new_output("stream", text="✓ day02.one   right.\n✓ day02.two   right.\n✓ day02.three   right.\n")


def lesson():
    cells = [
        new_markdown_cell(OPENING),
        new_code_cell("import torch\n\nseed_everything(0)\nuse_style()"),
        new_markdown_cell("## First\n\nLook.\n\n> **Predict.** What?\n> And why?"),
        new_code_cell("assert held\nplt.plot([1])\nplt.show()", outputs=[IMAGE]),
        new_markdown_cell("**What happened.** It held. `hint(\"...\")` helps."),
    ]
    for name in ("one", "two", "three"):
        cells.append(new_markdown_cell(f"### Exercise: number {name} ★☆☆\n\nDo it."))
        cells.append(new_code_cell(f'def {name}():\n    ...\n\n\ncheck("day02.{name}", {name})'))
    cells += [
        new_markdown_cell("## Break it on purpose: a rate too high\n\n> **Predict.** And now?"),
        new_code_cell("assert held"),
        new_markdown_cell("**What happened.** It broke.\n\n> **Predict.** Once more?"),
        new_code_cell("torch.testing.assert_close(a, b)"),
        new_markdown_cell("**What happened.** It broke again."),
        new_markdown_cell(ENDING),
    ]
    return numbered(new_notebook(cells=cells))


def solution():
    return numbered(new_notebook(cells=[
        new_markdown_cell("# Day 2, solved: does it hold?\n\nOf [day 2](../day02_b.ipynb)."),
        new_code_cell("keep_record(False)"),
        new_code_cell("\n".join(f'check("day02.{name}", {name})' for name in ("one", "two", "three")), outputs=[RIGHT]),
    ]))  # fmt: skip


def numbered(notebook):
    for count, (_, cell) in enumerate(rules.code(notebook), start=1):
        cell.execution_count = count
    return notebook


@pytest.fixture
def lesson_path(tmp_path):
    nbformat.write(lesson(), tmp_path / "day02_b.ipynb")
    nbformat.write(new_notebook(), tmp_path / "day01_a.ipynb")
    (tmp_path / "solutions").mkdir()
    nbformat.write(solution(), tmp_path / "solutions" / "day02_b.ipynb")
    return tmp_path / "day02_b.ipynb"


@pytest.mark.parametrize("rule", rules.LESSON, ids=lambda rule: rule.__name__)
def test_a_good_lesson_breaks_no_rule(lesson_path, rule):
    assert list(rule(lesson(), lesson_path)) == []


@pytest.mark.parametrize("rule", rules.SOLUTION, ids=lambda rule: rule.__name__)
def test_a_good_solution_breaks_no_rule(lesson_path, rule):
    assert list(rule(solution(), lesson_path.parent / "solutions" / lesson_path.name)) == []


def sub(number, old, new):
    """Replace `old` in the source of a cell."""

    def change(notebook):
        assert old in notebook.cells[number].source
        notebook.cells[number].source = notebook.cells[number].source.replace(old, new)

    return change


def add(number, *outputs):
    return lambda notebook: notebook.cells[number].outputs.extend(outputs)


def meta(number, **metadata):
    return lambda notebook: notebook.cells[number].metadata.update(metadata)


def measured(notebook):
    sub(3, "assert held", 'assert held\nprint(f"{count:.1f}", f"{share:3.0f} %")')(notebook)
    meta(3, tolerance={"atol": 2.0})(notebook)


def printed(text, **metadata):
    """Let cell 3 print `text`, and give it the metadata."""

    def change(notebook):
        notebook.cells[3].outputs.append(new_output("stream", text=text))
        notebook.cells[3].metadata.update(metadata)

    return change


STDERR = new_output("stream", name="stderr", text="UserWarning: old")
ERROR = new_output("error", ename="ValueError", evalue="no", traceback=[])
AXES = new_output("execute_result", data={"text/plain": "[<matplotlib.lines.Line2D at 0x7f>]"})
LESSON_FAULTS = [
    ("opening", sub(0, "Day 2", "Day 3"), "# Day 2: ...?"),
    ("opening", sub(0, "hold?", "hold"), "# Day 2: ...?"),
    ("opening", sub(0, "Running", "Walking"), "Reading: about N"),
    ("opening", sub(0, "30 seconds", "60 seconds"), "under 60 seconds, not in under 30"),
    ("opening", sub(0, "- see\n", ""), "three or four aims"),
    ("opening", sub(0, "day01_a", "day01_other"), "no link to day01_a.ipynb"),
    ("first_code", sub(1, "seed_everything(0)", ""), "seed_everything("),
    ("shipped_sweeps", sub(1, "seed_everything(0)", "cache_folder('day02_width')"), "but the course ships []"),
    ("links", sub(2, "What?", "See [day 9](day09_x.ipynb)."), "day09_x.ipynb, which does not exist"),
    ("links", sub(4, "It held.", '<a href="day09_x.ipynb">so</a>'), "day09_x.ipynb, which does not exist"),
    ("links", sub(4, "It held.", "It held.\n\n[so]: day09_x.ipynb"), "day09_x.ipynb, which does not exist"),
    ("links", sub(4, "It held.", "See [day 2](day01_a.ipynb)."), "called 'day 2' leads to day 1"),
    ("anchors", sub(4, "It held.", "See [there](#Recaps)."), "a link to #Recaps, but no heading is called 'Recaps'"),
    ("anchors", sub(4, "It held.", "See [there](#recap)."), "no heading is called 'recap'"),
    ("anchors", sub(4, "It held.", "See [it](solutions/day02_b.ipynb#Day-2)."), "no heading is called 'Day 2'"),
    ("days", sub(4, "It held.", "It held, as on day 40."), "cell 4: 'day 40', but the course has no day 40"),
    ("days", sub(4, "It held.", "Days 1, 2 and 3 said so."), "no day 3"),
    ("days", sub(4, "It held.", "Days 1 to\n4 said so."), "no day 4"),
    ("days", sub(4, "It held.", "Day twenty-two says so."), "no day twenty-two"),
    ("days", sub(4, "It held.", "Week 2 says so."), "no week 2"),
    ("days", sub(4, "It held.", "The fourth week says so."), "no week fourth"),
    ("days", sub(3, "assert held", "assert held  # as on day 3"), "cell 3: 'day 3', but the course has no day 3"),
    ("days", sub(6, 'check("day02.one"', 'check("day03.one"'), "no day 03"),
    ("ending", sub(-1, "## Recap", "## Well"), "['Well', 'What to try next', 'References'], not ['Recap'"),
    ("ending", sub(-1, "## What to try next", "**What to try next**"), "the last headings are"),
    ("ending", sub(-1, "## References", "### References"), "the last headings are"),
    ("ending", sub(-1, "- it held\n", ""), "2 points in the recap, fewer than the 3 aims"),
    ("ending", sub(-1, "- less", ""), "fewer than two things to try next"),
    ("ending", sub(-1, "- A. Author (1998): that it holds\n- B. Author (2021): that it held", ""), "no references"),
    ("ending", sub(-1, "(2021)", ""), "a reference without a year: 'B. Author"),
    ("ending", sub(-1, "(2021)", "(2091)"), "a reference from the future: 'B. Author"),
    ("predictions", sub(2, "**Predict.**", "**Predict**"), "cell 2: a prediction that is not"),
    ("predictions", sub(2, "> **Predict.** What?\n> And", "**Predict.** What?\nAnd"), "a prediction that is not a"),
    ("predictions", sub(2, "Look.\n\n> **Predict.**", "Look. **Predict.**"), "cell 2: a prediction that is not"),
    ("predictions", sub(2, "And why?", "And why?\n\nThink."), "cell 2: the prediction is not the end of its cell"),
    ("predictions", sub(2, "> And why?", "### And why?"), "cell 2: the prediction is not the end of its cell"),
    ("predictions", sub(2, "**Predict.** What?", "What?"), "2 predictions, fewer than three"),
    ("predictions", lambda nb: nb.cells.insert(3, new_markdown_cell("Well ...")), "cell 2: no code follows"),
    ("predictions", lambda nb: nb.cells.__delitem__(slice(12, None)), "cell 11: no code follows"),
    ("predictions", sub(4, "**What happened.**", "So:"), "cell 2: the prediction is never answered"),
    ("predictions", sub(13, "**What happened.**", "So:"), "cell 11: the prediction is never answered"),
    ("predictions", sub(4, "**What", "## Second\n\n**What"), "cell 2: the prediction is never answered"),
    ("predictions", sub(4, "**What", "> **What"), "cell 4: a line that does not begin"),
    ("predictions", sub(4, "happened.**", "happened?**"), "cell 4: a line that does not begin"),
    ("predictions", sub(3, "assert held", "1"), "cell 2: no assert holds what happened"),
    ("predictions", sub(14, "torch.testing.assert_close(a, b)", "3"), "cell 13: no assert holds what happened"),
    ("breakage", sub(11, "## Break it on purpose: a", "## A"), "no experiment that fails"),
    ("breakage", sub(11, "## Break it on purpose", "### Break it on purpose"), "no experiment that fails"),
    ("breakage", sub(11, "Break it on purpose", "Break it"), "is not \"Break it on purpose"),
    ("breakage", sub(11, ": a rate too high", ""), "'Break it on purpose' is not"),
    ("breakage", lambda nb: nb.cells.__delitem__(slice(13, 16)), "is not explained"),
    ("breakage", sub(11, "And now?", "And now?\n\n**What happened.** It broke.\n\n## Then"), "is not explained"),
    ("exercises", lambda nb: nb.cells.__delitem__(slice(5, 7)), "2 exercises, fewer than three"),
    ("exercises", lambda nb: nb.cells.__setitem__(slice(2, 2), nb.cells[2:3] * 20), "wait at the end"),
    ("exercises", sub(5, "★☆☆", "★"), "cell 6: no"),
    ("exercises", sub(6, 'check("day02.one"', 'check("day01.one"'), "cell 6 ends in"),
    ("exercises", sub(6, ", one)", ", two)"), "cell 6 ends in"),
    ("exercises", sub(4, "hint", "help"), "not mentioned by the first exercise"),
    ("exercises", lambda nb: nb.cells.append(nb.cells.pop(4)), "not mentioned by the first exercise"),
    ("exercises", sub(4, "It held.", 'It held: `hint("day02.four")`.'), "day02.four is spoken of, but"),
    ("exercises", sub(4, "It held.", 'It held: `hint("day01.four")`.'), "day01.four is spoken of, but"),
    ("oracles", sub(3, "assert held", "1"), "2 asserts"),
    ("oracles", sub(14, "assert_close", "close"), "2 asserts"),
    ("oracles", sub(3, "assert held", "assert held\nassert True, 'so'"), "cell 3: an assert that cannot fail: True"),
    ("oracles", sub(3, "assert held", "assert held\nassert (a > b, 'so')"), "cannot fail: (a > b, 'so')"),
    ("oracles", sub(3, "assert held", "assert held\nassert a.b == a.b"), "an assert that cannot fail: a.b == a.b"),
    ("oracles", sub(3, "assert held", "assert held\nassert held or 1"), "an assert that cannot fail: held or 1"),
    ("cell_lengths", sub(3, "assert held", "1\n" * 25), "27 lines"),
    ("cell_lengths", sub(3, "assert held", "1  # " + "long" * 30), "125 characters"),
    ("measured_numbers", sub(4, "It held.", "It reached 97.8 % in the end."), "'reached 97.8 %'"),
    ("measured_numbers", sub(4, "It held.", "The loss is about 0.3."), "'loss is about 0.3'"),
    ("varying_numbers", measured, "a tolerance, and yet {share:3.0f}"),
    ("tolerances", printed("count: 3", tolerance={"rtol": 0.1}), "no decimal that it could apply to"),
    ("tolerances", printed("ratio: 0.31", tolerance={"rtol": 10}), 'rtol 10 is above 0.25, and no "why"'),
    ("tolerances", printed("right: 97.1 %", tolerance={"atol": 5}), 'atol 5 is above 4, and no "why"'),
    ("tolerances", printed("right: 97.1", tolerance={"atol": 5}), "atol 5 is above 4"),
    ("tolerances", printed("right: 0.971", tolerance={"atol": 0.05}), "atol 0.05 is above 0.04"),
    ("tolerances", printed("0.9", tolerance={"atol": 1, "rtol": 1}, why=" "), "rtol 1 is above 0.25, atol 1 is above"),
    ("alt_texts", sub(4, "It held.", "![](a.png)"), "without alternative text"),
    ("alt_texts", sub(4, "It held.", '<img src="a.png">'), "without alternative text"),
    ("heading_levels", sub(2, "## First", "# First"), "not exactly one heading"),
    ("heading_levels", sub(2, "## First", "#### First"), "skips a level"),
    ("executed", lambda nb: nb.cells[3].update(execution_count=None), "never executed"),
    ("executed", lambda nb: nb.cells[3].update(execution_count=50), "not executed from top to bottom"),
    ("executed", add(3, ERROR), "stores an error, ValueError: no"),
    ("executed", add(3, STDERR), "UserWarning: old"),
    ("figures", sub(3, "\nplt.show()", ""), "without plt.show()"),
    ("figures", add(3, AXES), "<matplotlib"),
    ("figures", add(3, *[IMAGE] * 20), "21 figures"),
    ("markers", meta(3, tags=["nbval-skip"]), "does not say why"),
    ("markers", sub(3, "assert held", "# NBVAL_IGNORE_OUTPUT\nassert held"), "does not say why"),
    ("markers", sub(3, "assert held", "#NBVAL_SKIP\nassert held"), "does not say why"),
    ("markers", meta(3, tolerance=0.1), "tolerance"),
    ("markers", lambda nb: [c.metadata.update(tags=["nbval-skip"], why="x") for _, c in rules.code(nb)], "7 cells"),
]
SOLUTION_FAULTS = [
    ("solution_opening", sub(0, "Day 2", "Day 3"), "# Day 2 ..."),
    ("solution_opening", sub(0, "../day02", "day02"), "no link back"),
    ("solution_opening", sub(1, "keep_record(False)", "pass"), "keep_record"),
    ("solved", sub(2, "day02.two", "day02.other"), "day02.other does not show ✓"),
    ("solved", sub(2, "check", "# check"), "fewer than three"),
]


def check_fault(rule, path, notebook, fault, told):
    broken = copy.deepcopy(notebook)
    fault(broken)
    found = "\n".join(getattr(rules, rule)(broken, path))
    assert found
    assert told in found


@pytest.mark.parametrize(("rule", "fault", "told"), LESSON_FAULTS)
def test_a_broken_rule_is_told(lesson_path, rule, fault, told):
    check_fault(rule, lesson_path, lesson(), fault, told)


@pytest.mark.parametrize(("rule", "fault", "told"), SOLUTION_FAULTS)
def test_a_broken_rule_is_told_of_a_solution(lesson_path, rule, fault, told):
    check_fault(rule, lesson_path.parent / "solutions" / lesson_path.name, solution(), fault, told)


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("anchors", sub(4, "It held.", "See [it](#Exercise:-number-one-★☆☆) and [it](#First).")),
        ("anchors", sub(4, "It held.", "See [it](#Exercise:-number-one-%E2%98%85%E2%98%86%E2%98%86).")),
        ("anchors", sub(4, "It held.", "See [it](solutions/day02_b.ipynb#Day-2,-solved:-does-it-hold?).")),
        ("links", sub(4, "It held.", "See [it](https://example.org/day99_x) and [day 1](day01_a.ipynb#First).")),
        ("days", sub(4, "It held.", "On days 1 and 2 of week 1, 30 days a month, some day 1,000 things hold.")),
        ("tolerances", printed("ratio: 0.31", tolerance={"rtol": 10}, why="of rounding errors")),
        ("tolerances", printed("right: 97.1 %", tolerance={"atol": 4, "rtol": 0.25})),
    ],
)
def test_what_is_allowed_is_not_told(lesson_path, rule, change):
    allowed = lesson()
    change(allowed)
    assert list(getattr(rules, rule)(allowed, lesson_path)) == []


def test_a_day_to_come_can_be_announced(lesson_path, monkeypatch):
    told = lesson()
    sub(4, "It held.", "Day 3 goes on.")(told)
    assert list(rules.days(told, lesson_path))
    monkeypatch.setattr("lesson_prose.ANNOUNCED", {3})
    assert list(rules.days(told, lesson_path)) == []


def test_a_lesson_too_large_is_told(lesson_path):
    lesson_path.write_text(" " * 3_100_000)
    assert list(rules.size(lesson(), lesson_path)) == ["3.1 MB, more than 3 MB"]


def test_no_rule_goes_untested():
    assert {rule.__name__ for rule in rules.LESSON} == {rule for rule, _, _ in LESSON_FAULTS} | {"size"}
    assert {rule.__name__ for rule in rules.SOLUTION} - {rule.__name__ for rule in rules.BOTH} == {
        rule for rule, _, _ in SOLUTION_FAULTS
    }
