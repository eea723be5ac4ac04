"""What TensorBoard is given of a model: its graph, histograms, curves and features."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from nnlab_helpers.models.modes import evaluating

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

Inputs = Tensor | tuple[Tensor, ...]  # several, for a model that takes several

_LAST_BIN = 9e19  # torch's histograms, made like TensorFlow's, end a little above


def waits(model: nn.Module) -> bool:
    """Whether some of `model`'s sizes are only known after its first batch (lazy modules)."""
    return any(is_lazy(tensor) for tensor in chain(model.parameters(), model.buffers()))


def write_histograms(writer: SummaryWriter, group: str, tensors: Mapping[str, Tensor], step: int) -> None:
    """Write a histogram of each tensor, without what no bin can hold."""
    for name, tensor in tensors.items():
        if is_lazy(tensor):
            continue
        numbers = tensor.detach()
        if numbers.layout != torch.strided:  # the gradients of a sparse embedding
            numbers = numbers.coalesce().values() if numbers.is_sparse else numbers.to_dense()
        if numbers.is_complex():
            numbers = torch.view_as_real(numbers)
        numbers = numbers.cpu().float()  # NumPy knows no bfloat16
        numbers = numbers[numbers.abs() < _LAST_BIN]
        if len(numbers):
            writer.add_histogram(f"{group}/{name}", numbers, step)


def write_graph(writer: SummaryWriter, model: nn.Module, inputs: Inputs) -> None:
    """Follow `inputs` through the model, and write what they meet.

    Raises:
        ValueError: the model does not take them, or cannot be traced.
    """
    try:
        if device_of(model).type != "cpu":  # tracing compares in float64, which not every GPU has
            model = copy.deepcopy(model).cpu()
        with evaluating(model), warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            # PyTorch has no other way to this graph, and deprecates the way there (2.15).
            warnings.filterwarnings("ignore", r"`torch\.jit\.trace", FutureWarning)
            # "The trace might not generalize": it is drawn, never run.
            warnings.simplefilter("ignore", torch.jit.TracerWarning)
            writer.add_graph(model, tuple(_placed(inputs, model)), use_strict_trace=False)
    except OSError:  # of the file
        raise
    except Exception as error:  # whatever a forward pass may raise
        raise ValueError(
            f"no graph of this {type(model).__name__} can be drawn ({_first_line(error)}): leave `graph` out"
        ) from error


def write_curves(writer: SummaryWriter, model: nn.Module, inputs: Inputs, classes: Tensor, step: int) -> None:
    """Write a precision-recall curve for each class, unless a logit is not finite.

    Raises:
        ValueError: the model does not take the inputs, or gives no logits `[N, K]` for classes below K.
    """
    logits = _outputs(model, inputs)
    fits = isinstance(logits, Tensor) and logits.ndim == 2 and len(logits) == len(classes) and logits.shape[1] > 1
    if not fits:
        given = list(logits.shape) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise ValueError(
            f"for {len(classes)} examples the model gives {given}; curves need logits [N, K] of at least two classes: "
            "leave `examples` out"
        )
    classes = classes.cpu()
    if classes.min() < 0 or classes.max() >= logits.shape[1]:
        raise ValueError(
            f"the classes of the examples are {classes.min()} to {classes.max()}, but the model tells "
            f"{logits.shape[1]} classes apart, 0 to {logits.shape[1] - 1}"
        )
    probabilities = logits.float().softmax(dim=1).cpu()
    if probabilities.isfinite().all():
        for number, probability in enumerate(probabilities.T):
            writer.add_pr_curve(f"precision_recall/{number}", classes == number, probability, step)


def write_embedding(writer: SummaryWriter, model: nn.Module, inputs: Inputs, classes: Tensor, step: int) -> None:
    """Write what the model's last linear layer is given for the inputs, one row each."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if not linear:
        return
    given: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        given.append(arguments[0] if arguments else named["input"])

    handle = linear[-1].register_forward_pre_hook(keep, with_kwargs=True)
    try:
        _outputs(model, inputs)
    finally:
        handle.remove()
    features = given[-1].float().flatten(1).cpu() if given and given[-1].ndim > 1 else torch.empty(0)
    if len(features) != len(classes):
        return  # that layer is not used, or not once per example
    pictures, first = None, inputs if isinstance(inputs, Tensor) else inputs[0]
    if first.ndim == 4 and first.shape[1] in (1, 3) and first.shape[2] == first.shape[3]:
        shown = first.cpu().float()
        pictures = (shown - shown.amin()) / (shown.amax() - shown.amin()).clamp(min=1e-12)
    writer.add_embedding(features, classes.tolist(), pictures, step, tag="features")


def device_of(model: nn.Module) -> torch.device:
    """Where the model's first parameter lies; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _outputs(model: nn.Module, inputs: Inputs) -> Any:
    with evaluating(model):
        try:
            return model(*_placed(inputs, model))
        except Exception as error:  # whatever a forward pass may raise
            name = type(model).__name__
            raise ValueError(
                f"this {name} does not take the examples ({_first_line(error)}): leave `examples` out"
            ) from error


def _placed(inputs: Inputs, model: nn.Module) -> Iterator[Tensor]:
    return (part.to(device_of(model)) for part in ((inputs,) if isinstance(inputs, Tensor) else inputs))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
