"""`nnlab doctor`: a sound set-up passes, and each thing that is wrong is named with its remedy."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import jupyter_client.kernelspec
import nbformat
import pytest
from typer.testing import CliRunner

from nnlab_helpers.cli import app, checkup, pinning

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose versions are the installed ones, with one lesson in step with its script."""
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "notebooks" / "jupytext.toml", tmp_path / "notebooks")
    pins = pinning.installed_pins(pinning.named_requirements(ROOT / "pyproject.toml"))
    (tmp_path / "constraints.txt").write_text(pinning.constraints_text(pins))
    monkeypatch.chdir(tmp_path)
    for name in ("NNLAB_DATA", "NNLAB_DEVICE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def examine() -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.output


def test_a_sound_set_up(project):
    code, output = examine()
    assert code == 0, output
    for line in (
        r"✓ Python: +3\.\d+\.\d+ at ",
        r"✓ Packages: +\d+ at their pinned versions",
        r"✓ Device: +\w+",
        r"✓ Data: +60,000 MNIST digits \(train\), checksums right",
        r"✓ Data: +10,000 MNIST digits \(test\), checksums right",
        r"✓ Kernel: +python3 starts this Python",
        r"✓ Lessons: +0 notebooks",
        r"All is well",
    ):
        assert re.search(line, output), line


def test_another_version_than_the_pinned(project):
    path = project / "constraints.txt"
    path.write_text(re.sub(r"^tqdm==.*$", "tqdm==1.2.3", path.read_text(), flags=re.MULTILINE))
    code, output = examine()
    assert code == 1
    assert re.search(r"✗ Packages: +tqdm is [\d.]+, tested is 1\.2\.3", output)
    assert "pip install tqdm==1.2.3" in output


def test_a_missing_package(project, monkeypatch):
    monkeypatch.setattr(checkup, "version_of", lambda name: None if name == "tqdm" else pinning.version_of(name))
    code, output = examine()
    assert code == 1
    assert "tqdm is missing" in output
    assert "remedy: pip install -c constraints.txt tqdm" in output


def test_a_cpu_build_of_torch_has_the_pinned_version(monkeypatch):
    class Found:
        version = "2.15.0+cpu"

    monkeypatch.setattr(pinning, "distribution", lambda name: Found)
    assert pinning.version_of("torch") == "2.15.0"


@pytest.mark.parametrize(("device", "message"), [("cuda:99", "cuda"), ("abacus", "abacus")])
def test_a_device_that_is_not_there(project, monkeypatch, device, message):
    monkeypatch.setenv("NNLAB_DEVICE", device)
    code, output = examine()
    assert code == 1
    assert re.search(rf"✗ Device: .*{message}", output)
    assert "unset NNLAB_DEVICE" in output


def test_damaged_data(project, monkeypatch):
    raw = project / "data" / "MNIST" / "raw"
    shutil.copytree(ROOT / "nnlab_helpers" / "assets" / "MNIST" / "raw", raw)
    (labels,) = raw.glob("t10k-labels*")
    damaged = bytearray(labels.read_bytes())
    damaged[-100] ^= 1
    labels.write_bytes(bytes(damaged))
    monkeypatch.setenv("NNLAB_DATA", str(project / "data"))
    code, output = examine()
    assert code == 1
    assert re.search(rf"✗ Data: .*{labels.name}", output)
    assert "unset NNLAB_DATA" in output


def test_a_kernel_of_another_python(project, monkeypatch, tmp_path_factory):
    kernels = tmp_path_factory.mktemp("jupyter") / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text(
        json.dumps(
            {"argv": ["/somewhere/python", "-m", "ipykernel_launcher"], "display_name": "x", "language": "python"}
        )
    )
    monkeypatch.setattr(jupyter_client.kernelspec, "jupyter_path", lambda *parts: [str(kernels.parent)])
    code, output = examine()
    assert code == 1
    assert "python3 starts another Python: /somewhere/python" in output
    assert f'"{sys.executable}" -m ipykernel install' in output


@pytest.mark.parametrize(
    ("script", "message"),
    [(None, "is missing"), ("# %%\n1 + 2\n", r"differ"), ("damage", "not a readable notebook")],
    ids=["no script", "edited", "damaged"],
)
def test_a_lesson_apart_from_its_script(project, script, message):
    path = project / "notebooks" / "day01_a.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), path)
    if script == "damage":
        path.write_text("{")
    if script is not None:
        (project / "notebooks" / "py" / "day01_a.py").write_text(script)
    code, output = examine()
    assert code == 1
    assert re.search(rf"✗ Lessons: .*day01_a\.ipynb .*{message}", output)
    assert "nnlab build notebooks/day01_a.ipynb" in output


def test_outside_a_project(tmp_path, monkeypatch):
    monkeypatch.setattr(checkup, "find_root", lambda: (_ for _ in ()).throw(checkup.LessonError("none")))
    code, output = examine()
    assert code == 0
    assert "no constraints.txt here" in output


def test_a_look_that_fails_is_a_problem_too(project):
    (project / "constraints.txt").write_text("nonsense\n")
    code, output = examine()
    assert code == 1
    assert "line 1: expected name==version" in output
    assert "Kernel" in output, "the other looks go on"
