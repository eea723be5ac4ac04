"""The runs that the course ships: packed when a lesson is built, and found only where the code is the same."""

import json
from types import SimpleNamespace

import lesson_kernels
import pytest
import torch

from nnlab_helpers.sweep import cache_folder, records, shipped, sweep
from nnlab_helpers.sweep.records import Records, made_with, read_pack
from nnlab_helpers.sweep.shipped import made_here, pack_lesson, unshipped


def run(config, seed):
    return {"loss": config["width"] + 0.1 * seed}


def run_changed(config, seed):
    return {"loss": config["width"] + 0.2 * seed}


def run_or_not(config, seed):
    if seed:
        raise ValueError("not this one")
    return {"loss": 1.0}


GRID = {"width": [1, 2]}


@pytest.fixture
def ship(tmp_path, monkeypatch):
    """Make a sweep as a lesson's build does, ship it, and leave a reader who has run nothing."""
    place = tmp_path / "package"
    monkeypatch.setattr(records, "SHIPPED", place)

    def make(name="day15_width", function=run):
        built = tmp_path / "built"
        sweep(function, GRID, seeds=range(2), cache=built / name, n_jobs=1, progress=False)
        return pack_lesson(name.partition("_")[0], built, place)

    monkeypatch.delenv("NNLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "reader"))
    return make


def of_reader(function=run, name="day15_width"):
    return sweep(function, GRID, seeds=range(2), cache=cache_folder(name), n_jobs=1, progress=False)


def test_a_reader_is_spared_the_runs_of_the_course(ship, tmp_path):
    ship()
    frame = of_reader()
    assert frame["cached"].all()
    assert frame["loss"].tolist() == [1.0, 1.1, 2.0, 2.1]
    assert not (tmp_path / "reader").exists(), "nothing is copied"


def test_another_code_runs_anew(ship):
    ship()
    frame = of_reader(run_changed)
    assert not frame["cached"].any()
    assert frame["loss"].tolist() == [1.0, 1.2, 2.0, 2.2]
    assert of_reader(run_changed)["cached"].all(), "from the reader's own records"
    assert of_reader()["cached"].all(), "and the shipped ones are still there"


def test_another_version_of_python_or_torch_runs_anew(ship, monkeypatch):
    from nnlab_helpers.sweep import fingerprint

    ship()
    monkeypatch.setattr(fingerprint, "python_version", lambda: "2.7")
    assert not of_reader()["cached"].any()


def test_another_name_and_a_chosen_folder_have_nothing_behind_them(ship, tmp_path, monkeypatch):
    ship()
    assert not of_reader(name="day15_depth")["cached"].any()
    monkeypatch.setenv("NNLAB_CACHE", str(tmp_path / "mine"))
    assert not of_reader()["cached"].any()
    elsewhere = sweep(run, GRID, seeds=[0], cache=tmp_path / "day15_width", n_jobs=1, progress=False)
    assert not elsewhere["cached"].any()


def test_a_damaged_line_is_run_again_and_the_others_are_not(ship):
    (pack,) = ship()
    lines = pack.read_text().splitlines()
    lines[1] = lines[1].replace('"loss": ', '"loss": 9')
    lines[2] = lines[2][:30]
    pack.write_text("\n".join(lines) + "\n")
    frame = of_reader()
    assert sorted(frame["cached"]) == [False, False, True, True]
    assert frame["loss"].tolist() == [1.0, 1.1, 2.0, 2.1]


def test_a_pack_says_what_made_it_and_holds_no_failed_run(ship):
    (pack,) = ship(function=run_or_not)
    assert json.loads(pack.read_text().splitlines()[0]) == made_here()
    assert [record.seed for record in read_pack(pack)] == [0, 0]


def test_a_second_build_leaves_the_same_results_as_they_are(ship, tmp_path):
    (pack,) = ship()
    before = pack.read_bytes()
    built = tmp_path / "built" / "day15_width"
    for path in built.iterdir():  # the same runs, but they took another time
        record = records.record_from(path.read_text())
        Records(built).keep(records.Record(**{**vars(record), "seconds": record.seconds + 1}))
    pack_lesson("day15", tmp_path / "built", pack.parent)
    assert pack.read_bytes() == before


def test_a_sweep_that_a_lesson_no_longer_has_is_forgotten(ship, tmp_path):
    (old,) = ship()
    (tmp_path / "built" / "day15_width").rename(tmp_path / "away")
    (other,) = ship("day16_norm")
    assert old.exists()
    assert other.exists()
    pack_lesson("day15", tmp_path / "nothing", old.parent)
    assert not old.exists()
    assert other.exists()


def test_a_sweep_is_named_after_its_lesson(ship, tmp_path):
    (pack,) = ship()
    with pytest.raises(ValueError, match=r"begin with 'day16_', got day15_width"):
        pack_lesson("day16", tmp_path / "built", pack.parent)


def test_what_is_out_of_step_is_counted(ship, tmp_path):
    (pack,) = ship()
    built = tmp_path / "built"
    assert unshipped(built, pack.parent) == {}
    sweep(run_changed, GRID, seeds=[0], cache=built / "day15_width", n_jobs=1, progress=False)
    sweep(run, GRID, seeds=[0], cache=built / "day15_new", n_jobs=1, progress=False)
    assert unshipped(built, pack.parent) == {"day15_new": 2, "day15_width": 2}
    assert unshipped(tmp_path / "nothing", pack.parent) == {}


@pytest.mark.parametrize(("part", "out_of_step"), [("processor", 1), ("python", 0), ("torch", 0)])
def test_another_processor_runs_the_same_and_another_version_of_python_or_torch_may_not(
    ship, tmp_path, monkeypatch, part, out_of_step
):
    (pack,) = ship()
    monkeypatch.setattr(shipped, "made_here", lambda: made_with(pack) | {part: "another"})
    assert unshipped(tmp_path / "built", pack.parent) == {}
    sweep(run_changed, GRID, seeds=[0], cache=tmp_path / "built" / "day15_width", n_jobs=1, progress=False)
    assert unshipped(tmp_path / "built", pack.parent) == ({"day15_width": 2} if out_of_step else {})


VIEWS = torch.linspace(0, 1, 5)


def run_views(config, seed):
    return {"loss": VIEWS.sum().item()}


def test_bits_that_rounding_decides_do_not_make_other_runs(ship, tmp_path, monkeypatch):
    (pack,) = ship(function=run_views)
    (tmp_path / "built").rename(tmp_path / "before")
    monkeypatch.setitem(globals(), "VIEWS", torch.nextafter(VIEWS, torch.tensor(2.0)))
    again = tmp_path / "again"
    sweep(run_views, GRID, seeds=range(2), cache=again / "day15_width", n_jobs=1, progress=False)
    assert unshipped(again, pack.parent) == {}, "as another processor would have it"
    assert not of_reader(run_views)["cached"].any(), "and yet what is read is what was asked"
    monkeypatch.setitem(globals(), "VIEWS", torch.linspace(0, 1, 7))
    sweep(run_views, GRID, seeds=[0], cache=again / "day15_width", n_jobs=1, progress=False)
    assert unshipped(again, pack.parent) == {"day15_width": 2}


def test_the_output_says_which_runs_came_with_the_course_and_from_which_processor(ship, capsys):
    ship()
    capsys.readouterr()
    of_reader()
    told = capsys.readouterr()
    made = f"made on {made_here()['processor']} with PyTorch {torch.__version__.partition('+')[0]}"
    assert told.out == f"4 of 4 runs came with the course, {made}\n"
    assert told.err == ""
    of_reader(run_changed)
    assert capsys.readouterr().out == ""


class Cell:
    """As the regression sees a cell of a lesson."""

    def __init__(self, lesson, stash):
        self.path = lesson
        self.config = SimpleNamespace(stash={lesson_kernels.RECORDS: stash})


def test_the_regression_says_which_lesson_ships_other_runs_than_its_own(ship, tmp_path, monkeypatch):
    (pack,) = ship()
    monkeypatch.setattr(lesson_kernels, "IPyNbCell", Cell)
    monkeypatch.setattr(lesson_kernels, "COURSE", tmp_path / "notebooks")
    monkeypatch.setattr(shipped.unshipped, "__defaults__", (pack.parent,))
    last = Cell(tmp_path / "notebooks" / "day15_depth_width.ipynb", tmp_path)
    kernel = tmp_path / "notebooks-day15_depth_width.json.sweeps"
    (tmp_path / "built").rename(kernel)
    lesson_kernels.pytest_runtest_teardown(last, None)
    sweep(run_changed, GRID, seeds=[0], cache=kernel / "day15_width", n_jobs=1, progress=False)
    with pytest.raises(pytest.fail.Exception, match=r"2 of day15_width.*nnlab build day15_depth_width"):
        lesson_kernels.pytest_runtest_teardown(last, None)
    lesson_kernels.pytest_runtest_teardown(last, last)
