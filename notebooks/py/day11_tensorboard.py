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
# # Day 11: how do you watch a network learn?
#
# *Reading: about 35 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 6](day06_mlp_mnist.ipynb) and
# [day 10](day10_learning_rate.ipynb).*
#
# Two training runs end in the morning with the same last line: no better than guessing. One had a learning rate
# that was far too low, in the other every unit of the first layer was dead. The line does not tell them apart. What you
# wish for then is a recording: every layer, every epoch, kept in a file that is still there when the program is not.
#
# **By the end you can**
#
# - write a hook that records curves, histograms, pictures, a graph, precision and recall, an embedding, and the
#   settings of a run, without disturbing it;
# - say what is in an event file, and read it back without TensorBoard;
# - tell causes apart that give the same curve, and compare settings by more than one lucky run;
# - open the dashboard, in a notebook or by itself, and close it again.
#
# [← Day 10: how long should a step be?](day10_learning_rate.ipynb) ·
# [Day 12: how good is it, really? →](day12_metrics.ipynb)

# %%
import copy
import io
import os
import shlex
import shutil
import struct
import sys
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter

from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.plots import PALETTE, label_lines, show_images, use_style
from nnlab_helpers.train import fit

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## Look first
#
# Today is about watching, so the thing to be watched is small: 3,000 digits, 1,000 more for validation, and a network
# with two hidden layers. All recordings go into a temporary folder, which is removed when this notebook's kernel ends.

# %%
digits = load_images("mnist", "train")
train_part, val_part = torch.randperm(len(digits))[:4_000].split([3_000, 1_000])
common = {"normalize": Normalize.from_images(digits, train_part), "device": device}
val_loader = TensorLoader(digits, val_part, batch_size=1_000, **common)
val_x, val_y = next(iter(val_loader))  # [1000, 1, 28, 28], [1000]
temporary = tempfile.TemporaryDirectory(prefix="nnlab-", ignore_cleanup_errors=True)
logs = Path(temporary.name)
first = digits.take(val_part[:10])
show_images(first.images, first.labels.tolist(), title="Ten of the digits it is asked")
plt.show()


# %%
def make_reader():
    """784 -> 64 -> 32 -> 10 logits; takes images [B, 1, 28, 28]."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 64), nn.ReLU(),
        nn.Linear(64, 32), nn.ReLU(),
        nn.Linear(32, 10),
    )


def train(hooks, seed=0, rate=2e-3, epochs=4, prepare=None):
    """Train a fresh network while `hooks` look on; returns it and its history."""
    seed_everything(seed)
    model = make_reader().to(device)
    if prepare:
        prepare(model)
    loader = TensorLoader(
        digits, train_part, batch_size=100, shuffle=True, seed=seed, **common
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    return model, fit(
        model, loader, val_loader, epochs=epochs, optimizer=optimizer, hooks=hooks
    )


# %% [markdown]
# ## Who may look, and when
#
# A **hook** is an object that the training loop calls at certain moments. Ours has four: before the first epoch
# (`on_start`), after each change of the weights (`on_update`), after each epoch and its validation (`on_epoch`), and
# when everything is over (`on_end`). A hook has the methods it cares for and no others. Each gets one `event`, through
# which it sees the model (`event.model`), the numbers of the moment (`event.values`), how many updates and epochs there
# have been (`event.update`, `event.epoch`), and the history so far (`event.history`).

# %%
class Count:
    """Counts the moments of a run, and keeps the last event of each kind."""

    def __init__(self):
        self.calls, self.last = {}, {}

    def _note(self, event):
        self.calls[event.moment] = self.calls.get(event.moment, 0) + 1
        self.last[event.moment] = event

    on_start = on_update = on_epoch = on_end = _note


count = Count()
train([count], epochs=2)
print(count.calls)
print("at an update:", sorted(count.last["update"].values))
print("at an epoch: ", sorted(count.last["epoch"].values))
assert count.calls == {"start": 1, "update": 60, "epoch": 2, "end": 1}

# %% [markdown]
# 3,000 digits in batches of 100 make 30 updates an epoch. After an update a hook sees the loss and the accuracy of
# that one batch; after an epoch, the whole row of the history.

# %% [markdown]
# ## A file that only grows
#
# Where should a hook put what it sees? In a list it would be lost with the program. TensorBoard, a viewer for training
# runs that Google published with TensorFlow, settled on the simplest thing that survives: a file to which records are
# appended, and nothing is ever changed. PyTorch writes that format through `SummaryWriter`. A **scalar** is a number
# with a name, its *tag*, and a *step*: where on the horizontal axis it belongs.

# %%
with SummaryWriter(str(logs / "by_hand")) as writer:
    for step, loss in enumerate([3.0, 2.0, 1.5]):
        writer.add_scalar("made_up/loss", loss, step)
(path,) = (logs / "by_hand").iterdir()
print(path.name.rsplit(".", 4)[0] + ".<seconds>.<computer>.<process>.<count>")


# %% [markdown]
# Inside, each record is eight bytes that say how long it is, four bytes of checksum, the content, and a checksum of
# that. A reader takes a few lines. (We skip the checksums. The content is a *protocol buffer*, a compact form of
# nested fields, for which TensorBoard brings the decoder.)

# %%
def records(raw):
    """The contents of all complete records in the bytes of an event file."""
    while len(raw) >= 12:
        (length,) = struct.unpack("<Q", raw[:8])
        content, rest = raw[12 : 12 + length], raw[12 + length :]
        if len(rest) < 4:
            return  # the last record is cut off
        yield content
        raw = rest[4:]  # past the second checksum


# %%
from tensorboard.compat.proto.event_pb2 import Event


def scalars_in(raw):
    """[(tag, step, value), ...] of the scalars in the bytes of an event file."""
    events = [Event.FromString(content) for content in records(raw)]
    return [(v.tag, e.step, v.simple_value) for e in events for v in e.summary.value]


raw = path.read_bytes()
print(*scalars_in(raw), sep="\n")
assert scalars_in(raw) == [("made_up/loss", i, x) for i, x in enumerate([3, 2, 1.5])]

# %% [markdown]
# > **Predict.** The power fails in the middle of writing the third number: the file ends half-way through its last
# > record. What can still be read: nothing, two numbers, or three with the last one wrong?

# %%
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

(logs / "cut").mkdir()
(logs / "cut" / path.name).write_bytes(raw[:-10])
survivors = EventAccumulator(str(logs / "cut")).Reload().Scalars("made_up/loss")
print("our reader:   ", [value for _, _, value in scalars_in(raw[:-10])])
print("TensorBoard's:", [event.value for event in survivors])
assert [event.value for event in survivors] == [3.0, 2.0]

# %% [markdown]
# **What happened.** Two. What was complete stays readable, and a reader knows from the length (TensorBoard's also from
# the checksum) that something is missing. For the same reason you can look at a run while it is being written.
#
# `EventAccumulator` is TensorBoard's own reader. It keeps only a sample of long series, unless it is told
# to keep everything, which is what the zeros below mean.

# %%
shutil.rmtree(logs / "cut")
KEEP_ALL = {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0}


def read(folder):
    """All that the event files in `folder` hold."""
    return EventAccumulator(str(folder), size_guidance=KEEP_ALL).Reload()


# %% [markdown]
# ## Curves
#
# The first real hook. After every fifth update it writes the loss of that batch, and after each epoch the row of the
# history. Tags with the same first part (`loss/...`) stand together in the dashboard.

# %%
class Curves:
    """Writes the loss of every fifth update, and each epoch's numbers."""

    def __init__(self, writer):
        self.writer = writer

    def on_update(self, event):
        if event.update % 5 == 0:
            self.writer.add_scalar("loss/update", event.values["loss"], event.update)

    def on_epoch(self, event):
        for name, value in event.values.items():
            part, _, rest = name.partition("_")
            tag = f"{rest}/{part}" if part in ("train", "val") else name
            if name != "epoch":
                self.writer.add_scalar(tag, value, event.epoch)


# %% tolerance={"rtol": 0.03}
with SummaryWriter(str(logs / "curves")) as writer:
    _, history = train([Curves(writer)], epochs=6)
events = read(logs / "curves")
print("tags:", *events.Tags()["scalars"])
print("validation loss:", [round(e.value, 3) for e in events.Scalars("loss/val")])
written = [e.value for e in events.Scalars("loss/val")]
assert np.allclose(written, history["val_loss"]), "the file and the history disagree"

# %% [markdown]
# What `Scalars` gives is a list of events with `.step`, `.value` and `.wall_time`, the clock's time in seconds. That is
# all you need to draw the curve yourself, with the axes and the title that *you* want. The two curves below count in
# different steps, updates and epochs; 30 updates make an epoch.

# %%
fig, ax = plt.subplots()
for tag, name in (("loss/update", "one batch"), ("loss/val", "validation")):
    points = events.Scalars(tag)
    scale = 30 if tag == "loss/val" else 1  # updates in an epoch
    ax.plot([p.step * scale for p in points], [p.value for p in points], label=name)
ax.set(xlabel="update", ylabel="cross-entropy (nats)", ylim=(0, None))
ax.set_title("One batch is noisy, a thousand digits are not")
label_lines(ax)
plt.show()

# %% tolerance={"rtol": 0.03}
batch_curve = np.array([e.value for e in events.Scalars("loss/update")])[12:]
val_curve = np.array(written)[2:]  # both from epoch 3 on
jitter, drift = np.abs(np.diff(batch_curve)).mean(), np.abs(np.diff(val_curve)).mean()
print(f"from one point to the next: batch {jitter:.3f}, validation {drift:.3f}")
assert jitter > 2 * drift, "the title above no longer holds"


# %% [markdown]
# ### Exercise: read a curve back ★★☆
#
# A run that was killed and resumed from its last checkpoint goes on in the same folder, with a second file. The epochs
# between the checkpoint and the end of the first file are then recorded twice. Write `read_scalars(folder, tag)`,
# which returns `(steps, values)`: two lists of equal length, ordered by step, each step **once**. Where a step was
# recorded more than once, the record with the latest `wall_time` counts. Steps are whole numbers, values floats. For
# the records (step, value, time) `(1, 0.9, 10.0)`, `(2, 0.7, 11.0)`, `(2, 0.6, 20.0)` the answer is `([1, 2], [0.9,
# 0.6])`. You may use `read` from above. A tag that is not there may raise whatever `read(folder).Scalars(tag)` raises.
#
# Stuck? `hint("day11.read_scalars")` gives a first nudge, and a stronger one each time you call it.

# %%
def read_scalars(folder, tag):
    """(steps, values) of a scalar in the event files of `folder`."""
    ...  # your code here


check("day11.read_scalars", read_scalars)


# %% [markdown]
# ### Exercise: two lines in one chart ★☆☆
#
# `Curves` gives training and validation loss a chart each. To compare them you want them in one.
# `writer.add_scalars(main_tag, {name: value, ...}, step)` does that, with an *s*: one chart, a line for each name.
# Write the hook `both_losses(writer, event)`: called after an epoch, it makes **one** such call, with the main tag
# `"loss"`, the names `"training"` and `"validation"`, and the epoch as the step. The numbers are in
# `event.values["train_loss"]` and `event.values["val_loss"]`. Where there is no validation, there is no `"val_loss"`,
# and the line is left out.

# %%
def both_losses(writer, event):
    """Write training and validation loss of an epoch into one chart."""
    ...  # your code here


check("day11.both_losses", both_losses)

# %% [markdown]
# ## Smooth, but do not lie
#
# The loss of one batch jumps about: a hundred digits are a small sample, and the next hundred may be harder. Yet it is
# there from the first update on, when validation has not seen anything yet. Can one have both, early and calm?
#
# TensorBoard has a slider called *smoothing*. Behind it is a running average: with weight $w$, each value $x_t$ gives
# way to $a_t = w\,a_{t-1} + (1 - w)\,x_t$, where $a_0 = 0$. Adam keeps the same average of the gradient. We try it
# as it stands, without what Adam does to it next.
#
# > **Predict.** Take a batch loss that starts at about 2 and falls. With $w = 0.9$, what does this average show for
# > the first three points: about 2, something higher, or something much lower?

# %% tolerance={"rtol": 0.03}
noisy = np.array([e.value for e in events.Scalars("loss/update")])
average, averages = 0.0, []
for x in noisy:
    average = 0.9 * average + 0.1 * x
    averages.append(average)
print("values: ", noisy[:3].round(2))
print("average:", np.round(averages[:3], 2))
assert averages[0] < 0.2 * noisy[0]
assert averages[2] < noisy[:3].min(), "below everything it is an average of"

# %%
fig, ax = plt.subplots()
steps = [e.step for e in events.Scalars("loss/update")]
ax.plot(steps, noisy, label="values")
ax.plot(steps, averages, label="average")
ax.set(xlabel="update", ylabel="loss of one batch (nats)", ylim=(0, None))
ax.set_title("An average that starts at zero invents a rise")
label_lines(ax)
peak = int(np.argmax(averages))
assert peak > 1 and averages[peak] > 1.5 * averages[0], "the title no longer holds"
plt.show()


# %% [markdown]
# **What happened.** Far too low: the average starts at zero, and for a while it is mostly that zero. It *rises* while
# the loss falls. TensorBoard's slider does better, with the correction that Adam uses too.
#
# ### Exercise: the slider ★★☆
#
# After $t$ values (the first is $t = 1$) the weights of the average add up to $1 - w^t$, not to 1. Write
# `smooth(values, weight)` for a list of floats and a weight $0 \le w < 1$. It returns a list of the same length: the
# running average from above, each entry divided by the sum of its weights. `smooth([4.0, 2.0], 0.5)` is `[4.0,
# 2.666...]`, since $(0.25 \cdot 4 + 0.5 \cdot 2) / 0.75 = 2.666...$. An empty list gives an empty list. With $w = 0$
# nothing changes.

# %%
def smooth(values, weight):
    """Running average of `values` as TensorBoard's slider draws it."""
    ...  # your code here


check("day11.smooth", smooth)


# %% [markdown]
# ## Histograms: what a curve leaves out
#
# A **histogram** counts how many of a layer's numbers fall into each of many small intervals. Written once an epoch,
# it is a film of that layer. Right after an epoch the gradients of its last update are still in `.grad`, so the same
# hook can record both.

# %%
class Histograms:
    """Writes a histogram of each weight and its gradient, after every epoch."""

    def __init__(self, writer):
        self.writer = writer

    def on_epoch(self, event):
        for name, p in event.model.named_parameters():
            self.writer.add_histogram(f"weights/{name}", p, event.epoch)
            self.writer.add_histogram(f"gradients/{name}", p.grad, event.epoch)


# %% [markdown]
# From the beginning of this lesson: two patients whose loss does not fall. `too_slow` has a learning rate of a
# millionth. In `all_dead` the first layer's biases start at -30, so that its ReLUs give zero for every digit.

# %% tolerance={"rtol": 0.03}
def kill_first_layer(model):
    """Set the biases of the first layer so low that its units never respond."""
    nn.init.constant_(model[1].bias, -30.0)


PATIENTS = {"too_slow": {"rate": 1e-6}, "all_dead": {"prepare": kill_first_layer}}
for name, treatment in PATIENTS.items():
    with SummaryWriter(str(logs / name)) as writer:
        _, history = train([Curves(writer), Histograms(writer)], epochs=2, **treatment)
    print(f"{name}: validation loss", " ".join(f"{v:.2f}" for v in history["val_loss"]))
    assert abs(history["val_loss"][-1] - np.log(10)) < 0.1, "as good as guessing"
    assert np.ptp(history["val_loss"]) < 0.05, "flat"

# %% [markdown]
# The two curves are as flat as each other. Each run recorded the gradients of its three weight matrices.
#
# > **Predict.** In which of the two are gradients exactly zero? In all three matrices, or only in some?

# %% tolerance={"rtol": 0.03}
LAYERS = {"first": "1.weight", "second": "3.weight", "third": "5.weight"}
largest = {}
for name in PATIENTS:
    recorded = read(logs / name)
    for layer, parameter in LAYERS.items():
        h = recorded.Histograms(f"gradients/{parameter}")[-1].histogram_value
        largest[name, layer] = max(abs(h.min), abs(h.max))
        print(f"{name}, {layer} matrix: largest gradient {largest[name, layer]:.2g}")
assert all(largest["too_slow", layer] > 1e-3 for layer in LAYERS)
assert largest["all_dead", "first"] == largest["all_dead", "second"] == 0.0
assert largest["all_dead", "third"] > 1e-3


# %% [markdown]
# **What happened.** In `too_slow` every matrix has a gradient, and nobody acts on it: raise the rate. In `all_dead`
# the first and second matrix get none at all. The first, because the slope of a dead ReLU is zero; the second, because
# the gradient of a weight is proportional to its input, and its inputs are all zero. Only the third still has
# something to go by. No learning rate will help; the start must change. One curve, two diseases, and the histogram
# told them apart.

# %% [markdown]
# In a healthy run it is the weights that are worth watching. A stored histogram has `bucket_limit`, where each interval
# ends, and `bucket`, how many numbers fell into it. That is enough to say below which value five or fifty per cent of
# them lie, which TensorBoard draws in its tab *Distributions*.

# %%
def quantile(histogram, share):
    """The value below which `share` of the numbers in a stored histogram lie."""
    cumulated = np.cumsum(histogram.bucket) / np.sum(histogram.bucket)
    return np.interp(share, cumulated, histogram.bucket_limit)


with SummaryWriter(str(logs / "healthy")) as writer:
    healthy, _ = train([Curves(writer), Histograms(writer)], epochs=6)
films = read(logs / "healthy").Histograms("weights/1.weight")
final_weights = healthy[1].weight.detach().cpu().numpy()
spread = np.quantile(final_weights, 0.95) - np.quantile(final_weights, 0.05)
last = films[-1].histogram_value
assert abs(quantile(last, 0.95) - quantile(last, 0.05) - spread) < 0.1 * spread

# %%
fig, ax = plt.subplots()
epochs = [film.step for film in films]
for low in (0.01, 0.05, 0.25):
    pair = [[quantile(f.histogram_value, q) for f in films] for q in (low, 1 - low)]
    ax.fill_between(epochs, *pair, color=PALETTE[0], alpha=0.25, linewidth=0)
    ax.text(epochs[-1] + 0.1, pair[1][-1], f"{1 - low:.0%} lie below", va="center")
ax.set(xlabel="epoch", ylabel="weight in the first layer")
ax.set(xlim=(1, 7.4), xticks=epochs)
ax.set_title("The weights of the first layer spread as it learns")
ends = [[quantile(f.histogram_value, q) for q in (0.01, 0.99)] for f in films]
widths = np.diff(ends)[:, 0]
assert widths[-1] > 1.1 * widths[0], "the title no longer holds"
plt.show()


# %% [markdown]
# ### Exercise: how long is each gradient? ★★☆
#
# A histogram is large; often one number a layer is enough. Write the hook `GradientNorms`. It is made with a `writer`.
# In `on_update(event)` it writes, for each parameter of `event.model` that **has** a gradient (`p.grad is not None`),
# the length of the gradient, the root of the sum of its squares, as a scalar: tag `gradient_norm/` followed by the
# parameter's name in `named_parameters()`, step `event.update`. For a gradient `[[3.0], [4.0]]` it is 5. Frozen
# parameters have no gradient and are left out. The gradients must stay as they are. The value may be a float or a
# tensor with one number.

# %%
class GradientNorms:
    """Writes the length of each parameter's gradient after every update."""

    def __init__(self, writer):
        self.writer = writer

    def on_update(self, event):
        ...  # your code here


check("day11.gradient_norms", GradientNorms)


# %% [markdown]
# ## Pictures, and the graph
#
# Each unit of the first layer has one weight for each pixel, so its weights are an image of what it looks for. This
# hook records these images, and before the first epoch the **graph**: which operation feeds which. To find out,
# PyTorch sends one batch through the model and takes notes. We give it a copy on the CPU: to check its notes it
# computes in float64, which Apple's GPUs do not have. (It does all this by a way that it calls deprecated, though it
# has no other for this purpose yet; we silence that one warning.)

# %%
class Pictures:
    """Writes the model's graph once, and the weights of its first layer as images."""

    def __init__(self, writer):
        self.writer = writer

    def on_start(self, event):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit.trace", FutureWarning)
            self.writer.add_graph(copy.deepcopy(event.model).cpu(), val_x[:1].cpu())
        self.on_epoch(event)  # the weights before training, at epoch 0

    def on_epoch(self, event):
        weights = event.model[1].weight.detach()[:8]  # [8, 784]
        images = (0.5 + 4 * weights).clamp(0, 1).view(-1, 1, 28, 28)
        self.writer.add_images("first_layer", images, event.epoch)


# %%
with SummaryWriter(str(logs / "pictures")) as writer:
    train([Curves(writer), Pictures(writer)], epochs=6)
events = read(logs / "pictures")
kinds = [node.op for node in events.Graph().node]
print("operations in the graph:", sorted({k for k in kinds if k.startswith("aten::")}))
assert kinds.count("aten::linear") == 3

# %%
films = events.Images("first_layer")
fig, axes = plt.subplots(2, 1, figsize=(7, 2.3))
for ax, film, name in zip(axes, (films[0], films[-1]), ("before", "after")):
    grid = plt.imread(io.BytesIO(film.encoded_image_string))  # a PNG, [28, 224, 3]
    ax.imshow(grid)
    ax.set(xticks=[], yticks=[], ylabel=name)
    ax.grid(False)
fig.suptitle("Training writes into the noise that units began with", weight="bold")
plt.show()


# %% [markdown]
# ## Precision and recall
#
# Accuracy is one number for ten digits. Suppose only the eights matter to you. You call everything an eight whose
# probability of being one, as the network sees it, is at least some threshold. **Precision** is the share of true eights among those you called eights;
# **recall** is the share of all eights that you found. A low threshold finds them all and much else; a high one is
# seldom wrong and misses many. The **PR curve** shows both for every threshold. Day 12 has more to say about them;
# here we record one an epoch.

# %%
class EightsCurve:
    """Writes, after every epoch, how precision and recall for the digit 8 trade off."""

    def __init__(self, writer):
        self.writer = writer

    @torch.no_grad()
    def on_epoch(self, event):
        event.model.eval()  # fit puts the mode back after us
        probability = event.model(val_x).softmax(dim=1)[:, 8]  # [1000]
        self.writer.add_pr_curve("eights", val_y == 8, probability, event.epoch)


# %% [markdown]
# > **Predict.** With a threshold of zero you call *everything* an eight. What are recall and precision then?

# %%
from tensorboard.util.tensor_util import make_ndarray

with SummaryWriter(str(logs / "eights")) as writer:
    train([Curves(writer), EightsCurve(writer)], epochs=6)
recorded = read(logs / "eights").Tensors("eights")
curves = {e.step: make_ndarray(e.tensor_proto) for e in recorded}
# A column for each threshold, from 0 up to 1; rows 1 to 3 are FP, TN, FN.
true, precision, recall = curves[1][[0, 4, 5]]
share = (val_y == 8).float().mean().item()
print(f"recall {recall[0]:.3f}, precision {precision[0]:.3f};"
      f" share of eights {share:.3f}")
assert recall[0] == 1.0 and abs(precision[0] - share) < 1e-6

# %% [markdown]
# **What happened.** You found every eight, and you are right as often as there are eights: that is the right end of
# every PR curve, however bad or good the network. What tells networks apart is how long the curve stays up on its way
# there.

# %% tolerance={"rtol": 0.03}
fig, ax = plt.subplots(figsize=(7, 3.4))
found = {}
for epoch, colour in ((1, PALETTE[1]), (6, PALETTE[0])):
    true, precision, recall = curves[epoch][[0, 4, 5]]
    some = true > 0  # where nothing is called an eight, precision is not defined
    ax.plot(recall[some], precision[some], color=colour, label=f"epoch {epoch}")
    found[epoch] = recall[some & (precision >= 0.9)].max()
ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.05))
ax.set_title("Epoch 6 finds more of the eights at the same precision")
ax.legend(loc="lower left")
print({f"epoch {e}, precision 0.9": f"recall {r:.2f}" for e, r in found.items()})
assert found[6] > found[1] + 0.05, "the title no longer holds"
plt.show()


# %% [markdown]
# ## What the network makes of a digit
#
# Before the last layer each digit is a list of 32 numbers. A list of numbers that stands for a thing is called an
# **embedding**. TensorBoard's *Projector* turns such a cloud of points before your eyes, a small image at each point.
# It wants no event for that but plain files, tab-separated, in a folder beside it.

# %%
class Embedding:
    """Writes what the last layer is given for 300 digits, before and after training."""

    def __init__(self, writer):
        self.writer = writer

    @torch.no_grad()
    def write(self, event):
        event.model.eval()
        features = event.model[:-1](val_x[:300])  # [300, 32]
        images = first_images.float() / 255  # [300, 1, 28, 28]
        labels = val_y[:300].tolist()
        self.writer.add_embedding(features, labels, images, event.epoch, tag="hidden")

    on_start = on_end = write


first_images = digits.take(val_part[:300]).images
with SummaryWriter(str(logs / "embedding")) as writer:
    train([Curves(writer), Embedding(writer)], epochs=6)
files = sorted(p.relative_to(logs / "embedding") for p in logs.glob("embedding/*/*/*"))
print(*[file.as_posix() for file in files], sep="\n")

# %% [markdown]
# The Projector's first view is a **PCA**: it turns the cloud so that as much of its spread as possible lies in the two
# directions that you see. Two lines do the same here.
#
# > **Predict.** The same 300 digits before and after training. Is the untrained cloud a single fog, or has it groups
# > too?

# %% tolerance={"rtol": 0.03}
few_y = val_y[:300].cpu()
clouds = {}
for epoch, name in (("00000", "before training"), ("00006", "after training")):
    file = logs / "embedding" / epoch / "hidden" / "tensors.tsv"
    points = torch.tensor(np.loadtxt(file))
    points = points - points.mean(dim=0)  # [300, 32]; neighbours in all 32 dimensions
    clouds[name] = points @ torch.linalg.svd(points, full_matrices=False).Vh[:2].T
    distances = torch.cdist(points, points).fill_diagonal_(torch.inf)
    same = (few_y[distances.argmin(dim=1)] == few_y).float().mean().item()
    print(f"{name}: the nearest neighbour is the same digit for {same:.1%}")
    clouds[name + " share"] = same
before, after = clouds["before training share"], clouds["after training share"]
assert 0.25 < before < after - 0.15, "far above one in ten, and higher after training"

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 3.6))
for ax, name in zip(axes, ("before training", "after training")):
    for digit in range(10):
        x, y = clouds[name][few_y == digit].T
        ax.scatter(x, y, s=0)  # the axes' limits; the digits are the marks
        for a, b in zip(x, y):
            ax.text(a, b, str(digit), color=plt.cm.tab10(digit), fontsize=7)
    ax.set_title(name, loc="center", fontsize=11, fontweight="normal")
    ax.set(xticks=[], yticks=[])
fig.suptitle("Training pulls the digits apart", weight="bold", x=0.01, ha="left")
plt.show()


# %% [markdown]
# **What happened.** Groups too, though loose ones. Random weights keep neighbours together, and digits of one kind
# look alike to begin with: by chance only one neighbour in ten would be the same digit. Training moves the kinds away
# from each other, because the last layer can do no more than cut straight between them.

# %% [markdown]
# ## Which settings were best?
#
# Curves of many runs in one chart soon become a thicket. `add_hparams` writes a run's settings, its *hyperparameters*,
# together with the numbers it ended with, and the dashboard makes a table of them. It would open a folder of its own
# for that; with `run_name="."` it stays in the run's.

# %%
class Settings:
    """Writes a run's settings, with the validation numbers of its best epoch."""

    def __init__(self, writer, **settings):
        self.writer, self.settings = writer, settings

    def on_end(self, event):
        best = event.history[event.history.best_epoch - 1]
        metrics = {"best/val_loss": best["val_loss"], "best/epoch": best["epoch"]}
        self.writer.add_hparams(self.settings, metrics, run_name=".")


RATES = (3e-4, 3e-3, 3e-2)
for rate in RATES:
    for seed in range(3):
        folder = logs / "rates" / f"rate={rate},seed={seed}"
        with SummaryWriter(str(folder)) as writer:
            hooks = [Curves(writer), Settings(writer, rate=rate, seed=seed)]
            train(hooks, seed=seed, rate=rate, epochs=2)
print(len(list((logs / "rates").iterdir())), "runs")

# %% tolerance={"rtol": 0.2}
results = np.array([
    [read(logs / "rates" / f"rate={rate},seed={seed}").Scalars("best/val_loss")[0].value
     for seed in range(3)] for rate in RATES
])  # [3 rates, 3 seeds]
for rate, losses in zip(RATES, results):
    low, high = losses.min(), losses.max()
    print(f"rate {rate}: {losses.mean():.3f} (seeds {low:.3f} to {high:.3f})")
assert results[1].max() < results[0].min(), "0.003 beats 0.0003 in every pair of seeds"

# %%
fig, ax = plt.subplots(figsize=(7, 3))
for place, losses in enumerate(results):
    ax.plot([place] * 3, losses, "o", color=PALETTE[0], alpha=0.7)
    ax.plot([place - 0.15, place + 0.15], [losses.mean()] * 2, color=PALETTE[1])
ax.set_xticks(range(3), [f"{rate}" for rate in RATES])
ax.set(xlabel="learning rate", ylabel="best validation loss (nats)", xlim=(-0.5, 2.5))
ax.set_ylim(0, None)
ax.set_title("0.003 ends lower than 0.0003 with every seed")
plt.show()


# %% [markdown]
# Dots are seeds, bars are their means. Note what the table in the dashboard would tempt you to do: sort it and take
# the first line. That is the luckiest *run*, and its setting need not be the best.
#
# ### Exercise: the best rate, not the luckiest run ★★★
#
# Write `winning_rate(folder)`. `folder` (a `Path`) holds one folder for each run, named like `rate=0.01,seed=2`; in
# each, the event files have the scalar `loss/val`, once for each epoch. A run's result is the **lowest** value of its
# `loss/val`. Return the rate, as a float, whose results have the lowest **mean** over its seeds. Not every rate has
# equally many seeds. For runs with the results 0.1 and 0.9 at rate 0.1, and 0.3 and 0.4 at rate 0.01, the answer is
# 0.01. Files in `folder` that are no folders are to be passed over. `read` from above may be used.

# %%
def winning_rate(folder):
    """The learning rate with the lowest mean result over its seeds."""
    ...  # your code here


check("day11.winning_rate", winning_rate)

# %% [markdown]
# ## Does watching change what is watched?
#
# It must not. Train once with everything that we have built, and once alone: the weights must agree to the last bit.

# %%
with SummaryWriter(str(logs / "watched")) as writer:
    watchers = [Curves, Histograms, Pictures, EightsCurve, Embedding, Settings]
    watched, seen = train([make(writer) for make in watchers], epochs=2)
alone, unseen = train([], epochs=2)
pairs = zip(watched.parameters(), alone.parameters())
print("equal weights:", all(torch.equal(a, b) for a, b in pairs))
assert seen["val_loss"] == unseen["val_loss"]
assert all(torch.equal(a, b) for a, b in zip(watched.parameters(), alone.parameters()))

# %% [markdown]
# Six hooks are tedious to list. `TensorBoardLogger` from the package is all of them in one, and its curves have the
# same tags. It reads the losses of updates only once an epoch. On a GPU that matters: to read a number, the program
# has to wait until the GPU has caught up.

# %%
from nnlab_helpers.tracking import TensorBoardLogger

logger = TensorBoardLogger(
    logs / "logger", updates_every=5, images=first.images, graph=val_x[:1],
    examples=(val_x[:300], val_y[:300]), hparams={"rate": 2e-3},
)
with logger:
    train([logger], epochs=2)
ours, theirs = read(logs / "watched"), read(logs / "logger")
for tag in ("loss/update", "loss/train", "loss/val", "accuracy/val"):
    a, b = ([(e.step, e.value) for e in f.Scalars(tag)] for f in (ours, theirs))
    assert a == b, tag
print("the same curves, and", len(theirs.Tags()["tensors"]), "PR curves, one a digit")


# %% [markdown]
# ### Exercise: a hook that does disturb ★★★
#
# `fit` protects itself: after a hook it puts back the model's mode and the state of the random numbers. Your own loop
# may not. The hook below has **three** faults that would change the training, or make its record false. It is to keep,
# after each epoch, a copy of the model's first parameter (in `self.weights`) and the accuracy, a float from 0 to 1, on
# `count` random digits of `x` `[N, ...]` and `y` `[N]` (in `self.accuracies`). Mend it: the model must be left in the
# mode in which it came, whichever that was; PyTorch's global random numbers must go on as if nothing had been drawn;
# and what is in `self.weights` must not change later. Then take out the line with the `...`. (`torch.randperm` takes a
# `generator=`.)

# %%
class QuietHook:
    """Keeps the first parameter and the accuracy on some digits after each epoch."""

    def __init__(self, x, y, count=100):
        self.x, self.y, self.count = x, y, count
        self.weights, self.accuracies = [], []

    def on_epoch(self, event):
        ...  # take this line out when you have mended the rest
        model = event.model
        self.weights.append(next(model.parameters()).detach())
        some = torch.randperm(len(self.x))[: self.count]
        model.eval()
        with torch.no_grad():
            right = model(self.x[some]).argmax(dim=1) == self.y[some]
        self.accuracies.append(right.float().mean().item())


check("day11.quiet_hook", QuietHook)

# %% [markdown]
# ## Break it on purpose: two runs, one folder
#
# The most common mistake with TensorBoard is made at the start of a run: the folder of the last one is used again.
#
# > **Predict.** A run with a rate of 0.002 and one with 0.03, recorded in the same folder. What does the reader take
# > `loss/val` for: two curves, the newer one, or something else?

# %%
for rate in (2e-3, 3e-2):
    with SummaryWriter(str(logs / "shared")) as writer:
        train([Curves(writer)], rate=rate, epochs=3)
muddle = read(logs / "shared").Scalars("loss/val")
print("files:", len(list((logs / "shared").iterdir())))
print("steps:", [e.step for e in muddle])
assert [e.step for e in muddle] == [1, 2, 3, 1, 2, 3]

# %%
fig, ax = plt.subplots(figsize=(7, 3))
ax.plot([e.step for e in muddle], [e.value for e in muddle], marker="o")
for place, e in enumerate(muddle, start=1):  # the order in which they are joined
    ax.annotate(place, (e.step, e.value), (6, 5), textcoords="offset points")
ax.margins(y=0.2)
ax.set(xlabel="epoch", ylabel="validation loss (nats)", xticks=range(1, 4))
ax.set_title("Two runs in one folder become one curve that runs backwards")
plt.show()

# %% [markdown]
# **What happened.** Something else: one curve. The folder *is* the run. Two files in it are taken for one run that was
# continued, and the line goes back to epoch 1. So every run gets a folder of its own, with a name that says what was
# different about it. The package's logger refuses a folder that is taken:

# %%
try:
    TensorBoardLogger(logs / "shared")
except FileExistsError as error:
    print("refused:", str(error).partition("holds")[2])
else:
    raise AssertionError("two runs would share a folder")

# %% [markdown]
# ## The dashboard
#
# TensorBoard itself is a small web server that reads a folder and all folders in it. In a notebook of your own, two
# lines open it:
#
# ```
# %load_ext tensorboard
# %tensorboard --logdir runs
# ```
#
# Below, the same command is called by its name, so that a later cell can take its frame away again. `--host 127.0.0.1`
# makes it answer this computer alone (it knows no passwords), `--port 0` takes any port that is free. A server usually
# goes on after its notebook has died; `guard_dashboards` sees to it that this one does not.

# %%
# %load_ext tensorboard
from IPython import get_ipython
from IPython.display import Markdown, display
from IPython.utils.capture import capture_output

from nnlab_helpers.tracking import close_dashboards, dashboards, guard_dashboards

guard = guard_dashboards(logs)
# The program lies beside Python, which need not be where the system looks for programs.
program = shutil.which("tensorboard", path=Path(sys.executable).parent)
if program:
    os.environ["TENSORBOARD_BINARY"] = program

# %% tags=["nbval-ignore-output"] why="the frame has a random id and port, and a machine may have no server to show"
command = f"--logdir {shlex.quote(logs.as_posix())} --host 127.0.0.1 --port 0"
with capture_output() as launched:
    get_ipython().run_line_magic("tensorboard", command)
frame = display(launched.outputs[-1], display_id=True)  # the dashboard, or why not
if not dashboards(logs):
    print("No dashboard here. Nothing below needs it.")

# %% [markdown]
# Things to look for (*Run All* has closed it again by the time you read this: run the cell above once more):
#
# - **Time Series**: the curves. Untick all runs but those under `rates`, and move the slider *Smoothing*.
# - **Histograms** and **Distributions**: compare `too_slow` with `all_dead` under `gradients`.
# - **Images**, **Graphs** (`pictures`), **PR Curves** (`eights`), **Projector** (`embedding`, coloured by label).
# - **HParams**: the table, with the nine runs under `rates`. Sort it by `best/val_loss`: do the seeds of a rate stay
#   together?
#
# *By itself*: in a terminal, `tensorboard --logdir FOLDER --host 127.0.0.1`, and open the address that it prints.
# Ctrl-C ends it. For a run on another machine, start it there, and here `ssh -L 6006:127.0.0.1:6006 MACHINE` brings
# its port 6006 to yours; `--bind_all` would show your runs to everyone on the network. `print(logs)` tells the folder
# of today's runs.

# %%
if close_dashboards(logs):  # where there was none, the reason stays to be read
    note = "*The dashboard was here. Run this cell again to open it anew.*"
    frame.update(Markdown(note))
print("servers left:", len(dashboards(logs)))
assert dashboards(logs) == []

# %% [markdown]
# ## Recap
#
# - **A hook** is called at fixed moments and only looks. Curves, histograms, images, the graph, PR curves, embeddings
#   and settings each take a few lines. With and without it the weights are the same, bit for bit.
# - **An event file** is a row of records that only grows. It survives a crash, and `EventAccumulator` gives you back
#   what is in it, for figures of your own.
# - **One curve can have many causes**; the histograms of gradients told two of them apart. One run is an anecdote:
#   compare settings by their mean over seeds.
# - **The dashboard** is a server on a folder of runs, one folder each. Keep it to your own machine, and close it.
#
# ## What to try next
#
# - Write a hook that records the five digits on which the network is most certain and wrong, one grid an epoch. Which
#   of them are still there at the end?
# - Give `train` four layers of sigmoids (day 3), and find in *Distributions* which layer is the first to fall silent.
# - Train with one of the six hooks at a time and measure with `time.perf_counter()`: what does each cost, compared
#   with a run that nobody watches?
#
# ## References
#
# - Abadi et al. (2016), *TensorFlow: a system for large-scale machine learning*: the system that TensorBoard and its
#   event files came with.
# - Smilkov et al. (2016), *Embedding Projector: interactive visualization and interpretation of embeddings*: the tab of
#   that name.
# - Davis, Goadrich (2006), *The relationship between precision-recall and ROC curves*: why PR curves are the ones to
#   look at when one class is rare.
# - Biewald (2020), *Experiment tracking with Weights and Biases*: the same idea kept on a server for a whole team.
