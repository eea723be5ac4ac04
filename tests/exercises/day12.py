"""Answers to the exercises of day 12: other right ones, and wrong ones that are really given."""

import math

import numpy as np
import torch
from answers import Answers


def rates_by_loop(matrix):
    precision, recall = torch.zeros(len(matrix)), torch.zeros(len(matrix))
    for k in range(len(matrix)):
        if matrix[:, k].sum() > 0:
            precision[k] = matrix[k, k] / matrix[:, k].sum()
        if matrix[k].sum() > 0:
            recall[k] = matrix[k, k] / matrix[k].sum()
    return precision, recall


def rates_by_nan_to_num(matrix):
    right = matrix.diagonal().double()
    return [torch.nan_to_num(right / matrix.sum(dim)) for dim in (0, 1)]


def rates_exchanged(matrix):
    return rates_by_loop(matrix)[::-1]


def rates_with_nan(matrix):
    right = matrix.diagonal()
    return right / matrix.sum(0), right / matrix.sum(1)


def rates_of_one(matrix):
    right = matrix.diagonal()
    return torch.nan_to_num(right / matrix.sum(0), nan=1.0), torch.nan_to_num(right / matrix.sum(1), nan=1.0)


def rates_averaged(matrix):
    precision, recall = rates_by_loop(matrix)
    return precision.mean(), recall.mean()


def rates_smoothed(matrix):
    right = matrix.diagonal()
    return right / (matrix.sum(0) + 1), right / (matrix.sum(1) + 1)


def rates_without_the_diagonal(matrix):
    right = matrix.diagonal()
    return right / (matrix.sum(0) - right).clamp(min=1), right / (matrix.sum(1) - right).clamp(min=1)


def rates_cut_off(matrix):
    right = matrix.diagonal()
    return right // matrix.sum(0).clamp(min=1), right // matrix.sum(1).clamp(min=1)


def rates_over_all(matrix):
    return matrix.diagonal() / matrix.sum(), matrix.diagonal() / matrix.sum()


def f1_of(said, truth, empty=0.0):
    tp, wrong = (said & truth).sum().item(), (said ^ truth).sum().item()
    return 2 * tp / (2 * tp + wrong) if tp + wrong else empty


def f1_by_numpy(batches):
    counts = np.zeros(3)
    for said, truth in batches:
        said, truth = said.numpy(), truth.numpy()
        counts += [np.sum(said & truth), said.sum(), truth.sum()]
    tp, called, real = counts
    return 2 * tp / (called + real) if called + real else 0.0


def f1_from_both(batches):
    tp = sum((said * truth).sum() for said, truth in batches)
    precision = tp / max(sum(said.sum() for said, _ in batches), 1)
    recall = tp / max(sum(truth.sum() for _, truth in batches), 1)
    return float(2 * precision * recall / (precision + recall)) if tp else 0.0


def f1_mean(batches):
    return sum(f1_of(*batch) for batch in batches) / len(batches)


def f1_weighted(batches):
    return sum(f1_of(*batch) * len(batch[0]) for batch in batches) / sum(len(said) for said, _ in batches)


def f1_plain_mean(batches):
    said, truth = (torch.cat(part) for part in zip(*batches, strict=True))
    tp = (said & truth).sum().item()
    return (tp / max(said.sum().item(), 1) + tp / max(truth.sum().item(), 1)) / 2


def f1_divides_by_zero(batches):
    said, truth = (torch.cat(part) for part in zip(*batches, strict=True))
    tp = (said & truth).sum().item()
    return 2 * tp / (said.sum().item() + truth.sum().item())


def f1_of_nothing_is_one(batches):
    said, truth = (torch.cat(part) for part in zip(*batches, strict=True))
    return f1_of(said, truth, empty=1.0)


def f1_single_hits(batches):
    said, truth = (torch.cat(part) for part in zip(*batches, strict=True))
    tp, wrong = (said & truth).sum().item(), (said ^ truth).sum().item()
    return tp / (tp + wrong) if tp + wrong else 0.0


def f1_accuracy(batches):
    said, truth = (torch.cat(part) for part in zip(*batches, strict=True))
    return (said == truth).float().mean().item()


def auc_by_loops(positives, negatives):
    score = 0.0
    for p in positives.tolist():
        for n in negatives.tolist():
            score += 1.0 if p > n else 0.5 if p == n else 0.0
    return score / (len(positives) * len(negatives))


def auc_by_ranks(positives, negatives):
    both = torch.cat([positives, negatives])
    below = (both[:, None] > both).double().sum(1)
    equal = (both[:, None] == both).double().sum(1)
    ranks = below + (equal + 1) / 2
    count = len(positives)
    return (ranks[:count].sum().item() - count * (count + 1) / 2) / (count * len(negatives))


def auc_by_signs(positives, negatives):
    return (torch.sign(positives.unsqueeze(1) - negatives.unsqueeze(0)).mean().item() + 1) / 2


def auc_without_ties(positives, negatives):
    return (positives[:, None] > negatives).float().mean().item()


def auc_with_ties_won(positives, negatives):
    return (positives[:, None] >= negatives).float().mean().item()


def auc_exchanged(positives, negatives):
    return auc_by_signs(negatives, positives)


def auc_counted(positives, negatives):
    return auc_by_signs(positives, negatives) * len(positives) * len(negatives)


def auc_in_place(positives, negatives):
    size = min(len(positives), len(negatives))
    return ((torch.sign(positives[:size] - negatives[:size])).mean().item() + 1) / 2


def auc_over_positives(positives, negatives):
    return auc_by_signs(positives, negatives) * len(negatives)


def threshold_by_search(scores, truth, recall):
    for threshold in sorted(scores.tolist(), reverse=True):
        if (scores[truth] >= threshold).double().mean().item() >= recall - 1e-9:
            return threshold
    raise AssertionError


def threshold_by_numpy(scores, truth, recall):
    wanted = np.sort(scores.numpy()[truth.numpy()])
    shares = np.arange(len(wanted), 0, -1) / len(wanted)
    return float(wanted[shares >= recall - 1e-9].max())


def threshold_rounded_down(scores, truth, recall):
    falling = scores[truth].sort(descending=True).values
    return falling[max(int(recall * len(falling) + 1e-6) - 1, 0)].item()


def threshold_without_a_hair(scores, truth, recall):
    falling = scores[truth].sort(descending=True).values
    return falling[math.ceil(recall * len(falling)) - 1].item()


def threshold_one_too_far(scores, truth, recall):
    falling = scores[truth].sort(descending=True).values
    return falling[min(math.ceil(recall * len(falling) - 1e-6), len(falling) - 1)].item()


def threshold_over_all(scores, truth, recall):
    falling = scores.sort(descending=True).values
    return falling[math.ceil(recall * len(falling) - 1e-6) - 1].item()


def threshold_interpolated(scores, truth, recall):
    return torch.quantile(scores[truth], 1 - recall).item()


def threshold_lowest(scores, truth, recall):
    return scores[truth].min().item()


def threshold_of_precision(scores, truth, recall):
    for threshold in sorted(scores.tolist()):
        if truth[scores >= threshold].double().mean().item() >= recall - 1e-9:
            return threshold
    return math.inf


def ece_bucketed(confidence, right, bins=10):
    at = (confidence.double() * bins - 1e-6).ceil().long() - 1
    gap = torch.zeros(bins, dtype=torch.float64).index_add_(0, at, confidence.double() - right.double())
    return gap.abs().sum().item() / len(confidence)


def ece_by_numpy(confidence, right, bins=10):
    edges = np.linspace(0, 1, bins + 1)
    at = np.digitize(confidence.numpy(), edges, right=True)
    total = 0.0
    for k in np.unique(at):
        inside = at == k
        gap = confidence.numpy()[inside].mean() - right.numpy()[inside].mean()
        total += inside.mean() * abs(gap)
    return total


def ece_of(confidence, right, bins, weigh=True, absolute=True, skip=True, lower=False, middle=False):
    total, used = 0.0, 0
    for k in range(bins):
        if lower:
            inside = (confidence >= k / bins) & (confidence < (k + 1) / bins)
        else:
            inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if skip and not inside.any():
            continue
        stated = (k + 0.5) / bins if middle else confidence[inside].mean()
        gap = stated - right[inside].float().mean()
        total += (gap.abs() if absolute else gap).item() * (inside.float().mean().item() if weigh else 1.0)
        used += 1
    return total if weigh else total / used


def ece_unweighted(confidence, right, bins=10):
    return ece_of(confidence, right, bins, weigh=False)


def ece_signed(confidence, right, bins=10):
    return abs(ece_of(confidence, right, bins, absolute=False))


def ece_of_empty_bins(confidence, right, bins=10):
    return ece_of(confidence, right, bins, skip=False)


def ece_lower_edge(confidence, right, bins=10):
    return ece_of(confidence, right, bins, lower=True)


def ece_from_middles(confidence, right, bins=10):
    return ece_of(confidence, right, bins, middle=True)


def ece_of_ten_bins(confidence, right, bins=10):
    return ece_of(confidence, right, 10)


def ece_without_bins(confidence, right, bins=10):
    return (confidence - right.float()).abs().mean().item()


def ece_not_divided(confidence, right, bins=10):
    return ece_of(confidence, right, bins) * len(confidence)


def samples_by_counting(margin, accuracy, z=1.96):
    n = max(1, math.floor(z * z * accuracy * (1 - accuracy) / margin**2) - 2)
    while z * math.sqrt(accuracy * (1 - accuracy) / n) > margin:
        n += 1
    return n


def samples_rounded_down(margin, accuracy, z=1.96):
    return int(z**2 * accuracy * (1 - accuracy) / margin**2)


def samples_not_rounded(margin, accuracy, z=1.96):
    return z**2 * accuracy * (1 - accuracy) / margin**2


def samples_not_squared(margin, accuracy, z=1.96):
    return math.ceil(z * math.sqrt(accuracy * (1 - accuracy)) / margin)


def samples_without_z(margin, accuracy, z=1.96):
    return math.ceil(accuracy * (1 - accuracy) / margin**2)


def samples_with_half_margin(margin, accuracy, z=1.96):
    return math.ceil(z**2 * accuracy * (1 - accuracy) / (margin / 2) ** 2)


def samples_with_fixed_z(margin, accuracy, z=1.96):
    return math.ceil(1.96**2 * accuracy * (1 - accuracy) / margin**2)


ANSWERS = {
    "day12.precision_recall": Answers(
        right=[rates_by_loop, rates_by_nan_to_num],
        wrong=[
            (rates_exchanged, "are exchanged"),
            (rates_with_nan, "gives 0/0"),
            (rates_of_one, "is to get 0, not 1"),
            (rates_averaged, "one entry per class"),
            (rates_smoothed, "One was added"),
            (rates_without_the_diagonal, "belong below the line"),
            (rates_cut_off, "cuts off"),
            (rates_over_all, "count of all samples"),
        ],
    ),
    "day12.f1_over_batches": Answers(
        right=[f1_by_numpy, f1_from_both],
        wrong=[
            (f1_mean, "mean of the batches' F1 scores: add up"),
            (f1_weighted, "by size"),
            (f1_plain_mean, "harmonic one"),
            (f1_divides_by_zero, "ZeroDivisionError"),
            (f1_of_nothing_is_one, "to be 0"),
            (f1_single_hits, "count twice"),
            (f1_accuracy, "That is the accuracy"),
        ],
    ),
    "day12.auc": Answers(
        right=[auc_by_loops, auc_by_ranks, auc_by_signs],
        wrong=[
            (auc_without_ties, "half, not nothing"),
            (auc_with_ties_won, "not as a win"),
            (auc_exchanged, "exchanged"),
            (auc_counted, "number of pairs: divide"),
            (auc_in_place, "in its own place"),
            (auc_over_positives, "number of positives"),
        ],
    ),
    "day12.threshold_for_recall": Answers(
        right=[threshold_by_search, threshold_by_numpy],
        wrong=[
            (threshold_rounded_down, "finds too few"),
            (threshold_one_too_far, "more than it must"),
            (threshold_without_a_hair, "to a computer"),
            (threshold_over_all, "share of *all* samples"),
            (threshold_interpolated, "between two scores"),
            (threshold_lowest, "finds them all"),
            (threshold_of_precision, "That is the precision"),
        ],
    ),
    "day12.expected_calibration_error": Answers(
        right=[ece_bucketed, ece_by_numpy],
        wrong=[
            (ece_unweighted, "Every bin counts the same"),
            (ece_signed, "opposite sign cancel"),
            (ece_of_empty_bins, "empty bin is nan"),
            (ece_lower_edge, "upper edge"),
            (ece_from_middles, "middle of each bin"),
            (ece_of_ten_bins, "fixed at 10"),
            (ece_without_bins, "without bins"),
            (ece_not_divided, "divide by the number of answers"),
        ],
    ),
    "day12.needed_samples": Answers(
        right=[samples_by_counting],
        wrong=[
            (samples_rounded_down, "rounded down"),
            (samples_not_rounded, "Samples come whole"),
            (samples_not_squared, "stands under a root"),
            (samples_without_z, "z of 1.96 is missing"),
            (samples_with_half_margin, "half of the whole width"),
            (samples_with_fixed_z, "fixes z"),
        ],
    ),
}
