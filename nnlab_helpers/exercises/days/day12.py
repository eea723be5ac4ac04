"""Checks of day 12: precision and recall, F1 over batches, areas, thresholds, calibration, sample sizes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    """`top / bottom`, 0 where there is nothing to divide by."""
    return torch.where(bottom > 0, top / bottom.clamp(min=1), 0.0)


@exercise(
    "day12.precision_recall",
    title="Precision and recall of every class",
    stars=2,
    hints=(
        "The diagonal holds the true positives. A row holds all of a class, a column all that were called so.",
        "matrix.diagonal(), matrix.sum(dim=0) and matrix.sum(dim=1) are all you need.",
        "Where the sum is 0 the diagonal is 0 too: dividing by sum.clamp(min=1) gives 0 there and changes no other.",
    ),
    learned="Where a sum is 0, so is its diagonal entry; dividing by at least 1 is the shortest way round 0/0.",
)
def precision_recall(answer: Callable[..., Any], t: Trial) -> None:
    """Hold both against the sums of columns and rows, with empty classes among them."""
    cases = [
        torch.tensor([[3, 1], [2, 4]]),
        torch.tensor([[3, 1], [2, 0]]),
        torch.tensor([[1, 0], [0, 3]]),  # a class that occurs once
        torch.tensor([[5, 0, 0], [0, 0, 2], [0, 0, 3]]),  # class 1 is never predicted
        torch.tensor([[5, 2, 0], [0, 0, 0], [1, 1, 3]]),  # class 1 never occurs
        torch.tensor([[4, 0, 1], [0, 0, 0], [2, 0, 3]]),  # neither
        t.randint(0, 30, 5, 5),
        t.randint(0, 30, 7, 7),
    ]
    for matrix in cases:
        got = t.call(answer, matrix)
        t.require(
            isinstance(got, tuple | list) and len(got) == 2,
            f"two things are to be returned, (precision, recall); got {type(got).__name__}",
        )
        right = matrix.diagonal().float()
        called, real = matrix.sum(0), matrix.sum(1)
        precision, recall = _ratio(right, called), _ratio(right, real)
        given = f"the matrix {matrix.tolist()}" if len(matrix) < 4 else f"a random matrix of {len(matrix)} classes"
        rest = matrix.sum() - right
        for name, value, want, other, divisor in (
            ("precision", got[0], precision, recall, called),
            ("recall", got[1], recall, precision, real),
        ):
            if isinstance(value, Tensor) and value.is_floating_point() and value.isnan().any():
                t.fail(
                    f"for {given}: {name} is {[round(x, 3) for x in value.tolist()]}",
                    "A class with nothing to divide by gives 0/0, which is nan: it is to be 0.",
                )
            if isinstance(value, Tensor) and value.shape == want.shape and not value.is_floating_point():
                t.fail(
                    f"for {given}: {name} has whole numbers, {value.tolist()}",
                    "`//`, or a result written into a tensor of whole numbers, cuts off what stands behind the point.",
                )
            t.expect(
                value,
                want,
                given=given,
                what=name,
                known={
                    "Precision and recall are exchanged: a column (`dim=0`) sums over the *true* classes, so it holds "
                    "all that were called this class.": other,
                    "That is the average over the classes: one entry per class is asked for.": want.mean(),
                    "That divides by the count of all samples; divide by those of this class alone.": right
                    / matrix.sum(),
                    "A class with nothing to divide by is to get 0, not 1.": torch.where(divisor > 0, want, 1.0),
                    "One was added to every sum. Avoid 0/0 without touching the others.": right / (divisor + 1),
                    "The diagonal was taken out of the sum: the right ones belong below the line as well.": _ratio(
                        right, divisor - right
                    ),
                    "That is one accuracy for all; each class has its own.": (right.sum() / matrix.sum()).expand(
                        len(matrix)
                    ),
                    "That is the share of the mistakes: turn it round.": _ratio(divisor - right, divisor),
                    "That compares each class with all the others together.": right / rest.clamp(min=1),
                },
            )


def _f1(tp: float, fp: float, fn: float, empty: float = 0.0) -> float:
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else empty


def _three(said: Tensor, truth: Tensor) -> tuple[int, int, int]:
    return int((said & truth).sum()), int((said & ~truth).sum()), int((~said & truth).sum())


@exercise(
    "day12.f1_over_batches",
    title="F1 over batches",
    stars=2,
    hints=(
        "Three running counts are enough: true positives, false positives, false negatives. Divide once, at the end.",
        "`said & truth` are the hits, `said & ~truth` the false alarms, `~said & truth` the missed ones.",
        "return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0",
    ),
    learned="This is why metric objects of libraries have update() and compute(): they add up counts, not results.",
)
def f1_over_batches(answer: Callable[..., Any], t: Trial) -> None:
    """Hold it against the F1 of everything, on uneven batches and on ones without positives."""
    true, false = True, False

    def batch(said: list[bool], truth: list[bool]) -> tuple[Tensor, Tensor]:
        return torch.tensor(said), torch.tensor(truth)

    def random(sizes: tuple[int, ...], p_said: float, p_true: float) -> list[tuple[Tensor, Tensor]]:
        return [(t.rand(size) < p_said, t.rand(size) < p_true) for size in sizes]

    cases = [
        (
            [batch([true] * 4 + [false] * 4, [true, true, false, false, true, false, false, false])],
            "one batch of 8 with 2 hits, 2 false alarms and 1 missed",
        ),
        (
            [batch([true, true], [true, false]), batch([false], [true])],
            "the two batches of the task",
        ),
        (
            [batch([true, false], [true, true]), batch([false, false], [false, false])],
            "a second batch without a positive in it",
        ),
        ([batch([false, false], [false, false])], "no positive anywhere"),
        ([batch([true, false], [true, false])], "one batch in which all is right"),
        ([batch([true, true], [true, false])], "one batch, said [True, True], truth [True, False]"),
        ([batch([false, false], [true, false])], "one batch in which nothing is found"),
        (random((9, 9, 4), 0.6, 0.4), "random batches of 9, 9 and 4"),
        (random((20, 20, 7), 0.2, 0.7), "random batches of 20, 20 and 7"),
    ]
    for batches, given in cases:
        got = t.call(answer, batches)
        counts = [_three(said, truth) for said, truth in batches]
        tp, fp, fn = (sum(column) for column in zip(*counts, strict=True))
        sizes = [len(said) for said, _ in batches]
        each = [_f1(*row) for row in counts]
        kind = [_f1(*row, empty=1.0) for row in counts]
        filled = [value for value, row in zip(each, counts, strict=True) if sum(row)]
        precision = tp / (tp + fp) if tp + fp else 0.0
        recall = tp / (tp + fn) if tp + fn else 0.0
        right = sum(int((said == truth).sum()) for said, truth in batches)
        t.expect(
            got,
            _f1(tp, fp, fn),
            given=given,
            known={
                "With nothing to divide by the result is to be 0.": any_of(1.0 if not tp + fp + fn else None, math.nan),
                "That is the mean of the batches' F1 scores: add up the counts first, and divide once.": any_of(
                    sum(each) / len(each), sum(kind) / len(kind), sum(filled) / max(len(filled), 1)
                ),
                "That is a mean of the batches' F1 scores, by size. Weighing does not mend a mean of ratios: add up "
                "counts.": sum(value * size for value, size in zip(each, sizes, strict=True)) / sum(sizes),
                "That is the accuracy.": right / sum(sizes),
                "That is the plain mean of precision and recall; F1 is the harmonic one.": (precision + recall) / 2,
                "That is precision alone.": precision,
                "That is recall alone.": recall,
                "True positives count twice, above the line and below it.": any_of(
                    tp / (tp + fp + fn) if tp + fp + fn else 0.0, tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0
                ),
                "That is the F1 of the last batch alone.": each[-1],
                "Hits and right answers are not the same: `said == truth` counts the easy noes as well.": _f1(
                    right, fp, fn
                ),
            },
        )


@exercise(
    "day12.auc",
    title="The area without a curve",
    stars=2,
    hints=(
        "positives[:, None] is [P, 1] and negatives is [N]: compared with each other they give all [P, N] pairs.",
        "(pairs won).sum() + half of (pairs tied).sum(), divided by the number of pairs.",
        "difference = positives[:, None] - negatives; the mean of (difference > 0) plus half the mean of "
        "(difference == 0).",
    ),
    learned="Only the order of the scores counts: any rising function of them leaves the area as it is.",
)
def auc(answer: Callable[..., Any], t: Trial) -> None:
    """Hold it against the count over all pairs, with and without ties."""
    cases = [
        (torch.tensor([2.0]), torch.tensor([1.0])),
        (torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.0])),
        (torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0])),
        (torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.5, 0.5])),
        (torch.tensor([0.2]), torch.tensor([0.9, 0.1, 0.3])),
        (t.randn(7) + 1, t.randn(11)),
        (t.randint(0, 5, 9).float() + 1, t.randint(0, 5, 13).float()),
    ]
    for positives, negatives in cases:
        got = t.call(answer, positives, negatives)
        wins = (positives[:, None] > negatives).double().mean().item()
        ties = (positives[:, None] == negatives).double().mean().item()
        pairs = len(positives) * len(negatives)
        short = len(positives) + len(negatives) < 7
        given = f"positives {positives.tolist()}, negatives {negatives.tolist()}" if short else "random scores"
        size = min(len(positives), len(negatives))
        paired = (positives[:size] > negatives[:size]).double() + 0.5 * (positives[:size] == negatives[:size]).double()
        middle = (positives.double().mean() > negatives.double().mean()).double().item()
        t.expect(
            got,
            wins + ties / 2,
            given=given,
            known={
                "A tie counts half, not nothing.": wins,
                "A tie counts half, not as a win.": wins + ties,
                "Positives and negatives are exchanged: that is how often the *negative* is above.": any_of(
                    1 - wins - ties / 2, 1 - wins - ties, 1 - wins
                ),
                "That is a number of pairs: divide it by P times N.": (wins + ties / 2) * pairs,
                "Each positive meets *every* negative, not only the one in its own place.": paired.mean().item(),
                "That compares the two means: compare pair by pair.": middle,
                "That divides by the number of positives: there are P times N pairs.": (wins + ties / 2)
                * len(negatives),
                "That divides by the number of negatives: there are P times N pairs.": (wins + ties / 2)
                * len(positives),
            },
        )


def _recall_at(scores: Tensor, truth: Tensor, threshold: float) -> float:
    return (scores[truth] >= threshold).double().mean().item()


@exercise(
    "day12.threshold_for_recall",
    title="Find at least that many",
    stars=2,
    hints=(
        "Only the scores of the true ones matter: scores[truth]. Sort them from the highest down.",
        "The k-th highest of them finds k of P. The smallest k with k / P >= recall is a rounding up.",
        "k = math.ceil(recall * truth.sum().item() - 1e-6), then the entry k - 1 of the falling scores; .item().",
    ),
    learned="Recall knows nothing of the negatives, so this threshold does not depend on how rare the true ones are.",
)
def threshold_for_recall(answer: Callable[..., Any], t: Trial) -> None:
    """Hold it against a search through all scores of true samples."""
    task = torch.tensor([0.9, 0.8, 0.4, 0.3])
    mixed = torch.tensor([True, False, True, True])
    ten = (t.rand(10) * 0.9 + 0.05, torch.ones(10, dtype=torch.bool))
    many = t.rand(40)
    cases = [
        (torch.tensor([0.9, 0.7, 0.5, 0.3, 0.1]), torch.tensor([True, False, True, True, False]), 0.3),
        (task, mixed, 0.5),
        (task, mixed, 1.0),
        (task, mixed, 0.3),
        (torch.tensor([0.1, 0.7, 0.6]), torch.tensor([True, False, False]), 0.9),
        (torch.tensor([-3.0, 2.0, -1.0, 0.5]), torch.tensor([False, True, True, False]), 0.75),  # logits
        (torch.tensor([0.5, 0.5, 0.5, 0.2]), torch.tensor([True, True, False, True]), 0.4),  # a tie
        (*ten, 0.7),
        (*ten, 0.3),
        (*ten, 0.1),
        (many, t.rand(40) < 0.4, 0.8),
        (many, t.rand(40) < 0.2, 0.5),
        (t.rand(25), torch.ones(25, dtype=torch.bool), 0.28),  # 0.28 * 25 is 7.000000000000001
    ]
    for scores, truth, recall in cases:
        got = t.call(answer, scores, truth, recall)
        falling = scores[truth].sort(descending=True).values.double().tolist()
        count = len(falling)
        reached = [k for k in range(1, count + 1) if k / count >= recall - 1e-9]
        k = reached[0]
        want = falling[k - 1]
        every = scores.sort(descending=True).values.double().tolist()
        among_all = next(s for s in every if sum(x >= s for x in every) / len(every) >= recall - 1e-9)
        precise = next(
            (s for s in sorted(every) if _precision_at(scores, truth, s) >= recall - 1e-9),
            None,
        )
        given = f"recall = {recall}"
        if len(scores) <= 5:
            given = (
                f"scores {[round(s, 2) for s in scores.tolist()]}, truth {truth.tolist()} and a recall of {recall}"
            )
        if isinstance(got, bool) or not isinstance(got, int | float | Tensor):
            t.expect(got, want, given=given)
        value = float(got) if not isinstance(got, Tensor) or got.numel() == 1 else math.nan
        shown = "" if math.isnan(value) else f" It finds {_recall_at(scores, truth, value):.3g} of the true ones."
        t.expect(
            got,
            want,
            given=given,
            known={
                "The true ones alone count for recall: that took its share of *all* samples.": among_all,
                "That is the precision; recall asks for a share of those that are true.": precise,
                "That is the lowest score of a true one: it finds them all, where fewer are asked for.": falling[-1],
                f"That finds too few: k of P must be at least the share, so round up.{shown}": any_of(
                    *falling[: k - 1]
                ),
                f"{recall} * {count} is {recall * count} to a computer, and rounding that up goes one too far. "
                "Take off a hair, 1e-6 say, before you round.": falling[k] if math.ceil(recall * count) > k else None,
                f"That finds more than it must: a higher threshold would do.{shown}": any_of(*falling[k:]),
                "That lies between two scores: return the score of a sample, the highest that will do.": (
                    value if falling[-1] < value < falling[0] and value not in every else None
                ),
                "That is the score of a sample that is not true: a higher threshold finds the same true ones.": any_of(
                    *(s for s in every if s not in falling)
                ),
            },
            rtol=1e-6,
            atol=1e-6,
        )


def _precision_at(scores: Tensor, truth: Tensor, threshold: float) -> float:
    return truth[scores >= threshold].double().mean().item()


def _ece(confidence: Tensor, right: Tensor, bins: int, how: str = "") -> float:
    """The expected calibration error, or a known misunderstanding of it."""
    confidence, hits = confidence.double(), right.double()
    total, used, gaps = 0.0, 0, []
    for k in range(bins):
        if how == "lower edge":
            inside = (confidence >= k / bins) & (confidence < (k + 1) / bins)
        else:
            inside = (confidence > k / bins) & (confidence <= (k + 1) / bins)
        if not inside.any():
            continue
        stated = (k + 0.5) / bins if how == "middle" else confidence[inside].mean().item()
        gap = stated - hits[inside].mean().item()
        gap = gap if how == "signed" else gap**2 if how == "squared" else abs(gap)
        share = inside.double().mean().item()
        total += gap * share
        gaps.append(gap)
        used += 1
    if how == "unweighted":
        return sum(gaps) / used
    if how == "all bins":
        return sum(gaps) / bins
    if how == "largest":
        return max(gaps)
    if how == "sum":
        return sum(gaps)
    return total


@exercise(
    "day12.expected_calibration_error",
    title="The expected calibration error",
    stars=2,
    hints=(
        "Loop over the bins, with a mask of the confidences inside: (confidence > k / bins) & (confidence <= ...).",
        "Skip a bin whose mask has no True in it: the mean of nothing is nan.",
        "In each bin: gap = |confidence[inside].mean() - right[inside].float().mean()|; add gap * inside.sum() / N.",
    ),
    learned="It depends on the bins: one gives |mean confidence - accuracy|, very many make it grow from noise.",
)
def expected_calibration_error(answer: Callable[..., Any], t: Trial) -> None:
    """Hold it against the sum over bins, on edges, empty bins and other numbers of bins."""
    task = (torch.tensor([0.95, 0.95, 0.55]), torch.tensor([True, False, False]))
    underconfident = (torch.tensor([0.65, 0.65, 0.85]), torch.tensor([True, True, False]))
    edges = (torch.tensor([0.5, 0.75, 1.0, 0.6, 0.25]), torch.tensor([False, True, True, False, True]))

    def random(size: int) -> tuple[Tensor, Tensor]:
        confidence = 0.1 + 0.9 * t.rand(size)
        return confidence, t.rand(size) < confidence**2

    cases = [
        (*task, 10, "the three answers of the task"),
        (task[0][:1], task[1][:1], 10, "one answer of confidence 0.95, which is right"),
        (*underconfident, 10, "confidence [0.65, 0.65, 0.85], right [True, True, False]"),
        (*random(60), 10, "60 random answers in 10 bins"),
        (*random(60), 5, "60 random answers in 5 bins"),
        (*edges, 4, "confidences on the edges of 4 bins, [0.5, 0.75, 1.0, 0.6, 0.25]"),
        (*random(31), 1, "31 random answers in one bin"),
    ]
    for confidence, right, bins, given in cases:
        got = t.call(answer, confidence, right, bins)
        number = float(got) if isinstance(got, int | float | Tensor) and torch.as_tensor(got).numel() == 1 else 0.0
        if math.isnan(number):
            t.fail(f"for {given}: the result is nan", "The mean over an empty bin is nan: leave such a bin out.")
        wrong = {
            how: _ece(confidence, right, bins, how)
            for how in (
                "signed", "squared", "unweighted", "all bins", "largest", "sum", "middle", "lower edge",
            )
        }  # fmt: skip
        plain = confidence.double().mean().item() - right.double().mean().item()
        t.expect(
            got,
            _ece(confidence, right, bins),
            given=given,
            known={
                "Gaps of opposite sign cancel: take the absolute value bin by bin, not at the end.": any_of(
                    wrong["signed"], abs(wrong["signed"]), plain, abs(plain)
                ),
                "Every bin counts the same there: weigh each by its share of the answers.": any_of(
                    wrong["unweighted"], wrong["all bins"], wrong["sum"]
                ),
                "That squares the gaps: take their absolute value.": wrong["squared"],
                "That is the largest gap, known as *maximum* calibration error; the weighted mean is asked for.": wrong[
                    "largest"
                ],
                "That takes the middle of each bin: use the mean of the confidences that lie in it.": wrong["middle"],
                "A bin holds its upper edge, not its lower one; a confidence of 1 belongs to the last bin.": wrong[
                    "lower edge"
                ],
                "The number of bins is fixed at 10 there: use `bins`.": _ece(confidence, right, 10),
                "That is the mean gap of single answers, without bins: an answer is right or wrong, never 0.9 right.": (
                    (confidence - right.float()).abs().mean().item()
                ),
                "That is a count times the gap: divide by the number of answers.": _ece(confidence, right, bins)
                * len(confidence),
            },
            rtol=1e-3,
        )


@exercise(
    "day12.needed_samples",
    title="How many digits are needed?",
    stars=1,
    hints=(
        "Solve z * sqrt(a * (1 - a) / n) = margin for n.",
        "n = z**2 * a * (1 - a) / margin**2, and then the next whole number: math.ceil.",
    ),
    learned="Half the margin costs four times the samples: an error bar shrinks with the square root of n.",
)
def needed_samples(answer: Callable[..., Any], t: Trial) -> None:
    """Hold it against the smallest n that satisfies the inequality."""
    cases: list[tuple[float, ...]] = [(0.01, 0.9), (0.1, 0.5), (0.001, 0.98), (0.02, 0.75, 2.58), (0.05, 0.5, 1.0)]
    cases += [(float(t.rand(low=0.004, high=0.05)), float(t.rand(low=0.55, high=0.99))) for _ in range(4)]
    for margin, accuracy, *rest in cases:
        z = rest[0] if rest else 1.96
        got = t.call(answer, margin, accuracy, *rest)
        exact = z * z * accuracy * (1 - accuracy) / margin**2
        want = math.ceil(exact - 1e-6)
        given = f"margin = {margin:.4g}, accuracy = {accuracy:.4g}, z = {z:g}"
        if isinstance(got, float) and math.isclose(got, exact, rel_tol=1e-6) and not math.isclose(exact, want):
            t.fail(f"at {given} expected {want}, got {got:.6g}", "Samples come whole: round up, and return an int.")
        t.expect(
            got,
            want,
            given=given,
            known={
                "That is rounded down: the half width would be a little larger than the margin.": math.floor(
                    exact - 1e-6
                ),
                "That is one too many: the margin may be met exactly.": want + 1,
                "Both margin and half width are to be squared: n stands under a root.": math.ceil(
                    z * math.sqrt(accuracy * (1 - accuracy)) / margin
                ),
                "The z of 1.96 is missing: that is the n for one standard error.": math.ceil(
                    accuracy * (1 - accuracy) / margin**2 - 1e-6
                ),
                "z is to be squared as well.": math.ceil(z * accuracy * (1 - accuracy) / margin**2),
                "`margin` goes to each side: it is half of the whole width.": math.ceil(4 * exact - 1e-6),
                "That fixes z at 1.96: use the argument.": math.ceil(
                    1.96**2 * accuracy * (1 - accuracy) / margin**2 - 1e-6
                ),
                "That takes the widest case, an accuracy of one half: use the one given.": math.ceil(
                    z * z * 0.25 / margin**2 - 1e-6
                ),
                "The variance of a right-or-wrong answer is a * (1 - a), not a.": math.ceil(
                    z * z * accuracy / margin**2 - 1e-6
                ),
            },
            rtol=0.0,
            atol=0.0,
        )
