"""Lessons and their pairs: in step, rebuilt without churn, and never at the cost of someone's edit."""

import json
import re
import shutil

import nbformat
import psutil
import pytest
from waiting import wait_for

from nnlab_helpers import pairs

FOLDER = pairs.lessons_folder()
NOTEBOOKS = sorted([*FOLDER.glob("*.ipynb"), *FOLDER.glob("solutions/*.ipynb")])
HEADER = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

"""
BODY = """\
# %% [markdown]
# # Day 99: does it build?

# %%
import os

print(os.environ["TQDM_DISABLE"], "MPLBACKEND" in os.environ and os.environ["MPLBACKEND"][:9])


# %% tolerance={"rtol": 0.2} why="it is a test"
def half(x):
    return x / 2


half(1)

# %%
half(1)

# %%
half(1)
"""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: str(path.relative_to(FOLDER)))
def test_a_lesson_is_in_step_with_its_script(notebook):
    assert pairs.differences(notebook) == []


def test_every_script_has_its_notebook_and_the_other_way_round():
    assert {pairs.notebook_of(script) for script in pairs.scripts()} == set(NOTEBOOKS)


@pytest.fixture
def script(tmp_path):
    """A script in a folder of its own, with the project's settings."""
    (tmp_path / "py").mkdir()
    shutil.copy(FOLDER / "jupytext.toml", tmp_path)
    path = tmp_path / "py" / "day99_test.py"
    path.write_text(HEADER + BODY)
    return path


def ids(notebook):
    return [cell.id for cell in nbformat.read(notebook, 4).cells]


def test_a_build_executes_stores_and_repeats_itself(script):
    notebook = pairs.build(script)
    built = nbformat.read(notebook, 4)
    nbformat.validate(built)
    code = [cell for cell in built.cells if cell.cell_type == "code"]
    assert code[0].outputs[0].text == "1 module://\n", "no progress bars, and figures into the notebook"
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4]
    assert code[1].metadata == {"tolerance": {"rtol": 0.2}, "why": "it is a test"}
    assert "version" not in built.metadata.language_info
    assert len(set(ids(notebook))) == len(built.cells), "the same content twice, but not the same id"
    assert pairs.in_step(notebook)
    assert script.read_text() == HEADER + BODY == pairs.regenerate(notebook)

    before = notebook.read_bytes()
    assert pairs.build(script).read_bytes() == before
    notebook.unlink()
    assert pairs.build(script).read_bytes() == before

    first = ids(notebook)
    script.write_text(script.read_text().replace("half(1)\n", "half(2)\n", 1))
    changed = [old != new for old, new in zip(first, ids(pairs.build(script)), strict=True)]
    assert changed == [False, False, True, False, False]
    assert sorted(path.name for path in script.parents[1].iterdir()) == ["day99_test.ipynb", "jupytext.toml", "py"]


@pytest.mark.parametrize(("told", "there"), [(None, "cpu"), ("auto", "auto")])
def test_what_is_stored_comes_from_the_cpu_unless_told_otherwise(script, monkeypatch, told, there):
    monkeypatch.delenv("NNLAB_DEVICE")
    if told is not None:
        monkeypatch.setenv("NNLAB_DEVICE", told)
    script.write_text(HEADER + '# %%\nimport os\n\nprint(os.environ["NNLAB_DEVICE"])\n')
    built = nbformat.read(pairs.build(script), 4)
    assert built.cells[-1].outputs[0].text == f"{there}\n"


def test_a_script_is_put_into_the_form_of_a_save(script):
    script.write_text(HEADER + '# %% why="x" tags=["a"]\n1\n\n\n\n# %%\n2\n')
    notebook = pairs.build(script)
    assert script.read_text() == HEADER + '# %% tags=["a"] why="x"\n1\n\n# %%\n2\n'
    assert pairs.in_step(notebook)


def test_a_failing_cell_is_reported_and_nothing_is_written(script):
    before = pairs.build(script).read_bytes()
    failing = script.read_text() + "\n# %%\nprint('so far')\nhalf('a')\n"
    script.write_text(failing)
    with pytest.raises(pairs.BuildError) as error:
        pairs.build(script)
    for told in ("day99_test, cell 5 failed", "half('a')", "TypeError: unsupported operand"):
        assert told in str(error.value)
    assert pairs.notebook_of(script).read_bytes() == before
    assert script.read_text() == failing


def test_a_damaged_notebook_is_built_anew_if_told_to(script):
    notebook = pairs.notebook_of(script)
    notebook.write_text("{")
    with pytest.raises(pairs.BuildError, match=r"day99_test\.ipynb is not a readable notebook.*\n.*--take script"):
        pairs.build(script)
    assert notebook.read_text() == "{"
    pairs.build(script, take="script")
    assert pairs.in_step(notebook)


def test_an_edited_notebook_is_not_overwritten(script):
    notebook = pairs.build(script)
    edited = json.loads(notebook.read_text())
    edited["cells"][-1]["source"] = ["half(1) + 5  # my own answer"]
    notebook.write_text(json.dumps(edited))
    with pytest.raises(pairs.BuildError, match="--take notebook") as error:
        pairs.build(script)
    assert "+half(1) + 5  # my own answer" in str(error.value)
    assert "--take script" in str(error.value)
    assert "my own answer" in notebook.read_text()

    pairs.build(script, take="notebook")
    assert "half(1) + 5  # my own answer" in script.read_text()
    assert nbformat.read(notebook, 4).cells[-1].outputs[0].data["text/plain"] == "5.5"

    script.write_text(script.read_text().replace("my own answer", "changed in the script, the notebook left alone"))
    pairs.build(script)
    assert pairs.in_step(notebook)

    notebook.write_text(notebook.read_text().replace("left alone", "edited"))
    pairs.build(script, take="script")
    assert "left alone" in notebook.read_text()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda nb: nb["cells"][-1].update(source=["half(3)"]), "+half(3)"),
        (lambda nb: nb["cells"][-1]["metadata"].update(tags=["nbval-skip"]), '+# %% tags=["nbval-skip"]'),
        (lambda nb: nb["cells"].pop(), "-half(1)"),
        (lambda nb: nb["metadata"]["kernelspec"].update(name="other"), "+#     name: other"),
    ],
    ids=["source", "metadata", "cells", "kernel"],
)
def test_what_is_out_of_step_is_told(tmp_path, script, change, told):
    notebook = json.loads(nbformat.writes(pairs.step.parse(script.read_text(), script)))
    change(notebook)
    path = pairs.notebook_of(script)
    path.write_text(json.dumps(notebook))
    assert told in pairs.differences(path)
    script.unlink()
    assert pairs.differences(path) == ["day99_test.py is missing"]


def test_metadata_that_nothing_reads_is_refused(script):
    script.write_text(HEADER + "# %% tolerence={'rtol': 0.2}\n1\n")
    with pytest.raises(ValueError, match=r"day99_test.py, cell 0: nothing reads the metadata tolerence"):
        pairs.build(script)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            f"{HEADER}# %% [markdown]\n# d\xe9j\xe0 vu\n".encode("latin-1"),
            r"line 12: not UTF-8 \(the byte 0xe9; perhaps",
        ),
        (f"\ufeff{HEADER}{BODY}".encode(), "begins with a byte order mark: save it as UTF-8 without one"),
        (f"\ufeff{HEADER}{BODY}".encode("utf-16-le"), "begins with a byte order mark: save it as UTF-8"),
    ],
    ids=["latin-1", "mark", "utf-16"],
)
def test_a_script_that_is_not_utf8_is_refused_by_name(script, content, told, capsys):
    notebook = pairs.notebook_of(script)
    notebook.write_text(nbformat.writes(pairs.step.parse(HEADER + BODY, script)))
    script.write_bytes(content)
    before = notebook.read_bytes()
    for take in (None, "script"):
        with pytest.raises(ValueError, match=rf"day99_test\.py.*{told}"):
            pairs.build(script, take=take)
    assert re.search(rf"day99_test\.py.*{told}", pairs.differences(notebook)[0])
    for check in (True, False):
        assert pairs.build_all(check=check, folder=script.parents[1]) == 1
        assert re.search(rf"day99_test\.py.*{told}", capsys.readouterr().out)
    assert (script.read_bytes(), notebook.read_bytes()) == (content, before)


@pytest.mark.parametrize("newline", ["\r\n", "\r"])
def test_line_endings_are_no_difference(script, newline):
    """With git's `autocrlf` a checkout on Windows has others."""
    notebook = pairs.build(script)
    plain = notebook.read_bytes()
    script.write_bytes(script.read_bytes().replace(b"\n", newline.encode()))
    written = script.read_bytes()
    assert pairs.differences(notebook) == []
    assert pairs.build(script).read_bytes() == plain
    assert script.read_bytes() == written, "the endings are the user's"
    notebook.write_bytes(plain.replace(b"\n", newline.encode()))
    assert pairs.differences(notebook) == []
    told = json.loads(plain)
    for cell in told["cells"]:
        cell["source"] = [line.replace("\n", newline) for line in cell["source"]]
    notebook.write_text(json.dumps(told))
    assert pairs.differences(notebook) == []
    assert pairs.build(script).read_bytes() == plain, "nothing was edited"


def test_a_notebook_that_cannot_be_written_is_noticed_before_it_is_executed(script, monkeypatch, capsys):
    script.write_text(HEADER + "# %%\nraise ValueError('executed')\n")

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path.parent))

    monkeypatch.setattr("nnlab_helpers.pairs.building.check_writable", refuse)
    with pytest.raises(pairs.BuildError, match=r"day99_test\.ipynb cannot be written \(Permission denied\)"):
        pairs.build(script)
    assert pairs.build_all(folder=script.parents[1]) == 1
    assert "executed" not in capsys.readouterr().out


def test_what_a_killed_build_left_is_cleared(script):
    notebook = pairs.notebook_of(script)
    left = notebook.with_name(f".{notebook.name}.abcd1234.tmp")
    left.write_text("{")
    pairs.build(script)
    assert not left.exists()


def test_scripts_are_found_by_day_stem_and_path(tmp_path):
    names = ["py/day01_a.py", "py/day11_b.py", "solutions/py/day01_a.py"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    a, b, solution = (tmp_path / name for name in names)
    assert pairs.scripts((), tmp_path) == [a, b, solution]
    for name in ("1", "day1", "day01", "day01_a"):
        assert pairs.scripts([name], tmp_path) == [a, solution]
    assert pairs.scripts([str(b), str(tmp_path / "solutions" / "day01_a.ipynb")], tmp_path) == [b, solution]
    with pytest.raises(LookupError, match="no lesson called 'day07'; there are: day01_a, day11_b"):
        pairs.scripts(["day07"], tmp_path)


def test_the_command_reports_and_counts(script, capsys):
    (script.parent / "day98_bad.py").write_text(HEADER + "# %%\n1 / 0\n")
    folder = script.parents[1]
    assert pairs.build_all(["98"], folder=folder) == 1
    assert "day98_bad, cell 0 failed" in capsys.readouterr().out
    assert pairs.build_all(["99"], folder=folder) == 0
    assert "✓ day99_test" in capsys.readouterr().out
    (folder / "day97_lonely.ipynb").write_bytes((folder / "day99_test.ipynb").read_bytes())
    assert pairs.build_all(check=True, folder=folder) == 2
    told = capsys.readouterr().out
    assert "✗ day98_bad\n    day98_bad.ipynb is missing" in told
    assert "✗ day97_lonely\n    day97_lonely.py is missing" in told


@pytest.mark.parametrize("served", ["checkout", "notebooks"])
@pytest.mark.parametrize("folder", ["", "solutions"])
def test_a_save_in_jupyterlab_lands_in_the_script_and_changes_nothing_else(tmp_path, served, folder):
    """JupyterLab saves through jupytext's contents manager: here it is, without the browser."""
    from jupyter_server.services.contents.largefilemanager import LargeFileManager
    from jupytext.sync_contentsmanager import build_sync_jupytext_contents_manager_class

    lessons = tmp_path / "notebooks"
    script = lessons / folder / "py" / "day99_test.py"
    script.parent.mkdir(parents=True)
    shutil.copy(FOLDER / "jupytext.toml", lessons)
    script.write_text(HEADER + BODY)
    notebook = pairs.notebook_of(script)
    notebook.write_text(nbformat.writes(pairs.step.parse(script.read_text(), script)))

    root = tmp_path if served == "checkout" else lessons
    manager = build_sync_jupytext_contents_manager_class(LargeFileManager)(root_dir=str(root))
    name = str(notebook.relative_to(root))
    model = manager.get(name)
    content = model["content"]
    content["cells"][0]["source"] += "\n\nAn edit."
    content["cells"][1]["metadata"] |= {"collapsed": True, "trusted": True}  # as JupyterLab adds
    content["metadata"]["language_info"] |= {"version": "3.99", "codemirror_mode": {"name": "ipython", "version": 3}}
    manager.save({"type": "notebook", "format": "json", "content": content}, name)

    assert script.read_text() == (HEADER + BODY).replace("build?\n", "build?\n#\n# An edit.\n")
    assert pairs.regenerate(notebook) == script.read_text()
    assert pairs.in_step(notebook)


def test_a_process_without_its_kernels_environment_goes_with_a_build_too(script):
    lone = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], env={}, start_new_session=True)"
    script.write_text(HEADER + f"# %%\nimport subprocess, sys\n\nprint({lone}.pid)\n")
    pid = int(nbformat.read(pairs.build(script), 4).cells[-1].outputs[0].text)
    wait_for(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 10)
