"""Many factors in few runs: two-level screening designs, and the effects that can be read from them.

scipy and pandas are imported at the first call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nnlab_helpers.sweep.effects import _key

if TYPE_CHECKING:
    import pandas

Error = Literal["replicates", "seeds"]


def screening_design(factors: Mapping[str, Sequence[Any]], runs: int | None = None) -> list[dict[str, Any]]:
    """Choose configurations from which every factor's main effect can be read at full precision.

    The columns of a Hadamard matrix are balanced and orthogonal to each other: each factor is at its low level in half
    of the runs, and the runs of either half have every other factor low and high equally often. So all runs serve all
    factors, and no main effect disturbs another.

    - `len(factors) <= runs / 2` gives **resolution IV**: a design of half the runs, followed by its mirror image
      (a fold-over). Main effects are clear of interactions of two factors; these are aliased with each other.
    - Otherwise, up to `runs - 1` factors, it is **resolution III**: main effects are aliased with interactions too.

    Sources: Plackett and Burman (1946), "The design of optimum multifactorial experiments", whose designs these are
    where the number of runs is a power of two; Box, Hunter and Hunter (2005), "Statistics for Experimenters", 2nd
    edition, chapter 6, on resolution and fold-over.

    Args:
        factors: by name, the low and the high level; whatever `sweep` takes as a choice.
        runs: a power of two, 4 or more; by default the smallest that gives resolution IV.

    Returns:
        A list of configurations for `sweep`. In the first, every factor is at its low level.

    Raises:
        ValueError: no factor, a factor without two different levels, `runs` no power of two or too few of them.

    Example:
        >>> for config in screening_design({"a": (0, 1), "b": (0, 1), "c": (0, 1)}, runs=4):
        ...     print(config)
        {'a': 0, 'b': 0, 'c': 0}
        {'a': 1, 'b': 0, 'c': 1}
        {'a': 0, 'b': 1, 'c': 1}
        {'a': 1, 'b': 1, 'c': 0}
    """
    from scipy.linalg import hadamard

    if not factors:
        raise ValueError("there is nothing to screen: no factors were given")
    for name, levels in factors.items():
        if isinstance(levels, str) or len(levels) != 2 or _key(levels[0]) == _key(levels[1]):
            raise ValueError(f"factor {name!r} needs two different levels (low, high), got {levels!r}")
    count = len(factors)
    if runs is None:
        runs = max(4, 1 << (2 * count - 1).bit_length())
    if runs < 4 or runs & (runs - 1):
        raise ValueError(f"runs must be a power of two, 4 or more, got {runs}")
    if count >= runs:
        raise ValueError(f"{count} factors need more than {count} runs, got {runs}")
    folded = count <= runs // 2
    square = hadamard(runs // 2 if folded else runs)  # its first column is all +1
    signs = square[:, _columns(len(square), count)]
    if folded:
        signs = np.vstack([signs, -signs])
    return [
        {name: levels[int(sign < 0)] for (name, levels), sign in zip(factors.items(), row, strict=True)}
        for row in signs
    ]


def _columns(size: int, count: int) -> list[int]:
    """The columns 1, 2, 4, ... and then, one by one, those that alias the fewest interactions; 0 (constant) last."""
    chosen = [1 << bit for bit in range(size.bit_length() - 1)][:count]
    while len(chosen) < count:
        sums = [a ^ b ^ c for a, b, c in combinations(chosen, 3)]  # the product of columns a and b is column a ^ b
        left = [column for column in range(size) if column not in chosen]
        chosen.append(min(left, key=lambda column: (column == 0, sums.count(column), -column)))
    return chosen


def main_effects(
    frame: pandas.DataFrame,
    metric: str,
    *,
    baseline: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    error: Error = "replicates",
) -> pandas.DataFrame:
    """Estimate what each factor of a screening design does: the mean of its high runs minus that of its low runs.

    All runs take part in each effect with the same weight. So all effects share one standard error, also where some
    configurations scatter more than others, and it can be estimated from all of them:

    - `error="replicates"`: from how the seeds of one configuration differ, pooled over the N configurations; Student's
      interval with (N - 1)(seeds - 1) degrees of freedom. What a seed adds to all its runs alike cancels in a contrast
      and does not count.
    - `error="seeds"`: from how this one effect differs between seeds, as in `effects`; seeds - 1 degrees of freedom.

    Source: Box, Hunter and Hunter (2005), "Statistics for Experimenters", 2nd edition, chapter 5.

    Args:
        frame: what `sweep` returned for a screening design (or any two-level orthogonal design) and some seeds.
        metric: the column to compare.
        baseline: the low level, by factor. Default: that of the first row.
        confidence: of the intervals, between 0 and 1. Each holds for itself: of twenty, one misses the truth.
        error: where the standard error comes from.

    Returns:
        A frame that `plot_effects` draws, with a row for each factor: "factor", "level" (high), "baseline" (low),
        "difference", "low", "high" (NaN with one seed), "seeds", "runs".

    Raises:
        KeyError: no such column, or a baseline for a factor that there is none of.
        ValueError: a factor has not two levels or none as in the baseline, a run is missing or failed, columns are not
            orthogonal, `confidence` outside of (0, 1) or an unknown `error`.
    """
    study = _Study(frame, metric, baseline, confidence, error)
    rows = []
    for name, column in study.columns.items():
        low, high = study.levels[name]
        rows.append({"factor": name, "level": high, "baseline": low, **study.contrast(column)})
    return _table(rows)


def interactions(
    frame: pandas.DataFrame,
    metric: str,
    *,
    baseline: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
    error: Error = "replicates",
) -> pandas.DataFrame:
    """Estimate interactions of two factors: the mean where both are low or both high, minus that where they differ.

    This is half of what the second factor's level changes in the first factor's effect. In a screening design several
    pairs have the same column: their interactions are *aliased*, and the contrast is the sum of them all (a pair whose
    column is the opposite counts negative). Such a string has one row, named after its first pair.

    Args:
        frame: as for `main_effects`.
        metric: the column to compare.
        baseline: as for `main_effects`.
        confidence: of the intervals, between 0 and 1.
        error: as for `main_effects`.

    Returns:
        A frame that `plot_effects` draws, largest contrast first, with the columns of `main_effects`: "factor" reads
        "a x b", "level" is "alike" and "baseline" "unlike". "aliases" is a tuple of the names, "-" before them if
        negative, of all else that the contrast contains: other pairs, and main effects in a design of resolution III.

    Raises:
        KeyError, ValueError: as for `main_effects`.
    """
    study = _Study(frame, metric, baseline, confidence, error)
    strings: list[tuple[str, np.ndarray, list[str]]] = []
    for a, b in combinations(study.columns, 2):
        product, name = study.columns[a] * study.columns[b], f"{a} x {b}"
        for _, column, aliases in strings:
            if (same := _same(product, column)) is not None:
                aliases.append(same + name)
                break
        else:
            mains = [(_same(column, product), main) for main, column in study.columns.items()]
            strings.append((name, product, [sign + main for sign, main in mains if sign is not None]))
    rows = []
    for name, column, aliases in strings:
        row = {"factor": name, "level": "alike", "baseline": "unlike", **study.contrast(column)}
        rows.append(row | {"aliases": tuple(aliases)})
    return _table(sorted(rows, key=lambda row: -abs(row["difference"])))


def _same(a: np.ndarray, b: np.ndarray) -> str | None:
    """"" if the columns are equal, "-" if they are opposite, else None."""
    return "" if (a == b).all() else "-" if (a == -b).all() else None


def _table(rows: Iterable[dict[str, Any]]) -> pandas.DataFrame:
    import pandas

    return pandas.DataFrame(list(rows))


class _Study:
    """A sweep over a two-level orthogonal design as arrays: a sign for each factor, a value for each seed."""

    def __init__(
        self,
        frame: pandas.DataFrame,
        metric: str,
        baseline: Mapping[str, Any] | None,
        confidence: float,
        error: str,
    ) -> None:
        import pandas

        if metric not in frame:
            raise KeyError(f"no column {metric!r} in the table: there are {list(frame.columns)}")
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
        if error not in ("replicates", "seeds"):
            raise ValueError(f"error must be 'replicates' or 'seeds', got {error!r}")
        self.confidence, self.error = confidence, error
        names = frame.attrs.get("factors") or list(frame.columns[: frame.columns.get_loc("seed")])
        if unknown := sorted(set(baseline or {}) - set(names)):
            raise KeyError(f"no factor {unknown[0]!r}: there are {names}")
        keys = frame[names].map(_key)
        self.levels: dict[str, tuple[Any, Any]] = {}
        for name in names:
            found = dict(zip(keys[name], frame[name], strict=True))
            if len(found) != 2:
                raise ValueError(f"factor {name!r} needs two levels, the table has {list(found.values())}")
            low = _key((baseline or {}).get(name, frame[name].iloc[0]))
            if low not in found:
                raise ValueError(f"no run has {name} = {baseline[name]!r}, the baseline")  # type: ignore[index]
            self.levels[name] = (found.pop(low), *found.values())  # type: ignore[assignment]
        lows = {name: _key(low) for name, (low, _) in self.levels.items()}
        signs = pandas.DataFrame({name: np.where(keys[name] == lows[name], -1, 1) for name in names})
        signs["seed"] = frame["seed"].to_numpy()
        signs["value"] = pandas.to_numeric(frame[metric], errors="coerce").to_numpy()
        if signs.duplicated([*names, "seed"]).any():
            raise ValueError("a configuration comes twice with the same seed")
        wide = signs.pivot(index=names, columns="seed", values="value")
        if missing := int(wide.isna().to_numpy().sum()):
            raise ValueError(
                f"{missing} of {wide.size} runs are missing or failed (see the column 'error'): the contrasts of a "
                "design need all of them, so run these again, or leave their seeds out"
            )
        self.values = wide.to_numpy(dtype=float)  # [configurations, seeds]
        self.columns = {name: wide.index.get_level_values(name).to_numpy() for name in names}
        for name, column in self.columns.items():
            if column.sum():
                raise ValueError(f"factor {name!r} is not low and high equally often: this is no orthogonal design")
        for a, b in combinations(names, 2):
            if self.columns[a] @ self.columns[b]:
                raise ValueError(f"{a!r} and {b!r} are not orthogonal: runs of one say something about the other")

    def contrast(self, column: np.ndarray) -> dict[str, Any]:
        """Mean where `column` is +1 minus mean where it is -1, with its interval."""
        from scipy.special import stdtrit

        values = self.values
        runs, seeds = values.shape
        by_seed = column @ values / (runs / 2)  # [seeds]
        middle, reach = float(by_seed.mean()), float("nan")
        if seeds > 1:
            if self.error == "seeds":
                freedom, spread = seeds - 1, by_seed.std(ddof=1) / seeds**0.5
            else:
                freedom = (runs - 1) * (seeds - 1)
                rest = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0) + values.mean()
                spread = 2 * ((rest**2).sum() / freedom / (runs * seeds)) ** 0.5
            reach = float(stdtrit(freedom, (1 + self.confidence) / 2) * spread)
        return {"difference": middle, "low": middle - reach, "high": middle + reach, "seeds": seeds, "runs": runs}


def pareto_front(frame: pandas.DataFrame, cost: str, metric: str) -> pandas.DataFrame:
    """Keep the rows that no other row beats: none is at most as expensive and at least as good, and better in one.

    Source: Pareto (1906), "Manuale di economia politica".

    Args:
        frame: a row for each candidate.
        cost: the column of which less is better.
        metric: the column of which more is better.

    Returns:
        Those rows, cheapest first. Of rows that are equal in both, all stay. Rows without a number are left out.

    Raises:
        KeyError: no such column.
    """
    for name in (cost, metric):
        if name not in frame:
            raise KeyError(f"no column {name!r} in the table: there are {list(frame.columns)}")
    known = frame[frame[[cost, metric]].notna().all(axis=1)].sort_values(cost, kind="stable")
    costs, scores = known[cost].to_numpy(dtype=float), known[metric].to_numpy(dtype=float)
    beaten = [
        bool(((costs <= c) & (scores >= s) & ((costs < c) | (scores > s))).any())
        for c, s in zip(costs, scores, strict=True)
    ]
    return known[~np.array(beaten, dtype=bool)]
