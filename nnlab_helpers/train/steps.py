"""What a training step computes, and small tools for batches of any kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Loss = Callable[[Tensor, Tensor], Tensor]
Step = Callable[[nn.Module, Any], Tensor | Mapping[str, Tensor]]


def supervised(loss: Loss = F.cross_entropy) -> Step:
    """Make the step of ordinary supervised learning: a batch `(x, y)`, `loss(model(x), y)`, and the accuracy.

    The accuracy, in [0, 1], joins where outputs are logits `[N, C]` and labels whole numbers `[N]`.

    Args:
        loss: `loss(output, y)` -> the mean of the losses of the samples in the batch, a scalar.

    Raises:
        ValueError: (when the step is called) a batch is not a pair.
    """

    def step(model: nn.Module, batch: Any) -> dict[str, Tensor]:
        try:
            if isinstance(batch, Mapping):
                raise TypeError("its keys would be taken for x and y")
            x, y = batch
        except (TypeError, ValueError):
            raise ValueError(
                f"the default step takes batches (x, y), got {describe(batch)}: pass your own step(model, batch)"
            ) from None
        output = model(x)
        values = {"loss": loss(output, y)}
        if output.ndim == 2 and y.ndim == 1 and not y.is_floating_point():
            values["accuracy"] = (output.detach().argmax(dim=1) == y).float().mean()
        return values

    return step


def choose_step(step: Step | None, loss: Loss | None) -> Step:
    """The caller's step, or the supervised one with the caller's loss (cross-entropy if none)."""
    if step is not None and loss is not None:
        raise ValueError("pass step or loss, not both: a step computes its own loss")
    return step or supervised(loss or F.cross_entropy)


def run_step(step: Step, model: nn.Module, batch: Any) -> dict[str, Tensor]:
    """Call `step` and hold it to its contract: a scalar tensor, or a mapping of scalar tensors with a "loss"."""
    result = step(model, batch)
    values = {"loss": result} if isinstance(result, Tensor) else result
    if not isinstance(values, Mapping) or "loss" not in values:
        raise TypeError(f'step must return the loss, or a dict with a "loss" in it, not {describe(result)}')
    values = dict(values)
    for name, value in values.items():
        if not isinstance(value, Tensor):
            if name == "loss":
                raise TypeError(f"step returned a loss that is {describe(value)}, not a tensor: leave out .item()")
            values[name] = torch.as_tensor(value, dtype=torch.float32)
        elif value.numel() != 1:
            raise ValueError(f"step returned {name} of shape {list(value.shape)}: return its mean over the batch")
    return values


def batch_size(batch: Any) -> int:
    """Samples in a batch: the first dimension of its first tensor."""
    if isinstance(batch, Tensor) and batch.ndim:
        return batch.shape[0]
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, (tuple, list)) and batch:
        return batch_size(batch[0])
    raise TypeError(
        f"cannot tell how many samples are in {describe(batch)}: batches are tensors, or tuples, lists or "
        "dicts that begin with one"
    )


def to_device(batch: Any, device: torch.device) -> Any:
    """The batch with its tensors on `device`; tuples, lists and dicts keep their kind."""
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(to_device(value, device) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(to_device(value, device) for value in batch)
    return batch


def describe(value: Any) -> str:
    """A few words for an error message: the kind of `value`, and its shape or length."""
    if isinstance(value, Tensor):
        return f"a tensor {list(value.shape)}"
    if isinstance(value, (tuple, list, Mapping)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r}" if isinstance(value, (int, float, type(None))) else f"a {type(value).__name__}"
