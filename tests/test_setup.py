"""pyproject.toml (names), constraints.txt (versions) and environment.yml (both) are in step; and Makefile, README."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from nnlab_helpers.cli import pinning
from nnlab_helpers.cli.lessons import find_lessons
from nnlab_helpers.cli.readme import read_rows, table

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    return pinning.read_pins(ROOT / "constraints.txt")


@pytest.fixture(scope="module")
def named() -> list[str]:
    return pinning.named_requirements(ROOT / "pyproject.toml")


def test_every_requirement_is_pinned(pins, named):
    assert [name for name in named if name not in pins] == []


def test_constraints_are_names_and_versions_only(pins):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    entries = [line for line in lines if line and not line.startswith("#")]
    assert entries == [f"{name}=={version}" for name, version in sorted(pins.items())], "run `make pins`"
    assert not [name for name in pins if re.match(r"nvidia-|cuda-|triton", name)]
    assert "nnlab-helpers" not in pins


def test_environment_has_the_versions_of_the_constraints(pins, named):
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [line for line in environment["dependencies"] if isinstance(line, str)]
    (pip,) = [line["pip"] for line in environment["dependencies"] if isinstance(line, dict)]
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f"python{requires},<3.14" in conda
    assert "pip" in conda
    assert pip[:2] == ["-c constraints.txt", "-e ."]
    assert pip[2:] == [f"{name}=={pins[name]}" for name in sorted(named)], "run `make pins`"


def test_nothing_is_pinned_that_nothing_needs(pins):
    """Leave out what was installed by hand; what only another system or Python needs may be in the pins."""
    needed = pinning.installed_pins(pinning.named_requirements(ROOT / "pyproject.toml"))
    assert sorted(needed.keys() - pins.keys()) == [], "needed but not pinned: run `make pins`"
    if sys.version_info[:2] == (3, 11) and sys.platform == "linux":
        assert sorted(pins.keys() - needed.keys()) == [], "pinned but not needed: run `make pins`"


def test_installed_versions_are_the_pinned_ones(pins):
    wrong = {name: (there, pin) for name, pin in pins.items() if (there := pinning.version_of(name)) not in (None, pin)}
    assert wrong == {}


def test_committed_files_name_no_index():
    for name in ("constraints.txt", "environment.yml", "Makefile", "pyproject.toml", "README.md", ".ci/run"):
        text = (ROOT / name).read_text()
        assert not re.search(r"https?://\S*(pypi|download\.pytorch|anaconda)|--(extra-)?index-url\s+http", text), name


@pytest.mark.parametrize(
    ("line", "message"),
    [("torch>=2", "line 2: expected name==version"), ("torch==2 --hash=sha256:ab", "line 2"), ("-e .", "line 2")],
)
def test_bad_constraint_line(tmp_path, line, message):
    path = tmp_path / "constraints.txt"
    path.write_text(f"# a comment\n{line}\n")
    with pytest.raises(ValueError, match=message):
        pinning.read_pins(path)


def test_pins_leave_out_local_versions_and_cuda():
    found = pinning.installed_pins(["torch"])
    assert re.fullmatch(r"[\d.]+", found["torch"])
    assert "filelock" in found
    assert not [name for name in found if name.startswith(("nvidia", "cuda", "triton"))]


def test_names_are_canonical(pins):
    assert [name for name in pins if name != canonicalize_name(name)] == []


# The Makefile


def make(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    for name in ("ARGS", "PYTHON"):  # given to the make that runs these tests, they would reach this one too
        environment.pop(name, None)
    environment["PATH"] = path or environment["PATH"]
    return subprocess.run(
        [shutil.which("make") or "make", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a blank in its path, so far without .venv."""
    folder = tmp_path / "my lab"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


def fake_python(folder: Path, name: str, body: str) -> None:
    folder.mkdir(exist_ok=True)
    script = folder / name
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
# Old enough to be refused; answers nothing else.
OLD = 'case "$2" in *version_info*) exit 1;; esac; exit 0'
# A new Python as Debian ships it without python3-venv.
NO_VENV = 'case "$2" in *ensurepip*) exit 1;; esac; exit 0'
# A new Python that records what it was asked, and makes a .venv whose Python does nothing.
WORKS = """\
echo "$*" >> "{log}"
if [ "$2" = venv ]; then mkdir -p .venv/bin; printf '#!/bin/sh\\necho "$*" >> "{log}"\\n' > .venv/bin/python
chmod +x .venv/bin/python; fi
exit 0"""


@needs_make
def test_help_lists_the_commands(checkout):
    shown = make(checkout).stdout
    for word in ("run", "test", "lab", "lessons", "readme", "pins", "lint", "bench", "clean"):
        assert re.search(rf"^  make {word} ", shown, re.MULTILINE)


@needs_make
@pytest.mark.parametrize(
    ("body", "message"),
    [(OLD, "needs Python 3.11 or later"), (NO_VENV, "apt install python3-venv")],
)
def test_an_unsuitable_python_is_refused_clearly(checkout, tmp_path, body, message):
    fake_python(tmp_path / "odd bin", "python", body)
    done = make(checkout, "run", f"PYTHON={tmp_path / 'odd bin' / 'python'}")
    assert done.returncode != 0
    assert message in done.stderr
    assert not (checkout / ".venv").exists()


@needs_make
def test_set_up_happens_once_and_again_when_the_pins_change(checkout, tmp_path):
    log = tmp_path / "log"
    fake_python(tmp_path / "odd bin", "python", WORKS.format(log=log))
    python = f"PYTHON={tmp_path / 'odd bin' / 'python'}"

    def asked(*arguments: str) -> list[str]:
        log.write_text("")
        done = make(checkout, *arguments, python)
        assert done.returncode == 0, done.stderr
        telling = (" -e ", "nnlab_helpers", "pytest")
        return [line for line in log.read_text().splitlines() if any(word in line for word in telling)]

    install = "-m pip install --disable-pip-version-check --quiet -c constraints.txt -e "
    run = "-m nnlab_helpers.cli run"
    assert asked("run") == [f"{install}.", run]
    assert asked("run", "ARGS=day03 --jobs 2") == [f"{run} day03 --jobs 2"]
    assert asked("test") == [f"{install}.[test]", "-m pytest"]
    assert asked("test") == ["-m pytest"]
    assert asked("run") == [run], "the tests' set-up includes what a run needs"
    future = (checkout / ".venv" / ".installed").stat().st_mtime + 5
    os.utime(checkout / "constraints.txt", (future, future))
    assert asked("run") == [f"{install}.", run]


@needs_make
def test_a_moved_checkout_is_set_up_again(checkout, tmp_path):
    log = tmp_path / "log"
    fake_python(tmp_path / "odd bin", "python", WORKS.format(log=log))
    python = f"PYTHON={tmp_path / 'odd bin' / 'python'}"
    assert make(checkout, "run", python).returncode == 0
    moved = checkout.rename(tmp_path / "moved")
    log.write_text("")
    assert make(moved, "run", python).returncode == 0
    assert "-e ." in log.read_text()


# The README


def test_readme_table_is_in_step_with_the_lessons():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    lessons = find_lessons(ROOT)
    rows = read_rows(text)
    assert sorted(rows) == [lesson.day for lesson in lessons], "run `make readme`"
    assert table(lessons, {}, rows) in text, "run `make readme`"
    for day, cells in rows.items():
        assert all(cells), f"day {day}: an empty cell in the README's table"
        assert re.fullmatch(r"\d+ s", cells[4]), f"day {day}: the seconds are not measured"


def test_readme_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", text)
    headings = {
        re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    broken = [
        target
        for target in targets
        if not (target[1:] in headings if target.startswith("#") else "://" in target or (ROOT / target).exists())
    ]
    assert broken == []


def test_readme_names_existing_make_targets():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    used = set(re.findall(r"`make ([a-z]+)", readme))
    for words in re.findall(r"^make((?: [a-z]+)+)", readme, re.MULTILINE):  # in a block of commands
        used |= set(words.split())
    assert {"run", "lab", "test", "readme"} <= used
    assert used - targets == set()
