"""Answers to the exercises of day 14: other right ones, and wrong ones that are really given."""

import math

import numpy as np
import torch
from answers import Answers
from torch import nn
from torch.nn import functional as F


def difference_by_numpy(a, b, t95):
    shared = sorted(set(a) & set(b))
    if len(shared) < 3:
        raise ValueError("too few seeds in both")
    d = np.array([a[seed] for seed in shared]) - np.array([b[seed] for seed in shared])
    half = t95[len(d)] * d.std(ddof=1) / np.sqrt(len(d))
    return [d.mean(), d.mean() - half, d.mean() + half]


def shared_of(a, b):
    shared = [seed for seed in a if seed in b]
    if len(shared) < 3:
        raise ValueError("too few")
    return np.array([a[s] for s in shared]), np.array([b[s] for s in shared])


def ends(mean, half):
    return mean, mean - half, mean + half


def difference_in_order(a, b, t95):
    shared_of(a, b)
    d = np.array([p - q for p, q in zip(a.values(), b.values(), strict=False)])
    return ends(d.mean(), t95[len(d)] * d.std(ddof=1) / len(d) ** 0.5)


def difference_unpaired(a, b, t95):
    p, q = shared_of(a, b)
    half = t95[len(p)] * (p.var(ddof=1) / len(p) + q.var(ddof=1) / len(q)) ** 0.5
    return ends(p.mean() - q.mean(), half)


def difference_with_n(a, b, t95):
    p, q = shared_of(a, b)
    return ends((p - q).mean(), t95[len(p)] * (p - q).std() / len(p) ** 0.5)


def difference_without_root(a, b, t95):
    p, q = shared_of(a, b)
    return ends((p - q).mean(), t95[len(p)] * (p - q).std(ddof=1))


def difference_by_196(a, b, t95):
    p, q = shared_of(a, b)
    return ends((p - q).mean(), 1.96 * (p - q).std(ddof=1) / len(p) ** 0.5)


def difference_turned(a, b, t95):
    return difference_by_numpy(b, a, t95)


def difference_of_two_runs(a, b, t95):
    shared = [seed for seed in a if seed in b]
    d = np.array([a[s] - b[s] for s in shared])
    return ends(d.mean(), t95.get(len(d), 0) * d.std(ddof=1) / len(d) ** 0.5)


def bar_by_variance(accuracy, count):
    variance = accuracy - accuracy**2
    return math.sqrt(variance) / math.sqrt(count)


def parameters_by_layer(channels_in, channels_out, window, bias=True):
    layer = nn.Conv2d(channels_in, channels_out, (window, window), bias=bias)
    return int(sum(torch.numel(p) for p in layer.parameters()))


def mean_by_numpy(accuracies, sizes):
    return np.average(accuracies, weights=sizes)


def chosen_by_loop(val, test):
    best = 0
    for run in range(1, len(val)):
        if val[run] > val[best]:
            best = run
    return [best, test[best]]


def chosen_last(val, test):
    best = max(range(len(val)), key=lambda run: (val[run], run))
    return best, test[best]


def epoch(model, batches, optimizer, accumulate=1, clip_norm=None, bug=""):
    if bug != "mode":
        model.train()
    total, count, losses = 0.0, 0, []
    if bug == "once":
        optimizer.zero_grad()
    for number, (x, y) in enumerate(batches):
        first, last = number % accumulate == 0, number % accumulate == accumulate - 1 or number == len(batches) - 1
        group = batches[number - number % accumulate :][:accumulate]
        if first and bug not in ("never", "once") and (number or bug != "old"):
            optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        share = {"means": 1 / len(group), "accumulate": 1 / accumulate, "sum": 1.0}.get(
            bug, len(y) / sum(len(target) for _, target in group)
        )
        (loss * share).backward()
        if bug == "clip batches" and clip_norm is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        losses.append(loss.item())
        total, count = total + loss.item() * len(y), count + len(y)
        if (last and (bug != "ragged" or len(group) == accumulate)) or bug == "each":
            if clip_norm is not None and bug == "clip each":
                for p in model.parameters():
                    nn.utils.clip_grad_norm_([p], clip_norm)
            elif clip_norm is not None and bug not in ("no clip", "clip late"):
                nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            if bug == "each":
                optimizer.zero_grad()
    return sum(losses) / len(losses) if bug == "batches" else total / count


def epoch_with(bug):
    def fit_one_epoch(model, batches, optimizer, accumulate=1, clip_norm=None):
        return epoch(model, batches, optimizer, accumulate, clip_norm, bug)

    return fit_one_epoch


def epoch_of_large_batches(model, batches, optimizer, accumulate=1, clip_norm=None):
    model.train()
    total = 0.0
    while batches:
        group, batches = batches[:accumulate], batches[accumulate:]
        x, y = (torch.cat(part) for part in zip(*group, strict=True))
        loss = F.cross_entropy(model(x), y, reduction="sum")
        optimizer.zero_grad(set_to_none=False)
        (loss / len(y)).backward()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(list(model.parameters()), clip_norm)
        optimizer.step()
        total += loss.item()
    return total


ANSWERS = {
    "day14.honest_difference": Answers(
        right=[difference_by_numpy],
        wrong=[
            (difference_in_order, "pair them by seed"),
            (difference_unpaired, "nothing to do with each other"),
            (difference_with_n, "it is n - 1"),
            (difference_without_root, "scatter of one difference"),
            (difference_by_196, "right for many runs"),
            (difference_turned, "b minus a"),
            (difference_of_two_runs, "ValueError"),
        ],
    ),
    "day14.error_bar": Answers(
        right=[bar_by_variance, lambda accuracy, count: torch.tensor(accuracy * (1 - accuracy) / count).sqrt()],
        wrong=[
            (lambda accuracy, count: accuracy * (1 - accuracy) / count, "the root is missing"),
            (lambda accuracy, count: math.sqrt(accuracy * (1 - accuracy)) / count, "outside the root"),
            (lambda accuracy, count: math.sqrt(accuracy * (1 - accuracy) * count), "*number* of right answers"),
            (lambda accuracy, count: math.sqrt(accuracy * (1 - accuracy)), "smaller with more digits"),
            (lambda accuracy, count: 0.5 / math.sqrt(count), "worst case"),
            (lambda accuracy, count: 1.96 * math.sqrt(accuracy * (1 - accuracy) / count), "two standard errors"),
        ],
    ),
    "day14.first_loss": Answers(
        right=[1.95, 1.9459, -math.log(1 / 7), torch.tensor(7.0).log()],
        wrong=[
            (1 / 7, "the probability that the truth gets"),
            (math.log(10), "ten classes"),
            (math.log10(7), "base 10"),
            (2.81, "in bits"),
            (-math.log(7), "sign is turned round"),
            (0, "knows everything"),
            (7, "the number of classes"),
            (5.3, "one chance in seven"),
            ("log 7", "one chance in seven"),
        ],
    ),
    "day14.shape_after_conv": Answers(
        right=[[32, 8, 14, 14], torch.Size([32, 8, 14, 14]), torch.zeros(32, 8, 14, 14)],
        wrong=[
            ((32, 1, 14, 14), "channels that come out"),
            ((32, 8, 28, 28), "stride of 2 is missing"),
            ((32, 8, 26, 26), "so is the stride"),
            ((32, 8, 13, 13), "a border of zeros"),
            ((32, 8, 15, 15), "round down"),
            ((32, 14, 14, 8), "PyTorch's order"),
            ((8, 14, 14), "not enough"),
            ((32, 8, 20, 20), "Batch and channels first"),
        ],
    ),
    "day14.parameters_of_conv": Answers(
        right=[parameters_by_layer, lambda i, o, k, bias=True: o * (i * k * k + bool(bias))],
        wrong=[
            (lambda i, o, k, bias=True: o * i * k * k, "bias is forgotten"),
            (lambda i, o, k, bias=True: o * i * k * k + o, "`bias=False` was given"),
            (lambda i, o, k, bias=True: o * (k * k + bias), "*all* channels"),
            (lambda i, o, k, bias=True: o * (i * k + bias), "its area is a square"),
            (lambda i, o, k, bias=True: o * i * k * k + bias, "not one in all"),
            (lambda i, o, k, bias=True: i * k * k + bias, "kernel of its own"),
            (lambda i, o, k, bias=False: o * (i * k * k + bias), "Left out"),
        ],
    ),
    "day14.which_curve": Answers(
        right=[{"D": 0.01, "C": 0.001, "B": 1, "A": 0.1}],
        wrong=[
            ({"A": 0.1, "B": 1.0, "C": 0.01, "D": 0.001}, "Both are slow"),
            ({"A": 0.01, "B": 1.0, "C": 0.001, "D": 0.1}, "Both fall"),
            ({"A": 1.0, "B": 0.1, "C": 0.001, "D": 0.01}, "sign of health"),
            ({"A": 0.1, "B": 0.001, "C": 1.0, "D": 0.01}, "too short, not too long"),
            ({"A": 0.001, "B": 1.0, "C": 0.01, "D": 0.1}, "Begin with the curve"),
            ({"A": 0.1, "B": 0.1, "C": 0.001, "D": 0.01}, "given twice"),
            ({"A": 0.3, "B": 1.0, "C": 0.001, "D": 0.01}, "none of the four rates"),
            ({"A": 0.1, "B": 1.0, "C": ..., "D": 0.01}, "still waits for a rate"),
            ({"B": 1.0}, "the letters are"),
            ("B", "a dict with a rate"),
        ],
    ),
    "day14.order_of_loop": Answers(
        right=[(4, 3, 2, 5, 1), [4, 2, 3, 5, 1], [4, 2, 5, 1, 3]],
        wrong=[
            ([4, 2, 5, 3, 1], "throws away"),
            ([3, 4, 2, 1, 5], "no gradient of this batch"),
            ([3, 4, 5, 2, 1], "goes back from a loss"),
            ([3, 2, 4, 5, 1], "predict before you measure"),
            ([3, 4, 2, 5], "is to occur once"),
            ("34251", "a list of five numbers"),
        ],
    ),
    "day14.fit_one_epoch": Answers(
        right=[epoch],
        wrong=[
            (epoch_with("mode"), "evaluation mode"),
            (epoch_with("never"), "never set to zero"),
            (epoch_with("once"), "once, and then no more"),
            (epoch_with("old"), "Gradients left over"),
            (epoch_with("means"), "Each batch of a group counts the same"),
            (epoch_with("accumulate"), "fewer batches, and was divided"),
            (epoch_with("sum"), "group are summed"),
            (epoch_with("ragged"), "has made no step"),
            (epoch_with("each"), "a step after each batch"),
            (lambda m, b, o, accumulate=1, clip_norm=None: epoch(m, b, o, 1, clip_norm), "a step after every batch"),
            (epoch_with("no clip"), "not clipped before"),
            (epoch_with("clip batches"), "clipped after each batch"),
            (epoch_with("clip each"), "by itself"),
            (epoch_with("batches"), "mean of the batches' losses"),
            (epoch_of_large_batches, "divide by how many there are"),
        ],
    ),
    "day14.mean_of_batches": Answers(
        right=[mean_by_numpy],
        wrong=[
            (lambda accuracies, sizes: sum(accuracies) / len(accuracies), "the plain mean"),
            (lambda accuracies, sizes: float(np.dot(accuracies, sizes)), "divide by all digits"),
            (lambda accuracies, sizes: float(np.dot(accuracies, sizes)) / len(sizes), "number of batches"),
            (lambda accuracies, sizes: 100 * mean_by_numpy(accuracies, sizes), "in percent"),
            (lambda accuracies, sizes: accuracies[-1], "one batch alone"),
        ],
    ),
    "day14.what_leaks": Answers(
        right=[frozenset({1, 4, 5}), [5, 1, 4]],
        wrong=[
            ({4, 5}, "Number 1"),
            ({1, 5}, "Number 4"),
            ({1, 4}, "Number 5"),
            ({1, 2, 4, 5}, "Number 2"),
            ({1, 3, 4, 5}, "Number 3"),
            ({1, 4, 5, 6}, "Number 6"),
            ({1, 4, 5, 7}, "numbered 1 to 6"),
            (145, "a set of numbers"),
        ],
    ),
    "day14.chosen_run": Answers(
        right=[chosen_by_loop, lambda val, test: (int(np.argmax(val)), test[int(np.argmax(val))])],
        wrong=[
            (lambda val, test: (test.index(max(test)), max(test)), "test accuracies have chosen"),
            (lambda val, test: (val.index(max(val)), max(val)), "is flattered"),
            (lambda val, test: (val.index(max(val)), max(test)), "did not reach it"),
            (lambda val, test: (test[val.index(max(val))], val.index(max(val))), "(position, accuracy)"),
            (lambda val, test: (val.index(max(val)) + 1, test[val.index(max(val))]), "counted from 0"),
            (chosen_last, "take the first"),
        ],
    ),
}
