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
# # Day 19: why let the signal skip a layer?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on
# [day 7](day07_lenet.ipynb), [day 15](day15_depth_width.ipynb) and [day 16](day16_init_norm.ipynb).*
#
# Take a network that learns, and put sixteen more layers into it. Is it at least as good? The new layers need only pass
# on what they get. Until 2015 most networks ended at some twenty layers; then came a single plus sign, and they grew to
# a thousand. Today you write that plus, see what it does to a gradient, and meet two relatives: layers that stand side
# by side instead of in a row, and skips that carry a picture around a bottleneck.
#
# **By the end you can**
#
# - say why a deep stack of layers is hard to train even where its gradient has the right size;
# - derive what a skip does to the gradient, and predict what a wrong factor on it does;
# - build a small ResNet and a block of several branches, and count what they cost;
# - build a U-Net, wire its skips to the right sizes, and judge its pictures in decibels.
#
# [← Day 18: how far may you change an image?](day18_augmentation_resolution.ipynb) ·
# [Day 20: can a network read an image like a sentence? →](day20_sequences_attention.ipynb)

# %%
import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.metrics import ssim
from nnlab_helpers.models import count_parameters
from nnlab_helpers.plots import label_lines, plot_band, plot_effects, show_images
from nnlab_helpers.plots import use_style
from nnlab_helpers.sweep import cache_folder, effects, sweep

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first
#
# Deep networks and convolutions are dear, so today's digits are half as large, 14 x 14 pixels. 2,000 are to train on,
# 1,000 others to validate with.

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
small = digits.take(order[:3_000]).resize(14)
pixels, labels = (small.images / 255).to(device), small.labels.to(device)
normalize = Normalize.from_images(small, range(2_000))
train_x, val_x = normalize(pixels).split([2_000, 1_000])  # [2000, 1, 14, 14]
train_y, val_y = labels.split([2_000, 1_000])
show_images(small.images[:10], labels[:10].tolist(), title="Half as large, still clear")
plt.show()


# %% [markdown]
# All classifiers of today are trained by the same few lines and judged by two numbers: the loss on the digits they
# were trained on, and the accuracy on those they were not. `settle` lets the rate fall along a cosine (day 10); the
# networks with convolutions will want that.

# %%
def train(model, steps=40, batch=64, rate=6e-3, settle=False):
    """Train `model` on random batches of the digits; `settle`: the rate falls to 0."""
    model.to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for rows in torch.randint(2_000, (steps, batch)).to(device):
        optimizer.zero_grad()
        F.cross_entropy(model(train_x[rows]), train_y[rows]).backward()
        optimizer.step()
        if settle:
            cosine.step()
    return model.eval()


@torch.no_grad()
def judge(model):
    """Loss on the training digits, and accuracy on the validation digits in percent."""
    right = model(val_x).argmax(1) == val_y
    loss = F.cross_entropy(model(train_x), train_y)
    return {"training_loss": loss.item(), "accuracy": 100 * right.float().mean().item()}


# %% [markdown]
# ## A tower of equal layers
#
# A *tower* is a stack of equal layers, each 32 units wide: a linear map, then layer normalisation (day 16), then a
# ReLU. Call such a layer $f$. The tower can do one thing more: it may keep a part of what entered the layer and add it
# to what comes out, $h \leftarrow \text{keep} \cdot h + f(h)$. For now `keep` is 0, and nothing of that happens.

# %%
class Tower(nn.Module):
    """`depth` equal layers; `keep` times what enters each is added to what leaves."""

    def __init__(self, depth, keep=0.0, norm=True, width=32):
        super().__init__()
        self.keep = keep
        self.first, self.last = nn.Linear(196, width), nn.Linear(width, 10)
        even = nn.LayerNorm(width, elementwise_affine=False) if norm else nn.Identity()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), even, nn.ReLU())
            for _ in range(depth)
        )

    def states(self, x):
        """What enters the first layer, what leaves it, ..., what leaves the last."""
        h = [self.first(x.flatten(1)).relu()]
        for f in self.layers:
            h.append(self.keep * h[-1] + f(h[-1]))
        return h

    def forward(self, x):  # [N, 1, 14, 14] -> [N, 10]
        return self.last(self.states(x)[-1])


# %% [markdown]
# The sweep of day 15 trains towers of three depths, with five seeds each. The depths were chosen so that 40 steps are
# enough to tell them apart.
#
# > **Predict.** The loss on the *training* digits, after 40 steps: which depth has the lowest, and what does the
# > deepest tower reach? Guessing costs $\log 10 \approx 2.3$.

# %% tolerance={"rtol": 0.1}
def run_tower(config, seed):
    return judge(train(Tower(config["depth"], config["keep"])))


cache = cache_folder("day19_towers")
DEPTHS = [2, 6, 18]
plain = sweep(run_tower, {"depth": DEPTHS, "keep": [0.0]}, seeds=range(5), cache=cache,
              n_jobs=1, progress=False)
by_depth = plain.groupby("depth")["training_loss"]
print(by_depth.agg(["mean", "min", "max"]).round(2))
assert by_depth.max()[2] < by_depth.min()[6] and by_depth.max()[6] < by_depth.min()[18]
assert by_depth.min()[18] > 1.8

# %% [markdown]
# **What happened.** Every step deeper made it worse, in every seed; the deepest tower is still close to guessing. And
# these are the digits it trained on, so this is no overfitting (day 17): it does not even get to learn them by heart.
#
# Nor does it lack layers. Leave the normalisation out for a moment: then the deep tower *contains* the shallow one.
# Give sixteen of its layers the identity matrix for weights, so that they return what they get, and the two are the
# same. But "return what you get" is a hard thing to learn for a layer that begins with random weights. He and others
# (2016) found the same in networks for photographs, and called it **degradation**.
#
# ## One plus
#
# Their idea: if passing on is what a new layer should do at first, do not make it learn that. Give it the signal for
# free, and let the layer add only a *change*:
#
# $$h \leftarrow h + f(h) .$$
#
# This is a **residual** layer, and the path of the $h$ that is added is a **skip connection**. In the tower it is
# `keep = 1`. Not a single weight more. What if the layer has nothing to say?

# %%
h = torch.rand(4, 32)
silent = Tower(1).layers[0]
for parameter in silent.parameters():
    nn.init.zeros_(parameter)
print("plain:", silent(h).abs().max().item(), " with the skip, off by:",
      (h + silent(h) - h).abs().max().item())
assert torch.equal(h + silent(h), h) and (silent(h) == 0).all()

# %% [markdown]
# With all its weights at zero a plain layer wipes the signal out, a residual layer leaves it as it was. "Do nothing"
# has moved from a far corner of the weights to their middle.
#
# ## What the plus does to a gradient
#
# Take one unit first. From $y = x + f(x)$ follows
#
# $$\frac{dy}{dx} = 1 + f'(x) .$$
#
# For vectors the 1 becomes the identity matrix, and $f'$ the Jacobian $J$, the table of all slopes $\partial f_i /
# \partial x_j$. A check by autograd:

# %%
f = nn.Sequential(nn.Linear(5, 5), nn.Tanh())
point = torch.randn(5)
jacobian = torch.autograd.functional.jacobian
slopes = jacobian(f, point)  # [5, 5]
with_skip = jacobian(lambda x: x + f(x), point)
torch.testing.assert_close(with_skip, torch.eye(5) + slopes)
print("the Jacobian of x + f(x) is the identity plus that of f")


# %% [markdown]
# Through many layers these factors are multiplied. Plain layers give $J_3 J_2 J_1$: if each shrinks a gradient to a
# third, twenty shrink it to nothing. Residual layers give
#
# $$(1 + J_3)(1 + J_2)(1 + J_1) \;=\; 1 + J_1 + J_2 + J_3 + J_2 J_1 + J_3 J_1 + J_3 J_2 + J_3 J_2 J_1 .$$
#
# Read it as a list of paths. One goes around all layers, three pass through a single one, and only the last passes
# through all. A stack of $n$ layers has $2^n$ such paths (Veit and others, 2016), and whatever the long ones do, the 1
# at the front arrives.
#
# Now measure it, in towers of 18 layers *without* normalisation, as PyTorch initialises them.
#
# > **Predict.** The gradient has size 1 where it leaves the last layer, on its way back. Which power of ten is left at
# > the first layer: in the plain tower, and in the one with skips?

# %%
def gradient_sizes(tower, x=train_x[:200], y=train_y[:200]):
    """Gradient norm at each state, as a share of that at the last: [depth + 1]."""
    states = tower.states(x)
    loss = F.cross_entropy(tower.last(states[-1]), y)
    sizes = torch.stack([g.norm() for g in torch.autograd.grad(loss, states)]).cpu()
    return sizes / sizes[-1]


def untrained(seed, **options):
    """A fresh tower of 18 layers."""
    seed_everything(seed)
    return Tower(18, **options).to(device)


# %% tolerance={"rtol": 0.03}
fig, ax = plt.subplots(figsize=(7, 3.2))
first = {}
for keep, name in ((1.0, "with skips"), (0.0, "plain")):
    sizes = [gradient_sizes(untrained(s, keep=keep, norm=False)) for s in range(3)]
    plot_band(ax, range(19), torch.stack(sizes), name)
    first[name] = torch.stack(sizes)[:, 0]
    print(f"{name:10}: from {first[name].min():.1e} to {first[name].max():.1e}"
          " at the first layer")
ax.set(yscale="log", xlabel="behind layer (a gradient runs from 18 to 0)",
       xticks=range(0, 19, 3))
ax.invert_xaxis()
ax.set_ylabel("gradient (share of the last)")
ax.set_title("The plain tower's first layers hear nothing")
label_lines(ax)
plt.show()
assert first["plain"].max() < 1e-6 and first["with skips"].min() > 3


# %% [markdown]
# **What happened.** Each plain layer takes its share of what is left, and after 18 of them a millionth would be much.
# With skips the gradient arrives. It has even grown, since all those paths add up: a skip keeps a signal from dying,
# and keeps nothing from growing. That is why residual networks still want normalisation.
#
# ### Exercise: the gradient of a stack ★★☆
#
# A stack of layers $h \leftarrow \text{keep} \cdot h + f_k(h)$ has the Jacobians $J_1, J_2, \dots$ of its $f_k$ at the
# states that enter them. Return the Jacobian of the whole stack, output by input.
#
# `stack_jacobian(jacobians, keep=1.0)` gets a list of float tensors `[D, D]`, first layer first (entry $i, j$: how
# output $i$ changes with input $j$), and a number `keep`. It returns a tensor `[D, D]`; the list is never empty. With
# `keep = 1` and the two 1 x 1 Jacobians 0.5 and −0.2 it is $0.8 \cdot 1.5 = 1.2$. Matrices do not commute: mind who
# stands left. Stuck? `hint("day19.stack_jacobian")` gives a nudge, and a stronger one each time.

# %%
def stack_jacobian(jacobians, keep=1.0):
    """Jacobian [D, D] of a stack of layers keep * h + f(h)."""
    ...  # your code here


check("day19.stack_jacobian", stack_jacobian)


# %% [markdown]
# ## Size is not everything
#
# But the towers that failed to learn *were* normalised, and day 16 showed that this keeps gradients alive. So look at
# those: not how large the gradient is, but what it says. Take a digit, and the same digit with a little noise, which
# any reader would read the same. A useful gradient should ask both for nearly the same change. The **cosine** of the
# angle between the two gradients at the first state says how alike they are: 1 for the same direction, 0 for nothing
# in common.
#
# > **Predict.** How large is that cosine, on average over 200 digits, for plain towers of 2, 6 and 18 layers? And with
# > skips?

# %%
def likeness(tower, noise=0.3):
    """Mean cosine of the gradients for 200 digits and for slightly noisy ones."""
    x, directions = train_x[:200], []
    for images in (x, x + noise * torch.randn(x.shape).to(device)):
        states = tower.states(images)
        loss = F.cross_entropy(tower.last(states[-1]), train_y[:200])
        directions += torch.autograd.grad(loss, states[0])
    return F.cosine_similarity(*directions, dim=1).mean().item()


# %% tolerance={"rtol": 0.03}
alike = {}
for keep, name in ((0.0, "plain"), (1.0, "with skips")):
    for depth in DEPTHS:
        found = []
        for seed in range(3):
            seed_everything(seed)
            found.append(likeness(Tower(depth, keep).to(device)))
        alike[name, depth] = torch.tensor(found)
        print(f"{name:10} {depth:2} layers: {min(found):.2f} to {max(found):.2f}")
assert alike["plain", 18].max() < 0.6 < 0.75 < alike["with skips", 18].min()
in_plain = [alike["plain", depth].mean() for depth in DEPTHS]
assert in_plain[0] > in_plain[1] + 0.1 and in_plain[1] > in_plain[2] + 0.1
size = torch.stack([gradient_sizes(untrained(s))[0] for s in range(3)])
print(f"size at the first of 18 plain layers: {size.min():.1f} to {size.max():.1f}")
assert size.min() > 0.05, "the gradient is not lost, thanks to the normalisation"

# %% [markdown]
# **What happened.** With normalisation the gradient arrives in a healthy size even in the plain tower (the last line).
# Yet two readings of one digit get gradients that have less and less in common as the tower grows. What arrives is
# closer and closer to noise, and steps along noise cancel. Balduzzi and others (2017) called it the *shattered
# gradients* problem. With skips the direction survives, since the 1 in $1 + J$ passes it on unbent.
#
# ## The same sweep, with the plus
#
# > **Predict.** Now `keep` is 1. At which of the three depths does the skip help most? And is the
# > deepest tower now the best?

# %% tolerance={"rtol": 0.2}
towers = sweep(run_tower, {"depth": DEPTHS, "keep": [0.0, 1.0]}, seeds=range(5),
               cache=cache, n_jobs=1, progress=False)
gains = []
for depth in DEPTHS:
    runs = towers[towers["depth"] == depth]
    table = effects(runs, "accuracy", baseline={"keep": 0.0})
    gains.append(table.assign(depth=depth))
gains = pd.concat(gains).set_index("depth")
print(gains[["difference", "low", "high", "seeds"]].round(1))
assert gains.loc[18, "low"] > max(20, gains.loc[2, "high"])
assert abs(gains.loc[2, "difference"]) < 10 < gains.loc[6, "difference"] < 40

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
read = {}
for keep, name in ((1.0, "with skips"), (0.0, "plain")):
    runs = towers[towers["keep"] == keep].pivot(
        index="seed", columns="depth", values="accuracy")
    plot_band(ax, DEPTHS, runs.values, name, marker="o")
    read[name] = runs
ax.axhline(10, xmax=0.94, color="gray", linestyle=":")
ax.text(2, 12, "guessing", color="gray")
ax.set(xlabel="layers", ylabel="accuracy (%)", ylim=(0, 100), xticks=DEPTHS)
ax.set_title("Depth ruins the plain tower and costs the other far less")
label_lines(ax)
plt.show()
assert read["with skips"][18].min() > 60 and read["plain"][18].max() < 40
cost = {name: (runs[2] - runs[18]).mean() for name, runs in read.items()}
assert 2 < cost["with skips"] < 25 and cost["plain"] > 45

# %% [markdown]
# **What happened.** At 2 layers the skip hardly matters, at 6 it brings more than ten points, and at 18 so much that
# even the low end of the interval is far from zero. As many weights, the same starts, one plus: the tower that guessed
# now reads. But follow its own line to the right: 18 layers are not *better* than 2 here. A skip takes away most of
# what depth costs. Whether depth brings anything is a question of the task, and forty steps on 2,000 small digits do
# not need it.
#
# ## Break it on purpose: half a skip
#
# With each skip the sum grows. So why not keep half of the old and add the new? A sensible thought. Let `keep` be 0.5.
#
# > **Predict.** Through 18 layers, how much of the skip's own path is left? Does the tower learn as with a whole skip,
# > as without one, or in between?

# %% tolerance={"rtol": 0.15}
print(f"0.5 to the power of 18: {0.5**18:.0e}")
halves = sweep(run_tower, {"depth": [18], "keep": [1.0, 0.5, 0.0]}, seeds=range(5),
               cache=cache, n_jobs=1, progress=False)
for keep, runs in halves.groupby("keep")["accuracy"]:
    print(f"keep {keep}: accuracy {runs.mean():.1f} %, mean of {len(runs)} seeds")
whole, half = (halves[halves["keep"] == k]["accuracy"].values for k in (1.0, 0.5))
assert (whole > half + 20).all() and half.max() < 35
lost = torch.stack([gradient_sizes(untrained(s, keep=0.5, norm=False))[0]
                    for s in range(3)])
print(f"gradient at the first layer: {lost.max():.1e} of the last, at most")
assert lost.max() < 0.01

# %% [markdown]
# **What happened.** Next to nothing is left of the path that was to save everything, and the tower is about as lost as
# without a skip. (The gradient in the last line is that of a tower without normalisation, as in the figure.) The
# factor of the whole stack is $(0.5 + J_{18}) \cdots (0.5 + J_1)$, and its leading term dies like any other power.
# *Anything* on the skip's path is raised to the power of the depth: a factor, a ReLU, a dropout. He and others, in
# their second paper of 2016, tried them all on a network of 110 layers, and kept the path clean. If the sum grows too
# large, scale $f$, not $h$.
#
# ## A small ResNet
#
# With convolutions nothing changes, except that shapes get in the way. A **ResNet** halves its maps now and then, and
# doubles the channels. Then $x$ and $f(x)$ have different shapes and cannot be added.

# %%
maps = torch.rand(2, 8, 14, 14)
f = nn.Conv2d(8, 16, 3, stride=2, padding=1)
print(list(maps.shape), "+", list(f(maps).shape))
try:
    maps + f(maps)
except RuntimeError as error:
    print("RuntimeError:", error)
projection = nn.Conv2d(8, 16, 1, stride=2, bias=False)  # a 1x1 window
print(list(projection(maps).shape), "+", list(f(maps).shape), "fits")
assert projection(maps).shape == f(maps).shape


# %% [markdown]
# The way out is a **projection**: a convolution with a window of one pixel. It looks at a single place, mixes the
# channels there, and with a stride of 2 takes every second place. It stands only where the shape changes; everywhere
# else the skip is the plain $x$.

# %%
class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, and the input added: [N, C, H, W] -> [N, out, H', W']."""

    def __init__(self, channels, out, stride=1, skip=True):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = nn.Identity() if skip else None
        if skip and (stride != 1 or channels != out):
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False),
                nn.BatchNorm2d(out),
            )

    def forward(self, x):
        change = self.f(x)
        return F.relu(change + self.shortcut(x) if self.shortcut else change)


# %%
def resnet(channels=(16, 32), skip=True):
    """A small ResNet for [N, 1, 14, 14]: a convolution, blocks, a mean per map."""
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 3, stride=2, padding=1, bias=False),  # 14 -> 7
        nn.BatchNorm2d(first),
        nn.ReLU(),
        ResidualBlock(first, first, skip=skip),  # 7
        ResidualBlock(first, second, stride=2, skip=skip),  # 7 -> 4
        nn.AdaptiveAvgPool2d(1),  # the mean of each map
        nn.Flatten(),
        nn.Linear(second, 10),
    )


print("logits:", list(resnet()(train_x[:5].cpu()).shape))
block = ResidualBlock(8, 8)
nn.init.zeros_(block.f[-1].weight)  # the last BatchNorm multiplies by 0: no change
torch.testing.assert_close(block(maps), maps.relu())

# %% tolerance={"rtol": 0.03}
print("parameters:", count_parameters(resnet()), "with skips,",
      count_parameters(resnet(skip=False)), "without")
seed_everything(0)
reads = judge(train(resnet(), batch=32, rate=2e-2, settle=True))["accuracy"]
print(f"after 40 steps it reads {reads:.1f} % of the digits")
assert reads > 50


# %% [markdown]
# The projection, with its BatchNorm, is the only thing that the skips cost. And the check of the block, one cell
# further up, is worth keeping: with its change switched off, a block returns (the ReLU of) its input. Many
# implementations start training from there (Goyal and others, 2017). Yes, a ReLU, on the skip's path: this is the
# block of the first paper. The second one moved it into $f$.
#
# ### Exercise: a shortcut without weights ★★☆
#
# He and others tried a cheaper way to make shapes agree. `free_shortcut(x, out_channels, stride)` gets maps `[N, C, H,
# W]`, takes every `stride`-th row and column, beginning with the first, and appends channels of zeros *behind* the C
# old ones until there are `out_channels`. It returns a new tensor `[N, out_channels, H', W']` of the dtype and device
# of `x`, with H' and W' rounded up. If `out_channels` is smaller than C, raise a `ValueError`. For `[[[[1., 2.,
# 3.]]]]`, 2 channels and stride 2 the two maps are `[[1., 3.]]` and `[[0., 0.]]`.

# %%
def free_shortcut(x, out_channels, stride=1):
    """Every `stride`-th place of x [N, C, H, W], and channels of zeros behind."""
    ...  # your code here


check("day19.free_shortcut", free_shortcut)


# %% [markdown]
# ## Side by side
#
# A stroke may be one pixel wide or five; which window is right? Szegedy and others (2015) did not choose. Their
# **Inception block** lets several windows look at the same place, side by side, and lays their maps on top of each
# other. Here nothing is added: the channels are **concatenated**, so each branch keeps its own.
#
# A 5x5 window over many channels is dear. So each larger window stands behind a **bottleneck**, a 1x1 convolution that
# first mixes the channels down to a few.

# %%
def bent(channels, out, kernel):
    """Convolution, BatchNorm, ReLU; height and width stay."""
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
        nn.ReLU(),
    )


class InceptionBlock(nn.Module):
    """1x1, 3x3, 5x5 and a pooling side by side: [N, C, H, W] -> [N, 4 * out, H, W]."""

    def __init__(self, channels, out, narrow):
        super().__init__()
        self.branches = nn.ModuleList([
            bent(channels, out, 1),
            nn.Sequential(bent(channels, narrow, 1), bent(narrow, out, 3)),
            nn.Sequential(bent(channels, narrow, 1), bent(narrow, out, 5)),
            nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), bent(channels, out, 1)),
        ])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], dim=1)


# %% [markdown]
# > **Predict.** A block takes 32 channels and gives 16 in each of four branches. By which factor do bottlenecks
# > of 8 channels shrink the two larger branches together?

# %%
block = InceptionBlock(32, 16, narrow=8)
direct = {kernel: count_parameters(bent(32, 16, kernel)) for kernel in (3, 5)}
narrow = {kernel: count_parameters(block.branches[i]) for i, kernel in ((1, 3), (2, 5))}
for kernel in (3, 5):
    print(f"{kernel}x{kernel}: {direct[kernel]:6,} parameters directly,"
          f" {narrow[kernel]:5,} through the bottleneck")
factor = sum(direct.values()) / sum(narrow.values())
print(f"a factor of {factor:.1f}; shape:", list(block(torch.rand(2, 32, 7, 7)).shape))
assert 3 < factor < 4


# %% [markdown]
# **What happened.** Each larger window now sees a quarter of the channels, which would save a factor of four; the 1x1
# convolutions in front take a little of that back. Of course the windows also see less: eight mixtures of what was
# there.
#
# ### Exercise: what stands side by side ★★☆
#
# `branch_sizes(in_channels, branches)` describes a multi-branch block. A branch is a list of convolutions in a row,
# each a pair `(kernel, out_channels)`, without bias and with padding that keeps height and width; each branch sees the
# block's `in_channels`. Their results are concatenated. An empty list is a bare pooling: it passes all channels on.
# Return two ints: `(channels, weights)` of the whole block. With 8 channels and `[[(1, 4)], [(1, 2), (3, 5)], []]` that
# is `(17, 138)`: 4 + 5 + 8 channels, and 32 + (16 + 90) weights.

# %%
def branch_sizes(in_channels, branches):
    """(channels, weights) of branches side by side, each a list of (kernel, out)."""
    ...  # your code here


check("day19.branch_sizes", branch_sizes)


# %% [markdown]
# ## Three blocks, one size
#
# Now a fair fight. One and the same small network, with one of three blocks in its middle: two convolutions, the same
# two with a skip, or an Inception block, all with about as many parameters.

# %%
def around(kind):
    """A network around one block of a kind, for [N, 1, 14, 14]."""
    if kind == "multi-branch":
        shrink = nn.MaxPool2d(2, ceil_mode=True)  # 7 -> 4, as the stride of the others
        block, out = nn.Sequential(shrink, InceptionBlock(16, 24, narrow=15)), 96
    else:
        block, out = ResidualBlock(16, 32, stride=2, skip=kind == "residual"), 32
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16),
        nn.ReLU(), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(out, 10),
    )


KINDS = ["plain", "residual", "multi-branch"]
sizes = {kind: count_parameters(around(kind)) for kind in KINDS}
print(sizes)
assert max(sizes.values()) < 1.1 * min(sizes.values())


# %% [markdown]
# > **Predict.** Forty steps, three seeds each. By how many points does either block beat the plain one? Set a number
# > beside the gain that the skip brought to the tower of 18 layers; the figure draws that gain, too.

# %% tolerance={"atol": 3.0, "rtol": 0.03}
def run_kind(config, seed):
    return judge(train(around(config["kind"]), batch=32, rate=1e-2, settle=True))


kinds = sweep(run_kind, {"kind": KINDS}, seeds=range(3), n_jobs=1, progress=False,
              cache=cache_folder("day19_kinds"))
by_kind = kinds.groupby("kind", sort=False)["accuracy"]
print(by_kind.agg(["mean", "min", "max"]).round(1))
table = effects(kinds, "accuracy")
print(table[["level", "difference", "low", "high"]].round(1))
deep = gains.loc[[18]]
ax = plot_effects(pd.concat([table, deep]), unit="accuracy (points)")
ax.set_yticks([0, -1, -2], ["residual, one block", "multi-branch, one block",
                            "a skip, 18 layers"])
ax.set_ylim(-2.6, 0.6)
ax.set_title("One block gains far less than a skip in 18 layers")
plt.show()
assert table["difference"].abs().max() < deep["difference"].item() / 2

# %% [markdown]
# **What happened.** One block deep, the mean differences are small beside what a skip did for 18 layers. Whether they
# are anything at all, ask the intervals: a grey one holds zero, and there three seeds do not decide. They are wide, and
# forty steps are few. (A larger run is under *What to try next*.) In the deep towers five seeds left no doubt. He and
# others saw the same: with 18 layers a plain network did as well as a residual one, with 34 it fell behind. A skip is
# not a better layer. It is what makes many layers possible.
#
# ## A picture around the bottleneck
#
# So far a skip helped to train. It can also carry something. Take a task whose answer is a picture: digits under noise,
# to be cleaned.

# %%
NOISE = 0.4  # standard deviation; the pixels themselves go from 0 to 1
clean_train, clean = pixels.split([2_000, 1_000])
seed_everything(0)
noisy = clean + NOISE * torch.randn(clean.shape).to(device)
rows = torch.cat([clean[:8], noisy[:8].clamp(0, 1)]).cpu()
show_images(rows, columns=8, title="Clean, and as the network gets them")
plt.show()


# %% [markdown]
# How good is a cleaned picture? The mean squared error (MSE) says how far its pixels are from the true ones. One
# usually sets it in relation to the brightest possible pixel, the peak, and takes the logarithm, for the eye judges by
# ratios. This is the **peak signal-to-noise ratio**, in decibels:
#
# $$\text{PSNR} = 10 \, \log_{10} \frac{\text{peak}^2}{\text{MSE}} .$$
#
# More is better; 10 decibels more are a tenth of the squared error. Before any network is trained, measure what it has
# to beat: hand back the noisy picture, or hand back plain black.
#
# > **Predict.** The noise has a standard deviation of 0.4 and the peak is 1. What PSNR has the noisy picture? And which
# > of the two is better, doing nothing or a black picture?

# %%
def psnr(images, truth, peak=1.0):
    """Mean over the images of their PSNR in decibels; both [N, C, H, W]."""
    error = (images - truth).square().mean(dim=(1, 2, 3))  # [N]
    return (10 * torch.log10(peak**2 / error)).mean().item()


baseline = {"the noisy picture": noisy, "clamped to 0 ... 1": noisy.clamp(0, 1),
            "black": torch.zeros_like(clean)}
for name, images in baseline.items():
    print(f"{name:18} {psnr(images, clean):5.1f} dB")
formula = 10 * torch.log10(torch.tensor(1 / NOISE**2)).item()
print(f"from the formula   {formula:5.1f} dB")
assert abs(psnr(noisy, clean) - formula) < 0.2
assert psnr(noisy.clamp(0, 1), clean) > psnr(noisy, clean) + 2
assert psnr(baseline["black"], clean) > psnr(noisy.clamp(0, 1), clean)


# %% [markdown]
# **What happened.** The noise sets the first number, by the formula. Clamping to the possible range is free and helps a
# lot. And black beats both: a digit is mostly black anyway. A PSNR alone says little; say what doing nothing gives, and
# what the emptiest answer gives.
#
# ### Exercise: decibels into brightness ★☆☆
#
# Turn a PSNR back into something one can picture: the root of the mean squared error, in units of brightness.
# `rms_error(decibels, data_range=1.0)` gets two numbers, where `data_range` is the peak of the formula, and returns a
# float. 20 dB at a range of 1.0 is 0.1; at 255 it is 25.5.

# %%
def rms_error(decibels, data_range=1.0):
    """Root mean squared error of a picture with this PSNR."""
    ...  # your code here


check("day19.rms_error", rms_error)


# %% [markdown]
# ## Down, up, and across
#
# To tell a stroke from noise one has to see more than a few pixels. So the network shrinks the picture, 14 to 7 to 3
# pixels, until a 3x3 window spans all of it. Then it grows it again, by repeating pixels, to draw the answer. On the
# way down it loses *where* exactly things were. The **U-Net** (Ronneberger and others, 2015) keeps the maps of each
# size on the way down, and on the way up concatenates them to what comes from below: *what* from below, *where* from
# across.
#
# With `skip=False` zeros take the place of the kept maps. So both networks have the same number of parameters.

# %%
class UNet(nn.Module):
    """Down to a small picture, up again, maps across: [N, 1, H, W] -> [N, 1, H, W]."""

    def __init__(self, channels=(8, 16, 16), skip=True):
        super().__init__()
        self.skip = skip
        before = (1, *channels[:-1])
        self.down = nn.ModuleList(
            nn.Conv2d(a, b, 3, padding=1) for a, b in zip(before, channels)
        )
        pairs = zip(channels[:0:-1], channels[-2::-1])  # from below, from across
        self.up = nn.ModuleList(nn.Conv2d(a + b, b, 3, padding=1) for a, b in pairs)
        self.last = nn.Conv2d(channels[0], 1, 1)
        for p in self.parameters():  # He's start (day 16), as in the paper
            nn.init.kaiming_normal_(p) if p.ndim > 1 else nn.init.zeros_(p)

    def forward(self, x):
        kept, h = [], x
        for conv in self.down[:-1]:
            kept.append(conv(h).relu())
            h = F.max_pool2d(kept[-1], 2)  # 14 -> 7 -> 3
        h = self.down[-1](h).relu()
        for conv, across in zip(self.up, reversed(kept)):
            h = F.interpolate(h, size=across.shape[2:])  # 3 -> 7 -> 14
            across = across if self.skip else torch.zeros_like(across)
            h = conv(torch.cat([h, across], dim=1)).relu()
        return self.last(h)


# %% [markdown]
# Two details. A side of 7 is halved to 3, and doubled that would be 6: so the way up does not double, it takes the
# size of the map that it meets. And the last one kept is the first one met, hence `reversed`.
#
# Training shows it clean digits with fresh noise in each step, and the loss is the squared error, so the network never
# sees the same noise twice.

# %%
def train_denoiser(skip, seed, steps=60, batch=12):
    """A U-Net trained on fresh noise."""
    seed_everything(seed)
    model = UNet(skip=skip).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3, fused=True)
    for rows in torch.randint(2_000, (steps, batch)).to(device):
        truth = clean_train[rows]
        optimizer.zero_grad()
        F.mse_loss(model(truth + NOISE * torch.randn_like(truth)), truth).backward()
        optimizer.step()
    return model


@torch.no_grad()
def cleaned(model):
    """What it makes of the 1,000 noisy validation digits, clamped to 0 ... 1."""
    return model(noisy).clamp(0, 1)


print("parameters:", count_parameters(UNet()), "with skips,",
      count_parameters(UNet(skip=False)), "without")

# %% [markdown]
# > **Predict.** By how many decibels does each network beat the black picture, and how many do the skips bring?
# > Also think of the pictures: after sixty steps, in what will those of the two networks differ?

# %% tolerance={"rtol": 0.03}
rows, pictures = [], {}
for skip in (False, True):
    for seed in range(3):
        pictures[skip, seed] = cleaned(train_denoiser(skip, seed))
        rows.append({"skip": skip, "seed": seed,
                     "psnr": psnr(pictures[skip, seed], clean)})
denoisers = pd.DataFrame(rows)
print(denoisers.pivot(index="seed", columns="skip", values="psnr").round(1))
gain = effects(denoisers, "psnr", baseline={"skip": False})
print(gain[["factor", "difference", "low", "high"]].round(1))
assert gain["low"][0] > 0.3
by_skip = denoisers.groupby("skip")["psnr"]
assert by_skip.min()[True] > by_skip.max()[False], "so it is in every seed"
assert denoisers["psnr"].min() > psnr(baseline["black"], clean) + 1.5

# %%
few = slice(0, 8)
shown = [noisy[few].clamp(0, 1), pictures[False, 0][few], pictures[True, 0][few],
         clean[few]]
fig = show_images(torch.cat(shown).cpu(), columns=8, value_range=(0, 1),
                  title="After 60 steps: much the same smudge without skips")
for ax, name in zip(fig.axes[::8], ("noisy", "without", "with skips", "clean")):
    ax.text(-0.1, 0.5, name, transform=ax.transAxes, ha="right", va="center")
plt.show()

# %% tolerance={"atol": 0.025, "rtol": 0.03}
differ = {}
for skip in (False, True):
    share = [(pictures[skip, seed].std(dim=0).mean() / clean.std(dim=0).mean()).item()
             for seed in range(3)]
    differ[skip] = share
    print(f"skips {skip!s:5}: its pictures differ by {min(share):.2f} to"
          f" {max(share):.2f} of what clean digits differ by")
assert max(differ[False]) < 0.5 < min(differ[True])

# %% [markdown]
# **What happened.** The skips bring some decibels, in every seed and with an interval above zero. The pictures say what
# the decibels are worth. Without skips everything has to pass through 3 x 3 places, and after sixty steps little more
# arrives there than what all digits have in common, a smudge in the middle; the numbers below the pictures measure
# that. With skips the detail has a short way around.
#
# Mind what the figure does not show: what a net without skips can do at best. It shows who is ahead after sixty steps.
# How much of the gap is speed, and how much remains, you can find out under *What to try next*.
#
# PSNR looks at pixels one by one. A picture that is a little too bright everywhere and one that is blurred may have the
# same PSNR, and the eye does not agree. The **structural similarity index** (SSIM; Wang and others, 2004) compares
# windows of 11 x 11 pixels instead: their mean brightness, their contrast, and how far their patterns go up and down
# together. 1 is a perfect copy.

# %% tolerance={"rtol": 0.03}
scores = {"noisy, clamped": noisy.clamp(0, 1), "black": torch.zeros_like(clean)}
for skip in (False, True):
    scores["with skips" if skip else "without"] = pictures[skip, 0]
by_ssim = {name: ssim(images, clean) for name, images in scores.items()}
for name, images in scores.items():
    print(f"{name:15} {psnr(images, clean):5.1f} dB   SSIM {by_ssim[name]:.2f}")
assert by_ssim["with skips"] > by_ssim["without"] + 0.05
assert by_ssim["black"] + 0.05 < min(by_ssim["noisy, clamped"], by_ssim["without"])


# %% [markdown]
# Here the two measures part: black, which PSNR preferred to the noisy digits, is the worst by SSIM. It has no structure
# at all. Report both, and look at pictures.
#
# ### Exercise: a U-Net with crossed wires ★★★
#
# `mended_unet(x, down, up, last)` is U-Net's forward pass, for any images `[N, 1, H, W]` with both sides at least 4.
# `down` is a list of three convolutions, `up` of two, `last` the final one; all keep height and width. It should do
# what the `UNet` above does (with skips), and return `[N, 1, H, W]`. Three wires are wrong: which maps are kept, where
# they are plugged in, and what size they meet. With as many channels at each size none of this need raise an error.
# Mend it.

# %%
def mended_unet(x, down, up, last):
    """U-Net's forward pass: images [N, 1, H, W] -> [N, 1, H, W]."""
    ...  # take this line away when the wires are mended
    kept, h = [], x
    for conv in down[:-1]:
        h = F.max_pool2d(conv(h).relu(), 2)
        kept.append(h)
    h = down[-1](h).relu()
    for conv, across in zip(up, kept):
        across = F.interpolate(across, size=h.shape[2:])
        h = conv(torch.cat([h, across], dim=1)).relu()
        h = F.interpolate(h, scale_factor=2)
    return last(h)


check("day19.mended_unet", mended_unet)

# %% [markdown]
# ## Recap
#
# - **Depth is hard** because a plain layer has to learn even to pass a signal on. Normalisation keeps the size of its
#   gradient; what the gradient says is lost all the same.
# - **A skip** turns each factor $J$ of the gradient into $1 + J$: the signal arrives, unbent. Whatever stands on its
#   path is raised to the power of the depth, so keep it clean.
# - **A ResNet** projects where shapes change; **an Inception block** concatenates windows of several sizes, and 1x1
#   bottlenecks pay for the large ones. One block deep and at equal size, neither gains what a skip gains in a deep
#   tower.
# - **A U-Net** carries maps around its bottleneck by concatenation: *where* from across, *what* from below. PSNR and
#   SSIM judge its pictures; neither does so alone, and not without a baseline.
#
# ## What to try next
#
# - Write `h = h + f(h) / depth**0.5` in the tower, without normalisation. Which depths learn now?
# - Train both denoisers for 400 steps. How much of the gap remains, and what do the pictures without skips look like
#   now?
# - Give the ResNet six blocks at each size (`ResNet(channels=(16, 32), blocks=6)` from `nnlab_helpers.models`) and
#   train it and its plain twin for 300 steps, with five seeds. That takes minutes, and there the plus should show again.
# - Let the denoiser return `x - model(x)`, so that it has to find the noise and not the digit (Zhang and others, 2017).
#   Who is ahead after 60 steps?
#
# ## References
#
# - Wang, Bovik, Sheikh, Simoncelli (2004), *Image quality assessment: from error visibility to structural similarity*:
#   SSIM.
# - Szegedy and others (2015), *Going deeper with convolutions*: Inception blocks, 22 layers with a twelfth of AlexNet's
#   parameters.
# - Ronneberger, Fischer, Brox (2015), *U-Net: convolutional networks for biomedical image segmentation*: learned from 30
#   pictures.
# - He, Zhang, Ren, Sun (2016), *Deep residual learning for image recognition*: degradation, the plus, 152 layers.
# - He, Zhang, Ren, Sun (2016), *Identity mappings in deep residual networks*: what happens if anything stands on the
#   skip's path; 1,001 layers.
# - Veit, Wilber, Belongie (2016), *Residual networks behave like ensembles of relatively shallow networks*: the paths,
#   and how many layers one may take out.
# - Balduzzi and others (2017), *The shattered gradients problem: if resnets are the answer, then what is the question?*:
#   gradients that turn into noise.
# - Goyal and others (2017), *Accurate, large minibatch SGD: training ImageNet in 1 hour*: blocks that begin as the
#   identity.
# - Zhang and others (2017), *Beyond a Gaussian denoiser*: a network that predicts the noise.
