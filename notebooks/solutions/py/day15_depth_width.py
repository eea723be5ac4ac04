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
# # Day 15, solved: is deeper better than wider?
#
# The exercises of [day 15](../day15_depth_width.ipynb), each with a solution and why it works. There is more than one
# right answer to most of them; the checks accept any.

# %%
import math
from itertools import pairwise

import torch
from torch import nn

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## Two prices ★☆☆
#
# *Parameters and multiply-adds of an MLP, from the sizes of its layers.*

# %%
def mlp_size(sizes):
    """(parameters, multiply-adds for one image) of an MLP with these layer sizes."""
    weights = sum(n * m for n, m in pairwise(sizes))
    return weights + sum(sizes[1:]), weights


check("day15.mlp_size", mlp_size)


# %% [markdown]
# A layer stands between two neighbours of the list, and `pairwise` gives them in turn. Each weight
# multiplies once: the multiply-adds *are* the weights. Every unit that is not an input has a bias besides.

# %% [markdown]
# ## An effect in a grid ★★★
#
# *Differences of runs that agree in all but one factor, averaged for each seed, with Student's interval over the
# seeds.*

# %%
def effect(rows, factor, level, baseline, t95):
    """(mean, low, high) of what `level` instead of `baseline` does to the score."""

    def rest(row):
        kept = [name for name in row if name not in (factor, "score")]
        return frozenset((name, row[name]) for name in kept)

    base = {rest(row): row["score"] for row in rows if row[factor] == baseline}
    by_seed = {}
    for row in rows:
        if row[factor] == level and rest(row) in base:
            difference = row["score"] - base[rest(row)]
            by_seed.setdefault(row["seed"], []).append(difference)
    values = torch.tensor([sum(d) / len(d) for d in by_seed.values()])
    mean, n = values.mean().item(), len(values)
    reach = t95[n] * values.std().item() / math.sqrt(n)
    return mean, mean - reach, mean + reach


check("day15.effect", effect)


# %% [markdown]
# What must be equal is gathered into one key: everything but the factor and the score. A `frozenset` of pairs can be a
# key of a dict, whatever the order of the entries. A run whose partner is missing finds no key, and drops out.
#
# Why average within a seed first? Three rates at one seed share its start and its order of digits. They are not three
# witnesses but one who speaks three times. Counted as three they would make the interval too narrow.

# %% [markdown]
# ## A pyramid within a budget ★★☆
#
# *The largest w, w/2, w/4, ... with at most `budget` parameters.*

# %%
def pyramid(budget, depth, inputs, outputs):
    """Hidden widths [w, w // 2, w // 4, ...] of the largest pyramid in the budget."""

    def widths(base):
        return [base // 2**k for k in range(depth)]

    def price(base):
        return mlp_size([inputs, *widths(base), outputs])[0]

    base = 2 ** (depth - 1)  # the smallest one whose last layer has a unit
    if price(base) > budget:
        raise ValueError(f"{budget} parameters do not buy {depth} layers")
    while price(base + 1) <= budget:
        base += 1
    return widths(base)


check("day15.pyramid", pyramid)

# %% [markdown]
# The first exercise does the counting. Asking what the *next* base would cost, and stopping when it is too much, avoids
# the usual slip of returning the first one that does not fit. The price never falls when the base grows, so nothing
# beyond that point can fit again.

# %%
print("30,000 parameters, three layers:", pyramid(30_000, 3, 196, 10))


# %% [markdown]
# ## Squeeze a trained layer ★★☆
#
# *Two thin layers whose product is the nearest matrix of a given rank.*

# %%
@torch.no_grad()
def squeezed(layer, rank):
    """Two linear layers, `rank` units between them, as near to `layer` as can be."""
    U, S, Vh = torch.linalg.svd(layer.weight, full_matrices=False)
    first = nn.Linear(layer.in_features, rank, bias=False)
    second = nn.Linear(rank, layer.out_features)
    first.weight.copy_(Vh[:rank])
    second.weight.copy_(U[:, :rank] * S[:rank])  # each column by its singular value
    second.bias.copy_(layer.bias)
    return nn.Sequential(first, second)


check("day15.squeezed", squeezed)

# %% [markdown]
# The input meets the right-hand factor first, so `Vh` goes into the first layer. The singular values may go to either,
# or their roots to both: only the product counts. How near is "nearest"? The sum of the squared differences is that of
# the singular values that were dropped.

# %%
torch.manual_seed(0)
layer = nn.Linear(64, 64)
for rank in (4, 16, 32):
    first, second = squeezed(layer, rank)
    off = (second.weight @ first.weight - layer.weight).square().sum().item()
    dropped = torch.linalg.svdvals(layer.weight.detach())[rank:]
    weights = first.weight.numel() + second.weight.numel()
    print(f"rank {rank:2}: {weights} weights instead of {layer.weight.numel()},"
          f" squared error {off:.2f}")
    assert math.isclose(off, dropped.square().sum().item(), rel_tol=1e-3)

# %% [markdown]
# An untrained layer is random in all directions, so little is gained by cutting. Trained layers are often much nearer
# to a matrix of low rank.

# %% [markdown]
# ## What is wrong with it? ★☆☆
#
# *Five networks, and what to try first for each.*

# %%
first_remedy = {
    "A": "more units",
    "B": "more digits",
    "C": "help it train",
    "D": "more digits",
    "E": "more units",
}

check("day15.first_remedy", first_remedy)

# %% [markdown]
# A and E misread the digits they were trained on, with few parameters and no gap: they underfit. B and D know their
# training digits by heart and misread others: they overfit, and more data is the surest remedy (day 17 has others).
# Their sizes differ and their validation hardly does; size is not what they suffer from. C has more parameters than
# A, B and E, and guesses even on its training digits: forty plain layers do not train.
