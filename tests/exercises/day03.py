"""Answers to the exercises of day 3: other right ones, and wrong ones that are really given."""

from itertools import pairwise

import torch
from answers import Answers
from torch.nn import functional as F


def collapse_by_asking(layers):
    def net(x):
        for weight, bias in layers:
            x = x @ weight + bias
        return x

    inputs = layers[0][0].shape[0]
    bias = net(torch.zeros(1, inputs))[0]
    return net(torch.eye(inputs)) - bias, bias


def collapse_from_the_end(layers):
    if len(layers) == 1:
        return layers[0]
    weight, bias = collapse_from_the_end(layers[1:])
    return [layers[0][0] @ weight, layers[0][1] @ weight + bias]


def collapse_in_reverse(layers):
    weight = layers[-1][0]
    for other, _ in reversed(layers[:-1]):
        weight = weight @ other
    return weight, collapse_from_the_end(layers)[1]


def product_of(layers):
    return torch.linalg.multi_dot([w for w, _ in layers]) if len(layers) > 1 else layers[0][0]


def collapse_adding_biases(layers):
    return product_of(layers), sum(b for _, b in layers)


def collapse_with_last_bias(layers):
    return product_of(layers), layers[-1][1]


def collapse_first_two(layers):
    if len(layers) == 1:
        return layers[0]
    (w1, b1), (w2, b2) = layers[:2]
    return w1 @ w2, b1 @ w2 + b2


def collapse_through_its_own_weight(layers):
    bias = layers[0][1]
    for (weight, _), (_, other) in pairwise(layers):
        bias = bias @ weight + other
    return product_of(layers), bias


def collapse_to_a_weight(layers):
    return product_of(layers)


def leaky_grad_by_autograd(z, slope=0.01):
    return torch.autograd.functional.vjp(lambda z: F.leaky_relu(z, slope), z, torch.ones_like(z))[1]


def mish(z):
    return z * torch.tanh(F.softplus(z))


def mish_grad_by_autograd(z):
    z = z.clone().requires_grad_()
    return torch.autograd.grad(mish(z).sum(), z)[0]


def mish_grad_by_the_paper(z):
    e = z.double().exp()
    omega = 4 * (z + 1) + 4 * e**2 + e**3 + e * (4 * z + 6)
    delta = 2 * e + e**2 + 2
    return (e * omega / delta**2).float()


def tanh_of_softplus(z):
    return torch.tanh(F.softplus(z))


def mish_grad_without_chain(z):
    return tanh_of_softplus(z) + z * (1 - tanh_of_softplus(z) ** 2)


def mish_grad_of_tanh_at_z(z):
    return tanh_of_softplus(z) + z * (1 - torch.tanh(z) ** 2) * torch.sigmoid(z)


def mish_grad_with_sigmoids_slope(z):
    gate = torch.sigmoid(z)
    return tanh_of_softplus(z) + z * (1 - tanh_of_softplus(z) ** 2) * gate * (1 - gate)


def saturated_by_counting(a, edge=0.05):
    return sum(v < edge or v > 1 - edge for row in a.tolist() for v in row) / a.numel()


def dead_by_cat(batches):
    return 1 - (torch.cat(batches) > 0).any(dim=0).float().mean().item()


def dead_by_highest(batches):
    highest = torch.stack([z.amax(dim=0) for z in batches]).amax(dim=0)
    return (highest <= 0).float().mean()


def gradient_by_autograd(z, w):
    factor = torch.ones(())
    for z_k, w_k in zip(z, w, strict=True):
        z_k = z_k.clone().requires_grad_()
        factor = factor * w_k * torch.autograd.grad(torch.sigmoid(z_k), z_k)[0]
    return factor


def sigmoid_slope(z):
    return torch.sigmoid(z) * (1 - torch.sigmoid(z))


ANSWERS = {
    "day03.collapse": Answers(
        right=[collapse_by_asking, collapse_from_the_end],
        wrong=[
            (collapse_in_reverse, "in the wrong order"),
            (collapse_adding_biases, "an early bias has to pass through"),
            (collapse_with_last_bias, "bias of the last layer alone"),
            (collapse_first_two, "Only the first two layers"),
            (collapse_through_its_own_weight, "through its own layer's weight"),
            (collapse_to_a_weight, "a pair (weight, bias) was expected"),
        ],
    ),
    "day03.leaky_relu_grad": Answers(
        right=[
            lambda z, slope=0.01: slope + (1 - slope) * (z > 0),
            lambda z, slope=0.01: (z > 0).float() + slope * (z <= 0).float(),
        ],
        wrong=[
            (leaky_grad_by_autograd, "without autograd"),
            (lambda z, slope=0.01: 1.0 if z > 0 else slope, "expected a Tensor of shape [1]"),
            (lambda z, slope=0.01: z.gt_(0).clamp_(min=slope), "changes its input `z` in place"),
        ],
    ),
    "day03.mish_grad": Answers(
        right=[mish_grad_by_autograd, mish_grad_by_the_paper],
        wrong=[
            (mish, "That is Mish itself"),
            (tanh_of_softplus, "One term is missing"),
            (mish_grad_without_chain, "one more factor: the slope of the softplus"),
            (mish_grad_of_tanh_at_z, "to be taken at s(z), not at z"),
            (mish_grad_with_sigmoids_slope, "the slope of the softplus is the sigmoid itself"),
            (lambda z: 2 * tanh_of_softplus(z) - mish_grad_by_autograd(z), "A sign is wrong"),
        ],
    ),
    "day03.saturated_fraction": Answers(
        right=[
            saturated_by_counting,
            lambda a, edge=0.05: ((a - 0.5).abs() > 0.5 - edge).float().mean(),
            lambda a, edge=0.05: (torch.minimum(a, 1 - a) < edge).sum().item() / a.numel(),
        ],
        wrong=[
            (lambda a, edge=0.05: (a.abs() > 1 - edge).float().mean(), "Only the top end"),
            (lambda a, edge=0.05: (a < edge).float().mean(), "Only the bottom end"),
            (lambda a, edge=0.05: ((a < edge) & (a > 1 - edge)).float().mean(), "join the conditions with `|`"),
            (lambda a, edge=0.05: ((a >= edge) & (a <= 1 - edge)).float().mean(), "not saturated"),
            (lambda a, edge=0.05: ((a < edge) | (a > 1 - edge)).float().sum(), "a number of outputs"),
            (lambda a, edge=0.05: ((a < 0.05) | (a > 0.95)).float().mean(), "always an edge of 0.05"),
            (lambda a, edge=0.05: ((a <= edge) | (a >= 1 - edge)).float().mean(), "exactly `edge` away"),
            (lambda a, edge=0.05: 100 * ((a < edge) | (a > 1 - edge)).float().mean(), "per cent"),
        ],
    ),
    "day03.dead_fraction": Answers(
        right=[dead_by_cat, dead_by_highest],
        wrong=[
            (lambda batches: (torch.cat(batches) <= 0).float().mean(), "share of zero activations"),
            (
                lambda batches: torch.stack([(z <= 0).all(0).float().mean() for z in batches]).mean(),
                "the mean over batches",
            ),
            (lambda batches: (batches[-1] <= 0).all(0).float().mean(), "the last batch alone"),
            (lambda batches: (torch.cat(batches) <= 0).all(1).float().mean(), "look down the columns"),
            (lambda batches: (torch.cat(batches) <= 0).any(0).float().mean(), "silent at least once"),
            (lambda batches: (torch.cat(batches) > 0).any(0).float().mean(), "that are alive"),
            (lambda batches: (torch.cat(batches) < 0).all(0).float().mean(), "At exactly 0 a ReLU is silent"),
        ],
    ),
    "day03.gradient_left": Answers(
        right=[gradient_by_autograd, lambda z, w: float((w * sigmoid_slope(z)).double().prod())],
        wrong=[
            (lambda z, w: sigmoid_slope(z).prod(), "Weights are missing"),
            (lambda z, w: (w * torch.sigmoid(z)).prod(), "outputs of the sigmoid"),
            (lambda z, w: (w * sigmoid_slope(z)).sum(), "Those are added"),
            (lambda z, w: (w * 0.25).prod(), "A quarter is the slope at z = 0 alone"),
            (lambda z, w: (w * (1 - torch.tanh(z) ** 2)).prod(), "slope of tanh"),
            (lambda z, w: (w * sigmoid_slope(w * z)).prod(), "`z` already contains the weight"),
            (lambda z, w: (w * sigmoid_slope(z)).prod().abs(), "the sign of the weights counts"),
        ],
    ),
}
