"""Files are replaced whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

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


def test_the_old_file_is_replaced_and_not_written_over(tmp_path):
    """Whoever has it open, or under another name, keeps what it was."""
    path, other = tmp_path / "notes.txt", tmp_path / "other.txt"
    path.write_text("old")
    os.link(path, other)
    with path.open() as reader:
        with replacing(path) as file:
            file.write("new and longer")
        assert reader.read() == "old"
    assert other.read_text() == "old"
    assert path.read_text() == "new and longer"


def test_the_content_is_on_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    """Or else a power cut leaves an empty file under the name."""
    path, done = tmp_path / "notes.txt", []
    path.write_text("old")
    fsync, replace = os.fsync, os.replace

    def synced(handle):
        done.append(("fsync", os.fstat(handle).st_ino, os.fstat(handle).st_size))
        fsync(handle)

    def replaced(source, target):
        done.append(("replace", os.stat(source).st_ino, os.stat(source).st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    with replacing(path) as file:
        file.write("new")
    inode = path.stat().st_ino
    assert done == [("fsync", inode, 3), ("replace", inode, 3)]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_names_the_file(tmp_path, monkeypatch, number):
    path = tmp_path / "notes.txt"
    path.write_text("old")

    def fail(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=r"notes\.txt") as caught, replacing(path) as file:
        file.write("new")
    assert caught.value.errno == number
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from pathlib import Path
from nnlab_helpers.files import replacing
with replacing(Path(sys.argv[1])) as file:
    file.write("half of the n")
    file.flush()
    print("writing", flush=True)
    sys.stdin.read(1)
"""


@pytest.fixture
def writer(tmp_path):
    """A process in the middle of writing `notes.txt`."""
    path = tmp_path / "notes.txt"
    path.write_text("old")
    command = [sys.executable, "-c", KILLED, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "writing\n"
        yield path, process
        process.kill()


def test_what_a_killed_writer_left_is_cleared(writer):
    path, process = writer
    process.kill()
    process.wait()
    assert len(list(path.parent.iterdir())) == 2, "it was killed in the middle"
    others = [path.parent / name for name in (".notes.txt.tmp", ".notes.txt.short.tmp", ".other.txt.abcd1234.tmp")]
    others += [path.parent / ".notes.txt.more.abcd1234.tmp", path.parent / "notes.txt.abcd1234.tmp"]
    for other in others:
        other.touch()
    with replacing(path) as file:
        file.write("new")
    assert path.read_text() == "new"
    assert sorted(path.parent.iterdir()) == sorted([path, *others]), "files of others stay"


def test_a_living_writer_is_left_alone(writer):
    path, process = writer
    with replacing(path) as file:
        file.write("new")
    assert path.read_text() == "new"
    process.stdin.write("x")
    process.stdin.close()
    assert process.wait() == 0
    assert path.read_text() == "half of the n"
    assert list(path.parent.iterdir()) == [path]


def test_many_writers_of_one_file(tmp_path):
    """Each clears what it takes for left behind, and none loses the file that it is writing."""
    path = tmp_path / "notes.txt"

    def write(number):
        for _ in range(30):
            with replacing(path) as file:
                file.write(f"{number}" * 1000)
            assert len(set(path.read_text())) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert list(tmp_path.iterdir()) == [path]
