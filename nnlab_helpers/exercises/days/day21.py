"""Checks of day 21: effects and interactions by hand, aliases, seeds that a study needs, a Pareto front."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

from nnlab_helpers.exercises.checking import Trial, any_of, exercise
from nnlab_helpers.exercises.checking.compare import close

Runs = list[tuple[dict[str, Any], float]]


def _effect(runs: Runs, factor: str, low: Any, high: Any) -> float:
    above = [value for config, value in runs if config[factor] == high]
    below = [value for config, value in runs if config[factor] == low]
    return fmean(above) - fmean(below)


@exercise(
    "day21.main_effect",
    title="The main effect of one factor",
    stars=1,
    hints=(
        "Sort the values into two lists: those of the runs at `high`, and those at `low`.",
        "Look at config[factor] for each pair (config, value); a run with a third level goes into neither list.",
        "sum(above) / len(above) - sum(below) / len(below)",
    ),
    learned="Whatever the other factors do falls out only if both groups have the same mixture of them: balance.",
)
def main_effect(answer: Callable[..., Any], t: Trial) -> None:
    """Groups of different sizes, a third level, other factors in the way, levels that are numbers."""
    example: Runs = [({"norm": "none"}, 80.0), ({"norm": "batch"}, 90.0), ({"norm": "batch"}, 94.0)]
    cases: list[tuple[Runs, str, Any, Any]] = [
        (example, "norm", "none", "batch"),
        ([*example, ({"norm": "layer"}, 50.0)], "norm", "none", "batch"),
    ]
    for size in (6, 11):
        values = t.rand(size, low=60.0, high=99.0).tolist()
        drops = [0.0, 0.3, 0.5]
        runs = [({"dropout": drops[i % 3], "width": (i * 7) % 4}, round(v, 1)) for i, v in enumerate(values)]
        cases.append((runs, "dropout", 0.0, 0.5))
        cases.append((runs, "width", 3, 1))
    for runs, factor, low, high in cases:
        want = _effect(runs, factor, low, high)
        got = t.call(answer, [(dict(config), value) for config, value in runs], factor, low=low, high=high)
        above = [value for config, value in runs if config[factor] == high]
        below = [value for config, value in runs if config[factor] == low]
        rest = [value for config, value in runs if config[factor] != high]
        other = [value for config, value in runs if config[factor] != low]
        known = {
            "That is low minus high.": -want,
            "That is the difference of the two sums; the groups differ in size, so take their means.": sum(above)
            - sum(below),
            "A run with a third level belongs to neither mean.": any_of(
                fmean(above) - fmean(rest), fmean(other) - fmean(below)
            ),
            "That compares with the mean of all runs; compare with those at `low`.": fmean(above)
            - fmean([value for _, value in runs]),
            "That is half the effect: it is the whole difference of the two means.": want / 2,
            "Divide each sum by the size of its own group; half of all runs is not always that.": (
                2 * (sum(above) - sum(below)) / len(runs)
            ),
        }
        t.expect(got, want, known=known)


def _interaction(table: Sequence[Sequence[Sequence[float]]]) -> float:
    (a, b), (c, d) = [[fmean(cell) for cell in row] for row in table]
    return ((d - b) - (c - a)) / 2


@exercise(
    "day21.interaction",
    title="An interaction by hand",
    stars=2,
    hints=(
        "Take the four means first. What does A do at B low? From table[0][0] to table[1][0].",
        "And at B high: from table[0][1] to table[1][1]. The difference of these two effects, halved.",
        "((m11 - m01) - (m10 - m00)) / 2, where m01 is the mean of table[0][1].",
    ),
    learned="Exchange A and B and it stays the same: that A changes what B does is the same fact as the reverse.",
)
def interaction(answer: Callable[..., Any], t: Trial) -> None:
    """The toy, cells of unequal size, two factors that do not interact."""
    tables = [
        [[[90.0], [87.0]], [[88.0], [94.0]]],
        [[[80.0, 82.0], [70.0]], [[90.0], [95.0, 97.0, 99.0]]],
        [[[1.0], [2.0]], [[3.0], [4.0]]],
    ]
    for sizes in ((1, 2, 3, 2), (4, 1, 2, 5)):
        cells = [[round(v, 1) for v in t.rand(size, low=60.0, high=99.0).tolist()] for size in sizes]
        tables.append([cells[:2], cells[2:]])
    for table in tables:
        want = _interaction(table)
        got = t.call(answer, [[list(cell) for cell in row] for row in table])
        (a, b), (c, d) = table
        (m00, m01), (m10, m11) = [[fmean(cell) for cell in row] for row in table]
        known = {
            "Halve it: an interaction is half of what B's change does to A's effect.": 2 * want,
            "That is the main effect of A: its effect at B high and at B low is averaged there, not compared.": any_of(
                (m11 - m01 + m10 - m00) / 2, fmean(c + d) - fmean(a + b)
            ),
            "That is the main effect of B.": any_of((m01 - m00 + m11 - m10) / 2, fmean(b + d) - fmean(a + c)),
            "The sign is turned: what A does at B *high*, minus what it does at B low.": -want,
            "The four lists differ in length: take the mean of each first, then compare the four means.": any_of(
                fmean(a + d) - fmean(b + c), (sum(d) - sum(b) - sum(c) + sum(a)) / 2
            ),
            "That is what A does at B high alone.": any_of(m11 - m01, (m11 - m01) / 2),
            "That compares two cells only: table[i][j] has A at level i and B at level j.": any_of(
                m10 - m00, (m10 - m00) / 2, m11 - m10, (m11 - m10) / 2, m01 - m00, (m01 - m00) / 2
            ),
            "Only the first number of each list was used.": _interaction(
                [[[cell[0]] for cell in row] for row in table]
            ),
        }
        t.expect(got, want, known=known)


def _hidden(design: Sequence[Sequence[int]], column: int, opposite: bool = True, equal: bool = True) -> list[Any]:
    found = []
    for i, j in combinations(range(len(design[0])), 2):
        signs = {row[i] * row[j] * row[column] for row in design}
        if column not in (i, j) and ((signs == {1} and equal) or (signs == {-1} and opposite)):
            found.append((i, j))
    return found


@exercise(
    "day21.hidden_pairs",
    title="What hides behind it?",
    stars=2,
    hints=(
        "For each pair i < j without `column`: multiply the two signs in every run, and compare with that of `column`.",
        "Aliased means: the comparison comes out the same in *every* run, always equal or always opposite.",
        "signs = {row[i] * row[j] * row[column] for row in design}; the pair is hidden if this set has one element.",
    ),
    learned="In a design of resolution IV or more the list is empty for every column: no pair can pass for it.",
)
def hidden_pairs(answer: Callable[..., Any], t: Trial) -> None:
    """A half of eight with each sign, a full factorial, a fold-over, Hadamard columns in any order."""
    full = [[1 - 2 * (run >> bit & 1) for bit in range(3)] for run in range(8)]
    half = [[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]
    opposite = [[-sign for sign in row] for row in half]
    seven = [[a, b, c, a * b, a * c, b * c, a * b * c] for a, b, c in full]
    shuffled = t.numpy_rng.permutation(7).tolist()
    turned = t.numpy_rng.choice([-1, 1], size=7).tolist()
    mixed = [[row[k] * turned[k] for k in shuffled] for row in seven]
    unequal = [[a, b, c, a * b if c == 1 else -a * b] for a, b, c in full]
    fold = [[a, b, c, a * b * c] for a, b, c in full]
    cases = [(full[::-1], 0), (half, 2), (opposite, 2), (half, 0), (unequal, 3), (unequal, 0), (fold, 3)]
    cases += [(seven, k) for k in (0, 3, 6)] + [(mixed, k) for k in (1, 4)]
    for design, column in cases:
        want = _hidden(design, column)
        got = t.call(answer, [list(row) for row in design], column)
        if got is None:
            t.fail("the result is None", "Return a list, an empty one if nothing hides behind the column.")
        if not isinstance(got, list | tuple):
            t.fail(f"a list of pairs was expected, got {got!r:.60}")
        found = [tuple(pair) if isinstance(pair, list | tuple) else pair for pair in got]
        if found == want:
            continue
        given = f"in a design of {len(design)} runs"
        if len(design) < 5:
            given = f"with the design {design}, column {column}"
        told = f"{given}: expected {want}, got {found}"
        width = len(design[0])
        balanced = [
            (i, j)
            for i, j in combinations(range(width), 2)
            if column not in (i, j) and not sum(row[i] * row[j] * row[column] for row in design)
        ]
        if any(not isinstance(pair, tuple) or len(pair) != 2 for pair in found):
            t.fail(told, "Each element is a pair (i, j) of column numbers.")
        if any(column in pair for pair in found):
            t.fail(told, "Pairs of *other* factors are asked for: leave out those that contain `column` itself.")
        if sorted({tuple(sorted(pair)) for pair in found}) == want:
            t.fail(told, "Each pair once, the smaller number first, and the pairs in rising order.")
        if found == _hidden(design, column, opposite=False):
            t.fail(told, "Opposite in every run is aliased too: then one shows the other with its sign turned.")
        if found == _hidden(design, column, equal=False):
            t.fail(told, "Equal in every run is aliased, as opposite in every run is.")
        if found == balanced:
            t.fail(told, "Those agree with it in some runs only: they are *not* aliased. All runs must agree, or none.")
        t.fail(told, "A pair is hidden if the product of its signs equals that of `column` in all runs, or in none.")


@exercise(
    "day21.seeds_needed",
    title="How many seeds?",
    stars=3,
    hints=(
        "A mean of m results has the standard error deviation / sqrt(m). How many results has each of the two means?",
        "Two means of runs * seeds / 2 results each: the squares of their errors add up, so the difference has "
        "2 * deviation / sqrt(runs * seeds).",
        "Set |effect| = times * 2 * deviation / sqrt(runs * seeds), solve for seeds, and round up with math.ceil.",
    ),
    learned="Half the effect needs four times the seeds. And runs of other configurations serve as well as more seeds.",
)
def seeds_needed(answer: Callable[..., Any], t: Trial) -> None:
    """The example, harm as well as good, one seed that is enough, fresh ones, and no effect at all."""
    cases = [(0.2, 0.5, 32, 2.8), (-0.2, 0.5, 32, 2.8), (3.0, 0.5, 32, 2.8), (0.1, 0.5, 32, 2.8), (0.2, 0.5, 8, 2.8)]
    cases += [(0.1, 0.31, 16, 2.0), (1.5, 4.1, 16, 2.8), (1.0, 1.0, 4, 2.0)]
    while len(cases) < 13:
        effect, deviation = round(float(t.rand(low=0.05, high=0.4)), 3), round(float(t.rand(low=0.1, high=0.6)), 3)
        case = (effect, deviation, int(2 ** int(t.randint(2, 7))), 2.8)
        exact = (2 * 2.8 * deviation / effect) ** 2 / case[2]
        if abs(exact - round(exact)) > 0.02:
            cases.append(case)
    for effect, deviation, runs, times in cases:
        exact = (2 * times * deviation / effect) ** 2 / runs
        got = t.call(answer, effect, deviation, runs, *([times] if times != 2.8 else []))
        one = (times * deviation / effect) ** 2 / runs
        known = {
            "Rounded down, the effect is a little too small for these seeds: round up.": math.floor(exact),
            "Round up to the next whole number.": any_of(exact, round(exact)),
            "Each of the two means has only half of the results, and both scatter: the difference has twice the "
            "standard error of the mean of all.": any_of(one, math.ceil(one)),
            "The errors of the two means do not cancel: their squares add up.": any_of(2 * one, math.ceil(2 * one)),
            "That is how many results are needed in all; each seed brings `runs` of them.": math.ceil(exact * runs),
            "Solve for the seeds: they stand under a root, so the ratio is squared.": math.ceil(
                2 * times * abs(deviation / effect) / math.sqrt(runs)
            ),
            "Exactly `times` standard errors is enough: one seed less will do.": math.floor(exact) + 1,
            "At least one seed.": 0,
            "`effect` may be negative: its size counts.": any_of(-math.ceil(exact), -math.ceil(2 * times)),
            "The factor `times` is missing, or it is not the one given.": any_of(
                math.ceil(exact / times**2), math.ceil(exact * (2.8 / times) ** 2), math.ceil(exact / times)
            ),
        }
        if math.ceil(one) == math.ceil(exact):
            known = {message: value for message, value in known.items() if "half of the results" not in message}
        t.expect(got, math.ceil(exact), known=known)
    try:
        got = answer(0.0, 0.5, 32)
    except ValueError:
        return
    except ZeroDivisionError:
        t.fail("for an effect of 0 came a ZeroDivisionError", "Raise a ValueError: no number of seeds finds nothing.")
    t.fail(f"for an effect of 0 came {got!r}", "No number of seeds is enough there: raise a ValueError.")


def _beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] >= b[1] and a != b


@exercise(
    "day21.unbeaten",
    title="The Pareto front",
    stars=2,
    hints=(
        "For each point ask all others: does one of them cost no more *and* do no worse, and better in one of the two?",
        "A point equal to this one in both numbers does not beat it, and neither does the point itself.",
        "beaten = any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in points)",
    ),
    learned="Whatever you prefer, cheap or good, your best choice lies on the front: the rest need not be discussed.",
)
def unbeaten(answer: Callable[..., Any], t: Trial) -> None:
    """The example, ties in one number and in both, one point, any order, many points."""
    cases: list[list[tuple[float, float]]] = [
        [(1.0, 80.0), (2.0, 90.0), (3.0, 85.0), (4.0, 95.0)],
        [(5.0, 80.0)],
        [(2.0, 90.0), (2.0, 85.0), (1.0, 70.0)],
        [(3.0, 90.0), (2.0, 90.0), (1.0, 70.0)],
        [(1.0, 80.0), (1.0, 80.0), (2.0, 70.0)],
        [(4.0, 95.0), (3.0, 85.0), (2.0, 90.0), (1.0, 80.0)],
        [],
    ]
    for size in (9, 25):
        costs, scores = t.randint(1, 12, (size,)).tolist(), t.randint(60, 75, (size,)).tolist()
        cases.append([(float(c), float(s)) for c, s in zip(costs, scores, strict=True)])
    for points in cases:
        every = range(len(points))
        want = [i for i in every if not any(_beats(other, points[i]) for other in points)]
        got = t.call(answer, list(points))
        strict = [i for i in every if not any(c < points[i][0] and s > points[i][1] for c, s in points)]
        lone = [
            i
            for i in every
            if not any(j != i and c <= points[i][0] and s >= points[i][1] for j, (c, s) in enumerate(points))
        ]
        dear = [
            i
            for i in every
            if not any(c >= points[i][0] and s >= points[i][1] and (c, s) != points[i] for c, s in points)
        ]
        same = [i for i in every if not any(c == points[i][0] and s > points[i][1] for c, s in points)]
        one = [i for i in every if not any(c < points[i][0] or s > points[i][1] for c, s in points)]
        walked = [i for i in every if not any(s >= points[i][1] for _, s in points[:i])]
        known = {
            "A point at the same cost with a higher accuracy beats it, and a cheaper one of the same accuracy too: "
            "better in *one* is enough if the other is equal.": strict,
            "Equal in both numbers is not better: such points do not beat each other.": lone,
            "Points come in any order, not by rising cost: compare each with all others, later ones too.": walked,
            "Less cost is better, more accuracy is better: one of the two signs is turned.": dear,
            "Cheaper points were not asked: one that costs less and does at least as well beats it.": same,
            "To be beaten, one point must do both: cost no more and be no worse.": one,
            "Return the positions, counted from 0, not the points.": [points[i] for i in want],
            "Those are the points that are beaten.": [i for i in every if i not in want],
        }
        if isinstance(got, list | tuple | set) and list(got) != want and sorted(got, key=str) == sorted(want, key=str):
            t.fail(f"for {points}: expected {want}, got {got}", "All positions are there; sort them in rising order.")
        for message, value in known.items():
            if isinstance(got, list | tuple) and close(list(got), value) and value != want:
                t.fail(f"for the points {points}: expected {want}, got {got}", message)
        t.expect(got, want)
