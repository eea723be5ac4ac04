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
# # Day 1, solved: how does a computer know which way is downhill?
#
# Reference solutions to the exercises of [day 1](../day01_tensors_autograd.ipynb), each with the reason why it works.
# Yours may look different; if its check says ✓, it is just as right. This notebook runs on its own and leaves your own
# record of solved exercises alone.

# %%
import torch

from nnlab_helpers.device import seed_everything
from nnlab_helpers.exercises import check, keep_record

keep_record(False)
seed_everything(0)

# %% [markdown]
# ## Predict the shape ★☆☆
#
# Which shapes come out of `[3, 1] + [4]`, `[8, 1, 28, 28] * [28]`, `[64, 10] - [64]` and `[5, 1, 2] + [3, 1]`?

# %%
broadcast_shapes = [(3, 4), (8, 1, 28, 28), "error", (5, 3, 2)]

check("day01.broadcast_shapes", broadcast_shapes)

# %% [markdown]
# **Why.** Align at the right, fill with ones at the left, take the larger size of each column:
#
# ```
# [3, 1]        [8, 1, 28, 28]        [64, 10]        [5, 1, 2]
# [1, 4]        [1, 1,  1, 28]        [ 1, 64]        [1, 3, 1]
# ------        --------------        --------        ---------
# [3, 4]        [8, 1, 28, 28]          error         [5, 3, 2]
# ```
#
# The third is the one that people get wrong. Sixty-four rows of ten, one number to subtract per row: it *looks* as if
# it should fit, but 64 stands under the 10. Written as a column, `[64, 1]`, it does fit. PyTorch can be asked, too:

# %%
print(tuple(torch.broadcast_shapes((5, 1, 2), (3, 1))))
try:
    torch.broadcast_shapes((64, 10), (64,))
except RuntimeError:
    print("[64, 10] and [64] do not fit together")
assert torch.broadcast_shapes((64, 10), (64, 1)) == (64, 10)


# %% [markdown]
# ## Teach the engine to divide ★★★
#
# Return a `Value` that holds `a / b` and remembers both, with their local slopes. Here is the part of the lesson's
# engine that we need.

# %%
class Value:
    """A number that remembers which numbers it was made from."""

    def __init__(self, data, symbol="", inputs=()):
        self.data = float(data)
        self.grad = 0.0
        self.symbol = symbol
        self.inputs = inputs    # pairs: (the Value it came from, the local slope)


# %%
def divide(a, b):
    """`a / b` as a Value that remembers `a` and `b`."""
    slope_a = 1 / b.data
    slope_b = -a.data / b.data**2
    return Value(a.data / b.data, "/", [(a, slope_a), (b, slope_b)])


check("day01.divide", divide)

# %% [markdown]
# **Why.** `a / b` is `a` times `1 / b`. If `a` grows by 1, the result grows by one more `1 / b`. If `b` grows, `1 / b`
# moves with the slope `-1 / b²` (the cake is shared among more people, so the sign is negative), and all of it is
# multiplied by `a`. `backward` needs no change at all: it only ever asks for pairs.
#
# A nudge confirms both slopes at `a = 6`, `b = 2`:

# %%
nudge = 1e-6
by_nudging = ((6 + nudge) / 2 - 6 / 2) / nudge, (6 / (2 + nudge) - 6 / 2) / nudge
for (_, slope), felt in zip(divide(Value(6), Value(2)).inputs, by_nudging, strict=True):
    print(f"local slope {slope:.2f}, by nudging {felt:.2f}")
    assert abs(slope - felt) < 1e-4


# %% [markdown]
# ## A big batch on a small machine ★★☆
#
# The gradient of the mean loss over all samples, though at most `batch_size` of them may be looked at together.

# %%
def accumulate(batch_loss, line, x, y, batch_size):
    """Gradient of the mean loss over all samples, at most `batch_size` at a time."""
    line.grad = None
    for start in range(0, len(x), batch_size):
        batch = slice(start, start + batch_size)
        share = len(x[batch]) / len(x)
        (batch_loss(line, x[batch], y[batch]) * share).backward()
    return line.grad


check("day01.accumulate", accumulate)


# %% [markdown]
# **Why.** The mean over everybody is the sum of all losses divided by N. A batch hands us the mean over its n samples,
# so its sum is n times that, and its part of the whole is n / N. With these shares it does not matter how long the
# batches are. Gradients of a sum are sums of gradients, and adding up is what the letterbox does anyway. It is emptied
# once, *before* the loop: whatever was left in it would count as one more batch.
#
# ## What does `retain_graph=True` change? ★☆☆
#
# The gradients of two losses with respect to the same leaf, when both losses share the first part of their graph.

# %%
def two_gradients(leaf, loss_a, loss_b):
    """The gradients of `loss_a` and of `loss_b` with respect to `leaf`."""
    loss_a.backward(retain_graph=True)
    first, leaf.grad = leaf.grad, None
    loss_b.backward()
    return first, leaf.grad


check("day01.two_gradients", two_gradients)

# %% [markdown]
# **Why.** The first walk back would wipe the shared part of the trail, and the second would find nothing to walk on:
# `retain_graph=True` keeps it. It does not change the gradient. It does not empty the letterbox either, so we do that
# between the walks: we take the tensor out and leave `None` in its place. (Whoever empties it with `zero_()` needs a
# `clone()` first, for `zero_()` would empty our own result, too.) The second walk is the last one and may wipe the trail.
#
# And without it?

# %%
leaf = torch.tensor([1.0, 2.0], requires_grad=True)     # [2]
shared = leaf.exp()                                     # [2]
loss_a, loss_b = shared.sum(), (shared * shared).sum()  # [], []
loss_a.backward()
try:
    loss_b.backward()
except RuntimeError as error:
    print("RuntimeError:", str(error).split(" (")[0])


# %% [markdown]
# ## One step by hand ★☆☆
#
# One step of gradient descent on the mean squared error of the line `weight * x + bias`.

# %%
def one_step(weight, bias, x, y, learning_rate):
    """The weight and the bias after one step of gradient descent."""
    mistake = weight * x + bias - y                     # [N]
    slope_weight = 2 * (mistake * x).mean()             # []
    slope_bias = 2 * mistake.mean()                     # []
    return weight - learning_rate * slope_weight, bias - learning_rate * slope_bias


check("day01.one_step", one_step)


# %% [markdown]
# **Why.** These are the two formulas of the lesson, and the gradient points uphill, so it is subtracted. Both slopes
# are taken at the old place before either number moves. Letting PyTorch find the slopes gives the same:

# %%
def one_step_by_torch(weight, bias, x, y, learning_rate):
    """The same, with `backward` in place of the formulas."""
    line = torch.tensor([float(weight), bias], requires_grad=True)         # [2]
    ((line[0] * x + line[1] - y) ** 2).mean().backward()
    return (line - learning_rate * line.grad).tolist()


sample = torch.tensor([2.0]), torch.tensor([1.0])                          # [1], [1]
by_hand, by_torch = one_step(0, 0, *sample, 0.1), one_step_by_torch(0, 0, *sample, 0.1)
print(f"{by_torch[0]:.2f} and {by_torch[1]:.2f}")
assert torch.allclose(torch.stack(by_hand), torch.tensor(by_torch))

# %% [markdown]
# ## A faster rate ★☆☆
#
# A learning rate with which the walk down the crickets' valley comes within 0.001 of the lowest loss in 8 steps.

# %%
faster_rate = 0.25

check("day01.faster_rate", faster_rate)

# %% [markdown]
# **Why.** Each step multiplies the distance to the bottom by `1 - 2 * c * rate`, where `c` says how steep the valley is
# in that direction. Along the weight, `c` is the mean of `x²`. Along the bias it is 1 (every cricket has the same share
# in it). The slower of the two directions decides, and the best rate makes them equally slow, one closing in, the other
# overshooting a little each time:

# %%
chirps = torch.tensor([20.0, 16.0, 19.8, 18.4, 17.1, 15.5, 14.7, 17.1,
                       15.4, 16.2, 15.0, 17.2, 16.0, 17.0, 14.4])          # [15]
c = ((chirps - chirps.mean()) ** 2).mean().item()
for rate in (0.05, 0.2, 0.25, 0.36):
    print(f"rate {rate:.2f}: weight times {1 - 2 * c * rate:5.2f} in each step, "
          f"bias times {1 - 2 * rate:5.2f}")
print(f"equally slow at {1 / (1 + c):.3f}")
assert 0.25 < 1 / (1 + c) < 0.28
