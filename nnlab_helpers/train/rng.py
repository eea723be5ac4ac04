"""Torch's random state on the CPU and on a model's device: kept, and put back."""

from __future__ import annotations

import torch
from torch import Tensor


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's global generators: the CPU's and, where it has one of its own, the device's."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        module = getattr(torch, device.type)
        state[device.type] = module.get_rng_state() if device.type == "mps" else module.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Go on from what `random_state` gave; a state of another kind of device is left alone."""
    torch.set_rng_state(state["cpu"].cpu())
    if device.type != "cpu" and device.type in state:
        module, kept = getattr(torch, device.type), state[device.type].cpu()
        module.set_rng_state(kept) if device.type == "mps" else module.set_rng_state(kept, device)
