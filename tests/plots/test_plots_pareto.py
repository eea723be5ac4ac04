"""The picture of cost beside quality."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from nnlab_helpers.plots import PALETTE, plot_pareto

FRAME = pd.DataFrame({"cost": [1, 2, 3, 4], "score": [80.0, 90.0, 85.0, 95.0], "name": list("abcd")})


def test_all_dots_are_grey_and_the_front_is_a_stair_in_colour():
    ax = plot_pareto(FRAME, "cost", "score", label="name")
    dots, front = ax.get_lines()
    assert list(dots.get_ydata()) == [80.0, 90.0, 85.0, 95.0]
    assert (list(front.get_xdata()), list(front.get_ydata())) == ([1, 2, 4], [80.0, 90.0, 95.0])
    assert (front.get_color(), front.get_drawstyle()) == (PALETTE[0], "steps-post")
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.texts] == ["a", "b", "d"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("cost", "score")


def test_a_cost_of_zero_keeps_the_axis_linear_and_draws_into_the_axes_given():
    _, ax = plt.subplots()
    assert plot_pareto(FRAME.assign(cost=[0, 1, 2, 3]), "cost", "score", ax) is ax
    assert ax.get_xscale() == "linear"


def test_bad_tables_are_told():
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_pareto(FRAME.assign(score=float("nan")), "cost", "score")
    with pytest.raises(KeyError, match="no column 'price'"):
        plot_pareto(FRAME, "price", "score")
    with pytest.raises(KeyError, match="no column 'who'"):
        plot_pareto(FRAME, "cost", "score", label="who")
