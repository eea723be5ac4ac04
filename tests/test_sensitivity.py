"""A number in a lesson that is twice as large as it was, or lost, is noticed by the regression nearly always."""

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nbval_tolerance import Tolerance, numbers_in
from sensitivity import SLIPS, Unnoticed, compared_texts, passes, share, table, unnoticed, whole_course

# Of the compared decimals, the share that could double unnoticed.
MOST_DOUBLED = 0.05


def test_few_numbers_may_double():
    cells = whole_course()
    assert sum(cell.decimals for cell in cells) > 1000
    assert share(cells) < MOST_DOUBLED, f"of all compared decimals {share(cells):.1%} could double\n{table(cells)}"


@pytest.mark.parametrize(
    ("text", "tolerance", "slipping"),
    [
        ("0.32", {}, []),
        ("0.32", {"rtol": 0.5}, ["doubled", "halved"]),
        ("0.32", {"rtol": 0.49}, []),
        ("0.32", {"rtol": 1}, ["doubled", "halved", "zero"]),
        ("0.32", {"atol": 0.2, "rtol": 0}, ["halved"]),
        ("-0.3", {"atol": 0.3, "rtol": 0}, ["doubled", "halved", "zero"]),
        ("[1., 2.]", {}, []),
        ("[1., 2.]", {"atol": 1.0, "rtol": 0}, ["doubled", "halved", "zero"]),
        ("3.1e-02", {"rtol": 0.6}, ["doubled", "halved"]),
        ("1,234.5", {"rtol": 0.6}, ["doubled", "halved"]),
    ],
)
def test_a_slip_passes_within_tolerance(text, tolerance, slipping):
    number = numbers_in(text)[0]
    found = [name for name, slip in SLIPS.items() if passes(number, Tolerance.of({"tolerance": tolerance}), slip)]
    assert found == slipping


def cell(text, **metadata):
    return new_code_cell("x", outputs=[new_output("stream", text=text)], metadata=metadata)


def test_what_is_compared_is_counted():
    outputs = [
        new_output("stream", name="stderr", text="0.1"),
        new_output("display_data", data={"image/png": "0.2", "text/plain": "0.3"}),
        new_output("execute_result", data={"text/html": '<td style="width: 0.4px">0.5</td>'}),
    ]
    assert [*compared_texts(new_code_cell("x", outputs=outputs))] == ["0.3", "<td>0.5</td>"]
    assert [*compared_texts(cell("0.6", tags=["nbval-ignore-output"]))] == []


def test_shares_are_of_decimals_that_are_compared():
    notebook = new_notebook(
        cells=[new_markdown_cell("0.1"), cell("3 of 0.0, nan, 0.32", tolerance={"rtol": 0.5}), cell("2.5")]
    )
    found = list(unnoticed(notebook, "day01_a"))
    assert found == [
        Unnoticed("day01_a", 1, 1, {"doubled": 1, "halved": 1, "zero": 0}, "rtol 0.5", ("0.32",)),
        Unnoticed("day01_a", 2, 1, {"doubled": 0, "halved": 0, "zero": 0}, "default", ()),
    ]
    assert share(found) == 0.5
    assert share(found, "zero") == 0
    assert "day01_a, cell 1" in table(found)
    assert "day01_a, cell 2" not in table(found)
