"""Answers to the exercises of day 15: other right ones, and wrong ones that are really given."""

import math
from itertools import pairwise

import torch
from answers import Answers
from torch import nn


def counted(sizes):
    return sum(a * b for a, b in pairwise(sizes))


def size_by_index(sizes):
    weights = biases = 0
    for i in range(1, len(sizes)):
        weights += sizes[i - 1] * sizes[i]
        biases += sizes[i]
    return [weights + biases, weights]


def size_turned(sizes):
    return size_by_index(sizes)[::-1]


def size_with_bias_work(sizes):
    return (size_by_index(sizes)[0],) * 2


def size_without_biases(sizes):
    return counted(sizes), counted(sizes)


def size_with_input_biases(sizes):
    return counted(sizes) + sum(sizes), counted(sizes)


def size_one_bias_a_layer(sizes):
    return counted(sizes) + len(sizes) - 1, counted(sizes)


def size_without_output_bias(sizes):
    return counted(sizes) + sum(sizes[1:-1]), counted(sizes)


def size_as_product(sizes):
    return math.prod(sizes) + sum(sizes[1:]), math.prod(sizes)


def size_without_the_end(sizes):
    return size_by_index(sizes[:-1])


def size_counting_twice(sizes):
    return size_by_index(sizes)[0], 2 * counted(sizes)


def size_alone(sizes):
    return size_by_index(sizes)[0]


def effect_by_pandas(rows, factor, level, baseline, t95):
    import pandas

    frame = pandas.DataFrame(rows)
    others = [name for name in frame.columns if name not in (factor, "score")]
    ours = frame[frame[factor] == level].set_index(others)["score"]
    base = frame[frame[factor] == baseline].set_index(others)["score"]
    values = (ours - base).dropna().groupby("seed").mean()
    reach = t95[len(values)] * values.std() / len(values) ** 0.5
    return [values.mean(), values.mean() - reach, values.mean() + reach]


def generic_effect(
    rows, factor, level, baseline, t95, *, ignore=(), by_seed=True, ddof=1, root=0.5, sign=1, less=0, paired=True
):
    def key(row):
        return tuple((k, row[k]) for k in sorted(row) if k not in (factor, "score", *ignore))

    base = {}
    for row in rows:
        if row[factor] == baseline:
            base.setdefault(key(row), row["score"])
    found = {}
    for row in rows:
        if row[factor] == level and key(row) in base:
            found.setdefault(row["seed"], []).append(sign * (row["score"] - base[key(row)]))
    values = [sum(d) / len(d) for d in found.values()] if by_seed else [x for d in found.values() for x in d]
    values = torch.tensor(values, dtype=torch.float64)
    n = len(values)
    mean = values.mean().item()
    reach = t95.get(n - less, t95[max(t95)]) * values.std(correction=ddof).item() / n**root
    if not paired:
        ours = [row["score"] for row in rows if row[factor] == level]
        theirs = [row["score"] for row in rows if row[factor] == baseline]
        mean = sum(ours) / len(ours) - sum(theirs) / len(theirs)
    return mean, mean - reach, mean + reach


def effect_by_loops(rows, factor, level, baseline, t95):
    return generic_effect(rows, factor, level, baseline, t95)


def effect_turned(*arguments):
    return generic_effect(*arguments, sign=-1)


def effect_of_each_pair(*arguments):
    return generic_effect(*arguments, by_seed=False)


def effect_by_seed_alone(rows, factor, level, baseline, t95):
    return generic_effect(rows, factor, level, baseline, t95, ignore=set(rows[0]) - {"seed"})


def effect_of_every_partner(rows, factor, level, baseline, t95):
    found = {}
    for row in rows:
        for other in rows:
            if row["seed"] == other["seed"] and row[factor] == level and other[factor] == baseline:
                found.setdefault(row["seed"], []).append(row["score"] - other["score"])
    values = torch.tensor([sum(d) / len(d) for d in found.values()], dtype=torch.float64)
    mean, reach = values.mean().item(), t95[len(values)] * values.std().item() / len(values) ** 0.5
    return mean, mean - reach, mean + reach


def effect_across_seeds(*arguments):
    return generic_effect(*arguments, ignore=("seed",))


def effect_unpaired(*arguments):
    return generic_effect(*arguments, paired=False)


def effect_of_population(*arguments):
    return generic_effect(*arguments, ddof=0)


def effect_without_root(*arguments):
    return generic_effect(*arguments, root=0)


def effect_divided_by_n(*arguments):
    return generic_effect(*arguments, root=1)


def effect_by_degrees(*arguments):
    return generic_effect(*arguments, less=1)


def effect_mean_alone(*arguments):
    return generic_effect(*arguments)[0]


def price(widths, inputs, outputs):
    return size_by_index([inputs, *widths, outputs])[0]


def halves(base, depth):
    return [base >> k for k in range(depth)]


def pyramid_downwards(budget, depth, inputs, outputs):
    for base in range(budget, 0, -1):
        widths = halves(base, depth)
        if widths[-1] and price(widths, inputs, outputs) <= budget:
            return widths
    raise ValueError("too little")


def pyramid_one_too_many(budget, depth, inputs, outputs):
    return halves(pyramid_downwards(budget, depth, inputs, outputs)[0] + 1, depth)


def pyramid_strictly_below(budget, depth, inputs, outputs):
    return pyramid_downwards(budget - 1, depth, inputs, outputs)


def pyramid_without_biases(budget, depth, inputs, outputs):
    base = 2 ** (depth - 1)
    if counted([inputs, *halves(base, depth), outputs]) > budget:
        raise ValueError("too little")
    while counted([inputs, *halves(base + 1, depth), outputs]) <= budget:
        base += 1
    return halves(base, depth)


def pyramid_of_equals(budget, depth, inputs, outputs):
    width = 1
    while price([width + 1] * depth, inputs, outputs) <= budget:
        width += 1
    return [width] * depth


def pyramid_with_ends(budget, depth, inputs, outputs):
    return [inputs, *pyramid_downwards(budget, depth, inputs, outputs), outputs]


def pyramid_upside_down(budget, depth, inputs, outputs):
    return pyramid_downwards(budget, depth, inputs, outputs)[::-1]


def pyramid_that_never_refuses(budget, depth, inputs, outputs):
    base = 2 ** (depth - 1)
    while price(halves(base + 1, depth), inputs, outputs) <= budget:
        base += 1
    return halves(base, depth)


def pyramid_with_empty_layers(budget, depth, inputs, outputs):
    base = 1
    while price(halves(base + 1, depth), inputs, outputs) <= budget:
        base += 1
    return halves(base, depth)


def pyramid_base_alone(budget, depth, inputs, outputs):
    return pyramid_downwards(budget, depth, inputs, outputs)[0]


def thin(layer, rank, left, right, *, bias=True, first_bias=False, between=()):
    first = nn.Linear(layer.in_features, rank, bias=first_bias)
    second = nn.Linear(rank, layer.out_features)
    with torch.no_grad():
        first.weight.copy_(right)
        second.weight.copy_(left)
        second.bias.copy_(layer.bias if bias else torch.zeros_like(layer.bias))
    return nn.Sequential(first, *between, second)


def factors(layer, rank, skip=0):
    u, s, v = torch.linalg.svd(layer.weight.detach(), full_matrices=False)
    part = slice(skip, skip + rank)
    return u[:, part], s[part], v[part]


def squeezed_with_roots(layer, rank):
    u, s, v = factors(layer, rank)
    return thin(layer, rank, u * s.sqrt(), s.sqrt()[:, None] * v)


def squeezed_values_first(layer, rank):
    u, s, v = factors(layer, rank)
    return thin(layer, rank, u, torch.diag(s) @ v)


def squeezed_without_values(layer, rank):
    u, _, v = factors(layer, rank)
    return thin(layer, rank, u, v)


def squeezed_values_twice(layer, rank):
    u, s, v = factors(layer, rank)
    return thin(layer, rank, u * s, s[:, None] * v)


def squeezed_smallest(layer, rank):
    u, s, v = factors(layer, rank, skip=min(layer.weight.shape) - rank)
    return thin(layer, rank, u * s, v)


def squeezed_without_bias(layer, rank):
    u, s, v = factors(layer, rank)
    return thin(layer, rank, u * s, v, bias=False)


def squeezed_with_two_biases(layer, rank):
    u, s, v = factors(layer, rank)
    return thin(layer, rank, u * s, v, first_bias=True)


def squeezed_with_relu(layer, rank):
    u, s, v = factors(layer, rank)
    return thin(layer, rank, u * s, v, between=(nn.ReLU(),))


def squeezed_sharing(layer, rank):
    u, s, v = factors(layer, rank)
    network = thin(layer, rank, u * s, v)
    network[1].bias = layer.bias
    return network


def squeezed_frozen(layer, rank):
    return squeezed_with_roots(layer, rank).requires_grad_(False)


def squeezed_untouched(layer, rank):
    return nn.Sequential(nn.Linear(layer.in_features, layer.out_features))


def squeezed_in_the_layer(layer, rank):
    u, s, v = factors(layer, rank)
    network = thin(layer, rank, u * s, v)
    with torch.no_grad():
        layer.weight.copy_((u * s) @ v)
    return network


RIGHT = {"A": "more units", "B": "more digits", "C": "help it train", "D": "more digits", "E": "more units"}

ANSWERS = {
    "day15.mlp_size": Answers(
        right=[size_by_index],
        wrong=[
            (size_turned, "changed places"),
            (size_with_bias_work, "only added"),
            (size_without_biases, "one for each unit that is not an input"),
            (size_with_input_biases, "leave the first size out"),
            (size_one_bias_a_layer, "for every *unit*"),
            (size_without_output_bias, "The last layer has biases too"),
            (size_as_product, "layers add up"),
            (size_without_the_end, "The last layer is missing"),
            (size_counting_twice, "counted together as one"),
            (size_alone, "Return both numbers"),
        ],
    ),
    "day15.effect": Answers(
        right=[effect_by_pandas, effect_by_loops],
        wrong=[
            (effect_turned, "The sign is turned round"),
            (effect_of_each_pair, "so that n counts seeds"),
            (effect_by_seed_alone, "agrees in *all* other factors"),
            (effect_of_every_partner, "A run has one partner"),
            (effect_across_seeds, "A pair has the same seed"),
            (effect_unpaired, "leave out runs that have no partner"),
            (effect_of_population, "n - 1 in its denominator"),
            (effect_without_root, "the scatter of one seed"),
            (effect_divided_by_n, "divide by its root"),
            (effect_by_degrees, "not by n - 1"),
            (effect_mean_alone, "three numbers (mean, low, high)"),
        ],
    ),
    "day15.pyramid": Answers(
        right=[pyramid_downwards],
        wrong=[
            (pyramid_one_too_many, "more than the budget"),
            (pyramid_strictly_below, "used up *exactly*"),
            (pyramid_without_biases, "The biases are parameters too"),
            (pyramid_of_equals, "All layers are equally wide"),
            (pyramid_with_ends, "without inputs and outputs"),
            (pyramid_upside_down, "The widest layer comes first"),
            (pyramid_that_never_refuses, "ask what that one costs"),
            (pyramid_base_alone, "a list of widths was expected"),
        ],
    ),
    "day15.squeezed": Answers(
        right=[squeezed_with_roots, squeezed_values_first],
        wrong=[
            (squeezed_without_values, "are missing from the product"),
            (squeezed_values_twice, "in it twice"),
            (squeezed_smallest, "the first ones are the largest"),
            (squeezed_without_bias, "The bias is zero"),
            (squeezed_with_two_biases, "a bias in the middle"),
            (squeezed_with_relu, "An activation between them"),
            (squeezed_sharing, "shares its bias"),
            (squeezed_frozen, "copy numbers into them"),
            (squeezed_untouched, "Return nn.Sequential(first, second)"),
            (squeezed_in_the_layer, "that it was only to look at"),
        ],
    ),
    "day15.first_remedy": Answers(
        right=[{letter: remedy.upper() for letter, remedy in RIGHT.items()}],
        wrong=[
            (RIGHT | {"A": "more digits"}, "A misreads its training digits too"),
            (RIGHT | {"B": "more units"}, "B knows all its training digits"),
            (RIGHT | {"C": "more units"}, "C has far more parameters"),
            (RIGHT | {"D": "help it train"}, "D has trained to the end"),
            (RIGHT | {"E": "more digits"}, "nearly as often as new ones"),
            (RIGHT | {"E": "more layers"}, "Choose from"),
            ({"A": "more units"}, "All five networks"),
        ],
    ),
}
