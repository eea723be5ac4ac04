"""Exercises of day 2: a network in NumPy, its gradients by hand, and how to tell that they are right."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from nnlab_helpers.exercises.checking import Trial, any_of, case, exercise
from nnlab_helpers.exercises.checking.trial import Wrong

Array = np.ndarray
Params = dict[str, Array]

# NumPy works in double precision, so that comparisons may be close.
RTOL, ATOL = 1e-5, 1e-8


# -- softmax and cross-entropy -----------------------------------------------------------------------------------


def _exp(z: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.exp(z)


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
        np.log(np.array([[0.25, 0.75], [0.9, 0.1]])),  # probabilities: the answer is 0, unless something was added
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
    rtol=RTOL,
    atol=ATOL,
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


def softmax(z: Array, axis: int = 1, lead: Callable[[Array], Any] | None = None) -> Array:
    """Softmax along `axis`; `lead` is what every score is made smaller by, if not the largest of its own row."""
    with np.errstate(all="ignore"):
        e = np.exp(z - (lead(z) if lead else z.max(axis=axis, keepdims=True)))
        return e / e.sum(axis=axis, keepdims=True)


def weighted_loss_grad(
    logits: Array,
    labels: Array,
    weights: Array,
    *,
    of: Callable[..., Array] | None = None,
    probabilities: Callable[[Array], Array] = softmax,
) -> Array:
    """The gradient w[y] (p - onehot) / N; `of(w, p, hot)` makes another one, before the division by N."""
    p, hot, w = probabilities(logits), np.eye(logits.shape[1])[labels], weights[labels][:, None]
    return (of(w, p, hot) if of else w * (p - hot)) / len(labels)


def _times(factor: Callable[[Array, Array, Array], Any]) -> Callable[..., Array]:
    """The gradient with another factor in front of it."""
    return lambda logits, labels, weights: (
        weighted_loss_grad(logits, labels, weights) * factor(logits, labels, weights)
    )


def _weighted_cases(t: Trial) -> list[Any]:
    rng = t.numpy_rng
    return [
        (np.zeros((2, 2)), np.array([0, 1]), np.array([3.0, 2.0])),
        (np.zeros((1, 2)), np.array([0]), np.array([3.0, 1.0])),
        (np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([1, 0]), np.array([1.0, 4.0])),
        (rng.standard_normal((4, 3)), np.array([2, 0, 2, 1]), np.array([0.5, 2.0, 5.0])),
        (rng.standard_normal((7, 4)), rng.integers(0, 4, 7), rng.uniform(0.5, 4, 4)),
        (rng.standard_normal((5, 3)), np.array([1, 1, 1, 0, 1]), np.array([0.0, 2.0, 3.0])),  # a class that is left out
        (np.array([[1000.0, 0.0], [0.0, 1.0]]), np.array([0, 0]), np.array([2.0, 3.0])),
        (np.array([[-1000.0, -1001.0]]), np.array([1]), np.array([2.0, 3.0])),
        (800 * rng.standard_normal((3, 5)), rng.integers(0, 5, 3), rng.uniform(0.5, 4, 5)),
    ]


exercise(
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
    right=weighted_loss_grad,
    cases=_weighted_cases,
    rtol=RTOL,
    atol=ATOL,
    mistakes={
        "The rows are summed, but the loss is a mean: each row counts for one N-th.": _times(lambda z, y, w: len(y)),
        "The weights do not count yet. Each row is multiplied by the weight of its right class.": partial(
            weighted_loss_grad, of=lambda w, p, hot: p - hot
        ),
        "You weighted the columns. The weight is the row's, that of its right class: [N, 1], not [N].": any_of(
            lambda z, y, w: w * weighted_loss_grad(z, y, np.ones_like(w)),
            lambda z, y, w: w * weighted_loss_grad(z, y, np.ones_like(w)) * len(y),
        ),
        "Only the one-hot part is weighted. The weight stands before the whole loss of a row, and so before both "
        "parts of its gradient.": any_of(
            partial(weighted_loss_grad, of=lambda w, p, hot: p - w * hot),
            partial(weighted_loss_grad, of=lambda w, p, hot: (p - w * hot) * len(p)),
        ),
        "The one-hot part is missing: take away 1 at the right class before you weight the row.": any_of(
            partial(weighted_loss_grad, of=lambda w, p, hot: w * p),
            partial(weighted_loss_grad, of=lambda w, p, hot: w * p * len(p)),
        ),
        "You divided by the sum of the weights, as torch.nn.CrossEntropyLoss does. This loss divides by N.": _times(
            lambda z, y, w: len(y) / w[y].sum()
        ),
        "Given minus deserved, not the other way: a step *against* the gradient must raise the right score.": any_of(
            _times(lambda z, y, w: -1), _times(lambda z, y, w: -len(y))
        ),
        "Softmax runs along each row: is its axis 1?": partial(
            weighted_loss_grad, probabilities=partial(softmax, axis=0)
        ),
        "That is divided by the number of entries, N times C. The mean runs over the N rows.": _times(
            lambda z, y, w: 1 / z.shape[1]
        ),
        "The exponentials of large scores overflow, and inf / inf is NaN: `softmax` from above makes them small "
        "first.": partial(weighted_loss_grad, probabilities=partial(softmax, lead=lambda z: 0)),
        "One largest score for the whole array leaves nothing of a row that lies far below it: 0 / 0 is NaN.": partial(
            weighted_loss_grad, probabilities=partial(softmax, lead=np.max)
        ),
    },
)


# -- backward ----------------------------------------------------------------------------------------------------


def relu_backward(dh: Array, z: Array) -> Array:
    """`dh` where `z` is above 0, and 0 elsewhere."""
    return dh * (z > 0)


exercise(
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
    right=relu_backward,
    cases=lambda t: [
        (np.array([[5.0, -7.0, 4.0, -6.0]]), np.array([[-2.0, 3.0, 1.0, -4.0]])),
        (np.array([[-5.0]]), np.array([[0.0]])),
        (t.numpy_rng.standard_normal((3, 5)), t.numpy_rng.standard_normal((3, 5))),
        (t.numpy_rng.standard_normal((6, 2)), t.numpy_rng.standard_normal((6, 2)).round()),
        (np.array([[2.0, 3.0, -4.0]]), np.array([[1e-12, -1e-12, 1e300]])),
    ],
    rtol=RTOL,
    atol=ATOL,
    mistakes={
        "You multiplied by ReLU's output. What counts is its slope, which is the same for z = 3 and z = 300.": (
            lambda dh, z: dh * np.maximum(z, 0)
        ),
        "You asked where `dh` is positive. The gate was set on the way forward, by `z`; a negative slope from "
        "behind passes an open gate as well.": any_of(lambda dh, z: np.maximum(dh, 0), lambda dh, z: (dh > 0) * 1.0),
        "That is the local slope alone. The chain rule multiplies it by `dh`.": lambda dh, z: (z > 0) * 1.0,
        "At z = 0 the corner has no single slope; the task asks for 0 there, as PyTorch does.": any_of(
            lambda dh, z: dh * (z >= 0), lambda dh, z: dh * np.heaviside(z, 0.5)
        ),
        "The gate is the wrong way round: it lets through what ReLU had shut off.": any_of(
            lambda dh, z: dh * (z < 0), lambda dh, z: dh * (z <= 0)
        ),
        "That is the forward pass. On the way back the slope `dh` is passed through or stopped.": lambda dh, z: (
            np.maximum(z, 0)
        ),
        "`dh` came through unchanged. Where ReLU's output was stuck at 0, nothing may pass.": lambda dh, z: dh,
        "Both gates at once: only the sign of `z` decides.": lambda dh, z: dh * ((z > 0) & (dh > 0)),
    },
)


def mended_backward(
    params: Params,
    X: Array,
    y: Array,
    *,
    two: float = 2.0,
    slope: Callable[[Array], Array] = lambda h: h * (1 - h),
    divide: bool = True,
    bias: Callable[..., Array] = np.sum,
    weight: Callable[[Array], Any] = lambda h: 1,
    loss: Callable[[Array], Any] = np.mean,
) -> tuple[float, Params]:
    """The stranger's network, right by default and with the bugs that may be left in it."""
    h = 1 / (1 + np.exp(-(X @ params["W1"] + params["b1"])))
    pred = h @ params["W2"] + params["b2"]
    dpred = two * (pred - y) / (len(y) if divide else 1)
    dz = dpred @ params["W2"].T * slope(h)
    grads = {"W1": X.T @ dz / weight(y), "b1": bias(dz, axis=0)}
    grads.update({"W2": h.T @ dpred / weight(y), "b2": bias(dpred, axis=0)})
    return float(loss((pred - y) ** 2)), grads


def _loss_and_gradients(call: Any, answer: Any, params: Params, X: Array, y: Array) -> Any:
    """The loss and the gradients in the order in which the way back meets them."""
    got = call(answer, params, X, y)
    if not (isinstance(got, tuple | list) and len(got) == 2 and isinstance(got[1], dict)):
        raise Wrong(
            "the pair (loss, grads) was expected, grads a dict with the names of the parameters",
            "Is a `return` missing?" if got is None else "",
        )
    loss, grads = got
    if sorted(map(str, grads)) != sorted(params):
        raise Wrong(f"gradients of W1, b1, W2, b2 were expected, got {sorted(map(str, grads))}")
    return loss, *(grads[name] for name in ("W2", "b2", "b1", "W1"))


def _strangers(t: Trial) -> list[Any]:
    rng, found = t.numpy_rng, []
    for n, d, hidden in ((1, 1, 1), (3, 2, 4), (6, 3, 5)):
        shapes = {"W1": (d, hidden), "b1": (hidden,), "W2": (hidden, 1), "b2": (1,)}
        params = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
        X, y = rng.standard_normal((n, d)), rng.standard_normal((n, 1))
        found.append(case(params, X, y, given=f"with N = {n}, D = {d}, H = {hidden}"))
    return found


WRONG_SLOPES: tuple[Callable[[Array], Array], ...] = (lambda h: 1 - h, lambda h: h, np.ones_like)

exercise(
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
    right=mended_backward,
    cases=_strangers,
    ask=_loss_and_gradients,
    returns=("the loss", *(f"the gradient of {name}" for name in ("W2", "b2", "b1", "W1"))),
    rtol=RTOL,
    atol=ATOL,
    mistakes={
        "The loss was computed correctly: leave it as it is, and mend the gradients to fit it.": any_of(
            partial(mended_backward, loss=lambda squares: squares.mean() / 2), partial(mended_backward, loss=np.sum)
        ),
        "Exactly half: the slope is wrong from the very first step back, before any layer. What is the derivative of a "
        "square?": any_of(
            partial(mended_backward, two=1.0), *(partial(mended_backward, two=1.0, slope=s) for s in WRONG_SLOPES)
        ),
        "The loss is a mean over the points, so every point counts for one N-th.": any_of(
            partial(mended_backward, divide=False), partial(mended_backward, divide=False, two=1.0)
        ),
        "W2 and b2 are right, so the bug lies between them and the first layer: at the bend. Look at the "
        "derivative of the sigmoid.": any_of(*(partial(mended_backward, slope=s) for s in WRONG_SLOPES)),
        "That is the derivative of tanh. The sigmoid has its own, given in the task.": partial(
            mended_backward, slope=lambda h: 1 - h**2
        ),
        "A bias serves all points, so their slopes are summed; the mean is in `dpred` already.": partial(
            mended_backward, bias=np.mean
        ),
        "The mean of the loss is in `dpred` already; do not divide by N again.": any_of(
            partial(mended_backward, weight=len), partial(mended_backward, weight=len, bias=np.mean)
        ),
    },
)


# -- training ----------------------------------------------------------------------------------------------------

LossAndGrad = Callable[[Array], tuple[float, Array]]


def rate_sweep(
    loss_and_grad: LossAndGrad,
    w: Array,
    rates: list[float],
    steps: int,
    *,
    restart: bool = True,
    more: int = 0,
    stale: bool = False,
    pick: Callable[[list[float]], float] = lambda losses: losses[-1],
) -> list[float]:
    """The loss after `steps` steps from w, for each rate.

    Wrong ones: without a `restart`, with `more` steps, with the first gradient all along, with another `pick` among
    the losses before, between and after the steps.
    """
    result, now = [], w
    for rate in rates:
        now = w if restart else now
        losses, first = [float(loss_and_grad(now)[0])], loss_and_grad(now)[1]
        for _ in range(steps + more):
            now = now - rate * (first if stale else loss_and_grad(now)[1])
            losses.append(float(loss_and_grad(now)[0]))
        result.append(pick(losses))
    return result


def parabola(scale: Array, lowest: float) -> LossAndGrad:
    """The loss sum(scale (w - lowest)**2) and its gradient."""
    return lambda w: (float((scale * (w - lowest) ** 2).sum()), 2 * scale * (w - lowest))


def _sweeps(t: Trial) -> list[Any]:
    """Parabolas: gentle, and too steep for one of the rates."""
    rng, one = t.numpy_rng, np.array([1.0])
    found: list[tuple[LossAndGrad, Array, list[float], int]] = [
        (parabola(one, 0.0), one, [0.25], 2),
        (parabola(one, 0.0), one, [0.25, 0.125, 1.5], 2),
        (parabola(rng.uniform(0.5, 1.5, 4), 0.3), rng.standard_normal(4), [0.01, 0.1, 0.3, 0.9, 1.6], 5),
        (parabola(rng.uniform(0.5, 1.5, (2, 3)), -0.4), rng.standard_normal((2, 3)), [0.2, 0.0, 0.05], 7),
        (parabola(rng.uniform(0.5, 1.5, 3), 0.1), rng.standard_normal(3), [0.3, 0.1], 1),
    ]
    return [
        case(f, w, r, s, given=f"with rates = {r}, steps = {s}" + (f", w = [{w[0]:g}]" if w.size == 1 else ""))
        for f, w, r, s in found
    ]


def _as_list(call: Any, answer: Any, *args: Any) -> Any:
    """What came, an array of one dimension as a list."""
    got = call(answer, *args)
    return got.tolist() if isinstance(got, np.ndarray) and got.ndim == 1 else got


exercise(
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
    right=rate_sweep,
    cases=_sweeps,
    ask=_as_list,
    rtol=RTOL,
    atol=ATOL,
    mistakes={
        "Each rate must start afresh from the first weights; here the next goes on where the last one stopped.": (
            partial(rate_sweep, restart=False)
        ),
        "That is the loss before the last step: `loss_and_grad` tells the loss of the weights you hand to it.": partial(
            rate_sweep, more=-1
        ),
        "That is one step too many.": partial(rate_sweep, more=1),
        "That is the loss at the start: no step has been taken.": partial(rate_sweep, pick=lambda losses: losses[0]),
        "That goes uphill: a step leads against the gradient.": lambda f, w, rates, steps: rate_sweep(
            f, w, [-rate for rate in rates], steps
        ),
        "These are the losses of a gradient that does not change: it must be computed anew at every step.": partial(
            rate_sweep, stale=True
        ),
        "That is the smallest loss met on the way. The loss after the last step was asked.": partial(
            rate_sweep, pick=min
        ),
        "That is the loss of the last rate alone. One loss for each rate, in a list.": any_of(
            lambda f, w, rates, steps: rate_sweep(f, w, rates, steps)[-1],
            lambda f, w, rates, steps: rate_sweep(f, w, rates, steps)[-1:],
        ),
    },
)


# -- any number of layers ----------------------------------------------------------------------------------------

Gradients = tuple[list[Array], list[Array]]


def deep_backward(
    weights: list[Array], inputs: list[Array], dlogits: Array, *, slope: Callable[[Array], Array] = lambda h: 1 - h**2
) -> Gradients:
    """The gradients of all weights and biases of a tanh network; `slope` is that of tanh, told from its output."""
    dweights: list[Array] = []
    dbiases: list[Array] = []
    carried = dlogits
    for w, x in zip(reversed(weights), reversed(inputs), strict=True):
        dweights.insert(0, x.T @ carried)
        dbiases.insert(0, carried.sum(axis=0))
        carried = carried @ w.T * slope(x)
    return dweights, dbiases


def _each(
    weight: Callable[[Array, int], Array] = lambda w, n: w, bias: Callable[[Array, int], Array] = lambda b, n: b
) -> Callable[..., Gradients]:
    """The right gradients, each of them changed; n is the number of rows."""

    def changed(weights: list[Array], inputs: list[Array], dlogits: Array) -> Gradients:
        dweights, dbiases = deep_backward(weights, inputs, dlogits)
        return [weight(w, len(dlogits)) for w in dweights], [bias(b, len(dlogits)) for b in dbiases]

    return changed


def _deep_cases(t: Trial) -> list[Any]:
    rng, found = t.numpy_rng, []
    for n, sizes in ((2, (2, 3)), (2, (2, 3, 2)), (5, (2, 4, 3, 6)), (3, (4, 4, 4, 4, 4)), (1, (3, 1, 2))):
        weights = [rng.standard_normal(shape) for shape in itertools.pairwise(sizes)]
        inputs = [rng.standard_normal((n, sizes[0]))]
        for w in weights[:-1]:
            inputs.append(np.tanh(inputs[-1] @ w + 0.1))
        layers = len(weights)
        given = f"with {layers} layer{'s' * (layers > 1)}, sizes {' → '.join(map(str, sizes))}"
        found.append(case(weights, inputs, rng.standard_normal((n, sizes[-1])), given=given))
    return found


exercise(
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
    right=deep_backward,
    cases=_deep_cases,
    returns=("dweights", "dbiases"),
    rtol=RTOL,
    atol=ATOL,
    mistakes={
        "The lists run from the last layer to the first; the first layer's gradient must come first.": (
            lambda *args: tuple(part[::-1] for part in deep_backward(*args))
        ),
        "The two lists are swapped: weights first, then biases.": lambda *args: deep_backward(*args)[::-1],
        "The bends are missing: on the way to the layer before, the slope also passes a tanh.": partial(
            deep_backward, slope=np.ones_like
        ),
        "Nearly: the derivative of tanh is 1 minus its output *squared*.": partial(
            deep_backward, slope=lambda h: 1 - h
        ),
        "`inputs` are outputs of a tanh already; you took the tanh once more.": partial(
            deep_backward, slope=lambda h: 1 - np.tanh(h) ** 2
        ),
        "A bias is shared by all rows, so their slopes are summed. The mean of the loss is in `dlogits` already.": (
            _each(bias=lambda b, n: b / n)
        ),
        "The mean of the loss is in `dlogits` already; do not divide by N again.": any_of(
            _each(lambda w, n: w / n, lambda b, n: b / n), _each(lambda w, n: w / n)
        ),
        "This matrix is transposed: a gradient has the shape of its weights.": _each(lambda w, n: w.T),
        "One bias a unit, shape [units]: sum over the rows without keeping the axis.": _each(bias=lambda b, n: b[None]),
    },
)
