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
# # Day 2: can arrays alone learn?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores.
# Builds on [day 1](day01_tensors_autograd.ipynb).*
#
# Yesterday you wrote `loss.backward()` and the gradients were there. Today nobody
# writes them for you. You get NumPy, which can multiply arrays and knows nothing of
# learning, and you will train a network with it all the same: a guess, a measure of how
# wrong it is, and seven lines of algebra that say which way every weight should move.
# Then you will meet a network with a wrong gradient that *learns anyway*, looks
# healthier than the correct one, and that you can only catch if you know how to ask.
#
# **By the end you can**
#
# - compute a softmax and a cross-entropy that survive a score of 1,000;
# - derive the gradient of a two-layer network, with shapes as your guide;
# - check any gradient against the loss itself, and read from the error where the bug is;
# - say why weights must not start equal, and recognise a learning rate that is too high.
#
# [← Day 1: how does a computer know which way is downhill?](day01_tensors_autograd.ipynb) ·
# [Day 3: what do networks gain from a bent line? →](day03_activations.ipynb)

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch

from nnlab_helpers.device import seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import label_lines, plot_decision_regions, use_style

seed_everything(0)
use_style()


# %% [markdown]
# No `pick_device()` today: NumPy lives on the CPU, and these arrays are small enough to
# be happy there.
#
# ## Three arms of a spiral
#
# The task fits in two coordinates, so that we can see everything the network does. A
# point starts near the middle and walks outwards while it turns. Three arms, three
# classes. Given a point, the network shall say which arm it belongs to.

# %%
def make_spiral(points_per_arm, rng, turn=5.0, noise=0.2):
    """Three arms of a spiral: points [N, 2] and the arm of each [N]."""
    labels = np.repeat(np.arange(3), points_per_arm)
    radius = np.tile(np.linspace(0.02, 1.0, points_per_arm), 3)
    angle = labels * 2 * np.pi / 3 + turn * radius
    angle = angle + noise * rng.standard_normal(len(labels))
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1), labels


X, y = make_spiral(100, np.random.default_rng(0))  # [300, 2], [300]
print(f"X {X.shape}   y {y.shape}   points of each class: {np.bincount(y)}")

# %%
fig, ax = plt.subplots(figsize=(4.6, 4.4))
for arm in range(3):
    ax.scatter(*X[y == arm].T, s=14, label=f"class {arm}")
ax.set(xlabel="first coordinate", ylabel="second coordinate", aspect="equal")
ax.set(title="Three classes, wound round one another")
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()


# %% [markdown]
# Put a ruler through the middle, at any angle: all three classes lie on both sides of it.
#
# ## Forward: two matrix products
#
# A layer takes each row of numbers, multiplies it by a matrix and adds a bias. Two
# layers with a bend between them are a network:
#
# $$ z_1 = X W_1 + b_1, \qquad h = \tanh(z_1), \qquad \text{logits} = h W_2 + b_2 $$
#
# Tanh bends every number softly into the range from $-1$ to $1$; why there must be a bend
# at all is tomorrow's question. The *logits* are three scores for each point, one a
# class. The highest one is the network's answer. All 300 points go through at once, one
# row each, and the bias is broadcast over the rows as on day 1. We write $N$ for the
# number of points and $H$ for the number of hidden units, the columns of `h`. Dividing the weights of `W2` by $\sqrt{H}$ keeps a sum of $H$ terms moderate.

# %%
def init_params(hidden, rng):
    """Weights drawn at random, biases zero, for 2 inputs and 3 classes."""
    return {
        "W1": rng.standard_normal((2, hidden)),
        "b1": np.zeros(hidden),
        "W2": rng.standard_normal((hidden, 3)) / np.sqrt(hidden),
        "b2": np.zeros(3),
    }


def forward(params, X):
    """Hidden activations [N, H] and logits [N, 3] for points X [N, 2]."""
    h = np.tanh(X @ params["W1"] + params["b1"])
    return h, h @ params["W2"] + params["b2"]


# %%
params = init_params(32, np.random.default_rng(0))
h, logits = forward(params, X)
for name, array in [("X", X), *params.items(), ("h", h), ("logits", logits)]:
    print(f"{name:7} {array.shape}")
print(f"{sum(array.size for array in params.values())} numbers to learn")
print(f"share right, untrained: {(logits.argmax(axis=1) == y).mean():.1%}")


# %% [markdown]
# ## From scores to a loss
#
# A loss needs more than the answer: it needs to know how sure the network was.
# *Softmax* turns the scores of a row into probabilities. Exponentials make them
# positive, dividing by their sum makes them add up to one:
#
# $$ p_c = \frac{e^{z_c}}{\sum_k e^{z_k}} $$
#
# > **Predict.** Written exactly like this, what does NumPy answer for the scores
# > `[1, 2, 3]`, and what for `[1000, 1001, 1002]`? The differences between the scores
# > are the same, so the probabilities should be too.

# %%
def naive_softmax(logits):
    exponentials = np.exp(logits)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


with np.errstate(all="ignore"):  # NumPy would warn, rightly
    small = naive_softmax(np.array([[1.0, 2.0, 3.0]]))
    large = naive_softmax(np.array([[1000.0, 1001.0, 1002.0]]))
print("scores 1, 2, 3          ", small.round(3))
print("scores 1000, 1001, 1002 ", large)


# %% [markdown]
# **What happened.** The largest double is about $10^{308}$, and $e^{1000}$ is far
# beyond it: infinity. Infinity divided by infinity is *not a number*, and one `nan` in
# a loss poisons every weight at the next step.
#
# The way out is the very fact that you used to predict: only differences count.
# Subtract the row's largest score from all of its scores. The probabilities stay as
# they were, the largest exponential is now $e^0 = 1$, and what underflows to zero was
# negligible anyway.

# %%
def softmax(logits):
    """Probabilities [N, C], each row adding up to one, whatever the scores."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    return exponentials / exponentials.sum(axis=1, keepdims=True)


large = softmax(np.array([[1000.0, 1001.0, 1002.0]]))
print("scores 1000, 1001, 1002 ", large.round(3))
assert np.allclose(large, small)

# %% [markdown]
# *Cross-entropy* asks one thing only: what probability did you give to the class that
# was right? It charges the negative natural logarithm of that. Being sure and right costs
# nothing, shrugging costs a little, and being sure and wrong costs a lot:

# %%
for probability in (1.0, 0.5, 1 / 3, 0.01):
    cost = np.log(1 / probability)
    print(f"gave the right class {probability:.2f}   costs {cost:.3f}")


# %% [markdown]
# The third line is worth knowing by heart for your own problems: a network that has
# learned nothing about $C$ classes should start near a loss of $\ln C$. Far above that,
# it is not ignorant but confidently wrong, and something was off before training began.
#
# In code we take the logarithm on paper first, $\log p_c = z_c - \log \sum_k e^{z_k}$
# on the shifted scores, so that no probability is ever rounded to zero and then logged.

# %%
def cross_entropy(logits, labels):
    """Mean over the rows of -log(probability of the right class)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))  # [N, C]
    return -log_p[np.arange(len(labels)), labels].mean()


print(f"untrained: {cross_entropy(logits, y):.2f}   guessing: {np.log(3):.2f}")
assert abs(cross_entropy(logits, y) - np.log(3)) < 0.5


# %% [markdown]
# `log_p[np.arange(N), labels]` picks one entry from each row: row 0 at column
# `labels[0]`, row 1 at column `labels[1]`, and so on. We shall need it again.
#
# ### Exercise: the logarithm that does not overflow ★☆☆
#
# The sum inside that logarithm is so common that it has a name, *log-sum-exp*. For each
# row of `z`, shape `[N, C]`, return $\log \sum_c e^{z_c}$, shape `[N]`. It must be
# right for scores like `[1000, 1000]` and for a row like `[-1000, -1000]` right below
# it.
#
# By hand: for `z = [[0, 0]]` the answer is `[log(2)] = [0.693...]`, and for
# `[[1000, 1000]]` it is `[1000.693...]`. Stuck? `hint("day02.log_sum_exp")` gives one
# hint at a time.

# %%
def log_sum_exp(z):
    """log(sum(exp(row))) for each row of `z` [N, C], shape [N], without overflow."""
    ...  # your code here


check("day02.log_sum_exp", log_sum_exp)

# %% [markdown]
# ## Backward, one step at a time
#
# We want the slope of the loss along each of the numbers to learn. The network is a
# chain of steps, so walk it from the back and ask at each one: *if my output should
# move this way, how should my inputs move?* We write `dlogits` for the slope of the
# loss with respect to `logits`, `dW2` for that with respect to `W2`, and so on.
#
# One rule carries you a surprisingly long way: **a gradient has the shape of the thing
# that it is the gradient of.** Often only one way of multiplying fits.
#
# ### Step 1: the loss, back to the logits
#
# Take a single row $z$ whose right class is $y$. Its loss is
#
# $$ \ell = \log \sum_k e^{z_k} - z_y . $$
#
# Nudge $z_c$. The first term changes by $e^{z_c} / \sum_k e^{z_k}$, and that is the
# softmax $p_c$ itself. The second term changes only if $c$ is the right class. So
#
# $$ \frac{\partial \ell}{\partial z_c} = p_c - [c = y] , $$
#
# where the bracket is 1 if what it says is true, and 0 if not.
#
# All that talk of logarithms and exponentials ends in a subtraction: *the probability
# it gave, minus the probability it should have given.* The batch loss is the mean over
# $N$ rows, so each row counts for one $N$-th.

# %%
N = len(y)
one_hot = np.eye(3)[y]  # [N, 3]: 1 in the column of the right class
dlogits = (softmax(logits) - one_hot) / N  # [N, 3]
print("gave       ", softmax(logits)[0].round(2))
print("should give", one_hot[0].round(2))
print("N * dlogits", (N * dlogits[0]).round(2))
assert np.allclose(dlogits.sum(axis=1), 0), "what one class loses, the others gain"


# %% [markdown]
# Downhill is *against* the gradient: the score of the right class (negative entry) is
# pulled up, the others are pushed down, each in proportion to what it took too much.
# A point that is already right with probability 1 pulls at nothing.
#
# ### Exercise: when some mistakes are dearer ★★☆
#
# In a clinic, a missed illness costs more than a false alarm. So give each class a
# weight and let the loss be
#
# $$ L = \frac{1}{N} \sum_{i=1}^{N} w_{y_i} \, \ell_i , $$
#
# where $\ell_i$ is the cross-entropy of row $i$ and $y_i$ its right class. Return the
# gradient of $L$ with respect to `logits`. You get `logits` `[N, C]`, `labels` `[N]`
# (whole numbers) and `weights` `[C]`; you may call `softmax` from above.
#
# By hand: one point (`N = 1`), two classes, `logits = [[0, 0]]`, `labels = [0]`,
# `weights = [3, 1]`. Softmax gives `[[0.5, 0.5]]`, and the answer is `[[-1.5, 1.5]]`.

# %%
def weighted_loss_grad(logits, labels, weights):
    """Gradient [N, C] of the mean weighted cross-entropy with respect to `logits`."""
    ...  # your code here


check("day02.weighted_loss_grad", weighted_loss_grad)

# %% [markdown]
# ### Step 2: the second layer
#
# `logits = h @ W2 + b2`, with shapes `[N, 3] = [N, H] @ [H, 3] + [3]`. We know
# `dlogits`, `[N, 3]`. Let the shapes find the rest:
#
# - `dW2` must be `[H, 3]`. From `h` `[N, H]` and `dlogits` `[N, 3]` only
#   `h.T @ dlogits` fits. It makes sense, too: a weight is responsible as far as its
#   input was active *and* its output should move, added up over all points.
# - `db2` must be `[3]`. Forward, one bias was broadcast to $N$ rows. Backward, the $N$ rows
#   report back to one bias, so they are summed: `dlogits.sum(axis=0)`. *What is copied on
#   the way forward is summed on the way back.*
# - `dh` must be `[N, H]`: `dlogits @ W2.T`.

# %%
dW2 = h.T @ dlogits  # [H, N] @ [N, 3] = [H, 3]
db2 = dlogits.sum(axis=0)  # [3]
dh = dlogits @ params["W2"].T  # [N, 3] @ [3, H] = [N, H]
print("dW2", dW2.shape, "  db2", db2.shape, "  dh", dh.shape)


# %% [markdown]
# ### Step 3: through the bend, and the first layer
#
# Tanh works on each entry by itself, so its slope multiplies each entry by itself. The
# derivative of $\tanh(z)$ is $1 - \tanh^2(z)$, and $\tanh(z)$ is `h`, which the forward
# pass has already computed. Behind it stands another layer of the kind that we have
# just done. Here is the whole backward pass in one piece:

# %%
def loss_and_grads(params, X, y):
    """Mean cross-entropy of the network on X [N, 2], y [N], and its gradients."""
    h, logits = forward(params, X)
    dlogits = (softmax(logits) - np.eye(3)[y]) / len(y)  # [N, 3]
    dh = dlogits @ params["W2"].T  # [N, H]
    dz1 = dh * (1 - h**2)  # [N, H]
    grads = {
        "W1": X.T @ dz1,  # [2, H]
        "b1": dz1.sum(axis=0),  # [H]
        "W2": h.T @ dlogits,  # [H, 3]
        "b2": dlogits.sum(axis=0),  # [3]
    }
    return cross_entropy(logits, y), grads


# %%
loss, grads = loss_and_grads(params, X, y)
for name in params:
    print(f"{name}  {params[name].shape!s:8} gradient {grads[name].shape}")
    assert grads[name].shape == params[name].shape


# %% [markdown]
# That is backpropagation. Every deep-learning framework does this, with more kinds of
# steps in the chain.
#
# ### Exercise: back through a ReLU ★☆☆
#
# Most networks bend with $\text{ReLU}(z) = \max(z, 0)$ instead of tanh. Write its step
# on the way back: from `dh` `[N, H]` (the slope of the loss with respect to ReLU's
# output) and `z` `[N, H]` (its *input* on the way forward) return `dz` `[N, H]`. At
# `z = 0`, where the curve has a corner, follow PyTorch and use a slope of 0. Leave `dh`
# as it is.
#
# By hand: `dh = [[5, 7]]` and `z = [[-2, 3]]` give `[[0, 7]]`.

# %%
def relu_backward(dh, z):
    """Slope of the loss with respect to the input `z` of a ReLU, shape [N, H]."""
    ...  # your code here


check("day02.relu_backward", relu_backward)


# %% [markdown]
# ## Is it right? Ask the loss
#
# Shapes that fit prove little, and a sign error fits as well. But a gradient makes a
# promise that can be tested without any algebra: *nudge this number by a little, and
# the loss changes at this rate.* So nudge it, a small step $\varepsilon$ up and a small
# step down, and look:
#
# $$ \frac{\partial L}{\partial w} \approx
#    \frac{L(w + \varepsilon) - L(w - \varepsilon)}{2 \varepsilon} $$
#
# Below, `f` takes no argument: it reads the very array `w` whose entries we nudge and put
# back. It takes two forward passes for every single number, so nobody trains this way. It
# knows nothing of backpropagation, and so it cannot share its mistakes.

# %%
def numerical_gradient(f, w, eps=1e-5):
    """Slope of f() along each entry of the array `w`, by central differences."""
    slope = np.zeros_like(w)
    for index in np.ndindex(w.shape):
        before = w[index]
        w[index] = before + eps
        up = f()
        w[index] = before - eps
        down = f()
        w[index] = before
        slope[index] = (up - down) / (2 * eps)
    return slope


# %% [markdown]
# Equal to how many digits? We compare the size of the difference with the size of what
# is compared, so that large and tiny gradients are judged alike:

# %%
def relative_error(a, b):
    """|a - b| / (|a| + |b|), lengths of vectors: 0 if equal, 1 if opposite."""
    scale = np.linalg.norm(a) + np.linalg.norm(b)
    return np.linalg.norm(a - b) / scale if scale else 0.0


def gradient_check(loss_and_grads, params, X, y):
    """Relative error of each gradient against finite differences, by name."""
    _, grads = loss_and_grads(params, X, y)
    numerical = {
        name: numerical_gradient(lambda: loss_and_grads(params, X, y)[0], array)
        for name, array in params.items()
    }
    return {name: relative_error(grads[name], numerical[name]) for name in params}


# %% [markdown]
# A check is cheap on a small network and a few points, and a bug does not need a big
# one to show. Random biases, too: at zero they would hide mistakes that multiply by
# them.

# %% tolerance={"rtol": 0.03}
rng = np.random.default_rng(1)
small = {name: rng.standard_normal(a.shape) for name, a in init_params(8, rng).items()}
X_few, y_few = make_spiral(10, rng)  # [30, 2], [30]
errors = gradient_check(loss_and_grads, small, X_few, y_few)
for name, error in errors.items():
    print(f"{name}  agrees to {-np.log10(error):.1f} digits")
assert max(errors.values()) < 1e-7

# %% [markdown]
# So many digits do not agree by luck. As a rule of thumb, in double precision (an error of
# $10^{-9}$ is nine digits that agree):
#
# | relative error | what it means |
# |---|---|
# | below $10^{-7}$ | right |
# | $10^{-7}$ to $10^{-4}$ | look again: a corner (ReLU at 0) was crossed, or single precision |
# | above $10^{-4}$ | wrong |
#
# A wrong one also leaves fingerprints. An error of **1** means a flipped sign, or a
# zero where there should be something. An error of **1/3** means twice or half the
# right size: $|a - 2a| / (|a| + |2a|)$. And since gradients are passed from the back to
# the front, the *last* layer whose gradient is wrong tells you where to look first.
#
# ### How small a step?
#
# The formula above becomes exact as $\varepsilon$ goes to zero. We try many steps, from
# $10^{-14}$ upwards, not on one entry at a time but along 20 random directions in `W1`:
# the slope along a direction is the sum of gradient times direction.
#
# > **Predict.** Should $\varepsilon$ be as small as a double can hold, say $10^{-14}$?
# > And what do we lose if we save half of the work, and step only forward:
# > $(L(w + \varepsilon) - L(w)) / \varepsilon$?

# %%
exact = loss_and_grads(small, X_few, y_few)[1]["W1"]
directions = np.random.default_rng(2).standard_normal((20, *exact.shape))


def slope_errors(eps, dtype=np.float64):
    """Typical relative error of a forward and of a central difference of step `eps`."""
    p = {name: array.astype(dtype) for name, array in small.items()}
    points, errors = X_few.astype(dtype), []
    for direction in directions:
        slope = (exact * direction).sum()  # what the gradient promises along it
        shifts = [(k * eps * direction).astype(dtype) for k in (-1, 0, 1)]
        down, here, up = (
            float(cross_entropy(forward({**p, "W1": p["W1"] + s}, points)[1], y_few))
            for s in shifts
        )
        guesses = np.array([(up - here) / eps, (up - down) / (2 * eps)])
        errors.append(abs(guesses / slope - 1))
    return np.median(errors, axis=0)


# %% tolerance={"rtol": 0.1}
steps = np.logspace(-14, -0.5, 55)
double = np.array([slope_errors(eps) for eps in steps])  # [55, 2]: forward, central
single = np.array([slope_errors(eps, np.float32) for eps in steps])
best, least = np.log10(steps[double.argmin(axis=0)]), np.log10(double.min(axis=0))
print(f"best step, in doubles: forward 10^{best[0]:.1f}, central 10^{best[1]:.1f}")
print(f"its error: forward 10^{least[0]:.1f}, central 10^{least[1]:.1f}")
print(f"in single precision, central: 10^{np.log10(single[:, 1].min()):.1f} at best")
assert double[[0, -1], 1].min() > 1e5 * double[:, 1].min(), "a valley"
assert double[:, 1].min() < 0.01 * double[:, 0].min() and single[:, 1].min() > 1e-6

# %%
fig, ax = plt.subplots(figsize=(7, 4))
in_range = steps > 1e-8  # below, a single-precision weight does not even move
ax.loglog(steps, double[:, 0])
ax.loglog(steps, double[:, 1])
ax.loglog(steps[in_range], single[in_range, 1])
ax.text(1e-5, 2e-4, "forward, double", color="C0", ha="right")
ax.text(3e-6, 5e-11, "central, double", color="C1", ha="right")
ax.text(1e-5, 0.5, "central, single", color="C2")
ax.text(1e-13, 2e-7, "rounding", color="gray")
ax.text(1, 2e-7, "truncation", color="gray", ha="right")
ax.set(xlabel="step ε", ylabel="relative error of the slope", ylim=(1e-12, 1e2))
ax.set_title("Too small a step is as bad as too large a one")
plt.show()

# %% [markdown]
# **What happened.** Two errors pull in opposite directions. On the right the step is so
# long that the curve bends under it (*truncation*): forward, the error shrinks like
# $\varepsilon$, and central like $\varepsilon^2$, because the two sides' bends cancel.
# On the left, two losses that agree in almost all their digits are subtracted
# (*rounding*): what is left is noise, and dividing by a tiny $\varepsilon$ blows it up.
# The best step lies between, and central differences win by orders of magnitude for
# twice the work.
#
# Single precision, the usual one in deep learning, never gets below the grey zone of
# the table. **Check gradients in double precision**, whatever you train in.
#
# ## A second opinion
#
# Yesterday's autograd is another witness. The same numbers in torch, and one
# `backward`:

# %%
t = {name: torch.tensor(array, requires_grad=True) for name, array in params.items()}
hidden = torch.tanh(torch.from_numpy(X) @ t["W1"] + t["b1"])
torch_logits = hidden @ t["W2"] + t["b2"]
torch_loss = torch.nn.functional.cross_entropy(torch_logits, torch.from_numpy(y))
torch_loss.backward()

assert abs(torch_loss.item() - loss) < 1e-12
assert all(relative_error(t[name].grad.numpy(), grads[name]) < 1e-12 for name in params)
print("same loss, same four gradients, to 12 digits")


# %% [markdown]
# ## Training: watch the border form
#
# Everything is there. A step moves all parameters a little against their gradients. We
# build new arrays rather than change the old ones, so that any moment of the training
# can be kept and looked at later.

# %%
def train(params, X, y, rate=1.0, steps=1000, loss_and_grads=loss_and_grads):
    """Gradient descent on all points: the loss and the parameters at every step."""
    losses, history = [], []
    for _ in range(steps + 1):
        loss, grads = loss_and_grads(params, X, y)
        losses.append(loss)
        history.append(params)
        params = {name: params[name] - rate * grads[name] for name in params}
    return np.array(losses), history


def accuracy(params, X, y):
    """Share of points whose highest logit is that of their class."""
    return (forward(params, X)[1].argmax(axis=1) == y).mean()


# %%
losses, history = train(params, X, y)
trained = history[-1]
print(f"loss {losses[0]:.2f} -> {losses[-1]:.3f}")
print(f"accuracy {accuracy(trained, X, y):.1%}")
assert accuracy(trained, X, y) > 0.97

# %%
fig, panels = plt.subplots(2, 3, figsize=(7, 5), sharex=True, sharey=True)
for step, ax in zip((0, 10, 50, 150, 400, 1000), panels.flat, strict=True):
    at = history[step]
    plot_decision_regions(lambda points, at=at: forward(at, points)[1], X, y, ax=ax)
    ax.set_title(f"step {step}: {accuracy(at, X, y):.1%}", fontsize=10)
    ax.set_aspect("equal")
fig.suptitle("From three wedges to three spirals", fontweight="bold", x=0.01, ha="left")
fig.supxlabel("first coordinate", fontsize=10)
fig.supylabel("second coordinate", fontsize=10)
plt.show()

# %% [markdown]
# First the plane is cut into wedges, then the wedges bend, last the middle is sorted
# out, where the arms meet. Nobody said "spiral" to the network.
#
# Did it learn the arms, or these 300 points by heart? We own the source of the data, so
# we can draw thousands of points that it has never seen. Three networks, each with its
# own points and its own first weights:

# %% tolerance={"rtol": 0.03}
fresh_accuracy = []
for seed in range(3):
    rng = np.random.default_rng(seed)
    seen = make_spiral(100, rng)
    _, runs = train(init_params(32, rng), *seen)
    unseen = make_spiral(1000, np.random.default_rng(100 + seed))
    fresh_accuracy.append(accuracy(runs[-1], *unseen))
    print(f"seed {seed}: {fresh_accuracy[-1]:.1%} of 3,000 new points")
assert min(fresh_accuracy) > 0.95

# %% [markdown]
# ### What did the hidden units become?
#
# Each hidden unit sees the plane through one tanh of one weighted sum: a ramp along a
# straight line. Here are the eight whose voice in `W2` is loudest, over the same plane as above.

# %%
side = np.linspace(-1.3, 1.3, 80)
plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)  # [6400, 2]
activations, _ = forward(trained, plane)
loudest = np.linalg.norm(trained["W2"], axis=1).argsort()[::-1][:8]
fig, panels = plt.subplots(2, 4, figsize=(7, 3.6))
for unit, ax in zip(loudest, panels.flat, strict=True):
    picture = activations[:, unit].reshape(80, 80)
    look = {"cmap": "PuOr", "alpha": 0.6, "extent": (-1.3, 1.3, -1.3, 1.3)}
    drawn = ax.imshow(picture, origin="lower", vmin=-1, vmax=1, **look)
    ax.scatter(*X.T, s=1, color="black", alpha=0.6)
    ax.set(xticks=[], yticks=[], title="")
fig.colorbar(drawn, ax=panels, label="activation", shrink=0.8)
fig.suptitle("Every unit draws one straight edge", fontweight="bold", x=0.01, ha="left")
plt.show()

# %% [markdown]
# There is no spiral in any of them. The curved border is a vote among straight edges,
# and 32 votes are enough to look round.
#
# ### Whom does it still listen to?
#
# `dlogits` is the only thing that the data say to the network on the way back:
# probability given minus probability deserved. So for each point we can add up how hard
# it pulls, up or down, at its three scores.
#
# > **Predict.** After training, how much of all that pulling comes from the loudest 10 %
# > of the points: a tenth, a third, or more than half?

# %% tolerance={"rtol": 0.03}
gave = softmax(forward(trained, X)[1])
pull = np.abs(gave - one_hot).sum(axis=1)  # [300]
loudest = pull.argsort()[::-1][:30]
share = pull[loudest].sum() / pull.sum()
print(f"the loudest tenth of the points does {share:.1%} of the pulling")
assert share > 0.5

# %%
fig, ax = plt.subplots(figsize=(5, 4.6))
plot_decision_regions(lambda points: forward(trained, points)[1], X, y, ax=ax)
ax.scatter(*X[loudest].T, s=60, facecolors="none", edgecolors="black")
ax.set(xlabel="first coordinate", ylabel="second coordinate", aspect="equal")
ax.set_title("These 30 of 300 points do most of the pulling")
plt.show()


# %% [markdown]
# **What happened.** The ringed ones sit where the arms meet and along the border. Once a
# point is safely right, its probability is close to what it should be, and it falls
# silent. A network spends most of its training on its own border disputes. Remember this
# on day 6, when you look at the digits that it gets wrong.
#
# ## A bug that training hides
#
# Now let us plant a bug, a small one: the gradient of `b1` is averaged over the points
# instead of summed. The $1/N$ of the mean is in `dlogits` already, so it divides twice.

# %%
def suspicious_grads(params, X, y):
    """Like loss_and_grads, but with a bug in the gradient of b1."""
    loss, grads = loss_and_grads(params, X, y)
    return loss, {**grads, "b1": grads["b1"] / len(y)}


suspects = [loss_and_grads, suspicious_grads]
np.random.default_rng(1).shuffle(suspects)  # a coin decides which one is called A


def race(seed):
    """Losses of A and B on the same points from the same weights, [2, 1001]."""
    rng = np.random.default_rng(seed)
    points, start = make_spiral(100, rng), init_params(32, rng)
    return np.array([train(start, *points, loss_and_grads=g)[0] for g in suspects])


races = np.array([race(seed) for seed in range(3)])  # [3 seeds, 2, 1001 steps]

# %% [markdown]
# > **Predict.** Two runs on the same points from the same first weights, one with the
# > right gradient and one with the wrong one. Which is which, A or B? Look at the figure
# > below, and decide before you run the cell after it.

# %%
fig, ax = plt.subplots()
ax.plot(races[0, 0, :301], label="A")
ax.plot(races[0, 1, :301], label="B")
ax.set(xlabel="step", ylabel="training loss", title="One of these gradients is wrong")
label_lines(ax)
plt.show()

# %%
for name, suspect in zip("AB", suspects, strict=True):
    errors = gradient_check(suspect, small, X_few, y_few)
    wrong = [f"{k} ({e:.2f})" for k, e in errors.items() if e > 1e-4]
    print(f"{name}: wrong gradients: {', '.join(wrong) or 'none'}")

# %% [markdown]
# **What happened.** It is tempting to accuse A, which shakes like a bad wheel, but A is
# the correct one. B runs smooth and ahead with a gradient of `b1` that is divided twice.
# (The fingerprint fits: 30 times too small on the 30 points of the check, an error of
# $29/31$.) In training, its first biases move 300 times too slowly. That works like a
# brake, and at this learning rate a brake happens to help for a while. Let both run on:

# %%
fig, ax = plt.subplots()
ax.semilogy(races[0, 0], label="A: right")
ax.semilogy(races[0, 1], label="B: wrong")
ax.set(xlabel="step", ylabel="training loss (log scale)")
ax.set_title("The wrong gradient leads, and then falls behind")
label_lines(ax)
plt.show()

# %%
ahead_early = races[:, 1, 300] < races[:, 0, 300]
behind_late = races[:, 1, 1000] > 1.3 * races[:, 0, 1000]
print(f"wrong one ahead at step 300:   {ahead_early.sum()} of 3 seeds")
print(f"wrong one behind at step 1000: {behind_late.sum()} of 3 seeds")
assert ahead_early.all() and behind_late.all()
ups = (np.diff(races) > 0).sum(axis=2)  # [3 seeds, 2]: steps at which the loss rose
print(f"steps at which the wrong one's loss rose: {ups[:, 1].max()} of 1000")
assert suspects[0] is loss_and_grads and (ups[:, 1] == 0).all()
assert (ups[:, 0] > 50).all(), "the right one's rose at many"
assert (races[:, 1, 1000] < 0.2 * races[:, 1, 0]).all(), "and yet it learns"


# %% [markdown]
# Without A beside it, who would have doubted B? It went down at every single step, on
# every seed. *A falling loss does not prove the gradient right.* Many wrong directions still point downhill a little, and a network is
# good at making do with what it gets. The check needed 30 points and no training, and
# it named the culprit.
#
# Now it is your turn to be the detective. A colleague wrote a network that predicts one
# number for each point: `y` is `[N, 1]`. The hidden layer bends with a sigmoid,
# $\sigma(z) = 1 / (1 + e^{-z})$, whose derivative is $\sigma(z) \, (1 - \sigma(z))$, and
# the loss is the mean over the $N$ points of $(\text{pred} - y)^2$.

# %%
def strangers_backward(params, X, y):
    """Loss and gradients of a small regression network: X [N, D], y [N, 1]."""
    h = 1 / (1 + np.exp(-(X @ params["W1"] + params["b1"])))  # [N, H]
    pred = h @ params["W2"] + params["b2"]  # [N, 1]
    loss = ((pred - y) ** 2).mean()
    dpred = (pred - y) / len(y)
    dh = dpred @ params["W2"].T
    dz1 = dh * (1 - h)
    grads = {"W1": X.T @ dz1, "b1": dz1.sum(axis=0)}
    grads.update({"W2": h.T @ dpred, "b2": dpred.sum(axis=0)})
    return loss, grads


rng = np.random.default_rng(3)
sizes = {"W1": (2, 5), "b1": (5,), "W2": (5, 1), "b2": (1,)}
stranger = {name: rng.standard_normal(shape) for name, shape in sizes.items()}
X_toy, y_toy = rng.standard_normal((20, 2)), rng.standard_normal((20, 1))


# %% [markdown]
# ### Exercise: two bugs in a stranger's backward ★★☆
#
# In `strangers_backward` the loss is computed correctly, and two of the lines below it
# are wrong. Find them and mend them: `mended_backward` takes the same arguments and
# returns the same pair `(loss, grads)`. Copy the body over, then let the gradient check
# guide you, from the back to the front:
# `gradient_check(mended_backward, stranger, X_toy, y_toy)`. Remember the fingerprints. By
# hand: for a single point, $N = 1$, the slope of $(\text{pred} - 3)^2$ at
# $\text{pred} = 5$ is 4.

# %%
def mended_backward(params, X, y):
    """Like strangers_backward, but right: (loss, grads)."""
    ...  # your code here


check("day02.mended_backward", mended_backward)


# %% [markdown]
# ## Break it on purpose: start from zero
#
# Random first weights look sloppy. Zero would be tidy, and so would the same number
# everywhere.
#
# > **Predict.** What does the network with 32 hidden units learn if every weight and
# > bias starts at 0? And if each starts at 0.5?

# %%
def same_everywhere(value):
    return {name: np.full_like(array, value) for name, array in params.items()}


zero_losses, zero_history = train(same_everywhere(0.0), X, y)
half_losses, half_history = train(same_everywhere(0.5), X, y)
print(f"all 0.0: loss {zero_losses[0]:.4f} -> {zero_losses[-1]:.4f}")
print(f"all 0.5: loss {half_losses[0]:.4f} -> {half_losses[-1]:.4f}")
spread = np.ptp(half_history[-1]["W1"], axis=1).max()
print(f"largest difference between two hidden units: {spread:.1f}")
assert abs(zero_losses[-1] - np.log(3)) < 1e-6
assert half_losses[-1] > 0.9 and spread < 1e-6

# %%
fig, panels = plt.subplots(1, 2, figsize=(7, 3.4), sharey=True)
starts = [("every weight 0.5", half_history[-1]), ("random weights", trained)]
for ax, (name, at) in zip(panels, starts, strict=True):
    plot_decision_regions(lambda points, at=at: forward(at, points)[1], X, y, ax=ax)
    ax.set_title(f"{name}: {accuracy(at, X, y):.1%}", fontsize=10)
    ax.set(xlabel="first coordinate", aspect="equal")
panels[0].set_ylabel("second coordinate")
fig.suptitle("32 equal units are one unit", fontweight="bold", x=0.01, ha="left")
plt.show()

# %% [markdown]
# **What happened.** From zero, `h` is zero, so `dW2 = h.T @ dlogits` is zero; `W2` is
# zero, so `dh` is zero, and with it everything before. Only `b2` could move, and since
# all three classes are equally common it has no reason to. The loss stays at $\ln 3$
# for ever.
#
# From 0.5 the gradients are not zero, but they are *the same for every hidden unit*: each
# computes the same thing, is to blame for the same share, and takes the same step. Equal
# they start and equal they stay. Thirty-two units, one opinion: the borders can only run
# parallel. Random weights are what makes units different enough to divide the work.
# (Biases may start at zero: different weights suffice.)
#
# ## Break it on purpose: a rate too high
#
# > **Predict.** The rate was 1 so far. Would 10 be ten times as fast? And what loss do
# > you expect from a network that has been ruined: about $\ln 3$, as if it knew nothing?

# %%
rates = [0.01, 0.1, 1, 10, 100]
final = np.zeros((3, len(rates)))  # mean loss over the last 50 of 500 steps
for seed in range(3):
    rng = np.random.default_rng(seed)
    points, start = make_spiral(100, rng), init_params(32, rng)
    for column, rate in enumerate(rates):
        curve, _ = train(start, *points, rate=rate, steps=500)
        final[seed, column] = curve[-50:].mean()
best = [rates[column] for column in final.argmin(axis=1)]
print("best of these rates for seeds 0, 1, 2:", best)
assert set(best) == {1} and (final[:, 3:] > np.log(3)).all()

# %%
fig, ax = plt.subplots()
for seed in range(3):
    ax.loglog(rates, final[seed], "o", color="C0")
ax.axhline(np.log(3), color="gray", linestyle="--")
ax.text(15, 0.5, "guessing: ln 3", color="gray")
ax.set(xlabel="learning rate", ylabel="mean loss, last 50 of 500 steps")
ax.set_title("Too slow costs time, too fast ends worse than guessing")
plt.show()


# %% [markdown]
# **What happened.** Too low a rate crawls. Too high a rate does not leave the network
# ignorant, but *sure and wrong*: each step jumps across the valley and lands higher up
# on the other side, and the scores grow. No `nan` appeared, and that is thanks to the
# shifted softmax. Of these five, only 1 does well in 500 steps. Five rates are a coarse
# net: between 1 and 10 the outcome jumps about, and some rates there do better than 1,
# others far worse. A shook because at rate 1 some steps already jump across the valley.
#
# ### Exercise: try many rates ★★☆
#
# Write the experiment yourself, for any loss. You get `loss_and_grad`, a function that
# takes an array of weights and returns `(loss, gradient)`; the first weights `w`; a
# list of `rates`; and a number of `steps`. For each rate start afresh from `w`, take
# `steps` steps of gradient descent, and note the loss *after* the last step. Return the
# list of losses, one for each rate, in order.
#
# By hand: the loss $w^2$ has the gradient $2w$. From `w = [1.0]` with the rate `0.25`,
# one step leads to `0.5` and the next to `0.25`. So for `rates = [0.25]` and
# `steps = 2` the answer is `[0.0625]`.

# %%
def rate_sweep(loss_and_grad, w, rates, steps):
    """Loss after `steps` steps of gradient descent from `w`, for each rate."""
    ...  # your code here


check("day02.rate_sweep", rate_sweep)


# %% [markdown]
# ### Exercise: as deep as you like ★★★
#
# Now for any number of layers. Layer `l` computes `inputs[l] @ weights[l] + bias`. The
# result of every layer *but the last* goes through a tanh and becomes `inputs[l + 1]`;
# the result of the last one is the logits. You get
#
# - `weights`: a list of L matrices;
# - `inputs`: a list of L arrays, what went *into* each layer (`inputs[0]` is X, and
#   `inputs[1]`, `inputs[2]`, ... are outputs of a tanh);
# - `dlogits`: the slope of the loss with respect to the logits.
#
# Return `(dweights, dbiases)`: two lists of L gradients each, first layer first, with
# biases of shape `[units]`. For two layers these are the four gradients that you have
# met; with one layer the answer is `([inputs[0].T @ dlogits], [dlogits.sum(axis=0)])`.
# Walk backwards, and keep track of the slope that you are carrying.

# %%
def deep_backward(weights, inputs, dlogits):
    """Gradients of all weights and biases of a tanh network: (dweights, dbiases)."""
    ...  # your code here


check("day02.deep_backward", deep_backward)

# %% [markdown]
# ## Recap
#
# - Only differences of scores matter to **softmax**: subtract the largest, and take the
#   logarithm before anything can underflow. Know $\ln C$, the loss of a guess.
# - **Backward** is the forward pass read from the end. A gradient has its thing's shape;
#   what is copied forward is summed backward; the loss sends back "given minus deserved".
# - **Check gradients against the loss**: central differences, $\varepsilon \approx 10^{-5}$,
#   double precision, relative error below $10^{-7}$. A falling loss proves little.
# - **Equal weights stay equal**, so start at random. **A rate too high** is worse than
#   ignorance: try rates in factors, then more finely around the best.
#
# ## What to try next
#
# - Give the spiral more turns (`turn=8`) and see how many hidden units it takes.
# - Make a bug of your own in `loss_and_grads` and find out how bad it must be before
#   training shows it.
# - Train a 2-unit network from ten seeds: do all end in the same place?
#
# ## References
#
# - D. Rumelhart, G. Hinton, R. Williams, *Learning representations by back-propagating
#   errors* (Nature, 1986). Showed that hidden units trained this way find useful features
#   by themselves; it already says that equal starting weights must be broken up.
# - K. Lang, M. Witbrock, *Learning to tell two spirals apart* (Connectionist Models Summer
#   School, 1988). Made the spiral a touchstone: plain networks of the time failed on it.
# - W. Press and others, *Numerical Recipes* (1992), section 5.7. Where the best step
#   size of a finite difference comes from.
# - J. Cohen and others, *Gradient descent on neural networks typically occurs at the edge
#   of stability* (ICLR, 2021). Found that large networks, too, train while shaking.
#
# Tomorrow: the tanh in the middle was one choice of many, and the bend in it is what the
# whole network lives on.
# [Day 3: what do networks gain from a bent line?](day03_activations.ipynb)
