"""The one look of every figure, and how its lines are named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe & Ito (2008), "Color Universal Design": eight colours that stay apart for colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def use_style() -> None:
    """Set the course's look for every figure that follows: 7 inches wide at 100 dots per inch."""
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "figure.figsize": (7.0, 3.6),
            "figure.dpi": 100,
            "savefig.dpi": 100,
            "figure.constrained_layout.use": True,
            "figure.facecolor": "white",
            "font.size": 11,
            "axes.titlesize": 12,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.prop_cycle": cycler(color=PALETTE),
            "grid.alpha": 0.25,
            "lines.linewidth": 1.8,
            "image.cmap": "gray",
            "legend.frameon": False,
        }
    )


def new_axes(ax: Axes | None) -> Axes:
    """The given axes, or new ones where none were given."""
    import matplotlib.pyplot as plt

    return plt.subplots()[1] if ax is None else ax


def to_numpy(values: Any) -> np.ndarray:
    """`values` as an array, from a tensor on any device too."""
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def label_lines(ax: Axes, gap: float = 13.0) -> None:
    """Write each labelled line's name at its right end, in its colour, instead of a legend.

    Call it last, once scales, limits and title are set. Where ends lie close, the names move apart, to `gap` points
    from each other, and stay beside the axes.
    """
    ax.get_xlim(), ax.get_ylim()  # limits that still wait to be fitted to the data are fitted now
    ends = []
    for line in ax.get_lines():
        data = np.column_stack([np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)])
        data = data[np.isfinite(data).all(1)]
        if str(line.get_label()).startswith("_") or not len(data):
            continue
        shown = ax.transData.transform(data)  # on the page, where an inverted axis has its right end right too
        at = np.nanargmax(shown[:, 0])
        ends.append((shown[at, 1], tuple(data[at]), line))
    ends.sort(key=lambda end: end[0])
    pixels = ax.figure.dpi / 72  # in a point
    heights = np.array([height for height, _, _ in ends])
    above_axis = ax.bbox.y0 + gap * pixels / 2  # or its line would strike the lowest name through
    places = _spread(heights, gap * pixels, above_axis, ax.bbox.y1)
    for height, place, (_, end, line) in zip(heights, places, ends, strict=True):
        ax.annotate(
            str(line.get_label()),
            end,
            xytext=(6, (place - height) / pixels),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            annotation_clip=False,
        )


def _spread(heights: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Places for names that want to stand at `heights` (rising): `gap` apart, from `low` to `high`, moved least.

    Taking i gaps off the i-th turns "a gap apart" into "not falling", and the nearest such places are found by
    pooling neighbours that fall (isotonic regression; Ayer et al., 1955).
    """
    steps = gap * np.arange(len(heights))
    pools: list[list[float]] = []
    for height in heights - steps:
        pools.append([height])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    places = np.array([np.mean(pool) for pool in pools for _ in pool])
    return np.clip(places, low, max(low, high - steps[-1] if len(steps) else low)) + steps


def plot_band(ax: Axes, x: Any, runs: Any, label: str, **line: Any) -> None:
    """Draw the mean of several runs as a line and their range, lowest to highest, as a band.

    Args:
        ax: where to draw.
        x: positions `[T]`.
        runs: one row a run (a seed), `[R, T]`.
        label: the line's name; `label_lines` writes it at the end.
        line: passed on to `Axes.plot`.

    Raises:
        ValueError: if `runs` is not two-dimensional or does not match `x`.
    """
    positions, values = to_numpy(x), to_numpy(runs)
    if values.ndim != 2 or values.shape[1] != len(positions):
        raise ValueError(f"runs must be [runs, {len(positions)}] to match x, got {list(values.shape)}")
    (drawn,) = ax.plot(positions, values.mean(0), label=label, **line)
    ax.fill_between(positions, values.min(0), values.max(0), color=drawn.get_color(), alpha=0.2, linewidth=0)
