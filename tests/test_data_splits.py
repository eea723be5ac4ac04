from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nnlab_helpers.data import ImageSet, Splits, make_splits


def labels_of(*counts):
    return torch.cat([torch.full((count,), label) for label, count in enumerate(counts)])


def parts(splits):
    return [splits.train, splits.val, splits.test]


@settings(max_examples=30, deadline=None)
@given(
    counts=st.lists(st.integers(30, 120), min_size=2, max_size=5),
    val=st.floats(0.1, 0.3),
    test=st.floats(0.1, 0.3),
    seed=st.integers(0, 2**32 - 1),
)
def test_parts_are_disjoint_complete_and_stratified(counts, val, test, seed):
    labels = labels_of(*counts)
    splits = make_splits(labels, val=val, test=test, seed=seed)
    joined = torch.cat(parts(splits))
    assert sorted(joined.tolist()) == list(range(len(labels)))
    assert all(part.dtype == torch.int64 for part in parts(splits))
    assert (len(splits.val), len(splits.test)) == (round(val * len(labels)), round(test * len(labels)))
    for part in parts(splits):
        got = torch.bincount(labels[part], minlength=len(counts))
        expected = torch.tensor(counts) * len(part) / len(labels)
        assert (got - expected).abs().max() < 2


def test_the_seed_decides():
    labels = labels_of(50, 50)
    state = np.random.get_state()[1].copy()
    one, same, other = (make_splits(labels, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(parts(one), parts(same), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(parts(one), parts(other), strict=True))
    assert np.array_equal(np.random.get_state()[1], state), "touched the global generator"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({}, (80, 10, 10)),
        ({"val": 20, "test": 0}, (80, 20, 0)),
        ({"val": 0, "test": 0}, (100, 0, 0)),
        ({"val": 0.25, "test": 25}, (50, 25, 25)),
        ({"train": 79}, (79, 10, 10)),
        ({"train": 30, "val": 20, "test": 10}, (30, 20, 10)),
        ({"train": 0.8, "val": 0.1, "test": 0.1}, (80, 10, 10)),
        ({"train": np.int64(10), "val": np.float64(0.1), "test": 10}, (10, 10, 10)),
    ],
    ids=str,
)
def test_sizes(sizes, expected):
    splits = make_splits(labels_of(60, 40), **sizes)
    assert tuple(map(len, parts(splits))) == expected
    assert len(torch.cat(parts(splits)).unique()) == sum(expected)
    assert repr(splits) == "Splits(train={}, val={}, test={})".format(*expected)


@pytest.mark.parametrize("total", range(20, 60, 3))
def test_three_fractions_that_sum_to_one_always_fit(total):
    splits = make_splits(labels_of(total // 2, total - total // 2), train=0.7, val=0.15, test=0.15)
    assert sum(map(len, parts(splits))) == total


def test_indices_are_in_random_order():
    splits = make_splits(labels_of(500, 500))
    assert 30 < labels_of(500, 500)[splits.train[:100]].sum() < 70
    assert 30 < labels_of(500, 500)[make_splits(labels_of(500, 500), val=0, test=0).train[:100]].sum() < 70


def test_takes_an_image_set_a_list_an_array():
    labels = labels_of(20, 20)
    data = ImageSet(torch.zeros(40, 1, 2, 2, dtype=torch.uint8), labels, ("cat", "dog"))
    expected = make_splits(labels)
    for source in (data, labels.tolist(), labels.numpy()):
        assert isinstance(make_splits(source), Splits)
        assert torch.equal(make_splits(source).train, expected.train)


@pytest.mark.parametrize(
    ("counts", "sizes", "message"),
    [
        ((2, 50), {}, "class 0 has only 2 image.*too few to be in each of test, train, val"),
        ((50, 1), {"test": 0}, "class 1 has only 1"),
        ((3, 500), {}, "class 0 is too rare for its share"),
        ((4, 4, 4), {"val": 2, "test": 3}, "val=2 is too small.*3 classes"),
        ((50, 50), {"val": 60, "test": 40}, "train must get at least one"),
        ((50, 50), {"val": 60, "test": 60}, "cannot be divided"),
        ((50, 50), {"val": 0.5, "test": 0.5}, "train must get at least one"),
        ((50, 50), {"train": 90}, "cannot be divided into train=90, val=10, test=10"),
        ((50, 50), {"train": 0.95}, "cannot be divided"),
        ((50, 50), {"train": 0}, "train must get at least one"),
        ((50, 50), {"val": 101}, "val must be from 0 to 100"),
        ((50, 50), {"val": -1}, "val must be from 0"),
        ((50, 50), {"test": 1.0}, "below 1.*a count is an int"),
        ((50, 50), {"test": -0.1}, "test as a fraction"),
        ((50, 50), {"test": float("nan")}, "test as a fraction"),
        ((50, 50), {"seed": -1}, "seed"),
    ],
)
def test_sizes_that_do_not_fit(counts, sizes, message):
    with pytest.raises(ValueError, match=message):
        make_splits(labels_of(*counts), **sizes)


def test_a_class_too_small_is_named():
    data = ImageSet(torch.zeros(22, 1, 2, 2, dtype=torch.uint8), labels_of(20, 2), ("cat", "dog"))
    with pytest.raises(ValueError, match="class 'dog' has only 2"):
        make_splits(data)


@pytest.mark.parametrize("labels", [torch.zeros(10), [[0, 1]], ["a", "b"]])
def test_bad_labels(labels):
    with pytest.raises((TypeError, ValueError), match="labels must be"):
        make_splits(labels)


@pytest.mark.parametrize("size", ["0.1", None, True])
def test_bad_size(size):
    with pytest.raises(TypeError, match="val must be"):
        make_splits(labels_of(20, 20), val=size)


def test_nothing_cannot_be_divided():
    with pytest.raises(ValueError, match="got none: there is nothing to divide"):
        make_splits([])
