"""Answers to the exercises of day 3: other right ones, and wrong ones that are really given."""


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


def product_of(layers):
    return torch.linalg.multi_dot([w for w, _ in layers]) if len(layers) > 1 else layers[0][0]


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


def collapse_of_four(layers):
    weight, bias = layers[0]
    for number in (1, 2, 3):
        if len(layers) > number:
            weight, bias = weight @ layers[number][0], bias @ layers[number][0] + layers[number][1]
    return weight, bias


def collapse_in_place(layers):
    while len(layers) > 1:
        (w1, b1), (w2, b2) = layers.pop(0), layers.pop(0)
        layers.insert(0, (w1 @ w2, b1 @ w2 + b2))
    return layers[0]


def collapse_cut_off(layers):
    with torch.no_grad():
        return collapse_from_the_end(layers)


def mish_grad_naive(z):
    e = z.exp()
    u = torch.log(1 + e).tanh()
    return u + z * (1 - u**2) * (e / (1 + e))


def mish_grad_of_a_flat_tensor(z):
    s = F.softplus(z.view(-1))
    u = torch.tanh(s)
    return (u + z.view(-1) * (1 - u**2) * torch.sigmoid(z.view(-1))).view(z.shape)


def mish_grad_with_a_seed(z):
    torch.manual_seed(0)
    return mish_grad_by_autograd(z)


def saturated_in_the_middle(a, edge=0.05):
    return ((a - 0.5).abs() > 0.5 - edge).float().mean()


def dead_by_flags(batches):
    alive = torch.zeros(batches[0].shape[1], dtype=torch.bool)
    for z in batches:
        alive |= (z > 0).any(dim=0)
    return float((~alive).sum()) / len(alive)


def gradient_naive(z, w):
    e = torch.exp(-z)
    return (w * e / (1 + e) ** 2).prod()


def gradient_naive_sigmoid(z, w):
    a = z.exp() / (1 + z.exp())
    return (w * a * (1 - a)).prod()


ANSWERS = {
    "day03.collapse": Answers(
        right=[collapse_by_asking, collapse_from_the_end],
        wrong=[
            (collapse_of_four, "Only the first four layers"),
            (collapse_to_a_weight, "two things are to be returned, (the weight, the bias)"),
            (collapse_in_place, "changes its input `layers`"),
            (collapse_cut_off, "no gradient flows back"),
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
            (mish_grad_naive, "more than a float can hold"),
            (mish_grad_of_a_flat_tensor, "not contiguous"),
            (mish_grad_with_a_seed, "seeds the global random numbers"),
            (lambda z: mish_grad_by_autograd(z).sum(), "expected shape"),
        ],
    ),
    "day03.saturated_fraction": Answers(
        right=[
            saturated_by_counting,
            saturated_in_the_middle,
            lambda a, edge=0.05: (torch.minimum(a, 1 - a) < edge).sum().item() / a.numel(),
            lambda a, edge=0.05: ((a < edge) | (a > 1 - edge)).float().mean(dim=(0, 1), keepdim=True),
        ],
        wrong=[
            (lambda a, edge=0.05: ((a < edge) | (a > 1 - edge)).float().mean(dim=0), "what came has shape [3]"),
            (lambda a, edge=0.05: (a < edge or a > 1 - edge).float().mean(), "is ambiguous"),
            (lambda a, edge=0.05: a.sub_(0.5).abs().gt(0.5 - edge).float().mean(), "changes its input `a` in place"),
        ],
    ),
    "day03.dead_fraction": Answers(
        right=[dead_by_cat, dead_by_highest, dead_by_flags],
        wrong=[
            (lambda batches: (batches <= 0).all(0).float().mean(), "'<=' not supported"),
            (lambda batches: (torch.cat(batches) <= 0).all(0).float(), "what came has shape [2]"),
            (lambda batches: (torch.cat(batches).clamp_(min=0) == 0).all(0).any(), "expected 0.5, got True"),
        ],
    ),
    "day03.gradient_left": Answers(
        right=[gradient_by_autograd, lambda z, w: float((w * sigmoid_slope(z)).double().prod())],
        wrong=[
            (gradient_naive, "The exponential overflows far out"),
            (gradient_naive_sigmoid, "The exponential overflows far out"),
            (lambda z, w: w.mul_(sigmoid_slope(z)).prod(), "changes its input `w` in place"),
            (lambda z, w: w * sigmoid_slope(z), "what came has shape [2]"),
        ],
    ),
}
