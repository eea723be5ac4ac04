"""What each choice does: differences between runs that differ in one thing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas


def effects(
    frame: pandas.DataFrame,
    metric: str,
    *,
    baseline: Mapping[str, Any] | None = None,
    confidence: float = 0.95,
) -> pandas.DataFrame:
    """Summarise what each choice does to `metric`: its mean difference to the baseline, with an interval over seeds.

    For each factor and each of its levels, runs are paired that differ in this factor alone: same seed, same
    everything else. The differences of one seed are averaged, and the interval is Student's over the seeds, as runs of
    one seed are not independent of each other (Student, 1908).

    Args:
        frame: what `sweep` returned (or any frame with "seed" and a column for each of `frame.attrs["factors"]`).
        metric: the column to compare. Runs that failed, or have no number there, are left out.
        baseline: the level to compare with, by factor. Default: that of the first row.
        confidence: of the interval, between 0 and 1.

    Returns:
        A frame with a row for each level but the baseline's: "factor", "level", "baseline", "difference", "low",
        "high" (NaN with fewer than two seeds), "seeds" and "pairs" (how many were compared).

    Raises:
        KeyError: no such column, or a baseline for a factor that there is none of.
        ValueError: no factor with two levels, no level as in the baseline, a confidence outside of (0, 1), or no two
            runs that differ in one factor alone.
    """
    import pandas
    from scipy.special import stdtrit  # Student's quantiles; scipy.stats would take a second longer to load

    if metric not in frame:
        raise KeyError(f"no column {metric!r} in the table: there are {list(frame.columns)}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    factors = frame.attrs.get("factors") or [name for name in frame.columns[: frame.columns.get_loc("seed")]]
    base = {name: frame[name].iloc[0] for name in factors} | dict(baseline or {})
    unknown = sorted(set(base) - set(factors))
    if unknown:
        raise KeyError(f"no factor {unknown[0]!r}: there are {factors}")
    varied = [name for name in factors if frame[name].map(_key).nunique() > 1]
    if not varied:
        raise ValueError("no factor has two levels: there is nothing to compare")

    keys = frame[factors].map(_key).assign(seed=frame["seed"], value=pandas.to_numeric(frame[metric], errors="coerce"))
    keys = keys[keys["value"].notna()]
    rows = []
    for factor in varied:
        levels = {_key(level): level for level in frame[factor]}
        if _key(base[factor]) not in levels:
            raise ValueError(f"no run has {factor} = {base[factor]!r}, the baseline: there are {list(levels.values())}")
        others = [name for name in factors if name != factor] + ["seed"]
        ours = keys[keys[factor] == _key(base[factor])].set_index(others)["value"]
        for key, level in levels.items():
            if key == _key(base[factor]):
                continue
            theirs = keys[keys[factor] == key].set_index(others)["value"]
            differences = (theirs - ours).dropna()
            if differences.empty:
                continue
            by_seed = differences.groupby(level="seed").mean()
            middle, low, high = float(by_seed.mean()), float("nan"), float("nan")
            if len(by_seed) > 1:
                reach = stdtrit(len(by_seed) - 1, (1 + confidence) / 2) * by_seed.std() / len(by_seed) ** 0.5
                low, high = middle - float(reach), middle + float(reach)
            row = {"factor": factor, "level": level, "baseline": base[factor], "difference": middle}
            rows.append(row | {"low": low, "high": high, "seeds": len(by_seed), "pairs": len(differences)})
    if not rows:
        raise ValueError("no two runs differ in one factor alone (or all such failed): there is nothing to compare")
    return pandas.DataFrame(rows)


def _key(value: Any) -> str:
    """A level as something that can be compared and counted: lists too, and 1 equal to 1.0."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{float(value):.17g}"
    return f"{type(value).__name__} {value!r}"
