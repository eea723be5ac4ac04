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
# # Day 7, solved: why look at an image through a small window?
#
# The exercises of [day 7](../day07_lenet.ipynb), each with a solution and why it works. There is more than one right answer
# to most of them; the checks accept any.

# %%
import torch
from torch import nn
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## A convolution without loops ★★★
#
# *Feature maps `[B, K, H', W']` of images `[B, C, H, W]` under kernels `[K, C, k, k]`, from windows alone.*

# %%
def conv2d(images, kernels):
    """Feature maps of `images` [B, C, H, W] under `kernels` [K, C, k, k]."""
    k = kernels.shape[-1]
    windows = images.unfold(2, k, 1).unfold(3, k, 1)  # [B, C, H', W', k, k]
    return torch.einsum("bchwij,ocij->bohw", windows, kernels)


check("day07.conv2d", conv2d)


# %% [markdown]
# The first `unfold` turns each column of pixels into its windows along the height, the second does the same along the width;
# both are views, so no pixel is copied. What is left is a sum over channel and window for each image, kernel and position,
# and `einsum` is told exactly that: the letters that are missing on the right are summed.

# %% [markdown]
# ## What size comes out? ★☆☆
#
# *The formula, and a `ValueError` where the window does not fit.*

# %%
def output_size(n, window, padding=0, stride=1):
    """Pixels that come out when `n` go in."""
    room = n + 2 * padding - window
    if room < 0:
        raise ValueError(f"a window of {window} is wider than {n} padded pixels")
    return room // stride + 1


check("day07.output_size", output_size)


# %% [markdown]
# `room` is how far the window can travel. It makes one step of `stride` pixels as often as that fits, and there is one more
# position than there are steps, as with fence posts.

# %% [markdown]
# ## LeNet for 64 x 64 ★★☆
#
# *The same LeNet, for larger images.*

# %%
class LeNet64(nn.Module):
    """LeNet for images [B, 1, 64, 64]; gives logits [B, 10]."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 13 * 13, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(self.conv1(x).relu(), 2)  # [B, 6, 30, 30]
        x = F.max_pool2d(self.conv2(x).relu(), 2)  # [B, 16, 13, 13]
        x = self.fc1(x.flatten(1)).relu()
        return self.fc3(self.fc2(x).relu())


check("day07.lenet64", LeNet64)


# %% [markdown]
# 64 becomes 60, 30, 26, 13. Only the layer behind `flatten` notices; the convolutions do not change at all, and could even
# be copied from a LeNet that was trained on 32 x 32.

# %% [markdown]
# ## Draw the gradient flow ★★☆
#
# *The mean absolute gradient of each weight after one batch.*

# %%
def gradient_flow(model, x, y):
    """[(name, mean absolute gradient), ...] for each weight of `model` on the batch."""
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    weights = [(name, p) for name, p in model.named_parameters() if p.dim() > 1]
    return [(name, p.grad.abs().mean().item()) for name, p in weights]


check("day07.gradient_flow", gradient_flow)


# %% [markdown]
# Without `zero_grad` the sizes would contain whatever an earlier `backward` has left. Without `abs` positive and negative
# entries cancel, and a layer full of large gradients can look silent. The mean, and not the sum, makes layers of different
# size comparable.

# %% [markdown]
# ## Switch the loss, and the target with it ★★☆
#
# *Cross-entropy, where the pipeline delivers one-hot targets.*

# %%
def switched_loss(logits, one_hot):
    """Mean cross-entropy of `logits` [B, C], given one-hot targets [B, C]."""
    return F.cross_entropy(logits, one_hot.argmax(dim=1))


check("day07.switched_loss", switched_loss)


# %% [markdown]
# Squared error compares two vectors, so its target was a vector. Cross-entropy asks for the probability of *one* class, so its
# target is that class's number. Handing the one-hot rows to `F.cross_entropy` happens to work too, since it accepts
# probabilities; the whole number is clearer and cheaper.

# %% [markdown]
# ## Compare loss functions ★★☆
#
# *For each loss its value, and the norm of its gradient with respect to the logits.*

# %%
def compare_losses(logits, labels, losses):
    """{name: (loss, norm of its gradient with respect to the logits)}."""
    result = {}
    for name, loss_function in losses.items():
        z = logits.detach().clone().requires_grad_()
        loss = loss_function(z, labels)
        (gradient,) = torch.autograd.grad(loss, z)
        result[name] = (loss.item(), gradient.norm().item())
    return result


check("day07.compare_losses", compare_losses)

# %% [markdown]
# Each loss gets a fresh leaf, so nothing accumulates from one to the next, and the caller's tensor never enters a graph.
# `torch.autograd.grad` hands the gradient over without storing it anywhere. Now give it logits that are sure and wrong:

# %%
sure_and_wrong = torch.tensor([[9.0, 0.0, 0.0]])
truth = torch.tensor([1])


def squared_error(logits, labels):
    return F.mse_loss(logits.softmax(dim=1), F.one_hot(labels, 3).float())


losses = {"cross-entropy": F.cross_entropy, "squared error": squared_error}
for name, (loss, size) in compare_losses(sure_and_wrong, truth, losses).items():
    print(f"{name:13} loss {loss:.2f}, gradient {size:.4f}")
