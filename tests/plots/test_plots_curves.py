"""Curves of a classifier: what is drawn is what the metrics say."""

import numpy as np
import pytest
import torch

from nnlab_helpers import metrics, plots


@pytest.fixture
def scored():
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(300, generator=generator) < 0.2
    return labels + torch.randn(300, generator=generator), labels


def line(ax, name):
    return next(line for line in ax.get_lines() if line.get_label() == name)


def area(drawn):
    return np.trapezoid(drawn.get_ydata(), drawn.get_xdata())


def test_roc_draws_the_curve_with_its_area_and_the_diagonal_once(scored):
    ax = plots.plot_roc(*scored, label="ours", title="Better than chance")
    again = plots.plot_roc(-scored[0], scored[1], label="turned round", ax=ax)
    assert again is ax
    assert area(line(ax, "ours")) == pytest.approx(metrics.auroc(*scored))
    assert area(line(ax, "turned round")) == pytest.approx(1 - metrics.auroc(*scored))
    assert len(ax.get_lines()) == 3
    assert area(ax.get_lines()[0]) == 0.5
    assert ax.get_title(loc="left") == "Better than chance"


def test_precision_recall_is_drawn_in_steps_over_the_share_of_positives(scored):
    ax = plots.plot_precision_recall(*scored, label="ours")
    drawn = line(ax, "ours")
    assert drawn.get_drawstyle() == "steps-pre"
    steps = np.diff(drawn.get_xdata(), prepend=0.0) * drawn.get_ydata()
    assert steps.sum() == pytest.approx(metrics.average_precision(*scored))
    chance = ax.get_lines()[1].get_ydata()
    assert chance[0] == pytest.approx(scored[1].float().mean().item())


def test_reliability_draws_a_dot_and_a_gap_for_each_bin_in_use():
    probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.35, 0.65]])
    ax = plots.plot_reliability(probabilities, torch.tensor([0, 1, 1]), bins=10)
    dots = ax.collections[-1]
    np.testing.assert_allclose(np.asarray(dots.get_offsets()), [[0.65, 1.0], [0.9, 0.5]], atol=1e-6)
    assert dots.get_sizes()[1] > dots.get_sizes()[0]
    gaps = [np.ptp(segment[:, 1]) for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(gaps, [0.35, 0.4], atol=1e-6)


def test_mistakes_speak(scored):
    with pytest.raises(ValueError, match="positives and negatives"):
        plots.plot_roc(scored[0], torch.ones(300))
    with pytest.raises(ValueError, match="Apply softmax"):
        plots.plot_reliability(torch.randn(5, 3) * 9, torch.zeros(5, dtype=torch.long))
