"""Checks of day 1: broadcasting, gradients that add up, `retain_graph`, the tiny engine, one step downhill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from nnlab_helpers.exercises.checking import Trial, any_of, exercise
from nnlab_helpers.exercises.days.tiny_engine import Value, slopes

# -- shapes ----------------------------------------------------------------------------------------------------

Shape = tuple[int, ...] | str
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]

# The question, the right answer, and answers that come from a known misconception.
MEETINGS: tuple[tuple[str, Shape, dict[Shape, str]], ...] = (
    (
        "[3, 1] + [4]",
        (3, 4),
        {
            "error": "3 and 4 do not meet: aligned at the right, 1 meets 4, and 3 meets a missing place.",
            (4, 3): "The right sizes the wrong way round: the last one is what 1 and 4 make.",
            (3, 1, 4): "The shapes are laid over each other, aligned at the right, not joined end to end.",
            (3, 1): "A size of 1 is stretched to the other one.",
            (4,): "Missing places on the left count as 1: the row of 4 is used once for each of the 3 rows.",
        },
    ),
    (
        "[8, 1, 28, 28] * [28]",
        (8, 1, 28, 28),
        {
            "error": "Missing places on the left count as 1, so [28] reads [1, 1, 1, 28]: does any column disagree?",
            (28,): "The larger size wins in each column; nothing is summed away.",
            (8, 28, 28, 28): "The 28 stands at the right end and meets the last 28, not the 1.",
            (8, 28, 28): "The 1 stays: dimensions are never dropped.",
        },
    ),
    (
        "[64, 10] - [64]",
        "error",
        {
            (64, 10): "It reads from the right: 64 meets 10, not the other 64. (PyTorch refuses; [64, 1] would do.)",
            (64, 64): "64 meets 10, and neither of them is 1.",
            (64, 10, 64): "The shapes are laid over each other, aligned at the right, not joined end to end.",
        },
    ),
    (
        "[5, 1, 2] + [3, 1]",
        (5, 3, 2),
        {
            "error": "From the right: 2 meets 1, 1 meets 3, 5 meets nothing. In each column is a 1 or a gap.",
            (5, 1, 2): "The middle 1 meets a 3: the larger one counts.",
            (5, 3, 1): "At the right end 2 meets 1: the larger one counts.",
            (5, 2, 3): "The right sizes in the wrong order: which column does each come from?",
        },
    ),
)


@exercise(
    "day01.broadcast_shapes",
    title="Predict the shape",
    stars=1,
    hints=(
        "Write the two shapes below each other, with their right ends aligned, and fill the gaps on the left with 1.",
        "Number 3 as an example: 64, 10 above, 1, 64 below. In the right column 10 meets 64. Equal? Is one of them 1?",
        'Number 4: 5, 1, 2 above, 1, 3, 1 below; take the larger number of each column. One of the four is "error".',
    ),
    learned="torch.broadcast_shapes((5, 1, 2), (3, 1)) answers such questions without making any tensor.",
)
def broadcast_shapes(answer: Any, t: Trial) -> None:
    """Hold four predicted shapes against the rule."""
    if isinstance(answer, str | Tensor) or not isinstance(answer, Sequence):
        t.fail(f"a list of four answers was expected, got {answer!r:.60}")
    t.require(len(answer) == len(MEETINGS), f"four answers were expected, got {len(answer)}")
    for number, ((question, right, known), given) in enumerate(zip(MEETINGS, answer, strict=True), 1):
        if given is None or given is Ellipsis:
            t.fail(f"number {number}, {question}, still waits for your answer")
        got: Any = given.strip().lower() if isinstance(given, str) else given
        if isinstance(got, int) and not isinstance(got, bool):
            t.fail(
                f"number {number}: a shape was expected, got the number {got}",
                f"A shape with one number in it is written ({got},), with a comma.",
            )
        if isinstance(got, list | tuple):
            got = tuple(got)
        if got != right:
            shown = got if isinstance(got, str) else list(got) if isinstance(got, tuple) else got
            note = known.get(got, "") if _plain(got) else ""
            t.fail(f"number {number}: {question} does not give {shown!s:.60}", note)


def _plain(value: Any) -> bool:
    """Whether `value` can be looked up: a word or a tuple of whole numbers."""
    return isinstance(value, str) or (isinstance(value, tuple) and all(isinstance(size, int) for size in value))


# -- the tiny engine -------------------------------------------------------------------------------------------


@exercise(
    "day01.divide",
    title="Teach the engine to divide",
    stars=3,
    hints=(
        "Look at `__mul__`: it computes the result, and lists two pairs, each a Value and a local slope. Do the same.",
        "a / b is a times 1 / b. When a grows by 1, the result grows by 1 / b.data.",
        "When b moves, 1 / b moves with the slope -1 / b²; a / b is a times that, so its slope is a times that.",
        'return Value(..., "/", [(a, 1 / b.data), (b, ...)]) and the last gap is hint 3 written in Python.',
    ),
    learned="The engine needed nothing but the two local slopes: `backward` already knew the rest.",
)
def divide(answer: Callable[..., Any], t: Trial) -> None:
    """Check the result of a division, what it remembers, and the slopes that come out of it."""
    cases = [(6.0, 2.0), (1.0, 4.0), (-3.0, 0.5), (0.0, -2.0)]
    cases += [(float(t.randn()), float(t.rand(low=0.5, high=3.0)) * sign) for sign in (1, -1)]
    for first, second in cases:
        a, b = Value(first), Value(second)
        given = f"a = {first:.4g}, b = {second:.4g}"
        got = t.call(answer, a, b)
        _look(got, given, t)
        t.require(
            (a.data, a.grad, a.inputs, b.data, b.grad, b.inputs) == (first, 0.0, (), second, 0.0, ()),
            f"at {given} your code changes `a` or `b`",
            "Only `backward` fills in grads; `divide` notes the local slopes in the new Value.",
        )
        t.expect(
            got.data,
            first / second,
            given=given,
            what="the data",
            known={
                "That is b / a.": second / first if first else math.inf,
                "That is a * b.": first * second,
                "That is rounded down: `//` is whole-number division.": float(first // second),
            },
        )
        _expect_slopes(got, a, b, given, t)

    a, b = Value(3.0), Value(2.0)  # a slope on both sides of the division, and a number used twice
    top = a * b + a
    got = t.call(answer, top, b)
    _look(got, "a * b + a divided by b", t)
    t.expect(slopes(got, a, b), (1.5, -0.75), given="(a * b + a) / b with a = 3, b = 2", what="the slopes of a and b")


def _look(got: Any, given: str, t: Trial) -> None:
    """Refuse what is no Value."""
    if isinstance(got, int | float | Tensor):
        t.fail(
            f"at {given} a Value was expected, got the number {float(got):.4g}",
            "A plain number forgets where it came from: wrap it in a Value that lists its inputs.",
        )
    if not (hasattr(got, "data") and hasattr(got, "inputs")):
        missing = " Is a `return` missing?" if got is None else ""
        t.fail(f"at {given} a Value was expected, got {type(got).__name__}.{missing}")
    if not isinstance(got.data, int | float):
        t.fail(
            f"at {given} `data` should be a number, and is of type {type(got.data).__name__}",
            "Calculate with `a.data` and `b.data`, the numbers inside.",
        )


def _expect_slopes(got: Any, a: Value, b: Value, given: str, t: Trial) -> None:
    """Hold the slopes of a quotient against the rule, and name the usual slips."""
    try:
        found = slopes(got, a, b)
    except TypeError as error:
        t.fail(
            f"at {given} the inputs hold {error}",
            "`inputs` is a list of pairs (the Value it came from, the local slope): two of them here.",
        )
    x, y = a.data, b.data
    t.require(
        got.inputs,
        f"at {given} the result does not remember what it was made from",
        "Hand the Value its inputs: the pairs (a, local slope) and (b, local slope).",
    )
    t.expect(
        found,
        (1 / y, -x / (y * y)),
        given=given,
        what="the slopes of a and b",
        known={
            "When `b` grows, `a / b` gets smaller: mind the sign of its slope.": (1 / y, x / (y * y)),
            "The slope of 1 / b has to be multiplied by `a`: twice the cake, twice the loss.": (1 / y, -1 / (y * y)),
            "`b` has influence too: does the result list it among its inputs?": (1 / y, 0.0),
            "`a` has influence too: does the result list it among its inputs?": (0.0, -x / (y * y)),
            "The two slopes have changed places.": (-x / (y * y), 1 / y),
            "Those are the slopes of a product.": (y, x),
            "Those are the slopes of a sum.": (1.0, 1.0),
            "The slope for b has b to the first power: it falls off with the square.": any_of(
                (1 / y, -x / y), (1 / y, x / y)
            ),
            "Half of it is right, the slope for a: how much does a / b move when `a` grows by 1?": any_of(
                (y, -x / (y * y)), (1.0, -x / (y * y)), (x / y, -x / (y * y))
            ),
        },
    )


# -- gradients that add up -------------------------------------------------------------------------------------


@exercise(
    "day01.accumulate",
    title="A big batch on a small machine",
    stars=2,
    hints=(
        "Empty `line.grad` once, before the loop. In the loop: a batch, its loss, `backward`. The letterbox adds up.",
        "Each batch gives a mean. It should count as much as it has samples: weight its loss by len(batch) / len(x).",
        "In the loop (batch_loss(line, x_batch, y_batch) * len(x_batch) / len(x)).backward(); then return line.grad.",
    ),
    learned="Four batches of 32 now train like one of 128. `fit(..., accumulate=4)` does the same from day 6 on.",
)
def accumulate(answer: Callable[..., Any], t: Trial) -> None:
    """Hold an accumulated gradient against that of one big batch, ragged tail included."""

    def slope(line: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (line[0] * x).mean()

    def squares(line: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return ((line[0] * x + line[1] - y) ** 2).mean()

    small = torch.tensor([1.0, 2.0, 6.0])
    cases = [
        ("the example, x = [1, 2, 6] in batches of 2", slope, small, torch.zeros(3), 2, None),
        ("the example, with an old gradient in `line`", slope, small, torch.zeros(3), 2, torch.tensor([5.0, 5.0])),
        ("11 samples in batches of 4", squares, t.randn(11), 3 * t.randn(11), 4, None),
        ("6 samples in batches of 3", squares, t.randn(6), 3 * t.randn(6), 3, t.randn(2)),
        ("5 samples in batches of 8", squares, t.randn(5), 3 * t.randn(5), 8, None),
    ]
    for given, loss, x, y, size, old in cases:
        start = t.randn(2)
        shown: list[int] = []
        line = start.clone().requires_grad_()
        line.grad = None if old is None else old.clone()
        got = t.call(answer, _counted(loss, shown), line, x, y, size)
        if max(shown, default=0) > size:
            t.fail(f"for {given}: batch_loss was shown {max(shown)} samples at once, and only {size} fit into memory")

        parts = [_gradient(loss, start, *part) for part in zip(x.split(size), y.split(size), strict=True)]
        shares = [len(part) / len(x) for part in x.split(size)]
        want = sum((g * share for g, share in zip(parts, shares, strict=True)), torch.zeros(2))
        total = sum(parts, torch.zeros(2))
        zero = torch.zeros(2) if old is None else old
        full = parts[:-1] or parts
        t.expect(
            got,
            want,
            given=f"for {given}:",
            what="the gradient",
            known={
                "Means were added up and not averaged: the more batches, the larger it gets.": total,
                "Every batch counts the same here, though the last one is shorter.": total / len(parts),
                "Only the last batch has survived: the letterbox is emptied inside the loop.": any_of(
                    parts[-1], parts[-1] * shares[-1], parts[-1] / len(parts)
                ),
                "An old gradient was still in `line.grad`: empty it before the loop.": any_of(
                    want + zero, total + zero, total / len(parts) + zero
                ),
                "The last, shorter batch was left out.": any_of(
                    sum(full) / len(full), want - parts[-1] * shares[-1], sum(full)
                ),
                "The number of samples is still in it: were sums added up?": want * len(x),
                "Each batch counts by how full it is, len(x_batch) / batch_size. It should count by its share of all "
                "samples, len(x_batch) / len(x).": want * len(x) / size,
                "Each batch counts as batch_size samples here, and the last one has fewer: take its own length, "
                "len(x_batch) / len(x).": total * size / len(x),
                "Divided by the number of samples, though a mean is divided already: multiply by len(x_batch).": (
                    total / len(x)
                ),
            },
        )


def _counted(loss: Loss, shown: list[int]) -> Loss:
    """The same loss, which takes down how many samples it was shown."""

    def batch_loss(line: Tensor, x: Tensor, y: Tensor) -> Tensor:
        if len(x) != len(y):
            raise ValueError(f"batch_loss got {len(x)} of x and {len(y)} of y")
        shown.append(len(x))
        return loss(line, x, y)

    return batch_loss


def _gradient(loss: Loss, start: Tensor, x: Tensor, y: Tensor) -> Tensor:
    line = start.clone().requires_grad_()
    return torch.autograd.grad(loss(line, x, y), line, materialize_grads=True)[0]


# -- retain_graph ----------------------------------------------------------------------------------------------


@exercise(
    "day01.two_gradients",
    title="What does `retain_graph=True` change?",
    stars=1,
    hints=(
        "Two walks over the shared part of the trail: the first must not wipe it. Which call gets retain_graph=True?",
        "After the first walk keep a copy, leaf.grad.clone(), and empty the letterbox: leaf.grad = None.",
        "loss_a.backward(retain_graph=True), copy, empty, loss_b.backward(), copy; return both.",
    ),
    learned="The graph costs memory as long as it is kept, so the last walk goes without retain_graph.",
)
def two_gradients(answer: Callable[..., Any], t: Trial) -> None:
    """Hold the gradients of two losses over a shared graph against those of two graphs."""
    cases = [torch.tensor([1.0, 2.0]), t.randn(3), t.randn(2, 3)]
    for number, data in enumerate(cases):
        given = "the example" if number == 0 else f"a leaf of shape {list(data.shape)}"

        def losses(leaf: Tensor) -> tuple[Tensor, Tensor]:
            shared = leaf.exp()
            return shared.sum(), (shared * shared).sum()

        one, two = data.exp(), 2 * (2 * data).exp()
        leaf = data.clone().requires_grad_()
        loss_a, loss_b = losses(leaf)
        got = t.call(answer, leaf, loss_a, loss_b)
        t.expect(
            got,
            (one, two),
            given=f"for {given}:",
            what="the pair",
            known={
                "The second holds both gradients: the letterbox was not emptied in between.": (one, one + two),
                "Both are the letterbox itself, with both gradients in it: keep a copy of the first.": (
                    one + two,
                    one + two,
                ),
                "Both are the gradient of loss_b: what you kept is the letterbox itself. Keep a copy.": (
                    two,
                    two,
                ),
                "The two have changed places.": (two, one),
                "Both are the gradient of loss_a.": (one, one),
                "The first was emptied after it was taken: keep a copy.": (torch.zeros_like(one), two),
                "The loss of the second walk was `loss_a` again.": (one, 2 * one),
            },
        )


# -- steps -----------------------------------------------------------------------------------------------------


@exercise(
    "day01.one_step",
    title="One step by hand",
    stars=1,
    hints=(
        "With the formula: mistake = weight * x + bias - y, and the two slopes are 2 times a mean.",
        "Or let torch work: make weight and bias tensors with requires_grad=True, compute the loss, call backward.",
        "The gradient points uphill: new = old - learning_rate * slope, both slopes taken before either number moves.",
    ),
    learned="Every optimiser you will meet is this line, with something cleverer in the place of the gradient.",
)
def one_step(answer: Callable[..., Any], t: Trial) -> None:
    """Hold one step of gradient descent on a line against the formula."""
    cases = [
        (0.0, 0.0, torch.tensor([2.0]), torch.tensor([1.0]), 0.1),
        (1.0, -1.0, torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.5]), 0.1),
        (float(t.randn()), float(t.randn()), t.randn(7), 2 * t.randn(7), 0.03),
        (float(t.randn()), float(t.randn()), 3 * t.randn(5), t.randn(5), 0.2),
    ]
    for weight, bias, x, y, rate in cases:
        if len(x) < 3:
            given = f"weight = {weight:g}, bias = {bias:g}, x = {x.tolist()}, y = {y.tolist()}, rate {rate:g}"
        else:
            given = f"weight = {weight:.3f}, bias = {bias:.3f}, {len(x)} random samples, rate {rate:g}"
        got = t.call(answer, weight, bias, x, y, rate)
        if isinstance(got, Tensor) and got.shape == (2,):
            got = tuple(got.tolist())

        mistake = weight * x + bias - y
        down = 2 * float((mistake * x).mean()), 2 * float(mistake.mean())

        def to(factor: float, weight: float = weight, bias: float = bias, down: tuple[float, float] = down) -> Any:
            """The place reached with the rate times a factor."""
            return weight - factor * down[0], bias - factor * down[1]

        want = to(rate)
        late = 2 * float((want[0] * x + bias - y).mean())
        t.expect(
            got,
            want,
            given=given,
            what="the new weight and bias",
            known={
                "That is a step uphill: the gradient points up, so subtract it.": to(-rate),
                "Nothing has moved.": (weight, bias),
                "Those are the slopes. The step is still to be taken.": any_of(down),
                "That is how far to move. Where do weight and bias end up?": any_of(
                    (-rate * down[0], -rate * down[1]), (rate * down[0], rate * down[1])
                ),
                "The mistakes were summed, not averaged: the step grows with the number of samples.": to(rate * len(x)),
                "Half the step: the slope of a square has a factor of 2.": to(rate / 2),
                "The bias was stepped with the new weight: take both slopes first, then move both.": (
                    want[0],
                    bias - rate * late,
                ),
                "The learning rate is missing.": to(1.0),
                "The weight's slope is the mean of mistake times x; here the x is missing.": (
                    weight - rate * down[1],
                    want[1],
                ),
                "The bias stood still.": (want[0], bias),
                "The weight stood still.": (weight, want[1]),
                "The right numbers in the wrong order: first the weight, then the bias.": (want[1], want[0]),
            },
        )


CHIRPS = (20.0, 16.0, 19.8, 18.4, 17.1, 15.5, 14.7, 17.1, 15.4, 16.2, 15.0, 17.2, 16.0, 17.0, 14.4)
FAHRENHEIT = (88.6, 71.6, 93.3, 84.3, 80.6, 75.2, 69.7, 82.0, 69.4, 83.3, 79.6, 82.6, 80.6, 83.5, 76.3)


def height_after(rate: float, steps: int) -> float:
    """How far above the lowest loss (°C²) the lesson's walk from weight -4 and bias 22 ends."""
    chirps = torch.tensor(CHIRPS, dtype=torch.float64)
    y = (torch.tensor(FAHRENHEIT, dtype=torch.float64) - 32) / 1.8
    x = chirps - chirps.mean()
    steep = float((x * x).mean())
    weight_off, bias_off = -4.0 - float((x * y).mean()) / steep, 22.0 - float(y.mean())
    weight_off *= (1 - 2 * steep * rate) ** steps  # x is centred: the two directions do not mix
    bias_off *= (1 - 2 * rate) ** steps
    return steep * weight_off**2 + bias_off**2


@exercise(
    "day01.faster_rate",
    title="A faster rate",
    stars=1,
    hints=(
        "for rate in (0.1, 0.15, 0.2, 0.25, 0.3): print(rate, height_after(rate, steps=8)) shows where it is lowest.",
        "Too timid, and the bias is late; too bold, and the weight overshoots. The best rate makes both equally slow.",
        "It is larger than 0.2 and clearly smaller than 0.3.",
    ),
    learned="The best rate here is about 70 percent of the border. In a deep network nobody knows it: one tries.",
)
def faster_rate(answer: Any, t: Trial) -> None:
    """Accept every rate that brings the lesson's walk within 0.001 of the lowest loss in 8 steps."""
    rate = answer.item() if isinstance(answer, Tensor) and answer.numel() == 1 else answer
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate):
        t.fail(f"a number was expected, got {answer!r:.60}")
    start, end = height_after(0.0, 0), height_after(rate, 8)
    if end <= 0.001:
        return
    if rate <= 0:
        reason = "With a rate of 0 nobody moves." if rate == 0 else "A negative rate walks uphill."
    elif end >= start:
        reason = "It ends higher than it started: beyond the border."
    elif rate < 0.25:
        reason = "It is on its way, but its legs are too short."
    else:
        reason = "Its legs are too long: it overshoots the bottom and zigzags from slope to slope."
    t.fail(f"with a rate of {rate:g} the walk ends {end:.4g} above the lowest loss; asked for was 0.001", reason)
