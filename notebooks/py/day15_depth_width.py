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
# # Day 15: is deeper better than wider?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 6](day06_mlp_mnist.ipynb),
# and on the intervals of [day 14](day14_recap.ipynb).*
#
# You may spend 30,000 parameters. Do you buy one layer of 144 units, or eight layers of 51? "Deep learning" has the
# answer in its name, and today you find out whether your digits have heard of it. This is the first of seven days on
# which every choice of design is *measured*: one thing changes, everything else stays, several seeds, an interval.
#
# **By the end you can**
#
# - count what a network costs before you build it, and find the width that a budget allows;
# - measure a choice with `sweep` and `effects`, knowing what both compute;
# - tell a network that is too small from one that has seen too little, and both from one that does not train;
# - say what depth and a bottleneck buy, and what depth costs when nothing helps it.
#
# [← Day 14: which of these findings still stand?](day14_recap.ipynb) ·
# [Day 16: where should a network start? →](day16_init_norm.ipynb)

# %%
import itertools
import math
import time

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP, count_parameters
from nnlab_helpers.plots import (
    PALETTE, label_lines, plot_band, plot_effects, show_images, use_style)
from nnlab_helpers.sweep import cache_folder, effects, sweep

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first
#
# Many small runs say more than one large one, so there are few digits today: 1,000 to train on, 2,000 others to
# validate. And they are made half as large. That saves time, and it is fairer to depth: with 784 inputs most of a
# small budget would go into the first layer, whatever comes after it.

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
small = digits.take(order[:3_000]).resize(14)
train_rows, val_rows = torch.arange(3_000).split([1_000, 2_000])
normalize = Normalize.from_images(small, train_rows)
some = small.take(train_rows[:10])
show_images(some.images, some.labels.tolist(), title="Ten of today's 1,000 digits")
plt.show()


# %%
def whole(rows):
    """The digits at `rows` as one batch: images [N, 1, 14, 14], labels [N]."""
    loader = TensorLoader(
        small, rows, batch_size=len(rows), normalize=normalize, device=device)
    return next(iter(loader))


train_x, train_y = whole(train_rows)
val_x, val_y = whole(val_rows)
print("training:", list(train_x.shape), " validation:", list(val_x.shape))


# %% [markdown]
# ## What does a network cost?
#
# **Depth** is the number of hidden layers, **width** the number of units in each. The plainest price is the number of
# parameters: each unit has a weight for everything that comes in, and a bias.

# %%
def parameters(width, depth, inputs=196, outputs=10):
    """Parameters of an MLP with `depth` hidden layers of `width` units each."""
    first = (inputs + 1) * width
    between = (depth - 1) * (width + 1) * width
    return first + between + (width + 1) * outputs


for width, depth in itertools.product((1, 16, 100), (1, 2, 5)):
    built = MLP(196, [width] * depth, 10)
    assert parameters(width, depth) == count_parameters(built)
print("the formula counts as PyTorch does")

# %% [markdown]
# > **Predict.** A network has two hidden layers of 100 units. You may double its width or double its depth. Which of
# > the two costs more parameters? Write down a factor for each.

# %%
now = parameters(100, 2)
wider, deeper = parameters(200, 2), parameters(100, 4)
print(f"now {now:,}   twice as wide {wider:,}   twice as deep {deeper:,}")
print(f"factors: {wider / now:.2f} and {deeper / now:.2f}")
assert wider / now > 2.5 and deeper / now < 1.8


# %% [markdown]
# **What happened.** Width is the expensive one. Between two hidden layers *both* ends become twice as wide, so that
# part of the count grows by a factor of four; only the first and the last layer merely double. Depth adds layers of the
# same price, and leaves the first one, often the largest, alone.
#
# The other price is work. To read one image, each weight is used once, in one multiplication and one addition: a
# **multiply-add**. A bias is only added. So networks of equal budget do nearly equal work, whatever their shape. (In a
# convolution each weight is used at many places. There the two prices part.)
#
# ### Exercise: two prices ★☆☆
#
# `mlp_size(sizes)` gets the sizes of an MLP from input to output, a list of at least two whole numbers such as `[784,
# 64, 10]`; the layers need not be equally wide. Return the pair `(parameters, multiply_adds)`: all weights and biases,
# and the multiply-adds for one image. For `[784, 64, 10]` that is `(50890, 50816)`. Do it with arithmetic, without
# building a network: for large ones this must be free. (`hint("day15.mlp_size")` gives a nudge, and a stronger one each
# time.)

# %%
def mlp_size(sizes):
    """(parameters, multiply-adds for one image) of an MLP with these layer sizes."""
    ...  # your code here


check("day15.mlp_size", mlp_size)


# %% [markdown]
# ## A sweep, in the open
#
# Now the tool of this week. A **run** is a function: it gets a configuration (a dict of choices) and a seed, trains one
# network, and returns numbers. Everything that it does by chance follows from the seed. Ours
# trains on a hundred batches of a hundred digits with Adam, in the loop of day 6 without its bookkeeping, and then asks
# two questions. (The rate was chosen in a few tries so that deep networks do well, too.)

# %%
def learn(model, digits=1_000, steps=100, rate=0.005, batch=100):
    """Train `model` on the first `digits` training digits."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    passes = math.ceil(steps * batch / digits)
    order = torch.cat([torch.randperm(digits) for _ in range(passes)]).to(device)
    for rows in order.split(batch)[:steps]:
        optimizer.zero_grad()
        F.cross_entropy(model(train_x[rows]), train_y[rows]).backward()
        optimizer.step()


@torch.no_grad()
def scores(model, digits=1_000):
    """Percent read right, of the digits it was trained on and of new ones."""
    parts = {"training": (train_x[:digits], train_y[:digits]),
             "validation": (val_x, val_y)}
    return {name: 100 * (model(x).argmax(1) == y).float().mean().item()
            for name, (x, y) in parts.items()}


def run_width(config, seed):
    """One hidden layer of config["width"] units, and config["digits"] digits."""
    model = MLP(196, [config["width"]]).to(device)
    learn(model, config["digits"])
    return scores(model, config["digits"])


# %% [markdown]
# What is varied is called a **factor** (the width, say), its values are **levels** (8, 32). A **grid** is a dict from
# factors to lists of levels; it stands for all combinations. A sweep runs each of them with each seed, and keeps a
# table with a row for each run. That is all:

# %%
def tiny_sweep(run, grid, seeds):
    """A row for each combination of `grid` and each seed."""
    rows = []
    for values in itertools.product(*grid.values()):
        config = dict(zip(grid, values))
        for seed in seeds:
            seed_everything(seed)
            rows.append({**config, "seed": seed, **run(config, seed)})
    return pd.DataFrame(rows)


# %% tolerance={"rtol": 0.03}
two_widths = {"width": [8, 32], "digits": [1_000]}
ours = tiny_sweep(run_width, two_widths, seeds=range(4))
print(ours.round(1).to_string(index=False))

# %% [markdown]
# Which choice is better, and by how much? Day 14 had the method: runs of the same seed are a pair, and we look at the
# differences. Seeds as rows, widths as columns, subtract:

# %% tolerance={"atol": 0.25, "rtol": 0.03}
by_seed = ours.pivot(index="seed", columns="width", values="validation")
gain = by_seed[32] - by_seed[8]  # a difference for each seed
T95 = 3.182  # Student's factor for four differences
reach = T95 * gain.std() / math.sqrt(len(gain))
print("differences:", gain.round(1).tolist())
print(f"32 units instead of 8: {gain.mean():+.1f} points,"
      f" from {gain.mean() - reach:+.1f} to {gain.mean() + reach:+.1f}")

# %% [markdown]
# Such a mean difference is called the **effect** of a choice, here of 32 units against the **baseline** of 8. The
# package's `effects` computes the same number and the same interval, for every factor in a table at once. It also says
# how many pairs of runs it compared, and how many seeds they came from.

# %%
theirs = effects(ours, "validation", baseline={"width": 8})
row = theirs.iloc[0]
print(theirs[["factor", "level", "baseline", "seeds", "pairs"]].to_string(index=False))
expected = (gain.mean(), gain.mean() - reach, gain.mean() + reach)
for name, value in zip(("difference", "low", "high"), expected, strict=True):
    assert math.isclose(row[name], value, abs_tol=0.01)

# %% [markdown]
# The package's `sweep` is the loop above with three things that you miss as soon as sweeps get long. It shows how much
# time is left. A run that raises an error becomes a row with that error, and the others go on. And it keeps a
# **cache**: each finished run is written to a file, under its configuration, its seed and the *code* that made it. Call
# the same sweep again and nothing is trained. Change `learn` by one number and everything is. (The course ships the runs
# of its own sweeps. With the same Python and PyTorch even your first call may find them all; your own ideas it has to
# run.)

# %%
cache = cache_folder("day15_width")
first = sweep(run_width, two_widths, seeds=range(4), cache=cache, n_jobs=1)
again = sweep(run_width, two_widths, seeds=range(4), cache=cache, n_jobs=1)
same = ours.columns
pd.testing.assert_frame_equal(first[same], ours, rtol=0.03)
pd.testing.assert_frame_equal(again[same], first[same])
print("the second time, all from the cache:", bool(again["cached"].all()))
assert again["cached"].all()


# %% [markdown]
# (`n_jobs=1` runs one after the other. With more, the runs are spread over processes; that pays when the sweep takes
# minutes.)
#
# ### Exercise: an effect in a grid ★★★
#
# With several factors, a pair of runs must agree in *everything* else. `effect(rows, factor, level, baseline, t95)`
# gets `rows`, a list of dicts, one a run: some factors, then `"seed"` and `"score"`, all dicts with the same keys.
#
# For each run with `row[factor] == level`, find the run with `row[factor] == baseline` that agrees with it in the seed
# and in all other factors (there is at most one; without one, the run is left out). The difference is score minus score
# of the baseline. Runs of one seed belong together, so first average the differences of each seed; then return `(mean,
# low, high)` over the seeds: mean ± `t95[n]` × standard deviation / $\sqrt n$, with $n$ the number of seeds that have a
# pair (at least two), and $n - 1$ in the denominator of the standard deviation.
#
# With the scores 0.5 and 0.7 for widths 8 and 16 at seed 0, 0.6 and 0.7 at seed 1, and `t95 = {2: 12.7}`, the
# differences are 0.2 and 0.1 and the answer is about `(0.15, -0.485, 0.785)`. (Two seeds are few.)

# %%
def effect(rows, factor, level, baseline, t95):
    """(mean, low, high) of what `level` instead of `baseline` does to the score."""
    ...  # your code here


check("day15.effect", effect)

# %% [markdown]
# ## Too small, or too few digits?
#
# There are two well-known ways to fail; the end of the day adds a third. If even the digits that it was trained on are
# misread, a network **underfits**: it is too small, or was not trained enough. If it knows those by heart and misreads
# new ones, it **overfits**: what it has learned is partly about these digits and no others. The room that a network has
# for learning is called its **capacity**, and width gives capacity. We sweep it: four widths, each with 100 digits and
# with 1,000. All train for a hundred batches of a hundred, so each of 100 digits is seen a hundred times, each of 1,000
# ten times.
#
# > **Predict.** With 256 units there are 530 parameters for each of 100 digits. Will that network read new digits
# > *worse* than one of 32 units? Sketch both curves, training and validation, from 2 units to 256.

# %%
widths = {"width": [2, 8, 32, 256], "digits": [100, 1_000]}
shapes = sweep(run_width, widths, seeds=range(4), cache=cache, n_jobs=1)


# %%
def runs(frame, metric, choice):
    """Results as [seeds, levels of `choice`]."""
    return frame.pivot(index="seed", columns=choice, values=metric).to_numpy()


fig, axes = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
for ax, (digits, part) in zip(axes, shapes.groupby("digits"), strict=True):
    for metric in ("training", "validation"):
        plot_band(ax, widths["width"], runs(part, metric, "width"), metric, marker="o")
    ax.set(xscale="log", xlim=(1.6, 2_500), xlabel="units (log scale)", ylim=(0, 105))
    ax.set_xticks(widths["width"], widths["width"])
    ax.tick_params(which="minor", bottom=False)
    ax.set_title(f"{digits:,} digits", fontsize=11)
    label_lines(ax)
axes[0].set_ylabel("digits read right (%)")
fig.suptitle("Wider is not worse, even when all is known by heart",
             fontweight="bold", x=0.01, ha="left")
plt.show()

# %% tolerance={"rtol": 0.03}
table = shapes.groupby(["digits", "width"])[["training", "validation"]].mean()
table["gap"] = table["training"] - table["validation"]
print(table.round(1).to_string())
assert table["gap"][1_000, 2] < 5 and table["training"][1_000, 2] < 60  # underfits
assert table["training"][100, 256] > 98 and table["gap"][100, 256] > 15  # overfits
for digits in (100, 1_000):
    assert table["validation"][digits, 256] > table["validation"][digits, 32] - 0.5

# %% [markdown]
# **What happened.** Look at 1,000 digits and two units: training and validation are low *together*, with next to no gap
# between them. That is underfitting. Now 100 digits and 256 units: all of them are known by heart, and many new ones
# misread. That is overfitting, and the cure that suggests itself is a smaller network. But from 256 units back to 32
# the validation curve does not rise. A network that *can* learn everything by heart need not be a worse reader for it.
#
# Textbooks used to draw a validation curve here that falls again on the right. Belkin and others (2019) found more: it
# may fall near the width at which the training set can just be learned by heart, and rise *again* beyond it. Our runs
# show no such dip. That does not say there is none: it shows best with wrong labels and very long training, and we
# looked at four widths.
#
# What does help? The effects answer, with 32 units and 100 digits as the baseline:

# %% tolerance={"atol": 0.25, "rtol": 0.03}
base = {"width": 32, "digits": 100}
which = effects(shapes, "validation", baseline=base)
print(which.drop(columns="baseline").round(1).to_string(index=False))
plot_effects(which, unit="digits read right (points)")
plt.title("Ten times the digits help more than eight times the units")
plt.show()
difference = which.set_index(["factor", "level"])["difference"]
assert difference["digits", 1_000] > difference["width", 256] + 2
assert which["low"].iloc[-1] > 0 and difference["width", 2] < -20

# %% [markdown]
# (Read a row as "256 units, not 32".) One warning about such a picture. The effect of the digits is an average over the
# four widths. Take it apart:

# %% tolerance={"rtol": 0.03}
few, many = (part for _, part in shapes.groupby("digits"))
more = runs(many, "validation", "width") - runs(few, "validation", "width")
for width, gain in zip(widths["width"], more.T, strict=True):
    print(f"{width:3} units: {gain.mean():+5.1f} points with ten times the digits")
assert more[:, 2:].min() > 10 > more[:, 0].mean() + 1


# %% [markdown]
# Two units make far less of 900 more digits than 32 units do. When the effect of one choice depends on
# another, the two **interact**, and an average hides it. That gives the rule of thumb of this section: **a network that
# underfits wants capacity (or more training), a network that overfits wants data.** Day 17 looks at what to do when
# there is no more data to be had.
#
# ## The same budget, deeper
#
# Now the question of the day. To be fair, every network gets the same budget of 30,000 parameters. The deeper it is,
# the narrower it has to be. How narrow? Try widths until the next one no longer fits. (Each linear layer is one product
# of matrices, and each waits for the one before. The last column counts them.)

# %%
def width_for_budget(budget, depth, inputs=196, outputs=10):
    """The largest width at which an MLP of this depth stays within the budget."""
    width = 1
    while parameters(width + 1, depth, inputs, outputs) <= budget:
        width += 1
    return width


BUDGET = 30_000
print("depth  width  parameters  products in a row")
for depth in (1, 2, 4, 8):
    width = width_for_budget(BUDGET, depth)
    print(f"{depth:5}  {width:5}  {parameters(width, depth):10,}  {depth + 1:10}")
    assert parameters(width, depth) <= BUDGET < parameters(width + 1, depth)
assert [width_for_budget(BUDGET, depth) for depth in (1, 8)] == [144, 51]


# %% [markdown]
# The package has this as `nnlab_helpers.models.width_for_budget`; it solves the quadratic equation instead of
# searching.
#
# ### Exercise: a pyramid within a budget ★★☆
#
# Many networks become narrower towards the end. In a **pyramid** of depth $d$ and base $w$ the hidden layers have $w$,
# $\lfloor w/2 \rfloor$, $\lfloor w/4 \rfloor$, ... units, each half of the one before, rounded down. `pyramid(budget,
# depth, inputs, outputs)` returns the list of the hidden widths of the largest pyramid that has *at most* `budget`
# parameters, weights and biases counted. Every layer needs at least one unit; if even the smallest pyramid of this
# depth is too expensive, raise a `ValueError`. For `pyramid(100, 2, 4, 3)` it is `[9, 4]`, which takes exactly 100.

# %%
def pyramid(budget, depth, inputs, outputs):
    """Hidden widths [w, w // 2, w // 4, ...] of the largest pyramid in the budget."""
    ...  # your code here


check("day15.pyramid", pyramid)


# %% [markdown]
# > **Predict.** Depths 1, 2, 4 and 8, all of (nearly) 30,000 parameters, a hundred steps each. Put them in order, best
# > first. Then a harder one: does the last of your list read its *training* digits worse, too, than the first?

# %%
def run_depth(config, seed):
    """As deep as config says, as wide as the budget allows."""
    width = width_for_budget(BUDGET, config["depth"])
    model = MLP(196, [width] * config["depth"]).to(device)
    started = time.process_time()
    learn(model, steps=config["steps"])
    per_step = 1_000 * (time.process_time() - started) / config["steps"]
    return scores(model) | {"ms_per_step": per_step}


depths, cache = [1, 2, 4, 8], cache_folder("day15_depth")
grid = {"depth": depths, "steps": [100]}
deep = sweep(run_depth, grid, seeds=range(6), cache=cache, n_jobs=1)

# %% tolerance={"atol": 4.0, "rtol": 0.03}
print(deep.groupby("depth")[["training", "validation"]].mean().round(1))
by_depth = effects(deep, "validation", baseline={"depth": 1})
shown = ["factor", "level", "difference", "low", "high"]
print(by_depth[shown].round(1).to_string(index=False))
low, high = by_depth["low"].to_numpy(), by_depth["high"].to_numpy()
assert low[0] < 0 < high[0], "one layer or two: these runs do not decide"
assert high[2] < -5 and by_depth["difference"][1] < -0.3

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.2), width_ratios=[1.15, 1])
for metric in ("training", "validation"):
    plot_band(left, depths, runs(deep, metric, "depth"), metric, marker="o")
left.set(xscale="log", xlim=(0.9, 30), xlabel="hidden layers (log scale)")
left.set(ylabel="digits read right (%)")
left.set_xticks(depths, depths)
left.tick_params(which="minor", bottom=False)
label_lines(left)
plot_effects(by_depth, right, unit="points")
right.set_yticks([0, -1, -2], [f"{depth} layers" for depth in depths[1:]])
right.set_xlabel("validation: points against one layer")
fig.suptitle("Equal budgets: one or two layers lead, eight fall behind",
             fontweight="bold", x=0.01, ha="left")
assert (runs(deep, "training", "depth")[:, 3] < 95).all()
plt.show()

# %% [markdown]
# **What happened.** Between one layer and two these runs **do not decide**: the interval holds zero. With four layers
# the mean is a little lower; its interval tells how sure that is. Eight layers are clearly worse. And the left panel
# says how: the *training* accuracy falls as well. So this is not overfitting. The deep network has as many parameters,
# and does not get them to work in a hundred steps. It underfits without being small.
#
# ### A fairer test
#
# Perhaps it only needs more time. We give eight layers twice the steps, and compare with one layer that had no
# such favour.
#
# > **Predict.** Does the deep network catch up on its training digits? On new ones?

# %% tolerance={"rtol": 0.05}
slow = {"depth": [8], "steps": [200]}
patient = sweep(run_depth, slow, seeds=range(6), cache=cache, n_jobs=1)
shallow = deep[deep["depth"] == 1].reset_index(drop=True)
for metric in ("training", "validation"):
    print(f"{metric:10}: {shallow[metric].mean():.1f} % with one layer,"
          f" {patient[metric].mean():.1f} % with eight and twice the steps")
eight = deep[deep["depth"] == 8]
assert patient["training"].mean() > eight["training"].mean() + 5
behind = shallow["validation"] - patient["validation"]
assert (behind > 1).all()

# %% [markdown]
# **What happened.** With patience the deep network learns most of its training digits. On new digits it stays behind
# with each of the six seeds, at nearly twice the work. More tests of this kind are possible: another rate (it waits
# for you below), another start (day 16). For now the honest sentence is: *these* digits, *this* start, nothing to
# help: then one or two wide layers are enough, and eight narrow ones are worse.
#
# And the work? The multiply-adds are nearly equal. Time is another matter. (Remember the last column of the table of
# widths. Runs that came with the course tell of the machine that made them.)

# %% tags=["nbval-ignore-output"] why="timings differ from run to run"
milliseconds = deep.groupby("depth")["ms_per_step"].median()
for depth, ms in milliseconds.items():
    weights = parameters(width_for_budget(BUDGET, depth), depth)
    print(f"depth {depth}: {weights:,} parameters, {ms:.2f} ms of CPU time a step")


# %% [markdown]
# Layers have to wait for each other: nine products in a row of small matrices keep a machine busier with fetching
# and carrying than two products of larger ones. Nobody can compute layer 5 before layer 4. Width can be spread over
# the cores of a processor, depth cannot.
#
# ## What depth is good for
#
# So why does anybody build deep networks? Because of what they *can* express. Here is the plainest case. Two ReLU units
# fold the line from 0 to 1 in half, like a strip of paper:
#
# $$T(x) = 2\,\mathrm{relu}(x) - 4\,\mathrm{relu}(x - \tfrac12),$$
#
# which rises from 0 to 1 and falls back to 0. The next layer folds the folded strip: both of its units receive
# $T(x)$, by the weights 2 and -4, and their biases, 0 and $-\tfrac12$, begin the next fold.

# %%
@torch.no_grad()
def folder(depth):
    """An MLP of width 2 that folds the line from 0 to 1 `depth` times."""
    model = MLP(1, [2] * depth, 1)
    linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    for layer in linear[1:]:
        layer.weight.copy_(torch.tensor([[2.0, -4.0]]).expand_as(layer.weight))
    linear[0].weight.fill_(1.0)
    for layer in linear[:-1]:
        layer.bias.copy_(torch.tensor([0.0, -0.5]))
    linear[-1].bias.zero_()
    return model


# %% [markdown]
# > **Predict.** How many straight pieces does the network draw at depths 1, 3 and 6? And one hidden layer that is to
# > draw the same as depth 6: how many units does it need?

# %%
line = torch.linspace(0, 1, 1025)[:, None]  # [1025, 1], steps of 1/1024


@torch.no_grad()
def pieces(model):
    """How many straight pieces `model` draws between 0 and 1."""
    slopes = model(line)[:, 0].diff() * 1024
    return 1 + (slopes.diff().abs() > 0.1).sum().item()


fig, axes = plt.subplots(1, 3, figsize=(7, 2.4), sharey=True)
for ax, depth in zip(axes, (1, 3, 6), strict=True):
    ax.plot(line, folder(depth)(line).detach(), linewidth=1.2)
    ax.set(xlabel="$x$", xticks=[0, 0.5, 1])
    name = f"{depth} layer{'s' * (depth > 1)}"
    ax.set_title(f"{name}: {pieces(folder(depth))} pieces", fontsize=11)
fig.suptitle("Each layer of two units doubles the pieces",
             fontweight="bold", x=0.01, ha="left")
assert [pieces(folder(depth)) for depth in (1, 2, 3, 6, 10)] == [2, 4, 8, 64, 1_024]
plt.show()


# %% [markdown]
# In *one* hidden layer each unit adds one corner to the line, where its ReLU switches on. So 64 pieces need 64 units:
# one to begin, 63 for the corners. Here they are, set by hand too:

# %%
@torch.no_grad()
def wide(count):
    """One hidden layer that draws a zigzag of `count` pieces between 0 and 1."""
    model = MLP(1, [count], 1)
    first, last = model.layers[1], model.layers[3]  # 0 flattens, 2 is the ReLU
    first.weight.fill_(1.0)
    first.bias.copy_(-torch.arange(count) / count)  # unit k switches on at k / count
    turns = torch.where(torch.arange(count) % 2 == 0, 2.0 * count, -2.0 * count)
    turns[0] = count
    last.weight.copy_(turns[None])
    last.bias.zero_()
    return model


torch.testing.assert_close(wide(64)(line), folder(6)(line), atol=1e-3, rtol=0)
print(f"the same zigzag: {count_parameters(folder(6))} parameters in six layers of two,"
      f" {count_parameters(wide(64))} in one of 64")
assert count_parameters(wide(64)) > 5 * count_parameters(folder(6))
assert count_parameters(wide(1024)) > 50 * count_parameters(folder(10))


# %% [markdown]
# **What happened.** Each layer folds what the others have folded, and the pieces double: ten layers of two units
# draw 1,024. Side by side, a unit can only add. That is Telgarsky's (2016) argument, and it is a fact about what
# networks *can* express. It says nothing about digits (are they folded a thousand times?), and nothing about whether
# training *finds* such weights. The sweep above was about that.
#
# ## Bottlenecks
#
# Width can also be missing in one place. We put a layer of $k$ units into the middle, without an activation: everything
# that the network knows about a digit has to pass through $k$ numbers. That is a **bottleneck**.

# %%
class Bottleneck(nn.Module):
    """Digits [N, 1, 14, 14] squeezed to `k` numbers [N, k], and logits from those."""

    def __init__(self, k, hidden=64):
        super().__init__()
        self.squeeze = nn.Sequential(
            nn.Flatten(), nn.Linear(196, hidden), nn.ReLU(), nn.Linear(hidden, k))
        self.read = nn.Sequential(
            nn.Linear(k, hidden), nn.ReLU(), nn.Linear(hidden, 10))

    def forward(self, x):
        return self.read(self.squeeze(x))


# %% [markdown]
# > **Predict.** Ten digits. How many numbers must the bottleneck have until you no longer notice it: 1, 2, 4, 8? And
# > what can a single number do? (We compare with 64, as many as the layers beside it have: that is no bottleneck.)

# %%
def run_middle(config, seed):
    """A bottleneck of config["middle"] numbers."""
    model = Bottleneck(config["middle"]).to(device)
    learn(model)
    return scores(model)


middles = [1, 2, 4, 8, 64]
squeezed_runs = sweep(run_middle, {"middle": middles}, seeds=range(3),
                      cache=cache_folder("day15_middle"), n_jobs=1)

# %% tolerance={"atol": 0.5, "rtol": 0.25}
means = squeezed_runs.groupby("middle")[["training", "validation"]].mean()
means["gap"] = means["training"] - means["validation"]
print(means.round(1))
by_middle = effects(squeezed_runs, "validation", baseline={"middle": 64})
print(by_middle[shown].round(1).to_string(index=False))
lost = by_middle.set_index("level")["difference"]
assert lost[1] < -15 and lost[1] < lost[2] < -4 and lost[2] < lost[4] < lost[8] + 2
assert means["validation"][1] > 35
assert means["gap"][[1, 2, 4]].mean() > means["gap"][64] / 2

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
for metric in ("training", "validation"):
    plot_band(ax, middles, runs(squeezed_runs, metric, "middle"), metric, marker="o")
ax.axhline(10, color="gray", linestyle=":")
ax.text(64, 11, "guessing", color="gray", ha="right", va="bottom")
ax.set(xscale="log", xlabel="numbers in the middle (log scale)", ylim=(0, 105))
ax.set_ylabel("digits read right (%)")
ax.set_xticks(middles, middles)
ax.tick_params(which="minor", bottom=False)
ax.set_title("Eight numbers are nearly enough to tell ten digits apart")
label_lines(ax)
plt.show()
assert lost[8] > -5

# %% [markdown]
# **What happened.** A few numbers go a long way. Even a single one reads far more than guessing, though all ten digits
# have to line up on it. And look at the gap: with few numbers it is not much smaller than with many. A bottleneck takes
# away capacity, and yet it was no remedy for overfitting here. Whether eight numbers still cost anything is for the
# last interval above to say.
#
# Two numbers have a charm of their own: you can look at everything the network knows. We train one such network for
# three times as long. Each mark below is a new digit at the place where the bottleneck puts it, and each colour is a
# region that the second half reads as one class.

# %%
seed_everything(0)
plane = Bottleneck(2).to(device)
learn(plane, steps=300)
with torch.no_grad():
    places = plane.squeeze(val_x[:300]).cpu()  # [300, 2]
    low, high = places.quantile(0.01, dim=0) - 1, places.quantile(0.99, dim=0) + 1
    across, up = (torch.linspace(low[i], high[i], 200) for i in (0, 1))
    mesh = torch.stack(torch.meshgrid(across, up, indexing="xy"), dim=-1)
    region = plane.read(mesh.to(device)).argmax(-1).cpu()  # [200, 200]

# %%
COLOURS = [*PALETTE[:6], "0.35", PALETTE[7], "#882255", "#117733"]
fig, ax = plt.subplots(figsize=(7, 5.4))
ax.pcolormesh(across, up, region, alpha=0.25, vmin=-0.5, vmax=9.5,
              cmap=plt.matplotlib.colors.ListedColormap(COLOURS))
for place, label in zip(places.tolist(), val_y[:300].tolist(), strict=True):
    ax.text(*place, label, fontsize=9, ha="center", va="center", clip_on=True,
            color="0.2" if label in (6, 7) else COLOURS[label])
ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
ax.set(xlabel="first number in the middle", ylabel="second number")
ax.set_title("Squeezed to two numbers, ten digits still find ten regions")
ax.grid(False)
plt.show()
assert scores(plane)["validation"] > 70 and len(region.unique()) == 10

# %% [markdown]
# Each digit has a region of its own. Most of them are slices that run from the middle outwards, and that has a reason:
# far away from the middle the biases no longer matter, and twice as far means logits twice as large. So only the
# *direction* decides there. Now look for marks that stand in a region of another colour: which digits are their
# neighbours?

# %%
turn = torch.linspace(0, 2 * math.pi, 1_000)
directions = torch.stack([turn.cos(), turn.sin()], dim=1).to(device)  # [1000, 2]
with torch.no_grad():
    near, far = (plane.read(r * directions).argmax(1) for r in (1_000, 2_000))
agree = 100 * (near == far).float().mean().item()
print(f"twice as far away, the same class in {agree:.1f} % of the directions")
assert agree > 97


# %% [markdown]
# ### Exercise: squeeze a trained layer ★★☆
#
# A bottleneck also saves. Two linear layers in a row without an activation, from $n$ to $k$ and from $k$ to $m$, are
# *one* linear map, whose matrix has **rank** at most $k$. They cost $k (n + m)$ weights instead of $n m$.
#
# `squeezed(layer, rank)` gets an `nn.Linear` and a `rank` of at least 1 and at most the smaller of its two sizes.
# Return an `nn.Sequential` of two `nn.Linear`: the first without a bias, from the layer's inputs to `rank`; the second
# from `rank` to its outputs, with a copy of the layer's bias (it has one). Multiplied, their weights must be the matrix
# of this rank that is nearest to the layer's weight (least sum of squared differences). Leave `layer` as it is.
# `torch.linalg.svd(W, full_matrices=False)` gives `U, S, Vh` with `W = U @ torch.diag(S) @ Vh` and `S` falling; the
# nearest matrix of rank $k$ keeps the first $k$ of them (Eckart and Young, 1936).

# %%
def squeezed(layer, rank):
    """Two linear layers, `rank` units between them, as near to `layer` as can be."""
    ...  # your code here


check("day15.squeezed", squeezed)


# %% [markdown]
# ## Break it on purpose: thirty layers
#
# Eight layers were slow to learn. Let us go on: thirty hidden layers of 64 units, as PyTorch starts them, and nothing
# to help. (Day 3 broke ten layers with a sigmoid. These are ReLUs, which were the better choice there.) The network has
# far more parameters than any other today.
#
# > **Predict.** After forty steps, how many digits does it read right: of the new ones, and of those it was trained
# > on? Do three seeds agree?

# %%
def run_plain(config, seed):
    """Layers of 64 units, as many as config says; nothing to help."""
    model = MLP(196, [64] * config["depth"]).to(device)
    learn(model, steps=40)
    with torch.no_grad():
        answers = model(val_x).argmax(1)
    return scores(model) | {"different_answers": len(answers.unique())}


plain = sweep(run_plain, {"depth": [30]}, seeds=range(3),
              cache=cache_folder("day15_plain"), n_jobs=1)
print(plain[["seed", "training", "validation", "different_answers"]].round(1)
      .to_string(index=False))
often = 100 * train_y.bincount().max().item() / len(train_y)
print(f"most frequent training digit: {often:.1f} % of them")
assert parameters(64, 30) > 2 * max(BUDGET, parameters(256, 1)), "no lack of weights"
assert plain["training"].max() < often + 2 and (plain["different_answers"] == 1).all()


# %% [markdown]
# **What happened.** It gives *one* answer to 2,000 different digits, with each seed, and does no better than somebody
# who has not looked at them. Not even the training digits are read: this is neither too little capacity nor
# overfitting. The network **does not train**. (Forty steps are few. Give it ten times as many and see.)
#
# Where does it get stuck? We follow 1,000 digits through the untrained network and note two things at each layer: how
# large the activations are, and how much they *differ* from digit to digit. And on the way back, the gradient of each
# layer's weights.

# %%
def look_inside(depth, seed):
    """Size, difference between digits, and weight gradient by layer: 3 x [depth]."""
    seed_everything(seed)
    model = MLP(196, [64] * depth).to(device)
    h, size, differ = train_x, [], []
    for layer in model.layers:
        h = layer(h)
        if isinstance(layer, nn.ReLU):
            size.append(h.square().mean().sqrt().item())
            differ.append(h.std(dim=0).square().mean().sqrt().item())
    F.cross_entropy(h, train_y).backward()
    weights = [p for p in model.parameters() if p.dim() == 2]
    gradient = [w.grad.norm().item() for w in weights[:-1]]
    return torch.tensor([size, differ, gradient])


inside = torch.stack([look_inside(30, seed) for seed in range(3)])  # [3 seeds, 3, 30]

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4))
layers = torch.arange(1, 31)
plot_band(left, layers, inside[:, 0], "size")
plot_band(left, layers, inside[:, 1], "difference")
plot_band(right, layers, inside[:, 2], "_gradient", color="C2")
left.set(yscale="log", xlim=(1, 50), xlabel="layer", ylabel="activations")
right.set(yscale="log", xlabel="layer", ylabel="norm of the weights' gradient")
for ax in (left, right):
    ax.set_xticks([1, 10, 20, 30])
label_lines(left)
fig.suptitle("On the way in the digits become alike;"
             " on the way back almost nothing arrives",
             fontweight="bold", fontsize=11, x=0.01, ha="left")
plt.show()

# %% tolerance={"rtol": 0.03}
size, differ, gradient = inside[:, :, [0, 19]].unbind(dim=1)  # each [3, 2]
kept = (differ[:, 1] / differ[:, 0]) ** (1 / 19)
print(f"each layer keeps {kept.mean():.2f} of the difference between digits")
left_over = differ[:, 1].mean() / differ[:, 0].mean()
print(f"from the first layer to the twentieth {left_over:.0e} of it is left")
assert (size[:, 1] > 0.03).all() and (differ[:, 1] < 1e-5).all()
assert ((kept > 0.35) & (kept < 0.5)).all()
assert (inside[:, 2, 0] < 1e-8).all() and (inside[:, 2, -1] > 1e-4).all()

# %% [markdown]
# The last layers are not silent. Their *size* stays where it is, because every unit has a bias. But what comes out is
# the same for every digit: each layer lets through less than half of what distinguishes them. (Where the lower curve on
# the left becomes flat, nothing is left but the rounding of 32-bit numbers.) On the way back the gradient fades in the
# same manner, so the first layers are told nothing. Adam divides each gradient by its own size and makes up for a small
# one; but not below its $\epsilon$ of $10^{-8}$ (day 6).
#
# And yet thirty layers *could* do what one layer does: a ReLU leaves positive numbers as they are, so the layers that
# are too many could pass on what they get. The good weights exist, and training does not find them. That was the
# starting point of He and others (2016). Three remedies are on the way: a better start and normalisation (day 16), and
# a path around the layers (day 19).
#
# ### Exercise: what is wrong with it? ★☆☆
#
# Suppose that five MLPs were each trained on the same 1,000 digits, until nothing changed any more, and validated on
# 2,000 others. Guessing reads 10 in 100.
#
# | network | hidden layers | parameters | training (%) | validation (%) |
# |---|---|---|---|---|
# | A | 1 of 3 units | 631 | 52 | 51 |
# | B | 2 of 300 units | 152,410 | 100 | 88 |
# | C | 40 of 64 units | 175,498 | 11 | 12 |
# | D | 1 of 2,000 units | 414,010 | 100 | 89 |
# | E | 2 of 4 units | 858 | 64 | 61 |
#
# What should be tried *first* for each? Fill the dict with one of `"more units"`, `"more digits"` and `"help it train"`
# for each letter.

# %%
first_remedy = {
    "A": ...,
    "B": ...,
    "C": ...,
    "D": ...,
    "E": ...,
}

check("day15.first_remedy", first_remedy)

# %% [markdown]
# ## Recap
#
# - **Cost**: width is paid for twice (both ends of a matrix grow), depth once. Equal budgets mean nearly equal
#   multiply-adds, but layers wait for each other.
# - **Measuring**: a run, a grid, seeds, a table; an effect is a mean of paired differences with Student's interval. An
#   average over a grid can hide an interaction. An interval that holds zero decides nothing.
# - **Diagnosis**: training low, validation low: underfits, wants capacity. Training high, validation low: overfits,
#   wants data. Training near guessing in spite of many parameters: does not train, wants help.
# - **Depth and bottlenecks**: layers can fold what others folded, and a few numbers carry most of a digit. But on these
#   digits our runs could not tell two layers from one, eight were worse, and thirty did not train at all.
#
# ## What to try next
#
# - Run the depths with a budget of 300,000, with 5,000 digits and ten seeds (it takes minutes). Does the best depth
#   move? A larger run might well decide between one layer and two.
# - Give eight layers other rates, 0.001 and 0.01, with a factor `"rate"` in the grid. Do rate and depth interact?
# - Make a fifth of the training labels wrong, sweep the width in small steps around the one that learns them all by
#   heart, and train for 2,000 steps. Is there a dip?
# - Can training *find* the zigzag? Train an MLP of six layers of two units on points of `folder(6)`, and one of 64
#   units. Which comes nearer, and why?
#
# ## References
#
# - Telgarsky (2016), *Benefits of depth in neural networks*: functions that are cheap for deep networks and
#   exponentially expensive for shallow ones.
# - He, Zhang, Ren, Sun (2016), *Deep residual learning for image recognition*: plain deep networks train worse than
#   shallow ones, on the training set too.
# - Zhang, Bengio, Hardt, Recht, Vinyals (2017), *Understanding deep learning requires rethinking generalization*: large
#   networks learn even random labels by heart, and still read new images when the labels are right.
# - Belkin, Hsu, Ma, Mandal (2019), *Reconciling modern machine-learning practice and the classical bias-variance
#   trade-off*: validation gets worse and then better again as width grows.
# - Eckart, Young (1936), *The approximation of one matrix by another of lower rank*: cut off the smallest singular
#   values.
# - Hinton, Salakhutdinov (2006), *Reducing the dimensionality of data with neural networks*: digits through a
#   bottleneck of two numbers.
