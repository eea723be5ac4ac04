"""Run a learner's code so that it disturbs nothing: printing, random state and global modes."""

from __future__ import annotations

import io
import os
import random
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

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
