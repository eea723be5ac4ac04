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
# # Day 4, solved: what goes in, and what comes out?
#
# The exercises of [day 4](../day04_layers_modules.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved

# %% [markdown]
# ## Predict the shape ★☆☆
#
# *Six layers, six shapes.*

# %%
predict_shapes = [
    (5, 7, 3),  # the last dimension alone
    (4, 8, 28, 28),  # 32 - 5 + 1
    (4, 6, 50),  # 50 + 2 - 3 + 1
    (4, 8, 14, 7),  # (15 - 2) // 2 + 1
    (4, 8, 1, 1),  # the size that was asked for
    (1, 4, 20),  # [layers, N, H]
]

check("day04.predict_shapes", predict_shapes)

# %% [markdown]
# Each layer leaves something alone, and that is the quickest way to its shape: Linear all but the last dimension, convolutions
# the batch, pools batch and channels. What remains follows from one formula. The last one is a convention you have to look up
# once: the layers come first, even with `batch_first=True`. `torch.Size` is a kind of tuple, so you could also have asked:

# %%
layers = [nn.Linear(10, 3), nn.Conv2d(3, 8, 5), nn.Conv1d(2, 6, 3, padding=1),
          nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1)]
inputs = [(5, 7, 10), (4, 3, 32, 32), (4, 2, 50), (4, 8, 28, 15), (4, 8, 14, 9)]
asked = [layer(torch.zeros(size)).shape for layer, size in zip(layers, inputs)]
asked.append(nn.GRU(10, 20, batch_first=True)(torch.zeros(4, 7, 10))[1].shape)
assert asked == predict_shapes


# %% [markdown]
# ## Group normalisation by hand ★★☆
#
# *Normalise `x` `[N, C, L]` within groups of neighbouring channels of each sample.*

# %%
def group_norm(x, groups):
    """`x` [N, C, L] normalised over groups of channels within each sample."""
    rows = x.reshape(len(x) * groups, -1)  # a row for each group of each sample
    variance, mean = torch.var_mean(rows, 1, correction=0, keepdim=True)
    return ((rows - mean) / (variance + 1e-5).sqrt()).reshape(x.shape)


check("day04.group_norm", group_norm)


# %% [markdown]
# The trick is in the first line: what is not an axis yet becomes one by reshaping. A reshape keeps the order of the numbers, so
# neighbouring channels of one sample end up in one row. The rest is the formula that all four norms share. `keepdim=True` keeps
# mean and variance as columns, which broadcast against the rows.

# %% [markdown]
# ## Add dropout and see what it does ★★☆
#
# *The outputs of first, ReLU, dropout, second: many times in training mode and once in evaluation mode.*

# %%
def dropout_effect(first, second, x, p, runs):
    """Outputs in training mode [runs, N, out] and in evaluation mode [N, out]."""
    net = nn.Sequential(first, nn.ReLU(), nn.Dropout(p), second)
    training = torch.stack([net(x) for _ in range(runs)])
    net.eval()
    return training, net(x)


check("day04.dropout_effect", dropout_effect)

# %% [markdown]
# A new module is in training mode, so each call draws another lot. How far do the outputs of one sample spread, and where is
# their mean?

# %% tolerance={"rtol": 0.03}
torch.manual_seed(0)
wide = nn.Linear(4, 32), nn.Linear(32, 1)
with torch.no_grad():
    training, evaluation = dropout_effect(*wide, torch.randn(5, 4), 0.5, 2000)
print("mean in training:  ", [round(v, 2) for v in training.mean(0)[:, 0].tolist()])
print("in evaluation:     ", [round(v, 2) for v in evaluation[:, 0].tolist()])
print("spread in training:", [round(v, 2) for v in training.std(0)[:, 0].tolist()])
assert (training.mean(0) - evaluation).abs().max() < 0.05


# %% [markdown]
# The single outputs jump about, and their mean is the answer in evaluation mode: that is what the factor $1/(1-p)$ is for. (It
# is exact here because only a linear layer follows. With a bend after the dropout it holds only about.)

# %% [markdown]
# ## Print the number of parameters in each layer ★☆☆
#
# *A dictionary from layers to how many numbers they own, and a line for each.*

# %%
def layer_parameters(model):
    """How many numbers each layer of `model` owns: {name of the layer: count}."""
    counts = {}
    for name, p in model.named_parameters():
        layer = name.rpartition(".")[0]
        counts[layer] = counts.get(layer, 0) + p.numel()
    for layer, count in counts.items():
        print(f"{layer:10} {count:6}")
    return counts


check("day04.layer_parameters", layer_parameters)
small = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
print(layer_parameters(small))


# %% [markdown]
# A parameter's name is a path, and what stands before its last dot is the layer that owns it. Walking through the parameters
# rather than the modules means that containers and layers without parameters never appear.

# %% [markdown]
# ## Count trainable parameters ★☆☆
#
# *How many numbers are trained, and how many are frozen.*

# %%
def count_trainable(model):
    """How many numbers of `model` are trained, and how many are frozen."""
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    whole = sum(p.numel() for p in model.parameters())
    return trained, whole - trained


check("day04.count_trainable", count_trainable)


# %% [markdown]
# `numel` counts the numbers in a tensor. Buffers, such as the running statistics of a BatchNorm, do not appear in `parameters()`:
# they change during training, but nothing trains them.

# %% [markdown]
# ## Batch normalisation after each linear layer ★★☆
#
# *A network of any depth: linear, norm, ReLU, and a last linear layer without either.*

# %%
def normed_network(sizes):
    """Linear, BatchNorm1d, ReLU for each hidden size, and a last Linear."""
    layers = []
    for size, following in pairwise(sizes[:-1]):
        layers += [nn.Linear(size, following), nn.BatchNorm1d(following), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))


check("day04.normed_network", normed_network)


# %% [markdown]
# A plain list is fine while you build; what counts is that `Sequential` gets the layers in the end, and so owns them. Each round
# makes a *new* BatchNorm: one that served several layers would mix their statistics in one diary.

# %% [markdown]
# ## A batch of five, and a single sample ★☆☆
#
# *Predict for `[N, D]` or `[D]`, in evaluation mode, and leave the model as it was.*

# %%
def predict(model, x):
    """The output of `model` for a batch [N, D] or for a single sample [D]."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        out = model(x if x.ndim == 2 else x.unsqueeze(0))
    model.train(was_training)
    return out if x.ndim == 2 else out.squeeze(0)


check("day04.predict", predict)
model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
five = torch.randn(5, 4)
print("a batch of 5: ", list(predict(model, five).shape))
print("single sample:", list(predict(model, five[0]).shape))
assert torch.allclose(predict(model, five)[0], predict(model, five[0]), atol=1e-6)


# %% [markdown]
# The dimension that went in comes out again, and only that one. The `assert` is the property that evaluation mode buys: a sample
# gets the same answer alone and in company.

# %% [markdown]
# ## Log the loss at each epoch ★★☆
#
# *Train, and return the training loss of the samples as they came and the validation loss, epoch by epoch.*

# %%
def log_losses(model, batches, x_val, y_val, epochs, learning_rate):
    """Train `model`; a pair (training loss, validation loss) for each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    history = []
    for _ in range(epochs):
        model.train()
        total, count = 0.0, 0
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            count += len(y)
        model.eval()
        with torch.no_grad():
            validation = F.mse_loss(model(x_val), y_val).item()
        history.append((total / count, validation))
    return history


check("day04.log_losses", log_losses)

# %% [markdown]
# `loss.item()` takes the number out and lets go of the graph. Times `len(y)` it is the sum over the batch's samples, so dividing
# by all samples at the end gives each of them the same weight. `model.train()` stands *inside* the loop over epochs: the
# validation of the previous epoch has switched it off.
