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
# # Day 18: how far may you change an image?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 5](day05_data.ipynb),
# [day 14](day14_recap.ipynb) and [day 15](day15_depth_width.ipynb), whose `sweep` does the runs.*
#
# You have 300 labelled digits and cannot pay for more. So you move them, turn them, dirty them, and train on the
# results: **augmentation**. It is the cheapest data there is, and it can also be poison. Each change is a claim, "this
# leaves the label as it is", and some of the claims are false. Today you measure which changes pay and which cost, and
# you use one to cure a network that cheats. Then come the two changes that every pipeline makes without a word: the
# size of the image and the scale of its pixels.
#
# **By the end you can**
#
# - write shift, noise and rotation for whole batches, and say what each of them claims;
# - measure what an augmentation does, to plain images and to changed ones, with intervals;
# - find a shortcut in the data, and choose the change that breaks it;
# - choose the size of the images and the scale of the pixels by measuring, at a fair price.
#
# [← Day 17: what keeps a network from learning by heart?](day17_regularisation.ipynb) ·
# [Day 19: why let the signal skip a layer? →](day19_skip_multibranch.ipynb)

# %%
import colorsys

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.augment import (
    Erase, Flip, Jitter, Noise, Rotate, Shift, rotate, shift,
)
from nnlab_helpers.data import ImageSet, Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import plot_effects, show_images, use_style
from nnlab_helpers.sweep import cache_folder, effects, sweep

seed_everything(0)
device = pick_device()
use_style()
torch.set_num_threads(1)  # networks as small as today's are quicker with one

# %% [markdown]
# ## Look first
#
# Little data is where augmentation shows, so that is the setting, chosen on purpose: 300 digits to train on, of 14 x 14
# pixels. Every seed draws its own 300 from a pool of 3,000, so that a result does not hang on one lucky lot. Two more
# lots of 1,000 digits are never trained on: one for choosing, one for judging.
#
# You should know one thing more. The small network below, its rate and the length of its training were tried out
# beforehand, on the judge's digits, until shifts showed an effect; with a plain MLP they had shown none. So today's
# intervals are surer of themselves than they should be. They know about the luck of seeds and digits, and nothing about
# our choosing (day 14).

# %%
digits = load_images("mnist", "train")
order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))
large = digits.take(order[:5_000])  # 28 x 28 pixels
small = large.resize(14)
pool, choosing, judging = slice(0, 3_000), slice(3_000, 4_000), slice(4_000, 5_000)
normalize = Normalize.from_images(small, pool)
judge_x = small.images[judging].to(device).float() / 255  # [1000, 1, 14, 14]
judge_y = small.labels[judging].to(device)
show_images(small.images[:20], small.labels[:20].tolist(),
            title="Twenty of the pool, at half their size")
plt.show()


# %% [markdown]
# ## Three changes, built in the open
#
# A change must work on a whole batch and give each image random numbers of its own. **Shift**: paint a black border
# around the images, and look at each through a window that is a little off the middle.

# %%
def move(x, down, right, most):
    """Move image i of x [B, C, H, W] by down[i] and right[i] pixels, up to `most`."""
    height, width = x.shape[-2:]
    canvas = F.pad(x, (most,) * 4)  # a black border on all four sides
    rows = torch.arange(height, device=x.device) + most - down[:, None]  # [B, H]
    columns = torch.arange(width, device=x.device) + most - right[:, None]  # [B, W]
    which = torch.arange(len(x), device=x.device)[:, None, None]  # [B, 1, 1]
    seen = canvas[which, :, rows[:, :, None], columns[:, None, :]]  # [B, H, W, C]
    return seen.permute(0, 3, 1, 2)


# %% [markdown]
# **Noise** adds a random number to each pixel, and keeps the result between black and white. **Rotation** asks, for
# each pixel of the *result*, which place of the original it comes from: the same place, turned back. `affine_grid`
# computes these places, `grid_sample` mixes the four pixels around each.

# %%
def add_noise(x, std, generator):
    grain = torch.randn(x.shape, generator=generator, device=x.device)
    return (x + std * grain).clamp(0, 1)


def turn(x, degrees):
    """Turn image i of x [B, C, H, H] anticlockwise by degrees[i]."""
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    back = torch.stack([cos, -sin, zero, sin, cos, zero], dim=1).view(-1, 2, 3)
    places = F.affine_grid(back, x.shape, align_corners=False)  # [B, H, H, 2]
    return F.grid_sample(x, places, align_corners=False)


# %% [markdown]
# The package has all three. Given the same random numbers, ours must give the same pixels.

# %%
def dice(seed):
    """A generator of random numbers, on the device of the lesson."""
    return torch.Generator(device).manual_seed(seed)


some = judge_x[:50]
by = torch.randint(-2, 3, (2, 50), generator=dice(1), device=device)
angles = 360 * torch.rand(50, generator=dice(2), device=device) - 180
assert torch.equal(move(some, *by, most=2), shift(some, *by, most=2))
assert torch.equal(move(some, *by, most=2), Shift(2)(some, generator=dice(1)))
assert torch.equal(add_noise(some, 0.3, dice(3)), Noise(0.3)(some, generator=dice(3)))
assert torch.allclose(turn(some, angles), rotate(some, angles), rtol=1e-3, atol=1e-4)
print("shift and noise are the package's to the last pixel, rotation up to rounding")

# %% [markdown]
# Add three from the package: turn by up to a quarter (a rotation again), **erase** a random rectangle, and **flip**
# half of the images, left to right.

# %%
KINDS = {
    "none": None,
    "shift": Shift(1),  # one pixel of 14 is two of 28
    "turn 15": Rotate(15),
    "turn 90": Rotate(90),
    "noise": Noise(0.3),
    "erase": Erase(1.0, area=(0.05, 0.2)),
    "flip": Flip(0.5),
}
two, six = (judge_x[judge_y == c][:1] for c in (2, 6))
drawn = torch.cat([two.expand(5, -1, -1, -1), six.expand(5, -1, -1, -1)])
fig, axes = plt.subplots(len(KINDS), 1, figsize=(7, 5))
for ax, (name, change) in zip(axes, KINDS.items(), strict=True):
    row = drawn if change is None else change(drawn, generator=dice(4))
    ax.imshow(torch.cat(list(row[:, 0].cpu()), dim=1))  # [14, 140]
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
fig.suptitle("One 2 and one 6, five draws of each change", x=0.02, ha="left",
             fontweight="bold")
plt.show()


# %% [markdown]
# Look at every row and ask two questions. Would you still write the same label below it? And would such a picture ever
# come in? Each claim has these two halves: *the label stays true*, and *the world contains this*.
#
# ### Exercise: a flip for each image ★★☆
#
# `random_flip(x, p, generator)` mirrors each image of a batch left to right with probability `p`. `x` is float `[B, C,
# H, W]`; return a new tensor of the same shape and leave `x` as it is. Each image is decided for itself, all its
# channels together; draw from `generator` (a `torch.Generator` on the device of `x`), so that the same seed gives the
# same flips. How you draw is up to you. With `p = 0` no image is mirrored, with `p = 1` all are.
# (`hint("day18.random_flip")` gives a nudge, and a stronger one each time you call it.)

# %%
def random_flip(x, p, generator):
    """Mirror each image of x [B, C, H, W] left to right with probability p."""
    ...  # your code here


check("day18.random_flip", random_flip)


# %% [markdown]
# ## Which claims pay?
#
# The network of the day is small: one convolution with 12 kernels of 4 x 4 pixels that moves on by two pixels at a
# time, then an MLP with 48 hidden units. Its `size` is that of the images, for later.

# %%
class Reader(nn.Module):
    """A convolution (4 x 4, stride 2), then a small MLP: [N, C, S, S] -> [N, 10]."""

    def __init__(self, size=14, channels=1):
        super().__init__()
        side = (size - 4) // 2 + 1  # places of the window in a row
        self.look = nn.Conv2d(channels, 12, kernel_size=4, stride=2)
        self.decide = nn.Sequential(
            nn.Linear(12 * side * side, 48), nn.ReLU(), nn.Linear(48, 10))

    def forward(self, x):
        return self.decide(self.look(x).relu().flatten(1))


maps = Reader().to(device).look(some)  # [50, 12, 6, 6]
print("14 x 14 pixels become", list(maps.shape[1:]), "numbers")


# %% [markdown]
# Training is the loop of week 1, with Adam. `data` is a set of images or a pair of tensors, `augment` changes each
# training batch anew, before it is normalised.

# %%
def train(model, data, rows, augment, seed, *, epochs, scale=normalize):
    loader = TensorLoader(data, rows, batch_size=100, shuffle=True, seed=seed,
                          augment=augment, normalize=scale, device=device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model


@torch.no_grad()
def read(model, x, scale=normalize):
    """The digit that the model sees in each image x [N, C, S, S], in [0, 1]."""
    return model(scale(x)).argmax(dim=1)


def share(where):
    """How often a truth value is true, in percent."""
    return 100 * where.float().mean().item()


# %% [markdown]
# The judge's digits come in six versions, drawn once and for all: as they are, and changed. A run reports how many it
# reads in each, and, of the plain ones, how it reads every single class. The changed versions and the classes will be
# needed further down; one sweep serves for all.

# %%
TESTS = {"plain": None, "shift": Shift(1), "turn 90": Rotate(90),
         "noise": Noise(0.3), "erase": Erase(1.0, area=(0.05, 0.2)), "flip": Flip(1.0)}
tests = {name: judge_x if change is None else change(judge_x, generator=dice(5))
         for name, change in TESTS.items()}


def run(config, seed):
    rows = torch.randperm(3_000)[:300]  # `sweep` has set the seed
    model = train(Reader().to(device), small, rows, KINDS[config["augment"]], seed,
                  epochs=25)
    result = {f"on {name}": share(read(model, x) == judge_y)
              for name, x in tests.items()}
    answers = read(model, judge_x)
    for true in range(10):
        counts = answers[judge_y == true].bincount(minlength=10)
        shares = (100 * counts / counts.sum()).tolist()
        result |= {f"{true} as {seen}": shares[seen] for seen in range(10)}
    return result


# %% [markdown]
# Four seeds for each kind. `effects` compares with "none", seed by seed, so with the same 300 digits and the same
# initial weights.
#
# > **Predict.** Six changes, judged on *plain* digits, as they are. Which help, which harm, which do nothing that four
# > seeds could show? Write down a sign for each, and a number of points for the best and the worst.

# %% tolerance={"atol": 0.25, "rtol": 0.15}
kinds = list(KINDS)
frame = sweep(run, {"augment": kinds}, seeds=range(4),
              cache=cache_folder("day18_augment"), n_jobs=1)
print(f"none: {frame[frame['augment'] == 'none']['on plain'].mean():.1f} % right")
table = effects(frame, "on plain", baseline={"augment": "none"})
for row in table.itertuples():
    print(f"{row.level:12} {row.difference:+5.1f} points")
gain = table.set_index("level")

# %%
plot_effects(table, unit="accuracy on plain digits (points)")
plt.title("Shifts help; mirrors and quarter turns harm")
plt.show()
assert gain.difference["shift"] > 0.5
assert gain.high["flip"] < 0 and gain.high["turn 90"] < 0
assert -2 < gain.difference["turn 15"] < gain.difference["shift"]
assert max(gain.low["noise"], gain.low["erase"]) < 0
assert max(gain.difference["noise"], gain.difference["erase"]) < 2

# %% [markdown]
# **What happened.** Blue intervals lie on one side of zero, grey ones hold it: there four seeds cannot tell. The shift
# pays most: digits do lie a little off the middle, and 300 of them do not show all the places. How much it pays, four
# seeds know only roughly: when we tried others the gain stayed, but at times zero lay inside its interval. The small
# turn adds little. Noise and erasing, at this dose, show no gain; whether they harm, read off their bars. The quarter
# turn and the mirror *harm*, and for different reasons. A 2 that lies on its side is still a 2, but nobody hands it in,
# so the network pays for a skill it never needs. A mirrored 7 is not even a 7. In each of them one half of the claim is
# false.
#
# Perhaps a harder task also needs longer: these runs see each digit 25 times, and after the five passes of day 5 the
# shift did not pay yet. That is a conjecture; the number of passes we have not varied.
#
# ## What you train with is what you can stand
#
# Plain digits are not the only judge. Perhaps the scanner that your network will meet is noisy, or its paper
# lies crooked. The same runs have also read the changed versions of the judge's digits.
#
# > **Predict.** A table: one row for each way to train, one column for each version of the judge's digits. Where are
# > its highest numbers? And does training against one change help against another: will a network that knows shifts
# > read *noisy* digits better than one that knows nothing?

# %%
trained = frame.groupby("augment", sort=False).mean(numeric_only=True)
matrix = trained[[f"on {name}" for name in tests]]  # [7 ways to train, 6 tests]
fig, ax = plt.subplots(figsize=(7, 4))
ax.imshow(matrix, cmap="Blues", vmin=20, vmax=100, aspect="auto")
for i, j in [(i, j) for i in range(len(matrix)) for j in range(len(tests))]:
    value, best = matrix.iat[i, j], matrix.iat[i, j] == matrix.iloc[:, j].max()
    ax.text(j, i, f"{value:.0f}", ha="center", va="center",
            color="white" if value > 65 else "black", weight="bold" if best else None)
ax.set_xticks(range(len(tests)), list(tests))
ax.set_yticks(range(len(matrix)), matrix.index)
ax.grid(False)
ax.set(xlabel="judged on", ylabel="trained with")
ax.set_title("Read correctly (%): each change is learned, not inherited")
plt.show()
for name in ("shift", "turn 90", "noise", "erase", "flip"):
    column = matrix[f"on {name}"]
    assert name in column.idxmax() and column.max() > column["none"] + 4
    assert name in (matrix.loc[name] - matrix.loc["none"]).idxmax()

# %% tolerance={"atol": 0.5, "rtol": 0.2}
for trained_with, judged_on in (("shift", "noise"), ("erase", "noise"),
                                ("noise", "shift"), ("flip", "turn 90")):
    cross = effects(frame, f"on {judged_on}", baseline={"augment": "none"})
    row = cross.set_index("level").loc[trained_with]
    print(f"trained with {trained_with:6} judged on {judged_on:8}"
          f"{row.difference:+6.1f} points, from {row.low:+.1f} to {row.high:+.1f}")
    assert judged_on != "noise" or row.difference < -4


# %% [markdown]
# **What happened.** The best in each changed column (bold) was trained with that very change. There is no "robust" in
# general: a network becomes robust **against what it was shown**, and nowhere else does it gain as much. Worse, some is
# bought at the expense of something else: whoever learned shifts or erasing reads *noisy* digits worse than a network
# that learned nothing. We did not ask why; the intervals say that it is so. So before you list augmentations, list what
# will go wrong where the network is used.
#
# ### Exercise: erase with the mean ★★★
#
# A black rectangle on a black background hides nothing but strokes. Many recipes fill with the image's mean instead.
# `erase_with_mean(x, top, left, side)`: `x` is float `[B, C, H, W]`, `top` and `left` are int64 `[B]`, `side` is an
# int. In image `i`, the square of `side` by `side` pixels whose upper left pixel is `(top[i], left[i])` gets, in each
# channel, the mean of *that image's channel* before anything was erased. `top` and `left` lie inside the image; a
# square that reaches beyond the lower or right edge is cut off there. Return a new tensor; leave `x` as it is. A
# one-channel image `[[1., 2.], [5., 8.]]` with `top = 0`, `left = 1`, `side = 1` becomes `[[1., 4.], [5., 8.]]`. A
# loop over the images is fine; try without.

# %%
def erase_with_mean(x, top, left, side):
    """Fill a square of each image of x [B, C, H, W] with its own channel means."""
    ...  # your code here


check("day18.erase_with_mean", erase_with_mean)

# %% [markdown]
# ## Who pays for the mirror?
#
# The mean over ten classes hides who pays. The runs have noted what each class was read as.
#
# > **Predict.** Which digits suffer when half of the training images come mirrored? Name the one that suffers most,
# > and what it is taken for.

# %% tolerance={"rtol": 0.03}
classes = {name: torch.tensor([trained.loc[name, f"{c} as {c}"] for c in range(10)])
           for name in ("none", "flip")}
lost = classes["none"] - classes["flip"]  # [10] points
worst = lost.argmax().item()
taken_for = {seen: trained.loc["flip", f"{worst} as {seen}"]
             - trained.loc["none", f"{worst} as {seen}"] for seen in range(10)}
print("points more: as a 2", f"{taken_for[2]:.1f}, as a 3 {taken_for[3]:.1f}")
most = max((seen for seen in range(10) if seen != worst), key=taken_for.get)
print(f"a {worst} suffers most; it is taken for a {most}"
      f" {taken_for[most]:.1f} points more often than before")
assert worst == 5 and most == 3 and lost[5] > 8
assert taken_for[3] > taken_for[2] + 4 and abs(lost[0]) < lost[5] - 6

# %%
fig, ax = plt.subplots(figsize=(7, 3))
ax.vlines(range(10), classes["flip"], classes["none"], color="lightgray", linewidth=4)
ax.plot(classes["none"], "o", label="trained as they are")
ax.plot(classes["flip"], "s", label="half of them mirrored")
ax.set(xlabel="digit", ylabel="read correctly (%)", xticks=range(10))
ax.set_title("Mirrors take most points from the 5")
ax.legend(loc="lower left")
plt.show()


# %% [markdown]
# **What happened.** The 5 it is, but was your guess a 2? To our eyes a mirrored 5 is one. The network takes more of its
# 5s for a 3. A 5 and a 3 share the belly; what tells them apart is the side on which the upper stroke stands, and
# *side* is what a mirror takes away. (That is a reading of the numbers, not a proof.) A 0 is its own mirror image, near
# enough, and pays far less.
#
# Is flipping bad, then? Change the world, not the method. Suppose the digits stand on a **glass door**, and half the
# visitors see them from behind. In training and for the judge, every second picture is mirrored now. The network gets
# 300 of them, as before.

# %%
def behind_glass(images):
    """Every second image mirrored: [N, C, H, W] -> the same shape, new."""
    seen = images.clone()
    seen[::2] = seen[::2].flip(-1)
    return seen


glass = ImageSet(behind_glass(small.images), small.labels, small.classes)
glass_x = behind_glass(judge_x)


def run_glass(config, seed):
    rows = torch.randperm(3_000)[:300]
    model = train(Reader().to(device), glass, rows, KINDS[config["augment"]], seed,
                  epochs=25)
    return {"behind glass": share(read(model, glass_x) == judge_y)}


# %% [markdown]
# > **Predict.** Same network, same flip, same 300 pictures, now behind glass. What does the flip do here: how many
# > points, and with which sign?

# %% tolerance={"atol": 0.5, "rtol": 0.03}
glass_frame = sweep(run_glass, {"augment": ["none", "flip"]}, seeds=range(4),
                    cache=cache_folder("day18_glass"), n_jobs=1)
there = effects(glass_frame, "behind glass").iloc[0]
here = gain.loc["flip"]
for where, row in (("digits as we write them", here), ("digits behind glass", there)):
    print(f"{where:24} flip: {row.difference:+.1f} points,"
          f" from {row.low:+.1f} to {row.high:+.1f}")
assert here.high < 0 and there.difference > 1 and there.low > here.high + 1


# %% [markdown]
# **What happened.** The same flip that harmed now helps, and the two intervals lie well apart. A mirrored 5 is as
# odd as before, but in this world such pictures *come in*, labelled 5, and the network had better know. Photographs are
# like that: a cat faces left as often as right. Whether an augmentation is right is a question about the world your
# images come from, never about the images alone.
#
# ### Exercise: who does not survive? ★★☆
#
# Before you augment, test the claim class by class. `lost_classes(predict, x, y, change, points)`: `predict(x)`
# returns predicted classes int64 `[N]` for images `[N, C, H, W]`; `y` is int64 `[N]`; `change(x)` returns changed
# images. Return a sorted list of the classes (ints, among those that occur in `y`) whose accuracy falls by *more than*
# `points` percentage points when the images are changed. The accuracy of a class is the share of *its* images that are
# predicted right. Call `predict` and `change` on the whole batch, not on single images. If class 3 falls from 90 % to
# 70 %, class 6 from 100 % to 50 % and class 8 from 90 % to 85 %, then `points = 10` gives `[3, 6]`.

# %%
def lost_classes(predict, x, y, change, points):
    """Sorted classes that lose more than `points` percentage points to `change`."""
    ...  # your code here


check("day18.lost_classes", lost_classes)


# %% [markdown]
# ## Break it on purpose: a half turn
#
# If a turn of 15 degrees is good, how about 180? Half of the training images are stood on their heads.
#
# > **Predict.** What becomes of the 6s and the 9s, read as they are, the right way up? And of the 0s and 1s?

# %% tolerance={"rtol": 0.1}
def half_turn(x, generator):
    chosen = torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device) < 0.5
    return torch.where(chosen, x.flip(-2, -1), x)


KINDS["half turn"] = half_turn
turned = sweep(run, [{"augment": "half turn"}], seeds=range(4),
               cache=cache_folder("day18_half_turn"), n_jobs=1)
upright = frame[frame["augment"] == "none"].reset_index()
for pair in ("0 as 0", "1 as 1", "6 as 6", "6 as 9", "9 as 9", "9 as 6"):
    print(f"{pair}: {upright[pair].mean():5.1f} % upright,"
          f" {turned[pair].mean():5.1f} % with half turns")
swapped = turned["6 as 9"] + turned["9 as 6"] - upright["6 as 9"] - upright["9 as 6"]
falls = {c: (upright[f"{c} as {c}"] - turned[f"{c} as {c}"]).mean()
         for c in (0, 1, 6, 9)}
assert swapped.mean() > 5 and (swapped > 2).all()
assert falls[6] + falls[9] > falls[0] + falls[1] + 6

# %% [markdown]
# **What happened.** A 6 on its head is a 9, and the label still says 6. Upright, next to none of them were mixed up;
# now it happens in each of the four runs. That it is not half of them may well be a matter of handwriting: a 6
# as we write it and a 9 stood on its head differ in small habits. The loss does not complain and
# nothing crashes; only the confusion between two classes tells. Whenever you add an augmentation, look at the classes,
# not only at the mean.
#
# ## A colour that gives the answer away
#
# Now a case where the *right* change rescues a network. Digits in ten colours, and somebody collected them carelessly:
# in training each class has its own colour. The colours are chosen so that all have the same brightness; in shades of
# grey they cannot be told apart. (Arjovsky and others, 2019, made a data set like this to study shortcuts.)

# %%
GREY = torch.tensor([0.2989, 0.587, 0.114])  # how bright red, green, blue look


def paint(hue):
    """The colour [3] of a hue from 0 to 1, mixed to brightness 0.5."""
    colour = torch.tensor(colorsys.hsv_to_rgb(hue, 1, 1))
    bright = (colour * GREY).sum()
    if bright > 0.5:
        return colour * 0.5 / bright  # darker
    return colour + (0.5 - bright) / (1 - bright) * (1 - colour)  # paler


inks = torch.stack([paint(i / 10) for i in range(10)]).to(device)  # [10, 3]
assert ((inks.cpu() @ GREY - 0.5).abs() < 1e-3).all()


def ink(images, colours):
    """Grey images [N, 1, S, S], each in ink number colours[i]: [N, 3, S, S]."""
    return images * inks[colours][:, :, None, None]


# %%
pool_x = small.images[pool].to(device).float() / 255  # [3000, 1, 14, 14]
pool_y = small.labels[pool].to(device)
given_away = ink(pool_x, pool_y), pool_y  # the colour is the label
by_chance = torch.randint(10, (1_000,), generator=dice(6), device=device)
same_inks, free_inks = ink(judge_x, judge_y), ink(judge_x, by_chance)
one_each = torch.cat([judge_x[judge_y == c][:1] for c in range(10)])
first = ink(one_each, torch.arange(10, device=device))  # [10, 3, 14, 14]
show_images(torch.cat([first, free_inks[:10]]).cpu(),
            title="Above: training. Below: the world, with any colour")
plt.show()


# %% [markdown]
# Three cures are on offer. **Jitter**, the standard recipe, scales brightness, contrast and saturation of each image.
# **Grey** replaces all three channels by the brightness. **Shuffle** puts the three channels of each image in a random
# order, so that red may become blue.

# %%
def grey(x, generator):
    brightness = (x * GREY.to(x).view(3, 1, 1)).sum(dim=1, keepdim=True)  # [B, 1, S, S]
    return brightness.expand_as(x)


def shuffle(x, generator):
    dealt = torch.rand(len(x), 3, generator=generator, device=x.device).argsort(dim=1)
    return x.gather(1, dealt[:, :, None, None].expand_as(x))


CURES = {"none": None, "jitter": Jitter(0.5, 0.5, 1.0),
         "shuffle": shuffle, "grey": grey}
fig, axes = plt.subplots(3, 1, figsize=(7, 2.6))
for ax, name in zip(axes, ("jitter", "shuffle", "grey"), strict=True):
    changed = CURES[name](first, generator=dice(7))
    ax.imshow(torch.cat(list(changed.permute(0, 2, 3, 1).cpu()), dim=1).clamp(0, 1))
    ax.set(xticks=[], yticks=[])
    ax.set_ylabel(name, rotation=0, ha="right", va="center")
fig.suptitle("Three ways to disturb a colour", x=0.02, ha="left", fontweight="bold")
plt.show()


# %% [markdown]
# > **Predict.** Four networks: no cure, jitter, shuffle, grey. How many digits does each read when colours are as in
# > training, and how many when any digit may have any colour? Guessing reads 10 %.

# %% tolerance={"rtol": 0.03}
def run_colour(config, seed):
    rows = torch.randperm(3_000)[:300]
    tint = Normalize(0.07, 0.17)  # about the mean and deviation of these pixels
    model = train(Reader(channels=3).to(device), given_away, rows,
                  CURES[config["cure"]], seed, epochs=15, scale=tint)
    return {"same": share(read(model, same_inks, tint) == judge_y),
            "free": share(read(model, free_inks, tint) == judge_y)}


colour = sweep(run_colour, {"cure": list(CURES)}, seeds=range(3),
               cache=cache_folder("day18_colour"), n_jobs=1)
cures = colour.groupby("cure", sort=False)[["same", "free"]].mean()
for name, row in cures.iterrows():
    print(f"{name:8} colours as in training {row.same:5.1f} %,"
          f" any colour {row.free:5.1f} %")
cured = effects(colour, "free", baseline={"cure": "none"}).set_index("level")

# %%
fig, ax = plt.subplots(figsize=(7, 2.8))
for place, name in enumerate(CURES):
    runs = colour[colour["cure"] == name]
    ax.plot(runs["same"], [place - 0.1] * 3, "o", color="C0")
    ax.plot(runs["free"], [place + 0.1] * 3, "s", color="C1")
ax.plot([], [], "o", color="C0", label="colours as in training")
ax.plot([], [], "s", color="C1", label="any colour")
ax.set_yticks(range(4), list(CURES))
ax.invert_yaxis()
ax.set(xlabel="read correctly (%), a mark for each seed", xlim=(0, 102))
ax.set_title("Jitter leaves the shortcut open; grey closes it")
ax.legend(loc="lower left")
plt.show()
assert cures.same["none"] > 95 and cures.free["none"] < 40
assert cured.difference["jitter"] < 20 and cured.low["grey"] > 30
assert cured.low["shuffle"] > 20 and cures.same["grey"] < cures.same["none"] - 3
assert abs(cures.same["grey"] - cures.free["grey"]) < 5


# %% [markdown]
# **What happened.** Without a cure the network is nearly perfect as long as the colours are those of training, and
# nearly useless otherwise: it learned ten colours, and hardly to read. That is a **shortcut**, and a validation
# set collected in the same careless way would have praised it. Jitter hardly helps, although it is a *colour*
# augmentation: it leaves the *hue* alone, and the hue is the leak. Shuffling the channels breaks most of it, grey all
# of it. And grey has a price: with training's colours it scores *lower*, because there it no longer gets the answer
# for free. That loss is the sign of success.
#
# An augmentation is a way to tell a network what it must not use. You have to know what that is.
#
# ## How large must an image be?
#
# Day 5 shrank digits for an MLP, and 14 pixels did as well as 28. A network with windows is another matter: its cost
# grows with every place a window is put to, and its windows stay four pixels wide whatever the image's size. Count cost
# in **multiply-adds**: one multiplication and one addition for each weight, each time it is used.

# %%
def multiply_adds(size):
    """Of Reader(size), for one image."""
    side = (size - 4) // 2 + 1
    look = side**2 * 16 * 12  # windows x pixels of a window x kernels
    decide = 12 * side**2 * 48 + 48 * 10
    return look + decide


for size in (7, 10, 14, 28):
    print(f"{size:2} pixels: {multiply_adds(size):7} multiply-adds an image")

# %% [markdown]
# As a control there is a fifth set: digits shrunk to 14 pixels and enlarged to 28 again. It costs what 28 costs and
# shows no more detail than 14. If 28 were better because of its detail, the control should stay behind.
#
# > **Predict.** 400 digits to train on. Which of the five reads best? Is the smallest hopeless?

# %% tolerance={"atol": 0.25, "rtol": 0.03}
BLOWN_UP = "14, blown up to 28"
views = {7: large.resize(7), 10: large.resize(10), 14: small,
         28: large, BLOWN_UP: small.resize(28)}


def run_size(config, seed):
    view = views[config["size"]]
    rows, scale = torch.randperm(3_000)[:400], Normalize.from_images(view, pool)
    model = Reader(view.images.shape[-1]).to(device)
    train(model, view, rows, None, seed, epochs=9, scale=scale)
    x = view.images[judging].to(device).float() / 255
    return {"accuracy": share(read(model, x, scale) == judge_y)}


sizes = sweep(run_size, {"size": list(views)}, seeds=range(4),
              cache=cache_folder("day18_size"), n_jobs=1)
by_size = effects(sizes, "accuracy", baseline={"size": 14})
print(f"14 pixels: {sizes[sizes['size'] == 14]['accuracy'].mean():.1f} % right")
for row in by_size.itertuples():
    print(f"{row.level:>18}: {row.difference:+.1f} points,"
          f" from {row.low:+.1f} to {row.high:+.1f}")

# %% tolerance={"rtol": 0.03}
fig, ax = plt.subplots(figsize=(7, 3.4))
for size in views:
    runs = sizes[sizes["size"] == size]["accuracy"]
    side, blown = (28, True) if size == BLOWN_UP else (size, False)
    cost = multiply_adds(side) / 1000
    colour_of, marker = ("C1", "s") if blown else ("C0", "o")
    ax.plot([cost] * len(runs), runs, ".", color=colour_of, alpha=0.5)
    ax.plot(cost, runs.mean(), marker, color=colour_of)
    ax.annotate("14, blown up" if blown else f"{size}", (cost, runs.mean()),
                xytext=(8, 0), textcoords="offset points", va="center", color=colour_of)
ax.set(xscale="log", xlabel="thousand multiply-adds an image (log scale)")
ax.set_xlim(2.8, 450)
ax.set(ylabel="read correctly (%)", title="Beyond 14 pixels: more work, no more digits")
plt.show()
sharp = effects(sizes, "accuracy", baseline={"size": BLOWN_UP})
sharp = sharp.set_index("level").loc[28]
print(f"28 sharp against 28 blown up: {sharp.difference:+.1f} points,"
      f" from {sharp.low:+.1f} to {sharp.high:+.1f}")
by_size = by_size.set_index("level")
assert by_size.difference[7] < -1.5 and by_size.difference.idxmin() == 7
assert by_size.difference[28] < 0 and by_size.difference[10] < 1.5
assert sharp.difference < 1
assert multiply_adds(28) > 4 * multiply_adds(14) > 16 * multiply_adds(7)


# %% [markdown]
# **What happened.** Seven pixels cost some points and read the great majority all the same, at a small share of the
# work. From 10 or 14 on nothing more is gained that four seeds could show, and at 28 the network reads *fewer* digits
# than at 14. (Here both sets of 28 pixels fall behind; with the other seeds we tried, the sharp one always did, the
# blown-up one hardly.) It is not for lack of detail: the sharp 28 is no better than the blurred one. The windows may be
# the reason: they cover more than half the width of an image of 7 pixels, and a seventh of one of 28. Or it is the
# training: all sizes had one rate and nine passes, and 28 pixels come with over four times the weights of 14. We have
# varied neither, so this holds for *this* network, trained like *this*.
#
# So size and network are chosen together, and this kind of picture, cost against accuracy, shows what is worth
# choosing: whatever has another point above it *and* to its left is out.
#
# ### Exercise: what a convolution costs ★★☆
#
# `conv_cost(conv, height, width)`: `conv` is an `nn.Conv2d` with `groups=1` and `dilation=1`; its kernel, stride and
# padding (given in pixels) may differ between height and width. Return the number of multiply-adds, an int, for *one*
# image of `height` by `width` pixels: one for each weight, each time it is used. Leave the bias out. Windows that do
# not fit are not computed. `nn.Conv2d(1, 2, 3)` on 5 by 5 pixels: 3 x 3 places, 2 kernels of 9 weights, so 162.

# %%
def conv_cost(conv, height, width):
    """Multiply-adds of `conv` for one image of height x width pixels."""
    ...  # your code here


check("day18.conv_cost", conv_cost)


# %% [markdown]
# ## How large should a pixel be?
#
# On day 5 raw bytes lost against standardised pixels, at one learning rate for all. Day 14 called such a comparison
# unfair: each recipe deserves its own rate. So here is the return match, between four scales:
#
# - **raw**: from 0 to 255;
# - **0 to 1**: divided by 255;
# - **standard**: minus the mean of the training pixels, divided by their deviation;
# - **each**: the same, but with the mean and deviation of *each image* by itself.

# %%
def each(x):
    """Standardise every image [N, C, H, W] by its own mean and deviation."""
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return (x - mean) / (x.std(dim=(1, 2, 3), keepdim=True) + 1e-3)


SCALES = {"raw": lambda x: 255 * x, "0 to 1": lambda x: x,
          "standard": normalize, "each": each}
choose_x = small.images[choosing].to(device).float() / 255
choose_y = small.labels[choosing].to(device)
faded_x = 0.4 * judge_x + 0.3  # black becomes grey, white too


def run_scale(config, seed):
    scale = SCALES[config["scale"]]
    model, rows = Reader().to(device), torch.randperm(3_000)[:1_000]
    loader = TensorLoader(small, rows, batch_size=50, shuffle=True, seed=seed,
                          normalize=scale, device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=config["rate"], fused=True)
    for x, y in [*loader, *loader]:  # two epochs
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    parts = {"chosen": (choose_x, choose_y), "judged": (judge_x, judge_y),
             "faded": (faded_x, judge_y)}
    return {k: share(read(model, x, scale) == y) for k, (x, y) in parts.items()}


# %% [markdown]
# Plain SGD, forty steps. First all scales get the common rate 0.3, and each gets three rates around the size that
# suits it, a factor of five apart. The best is chosen by the 1,000 digits for choosing. Then come five *fresh* seeds at
# the chosen rates, judged by the judge: a rate that was merely lucky has to prove itself again.
#
# > **Predict.** At the common rate, who loses? And who is last when each has its own best rate?

# %% tolerance={"rtol": 0.05}
RATES = dict.fromkeys(SCALES, (0.06, 0.3, 1.5)) | {"raw": (0.002, 0.01, 0.05)}
grid = [{"scale": name, "rate": rate} for name in SCALES
        for rate in sorted({*RATES[name], 0.3})]
tried = sweep(run_scale, grid, seeds=range(2),
              cache=cache_folder("day18_scale"), n_jobs=1)
means = tried.groupby(["scale", "rate"], sort=False).mean(numeric_only=True)
best = {name: means.loc[name]["chosen"].idxmax() for name in SCALES}
final = sweep(run_scale, [{"scale": n, "rate": best[n]} for n in SCALES],
              seeds=range(10, 15), cache=cache_folder("day18_scale"), n_jobs=1)
own = final.groupby("scale", sort=False).mean(numeric_only=True)
for name in SCALES:
    print(f"{name:9} at 0.3: {means.loc[name, 0.3]['judged']:5.1f} %  "
          f" at its best, {best[name]}: {own.loc[name, 'judged']:5.1f} %,"
          f" faded digits {own.loc[name, 'faded']:5.1f} %")

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
for name in SCALES:
    line = means.loc[name]["judged"].sort_index()
    dashes = "--" if name == "each" else "-"  # it lies on "standard" nearly everywhere
    ax.plot(line.index, line, "o", linestyle=dashes, label=name)
ax.axvline(0.3, color="gray", linestyle=":")
ax.text(0.28, 3, "one rate for all", color="gray", ha="right")
ax.set(xscale="log", xlabel="learning rate (log scale)", ylim=(0, 100))
ax.set(ylabel="read correctly (%)")
ax.set_title("Raw bytes want another learning rate")
ax.legend(loc="lower left")
plt.show()
assert means.loc["raw", 0.3]["judged"] < 25 < 60 < own.loc["raw", "judged"]
assert means.loc["0 to 1", 1.5]["judged"] < means.loc["0 to 1", 0.3]["judged"] - 10

# %% tolerance={"atol": 0.5, "rtol": 0.08}
final.attrs["factors"] = ["scale"]  # the rate belongs to the scale
fair = effects(final, "judged", baseline={"scale": "standard"}).set_index("level")
for name, row in fair.iterrows():
    print(f"{name:7} against standard, each at its best: {row.difference:+.1f} points,"
          f" from {row.low:+.1f} to {row.high:+.1f}")
assert fair.difference.idxmin() == "0 to 1" and fair.difference["0 to 1"] < -6
assert abs(fair.difference["raw"]) < 10 and abs(fair.difference["each"]) < 10
faded = own["faded"].drop("each").max()
assert own.loc["each", "faded"] > max(faded + 8, own.loc["each", "judged"] - 2)


# %% [markdown]
# **What happened.** At the common rate raw bytes are little better than guessing, and that is where day 5 left them.
# With a rate of their own they come within a few points of standardised ones, and the last place goes to another:
# pixels from 0 to 1. They are small, and so are the steps of the first layer; a higher rate would make up for that, but
# at 1.5 the training already falls apart (the figure's right end). Our rates stand far apart, but none that we tried
# beforehand between 0.3 and 1.5 closed the gap. Forty steps are few, of course: is it as wide after eighty?
#
# A scale of the input is more than a matter of the rate. Pixels 255 times as large do to the first layer what *initial
# weights* 255 times as large would do, and day 16 is about those. Standardising puts the inputs where the usual rates
# and initial weights work; that is all its magic, and reason enough.
#
# The last column is about the other half of today. On faded digits, grey on grey, the scale **each** reads as if
# nothing had happened; the others lose much. It divides the fading out before the network sees it. What you normalise
# away, you need not augment away. The price is the same as for grey: whatever the overall brightness could have told
# is gone.
#
# ### Exercise: every image for itself ★☆☆
#
# `standardize_each(x)`: `x` is a float batch `[B, C, H, W]`. Return a new tensor of the same shape, in which each
# channel of each image has mean 0 and standard deviation 1, measured over *its own* pixels. Use the deviation with $n$
# in the denominator (`correction=0` in PyTorch), not $n - 1$. A channel whose pixels are all equal becomes all 0.
# Leave `x` as it is. The image `[[0., 2.], [0., 2.]]` becomes `[[-1., 1.], [-1., 1.]]`, and so does `[[5., 9.], [5.,
# 9.]]`.

# %%
def standardize_each(x):
    """Mean 0 and deviation 1 for each channel of each image of x [B, C, H, W]."""
    ...  # your code here


check("day18.standardize_each", standardize_each)

# %% [markdown]
# ## Recap
#
# - An augmentation makes a claim with two halves: the label stays true, and the world contains this. A shift, noise and
#   a rotation for whole batches are a few lines each, with random numbers of its own for every image.
# - Measure on plain data what it costs or brings, and on changed data what it protects from. Protection is specific:
#   each way to train wins on its own column. The same flip harms digits as we write them and helps behind
#   glass. The mean hides who pays; look at the classes.
# - A shortcut is whatever gives the label away in training only. Jitter left the hue, and with it the shortcut; grey
#   took it away, and the score on the careless data *fell*.
# - Size and scale belong to the network and to the rate. More pixels than the network can use cost and bring nothing;
#   scales can only be compared when each has a rate of its own.
#
# ## What to try next
#
# - A larger run: 3,000 digits instead of 300, and 200 passes instead of 25. Which effects shrink, and does erasing pay
#   in the end?
# - Turn the dial: `Shift(0)` to `Shift(4)`. Where does the gain on plain digits turn into a loss?
# - Put two together with `Compose([Shift(1), Rotate(15)])`, from `nnlab_helpers.augment`. Do the gains add up?
# - Give the Reader a second convolution and repeat the sizes. Does 28 win now?
# - Let nine of ten training digits follow the colours instead of all. How much of the shortcut is left?
# - Mix two images and their labels (*mixup*, below): which claim does that make?
#
# ## References
#
# - Simard, Steinkraus and Platt (2003), *Best practices for convolutional neural networks applied to visual document
#   analysis*: shifted, turned and bent digits were worth more than a better network.
# - Zhong, Zheng, Kang, Li and Yang (2020), *Random erasing data augmentation*: rectangles against occlusion.
# - Zhang, Cissé, Dauphin and Lopez-Paz (2018), *mixup: beyond empirical risk minimization*: images and labels mixed in
#   the same proportion.
# - Cubuk, Zoph, Shlens and Le (2020), *RandAugment*: choosing augmentations by two numbers, as strong as by a search.
# - Geirhos and others (2020), *Shortcut learning in deep neural networks*: how often networks read the wrong thing.
# - Arjovsky, Bottou, Gulrajani and Lopez-Paz (2019), *Invariant risk minimization*: the coloured digits.
# - LeCun, Bottou, Orr and Müller (1998), *Efficient backprop*: why inputs should be centred and of one scale.
# - Tan and Le (2019), *EfficientNet*: image size, depth and width have to grow together.
