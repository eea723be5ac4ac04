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
# # Day 10, solved: how long should a step be?
#
# The exercises of [day 10](../day10_learning_rate.ipynb), each with a solution and why it works. There is more than one
# right answer to most of them; the checks accept any.

# %%
import math

import torch
from torch.nn import functional as F
from torch.optim import lr_scheduler

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## Read the range test ★★☆
#
# *A tenth of the rate at which the loss first exceeded four times the lowest loss before it, or was no finite number.*

# %%
def best_rate(rates, losses):
    """A tenth of the rate at which the range test diverged."""
    lowest = math.inf
    for step, loss in enumerate(losses):
        if loss > 4 * lowest or not math.isfinite(loss):
            return rates[step] / 10
        lowest = min(lowest, loss)
    return rates[-1] / 10


check("day10.best_rate", best_rate)


# %% [markdown]
# The lowest loss starts at infinity, so that nothing is "more than four times" it in the first step. It is updated after the question
# and not before, so it really is the lowest one *before* this position. And `nan` needs a question of its own:
# `nan > 4` is False, and a run that ended in `nan` would pass as one that never diverged.

# %% [markdown]
# ## A cosine with warm-up ★★☆
#
# *A straight rise to `peak` over `warmup` steps, then half a cosine that would be 0 in step `total`.*

# %%
def warm_cosine(step, total, warmup, peak):
    """The rate in `step` (from 0): a straight rise, then half a cosine down to 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    progress = (step - warmup) / (total - warmup)  # 0 at the top, 1 would be the end
    return peak * (1 + math.cos(math.pi * progress)) / 2


check("day10.warm_cosine", warm_cosine)

# %% [markdown]
# `step + 1`, because a rate of 0 in the first step would waste it. With `warmup = 0` the first case never applies, so nothing is divided by zero.
# The cosine counts from its own beginning and over its own length. Here is the figure to it:

# %%
rates = [warm_cosine(step, total=6, warmup=2, peak=1.0) for step in range(6)]
print([round(rate, 3) for rate in rates])


# %% [markdown]
# ## The schedule that swings ★★☆
#
# *Two bugs: what `T_max` counts, and who steps first.*

# %%
def repaired_schedule(model, x, y, epochs=3, batch_size=4, peak=0.1):
    """Train `model` along half a cosine; returns the rate that each step used."""
    optimizer = torch.optim.SGD(model.parameters(), lr=peak)
    batches = math.ceil(len(x) / batch_size)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * batches)
    rates = []
    for _ in range(epochs):
        for start in range(0, len(x), batch_size):
            batch, target = x[start : start + batch_size], y[start : start + batch_size]
            optimizer.zero_grad()
            F.cross_entropy(model(batch), target).backward()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
    return rates


check("day10.repaired_schedule", repaired_schedule)


# %% [markdown]
# A scheduler does not know what an epoch is. It counts its own calls, and `T_max` is the number of calls down to the
# bottom. Called once per batch but told the number of epochs, it was down after three batches, and a cosine that goes on comes up again:
# those were the swings. And because it moved before the optimizer did, no step ever used the peak. PyTorch warns of that order; of the
# wrong `T_max` it cannot know.

# %% [markdown]
# ## Scale the rate ★☆☆
#
# *$k$ or $\sqrt k$ times the rate for $k$ times the batch.*

# %%
def scaled_rate(rate, batch, new_batch, rule="linear"):
    """The rate for `new_batch`, from one that was tuned for `batch`."""
    k = new_batch / batch
    if rule == "linear":
        return rate * k
    if rule == "sqrt":
        return rate * math.sqrt(k)
    raise ValueError(f"unknown rule {rule!r}: choose 'linear' or 'sqrt'")


check("day10.scaled_rate", scaled_rate)


# %% [markdown]
# `/` and not `//`: from 64 to 96 the factor is one and a half. The error at the end looks pedantic, until somebody writes `"root"` and
# trains for a week at an unchanged rate.

# %% [markdown]
# ## Vary the batch size ★★★
#
# *For each batch size, the loss over all samples after the same number of epochs from the same start.*

# %%
def batch_size_sweep(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    """{batch size: loss over all of (x, y) after training with that size}."""
    losses = {}
    for size in sizes:
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        for _ in range(epochs):
            for start in range(0, len(x), size):
                optimizer.zero_grad()
                logits = model(x[start : start + size])
                F.cross_entropy(logits, y[start : start + size]).backward()
                optimizer.step()
        with torch.no_grad():
            losses[size] = F.cross_entropy(model(x), y).item()
    return losses


check("day10.batch_size_sweep", batch_size_sweep)


# %% [markdown]
# Model and optimizer are made inside the loop over sizes: otherwise the second size continues the training of the first, and seems
# better whatever it does. A slice beyond the end is merely shorter, so the last batch takes care of itself. The loss is measured once, on all
# samples, with the finished weights: the losses on the way belong to weights that no longer exist.

# %% [markdown]
# ## A rate that goes down on a plateau ★★★
#
# *The rate that each epoch used; more than `patience` bad epochs in a row multiply it by `factor`.*

# %%
def plateau_rates(losses, rate, factor=0.1, patience=2):
    """The rate that each epoch used, lowered whenever `patience` was exceeded."""
    rates, lowest, bad = [], math.inf, 0
    for loss in losses:
        rates.append(rate)
        bad = 0 if loss < lowest else bad + 1
        lowest = min(lowest, loss)
        if bad > patience:
            rate, bad = rate * factor, 0
    return rates


check("day10.plateau_rates", plateau_rates)

# %% [markdown]
# The rate is noted first: what an epoch's loss says comes too late for that epoch. The off-by-one is in `>`. Early stopping on
# day 6 ended *after* `patience` bad epochs; here so many are forgiven and the next one counts. PyTorch does the same:

# %%
losses = [3.0, 2.0, 2.5, 2.0, 2.1, 1.9, 1.9, 1.9, 1.9, 1.9]
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
scheduler = lr_scheduler.ReduceLROnPlateau(
    optimizer, factor=0.1, patience=2, threshold=0
)
theirs = []
for loss in losses:
    theirs.append(optimizer.param_groups[0]["lr"])
    scheduler.step(loss)
ours = plateau_rates(losses, 1.0, factor=0.1, patience=2)
print([f"{rate:.2g}" for rate in ours])
torch.testing.assert_close(ours, theirs)
