"""Checks of day 18: a flip for each image, erasing with the mean, lost classes, the cost of a convolution, scales."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _asymmetric(t: Trial, *shape: int) -> Tensor:
    """Images whose mirror image differs from them in every row and channel."""
    x = t.rand(*shape)
    x[..., 0] += 2
    return x


@exercise(
    "day18.random_flip",
    title="A flip for each image",
    stars=2,
    hints=(
        "Draw one number for each image, compare it with p, and you have B decisions.",
        "Give the decisions the shape [B, 1, 1, 1], so that they spread over channels, rows and columns.",
        "torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < p, then torch.where(..., x.flip(-1), x).",
    ),
    learned="torchvision's RandomHorizontalFlip decides once for a whole batch, if you hand it a batch.",
)
def random_flip(answer: Callable[..., Any], t: Trial) -> None:
    """Judge images one by one, then how often they are flipped, then whether the generator is used."""
    tiny = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    for p, want in ((0.0, tiny), (1.0, tiny.flip(-1))):
        got = t.call(answer, tiny, p, _generator(1))
        t.expect(
            got,
            want,
            given=f"the image [[1, 2], [3, 4]] and p = {p:g}",
            known={
                "That is mirrored top to bottom; columns are the last dimension.": tiny.flip(-2),
                "That is a half turn: only the columns change places.": tiny.flip(-1, -2),
                "That is turned round: p is the probability of a mirrored image.": (tiny if p else tiny.flip(-1)),
            },
        )
    x = _asymmetric(t, 400, 3, 2, 5)
    got = t.call(answer, x, 0.25, _generator(2))
    shape = list(got.shape) if isinstance(got, Tensor) else type(got).__name__
    t.require(
        isinstance(got, Tensor) and got.shape == x.shape,
        f"for a batch of shape {list(x.shape)} the result is {shape}",
        "Return a tensor of the shape of x.",
    )
    kept, mirrored = got == x, got == x.flip(-1)
    as_it_is, as_mirror = kept.flatten(1).all(1), mirrored.flatten(1).all(1)
    whole = as_it_is | as_mirror
    if not whole.all():
        channels = kept.flatten(2).all(2) | mirrored.flatten(2).all(2)
        rows = kept.all(-1) | mirrored.all(-1)
        if channels.all():
            t.fail("the channels of one image went different ways", "Decide once for each image, for all its channels.")
        if rows.all():
            t.fail("the rows of one image went different ways", "Decide once for each image, not for each row.")
        t.fail("some images are neither as they were nor mirrored", "Decide for whole images, and move whole columns.")
    count = int(as_mirror.sum())
    t.require(
        count not in (0, len(x)),
        f"of {len(x)} images with p = 0.25, {count} were mirrored",
        "All went the same way: draw a number for each image, not one for the batch.",
    )
    t.require(count < 140, f"of {len(x)} images with p = 0.25, {count} were mirrored", "That is far too many.")
    t.require(count > 60, f"of {len(x)} images with p = 0.25, {count} were mirrored", "That is far too few.")
    again, other = t.call(answer, x, 0.25, _generator(2)), t.call(answer, x, 0.25, _generator(3))
    t.require(
        torch.equal(again, got),
        "twice the same seed gave different flips",
        "Draw from `generator`, not from the global random numbers.",
    )
    t.require(
        not torch.equal(other, got),
        "two different seeds gave the same flips",
        "Draw from `generator`; do not seed anything yourself.",
    )
    streak = _generator(2)
    first, second = t.call(answer, x, 0.25, streak), t.call(answer, x, 0.25, streak)
    t.require(
        not torch.equal(first, second),
        "two batches from one generator were flipped alike",
        "Each call must go on drawing from `generator`; do not seed it yourself.",
    )
    t.require(got.data_ptr() != x.data_ptr(), "the result is the input itself", "Return a new tensor.")


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _erased(x: Tensor, top: Tensor, left: Tensor, side: int, fill: Tensor) -> Tensor:
    """`x` with the squares filled with `fill`, which broadcasts over `x`."""
    rows, columns = torch.arange(x.shape[-2]), torch.arange(x.shape[-1])
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)
    return torch.where((in_rows[:, :, None] & in_columns[:, None, :])[:, None], fill, x)


def _means_by(x: Tensor, *dims: int) -> Tensor:
    return x.mean(dim=dims, keepdim=True)


@exercise(
    "day18.erase_with_mean",
    title="Erase with the mean",
    stars=3,
    hints=(
        "Measure the means first, one for each image and channel: which dimensions are averaged away?",
        "Row r is inside the square of image i if top[i] <= r < top[i] + side; the same for columns.",
        "in_rows [B, H] and in_columns [B, W] combine to [B, 1, H, W]; torch.where puts the mean where both hold.",
    ),
    learned="Random Erasing's authors compared black, white, the mean and random pixels; random pixels did best.",
)
def erase_with_mean(answer: Callable[..., Any], t: Trial) -> None:
    """One image, then batches with squares inside and across the edges."""
    cases = [
        (torch.tensor([[[[1.0, 2.0], [5.0, 8.0]]]]), torch.tensor([0]), torch.tensor([1]), 1),
        (torch.tensor([[[[0.0, 6.0, 0.0], [3.0, 0.0, 0.0]]]]), torch.tensor([0]), torch.tensor([1]), 2),
        (t.rand(1, 1, 4, 6), torch.tensor([2]), torch.tensor([1]), 3),
        (t.rand(3, 2, 5, 7), torch.tensor([0, 3, 1]), torch.tensor([4, 0, 6]), 2),
        (t.rand(4, 3, 8, 6), t.randint(0, 8, 4), t.randint(0, 6, 4), 3),
    ]
    for x, top, left, side in cases:
        got = t.call(answer, x, top, left, side)
        right = _means_by(x, 2, 3)
        height, width = x.shape[-2:]
        places = f"top {top.tolist()}, left {left.tolist()}, side {side}"
        shown = None if x.numel() < 7 else f"a batch {list(x.shape)}, {places}"
        outside = _erased(torch.ones_like(x), top, left, side, torch.zeros(()))
        rest = (x * outside).sum((2, 3), keepdim=True) / outside.sum((2, 3), keepdim=True)
        square = (x * (1 - outside)).sum((2, 3), keepdim=True) / (1 - outside).sum((2, 3), keepdim=True)
        of_all, of_channels = _means_by(x, 0, 1, 2, 3), _means_by(x, 0, 2, 3)
        known: dict[str, Any] = {
            "`top` counts rows and `left` counts columns: they were swapped.": _erased(x, left, top, side, right),
            "That is filled with black; the mean is asked for.": _erased(x, top, left, side, torch.zeros(())),
            "That is the mean of the whole batch: each image has its own.": any_of(
                _erased(x, top, left, side, of_all), _erased(x, top, left, side, of_channels)
            ),
            "Each channel has a mean of its own; yours runs over all of them.": _erased(
                x, top, left, side, _means_by(x, 1, 2, 3)
            ),
            "Measure the mean before anything is erased, over the whole channel.": any_of(
                _erased(x, top, left, side, rest),
                _erased(x, top, left, side, _means_by(x * outside, 2, 3)),
            ),
            "The mean of the square itself: take that of the whole channel.": _erased(
                x, top, left, side, square
            ),
            "The square is one pixel too large: it ends before top + side.": _erased(x, top, left, side + 1, right),
            "All squares lie where that of the first image lies; each image has its own place.": _erased(
                x, top[:1].expand_as(top), left[:1].expand_as(left), side, right
            ),
            "A square that reaches beyond the edge is cut off there, not pushed back inside.": _erased(
                x, top.clamp(max=height - side), left.clamp(max=width - side), side, right
            ),
            "Squares that reach beyond the edge were left out; cut them off there instead.": torch.where(
                ((top + side <= height) & (left + side <= width)).view(-1, 1, 1, 1),
                _erased(x, top, left, side, right),
                x,
            ),
        }
        t.expect(got, _erased(x, top, left, side, right), given=shown, known=known)


def _lost(right_before: Tensor, right_after: Tensor, y: Tensor, points: float, least: bool = False) -> list[int]:
    """Classes whose accuracy falls by more than `points`; `least` also counts exactly `points`."""
    lost = []
    for c in y.unique().tolist():
        own = y == c
        fall = 100 * (right_before[own].double().mean() - right_after[own].double().mean()).item()
        if fall > points + 1e-9 or (least and fall > points - 1e-9):
            lost.append(c)
    return lost


@exercise(
    "day18.lost_classes",
    title="Who does not survive?",
    stars=2,
    hints=(
        "Predict twice, for x and for change(x); then you have two tensors of right and wrong, [N] each.",
        "For a class c, look only where y == c: the mean of right there is its accuracy.",
        "Keep c of y.unique().tolist() if 100 * (before[y == c].mean() - after[y == c].mean()) > points; use floats.",
    ),
    learned="The same five lines find classes that a compressed or a quantised model has lost, behind a fine mean.",
)
def lost_classes(answer: Callable[..., Any], t: Trial) -> None:
    """A predictor that reads its answer off the image, and changes that alter some answers."""

    def image(codes: Tensor) -> Tensor:
        return codes.float().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()

    def predict(x: Tensor) -> Tensor:
        return x[:, 0, 0, 0].long()

    y1 = torch.tensor([3] * 10 + [8] * 20 + [6] * 40)
    seen = torch.tensor([3] * 9 + [0] + [8] * 18 + [1] * 2 + [6] * 40)
    then = torch.tensor([3] * 7 + [0] * 3 + [8] * 17 + [1] * 3 + [6] * 20 + [0] * 20)
    first = "10 images of 3 fall from 90 % to 70 %, 20 of 8 from 90 % to 85 %, 40 of 6 from 100 % to 50 %"
    cases = [(first, y1, seen, then, 10.0)]
    y2 = torch.tensor([5] * 4 + [2] * 4 + [7] * 4)
    seen2 = torch.tensor([5, 5, 5, 5, 2, 2, 0, 0, 7, 7, 7, 7])
    then2 = torch.tensor([5, 5, 0, 0, 2, 2, 2, 0, 7, 7, 7, 2])
    cases.append(("5 falls from 100 % to 50 %, 7 to 75 %, and 2 rises", y2, seen2, then2, 25.0))
    y3 = torch.tensor([1] * 30 + [6] * 2 + [4] * 4 + [2] * 4)
    seen3, then3 = y3.clone(), y3.clone()
    then3[30] = 1
    then3[:3] = 0
    seen3[32:] = 0
    then3[32:36] = 9
    rare = "6 loses one of two, 1 loses three of 30, 4 is never right, 2 rises from 0 % to 100 %"
    cases.append((rare, y3, seen3, then3, 49.7))
    order = torch.randperm(300, generator=t.generator)
    y4 = t.randint(0, 10, 300)
    seen4 = torch.where(t.rand(300) < 0.9, y4, t.randint(0, 10, 300))
    then4 = torch.where(t.rand(300) < 0.04 * (y4 + 12), y4, t.randint(0, 10, 300))
    cases.append(("300 images of ten classes", y4[order], seen4[order], then4[order], 17.3))
    for shown, y, before, after, points in cases:
        x, y = image(before), y.clone()
        changed = image(after)

        def change(given: Tensor, x: Tensor = x, changed: Tensor = changed) -> Tensor:
            t.require(
                given.shape == x.shape,
                f"`change` was called with shape {list(given.shape)}",
                "Hand it the whole batch x.",
            )
            return changed.clone()

        got = t.call(answer, predict, x, y, change, points)
        ok_before, ok_after, classes = before == y, after == y, y.unique().tolist()
        want = _lost(ok_before, ok_after, y, points)
        if isinstance(got, Tensor):
            t.fail("a list of ints is expected, got a tensor", "`.tolist()` makes one of it.")
        seen_as = [
            c
            for c in sorted(set(before.tolist()))
            if 100 * (ok_before[before == c].double().mean() - ok_after[before == c].double().mean()) > points
        ]
        precision = [
            c
            for c in classes
            if 100 * (_mean(ok_before[before == c]) - _mean(ok_after[after == c])) > points
        ]
        apart = [c for c in classes if 100 * _mean((before != after)[y == c]) > points]
        shares = [
            c
            for c in classes
            if 100 * (ok_before[y == c].double().sum() - ok_after[y == c].double().sum()) / len(y) > points
        ]
        counts = [c for c in classes if int(ok_before[y == c].sum() - ok_after[y == c].sum()) > points]
        relative = [
            c
            for c in classes
            if _mean(ok_before[y == c]) and 100 * (1 - _mean(ok_after[y == c]) / _mean(ok_before[y == c])) > points
        ]
        absolute = [
            c for c in classes if 100 * abs(_mean(ok_before[y == c]) - _mean(ok_after[y == c])) > points + 1e-9
        ]
        low = [c for c in classes if 100 * (1 - _mean(ok_after[y == c])) > points]
        t.expect(
            got,
            want,
            given=f"{shown}, points = {points:g}",
            known={
                "*More than* `points`: a class that falls by exactly that much survives.": _lost(
                    ok_before, ok_after, y, points, least=True
                ),
                "Those that get *better* are in it, too: only a fall counts.": absolute,
                "Those are the classes whose accuracy falls by *less*.": [
                    c for c in classes if c not in want
                ],
                "Divide by the number of the class's own images, not by all of them.": shares,
                "`points` are percentage points: 20 means 0.20 of the class's own images.": any_of(
                    [c for c in classes if _mean(ok_before[y == c]) - _mean(ok_after[y == c]) > points], counts
                ),
                "That is the fall in percent of what it was; points are a plain difference.": relative,
                "A class is what `y` says, not what was predicted.": any_of(seen_as, precision),
                "Compare with `y` before and after; a prediction that changed may have been wrong before.": apart,
                "Compare with the accuracy on the unchanged images, not with 100 %.": low,
            },
        )


def _mean(values: Tensor) -> float:
    return values.double().mean().item() if len(values) else 0.0


def _places(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


@exercise(
    "day18.conv_cost",
    title="What a convolution costs",
    stars=2,
    hints=(
        "How many places does the window take, down and across? Day 7 has the formula.",
        "At each place, each kernel multiplies each of its weights once: in_channels x height x width of the kernel.",
        "(height + 2 * padding[0] - kernel[0]) // stride[0] + 1 places down; in all, places * conv.weight.numel().",
    ),
    learned="So a convolution costs its weights times its places; that is why early layers on large images are dear.",
)
def conv_cost(answer: Callable[..., Any], t: Trial) -> None:
    """From the plainest to one in which everything differs between height and width."""
    cases = [
        (nn.Conv2d(1, 2, 3), 5, 5),
        (nn.Conv2d(3, 4, 3), 6, 8),
        (nn.Conv2d(1, 1, 2, stride=2), 5, 5),
        (nn.Conv2d(2, 3, 3, padding=1), 4, 4),
        (nn.Conv2d(3, 5, (3, 5), stride=(2, 3), padding=(1, 2)), 11, 20),
        (nn.Conv2d(2, 7, (5, 2), stride=(1, 2), padding=(0, 1), bias=False), 9, int(t.randint(11, 15))),
    ]
    for conv, height, width in cases:
        got = t.call(answer, conv, height, width, watch=(conv,))
        if isinstance(got, float):
            t.fail(f"a whole number is expected, got {got}", "Count places with //, not with /.")
        (kh, kw), (sh, sw) = conv.kernel_size, conv.stride
        ph, pw = (int(pad) for pad in conv.padding)
        down, across = _places(height, kh, sh, int(ph)), _places(width, kw, sw, int(pw))
        weights = conv.weight.numel()
        padded = -(-(height + 2 * int(ph) - kh) // sh + -1) * -(-(width + 2 * int(pw) - kw) // sw + -1)
        t.expect(
            got,
            down * across * weights,
            given=f"{conv} on {height} by {width} pixels",
            known={
                "That is the number of weights: each is used once at every place.": any_of(
                    weights, sum(p.numel() for p in conv.parameters())
                ),
                "The bias is in it; leave it out.": any_of(
                    down * across * (weights + conv.out_channels), down * across * weights + conv.out_channels
                ),
                "Each kernel looks at all input channels: they are missing.": down
                * across
                * weights
                // conv.in_channels,
                "That is the cost of one kernel; there is one for each output channel.": down
                * across
                * weights
                // conv.out_channels,
                "The window does not stand at every pixel: count the places where it fits.": any_of(
                    height * width * weights, (height // sh) * (width // sw) * weights
                ),
                "The stride is missing: the window moves on by more than one pixel.": _places(height, kh, 1, int(ph))
                * _places(width, kw, 1, int(pw))
                * weights,
                "The padding is missing: it gives the window more places.": _places(height, kh, sh, 0)
                * _places(width, kw, sw, 0)
                * weights,
                "Padding is added on both sides, so it counts twice.": ((height + int(ph) - kh) // sh + 1)
                * ((width + int(pw) - kw) // sw + 1)
                * weights,
                "Height and width were swapped somewhere: each has its own kernel, stride and padding.": any_of(
                    _places(height, kw, sw, int(pw)) * _places(width, kh, sh, int(ph)) * weights,
                    _places(height, kh, sh, int(ph)) * _places(width, kh, sh, int(ph)) * weights,
                ),
                "One place too few each way: mind the + 1.": (down - 1) * (across - 1) * weights,
                "A last window that does not fit was counted: round down.": padded * weights,
                "A multiply-add is one operation here, not two.": 2 * down * across * weights,
            },
        )


@exercise(
    "day18.standardize_each",
    title="Every image for itself",
    stars=1,
    hints=(
        "Average over rows and columns alone, and keep the dimensions, so that the means spread over the image.",
        "A channel of equal pixels has deviation 0. What do you divide by then?",
        "mean = x.mean(dim=(2, 3), keepdim=True); the deviation with correction=0; where it is 0, divide by 1 instead.",
    ),
    learned="It is instance normalisation (Ulyanov and others, 2016), applied to the input.",
)
def standardize_each(answer: Callable[..., Any], t: Trial) -> None:
    """The example, a flat channel, colour images of very different brightness and contrast."""
    example = torch.tensor([[[[0.0, 2.0], [0.0, 2.0]]], [[[5.0, 9.0], [5.0, 9.0]]]])
    flat = torch.tensor([[[[0.5, 0.5], [0.5, 0.5]], [[0.0, 1.0], [1.0, 0.0]]]])
    colour = t.rand(4, 3, 3, 5) * (0.1 + t.rand(4, 3, 1, 1)) + 5 * t.rand(4, 3, 1, 1)
    faint = 0.001 * t.rand(2, 1, 4, 3) + 0.5
    for x in (example[:1], example, flat, colour, faint):
        got = t.call(answer, x)
        mean, std = _means_by(x, 2, 3), x.std(dim=(2, 3), keepdim=True, correction=0)
        safe = torch.where(std == 0, 1.0, std)
        want = (x - mean) / safe
        if isinstance(got, Tensor) and got.isnan().any():
            t.fail("nan came out", "A channel of equal pixels has deviation 0, and 0 / 0 is no number: it becomes 0.")
        everything = x.std(correction=0)
        by_channel = x.std(dim=(0, 2, 3), keepdim=True, correction=0)
        by_image = x.std(dim=(1, 2, 3), keepdim=True, correction=0)
        known: dict[str, Any] = {
            "That deviation has n - 1 in its denominator: `correction=0` asks for n.": (x - mean)
            / torch.where(std == 0, 1.0, x.std(dim=(2, 3), keepdim=True)),
            "The mean is gone, but the deviation is not 1 yet.": x - mean,
            "Divided, but not centred: subtract the mean first.": x / safe,
            "Each channel has its own mean and deviation; yours run over all channels of the image.": (
                (x - _means_by(x, 1, 2, 3)) / by_image
            ),
            "Those are the statistics of the whole batch: each image has its own.": any_of(
                (x - x.mean()) / everything, (x - _means_by(x, 0, 2, 3)) / torch.where(by_channel == 0, 1.0, by_channel)
            ),
            "That is divided by the variance: the deviation is its root.": (x - mean) / safe**2,
            "That stretches each channel from 0 to 1; mean 0 and deviation 1 are asked for.": lambda x=x: (
                (x - x.amin((2, 3), keepdim=True)) / (x.amax((2, 3), keepdim=True) - x.amin((2, 3), keepdim=True))
            ).nan_to_num(),
            "What was added to the deviation is too much for a faint image: only a deviation of 0 needs help.": any_of(
                *((x - mean) / (std + eps) for eps in (1e-1, 1e-2, 1e-3, 1e-4, 1e-5)),
                *((x - mean) / (std**2 + eps).sqrt() for eps in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)),
            ),
        }
        t.expect(got, want, known=known, rtol=1e-3, atol=1e-3)
