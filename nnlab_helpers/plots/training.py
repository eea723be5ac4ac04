"""Pictures of training: curves over epochs, regions over the plane, gradients over depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from nnlab_helpers.plots.style import PALETTE, label_lines, new_axes, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nnlab_helpers.train import History


def plot_history(
    history: History, metrics: Sequence[str] = ("loss", "accuracy"), *, title: str | None = None
) -> Figure:
    """Draw what `fit` recorded, one panel a metric, training and validation labelled at their ends.

    Args:
        history: what `fit` returned.
        metrics: names without `train_` or `val_`; those that were not recorded are left out.
        title: the figure's title: the finding, not the quantity.

    Raises:
        ValueError: if nothing was recorded, or none of the metrics.
    """
    import matplotlib.pyplot as plt

    rows = list(history)
    if not rows:
        raise ValueError("the history is empty: no epoch has finished yet")
    found = [m for m in metrics if any(f"{part}_{m}" in rows[0] for part in ("train", "val"))]
    if not found:
        raise ValueError(f"none of {list(metrics)} was recorded; there are {sorted(rows[0])}")
    figure, panels = plt.subplots(1, len(found), squeeze=False, figsize=(7.0, 3.0))
    epochs = [row["epoch"] for row in rows]
    for ax, metric in zip(panels.flat, found, strict=True):
        for part, label in (("train", "training"), ("val", "validation")):
            if f"{part}_{metric}" in rows[0]:
                ax.plot(epochs, [row[f"{part}_{metric}"] for row in rows], marker="o", markersize=3, label=label)
        ax.set(xlabel="epoch", ylabel=metric.replace("_", " "))
        ax.xaxis.get_major_locator().set_params(integer=True)
        label_lines(ax)
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    return figure


def plot_decision_regions(
    predict: Callable[[np.ndarray], Any],
    points: Any,
    labels: Any,
    *,
    ax: Axes | None = None,
    title: str = "",
    steps: int = 150,
    margin: float = 0.4,
) -> Axes:
    """Colour the plane by the class that `predict` gives, with the data on top.

    Args:
        predict: takes points `[M, 2]` (float32) and returns a class for each `[M]`, or scores `[M, C]`.
        points: the data `[N, 2]`.
        labels: their classes `[N]`, whole numbers from 0.
        ax: where to draw.
        title: the finding.
        steps: grid points along each side.
        margin: how far the plane reaches beyond the data, in the data's units.

    Raises:
        ValueError: if `points` is not `[N, 2]`.
    """
    from matplotlib.colors import ListedColormap

    data, classes = to_numpy(points), to_numpy(labels)
    if data.ndim != 2 or data.shape[1] != 2:
        raise ValueError(f"points must be [N, 2], got {list(data.shape)}")
    ax = new_axes(ax)
    (x0, y0), (x1, y1) = data.min(0) - margin, data.max(0) + margin
    xs, ys = np.meshgrid(np.linspace(x0, x1, steps), np.linspace(y0, y1, steps))
    scores = to_numpy(predict(np.stack([xs.ravel(), ys.ravel()], axis=1).astype(np.float32)))
    region = (scores.argmax(1) if scores.ndim == 2 else scores).reshape(xs.shape)
    count = int(max(classes.max(), region.max())) + 1
    colours = ListedColormap([PALETTE[i % len(PALETTE)] for i in range(count)])
    look: dict[str, Any] = {"cmap": colours, "vmin": -0.5, "vmax": count - 0.5}
    ax.imshow(region, extent=(x0, x1, y0, y1), origin="lower", alpha=0.25, aspect="auto", **look)
    ax.scatter(data[:, 0], data[:, 1], c=classes, s=10, edgecolors="white", linewidths=0.3, **look)
    ax.set(xlim=(x0, x1), ylim=(y0, y1), title=title)
    ax.grid(False)
    return ax


def plot_gradient_flow(model: nn.Module, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw the mean absolute gradient of each weight matrix or kernel, first layer to last, on a log axis.

    Args:
        model: a network after `backward`.
        ax: where to draw.
        title: the finding.

    Raises:
        ValueError: if no weight has a gradient yet.
    """
    ax = new_axes(ax)
    weights = [(name, p) for name, p in model.named_parameters() if p.grad is not None and p.dim() > 1]
    if not weights:
        raise ValueError("no weight of the model has a gradient: call loss.backward() first")
    sizes = torch.stack([p.grad.abs().mean() for _, p in weights if p.grad is not None]).cpu().numpy()
    ax.plot(range(len(sizes)), sizes, marker="o")
    ax.set_yscale("log")
    ax.set_xticks(range(len(sizes)), [name.removesuffix(".weight") for name, _ in weights], rotation=45, ha="right")
    ax.set(xlabel="layer, first to last", ylabel="mean |gradient|", title=title)
    return ax
