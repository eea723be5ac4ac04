"""What is known of PyTorch's own losses: what they divide by, which shapes they take, what is right under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

Loss = Callable[[Tensor, Tensor], Tensor]

CLASSES = {"cross_entropy": nn.CrossEntropyLoss, "nll_loss": nn.NLLLoss}
BINARY = {"binary_cross_entropy_with_logits": nn.BCEWithLogitsLoss, "binary_cross_entropy": nn.BCELoss}
ELEMENTS = {  # a difference for each number of the output
    "mse_loss": nn.MSELoss, "l1_loss": nn.L1Loss, "smooth_l1_loss": nn.SmoothL1Loss, "huber_loss": nn.HuberLoss,
    "poisson_nll_loss": nn.PoissonNLLLoss, "gaussian_nll_loss": nn.GaussianNLLLoss, "kl_div": nn.KLDivLoss,
    "hinge_embedding_loss": nn.HingeEmbeddingLoss, "soft_margin_loss": nn.SoftMarginLoss,
    "multilabel_soft_margin_loss": nn.MultiLabelSoftMarginLoss,
}  # fmt: skip
IGNORED = -100  # the label that PyTorch leaves out unless told otherwise


@dataclass(frozen=True)
class KnownLoss:
    """One of PyTorch's losses: the name of its function in `torch.nn.functional`, and what decides what it divides by.

    Its name is "" for a loss of one's own.
    """

    name: str = ""
    weight: Tensor | None = None
    ignore_index: int = IGNORED
    reduction: str = "mean"

    def divisor(self, output: Tensor, y: Tensor) -> Tensor | None:
        """What the mean is divided by, where that is not the number of samples: the weights of the labels that count.

        None if it is the number of samples, as for a loss of one's own, of which nothing is known.
        """
        if self.name not in CLASSES or output.ndim < 2 or y.is_floating_point():
            return None
        counted = y != self.ignore_index
        if self.weight is None:
            return counted.sum()
        return self.weight.to(y.device)[y.long() * counted].mul(counted).sum()


def known(loss: Loss) -> KnownLoss:
    """Return what is known of `loss`, a function of `torch.nn.functional`, a `partial` of one or a module of PyTorch's.

    Raises:
        ValueError: it sums over the batch instead of taking the mean.
    """
    settings: dict[str, Any] = {}
    if isinstance(loss, partial) and not loss.args:
        settings, loss = loss.keywords, loss.func
    elif isinstance(loss, nn.Module):
        settings = vars(loss) | dict(loss.named_buffers())
    for name, kind in (CLASSES | BINARY | ELEMENTS).items():
        if loss is getattr(F, name) or type(loss) is kind:
            kept = {key: settings[key] for key in ("weight", "ignore_index", "reduction") if key in settings}
            if kept.get("reduction") == "sum":
                raise ValueError(
                    "the loss sums over the batch, so that it would depend on the batch's size: take its mean, "
                    'reduction="mean", with a learning rate as many times larger as there are samples in a batch'
                )
            return KnownLoss(name, **kept)
    return KnownLoss()


def correct(loss: KnownLoss, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor] | None:
    """Which samples are classified correctly, and which count, both bool `[N]`; None where that is not certain.

    It is for a row of logits and a whole number per sample (the loss's `ignore_index` does not count), and for one
    output per sample under a binary cross-entropy (only targets of 0 and 1 count).
    """
    if loss.name in BINARY and output.shape == y.shape and output.numel() == len(output):
        threshold = 0.0 if loss.name == "binary_cross_entropy_with_logits" else 0.5
        return (output > threshold).flatten() == (y > 0.5).flatten(), ((y == 0) | (y == 1)).flatten()
    if output.ndim == 2 and output.shape[1] > 1 and y.shape == output.shape[:1] and not y.is_floating_point():
        if loss.name in BINARY or loss.name in ELEMENTS:
            return None
        counted = y != loss.ignore_index
        return (output.argmax(dim=1) == y) & counted, counted
    return None


def check_shapes(loss: KnownLoss, output: Tensor, y: Tensor) -> None:
    """Refuse what PyTorch's losses take without a word: shapes that one broadcasts, and a single class."""
    if loss.name in CLASSES and output.ndim > 1 and output.shape[1] == 1 and not y.is_floating_point():
        raise ValueError(
            f"the model's output is {list(output.shape)}, and cross-entropy over a single class is always 0: give the "
            "model an output for each class, or take F.binary_cross_entropy_with_logits with float targets of its shape"
        )
    if loss.name in (ELEMENTS | BINARY) and output.shape != y.shape:
        raise ValueError(broadcasts(output.shape, y.shape))


def broadcasts(output: Any, target: Any) -> str:
    """What to say of an output and targets whose shapes differ."""
    output, target = list(output), list(target)
    remedy = "give both one shape"
    if output == [*target, 1]:
        remedy = "give the targets the output's shape, y[:, None], or make the output theirs, output.squeeze(-1)"
    elif target == [*output, 1]:
        remedy = "give the targets the output's shape, y.squeeze(-1)"
    return (
        f"the model's output is {output} and the targets are {target}: the loss would compare each output with the "
        f"targets of other samples (broadcasting); {remedy}"
    )


class NoBroadcast(TorchFunctionMode):
    """Within it a loss of one's own may not set outputs `[N, 1]` against targets `[N]`, which makes `[N, N]` of them.

    Targets may be compared with targets and outputs with outputs; refused is what grows beyond both of two tensors of
    which one depends on the output and the other does not.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, and look at what it makes of its arguments."""
        given = [a for a in (*args, *(kwargs or {}).values()) if isinstance(a, Tensor) and a.ndim]
        outputs, targets = ([a for a in given if a.requires_grad == grad] for grad in (True, False))
        pairs = [(o, y) for o in outputs for y in targets if may_broadcast(o, y)]
        if pairs and getattr(func, "__name__", "") in ELEMENTS:
            raise ValueError(broadcasts(pairs[0][0].shape, pairs[0][1].shape))
        result = func(*args, **(kwargs or {}))
        for output, y in pairs:
            if isinstance(result, Tensor) and result.numel() > max(output.numel(), y.numel()):
                raise ValueError(broadcasts(output.shape, y.shape))
        return result


def may_broadcast(output: Tensor, y: Tensor) -> bool:
    """Whether output and targets differ in shape, and could still be combined number by number."""
    if output.shape == y.shape or output.ndim == 0 or y.ndim == 0:
        return False
    pairs = zip(reversed(output.shape), reversed(y.shape), strict=False)
    return all(a == b or a == 1 or b == 1 for a, b in pairs)


def compute(loss: Loss, output: Tensor, y: Tensor) -> Tensor:
    """`loss(output, y)`, a loss of one's own, which may not broadcast one against the other."""
    if not may_broadcast(output, y) or not output.is_floating_point():
        return loss(output, y)
    if output.requires_grad:
        with NoBroadcast():
            return loss(output, y)
    with torch.enable_grad(), NoBroadcast():  # in evaluation nothing hangs on the graph: only to look
        loss(output.detach().requires_grad_(), y)
    return loss(output, y)
