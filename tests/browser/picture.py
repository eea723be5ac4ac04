"""Photograph a lesson in JupyterLab for the README: `make picture`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from lab import CHROMIUM, Notebook, browser_page, jupyterlab

ROOT = Path(__file__).parents[2]
LESSON, HEADING = "day06_mlp_mnist", ""
TARGET = ROOT / ".github" / "lesson.png"


def main() -> None:
    if CHROMIUM is None:
        sys.exit("This needs Chromium: on Debian, apt install chromium")
    with (
        tempfile.TemporaryDirectory() as folder,
        jupyterlab(ROOT / "notebooks", Path(folder)) as server,
        browser_page(width=1240, height=860, scale=1.5) as page,
    ):
        notebook = Notebook(page, server, f"{LESSON}.ipynb")
        if len(sys.argv) > 1:
            notebook.panel.get_by_role("heading", name=sys.argv[1]).scroll_into_view_if_needed()
        TARGET.parent.mkdir(exist_ok=True)
        page.screenshot(path=TARGET)
    print(TARGET)


if __name__ == "__main__":
    main()
