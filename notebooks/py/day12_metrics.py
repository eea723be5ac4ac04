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
# # Day 12: how good is it, really?
#
# *Reading: about 40 minutes. Running: under 30 seconds on two CPU cores. Builds on [day 6](day06_mlp_mnist.ipynb).*
#
# A screening test that tells everybody "you are healthy" is right for 99 people in 100, if one in 100 is ill. It has
# never helped anyone. A number that praises such a test is not wrong, it answers another question than the one you had.
# Today we take a network apart with five questions: what does it find, where should its threshold lie, can its
# confidence be believed, how far can the measurement be trusted, and what would make the network better?
#
# **By the end you can**
#
# - compute precision, recall and F1 from counts, and say which average hides what;
# - read ROC and precision-recall curves, and choose a threshold without touching the test set;
# - measure whether a stated 90 % means nine in ten, and mend it with a single number;
# - put an error bar on an accuracy, judge "0.1 points better", and read learning curves.
#
# [← Day 11: how do you watch a network learn?](day11_tensorboard.ipynb) ·
# [Day 13: why does it not learn? →](day13_debugging.ipynb)

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.nn import functional as F

from nnlab_helpers.data import Normalize, TensorLoader, load_images, make_splits
from nnlab_helpers.device import pick_device, seed_everything
from nnlab_helpers.exercises import check, hint
from nnlab_helpers.models import MLP
from nnlab_helpers.plots import PALETTE, label_lines, plot_band, plot_confusion
from nnlab_helpers.plots import show_images, use_style
from nnlab_helpers.train import fit

seed_everything(0)
device = pick_device()
use_style()

# %% [markdown]
# ## A rare thing to look for
#
# A sorting machine is to pick out the cards with a 9. Among its cards nines are rare: about one in ninety. We make such
# a stream from the test digits by keeping 100 of their nines and all of the others.

# %%
digits = load_images("mnist", "train")
test_digits = load_images("mnist", "test")
splits = make_splits(digits, train=5_000, val=5_000, test=0, seed=0)


def with_few_nines(labels, keep):
    """Indices of all samples that are not 9, and of the first `keep` that are."""
    nines = (labels == 9).nonzero().flatten()[:keep]
    return torch.cat([(labels != 9).nonzero().flatten(), nines]).sort().values


rare = with_few_nines(test_digits.labels, keep=100)
is_nine = test_digits.labels[rare] == 9  # bool [9091]
print(f"{len(rare):,} cards, {int(is_nine.sum())} nines among them")

# %%
wanted = test_digits.take(rare[is_nine][:10])
show_images(wanted.images, title="Ten of the hundred to be found")
plt.show()

# %% [markdown]
# Now a network. It is trained as on day 6, on 1,000 digits of all ten kinds in roughly equal shares, three times with
# three seeds. It is a mediocre network on purpose: a perfect one would have nothing to teach today. The validation
# digits that it watches while training are the first 500 of 5,000.

# %%
watched = splits.val[:500]
common = {"normalize": Normalize.from_images(digits, splits.train), "device": device}
watch_loader = TensorLoader(digits, watched, batch_size=500, **common)


def train_network(seed, count=1_000, hidden=(64, 64), epochs=20):
    """An MLP trained on `count` digits, and its history."""
    seed_everything(seed)
    model = MLP(784, hidden, 10).to(device)
    index = splits.train[:count]
    batches = {"batch_size": 100, "shuffle": True, "seed": seed}
    loader = TensorLoader(digits, index, **batches, **common)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
    history = fit(model, loader, watch_loader, epochs=epochs, optimizer=optimizer,
                  device=device, progress=False)
    return model, history


@torch.no_grad()
def logits_of(model, data, index=None):
    """The model's logits [N, 10] for the images of `data`, on the CPU."""
    model.eval()
    loader = TensorLoader(data, index, batch_size=1_000, **common)
    return torch.cat([model(x) for x, _ in loader]).cpu()


# %%
trained = [train_network(seed) for seed in range(3)]
val_labels, test_labels = digits.labels[splits.val], test_digits.labels
val_logits = [logits_of(model, digits, splits.val) for model, _ in trained]
test_logits = [logits_of(model, test_digits) for model, _ in trained]
print("of each network, logits for validation", list(val_logits[0].shape),
      "and test", list(test_logits[0].shape))


# %% [markdown]
# The network says "nine" when 9 is the digit that it believes in most. Its rival is lazier: it has no weights, and says
# "no" to every card.
#
# > **Predict.** Write down two percentages: how often is the network right, and how often its rival?

# %% tolerance={"rtol": 0.03}
def accuracy(said, truth):
    """Share of answers that are right."""
    return (said == truth).float().mean().item()


said_nine = [z[rare].argmax(dim=1) == 9 for z in test_logits]  # bool [9091] each
never = torch.zeros_like(is_nine)
print(f"always no: {accuracy(never, is_nine):.1%}")
for seed, said in enumerate(said_nine):
    print(f"network {seed}: {accuracy(said, is_nine):.1%}")
    assert accuracy(said, is_nine) < accuracy(never, is_nine), "the claim below fails"


# %% [markdown]
# **What happened.** The one who always says no wins, against all three. It has found none of the nines, and accuracy
# does not care, because there are hardly any. **Accuracy weighs each sample the same, so where one class is rare it is
# a report on the other one.** Before you believe an accuracy, ask what the laziest answer would get.

# %% [markdown]
# ## Four counts
#
# A yes-or-no answer is right or wrong in two ways each, so four counts say everything:
#
# | | said "nine" | said "no" |
# |---|---|---|
# | **is a nine** | true positive, TP | false negative, FN: missed |
# | **is none** | false positive, FP: false alarm | true negative, TN |
#
# Two questions can be asked of them. Of the nines there are, how many were found? That is **recall**. Of those that
# were called a nine, how many are one? That is **precision**.
#
# $$\text{recall} = \frac{TP}{TP + FN} \qquad\qquad \text{precision} = \frac{TP}{TP + FP}$$
#
# TN occurs in neither: nobody is praised for the many cards that look nothing like a nine. Where one number is wanted
# in place of two, it is mostly **F1**, their *harmonic* mean
# $2 / (\frac{1}{\text{precision}} + \frac{1}{\text{recall}})$, which works out as $\frac{2\,TP}{2\,TP + FP + FN}$.

# %%
def three_counts(said, truth):
    """True positives, false positives and false negatives of bool answers [N]."""
    hits = (said & truth).sum().item()
    return hits, (said & ~truth).sum().item(), (~said & truth).sum().item()


def scores_of(tp, fp, fn):
    """Precision, recall and F1; what has nothing to divide by is 0."""
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    f1 = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0
    return precision, recall, f1


assert scores_of(tp=3, fp=1, fn=2) == (3 / 4, 3 / 5, 6 / 9)

# %% [markdown]
# Why the harmonic mean, and not the plain one?
#
# > **Predict.** A third candidate says "nine" to *every* card. What are its precision and its recall? And what would
# > their plain mean be?

# %% tolerance={"rtol": 0.08}
always = torch.ones_like(is_nine)
print("            precision   recall       F1")
candidates = {"always no": never, "always yes": always, "network": said_nine[0]}
for name, said in candidates.items():
    row = scores_of(*three_counts(said, is_nine))
    print(f"{name:10}  {row[0]:9.1%}{row[1]:9.1%}{row[2]:9.1%}")
precision, recall, f1 = scores_of(*three_counts(always, is_nine))
assert (precision + recall) / 2 > 0.5 and f1 < 0.03
assert row[0] < 0.6 and row[1] > 0.8, "the network: poor precision, good recall"


# %% [markdown]
# **What happened.** "Always yes" finds every nine, and nearly each of its alarms is false. The plain mean of its two
# numbers is above one half; the harmonic mean stays close to the *smaller* of the two, so F1 is not fooled. And the
# network? It finds most of the nines, but a large part of its alarms is false: a small share of very many other digits
# is still a lot of digits.
#
# ### Exercise: precision and recall of every class ★★☆
#
# `precision_recall(matrix)` gets a confusion matrix `[C, C]` of counts (int64; rows the true class, columns the
# predicted one) and returns the pair `(precision, recall)`, two float tensors `[C]`, one entry per class. A class that
# was never predicted has precision 0, a class that never occurs has recall 0. For `[[3, 1], [2, 0]]` they are `[0.6,
# 0.0]` and `[0.75, 0.0]`. No loop is needed.

# %%
def precision_recall(matrix):
    """(precision [C], recall [C]) from counts [C, C], rows true, columns predicted."""
    ...  # your code here


check("day12.precision_recall", precision_recall)

# %% [markdown]
# Stuck? `hint("day12.precision_recall")` gives a first nudge, and a stronger one each time you call it.

# %% [markdown]
# ## Ten classes, three averages
#
# Every digit can be asked about in this way: "is it a 3?", "is it a 4?". On the same cards that gives ten F1 scores.

# %%
truth, guess = test_labels[rare], test_logits[0][rare].argmax(dim=1)  # both [9091]
matrix = torch.zeros(10, 10, dtype=torch.int64)
matrix.index_put_((truth, guess), torch.tensor(1), accumulate=True)
counts = torch.tensor([three_counts(guess == k, truth == k) for k in range(10)])
assert torch.equal(counts[:, 0], matrix.diagonal())  # TP
assert torch.equal(counts[:, 1], matrix.sum(dim=0) - matrix.diagonal())  # FP
assert torch.equal(counts[:, 2], matrix.sum(dim=1) - matrix.diagonal())  # FN
assert matrix[[4, 7], 9].sum() > counts[9, 1] / 2, "the title no longer holds"
plot_confusion(matrix, title="Most false nines are fours and sevens")
plt.show()

# %% [markdown]
# How do ten numbers become one? There are three customs.
#
# - **Macro**: the mean of the ten F1 scores. Each *class* counts the same.
# - **Weighted**: their mean, each weighted by how often its class occurs (its **support**).
# - **Micro**: add up the counts of all classes first, then compute one F1. Each *card* counts the same.

# %% tolerance={"atol": 0.025, "rtol": 0.03}
f1_each = torch.tensor([scores_of(*row)[2] for row in counts.tolist()])  # [10]
support = matrix.sum(dim=1)  # [10]
macro = f1_each.mean().item()
weighted = (f1_each * support / support.sum()).sum().item()
micro = scores_of(*counts.sum(dim=0).tolist())[2]
others = f1_each[:9].mean().item()
print(f"F1 of the nine {f1_each[9]:.2f}, of the others {others:.2f} on average")
print(f"macro {macro:.3f}   weighted {weighted:.3f}   micro {micro:.3f}")
assert f1_each.argmin() == 9, "the rare class is served worst"
assert macro < weighted - 0.01, "it drags the macro average down"
assert abs(weighted - others) < 0.02, "and the weighted one hardly"
assert math.isclose(micro, accuracy(guess, truth), abs_tol=1e-6)

# %%
from sklearn.metrics import f1_score

for name, ours in (("macro", macro), ("weighted", weighted), ("micro", micro)):
    assert math.isclose(ours, f1_score(truth, guess, average=name), abs_tol=1e-6)
print("the same three numbers as scikit-learn")

# %% [markdown]
# **What happened.** The rare class is served worst. Micro and weighted hardly notice, since there are so few nines.
# Macro does.
# And micro F1 is nothing new: where each sample has one true and one predicted class, each mistake is one FP *and* one
# FN, and the formula collapses into accuracy (the `assert` above holds it). If somebody reports "F1", ask which one.

# %% [markdown]
# ### A mean of ratios is not the ratio of sums
#
# Evaluation comes in batches, and it is tempting to compute a metric for each batch and average them at the end. Loss
# and accuracy survive that (if you weigh by batch size). What happens to F1?
#
# > **Predict.** In a batch of 64 cards there is mostly no nine, or one. Will the mean over batches be too high, too
# > low, or right?

# %% tolerance={"rtol": 0.05}
order = torch.randperm(len(rare), generator=torch.Generator().manual_seed(0))
said, truth = said_nine[0][order].split(64), is_nine[order].split(64)
batches = list(zip(said, truth, strict=True))
each = [scores_of(*three_counts(said, truth))[2] for said, truth in batches]
overall = scores_of(*three_counts(said_nine[0], is_nine))[2]
without = sum(not truth.any() for _, truth in batches) / len(batches)
print(f"F1 over all cards {overall:.2f}, mean of the batches' F1 {np.mean(each):.2f}")
print(f"batches without a single nine: {without:.0%}")
assert np.mean(each) < overall - 0.1


# %% [markdown]
# **What happened.** Too low, by far: in a batch without a nine F1 is 0, or 0/0, which we call 0, whatever the network
# does. Calling 0/0 one would move the mean again, and neither mean is the F1 of anything. A ratio has to be computed
# once, from counts that were added up.
#
# ### Exercise: F1 over batches ★★☆
#
# `f1_over_batches(batches)` gets a list of pairs `(said, truth)` of bool tensors, `[B]` each, and B differs from pair
# to pair. Return the F1 of all samples together, as a float; 0 if there is neither a positive answer nor a positive
# sample anywhere. Do not concatenate: keep running counts, as one would for a stream that does not fit into memory. For
# `([True, True], [True, False])` and `([False], [True])` it is 0.5.

# %%
def f1_over_batches(batches):
    """F1 over all samples of `batches`, pairs (said [B], truth [B]) of bools."""
    ...  # your code here


check("day12.f1_over_batches", f1_over_batches)


# %% [markdown]
# ## Every threshold at once
#
# So far the network said "nine" if 9 was its favourite. But it gives a probability, and we may ask for more certainty
# than that, or for less. Each threshold on the **score** $P(9)$ is another classifier. To try them all, sort the cards
# by score and walk down the list: each card that we pass is one more hit or one more false alarm.

# %%
def walk_down(scores, truth):
    """Hits and false alarms among all samples with at least each score.

    `scores` [N], `truth` bool [N]; returns thresholds, tp, fp, each [T].
    """
    scores, order = scores.sort(descending=True)
    tp, fp = truth[order].cumsum(0), (~truth[order]).cumsum(0)
    last = torch.ones_like(truth)  # equal scores pass the threshold together
    last[:-1] = scores[:-1] != scores[1:]
    return scores[last], tp[last].double(), fp[last].double()


p_nine = [z.softmax(dim=1)[:, 9] for z in test_logits]  # [10000] each

# %% [markdown]
# Two curves come out of these counts. The **ROC curve** (*receiver operating characteristic*, a word from radar) draws
# the share of nines found against the share of *other digits* that raise a false alarm. The **precision-recall curve**
# draws precision against the same share of nines found. We draw both for two streams: our rare nines, and the whole
# test set, in which there are ten times as many.
#
# > **Predict.** The same network, the same scores. Which of the two curves changes when nines get ten times rarer?

# %% tolerance={"atol": 0.5, "rtol": 0.08}
streams = {"1 in 10": torch.arange(10_000), "1 in 90": rare}
print("to find 90 % of the nines   false alarms among the others   precision")
for name, index in streams.items():
    _, tp, fp = walk_down(p_nine[0][index], test_labels[index] == 9)
    k = int((tp < 0.9 * tp[-1]).sum())
    print(f"{name:25}{fp[k] / fp[-1]:33.1%}{tp[k] / (tp[k] + fp[k]):12.1%}")

# %%
fig, (ax_roc, ax_pr) = plt.subplots(1, 2, figsize=(7, 3.6))
for (name, index), line in zip(streams.items(), ("-", "--"), strict=True):
    _, tp, fp = walk_down(p_nine[0][index], test_labels[index] == 9)
    ax_roc.plot(fp / fp[-1], tp / tp[-1], line)
    ax_pr.plot(tp / tp[-1], tp / (tp + fp), line, label=name)
ax_roc.plot([0, 1], [0, 1], color="gray", linewidth=1)
ax_roc.text(0.5, 0.42, "coin tossing", color="gray", rotation=38)
ax_roc.set(xlabel="false alarms among the others", ylabel="share of nines found")
ax_pr.set(xlabel="share of nines found", ylabel="precision", ylim=(0, 1.05))
ax_roc.set_title("ROC: hardly a difference")
ax_pr.set_title("Precision: a great one")
label_lines(ax_pr)
plt.show()


# %% [markdown]
# Each has an area that sums it up. Under the ROC curve (**AUROC**) the trapezoid rule will do. Under the other one it
# will not: between two points precision does not move along a straight line. There one takes steps, precision times the
# recall gained, and calls it **average precision**.

# %%
def areas(scores, truth):
    """(area under the ROC curve, average precision)."""
    _, tp, fp = walk_down(scores, truth)
    start = torch.zeros(1, dtype=torch.float64)
    tpr, fpr = torch.cat([start, tp / tp[-1]]), torch.cat([start, fp / fp[-1]])
    average_precision = (tpr.diff() * tp / (tp + fp)).sum()
    return torch.trapezoid(tpr, fpr).item(), average_precision.item()


# %% tolerance={"atol": 0.025, "rtol": 0.03}
for seed, p in enumerate(p_nine):
    (roc_many, ap_many), (roc_few, ap_few) = (
        areas(p[index], test_labels[index] == 9) for index in streams.values()
    )
    print(f"network {seed}: 1 in 10 -> 1 in 90:   AUROC {roc_many:.3f} -> {roc_few:.3f}"
          f"   average precision {ap_many:.2f} -> {ap_few:.2f}")
    assert abs(roc_many - roc_few) < 0.02, "ROC: hardly a difference"
    assert ap_many - ap_few > 0.05, "precision: a great one"

# %%
from sklearn.metrics import average_precision_score, roc_auc_score

from nnlab_helpers import metrics

ours = areas(p_nine[0][rare], is_nine)
oracle = (roc_auc_score(is_nine, p_nine[0][rare]),
          average_precision_score(is_nine, p_nine[0][rare]))
package = (metrics.auroc(p_nine[0][rare], is_nine),
           metrics.average_precision(p_nine[0][rare], is_nine))
assert np.allclose(ours, oracle) and np.allclose(ours, package)
print("the same areas as scikit-learn, and as our package from now on")

# %% [markdown]
# **What happened.** Both axes of the ROC curve are shares *within* one kind of card: of the nines, and of the others.
# How many there are of each kind does not matter to them. Precision mixes the two kinds, so it depends on how rare the
# wanted thing is. Each is what you need, for another purpose: ROC asks how well the scores separate the two kinds;
# precision asks what an alarm is worth *in this stream*. And an AUROC next to 1 can go with alarms half of which are
# false.
#
# The area under the ROC curve has a second meaning, without any curve: take a random nine and a random other digit. How
# often does the nine have the higher score?

# %% tolerance={"rtol": 0.03}
scores, generator = p_nine[0][rare], torch.Generator().manual_seed(0)
positives, negatives = scores[is_nine], scores[~is_nine]
one = positives[torch.randint(len(positives), (100_000,), generator=generator)]
other = negatives[torch.randint(len(negatives), (100_000,), generator=generator)]
above = (one > other).float().mean().item()
print(f"the nine scores higher in {above:.3f} of the pairs; AUROC {ours[0]:.3f}")
assert abs(above - ours[0]) < 0.005


# %% [markdown]
# ### Exercise: the area without a curve ★★☆
#
# Compute that share exactly. `auc(positives, negatives)` gets the scores `[P]` of the positives and `[N]` of the
# negatives and returns, as a float, the share of the P times N pairs in which the positive scores higher. A tie counts
# half. For `[2., 1.]` and `[1., 0.]` there are four pairs, three wins and a tie: 0.875. Comparing all pairs at once is
# fine.

# %%
def auc(positives, negatives):
    """Chance that a random positive scores above a random negative, ties half."""
    ...  # your code here


check("day12.auc", auc)


# %% [markdown]
# ### Choose the threshold, elsewhere
#
# The threshold is a choice like the learning rate, so it is made on validation digits. Precision depends on rarity, so
# they must be as rare there as in use: 50 nines remain among 4,500 others. We take the threshold with the highest F1,
# and then compare it with one half, on the test cards.

# %%
def best_threshold(scores, truth):
    """The threshold on `scores` [N] with the highest F1."""
    thresholds, tp, fp = walk_down(scores, truth)
    f1 = 2 * tp / (tp + fp + tp[-1])  # TP + FN are all positives
    return thresholds[f1.argmax()].item()


rare_val = with_few_nines(val_labels, keep=50)
val_nine = val_labels[rare_val] == 9

# %% tolerance={"rtol": 0.08}
print("            threshold   precision   recall     F1")
for seed in range(3):
    chosen = best_threshold(val_logits[seed].softmax(dim=1)[rare_val, 9], val_nine)
    scores = p_nine[seed][rare]
    rows = [scores_of(*three_counts(scores >= t, is_nine)) for t in (0.5, chosen)]
    for t, row in zip((0.5, chosen), rows, strict=True):
        print(f"network {seed}   {t:9.2f}   {row[0]:9.2f}{row[1]:9.2f}{row[2]:7.2f}")
    plain, best = rows
    assert chosen > 0.5 and best[2] > plain[2] + 0.03
    assert best[0] > plain[0] and best[1] < plain[1], "fewer alarms false, more missed"


# %% [markdown]
# **What happened.** All three networks should be asked for far more certainty than one half: they learned on digits
# where every tenth was a nine, and work on cards where one in ninety is. Some more nines are missed, many fewer alarms
# are false. F1 is one custom among many. If a missed nine costs 50 times as much as a false alarm, or if the contract
# says "find 95 in 100", the threshold follows from that instead.
#
# ### Exercise: find at least that many ★★☆
#
# `threshold_for_recall(scores, truth, recall)` gets scores `[N]`, bools `[N]` (at least one is true) and a wanted
# recall in (0, 1]. A sample counts as found if its score is *at least* the threshold. Return, as a float, the highest
# threshold with which at least that share of the true ones is found. With scores `[0.9, 0.8, 0.4, 0.3]`, truth
# `[True, False, True, True]` and a recall of 0.5 it is 0.4: that finds two of three, and with 0.9 it would be one of
# three. (Mind the last digits: 0.28 * 25 is a hair more than 7 to a computer.)

# %%
def threshold_for_recall(scores, truth, recall):
    """The highest threshold that finds at least the share `recall` of the true ones."""
    ...  # your code here


check("day12.threshold_for_recall", threshold_for_recall)


# %% [markdown]
# ## Does 90 % mean nine in ten?
#
# Back to all ten digits and the whole test set. The probability that a network gives to its own answer is its
# **confidence**. Take all the answers with a confidence near 90 %. If about nine in ten of them are right, the network
# knows what it knows; it is **calibrated**. To see, sort the answers into bins of confidence, and compare the mean
# confidence in each bin with how many are right.

# %%
def reliability(confidence, right, bins=10):
    """Count, mean confidence and accuracy of each bin of confidence in use: [B, 3]."""
    rows = []
    for k in range(bins):
        inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if inside.any():
            hits = right[inside].float().mean()
            rows.append([inside.sum(), confidence[inside].mean(), hits])
    return torch.tensor(rows)


probabilities = test_logits[0].softmax(dim=1)
confidence, answer = probabilities.max(dim=1)  # both [10000]
right = answer == test_labels
table = reliability(confidence, right)
assert table[:, 0].sum() == len(test_labels)

# %% [markdown]
# > **Predict.** Trained on 1,000 digits until it reads practically all of them: will the network promise too much or
# > too little?

# %% tolerance={"rtol": 0.03}
for seed, z in enumerate(test_logits):
    confidence, answer = z.softmax(dim=1).max(dim=1)
    hit_rate = accuracy(answer, test_labels)
    stated = confidence.mean().item()
    print(f"network {seed}: says {stated:.1%} on average, is right in {hit_rate:.1%}")
    assert stated > hit_rate + 0.02


# %%
def draw_reliability(ax, table, title):
    """Accuracy over confidence, a dot per bin, larger where it holds more answers."""
    count, confidence, accuracy = table[table[:, 0] >= 20].T  # fewer are noise
    ax.plot([0, 1], [0, 1], color="gray", linewidth=1)
    ax.vlines(confidence, accuracy, confidence, color=PALETTE[1], linewidth=2)
    ax.scatter(confidence, accuracy, s=12 + 200 * count / count.sum(), zorder=3)
    ax.set(xlim=(0, 1.04), ylim=(0, 1.04), title=title)
    ax.set(xlabel="confidence", ylabel="share that is right")


fig, ax = plt.subplots(figsize=(4.2, 3.8))
draw_reliability(ax, table, "It promises more than it keeps")
ax.text(0.58, 0.66, "promise kept", color="gray", rotation=42, ha="center", va="center")
well_filled = table[table[:, 0] > 300]
assert (well_filled[:, 1] > well_filled[:, 2]).all(), "the title no longer holds"
plt.show()


# %% [markdown]
# **What happened.** Too much, in all three. Wherever there are many answers, the share of right ones lies below the
# line (bins of fewer than 20 answers are not drawn). You have met the cause on day 6: cross-entropy goes on paying for
# certainty after every training digit is read correctly.
#
# The mean length of the gaps, each weighted by the share of answers in its bin, is the **expected calibration
# error**:
#
# $$\text{ECE} = \sum_b \frac{n_b}{N}\, \bigl|\, \text{confidence}_b - \text{accuracy}_b \,\bigr|$$
#
# ### Exercise: the expected calibration error ★★☆
#
# `expected_calibration_error(confidence, right, bins=10)` gets confidences `[N]` in (0, 1] and bools `[N]`, and returns
# the ECE as a float. Bin number $k$ of $B$, counted from 0, holds the confidences above $k/B$, up to and including
# $(k+1)/B$. Empty bins add nothing. With confidences `[0.95, 0.95, 0.55]`, of which the first alone is right, two bins
# are in use: gaps of 0.45 (two answers) and 0.55 (one), so the ECE is 1.45 / 3. You may use `reliability`.

# %%
def expected_calibration_error(confidence, right, bins=10):
    """Mean |confidence - accuracy| over bins, weighted by the answers in them."""
    ...  # your code here


check("day12.expected_calibration_error", expected_calibration_error)

# %% [markdown]
# ### One number mends it
#
# Divide all logits by a **temperature** $T$ before the softmax. With $T > 1$ the probabilities move towards each other;
# which class is largest stays the same, so no answer changes. Guo et al. (2017) choose $T$ on *validation* samples, by
# the lowest cross-entropy, and nothing else is trained. (The ECE below is the package's.)

# %%
GRID = torch.logspace(-1, 1, 81)  # temperatures from 0.1 to 10


def best_temperature(logits, labels):
    """The temperature of GRID with the lowest cross-entropy."""
    losses = torch.stack([F.cross_entropy(logits / t, labels) for t in GRID])
    return GRID[losses.argmin()].item()


def calibration_and_loss(logits, temperature):
    """ECE and cross-entropy on the test digits, at a temperature."""
    z = logits / temperature
    ece = metrics.expected_calibration_error(z.softmax(dim=1), test_labels, bins=10)
    return ece, F.cross_entropy(z, test_labels).item()


# %% tolerance={"rtol": 0.08}
temperatures = [best_temperature(z, val_labels) for z in val_logits]
for seed, (z, t) in enumerate(zip(test_logits, temperatures, strict=True)):
    (ece, loss), (ece_t, loss_t) = (calibration_and_loss(z, s) for s in (1, t))
    print(f"network {seed}: T = {t:.1f}   ECE {ece:.3f} -> {ece_t:.3f}"
          f"   test loss {loss:.2f} -> {loss_t:.2f}")
    assert t > 1.2 and ece_t < ece / 2 and loss_t < loss
    assert torch.equal((z / t).argmax(dim=1), z.argmax(dim=1)), "an answer changed"
    now = (z / t).softmax(1).max(dim=1).values.mean()
    assert now < accuracy(z.argmax(dim=1), test_labels), "too modest now"

# %%
confidence, answer = (test_logits[0] / temperatures[0]).softmax(dim=1).max(dim=1)
fig, ax = plt.subplots(figsize=(4.2, 3.8))
draw_reliability(ax, reliability(confidence, answer == test_labels),
                 "At its temperature it keeps its word")
plt.show()

# %% [markdown]
# **What happened.** One number, learned from digits that the network was not trained on, takes away more than half of
# the calibration error in each network, and lowers the test loss. No answer has changed. What is left points the other
# way: on the whole, the answers are now right a little more often than they claim. (The temperature was chosen for the
# loss, which fears one overconfident mistake more than many modest answers.)
#
# If anything downstream *uses* the probability (a threshold, a price, a doctor), that is worth a line of code.

# %% [markdown]
# ## Break it on purpose: the temperature from the training digits
#
# Validation digits are precious. Why not fit the temperature on the 1,000 digits that the network was trained on?
#
# > **Predict.** It reads practically all of these correctly. Which temperature gives *them* the lowest loss?

# %% tolerance={"rtol": 0.08}
known = splits.train[:1_000]
for seed, (model, _) in enumerate(trained):
    known_logits, known_labels = logits_of(model, digits, known), digits.labels[known]
    assert accuracy(known_logits.argmax(dim=1), known_labels) > 0.995
    t, z = best_temperature(known_logits, known_labels), test_logits[seed]
    (ece, loss), (ece_t, loss_t) = (calibration_and_loss(z, s) for s in (1, t))
    print(f"network {seed}: T = {t:.2f}   ECE {ece:.3f} -> {ece_t:.3f}"
          f"   test loss {loss:.1f} -> {loss_t:.1f}")
    assert t < 0.5 and ece_t > ece + 0.02 and loss_t > 2 * loss


# %% [markdown]
# **What happened.** Where hardly an answer is wrong, more certainty is always better, so the temperature runs to the
# cold end of the grid, and on new digits the network now announces its mistakes with all but complete certainty.
# Nothing raised an error. **Everything that is chosen (a weight, an epoch, a threshold, a temperature) is chosen too
# well for the data it was chosen on.** So it is measured on other data.

# %% [markdown]
# ## How far can the measurement be trusted?
#
# A measured accuracy would have been a little different on other test digits. On day 6 we wrote $a \pm
# 2\sqrt{a(1-a)/n}$, the **normal** interval (more exactly, 1.96 standard errors to each side). It promises: in 95 of
# 100 such measurements, the interval contains the true accuracy. But $a$ in the formula is the *measured* one, because
# the true one is what we do not know. Does that matter?
#
# > **Predict.** A test set of 100 digits, all read correctly. What does the formula say about the uncertainty?

# %%
def normal_interval(right, n, z=1.96):
    """Low and high end, from the standard error at the measured share."""
    a = right / n
    half = z * np.sqrt(a * (1 - a) / n)
    return a - half, a + half


print("100 of 100 right: from {:.3f} to {:.3f}".format(*normal_interval(100, 100)))
assert normal_interval(100, 100) == (1.0, 1.0)


# %% [markdown]
# **What happened.** It claims perfection, with certainty, after a hundred digits. Wilson (1927) turned the question
# round. Call the measured share $\hat a$: for which *true* accuracies $a$ is it at most $z = 1.96$ of **their own**
# standard errors away? Written out, $|\hat a - a| \le z\sqrt{a(1-a)/n}$, a quadratic inequality in $a$, with the
# solution
#
# $$\frac{1}{1 + z^2/n}\left(\hat a + \frac{z^2}{2n} \;\pm\; z\sqrt{\frac{\hat a(1-\hat a)}{n} + \frac{z^2}{4n^2}}\right)$$

# %%
def wilson_interval(right, n, z=1.96):
    """Low and high end, each from its own standard error."""
    a, w = right / n, z**2 / n
    half = z * np.sqrt(a * (1 - a) / n + w / (4 * n))
    return (a + w / 2 - half) / (1 + w), (a + w / 2 + half) / (1 + w)


low, high = wilson_interval(100, 100)
print(f"100 of 100 right: from {low:.3f} to {high:.3f}")
low, high = wilson_interval(980, 1_000)
assert np.allclose((low, high), metrics.wilson_interval(980, 1_000), atol=1e-5)
for end in (low, high):  # the ends are 1.96 of their own standard errors away
    assert math.isclose(abs(0.98 - end), 1.96 * math.sqrt(end * (1 - end) / 1_000))

# %% [markdown]
# Which of them keeps the promise? Here we can know the truth, because we make it: a network that is right in 98 % of
# all cases, measured on 20,000 different test sets of $n$ digits each. How many of the intervals contain 98 %?
#
# > **Predict.** The promise is 95 in 100. How many are it for the normal interval with $n = 100$? From which $n$ on can
# > one trust it?

# %%
rng = np.random.default_rng(0)
sizes = [30, 60, 100, 200, 400, 1_000, 4_000]
kept = {"normal": [], "Wilson": []}
for n in sizes:
    right_counts = rng.binomial(n, 0.98, size=20_000)
    for name, interval in (("normal", normal_interval), ("Wilson", wilson_interval)):
        low, high = interval(right_counts, n)
        kept[name].append(np.mean((low <= 0.98) & (high >= 0.98)))
at_100 = {name: float(values[2]) for name, values in kept.items()}
print("n = 100:", {name: f"{value:.1%}" for name, value in at_100.items()})

# %%
fig, ax = plt.subplots()
for name, values in kept.items():
    ax.plot(sizes, 100 * np.array(values), marker="o", label=name)
ax.plot(sizes, [95] * len(sizes), color="gray", linewidth=1, label="promised")
ax.set(xscale="log", xlabel="test digits", ylabel="intervals with the truth (%)")
ax.set_xticks(sizes, [f"{n:,}" for n in sizes])
ax.minorticks_off()
ax.set_title("The normal interval keeps its promise late, Wilson's early")
label_lines(ax)
assert max(kept["normal"][:3]) < 0.9 and min(kept["Wilson"]) > 0.91
assert abs(kept["normal"][-1] - 0.95) < 0.015
plt.show()


# %% [markdown]
# **What happened.** With few digits and a good network the normal interval breaks its promise, most of all when by
# chance there was no mistake. Wilson's stays close. (Neither curve is smooth, because counts are whole numbers.) With
# thousands of digits the two agree.
#
# ### Exercise: how many digits are needed? ★☆☆
#
# Before measuring: `needed_samples(margin, accuracy, z=1.96)` returns the smallest whole number $n$ for which the
# normal half width $z\sqrt{a(1-a)/n}$ is at most `margin`, where $a$ is the accuracy you expect. With `margin = 0.01`
# and `accuracy = 0.9` that is 3458. Return an `int`.

# %%
def needed_samples(margin, accuracy, z=1.96):
    """Samples needed to measure `accuracy` to within plus or minus `margin`."""
    ...  # your code here


check("day12.needed_samples", needed_samples)

# %% [markdown]
# ### When there is no formula
#
# F1 is a ratio of sums, and no share of independent answers. The **bootstrap** (Efron, 1979) works for almost any
# metric: draw a new test set *from the test set*, with replacement, compute the metric, repeat. The results scatter
# about as much as measurements on fresh test sets would.

# %% tolerance={"atol": 0.025, "rtol": 0.03}
rng = np.random.default_rng(0)
said, truth = said_nine[0].numpy(), is_nine.numpy()
f1_again = []
for _ in range(1_000):
    pick = rng.integers(len(truth), size=len(truth))
    both = np.count_nonzero(said[pick] & truth[pick])
    f1_again.append(2 * both / (said[pick].sum() + truth[pick].sum()))
low, high = np.quantile(f1_again, [0.025, 0.975])
print(f"F1 of the rare nines {overall:.2f},"
      f" 95 % of the resamples from {low:.2f} to {high:.2f}")
assert low < overall < high and high - low > 0.06

# %% [markdown]
# **What happened.** Nine thousand cards, and still F1 is known only to within several points. It rests on the hundred
# nines among them: **it is the rare class that decides how much was measured.**

# %% [markdown]
# ## Is B better than A?
#
# Two networks, one test set of 4,000 digits. A was trained on 1,000 digits, B on 5,000, for as many steps. It is
# tempting to ask whether their intervals overlap. But both were tested on the *same* digits: what is hard for one is
# mostly hard for the other, and this shared luck cancels in the difference. Only those digits count on which exactly
# one of the two is right.

# %%
wider = [train_network(seed, count=5_000, epochs=4) for seed in range(3)]
some = torch.arange(4_000)
right_a = test_logits[0][some].argmax(dim=1) == test_labels[some]
logits_b = logits_of(wider[0][0], test_digits)
right_b = logits_b[some].argmax(dim=1) == test_labels[some]


def paired(right_a, right_b, z=1.96):
    """Accuracy of B minus that of A, and the half width of its interval."""
    d = right_b.double() - right_a.double()  # -1, 0 or 1 for each digit
    return d.mean().item(), z * d.std().item() / math.sqrt(len(d))


# %% tolerance={"rtol": 0.1}
difference, half = paired(right_a, right_b)
shares = [r.double().mean().item() for r in (right_a, right_b)]
unpaired = 1.96 * math.sqrt(sum(a * (1 - a) for a in shares) / len(some))
print(f"A {shares[0]:.1%}   B {shares[1]:.1%}   B - A = {difference:+.1%}")
print(f"± {half:.1%} in pairs; ± {unpaired:.1%} had they met different digits")
assert half < 0.9 * unpaired
assert difference - half > 0, "B is better, as far as these digits can tell"


# %% [markdown]
# McNemar (1947) turned that into a test. If both were equally good, each digit on which they disagree would be A's or
# B's as by a fair coin. How likely is a split at least as uneven as ours? This chance is called the **p-value**; when
# it is tiny, the coin is not a good explanation.

# %%
def mcnemar(right_a, right_b):
    """Chance of a split at least this uneven, if A and B were equally good."""
    only_a = (right_a & ~right_b).sum().item()
    only_b = (right_b & ~right_a).sum().item()
    tosses = only_a + only_b
    tail = sum(math.comb(tosses, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**tosses)


p = mcnemar(right_a, right_b)
print("p-value below one in a hundred:", p < 0.01)
assert p < 0.01
assert math.isclose(p, metrics.mcnemar_test(right_a, right_b), rel_tol=1e-6)
assert mcnemar(right_a, right_a) == 1.0

# %% [markdown]
# So B it is. And now the famous "0.1 points better". Take two networks that differ in nothing but the seed. How many
# test digits would it take until a difference of 0.1 points is larger than its own error bar? The digits on which they
# disagree give $\pm 1$, all others 0. If their share is $d$, the variance is nearly $d$, and the half width
# $1.96\sqrt{d/n}$.
#
# > **Predict.** MNIST has 10,000 test digits. Are they enough?

# %% tolerance={"rtol": 0.08}
answers = [z.argmax(dim=1) == test_labels for z in test_logits]  # three seeds of A
disagree = (answers[0] != answers[1]).double().mean().item()
needed = 1.96**2 * disagree / 0.001**2
print(f"exactly one of the two is right on {disagree:.1%} of the digits;"
      f" needed: {needed / 1e3:.1f} thousand")
seeds = [a.double().mean().item() for a in answers]
print(f"accuracy of the three seeds: from {min(seeds):.1%} to {max(seeds):.1%}")
assert needed > 50_000
assert max(seeds) - min(seeds) > 0.001, "seeds differ by more than 0.1 points"

# %% [markdown]
# **What happened.** Not nearly, for two networks that disagree so often. There is more: the seed alone moves the
# accuracy by more than that. The test compares *these two trained networks*. For "recipe B is better than recipe A" you
# need several seeds of both, and the spread between them is then the error bar.

# %% [markdown]
# ## Learning curves: what would make it better?
#
# More epochs, a larger network, more data? The losses of training and validation together tell. Three cases, three
# seeds each: a network with only three hidden units; our network on its 1,000 digits; the same network on 5,000.
#
# > **Predict.** For each case: does the training loss go to zero? Does the validation loss turn round? How far apart do
# > they end?

# %% tolerance={"rtol": 0.03}
tiny = [train_network(seed, hidden=(3,), epochs=15) for seed in range(3)]
cases = {"3 units": tiny, "1,000 digits": trained, "5,000 digits": wider}
for name, runs in cases.items():
    train = np.array([h["train_loss"][-1] for _, h in runs])  # [seeds], as the others
    val = np.array([h["val_loss"][-1] for _, h in runs])
    best = np.array([min(h["val_loss"]) for _, h in runs])
    print(f"{name:12}   training {train.mean():.2f}   validation {val.mean():.2f}"
          f" at the end, {best.mean():.2f} at its best")
    if runs is tiny:
        assert (train > 1).all() and (val < best + 0.05).all()
    elif runs is trained:
        assert (train < 0.05).all() and (val > best + 0.02).all()
    else:
        assert (val < 0.4).all() and (val < best + 0.05).all()
        assert (abs(val - train) < 0.2).all()

# %%
titles = dict(zip(cases, ("Both stay high", "They part", "Both get low"), strict=True))
fig, panels = plt.subplots(1, 3, figsize=(7, 3.4), sharey=True)
for ax, (name, runs) in zip(panels, cases.items(), strict=True):
    epochs = range(1, len(runs[0][1]) + 1)
    for part, label in (("train_loss", "training"), ("val_loss", "validation")):
        plot_band(ax, epochs, [history[part] for _, history in runs], label)
    ax.set(xlabel=f"epoch ({name})", title=titles[name], ylim=(0, 2.4))
    ax.set_xlim(1, epochs[-1])
    ax.xaxis.get_major_locator().set_params(integer=True)
panels[0].set_ylabel("cross-entropy (nats)")
label_lines(panels[2])
plt.show()

# %% [markdown]
# **What happened.** Each case has its shape.
#
# | training loss | validation loss | name | what helps |
# |---|---|---|---|
# | high | high, close to it | **underfit** | a larger network, a better rate, more epochs; *not* more data |
# | goes to zero | turns round, ends far above | **overfit** | more data, augmentation, weight decay, stopping early |
# | low | low, close, still falling or level | **well fit** | you are done, or may try a little more of both |
#
# A fourth shape, validation *below* training, is no miracle: the training loss is an average over an epoch in which the
# network was still improving (day 6), or augmentation and dropout made training harder than validation (day 5).
#
# ### Over the size of the data
#
# Labels cost money. Before buying more, train on a part of what you have, and see where the curve is going.
#
# > **Predict.** Validation accuracy will rise with more training digits. And *training* accuracy?

# %%
counts = [100, 300, 1_000, 5_000]
by_count = [
    [train_network(seed, count=100) for seed in range(3)],
    [train_network(seed, count=300) for seed in range(3)],
    trained,
    wider,
]
curve = {
    part: np.array([[h[f"{part}_accuracy"][-1] for _, h in runs] for runs in by_count])
    for part in ("train", "val")
}  # [counts, seeds] each
gaps = (curve["train"] - curve["val"]).mean(axis=1)  # [counts]

# %% tolerance={"rtol": 0.03}
for n, train, val in zip(counts, curve["train"], curve["val"], strict=True):
    print(f"{n:5} digits: training {train.mean():6.1%}, validation {val.mean():6.1%}"
          f" (seeds from {val.min():.1%} to {val.max():.1%})")

# %%
fig, ax = plt.subplots()
plot_band(ax, counts, 100 * curve["train"].T, "training")
plot_band(ax, counts, 100 * curve["val"].T, "validation")
ax.set(xscale="log", xlabel="training digits", ylabel="accuracy (%)", ylim=(50, 102))
ax.set_xticks(counts, [f"{n:,}" for n in counts])
ax.minorticks_off()
ax.set_title("More digits close the gap from both sides")
label_lines(ax)
assert (np.diff(curve["val"], axis=0) > 0).all(), "validation rises, in every seed"
assert (curve["train"][-1] < curve["train"][-2]).all(), "training falls"
assert (np.diff(gaps) < 0).all()
plt.show()

# %% [markdown]
# **What happened.** Training accuracy falls in the end: a thousand digits can be learned by heart, five thousand cannot
# in so few steps.
#
# While a wide gap remains and the lower curve still climbs, more data will help. Had both curves met at a low value,
# more of the same would be money lost, and a larger network the thing to try. Read the axis, too: it is logarithmic, so
# each further step of the same size costs several times as many labels.
#
# A careful reader objects that the last run saw its digits 4 times and not 20. The two largest runs took 200 steps
# each; this, and not the number of epochs, was held equal between them.

# %% [markdown]
# ## Recap
#
# - **Counts first.** Accuracy praises the lazy where a class is rare. Precision and recall come from counts, F1 stays
#   near the smaller of the two; macro shows a bad class, micro is accuracy. Add up counts, never average ratios.
# - **Thresholds.** ROC tells how well scores separate, whatever the rarity; precision tells what an alarm is worth in
#   this stream. Choose the threshold on validation.
# - **Calibration.** Networks trained to the end promise too much. One temperature, fitted on validation, mends much of
#   it and changes no answer.
# - **Error bars.** Wilson's interval for a share, the bootstrap for other metrics, paired differences for two networks
#   on one test set, seeds for two recipes. **Learning curves** say whether data, size or time is missing.
#
# ## What to try next
#
# - Make nines rare in *training* as well: ten of them among 900 others. Does recall suffer, or precision?
# - Draw the reliability diagram after 5 epochs instead of 20. When does the overconfidence set in?
# - Take early stopping from [day 6](day06_mlp_mnist.ipynb), and see what it does to the temperature.
#
# ## References
#
# - Wilson (1927), *Probable inference, the law of succession, and statistical inference*: the interval.
# - McNemar (1947), *Note on the sampling error of the difference between correlated proportions or percentages*: only
#   the disagreements count.
# - Efron (1979), *Bootstrap methods: another look at the jackknife*: resampling in place of a formula.
# - Fawcett (2006), *An introduction to ROC analysis*: curves, areas, and what they do not depend on.
# - Davis, Goadrich (2006), *The relationship between precision-recall and ROC curves*: why one does not join points of
#   a precision-recall curve by straight lines.
# - Brown, Cai, DasGupta (2001), *Interval estimation for a binomial proportion*: how badly the normal interval keeps
#   its promise.
# - Guo, Pleiss, Sun, Weinberger (2017), *On calibration of modern neural networks*: modern networks are overconfident,
#   and one temperature removes most of it.
