"""What each choice of a sweep does, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nnlab_helpers.plots.style import PALETTE

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def plot_effects(effects: pandas.DataFrame, ax: Axes | None = None, *, unit: str = "") -> Axes:
    """Draw each level's difference to the baseline as a dot with its interval, one row a level.

    Intervals that hold zero are grey: there the runs do not decide. A level with a single seed has no interval, and
    its dot is hollow.

    Args:
        effects: what `nnlab_helpers.sweep.effects` returned.
        ax: where to draw; by default in a new figure, tall enough for all rows.
        unit: of the metric, for the axis: "accuracy (points)".

    Raises:
        ValueError: there are no effects to draw.
    """
    import matplotlib.pyplot as plt

    if effects.empty:
        raise ValueError("there are no effects to draw: the table is empty")
    if ax is None:
        ax = plt.subplots(figsize=(7.0, 1.0 + 0.32 * len(effects)))[1]
    places = -np.arange(len(effects), dtype=float)
    for place, row in zip(places, effects.itertuples(), strict=True):
        known = np.isfinite(row.low)
        decided = known and not row.low <= 0 <= row.high
        colour = PALETTE[0] if decided else "0.55"
        if known:
            ax.plot([row.low, row.high], [place, place], color=colour)
        ax.plot(row.difference, place, "o", color=colour, markerfacecolor=colour if known else "white")
    ax.axvline(0, color="black", linewidth=0.8, zorder=0)
    names = [f"{row.factor} = {_name(row.level)} (not {_name(row.baseline)})" for row in effects.itertuples()]
    ax.set_yticks(places, names)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"difference to the baseline{f', {unit}' if unit else ''}")
    return ax


def _name(level: object) -> str:
    return str(getattr(level, "__name__", level))
