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


def weighted_in_place(z, labels, weights):
    p = softmax(z)
    weights /= len(z)
    return weights[labels][:, None] * (p - one_hot(z, labels))


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


def sweep_in_place(loss_and_grad, w, rates, steps):
    losses = []
    for rate in rates:
        now = w
        for _ in range(steps):
            now -= rate * loss_and_grad(now)[1]
        losses.append(loss_and_grad(now)[0])
    return losses


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
            (weighted_with_naive_softmax, "inf / inf is NaN"),
            (weighted_in_place, "changes its input `weights` in place"),
            (lambda z, y, w: weighted(z, y, w).sum(axis=0), "expected shape [2, 2], got shape [2]"),
        ],
    ),
    "day02.relu_backward": Answers(
        right=[lambda dh, z: dh * (z > 0), lambda dh, z: dh * np.heaviside(z, 0), relu_by_copy],
        wrong=[
            (relu_in_place, "changes its input `dh`"),
            (lambda dh, z: dh if z > 0 else 0 * dh, "is ambiguous"),
            (lambda dh, z: dh[z > 0], "expected shape [1, 4], got shape [2]"),
        ],
    ),
    "day02.mended_backward": Answers(
        right=[stranger, stranger_late_factor],
        wrong=[
            (strangers_backward, "derivative of a square"),
            (stranger_with(slope=lambda h: 1 - h), "between them and the first layer"),
            (stranger_with(two=1.0, loss_factor=0.5), "loss was computed correctly"),
            (lambda params, X, y: stranger(params, X, y)[1], "the pair (loss, grads)"),
            (lambda *args: (stranger(*args)[0], {"W1": stranger(*args)[1]["W1"]}), "gradients of W1, b1, W2, b2 were"),
        ],
    ),
    "day02.rate_sweep": Answers(
        right=[sweep_with_copies, lambda f, w, rates, steps: tuple(sweep_with_copies(f, w, rates, steps))],
        wrong=[
            (sweep_in_place, "changes its input `w`"),
            (lambda f, w, rates, steps: sweep_with_copies(f, w, rates, 2).tolist(), "steps = 5"),
            (lambda *args: dict(enumerate(sweep_with_copies(*args))), "got {0: 0.0625}"),
        ],
    ),
    "day02.deep_backward": Answers(
        right=[deep, deep_recursive],
        wrong=[
            (deep_one_array_forgotten, "two things are to be returned, (dweights, dbiases)"),
            (lambda *args: tuple(part[-2:] for part in deep(*args)), "expected 3 values, got 2"),
            (lambda *args: [part[-1] for part in deep(*args)], "dweights: expected [[[1.41"),
        ],
    ),
}
