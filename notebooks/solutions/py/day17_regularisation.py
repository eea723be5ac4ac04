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
# # Day 17, solved: what keeps a network from learning by heart?
#
# The exercises of [day 17](../day17_regularisation.ipynb), each with a solution and why it works. There is more than one
# right answer to most of them; the checks accept any.

# %%
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record
from nnlab_helpers.train import EarlyStopping

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## A step that can reach zero ★★☆
#
# *The gradient step of the data alone, then a soft threshold of rate times strength.*

# %%
def l1_step(w, gradient, rate, strength):
    """One gradient step, then a soft threshold of rate times strength."""
    moved = w - rate * gradient
    return moved.sign() * (moved.abs() - rate * strength).clamp(min=0)


check("day17.l1_step", l1_step)

# %% [markdown]
# Size and sign part company: the size loses `rate * strength`, and `clamp` stops it at zero; then the sign comes back.
# The order matters. Threshold first and step afterwards, and a weight that had just become zero is moved away again, in
# every step. It is PyTorch's `softshrink`:

# %%
w, gradient = torch.randn(2, 1_000, generator=torch.Generator().manual_seed(0))
stepped = l1_step(w, gradient, rate=0.1, strength=2.0)
torch.testing.assert_close(stepped, F.softshrink(w - 0.1 * gradient, 0.2))
print("exactly zero:", f"{(stepped == 0).float().mean():.2f} of the weights")


# %% [markdown]
# ## Decay the matrices ★★☆
#
# *The share `rate * decay` off every trainable parameter of two or more dimensions, in place.*

# %%
@torch.no_grad()
def decay_matrices(model, rate, decay):
    """Shrink the matrices of `model` in place; returns how many numbers that were."""
    numbers = 0
    for p in model.parameters():
        if p.ndim > 1 and p.requires_grad:
            p.mul_(1 - rate * decay)
            numbers += p.numel()
    return numbers


check("day17.decay_matrices", decay_matrices)

# %% [markdown]
# `no_grad`, because autograd refuses to have a leaf that it watches changed in place. `mul_`, because the optimizer
# holds the same objects: `p = p * ...` would make a new tensor and leave the model as it was. With a gradient of zero
# `AdamW` does the same and nothing else:

# %%
layer, twin = nn.Linear(3, 2), nn.Linear(3, 2)
twin.load_state_dict(layer.state_dict())
optimizer = torch.optim.AdamW([twin.weight], lr=0.1, weight_decay=0.5)
twin.weight.grad = torch.zeros_like(twin.weight)
optimizer.step()
print("numbers shrunk:", decay_matrices(layer, rate=0.1, decay=0.5))
torch.testing.assert_close(layer.weight, twin.weight)


# %% [markdown]
# ## Dropout from given lots ★☆☆
#
# *Silence where the lot is smaller than $p$, enlarge the rest to $1 / (1 - p)$; only in training.*

# %%
def inverted_dropout(x, lots, p, training):
    """Silence where the lot is smaller than p, enlarge the rest; only in training."""
    if not training:
        return x
    if p == 1:
        return torch.zeros_like(x)
    return x * (lots >= p) / (1 - p)


check("day17.inverted_dropout", inverted_dropout)


# %% [markdown]
# A lot from [0, 1) is smaller than $p$ with probability $p$, also for $p = 0$ (never) and $p = 1$ (always). The survivors
# are enlarged while training, so evaluation has nothing to do: that is the "inverted" in the name. The first dropout
# (2014) shrank the weights afterwards instead.

# %% [markdown]
# ## The lots that never stop ★★☆
#
# *Two bugs: lots in evaluation mode, and survivors that were not enlarged.*

# %%
class MendedNet(nn.Module):
    """Rows [N, inputs] -> logits [N, 10], with dropout after the ReLU."""

    def __init__(self, inputs, hidden, p):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, hidden), nn.Linear(hidden, 10)
        self.p = p

    def forward(self, x):
        h = self.first(x).relu()
        if self.training:
            h = h * (torch.rand_like(h) >= self.p) / (1 - self.p)
        return self.last(h)


check("day17.mended_net", MendedNet)


# %% [markdown]
# `model.eval()` sets one attribute, `training`, on every module, and that is all it does. Who draws lots has to ask for it.
# `nn.Dropout` asks; `F.dropout(h, p)` does not, unless you pass `training=self.training`.

# %% [markdown]
# ## Which epoch comes back? ★★★
#
# *The epoch put back and the last one trained, with patience, a margin and a direction.*

# %%
def patient_stop(values, patience, min_delta=0.0, mode="min"):
    """(epoch put back, last epoch trained), both counted from 0."""
    signed = list(values) if mode == "min" else [-value for value in values]
    mark, kept, waited = signed[0], 0, 0
    for epoch in range(1, len(signed)):
        if signed[epoch] < signed[kept]:
            kept = epoch
        if signed[epoch] < mark - min_delta:
            mark, waited = signed[epoch], 0
        else:
            waited += 1
        if waited == patience:
            return kept, epoch
    return kept, len(signed) - 1


check("day17.patient_stop", patient_stop)

# %% [markdown]
# Turning the signs leaves one direction to think about. There are two records: `kept` is the best of all, and `mark`
# is what the next value has to beat by more than `min_delta`. They differ after a small improvement, which is worth
# keeping but not worth waiting for. The package's `EarlyStopping` agrees:

# %%
values = [2.0, 1.0, 0.9375, 0.96875, 0.5]
watcher, model, seen = EarlyStopping("val_loss", 2, min_delta=0.25), nn.Linear(1, 1), 0
while not watcher.stop:
    nn.init.constant_(model.weight, seen)  # the weights say which epoch they are from
    watcher.see({"val_loss": values[seen]}, model)
    seen += 1
watcher.restore(model)
print("ours:", patient_stop(values, 2, 0.25), " theirs:", (int(model.weight), seen - 1))
assert patient_stop(values, 2, 0.25) == (int(model.weight), seen - 1)
