# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py//py:percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Day 18, solved: how far may you change an image?
#
# The exercises of [day 18](../day18_augmentation_resolution.ipynb), each with a solution and why it works. There is
# more than one right answer to most of them; the checks accept any.

# %%
import torch
from torch import nn

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## A flip for each image ★★☆
#
# *Mirror each image with probability `p`, each decided for itself, all its channels together.*

# %%
def random_flip(x, p, generator):
    """Mirror each image of x [B, C, H, W] left to right with probability p."""
    draws = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device)
    return torch.where(draws < p, x.flip(-1), x)


check("day18.random_flip", random_flip)


# %% [markdown]
# One draw for each image, of shape `[B, 1, 1, 1]`: `torch.where` spreads it over channels, rows and columns, so an
# image is moved as a whole. `torch.rand` lies in [0, 1), so `draws < p` is never true for `p = 0` and always for `p =
# 1`; with `<=` that would not quite hold. Mirroring *all* images and then choosing costs twice the work and is still
# faster than a loop.

# %% [markdown]
# ## Erase with the mean ★★★
#
# *Fill a square of each image, at its own place, with the mean of each of its channels.*

# %%
def erase_with_mean(x, top, left, side):
    """Fill a square of each image of x [B, C, H, W] with its own channel means."""
    mean = x.mean(dim=(2, 3), keepdim=True)  # [B, C, 1, 1]
    rows = torch.arange(x.shape[2], device=x.device)  # [H]
    columns = torch.arange(x.shape[3], device=x.device)  # [W]
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + side)  # [B, H]
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + side)
    inside = in_rows[:, None, :, None] & in_columns[:, None, None, :]  # [B, 1, H, W]
    return torch.where(inside, mean, x)


check("day18.erase_with_mean", erase_with_mean)


# %% [markdown]
# A pixel is inside the square if its row is and its column is. Two rows of truth values, one along the height and one
# along the width, make a rectangle when they are spread against each other. What would lie beyond the edge has no row
# or column to be true in, so the cut at the edge comes free. The mean is taken before `where`, from the untouched `x`.

# %% [markdown]
# ## Who does not survive? ★★☆
#
# *The classes whose accuracy falls by more than `points` percentage points when the images are changed.*

# %%
def lost_classes(predict, x, y, change, points):
    """Sorted classes that lose more than `points` percentage points to `change`."""
    before = (predict(x) == y).double()  # [N], 1 where right
    after = (predict(change(x)) == y).double()
    fall = 100 * (before - after)
    return [c for c in y.unique().tolist() if fall[y == c].mean() > points]


check("day18.lost_classes", lost_classes)


# %% [markdown]
# The mean of a difference is the difference of the means, so one mask for each class will do. `y == c` picks the
# images that *are* of class `c`, whatever they were taken for. `unique` returns the classes that occur, sorted.
# Doubles, because a fall of exactly `points` must not pass for more by rounding.

# %% [markdown]
# ## What a convolution costs ★★☆
#
# *Each weight is used once at each place where the window fits.*

# %%
def conv_cost(conv, height, width):
    """Multiply-adds of `conv` for one image of height x width pixels."""
    places = 1
    for axis, length in enumerate((height, width)):
        reach = length + 2 * conv.padding[axis] - conv.kernel_size[axis]
        places *= reach // conv.stride[axis] + 1
    return places * conv.weight.numel()


check("day18.conv_cost", conv_cost)

# %% [markdown]
# The first window stands at the edge, and then the window moves on as long as it fits: `reach // stride` moves, plus
# the place where it began. The weights are `[out, in, kernel height, kernel width]`, so `numel` has the channels in
# it. The formula of the lesson's network comes out, too:

# %%
look = conv_cost(nn.Conv2d(1, 16, kernel_size=4, stride=2), 14, 14)
print("the Reader's convolution on 14 x 14 pixels:", look, "multiply-adds")
assert look == 6 * 6 * 16 * 16


# %% [markdown]
# ## Every image for itself ★☆☆
#
# *Mean 0 and deviation 1 for each channel of each image; a channel of equal pixels becomes 0.*

# %%
def standardize_each(x):
    """Mean 0 and deviation 1 for each channel of each image of x [B, C, H, W]."""
    mean = x.mean(dim=(2, 3), keepdim=True)  # [B, C, 1, 1]
    std = x.std(dim=(2, 3), keepdim=True, correction=0)
    return (x - mean) / torch.where(std > 0, std, 1)


check("day18.standardize_each", standardize_each)

# %% [markdown]
# `keepdim=True` leaves `[B, C, 1, 1]`, which spreads over rows and columns again. Where the deviation is 0, all pixels
# equal the mean, so `x - mean` is 0 and any divisor but 0 will do. Adding a small number to every deviation is common,
# too; it dims faint images a little, which is why the check looks at one.
