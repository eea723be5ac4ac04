"""The picture of a sweep's effects."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from nnlab_helpers.plots import PALETTE, plot_effects

NAN = float("nan")
EFFECTS = pd.DataFrame(
    [("width", 8, 4, 1.0, 0.5, 1.5), ("bend", max, min, 0.2, -0.1, 0.5), ("norm", True, False, -1.0, NAN, NAN)],
    columns=["factor", "level", "baseline", "difference", "low", "high"],
)


def test_a_row_for_each_effect_coloured_by_what_is_decided():
    ax = plot_effects(EFFECTS, unit="points")
    dots = [line for line in ax.get_lines() if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [1.0, 0.2, -1.0]
    assert [dot.get_color() for dot in dots] == [PALETTE[0], "0.55", "0.55"]
    assert dots[2].get_markerfacecolor() == "white"
    bars = [list(line.get_xdata()) for line in ax.get_lines() if line.get_marker() != "o"]
    assert [0.5, 1.5] in bars
    assert [-0.1, 0.5] in bars
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["width = 8 (not 4)", "bend = max (not min)", "norm = True (not False)"]
    assert ax.get_xlabel() == "difference to the baseline, points"
    heights = [dot.get_ydata()[0] for dot in dots]
    assert heights == sorted(heights, reverse=True), "the first row stands on top"


@pytest.mark.parametrize(
    ("low", "high", "decided"), [(0.1, 0.5, True), (-0.5, -0.1, True), (-0.1, 0.5, False), (0.0, 0.5, False)]
)
def test_an_interval_on_either_side_of_zero_decides(low, high, decided):
    table = pd.DataFrame([("width", 8, 4, (low + high) / 2, low, high)], columns=EFFECTS.columns)
    (dot,) = [line for line in plot_effects(table).get_lines() if line.get_marker() == "o"]
    assert dot.get_color() == (PALETTE[0] if decided else "0.55")


def test_draws_into_the_axes_it_is_given():
    _, ax = plt.subplots()
    assert plot_effects(EFFECTS, ax) is ax


def test_nothing_to_draw_is_told():
    with pytest.raises(ValueError, match="empty"):
        plot_effects(EFFECTS.iloc[:0])
