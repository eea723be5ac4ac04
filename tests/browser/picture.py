"""Photograph a lesson in JupyterLab for the README: `make picture`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lab import CHROMIUM, Notebook, browser_page, jupyterlab

ROOT = Path(__file__).parents[2]
TARGET = ROOT / ".github" / "lesson.png"
LESSON, HEADING = "day06_mlp_mnist", "Which digits does it mix up?"  # what the picture shows, from this heading on


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
        page.screenshot(path=target)
    print(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
