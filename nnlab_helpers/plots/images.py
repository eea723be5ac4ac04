"""Pictures of images and of what a classifier mixes up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnlab_helpers.plots.style import PALETTE, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def show_images(
    images: Any,
    titles: Sequence[Any] | None = None,
    *,
    columns: int = 10,
    title: str | None = None,
    highlight: Sequence[bool] | None = None,
    cmap: str = "gray",
    value_range: tuple[float, float] | None = None,
    size: float | None = None,
) -> Figure:
    """Show a batch of images in a grid.

    Args:
        images: `[N, C, H, W]` with C of 1 or 3, or `[N, H, W]`; uint8 or float, any range.
        titles: a caption for each image.
        columns: images in a row.
        title: the figure's title.
        highlight: True for each image whose caption is to stand out (a wrong prediction, say).
        cmap: colours of single-channel images.
        value_range: what to show as black and white; by default the batch's own lowest and highest value.
        size: inches an image takes; by default the grid fills 7 inches.

    Raises:
        ValueError: if the shape is not that of images, there are none, or captions do not match.
    """
    import matplotlib.pyplot as plt

    batch = to_numpy(images)
    if batch.ndim == 3:
        batch = batch[:, None]
    if batch.ndim != 4 or batch.shape[1] not in (1, 3) or not len(batch):
        raise ValueError(f"images must be [N, C, H, W] with N > 0 and C of 1 or 3, got {list(to_numpy(images).shape)}")
    for name, given in (("titles", titles), ("highlight", highlight)):
        if given is not None and len(given) != len(batch):
            raise ValueError(f"{len(batch)} images but {len(given)} {name}")
    low, high = value_range if value_range else (float(batch.min()), float(batch.max()))
    columns = min(columns, len(batch))
    rows = -(-len(batch) // columns)
    side = size or 7.0 / columns
    caption = 0.22 if titles is not None else 0.0
    figure, grid = plt.subplots(
        rows, columns, squeeze=False, figsize=(side * columns, (side + caption) * rows + (0.35 if title else 0))
    )
    for axes in grid.flat:
        axes.axis("off")
    for i, (axes, image) in enumerate(zip(grid.flat, batch, strict=False)):
        if image.shape[0] == 3:
            span = (high - low) or 1.0
            axes.imshow(np.clip((image.transpose(1, 2, 0) - low) / span, 0, 1))
        else:
            axes.imshow(image[0], cmap=cmap, vmin=low, vmax=high)
        if titles is not None:
            loud = highlight is not None and highlight[i]
            axes.set_title(
                str(titles[i]),
                fontsize=10,
                loc="center",
                y=1.0,  # given, it spares matplotlib a search for a free place, which takes most of the drawing's time
                pad=2,
                color=PALETTE[1] if loud else "black",
                fontweight="bold" if loud else "normal",
            )
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    return figure


def plot_confusion(
    matrix: Any, classes: Sequence[str] | None = None, *, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Draw a confusion matrix with its counts; the diagonal is left pale so that mistakes stand out.

    Args:
        matrix: counts `[C, C]`, rows the true class, columns the predicted one.
        classes: names of the classes.
        ax: where to draw.
        title: the finding.

    Raises:
        ValueError: if the matrix is not square or the names do not match.
    """
    import matplotlib.pyplot as plt

    counts = to_numpy(matrix)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is square, got {list(counts.shape)}")
    names = [str(i) for i in range(len(counts))] if classes is None else list(classes)
    if len(names) != len(counts):
        raise ValueError(f"{len(counts)} classes in the matrix but {len(names)} names")
    if ax is None:
        ax = plt.subplots(figsize=(5.6, 5.2))[1]
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    ax.imshow(mistakes, cmap="Oranges")
    top = mistakes.max() or 1
    for row, column in np.ndindex(counts.shape):
        if counts[row, column]:
            right = row == column
            ax.text(
                column,
                row,
                f"{counts[row, column]:g}",
                ha="center",
                va="center",
                fontsize=8,
                color="gray" if right else ("white" if mistakes[row, column] > 0.6 * top else "black"),
            )
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(names)), names)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    ax.grid(False)
    return ax
