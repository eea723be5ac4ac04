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
# # Day 1: how does a computer know which way is downhill?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. You need Python; no calculus beyond "the slope
# of a curve".*
#
# You stand on a hillside in thick fog and want to get down to the valley. You cannot see the valley. But you can feel
# with your foot which way the ground slopes, take a step that way, and feel again. That is how nearly every neural
# network you have heard of was trained. Its "ground" has one direction per adjustable number, sometimes a billion of
# them, and feeling around with a foot a billion times before each step would take for ever. Yet somehow the slope in
# all those directions comes out of *one* walk through the calculation, backwards. Today you find out how, by building
# the machine that does it. For a hillside we borrow fifteen crickets.
#
# **By the end you can**
#
# - say what shape comes out when two tensors meet, and spot the shape mistake that raises no error;
# - follow a gradient backwards through a calculation, in PyTorch and in an engine of your own of thirty lines;
# - explain why gradients add up, when that is what you want, and what happens to those who forget it;
# - walk downhill by hand: `weight = weight - learning_rate * gradient`.
#
# [Day 2: can arrays alone learn? →](day02_numpy_network.ipynb)

# %%
import math
import textwrap

import matplotlib.pyplot as plt
import torch

from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import PALETTE, label_lines, use_style

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## A thermometer with six legs
#
# Crickets chirp faster when it is warm. The physicist George Pierce listened to striped ground crickets with his
# instruments and noted, fifteen times, how often they chirped and how warm the ground was. Here is what he published in
# 1948. If we can learn the rule behind these numbers, we can read the temperature off a cricket.

# %%
chirps_per_second = [20.0, 16.0, 19.8, 18.4, 17.1, 15.5, 14.7, 17.1,
                     15.4, 16.2, 15.0, 17.2, 16.0, 17.0, 14.4]
degrees_fahrenheit = [88.6, 71.6, 93.3, 84.3, 80.6, 75.2, 69.7, 82.0,
                      69.4, 83.3, 79.6, 82.6, 80.6, 83.5, 76.3]

chirps = torch.tensor(chirps_per_second, device=device)                   # [15]
y = (torch.tensor(degrees_fahrenheit, device=device) - 32) / 1.8          # [15], in °C
print(y)

# %% [markdown]
# A **tensor** is a box of numbers, all of one kind, that you calculate with as a whole. There is no loop in
# `(... - 32) / 1.8`, and yet all fifteen temperatures were converted. That is half of why deep learning is fast: one
# short order, many numbers. (The other half is that tensors can live on a graphics card.)

# %%
fig, ax = plt.subplots()
ax.scatter(chirps.cpu(), y.cpu(), color=PALETTE[0])
ax.set(xlabel="chirps per second", ylabel="temperature (°C)",
       title="The faster the cricket, the warmer the ground")
plt.show()
assert torch.corrcoef(torch.stack([chirps, y]))[0, 1] > 0.7

# %% [markdown]
# A straight line through these points would be a useful thermometer: `temperature = weight * chirps + bias`. Two
# numbers to find, `weight` and `bias`. Before we hunt for them, a closer look at the boxes.
#
# ## What is in the box?
#
# Three things describe a tensor, and most error messages in deep learning are about one of them: its
# **shape** (how many numbers, arranged how), its **dtype** (what kind of number), and its **device** (in whose memory).

# %%
number = torch.tensor(3.5)                # []               a single number
row = torch.tensor([1.0, 2.0, 3.0])       # [3]              a row of them
table = torch.zeros(15, 2)                # [15, 2]          15 crickets, 2 facts each
photos = torch.zeros(8, 1, 28, 28)        # [8, 1, 28, 28]   8 grey images, 28 x 28
for tensor in (number, row, table, photos):
    print(f"{tensor.ndim} dimensions, {tensor.numel():5} numbers, {list(tensor.shape)}")

# %% [markdown]
# The first number of a shape is nearly always "how many samples". From here on every shape stands in a comment behind
# the line that makes it. It is a good habit of your own, too. (You will also see `.item()` a lot: it takes the single
# number out of a tensor, as an ordinary Python number.)
#
# The kind of number matters more than you would think.
#
# > **Predict.** Pixels are stored as whole numbers from 0 to 255, one byte each. You add 100 to a bright pixel of 200.
# > And a `float32`, the usual kind in deep learning, holds 16,777,216. You add 1. What comes out of each?

# %%
pixel = torch.tensor(200, dtype=torch.uint8)
print("200 + 100 =", (pixel + 100).item())

big = torch.tensor(16_777_216.0)          # float32
print("16777216 + 1 =", int(big + 1))
assert pixel + 100 == 44 and big + 1 == big

# %% [markdown]
# **What happened.** The byte went round past 255 and started again at 0, so brightening a photo can turn the sky black.
# And the float did not move at all: a `float32` carries about seven digits, and the 1 fell off the end. No error, no
# warning, in either case. Convert pixels to floats before you calculate, and don't count in `float32`.
#
# One more property of floats we need today: only they can have a slope. Between 3 and 4 a whole number has nowhere to
# go.

# %%
print(torch.tensor([20, 16]).dtype, "and", torch.tensor([20.0, 16.0]).dtype)
try:
    torch.tensor([20, 16], requires_grad=True)
except RuntimeError as error:
    print("RuntimeError:", error)

# %% [markdown]
# And the device? `pick_device()` above took the fastest one that this computer has, and we put the crickets there.
# Tensors only calculate with tensors on the same device. You may not own a second one, but PyTorch has an imaginary
# one, `meta`, where tensors have a shape and no contents. It serves to show the error that everybody meets on their
# first day with a graphics card.

# %%
print("the crickets live on:", chirps.device.type)
try:
    chirps + torch.ones(15, device="meta")
except RuntimeError as error:
    print("RuntimeError:", error)
print("and after a move:", (chirps.cpu() + torch.ones(15)).device.type)

# %% [markdown]
# ## When shapes meet
#
# Subtracting 32 from fifteen numbers worked because of **broadcasting**: the smaller tensor is repeated, in thought,
# until it fits. There is one rule, and it reads *from the right*:
#
# 1. write the two shapes below each other, aligned at the right; missing places on the left count as 1;
# 2. in each column the two sizes must be equal, or one of them must be 1;
# 3. the result takes the larger size in each column.
#
# ```
# [15, 2]          [4, 1]         [15, 2]
#     [2]             [3]            [15]
# -------          ------         -------
# [15, 2]          [4, 3]          error     (2 against 15, and neither is 1)
# ```
#
# The middle one is worth a picture: a column and a row make a table.

# %%
column = torch.tensor([[0], [10], [20], [30]])     # [4, 1]
row = torch.tensor([1, 2, 3])                      #    [3]
print(column + row)                                # [4, 3]

# %% [markdown]
# We use it to move the crickets to the middle: `x` says how much faster than the average a cricket chirps. With that,
# `bias` will mean "the temperature when a cricket chirps at its average rate", a number you can check by eye.

# %%
x = chirps - chirps.mean()        # [15] - [] -> [15]
print(f"average: {chirps.mean().item():.2f} chirps per second")
print(f"x runs from {x.min().item():.2f} to {x.max().item():.2f}")

# %% [markdown]
# Now the mistake that raises no error. A network's predictions usually come as a table with one column, `[15, 1]`. The
# true temperatures come as a row, `[15]`. Suppose that the predictions are perfect.
#
# > **Predict.** `perfect - y` should be zero everywhere. What will the average of its squares be?

# %%
perfect = y.reshape(15, 1)                     # [15, 1]
difference = perfect - y                       # [15, 1] - [15] -> ?
print(f"average squared difference: {(difference**2).mean().item():.1f}")
print("shape:", list(difference.shape))
assert difference.shape == (15, 15) and (difference**2).mean() > 1

# %% [markdown]
# **What happened.** A column met a row, and the result is a table of every cricket against *every other* cricket.
# Training on such a loss runs without complaint and learns nothing but the average. When something learns
# suspiciously little, print the shapes first.
#
# ### Exercise: predict the shape ★☆☆
#
# Work out, on paper, which shape comes out of each line. Give a list of four answers, each a tuple such as `(2, 3)`,
# or the word `"error"`.
#
# 1. `[3, 1] + [4]`
# 2. `[8, 1, 28, 28] * [28]`
# 3. `[64, 10] - [64]`
# 4. `[5, 1, 2] + [3, 1]`
#
# (For tensors of shapes `[15, 2]` and `[2]` you would write `(15, 2)`.) Stuck? In a new cell, run
# `hint("day01.broadcast_shapes")`; each call tells you a little more. Every exercise of this course has such a ladder.

# %%
broadcast_shapes = ...  # four answers, for instance [(2, 3), "error", (7,), (1, 1)]

check("day01.broadcast_shapes", broadcast_shapes)


# %% [markdown]
# ## How wrong is a line?
#
# To improve a line we need one number that says how bad it is. The usual choice for this kind of question is the
# **mean squared error**: take each cricket's mistake in degrees, square it (so that being too warm and being too cold
# both count, and a big mistake counts much more than a small one), and average. Such a number is called a **loss**.
#
# The last dimension is the one with the crickets, so that is where we average: `mean(-1)`.

# %%
def loss_at(weight, bias):
    """Mean squared error, in °C squared, of the line `weight * x + bias`."""
    prediction = weight * x + bias             # [15]
    return ((prediction - y) ** 2).mean(-1)    # []


print(f"a poor line:   {loss_at(-4.0, 22.0).item():6.1f}")
print(f"a better line: {loss_at(1.0, 25.0).item():6.1f}")

# %% [markdown]
# The loss is our height above the valley. Which way is down from the poor line? Do what the walker in the fog does:
# put a foot a little to the side and feel whether the ground is higher or lower there.

# %%
nudge = 0.01
here = loss_at(-4.0, 22.0)
slope_weight = ((loss_at(-4.0 + nudge, 22.0) - here) / nudge).item()
slope_bias = ((loss_at(-4.0, 22.0 + nudge) - here) / nudge).item()
print(f"for each unit of weight the loss changes by {slope_weight:.1f}")
print(f"for each unit of bias   the loss changes by {slope_bias:.1f}")

# %% [markdown]
# Both are negative: more weight and more bias make the loss *smaller*. Here is the first of the two slopes as a
# picture. With the bias held at 22, the loss is a curve over the weight, and the slope is how steep that curve is
# where we stand. And do note how we get the curve: `[:, None]` turns the row of 121 weights into a column `[121, 1]`,
# the column meets the row of crickets, and one call gives the loss of 121 different lines. Broadcasting, this time on
# purpose.

# %%
weights = torch.linspace(-6, 9, 121, device=device)[:, None]              # [121, 1]
curve = loss_at(weights, 22.0)                                            # [121]

fig, ax = plt.subplots()
ax.plot(weights.cpu()[:, 0], curve.cpu(), label="loss")
near = torch.tensor([-5.6, -0.8])
ax.plot(near, here.item() + slope_weight * (near + 4), "--", label="slope here")
ax.plot(-4, here.item(), "o", color="black")
ax.set(xlabel="weight (°C per chirp per second)", ylabel="loss (°C²)",
       title="From weight -4, downhill is to the right", ylim=0)
label_lines(ax)
plt.show()
assert slope_weight < 0

# %% [markdown]
# > **Predict.** To feel the slope in 2 directions we worked out the loss 3 times: once here, once per nudge. Day 6's
# > network for reading digits has three layers, with the inputs and outputs noted below, and a number to adjust for
# > each pair of an input and an output, plus one for each output. How often would you have to work out its loss to take
# > a *single* step? And how long would that take, at a thousand losses a second?

# %%
layers = [(784, 256), (256, 256), (256, 10)]      # (inputs, outputs) of each
numbers = sum(inputs * outputs + outputs for inputs, outputs in layers)
minutes = (numbers + 1) / 1000 / 60
print(f"{numbers:,} numbers to adjust, {minutes:.1f} minutes for one step")
assert numbers > 250_000 and minutes > 4

# %% [markdown]
# **What happened.** Once here and once per number: more than a quarter of a million losses for one step, and training
# takes thousands of steps. Nobody would train anything that way. We need the slope in all directions for about the
# price of one.
#
# ## All slopes at once
#
# PyTorch can do it. Tell it which numbers you want slopes for with `requires_grad=True`, calculate as usual, then call
# `backward()` on the result. The list of slopes in all directions is called the **gradient**, and each number finds
# its own in `.grad`. Watch the bias before and after.

# %%
weight = torch.tensor(-4.0, device=device, requires_grad=True)    # []
bias = torch.tensor(22.0, device=device, requires_grad=True)      # []

loss = loss_at(weight, bias)                                      # []
print("before backward, bias.grad is", bias.grad)
loss.backward()
print(f"after  backward, bias.grad is {bias.grad.item():.2f}")

# %%
print(f"weight: by nudging {slope_weight:.2f}, by backward {weight.grad.item():.2f}")
print(f"bias:   by nudging {slope_bias:.2f}, by backward {bias.grad.item():.2f}")
assert abs(slope_weight - weight.grad.item()) < 0.1
assert abs(slope_bias - bias.grad.item()) < 0.1

# %% [markdown]
# **What happened.** The same slopes (the small difference is the nudge's fault: it measured over a short stretch of a
# curve, not at a point). But `backward` tried nothing out. It *worked the slopes out*, exactly, in one go. You can do
# that by hand for a line, and school calculus gives
#
# $$\frac{\partial\,\text{loss}}{\partial\,\text{weight}} = \frac{2}{N}\sum_{i} \text{mistake}_i \cdot x_i
# \qquad
# \frac{\partial\,\text{loss}}{\partial\,\text{bias}} = \frac{2}{N}\sum_{i} \text{mistake}_i
# \qquad \text{with } \text{mistake}_i = \text{weight}\cdot x_i + \text{bias} - y_i$$
#
# ($\partial$ reads "the slope of ... with respect to ...", $N$ is the number of crickets.) It agrees:

# %%
mistake = (weight * x + bias - y).detach()     # [15]; detach: plain numbers again
by_formula = 2 * (mistake * x).mean(), 2 * mistake.mean()
print(f"by formula: {by_formula[0].item():.2f} and {by_formula[1].item():.2f}")
assert torch.allclose(torch.stack(by_formula), torch.stack([weight.grad, bias.grad]))


# %% [markdown]
# But PyTorch knew nothing of lines and crickets. It only saw us multiply, add, subtract, square and average. How did it
# get from there to the slopes?
#
# ## The trail of crumbs
#
# While we calculated forwards, every tensor wrote down how it was made. The note is called `grad_fn`, and each note
# points at the notes of the tensors it was made from. Follow them from the loss back to the start:

# %%
def walk(note, depth=0):
    """Print a `grad_fn` and everything it leads back to."""
    print("   " * depth + note.name())
    for earlier, _ in note.next_functions:
        if earlier is not None:
            walk(earlier, depth + 1)


walk(loss_at(weight, bias).grad_fn)

# %% [markdown]
# Read it from the bottom up and you have our formula: `weight` times `x`, plus `bias`, minus `y`, squared, averaged.
# Two trails end in an `AccumulateGrad`. Those are the letterboxes of `weight` and `bias`, the place where `.grad` will
# be filled in; such starting points are called **leaves**. `x` and `y` have none: they asked for no gradient, so
# nothing leads there.

# %%
total = weight * x                             # [15]
print("weight:", weight.is_leaf, weight.grad_fn)
print("total: ", total.is_leaf, total.grad_fn.name())
letterbox = total.grad_fn.next_functions[0][0]
assert letterbox.variable is weight


# %% [markdown]
# So there is a record of the calculation: the **graph**. What is still missing is how slopes travel along it. The best
# way to understand that is to build it.
#
# ## Build the engine
#
# Think of gears. If the small wheel turns 3 times as fast as the crank, and the large wheel turns 2 times as fast as
# the small one, then the large wheel turns 3 × 2 = 6 times as fast as the crank. Slopes are such ratios, and so they
# multiply along a chain. That is the **chain rule**, and it is all the calculus in this lesson.
#
# It has a happy consequence. No part has to know the whole machine: each operation only has to know its own **local
# slopes**, how much its result moves when one of its inputs moves.
#
# | result | moves with `a` | moves with `b` |
# |---|---|---|
# | `a + b` | 1 for 1 | 1 for 1 |
# | `a * b` | `b` for 1 (try 5 × 3, then 6 × 3: up by 3) | `a` for 1 |
# | `tanh(a)` | `1 - tanh(a)²` for 1 | |
#
# (`tanh` is a smooth S-shaped curve that squeezes any number into -1 to 1. Networks need something curved; day 3 is
# about why.) So let each number remember what it was made from, and with which local slopes:

# %%
class Value:
    """A number that remembers which numbers it was made from."""

    def __init__(self, data, symbol="", inputs=()):
        self.data = float(data)
        self.grad = 0.0         # slope of the final result with respect to this number
        self.symbol = symbol
        self.inputs = inputs    # pairs: (the Value it came from, the local slope)

    def __add__(self, other):
        return Value(self.data + other.data, "+", [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        data = self.data * other.data
        return Value(data, "×", [(self, other.data), (other, self.data)])

    def tanh(self):
        t = math.tanh(self.data)
        return Value(t, "tanh", [(self, 1 - t * t)])


# %%
a, b = Value(5), Value(3)
product = a * b
for source, slope in product.inputs:
    print(f"made from {source.data}, local slope {slope}")


# %% [markdown]
# Now the way back. The result's own slope is 1 (it moves one for one with itself). From there each number tells its
# inputs: *my slope times your local slope*. What if a number was used twice? Then it has two ways to influence the
# result, and gets two messages. Their effects **add up**. Keep that in mind, it returns soon.
#
# The obvious plan: pass every message on the moment it comes in.

# %%
def backward_hasty(value, message=1.0):
    """Pass on each message as it arrives; return how many were sent in all."""
    value.grad += message
    sent = 0
    for source, slope in value.inputs:
        sent += 1 + backward_hasty(source, message * slope)
    return sent


a, b = Value(5), Value(3)
print("messages:", backward_hasty(a * b + a))
print(f"slopes of a * b + a:  a {a.grad},  b {b.grad}")


# %% [markdown]
# Right: one more `a` gives 3 more from the product and 1 more from the sum. So are we done? Let us double a number,
# double the result, and so on, 16 times over.
#
# > **Predict.** That is 16 additions. Each has two inputs. How many messages will be sent?

# %%
def doubled(times):
    """A leaf, and the result of doubling it `times` times over."""
    leaf = result = Value(1)
    for _ in range(times):
        result = result + result
    return leaf, result


leaf, result = doubled(16)
sent = backward_hasty(result)
print(f"slope {leaf.grad:.0f}, messages {sent:,}")
assert leaf.grad == 2**16


# %% [markdown]
# **What happened.** The slope is right, and the number of messages is a catastrophe. The first pair of messages
# triggers four, these trigger eight, and so on. With 100 doublings this computer would not finish before the sun goes
# out, and networks use every number many times over.
#
# The cure is patience: **a number waits until all its messages are in, and then passes on their sum, once.** For that
# the numbers must be visited in the right order, each after everything that was made from it. Forwards, every number
# comes after its inputs; we write that order down (a *topological order*) and walk it in reverse.

# %%
def in_order(result):
    """Everything that led to `result`, each number after the ones it was made from."""
    order, seen = [], set()

    def visit(value):
        if value not in seen:
            seen.add(value)
            for source, _ in value.inputs:
                visit(source)
            order.append(value)

    visit(result)
    return order


# %%
def backward(result):
    """Fill in `grad` for everything that led to `result`; return the messages sent."""
    result.grad = 1.0
    sent = 0
    for value in reversed(in_order(result)):
        for source, slope in value.inputs:
            source.grad += slope * value.grad
            sent += 1
    return sent


leaf, result = doubled(16)
sent = backward(result)
print(f"slope {leaf.grad:.0f}, messages {sent:,}")
assert leaf.grad == 2**16

# %% [markdown]
# The same slope for two messages an addition. This is **backpropagation**: the chain rule, plus the patience to add up
# before passing on. It looks at each step of the calculation once, no matter how many slopes come out, and that is why
# networks can be trained at all.
#
# Let us see it at work on a real part of a network: one neuron. It takes an input `x`, computes
# `tanh(w * x + b)`, and is compared with a target `t` by squaring the difference.

# %%
names = {"w": Value(0.5), "x": Value(2.0), "b": Value(-0.6), "-t": Value(-0.9)}
w, x_in, b, minus_t = names.values()

error = (w * x_in + b).tanh() + minus_t
squared = error * error
print("messages:", backward(squared))
for name, value in names.items():
    print(f"{name:>2}  value {value.data:5.2f}  slope {value.grad:6.3f}")


# %% [markdown]
# And now as a picture. Each box will show what the number is and, below, how much the loss would move with it. The next
# two cells only draw; feel free to run them unread.

# %%
def places(result):
    """Where to draw each number: (column, row), inputs left, the result right."""
    order, column, filled, place = in_order(result), {}, {}, {}
    for value in order:
        column[value] = 1 + max((column[s] for s, _ in value.inputs), default=-1)
        for source, _ in value.inputs:
            if not source.inputs:                     # a leaf stands beside its user
                column[source] = column[value] - 1
    for value in order:
        filled[column[value]] = filled.get(column[value], 0) + 1
        place[value] = column[value], -filled[column[value]]
    return place


# %%
def draw(result, names):
    """Draw how `result` came about, with every number's value and slope."""
    place = places(result)
    ax = plt.subplots(figsize=(7, 2.3))[1]
    for value, at in place.items():
        for i, (source, _) in enumerate(value.inputs):
            same = len(value.inputs) == 2 and value.inputs[1 - i][0] is source
            bend = (i - 0.5) * 0.7 if same else 0     # two arrows from one box
            ax.annotate("", at, place[source], arrowprops={
                "arrowstyle": "-|>", "color": "gray", "shrinkA": 20, "shrinkB": 27,
                "connectionstyle": f"arc3,rad={bend}"})
        name = names.get(value, value.symbol)
        text = f"{name}\n{value.data:.2f}\nslope {value.grad:.2f}"
        ax.text(*at, text, ha="center", va="center", fontsize=9, zorder=5, bbox={
            "boxstyle": "round", "edgecolor": PALETTE[0],
            "facecolor": "white" if value.inputs else "#d9ecf7"})
    ax.set(xlim=(-0.5, max(c for c, _ in place.values()) + 0.5), ylim=(-2.4, -0.6))
    ax.axis("off")
    return ax


draw(squared, {value: name for name, value in names.items()})
plt.title("Slopes flow back from the loss, right to left")
plt.show()

# %% [markdown]
# The number before the last box was used twice (an error times itself), so two arrows leave it, and its slope is the
# sum of two messages. Follow one trail with a pencil: the slope of each box is the slope of the box to its right times
# a local slope. Now the referee. PyTorch gets the same numbers and the same calculation:

# %%
leaves = [torch.tensor(v.data, dtype=torch.float64, requires_grad=True)
          for v in names.values()]
tw, tx, tb, tt = leaves
(((tw * tx + tb).tanh() + tt) ** 2).backward()

worst = max(abs(leaf.grad.item() - value.grad)
            for leaf, value in zip(leaves, names.values()))
print(f"largest difference below 1e-12: {worst < 1e-12}")
assert worst < 1e-12

# %% [markdown]
# And the crickets? Fifteen mistakes, squared, added up and averaged, in numbers that know their past:

# %%
line_weight, line_bias = Value(-4), Value(22)
total = Value(0)
for chirp, temperature in zip(x.tolist(), y.tolist()):
    mistake = line_weight * Value(chirp) + line_bias + Value(-temperature)
    total = total + mistake * mistake
backward(total * Value(1 / 15))

print(f"engine: {line_weight.grad:.2f} and {line_bias.grad:.2f}")
print(f"torch:  {weight.grad.item():.2f} and {bias.grad.item():.2f}")
assert abs(line_weight.grad - weight.grad.item()) < 1e-3
assert abs(line_bias.grad - bias.grad.item()) < 1e-3


# %% [markdown]
# Thirty lines, and they agree with a library of millions. The library's `grad_fn` is our `inputs`, its `AccumulateGrad`
# is our `+=`. What it adds is speed: its numbers are whole tensors.
#
# ### Exercise: teach the engine to divide ★★★
#
# Write `divide(a, b)`. It gets two `Value`s and returns a new `Value` holding `a / b`, made from both, with their local
# slopes, so that `backward` works through it. Use only the `data` of `a` and `b`; change neither of them.
#
# The two local slopes, for you to think out: how much does `a / b` move when `a` grows by 1? And when `b` grows a
# little? (For the second, school has a rule: the slope of `1 / b` is `-1 / b²`.) An example to hold it against: for
# `a = 6`, `b = 2` the result is 3 and the local slopes are 0.5 and -1.5.

# %%
def divide(a, b):
    """`a / b` as a Value that remembers `a` and `b`."""
    ...  # your code here


check("day01.divide", divide)

# %% [markdown]
# ## Why gradients add up
#
# In our engine a slope is added with `+=`, since a number used twice hears from two sides. PyTorch's letterboxes do
# the same, and they are never emptied by themselves. Not even between two calls of `backward`.
#
# > **Predict.** We empty both letterboxes, and then walk back twice from the same line. What is in `bias.grad`?

# %%
weight.grad = None
bias.grad = None
for walk_number in (1, 2):
    loss_at(weight, bias).backward()
    print(f"after walk {walk_number}: bias.grad = {bias.grad.item():.2f}")


# %% [markdown]
# **What happened.** Twice the gradient. The second walk *added* its message to the first. So before each new gradient
# somebody has to empty the letterbox: `bias.grad = None` does, and so does `bias.grad.zero_()`. Optimisers, from day 4
# on, do it for all weights at once with `optimizer.zero_grad()`. Forgetting it is the most popular bug of all; further
# down we do so on purpose, and it looks prettier than you would think.
#
# Why does PyTorch not empty them for you? Because adding up is useful. Suppose that fifteen crickets do not fit into
# memory, but five do. Then work through three batches, and let the letterbox add up their gradients:

# %%
def batch_loss(line, x, y):
    """Mean squared error of `line` (weight and bias, [2]) on one batch, x and y [n]."""
    return ((line[0] * x + line[1] - y) ** 2).mean()


line = torch.tensor([-4.0, 22.0], device=device, requires_grad=True)      # [2]
batch_loss(line, x, y).backward()
whole = line.grad.tolist()

line.grad = None
for x_batch, y_batch in zip(x.split(5), y.split(5)):         # [5], [5]
    batch_loss(line, x_batch, y_batch).backward()
print(f"fifteen at once: {whole[0]:8.2f} {whole[1]:8.2f}")
print(f"three times five:{line.grad[0].item():8.2f} {line.grad[1].item():8.2f}")

# %% [markdown]
# Not the same. Divide one by the other and you see what is wrong: three *averages* were added up, so the sum is
# three times too large. Dividing each batch's loss by the number of batches before its `backward` mends it.

# %%
line.grad = None
for x_batch, y_batch in zip(x.split(5), y.split(5)):
    (batch_loss(line, x_batch, y_batch) / 3).backward()
print(f"mended:          {line.grad[0].item():8.2f} {line.grad[1].item():8.2f}")
assert torch.allclose(line.grad.cpu(), torch.tensor(whole), rtol=1e-4)


# %% [markdown]
# This is **gradient accumulation**, and it is how people train on a small graphics card with the batch size of a large
# one. The memory of five, the gradient of fifteen. But look what happens when the batches are not equally long:
# `x.split(4)` gives batches of 4, 4, 4 and 3 crickets, and now a division by 4 batches is no longer quite right. The
# three crickets of the last batch would have a louder voice than all the others.
#
# ### Exercise: a big batch on a small machine ★★☆
#
# Write `accumulate(batch_loss, line, x, y, batch_size)`: the gradient that `batch_loss(line, x, y).backward()` would
# give for *all* N samples at once, though `batch_loss` is never shown more than `batch_size` of them at a time. The
# last batch may be shorter.
#
# - `batch_loss(line, x, y)` returns the *mean* loss of the samples you hand it, like the one above.
# - `line` is a leaf, `[2]`, that requires grad. Somebody may have left an old gradient in it, or it is None.
# - `x` and `y` are `[N]`.
# - Return the gradient, `[2]`.
#
# Example: with losses `line[0] * x` for `x = [1, 2, 6]` and a batch size of 2, the batches have mean slopes 1.5 and 6,
# and the slope over all three is 3 (not 3.75, and not 7.5).

# %%
def accumulate(batch_loss, line, x, y, batch_size):
    """Gradient of the mean loss over all samples, at most `batch_size` at a time."""
    ...  # your code here


check("day01.accumulate", accumulate)


# %% [markdown]
# ## The trail is wiped behind you
#
# Above we worked the loss out afresh before each walk back. What if we don't?

# %%
def read_aloud(error):
    """Print an error's text, wrapped."""
    print(textwrap.fill(f"{type(error).__name__}: {error}", width=86))


loss = loss_at(weight, bias)
loss.backward()
try:
    loss.backward()
except RuntimeError as error:
    read_aloud(error)

# %% [markdown]
# This one is worth reading, for you will meet it again. For the way back, the multiplication had kept `x`, and the
# squaring had kept the mistakes (our `Value` kept its local slopes). In a large network these notes fill most of the
# memory. So PyTorch throws them away as soon as they have been used: the trail is wiped behind you. If you have to walk
# it again, say so beforehand:

# %%
bias.grad = None
loss = loss_at(weight, bias)
loss.backward(retain_graph=True)
once = bias.grad.item()
loss.backward()
print(f"first walk {once:.2f}, after the second {bias.grad.item():.2f}")
assert math.isclose(bias.grad.item(), 2 * once, rel_tol=1e-5)


# %% [markdown]
# When does one want that? When two results share the first part of a calculation and you need both gradients. A common
# wrong use is to silence the error in a training loop: there, the cure is to work the loss out afresh.
#
# ### Exercise: what does `retain_graph=True` change? ★☆☆
#
# Two losses were computed from the same `leaf`, by way of something they share. For instance:
#
# ```python
# leaf = torch.tensor([1.0, 2.0], requires_grad=True)
# shared = leaf.exp()
# loss_a, loss_b = shared.sum(), (shared * shared).sum()
# ```
#
# Here is the task. Write `two_gradients(leaf, loss_a, loss_b)`: return the gradient of `loss_a` and the gradient of
# `loss_b` with respect to `leaf`, a pair of tensors of the shape of `leaf`. Use `backward`. Try it without
# `retain_graph=True` first and see who complains. Then see that two more things are needed: an empty letterbox in
# between, and a first gradient that is yours to keep (`.clone()` makes a copy that later additions and
# `.zero_()` don't reach; `leaf.grad = None` leaves the old tensor alone).
# `leaf.grad` is empty when you are called. For the leaf above, the answer is `[e, e²]` and `[2e², 2e⁴]`, which is about
# `[2.72, 7.39]` and `[14.78, 109.20]`.

# %%
def two_gradients(leaf, loss_a, loss_b):
    """The gradients of `loss_a` and of `loss_b` with respect to `leaf`."""
    ...  # your code here


check("day01.two_gradients", two_gradients)

# %% [markdown]
# ## One step downhill
#
# We know which way is down. The gradient points uphill, so we step against it:
#
# $$\text{weight} \leftarrow \text{weight} - \text{learning rate} \cdot \text{gradient}$$
#
# The **learning rate** says how far to step: the same slope, longer or shorter legs. Let us do it, the way one would
# first write it down.

# %%
learning_rate = 0.05
weight.grad, bias.grad = None, None
loss_at(weight, bias).backward()
try:
    weight -= learning_rate * weight.grad
except RuntimeError as error:
    read_aloud(error)

# %% [markdown]
# PyTorch objects. It is still taking notes: this step, too, would become part of the trail, and the leaf would no
# longer be a leaf. But the step is not part of the calculation we want slopes of. It comes after it. So ask PyTorch to
# look away for a moment:

# %%
before = loss_at(weight, bias)
with torch.no_grad():
    weight -= learning_rate * weight.grad
    bias -= learning_rate * bias.grad
    after = loss_at(weight, bias)

print(f"loss before {before.item():.1f}, after {after.item():.1f}")
print(f"on the trail? before {before.requires_grad}, after {after.requires_grad}")
assert after < before and weight.is_leaf and not after.requires_grad

# %% [markdown]
# One step, and the loss has dropped. Under `no_grad` nothing is written down, which also saves memory and time. Use it
# for updates, and whenever you only want an answer from a network and not its slopes. (A single tensor leaves the trail
# with `.detach()`, as our mistakes did further up.)
#
# Why `-=`, and not `weight = weight - ...` as in the formula? Because the second makes a *new* tensor, and one made
# while nobody takes notes:

# %%
with torch.no_grad():
    renewed = weight - learning_rate * weight.grad
print("does the new weight want a gradient?", renewed.requires_grad)
assert weight.requires_grad and not renewed.requires_grad


# %% [markdown]
# The next `backward` would find no letterbox there. `-=` changes the number inside the old tensor, and the letterbox
# stays.
#
# ### Exercise: one step by hand ★☆☆
#
# Write `one_step(weight, bias, x, y, learning_rate)`: one step downhill on the mean squared error of the line `weight *
# x + bias`. `weight`, `bias` and `learning_rate` are plain Python numbers, `x` and `y` tensors `[N]`. Return the new
# weight and the new bias (numbers or tensors, as you like). Use `backward`, or the formula from above; both are fine.
#
# Example: with `weight = 0`, `bias = 0`, one sample `x = [2]`, `y = [1]` and a rate of 0.1, the mistake is -1, the two
# slopes are -4 and -2, and the step leads to 0.4 and 0.2.

# %%
def one_step(weight, bias, x, y, learning_rate):
    """The weight and the bias after one step of gradient descent."""
    ...  # your code here


check("day01.one_step", one_step)

# %% [markdown]
# ## All the way down
#
# Step, feel the slope, step again. This is **gradient descent**, and the few lines in the loop are the heart of every
# training run in this course: forward, backward, step, empty the letterboxes.

# %%
weight = torch.tensor(-4.0, device=device, requires_grad=True)
bias = torch.tensor(22.0, device=device, requires_grad=True)
for step in range(101):
    loss = loss_at(weight, bias)                     # forward
    loss.backward()                                  # backward
    if step % 20 == 0:
        print(f"step {step:3}   loss {loss.item():6.2f}")
    with torch.no_grad():
        weight -= learning_rate * weight.grad        # step
        bias -= learning_rate * bias.grad
    weight.grad, bias.grad = None, None              # empty the letterboxes


# %% [markdown]
# For the pictures and the experiments that follow, the same loop once more as a function that takes down its path.
# Mind the last line of the loop: it empties the letterboxes by multiplying them with 0. We will abuse that in a minute.

# %%
def descend(rate, steps=100, keep=0.0):
    """Walk down from the poor line: the path [steps + 1, 2] and the losses along it."""
    line = torch.tensor([-4.0, 22.0], device=device, requires_grad=True)   # [2]
    path, losses = [], []
    for _ in range(steps + 1):
        loss = loss_at(line[0], line[1])
        path.append(line.tolist())
        losses.append(loss.item())
        loss.backward()
        with torch.no_grad():
            line -= rate * line.grad
            line.grad *= keep
    return torch.tensor(path), losses


path, losses = descend(0.05)
assert math.isclose(path[-1, 0].item(), weight.item(), rel_tol=1e-2)


# %%
def draw_valley(ax):
    """Lines of equal loss over weight and bias, every line computed by broadcasting."""
    w = torch.linspace(-7, 11, 91, device=device)[:, None, None]     # [91, 1, 1]
    b = torch.linspace(18, 36, 91, device=device)[:, None]           #    [91, 1]
    heights = loss_at(w, b)                                          # [91, 91]
    ax.contour(w.cpu().flatten(), b.cpu().flatten(), heights.T.cpu(),
               levels=[8, 15, 30, 50, 80, 120, 180, 260], colors="silver",
               linewidths=1)
    ax.set(xlabel="weight (°C per chirp per second)", ylabel="bias (°C)",
           aspect="equal", xticks=range(-5, 11, 5), yticks=range(20, 36, 5))


# %%
fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4))
left.plot(losses)
left.set(xlabel="step", ylabel="loss (°C²)", title="The loss falls ...", ylim=0)
draw_valley(right)
right.plot(*path.T, ".-", color=PALETTE[1], linewidth=1)
right.plot(*path[0], "o", color="black")
right.set(title="... because we walk downhill")
plt.show()
assert all(losses[i + 1] <= losses[i] + 1e-4 for i in range(100))

# %% [markdown]
# On the right is the hillside of this lesson, seen from above, as on a hiking map: every grey line joins places of
# equal loss. The walker starts at the black dot, crosses the lines at right angles (that is the steepest way down), and
# takes smaller and smaller steps as the ground gets flatter. Nobody told it to slow down. The gradient did.
#
# Does it stop in the right place? For a line there is an exact answer, the method of least squares, to compare with.
# And then we have our thermometer.

# %%
table = torch.stack([x, torch.ones_like(x)], dim=1)                       # [15, 2]
exact = torch.linalg.lstsq(table, y[:, None]).solution[:, 0]              # [2]
print(f"walked to    weight {weight.item():.2f}, bias {bias.item():.2f}")
print(f"least squares weight {exact[0].item():.2f}, bias {exact[1].item():.2f}")
assert torch.allclose(torch.stack([weight, bias]), exact, rtol=1e-2)

# %%
fig, ax = plt.subplots()
ax.scatter(chirps.cpu(), y.cpu(), color=PALETTE[0])
with torch.no_grad():
    ends = torch.tensor([14.0, 20.4], device=device)                      # [2]
    line = weight * (ends - chirps.mean()) + bias                         # [2]
ax.plot(ends.cpu(), line.cpu(), color=PALETTE[1])
ax.set(xlabel="chirps per second", ylabel="temperature (°C)",
       title=f"One chirp a second more means {weight.item():.1f} °C more")
plt.show()

# %% [markdown]
# ## Break it on purpose: legs too long
#
# If small steps lead down slowly, larger ones should lead down faster. Up to a point.
#
# > **Predict.** Rates of 0.05, 0.2, 0.36 and 0.38. Which is fastest? Which never arrives?

# %%
low = loss_at(*exact).item()                    # the lowest loss there is
fig, ax = plt.subplots()
for rate in (0.05, 0.2, 0.36, 0.38):
    height = [max(loss - low, 0) for loss in descend(rate, steps=40)[1]]
    ax.plot([h if h > 1e-4 else math.nan for h in height], label=f"rate {rate}")
    print(f"rate {rate}: after 40 steps {height[-1]:.3f} above the lowest loss")
ax.set(yscale="log", xlabel="step", ylabel="loss above the lowest (°C²)",
       title="Faster and faster, until it climbs instead")
label_lines(ax)
plt.show()


# %%
def height_after(rate, steps=40):
    """How far above the lowest loss the walk ends."""
    return descend(rate, steps)[1][-1] - low


assert height_after(0.2) < height_after(0.05) < height_after(0.36)
assert height_after(0.38) > height_after(0.38, steps=0)

# %% [markdown]
# **What happened.** Four times the rate was much faster. But 0.36 is slower than even the smallest rate, and with 0.38
# the loss, after one last good step for the bias, *climbs*, step after step, for ever. There is a sharp border between
# the two, and you can work it out. Along the weight our valley is a parabola, `c * distance²`, with slope `2 * c *
# distance`. A step makes
#
# ```
# new distance = distance - rate * 2 * c * distance = (1 - 2 * c * rate) * distance
# ```
#
# That bracket decides everything. Between 0 and 1 we close in. Below 0 we overshoot the bottom and land on the opposite
# slope. Below -1 we land *further away* than we were. That happens as soon as the rate exceeds `1 / c`:

# %%
c = (x**2).mean()
print(f"the border: {1 / c.item():.3f}")
assert 0.36 < 1 / c.item() < 0.38

# %% [markdown]
# Steep valleys need small steps; and a valley that is steep in one direction and shallow in another has to be crossed
# at the pace of the steep one. That is the trouble with which most of the optimisers of later days deal.
#
# ### Exercise: a faster rate ★☆☆
#
# Find a learning rate with which the walk comes within 0.001 of the lowest loss in only 8 steps. Vary the rate and look
# at `height_after(rate, steps=8)`, by hand or in a loop. (The rate 0.2 does not quite make it.)

# %%
print(f"rate 0.2: {height_after(0.2, steps=8):.4f} above the lowest loss")
assert height_after(0.2, steps=8) > 0.001

faster_rate = ...  # a number

check("day01.faster_rate", faster_rate)

# %% [markdown]
# ## Break it on purpose: forget to empty the letterboxes
#
# `keep=1.0` leaves the gradient where it is, so every step uses the sum of *all* gradients so far. A small rate, 100
# steps, nothing else has changed.
#
# > **Predict.** Will it explode, stop in the wrong place, or do something else?

# %%
clean_path, clean = descend(0.05)
wild_path, wild = descend(0.05, keep=1.0)

fig, (left, right) = plt.subplots(1, 2, figsize=(7, 3.4))
left.plot(clean, label="emptied")
left.plot(wild, label="forgotten")
left.set(xlabel="step", ylabel="loss (°C²)", title="It never settles ...", ylim=0)
label_lines(left)
draw_valley(right)
right.plot(*wild_path.T, color=PALETTE[1], linewidth=1)
right.plot(*wild_path[0], "o", color="black")
right.set(title="... but swings on and on")
plt.show()
assert max(wild[-30:]) > 0.5 * wild[0] and clean[-1] < low + 0.1


# %% [markdown]
# **What happened.** Neither. It swings through the valley and up the other side, about as high as it began, and
# back, like a marble in a bowl that knows no friction. This is no accident: what is added up at each step is a *speed*.
# The slope pushes, the speed remembers every push, and nothing ever slows the marble down. If your loss goes up and
# down in long waves, look for the missing `zero_grad`.
#
# A marble without friction suggests a mischievous experiment. Don't forget everything, and don't keep everything. Keep
# 60 percent:

# %%
def steps_needed(keep, close=0.01):
    """Steps until the loss comes within `close` of the lowest and stays there."""
    losses = descend(0.05, keep=keep)[1]
    return max(i for i, loss in enumerate(losses) if loss - low > close) + 1


print("letterboxes emptied:   ", steps_needed(keep=0.0), "steps")
print("60 percent of them kept:", steps_needed(keep=0.6), "steps")
assert steps_needed(keep=0.6) < steps_needed(keep=0.0)

# %% [markdown]
# The bug, with a little friction, beats the correct program. Polyak described it in 1964, as a heavy ball; today it is
# called **momentum**. It is one of the two ideas inside Adam, which you will use from day 4 on and take apart on day 6.
#
# ## Break it on purpose: change what the trail remembers
#
# One more error that everybody meets. `exp` has a curious property: its slope is its own value. So for the way back it
# keeps its *result*. And then somebody changes that result in place.
#
# > **Predict.** Will the slope come out of the old values, of the changed ones, or not at all?

# %%
z = torch.tensor([0.0, 1.0], requires_grad=True)     # [2]
grown = z.exp()                                      # [2]
grown += 1                                           # in place: the same memory
try:
    grown.sum().backward()
except RuntimeError as error:
    read_aloud(error)

# %% [markdown]
# **What happened.** Not at all. Read the message slowly: a tensor that the gradient computation needs was modified in
# place; it is an output of `exp`; it has been changed once ("version 1") since it was kept ("version 0"). PyTorch
# counts the changes, and would rather stop than hand you a wrong gradient. Had the line been `grown = grown + 1`, with
# a new tensor for the result, all would be well:

# %%
grown = z.exp()
grown = grown + 1
grown.sum().backward()
assert torch.allclose(z.grad, z.exp())
print([round(slope, 3) for slope in z.grad.tolist()])

# %% [markdown]
# ## Recap
#
# - **Shapes.** Read from the right; sizes are equal or 1. A column against a row makes a table, without an error: a
#   loss computed from `[N, 1]` and `[N]` is the one to watch for.
# - **The way back.** Every result remembers what it was made from and with which local slopes. Walking back in order,
#   multiplying along the trail and adding where trails meet, gives all slopes at once. You built it, and it agreed with
#   PyTorch.
# - **Letterboxes.** Gradients add up until you empty them. That gives you big batches on small machines, and, when
#   forgotten, a marble that never rests.
# - **The step.** `weight = weight - learning_rate * gradient`, under `no_grad`, with legs neither too short nor too
#   long.
#
# ## What to try next
#
# - Use `chirps` in place of `x` in `loss_at`, and look for a learning rate that works. Why is the border so low now?
#   (The formula with `c` tells you. Day 5 comes back to it under the name of *normalisation*.)
# - Vary `keep` between 0 and 1. Which is the best friction for this valley?
# - Give `Value` a `relu` and train a network of two neurons with your own engine.
#
# ## References
#
# - G. W. Pierce, *The Songs of Insects*, Harvard University Press, 1948: the measurements used here. A. E. Dolbear
#   noticed in 1897 ("The cricket as a thermometer", *The American Naturalist* 31) that one can read the temperature off
#   a cricket.
# - D. E. Rumelhart, G. E. Hinton, R. J. Williams, "Learning representations by back-propagating errors", *Nature* 323,
#   1986: showed that backpropagation makes hidden neurons find useful features by themselves. S. Linnainmaa had
#   published the algorithm in 1970, for tracking rounding errors.
# - B. T. Polyak, "Some methods of speeding up the convergence of iteration methods", 1964: the marble with friction.
# - A. Karpathy, *micrograd*, 2020: the small engine that inspired this lesson's.
# - A. G. Baydin et al., "Automatic differentiation in machine learning: a survey", *JMLR* 18, 2018: everything about
#   the way back, and its mirror image, the way forward.
#
# [Day 2: can arrays alone learn? →](day02_numpy_network.ipynb)
