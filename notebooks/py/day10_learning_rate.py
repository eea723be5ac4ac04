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
# # Day 10: how long should a step be?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. Builds on
# [day 9](day09_optimizers.ipynb).*
#
# If you may set only one number of a training run, set the learning rate. With a rate a hundred times too low the
# network is still guessing when the time is up; with one ten times too high it never learns at all. Between the two
# lies a range that differs from network to network, and even from the first epoch to the last. Today you find it by
# measuring instead of guessing, and then let the rate change while the network learns.
#
# **By the end you can**
#
# - say why a rate breaks down where it does, from a curvature that you have measured;
# - find a good rate in one short run, the range test;
# - write the usual schedules from their formulas, and tell what they bring and what your data cannot decide;
# - choose batch size, rate and number of epochs together, and recognise two kinds of plateau.
#
# [← Day 9: how does a gradient become a step?](day09_optimizers.ipynb) ·
# [Day 11: how do you watch a network learn? →](day11_tensorboard.ipynb)

# %%
import copy
import math
from functools import partial
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LambdaLR

from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP
from nnlab_helpers.plots import label_lines, plot_band, show_images, use_style
from nnlab_helpers.train import fit

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first
#
# Today takes many short runs, each of them three times from another random start. So the training set is small: 1,536
# digits, and 1,000 others to validate. Why such a peculiar number? Every batch size of today divides it, so that no
# batch is smaller than the others. That matters more than you may think; you will break it on purpose later.

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
train_index, val_index = order[:1_536], order[1_536:2_536]
normalize = Normalize.from_images(digits, train_index)
first = digits.take(train_index[:20])
title = "Twenty of today's 1,536 digits"
show_images(first.images, first.labels.tolist(), title=title)
plt.show()


# %%
def whole(index):
    """All digits at `index` as one batch: images [N, 1, 28, 28], labels [N]."""
    loader = TensorLoader(
        digits, index, batch_size=len(index), normalize=normalize, device=device
    )
    return next(iter(loader))


train_x, train_y = whole(train_index)
val_x, val_y = whole(val_index)
val_loader = TensorLoader((val_x, val_y), batch_size=1_000, device=device)
print("training:", list(train_x.shape), " validation:", list(val_x.shape))
assert all(len(train_x) % size == 0 for size in (32, 64, 128, 512))


# %% [markdown]
# The network is the smallest one that reads digits: 784 brightnesses, 64 hidden units with a ReLU, ten logits. The
# optimizer is **plain gradient descent**, `SGD` without momentum: weight minus rate times gradient. So nothing but the
# rate stands between a gradient and its step. `schedule` may change it in every step; until we need it, it stays out of the way.

# %%
def train(rate, schedule=None, *, epochs=3, batch=64, seed=0, x=train_x, y=train_y):
    """Train a fresh network; `rate` is multiplied by `schedule(step, total)`."""
    seed_everything(seed)
    model = MLP(784, (64,), 10).to(device)
    loader = TensorLoader(
        (x, y), batch_size=batch, shuffle=True, seed=seed, device=device
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, fused=True)
    scheduler = None
    if schedule is not None:
        scheduler = LambdaLR(optimizer, partial(schedule, total=epochs * len(loader)))
    history = fit(
        model, loader, val_loader, epochs=epochs, optimizer=optimizer,
        scheduler=scheduler, scheduler_per="step", progress=False, device=device,
    )
    return history["val_loss"]  # one for each epoch


def three_seeds(rate, schedule=None, **options):
    """Validation losses [3 seeds, epochs]."""
    runs = [train(rate, schedule, seed=seed, **options) for seed in range(3)]
    return torch.tensor(runs)


def spread(values):
    """Several seeds in words: the mean, the lowest and the highest."""
    return f"{values.mean():.2f}  (from {values.min():.2f} to {values.max():.2f})"


# %% [markdown]
# ## Too low, too high
#
# Three rates, three epochs, three seeds each.
#
# > **Predict.** An untrained network's loss is $\log 10 \approx 2.3$. Where will each of the rates 0.001, 0.1 and 1
# > have brought it after three epochs?

# %% tolerance={"rtol": 0.25}
by_rate = {rate: three_seeds(rate) for rate in (0.001, 0.1, 1.0)}
for rate, loss in by_rate.items():
    print(f"rate {rate:5}: validation loss {spread(loss[:, -1])}")
low, good, high = (loss[:, -1] for loss in by_rate.values())
assert good.max() < 0.5 and low.min() > 1.3 and high.min() > 1.3
patient = three_seeds(1.0, epochs=8)[:, -1]
print("rate   1.0: after eight epochs above 1 in each seed:", bool((patient > 1).all()))
assert patient.min() > 1

# %%
fig, ax = plt.subplots(figsize=(7, 3.4))
for rate, loss in by_rate.items():
    plot_band(ax, range(1, 4), loss, f"rate {rate}")
ax.hlines(math.log(10), 1, 3, color="gray", linestyle=":")
ax.text(1, math.log(10) + 0.03, "guessing", color="gray", va="bottom")
ax.set(xlabel="epoch", ylabel="validation loss (nats)", xticks=range(1, 4))
ax.set_ylim(0, 2.7)
ax.set_title("Too low and too high: both stay close to guessing")
label_lines(ax)
plt.show()

# %% [markdown]
# **What happened.** The lowest rate goes the right way, steadily and in all three seeds, and would arrive some day. The
# highest one leaves the network close to where guessing would put it, and eight epochs hardly help (the last line of
# the numbers): it is not slow, it is lost.
# Too low costs time; too high costs everything. But why is there an edge at all?
#
# ## Why there is an edge
#
# Near its lowest point every smooth valley looks like a parabola, $f(w) = \tfrac{c}{2} w^2$. Its slope is $c\,w$, and
# $c$, the rate at which the slope changes, is its **curvature**. A step of gradient descent with rate $\eta$ makes
#
# $$w \;\leftarrow\; w - \eta\, c\, w = (1 - \eta c)\, w ,$$
#
# so every step multiplies the distance to the bottom by the same number, $1 - \eta c$.
#
# > **Predict.** The curvature is 4 and we start at $w = 1$. Where does the bottom go out of reach: at which rate? And
# > what do the steps look like a little below that rate?

# %%
curvature = 4.0


def descend(rate, steps=12):
    """Positions [steps + 1] of gradient descent on the parabola, from w = 1."""
    w = [1.0]
    for _ in range(steps):
        w.append(w[-1] - rate * curvature * w[-1])
    return torch.tensor(w)


for rate in (0.05, 0.25, 0.45, 0.5, 0.55):
    w = descend(rate)
    print(f"rate {rate:.2f}: times {1 - rate * curvature:5.2f} each step,"
          f" after 12 steps w = {w[-1]:8.4f}")
assert descend(0.49)[-1].abs() < 1 < descend(0.51)[-1].abs()
assert descend(0.25)[1] == 0, "rate 1/c arrives in one step"

# %%
fig, axes = plt.subplots(1, 4, figsize=(7, 2.5), sharey=True)
w = torch.linspace(-2.2, 2.2, 100)
for ax, rate in zip(axes, (0.05, 0.25, 0.45, 0.55), strict=True):
    path = descend(rate, 4)
    ax.plot(w, curvature / 2 * w**2, color="lightgray")
    ax.plot(path, curvature / 2 * path**2, "o-", markersize=4)
    ax.plot(path[:1], curvature / 2 * path[:1] ** 2, "ko", markersize=6)
    ax.set(xlabel="$w$", title=f"rate {rate}")
axes[0].set_ylabel("$f(w)$")
fig.suptitle("Beyond 2 / curvature every step lands higher (black: the start)",
             fontweight="bold", x=0.01, ha="left")
assert descend(0.55).square().diff().min() > 0 > descend(0.45).square().diff().max()
plt.show()

# %% [markdown]
# **What happened.** The distance shrinks as long as $|1 - \eta c| < 1$, which is $\eta < 2 / c$. Below $1/c$ the
# steps come from one side. Between $1/c$ and $2/c$ each lands on the *other* side, a little lower: a loss that
# zigzags while it falls. Above $2/c$ each lands higher than the last, and the steeper slope there makes the next step
# longer still.
#
# A network has not one weight but many, and the ravine of day 9 shows what follows. Every direction has a curvature
# of its own, and all share one rate. **The steepest direction sets the limit; the flattest pays for it.**

# %%
steep, flat = 20.0, 1.0
rate = 0.95 * 2 / steep  # a little below the limit of the steep direction
left = {c: abs(1 - rate * c) ** 30 for c in (steep, flat)}
for c, share in left.items():
    print(f"curvature {c:4.0f}: {share:.3f} of the distance is left after 30 steps")
assert all(0.01 < share < 0.1 for share in left.values())
print(f"rate 1, ideal for the flat one, multiplies the steep one by {1 - steep:.0f}")


# %% [markdown]
# ## How curved is a network?
#
# The loss of our network lives over 50,890 weights. Its largest curvature can still be measured. Take any direction
# $v$ of length 1: how fast the gradient changes along $v$ is again a direction, and autograd computes it (the
# derivative of the gradient times $v$). It leans towards where the valley is most curved. Go on with that as the new
# $v$, and after a few rounds it points there. This is called *power iteration*.

# %%
def largest_curvature(model, x, y, rounds=8):
    """The curvature of the mean loss over (x, y) in its most curved direction."""
    weights = list(model.parameters())
    loss = F.cross_entropy(model(x), y)
    gradient = torch.autograd.grad(loss, weights, create_graph=True)
    v = [torch.randn_like(w) for w in weights]
    for _ in range(rounds):
        length = sum((part**2).sum() for part in v).sqrt()
        v = [part / length for part in v]
        bent = torch.autograd.grad(gradient, weights, v, retain_graph=True)
        curvature = sum((a * b).sum() for a, b in zip(v, bent, strict=True))
        v = bent
    return curvature.item()


# %%
tiny, x, y = nn.Linear(4, 3, bias=False), torch.randn(20, 4), torch.randint(3, (20,))
hessian = torch.autograd.functional.hessian(
    lambda w: F.cross_entropy(x @ w.T, y), tiny.weight.detach()
).reshape(12, 12)  # all the curvatures at once, which a large network cannot afford
ours = largest_curvature(tiny, x, y, rounds=50)
exact = torch.linalg.eigvalsh(hessian)[-1]
print("power iteration and the exact answer agree:", abs(ours - exact.item()) < 1e-3)
assert abs(ours - exact.item()) < 1e-3

# %% [markdown]
# Now our network, on 128 digits, with the gradient of all 128 in each step, so that there is no luck in it. The numbers
# are medians of nine seeds.
#
# > **Predict.** For each of the rates 0.05, 0.2 and 0.8: in how many of 40 steps does the loss go *up*? The curvature
# > at the start is printed with the answer; a parabola of that curvature would give 2 / curvature as the limit.

# %%
few_x, few_y = train_x[:128], train_y[:128]


def rises(rate, seed, steps=40):
    """Curvature at the start and at the end, and in how many steps the loss rose."""
    seed_everything(seed)
    model = MLP(784, (64,), 10).to(device)
    start = largest_curvature(model, few_x, few_y)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, fused=True)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(few_x), few_y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    ups = sum(b > a for a, b in pairwise(losses))
    return start, largest_curvature(model, few_x, few_y), ups


# %% tolerance={"rtol": 0.15}
full_batch = {}
for rate in (0.05, 0.2, 0.8):
    runs = torch.tensor([rises(rate, seed) for seed in range(9)])  # [9 seeds, 3]
    full_batch[rate] = runs
    start, end, ups = runs.median(dim=0).values
    told = f"{end:.1f}" if rate < 0.8 else f"under 9: {end < 9}"
    print(f"rate {rate:4}: curvature {start:.1f} at the start (limit {2 / start:.2f}),"
          f" at the end {told}; up in {ups:.1f} steps")
assert (full_batch[0.05][:, 2] == 0).all() and (full_batch[0.8][:, 2] > 6).all()
assert 0 < full_batch[0.2][:, 2].median() < 8
assert (full_batch[0.05][:, 1] > 1.5 * full_batch[0.05][:, 0]).all()
assert (full_batch[0.05][:, 1] * 0.05 < 2).all()
start = full_batch[0.2][:, 0]  # the same for each rate
assert (start * 0.2 < 2).all() and (start * 0.8 > 2).all()
assert all(full_batch[rate][:, 1].median() < 9 < full_batch[0.05][:, 1].median()
           for rate in (0.2, 0.8))


# %% [markdown]
# **What happened.** Far below the limit the loss never rises. Far above it, it keeps jumping. The middle rate is the
# interesting one: at the start it is *below* the limit, and still the loss rises a few times. A network is no
# parabola. As it learns, its curvature grows (compare start and end at the lowest rate), so that a rate which was
# safe at first meets the limit later. And then? At the two higher rates the curvature ends far below what the lowest rate
# found: steps that are too long for a narrow place throw the weights out of it, and they stay where it is wide enough.
# Cohen and others (2021) followed this over longer runs: full-batch training sharpens until the curvature is about
# 2 / rate, and hovers there. So measure the curvature once to know the order of
# magnitude, and find the rate itself in a run.
#
# ## The range test
#
# Smith (2017) had the idea: start with a rate that is certainly too low, multiply it by a little in every step, and
# watch the loss. One run of a hundred steps passes through all the rates.

# %%
def range_test(seed, lowest=1e-4, highest=10.0, steps=100, batch=64):
    """Loss of each step while the rate grows from `lowest` to `highest`: two lists."""
    seed_everything(seed)
    model = MLP(784, (64,), 10).to(device)
    loader = TensorLoader(
        (train_x, train_y), batch_size=batch, shuffle=True, seed=seed, device=device
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=lowest, fused=True)
    growth = (highest / lowest) ** (1 / (steps - 1))
    rates, losses = [], []
    while len(losses) < steps:
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            rates.append(optimizer.param_groups[0]["lr"])
            losses.append(loss.item())
            optimizer.param_groups[0]["lr"] *= growth
    return rates[:steps], losses[:steps]


# %% [markdown]
# > **Predict.** Sketch the loss over the rate, from 0.0001 to 10. Where does it begin to fall, where does it fall
# > fastest, and where does it take off? You know the limit at the start.

# %%
tests = [range_test(seed) for seed in range(5)]
rates = torch.tensor(tests[0][0])  # [100], the same in each
losses = torch.tensor([losses for _, losses in tests])  # [5, 100]
assert abs(rates[0] / 1e-4 - 1) < 1e-3 and abs(rates[-1] / 10 - 1) < 1e-3
limit = 2 / full_batch[0.05][:, 0].mean()
fig, ax = plt.subplots(figsize=(7, 3.4))
for loss in losses:
    ax.plot(rates, loss.clamp(max=6), alpha=0.8)
ax.axvline(limit, color="gray", linestyle=":")
ax.text(0.9 * limit, 0.15, "2 / curvature\nat the start", color="gray", ha="right")
ax.set(xscale="log", ylim=(0, 4.5), xlabel="learning rate (log scale), a line a seed")
ax.set(ylabel="loss of the batch (nats)", title="One short run shows the whole range")
plt.show()

# %% tolerance={"rtol": 0.03}
below = losses[:, rates < 3e-3].mean(dim=1)
fallen = losses[:, (rates > 0.05) & (rates < 0.3)].min(dim=1).values
for seed in range(5):
    print(f"seed {seed}: mean loss {below[seed]:.2f} at rates below 3e-03,"
          f" down to {fallen[seed]:.2f}")
assert (below > 2.1).all() and (fallen < 1.4).all()

# %% tolerance={"rtol": 0.03}
smooth = losses.mean(dim=0).unfold(0, 7, 1).mean(dim=1)  # means of seven steps
middle = rates[3:-3]
steepest = middle[smooth.diff().masked_fill(middle[1:] >= 0.3, 0).argmin()].item()
took_off = middle[(smooth > 2 * smooth[0]).int().argmax()].item()
print(f"steepest fall at rate {steepest:.2f}, twice the first loss at {took_off:.1f}")
assert all(0.03 < rate < 0.4 for rate in (steepest, took_off / 10))


# %% [markdown]
# **What happened.** Three parts: nothing happens, then the loss falls, then it takes off. It takes off somewhat above
# the limit from the curvature, because the loss needs some steps to climb. Two rules turn the picture into a number:
# take the rate at which the loss falls most steeply, or take a tenth of the one at which it took off. Both are rules
# of thumb, give a rate that is safe rather than best, and agree here in the order of magnitude: about 0.1.
# That is the rate of our first comparison.
#
# The test is honest about one network, one batch size, one optimizer, and about the first hundred steps. Change any
# of them and run it again; it costs next to nothing.
#
# ### Exercise: read the range test ★★☆
#
# `best_rate(rates, losses)` gets two lists of floats of the same length, in the order of the steps. The run has
# **diverged** at the first position whose loss is *more than four times the lowest loss before it*, or is not a
# number or infinite (the first loss is always finite). Return a tenth of the rate at that position, as a float. If it
# never diverged, return a tenth of the last rate. What comes after the divergence plays no role. Rates `[0.01, 0.1,
# 1.0, 10.0]` with losses `[2.3, 1.0, 5.0, 0.5]` give 0.1. (`hint("day10.best_rate")` gives a nudge, and a stronger
# one each time you call it.)

# %%
def best_rate(rates, losses):
    """A tenth of the rate at which the range test diverged."""
    ...  # your code here


check("day10.best_rate", best_rate)


# %% [markdown]
# ## A rate that changes
#
# At the start the network is far from everything, and long steps save time. Near the end, long steps only jump about:
# each batch pulls in a slightly different direction, and the weights rattle around the bottom instead of settling. So
# most recipes begin high and end low. A recipe is a function of the step: what the highest rate, the **peak**, is
# multiplied by.
#
# - **Step decay** multiplies by a factor every so often, as in the exercise of day 6.
# - **Cosine** (Loshchilov and Hutter, 2017) follows half a cosine from 1 down to 0.
# - **Warm-up** rises in a straight line over the first steps, and leaves the rate alone from there on.
# - **OneCycle** (Smith and Topin, 2019) rises along half a cosine from $1/25$ for the first 30 % of the run, then falls
#   along another, to next to nothing.

# %%
def step_decay(step, total, factor=0.3, pieces=4):
    return factor ** (step // (total // pieces))


def cosine(step, total):
    return (1 + math.cos(math.pi * step / total)) / 2


def warm_up(step, total, start=0.04, share=0.1):
    return start + (1 - start) * min(step / (share * total), 1)


def one_cycle(step, total, start=1 / 25, end=1 / 25e4, share=0.3):
    top, last = share * total - 1, total - 1  # the steps of the peak and of the end
    if step <= top:
        return start + (1 - start) * (1 - math.cos(math.pi * step / top)) / 2
    return end + (1 - end) * (1 + math.cos(math.pi * (step - top) / (last - top))) / 2


# %% [markdown]
# PyTorch has all four. It keeps them as objects that change the optimizer's rate whenever you call `scheduler.step()`,
# after `optimizer.step()`. Ours have to give the same rates.

# %%
def rates_of(make_scheduler, total=160, peak=0.5):
    """The rates [total] that a PyTorch scheduler gives an optimizer."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = make_scheduler(optimizer)
    seen = []
    for _ in range(total):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return torch.tensor(seen)


theirs = {
    step_decay: lambda opt: lr_scheduler.StepLR(opt, step_size=40, gamma=0.3),
    cosine: lambda opt: lr_scheduler.CosineAnnealingLR(opt, T_max=160),
    warm_up: lambda opt: lr_scheduler.LinearLR(opt, start_factor=0.04, total_iters=16),
    one_cycle: lambda opt: lr_scheduler.OneCycleLR(
        opt, max_lr=0.5, total_steps=160, cycle_momentum=False),
}
for ours, make in theirs.items():
    mine = torch.tensor([0.5 * ours(step, 160) for step in range(160)])
    torch.testing.assert_close(mine, rates_of(make), rtol=1e-4, atol=1e-6)
print("all four give PyTorch's rates:", [ours.__name__ for ours in theirs])

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
for recipe, name in ((step_decay, "step decay"), (cosine, "cosine"),
                     (warm_up, "warm-up"), (one_cycle, "OneCycle")):
    ax.plot([0.5 * recipe(step, 160) for step in range(160)], label=name)
ax.set(xlabel="step", ylabel="learning rate", ylim=(-0.06, 0.53))
ax.set_title("Four recipes with one peak")
label_lines(ax)
plt.show()


# %% [markdown]
# (OneCycle's author also lets the momentum fall while the rate rises; PyTorch's default does too. Our optimizer has no
# momentum, so `cycle_momentum=False`.)
#
# ### Exercise: a cosine with warm-up ★★☆
#
# The recipe most used for large models: a short rise, then a cosine. `warm_cosine(step, total, warmup, peak)` returns
# the *rate* as a float (not a factor), with `step` counted from 0 to `total - 1`. In the first `warmup` steps it
# rises in equal parts, from `peak / warmup` in step 0 to `peak` in step `warmup - 1`. Then it follows half a cosine:
# still `peak` in step `warmup`, and such that it would be 0 in step `total`. `warmup` may be 0 (no rise) and is
# always less than `total`. With `total=6`, `warmup=2`, `peak=1.0` the six rates are 0.5, 1, 1, 0.854, 0.5, 0.146
# (rounded).

# %%
def warm_cosine(step, total, warmup, peak):
    """The rate in `step` (from 0): a straight rise, then half a cosine down to 0."""
    ...  # your code here


check("day10.warm_cosine", warm_cosine)


# %% [markdown]
# ## Which recipe is best?
#
# Same digits, same three epochs, same five seeds; the recipes from two peaks. One is 0.25, which a few tries
# showed to be a good *constant* rate, better than the safe one of the range test. The other is twice as high.
#
# > **Predict.** Two questions. At 0.25, will the recipes that end low beat the constant rate? And what does a peak
# > twice as high do to each of the five?

# %%
def constant(step, total):
    return 1.0


names = {constant: "constant", warm_up: "warm-up", step_decay: "step decay",
         cosine: "cosine", one_cycle: "OneCycle"}
last = {
    (name, peak): torch.tensor([train(peak, recipe, seed=s)[-1] for s in range(5)])
    for recipe, name in names.items() for peak in (0.25, 0.5)
}

# %% tolerance={"rtol": 0.03}
lost = {}
print("median validation loss of five seeds")
for name in names.values():
    low, high = last[name, 0.25], last[name, 0.5]
    lost[name] = (high.median() - low.median()).item()
    told = f"{high.median():.2f}" if high.median() < 0.44 else "above 0.44"
    print(f"{name:10}  peak 0.25: {low.median():.2f}   0.5: {told}")
forgiving = max(lost["cosine"], lost["OneCycle"])
assert forgiving < 0.5 * min(lost["constant"], lost["warm-up"])
for name in ("cosine", "OneCycle"):
    assert (last[name, 0.5] < last["constant", 0.5]).all()
    assert (last[name, 0.25] - last["constant", 0.25]).mean().abs() < 0.05
assert last["step decay", 0.25].mean() > last["constant", 0.25].mean()
assert lost["step decay"] < lost["constant"]

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
for row, name in enumerate(names.values()):
    for peak, colour in ((0.25, "C0"), (0.5, "C1")):
        ax.plot(last[name, peak], [row] * 5, "o", color=colour, alpha=0.6)
ax.plot([], [], "o", color="C0", label="peak 0.25")
ax.plot([], [], "o", color="C1", label="peak 0.5")
ax.set_yticks(range(len(names)), names.values())
ax.invert_yaxis()
ax.legend(loc="lower right")
ax.set(xlabel="validation loss after three epochs (nats); a dot for each seed")
ax.set_title("Cosine and OneCycle forgive a peak that is too high")
plt.show()


# %% [markdown]
# **What happened.** At 0.25 there is no winner worth the name. The constant rate is as good as cosine and OneCycle:
# five seeds on these digits cannot tell them apart. Step decay even loses, because it falls too soon for so short a
# run.
#
# The difference comes with the higher peak. The constant rate pays for it, and so does warm-up, whose *rate* ends just as high;
# five seeds cannot say whether it helps at all. (It is made for large batches and deep networks, whose first steps are
# the dangerous ones.) Cosine and OneCycle lose little. That is the best reason for a schedule: you seldom know the right
# rate, and one that passes through many of them **forgives**. Step decay is kinder than a constant rate, too, but where
# its stairs belong is one more thing to find out.
#
# ### Exercise: the schedule that swings ★★☆
#
# A colleague wants the rate to fall along half a cosine, from `peak` in the first step to (almost) 0 in the last, a
# little in *every step*. Printed, the rates swing up and down. The function below has **two** bugs. Repair it, then
# take out the line with the `...`. `x` is `[N, D]`, `y` is `[N]` with classes; the last batch may be smaller. It
# trains `model` in place and returns the rates, a list of floats: the one that *each step of the optimizer used*, one
# for every batch.

# %%
def repaired_schedule(model, x, y, epochs=3, batch_size=4, peak=0.1):
    """Train `model` along half a cosine; returns the rate that each step used."""
    ...  # take this line out when you have repaired the rest
    optimizer = torch.optim.SGD(model.parameters(), lr=peak)
    scheduler = lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    rates = []
    for _ in range(epochs):
        for start in range(0, len(x), batch_size):
            batch, target = x[start : start + batch_size], y[start : start + batch_size]
            optimizer.zero_grad()
            F.cross_entropy(model(batch), target).backward()
            scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
    return rates


check("day10.repaired_schedule", repaired_schedule)


# %% [markdown]
# ## How noisy is a batch?
#
# Why do long steps rattle? Because the gradient of a batch is not the gradient of all digits. It is an average over a
# few of them, and differs from the true one by chance. How much, we can measure: draw a batch many times, compare its
# gradient with that of all 1,536 digits, and divide the distance by the length of the true one.
#
# > **Predict.** A batch of 8 and a batch of 512: by how much is the second one's gradient nearer to the true one, 64
# > times, 8 times or hardly?

# %%
def gradient(model, x, y):
    """The gradient of the mean loss over (x, y), all weights in one row."""
    parts = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    return torch.cat([part.flatten() for part in parts])


def noise(seed, size, draws=16):
    """Distance of a batch's gradient from the true one, relative to its length."""
    seed_everything(seed)
    model = MLP(784, (64,), 10).to(device)
    true = gradient(model, train_x, train_y)
    squares = []
    for _ in range(draws):
        rows = torch.randint(len(train_x), (size,)).to(device)
        error = gradient(model, train_x[rows], train_y[rows]) - true
        squares.append(error.square().sum())
    return (torch.stack(squares).mean().sqrt() / true.norm()).item()


# %% tolerance={"rtol": 0.03}
sizes = torch.tensor([8, 32, 128, 512])
noises = torch.tensor(
    [[noise(seed, size) for size in sizes.tolist()] for seed in range(3)]
)  # [3 seeds, 4 sizes]
for size, values in zip(sizes.tolist(), noises.T, strict=True):
    print(f"batch of {size:3}: the noise is {values.mean():.2f} times the gradient")
less = noises[:, 0] / noises[:, -1]
print(f"64 times the batch: {less.mean():.1f} times less noise")
assert ((less > 6) & (less < 11)).all()

# %%
fig, ax = plt.subplots(figsize=(7, 3))
plot_band(ax, sizes, noises, "measured", marker="o")
ax.plot(sizes, noises[:, 0].mean() * (8 / sizes).sqrt(), "k--", label="1 / root of B")
ax.axhline(1, color="gray", linewidth=0.8)
ax.set(xscale="log", yscale="log", xlabel="batch size B (log scale)", xlim=(7, 560))
ax.set_xticks(sizes.tolist(), sizes.tolist())
ax.set_yticks([0.5, 1, 2], ["0.5", "1", "2"])
ax.tick_params(which="minor", labelleft=False, labelbottom=False)
ax.set(ylabel="noise / gradient", ylim=(0.25, 4))
ax.set_title("Four times the batch halves the noise, no more")
label_lines(ax)
plt.show()

# %% [markdown]
# **What happened.** The noise falls with the *root* of the batch size, as the error of every mean does: four times
# the work buys half the noise. Above the grey line there is more noise than signal in a single step. Small batches
# learn all the same, because the noise of successive steps averages out, if the rate is low enough to let it.
#
# ## Batch size and its rate
#
# A larger batch makes fewer steps in an epoch: 1,536 digits are 48 steps of 32 but only 3 of 512. If the rate stays
# the same, the weights come less far. Goyal and others (2017) propose the **linear scaling rule**: $k$ times the
# batch, $k$ times the rate. One step with four times the batch and four times the rate goes about as far as four
# small steps, as long as the gradient does not change much on the way.
#
# > **Predict.** Batches of 32, 128 and 512 for three epochs each: once all with rate 0.05, once with 0.05, 0.2 and
# > 0.8. Does the rule keep the loss where it was? You have met the rate 0.8 before.

# %% tolerance={"rtol": 0.03}
base = three_seeds(0.05, epochs=3, batch=32)[:, -1]
scaling = {(32, 0.05): base}
for size, rate in ((128, 0.05), (128, 0.2), (512, 0.05), (512, 0.8)):
    scaling[size, rate] = three_seeds(rate, epochs=3, batch=size)[:, -1]
for (size, rate), loss in scaling.items():
    kind = "fixed" if rate == 0.05 else "scaled"
    shown = spread(loss) if rate < 0.8 else f"each above 0.8: {(loss > 0.8).all()}"
    print(f"batch {size:3}, {kind:6} rate {rate:4}: {shown}")
fixed, scaled = scaling[128, 0.05], scaling[128, 0.2]
assert (scaled < fixed).all()
assert abs(scaled.mean() - base.mean()) < 0.5 * (fixed.mean() - base.mean())
assert (scaling[512, 0.05] > fixed.max()).all() and scaling[512, 0.8].min() > 0.8
assert 0.2 < limit < 0.8, "the larger rate is above the limit of the curvature"


# %% [markdown]
# **What happened.** With a fixed rate the larger batch falls behind: same number of digits seen, fewer steps. At 128
# the rule makes up for most of it. At 512 it breaks down: 0.8 lies above the limit that the curvature sets, and there
# no batch is large enough to help. A larger batch takes away noise; it does not flatten the valley. That is why very
# large batches need a warm-up, and why the rule ends at some size for every problem (Shallue and others, 2019).
#
# ### Exercise: scale the rate ★☆☆
#
# `scaled_rate(rate, batch, new_batch, rule="linear")`: a recipe was tuned with `rate` and batch size `batch`; return
# the rate to begin with for `new_batch`, as a float. With $k$ the ratio of the new size to the old one, `"linear"`
# means $k$ times the rate, and `"sqrt"` $\sqrt k$ times (the rule that suits Adam; Malladi and others, 2022). The new
# batch may be smaller, too. Any other rule raises a `ValueError`. From 0.1 at 64 to 256: 0.4 and 0.2.

# %%
def scaled_rate(rate, batch, new_batch, rule="linear"):
    """The rate for `new_batch`, from one that was tuned for `batch`."""
    ...  # your code here


check("day10.scaled_rate", scaled_rate)


# %% [markdown]
# ### Exercise: vary the batch size ★★★
#
# `batch_size_sweep(make_model, x, y, sizes, epochs, learning_rate)` compares batch sizes at equal epochs. For each
# size: take a fresh network from `make_model()`; train it with plain SGD and cross-entropy for `epochs` passes over
# `x` `[N, D]`, `y` `[N]`, in the given order, without shuffling; the last batch of a pass may be smaller and counts
# as a step like the others. Return a dict from each size to the trained network's mean cross-entropy over *all* N
# samples, as a float. With N = 10, size 4 and 2 epochs that is 6 steps.

# %%
def batch_size_sweep(make_model, x, y, sizes, epochs=1, learning_rate=0.1):
    """{batch size: loss over all of (x, y) after training with that size}."""
    ...  # your code here


check("day10.batch_size_sweep", batch_size_sweep)


# %% [markdown]
# ## Break it on purpose: eight digits too many
#
# Back to the peculiar number 1,536. Suppose there were 1,544 digits: more data, which can only help. In batches of 64
# that is 24 full ones and a last one of 8. So each epoch would end with one more step, of the same rate, on 8 digits.
# Let us take a network that has been trained for two epochs, and do that step.
#
# > **Predict.** The rate is 0.1 throughout. What does one more step do to the validation loss: with a batch of 64, and
# > with one of 8?

# %%
def one_more_step(seed, rate=0.1, draws=16):
    """Validation loss [3]: before, and after one step with 64 and with 8 digits."""
    seed_everything(seed)
    model = MLP(784, (64,), 10).to(device)
    loader = TensorLoader(
        (train_x, train_y), batch_size=64, shuffle=True, seed=seed, device=device
    )
    sgd = partial(torch.optim.SGD, lr=rate, fused=True)
    fit(model, loader, epochs=2, optimizer=sgd(model.parameters()), progress=False)
    found = []
    for size in (None, 64, 8):
        for _ in range(draws if size else 1):
            twin = copy.deepcopy(model)
            if size:
                rows = torch.randint(len(train_x), (size,)).to(device)
                optimizer = sgd(twin.parameters())
                optimizer.zero_grad()
                F.cross_entropy(twin(train_x[rows]), train_y[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                found.append(F.cross_entropy(twin(val_x), val_y))
    before, with_64, with_8 = torch.stack(found).split([1, draws, draws])
    return [part.mean().item() for part in (before, with_64, with_8)]


# %% tolerance={"rtol": 0.03}
before, with_64, with_8 = torch.tensor([one_more_step(seed) for seed in range(3)]).T
print("before:          ", spread(before))
print("one step with 64:", spread(with_64))
print("one step with 8: ", spread(with_8))
assert (with_8 > before + 0.05).all() and (with_8 > with_64 + 0.05).all()

# %% [markdown]
# **What happened.** A single step with 8 digits undoes part of what two epochs have built, and right after it, at the worst
# moment, we would have validated. The rate is that of every other step, but the gradient is nearly three times as noisy as
# that of 64; by the scaling rule, 8 digits deserve an eighth of the rate. No error, no warning.
#
# Three ways out. `drop_last=True` leaves the incomplete batch out (other digits in each epoch, because of the
# shuffling). Or choose sizes that divide. Or let the rate end low: then no single step can do much harm.
#
# ## How many epochs?
#
# A schedule needs to know its end. That has a consequence which is easy to miss: the first two epochs of an eight-epoch
# cosine are not a two-epoch cosine.
#
# > **Predict.** Two cosines from 0.5, one over two epochs and one over eight. Which network is better after two
# > epochs? Which is better in the end?

# %%
short = three_seeds(0.5, cosine, epochs=2)  # [3, 2]
long = three_seeds(0.5, cosine, epochs=8)  # [3, 8]
fig, ax = plt.subplots(figsize=(7, 3.2))
plot_band(ax, range(1, 9), long, "over 8 epochs", marker="o", markersize=4)
plot_band(ax, range(1, 3), short, "_short", marker="o", markersize=4)
ax.text(1, 0.28, "over 2 epochs", color="C1")
ax.set(xlabel="epoch", ylabel="validation loss (nats)", ylim=(0, None))
ax.set_title("After two epochs the short run leads, in the end the long one")
label_lines(ax)
plt.show()

# %% tolerance={"rtol": 0.25}
print("after 2 epochs: short", spread(short[:, 1]), "  long", spread(long[:, 1]))
print("long, after 6 epochs:", spread(long[:, 5]), "  after 8:", spread(long[:, -1]))
assert long[:, -1].mean() < short[:, 1].mean() < long[:, 1].mean()
assert (long[:, 5] - long[:, -1]).mean().abs() < 0.05, "the last epochs change little"

# %% [markdown]
# **What happened.** After two epochs the short run is ahead: its rate has come down, and the weights have settled.
# The long run is still taking long steps; what looks like a worse network is an unfinished one. In the end it is the
# better one. So do not judge a schedule by a run that was cut off, and do not stop a cosine early (Hoffmann and
# others, 2022, found that models had been compared in just this way, with schedules longer than the training). Also
# note that the last two epochs hardly moved the validation loss: more epochs have diminishing returns, and day 6
# showed that they can turn against you.
#
# ## What a plateau looks like
#
# A **plateau** is a stretch on which the loss does not fall. There are two kinds, and they call for opposite remedies.
#
# The first kind is noise. The weights rattle around the bottom, because the steps are too long for them to settle. A
# parabola is enough to see it: curvature 1, and to every gradient we add a random number of deviation 1, as a batch
# would. 2,000 weights walk side by side; after 100 steps the rate falls from 0.5 to 0.05.
#
# > **Predict.** Sketch the mean loss over 200 steps. Does it reach the bottom before the cut? What does the cut do?

# %%
generator = torch.Generator().manual_seed(0)
w = torch.full((2_000,), 3.0)
seen = []
for step in range(200):
    seen.append(w**2 / 2)
    rate = 0.5 if step < 100 else 0.05
    w = w - rate * (w + torch.randn(2_000, generator=generator))
walks = torch.stack(seen)  # losses [200 steps, 2000 weights]

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
ax.plot(walks[:, 0], color="0.7", label="one of them")
ax.plot(walks.mean(dim=1), color="C0", label="mean of 2,000")
ax.axvline(100, color="gray", linestyle=":")
ax.text(102, 0.9, "rate cut to a tenth", color="gray")
ax.set(xlabel="step", ylabel="loss", ylim=(-0.05, 1))
ax.set_title("The height of a noisy plateau depends on the rate")
label_lines(ax)
plt.show()

# %% tolerance={"rtol": 0.03}
high, low = walks[50:100].mean().item(), walks[-20:].mean().item()
print(f"plateau at rate 0.5: {high:.3f}, after the cut: {low:.3f}")
for rate, level in ((0.5, high), (0.05, low)):
    assert abs(level / (rate / (2 - rate) / 2) - 1) < 0.15, "see the formula below"
assert high > 8 * low


# %% [markdown]
# **What happened.** The loss falls fast and then stays where it is, at every rate on a level of its own. (For this
# parabola the level is $\eta / (2 (2 - \eta))$: about proportional to the rate.) No patience helps, a lower rate does so
# at once. Published training curves often look like a staircase: each stair is a cut of the rate. And it is one reason
# why cosine and OneCycle came out ahead at the high peak.
#
# The second kind is flatness. Two weights in a row, $f(a, b) = \tfrac12 (1 - ab)^2$, is the smallest deep network. At
# $a = b = 0$ its gradient is zero, and near there it is small: a **saddle**, as on day 9. We start close to it, once
# with a constant rate, and once under `ReduceLROnPlateau`, PyTorch's scheduler that cuts the rate to a tenth when the
# loss has not become lower by 1 % of itself for more than `patience` epochs. (One step is an epoch here.)
#
# > **Predict.** The loss looks flat for a long time. What will the scheduler do, and what comes of it?

# %%
def two_in_a_row(reduce, rate=0.1, steps=100):
    """Losses and rates of gradient descent on (1 - a b)^2 / 2, from a = b = 0.01."""
    w = nn.Parameter(torch.tensor([0.01, 0.01]))
    optimizer = torch.optim.SGD([w], lr=rate)
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=10, threshold=0.01
    )
    losses, rates = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (1 - w.prod()) ** 2 / 2
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        if reduce:
            scheduler.step(loss.item())
    return losses, rates


# %%
constant_loss, _ = two_in_a_row(reduce=False)
reduced_loss, reduced_rates = two_in_a_row(reduce=True)
cut = next(step for step, rate in enumerate(reduced_rates) if rate < 0.1)
print(f"first cut at step {cut}; the last rate is {reduced_rates[-1]:.0e}")
print(f"loss at the end: {constant_loss[-1]:.4f} constant,"
      f" {reduced_loss[-1]:.4f} reduced")
assert constant_loss[-1] < 0.01 and reduced_loss[-1] > 0.45
fig, ax = plt.subplots(figsize=(7, 3))
ax.plot(constant_loss, label="constant rate")
ax.plot(reduced_loss, label="cut on a plateau")
ax.axvline(cut, color="gray", linestyle=":")
ax.text(cut + 1, 0.05, "first cut", color="gray")
ax.set(xlabel="step", ylabel="loss")
ax.set_title("On a saddle, a lower rate is the wrong remedy")
label_lines(ax)
plt.show()


# %% [markdown]
# **What happened.** This plateau was a saddle, and patience alone would have crossed it. The scheduler saw a flat curve,
# did what it is for, and with each cut the escape took ten times longer.
#
# On a plot of means both kinds look alike. Tell them apart by their *roughness*: on a noisy plateau a single run jitters
# (the grey line above), on a flat one it is smooth. Or try it: keep a copy of the weights, go on with both rates, and see
# which loss falls.
#
# ### Exercise: a rate that goes down on a plateau ★★★
#
# `plateau_rates(losses, rate, factor, patience)` gets the validation losses of a run, one per epoch, and returns a
# list of the same length: the rate that each epoch *used*. The first epoch uses `rate`. After an epoch, look at its
# loss: is it *lower* than the lowest before it (the first one always counts as lower), then the count of bad epochs
# goes back to 0; otherwise the count goes up by one. If the count is now *greater than* `patience`, multiply the rate
# by `factor`, from the next epoch on, and set the count back to 0. So `patience` bad epochs in a row are forgiven,
# and the one after them is not. With losses `[3, 2, 2, 2, 2, 1]`, rate 1.0, factor 0.1 and patience 1 the rates are
# `[1, 1, 1, 1, 0.1, 0.1]`.

# %%
def plateau_rates(losses, rate, factor=0.1, patience=2):
    """The rate that each epoch used, lowered whenever `patience` was exceeded."""
    ...  # your code here


check("day10.plateau_rates", plateau_rates)

# %% [markdown]
# ## Recap
#
# - **The edge** is at 2 / curvature, and the most curved direction sets it. A network's curvature can be measured,
#   and it grows while the network learns.
# - **The range test** finds the order of magnitude in a hundred steps: nothing, falling, taking off. Take a tenth of
#   where it takes off.
# - **Schedules** are functions of the step; long steps first, short ones to settle. They forgive a peak that is too
#   high; beside a well-chosen constant rate, three epochs on these digits do not show a gain.
# - **Batch size, rate and epochs belong together.** Noise falls with the root of the batch size; the rate may grow
#   with it, up to the edge; a schedule has to know its end. A **plateau** may be noise (lower the rate) or flatness
#   (do not).
#
# ## What to try next
#
# - Give the network a second hidden layer and run the range test again. Does the edge move?
# - Repeat the comparison of recipes over ten epochs. Does the constant rate of 0.25 still keep up?
# - Replace `SGD` by Adam in `range_test`. Where is its edge, and what does that say about the rates in
#   other people's code?
#
# ## References
#
# - Smith (2017), *Cyclical learning rates for training neural networks*: the range test, and rates that swing.
# - Loshchilov, Hutter (2017), *SGDR: stochastic gradient descent with warm restarts*: the cosine.
# - Goyal and others (2017), *Accurate, large minibatch SGD: training ImageNet in 1 hour*: linear scaling and warm-up
#   hold up to batches of about 8,000 there.
# - Smith, Topin (2019), *Super-convergence: very fast training of neural networks using large learning rates*:
#   OneCycle.
# - Shallue and others (2019), *Measuring the effects of data parallelism on neural network training*: how far batch
#   size helps, for many networks; no scaling rule holds everywhere.
# - Cohen and others (2021), *Gradient descent on neural networks typically occurs at the edge of stability*:
#   curvature grows to 2 / rate.
# - Malladi and others (2022), *On the SDEs and scaling rules for adaptive gradient algorithms*: the root rule for Adam.
# - Hoffmann and others (2022), *Training compute-optimal large language models*: the schedule's length has to match
#   the run.
