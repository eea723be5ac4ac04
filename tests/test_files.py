"""Files are replaced whole or not at all."""

from __future__ import annotations

import os
import sys

import pytest

from nnlab_helpers.files import replacing


def test_a_new_file_and_a_replaced_one(tmp_path):
    path = tmp_path / "notes.txt"
    with replacing(path) as file:
        file.write("first\n")
        assert not path.exists()
    with replacing(path) as file:
        file.write("sécond\n")
        assert path.read_text(encoding="utf-8") == "first\n"
    assert path.read_bytes() == "sécond\n".encode()
    with replacing(path, binary=True) as file:
        file.write(b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path, error):
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def write_half() -> None:
        with replacing(path) as file:
            file.write("half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"), replacing(tmp_path / "nowhere" / "notes.txt"):
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_permissions_are_kept_and_new_files_get_the_usual_ones(tmp_path):
    path, usual = tmp_path / "notes.txt", tmp_path / "usual.txt"
    usual.write_text("")
    with replacing(path) as file:
        file.write("one")
    assert path.stat().st_mode == usual.stat().st_mode
    os.chmod(path, 0o640)
    with replacing(path) as file:
        file.write("two")
    assert path.stat().st_mode & 0o777 == 0o640
