"""Checks of day 14: a quiz over the fortnight, an epoch with everything, and honest comparisons."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, any_of, exercise
from nnlab_helpers.exercises.checking.compare import close
from nnlab_helpers.exercises.checking.wording import show


def quiz(t: Trial, got: Any, want: Any, known: Mapping[str, Any], otherwise: str, rtol: float = 1e-4) -> None:
    """Refuse a value other than `want`, with the message of the mistake it comes from, and without telling `want`."""
    if close(got, want, rtol):
        return
    for message, value in known.items():
        if close(got, value, rtol):
            t.fail(f"it is not {show(got)}", message)
    t.fail(f"it is not {show(got)}", otherwise)


# -- better, with an interval ----------------------------------------------------------------------------------------

T95 = {3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365}


def _difference(a: dict[int, float], b: dict[int, float], bug: str = "") -> tuple[float, float, float]:
    """Mean and interval of `a - b` over shared seeds, or what a known mistake gives."""
    seeds = [seed for seed in a if seed in b]
    first, second = [torch.tensor([runs[seed] for seed in seeds], dtype=torch.float64) for runs in (a, b)]
    if bug == "order":
        size = min(len(a), len(b))
        first, second = [torch.tensor(list(runs.values())[:size], dtype=torch.float64) for runs in (a, b)]
    if bug == "all":
        first, second = [torch.tensor(list(runs.values()), dtype=torch.float64) for runs in (a, b)]
    mean = (first.mean() - second.mean()).item()
    n = len(seeds) if bug == "all" else len(first)
    if bug in ("all", "unpaired"):
        half = T95[n] * ((first.var() / len(first) + second.var() / len(second)) ** 0.5).item()
    else:
        deviation = (first - second).std(correction=0 if bug == "correction" else 1).item()
        factor = {"1.96": 1.96, "one": 1.0}.get(bug, T95[n])
        half = factor * deviation / (1 if bug == "no root" else n if bug == "no sqrt" else n**0.5)
    return mean, mean - half, mean + half


@exercise(
    "day14.honest_difference",
    title="An honest difference",
    stars=3,
    hints=(
        "First the seeds that both hold, then one difference for each of them: a[seed] - b[seed].",
        "The standard deviation is that of the differences, with n - 1 below the fraction, divided by the root of n.",
        "half = t95[n] * statistics.stdev(d) / n**0.5, then (mean, mean - half, mean + half).",
    ),
    learned="Pairing by seed costs nothing, and removes what a lucky start does to both recipes alike.",
)
def honest_difference(answer: Callable[..., Any], t: Trial) -> None:
    """Try shuffled, incomplete and strongly paired runs."""
    cases: list[tuple[dict[int, float], dict[int, float]]] = [
        ({0: 0.92, 1: 0.94, 2: 0.93, 9: 0.99}, {2: 0.90, 1: 0.90, 0: 0.90}),
        ({3: 0.80, 1: 0.95, 2: 0.88, 0: 0.90}, {0: 0.91, 1: 0.94, 2: 0.86, 3: 0.79}),
    ]
    for shared in (4, 5, 7):
        seeds = torch.randperm(30, generator=t.generator)[: shared + 2].tolist()
        start = t.rand(shared + 2, low=0.7, high=0.9).double()  # what the seed does to both
        a = dict(zip(seeds[1:], (start + 0.02 * t.rand(shared + 2))[1:].tolist(), strict=True))
        b = dict(zip(seeds[:-1], (start + 0.02 * t.rand(shared + 2))[:-1].tolist(), strict=True))
        cases.append((a, {seed: b[seed] for seed in sorted(b)}))
    for number, (a, b) in enumerate(cases):
        got = t.call(answer, a, b, T95)
        mean, low, high = want = _difference(a, b)
        at = f"the runs a = {a} and b = {b}" if number < 2 else f"{len(set(a) & set(b))} shared seeds of {len(a)}"
        t.require(
            isinstance(got, tuple | list) and len(got) == 3,
            f"three numbers are to be returned, (mean, low, high); got {show(got)}",
        )
        mistakes = {
            "The values were paired in the order in which they stand in the dicts; pair them by seed.": "order",
            "That adds up two spreads as if the runs had nothing to do with each other; take the standard deviation of "
            "the *differences*.": "unpaired",
            "Seeds that only one of them holds have been used too.": "all",
            "The standard deviation has n below the fraction; with a mean taken from the same data it is n - 1.": (
                "correction"
            ),
            "The standard deviation was not divided by the root of n: that is the scatter of one difference, not of "
            "their mean.": "no root",
            "The standard deviation was divided by n; it is the root of n.": "no sqrt",
            "1.96 is right for many runs; for these few take the factor from `t95`.": "1.96",
            "That is one standard error to each side: the factor of `t95` is missing.": "one",
        }
        known: dict[str, Any] = {message: _difference(a, b, bug) for message, bug in mistakes.items()}
        known |= {
            "That is b minus a; a minus b is asked for.": (-mean, -high, -low),
            "The order is (mean, low, high).": any_of((low, mean, high), (mean, high, low)),
            "That is (mean, half width); give the two ends of the interval.": (mean, high - mean, high - mean),
        }
        t.expect(got, want, given=at, known=known)
    for few in (2, 1, 0):
        a, b = {seed: 0.9 + 0.01 * seed for seed in range(few)}, {seed: 0.8 for seed in range(few)}
        a[7], b[8] = 0.9, 0.8
        _refused(answer, a, b, few, t)


def _refused(answer: Callable[..., Any], a: dict[int, float], b: dict[int, float], few: int, t: Trial) -> None:
    def attempt() -> str:
        try:
            answer(dict(a), dict(b), dict(T95))
        except ValueError:
            return "refused"
        except Exception as error:
            return type(error).__name__
        return "taken"

    came = t.call(attempt)
    t.require(
        came == "refused",
        f"for {few} shared seeds a ValueError is to be raised, "
        + ("and something was returned" if came == "taken" else f"not a {came}"),
        "Fewer than three differences say next to nothing about their own spread.",
    )


@exercise(
    "day14.error_bar",
    title="The error bar of an accuracy",
    stars=1,
    hints=(
        "Each digit is read right with probability `accuracy`: like a coin. What is the variance of one toss?",
        "The variance of one toss is p (1 - p). Of a mean of n tosses, divide by n. The standard error is its root.",
    ),
    learned="Four times the digits halve it: from 2,000 to 10,000 is worth less than one hopes.",
)
def error_bar(answer: Callable[..., Any], t: Trial) -> None:
    """Hold it against the root of p(1-p)/n."""
    cases = [(0.9, 100), (0.5, 400), (0.98, 10_000), (1.0, 50)]
    cases += [(round(float(t.rand()), 3), int(t.randint(50, 5_000))) for _ in range(4)]
    for p, n in cases:
        got = t.call(answer, p, n)
        want = math.sqrt(p * (1 - p) / n)
        t.expect(
            got,
            want,
            given=f"an accuracy of {p} on {n} digits",
            known={
                "That is the variance of the mean: the root is missing.": want**2,
                "That does not get smaller with more digits: divide by `count` below the root.": math.sqrt(p * (1 - p)),
                "That divides by `count` outside the root; it stands below the root.": math.sqrt(p * (1 - p)) / n,
                "That is the error of the *number* of right answers; of the share it is asked.": math.sqrt(
                    n * p * (1 - p)
                ),
                "That is the worst case, for an accuracy of one half: use the accuracy.": 0.5 / math.sqrt(n),
                "Those are two standard errors; one is asked for.": any_of(2 * want, 1.96 * want),
                "It is p (1 - p) below the root, not p alone.": math.sqrt(p / n),
                "It is p (1 - p) below the root, not 1 - p alone.": math.sqrt((1 - p) / n),
                "That is in percent; a share from 0 to 1 is asked for.": 100 * want,
                "Divide by `count` itself: no n - 1 here, as p gives the variance.": math.sqrt(p * (1 - p) / (n - 1)),
            },
            atol=1e-7,
        )


# -- a quiz ----------------------------------------------------------------------------------------------------------


@exercise(
    "day14.first_loss",
    title="The first loss",
    stars=1,
    hints=(
        "An untrained network spreads its belief evenly. Which probability does the truth get, among seven?",
        "Cross-entropy is minus the natural logarithm of that probability.",
    ),
    learned="Far above it, a network is sure before it has seen anything; far below, the answer has leaked in.",
)
def first_loss(answer: Any, t: Trial) -> None:
    """The logarithm of 7."""
    quiz(
        t,
        answer,
        math.log(7),
        {
            "That is the probability that the truth gets; the loss is its surprise.": 1 / 7,
            "That is for ten classes, as with digits; here there are seven.": math.log(10),
            "That is a logarithm to base 10; a loss in nats takes the natural one.": math.log10(7),
            "That is in bits, with a logarithm to base 2; PyTorch takes the natural one.": math.log2(7),
            "The sign is turned round: surprise is *minus* the logarithm of the probability.": -math.log(7),
            "The loss of a network that knows everything is 0; this one knows nothing yet.": 0.0,
            "That is the share of wrong answers; a loss is made of logarithms.": 6 / 7,
            "That is the number of classes; how surprised is one who gives each the same chance?": 7.0,
        },
        "Even guesses give the truth one chance in seven. How surprised is such a network, in nats?",
        rtol=0.01,
    )


@exercise(
    "day14.shape_after_conv",
    title="The shape behind a convolution",
    stars=1,
    hints=(
        "The batch stays, the channels become the number of kernels, height and width follow the formula of day 7.",
        "Pixels: (28 + 2 * padding - window) // stride + 1.",
    ),
    learned="A stride of 2 with padding halves an even side, which is why this layer stands in so many networks.",
)
def shape_after_conv(answer: Any, t: Trial) -> None:
    """A convolution of stride 2."""
    got = tuple(answer.shape) if isinstance(answer, Tensor) else answer
    if isinstance(got, Sequence) and not isinstance(got, str) and len(got) != 4:
        t.fail(
            f"{len(got)} numbers are not enough" if len(got) < 4 else f"{len(got)} numbers are too many",
            "A convolution takes and gives images in batches: [batch, channels, height, width].",
        )
    quiz(
        t,
        got,
        (32, 8, 14, 14),
        {
            "The channels that come out are the kernels: how many are there?": (32, 1, 14, 14),
            "The stride of 2 is missing: the window skips every other place.": (32, 8, 28, 28),
            "The padding of 1 is missing, and so is the stride.": (32, 8, 26, 26),
            "The padding of 1 is missing: a border of zeros is laid around the image first.": (32, 8, 13, 13),
            "Whole places only: round down before you add 1.": (32, 8, 15, 15),
            "PyTorch's order is [batch, channels, height, width].": (32, 14, 14, 8),
            "A kernel does not change how many images there are: the batch stays.": (8, 32, 14, 14),
        },
        "Batch and channels first; then put 28 pixels through (n + 2p - k) // s + 1.",
    )


@exercise(
    "day14.parameters_of_conv",
    title="The parameters of a convolution",
    stars=1,
    draws=True,
    hints=(
        "How many weights has one kernel? It looks at all channels that come in.",
        "Each of the channels that go out has a kernel of channels_in * window * window weights, and one bias.",
    ),
    learned="The size of the image does not occur in it: the same kernels serve every place.",
)
def parameters_of_conv(answer: Callable[..., Any], t: Trial) -> None:
    """Hold it against real layers of odd sizes."""
    cases: list[tuple[int, int, int, bool]] = [(1, 6, 5, True), (6, 16, 5, True), (3, 8, 3, False), (2, 1, 1, True)]
    for bias in (False, True, True):
        i, o, k = t.randint(2, 9, 3).tolist()
        cases.append((i, o, k, bias))
    for i, o, k, bias in cases:
        layer = nn.Conv2d(i, o, k, bias=bias)
        got = t.call(answer, i, o, k, bias=bias)
        want = sum(p.numel() for p in layer.parameters())
        b = int(bias)
        t.expect(
            got,
            want,
            given=f"{i} channel{'s' * (i > 1)} in, {o} out, a window of {k} and {'a' if bias else 'no'} bias",
            known={
                "The bias is forgotten: each channel that goes out has one.": o * i * k * k,
                "There is a bias in it, although `bias=False` was given.": o * i * k * k + o,
                "A kernel looks at *all* channels that come in: yours look at one channel each.": o * (k * k + b),
                "Each channel that goes out has a kernel of its own: that is the size of one.": i * k * k + b,
                "A window is `window` high and `window` wide: its area is a square.": o * (i * k + b),
                "There is one bias for each channel that goes out, not one in all.": o * i * k * k + b,
                "There is one bias for each kernel, not one for each channel that it looks at.": o * i * (k * k + b),
                "There is one bias for each channel that goes *out*.": o * i * k * k + b * i,
            },
        )
    got = t.call(answer, 2, 3, 4)
    t.expect(got, 99, given="2 channels in, 3 out, a window of 4 and nothing said of a bias", known={
        "Left out, `bias` is True, as in PyTorch.": 96,
    })  # fmt: skip


CURVES = {"A": 0.1, "B": 1.0, "C": 0.001, "D": 0.01}


@exercise(
    "day14.which_curve",
    title="Which curve is it?",
    stars=2,
    hints=(
        "A rate that is too high shows in the first few batches: steps that throw the weights far away make it worse.",
        "Of those that fall, the one that falls further in as many batches took the longer steps.",
        "A curve that hardly leaves the dotted line has hardly moved its weights.",
    ),
    learned="B and D end close together, and need opposite remedies: the start of a curve tells which is which.",
)
def which_curve(answer: Any, t: Trial) -> None:
    """The rates of the four curves in the figure."""
    t.require(isinstance(answer, dict), f"a dict with a rate for each letter is asked for, got {show(answer)}")
    t.require(set(answer) == set(CURVES), f"the letters are A, B, C and D; got {show(sorted(answer, key=str))}")
    missing = [letter for letter, rate in answer.items() if rate is None or rate is Ellipsis]
    t.require(not missing, f"{' and '.join(missing)} still waits for a rate", "Give each letter one.")
    by_rate: dict[float, str] = {}
    for letter in CURVES:
        rate = next((rate for rate in CURVES.values() if close(answer[letter], rate, 1e-3, 0.0)), None)
        if rate is None:
            t.fail(f"{show(answer[letter])} is none of the four rates: 0.001, 0.01, 0.1 and 1.0")
        by_rate[rate] = letter
    t.require(len(by_rate) == 4, "each rate belongs to one curve, and one of them was given twice")
    wrong = {rate for rate, letter in by_rate.items() if CURVES[letter] != rate}
    if not wrong:
        return
    headline = f"{len(wrong)} of the four are in the wrong place"
    if wrong == {0.001, 0.01}:
        t.fail(headline, "Both are slow. The one that stays on the dotted line has the shorter steps.")
    if wrong == {0.01, 0.1}:
        t.fail(headline, "Both fall. The one that falls further in as many batches took the longer steps.")
    if by_rate[1.0] == "A":
        t.fail(headline, "The steepest fall is a sign of health. Too high a rate first sends the loss *up*.")
    if by_rate[1.0] in "CD":
        t.fail(headline, "A loss that stays where it began belongs to steps that are too short, not too long.")
    t.fail(headline, "Begin with the curve that rises above the dotted line; order the others by how far they fall.")


@exercise(
    "day14.order_of_loop",
    title="The order of a step",
    stars=1,
    hints=(
        "Nothing can be measured before it is predicted, and no gradient exists before `backward`.",
        "`zero_grad` may stand at several places. Which two lines must it not come between?",
    ),
    learned="`zero_grad` may stand anywhere but between `backward` and `step`; first is the habit.",
)
def order_of_loop(answer: Any, t: Trial) -> None:
    """Any order in which each gradient is used once, for its own batch."""
    t.require(isinstance(answer, list | tuple), f"a list of five numbers is asked for, got {show(answer)}")
    t.require(
        len(answer) == 5 and all(not isinstance(n, bool) and n in (1, 2, 3, 4, 5) for n in answer),
        f"each of the numbers 1 to 5 is to occur once, got {show(list(answer))}",
    )
    t.require(len(set(answer)) == 5, f"each of the numbers 1 to 5 is to occur once, got {show(list(answer))}")
    at = {number: place for place, number in enumerate(answer)}
    step, loss, zero, logits, backward = (at[number] for number in range(1, 6))
    headline = f"the order {list(answer)} does not train"
    t.require(logits < loss, headline, "The loss needs logits: predict before you measure.")
    t.require(loss < backward, headline, "`backward` goes back from a loss: measure before you call it.")
    t.require(
        backward < step,
        headline,
        "`step` comes before `backward`: it finds no gradient of this batch yet, only what an earlier batch left.",
    )
    t.require(
        not backward < zero < step,
        headline,
        "`zero_grad` between `backward` and `step` throws away what was just computed: nothing is left to step along.",
    )


@exercise(
    "day14.mean_of_batches",
    title="The mean of the batches",
    stars=1,
    hints=(
        "How many digits of each batch were right? Add those up.",
        "Divide by all digits, once, at the end.",
    ),
    learned="With equal batches the plain mean is right too, which is why the mistake survives so long.",
)
def mean_of_batches(answer: Callable[..., Any], t: Trial) -> None:
    """Batches of equal and of very different size."""
    cases: list[tuple[list[float], list[int]]] = [
        ([0.9, 0.8, 0.4], [400, 400, 100]),
        ([0.5], [7]),
        ([1.0, 0.0], [1, 9]),
        ([0.25, 0.75], [64, 64]),
    ]
    for count in (3, 6):
        sizes = t.randint(1, 200, count).tolist()
        right = [int(t.randint(0, size + 1)) for size in sizes]
        cases.append(([r / n for r, n in zip(right, sizes, strict=True)], sizes))
    for accuracies, sizes in cases:
        got = t.call(answer, accuracies, sizes)
        hits = sum(a * n for a, n in zip(accuracies, sizes, strict=True))
        want = hits / sum(sizes)
        t.expect(
            got,
            float(want),
            given=f"accuracies {[round(a, 3) for a in accuracies]} and sizes {sizes}",
            known={
                "That is the plain mean: it lets a small last batch count as much as a full one.": sum(accuracies)
                / len(accuracies),
                "That is the number of right answers: divide by all digits.": float(hits),
                "That is in percent; a share from 0 to 1 is asked for.": 100 * want,
                "That is the share of *wrong* answers.": 1 - want,
                "Divide by the number of digits, not by the number of batches.": hits / len(sizes),
                "That is one batch alone.": any_of(accuracies[0], accuracies[-1]),
                "That is the middle one of the accuracies: count digits instead.": sorted(accuracies)[len(sizes) // 2],
            },
        )


LEAKS = {
    1: "Number 1: the 70,000 include the test digits, so the network is shown inputs that were scaled by them.",
    2: "Number 2 only reorders what may be seen anyway.",
    3: "Number 3 is as it should be: training statistics for everybody.",
    4: "Number 4: whoever chooses by the test set has tuned on it, and the winner's luck goes into the number.",
    5: "Number 5: think of a test digit. Where are its four sisters?",
    6: "Number 6 is honest: validation digits choose, and the test digits are asked once.",
}


@exercise(
    "day14.what_leaks",
    title="What leaks?",
    stars=2,
    hints=(
        "Ask of each: would the network, or the number printed, be different if the test digits were others?",
        "There are three. One leaks statistics, one leaks by choosing, one leaks copies.",
    ),
    learned="Deal the digits into their drawers first, and do everything else afterwards, drawer by drawer.",
)
def what_leaks(answer: Any, t: Trial) -> None:
    """A set of numbers."""
    t.require(
        isinstance(answer, set | frozenset | list | tuple),
        f"a set of numbers is asked for, such as {{1, 2}}; got {show(answer)}",
    )
    given = set(answer)
    odd = [one for one in given if isinstance(one, bool) or one not in LEAKS]
    t.require(not odd, f"the questions are numbered 1 to 6; got {show(odd[0]) if odd else ''}")
    missed, accused = sorted({1, 4, 5} - given), sorted(given - {1, 4, 5})
    headline = " and ".join(
        part
        for part in (
            f"{len(missed)} of the leaks still {'drips' if len(missed) == 1 else 'drip'}" if missed else "",
            f"{len(accused)} innocent {'is' if len(accused) == 1 else 'are'} accused" if accused else "",
        )
        if part
    )
    if missed or accused:
        t.fail(headline, LEAKS[(accused + missed)[0]])


@exercise(
    "day14.chosen_run",
    title="Chosen, then reported",
    stars=1,
    hints=(
        "Which of the two lists may choose? Which one has the number that is printed?",
        "run = val.index(max(val)), which takes the first among equals.",
    ),
    learned="It will often look worse than the best test accuracy in the list. That difference is luck, not quality.",
)
def chosen_run(answer: Callable[..., Any], t: Trial) -> None:
    """Runs in which validation and test disagree."""
    cases = [
        ([0.90, 0.92, 0.91], [0.93, 0.89, 0.90]),
        ([0.91, 0.94, 0.94, 0.90], [0.95, 0.92, 0.96, 0.97]),
        ([0.8], [0.7]),
    ]
    cases += [(t.rand(count).tolist(), t.rand(count).tolist()) for count in (5, 8)]
    for val, test in cases:
        got = t.call(answer, val, test)
        run, lucky = val.index(max(val)), test.index(max(test))
        both = [v + s for v, s in zip(val, test, strict=True)]
        together = both.index(max(both))
        last = len(val) - 1 - val[::-1].index(max(val))
        worst = val.index(min(val))
        t.expect(
            got,
            (run, test[run]),
            given=f"val {[round(v, 2) for v in val]} and test {[round(s, 2) for s in test]}",
            known={
                "The test accuracies have chosen: that is the best of many, with its luck.": (lucky, test[lucky]),
                "That run was chosen with the validation digits, so its validation accuracy is flattered: report the "
                "other one.": (run, val[run]),
                "Among equals take the first.": (last, test[last]),
                "That prints the best test accuracy beside a run that did not reach it.": (run, test[lucky]),
                "Validation and test have chosen together; only validation may.": (together, test[together]),
                "That is the run with the *lowest* validation accuracy.": (worst, test[worst]),
                "The order is (position, accuracy).": (test[run], run),
                "Positions are counted from 0.": (run + 1, test[run]),
            },
        )


# -- an epoch with everything ----------------------------------------------------------------------------------------

Batches = list[tuple[Tensor, Tensor]]


def _scaled(parameters: Sequence[Tensor], clip_norm: float | None, each: bool = False) -> None:
    """Scale the gradients down to `clip_norm`, together, or each tensor by itself."""
    if clip_norm is None:
        return
    for group in [[p] for p in parameters] if each else [parameters]:
        norm = torch.stack([p.grad.norm() for p in group if p.grad is not None]).norm()
        for p in group:
            if p.grad is not None and norm > clip_norm:
                p.grad.mul_(clip_norm / norm)


def _epoch(
    model: nn.Module, batches: Batches, rate: float, accumulate: int, clip_norm: float | None, bug: str = ""
) -> float:
    """Train as asked, with plain SGD, or with a known mistake; the mean loss over all samples."""
    parameters = list(model.parameters())
    groups = [batches[i : i + accumulate] for i in range(0, len(batches), accumulate)]
    if bug == "drops last" and len(groups[-1]) < accumulate:
        groups = groups[:-1]
    if bug.startswith("every batch"):
        groups = [[batch] for batch in batches]
    total, count, means = 0.0, 0, []
    for number, group in enumerate(groups):
        kept = {"never zero": True, "zero once": number > 0, "old gradients": number == 0}.get(bug, False)
        if not kept:
            for p in parameters:
                p.grad = None
        samples = sum(len(y) for _, y in group)
        for x, y in group:
            loss = F.cross_entropy(model(x), y)
            if bug == "every batch, shared":  # divided as if there were one step for the group
                samples = sum(len(y) for _, y in batches[number - number % accumulate :][:accumulate])
            share = {"batch means": 1 / len(group), "by accumulate": 1 / accumulate, "summed": 1.0}.get(
                bug, len(y) / samples
            )
            if bug == "last only":
                for p in parameters:
                    p.grad = None
            (loss * share).backward()
            if bug == "clip batches":
                _scaled(parameters, clip_norm)
            total, count = total + loss.item() * len(y), count + len(y)
            means.append(loss.item())
        if bug != "no clip":
            _scaled(parameters, clip_norm, each=bug == "clip each")
        if bug == "clip value" and clip_norm is not None:
            nn.utils.clip_grad_value_(parameters, clip_norm)
        with torch.no_grad():
            for p in parameters:
                if p.grad is not None:
                    p.sub_(rate * p.grad)
    return sum(means) / len(means) if bug == "mean of batches" else total / max(count, 1)


class _Watched(nn.Module):
    """A linear layer that remembers in which mode it was called."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.inner = nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            self.inner.weight.copy_(weight)
            self.inner.bias.zero_()
        self.modes: list[bool] = []

    def forward(self, x: Tensor) -> Tensor:
        self.modes.append(self.training)
        return self.inner(x)


EPOCH_BUGS = {
    "The gradients are never set to zero: each step repeats those before it.": "never zero",
    "The gradients are set to zero once, and then no more: each step repeats those before it.": "zero once",
    "Gradients left over from before the epoch have gone into the first step.": "old gradients",
    "Each batch of a group counts the same; let it count by its samples, as in one large batch.": "batch means",
    "The last group has fewer batches, and was divided by `accumulate` all the same.": "by accumulate",
    "The gradients of a group are summed; the mean over its samples is asked for.": "summed",
    "The last, incomplete group has made no step: its gradients are lost.": "drops last",
    "Only the last batch of a group has a say: the gradients are set to zero too often.": "last only",
    "There is a step after every batch; `accumulate` batches share one.": "every batch",
    "There is a step after each batch; `accumulate` batches share one.": "every batch, shared",
    "The gradient is not clipped before the step.": "no clip",
    "The gradient was clipped after each batch; clip that of the whole group, once, before the step.": "clip batches",
    "Each parameter was clipped by itself; the norm is that of all of them together.": "clip each",
}


@exercise(
    "day14.fit_one_epoch",
    title="One epoch, with everything",
    stars=3,
    hints=(
        "Cut the list into groups first: batches[i : i + accumulate] for i in range(0, len(batches), accumulate).",
        "Per group: zero_grad; for each batch the loss times len(y) / samples_in_group, and backward. Then clip, step.",
        "nn.utils.clip_grad_norm_(model.parameters(), clip_norm) after the group's last backward, if it is not None.",
    ),
    learned="You have written the heart of nnlab_helpers.train.fit: the rest of it is watching and saving.",
)
def fit_one_epoch(answer: Callable[..., Any], t: Trial) -> None:
    """Hold weights, steps and loss against our own epoch, over equal and ragged batches, clipped and not."""
    cases: list[tuple[list[int], int, float | None]] = [
        ([4, 3], 1, None),
        ([4, 4, 2], 1, None),
        ([4, 4, 2], 2, None),
        ([5, 2, 3, 4, 1], 3, None),
        ([4, 3], 1, 0.05),
        ([5, 2, 3, 4, 1], 2, 0.1),
        ([3, 6], 2, 100.0),
        ([2, 3], 5, None),
    ]
    for sizes, accumulate, clip_norm in cases:
        weight = t.randn(3, 2)
        batches = [(3 * t.randn(size, 2), t.randint(0, 3, size)) for size in sizes]
        given = f"batches of {', '.join(map(str, sizes))} samples, accumulate = {accumulate}, clip_norm = {clip_norm}"
        model = _prepared(weight)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        options: dict[str, Any] = {"accumulate": accumulate} if accumulate > 1 else {}
        options |= {"clip_norm": clip_norm} if clip_norm is not None else {}
        got = t.call(answer, model, batches, optimizer, may_change=(model, optimizer), **options)
        results = {}
        for message, bug in {"": "", **EPOCH_BUGS}.items():
            twin = _prepared(weight)
            loss = _epoch(twin, batches, 0.5, accumulate, clip_norm, bug)
            results[message] = (loss, twin.inner.weight.detach().clone())
        mean, want = results.pop("")
        _judge(t, model, weight, given, len(sizes))
        t.expect(
            model.inner.weight.detach(),
            want,
            given=given,
            what="the weights afterwards",
            known={message: after for message, (_, after) in results.items()},
            rtol=1e-3,
        )
        of_batches = _epoch(_prepared(weight), batches, 0.5, accumulate, clip_norm, "mean of batches")
        t.expect(
            got,
            mean,
            given=given,
            what="the loss returned",
            known={
                "That is the mean of the batches' losses: let each count by its samples.": of_batches,
                "That is the sum over all samples: divide by how many there are.": mean * sum(sizes),
                "That is the sum of the batches' mean losses.": of_batches * len(sizes),
                "That is the sum over all samples, divided by the number of batches.": mean * sum(sizes) / len(sizes),
                "That is the loss after the epoch; each is to be measured when its batch comes by.": lambda batches=(
                    batches
                ), model=model: F.cross_entropy(
                    model.inner(torch.cat([x for x, _ in batches])), torch.cat([y for _, y in batches])
                ).item(),
            },
            rtol=1e-3,
        )


def _prepared(weight: Tensor) -> _Watched:
    """A model in evaluation mode, with gradients left over from before."""
    model = _Watched(copy.deepcopy(weight)).eval()
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.3)
    return model


def _judge(t: Trial, model: _Watched, weight: Tensor, given: str, batches: int) -> None:
    """Refuse what can be seen without comparing numbers."""
    t.require(model.modes, f"for {given}: the model was never called")
    t.require(
        all(model.modes),
        f"for {given}: the model was in evaluation mode",
        "Dropout and batch normalisation would not train: put it into training mode first.",
    )
    t.require(
        not torch.equal(model.inner.weight.detach(), weight),
        f"for {given}: the weights have not changed",
        "Was `optimizer.step()` called, with gradients there to use?",
    )
    t.require(
        len(model.modes) == batches,
        f"for {given}: the model was called {len(model.modes)} times for {batches} batches",
        "Each batch comes by once.",
    )
