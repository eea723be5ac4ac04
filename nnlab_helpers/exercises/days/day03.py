"""Checks of day 3: collapsing layers, slopes, saturated and dead units, what is left of a gradient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import AUTOGRAD, Trial, any_of, case, exercise

Layers = list[tuple[Tensor, Tensor]]


@exercise(
    "day03.collapse",
    title="Many layers, one layer",
    stars=3,
    hints=(
        "Multiply out (x W1 + b1) W2 + b2. What stands beside x, and what is left over?",
        "The weight is W1 @ W2. The first bias passes through the second layer too: b1 @ W2 + b2.",
        "For more layers, go on in the same way: keep one (weight, bias) and fold in the next layer, in a loop.",
    ),
    learned="This is how a batch normalisation is folded into the layer before it when a trained network is shipped.",
)
def collapse(answer: Callable[..., Any], t: Trial) -> None:
    """Fold stacks of one to four linear layers, square and not."""
    one = torch.tensor
    cases: list[tuple[str, Layers]] = [
        ("x -> 3x + 1, then u -> 2u + 5", [(one([[3.0]]), one([1.0])), (one([[2.0]]), one([5.0]))]),
        (
            "two layers of 2 units",
            [
                (one([[1.0, 2.0], [0.0, 1.0]]), one([1.0, -1.0])),
                (one([[1.0, 0.0], [3.0, 1.0]]), one([0.5, 2.0])),
            ],
        ),
        ("a single layer", [(t.randn(2, 3), t.randn(3))]),
    ]
    for sizes in ((3, 3, 3), (2, 5, 3), (4, 4, 4, 4), (2, 3, 5, 4), (3, 7, 2, 6, 4)):
        stack = [(t.randn(i, o), t.randn(o)) for i, o in pairwise(sizes)]
        cases.append((f"layers of sizes {list(sizes)}", stack))
    for given, layers in cases:
        got = t.call(answer, layers)
        if not isinstance(got, tuple | list) or len(got) != 2:
            t.fail(f"for {given}: a pair (weight, bias) was expected", "End with `return weight, bias`.")
        weight, bias = _fold(layers)
        t.expect(got[0], weight, given=given, what="the weight", known=_wrong_weights(layers))
        t.expect(got[1], bias, given=given, what="the bias", known=_wrong_biases(layers))


def _fold(layers: Layers) -> tuple[Tensor, Tensor]:
    weight, bias = layers[0]
    for next_weight, next_bias in layers[1:]:
        weight, bias = weight @ next_weight, bias @ next_weight + next_bias
    return weight, bias


def _wrong_weights(layers: Layers) -> dict[str, Any]:
    def reverse() -> Tensor | None:
        weight = layers[-1][0]
        for other, _ in layers[-2::-1]:
            if weight.shape[1] != other.shape[0]:
                return None
            weight = weight @ other
        return weight

    same = all(w.shape == layers[0][0].shape for w, _ in layers)
    return {
        "Those matrices are multiplied in the wrong order: x meets the first layer first.": reverse,
        "Only the first two layers are in it; `layers` may hold any number.": _fold(layers[:2])[0],
        "That is the sum of the weights: one layer after another multiplies.": (
            sum(w for w, _ in layers) if same else None
        ),
        "That multiplies entry by entry (`*`); a layer after a layer is a matrix product (`@`).": (
            torch.stack([w for w, _ in layers]).prod(0) if same else None
        ),
        "That is the last layer alone.": layers[-1][0],
        "That is the first layer alone.": layers[0][0],
    }


def _wrong_biases(layers: Layers) -> dict[str, Any]:
    same = all(b.shape == layers[0][1].shape for _, b in layers)

    def unmoved_first() -> Tensor | None:
        if not same:
            return None
        bias = layers[0][1]
        for (weight, _), (_, other) in pairwise(layers):
            bias = bias @ weight + other
        return bias

    return {
        "The biases are added up, but an early bias has to pass through the layers after it.": (
            sum(b for _, b in layers) if same else None
        ),
        "That is the bias of the last layer alone: what became of the earlier ones?": layers[-1][1],
        "That is the bias of the first layer alone.": layers[0][1],
        "Only the first two layers are in it; `layers` may hold any number.": _fold(layers[:2])[1],
        "The earlier bias passes through its own layer's weight; it has to pass through the next one's.": unmoved_first,
    }


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
        case(torch.tensor(-0.5), 0.1),
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


@exercise(
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
)
def mish_grad(answer: Callable[..., Any], t: Trial) -> None:
    """Compare with the derivative at 2, 0, -2, on random tensors and far out."""
    cases = [torch.tensor([2.0]), torch.tensor([0.0]), torch.tensor([-2.0]), 2 * t.randn(3, 5), t.randn(2, 3, 4)]
    cases.append(torch.tensor([-60.0, -30.0, 30.0, 60.0]))
    for z in cases:
        got = t.call(answer, z)
        s, gate = F.softplus(z), torch.sigmoid(z)
        u = torch.tanh(s)
        t.expect(
            got.detach() if isinstance(got, Tensor) else got,
            u + z * (1 - u**2) * gate,
            given=f"z = {z.item()}" if z.numel() == 1 else None,
            known={
                "That is Mish itself: its slope is asked for.": z * u,
                "One term is missing: z stands in both factors, so the product rule gives two.": any_of(
                    u, z * (1 - u**2) * gate
                ),
                "The chain rule has one more factor: the slope of the softplus.": u + z * (1 - u**2),
                "That multiplies the slopes of the two factors: the product rule is a sum of two terms.": (1 - u**2)
                * gate,
                "In the second term a factor z is missing.": u + (1 - u**2) * gate,
                "The slope of tanh is to be taken at s(z), not at z.": any_of(
                    u + z * (1 - torch.tanh(z) ** 2) * gate,
                    torch.tanh(z) + z * (1 - torch.tanh(z) ** 2) * gate,
                ),
                "The slope of tanh is one minus its square; the square is missing.": u + z * (1 - u) * gate,
                "The slope of tanh is 1 - tanh**2; yours is that of the sigmoid.": u + z * u * (1 - u) * gate,
                "That uses the slope of the sigmoid; the slope of the softplus is the sigmoid itself.": u
                + z * (1 - u**2) * gate * (1 - gate),
                "A sign is wrong: the two terms of the product rule are added.": u - z * (1 - u**2) * gate,
                "In the second term the slope of the softplus is asked for, not the softplus.": u + z * (1 - u**2) * s,
            },
        )


@exercise(
    "day03.saturated_fraction",
    title="How much is saturated?",
    stars=1,
    hints=(
        "An output can be stuck at the top or at the bottom: two conditions, joined by `|`.",
        "A tensor of True and False becomes a share with .float().mean().",
        "((a < edge) | (a > 1 - edge)).float().mean()",
    ),
    learned="Near its ends the sigmoid's slope a * (1 - a) is about the distance to the end, so at most `edge` passes.",
)
def saturated_fraction(answer: Callable[..., Any], t: Trial) -> None:
    """Count both ends, on given and on random outputs, with several edges."""
    cases: list[tuple[Tensor, dict[str, float]]] = [
        (torch.tensor([[0.01, 0.5, 0.99], [0.98, 0.97, 0.6]]), {}),  # tells all known mistakes apart
        (torch.tensor([[0.15, 0.5, 0.83, 0.01]]), {"edge": 0.2}),
        (torch.tensor([[0.25, 0.5, 0.75, 0.2]]), {"edge": 0.25}),
        (torch.sigmoid(4 * t.randn(7, 5)), {}),
        (torch.sigmoid(3 * t.randn(40, 9)), {"edge": 0.1}),
    ]
    for a, extra in cases:
        edge = extra.get("edge", 0.05)
        got = t.call(answer, a, **extra)
        low, high = (a < edge).float(), (a > 1 - edge).float()
        both = low + high
        want = both.mean()
        given = f"a = {[[round(v, 2) for v in row] for row in a.tolist()]}, edge = {edge}" if a.numel() < 7 else None
        t.expect(
            _number(got),
            want.item(),
            given=given,
            known={
                "That is always an edge of 0.05: use the argument.": ((a < 0.05) | (a > 0.95)).float().mean().item(),
                "An output that is exactly `edge` away is not closer than `edge`.": any_of(
                    ((a <= edge) | (a > 1 - edge)).float().mean().item(),
                    ((a < edge) | (a >= 1 - edge)).float().mean().item(),
                    ((a <= edge) | (a >= 1 - edge)).float().mean().item(),
                ),
                "Only the top end is counted: an output near 0 is just as stuck.": any_of(
                    high.mean().item(), (a.abs() > 1 - edge).float().mean().item()
                ),
                "Only the bottom end is counted: an output near 1 is just as stuck.": low.mean().item(),
                "No output is near 0 and near 1 at once: join the conditions with `|` (or), not `&` (and).": 0.0,
                "That is the share of outputs that are not saturated.": 1 - want.item(),
                "That is a number of outputs; divide by how many there are.": both.sum().item(),
                "That is in per cent; a share from 0 to 1 is asked for.": 100 * want.item(),
                "Divide by the number of entries, not by the number of rows.": both.sum().item() / len(a),
                "Divide by the number of entries, not by the number of units.": both.sum().item() / a.shape[1],
                "That is the share of units that are saturated at least once; count entries.": both.amax(0)
                .mean()
                .item(),
                "Is the edge measured from the middle? It is the distance to 0 or to 1.": ((a - 0.5).abs() > edge)
                .float()
                .mean()
                .item(),
            },
        )


def _number(got: Any) -> Any:
    """A tensor of no dimensions as a Python number, so that both are welcome."""
    return got.detach().item() if isinstance(got, Tensor) and got.ndim == 0 else got


@exercise(
    "day03.dead_fraction",
    title="Counting the dead, batch by batch",
    stars=2,
    hints=(
        "A unit is alive as soon as a single row of a single batch fires it.",
        "For one batch: (z > 0).any(dim=0) says for each unit whether it fires. Join the batches with `|`.",
        "Or glue the batches together first: torch.cat(batches) is [N, units].",
    ),
    learned="The mean over batches is too high, and the smaller the batches, the more of the living it buries.",
)
def dead_fraction(answer: Callable[..., Any], t: Trial) -> None:
    """Count the dead in one batch, in several, ragged ones, with pre-activations of exactly 0."""
    one = torch.tensor
    cases = [
        [one([[1.0, -1.0]])],
        [one([[1.0, -1.0], [-2.0, -1.0]])],
        [one([[-1.0, 1, 1, 1, 1]]), one([[1.0, -1, -1, 1, 1], [1.0, -1, -1, -1, -1]])],
        [one([[1.0, -1.0], [-2.0, -1.0]]), one([[-3.0, -1.0]])],
        [one([[-1.0, 2.0]]), one([[3.0, -4.0]])],
        [one([[0.0, 1.0, -1.0, -2.0]])],
        [one([[-1.0, 1.0]]), one([[0.0, -1.0]])],
    ]
    for sizes in ((9,), (5, 5, 2), (1, 6, 3, 4)):
        cases.append([t.randn(n, 40) - 1.2 for n in sizes])
    for batches in cases:
        got = t.call(answer, batches)
        alive = torch.stack([(z > 0).any(0) for z in batches]).any(0)
        whole = torch.cat(batches)
        want = (~alive).float().mean().item()
        small = whole.numel() < 9
        given = f"batches {[z.tolist() for z in batches]}" if small else f"{len(batches)} batches of random numbers"
        per_batch = [(z <= 0).all(0).float().mean().item() for z in batches]
        sizes_of = [len(z) for z in batches]
        silent = (whole <= 0).float()
        t.expect(
            _number(got),
            want,
            given=given,
            known={
                "A unit that is silent in one batch is not dead yet: it must be silent in *every* batch.": (
                    torch.stack([(z <= 0).all(0) for z in batches]).any(0).float().mean().item()
                ),
                "That is the share of units that are alive.": 1 - want,
                "That is the share of zero activations. A unit is dead only if it is silent for every row.": (
                    silent.mean().item()
                ),
                "That is the mean over batches: a unit silent in one batch may fire in another.": any_of(
                    sum(per_batch) / len(batches),
                    sum(p * n for p, n in zip(per_batch, sizes_of, strict=True)) / sum(sizes_of),
                ),
                "That is the last batch alone.": per_batch[-1],
                "That is the first batch alone.": per_batch[0],
                "That counts units that are silent at least once: dead is silent for every row.": (
                    silent.amax(0).mean().item()
                ),
                "That counts rows that fire no unit: look down the columns (dim 0), not along the rows.": (
                    silent.amin(1).mean().item()
                ),
                "That is a number of units; divide by how many there are.": (~alive).sum().item(),
                "That is in per cent; a share from 0 to 1 is asked for.": 100 * want,
                "At exactly 0 a ReLU is silent: it fires where its pre-activation is above 0.": (
                    (whole < 0).all(0).float().mean().item()
                ),
                "Silent is not only exactly 0: these are pre-activations, and below 0 a ReLU is silent as well.": (
                    (whole == 0).all(0).float().mean().item()
                ),
            },
        )


@exercise(
    "day03.gradient_left",
    title="What is left of a gradient?",
    stars=1,
    hints=(
        "Layer k multiplies the gradient by two numbers: its weight and its slope at z[k].",
        "The slope of each layer is a * (1 - a) with a = torch.sigmoid(z). tensor.prod() multiplies all entries.",
        "a = torch.sigmoid(z), then (w * a * (1 - a)).prod()",
    ),
    learned="A weight of 4 would cancel the slope of 0.25, but only near z = 0, and large weights drive z away.",
)
def gradient_left(answer: Callable[..., Any], t: Trial) -> None:
    """Multiply slopes and weights along chains of one to twelve units."""
    cases = [
        (torch.tensor([1.0]), torch.tensor([2.0])),
        (torch.tensor([0.0]), torch.tensor([2.0])),
        (torch.tensor([0.0, 2.0]), torch.tensor([4.0, -3.0])),
        (t.randn(5), 3 * t.randn(5)),
        (t.randn(3), 4 * t.randn(3)),
        (0.2 * t.randn(12), 4 + t.rand(12)),
    ]
    for z, w in cases:
        got = t.call(answer, z, w)
        a = torch.sigmoid(z)
        slope = a * (1 - a)
        tanh_slope = 1 - torch.tanh(z) ** 2
        given = f"z = {z.tolist()}, w = {w.tolist()}" if len(z) < 3 else f"a chain of {len(z)} random units"
        t.expect(
            _number(got),
            (w * slope).prod().item(),
            given=given,
            known={
                "Weights are missing: every layer, also the first, multiplies by its weight.": slope.prod().item(),
                "The slopes are missing: the weights alone would do for a chain without bends.": w.prod().item(),
                "That multiplies by the outputs of the sigmoid; the chain rule asks for its slope at z.": any_of(
                    (w * a).prod().item(), a.prod().item()
                ),
                "Those are added; one layer after another multiplies.": any_of(
                    (w * slope).sum().item(), slope.sum().item()
                ),
                "A quarter is the slope at z = 0 alone: use the slope at each z.": any_of(
                    (w * 0.25).prod().item(), 0.25 ** len(z)
                ),
                "That is the slope of tanh: these are sigmoid units.": (w * tanh_slope).prod().item(),
                "The slope is taken at w * z; `z` already contains the weight.": (
                    (w * torch.sigmoid(w * z) * (1 - torch.sigmoid(w * z))).prod().item()
                ),
                "The slope is taken at a; take it at z.": (w * torch.sigmoid(a) * (1 - torch.sigmoid(a))).prod().item(),
                "A derivative may be negative: the sign of the weights counts.": (w * slope).prod().abs().item(),
                "That is 1 - a alone; the slope is a * (1 - a).": (w * (1 - a)).prod().item(),
            },
            rtol=1e-3,
            atol=1e-8,
        )
