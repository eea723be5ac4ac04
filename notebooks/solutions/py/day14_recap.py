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
# # Day 14, solved: which of these findings still stand?
#
# The exercises of [day 14](../day14_recap.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import math
import statistics

from torch import nn
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## An honest difference ★★★
#
# *Mean and 95 % interval of a minus b, over the seeds that both dicts hold.*

# %%
def honest_difference(a, b, t95):
    """(mean, low, high) of a - b over the seeds that both dicts hold."""
    differences = [a[seed] - b[seed] for seed in a if seed in b]
    n = len(differences)
    if n < 3:
        raise ValueError(f"only {n} seeds are in both: at least three are needed")
    mean = statistics.mean(differences)
    half = t95[n] * statistics.stdev(differences) / n**0.5
    return mean, mean - half, mean + half


check("day14.honest_difference", honest_difference)


# %% [markdown]
# `a[seed] - b[seed]` pairs what belongs together, whatever order the dicts are in; zipping their values pairs strangers. The
# deviation is that of the *differences*: what a seed does to both recipes alike has dropped out of them. `stdev` divides by
# $n - 1$, `pstdev` by $n$, and with few runs that matters, as does Student's factor instead of 1.96.

# %% [markdown]
# ## The error bar of an accuracy ★☆☆
#
# *One standard error of a share measured on `count` digits.*

# %%
def error_bar(accuracy, count):
    """One standard error of an accuracy measured on `count` digits, from 0 to 1."""
    return (accuracy * (1 - accuracy) / count) ** 0.5


check("day14.error_bar", error_bar)

# %% [markdown]
# Each digit is a toss that comes out right with probability $p$. One toss has variance $p(1-p)$, a mean of $n$ of them
# $p(1-p)/n$, and the standard error is its root. At an accuracy of 1 it is 0, which nobody should believe: that is
# where the Wilson interval of day 12 comes in.

# %% [markdown]
# ## The first loss ★☆☆
#
# *What the cross-entropy of an untrained network for seven classes should be.*

# %%
first_loss = math.log(7)

check("day14.first_loss", first_loss)

# %% [markdown]
# It spreads its belief evenly, so the truth gets a seventh, and the surprise at that is $-\log(1/7) = \log 7$.

# %% [markdown]
# ## The shape behind a convolution ★☆☆
#
# *32 grey digits of 28 x 28 pixels through `nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1)`.*

# %%
shape_after_conv = (32, 8, 14, 14)

check("day14.shape_after_conv", shape_after_conv)


# %% [markdown]
# The batch stays, 8 kernels make 8 channels, and $\lfloor (28 + 2 - 3)/2 \rfloor + 1 = 13 + 1$.

# %% [markdown]
# ## The parameters of a convolution ★☆☆
#
# *Trainable numbers of a convolution with a square window.*

# %%
def parameters_of_conv(channels_in, channels_out, window, bias=True):
    """Trainable numbers of a convolution with a square window."""
    weights = channels_out * channels_in * window**2
    return weights + channels_out if bias else weights


check("day14.parameters_of_conv", parameters_of_conv)

# %% [markdown]
# One kernel for each channel that goes out. It looks at every channel that comes in through a window of its own, and adds
# one bias at the end.

# %% [markdown]
# ## Which curve is it? ★★☆
#
# *The rate of each of the four curves.*

# %%
which_curve = {"A": 0.1, "B": 1.0, "C": 0.001, "D": 0.01}

check("day14.which_curve", which_curve)

# %% [markdown]
# B rises above ten even guesses first: its steps throw the weights away. C stays at the dotted line, because it hardly moves. A and
# D both fall; the one that falls further took the longer steps.

# %% [markdown]
# ## The order of a step ★☆☆
#
# *Five lines in an order that trains.*

# %%
order_of_loop = [3, 4, 2, 5, 1]

check("day14.order_of_loop", order_of_loop)


# %% [markdown]
# Forget, predict, measure, backward, step. `zero_grad` may also stand behind the prediction, behind the loss, or at the very end: only
# between `backward` and `step` it must not be.

# %% [markdown]
# ## One epoch, with everything ★★★
#
# *Accumulation, clipping and a mean over samples in one loop.*

# %%
def fit_one_epoch(model, batches, optimizer, accumulate=1, clip_norm=None):
    """One pass over `batches`; returns the mean loss over all samples."""
    model.train()
    total, count = 0.0, 0
    for start in range(0, len(batches), accumulate):
        group = batches[start : start + accumulate]
        samples = sum(len(y) for _, y in group)
        optimizer.zero_grad()
        for x, y in group:
            loss = F.cross_entropy(model(x), y)
            (loss * len(y) / samples).backward()
            total += loss.item() * len(y)
            count += len(y)
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
    return total / count


check("day14.fit_one_epoch", fit_one_epoch)


# %% [markdown]
# Each batch enters with its share of the group's samples, `len(y) / samples`, so that what has added up at the end is the
# gradient of one large batch, and the last, smaller group needs no special case. Clipping comes after the last `backward`, because only then the gradient of the group is
# complete: clipped parts would not add up to it.

# %% [markdown]
# ## The mean of the batches ★☆☆
#
# *The accuracy over all samples, from each batch's accuracy and size.*

# %%
def mean_of_batches(accuracies, sizes):
    """Accuracy over all samples, from each batch's accuracy (0 to 1) and size."""
    right = sum(share * sizes[batch] for batch, share in enumerate(accuracies))
    return right / sum(sizes)


check("day14.mean_of_batches", mean_of_batches)

# %% [markdown]
# Back to counts, add, divide once. The plain mean would give each digit of the small batch more weight than the others.

# %% [markdown]
# ## What leaks? ★★☆
#
# *The numbers of the statements in which test digits have a say.*

# %%
what_leaks = {1, 4, 5}

check("day14.what_leaks", what_leaks)


# %% [markdown]
# Number 1 scales the inputs with statistics of the test digits. Number 4 chooses with them. Number 5 leaves four sisters of nearly every test
# image among the training images. The others keep the drawers apart.

# %% [markdown]
# ## Chosen, then reported ★☆☆
#
# *The run that validation chooses, and the test accuracy to print beside it.*

# %%
def chosen_run(val, test):
    """(position of the run to publish, accuracy to report for it)."""
    run = val.index(max(val))
    return run, test[run]


check("day14.chosen_run", chosen_run)

# %% [markdown]
# `index` finds the first among equals. One list chooses, the other reports, and neither does both.
