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
# # Day 8: what should a mistake cost?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 2](day02_numpy_network.ipynb),
# [day 6](day06_mlp_mnist.ipynb) and [day 7](day07_lenet.ipynb).*
#
# Two forecasters are asked whether it will rain. One says "70 %", the other "99 %", and it stays dry. Who should pay
# more, and how much more? A loss function is a price list for mistakes, and a network becomes whatever is cheapest.
# With careless prices it will learn the wrong thing, and learn it well.
#
# **By the end you can**
#
# - derive squared error, binary cross-entropy and cross-entropy from one rule, and choose between them for a task;
# - compute a loss from logits in float32, and say what breaks if you go through probabilities;
# - explain what KL divergence and label smoothing charge for;
# - recognise a softmax applied twice by its training curve, and compare losses without being fooled by the learning
#   rate.
#
# [← Day 7: why look at an image through a small window?](day07_lenet.ipynb) ·
# [Day 9: how does a gradient become a step? →](day09_optimizers.ipynb)

# %%
import math

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP
from nnlab_helpers.plots import PALETTE, label_lines, plot_band, show_images, use_style
from nnlab_helpers.train import fit

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## The price decides the answer
#
# Nine people measured the same table, in metres. One of them put the decimal point in the wrong place.

# %%
lengths = torch.tensor([2.01, 1.98, 2.02, 2.00, 1.99, 2.03, 1.97, 2.01, 20.1])
print("sorted:", [round(length, 2) for length in lengths.sort().values.tolist()])

# %% [markdown]
# The smallest model there is says one number $c$ for all of them, and pays for each measurement $y$ by its error
# $c - y$. We try two thousand values of $c$ and keep the cheapest.
#
# > **Predict.** Which $c$ is cheapest if the price is the *square* of the error? Which if it is its *absolute value*?
# > Write down two lengths.

# %%
candidates = torch.linspace(1, 21, 2_001)  # [2001], a centimetre apart
errors = candidates[:, None] - lengths  # [2001, 9]
by_square = candidates[errors.square().mean(dim=1).argmin()].item()
by_absolute = candidates[errors.abs().mean(dim=1).argmin()].item()
print(f"cheapest by squared error: {by_square:.2f} m, by absolute: {by_absolute:.2f} m")
assert abs(by_square - lengths.mean()) < 0.015
assert abs(by_absolute - lengths.median()) < 0.015
assert 1.9 < by_square - by_absolute < 2.1

# %% [markdown]
# **What happened.** Squared error wants the *mean*, and a single typing mistake has moved that by two metres, to a
# length that nobody measured. Absolute error wants the *median*, the middle one when they are sorted, which does not
# care how far out the last one lies. The data are the same. The prices made the answer.
#
# Gradients tell why. For the mean squared error of $N$ predictions $c_i$ the gradient is $2 (c_i - y_i) / N$: a
# measurement pulls as hard as it is far away. For the mean absolute error it is $\operatorname{sign}(c_i - y_i) / N$:
# all pull alike.

# %%
c = torch.full_like(lengths, 2.0, requires_grad=True)  # one prediction each, all 2 m
(pull_square,) = torch.autograd.grad(F.mse_loss(c, lengths), c)
(pull_absolute,) = torch.autograd.grad(F.l1_loss(c, lengths), c)
error, count = c.detach() - lengths, len(lengths)
assert torch.allclose(pull_square, 2 * error / count)
assert torch.allclose(pull_absolute, error.sign() / count)
ratio = (pull_square[-1] / pull_square[0]).item()
print(f"squared error: the typing mistake pulls {ratio:.0f} times as hard as 2.01")
assert ratio > 1_000

# %%
e = torch.linspace(-4, 4, 401, requires_grad=True)
fig, (ax_price, ax_pull) = plt.subplots(1, 2, figsize=(7, 3))
for name, price in {"squared": e.square(), "absolute": e.abs()}.items():
    (pull,) = torch.autograd.grad(price.sum(), e)
    ax_price.plot(e.detach(), price.detach(), label=name)
    ax_pull.plot(e.detach(), pull, label=name)
ax_price.set(xlabel="error (m)", ylabel="price", title="Far out, squares explode")
ax_pull.set(xlabel="error (m)", ylabel="pull (slope of the price)")
ax_pull.set_title("... and pull without limit")
label_lines(ax_pull)
plt.show()


# %% [markdown]
# ### Exercise: cheap near, fair far ★★☆
#
# Huber (1964) wanted both: the square's soft landing near zero, and the absolute value's calm far out. His price is
# $\tfrac12 e^2$ as long as $|e| \le \delta$. Beyond, it goes on as a straight line, *without a jump and without a kink*
# at $\pm\delta$: that settles the line's slope and height. Write `huber(error, delta=1.0)`. It gets a float tensor of
# any shape and returns a pair `(price, pull)` of tensors of that shape, entry by entry, no mean: the price, and its
# derivative with respect to the error. For `delta = 1` and errors `[0.5, 3, -3]` the price is `[0.125, 2.5, 2.5]` and
# the pull `[0.5, 1, -1]`; for `delta = 2` and error `[3]` they are `[4]` and `[2]`. Do not call `F.huber_loss` or
# `F.smooth_l1_loss`. Stuck? `hint("day08.huber")` gives a first nudge.

# %%
def huber(error, delta=1.0):
    """Huber's price of each error, and its derivative; both of the shape of `error`."""
    ...  # your code here


check("day08.huber", huber)

# %% [markdown]
# ## Where do prices come from?
#
# Day 6 charged a classifier its *surprise*: $-\log p$ of what really happened. The same rule makes prices for
# everything else. Let a model state what it believes, as a probability for each thing that may happen. Then charge it
# the surprise.
#
# A model that predicts a length can believe in a bell curve (a *Gaussian*) around its prediction $c$, with a width
# $\sigma$ that says how far measurements usually scatter. Its surprise is
#
# $$-\log \left( \frac{1}{\sigma\sqrt{2\pi}} \, e^{-(y - c)^2 / 2\sigma^2} \right)
# = \frac{(y - c)^2}{2 \sigma^2} + \text{a constant} .$$
#
# That is squared error. If the belief is $e^{-|y - c|/s}$ instead (a *Laplace* distribution, with more room far out),
# the same step gives absolute error.
#
# > **Predict.** These people scatter by about 0.02 m. Both models say 2.00. How many nats of surprise does each feel at
# > 20.1? (Guessing one digit of ten costs 2.3.) Write down two powers of ten.

# %%
width = 0.02
bell = torch.distributions.Normal(2.0, width)
laplace = torch.distributions.Laplace(2.0, width)
y = torch.tensor([2.0, 2.01, 20.1])
print("bell curve:", [f"{s:.1f}" for s in (-bell.log_prob(y)).tolist()])
print("Laplace:   ", [f"{s:.1f}" for s in (-laplace.log_prob(y)).tolist()])
surplus = bell.log_prob(y[0]) - bell.log_prob(y)  # beyond the least possible surprise
assert torch.allclose(surplus, (y - 2.0) ** 2 / (2 * width**2))
assert surplus[2] > 100_000
assert 100 < laplace.log_prob(y[0]) - laplace.log_prob(y[2]) < 10_000

# %% [markdown]
# **What happened.** To the bell curve a misplaced decimal point is not unlikely, it is unthinkable, and so it would
# rather move everything than live with it. Squared error is not wrong. It is an *opinion about noise*: the right one
# where errors are many small ones added up, of the same size everywhere. Where now and then something breaks, hold
# another opinion. (Surprise may be negative, by the way: $\log$ of a density, which may exceed one, and not of a
# probability.)

# %% [markdown]
# ## Yes or no
#
# Now what happens is one of two things: $y = 1$ (rain) or $y = 0$ (dry). The model states the probability $p$ of rain,
# and its surprise is $-\log p$ if it rains and $-\log(1 - p)$ if not. In one line, **binary cross-entropy**:
#
# $$\ell(p, y) = -\,y \log p \;-\; (1 - y) \log (1 - p) .$$
#
# Why so complicated, if the error $|y - p|$ is at hand?
#
# > **Predict.** It rains on 70 % of all days, and you know no more than that. You must say the same $p$ every day.
# > Which $p$ costs you least in the long run: by the squared error $(y - p)^2$, by the absolute error $|y - p|$, by
# > surprise?

# %%
p = torch.linspace(0.005, 0.995, 991)  # what you may say
prices = {  # the price if it rains, and if it stays dry
    "squared": ((1 - p) ** 2, p**2),
    "absolute": (1 - p, p),
    "surprise": (-p.log(), -(1 - p).log()),
}
expected = {name: 0.7 * wet + 0.3 * dry for name, (wet, dry) in prices.items()}
cheapest = {name: p[cost.argmin()].item() for name, cost in expected.items()}
print({name: round(best, 3) for name, best in cheapest.items()})
print(f"dry: '70 %' pays {-math.log(0.3):.2f} nats, '99 %' pays {-math.log(0.01):.2f}")
assert abs(cheapest["squared"] - 0.7) < 1e-3 > abs(cheapest["surprise"] - 0.7)
assert cheapest["absolute"] == p[-1]

# %%
fig, ax = plt.subplots()
for name, cost in expected.items():
    (line,) = ax.plot(p, cost, label=name)
    best = cost.argmin()
    ax.plot(p[best], cost[best], "o", color=line.get_color())
ax.axvline(0.7, color="gray", linewidth=1, linestyle=":")
ax.set(xlabel="what you say (true chance of rain: 0.7)", ylabel="mean price per day")
ax.set(ylim=(0, 2), title="Absolute error pays you to exaggerate")
label_lines(ax)
plt.show()

# %% [markdown]
# **What happened.** Squared error and surprise are cheapest exactly at the truth. Absolute error is a straight line in
# $p$: under it you do best to cry "rain, certainly" every day. A price under which honesty is cheapest is called
# **proper**. Both proper ones will do; they differ in what they take for certainty. The square never takes more than 1,
# surprise has no upper limit, and day 7 drew what follows for the gradient. (The last line is for the two forecasters
# at the top.)
#
# A network does not state $p$ but a logit $z$, and the sigmoid (day 3) makes the probability of it, $p = \sigma(z)$:
# the same letter as the width above, but a function. Through both, the gradient is the one you know from day 2, *what
# it said minus what it should have said*: $\sigma(z) - y$.

# %%
z = torch.linspace(-6, 6, 25, requires_grad=True)
for truth in (0.0, 1.0):
    price = -truth * z.sigmoid().log() - (1 - truth) * (1 - z.sigmoid()).log()
    (gradient,) = torch.autograd.grad(price.sum(), z)
    assert torch.allclose(gradient, z.detach().sigmoid() - truth, atol=1e-6)
    oracle = F.binary_cross_entropy_with_logits(z, torch.full_like(z, truth))
    assert torch.allclose(price.mean(), oracle, atol=1e-5)
print("sigmoid(z) - y, for yes and for no: autograd agrees")

# %% [markdown]
# ### One of ten, or ten questions?
#
# Cross-entropy over a softmax answers *which one of $C$*: the probabilities share out a total of 1. Binary
# cross-entropy over $C$ sigmoids asks *$C$ separate questions*. Three pictures of digits, and what should be said of
# each: a 3; a 3 and a 7 side by side; nothing.
#
# We leave the network out and let gradient descent move the logits themselves, so that nothing stands between a price
# and what it leads to. The target is 1 for a digit that is there and 0 for the others; of two digits the softmax gets
# half a target each. For the empty picture both get a row of zeros.
#
# > **Predict.** After a long time, what does the softmax say of the empty picture? And the sigmoids?

# %%
targets = torch.zeros(3, 10)
targets[0, 3] = targets[1, 3] = targets[1, 7] = 1  # row 2: no digit at all


def settle(loss, steps=500, rate=1.0):
    """Logits [3, 10] after gradient descent on `loss`, from zero."""
    logits = torch.zeros(3, 10, requires_grad=True)
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(loss(logits), logits)
        logits = (logits - rate * gradient).detach().requires_grad_()
    return logits.detach()


# %%
shares = targets / targets.sum(dim=1, keepdim=True).clamp(min=1)  # [3, 10]
by_ce = settle(lambda z: F.cross_entropy(z, shares, reduction="sum")).softmax(dim=1)
by_bce = settle(
    lambda z: F.binary_cross_entropy_with_logits(z, targets, reduction="sum")
).sigmoid()
rows = {"a 3": 0, "a 3 and a 7": 1, "nothing": 2}
columns = {f"{name}: {digit}": q[:, digit] for name, q in
           (("softmax", by_ce), ("sigmoid", by_bce)) for digit in (0, 3, 7)}
assert torch.allclose(by_ce[2], torch.full((10,), 0.1))
assert by_bce[2].max() < 0.01 < 0.99 < by_bce[1, [3, 7]].min()
pd.DataFrame({k: v.numpy() for k, v in columns.items()}, index=list(rows)).round(2)


# %% [markdown]
# **What happened.** The softmax must hand out its 1, so of an empty picture it says what it said at the start: a tenth
# for each. Its target was a row of zeros, cross-entropy charged nothing, and nothing pulled. "Two digits" and "one of
# two, I cannot tell which" look the same to it. The sigmoids say no ten times. But where one of $C$ is certain to be
# there, the softmax starts with that knowledge, and sigmoids have to learn it.

# %% [markdown]
# ## Why logits? Where float32 gives up
#
# On day 2 an exponential overflowed. That was one end. At the other end wait probabilities so near to 0 or 1 that they
# *round* to it, and then somebody takes the logarithm.
#
# Let the truth be no ($y = 0$) and the network be ever surer of yes. The price is $-\log(1 - \sigma(z))$, which is
# $\log(1 + e^z)$ on paper: hardly more than $z$ itself once $z$ is large. And the gradient, $\sigma(z) - 0$, is nearly
# one. Four ways to compute it:

# %%
def four_ways(z):
    """Prices of logits `z` where the truth is no, computed in four ways."""
    p = z.sigmoid()
    no = torch.zeros_like(z)
    yield "-log(1 - p)", -(1 - p).log()
    yield "-log(1 - p + 1e-8)", -(1 - p + 1e-8).log()
    yield "F.binary_cross_entropy", F.binary_cross_entropy(p, no, reduction="none")
    yield "the same, with logits", F.binary_cross_entropy_with_logits(
        z, no, reduction="none"
    )


# %% [markdown]
# > **Predict.** At $z = 5$ all four agree. What will each say at $z = 20$, and what gradient will it send back?

# %%
z = torch.tensor([5.0, 20.0, 120.0], requires_grad=True)  # float32
table = {}
for name, price in four_ways(z):
    (slope,) = torch.autograd.grad(price.sum(), z, retain_graph=True)
    table[name] = {f"price at {x:g}": v for x, v in zip(z.tolist(), price.tolist())}
    table[name] |= {f"gradient at {x:g}": g for x, g in zip(z.tolist(), slope.tolist())}
frame = pd.DataFrame(table).T.round(2)
frame

# %%
assert torch.tensor(20.0).sigmoid() == 1, "in float32 it is not almost 1: it is 1"
naive, epsilon, clamped, healthy = (frame.loc[name] for name in frame.index)
assert math.isinf(naive["price at 20"]) and math.isnan(naive["gradient at 20"])
assert epsilon["gradient at 20"] == clamped["gradient at 20"] == 0
assert healthy["price at 20"] == 20 and healthy["gradient at 20"] == 1

# %%
z = torch.linspace(0, 30, 301, requires_grad=True)
fig, ax = plt.subplots()
for name, price in four_ways(z):
    (slope,) = torch.autograd.grad(price.sum(), z, retain_graph=True)
    broken = slope.isnan().any()
    (line,) = ax.plot(z.detach(), slope, label=None if broken else name)
    if broken:
        end = z[slope.isfinite()][-1].item()
        ax.plot(end, 1, "x", color=line.get_color(), zorder=3)
        ax.text(end + 0.6, 0.86, f"{name}, then NaN", color=line.get_color())
ax.set(xlabel="logit against the truth", ylabel="gradient", ylim=(-0.15, 1.1))
ax.set_title("Where it is most wrong, only the logits still speak")
label_lines(ax)
assert 16 < z[z.sigmoid() == 1].min() < 18
plt.show()

# %% [markdown]
# **What happened.** float32 holds seven digits, so from about $z = 17$ on $\sigma(z)$ is 1 and not nearly 1. The plain
# formula then says infinity, and its gradient is infinity times zero, *not a number*. PyTorch's `binary_cross_entropy`
# does not let a logarithm fall below $-100$, and the popular `+ 1e-8` does the same at about $-18$. Both silence the
# alarm and keep the fault: the gradient is zero exactly where the network is most wrong. Only the last way never forms
# $p$. It was simplified on paper first.
#
# One such number is enough. A layer of 20 weights gets a batch of 64 rows, and a single row is absurdly wrong:

# %%
seed_everything(0)
layer = nn.Linear(4, 5)
x, labels = torch.randn(64, 4), torch.randint(0, 5, (64,))
x[0] *= 1_000  # far out of range ...
labels[0] = layer(x)[0].argmin()  # ... and wrong
p_truth = layer(x).softmax(dim=1)[torch.arange(64), labels]
(-p_truth.log().mean()).backward()
nans = layer.weight.grad.isnan()
print("rows with an infinite price:", int((p_truth == 0).sum()), "of 64")
print("weights whose gradient is NaN:", int(nans.sum()), "of 20")
assert nans.all() and (p_truth == 0).sum() == 1
assert F.cross_entropy(layer(x), labels).isfinite(), "from logits nothing happens"


# %% [markdown]
# The remedy is the same for softmax: $\log p_c = z_c - \log\sum_k e^{z_k}$, the log-sum-exp from day 2, which never
# forms $p_c$. So let networks return logits, and hand these to `F.cross_entropy` or
# `F.binary_cross_entropy_with_logits`.
#
# ### Exercise: binary cross-entropy from logits ★★☆
#
# Write `binary_cross_entropy(logits, targets)`. Both are float tensors of the same shape, `[N]` or `[N, C]`; targets
# lie between 0 and 1, *and may lie in between* ("in three of ten such cases"). Return the mean over all entries, a
# tensor with a single number. It must be right for logits of $\pm 1000$. For logits `[0.]` and any target it is
# $\log 2$; for logits `[2.]` and target `[0.3]` it is 1.527. `F.binary_cross_entropy` and its relatives are not
# allowed, `F.softplus` and `F.logsigmoid` are. Autograd must be able to go through it.

# %%
def binary_cross_entropy(logits, targets):
    """Mean binary cross-entropy of `logits` for `targets` in [0, 1], same shape."""
    ...  # your code here


check("day08.binary_cross_entropy", binary_cross_entropy)

# %% [markdown]
# ## KL divergence: what ignorance costs on top
#
# Some surprise is nobody's fault: who knows a fair coin perfectly is still surprised by $\log 2$ nats at each toss. The
# mean surprise of someone who knows the true probabilities $p$ is the **entropy** $H(p) = -\sum_c p_c \log p_c$.
# Someone who believes $q$ instead pays the cross-entropy $-\sum_c p_c \log q_c$. The difference is what being wrong
# costs, the **Kullback-Leibler divergence**:
#
# $$\underbrace{-\sum_c p_c \log q_c}_{\text{cross-entropy}} \;=\; \underbrace{H(p)}_{\text{unavoidable}} \;+\;
# \underbrace{\sum_c p_c \log \frac{p_c}{q_c}}_{\text{KL}(p \,\|\, q)\; \ge\; 0} .$$

# %%
p = torch.tensor([0.5, 0.25, 0.125, 0.125])  # sun, cloud, rain, snow
q = torch.tensor([0.25, 0.25, 0.25, 0.25])  # who has never looked out of the window
entropy = -(p * p.log()).sum()
cross_entropy = -(p * q.log()).sum()
kl = (p * (p / q).log()).sum()
print(f"cross-entropy {cross_entropy:.3f} = entropy {entropy:.3f} + KL {kl:.3f}")
assert torch.allclose(cross_entropy, entropy + kl)

# %% [markdown]
# The entropy contains no $q$, so no network can lower it, and its gradient is zero. Minimising cross-entropy *is*
# minimising KL: with $q = \operatorname{softmax}(z)$ the gradient with respect to the logits is $q - p$ for both. If
# the target is one-hot its entropy is 0, and the two are the same number.

# %%
logits = torch.tensor([0.3, -1.0, 2.0, 0.0], requires_grad=True)
log_q = logits.log_softmax(dim=0)
(by_ce,) = torch.autograd.grad(-(p * log_q).sum(), logits, retain_graph=True)
(by_kl,) = torch.autograd.grad((p * (p.log() - log_q)).sum(), logits)
assert torch.allclose(by_ce, by_kl) and torch.allclose(by_kl, log_q.exp().detach() - p)
print("gradient of both:", [round(g, 3) for g in by_kl.tolist()])

# %% [markdown]
# Then why have two? Use cross-entropy when targets are labels. Use KL when the target is itself a *distribution*: the
# belief of a larger network that a small one shall imitate, or the shape that a generative model shall keep to. There,
# zero should mean "the same". And as soon as $p$ moves too, its entropy counts.
#
# KL is not a distance: $\text{KL}(p \| q)$ and $\text{KL}(q \| p)$ differ. Here $p$ has two humps, and you must believe
# in a single bell curve $q$. We try every place and width.
#
# > **Predict.** Sketch the best $q$ for $\text{KL}(p \| q)$, and the best $q$ for $\text{KL}(q \| p)$. Where does each
# > put its top?

# %%
x = torch.linspace(-8, 8, 161)
humps = torch.exp(-((x + 3) ** 2) / 2) + 0.8 * torch.exp(-((x - 3) ** 2) / 2)
p = humps / humps.sum()  # [161]
centre, width = torch.linspace(-5, 5, 101), torch.linspace(0.6, 4, 69)
gap = (x - centre[:, None, None]) / width[:, None]  # [101, 69, 161]
log_q = (-(gap**2) / 2).log_softmax(dim=2)  # every bell curve adds up to one
forward = (p * (p.log() - log_q)).sum(dim=2)  # KL(p || q), [101, 69]
backward = (log_q.exp() * (log_q - p.log())).sum(dim=2)  # KL(q || p)

# %%
fig, ax = plt.subplots()
ax.fill_between(x, p, color="lightgray")
best = {}
for name, table in (("KL(p || q)", forward), ("KL(q || p)", backward)):
    i, j = divmod(table.argmin().item(), len(width))
    best[name] = (centre[i].item(), width[j].item())
    (line,) = ax.plot(x, log_q[i, j].exp())
    ax.text(best[name][0] - 0.7, log_q[i, j].exp().max() + 0.001, f"best q by {name}",
            color=line.get_color())
ax.text(3, 0.004, "p", color="dimgray", ha="center")
ax.set(xlabel="x", ylabel="probability per 0.1", ylim=(0, 0.047))
ax.set_title("One way round it covers everything, the other way it chooses")
plt.show()

# %%
for name, (where, wide) in best.items():
    print(f"{name}: centre {where:.1f}, width {wide:.2f}")
assert abs(best["KL(p || q)"][0]) < 0.5 and best["KL(p || q)"][1] > 2
assert abs(best["KL(q || p)"][0] + 3) < 0.2 and best["KL(q || p)"][1] < 1.2

# %% [markdown]
# **What happened.** $\text{KL}(p \| q)$ averages over what *happens*, so it is dear to call impossible what then
# occurs: $q$ covers both humps and puts its top between them, where next to nothing is. $\text{KL}(q \| p)$ averages
# over what you *believe*, so it is dear to believe in what never occurs: $q$ settles on the higher hump and forgets the
# other. Training on labels is always the first kind.
#
# A warning about PyTorch's own. `F.kl_div(input, target)` wants the *logarithm* of $q$ first and $p$ itself second, and
# its default averages over all entries instead of rows.

# %%
p = torch.tensor([[0.5, 0.25, 0.125, 0.125], [0.7, 0.1, 0.1, 0.1]])
q = torch.full((2, 4), 0.25)
by_hand = (p * (p / q).log()).sum(dim=1).mean()
batchmean = F.kl_div(q.log(), p, reduction="batchmean")
entrymean = F.kl_div(q.log(), p, reduction="sum") / p.numel()  # its default
print(f"by hand {by_hand:.4f}, batchmean {batchmean:.4f}, default {entrymean:.4f}")
assert torch.allclose(by_hand, batchmean) and torch.allclose(by_hand, 4 * entrymean)


# %% [markdown]
# ### Exercise: KL divergence, with zeros ★★☆
#
# Write `kl_divergence(p, q)` for two float tensors `[N, C]` whose rows are probabilities, and return
# $\text{KL}(p \| q)$ of each row, `[N]`, in nats. What never happens costs nothing: an entry with $p = 0$ counts 0,
# *also where $q = 0$ too*. What happens although it was called impossible costs infinitely much: $q = 0$ under $p > 0$
# gives `inf`. For `p = [[1, 0], [0.5, 0.5]]` and `q = [[0.5, 0.5], [1, 0]]` the answer is `[0.693, inf]`. Do not call
# `F.kl_div`.

# %%
def kl_divergence(p, q):
    """KL(p || q) of each row of `p` and `q`, both [N, C]; returns [N]."""
    ...  # your code here


check("day08.kl_divergence", kl_divergence)

# %% [markdown]
# ### Exercise: which price for which task? ★☆☆
#
# Fill in a word for each task: `"mse"` (squared error), `"huber"`, `"bce"` (binary cross-entropy on sigmoids), `"ce"`
# (cross-entropy on a softmax) or `"kl"`. Each is used at least once.

# %%
choose_loss = {
    "the length of a fish, errors bell-shaped and equally large": ...,
    "the price of a house, a few entries mistyped": ...,
    "which of 26 letters was written": ...,
    "which of 20 symptoms a patient has": ...,
    "spam or not, from one logit": ...,
    "a small network imitates a large one's probabilities": ...,
}

check("day08.choose_loss", choose_loss)

# %% [markdown]
# ## Label smoothing: pay for being too sure
#
# With one-hot labels cross-entropy is never satisfied: the price falls as long as the logits grow, and never arrives.
# Szegedy and colleagues (2016) gave it a place to arrive. Each target hands a share $\varepsilon$ of its 1 to all $C$
# classes alike:
#
# $$t_c = (1 - \varepsilon)\,[c = y] + \frac{\varepsilon}{C} .$$
#
# As on day 2 the bracket is 1 if what it says is true, here for the true class $y$ alone, and 0 if not.
#
# > **Predict.** Ten classes, $\varepsilon = 0.1$. Which probability for the true class is cheapest now? What is the
# > lowest price that a perfect network can reach: still 0?

# %%
truth = torch.tensor([3])
z = torch.zeros(1, 10, requires_grad=True)
for _ in range(400):
    loss = F.cross_entropy(z, truth, label_smoothing=0.1)
    (slope,) = torch.autograd.grad(loss, z)
    z = (z - 3 * slope).detach().requires_grad_()
target = torch.tensor([0.91] + 9 * [0.01])
floor = -(target * target.log()).sum().item()  # the entropy of the smoothed target
print(f"probability of the truth {z.softmax(1)[0, 3]:.3f}, price {loss:.3f},"
      f" entropy of the target {floor:.3f}")
assert abs(z.softmax(1)[0, 3] - 0.91) < 1e-3 and abs(loss - floor) < 1e-3

# %%
p = torch.linspace(0.3, 0.9999, 700)
plain, smoothed = -p.log(), -0.91 * p.log() - 0.09 * ((1 - p) / 9).log()
fig, ax = plt.subplots()
ax.plot(p, plain, label="one-hot")
ax.plot(p, smoothed, label="smoothed")
ax.plot([0.91], [floor], "o", color=PALETTE[1])
ax.set(xlabel="probability of the true class (the others share the rest)")
ax.set(ylabel="price (nats)", ylim=(-0.06, 1.5))
ax.set_title("From a probability of 0.91 on, more certainty costs")
label_lines(ax)
assert abs(p[smoothed.argmin()] - 0.91) < 2e-3
plt.show()


# %% [markdown]
# **What happened.** The cheapest thing to say is the target itself, and its price is the target's entropy, which you
# know from the KL section: smoothed losses never reach 0. A loss that stops here may be perfect.
# Compare losses only under the same targets.
#
# ### Exercise: smooth the labels ★☆☆
#
# Write `smooth_labels(labels, num_classes, epsilon)`, the formula above: whole numbers `[B]` go in, a float tensor
# `[B, num_classes]` comes out. For label `[0]`, 4 classes and $\varepsilon = 0.2$ it is `[[0.85, 0.05, 0.05, 0.05]]`.
# With $\varepsilon = 0$ it is one-hot.

# %%
def smooth_labels(labels, num_classes, epsilon):
    """Smoothed targets [B, num_classes] for the classes `labels` [B]."""
    ...  # your code here


check("day08.smooth_labels", smooth_labels)


# %% [markdown]
# ### Exercise: soft targets, softened logits ★★★
#
# A small network that imitates a large one often gets its logits divided by a *temperature* $T$ before the softmax
# (Hinton, Vinyals and Dean, 2015): at $T > 1$ all probabilities come closer together, and the small ones can be seen.
# Its loss is the mean over the batch of $-\sum_c t_c \log q_c$ with $q = \operatorname{softmax}(z / T)$. Write
# `soft_loss_grad(logits, targets, temperature)`: the gradient of that loss with respect to the logits $z$, as a
# formula, without autograd. Logits and targets are `[B, C]`, each row of targets adds up to one, and so the gradient is
# `[B, C]`. For logits `[[0., 0.]]`, target `[[1., 0.]]` and $T = 2$ it is `[[-0.25, 0.25]]`; with the same row twice,
# each row gets half of that.

# %%
def soft_loss_grad(logits, targets, temperature):
    """Gradient [B, C] of the mean soft cross-entropy with respect to `logits`."""
    ...  # your code here


check("day08.soft_loss_grad", soft_loss_grad)


# %% [markdown]
# ## The same digits, three prices
#
# Day 7 compared cross-entropy with the squared error of a softmax. Today there are three: cross-entropy, a binary
# cross-entropy for each of ten sigmoids, and squared error in its simplest form, which takes the ten raw outputs and
# pulls them to 1 and 0.

# %%
def ce(logits, y):
    return F.cross_entropy(logits, y)


def bce(logits, y):
    return F.binary_cross_entropy_with_logits(logits, F.one_hot(y, 10).float())


def mse(outputs, y):
    return F.mse_loss(outputs, F.one_hot(y, 10).float())


# %% [markdown]
# 2,000 digits to train on, 2,000 others to choose with, and the test digits to report on. They are those of the first
# week:

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
train_index, val_index = order[:2_000], order[2_000:4_000]
common = {"normalize": Normalize.from_images(digits, train_index), "device": device}
test_digits = load_images("mnist", "test")
val_x, val_y = next(iter(TensorLoader(digits, val_index, batch_size=2_000, **common)))
test_x, test_y = next(iter(TensorLoader(test_digits, batch_size=10_000, **common)))
some = digits.take(train_index[:10])
show_images(some.images, some.labels.tolist(), title="The first ten of 2,000")
plt.show()


# %%
def train(loss, rate, seed, epochs=4):
    """An MLP trained with `loss`: its training losses, epoch by epoch, and itself."""
    seed_everything(seed)
    model = MLP(784, (64,), 10).to(device)
    loader = TensorLoader(
        digits, train_index, batch_size=100, shuffle=True, seed=seed, **common
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    history = fit(model, loader, epochs=epochs, optimizer=optimizer, loss=loss,
                  device=device)
    return history["train_loss"], model.eval()


@torch.no_grad()
def accuracy(model, x, y):
    """Share of the images `x` that `model` reads as `y`."""
    return (model(x).argmax(dim=1) == y).float().mean().item()


# %% [markdown]
# All three choose the digit with the largest output, so accuracy compares them fairly. Their losses do not compare:
# they are not in the same unit. And which learning rate is fair? Take three, and three seeds at each.
#
# > **Predict.** Rank the three losses by accuracy at a rate of 0.001. Then rank them at 0.01.

# %%
RATES, SEEDS = (0.001, 0.003, 0.01), range(3)
models, losses, val_runs = {}, {}, {}
for loss in (mse, bce, ce):
    runs = [[train(loss, rate, seed) for rate in RATES] for seed in SEEDS]
    models[loss.__name__] = [[model for _, model in row] for row in runs]
    losses[loss.__name__] = [[curve for curve, _ in row] for row in runs]
    val_runs[loss.__name__] = torch.tensor(
        [[accuracy(model, val_x, val_y) for _, model in row] for row in runs]
    )  # [seeds, rates]

# %% tolerance={"rtol": 0.03}
means = pd.DataFrame({name: runs.mean(dim=0).mul(100).tolist()
                      for name, runs in val_runs.items()}, index=RATES)
means.index.name = "rate"
assert (val_runs["mse"][:, 0] > val_runs["bce"][:, 0]).all()
assert val_runs["mse"][:, 0].mean() > val_runs["ce"][:, 0].mean() - 0.01
assert (val_runs["mse"][:, 2] < val_runs["ce"][:, 2] - 0.1).all()
means.round(1)

# %%
fig, ax = plt.subplots()
for name, runs in val_runs.items():
    plot_band(ax, RATES, 100 * runs, name, marker="o")
ax.set(xscale="log", xlabel="learning rate", ylabel="validation accuracy (%)")
ax.set_xticks(RATES, [f"{rate:g}" for rate in RATES])
ax.minorticks_off()
ax.set_title("At one rate mse beats bce, at another it is ruined")
label_lines(ax)
plt.show()


# %% [markdown]
# **What happened.** At the lowest rate squared error reads more than binary cross-entropy, in every seed, and is at
# least about level with cross-entropy. At the highest rate it is ruined, in every seed, and the other two do well. Had
# we asked at one rate alone, we should have written a confident sentence about losses that is really one about rates.
#
# What went wrong with squared error there? Look for ReLUs that answer zero to every validation image: the dead units of
# day 3.

# %% tolerance={"rtol": 0.03}
def dead_share(model):
    """Share of the hidden units that are zero for every validation image."""
    hidden = []
    first = next(m for m in model.modules() if isinstance(m, nn.ReLU))
    handle = first.register_forward_hook(lambda _, __, out: hidden.append(out.detach()))
    with torch.no_grad():
        model(val_x)
    handle.remove()
    return (hidden[0] <= 0).all(dim=0).float().mean().item()


dead = {}
for name, grid in models.items():
    dead[name] = sum(dead_share(row[2]) for row in grid) / len(grid)
    print(f"dead units at rate 0.01 with {name}: {dead[name]:.2f}")
assert dead["mse"] > 0.6 > dead["ce"]
assert dead["mse"] > dead["bce"] + 0.2 and min(dead["bce"], dead["ce"]) > 0.05

# %% [markdown]
# Most of its hidden units are gone. (The other two have lost some as well, and do well with those they kept.)
#
# A fairer question: each loss at *its own* best rate, chosen on the validation digits and reported on others.

# %% tolerance={"rtol": 0.03}
rows = []
for name, runs in val_runs.items():
    best = runs.mean(dim=0).argmax().item()
    scores = [100 * accuracy(row[best], test_x, test_y) for row in models[name]]
    rows.append({"loss": name, "its best rate": f"{RATES[best]:g}",
                 "mean of 3 seeds (%)": sum(scores) / 3,
                 "lowest": min(scores), "highest": max(scores)})
report = pd.DataFrame(rows).set_index("loss")
spread = report["mean of 3 seeds (%)"].max() - report["mean of 3 seeds (%)"].min()
assert spread < 2.5
report.round(1)

# %% [markdown]
# At its own best rate each of them reads nearly as many digits as the others: the chasm at 0.01 is gone. Beware of
# ranking what is left of it. Three seeds are few, and where a best rate is the first or the last of our three, a better
# one may lie beyond. So choose a loss for what its numbers *mean*. Cross-entropy's are probabilities of
# one out of ten. Ten sigmoids need not add up to 1, and the raw outputs of squared error are no probabilities at all:

# %% tolerance={"rtol": 0.03}
with torch.no_grad():
    sums = models["bce"][0][1](test_x).sigmoid().sum(dim=1)
    raw = models["mse"][0][0](test_x)
print(f"ten sigmoids add up to {sums.min():.2f} ... {sums.max():.2f}")
print(f"raw outputs below 0 or above 1: {((raw < 0) | (raw > 1)).float().mean():.1%}")
assert sums.min() < 0.8 and sums.max() > 1.2
assert ((raw < 0) | (raw > 1)).float().mean() > 0.1


# %% [markdown]
# ### Does smoothing help?
#
# > **Predict.** The same network, cross-entropy with $\varepsilon = 0.1$, rate 0.003, three seeds. Against plain
# > cross-entropy: does it read more digits? Is it less sure? And is its loss on test digits, measured *without*
# > smoothing, lower?

# %%
def smooth_ce(logits, y):
    return F.cross_entropy(logits, y, label_smoothing=0.1)


@torch.no_grad()
def judge(model):
    """[accuracy, mean confidence, plain cross-entropy] on the test digits."""
    logits = model(test_x)
    right = (logits.argmax(dim=1) == test_y).float().mean().item()
    sure = logits.softmax(dim=1).amax(dim=1).mean().item()
    return [right, sure, F.cross_entropy(logits, test_y).item()]


with_smoothing = torch.tensor([judge(train(smooth_ce, 0.003, s)[1]) for s in SEEDS])
without = torch.tensor([judge(row[1]) for row in models["ce"]])  # both [seeds, 3]

# %% tolerance={"rtol": 0.03}
for name, runs in (("one-hot", without), ("smoothed", with_smoothing)):
    columns = [f"{c.mean():.3f} ({c.min():.3f} to {c.max():.3f})" for c in runs.T]
    print(f"{name:9} accuracy {columns[0]}   confidence {columns[1]}\n"
          f"          cross-entropy {columns[2]}")
assert (with_smoothing[:, 1] < without[:, 1] - 0.05).all(), "less sure, in every seed"
assert (with_smoothing[:, 1] < with_smoothing[:, 0] - 0.05).all(), "too modest"
assert with_smoothing[:, 0].mean() > without[:, 0].mean() - 0.01
assert (with_smoothing[:, 2] > without[:, 2]).all(), "its plain loss is higher"
assert (without[:, 1] - without[:, 0]).abs().max() < 0.05, "it was not overconfident"

# %% [markdown]
# **What happened.** It reads at least about as many digits, and is far less sure of each: its mean confidence lies
# *below* the share that it gets right. So it is now too modest, and plain cross-entropy charges for that. Smoothing is
# a cure for overconfidence, and this short training had not caught much of it. Day 12 measures how well confidence and
# accuracy agree.

# %% [markdown]
# ## Break it on purpose: softmax twice
#
# `F.cross_entropy` contains a softmax. A network that ends in one too, "because we want probabilities", raises no error
# and trains. You met this bug on day 6. Now look at it more closely.
#
# > **Predict.** The network is perfect: its own softmax gives the truth probability 1, and the nine others 0. What does
# > cross-entropy, with its second softmax, charge?

# %%
perfect = F.one_hot(torch.tensor([3]), 10).float()  # probabilities, taken for logits
floor = F.cross_entropy(perfect, torch.tensor([3])).item()
print(f"the price of perfection: {floor:.3f}   (guessing: {math.log(10):.3f})")
assert abs(floor - math.log(1 + 9 / math.e)) < 1e-6
assert math.exp(-floor) < 1 / 4

# %% [markdown]
# **What happened.** Probabilities are poor logits: they differ by at most 1, so the second softmax gives the truth at
# most $e / (e + 9)$, less than a quarter. No training can bring the loss below that floor. Next, the gradient. Let the
# truth be class 0 and the network give its logit to class 1.

# %%
z = torch.linspace(-4, 12, 161)
pairs = torch.zeros(161, 10)
pairs[:, 1] = z  # ever surer of class 1, while class 0 is right
pairs.requires_grad_()
truth = torch.zeros(161, dtype=torch.int64)
sizes = {}
for name, outputs in (("softmax once", pairs), ("softmax twice", pairs.softmax(dim=1))):
    loss = F.cross_entropy(outputs, truth, reduction="sum")
    sizes[name] = torch.autograd.grad(loss, pairs)[0].norm(dim=1)  # [161]

# %%
fig, ax = plt.subplots()
for name, size in sizes.items():
    ax.plot(z, size, label=name)
ax.set(xlabel="logit of a wrong class (right of 0: ever surer of it)")
ax.set(ylabel="length of the gradient", ylim=(-0.06, 1.5))
ax.set_title("Twice: faint at the start, silent when sure and wrong")
label_lines(ax)
start = (z.abs() < 0.01).nonzero().item()
start_ratio = (sizes["softmax once"][start] / sizes["softmax twice"][start]).item()
assert abs(start_ratio - 10) < 1e-3
assert sizes["softmax twice"][-1] < 0.01 < 1 < sizes["softmax once"][-1]
plt.show()


# %% [markdown]
# At logits of zero, where training starts, the gradient is exactly 10 times too small: one factor of $1/C$ from the
# slope of the inner softmax. Adam divides by the gradient's size and does not mind. Further right it is worse. The
# inner softmax is flat there, and a network that is sure and wrong hears nothing, as on day 7 with squared error.
#
# > **Predict.** The digits again, at a rate of 0.01, three seeds. What does the training loss look like? And the
# > accuracy?

# %%
def ce_twice(logits, y):
    return F.cross_entropy(logits.softmax(dim=1), y)


twice = [train(ce_twice, 0.01, seed) for seed in SEEDS]
curves_twice = torch.tensor([curve for curve, _ in twice])  # [seeds, epochs]
curves_once = torch.tensor([row[2] for row in losses["ce"]])

# %%
fig, ax = plt.subplots()
plot_band(ax, range(1, 5), curves_once, "softmax once")
plot_band(ax, range(1, 5), curves_twice, "softmax twice")
ax.axhline(floor, color="gray", linewidth=1, linestyle=":")
ax.text(1, floor - 0.02, "floor: log(1 + 9 / e)", color="gray", va="top")
ax.set(xlabel="epoch", ylabel="training loss (nats)", ylim=(0, 2.4))
ax.set(xticks=range(1, 5), title="Softmaxed twice, the loss stays above 1.46")
label_lines(ax)
assert (curves_twice > floor).all() and (curves_twice[:, -1] < floor + 0.4).all()
assert (curves_once[:, -1] < 0.3).all()
plt.show()


# %% tolerance={"rtol": 0.03}
def per_digit(model):
    """Share that `model` reads of the test images of each digit, [10]."""
    return torch.tensor([
        accuracy(model, test_x[test_y == digit], test_y[test_y == digit])
        for digit in range(10)
    ])


once_by_digit = torch.stack([per_digit(row[2]) for row in models["ce"]])  # [seeds, 10]
twice_by_digit = torch.stack([per_digit(model) for _, model in twice])
for name, read in (("once", once_by_digit), ("twice", twice_by_digit)):
    print(f"softmax {name}: {read.mean():.1%} of a digit on average,"
          f" {read.min():.1%} of the worst digit in the worst seed")
assert once_by_digit.mean() > twice_by_digit.mean() + 0.01
assert twice_by_digit.mean() > 0.5, "it does learn, which is why the bug survives"
assert (twice_by_digit.amin(dim=1) < 0.2).sum() >= 2, "most seeds give a digit up"
assert once_by_digit.min() > 0.6


# %% [markdown]
# **What happened.** It learns, which is why the bug survives in so much code: most digits are read, and nobody knows
# that more could be. But in most seeds some digit is given up almost entirely. Once the network is sure that it is
# another one, no gradient tells it otherwise.
#
# The loss gives the bug away. For ten classes it never gets below 1.46, for $C$ classes never below
# $\log(1 + (C - 1)/e)$. A low accuracy may have a hundred reasons. *A fair accuracy under a terrible loss* is a clue.
#
# ### Exercise: find the bugs in this loss ★★☆
#
# This one has **three** bugs, all of them old acquaintances by now. Repair them, so that it returns the mean
# cross-entropy of `logits` `[B, C]` for `labels` `[B]`, also for logits of 1,000, without calling `F.cross_entropy` or
# `F.nll_loss`. Then take out the line with the `...`, which tells the check that you are done.

# %%
def mended_loss(logits, labels):
    """Mean cross-entropy of `logits` [B, C] for the classes `labels` [B]."""
    ...  # take this line out when you have repaired the rest
    probabilities = logits.softmax(dim=0)
    one_hot = F.one_hot(labels, logits.shape[1])  # [B, C]
    return -(one_hot * probabilities.log()).mean()


check("day08.mended_loss", mended_loss)

# %% [markdown]
# ## Recap
#
# - **One rule makes the prices**: charge surprise, $-\log p$ of what happened. A bell curve gives squared error,
#   yes-or-no gives binary cross-entropy, one of $C$ gives cross-entropy. A price is *proper* if honesty is cheapest.
# - **Logits, not probabilities**: in float32 a probability rounds to 0 or 1, and the logarithm then makes `inf`, `nan`,
#   or silence.
# - **KL** is cross-entropy minus the entropy of the target, and the two directions forgive different mistakes. **Label
#   smoothing** moves the target and makes the network more modest; its loss has a floor above 0.
# - **Softmax twice** has a floor too, $\log(1 + (C-1)/e)$, and a gradient that falls silent. And a **comparison at one
#   learning rate** is a statement about that rate.
#
# | what is to be said | output | loss in PyTorch | target |
# |---|---|---|---|
# | a number, bell-shaped noise | any number | `F.mse_loss` | float, same shape |
# | a number, now and then far off | any number | `F.huber_loss`, `F.l1_loss` | float, same shape |
# | yes or no; several at once | a logit each | `F.binary_cross_entropy_with_logits` | float in [0, 1], same shape |
# | one of $C$ | $C$ logits | `F.cross_entropy` | whole numbers `[B]`, or probabilities `[B, C]` |
# | a distribution | $C$ logits, `log_softmax` | `F.kl_div(..., reduction="batchmean")` | probabilities `[B, C]` |
#
# ## What to try next
#
# - Give `settle` the absolute error of the sigmoids, with the targets `[[0.7, 0.3, ...]]`. Where do they go, and why
#   does it take so long?
# - Let a tenth of the 2,000 labels be wrong (`torch.randint`), and repeat the comparison. Add the squared error of the
#   softmax, which charges a row at most 0.2: does it bear wrong labels better than cross-entropy?
# - Try $\varepsilon = 0.02$ and $\varepsilon = 0.3$ in `smooth_ce`. At which is the mean confidence closest to the
#   accuracy?
#
# ## References
#
# - Brier (1950), *Verification of forecasts expressed in terms of probability*: squared error for weather forecasts, so
#   that honesty pays.
# - Kullback, Leibler (1951), *On information and sufficiency*: the divergence, and why it is not symmetric.
# - Huber (1964), *Robust estimation of a location parameter*: the price between square and absolute value.
# - Gneiting, Raftery (2007), *Strictly proper scoring rules, prediction, and estimation*: which prices make honesty
#   cheapest, and why.
# - Hinton, Vinyals, Dean (2015), *Distilling the knowledge in a neural network*: soft targets and the temperature.
# - Szegedy, Vanhoucke, Ioffe, Shlens, Wojna (2016), *Rethinking the Inception architecture for computer vision*: label
#   smoothing.
# - Müller, Kornblith, Hinton (2019), *When does label smoothing help?*: it helps confidence match accuracy, and it
#   erases what a small network could have learned from a large one.
# - Hui, Belkin (2021), *Evaluation of neural architectures trained with square loss vs cross-entropy in classification
#   tasks*: tuned for it, squared error on raw outputs is as good or better.
