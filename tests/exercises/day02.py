"""Answers to the exercises of day 2: other right ones, and wrong ones that are really given."""

import numpy as np
from answers import Answers
from lesson import definitions

strangers_backward = definitions("day02_numpy_network", "strangers_backward").strangers_backward


# -- log-sum-exp


def lse_by_log_add(z):
    return np.logaddexp.reduce(z, axis=1)


def lse_by_loop(z):
    return np.array([row.max() + np.log(sum(np.exp(v - row.max()) for v in row)) for row in z])


def lse_keepdims(z):
    top = z.max(axis=1, keepdims=True)
    return top + np.log(np.exp(z - top).sum(axis=1, keepdims=True))


def lse_in_place(z):
    top = z.max(axis=1)
    z -= top[:, None]
    return top + np.log(np.exp(z).sum(axis=1))


# -- the weighted gradient


def softmax(z, axis=1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def one_hot(z, labels):
    return np.eye(z.shape[1])[labels]


def weighted(z, labels, weights):
    return weights[labels][:, None] * (softmax(z) - one_hot(z, labels)) / len(labels)


def weighted_by_loop(z, labels, weights):
    p, out = softmax(z), np.zeros_like(z)
    for i, label in enumerate(labels):
        for c in range(z.shape[1]):
            out[i, c] = weights[label] * (p[i, c] - (c == label)) / len(z)
    return out


def weighted_through_one_hot(z, labels, weights):
    hot = one_hot(z, labels)
    return (hot @ weights)[:, None] * (softmax(z) - hot) / len(z)


def weighted_with_naive_softmax(z, labels, weights):
    e = np.exp(z)
    return weights[labels][:, None] * (e / e.sum(axis=1, keepdims=True) - one_hot(z, labels)) / len(z)


# -- ReLU


def relu_by_copy(dh, z):
    dz = dh.copy()
    dz[z <= 0] = 0
    return dz


def relu_in_place(dh, z):
    dh[z <= 0] = 0
    return dh


# -- the stranger's network


def stranger(params, X, y, two=2.0, slope=lambda h: h * (1 - h), bias=np.sum, loss_factor=1.0):
    h = 1 / (1 + np.exp(-(X @ params["W1"] + params["b1"])))
    pred = h @ params["W2"] + params["b2"]
    dpred = two * (pred - y) / len(y)
    dz = dpred @ params["W2"].T * slope(h)
    grads = {"W1": X.T @ dz, "b1": bias(dz, axis=0), "W2": h.T @ dpred, "b2": bias(dpred, axis=0)}
    return loss_factor * np.square(pred - y).mean(), grads


def stranger_with(**changes):
    return lambda params, X, y: stranger(params, X, y, **changes)


def stranger_late_factor(params, X, y):
    loss, grads = stranger(params, X, y, two=1.0)
    return loss, {name: 2 * grad for name, grad in grads.items()}


# -- rates


def sweep_with_copies(loss_and_grad, w, rates, steps):
    def end(rate):
        now = w.copy()
        for _ in range(steps):
            now -= rate * loss_and_grad(now)[1]
        return loss_and_grad(now)[0]

    return np.array([end(rate) for rate in rates])


def sweep_going_on(loss_and_grad, w, rates, steps):
    losses = []
    for rate in rates:
        for _ in range(steps):
            w = w - rate * loss_and_grad(w)[1]
        losses.append(loss_and_grad(w)[0])
    return losses


def sweep_in_place(loss_and_grad, w, rates, steps):
    losses = []
    for rate in rates:
        now = w
        for _ in range(steps):
            now -= rate * loss_and_grad(now)[1]
        losses.append(loss_and_grad(now)[0])
    return losses


def sweep_early_loss(loss_and_grad, w, rates, steps):
    losses = []
    for rate in rates:
        now = w
        for _ in range(steps):
            loss, grad = loss_and_grad(now)
            now = now - rate * grad
        losses.append(loss)
    return losses


def sweep_uphill(loss_and_grad, w, rates, steps):
    return sweep_with_copies(loss_and_grad, w, [-rate for rate in rates], steps).tolist()


def sweep_stale_gradient(loss_and_grad, w, rates, steps):
    grad = loss_and_grad(w)[1]
    return [loss_and_grad(w - steps * rate * grad)[0] for rate in rates]


def sweep_last_only(loss_and_grad, w, rates, steps):
    return sweep_with_copies(loss_and_grad, w, rates, steps)[-1]


# -- any number of layers


def deep(weights, inputs, dlogits, slope=lambda h: 1 - h**2, bias=np.sum):
    dweights, dbiases, carried = [], [], dlogits
    for w, x in zip(weights[::-1], inputs[::-1], strict=True):
        dweights.append(x.T @ carried)
        dbiases.append(bias(carried, axis=0))
        carried = (carried @ w.T) * slope(x)
    return dweights[::-1], dbiases[::-1]


def deep_recursive(weights, inputs, dlogits):
    *before, w = weights
    *inputs_before, x = inputs
    own = x.T @ dlogits, dlogits.sum(axis=0)
    if not before:
        return (own[0],), (own[1],)
    dweights, dbiases = deep_recursive(before, inputs_before, dlogits @ w.T * (1 - x * x))
    return (*dweights, own[0]), (*dbiases, own[1])


def deep_reversed(*args):
    dweights, dbiases = deep(*args)
    return dweights[::-1], dbiases[::-1]


def deep_one_array_forgotten(weights, inputs, dlogits):
    return deep(weights, inputs, dlogits)[0]


ANSWERS = {
    "day02.log_sum_exp": Answers(
        right=[lse_by_log_add, lse_by_loop],
        wrong=[
            (lse_keepdims, "in another shape"),
            (lse_in_place, "changes its input `z`"),
            (lambda z: lse_by_loop(z).tolist(), "expected a NumPy array of shape [2], got"),
        ],
    ),
    "day02.weighted_loss_grad": Answers(
        right=[weighted, weighted_by_loop, weighted_through_one_hot],
        wrong=[
            (lambda z, y, w: weighted(z, y, w) * len(y), "each row counts for one N-th"),
            (lambda z, y, w: weighted(z, y, np.ones_like(w)), "do not count yet"),
            (lambda z, y, w: w * (softmax(z) - one_hot(z, y)) / len(y), "weighted the columns"),
            (lambda z, y, w: (softmax(z) - w[y][:, None] * one_hot(z, y)) / len(y), "Only the one-hot part"),
            (lambda z, y, w: w[y][:, None] * softmax(z) / len(y), "one-hot part is missing"),
            (lambda z, y, w: weighted(z, y, w) * len(y) / w[y].sum(), "sum of the weights"),
            (lambda z, y, w: -weighted(z, y, w), "Given minus deserved"),
            (lambda z, y, w: w[y][:, None] * (softmax(z, 0) - one_hot(z, y)) / len(y), "is its axis 1"),
            (lambda z, y, w: weighted(z, y, w) / z.shape[1], "number of entries"),
            (weighted_with_naive_softmax, "NaN comes from"),
        ],
    ),
    "day02.relu_backward": Answers(
        right=[lambda dh, z: dh * (z > 0), lambda dh, z: dh * np.heaviside(z, 0), relu_by_copy],
        wrong=[
            (lambda dh, z: dh * np.maximum(z, 0), "You multiplied by ReLU's output"),
            (lambda dh, z: np.maximum(dh, 0), "where `dh` is positive"),
            (lambda dh, z: (z > 0).astype(float), "local slope alone"),
            (lambda dh, z: dh * (z >= 0), "At z = 0"),
            (lambda dh, z: dh * (z < 0), "wrong way round"),
            (lambda dh, z: np.maximum(z, 0), "That is the forward pass"),
            (lambda dh, z: dh, "came through unchanged"),
            (relu_in_place, "changes its input `dh`"),
        ],
    ),
    "day02.mended_backward": Answers(
        right=[stranger, stranger_late_factor],
        wrong=[
            (strangers_backward, "derivative of a square"),
            (stranger_with(two=1.0), "derivative of a square"),
            (stranger_with(slope=lambda h: 1 - h), "between them and the first layer"),
            (stranger_with(slope=lambda h: h), "between them and the first layer"),
            (stranger_with(slope=lambda h: 1 - h**2), "derivative of tanh"),
            (stranger_with(bias=np.mean), "the mean is in `dpred` already"),
            (stranger_with(two=1.0, loss_factor=0.5), "loss was computed correctly"),
            (lambda params, X, y: stranger(params, X, y)[1], "the pair (loss, grads)"),
        ],
    ),
    "day02.rate_sweep": Answers(
        right=[sweep_with_copies, lambda f, w, rates, steps: tuple(sweep_with_copies(f, w, rates, steps))],
        wrong=[
            (sweep_going_on, "must start afresh"),
            (sweep_in_place, "changes its input `w`"),
            (sweep_early_loss, "before the last step"),
            (sweep_uphill, "goes uphill"),
            (sweep_stale_gradient, "computed anew at every step"),
            (sweep_last_only, "the last rate alone"),
            (lambda f, w, rates, steps: sweep_with_copies(f, w, rates, steps + 1), "one step too many"),
            (lambda f, w, rates, steps: [f(w)[0]] * len(rates), "no step has been taken"),
        ],
    ),
    "day02.deep_backward": Answers(
        right=[deep, deep_recursive],
        wrong=[
            (deep_reversed, "first layer's gradient must come first"),
            (lambda *args: deep(*args)[::-1], "two lists are swapped"),
            (lambda *args: deep(*args, slope=np.ones_like), "bends are missing"),
            (lambda *args: deep(*args, slope=lambda h: 1 - h), "*squared*"),
            (lambda *args: deep(*args, slope=lambda h: 1 - np.tanh(h) ** 2), "the tanh once more"),
            (lambda *args: deep(*args, bias=np.mean), "their slopes are summed"),
            (lambda *args: deep(*args[:2], args[2] / len(args[2])), "do not divide by N again"),
            (lambda *args: ([w.T for w in deep(*args)[0]], deep(*args)[1]), "transposed"),
            (deep_one_array_forgotten, "two lists were expected"),
        ],
    ),
}
