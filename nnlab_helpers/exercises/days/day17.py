"""Checks of day 17: an L1 step, decay for matrices alone, inverted dropout, a net to mend, stopping with patience."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _soft(a: Tensor, amount: float) -> Tensor:
    return a.sign() * (a.abs() - amount).clamp(min=0)


@exercise(
    "day17.l1_step",
    title="A step that can reach zero",
    stars=2,
    hints=(
        "Two moves, one after the other. The first is the plain gradient step, which knows nothing of the price.",
        "The second moves each weight towards zero by rate * strength, and stops at zero.",
        "a = w - rate * gradient; then a.sign() * (a.abs() - rate * strength).clamp(min=0).",
    ),
    learned="This is the step of ISTA (Daubechies and others, 2004); with momentum it becomes FISTA.",
)
def l1_step(answer: Callable[..., Any], t: Trial) -> None:
    """The example, a zero gradient, a weight that changes sides, random ones."""
    cases = [
        (torch.tensor([0.3, 0.05]), torch.tensor([0.0, 0.0]), 0.5, 0.2),
        (torch.tensor([1.0, 0.1, -0.5]), torch.tensor([0.0, 0.0, -2.0]), 0.1, 2.0),
        (torch.tensor([-0.02, 0.3]), torch.tensor([-3.0, 4.0]), 0.1, 0.5),
        (t.randn(3, 5), t.randn(3, 5), 0.3, 1.5),
    ]
    for w, gradient, rate, strength in cases:
        got = t.call(answer, w.clone(), gradient.clone(), rate, strength)
        moved, amount = w - rate * gradient, rate * strength
        known = {
            "That takes rate * strength off and does not stop: small weights come out beyond zero.": any_of(
                moved - amount * moved.sign(), moved - amount * w.sign()
            ),
            "The threshold is rate times strength, not the strength alone.": _soft(moved, strength),
            "First the gradient step, then the threshold: you took them in the other order.": _soft(w, amount)
            - rate * gradient,
            "That forgets the sign: a negative weight comes back positive.": (moved.abs() - amount).clamp(min=0),
            "Negative weights became zero: the threshold works on the size, and the sign comes back after it.": (
                moved - amount
            ).clamp(min=0),
            "Small weights became zero, but the large ones have to pay as well.": torch.where(
                moved.abs() > amount, moved, 0.0
            ),
            "A step goes against the gradient: w minus rate times gradient.": _soft(w + rate * gradient, amount),
            "That is the step of L2: it takes a share off, not an amount.": any_of(
                moved - amount * w, (1 - amount) * moved, moved / (1 + amount)
            ),
            "The gradient is missing: only the price was paid.": _soft(w, amount),
            "The price is missing: that is the plain gradient step.": moved,
        }
        t.expect(got, torch.where(moved.abs() > amount, _soft(moved, amount), 0.0), known=known, atol=1e-6)


def _small_net() -> nn.Sequential:
    net = nn.Sequential(
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.Flatten(),
        nn.Linear(12, 5),
        nn.LayerNorm(5),
        nn.Linear(5, 4, bias=False),
    )
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn_like(p) + 0.5)
    return net


@exercise(
    "day17.decay_matrices",
    title="Decay the matrices",
    stars=2,
    hints=(
        "Go through model.parameters(), and ask each one: how many dimensions, and does it require a gradient?",
        "Changing a parameter that requires a gradient needs `with torch.no_grad():`, and an operation in place.",
        "p.mul_(1 - rate * decay) where p.ndim > 1 and p.requires_grad; count += p.numel().",
    ),
    learned="Most large models are trained so: AdamW does the multiplication, a choice like yours says for whom.",
)
def decay_matrices(answer: Callable[..., Any], t: Trial) -> None:
    """A linear layer, a net with convolution and norms, one with a frozen layer, one shared layer."""
    frozen = _small_net()
    for p in frozen[3].parameters():
        p.requires_grad_(False)
    scalar = nn.Sequential(nn.Linear(3, 1))
    scalar.register_parameter("gain", nn.Parameter(torch.tensor(2.0)))
    cases = [
        ("nn.Linear(3, 2)", nn.Linear(3, 2), 0.1, 0.5),
        ("a net with a scalar parameter", scalar, 0.2, 0.4),
        ("a net with convolution, norms and linear layers", _small_net(), 0.01, 3.0),
        ("a net with a frozen linear layer", frozen, 0.1, 2.0),
    ]
    for name, model, rate, decay in cases:
        for p in model.parameters():
            p.grad = t.randn(*p.shape) if p.requires_grad and p.ndim else None
        before = copy.deepcopy(model)
        grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        mine = list(model.parameters())
        got = t.call(answer, model, rate, decay, may_change=True)
        after = list(model.parameters())
        same = len(mine) == len(after) and all(a is b for a, b in zip(mine, after, strict=True))
        t.require(same, f"for {name}: a parameter was replaced by another one", "Change its values in place.")
        for (label, old), new, grad in zip(before.named_parameters(), after, grads, strict=True):
            kept = (new.grad is None) if grad is None else (new.grad is not None and torch.equal(new.grad, grad))
            t.require(
                kept,
                f"for {name}: the gradient of `{label}` was changed",
                "That is the penalty of L2, which goes through the gradient. Decay shrinks the weight itself.",
            )
            if new.requires_grad != old.requires_grad:
                t.fail(f"for {name}: `requires_grad` of `{label}` was changed")
            _decayed_right(t, name, label, old.detach(), new.detach(), rate, decay, old.requires_grad)
        paying = [p for p in after if p.requires_grad and p.ndim > 1]
        total = sum(p.numel() for p in paying)
        t.expect(
            got,
            total,
            given=f"for {name}",
            what="the count",
            known={
                "Count numbers, not parameters: `p.numel()`.": len(paying),
                "Count only what was shrunk.": any_of(
                    sum(p.numel() for p in after), sum(p.numel() for p in after if p.requires_grad)
                ),
                "The weights are right, but the count of numbers is to be returned.": None,
            },
        )


def _decayed_right(
    t: Trial, name: str, label: str, old: Tensor, new: Tensor, rate: float, decay: float, trains: bool
) -> None:
    pays = trains and old.ndim > 1
    if pays:
        known: dict[str, Any] = {
            "Take off the share rate * decay; you left the rate out.": (1 - decay) * old,
            "Take off the share rate * decay, which leaves 1 minus that.": rate * decay * old,
            "Take a share off, not the same amount from each: that is L1.": old - rate * decay * old.sign(),
            "It was not shrunk: it has two or more dimensions and pays as well.": old,
            "That shrinks it twice.": (1 - rate * decay) ** 2 * old,
        }
    elif not trains:
        known = {"It is frozen: leave out what does not require a gradient.": (1 - rate * decay) * old}
    else:
        known = {"It has fewer than two dimensions, so it is a bias or a gain: leave it.": (1 - rate * decay) * old}
    t.expect(
        new, (1 - rate * decay) * old if pays else old, given=f"for {name}", what=f"`{label}`", known=known, atol=1e-6
    )


@exercise(
    "day17.inverted_dropout",
    title="Dropout from given lots",
    stars=1,
    hints=(
        "Two cases first: outside of training, and p = 1. What is left is one line.",
        "`lots >= p` is a mask of those that speak; times a number it counts as 0 or 1.",
        "x * (lots >= p) / (1 - p), and torch.zeros_like(x) for p = 1 in training.",
    ),
    learned="`nn.Dropout(1.0)` silences everything too; nobody trains like that, but a schedule may pass through it.",
)
def inverted_dropout(answer: Callable[..., Any], t: Trial) -> None:
    """The example, the edge where a lot equals p, evaluation, both ends of p, random ones."""
    cases = [
        (torch.tensor([2.0, 4.0]), torch.tensor([0.9, 0.1]), 0.5, True),
        (torch.tensor([2.0, 4.0, 6.0]), torch.tensor([0.9, 0.1, 0.5]), 0.5, True),
        (torch.tensor([2.0, 4.0, 6.0]), torch.tensor([0.9, 0.1, 0.5]), 0.5, False),
        (t.randn(3, 5), t.rand(3, 5), 0.2, True),
        (t.randn(4, 2), t.rand(4, 2), 0.75, True),
        (t.randn(4, 2), t.rand(4, 2), 0.75, False),
        (t.randn(4), t.rand(4), 0.0, True),
        (torch.tensor([1.0, -2.0]), torch.tensor([0.3, 0.99]), 1.0, True),
        (torch.tensor([1.0, -2.0]), torch.tensor([0.3, 0.99]), 1.0, False),
    ]
    for x, lots, p, training in cases:
        got = t.call(answer, x.clone(), lots.clone(), p, training)
        if p == 1 and training and isinstance(got, Tensor) and got.isnan().any():
            t.fail(
                "for p = 1 in training the result holds nan",
                "Zero divided by zero: with p = 1 nobody is left to be enlarged. Treat it as a case of its own.",
            )
        kept = lots >= p
        factor = 1 / (1 - p) if p < 1 else 0.0
        want = x * kept * factor if training else x
        if training:
            known: dict[str, Any] = {
                "The survivors are not enlarged: the mean would shrink to 1 - p of what it was.": x * kept,
                "A lot that equals p is not smaller than p: that number stays.": x * (lots > p) * factor,
                "That silences the others: a number is dropped where its lot is *smaller* than p.": any_of(
                    x * ~kept * factor, x * ~kept * (1 / p if p else 0.0)
                ),
                "The survivors are enlarged to 1 / (1 - p), not to 1 / p.": x * kept * (1 / p if p else 0.0),
                "That shrinks the survivors; they have to grow.": x * kept * (1 - p),
                "In training numbers are silenced; that returned x itself.": x,
            }
        else:
            known = {
                "Outside of training x comes back unchanged: the lots count for nothing.": any_of(
                    x * kept * factor, x * kept, x * (lots > p) * factor
                ),
                "Outside of training x comes back unchanged. Inverted dropout needs no correction there.": x * (1 - p),
                "Outside of training nothing is enlarged either.": x * factor,
            }
        t.expect(got, want, known=known, atol=1e-6)


def _no_lots(model: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    hidden = F.relu(F.linear(x, model.first.weight, model.first.bias))
    return hidden, F.linear(hidden, model.last.weight, model.last.bias)


@exercise(
    "day17.mended_net",
    title="The lots that never stop",
    stars=2,
    draws=True,
    hints=(
        "A module knows which mode it is in. Which attribute do model.train() and model.eval() change?",
        "In training the survivors have to make up for the silent ones: by which factor?",
        "if self.training: h = h * (torch.rand_like(h) >= self.p) / (1 - self.p)",
    ),
    learned="`F.dropout(h, p)` has the first bug built in: its `training` is True unless you pass `self.training`.",
)
def mended_net(answer: Any, t: Trial) -> None:
    """Evaluation mode exactly; in training the values, their mean, the share of silence, and new lots each time."""
    hidden, p = 400, 0.25
    with torch.no_grad():
        model = t.call(answer, 6, hidden, p)
        t.require(
            isinstance(model, nn.Module) and isinstance(getattr(model, "first", None), nn.Linear),
            "the network has no linear layer called `first` any more",
            "Keep the names of its layers: `first` and `last`.",
        )
        t.require(
            isinstance(getattr(model, "last", None), nn.Linear),
            "the network has no linear layer called `last` any more",
            "Keep the names of its layers: `first` and `last`.",
        )
        x = t.randn(7, 6)
        model.eval()
        first, second = t.call(model, x), t.call(model, x)
        quiet, want = _no_lots(model, x)
        t.require(
            isinstance(first, Tensor) and isinstance(second, Tensor) and torch.equal(first, second),
            "in evaluation mode the same rows get two different answers",
            "Lots are drawn there too. Ask for the mode: `self.training`.",
        )
        t.require(
            first.shape == (7, 10), f"for 7 rows the logits have shape {list(first.shape)}, not [7, 10]"
        )
        t.expect(
            first,
            want,
            given="in evaluation mode",
            known={
                "Outside of training nothing is enlarged or shrunk.": any_of(
                    *(F.linear(quiet * factor, model.last.weight, model.last.bias) for factor in (1 - p, 1 / (1 - p)))
                ),
            },
        )
        _training_mode(t, model, x, p)


def _training_mode(t: Trial, model: Any, x: Tensor, p: float) -> None:
    """The last layer hands its inputs on one by one, so that the lots can be read off."""
    hidden = model.first.out_features
    model.train()
    plain = _no_lots(model, x)[0]
    reader = nn.Linear(hidden, hidden)
    reader.weight.copy_(torch.eye(hidden))
    reader.bias.fill_(0.5)
    model.last = reader
    seen, again = t.call(model, x) - 0.5, t.call(model, x) - 0.5
    t.require(
        (seen > -1e-4).all(),
        "in training mode some outputs of the last layer are silenced",
        "The lots are for the hidden units: dropout stands after the ReLU.",
    )
    t.require(
        not torch.allclose(seen, plain, atol=1e-4),
        "in training mode no unit is silenced",
        "The lots are switched off for good: they belong to training.",
    )
    t.require(
        not torch.equal(seen > 1e-4, again > 1e-4),
        "in training mode two calls silence the same units",
        "Draw new lots in each call.",
    )
    speaks = plain > 1e-2
    ratio = (seen / plain)[speaks]
    spoke = ratio > 1e-2
    share = 1 - spoke.float().mean().item()
    if spoke.any():
        size = ratio[spoke].median().item()
        t.require(
            (ratio[spoke] - 1 / (1 - p)).abs().max() < 1e-2,
            f"in training mode, p = {p}: a unit that speaks says {size:.3f} times its value, not {1 / (1 - p):.3f}",
            "The survivors make up for the silent ones: the mean has to stay what it was."
            if abs(size - 1) < 1e-3
            else "The survivors are enlarged to 1 / (1 - p): the mean has to stay what it was.",
        )
    t.require(
        abs(share - p) < 0.06,
        f"in training mode, p = {p}: {100 * share:.0f} % of the units are silent",
        "`p` is the share that is silenced, not the share that speaks." if abs(share - 1 + p) < 0.06 else "",
    )
    t.require(
        ((seen < 1e-4) & speaks).any(dim=0).logical_and((seen > 1e-4).any(dim=0)).any(),
        "in training mode all rows of a batch lose the same units",
        "Each number has a lot of its own: `torch.rand_like(h)`.",
    )


def _stopped(
    values: Sequence[float], patience: int, min_delta: float, mode: str, *, inclusive: bool = False,
    keep_mark: bool = False, total: bool = False, extra: int = 0, move: bool = False,
) -> tuple[int, int]:  # fmt: skip
    """(epoch restored, last epoch trained); the options are misconceptions."""
    sign = 1.0 if mode == "max" else -1.0
    best = mark = 0
    waited = 0
    for epoch in range(1, len(values)):
        value = sign * values[epoch]
        if value > sign * values[best] or (inclusive and value == sign * values[best]):
            best = epoch
        enough = value > sign * values[mark] + min_delta or (inclusive and value >= sign * values[mark] + min_delta)
        if enough:
            mark, waited = epoch, waited if total else 0
        else:
            waited += 1
            if move and value > sign * values[mark]:
                mark = epoch
        if waited >= patience + extra:
            return (mark if keep_mark else best), epoch
    return (mark if keep_mark else best), len(values) - 1


@exercise(
    "day17.patient_stop",
    title="Which epoch comes back?",
    stars=3,
    hints=(
        "Keep two numbers apart: the best value so far, and the mark that the next value has to beat by min_delta.",
        "For mode 'max' turn the sign of all values, and look for the lowest from then on.",
        "if v < best: best, kept = v, epoch. Then: if v < mark - min_delta: mark, waited = v, 0, else: waited += 1; "
        "stop when waited == patience.",
    ),
    learned="`EarlyStopping` in nnlab_helpers.train does the same, and puts the kept weights back.",
)
def patient_stop(answer: Callable[..., Any], t: Trial) -> None:
    """Losses and accuracies, with and without a margin, runs that never stop, ties, slow improvement."""
    cases: list[tuple[list[float], int, float, str]] = [
        ([2.0, 1.0, 1.5, 1.25, 0.5], 2, 0.0, "min"),
        ([0.5, 0.75, 0.625, 0.5, 0.875], 2, 0.0, "max"),
        ([2.0, 1.0, 0.9375, 0.96875, 0.5], 2, 0.25, "min"),
        ([2.0, 1.5, 1.75, 1.25, 1.0], 3, 0.0, "min"),
        ([2.0, 1.0, 1.0, 1.0, 0.5], 3, 0.0, "min"),
        ([1.0, 0.875, 0.75, 0.625, 0.5, 0.375], 3, 0.1875, "min"),
        ([1.0, 0.75, 0.5, 0.5], 1, 0.25, "min"),
        ([0.25, 0.5, 0.4375, 0.75, 0.5, 0.625, 0.6875, 0.875], 3, 0.0, "max"),
        ([3.0], 1, 0.0, "min"),
        ([2.0, 1.0, 1.5], 3, 0.0, "min"),
        ([-3.0, -1.0, -2.0, -4.0], 2, 0.0, "max"),
    ]
    for mode in ("min", "max"):
        for patience in (2, 3):
            noise = (8 * t.randn(12)).round().tolist()
            trend = [(-1 if mode == "min" else 1) * 4.0 * epoch + n for epoch, n in enumerate(noise)]
            cases.append(([v / 16 for v in trend], patience, 0.25, mode))
    for values, patience, delta, mode in cases:
        got = t.call(answer, list(values), patience, delta, mode)
        want = _stopped(values, patience, delta, mode)
        other = "max" if mode == "min" else "min"
        known = {
            "The second is right, the first is not: what comes back is the plainly best epoch, min_delta or not.": (
                _stopped(values, patience, delta, mode, keep_mark=True)
            ),
            f'With mode "{mode}" the other direction is better.': _stopped(values, patience, delta, other),
            "min_delta was overlooked: too small an improvement does not set the count back.": _stopped(
                values, patience, 0.0, mode
            ),
            "The count goes back to 0 at each improvement: it is `patience` epochs in a row.": _stopped(
                values, patience, delta, mode, total=True
            ),
            "One epoch too late: the count reaches `patience`, it need not exceed it.": _stopped(
                values, patience, delta, mode, extra=1
            ),
            "An equal value is no improvement, nor is one that is better by exactly min_delta.": _stopped(
                values, patience, delta, mode, inclusive=True
            ),
            "The mark moves only when it was beaten by more than min_delta; else slow progress never counts.": _stopped(
                values, patience, delta, mode, move=True
            ),
            "Epochs are counted from 0.": (want[0] + 1, want[1] + 1),
            "The order is (restored, stopped).": (want[1], want[0]),
            "The best epoch after the end of training is not known: those values are never seen.": (
                (min if mode == "min" else max)(range(len(values)), key=values.__getitem__),
                want[1],
            ),
            "The weights of the last epoch are not the best ones.": (want[1], want[1]),
        }
        t.expect(got, want, known=known)
