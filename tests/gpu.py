"""For tests that need a GPU: which one there is, and the marks that skip a test where there is none."""

from __future__ import annotations

import pytest
import torch

DEVICE = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None

_skip = pytest.mark.skipif(DEVICE is None, reason="no accelerator (CUDA, MPS or XPU) on this machine")
MARKS = [pytest.mark.gpu, _skip]  # for all tests of a file


def on_gpu(test):
    """Mark one test."""
    return pytest.mark.gpu(_skip(test))
