"""`sweep`: every run, in order, remembered, whatever fails, stops or breaks."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from nnlab_helpers.sweep import cache_folder, sweep


def area(config, seed):
    return {"area": config["width"] * config["height"], "noise": random.random(), "torch": torch.rand(1)}


GRID = {"width": [1, 2], "height": [10, 20, 30]}


def quietly(run, grid=GRID, **options):
    return sweep(run, grid, **{"n_jobs": 1, "seeds": [0, 1], **options})


class TestTheTable:
    def test_has_a_row_for_each_run_in_the_order_of_the_grid(self):
        frame = quietly(area)
        results = ["area", "noise", "torch"]
        assert list(frame.columns) == ["width", "height", "seed", *results, "seconds", "error", "cached"]
        assert frame["width"].tolist() == [1] * 6 + [2] * 6
        assert frame["height"].tolist() == [10, 10, 20, 20, 30, 30] * 2
        assert frame["seed"].tolist() == [0, 1] * 6
        assert (frame["area"] == frame["width"] * frame["height"]).all()
        assert frame["error"].isna().all()
        assert not frame["cached"].any()
        assert (frame["seconds"] >= 0).all()

    def test_takes_a_list_of_configurations(self):
        frame = quietly(lambda config, seed: {"n": len(config)}, [{"a": 1}, {"a": 2, "b": 3}])
        assert frame["n"].tolist() == [1, 1, 2, 2]
        assert frame.attrs["factors"] == ["a", "b"]

    def test_each_run_starts_from_its_seed(self):
        frame = quietly(area)
        assert frame.groupby("seed")["noise"].nunique().tolist() == [1, 1]
        assert frame["noise"].nunique() == 2
        again = quietly(area, {"width": [2], "height": [30]}, seeds=[1])
        assert again["noise"][0] == frame["noise"].iloc[-1]
        assert again["torch"][0] == frame["torch"].iloc[-1]

    def test_processes_give_the_same_table(self):
        one, two = quietly(area), quietly(area, n_jobs=2)
        assert one.drop(columns="seconds").equals(two.drop(columns="seconds"))

    def test_a_run_cannot_change_the_next_ones_configuration(self):
        def greedy(config, seed):
            config["width"] += 1
            return {"w": config["width"]}

        assert quietly(greedy, {"width": [1]})["w"].tolist() == [2, 2]

    def test_order_does_not_depend_on_which_ends_first(self):
        def slow_first(config, seed):
            time.sleep(0.4 if config["n"] == 0 else 0)
            return {"twice": 2 * config["n"]}

        frame = quietly(slow_first, {"n": [0, 1, 2, 3]}, seeds=[0], n_jobs=2)
        assert frame["twice"].tolist() == [0, 2, 4, 6]


class TestFailures:
    @staticmethod
    def picky(config, seed):
        if config["width"] == 2 and seed == 1:
            raise ValueError("two is\ntoo wide")
        return {"loss": 1.0}

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_a_failing_run_is_recorded_and_the_others_go_on(self, tmp_path, n_jobs):
        frame = quietly(self.picky, {"width": [1, 2, 3]}, cache=tmp_path, n_jobs=n_jobs)
        assert frame["error"].tolist() == [None, None, None, "ValueError: two is", None, None]
        assert frame["loss"].isna().tolist() == [False, False, False, True, False, False]
        assert list(frame.attrs["tracebacks"]) == [3]
        assert "in picky" in frame.attrs["tracebacks"][3]

    def test_it_is_tried_again_unless_told_otherwise(self, tmp_path):
        quietly(self.picky, {"width": [1, 2]}, cache=tmp_path)
        assert quietly(self.picky, {"width": [1, 2]}, cache=tmp_path)["cached"].tolist() == [True, True, True, False]
        kept = quietly(self.picky, {"width": [1, 2]}, cache=tmp_path, retry=False)
        assert kept["cached"].all()
        assert kept["error"].tolist()[3] == "ValueError: two is"

    @pytest.mark.parametrize(
        ("result", "told"),
        [
            (None, "must return a dict"),
            ({}, "must return a dict"),
            ({"loss": [1, 2]}, "return numbers"),
            ({"width": 3}, "another column"),
            ({"seconds": 3}, "another column"),
            ({"loss": torch.ones(2)}, "RuntimeError"),
        ],
    )
    def test_a_wrong_result_is_a_failure_too(self, result, told):
        error = quietly(lambda config, seed: result, {"width": [1]})["error"][0]
        assert told in error

    def test_numbers_in_tensors_and_arrays_are_taken_out(self):
        frame = quietly(lambda config, seed: {"a": torch.tensor(1.5), "b": np.float32(2), "c": True}, {"width": [1]})
        assert frame[["a", "b", "c"]].iloc[0].tolist() == [1.5, 2.0, True]

    def test_an_interrupt_stops_the_sweep_and_keeps_what_is_done(self, tmp_path):
        def interrupted(config, seed):
            if config["n"] == 2:
                raise KeyboardInterrupt
            return {"loss": 0.0}

        with pytest.raises(KeyboardInterrupt):
            quietly(interrupted, {"n": [0, 1, 2, 3]}, seeds=[0], cache=tmp_path)
        assert len(list(tmp_path.glob("*.json"))) == 2


class TestTheCache:
    @staticmethod
    def counting(path):
        def run(config, seed):
            with open(path, "a") as file:
                file.write(f"{config['width']} {seed}\n")
            return {"loss": config["width"] + seed / 10, "nan": float("nan")}

        return run

    def test_finished_runs_do_not_run_again(self, tmp_path):
        run = self.counting(tmp_path / "log")
        first = quietly(run, {"width": [1, 2]}, cache=tmp_path / "cache")
        second = quietly(run, {"width": [2, 3, 1]}, seeds=[1, 0, 5], cache=tmp_path / "cache")
        assert len((tmp_path / "log").read_text().splitlines()) == 4 + 5
        assert second["cached"].sum() == 4
        ours = second[(second["width"] == 2) & (second["seed"] == 1)].iloc[0]
        theirs = first[(first["width"] == 2) & (first["seed"] == 1)].iloc[0]
        assert ours["loss"] == theirs["loss"] == 2.1
        assert ours["seconds"] == theirs["seconds"]
        assert np.isnan(ours["nan"])

    def test_changed_code_runs_again(self, tmp_path):
        def first(config, seed):
            return {"loss": 1.0}

        def second(config, seed):
            return {"loss": 2.0}

        second.__qualname__ = first.__qualname__
        second.__name__ = first.__name__
        quietly(first, {"width": [1]}, cache=tmp_path)
        frame = quietly(second, {"width": [1]}, cache=tmp_path)
        assert not frame["cached"].any()
        assert frame["loss"].tolist() == [2.0, 2.0]

    @pytest.mark.parametrize("damage", ["cut", "changed", "empty", "list", "binary", "other"])
    def test_a_damaged_record_is_noticed_and_run_again(self, tmp_path, damage):
        run = self.counting(tmp_path / "log")
        good = quietly(run, {"width": [1, 2]}, seeds=[0], cache=tmp_path / "cache")
        path, other = sorted((tmp_path / "cache").glob("*.json"))
        text = path.read_text()
        path.write_bytes(
            {
                "cut": text[: len(text) // 2].encode(),
                "changed": text.replace('"loss": ', '"loss": 9').encode(),
                "empty": b"",
                "list": b"[1]",
                "binary": b"\xff\xfe\x00",
                "other": other.read_bytes(),  # intact, but another run's
            }[damage]
        )
        frame = quietly(run, {"width": [1, 2]}, seeds=[0], cache=tmp_path / "cache")
        assert frame.attrs["damaged"] == 1
        assert frame["cached"].sum() == 1
        assert frame["loss"].tolist() == good["loss"].tolist()
        mended = quietly(run, {"width": [1, 2]}, seeds=[0], cache=tmp_path / "cache")
        assert mended["cached"].all()
        assert mended.attrs["damaged"] == 0

    def test_records_can_be_read_by_people(self, tmp_path):
        quietly(area, {"width": [3], "height": [4]}, seeds=[7], cache=tmp_path)
        (path,) = tmp_path.iterdir()
        content = json.loads(path.read_text())
        assert content["config"] == {"height": 4, "width": 3}
        assert content["seed"] == 7
        assert content["result"]["area"] == 12

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
    def test_a_killed_sweep_goes_on_and_loses_at_most_the_runs_under_way(self, tmp_path):
        script = textwrap.dedent(f"""
            import time
            from nnlab_helpers.sweep import sweep

            def run(config, seed):
                with open({str(tmp_path / "log")!r}, "a") as file:
                    file.write(f"{{config['n']}}\\n")
                time.sleep(0.1)
                return {{"twice": 2 * config["n"]}}

            if __name__ == "__main__":
                frame = sweep(run, {{"n": list(range(30))}}, seeds=[0], n_jobs=2, cache={str(tmp_path / "cache")!r})
                print(frame["cached"].sum(), frame["twice"].tolist() == [2 * n for n in range(30)])
        """)
        (tmp_path / "study.py").write_text(script)
        command = [sys.executable, str(tmp_path / "study.py")]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
        first = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while len(list(tmp_path.glob("cache/*.json"))) < 6:
            assert time.monotonic() < end, "the sweep does not get on"
            assert first.poll() is None, "the sweep ended before it could be killed"
            time.sleep(0.02)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        kept = len(list(tmp_path.glob("cache/*.json")))
        started = len((tmp_path / "log").read_text().splitlines())
        assert kept < 30
        assert started - kept <= 4, "more was lost than the runs under way and the two that wait"
        second = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
        assert second.stdout.split() == [str(kept), "True"]
        assert len((tmp_path / "log").read_text().splitlines()) == started + 30 - kept


class TestBadInput:
    @pytest.mark.parametrize(
        ("grid", "error", "told"),
        [
            ({}, None, None),
            ({"width": []}, ValueError, "'width'"),
            ([], ValueError, "empty"),
            ({"width": 3}, TypeError, r"if need be \[3\]"),
            ({"width": "abc"}, TypeError, "a list of choices"),
            ({"seed": [1]}, ValueError, "'seed'"),
            ({"width": [1, 1]}, ValueError, "twice"),
            ([{"a": 1}, {"a": 1}], ValueError, "twice"),
            ({"width": [object()]}, TypeError, "inside `run`"),
            ({3: [1]}, TypeError, "use a string"),
        ],
    )
    def test_a_bad_grid_is_told_before_anything_runs(self, grid, error, told):
        if error is None:  # no choices at all: one run as it is
            assert len(quietly(lambda config, seed: {"n": len(config)}, grid)) == 2
            return
        with pytest.raises(error, match=told):
            quietly(area, grid)

    @pytest.mark.parametrize(("seeds", "told"), [([], "empty"), ([1, 1], "twice")])
    def test_bad_seeds(self, seeds, told):
        with pytest.raises(ValueError, match=told):
            quietly(area, seeds=seeds)


def test_workers_share_the_cores():
    frame = sweep(lambda config, seed: {"threads": torch.get_num_threads()}, {"n": [0, 1]}, seeds=[0], n_jobs=2)
    limit = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    assert (frame["threads"] <= max(1, min(limit, (os.cpu_count() or 1) // 2))).all()


def test_the_bar_shows_failures_and_what_was_done_before(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TQDM_DISABLE", "0")
    quietly(TestFailures.picky, {"width": [1, 2]}, cache=tmp_path)
    assert "4/4" in (shown := capsys.readouterr().err)
    assert "failed=1" in shown
    quietly(TestFailures.picky, {"width": [1, 2]}, cache=tmp_path, progress=False)
    assert capsys.readouterr().err == ""


def test_where_records_are_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("NNLAB_CACHE", str(tmp_path / "mine"))
    assert cache_folder("day15") == tmp_path / "mine" / "day15"
    monkeypatch.delenv("NNLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("day15") == tmp_path / "nnlab" / "sweeps" / "day15"
    assert not list(tmp_path.iterdir()), "only looking makes no folder"


@pytest.mark.parametrize("name", ["", "/tmp", "../elsewhere"])
def test_records_stay_in_their_folder(name):
    with pytest.raises(ValueError, match="name of its own"):
        cache_folder(name)
