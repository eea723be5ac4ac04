"""Answers to the exercises of day 18: other right ones, and wrong ones that are really given."""

import torch
from answers import Answers


def flip_by_index(x, p, generator):
    y = x.clone()
    chosen = torch.rand(len(x), generator=generator) < p
    y[chosen] = y[chosen].flip(3)
    return y


def flip_in_a_loop(x, p, generator):
    images = [image.flip(-1) if torch.rand((), generator=generator) < p else image for image in x]
    return torch.stack(images)


def flip_the_batch(x, p, generator):
    return x.flip(-1) if torch.rand((), generator=generator) < p else x.clone()


def flip_upside_down(x, p, generator):
    return torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < p, x.flip(-2), x)


def flip_turned(x, p, generator):
    return torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < p, x.flip(-1, -2), x)


def flip_the_others(x, p, generator):
    return torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < p, x, x.flip(-1))


def flip_channels(x, p, generator):
    return torch.where(torch.rand(*x.shape[:2], 1, 1, generator=generator) < p, x.flip(-1), x)


def flip_rows(x, p, generator):
    return torch.where(torch.rand(*x.shape[:3], 1, generator=generator) < p, x.flip(-1), x)


def flip_pixels(x, p, generator):
    return torch.where(torch.rand(x.shape, generator=generator) < p, x.flip(-1), x)


def flip_globally(x, p, generator):
    return torch.where(torch.rand(len(x), 1, 1, 1) < p, x.flip(-1), x)


def flip_seeded(x, p, generator):
    own = torch.Generator().manual_seed(0)
    return torch.where(torch.rand(len(x), 1, 1, 1, generator=own) < p, x.flip(-1), x)


def flip_reseeded(x, p, generator):
    own = torch.Generator().manual_seed(generator.initial_seed())
    return torch.where(torch.rand(len(x), 1, 1, 1, generator=own) < p, x.flip(-1), x)


def flip_too_often(x, p, generator):
    draws = torch.rand(len(x), 2, 1, 1, generator=generator)
    chosen = (draws < p ** 0.3).all(dim=1, keepdim=True)
    return torch.where(chosen, x.flip(-1), x)


def flip_in_place(x, p, generator):
    chosen = torch.rand(len(x), generator=generator) < p
    x[chosen] = x[chosen].flip(-1)
    return x


def erase_in_a_loop(x, top, left, side):
    y = x.clone()
    for i in range(len(x)):
        r, c = int(top[i]), int(left[i])
        y[i, :, r : r + side, c : c + side] = x[i].mean(dim=(1, 2)).view(-1, 1, 1)
    return y


def erase(x, top, left, side, mean=None):
    y = x.clone()
    for i, (r, c) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
        fill = x.mean(dim=(2, 3), keepdim=True) if mean is None else mean
        y[i, :, r : r + side, c : c + side] = fill.expand(len(x), x.shape[1], 1, 1)[i]
    return y


def erase_swapped(x, top, left, side):
    return erase(x, left, top, side)


def erase_black(x, top, left, side):
    return erase(x, top, left, side, torch.zeros(1, 1, 1, 1))


def erase_with_batch_mean(x, top, left, side):
    return erase(x, top, left, side, x.mean().view(1, 1, 1, 1))


def erase_with_channel_mean_of_batch(x, top, left, side):
    return erase(x, top, left, side, x.mean(dim=(0, 2, 3), keepdim=True))


def erase_with_image_mean(x, top, left, side):
    return erase(x, top, left, side, x.mean(dim=(1, 2, 3), keepdim=True))


def erase_then_measure(x, top, left, side):
    return erase(x, top, left, side, erase_black(x, top, left, side).mean(dim=(2, 3), keepdim=True))


def erase_with_square_mean(x, top, left, side):
    y = x.clone()
    for i, (r, c) in enumerate(zip(top.tolist(), left.tolist(), strict=True)):
        y[i, :, r : r + side, c : c + side] = x[i, :, r : r + side, c : c + side].mean(dim=(1, 2), keepdim=True)
    return y


def erase_too_much(x, top, left, side):
    return erase(x, top, left, side + 1)


def erase_in_one_place(x, top, left, side):
    return erase(x, top[:1].expand_as(top), left[:1].expand_as(left), side)


def erase_pushed_inside(x, top, left, side):
    return erase(x, top.clamp(max=x.shape[2] - side), left.clamp(max=x.shape[3] - side), side)


def erase_in_place(x, top, left, side):
    mean = x.mean(dim=(2, 3), keepdim=True)
    for i in range(len(x)):
        x[i, :, top[i] : top[i] + side, left[i] : left[i] + side] = mean[i]
    return x


def lost_by_counts(predict, x, y, change, points):
    before, after = predict(x) == y, predict(change(x)) == y
    lost = []
    for c in range(int(y.max()) + 1):
        count = int((y == c).sum())
        if count and 100 * (int(before[y == c].sum()) - int(after[y == c].sum())) > points * count:
            lost.append(c)
    return lost


def lost(predict, x, y, change, keep):
    before, after = (predict(x) == y).double(), (predict(change(x)) == y).double()
    return [c for c in sorted(set(y.tolist())) if keep(100 * before[y == c].mean(), 100 * after[y == c].mean())]


def lost_at_least(predict, x, y, change, points):
    return lost(predict, x, y, change, lambda a, b: a - b >= points)


def lost_or_found(predict, x, y, change, points):
    return lost(predict, x, y, change, lambda a, b: abs(a - b) > points)


def lost_survivors(predict, x, y, change, points):
    return lost(predict, x, y, change, lambda a, b: a - b <= points)


def lost_in_shares(predict, x, y, change, points):
    return lost(predict, x, y, change, lambda a, b: (a - b) / 100 > points)


def lost_relative(predict, x, y, change, points):
    return lost(predict, x, y, change, lambda a, b: a > 0 and 100 * (a - b) / a > points)


def lost_from_all(predict, x, y, change, points):
    return lost(predict, x, y, change, lambda a, b: 100 - b > points)


def lost_of_all(predict, x, y, change, points):
    before, after = predict(x) == y, predict(change(x)) == y
    return [
        c
        for c in y.unique().tolist()
        if 100 * (before[y == c].sum() - after[y == c].sum()).item() / len(y) > points
    ]


def lost_by_prediction(predict, x, y, change, points):
    before, after = predict(x), predict(change(x))
    right = [(p == y).double() for p in (before, after)]
    return [
        c
        for c in sorted(set(before.tolist()))
        if 100 * (right[0][before == c].mean() - right[1][before == c].mean()) > points
    ]


def lost_by_change(predict, x, y, change, points):
    moved = (predict(x) != predict(change(x))).double()
    return [c for c in y.unique().tolist() if 100 * moved[y == c].mean() > points]


def lost_as_tensor(predict, x, y, change, points):
    return torch.tensor(lost_by_counts(predict, x, y, change, points))


def cost_by_running(conv, height, width):
    with torch.no_grad():
        places = conv(torch.zeros(1, conv.in_channels, height, width))[0, 0].numel()
    kernel = conv.kernel_size[0] * conv.kernel_size[1]
    return conv.in_channels * conv.out_channels * kernel * places


def places(conv, height, width):
    out = [
        (size + 2 * pad - kernel) // stride + 1
        for size, pad, kernel, stride in zip(
            (height, width), conv.padding, conv.kernel_size, conv.stride, strict=True
        )
    ]
    return out[0] * out[1]


def cost_of_weights(conv, height, width):
    return conv.weight.numel()


def cost_with_bias(conv, height, width):
    return places(conv, height, width) * (conv.weight.numel() + conv.out_channels)


def cost_without_channels(conv, height, width):
    return places(conv, height, width) * conv.weight[:, 0].numel()


def cost_of_one_kernel(conv, height, width):
    return places(conv, height, width) * conv.weight[0].numel()


def cost_at_every_pixel(conv, height, width):
    return height * width * conv.weight.numel()


def cost_without_stride(conv, height, width):
    (kh, kw), (ph, pw) = conv.kernel_size, conv.padding
    return (height + 2 * ph - kh + 1) * (width + 2 * pw - kw + 1) * conv.weight.numel()


def cost_without_padding(conv, height, width):
    (kh, kw), (sh, sw) = conv.kernel_size, conv.stride
    return ((height - kh) // sh + 1) * ((width - kw) // sw + 1) * conv.weight.numel()


def cost_with_half_the_padding(conv, height, width):
    (kh, kw), (sh, sw), (ph, pw) = conv.kernel_size, conv.stride, conv.padding
    return ((height + ph - kh) // sh + 1) * ((width + pw - kw) // sw + 1) * conv.weight.numel()


def cost_of_squares(conv, height, width):
    k, s, p = conv.kernel_size[0], conv.stride[0], conv.padding[0]
    return ((height + 2 * p - k) // s + 1) * ((width + 2 * p - k) // s + 1) * conv.weight.numel()


def cost_less_one(conv, height, width):
    (kh, kw), (sh, sw), (ph, pw) = conv.kernel_size, conv.stride, conv.padding
    return ((height + 2 * ph - kh) // sh) * ((width + 2 * pw - kw) // sw) * conv.weight.numel()


def cost_in_floats(conv, height, width):
    (kh, kw), (sh, sw), (ph, pw) = conv.kernel_size, conv.stride, conv.padding
    return ((height + 2 * ph - kh) / sh + 1) * ((width + 2 * pw - kw) / sw + 1) * conv.weight.numel()


def cost_doubled(conv, height, width):
    return 2 * cost_by_running(conv, height, width)


def standardize_flat(x):
    rows = x.flatten(2)
    centred = rows - rows.mean(dim=2, keepdim=True)
    length = centred.square().mean(dim=2, keepdim=True).sqrt()
    length[length == 0] = 1
    return (centred / length).view_as(x)


def standardize_to_nan(x):
    return (x - x.mean(dim=(2, 3), keepdim=True)) / x.std(dim=(2, 3), keepdim=True, correction=0)


def standardize_unbiased(x):
    std = x.std(dim=(2, 3), keepdim=True)
    return (x - x.mean(dim=(2, 3), keepdim=True)) / torch.where(std > 0, std, 1)


def standardize_mean_only(x):
    return x - x.mean(dim=(2, 3), keepdim=True)


def standardize_uncentred(x):
    std = x.std(dim=(2, 3), keepdim=True, correction=0)
    return x / torch.where(std > 0, std, 1)


def standardize_batch(x):
    return (x - x.mean()) / x.std(correction=0)


def standardize_images(x):
    mean, std = x.mean(dim=(1, 2, 3), keepdim=True), x.std(dim=(1, 2, 3), keepdim=True, correction=0)
    return (x - mean) / torch.where(std > 0, std, 1)


def standardize_by_variance(x):
    var = x.var(dim=(2, 3), keepdim=True, correction=0)
    return (x - x.mean(dim=(2, 3), keepdim=True)) / torch.where(var > 0, var, 1)


def standardize_to_one(x):
    low, high = x.amin(dim=(2, 3), keepdim=True), x.amax(dim=(2, 3), keepdim=True)
    return ((x - low) / (high - low)).nan_to_num()


def standardize_with_a_pinch(x):
    std = x.std(dim=(2, 3), keepdim=True, correction=0)
    return (x - x.mean(dim=(2, 3), keepdim=True)) / (std + 1e-3)


ANSWERS = {
    "day18.random_flip": Answers(
        right=[flip_by_index, flip_in_a_loop],
        wrong=[
            (flip_the_batch, "not one for the batch"),
            (flip_upside_down, "mirrored top to bottom"),
            (flip_turned, "a half turn"),
            (flip_the_others, "the probability of a mirrored image"),
            (flip_channels, "the channels of one image"),
            (flip_rows, "the rows of one image"),
            (flip_pixels, "move whole columns"),
            (flip_globally, "not from the global random numbers"),
            (flip_seeded, "do not seed anything yourself"),
            (flip_reseeded, "go on drawing"),
            (flip_too_often, "far too many"),
            (flip_in_place, "changes its input"),
        ],
    ),
    "day18.erase_with_mean": Answers(
        right=[erase_in_a_loop],
        wrong=[
            (erase_swapped, "they were swapped"),
            (erase_black, "filled with black"),
            (erase_with_batch_mean, "the mean of the whole batch"),
            (erase_with_channel_mean_of_batch, "the mean of the whole batch"),
            (erase_with_image_mean, "a mean of its own"),
            (erase_then_measure, "before anything is erased"),
            (erase_with_square_mean, "The mean of the square itself"),
            (erase_too_much, "one pixel too large"),
            (erase_in_one_place, "that of the first image"),
            (erase_pushed_inside, "not pushed back"),
            (erase_in_place, "changes its input"),
        ],
    ),
    "day18.lost_classes": Answers(
        right=[lost_by_counts],
        wrong=[
            (lost_at_least, "by exactly that much"),
            (lost_or_found, "only a fall counts"),
            (lost_survivors, "falls by *less*"),
            (lost_in_shares, "percentage points"),
            (lost_relative, "a plain difference"),
            (lost_from_all, "not with 100 %"),
            (lost_of_all, "not by all of them"),
            (lost_by_prediction, "not what was predicted"),
            (lost_by_change, "may have been wrong before"),
            (lost_as_tensor, "a list of ints"),
        ],
    ),
    "day18.conv_cost": Answers(
        right=[cost_by_running],
        wrong=[
            (cost_of_weights, "used once at every place"),
            (cost_with_bias, "The bias is in it"),
            (cost_without_channels, "all input channels"),
            (cost_of_one_kernel, "one for each output channel"),
            (cost_at_every_pixel, "where it fits"),
            (cost_without_stride, "The stride is missing"),
            (cost_without_padding, "The padding is missing"),
            (cost_with_half_the_padding, "counts twice"),
            (cost_of_squares, "swapped somewhere"),
            (cost_less_one, "One place too few"),
            (cost_in_floats, "with //"),
            (cost_doubled, "not two"),
        ],
    ),
    "day18.standardize_each": Answers(
        right=[standardize_flat],
        wrong=[
            (standardize_to_nan, "nan came out"),
            (standardize_unbiased, "n - 1"),
            (standardize_mean_only, "the deviation is not 1"),
            (standardize_uncentred, "not centred"),
            (standardize_batch, "of the whole batch"),
            (standardize_images, "over all channels"),
            (standardize_by_variance, "the variance"),
            (standardize_to_one, "from 0 to 1"),
            (standardize_with_a_pinch, "a faint image"),
        ],
    ),
}
