"""What a training step computes, and small tools for batches of any kind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.train import diagnosis, losses
from nnlab_helpers.train.diagnosis import describe
from nnlab_helpers.train.losses import Loss

Step = Callable[[nn.Module, Any], Tensor | Mapping[str, Tensor]]


class Weighed(dict[str, Tensor]):
    """Means over a batch of which some are not over all its samples: `over[name]` is what each was divided by."""

    def __init__(self, values: Mapping[str, Tensor], over: Mapping[str, Tensor]) -> None:
        """Keep the means, and what those in `over` were divided by (scalars on the device)."""
        super().__init__(values)
        self.over = over


def supervised(loss: Loss = F.cross_entropy) -> Step:
    """Make the step of ordinary supervised learning: a batch `(x, y)`, `loss(model(x), y)`, and the accuracy.

    The accuracy, in [0, 1], joins where it is certain what it means: where outputs are logits `[N, C]` of at least two
    classes and labels whole numbers `[N]`, and where there is one output per sample, `[N]` or `[N, 1]`, under PyTorch's
    own binary cross-entropy. Under another loss one output per sample has none: return it from a step of your own.

    Labels that the loss ignores (-100, or its `ignore_index`) count neither in the accuracy nor in the loss, and under
    class weights each label counts by its weight: means over several batches are then the same for every batch size.
    This holds for `F.cross_entropy` and `F.nll_loss`, modules of them and a `partial`; of a function of your own only
    its value is known, and counts by the samples of its batch.

    Args:
        loss: `loss(output, y)` -> the mean of the losses of the samples in the batch, a scalar.

    Raises:
        ValueError: the loss is one of PyTorch's with `reduction="sum"`; when the step is called: a batch is not a pair,
            output and targets have shapes that the loss would broadcast, or labels are not what the loss takes.
        TypeError: (when the step is called) the loss takes a tensor, and the model returned something else.
    """
    about = losses.known(loss)

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
        if not (isinstance(output, Tensor) and isinstance(y, Tensor)):
            return {"loss": told(loss, about, output, y)}
        losses.check_shapes(about, output, y)
        values, over = {"loss": told(loss, about, output, y)}, {}
        output = output.detach()
        if (divisor := about.divisor(output, y)) is not None:
            over["loss"] = divisor
        if (judged := losses.correct(about, output, y)) is not None:
            correct, counted = judged
            over["accuracy"] = counted.sum()
            values["accuracy"] = (correct & counted).sum() / over["accuracy"]
        return Weighed(values, over)

    return step


def told(loss: Loss, about: losses.KnownLoss, output: Any, y: Any) -> Tensor:
    """`loss(output, y)`; where it raises, in words that say what is wrong with the output or the targets."""
    try:
        if isinstance(output, Tensor) and isinstance(y, Tensor) and not about.name:
            return losses.compute(loss, output, y)
        return loss(output, y)
    except Exception as error:
        if said := diagnosis.of_loss(error, about, output, y):
            raise (ValueError if isinstance(output, Tensor) else TypeError)(said) from error
        raise


def choose_step(step: Step | None, loss: Loss | None) -> Step:
    """The caller's step, or the supervised one with the caller's loss (cross-entropy if none)."""
    if step is not None and loss is not None:
        raise ValueError("pass step or loss, not both: a step computes its own loss")
    return step or supervised(loss or F.cross_entropy)


def run_step(step: Step, model: nn.Module, batch: Any, first: bool = False) -> dict[str, Tensor]:
    """Call `step` and hold it to its contract: a scalar tensor, or a mapping of scalar tensors with a "loss".

    In the `first` call of a run, PyTorch's warning that a loss broadcasts is an error.
    """
    try:
        if first:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", diagnosis.BROADCASTS, UserWarning)
                result = step(model, batch)
        else:
            result = step(model, batch)
    except Exception as error:
        if said := diagnosis.of_batch(error, model, batch):
            raise ValueError(said) from error
        raise
    values = {"loss": result} if isinstance(result, Tensor) else result
    if not isinstance(values, Mapping) or "loss" not in values:
        raise TypeError(f'step must return the loss, or a dict with a "loss" in it, not {describe(result)}')
    checked = dict(values)
    for name, value in checked.items():
        if not isinstance(value, Tensor):
            if name == "loss":
                raise TypeError(f"step returned a loss that is {describe(value)}, not a tensor: leave out .item()")
            checked[name] = torch.as_tensor(value, dtype=torch.float32)
        elif value.numel() != 1:
            raise ValueError(f"step returned {name} of shape {list(value.shape)}: return its mean over the batch")
    return Weighed(checked, values.over) if isinstance(values, Weighed) else checked


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
        "dicts that begin with one (of an array, torch.as_tensor makes one)"
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
