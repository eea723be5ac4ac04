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
# # Day 3, solved: what do networks gain from a bent line?
#
# The exercises of [day 3](../day03_activations.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import torch
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## Many layers, one layer ★★★
#
# *The single `(weight, bias)` that does what a list of linear layers does, one after the other.*

# %%
def collapse(layers):
    """The single (weight [in, out], bias [out]) that does what all `layers` do."""
    weight, bias = layers[0]
    for next_weight, next_bias in layers[1:]:
        weight = weight @ next_weight
        bias = bias @ next_weight + next_bias
    return weight, bias


check("day03.collapse", collapse)


# %% [markdown]
# Two layers multiplied out are $(x W_1 + b_1) W_2 + b_2 = x\,(W_1 W_2) + (b_1 W_2 + b_2)$: beside $x$ stands a matrix, and
# the rest does not depend on $x$. That is a linear layer again, so the next one can be folded in the same way. The first
# bias is an output of the first layer, and like any output it passes through the second. Hence $b_1 W_2$, and not $b_1$.

# %% [markdown]
# ## The slope of LeakyReLU ★☆☆
#
# *1 where `z` is positive, `slope` elsewhere.*

# %%
def leaky_relu_grad(z, slope=0.01):
    """Derivative of LeakyReLU at `z`, the same shape as `z`."""
    return torch.where(z > 0, 1.0, slope)


check("day03.leaky_relu_grad", leaky_relu_grad)


# %% [markdown]
# The function consists of two straight lines, so its derivative consists of two numbers; how far `z` is from zero plays no
# part. With `>` and not `>=`, zero itself belongs to the left side.

# %% [markdown]
# ## The slope of a newcomer ★★☆
#
# *The derivative of Mish, $z \tanh(\log(1 + e^z))$, by hand.*

# %%
def mish_grad(z):
    """Derivative of z * tanh(log(1 + exp(z))) at `z`, the same shape as `z`."""
    u = torch.tanh(F.softplus(z))
    return u + z * (1 - u**2) * torch.sigmoid(z)


check("day03.mish_grad", mish_grad)

# %% [markdown]
# The product rule on $z \cdot u(z)$ gives $1 \cdot u + z \cdot u'$. The chain rule takes $u = \tanh(s)$ apart:
# $u' = (1 - u^2)\, s'$. And $s(z) = \log(1 + e^z)$ has the slope $s' = e^z / (1 + e^z)$, which is the sigmoid. Held against
# autograd:

# %%
z = torch.linspace(-5, 5, 101, requires_grad=True)
F.mish(z).sum().backward()
torch.testing.assert_close(mish_grad(z).detach(), z.grad, rtol=1e-4, atol=1e-5)
print("the same as autograd's at", len(z), "points")


# %% [markdown]
# ## How much is saturated? ★☆☆
#
# *The share of sigmoid outputs closer than `edge` to 0 or 1.*

# %%
def saturated_fraction(a, edge=0.05):
    """Share of the sigmoid outputs `a` [N, units] closer than `edge` to 0 or 1."""
    return ((a < edge) | (a > 1 - edge)).float().mean()


check("day03.saturated_fraction", saturated_fraction)


# %% [markdown]
# A sigmoid has two flat ends, and both are called saturated. `|` joins the two conditions entry by entry; the mean of ones
# and zeros is a share. The slope of the sigmoid is $a (1 - a)$, so within 0.05 of an end it is below 0.05.

# %% [markdown]
# ## Counting the dead, batch by batch ★★☆
#
# *The share of units whose pre-activation is never above 0, over all rows of all batches.*

# %%
def dead_fraction(batches):
    """Share of the units that no row of any of `batches` ([n, units] each) fires."""
    alive = (batches[0] > 0).any(dim=0)  # [units]
    for z in batches[1:]:
        alive = alive | (z > 0).any(dim=0)
    return (~alive).float().mean()


check("day03.dead_fraction", dead_fraction)


# %% [markdown]
# Whether a unit is alive can be decided batch by batch and joined with "or"; whether it is dead cannot be averaged. A unit
# that is silent for one batch of five rows may fire at the sixth row, so a mean over batches reports deaths that never
# happened. `torch.cat(batches)` is shorter and right too, as long as the whole set fits into memory.

# %% [markdown]
# ## What is left of a gradient? ★☆☆
#
# *The derivative of the last output of a chain of sigmoid units with respect to its first input.*

# %%
def gradient_left(z, w):
    """Slope of a chain of sigmoid units: pre-activations `z`, weights `w` [depth]."""
    a = torch.sigmoid(z)
    return (w * a * (1 - a)).prod()


check("day03.gradient_left", gradient_left)

# %% [markdown]
# Layer $k$ turns a small change of its input into $w_k$ times that change at $z_k$, and into $\sigma'(z_k)\, w_k$ times at
# its output. The layers follow one another, so the factors multiply. With weights near 1, ten factors of at most 0.25 leave
# less than a millionth:

# %%
left = gradient_left(torch.zeros(10), torch.ones(10))
print(f"{left:.1e}")
assert left < 1e-6
