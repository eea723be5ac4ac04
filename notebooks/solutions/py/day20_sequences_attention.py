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
# # Day 20, solved: can a network read an image like a sentence?
#
# The exercises of [day 20](../day20_sequences_attention.ipynb), each with a solution and why it works. There is more than
# one right answer to most of them; the checks accept any.

# %%
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## How many numbers are in an LSTM? ★☆☆
#
# *From arithmetic alone, for any number of layers.*

# %%
def lstm_parameters(inputs, hidden, layers=1):
    """The number of parameters of nn.LSTM(inputs, hidden, num_layers=layers)."""
    total = 0
    for _ in range(layers):
        total += 4 * hidden * (inputs + hidden + 2)
        inputs = hidden
    return total


check("day20.lstm_parameters", lstm_parameters)

# %% [markdown]
# Three gates and a proposal make 4 blocks of `hidden` rows. Each row has a weight for every input, one for every number
# of the state, and two biases. Every further layer reads states, so its inputs are `hidden`. PyTorch agrees:

# %%
lstm = nn.LSTM(16, 46, num_layers=2)
print(lstm_parameters(16, 46, 2), sum(p.numel() for p in lstm.parameters()))


# %% [markdown]
# ## One step of a GRU ★★★
#
# *Two gates and a proposal, in PyTorch's order and with its place for the reset gate.*

# %%
def gru_step(x, h, w_ih, w_hh, b_ih, b_hh):
    """The state [N, H] of a GRU after one more row x [N, D]."""
    row_r, row_z, row_n = (x @ w_ih.T + b_ih).chunk(3, dim=1)
    state_r, state_z, state_n = (h @ w_hh.T + b_hh).chunk(3, dim=1)
    r = (row_r + state_r).sigmoid()
    z = (row_z + state_z).sigmoid()
    n = (row_n + r * state_n).tanh()
    return (1 - z) * n + z * h


check("day20.gru_step", gru_step)


# %% [markdown]
# Both products are made in one go and cut in three. The gates may add their two parts at once; the proposal may not,
# because `r` multiplies the state's part alone, its bias included. The last line is a mixture: with `z` near 1 the
# old state passes almost untouched, which is how a GRU remembers without a separate cell.

# %% [markdown]
# ## Open the forget gate ★★☆
#
# *The sum of the two biases of every layer's forget gate becomes `value`, and nothing else changes.*

# %%
def open_forget_gate(lstm, value=1.0):
    """Give the forget gate of each layer of an nn.LSTM the bias `value`, in place."""
    gate = slice(lstm.hidden_size, 2 * lstm.hidden_size)  # the second of i, f, g, o
    with torch.no_grad():
        for layer in range(lstm.num_layers):
            getattr(lstm, f"bias_ih_l{layer}")[gate] = value
            getattr(lstm, f"bias_hh_l{layer}")[gate] = 0.0


check("day20.open_forget_gate", open_forget_gate)


# %% [markdown]
# Two biases are added, so one gets the value and the other zero. Writing `value` into both is the classic slip: the gate then
# starts at twice the bias. `torch.no_grad()` lets us write into a parameter without the write becoming part of a gradient.

# %% [markdown]
# ## Mend the causal attention ★★☆
#
# *Two bugs: which half is hidden, and when.*

# %%
def causal_attention(q, k, v):
    """Attention in which no position looks at a later one; [..., T, D]."""
    steps = q.shape[-2]
    may_look = torch.ones(steps, steps, dtype=torch.bool, device=q.device).tril()
    scores = q @ k.mT / q.shape[-1] ** 0.5
    shares = scores.masked_fill(~may_look, -torch.inf).softmax(dim=-1)
    return shares @ v


check("day20.causal_attention", causal_attention)

# %% [markdown]
# Row $t$ of the scores belongs to the one who asks, so the allowed columns $1 \ldots t$ are the *lower* triangle. And what is hidden
# must be hidden *before* the softmax: cut off afterwards, it has already taken its part of the sum, and what is left adds up to less than 1. A score of
# minus infinity gives a share of exactly 0, and the others share out the whole. PyTorch's own:

# %%
q, k, v = torch.randn(3, 2, 5, 4)
theirs = F.scaled_dot_product_attention(q, k, v, is_causal=True)
torch.testing.assert_close(causal_attention(q, k, v), theirs)
print("the same as is_causal=True")


# %% [markdown]
# ## Put the patches back together ★★☆
#
# *The inverse of `patches`, for any number of channels.*

# %%
def assembled(words, height, width, size=4):
    """Images [N, C, height, width] from their patches [N, T, C * size * size]."""
    grid = words.reshape(len(words), height // size, width // size, -1, size, size)
    rows_together = grid.permute(0, 3, 1, 4, 2, 5)  # [N, C, patch row, row, ...]
    return rows_together.reshape(len(words), -1, height, width)


check("day20.assembled", assembled)

# %% [markdown]
# Give every axis a dimension of its own, bring those together that make up the image's height (patch row, then row in the patch)
# and its width (patch column, then column), and merge them. The `-1` finds the number of channels. A round trip:

# %%
images = torch.rand(2, 3, 8, 12)
cut = images.unfold(2, 4, 4).unfold(3, 4, 4)
words = cut.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)  # [2, 6, 48]
assert torch.equal(assembled(words, 8, 12), images)
print(list(words.shape), "and back:", list(assembled(words, 8, 12).shape))
