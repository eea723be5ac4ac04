"""The figures: what they draw, what they refuse, and that names at line ends do not overlap."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from nnlab_helpers import plots

HISTORY = [
    {"epoch": 1, "train_loss": 1.0, "val_loss": 1.1, "train_accuracy": 0.5, "val_accuracy": 0.4},
    {"epoch": 2, "train_loss": 0.5, "val_loss": 0.9, "train_accuracy": 0.8, "val_accuracy": 0.7},
]


def test_names_at_line_ends_keep_their_distance_and_colour():
    _, ax = plt.subplots()
    for k in range(4):
        ax.plot([0, 1, 2], [k, 1, 5 + k * 1e-3], label=f"line {k}")
    ax.plot([0, 2], [0, 0])  # no name, so none is written
    plots.label_lines(ax)
    texts = ax.texts
    assert [t.get_text() for t in texts] == [f"line {k}" for k in range(4)]
    assert [t.get_color() for t in texts] == [line.get_color() for line in ax.get_lines()[:4]]
    offsets = [t.xyann[1] for t in texts]
    assert np.diff(offsets).min() > 12  # points


def test_names_stay_beside_the_axes_however_many_end_at_the_top():
    figure, ax = plt.subplots()
    for k in range(5):
        ax.plot([0, 1], [0, 10 + 0.01 * k], label=str(k))
    ax.set_ylim(0, 10.1)
    plots.label_lines(ax)
    figure.canvas.draw()
    tops = [t.get_window_extent().y1 for t in ax.texts]
    assert max(tops) < ax.bbox.y1 + 10  # pixels
    assert np.diff(sorted(tops)).min() > 12


def test_no_name_is_struck_through_by_the_axis():
    figure, ax = plt.subplots()
    for k in range(4):
        ax.plot([0, 1], [10, 0.01 * k], label=str(k))
    ax.set_ylim(0, 10)
    plots.label_lines(ax)
    figure.canvas.draw()
    assert min(t.get_window_extent().y0 for t in ax.texts) > ax.bbox.y0


def test_names_stand_at_the_right_of_an_inverted_axis():
    _, ax = plt.subplots()
    ax.plot([1, 2, 3], [5.0, 6.0, 7.0], label="backwards")
    ax.set_xlim(3, 1)
    plots.label_lines(ax)
    assert ax.texts[0].xy == (1.0, 5.0)


def test_names_stand_beside_their_lines_before_anything_was_drawn():
    figure, ax = plt.subplots()
    ax.plot([0, 50], [0, 4000], label="steep")  # the limits wait to be fitted until somebody asks for them
    ax.plot([0, 50], [0, 10], label="flat")
    plots.label_lines(ax)
    figure.canvas.draw()
    assert all(abs(t.xyann[1]) < 1 for t in ax.texts)


def test_a_line_that_ends_in_nan_is_named_at_its_last_finite_point():
    _, ax = plt.subplots()
    ax.plot([0, 1, 2], [3.0, 4.0, np.nan], label="diverged")
    plots.label_lines(ax)
    assert ax.texts[0].xy == (1.0, 4.0)


def test_band_spans_the_runs():
    _, ax = plt.subplots()
    plots.plot_band(ax, [0, 1], [[0.0, 2.0], [4.0, 6.0]], "three seeds")
    assert ax.get_lines()[0].get_ydata().tolist() == [2.0, 4.0]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.0, 6.0)
    with pytest.raises(ValueError, match=r"\[runs, 2\]"):
        plots.plot_band(ax, [0, 1], [1.0, 2.0], "flat")


@pytest.mark.parametrize("shape", [(3, 1, 5, 5), (3, 5, 5), (3, 3, 5, 5), (1, 5, 5)])
def test_images_of_each_shape_are_shown(shape):
    count = 1 if shape == (1, 5, 5) else 3
    figure = plots.show_images(torch.rand(shape), titles=list(range(count)), columns=2, title="digits")
    shown = [ax for ax in figure.axes if ax.images]
    assert len(shown) == count
    assert [ax.get_title(loc="center") for ax in shown] == [str(i) for i in range(count)]


def test_all_images_share_one_scale():
    figure = plots.show_images(np.stack([np.zeros((4, 4)), np.full((4, 4), 9.0)]))
    assert {ax.images[0].get_clim() for ax in figure.axes if ax.images} == {(0.0, 9.0)}


def test_the_scale_may_be_given():
    figure = plots.show_images(np.full((2, 4, 4), 0.5), value_range=(-1, 2))
    assert {ax.images[0].get_clim() for ax in figure.axes if ax.images} == {(-1.0, 2.0)}
    figure = plots.show_images(np.full((1, 3, 4, 4), 0.5), value_range=(-1, 2))
    assert np.allclose(figure.axes[0].images[0].get_array(), 0.5)


def test_images_refuse_what_is_not_an_image():
    with pytest.raises(ValueError, match=r"\[N, C, H, W\]"):
        plots.show_images(torch.rand(5, 5))
    with pytest.raises(ValueError, match="3 images but 2 titles"):
        plots.show_images(torch.rand(3, 1, 5, 5), titles=["a", "b"])


def test_history_draws_training_and_validation():
    figure = plots.plot_history(HISTORY, title="it learns")
    loss, accuracy = figure.axes
    assert [list(line.get_ydata()) for line in loss.get_lines()] == [[1.0, 0.5], [1.1, 0.9]]
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    with pytest.raises(ValueError, match="empty"):
        plots.plot_history([])
    with pytest.raises(ValueError, match="train_loss"):
        plots.plot_history(HISTORY, metrics=("f1",))


def test_confusion_shows_counts_and_colours_only_mistakes():
    ax = plots.plot_confusion(torch.tensor([[90, 3], [0, 50]]), ["cat", "dog"])
    assert sorted(t.get_text() for t in ax.texts) == ["3", "50", "90"]
    assert ax.images[0].get_array().tolist() == [[0, 3], [0, 0]]
    with pytest.raises(ValueError, match="square"):
        plots.plot_confusion(torch.zeros(2, 3))


def test_decision_regions_colour_the_side_that_predict_gives():
    points = np.array([[-1.0, 0.0], [1.0, 0.0]])
    ax = plots.plot_decision_regions(lambda p: (p[:, 0] > 0).astype(int), points, [0, 1], steps=20)
    region = np.asarray(ax.images[0].get_array())
    assert (region[:, 0] == 0).all()
    assert (region[:, -1] == 1).all()
    with pytest.raises(ValueError, match=r"\[N, 2\]"):
        plots.plot_decision_regions(lambda p: p, np.zeros((3, 3)), [0, 0, 0])


@pytest.mark.parametrize("scores", [False, True])
def test_decision_regions_lie_where_predict_was_asked_in_the_colours_of_their_points(scores):
    """Above the points of class 0 that of class 2; class 1 has no point, and so no region of its own."""
    points = np.array([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.0]])

    def predict(asked):
        classes = 2 * (asked[:, 1] > 0).astype(int)
        return np.eye(3)[classes] if scores else classes

    ax = plots.plot_decision_regions(predict, points, [0, 0, 2], steps=20, margin=0.5)
    (image,), (dots,) = ax.images, ax.collections
    region, (left, right, bottom, top) = np.asarray(image.get_array()), image.get_extent()
    assert (left, right, bottom, top) == (-1.5, 1.5, -1.5, 1.5)
    lowest = region[0 if image.origin == "lower" else -1]
    highest = region[-1 if image.origin == "lower" else 0]
    assert set(lowest) == {0}
    assert set(highest) == {2}
    shown = [image.cmap(image.norm(number))[:3] for number in (0, 2)]
    assert shown == [to_rgb(plots.PALETTE[0]), to_rgb(plots.PALETTE[2])]
    dots.update_scalarmappable()
    assert [tuple(color[:3]) for color in dots.get_facecolors()] == [shown[0], shown[0], shown[1]]


def test_gradient_flow_needs_gradients_and_draws_each_layer():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    with pytest.raises(ValueError, match="backward"):
        plots.plot_gradient_flow(model)
    model(torch.randn(5, 3)).square().mean().backward()
    ax = plots.plot_gradient_flow(model)
    expected = [model[0].weight.grad.abs().mean().item(), model[2].weight.grad.abs().mean().item()]
    assert ax.get_lines()[0].get_ydata() == pytest.approx(expected)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "2"]
