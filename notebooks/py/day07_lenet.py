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
# # Day 7: why look at an image through a small window?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 4](day04_layers_modules.ipynb),
# [day 5](day05_data.ipynb) and [day 6](day06_mlp_mnist.ipynb).*
#
# Yesterday's network read new digits with ease. Move each of them three pixels to the right, which you would hardly
# notice, and see what is left of that. The cure is forty years old: let the network look through a small window, and
# use the same window everywhere.
#
# **By the end you can**
#
# - compute a convolution by hand, and say what padding, stride and pooling do to a shape;
# - build LeNet, make it take images of other sizes, and look at what its filters have learned;
# - compare two networks fairly: at equal parameters, on several seeds, under a change that neither was trained for;
# - explain why cross-entropy replaced squared error for classification.
#
# [← Day 6: how does a network learn to read digits?](day06_mlp_mnist.ipynb) ·
# [Day 8: what should a mistake cost? →](day08_losses.ipynb)

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images, make_splits
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP, count_parameters
from nnlab_helpers.plots import PALETTE, label_lines, plot_band, plot_gradient_flow
from nnlab_helpers.plots import show_images, use_style
from nnlab_helpers.train import evaluate, fit

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Three pixels
#
# To keep today quick we train on 2,000 digits only, and compare on 1,000 others. As we shall choose between designs,
# these are validation digits: the test set stays closed (day 5). All get a border of two black pixels, which makes them
# 32 x 32: the size for which LeNet was built.

# %%
digits = load_images("mnist", "train").pad(2)  # [60000, 1, 32, 32]
chosen = make_splits(digits, train=2_000, val=1_000, test=0, seed=0)
common = {"normalize": Normalize.from_images(digits, chosen.train), "device": device}
val_digits = digits.take(chosen.val)
val_x, val_y = next(iter(TensorLoader(val_digits, batch_size=1_000, **common)))
print("validation images:", list(val_x.shape), " labels:", list(val_y.shape))


# %% [markdown]
# `shifted` moves a batch to the right. What falls off on one side comes in on the other; as the border is black, that
# is hardly any ink.

# %%
def shifted(x, pixels):
    """Images [B, C, H, W], moved `pixels` to the right."""
    return x.roll(pixels, dims=3)


view = torch.cat([shifted(val_x[:5], pixels) for pixels in (0, 3, 6)])
ink = val_digits.images.float()
assert shifted(ink, 7)[..., :7].sum() < 0.02 * ink.sum()
show_images(view, [f"{p} pixels" for p in (0, 3, 6) for _ in range(5)], columns=5,
            title="You read all three rows alike", size=0.9)
plt.show()


# %% [markdown]
# First an MLP like yesterday's, smaller. It is trained on digits that sit in the middle, and then shown digits that do
# not.

# %%
def train(model, seed, loss=F.cross_entropy, epochs=3):
    """Train `model` on the 2,000 digits; returns it."""
    model.to(memory_format=torch.channels_last)  # the same numbers, faster on a CPU
    loader = TensorLoader(
        digits, chosen.train, batch_size=50, shuffle=True, seed=seed, **common
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    fit(model, loader, epochs=epochs, optimizer=optimizer, loss=loss, device=device)
    return model


@torch.no_grad()
def accuracy_at(model, pixels):
    """Share of the 1,000 digits that `model` reads, each moved by `pixels`."""
    model.eval()
    guess = model(shifted(val_x, pixels)).argmax(dim=1)  # [1000]
    return (guess == val_y).float().mean().item()


# %% [markdown]
# > **Predict.** Where it is not moved, it will read about nine digits in ten. How many at 3 pixels? At 6?

# %% tolerance={"rtol": 0.03}
SHIFTS = range(0, 8)
seed_everything(0)
mlps = [train(MLP(32 * 32, (58,), 10).to(device), seed) for seed in range(3)]
mlp_curve = torch.tensor([[accuracy_at(m, s) for s in SHIFTS] for m in mlps])  # [3, 8]
for s in (0, 3, 6):
    print(f"moved by {s} pixels: {mlp_curve[:, s].mean():.1%}")
assert (mlp_curve[:, 3] < mlp_curve[:, 0] - 0.15).all(), "three pixels no longer hurt"
assert (mlp_curve[:, 6] < 0.5).all()


# %% [markdown]
# **What happened.** To you nothing changed. To the MLP everything did: each of its weights belongs to one pixel, and
# what it has learned about the strokes in one place says nothing about the same strokes elsewhere. It would have to
# learn every digit again at every position.

# %% [markdown]
# ## A window, by hand
#
# Take a small square of weights, the **kernel**. Lay it on the image, multiply what lies on top of each other, and add
# up: one number. Move it on by one pixel and do it again. The numbers form a new image, a **feature map**: it is large
# where the image looks like the kernel.

# %%
def convolve(image, kernel):
    """Slide `kernel` [k, k] over `image` [H, W]; returns [H - k + 1, W - k + 1]."""
    k = len(kernel)
    out = torch.zeros(image.shape[0] - k + 1, image.shape[1] - k + 1)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = (image[i : i + k, j : j + k] * kernel).sum()
    return out


image = torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1.0]])
edge = torch.tensor([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1.0]])
print(convolve(image, edge))
by_torch = F.conv2d(image[None, None], edge[None, None])[0, 0]
assert torch.equal(convolve(image, edge), by_torch)

# %% [markdown]
# The edge runs through both columns of the result. PyTorch agrees, and so it does for any image and kernel. (A
# mathematician would turn the kernel round before sliding it and would call ours a cross-correlation. A network learns
# its kernels anyway, so nobody turns them.)

# %%
seven = (val_digits.labels == 7).nonzero()[0].item()  # the first 7
digit = val_digits.images[seven, 0].float() / 255  # [32, 32]
kernels = {"left to right": edge, "top to bottom": edge.T, "blur": torch.ones(3, 3) / 9}
pictures = {"the digit": digit}
pictures |= {name: convolve(digit, kernel) for name, kernel in kernels.items()}

fig, axes = plt.subplots(1, 4, figsize=(7, 2.2))
for ax, (name, picture) in zip(axes, pictures.items(), strict=True):
    span = picture.abs().max()
    ax.imshow(picture, cmap="RdBu_r", vmin=-span, vmax=span)
    ax.set_title(name, loc="center", fontsize=11, fontweight="normal")
    ax.axis("off")
fig.suptitle("A kernel answers wherever it finds what it looks like", weight="bold")
plt.show()

# %% [markdown]
# Red is positive, blue is negative. Nine weights have looked at the whole image, and the same nine weights would have
# found the stroke anywhere:
#
# > **Predict.** Move the digit first and convolve then, or convolve first and move the map then. Is there a difference?
# > (The first three columns are left out: there `roll` brings in the other side.)

# %%
first_moved = convolve(digit.roll(3, dims=1), edge)
then_moved = convolve(digit, edge).roll(3, dims=1)
assert torch.equal(first_moved[:, 3:], then_moved[:, 3:])
print("largest difference:", (first_moved - then_moved)[:, 3:].abs().max().item())


# %% [markdown]
# **What happened.** None. Convolution and shift can be exchanged, a property called **equivariance**: a moved digit
# gives a moved map, not a different one. No training was needed for that. It is built in.
#
# ### Exercise: a convolution without loops ★★★
#
# Our `convolve` walks through the image in two Python loops, far too slow for training. Write `conv2d(images, kernels)`
# for images `[B, C, H, W]` and kernels `[K, C, k, k]`, which returns the feature maps `[B, K, H - k + 1, W - k + 1]`:
# each map adds up over all channels. No loop, no comprehension, and no convolution of PyTorch's. `x.unfold(dim, size,
# step)` is your friend: `torch.arange(4).unfold(0, 3, 1)` gives the windows `[[0, 1, 2], [1, 2, 3]]`: what is in a
# window becomes a new axis, the last one. Then multiply by the kernels, with axes of size 1 where the two do not share
# one, and `sum(dim=...)` over what must go; or say it in one line with `torch.einsum`. `hint("day07.conv2d")` gives
# more.

# %%
def conv2d(images, kernels):
    """Feature maps of `images` [B, C, H, W] under `kernels` [K, C, k, k]."""
    ...  # your code here


check("day07.conv2d", conv2d)

# %% [markdown]
# ## Padding, stride, pooling
#
# A window of $k$ pixels fits into $n$ pixels only $n - k + 1$ times, so every convolution eats the border. **Padding**
# puts $p$ rows of zeros around the image first. **Stride** $s$ moves the window by $s$ pixels at a time. Together
#
# $$n' = \left\lfloor \frac{n + 2p - k}{s} \right\rfloor + 1 .$$

# %%
rows = []
for k, p, s in [(3, 0, 1), (3, 1, 1), (5, 2, 1), (5, 0, 2), (2, 0, 2)]:
    layer = nn.Conv2d(1, 1, kernel_size=k, padding=p, stride=s)
    n = layer(torch.zeros(1, 1, 32, 32)).shape[-1]
    assert n == (32 + 2 * p - k) // s + 1
    rows.append({"window": k, "padding": p, "stride": s, "32 pixels become": n})
pd.DataFrame(rows).set_index("window")

# %% [markdown]
# **Pooling** slides a window too, but it has no weights: max pooling keeps the largest number in each window. With a
# window and a stride of 2 it halves both sides, and it forgets where in those four pixels the largest one was.

# %%
numbers = torch.tensor([[1, 3, 0, 2], [4, 2, 1, 0], [0, 1, 9, 5], [2, 0, 6, 7.0]])
pooled = numbers.unfold(0, 2, 2).unfold(1, 2, 2).amax(dim=(2, 3))  # [2, 2]
print(pooled)
assert torch.equal(pooled, F.max_pool2d(numbers[None, None], 2)[0, 0])


# %% [markdown]
# ### Exercise: what size comes out? ★☆☆
#
# Write the formula above as `output_size(n, window, padding=0, stride=1)`. For 28 pixels, a window of 5 and nothing
# else it gives 24. If the window does not fit even into the padded image, raise a `ValueError`; PyTorch would complain
# too.

# %%
def output_size(n, window, padding=0, stride=1):
    """Pixels that come out when `n` go in."""
    ...  # your code here


check("day07.output_size", output_size)


# %% [markdown]
# ## LeNet
#
# Two rounds of *convolve, bend, pool*, then a small MLP on what is left. The first layer has 6 kernels of 5 x 5; each
# of the 16 kernels in the second looks at all 6 maps at once.

# %%
class LeNet(nn.Module):
    """LeNet-5 for images [B, 1, 32, 32]; gives logits [B, 10]."""

    def __init__(self, bend=nn.ReLU):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)
        self.bend = bend()

    def forward(self, x):
        x = F.max_pool2d(self.bend(self.conv1(x)), 2)  # [B, 6, 14, 14]
        x = F.max_pool2d(self.bend(self.conv2(x)), 2)  # [B, 16, 5, 5]
        x = self.bend(self.fc1(x.flatten(1)))  # [B, 120]
        return self.fc3(self.bend(self.fc2(x)))  # [B, 10]


# %% [markdown]
# The original of 1998 bent with tanh, pooled by averages, and let each kernel of the second layer see only some of the
# six maps; this is its usual modern form. Where do its parameters sit?

# %%
sizes = {name: count_parameters(layer) for name, layer in LeNet().named_children()}
print({name: n for name, n in sizes.items() if n})
convolutions = (sizes["conv1"] + sizes["conv2"]) / sum(sizes.values())
print(f"in all {sum(sizes.values())}; the convolutions hold {convolutions:.1%} of them")
assert convolutions < 0.05

# %% [markdown]
# The part that does the seeing is almost free. That is what **sharing weights** means: 6 kernels of 25 weights and a
# bias each serve all 784 positions of the first map. A linear layer of that size, from 32 x 32 pixels to 6 x 28 x 28
# numbers, would need nearly five million.

# %% [markdown]
# ### Other sizes
#
# A convolution does not care how large the image is. The first linear layer does:

# %%
try:
    LeNet()(torch.zeros(1, 1, 28, 28))
except RuntimeError as error:
    print("28 x 28:", error)

# %% [markdown]
# 28 pixels become 24, 12, 8, 4: so 16 x 4 x 4 = 256 numbers arrive where 400 were expected. There are three cures: give
# the image a border (`padding=2` in the first layer, or `pad(2)` as we did above), compute the right number for the
# linear layer, or pool to a fixed size.

# %%
lenet28 = LeNet()
lenet28.conv1 = nn.Conv2d(1, 6, kernel_size=5, padding=2)  # 28 stays 28
print("28 x 28, padded:", list(lenet28(torch.zeros(3, 1, 28, 28)).shape))


# %% [markdown]
# ### Exercise: LeNet for 64 x 64 ★★☆
#
# Write `LeNet64`, a LeNet for images `[B, 1, 64, 64]` that still ends in logits `[B, 10]`. Keep its two convolutions (6
# and 16 kernels of 5 x 5, no padding), its two poolings and no more, and linear layers of 120, 84 and 10 units, of
# which the first takes whatever arrives.

# %%
class LeNet64(nn.Module):
    """LeNet for images [B, 1, 64, 64]; gives logits [B, 10]."""

    def __init__(self):
        super().__init__()
        ...  # your layers here

    def forward(self, x):
        ...  # your code here


check("day07.lenet64", LeNet64)

# %% [markdown]
# ## The same number of parameters
#
# A fair fight: the MLP above got 58 hidden units, so that it has about as many parameters as LeNet.

# %%
lenet_size, mlp_size = count_parameters(LeNet()), count_parameters(mlps[0])
print(f"LeNet {lenet_size:,} parameters, MLP {mlp_size:,}")
assert abs(lenet_size - mlp_size) / lenet_size < 0.05

# %% [markdown]
# > **Predict.** The same 2,000 digits, the same three epochs, three seeds each. Who reads more digits in their usual
# > place? And who loses more when they move? Remember that LeNet ends in linear layers too.

# %% tolerance={"atol": 2.5, "rtol": 0.03}
seed_everything(0)
lenets = [train(LeNet().to(device), seed) for seed in range(3)]
lenet_curve = torch.tensor([[accuracy_at(m, s) for s in SHIFTS] for m in lenets])
for s in (0, 3):
    mlp, lenet = mlp_curve[:, s].mean(), lenet_curve[:, s].mean()
    print(f"moved by {s} pixels: MLP {mlp:.1%}   LeNet {lenet:.1%}")
assert lenet_curve[:, 0].min() > mlp_curve[:, 0].max(), "every LeNet beats every MLP"
assert lenet_curve[:, 3].mean() > mlp_curve[:, 3].mean() + 0.05

# %%
fig, ax = plt.subplots()
plot_band(ax, SHIFTS, 100 * lenet_curve, "LeNet")
plot_band(ax, SHIFTS, 100 * mlp_curve, "MLP")
ax.set(xlabel="digits moved to the right by (pixels)", ylabel="validation accuracy (%)")
ax.set_ylim(0, 100)
ax.set_title("At equal size LeNet reads more, and bears more")
label_lines(ax)
later = lenet_curve.mean(0)[2:6] - mlp_curve.mean(0)[1:5]  # LeNet one pixel further on
assert later.abs().max() < 0.15
plt.show()

# %% [markdown]
# **What happened.** LeNet reads more digits in their usual place, in every seed. Under a shift its curve is roughly the
# MLP's, one pixel later: better, and no miracle. Its convolutions move along with the digit, and each pooling swallows
# a shift of a pixel or so; the linear layers behind them are tied to places like any MLP. Equivariance carries through
# the window, not through `flatten`. To make a network bear larger shifts, show it moved digits in training:
# augmentation, as on day 5.

# %% [markdown]
# ## What has it learned to look for?
#
# The six kernels of the first layer, and what each makes of one digit.

# %%
lenet = lenets[0]
with torch.no_grad():
    first_maps = lenet.bend(lenet.conv1(val_x[[seven]]))[0].cpu()  # [6, 28, 28]
filters = lenet.conv1.weight.detach()[:, 0].cpu()  # [6, 5, 5]
seed_everything(0)
untrained = LeNet().conv1.weight.detach()[:, 0]  # what lenets[0] started from

# %%
fig, axes = plt.subplots(3, 6, figsize=(7, 3.9))
reach = filters.abs().max()
for column in range(6):
    for ax, kernel in zip(axes[:, column], (untrained[column], filters[column])):
        ax.imshow(kernel, cmap="RdBu_r", vmin=-reach, vmax=reach)
    axes[2, column].imshow(first_maps[column])
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
for ax, row in zip(axes[:, 0], ("before", "after", "map"), strict=True):
    ax.set_ylabel(row)
fig.suptitle("Six kernels before and after training, and their maps", weight="bold")
plt.show()

# %% [markdown]
# After so short a training most of each kernel is still the noise it began with. How much of it is a plain slope, light
# on one side and dark on the other, as in the kernels that we made by hand?

# %% tolerance={"rtol": 0.12}
yy, xx = torch.meshgrid(torch.arange(5.0) - 2, torch.arange(5.0) - 2, indexing="ij")
slopes = torch.stack([yy.flatten(), xx.flatten()]) / 50**0.5  # [2, 25], orthonormal


def slope_share(kernels):
    """Share of each kernel's energy that is a light-to-dark slope, in any direction."""
    flat = kernels.flatten(1)
    return (flat @ slopes.T).square().sum(1) / flat.square().sum(1)


before, after = slope_share(untrained).mean(), slope_share(filters).mean()
print(f"share of slope: {before:.2f} before training, {after:.2f} after")
assert after > before

# %% [markdown]
# Some have grown a red side and a blue side that they did not have, and their maps light up along one flank of a stroke
# and stay dark along the other. Nobody told them to look for edges. Networks for photographs begin the same way, and so
# does the visual cortex of a cat (Hubel and Wiesel, 1962).

# %% [markdown]
# ## How does the gradient travel?
#
# Day 3 measured how gradients shrink on their way back through many layers. LeNet has five layers with weights. Here is
# the mean size of the gradient in each, for one batch of an untrained network.

# %%
seed_everything(0)
batch_x, batch_y = val_x[:200], val_y[:200]
networks = {"ReLU": LeNet().to(device), "sigmoid": LeNet(nn.Sigmoid).to(device)}
fig, ax = plt.subplots()
for (name, network), colour in zip(networks.items(), PALETTE, strict=False):
    F.cross_entropy(network(batch_x), batch_y).backward()
    plot_gradient_flow(network, ax=ax)
    ax.lines[-1].set(label=name, color=colour)
ax.set_title("With sigmoids the first layers hear next to nothing")
label_lines(ax)
first = {name: n.conv1.weight.grad.abs().mean().item() for name, n in networks.items()}
assert first["ReLU"] > 10 * first["sigmoid"], "the title no longer holds"
final = {name: n.fc3.weight.grad.abs().mean().item() for name, n in networks.items()}
assert final["ReLU"] < final["sigmoid"], "the next paragraph no longer holds"
plt.show()


# %% [markdown]
# **What happened.** Read the lines from right to left, as the gradient travels. At the last layer sigmoids have even
# the *larger* gradient: a weight's gradient is its input times what comes back, and what sigmoids send forward lies
# around 0.5, far more than an untrained ReLU layer does. But with each layer further back comes a factor of at most
# 1/4, the sigmoid's slope (day 3), and next to nothing reaches the first.

# %% [markdown]
# ### Exercise: draw the gradient flow ★★☆
#
# `gradient_flow(model, x, y)` runs one batch through the model with cross-entropy and returns what the picture above
# needs: a list of pairs `(name, size)`, one for each parameter with **more than one dimension** (weights, not biases),
# in the order of `named_parameters()`. The size is the mean of the gradient's absolute value, as a float. Gradients
# left over from before must not count.

# %%
def gradient_flow(model, x, y):
    """[(name, mean absolute gradient), ...] for each weight of `model` on the batch."""
    ...  # your code here


check("day07.gradient_flow", gradient_flow)

# %% [markdown]
# ## Squared error or cross-entropy?
#
# LeNet can also be trained to *hit targets*: 1 for the right digit, 0 for the nine others, and the squared error
# between these and its softmax. For a long time that was the habit. Look at what each loss says to a network that is
# wrong, for two classes and a truth of class 0.

# %%
z = torch.linspace(-8, 8, 201)
pairs = torch.stack([z, -z], dim=1).requires_grad_()  # logits [201, 2]
truth = torch.zeros(201, dtype=torch.int64)
(by_ce,) = torch.autograd.grad(F.cross_entropy(pairs, truth, reduction="sum"), pairs)
squares = (pairs.softmax(dim=1) - F.one_hot(truth, 2)).square().sum()
(by_mse,) = torch.autograd.grad(squares, pairs)

# %%
fig, ax = plt.subplots()
ax.plot(-z, by_ce[:, 0].abs(), label="cross-entropy")
ax.plot(-z, by_mse[:, 0].abs(), label="squared error")
ax.set(xlabel="logit against the truth (right of 0: wrong, and ever surer of it)")
ax.set(ylabel="size of the gradient", ylim=(-0.05, 1.1))
ax.set_title("Squared error falls silent where it is most wrong")
label_lines(ax)
assert by_mse[0, 0].abs() < 0.01 < 0.9 < by_ce[0, 0].abs()
plt.show()


# %% [markdown]
# A network that is sure and wrong gets the full gradient from cross-entropy, and nearly none from squared error: the
# softmax is flat out there, the same trap as the sigmoid's on day 3. The logarithm in cross-entropy undoes the
# exponential in softmax, and what remains is $p - 1$ for the true class.
#
# > **Predict.** Train the same LeNets with squared error. How far do they get in the same three epochs?

# %%
def squared_error(logits, y):
    """Squared distance of the softmax from the one-hot target, mean over the batch."""
    return (logits.softmax(dim=1) - F.one_hot(y, 10)).square().sum(dim=1).mean()


# %% tolerance={"rtol": 0.03}
seed_everything(0)
squared = [train(LeNet().to(device), seed, loss=squared_error) for seed in range(3)]
squared_at = torch.tensor([[accuracy_at(m, s) for s in (0, 3, 6)] for m in squared])
by_entropy, by_squares = lenet_curve[:, 0], squared_at[:, 0]  # [3] each
print(f"cross-entropy {by_entropy.mean():.1%}   squared error {by_squares.mean():.1%}")
for name, runs in (("cross-entropy", by_entropy), ("squared error", by_squares)):
    print(f"{name}: seeds from {runs.min():.1%} to {runs.max():.1%}")
assert (by_entropy.mean() - by_squares.mean()).abs() < 0.05

# %% [markdown]
# **What happened.** Squared error gets there as well. Compare the gap between the two means with the spread of the
# seeds before you call one of them better: on digits, with a healthy start, both losses speak, because an untrained
# softmax is still soft. The difference in the figure matters where a network is sure of the wrong thing, and where the
# gradient is weak already, as in the sigmoid LeNet from above.

# %% [markdown]
# ## Break it on purpose: everything that was usual in 1990
#
# So far Adam did the steps. Back to plain gradient descent, with a rate at which ReLU and cross-entropy learn well, and
# for two epochs.
#
# > **Predict.** Now take sigmoids, or squared error, or both. Which of the four still learn, and how fast?

# %%
reached = {}
for bend in (nn.ReLU, nn.Sigmoid):
    for loss in (F.cross_entropy, squared_error):
        found = []
        for seed in range(2):
            seed_everything(seed)
            plain = LeNet(bend).to(device, memory_format=torch.channels_last)
            loader = TensorLoader(
                digits, chosen.train, batch_size=50, shuffle=True, seed=seed, **common
            )
            sgd = torch.optim.SGD(plain.parameters(), lr=0.15, fused=True)
            fit(plain, loader, epochs=2, optimizer=sgd, loss=loss, device=device)
            found.append(accuracy_at(plain, 0))
        reached[bend.__name__, loss.__name__] = found
        mean = sum(found) / 2
        print(f"{bend.__name__:7} {loss.__name__:13}  reads more than a quarter:",
              f"{mean > 0.25!s:5}   more than five eighths:", mean > 0.625)
healthy, slow, *silenced = reached.values()
assert sum(healthy) / 2 > 0.625 > sum(slow) / 2 > 0.25
assert max(map(max, silenced)) < 0.25


# %% [markdown]
# **What happened.** Sigmoids silence it, whatever the loss: two epochs on, it still guesses. Squared error alone only
# holds it up. (`F.mse_loss` would have gone further: it averages over the ten outputs too, which makes every gradient
# ten times smaller.) Plain gradient descent takes the gradient at its word. Adam divides by the gradient's size, and so
# it had hidden all this further up. LeCun's own network of 1989 learned with tanh and squared error all the same: its
# weights and inputs were scaled with great care, and its steps with an estimate of the curvature. Today's defaults
# forgive more.

# %% [markdown]
# ### Exercise: switch the loss, and the target with it ★★☆
#
# A data pipeline delivers one-hot targets `[B, C]` (floats, a single 1 in each row), because somebody trained with
# squared error. Write `switched_loss(logits, one_hot)`: the mean cross-entropy of the logits `[B, C]` for those
# targets. For logits `[[0., 0.]]` and target `[[0., 1.]]` it gives $\log 2$. It must survive logits as large as 1,000.

# %%
def switched_loss(logits, one_hot):
    """Mean cross-entropy of `logits` [B, C], given one-hot targets [B, C]."""
    ...  # your code here


check("day07.switched_loss", switched_loss)


# %% [markdown]
# ### Exercise: compare loss functions ★★☆
#
# Write `compare_losses(logits, labels, losses)`. `losses` is a dictionary from names to functions that take `(logits,
# labels)` and return a single number. Return a dictionary from the same names to a pair of floats: the loss, and the
# **norm** of its gradient with respect to the logits (one number for the whole `[B, C]` tensor). The logits you are
# given may not require a gradient, and must come back untouched: their `.grad` too.

# %%
def compare_losses(logits, labels, losses):
    """{name: (loss, norm of its gradient with respect to the logits)}."""
    ...  # your code here


check("day07.compare_losses", compare_losses)

# %% [markdown]
# ## Recap
#
# - A **convolution** slides one small kernel over the whole image. `n' = floor((n + 2p - k) / s) + 1` says what comes
#   out, and pooling shrinks it without any weights.
# - **LeNet** convolves twice and decides with a small MLP. Only its first linear layer knows the image's size, and
#   nearly all parameters are there; the windows are almost free.
# - **At equal parameters**, on three seeds, it reads more digits than the MLP and bears more shift, though not any
#   shift.
# - **Cross-entropy** keeps speaking where a network is sure and wrong; squared error on a softmax falls silent there.
#
# ### The week in one table
#
# The table fills itself from what ran above.

# %% tolerance={"rtol": 0.1}
sigmoid_share = first["sigmoid"] / first["ReLU"]
runs = {
    "MLP, cross-entropy": (mlp_size, mlp_curve[:, [0, 3, 6]]),
    "LeNet, squared error": (lenet_size, squared_at),
    "LeNet, cross-entropy": (lenet_size, lenet_curve[:, [0, 3, 6]]),
}
rows = []
for name, (size, read) in runs.items():  # read: [3 seeds, 3 shifts]
    shares = dict(zip((0, 3, 6), (100 * read.mean(0)).tolist(), strict=True))
    moved = {f"moved by {s} (%)": share for s, share in shares.items()}
    rows.append({"model": name, "parameters": size} | moved)
table = pd.DataFrame(rows).set_index("model")
table.round(1)

# %% [markdown]
# And one number for each day of the week, measured again in a line or two:

# %%
seed_everything(0)
w = torch.randn(5, dtype=torch.float64, requires_grad=True)
(w**3).sum().backward()
step = 1e-5
numeric = ((w.detach() + step) ** 3 - (w.detach() - step) ** 3) / (2 * step)
gradient_error = ((w.grad - numeric).norm() / w.grad.norm()).item()
start_loss = evaluate(LeNet().to(device), [(batch_x, batch_y)], device=device)["loss"]
small = TensorLoader(digits, chosen.train, batch_size=500, **common)
mean = torch.cat([x for x, _ in small]).mean().item()

# %% tolerance={"rtol": 0.03}
assert gradient_error < 1e-8
kept = (lenet_curve[:, 3].mean() / lenet_curve[:, 0].mean()).item()
week = {
    "1, 2: autograd against finite differences": f"{gradient_error:.0e}",
    "3: first gradient with sigmoids, in % of ReLU's": round(100 * sigmoid_share, 2),
    "4: parameters of LeNet": lenet_size,
    "5: mean pixel after normalising, about 0": round(abs(mean), 1),
    "6: loss before training, about log 10": round(start_loss, 2),
    "7: accuracy that LeNet keeps at 3 pixels (%)": round(100 * kept, 1),
}
pd.Series(week, name="measured today", dtype=object).to_frame()

# %% [markdown]
# ## What to try next
#
# - Train the LeNets with `augment=Shift(3)` in the loader (day 5) and draw the curve again. What does it cost in place?
# - Replace `flatten` by an average over each map (`x.mean(dim=(2, 3))`) and let `fc1` take 16 numbers. Does the curve
#   get flatter?
# - How small can LeNet become before it falls behind the MLP? Halve the number of kernels until it does.
#
# ## References
#
# - Hubel, Wiesel (1962), *Receptive fields, binocular interaction and functional architecture in the cat's visual
#   cortex*: cells that answer to edges of one direction in one place.
# - Fukushima (1980), *Neocognitron*: alternating layers of detectors and pooling, before backpropagation trained them.
# - LeCun, Bottou, Bengio, Haffner (1998), *Gradient-based learning applied to document recognition*: LeNet-5, and the
#   case for shared weights.
# - Golik, Doetsch, Ney (2013), *Cross-entropy vs. squared error training*: from random weights squared error
#   reached no good optimum; as a last polish after cross-entropy it helped a little.
# - Zeiler, Fergus (2014), *Visualizing and understanding convolutional networks*: what filters look for, layer by
#   layer.
