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
# # Day 13: why does it not learn?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 3](day03_activations.ipynb),
# [day 5](day05_data.ipynb), [day 6](day06_mlp_mnist.ipynb) and [day 12](day12_metrics.ipynb).*
#
# A program with a mistake usually crashes. A training run with a mistake usually trains: a little worse, or not at all,
# or better than is possible. Nothing turns red. Today is a clinic. You get five instruments, try them on a healthy run,
# and then meet eleven patients. Each is a short piece of code with one fault in it. You see the symptom first, name the
# fault, and only then see the code and mend it.
#
# **By the end you can**
#
# - measure five things that tell a healthy run from a sick one, long before it has finished;
# - go from a symptom (a curve, a histogram, a number) to the few faults that can cause it;
# - mend eleven classic faults, and tell a cure from something that only hides the symptom;
# - work through a checklist in the right order: data, first loss, one batch, then everything.
#
# [← Day 12: how good is it, really?](day12_metrics.ipynb) ·
# [Day 14: which of these findings still stand? →](day14_recap.ipynb)

# %%
import copy
import math
import warnings

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.augment import Shift
from nnlab_helpers.data import Normalize, TensorLoader, load_images
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, clinic, hint
from nnlab_helpers.plots import PALETTE, label_lines, plot_band, show_images, use_style

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## A healthy run
#
# You cannot recognise illness without knowing health. So first a run that is in order: 1,000 digits to train on, 500 to
# validate with, 2,000 that nobody has looked at, a small network, plain SGD.

# %%
digits = load_images("mnist", "train")
train_index = torch.arange(1_000)
val_index = torch.arange(1_000, 1_500)
fresh_index = torch.arange(1_500, 3_500)
normalize = Normalize.from_images(digits, train_index)


def batch_of(index):
    """The digits at `index` as one batch: x [N, 1, 28, 28], normalised, and y [N]."""
    loader = TensorLoader(
        digits, index, batch_size=len(index), normalize=normalize, device=device
    )
    return next(iter(loader))


x, y = batch_of(train_index)
val_x, val_y = batch_of(val_index)
fresh_x, fresh_y = batch_of(fresh_index)


# %% [markdown]
# Before any instrument come your own eyes. Look at what the network is *given*, after all loading, shuffling, augmenting
# and normalising, and not at the files it came from: pictures with their labels, and a few numbers about them.

# %%
def describe(x):
    """Print what a batch of inputs looks like to the network."""
    print(f"mean {x.mean():.2f}, standard deviation {x.std():.2f}, "
          f"from {x.min():.2f} to {x.max():.2f}, {len(x.unique())} different values")


describe(x)
show_images(x[:10].cpu(), y[:10].tolist(), title="As fed: these pictures, these labels")
plt.show()
assert abs(x.mean()) < 0.01 and abs(x.std() - 1) < 0.01
assert len(x.unique()) == 256


# %% [markdown]
# The mean is 0, the standard deviation 1, all 256 grey values occur, and every caption is true. Now the network,
# and a loop that returns the mean loss of each epoch. (`loss_of` lets us put another loss in its place later.)

# %%
def make_net(seed, hidden=64):
    """784 -> hidden -> hidden -> 10 logits, its weights drawn with `seed`."""
    seed_everything(seed)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, hidden), nn.ReLU(),
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 10),
    ).to(device)


def train(model, loader, optimizer, epochs, loss_of=None):
    """Train `model`; the mean loss of each epoch."""
    loss_of = loss_of or (lambda model, x, y: F.cross_entropy(model(x), y))
    history = []
    for _ in range(epochs):
        weighted, seen = 0.0, 0
        for batch, target in loader:
            optimizer.zero_grad()
            loss = loss_of(model, batch, target)
            loss.backward()
            optimizer.step()
            weighted, seen = weighted + loss.item() * len(target), seen + len(target)
        history.append(weighted / seen)
    return history


# %% tolerance={"rtol": 0.03}
RATE, BATCH, EPOCHS = 0.1, 50, 12


def shuffled(x, y, batch_size=BATCH):
    """A loader that shuffles anew in every epoch."""
    return TensorLoader((x, y), batch_size=batch_size, shuffle=True, device=device)


def share_read(model, batches):
    """Share of the digits in `batches` that a copy of `model` reads, dropout off."""
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        hits = torch.cat([twin(a).argmax(dim=1) == b for a, b in batches])
    return hits.float().mean().item()


healthy = make_net(0)
sgd = torch.optim.SGD(healthy.parameters(), lr=RATE)
healthy_history = train(healthy, shuffled(x, y), sgd, EPOCHS)
read, read_val = share_read(healthy, [(x, y)]), share_read(healthy, [(val_x, val_y)])
print("loss of the epochs:", " ".join(f"{loss:.2f}" for loss in healthy_history))
print(f"reads {read:.1%} of the training digits, {read_val:.1%} of the others")
assert healthy_history[-1] < 0.3 and read > 0.95 and 0.8 < read_val < read

# %% [markdown]
# ## Five instruments
#
# **First: the loss before the first step.** An untrained network knows nothing, so ten classes should cost about
# $\log 10$ ([day 6](day06_mlp_mnist.ipynb)). Much more: it is sure of something before it has seen anything, so look at
# the scale of the starting weights or of the inputs. Much less: the answer is in the input.

# %%
with torch.no_grad():
    first_loss = F.cross_entropy(make_net(0)(x), y).item()
print(f"first loss {first_loss:.2f}, log 10 = {math.log(10):.2f}")
assert abs(first_loss - math.log(10)) < 0.1


# %% [markdown]
# **Second: overfit one batch.** Take 50 digits and train on those alone. A network with a thousand weights for each of
# them must be able to learn them by heart. If it cannot, a larger set will not help.
#
# > **Predict.** We do it twice: with the labels as they are, and with the 50 labels dealt out anew at random, once and
# > for all. After 100 steps, what is the loss of the second? Near 0, near $\log 10$, or in the middle?

# %% tolerance={"rtol": 0.03}
def one_batch(y50, seed, steps=100):
    """The loss after `steps` steps on the first 50 digits with labels `y50`."""
    model = make_net(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    return train(model, [(x[:50], y50)], optimizer, epochs=steps)[-1]


for seed in range(3):
    dealt = y[:50][torch.randperm(50, generator=torch.Generator().manual_seed(seed))]
    true_end, dealt_end = one_batch(y[:50], seed), one_batch(dealt, seed)
    print(f"seed {seed}: true labels {true_end:.3f}, dealt at random {dealt_end:.3f}")
    assert true_end < 0.1 and dealt_end < 0.3
assert sum(p.numel() for p in healthy.parameters()) > 50 * 1_000


# %% [markdown]
# **What happened.** It learns nonsense by heart nearly as well, far below $\log 10$. So this test can acquit
# the model, the loss and the step, and nobody else. Data that is wrong in the same way every time passes it.

# %% [markdown]
# **Third: gradients, layer by layer.** After one `backward`, the norm (the length) of each layer's gradient. You look for
# a layer that stands out: zero, not there at all, or thousands of times its neighbour.

# %% tolerance={"rtol": 0.03}
def linear_layers(model):
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def gradient_norms(model, x, y):
    """The norm of each linear layer's weight gradient on one batch."""
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    norms = [layer.weight.grad.norm().item() for layer in linear_layers(model)]
    model.zero_grad()
    return norms


norms = gradient_norms(make_net(0), x[:50], y[:50])
print("gradient norms:", [round(norm, 2) for norm in norms])
assert min(norms) > 0 and max(norms) < 10 * min(norms)


# %% [markdown]
# **Fourth: the update ratio.** A gradient is not yet a step. What counts is how far a step moves a layer's weights
# compared with how large they are: the norm of the change over the norm of the weights. The hook below is called before
# each forward pass, and notes the change since the pass before.

# %%
def watch_updates(model):
    """A list that fills as `model` trains: a row a step, an update ratio a layer."""
    ratios, before = [], []

    def look(model, inputs):
        if len(ratios) == 20:  # enough seen
            return
        now = [layer.weight.detach().clone() for layer in linear_layers(model)]
        if before:
            pairs = zip(before, now, strict=True)
            ratios.append([((b - a).norm() / a.norm()).item() for a, b in pairs])
        before[:] = now

    model.register_forward_pre_hook(look)
    return ratios


# %% [markdown]
# > **Predict.** The same network at our rate, at a tenth of it, and at ten times it. In the *first* step the ratios must
# > differ by factors of ten. Twelve steps later: by more than that, by less, or by as much?

# %% tolerance={"rtol": 0.03}
FACTORS = {"a tenth of it": 0.1, "our rate": 1.0, "ten times": 10.0}
ratios = {name: [] for name in FACTORS}
for name, factor in FACTORS.items():
    for seed in range(3):
        model = make_net(seed)
        seen = watch_updates(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=factor * RATE)
        train(model, shuffled(x[:650], y[:650]), optimizer, epochs=1)
        ratios[name].append(torch.tensor(seen).mean(dim=1))  # [12]: over the layers
    ratios[name] = torch.stack(ratios[name])  # [seeds, 12]
    first, largest = ratios[name][:, 0].mean(), ratios[name].amax(dim=1).mean()
    print(f"{name:13}  first step {first:.4f}   largest of the twelve {largest:.3f}")
low, our, high = ratios.values()
assert torch.allclose(high[:, 0], 100 * low[:, 0], rtol=0.01)
assert (high.amax(dim=1) > 0.5).all() and our.max() < 0.1
assert low.amax(dim=1).max() < 2 * low[:, 0].min()

# %%
fig, ax = plt.subplots(figsize=(7, 3.2))
for name, runs in ratios.items():
    plot_band(ax, range(1, 13), runs, name)
ax.set(yscale="log", xlabel="step", ylabel="update ratio", xticks=[1, 4, 8, 12])
ax.set_yticks([0.001, 0.01, 0.1, 1], ["0.001", "0.01", "0.1", "1"])
ax.minorticks_off()
ax.set_title("Ten times the rate runs away, a tenth of it crawls")
label_lines(ax)
plt.show()


# %% [markdown]
# **What happened.** At a tenth of the rate the ratio stays within a factor of two. At ten times the rate it runs away, in
# every seed: a step overshoots, finds a larger gradient, and the next is longer still, until some move the weights by more
# than half of their own size. There is no one healthy number. For long runs 1/1000 is a common rule of thumb; our run is
# short and its rate high. Worth a look are a factor of ten from what your own healthy runs show, and an exact zero.

# %% [markdown]
# **Fifth: live units.** Which share of a layer's units answers to any image at all? A ReLU unit that is silent for
# every image gets no gradient (day 3).

# %%
@torch.no_grad()
def alive(model, x):
    """For each ReLU layer, the share of units that fire for at least one row of x."""
    shares = []
    for layer in model:
        x = layer(x)
        if isinstance(layer, nn.ReLU):
            shares.append((x > 0).any(dim=0).float().mean().item())
    return shares


shares = alive(make_net(0), x[:50])
print("alive before training:", [f"{share:.1%}" for share in shares])
assert min(shares) > 0.9


# %% [markdown]
# ## Break it on purpose: eleven patients
#
# Patients A to K are eleven functions, each from a different corner of a training run, each with one fault. Their code
# comes later in this lesson, a cell for each. For now they lie in `nnlab_helpers.exercises.clinic`, where you should not
# peek. A and C are whole loops. B is a loss, D a starting point, E makes batches, F an optimizer: `run` puts
# each into the otherwise healthy run.

# %%
def run(patient, model, x, y, epochs=EPOCHS):
    """Train `model` with one part taken from `patient`; the mean loss of each epoch."""
    if patient in ("A", "C"):
        loop = clinic.patient_a if patient == "A" else clinic.patient_c
        return loop(model, x, y, epochs, BATCH, RATE)
    if patient == "D":
        clinic.patient_d(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
    if patient == "F":
        optimizer = clinic.patient_f(model, 10, RATE)
    if patient != "E":
        loss_of = clinic.patient_b if patient == "B" else None
        return train(model, shuffled(x, y), optimizer, epochs, loss_of)
    generator, history = torch.Generator().manual_seed(0), []
    for _ in range(epochs):
        history += train(model, clinic.patient_e(x, y, BATCH, generator), optimizer, 1)
    return history


# %% [markdown]
# > **Predict.** We run all eleven. How many of them stop with an error? How many give at least a warning?

# %%
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    for patient in "ABCDEF":
        run(patient, make_net(0), x[:100], y[:100], epochs=2)
    fed = clinic.patient_g(digits.images[train_index].to(device), *normalize.mean,
                           *normalize.std)
    loaders = clinic.patient_h(digits, train_index, val_index, Shift(3),
                               normalize, device)
    parts = clinic.patient_i(1_500, 500, torch.Generator().manual_seed(0))
    clinic.patient_j(healthy, val_x, val_y)
    clinic.patient_k(healthy, loaders[1])
print(f"all eleven ran to their end, with {len(warned)} warnings")
assert not warned

# %% [markdown]
# **What happened.** Not a word. All eleven are correct programs, for something else than what was meant. Python and
# PyTorch check that shapes and types fit. That the numbers mean what you think they mean is yours to check.

# %% [markdown]
# ### Six curves
#
# Patients A to F spoil the training itself. Here is each beside the healthy run (grey), with the same starting weights and
# the same 12 epochs; the dotted line is $\log 10$. Below are the update ratios of each layer in the first 20 steps. There
# the grey line is the healthy mean over the layers; where layers do the same, their lines lie on top of each other.

# %%
seen = watch_updates(well := make_net(0))
train(well, shuffled(x, y), torch.optim.SGD(well.parameters(), lr=RATE), epochs=2)
grey = torch.tensor(seen).mean(dim=1)  # [20]
histories, updates, nets = {}, {}, {}
for patient in "ABCDEF":
    nets[patient] = make_net(0)
    seen = watch_updates(nets[patient])
    histories[patient] = run(patient, nets[patient], x, y)
    updates[patient] = torch.tensor(seen)  # [20, layers]

# %%
fig, axes = plt.subplots(2, 3, figsize=(7, 4.4), sharex=True, sharey=True)
for ax, (patient, history) in zip(axes.flat, histories.items(), strict=True):
    ax.plot(range(1, EPOCHS + 1), healthy_history, color="0.6", label="healthy")
    shown = torch.tensor(history).nan_to_num(99).clamp(max=4)
    ax.plot(range(1, EPOCHS + 1), shown, label=patient)
    ax.axhline(math.log(10), color="black", linewidth=0.8, linestyle=":")
    ax.set_title(f"Patient {patient}", fontsize=11)
    ax.set(ylim=(0, 4.1))
fig.suptitle("None of the six falls as the healthy grey one does", weight="bold")
fig.supxlabel("epoch", fontsize=11)
fig.supylabel("training loss (4 and above: at the top)", fontsize=11)
for patient, history in histories.items():
    assert not history[-1] < 1.5 * healthy_history[-1], patient
plt.show()

# %%
fig, axes = plt.subplots(2, 3, figsize=(7, 4.4), sharex=True, sharey=True)
for ax, (patient, seen) in zip(axes.flat, updates.items(), strict=True):
    ax.plot(range(1, 21), grey, color="0.6")
    for layer, colour in enumerate((PALETTE[0], PALETTE[1], PALETTE[2])):
        shown = seen[:, layer].nan_to_num(99).clamp(1e-5, 10)
        ax.plot(range(1, 21), shown, color=colour, label=f"layer {layer + 1}")
    ax.set_title(f"Patient {patient}", fontsize=11)
    ax.set(yscale="log", ylim=(5e-6, 20), xticks=[1, 10, 20])
    ax.set_yticks([1e-5, 1e-3, 0.1, 10], ["0", "0.001", "0.1", "10 +"])
    ax.minorticks_off()
axes[0, 0].legend(fontsize=9, loc="lower right")
fig.suptitle("Update ratios of the same six, layer by layer", weight="bold")
fig.supxlabel("step", fontsize=11)
fig.supylabel("update ratio", fontsize=11)
assert (updates["D"] == 0).all() and (updates["F"][:, 2] == 0).all()
plt.show()


# %% [markdown]
# Ask three things of a curve: does it leave the dotted line, does it come back, and where does it come to rest? And three
# of the ratios: does a layer stand still, is the very first step far from the grey line, or does it drift away later?
#
# The other instruments fit into a table. "One batch" is the highest loss in the second half of 60 steps on 50 digits,
# "alive" the share of live units in the second hidden layer before training.
#
# > **Predict.** Which of the six fail the first test, the loss before the first step?

# %% tolerance={"atol": 4.0, "rtol": 0.03}
def told(loss):
    return f"{loss:.2f}" if loss < 1.4 else "over 1.4"


firsts = {}
print("          first loss   one batch    alive   training digits read")
for patient in ("healthy", *"ABCDEF"):
    model, small = make_net(0), make_net(0)
    run(patient, model, x, y, epochs=0)  # no training: only what comes before it
    worst = run(patient, small, x[:50], y[:50], epochs=60)
    final = share_read(nets.get(patient, healthy), [(x, y)])
    worst, firsts[patient] = max(worst[30:]), worst[0]
    print(f"{patient:7}   {firsts[patient]:10.1f}   {told(worst):>9}"
          f"   {alive(model, x)[-1]:6.1%}   {final:20.1%}")
    assert (worst < 1.4) == (patient in ("healthy", "F"))
assert all(abs(first - math.log(10)) < 0.1 for first in firsts.values())


# %% [markdown]
# **What happened.** None. All six start near $\log 10$. A test that everybody passes still tells something: the starting
# weights are not too large, and no answer has leaked into the input. One batch is harder: five of the six fail it, for
# five different reasons. Only the columns together tell them apart.
#
# ### Three about the data
#
# G prepares the inputs, H makes the two loaders, I divides the digits. We train on what G has prepared, and look at the
# numbers that it feeds.

# %% tolerance={"rtol": 0.25}
def trained(x, y, seed=0, epochs=EPOCHS):
    """A new network, trained in the healthy way on x and y."""
    model = make_net(seed)
    train(model, shuffled(x, y), torch.optim.SGD(model.parameters(), lr=RATE), epochs)
    return model


val_fed = clinic.patient_g(digits.images[val_index].to(device), *normalize.mean,
                           *normalize.std)
read_g = share_read(trained(fed, y), [(val_fed, val_y)])
print(f"validation accuracy: healthy {read_val:.1%}, patient G {read_g:.1%}")
assert read_g < read_val - 0.1

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 2.8), sharey=True)
for ax, values, name in zip(axes, (x, fed), ("Healthy", "Patient G")):
    bins = torch.linspace(-0.5, 3.0, 36)
    counts = torch.histogram(values.cpu().flatten(), bins)[0]
    ax.stairs(counts / counts.sum() * 100, bins, fill=True)
    ax.set(yscale="log", xlabel="input value", ylim=(0.05, 150))
    ax.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    ax.minorticks_off()
    ax.set_title(name, fontsize=11)
axes[0].set_ylabel("share of pixels (%)")
fig.suptitle("Patient G feeds two values where health feeds 256", weight="bold")
assert len(fed.unique()) == 2 and len(x.unique()) == 256
plt.show()

# %% [markdown]
# For I we train on its training part, and measure on that, on its validation part, and on the 2,000 fresh digits that took
# no part in anything. Three seeds.

# %% tolerance={"rtol": 0.03}
all_x, all_y = torch.cat([x, val_x]), torch.cat([y, val_y])
share = {"healthy": [], "patient I": []}
for seed in range(3):
    given = clinic.patient_i(1_500, 500, torch.Generator().manual_seed(seed))
    given = [part.to(device) for part in given]
    sound = torch.arange(1_500, device=device).split([1_000, 500])
    for name, (a, b) in {"healthy": sound, "patient I": given}.items():
        model = trained(all_x[a], all_y[a], seed, epochs=7)
        sets = [(all_x[a], all_y[a]), (all_x[b], all_y[b]), (fresh_x, fresh_y)]
        share[name].append([share_read(model, [one]) for one in sets])
for name, rows in share.items():
    mean = torch.tensor(rows).mean(dim=0)
    print(f"{name:9}  training {mean[0]:.1%}  validation {mean[1]:.1%}"
          f"  fresh {mean[2]:.1%}")
gaps = {name: torch.tensor(rows)[:, 1] - torch.tensor(rows)[:, 2]
        for name, rows in share.items()}
assert gaps["patient I"].min() > 0.05 > gaps["healthy"].max()

# %% [markdown]
# ### How the measuring went
#
# H (the loaders) and J (a function that measures accuracy) have something in common: ask them twice, and you get two
# answers. Here one finished network with dropout is measured twelve times on the same digits: in the healthy way, with H's
# validation loader, and by J. The points lie on top of each other where nothing changes.

# %%
seed_everything(0)
sleepy = nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Dropout(0.5),
                       nn.Linear(128, 10)).to(device)
train(sleepy, shuffled(x, y), torch.optim.SGD(sleepy.parameters(), lr=RATE), EPOCHS)
sides = [(x, y), (val_x, val_y)]
_, val_loader = loaders  # those of patient H
asked = {name: torch.zeros(2, 12) for name in ("healthy", "patient H", "patient J")}
for k in range(12):
    for side, (a, b) in enumerate(sides):
        asked["healthy"][side, k] = share_read(sleepy, [(a, b)])
        asked["patient J"][side, k] = clinic.patient_j(sleepy, a, b)
    asked["patient H"][0, k] = share_read(sleepy, [sides[0]])
    asked["patient H"][1, k] = share_read(sleepy, val_loader)
spread = {name: values.amax(1) - values.amin(1) for name, values in asked.items()}
assert (spread["healthy"] == 0).all() and (spread["patient J"] > 0.003).all()
assert spread["patient H"][0] == 0 and spread["patient H"][1] > 0.01

# %%
fig, axes = plt.subplots(1, 2, figsize=(7, 2.6), sharey=True)
for side, (ax, title) in enumerate(zip(axes, ("Training digits", "Validation digits"))):
    for row, values in enumerate(asked.values()):
        ax.plot(100 * values[side], torch.full((12,), -row), "o", alpha=0.4)
    ax.set(xlabel="accuracy (%)", ylim=(-2.6, 0.6))
    ax.set_yticks([0, -1, -2], list(asked))
    ax.set_title(title, fontsize=11)
fig.suptitle("Asked twelve times, two of the three change their mind", weight="bold")
plt.show()

# %% [markdown]
# The last patient, K, measures a mean loss. The network is the healthy one and so are the 500 validation digits; only the
# size of the batches in which they are handed over changes. That should change nothing.

# %%
sizes = list(range(52, 500, 8))
by_size = [clinic.patient_k(healthy, TensorLoader((val_x, val_y), batch_size=size,
                                                  device=device)) for size in sizes]
with torch.no_grad():
    whole = F.cross_entropy(healthy(val_x), val_y).item()
fig, ax = plt.subplots(figsize=(7, 2.8))
ax.plot(sizes, by_size, label="patient K")
ax.plot([50, 500], [whole, whole], color="0.5", zorder=0, label="all 500\nat once")
ax.set(xlabel="batch size", ylabel="validation loss", ylim=(None, 1.1 * whole))
ax.set_title("The same network and digits; the loss depends on batch size")
label_lines(ax, gap=30)
assert max(by_size) - min(by_size) > 0.1 * whole
plt.show()

# %% [markdown]
# ### Exercise: name them ★★☆
#
# Here are thirteen illnesses. Eleven of them have come to the clinic, one each.
#
# | number | fault | number | fault |
# |---:|---|---:|---|
# | 1 | a layer that is never updated | 8 | pixels that lose their fractions |
# | 2 | batches that count alike, small or large | 9 | softmax applied twice |
# | 3 | dropout at work while measuring | 10 | steps many times too long |
# | 4 | gradients of earlier steps never cleared | 11 | steps many times too short |
# | 5 | hidden units silent from the start | 12 | validation images augmented |
# | 6 | inputs never scaled | 13 | validation images trained on |
# | 7 | labels that belong to other images | | |
#
# Put the number of its fault behind each patient, a whole number from 1 to 13. Wrong ones are answered one at a time,
# in the order of the alphabet, with what speaks against them. If you are stuck, `hint("day13.diagnoses")` helps, as a
# hint does in every exercise.

# %%
diagnoses = {
    "A": ..., "B": ..., "C": ..., "D": ..., "E": ..., "F": ...,
    "G": ..., "H": ..., "I": ..., "J": ..., "K": ...,
}

check("day13.diagnoses", diagnoses)


# %% [markdown]
# ## Ward one: training goes wrong
#
# Now the code, as it came in. In each cell one fault has to go, and nothing else has to change: name, arguments and what
# comes back stay as they are. When you are done, take out the line with the `...`; until then the check takes the patient
# for untouched. The check runs your version on small fresh data. It also knows most of the cures that do not cure.
#
# ### Exercise: patient A ★★☆
#
# `model` is any network that gives logits; `x` is `[N, ...]`, `y` is `[N]`, taken in order in batches of `batch_size` (the
# last one may be smaller). It returns a list with the mean loss over the samples for each epoch. It is well when weights and
# losses are those of our `train` with SGD at the same rate.

# %%
def patient_a(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    """Train `model` on x [N, ...] and y [N] with SGD; the mean loss of each epoch."""
    ...  # take this line out when the patient is well
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size)):
            loss = F.cross_entropy(model(batch), target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        history.append(total / len(x))
    return history


check("day13.patient_a", patient_a)


# %% [markdown]
# ### Exercise: patient B ★☆☆
#
# The loss of one batch: `model(x)` gives logits `[B, C]`, `y` holds classes `[B]`. It returns a tensor with one number, the
# mean surprise of [day 6](day06_mlp_mnist.ipynb), from which `backward` can start. For logits `[[2., 0.]]` and the
# label `[0]` that is about 0.127; the patient says 0.313.

# %%
def patient_b(model, x, y):
    """The cross-entropy of `model` on a batch x [B, ...] with labels y [B]."""
    ...  # take this line out when the patient is well
    scores = model(x).softmax(dim=1)
    return F.cross_entropy(scores, y)


check("day13.patient_b", patient_b)


# %% [markdown]
# ### Exercise: patient C ★★☆
#
# The same task as patient A's, by another colleague, and well under the same condition: losses and weights as from
# our `train`, for *any* batch size, also when the last batch is smaller.

# %%
def patient_c(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    """Train `model` on x [N, ...] and y [N] with SGD; the mean loss of each epoch."""
    ...  # take this line out when the patient is well
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), target, reduction="sum")
            loss.backward()
            optimizer.step()
            total += loss.item()
        history.append(total / len(x))
    return history


check("day13.patient_c", patient_c)


# %% [markdown]
# ### Exercise: patient D ★☆☆
#
# A starting point for ReLU networks after He and others (2015): in a layer with $n$ inputs the weights are random with mean
# 0 and variance $2/n$, and the biases are 0. For numbers drawn evenly from $-b$ to $b$ the variance is $b^2/3$, which
# gives $b = \sqrt{6/n}$. `model` is an `nn.Sequential`; its linear layers are changed in place, nothing is returned.

# %%
def patient_d(model):
    """Give every linear layer of `model` fresh weights, in place."""
    ...  # take this line out when the patient is well
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / layer.in_features)
            nn.init.uniform_(layer.weight, -bound, 0.0)
            nn.init.zeros_(layer.bias)


check("day13.patient_d", patient_d)


# %% [markdown]
# ### Exercise: patient E ★☆☆
#
# One epoch of batches: `x` is `[N, ...]`, `y` is `[N]`. It returns a list of pairs `(x, y)` of `batch_size` samples each, the
# last one smaller where it does not divide. Every sample comes once, in a random order that is new at every call, and all
# randomness comes from `generator`. Before you mend it, use your eyes: what would `show_images` show of a batch?

# %%
def patient_e(x, y, batch_size, generator):
    """One epoch as a list of batches (x, y), in a new random order."""
    ...  # take this line out when the patient is well
    x = x[torch.randperm(len(x), generator=generator)]
    y = y[torch.randperm(len(y), generator=generator)]
    return list(zip(x.split(batch_size), y.split(batch_size)))


check("day13.patient_e", patient_e)


# %% [markdown]
# ### Exercise: patient F ★★☆
#
# A network for some task gets a new last layer, with `classes` outputs, for another one. `model` is an `nn.Sequential`
# that ends in a linear layer, and is changed in place. What comes back is an SGD optimizer at `learning_rate` for the whole
# network as it is then. After one step every layer has moved by rate times gradient.

# %%
def patient_f(model, classes, learning_rate):
    """Give `model` a new last layer for `classes` classes; returns its optimizer."""
    ...  # take this line out when the patient is well
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    old = model[-1]
    model[-1] = nn.Linear(old.in_features, classes, device=old.weight.device)
    return optimizer


check("day13.patient_f", patient_f)


# %% [markdown]
# ## Ward two: fed the wrong thing
#
# ### Exercise: patient G ★☆☆
#
# Images come as `uint8` `[N, 1, H, W]` from 0 to 255. They are to be scaled to [0, 1], as real numbers, and then normalised
# with `mean` and `std`, which are in units of [0, 1]. The result is float32 of the same shape; `images` stays as it is. With
# mean 0.5 and std 0.5 the grey values 51, 204 and 255 become -0.6, 0.6 and 1.

# %%
def patient_g(images, mean, std):
    """Grey values uint8 [N, 1, H, W] scaled to [0, 1] and normalised: float32."""
    ...  # take this line out when the patient is well
    scaled = images // 255
    return (scaled - mean) / std


check("day13.patient_g", patient_g)


# %% [markdown]
# ### Exercise: patient H ★★☆
#
# `digits` is an `ImageSet`, `train_index` and `val_index` are positions in it; `augment` and `normalize` are functions on
# batches, as in [day 5](day05_data.ipynb). Return two loaders, for training and for validation, of 100 images a batch on `device`. The
# training loader shuffles and augments. What the validation loader yields must be the same every time, and comparable
# with what the network is trained on.

# %%
def patient_h(digits, train_index, val_index, augment, normalize, device):
    """Two loaders of 100 images a batch: one to train with, one to validate with."""
    ...  # take this line out when the patient is well
    common = {"batch_size": 100, "augment": augment, "normalize": normalize,
              "device": device}
    train_loader = TensorLoader(digits, train_index, shuffle=True, **common)
    val_loader = TensorLoader(digits, val_index, **common)
    return train_loader, val_loader


check("day13.patient_h", patient_h)


# %% [markdown]
# ### Exercise: patient I ★☆☆
#
# Divide the numbers 0 to `count` - 1 at random into two parts: `val` of them for validation (at least 1, fewer than
# `count`), the others for training. Return two int64 tensors, training first. All randomness comes from `generator`.

# %%
def patient_i(count, val, generator):
    """Divide 0 ... count - 1 at random: (training, `val` numbers for validation)."""
    ...  # take this line out when the patient is well
    order = torch.randperm(count, generator=generator)
    return order[val:], order[-val:]


check("day13.patient_i", patient_i)


# %% [markdown]
# ## Ward three: measured wrongly
#
# ### Exercise: patient J ★★☆
#
# The accuracy of any `model`, a float from 0 to 1, on `x` `[N, ...]` and `y` `[N]`. Called in the middle of training or
# long after it, it must give the same number for the same weights, and the caller must find the model as it was handed over.
# (`model.training` says in which mode a model is.)

# %%
@torch.no_grad()
def patient_j(model, x, y):
    """Share of the images x [N, ...] that `model` reads as their labels y [N] say."""
    ...  # take this line out when the patient is well
    guess = model(x).argmax(dim=1)
    return (guess == y).float().mean().item()


check("day13.patient_j", patient_j)


# %% [markdown]
# ### Exercise: patient K ★☆☆
#
# The mean loss over all *samples* of `loader`, which yields batches `(x, y)` of any sizes, as a float. If the 3 samples
# of one batch cost 1 each and the single one of another costs 5, that is 2; the patient says 3. The loader may be one that can be
# walked through only once.

# %%
@torch.no_grad()
def patient_k(model, loader):
    """Mean loss of `model` over `loader`, which yields batches (x, y)."""
    ...  # take this line out when the patient is well
    losses = []
    for x, y in loader:
        losses.append(F.cross_entropy(model(x), y).item())
    return sum(losses) / len(losses)


check("day13.patient_k", patient_k)


# %% [markdown]
# ## The checklist
#
# In this order, roughly from cheap to dear. The first three ask whether something is wrong, the fourth asks where, and
# the last two watch over the numbers that come out:
#
# 1. **Look at the data as fed**: pictures with labels, range, mean, number of different values. Do it for validation too.
# 2. **Check the initial loss**: near $\log C$ for $C$ classes of equal size.
# 3. **Overfit one batch**: near zero, or the fault is in the model, the loss or the step, or the batch itself changes from step
#    to step, as patient E's does.
# 4. **Gradients, update ratios, live units**: no layer at zero, none thousands of times its neighbour.
# 5. **Measure twice**: the same network and digits must give the same number, whatever the batch size.
# 6. **Disbelieve good news**: keep some digits that took no part in anything.
#
# Points 2 to 4 fit into one function. Call it before every long run; it costs a hundred steps.

# %%
def checklist(model, x, y, classes=10, learning_rate=RATE):
    """What is suspicious about an untrained `model` on the batch x, y: a list."""
    with torch.no_grad():
        first = F.cross_entropy(model(x), y).item()
    suspicions = [] if abs(first - math.log(classes)) < 0.3 else ["first loss"]
    if not min(gradient_norms(model, x, y)) > 0:
        suspicions.append("gradient")
    if not min(alive(model, x)) > 0.5:
        suspicions.append("live units")
    seen = watch_updates(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    if not train(model, [(x, y)], optimizer, epochs=100)[-1] < 0.1:
        suspicions.append("one batch")
    if not 1e-4 < min(seen[0]) <= max(seen[0]) < 0.1:
        suspicions.append("update ratio")
    return suspicions


# %% [markdown]
# > **Predict.** We spoil healthy networks in two ways of our own: one gets starting weights ten times as large, the other
# > a rate a hundred times too small. Which of the tests ring: first loss, gradient, live units, one batch, update ratio?

# %%
hot = make_net(0)
with torch.no_grad():
    for layer in linear_layers(hot):
        layer.weight.mul_(10)
alarms = {"healthy": checklist(make_net(0), x[:50], y[:50]),
          "weights times 10": checklist(hot, x[:50], y[:50]),
          "rate / 100": checklist(make_net(0), x[:50], y[:50],
                                  learning_rate=RATE / 100)}
for name, suspicions in alarms.items():
    print(f"{name:16}  {', '.join(suspicions) or 'nothing'}")
assert not alarms["healthy"] and "first loss" in alarms["weights times 10"]
assert alarms["rate / 100"] == ["one batch", "update ratio"]

# %% [markdown]
# **What happened.** The healthy network rings nothing. The large weights give themselves away before the first step. The
# rate can only be seen once steps are taken, and then two instruments notice. None of them says *what* is wrong: they
# say where to look.

# %% [markdown]
# ## Recap
#
# - **Your eyes and five instruments** before any long run: inputs and labels as fed; then the first loss, one batch learned by
#   heart, gradients and update ratios per layer, live units. Know what they show when all is well.
# - **From symptom to fault**: each test acquits some parts and leaves others. One batch acquits model, loss and step, but
#   not the data; a number that changes when nothing has changed accuses the measuring.
# - **A cure takes the cause away.** A smaller rate, a removed augmentation or a dropped batch can make a symptom go and
#   leave the fault in. Test the mended code on a case where the fault would show: another batch size, a ragged last batch.
# - **The checklist** goes from cheap to dear, roughly: look at the data, check the initial loss, overfit one batch, then the rest.
#   And be as suspicious of a result that is too good as of one that is too bad.
#
# ## What to try next
#
# - Hand your own version to the waiting room: `clinic.patient_a = patient_a`, then run the cells of "Six curves" again.
# - Repeat `run` with Adam in place of SGD. Which symptoms become weaker, and why is that not good news?
# - Day 15 will be about depth and width. Run `checklist` on a network of ten layers, and see which instrument notices first.
#
# ## References
#
# - Karpathy (2019), *A recipe for training neural networks*: become one with the data, overfit one batch, trust nothing; most
#   of today's checklist in its author's words.
# - Zhang, Bengio, Hardt, Recht, Vinyals (2017), *Understanding deep learning requires rethinking generalization*: networks learn
#   random labels by heart, which is why one batch acquits no data.
# - He, Zhang, Ren, Sun (2015), *Delving deep into rectifiers*: the starting variance $2/n$ for ReLU networks.
# - Goodfellow, Bengio, Courville (2016), *Deep learning*, chapter 11: how to tell a fault in the code from a method that does not
#   work.
