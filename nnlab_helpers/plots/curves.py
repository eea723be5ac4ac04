"""Pictures of how good a classifier is: ROC, precision-recall, and whether its confidence keeps what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from nnlab_helpers.metrics import calibration_table, precision_recall_curve, roc_curve
from nnlab_helpers.plots.style import PALETTE, new_axes, to_numpy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_roc(
    scores: Tensor, labels: Tensor, *, label: str | None = None, ax: Axes | None = None, title: str = "", **line: Any
) -> Axes:
    """Draw the share of positives found against the share of negatives called positive, and the line of pure chance.

    Call it again with the same `ax` for another curve, and `label_lines(ax)` at the end to name them.

    Args:
        scores: any real numbers `[N]`; higher means "rather positive".
        labels: `[N]`, true or 1 for positive, false or 0 for negative.
        label: the line's name.
        ax: where to draw.
        title: the finding.
        line: passed on to `Axes.plot`.

    Raises:
        ValueError: as `metrics.roc_curve`.
    """
    curve = roc_curve(scores, labels)
    ax = _square(ax, "false positives (share of negatives)", "true positives (share of positives)", title)
    ax.plot(to_numpy(curve.false_positive_rate), to_numpy(curve.true_positive_rate), label=label, **line)
    return ax


def plot_precision_recall(
    scores: Tensor, labels: Tensor, *, label: str | None = None, ax: Axes | None = None, title: str = "", **line: Any
) -> Axes:
    """Draw precision against recall in steps, and as a grey line the precision of calling everything positive.

    Args:
        scores: any real numbers `[N]`; higher means "rather positive".
        labels: `[N]`, true or 1 for positive, false or 0 for negative.
        label: the line's name.
        ax: where to draw.
        title: the finding.
        line: passed on to `Axes.plot`.

    Raises:
        ValueError: as `metrics.precision_recall_curve`.
    """
    curve = precision_recall_curve(scores, labels)
    ax = new_axes(ax)
    recall, precision = to_numpy(curve.recall), to_numpy(curve.precision)
    ax.plot(recall, precision, drawstyle="steps-pre", label=label, **line)
    ax.axhline(precision[-1], color="gray", linewidth=1, linestyle=":")
    ax.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall", ylabel="precision")
    if title:
        ax.set_title(title)
    return ax


def plot_reliability(
    probabilities: Tensor, labels: Tensor, *, bins: int = 10, ax: Axes | None = None, title: str = ""
) -> Axes:
    """Draw accuracy over confidence, a dot a bin (its area by the samples in it), with the gap to the diagonal.

    Below the diagonal a model promises more than it keeps, above it less.

    Source: DeGroot, Fienberg (1983), "The comparison and evaluation of forecasters".

    Args:
        probabilities: `[N, C]`, in [0, 1].
        labels: true classes `[N]`.
        bins: how many bins [0, 1] is cut into.
        ax: where to draw.
        title: the finding.

    Raises:
        ValueError: as `metrics.calibration_table`.
    """
    table = calibration_table(probabilities, labels, bins)
    confidence, accuracy, samples = (to_numpy(column) for column in table)
    ax = _square(ax, "confidence", "share that is right", title)
    ax.vlines(confidence, accuracy, confidence, color=PALETTE[1], linewidth=2)
    ax.scatter(confidence, accuracy, s=12 + 200 * samples / samples.sum(), color=PALETTE[0], zorder=3)
    return ax


def _square(ax: Axes | None, xlabel: str, ylabel: str, title: str) -> Axes:
    """Axes from 0 to 1 with their diagonal, drawn once."""
    ax = new_axes(ax)
    if not ax.get_lines():
        ax.plot([0, 1], [0, 1], color="gray", linewidth=1)
    ax.set(xlim=(-0.02, 1.04), ylim=(0, 1.04), xlabel=xlabel, ylabel=ylabel)
    if title:
        ax.set_title(title)
    return ax
