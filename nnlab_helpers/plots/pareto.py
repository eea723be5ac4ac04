"""Cost beside quality, and the candidates that nobody beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nnlab_helpers.plots.style import PALETTE, new_axes
from nnlab_helpers.sweep.screening import pareto_front

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes


def plot_pareto(
    frame: pandas.DataFrame, cost: str, metric: str, ax: Axes | None = None, *, label: str | None = None
) -> Axes:
    """Draw every row as a grey dot at its cost and quality, and the Pareto front as a stair in colour.

    The stair passes through the rows that no other row beats (see `nnlab_helpers.sweep.pareto_front`); its height is
    the best that can be had for a cost.

    Args:
        frame: a row for each candidate.
        cost: the column of which less is better; drawn on a logarithmic axis if all its numbers are positive.
        metric: the column of which more is better.
        ax: where to draw; by default in a new figure.
        label: a column with names, written beside the dots of the front.

    Raises:
        KeyError: no such column.
        ValueError: there is no row with both numbers.
    """
    front = pareto_front(frame, cost, metric)
    if front.empty:
        raise ValueError(f"there is nothing to draw: no row has a number in both {cost!r} and {metric!r}")
    if label is not None and label not in frame:
        raise KeyError(f"no column {label!r} in the table: there are {list(frame.columns)}")
    ax = new_axes(ax)
    ax.plot(frame[cost], frame[metric], "o", color="0.65", markersize=5, zorder=2)
    ax.step(front[cost], front[metric], "o-", where="post", color=PALETTE[0], markersize=7, zorder=3)
    if (frame[cost].dropna() > 0).all():
        ax.set_xscale("log")
    if label is not None:
        for x, y, name in zip(front[cost], front[metric], front[label], strict=True):
            ax.annotate(str(name), (x, y), xytext=(0, 8), textcoords="offset points", color=PALETTE[0])
    ax.set(xlabel=cost, ylabel=metric)
    return ax
