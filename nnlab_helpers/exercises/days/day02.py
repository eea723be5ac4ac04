"""Checks of day 2: a network in NumPy, its gradients by hand, and how to tell that they are right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from nnlab_helpers.exercises.checking import Trial, any_of, exercise

Array = np.ndarray
Params = dict[str, Array]


def _hold(t: Trial, got: Any, want: Any, known: Mapping[str, Any], **words: str) -> None:
    """Expect `want` to the many digits that double precision gives."""
    t.expect(got, want, known=known, rtol=1e-5, atol=1e-8, **words)


# -- softmax and cross-entropy -----------------------------------------------------------------------------------


def log_sum_exp(z: Array, *, lead: Callable[[Array], Array] = lambda z: z.max(axis=1)) -> Array:
    """log(sum(exp(row))) for each row of z [N, C]; `lead` is what every exponent is made smaller by."""
    top = lead(z)
    with np.errstate(all="ignore"):
        return top + np.log(np.exp(z - top[:, None]).sum(axis=1))


def _lse_cases(t: Trial) -> list[Any]:
    rng = t.numpy_rng
    return [
        np.array([[1.0, 3.0], [0.0, 0.0]]),
        np.array([[1000.0, 1000.0]]),
        np.array([[1000.0, -1000.0]]),  # a mean or median of 0 helps no one here
        np.array([[800.0, 0.0]]),  # here the mean helps, and the smallest does not
        np.array([[1000.0, 1000.0], [-1000.0, -1000.0]]),
        np.array([[-1000.0, -1001.0, -1000.0]]),
        rng.standard_normal((3, 5)),
        500 * rng.standard_normal((4, 7)),
        rng.standard_normal((3, 1)),
    ]


exercise(
    "day02.log_sum_exp",
    title="The logarithm that does not overflow",
    stars=1,
    hints=(
        "As in softmax: what happens to the sum of e^z in a row if you subtract the row's largest score first?",
        "Subtracting m from every score divides every e^z by e^m, and the sum too. The logarithm makes that minus m.",
        "So add m again at the end: m + log(sum(exp(z - m))), with m the largest score of each row. Mind the shapes.",
    ),
    learned="With it the cross-entropy of a row is log_sum_exp(z) - z[label], and that is how PyTorch computes it.",
    right=log_sum_exp,
    cases=_lse_cases,
    rtol=1e-5,
    atol=1e-8,
    mistakes={
        "You subtracted the largest score and did not put it back: what does subtracting m from every score do to the "
        "logarithm?": lambda z: log_sum_exp(z) - z.max(axis=1),
        "The largest score is taken away once more, where it should be put back.": lambda z: (
            log_sum_exp(z) - 2 * z.max(axis=1)
        ),
        "e^1000 is more than a double can hold. Make the exponents small before `np.exp`.": partial(
            log_sum_exp, lead=lambda z: np.zeros(len(z))
        ),
        "One largest score for the whole array is no help to a row that lies far below it: each row needs its own.": (
            partial(log_sum_exp, lead=lambda z: np.full(len(z), z.max()))
        ),
        "The mean or the median is taken out. A score that lies far above it still overflows: take out the largest.": (
            any_of(
                partial(log_sum_exp, lead=lambda z: z.mean(axis=1)),
                partial(log_sum_exp, lead=lambda z: np.median(z, axis=1)),
            )
        ),
        "The smallest score is taken out. The largest one overflows all the sooner: take out that.": partial(
            log_sum_exp, lead=lambda z: z.min(axis=1)
        ),
        "That is the sum of the exponentials. Its logarithm was asked.": lambda z: _exp(log_sum_exp(z)),
        "That is the mean of the exponentials under the logarithm. The sum was asked.": lambda z: (
            log_sum_exp(z) - np.log(z.shape[1])
        ),
        "That is the largest score of each row. It is close, and that is why log-sum-exp is also called a soft "
        "maximum, but the other scores count too.": lambda z: z.max(axis=1),
        "You summed down the columns. One result for each row: along which axis does a row run?": any_of(
            lambda z: log_sum_exp(z.T), lambda z: log_sum_exp(z.T, lead=lambda z: np.zeros(len(z)))
        ),
        "That is a single sum over the whole array. Each row has a result of its own.": any_of(
            lambda z: log_sum_exp(z.reshape(1, -1))[0],
            lambda z: log_sum_exp(z.reshape(1, -1), lead=lambda z: np.zeros(len(z)))[0],
        ),
    },
)


def _exp(z: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.exp(z)


def _softmax(z: Array, axis: int = 1) -> Array:
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@exercise(
    "day02.weighted_loss_grad",
    title="When some mistakes are dearer",
    stars=2,
    hints=(
        "Without weights the answer would be that of step 1, `dlogits`. What does a constant in front of the loss of "
        "row i do to the gradient of row i?",
        "All of row i is multiplied by the weight of its right class. `weights[labels]` picks these N numbers.",
        "N numbers against an array [N, C]: give them a second axis, `weights[labels][:, None]`.",
    ),
    learned="torch.nn.CrossEntropyLoss(weight=...) divides by the sum of the weights used instead of N.",
)
def weighted_loss_grad(answer: Any, t: Trial) -> None:
    """Hold it against w[y] (p - onehot) / N."""
    rng = t.numpy_rng
    cases = [
        (np.zeros((2, 2)), np.array([0, 1]), np.array([3.0, 2.0])),
        (np.zeros((1, 2)), np.array([0]), np.array([3.0, 1.0])),
        (np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1, 0]), np.array([1.0, 4.0])),
        (rng.standard_normal((4, 3)), np.array([2, 0, 2, 1]), np.array([0.5, 2.0, 5.0])),
        (rng.standard_normal((7, 4)), rng.integers(0, 4, 7), rng.uniform(0.5, 4, 4)),
        (800 * rng.standard_normal((3, 5)), rng.integers(0, 5, 3), rng.uniform(0.5, 4, 5)),
    ]
    for logits, labels, weights in cases:
        n, p, hot = len(labels), _softmax(logits), np.eye(logits.shape[1])[labels]
        w = weights[labels][:, None]  # [N, 1]
        known = {
            "The rows are summed, but the loss is a mean: each row counts for one N-th.": w * (p - hot),
            "The weights do not count yet. Each row is multiplied by the weight of its right class.": (p - hot) / n,
            "You weighted the columns. The weight is the row's, that of its right class: [N, 1], not [N].": any_of(
                weights * (p - hot) / n, weights * (p - hot)
            ),
            "Only the one-hot part is weighted. The weight stands before the whole loss of a row, and so before both "
            "parts of its gradient.": any_of((p - w * hot) / n, p - w * hot),
            "The one-hot part is missing: take away 1 at the right class before you weight the row.": any_of(
                w * p / n, w * p
            ),
            "You divided by the sum of the weights, as torch.nn.CrossEntropyLoss does. This loss divides by N.": (
                w * (p - hot) / w.sum()
            ),
            "Given minus deserved, not the other way: a step *against* the gradient must raise the right score.": (
                any_of(w * (hot - p) / n, w * (hot - p))
            ),
            "Softmax runs along each row: is its axis 1?": w * (_softmax(logits, axis=0) - hot) / n,
            "That is divided by the number of entries, N times C. The mean runs over the N rows.": w
            * (p - hot)
            / logits.size,
        }
        _hold(t, t.call(answer, logits, labels, weights), w * (p - hot) / n, known)


# -- backward ----------------------------------------------------------------------------------------------------


@exercise(
    "day02.relu_backward",
    title="Back through a ReLU",
    stars=1,
    hints=(
        "ReLU passes a positive entry on as it is, and turns every other one into 0. How does its output react to a "
        "small nudge of the input in the first case, and how in the second?",
        "The local slope is 1 where z > 0 and 0 elsewhere. The chain rule multiplies it by what comes from behind.",
        "`z > 0` is an array of True and False, and multiplying by it treats them as 1 and 0.",
    ),
    learned="No exponential, no multiplication: a gate that is open or shut. That is part of why ReLU took over.",
)
def relu_backward(answer: Any, t: Trial) -> None:
    """Hold it against dh where z > 0."""
    rng = t.numpy_rng
    for dh, z in (
        (np.array([[5.0, -7.0, 4.0, -6.0]]), np.array([[-2.0, 3.0, 1.0, -4.0]])),
        (np.array([[-5.0]]), np.array([[0.0]])),
        (rng.standard_normal((3, 5)), rng.standard_normal((3, 5))),
        (rng.standard_normal((6, 2)), rng.standard_normal((6, 2)).round()),
    ):
        known = {
            "You multiplied by ReLU's output. What counts is its slope, which is the same for z = 3 and z = 300.": (
                dh * np.maximum(z, 0)
            ),
            "You asked where `dh` is positive. The gate was set on the way forward, by `z`; a negative slope from "
            "behind passes an open gate as well.": any_of(np.maximum(dh, 0), (dh > 0) * 1.0),
            "That is the local slope alone. The chain rule multiplies it by `dh`.": (z > 0) * 1.0,
            "At z = 0 the corner has no single slope; the task asks for 0 there, as PyTorch does.": any_of(
                dh * (z >= 0), dh * (z > 0) + 0.5 * dh * (z == 0)
            ),
            "The gate is the wrong way round: it lets through what ReLU had shut off.": any_of(
                dh * (z < 0), dh * (z <= 0)
            ),
            "That is the forward pass. On the way back the slope `dh` is passed through or stopped.": np.maximum(z, 0),
            "`dh` came through unchanged. Where ReLU's output was stuck at 0, nothing may pass.": dh,
            "Both gates at once: only the sign of `z` decides.": dh * ((z > 0) & (dh > 0)),
        }
        _hold(t, t.call(answer, dh, z), dh * (z > 0), known)


def _regression(
    params: Params,
    X: Array,
    y: Array,
    *,
    two: float = 2.0,
    slope: Callable[[Array], Array] = lambda h: h * (1 - h),
    divide: bool = True,
) -> tuple[float, Params]:
    """The stranger's network, right by default and with the bugs that may be left in it."""
    h = 1 / (1 + np.exp(-(X @ params["W1"] + params["b1"])))
    pred = h @ params["W2"] + params["b2"]
    dpred = two * (pred - y) / (len(y) if divide else 1)
    dz = dpred @ params["W2"].T * slope(h)
    grads = {"W1": X.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ dpred, "b2": dpred.sum(axis=0)}
    return float(((pred - y) ** 2).mean()), grads


LOSS_CHANGED = "The loss was computed correctly: leave it as it is, and mend the gradients to fit it."
HALF = (
    "Exactly half: the slope is wrong from the very first step back, before any layer. What is the derivative of a "
    "square?"
)
AVERAGED = "A bias serves all points, so their slopes are summed; the mean is in `dpred` already."
DIVIDED_TWICE = "The mean of the loss is in `dpred` already; do not divide by N again."
NO_MEAN = "The loss is a mean over the points, so every point counts for one N-th."
NO_SIGMOID_SLOPE = (
    "W2 and b2 are right, so the bug lies between them and the first layer: at the bend. Look at the "
    "derivative of the sigmoid."
)


@exercise(
    "day02.mended_backward",
    title="Two bugs in a stranger's backward",
    stars=2,
    hints=(
        "Run `gradient_check(strangers_backward, stranger, X_toy, y_toy)`. All four are wrong. Which is met first on "
        "the way back, and what does an error of 0.33 mean?",
        "`dpred` is the derivative of a mean of squares. Mend it and check again: the last layer should be right now.",
        "What is still wrong is wrong from `dz1` on. Compare that line with the derivative of the sigmoid in the task.",
        "A square's derivative has a 2 in front, and the sigmoid's has two factors.",
    ),
    learned="Check from the back: the first wrong gradient that you meet stands next to the bug.",
)
def mended_backward(answer: Any, t: Trial) -> None:
    """Hold loss and gradients against the right ones, from the back to the front."""
    rng = t.numpy_rng
    for n, d, hidden in ((1, 1, 1), (3, 2, 4), (6, 3, 5)):
        shapes = {"W1": (d, hidden), "b1": (hidden,), "W2": (hidden, 1), "b2": (1,)}
        params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        X, y = rng.standard_normal((n, d)), rng.standard_normal((n, 1))
        given = f"with N = {n}, D = {d}, H = {hidden}"
        got = t.call(answer, params, X, y)
        t.require(
            isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[1], dict),
            "the pair (loss, grads) was expected, grads a dict with the names of the parameters",
            "Is a `return` missing?" if got is None else "",
        )
        loss, grads = _regression(params, X, y)
        names = sorted(map(str, got[1]))
        t.require(names == sorted(grads), f"gradients of W1, b1, W2, b2 were expected, got {names}")
        _hold(t, got[0], loss, {LOSS_CHANGED: any_of(loss / 2, loss * n)}, given=given, what="the loss")
        leftovers: Mapping[str, list[tuple[float, Params]]] = {
            HALF: [_regression(params, X, y, two=1.0, slope=s) for s in (lambda h: h * (1 - h), lambda h: 1 - h)],
            NO_MEAN: [_regression(params, X, y, two=two, divide=False) for two in (1.0, 2.0)],
            NO_SIGMOID_SLOPE: [
                _regression(params, X, y, slope=s) for s in (lambda h: 1 - h, lambda h: h, np.ones_like)
            ],
            "That is the derivative of tanh. The sigmoid has its own, given in the task.": [
                _regression(params, X, y, slope=lambda h: 1 - h**2)
            ],
        }
        for name in ("W2", "b2", "b1", "W1"):  # in the order in which the way back meets them
            known: dict[str, Any] = {
                message: any_of(*(g[name] for _, g in wrong)) for message, wrong in leftovers.items()
            }
            known[AVERAGED if name.startswith("b") else DIVIDED_TWICE] = grads[name] / n
            _hold(t, got[1][name], grads[name], known, given=given, what=f"the gradient of {name}")


# -- training ----------------------------------------------------------------------------------------------------

LossAndGrad = Callable[[Array], tuple[float, Array]]


def _losses(loss_and_grad: LossAndGrad, w: Array, rates: list[float], steps: int, restart: bool = True) -> list[float]:
    result, now = [], w
    for rate in rates:
        now = w if restart else now
        for _ in range(steps):
            now = now - rate * loss_and_grad(now)[1]
        result.append(float(loss_and_grad(now)[0]))
    return result


@exercise(
    "day02.rate_sweep",
    title="Try many rates",
    stars=2,
    hints=(
        "Two loops, the outer one over the rates, the inner one over the steps. What must be set anew in the outer?",
        "The loss that comes with a gradient belongs to the weights *before* the step. Which call gives the loss after "
        "the last step?",
        "For each rate: begin with a copy of w, repeat steps times `now = now - rate * gradient`, then ask once more "
        "for the loss.",
    ),
    learned="Try rates in factors, 0.01, 0.1, 1, rather than in equal steps: what matters is the order of magnitude.",
)
def rate_sweep(answer: Any, t: Trial) -> None:
    """Hold it against the same loop, on parabolas: gentle, and too steep for one of the rates."""
    rng = t.numpy_rng

    def parabola(scale: Array, lowest: float) -> LossAndGrad:
        return lambda w: (float((scale * (w - lowest) ** 2).sum()), 2 * scale * (w - lowest))

    one = np.array([1.0])
    cases: list[tuple[LossAndGrad, Array, list[float], int]] = [
        (parabola(one, 0.0), one, [0.25], 2),
        (parabola(one, 0.0), one, [0.25, 0.125, 1.5], 2),
        (parabola(rng.uniform(0.5, 1.5, 4), 0.3), rng.standard_normal(4), [0.01, 0.1, 0.3, 0.9, 1.6], 5),
        (parabola(rng.uniform(0.5, 1.5, (2, 3)), -0.4), rng.standard_normal((2, 3)), [0.2, 0.05], 7),
    ]
    for f, w, rates, steps in cases:
        want = _losses(f, w, rates, steps)
        got = t.call(answer, f, w, rates, steps)
        if isinstance(got, np.ndarray) and got.ndim == 1:
            got = got.tolist()
        given = f"with rates = {rates}, steps = {steps}" + (f", w = [{w[0]:g}]" if w.size == 1 else "")
        known = {
            "Each rate must start afresh from the first weights; here the next goes on where the last one stopped.": (
                lambda f=f, w=w, r=rates, s=steps: _losses(f, w, r, s, restart=False)
            ),
            "That is the loss before the last step: `loss_and_grad` tells the loss of the weights you hand to it.": (
                lambda f=f, w=w, r=rates, s=steps: _losses(f, w, r, s - 1)
            ),
            "That is one step too many.": lambda f=f, w=w, r=rates, s=steps: _losses(f, w, r, s + 1),
            "That is the loss at the start: no step has been taken.": [float(f(w)[0])] * len(rates),
            "That goes uphill: a step leads against the gradient.": (
                lambda f=f, w=w, r=rates, s=steps: _losses(f, w, [-rate for rate in r], s)
            ),
            "These are the losses of a gradient that does not change: it must be computed anew at every step.": (
                lambda f=f, w=w, r=rates, s=steps: [float(f(w - s * rate * f(w)[1])[0]) for rate in r]
            ),
            "That is the smallest loss met on the way. The loss after the last step was asked.": (
                lambda f=f, w=w, r=rates, s=steps: [
                    min(_losses(f, w, [rate], k)[0] for k in range(s + 1)) for rate in r
                ]
            ),
            "That is the loss of the last rate alone. One loss for each rate, in a list.": any_of(want[-1], want[-1:]),
        }
        _hold(t, got, want, known, given=given)


# -- any number of layers ----------------------------------------------------------------------------------------

Gradients = tuple[list[Array], list[Array]]


def _deep(
    weights: list[Array], inputs: list[Array], dlogits: Array, *, slope: Callable[[Array], Array] = lambda h: 1 - h**2
) -> Gradients:
    dweights: list[Array] = []
    dbiases: list[Array] = []
    carried = dlogits
    for w, x in zip(reversed(weights), reversed(inputs), strict=True):
        dweights.insert(0, x.T @ carried)
        dbiases.insert(0, carried.sum(axis=0))
        carried = carried @ w.T * slope(x)
    return dweights, dbiases


@exercise(
    "day02.deep_backward",
    title="As deep as you like",
    stars=3,
    hints=(
        "Carry one array backwards: the slope with respect to what the current layer put out, before any tanh. For the "
        "last layer that is `dlogits`.",
        "At layer l, from the last down to 0: its gradients are `inputs[l].T @ carried` and the sum of `carried` over "
        "the rows. Then carry on to the layer before.",
        "Carrying on has two parts: `carried @ weights[l].T` leads to inputs[l], and the tanh that made inputs[l] "
        "multiplies by one minus its square.",
        "Walking backwards you find the last layer first. Put each new gradient at the front of its list.",
    ),
    learned="`inputs` had to be kept from the way forward: that is why training takes more memory than predicting.",
)
def deep_backward(answer: Any, t: Trial) -> None:
    """Hold all gradients against the loop, from the last layer to the first."""
    rng = t.numpy_rng
    for n, sizes in ((2, (2, 3)), (2, (2, 3, 2)), (5, (2, 4, 3, 6)), (3, (4, 4, 4, 4, 4))):
        weights = [rng.standard_normal(shape) for shape in itertools.pairwise(sizes)]
        inputs = [rng.standard_normal((n, sizes[0]))]
        for w in weights[:-1]:
            inputs.append(np.tanh(inputs[-1] @ w + 0.1))
        dlogits = rng.standard_normal((n, sizes[-1]))
        layers = len(weights)
        got = t.call(answer, weights, inputs, dlogits)
        t.require(
            isinstance(got, tuple | list) and len(got) == 2 and all(isinstance(part, tuple | list) for part in got),
            "two lists were expected, (dweights, dbiases)",
            "Is a `return` missing?" if got is None else "",
        )
        for name, part in zip(("dweights", "dbiases"), got, strict=True):
            t.require(len(part) == layers, f"{layers} gradients were expected in {name}, got {len(part)}")
        want = _deep(weights, inputs, dlogits)
        variants: dict[str, Gradients] = {
            "The lists run from the last layer to the first; the first layer's gradient must come first.": (
                want[0][::-1],
                want[1][::-1],
            ),
            "The two lists are swapped: weights first, then biases.": (want[1], want[0]),
            "The bends are missing: on the way to the layer before, the slope also passes a tanh.": _deep(
                weights, inputs, dlogits, slope=np.ones_like
            ),
            "Nearly: the derivative of tanh is 1 minus its output *squared*.": _deep(
                weights, inputs, dlogits, slope=lambda h: 1 - h
            ),
            "`inputs` are outputs of a tanh already; you took the tanh once more.": _deep(
                weights, inputs, dlogits, slope=lambda h: 1 - np.tanh(h) ** 2
            ),
            "A bias is shared by all rows, so their slopes are summed. The mean of the loss is in `dlogits` already.": (
                want[0],
                [b / n for b in want[1]],
            ),
            "The mean of the loss is in `dlogits` already; do not divide by N again.": (
                [w / n for w in want[0]],
                [b / n for b in want[1]],
            ),
            "This matrix is transposed: a gradient has the shape of its weights.": ([w.T for w in want[0]], want[1]),
            "One bias a unit, shape [units]: sum over the rows without keeping the axis.": (
                want[0],
                [b[None] for b in want[1]],
            ),
        }
        given = f"with {layers} layer{'s' * (layers > 1)}, sizes {' → '.join(map(str, sizes))}"
        for layer in reversed(range(layers)):
            for which, name in enumerate(("dweights", "dbiases")):
                known = {message: pair[which][layer] for message, pair in variants.items()}
                _hold(t, got[which][layer], want[which][layer], known, given=given, what=f"{name}[{layer}]")
