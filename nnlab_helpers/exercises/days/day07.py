"""Checks of day 7: convolution, sizes, LeNet for 64 x 64, gradient flow, losses."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from nnlab_helpers.exercises.checking import CONVOLUTIONS, Case, Formula, Trial, case, example_models, exercise


def _windows(images: Tensor, kernels: Tensor) -> Tensor:
    """All windows [B, C, H', W', k, k]."""
    k = kernels.shape[-1]
    return images.unfold(2, k, 1).unfold(3, k, 1)


def sliding(images: Tensor, kernels: Tensor, *, letters: str = "bchwij,ocij->bohw") -> Tensor:
    """Feature maps [B, K, H', W'] of images [B, C, H, W] under kernels [K, C, k, k]."""
    return torch.einsum(letters, _windows(images, kernels), kernels)


def _conv_cases(t: Trial) -> list[Case]:
    plain = torch.tensor([[[[0.0, 1, 2], [3, 4, 5], [6, 7, 8]]]])
    pairs = [
        (plain, torch.tensor([[[[1.0, 0], [0, 0]]]])),
        (plain, torch.tensor([[[[1.0, 2], [3, 5]]]])),
        (t.randn(2, 1, 5, 7), t.randn(3, 1, 3, 3)),
        (t.randn(2, 3, 6, 4), t.randn(4, 3, 2, 2)),
        (t.randn(1, 2, 4, 3), t.randn(1, 2, 1, 1)),
        (t.randn(3, 2, 4, 9), t.randn(2, 2, 4, 4)),
    ]
    return [case(*two, given=f"images {list(two[0].shape)} and kernels {list(two[1].shape)}") for two in pairs]


CONV2D = Formula(
    right=sliding,
    cases=_conv_cases,
    mistakes={
        "The kernel is turned round; PyTorch slides it as it is.": lambda x, w: sliding(x, w.flip(2, 3)),
        "The kernel is transposed: rows and columns of the window are exchanged.": lambda x, w: sliding(
            x, w.transpose(2, 3)
        ),
        "Padding was added; without it the map is smaller than the image.": lambda x, w: sliding(
            F.pad(x, [w.shape[-1] // 2] * 4), w
        ),
        "That is the mean over the window; sum.": lambda x, w: sliding(x, w) / w[0, 0].numel(),
        "That is the mean over the channels; sum over them.": lambda x, w: sliding(x, w) / x.shape[1],
        "One axis too many: add up over the channels too.": partial(sliding, letters="bchwij,ocij->bochw"),
        "Every channel has a kernel of its own: do not add the kernels up first.": lambda x, w: sliding(
            x, w.sum(1, keepdim=True).expand_as(w)
        ),
    },
)


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
    forbids={"that calls a convolution that is already there: build it from windows.": CONVOLUTIONS},
)
def conv2d(answer: Callable[..., Any], t: Trial) -> None:
    """What is called must not grow with the image; then compare, on one channel, several, and oblong images."""
    few = t.count_calls(answer, t.randn(1, 1, 2, 2), t.randn(1, 1, 2, 2))
    many = t.count_calls(answer, t.randn(9, 8, 20, 19), t.randn(10, 8, 9, 9))
    t.require(
        many <= few + 5, "there is still a loop (or a comprehension) in it: let unfold lay out all windows at once."
    )
    CONV2D.check(answer, t)


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
    """Watch what goes in and out of each layer with weights, in the order in which they are used."""
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
    x = 3 * t.randn(16, 1, 64, 64)
    with _Stages() as stages:
        logits = t.call(model, x)
    _judge_layers(stages.seen, t)
    model.zero_grad()
    logits.square().sum().backward(retain_graph=True)
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    t.require(not silent, f"no gradient arrives at {', '.join(silent)}: is each layer used in forward?")
    for first, second in pairwise(stages.seen):
        _judge_between(first, second, t)
    t.require(
        torch.allclose(logits, stages.seen[-1].result, atol=1e-5),
        "the output is softmaxed; logits are asked for, the loss does the softmax."
        if torch.allclose(logits.exp().sum(1) if logits.max() <= 0 else logits.sum(1), torch.ones(16), atol=1e-4)
        else "something comes after the last linear layer: what it gives are the logits.",
    )
    count = sum(p.numel() for p in model.parameters())
    t.require(count <= 338_186, f"there are {count:,} parameters; these five layers have 338,186.")
    for mode in (model.train(), model.eval()):
        t.require(
            torch.allclose(t.call(mode, x), logits, atol=1e-5),
            "for the same images it gives other logits the second time.",
            "Nothing in LeNet is drawn by lot or depends on the mode.",
        )
    t.expect_own_memory(list(t.call(answer).parameters()), list(model.parameters()), "a second LeNet64()")


@dataclass
class _Stage:
    """A convolution or linear layer at work: what it took and gave, and its weights."""

    kind: str
    given: Tensor
    result: Tensor
    weight: Tensor


class _Stages(TorchFunctionMode):
    """Notes convolutions and linear layers; an in-place function after them changes a copy."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[_Stage] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        kind = {F.conv2d: "convolution", F.linear: "linear"}.get(func)
        if kind is None:
            return result
        named = dict(zip(("input", "weight"), args, strict=False)) | (kwargs or {})
        self.seen.append(_Stage(kind, named["input"], result, named["weight"]))
        return result.clone()


def _judge_layers(seen: Sequence[_Stage], t: Trial) -> None:
    """Two convolutions and three linear layers, of the sizes asked for."""
    kernels = [list(one.weight.shape) for one in seen if one.kind == "convolution"]
    t.require(
        kernels == [[6, 1, 5, 5], [16, 6, 5, 5]],
        f"LeNet has two convolutions, weights [6, 1, 5, 5] and [16, 6, 5, 5]; these are {kernels}.",
    )
    maps = [one for one in seen if one.kind == "convolution"]
    t.require(
        all(one.result.shape[-1] <= one.given.shape[-1] - 4 for one in maps),
        "the convolutions are padded; the task keeps them without padding.",
    )
    t.require(
        all(one.result.shape[-2:] == tuple(side - 4 for side in one.given.shape[-2:]) for one in maps),
        "a window of 5 makes a map 4 pixels smaller; this convolution leaves pixels out.",
    )
    linears = [list(one.weight.shape) for one in seen if one.kind == "linear"]
    t.require(
        linears[1:] == [[84, 120], [10, 84]] and linears[0][0] == 120,
        f"the linear layers give 120, 84 and 10 numbers in LeNet; these have weights {linears}.",
    )
    t.require(
        linears[0][1] == 16 * 13 * 13,
        f"the first linear layer takes {linears[0][1]} numbers; 16 maps of 13 x 13 arrive if each round convolves "
        "without padding and pools by 2.",
    )


def _judge_between(first: _Stage, second: _Stage, t: Trial) -> None:
    """Something bends between two layers, and where maps are, windows of 2 x 2 are pooled."""
    out, taken = first.result, second.given
    names = f"a layer with weights {list(first.weight.shape)} and the next one"
    ways = [F.max_pool2d(out, 2), F.avg_pool2d(out, 2)] if out.dim() == 4 else [out]
    t.require(
        not any(way.numel() == taken.numel() and torch.allclose(way.reshape(taken.shape), taken) for way in ways),
        f"nothing bends between {names}: without an activation the two are a single straight line (day 3).",
    )
    if out.dim() != 4:
        return
    (used,) = torch.autograd.grad(taken.sum(), out, retain_graph=True)
    t.require(
        all(used[..., i::2, j::2].any() for i in (0, 1) for j in (0, 1)),
        f"between {names} pixels are thrown away unseen: pool the windows of 2 x 2.",
    )
    flat, side = taken.flatten(1), out.shape[-1] // 2
    middle = flat.shape[1] // 2 + side * (side // 2) + side // 2  # amid a map
    (used,) = torch.autograd.grad(flat[:, middle].sum(), out, retain_graph=True)
    rows, columns = used.abs().sum((0, 1)).nonzero(as_tuple=True)
    t.require(
        len({*(rows // 2).tolist()}) < 2 and len({*(columns // 2).tolist()}) < 2,
        f"between {names} a number comes from more than one window of 2 x 2.",
    )


FLOWING = (  # every parameter of these gets a gradient
    "a model with parameters outside of layers", "a model with a GRU", "a model with attention",
    "a model with a 1-d convolution", "a model with nested layers and batch normalization",
)  # fmt: skip


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
    """Compare names, order and sizes, also for models that carry old gradients, with weights of all kinds."""
    plain = nn.Sequential(nn.Linear(3, 5), nn.LayerNorm(5), nn.Tanh(), nn.Linear(5, 4))
    with torch.no_grad():
        for p in plain.parameters():
            p.copy_(t.randn(*p.shape))
    several = [one for one in example_models() if one.name in FLOWING]
    for stale, model, x in [(False, plain, t.randn(7, 3)), (True, plain, t.randn(7, 3)),
                            *((True, one.model, one.x) for one in several)]:  # fmt: skip
        classes = copy.deepcopy(model)(x).shape[1]
        y = t.randint(0, classes, (len(x),))
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
                    len(x) * g.abs().mean().item() for g in weights.values()
                ],
                "Gradients from before are still in it: clear them first.": [
                    (g + old).abs().mean().item() for g in weights.values()
                ],
            },
            rtol=1e-3,
        )


def _one_hot(labels: Tensor, classes: int) -> Tensor:
    return F.one_hot(labels, classes).float()


def _switched_cases(t: Trial) -> list[Case]:
    """Batches that are never square, so that a swapped axis shows, and logits far apart."""
    cases = [
        (torch.tensor([[0.0, 0.0]]), torch.tensor([1])),
        (torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0]]), torch.tensor([2, 1])),
        (3 * t.randn(5, 4), t.randint(0, 4, (5,))),
        (torch.tensor([[1000.0, 0.0], [0.0, 990.0]]), torch.tensor([1, 1])),
        (40 * t.randn(3, 7), t.randint(0, 7, (3,))),
        (torch.tensor([[1000.0, 0.0, 1.0], [0.0, 1.0, 2.0]]), torch.tensor([0, 1])),
        (t.randn(4, 3) - 1000, t.randint(0, 3, (4,))),
        (100 * t.randn(6, 2), t.randint(0, 2, (6,))),
    ]
    return [
        case(
            logits,
            _one_hot(labels, logits.shape[1]),
            given=f"for logits {logits.tolist()} and labels {labels.tolist()} (one-hot)"
            if logits.numel() < 7
            else f"for logits {list(logits.shape)}",
            note="e to the power of 1000 is beyond a float, and the logarithm of a softmax that became 0 is minus "
            "infinity. PyTorch's own function computes both in one step."
            if logits.abs().max() >= 90
            else "",
        )
        for logits, labels in cases
    ]


def _shifted_by_all(logits: Tensor, one_hot: Tensor) -> Tensor:
    z = logits - logits.max()
    return (z.exp().sum(1).log() - (z * one_hot).sum(1)).mean()


exercise(
    "day07.switched_loss",
    title="Switch the loss, and the target with it",
    stars=2,
    hints=(
        "F.cross_entropy wants the number of the class. In which column of a row is the 1?",
        "one_hot.argmax(dim=1) gives the class of each row.",
    ),
    learned="F.cross_entropy also takes probabilities as targets. Day 8 uses that to soften them on purpose.",
    right=F.cross_entropy,
    ask=lambda call, answer, logits, one_hot: call(answer, logits, one_hot.detach()),  # no gradient for targets
    cases=_switched_cases,
    mistakes={
        "That is still a squared error.": F.mse_loss,
        "That is still a squared error, of the softmax.": lambda z, y: F.mse_loss(z.softmax(1), y),
        "Softmax was applied twice: F.cross_entropy wants logits.": lambda z, y: F.cross_entropy(z.softmax(1), y),
        "That is the sum over the batch; the mean is asked for.": lambda z, y: F.cross_entropy(z, y, reduction="sum"),
        "That is averaged over all B times C entries; divide by B alone.": lambda z, y: (
            F.cross_entropy(z, y) / z.shape[1]
        ),
        "The sign is turned round.": lambda z, y: -F.cross_entropy(z, y),
        "A sigmoid per class is another loss (several classes may be true at once).": (
            F.binary_cross_entropy_with_logits
        ),
        "The largest logit of the whole batch was subtracted: take that of each row, else e to the power of the "
        "others' difference becomes 0.": _shifted_by_all,
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
