"""The learner's record: kept, merged, and never a reason to fail."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

import nnlab_helpers.exercises as package
from nnlab_helpers.exercises import check, keep_record, progress
from nnlab_helpers.exercises.checking import declare, exercise
from nnlab_helpers.exercises.progress import Entry, Record, record_path


@pytest.fixture
def path(monkeypatch, tmp_path) -> Path:
    path = tmp_path / "folder" / "progress.json"
    monkeypatch.setenv("NNLAB_PROGRESS", str(path))
    monkeypatch.setattr(package, "_record", Record())
    return path


def kept(path: Path) -> dict:
    return json.loads(path.read_text())["exercises"]


def test_where_the_record_lies(monkeypatch, tmp_path) -> None:
    monkeypatch.delenv("NNLAB_PROGRESS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert record_path() == tmp_path / "nnlab" / "progress.json"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert record_path() == Path.home() / ".local" / "share" / "nnlab" / "progress.json"
    monkeypatch.setattr("sys.platform", "darwin")
    assert "Application Support" in str(record_path())
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert record_path() == tmp_path / "nnlab" / "progress.json"


def test_once_solved_stays_solved(path: Path) -> None:
    record = Record()
    for passed in (False, True, False):
        assert record.add("day01.a", passed) == ""
    assert kept(path) == {"day01.a": {"attempts": 3, "solved": True}}
    assert sorted(os.listdir(path.parent)) == ["progress.json", "progress.json.lock"]


def test_two_kernels_add_to_the_same_record(path: Path) -> None:
    one, other = Record(), Record()
    one.add("day01.a", True)
    other.add("day01.b", False)
    one.add("day01.b", True)
    other.add("day01.a", False)
    assert kept(path) == {"day01.a": {"attempts": 2, "solved": True}, "day01.b": {"attempts": 2, "solved": True}}


def add_many(name: str) -> None:
    record = Record()
    for number in range(20):
        record.add(f"day01.{name}{number % 4}", True)
        record.add("day01.shared", True)


def test_writers_at_the_same_time_lose_nothing(path: Path) -> None:
    context = multiprocessing.get_context("fork" if os.name == "posix" else "spawn")
    writers = [context.Process(target=add_many, args=(name,)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    entries = kept(path)
    assert len(entries) == 13
    assert entries["day01.shared"]["attempts"] == 60


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"3", b'{"exercises": 3}', b'{"a": 1}', b"[" * 9999,
                                     b'{"exercises": {"day01.a": {"attempts": "many"}}}'])  # fmt: skip
def test_a_damaged_record_is_set_aside_and_told_once(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    record = Record()
    told = record.add("day01.a", True)
    assert "was damaged" in told
    assert str(path) + ".bak" in told
    assert path.with_name("progress.json.bak").read_bytes() == content
    assert record.add("day01.b", True) == ""
    assert set(kept(path)) == {"day01.a", "day01.b"}


def test_odd_entries_are_skipped_and_unknown_fields_kept(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"format": 2, "later": [1], "exercises": {"day01.a": 7, "day01.b": {"solved": 1}}}')
    assert Record().add("day01.c", False) == ""
    content = json.loads(path.read_text())
    assert (content["format"], content["later"]) == (2, [1])
    assert content["exercises"]["day01.b"] == {"attempts": 0, "solved": True}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user for whom read-only means something")
def test_a_read_only_record_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"exercises": {}}')
    path.chmod(0o444)
    assert "Permission denied" in Record().add("day01.a", True)
    assert kept(path) == {}


def test_a_file_that_may_not_be_written_is_left_alone(path: Path, monkeypatch) -> None:
    path.parent.mkdir()
    path.write_text('{"exercises": {}}')
    monkeypatch.setattr(os, "access", lambda *a: False)
    assert "not being kept: Permission denied" in Record().add("day01.a", True)
    assert kept(path) == {}


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder"])
def test_what_lies_under_the_name_of_the_lock_is_not_touched(path: Path, tmp_path: Path, kind: str) -> None:
    path.parent.mkdir()
    precious, lock = tmp_path / "thesis.txt", path.with_name(path.name + ".lock")
    precious.write_text("years of work")
    if kind == "folder":
        lock.mkdir()
    else:
        lock.symlink_to(precious if kind == "link" else tmp_path / "nothing")
    assert "not being kept" in Record().add("day01.a", True)
    assert precious.read_text() == "years of work"
    assert not (tmp_path / "nothing").exists()


def test_a_lock_file_is_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    lock = path.with_name(path.name + ".lock")
    lock.write_text("mine")
    assert Record().add("day01.a", True) == ""
    assert lock.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
@pytest.mark.parametrize("name", ["progress.json", "progress.json.lock"])
@pytest.mark.timeout(20)
def test_a_pipe_blocks_nobody(path: Path, name: str) -> None:
    path.parent.mkdir()
    os.mkfifo(path.with_name(name))
    record = Record()
    told = record.add("day01.a", True)
    assert told == "" or "not a plain file" in told
    assert record.entries()[0] == {"day01.a": Entry(1, True)}


@pytest.mark.parametrize("attempts", ["Infinity", "-Infinity", "NaN", "1e999", '"many"', "[1]", "null", "{}"])
def test_odd_numbers_of_attempts_raise_nothing(path: Path, attempts: str) -> None:
    path.parent.mkdir()
    path.write_text(f'{{"exercises": {{"day01.b": {{"attempts": {attempts}, "solved": true}}}}}}')
    assert "was damaged" in Record().add("day01.a", True)
    assert kept(path) == {"day01.a": {"attempts": 1, "solved": True}}
    assert attempts in path.with_name("progress.json.bak").read_text()


@pytest.mark.parametrize("obstacle", ["folder is a file", "record is a folder", "write fails", "no home"])
def test_what_cannot_be_written_is_told_once_and_remembered(path: Path, monkeypatch, obstacle: str) -> None:
    if obstacle == "folder is a file":
        path.parent.write_text("")
    elif obstacle == "record is a folder":
        path.mkdir(parents=True)
    elif obstacle == "write fails":
        monkeypatch.setattr("json.dump", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    else:
        monkeypatch.delenv("NNLAB_PROGRESS")
        monkeypatch.delenv("XDG_DATA_HOME", raising=False)
        monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home directory")))
    record = Record()
    assert "not being kept" in record.add("day01.a", True)
    assert record.add("day01.a", False) == ""
    entries, _ = record.entries()
    assert entries == {"day01.a": Entry(2, True)}
    if obstacle == "write fails":
        assert sorted(os.listdir(path.parent)) == ["progress.json.lock"]


def test_nothing_is_kept_when_told_so(path: Path) -> None:
    record = Record()
    record.keep = False
    record.add("day01.a", True)
    assert not path.exists()
    assert record.entries() == ({}, "")


@pytest.fixture
def two_days(monkeypatch, path: Path) -> Path:
    monkeypatch.setattr(declare, "REGISTRY", {})
    monkeypatch.setattr(declare, "days", lambda: ["day90", "day91"])
    monkeypatch.setattr(declare.importlib, "import_module", lambda name: None)
    for id, stars in (("day90.a", 1), ("day90.b", 3), ("day91.c", 2)):
        exercise(id, title=f"Title {id[-1]} <b>", stars=stars, hints=("1", "2"), learned="l")(
            lambda answer, t: t.expect(answer, 1)
        )
    return path


def test_progress_shows_days_with_their_exercises(two_days: Path, capsys) -> None:
    check("day90.a", 1)
    check("day90.b", 2)
    check("day91.c", None)
    capsys.readouterr()
    progress()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        ["day", "90", "█████░░░░░", "1", "of", "2", "solved"],
        ["✓", "day90.a", "★☆☆", "Title", "a", "<b>"],
        ["✗", "day90.b", "★★★", "Title", "b", "<b>"],
        ["day", "91", "░░░░░░░░░░", "0", "of", "1", "solved"],
        ["○", "day91.c", "★★☆", "Title", "c", "<b>"],
    ]
    assert set(kept(two_days)) == {"day90.a", "day90.b"}


def test_solutions_leave_the_record_alone(two_days: Path, capsys) -> None:
    keep_record(False)
    check("day90.a", 1)
    assert not two_days.exists()
    keep_record(True)
    check("day90.a", 1)
    assert two_days.exists()


def test_a_problem_with_the_record_stands_below_the_result(two_days: Path, capsys) -> None:
    two_days.parent.write_text("in the way")
    check("day90.a", 1)
    first = capsys.readouterr().out
    assert first.startswith("✓ day90.a   right. l\n")
    assert "not being kept" in first
    check("day90.a", 1)
    assert capsys.readouterr().out == "✓ day90.a   right. l\n"
    progress()
    assert "day 90 █████░░░░░  1 of 2 solved" in capsys.readouterr().out
