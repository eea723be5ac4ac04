from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn import functional as F

from nnlab_helpers.data import ImageSet


def make(count=6, channels=1, height=5, width=7, classes=("a", "b", "c")):
    images = torch.randint(0, 256, (count, channels, height, width), dtype=torch.uint8)
    return ImageSet(images, torch.arange(count) % len(classes), classes, "toy")


def test_length_counts_and_repr():
    data = make(7)
    assert len(data) == 7
    assert data.counts() == {"a": 3, "b": 2, "c": 2}
    assert repr(data) == "ImageSet('toy', images=[7, 1, 5, 7], 3 classes)"


def test_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().images = torch.zeros(1)


U8 = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
Y = torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("images", "labels", "classes", "error", "message"),
    [
        (U8.float(), Y, ("a", "b"), TypeError, "images must be a tensor of torch.uint8, got torch.float32"),
        (U8.numpy(), Y, ("a", "b"), TypeError, "got ndarray"),
        (U8, Y.int(), ("a", "b"), TypeError, "labels must be a tensor of torch.int64"),
        (U8, Y, "ab", TypeError, "tuple of names"),
        (U8, Y, (0, 1), TypeError, "tuple of names"),
        (U8[:, 0], Y, ("a", "b"), ValueError, r"\[N, C, H, W\]"),
        (U8.expand(2, 2, 4, 4), Y, ("a", "b"), ValueError, "C = 1 or 3"),
        (U8[:, :, :0], Y, ("a", "b"), ValueError, r"\[N, C, H, W\]"),
        (U8, Y[:1], ("a", "b"), ValueError, "one label per image: 2 images"),
        (U8, Y, ("a",), ValueError, "labels must be from 0 to 0"),
        (U8, Y - 1, ("a", "b"), ValueError, "got -1 to 0"),
        (U8, Y, ("a", "a"), ValueError, "differ"),
    ],
)
def test_refuses_what_does_not_fit(images, labels, classes, error, message):
    with pytest.raises(error, match=message):
        ImageSet(images, labels, classes)


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        ([0, 2, 2], [0, 2, 2]),
        (torch.tensor([5, 0]), [5, 0]),
        (torch.tensor([5, 0], dtype=torch.int32), [5, 0]),
        ([-1], [5]),
        (range(2), [0, 1]),
        (slice(None, None, 2), [0, 2, 4]),
        (slice(None, None, -1), [5, 4, 3, 2, 1, 0]),
        (torch.tensor([True, False, False, True, False, False]), [0, 3]),
        ([], []),
    ],
    ids=str,
)
def test_take(index, rows):
    data = make()
    taken = data.take(index)
    assert torch.equal(taken.images, data.images[rows])
    assert torch.equal(taken.labels, data.labels[rows])
    assert (taken.classes, taken.name) == (data.classes, data.name)


@pytest.mark.parametrize(
    ("index", "error", "told"),
    [
        ([6], IndexError, "runs from 6 to 6, outside a set of 6 images"),
        ([-7], IndexError, "runs from -7 to -7, outside a set of 6 images"),
        ([0.5], TypeError, r"must be whole numbers, got torch\.float32"),
        (3, ValueError, r"must be a list of positions, got shape \[\]"),
        ([[0]], ValueError, r"must be a list of positions, got shape \[1, 1\]"),
        ("01", TypeError, "must be positions, a slice, or a bool mask, got '01'"),
        (None, TypeError, "must be positions"),
        ({1, 2}, TypeError, "must be positions"),
        ([10**30], TypeError, "must be positions"),
        (torch.tensor([True]), ValueError, "one entry per image: 1 for 6 images"),
    ],
    ids=str,
)
def test_take_refuses(index, error, told):
    with pytest.raises(error, match=told):
        make().take(index)


@pytest.mark.parametrize("size", [10, (3, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_resize(size, channels):
    data = make(channels=channels, height=8, width=8)
    small = data.resize(size)
    size = (size, size) if isinstance(size, int) else size
    expected = F.interpolate(data.images.double(), size, mode="bilinear", antialias=True)
    assert small.images.shape == (6, channels, *size)
    assert (small.images.double() - expected).abs().max() <= 0.51
    assert torch.equal(small.labels, data.labels)


def test_resize_runs_over_every_block(monkeypatch):
    data = make(10)
    whole = data.resize(4).images
    monkeypatch.setattr("nnlab_helpers.data.imageset._CHUNK", 3)
    assert torch.equal(data.resize(4).images, whole)


def test_pad():
    data = make()
    padded = data.pad(2, value=9)
    assert padded.images.shape == (6, 1, 9, 11)
    assert torch.equal(padded.images[:, :, 2:-2, 2:-2], data.images)
    assert (padded.images[:, :, :2] == 9).all()
    assert torch.equal(data.pad(0).images, data.images)


@pytest.mark.parametrize(
    "change", [lambda d: d.resize(0), lambda d: d.resize((4, 0)), lambda d: d.pad(-1), lambda d: d.pad(1, value=256)]
)
def test_refuses_impossible_sizes(change):
    with pytest.raises(ValueError, match=r"size|pixels|value"):
        change(make())


def test_changes_leave_the_original_alone():
    data = make()
    before = data.images.clone()
    for other in (data.take([0, 1]), data.resize(5), data.pad(1)):
        other.images.fill_(0)
    assert torch.equal(data.images, before)


def test_a_class_without_an_image_counts_none():
    one = ImageSet(torch.zeros(2, 1, 3, 3, dtype=torch.uint8), torch.tensor([1, 1]), ("a", "b", "c"))
    assert one.counts() == {"a": 0, "b": 2, "c": 0}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pad(2.5),
        lambda d: d.pad("1"),
        lambda d: d.pad(1, value=1.5),
        lambda d: d.pad(1, value=None),
        lambda d: d.resize(True),
        lambda d: d.resize("28"),
        lambda d: ImageSet(d.images, d.labels, None),
        lambda d: ImageSet(d.images, d.labels, 3),
    ],
)
def test_what_is_no_number_or_name_is_said(change):
    with pytest.raises(TypeError, match=r"must be a (whole number|tuple of names).*, got"):
        change(make())
