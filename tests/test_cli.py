"""`nnlab`: which lessons there are, what `run` does with them, and the smaller commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from small_project import write_lesson
from typer.testing import CliRunner

from nnlab_helpers.cli import app
from nnlab_helpers.cli.execute import Run
from nnlab_helpers.cli.jupyter import lab_command
from nnlab_helpers.cli.lessons import Lesson, LessonError, find_lessons, find_root, select
from nnlab_helpers.cli.readme import BEGIN, END, read_rows, update
from nnlab_helpers.cli.running import Limits

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with no lesson yet, and the working directory in it."""
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def nnlab(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


# Which lessons


def test_find_root_prefers_the_project_around(project):
    inner = project / "notebooks" / "py"
    assert find_root(inner) == project.resolve()


def test_find_root_falls_back_to_the_checkout(tmp_path):
    assert find_root(tmp_path) == ROOT


def test_lessons_tell_about_themselves(project):
    notebooks = project / "notebooks"
    write_lesson(notebooks, "day10_b", question="how far?")
    write_lesson(notebooks, "day02_a")
    write_lesson(notebooks / "solutions", "day02_a")
    (notebooks / "scratch.ipynb").write_text("{}")
    found = find_lessons(project)
    assert [lesson.name for lesson in found] == ["day02_a", "day10_b"]
    assert (found[1].day, found[1].question, found[1].reading_minutes) == (10, "How far?", 12)
    (solution,) = find_lessons(project, solutions=True)
    assert solution.relative == Path("solutions/day02_a.ipynb")


@pytest.mark.parametrize(
    "word",
    ["3", "03", "day3", "day03", "DAY03", "day03_b", "day03_b.ipynb", "lessons/day03_b.ipynb", "lessons/py/day03_b.py"],
)
def test_select_understands(word):
    lessons = [Lesson(Path(f"lessons/day0{day}_b.ipynb")) for day in (1, 3)]
    assert select(lessons, [word]) == lessons[1:]


def test_select_keeps_the_lessons_order_and_takes_all_by_default():
    lessons = [Lesson(Path(f"day0{day}_b.ipynb")) for day in (1, 2, 3)]
    assert select(lessons, ["3", "1", "day03"]) == [lessons[0], lessons[2]]
    assert select(lessons, []) == lessons


@pytest.mark.parametrize("word", ["4", "day", "day03_c", "", "-1", "solutions/day03_b.ipynb", "/nowhere/day03_b.ipynb"])
def test_select_refuses_and_lists_what_there_is(word):
    with pytest.raises(LessonError, match=r"day01_b, day03_b"):
        select([Lesson(Path(f"day0{day}_b.ipynb")) for day in (1, 3)], [word])


# nnlab run


def test_run_executes_into_a_folder_of_its_own(project):
    lesson = write_lesson(project / "notebooks", "day01_a", "import os\nos.environ['TQDM_DISABLE'], os.getcwd()")
    before = lesson.read_bytes()
    done = nnlab("run")
    assert done.exit_code == 0, done.output
    assert lesson.read_bytes() == before
    assert re.search(r"^day01_a +\d+\.\d +\d+ MB +passed *$", done.output, re.MULTILINE)
    executed = nbformat.read(project / "build" / "lessons" / "day01_a.ipynb", as_version=4)
    nbformat.validate(executed)
    shown = executed.cells[1].outputs[0].data["text/plain"]
    assert "'1'" in shown
    assert str(project / "notebooks") in shown, "a lesson runs in its own folder, as it does for a reader"


def test_run_reports_the_failing_cell_and_goes_on(project):
    write_lesson(project / "notebooks", "day01_a", "1 + 1", "shape = [2, 3]\nraise ValueError(f'bad {shape}')", "2")
    write_lesson(project / "notebooks", "day02_a", "1")
    done = nnlab("run")
    assert done.exit_code == 1
    assert re.search(r"^day01_a .* failed at cell 2 of 3: ValueError: bad \[2, 3\] *$", done.output, re.MULTILINE)
    assert "    raise ValueError(f'bad {shape}')" in done.output
    assert re.search(r"^day02_a .* passed *$", done.output, re.MULTILINE)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "the kernel died"),
        ("import time\ntime.sleep(60)", "longer than 2 seconds"),
        ("import sys\nsys.exit('enough')", "SystemExit"),
    ],
    ids=["killed", "endless", "exit"],
)
def test_run_survives_what_a_lesson_does(project, source, message):
    write_lesson(project / "notebooks", "day01_a", source)
    done = nnlab("run", "--timeout", "2")
    assert done.exit_code == 1
    assert message in done.output


def test_run_reports_an_unreadable_notebook(project):
    write_lesson(project / "notebooks", "day01_a", "1")
    write_lesson(project / "notebooks", "day02_a", "1")
    (project / "notebooks" / "day03_a.ipynb").symlink_to(project / "nowhere")
    assert nnlab("run", "1").exit_code == 0
    (project / "notebooks" / "day01_a.ipynb").write_text('{"cells": [')
    done = nnlab("run", "--html", "pages")
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == 1
    for row in (r"day01_a .*not a readable notebook", r"day02_a .* passed *", r"day03_a .*not a readable notebook.*"):
        assert re.search(rf"^{row}", done.output.partition("Peak memory")[2], re.MULTILINE)
    assert [page.name for page in (project / "pages").iterdir()] == ["day02_a.html"], "none of an earlier run"


@pytest.mark.parametrize(("words", "option"), [(["run"], "--output"), (["run", "--html", "pages"], "--html")])
def test_a_project_that_cannot_be_written_names_the_option(project, monkeypatch, words, option):
    write_lesson(project / "notebooks", "day01_a", "raise ValueError('executed')")
    if option == "--html":
        (project / "pages").mkdir()
    refused = project / ("pages" if option == "--html" else "build")

    def refuse(path):
        if path.resolve().is_relative_to(refused):
            raise PermissionError(13, "Permission denied", str(path.resolve().parent))

    monkeypatch.setattr("nnlab_helpers.files.check_writable", refuse)
    done = nnlab(*words)
    assert done.exit_code == 2
    assert f"Permission denied: '{refused}" in done.output
    assert f"Choose a folder that you can write, with {option} FOLDER" in done.output
    assert "executed" not in done.output


def test_a_result_that_cannot_be_written_costs_that_lesson_alone(project):
    for day in (1, 2):
        write_lesson(project / "notebooks", f"day0{day}_a", "1")
    (project / "there" / "day01_a.ipynb").mkdir(parents=True)  # a folder in the way
    done = nnlab("run", "--output", "there", "2", "1")
    assert done.exit_code == 2
    (project / "there" / "day01_a.ipynb").rmdir()
    meddle = "import pathlib\npathlib.Path('../there/day01_a.ipynb').mkdir()"
    write_lesson(project / "notebooks", "day01_a", meddle)
    done = nnlab("run", "--output", "there")
    assert done.exit_code == 1
    assert re.search(r"^day01_a: .* failed at .*: the result could not be written: ", done.output, re.MULTILINE)
    assert re.search(r"^day02_a .* passed *$", done.output, re.MULTILINE)


def test_a_killed_run_leaves_no_half_written_notebook(project):
    """Another run may not replace what it does not know for a result: so results are written whole."""
    write_lesson(project / "notebooks", "day01_a", "1")
    left = project / "there" / ".day01_a.ipynb.abcd1234.tmp"
    left.parent.mkdir()
    left.write_text("{")
    for _ in range(2):
        assert nnlab("run", "--output", "there").exit_code == 0
    assert [path.name for path in left.parent.iterdir()] == ["day01_a.ipynb"]


def test_run_replaces_its_own_results_and_nobodys_work(project):
    lesson = write_lesson(project / "notebooks", "day01_a", "1")
    for _ in range(2):
        assert nnlab("run", "--output", "there").exit_code == 0
    own = write_lesson(project / "copies", "day01_a", "1 + 1")
    before = own.read_bytes()
    done = nnlab("run", "--output", "copies")
    assert done.exit_code == 2
    assert "would be lost" in re.sub(r"[\s│]+", " ", done.output)
    assert own.read_bytes() == before != lesson.read_bytes()


def test_run_takes_a_path_for_what_it_is(project):
    write_lesson(project / "notebooks", "day01_a", "1")
    solution = write_lesson(project / "notebooks" / "solutions", "day01_a", "raise ValueError('mine')")
    done = nnlab("run", str(solution))
    assert done.exit_code == 2
    assert "--solutions" in done.output
    assert "ValueError: mine" in nnlab("run", "--solutions", str(solution)).output


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory has no folder here")
def test_run_clears_what_a_lessons_workers_left_in_memory(project):
    leave = "import os\nopen(f'/dev/shm/sem.loky-{os.getpid()}-x', 'w').close()\nprint(os.getpid())"
    write_lesson(project / "notebooks", "day01_a", leave)
    assert nnlab("run").exit_code == 0
    done = nbformat.read(project / "build" / "lessons" / "day01_a.ipynb", as_version=4)
    pid = int(done.cells[1].outputs[0].text)
    assert not Path(f"/dev/shm/sem.loky-{pid}-x").exists()


def test_run_measures_peak_memory_also_of_child_processes(project):
    fill = "import numpy as np, time\nx = np.ones(25_000_000)\n"  # 200 MB
    program = fill + "time.sleep(0.5)"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {program!r}], check=True)"
    write_lesson(project / "notebooks", "day01_idle", "1")
    write_lesson(project / "notebooks", "day02_kernel", fill + "del x")
    write_lesson(project / "notebooks", "day03_child", child)
    done = nnlab("run")
    rows = re.findall(r"^(day\d+)_\w+ +[\d.]+ +(\d+) MB", done.output, re.MULTILINE)
    peaks = {day: int(megabytes) for day, megabytes in rows}
    assert peaks["day01"] < 150
    assert peaks["day02"] - peaks["day01"] > 190
    assert peaks["day03"] - peaks["day01"] > 190


def test_run_marks_what_is_over_a_limit_and_fails_only_if_told_to(project):
    write_lesson(project / "notebooks", "day01_a", "1")
    done = nnlab("run", "--limit-seconds", "0.01", "--limit-memory", "1")
    assert done.exit_code == 0
    assert "passed (over 0.01 s) (over 1 MB)" in done.output
    assert nnlab("run", "--limit-seconds", "0.01", "--strict").exit_code == 1


@pytest.mark.parametrize(("says", "seconds"), [("Reading: soon.", 30.0), ("Running: under 90 seconds.", 90.0)])
def test_a_lesson_may_take_what_it_promises(project, says, seconds):
    path = write_lesson(project / "notebooks", "day01_a", "1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = f"# Day 1: why?\n\n*{says}*"
    nbformat.write(notebook, path)
    run = Run(Lesson(path), seconds=seconds, peak_bytes=1_500_000_000)
    assert Limits().exceeded(run) == [], "limits are inclusive"
    run.seconds += 0.1
    assert Limits().exceeded(run) == [f"over {seconds:g} s"]
    assert Limits(slack=1.1).exceeded(run) == []
    assert Limits(seconds=20, slack=9).exceeded(run) == ["over 20 s"]


def test_run_writes_pages_that_link_to_each_other(project):
    notebooks = project / "notebooks"
    write_lesson(notebooks, "day01_a", "from IPython.display import Markdown\nMarkdown('[next](day02_a.ipynb)')")
    write_lesson(notebooks / "solutions", "day01_a", "6 * 7")
    assert nnlab("run", "--html", "pages").exit_code == 0
    assert nnlab("run", "--solutions", "--html", "pages").exit_code == 0
    page = (project / "pages" / "day01_a.html").read_text(encoding="utf-8")
    assert "<title>day01_a</title>" in page
    assert 'href="day02_a.html"' in page
    assert "42" in (project / "pages" / "solutions" / "day01_a.html").read_text(encoding="utf-8")


def test_run_leaves_the_learners_record_alone(project, monkeypatch):
    monkeypatch.setenv("NNLAB_PROGRESS", str(project / "mine.json"))
    solve = "import os\nfrom pathlib import Path\nPath(os.environ['NNLAB_PROGRESS']).write_text('x')"
    write_lesson(project / "notebooks", "day01_a", solve)
    assert nnlab("run").exit_code == 0
    assert not (project / "mine.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "9"], "there is no lesson '9'. The lessons are: day01_a"),
        (["run", "--solutions"], "there are no lessons in"),
        (["run", "--output", "notebooks"], "lessons are never overwritten"),
        (["run", "--jobs", "0"], "--jobs"),
        (["run", "--timeout", "inf"], "a number of seconds"),
        (["run", "--limit-seconds", "-5"], "--limit-seconds"),
        (["run", "--output", "file"], "File exists: 'file'"),
        (["run", "--html", "file"], "File exists: 'file'"),
        (["run", "--update-readme"], "README.md"),
        (["run", "--update-readme", "--jobs", "2"], "one at a time"),
        (["build", "9"], "no lesson called '9'"),
        (["build", "--take", "both"], "either script or notebook"),
    ],
)
def test_wrong_use_is_refused(project, arguments, message):
    write_lesson(project / "notebooks", "day01_a", "1")
    (project / "file").touch()
    done = nnlab(*arguments)
    assert done.exit_code == 2
    assert message in re.sub(r"[\s│]+", " ", done.output)


# The README's table


def test_update_readme_measures_and_keeps_what_is_written_by_hand(project):
    write_lesson(project / "notebooks", "day01_a", "1", question="how?")
    write_lesson(project / "notebooks", "day02_a", "1", question="why?")
    readme = project / "README.md"
    readme.write_text(f"before\n{BEGIN}\n| 1 | old | an engine | | 9 s |\n| 2 | old | a net | | 8 s |\n{END}\nafter\n")
    assert nnlab("run", "2", "--update-readme").exit_code == 0
    text = readme.read_text()
    rows = read_rows(text)
    assert rows[1] == ["1", "[How?](notebooks/day01_a.ipynb)", "an engine", "12 min", "9 s"]
    assert rows[2][:4] == ["2", "[Why?](notebooks/day02_a.ipynb)", "a net", "12 min"]
    assert re.fullmatch(r"\d s", rows[2][4])
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert update(readme, find_lessons(project), {}) is False


def test_update_readme_needs_its_markers():
    with pytest.raises(ValueError, match="needs the lines"):
        read_rows("| 1 | a |")


def test_update_readme_not_after_a_failure(project):
    write_lesson(project / "notebooks", "day01_a", "1 / 0")
    (project / "README.md").write_text(f"{BEGIN}\n{END}\n")
    assert nnlab("run", "--update-readme").exit_code == 1
    assert read_rows((project / "README.md").read_text()) == {}


# The rest


def test_help_comes_fast_and_without_torch():
    code = """import sys
from nnlab_helpers.cli import app
try:
    app(["--help"])
finally:
    print("heavy:", {"torch", "numpy", "nbclient"} & set(sys.modules))"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "heavy: set()" in done.stdout
    for command in ("run", "lab", "doctor", "build"):
        assert re.search(rf"\b{command}\b", done.stdout)


def test_lab_listens_on_loopback_and_keeps_its_token(tmp_path):
    command = lab_command(tmp_path, port=9999, browser=False, extra=["--debug"])
    assert "--ServerApp.ip=127.0.0.1" in command
    assert f"--ServerApp.root_dir={tmp_path / 'notebooks'}" in command
    assert command[-1] == "--debug"
    assert not [word for word in command if "token" in word.lower() or "password" in word.lower()]


def test_build_check_says_which_pair_is_apart(project):
    write_lesson(project / "notebooks", "day01_a", "1")
    done = nnlab("build", "--check")
    assert done.exit_code == 1
    assert "day01_a.py is missing" in done.output
    assert not (project / "notebooks" / "py" / "day01_a.py").exists()
