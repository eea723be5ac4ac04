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
# # Day 3: what do networks gain from a bent line?
#
# *Reading: about 30 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 2](day02_numpy_network.ipynb).*
#
# Between any two layers of a network stands a small function that bends each number a little, or cuts it off: the
# **activation function**. What goes into it is the **pre-activation**, `z`. It has no weights and learns nothing. Take
# it out, and a network of a hundred layers is worth exactly as much as one of a single layer. Choose it badly, and ten
# layers learn nothing at all, although every line of the program is right. Today you see both happen, and you learn to
# measure the trouble before you train.
#
# **By the end you can**
#
# - show, with numbers, that layers without a bend collapse into one;
# - write six activation functions and read from their slopes how a network will learn through them;
# - measure saturated and dead units instead of suspecting them;
# - tell before the first training step how much gradient reaches the first layer of a deep network.
#
# [← Day 2: can arrays alone learn?](day02_numpy_network.ipynb) ·
# [Day 4: what goes in, and what comes out? →](day04_layers_modules.ipynb)

# %%
import math
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F

from nnlab_helpers.data import load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import label_lines, plot_band, plot_decision_regions
from nnlab_helpers.plots import show_images, use_style

seed_everything(0)
device = pick_device()
use_style()
torch.set_num_threads(1)  # networks this small gain nothing from a second core


# %% [markdown]
# ## Look first
#
# Today's spiral has two arms of 300 points each. Take an imaginary ruler and try to lay it so that one
# arm is on its left and the other on its right.

# %%
def make_spiral(per_arm=300, turns=1.25, noise=0.06, seed=0):
    """Two arms of a spiral: points [2 * per_arm, 2] and their arm, 0 or 1."""
    random = torch.Generator().manual_seed(seed)
    radius = torch.linspace(0.1, 1, per_arm).sqrt()  # [per_arm]
    arms = []
    for start in (0, math.pi):
        angle = start + turns * 2 * math.pi * radius
        arms.append(torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1))
    points = 2 * torch.cat(arms)
    points = points + noise * torch.randn(points.shape, generator=random)
    arm = torch.arange(2).repeat_interleave(per_arm)
    return points.to(device), arm.to(device)


points, arm = make_spiral()  # [600, 2] and [600]
print(list(points.shape), list(arm.shape))

# %%
fig, ax = plt.subplots(figsize=(4.4, 3.8))
for k, marker in enumerate("os"):
    mine = points[arm == k].cpu()
    ax.scatter(mine[:, 0], mine[:, 1], s=12, marker=marker, label=f"arm {k}")
ax.set(xlabel="$x_1$", ylabel="$x_2$", title="No ruler separates these two")
ax.set_aspect("equal")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()


# %% [markdown]
# ## A network in twenty lines
#
# It is the network of day 2, for any number of layers, and with torch working out the gradients as on day 1. One thing
# is new. A result from one random start is an anecdote, so we train **three networks side by side**, each from its own
# start. Broadcasting does it: put a 3 in front of every shape, and `x @ weight` multiplies the same points by three
# different matrices.

# %%
def make_layers(sizes, gain=1.0, networks=3, seed=0):
    """(weight, bias) of each layer. Weights: normal, deviation gain / sqrt(inputs)."""
    random = torch.Generator().manual_seed(seed)
    layers = []
    for n_in, n_out in pairwise(sizes):
        weight = torch.randn(networks, n_in, n_out, generator=random) * gain / n_in**0.5
        bias = torch.zeros(networks, 1, n_out)
        layers.append([p.to(device).requires_grad_() for p in (weight, bias)])
    return layers


def forward(layers, x, activation, kept=None):
    """Scores [networks, N, classes]; `kept` collects what each activation is given."""
    for weight, bias in layers[:-1]:
        z = x @ weight + bias  # [networks, N, units]: the pre-activations
        if kept is not None:
            kept.append(z)
        x = activation(z)
    weight, bias = layers[-1]
    return x @ weight + bias  # after the last layer there is no activation


# %% [markdown]
# Dividing by the root of the number of inputs keeps a sum of many products as widely spread as one input is. Remember
# that we chose this start and no other: near the end of the day it will matter a great deal.
#
# The loss is the cross-entropy of day 2, one number per network. Their sum goes to `torch.autograd.grad`, which returns
# the gradients instead of filing them in `.grad`, so there is nothing to zero. Each network's gradient depends on its
# own loss alone, because they share no weights.
#
# Each step below looks at 100 points drawn at random, and no longer at all of them: cheaper, and a little noisier.

# %%
def losses(scores, y):
    """Mean cross-entropy of each network [networks]."""
    y = y.expand(len(scores), -1)  # [networks, N]
    return F.cross_entropy(scores.transpose(1, 2), y, reduction="none").mean(dim=1)


@torch.no_grad()
def accuracy(layers, activation, x, y):
    """Share of right answers of each network [networks]."""
    return (forward(layers, x, activation).argmax(-1) == y).float().mean(dim=1)


def spread(values):
    """Shares of several networks in words: the mean, the lowest and the highest."""
    return f"{values.mean():5.1%}  (from {values.min():.1%} to {values.max():.1%})"


# %%
def train(layers, activation, x, y, *, rate, steps, batch=100, watch=None):
    """Gradient descent, in place. Returns what `watch` says at every tenth step."""
    random = torch.Generator().manual_seed(0)
    parameters = [p for layer in layers for p in layer]
    seen = []
    for step in range(steps + 1):
        if watch and step % 10 == 0:
            seen.append(watch(layers, activation))
        if step == steps:
            break
        chosen = torch.randint(len(x), (batch,), generator=random).to(device)
        loss = losses(forward(layers, x[chosen], activation), y[chosen]).sum()
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for p, gradient in zip(parameters, gradients, strict=True):
                p -= rate * gradient
    return torch.stack(seen, dim=1).cpu() if watch else None  # [networks, looks]


# %% [markdown]
# ## A network that cannot bend
#
# Now the spiral, with two hidden layers of 32 units: more than a thousand numbers to adjust. One time each hidden unit
# passes on what it computed, unchanged. The other time it first replaces every negative number with 0, which is what is
# called a **ReLU**, a rectified linear unit.
#
# > **Predict.** Guessing gets 50 %. What will the first network reach, and what the second?

# %%
def unchanged(z):
    return z


def relu(z):
    return z.clamp(min=0)


straight, bent = make_layers([2, 32, 32, 2]), make_layers([2, 32, 32, 2])
train(straight, unchanged, points, arm, rate=0.5, steps=400)
train(bent, relu, points, arm, rate=0.5, steps=400)
without = accuracy(straight, unchanged, points, arm)
with_relu = accuracy(bent, relu, points, arm)

# %% tolerance={"rtol": 0.03}
size = sum(p[0].numel() for layer in straight for p in layer)
print(f"{size} parameters each")
print("unchanged:", spread(without))
print("ReLU:     ", spread(with_relu))
assert without.max() < 0.8 and with_relu.min() > 0.95


# %%
def show_regions(ax, layers, activation, title):
    """The plane as the first of the three networks divides it."""

    def predict(grid):
        return forward(layers, torch.from_numpy(grid).to(device), activation)[0]

    plot_decision_regions(predict, points, arm, ax=ax, title=title)
    ax.set(xlabel="$x_1$", ylabel="$x_2$")


fig, axes = plt.subplots(1, 2, figsize=(7, 3.4))
show_regions(axes[0], straight, unchanged, "unchanged: one straight cut")
show_regions(axes[1], bent, relu, "ReLU: it follows the arms")
plt.show()

# %% [markdown]
# **What happened.** Same size, same start, same training; and the first network drew one straight line through the
# middle, three times out of three. It can do no better than a ruler. All its other parameters bought nothing.
#
# ## Three questions are enough
#
# How much did that network know? Ask it about three points: the origin, one step along $x_1$ and one step along $x_2$.
# If it can only do straight things, then everything else follows: the answer at the origin is a bias, and what each
# step changed is a row of weights.

# %%
probes = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], device=device)
answers = forward(straight, probes, unchanged)  # [3 networks, 3 probes, 2 scores]
bias = answers[:, :1]  # [3, 1, 2]
weight = answers[:, 1:] - bias  # [3, 2, 2]: one row for each input
print("one layer instead of three:", list(weight[0].shape), "and", list(bias[0].shape))

gap = (points @ weight + bias - forward(straight, points, unchanged)).abs().max()
print(f"largest difference over all points and networks below 1e-5: {gap < 1e-5}")
assert gap < 1e-5 and size > 200 * (weight[0].numel() + bias[0].numel())

# %% [markdown]
# What difference there is, is rounding. Six numbers, guessed from three questions, give the answers of the whole network
# on all 600 points. Depth alone bought nothing: three layers, or a hundred, without a bend **are** one layer. Does the
# same trick work on the network with ReLU?

# %% tolerance={"rtol": 0.03}
answers = forward(bent, probes, relu)
guess = points @ (answers[:, 1:] - answers[:, :1]) + answers[:, :1]
gap = (guess - forward(bent, points, relu)).abs().max()
print(f"largest difference with ReLU: {gap:.1f}")
assert gap > 1


# %% [markdown]
# No: three questions say little about it. Each hidden unit adds a fold somewhere, and between the folds the network is
# free to be different. That is the whole gain of a bent line.
#
# ### Exercise: many layers, one layer ★★★
#
# You found the one layer by asking. Now find it with algebra, from the layers themselves.
#
# `layers` is a list of any length, at least 1, of pairs `(weight, bias)`, in the order in which they are applied: the
# first layer computes `x @ weight + bias`, the next does the same with that result, and there is no activation
# anywhere. Shapes: `weight` is `[inputs, outputs]`, `bias` is `[outputs]`. Return the pair `(weight, bias)` of the
# single layer that gives the same result for every `x`. Example with numbers for matrices: $x \to 3x + 1$, followed by
# $u \to 2u + 5$, is $x \to 6x + 7$.
#
# (Write out two layers on paper first: $(x W_1 + b_1) W_2 + b_2$. Multiply out.)

# %%
def collapse(layers):
    """The single (weight [in, out], bias [out]) that does what all `layers` do."""
    ...  # your code here


check("day03.collapse", collapse)


# %% [markdown]
# Stuck? `hint("day03.collapse")` gives a nudge, and a stronger one each time you call it.
#
# ## Six bends
#
# Almost any bend will do: a network with one wide enough hidden layer can come as close as you like to any continuous
# function on a closed and bounded region (Cybenko, 1989, for the sigmoid; Leshno and others, 1993, for every bend that
# is not a polynomial). Which one you take decides how easily it *learns*. Six of them cover nearly everything you will
# meet. Each takes a line or two, and the first, ReLU, stands above already. **LeakyReLU** lets a hundredth of the
# negative side through. **Sigmoid** squeezes every number into (0, 1). **GELU** multiplies `z` by the chance that a
# normally distributed number lies below it.

# %%
def leaky_relu(z, slope=0.01):
    return torch.where(z > 0, z, slope * z)


def textbook_sigmoid(z):
    return 1 / (1 + torch.exp(-z))


def gelu(z):
    chance = (1 + torch.erf(z / math.sqrt(2))) / 2
    return z * chance


# %% [markdown]
# Before you trust the textbook's sigmoid, ask it for a slope far on the left, where the curve is flat and the slope
# should be next to 0.
#
# > **Predict.** `exp(100)` is about $10^{43}$, and a float32 ends at $10^{38}$. What breaks: the value or the slope?

# %%
z = torch.tensor([-100.0], requires_grad=True)
value = textbook_sigmoid(z)
(slope,) = torch.autograd.grad(value, z)
print("value:", value.item(), "  slope:", slope.item())
assert value.item() == 0 and slope.isnan()


# %% [markdown]
# **What happened.** The value is fine: one divided by infinity is 0. The slope is `nan`, not a number, because on the
# way back autograd multiplies that 0 by infinity. One such number in a batch poisons every weight that it reaches, and
# the forward pass gives no warning. The remedy costs a few characters: below −80 the sigmoid is 0 to 34 digits, so we
# need not go further. With it come two more functions for free. **Tanh** is the same curve, stretched to (−1, 1), and
# **Swish** (also called SiLU) lets the sigmoid decide how much of `z` passes.

# %%
def sigmoid(z):
    return 1 / (1 + torch.exp(-z.clamp(min=-80)))


def tanh(z):
    return 2 * sigmoid(2 * z) - 1


def swish(z):
    return z * sigmoid(z)


bends = {
    "ReLU": relu, "LeakyReLU": leaky_relu, "Sigmoid": sigmoid,
    "Tanh": tanh, "GELU": gelu, "Swish": swish,
}


# %% [markdown]
# Held against PyTorch's own, values and slopes, from far left to far right:

# %%
def slope_of(activation, z):
    """The derivative of `activation` at each entry of `z`."""
    z = z.clone().requires_grad_()
    return torch.autograd.grad(activation(z).sum(), z)[0]


z = torch.linspace(-100, 100, 4002, device=device)  # even, so 0 itself is not in it
theirs = [F.relu, F.leaky_relu, torch.sigmoid, torch.tanh, F.gelu, F.silu]
for ours, oracle in zip(bends.values(), theirs, strict=True):
    assert torch.allclose(ours(z), oracle(z), rtol=1e-5, atol=1e-6)
    assert torch.allclose(slope_of(ours, z), slope_of(oracle, z), rtol=1e-5, atol=1e-6)
print("all six agree with torch, in value and in slope")
bends = dict(zip(bends, theirs, strict=True))

# %% [markdown]
# From here on we take torch's: the same numbers, with each slope computed in one go instead of through four or five
# small steps. The value says what a unit passes forward. The slope says what it passes back: on its way to the weights,
# the gradient is multiplied by it. So look at both.

# %%
z = torch.linspace(-5, 5, 1002, device=device)
fig, axes = plt.subplots(2, 3, figsize=(7, 4.6), sharex=True, sharey=True)
for ax, (name, bend) in zip(axes.flat, bends.items(), strict=True):
    slope = slope_of(bend, z)
    ax.plot(z.cpu(), bend(z).cpu(), label="value")
    ax.plot(z.cpu(), slope.cpu(), "--", label="slope")
    ax.set_title(f"{name}: up to {slope.max():.2f}", fontsize=11)
    ax.set(ylim=(-1.3, 2.3), xticks=range(-4, 5, 2))
axes[0, 0].legend(loc="upper left")
fig.supxlabel("pre-activation $z$", fontsize=11)
title = "Six bends, and the steepest slope of each"
fig.suptitle(title, fontweight="bold", x=0.01, ha="left")
plt.show()

# %%
zero = torch.zeros(1, device=device)
at_zero = {name: slope_of(bend, zero).item() for name, bend in bends.items()}
print("at zero:", ", ".join(f"{name} {slope:.2f}" for name, slope in at_zero.items()))
assert at_zero["Sigmoid"] == slope_of(torch.sigmoid, z).max().round(decimals=4) == 0.25
assert at_zero["GELU"] == at_zero["Swish"] == 0.5
assert min(slope_of(F.gelu, z).max(), slope_of(F.silu, z).max()) > 1


# %% [markdown]
# Three families. *Squashers*, sigmoid and tanh, are flat on both sides. *Rectifiers*, ReLU and LeakyReLU, are two
# straight pieces: full slope on the right, none or next to none on the left. *Smooth rectifiers*, GELU and Swish, round
# off the corner, dip below zero, overshoot a slope of 1 and settle back to it. One number stands out: the sigmoid
# passes on a quarter of the gradient, and that is its best day. At zero, where units tend to start, GELU and Swish pass
# on half.
#
# ### Exercise: the slope of LeakyReLU ★☆☆
#
# Write its derivative without autograd. `z` is a tensor of any shape; return a float tensor of the same shape:
# 1 where `z` is positive, `slope` elsewhere. (At 0 itself there are two slopes to choose from; take the left one, as
# PyTorch does.) With `slope=0.01`, `[-2.0, 3.0]` gives `[0.01, 1.0]`.

# %%
def leaky_relu_grad(z, slope=0.01):
    """Derivative of LeakyReLU at `z`, the same shape as `z`."""
    ...  # your code here


check("day03.leaky_relu_grad", leaky_relu_grad)


# %% [markdown]
# ### Exercise: the slope of a newcomer ★★☆
#
# In 2019 a student proposed **Mish**: $\;m(z) = z \cdot \tanh(s(z))$ with the softplus $s(z) = \log(1 + e^z)$. Find its
# derivative on paper, with the product rule and the chain rule, and write it as a function of a tensor `z` of any
# shape. You need two slopes on the way: that of tanh is $1 - \tanh^2$, and that of the softplus is an old friend of
# today; find out which. For orientation: at $z = 0$ the answer is 0.6, far right it tends to 1, far left to 0.
# `torch.tanh`, `torch.sigmoid` and `F.softplus` are at hand. (Autograd would do it too. Use it to check yourself.)

# %%
def mish_grad(z):
    """Derivative of z * tanh(log(1 + exp(z))) at `z`, the same shape as `z`."""
    ...  # your code here


check("day03.mish_grad", mish_grad)

# %% [markdown]
# ## Do they learn differently?
#
# First the spiral, all six from the same starts, with the same rate and the same batches.
#
# > **Predict.** Which one will be slowest?

# %%
spiral_loss = {}
for name, bend in bends.items():
    layers = make_layers([2, 32, 32, 2])
    spiral_loss[name] = train(
        layers, bend, points, arm, rate=0.5, steps=240,
        watch=lambda net, bend: losses(forward(net, points, bend), arm).detach(),
    )  # [3 networks, 25 looks]

# %% tolerance={"rtol": 0.03}
final = {name: loss[:, -1] for name, loss in spiral_loss.items()}
for name, loss in final.items():
    print(f"{name:9}  loss {loss.mean():.4f}")
others = torch.cat([loss for name, loss in final.items() if name != "Sigmoid"])
assert final["Sigmoid"].min() > 20 * others.max()

# %%
fig, ax = plt.subplots(figsize=(7, 3.8))
for name, loss in spiral_loss.items():
    plot_band(ax, torch.arange(0, 241, 10), loss, name)
ax.set(yscale="log", xlabel="training step", ylabel="loss (log scale)")
ax.set_title("Five bends learn the spiral, the sigmoid has hardly begun")
label_lines(ax)
plt.show()

# %% [markdown]
# The band around each line reaches from the worst to the best of the three starts. Now something real: 3,000 of the
# handwritten digits of MNIST, and 1,000 others that the networks never train on. A digit is 784 brightnesses, divided
# by 255 so that they lie between 0 and 1.

# %%
digits = load_images("mnist", "train")
pixels = digits.images[:4000].flatten(1).float().to(device) / 255  # [4000, 784]
labels = digits.labels[:4000].to(device)
x, y = pixels[:3000], labels[:3000]
x_new, y_new = pixels[3000:], labels[3000:]
show_images(digits.images[:20], titles=labels[:20].tolist(), title="The first twenty")
plt.show()

# %%
learned = {}
for name, bend in bends.items():
    layers = make_layers([784, 64, 64, 10])
    learned[name] = train(
        layers, bend, x, y, rate=0.3, steps=100,
        watch=lambda net, bend: accuracy(net, bend, x_new, y_new),
    )  # [3, 11]

# %% tolerance={"rtol": 0.03}
for name, share in learned.items():
    print(f"{name:9}  {spread(share[:, -1])}")
rest = torch.stack([learned[name][:, -1] for name in bends if name != "Sigmoid"])
assert learned["Sigmoid"][:, -1].max() < rest.min()
assert rest.mean(dim=1).max() - rest.mean(dim=1).min() < 0.03

# %%
fig, ax = plt.subplots(figsize=(7, 3.8))
for name, share in learned.items():
    plot_band(ax, torch.arange(0, 101, 10), 100 * (1 - share), name)
ax.set(ylim=(0, 100), xlabel="training step", ylabel="new digits misread (%)")
ax.set_title("On digits, too, only the sigmoid falls behind")
label_lines(ax)
plt.show()

# %% [markdown]
# **What happened.** Five of the six are hard to tell apart: the differences between them are about as small as those
# between two starts. Do not believe anyone who ranks them from one run of a shallow network. The sigmoid lags, but is
# it worse, or only slower? Its slope is at most a quarter, and there are two of them in a row. Give it a rate four
# times higher.

# %% tolerance={"rtol": 0.03}
layers = make_layers([784, 64, 64, 10])
train(layers, sigmoid, x, y, rate=1.2, steps=100)
slower = learned["Sigmoid"][:, -1]
faster = accuracy(layers, sigmoid, x_new, y_new).cpu()
print("sigmoid at rate 0.3:", spread(slower))
print("sigmoid at rate 1.2:", spread(faster))
assert rest.mean() - faster.mean() < (rest.mean() - slower.mean()) / 2


# %% [markdown]
# More than half of the gap is gone: what the slope takes, the rate can give back, as long as the network is shallow. To
# compare methods at one learning rate is to compare rates. The rest of the day is about trouble that no rate repairs.
#
# ## Trouble on both sides: saturation
#
# A unit is **saturated** when it sits on a flat part of its curve: its output is stuck at an end, and its slope is next
# to nothing. We call a tanh unit saturated at an image when its output is beyond ±0.95. At the start there is no reason
# for that, unless what goes into it is far too large: because the weights start too large, or because someone forgets
# to divide the pixels by 255. Let it be the weights.
#
# > **Predict.** The first layer's weights start 255 times larger, everything else is the same. What share of the tanh
# > outputs is beyond ±0.95?

# %%
def first_tanh(layers, x):
    """Output of the first hidden layer [networks, N, units]."""
    kept = []
    forward(layers, x, tanh, kept)
    return tanh(kept[0].detach())


usual, loud = make_layers([784, 64, 64, 10]), make_layers([784, 64, 64, 10])
with torch.no_grad():
    loud[0][0].mul_(255)  # the first layer's weights
outputs = {"usual weights": first_tanh(usual, x)}
outputs["255 times larger"] = first_tanh(loud, x)
for name, out in outputs.items():
    saturated = (out.abs() > 0.95).float().mean()
    slope = (1 - out**2).mean()
    print(f"{name:16}  saturated {saturated:.3f}   mean slope {slope:.3f}")
assert (outputs["255 times larger"].abs() > 0.95).float().mean() > 0.9
assert (outputs["usual weights"].abs() > 0.95).float().mean() < 0.01
assert 0.005 < slope < 0.02  # of the last one: what the tanh lets through

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3), sharey=True)
for ax, (name, out) in zip(axes, outputs.items(), strict=True):
    share = torch.histc(out.cpu(), bins=40, min=-1, max=1) / out.numel()
    ax.bar(torch.linspace(-0.975, 0.975, 40), 100 * share, width=0.05)
    ax.set(xlabel="output of a tanh unit", title=name)
axes[0].set_ylabel("share of outputs (%)")
title = "Weights too large push the units against the walls"
fig.suptitle(title, fontweight="bold", x=0.01, ha="left")
plt.show()

# %% tolerance={"rtol": 0.03}
read, moved = {}, {}
for name, layers in {"usual weights": usual, "255 times larger": loud}.items():
    before = layers[0][0].detach().clone()
    train(layers, tanh, x, y, rate=0.1, steps=150)
    read[name] = accuracy(layers, tanh, x_new, y_new)
    change = (layers[0][0].detach() - before).norm() / before.norm()
    moved[name] = 100 * change.item()
    print(f"{name:16} ", spread(read[name]), f"  weights moved by {moved[name]:.3f} %")
assert read["usual weights"].min() > read["255 times larger"].max() + 0.1
assert moved["usual weights"] > 10 and moved["255 times larger"] < 0.1


# %% [markdown]
# **What happened.** Nearly every output is at a wall from the start, and of the gradient only about a hundredth passes
# through the layer, the mean slope above. The first layer hardly moves from where it started, and only the layers
# behind it learn. The digits are the same, the rate is the same, and the network stays far behind. No error, no
# warning. (Pixels up to 255 put the units at the same walls, and do something else besides: they make the first layer's
# gradient larger. Day 5 shows what comes of that.)
#
# ### Exercise: how much is saturated? ★☆☆
#
# Now for sigmoids. `a` holds the *outputs* of sigmoid units, `[N, units]`, each between 0 and 1. Return the share of
# its entries, a number from 0 to 1, that lie closer than `edge` to either end of that range. With `edge=0.05`, `[[0.01,
# 0.5], [0.99, 0.9]]` gives 0.5.

# %%
def saturated_fraction(a, edge=0.05):
    """Share of the sigmoid outputs `a` [N, units] closer than `edge` to 0 or 1."""
    ...  # your code here


check("day03.saturated_fraction", saturated_fraction)


# %% [markdown]
# ## Trouble on one side: dead units
#
# A ReLU has no wall on the right. But where its pre-activation is negative, its output is 0 and its slope is exactly 0.
# For some images that is healthy: a unit that answers to everything says nothing. A unit that is silent **for every
# image** is another matter. No image sends it a gradient, so its weights never change, and in the first layer, whose
# inputs never change either, it stays silent. It is **dead**.

# %%
@torch.no_grad()
def dead_units(layers, x):
    """Which first-layer units are silent on all rows of `x`: bool [networks, units]."""
    weight, bias = layers[0]
    fires = x @ weight + bias > 0  # [networks, N, units]
    return ~fires.any(dim=1)


layers = make_layers([784, 96, 10])
print(f"dead at the start: {dead_units(layers, x).float().mean():.1%}")
assert not dead_units(layers, x).any()

# %% [markdown]
# All alive. How does a living unit die? One long step is enough: if the gradient throws its bias or its weights so far
# that no image reaches it any more, there is no way back. So turn up the learning rate.
#
# > **Predict.** At rates of 0.1, 1 and 2: which share of the 96 units is dead after 100 steps? And *when* do they die?

# %% tolerance={"rtol": 0.08}
deaths, reads, kept_nets = {}, {}, {}
for rate in (0.1, 1.0, 2.0):
    layers = kept_nets[rate] = make_layers([784, 96, 10])
    deaths[rate] = train(
        layers, relu, x, y, rate=rate, steps=100,
        watch=lambda net, bend: dead_units(net, x).float().mean(dim=1),
    )  # [3, 11]
    reads[rate] = accuracy(layers, relu, x_new, y_new).mean()
    print(f"rate {rate}: {deaths[rate][:, -1].mean():.2f} dead")
print(f"read right: {reads[0.1]:.2f} at rate 0.1, {reads[1.0]:.2f} at rate 1,",
      "less than half at rate 2:", (reads[2.0] < 0.5).item())
assert reads[1.0] > reads[0.1] - 0.02 and reads[2.0] < 0.5
assert 0.1 < deaths[1.0][:, -1].mean() < 0.4

# %%
early, end = deaths[2.0][:, 1].mean(), deaths[2.0][:, -1].mean()
assert end > 0.7 and early > 0.5 * end and deaths[0.1].max() < 0.02
assert all((share.diff(dim=1) >= 0).all() for share in deaths.values())  # never back
fig, ax = plt.subplots(figsize=(7, 3.4))
for rate, share in deaths.items():
    plot_band(ax, torch.arange(0, 101, 10), 100 * share, f"rate {rate}")
ax.set(ylim=(-3, 103), xlabel="training step", ylabel="dead units (%)")
ax.set_title("At rate 2 most units are dead within the first ten steps")
label_lines(ax)
plt.show()

# %% [markdown]
# **What happened.** Units die at the very beginning, when the network is most wrong, and the curves only ever rise. At
# the highest rate hardly any are left to read digits with. The middle rate holds a surprise: it has lost a good part of
# its units and reads as well as the careful one, or better. Dead units are lost capacity; a network that has capacity
# to spare can afford some. That is why you measure them, and do not only look at the accuracy.
#
# Is death final? Take the network of rate 2 and go on with a careful rate.

# %%
layers = kept_nets[2.0]
before = dead_units(layers, x)
loss = losses(forward(layers, x, relu), y).sum()
(gradient,) = torch.autograd.grad(loss, layers[0][0])
at_the_dead = gradient.transpose(1, 2)[before].abs().max().item()  # [dead units, 784]
train(layers, relu, x, y, rate=0.1, steps=50)
after = dead_units(layers, x)
print("largest gradient that reaches a dead unit:", at_the_dead)
print("units that came back to life:", int((before & ~after).sum()))
assert at_the_dead == 0 and not (before & ~after).any()

# %% [markdown]
# ## Break it on purpose: a network that is born dead
#
# The other way to kill a ReLU is a bias far below zero. The pre-activations of our first layer are small; start every
# bias of the hidden layer at −3, and not one unit fires for any image.
#
# > **Predict.** The same bad bias for all six bends. Which of them get out of the hole, and which of *those* is best?
# > Write down your order.

# %% tolerance={"rtol": 0.03}
escaped = {}
for name, bend in bends.items():
    layers = make_layers([784, 64, 10])
    with torch.no_grad():
        layers[0][1].fill_(-3.0)
    assert dead_units(layers, x).all()  # not one positive pre-activation
    train(layers, bend, x, y, rate=0.5, steps=150, batch=50)
    escaped[name] = accuracy(layers, bend, x_new, y_new)
    print(f"{name:9}  read right: {spread(escaped[name])}")
assert escaped["ReLU"].max() < 0.2 and escaped["LeakyReLU"].max() < 0.4
assert min(escaped["GELU"].min(), escaped["Swish"].min()) > 0.4
best_of_the_rest = max(escaped["GELU"].max(), escaped["Swish"].max())
assert min(escaped["Sigmoid"].min(), escaped["Tanh"].min()) > best_of_the_rest

# %% [markdown]
# Did you have that order? Here are the slopes they started from, and those a little further up.

# %%
low = torch.tensor([-3.0, -2.0], device=device)
for name, bend in bends.items():
    here, further_up = slope_of(bend, low).tolist()
    print(f"{name:9}  slope at -3: {here:6.3f}   at -2: {further_up:6.3f}")
slopes = {name: slope_of(bend, low).tolist() for name, bend in bends.items()}
assert abs(slopes["Tanh"][0] - slopes["LeakyReLU"][0]) < 0.001  # equal at -3 ...
assert slopes["Tanh"][1] > 5 * slopes["LeakyReLU"][1]  # ... and not at -2
assert max(slopes["GELU"] + slopes["Swish"]) < 0


# %% [markdown]
# **What happened.** ReLU never says a word: it reads about as many digits right as someone who always gives the same
# answer. GELU and Swish climb out part of the way, although their curves run *downhill* there. And the best two are the
# old squashers. Compare LeakyReLU with tanh: at −3 their slopes are almost the same. But tanh gets steeper with every
# bit of progress, and LeakyReLU walks all the way to zero at one hundredth of the speed. No bend is best at everything.
#
# ### Exercise: counting the dead, batch by batch ★★☆
#
# A large set does not pass through a network in one piece. `batches` is a list of pre-activations of one ReLU layer,
# one tensor `[n, units]` per batch; `n` differs from batch to batch, `units` does not. Return the share of units, a
# number from 0 to 1, that are dead on the whole set: never above 0 for any row of any batch. For example, in the
# batches `[[1, -1], [-2, -1]]` and `[[-3, -1]]` the first unit fires once and the second never: 0.5.

# %%
def dead_fraction(batches):
    """Share of the units that no row of any of `batches` ([n, units] each) fires."""
    ...  # your code here


check("day03.dead_fraction", dead_fraction)


# %% [markdown]
# ## Ten layers deep
#
# So far there were one or two hidden layers, and the bends hardly differed. Now ten, of 48 units each. Before we train
# anything, we follow one gradient back from the loss and measure its length (its norm) at each layer.
#
# > **Predict.** On its way down the gradient is multiplied by weights, which at our start leave its length about as it
# > is, and by a slope at each layer. For the sigmoid the slope is 0.25 at best. By how much is it shorter nine layers
# > further down? Write down a power of ten.

# %%
def gradient_by_depth(layers, activation, x, y):
    """Norm of the gradient at each hidden layer's pre-activations [networks, depth]."""
    kept = []
    loss = losses(forward(layers, x, activation, kept), y).sum()
    gradients = torch.autograd.grad(loss, kept)  # ten times [networks, N, units]
    return torch.stack([g.flatten(1).norm(dim=1) for g in gradients], dim=1)


DEEP = [784] + [48] * 10 + [10]
arriving = {}
for name, bend in bends.items():
    arriving[name] = gradient_by_depth(make_layers(DEEP), bend, x[:500], y[:500]).cpu()

# %% tolerance={"rtol": 0.03}
per_layer = {}
for name, norm in arriving.items():
    left = norm[:, 0] / norm[:, -1]  # [3]: first hidden layer over tenth
    per_layer[name] = kept = (left ** (1 / 9)).mean().item()
    print(f"{name:9}  left of it: {left.mean():.6f}   kept per layer: {kept:.2f}")
assert (arriving["Sigmoid"][:, 0] / arriving["Sigmoid"][:, -1]).max() < 1e-5
assert 0.9 < per_layer["Tanh"] < 1.02 and 0.65 < per_layer["ReLU"] < 0.77
assert 0.2 < per_layer["Sigmoid"] < 0.25
assert 0.45 < per_layer["GELU"] < 0.55 and 0.45 < per_layer["Swish"] < 0.55

# %%
fig, ax = plt.subplots(figsize=(7, 4))
for name, norm in arriving.items():
    plot_band(ax, torch.arange(10), norm.flip(1), name)
ax.set(yscale="log", xlabel="layers travelled back from the last hidden layer")
ax.set(xticks=range(10), ylabel="gradient norm (log scale)")
ax.set_title("A sigmoid network's first layers hear next to nothing")
label_lines(ax)
plt.show()

# %% [markdown]
# **What happened.** Straight lines on a log axis: each layer keeps about the same share, and shares multiply. You can
# explain every one of them. The **sigmoid** keeps a little under a quarter, its steepest slope. **ReLU** blocks half of
# the units, and what is left of the sum of squares is half, so $\sqrt{1/2} \approx 0.71$ of the length. **Tanh** has
# slope 1 at zero and loses little. And **GELU and Swish**, the choice of the large language models, lose half at every
# layer, more than the plain ReLU. They should sit deep inside the network on that stretch close to zero where their
# slope is 0.5. Do they?

# %% tolerance={"rtol": 0.03}
kept = []
forward(make_layers(DEEP), x[:500], gelu, kept)
typical = [z.std().item() for z in kept]
print(f"typical size of z: {typical[0]:.3f} in layer 1, {typical[-1]:.5f} in layer 10")
assert typical[-1] < 0.05 * typical[0]


# %% [markdown]
# They do. On the way in, the signal shrinks from layer to layer as the gradient does on the way back.
#
# ### Exercise: what is left of a gradient? ★☆☆
#
# Follow one gradient by hand. In a chain with a single sigmoid unit per layer, layer $k$ takes the output $a_{k-1}$ of
# the one before, computes $z_k = w_k\, a_{k-1} + b_k$ and passes on $a_k = \sigma(z_k)$. Given the tensors `z` and `w`,
# both `[depth]`, return the derivative of the last output with respect to the very first input, $da_n / da_0$, as a
# single number or a tensor without dimensions. By the chain rule it is a product. The slope of the sigmoid at $z$ is
# $\sigma(z)\,(1 - \sigma(z))$. For `z = [0.0]` and `w = [2.0]` the answer is 0.5.

# %%
def gradient_left(z, w):
    """Slope of a chain of sigmoid units: pre-activations `z`, weights `w` [depth]."""
    ...  # your code here


check("day03.gradient_left", gradient_left)

# %% [markdown]
# ## Break it on purpose: ten layers that do not train
#
# Now train these deep networks: 120 steps, rate 0.1, everything equal but the bend. (LeakyReLU behaves like ReLU here
# and sits this one out.) For each we also ask whether it tells the 1,000 new digits apart at all.
#
# > **Predict.** The gradients above are all you need. Which of the five learn?

# %%
deep_bends = {name: bend for name, bend in bends.items() if name != "LeakyReLU"}


def train_deep(gain, steps=120, names=tuple(deep_bends)):
    """For each bend: accuracy [3], and whether it gives all digits the same answer."""
    reached, blind = {}, {}
    for name in names:
        layers, bend = make_layers(DEEP, gain), deep_bends[name]
        train(layers, bend, x, y, rate=0.1, steps=steps, batch=50)
        reached[name] = accuracy(layers, bend, x_new, y_new).cpu()
        answers = forward(layers, x_new, bend)[0].argmax(-1)  # [1000], of the first one
        blind[name] = len(answers.unique()) == 1
    return reached, blind


# %% tolerance={"rtol": 0.25}
plain, blind = train_deep(gain=1.0)
for name, share in plain.items():
    print(f"{name:7}  {spread(share)}", "  one answer for all" if blind[name] else "")
assert plain["Tanh"].min() > 0.7 and plain["ReLU"].mean() > 0.15
assert max(plain[name].max() for name in ("Sigmoid", "GELU", "Swish")) < 0.2
assert [name for name in blind if blind[name]] == ["Sigmoid", "GELU", "Swish"]

# %% [markdown]
# **What happened.** Exactly as the gradients foretold. Tanh, of all things, is the one that learns well. The sigmoid
# network gives a single answer to a thousand different digits: not only is no gradient coming down, no image is coming
# up either, because ten squeezes in a row have made all inputs alike. And GELU and Swish fail with it.
#
# That should make you suspicious. The bends of today's largest networks do not survive ten layers?
#
# ## It was the start, too
#
# They do. It is our start that does not suit them: weights of deviation $1/\sqrt{n}$ keep the spread of a signal only
# if the bend has slope 1 around zero, as tanh has. ReLU throws half of every signal away, and He and colleagues (2015)
# proposed to make up for it: multiply all starting weights by $\sqrt 2$. One number changes, and all get twice the steps,
# because some learners are late. (The last line below shows that the steps alone are no help.)
#
# > **Predict.** Who is rescued? Who is not?

# %% tolerance={"rtol": 0.25}
he = math.sqrt(2)
rescued, _ = train_deep(gain=he, steps=240)
for name, share in rescued.items():
    print(f"{name:7}  {spread(share)}")
patient, _ = train_deep(gain=1.0, steps=240, names=("ReLU", "GELU"))
print(f"with the old start and as many steps, GELU: {spread(patient['GELU'])}")
assert min(rescued[name].min() for name in ("ReLU", "GELU", "Swish")) > 0.4
assert rescued["ReLU"].mean() > patient["ReLU"].mean() + 0.1
assert rescued["Sigmoid"].max() < 0.2 and patient["GELU"].max() < 0.2

# %%
low, high = [], []  # accuracies where the gradient was below and above 0.0001
fig, ax = plt.subplots(figsize=(7, 4))
for k, (name, bend) in enumerate(deep_bends.items()):
    for gain, reached, fill in ((1.0, plain, "none"), (he, rescued, f"C{k}")):
        norm = gradient_by_depth(make_layers(DEEP, gain), bend, x[:500], y[:500])
        (low if norm[:, 0].max() < 1e-4 else high).append(reached[name].mean())
        look = {"marker": "osD^v"[k], "facecolors": fill, "edgecolors": f"C{k}"}
        look["label"] = name if gain > 1 else None
        ax.scatter(norm[:, 0].cpu(), 100 * reached[name], s=45, **look)
ax.set(xscale="log", xlabel="gradient norm at layer 1, before training (log scale)")
ax.set(ylim=(0, 100), ylabel="digits read right (%)")
ax.set_title("What reaches the first layer foretells what is learned")
ax.legend(title="hollow: gain 1\nfilled: gain √2", loc="upper left")
plt.show()
assert max(low) < 0.15 < min(high) and len(low) == 4

# %% [markdown]
# **What happened.** ReLU, GELU and Swish are rescued, and the sigmoid is not. In the figure each point is one network:
# to the right the gradient at its first layer *before* training, upwards what it had learned *after* it. Left of
# 10⁻⁴ nothing learns, on the right everything does, whatever the bend is called. You could have known it without
# training at all. The sigmoid stays on the left; no modest factor repairs a slope of a quarter.
#
# So a bend alone is neither good nor bad: bend, start and depth belong together. Day 16 comes back to the start, and
# shows how normalisation makes networks less sensitive to it.
#
# ## Recap
#
# - Without a bend, layers collapse: three questions gave us six numbers that replaced the whole network.
# - Six bends in three families: squashers, rectifiers, smooth rectifiers. Their **slope** decides what learning is
#   like; in shallow networks five of them were hard to tell apart, and the sixth wanted a higher rate.
# - **Saturated** (stuck at a wall, because weights or inputs are too large) and **dead** (silent for every image, from
#   a rate too high or a bias too low) are things you can count, before and during training.
# - Through a deep network the gradient shrinks by a factor *per layer*. Measure it at the first layer before you train.
#
# In practice: ReLU to begin with, a LeakyReLU with more than a hundredth of slope if many units die, GELU or Swish in
# deep networks with a start that suits them, tanh where values should be centred, and a sigmoid at the very end, where
# a probability is wanted.
#
# ## What to try next
#
# - Give the ten sigmoid layers a gain of 4 instead of 1. The slope of a quarter is made up for. Does it train? Look at
#   the share of saturated outputs before you answer.
# - Cut the ten layers to four. At which depth does the sigmoid stop learning in as many steps?
# - Train the born-dead LeakyReLU network with a slope of 0.2 instead of 0.01.
#
# ## References
#
# - Cybenko (1989), *Approximation by superpositions of a sigmoidal function*: one hidden layer of sigmoids can come as
#   close as you like to any continuous function on a closed and bounded region. Leshno, Lin, Pinkus and Schocken
#   (1993): so can any activation that is not a polynomial.
# - Hochreiter (1991), diploma thesis, and Bengio, Simard and Frasconi (1994): gradients shrink exponentially with
#   depth.
# - Glorot and Bengio (2010), *Understanding the difficulty of training deep feedforward neural networks*: sigmoids
#   saturate in the top layer early in training; a start that preserves spread helps.
# - Nair and Hinton (2010); Glorot, Bordes and Bengio (2011), *Deep sparse rectifier neural networks*: ReLU trains deep
#   networks without pre-training.
# - Maas, Hannun and Ng (2013): LeakyReLU. Hendrycks and Gimpel (2016): GELU. Ramachandran, Zoph and Le (2017): Swish,
#   found by an automatic search. Misra (2019): Mish.
# - He, Zhang, Ren and Sun (2015), *Delving deep into rectifiers*: the factor $\sqrt 2$, and a 30-layer network that
#   trains with it and not without.
#
# Tomorrow: the layers that stand between the bends.
# [Day 4: what goes in, and what comes out? →](day04_layers_modules.ipynb)
