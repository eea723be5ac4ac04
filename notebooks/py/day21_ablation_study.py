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
# # Day 21: which choice mattered most?
#
# *Reading: about 45 minutes. Running: under 90 seconds on two CPU cores. Builds on the whole of week 3, most on
# [day 15](day15_depth_width.ipynb), and on [day 14](day14_recap.ipynb) for its intervals.*
#
# For three weeks you have changed one thing at a time. But a network is never one choice: somebody who trains one picks
# an architecture, a width, an activation, a rate, a batch size and more, all at once, and each may depend on the
# others. Today ten choices of the course meet in one study. It takes 32 configurations where all combinations would be
# 1,024, and it finds a choice that does nothing on average and yet decides over good and bad.
#
# **By the end you can**
#
# - say why changing one thing at a time can miss the best network, and plan a few runs that do not;
# - read main effects and interactions from a screening design, each with its interval;
# - name what a design cannot tell apart, and settle it with a few runs more;
# - weigh accuracy against cost, confirm a choice on fresh seeds and digits, and ask whether it holds with more data.
#
# [← Day 20: can a network read an image like a sentence?](day20_sequences_attention.ipynb) · This is the last lesson
# for now.

# %%
import math
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from nnlab_helpers.augment import Shift
from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import (
    PALETTE, label_lines, plot_effects, plot_pareto, show_images, use_style)
from nnlab_helpers.sweep import (
    cache_folder, effects, interactions, main_effects, screening_design, sweep)
from nnlab_helpers.train import evaluate, fit

seed_everything(0)
device = pick_device()
use_style()
torch.set_num_threads(1)  # networks as small as today's are quicker with one

# %% [markdown]
# ## Look first
#
# The study trains on 5,000 digits, made half as large (14 x 14 pixels) so that some 200 runs fit into a minute. From
# the test set, 2,000 digits judge the study. Another 4,000 stay shut until a choice has been made.

# %%
train_set, test_set = load_images("mnist", "train"), load_images("mnist", "test")
everything = train_set.resize(14)
lot = torch.Generator().manual_seed(0)
few = everything.take(torch.randperm(60_000, generator=lot)[:5_000])
judge_rows, fresh_rows, _ = torch.randperm(10_000, generator=lot).split(
    [2_000, 4_000, 4_000])
judges = test_set.take(judge_rows).resize(14)
fresh = test_set.take(fresh_rows).resize(14)
normalize = Normalize.from_images(few)
show_images(few.images[:20], few.labels[:20].tolist(),
            title="Twenty of the 5,000 digits that the study trains on")
plt.show()

# %% [markdown]
# ## Ten choices, and what you believe
#
# Each choice is a **factor** with two **levels**, a low one and a high one. "Low" is the plainer of the two where there
# is an order at all. Rates need care: day 14 showed that a comparison of optimizers is one of rates in disguise,
# unless each has its own. So the factor *rate* multiplies a base rate that suits the optimizer, by a half or by two.

# %%
FACTORS = {  # name: (low level, high level)
    "architecture": ("MLP", "CNN"),
    "width": ("narrow", "wide"),
    "activation": ("tanh", "relu"),
    "norm": ("none", "batch"),
    "dropout": (0.0, 0.3),
    "optimizer": ("SGD", "Adam"),  # SGD with momentum 0.9
    "rate": (0.5, 2.0),  # times the optimizer's own base rate
    "batch": (50, 250),
    "init": ("default", "he"),
    "augment": ("none", "shift"),  # by up to one pixel
}
BASE_RATE = {"SGD": 0.1, "Adam": 0.01}
print(f"{len(FACTORS)} factors, {2 ** len(FACTORS):,} combinations")

# %% [markdown]
# Do 0.1 and 0.01 suit their optimizers? A small search, made outside this lesson, tried seven rates for each, with one
# seed that the study does not use, on the study's 16 configurations with that optimizer and the same 2,000 judges. Of
# 0.01 to 1, SGD did best on average at 0.05 and 0.1, hardly apart; of 0.001 to 0.1, Adam did best at 0.01 and 0.02. So
# both base rates lie near the top of their curve.
#
# ### Write down your guess
#
# A study begins with what you believe, in writing. Who writes it down afterwards has always known it. For every factor:
# will its *high* level give fewer errors (`"+"`), more (`"-"`), or differ by less than a tenth of the errors (`"0"`)?
# All runs see 5,000 digits twice.
#
# Put your signs into `my_guess`, here, before you read on; `None` means that you would rather not say. After the study,
# under *What you believed*, they are printed beside the measured effects and scored. So is `textbook`, which holds what
# a quick reading of days 3 to 18 might suggest.

# %%
my_guess = {  # replace each None by "+", "-" or "0"
    "architecture": None,  # CNN instead of MLP
    "width": None,  # wide instead of narrow
    "activation": None,  # ReLU instead of tanh
    "norm": None,  # batch normalisation instead of none
    "dropout": None,  # 0.3 instead of 0
    "optimizer": None,  # Adam instead of SGD with momentum
    "rate": None,  # double the base rate instead of half of it
    "batch": None,  # 250 digits instead of 50
    "init": None,  # He's start instead of the default
    "augment": None,  # shifted images instead of plain ones
}

# %%
textbook = {"architecture": "+", "width": "+", "activation": "+", "norm": "+",
            "dropout": "+", "optimizer": "+", "rate": "0", "batch": "-",
            "init": "+", "augment": "+"}
assert set(my_guess) == set(textbook) == set(FACTORS)
assert set(my_guess.values()) <= {"+", "-", "0", None}, "write +, - or 0, in quotes"


# %% [markdown]
# ## From a configuration to a network
#
# A **configuration** is a dict with a level for each factor. Both architectures are small. The MLP has one hidden
# layer; the CNN has two layers of 3 x 3 windows that move in steps of two pixels, so that its maps shrink from 14 to 7
# to 4 pixels. Norm, activation and dropout go to the same places in both.

# %%
def block(layer, config):
    """A layer, its normalisation if there is one, and its activation."""
    parts = [layer]
    if config["norm"] == "batch" and isinstance(layer, nn.Linear):
        parts.append(nn.BatchNorm1d(layer.out_features))
    elif config["norm"] == "batch":
        parts.append(nn.BatchNorm2d(layer.out_channels))
    return [*parts, nn.ReLU() if config["activation"] == "relu" else nn.Tanh()]


def build(config):
    """A network for images [N, 1, 14, 14] that gives logits [N, 10]."""
    wide = config["width"] == "wide"
    if config["architecture"] == "MLP":
        last = 128 if wide else 32
        body = [nn.Flatten(), *block(nn.Linear(196, last), config)]
    else:
        maps = 12 if wide else 4
        last = 2 * maps * 4 * 4
        body = [*block(nn.Conv2d(1, maps, 3, stride=2, padding=1), config),
                *block(nn.Conv2d(maps, 2 * maps, 3, stride=2, padding=1), config),
                nn.Flatten()]
    model = nn.Sequential(*body, nn.Dropout(config["dropout"]), nn.Linear(last, 10))
    return he_start(model) if config["init"] == "he" else model


# %% [markdown]
# The default start of PyTorch is uniform; He's is normal, wider, and made for ReLU (day 16).

# %%
def he_start(model):
    """Redraw every layer's weights as He et al. (2015) propose; biases become 0."""
    for layer in model:
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def make_optimizer(model, config):
    rate = BASE_RATE[config["optimizer"]] * config["rate"]
    if config["optimizer"] == "Adam":
        return torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, fused=True)


# %% [markdown]
# A run trains one network and returns its accuracy. But what is a point worth? From 60 to 61 % it is a trifle; from
# 98 to 99 % it is half of all errors. We count in **halvings**: how often has the share of errors been halved,
# starting from 1? A network that is wrong on a half of the digits has done it once, on an eighth three times.

# %%
def halvings(accuracy):
    """How often the share of errors was halved: 0 if all is wrong, 3 if 1/8 is."""
    return -math.log2(1 - accuracy)


def train_and_judge(config, seed, digits, passes, judges):
    """Accuracy in percent and halvings of a fresh network on `judges`."""
    model = build(config).to(device)
    augment = Shift(1) if config["augment"] == "shift" else None
    loader = TensorLoader(digits, batch_size=config["batch"], shuffle=True, seed=seed,
                          augment=augment, normalize=normalize, device=device)
    fit(model, loader, epochs=passes, optimizer=make_optimizer(model, config),
        device=device, progress=False)
    quiz = TensorLoader(judges, batch_size=2_000, normalize=normalize, device=device)
    right = evaluate(model, quiz, device=device)["accuracy"]
    return {"accuracy": 100 * right, "halvings": halvings(right)}


def run(config, seed):
    return train_and_judge(config, seed, few, 2, judges)


assert [halvings(a) for a in (0, 1 / 2, 7 / 8)] == [0, 1, 3]

# %% [markdown]
# ## One thing at a time
#
# The obvious plan: start somewhere, change one factor, keep it if it helps, go on to the next. Here is a study with two
# factors, A and B, whose four results are known.

# %%
toy = {(-1, -1): 90.0, (+1, -1): 88.0, (-1, +1): 87.0, (+1, +1): 94.0}  # (A, B)

# %% [markdown]
# > **Predict.** You start with both low and change one factor at a time. With which accuracy do you end? And which of
# > the four would you like to have?

# %%
here = (-1, -1)
for step in ((+1, -1), (-1, +1)):
    print(f"change to A, B = {step}: {toy[step] - toy[here]:+.0f} points")
    assert toy[step] < toy[here]
print(f"you stay at {toy[here]:.0f} %, and the best of the four has "
      f"{max(toy.values()):.0f} %")
effect_of_a = {b: toy[+1, b] - toy[-1, b] for b in (-1, +1)}
print("what A does while B is low, high:", list(effect_of_a.values()))
assert effect_of_a[-1] < 0 < effect_of_a[+1] and max(toy, key=toy.get) == (1, 1)

# %% [markdown]
# **What happened.** Each change alone makes things worse, and both together make them best. A and B **interact**: what
# A does depends on B. Two numbers describe it. The **main effect** of A is its effect averaged over the levels of B.
# The **interaction** A x B is *half* of what B's change does to A's effect. Both are differences between two means of
# *all four* runs:
#
# - main effect: mean of the runs with A high, minus mean of those with A low;
# - interaction: mean of the runs where A and B are *alike* (both low or both high), minus mean of those where they
#   differ.

# %%
signs = np.array(list(toy))  # [4 runs, 2 factors], -1 low and +1 high
values = np.array(list(toy.values()))  # [4]


def contrast(column, values):
    """Mean of `values` where `column` [runs] is +1, minus mean where it is -1."""
    return values[column == 1].mean() - values[column == -1].mean()


main_a, alike = signs[:, 0], signs[:, 0] * signs[:, 1]  # the product: +1 where alike
print(f"A: {contrast(main_a, values):+.1f}   A x B: {contrast(alike, values):+.1f}")
assert contrast(main_a, values) == (effect_of_a[-1] + effect_of_a[1]) / 2
assert contrast(alike, values) == (effect_of_a[1] - effect_of_a[-1]) / 2


# %% [markdown]
# ### Exercise: the main effect of one factor ★☆☆
#
# `runs` is a list of pairs `(config, value)`: a configuration as a dict from factor to level, and the result of its
# run, a number. Return the main effect of `factor`, as a float: the mean value of the runs that have it at `high`,
# minus the mean value of those that have it at `low`. There may be runs with a third level: they take part in neither
# mean. Both levels occur at least once, and the two groups may differ in size.
#
# With `runs = [({"norm": "none"}, 80.0), ({"norm": "batch"}, 90.0), ({"norm": "batch"}, 94.0), ({"norm": "layer"},
# 50.0)]`, `main_effect(runs, "norm", low="none", high="batch")` is 12.0. Stuck? `hint("day21.main_effect")` gives a
# nudge, and a stronger one each time.

# %%
def main_effect(runs, factor, low, high):
    """Mean value at `high` minus mean value at `low`."""
    ...  # your code here


check("day21.main_effect", main_effect)


# %% [markdown]
# ### Exercise: an interaction by hand ★★☆
#
# `table[i][j]` holds the results of all runs with factor A at level `i` and B at level `j` (0 is low, 1 is high): a
# list of one or more numbers. Lists may differ in length. First take the mean of each of the four lists. Return the
# interaction A x B as a float: *half* the difference between what A does (high minus low) at B high and what it does at
# B low.
#
# `interaction([[[90.0], [87.0]], [[88.0], [94.0]]])` is 4.5: our toy.

# %%
def interaction(table):
    """Half of what B's change does to A's effect, from the means of four cells."""
    ...  # your code here


check("day21.interaction", interaction)

# %% [markdown]
# ## 1,024 runs are too many, and 16 are enough
#
# In a full table every run serves every factor; that is what makes it precise. The price doubles with each factor. But
# to read a main effect you do not need all combinations, only **balance**: among the runs with A high, every other
# factor must be high and low equally often, and the same among those with A low. Then whatever the others do falls out
# of the difference.
#
# In signs: the columns of two factors must be **orthogonal**, their products sum to zero. Jacques Hadamard studied
# square matrices of such columns, and James Sylvester had built them by a stroke: put four copies together, one with
# its signs turned.

# %%
hadamard = np.array([[1]])
for _ in range(4):
    hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
assert hadamard.shape == (16, 16)
assert (hadamard.T @ hadamard == 16 * np.eye(16)).all(), "columns are orthogonal"

# %% [markdown]
# 16 columns of 16 runs, each orthogonal to all others. The first column is all +1 and says nothing; any ten of the
# other 15 give ten factors. Which ten we take will matter soon.

# %%
COLUMNS = [1, 2, 4, 8, 15, 14, 12, 13, 10, 5]  # one for each factor
base = -hadamard[:, COLUMNS]  # [16 runs, 10 factors]; minus: the first run is all low
fig, axes = plt.subplots(1, 2, figsize=(7, 3.9), width_ratios=(16, 10))
axes[0].imshow(hadamard, cmap="gray", vmin=-1.6, vmax=1)
axes[0].set(xlabel="column", ylabel="run", title="16 orthogonal columns ...")
axes[1].imshow(-base, cmap="gray", vmin=-1.6, vmax=1)
axes[1].set_xticks(range(10), FACTORS, rotation=90)
axes[1].set(title="... ten of them in use")
for ax in axes:
    ax.grid(False)
plt.show()

# %% [markdown]
# Black is −1 in the matrix, and *high* in the design on the right.
#
# > **Predict.** Of the 16 runs of the design, in how many are Adam and batch normalisation used *together*? And shifted
# > images with a wide network?

# %%
high = {name: base[:, i] == 1 for i, name in enumerate(FACTORS)}
together = {(a, b): (high[a] & high[b]).sum() for a, b in combinations(FACTORS, 2)}
print("Adam with batch norm:", together["norm", "optimizer"], "runs")
print("shift with wide:", together["width", "augment"], "runs")
assert set(together.values()) == {4}, "each pair of high levels meets in four runs"


# %% [markdown]
# **What happened.** Four of 16, for these two and for every other pair: of the eight runs with Adam, half have batch
# normalisation. So each of the ten main effects is a difference of two means of eight runs, as precise as if all 16
# had been spent on it alone.
#
# ## What it costs: aliases
#
# Nothing is free. 16 runs are 16 numbers, and there are ten main effects and 45 interactions to be told. The column of
# an interaction is the product of two factors' columns. Look where it falls:

# %%
def same_column(design, column):
    """Pairs of factors whose interaction has this column [runs], or the opposite."""
    names = list(FACTORS)
    return [f"{names[i]} x {names[j]}" for i, j in combinations(range(len(names)), 2)
            if abs(design[:, i] * design[:, j] @ column) == len(column)]


print("aliases of the main effect of architecture:", same_column(base, base[:, 0]))
assert "rate x batch" in same_column(base, base[:, 0])

# %% [markdown]
# In all 16 runs, the sign of *architecture* is minus that of *rate* times *batch*. Whatever the two do together, the
# contrast of architecture will show it, and nobody could tell. The two are **aliases** of each other. A design in which
# main effects have pairs for aliases is of **resolution III**.
#
# The remedy is as short as a good trick should be: run everything again with **all** signs turned. This is called a
# *fold-over*. A main effect's column turns its sign; a product of two columns does not.
#
# > **Predict.** The 16 runs and their mirror image make 32. Which aliases has the main effect of architecture now? And
# > the interaction rate x batch?

# %%
design = np.vstack([base, -base])  # [32 runs, 10 factors]
behind = [same_column(design, column) for column in design.T]  # each main effect
strings = {}  # each distinct column of an interaction, and its pairs
for (i, a), (j, b) in combinations(enumerate(FACTORS), 2):
    strings.setdefault(tuple(design[:, i] * design[:, j]), []).append(f"{a} x {b}")
print("aliases of main effects:", [pair for pairs in behind for pair in pairs])
print(f"{sum(map(len, strings.values()))} interactions in {len(strings)} columns")
print("with rate x batch:", next(s for s in strings.values() if "rate x batch" in s))
assert not any(behind) and set(map(len, strings.values())) == {3}

# %% [markdown]
# **What happened.** Main effects are clear of all 45 interactions: **resolution IV**. The interactions share 15
# columns, three to a column, and the runs can only tell their sum. That is the bargain: 32 runs, ten clean main
# effects, and 15 sums of interactions, to be looked into where one of them is large. The package writes such a design
# for any factors; here it must be ours.

# %%
configs = screening_design(FACTORS)  # a list of dicts, for sweep
ours = [{name: levels[int(sign > 0)]
         for (name, levels), sign in zip(FACTORS.items(), row)} for row in design]
assert configs == ours and len(configs) == 32
print("first run:", configs[0])
print("last run: ", configs[-1])


# %% [markdown]
# ### Exercise: what hides behind it? ★★☆
#
# `design` is a list of runs, each a list of signs -1 and +1, with one sign for each factor. `column` is the number of a
# factor, counted from 0. Return the list of all pairs `(i, j)` with `i < j` of *other* factors whose interaction is
# aliased with the main effect of `column`: in every run the product of their signs is that of `column`, or in every run
# it is the opposite. Sort the pairs in rising order; if there are none, return an empty list. Leave `design` as it is.
#
# With `design = [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]`, `hidden_pairs(design, 2)` is `[(0, 1)]`.

# %%
def hidden_pairs(design, column):
    """Pairs (i, j) whose interaction is aliased with the main effect of `column`."""
    ...  # your code here


check("day21.hidden_pairs", hidden_pairs)

# %% [markdown]
# ## The study
#
# 32 configurations, three seeds, 96 runs. `sweep` is that of day 15: it seeds each run, remembers it, and gives a
# table. `n_jobs=1` runs one at a time, which fits into the memory of any machine. With `n_jobs=2` two worker processes
# share the runs: a long sweep takes nearly half the time, but each worker needs several seconds to start and some
# 400 MB of memory of its own, which a sweep as short as ours hardly pays back.

# %%
frame = sweep(run, configs, seeds=range(3), cache=cache_folder("day21_study"), n_jobs=1)
assert frame["error"].isna().all() and len(frame) == 96

# %% tolerance={"rtol": 0.08}
by_config = frame.groupby(list(FACTORS), sort=False)["accuracy"].mean()
worst, best = by_config.nsmallest(4).mean(), by_config.nlargest(4).mean()
print(f"the four worst configurations {worst:.1f} % right, the middle one"
      f" {by_config.median():.1f} %, the four best {best:.1f} %")
assert best - worst > 10

# %% [markdown]
# The same digits, two passes for everybody, and between the best and the worst lies all the difference between useful
# and useless.
#
# To turn the table over yourself, write it for the HParams page of TensorBoard (day 11), a run a row:
#
# ```python
# from nnlab_helpers.tracking import log_sweep
#
# log_sweep(frame, "runs/day21_study")  # then, in a terminal: tensorboard --logdir runs/day21_study
# ```
#
# > **Predict.** Which of the ten has the largest main effect, and in which direction? Which is closest to zero? You
# > have written down your signs; now write down the two names.

# %% tolerance={"atol": 0.15, "rtol": 0.03} why="effects near zero move by a few hundredths; the claims keep more distance"
mains = main_effects(frame, "halvings")
for row in mains.itertuples():
    print(f"{row.factor:13}{row.difference:+6.2f}  [{row.low:+.2f}, {row.high:+.2f}]")
main = mains.set_index("factor")
order = main["difference"].abs().sort_values(ascending=False).index
assert order[0] == "augment" and main.loc["augment", "high"] < -0.3
assert main.loc["dropout", "high"] < 0 < main.loc["width", "low"]
assert main.loc[["rate", "architecture"], "difference"].abs().max() < 0.15

# %% [markdown]
# Where do the intervals come from? Each configuration ran with three seeds, and how they differ is noise, whatever the
# configuration. Pooled over all 32, three seeds each give one good estimate, with 62 degrees of freedom instead of
# two. Every contrast weighs all 96 runs alike, so one standard error serves them all.
#
# An interval knows the noise of seeds, and nothing of what the design hides. Clear of interactions of *two* factors
# does not mean clear of those of three. There is a free check: the folded matrix has 16 columns for main effects, and
# six of them belong to no factor. They are **placebos**: what they show cannot be a main effect.

# %% tolerance={"atol": 0.1, "rtol": 0.03} why="placebos are noise: what counts is how small they are"
by_config = frame.groupby(list(FACTORS), sort=False)["halvings"]
noise = by_config.var().mean() ** 0.5
print(f"standard deviation over seeds {noise:.2f}, so the standard error of an effect"
      f" is {2 * noise / 96 ** 0.5:.3f}")
unused = hadamard[:, [c for c in range(16) if c not in COLUMNS]]  # [16, 6]
folded = np.vstack([-unused, unused])  # [32 runs, 6 columns]
placebos = [contrast(column, by_config.mean().to_numpy()) for column in folded.T]
print("placebos:", "  ".join(f"{p:+.2f}" for p in placebos))
assert max(map(abs, placebos)) < abs(main["difference"]["augment"]) / 2

# %%
shown = mains.set_index("factor").loc[order].reset_index()
ax = plot_effects(shown)
ax.set_xlabel("high level minus low level (halvings of the errors)")
reach = max(map(abs, placebos))
ax.axvspan(-reach, reach, color="0.92", zorder=-1)
ax.figure.suptitle("Shifts cost most, and the rate seems not to matter",
                   x=0.01, ha="left", fontsize=12, fontweight="bold")
plt.show()

# %% [markdown]
# **What happened.** Grey intervals hold zero. The grey band reaches as far as the largest placebo, and an effect inside
# it is nothing to build on, even if its interval is clear of zero: so is that placebo's. The largest effect of all is
# **harm**: shifted images, which every textbook recommends, cost more than anything else, and dropout harms too. The
# likely reason: in two passes over 5,000 digits nobody learns much by heart, and whoever makes the task harder only
# learns less of it. Width, normalisation and Adam help. And the rate, of which day 10 said that it matters most, does
# nothing?
#
# ## What you believed

# %% tolerance={"atol": 0.12, "rtol": 0.03}
print("factor        textbook  you   measured")
for row in mains.itertuples():
    yours = my_guess[row.factor] or " "
    print(f"{row.factor:16}{textbook[row.factor]:8}{yours:4}{row.difference:+9.2f}")


# %% [markdown]
# 0.18 halvings more or fewer are about an eighth of the errors. Less than that counts as `"0"`.

# %%
def score(guess, least=0.18):
    """How many guesses of a sign, or of "0" for less than `least`, came true."""
    signs = {f: "0" if abs(d) < least else "+" if d > 0 else "-"
             for f, d in main["difference"].items()}
    return sum(guess[f] == signs[f] for f in guess)


made = {f: g for f, g in my_guess.items() if g}
print(f"textbook: {score(textbook)} of {len(textbook)} came true")
print(f"you: {score(made)} of {len(made)} came true" if made else
      "you: nothing to score, my_guess holds None only")
assert 3 <= score(textbook) <= 8


# %% [markdown]
# Where the effects are largest and harm, in shifts and dropout, the textbook column says the opposite. Neither is bad
# advice. It is advice for long training on little data, and the study trains briefly. **A main effect is an average
# over the other nine factors, in the ranges that you chose, at the length that you trained.** Write that beside every
# table like this one.
#
# ### Exercise: how many seeds? ★★★
#
# A study has `runs` configurations in a balanced two-level design, each run with the same number of seeds. The results
# of one configuration scatter over seeds with standard deviation `deviation`, independently. Which is the smallest
# number of seeds for which an effect of true size `effect` is at least `times` standard errors away from zero? (With
# `times=2.8` a 95 % interval will miss zero in four studies of five.) Work out the standard error of the difference
# between the two means first: how many results go into each?
#
# Return an int, at least 1. `effect` may be negative: its size counts. For an effect of 0 raise a `ValueError`. With
# `effect=0.2`, `deviation=0.5` and 32 runs the answer is 7.

# %%
def seeds_needed(effect, deviation, runs, times=2.8):
    """Smallest number of seeds with which the study can find `effect`."""
    ...  # your code here


check("day21.seeds_needed", seeds_needed)

# %% [markdown]
# ## What the average hides
#
# The same 96 runs hold the 15 sums of interactions. A row is named after its first pair; its **aliases** are the
# other pairs in the same column.

# %% tolerance={"atol": 0.08, "rtol": 0.03}
sums = interactions(frame, "halvings")
top = sums.iloc[0]
print(f"largest: {top['factor']}, {', '.join(top['aliases'])}: {top['difference']:+.2f}"
      f" [{top['low']:+.2f}, {top['high']:+.2f}]")
assert "rate x batch" in top["aliases"] and top["low"] > 0.2
others = main["difference"].drop(["augment", "dropout"])
assert abs(top["difference"]) > others.abs().max()

# %%
ax = plot_effects(sums.head(5))
ax.set_xlabel("alike minus unlike (halvings of the errors)")
names = [",\n".join([row.factor, *row.aliases]) for row in sums.head(5).itertuples()]
ax.set_yticks(-np.arange(5), names, fontsize=9)
ax.set_ylim(-4.5, 0.5)
ax.figure.set_size_inches(7, 4)
ax.figure.suptitle("One sum of three interactions beats most main effects",
                   x=0.01, ha="left", fontsize=12, fontweight="bold")
plt.show()

# %% [markdown]
# The largest of them is larger than most main effects. Three pairs stand behind it: activation with augment, dropout
# with optimizer, rate with batch. You may have a favourite. The 96 runs have none: in these three columns they are the
# same.
#
# To settle it, turn **one** column round: run the design again with every rate exchanged, half for double. The column
# of rate times batch then turns its sign; those of the other two pairs stay.
#
# > **Predict.** If rate x batch alone is behind the sum, what will its contrast be in the new runs? What if it has no
# > part in it? And what do you expect?

# %%
other_rate = {0.5: 2.0, 2.0: 0.5}
exchanged = [{**config, "rate": other_rate[config["rate"]]} for config in configs]
turned = sweep(run, exchanged, seeds=[3], cache=cache_folder("day21_turned"), n_jobs=1)
low_levels = {name: low for name, (low, _) in FACTORS.items()}
again = interactions(turned, "halvings", baseline=low_levels)
again = again.set_index("factor").loc[top["factor"]]
assert set(again["aliases"]) == {"dropout x optimizer", "-rate x batch"}

# %% [markdown]
# Half the difference of the two contrasts is rate x batch, half their sum is the other two together. The new one has a
# third of the runs and thus three times the squared error: $\sqrt{h^2 + 3 h^2} / 2 = h$, so both halves have the same
# reach $h$ as the first contrast. Convenient.

# %% tolerance={"atol": 0.08, "rtol": 0.03}
h = top["high"] - top["difference"]
rate_x_batch = (top["difference"] - again["difference"]) / 2
other_two = (top["difference"] + again["difference"]) / 2
print(f"before {top['difference']:+.2f},"
      f" with the rates exchanged {again['difference']:+.2f}")
for name, value in (("rate x batch", rate_x_batch), ("the other two", other_two)):
    print(f"{name:14}{value:+.2f} [{value - h:+.2f}, {value + h:+.2f}]")
assert rate_x_batch - h > 0

# %% tolerance={"rtol": 0.25}
cells = sum(table.groupby(["batch", "rate"])["halvings"].mean().unstack()
            for table in (frame, turned)) / 2  # free of the other two pairs
fig, ax = plt.subplots(figsize=(7, 3))
for batch, line in cells.iterrows():
    ax.plot([0, 1], line, "o-", label=f"batches of {batch}")
ax.set(xticks=[0, 1], xticklabels=["half the base rate", "twice the base rate"])
ax.set(xlim=(-0.2, 1.2), ylabel="halvings of the errors")
ax.set_title("Small batches want the low rate, large ones the high rate")
label_lines(ax)
plt.show()
change = cells[2.0] - cells[0.5]
for batch, value in change.items():
    print(f"batches of {batch}: {value:+.2f} halvings from half the base rate to twice")
assert change[50] < -0.1 and change[250] > 0.02

# %% [markdown]
# **What happened.** Rate and batch size do interact, and strongly. One line falls and one rises: the higher rate costs
# a good deal with batches of 50 and gains with batches of 250, as day 10's rule had it (a larger batch wants a larger
# rate). The average of a loss and a gain is nearly nothing, and *that* was the main effect of the rate. **A main effect
# near zero does not mean that a choice does not matter.** It may matter too much for one answer.
#
# What the other two pairs hold together stands in the last line of the numbers. Which of the two it belongs to, these
# runs do not tell.

# %% [markdown]
# ## Break it on purpose: half the runs
#
# 32 runs for ten factors: is the mirror image really needed? The first 16 runs are a balanced, orthogonal design as
# well, and we have their results already.
#
# > **Predict.** In the whole study the architecture's main effect was next to nothing. What will it be in the first 16
# > configurations? You know its alias, and in which direction (with a minus) it acts.

# %% tolerance={"atol": 0.1, "rtol": 0.25}
first = frame[frame.index < 48]  # 16 configurations, three seeds each
first.attrs = frame.attrs
thrifty = main_effects(first, "halvings").set_index("factor")
for name, table in (("32 configurations", main), ("16 configurations", thrifty)):
    row = table.loc["architecture"]
    print(f"{name}: CNN {row['difference']:+.2f}"
          f" [{row['low']:+.2f}, {row['high']:+.2f}]")
expected = main["difference"]["architecture"] - top["difference"]
print(f"main effect minus the sum of its aliases: {expected:+.2f}")
assert thrifty["high"]["architecture"] < -0.1 < main["low"]["architecture"]
assert abs(expected - thrifty["difference"]["architecture"]) < 0.01


# %% [markdown]
# **What happened.** With half the runs the study reports, with a narrow interval far from zero, that convolutions harm.
# The whole study shows nothing of the kind. What the half saw is the sum of three interactions, rate x batch among
# them, with a minus and in the disguise of the architecture; the arithmetic comes out to the last digit. No number of
# seeds helps, they only make the wrong answer more certain. Intervals guard against noise. Against a design that cannot
# tell two things apart only a better design helps.
#
# ## What does it cost?
#
# Seconds differ from machine to machine. Multiplications do not, so we count those of one digit's way through the
# network. Training takes about three times as many: once forward, twice backward.

# %%
def multiply_adds(model):
    """Multiplications on the way of one image [1, 1, 14, 14] through the model."""
    x, total = torch.zeros(1, 1, 14, 14), 0
    for layer in model.eval():
        x = layer(x)  # [1, ...]
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            total += x[0].numel() * layer.weight[0].numel()
    return total


assert multiply_adds(nn.Sequential(nn.Flatten(), nn.Linear(196, 10))) == 1_960
summary = frame.groupby(list(FACTORS), sort=False)["accuracy"].mean().reset_index()
summary["cost"] = [3 * multiply_adds(build(config)) for config in configs]
summary["network"] = summary["width"] + " " + summary["architecture"]

# %% [markdown]
# > **Predict.** The most expensive of the four networks costs several times what the cheapest does. Split the eight
# > configurations of each into a better and a worse half. Which is larger: what the better half gains from that price,
# > or the difference between the two halves at *one* price?

# %% tolerance={"atol": 0.8, "rtol": 0.08}
per_network = summary.groupby(["cost", "network"])["accuracy"].agg(
    worst=lambda right: right.nsmallest(4).mean(),
    best=lambda right: right.nlargest(4).mean())
for (cost, network), row in per_network.iterrows():
    print(f"{network:11}{cost:8,} multiplications a digit:"
          f" worse half {row['worst']:.1f} %, better half {row['best']:.1f} % right")
gain = per_network["best"].max() - per_network["best"].iloc[0]
spread = (per_network["best"] - per_network["worst"]).min()
print(f"better half, from the lowest price to the best: {gain:.1f} points")
print(f"worse to better half at one price, at least:    {spread:.1f} points")
assert spread > 1.2 * gain

# %%
ax = plot_pareto(summary, "cost", "accuracy")
ax.set(xlabel="multiplications for training on one digit", ylabel="right (%)")
for (cost, network), right in summary.groupby(["cost", "network"])["accuracy"]:
    ax.annotate(network, (cost, right.min()), (0, -14), textcoords="offset points",
                ha="left" if network == "narrow CNN" else "center", fontsize=9)
ax.set(xlim=(16_000, 190_000), ylim=(summary["accuracy"].min() - 4, None))
ax.minorticks_off()
ticks = [20_000, 40_000, 80_000, 160_000]
ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
ax.set_title("What is free moves more than what is paid for")
plt.show()


# %% [markdown]
# **What happened.** Each column of dots is one network at one price. The blue line is the **Pareto front**: the
# configurations that no other beats by being cheaper and no worse, or better and no dearer. Along it, a higher price
# buys a few points. Within one column lie the choices that cost next to nothing, shifts and dropout, norm, activation
# and optimizer, rate, batch and start, and the wrong ones cost far more. Multiplications are not all of a price,
# though: 50 digits to a batch mean five times as many steps, one after the other, as 250 do. On a machine that does 250
# digits in the time of 50, the large batch is the cheap one.
#
# ### Exercise: the Pareto front ★★☆
#
# `points` is a list of pairs `(cost, accuracy)`. A point is *beaten* if another point costs no more **and** is no less
# accurate, and is better in at least one of the two. Return the positions (counted from 0) of the points that are not
# beaten, as a list in rising order. Points that are equal in both do not beat each other. For an empty list return an
# empty list.
#
# `unbeaten([(1.0, 80.0), (2.0, 90.0), (3.0, 85.0), (4.0, 95.0)])` is `[0, 1, 3]`.

# %%
def unbeaten(points):
    """Positions of the points that no other point beats."""
    ...  # your code here


check("day21.unbeaten", unbeaten)

# %% [markdown]
# ## From a table to a network
#
# Now choose. The rule: the better level where the effect lies outside the grey band, and the plainer or cheaper one
# inside it. Batches of 50 are neither, but their effect leans to the good, and the rate follows them: a low one. Nobody
# has run this configuration yet. To predict it, start from the mean of all runs and add half of each main effect, with
# its sign, and half of rate x batch.

# %% tolerance={"rtol": 0.03}
recommended = {"architecture": "MLP", "width": "wide", "activation": "relu",
               "norm": "batch", "dropout": 0.0, "optimizer": "Adam", "rate": 0.5,
               "batch": 50, "init": "default", "augment": "none"}
assert recommended not in configs
half_effects = [d / 2 if recommended[f] == FACTORS[f][1] else -d / 2
                for f, d in main["difference"].items()]
predicted = frame["halvings"].mean() + sum(half_effects) + rate_x_batch / 2
share = 100 - 100 * 0.5**predicted
print(f"predicted: {predicted:.2f} halvings, {share:.1f} % right")
for name in ("width", "norm", "dropout", "optimizer", "augment"):
    better = FACTORS[name][int(main["difference"][name] > 0)]
    assert recommended[name] == better and main["low"][name] * main["high"][name] > 0

# %% [markdown]
# A choice made on some digits and seeds has to be confirmed on others, or luck is reported as skill (day 14). So: four
# seeds that the study has not used, and the 4,000 digits that no run has seen. Beside the recommended network run the
# plainest one, all levels low, and the recommended one with the architecture that we did *not* choose.
#
# > **Predict.** Will the recommended network come close to its prediction? And the CNN: its main effect was next to
# > nothing. Will it be next to nothing here?

# %%
SIZES = {5_000: (few, 2), 60_000: (everything, 1)}  # digits, and passes over them


def run_fresh(config, seed):
    config = dict(config)
    digits, passes = SIZES[config.pop("digits")]
    return train_and_judge(config, seed, digits, passes, fresh)


plain = low_levels
with_windows = {**recommended, "architecture": "CNN"}
candidates = [{**c, "digits": 5_000} for c in (plain, recommended, with_windows)]
final = sweep(run_fresh, candidates, seeds=range(10, 14),
              cache=cache_folder("day21_final"), n_jobs=1)

# %% tolerance={"atol": 0.2, "rtol": 0.03}
names = ["plain"] * 4 + ["recommended"] * 4 + ["with CNN"] * 4
for name, group in final.groupby(names):
    print(f"{name:12} {group['accuracy'].mean():.1f} % right,"
          f" {group['halvings'].mean():.2f} halvings")
windows = effects(final.iloc[4:], "halvings", baseline=recommended).iloc[0]
print(f"CNN instead of MLP: {windows['difference']:+.2f}"
      f" [{windows['low']:+.2f}, {windows['high']:+.2f}] halvings")
hints = sums.set_index("factor")["difference"]
hinted = main["difference"]["architecture"] + sum(
    hints[f"architecture x {f}"] * (1 if recommended[f] == FACTORS[f][1] else -1)
    for f in FACTORS if f != "architecture")
print(f"the screening had hinted at {hinted:+.2f}")
measured = final["halvings"].iloc[4:8]
assert measured.min() > final["halvings"].iloc[:4].max()
assert abs(measured.mean() - predicted) < 0.6
assert windows["low"] > 0
assert hinted > 0
assert hints["architecture x dropout"] < -0.1
assert hints["architecture x optimizer"] > 0.05

# %% [markdown]
# **What happened.** A network that was never run before is ahead of the plain one with every seed, and near its
# prediction. (The plain one is no bad choice: it has neither shifts nor dropout.) The surprise is the other line: at
# the recommended settings the CNN is clearly better, all of its interval above zero. Its main effect is an average over
# runs of which half use dropout and half use SGD. The sums of interactions had hinted at that: the one with
# *architecture x dropout* is negative, the one with *architecture x optimizer* positive. Other sums point the other
# way, but all nine with the architecture, added up with the signs of our settings, are for the CNN: the last line of
# the numbers. The rule "take the cheaper where the data does not decide" was sound, and it cost us the best network. A
# screening says where to look next. It is no substitute for looking.

# %% [markdown]
# ## What carries over to 60,000 digits?
#
# All of this was found on 5,000 digits. Would you believe it for 60,000? We take three of the largest effects, around
# the recommended MLP: *augment*, *dropout* and *width*. Three factors fit into eight runs with nothing aliased at all,
# a full table. Two seeds each, on 5,000 digits twice and on all 60,000 once. To save time the batches are large, with
# the rate that suits them.
#
# > **Predict.** For each of the three: will its effect be larger with 60,000 digits than with 5,000, smaller, or about
# > the same?

# %% tolerance={"rtol": 0.03}
three = {name: FACTORS[name] for name in ("augment", "dropout", "width")}
quick = {**recommended, "batch": 250, "rate": 2.0}
larger = {}
for digits in SIZES:
    table = sweep(run_fresh, [{**quick, **config, "digits": digits}
                              for config in screening_design(three, runs=8)],
                  seeds=[20, 21], cache=cache_folder("day21_larger"), n_jobs=1)
    table.attrs["factors"] = list(three)  # nothing else varies
    larger[digits] = main_effects(table, "halvings").set_index("factor")
    print(f"{digits:6,} digits: {table['accuracy'].min():.1f} to"
          f" {table['accuracy'].max():.1f} % right")

# %% tolerance={"atol": 0.12, "rtol": 0.03}
places = {"ten-factor study": main, "recommended, 5,000": larger[5_000],
          "recommended, 60,000": larger[60_000]}
fig, ax = plt.subplots(figsize=(7, 3.2))
for k, (name, table) in enumerate(places.items()):
    rows = table.loc[["augment", "dropout", "width"]]
    y = np.arange(3) + 0.22 * (k - 1)
    ax.hlines(y, rows["low"], rows["high"], color=PALETTE[k])
    ax.plot(rows["difference"], y, "o", color=PALETTE[k], label=name)
    sizes = [f"{factor} {d:+.2f}" for factor, d in rows["difference"].items()]
    print(f"{name:25}", "  ".join(sizes))
ax.axvline(0, color="black", linewidth=0.8)
ax.set(yticks=range(3), yticklabels=["shift", "dropout", "wide"], ylim=(2.5, -0.5))
ax.set_xticks([-1, -0.5, 0, 0.5])
ax.set_xlabel("effect (halvings of the errors, with 95 % interval)")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9)
ax.set_title("With more data shifts cost less, and no sign turns")
plt.show()
little, much = (larger[digits] for digits in SIZES)
assert much["difference"]["augment"] > little["difference"]["augment"] + 0.1
assert much["high"]["augment"] < 0 < min(little["low"]["width"], much["low"]["width"])
assert much["difference"]["width"] > little["difference"]["width"]
assert max(little["difference"]["dropout"], much["difference"]["dropout"]) < 0.1

# %% [markdown]
# **What happened.** No sign turns; the sizes do move. Shifts still harm, but with more digits, and so more steps,
# clearly less: they are an investment that pays off in long training, and one pass is not long. Width looks worth
# *more*, as day 15 would lead you to expect (more data can fill a larger network), but its two intervals overlap, and
# 16 runs a size do not settle it. Dropout harms by an amount that depends on where you measure, down to one whose
# interval reaches zero. The three rows of a colour are three different questions, and a study answers the one that it
# asked.
#
# Carry a **direction** to a larger problem, with some trust; carry a number to nowhere.

# %% [markdown]
# ## The same study on a cluster
#
# Our runs take a second. If yours take an hour, 96 of them are four days on one machine, and an hour on 96. `sweep`
# runs on joblib, and joblib asks its surroundings where to run. So the study stays as it is, and four lines go around
# it. With **Dask** (`pip install -e ".[cluster]"` in this project's folder brings it along):
#
# ```python
# import joblib
# from dask.distributed import Client
#
# client = Client("tcp://scheduler:8786")       # the address of your scheduler; Client() starts one here
# with joblib.parallel_config(backend="dask"):
#     frame = sweep(run, configs, seeds=range(3), cache=cache_folder("day21_study"), n_jobs=-1)
# ```
#
# On a **Ray** cluster (`pip install "ray[default]"`), started on its head node:
#
# ```python
# import joblib, ray
# from ray.util.joblib import register_ray
#
# ray.init(address="auto")                      # the cluster that this machine belongs to
# register_ray()
# with joblib.parallel_config(backend="ray"):
#     frame = sweep(run, configs, seeds=range(3), cache=cache_folder("day21_study"), n_jobs=-1)
# ```
#
# `n_jobs=-1` means all workers of the cluster. Three things to know before you start one:
#
# - **Workers need the same software**: this package, and PyTorch in the same version. A worker on another kind of
#   processor may give slightly different numbers for the same seed.
# - **What `run` names travels with every run.** Our 5,000 digits are a megabyte; for larger data let `run` load them on
#   the worker, in a function under `functools.lru_cache`.
# - **Records are written where `sweep` was called**, as each run comes back. So the cache needs no shared disk, and a
#   study that was interrupted goes on from there, on the cluster or at home. Ray hands its results back in small
#   bundles, so a little more is lost with it.
#
# The project's tests run a sweep on Dask and kill one of its workers on the way: its run is done again elsewhere. The
# lines for Ray follow its documentation.

# %% [markdown]
# ## Recap
#
# - **One thing at a time** misses what two choices do together. A balanced design lets every run serve every
#   factor: 32 runs for ten factors, each main effect as precise as if all were spent on it.
# - **Main effects and interactions** are both differences of two means, and share one standard error. A main effect is
#   an average over everything else: the rate's was nearly zero, because batch size decides its sign.
# - **Aliases** are what a design cannot tell apart. Half the runs blamed the architecture for what rate and batch did.
#   A mirror image freed the main effects; turning one column round told two interactions apart.
# - **Cost, confirmation, size.** Choices that cost nothing moved more than those that cost. Fresh seeds and digits
#   confirmed the network, and showed that the choice left open was worth more than expected. With 60,000 digits the
#   signs held and the sizes moved.
#
# ## What to try next
#
# - Let all runs take ten passes instead of two (some minutes). Which of shift and dropout changes its sign first? Write
#   down your guess; that is what `my_guess` is for.
# - Try five rates for each optimizer on the recommended network, and look where the base rates lie. Would a fairer rate
#   take Adam's effect away?
# - The CNN won at the recommended settings. Start a second screening around *it*: leave out what is settled, and put in
#   what is new, such as depth, weight decay, a schedule, or label smoothing.
# - Run the ten factors on Fashion-MNIST (`load_images("fashion_mnist", download=True)`). How many signs carry over to
#   clothes?
#
# This was the last lesson for now. You began with a slope and a step, and you end by designing the experiment. Whatever
# network you meet next, its paper will say that some choice mattered most. You know what to ask: against what, at which
# rate, on how many seeds, and what was its alias?
#
# ## References
#
# - Fisher (1935), *The design of experiments*: vary several factors at once, and let chance assign the rest.
# - Plackett and Burman (1946), *The design of optimum multifactorial experiments*: a run more than factors is enough
#   for main effects.
# - Box, Hunter and Hunter (2005), *Statistics for experimenters*, 2nd edition: resolution, fold-over, and how to learn
#   from a sequence of small studies.
# - Lenth (1989), *Quick and easy analysis of unreplicated factorials*: contrasts that should be zero as a measure of
#   noise.
# - Smith, Kindermans, Ying and Le (2018), *Don't decay the learning rate, increase the batch size*: rate and batch size
#   as two sides of one choice.
# - Bouthillier and others (2021), *Accounting for variance in machine learning benchmarks*: randomise what you can, and
#   report the spread.
