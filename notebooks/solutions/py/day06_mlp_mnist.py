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
# # Day 6, solved: how does a network learn to read digits?
#
# The exercises of [day 6](../day06_mlp_mnist.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import torch
from torch.nn import functional as F

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## Cross-entropy from logits ★★☆
#
# *The mean surprise of a batch, from logits `[B, C]` and classes `[B]`, that survives logits of 1,000.*

# %%
def cross_entropy(logits, labels):
    """Mean cross-entropy of `logits` [B, C] for the classes `labels` [B]."""
    right = logits.gather(1, labels[:, None])[:, 0]  # [B]: the true class's
    return (logits.logsumexp(dim=1) - right).mean()


check("day06.cross_entropy", cross_entropy)


# %% [markdown]
# `gather` picks one entry from each row. `logsumexp` subtracts the largest logit before it exponentiates and adds it again
# afterwards; writing `logits.exp().sum(1).log()` is the same on paper and infinite at 1,000. The mean, not the sum: a batch
# twice as large should not give gradients twice as long.

# %% [markdown]
# ## One step of Adam ★★★
#
# *The new weight and averages, from the equations.*

# %%
def adam_step(w, g, m, v, t, learning_rate):
    """One step of Adam: the new (w, m, v), each of the shape of `w`."""
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    m_hat = m / (1 - 0.9**t)
    v_hat = v / (1 - 0.999**t)
    return w - learning_rate * m_hat / (v_hat.sqrt() + 1e-8), m, v


check("day06.adam_step", adam_step)


# %% [markdown]
# `m = ...` binds a new tensor and leaves the caller's alone; `m *= 0.9` would have changed it. The averages that are returned
# are the uncorrected ones: the correction belongs to this step only, and applying it again in the next would enlarge them
# twice. Without the correction the first step would be about 3 times too long, because $\sqrt{v}$ starts much smaller,
# relative to its final value, than $m$ does.

# %% [markdown]
# ## Accuracy, batch by batch ★★☆
#
# *The share of right predictions over all samples, with the model left as it was found.*

# %%
def validation_accuracy(model, batches):
    """Share of right predictions over all samples of `batches`, from 0 to 1."""
    was_training = model.training
    model.eval()
    right, count = 0, 0
    with torch.no_grad():
        for x, y in batches:
            right += (model(x).argmax(dim=1) == y).sum().item()
            count += len(y)
    model.train(was_training)
    return right / count


check("day06.validation_accuracy", validation_accuracy)


# %% [markdown]
# Counting and dividing once at the end gives every sample the same weight. A mean of batch accuracies gives the samples of a
# small last batch more. `model.train(was_training)` puts back whichever mode it was; a plain `model.train()` would switch
# dropout on in a model that somebody had put into evaluation mode on purpose.

# %% [markdown]
# ## Find the bugs in this loop ★★☆
#
# *Two bugs made a network learn slowly and then not at all.*

# %%
def repaired_loop(model, x, y, epochs=3, batch_size=4, learning_rate=0.1):
    """Train `model` with plain SGD; returns the mean loss of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for start in range(0, len(x), batch_size):
            batch, target = x[start : start + batch_size], y[start : start + batch_size]
            logits = model(batch)
            loss = F.cross_entropy(logits, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(target)
        losses.append(total / len(x))
    return losses


check("day06.repaired_loop", repaired_loop)


# %% [markdown]
# `F.cross_entropy` takes logits and applies softmax itself. Given probabilities it applies softmax to them a second time: they
# lie between 0 and 1, so even perfect certainty comes out as soft, and the gradient is a shadow of itself. That was the slow
# part. The gradients were never set to zero, so each step repeated all those before it: that was what ended it.

# %% [markdown]
# ## A rate that decays ★☆☆
#
# *The rate in epoch `epoch`, multiplied by `factor` after every `every` epochs.*

# %%
def decayed_rate(epoch, initial, factor, every):
    """The rate in epoch `epoch`, which falls by `factor` every `every` epochs."""
    return initial * factor ** (epoch // every)


check("day06.decayed_rate", decayed_rate)


# %% [markdown]
# Whole-number division counts how many times the rate has dropped. With `/` in place of `//` it would fall a little in every
# epoch, which is a schedule too (`ExponentialLR`), but another one. PyTorch calls this one `StepLR`.

# %% [markdown]
# ## When to stop ★★☆
#
# *The best epoch seen, and the one after which training ends.*

# %%
def early_stop(losses, patience):
    """(best epoch seen, epoch after which training stops), both counted from 0."""
    best = 0
    for epoch, loss in enumerate(losses):
        if loss < losses[best]:
            best = epoch
        if epoch - best >= patience:
            return best, epoch
    return best, len(losses) - 1


check("day06.early_stop", early_stop)

# %% [markdown]
# The number of epochs without improvement is the distance to the best one, so no counter is needed, and none can be
# forgotten to reset. Equal is not better: `loss <= losses[best]` would wait for ever on a plateau.
