"""Stop a learner's code that takes too long."""

from __future__ import annotations

import ctypes
import random
import signal
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from nnlab_helpers.exercises.checking.learner_code import Place, is_learners, place

T = TypeVar("T")

# An endless loop that catches everything swallows the stop as well. Repeated at uneven distances, it
# soon comes between two instructions that no `try` covers.
REPEATS = (2e-6, 1e-5, 5e-5, 2e-4, 1e-3)
# A busy machine: a check that got less than half of its time on the processor may take this many times as long.
PATIENCE = 3


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
            if is_learners(frame):
                self.place = place(frame, frame.f_lineno)
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
    done, sent = threading.Event(), threading.Event()
    interval = sys.getswitchinterval()

    def inside() -> T:
        return work()

    def at_work() -> bool:
        """Whether the learner's thread is in `inside`: only there may a stop arrive, as all else has to end well."""
        frame = sys._current_frames().get(learner)
        while frame is not None and frame.f_code is not inside.__code__:
            frame = frame.f_back
        return frame is not None

    def watch() -> None:
        wait = clock.tick
        while not done.wait(max(wait, 1e-4)):
            with turn:
                if clock.active and clock.over() and at_work():
                    clock.note_place(sys._current_frames().get(learner))
                    sys.setswitchinterval(1e-6)  # take turns so often that some turn begins outside of a `try`
                    sent.set()
                    send(ctypes.c_ulong(learner), ctypes.py_object(TimeUp))
            wait = clock.again()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        return inside()
    finally:
        ended = False
        while not ended:
            with suppress(TimeUp):  # it may arrive here
                clock.active = False
                done.set()
                watcher.join()
                sys.setswitchinterval(interval)
                ended = True
        # Taking back one that has not arrived would leave Python's flag for it raised for ever, with which code under a
        # profile function hangs. So let one more arrive.
        if sent.is_set():
            with suppress(TimeUp):
                send(ctypes.c_ulong(learner), ctypes.py_object(TimeUp))
                while True:
                    pass
