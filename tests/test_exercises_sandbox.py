"""A learner's code may do what it likes: it is stopped, its errors are told, and nothing global changes."""
# ruff: noqa: SIM105, E722, B012

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from nnlab_helpers.exercises.checking import timeout
from nnlab_helpers.exercises.checking.isolation import Modes, Printed, captured, undisturbed
from nnlab_helpers.exercises.checking.timeout import Late, limited


def timer_is_not_ours() -> bool:
    """No timer is set, or that of the test run's own time limit."""
    return not 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 5


def plain():
    while True:
        pass


def bare_except():
    while True:
        try:
            sum(range(1000))
        except:
            pass


def nested():
    while True:
        try:
            try:
                sum(range(10))
            except BaseException:
                pass
        except:
            continue


def always_finally():
    while True:
        try:
            sum(range(10))
        finally:
            continue


def asleep():
    while True:
        try:
            time.sleep(30)
        except:
            pass


def tensors():
    a = torch.ones(50, 50)
    while True:
        try:
            a @ a
        except:
            pass


@pytest.mark.filterwarnings("ignore:.*continue.*finally:SyntaxWarning")
@pytest.mark.parametrize("endless", [plain, bare_except, nested, always_finally, asleep, tensors])
def test_endless_loops_are_stopped(endless) -> None:
    before = signal.getsignal(signal.SIGALRM)
    start = time.monotonic()
    late = limited(endless, 0.1)
    assert isinstance(late, Late)
    assert late.place is not None
    assert late.place[0] > endless.__code__.co_firstlineno
    assert late.place[1]
    assert time.monotonic() - start < 5
    assert signal.getsignal(signal.SIGALRM) is before
    assert timer_is_not_ours()


@pytest.mark.parametrize("endless", [plain, bare_except, nested])
def test_endless_loops_are_stopped_outside_the_main_thread(endless) -> None:
    found: list = []
    thread = threading.Thread(target=lambda: found.append(limited(endless, 0.1)), daemon=True)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    assert isinstance(found[0], Late)


@pytest.mark.timeout(30)
def test_a_stop_outside_the_main_thread_leaves_nothing_behind() -> None:
    """A raised flag for an exception that does not come would hang whatever runs under a profile function."""
    interval = sys.getswitchinterval()
    for _ in range(20):  # a stop that arrives between two of our own lines is a matter of chance
        worker = threading.Thread(target=lambda: limited(lambda: [None for _ in iter(int, 1)], 0.05))
        worker.start()
        worker.join()
        assert "watch" not in str(threading.enumerate()), "a thread that goes on sending stops"
        assert sys.getswitchinterval() == interval
    before = sys.getprofile()
    sys.setprofile(lambda *event: None)
    try:
        assert sum(abs(n) for n in range(1000)) == 499500
    finally:
        sys.setprofile(before)


def test_a_stop_that_falls_into_a_finaliser_is_not_reported() -> None:
    """Python can only report what is raised there, and a report is a failure under pytest: another stop follows."""

    class Endless:
        def __del__(self) -> None:
            finalisers.append(1)
            while True:
                pass

    finalisers: list[int] = []
    reported: list = []

    def work() -> None:
        for _ in range(3):
            Endless()
        while True:
            pass

    report, sys.unraisablehook = sys.unraisablehook, reported.append
    try:
        late = limited(work, 0.1)
        assert sys.unraisablehook == reported.append, "left as it was"
    finally:
        sys.unraisablehook = report
    assert isinstance(late, Late)
    assert len(finalisers) == 3, "the stops fell elsewhere: nothing was tested"
    assert not reported


def test_other_reports_of_lost_exceptions_pass_through() -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError("lost")

    reported: list = []
    report, sys.unraisablehook = sys.unraisablehook, lambda lost: reported.append(str(lost.exc_value))
    try:
        limited(lambda: [Broken()].clear(), 1.0)
    finally:
        sys.unraisablehook = report
    assert reported == ["lost"]


def test_work_in_time_returns_its_result_and_leaves_other_timers_alone() -> None:
    rung: list[int] = []
    handler = signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        assert limited(lambda: 7, 1.0) == 7
        time.sleep(0.3)
        assert rung == [1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_a_real_interrupt_passes_through() -> None:
    def interrupted():
        signal.raise_signal(signal.SIGINT)
        time.sleep(1)

    with pytest.raises(KeyboardInterrupt):
        limited(interrupted, 2.0)
    assert timer_is_not_ours()


LEFT_ON: list = []


class OwnMode(torch.overrides.TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


SWITCHES = {
    "grad": (torch.is_grad_enabled, lambda: torch.set_grad_enabled(False)),
    "dtype": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
    "device": (torch.get_default_device, lambda: torch.set_default_device("meta")),
    "threads": (torch.get_num_threads, lambda: torch.set_num_threads(3)),
    "deterministic": (
        torch.are_deterministic_algorithms_enabled,
        lambda: torch.use_deterministic_algorithms(True),
    ),
    "anomaly": (torch.is_anomaly_enabled, lambda: torch.autograd.set_detect_anomaly(True)),
    "errors": (np.geterr, lambda: np.seterr(all="raise")),
    "printing": (np.get_printoptions, lambda: np.set_printoptions(precision=2)),
    "recursion": (sys.getrecursionlimit, lambda: sys.setrecursionlimit(5000)),
    "folder": (os.getcwd, lambda: os.chdir("/")),
    "random": (lambda: random.getstate(), lambda: random.seed(3)),
    "numpy": (lambda: np.random.get_state()[1].tolist(), lambda: np.random.seed(3)),  # type: ignore[index]
    "torch": (lambda: torch.get_rng_state().tolist(), lambda: torch.manual_seed(3)),
    "stdout": (lambda: sys.stdout, lambda: setattr(sys, "stdout", None)),
    "warnings": (lambda: list(warnings.filters), lambda: warnings.simplefilter("error")),
    "figures": (plt.get_fignums, plt.figure),
    "entered device": (
        lambda: (torch.get_default_device(), len(torch.overrides._get_current_function_mode_stack())),
        lambda: torch.device("meta").__enter__(),
    ),
    "entered mode": (lambda: len(torch.overrides._get_current_function_mode_stack()), lambda: OwnMode().__enter__()),
    "inference": (torch.is_inference_mode_enabled, lambda: LEFT_ON.append(torch.inference_mode().__enter__())),
    "autocast": (lambda: torch.is_autocast_enabled("cpu"), lambda: torch.set_autocast_enabled("cpu", True)),
    "matmul": (torch.get_float32_matmul_precision, lambda: torch.set_float32_matmul_precision("medium")),
    "mkldnn": (lambda: torch.backends.mkldnn.enabled, lambda: setattr(torch.backends.mkldnn, "enabled", False)),
    "cudnn": (lambda: torch.backends.cudnn.enabled, lambda: setattr(torch.backends.cudnn, "enabled", False)),
    "benchmark": (lambda: torch.backends.cudnn.benchmark, lambda: setattr(torch.backends.cudnn, "benchmark", True)),
    "torch printing": (lambda: str(torch.tensor(1 / 3)), lambda: torch.set_printoptions(precision=1)),
    "matplotlib": (lambda: plt.rcParams["lines.linewidth"], lambda: plt.rcParams.update({"lines.linewidth": 9})),
    "new variable": (lambda: os.environ.get("NNLAB_X"), lambda: os.environ.update(NNLAB_X="1")),
    "lost variable": (lambda: os.environ.get("PATH"), lambda: os.environ.pop("PATH")),
    "garbage": (gc.isenabled, gc.disable),
    "profile": (sys.getprofile, lambda: sys.setprofile(lambda *event: None)),
}


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.filterwarnings("ignore:Anomaly Detection:UserWarning")
def test_nothing_global_changes(name: str) -> None:
    read, change = SWITCHES[name]
    before = read()
    with undisturbed(1), captured(Printed()):
        change()
    assert read() == before
    modes = Modes()
    change()
    modes.restore()
    if name not in ("random", "numpy", "torch", "stdout", "warnings", "figures"):  # for these there is no Modes
        assert read() == before
    with undisturbed(1), captured(Printed()):  # the next check
        assert torch.zeros(2).device.type == "cpu"


def test_modes_that_the_notebook_had_entered_stay_on_outside() -> None:
    with torch.device("meta") as entered, OwnMode() as mode:
        with undisturbed(1):
            assert torch.zeros(2).device.type == "cpu"
            torch.set_default_device("meta")
        assert torch.overrides._get_current_function_mode_stack()[-1] is mode
        assert torch.zeros(2).device.type == "meta"
    assert entered is not None
    assert torch.zeros(2).device.type == "cpu"


def test_a_check_starts_from_ordinary_modes_whatever_the_notebook_did() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        with undisturbed(1):
            assert torch.is_grad_enabled()
            assert torch.get_default_dtype() == torch.float32
            assert torch.get_num_threads() == 1
            first = torch.rand(3), np.random.rand(3), random.random()
        assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
    random.seed(77)
    with undisturbed(1):
        again = torch.rand(3), np.random.rand(3), random.random()
    assert torch.equal(first[0], again[0])
    assert (first[1] == again[1]).all()
    assert first[2] == again[2]
    assert torch.get_num_threads() == threads


def test_modes_restore_between_calls() -> None:
    modes = Modes()
    torch.set_grad_enabled(False)
    modes.restore()
    assert torch.is_grad_enabled()


def test_no_torch_mode_stays_on_after_a_changed_default_device() -> None:
    """A mode that is on slows every later operation of the notebook down."""
    before = len(torch.overrides._get_current_function_mode_stack())
    with undisturbed(1):
        torch.set_default_device("meta")
    assert len(torch.overrides._get_current_function_mode_stack()) == before


def test_printing_is_kept_up_to_a_limit(capsys) -> None:
    printed = Printed(limit=10)
    with captured(printed):
        print("hello")
        print("x" * 1_000_000)
        print("no", file=sys.stderr)
        warnings.warn("not shown", stacklevel=1)
    assert printed.text == "hello\nxxxx"
    assert capsys.readouterr() == ("", "")


class FakeTime:
    """A clock on the wall and one on the processor, moved by hand."""

    def __init__(self) -> None:
        self.wall = self.processor = 0.0

    def monotonic(self) -> float:
        return self.wall

    def process_time(self) -> float:
        return self.processor

    def move(self, wall: float, processor: float) -> None:
        self.wall += wall
        self.processor += processor


@pytest.fixture
def clock(monkeypatch) -> tuple[FakeTime, timeout._Clock]:
    fake = FakeTime()
    monkeypatch.setattr(timeout, "time", fake)
    return fake, timeout._Clock(4.0)


def test_time_is_over_when_the_limit_was_spent_working(clock) -> None:
    fake, clock = clock
    fake.move(3.9, 3.9)
    assert not clock.over()
    assert clock.again() == clock.tick
    fake.move(0.2, 0.2)
    assert clock.over()
    assert clock.again() < clock.tick


def test_a_busy_machine_and_a_sleeper_get_more_time_but_not_for_ever(clock) -> None:
    fake, clock = clock
    fake.move(8.0, 1.0)
    assert not clock.over()
    fake.move(4.0, 0.0)
    assert clock.over()


def test_time_for_imports_does_not_count(clock, monkeypatch) -> None:
    fake, clock = clock
    fake.move(3.9, 3.9)
    monkeypatch.setitem(sys.modules, "something_that_takes_its_time", sys)
    assert not clock.over()
    fake.move(3.9, 3.9)
    assert not clock.over()
    fake.move(0.2, 0.2)
    assert clock.over()


def test_the_first_check_loads_nothing_heavy() -> None:
    """Some switches of torch load hundreds of modules when they are set, not when they are read."""
    code = (
        "import sys, torch\n"
        "from nnlab_helpers.exercises.checking.isolation import Modes, Printed, captured, undisturbed\n"
        "before = len(sys.modules)\n"
        "with undisturbed(1), captured(Printed()): Modes().restore()\n"
        "print(len(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20
