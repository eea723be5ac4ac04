"""Without a home folder, or with one that cannot be written, the digits load, lessons run, and `doctor` says so."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import nbformat
import pytest
from small_project import write_lesson
from typer.testing import CliRunner

from nnlab_helpers.cli import app
from nnlab_helpers.data import data_directory, load_images
from nnlab_helpers.files import user_folder
from nnlab_helpers.sweep import cache_folder

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="homes as on POSIX"),
    pytest.mark.filterwarnings("ignore:IPython parent"),  # it says the same
]


@pytest.fixture(params=["none", "closed", "no folder", "relative"])
def homeless(request, monkeypatch, tmp_path):
    for name in ("HOME", "XDG_CACHE_HOME", "NNLAB_DATA", "NNLAB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    if request.param == "none":  # nor does the system know of one

        def unknown(user):
            raise KeyError(user)

        monkeypatch.setattr("pwd.getpwuid", unknown)
    elif request.param == "closed":  # to root nothing is
        home, access, stat = str(tmp_path / "closed"), os.access, os.stat
        os.mkdir(home)
        monkeypatch.setenv("HOME", home)
        monkeypatch.setattr(os, "access", lambda path, *a, **k: str(path) != home and access(path, *a, **k))

        def refuse(path, *arguments, **options):
            if str(path).startswith(f"{home}/"):
                raise PermissionError(13, "Permission denied", str(path))
            return stat(path, *arguments, **options)

        monkeypatch.setattr(os, "stat", refuse)
    else:
        monkeypatch.setenv("HOME", "/dev/null/home" if request.param == "no folder" else "somewhere")
    return request.param


def test_digits_and_caches(homeless, tmp_path):
    assert len(load_images("mnist", "test")) == 10_000
    place = tmp_path / "temporary" / f"nnlab-{os.getuid()}"
    assert data_directory() == user_folder() == place
    assert cache_folder("a") == place / "sweeps" / "a"
    with pytest.raises(FileNotFoundError, match="no kmnist in"):
        load_images("kmnist", "test")


def test_with_a_home_it_is_there(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_folder() == tmp_path / ".cache" / "nnlab"
    (tmp_path / ".cache").touch()  # a file in the way
    assert not user_folder().is_relative_to(tmp_path / ".cache")


def test_lessons_run(homeless, monkeypatch, tmp_path):
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    write_lesson(tmp_path / "notebooks", "day01_a", "import os\nfrom pathlib import Path\nprint(Path.home())")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["run"])
    assert done.exit_code == 0, done.output
    executed = nbformat.read(tmp_path / "build" / "lessons" / "day01_a.ipynb", as_version=4)
    home = Path(executed.cells[1].outputs[0].text.strip())
    assert home.parent == tmp_path / "temporary", "the kernel has one for as long as it lives"
    assert not home.exists()


def test_doctor_tells(homeless, monkeypatch, tmp_path):
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "✓ Data:      10,000 MNIST digits (test)" in done.output
    told = "there is no home folder" if homeless == "none" else "cannot be written"
    assert f"{told}; JupyterLab keeps its settings there" in done.output
    assert "remedy: HOME=/some/folder nnlab lab" in done.output
    assert "install anew" not in done.output
    monkeypatch.setenv("HOME", str(tmp_path))
    assert "Home" not in CliRunner().invoke(app, ["doctor"]).output, "the remedy helps"


def test_a_wrong_data_folder_is_named_with_its_remedy(monkeypatch, tmp_path):
    (tmp_path / "notebooks" / "py").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NNLAB_DATA", str(tmp_path / "nowhere"))
    output = CliRunner().invoke(app, ["doctor"]).output
    assert "nowhere: no such directory" in output
    assert "remedy: unset NNLAB_DATA" in output
