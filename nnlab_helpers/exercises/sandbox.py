"""Run a learner's code so that it disturbs nothing: time, printing, random state and global modes."""

from __future__ import annotations

import ctypes
import io
import linecache
import os
import random
import signal
import sys
import sysconfig
import threading
import time
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

T = TypeVar("T")

# An endless loop that catches everything swallows the stop as well. Repeated at uneven distances, it
# soon comes between two instructions that no `try` covers.
REPEATS = (2e-6, 1e-5, 5e-5, 2e-4, 1e-3)
# A busy machine: a check that got less than half of its time on the processor may take this many times as long.
PATIENCE = 3


Place = tuple[int, str]  # a line number and the source of that line


class TimeUp(BaseException):
    """The time for a check is over. Not an `Exception`, so that `except Exception` does not catch it."""


@dataclass(frozen=True)
class Late:
    """The work did not end in time. `place` is the line of the learner's where it was."""

    place: Place | None


class _Clock:
    """Decides whether the time is over, and how soon to ask again. Asked often, it does not count imports."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.tick = min(seconds / 4, 0.2)
        self.active = True
        self.random = random.Random(0)
        self.start()
        self.place: Place | None = None  # where the learner's code was when the time was over

    def start(self) -> None:
        self.wall, self.processor, self.modules = time.monotonic(), time.process_time(), len(sys.modules)

    def note_place(self, frame: types.FrameType | None) -> None:
        """Remember the innermost line of the learner's, the first time this is asked."""
        while frame is not None and self.place is None:
            if _is_learners(frame):
                self.place = _place(frame, frame.f_lineno)
            frame = frame.f_back

    def over(self) -> bool:
        if len(sys.modules) > self.modules:  # torch loads its larger parts on first use, for seconds
            self.start()
        waited = time.monotonic() - self.wall
        worked = time.process_time() - self.processor
        return waited >= self.seconds and (worked >= self.seconds / 2 or waited >= PATIENCE * self.seconds)

    def again(self) -> float:
        return self.random.choice(REPEATS) if self.over() else self.tick


def limited(work: Callable[[], T], seconds: float) -> T | Late:
    """Return `work()`, or `Late` when it has run for `seconds` and was stopped by a `TimeUp` from inside it.

    By a timer signal in the main thread where there is one (it wakes a sleeping learner too), else by an exception
    that another thread sends. Either is repeated until it gets through. One long call into compiled code
    cannot be stopped before it returns.
    """
    clock = _Clock(seconds)
    signals = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    try:
        with _lost_stops_unreported():
            return _limited_by_signal(work, clock) if signals else _limited_by_thread(work, clock)
    except TimeUp:
        return Late(clock.place)


@contextmanager
def _lost_stops_unreported() -> Iterator[None]:
    """Say nothing of a `TimeUp` that fell into a `__del__` or a callback, which Python can only report: more follow."""
    report = sys.unraisablehook

    def hook(lost: sys.UnraisableHookArgs) -> None:
        if not issubclass(lost.exc_type, TimeUp):
            report(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = report


def _limited_by_signal(work: Callable[[], T], clock: _Clock) -> T:
    def ring(number: int, frame: types.FrameType | None) -> None:
        if not clock.active:
            return
        over = clock.over()
        if over:
            clock.note_place(frame)
        # Once more and then again and again: a signal that comes right before a long sleep does not end it.
        signal.setitimer(signal.ITIMER_REAL, clock.again(), clock.tick)
        if over:
            raise TimeUp

    handler = signal.signal(signal.SIGALRM, ring)
    began = time.monotonic()
    rest, interval = signal.setitimer(signal.ITIMER_REAL, clock.tick, clock.tick)
    try:
        return work()
    finally:
        clock.active = False  # first of all: from here on a late signal raises nothing
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if rest:
            signal.setitimer(signal.ITIMER_REAL, max(rest - (time.monotonic() - began), 1e-3), interval)


def _limited_by_thread(work: Callable[[], T], clock: _Clock) -> T:
    learner = threading.get_ident()
    send = ctypes.pythonapi.PyThreadState_SetAsyncExc
    turn = threading.Lock()
    done = threading.Event()
    interval = sys.getswitchinterval()

    def watch() -> None:
        wait = clock.tick
        while not done.wait(max(wait, 1e-4)):
            with turn:
                if clock.active and clock.over():
                    clock.note_place(sys._current_frames().get(learner))
                    sys.setswitchinterval(1e-6)  # take turns so often that some turn begins outside of a `try`
                    send(ctypes.c_ulong(learner), ctypes.py_object(TimeUp))
            wait = clock.again()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return work()
    finally:
        clock.active = False
        done.set()
        with turn:
            send(ctypes.c_ulong(learner), None)  # one that was sent and has not arrived
        watcher.join()
        sys.setswitchinterval(interval)


class Printed(io.TextIOBase):
    """Where printing goes during a check: the first `limit` characters are kept, the rest is dropped."""

    def __init__(self, limit: int = 4000) -> None:
        """Begin with nothing printed."""
        self.limit = limit
        self.text = ""

    def write(self, text: str) -> int:
        """Keep what still fits of `text`."""
        room = self.limit - len(self.text)
        if room > 0:
            self.text += text[:room]
        return len(text)

    def writable(self) -> bool:
        """Yes."""
        return True


@contextmanager
def captured(printed: Printed) -> Iterator[None]:
    """Send all that is printed, warned, displayed or drawn to `printed`, or nowhere."""
    shell = None
    if "IPython" in sys.modules:
        shell = sys.modules["IPython"].get_ipython()
    pyplot = sys.modules.get("matplotlib.pyplot")
    figures = set(pyplot.get_fignums()) if pyplot else set()
    with redirect_stdout(printed), redirect_stderr(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if shell is not None:
            from IPython.core.displaypub import CapturingDisplayPublisher

            publisher, shell.display_pub = shell.display_pub, CapturingDisplayPublisher(shell=shell)
        try:
            yield
        finally:
            if shell is not None:
                shell.display_pub = publisher
            pyplot = sys.modules.get("matplotlib.pyplot")
            if pyplot is not None:
                for number in set(pyplot.get_fignums()) - figures:
                    pyplot.close(number)


class Modes:
    """The global switches of Python, NumPy and torch that code is tempted to change."""

    def __init__(self) -> None:
        """Note how they stand now."""
        self.grad = torch.is_grad_enabled()
        self.dtype = torch.get_default_dtype()
        self.device = torch.get_default_device()
        self.anomaly = torch.is_anomaly_enabled()
        self.deterministic = torch.are_deterministic_algorithms_enabled()
        self.threads = torch.get_num_threads()
        self.errors = np.geterr()
        self.printing = np.get_printoptions()
        self.recursion = sys.getrecursionlimit()
        self.folder = _folder()

    def restore(self) -> None:
        """Set every switch that has moved back to where it was."""
        torch.set_grad_enabled(self.grad)
        torch.set_default_dtype(self.dtype)
        if torch.get_default_device() != self.device:
            _set_default_device(self.device)
        torch.autograd.set_detect_anomaly(self.anomaly)
        if torch.are_deterministic_algorithms_enabled() != self.deterministic:  # setting it takes seconds at first
            torch.use_deterministic_algorithms(self.deterministic)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        np.seterr(**self.errors)
        np.set_printoptions(**self.printing)
        sys.setrecursionlimit(self.recursion)
        if self.folder and self.folder != _folder():
            os.chdir(self.folder)


def _set_default_device(device: torch.device) -> None:
    # None means the CPU as well, and without a mode that every later call of torch would pass through.
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # deleted under our feet
        return None


@contextmanager
def undisturbed(seed: int) -> Iterator[None]:
    """Inside: ordinary modes, one thread, global generators seeded with `seed`. Afterwards: everything as it was."""
    modes = Modes()
    python, arrays, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        torch.set_grad_enabled(True)
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(1)  # a check's tensors are small: two threads would mostly wait for each other
        if modes.device != torch.device("cpu"):
            _set_default_device(torch.device("cpu"))
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        if cuda is not None:
            torch.cuda.manual_seed_all(seed)
        yield
    finally:
        modes.restore()
        random.setstate(python)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    roots += [str(Path(module.__file__).parent) for module in (os, torch, np) if module.__file__]
    roots.append(str(Path(__file__).parent))
    return tuple({os.path.join(form, "") for root in roots for form in (root, os.path.realpath(root))})


INSTALLED = _installed()


def learners_line(error: BaseException) -> Place | None:
    """Return the line number and source of the innermost line of the learner's that `error` passed through."""
    found = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if _is_learners(frame):
            found = _place(frame, number)
    return found


def _is_learners(frame: types.FrameType) -> bool:
    return not frame.f_code.co_filename.startswith(("<frozen", "<__array", *INSTALLED))


def _place(frame: types.FrameType, number: int) -> Place:
    return number, linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
