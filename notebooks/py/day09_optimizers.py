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
# # Day 9: how does a gradient become a step?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 6](day06_mlp_mnist.ipynb).*
#
# `optimizer.step()` is one line, and what stands behind it decides whether a network learns in a minute or not at all.
# The gradient says which way is up, at this point and for an infinitely small step. It does not say how far to go, and it
# knows nothing of what it said a step ago. Every optimizer is an answer to these two gaps. Today we write six of them, a
# few lines each, watch five of them find their way down, and hold a race between two that is fair.
#
# **By the end you can**
#
# - write SGD, momentum, Nesterov, RMSProp, Adam and AdamW from their equations, and show that they are PyTorch's;
# - say what momentum cures, what a step of its own for each weight cures, and what each of them cannot cure;
# - compare two optimizers fairly: a rate of its own for each, several seeds, digits that had no say in the choice;
# - tell weight decay from an L2 penalty, and count what an optimizer keeps in memory.
#
# [← Day 8: what should a mistake cost?](day08_losses.ipynb) ·
# [Day 10: how long should a step be? →](day10_learning_rate.ipynb)

# %%
import math
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP
from nnlab_helpers.plots import animate_paths, label_lines, plot_band, plot_paths
from nnlab_helpers.plots import use_style
from nnlab_helpers.train import fit

seed_everything(0)
device = pick_device()
use_style()


# %% [markdown]
# ## Look first: downhill is not homeward
#
# A network has thousands of weights and a loss over all of them, which nobody can draw. So we begin with a loss over two
# weights, $x$ and $y$. It is a **ravine**: at the same distance from the bottom it is a hundred times steeper across ($y$)
# than along ($x$). Real losses have such ravines, in many more directions. The lowest point is at $(0, 0)$, and every walk in
# the ravine starts at the same place.

# %%
def ravine(w):
    """Height at the points `w` [..., 2]; a hundred times steeper along y than x."""
    x, y = w[..., 0], w[..., 1]
    return (x**2 + 100 * y**2) / 2


def gradient(surface, w):
    """The gradient of `surface` at the points `w` [..., 2], of the same shape."""
    w = w.detach().requires_grad_()
    return torch.autograd.grad(surface(w).sum(), w)[0]


START = torch.tensor([-10.0, 1.0], dtype=torch.float64)
print("height at the start:", ravine(START).item())
print("gradient at the start:", gradient(ravine, START).tolist())

# %% [markdown]
# > **Predict.** You stand at the start, on the wall of the ravine. One arrow points straight downhill, against the gradient.
# > Another points home, to $(0, 0)$. What is the angle between them, in degrees?

# %%
downhill, home = -gradient(ravine, START), -START
cosine = F.cosine_similarity(downhill, home, dim=0)
angle = math.degrees(math.acos(cosine))
print(f"between downhill and home: {angle:.0f} degrees")
assert 75 < angle < 85

fig, ax = plt.subplots(figsize=(7, 2.4))
plot_paths(ravine, {}, limits=(-11.5, 2.5, -2.2, 2.2), ax=ax)
for arrow, colour in ((downhill, "#D55E00"), (home, "#0072B2")):
    tip = START + 2.9 * arrow / arrow.norm()
    look = {"color": colour, "width": 2, "headwidth": 8}
    ax.annotate("", tip, START, arrowprops=look)
ax.text(-10.3, -1.9, "downhill", color="#D55E00", ha="right", rotation=90)
ax.text(-7.0, 0.85, "home", color="#0072B2")
ax.set(xlabel="$x$", ylabel="$y$", aspect="equal")
ax.set_title("The steepest way down leads across the ravine, not along it")
plt.show()


# %% [markdown]
# **What happened.** The two are almost at right angles. The gradient is dominated by the direction in which the surface is
# steepest, and the way home lies along the other one. Whoever follows the gradient will mostly cross the ravine.

# %% [markdown]
# ## SGD and its two speeds
#
# **Stochastic gradient descent**, SGD, is the rule of [day 6](day06_mlp_mnist.ipynb)'s beginning: rate $\eta$ times gradient $g$.
#
# $$w \leftarrow w - \eta\, g$$
#
# (*Stochastic* means that the gradient comes from a random batch. On our surfaces there is no batch, and no chance.) All our
# rules get the same four things: the weight, its gradient, a dictionary `state` for whatever the rule wants to remember,
# and the rate. They return the new weight. SGD remembers nothing.

# %%
def sgd(w, g, state, rate):
    return w - rate * g


def walk(rule, surface, start, rates, steps):
    """Every position on the way, [rates, steps + 1, 2]: one walk for each rate."""
    rates = torch.tensor(rates, dtype=torch.float64)[:, None]  # [rates, 1]
    w, state = start.expand(len(rates), 2), {}
    path = [w]
    for _ in range(steps):
        w = rule(w, gradient(surface, w), state, rates)
        path.append(w)
    return torch.stack(path, dim=1)


# %% [markdown]
# All these rules work on each number by itself, so one call can walk with many rates side by side.
#
# In the ravine the gradient is $(x, 100\,y)$. A step turns $x$ into $(1 - \eta)\,x$ and $y$ into $(1 - 100\,\eta)\,y$. The
# second factor must stay between $-1$ and $1$, or $y$ grows from step to step: the rate has to be below 0.02, because
# of the *steep* direction.
#
# > **Predict.** Take a rate a hair below 0.02. After how many steps has the *other* direction, $x$, come from 10 to 0.1? And
# > what becomes of $y$ if the rate is a hair above?

# %%
below, above = walk(sgd, ravine, START, [0.0199, 0.0201], steps=300)  # [301, 2] each
arrived = (below[:, 0].abs() < 0.1).nonzero()[0].item()
print(f"rate 0.0199: x is below 0.1 after {arrived} steps")
print(f"rate 0.0201: after 300 steps y has grown from 1 to {above[-1, 1].abs():.0f}")
assert 200 < arrived < 260 and above[-1, 1].abs() > 10

# %% [markdown]
# **What happened.** The steep direction sets the highest rate; the shallow one has to live with it, and needs hundreds of
# steps. Look at the gradient $(x, 100\,y)$: how fast the slope grows on the way up differs by a factor of 100. This ratio is
# called the **condition number**, and plain descent suffers from it in proportion. With a rate one hundredth higher, nothing
# arrives at all.
#
# ### An oracle
#
# Before we mend this: is our `sgd` the one that everybody uses? We train a small network with several weight tensors, in
# float64, once with our rule and once with PyTorch's optimizer, and compare all weights after twenty steps. Note that each tensor
# gets a `state` of its own.

# %%
random = torch.Generator().manual_seed(0)
normal = partial(torch.randn, generator=random, dtype=torch.float64)
inputs, targets = normal(30, 5), normal(30, 2)
first_weights = [normal(5, 4), normal(4), normal(4, 2)]


def small_loss(parameters):
    """Squared error of a network 5 -> 4 -> 2 with the given `parameters`."""
    w1, b1, w2 = parameters
    return ((inputs @ w1 + b1).tanh() @ w2 - targets).square().mean()


# %%
def train_small(rule, rate, steps):
    """The weights after `steps` steps by one of our rules."""
    parameters = [p.clone().requires_grad_() for p in first_weights]
    states = [{} for _ in parameters]  # one each
    for _ in range(steps):
        gradients = torch.autograd.grad(small_loss(parameters), parameters)
        with torch.no_grad():
            for p, g, state in zip(parameters, gradients, states, strict=True):
                p.copy_(rule(p, g, state, rate))
    return parameters


def gap_to_torch(rule, make, rate=0.05, steps=20):
    """The largest difference between our weights and those of `make(..., lr=rate)`."""
    theirs = [p.clone().requires_grad_() for p in first_weights]
    optimizer = make(theirs, lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        small_loss(theirs).backward()
        optimizer.step()
    ours = train_small(rule, rate, steps)
    return max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))


# %%
gap = gap_to_torch(sgd, torch.optim.SGD)
moved = train_small(sgd, 0.05, 20)[0] - first_weights[0]
print(f"the weights moved by up to {moved.abs().max():.2f}")
print(f"largest gap below 1e-12: {gap < 1e-12}")
assert gap < 1e-12 < moved.abs().max()


# %% [markdown]
# ## Momentum: remember where you were going
#
# Across the ravine the gradient changes its sign at every step; along it, it always points the same way. So add the gradients up,
# and let old ones fade: what contradicts itself cancels, what agrees piles up. That is **momentum** (Polyak, 1964), with a
# velocity $m$ and a factor $\beta$, usually 0.9:
#
# $$m \leftarrow \beta\, m + g, \qquad w \leftarrow w - \eta\, m$$

# %%
def momentum(w, g, state, rate, beta=0.9):
    state["m"] = beta * state.get("m", 0) + g
    return w - rate * state["m"]


gap = gap_to_torch(momentum, partial(torch.optim.SGD, momentum=0.9))
print(f"largest gap to PyTorch below 1e-12: {gap < 1e-12}")
assert gap < 1e-12

# %% [markdown]
# To compare rules we need a finish line, and a rate for each rule: its own best. We try nineteen rates, from 3.2 down to
# 0.0001, each a little more than half of the one before. A walk has arrived when its height falls below 0.5 (the start
# is at 100) *and stays there*.

# %%
RATES = [10 ** (0.5 - k / 4) for k in range(19)]


def arrivals(heights, line):
    """The step from which each walk [rates, T] stays below `line`; T if never."""
    above = ~(heights < line)  # NaN counts as above
    order = torch.arange(1, heights.shape[1] + 1)
    return (above * order).amax(dim=1)


def race(rule, surface=ravine, start=START, line=0.5, steps=300):
    """(steps to arrive, rate, path) of `rule` at whichever of RATES is fastest."""
    paths = walk(rule, surface, start, RATES, steps)
    needed = arrivals(surface(paths), line)  # [rates]
    best = needed.argmin()
    return needed[best].item(), RATES[best], paths[best]


# %% [markdown]
# > **Predict.** Plain SGD and momentum, each with the best rate it can get. Momentum costs one more number per weight. By what
# > factor does it shorten the walk?

# %%
needed = {}
for name, rule in {"SGD": sgd, "momentum": momentum}.items():
    needed[name], rate, _ = race(rule)
    print(f"{name:9} arrives after {needed[name]:3} steps, at a rate of {rate:.3f}")
assert 2 < needed["SGD"] / needed["momentum"] < 5


# %% [markdown]
# **What happened.** Momentum is more than twice as fast, and its best rate is *lower* than SGD's. How can shorter steps go further?
# Along the ravine every gradient adds to the one before, and what moves the weight is the sum. How far that goes is yours to
# work out.
#
# ### Exercise: how far does momentum carry? ★☆☆
#
# Suppose the gradient is 1 at every step, and the velocity starts at 0. Write `effective_rate(rate, beta, step)`: how far
# step number `step` moves the weight, as a positive float. `step` is a whole number from 1 (the first step). With a rate of
# 0.1 and a beta of 0.9 the first three steps are 0.1, 0.19 and 0.271 long. A loop is as good as a formula.

# %%
def effective_rate(rate, beta, step):
    """How far step number `step` (from 1) moves the weight while the gradient is 1."""
    ...  # your code here


check("day09.effective_rate", effective_rate)


# %% [markdown]
# Stuck? `hint("day09.effective_rate")` gives a first nudge, and a stronger one each time you call it.

# %% [markdown]
# ## Nesterov: look before you leap
#
# Momentum overshoots: it arrives at the bottom with speed and climbs the other wall. Nesterov (1983) asks for the gradient
# where the velocity is *about to* carry the weight, and so brakes a step earlier. Written as PyTorch does it, the step takes the
# fresh gradient plus one more helping of velocity:
#
# $$m \leftarrow \beta\, m + g, \qquad w \leftarrow w - \eta\,(g + \beta\, m)$$

# %%
def nesterov(w, g, state, rate, beta=0.9):
    state["m"] = beta * state.get("m", 0) + g
    return w - rate * (g + beta * state["m"])


gap = gap_to_torch(nesterov, partial(torch.optim.SGD, momentum=0.9, nesterov=True))
needed["Nesterov"], rate, _ = race(nesterov)
print(f"largest gap to PyTorch below 1e-12: {gap < 1e-12}")
print(f"Nesterov arrives after {needed['Nesterov']} steps, at a rate of {rate:.3f}")
assert gap < 1e-12 and needed["Nesterov"] < needed["momentum"]


# %% [markdown]
# ### Exercise: Nesterov as he wrote it ★★☆
#
# Where is the looking ahead in these two lines? Write the original. `nesterov_step(w, m, gradient_at, rate, beta)` gets the weight
# `w` and the velocity `m`, tensors of one shape, and a function: `gradient_at(point)` is the gradient at any `point` of that shape.
# Go to the look-ahead point $w - \eta\,\beta\, m$, measure $g$ *there*, then do a step of momentum with this $g$ from the *old*
# $w$. Return the new `(w, m)` as new tensors. With `w = 1`, `m = 2`, `gradient_at = lambda p: p`, a rate of 0.1 and a beta of
# 0.9, the point is 0.82, the new `m` is 2.62 and the new `w` is 0.738.

# %%
def nesterov_step(w, m, gradient_at, rate, beta):
    """One step from `w` with velocity `m`: the new (w, m)."""
    ...  # your code here


check("day09.nesterov_step", nesterov_step)


# %% [markdown]
# ## RMSProp: a step of its own for each weight
#
# The other idea: why should all weights share one rate? If a weight's gradients are large, shorten its steps; if they are
# small, lengthen them. **RMSProp** (Tieleman and Hinton, 2012) keeps a running average $v$ of each weight's squared
# gradient, with $\beta = 0.99$, and divides by its root. The tiny $\epsilon = 10^{-8}$ only guards against a division by zero.
#
# $$v \leftarrow \beta\, v + (1 - \beta)\, g^2, \qquad w \leftarrow w - \eta\, \frac{g}{\sqrt{v} + \epsilon}$$

# %%
def rmsprop(w, g, state, rate, beta=0.99, eps=1e-8):
    state["v"] = beta * state.get("v", 0) + (1 - beta) * g**2
    return w - rate * g / (state["v"].sqrt() + eps)


gap = gap_to_torch(rmsprop, torch.optim.RMSprop)
print(f"largest gap to PyTorch below 1e-12: {gap < 1e-12}")
assert gap < 1e-12

# %% [markdown]
# When a gradient is steady, $\sqrt v$ comes to its size, and each step is $\eta$ long. But $v$ starts at zero.
#
# > **Predict.** How long is the *very first* step, in multiples of the rate? Does it depend on the gradient?

# %%
for g in (100.0, 0.001):
    first = rmsprop(torch.zeros(1), torch.tensor([g]), {}, rate=1.0).abs().item()
    print(f"gradient {g:g}: the first step is {first:.2f} rates long")
    assert abs(first - 10) < 0.1


# %% [markdown]
# **What happened.** Ten rates, whatever the gradient: after one step $v$ holds only $1 - \beta$ of $g^2$, and dividing by the root of a
# hundredth makes everything ten times longer. So RMSProp leaps at the start. Remember this, because Adam mends it.

# %% [markdown]
# ## Adam: both ideas, and a correction
#
# You know it from [day 6](day06_mlp_mnist.ipynb). The direction comes from a memory like momentum's, but an average ($1 - \beta_1$
# stands before the $g$) where momentum keeps a sum. The length comes from RMSProp's $v$:
#
# $$m \leftarrow \beta_1\, m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2\, v + (1 - \beta_2)\, g^2$$
#
# Both began at zero, so after $t$ steps both are still too small. Adam divides each by what it lacks; the hats mark the result:
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}$$

# %%
def adam(w, g, state, rate, beta1=0.9, beta2=0.999, eps=1e-8):
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
    v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - rate * m_hat / (v_hat.sqrt() + eps)


gap = gap_to_torch(adam, torch.optim.Adam)
first = adam(torch.zeros(1), torch.tensor([100.0]), {}, rate=1.0).abs().item()
print(f"largest gap to PyTorch below 1e-12: {gap < 1e-12}")
print(f"the first step is {first:.2f} rates long")
assert gap < 1e-12 and abs(first - 1) < 0.01


# %% [markdown]
# One step, one rate: the correction does what it promised.
#
# ### Exercise: find the bugs in this optimizer ★★★
#
# A colleague wrote Adam as a class, in PyTorch's manner: it is given `parameters`, a list of tensors of different shapes,
# and `step()` reads each one's `.grad`, leaves it as it is, and moves the tensor in place. There are **two** bugs in
# it. One is loud: at once some weights turn into NaN. The other is silent: the result is merely not Adam. Mend both,
# then take out the line with the `...`. Keep the names of the class, of `step` and of the two arguments.

# %%
class MendedAdam:
    """Adam with the usual betas and epsilon."""

    def __init__(self, parameters, rate):
        ...  # take this line out when you have mended the rest
        self.parameters, self.rate, self.t = list(parameters), rate, 0
        self.m = self.v = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self):
        for i, p in enumerate(self.parameters):
            self.t += 1
            self.m[i] = 0.9 * self.m[i] + 0.1 * p.grad
            self.v[i] = 0.999 * self.v[i] + 0.001 * p.grad**2
            m_hat = self.m[i] / (1 - 0.9**self.t)
            v_hat = self.v[i] / (1 - 0.999**self.t)
            p -= self.rate * m_hat / (v_hat.sqrt() + 1e-8)


check("day09.mended_adam", MendedAdam)


# %% [markdown]
# ## Five walkers and a turned landscape
#
# In our ravine the steep direction is exactly $y$ and the shallow one exactly $x$. Now turn the whole landscape by 45°, start
# included. It is the same ravine, just as steep and just as long, but each of its directions is a mixture of both
# weights.
#
# > **Predict.** Which of the five will need as many steps as before? Which will suffer, and why?

# %%
def turn(w):
    """The points `w` [..., 2], turned by 45 degrees about the origin."""
    x, y = w[..., 0], w[..., 1]
    return torch.stack([x - y, x + y], dim=-1) / math.sqrt(2)


def turned_ravine(w):
    return ravine(turn(w))


turned_start = -turn(turn(turn(START)))  # three turns and half a circle: one back
assert torch.allclose(turn(turned_start), START)

# %% tolerance={"rtol": 0.03}
RULES = {"SGD": sgd, "momentum": momentum, "Nesterov": nesterov,
         "RMSProp": rmsprop, "Adam": adam}
straight = {name: race(rule) for name, rule in RULES.items()}
turned = {n: race(r, turned_ravine, turned_start) for n, r in RULES.items()}
steps_straight = pd.Series({name: found[0] for name, found in straight.items()})
steps_turned = pd.Series({name: found[0] for name, found in turned.items()})
longer = steps_turned / steps_straight
pd.DataFrame({"steps": steps_straight, "turned, times as many": longer.round(2)})

# %%
assert (longer[["SGD", "momentum", "Nesterov"]] == 1).all()
assert longer["RMSProp"] > 2 and 1.1 < longer["Adam"] < 2
assert steps_straight["RMSProp"] < steps_straight["SGD"] / 2
assert steps_turned["RMSProp"] > steps_turned["SGD"]


# %% [markdown]
# **What happened.** The first three do not notice: adding up arrows works the same in any direction. RMSProp was more than
# twice as fast as SGD, and is now slower: it can stretch the axes, but no stretching of axes straightens a slanted ravine.
# Adam loses little, because its other half is momentum. Does a real loss lie along the axes? Partly. That is one reason why
# no optimizer always wins.

# %% [markdown]
# ### A saddle
#
# The second landscape has a **saddle**: a point that is lowest in one direction and highest in another. The gradient is zero
# there, and nearly zero around it. We start on the ridge that leads down into the saddle, a tiny bit to the side of it. At $y = \pm 1$
# wait two valleys.

# %%
def saddle(w):
    """Height at the points `w` [..., 2]; 0 at the saddle, -0.25 in the two valleys."""
    x, y = w[..., 0], w[..., 1]
    return x**2 / 2 - y**2 / 2 + y**4 / 4


def beside_the_ridge(distance):
    return torch.tensor([-1.5, distance], dtype=torch.float64)


# %% [markdown]
# How many steps until a walk is half-way down into a valley, and stays below? Each rule again at its best rate. Then the
# same from starts a hundred times, and ten thousand times, closer to the ridge.
#
# > **Predict.** The closer to the ridge, the smaller the gradient that points off it. For which of the five does the walk
# > become longer?

# %%
columns = {}
for distance in (1e-2, 1e-4, 1e-6):
    start = beside_the_ridge(distance)
    columns[f"from {distance:g}"] = {
        name: race(rule, saddle, start, line=-0.125, steps=100)[0]
        for name, rule in RULES.items()
    }
leaving = pd.DataFrame(columns)
print(leaving)
near, far = leaving["from 1e-06"], leaving["from 0.01"]
assert (near > far)[["SGD", "momentum", "Nesterov"]].all()
assert (near <= far)[["RMSProp", "Adam"]].all()
assert leaving.loc["SGD"].diff().dropna().between(5, 9).all()

# %% [markdown]
# **What happened.** The first three creep away from the ridge: their distance grows by some factor at each step, so every time
# the start is a hundred times closer, SGD pays between five and nine steps more. RMSProp and Adam divide the gradient by its own
# size, and for them a slope of a millionth is as good as any. That helps in deep networks, whose first layers often
# hear only a whisper ([day 3](day03_activations.ipynb)). It also enlarges noise just as readily.
#
# ### See them move
#
# Now both landscapes with all five walks, each at its best rate and cut off after 80 steps. The lower picture moves.

# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.5))
plot_paths(ravine, {name: found[2][:80] for name, found in straight.items()},
           limits=(-11, 4, -1.8, 1.8), ax=left, title="Nesterov is first in the ravine")
start = beside_the_ridge(1e-3)
off = {n: race(r, saddle, start, -0.24, steps=100) for n, r in RULES.items()}
plot_paths(saddle, {name: found[2][:80] for name, found in off.items()},
           limits=(-1.8, 1.9, -0.5, 1.7), ax=right,
           title="RMSProp is first off the ridge")
left.set(xlabel="$x$", ylabel="$y$")
right.set(xlabel="$x$")
names = right.get_legend_handles_labels()
fig.legend(*names, loc="outside lower center", ncols=5, columnspacing=1.2)
assert steps_straight.idxmin() == "Nesterov"
assert min(off, key=lambda name: off[name][0]) == "RMSProp"
for name, (_, _, path) in off.items():  # how far from the ridge on passing the saddle?
    passing = path[path[:, 0] > -0.1][0, 1]
    assert passing > 0.5 if name in ("RMSProp", "Adam") else passing < 0.01
plt.show()
animate_paths(fig, alt="five optimizers walk down a ravine and off a saddle")

# %% [markdown]
# Look at three things: how SGD bounces from wall to wall and then creeps, how momentum and Nesterov swing along the floor, and how on the
# saddle RMSProp and Adam leave the ridge at once, at an angle, while the others first run along the ridge, SGD to the saddle
# point, momentum and Nesterov past it, before they turn aside.

# %% [markdown]
# ## On the digits: SGD against Adam
#
# Two weights are a toy. Now 4,000 digits, and an MLP with two hidden layers of 64 units. Of the digits that we do
# not train on, 1,000 **choose** the rates (validation), and 2,000 others **judge** the result, because whoever had a say in the
# choice is no neutral judge.

# %%
digits = load_images("mnist", "train")
training, choosing, judging = (
    digits.take(range(a, b)) for a, b in ((0, 4_000), (4_000, 5_000), (5_000, 7_000))
)
common = {"normalize": Normalize.from_images(training), "device": device}
choose_loader = TensorLoader(choosing, batch_size=1_000, **common)
judge_loader = TensorLoader(judging, batch_size=1_000, **common)


def train(make, seed, watch):
    """Five epochs with the optimizer `make(parameters)`, watched on `watch`."""
    seed_everything(seed)
    model = MLP(784, (64, 64), 10).to(device)
    loader = TensorLoader(training, batch_size=100, shuffle=True, seed=seed, **common)
    return fit(model, loader, watch, epochs=5, optimizer=make(model.parameters()),
               device=device)


# %% [markdown]
# ### A rate for each
#
# The most common unfair comparison takes two optimizers and one rate. We try rates a factor of ten apart, with a seed that
# is not used again. If the best one were the first or the last of its row, we would have to go on in that direction.

# %%
def final_loss(make, rate, seed=10):
    """Loss on the choosing digits after five epochs; infinite if it broke down."""
    try:
        return train(partial(make, lr=rate), seed, choose_loader)["val_loss"][-1]
    except FloatingPointError:  # `fit` stops when the loss is NaN
        return math.inf


sgd_losses = {rate: final_loss(torch.optim.SGD, rate) for rate in (0.03, 0.3, 3.0)}
fused_adam = partial(torch.optim.Adam, fused=True)  # the same step, computed faster
adam_losses = {rate: final_loss(fused_adam, rate) for rate in (3e-4, 3e-3, 3e-2)}

# %% tolerance={"rtol": 0.25}
best = {}
for name, losses in (("SGD", sgd_losses), ("Adam", adam_losses)):
    for rate, loss in losses.items():
        lost = loss > 0.95 * math.log(10)  # even guesses cost log(10)
        told = "no better than guessing" if lost else f"{loss:.2f}"
        print(f"{name:4} at {rate:g}: {told}")
    best[name] = min(losses, key=losses.get)
    assert best[name] not in (min(losses), max(losses)), "the best rate is at the edge"
print("best:", best)

# %% [markdown]
# The two best rates are a factor of a hundred apart. That is no wonder: SGD's step is rate times gradient, and Adam's is about the
# rate itself.
#
# ### The race
#
# Three fresh seeds each. SGD runs twice: at its own best rate, and at Adam's.
#
# > **Predict.** At its own rate: who is ahead after the first epoch, and by how much after the fifth? At Adam's rate: how many of
# > ten digits will SGD read after five epochs?

# %%
entries = {
    "Adam": partial(fused_adam, lr=best["Adam"]),
    "SGD, own rate": partial(torch.optim.SGD, lr=best["SGD"]),
    "SGD, Adam's rate": partial(torch.optim.SGD, lr=best["Adam"]),
}
loss, accuracy = {}, {}  # name -> [seeds, epochs]
for name, make in entries.items():
    histories = [train(make, seed, judge_loader) for seed in range(3)]
    loss[name] = torch.tensor([history["val_loss"] for history in histories])
    accuracy[name] = torch.tensor([history["val_accuracy"] for history in histories])

# %%
fig, (ax_loss, ax_accuracy) = plt.subplots(1, 2, figsize=(7, 3.2))
for name in entries:
    plot_band(ax_loss, range(1, 6), loss[name], name)
    plot_band(ax_accuracy, range(1, 6), 100 * accuracy[name], name)
ax_loss.set(xlabel="epoch", ylabel="cross-entropy (nats)", ylim=(0, 2.4))
ax_loss.set_xticks(range(1, 6))
ax_loss.set_title("Adam starts faster,")
ax_accuracy.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 100))
ax_accuracy.set_xticks(range(1, 6))
ax_accuracy.set_title("a tuned SGD catches up")
label_lines(ax_accuracy)
plt.show()

# %% tolerance={"rtol": 0.08}
for name in entries:
    for epoch in (1, 5):
        runs = 100 * accuracy[name][:, epoch - 1]
        print(f"{name:17} epoch {epoch}: {runs.mean():.1f} % "
              f" (from {runs.min():.1f} to {runs.max():.1f})")
ahead = (accuracy["Adam"] - accuracy["SGD, own rate"]).mean(dim=0)  # [epochs]
assert ahead[0] > 0.02 and (loss["Adam"] - loss["SGD, own rate"])[:, 0].mean() < -0.05
assert ahead[-1].abs() < 0.02, "after five epochs they are level"
assert (accuracy["Adam"][:, 0] > accuracy["SGD, own rate"][:, 0]).all()
assert accuracy["SGD, Adam's rate"][:, -1].max() < 0.7


# %% [markdown]
# **What happened.** After one epoch Adam is ahead, in every seed. After five the two are level: their means differ by less
# than two points. And the same SGD, at a rate that suits Adam, looks hopeless. Had we compared
# at that one rate, we would have "shown" that SGD does not work. When you read that A beats B, look for the sentence that says
# how B's rate was chosen.

# %% [markdown]
# ### Exercise: Adam against RMSprop on one model ★★☆
#
# `adam_or_rmsprop(model, x, y, rate, steps)` gets a network, inputs `[N, D]` and classes `[N]`. It trains the network twice
# **from the same starting weights**, once with `torch.optim.Adam` and once with `torch.optim.RMSprop`, both at `rate` and otherwise
# as PyTorch has them: `steps` steps, each on all of `x`, with mean cross-entropy. Return
# `{"adam": [...], "rmsprop": [...]}`, two lists of `steps` floats: the loss *before* each step, so that both begin with the
# same number. The `model` that came in must leave with its weights unchanged.

# %%
def adam_or_rmsprop(model, x, y, rate, steps):
    """{"adam": losses, "rmsprop": losses}, each a list of `steps` floats."""
    ...  # your code here


check("day09.adam_or_rmsprop", adam_or_rmsprop)


# %% [markdown]
# ## Weight decay is not L2, in Adam
#
# To keep weights small, add a penalty $\frac{\lambda}{2} w^2$ to the loss. It is called **L2**, and its gradient is $\lambda w$. In SGD
# that makes every step also shrink the weight by a fixed share:
#
# $$w - \eta\,(g + \lambda w) \;=\; (1 - \eta\lambda)\, w - \eta\, g .$$
#
# So the shrinking got a name of its own, **weight decay**, and for decades the two words meant one thing. In Adam they do
# not: there $\lambda w$ goes through the division by $\sqrt{\hat v}$ along with the gradient. **AdamW** (Loshchilov and Hutter, 2019)
# leaves the penalty out of the gradient and shrinks the weight itself. That is all of its code:

# %%
def adam_l2(w, g, state, rate, decay):
    return adam(w, g + decay * w, state, rate)


def adamw(w, g, state, rate, decay):
    return adam((1 - rate * decay) * w, g, state, rate)


for rule, make in ((adam_l2, torch.optim.Adam), (adamw, torch.optim.AdamW)):
    gap = gap_to_torch(partial(rule, decay=0.1), partial(make, weight_decay=0.1))
    print(f"{rule.__name__} against {make.__name__}: gap below 1e-12: {gap < 1e-12}")
    assert gap < 1e-12

# %% [markdown]
# Does it matter? Take three groups of 2,000 weights, all at 1. Their gradients are pure noise around zero, with a spread of
# 0.01 in the first group, 1 in the second and 100 in the third: only the decay has a direction. With a rate of 0.01 and
# $\lambda = 0.1$, shrinking alone leaves $(1 - 0.001)^{300}$ after 300 steps, about three quarters.
#
# > **Predict.** What will be left in each group on average, under `adam_l2` and under `adamw`?

# %%
SPREADS = torch.tensor([0.01, 1.0, 100.0])[:, None]  # [3, 1]


def decay_of(rule, steps=300, rate=0.01, decay=0.1):
    """The mean weight of each group after every step, [3, steps + 1]."""
    random = torch.Generator().manual_seed(0)
    w, state = torch.ones(3, 2_000), {}
    means = [w.mean(dim=1)]
    for _ in range(steps):
        g = SPREADS * torch.randn(w.shape, generator=random)
        w = rule(w, g, state, rate, decay)
        means.append(w.mean(dim=1))
    return torch.stack(means, dim=1)


left_by = {"Adam with L2": decay_of(adam_l2), "AdamW": decay_of(adamw)}

# %% tolerance={"rtol": 0.03}
for name, means in left_by.items():
    print(f"{name:12}", [round(v, 2) for v in means[:, -1].tolist()])
alone = (1 - 0.01 * 0.1) ** 300
l2, decoupled = left_by["Adam with L2"][:, -1], left_by["AdamW"][:, -1]
assert 0.72 < alone < 0.77, "about three quarters"
assert (decoupled - alone).abs().max() < 0.03, "AdamW: the same share for all"
assert l2[0] < 0.1 and l2[2] > 0.95 and (l2[1] - alone).abs() < 0.05

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3), sharey=True)
for ax, (name, means) in zip(axes, left_by.items(), strict=True):
    for spread, line, style in zip(SPREADS.flatten(), means, "-:-", strict=True):
        ax.plot(line, label=f"{spread:g}", linestyle=style)
    ax.set(xlabel="step", ylim=(-0.15, 1.1))
    ax.set_title(name, loc="center", fontsize=11, fontweight="normal")
axes[0].set_ylabel("mean weight")
label_lines(axes[0])
axes[1].text(40, 0.45, "all three, one on\ntop of the other")
fig.suptitle("With L2 noisy weights escape the decay, with AdamW none", weight="bold")
plt.show()


# %% [markdown]
# **What happened.** The numbers at the lines are the spreads. Under L2 the weights with large gradients keep all they have: their penalty is
# divided by 100 like everything else. Those with tiny gradients go to zero at full speed, because for them the penalty *is* the
# gradient. AdamW shrinks all by the same share, whatever their gradients. If you want decay with Adam, take `AdamW`;
# `weight_decay=` of `torch.optim.Adam` is the L2 of the left picture.

# %% [markdown]
# ## What an optimizer remembers
#
# Each rule keeps some numbers beside each weight. In our MLP they take hardly any room. A language model has billions of
# weights, and there they decide on how many GPUs it can be trained.
#
# > **Predict.** How many numbers per weight does each of the six keep?

# %%
def kept_per_weight(make):
    """How many numbers `make(parameters)` keeps for each weight after a step."""
    model = MLP(784, (64, 64), 10)
    optimizer = make(model.parameters(), lr=1e-3)
    model(torch.zeros(1, 784)).sum().backward()
    optimizer.step()
    kept = [v for state in optimizer.state.values() for v in state.values()]
    kept = [v.numel() for v in kept if torch.is_tensor(v) and v.dim() > 0]  # not t
    return sum(kept) / sum(p.numel() for p in model.parameters())


# %%
optimizers = {
    "SGD": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=0.9),
    "Nesterov": partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    "RMSProp": torch.optim.RMSprop,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
}
kept = {name: int(kept_per_weight(make)) for name, make in optimizers.items()}
memory = pd.DataFrame({"kept per weight": kept})
memory["GB at 7 billion weights"] = memory["kept per weight"] * 7e9 * 4 / 1e9
assert list(kept.values()) == [0, 1, 1, 1, 2, 2]
memory


# %% [markdown]
# **What happened.** A number in float32 takes four bytes. The weights themselves need one number each, and so do their gradients.
# With Adam, half of what has to be kept is the optimizer's. Can one do with less?
#
# ### Exercise: Lion, half the memory of Adam ★★☆
#
# In 2023 a computer program searched for update rules and found **Lion** (Chen et al.), which remembers one number per weight
# and looks at nothing but signs:
#
# $$c = 0.9\, m + 0.1\, g, \qquad w \leftarrow w - \eta\,\bigl(\operatorname{sign}(c) + \lambda w\bigr), \qquad
# m \leftarrow 0.99\, m + 0.01\, g$$
#
# The $w$ and $m$ on the right are always the old ones. `lion_step(w, g, m, rate, decay)` gets three tensors of one shape and two floats, and returns
# the new `(w, m)` as new tensors. With `w = 1`, `g = -0.5`, `m = 0.1`, a rate of 0.01 and no decay, `w` becomes 0.99 and `m` 0.094.

# %%
def lion_step(w, g, m, rate, decay):
    """One step of Lion: the new (w, m), each of the shape of `w`."""
    ...  # your code here


check("day09.lion_step", lion_step)


# %% [markdown]
# ## Break it on purpose: an optimizer that forgets
#
# Where is the optimizer made in your training loop? Before it, once. Put that line *inside* the loop, a slip that raises no error, and
# every step begins with an empty memory. Our rules can do it too:

# %%
def forgetful(rule):
    """`rule` with an empty memory at every step."""
    return lambda w, g, state, rate: rule(w, g, {}, rate)


# %% [markdown]
# > **Predict.** What is momentum without a memory? And Adam: where does it go, and does it arrive? Remember how long its first
# > step is.

# %% tolerance={"rtol": 0.03}
rate, steps = straight["Adam"][1], 300
sound, forgets = (
    walk(rule, ravine, START, [rate], steps)[0] for rule in (adam, forgetful(adam))
)
last = [round(height, 2) for height in ravine(forgets)[-4:].tolist()]
print(f"Adam at a rate of {rate:.2f} ends at a height of {ravine(sound)[-1]:.4f}")
print(f"without a memory its last heights are {last}")
same = walk(forgetful(momentum), ravine, START, RATES[9:], steps)
assert torch.equal(same, walk(sgd, ravine, START, RATES[9:], steps))
moves = forgets.diff(dim=0).abs()  # [steps, 2]
assert torch.allclose(moves, torch.full_like(moves, rate), rtol=1e-5)
assert ravine(forgets)[-100:].max() > 0.5 > 1000 * ravine(sound)[-1]

# %% [markdown]
# **What happened.** Momentum without a memory *is* plain SGD, to the last bit. Adam without one makes its first step again and
# again, and that step is one rate long in every weight, whatever the gradient: near the bottom it hops from wall to wall for ever.
# Two everyday slips forget less often, and are harder to see: an optimizer made inside the epoch loop, and a run resumed from a
# checkpoint that holds the weights but not `optimizer.state_dict()`.

# %% [markdown]
# ## Recap
#
# - **Six rules, a few lines each**, equal to PyTorch's to rounding. They differ in what they remember: nothing (SGD), a velocity
#   (momentum, Nesterov), mean squares (RMSProp), both (Adam, AdamW).
# - **Momentum** cures the ravine in any direction: what contradicts itself cancels. **A step of its own for each weight** cures unequal
#   gradients, but only along the axes.
# - **A fair race** gives each optimizer its own rate, several seeds, and judges that had no say in the choice. Ours ended level.
# - **Weight decay** shrinks all weights by one share; **L2 in Adam** spares those with large gradients. Adam keeps two numbers for each
#   weight.
#
# ## What to try next
#
# - Enter `torch.optim.SGD` with `momentum=0.9` into the race on the digits. Which rate does it need, and why is it lower?
#   (Your `effective_rate` knows.)
# - Make the ravine ten times as steep. Whose number of steps grows tenfold, and whose does not?
# - We kept the rate fixed all day. [Day 10](day10_learning_rate.ipynb) lets it change.
#
# ## References
#
# - Polyak (1964), *Some methods of speeding up the convergence of iteration methods*: momentum, and its gain in a ravine.
# - Nesterov (1983), *A method of solving a convex programming problem with convergence rate O(1/k²)*: looking ahead, with proof.
# - Sutskever, Martens, Dahl, Hinton (2013), *On the importance of initialization and momentum in deep learning*: brought both
#   to deep networks.
# - Tieleman, Hinton (2012), *Lecture 6.5: RMSProp*: a slide of a course, and never published otherwise.
# - Dauphin and others (2014), *Identifying and attacking the saddle point problem in high-dimensional non-convex
#   optimization*: saddles, not valleys, are what large networks meet.
# - Kingma, Ba (2015), *Adam: a method for stochastic optimization*: both averages, and their correction.
# - Wilson and others (2017), *The marginal value of adaptive gradient methods in machine learning*: a tuned SGD is hard to beat.
# - Choi and others (2019), *On empirical comparisons of optimizers for deep learning*: the ranking follows the tuning.
# - Loshchilov, Hutter (2019), *Decoupled weight decay regularization*: AdamW.
# - Chen and others (2023), *Symbolic discovery of optimization algorithms*: Lion, found by search.
