"""The global random states (Python's, NumPy's, torch's, and that of a model's device): kept, and put back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def random_state(device: torch.device) -> dict[str, Any]:
    """The states of the generators that `seed_everything` seeds, in tensors and plain values."""
    kind, keys, *rest = np.random.get_state()
    state: dict[str, Any] = {"python": random.getstate(), "numpy": (kind, torch.from_numpy(np.array(keys)), *rest)}
    state["cpu"] = torch.get_rng_state()
    if device.type != "cpu":
        module = getattr(torch, device.type)
        state[device.type] = module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Go on from what `random_state` gave; a state of another kind of device is left alone."""
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy(), *rest))
    torch.set_rng_state(state["cpu"].cpu())
    if device.type != "cpu" and device.type in state:
        module, kept = getattr(torch, device.type), state[device.type].cpu()
        module.set_rng_state(kept) if device.type == "mps" else module.set_rng_state(kept, device)
