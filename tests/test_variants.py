"""Numbers hold on every processor: the record of `make variants`, and the tool that makes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from torch import nn
from variants import arithmetic, table
from variants.nudging import DRAWS, SIZE, nudge

ROWS, RECORD = table.read()
HOW = "run `make variants ARGS={}`, then steady what moves: see the README, What the regression compares"


# The rule -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", table.notebooks())
def test_every_notebook_was_run_as_it_is_under_every_variant(name):
    how = HOW.format(name.rpartition("/")[2])
    assert name in RECORD["notebooks"], how
    entry = RECORD["notebooks"][name]
    assert entry["code"] == table.code_of(table.load(table.notebooks()[name])), f"its code changed: {how}"
    assert entry["variants"] == sorted(variant.name for variant in arithmetic.VARIANTS), how


def test_no_number_uses_more_than_two_thirds_of_its_tolerance():
    notebooks = {name: table.load(path) for name, path in table.notebooks().items()}
    shares = {row: table.share_now(row, notebooks[row.notebook]) for row in ROWS if row.notebook in notebooks}
    far = [f"{share:.2f} of {row}" for row, share in shares.items() if share > table.MOST_SHARE]
    assert not far, "\n".join(far)


def test_no_claim_fails_and_no_word_or_count_changes_under_any_variant():
    assert RECORD["failures"] == []


def test_the_variants_compute_differently():
    digests = RECORD["variants"]
    assert digests.keys() == {variant.name for variant in arithmetic.VARIANTS}
    assert len({tuple(sorted(digest.items())) for digest in digests.values()}) == len(digests)
    assert sum(variant.nudge is None for variant in arithmetic.VARIANTS) >= 6
    assert sum(variant.nudge is not None for variant in arithmetic.VARIANTS) >= 5


# The tool: variants -------------------------------------------------------------------------------------------------


def test_a_variant_that_computes_as_another_is_left_out(capsys):
    least = arithmetic.LEAST
    twin = arithmetic.Variant("twin", least.environment)
    found = arithmetic.distinct([least, twin, arithmetic.Variant("nudge", least.environment, nudge=1)])
    assert list(found) == ["least", "nudge"]
    assert "twin: left out, here it computes as least does" in capsys.readouterr().out


def test_a_variant_that_the_processor_cannot_compute_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    monkeypatch.setattr(arithmetic, "digests", lambda variant: {"network": variant.name})
    found = arithmetic.distinct(arithmetic.VARIANTS)
    assert "least" in found
    assert not {"most", "avx2"} & found.keys()
    assert "most: left out, this processor has no AVX512" in capsys.readouterr().out


def test_a_nudge_moves_every_weight_by_a_millionth_and_equal_weights_alike():
    weight = torch.randn(100, 50)
    moved = nudge(weight.clone(), seed=1)
    off = (moved.double() / weight.double() - 1).abs()
    assert (off - SIZE).abs().max() < 1.3e-7, "rounded to float32"
    assert 0.4 < (moved.abs() > weight.abs()).float().mean() < 0.6
    assert torch.equal(moved, nudge(weight.clone(), seed=1))
    assert not torch.equal(moved, nudge(weight.clone(), seed=2))


def test_a_nudge_reaches_whatever_pytorch_initializes():
    layers = "nn.Linear(4, 3), nn.Conv2d(1, 2, 3), nn.GRU(4, 3), nn.Embedding(4, 3), nn.MultiheadAttention(4, 2)"
    code = f"""
import sys
import torch; from torch import nn
from nudging import nudge_initialization
def drawn():
    torch.manual_seed(0)
    return [p.clone() for layer in ({layers}) for p in layer.parameters() if p.count_nonzero()]
before = drawn()
nudge_initialization(3)
print([torch.equal(a, b) or not torch.allclose(a, b, rtol=1e-5, atol=0) for a, b in zip(before, drawn(), strict=True)])
"""
    environment = os.environ | {"PYTHONPATH": str(Path(arithmetic.__file__).parent)}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert set(ran.stdout.split()) <= {"[False,", "False,", "False]"}, ran.stdout
    assert all(hasattr(nn.init, name) for name in DRAWS)


# The tool: the table ------------------------------------------------------------------------------------------------


def cell(printed, id_="a", **metadata):
    made = new_code_cell("1", outputs=[new_output("stream", name="stdout", text=printed)], metadata=metadata)
    made["id"] = id_
    return made


def raw(*printed, id_="a"):
    return {f"v{number}": {id_: {"stdout": [text]}} for number, text in enumerate(printed)}


def test_a_number_that_moves_gets_a_row_with_its_range_and_its_share():
    notebook = new_notebook(cells=[cell("epoch 1\nloss 0.500 of 2.00\n", tolerance={"rtol": 0.1})])
    rows, failures, count = table.moved(
        "day01_x", notebook, raw("epoch 1\nloss 0.510 of 2.00\n", "epoch 1\nloss 0.480 of 2.00\n")
    )
    assert (failures, count) == ([], 2)
    assert rows == [table.Row("day01_x", "a", "stdout 0", 1, "0.500", "0.480", "0.510", 0.4, "loss 0.500 of 2.00")]
    assert table.share_now(rows[0], notebook) == pytest.approx(0.4)
    notebook.cells[0].metadata["tolerance"] = {"rtol": 0.05}
    assert table.share_now(rows[0], notebook) == pytest.approx(0.8), "the tolerance as it is now"


def test_words_counts_errors_and_missing_outputs_are_failures():
    notebook = new_notebook(cells=[cell("ReLU wins, 7 right, 0.50 nan")])
    printed = ["GELU wins, 7 right, 0.50 nan", "ReLU wins, 8 right, 0.50 nan", "ReLU wins, 7 right, 0.50 inf"]
    rows, failures, _ = table.moved("day01_x", notebook, raw(*printed))
    assert rows == []
    assert [failure.variant for failure in failures] == ["v0", "v1", "v2"]
    _, failures, _ = table.moved("day01_x", notebook, {"least": {"a": {"error": ["AssertionError: it held once"]}}})
    assert "AssertionError: it held once" in [failure.what for failure in failures]
    assert "stdout: 1 stored, 0 fresh" in [failure.what for failure in failures]


def test_a_number_that_may_not_move_at_all_uses_all_of_its_tolerance():
    notebook = new_notebook(cells=[cell("0.0", tolerance={"rtol": 0, "atol": 0})])
    rows, _, _ = table.moved("day01_x", notebook, raw("1e-30"))
    assert [row.share for row in rows] == [float("inf")]


def test_cells_that_the_regression_does_not_compare_are_left_out():
    timing = cell("0.5 s", tags=["nbval-ignore-output"], why="a timing")
    notebook = new_notebook(cells=[timing, new_markdown_cell("0.5")])
    assert table.moved("day01_x", notebook, raw("0.9 s")) == ([], [], 0)


def test_the_code_counts_and_the_prose_does_not():
    one = new_notebook(cells=[new_code_cell("x = 1"), new_markdown_cell("one")])
    assert table.code_of(one) == table.code_of(new_notebook(cells=[new_code_cell("x = 1"), new_markdown_cell("two")]))
    assert table.code_of(one) != table.code_of(new_notebook(cells=[new_code_cell("x = 2"), new_markdown_cell("one")]))


def test_the_table_is_read_as_it_was_written(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "TABLE", tmp_path / "table.csv")
    monkeypatch.setattr(table, "RECORD", tmp_path / "record.json")
    rows = [table.Row("day01_x", "a", "text/plain 0", 3, "0.5", "0.4", "0.6", 0.5, 'a "line", with 0.5')]
    table.write(rows, {"failures": []})
    assert table.read() == (rows, {"failures": []})
