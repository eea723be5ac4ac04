"""Checks of day 10: the range test, a cosine with warm-up, a schedule to repair, batch sizes, a rate on a plateau."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _diverged(losses: Sequence[float], times: float = 4.0, blind: bool = False) -> int | None:
    """The first position of divergence; `blind` overlooks losses that are no number or infinite."""
    lowest = math.inf
    for position, loss in enumerate(losses):
        if loss > times * lowest and not (blind and math.isinf(loss)):
            return position
        if not blind and not math.isfinite(loss):
            return position
        if loss < lowest:
            lowest = loss
    return None


def _tenth(rates: Sequence[float], position: int | None) -> float:
    return 0.1 * (rates[-1] if position is None else rates[position])


@exercise(
    "day10.best_rate",
    title="Read the range test",
    stars=2,
    hints=(
        "Walk through the losses in order and remember the lowest one so far.",
        "A comparison with nan is always False, so ask for it separately: math.isfinite(loss).",
        "if loss > 4 * lowest or not math.isfinite(loss): return rate / 10. After that, lowest = min(lowest, loss).",
    ),
    learned="fastai's learning rate finder also stops at four times the lowest loss, but of a smoothed curve.",
)
def best_rate(answer: Callable[..., Any], t: Trial) -> None:
    """Range tests that diverge, do not, diverge and come back, and end in nan."""
    nan, inf = math.nan, math.inf
    rates = [0.01, 0.1, 1.0, 3.0]
    cases = [
        ([0.01, 0.05, 0.3, 1.0, 3.0], [2.0, 1.0, 1.5, 6.5, 7.0]),
        (rates, [2.3, 1.0, 5.0, 0.5]),
        (rates, [2.3, 1.0, 4.0, 4.5]),
        ([0.01, 0.1, 1.0, 5.0], [2.3, 2.0, 1.5, 1.2]),
        (rates, [2.3, 1.0, nan, nan]),
        (rates, [2.3, 1.0, inf, 0.5]),
        ([0.001, 0.003, 0.01, 0.03, 0.1, 0.3], [2.3, 0.5, 1.9, 1.0, 0.3, 1.3]),
    ]
    for turn in (0.3, 3.0):
        grid = [10 ** (-4 + 0.1 * step) for step in range(50)]
        noise = t.rand(50, low=0.9, high=1.1).tolist()
        falling = [(2.3 / (1 + (30 * r)) + (r / turn) ** 3) * n for r, n in zip(grid, noise, strict=True)]
        cases.append((grid, falling))
    for grid, losses in cases:
        got = t.call(answer, list(grid), list(losses))
        at = _diverged(losses)
        lowest = min(range(len(losses)), key=lambda i: losses[i] if math.isfinite(losses[i]) else inf)
        bottom = losses[lowest]
        foresight = next((i for i, loss in enumerate(losses) if loss > 4 * bottom or not math.isfinite(loss)), None)
        first = next((i for i, loss in enumerate(losses) if loss > 4 * losses[0] or not math.isfinite(loss)), None)
        previous = next(
            (i for i in range(1, len(losses)) if losses[i] > 4 * losses[i - 1] or not math.isfinite(losses[i])), None
        )
        inclusive = next(
            (i for i in range(1, len(losses)) if losses[i] >= 4 * min(losses[:i]) or not math.isfinite(losses[i])), None
        )
        shown = f"rates {grid} and losses {losses}" if len(grid) < 7 else f"a test of {len(grid)} steps"
        known = {
            "A loss that is not a number was overlooked: every comparison with nan is False.": _tenth(
                grid, _diverged(losses, blind=True)
            ),
            "That is the rate at which it diverged; a tenth of it is asked for.": 10 * _tenth(grid, at),
            "Compare with the lowest loss *before* that position; later losses are not known yet.": _tenth(
                grid, foresight
            ),
            "Compare with the lowest loss so far, not with the first one.": _tenth(grid, first),
            "Compare with the lowest loss so far, not with the one just before.": _tenth(grid, previous),
            "*More* than four times: exactly four times is not yet diverged.": _tenth(grid, inclusive),
            "That is the rate with the lowest loss; the task asks for a tenth of where it diverged.": any_of(
                grid[lowest], grid[lowest] / 10
            ),
            "That is one position too early: take the rate of the diverged step itself.": (
                _tenth(grid, at - 1) if at else []
            ),
        }
        if at is None and got is None:
            t.fail(
                "for a run that never diverged the result is None",
                "Then a tenth of the last rate is asked for: what comes after your loop?",
            )
        t.expect(got, _tenth(grid, at), given=shown, known=known, rtol=1e-4, atol=1e-9)


def _warm_cosine(step: int, total: int, warmup: int, peak: float) -> float:
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


@exercise(
    "day10.warm_cosine",
    title="A cosine with warm-up",
    stars=2,
    hints=(
        "Two cases: step < warmup, and the rest. For the rest, which share of the way down has been gone?",
        "The cosine begins at step `warmup` and lasts `total - warmup` steps: progress is a ratio of two differences.",
        "peak * (step + 1) / warmup, and peak * (1 + math.cos(math.pi * progress)) / 2.",
    ),
    learned="In PyTorch it takes a SequentialLR of LinearLR and CosineAnnealingLR, or one LambdaLR with your function.",
)
def warm_cosine(answer: Callable[..., Any], t: Trial) -> None:
    """Walk through whole runs, with and without a rise."""
    runs = [(7, 2, 1.0), (5, 0, 0.3), (8, 7, 0.5), (int(t.randint(20, 40)), 6, 0.1)]
    for total, warmup, peak in runs:
        for step in range(total):
            got = t.call(answer, step, total, warmup, peak)
            rest = total - warmup
            if step < warmup:
                known: dict[str, Any] = {
                    "That gives step 0 a rate of 0, a wasted step: it begins with peak / warmup.": peak * step / warmup,
                    "That is a factor; multiply it by the peak.": (step + 1) / warmup,
                    "That never reaches the peak by step warmup - 1: divide by warmup.": peak
                    * (step + 1)
                    / (warmup + 1),
                    "In the first `warmup` steps the rate *rises*, in equal parts.": any_of(
                        peak * (1 + math.cos(math.pi * step / total)) / 2,
                        peak * (1 + math.cos(math.pi * (step - warmup) / rest)) / 2,
                    ),
                }
            else:
                part = (step - warmup) / rest
                known = {
                    "That is a factor; multiply it by the peak.": (1 + math.cos(math.pi * part)) / 2,
                    "The cosine begins at step `warmup`: count its steps from there.": peak
                    * (1 + math.cos(math.pi * step / total))
                    / 2,
                    "The cosine lasts total - warmup steps, not total.": peak
                    * (1 + math.cos(math.pi * (step - warmup) / total))
                    / 2,
                    "The cosine lasts total - warmup steps; it begins at `warmup`, not at 0.": peak
                    * (1 + math.cos(math.pi * step / rest))
                    / 2,
                    "That reaches 0 in the last step; it would be 0 in step `total`, one later.": peak
                    * (1 + math.cos(math.pi * (step - warmup) / max(rest - 1, 1)))
                    / 2,
                    "A cosine runs from 1 to -1: shift it up by one and halve it.": any_of(
                        peak * math.cos(math.pi * part), peak * (1 + math.cos(math.pi * part))
                    ),
                    "That is a quarter of a cosine, steep at its end; half a cosine is (1 + cos) / 2.": peak
                    * math.cos(math.pi * part / 2),
                    "That is a straight line down, not a cosine.": peak * (1 - part),
                    "The cosine is one step ahead: in step `warmup` the rate is still the peak.": peak
                    * (1 + math.cos(math.pi * (step + 1 - warmup) / rest))
                    / 2,
                    "From step `warmup` on the rate falls.": peak,
                }
            t.expect(
                got,
                _warm_cosine(step, total, warmup, peak),
                given=f"step {step} of {total}, warmup {warmup}, peak {peak}",
                known=known,
                rtol=1e-4,
                atol=1e-7,
            )


def _train_on_cosine(
    start: nn.Module, x: Tensor, y: Tensor, epochs: int, batch: int, peak: float, *, t_max: int, early: bool = False
) -> tuple[list[float], nn.Module]:
    """Rates and trained model of the repaired function, or of one with a wrong `t_max` or a scheduler stepped early."""
    model = copy.deepcopy(start)
    optimizer = torch.optim.SGD(model.parameters(), lr=peak)
    scheduler = CosineAnnealingLR(optimizer, T_max=t_max)
    rates = []
    for _ in range(epochs):
        for inputs, target in zip(x.split(batch), y.split(batch), strict=True):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), target).backward()
            if early:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # PyTorch minds the order
                    scheduler.step()
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            if not early:
                scheduler.step()
    return rates, model


@exercise(
    "day10.repaired_schedule",
    title="The schedule that swings",
    stars=2,
    hints=(
        "How often is scheduler.step() called in the whole run? T_max is counted in these calls.",
        "Which rate should the very first step of the optimizer use, and which does it use?",
        "T_max=epochs * number of batches (rounded up), and scheduler.step() after optimizer.step().",
    ),
    learned="PyTorch warns of the order, once, in a place where nobody looks; of a wrong T_max it says nothing.",
)
def repaired_schedule(answer: Callable[..., Any], t: Trial) -> None:
    """Compare rates and final weights with a repaired function and with half-repaired ones."""
    start = nn.Linear(3, 3)
    with torch.no_grad():
        start.weight.copy_(t.randn(3, 3))
        start.bias.zero_()
    for n, batch, epochs, peak in ((8, 4, 3, 0.5), (10, 4, 2, 0.5), (7, 3, 5, 0.2)):
        x, y = t.randn(n, 3), t.randint(0, 3, (n,))
        batches = -(-n // batch)
        model = copy.deepcopy(start)
        run = partial(_train_on_cosine, start, x, y, epochs, batch, peak)
        want, trained = run(t_max=epochs * batches)
        too_early, swapped = run(t_max=epochs * batches, early=True)
        per_epoch = [peak * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(epochs)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = t.call(answer, model, x, y, epochs, batch, peak)
        if isinstance(got, Tensor):
            got = got.tolist()
        as_swapped = torch.allclose(model.state_dict()["weight"], swapped.state_dict()["weight"], rtol=1e-3)
        given = f"{n} samples in batches of {batch}, {epochs} epochs"
        if isinstance(got, list | tuple) and len(got) == epochs != len(want):
            t.fail(
                f"for {given}: {len(want)} rates are expected, one for each step; got {len(got)}",
                "That is one for each epoch.",
            )
        t.expect(
            got,
            want,
            given=given,
            known={
                "Both bugs are still in it.": run(t_max=epochs, early=True)[0],
                "One bug is left: the scheduler steps in every batch, but T_max counts epochs.": run(t_max=epochs)[0],
                "One bug is left: the scheduler steps before the optimizer, so that nobody uses the peak.": (
                    too_early if as_swapped else []
                ),
                "T_max leaves out the last, smaller batch: round the number of batches up.": run(
                    t_max=epochs * (n // batch)
                )[0],
                "Now the rate changes once in an epoch; it should fall a little in every step.": [
                    rate for rate in per_epoch for _ in range(batches)
                ],
                "T_max covers one epoch; the cosine should last for the whole run.": run(t_max=batches)[0],
                "T_max counts steps of the scheduler, which are batches, not samples.": run(t_max=epochs * n)[0],
                "Noted after scheduler.step(), that is the rate of the *next* step.": too_early,
            },
            rtol=1e-4,
            atol=1e-6,
        )
        weights, right = model.state_dict()["weight"], trained.state_dict()["weight"]
        t.expect(weights, right, what="the weights after training", rtol=1e-3)


@exercise(
    "day10.scaled_rate",
    title="Scale the rate",
    stars=1,
    hints=(
        "k is the new batch size divided by the old one; it may be a fraction.",
        'k = new_batch / batch; "linear" returns rate * k, "sqrt" returns rate * math.sqrt(k), anything else raises.',
    ),
    learned="It is a place to begin; run the range test again at the new batch size.",
)
def scaled_rate(answer: Callable[..., Any], t: Trial) -> None:
    """Grow and shrink the batch under both rules, and ask for a third."""
    cases = [(0.1, 64, 256), (0.1, 64, 96), (0.4, 256, 64), (0.05, 32, int(t.randint(33, 700)))]
    for rate, batch, new in cases:
        k = new / batch
        for rule in ("linear", "sqrt"):
            got = t.call(answer, rate, batch, new, rule)
            want = rate * (k if rule == "linear" else math.sqrt(k))
            t.expect(
                got,
                want,
                given=f'rate {rate}, batch {batch}, new batch {new}, rule "{rule}"',
                known={
                    "The ratio is turned round: a larger batch takes a larger rate.": rate
                    * (1 / k if rule == "linear" else math.sqrt(1 / k)),
                    "The ratio was rounded to a whole number: use /, not //.": rate
                    * (new // batch if rule == "linear" else math.sqrt(new // batch)),
                    "That is the linear rule: for \"sqrt\" take the root of the ratio.": rate * k,
                    "That is the root rule: \"linear\" multiplies by the ratio itself.": rate * math.sqrt(k),
                    "That is the ratio; multiply the rate by it.": any_of(k, math.sqrt(k)),
                },
                rtol=1e-4,
                atol=1e-9,
            )
    t.expect(t.call(answer, 0.1, 64, 128), 0.2, given="rate 0.1, batch 64, new batch 128 and no rule")
    for unknown in ("cubic", "", "LINEAR"):
        got = t.call(_with_error_as_value(answer), 0.1, 64, 128, unknown)
        t.require(
            isinstance(got, ValueError),
            f'for the rule "{unknown}" a ValueError is expected, got {got!r:.60}',
            "A typing error in the rule's name should not go unnoticed: raise ValueError(...) for every other rule.",
        )


def _with_error_as_value(answer: Callable[..., Any]) -> Callable[..., Any]:
    """`answer`, returning the ValueError that it raises."""

    def returning(*args: Any) -> Any:
        try:
            return answer(*args)
        except ValueError as error:
            return error

    return returning


def _sweep(
    start: nn.Module, x: Tensor, y: Tensor, sizes: Sequence[int], epochs: int, rate: float, bug: str = ""
) -> list[float]:
    """The loss after training for each size, or that of a known mistake."""
    losses = []
    model = copy.deepcopy(start)
    for size in sizes:
        model = model if bug == "one model" else copy.deepcopy(start)
        optimizer = torch.optim.SGD(model.parameters(), lr=rate)
        seen = []
        for _ in range(1 if bug == "one epoch" else epochs):
            for inputs, target in zip(x.split(size), y.split(size), strict=True):
                if bug == "drop" and len(inputs) < size:
                    continue
                loss = F.cross_entropy(model(inputs), target, reduction="sum" if bug == "sum" else "mean")
                if bug != "no zero_grad":
                    optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen.append(loss.item())
        whole = F.cross_entropy(model(x), y).item()
        last = seen[-len(x.split(size)) :]
        means = [F.cross_entropy(model(a), b).item() for a, b in zip(x.split(size), y.split(size), strict=True)]
        others = {"last loss": seen[-1], "on the way": sum(last) / len(last), "batch mean": sum(means) / len(means)}
        losses.append(others.get(bug, whole))
    return losses


@exercise(
    "day10.batch_size_sweep",
    title="Vary the batch size",
    stars=3,
    hints=(
        "Three loops inside each other: sizes, epochs, batches. Which of the lines belong into which?",
        "Model and optimizer are made anew for each size; the loss to return is measured once, after the epochs.",
        "for start in range(0, len(x), size): x[start : start + size] gives the last, smaller batch too.",
    ),
    learned="At equal epochs small batches make more steps; at equal steps they see less data. Say which you mean.",
)
def batch_size_sweep(answer: Callable[..., Any], t: Trial) -> None:
    """Hold the losses against training by hand, and against what the usual slips give."""
    start = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    with torch.no_grad():
        for p in start.parameters():
            p.copy_(t.randn(*p.shape))
    slips = {
        "Each size has to begin with a fresh network: call make_model() inside the loop over sizes.": "one model",
        "That is the loss after one epoch: train for `epochs` of them.": "one epoch",
        "The last, smaller batch was left out; it counts as a step like the others.": "drop",
        "The gradients of earlier batches were never cleared.": "no zero_grad",
        "That is the loss of the last batch before its step; measure all N samples after training.": "last loss",
        "That is the mean loss on the way; measure all N samples once, after training.": "on the way",
        "That is a mean over batches; the last one is smaller, so measure all samples in one go.": "batch mean",
        "The loss of a batch is its mean, not its sum: otherwise the batch size scales the rate.": "sum",
    }
    for n, sizes, epochs, rate in ((8, [4], 1, 0.5), (10, [10, 4], 2, 0.5), (11, [1, 3, 8], 3, 0.1)):
        x, y = t.randn(n, 3), t.randint(0, 3, (n,))
        got = t.call(answer, lambda: copy.deepcopy(start), x, y, sizes, epochs, rate)
        t.require(
            isinstance(got, dict),
            f"a dict from batch size to loss is expected, got {type(got).__name__}",
            "Begin with losses = {} and store losses[size] = ...",
        )
        t.require(
            list(got) == sizes or set(got) == set(sizes),
            f"the keys should be the sizes {sizes}, got {list(got)}",
        )
        values = [float(v.detach()) if isinstance(v, Tensor) and v.numel() == 1 else v for v in map(got.get, sizes)]
        t.expect(
            values,
            _sweep(start, x, y, sizes, epochs, rate),
            given=f"{n} samples, sizes {sizes}, {epochs} epochs",
            known={
                message: partial(_sweep, start, x, y, sizes, epochs, rate, bug)
                for message, bug in slips.items()
            },
            rtol=1e-3,
        )


def _plateau(losses: Sequence[float], rate: float, factor: float, patience: int, bug: str = "") -> list[float]:
    """The rate that each epoch used, or that of a known mistake."""
    rates, best, bad = [], math.inf, 0
    for epoch, loss in enumerate(losses):
        rates.append(rate)
        lowest = losses[epoch - 1] if bug == "previous" and epoch else best
        if loss < lowest or (bug == "ties" and loss == lowest):
            bad = bad if bug == "no reset" else 0
        else:
            bad += 1
        best = min(best, loss)
        if bad >= patience + (bug != "early"):
            rate *= factor
            bad = bad if bug == "no second reset" else 0
    if bug == "same epoch":
        return [*rates[1:], rate]
    return rates


@exercise(
    "day10.plateau_rates",
    title="A rate that goes down on a plateau",
    stars=3,
    hints=(
        "Three things to carry along: the rate, the lowest loss so far, the count of bad epochs.",
        "Note the rate of an epoch before you look at its loss: what the loss says is for the next one.",
        "if bad > patience: rate *= factor, and bad = 0 again.",
    ),
    learned=(
        "So does ReduceLROnPlateau with threshold=0. Its default asks each new best to be lower by a ten-thousandth "
        "of itself."
    ),
)
def plateau_rates(answer: Callable[..., Any], t: Trial) -> None:
    """Try runs that improve, stay flat, zigzag and come back."""
    cases: list[tuple[list[float], float, float, int]] = [
        ([3.0, 2.0, 1.0], 1.0, 0.1, 1),
        ([3.0, 2.0, 2.0, 2.0, 2.0, 1.0], 1.0, 0.1, 1),
        ([1.0, 2.0, 2.0], 1.0, 0.1, 0),
        ([3.0, 4.0, 2.0, 3.0, 2.5, 3.0, 1.0], 1.0, 0.5, 1),
        ([2.0, 3.0, 2.5, 2.4, 2.3, 2.2, 2.1, 2.05], 0.8, 0.5, 2),
        ([1.0] * 9, 1.0, 0.5, 2),
    ]
    cases += [(t.rand(14).tolist(), 0.3, 0.5, patience) for patience in (0, 1, 2, 3)]
    slips = {
        "That cuts one epoch too early: `patience` bad epochs are forgiven, the one after them is not.": "early",
        "After a cut the count goes back to 0; yours cuts again in the very next epoch.": "no second reset",
        "An epoch that brings a new lowest loss sets the count of bad ones back to 0.": "no reset",
        "A cut is for the *next* epoch: each entry is the rate that its epoch used.": "same epoch",
        "Compare with the lowest loss so far, not with that of the epoch before.": "previous",
        "Equal is not lower: a flat loss counts as bad.": "ties",
    }
    for losses, rate, factor, patience in cases:
        got = t.call(answer, list(losses), rate, factor, patience)
        shown = [round(loss, 2) for loss in losses]
        t.expect(
            got,
            _plateau(losses, rate, factor, patience),
            given=f"losses {shown}, rate {rate}, factor {factor}, patience {patience}",
            known={
                message: _plateau(losses, rate, factor, patience, bug) for message, bug in slips.items()
            },
            rtol=1e-4,
            atol=1e-9,
        )
