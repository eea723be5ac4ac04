"""Day 21's networks, halvings, Hadamard matrix, designs and contrasts, held against PyTorch, scipy and the package."""

from itertools import combinations, product

import numpy as np
import pytest
import torch
from lesson import definitions
from scipy.linalg import hadamard
from torch import nn

from nnlab_helpers.models import count_parameters
from nnlab_helpers.sweep import interactions, main_effects, screening_design, sweep

LESSON = "day21_ablation_study"
NAMES = ("FACTORS", "block", "build", "he_start", "BASE_RATE", "make_optimizer")


@pytest.fixture(scope="module")
def lesson():
    return definitions(LESSON, *NAMES, "halvings", "contrast", "COLUMNS", "multiply_adds", "same_column")


def test_every_configuration_of_the_design_gives_a_network(lesson):
    configs = screening_design(lesson.FACTORS)
    assert len(configs) == 32
    for config in configs:
        model = lesson.build(config)
        assert model(torch.rand(3, 1, 14, 14)).shape == (3, 10)
        kinds = [type(layer) for layer in model]
        assert (nn.Conv2d in kinds) == (config["architecture"] == "CNN")
        assert (nn.ReLU in kinds, nn.Tanh in kinds) == (config["activation"] == "relu", config["activation"] == "tanh")
        norms = kinds.count(nn.BatchNorm1d) + kinds.count(nn.BatchNorm2d)
        hidden = 2 if config["architecture"] == "CNN" else 1
        assert norms == (hidden if config["norm"] == "batch" else 0)
        assert next(layer.p for layer in model if isinstance(layer, nn.Dropout)) == config["dropout"]
        optimizer = lesson.make_optimizer(model, config)
        assert type(optimizer).__name__ == config["optimizer"]
        assert optimizer.defaults["lr"] == pytest.approx(lesson.BASE_RATE[config["optimizer"]] * config["rate"])


def test_wide_means_more_parameters_and_more_multiplications(lesson):
    for architecture in ("MLP", "CNN"):
        config = {name: low for name, (low, _) in lesson.FACTORS.items()} | {"architecture": architecture}
        narrow, wide = (lesson.build(config | {"width": width}) for width in ("narrow", "wide"))
        assert count_parameters(narrow) < count_parameters(wide)
        assert lesson.multiply_adds(narrow) < lesson.multiply_adds(wide)


def test_multiplications_of_a_convolution_by_hand(lesson):
    model = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.Flatten(), nn.Linear(294, 10))
    assert lesson.multiply_adds(model) == 7 * 7 * 6 * 9 + 2_940


def test_hes_start_has_hes_spread(lesson):
    torch.manual_seed(0)
    layer = nn.Linear(196, 1000)
    lesson.he_start(nn.Sequential(layer))
    assert layer.weight.std().item() == pytest.approx((2 / 196) ** 0.5, rel=0.02)
    assert not layer.bias.any()


def test_halvings(lesson):
    assert [lesson.halvings(a) for a in (0.0, 0.5, 0.75, 0.875)] == [0, 1, 2, 3]


def test_the_matrix_is_scipys_and_the_columns_are_the_packages(lesson):
    square = hadamard(16)
    grown = np.array([[1]])
    for _ in range(4):
        grown = np.block([[grown, grown], [grown, -grown]])
    assert (grown == square).all()
    base = -square[:, lesson.COLUMNS]
    ours = [
        {name: levels[int(sign > 0)] for (name, levels), sign in zip(lesson.FACTORS.items(), row, strict=True)}
        for row in np.vstack([base, -base])
    ]
    assert ours == screening_design(lesson.FACTORS)
    assert lesson.same_column(base, base[:, 0]) == ["activation x augment", "dropout x optimizer", "rate x batch"]


def test_contrasts_are_the_packages_effects(lesson):
    signs = np.array(list(product((-1, 1), repeat=3)))
    values = np.random.default_rng(0).normal(size=8)
    table = {tuple(row): value for row, value in zip(signs, values, strict=True)}
    grid = [dict(zip("abc", map(int, row), strict=True)) for row in signs]
    frame = sweep(lambda config, seed: {"y": table[tuple(config.values())]}, grid, seeds=[0], n_jobs=1, progress=False)
    mains = main_effects(frame, "y").set_index("factor")["difference"]
    pairs = interactions(frame, "y").set_index("factor")["difference"]
    for k, name in enumerate("abc"):
        assert lesson.contrast(signs[:, k], values) == pytest.approx(mains[name])
    for (i, a), (j, b) in combinations(enumerate("abc"), 2):
        assert lesson.contrast(signs[:, i] * signs[:, j], values) == pytest.approx(pairs[f"{a} x {b}"])
