"""Answers to the exercises of day 21: other right ones, and wrong ones that are really given."""

import math
from itertools import combinations

import numpy as np
from answers import Answers


def effect_by_numpy(runs, factor, low, high):
    levels = [config[factor] for config, _ in runs]
    values = np.array([value for _, value in runs])
    return float(values[[x == high for x in levels]].mean() - values[[x == low for x in levels]].mean())


def parts(runs, factor, low, high):
    return [v for c, v in runs if c[factor] == low], [v for c, v in runs if c[factor] == high]


def mean(values):
    return sum(values) / len(values)


def effect_turned(runs, factor, low, high):
    return effect_by_numpy(runs, factor, high, low)


def effect_of_sums(runs, factor, low, high):
    below, above = parts(runs, factor, low, high)
    return sum(above) - sum(below)


def effect_against_rest(runs, factor, low, high):
    return mean(parts(runs, factor, low, high)[1]) - mean([v for c, v in runs if c[factor] != high])


def effect_against_all(runs, factor, low, high):
    return mean(parts(runs, factor, low, high)[1]) - mean([v for _, v in runs])


def effect_halved(runs, factor, low, high):
    return effect_by_numpy(runs, factor, low, high) / 2


def effect_over_half(runs, factor, low, high):
    below, above = parts(runs, factor, low, high)
    return (sum(above) - sum(below)) / (len(runs) / 2)


def interaction_by_numpy(table):
    means = np.array([[np.mean(cell) for cell in row] for row in table])
    return float((means * np.array([[1, -1], [-1, 1]])).sum() / 2)


def cells(table):
    return [mean(cell) for row in table for cell in row]


def interaction_whole(table):
    return 2 * interaction_by_numpy(table)


def interaction_main_a(table):
    m00, m01, m10, m11 = cells(table)
    return (m10 + m11 - m00 - m01) / 2


def interaction_main_b(table):
    m00, m01, m10, m11 = cells(table)
    return (m01 + m11 - m00 - m10) / 2


def interaction_turned(table):
    return -interaction_by_numpy(table)


def interaction_pooled(table):
    (a, b), (c, d) = table
    return mean(a + d) - mean(b + c)


def interaction_at_high(table):
    _, m01, _, m11 = cells(table)
    return m11 - m01


def interaction_at_low(table):
    m00, _, m10, _ = cells(table)
    return m10 - m00


def interaction_of_firsts(table):
    return interaction_by_numpy([[[cell[0]] for cell in row] for row in table])


def pairs_by_numpy(design, column):
    x = np.array(design)
    return [
        (i, j)
        for i in range(x.shape[1])
        for j in range(i + 1, x.shape[1])
        if column not in (i, j) and abs(int((x[:, i] * x[:, j] * x[:, column]).sum())) == len(x)
    ]


def pairs_of_lists(design, column):
    return [list(pair) for pair in pairs_by_numpy(design, column)]


def pairs_where(design, column, test):
    width = len(design[0])
    sums = {(i, j): [r[i] * r[j] * r[column] for r in design] for i, j in combinations(range(width), 2)}
    return [pair for pair, signs in sums.items() if column not in pair and test(signs)]


def pairs_equal_only(design, column):
    return pairs_where(design, column, lambda signs: set(signs) == {1})


def pairs_opposite_only(design, column):
    return pairs_where(design, column, lambda signs: set(signs) == {-1})


def pairs_orthogonal(design, column):
    return pairs_where(design, column, lambda signs: sum(signs) == 0)


def pairs_with_itself(design, column):
    width = len(design[0])
    return pairs_by_numpy(design, column) + [(min(column, k), max(column, k)) for k in range(width) if k != column]


def pairs_both_ways(design, column):
    found = pairs_by_numpy(design, column)
    return found + [(j, i) for i, j in found]


def pairs_flat(design, column):
    return [k for pair in pairs_by_numpy(design, column) for k in pair] or [0]


def pairs_or_none(design, column):
    return pairs_by_numpy(design, column) or None


def seeds_by_trying(effect, deviation, runs, times=2.8):
    if not effect:
        raise ValueError("nothing to find")
    seeds = 1
    while abs(effect) < times * 2 * deviation / math.sqrt(runs * seeds):
        seeds += 1
    return seeds


def exact(effect, deviation, runs, times):
    if effect == 0:
        raise ValueError("nothing to find")
    return (2 * times * deviation / effect) ** 2 / runs


def seeds_down(effect, deviation, runs, times=2.8):
    return max(1, int(exact(effect, deviation, runs, times)))


def seeds_unrounded(effect, deviation, runs, times=2.8):
    return exact(effect, deviation, runs, times)


def seeds_of_one_mean(effect, deviation, runs, times=2.8):
    return math.ceil(exact(effect, deviation, runs, times) / 4)


def seeds_of_half(effect, deviation, runs, times=2.8):
    return math.ceil(exact(effect, deviation, runs, times) / 2)


def seeds_one_too_many(effect, deviation, runs, times=2.8):
    return int(exact(effect, deviation, runs, times)) + 1


def seeds_as_results(effect, deviation, runs, times=2.8):
    return math.ceil(exact(effect, deviation, runs, times) * runs)


def seeds_not_squared(effect, deviation, runs, times=2.8):
    return math.ceil(math.sqrt(exact(effect, deviation, runs, times)))


def seeds_at_one_error(effect, deviation, runs, times=2.8):
    return math.ceil(exact(effect, deviation, runs, 1.0))


def seeds_dividing_by_zero(effect, deviation, runs, times=2.8):
    return math.ceil((2 * times * deviation / effect) ** 2 / runs)


def seeds_for_nothing(effect, deviation, runs, times=2.8):
    return math.ceil(exact(effect, deviation, runs, times)) if effect else 1


def front_by_walking(points):
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    found, best = [], (None, -math.inf)
    for i in order:
        if points[i][1] > best[1] or tuple(points[i]) == best:
            found.append(i)
            best = tuple(points[i])
    return sorted(found)


def front_where(points, beats):
    return [i for i, mine in enumerate(points) if not any(beats(other, mine) for other in points)]


def front_strict(points):
    return front_where(points, lambda a, b: a[0] < b[0] and a[1] > b[1])


def front_without_twins(points):
    return [
        i
        for i, mine in enumerate(points)
        if not any(j != i and a[0] <= mine[0] and a[1] >= mine[1] for j, a in enumerate(points))
    ]


def front_of_dear(points):
    return front_where(points, lambda a, b: a[0] >= b[0] and a[1] >= b[1] and a != b)


def front_at_same_cost(points):
    return front_where(points, lambda a, b: a[0] == b[0] and a[1] > b[1])


def front_either(points):
    return front_where(points, lambda a, b: a[0] < b[0] or a[1] > b[1])


def front_as_they_come(points):
    front, best = [], -math.inf
    for i, (_, accuracy) in enumerate(points):
        if accuracy > best:
            front.append(i)
            best = accuracy
    return front


def front_points(points):
    return [points[i] for i in front_by_walking(points)]


def front_by_cost(points):
    return sorted(front_by_walking(points), key=lambda i: points[i])


def front_beaten(points):
    front = front_by_walking(points)
    return [i for i in range(len(points)) if i not in front]


ANSWERS = {
    "day21.main_effect": Answers(
        right=[effect_by_numpy],
        wrong=[
            (effect_turned, "low minus high"),
            (effect_of_sums, "take their means"),
            (effect_against_rest, "third level belongs to neither"),
            (effect_against_all, "compare with those at `low`"),
            (effect_halved, "half the effect"),
            (effect_over_half, "size of its own group"),
        ],
    ),
    "day21.interaction": Answers(
        right=[interaction_by_numpy],
        wrong=[
            (interaction_whole, "Halve it"),
            (interaction_main_a, "main effect of A"),
            (interaction_main_b, "main effect of B"),
            (interaction_turned, "The sign is turned"),
            (interaction_pooled, "the mean of each first"),
            (interaction_at_high, "at B high alone"),
            (interaction_at_low, "two cells only"),
            (interaction_of_firsts, "Only the first number"),
        ],
    ),
    "day21.hidden_pairs": Answers(
        right=[pairs_by_numpy, pairs_of_lists],
        wrong=[
            (pairs_equal_only, "Opposite in every run is aliased too"),
            (pairs_opposite_only, "Equal in every run is aliased"),
            (pairs_orthogonal, "*not* aliased"),
            (pairs_with_itself, "contain `column` itself"),
            (pairs_both_ways, "Each pair once"),
            (pairs_flat, "is a pair (i, j)"),
            (pairs_or_none, "an empty one"),
        ],
    ),
    "day21.seeds_needed": Answers(
        right=[seeds_by_trying],
        wrong=[
            (seeds_down, "Rounded down"),
            (seeds_unrounded, "next whole number"),
            (seeds_of_one_mean, "half of the results"),
            (seeds_of_half, "their squares add up"),
            (seeds_one_too_many, "one seed less will do"),
            (seeds_as_results, "in all"),
            (seeds_not_squared, "the ratio is squared"),
            (seeds_at_one_error, "`times` is missing"),
            (seeds_dividing_by_zero, "ZeroDivisionError"),
            (seeds_for_nothing, "No number of seeds is enough"),
        ],
    ),
    "day21.unbeaten": Answers(
        right=[front_by_walking],
        wrong=[
            (front_strict, "better in *one* is enough"),
            (front_without_twins, "do not beat each other"),
            (front_of_dear, "one of the two signs"),
            (front_as_they_come, "not by rising cost"),
            (front_at_same_cost, "Cheaper points were not asked"),
            (front_either, "one point must do both"),
            (front_points, "not the points"),
            (front_by_cost, "rising order"),
            (front_beaten, "that are beaten"),
        ],
    ),
}
