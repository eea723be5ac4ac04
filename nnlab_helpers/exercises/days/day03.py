"""Exercises of day 3: collapsing layers, slopes, saturated and dead units, what is left of a gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import AUTOGRAD, NOT_CONTIGUOUS, VARIANTS, ZERO_DIM, Trial, any_of, case, exercise

Layers = list[tuple[Tensor, Tensor]]


# -- collapse --------------------------------------------------------------------------------------------------


def collapse(layers: Layers) -> tuple[Tensor, Tensor]:
    """The weight and bias of the one layer that does what all of them do."""
    weight, bias = layers[0]
    for next_weight, next_bias in layers[1:]:
        weight, bias = weight @ next_weight, bias @ next_weight + next_bias
    return weight, bias


def _weight_by(wrong: Callable[[Layers], Tensor]) -> Callable[[Layers], Any]:
    return lambda layers: (wrong(layers), collapse(layers)[1])


def _bias_by(wrong: Callable[[Layers], Tensor]) -> Callable[[Layers], Any]:
    return lambda layers: (collapse(layers)[0], wrong(layers))


def _in_reverse(layers: Layers) -> Tensor:
    weight = layers[-1][0]
    for other, _ in layers[-2::-1]:
        weight = weight @ other
    return weight


def _through_its_own(layers: Layers) -> Tensor:
    bias = layers[0][1]
    for (weight, _), (_, other) in pairwise(layers):
        bias = bias @ weight + other
    return bias


def _collapse_cases(t: Trial) -> list[Any]:
    one = torch.tensor
    found: list[Any] = [
        case([(one([[3.0]]), one([1.0])), (one([[2.0]]), one([5.0]))], given="for x -> 3x + 1, then u -> 2u + 5"),
        case(
            [
                (one([[1.0, 2.0], [0.0, 1.0]]), one([1.0, -1.0])),
                (one([[1.0, 0.0], [3.0, 1.0]]), one([0.5, 2.0])),
            ],
            given="for two layers of 2 units",
        ),
        case([(t.randn(2, 3), t.randn(3))], given="for a single layer"),
    ]
    for sizes in ((3, 3, 3), (2, 5, 3), (4, 4, 4, 4), (2, 3, 5, 4), (3, 7, 2, 6, 4), (2, 3, 1, 4, 3, 5, 2), (2,) * 9):
        layers = [(t.randn(i, o), t.randn(o)) for i, o in pairwise(sizes)]
        found.append(case(layers, given=f"for layers of sizes {list(sizes)}"))
    return found


exercise(
    "day03.collapse",
    title="Many layers, one layer",
    stars=3,
    hints=(
        "Multiply out (x W1 + b1) W2 + b2. What stands beside x, and what is left over?",
        "The weight is W1 @ W2. The first bias passes through the second layer too: b1 @ W2 + b2.",
        "For more layers, go on in the same way: keep one (weight, bias) and fold in the next layer, in a loop.",
    ),
    learned="This is how a batch normalisation is folded into the layer before it when a trained network is shipped.",
    right=collapse,
    cases=_collapse_cases,
    returns=("the weight", "the bias"),
    variants=(NOT_CONTIGUOUS,),  # an answer may put a float32 identity through the layers
    mistakes={
        "Those matrices are multiplied in the wrong order: x meets the first layer first.": _weight_by(_in_reverse),
        "Only the first two layers are in it; `layers` may hold any number.": lambda layers: collapse(layers[:2]),
        "Only the first three layers are in it; `layers` may hold any number.": lambda layers: collapse(layers[:3]),
        "Only the first four layers are in it; `layers` may hold any number.": lambda layers: collapse(layers[:4]),
        "That is the sum of the weights: one layer after another multiplies.": _weight_by(
            lambda layers: torch.stack([w for w, _ in layers]).sum(0)
        ),
        "That multiplies entry by entry (`*`); a layer after a layer is a matrix product (`@`).": _weight_by(
            lambda layers: torch.stack([w for w, _ in layers]).prod(0)
        ),
        "That is the last layer alone.": _weight_by(lambda layers: layers[-1][0]),
        "That is the first layer alone.": any_of(lambda layers: layers[0], _weight_by(lambda layers: layers[0][0])),
        "The biases are added up, but an early bias has to pass through the layers after it.": _bias_by(
            lambda layers: torch.stack([b for _, b in layers]).sum(0)
        ),
        "That is the bias of the last layer alone: what became of the earlier ones?": _bias_by(
            lambda layers: layers[-1][1]
        ),
        "That is the bias of the first layer alone.": _bias_by(lambda layers: layers[0][1]),
        "The earlier bias passes through its own layer's weight; it has to pass through the next one's.": _bias_by(
            _through_its_own
        ),
    },
)


# -- slopes ----------------------------------------------------------------------------------------------------


def leaky_relu_grad(z: Tensor, slope: float = 0.01) -> Tensor:
    """The slope of LeakyReLU, the left one at 0."""
    return torch.where(z > 0, 1.0, slope)


def _leaky_cases(t: Trial) -> list[Any]:
    return [
        torch.tensor([3.0]),
        torch.tensor([-2.0]),
        torch.tensor([0.0]),
        case(torch.tensor([-1.0, 2.0]), slope=0.2),
        t.randn(4, 3),
        case(3 * t.randn(2, 3, 5), slope=0.3),
        case(t.randn(7), slope=0.0),  # plain ReLU: a slope of 0 is one, too
        torch.tensor([-1e30, 1e30, float("inf"), float("-inf")]),
        case(t.randn(2, 3), 0.1),
    ]


exercise(
    "day03.leaky_relu_grad",
    title="The slope of LeakyReLU",
    stars=1,
    hints=(
        "The function is two straight lines. What is the slope of each?",
        "torch.where(condition, a, b) picks from a where the condition holds and from b elsewhere.",
        "torch.where(z > 0, 1.0, slope)",
    ),
    learned="At z = 0 the derivative is not defined; like PyTorch you took the left one.",
    right=leaky_relu_grad,
    cases=_leaky_cases,
    variants=(*VARIANTS, ZERO_DIM),
    forbids={"The task asks for the derivative without autograd: two slopes, and a condition.": AUTOGRAD},
    mistakes={
        "At 0 take the slope from the left, as PyTorch does.": lambda z, slope=0.01: torch.where(z >= 0, 1.0, slope),
        "That is the derivative of plain ReLU: what does LeakyReLU do left of zero?": any_of(
            lambda z, slope=0.01: (z > 0).float(), lambda z, slope=0.01: (z >= 0).float()
        ),
        "That is always 0.01: use the argument `slope`.": lambda z, slope=0.01: leaky_relu_grad(z),
        "A slope of 0 is a slope: it was taken for none.": lambda z, slope=0.01: leaky_relu_grad(z, slope or 0.01),
        "The two sides have changed places.": lambda z, slope=0.01: torch.where(z > 0, slope, 1.0),
        "Left of zero the slope does not depend on z.": lambda z, slope=0.01: torch.where(z > 0, 1.0, slope * z),
        "That is LeakyReLU itself: its slope is asked for.": lambda z, slope=0.01: torch.where(z > 0, z, slope * z),
        "Right of zero the line is z itself: a slope of 1, whatever z is.": lambda z, slope=0.01: torch.where(
            z > 0, z, slope
        ),
        "Left of zero the line still rises: its slope is positive.": lambda z, slope=0.01: torch.where(
            z > 0, 1.0, -slope
        ),
    },
)


def mish_grad(
    z: Tensor, *, slope: Any = None, first: Callable[[Tensor], Tensor] = lambda s: s, second: float = 1.0
) -> Tensor:
    """The slope of Mish: u + z (1 - u**2) sigmoid(z) with u = tanh(softplus(z)).

    Wrong ones: `slope(z, s, u, gate)` stands beside z, `first(u)` stands for the first term, `second` is a factor.
    """
    s, gate = F.softplus(z), torch.sigmoid(z)
    u = torch.tanh(s)
    beside_z = slope(z, s, u, gate) if slope else (1 - u**2) * gate
    return first(u) + second * z * beside_z


def _mish(z: Tensor) -> Tensor:
    return z * torch.tanh(F.softplus(z))


def _naive_mish_grad(z: Tensor) -> Tensor:
    e = z.exp()
    u = torch.tanh(torch.log(1 + e))
    return u + z * (1 - u**2) * e / (1 + e)


exercise(
    "day03.mish_grad",
    title="The slope of a newcomer",
    stars=2,
    hints=(
        "The product rule gives two terms: 1 times tanh(s), and z times the slope of tanh(s(z)).",
        "The slope of tanh(s(z)) takes the chain rule: (1 - tanh(s)**2) times the slope of s.",
        "The slope of log(1 + exp(z)) is exp(z) / (1 + exp(z)), and that is the sigmoid.",
        "With u = torch.tanh(F.softplus(z)): u + z * (1 - u**2) * torch.sigmoid(z).",
    ),
    learned="The softplus is a ReLU with a round corner, so its slope, the sigmoid, is a step with round corners.",
    right=mish_grad,
    cases=lambda t: [
        torch.tensor([2.0]),
        torch.tensor([0.0]),
        torch.tensor([-2.0]),
        2 * t.randn(3, 5),
        t.randn(2, 3, 4),
        torch.tensor([-60.0, -30.0, 30.0, 60.0]),
        torch.tensor([100.0]),
        torch.tensor([-100.0]),
    ],
    variants=(*VARIANTS, ZERO_DIM),
    gradient=False,  # autograd may be used, and then the result has none
    mistakes={
        "That is Mish itself: its slope is asked for.": _mish,
        "`exp(z)` is more than a float can hold from z = 89 on, and inf / inf is NaN: `torch.sigmoid` and `F.softplus` "
        "are written so that this does not happen.": _naive_mish_grad,
        "One term is missing: z stands in both factors, so the product rule gives two.": any_of(
            partial(mish_grad, second=0.0), partial(mish_grad, first=torch.zeros_like)
        ),
        "The chain rule has one more factor: the slope of the softplus.": partial(
            mish_grad, slope=lambda z, s, u, gate: 1 - u**2
        ),
        "That multiplies the slopes of the two factors: the product rule is a sum of two terms.": lambda z: (
            (1 - torch.tanh(F.softplus(z)) ** 2) * torch.sigmoid(z)
        ),
        "In the second term a factor z is missing.": lambda z: (
            torch.tanh(F.softplus(z)) + (1 - torch.tanh(F.softplus(z)) ** 2) * torch.sigmoid(z)
        ),
        "The slope of tanh is to be taken at s(z), not at z.": any_of(
            partial(mish_grad, slope=lambda z, s, u, gate: (1 - torch.tanh(z) ** 2) * gate),
            lambda z: torch.tanh(z) + z * (1 - torch.tanh(z) ** 2) * torch.sigmoid(z),
        ),
        "The slope of tanh is one minus its square; the square is missing.": partial(
            mish_grad, slope=lambda z, s, u, gate: (1 - u) * gate
        ),
        "The slope of tanh is 1 - tanh**2; yours is that of the sigmoid.": partial(
            mish_grad, slope=lambda z, s, u, gate: u * (1 - u) * gate
        ),
        "That uses the slope of the sigmoid; the slope of the softplus is the sigmoid itself.": partial(
            mish_grad, slope=lambda z, s, u, gate: (1 - u**2) * gate * (1 - gate)
        ),
        "A sign is wrong: the two terms of the product rule are added.": partial(mish_grad, second=-1.0),
        "In the second term the slope of the softplus is asked for, not the softplus.": partial(
            mish_grad, slope=lambda z, s, u, gate: (1 - u**2) * s
        ),
    },
)


# -- saturated and dead units ----------------------------------------------------------------------------------

Share = Callable[..., float]


def saturated_fraction(a: Tensor, edge: float = 0.05) -> float:
    """The share of entries closer than `edge` to 0 or 1."""
    return ((a < edge) | (a > 1 - edge)).double().mean().item()


def _saturated_by(where: Callable[[Tensor, float], Tensor]) -> Share:
    """The share of entries of which something else is true."""
    return lambda a, edge=0.05: where(a, edge).double().mean().item()


def _saturated_count(a: Tensor, edge: float) -> float:
    return saturated_fraction(a, edge) * a.numel()


exercise(
    "day03.saturated_fraction",
    title="How much is saturated?",
    stars=1,
    hints=(
        "An output can be stuck at the top or at the bottom: two conditions, joined by `|`.",
        "A tensor of True and False becomes a share with .float().mean().",
        "((a < edge) | (a > 1 - edge)).float().mean()",
    ),
    learned="Near its ends the sigmoid's slope a * (1 - a) is about the distance to the end, so at most `edge` passes.",
    right=saturated_fraction,
    cases=lambda t: [
        torch.tensor([[0.01, 0.5, 0.99], [0.98, 0.97, 0.6]]),
        case(torch.tensor([[0.15, 0.5, 0.83, 0.01]]), edge=0.2),
        case(torch.tensor([[0.25, 0.5, 0.75, 0.2]]), edge=0.25),
        case(torch.tensor([[0.0, 0.5, 1.0]]), edge=0.25),
        case(torch.tensor([[0.5, 0.0], [1.0, 0.25]]), edge=0.0),
        torch.sigmoid(4 * t.randn(7, 5)),
        case(torch.sigmoid(3 * t.randn(40, 9)), 0.1),
        torch.full((3, 2), 0.5),
    ],
    number=True,
    mistakes={
        "That is always an edge of 0.05: use the argument.": lambda a, edge=0.05: saturated_fraction(a),
        "An edge of 0 is an edge, too: nothing is closer than that.": lambda a, edge=0.05: (
            saturated_fraction(a, edge or 0.05)
        ),
        "An output that is exactly `edge` away is not closer than `edge`.": any_of(
            _saturated_by(lambda a, edge: (a <= edge) | (a > 1 - edge)),
            _saturated_by(lambda a, edge: (a < edge) | (a >= 1 - edge)),
            _saturated_by(lambda a, edge: (a <= edge) | (a >= 1 - edge)),
        ),
        "Only the top end is counted: an output near 0 is just as stuck.": _saturated_by(lambda a, edge: a > 1 - edge),
        "Only the bottom end is counted: an output near 1 is just as stuck.": _saturated_by(lambda a, edge: a < edge),
        "No output is near 0 and near 1 at once: join the conditions with `|` (or), not `&` (and).": _saturated_by(
            lambda a, edge: (a < edge) & (a > 1 - edge)
        ),
        "That is the share of outputs that are not saturated.": lambda a, edge=0.05: 1 - saturated_fraction(a, edge),
        "That is a number of outputs; divide by how many there are.": lambda a, edge=0.05: _saturated_count(a, edge),
        "That is in per cent; a share from 0 to 1 is asked for.": lambda a, edge=0.05: (
            100 * saturated_fraction(a, edge)
        ),
        "Divide by the number of entries, not by the number of rows.": lambda a, edge=0.05: (
            _saturated_count(a, edge) / len(a)
        ),
        "Divide by the number of entries, not by the number of units.": lambda a, edge=0.05: (
            _saturated_count(a, edge) / a.shape[1]
        ),
        "That is the share of units that are saturated at least once; count entries.": _saturated_by(
            lambda a, edge: ((a < edge) | (a > 1 - edge)).any(0)
        ),
        "Is the edge measured from the middle? It is the distance to 0 or to 1.": _saturated_by(
            lambda a, edge: (a - 0.5).abs() > edge
        ),
    },
)


def dead_fraction(batches: list[Tensor]) -> float:
    """The share of units that no row of any batch fires."""
    return (torch.cat(batches) <= 0).all(0).double().mean().item()


def _dead_by(where: Callable[[Tensor], Tensor]) -> Callable[[list[Tensor]], float]:
    """The share of what is true of all batches put together."""
    return lambda batches: where(torch.cat(batches)).double().mean().item()


def _dead_per_batch(batches: list[Tensor], weighted: bool = False) -> float:
    weights = [len(z) if weighted else 1 for z in batches]
    return sum(w * dead_fraction([z]) for w, z in zip(weights, batches, strict=True)) / sum(weights)


def _dead_cases(t: Trial) -> list[Any]:
    one = torch.tensor
    small = [
        [one([[1.0, -1.0]])],
        [one([[1.0, -1.0], [-2.0, -1.0]])],
        [one([[-1.0, 1, 1, 1, 1]]), one([[1.0, -1, -1, 1, 1], [1.0, -1, -1, -1, -1]])],
        [one([[1.0, -1.0], [-2.0, -1.0]]), one([[-3.0, -1.0]])],
        [one([[-1.0, 2.0]]), one([[3.0, -4.0]])],
        [one([[0.0, 1.0, -1.0, -2.0]])],
        [one([[-1.0, 1.0]]), one([[0.0, -1.0]])],
        [one([[-1.0]]), one([[-2.0]])],
    ]
    found = [case(batches, given=f"for batches {[z.tolist() for z in batches]}") for batches in small]
    for sizes in ((9,), (5, 5, 2), (1, 6, 3, 4)):
        batches = [t.randn(n, 40) - 1.2 for n in sizes]
        found.append(case(batches, given=f"for {len(batches)} batches of random numbers"))
    return found


exercise(
    "day03.dead_fraction",
    title="Counting the dead, batch by batch",
    stars=2,
    hints=(
        "A unit is alive as soon as a single row of a single batch fires it.",
        "For one batch: (z > 0).any(dim=0) says for each unit whether it fires. Join the batches with `|`.",
        "Or glue the batches together first: torch.cat(batches) is [N, units].",
    ),
    learned="The mean over batches is too high, and the smaller the batches, the more of the living it buries.",
    right=dead_fraction,
    cases=_dead_cases,
    number=True,
    mistakes={
        "A unit that is silent in one batch is not dead yet: it must be silent in *every* batch.": lambda batches: (
            torch.stack([(z <= 0).all(0) for z in batches]).any(0).float().mean().item()
        ),
        "That is the share of units that are alive.": lambda batches: 1 - dead_fraction(batches),
        "That is the share of zero activations. A unit is dead only if it is silent for every row.": _dead_by(
            lambda z: z <= 0
        ),
        "That is the mean over batches: a unit silent in one batch may fire in another.": any_of(
            _dead_per_batch, partial(_dead_per_batch, weighted=True)
        ),
        "That is the last batch alone.": lambda batches: dead_fraction(batches[-1:]),
        "That is the first batch alone.": lambda batches: dead_fraction(batches[:1]),
        "That counts units that are silent at least once: dead is silent for every row.": _dead_by(
            lambda z: (z <= 0).any(0)
        ),
        "That counts rows that fire no unit: look down the columns (dim 0), not along the rows.": _dead_by(
            lambda z: (z <= 0).all(1)
        ),
        "That is a number of units; divide by how many there are.": lambda batches: (
            dead_fraction(batches) * batches[0].shape[1]
        ),
        "That is in per cent; a share from 0 to 1 is asked for.": lambda batches: 100 * dead_fraction(batches),
        "At exactly 0 a ReLU is silent: it fires where its pre-activation is above 0.": _dead_by(
            lambda z: (z < 0).all(0)
        ),
        "Silent is not only exactly 0: these are pre-activations, and below 0 a ReLU is silent as well.": _dead_by(
            lambda z: (z == 0).all(0)
        ),
    },
)


# -- what is left of a gradient --------------------------------------------------------------------------------


def sigmoid_slope(z: Tensor) -> Tensor:
    """The slope of the sigmoid at `z`."""
    a = torch.sigmoid(z)
    return a * (1 - a)


def gradient_left(z: Tensor, w: Tensor, *, slope: Callable[[Tensor], Tensor] = sigmoid_slope) -> float:
    """The product of all weights and of all slopes at `z`."""
    return (w * slope(z)).prod().item()


def _naive_slope(z: Tensor) -> Tensor:
    e = z.exp()
    return e / (1 + e) ** 2


exercise(
    "day03.gradient_left",
    title="What is left of a gradient?",
    stars=1,
    hints=(
        "Layer k multiplies the gradient by two numbers: its weight and its slope at z[k].",
        "The slope of each layer is a * (1 - a) with a = torch.sigmoid(z). tensor.prod() multiplies all entries.",
        "a = torch.sigmoid(z), then (w * a * (1 - a)).prod()",
    ),
    learned="A weight of 4 would cancel the slope of 0.25, but only near z = 0, and large weights drive z away.",
    right=gradient_left,
    cases=lambda t: [
        (torch.tensor([1.0]), torch.tensor([2.0])),
        (torch.tensor([0.0]), torch.tensor([2.0])),
        (torch.tensor([0.0, 2.0]), torch.tensor([4.0, -3.0])),
        (torch.tensor([0.5, 0.5]), torch.tensor([-1.0, -2.0])),
        (t.randn(5), 3 * t.randn(5)),
        (t.randn(3), 4 * t.randn(3)),
        (0.2 * t.randn(12), 4 + t.rand(12)),
        (torch.tensor([100.0]), torch.tensor([2.0])),
        (torch.tensor([-100.0]), torch.tensor([2.0])),
        (torch.tensor([1.0, 0.5, -1.0]), torch.tensor([3.0, 0.0, 2.0])),
    ],
    number=True,
    rtol=1e-3,
    atol=1e-8,
    mistakes={
        "Weights are missing: every layer, also the first, multiplies by its weight.": lambda z, w: (
            sigmoid_slope(z).prod().item()
        ),
        "The slopes are missing: the weights alone would do for a chain without bends.": lambda z, w: w.prod().item(),
        "The exponential overflows far out, and inf / inf is NaN: `torch.sigmoid` is written so that it does not.": (
            any_of(
                partial(gradient_left, slope=_naive_slope),
                partial(gradient_left, slope=lambda z: _naive_slope(-z)),
                partial(gradient_left, slope=lambda z: z.exp() / (1 + z.exp()) * (1 - z.exp() / (1 + z.exp()))),
            )
        ),
        "That multiplies by the outputs of the sigmoid; the chain rule asks for its slope at z.": any_of(
            partial(gradient_left, slope=torch.sigmoid), lambda z, w: torch.sigmoid(z).prod().item()
        ),
        "Those are added; one layer after another multiplies.": any_of(
            lambda z, w: (w * sigmoid_slope(z)).sum().item(), lambda z, w: sigmoid_slope(z).sum().item()
        ),
        "A quarter is the slope at z = 0 alone: use the slope at each z.": any_of(
            lambda z, w: (w * 0.25).prod().item(), lambda z, w: 0.25 ** len(z)
        ),
        "That is the slope of tanh: these are sigmoid units.": partial(
            gradient_left, slope=lambda z: 1 - torch.tanh(z) ** 2
        ),
        "The slope is taken at w * z; `z` already contains the weight.": lambda z, w: (
            (w * sigmoid_slope(w * z)).prod().item()
        ),
        "The slope is taken at a; take it at z.": partial(
            gradient_left, slope=lambda z: sigmoid_slope(torch.sigmoid(z))
        ),
        "A derivative may be negative: the sign of the weights counts.": lambda z, w: abs(gradient_left(z, w)),
        "That is 1 - a alone; the slope is a * (1 - a).": partial(gradient_left, slope=lambda z: 1 - torch.sigmoid(z)),
    },
)
