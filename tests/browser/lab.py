"""JupyterLab started by `nnlab lab` on a copy of the lessons, and a browser to use it with."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page, sync_playwright
from waiting import wait_for

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
BROWSER_TEST = [
    pytest.mark.browser,
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: on Debian, apt install chromium"),
]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(frozen=True)
class Server:
    """A running JupyterLab: its address with a slash at the end, its token, and the project it serves."""

    url: str
    token: str
    project: Path
    process: psutil.Process


def _told(runtime: Path) -> dict[str, str] | None:
    """What the server writes about itself once it listens, or None as long as that is not there whole."""
    for path in runtime.glob("jpserver-*.json"):
        with suppress(json.JSONDecodeError):
            return json.loads(path.read_text())
    return None


@contextmanager
def jupyterlab(lessons: Path, folder: Path) -> Iterator[Server]:
    """Serve a copy of `lessons` below `folder`, with settings, record and run-time files of its own there too."""
    project = folder / "project"
    shutil.copytree(lessons, project / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    settings = folder / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')  # all cells are in the page
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "IPYTHONDIR": str(folder / "ipython"),
        "NNLAB_PROGRESS": str(folder / "progress.json"),
        "NNLAB_CACHE": str(folder / "sweeps"),
        "TQDM_DISABLE": "1",
    }
    for name in ("JUPYTER_TOKEN", "MPLBACKEND"):
        environment.pop(name, None)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "nnlab_helpers.cli", "lab", "--no-browser", "--port", str(port)]
    log = folder / "jupyterlab.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stdout=out, stderr=out, stdin=subprocess.DEVNULL
        )
    watched = psutil.Process(process.pid)
    try:
        told = wait_for(lambda: _told(folder / "runtime"), 120, lambda: log.read_text()[-2000:])
        yield Server(told["url"], told["token"], project, watched)
    finally:
        family = [watched, *watched.children(recursive=True)] if watched.is_running() else []
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        for left in alive:
            left.kill()
        assert alive == [], f"JupyterLab left processes behind: {alive}"


@contextmanager
def browser_page(width: int = 1280, height: int = 900, scale: float = 1.0) -> Iterator[Page]:
    """A page in a new headless Chromium with an empty profile."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
            page = context.new_page()
            page.set_default_timeout(30_000)
            yield page
        finally:
            browser.close()


class Notebook:
    """An open notebook, used as a person would: by menus, mouse and keys."""

    def __init__(self, page: Page, server: Server, path: str) -> None:
        self.page = page
        page.goto(f"{server.url}lab/tree/{path}?token={server.token}")
        self.panel = page.locator(".jp-NotebookPanel:visible")
        self.panel.locator(".jp-Cell").first.wait_for()
        # Before its kernel is there, a notebook asks which one to use.
        page.locator(".jp-StatusBar-TextItem", has_text="Python 3 (ipykernel) | Idle").wait_for(timeout=90_000)

    def menu(self, name: str, entry: str) -> None:
        """Choose `entry` in the menu `name`."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{name}$")).click()
        label = re.compile(f"^{re.escape(entry)}$")
        self.page.locator(".lm-Menu-itemLabel", has_text=label).click()

    @property
    def prompts(self) -> list[str]:
        """What stands before each code cell that has code: `[ ]:`, `[*]:`, `[3]:`."""
        return self.panel.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()

    @property
    def complaints(self) -> list[str]:
        """Texts of the error outputs, and of what was written to stderr, as warnings are."""
        return self.panel.locator("[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts()

    def run_all(self, seconds: float) -> None:
        """Clear what is stored, run all cells, and wait until the last is done or something complains."""
        self.menu("Edit", "Clear Outputs of All Cells")
        wait_for(lambda: not any(re.search(r"\d", prompt) for prompt in self.prompts), 10)
        self.menu("Run", "Run All Cells")
        done = re.compile(r"\[\d+\]")
        wait_for(
            lambda: self.complaints or all(done.search(prompt) for prompt in self.prompts),
            seconds,
            lambda: self.prompts,
        )

    def save(self) -> None:
        """Save with the keyboard, and wait until the tab no longer shows unsaved changes."""
        self.page.keyboard.press("Control+s")
        self.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab.lm-mod-current.jp-mod-dirty").wait_for(state="detached")
