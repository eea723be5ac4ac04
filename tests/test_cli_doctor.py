"""`nnlab doctor`: a sound set-up passes, and each thing that is wrong is named with its remedy."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import jupyter_client.kernelspec
import pytest
from small_project import write_lesson
from typer.testing import CliRunner

from nnlab_helpers.cli import app, checkup, pinning
from nnlab_helpers.pairs import regenerate, script_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose versions are the installed ones, with one lesson in step with its script."""
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copy(ROOT / "notebooks" / "jupytext.toml", tmp_path / "notebooks")
    pins = pinning.installed_pins(pinning.named_requirements(ROOT / "pyproject.toml"))
    (tmp_path / "constraints.txt").write_text(pinning.constraints_text(pins))
    lesson = write_lesson(tmp_path / "notebooks", "day01_a", "1")
    script_of(lesson).write_text(regenerate(lesson))
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
        r"✓ Lessons: +1 notebooks",
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
    ("damage", "message"),
    [
        (lambda path: script_of(path).write_text("# %%\n1 + 2\n"), r"day01_a\.ipynb and its script differ"),
        (lambda path: path.write_text("{"), r"day01_a\.ipynb is not a readable notebook"),
        (lambda path: path.unlink(), r"day01_a\.ipynb is missing"),
    ],
    ids=["edited", "damaged", "gone"],
)
def test_a_lesson_apart_from_its_script(project, damage, message):
    damage(project / "notebooks" / "day01_a.ipynb")
    code, output = examine()
    assert code == 1
    assert re.search(rf"✗ Lessons: .*{message}", output)
    (remedy,) = re.findall(r"nnlab (build notebooks/day01_a\.ipynb --take script)", output)
    done = CliRunner().invoke(app, remedy.split())
    assert done.exit_code == 0, done.output
    assert examine()[0] == 0, "the remedy helps"


def test_a_lesson_without_its_script(project):
    (project / "notebooks" / "py" / "day01_a.py").unlink()
    code, output = examine()
    assert code == 1
    assert re.search(r"✗ Lessons: .*day01_a\.ipynb: its script notebooks/py/day01_a\.py is missing", output)
    assert "git checkout -- notebooks/py/day01_a.py" in output


def test_no_lessons(project):
    (project / "notebooks" / "day01_a.ipynb").unlink()
    (project / "notebooks" / "py" / "day01_a.py").unlink()
    code, output = examine()
    assert code == 1
    assert re.search(r"✗ Lessons: +there are none", output)


def test_a_package_without_a_pin(project):
    path = project / "constraints.txt"
    path.write_text(re.sub(r"^numpy==.*\n", "", path.read_text(), flags=re.MULTILINE))
    code, output = examine()
    assert code == 1
    assert "constraints.txt has no version for numpy" in output
    assert "missing" not in output


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
