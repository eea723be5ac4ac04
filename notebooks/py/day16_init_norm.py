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
# # Day 16: where should a network start?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. Builds on
# [day 3](day03_activations.ipynb) and [day 4](day04_layers_modules.ipynb).*
#
# Before its first step a network is nothing but random numbers, and PyTorch chooses them for you. With three layers
# you never notice how. Today's network has thirty, and the start decides whether they pass anything on, in both
# directions. How large the random numbers should be follows from a calculation of three lines.
#
# **By the end you can**
#
# - derive from a layer's sizes how large its starting weights should be, for ReLU and for tanh;
# - measure signal and gradient layer by layer before training, and say which network will not learn;
# - tell BatchNorm, LayerNorm and GroupNorm apart by what they average over, and say what each needs from a batch;
# - make a 30-layer network train, and say what normalisation cannot do for it.
#
# [← Day 15: is deeper better than wider?](day15_depth_width.ipynb) ·
# [Day 17: what keeps a network from learning by heart? →](day17_regularisation.ipynb)

# %%
import math

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP
from nnlab_helpers.plots import PALETTE, label_lines, plot_band, plot_effects
from nnlab_helpers.plots import show_images, use_style
from nnlab_helpers.sweep import cache_folder, effects, sweep

seed_everything(0)
device = pick_device()
use_style()
torch.set_num_threads(1)  # networks as small as today's are quicker with one

# %% [markdown]
# ## Look first
#
# Today takes many short trainings, so the data is small: 1,024 digits to learn from, 1,000 others to be judged by.

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
train_index, val_index = order[:1_024], order[1_024:2_024]
normalize = Normalize.from_images(digits, train_index)
first = digits.take(train_index[:10])
title = "Ten of today's 1,024 digits"
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
print(f"brightness: mean {train_x.mean():.2f}, standard deviation {train_x.std():.2f}")
frequent = val_y.bincount().max() / len(val_y)
print(f"the most frequent digit: {frequent:.1%} of the others")
assert abs(train_x.mean()) < 0.01 and abs(train_x.std() - 1) < 0.01


# %% [markdown]
# After normalisation the brightnesses have mean 0 and standard deviation 1. Remember this: it is the size of the
# signal that enters every network of today.
#
# All networks have hidden layers of 64 units. Each step draws a random batch, and Adam takes the step. Only the
# number of layers, the start, the bend and the normalisation will change. (A *bend* is day 3's word for an
# activation function.)

# %%
def train(model, steps=48, batch=64, rate=0.001):
    """Train with Adam on random batches; last losses' mean, accuracy on others (%)."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    losses = []
    for _ in range(steps):
        rows = torch.randint(len(train_x), (batch,)).to(device)  # drawn on the CPU
        optimizer.zero_grad()
        loss = F.cross_entropy(model(train_x[rows]), train_y[rows])
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    model.eval()
    with torch.no_grad():
        right = (model(val_x).argmax(dim=1) == val_y).float().mean()
    return {"loss": torch.stack(losses[-10:]).mean(), "accuracy": 100 * right}


# %% [markdown]
# ## Thirty layers
#
# We build the network once with 3 hidden layers and once with 30, as PyTorch makes them, and train each of them from
# three random starts. `sweep` (day 15) seeds every run, and keeps what it gave in a cache.
#
# > **Predict.** The same 48 steps for both. An untrained network's loss is $\log 10 \approx 2.3$. How many digits
# > in a hundred will the shallow network read right, and how many the deep one?

# %% tolerance={"rtol": 0.03}
def run_depth(config, seed):
    return train(MLP(784, [64] * config["depth"], 10).to(device))


as_made = sweep(run_depth, {"depth": [3, 30]}, seeds=range(3), n_jobs=1,
                cache=cache_folder("day16_depth"))
for depth, runs in as_made.groupby("depth"):
    print(f"{depth:2} layers: loss", " ".join(f"{v:.2f}" for v in runs["loss"]),
          "  accuracy", " ".join(f"{v:4.1f}" for v in runs["accuracy"]))
shallow, deep = (runs for _, runs in as_made.groupby("depth"))
assert shallow["accuracy"].min() > 70 and deep["accuracy"].max() < 20
assert (deep["loss"] - math.log(10)).abs().max() < 0.05


# %% [markdown]
# **What happened.** Three layers learn to read in 48 steps. Thirty learn nothing, in all three runs: their loss is
# that of an untrained network, and about one digit in ten is right, which a network that always gives the same
# answer gets as well. Day 15 paid for depth, too, but this is no price, it is a wall. The data and the loop are the
# same for both networks. So before we try other rates or more steps, let us see what the wall is made of.
#
# ## What a layer does to the size of a signal
#
# One unit computes $z = w_1 x_1 + \dots + w_n x_n$. Let the weights be random, with mean 0, and independent of the
# inputs and of each other. Then all products $w_i w_j$ of different weights are 0 on average, and of the square of
# $z$ only this is left:
#
# $$\mathrm{E}[z^2] \;=\; \sum_{i=1}^{n} \mathrm{E}[w_i^2]\, \mathrm{E}[x_i^2]
# \;=\; n \cdot \mathrm{Var}(w) \cdot \mathrm{E}[x^2].$$
#
# $n$ is the number of inputs, called **fan-in**. We measure the **size** of a signal as the root of its mean square.
# A layer multiplies the size by $\sqrt{n}$ times the standard deviation of its weights.
#
# > **Predict.** Numbers of size 1 go through five layers without a bend, 64 units each, with weights of standard
# > deviation 1. How large are they at the end? And with a deviation of 0.01?

# %% tolerance={"rtol": 0.03}
def size(x):
    """Root of the mean square."""
    return x.square().mean().sqrt().item()


generator = torch.Generator().manual_seed(0)
reached = {}
for std in (1.0, 0.01, 1 / math.sqrt(64)):
    h = torch.randn(1_000, 64, generator=generator)
    for _ in range(5):
        h = h @ (std * torch.randn(64, 64, generator=generator)).T
    reached[std] = size(h)
    print(f"deviation {std:5}: size {reached[std]:.1e},"
          f" the formula says {(std * math.sqrt(64)) ** 5:.1e}")
for std, measured in reached.items():
    assert 0.6 < measured / (std * math.sqrt(64)) ** 5 < 1.6
assert reached[1.0] > 10_000 and reached[0.01] < 1e-5

# %% [markdown]
# **What happened.** Each layer multiplies by the same factor, so five layers make a power of it: 8 to the fifth, or
# 0.08 to the fifth. Only a factor of 1 survives a power, and it needs $\mathrm{Var}(w) = 1/n$.
#
# A bend changes the factor. $z$ is as often negative as positive, and ReLU sets the negative half to zero: of the
# mean square, half remains. To make up for it, the variance has to be twice as large, $\mathrm{Var}(w) = 2/n$. A
# bend that is a straight line around zero, such as tanh, keeps small signals as they are, and $1/n$ is right.

# %% tolerance={"rtol": 0.03}
z = torch.randn(100_000, generator=generator)
kept = size(z.relu()) ** 2 / size(z) ** 2
print(f"ReLU keeps {kept:.2f} of the mean square")
assert abs(kept - 0.5) < 0.02


# %% [markdown]
# ### And backwards?
#
# A gradient passes the same weights in the other direction. What a unit *receives* from above is a sum over all
# units of the next layer that it feeds, so the number that counts is that of the layer's outputs, **fan-out**. If all
# layers are of one width, it is the same number, and one choice serves both ways. If not, you must choose:
#
# | start | variance of the weights | for |
# |---|---|---|
# | Xavier (Glorot and Bengio, 2010) | $2 / (n_{\text{in}} + n_{\text{out}})$: between both directions | tanh |
# | He (He and others, 2015) | $2 / n_{\text{in}}$: forwards, with ReLU's factor 2 | ReLU |
#
# Each may be drawn from a normal or from a uniform distribution. Uniform numbers between $-a$ and $a$ have the
# standard deviation $a / \sqrt 3$, so $a = \sqrt 3$ times the deviation that is wanted.

# %%
def start_layer(layer, scheme, distribution="normal"):
    """Draw the weights of an `nn.Linear` anew; its biases become zero."""
    n_out, n_in = layer.weight.shape
    std = math.sqrt(2 / n_in if scheme == "he" else 2 / (n_in + n_out))
    with torch.no_grad():
        if distribution == "normal":
            layer.weight.normal_(0, std)
        else:
            layer.weight.uniform_(-math.sqrt(3) * std, math.sqrt(3) * std)
        layer.bias.zero_()


# %% [markdown]
# PyTorch has all four in `torch.nn.init`, where He's start goes by his first name. Do we agree?

# %% tolerance={"rtol": 0.03}
layer = nn.Linear(784, 256)
theirs = {("xavier", "normal"): nn.init.xavier_normal_,
          ("xavier", "uniform"): nn.init.xavier_uniform_,
          ("he", "normal"): nn.init.kaiming_normal_,
          ("he", "uniform"): nn.init.kaiming_uniform_}
for (scheme, distribution), draw in theirs.items():
    start_layer(layer, scheme, distribution)
    ours, largest = layer.weight.std().item(), layer.weight.abs().max().item()
    draw(layer.weight)
    gap = abs(layer.weight.std().item() / ours - 1)
    print(f"{scheme:6} {distribution:7}: deviation {ours:.4f}, agrees: {gap < 0.01}")
    assert gap < 0.01, "of 200,704 numbers the deviation is known to a few thousandths"
    assert (largest < 1.8 * ours) == (distribution == "uniform")


# %% [markdown]
# ### Exercise: how large should the weights be? ★☆☆
#
# `starting_std(shape, scheme)` gets the shape of a weight, a tuple or `torch.Size`, and returns the standard
# deviation of its start as a float. For `"he"` it is $\sqrt{2 / n_{\text{in}}}$, for `"xavier"`
# $\sqrt{2 / (n_{\text{in}} + n_{\text{out}})}$, and anything else is a `ValueError`.
#
# A linear layer's weight has the shape `(outputs, inputs)`. A convolution's has `(output channels, input channels,
# height, width)`, and here is the catch: one output is the sum over *all* input channels and *all* places of the
# kernel, so $n_{\text{in}}$ = input channels × height × width, and $n_{\text{out}}$ in the same way, with the output
# channels. There may be one, two or three such axes after the channels. For `(10, 8)` and `"he"` the answer is 0.5;
# for `(10, 8, 2, 2)` and `"he"` it is 0.25.
#
# Stuck? `hint("day16.starting_std")` gives a first nudge, and a stronger one each time you ask again.

# %%
def starting_std(shape, scheme):
    """Standard deviation of the starting weights of a layer with this weight shape."""
    ...  # your code here


check("day16.starting_std", starting_std)


# %% [markdown]
# ## Before the first step
#
# Back to the thirty layers. We send 256 digits through the untrained network and note for each hidden layer:
#
# - the **size** of what it passes on;
# - its **spread**: how much that differs *from digit to digit*, as the standard deviation over the samples,
#   averaged over the units;
# - the size of the **gradient** that comes back to it from the loss.
#
# This takes a fraction of a second. We do it on the CPU and with double precision, because some of the numbers will
# be too small for anything less.

# %%
def network(start, depth=30, bend="relu", norm=None, width=64):
    """A network of 784 -> depth x 64 -> 10 with the given start."""
    model = MLP(784, [width] * depth, 10, activation=bend, norm=norm)
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and start != "default":
            if isinstance(start, float):  # a deviation, the same for all layers
                nn.init.normal_(layer.weight, std=start)
                nn.init.zeros_(layer.bias)
            else:
                start_layer(layer, start)
    return model


def signals(model, x, y):
    """Of each hidden layer: size, spread, and size of the gradient [3, layers]."""
    h, bent = x, []
    for layer in model.layers:
        h = layer(h)
        if isinstance(layer, (nn.ReLU, nn.Tanh)):
            h.retain_grad()
            bent.append(h)
    F.cross_entropy(h, y, reduction="sum").backward()  # each digit's own gradient
    return torch.tensor([[size(h), h.std(dim=0).mean().item(), size(h.grad)]
                         for h in bent]).T


# %%
few_x, few_y = train_x[:256].cpu().double(), train_y[:256].cpu()


def three_starts(start, **options):
    """`signals` of three networks [3 seeds, 3, layers]."""
    found = []
    for seed in range(3):
        seed_everything(seed)
        found.append(signals(network(start, **options).double(), few_x, few_y))
    return torch.stack(found)


# %% [markdown]
# > **Predict.** Four starts for thirty layers of 64 units with ReLU: a deviation of 0.01 (customary until about
# > 2010), Xavier, He, and a deviation of 0.3. By which factor does each layer change the size of the signal, and
# > what is left after thirty? Take $\sqrt{n\,\mathrm{Var}(w) / 2}$, with $n = 64$, and make a power of it in your
# > head, roughly.

# %% tolerance={"rtol": 0.03}
starts = {"0.01": 0.01, "Xavier": "xavier", "He": "he", "0.3": 0.3}
deviation = {"0.01": 0.01, "Xavier": 1 / 8, "He": math.sqrt(2) / 8, "0.3": 0.3}
found = {name: three_starts(start) for name, start in starts.items()}
for name, parts in found.items():
    forward, _, back = parts.log().mean(dim=0).exp()  # geometric means over seeds
    factor = (forward[-1] / forward[0]) ** (1 / 29)
    theory = deviation[name] * math.sqrt(64 / 2)
    print(f"{name:6}: a layer multiplies by {factor:.3f} (formula: {theory:.3f})")
    assert abs(factor / theory - 1) < 0.1
    assert abs((back[0] / back[-1]) ** (1 / 29) / theory - 1) < 0.15

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.8), sharey=True)
for ax, row, way in zip(axes, (0, 2), ("signal, forwards →", "← gradient, backwards")):
    for name, parts in found.items():
        plot_band(ax, range(1, 31), parts[:, row], name)
    ax.set(yscale="log", ylim=(1e-16, 1e10), xlabel="layer")
    ax.set_title(way, fontsize=11, fontweight="normal")
axes[0].set_ylabel("size (log scale)")
for name, x, y, color in zip(found, (10, 17, 17, 11), (1e-10, 1e-5, 6, 1e6), PALETTE):
    axes[0].text(x, y, name, color=color)
fig.suptitle("Only with He's start the size stays, both ways",
             fontweight="bold", x=0.01, ha="left")
plt.show()
he = found["He"]
assert he[:, 0].min() > 0.2 and he[:, 0].max() < 5
assert (he[:, 2].amax(dim=1) < 10 * he[:, 2].amin(dim=1)).all()
assert found["Xavier"][:, 0, -1].max() < 1e-4 and found["0.3"][:, 0, -1].min() > 1e6

# %% [markdown]
# **What happened.** The formula is right to a few per cent, and the gradient (which travels from right to left)
# follows the same factors. Only with He's start the size stays between 0.2 and 5 in all layers and seeds, and the
# gradient within a factor of ten. A factor not far below one looks harmless, but Xavier's 0.7 to the thirtieth is
# less than a ten-thousandth. That is what the 2 in He's formula is for. With 0.01 nothing arrives; with 0.3 the
# last layer puts out millions.

# %% [markdown]
# ### What PyTorch gives you
#
# `nn.Linear` draws its weights by `kaiming_uniform_(weight, a=math.sqrt(5))`. That sounds like He, but the `a`
# takes it back: what comes out is a uniform distribution between $-1/\sqrt n$ and $1/\sqrt n$, of variance $1 /
# (3n)$. Biases are drawn from the same interval, for historical reasons.
#
# > **Predict.** By the formula each ReLU layer multiplies the size by $\sqrt{1/6} \approx 0.41$. So after thirty
# > layers, what does the size look like? And the spread, how much it differs from digit to digit?

# %% tolerance={"rtol": 0.03}
fresh = nn.Linear(64, 64).weight
print(f"deviation times the root of n: {fresh.std() * 8:.3f}"
      f" (1 / sqrt 3 is {1 / math.sqrt(3):.3f})")
assert abs(fresh.std() * 8 * math.sqrt(3) - 1) < 0.05
made = three_starts("default")
sizes, spreads, backs = made.log().mean(dim=0).exp()
for k in (0, 9, 29):
    print(f"layer {k + 1:2}: size {sizes[k]:.2f}, spread {spreads[k]:.0e},"
          f" gradient {backs[k]:.0e}")
assert sizes[29] > 0.03 and spreads[29] < 1e-7 and backs[0] < 1e-10

# %%
fig, ax = plt.subplots(figsize=(7, 3))
for row, label in enumerate(("size", "spread", "gradient")):
    plot_band(ax, range(1, 31), made[:, row], label)
ax.set(yscale="log", xlabel="layer", ylabel="over 256 digits (log scale)")
ax.set_title("PyTorch's start: the size settles, the spread dies")
label_lines(ax)
plt.show()


# %% [markdown]
# **What happened.** The size settles, the spread dies. What the deep layers pass on is made of their biases alone:
# the same for a 1 and for an 8. Had we looked at the size only, or at a histogram of activations, all would have
# seemed well. And the gradient that reaches the first layers is smaller than a ten-billionth.
#
# So this is the wall. PyTorch's start is tolerable for a few layers, and for thirty it is the end. It is a default,
# not a recommendation: large models set their start themselves. Today's definition of a healthy network: **from the
# first layer to the last, its spread and its gradient stay within a factor of a hundred.**
#
# ### Exercise: what does the network have? ★★☆
#
# `diagnose(spreads)` gets the spreads of the layers of a network, a list of at least one float, first layer to
# last. A layer is *silent* if its spread is less than 0.01 times that of the **first** layer, and *too loud* if it
# is more than 100 times that, or not a finite number (`nan` or `inf`). The first layer's spread is finite and
# positive. Return a tuple for the first layer that is silent or too loud: `("dies", k)` or `("explodes", k)`, where
# `k` is its position, counted from 0. If there is none, `("lives", None)`. For `[2.0, 0.5, 0.1, 0.015, 0.012]` it is
# `("dies", 3)`, as 0.015 is less than 0.02.

# %%
def diagnose(spreads):
    """("dies", k), ("explodes", k) or ("lives", None)."""
    ...  # your code here


check("day16.diagnose", diagnose)


# %% [markdown]
# ## Break it on purpose: everybody the same
#
# Why random numbers at all? If the right size is all that matters, each weight could have the *same* number. Or zero,
# which nobody could call too large. Two hidden layers of 64 will do to see what comes of it.
#
# > **Predict.** Three starts: all weights 0, all weights 0.05, and He. How many of the 64 units of the first layer
# > are different from each other after training? And how many digits in a hundred does each network read right?

# %% tolerance={"rtol": 0.05}
def different_units(layer):
    """How many rows of the weights are no copy of an earlier row."""
    alike = torch.cdist(layer.weight, layer.weight) < 0.1  # [units, units]
    return int((~alike.tril(-1).any(dim=1)).sum())


alike = {}
for name, value in (("all 0", 0.0), ("all 0.05", 0.05), ("He", None)):
    seed_everything(0)
    model = network("he", depth=2)
    if value is not None:
        for weight in (p for p in model.parameters() if p.ndim == 2):
            nn.init.constant_(weight, value)
    result = train(model.to(device))
    alike[name] = different_units(model.layers[1]), result["accuracy"].item()
    print(f"{name:9}: {alike[name][0]:2} different units, {alike[name][1]:.1f} % right")
assert alike["all 0"][0] == alike["all 0.05"][0] == 1 and alike["He"][0] == 64
assert alike["all 0.05"][1] < 45 and alike["all 0"][1] < 20 and alike["He"][1] > 75

# %% [markdown]
# **What happened.** Units that start alike compute the same, get the same gradient, and take the same step. They
# stay copies of each other for ever: 64 units, worth one. Nothing in the training can tell them apart, so the start
# must; this is called **breaking the symmetry**. With zeros even that one unit never wakes up: nothing passes it
# forwards, and nothing passes the zero weights backwards. Only the last bias learns, and that makes a network which
# always gives the same answer.
#
# Biases may all be zero, as their units differ already. And a *last* layer of zeros does no harm:
# it wakes up in the first step, because its inputs differ.
#
# ## Normalise instead
#
# There is another way to keep a signal's size: do not calculate it beforehand, but enforce it. A normalisation
# layer stands before each bend, subtracts a mean and divides by a standard deviation. Day 4 showed the family on
# signals with places. For the units of a linear layer, a batch is a table `[samples, units]`, and each kind is two
# or three lines.

# %%
EPS = 1e-5  # never divide by zero


def batch_norm(x):
    """Each unit over the samples of the batch."""
    return (x - x.mean(dim=0)) / (x.var(dim=0, correction=0) + EPS).sqrt()


def layer_norm(x):
    """Each sample over its units."""
    mean, var = x.mean(dim=1, keepdim=True), x.var(dim=1, correction=0, keepdim=True)
    return (x - mean) / (var + EPS).sqrt()


def group_norm(x, groups):
    """Each sample over the units of one group, then of the next."""
    parts = x.reshape(len(x) * groups, -1)  # a row for each sample and group
    return layer_norm(parts).reshape(x.shape)


# %%
x = 5 * torch.randn(8, 16) + 2
oracles = {"BatchNorm": (nn.BatchNorm1d(16), batch_norm(x)),
           "LayerNorm": (nn.LayerNorm(16), layer_norm(x)),
           "GroupNorm": (nn.GroupNorm(4, 16), group_norm(x, 4))}
fig, axes = plt.subplots(1, 3, figsize=(7, 2.3), sharey=True)
for ax, (name, (theirs, ours)) in zip(axes, oracles.items(), strict=True):
    torch.testing.assert_close(theirs(x), ours, atol=1e-5, rtol=1e-4)
    probe = x.clone().requires_grad_()
    theirs(probe)[2, 5].backward()  # who has a say in this one?
    ax.imshow(probe.grad != 0, cmap="Blues", vmax=1.6, aspect="auto")
    ax.plot(5, 2, "o", color="black", markersize=5)
    ax.set(title=name, xlabel="unit", xticks=[0, 4, 8, 12])
    ax.grid(False)
axes[0].set_ylabel("sample")
plt.show()

# %% [markdown]
# Coloured are the entries that have a say in the normalised value at the dot. BatchNorm looks at one unit in all
# samples. LayerNorm looks at one sample and all its units, GroupNorm at some of them (here four groups of four).
# Our lines agree with PyTorch's layers, which in addition multiply by a learned number per unit and add another: 1
# and 0 at the start.
#
# And BatchNorm keeps **running statistics**: averages of the means and variances that it has met in training, which
# it uses afterwards in their place (day 4 called them its diary). We keep them by hand, too: how far apart are the
# answers of the two modes after a single batch?

# %%
norm = nn.BatchNorm1d(16)
norm(x)  # in training mode, looking is enough
expected_mean = 0.9 * 0 + 0.1 * x.mean(dim=0)
expected_var = 0.9 * 1 + 0.1 * x.var(dim=0)  # this one divides by N - 1
torch.testing.assert_close(norm.running_mean, expected_mean)
torch.testing.assert_close(norm.running_var, expected_var)
by_hand = (x - norm.running_mean) / (norm.running_var + EPS).sqrt()
torch.testing.assert_close(norm.eval()(x), by_hand)
gap = (by_hand - batch_norm(x)).abs().max().item()
print(f"after one batch the two modes differ by up to {gap:.1f}")
assert gap > 0.5

# %% [markdown]
# What does that have to do with the start? Multiply all weights of a layer by a hundred, and look at what comes out
# behind the normalisation.

# %%
h, weight = torch.randn(256, 64), torch.randn(64, 64)
for norm in (batch_norm, layer_norm):
    change = (norm(h @ (100 * weight)) - norm(h @ weight)).abs().max().item()
    print(f"{norm.__name__}: changed by less than a thousandth: {change < 1e-3}")
    assert change < 1e-3


# %% [markdown]
# The scale of the weights is gone, and with it everything that we calculated so far. Is the start of no
# importance any more?
#
# ### Exercise: a BatchNorm that forgets ★★☆
#
# This class should do for a table `[N, units]` what `nn.BatchNorm1d` does, without the learned numbers. It has two
# faults. In evaluation mode it still looks at the batch. And it forgets: save the `state_dict` of a trained
# network, load it into a fresh one, and the running statistics are back at 0 and 1. (Something that is part of a
# module's state, but not a parameter, is a *buffer*: `self.register_buffer(name, tensor)`.)
#
# Mend both. In training mode: normalise with the mean and the variance of the batch (the biased one, divided by N:
# `correction=0`), and move each running average a tenth of the way to what the batch had; for the running variance
# PyTorch takes the unbiased one, divided by N - 1. In evaluation mode: normalise with the running averages and change
# nothing. The names `running_mean` and `running_var` (both `[units]`) stay.

# %%
class MendedBatchNorm(nn.Module):
    """BatchNorm for [N, units], without a learned scale and shift."""

    def __init__(self, units, momentum=0.1, eps=1e-5):
        """Start from mean 0 and variance 1."""
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.running_mean = torch.zeros(units)
        self.running_var = torch.ones(units)

    def forward(self, x):
        """Normalised `x` [N, units]."""
        ...  # take this line away when the class is mended
        mean, var = x.mean(dim=0), x.var(dim=0, correction=0)
        if self.training:
            with torch.no_grad():
                self.running_mean += self.momentum * (mean - self.running_mean)
                unbiased = x.var(dim=0)
                self.running_var += self.momentum * (unbiased - self.running_var)
        return (x - mean) / (var + self.eps).sqrt()


check("day16.mended_batch_norm", MendedBatchNorm)


# %% [markdown]
# ### Exercise: fold it away ★★★
#
# After training, a BatchNorm in evaluation mode multiplies each unit by a fixed number and adds another. A linear
# layer before it can do that as well, so the two become one, and the network faster. `folded(linear, norm)` gets an
# `nn.Linear` (perhaps without a bias) and the `nn.BatchNorm1d` behind it, and returns a **new** `nn.Linear` that
# gives for every batch what `norm.eval()(linear(x))` gives. Neither of the two may be changed, nor the mode they
# are in. The norm's learned scale and shift are `norm.weight` and `norm.bias`, its running statistics
# `norm.running_mean` and `norm.running_var`, all of shape `[units]`, and `norm.eps` is added to the variance.

# %%
def folded(linear, norm):
    """One nn.Linear for `linear` followed by `norm` in evaluation mode."""
    ...  # your code here


check("day16.folded", folded)


# %% [markdown]
# ## Does a norm make the start unimportant?
#
# We measure it, with ten hidden layers, where a bad start hurts and a good one suffices. Three starts, each
# without a norm, with BatchNorm and with LayerNorm, six seeds each. Rate 0.003, which suited most of them
# when we tried.
#
# > **Predict.** Where does BatchNorm help most? Does it also help the network that starts well, with He? And
# > LayerNorm: the same?

# %% tolerance={"rtol": 0.25}
def run_norm(config, seed):
    norm = None if config["norm"] == "none" else config["norm"]
    model = network(config["start"], depth=10, norm=norm).to(device)
    return train(model, steps=32, rate=0.003)


grid = {"start": [0.01, "default", "he"], "norm": ["none", "batch", "layer"]}
by_norm = sweep(run_norm, grid, seeds=range(6), n_jobs=1,
                cache=cache_folder("day16_norm"))
print("share of digits read right, mean of six seeds")
for start, runs in by_norm.groupby("start", sort=False):
    means = runs.groupby("norm", sort=False)["accuracy"].mean() / 100
    print(f"start {start!s:8}", "  ".join(f"{k} {v:.2f}" for k, v in means.items()))

# %% [markdown]
# These short runs are jumpy: with other rounding, on another computer, a single seed may move by ten points. That is
# what intervals are for. So here are the differences to the same start without a norm, paired by seed, with their
# intervals (day 15).

# %%
gain = {}
for start, runs in by_norm.groupby("start", sort=False):
    table = effects(runs, "accuracy", baseline={"norm": "none"})
    gain[start] = table.set_index("level")
fig, axes = plt.subplots(3, 1, figsize=(7, 3.9), sharex=True)
names = {0.01: "deviation 0.01", "default": "PyTorch's start", "he": "He's start"}
for ax, (start, table) in zip(axes, gain.items(), strict=True):
    plot_effects(table.reset_index(), ax, unit="accuracy (points)")
    ax.set_ylim(-1.6, 0.6)
    ax.set_title(names[start], fontsize=11, fontweight="normal")
    ax.label_outer()
fig.suptitle("BatchNorm makes up for a bad start",
             fontweight="bold", x=0.01, ha="left")
plt.show()

# %% [markdown]
# **What happened.** BatchNorm brings both bad starts up by more than ten points, the whole interval included.
# LayerNorm does less than half of that for the deviation of 0.01. For PyTorch's start look at its interval: where it
# is grey it holds zero, and six seeds do not decide. He's start had no need of help: neither norm brings it half of
# what BatchNorm brings to the others. BatchNorm is an insurance against a bad start more than a gain beyond a good
# one.
#
# Why does LayerNorm do so little where BatchNorm succeeds? The scale of the weights has gone from the *signal*. It
# has not gone from the *step*: a step of 0.003 is long for weights of 0.01. And only BatchNorm restores the spread.
# LayerNorm normalises each sample by itself, so two digits that have become alike stay alike. The runs above cannot
# tell which of the two it is; the second thing to try below can.

# %%
for start in (0.01, "default"):
    assert gain[start].low["batch"] > 10
assert gain[0.01].difference["layer"] < gain[0.01].difference["batch"] / 2
rescued = min(gain[start].difference["batch"] for start in (0.01, "default"))
assert gain["he"].difference.max() < rescued / 2

# %% [markdown]
# ## How many neighbours does BatchNorm need?
#
# BatchNorm knows each unit's mean and deviation only from the samples at hand. Take the smallest batch in which a
# deviation exists.
#
# > **Predict.** Two samples in a batch (random numbers will do), and BatchNorm normalises the 64 units of a layer.
# > Which values come out?

# %%
pair = batch_norm(torch.randn(2, 64, generator=generator))
print("values:", sorted({round(v, 1) for v in pair.flatten().tolist()}))
assert (pair.abs() > 0.9).float().mean() > 0.9


# %% [markdown]
# **What happened.** Of two numbers, one is the larger. Minus their mean, divided by their deviation, they become 1
# and -1, whatever they were (a little less where the two were so close that the `EPS` shows). *How much* they
# differ is gone. Each unit says one bit about the pair, and the bit depends on who the neighbour was. Afterwards,
# in evaluation, the running statistics do no such thing: the next layer meets numbers it has never seen.
#
# With more neighbours this gets better. How many are enough? Two hidden layers, started with He, 32 steps of each
# batch size. BatchNorm is compared with LayerNorm, which never looks at neighbours, and with GroupNorm (8 groups of
# 8 units).
#
# > **Predict.** From which batch size on does BatchNorm keep up with the other two?

# %%
def run_batch(config, seed):
    model = network("he", depth=2, norm=config["norm"]).to(device)
    return train(model, steps=32, batch=config["batch"])


grid = {"batch": [2, 4, 8, 32], "norm": ["batch", "layer", "group"]}
by_batch = sweep(run_batch, grid, seeds=range(8), n_jobs=1,
                 cache=cache_folder("day16_batch"))
fig, ax = plt.subplots(figsize=(7, 3.4))
for name, runs in by_batch.groupby("norm", sort=False):
    table = runs.pivot(index="seed", columns="batch", values="accuracy")
    plot_band(ax, table.columns, table.to_numpy(), name, marker="o")
ax.set_xscale("log", base=2)
ax.set(xlabel="batch size", ylabel="digits read right (%)", xticks=[2, 4, 8, 32])
ax.set_xticklabels([2, 4, 8, 32])
ax.set_title("With few neighbours BatchNorm falls behind")
label_lines(ax)
plt.show()

# %% tolerance={"atol": 0.8, "rtol": 0.25}
ahead = {}
for batch, runs in by_batch.groupby("batch"):
    table = effects(runs, "accuracy", baseline={"norm": "batch"})
    ahead[batch] = table.set_index("level")
    for row in table.itertuples():
        print(f"batch of {batch:3}: {row.level} - batch: {row.difference:5.1f} points"
              f" ({row.low:5.1f} to {row.high:5.1f})")

# %% [markdown]
# **What happened.** With two or four digits in a batch both others are ahead, and the intervals leave zero out.
# With 8 it is close. With 32 neither is ahead by more than a few points, and GroupNorm even falls behind: where
# there are enough neighbours, they are worth looking at. Had we compared at one batch size only, we could have
# "shown" whatever we liked.
#
# Note that a larger batch also means more digits per step, so all three curves rise; only the distance between them
# speaks about the norms. Small batches are no rarity: large images leave room for one or two on a GPU, and that is
# what GroupNorm was made for. A larger run would go on until each curve is flat, and tune the rate for each norm.

# %%
for batch in (2, 4):
    assert (ahead[batch].low > 0).all()
assert (ahead[32].high < 6).all()
assert ahead[32].high["group"] < 0

# %% [markdown]
# ## Thirty layers, made to train
#
# Now for the wall. Three candidates: He's start; He's start and a BatchNorm in each layer; and Xavier with tanh,
# the bend for which Xavier is right. Before we train, we look.
#
# > **Predict.** BatchNorm gives every layer a signal of the same size, whatever happens. What about the gradient,
# > on its way from the last layer to the first: does it stay, grow or shrink?

# %% tolerance={"rtol": 0.03}
candidates = {
    "He": {"start": "he"},
    "He, BatchNorm": {"start": "he", "norm": "batch"},
    "Xavier, tanh": {"start": "xavier", "bend": "tanh"},
}
looked = {name: three_starts(**options) for name, options in candidates.items()}
for name, parts in looked.items():
    sizes, spreads, backs = parts.log().mean(dim=0).exp()
    print(f"{name:13}: last layer: size {sizes[-1]:.2f}, spread {spreads[-1]:.2f};"
          f" gradient, first / last layer: {backs[0] / backs[-1]:.2g}")
    share = spreads[-1] / sizes[-1]
    assert (share < 0.5) if name == "He" else (share > 0.6)
    growth = (backs[0] / backs[-1]) ** (1 / 29)
    assert (1.18 < growth < 1.25) if name == "He, BatchNorm" else (0.9 < growth < 1.05)

# %%
fig, axes = plt.subplots(1, 2, figsize=(7.2, 3.4), sharey=True)
for ax, row, way in zip(axes, (1, 2), ("spread, forwards →", "← gradient, backwards")):
    for name, parts in looked.items():
        plot_band(ax, range(1, 31), parts[:, row], name if row == 2 else "_")
    ax.set(yscale="log", ylim=(0.01, 100), xlabel="layer")
    ax.set_title(way, fontsize=11, fontweight="normal")
axes[0].set_ylabel("over 256 digits (log scale)")
fig.suptitle("BatchNorm: the spread stays, the gradient grows",
             fontweight="bold", x=0.01, ha="left")
label_lines(axes[1])
plt.show()


# %% [markdown]
# **What happened.** With BatchNorm the spread is the same in every layer, and the gradient grows on its way back by
# a factor of about 1.2 per layer. In the end that is more than a hundredfold: by today's definition this network is
# not healthy. Yang and others (2019) derived the factor for ReLU: $\sqrt{\pi / (\pi - 1)} \approx 1.21$. Each norm
# subtracts the part of the signal that all digits share and stretches the rest, and what stretches differences
# forwards stretches gradients backwards: a small change in the first layer becomes a large one in the last.
#
# He's start has a weakness, too, that the size alone did not show: of what the last layer passes on, less than half
# is spread. The larger part is the same for all digits, because ReLU's outputs are never negative and so have a
# mean that adds up from layer to layer. With tanh, whose outputs lie around zero, nearly all of it is spread.
#
# > **Predict.** Now train the three, 48 steps each, as at the beginning. Put them in order.

# %% tolerance={"rtol": 0.03}
def run_deep(config, seed):
    return train(network(**candidates[config["network"]]).to(device))


trained = sweep(run_deep, {"network": list(candidates)}, seeds=range(3), n_jobs=1,
                cache=cache_folder("day16_deep"))
reached = {"PyTorch's start": deep["accuracy"].to_numpy()}
for name, runs in trained.groupby("network", sort=False):
    reached[name] = runs["accuracy"].to_numpy()
print("share of digits read right, mean of three seeds, to a tenth")
for name, values in reached.items():
    print(f"{name:15} {values.mean() / 100:.1f}")
ours = trained.set_index("network")["loss"]
assert reached["Xavier, tanh"].min() > reached["He"].max() and ours["He"].max() < 2.2
assert reached["Xavier, tanh"].min() > 45 and ours["He, BatchNorm"].min() > 2.2
assert reached["He"].min() > 17 and reached["He, BatchNorm"].max() < 22

# %%
fig, ax = plt.subplots(figsize=(7, 2.6))
for place, values in enumerate(reached.values()):
    ax.plot(values, [-place] * 3, "o", alpha=0.7)
ax.axvline(10, color="gray", linestyle=":")
ax.text(11.5, 0.45, "guessing", color="gray")
ax.set(xlim=(0, 100), ylim=(-3.5, 0.8), xlabel="digits read right (%), 3 seeds each")
ax.set_yticks([-k for k in range(4)], list(reached))
ax.set_title("Another start and another bend make thirty layers learn")
plt.show()

# %% [markdown]
# **What happened.** The same thirty layers that learned nothing now learn in every run: with He's start, and much
# better with tanh and Xavier. And BatchNorm, the rescuer of the ten-layer networks, does not rescue this one: no run
# gets far from guessing. It is not the running statistics, as its loss in training has not come down either. The
# likely reason is the one that we saw before: the first layers' steps arrive a hundredfold at the last, so what the
# upper layers learn in one step fits no longer after the next. (That is our reading, not a proof. At ten times the
# rate it begins to learn: try it below.) So "add BatchNorm" is no cure for depth by itself.
#
# ### Let it train
#
# All had 48 steps of 64 digits, chosen so that the difference shows. Now the best recipe gets time: a fresh start,
# half as many steps again, of twice the digits, at a slightly lower rate.
#
# > **Predict.** How many digits in a hundred will thirty layers read right?

# %% tolerance={"rtol": 0.03}
longer = []
for seed in range(3):
    seed_everything(seed)
    model = network(**candidates["Xavier, tanh"]).to(device)
    result = train(model, steps=72, batch=128, rate=0.0007)
    longer.append(result["accuracy"].item())
print("thirty layers, given time:", " ".join(f"{v:.1f} %" for v in longer))
assert min(longer) > 73, "thirty layers that clearly train"

# %% [markdown]
# **What happened.** The wall is gone. Thirty layers that could not tell a 1 from an 8 now read about four digits in
# five. Start and bend took the wall away, and time did the rest.
#
# One caveat. In the same 48 steps the three layers of the beginning did better on average than any of the thirty. A
# good start lets a deep network learn; it does not make depth an advantage. That takes layers which can let the
# signal pass unharmed, without calculating anything, and it is the other remedy: day 19.

# %%
assert shallow["accuracy"].mean() > max(v.mean() for v in reached.values()) + 3


# %% [markdown]
# ### Exercise: make thirty layers learn ★★★
#
# A colleague wrote `start_well(model)`: He's start for every `nn.Linear` in `model`, wherever it stands, changed in
# place; nothing else in the model may be touched, and nothing is returned. Weights normal (or uniform) with mean 0
# and deviation $\sqrt{2 / n_{\text{in}}}$, biases zero; a layer may have no bias. The code runs without an error,
# and the network of thirty layers, made of blocks that narrow and widen, does not learn. There are three slips in
# it. Mend them.

# %%
def start_well(model):
    """He's start for every linear layer of `model`, with biases of zero."""
    ...  # take this line away when the function is mended
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            std = math.sqrt(1 / layer.weight.shape[0])
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


check("day16.start_well", start_well)

# %% [markdown]
# ## Recap
#
# - **The size of the weights** follows from the number of terms in a sum: variance $1/n$ for a bend that is
#   straight around zero, $2/n$ for ReLU. Small errors become powers of themselves. And the weights must be random:
#   equal units stay equal.
# - **Look before you train.** Spread and gradient, layer by layer, on one batch: with PyTorch's own start thirty
#   layers pass on a signal that is the same for every digit, and its size alone does not show it.
# - **BatchNorm** compares samples, **LayerNorm** the units of one sample, **GroupNorm** groups of them. BatchNorm
#   needs neighbours: with two it hands on one bit per unit. It also needs its running statistics, and they must be
#   saved.
# - **A 30-layer network trains** with a start that suits its bend. BatchNorm makes up for a bad start in ten
#   layers; in thirty, BatchNorm has a price of its own, a gradient that grows from layer to layer.
#
# From now on `nnlab_helpers.models` has `initialize(model, "he_normal")` and its siblings, and
# `layer_statistics(model, x, y)` for the look before training.
#
# ## What to try next
#
# - A larger run: give the sweep over norms ten seeds instead of three. The intervals become much narrower. Which of the
#   choices that three seeds cannot tell apart do ten?
# - Train "He, BatchNorm" with thirty layers at rates of 0.003, 0.01 and 0.03. Where does it begin to learn? Does He
#   alone bear the same rates?
# - In the sweep over norms, LayerNorm did not rescue the deviation of 0.01. Steps of 0.003 are long for weights of
#   0.01: try a rate of 0.0003.
# - Look at 100 layers of tanh with Xavier's start. Which of the two, spread or gradient, is the first to give you
#   doubts?
# - `nn.init.orthogonal_` draws a matrix that keeps the length of *every* vector. Try it with a gain of $\sqrt 2$
#   and ReLU.
#
# ## References
#
# - LeCun, Bottou, Orr and Müller (1998), *Efficient backprop*: weights of variance $1/n$, and inputs around zero.
# - Glorot and Bengio (2010), *Understanding the difficulty of training deep feedforward neural networks*: Xavier.
# - He, Zhang, Ren and Sun (2015), *Delving deep into rectifiers*: the 2 for ReLU, and a 30-layer network that
#   learns with it and not without.
# - Ioffe and Szegedy (2015), *Batch normalization: accelerating deep network training by reducing internal
#   covariate shift*.
# - Ba, Kiros and Hinton (2016), *Layer normalization*. Wu and He (2018), *Group normalization*: on ImageNet,
#   BatchNorm loses with two images in a batch, and GroupNorm does not.
# - Schoenholz, Gilmer, Ganguli and Sohl-Dickstein (2017), *Deep information propagation*: how deep a signal can go,
#   and why inputs become alike.
# - Santurkar, Tsipras, Ilyas and Madry (2018), *How does batch normalization help optimization?*: not by what its
#   title promised.
# - Yang, Pennington, Rao, Sohl-Dickstein and Schoenholz (2019), *A mean field theory of batch normalization*:
#   gradients explode with depth, at the start, whatever the weights.
