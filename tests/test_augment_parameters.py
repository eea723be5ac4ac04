"""What transforms are made of: single numbers, and functions that take a generator."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from test_augment import batch

from nnlab_helpers.augment import Compose, Erase, Flip, Jitter, Noise, Rotate, Shift


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Rotate((-10, 10)),
            r"max_degrees must be a single number, got \(-10, 10\).*Rotate\(10\) turns by -10 to 10",
        ),
        (lambda: Rotate([5, 10]), "Rotate"),
        (lambda: Rotate("10"), "max_degrees must be a single number, got '10'"),
        (lambda: Rotate(None), "max_degrees"),
        (lambda: Rotate(True), "max_degrees"),
        (lambda: Jitter((0.8, 1.2)), r"brightness must be a single number.*Jitter\(0\.2\) scales by 0\.8 to 1\.2"),
        (lambda: Jitter(contrast=(0.8, 1.2)), "contrast must be a single"),
        (lambda: Jitter(0.1, 0.1, (0, 1)), "saturation must be a single"),
        (lambda: Noise((0, 0.1)), "std must be a single"),
        (lambda: Flip((0.5,)), "p must be a single"),
        (lambda: Shift(2, fill=(0, 0, 0)), "fill must be a single"),
        (lambda: Erase(value="random"), "value must be a single"),
        (lambda: Erase(area=0.2), r"area must be a pair, \(smallest, largest\), got 0\.2"),
        (lambda: Erase(aspect=(1, 2, 3)), "aspect must be a pair"),
    ],
)
def test_parameters_of_another_kind(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_shift_takes_no_pair():
    with pytest.raises(ValueError, match=r"max_pixels must be a whole number, 0 or more, got \(2, 2\)"):
        Shift((2, 2))


def test_numbers_of_numpy():
    transforms = [Shift(np.int64(2)), Rotate(np.float64(5.0)), Noise(np.float32(0.5)), Jitter(np.float64(0.5))]
    assert repr(Compose(transforms)) == repr(Compose([Shift(2), Rotate(5.0), Noise(0.5), Jitter(0.5)]))


def test_what_takes_no_generator():
    from torchvision.transforms import ToTensor, v2

    for transform in (v2.RandomRotation(10), v2.ColorJitter(0.2), ToTensor(), lambda x: x):
        with pytest.raises(
            TypeError, match=r"Compose calls its transforms as t\(x, generator=\.\.\.\).*takes no generator"
        ):
            Compose([Shift(1), transform])


def test_what_takes_one_in_its_own_way():
    class Module(torch.nn.Module):
        def forward(self, x, *, generator=None):
            return 1 - x

    class Object:
        def __call__(self, x, **settings):
            return 1 - x

    x = batch()
    for transform in (Module(), Object(), partial(lambda x, generator, by: by - x, by=1), Compose([Module()])):
        assert torch.equal(Compose([transform])(x), 1 - x)
