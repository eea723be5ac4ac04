"""The tolerance plugin: what it must accept, what it must refuse, and what it says."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from nbval_tolerance import Tolerance, compare, numbers_in

TENSOR = "tensor([[ 0.1234, -0.5000],\n        [ 1.0000,  2.2500]], device='cpu')"
TABLE = "<table border=\"1\">\n <tr><th>0</th><td>{}</td><td>relu</td></tr>\n</table>"

ACCEPTED = {
    "the same": ("loss 0.5 after 3 epochs", "loss 0.5 after 3 epochs"),
    "last digits": ("val loss 0.41234", "val loss 0.41239"),
    "within one per cent": ("97.84 % right", "97.10 % right"),
    "one unit of the last place": ("0.12", "0.13"),
    "across a power of ten": ("0.998", "1.002"),
    "a whole number at the end of a sentence": ("seen 1000. 0.50 left", "seen 1000. 0.51 left"),
    "numbers in a list without blanks": ("[1,234.50]", "[1,235.50]"),
    "a sign of zero": ("-0.0000", "0.0000"),
    "thousands and decimals": ("1,234.5 images/s", "1,240.1 images/s"),
    "a unit close by": ("took 1.512s, 20.31GB", "took 1.514s, 20.35GB"),
    "a per cent sign close by": ("12.51%", "12.55%"),
    "an exponent": ("1.234e+05", "1.236e+05"),
    "a real minus sign": ("−1.500", "−1.501"),
    "a tensor padded otherwise": (TENSOR, TENSOR.replace("-0.5000", "-0.49991").replace(" 2.2500", "  2.2500")),
    "a column lost its sign": ("tensor([-0.0001,  0.5000])", "tensor([0.0000, 0.5000])"),
    "a small entry among larger ones": ("[0.5321 0.0003]", "[0.5321 0.0004]"),
    "a column won a digit": ("a   9.999\nb   1.000", "a  10.001\nb   1.000"),
    "bare points": ("tensor([1., 2.])", "tensor([1.0000, 1.9999])"),
    "bare points of NumPy": ("[1. 2.]", "[0.9999 2.    ]"),
    "an array wrapped elsewhere": ("[[-0.10001  0.2\n   0.3]]", "[[-0.1  0.2  0.3]]"),
    "a rule under a wider table": ("x\n-----\n9.99", "x\n------\n10.00"),
    "a table's cell": (TABLE.format("0.9712"), TABLE.format("0.9705")),
    "named numbers": ("[nan, inf, -inf, 0.50]", "[nan, inf, -inf, 0.50]"),
    "padding around nan": ("[   nan, 0.1000]", "[ nan, 0.10]"),
    "a range": ("0.50-0.70", "0.50-0.70"),
    "huge exponents": ("1e400 of 0.50", "1e400 of 0.51"),
    "huge whole numbers": (f"{10**400}", f"{10**400} ".strip()),
}  # fmt: skip

REFUSED = {
    "another word": ("accuracy 0.5", "precision 0.5", "words"),
    "a line more": ("0.5", "0.5\n0.5", "words"),
    "a number more": ("0.5", "0.5 0.5", "words"),
    "a number less": ("[1, 2, 3]", "[1, 2]", "words"),
    "a count": ("9781 right", "9782 right", "whole numbers match exactly"),
    "a count with separators": ("60,000", "60,001", "whole numbers match exactly"),
    "a shape": ("torch.Size([64, 10])", "torch.Size([64, 11])", "whole"),
    "a size within a word": ("640x480", "641x480", "words"),
    "a whole number turned decimal": ("10", "10.0", "one is whole"),
    "beyond one per cent": ("loss 0.500", "loss 0.510", "off by 0.01 (2.00%), allowed 0.0051"),
    "the first of two": ("0.9 then 0.5", "0.5 then 0.9", "number 1 of 2"),
    "twice the rate": ("learning rate 0.001", "learning rate 0.002", "off by 0.001"),
    "one digit is too few for a unit": ("rate 0.1", "rate 0.2", "off by 0.1"),
    "fewer places": ("0.501", "0.6", "off by 0.099"),
    "rates in a list": ("[0.001, 0.002]", "[0.001, 0.003]", "number 2 of 2"),
    "a small rate": ("1e-04", "2e-04", "off by"),
    "a rate in exponents": ("lr 1e-06", "lr 9e-06", "off by 8e-06"),
    "noise of float32": ("largest error 3e-07", "largest error 1.2e-06", "off by"),
    "noise and zero": ("error 0.0", "error 4.77e-07", "off by"),
    "a count before a full stop": ("seen 1000.\n7 left", "seen 1001.\n7 left", "whole numbers match exactly"),
    "a count at the end of a sentence": ("seen 1000. 7 left", "seen 1001. 7 left", "whole numbers match exactly"),
    "a count in parentheses": ("(of 1000.)", "(of 1001.)", "whole numbers match exactly"),
    "a count after an array": ("[1. 2.] of 1000. 7 left", "[1. 2.] of 1001. 7 left", "whole numbers match exactly"),
    "the second in a list without blanks": ("[1,234.5]", "[1,239.5]", "number 2 of 2"),
    "the last in a list without blanks": ("[12,1,234]", "[12,1,235]", "whole"),
    "line ends": ("a\r\nb 1.0\r\n", "a\nb 1.0\n", r"+'a\n'"),
    "a sign": ("-0.5", "0.5", "off by 1"),
    "nan": ("loss 0.500", "loss nan", "stored 0.500, fresh nan"),
    "nan for inf": ("nan", "inf", "stored nan, fresh inf"),
    "the sign of infinity": ("-inf", "inf", "stored -inf"),
    "a device": (TENSOR, TENSOR.replace("cpu", "cuda:0"), "words"),
    "a version": ("torch 2.15.0", "torch 2.15.1", "words"),
    "a version with two places": ("v1.25", "v1.26", "words"),
    "an id": ("id a1.25f", "id a1.26f", "words"),
    "a name with a number": ("conv1.weight 0.5", "conv2.weight 0.5", "words"),
    "a layer": ("layers.0.weight", "layers.1.weight", "words"),
    "a unit": ("1.5 s", "1.5 h", "words"),
    "a unit close by": ("1.5s", "1.5h", "words"),
    "a table's row": (TABLE.format("0.5"), TABLE.format("0.5").replace("relu", "gelu"), "words"),
    "a table's row number": (TABLE.format("0.5"), TABLE.format("0.5").replace(">0<", ">1<"), "whole"),
    "blanks where no number changed its width": ("a  b 0.50", "a b 0.51", "words"),
    "a line break where no number changed its width": ("0.50\n0.50", "0.50 0.51", "words"),
    "True for False": ("True 0.5", "False 0.5", "words"),
}  # fmt: skip


@pytest.mark.parametrize(("stored", "fresh"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(stored, fresh):
    assert compare(stored, fresh) is None
    assert compare(fresh, stored) is None


@pytest.mark.parametrize(("stored", "fresh", "told"), REFUSED.values(), ids=REFUSED)
def test_refused(stored, fresh, told):
    assert told in compare(stored, fresh)
    assert compare(fresh, stored) is not None


@pytest.mark.parametrize(
    ("text", "found"),
    {
        "3 of 4, 12.5%, 1.5s, 60,000": ["3", "4", "12.5", "1.5", "60,000"],
        "-1.5e-05 and +2, a-3, 4-5, x=-6": ["-1.5e-05", "+2", "3", "4", "5", "-6"],
        "torch 2.15.0+cpu, day03, conv2d, 0x7f3a, f1.5, 1_000": [],
        "[nan, -inf] nano information": ["nan", "-inf"],
        "It was 5. Then .5.": ["5", ".5"],
        "1,2,3 and (1, 2)": ["1", "2", "3", "1", "2"],
        "[1,234] [12,1,234,5] (1,234) 1,234, 1,234]": ["1", "234", "12", "1", "234", "5", "1,234", "1,234", "1", "234"],
        "1000. [1. 2.] tensor(-3.) of 4.": ["1000", "1.", "2.", "-3.", "4"],
    }.items(),
)
def test_numbers_are_found(text, found):
    assert [number.text for number in numbers_in(text)] == found


def test_a_cell_sets_its_own_tolerance():
    assert compare("loss 0.50", "loss 0.58", Tolerance.of({"tolerance": {"rtol": 0.2}})) is None
    assert compare("loss 0.50", "loss 0.80", Tolerance.of({"tolerance": {"rtol": 0.2}}))
    assert compare("0.010", "0.013", Tolerance.of({"tolerance": {"atol": 0.005}})) is None
    assert compare("0.12", "0.13", Tolerance.of({"tolerance": {"rtol": 0, "atol": 0}})), "no unit of the last place"
    assert compare("error 3e-07", "error 0.0", Tolerance.of({"tolerance": {"atol": 1e-5}})) is None
    assert compare("5 errors", "6 errors", Tolerance.of({"tolerance": {"rtol": 0.5}})), "whole numbers stay exact"
    assert Tolerance.of({}) == Tolerance()


@pytest.mark.parametrize("wrong", [0.1, {"rtoll": 0.1}, {"rtol": -1}, {"rtol": "0.1"}, {"atol": True}])
def test_a_tolerance_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="tolerance"):
        Tolerance.of({"tolerance": wrong})


def test_a_failure_names_the_numbers_their_lines_and_the_limit():
    told = compare("epoch 1\nloss 0.500, 7 left", "epoch 1\nloss 0.600, 8 left", Tolerance(rtol=0.05))
    assert told == (
        "number 2 of 3: stored 0.500, fresh 0.600: off by 0.1 (20.00%), allowed 0.03"
        " (rtol 0.05, atol a unit in the last place)\n"
        "    stored: loss 0.500, 7 left\n"
        "    fresh : loss 0.600, 8 left\n"
        "number 3 of 3: stored 7, fresh 8: whole numbers match exactly\n"
        "    stored: loss 0.500, 7 left\n"
        "    fresh : loss 0.600, 8 left"
    )


# In nbval: one notebook, a cell for each case ----------------------------------------------------------------------


def code(source, printed=None, *, outputs=None, count=1, **metadata):
    outputs = outputs or ([new_output("stream", name="stdout", text=printed)] if printed else [])
    return new_code_cell(source, execution_count=count, outputs=outputs, metadata=metadata)


def image(number=1):
    return [new_output("display_data", data={"image/png": "iVBO", "text/plain": "<figure>"}) for _ in range(number)]


DRAW = "from IPython.display import display\ndisplay({'image/png': 'aaaa', 'text/plain': '<figure>'}, raw=True)"
STYLED = '<style scoped>td { color: red }</style><td style="color: red">0.501</td>'
FRAME = "display({'text/html': '<td>%s</td>', 'text/plain': '%s'}, raw=True)"
DIVIDED = [new_output("error", ename="ZeroDivisionError", evalue="division by zero", traceback=[])]
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
CELLS = {
    "a number that moved a little": (code("print(0.5003)", "0.5\n"), PASSED, ""),
    "a number that moved too far": (code("print(0.6)", "0.5\n"), FAILED, "stored 0.5, fresh 0.6: off by 0.1"),
    "one within the cell's own": (code("print(0.6)", "0.5\n", tolerance={"rtol": 0.2}), PASSED, ""),
    "one beyond the cell's own": (code("print(0.7)", "0.5\n", tolerance={"rtol": 0.2}), FAILED, "rtol 0.2"),
    "a tolerance misspelt": (code("print(0.5)", "0.5\n", tolerance={"rel": 0.2}), FAILED, "not like"),
    "never executed": (code("x = 1", count=None), FAILED, "never executed"),
    "nothing to execute": (code("", count=None), PASSED, ""),
    "an error": (code("1 / 0"), FAILED, "ZeroDivisionError"),
    "an error less": (code("x = 1", **{"tags": ["raises-exception"]}), FAILED, "did not"),
    "the expected error": (code("1 / 0", outputs=DIVIDED, tags=["raises-exception"]), PASSED, ""),
    "an error with another text": (
        code("raise ZeroDivisionError('by nothing')", outputs=DIVIDED, tags=["raises-exception"]), FAILED, "by nothing",
    ),
    "an error of another kind": (
        code("raise ValueError('division by zero')", outputs=DIVIDED, tags=["raises-exception"]), FAILED, "ValueError",
    ),
    "a new warning": (code("import warnings; warnings.warn('new')"), FAILED, "UserWarning: new"),
    "a stored warning": (
        code("x = 2", outputs=[new_output("stream", name="stderr", text="old warning")]), FAILED, "old warning",
    ),
    "two streams": (code("print(1, flush=True); print(2)", "1\n2\n"), PASSED, ""),
    "an output more": (code("print(1)"), FAILED, "stdout: 0 stored, 1 fresh"),
    "an output less": (code("x = 3", "3\n"), FAILED, "stdout: 1 stored, 0 fresh"),
    "an image": (code(DRAW, outputs=image()), PASSED, ""),
    "an image less": (code(DRAW, outputs=image(2)), FAILED, "image/png: 2 stored, 1 fresh"),
    "a table": (
        code(FRAME % (0.5, 0.5), outputs=[
            new_output("display_data", data={"text/html": STYLED, "text/plain": "0.501"})]), PASSED, "",
    ),
    "another table": (
        code(FRAME % (0.6, 0.5), outputs=[
            new_output("display_data", data={"text/html": "<td>0.501</td>", "text/plain": "0.501"})]),
        FAILED, "text/html: number 1 of 1",
    ),
    "not compared, with a reason": (
        code("print(1)", "2\n", tags=["nbval-ignore-output"], why="timings differ"), PASSED, "",
    ),
    "not compared, by a comment": (code("# NBVAL_IGNORE_OUTPUT\nprint(1)", "2\n", why="so it is"), PASSED, ""),
    "not compared, without a reason": (
        code("print(1)", "2\n", tags=["nbval-ignore-output"]), FAILED, "does not say why",
    ),
    "not compared, with a warning": (
        code("import warnings; warnings.warn('hidden')", tags=["nbval-ignore-output"], why="x"), FAILED, "hidden",
    ),
    "skipped, with a reason": (code("1 / 0", tags=["nbval-skip"], why="needs a network"), SKIPPED, ""),
    "skipped, without a reason": (code("x = 4", tags=["nbval-skip"]), FAILED, "does not say why"),
    "skipped, by a comment": (code("# NBVAL_SKIP\nx = 4"), FAILED, "does not say why"),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, request):
    """What became of each cell of a notebook that holds all CELLS, and what pytest printed; one kernel for all."""
    folder = tmp_path_factory.mktemp("nbval")
    nbformat.write(new_notebook(cells=[cell for cell, _, _ in CELLS.values()]), folder / "cells.ipynb")
    options = "-p nbval_tolerance --nbval --nbval-current-env --color=no -c /dev/null --rootdir . -p no:cacheprovider"
    command = [sys.executable, "-m", "pytest", *options.split(), "--junitxml=out.xml", "cells.ipynb"]
    plugins = str(request.config.rootpath / "tests" / "plugins")
    run = subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": plugins}, capture_output=True, text=True, check=False
    )
    found = []
    for case in ElementTree.parse(folder / "out.xml").iter("testcase"):
        kinds = {child.tag: child.text or "" for child in case if child.tag in ("failure", "error", "skipped")}
        kind = "failed" if kinds.keys() & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found.append((kind, "\n".join(kinds.values())))
    assert len(found) == len(CELLS), run.stdout + run.stderr
    return dict(zip(CELLS, found, strict=True)), run.stdout


@pytest.mark.parametrize("case", CELLS)
def test_a_cell(outcome, case):
    _, expected, told = CELLS[case]
    kind, text = outcome[0][case]
    assert kind == expected, text
    assert told in text


def test_the_summary_lists_what_was_not_compared(outcome):
    summary = outcome[1].partition("cells not compared")[2].splitlines()[1:]
    expected = {
        "not compared, with a reason": "(not compared): timings differ",
        "not compared, by a comment": "(not compared): so it is",
        "not compared, without a reason": "(not compared): no reason given",
        "not compared, with a warning": "(not compared): x",
        "skipped, with a reason": "(skipped): needs a network",
        "skipped, without a reason": "(skipped): no reason given",
        "skipped, by a comment": "(skipped): no reason given",
    }
    listed = {line for line in summary if line.startswith("cells.ipynb::")}
    assert listed == {f"cells.ipynb::Cell {list(CELLS).index(name)} {told}" for name, told in expected.items()}
