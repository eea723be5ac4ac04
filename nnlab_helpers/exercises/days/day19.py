"""Checks of day 19: the gradient of a stack, a free shortcut, branches counted, decibels, crossed wires in a U-Net."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _stack(jacobians: Sequence[Tensor], keep: float, mistake: str = "") -> Tensor:
    """The Jacobian of a stack, or what a known mistake makes of it."""
    eye = torch.eye(len(jacobians[0]))
    if mistake == "sum":
        return sum((keep * eye + j for j in jacobians), torch.zeros_like(eye))
    if mistake == "paths":
        return keep ** len(jacobians) * eye + _stack(jacobians, 0.0)
    whole = eye
    for jacobian in jacobians:
        layer = {
            "plain": jacobian,
            "keep = 1": eye + jacobian,
            "every entry": keep + jacobian,
            "keep on f": eye + keep * jacobian,
            "keep on both": keep * (eye + jacobian),
            "transposed": keep * eye + jacobian.T,
        }.get(mistake, keep * eye + jacobian)
        if mistake == "entrywise":
            whole = layer if whole is eye else whole * layer
        else:
            whole = whole @ layer if mistake == "reversed" else layer @ whole
    return whole


@exercise(
    "day19.stack_jacobian",
    title="The gradient of a stack",
    stars=2,
    hints=(
        "One layer first: which matrix is the Jacobian of keep * h + f(h)?",
        "torch.eye(D) is the identity. For two layers the chain rule gives (Jacobian of the second) @ (of the first).",
        "Begin with the identity, and for each Jacobian J in order: whole = (keep * torch.eye(D) + J) @ whole.",
    ),
    learned="Going backwards, a gradient is multiplied by the transposes of the same factors, last layer first.",
)
def stack_jacobian(answer: Callable[..., Any], t: Trial) -> None:
    """Numbers as 1 x 1, matrices that do not commute, deeper stacks, other factors on the skip."""
    pair = [torch.tensor([[0.0, 1.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 0.0]])]
    cases = [
        ([torch.tensor([[0.5]])], 1.0),
        ([torch.tensor([[0.5]]), torch.tensor([[-0.2]])], 1.0),
        ([torch.tensor([[0.5]]), torch.tensor([[-0.2]])], 0.5),
        (pair, 1.0),
        ([0.4 * t.randn(3, 3) for _ in range(4)], 1.0),
        ([0.4 * t.randn(5, 5) for _ in range(3)], 0.5),
        ([0.4 * t.randn(3, 3) for _ in range(2)], 0.0),
    ]
    for jacobians, keep in cases:
        got = t.call(answer, list(jacobians), keep)
        wrong = partial(_stack, jacobians, keep)
        depth, size = len(jacobians), len(jacobians[0])
        given = f"{depth} Jacobians {size} x {size} and keep = {keep}"
        if size == 1:
            given = f"the Jacobians {[round(j.item(), 2) for j in jacobians]} and keep = {keep}"
        t.expect(
            got,
            wrong(),
            given=given,
            known={
                "That is the product of the Jacobians alone: the skip adds keep times the identity to each.": wrong(
                    "plain"
                ),
                "keep + J adds to every entry; the Jacobian of keep * h is keep times the *identity*.": wrong(
                    "every entry"
                ),
                "The order is turned round: the first layer's factor stands on the right.": wrong("reversed"),
                "`keep` is not in it.": wrong("keep = 1"),
                "`keep` stands on the skip, not on f.": any_of(wrong("keep on f"), wrong("keep on both")),
                "The layers' Jacobians are added; through layers in a row they are multiplied.": wrong("sum"),
                "Those are two paths only, around all layers and through all; there are many in between.": wrong(
                    "paths"
                ),
                "`*` multiplies entry by entry; the chain rule needs the matrix product, `@`.": wrong("entrywise"),
                "The Jacobians are transposed; rows are outputs already.": wrong("transposed"),
            },
        )
    t.expect(t.call(answer, pair), _stack(pair, 1.0), given="two Jacobians 2 x 2 and no keep")


def _shortcut(x: Tensor, out: int, stride: int, mistake: str = "") -> Tensor:
    """Strided maps with zero channels behind, or what a known mistake makes of it."""
    if mistake == "pooled":
        small = F.avg_pool2d(x, stride, ceil_mode=True)
    elif mistake == "max":
        small = F.max_pool2d(x, stride, ceil_mode=True)
    elif mistake == "cropped":
        small = x[..., : math.ceil(x.shape[2] / stride), : math.ceil(x.shape[3] / stride)]
    elif mistake == "second":
        small = x[..., stride - 1 :: stride, stride - 1 :: stride]
    elif mistake == "rows only":
        small = x[:, :, ::stride]
    elif mistake == "no stride":
        small = x
    else:
        small = x[..., ::stride, ::stride]
    more = out - x.shape[1]
    if mistake == "copied":
        return torch.cat([small, *[small[:, i % x.shape[1]][:, None] for i in range(more)]], dim=1)
    zeros = (more // 2, more - more // 2) if mistake == "both sides" else (0, more)
    zeros = zeros[::-1] if mistake == "in front" else zeros
    return F.pad(small, (0, 0, 0, 0, *zeros))


@exercise(
    "day19.free_shortcut",
    title="A shortcut without weights",
    stars=2,
    hints=(
        "Slices take steps: x[:, :, ::2] is every second row.",
        "x.new_zeros(...) makes zeros of the dtype and device of x; torch.cat(..., dim=1) puts channels behind others.",
        "small = x[:, :, ::stride, ::stride]; zeros have its shape, but out_channels - C channels.",
    ),
    learned="He and others found the projection a little better, and this one good enough: it costs nothing.",
)
def free_shortcut(answer: Callable[..., Any], t: Trial) -> None:
    """Odd and even sides, several strides, as many channels as before, another dtype, and too few channels."""
    line = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    cases = [
        (torch.arange(1.0, 10.0).view(1, 1, 3, 3), 2, 2),
        (line, 2, 2),
        (line, 1, 1),
        (t.randn(2, 3, 5, 4), 5, 2),
        (t.randn(1, 2, 7, 8), 7, 3),
        (t.randn(2, 4, 6, 7), 4, 2),
        (t.randn(3, 2, 5, 5).double(), 3, 1),
    ]
    for x, out, stride in cases:
        got = t.call(answer, x, out, stride)
        wrong = partial(_shortcut, x, out, stride)
        given = f"x of shape {list(x.shape)}, {out} channels and stride {stride}"
        if isinstance(got, Tensor) and got is x:
            t.fail(f"for {given}: your function returns x itself", "A new tensor is asked for, also where it is equal.")
        if isinstance(got, Tensor) and got.dtype != x.dtype:
            t.fail(
                f"for {given}: expected {x.dtype}, got {got.dtype}",
                "The zeros need the dtype of x: x.new_zeros(...) has it.",
            )
        known: dict[str, Any] = {
            "`stride` is not used.": wrong("no stride"),
            "The zeros stand in front; they belong behind the old channels.": wrong("in front"),
            "The zeros stand on both sides; they belong behind the old channels.": wrong("both sides"),
            "The new channels are copies; they should be zeros.": wrong("copied"),
            "That pools; take every `stride`-th place as it is.": any_of(wrong("pooled"), wrong("max")),
            "That is the upper left corner; take every `stride`-th row and column.": wrong("cropped"),
            "Begin with the first row and column, not with the second.": wrong("second"),
            "Only the rows are thinned out; the columns are, too.": wrong("rows only"),
        }
        want = wrong()
        if isinstance(got, Tensor) and got.shape != want.shape:
            for message, value in known.items():
                values = (value,) if isinstance(value, Tensor) else value.values
                if any(torch.equal(got, one) for one in values if one.shape == got.shape):
                    t.fail(f"for {given}: expected shape {list(want.shape)}, got {list(got.shape)}", message)
            if got.shape == (*want.shape[:2], x.shape[2] // stride, x.shape[3] // stride):
                t.fail(
                    f"for {given}: expected shape {list(want.shape)}, got {list(got.shape)}",
                    "The sides are rounded up: of 3 rows every second one, from the first, is two.",
                )
        t.expect(got, want, given=given, known=known)
        if got.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
            t.fail(
                f"for {given}: the result shares its memory with x",
                "A slice is a window onto x; a new tensor is asked for, so copy it (.clone()).",
            )
    got = t.call(_error_as_value(answer), t.randn(1, 3, 4, 4), 2, 1)
    t.require(
        isinstance(got, ValueError),
        f"3 channels cannot be widened to 2: a ValueError is expected, got {_named(got)}",
        "Ask for it before anything else: a negative number of zeros would cut channels off in silence.",
    )


def _named(value: Any) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else repr(value)[:60]


def _error_as_value(answer: Callable[..., Any]) -> Callable[..., Any]:
    """`answer`, returning the ValueError that it raises."""

    def returning(*args: Any) -> Any:
        try:
            return answer(*args)
        except ValueError as error:
            return error

    return returning


Branches = Sequence[Sequence[tuple[int, int]]]


def _sizes(channels: int, branches: Branches, mistake: str = "") -> tuple[int, int]:
    """Channels and weights of branches side by side, or what a known mistake makes of them."""
    ends, weights = [], 0
    for branch in branches:
        width = channels
        for kernel, out in branch:
            seen = channels if mistake == "all see the input" else width
            window = kernel if mistake == "no square" else kernel**2
            weights += window * seen * out + (out if mistake == "bias" else 0)
            width = out
        if mistake == "one after the other":
            channels = width
        ends.append(0 if mistake == "pooling is nothing" and not branch else width)
    if mistake == "all outputs":
        ends = [out for branch in branches for _, out in branch] + [channels for branch in branches if not branch]
    return (max(ends) if mistake == "added" else sum(ends)), weights


@exercise(
    "day19.branch_sizes",
    title="What stands side by side",
    stars=2,
    hints=(
        "Walk through a branch and remember how many channels there are at the moment; each branch begins anew.",
        "A window of k x k pixels over c channels has k * k * c weights, and there is one such window for each output.",
        "for kernel, out in branch: weights += kernel**2 * width * out; width = out. The branch adds its last width.",
    ),
    learned="GoogLeNet's first block makes 256 channels of 192; nearly four fifths of its weights are its 3x3 branch.",
)
def branch_sizes(answer: Callable[..., Any], t: Trial) -> None:
    """One branch, several, bare poolings, and the first block of GoogLeNet."""
    cases: list[tuple[int, Branches]] = [
        (3, [[(1, 4)]]),
        (2, [[(3, 5)]]),
        (2, [[(1, 4), (3, 5)]]),
        (3, [[]]),
        (8, [[(1, 4)], [(1, 2), (3, 5)], []]),
        (192, [[(1, 64)], [(1, 96), (3, 128)], [(1, 16), (5, 32)], [(1, 32)]]),
    ]
    for _ in range(3):
        cases.append((
            int(t.randint(2, 9)),
            [[(2 * int(t.randint(0, 3)) + 1, int(t.randint(1, 7))) for _ in range(n)] for n in (2, 0, 3, 1)],
        ))
    for channels, branches in cases:
        got = t.call(answer, channels, [list(branch) for branch in branches])
        if isinstance(got, list):
            got = tuple(got)
        wrong = partial(_sizes, channels, branches)
        t.expect(
            got,
            wrong(),
            given=f"{channels} channels and the branches {list(branches)}",
            known={
                "The second convolution of a branch sees what the first one gave, not the block's input.": wrong(
                    "all see the input"
                ),
                "A window of k x k has k squared places.": wrong("no square"),
                "These convolutions have no bias.": wrong("bias"),
                "An empty branch passes all input channels on: it counts too.": wrong("pooling is nothing"),
                "Only the end of each branch is concatenated; what a bottleneck gives stays inside.": wrong(
                    "all outputs"
                ),
                "Each branch sees the block's input; they do not stand one after the other.": wrong(
                    "one after the other"
                ),
                "Concatenated, the branches' channels add up.": wrong("added"),
                "The two numbers are swapped: channels first.": wrong()[::-1],
            },
            rtol=0,
            atol=0,
        )


@exercise(
    "day19.rms_error",
    title="Decibels into brightness",
    stars=1,
    hints=(
        "Solve the formula for the MSE first; the inverse of log10(z) is 10**z. Then take the root.",
        "MSE = data_range**2 / 10**(decibels / 10).",
        "data_range * 10 ** (-decibels / 20).",
    ),
    learned="Each 6 decibels halve the error: 20 log10(2) is 6.02.",
)
def rms_error(answer: Callable[..., Any], t: Trial) -> None:
    """Round decibels, odd ones, negative ones, other ranges, and a call without a range."""
    cases = [(20.0, 1.0), (0.0, 1.0), (20.0, 255.0), (10.0, 2.0), (-10.0, 1.0)]
    cases += [(float(t.rand(low=5.0, high=40.0)), float(t.rand(low=0.5, high=3.0))) for _ in range(3)]
    for decibels, data_range in cases:
        got = t.call(answer, decibels, data_range)
        root = 10 ** (-decibels / 20)
        t.expect(
            got,
            data_range * root,
            given=f"{decibels:.4g} dB at a range of {data_range:.4g}",
            known={
                "That is the mean *squared* error; take its root.": any_of(
                    data_range**2 * root**2, data_range * root**2, root**2
                ),
                "A higher PSNR means a smaller error: the sign of the exponent is turned round.": any_of(
                    data_range / root, data_range / root**2
                ),
                "The range is not in it.": root,
                "PSNR is a logarithm to base 10, not to base e.": data_range * math.exp(-decibels / 20),
                "The range enters the root once, not squared.": data_range**2 * root,
                "The peak stands squared in the formula, also under the root.": data_range**0.5 * root,
                "The range stands above the fraction line: a wider range has a larger error.": root / data_range,
            },
            rtol=1e-4,
            atol=1e-9,
        )
    t.expect(t.call(answer, 20.0), 0.1, given="20 dB and no range", rtol=1e-4)


def _unet(
    x: Tensor, down: Sequence[nn.Module], up: Sequence[nn.Module], last: nn.Module, *, keep: str = "map",
    order: str = "last first", size: str = "across", swapped: bool = False, silent: bool = False, whole: bool = True,
) -> Tensor:  # fmt: skip
    """U-Net's forward pass, or one with some of its wires crossed; `whole`: as large as `x` at the end in any case."""
    kept, h = [], x
    for conv in down[:-1]:
        h = conv(h).relu()
        before = h
        h = F.max_pool2d(h, 2)
        kept.append(before if keep == "map" else h)
    h = down[-1](h).relu()
    for conv, across in zip(up, kept if order == "first first" else kept[::-1], strict=True):
        if size == "across":
            h = F.interpolate(h, size=across.shape[2:])
        elif size == "after":
            across = F.interpolate(across, size=h.shape[2:])
        else:
            h = F.interpolate(h, scale_factor=2)
            across = F.interpolate(across, size=h.shape[2:])
        pair = [torch.zeros_like(across) if silent else across, h] if swapped else [h, across]
        pair = [h, torch.zeros_like(across)] if silent else pair
        h = conv(torch.cat(pair, dim=1)).relu()
        if size == "after":
            h = F.interpolate(h, scale_factor=2)
    if whole and h.shape[2:] != x.shape[2:]:
        h = F.interpolate(h, size=x.shape[2:])
    return last(h)


_BOTH = "The maps are kept after the pooling, and plugged in in the wrong order."


@exercise(
    "day19.mended_unet",
    title="A U-Net with crossed wires",
    stars=3,
    hints=(
        "Write the three sizes beside the two loops: 14, 7, 3 on the way down. Which maps should meet on the way up?",
        "A map is kept before it is pooled; the smallest one kept is met first; and it is h that is made larger.",
        "h = conv(h).relu(); kept.append(h); then pool. zip(up, reversed(kept)), and first thing in that loop "
        "h = F.interpolate(h, size=across.shape[2:]).",
    ),
    learned="Had the sizes had different channels, two of the three faults would have raised an error at once.",
)
def mended_unet(answer: Callable[..., Any], t: Trial) -> None:
    """Even sides, odd ones, and networks with as many channels at each size."""
    for side, width in (((8, 8), 2), ((14, 14), 3), ((7, 9), 3), ((4, 5), 2)):
        down = [nn.Conv2d(a, width, 3, padding=1) for a in (1, width, width)]
        up = [nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(2)]
        last = nn.Conv2d(width, 1, 1)
        for conv in (*down, *up, last):
            with torch.no_grad():
                conv.weight.copy_(t.randn(*conv.weight.shape) / conv.weight[0].numel() ** 0.5)
                nn.init.constant_(conv.get_parameter("bias"), 0.1)
        x = t.rand(2, 1, *side)
        with torch.no_grad():
            got = t.call(answer, x, down, up, last, watch=(*down, *up, last))
            wired = partial(_unet, x, down, up, last)
            want = wired()
            given = f"images of {side[0]} x {side[1]}"
            pooled = "The maps are kept after the pooling: the fine detail is gone from them."
            forwards = "The first map kept is plugged in first; on the way up the last one kept comes first."
            if isinstance(got, Tensor) and got.ndim == 4 and got.shape[2:] != want.shape[2:]:
                advice = "Doubling does not undo a halving that was rounded down: what size must the way up meet?"
                for message, keep, order in (
                    (pooled, "pooled", "last first"),
                    (forwards, "map", "first first"),
                    (_BOTH, "pooled", "first first"),
                ):
                    smaller = wired(keep=keep, order=order, whole=False)
                    if got.shape == smaller.shape and torch.allclose(got, smaller, rtol=1e-3, atol=1e-4):
                        advice = message
                t.fail(f"for {given}: the result has {list(got.shape[2:])} pixels", advice)
            t.expect(
                got,
                want,
                given=given,
                known={
                    pooled: partial(wired, keep="pooled"),
                    forwards: partial(wired, order="first first"),
                    _BOTH: partial(wired, keep="pooled", order="first first"),
                    "That is the pass as it was given: all three wires are still wrong.": partial(
                        wired, keep="pooled", order="first first", size="after"
                    ),
                    "What comes from across was shrunk to what comes from below; let the one from below grow.": any_of(
                        partial(wired, size="after"), partial(wired, size="after", order="first first")
                    ),
                    "The order in `torch.cat` is from below first, then from across.": partial(wired, swapped=True),
                    "Nothing comes across any more: the skips are cut.": partial(wired, silent=True),
                },
                rtol=1e-3,
                atol=1e-4,
            )
