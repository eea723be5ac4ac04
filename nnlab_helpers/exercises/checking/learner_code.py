"""Tell the learner's own code from what is installed."""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
import types
from pathlib import Path

import numpy as np
import torch

Place = tuple[int, str]  # a line number and the source of that line


def _installed() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    roots = [paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    roots += [str(Path(module.__file__).parent) for module in (os, torch, np) if module.__file__]
    roots.append(str(Path(__file__).parents[2]))  # the whole of nnlab_helpers
    return tuple({os.path.join(form, "") for root in roots for form in (root, os.path.realpath(root))})


INSTALLED = _installed()


def learners_line(error: BaseException) -> Place | None:
    """Return the line number and source of the innermost line of the learner's that `error` passed through."""
    found = None
    for frame, number in traceback.walk_tb(error.__traceback__):
        if is_learners(frame):
            found = place(frame, number)
    return found


def is_learners(frame: types.FrameType) -> bool:
    """Return whether the code that runs in `frame` is the learner's."""
    return not frame.f_code.co_filename.startswith(("<frozen", "<__array", *INSTALLED))


def place(frame: types.FrameType, number: int) -> Place:
    """Return the line `number` of the file of `frame`, with its source."""
    return number, linecache.getline(frame.f_code.co_filename, number, frame.f_globals).strip()
