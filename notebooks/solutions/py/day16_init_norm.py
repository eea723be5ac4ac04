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
# # Day 16, solved: where should a network start?
#
# The exercises of [day 16](../day16_init_norm.ipynb), each with a solution and why it works. There is more than one
# right answer to most of them; the checks accept any.

# %%
import math

import torch
from torch import nn

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## How large should the weights be? ★☆☆
#
# *The standard deviation of He's or Xavier's start, from the shape of a weight.*

# %%
def starting_std(shape, scheme):
    """Standard deviation of the starting weights of a layer with this weight shape."""
    places = math.prod(shape[2:])  # of a linear layer: the empty product, 1
    n_out, n_in = shape[0] * places, shape[1] * places
    if scheme == "he":
        return math.sqrt(2 / n_in)
    if scheme == "xavier":
        return math.sqrt(2 / (n_in + n_out))
    raise ValueError(f"unknown scheme {scheme!r}: choose 'he' or 'xavier'")


check("day16.starting_std", starting_std)


# %% [markdown]
# The derivation counts the terms of a sum. One output of a convolution adds up a product for every input channel
# and every place of the kernel, so both belong to $n_{\text{in}}$. Whoever forgets the 25 places of a 5×5 kernel
# starts with weights that are five times too large.

# %% [markdown]
# ## What does the network have? ★★☆
#
# *The first layer whose spread has left the range from 0.01 to 100 times that of the first layer.*

# %%
def diagnose(spreads):
    """("dies", k), ("explodes", k) or ("lives", None)."""
    first = spreads[0]
    for k, spread in enumerate(spreads):
        if not math.isfinite(spread) or spread > 100 * first:
            return "explodes", k
        if spread < 0.01 * first:
            return "dies", k
    return "lives", None


check("day16.diagnose", diagnose)


# %% [markdown]
# The question for `isfinite` comes before any comparison: `nan` is neither greater nor less than anything, and a
# network full of `nan` would pass as healthy. The function returns at the first layer that is ill, because what
# comes after it is a consequence.

# %% [markdown]
# ## A BatchNorm that forgets ★★☆
#
# *Two faults: evaluation looked at the batch, and the running averages were not part of the state.*

# %%
class MendedBatchNorm(nn.Module):
    """BatchNorm for [N, units], without a learned scale and shift."""

    def __init__(self, units, momentum=0.1, eps=1e-5):
        """Start from mean 0 and variance 1."""
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.register_buffer("running_mean", torch.zeros(units))
        self.register_buffer("running_var", torch.ones(units))

    def forward(self, x):
        """Normalised `x` [N, units]."""
        if not self.training:
            return (x - self.running_mean) / (self.running_var + self.eps).sqrt()
        mean, var = x.mean(dim=0), x.var(dim=0, correction=0)
        with torch.no_grad():
            self.running_mean += self.momentum * (mean - self.running_mean)
            self.running_var += self.momentum * (x.var(dim=0) - self.running_var)
        return (x - mean) / (var + self.eps).sqrt()


check("day16.mended_batch_norm", MendedBatchNorm)


# %% [markdown]
# The first fault is loud as soon as somebody asks for a single digit. The second is quiet: the network is good, is
# saved, is loaded next week, and reads nonsense. As a buffer the averages are saved, and they move to the GPU with
# the rest.

# %% [markdown]
# ## Fold it away ★★★
#
# *One linear layer that does what a linear layer and the BatchNorm behind it do in evaluation mode.*

# %%
def folded(linear, norm):
    """One nn.Linear for `linear` followed by `norm` in evaluation mode."""
    n_out, n_in = linear.weight.shape
    new = nn.Linear(n_in, n_out)
    with torch.no_grad():
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # [units]
        old_bias = 0.0 if linear.bias is None else linear.bias
        new.weight.copy_(scale[:, None] * linear.weight)
        new.bias.copy_((old_bias - norm.running_mean) * scale + norm.bias)
    return new


check("day16.folded", folded)


# %% [markdown]
# In evaluation mode everything in a BatchNorm is a fixed number, so it is itself linear, and two linear layers in a
# row are one (day 3). `scale[:, None]` multiplies each *row* of the weights, as a row makes one unit. The new layer
# needs a bias even if the old one had none: the running mean has to go somewhere. By the way, a bias right before a
# BatchNorm is of no use in training, since the norm subtracts it again.

# %% [markdown]
# ## Make thirty layers learn ★★★
#
# *Three slips: layers inside of blocks were not reached, fan-out stood for fan-in, and ReLU's factor 2 was missing.*

# %%
def start_well(model):
    """He's start for every linear layer of `model`, with biases of zero."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            std = math.sqrt(2 / layer.weight.shape[1])
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


check("day16.start_well", start_well)

# %% [markdown]
# `children()` gives the outermost modules alone; a network made of blocks has its layers further down, where
# `modules()` finds them. PyTorch stores a weight as `[outputs, inputs]`, so fan-in is the second number. And with
# $1/n$, ReLU takes half of the mean square per layer: harmless in three layers, fatal in thirty.
