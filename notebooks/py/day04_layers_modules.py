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
# # Day 4: what goes in, and what comes out?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on [day
# 1](day01_tensors_autograd.ipynb) and [day 3](day03_activations.ipynb).*
#
# `mat1 and mat2 shapes cannot be multiplied (8x16 and 24x4)`. If you write networks, you will meet this sentence before
# lunch. PyTorch offers over a hundred ready-made layers, and no one remembers them all. There is no need to. Four
# questions, put to any layer, tell you nearly everything: what goes in? What comes out? How many numbers does it learn?
# And does it behave the same in training and afterwards? The fourth is the one that catches experienced people. Today
# you put all four to nearly thirty kinds of layers, then build networks from them and train one.
#
# **By the end you can**
#
# - say which shape a layer takes and gives, and how many parameters it has, before you run it;
# - build a network with `Sequential` and with `Module`, and find out what it owns;
# - explain what dropout and batch normalisation do in training, and what they do afterwards;
# - write a complete training loop with a training and a validation part.
#
# [← Day 3: what do networks gain from a bent line?](day03_activations.ipynb) ·
# [Day 5: what should a network see, and what must it never see? →](day05_data.ipynb)

# %%
import copy

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import PALETTE, label_lines, use_style

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first: the shapes of the world
#
# Before asking a layer what it takes, look at what there is to give. A plucked string is a row of numbers. A picture
# has rows and columns. A film has time as well.

# %%
time = torch.linspace(0, 1, 200)
sound = (80 * time).sin() * (-4 * time).exp()                       # [200]
side = torch.linspace(-1, 1, 28)
row, column = side[:, None], side                                   # [28, 1] and [28]
picture = (row**2 + column**2 < 0.3).float()                        # [28, 28]
shift = torch.linspace(-0.6, 0.6, 8)[:, None, None]                 # [8, 1, 1]
film = ((row - shift) ** 2 + (column - shift) ** 2 < 0.1).float()   # [8, 28, 28]

# %%
fig, axes = plt.subplots(1, 3, figsize=(7, 2.6))
axes[0].plot(time, sound)
axes[0].set(title="sound: 1 direction", xlabel="time (s)", yticks=[])
axes[1].imshow(picture.numpy())
axes[1].set(title="picture: 2", xlabel="column", ylabel="row")
axes[2].imshow((film.amax(dim=0) * 0.3 + film[0] * 0.7).numpy())
arrow = {"color": "white", "arrowstyle": "->"}
axes[2].annotate("", (21, 21), (8, 8), arrowprops=arrow)
axes[2].set(title="film: 3, with time", xlabel="column", ylabel="row")
for ax in axes:
    ax.grid(False)
plt.show()

# %% [markdown]
# Layers want two more dimensions in front of these. The first counts the **samples** of a batch, because networks look
# at many at once. The second counts the **channels**: the numbers that belong to the same place. A stereo recording has
# two channels, a colour photo three, ours have one. The layout is always
#
# ```
# [N, C, L]          N sounds,   C channels, L moments
# [N, C, H, W]       N pictures, C channels, H rows, W columns
# [N, C, D, H, W]    N films,    C channels, D moments (or the depth of a scan), H rows, W columns
# [N, L, C]          N sentences of L words, C numbers a word: the odd one out, see below
# [N, C]             N samples of C facts, with no places at all
# ```
#
# `unsqueeze(i)`, or `None` in an index, puts a dimension of size 1 at position `i`.

# %%
print(list(sound.unsqueeze(0).unsqueeze(0).shape), list(picture[None, None].shape))
one_film = film[None, None]
print(list(one_film.shape), list(one_film.squeeze(0).shape))
assert one_film.shape == (1, 1, 8, 28, 28)

# %% [markdown]
# ## Four questions
#
# Here is the whole plan of the day as a function. It feeds random numbers of a given shape to a layer and takes down
# what came out and how many numbers the layer has to learn. It also asks the layer twice with the same input, in
# *training mode* and in *evaluation mode*, and notes whether the answers differ. Every layer has these two modes;
# `.train()` and `.eval()` switch between them.

# %%
catalogue = []


def ask(layer, *sizes):
    """Put the four questions to `layer`, with random input of shape `sizes`."""
    layer, x = layer.to(device), torch.randn(*sizes, device=device)
    with torch.no_grad():
        trained, used = layer.train()(x), layer.eval()(x)
    if isinstance(trained, tuple):  # recurrent layers give two things, see below
        trained, used = trained[0], used[0]
    count = sum(p.numel() for p in layer.parameters())
    same = torch.allclose(trained, used)
    name, goes_in, comes_out = type(layer).__name__, list(x.shape), list(trained.shape)
    catalogue.append((name, goes_in, comes_out, count, "" if same else "differs"))
    note = "" if same else "   differs in training"
    print(f"{name:17} {goes_in!s:>19} -> {comes_out!s:19} {count:4} parameters{note}")


# %% [markdown]
# ## Linear: every input to every output
#
# You built this one yourself on day 2. `nn.Linear(4, 3)` takes four numbers per sample and gives three. Each of the
# three is a weighted sum of all four, plus a bias.
#
# > **Predict.** How many numbers does it learn? And what happens to an input with more dimensions, such as 8 sentences
# > of 12 words with 4 numbers each?

# %%
ask(nn.Linear(4, 3), 8, 4)
ask(nn.Linear(4, 3), 8, 12, 4)

linear, x = nn.Linear(4, 3), torch.randn(8, 4)
assert linear.weight.shape == (3, 4) and linear.bias.shape == (3,)
assert torch.allclose(linear(x), x @ linear.weight.T + linear.bias, atol=1e-6)

# %% [markdown]
# **What happened.** Four weights and a bias for each of three outputs. A linear layer works on the *last* dimension and
# treats everything before it as "many samples". The count does not depend on how many there are. Note the weight's
# shape: outputs first, `[3, 4]`, which is why the formula has a transpose in it.
#
# ## Convolution: the same small window everywhere
#
# A linear layer on a 28 by 28 picture has a weight for each pixel, and what it learns about the top left corner is of
# no help in the bottom right. A **convolution** looks through a small window, at all channels of it at once, and slides
# the window over the whole input with *the same* weights. Along how many directions it slides is in the name: 1, 2 or
# 3.

# %%
ask(nn.Conv1d(1, 6, 5), 8, 1, 200)          # 1 channel in, 6 out, window of 5
ask(nn.Conv2d(1, 6, 5), 8, 1, 28, 28)       # window of 5 x 5
ask(nn.Conv3d(1, 6, 5), 8, 1, 8, 28, 28)    # window of 5 x 5 x 5

# %% [markdown]
# The 200 became 196: a window of 5 fits only where it does not hang over the edge, so 4 positions are lost. There are
# two knobs for that. **Padding** adds zeros at both ends. The **stride** lets the window jump. For each direction
#
# $$\text{out} = \left\lfloor \frac{\text{in} + 2 \cdot \text{padding} - \text{window}}{\text{stride}} \right\rfloor + 1 .$$
#
# > **Predict.** How many parameters does `nn.Conv2d(3, 6, 5)` have, on colour photos of 28 by 28? How many would it
# > have for photos of 1000 by 1000? And a linear layer from such a small photo to an output of the same size?

# %%
ask(nn.Conv2d(3, 6, 5), 8, 3, 28, 28)
ask(nn.Conv2d(3, 6, 5, padding=2), 8, 3, 28, 28)
ask(nn.Conv2d(3, 6, 5, padding=2, stride=2), 8, 3, 28, 28)
as_linear = (3 * 28 * 28 + 1) * (6 * 24 * 24)
print(f"a linear layer from [3, 28, 28] to [6, 24, 24]: {as_linear:,} parameters")
assert [row[3] for row in catalogue[-3:]] == [6 * (3 * 5 * 5 + 1)] * 3

# %% [markdown]
# **What happened.** Three channels times 25 places make 75 weights and a bias for each of the six outputs. The size of
# the picture does not enter at all, so it is the same for the large photo. That is the bargain of a convolution: a few
# hundred shared numbers in place of millions. What it can see with them is the subject of day 7. Here, one look at a
# single window is enough to believe it:

# %%
conv = nn.Conv1d(2, 6, 5)
x = torch.randn(8, 2, 200)
window = x[0, :, 30:35]                                        # [2, 5]: all channels
by_hand = (window * conv.weight[4]).sum() + conv.bias[4]       # output channel 4
agrees = torch.allclose(by_hand, conv(x)[0, 4, 30], atol=1e-6)
print("one position by hand agrees:", agrees)
assert agrees

# %% [markdown]
# ## Pooling: less of it
#
# After a convolution one often wants fewer, larger steps. **Pooling** replaces each window by its maximum or its mean.
# It has nothing to learn. Windows do not overlap unless you ask for it: the stride is the window's size.

# %%
tiles = torch.tensor([[1.0, 2, 0, 0], [3, 4, 0, 8], [0, 0, 5, 5], [0, 4, 5, 5]])
tiles = tiles[None, None]                            # [1, 1, 4, 4]
print("max: ", nn.MaxPool2d(2)(tiles)[0, 0].tolist())
print("mean:", nn.AvgPool2d(2)(tiles)[0, 0].tolist())

# %% [markdown]
# An *adaptive* pool turns the question round. You do not say how large the window is, but what size shall come out,
# whatever comes in. It stands in front of the last linear layer of many networks, which therefore accept pictures of
# any size.
#
# > **Predict.** A max-pool with a window of 3 on 200 moments: 200 is not divisible by 3. How many come out?

# %%
ask(nn.MaxPool1d(3), 8, 6, 200)
ask(nn.MaxPool2d(2), 8, 6, 28, 28)
ask(nn.MaxPool3d(2), 8, 6, 8, 28, 28)
ask(nn.AvgPool1d(2), 8, 6, 200)
ask(nn.AvgPool2d(2), 8, 6, 28, 28)
ask(nn.AvgPool3d(2), 8, 6, 8, 28, 28)
for size in (28, 45):
    ask(nn.AdaptiveAvgPool2d(7), 8, 6, size, size)
ask(nn.AdaptiveMaxPool1d(1), 8, 6, 200)
ask(nn.AdaptiveAvgPool3d(1), 8, 6, 8, 28, 28)
assert catalogue[-10][2] == [8, 6, (200 - 3) // 3 + 1]
assert catalogue[-4][2] == catalogue[-3][2] == [8, 6, 7, 7]  # from 28 and from 45
assert all(row[2][:2] == [8, 6] and row[3] == 0 for row in catalogue[-10:])

# %% [markdown]
# **What happened.** It is the formula from above, and the last two moments are dropped without a word. The channels are
# never touched: 6 in, 6 out. And 28 and 45 both became 7.
#
# ## Reading in order: RNN, LSTM, GRU
#
# A convolution sees a few neighbours. To understand a sentence you need to remember how it began. A **recurrent** layer
# reads one word after the other and keeps a *note*, the **hidden state**: a row of numbers that it rewrites at each
# word from the word and the old note.

# %%
sentences = torch.randn(8, 12, 4, device=device)    # 8 sentences of 12 words
rnn = nn.RNN(4, 16, batch_first=True).to(device)
outputs, last = rnn(sentences)                      # two things come out
print("outputs:", list(outputs.shape), "  last note:", list(last.shape))

note = torch.zeros(8, 16, device=device)
for word in sentences.unbind(dim=1):                # word: [8, 4]
    note = torch.tanh(word @ rnn.weight_ih_l0.T + rnn.bias_ih_l0
                      + note @ rnn.weight_hh_l0.T + rnn.bias_hh_l0)
assert torch.allclose(note, last[0], atol=1e-5)     # that is all there is to it
assert torch.allclose(outputs[:, -1], last[0])

# %% [markdown]
# `outputs` holds the note after *every* word, `[N, L, H]`. The second result holds the note after the *last* word, once
# per layer: `[layers, N, H]`. Use the first to say something about each word, the second to say something about the
# sentence.
#
# The plain RNN forgets fast, as the gradients of day 3 faded: its note passes through one tanh and one matrix per word.
# The **LSTM** has a second note, the *cell*, that passes through none, and three gates that decide what to forget,
# write and show. The **GRU** does with two gates and one note.
#
# > **Predict.** The RNN above computes one new row of 16 from word and note. An LSTM computes four such rows (three
# > gates and a proposal), a GRU three. What does that do to the number of parameters?

# %%
for layer in (nn.RNN, nn.LSTM, nn.GRU):
    ask(layer(4, 16, batch_first=True), 8, 12, 4)
one, four, three = (row[3] for row in catalogue[-3:])
assert (four, three) == (4 * one, 3 * one)

lstm = nn.LSTM(4, 16, num_layers=2, batch_first=True).to(device)
outputs, (note, cell) = lstm(sentences)
print("two layers:", *(list(t.shape) for t in (outputs, note, cell)))
assert note.shape == cell.shape == (2, 8, 16) and outputs.shape == (8, 12, 16)

# %% [markdown]
# **What happened.** Four times and three times, exactly. Mind the brackets in the last lines: an LSTM's second result
# is a *pair*. And mind `batch_first`, because it is the cause of a bug that raises no error.
#
# ## Break it on purpose: forget batch_first
#
# Without it a recurrent layer expects `[L, N, C]`, words first. We give it the same `[8, 12, 4]` all the same, and then
# change the first sentence only.
#
# > **Predict.** How many of the 8 sentences get a new output?

# %%
changed = sentences.clone()
changed[0] += 1                                            # another first sentence
for batch_first in (True, False):
    seed_everything(0)
    rnn = nn.RNN(4, 16, batch_first=batch_first).to(device)
    before, after = rnn(sentences)[0], rnn(changed)[0]     # [8, 12, 16] either way
    moved = (before != after).any(dim=2).any(dim=1).sum().item()
    print(f"batch_first={batch_first!s:5}  output {list(before.shape)}  moved: {moved}")
    assert moved == (1 if batch_first else 8)

# %% [markdown]
# **What happened.** Same shape, no error, and every sentence was affected by the first. The layer took our 8 sentences
# for 8 *moments*. This test, change one sample and look who moves, is worth remembering: nobody else in the batch
# should. (One layer below breaks this on purpose, in training.)

# %% [markdown]
# ### Exercise: predict the shape ★☆☆
#
# Which shape comes out of each? Give a list of six tuples such as `(8, 3)`. Use paper first; nothing stops you from
# running `ask` afterwards.
#
# 1. `nn.Linear(10, 3)` on `[5, 7, 10]`
# 2. `nn.Conv2d(3, 8, 5)` on `[4, 3, 32, 32]`
# 3. `nn.Conv1d(2, 6, 3, padding=1)` on `[4, 2, 50]`
# 4. `nn.MaxPool2d(2)` on `[4, 8, 28, 15]`
# 5. `nn.AdaptiveAvgPool2d(1)` on `[4, 8, 14, 9]`
# 6. the *last note* (the second result) of `nn.GRU(10, 20, batch_first=True)` on `[4, 7, 10]`
#
# (For `nn.Linear(4, 3)` on `[8, 4]` you would write `(8, 3)`.) Stuck? In a new cell, `hint("day04.predict_shapes")`
# gives a nudge, and a stronger one each time you call it.

# %%
predict_shapes = ...  # six tuples: [(5, 2), (4, 3, 2, 1), ...]

check("day04.predict_shapes", predict_shapes)


# %% [markdown]
# ## Normalisation: who is compared with whom?
#
# On day 3 the inputs of a bend could lie where it saturates. Normalisation pulls them back: subtract the
# mean, divide by the standard deviation. Then the layer may scale and shift the result per channel with two learned
# numbers, so that nothing is lost for good. Four kinds share this formula and differ in a single point: *over which
# entries* mean and deviation are taken.
#
# We can ask the layers themselves. If two entries share a mean, then changing one changes the normalised value of the
# other, and a gradient tells. Each panel below is a batch of shape `[4, 6, 5]`: 4 samples as rows, 6 channels side by
# side with 5 places each. The dot marks one entry; coloured is every entry that has a say in its normalised value.

# %%
def has_a_say(layer, entry=(1, 2, 0)):
    """Which entries of a batch [4, 6, 5] influence the normalised value of `entry`."""
    x = torch.randn(4, 6, 5, dtype=torch.float64, requires_grad=True)
    layer.double()(x)[entry].backward()
    return x.grad != 0  # [4, 6, 5]


norms = {"BatchNorm": nn.BatchNorm1d(6), "LayerNorm": nn.LayerNorm([6, 5]),
         "GroupNorm": nn.GroupNorm(2, 6), "InstanceNorm": nn.InstanceNorm1d(6)}
together = {name: has_a_say(norm) for name, norm in norms.items()}

# %%
fig, axes = plt.subplots(2, 2, figsize=(7, 3.8), sharex=True, sharey=True)
for ax, (name, say) in zip(axes.flat, together.items(), strict=True):
    ax.imshow(say.reshape(4, 30).numpy(), cmap="Blues", vmax=1.6, aspect="auto")
    ax.plot(10, 1, "o", color="black", markersize=5)
    ax.set_title(f"{name}: {int(say.sum())} entries")
    ax.grid(False)
    for line in range(5, 30, 5):
        ax.axvline(line - 0.5, color="black", linewidth=1)
    ax.set(yticks=range(4), xticks=range(2, 30, 5), xticklabels=range(6))
fig.supxlabel("channel, with its 5 places", fontsize=11)
fig.supylabel("sample", fontsize=11)
plt.show()
assert {n: int(s.sum()) for n, s in together.items()} == {
    "BatchNorm": 4 * 5, "LayerNorm": 6 * 5, "GroupNorm": 3 * 5, "InstanceNorm": 5}


# %% [markdown]
# Only **BatchNorm** reaches across samples: it takes one channel, in all of them. **LayerNorm** stays within a sample
# and takes everything in it. **GroupNorm** takes a group of channels of one sample, **InstanceNorm** a single channel
# of one sample. So much for the picture. Now the numbers: if this is right, mean and deviation over the coloured axes
# reproduce the layer.

# %%
def standardised(x, axes, eps=1e-5):
    """`x` minus its mean over `axes`, divided by its standard deviation there."""
    variance, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) / (variance + eps).sqrt()  # eps: never divide by zero


x = 3 * torch.randn(4, 6, 5, dtype=torch.float64) + 7
for name, axes in (("BatchNorm", (0, 2)), ("LayerNorm", (1, 2)), ("InstanceNorm", 2)):
    gap = (standardised(x, axes) - norms[name](x)).abs().max().item()
    print(f"{name:12}  over axes {axes!s:6}  agrees: {gap < 1e-9}")
    assert gap < 1e-9


# %% [markdown]
# ### Exercise: group normalisation by hand ★★☆
#
# GroupNorm is missing from that list, because its groups are not an axis yet. `group_norm(x, groups)` gets `x` of shape
# `[N, C, L]` and a number of groups that divides `C`. The first `C / groups` channels form the first group, the next as
# many the second, and so on. Return `x` normalised within each group of each sample, the same shape, with `eps = 1e-5`
# as above and nothing learned. For `x = [[[1.0], [3.0], [10.0], [30.0]]]` and 2 groups it is about `[[[-1], [1], [-1],
# [1]]]`. Do not use `nn.GroupNorm` or `F.group_norm`.

# %%
def group_norm(x, groups):
    """`x` [N, C, L] normalised over groups of channels within each sample."""
    ...  # your code here


check("day04.group_norm", group_norm)

# %% [markdown]
# The four questions, then, for the whole family.
#
# > **Predict.** How many parameters has a BatchNorm of 6 channels? And which of these layers will answer differently in
# > training?

# %%
ask(nn.BatchNorm1d(6), 8, 6)                  # facts, without places, will do too
ask(nn.BatchNorm1d(6), 8, 6, 200)
ask(nn.BatchNorm2d(6), 8, 6, 28, 28)
ask(nn.BatchNorm3d(6), 8, 6, 8, 28, 28)
ask(nn.LayerNorm(4), 8, 12, 4)                # each word for itself
ask(nn.LayerNorm([6, 28, 28]), 8, 6, 28, 28)
ask(nn.GroupNorm(3, 6), 8, 6, 28, 28)
ask(nn.InstanceNorm1d(6), 8, 6, 200)
ask(nn.InstanceNorm2d(6), 8, 6, 28, 28)
ask(nn.InstanceNorm3d(6), 8, 6, 8, 28, 28)
norm_rows = catalogue[-10:]
assert [bool(row[4]) for row in norm_rows] == [True] * 4 + [False] * 6
assert [row[3] for row in norm_rows] == [12] * 4 + [8, 2 * 6 * 28 * 28, 12] + [0] * 3
assert all(row[1] == row[2] for row in norm_rows)  # no shape changes

# %% [markdown]
# **What happened.** A scale and a shift per channel. LayerNorm has one pair for each *position* it normalises over, and
# InstanceNorm has none unless you say `affine=True`. And the fourth question, for the first time, has an interesting
# answer: all BatchNorms differ, and they alone.
#
# ## BatchNorm's diary
#
# Why? In training BatchNorm compares you with the others in your batch. But when you use the network, there may be no
# others, and an answer should not depend on who happens to stand beside you. So during training it keeps a diary, two
# **running averages** of the means and variances it saw, and in evaluation mode it uses the diary in place of the
# batch. The rule is
#
# $$\text{running} \leftarrow 0.9 \cdot \text{running} + 0.1 \cdot \text{batch}.$$
#
# > **Predict.** A channel has mean 5 and variance 4. The diary starts at mean 0 and variance 1. What does it say after
# > one batch? Roughly how many batches until it is right?

# %%
seed_everything(0)
norm = nn.BatchNorm1d(1)                              # training mode, as at first
diary = [(norm.running_mean.item(), norm.running_var.item())]
for _ in range(50):
    batch = 2 * torch.randn(64, 1) + 5                # [64, 1]
    expected = 0.9 * norm.running_mean + 0.1 * batch.mean()
    norm(batch)                                       # looking is enough to learn it
    assert torch.allclose(norm.running_mean, expected)
    diary.append((norm.running_mean.item(), norm.running_var.item()))
print("after  1 batch:   mean {:.1f}, variance {:.1f}".format(*diary[1]))
print("after 50 batches: mean {:.1f}, variance {:.1f}".format(*diary[50]))

# %%
fig, ax = plt.subplots()
for k, (label, truth) in enumerate((("running mean", 5), ("running variance", 4))):
    ax.axhline(truth, color="silver", linewidth=1)
    ax.plot([entry[k] for entry in diary], label=label)
ax.set(xlabel="batches seen", ylabel="the diary says", ylim=(0, 6))
ax.set_title("After about thirty batches the diary knows the data")
label_lines(ax)
plt.show()
assert all(abs(mean - 5) < 0.5 and abs(var - 4) < 1 for mean, var in diary[30:])
assert diary[10][0] < 4

# %% [markdown]
# **What happened.** A tenth of the way after one batch, and there after a few dozen. Two things to remember. The diary
# is written by *forward passes in training mode*, with no gradient and no optimizer involved. And it is not a
# parameter: it is a **buffer**, saved with the model but not trained.

# %%
print("parameters:", [name for name, _ in norm.named_parameters()])
print("buffers:   ", [name for name, _ in norm.named_buffers()])
norm.eval()
x = torch.tensor([[5.0], [9.0]])
by_hand = (x - norm.running_mean) / (norm.running_var + 1e-5).sqrt()
assert torch.allclose(norm(x), by_hand)                # weight 1 and bias 0 so far

# %% [markdown]
# ## Dropout: silence by lot
#
# **Dropout** draws a lot for each number and replaces it with 0 with probability `p`. Each training step therefore
# trains another thinned-out network, and no unit can rely on one particular neighbour. Afterwards, in evaluation mode,
# everybody may speak. But then twice as many would speak as in training (for `p = 0.5`), and the next layer would get a
# sum twice as large as it is used to.
#
# > **Predict.** Ten thousand ones go through `nn.Dropout(0.3)`. Which values come out in training? What is their mean?

# %%
drop = nn.Dropout(0.3)
ones = torch.ones(10_000)
out = drop.train()(ones)
print("values in training:  ", [round(v, 4) for v in out.unique().tolist()])
print("1 / (1 - p):         ", round(1 / 0.7, 4))
print(f"share of zeros:       {(out == 0).float().mean():.2f}")
print(f"mean:                 {out.mean():.2f}")
print("values in evaluation:", drop.eval()(ones).unique().tolist())
assert torch.allclose(out.unique(), torch.tensor([0, 1 / 0.7]))
assert abs(out.mean() - 1) < 0.04 and torch.equal(drop(ones), ones)

# %% [markdown]
# **What happened.** The survivors are enlarged to $1/(1-p)$, so that the mean stays what it was. The bill is paid in
# training, and evaluation needs no correction at all.
#
# In sounds and pictures neighbours tell the same story, and a single silenced pixel is easily guessed from the ones
# beside it. `Dropout1d`, `2d` and `3d` therefore silence whole channels.

# %%
seed_everything(1)
x = torch.ones(1, 8, 24)                          # one sound: 8 channels, 24 moments
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
for ax, drop in zip(axes, (nn.Dropout(0.4), nn.Dropout1d(0.4)), strict=True):
    out = drop(x)[0]
    ax.imshow((out > 0).numpy(), aspect="auto")
    ax.set(title=type(drop).__name__, xlabel="moment")
    ax.grid(False)
axes[0].set_ylabel("channel")
plt.show()
assert all(len(channel.unique()) == 1 for channel in out)     # all of it or nothing

# %% [markdown]
# Black is silence: scattered numbers on the left, entire channels on the right.

# %%
ask(nn.Dropout(0.5), 8, 4)
ask(nn.Dropout1d(0.5), 8, 6, 200)
ask(nn.Dropout2d(0.5), 8, 6, 28, 28)
ask(nn.Dropout3d(0.5), 8, 6, 8, 28, 28)
assert all(row[1] == row[2] and row[3] == 0 and row[4] for row in catalogue[-4:])

# %% [markdown]
# ## Building with Sequential
#
# Layers are pipes: if what comes out of one fits what goes into the next, they can be joined. `nn.Sequential` joins
# them. Let us predict a curve later today: one number in, one number out, and in between everything this lesson has to
# offer.

# %%
seed_everything(0)
net = nn.Sequential(
    nn.Linear(1, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1),
    nn.Linear(32, 1),
)
x = torch.randn(5, 1)
net.eval()
for layer in net:
    x = layer(x)
    print(f"{type(layer).__name__:12}", list(x.shape))


# %% [markdown]
# ### Exercise: add dropout and see what it does ★★☆
#
# Back to the lots. `dropout_effect(first, second, x, p, runs)` gets two linear layers, inputs `x` `[N, D]`, a
# probability and a number of runs. Build the network *first, ReLU, dropout with `p`, second*. Return two tensors: its
# outputs on `x` in `runs` calls in training mode, `[runs, N, out]`, and its output in evaluation mode, `[N, out]`. Then
# try it, with `dropout_effect(nn.Linear(4, 32), nn.Linear(32, 1), torch.randn(5, 4), 0.5, 200)`: how far do the outputs
# of a single sample spread, and where is their mean?

# %%
def dropout_effect(first, second, x, p, runs):
    """Outputs in training mode [runs, N, out] and in evaluation mode [N, out]."""
    ...  # your code here


check("day04.dropout_effect", dropout_effect)

# %% [markdown]
# The inside of a network is no secret. A module knows its parameters by name, and the name says where each of them
# lives: `4.weight` is the weight of the layer at position 4.

# %%
for name, p in net.named_parameters():
    print(f"{name:9} {list(p.shape)!s:9} {p.numel():5}")
total = sum(p.numel() for p in net.parameters())
print("in all:            ", total)
assert total == (1 * 32 + 32) + 2 * 32 + (32 * 32 + 32) + 2 * 32 + (32 + 1)


# %% [markdown]
# ### Exercise: print the number of parameters in each layer ★☆☆
#
# The list above has a line per tensor. We want one per *layer*. `layer_parameters(model)` returns a dictionary from the
# name of each layer that owns parameters to how many numbers it owns, weight and bias together, and prints a line for
# each. For `nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))` that is `{"0": 9, "2": 4}`. Models may be
# nested: the weight `body.0.weight` belongs to the layer `body.0`.

# %%
def layer_parameters(model):
    """How many numbers each layer of `model` owns: {name of the layer: count}."""
    ...  # your code here


check("day04.layer_parameters", layer_parameters)


# %% [markdown]
# ## Building with Module
#
# `Sequential` is a straight pipe. As soon as something branches, or you want names that mean something, write a class:
# make the layers in `__init__`, say in `forward` what is done with them. Assigning a layer to `self` is more than it
# looks: that is how the module learns that it owns it.

# %%
class Net(nn.Module):
    """One number in, one out; with batch normalisation and dropout, or without."""

    def __init__(self, hidden=32, norm=True, dropout=0.1):
        super().__init__()
        self.first = nn.Linear(1, hidden)
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)
        self.norm1 = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.norm2 = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):  # [N, 1]
        x = self.dropout(self.norm1(self.first(x)).relu())  # [N, hidden]
        x = self.dropout(self.norm2(self.second(x)).relu())  # [N, hidden]
        return self.last(x)  # [N, 1]


seed_everything(0)
twin = Net()
print("named:", [name for name, _ in twin.named_children()])
x = torch.randn(5, 1)
assert torch.equal(twin.eval()(x), net.eval()(x))  # same seed, same network

# %% [markdown]
# Call a model, `net(x)`, and never `net.forward(x)`: the call does a little more than that, as you will see on later
# days.
#
# Parameters can be **frozen**: with `requires_grad = False` they get no gradient, and no training step moves them.
# That is how one keeps what a network already knows and trains only a new end.

# %%
for p in twin.first.parameters():
    p.requires_grad = False
twin.train()(x).square().mean().backward()
print("first:", twin.first.weight.grad, "  last:", list(twin.last.weight.grad.shape))
assert twin.first.weight.grad is None and twin.last.weight.grad.abs().max() > 0


# %% [markdown]
# ### Exercise: count trainable parameters ★☆☆
#
# `count_trainable(model)` returns two whole numbers, `(trainable, frozen)`: how many numbers in the parameters of
# `model` will be trained, and how many will not. For `nn.Linear(3, 2)` with its bias frozen that is `(6, 2)`. Mind that
# it is numbers that count, not tensors.

# %%
def count_trainable(model):
    """How many numbers of `model` are trained, and how many are frozen."""
    ...  # your code here


check("day04.count_trainable", count_trainable)


# %% [markdown]
# ### Exercise: batch normalisation after each linear layer ★★☆
#
# `normed_network(sizes)` gets widths such as `[4, 16, 8, 3]` and returns a network that takes `[N, 4]`, passes through
# hidden layers of 16 and 8, and gives `[N, 3]`. After each linear layer comes a batch normalisation, then a ReLU. The
# last linear layer is the exception: it gives the answer, which nothing should normalise or cut off. It should work for
# any number of sizes from two up.

# %%
def normed_network(sizes):
    """Linear, BatchNorm1d, ReLU for each hidden size, and a last Linear."""
    ...  # your code here


check("day04.normed_network", normed_network)


# %% [markdown]
# ## Break it on purpose: layers in a plain list
#
# A number of hidden layers that may vary: put them in a list, what else? The network below learns to add its eight
# inputs. The middle layers stand in a Python list in one case and in an `nn.ModuleList` in the other. (The
# **optimizer** is handed the model's parameters; its `step()` is day 1's `weight -= rate * gradient`, for all of them
# at once.)
#
# > **Predict.** Does the first one raise an error? Does its loss fall? What is different?

# %%
class Deep(nn.Module):
    def __init__(self, container):
        super().__init__()
        self.hidden = container([nn.Linear(8, 32), nn.Linear(32, 32)])
        self.last = nn.Linear(32, 1)

    def forward(self, x):  # [N, 8]
        for layer in self.hidden:
            x = layer(x).relu()
        return self.last(x)  # [N, 1]


x = torch.randn(200, 8)
y = x.sum(dim=1, keepdim=True)  # [200, 1]

# %% tolerance={"rtol": 0.03}
for container in (list, nn.ModuleList):
    seed_everything(0)
    deep = Deep(container)
    before = deep.hidden[0].weight.detach().clone()
    optimizer = torch.optim.SGD(deep.parameters(), lr=0.05)
    first_loss = F.mse_loss(deep(x), y).item()
    for _ in range(100):
        optimizer.zero_grad()
        loss = F.mse_loss(deep(x), y)
        loss.backward()
        optimizer.step()
    moved = (deep.hidden[0].weight - before).abs().max() > 0
    print(f"{container.__name__:10} {len(list(deep.parameters()))} tensors owned;"
          f" first layer moved: {moved}; loss {first_loss:.1f} -> {loss.item():.2f}")
    assert moved == (container is nn.ModuleList) and loss < first_loss

# %% [markdown]
# **What happened.** No error, and the loss falls even so, which makes this bug hard to see. But the module never
# learned that it owns what is in the list. `parameters()` does not mention those layers, so the optimizer does not move
# them; `.to(device)` leaves them behind, `.eval()` does not reach them, and saving the model forgets them. A look at
# the *number* of parameters finds it at once. Make it a habit: count before you train.
#
# ## A single sample
#
# A network is trained on batches, but one day somebody wants a prediction for one sample.
#
# > **Predict.** The network takes `[N, 1]`. What happens with a sample of shape `[1]`? And with a batch of one, `[1,
# > 1]`, in training mode?

# %%
net.eval()
sample = torch.tensor([0.5])  # [1]: a sample without its batch
try:
    net(sample)
except (ValueError, RuntimeError) as error:
    print(f"{type(error).__name__}: {str(error).splitlines()[0]}")
alone = sample.unsqueeze(0)  # [1, 1]: a batch of one
print("with unsqueeze(0):", list(alone.shape), "->", list(net(alone).shape))

# %% [markdown]
# Some layers (Linear, the convolutions) are tolerant and take a sample without its batch. Others are not, so do not
# rely on it: **one sample is a batch of one**, and `unsqueeze(0)` makes it one. Now in training mode:

# %%
net.train()
refused = ""
try:
    net(alone)
except ValueError as error:
    refused = str(error)
    print("ValueError:", refused)
assert "more than 1 value per channel" in refused

# %% [markdown]
# **What happened.** Read the message: more than one value *per channel*. BatchNorm compares each value with the others
# of its channel in the batch. Alone, the mean is the value itself and the variance is zero: every input would come out
# as 0. PyTorch refuses, and rightly so.
#
# You will meet this message at a strange moment: after all went well, at the end of the first **epoch**, which is one
# pass over all training points.

# %%
sizes = [len(batch) for batch in torch.randn(101, 1).split(20)]
print("101 samples in batches of 20:", sizes)


# %% [markdown]
# The last batch has a single sample. Choose another batch size, or leave the last batch out (`drop_last`).
#
# ### Exercise: a batch of five, and a single sample ★☆☆
#
# `predict(model, x)` gets a model that accepts only batches, and `x`: either a batch `[N, D]` or one sample `[D]`. For
# a batch (say `[5, D]`) return the outputs `[N, out]`; for a single sample return its output `[out]`, without a batch
# dimension. A batch of one remains a batch of one. Predict in evaluation mode, and leave the model in the mode in which
# you found it (`model.training` tells).

# %%
def predict(model, x):
    """The output of `model` for a batch [N, D] or for a single sample [D]."""
    ...  # your code here


check("day04.predict", predict)


# %% [markdown]
# ## All of it together
#
# Time to train something. We make the data ourselves: points along a curve, each pushed up or down by chance. That
# has an advantage no real data has: we know the truth, and how much of the data is noise that nobody can predict.

# %%
def truth(x):
    """The curve behind the data."""
    return torch.sin(2.5 * x) + 0.4 * x


seed_everything(0)
x = 5 * torch.rand(150, 1) - 2.5                        # [150, 1]
y = truth(x) + 0.2 * torch.randn(150, 1)                # [150, 1]
order = torch.randperm(150)
x_train, y_train = x[order[:100]].to(device), y[order[:100]].to(device)
x_val, y_val = x[order[100:]].to(device), y[order[100:]].to(device)
print("train", list(x_train.shape), " validation", list(x_val.shape))

# %%
grid = torch.linspace(-2.5, 2.5, 200, device=device)[:, None]   # [200, 1]


def draw_data(ax):
    """The points of both parts, and the curve behind them."""
    ax.plot(grid.cpu(), truth(grid).cpu(), "--", color="gray", linewidth=1)
    for px, py, marker, label in ((x_train, y_train, "o", "training"),
                                  (x_val, y_val, "x", "validation")):
        ax.scatter(px.cpu(), py.cpu(), s=14, marker=marker, alpha=0.6, label=label)
    ax.set(xlabel="x", ylabel="y")


fig, ax = plt.subplots()
draw_data(ax)
ax.set_title("A curve, and chance on top of it")
ax.legend(loc="upper left")
plt.show()

# %% [markdown]
# The network learns from the 100 training points. The 50 **validation** points it never learns from: they tell how it
# does on points it has not seen. Two marks to measure against: the best a straight line can do, and the truth itself,
# whose error is the noise.

# %%
line = torch.cat([x_train, torch.ones_like(x_train)], dim=1)                # [100, 2]
fit = torch.linalg.lstsq(line.cpu(), y_train.cpu()).solution.to(device)     # [2, 1]
best_line = F.mse_loss(x_val * fit[0] + fit[1], y_val).item()
floor = F.mse_loss(truth(x_val), y_val).item()
print(f"validation loss of the best line: {best_line:.3f}, of the truth: {floor:.3f}")


# %% [markdown]
# ### The loop
#
# Each epoch has two halves. In the first the network is in training mode and learns, batch by batch. In the second it
# is in evaluation mode and is only measured, on both parts.

# %%
@torch.no_grad()
def measure(model, x, y):
    """Mean squared error in evaluation mode; the model learns nothing from it."""
    model.eval()
    return F.mse_loss(model(x), y).item()


def train(model, epochs=80, batch_size=20, learning_rate=0.01):
    """Train on the training part; (training, validation) loss after each epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(x_train)).to(device).split(batch_size):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x_train[batch]), y_train[batch])
            loss.backward()
            optimizer.step()
        history.append((measure(model, x_train, y_train), measure(model, x_val, y_val)))
    return history


# %% [markdown]
# The four lines in the middle are those of day 1, except that an optimizer does the step: `Adam` this time, which
# chooses a step length for each parameter; how, you will see on day 6.
#
# > **Predict.** Two networks of the same size: one with batch normalisation and dropout, one without. Which comes
# > closer to the truth? Three starts each.

# %% tolerance={"rtol": 0.12}
runs = {"with both": [], "plain": []}
for seed in range(3):
    for name in runs:
        seed_everything(seed)
        both = name == "with both"
        model = Net(norm=both, dropout=0.1 if both else 0.0).to(device)
        runs[name].append((model, train(model)))

print("training / validation loss after epoch 1, 20 and 80")
for name, three in runs.items():
    for _, history in three:
        shown = [history[epoch - 1] for epoch in (1, 20, 80)]
        print(f"{name:12}", *(f"{train:8.2f} / {val:.2f}" for train, val in shown))

# %%
final = {name: [history[-1][1] for _, history in three] for name, three in runs.items()}
assert max(final["plain"]) < min(final["with both"])
assert max(final["with both"]) < 0.75 * best_line
assert all(h[-1][0] > 2 * floor for _, h in runs["with both"])
assert max(final["plain"]) - floor < 0.3 * (best_line - floor)
fig, ax = plt.subplots()
for k, (name, three) in enumerate(runs.items()):
    for seed, (_, history) in enumerate(three):
        ax.plot(range(1, 81), [val for _, val in history], color=PALETTE[k + 2],
                linewidth=1.2, label=name if seed == 0 else None)
for height, name in ((best_line, "best line"), (floor, "truth")):
    ax.plot([1, 80], [height] * 2, "--", color="gray", linewidth=1, label=name)
ax.set(yscale="log", xlabel="epoch", ylabel="validation loss (log scale)")
ax.set_yticks([0.03, 0.1, 0.3], ["0.03", "0.1", "0.3"])
ax.minorticks_off()
ax.set_title("On a small curve the plain network wins, three out of three")
label_lines(ax)
plt.show()

# %%
fig, ax = plt.subplots()
draw_data(ax)
curves = {}
for k, (name, three) in enumerate(runs.items()):
    with torch.no_grad():
        curves[name] = three[0][0].eval()(grid).cpu()          # [200, 1]
    ax.plot(grid.cpu(), curves[name], color=PALETTE[k + 2], label=name)
ax.set_title("With both, the fit stays flatter than the data")
label_lines(ax)
plt.show()
assert curves["with both"].std() < 0.9 * truth(grid).std()
assert curves["with both"].std() < curves["plain"].std()


# %% [markdown]
# **What happened.** Both beat the straight line, and the plain network covers most of the way down to the truth, below
# which one gets by luck alone. The one with all the extras does *worse*, and the two columns tell in which way: it does
# not even fit the points it was trained on. Dropout and batch normalisation are not medicine for everyone. Dropout
# helps large networks that would otherwise learn their data by heart; ours is small, and it neither helps nor harms
# (take it out and see). But a BatchNorm over 20 random
# points gives each batch a slightly different ruler: whether a point lies left or right of the *batch's* mean depends
# on who else was drawn. In deep networks a little of that noise may even help. Here, where every point is a single
# number, it blurs the only thing there is to know. Measure, with more than one seed, before you add a layer.
#
# ### Exercise: log the loss at each epoch ★★☆
#
# `measure` looks at the training points after the epoch. One can have that number for free: the losses of the batches
# were computed anyway. `log_losses(model, batches, x_val, y_val, epochs, learning_rate)` trains with plain SGD on
# `batches`, a list of pairs `(x, y)` of unequal size, taken in the given order in every epoch, with the mean squared
# error. It returns a list with a pair `(training, validation)` of floats for each epoch. The training loss is the mean
# over the *samples* of the epoch, of the losses as they came up while training. The validation loss is measured after
# each epoch, in evaluation mode. (Losses of 1.0 over a batch of 4 and of 6.0 over a batch of 1 give 2.0.)

# %%
def log_losses(model, batches, x_val, y_val, epochs, learning_rate):
    """Train `model`; a pair (training loss, validation loss) for each epoch."""
    ...  # your code here


check("day04.log_losses", log_losses)

# %% [markdown]
# ## Break it on purpose: forget eval()
#
# The trained network with dropout and batch normalisation, asked the same question three times. First as it is after a
# training step, then properly.
#
# > **Predict.** How much do the three answers differ? And does *asking* change the network?

# %% tolerance={"rtol": 0.08}
trained = runs["with both"][0][0]
question = x_val[:4]
model = copy.deepcopy(trained).train()  # a copy, since asking may change it
with torch.no_grad():
    forgotten = torch.stack([model(question)[0, 0] for _ in range(3)]).cpu()
    model = copy.deepcopy(trained).eval()
    proper = torch.stack([model(question)[0, 0] for _ in range(3)]).cpu()
print("eval() forgotten:", [round(v, 2) for v in forgotten.tolist()])
print("with eval():     ", [round(v, 2) for v in proper.tolist()])
assert len(forgotten.unique()) > 1 and len(proper.unique()) == 1

# %%
model = copy.deepcopy(trained).train()
with torch.no_grad():
    model(x_val)                                           # "only" a validation pass
changed = not torch.equal(trained.norm1.running_mean, model.norm1.running_mean)
print("did looking at validation data change the model?", changed)
assert changed

# %% [markdown]
# **What happened.** The same question gets another answer each time, because dropout draws another lot. What the second
# cell shows is worse: `no_grad` stops gradients, but it does not stop BatchNorm's diary. The validation points have
# written themselves into the model that they are supposed to judge. `no_grad` and `eval()` do different things, and
# validation needs both.
#
# ## The catalogue
#
# Every layer that you asked today, with its four answers. Nobody typed this table: it is what `ask` wrote down.

# %%
pd.set_option("display.max_rows", 60)
columns = ["layer", "goes in", "comes out", "parameters", "in training"]
table = pd.DataFrame(catalogue, columns=columns).set_index("layer")
table

# %%
kinds = {name for name, *_ in catalogue}
print(len(kinds), "kinds of layers; different in training:")
differing = sorted({name for name, *_, mode in catalogue if mode})
print(", ".join(differing))
assert len(differing) == 7 and 25 < len(kinds) < 31
assert all(name.startswith(("BatchNorm", "Dropout")) for name in differing)

# %% [markdown]
# ## Recap
#
# - **Shapes and counts.** Linear works on the last dimension; convolutions slide a shared window over the places and
#   change the channels; pools shrink the places and leave the channels; recurrent layers read `[N, L, C]` with
#   `batch_first=True`, and give a note per word and a last note. Norms and dropout change no shape.
# - **Modules.** A module owns what you assign to `self`, not what hides in a plain list. Names and counts of parameters
#   are one call away: look at them before you train.
# - **Two modes.** Of all these layers only dropout and BatchNorm know the difference. Dropout draws lots in training
#   and enlarges the survivors by $1/(1-p)$. BatchNorm compares within the batch in training, and consults its diary
#   afterwards.
# - **The loop.** Train mode, learn, eval mode, measure on points it never learned from. And an extra layer has to earn
#   its place on more than one seed.
#
# ## What to try next
#
# - Which of the two extras did the harm? Train `Net(norm=True, dropout=0.0)` and `Net(norm=False, dropout=0.1)`. Then
#   give the guilty one all points at once: `batch_size=100, epochs=400` makes as many steps as before.
# - Ask `nn.ConvTranspose2d(6, 3, 2, stride=2)` and `nn.Embedding` the four questions. (The second wants whole numbers:
#   `ask` will complain. Read the message.)
# - Give `Deep` an `nn.Sequential` as container. Why does `container([..])` not work, and `container(*[..])` does?
#
# ## References
#
# - Hochreiter and Schmidhuber (1997), *Long short-term memory*: a cell that carries memory across a thousand steps.
# - Cho et al. (2014): the gated recurrent unit, made for translation.
# - Srivastava et al. (2014), *Dropout*: less overfitting across images, speech and text. They shrank the weights after
#   training; enlarging the survivors instead came into use later.
# - Ioffe and Szegedy (2015), *Batch normalization*: the same accuracy in 14 times fewer steps on ImageNet.
# - Ba, Kiros and Hinton (2016): LayerNorm, for recurrent networks. Ulyanov, Vedaldi and Lempitsky (2016): InstanceNorm,
#   for transferring the style of paintings. Wu and He (2018): GroupNorm, and the picture of axes that ours is modelled
#   on.
#
# Tomorrow: what to feed them. [Day 5: what should a network see, and what must it never see? →](day05_data.ipynb)
