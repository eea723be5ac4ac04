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
# # Day 19, solved: why let the signal skip a layer?
#
# The exercises of [day 19](../day19_skip_multibranch.ipynb), each with a solution and why it works. There is more than
# one right answer to most of them; the checks accept any.

# %%
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record
from nnlab_helpers.models import UNet

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## The gradient of a stack ★★☆
#
# *The Jacobian of layers `keep * h + f(h)` in a row, from those of each `f`.*

# %%
def stack_jacobian(jacobians, keep=1.0):
    """Jacobian [D, D] of a stack of layers keep * h + f(h)."""
    identity = torch.eye(len(jacobians[0]))
    whole = identity
    for jacobian in jacobians:
        whole = (keep * identity + jacobian) @ whole
    return whole


check("day19.stack_jacobian", stack_jacobian)

# %% [markdown]
# The Jacobian of $\text{keep} \cdot h$ is `keep` on the diagonal and zero elsewhere; adding the bare number would put it into every
# entry. Each new layer comes from the left, since it works on what the others have made. Held against autograd, on a stack
# of three layers:

# %%
torch.manual_seed(0)
layers = [nn.Sequential(nn.Linear(4, 4), nn.Tanh()) for _ in range(3)]
h = start = torch.randn(4)
jacobians = []
for f in layers:
    jacobians.append(torch.autograd.functional.jacobian(f, h))
    h = (0.5 * h + f(h)).detach()


def stack(h):
    """The three layers in a row."""
    for f in layers:
        h = 0.5 * h + f(h)
    return h


exact = torch.autograd.functional.jacobian(stack, start)
torch.testing.assert_close(stack_jacobian(jacobians, keep=0.5), exact)
print("autograd agrees")


# %% [markdown]
# ## A shortcut without weights ★★☆
#
# *Every `stride`-th place, and channels of zeros behind the old ones.*

# %%
def free_shortcut(x, out_channels, stride=1):
    """Every `stride`-th place of x [N, C, H, W], and channels of zeros behind."""
    count, channels = x.shape[:2]
    if out_channels < channels:
        raise ValueError(f"{channels} channels do not fit into {out_channels}")
    small = x[:, :, ::stride, ::stride]
    zeros = x.new_zeros(count, out_channels - channels, *small.shape[2:])
    return torch.cat([small, zeros], dim=1)


check("day19.free_shortcut", free_shortcut)


# %% [markdown]
# A slice with a step begins with the first row and rounds up by itself, exactly like a convolution with stride and
# padding, so the two sides of the sum fit. `torch.cat` copies, even with no channels to add; a bare slice would be a window onto
# `x`, and whoever wrote into the result would change the input. The new channels get no skip: what they hold comes from $f$ alone.

# %% [markdown]
# ## What stands side by side ★★☆
#
# *Channels and weights of branches that are concatenated.*

# %%
def branch_sizes(in_channels, branches):
    """(channels, weights) of branches side by side, each a list of (kernel, out)."""
    channels = weights = 0
    for branch in branches:
        width = in_channels
        for kernel, out in branch:
            weights += kernel**2 * width * out
            width = out
        channels += width
    return channels, weights


check("day19.branch_sizes", branch_sizes)

# %% [markdown]
# `width` starts anew in each branch, as all of them see the same input, and an empty branch leaves it as it is. The first block
# of GoogLeNet shows what the bottlenecks are for:

# %%
naive = [[(1, 64)], [(3, 128)], [(5, 32)], [(1, 32)]]
paper = [[(1, 64)], [(1, 96), (3, 128)], [(1, 16), (5, 32)], [(1, 32)]]
for name, branches in (("without bottlenecks", naive), ("with them", paper)):
    channels, weights = branch_sizes(192, branches)
    print(f"{name:20} {channels} channels, {weights:7,} weights")
assert branch_sizes(192, paper)[1] < branch_sizes(192, naive)[1] / 2


# %% [markdown]
# ## Decibels into brightness ★☆☆
#
# *The root of the mean squared error that belongs to a PSNR.*

# %%
def rms_error(decibels, data_range=1.0):
    """Root mean squared error of a picture with this PSNR."""
    return data_range * 10 ** (-decibels / 20)


check("day19.rms_error", rms_error)

# %% [markdown]
# From $d = 10 \log_{10}(\text{peak}^2 / \text{MSE})$ follows $\text{MSE} = \text{peak}^2 \cdot 10^{-d/10}$, and the root halves
# the exponent. So each 20 dB are a tenth of the error:

# %%
for decibels in (10, 20, 30, 40):
    print(f"{decibels} dB: off by {rms_error(decibels):.3f} on average, of 1")


# %% [markdown]
# ## A U-Net with crossed wires ★★★
#
# *Which maps are kept, where they are plugged in, and what size they meet.*

# %%
def mended_unet(x, down, up, last):
    """U-Net's forward pass: images [N, 1, H, W] -> [N, 1, H, W]."""
    kept, h = [], x
    for conv in down[:-1]:
        h = conv(h).relu()
        kept.append(h)
        h = F.max_pool2d(h, 2)
    h = down[-1](h).relu()
    for conv, across in zip(up, reversed(kept)):
        h = F.interpolate(h, size=across.shape[2:])
        h = conv(torch.cat([h, across], dim=1)).relu()
    return last(h)


check("day19.mended_unet", mended_unet)

# %% [markdown]
# A map is kept *before* it is pooled, for the detail that pooling throws away is all the skip is for. The last one kept is
# the smallest and is met first. And what comes from below grows to the size of what it meets, *before* the convolution: 7
# was halved to 3, so doubling would miss it by one. With the weights of the package's `UNet` both give the same picture:

# %%
torch.manual_seed(0)
model, x = UNet(channels=(4, 4, 4)), torch.rand(2, 1, 14, 13)
torch.testing.assert_close(mended_unet(x, model.down, model.up, model.last), model(x))
print("the same as the package's UNet:", list(model(x).shape))
