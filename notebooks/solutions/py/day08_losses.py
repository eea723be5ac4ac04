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
# # Day 8, solved: what should a mistake cost?
#
# The exercises of [day 8](../day08_losses.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import torch
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## Cheap near, fair far ★★☆
#
# *Huber's price of each error, square near zero and straight beyond delta, and its derivative.*

# %%
def huber(error, delta=1.0):
    """Huber's price of each error, and its derivative; both of the shape of `error`."""
    size = error.abs()
    price = torch.where(size <= delta, size**2 / 2, delta * (size - delta / 2))
    return price, error.clamp(-delta, delta)


check("day08.huber", huber)


# %% [markdown]
# At $\delta$ the square has the slope $\delta$, so the line has it too: $\delta |e| + k$. At $\delta$ the square has the height
# $\delta^2 / 2$, so $k = -\delta^2/2$. The derivative is the error itself until it reaches $\delta$, and then stays there: a clamp.
# One mistyped measurement now pulls as hard as one that is $\delta$ off, and no harder.

# %% [markdown]
# ## Binary cross-entropy from logits ★★☆
#
# *The mean over all entries, for targets in [0, 1], right for logits of 1,000.*

# %%
def binary_cross_entropy(logits, targets):
    """Mean binary cross-entropy of `logits` for `targets` in [0, 1], same shape."""
    return (F.softplus(logits) - targets * logits).mean()


check("day08.binary_cross_entropy", binary_cross_entropy)

# %% [markdown]
# With $p = \sigma(z)$ we have $-\log p = \log(1 + e^{-z})$ and $-\log(1 - p) = \log(1 + e^z)$, and these differ by $z$. So
# $y \log(1 + e^{-z}) + (1 - y) \log(1 + e^z) = \log(1 + e^z) - y z$. `softplus` is $\log(1 + e^z)$ without overflow.
#
# Written out, it is `z.clamp(min=0) - z * y + (-z.abs()).exp().log1p()`: the exponent is never positive. There is a trap in
# it that no value shows. At exactly $z = 0$ the clamp and the absolute value have a kink each, autograd must choose a slope there,
# and for `clamp` and `abs` its choices do not add up to $\sigma(0) - y$. An output layer that starts at zero has such logits.

# %%
z = torch.zeros(1, requires_grad=True)
for name, price in {
    "softplus": F.softplus(z),
    "by hand": z.clamp(min=0) + (-z.abs()).exp().log1p(),
}.items():
    (slope,) = torch.autograd.grad(price.sum(), z)
    print(f"{name:8}: slope at 0 is {slope.item()}, and should be 0.5")


# %% [markdown]
# ## KL divergence, with zeros ★★☆
#
# *KL(p || q) of each row; what never happens costs nothing, what was called impossible and happens costs infinitely much.*

# %%
def kl_divergence(p, q):
    """KL(p || q) of each row of `p` and `q`, both [N, C]; returns [N]."""
    terms = torch.where(p > 0, p * (p / q).log(), 0.0)  # [N, C]
    return terms.sum(dim=1)


check("day08.kl_divergence", kl_divergence)

# %% [markdown]
# `where` throws the NaN of $0 \log 0$ and of $0 / 0$ away and keeps the infinity of $p / 0$. Multiplying by a mask would not
# have: 0 times NaN is NaN. (Going backward, `where` lets that NaN through to the gradient of $p$. If you need that gradient, put a
# harmless number into the logarithm first.) Adding `1e-8` to $q$ avoids the infinity, and with it the message that the model has
# ruled out what happens.

# %% [markdown]
# ## Which price for which task? ★☆☆
#
# *A word for each task.*

# %%
choose_loss = {
    "the length of a fish, errors bell-shaped and equally large": "mse",
    "the price of a house, a few entries mistyped": "huber",
    "which of 26 letters was written": "ce",
    "which of 20 symptoms a patient has": "bce",
    "spam or not, from one logit": "bce",
    "a small network imitates a large one's probabilities": "kl",
}

check("day08.choose_loss", choose_loss)


# %% [markdown]
# A bell curve's surprise is squared error. A few wild entries ask for a price that stays calm. One of 26 excludes the others, which a
# softmax knows; symptoms do not exclude each other. One logit is a question with yes or no. And a perfect imitation should cost
# nothing: KL is zero there, cross-entropy still charges the teacher's entropy.

# %% [markdown]
# ## Smooth the labels ★☆☆
#
# *Targets $(1 - \varepsilon)$ one-hot plus $\varepsilon / C$ for everyone.*

# %%
def smooth_labels(labels, num_classes, epsilon):
    """Smoothed targets [B, num_classes] for the classes `labels` [B]."""
    one_hot = F.one_hot(labels, num_classes)  # [B, num_classes], whole numbers
    return (1 - epsilon) * one_hot + epsilon / num_classes


check("day08.smooth_labels", smooth_labels)


# %% [markdown]
# The true class gives up $\varepsilon$ and, being one of the $C$, gets $\varepsilon / C$ of it back. Each row still adds up to 1. (Some
# papers share $\varepsilon$ among the $C - 1$ others; Szegedy and PyTorch share it among all.)

# %% [markdown]
# ## Soft targets, softened logits ★★★
#
# *The gradient of the mean soft cross-entropy of `softmax(z / T)` with respect to z.*

# %%
def soft_loss_grad(logits, targets, temperature):
    """Gradient [B, C] of the mean soft cross-entropy with respect to `logits`."""
    q = (logits / temperature).softmax(dim=1)  # [B, C]
    return (q - targets) / (temperature * len(logits))


check("day08.soft_loss_grad", soft_loss_grad)

# %% [markdown]
# With $u = z / T$ the loss of one row is $\log \sum_k e^{u_k} - \sum_c t_c u_c$ (this is where the targets have to add up to 1), and
# its gradient with respect to $u$ is $q - t$. One factor $1/T$ comes from the chain rule, one $1/B$ from the mean. Autograd agrees:

# %%
z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
t = torch.tensor([[0.2, 0.5, 0.3]]).expand(5, 3)
(gradient,) = torch.autograd.grad(F.cross_entropy(z / 4, t), z)
assert torch.allclose(gradient, soft_loss_grad(z.detach(), t, 4), atol=1e-7)
print("the same as autograd's")


# %% [markdown]
# ## Find the bugs in this loss ★★☆
#
# *Softmax over the wrong axis, a mean over too many entries, and the logarithm of a probability that rounds to 0.*

# %%
def mended_loss(logits, labels):
    """Mean cross-entropy of `logits` [B, C] for the classes `labels` [B]."""
    log_p = logits.log_softmax(dim=1)
    one_hot = F.one_hot(labels, logits.shape[1])  # [B, C]
    return -(one_hot * log_p).sum(dim=1).mean()


check("day08.mended_loss", mended_loss)

# %% [markdown]
# `softmax(dim=0)` makes the columns add up to 1: each image then competes with the other images of its batch. `.mean()` divides by
# $B \times C$, although only $B$ entries are not zero, so the gradient is $C$ times too small; nothing crashes, the network learns
# slowly. And `log_softmax` takes the logarithm on paper, so that a probability that rounds to 0 does no harm.
