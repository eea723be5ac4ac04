"""Checks of day 9: momentum's reach, Nesterov's look-ahead, two bugs in Adam, Adam against RMSprop, Lion."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.engine import Trial, any_of, exercise


@exercise(
    "day09.effective_rate",
    title="How far does momentum carry?",
    stars=1,
    hints=(
        "Follow the velocity by hand: after one step it is 1, after two 0.9 + 1, after three 0.9 * 1.9 + 1.",
        "A loop does it: m = 0, then `step` times m = beta * m + 1; the step is rate * m.",
        "The sum 1 + beta + beta**2 + ... of `step` terms is (1 - beta**step) / (1 - beta).",
    ),
    learned="In the long run it is rate / (1 - beta), ten rates at 0.9: that is why momentum wants a lower rate.",
)
def effective_rate(answer: Callable[..., Any], t: Trial) -> None:
    """Compare the length of early and late steps with a geometric sum."""
    random = [(float(t.rand(low=0.01, high=2)), float(t.rand(low=0.3, high=0.95)), int(t.randint(2, 30, ())))
              for _ in range(5)]  # fmt: skip
    cases = [(0.1, 0.9, 1), (0.1, 0.9, 2), (0.1, 0.9, 3), (0.5, 0.0, 4), (0.02, 0.99, 500), *random]
    for rate, beta, step in cases:
        powers = [beta**k for k in range(step + 1)]
        walked = [rate * sum(powers[:k]) for k in range(1, step + 1)]  # the length of every step
        got = t.call(answer, rate, beta, step)
        t.expect(
            got,
            walked[-1],
            given=f"rate {rate:.3g}, beta {beta:.3g}, step {step}",
            known={
                "That is the plain rate, as without momentum: what has the velocity gathered by then?": rate,
                "That is the step in the long run; an early one is shorter, because the velocity starts at 0.": rate
                / (1 - beta),
                "That is how far all steps together have come; the length of step number `step` is asked for.": sum(
                    walked
                ),
                "That is the step after: steps are counted from 1, and the first is one rate long.": rate * sum(powers),
                "That is the step before: steps are counted from 1, and the first is one rate long.": rate
                * sum(powers[: step - 1]),
                "There the velocity is an average, the gradient times 1 - beta; here the full gradient is added.": rate
                * (1 - beta**step),
                "That is what is left of the *first* gradient alone; all those since then are added to it.": rate
                * beta ** (step - 1),
                "Turned round: it moves the weight *down*, but how *far* it moves is asked for.": -walked[-1],
            },
            rtol=1e-4,
            atol=1e-7,
        )


@exercise(
    "day09.nesterov_step",
    title="Nesterov as he wrote it",
    stars=2,
    hints=(
        "Three lines: the point, the new velocity with the gradient at that point, the new weight from the old one.",
        "ahead = w - rate * beta * m: where the old velocity alone would carry the weight.",
        "m = beta * m + gradient_at(ahead); then w - rate * m.",
    ),
    learned="PyTorch's form is the same walk, written down at the look-ahead points instead of the weights.",
)
def nesterov_step(answer: Callable[..., Any], t: Trial) -> None:
    """Hold single steps on bowls of several shapes against the equations."""
    one = torch.tensor([1.0])
    cases: list[tuple[Tensor, Tensor, Tensor, float, float]] = [
        (one, 2 * one, one, 0.1, 0.9),
        (t.randn(3), t.randn(3), 0.5 + t.rand(3), 0.2, 0.8),
        (t.randn(2, 3), t.randn(2, 3), 0.5 + t.rand(2, 3), 0.3, 0.5),
        (t.randn(2, 3), torch.zeros(2, 3), 0.5 + t.rand(2, 3), 0.7, 0.9),
    ]
    for w, m, curvature, rate, beta in cases:
        asked: list[Tensor] = []

        def gradient_at(point: Tensor, curvature: Tensor = curvature, asked: list[Tensor] = asked) -> Tensor:
            asked.append(torch.as_tensor(point).detach().clone())
            return curvature * point

        got = t.call(answer, w, m, gradient_at, rate, beta)
        given = "w = 1, m = 2, gradient_at(p) = p, rate 0.1, beta 0.9" if w.numel() == 1 else "random tensors"
        t.require(
            isinstance(got, tuple | list) and len(got) == 2,
            f"two things are to be returned, (w, m); got {type(got).__name__}",
        )
        t.require(asked, "`gradient_at` was never called: the gradient is to be measured at the look-ahead point.")
        ahead = w - rate * beta * m
        new_m = beta * m + curvature * ahead
        points = {
            "The gradient was measured at w itself: that is plain momentum. Look ahead first.": w,
            "That looks behind: the velocity moves the weight *down*, so subtract it.": w + rate * beta * m,
            "The look-ahead point lies rate * beta * m away: the rate is missing.": w - beta * m,
            "The look-ahead point lies rate * beta * m away: beta is missing.": w - rate * m,
            "The look-ahead includes the gradient at w; it is where the old velocity *alone* leads.": w
            - rate * (beta * m + curvature * w),
        }
        t.expect(
            got[1],
            new_m,
            given=f"{given}, the new m",
            known={
                **{message: beta * m + curvature * point for message, point in points.items()},
                "m is the velocity from before: return the new one.": m,
                "That is the new w: return (w, m) in this order.": w - rate * new_m,
                "Here the full gradient is added to the velocity, not 1 - beta of it.": beta * m
                + (1 - beta) * curvature * ahead,
                "The old velocity has to fade: multiply it by beta.": m + curvature * ahead,
            },
        )
        t.expect(
            got[0],
            w - rate * new_m,
            given=f"{given}, the new w",
            known={
                "The step starts from the *old* w: the look-ahead point is only for measuring.": ahead - rate * new_m,
                "Downhill is against the velocity: the sign is turned round.": w + rate * new_m,
                "That moves by the gradient alone: the step is rate times the new velocity.": w
                - rate * curvature * ahead,
                "That is the look-ahead point: measure there, then step from w with the new velocity.": ahead,
                "That is PyTorch's last line; with the gradient measured ahead, it looks ahead twice.": w
                - rate * (curvature * ahead + beta * new_m),
                "The weight moved by the velocity from before: use the new one.": w - rate * m,
            },
        )


def _adam_walk(
    starts: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]], rate: float, mistake: str = ""
) -> list[list[Tensor]]:
    """The weights after every step of Adam, or of one with a known mistake."""
    weights = [w.clone() for w in starts]
    m, v = [torch.zeros_like(w) for w in starts], [torch.zeros_like(w) for w in starts]
    if mistake == "one state for all":
        m, v = [torch.zeros(())] * len(starts), [torch.zeros(())] * len(starts)
    count, after = 0, []
    for step, each in enumerate(gradients, start=1):
        for i, g in enumerate(each):
            count += 1
            now = {"counts parameters": count, "starts late": step + 1, "stays at one": 1}.get(mistake, step)
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.999 * v[i] + 0.001 * g**2
            m_hat, v_hat = m[i] / (1 - 0.9**now), v[i] / (1 - 0.999**now)
            if mistake == "no memory":
                m[i], v[i] = torch.zeros_like(g), torch.zeros_like(g)
            if mistake == "no correction":
                m_hat, v_hat = m[i], v[i]
            weights[i] = weights[i] - rate * m_hat / (v_hat.sqrt() + 1e-8)
        after.append([w.clone() for w in weights])
    return after


@exercise(
    "day09.mended_adam",
    title="Find the bugs in this optimizer",
    stars=3,
    hints=(
        "The loud one: how can a square root become NaN? Print self.v[0] after a step. Are m and v two lists?",
        "The silent one: how large is self.t after one call of step(), if there are three parameters?",
        "self.m and self.v each need a list of their own, and self.t += 1 stands once, above the loop.",
    ),
    learned="`a = b = [...]` makes one list with two names. PyTorch keeps a separate t for every parameter.",
)
def mended_adam(answer: Callable[..., Any], t: Trial) -> None:
    """Run a few steps on tensors of several shapes, and hold every weight against the equations."""
    shapes: list[list[tuple[int, ...]]] = [[(1,)], [(1,), (1,)], [(3, 2), (2,), (2, 4)]]
    for parameters_of, rate in zip(shapes, (0.1, 0.1, 0.03), strict=True):
        starts = [t.randn(shape) for shape in parameters_of]
        gradients = [[t.randn(shape) - 0.3 for shape in parameters_of] for _ in range(4)]
        gradients[0][0] = -gradients[0][0].abs()  # a shared m and v show at once
        if len(parameters_of) > 2:
            gradients = [[*each[:-1], 1e-8 * each[-1]] for each in gradients]  # here epsilon shows
        mistakes = {
            "t counts parameters, not steps: it must grow by one for each call of step().": "counts parameters",
            "In the first step t must be 1: there it is 2.": "starts late",
            "t never grows beyond 1, so the averages are corrected too much.": "stays at one",
            "The averages are not corrected: divide them by 1 - beta**t.": "no correction",
            "m and v are forgotten between steps.": "no memory",
        }
        wrong = {text: _adam_walk(starts, gradients, rate, mistake) for text, mistake in mistakes.items()}
        right = _adam_walk(starts, gradients, rate)
        parameters = [w.clone().requires_grad_() for w in starts]
        optimizer = t.call(answer, parameters, rate, may_change=True)
        t.require(hasattr(optimizer, "step"), "calling the class must give an object with a method `step`.")
        many = f"{len(starts)} parameters" if len(starts) > 1 else "one parameter"
        for step, each in enumerate(gradients):
            for p, g in zip(parameters, each, strict=True):
                p.grad = g.clone()
            t.call(optimizer.step)
            for i, p in enumerate(parameters):
                now = p.detach()
                if torch.isnan(now).any():
                    t.fail(
                        f"with {many}, the weights are NaN after step {step + 1}",
                        "A root of something negative, or 0 / 0. Is v a list of its own, and t 1 in the first step?",
                    )
                t.require(p.grad is not None and torch.equal(p.grad, each[i]), "step() changes the gradients.")
                t.expect(
                    now,
                    right[step][i],
                    given=f"{many}, step {step + 1}, parameter number {i}",
                    known={
                        "This parameter was not moved: step() must change it in place.": starts[i],
                        "Downhill is against the gradient: the sign is turned round.": 2 * starts[i] - right[step][i],
                        **{text: walk[step][i] for text, walk in wrong.items()},
                    },
                    rtol=1e-4,
                )


def _losses(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, steps: int, bug: str = ""
) -> list[float]:
    """The losses before each step, or those of a known mistake."""
    losses = []
    for _ in range(steps):
        if bug != "no zero_grad":
            optimizer.zero_grad()
        scores = model(x)
        loss = F.cross_entropy(scores.softmax(1) if bug == "softmax" else scores, y)
        loss.backward()
        optimizer.step()
        losses.append(F.cross_entropy(model(x), y).item() if bug == "after" else loss.item())
    return losses


def _both(model: nn.Module, x: Tensor, y: Tensor, rate: float, steps: int, bug: str = "") -> dict[str, list[float]]:
    found = {}
    shared = copy.deepcopy(model)
    for name, kind in (("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)):
        twin = shared if bug == "shared" else copy.deepcopy(model)
        found[name] = _losses(twin, kind(twin.parameters(), lr=rate), x, y, steps, bug)
    return found


@exercise(
    "day09.adam_or_rmsprop",
    title="Adam against RMSprop on one model",
    stars=2,
    hints=(
        "Each optimizer needs a network of its own that starts as `model` does: copy.deepcopy(model).",
        "The optimizer must hold the parameters of the *copy*: torch.optim.Adam(twin.parameters(), lr=rate).",
        "In the loop: zero_grad, loss = F.cross_entropy(twin(x), y), append loss.item(), backward, step.",
    ),
    learned="RMSprop's first step is ten rates long, Adam's one: at an equal rate they do not start equally fast.",
)
def adam_or_rmsprop(answer: Callable[..., Any], t: Trial) -> None:
    """Compare both curves with those of copies, and the model with what it was."""
    for (rows, features, classes), rate, steps in (((4, 2, 2), 0.01, 2), ((11, 3, 4), 0.05, 6)):
        x, y = t.randn(rows, features), t.randint(0, classes, (rows,))
        model = nn.Sequential(nn.Linear(features, 5), nn.Tanh(), nn.Linear(5, classes))
        with torch.no_grad():
            for p in model.parameters():
                p.copy_(t.randn(p.shape))
        before = copy.deepcopy(model)
        want = _both(before, x, y, rate, steps)
        got = t.call(answer, model, x, y, rate, steps, may_change=(model,))
        t.require(
            isinstance(got, dict),
            f"a dict is to be returned, {{'adam': ..., 'rmsprop': ...}}; got {type(got).__name__}",
        )
        t.require(set(got) == set(want), f"the dict has the keys 'adam' and 'rmsprop'; got {sorted(map(str, got))}")
        variants = {
            bug: _both(before, x, y, rate, steps, bug) for bug in ("shared", "no zero_grad", "softmax", "after")
        }
        untrained = [want["adam"][0]] * steps
        for name, other in (("adam", "rmsprop"), ("rmsprop", "adam")):
            t.expect(
                list(got[name]) if isinstance(got[name], tuple) else got[name],
                want[name],
                given=f"{rows} samples, {steps} steps",
                what=f"the losses of {name!r}",
                known={
                    f"That is the curve of {other!r}: the two are exchanged.": want[other],
                    "The network was not trained: does the optimizer hold the weights of the copy that you train?": (
                        untrained
                    ),
                    "It goes on where the other one stopped: both must start from the same weights.": variants[
                        "shared"
                    ][name],
                    "That is the loss *after* each step; note it before.": variants["after"][name],
                    "The gradients of earlier steps are never cleared.": variants["no zero_grad"][name],
                    "softmax is applied before a loss that applies it again.": variants["softmax"][name],
                },
                rtol=1e-3,
            )
        same = all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
        t.require(same, "the model that came in has been trained: train copies of it, and leave it as it was.")


@exercise(
    "day09.lion_step",
    title="Lion, half the memory of Adam",
    stars=2,
    hints=(
        "Three lines, in the order of the equations. Give new values new names: the old ones are still needed.",
        "c = 0.9 * m + 0.1 * g is used for the sign alone. The new m is computed from the old m, with 0.99 and 0.01.",
        "w - rate * (torch.sign(c) + decay * w), 0.99 * m + 0.01 * g",
    ),
    learned="Every weight moves by the same length, so Lion's rate is usually three to ten times lower than Adam's.",
)
def lion_step(answer: Callable[..., Any], t: Trial) -> None:
    """Hold single steps against the equations; the signs of g, m and c differ."""
    one = torch.tensor([1.0])
    cases = [
        (-2 * one, torch.tensor([0.25]), torch.tensor([0.5]), 0.1, 0.25),
        (one, torch.tensor([-0.5]), torch.tensor([0.1]), 0.01, 0.0),
        (one, torch.tensor([0.9]), torch.tensor([-0.095]), 0.1, 0.25),  # here 0.9 and 0.1 decide about the sign
        (one, torch.tensor([-0.85]), torch.tensor([0.1]), 0.1, 0.25),  # and here, whether m in c is the old one
        (t.randn(3, 5), t.randn(3, 5), 0.1 * t.randn(3, 5), 0.03, 0.2),
        (t.randn(40), 9 * t.randn(40), t.randn(40), 0.2, 0.5),
        (t.randn(40), 9 * t.randn(40), 0.1 * t.randn(40), 0.05, 0.0),
        (one, 0 * one, 0 * one, 0.1, 0.5),
    ]
    for w, g, m, rate, decay in cases:
        got = t.call(answer, w, g, m, rate, decay)
        t.require(
            isinstance(got, tuple | list) and len(got) == 2,
            f"two things are to be returned, (w, m); got {type(got).__name__}",
        )
        c, new_m = 0.9 * m + 0.1 * g, 0.99 * m + 0.01 * g
        new_w = w - rate * (c.sign() + decay * w)
        given = f"w = {w.item():g}, g = {g.item():g}, m = {m.item():g}" if w.numel() == 1 else "random tensors"
        given = f"{given}, rate {rate:g}, decay {decay:g}"
        t.expect(
            got[1],
            new_m,
            given=f"{given}, the new m",
            known={
                "That is c: the memory is updated more slowly, with 0.99 and 0.01.": c,
                "The new m is made from the *old* m, not from c.": 0.99 * c + 0.01 * g,
                "The memory was not updated.": m,
                "0.99 and 0.01 are exchanged: most of the old m stays.": 0.01 * m + 0.99 * g,
                "m remembers the gradient itself; the sign is for the step alone.": any_of(
                    0.99 * m + 0.01 * g.sign(), new_m.sign(), c.sign()
                ),
                "That is the new w: return (w, m) in this order.": new_w,
            },
        )
        t.expect(
            got[0],
            new_w,
            given=f"{given}, the new w",
            known={
                "c is made from the *old* m; it looks as if m had been replaced before.": w
                - rate * ((0.9 * new_m + 0.1 * g).sign() + decay * w),
                "That is the sign of the gradient: the sign of the mixture c is asked for.": w
                - rate * (g.sign() + decay * w),
                "That is the sign of m; the fresh gradient has a say too, through c.": any_of(
                    w - rate * (m.sign() + decay * w), w - rate * (new_m.sign() + decay * w)
                ),
                "c itself was used: only its sign counts, every weight moves equally far.": w - rate * (c + decay * w),
                "Downhill is against the gradient: the sign is turned round.": any_of(
                    w + rate * (c.sign() + decay * w), w - rate * (decay * w - c.sign())
                ),
                "The decay is missing.": w - rate * c.sign(),
                "The decay is not multiplied by the rate: it stands inside the bracket.": any_of(
                    w - rate * c.sign() - decay * w, (1 - decay) * w - rate * c.sign()
                ),
                "The decay went into the gradient, where the sign swallows it: that would be L2.": any_of(
                    w - rate * (c + decay * w).sign(), w - rate * (0.9 * m + 0.1 * (g + decay * w)).sign()
                ),
                "The decay makes the weight *grow*: the same sign as for the step is wanted.": w
                - rate * (c.sign() - decay * w),
                "The averages in c are exchanged: 0.9 of m and 0.1 of g.": w
                - rate * ((0.1 * m + 0.9 * g).sign() + decay * w),
            },
            atol=1e-6,
        )
