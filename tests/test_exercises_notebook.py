"""Checks as a learner meets them: in a kernel, one rich output to each, with the right lines of the cell."""

from __future__ import annotations

import html
import re

import nbformat
import pytest
from nbclient import NotebookClient

DECLARE = """
import os
os.environ["NNLAB_PROGRESS"] = {path!r}
import torch
from torch import nn
from nnlab_helpers.exercises import check, hint, keep_record, progress
from nnlab_helpers.exercises.checking import exercise
import nnlab_helpers.exercises.checking.declare as declare
import nnlab_helpers.exercises.checking.grade as engine
engine.TIME_LIMIT = 0.3

@exercise("day90.double", title="Double", stars=1, hints=("first & last", "use `*`"), learned="Twice as much.")
def _(answer, t):
    t.expect(t.call(answer, torch.tensor([3.0])), torch.tensor([6.0]))

@exercise("day90.net", title="Net", stars=2, hints=("first", "second"), learned="A net.")
def _(answer, t):
    t.expect(t.call(t.call(answer), t.randn(3, 2)), torch.zeros(3, 1))
"""

CELLS = {
    "stub": "def double(x):\n    ...\ncheck('day90.double', double)",
    "right": "def double(x):\n    return 2 * x\ncheck('day90.double', double)",
    "two": "check('day90.double', None)\ncheck('day90.double', double)",
    "error": "def double(x):\n    y = x * 2\n    return y <= undefined\ncheck('day90.double', double)",
    "prints": "def double(x):\n    print('<b>shape</b>', x.shape)\n    display('shown')\n    return x\n"
    "check('day90.double', double)",
    "endless": "def double(x):\n    while True:\n        try:\n            x = x + 1\n        except:\n"
    "            pass\n"
    "check('day90.double', double)",
    "class stub": "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        ...\n"
    "    def forward(self, x):\n        ...\ncheck('day90.net', Net)",
    "class": "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    "        self.layer = nn.Linear(3, 1)\n    def forward(self, x):\n        return self.layer(x)\n"
    "check('day90.net', Net)",
    "hint": "hint('day90.double')",
    "progress": "declare.exercises = lambda: list(declare.REGISTRY.values())\nprogress()",
    "figure": "import matplotlib.pyplot as plt\ndef double(x):\n    plt.plot([1, 2])\n    plt.show()\n"
    "    return 2 * x\n"
    "check('day90.double', double)",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory) -> dict[str, list]:
    """The outputs of each cell."""
    path = str(tmp_path_factory.mktemp("record") / "progress.json")
    sources = [DECLARE.format(path=path), *CELLS.values()]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return {name: cell.outputs for name, cell in zip(CELLS, notebook.cells[1:], strict=True)}


def text(outputs: list) -> str:
    assert [output.output_type for output in outputs] == ["display_data"]
    return outputs[0].data["text/plain"]


def page(outputs: list) -> str:
    return outputs[0].data["text/html"]


INDENT = " " * len("✗ day90.double   ")


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("stub", '○ day90.double   not attempted yet   hint("day90.double") gives the first of 2 hints'),
        ("right", "✓ day90.double   right. Twice as much."),
        (
            "error",
            "✗ day90.double   NameError: name 'undefined' is not defined\n"
            f"{INDENT}in line 3 of your code: `return y <= undefined`\n{INDENT}called with x = [3.0]",
        ),
        (
            "prints",
            f"✗ day90.double   at x = [3.0] expected [6.0], got [3.0]\n{INDENT}That is half of what was expected.\n"
            f"{INDENT}Your code printed:\n{INDENT}  <b>shape</b> torch.Size([1])",
        ),
        ("class stub", '○ day90.net   not attempted yet   hint("day90.net") gives the first of 2 hints'),
        ("hint", f"→ day90.double   hint 1 of 2\n{INDENT}first & last"),
        ("figure", "✓ day90.double   right. Twice as much."),
    ],
)
def test_one_plain_text_for_each_check(outputs, cell: str, expected: str) -> None:
    assert text(outputs[cell]) == expected


def test_two_checks_in_one_cell_are_both_shown(outputs) -> None:
    assert [output.output_type for output in outputs["two"]] == ["display_data"] * 2


def test_an_endless_loop_in_a_kernel_is_stopped(outputs) -> None:
    assert "stopped after 0.3 seconds" in text(outputs["endless"])
    assert "in line " in text(outputs["endless"])


def test_an_error_in_a_class_is_told_at_its_line(outputs) -> None:
    assert "mat1 and mat2 shapes cannot be multiplied" in text(outputs["class"])
    lines = [line.strip() for line in text(outputs["class"]).splitlines()]
    assert lines[0].startswith("✗ day90.net   RuntimeError: ")
    assert lines[1:] == ["in line 6 of your code: `return self.layer(x)`", "called with x of shape [3, 2]"]


def test_the_rich_form_says_the_same(outputs) -> None:
    for name, shown in outputs.items():
        if name in ("two", "progress"):
            continue
        told = html.unescape(re.sub("<[^>]+>", "", page(shown).replace("<div", "\n<div")))
        assert told.split() == text(shown).replace("`", "").split()


def test_the_rich_form_needs_nothing_from_elsewhere(outputs) -> None:
    for shown in outputs.values():
        for output in shown:
            markup = output.data["text/html"]
            assert not re.search(r"<(script|style|img|link)|https?:|url\(", markup)
            assert "<b>shape" not in markup
            assert re.search(r'role="img" aria-label="\w', markup)
            assert markup.count("<div") == markup.count("</div>")


def test_progress_in_a_notebook(outputs) -> None:
    assert text(outputs["progress"]).splitlines()[0].split() == ["day", "90", "█████░░░░░", "1", "of", "2", "solved"]
    assert "width: 50%" in page(outputs["progress"])
