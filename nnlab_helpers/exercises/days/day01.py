"""Exercises of day 1: broadcasting, gradients that add up, `retain_graph`, the tiny engine, one step downhill."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnlab_helpers.exercises.checking import Trial, any_of, case, exercise
from nnlab_helpers.exercises.checking.trial import Wrong
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
        if isinstance(got, np.ndarray | Tensor):
            got = got.tolist()
        if isinstance(got, list | tuple):
            got = tuple(got)
        if type(got) is not type(right) or got != right:
            shown = got if isinstance(got, str) else list(got) if isinstance(got, tuple) else got
            note = known.get(got, "") if _plain(got) else ""
            t.fail(f"number {number}: {question} does not give {shown!s:.60}", note)


def _plain(value: Any) -> bool:
    """Whether `value` can be looked up: a word or a tuple of whole numbers."""
    return isinstance(value, str) or (isinstance(value, tuple) and all(isinstance(size, int) for size in value))


# -- the tiny engine -------------------------------------------------------------------------------------------


def divide(
    a: Value,
    b: Value,
    *,
    data: Callable[[float, float], float] = lambda x, y: x / y,
    to_a: Callable[[float, float], float] = lambda x, y: 1 / y,
    to_b: Callable[[float, float], float] = lambda x, y: -x / (y * y),
) -> Value:
    """`a / b` as a Value; the data and the local slopes of both are functions of the two numbers."""
    x, y = a.data, b.data
    return Value(data(x, y), "/", [(a, to_a(x, y)), (b, to_b(x, y))])


def _quotient(call: Any, answer: Any, first: float, second: float, twice: bool = False) -> Any:
    """The data of a quotient and the slopes that come out of it; `twice`: of (a * b + a) / b."""
    a, b = Value(first), Value(second)
    given = "a * b + a divided by b" if twice else f"a = {first:.4g}, b = {second:.4g}"
    got = call(answer, a * b + a if twice else a, b)
    _look(got, given)
    if (a.data, a.grad, a.inputs, b.data, b.grad, b.inputs) != (first, 0.0, (), second, 0.0, ()):
        raise Wrong(
            f"at {given} your code changes `a` or `b`",
            "Only `backward` fills in grads; `divide` notes the local slopes in the new Value.",
        )
    try:
        found = slopes(got, a, b)
    except TypeError as error:
        raise Wrong(
            f"at {given} the inputs hold {error}",
            "`inputs` is a list of pairs (the Value it came from, the local slope): two of them here.",
        ) from None
    if not got.inputs:
        raise Wrong(
            f"at {given} the result does not remember what it was made from",
            "Hand the Value its inputs: the pairs (a, local slope) and (b, local slope).",
        )
    return got.data, found


def _look(got: Any, given: str) -> None:
    """Refuse what is no Value."""
    if isinstance(got, int | float | Tensor):
        raise Wrong(
            f"at {given} a Value was expected, got the number {float(got):.4g}",
            "A plain number forgets where it came from: wrap it in a Value that lists its inputs.",
        )
    if not (hasattr(got, "data") and hasattr(got, "inputs")):
        missing = " Is a `return` missing?" if got is None else ""
        raise Wrong(f"at {given} a Value was expected, got {type(got).__name__}.{missing}")
    if not isinstance(got.data, int | float):
        raise Wrong(
            f"at {given} `data` should be a number, and is of type {type(got.data).__name__}",
            "Calculate with `a.data` and `b.data`, the numbers inside.",
        )


def _quotients(t: Trial) -> list[Any]:
    found = [(6.0, 2.0), (1.0, 4.0), (-3.0, 0.5), (0.0, -2.0)]
    found += [(float(t.randn()), float(t.rand(low=0.5, high=3.0)) * sign) for sign in (1, -1)]
    return [
        *(case(x, y, given=f"at a = {x:.4g}, b = {y:.4g}") for x, y in found),
        case(3.0, 2.0, twice=True, given="for (a * b + a) / b with a = 3, b = 2"),  # a number used twice
    ]


def _divide_slopes(pairs: Sequence[tuple[Callable[..., float] | None, Callable[..., float] | None]]) -> Any:
    """Divisions with other slopes for a and for b; None for the right one."""
    named: list[dict[str, Any]] = [{"to_a": to_a, "to_b": to_b} for to_a, to_b in pairs]
    return any_of(*(partial(divide, **{k: v for k, v in one.items() if v}) for one in named))


exercise(
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
    right=divide,
    cases=_quotients,
    ask=_quotient,
    returns=("the data", "the slopes of a and b"),
    mistakes={
        "That is b / a.": any_of(
            partial(divide, data=lambda x, y: y / x if x else math.inf), lambda a, b: divide(b, a)
        ),
        "That is a * b.": any_of(
            partial(divide, data=lambda x, y: x * y),
            partial(divide, data=lambda x, y: x * y, to_a=lambda x, y: y, to_b=lambda x, y: x),
        ),
        "That is rounded down: `//` is whole-number division.": partial(divide, data=lambda x, y: float(x // y)),
        "When `b` grows, `a / b` gets smaller: mind the sign of its slope.": _divide_slopes(
            [(None, lambda x, y: x / (y * y))]
        ),
        "The slope of 1 / b has to be multiplied by `a`: twice the cake, twice the loss.": _divide_slopes(
            [(None, lambda x, y: -1 / (y * y))]
        ),
        "`b` has influence too: does the result list it among its inputs?": _divide_slopes([(None, lambda x, y: 0.0)]),
        "`a` has influence too: does the result list it among its inputs?": _divide_slopes([(lambda x, y: 0.0, None)]),
        "The two slopes have changed places.": _divide_slopes([(lambda x, y: -x / (y * y), lambda x, y: 1 / y)]),
        "Those are the slopes of a product.": _divide_slopes([(lambda x, y: y, lambda x, y: x)]),
        "Those are the slopes of a sum.": _divide_slopes([(lambda x, y: 1.0, lambda x, y: 1.0)]),
        "The slope for b has b to the first power: it falls off with the square.": _divide_slopes(
            [(None, lambda x, y: -x / y), (None, lambda x, y: x / y)]
        ),
        "Half of it is right, the slope for a: how much does a / b move when `a` grows by 1?": _divide_slopes(
            [(lambda x, y: y, None), (lambda x, y: 1.0, None), (lambda x, y: x / y, None)]
        ),
    },
)


# -- gradients that add up -------------------------------------------------------------------------------------


def accumulate(
    batch_loss: Loss,
    line: Tensor,
    x: Tensor,
    y: Tensor,
    batch_size: int,
    *,
    weight: Callable[[int, int, int, int], float] = lambda n, total, many, size: n / total,
    empty: str = "before",
    drop_last: bool = False,
) -> Tensor | None:
    """The gradient of the mean over all samples, a batch at a time.

    A batch of n samples, out of `total` in `many` batches of up to `size`, counts as `weight(n, total, many, size)`;
    `line.grad` is emptied "before" the loop, "inside" or "never"; a last, shorter batch may be dropped.
    """
    batches = list(zip(x.split(batch_size), y.split(batch_size), strict=True))
    if drop_last and len(batches[-1][0]) < batch_size:
        batches = batches[:-1]
    line.grad = line.grad if empty == "never" else None
    for part, target in batches:
        line.grad = None if empty == "inside" else line.grad
        (batch_loss(line, part, target) * weight(len(part), len(x), len(batches), batch_size)).backward()
    return line.grad


def _added_up(
    call: Any, answer: Any, loss: Loss, start: Tensor, x: Tensor, y: Tensor, size: int, old: Tensor | None
) -> Any:
    """The gradient that comes back, when `line` holds `start` and an `old` gradient."""
    shown: list[int] = []
    line = start.clone().requires_grad_()
    line.grad = None if old is None else old.clone()
    got = call(answer, _counted(loss, shown), line, x, y, size)
    if max(shown, default=0) > size:
        raise Wrong(
            f"for {len(x)} samples in batches of {size}: batch_loss was shown {max(shown)} samples at once, and only "
            f"{size} fit into memory"
        )
    return got


def _counted(loss: Loss, shown: list[int]) -> Loss:
    """The same loss, which takes down how many samples it was shown."""

    def batch_loss(line: Tensor, x: Tensor, y: Tensor) -> Tensor:
        if len(x) != len(y):
            raise ValueError(f"batch_loss got {len(x)} of x and {len(y)} of y")
        shown.append(len(x))
        return loss(line, x, y)

    return batch_loss


def _accumulate_cases(t: Trial) -> list[Any]:
    def slope(line: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (line * x[:, None] * torch.tensor([1.0, 0.0])).sum(1).mean()

    def squares(line: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return ((line[0] * x + line[1] - y) ** 2).mean()

    small, zeros, old = torch.tensor([1.0, 2.0, 6.0]), torch.zeros(3), torch.tensor([5.0, 5.0])
    found: list[tuple[str, Loss, Tensor, Tensor, int, Tensor | None]] = [
        ("the example, x = [1, 2, 6] in batches of 2", slope, small, zeros, 2, None),
        ("the example, with an old gradient in `line`", slope, small, zeros, 2, old),
        ("11 samples in batches of 4", squares, t.randn(11), 3 * t.randn(11), 4, None),
        ("6 samples in batches of 3", squares, t.randn(6), 3 * t.randn(6), 3, t.randn(2)),
        ("5 samples in batches of 8", squares, t.randn(5), 3 * t.randn(5), 8, None),
        ("5 samples one by one", squares, t.randn(5), 3 * t.randn(5), 1, t.randn(2)),
        ("a single sample", squares, t.randn(1), t.randn(1), 3, None),
    ]
    return [case(loss, t.randn(2), x, y, n, old, given=f"for {given}") for given, loss, x, y, n, old in found]


def _accumulated(*weights: Callable[[int, int, int, int], float], **otherwise: Any) -> Any:
    return any_of(*(partial(accumulate, weight=weight, **otherwise) for weight in weights))


exercise(
    "day01.accumulate",
    title="A big batch on a small machine",
    stars=2,
    hints=(
        "Empty `line.grad` once, before the loop. In the loop: a batch, its loss, `backward`. The letterbox adds up.",
        "Each batch gives a mean. It should count as much as it has samples: weight its loss by len(batch) / len(x).",
        "In the loop (batch_loss(line, x_batch, y_batch) * len(x_batch) / len(x)).backward(); then return line.grad.",
    ),
    learned="Four batches of 32 now train like one of 128. `fit(..., accumulate=4)` does the same from day 6 on.",
    right=accumulate,
    cases=_accumulate_cases,
    ask=_added_up,
    returns="the gradient",
    gradient=False,
    mistakes={
        "Means were added up and not averaged: the more batches, the larger it gets.": _accumulated(
            lambda n, total, many, size: 1
        ),
        "Every batch counts the same here, though the last one is shorter.": _accumulated(
            lambda n, total, many, size: 1 / many
        ),
        "Only the last batch has survived: the letterbox is emptied inside the loop.": _accumulated(
            lambda n, total, many, size: 1,
            lambda n, total, many, size: n / total,
            lambda n, total, many, size: 1 / many,
            empty="inside",
        ),
        "An old gradient was still in `line.grad`: empty it before the loop.": _accumulated(
            lambda n, total, many, size: n / total,
            lambda n, total, many, size: 1,
            lambda n, total, many, size: 1 / many,
            empty="never",
        ),
        "The last, shorter batch was left out.": _accumulated(
            lambda n, total, many, size: 1 / many,
            lambda n, total, many, size: n / total,
            lambda n, total, many, size: 1,
            drop_last=True,
        ),
        "The number of samples is still in it: were sums added up?": _accumulated(lambda n, total, many, size: n),
        "Each batch counts by how full it is, len(x_batch) / batch_size. It should count by its share of all samples, "
        "len(x_batch) / len(x).": _accumulated(lambda n, total, many, size: n / size),
        "Each batch counts as batch_size samples here, and the last one has fewer: take its own length, len(x_batch) / "
        "len(x).": _accumulated(lambda n, total, many, size: size / total),
        "Divided by the number of samples, though a mean is divided already: multiply by len(x_batch).": _accumulated(
            lambda n, total, many, size: 1 / total
        ),
    },
)


# -- retain_graph ----------------------------------------------------------------------------------------------

Pair = tuple[Tensor, Tensor]


def two_gradients(
    leaf: Tensor, loss_a: Tensor, loss_b: Tensor, *, of: Callable[[Tensor, Tensor], Pair] = lambda a, b: (a, b)
) -> Pair:
    """The gradients of both losses, or what `of` makes of them."""
    (first,) = torch.autograd.grad(loss_a, leaf, retain_graph=True)
    (second,) = torch.autograd.grad(loss_b, leaf)
    return of(first, second)


def _both_walks(call: Any, answer: Any, data: Tensor) -> Any:
    leaf = data.clone().requires_grad_()
    shared = leaf.exp()
    return call(answer, leaf, shared.sum(), (shared * shared).sum())


exercise(
    "day01.two_gradients",
    title="What does `retain_graph=True` change?",
    stars=1,
    hints=(
        "Two walks over the shared part of the trail: the first must not wipe it. Which call gets retain_graph=True?",
        "After the first walk keep a copy, leaf.grad.clone(), and empty the letterbox: leaf.grad = None.",
        "loss_a.backward(retain_graph=True), copy, empty, loss_b.backward(), copy; return both.",
    ),
    learned="The graph costs memory as long as it is kept, so the last walk goes without retain_graph.",
    right=two_gradients,
    cases=lambda t: [
        case(torch.tensor([1.0, 2.0]), given="for the example"),
        *(case(t.randn(*shape), given=f"for a leaf of shape {list(shape)}") for shape in ((3,), (2, 3), ())),
    ],
    ask=_both_walks,
    returns=("the gradient of loss_a", "the gradient of loss_b"),
    gradient=False,
    mistakes={
        "The second holds both gradients: the letterbox was not emptied in between.": partial(
            two_gradients, of=lambda a, b: (a, a + b)
        ),
        "Both are the letterbox itself, with both gradients in it: keep a copy of the first.": partial(
            two_gradients, of=lambda a, b: (a + b, a + b)
        ),
        "Both are the gradient of loss_b: what you kept is the letterbox itself. Keep a copy.": partial(
            two_gradients, of=lambda a, b: (b, b)
        ),
        "The two have changed places.": partial(two_gradients, of=lambda a, b: (b, a)),
        "Both are the gradient of loss_a.": partial(two_gradients, of=lambda a, b: (a, a)),
        "The first was emptied after it was taken: keep a copy.": partial(
            two_gradients, of=lambda a, b: (torch.zeros_like(a), b)
        ),
        "The loss of the second walk was `loss_a` again.": partial(two_gradients, of=lambda a, b: (a, 2 * a)),
    },
)


# -- steps -----------------------------------------------------------------------------------------------------

Line = tuple[float, float]


def one_step(
    weight: float, bias: float, x: Tensor, y: Tensor, learning_rate: float, *, to: Callable[[Any], Line] | None = None
) -> Line:
    """The weight and bias one step downhill; `to` makes another pair of all that there is.

    It gets `weight`, `bias`, both slopes (`dw`, `db`), `rate`, the number of samples `n`, the new pair (`w`, `b`),
    and `late`, the slope for the bias once the weight has moved.
    """
    x, y = x.double(), y.double()
    mistake = weight * x + bias - y
    dw, db = 2 * float((mistake * x).mean()), 2 * float(mistake.mean())
    w, b = weight - learning_rate * dw, bias - learning_rate * db
    late = 2 * float((w * x + bias - y).mean())
    now = SimpleNamespace(weight=weight, bias=bias, dw=dw, db=db, rate=learning_rate, n=len(x), w=w, b=b, late=late)
    return to(now) if to else (w, b)


def _stepped(factor: Callable[[Any], float]) -> Callable[..., Line]:
    """A step with another factor in front of the slopes."""
    return partial(one_step, to=lambda s: (s.weight - factor(s) * s.dw, s.bias - factor(s) * s.db))


def _to(pair: Callable[[Any], Line]) -> Callable[..., Line]:
    return partial(one_step, to=pair)


def _two_numbers(call: Any, answer: Any, *args: Any) -> Any:
    """What came, a tensor or array of two numbers as a pair."""
    got = call(answer, *args)
    return tuple(got.tolist()) if isinstance(got, Tensor | np.ndarray) and got.shape == (2,) else got


def _steps(t: Trial) -> list[Any]:
    found = [
        (0.0, 0.0, torch.tensor([2.0]), torch.tensor([1.0]), 0.1),
        (1.0, -1.0, torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.5]), 0.1),
        (float(t.randn()), float(t.randn()), t.randn(7), 2 * t.randn(7), 0.03),
        (float(t.randn()), float(t.randn()), 3 * t.randn(5), t.randn(5), 0.2),
    ]
    cases = []
    for weight, bias, x, y, rate in found:
        if len(x) < 3:
            given = f"weight = {weight:g}, bias = {bias:g}, x = {x.tolist()}, y = {y.tolist()}, rate {rate:g}"
        else:
            given = f"weight = {weight:.3f}, bias = {bias:.3f}, {len(x)} random samples, rate {rate:g}"
        cases.append(case(weight, bias, x, y, rate, given=given))
    return cases


exercise(
    "day01.one_step",
    title="One step by hand",
    stars=1,
    hints=(
        "With the formula: mistake = weight * x + bias - y, and the two slopes are 2 times a mean.",
        "Or let torch work: make weight and bias tensors with requires_grad=True, compute the loss, call backward.",
        "The gradient points uphill: new = old - learning_rate * slope, both slopes taken before either number moves.",
    ),
    learned="Every optimiser you will meet is this line, with something cleverer in the place of the gradient.",
    right=one_step,
    cases=_steps,
    ask=_two_numbers,
    returns="the new weight and bias",
    gradient=False,
    mistakes={
        "That is a step uphill: the gradient points up, so subtract it.": _stepped(lambda s: -s.rate),
        "Nothing has moved.": _stepped(lambda s: 0.0),
        "Those are the slopes. The step is still to be taken.": _to(lambda s: (s.dw, s.db)),
        "That is how far to move. Where do weight and bias end up?": any_of(
            _to(lambda s: (-s.rate * s.dw, -s.rate * s.db)), _to(lambda s: (s.rate * s.dw, s.rate * s.db))
        ),
        "The mistakes were summed, not averaged: the step grows with the number of samples.": _stepped(
            lambda s: s.rate * s.n
        ),
        "Half the step: the slope of a square has a factor of 2.": _stepped(lambda s: s.rate / 2),
        "The bias was stepped with the new weight: take both slopes first, then move both.": _to(
            lambda s: (s.w, s.bias - s.rate * s.late)
        ),
        "The learning rate is missing.": _stepped(lambda s: 1.0),
        "The weight's slope is the mean of mistake times x; here the x is missing.": _to(
            lambda s: (s.weight - s.rate * s.db, s.b)
        ),
        "The bias stood still.": _to(lambda s: (s.w, s.bias)),
        "The weight stood still.": _to(lambda s: (s.weight, s.b)),
        "The right numbers in the wrong order: first the weight, then the bias.": _to(lambda s: (s.b, s.w)),
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
    rate = answer
    if isinstance(rate, Tensor | np.ndarray | np.generic) and rate.reshape(-1).shape[0] == 1:
        rate = rate.reshape(-1)[0].item()
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
