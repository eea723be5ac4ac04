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
# # Day 9, solved: how does a gradient become a step?
#
# The exercises of [day 9](../day09_optimizers.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import copy

import torch
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## How far does momentum carry? ★☆☆
#
# *The length of step number `step` while the gradient stays 1.*

# %%
def effective_rate(rate, beta, step):
    """How far step number `step` (from 1) moves the weight while the gradient is 1."""
    return rate * (1 - beta**step) / (1 - beta)


check("day09.effective_rate", effective_rate)

# %% [markdown]
# After $k$ steps the velocity is $1 + \beta + \beta^2 + \dots + \beta^{k-1}$, a geometric sum. It never gets beyond $1 / (1 - \beta)$,
# which is 10 for the usual 0.9. So a rate with momentum acts like one ten times as high, once the velocity has built up;
# who switches momentum on should lower the rate.

# %%
lengths = [round(effective_rate(0.1, 0.9, step), 3) for step in (1, 2, 3, 10, 100)]
print(lengths)
assert abs(effective_rate(0.1, 0.9, 100) - 0.1 / (1 - 0.9)) < 1e-4


# %% [markdown]
# ## Nesterov as he wrote it ★★☆
#
# *A step of momentum whose gradient is measured where the velocity is about to lead.*

# %%
def nesterov_step(w, m, gradient_at, rate, beta):
    """One step from `w` with velocity `m`: the new (w, m)."""
    ahead = w - rate * beta * m
    m = beta * m + gradient_at(ahead)
    return w - rate * m, m


check("day09.nesterov_step", nesterov_step)

# %% [markdown]
# And where is the looking ahead in PyTorch's two lines? PyTorch does not store $w$: it stores the look-ahead point
# $w - \eta\beta m$ itself, and calls that the weight. Then the gradient at the weight *is* the one further on. Here are both
# walks, from the same start:

# %%
curvature = torch.tensor([1.0, 30.0])
w, m = torch.tensor([-3.0, 1.0]), torch.zeros(2)
stored = torch.nn.Parameter(w.clone())
optimizer = torch.optim.SGD([stored], lr=0.02, momentum=0.9, nesterov=True)
for _ in range(20):
    w, m = nesterov_step(w, m, lambda p: curvature * p, 0.02, 0.9)
    stored.grad = curvature * stored.detach()
    optimizer.step()
assert torch.allclose(stored.detach(), w - 0.02 * 0.9 * m, atol=1e-5)
print("PyTorch's weight is our look-ahead point, after 20 steps too")


# %% [markdown]
# ## Find the bugs in this optimizer ★★★
#
# *One bug was loud, the other silent.*

# %%
class MendedAdam:
    """Adam with the usual betas and epsilon."""

    def __init__(self, parameters, rate):
        self.parameters, self.rate, self.t = list(parameters), rate, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self):
        self.t += 1
        for i, p in enumerate(self.parameters):
            self.m[i] = 0.9 * self.m[i] + 0.1 * p.grad
            self.v[i] = 0.999 * self.v[i] + 0.001 * p.grad**2
            m_hat = self.m[i] / (1 - 0.9**self.t)
            v_hat = self.v[i] / (1 - 0.999**self.t)
            p -= self.rate * m_hat / (v_hat.sqrt() + 1e-8)


check("day09.mended_adam", MendedAdam)


# %% [markdown]
# `self.m = self.v = [...]` makes *one* list and gives it two names. The gradient went into it, and wherever it was negative, so was
# "the mean square", and its root was NaN. That is loud, and found within minutes.
#
# `self.t += 1` stood inside the loop, so `t` counted parameters instead of steps. In the first call the second
# parameter was corrected as if it were already at step 2, the hundredth as if at step 100. Nothing breaks; training merely starts
# in a crooked way that depends on how many tensors the model has. Only a comparison with an oracle finds this kind of bug.

# %% [markdown]
# ## Adam against RMSprop on one model ★★☆
#
# *Two copies of one network, one optimizer each.*

# %%
def adam_or_rmsprop(model, x, y, rate, steps):
    """{"adam": losses, "rmsprop": losses}, each a list of `steps` floats."""
    found = {}
    for name, kind in (("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)):
        twin = copy.deepcopy(model)
        optimizer = kind(twin.parameters(), lr=rate)
        found[name] = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = F.cross_entropy(twin(x), y)
            found[name].append(loss.item())
            loss.backward()
            optimizer.step()
    return found


check("day09.adam_or_rmsprop", adam_or_rmsprop)

# %% [markdown]
# `deepcopy` gives each optimizer weights of its own that begin as `model`'s do. Without it the second would go on where the first
# stopped, and look better for it. The optimizer has to be given the parameters of the *copy*; given those of the original
# it would move a network that nobody looks at.
#
# At the same rate the two do not begin alike: RMSprop's first step is ten rates long. Which of the two is better is a question for
# a rate search and several seeds, as in the lesson.

# %%
torch.manual_seed(0)
x = torch.randn(200, 10)
y = (x[:, 0] * x[:, 1] > 0).long()
network = torch.nn.Sequential(
    torch.nn.Linear(10, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2)
)
curves = adam_or_rmsprop(network, x, y, rate=0.01, steps=30)
for name, losses in curves.items():
    print(name, [round(losses[step], 2) for step in (0, 1, 10, 29)])
assert curves["adam"][0] == curves["rmsprop"][0]


# %% [markdown]
# ## Lion, half the memory of Adam ★★☆
#
# *From its equations.*

# %%
def lion_step(w, g, m, rate, decay):
    """One step of Lion: the new (w, m), each of the shape of `w`."""
    c = 0.9 * m + 0.1 * g
    return w - rate * (c.sign() + decay * w), 0.99 * m + 0.01 * g


check("day09.lion_step", lion_step)

# %% [markdown]
# The order matters: `c` and the new `m` are both made from the *old* `m`. The decay stands beside the sign and not inside it, as in
# AdamW; inside, the sign would swallow it. And because only a sign is left of `c`, the length of the gradient plays no
# part: each weight moves by the rate, up or down.
