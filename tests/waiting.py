"""Waiting for something that another process does, and not for ever."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(look: Callable[[], Any], seconds: float = 60.0, told: Callable[[], object] = lambda: "") -> Any:
    """Return what `look` finds, as soon as it finds something; fail with what `told` says if it never does."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"waited {seconds:g} s in vain. {told()}"
        time.sleep(0.05)
    return found
