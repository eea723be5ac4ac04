"""Paths over a surface: what is drawn, what is refused, and that the animation grows and leaves the figure alone."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from PIL import Image

from nnlab_helpers import plots

LIMITS = (-2.0, 2.0, -1.0, 1.0)
SHORT, LONG = torch.tensor([[-1.0, 0.5], [0.0, 0.0]]), torch.linspace(-1, 1, 10).reshape(5, 2)


def bowl(points):
    return points.square().sum(-1)


def grown(picture):
    """How many pixels of each frame differ from those of the first."""
    movie = Image.open(io.BytesIO(picture.data))
    stills = []
    for number in range(movie.n_frames):
        movie.seek(number)
        stills.append(np.asarray(movie.convert("RGB")).astype(int))
    return [int((still != stills[0]).any(-1).sum()) for still in stills]


def test_paths_are_drawn_with_their_names_over_the_surfaces_contours():
    ax = plots.plot_paths(bowl, {"a": SHORT, "b": LONG}, limits=LIMITS, title="both arrive")
    a, b, *starts = ax.get_lines()
    assert (a.get_label(), b.get_label(), ax.get_title(loc="left")) == ("a", "b", "both arrive")
    assert np.column_stack(b.get_data()) == pytest.approx(LONG.numpy())
    assert sorted(dot.get_ydata()[0] for dot in starts) == pytest.approx([-7 / 9, 0.5])
    assert (*ax.get_xlim(), *ax.get_ylim()) == LIMITS
    levels = ax.collections[0].levels
    assert 0 < levels.min() < levels.max() < 5  # the corners' height
    assert np.diff(levels, 2).min() > 0, "closer together near the bottom"


@pytest.mark.parametrize("path", [torch.zeros(2), torch.zeros(3, 3), torch.zeros(0, 2), torch.zeros(1, 3, 2)])
def test_a_path_is_positions_in_the_plane(path):
    with pytest.raises(ValueError, match=r"'a' must be \[T, 2\]"):
        plots.plot_paths(bowl, {"a": path}, limits=LIMITS)


def test_the_animation_grows_from_the_start_and_ends_in_the_figure():
    figure, ax = plt.subplots(figsize=(3, 2))
    plots.plot_paths(bowl, {"a": LONG}, limits=LIMITS, ax=ax)
    picture = plots.animate_paths(figure, frames=5, seconds=1.0, alt="a way down")
    first, *rest = grown(picture)
    assert first == 0
    assert rest == sorted(set(rest)), "every frame shows more than the one before"
    movie = Image.open(io.BytesIO(picture.data))
    assert (movie.format, movie.n_frames, movie.size, movie.info["loop"]) == ("PNG", 5, (240, 160), 0)
    assert np.asarray(movie.convert("RGB"))[0, 0].tolist() == [255, 255, 255], "the ground is white"
    data, metadata = picture._repr_mimebundle_()
    assert set(data) == {"image/png"}
    assert "a way down" in str(metadata)


def test_paths_in_all_panels_keep_step_and_a_shorter_one_waits_at_its_end():
    figure, axes = plt.subplots(1, 2, figsize=(3, 2))
    plots.plot_paths(bowl, {"short": SHORT}, limits=LIMITS, ax=axes[0])
    plots.plot_paths(bowl, {"long": LONG}, limits=LIMITS, ax=axes[1])
    movie = Image.open(io.BytesIO(plots.animate_paths(figure, frames=5).data))
    halves = []
    for number in range(5):
        movie.seek(number)
        whole = np.asarray(movie.convert("RGB"))
        halves.append((whole[:, :120].tobytes(), whole[:, 120:].tobytes()))
    short, long = zip(*halves, strict=True)
    assert (len(set(short)), len(set(long))) == (2, 5)


def test_the_figure_is_left_as_it_was():
    figure, ax = plt.subplots(figsize=(3, 2))
    plots.plot_paths(bowl, {"a": LONG}, limits=LIMITS, ax=ax)
    before = figure.dpi, figure.canvas
    figure.canvas.draw()
    pixels = np.array(figure.canvas.buffer_rgba(), dtype=int)
    plots.animate_paths(figure, frames=2, dpi=50)
    assert (figure.dpi, figure.canvas) == before
    figure.canvas.draw()
    assert np.abs(np.asarray(figure.canvas.buffer_rgba()) - pixels).max() < 30, "but for rounding in the layout"


def test_an_animation_needs_paths_and_frames():
    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 1])
    with pytest.raises(ValueError, match="plot_paths first"):
        plots.animate_paths(figure)
    plots.plot_paths(bowl, {"a": LONG}, limits=LIMITS, ax=ax)
    with pytest.raises(ValueError, match="at least two frames"):
        plots.animate_paths(figure, frames=1)
