"""Run a learner's code so that it disturbs nothing: printing, random state and global modes."""

from __future__ import annotations

import gc
import io
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import Any

import numpy as np
import torch


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


def _autocast(on: bool) -> None:
    torch.set_autocast_enabled("cpu", on)


def _set_inference_mode(on: bool) -> None:
    guard = torch.inference_mode(on)  # there is no other way to leave a mode whose guard is lost
    guard.__enter__()
    _guards.append(guard)


_guards: list[Any] = []  # let go of, they would switch back

# The global switches of Python, NumPy and torch that code is tempted to change: how to read and how to set each.
SWITCHES: list[tuple[Callable[[], Any], Callable[[Any], Any]]] = [
    (torch.is_inference_mode_enabled, _set_inference_mode),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (lambda: torch.is_autocast_enabled("cpu"), _autocast),
    (lambda: dict(vars(torch._tensor_str.PRINT_OPTS)), lambda was: vars(torch._tensor_str.PRINT_OPTS).update(was)),
    (np.geterr, lambda was: np.seterr(**was)),
    (np.get_printoptions, lambda was: np.set_printoptions(**was)),
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.getprofile, sys.setprofile),
    (sys.gettrace, sys.settrace),
    (gc.isenabled, lambda was: gc.enable() if was else gc.disable()),
    *(
        (partial(getattr, backend, flag), partial(setattr, backend, flag))
        for backend, flags in (
            (torch.backends.mkldnn, ("enabled",)),
            (torch.backends.cudnn, ("enabled", "benchmark", "deterministic")),
        )
        for flag in flags
    ),
]


class Modes:
    """How the global switches stand, with the working folder, the environment and matplotlib's settings."""

    def __init__(self) -> None:
        """Note how they stand now."""
        self.switches = [read() for read, _ in SWITCHES]
        self.device = _default_device()
        self.stack = [mode for mode in _mode_stack() if mode is not _default_device_mode()]
        self.folder = _folder()
        self.environment = dict(os.environ)
        self.drawing = _drawing_settings()

    def restore(self) -> None:
        """Set all that has moved back to where it was."""
        if _default_device() != self.device:
            _set_mode_stack([])  # torch does not change it below another mode
            _set_default_device(self.device)
        _set_mode_stack(self.stack)
        for (read, set_to), was in zip(SWITCHES, self.switches, strict=True):
            if read() != was:  # setting some of them takes seconds at first
                set_to(was)
        if self.folder and self.folder != _folder():
            os.chdir(self.folder)
        for name in os.environ.keys() - self.environment.keys():
            del os.environ[name]
        for name, value in self.environment.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
        if self.drawing is not None and _drawing_settings() != self.drawing:
            dict.update(sys.modules["matplotlib"].rcParams, self.drawing)


def _mode_stack() -> list[Any]:
    """The modes that torch passes every call through, such as `with torch.device("meta")`, the outermost first."""
    return [torch._C._get_function_stack_at(i) for i in range(torch._C._len_torch_function_stack())]


def _default_device_mode() -> Any:
    return getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)


def _default_device() -> torch.device:
    mode = _default_device_mode()  # `torch.get_default_device` would also tell of a device that was entered
    return torch.device("cpu") if mode is None else mode.device


def _set_mode_stack(wanted: list[Any]) -> None:
    """Leave the modes in `wanted` alone on the stack, and the one that stands for the default device."""
    default = _default_device_mode()
    wanted = [*([] if default is None else [default]), *wanted]
    if len(wanted) == len(_mode_stack()) and all(a is b for a, b in zip(wanted, _mode_stack(), strict=True)):
        return
    while torch._C._len_torch_function_stack():
        torch._C._pop_torch_function_stack()
    for mode in wanted:
        torch._C._push_on_torch_function_stack(mode)


def _set_default_device(device: torch.device) -> None:
    # None means the CPU as well, and without a mode that every later call of torch would pass through.
    torch.set_default_device(None if device == torch.device("cpu") else device)


def _drawing_settings() -> dict[str, Any] | None:
    settings = getattr(sys.modules.get("matplotlib"), "rcParams", None)  # None: not loaded, so not changed either
    return None if settings is None else dict(dict.items(settings))


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
        _set_mode_stack([])
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
