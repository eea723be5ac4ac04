"""Figures with one look: colour-blind-safe, labelled at the line's end, readable at 700 pixels."""

from nnlab_helpers.plots.curves import plot_precision_recall, plot_reliability, plot_roc
from nnlab_helpers.plots.effects import plot_effects
from nnlab_helpers.plots.images import plot_confusion, show_images
from nnlab_helpers.plots.pareto import plot_pareto
from nnlab_helpers.plots.style import PALETTE, label_lines, plot_band, use_style
from nnlab_helpers.plots.surfaces import animate_paths, plot_paths
from nnlab_helpers.plots.training import plot_decision_regions, plot_gradient_flow, plot_history

__all__ = [
    "PALETTE",
    "animate_paths",
    "label_lines",
    "plot_band",
    "plot_confusion",
    "plot_decision_regions",
    "plot_effects",
    "plot_gradient_flow",
    "plot_history",
    "plot_pareto",
    "plot_paths",
    "plot_precision_recall",
    "plot_reliability",
    "plot_roc",
    "show_images",
    "use_style",
]
