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
# # Day 13, solved: why does it not learn?
#
# The exercises of [day 13](../day13_debugging.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import math

import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.data import TensorLoader
from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved

# %% [markdown]
# ## Name them ★★☆
#
# *The number of its fault behind each patient.*

# %%
diagnoses = {
    "A": 4, "B": 9, "C": 10, "D": 5, "E": 7, "F": 1,
    "G": 8, "H": 12, "I": 13, "J": 3, "K": 2,
}

check("day13.diagnoses", diagnoses)


# %% [markdown]
# **A** starts with healthy steps that grow: something piles up, the gradients (4). **C** is too long in the very first step (10).
# **D** and **F** have layers that stand still: in D all of them, around silent units (5), in F the last one alone, with all
# units alive (1). **B** reads three digits in four at a loss where a healthy network reads far fewer: its loss cannot fall, since
# softmax comes twice (9). **E** has nothing wrong with its network and learns nothing: what is left is the data, and labels
# of other images (7).
#
# **G**'s histogram has lost everything between black and white (8). **I** is better on its validation digits than on fresh
# ones (13). **H** and **J** both waver; J on all digits (3), H only on those of its validation loader (12). **K** depends on the
# batch size (2).

# %% [markdown]
# ## Patient A ★★☆
#
# *Training by SGD whose loss falls, turns, and climbs.*

# %%
def patient_a(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    """Train `model` on x [N, ...] and y [N] with SGD; the mean loss of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        history.append(total / len(x))
    return history


check("day13.patient_a", patient_a)


# %% [markdown]
# `backward` adds to `p.grad`. Never cleared, it holds the sum of all gradients since the beginning, and the step follows that sum.
# A smaller rate only stretches the swings. The line may stand anywhere in the inner loop but between `backward` and `step`,
# where it would clear what the step needs.

# %% [markdown]
# ## Patient B ★☆☆
#
# *A loss that stays high although most digits are read.*

# %%
def patient_b(model, x, y):
    """The cross-entropy of `model` on a batch x [B, ...] with labels y [B]."""
    logits = model(x)
    return F.cross_entropy(logits, y)


check("day13.patient_b", patient_b)


# %% [markdown]
# `F.cross_entropy` takes logits and applies log-softmax itself. Numbers that have been through a softmax lie between 0 and 1, so the
# second one can give the true class at most $e / (e + 9)$ of the probability: the loss stays above 1.46. `F.nll_loss` on
# the *logarithm* of the probabilities would be right as well; on the probabilities or on the logits it is a new fault.

# %% [markdown]
# ## Patient C ★★☆
#
# *Training by SGD whose first step is already far too long.*

# %%
def patient_c(model, x, y, epochs=8, batch_size=20, learning_rate=0.05):
    """Train `model` on x [N, ...] and y [N] with SGD; the mean loss of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        total = 0.0
        for batch, target in zip(x.split(batch_size), y.split(batch_size)):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), target)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        history.append(total / len(x))
    return history


check("day13.patient_c", patient_c)


# %% [markdown]
# The gradient of a sum over 50 samples is 50 times that of their mean, so the rate was in truth 50 times the one that was asked for.
# Dividing the rate by the batch size hides it until a last, smaller batch comes. The report was right as it was, because it
# added up sums; with means it has to weigh them.

# %% [markdown]
# ## Patient D ★☆☆
#
# *A start after He and others: mean 0, variance 2/n, biases 0.*

# %%
def patient_d(model):
    """Give every linear layer of `model` fresh weights, in place."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            bound = math.sqrt(6 / layer.in_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)


check("day13.patient_d", patient_d)


# %% [markdown]
# All weights were negative. What leaves a ReLU is never negative, so the second layer saw negative sums for every image and went silent;
# through silent units no gradient passes. Only the last bias could learn. `nn.init.kaiming_uniform_(layer.weight,
# nonlinearity="relu")` is the same start, ready-made.

# %% [markdown]
# ## Patient E ★☆☆
#
# *The batches of an epoch, in a new random order.*

# %%
def patient_e(x, y, batch_size, generator):
    """One epoch as a list of batches (x, y), in a new random order."""
    order = torch.randperm(len(x), generator=generator)
    x, y = x[order], y[order]
    return list(zip(x.split(batch_size), y.split(batch_size)))


check("day13.patient_e", patient_e)


# %% [markdown]
# Two calls of `randperm` are two different orders, and each image got a stranger's label. One order for both keeps pairs together.
# Every check of shapes passes either way; a picture with its caption would have shown it in a second.

# %% [markdown]
# ## Patient F ★★☆
#
# *A new last layer, and an optimizer for the whole network.*

# %%
def patient_f(model, classes, learning_rate):
    """Give `model` a new last layer for `classes` classes; returns its optimizer."""
    old = model[-1]
    model[-1] = nn.Linear(old.in_features, classes, device=old.weight.device)
    return torch.optim.SGD(model.parameters(), lr=learning_rate)


check("day13.patient_f", patient_f)


# %% [markdown]
# An optimizer keeps the parameters that it is given when it is made. The old last layer was among them, the new one was not: it got
# gradients, and nobody used them. Replace first, then make the optimizer; or hand the new parameters over afterwards with
# `optimizer.add_param_group`.

# %% [markdown]
# ## Patient G ★☆☆
#
# *Grey values scaled to [0, 1] and normalised.*

# %%
def patient_g(images, mean, std):
    """Grey values uint8 [N, 1, H, W] scaled to [0, 1] and normalised: float32."""
    scaled = images / 255
    return (scaled - mean) / std


check("day13.patient_g", patient_g)


# %% [markdown]
# `//` rounds down: only 255 itself survives, as 1, and every other grey value becomes 0. Making floats first does not help, because `//`
# rounds floats down as well.

# %% [markdown]
# ## Patient H ★★☆
#
# *A loader to train with, and one to validate with.*

# %%
def patient_h(digits, train_index, val_index, augment, normalize, device):
    """Two loaders of 100 images a batch: one to train with, one to validate with."""
    common = {"batch_size": 100, "normalize": normalize, "device": device}
    train_loader = TensorLoader(
        digits, train_index, shuffle=True, augment=augment, **common
    )
    val_loader = TensorLoader(digits, val_index, **common)
    return train_loader, val_loader


check("day13.patient_h", patient_h)


# %% [markdown]
# Normalising belongs to both loaders, since the network has to see the same scale. Augmenting belongs to training alone: validation
# must ask the same question every time. Taking `augment` away altogether would have made validation well, and training poorer.

# %% [markdown]
# ## Patient I ★☆☆
#
# *The numbers 0 to `count` - 1 in two parts, at random.*

# %%
def patient_i(count, val, generator):
    """Divide 0 ... count - 1 at random: (training, `val` numbers for validation)."""
    order = torch.randperm(count, generator=generator)
    return order[val:], order[:val]


check("day13.patient_i", patient_i)


# %% [markdown]
# Training dropped the first `val` numbers of the order, validation took the last ones: all of them had been trained on. What one side
# drops is what the other must take.

# %% [markdown]
# ## Patient J ★★☆
#
# *Accuracy that is the same each time, from a model that is left as it was.*

# %%
@torch.no_grad()
def patient_j(model, x, y):
    """Share of the images x [N, ...] that `model` reads as their labels y [N] say."""
    was_training = model.training
    model.eval()
    guess = model(x).argmax(dim=1)
    model.train(was_training)
    return (guess == y).float().mean().item()


check("day13.patient_j", patient_j)


# %% [markdown]
# In training mode dropout silences a new half of the units at every call. `no_grad` does not change that; `eval` does. Without the
# way back, the rest of the training would run without dropout; with a plain `model.train()`, a finished model would start to
# waver after its first measurement.

# %% [markdown]
# ## Patient K ★☆☆
#
# *The mean loss over all samples.*

# %%
@torch.no_grad()
def patient_k(model, loader):
    """Mean loss of `model` over `loader`, which yields batches (x, y)."""
    total, count = 0.0, 0
    for x, y in loader:
        total += F.cross_entropy(model(x), y).item() * len(y)
        count += len(y)
    return total / count


check("day13.patient_k", patient_k)

# %% [markdown]
# A mean of means is the mean of all only where the groups are of equal size. Multiplying each batch's mean by its size gives its sum
# back; sums may be added up. `reduction="sum"` saves the multiplication.
