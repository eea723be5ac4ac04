"""Photograph a lesson in JupyterLab for the README: `make picture`."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tempfile
from itertools import takewhile
from pathlib import Path

import nbformat
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests"))  # as in the tests

from lab import CHROMIUM, Notebook, browser_page, jupyterlab  # noqa: E402

TARGET = ROOT / ".github" / "lesson.png"
KEY = "pictured"  # under which the picture says what it shows
LESSON, HEADING = "day06_mlp_mnist", "Which digits does it mix up?"  # what the picture shows, from this heading on


def digest(lesson: str = LESSON, heading: str = HEADING) -> str:
    """Of what the picture shows: the cells from the heading to the next one, with their outputs."""
    cells = nbformat.read(ROOT / "notebooks" / f"{lesson}.ipynb", as_version=4).cells
    first = next(n for n, cell in enumerate(cells) if cell.cell_type == "markdown" and heading in cell.source)
    rest = takewhile(lambda cell: cell.cell_type == "code" or "\n#" not in f"\n{cell.source}", cells[first + 1 :])
    shown = [[cell.source, cell.get("outputs", [])] for cell in (cells[first], *rest)]
    return hashlib.sha256(json.dumps(shown, sort_keys=True).encode()).hexdigest()


def main(lesson: str = LESSON, heading: str = HEADING, target: str | Path = TARGET) -> None:
    if CHROMIUM is None:
        sys.exit("This needs Chromium: on Debian, apt install chromium")
    Path(target).parent.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(ROOT / "notebooks", Path(folder)) as server,
        browser_page(width=1200, height=1100, scale=1.25) as page,
    ):
        notebook = Notebook(page, server, f"{lesson}.ipynb")
        page.keyboard.press("Control+b")  # without the list of files
        title = notebook.panel.get_by_role("heading", name=heading)
        title.evaluate("heading => heading.scrollIntoView()")
        page.wait_for_timeout(1000)
        picture = Image.open(io.BytesIO(page.screenshot()))
    text = PngInfo()
    text.add_text(KEY, digest(lesson, heading))
    picture.save(target, pnginfo=text, optimize=True)
    print(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
