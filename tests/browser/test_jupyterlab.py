"""JupyterLab, as a learner meets it: open a lesson, run it all, see its figures, edit it, save it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import pytest

pytest.importorskip("playwright", reason="playwright is not installed")

from lab import BROWSER_TEST, Notebook, browser_page, jupyterlab
from waiting import wait_for

ROOT = Path(__file__).parents[2]
LESSON = "day01_tensors_autograd"

pytestmark = BROWSER_TEST


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with jupyterlab(ROOT / "notebooks", tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def page():
    with browser_page() as opened:
        yield opened


@pytest.fixture(scope="module")
def stored():
    return nbformat.read(ROOT / "notebooks" / f"{LESSON}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def lesson(server, page, stored):
    """The lesson, opened, and run to its end or to its first error."""
    notebook = Notebook(page, server, f"{LESSON}.ipynb")
    notebook.run_all(seconds=150)
    return notebook


def count_stored(notebook: nbformat.NotebookNode, kind: str) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum(kind in output.get("data", {}) for output in outputs)


def test_the_server_is_on_loopback_and_wants_its_token(server):
    assert server.url.startswith(("http://127.0.0.1:", "http://localhost:"))
    listening = {at.laddr.ip for at in server.process.net_connections("tcp") if at.status == "LISTEN"}
    assert listening <= {"127.0.0.1", "::1"}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{server.url}api/contents", timeout=10)
    asked = urllib.request.Request(f"{server.url}api/contents", headers={"Authorization": f"token {server.token}"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        names = {entry["name"] for entry in json.load(answer)["content"]}
    assert {f"{LESSON}.ipynb", "py", "solutions"} <= names, "its root is the folder of the lessons"


def test_run_all_finishes_without_an_error(lesson):
    assert lesson.complaints == []
    assert all("[" in prompt and "*" not in prompt for prompt in lesson.prompts)


def test_figures_are_there(lesson, stored):
    images = lesson.panel.locator(".jp-OutputArea-output img")
    assert images.count() == count_stored(stored, "image/png") > 0
    widths = images.evaluate_all("all => all.map(image => image.complete ? image.naturalWidth : 0)")
    assert min(widths) > 100


def test_exercises_answer_in_rich_display(lesson, stored):
    calls = sum(cell.source.count("\ncheck(") for cell in stored.cells if cell.cell_type == "code")
    answers = lesson.panel.locator(".jp-RenderedHTMLCommon div", has_text="not attempted yet").locator("code")
    names = set(answers.all_inner_texts())
    assert len({name for name in names if name.startswith("day01.")}) == calls >= 3


def test_nothing_asks_or_complains(lesson):
    """No dialog, no question whether to fetch news, no warning that something could not be reached."""
    assert lesson.page.locator(".jp-Dialog").count() == 0
    assert lesson.page.locator(".Toastify__toast").all_inner_texts() == []


def test_an_edit_arrives_in_the_paired_script(lesson, server):
    script = server.project / "notebooks" / "py" / f"{LESSON}.py"
    before = script.read_text(encoding="utf-8")
    first = lesson.panel.locator(".jp-CodeCell .cm-content").first
    first.click()
    lesson.page.keyboard.press("Control+End")
    lesson.page.keyboard.type("\nmine = 'typed in the browser'")
    lesson.save()
    wait_for(lambda: "typed in the browser" in script.read_text(encoding="utf-8"), 20)
    after = script.read_text(encoding="utf-8")
    line = "mine = 'typed in the browser'\n"
    assert after.count(line) == 1
    assert after.replace(line, "") == before, "nothing else in the script changes"
    assert (ROOT / "notebooks" / "py" / f"{LESSON}.py").read_text(encoding="utf-8") == before


def test_an_error_or_warning_would_be_noticed(lesson):
    """Comes last: it spoils the notebook, to show that the tests above can fail."""
    lesson.panel.locator(".jp-CodeCell .cm-content").first.click()
    lesson.page.keyboard.press("Control+a")
    lesson.page.keyboard.type("import warnings; warnings.warn('careful'); 1 / 0")
    lesson.page.keyboard.press("Control+Enter")
    wait_for(lambda: len(lesson.complaints) == 2, 20)
    warning, error = lesson.complaints
    assert "careful" in warning
    assert "ZeroDivisionError" in error
