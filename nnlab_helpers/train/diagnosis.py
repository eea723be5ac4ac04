"""What PyTorch says of a batch that does not fit, in the words of the caller: which argument, what came, what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from nnlab_helpers.train.losses import BINARY, CLASSES, KnownLoss, broadcasts

BROADCASTS = "Using a target size"  # begins PyTorch's warning of a loss whose arguments differ in shape
# What layers say of an input of another type than their weights.
OTHER_TYPE = re.compile(
    "same dtype|Input type .* should be the same|input dtype|scalar type (Float|Half|BFloat|Double) but"
)
# What a loss over classes says of labels, also within a function of one's own.
LABELS = re.compile("expected target dtype|Target -?[0-9]+ is out of bounds|multi-target|with class probabilities, got")
CALL = "take what you need in a step of your own: step=lambda model, batch: F.cross_entropy(model(batch[0])[0], ...)"


def describe(value: Any) -> str:
    """A few words for an error message: the kind of `value`, and its shape or length."""
    if isinstance(value, Tensor):
        kind = "" if value.dtype in (torch.float32, torch.int64) else f" of {str(value.dtype).removeprefix('torch.')}"
        return f"a tensor {list(value.shape)}{kind}"
    if isinstance(value, (tuple, list, Mapping)):
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r}" if isinstance(value, (int, float, type(None))) else f"a {type(value).__name__}"


def of_batch(error: Exception, model: nn.Module, batch: Any) -> str | None:
    """Why a model cannot take a batch, or None if it is for another reason than those known here."""
    said = str(error)
    if said.startswith(BROADCASTS):
        target, output = re.findall(r"\[([\d, ]*)\]", said)[:2]
        return broadcasts(*(map(int, shape.split(",")) for shape in (output, target)))
    if "Expected more than 1 value per channel" in said:
        return (
            "batch normalisation cannot learn from a batch of one sample, which has no spread (mostly it is the last "
            "of an epoch): make the training loader with drop_last=True, or with another batch_size"
        )
    if out := re.match(r"Target (-?\d+) is out of bounds", said):
        return f"label {out[1]} is out of range: labels count from 0, and are below the number of the model's outputs"
    if "device-side assert" in said:
        return (
            "the GPU stopped at an index out of range, mostly a label below 0, or not below the number of outputs: "
            "look at y.min() and y.max(), and start the kernel anew (this one can no longer use the GPU)"
        )
    x = batch
    while isinstance(x, (tuple, list, Mapping)) and len(x):
        x = next(iter(x.values())) if isinstance(x, Mapping) else x[0]
    weight = next((p.dtype for p in model.parameters()), None)
    if not isinstance(x, Tensor) or not isinstance(error, (RuntimeError, ValueError)):
        return None
    if "'indices'" in said:
        return f"x is {describe(x)}, and the model looks rows up by whole numbers (an embedding): give it x.long()"
    if weight is not None and x.dtype != weight and OTHER_TYPE.search(said):
        name = str(weight).removeprefix("torch.")
        convert = "x.float() / 255" if x.dtype == torch.uint8 else f"x.to(torch.{name})"
        return f"x is {describe(x)}, and the model computes in {name}: give it {convert}"
    if isinstance(error, RuntimeError):
        error.add_note(f"The batch began with {describe(x)}.")
    return None


def of_loss(error: Exception | None, loss: KnownLoss, output: Any, y: Any) -> str | None:
    """Why a loss cannot take what the model returned, or these targets; None if it is for another reason."""
    if not isinstance(output, Tensor):
        return f"the model returned {describe(output)}, where the loss needs one tensor: {CALL}"
    if not isinstance(y, Tensor):
        return f"the targets are {describe(y)}, where the loss needs a tensor: torch.as_tensor(y)"
    if loss.name in CLASSES or LABELS.search(str(error)):
        return _of_labels(loss, output, y)
    if loss.name in BINARY and not y.is_floating_point():
        return f"the targets are {describe(y)}, whole numbers, and a binary cross-entropy needs floats: y.float()"
    if loss.name == "binary_cross_entropy" and "between 0 and 1" in str(error):
        return (
            "binary cross-entropy needs probabilities in [0, 1], and the model returned other numbers: take "
            "F.binary_cross_entropy_with_logits for logits, or end the model in a sigmoid"
        )
    return None


def _of_labels(loss: KnownLoss, output: Tensor, y: Tensor) -> str | None:
    """What is wrong with labels for a loss over classes, logits `[N, C, ...]` and labels `[N, ...]`."""
    if output.ndim < 2:
        return f"the model's output is {list(output.shape)}, and a loss over classes needs logits [N, C]"
    expected = [len(output), *output.shape[2:]]  # [N], of images [N, H, W]
    came = f"the labels are a tensor {list(y.shape)} of {str(y.dtype).removeprefix('torch.')}"
    if y.shape == output.shape and not y.is_floating_point() and output.ndim > 1:
        return f"{came}, one-hot it seems: pass the numbers of the classes, y.argmax(dim=1), or floats, y.float()"
    if list(y.shape) == [*expected, 1]:
        return f"{came}, and the loss needs {expected}: y.squeeze(-1){'' if is_whole(y) else '.long()'}"
    if list(y.shape) != expected:
        return f"{came}, and for an output {list(output.shape)} the loss needs {expected}, a class for each"
    if not is_whole(y) or y.dtype != torch.int64:
        return f"{came}, and the loss needs the numbers of the classes as int64: y.long()"
    classes = output.shape[1]
    bad = y[(y != loss.ignore_index) & ((y < 0) | (y >= classes))]
    if len(bad):
        return (
            f"label {int(bad[0])} is out of range: for {classes} outputs labels are 0 to {classes - 1}. Count from 0, "
            "or give the model an output for each class"
        )
    return None


def is_whole(y: Tensor) -> bool:
    """Whether a tensor's numbers are whole by their kind."""
    return not y.is_floating_point() and not y.is_complex() and y.dtype != torch.bool
