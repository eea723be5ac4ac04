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
# # Day 2, solved: can arrays alone learn?
#
# The exercises of [day 2](../day02_numpy_network.ipynb), each with a solution and the
# reason why it works. If a check says ✓ to yours, yours is just as right. This notebook
# runs on its own and leaves your record of solved exercises alone.

# %%
import numpy as np

from nnlab_helpers.exercises import check, keep_record

keep_record(False)


def softmax(logits):
    """As in the lesson: probabilities [N, C], whatever the scores."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def numerical_gradient(f, w, eps=1e-5):
    """As in the lesson: slope of f() along each entry of `w`."""
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
# ## The logarithm that does not overflow ★☆☆
#
# *$\log \sum_c e^{z_c}$ for each row of `z`, without overflow.*

# %%
def log_sum_exp(z):
    """log(sum(exp(row))) for each row of `z` [N, C], shape [N], without overflow."""
    top = z.max(axis=1)  # [N]
    return top + np.log(np.exp(z - top[:, None]).sum(axis=1))


check("day02.log_sum_exp", log_sum_exp)


# %% [markdown]
# **Why.** $\sum e^{z_c} = e^m \sum e^{z_c - m}$ for any $m$, and the logarithm turns the
# factor $e^m$ into the term $m$. Softmax could forget about $m$, because there it stands
# above and below the fraction bar. Here it must be put back. With $m$ the largest score,
# one of the exponentials is exactly 1, so the sum is never 0 and its logarithm never
# $-\infty$. Each row needs its own $m$: seen from 1,000, a row at $-1000$ is all zeros.

# %% [markdown]
# ## When some mistakes are dearer ★★☆
#
# *The gradient of the mean of $w_{y_i} \ell_i$ with respect to the logits.*

# %%
def weighted_loss_grad(logits, labels, weights):
    """Gradient [N, C] of the mean weighted cross-entropy with respect to `logits`."""
    grad = softmax(logits)  # given ...
    grad[np.arange(len(labels)), labels] -= 1  # ... minus deserved
    return weights[labels][:, None] * grad / len(labels)


check("day02.weighted_loss_grad", weighted_loss_grad)

# %% [markdown]
# **Why.** $w_{y_i}$ is a constant in front of the loss of row $i$, and constants pass
# through a derivative untouched. So it multiplies the *whole row*, also the columns of
# classes with other weights. Writing `weights * grad` broadcasts over the columns instead;
# the shapes fit, no error appears, and the gradient is wrong. If in doubt, ask the loss:

# %%
rng = np.random.default_rng(0)
logits, labels = rng.standard_normal((4, 3)), np.array([2, 0, 2, 1])
weights = np.array([0.5, 2.0, 5.0])


def weighted_loss():
    losses = log_sum_exp(logits) - logits[np.arange(4), labels]
    return (weights[labels] * losses).mean()


measured = numerical_gradient(weighted_loss, logits)
assert np.allclose(measured, weighted_loss_grad(logits, labels, weights), atol=1e-9)
print("agrees with finite differences of the loss")


# %% [markdown]
# ## Back through a ReLU ★☆☆
#
# *From `dh` and the input `z` of a ReLU, the slope `dz`.*

# %%
def relu_backward(dh, z):
    """Slope of the loss with respect to the input `z` of a ReLU, shape [N, H]."""
    return np.where(z > 0, dh, 0.0)


check("day02.relu_backward", relu_backward)


# %% [markdown]
# **Why.** ReLU's slope is 1 or 0, so multiplying by it means passing on or stopping.
# Which of them was settled on the way forward, by `z`; the sign of `dh` has no say.

# %% [markdown]
# ## Two bugs in a stranger's backward ★★☆
#
# *A network with a sigmoid layer, one output and a squared error; two of the lines of its
# backward pass are wrong.*

# %%
def mended_backward(params, X, y):
    """Like strangers_backward, but right: (loss, grads)."""
    h = 1 / (1 + np.exp(-(X @ params["W1"] + params["b1"])))  # [N, H]
    pred = h @ params["W2"] + params["b2"]  # [N, 1]
    error = pred - y
    loss = (error**2).mean()
    dpred = 2 * error / len(y)
    dh = dpred @ params["W2"].T
    dz1 = dh * h * (1 - h)
    grads = {"W1": X.T @ dz1, "b1": dz1.sum(axis=0)}
    grads.update({"W2": h.T @ dpred, "b2": dpred.sum(axis=0)})
    return loss, grads


check("day02.mended_backward", mended_backward)


# %% [markdown]
# **Why.** From the back: `W2` and `b2` are met first and both have an error of 0.33, the
# fingerprint of a factor of two. They share `dpred`, where the 2 of the square was missing.
# With that mended, `W2` and `b2` are right, and `W1` and `b1` still wrong: the bug lies
# between. `dh` is a plain matrix product, and `dz1` had lost one factor of the sigmoid's
# slope. Halving the loss would have silenced the first alarm as well, but then it would no
# longer be the loss that was asked for.

# %% [markdown]
# ## Try many rates ★★☆
#
# *The loss after `steps` steps of gradient descent, for each rate, always from `w`.*

# %%
def rate_sweep(loss_and_grad, w, rates, steps):
    """Loss after `steps` steps of gradient descent from `w`, for each rate."""
    losses = []
    for rate in rates:
        now = w
        for _ in range(steps):
            now = now - rate * loss_and_grad(now)[1]
        losses.append(loss_and_grad(now)[0])
    return losses


check("day02.rate_sweep", rate_sweep)


# %% [markdown]
# **Why.** Three traps. `now = w` must stand inside the loop over rates, or the second rate
# goes on where the first one stopped. `now = now - ...` makes a new array; `now -= ...`
# would change `w` itself, and every later rate would start from a ruined place. And
# `loss_and_grad` tells the loss *before* the step that its gradient is for, so it takes one
# more call at the end. On the parabola $w^2$ the edge can be computed: a step multiplies
# $w$ by $1 - 2 \cdot \text{rate}$, so at a rate of 1 it jumps from side to side for ever:

# %%
def parabola(w):
    return float(w[0] ** 2), 2 * w


for rate in (0.01, 0.5, 0.99, 1.0, 1.01):
    loss = rate_sweep(parabola, np.array([1.0]), [rate], 100)[0]
    print(f"rate {rate:4}: loss after 100 steps {loss:.3f}")


# %% [markdown]
# ## As deep as you like ★★★
#
# *All gradients of a tanh network with any number of layers.*

# %%
def deep_backward(weights, inputs, dlogits):
    """Gradients of all weights and biases of a tanh network: (dweights, dbiases)."""
    dweights, dbiases = [], []
    carried = dlogits
    for layer in reversed(range(len(weights))):
        dweights.insert(0, inputs[layer].T @ carried)
        dbiases.insert(0, carried.sum(axis=0))
        carried = carried @ weights[layer].T * (1 - inputs[layer] ** 2)
    return dweights, dbiases


check("day02.deep_backward", deep_backward)

# %% [markdown]
# **Why.** `carried` is the slope with respect to what the current layer put out, before
# any bend. Two gradients are read off, then it is carried one layer on: through the matrix
# to the layer's input, and through the tanh that made this input. The slope of tanh is one
# minus its output squared, and that output *is* `inputs[layer]`. In the last round, at
# layer 0, carrying on is not needed (X is no output of a tanh), but nobody looks at it.
#
# This loop is what `backward()` does for a chain of layers. Autograd generalises it in one
# direction only: from a chain to any graph.
