"""What a call must leave as it was: its inputs, the models that it looks at, the global random numbers, memory."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


def snapshot(value: Any, seen: tuple[int, ...] = ()) -> Any:
    """Return something that compares equal as long as `value` has not been changed in place."""
    if id(value) in seen:
        return "itself"
    seen = (*seen, id(value))
    if isinstance(value, torch.Tensor):
        if value.layout != torch.strided or value.is_meta:
            return tuple(value.shape)
        flat = value.detach().cpu().reshape(-1).clone(memory_format=torch.contiguous_format)
        content = flat.view(torch.uint8).numpy().tobytes()
        return tuple(value.shape), value.dtype, value.requires_grad, content
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype, value.tolist() if value.dtype.hasobject else value.tobytes()
    if isinstance(value, list | tuple):
        return [snapshot(part, seen) for part in value]
    if isinstance(value, dict):
        return [(snapshot(key), snapshot(part, seen)) for key, part in value.items()]
    if isinstance(value, set):
        return set(value)
    return id(value)


def snapshot_module(module: Any) -> dict[str, Any]:
    """Return what a look at a module must not change, part by part: what to say of it -> its state."""
    if not isinstance(module, nn.Module):
        return {"values": snapshot(module)}
    parts = list(module.named_modules())
    parameters = dict(module.named_parameters())
    return {
        "mode (training or evaluation)": [(name, part.training) for name, part in parts],
        "weights": [(name, snapshot(value.detach())) for name, value in parameters.items()],
        "running statistics": [(name, snapshot(value)) for name, value in module.named_buffers()],
        "`requires_grad`": [(name, value.requires_grad) for name, value in parameters.items()],
        "gradients": [(name, snapshot(value.grad)) for name, value in parameters.items()],
        "layers": [(name, id(part)) for name, part in parts],
        "hooks": [(len(part._forward_hooks), len(part._forward_pre_hooks)) for _, part in parts],
    }


def random_state(seeds_only: bool = False) -> tuple[Any, ...]:
    """Return torch's global seed and where the global random numbers of torch, NumPy and Python stand."""
    if seeds_only:
        return (torch.initial_seed(),)
    kind, keys, *rest = np.random.get_state()
    arrays = kind, np.asarray(keys).tobytes(), *rest
    return torch.initial_seed(), torch.get_rng_state().numpy().tobytes(), arrays, random.getstate()


def shared(result: Any, inputs: Any) -> bool:
    """Return whether a tensor, array or module in `result` shares memory with one in `inputs`."""
    theirs = list(_blocks(inputs))
    return any(a < d and c < b for a, b in _blocks(result) for c, d in theirs)


def _blocks(value: Any, depth: int = 4) -> Iterator[tuple[int, int]]:
    """The ranges of addresses that the tensors and arrays in `value` lie in."""
    if isinstance(value, nn.Module):
        value = [*value.parameters(), *value.buffers()]
    if isinstance(value, torch.Tensor):
        if value.numel() and value.layout == torch.strided and not value.is_meta:
            storage = value.untyped_storage()
            yield storage.data_ptr(), storage.data_ptr() + storage.nbytes()
    elif isinstance(value, np.ndarray):
        if value.size:
            yield np.lib.array_utils.byte_bounds(value)
    elif isinstance(value, list | tuple | set) and depth:
        for part in value:
            yield from _blocks(part, depth - 1)
    elif isinstance(value, dict) and depth:
        yield from _blocks(list(value.values()), depth - 1)
