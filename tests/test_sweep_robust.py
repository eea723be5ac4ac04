"""`sweep` when runs, their configurations, or the places for records are not as they should be."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import time

import pandas
import psutil
import pytest
import torch

from nnlab_helpers.sweep import effects, records, sweep


def quietly(run, grid, *, seeds=(0,), n_jobs=1, **options):
    return sweep(run, grid, seeds=seeds, n_jobs=n_jobs, progress=False, **options)


class Stop(BaseException):
    """Such as asyncio.CancelledError."""


def stop(config, seed):
    raise Stop("enough")


class Untold(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def leave(config, seed):
    if config["a"] == 2:
        sys.exit("enough")
    return {"v": config["a"]}


def raise_untold(config, seed):
    raise Untold


def die(config, seed):
    if config["a"] == 2:
        os.kill(os.getpid(), 9)
    return {"v": config["a"]}


def append(config, seed):
    config["widths"].append(10)
    config["inner"]["seen"] = True
    return {"layers": len(config["widths"]), "seen": len(config["inner"])}


class TestABadRun:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_that_exits_is_a_row(self, n_jobs):
        frame = quietly(leave, {"a": [1, 2, 3]}, n_jobs=n_jobs)
        assert frame["error"].tolist() == [None, "SystemExit: enough", None]
        assert frame["v"].tolist()[::2] == [1, 3]

    def test_that_raises_what_is_no_exception_is_a_row(self):
        assert quietly(stop, {"a": [1, 2]})["error"].tolist() == ["Stop: enough"] * 2

    def test_that_an_interrupt_stops_is_none(self):
        def interrupted(config, seed):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            quietly(interrupted, {"a": [1]})

    @pytest.mark.parametrize("name", [1, "\udc80"])
    def test_whose_result_has_no_proper_name_is_a_row(self, name, tmp_path):
        frame = quietly(lambda config, seed: {name: 1.0}, {"a": [1]}, cache=tmp_path)
        assert frame["error"][0].startswith("TypeError: a result is called")

    def test_whose_exception_has_no_text_is_a_row(self):
        assert quietly(raise_untold, {"a": [1]})["error"].tolist() == [
            "Untold: (its text could not be made: RuntimeError)"
        ]

    def test_whose_process_is_killed_is_a_row_and_the_others_go_on(self, tmp_path):
        frame = quietly(die, {"a": [1, 2, 3, 4, 5, 6]}, n_jobs=2, cache=tmp_path)
        assert "killed in the middle of the run" in frame["error"][1]
        assert frame["error"].isna().tolist() == [True, False, True, True, True, True]
        assert frame["v"].tolist()[2:] == [3, 4, 5, 6]
        again = quietly(die, {"a": [1, 2, 3, 4, 5, 6]}, n_jobs=2, cache=tmp_path, retry=False)
        assert again["cached"].all()

    @pytest.mark.parametrize("text", ["\udc80", "half \ud83d"])
    def test_with_half_a_character_is_a_row(self, text, tmp_path):
        frame = quietly(lambda config, seed: {"v": text}, {"a": [1]}, cache=tmp_path)
        assert "no whole text" in frame["error"][0]
        frame = quietly(lambda config, seed: {"v": [][len(text) :][text]}, {"a": [1]}, cache=tmp_path)
        assert frame["error"][0].startswith("TypeError")


def shout(config, seed):
    raise ValueError("\udc80")


def test_an_error_with_half_a_character_can_be_kept(tmp_path):
    assert quietly(shout, {"a": [1]}, cache=tmp_path)["error"].tolist() == ["ValueError: \\udc80"]
    assert quietly(shout, {"a": [1]}, cache=tmp_path, retry=False)["cached"].all()


def test_a_choice_that_no_file_can_hold_is_refused_before_the_first_run(tmp_path):
    ran = []
    with pytest.raises(ValueError, match="no whole text"):
        quietly(lambda config, seed: ran.append(1), {"a": [1, "\udc80"]}, cache=tmp_path)
    with pytest.raises(ValueError, match="the name of a choice"):
        quietly(lambda config, seed: ran.append(1), {"\udc80": [1]}, cache=tmp_path)
    assert not ran


@pytest.mark.parametrize("seed", [1.5, 1.0, "1", True, None])
def test_a_seed_is_a_whole_number(seed):
    with pytest.raises(TypeError, match=r"a seed is a whole number, got"):
        quietly(leave, {"a": [1]}, seeds=[seed])


def test_numpys_whole_numbers_are_seeds():
    import numpy as np

    assert quietly(leave, {"a": [1]}, seeds=np.arange(2))["seed"].tolist() == [0, 1]


class TestTheConfiguration:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_is_each_runs_own(self, n_jobs, tmp_path):
        grid = {"widths": [[32, 64]], "inner": [{}]}
        for cached in (False, True):
            frame = quietly(append, grid, seeds=range(3), n_jobs=n_jobs, cache=tmp_path)
            assert frame["layers"].tolist() == [3, 3, 3]
            assert frame["seen"].tolist() == [1, 1, 1]
            assert frame["widths"].tolist() == [[32, 64]] * 3
            assert frame["cached"].tolist() == [cached] * 3
        assert grid == {"widths": [[32, 64]], "inner": [{}]}

    def test_keeps_none_among_numbers(self):
        frame = quietly(lambda c, s: {"v": (c["clip"] or 0) + s}, {"clip": [None, 1.0]}, seeds=[0, 1])
        assert frame["clip"].tolist() == [None, None, 1.0, 1.0]
        told = effects(frame, "v", baseline={"clip": None})
        assert told["difference"].tolist() == [1.0]
        assert told["baseline"].tolist() == [None]
        mixed = quietly(lambda c, s: {"v": 1}, [{"a": None}, {"b": 2}])
        assert mixed["a"].tolist()[0] is None
        assert pandas.isna(mixed["a"].tolist()[1])


def blocked(tmp_path):
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "records"


def test_a_folder_that_cannot_be_made_is_told_before_the_first_run(tmp_path):
    ran = []
    with pytest.raises(OSError, match=r"no records can be kept in .*records.*name another folder as `cache`"):
        quietly(lambda config, seed: ran.append(1) or {"v": 1}, {"a": [1]}, cache=blocked(tmp_path))
    assert not ran


def test_a_full_disk_costs_the_records_and_not_the_results(tmp_path, monkeypatch):
    quietly(leave, {"a": [1]}, cache=tmp_path)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match=r"could not be kept.*No space left.*\.json"):
        frame = quietly(leave, {"a": [1, 3]}, cache=tmp_path)
    assert frame["v"].tolist() == [1, 3]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == kept


def test_what_a_killed_sweep_left_unfinished_is_cleared(tmp_path):
    leftover = tmp_path / f".{'a' * 32}.json.abcdefgh.tmp"
    mine = tmp_path / ".notes.tmp"
    for path in (leftover, mine):
        path.write_text("half")
    quietly(leave, {"a": [1]}, cache=tmp_path)
    assert not leftover.exists()
    assert mine.exists()


def test_workers_end_with_a_killed_sweep(tmp_path):
    script = f"""
        import os, time, pathlib
        from nnlab_helpers.sweep import sweep
        def run(config, seed):
            pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
            time.sleep(0.05 if seed < 2 else 600)
            return {{"v": 1}}
        sweep(run, {{"a": [1]}}, seeds=range(4), n_jobs=2, progress=False)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2, 60)
    finally:
        process.kill()
        process.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    wait_for(lambda: not any(psutil.pid_exists(worker) for worker in workers), 20)


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


# Which code made a record ------------------------------------------------------------------------------------------


def apply(config, seed):
    return {"v": config["f"](2)}


def test_a_function_among_the_choices_counts_by_its_code(tmp_path):
    got = [
        int(quietly(apply, {"f": [function]}, cache=tmp_path)["v"][0])
        for function in (lambda x: x, lambda x: x * 10, lambda x: x)
    ]
    assert got == [2, 20, 2]
    assert quietly(apply, {"f": [lambda x: x, lambda x: x * 10]})["v"].tolist() == [2, 20]
    with pytest.raises(ValueError, match="there twice"):
        quietly(apply, {"f": [lambda x: x, lambda x: x]})


def test_a_class_among_the_choices_counts_by_its_code(tmp_path):
    got = []
    for width in (8, 64):

        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4, width)  # noqa: B023

        count = quietly(lambda c, s: {"v": c["net"]().layer.weight.numel()}, {"net": [Net]}, cache=tmp_path)
        got.append((int(count["v"][0]), bool(count["cached"][0])))
    assert got == [(32, False), (256, False)]


def test_a_librarys_class_is_known_by_its_name(tmp_path):
    run = apply_module
    for cached in (False, True):
        frame = quietly(run, {"f": [torch.nn.ReLU, torch.nn.Tanh]}, cache=tmp_path)
        assert frame["cached"].tolist() == [cached] * 2
    (record, *_) = [records.record_from(path.read_text()) for path in tmp_path.glob("*.json")]
    assert record.config["f"] in ("torch.nn.modules.activation.ReLU", "torch.nn.modules.activation.Tanh")


def apply_module(config, seed):
    return {"v": config["f"]()(torch.tensor(-1.0)).item()}


TABLE = pandas.DataFrame({"x": [1.0]})


def total(config, seed):
    return {"v": float(TABLE.x.sum())}


def test_a_table_that_a_run_reads_counts_by_its_content(tmp_path, monkeypatch):
    assert [quietly(total, {"a": [1]}, cache=tmp_path)["cached"][0] for _ in "ab"] == [False, True]
    monkeypatch.setitem(globals(), "TABLE", pandas.DataFrame({"x": [2.0]}))
    frame = quietly(total, {"a": [1]}, cache=tmp_path)
    assert (frame["v"][0], bool(frame["cached"][0])) == (2.0, False)


MODULES = {
    "import mine": "import mine\ndef run(c, s): return {'v': mine.train()}",
    "under another name": "import mine as m\ndef run(c, s): return {'v': m.train()}",
    "within the run": "def run(c, s):\n    import mine\n    return {'v': mine.train()}",
    "from, within the run": "def run(c, s):\n    from mine import train\n    return {'v': train()}",
    "from mine import train": "from mine import train\ndef run(c, s): return {'v': train()}",
    "a module in a folder": "import box.inner\ndef run(c, s): return {'v': box.inner.train()}",
    "a module in a folder, within": "def run(c, s):\n    from box import inner\n    return {'v': inner.train()}",
    "by way of another module": "import other\ndef run(c, s): return {'v': other.train()}",
    "by its name as a text": "import mine\ndef run(c, s): return {'v': getattr(mine, 'tr' + 'ain')()}",
    "a number in it": "import mine\ndef run(c, s): return {'v': mine.VALUE}",
}


@pytest.mark.parametrize("code", MODULES.values(), ids=MODULES)
def test_the_users_own_modules_count(code, tmp_path):
    (tmp_path / "other.py").write_text("import mine\ndef train():\n    return mine.train()\n")
    (tmp_path / "box").mkdir()
    (tmp_path / "box" / "__init__.py").write_text("")
    script = f"""
import pathlib, sys
sys.path.insert(0, {str(tmp_path)!r})
sys.dont_write_bytecode = True
from nnlab_helpers.sweep import sweep
{code}
frame = sweep(run, {{"a": [1]}}, seeds=[0], cache={str(tmp_path / "cache")!r}, n_jobs=1, progress=False)
print(int(frame["v"][0]), bool(frame["cached"][0]))
"""
    got = []
    for value in (1, 1, 1000):
        module = f"# a comment of {len(got)}\nVALUE = {value}\ndef train():\n    return VALUE\n"
        for name in ("mine.py", "box/inner.py"):
            (tmp_path / name).write_text(module)
        ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
        got.append(ran.stdout.split())
    assert got == [["1", "False"], ["1", "True"], ["1000", "False"]]


def test_a_number_that_is_set_in_a_module_counts(tmp_path, monkeypatch):
    (tmp_path / "settable.py").write_text("RATE = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import settable

    monkeypatch.setitem(globals(), "settable", settable)
    got = []
    for rate in (1, 5):
        settable.RATE = rate
        got.append(int(quietly(read_rate, {"a": [1]}, cache=tmp_path / "cache")["v"][0]))
    assert got == [1, 5]


def read_rate(config, seed):
    return {"v": settable.RATE}  # noqa: F821
