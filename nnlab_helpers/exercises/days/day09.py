"""Checks of day 9: momentum's reach, Nesterov's look-ahead, two bugs in Adam, Adam against RMSprop, Lion."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, any_of, case, exercise


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


class MendedAdam:
    """Adam as the equations say; `mistake` names what it does otherwise."""

    def __init__(self, parameters: Sequence[Tensor], rate: float, *, mistake: str = "") -> None:
        """Hold the parameters, each with its two averages."""
        self.parameters, self.rate, self.mistake, self.calls = list(parameters), rate, mistake, 0
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = self.m if mistake == "one list" else [torch.zeros_like(p) for p in self.parameters]

    def step(self) -> None:
        """Move every parameter."""
        self.calls += 1
        for i, p in enumerate(self.parameters):
            count = (self.calls - 1) * len(self.parameters) + i + 1
            t = {"counts parameters": count, "starts late": self.calls + 1, "stays at one": 1}.get(
                self.mistake, self.calls
            )
            g, forgets = p.grad if p.grad is not None else torch.zeros_like(p), self.mistake == "no memory"
            self.m[i] = 0.9 * self.m[i] * (not forgets) + 0.1 * g
            self.v[i] = 0.999 * self.v[i] * (not forgets) + 0.001 * g**2
            m, v = self.m[i], self.v[i]
            if self.mistake != "no correction":
                m, v = m / (1 - 0.9**t), v / (1 - 0.999**t)
            way = {"uphill": -self.rate, "stands still": 0.0}.get(self.mistake, self.rate)
            root = (v + 1e-8).sqrt() if self.mistake == "inside the root" else v.sqrt() + 1e-8
            with torch.no_grad():
                p -= way * m / root


def _walk(call: Any, answer: Any, starts: list[Tensor], gradients: list[list[Tensor]], rate: float) -> Any:
    """The weights after every step of an optimizer, and the gradients that it leaves."""
    parameters = [w.clone().requires_grad_() for w in starts]
    optimizer = call(answer, parameters, rate, may_change=True)
    after = []
    for each in gradients:
        for p, g in zip(parameters, each, strict=True):
            p.grad = g.clone()
        call(optimizer.step)
        after.append([p.detach().clone() for p in parameters])
    return after, [p.grad for p in parameters]


def _adam_cases(t: Trial) -> list[Any]:
    found = []
    shapes: list[list[tuple[int, ...]]] = [[(1,)], [(1,), (1,)], [(3, 2), (2,), (2, 4)]]
    for shapes_of, rate in zip(shapes, (0.1, 0.1, 0.03), strict=True):
        gradients = [[t.randn(shape) - 0.3 for shape in shapes_of] for _ in range(4)]
        gradients[0][0] = -gradients[0][0].abs()  # a shared m and v show at once
        if len(shapes_of) > 2:
            gradients = [[*each[:-1], 1e-8 * each[-1]] for each in gradients]  # here epsilon shows
        many = f"{len(shapes_of)} parameters" if len(shapes_of) > 1 else "one parameter"
        found.append(case([t.randn(shape) for shape in shapes_of], gradients, rate, given=f"{many}, four steps"))
    return found


exercise(
    "day09.mended_adam",
    title="Find the bugs in this optimizer",
    stars=3,
    hints=(
        "The loud one: how can a square root become NaN? Print self.v[0] after a step. Are m and v two lists?",
        "The silent one: how large is self.t after one call of step(), if there are three parameters?",
        "self.m and self.v each need a list of their own, and self.t += 1 stands once, above the loop.",
    ),
    learned="`a = b = [...]` makes one list with two names. PyTorch keeps a separate t for every parameter.",
    right=MendedAdam,
    cases=_adam_cases,
    ask=_walk,
    returns=("the weights after each step", "the gradients"),
    gradient=False,
    mistakes={
        "NaN is the root of something negative, or 0 / 0. Is v a list of its own, and t 1 in the first step?": partial(
            MendedAdam, mistake="one list"
        ),
        "The parameters were not moved: step() must change them in place.": partial(MendedAdam, mistake="stands still"),
        "Downhill is against the gradient: the sign is turned round.": partial(MendedAdam, mistake="uphill"),
        "t counts parameters, not steps: it must grow by one for each call of step().": partial(
            MendedAdam, mistake="counts parameters"
        ),
        "In the first step t must be 1: there it is 2.": partial(MendedAdam, mistake="starts late"),
        "t never grows beyond 1, so the averages are corrected too much.": partial(MendedAdam, mistake="stays at one"),
        "The averages are not corrected: divide them by 1 - beta**t.": partial(MendedAdam, mistake="no correction"),
        "m and v are forgotten between steps.": partial(MendedAdam, mistake="no memory"),
        "Epsilon is added after the root is taken, not inside it.": partial(MendedAdam, mistake="inside the root"),
    },
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


def lion(
    w: Tensor, g: Tensor, m: Tensor, rate: float, decay: float, *, to_w: Any = None, to_m: Any = None
) -> tuple[Tensor, Tensor]:
    """One step of Lion; `to_w` and `to_m` make one of the results in another way, from all that there is."""
    c, new_m = 0.9 * m + 0.1 * g, 0.99 * m + 0.01 * g
    new_w = w - rate * (c.sign() + decay * w)
    now = SimpleNamespace(w=w, g=g, m=m, rate=rate, decay=decay, c=c, new_m=new_m, new_w=new_w)
    return to_w(now) if to_w else new_w, to_m(now) if to_m else new_m


def _by_sign_of(of: Callable[[Any], Tensor]) -> Callable[..., Any]:
    """Lion with the sign of something else."""
    return partial(lion, to_w=lambda s: s.w - s.rate * (of(s).sign() + s.decay * s.w))


def _lion_w(of: Callable[[Any], Tensor]) -> Callable[..., Any]:
    return partial(lion, to_w=of)


def _lion_m(of: Callable[[Any], Tensor]) -> Callable[..., Any]:
    return partial(lion, to_m=of)


def _lion_cases(t: Trial) -> list[Any]:
    """The signs of g, m and c differ."""
    one = torch.tensor([1.0])
    return [
        (-2 * one, torch.tensor([0.25]), torch.tensor([0.5]), 0.1, 0.25),
        (one, torch.tensor([-0.5]), torch.tensor([0.1]), 0.01, 0.0),
        (one, torch.tensor([0.9]), torch.tensor([-0.095]), 0.1, 0.25),  # here 0.9 and 0.1 decide about the sign
        (one, torch.tensor([-0.85]), torch.tensor([0.1]), 0.1, 0.25),  # and here, whether m in c is the old one
        (one, torch.tensor([-0.05]), torch.tensor([1.0]), 0.1, 0.25),  # the two weights exchanged are not g alone
        (t.randn(3, 5), t.randn(3, 5), 0.1 * t.randn(3, 5), 0.03, 0.2),
        (t.randn(40), 9 * t.randn(40), t.randn(40), 0.2, 0.5),
        (t.randn(40), 9 * t.randn(40), 0.1 * t.randn(40), 0.05, 0.0),
        (one, 0 * one, 0 * one, 0.1, 0.5),
        (t.randn(()), t.randn(()), t.randn(()), 0.0, 0.3),
    ]


exercise(
    "day09.lion_step",
    title="Lion, half the memory of Adam",
    stars=2,
    hints=(
        "Three lines, in the order of the equations. Give new values new names: the old ones are still needed.",
        "c = 0.9 * m + 0.1 * g is used for the sign alone. The new m is computed from the old m, with 0.99 and 0.01.",
        "w - rate * (torch.sign(c) + decay * w), 0.99 * m + 0.01 * g",
    ),
    learned="Every weight moves by the same length, so Lion's rate is usually three to ten times lower than Adam's.",
    right=lion,
    cases=_lion_cases,
    returns=("the new w", "the new m"),
    gradient=False,  # an optimizer may work under no_grad
    fresh=True,
    atol=1e-6,
    mistakes={
        "That is the new w: return (w, m) in this order.": lambda *args: lion(*args)[::-1],
        "The new m is made from the *old* m, not from c.": _lion_m(
            lambda s: 0.99 * s.c + 0.01 * s.g
        ),
        "That is c: the memory is updated more slowly, with 0.99 and 0.01.": _lion_m(lambda s: s.c),
        "The memory was not updated.": _lion_m(lambda s: s.m),
        "0.99 and 0.01 are exchanged: most of the old m stays.": _lion_m(lambda s: 0.01 * s.m + 0.99 * s.g),
        "m remembers the gradient itself; the sign is for the step alone.": any_of(
            _lion_m(lambda s: 0.99 * s.m + 0.01 * s.g.sign()),
            _lion_m(lambda s: s.new_m.sign()),
            _lion_m(lambda s: s.c.sign()),
        ),
        "c is made from the *old* m; it looks as if m had been replaced before.": _by_sign_of(
            lambda s: 0.9 * s.new_m + 0.1 * s.g
        ),
        "That is the sign of the gradient: the sign of the mixture c is asked for.": _by_sign_of(lambda s: s.g),
        "That is the sign of m; the fresh gradient has a say too, through c.": any_of(
            _by_sign_of(lambda s: s.m), _by_sign_of(lambda s: s.new_m)
        ),
        "c itself was used: only its sign counts, every weight moves equally far.": _lion_w(
            lambda s: s.w - s.rate * (s.c + s.decay * s.w)
        ),
        "Downhill is against the gradient: the sign is turned round.": any_of(
            _lion_w(lambda s: s.w + s.rate * (s.c.sign() + s.decay * s.w)),
            _lion_w(lambda s: s.w - s.rate * (s.decay * s.w - s.c.sign())),
        ),
        "The decay is missing.": _lion_w(lambda s: s.w - s.rate * s.c.sign()),
        "The decay is not multiplied by the rate: it stands inside the bracket.": any_of(
            _lion_w(lambda s: s.w - s.rate * s.c.sign() - s.decay * s.w),
            _lion_w(lambda s: (1 - s.decay) * s.w - s.rate * s.c.sign()),
        ),
        "The decay went into the gradient, where the sign swallows it: that would be L2.": any_of(
            _lion_w(lambda s: s.w - s.rate * (s.c + s.decay * s.w).sign()),
            _lion_w(lambda s: s.w - s.rate * (0.9 * s.m + 0.1 * (s.g + s.decay * s.w)).sign()),
        ),
        "The decay makes the weight *grow*: the same sign as for the step is wanted.": _lion_w(
            lambda s: s.w - s.rate * (s.c.sign() - s.decay * s.w)
        ),
        "The averages in c are exchanged: 0.9 of m and 0.1 of g.": _by_sign_of(lambda s: 0.1 * s.m + 0.9 * s.g),
    },
)
