"""Checks of day 15: two prices, an effect in a grid, a pyramid in a budget, a squeezed layer, a diagnosis."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


def _weights(sizes: Sequence[int]) -> int:
    return sum(a * b for a, b in pairwise(sizes))


def _parameters(sizes: Sequence[int]) -> int:
    return _weights(sizes) + sum(sizes[1:])


@exercise(
    "day15.mlp_size",
    title="Two prices",
    stars=1,
    hints=(
        "A layer from n to m has n * m weights and m biases; which of the two are multiplied with something?",
        "Walk over neighbours: zip(sizes, sizes[1:]) gives (in, out) for every layer.",
        "weights = sum(n * m for n, m in zip(sizes, sizes[1:])); the biases are all sizes but the first.",
    ),
    learned="In an MLP the two prices are all but equal. In LeNet each weight of the first layer works at 784 places.",
)
def mlp_size(answer: Callable[..., Any], t: Trial) -> None:
    """One hidden layer, none, the lesson's example, and layers of unequal width."""
    cases = [[4, 3, 2], [3, 2], [784, 64, 10], [4, 7, 5, 3], [2, 1, 1, 6], t.randint(2, 60, 6).tolist()]
    for sizes in cases:
        got = t.call(answer, list(sizes))
        t.require(
            isinstance(got, tuple | list) and len(got) == 2,
            f"for {sizes}: a pair (parameters, multiply_adds) was expected, got {got!r:.60}",
            "Return both numbers, separated by a comma.",
        )
        weights, parameters = _weights(sizes), _parameters(sizes)
        t.expect(
            tuple(got),
            (parameters, weights),
            given=f"{sizes}",
            known={
                "The two numbers have changed places: parameters come first.": (weights, parameters),
                "A bias is only added: it is a parameter, but no multiply-add.": (parameters, parameters),
                "The biases are missing: one for each unit that is not an input.": (weights, weights),
                "The inputs have no bias of their own: leave the first size out.": (weights + sum(sizes), weights),
                "Each layer has a bias for every *unit*, not a single one.": (weights + len(sizes) - 1, weights),
                "The last layer has biases too.": (weights + sum(sizes[1:-1]), weights),
                "That multiplies all sizes; a layer joins two neighbours, and layers add up.": any_of(
                    (math.prod(sizes) + sum(sizes[1:]), math.prod(sizes)), (math.prod(sizes), math.prod(sizes))
                ),
                "The last layer is missing: its weights join the last two sizes.": any_of(
                    (_parameters(sizes[:-1]), _weights(sizes[:-1])),
                    (_weights(sizes[:-1]) + sum(sizes[1:]), _weights(sizes[:-1])),
                ),
                "A multiply-add is one multiplication *and* one addition, counted together as one.": (
                    parameters,
                    2 * weights,
                ),
            },
        )


T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571}

Row = dict[str, Any]


def _effect(
    rows: Sequence[Mapping[str, Any]],
    factor: str,
    level: Any,
    baseline: Any,
    t95: Mapping[int, float],
    bug: str = "",
) -> tuple[float, float, float]:
    """The effect; `bug` names a misconception."""

    def rest(row: Mapping[str, Any]) -> Any:
        left_out = {factor, "score"} | ({"seed"} if bug == "seeds mixed" else set())
        if bug in ("only seed", "every partner"):
            return row["seed"]
        return tuple((name, value) for name, value in row.items() if name not in left_out)

    partners: dict[Any, list[float]] = {}
    for row in rows:
        if row[factor] == baseline:
            partners.setdefault(rest(row), []).append(row["score"])
    base = {key: sum(scores) / len(scores) if bug == "every partner" else scores[0] for key, scores in partners.items()}
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        if row[factor] == level and rest(row) in base:
            by_seed.setdefault(row["seed"], []).append(row["score"] - base[rest(row)])
    if bug == "each pair":
        values = [d for differences in by_seed.values() for d in differences]
    else:
        values = [sum(differences) / len(differences) for differences in by_seed.values()]
    if bug == "unpaired":
        ours = [row["score"] for row in rows if row[factor] == level]
        theirs = [row["score"] for row in rows if row[factor] == baseline]
        middle = sum(ours) / len(ours) - sum(theirs) / len(theirs)
    else:
        middle = sum(values) / len(values)
    n = len(values)
    mean = sum(values) / n
    squares = sum((value - mean) ** 2 for value in values)
    deviation = math.sqrt(squares / (n if bug == "population" else n - 1))
    factor_t = t95.get(n - 1 if bug == "degrees" else n, t95[max(t95)])
    reach = factor_t * deviation / (1 if bug == "no root" else n if bug == "no square root" else math.sqrt(n))
    sign = -1 if bug == "turned" else 1
    return sign * middle, sign * middle - reach, sign * middle + reach


def _runs(t: Trial, seeds: Sequence[int], rates: Sequence[float]) -> list[Row]:
    rows = []
    for width in (8, 16, 32):
        for rate in rates:
            for seed in seeds:
                score = 0.5 + 0.01 * width**0.5 + 3 * rate * (width > 8) + 0.1 * seed + 0.05 * float(t.randn())
                rows.append({"width": width, "rate": rate, "seed": seed, "score": round(score, 3)})
    return rows


@exercise(
    "day15.effect",
    title="An effect in a grid",
    stars=3,
    hints=(
        "Describe everything about a run but the factor and the score as one key, and find the baseline's score by it.",
        "The key must be hashable: a tuple of (name, value) pairs. Gather the differences in a dict from seed to list.",
        "For each row at `baseline`, base[key(row)] = row['score']. For each at `level` with key(row) in base, "
        "by_seed.setdefault(row['seed'], []).append(row['score'] - base[key(row)]). Then average each list.",
    ),
    learned="Had each pair counted by itself, the interval would be too narrow: runs of one seed share their luck.",
)
def effect(answer: Callable[..., Any], t: Trial) -> None:
    """One factor; two factors; a run that is missing; rows in another order."""
    small = [
        {"width": width, "seed": seed, "score": score}
        for seed, scores in enumerate([(0.5, 0.7), (0.6, 0.7), (0.5, 0.8)])
        for width, score in zip((8, 16), scores, strict=True)
    ]
    grid = _runs(t, (0, 1, 2), (0.01, 0.1))
    holes = [row for row in _runs(t, (4, 7, 1, 2), (0.01, 0.1, 0.3)) if (row["rate"], row["seed"]) != (0.1, 7)]
    lonely = [row for row in holes if (row["width"], row["rate"], row["seed"]) not in ((8, 0.3, 1), (16, 0.01, 4))]
    gone = [row for row in lonely if (row["width"], row["seed"]) != (8, 2)]
    mixed = [gone[int(i)] for i in torch.randperm(len(gone), generator=t.generator)]
    cases: list[tuple[str, list[Row], str, Any, Any]] = [
        ("two widths, three seeds", small, "width", 16, 8),
        ("a grid of widths and rates, three seeds, width 32 against 8", grid, "width", 32, 8),
        ("a grid of widths and rates, three seeds, rate 0.1 against 0.01", grid, "rate", 0.1, 0.01),
        ("a grid in which some runs are missing, width 16 against 8", mixed, "width", 16, 8),
    ]
    slips = {
        "The sign is turned round: the score of `level` minus that of the baseline.": "turned",
        "Runs of one seed belong together: average their differences first, so that n counts seeds.": "each pair",
        "A pair agrees in *all* other factors: here runs with another value of one of them were paired.": "only seed",
        "A run has one partner: here each was compared with every baseline run of its seed.": "every partner",
        "A pair has the same seed: here runs of different seeds were paired.": "seeds mixed",
        "That subtracts the mean of all baselines; leave out runs that have no partner.": "unpaired",
        "The standard deviation takes n - 1 in its denominator.": "population",
        "The deviation has to be divided by the root of n: that is the scatter of one seed.": "no root",
        "The deviation is divided by n; divide by its root.": "no square root",
        "t95 goes by the number of seeds, n, not by n - 1.": "degrees",
    }
    for given, rows, factor, level, baseline in cases:
        got = t.call(answer, [dict(row) for row in rows], factor, level, baseline, dict(T95))
        t.require(
            isinstance(got, tuple | list) and len(got) == 3,
            f"for {given}: three numbers (mean, low, high) were expected, got {got!r:.60}",
        )
        arguments = (rows, factor, level, baseline, T95)
        t.expect(
            tuple(got),
            _effect(*arguments),
            given=given,
            known={message: _effect(*arguments, bug=bug) for message, bug in slips.items()},
        )


def _pyramid(base: int, depth: int) -> list[int]:
    return [base >> k for k in range(depth)]


def _fits(budget: int, depth: int, inputs: int, outputs: int, price: Callable[[Sequence[int]], int]) -> int:
    """The largest base within the budget, or 0."""
    base = 0
    while price([inputs, *_pyramid(max(base + 1, 2 ** (depth - 1)), depth), outputs]) <= budget:
        base = max(base + 1, 2 ** (depth - 1))
    return base


@exercise(
    "day15.pyramid",
    title="A pyramid within a budget",
    stars=2,
    hints=(
        "Write two small functions first: the widths for a base w, and the parameters for a list of widths.",
        "The smallest base whose last layer still has a unit is 2 ** (depth - 1). Too expensive? Raise. "
        "Else grow it by one while the next one fits.",
        "widths = [w // 2**k for k in range(depth)]; the sizes to count are [inputs, *widths, outputs].",
    ),
    learned="Searching is enough: the price only grows with the base, so the first base that is too dear ends it.",
)
def pyramid(answer: Callable[..., Any], t: Trial) -> None:
    """Budgets that are met exactly, that are one short, and that buy nothing."""
    cases = [(100, 2, 4, 3), (400, 3, 6, 4), (99, 2, 4, 3), (50, 1, 5, 2), (1_000, 4, 3, 2)]
    for depth in (1, 2, 3):
        inputs, outputs = (int(size) for size in t.randint(3, 30, 2))
        base = int(t.randint(9, 40))
        exact = _parameters([inputs, *_pyramid(base, depth), outputs])
        cases += [(exact, depth, inputs, outputs), (exact - 1, depth, inputs, outputs)]
    cases += [(_parameters([7, 4, 2, 1, 3]), 3, 7, 3)]
    for budget, depth, inputs, outputs in cases:
        got = t.call(answer, budget, depth, inputs, outputs)
        base = _fits(budget, depth, inputs, outputs, _parameters)
        without_bias = _fits(budget, depth, inputs, outputs, _weights)
        equal = 1
        while _parameters([inputs, *[equal + 1] * depth, outputs]) <= budget:
            equal += 1
        known: dict[str, Any] = {
            "The biases are parameters too: that pyramid is too expensive.": _pyramid(without_bias, depth),
            "That is one unit too many: it takes more than the budget.": _pyramid(base + 1, depth),
            "A wider one fits: the budget may be used up *exactly*.": _pyramid(base - 1, depth),
            "All layers are equally wide: each should have half the units of the one before.": [equal] * depth,
            "Only the hidden widths are asked for, without inputs and outputs.": any_of(
                [inputs, *_pyramid(base, depth), outputs], [*_pyramid(base, depth), outputs]
            ),
            "The widest layer comes first.": _pyramid(base, depth)[::-1] if depth > 1 else [],
            "Round down: half of 9 is 4.": [-(-base // 2**k) for k in range(depth)],
        }
        t.require(
            isinstance(got, list | tuple),
            f"for a budget of {budget} and depth {depth}: a list of widths was expected, got {got!r:.60}",
        )
        t.expect(
            list(got),
            _pyramid(base, depth),
            given=f"a budget of {budget}, depth {depth}, {inputs} inputs, {outputs} outputs",
            known=known,
        )
    one_short = [(_parameters([7, 4, 2, 1, 3]) - 1, 3, 7, 3), (_parameters([3, 2, 1, 2]) - 1, 2, 3, 2)]
    for budget, depth, inputs, outputs in (*one_short, (5, 1, 5, 2), (60, 5, 3, 2)):
        _must_refuse(answer, t, budget, depth, inputs, outputs)


def _must_refuse(answer: Callable[..., Any], t: Trial, *arguments: int) -> None:
    def tried() -> Any:
        try:
            return answer(*arguments)
        except ValueError:
            return ValueError

    got = t.call(tried)
    budget, depth, inputs, outputs = arguments
    t.require(
        got is ValueError,
        f"a budget of {budget} buys no pyramid of depth {depth} with {inputs} inputs and {outputs} outputs: "
        f"a ValueError was expected, got {got!r:.40}",
        "Its last layer still needs one unit, so the smallest base is 2 ** (depth - 1); ask what that one costs.",
    )


def _low_rank(weight: torch.Tensor, rank: int, skip: int = 0) -> torch.Tensor:
    u, s, v = torch.linalg.svd(weight.detach(), full_matrices=False)
    return (u[:, skip : skip + rank] * s[skip : skip + rank]) @ v[skip : skip + rank]


@exercise(
    "day15.squeezed",
    title="Squeeze a trained layer",
    stars=2,
    draws=True,
    hints=(
        "W = U @ diag(S) @ Vh works from right to left: which factor meets the input first?",
        "The first layer's weight is [rank, inputs]: the first `rank` rows of Vh. The second's is [outputs, rank].",
        "first.weight.copy_(Vh[:rank]); second.weight.copy_(U[:, :rank] * S[:rank]); second.bias.copy_(layer.bias); "
        "all of it under torch.no_grad().",
    ),
    learned="Adapters such as LoRA use the same two thin layers, as a change that is *added* to a large matrix.",
)
def squeezed(answer: Callable[..., Any], t: Trial) -> None:
    """Wide and tall layers, rank 1, full rank, and what must stay as it was."""
    for inputs, outputs, rank in ((3, 2, 1), (5, 8, 3), (9, 4, 2), (6, 6, 5), (4, 7, 4)):
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.copy_(t.randn(outputs, inputs))
            layer.bias.copy_(t.randn(outputs))
        given = f"a layer from {inputs} to {outputs}, rank {rank}"
        weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
        got = t.call(answer, layer, rank, watch=(layer,))
        _check_parts(got, t, given, inputs, outputs, rank)
        first, second = got
        t.expect(
            second.weight.detach() @ first.weight.detach(),
            _low_rank(weight, rank),
            given=given,
            what="the product of the two weights",
            known={
                "The singular values are missing from the product.": _product(weight, rank, power=0.0),
                "The singular values are in it twice: give them to one of the two layers.": _product(weight, rank, 2.0),
                "That keeps the smallest singular values; the first ones are the largest.": _low_rank(
                    weight, rank, skip=min(inputs, outputs) - rank
                ),
                "Nothing of the layer is in it: copy the factors into the weights.": torch.zeros_like(weight),
                "That is a piece of the layer's weight, and its other rows or columns are 0.": any_of(
                    weight * (torch.arange(inputs) < rank), weight * (torch.arange(outputs) < rank)[:, None]
                ),
            },
            rtol=1e-3,
            atol=1e-4,
        )
        t.expect(
            second.bias.detach(),
            bias,
            given=given,
            what="the second layer's bias",
            known={"The bias is zero: the layer's own is asked for.": torch.zeros_like(bias)},
        )
        t.require(
            second.bias is not layer.bias,
            f"for {given}: the new network shares its bias with the old layer",
            "Training the one would change the other. Copy the numbers.",
        )
        x = t.randn(5, inputs)
        want = x @ _low_rank(weight, rank).T + bias
        t.expect(t.call(got, x), want, given=given, what="the output", rtol=1e-3, atol=1e-3)


def _product(weight: torch.Tensor, rank: int, power: float) -> torch.Tensor:
    u, s, v = torch.linalg.svd(weight, full_matrices=False)
    return (u[:, :rank] * s[:rank] ** power) @ v[:rank]


def _check_parts(got: Any, t: Trial, given: str, inputs: int, outputs: int, rank: int) -> None:
    parts: list[Any] = list(got) if isinstance(got, nn.Sequential) else []
    if len(parts) != 2 or not all(isinstance(part, nn.Linear) for part in parts):
        kinds = [type(part).__name__ for part in parts]
        came = f"{type(got).__name__}{f' of {kinds}' if kinds else ''}"
        t.fail(
            f"for {given}: an nn.Sequential of two nn.Linear was expected, got {came}",
            "An activation between them would make it another function than the layer's."
            if len(parts) == 3
            else "Return nn.Sequential(first, second).",
        )
    first, second = parts
    for name, part, shape in (("first", first, (rank, inputs)), ("second", second, (outputs, rank))):
        size = tuple(part.weight.shape)
        t.require(size == shape, f"for {given}: the {name} layer's weight should be {list(shape)}, and is {list(size)}")
    t.require(
        first.bias is None,
        f"for {given}: the first layer has a bias",
        "nn.Linear(..., bias=False): a bias in the middle is one more parameter that the layer did not have.",
    )
    t.require(second.bias is not None, f"for {given}: the second layer has no bias", "It takes over the layer's own.")
    t.require(
        all(isinstance(p, nn.Parameter) and p.requires_grad and p.is_leaf for p in got.parameters()),
        f"for {given}: its weights cannot be trained",
        "They must be parameters of their own that require gradients: copy numbers into them under torch.no_grad().",
    )


REMEDIES = ("more units", "more digits", "help it train")
RIGHT = {
    "A": "more units",
    "B": "more digits",
    "C": "help it train",
    "D": "more digits",
    "E": "more units",
}
WHY = {
    ("A", "more digits"): "A misreads its training digits too, and reads new ones as well: more of them cannot help.",
    ("A", "help it train"): "A has trained as far as three units allow: it is far above guessing. What does it lack?",
    ("B", "more units"): "B knows all its training digits already: what would it do with more units?",
    ("B", "help it train"): "B has trained to the end: all its training digits are right.",
    ("C", "more units"): "C has far more parameters than others that read every training digit, and it guesses.",
    ("C", "more digits"): "C guesses on the digits that it has: more of them would be guessed, too.",
    ("D", "more units"): "D knows all its training digits already: what would it do with more units?",
    ("D", "help it train"): "D has trained to the end: all its training digits are right.",
    ("E", "more digits"): "E misreads its training digits nearly as often as new ones: that gap is not its problem.",
    ("E", "help it train"): "E is far above guessing, and it is shallow. Compare its parameters with the others'.",
}


@exercise(
    "day15.first_remedy",
    title="What is wrong with it?",
    stars=1,
    hints=(
        "Look at the training accuracy first: is it near guessing, somewhere below 100, or at 100?",
        "Training 100 and validation lower: overfits. Both low together: few parameters, or many?",
        "Two want more units, two more digits, and one has to be helped to train at all.",
    ),
    learned="In a real project plot the same two numbers over the amount of data: a learning curve tells even more.",
)
def first_remedy(answer: Any, t: Trial) -> None:
    """Letter by letter."""
    t.require(isinstance(answer, dict), f"a dict from letter to remedy was expected, got {answer!r:.60}")
    missing = [letter for letter in RIGHT if letter not in answer]
    t.require(not missing, f"there is no {' and no '.join(missing)} in the dict", "All five networks need a remedy.")
    for letter, want in RIGHT.items():
        got = answer[letter]
        text = got.strip().lower() if isinstance(got, str) else got
        t.require(
            text in REMEDIES,
            f"network {letter}: {got!r:.40} is none of the three remedies",
            f"Choose from {', '.join(map(repr, REMEDIES))}.",
        )
        if text != want:
            t.fail(f"network {letter}: {text!r} is not the first thing to try", WHY[letter, text])
