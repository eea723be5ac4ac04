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
# # Day 17: what keeps a network from learning by heart?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on
# [day 6](day06_mlp_mnist.ipynb), [day 9](day09_optimizers.ipynb) and [day 15](day15_depth_width.ipynb).*
#
# Give a network three hundred digits, and it will soon know every one of them. Give it three hundred digits whose labels
# were drawn by lot, and it will know those too. So a low training loss says nothing about whether anything was
# understood. Five remedies are prescribed against learning by heart: two penalties on the weights, dropout, early
# stopping, label smoothing. Together they are called **regularisation**. Today each is built, tried on little data, and
# held against the plainest remedy of all, more data.
#
# **By the end you can**
#
# - show that a network learns by heart, and say when that does harm;
# - write the steps of L2, weight decay and L1, and read their trace in the weights' histogram;
# - build dropout, and stop it where it has no business;
# - measure what each remedy does to accuracy and to honesty, with intervals, and say where your data do not decide.
#
# [← Day 16: where should a network start?](day16_init_norm.ipynb) ·
# [Day 18: how far may you change an image? →](day18_augmentation_resolution.ipynb)

# %%
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers import metrics
from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP
from nnlab_helpers.plots import (
    PALETTE, label_lines, plot_band, plot_effects, show_images, use_style,
)
from nnlab_helpers.sweep import cache_folder, effects, sweep
from nnlab_helpers.train import EarlyStopping, fit

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first: few digits, and some with wrong labels
#
# The digits are made half as large, 14 x 14 pixels. A drawer of 3,000 is for training; each run draws its own few hundred
# from it. 2,000 others are the **judges**: they measure the finished networks and decide nothing. Brightness is divided
# by 0.3 and not shifted, so that black stays exactly 0. That will matter: a pixel that is black in every image sends
# its weights no gradient.

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
digits = digits.take(order[10_000:15_000]).resize(14)
keep_black = Normalize(0.0, 0.3)


def rows_of(start, stop):
    """Digits `start` to `stop` as rows: brightness [N, 196], labels [N]."""
    index = torch.arange(start, stop)
    loader = TensorLoader(
        digits, index, batch_size=len(index), normalize=keep_black, device=device
    )
    x, y = next(iter(loader))
    return x.flatten(1), y


drawer_x, drawer_y = rows_of(0, 3_000)
judge_x, judge_y = rows_of(3_000, 5_000)
print("drawer:", list(drawer_x.shape), " judges:", list(judge_x.shape))


# %% [markdown]
# Labels come from people, and people make mistakes. We make some on purpose: a share `by_lot` of the labels is replaced
# by a digit drawn by lot. (One in ten of those is right by accident.) The judges keep their true labels.

# %%
def draw(seed, by_lot=0.0, count=300):
    """`count` digits from the drawer, a share of the labels drawn by lot."""
    lot = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(drawer_y), generator=lot)[:count].to(device)
    y = drawer_y[rows].clone()
    which = torch.randperm(count, generator=lot)[: int(by_lot * count)].to(device)
    y[which] = torch.randint(10, (len(which),), generator=lot).to(device)
    return drawer_x[rows], y  # [count, 196], [count]


x, y = draw(seed=0, by_lot=0.3)
_, truth = draw(seed=0)
wrong = (y != truth).cpu()
print(f"of 300 labels {wrong.float().mean():.0%} are wrong")
show_images(x[:20].view(-1, 14, 14).cpu(), y[:20].tolist(),
            highlight=wrong[:20].tolist(),
            title="Twenty digits; labels in orange are wrong")
plt.show()


# %% [markdown]
# ## Learning by heart
#
# The network has one hidden layer of 256 units, fifty thousand weights for three hundred digits. Adam trains it in
# batches of 100. There are three kinds of training set: all labels true, 30 % by lot, all by lot.

# %%
def network(seed, dropout=0.0):
    """A fresh network for rows of 196 brightnesses."""
    seed_everything(seed)
    return MLP(196, (256,), 10, dropout=dropout).to(device)


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)


def learn(model, optimizer, x, y, seed, epochs=14, val=None, **options):
    """Train on (x, y) in batches of 100; returns the history."""
    loader = TensorLoader(
        (x, y), batch_size=100, shuffle=True, seed=seed, device=device
    )
    return fit(model, loader, val, epochs=epochs, optimizer=optimizer,
               progress=False, device=device, **options)


# %% [markdown]
# > **Predict.** 30 passes over 300 digits, with 500 of the judges asked after each. For each of the three kinds: after
# > how many epochs does the network know nine in ten of its own labels? And how many judges does it read in the end?

# %%
few_judges = TensorLoader((judge_x[:500], judge_y[:500]), batch_size=500, device=device)
COLUMNS = ["train_accuracy", "val_accuracy", "val_loss"]


def by_heart(seed, by_lot):
    """Training accuracy, judges' accuracy and loss of each epoch: [3, 30]."""
    model = network(seed)
    history = learn(model, adam(model), *draw(seed, by_lot), seed, 30, few_judges)
    return [history[name] for name in COLUMNS]


KINDS = {"true labels": 0.0, "30 % by lot": 0.3, "all by lot": 1.0}
curves = {name: torch.tensor([by_heart(seed, share) for seed in range(3)])
          for name, share in KINDS.items()}  # each [3 seeds, 3 columns, 30 epochs]

# %% tolerance={"atol": 0.8, "rtol": 0.03}
known, read = ({name: 100 * runs[:, column, -1] for name, runs in curves.items()}
               for column in (0, 1))  # each [3 seeds]
for name in KINDS:
    print(f"{name:12} knows {known[name].mean():5.1f} % of its labels,"
          f" reads {read[name].mean():4.1f} % of the judges")
nine_in_ten = {name: (runs[:, 0].mean(dim=0) > 0.9).nonzero()[0].item() + 1
               for name, runs in curves.items()}
print("epochs until nine in ten are known:", nine_in_ten)
slower = min(nine_in_ten["30 % by lot"], nine_in_ten["all by lot"])
assert slower > 2 * nine_in_ten["true labels"]
assert min(k.min() for k in known.values()) > 90
assert read["all by lot"].max() < 16 and read["true labels"].min() > 77
assert (read["true labels"] - read["30 % by lot"]).min() > 8

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.3), sharey=True)
for name, runs in curves.items():
    plot_band(axes[0], range(1, 31), 100 * runs[:, 0], name)
    plot_band(axes[1], range(1, 31), 100 * runs[:, 1], name)
for ax, title in zip(axes, ("own labels", "judges"), strict=True):
    ax.set(xlabel="epoch", ylim=(0, 104))
    ax.set_title(title, loc="center", fontsize=11, fontweight="normal")
axes[0].set_ylabel("right (%)")
label_lines(axes[1])
fig.suptitle("The training set is learnt, whatever its labels say", weight="bold")
plt.show()

# %% [markdown]
# **What happened.** Each of the three knows its training set, also where there was nothing to understand. Labels by lot
# take more than twice as many epochs, and then the judges are read no better than by chance. Zhang and others (2017)
# did this with a million photographs. Two things follow. Nothing *in the final training accuracy* says whether the
# labels meant anything. And learning by heart is not harmful as such: with true labels the network knows everything by
# heart *and* reads most of the judges. Harm is done where what it learns by heart is wrong. That is the middle line:
# compare where it ends with where it once was.
#
# So today there are two questions to each remedy: what does it do when the labels are clean, and what when they are not?
#
# ## A price on weights
#
# The first remedy makes weights cost something. Suppose the data pull a weight towards $a$, with the valley
# $\tfrac12 (w - a)^2$ that you know from day 10, and the weight has its price:
#
# $$\tfrac12 (w - a)^2 + \tfrac{\lambda}{2} w^2 \quad\text{(L2)} \qquad\qquad
# \tfrac12 (w - a)^2 + \lambda\, |w| \quad\text{(L1)}$$
#
# > **Predict.** $\lambda = 1$. Where does the weight end for $a = 3$, under L2 and under L1? And for $a = 0.8$?

# %%
a = torch.linspace(-4, 4, 81)  # what the data ask for
w = torch.linspace(-4, 4, 8_001)[:, None]
valley = (w - a) ** 2 / 2  # [8001, 81]
ends = {"L2": w[(valley + w**2 / 2).argmin(dim=0), 0],
        "L1": w[(valley + w.abs()).argmin(dim=0), 0]}
for want in (3.0, 0.8):
    at = (a - want).abs().argmin()
    l2, l1 = (ends[name][at].abs() for name in ends)
    print(f"a = {want}: L2 leaves {l2:.1f}, L1 leaves {l1:.1f}")
assert torch.allclose(ends["L2"], a / 2, atol=2e-3)
assert torch.allclose(ends["L1"], F.softshrink(a, 1.0), atol=2e-3)

# %%
fig, ax = plt.subplots(figsize=(7, 3.3))
ax.plot(a, a, color="0.6", label="free")
for name, left in ends.items():
    ax.plot(a, left, label=name)
ax.set(xlabel="where the data pull the weight, $a$", ylabel="where it ends")
ax.set_title("L2 takes a share of every weight, L1 the same amount from each")
label_lines(ax)
plt.show()


# %% [markdown]
# **What happened.** Look at the slopes of the prices. That of L2 is $\lambda w$: dear weights are pushed hard, cheap ones
# hardly, so each keeps the share $1 / (1 + \lambda)$ and none becomes zero. That of L1 is $\lambda$, the same for a large
# weight and for a tiny one. From all it takes the same amount, and those that the data pull with less than $\lambda$ end
# at exactly zero. The bent line is called **soft threshold**; PyTorch has it as `F.softshrink(a, λ)`.
#
# ## What happens at the corner?
#
# At $w = 0$ the price $|w|$ has a corner, and no slope. PyTorch says 0 there, one of the values that would be allowed
# (a *subgradient*). So let us train one weight, with $a = 0.8$ and $\lambda = 1$, by gradient descent.
#
# > **Predict.** Rate 0.1, from $w = 2$. After 100 steps: is the weight zero?

# %%
def one_weight(step, w=2.0, steps=100):
    """The places of a weight that takes `step` again and again: [steps + 1]."""
    path = [torch.tensor(w)]
    for _ in range(steps):
        path.append(step(path[-1]))
    return torch.stack(path)


RATE, PULL, PRICE = 0.1, 0.8, 1.0
plain = one_weight(lambda w: w - RATE * ((w - PULL) + PRICE * w.sign()))
soft = one_weight(lambda w: F.softshrink(w - RATE * (w - PULL), RATE * PRICE))
for name, path in (("slope of |w|", plain), ("soft threshold", soft)):
    print(f"{name:14} last places:", [round(v, 3) for v in path[-4:].tolist()])
at_zero = [(path == 0).sum().item() for path in (plain, soft)]
print(f"steps at exactly zero: {at_zero[0]} and {at_zero[1]}")
assert (plain != 0).all() and plain[-20:].abs().max() > 0.01
assert (soft[-50:] == 0).all()


# %% [markdown]
# **What happened.** The slope of $|w|$ is $+1$ on one side of zero and $-1$ on the other, however near zero is. So
# the weight walks down to zero, is thrown back across it, and walks again, for ever. The cure is to take the step in
# two: first the data's gradient alone, then the price at once, *and no further than zero*: a soft threshold of rate
# times $\lambda$. This is called a **proximal** step (for this price it is known as ISTA). If you add `abs().sum()`
# to a loss and then count zeros, you will find none.
#
# ### Exercise: a step that can reach zero ★★☆
#
# `l1_step(w, gradient, rate, strength)` gets weights and their gradient without the price (float tensors of the same
# shape), a rate, and the strength $\lambda$. Return the weights after one such step, as a new tensor; leave the inputs as
# they are, and write the threshold yourself, without `softshrink`. For `w = [1.0, 0.1, -0.5]`, a gradient of
# `[0, 0, -2]`, rate 0.1 and strength 2 it is `[0.8, 0.0, -0.1]`. Stuck? `hint("day17.l1_step")` gives a nudge, and a
# stronger one each time.

# %%
def l1_step(w, gradient, rate, strength):
    """One gradient step, then a soft threshold of rate times strength."""
    ...  # your code here


check("day17.l1_step", l1_step)


# %% [markdown]
# ## Penalty or decay?
#
# The slope of L2 is $\lambda w$, so a step of gradient descent takes the share $\eta\lambda$ off each weight: the penalty
# *is* a decay. In Adam it is not. Day 9 showed why: Adam divides by the size of the gradient, and the penalty is divided
# along with it. On our network, ten steps from the same start, once with the price in the loss and once with a decay of
# the weights themselves (`AdamW` for Adam):

# %%
def after_ten(optimizer, price=0.0):
    """All weights, in one row, after ten steps on 100 digits."""
    model = network(seed=0)
    optimizer = optimizer(model.parameters())
    for _ in range(10):
        optimizer.zero_grad()
        size = sum((p**2).sum() for p in model.parameters())
        (F.cross_entropy(model(x[:100]), y[:100]) + price / 2 * size).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# %% [markdown]
# > **Predict.** How far apart are the two ends: for SGD, and for Adam?

# %% tolerance={"rtol": 0.03}
for name, plain, decaying, rate in (
    ("SGD", torch.optim.SGD, torch.optim.SGD, 0.1),
    ("Adam", torch.optim.Adam, torch.optim.AdamW, 5e-3),
):
    free = after_ten(partial(plain, lr=rate, weight_decay=0.0))
    penalty = after_ten(partial(plain, lr=rate, weight_decay=0.0), price=1.0) - free
    decay = after_ten(partial(decaying, lr=rate, weight_decay=1.0)) - free
    print(f"{name:4}: the price in the loss moves the weights by {penalty.norm():.2f},"
          f" the decay by {decay.norm():.2f}")
    apart = ((penalty - decay).norm() / decay.norm()).item()
    assert apart < 1e-3 if name == "SGD" else apart > 2


# %% [markdown]
# **What happened.** With SGD both are one and the same, up to rounding, not only in length but in each weight. With
# Adam they are two different remedies under one name: many weights have tiny gradients, there the price is all that
# Adam sees, and it takes full steps. From here on "L2" means decay, as in `AdamW`.
#
# Which weights should pay? The prices are meant for weights that *multiply*, the matrices. A bias only shifts, and
# the gain of a normalisation layer has its natural home at 1, not at 0. Both are usually left out; they have one
# dimension, which makes them easy to tell. Our L1 joins Adam the same way: the soft threshold comes after Adam's own
# step, and Adam does not scale it. PyTorch calls functions after each step that were registered with the optimizer
# (*hooks*, like those of day 11).

# %%
def decayed(model, decay=0.0):
    """Adam whose decay spares the biases."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": matrices, "weight_decay": decay},
              {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=5e-3, fused=True)


@torch.no_grad()
def threshold(optimizer, args, kwargs, strength):
    """After a step: the soft threshold of rate times strength, for the matrices."""
    group = optimizer.param_groups[0]
    for p in group["params"]:
        p.copy_(F.softshrink(p, group["lr"] * strength))


def with_l1(model, strength):
    """Adam followed by a soft threshold of the matrices."""
    optimizer = decayed(model)
    optimizer.register_step_post_hook(partial(threshold, strength=strength))
    return optimizer


# %% [markdown]
# ### Exercise: decay the matrices ★★☆
#
# `decay_matrices(model, rate, decay)` takes the share `rate * decay` off every weight of `model` that belongs to a
# parameter with **two or more** dimensions, **in place**, and leaves all others, biases and gains among them, as they
# are. Leave out parameters that do not require a gradient: they are frozen. It changes nothing but the values: gradients
# stay, and the parameters stay the same objects. (An optimizer does the same in its step; autograd must not record it.)
# It returns how many *numbers* it has shrunk, as an `int`. For `nn.Linear(3, 2)` it returns 6, and with rate 0.1 and
# decay 0.5 each of the six is 0.95 of what it was.

# %%
def decay_matrices(model, rate, decay):
    """Shrink the matrices of `model` in place; returns how many numbers that were."""
    ...  # your code here


check("day17.decay_matrices", decay_matrices)

# %% [markdown]
# ## What the prices do to the weights
#
# Now three networks learn the same 300 digits, of which 30 % have labels by lot: without a price, with L2 of strength 3,
# with L1 of strength 0.35. (All strengths of today were chosen in trial runs on *other* digits.)
#
# > **Predict.** Sketch the three histograms of the first layer's weights. Where does each have its peak? And how many
# > weights, in percent, are smaller than a thousandth?

# %%
PRICES = {"no price": decayed, "L2": partial(decayed, decay=3.0),
          "L1": partial(with_l1, strength=0.35)}
first_layers = {}
for name, optimizer in PRICES.items():
    model = network(seed=0)
    learn(model, optimizer(model), *draw(0, by_lot=0.3), seed=0)
    first_layers[name] = next(model.parameters()).detach().cpu()  # [256, 196]

# %% tolerance={"atol": 0.25, "rtol": 0.03}
share = {}
for name, weights in first_layers.items():
    share[name] = 100 * (weights.abs() < 1e-3).float().mean().item()
    zeros = 100 * (weights == 0).float().mean().item()
    print(f"{name:8}: {share[name]:4.1f} % below a thousandth, {zeros:4.1f} % zero,"
          f" norm {weights.norm():.1f}")
assert share["no price"] < 3 and share["L2"] < 6 and share["L1"] > 35
assert (first_layers["L2"] != 0).all()
largest = {name: weights.abs().max() for name, weights in first_layers.items()}
assert largest["L1"] > 0.34 * largest["no price"]
assert all(first_layers[name].norm() < 0.8 * first_layers["no price"].norm()
           for name in ("L2", "L1"))

# %%
fig, axes = plt.subplots(1, 3, figsize=(7, 3), sharey=True)
for ax, (name, weights), colour in zip(axes, first_layers.items(), PALETTE):
    ax.hist(weights.flatten(), bins=121, range=(-0.3, 0.3), color=colour)
    ax.set(xlabel="weight", yscale="log")
    ax.set_title(name, loc="center", fontsize=11, fontweight="normal")
axes[0].set_ylabel("weights (log scale)")
fig.suptitle("L2 draws the weights together, L1 empties them out", weight="bold")
plt.show()

# %% [markdown]
# **What happened.** L2 pulls the whole heap inwards; it is narrower, and no weight is zero. L1 makes a spike: zeros,
# exact ones, in great numbers, while the largest weights are still more than a third as large as without a price. Note
# the scale: each line up is a factor of ten.
#
# *Which* weights became zero? Each of the 196 pixels has 256 weights. Here is their norm, laid out as an image.

# %%
fig, axes = plt.subplots(1, 3, figsize=(7, 2.7))
for ax, (name, weights) in zip(axes, first_layers.items(), strict=True):
    image = ax.imshow(weights.norm(dim=0).view(14, 14), vmin=0, vmax=2)
    ax.set_title(name, loc="center", fontsize=11, fontweight="normal")
    ax.set(xticks=[], yticks=[])
fig.colorbar(image, ax=axes, label="norm of its weights")
fig.suptitle("A price drains the pixels that no digit uses", weight="bold")
plt.show()

# %% tolerance={"rtol": 0.03}
silent = (draw(0)[0] == 0).all(dim=0).cpu()  # black in all 300 digits
for name, weights in first_layers.items():
    norms = weights.norm(dim=0)
    print(f"{name:8}: mean norm {norms[silent].mean():.2f} at pixels that are always"
          f" black, {norms[~silent].mean():.2f} elsewhere")
start = next(network(seed=0).parameters()).detach().cpu()
torch.testing.assert_close(first_layers["no price"][:, silent], start[:, silent])
assert (first_layers["L1"][:, silent] == 0).float().mean() > 0.95


# %% [markdown]
# Corners are black in all 300 digits, so no gradient ever reached their weights. Without a price these still have their
# random start, to the last digit, and a judge with ink there would be answered at random. A price needs no evidence to
# remove a weight. It wants evidence to *keep* one.
#
# ## Dropout: a network of unreliable parts
#
# Day 4 used dropout; now we build it. In training each unit is silenced with probability $p$, and the survivors are
# enlarged to $1 / (1 - p)$ of their value, so that the mean stays. In evaluation nothing happens at all.

# %%
class Dropout(nn.Module):
    """Silence each number with probability `p` in training; leave all in evaluation."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training:
            return x
        return self.masked(x, torch.rand_like(x) >= self.p)

    def masked(self, x, kept):
        return x * kept / (1 - self.p)


# %% [markdown]
# > **Predict.** Ours and PyTorch's draw different lots. Given the *same* mask, do they agree exactly? And a unit that
# > says 1 goes through dropout of 0.8: what are the mean and the standard deviation of what comes out?

# %% tolerance={"rtol": 0.03}
ours, numbers = Dropout(0.8), torch.randn(500, 40, device=device)
torch.manual_seed(5)
theirs = F.dropout(numbers, 0.8)
torch.manual_seed(5)
kept = F.dropout(torch.ones_like(numbers), 0.8) > 0  # the mask of the same lots
torch.testing.assert_close(ours.masked(numbers, kept), theirs)
assert torch.equal(ours.eval()(numbers), nn.Dropout(0.8).eval()(numbers))
print("the same mask, the same numbers: True")
said = ours.train()(torch.ones(200_000))
print(f"mean {said.mean():.2f}, standard deviation {said.std():.2f}")
assert abs(said.mean() - 1) < 0.03 and abs(said.std() - (0.8 / 0.2) ** 0.5) < 0.03


# %% [markdown]
# **What happened.** The mean is right, but look at the deviation: $\sqrt{p / (1 - p)}$, twice the signal itself. To say
# anything reliable under this noise, many units have to say it, and none may rest on one particular neighbour. And to
# know one odd label by heart, a few units that fire for one digit alone will not do: most of the time they are silent.
#
# ### Exercise: dropout from given lots ★☆☆
#
# `inverted_dropout(x, lots, p, training)` gets numbers `x` and `lots` of the same shape, uniform in [0, 1), a probability
# $0 \le p \le 1$, and a bool. In training a number is silenced where its lot is **smaller than** `p`, and the others are
# enlarged as above; otherwise `x` comes back unchanged. With $p = 1$ everything is silenced: return zeros, not `nan`.
# Return a tensor of the shape of `x`. For `x = [2, 4, 6]`, `lots = [0.9, 0.1, 0.5]` and $p = 0.5$ in training it is
# `[4, 0, 12]`.

# %%
def inverted_dropout(x, lots, p, training):
    """Silence where the lot is smaller than p, enlarge the rest; only in training."""
    ...  # your code here


check("day17.inverted_dropout", inverted_dropout)

# %% [markdown]
# ## How much dropout?
#
# Now we measure, with `sweep` from [day 15](day15_depth_width.ipynb). One `run` knows every remedy of today, also the
# two that are already yours: early stopping (`stop`, from day 6) and label smoothing (day 8). We come back to them. A
# run returns which share of its own true labels it knows, which share of the wrong ones, its accuracy on the judges,
# and how far its confidence is off: the *expected calibration error* of day 12. In every seed the start, the order
# *and the digits* are other ones.

# %%
PLAIN = {"by_lot": 0.0, "L2": 0.0, "L1": 0.0, "dropout": 0.0, "smoothing": 0.0,
         "stop": "never", "digits": 300}


def run(config, seed):
    """Train with the remedies in `config`; how it does on the judges."""
    x, y = draw(seed, config["by_lot"], config["digits"])
    _, truth = draw(seed, 0.0, config["digits"])
    model, options = network(seed, config["dropout"]), {}
    optimizer = decayed(model, config["L2"])
    if config["L1"]:
        optimizer = with_l1(model, config["L1"])
    if config["stop"] != "never":  # a fifth of the digits has to validate
        fifth = len(y) // 5
        options["val"] = TensorLoader((x[:fifth], y[:fifth]), device=device)
        options["early_stopping"] = EarlyStopping(config["stop"], patience=5)
        x, y, truth = x[fifth:], y[fifth:], truth[fifth:]
    loss = partial(F.cross_entropy, label_smoothing=config["smoothing"])
    history = learn(model, optimizer, x, y, seed, loss=loss, **options)
    return judged(model.eval(), x, y, truth) | {"epochs": len(history)}


# %%
@torch.no_grad()
def judged(model, x, y, truth):
    """In percent: which labels the network knows, and how it does on the judges."""
    found, wrong = model(x).argmax(dim=1) == y, y != truth
    z = model(judge_x)
    p = z.softmax(dim=1)
    result = {"true known": found[~wrong].float().mean().item(),
              "wrong known": found[wrong].sum().item() / max(wrong.sum().item(), 1),
              "accuracy": metrics.accuracy(z, judge_y),
              "confidence": p.max(dim=1).values.mean().item(),
              "off": metrics.expected_calibration_error(p, judge_y)}
    return {name: 100 * value for name, value in result.items()}


# %%
SEEDS, CACHE = range(5), cache_folder("day17_remedies")


def measure(configs, seeds=SEEDS):
    frame = sweep(run, configs, seeds=seeds, cache=CACHE, n_jobs=1)
    assert frame["error"].isna().all(), frame["error"].dropna().iloc[0]
    return frame


# %% [markdown]
# > **Predict.** Dropout of 0, 0.5, 0.8 and 0.95, with 30 % of the labels by lot. What becomes of the share of *true*
# > training labels that the network knows, and of the share of *wrong* ones? Which rate reads the judges best?

# %% tolerance={"rtol": 0.05}
RATES = [0.0, 0.5, 0.8, 0.95]
SHARES = {"true known": "own true labels", "wrong known": "own wrong labels",
          "accuracy": "judges"}
dropped = measure([PLAIN | {"by_lot": 0.3, "dropout": p} for p in RATES])
print(dropped.groupby("dropout")[list(SHARES)].mean().round(1))
by_rate = {name: dropped.pivot(index="seed", columns="dropout", values=name)
           for name in SHARES}  # each [5 seeds, 4 rates]
assert (by_rate["accuracy"][0.8] > by_rate["accuracy"][0.0] + 1).all()
assert (by_rate["accuracy"][0.8] > by_rate["accuracy"][0.95]).all()
gone = {name: values[0.0] - values[0.8] for name, values in by_rate.items()}
assert (gone["wrong known"] > gone["true known"] + 20).all()
true, wrong = (by_rate[name].mean() for name in ("true known", "wrong known"))
assert true[0.0] > 95 and wrong[0.0] > 50 and true[0.8] > 85 and wrong[0.8] < 35
assert true[0.95] < 80

# %%
fig, ax = plt.subplots()
for name, label in SHARES.items():
    plot_band(ax, RATES, by_rate[name].to_numpy(), label, marker="o", markersize=4)
ax.set(xlabel="dropout rate", ylabel="right (%)", ylim=(0, 104), xticks=RATES)
ax.set_title("Dropout forgets the wrong labels first")
label_lines(ax)
plt.show()


# %% [markdown]
# **What happened.** (Lines are means over five seeds, bands reach from the lowest to the highest.) Without dropout the
# network knows all but a few of the true labels, and more than half of the wrong ones. At 0.8 it has given up the greater
# part of the wrong ones and few of the true: a digit that looks like a hundred others is easier to hold under noise
# than one that contradicts them. And the judges are read better. At 0.95 the true ones go too. Where the turning point
# lies depends on the number of units and digits; 0.5, the usual advice, is a place to start from.
#
# ### Exercise: the lots that never stop ★★☆
#
# This network makes its own dropout, and two things are wrong with it. Its predictions are different each time they are
# asked for; and in training the sums that reach the last layer are too small, on average. Mend `MendedNet` so that it
# does what `nn.Dropout(p)` in the same place would do, in training mode and in evaluation mode. Keep the names of its
# layers, draw new lots in each call, and take the marked line away when you are done.

# %%
class MendedNet(nn.Module):
    """Rows [N, inputs] -> logits [N, 10], with dropout after the ReLU."""

    def __init__(self, inputs, hidden, p):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, hidden), nn.Linear(hidden, 10)
        self.p = p

    def forward(self, x):
        ...  # take this line away when the network is mended
        h = self.first(x).relu()
        h = h * (torch.rand_like(h) >= self.p)
        return self.last(h)


check("day17.mended_net", MendedNet)


# %% [markdown]
# ## Break it on purpose: lots in the exam
#
# A network trained with dropout of 0.8 is asked about the judges, once as it should be, and once with `eval()`
# forgotten. Nothing will complain.
#
# > **Predict.** How many points does it lose? And if the same question is asked twice, in how many percent of the cases
# > is the answer another one?

# %%
def exam(seed, passes=30):
    """In percent: right in eval mode, right with lots, changed answers, a vote."""
    model = network(seed, dropout=0.8)
    learn(model, decayed(model), *draw(seed, by_lot=0.3), seed)
    x, truth = judge_x[:1_000], judge_y[:1_000]
    with torch.no_grad():
        proper = model.eval()(x).argmax(dim=1)
        model.train()
        p = torch.stack([model(x).softmax(dim=1) for _ in range(passes)])
    first, second = p[0].argmax(dim=1), p[1].argmax(dim=1)
    vote = p.mean(dim=0).argmax(dim=1)
    found = (proper == truth, first == truth, first != second, vote == truth)
    return [100 * one.float().mean().item() for one in found]


exams = torch.tensor([exam(seed) for seed in range(3)])  # [3 seeds, 4]

# %% tolerance={"rtol": 0.03}
proper, noisy, changed, vote = exams.mean(dim=0)
print(f"evaluation mode {proper:.1f} % right, lots left on {noisy:.1f} %")
print(f"asked twice, {changed:.1f} % of the answers change")
print(f"the mean of 30 noisy answers is right in {vote:.1f} %")
assert (exams[:, 0] - exams[:, 1]).min() > 4 and exams[:, 2].min() > 15
assert (exams[:, 3] - exams[:, 1]).min() > 3 and abs(vote - proper) < 2.5

# %% [markdown]
# **What happened.** Points are lost, and a good part of the answers is settled by lot. If a validation accuracy
# changes each time you ask, look for a missing `eval()`. The last line is a consolation: averaged over many passes
# the noisy answers are about as good as the quiet one. That is one way to look at dropout. It trains very many
# thinned networks which share their weights, and evaluation mode is a cheap stand-in for their vote.
#
# ## Break it on purpose: a price that nobody can pay
#
# > **Predict.** L2 of strength 3 is what we used. What will 30 and 100 do: to the training labels, and to the judges?

# %% tolerance={"rtol": 0.08}
PRICED = [PLAIN | {"by_lot": 0.3, "L2": price} for price in (0.0, 3.0, 30.0, 100.0)]
priced = measure(PRICED, seeds=range(3))
columns = ["true known", "wrong known", "accuracy", "confidence"]
print(priced.groupby("L2")[columns].mean().round(1))
per_seed = priced.pivot(index="seed", columns="L2", values="accuracy")
assert (per_seed[3.0] > per_seed[0.0]).all()
assert (per_seed[30.0] < per_seed[3.0] - 3).all()
assert (per_seed[100.0] < per_seed[0.0] - 10).all()
crushed = priced[priced["L2"] == 100.0]
assert crushed["true known"].max() < 70 and crushed["confidence"].max() < 30

# %% [markdown]
# **What happened.** At 30 the wrong labels are forgotten, but many true ones with them, and the judges are read worse
# than at 3. At 100 each step takes off half of every weight (rate times strength is 0.5), and the gradient cannot
# rebuild it in time. The network knows neither its own labels nor the judges, and says so: its confidence is near that
# of guessing. A training accuracy far *below* what the labels allow is the mark of a remedy taken in overdose. It is
# called **underfitting**, and the cure is less of the remedy, not more epochs.
#
# ## Stop in time: but by which clock?
#
# Back to the runs of the beginning. Day 6 stopped when the validation loss rose. You have seen the accuracy of the
# judges turn with wrong labels, and hardly with true ones. Here is their loss beside it.
#
# > **Predict.** Does the loss turn where there are wrong labels, or in both kinds? And how many points of accuracy lie
# > between the best epoch and the last when 30 % of the labels are by lot?

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
for name in ("true labels", "30 % by lot"):
    for ax, column, factor in ((axes[0], 2, 1), (axes[1], 1, 100)):
        runs = factor * curves[name][:, column]  # [3 seeds, 30 epochs]
        plot_band(ax, range(1, 31), runs, name)
        mean = runs.mean(dim=0)
        at = mean.argmin() if column == 2 else mean.argmax()
        ax.plot(at + 1, mean[at], "ko", markersize=5)
axes[0].set(xlabel="epoch", ylabel="judges' loss (nats)", ylim=(0, 2.2))
axes[1].set(xlabel="epoch", ylabel="judges read (%)", ylim=(40, 90))
label_lines(axes[1])
fig.suptitle("With wrong labels the accuracy turns too (dots: the best epochs)",
             weight="bold")
plt.show()

# %% tolerance={"rtol": 0.08}
lost = {}
for name in ("true labels", "30 % by lot"):
    loss, right = curves[name][:, 2], 100 * curves[name][:, 1]  # each [3 seeds, 30]
    rise = loss[:, -1] / loss.min(dim=1).values
    print(f"{name}: loss lowest after epoch {(loss.argmin(dim=1) + 1).tolist()},"
          f" in the end {rise.mean():.2f} times that")
    below = right.mean(dim=0).max() - right[:, -1].mean()
    print(f"    accuracy in the end {below:.1f} points below its best")
    lost[name] = right[:, 2:12].mean(dim=1) - right[:, -1]
    assert rise.min() > 1.05 and loss.mean(dim=0).argmin() < 20
assert lost["30 % by lot"].min() > 3 and lost["true labels"].max() < 1


# %% [markdown]
# **What happened.** The loss turns in both cases, in every seed; at which epoch differs from seed to seed, and three
# seeds do not say which kind turns first. The accuracy of the network with true labels hardly minds. With wrong labels
# it turns as well: the network first learns what many digits have in common, and only then the exceptions, one by one
# (Arpit and others, 2017). Stopping between the two is a real remedy.
#
# But these curves have cheated: judges are not for deciding when to stop. In earnest the digits that watch must come
# out of the 300. `run` takes a fifth, 60 digits, and their labels are as wrong as the others. And which clock should they
# watch? The accuracy of 60 digits moves in jumps of $1/60$; the loss moves with every digit.
#
# ### Exercise: which epoch comes back? ★★★
#
# `patient_stop(values, patience, min_delta, mode)` gets a non-empty list of what was watched, one number per epoch,
# counted from 0, and returns two whole numbers as a tuple: `(restored, stopped)`, the epoch whose weights are put back
# and the last epoch that is trained. `mode` is `"min"` if smaller is better, `"max"` if larger is.
#
# - A value counts as an *improvement* if it is better than the **mark** by **more than** `min_delta`. It then becomes the
#   new mark. The first value always is one.
# - Training ends after the epoch at which `patience` epochs in a row have brought no improvement, or with the list.
# - Put back is the plainly best epoch that was trained, whatever `min_delta` says; of equals the first.
#
# For `[2.0, 1.0, 0.9375, 0.96875, 0.5]`, patience 2, `min_delta` 0.25 and `"min"` the answer is `(2, 3)`.

# %%
def patient_stop(values, patience, min_delta=0.0, mode="min"):
    """(epoch put back, last epoch trained), both counted from 0."""
    ...  # your code here


check("day17.patient_stop", patient_stop)

# %% [markdown]
# ## All of them, held against more data
#
# Now everything at once: each remedy alone against the plain network, 300 digits, five seeds, once with clean labels and
# once with 30 % by lot. Label smoothing gives a share of 0.1 to all classes (day 8). Early stopping comes with both
# clocks. And then the plainest remedy: 600 digits instead of 300, with labels of the same quality.
#
# > **Predict.** With clean labels: which of the remedies will raise the accuracy, with the interval away from zero? Which
# > will lower it? And is any of them worth as much as 300 more digits?

# %%
REMEDIES = [{}, {"L2": 3.0}, {"L1": 0.35}, {"dropout": 0.5}, {"dropout": 0.8},
            {"smoothing": 0.1}, {"stop": "val_loss"}, {"stop": "val_accuracy"},
            {"digits": 600}]
study = {}
for quality, by_lot in (("clean labels", 0.0), ("30 % by lot", 0.3)):
    study[quality] = measure([PLAIN | {"by_lot": by_lot} | one for one in REMEDIES])


def table(quality, metric):
    """What each remedy does to `metric`: difference and interval, by name."""
    found = effects(study[quality], metric)
    names = found["factor"] + " " + found["level"].astype(str)
    return found.assign(name=names).set_index("name")


def draw_study(metric, unit, title):
    fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
    for ax, quality in zip(axes, study, strict=True):
        found = table(quality, metric)
        plot_effects(found, ax)
        ax.set_yticks(ax.get_yticks(), found.index if ax is axes[0] else [])
        ax.set_title(quality, loc="center", fontsize=11, fontweight="normal")
        ax.set_xlabel(unit)
    fig.suptitle(title, weight="bold")


# %%
draw_study("accuracy", "change of accuracy (points)",
           "On clean labels little is gained, on wrong ones much")
plt.show()
accuracy = {quality: table(quality, "accuracy") for quality in study}

# %% tolerance={"atol": 1.0, "rtol": 0.12}
for quality, found in accuracy.items():
    print(f"{quality}, points of accuracy:")
    print(found[["difference", "low", "high"]].round(1).to_string(header=False))
clean, lots = accuracy["clean labels"], accuracy["30 % by lot"]
width, gain = lots["high"] - lots["low"], clean["difference"]
assert (clean["high"].drop("digits 600") < 3).all()
assert clean["low"]["digits 600"] > 0.5
assert gain["digits 600"] > gain.drop("digits 600").max() + 1
assert gain[["stop val_loss", "stop val_accuracy"]].max() < -0.7
assert clean["high"]["stop val_accuracy"] < 0
assert (lots.loc[["L1 0.35", "dropout 0.5", "dropout 0.8"], "low"] > 0).all()
by_l2 = study["30 % by lot"][:10].pivot(index="seed", columns="L2", values="accuracy")
assert (by_l2[3.0] > by_l2[0.0]).all()
assert width["stop val_loss"] > 1.5 * width["L2 3.0"]
paying = lots["difference"][["L2 3.0", "L1 0.35", "dropout 0.5", "dropout 0.8"]]
assert lots["difference"]["smoothing 0.1"] < paying.min() - 1

# %% [markdown]
# **What happened.** (Blue intervals are clear of zero; where one is grey, these runs do not decide.) With *clean labels*
# no interval of a remedy reaches three points, and early stopping in earnest *costs* accuracy: the fifth of the digits
# that watches is missing from the training, and there was hardly anything to stop. Twice the digits are clearly ahead.
#
# With *wrong labels* L1 and dropout pay, clearly and by several points. L2 gained in each of the five seeds, but how
# much is not settled: its interval begins not far from zero. Label smoothing does less than any of them. Stopping by
# the loss has a very wide interval: in some seeds 60 doubtful labels pick a good moment, in others a bad one, and five
# seeds do not settle what that is worth on average. More seeds would. And a warning: among sixteen intervals at 95 %,
# one may well miss the truth.
#
# How does dropout of 0.8 compare with 300 more digits, when labels are wrong? Both were measured with the same seeds.

# %% tolerance={"atol": 0.8, "rtol": 0.03}
noisy = study["30 % by lot"]
two = noisy[(noisy["dropout"] == 0.8) | (noisy["digits"] == 600)]
choice = two["dropout"].map({0.8: "dropout", 0.0: "600 digits"})
two = pd.DataFrame({"choice": choice, "seed": two["seed"], "accuracy": two["accuracy"]})
row = effects(two, "accuracy", baseline={"choice": "600 digits"}).iloc[0]
print(f"dropout 0.8 minus 600 digits: {row['difference']:.1f} points,"
      f" from {row['low']:.1f} to {row['high']:.1f}")
assert row["high"] > 0 and row["low"] > -8

# %% [markdown]
# Read the interval before you call a winner. If it holds zero, all you may say is: with so many wrong labels, dropout
# is in the league of twice the data. And nothing forbids having both.
#
# ## Honest, too honest?
#
# Accuracy asks which class comes first. Day 12 asked whether a confidence of 90 % is right nine times in ten. The plain
# network, with clean labels, is too sure of itself; smoothing the labels keeps it from ever being told "one hundred
# percent".
#
# > **Predict.** With clean labels: which remedies lower the calibration error, and does label smoothing, which is praised
# > for it? And with 30 % of the labels by lot?

# %%
draw_study("off", "change of calibration error (points)",
           "Less sure is not the same as honest")
plt.show()

# %% tolerance={"atol": 0.25, "rtol": 0.03}
off = {quality: table(quality, "off") for quality in study}
chosen = {}
for quality, frame in study.items():
    for name, part in (("plain", frame[:5]), ("L2", frame[frame["L2"] > 0]),
                       ("smoothing", frame[frame["smoothing"] > 0])):
        sure, right, error = chosen[quality, name] = part[
            ["confidence", "accuracy", "off"]].mean()
        print(f"{quality}, {name:9}: {sure:.1f} % sure, {right:.1f} % right,"
              f" calibration error {error:.1f}")
assert off["clean labels"].loc["dropout 0.5", "high"] < 0
assert off["clean labels"].loc["L2 3.0", "difference"] < -1
assert off["clean labels"].loc["smoothing 0.1", "low"] > 1
noisy_means = study["30 % by lot"].groupby(["L2", "L1", "dropout"])[
    ["confidence", "accuracy"]].mean()
paid = noisy_means.drop(index=(0.0, 0.0, 0.0))  # the four that gained accuracy
assert (paid["confidence"] < paid["accuracy"] - 4).all() and len(paid) == 4
sure, right, _ = chosen["clean labels", "plain"]
assert sure > right + 4
sure, right, _ = chosen["clean labels", "smoothing"]
assert sure < right - 4

# %% [markdown]
# **What happened.** With clean labels L2 and dropout of 0.5 do what they are praised for: the network is less sure, and
# its confidence fits better. Label smoothing overshoots. It was *told* to be modest by 9 points on digits it knows, and
# carries that modesty on top of its doubts to digits it does not know: now it is right more often than it says. On the
# large sets where smoothing was found to help, networks are more overconfident to begin with (Müller and others, 2019).
#
# With wrong labels each remedy that raised the accuracy made the confidence *too low*. The network has learnt that labels
# are wrong now and then, and says so: as a statement about *labels* it may be right. But the judges have true ones. What
# "honest" means depends on whom you will be asked about. Fitting a temperature on clean digits (day 12) mends it.
#
# ## Recap
#
# - **By heart** a network learns any labels, true or by lot; its training accuracy cannot tell. Harm is done where what
#   is learnt by heart is wrong.
# - **L2** takes a share of each weight, **L1** the same amount from each, and zeros come only with a soft threshold. In
#   SGD the penalty is a decay, in Adam it is another remedy. Biases and gains do not pay.
# - **Dropout** silences by lot and enlarges the rest, in training alone; left on in the exam it costs points. **Early
#   stopping** needs digits of its own to watch, and its choice is only as good as they are.
# - **Measured** on 300 digits: with clean labels twice the data beat all remedies in accuracy, and some remedies help the
#   confidence; with wrong labels L1 and dropout gain several points, L2 some. Not all is decided by five seeds, and
#   strengths found here are no law for your data.
#
# ## What to try next
#
# - Give `REMEDIES` a row with two at once, `{"L2": 3.0, "dropout": 0.5}`. (`effects` pairs runs that differ in *one*
#   thing, so compare it by hand, as dropout and 600 digits above.) Do their gains add up?
# - Early stopping gave away a fifth of the digits. Use it to find the number of epochs alone, and then train on all 300
#   for as long. Does it still cost accuracy with clean labels?
# - Set `SEEDS` to `range(20)`: about four times the waiting, and intervals less than half as wide. Which of the grey ones
#   turn blue?
#
# ## References
#
# - Zhang, Bengio, Hardt, Recht, Vinyals (2017), *Understanding deep learning requires rethinking generalization*:
#   networks learn labels by lot, and pure noise as images, to the last example; regularisation hardly hinders them.
# - Arpit and others (2017), *A closer look at memorization in deep networks*: what many examples share is learnt
#   first, and dropout hinders learning noise more than learning from real labels.
# - Krogh, Hertz (1992), *A simple weight decay can improve generalization*: decay removes what the data do not ask for.
# - Tibshirani (1996), *Regression shrinkage and selection via the lasso*: the L1 price selects.
# - Daubechies, Defrise, De Mol (2004), *An iterative thresholding algorithm for linear inverse problems with a sparsity
#   constraint*: ISTA, a step and a soft threshold.
# - Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov (2014), *Dropout: a simple way to prevent neural networks
#   from overfitting*.
# - Prechelt (1998), *Early stopping, but when?*: compares rules for stopping; patient ones gain little and cost time.
# - Loshchilov, Hutter (2019), *Decoupled weight decay regularization*: AdamW.
# - Müller, Kornblith, Hinton (2019), *When does label smoothing help?*: better calibration on large sets, and worse
#   teachers for small networks.
