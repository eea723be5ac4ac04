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
# # Day 12, solved: how good is it, really?
#
# The exercises of [day 12](../day12_metrics.ipynb), each with a solution and why it works. There is more than one right
# answer to most of them; the checks accept any.

# %%
import math

import torch

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## Precision and recall of every class ★★☆
#
# *From counts `[C, C]`, rows true and columns predicted; 0 where there is nothing to divide by.*

# %%
def precision_recall(matrix):
    """(precision [C], recall [C]) from counts [C, C], rows true, columns predicted."""
    right = matrix.diagonal()
    called, real = matrix.sum(dim=0), matrix.sum(dim=1)
    return right / called.clamp(min=1), right / real.clamp(min=1)


check("day12.precision_recall", precision_recall)


# %% [markdown]
# Summing over `dim=0` lets the row index, the true class, disappear: what remains is how often each class was *called*.
# The counts are whole numbers, so a sum below 1 is 0, and then the diagonal entry, which is part of it, is 0 too.
# `clamp(min=1)` turns 0/0 into 0/1 and leaves every other sum alone. Adding a small number everywhere would bend all
# the others.

# %% [markdown]
# ## F1 over batches ★★☆
#
# *One F1 from counts that are added up over batches of different sizes.*

# %%
def f1_over_batches(batches):
    """F1 over all samples of `batches`, pairs (said [B], truth [B]) of bools."""
    tp = fp = fn = 0
    for said, truth in batches:
        tp += (said & truth).sum().item()
        fp += (said & ~truth).sum().item()
        fn += (~said & truth).sum().item()
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0


check("day12.f1_over_batches", f1_over_batches)


# %% [markdown]
# Counts add up over batches; ratios do not. For accuracy one could still weigh each batch by its size, because its
# denominator *is* that size. The denominator of F1 is $2\,TP + FP + FN$, another number in each batch, so no weighting
# by size repairs the mean.

# %% [markdown]
# ## The area without a curve ★★☆
#
# *The share of pairs in which the positive scores higher, ties half.*

# %%
def auc(positives, negatives):
    """Chance that a random positive scores above a random negative, ties half."""
    pairs = positives[:, None] - negatives  # [P, N]
    wins, ties = (pairs > 0).sum().item(), (pairs == 0).sum().item()
    return (wins + ties / 2) / pairs.numel()


check("day12.auc", auc)


# %% [markdown]
# Walking down the list of scores, each positive raises the ROC curve by $1/P$ and each negative moves it to the right
# by $1/N$. The area under the curve is therefore a sum of small rectangles, one for each pair in which the positive
# came first. Tied samples are passed together: the curve takes the diagonal there, and half of the rectangle lies below
# it.
#
# All pairs at once need P times N numbers. For large sets one sorts and counts ranks, which is the Mann-Whitney U
# statistic.

# %% [markdown]
# ## Find at least that many ★★☆
#
# *The highest threshold that finds at least the share `recall` of the true ones.*

# %%
def threshold_for_recall(scores, truth, recall):
    """The highest threshold that finds at least the share `recall` of the true ones."""
    falling = scores[truth].sort(descending=True).values
    k = math.ceil(recall * len(falling) - 1e-6)
    return falling[k - 1].item()


check("day12.threshold_for_recall", threshold_for_recall)


# %% [markdown]
# A threshold equal to the k-th highest score of the true ones finds k of them (more if there are ties), and any higher
# threshold finds fewer. "At least" asks for rounding up. The small `1e-6` keeps `0.28 * 25`, which is 7.000000000000001
# to a computer, from becoming 8. `torch.quantile` is tempting, but it interpolates between two scores, and then the
# threshold belongs to no sample.

# %% [markdown]
# ## The expected calibration error ★★☆
#
# *The mean gap between confidence and accuracy over bins, each weighted by its share of the answers.*

# %%
def expected_calibration_error(confidence, right, bins=10):
    """Mean |confidence - accuracy| over bins, weighted by the answers in them."""
    total = 0.0
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            gap = confidence[inside].mean() - right[inside].float().mean()
            total += gap.abs().item() * inside.sum().item()
    return total / len(confidence)


check("day12.expected_calibration_error", expected_calibration_error)


# %% [markdown]
# The absolute value is taken inside the loop: a model that promises too much in one bin and too little in another is
# wrong in both, and the two must not cancel. Each gap is multiplied by its *count*, and the division by N comes once at
# the end. There is a shorter way, too: share times gap is $\frac{1}{N}\,|\sum (\text{confidence} - \text{right})|$ over
# the bin, so no mean is needed at all.

# %% [markdown]
# ## How many digits are needed? ★☆☆
#
# *The smallest n for which the half width of the normal interval is at most `margin`.*

# %%
def needed_samples(margin, accuracy, z=1.96):
    """Samples needed to measure `accuracy` to within plus or minus `margin`."""
    return math.ceil(z**2 * accuracy * (1 - accuracy) / margin**2)


check("day12.needed_samples", needed_samples)

# %% [markdown]
# Square both sides of $z\sqrt{a(1-a)/n} \le m$ and solve for $n$. It is rounded *up*, because with fewer samples the
# interval would be wider than allowed. For an accuracy near 98 % and a margin of 0.1 points the answer is

# %%
print(f"{needed_samples(0.001, 0.98):,}")

# %% [markdown]
# digits: several times the size of the MNIST test set.
