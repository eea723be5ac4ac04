"""Checks of day 7: convolution, sizes, LeNet for 64 x 64, gradient flow, losses."""

from __future__ import annotations

import dis
from collections.abc import Callable
from itertools import pairwise
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, exercise

READY_MADE = ("conv1d", "conv2d", "conv3d", "convolution", "Conv2d", "correlate2d", "convolve2d")


def _instructions(code: CodeType) -> list[dis.Instruction]:
    """All instructions of a function, those of comprehensions and inner functions included."""
    inner = [i for const in code.co_consts if isinstance(const, CodeType) for i in _instructions(const)]
    return [*dis.get_instructions(code), *inner]


@exercise(
    "day07.conv2d",
    title="A convolution without loops",
    stars=3,
    hints=(
        "Unfold twice, along the height and along the width: you get all windows, [B, C, H', W', k, k].",
        "Each output sums over C and over both sides of the window. Which einsum does that? One letter for each axis.",
        'torch.einsum("bchwij,ocij->bohw", windows, kernels)',
    ),
    learned="This is how many libraries do it: lay all windows side by side, then one large matrix product (im2col).",
)
def conv2d(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with PyTorch on one channel, several channels, and oblong images."""
    code = getattr(answer, "__code__", None)
    if code is not None:
        steps = _instructions(code)
        t.require(
            not any(step.argval in READY_MADE for step in steps if step.opname.startswith("LOAD")),
            "that calls a convolution that is already there: build it from windows.",
        )
        t.require(
            not any(step.opname == "FOR_ITER" or "JUMP_BACKWARD" in step.opname for step in steps),
            "there is still a loop (or a comprehension) in it: let unfold lay out all windows at once.",
        )
    plain = torch.tensor([[[[0.0, 1, 2], [3, 4, 5], [6, 7, 8]]]])
    cases = [
        (plain, torch.tensor([[[[1.0, 0], [0, 0]]]])),
        (plain, torch.tensor([[[[1.0, 2], [3, 5]]]])),
        (t.randn(2, 1, 5, 7), t.randn(3, 1, 3, 3)),
        (t.randn(2, 3, 6, 4), t.randn(4, 3, 2, 2)),
    ]
    for images, kernels in cases:
        got = t.call(answer, images, kernels)
        want = F.conv2d(images, kernels)
        windows = images.unfold(2, kernels.shape[2], 1).unfold(3, kernels.shape[3], 1)
        unsummed = torch.einsum("bchwij,ocij->bochw", windows, kernels)
        per_channel = F.conv2d(images, kernels.sum(1, keepdim=True).expand_as(kernels))
        t.expect(
            got,
            want,
            given=f"images {list(images.shape)} and kernels {list(kernels.shape)}",
            known={
                "The kernel is turned round; PyTorch slides it as it is.": F.conv2d(images, kernels.flip(2, 3)),
                "The kernel is transposed: rows and columns of the window are exchanged.": F.conv2d(
                    images, kernels.transpose(2, 3)
                ),
                "Padding was added; without it the map is smaller than the image.": F.conv2d(
                    images, kernels, padding=kernels.shape[-1] // 2
                ),
                "That is the mean over the window; sum.": want / kernels[0, 0].numel(),
                "That is the mean over the channels; sum over them.": want / images.shape[1],
                "One axis too many: add up over the channels too.": unsummed,
                "Every channel has a kernel of its own: do not add the kernels up first.": per_channel,
            },
            rtol=1e-4,
        )


@exercise(
    "day07.output_size",
    title="What size comes out?",
    stars=1,
    hints=(
        "Padding counts on both sides. Whole-number division is //.",
        "(n + 2 * padding - window) // stride + 1, once you have made sure that the window fits.",
    ),
    learned="With an odd window and padding (window - 1) / 2, a stride of 1 keeps the size: that is \"same\" padding.",
)
def output_size(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with PyTorch's own layers, then ask for the impossible."""
    cases = [(28, 5, 0, 1), (28, 5, 2, 1), (3, 5, 1, 1), (5, 2, 0, 2), (7, 3, 1, 2), (4, 4, 0, 3), (224, 7, 3, 2)]
    cases += [
        (int(n), int(k), int(p), int(s))
        for n, k, p, s in zip(
            t.randint(9, 40, (6,)), t.randint(1, 9, (6,)), t.randint(0, 4, (6,)), t.randint(1, 4, (6,)), strict=True
        )
    ]
    for n, k, p, s in cases:
        got = t.call(answer, n, k) if (p, s) == (0, 1) else t.call(answer, n, k, padding=p, stride=s)
        want = F.conv1d(torch.zeros(1, 1, n), torch.zeros(1, 1, k), padding=p, stride=s).shape[-1]
        t.expect(
            got,
            want,
            given=f"n = {n}, window = {k}, padding = {p}, stride = {s}",
            known={
                "The padding is on both sides: it counts twice.": (n + p - k) // s + 1,
                "One is missing: count the window's first position too.": (n + 2 * p - k) // s,
                "Whole numbers are asked for: // in place of /.": (n + 2 * p - k) / s + 1,
                "Positions are rounded up; a window that hangs over the edge does not count.": 1
                - (k - n - 2 * p) // s,
                "That leaves out the window's own width.": (n + 2 * p) // s,
            },
        )
    for n, k, p in ((3, 5, 0), (3, 4, 0), (2, 7, 1)):
        try:
            answer(n, k, padding=p)
        except ValueError:
            continue
        except Exception as error:
            t.fail(f"a window of {k} does not fit into {n} pixels: that is a ValueError, not a {type(error).__name__}.")
        t.fail(f"a window of {k} does not fit into {n} pixels with padding {p}: raise a ValueError there.")


@exercise(
    "day07.lenet64",
    title="LeNet for 64 x 64",
    stars=2,
    draws=True,
    hints=(
        "Copy LeNet from above. Follow 64 through both rounds of convolution and pooling.",
        "64 - 60 - 30 - 26 - 13. How many numbers are 16 maps of 13 x 13?",
        "self.fc1 = nn.Linear(16 * 13 * 13, 120); everything else stays as it was.",
    ),
    learned="Twice the side made that one layer almost seven times as large. Pooling to a fixed size would avoid it.",
)
def lenet64(answer: Any, t: Trial) -> None:
    """Check the layers, the shapes, single images, and that every layer is used."""
    t.require(not isinstance(answer, nn.Module), "hand over the class itself, LeNet64, not an instance of it.")
    model = t.call(answer)
    t.require(isinstance(model, nn.Module), f"LeNet64() should be an nn.Module, it is a {type(model).__name__}")
    for batch in (1, 5):
        t.expect(
            tuple(t.call(model, t.randn(batch, 1, 64, 64)).shape),
            (batch, 10),
            given=f"the shape of the logits for a batch of {batch}",
            known={
                "The batch was flattened with the maps: flatten from dimension 1 on.": (10,),
                "A row for each map, not for each image: flatten(1) keeps the batch.": (16 * batch, 10),
            },
        )
    kernels = [tuple(p.shape) for p in model.parameters() if p.dim() == 4]
    t.require(
        kernels == [(6, 1, 5, 5), (16, 6, 5, 5)],
        f"LeNet has two convolutions, weights [6, 1, 5, 5] and [16, 6, 5, 5]; these are {[list(k) for k in kernels]}.",
    )
    padded = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.padding not in (0, (0, 0))]
    t.require(not padded, "the convolutions are padded; the task keeps them without padding.")
    linears = [tuple(p.shape) for p in model.parameters() if p.dim() == 2]
    t.require(
        linears[1:] == [(84, 120), (10, 84)] and linears[0][0] == 120,
        f"the linear layers give 120, 84 and 10 numbers in LeNet; these have weights {[list(w) for w in linears]}.",
    )
    t.require(
        linears[0][1] == 16 * 13 * 13,
        f"the first linear layer takes {linears[0][1]} numbers; 16 maps of 13 x 13 arrive if each round convolves "
        "without padding and pools by 2.",
    )
    x = 3 * t.randn(4, 1, 64, 64)
    model.zero_grad()
    logits = t.call(model, x)
    logits.square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    t.require(not silent, f"no gradient arrives at {', '.join(silent)}: is each layer used in forward?")
    t.require(
        not torch.allclose(logits.sum(1), torch.ones(4), atol=1e-4),
        "the output is softmaxed; logits are asked for, the loss does the softmax.",
    )
    straight = _without_bend(model, x, t)
    t.require(
        not straight,
        f"nothing bends between {straight}: without an activation the two are a single straight line (day 3).",
    )


def _without_bend(model: nn.Module, x: Tensor, t: Trial) -> str:
    """Name the first two layers with weights between which there is at most a pooling, or nothing."""
    seen: list[tuple[str, Tensor, Tensor]] = []
    names = {m: name for name, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    hooks = [m.register_forward_hook(lambda m, i, o: seen.append((names[m], i[0], o))) for m in names]
    with torch.no_grad():
        t.call(model, x)
    for hook in hooks:
        hook.remove()
    for (first, _, given), (second, taken, _) in pairwise(seen):
        ways = [F.max_pool2d(given, 2), F.avg_pool2d(given, 2)] if given.dim() == 4 else [given]
        if any(way.numel() == taken.numel() and torch.allclose(way.reshape(taken.shape), taken) for way in ways):
            return f"`{first}` and `{second}`"
    return ""


@exercise(
    "day07.gradient_flow",
    title="Draw the gradient flow",
    stars=2,
    hints=(
        "zero_grad, forward, cross-entropy, backward: then every parameter has a .grad.",
        "for name, p in model.named_parameters(): keep those with p.dim() > 1.",
        "(name, p.grad.abs().mean().item()), after model.zero_grad() and loss.backward()",
    ),
    learned="Log this every few hundred steps: a layer whose line drops by powers of ten has stopped learning.",
)
def gradient_flow(answer: Callable[..., Any], t: Trial) -> None:
    """Compare names, order and sizes, also for a model that carries old gradients."""
    for stale in (False, True):
        model = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 4))
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(t.randn(*p.shape))
        x, y = t.randn(7, 3), t.randint(0, 4, (7,))
        grads = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        named = dict(zip((name for name, _ in model.named_parameters()), grads, strict=True))
        weights = {name: g for name, g in named.items() if g.dim() > 1}
        old = t.randn(1).abs().item() + 1
        if stale:
            for p in model.parameters():
                p.grad = torch.full_like(p, old)
        got = t.call(answer, model, x, y)
        t.require(isinstance(got, list | tuple), f"a list of pairs is asked for, got {type(got).__name__}")
        try:
            got = [(name, float(size)) for name, size in got]
        except (TypeError, ValueError):
            t.fail(f"each entry should be a pair (name, size), the first is {got[0]!r}" if got else "the list is empty")
        names = [name for name, _ in got]
        if names == list(named):
            t.fail("biases are in the list too: keep the parameters with more than one dimension.")
        t.expect(names, list(weights), what="the names")
        t.expect(
            [size for _, size in got],
            [g.abs().mean().item() for g in weights.values()],
            what="the sizes",
            given="a model with gradients left over from before" if stale else "a fresh model",
            known={
                "That is the mean of the gradient; take the absolute value first, or signs cancel.": [
                    g.mean().item() for g in weights.values()
                ],
                "That is the absolute value of the mean; take the mean of the absolute values.": [
                    abs(g.mean().item()) for g in weights.values()
                ],
                "That is the norm; the mean of the absolute values is asked for.": [
                    g.norm().item() for g in weights.values()
                ],
                "That is the sum of the absolute values; a larger layer would look louder.": [
                    g.abs().sum().item() for g in weights.values()
                ],
                "That is the size of the weights, not of their gradients.": [
                    p.detach().abs().mean().item() for p in model.parameters() if p.dim() > 1
                ],
                "The loss is summed over the batch; take its mean.": [
                    7 * g.abs().mean().item() for g in weights.values()
                ],
                "Gradients from before are still in it: clear them first.": [
                    (g + old).abs().mean().item() for g in weights.values()
                ],
            },
            rtol=1e-3,
        )


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return F.one_hot(labels, classes).float()


@exercise(
    "day07.switched_loss",
    title="Switch the loss, and the target with it",
    stars=2,
    hints=(
        "F.cross_entropy wants the number of the class. In which column of a row is the 1?",
        "one_hot.argmax(dim=1) gives the class of each row.",
    ),
    learned="F.cross_entropy also takes probabilities as targets. Day 8 uses that to soften them on purpose.",
)
def switched_loss(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with PyTorch on batches that are never square, so that a swapped axis shows."""
    cases = [
        (torch.tensor([[0.0, 0.0]]), torch.tensor([1])),
        (torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]]), torch.tensor([2, 1])),
        (3 * t.randn(5, 4), t.randint(0, 4, (5,))),
        (torch.tensor([[1000.0, 0.0], [0.0, 990.0]]), torch.tensor([1, 1])),
        (40 * t.randn(3, 7), t.randint(0, 7, (3,))),
    ]
    for logits, labels in cases:
        one_hot = _one_hot(labels, logits.shape[1])
        want = F.cross_entropy(logits, labels)
        got = t.call(answer, logits, one_hot)
        if logits.max() >= 990 and torch.is_tensor(got) and got.numel() == 1 and not torch.isclose(got.float(), want):
            t.fail(
                f"for logits {logits.tolist()} and labels {labels.tolist()} (one-hot) the result is {got.item():g} and "
                f"not {want.item():g}: e to the power of 1000 is beyond a float, and the logarithm of a softmax that "
                "became 0 is minus infinity. PyTorch's own function computes both in one step"
            )
        t.expect(
            got,
            want,
            known={
                "That is still a squared error.": F.mse_loss(logits, one_hot),
                "That is still a squared error, of the softmax.": F.mse_loss(logits.softmax(1), one_hot),
                "Softmax was applied twice: F.cross_entropy wants logits.": F.cross_entropy(logits.softmax(1), labels),
                "That is the sum over the batch; the mean is asked for.": want * len(labels),
                "That is averaged over all B times C entries; divide by B alone.": want / logits.shape[1],
                "The sign is turned round.": -want,
                "A sigmoid per class is another loss (several classes may be true at once).": (
                    F.binary_cross_entropy_with_logits(logits, one_hot)
                ),
            },
        )


@exercise(
    "day07.compare_losses",
    title="Compare loss functions",
    stars=2,
    hints=(
        "For each loss start from a fresh leaf: z = logits.detach().clone().requires_grad_().",
        "torch.autograd.grad(loss, z) returns a tuple with one gradient; its .norm() is one number.",
        "result[name] = (loss.item(), gradient.norm().item())",
    ),
    learned="Try it with logits that are sure and wrong: squared error reports a large loss and next to no gradient.",
)
def compare_losses(answer: Callable[..., Any], t: Trial) -> None:
    """Three losses, on logits with and without a gradient of their own."""

    def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels)

    def squared_error(logits: Tensor, labels: Tensor) -> Tensor:
        return F.mse_loss(logits.softmax(1), _one_hot(labels, logits.shape[1]))

    def summed(logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="sum")

    losses = {"cross-entropy": cross_entropy, "squared error": squared_error, "summed": summed}
    for rows, tracked in ((2, False), (5, False), (4, True)):
        logits, labels = 2 * t.randn(rows, 3), t.randint(0, 3, (rows,))
        if tracked:
            logits.requires_grad_()
        expected, grads = {}, {}
        for name, loss in losses.items():
            z = logits.detach().clone().requires_grad_()
            value = loss(z, labels)
            (grads[name],) = torch.autograd.grad(value, z)
            expected[name] = (value.item(), grads[name].norm().item())
        got = t.call(answer, logits, labels, dict(losses))
        t.require(logits.grad is None, "the logits came back with a .grad: work on a copy of them.")
        t.require(logits.requires_grad == tracked, "the logits came back changed: requires_grad was switched.")
        t.require(isinstance(got, dict), f"a dictionary is asked for, got {type(got).__name__}")
        t.expect(sorted(map(str, got)), sorted(expected), what="the names")
        sums: Tensor = torch.zeros_like(grads["summed"])
        piled: dict[str, tuple[float, float]] = {}
        for name, gradient in grads.items():
            sums = sums + gradient
            piled[name] = (expected[name][0], float(sums.norm()))
        for name in losses:
            entry = got[name]
            t.require(
                isinstance(entry, tuple | list) and len(entry) == 2,
                f"{name}: a pair (loss, norm of the gradient) is asked for, got {entry!r}",
            )
            gradient = grads[name]
            size = expected[name][0]
            t.expect(
                tuple(float(part) for part in entry),
                expected[name],
                given=f"{name} on {rows} rows of logits",
                known={
                    "The gradients of the losses pile up: start each from a fresh copy.": piled[name],
                    "That is the largest entry of the gradient, not its norm.": (size, gradient.abs().max().item()),
                    "That is the mean size of the gradient, not its norm.": (size, gradient.abs().mean().item()),
                    "That is the sum of the absolute values; the norm is the root of the sum of squares.": (
                        size,
                        gradient.abs().sum().item(),
                    ),
                    "That is the square of the norm.": (size, gradient.square().sum().item()),
                    "The order is (loss, norm).": expected[name][::-1],
                },
                rtol=1e-3,
            )
