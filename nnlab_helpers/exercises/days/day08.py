"""Checks of day 8: Huber's price, stable losses from logits, KL, soft targets, which loss for what."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import CodeType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _names(answer: Any) -> set[str]:
    """The names that a function uses, those of inner functions included."""
    code = getattr(answer, "__code__", None)
    if not isinstance(code, CodeType):
        return set()
    found, waiting = set(), [code]
    while waiting:
        code = waiting.pop()
        found |= set(code.co_names)
        waiting += [part for part in code.co_consts if isinstance(part, CodeType)]
    return found


def _refuse(answer: Any, t: Trial, *names: str) -> None:
    """Refuse an answer that calls one of the ready-made functions `names`."""
    for name in sorted(_names(answer) & set(names)):
        t.fail(f"`{name}` is ready-made: write the formula yourself.")


def _huber(e: Tensor, delta: float) -> tuple[Tensor, Tensor]:
    near = e.abs() <= delta
    return torch.where(near, e**2 / 2, delta * (e.abs() - delta / 2)), torch.where(near, e, delta * e.sign())


@exercise(
    "day08.huber",
    title="Cheap near, fair far",
    stars=2,
    hints=(
        "No kink: what is the slope of e squared over 2 at e = delta? The line goes on with just that slope.",
        "No jump: the line is delta * abs(e) minus a constant, and at abs(e) = delta it must give delta**2 / 2.",
        "torch.where(error.abs() <= delta, near, far), once for the price and once for the pull. clamp is shorter "
        "for the pull.",
    ),
    learned="The pull is the error, clipped: clipping a gradient (day 13) is changing to Huber's price far out.",
)
def huber(answer: Callable[..., Any], t: Trial) -> None:
    """Compare price and pull near, far, at the border, and for other deltas."""
    _refuse(answer, t, "huber_loss", "smooth_l1_loss", "HuberLoss", "SmoothL1Loss")
    cases = [
        (torch.tensor([0.5]), 1.0),
        (torch.tensor([3.0]), 1.0),
        (torch.tensor([-3.0]), 1.0),
        (torch.tensor([1.0, -1.0, 0.0]), 1.0),
        (torch.tensor([3.0, -0.25]), 2.0),
        (3 * t.randn(4, 3), 2.0),
        (3 * t.randn(5), 0.5),
    ]
    for e, delta in cases:
        got = t.call(answer, e, delta)
        t.require(
            isinstance(got, tuple | list) and len(got) == 2,
            f"a pair (price, pull) is asked for; got {type(got).__name__}",
        )
        price, pull = _huber(e, delta)
        given = f"error = {[round(x, 2) for x in e.flatten().tolist()]}, delta = {delta}"
        given = given if e.numel() < 4 else f"random errors, delta = {delta}"
        near = e.abs() <= delta
        t.expect(
            got[0],
            price,
            given=given,
            what="the price",
            known={
                "The two are in the wrong order: first the price, then the pull.": pull,
                "The price jumps at delta: a line of slope delta has to be lowered to meet the square there.": any_of(
                    torch.where(near, e**2 / 2, delta * e.abs()), torch.where(near, e**2 / 2, e.abs())
                ),
                "Far out the slope is wrong: at delta the square has the slope delta, not 1 (or 2).": any_of(
                    torch.where(near, e**2 / 2, e.abs() - delta / 2),
                    torch.where(near, e**2 / 2, e.abs() - delta + delta**2 / 2),
                    torch.where(near, e**2 / 2, e.abs() - 0.5),
                ),
                "There is no half in it: near zero the price is e squared *over 2*.": any_of(
                    2 * price, torch.where(near, e**2, delta * (2 * e.abs() - delta))
                ),
                "That is the square everywhere: beyond delta a straight line goes on.": e**2 / 2,
                "That is divided by delta, which is `F.smooth_l1_loss` and not Huber's price.": price / delta,
                "That is the mean; here each error gets its own price.": price.mean(),
            },
        )
        t.expect(
            got[1],
            pull,
            given=given,
            what="the pull",
            known={
                "The pull has no sign: an error below zero pulls the other way.": pull.abs(),
                "That is the pull of the square: it must stop growing at delta.": e,
                "Far out the pull is delta (with the error's sign), not 1.": torch.where(near, e, e.sign()),
                "That is the pull of e squared, not of e squared over 2.": any_of(
                    2 * pull, torch.where(near, 2 * e, delta * e.sign())
                ),
                "The pull is the price's derivative with respect to the *error*; the sign is turned round.": -pull,
                "Far out the price still rises, so its derivative is not zero.": torch.where(near, e, 0.0),
            },
        )


def _bce(z: Tensor, y: Tensor) -> Tensor:
    return (F.softplus(z) - y * z).mean()


@exercise(
    "day08.binary_cross_entropy",
    title="Binary cross-entropy from logits",
    stars=2,
    hints=(
        "Simplify on paper: with p = sigmoid(z) the price of a yes is log(1 + exp(-z)), that of a no log(1 + exp(z)).",
        "Both are softplus: F.softplus(z) is log(1 + exp(z)) without overflow, and -log(sigmoid(z)) is F.softplus(-z).",
        "The two prices differ by z alone, so price = softplus(z) - targets * z. Then the mean.",
    ),
    learned="By hand: max(z, 0) - z y + log(1 + exp(-|z|)). Take care at z = 0, where max and |.| have a kink each.",
)
def binary_cross_entropy(answer: Callable[..., Any], t: Trial) -> None:
    """Compare values and gradients with PyTorch's, on hard, soft and enormous cases."""
    _refuse(
        answer, t, "binary_cross_entropy_with_logits", "binary_cross_entropy", "BCEWithLogitsLoss", "BCELoss",
        "multilabel_soft_margin_loss", "soft_margin_loss",
    )  # fmt: skip
    cases = [
        (torch.tensor([0.0]), torch.tensor([1.0])),
        (torch.tensor([2.0]), torch.tensor([1.0])),
        (torch.tensor([2.0]), torch.tensor([0.0])),
        (torch.tensor([2.0]), torch.tensor([0.3])),
        (2 * t.randn(5), t.randint(0, 2, (5,)).float()),
        (2 * t.randn(4, 3), t.rand(4, 3)),
        (torch.tensor([20.0]), torch.tensor([0.0])),
        (torch.tensor([1000.0, -1000.0]), torch.tensor([1.0, 0.0])),
        (torch.tensor([1000.0]), torch.tensor([0.0])),
        (torch.tensor([-1000.0]), torch.tensor([1.0])),
        (torch.tensor([50.0, -30.0, 1.0]), torch.tensor([0.25, 0.9, 0.0])),
    ]
    for z, y in cases:
        got = t.call(answer, z, y)
        want = _bce(z, y)
        given = f"logits {z.tolist()} and targets {[round(v, 2) for v in y.tolist()]}" if z.numel() < 4 else None
        given = given or f"random logits {list(z.shape)} and targets between 0 and 1"
        if isinstance(got, Tensor) and got.numel() == 1 and not torch.isfinite(got):
            t.fail(
                f"for {given} the result is {got.item()}, expected {want.item():.4g}",
                "A probability was rounded to 0 or 1, or an exponential overflowed. Take the logarithm on paper first.",
            )
        p = z.sigmoid()
        capped = [-(y * (p + eps).log() + (1 - y) * (1 - p + eps).log()) for eps in (1e-6, 1e-7, 1e-8, 1e-9, 1e-12)]
        capped += [
            -(y * q.log() + (1 - y) * (1 - q).log()) for eps in (1e-6, 1e-7) for q in (p.clamp(eps, 1 - eps),)
        ]
        capped += [-(y * p.log().clamp(min=-100) + (1 - y) * (1 - p).log().clamp(min=-100))]
        rounded = F.binary_cross_entropy_with_logits(z, (y > 0.5).float())
        t.expect(
            got,
            want,
            given=given,
            known={
                "That is the sum over all entries; the mean is asked for.": want * z.numel(),
                "Only the yes half is there: a target of 0 has its price too, -log(1 - p).": any_of(
                    (y * F.softplus(-z)).mean(), F.softplus(-z).mean()
                ),
                "The two halves are exchanged: log p belongs to the target, log(1 - p) to 1 - target.": (
                    F.softplus(z) - (1 - y) * z
                ).mean(),
                "The sign is turned round: surprise is minus the log of a probability.": -want,
                "The price is capped: a tiny number inside the logarithm (or a clamp) also takes away the gradient. "
                "Use a formula that needs no p.": any_of(*(price.mean() for price in capped if price.isfinite().all())),
                "The targets are taken for yes or no; a target of 0.3 lies in between.": rounded,
                "The sigmoid was applied twice.": _bce(p, y),
                "That is one price per entry; their mean is asked for.": F.softplus(z) - y * z,
                "That is a logarithm to base 2: use the natural one.": want / math.log(2),
                "That is the mean over rows of the sum over columns; divide by all entries.": lambda z=z, want=want: (
                    want * z.shape[-1]
                ),
                "That is a softmax over the entries: each entry is a question of its own.": lambda z=z, y=y: (
                    F.cross_entropy(z, y) if z.ndim > 1 else None
                ),
            },
        )
        _gradient(answer, z, y, given, t)


def _gradient(answer: Callable[..., Any], z: Tensor, y: Tensor, given: str, t: Trial) -> None:
    if bool((z == 0).any()):  # a formula with max(z, 0) or |z| has a kink there, and that is no mistake in the price
        return
    leaf = z.clone().requires_grad_()
    loss = t.call(answer, leaf, y)
    t.require(
        isinstance(loss, Tensor) and loss.requires_grad,
        "autograd cannot go through it: no .item(), float(), detach() or NumPy on the way.",
    )
    (gradient,) = torch.autograd.grad(loss, leaf, allow_unused=True)
    want = (z.sigmoid() - y) / z.numel()
    gradient = torch.zeros_like(z) if gradient is None else gradient
    t.expect(gradient, want, given=given, what="the gradient")


@exercise(
    "day08.kl_divergence",
    title="KL divergence, with zeros",
    stars=2,
    hints=(
        "Multiply p by log(p / q), add up each row. Where p is 0, log(0) appears, and 0 times -inf is NaN.",
        "Choose by entry: torch.where(p > 0, p * (p / q).log(), 0.0). Unlike multiplying by a mask, it drops the NaN.",
        "torch.xlogy(p, r) is p * log(r), and 0 where p is 0 (unless r is NaN, as 0 / 0 is).",
    ),
    learned="An infinite KL is why models that are trained by it must never say exactly 0: a softmax cannot.",
)
def kl_divergence(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with a careful KL, with zeros in p, in q and in both, and on oblong batches."""
    _refuse(answer, t, "kl_div", "KLDivLoss", "kl")
    one, half = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.5, 0.5]])
    some = t.randn(4, 3).softmax(1)
    holes = t.rand(3, 5) * (t.rand(3, 5) > 0.4)
    holes[:, 0] += 0.1
    cases = [
        (torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])),
        (some, t.randn(4, 3).softmax(1)),
        (some, some.clone()),
        (one, half),
        (one, one.clone()),
        (half, one),
        (torch.cat([one, half, half]), torch.cat([half, one, half])),
        (holes / holes.sum(1, keepdim=True), t.randn(3, 5).softmax(1)),
    ]
    for p, q in cases:
        got = t.call(answer, p, q)
        terms = torch.where(p > 0, p * (p / q).log(), 0.0)
        want = terms.sum(1)
        given = f"p = {_rounded(p)} and q = {_rounded(q)}" if len(p) < 4 and p.shape[1] < 3 else "random rows"
        if isinstance(got, Tensor) and got.shape == want.shape and bool(got.isnan().any()):
            t.fail(
                f"for {given} the result has a NaN, expected {_rounded(want)}",
                "0 times infinity, or 0 / 0: an entry with p = 0 costs nothing, whatever q is.",
            )
        cross = -torch.where(p > 0, p * q.log(), 0.0).sum(1)
        t.expect(
            got,
            want,
            given=given,
            known={
                "That is KL(q || p): the weights in front of the logarithm are those of what really happens, p.": (
                    torch.where(q > 0, q * (q / p).log(), 0.0).sum(1)
                ),
                "That is the cross-entropy: the entropy of p is still in it.": cross,
                "The sign is turned round: log(p / q), not log(q / p).": -want,
                "That is one number for the batch; a number for each row is asked for.": any_of(
                    want.mean(), want.sum(), want.sum() / p.numel()
                ),
                "That is one number for each column; add up over the classes, dim=1.": terms.sum(0),
                "That is the mean over the classes; add them up.": terms.mean(1),
                "That is each entry's share; add them up for each row.": terms,
                "What was called impossible happened: that costs infinitely much. A small number added to q "
                "(or nan_to_num) hides it.": any_of(
                    *(
                        torch.where(p > 0, p * ((p + a) / (q + b)).log(), 0.0).sum(1)
                        for b in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
                        for a in (0.0, b)
                    ),
                    *(torch.where(p > 0, p * (p / q.clamp(min=e)).log(), 0.0).sum(1) for e in (1e-6, 1e-8, 1e-12)),
                    torch.nan_to_num(terms, posinf=0.0).sum(1),
                    torch.nan_to_num(terms).sum(1),
                ),
                "That is a logarithm to base 2: nats are asked for.": want / math.log(2),
                "That is the logarithm without its weight p.": torch.where(p > 0, (p / q).log(), 0.0).sum(1),
            },
        )


def _rounded(values: Tensor) -> list[Any]:
    return (values.double() * 1000).round().div(1000).tolist()


CHOICES = {
    "the length of a fish, errors bell-shaped and equally large": "mse",
    "the price of a house, a few entries mistyped": "huber",
    "which of 26 letters was written": "ce",
    "which of 20 symptoms a patient has": "bce",
    "spam or not, from one logit": "bce",
    "a small network imitates a large one's probabilities": "kl",
}
WHY_NOT = {
    ("the length of a fish, errors bell-shaped and equally large", "huber"): (
        "Huber's price would do little harm, but no entry is far off here: what is the surprise of a bell curve?"
    ),
    ("the price of a house, a few entries mistyped", "mse"): (
        "One mistyped price would move everything, as the table of 20 metres did."
    ),
    ("which of 26 letters was written", "bce"): (
        "Exactly one letter was written. Sigmoids would have to learn that; which output has it built in?"
    ),
    ("which of 20 symptoms a patient has", "ce"): (
        "A patient may have three symptoms, or none; a softmax shares out a single 1."
    ),
    ("spam or not, from one logit", "ce"): (
        "A softmax over a single logit is always 1. (With two logits cross-entropy would do.)"
    ),
    ("a small network imitates a large one's probabilities", "ce"): (
        "Its gradient would be the same. But which of the two is zero when the imitation is perfect?"
    ),
}


@exercise(
    "day08.choose_loss",
    title="Which price for which task?",
    stars=1,
    hints=(
        "First ask what is to be said: a number, one of C, several yes or no, or a whole distribution?",
        "For numbers: may a few be far off? For classes: can several be true, or none, or is there only one logit?",
    ),
    learned="The loss states what you believe about the world: its noise, and what excludes what.",
)
def choose_loss(answer: Any, t: Trial) -> None:
    """Go through the tasks one by one."""
    t.require(isinstance(answer, dict), f"a dictionary is asked for, got {type(answer).__name__}")
    missing = [task for task in CHOICES if task not in answer]
    t.require(not missing, f"a task is missing: {missing[0] if missing else ''}", "Leave the given keys as they are.")
    words = sorted(set(CHOICES.values()))
    for task, want in CHOICES.items():
        got = answer[task]
        if got is ...:
            t.fail(f'"{task}" still waits for its word')
        word = got.strip().lower() if isinstance(got, str) else got
        t.require(word in words, f'"{task}": {got!r} is none of {", ".join(words)}')
        if word != want:
            t.fail(f'"{task}": not "{word}"', WHY_NOT.get((task, word), _mismatch(word, want)))


def _mismatch(got: str, want: str) -> str:
    kinds = {"mse": "a number", "huber": "a number", "bce": "yes or no", "ce": "one of C", "kl": "a distribution"}
    return f"That price is for predicting {kinds[got]}. What is to be predicted here?"


@exercise(
    "day08.smooth_labels",
    title="Smooth the labels",
    stars=1,
    hints=(
        "F.one_hot(labels, num_classes) gives whole numbers; the formula is arithmetic on it.",
        "(1 - epsilon) * one_hot + epsilon / num_classes",
    ),
    learned="F.cross_entropy(logits, labels, label_smoothing=epsilon) does this inside.",
)
def smooth_labels(answer: Callable[..., Any], t: Trial) -> None:
    """Compare on several sizes and shares, none among them."""
    cases = [
        (torch.tensor([0]), 4, 0.2),
        (torch.tensor([2, 0]), 3, 0.3),
        (torch.tensor([1, 3]), 5, 0.0),
        (t.randint(0, 7, (4,)), 7, 0.1),
        (t.randint(0, 10, (6,)), 12, 0.5),
    ]
    for labels, classes, epsilon in cases:
        one_hot = F.one_hot(labels, classes).float()
        want = (1 - epsilon) * one_hot + epsilon / classes
        others = 1 - one_hot
        t.expect(
            t.call(answer, labels, classes, epsilon),
            want,
            given=f"labels {labels.tolist()}, {classes} classes, epsilon = {epsilon}",
            known={
                "There epsilon goes to the *other* classes alone; here all C share it, the true one too.": (
                    (1 - epsilon) * one_hot + others * epsilon / (classes - 1)
                ),
                "The rows add up to less than 1: the true class gets its share of epsilon too.": (
                    (1 - epsilon) * one_hot + others * epsilon / classes
                ),
                "The rows add up to more than 1: first take epsilon away from the true class.": (
                    one_hot + epsilon / classes
                ),
                "Epsilon was added whole to every class; the C classes share it.": any_of(
                    (1 - epsilon) * one_hot + epsilon, one_hot + epsilon
                ),
                "The others get nothing: epsilon is given to all classes.": (
                    (1 - epsilon + epsilon / classes) * one_hot
                ),
                "The true class has lost epsilon and nobody got it.": (1 - epsilon) * one_hot,
                "Epsilon and 1 - epsilon have changed places.": epsilon * one_hot + (1 - epsilon) / classes,
                "That is one-hot: nothing was smoothed.": any_of(one_hot, one_hot.long()),
            },
        )


@exercise(
    "day08.soft_loss_grad",
    title="Soft targets, softened logits",
    stars=3,
    hints=(
        "Let u = z / T. With respect to u you know the gradient from the KL section: softmax(u) - t.",
        "Then the chain rule: how much does u change when z does? And the mean: each row counts for one B-th.",
        "((logits / temperature).softmax(dim=1) - targets) / (len(logits) * temperature)",
    ),
    learned="At high T the gradient shrinks with 1 / T squared, so distillation multiplies its loss by T squared.",
)
def soft_loss_grad(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with autograd at several temperatures, never on a square batch."""
    _refuse(answer, t, "backward", "autograd", "grad", "requires_grad_", "jacobian")
    cases = [
        (torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]), 1.0),
        (torch.tensor([[0.0, 0.0]]), torch.tensor([[1.0, 0.0]]), 2.0),
        (torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([[0.2, 0.5, 0.3]]), 1.0),
        (2 * t.randn(5, 3), t.randn(5, 3).softmax(1), 3.0),
        (2 * t.randn(2, 7), t.randn(2, 7).softmax(1), 0.5),
    ]
    for z, targets, temperature in cases:
        q = (z / temperature).softmax(1)
        batch = len(z)
        want = (q - targets) / (batch * temperature)
        given = f"logits {z.tolist()}, targets {_rounded(targets)}, T = {temperature:g}"
        given = given if batch == 1 else f"random logits {list(z.shape)}, T = {temperature:g}"
        hard = F.one_hot(targets.argmax(1), z.shape[1]).float()
        t.expect(
            t.call(answer, z, targets, temperature),
            want,
            given=given,
            known={
                "That is the gradient with respect to z / T. By the chain rule z itself gets another 1 / T.": (
                    want * temperature
                ),
                "That is the gradient of the sum over the batch; the mean divides by B.": any_of(
                    want * batch, want * batch * temperature
                ),
                "The softmax is that of z, not of z / T.": any_of(
                    (z.softmax(1) - targets) / (batch * temperature), (z.softmax(1) - targets) / batch
                ),
                "It is T times too large twice over: the chain rule divides by T, it does not multiply.": (
                    want * temperature**2
                ),
                "That is divided by all B times C entries; the loss is a mean over the B rows.": want / z.shape[1],
                "The sign is turned round: what it said minus what it should have said.": -want,
                "The softmax runs down the batch; the classes of a row are in dim=1.": (
                    (z / temperature).softmax(0) - targets
                )
                / (batch * temperature),
                "The targets were made one-hot; soft ones stay as they are.": (q - hard) / (batch * temperature),
                "The softmax is that of z times T.": ((z * temperature).softmax(1) - targets) / (batch * temperature),
                "The targets were softened as well; T belongs to the logits alone.": (
                    q - (targets / temperature).softmax(1)
                )
                / (batch * temperature),
                "That is log softmax minus the target; the gradient has the softmax itself.": (q.log() - targets)
                / (batch * temperature),
            },
        )


def _buggy(logits: Tensor, labels: Tensor, dim: int, over: str) -> Tensor:
    picked = F.one_hot(labels, logits.shape[1]) * logits.log_softmax(dim)
    return -(picked.mean() if over == "entries" else picked.sum() / len(labels))


@exercise(
    "day08.mended_loss",
    title="Find the bugs in this loss",
    stars=2,
    hints=(
        "Along which axis of `probabilities` should the numbers add up to 1? Over how many numbers does .mean() go?",
        "The third: let one logit be 1,000. What does softmax make of the others, and the logarithm of that?",
        "log_softmax(dim=1) in place of softmax and log; then sum(dim=1).mean().",
    ),
    learned="A mean over B times C entries is a learning rate C times too small, and no curve looks wrong.",
)
def mended_loss(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with PyTorch's; name the bugs that are left."""
    _refuse(answer, t, "cross_entropy", "nll_loss", "CrossEntropyLoss", "NLLLoss")
    cases = [
        (torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.0, 0.0]]), torch.tensor([0, 2])),
        (2 * t.randn(5, 4), t.randint(0, 4, (5,))),
        (2 * t.randn(3, 10), t.randint(0, 10, (3,))),
        (torch.tensor([[1000.0, 0.0, 0.0], [0.0, -1000.0, 3.0]]), torch.tensor([0, 1])),
        (torch.tensor([[1000.0, 0.0, -1000.0]]), torch.tensor([1])),
    ]
    for logits, labels in cases:
        got = t.call(answer, logits, labels)
        want = F.cross_entropy(logits, labels)
        given = f"logits {_rounded(logits)} and labels {labels.tolist()}" if len(labels) < 3 else "random logits"
        if isinstance(got, Tensor) and got.numel() == 1 and not torch.isfinite(got):
            t.fail(
                f"for {given} the result is {got.item()}, expected {want.item():.4g}",
                "A bug is left: a probability rounds to 0, its logarithm is infinite (and 0 times that is NaN).",
            )
        if (logits.abs() > 100).any():
            p = logits.softmax(1)
            capped = [
                -(q.log()[torch.arange(len(labels)), labels]).mean()
                for e in (1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-12)
                for q in (p + e, p.clamp(min=e))
            ]
        else:
            capped = []
        t.expect(
            got,
            want,
            given=given,
            known={
                "At least two bugs are left: softmax runs down the batch, and the mean is over all B x C entries.": (
                    _buggy(logits, labels, 0, "entries")
                ),
                "A bug is left: softmax runs down the batch, so columns add up to 1 and not rows.": any_of(
                    _buggy(logits, labels, 0, "rows")
                ),
                "A bug is left: .mean() divides by all B times C entries, most of which are zero.": (
                    _buggy(logits, labels, 1, "entries")
                ),
                "A small number inside the logarithm caps the price, and with it the gradient.": any_of(*capped),
                "That is the sum over the batch; the mean over its rows is asked for.": want * len(labels),
                "Now softmax is applied twice.": F.cross_entropy(logits.softmax(1), labels),
                "The sign is turned round: surprise is minus the log of a probability.": -want,
                "That is one price per row; their mean is asked for.": F.cross_entropy(
                    logits, labels, reduction="none"
                ),
            },
        )
