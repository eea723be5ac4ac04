"""Paths over a surface, seen from above: drawn, and set in motion."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from nnlab_helpers.plots.style import new_axes, to_numpy

if TYPE_CHECKING:
    from IPython.display import Image
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

PATH = "nnlab path"  # marks the lines that `animate_paths` sets in motion


def plot_paths(
    surface: Callable[[Tensor], Tensor],
    paths: Mapping[str, Any],
    *,
    limits: tuple[float, float, float, float],
    ax: Axes | None = None,
    title: str = "",
    levels: int = 14,
    steps: int = 120,
) -> Axes:
    """Draw the contour lines of a surface and, on top of them, the paths of points that moved over it.

    The start of each path is a black dot. The paths are labelled; call `ax.legend()` or `figure.legend()`.

    Args:
        surface: takes points `[..., 2]` (float64) and returns the height of each `[...]`.
        paths: name -> positions `[T, 2]`, one a step. What lies outside the limits is cut off.
        limits: `(left, right, bottom, top)` of what is shown.
        ax: where to draw.
        title: the finding.
        levels: how many contour lines, closer together near the bottom of the surface.
        steps: grid points along each side.

    Raises:
        ValueError: if a path is not `[T, 2]`.
    """
    trails = {name: to_numpy(path) for name, path in paths.items()}
    for name, trail in trails.items():
        if trail.ndim != 2 or trail.shape[1] != 2 or not len(trail):
            raise ValueError(f"the path {name!r} must be [T, 2], one position a step, got {list(trail.shape)}")
    ax = new_axes(ax)
    left, right, bottom, top = limits
    xs, ys = np.meshgrid(np.linspace(left, right, steps), np.linspace(bottom, top, steps))
    heights = to_numpy(surface(torch.from_numpy(np.stack([xs, ys], axis=-1))))
    low, high = float(heights.min()), float(heights.max())
    rings = low + (high - low) * np.linspace(0, 1, levels + 2)[1:-1] ** 2
    ax.contour(xs, ys, heights, levels=rings, colors="0.75", linewidths=0.8)
    for name, trail in trails.items():
        ax.plot(trail[:, 0], trail[:, 1], marker="o", markersize=2.5, linewidth=1.3, label=name, gid=PATH)
    for start in {tuple(trail[0]) for trail in trails.values()}:
        ax.plot(*start, marker="o", color="black", markersize=6, zorder=3)
    ax.set(xlim=(left, right), ylim=(bottom, top), title=title)
    ax.grid(False)
    return ax


def animate_paths(
    figure: Figure, *, frames: int = 48, seconds: float = 6.0, dpi: int = 80, alt: str = "paths growing step by step"
) -> Image:
    """Let the paths that `plot_paths` drew into a figure grow, all of them at the same step, in an endless loop.

    Only the paths are drawn anew for a frame, which makes this some thirty times faster than drawing the figure. The
    result is an animated PNG: a notebook shows it wherever it shows a picture, plays it without JavaScript, and an
    exported page does too (nbconvert leaves out GIFs). The figure itself is left as it was.

    Args:
        figure: with at least one path in it.
        frames: pictures in the loop.
        seconds: how long the paths grow; the finished picture then stays for two more.
        dpi: pixels per inch of the figure.
        alt: the text for those who cannot see it.

    Returns:
        The picture; its bytes are in `.data`.

    Raises:
        ValueError: if the figure holds no path, or fewer than two frames are asked for.
    """
    from IPython.display import Image
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image as Picture

    panels = [(ax, line) for ax in figure.axes for line in ax.get_lines() if line.get_gid() == PATH]
    lines = [line for _, line in panels]
    if not lines:
        raise ValueError("the figure holds no paths: draw them with plot_paths first")
    if frames < 2:
        raise ValueError(f"an animation needs at least two frames, got {frames}")
    trails = [np.column_stack(line.get_data()) for line in lines]
    longest = max(map(len, trails))
    own_canvas, own_dpi = figure.canvas, figure.dpi
    canvas = FigureCanvasAgg(figure)  # takes the place of its own
    try:
        figure.set_dpi(dpi)
        _show(lines, False)
        canvas.draw()
        background = canvas.copy_from_bbox(figure.bbox)
        _show(lines, True)
        pictures = []
        for shown in np.linspace(1, longest, frames).round().astype(int):
            canvas.restore_region(background)
            for (ax, line), trail in zip(panels, trails, strict=True):
                line.set_data(*trail[:shown].T)
                ax.draw_artist(line)
            pictures.append(Picture.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB"))
    finally:
        for line, trail in zip(lines, trails, strict=True):
            line.set_data(*trail.T)
        _show(lines, True)
        figure.set_dpi(own_dpi)
        figure.set_canvas(own_canvas)
    out = io.BytesIO()
    pause = round(1000 * seconds / frames)
    colours = pictures[-1].quantize(96)  # 96 colours are enough for lines on white, and a third of the size
    colours.putpalette([255 if value > 246 else value for value in colours.getpalette() or []])  # white stays white
    flat = [picture.quantize(palette=colours, dither=Picture.Dither.NONE) for picture in pictures]
    flat[0].save(
        out, format="png", save_all=True, append_images=flat[1:], duration=[pause] * (frames - 1) + [2000], loop=0
    )
    return Image(data=out.getvalue(), format="png", alt=alt)


def _show(lines: list[Line2D], visible: bool) -> None:
    for line in lines:
        line.set_visible(visible)
