"""What a part of a run was made with: its class and settings, so that a resumed run can be held to them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from nnlab_helpers.data.loader import TensorLoader

# Of a parameter group: what is no setting, but belongs to the scheduler or says in which way the same is computed.
NO_SETTING = {"params", "lr", "initial_lr", "foreach", "fused", "capturable", "differentiable"}
CYCLED = {"momentum", "betas"}  # where a scheduler moves them, it leaves "max_momentum" in the group
KEPT = {"min_lrs", "max_lrs", "total_size", "step_ratio", "_schedule_phases", "_anneal_func_type", "_milestones"}
UNKNOWN = object()


def kind_of(part: Any) -> str:
    """The class of a part; of a sequence of schedulers, those in it too."""
    inner = ", ".join(kind_of(scheduler) for scheduler in getattr(part, "_schedulers", []))
    return getattr(part, "known_as", type(part).__name__) + (f"({inner})" if inner else "")


def settings_of(part: Any) -> dict[str, Any]:
    """What decides how a part works and does not change as it works, by name, in plain values.

    Functions, such as the one of a `LambdaLR`, are not among them: whether two are the same cannot be told.
    """
    if isinstance(part, torch.optim.Optimizer):
        groups = [_group(group) for group in part.param_groups]
        return {key + (f" of group {i}" if i else ""): v for i, group in enumerate(groups) for key, v in group.items()}
    if isinstance(part, TensorLoader):
        return {"seed": part.seed}
    if isinstance(part, torch.optim.lr_scheduler.LRScheduler):
        names = (set(inspect.signature(type(part).__init__).parameters) | KEPT) - {"last_epoch", "optimizer"}
        found = _plain({name: value for name, value in vars(part).items() if name in names})
        for i, scheduler in enumerate(getattr(part, "_schedulers", [])):
            found |= {f"{name} of scheduler {i}": value for name, value in settings_of(scheduler).items()}
        return found
    return {}


def differences(made: Mapping[str, Any], part: Any, state: Any) -> list[str]:
    """How `part` differs from what a checkpoint says the one in it was made with, and has now (`state`)."""
    if made["kind"] != (kind := kind_of(part)):
        return [f"it was {_an(made['kind'])}, and now it is {_an(kind)}"]
    then, now = made["settings"], settings_of(part)
    if isinstance(part, torch.optim.Optimizer):  # a rate that has changed on the way may be given as it is now
        for i, (group, kept) in enumerate(zip(part.param_groups, state["param_groups"], strict=False)):
            name = f"lr of group {i}" if i else "lr"
            if name in then and float(group["lr"]) == float(kept["lr"]):
                now[name] = then[name]
    names = [name for name in then if name in now and then[name] != now[name]]
    return [f"{name.lstrip('_')}: {then[name]} then, {now[name]} now" for name in names]


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    skip = NO_SETTING | (CYCLED if "max_momentum" in group else set())
    lr = {"lr": float(group.get("initial_lr", group["lr"]))}  # a scheduler keeps the first rate there
    shaped = not any(map(is_lazy, group["params"]))  # a lazy layer has no shape before its first batch
    shapes = {"shapes of the parameters": [list(p.shape) for p in group["params"]]} if shaped else {}
    return lr | _plain({key: value for key, value in group.items() if key not in skip}) | shapes


def _plain(value: Any) -> Any:
    """`value` in Python's own numbers, strings, lists and dicts, without what is something else."""
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        inner = {_plain(key): _plain(kept) for key, kept in value.items()}
        return {key: kept for key, kept in inner.items() if kept is not UNKNOWN}
    if isinstance(value, (list, tuple)):
        return [_plain(kept) for kept in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else UNKNOWN


def _an(kind: str) -> str:
    return f"{'an' if kind[0] in 'AEIOU' or kind[:3] in ('LBF', 'RMS', 'SGD') else 'a'} {kind}"
