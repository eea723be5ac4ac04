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
# # Day 11, solved: how do you watch a network learn?
#
# The exercises of [day 11](../day11_tensorboard.ipynb), each with a solution and why it works. There is more than one
# right answer to most of them; the checks accept any.

# %%
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %%
def read(folder):
    """All that the event files in `folder` hold, as in the lesson."""
    keep_all = {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0}
    return EventAccumulator(str(folder), size_guidance=keep_all).Reload()


# %% [markdown]
# ## Read a curve back ★★☆
#
# *The steps and values of a scalar, ordered by step, and each step once: the record that was written last counts.*

# %%
def read_scalars(folder, tag):
    """(steps, values) of a scalar in the event files of `folder`."""
    latest = {}
    for event in sorted(read(folder).Scalars(tag), key=lambda event: event.wall_time):
        latest[event.step] = event.value
    steps = sorted(latest)
    return steps, [latest[step] for step in steps]


check("day11.read_scalars", read_scalars)


# %% [markdown]
# A dictionary keeps one value for each key, the last one that was put in. So put them in by the clock, oldest first.
# The order in which the reader hands them out is that of the files' names, and that is the order in which they were
# *opened*, which need not be the order in which they were written.

# %% [markdown]
# ## Two lines in one chart ★☆☆
#
# *A hook that writes the training and the validation loss of an epoch into one chart.*

# %%
def both_losses(writer, event):
    """Write training and validation loss of an epoch into one chart."""
    lines = {"training": event.values["train_loss"]}
    if "val_loss" in event.values:
        lines["validation"] = event.values["val_loss"]
    writer.add_scalars("loss", lines, event.epoch)


check("day11.both_losses", both_losses)


# %% [markdown]
# `if event.values.get("val_loss")` would look the same and drop a validation loss of exactly 0. To hand it to `fit`,
# which calls its hooks with the event alone, give it its writer first: `hooks=[lambda event: both_losses(writer,
# event)]`.

# %% [markdown]
# ## The slider ★★☆
#
# *A running average, each entry divided by the sum of its weights.*

# %%
def smooth(values, weight):
    """Running average of `values` as TensorBoard's slider draws it."""
    average, smoothed = 0.0, []
    for count, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        smoothed.append(average / (1 - weight**count))
    return smoothed


check("day11.smooth", smooth)


# %% [markdown]
# After $t$ values the weights are $(1-w), (1-w)w, \dots, (1-w)w^{t-1}$, and they add up to $1 - w^t$. Dividing by that
# makes a proper average of what has been seen. The uncorrected average is kept for the next step; correcting it there
# as well would correct twice.

# %% [markdown]
# ## How long is each gradient? ★★☆
#
# *A hook that writes the norm of each parameter's gradient at each update.*

# %%
class GradientNorms:
    """Writes the length of each parameter's gradient after every update."""

    def __init__(self, writer):
        self.writer = writer

    def on_update(self, event):
        for name, p in event.model.named_parameters():
            if p.grad is not None:
                norm = p.grad.norm()
                self.writer.add_scalar(f"gradient_norm/{name}", norm, event.update)


check("day11.gradient_norms", GradientNorms)


# %% [markdown]
# A parameter that is frozen, or that the batch never reached, has no gradient at all: `None`, which is not the same as
# zeros. `norm()` makes a new tensor and leaves the gradient alone, unlike `clip_grad_norm_` with its underscore, which
# also returns the norm.

# %% [markdown]
# ## The best rate, not the luckiest run ★★★
#
# *From a folder of runs, the rate whose lowest validation losses have the lowest mean over its seeds.*

# %%
def winning_rate(folder):
    """The learning rate with the lowest mean result over its seeds."""
    results = {}
    for run in folder.iterdir():
        if run.is_dir():
            rate = float(run.name.split(",")[0].removeprefix("rate="))
            lowest = min(event.value for event in read(run).Scalars("loss/val"))
            results.setdefault(rate, []).append(lowest)
    return min(results, key=lambda rate: sum(results[rate]) / len(results[rate]))


check("day11.winning_rate", winning_rate)


# %% [markdown]
# The minimum over the epochs of one run is a choice that you can make in practice: keep the best epoch's weights, as
# early stopping does. The minimum over *seeds* is not: the next run's seed will not be the lucky one. Hence the mean.
# And a mean, not a sum, because the rates need not have equally many runs.

# %% [markdown]
# ## A hook that does disturb ★★★
#
# *Three faults: the mode, the random numbers, and a weight that goes on changing.*

# %%
class QuietHook:
    """Keeps the first parameter and the accuracy on some digits after each epoch."""

    def __init__(self, x, y, count=100):
        self.x, self.y, self.count = x, y, count
        self.weights, self.accuracies = [], []
        self.generator = torch.Generator().manual_seed(0)

    def on_epoch(self, event):
        model = event.model
        self.weights.append(next(model.parameters()).detach().clone())
        some = torch.randperm(len(self.x), generator=self.generator)[: self.count]
        was_training = model.training
        model.eval()
        with torch.no_grad():
            right = model(self.x[some]).argmax(dim=1) == self.y[some]
        model.train(was_training)
        self.accuracies.append(right.float().mean().item())


check("day11.quiet_hook", QuietHook)

# %% [markdown]
# `detach()` takes a tensor out of the graph, but both share one memory: after training, every entry of the list would
# have shown the final weights. Only `clone()` makes a copy. The generator is the hook's own, so that dropout and
# shuffling get the numbers that they would have had without it. And the mode goes back to what it was, which need not
# have been training.
