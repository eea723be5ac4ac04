"""Answers to the exercises of day 19: right ones, and wrong ones that are really given."""

from __future__ import annotations

import math

import torch
from answers import Answers
from torch.nn import functional as F


def stack_backwards(jacobians, keep=1.0):
    whole = torch.eye(jacobians[0].shape[0])
    for jacobian in reversed(jacobians):
        whole = keep * whole + whole @ jacobian
    return whole


def stack_without_skip(jacobians, keep=1.0):
    whole = torch.eye(len(jacobians[0]))
    for jacobian in jacobians:
        whole = jacobian @ whole
    return whole


def stack_every_entry(jacobians, keep=1.0):
    whole = torch.eye(len(jacobians[0]))
    for jacobian in jacobians:
        whole = (keep + jacobian) @ whole
    return whole


def stack_turned_round(jacobians, keep=1.0):
    identity = torch.eye(len(jacobians[0]))
    whole = identity
    for jacobian in jacobians:
        whole = whole @ (keep * identity + jacobian)
    return whole


def stack_without_keep(jacobians, keep=1.0):
    return stack_backwards(jacobians, 1.0)


def stack_keep_on_f(jacobians, keep=1.0):
    return stack_backwards([keep * jacobian for jacobian in jacobians], 1.0)


def stack_summed(jacobians, keep=1.0):
    return sum(keep * torch.eye(len(jacobian)) + jacobian for jacobian in jacobians)


def stack_of_two_paths(jacobians, keep=1.0):
    return keep ** len(jacobians) * torch.eye(len(jacobians[0])) + stack_without_skip(jacobians)


def stack_entrywise(jacobians, keep=1.0):
    identity = torch.eye(len(jacobians[0]))
    whole = keep * identity + jacobians[0]
    for jacobian in jacobians[1:]:
        whole = (keep * identity + jacobian) * whole
    return whole


def shortcut_by_pad(x, out_channels, stride=1):
    if x.shape[1] > out_channels:
        raise ValueError("too few channels")
    return F.pad(x[..., ::stride, ::stride], (0, 0, 0, 0, 0, out_channels - x.shape[1])).clone()


def shortcut_in_front(x, out_channels, stride=1):
    return F.pad(x[..., ::stride, ::stride], (0, 0, 0, 0, out_channels - x.shape[1], 0))


def shortcut_pooled(x, out_channels, stride=1):
    small = F.avg_pool2d(x, stride, ceil_mode=True)
    return F.pad(small, (0, 0, 0, 0, 0, out_channels - x.shape[1]))


def shortcut_cropped(x, out_channels, stride=1):
    rows, columns = -(-x.shape[2] // stride), -(-x.shape[3] // stride)
    return F.pad(x[..., :rows, :columns], (0, 0, 0, 0, 0, out_channels - x.shape[1]))


def shortcut_rounded_down(x, out_channels, stride=1):
    small = F.avg_pool2d(x, stride)
    return F.pad(small, (0, 0, 0, 0, 0, out_channels - x.shape[1]))


def shortcut_of_rows(x, out_channels, stride=1):
    return F.pad(x[:, :, ::stride], (0, 0, 0, 0, 0, out_channels - x.shape[1]))


def shortcut_without_stride(x, out_channels, stride=1):
    return F.pad(x, (0, 0, 0, 0, 0, out_channels - x.shape[1])).clone()


def shortcut_as_a_window(x, out_channels, stride=1):
    small = x[..., ::stride, ::stride]
    more = out_channels - x.shape[1]
    return torch.cat([small, x.new_zeros(len(x), more, *small.shape[2:])], dim=1) if more else small


def shortcut_of_float32(x, out_channels, stride=1):
    small = x[..., ::stride, ::stride]
    zeros = torch.zeros(len(x), out_channels - x.shape[1], *small.shape[2:])
    return torch.cat([small.float(), zeros], dim=1)


def shortcut_that_cuts(x, out_channels, stride=1):
    return F.pad(x[..., ::stride, ::stride], (0, 0, 0, 0, 0, out_channels - x.shape[1])).clone()


def shortcut_returning_x(x, out_channels, stride=1):
    return x if stride == 1 and out_channels == x.shape[1] else shortcut_by_pad(x, out_channels, stride)


def sizes_by_pairs(in_channels, branches):
    widths = [[in_channels, *(out for _, out in branch)] for branch in branches]
    weights = sum(
        kernel * kernel * before * after
        for width, branch in zip(widths, branches, strict=True)
        for before, (kernel, after) in zip(width, branch, strict=False)
    )
    return sum(width[-1] for width in widths), weights


def sizes(in_channels, branches, *, chained=True, square=True, bias=False, bare=True, inner=False):
    channels = weights = 0
    for branch in branches:
        width = in_channels if bare or branch else 0
        for kernel, out in branch:
            weights += (kernel**2 if square else kernel) * (width if chained else in_channels) * out + bias * out
            channels += width if inner and width != in_channels else 0
            width = out
        channels += width
    return channels, weights


def sizes_all_from_the_input(in_channels, branches):
    return sizes(in_channels, branches, chained=False)


def sizes_without_square(in_channels, branches):
    return sizes(in_channels, branches, square=False)


def sizes_with_bias(in_channels, branches):
    return sizes(in_channels, branches, bias=True)


def sizes_without_pooling(in_channels, branches):
    return sizes(in_channels, branches, bare=False)


def sizes_of_all_outputs(in_channels, branches):
    ends = [out for branch in branches for _, out in branch] + [in_channels for branch in branches if not branch]
    return sum(ends), sizes(in_channels, branches)[1]


def sizes_in_a_row(in_channels, branches):
    channels = weights = 0
    width = in_channels
    for branch in branches:
        for kernel, out in branch:
            weights += kernel**2 * width * out
            width = out
        channels += width
    return channels, weights


def sizes_added(in_channels, branches):
    return max(branch[-1][1] if branch else in_channels for branch in branches), sizes(in_channels, branches)[1]


def sizes_swapped(in_channels, branches):
    return sizes(in_channels, branches)[::-1]


def rms_by_root(decibels, data_range=1.0):
    return math.sqrt(data_range**2 / 10 ** (decibels / 10))


def mended_by_pop(x, down, up, last):
    first = down[0](x).relu()
    second = down[1](F.max_pool2d(first, 2)).relu()
    kept = [first, second]
    h = down[2](F.max_pool2d(second, 2)).relu()
    for conv in up:
        across = kept.pop()
        h = conv(torch.cat([F.interpolate(h, across.shape[2:], mode="nearest"), across], 1)).relu()
    return last(h)


def unet(x, down, up, last, *, pooled=False, forwards=False, size="across", swapped=False, silent=False):
    kept, h = [], x
    for conv in down[:-1]:
        h = conv(h).relu()
        if not pooled:
            kept.append(h)
        h = F.max_pool2d(h, 2)
        if pooled:
            kept.append(h)
    h = down[-1](h).relu()
    for conv, across in zip(up, kept if forwards else kept[::-1], strict=True):
        if size == "across":
            h = F.interpolate(h, size=across.shape[2:])
        elif size == "double":
            h = F.interpolate(h, scale_factor=2)
            across = F.interpolate(across, size=h.shape[2:])
        else:
            across = F.interpolate(across, size=h.shape[2:])
        if silent:
            across = torch.zeros_like(across)
        h = conv(torch.cat([across, h] if swapped else [h, across], dim=1)).relu()
        if size == "after":
            h = F.interpolate(h, scale_factor=2)
    if h.shape[2:] != x.shape[2:] and size != "double":
        h = F.interpolate(h, size=x.shape[2:])
    return last(h)


def mended_but_pooled(x, down, up, last):
    return unet(x, down, up, last, pooled=True)


def mended_but_forwards(x, down, up, last):
    return unet(x, down, up, last, forwards=True)


def mended_but_two(x, down, up, last):
    return unet(x, down, up, last, pooled=True, forwards=True)


def mended_as_given(x, down, up, last):
    return unet(x, down, up, last, pooled=True, forwards=True, size="after")


def mended_but_forwards_and_small(x, down, up, last):
    kept, h = [], x
    for conv in down[:-1]:
        kept.append(conv(h).relu())
        h = F.max_pool2d(kept[-1], 2)
    h = down[-1](h).relu()
    for conv, across in zip(up, kept, strict=True):
        h = conv(torch.cat([F.interpolate(h, size=across.shape[2:]), across], dim=1)).relu()
    return last(h)


def mended_but_pooled_and_small(x, down, up, last):
    kept, h = [], x
    for conv in down[:-1]:
        h = F.max_pool2d(conv(h).relu(), 2)
        kept.append(h)
    h = down[-1](h).relu()
    for conv, across in zip(up, kept[::-1], strict=True):
        h = conv(torch.cat([F.interpolate(h, size=across.shape[2:]), across], dim=1)).relu()
    return last(h)


def mended_but_shrunk(x, down, up, last):
    return unet(x, down, up, last, size="after")


def mended_but_doubled(x, down, up, last):
    return unet(x, down, up, last, size="double")


def mended_but_swapped(x, down, up, last):
    return unet(x, down, up, last, swapped=True)


def mended_but_cut(x, down, up, last):
    return unet(x, down, up, last, silent=True)


ANSWERS = {
    "day19.stack_jacobian": Answers(
        right=[stack_backwards],
        wrong=[
            (stack_without_skip, "product of the Jacobians alone"),
            (stack_every_entry, "adds to every entry"),
            (stack_turned_round, "order is turned round"),
            (stack_without_keep, "`keep` is not in it"),
            (stack_keep_on_f, "stands on the skip"),
            (stack_summed, "they are multiplied"),
            (stack_of_two_paths, "two paths only"),
            (stack_entrywise, "matrix product"),
        ],
    ),
    "day19.free_shortcut": Answers(
        right=[shortcut_by_pad],
        wrong=[
            (shortcut_in_front, "stand in front"),
            (shortcut_pooled, "That pools"),
            (shortcut_cropped, "upper left corner"),
            (shortcut_rounded_down, "rounded up"),
            (shortcut_of_rows, "Only the rows"),
            (shortcut_without_stride, "`stride` is not used"),
            (shortcut_as_a_window, "shares its memory"),
            (shortcut_of_float32, "dtype of x"),
            (shortcut_that_cuts, "a ValueError is expected"),
            (shortcut_returning_x, "returns x itself"),
        ],
    ),
    "day19.branch_sizes": Answers(
        right=[sizes_by_pairs],
        wrong=[
            (sizes_all_from_the_input, "what the first one gave"),
            (sizes_without_square, "k squared places"),
            (sizes_with_bias, "have no bias"),
            (sizes_without_pooling, "it counts too"),
            (sizes_of_all_outputs, "Only the end of each branch"),
            (sizes_in_a_row, "do not stand one after the other"),
            (sizes_added, "channels add up"),
            (sizes_swapped, "channels first"),
        ],
    ),
    "day19.rms_error": Answers(
        right=[rms_by_root],
        wrong=[
            (lambda decibels, data_range=1.0: data_range**2 / 10 ** (decibels / 10), "mean *squared* error"),
            (lambda decibels, data_range=1.0: data_range * 10 ** (decibels / 20), "sign of the exponent"),
            (lambda decibels, data_range=1.0: 10 ** (-decibels / 20), "The range is not in it"),
            (lambda decibels, data_range=1.0: data_range * math.exp(-decibels / 20), "not to base e"),
            (lambda decibels, data_range=1.0: data_range**2 * 10 ** (-decibels / 20), "once, not squared"),
            (lambda decibels, data_range=1.0: 10 ** (-decibels / 20) / data_range, "above the fraction line"),
            (lambda decibels, data_range=1.0: (data_range / 10 ** (decibels / 10)) ** 0.5, "also under the root"),
        ],
    ),
    "day19.mended_unet": Answers(
        right=[mended_by_pop],
        wrong=[
            (mended_but_pooled, "fine detail is gone"),
            (mended_but_forwards, "the last one kept comes first"),
            (mended_but_two, "and plugged in in the wrong order"),
            (mended_as_given, "all three wires are still wrong"),
            (mended_but_forwards_and_small, "the last one kept comes first"),
            (mended_but_pooled_and_small, "fine detail is gone"),
            (mended_but_shrunk, "was shrunk to what comes from below"),
            (mended_but_doubled, "rounded down"),
            (mended_but_swapped, "from below first, then from across"),
            (mended_but_cut, "the skips are cut"),
        ],
    ),
}
