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
# # Day 21, solved: which choice mattered most?
#
# The exercises of [day 21](../day21_ablation_study.ipynb), each with a solution and why it works. There is more than
# one right answer to most of them; the checks accept any.

# %%
import math
from itertools import combinations
from statistics import fmean

from nnlab_helpers.exercises import check, keep_record

keep_record(False)  # running this notebook does not mark your own exercises as solved


# %% [markdown]
# ## The main effect of one factor ★☆☆
#
# *The mean value of the runs at `high`, minus the mean value of those at `low`.*

# %%
def main_effect(runs, factor, low, high):
    """Mean value at `high` minus mean value at `low`."""
    above = [value for config, value in runs if config[factor] == high]
    below = [value for config, value in runs if config[factor] == low]
    return fmean(above) - fmean(below)


check("day21.main_effect", main_effect)


# %% [markdown]
# Two lists and two means. "Everything that is not high" would be shorter to write, and wrong as soon as somebody adds a
# third level. Whether the difference means anything is decided elsewhere: in the plan, where both groups must have got
# the same mixture of all other factors.

# %% [markdown]
# ## An interaction by hand ★★☆
#
# *Half the difference between what A does at B high and what it does at B low, from the means of the four cells.*

# %%
def interaction(table):
    """Half of what B's change does to A's effect, from the means of four cells."""
    (low_low, low_high), (high_low, high_high) = [
        [fmean(cell) for cell in row] for row in table
    ]
    a_at_low, a_at_high = high_low - low_low, high_high - low_high
    return (a_at_high - a_at_low) / 2


check("day21.interaction", interaction)


# %% [markdown]
# The means come first, so that a cell with many runs does not weigh more than one with few. Why the half? Written out,
# it is the mean of the two cells where A and B are alike minus the mean of the two where they differ, a difference of
# two means just as a main effect is. So both have the same standard error and can be compared.

# %% [markdown]
# ## What hides behind it? ★★☆
#
# *All pairs of other factors whose product of signs equals that of `column` in every run, or is opposite in every run.*

# %%
def hidden_pairs(design, column):
    """Pairs (i, j) whose interaction is aliased with the main effect of `column`."""
    others = [k for k in range(len(design[0])) if k != column]
    pairs = []
    for i, j in combinations(others, 2):
        agreement = {row[i] * row[j] * row[column] for row in design}
        if len(agreement) == 1:
            pairs.append((i, j))
    return pairs


check("day21.hidden_pairs", hidden_pairs)


# %% [markdown]
# The product of three signs is +1 where the pair agrees with the column and -1 where it does not. Aliased means that it
# is the same in *all* runs: the set has one element, whichever it is. `combinations` gives the pairs in rising order.

# %% [markdown]
# ## How many seeds? ★★★
#
# *The smallest number of seeds for which an effect is at least `times` standard errors away from zero.*

# %%
def seeds_needed(effect, deviation, runs, times=2.8):
    """Smallest number of seeds with which the study can find `effect`."""
    if effect == 0:
        raise ValueError("no number of seeds finds an effect of zero")
    return math.ceil((2 * times * deviation / effect) ** 2 / runs)


check("day21.seeds_needed", seeds_needed)

# %% [markdown]
# With $n$ seeds there are $m = \text{runs} \cdot n$ results, half of them at each level. A mean of $m / 2$ results has
# the squared standard error $s^2 / (m / 2)$. The difference of two such means has twice that, $4 s^2 / m$, because the
# errors of independent means add up in squares. So the standard error is $2 s / \sqrt m$. Set it to
# $|\text{effect}| / \text{times}$ and solve for $n$; squaring takes care of the sign. The result is always at least 1.
#
# An effect half as large needs four times the seeds:

# %%
print([seeds_needed(effect, deviation=0.5, runs=32) for effect in (0.4, 0.2, 0.1)])


# %% [markdown]
# ## The Pareto front ★★☆
#
# *The positions of the points that no other point beats: none costs no more and is no less accurate, and better in
# one.*

# %%
def unbeaten(points):
    """Positions of the points that no other point beats."""
    return [
        position
        for position, mine in enumerate(points)
        if not any(
            other[0] <= mine[0] and other[1] >= mine[1] and other != mine
            for other in points
        )
    ]


check("day21.unbeaten", unbeaten)

# %% [markdown]
# "No more, no less, and better in one" is: both comparisons hold with equality allowed, and the two points are not the
# same. `other != mine` compares the pairs, so it settles two things at once: a point does not beat itself, and points
# that are equal in both numbers leave each other alone.
