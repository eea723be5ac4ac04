"""What a `TensorLoader` takes, and what it says to what it does not take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_data_loader import CPU, epoch, images
from torch.utils.data import DataLoader, TensorDataset

from nnlab_helpers.data import TensorLoader


@pytest.mark.parametrize("batch_size", [2.5, True, "8", None])
def test_a_batch_size_that_is_no_whole_number(batch_size):
    with pytest.raises(TypeError, match="batch_size must be a whole number"):
        TensorLoader(images(), batch_size=batch_size, **CPU)


def test_whole_numbers_of_numpy():
    loader = TensorLoader(images(), batch_size=np.int64(16), seed=np.int32(3), **CPU)
    loader.set_epoch(np.int64(2))
    assert loader.state_dict() == {"epoch": 2, "seed": 3}
    assert [len(y) for _, y in loader] == [16, 16, 16, 2]
    with pytest.raises(TypeError, match=r"epoch must be a whole number, got 2\.7"):
        loader.set_epoch(2.7)


@pytest.mark.parametrize("kind", ["arrays", "read-only arrays", "reversed arrays", "lists", "a list of both"])
def test_arrays_become_tensors(kind):
    x, y = np.linspace(0, 1, 20).reshape(10, 2), np.arange(10, dtype=np.int32)
    if kind == "read-only arrays":
        x.flags.writeable = y.flags.writeable = False
    elif kind == "reversed arrays":
        x, y = x[::-1], y[::-1]
    data = {"lists": (x.tolist(), y.tolist()), "a list of both": [torch.tensor(x.copy()).float(), y]}.get(kind, (x, y))
    got_x, got_y = epoch(TensorLoader(data, batch_size=4, **CPU))
    assert (got_x.dtype, got_y.dtype) == (torch.float32, torch.int64)
    assert torch.equal(got_x, torch.tensor(x.copy(), dtype=torch.float32))
    assert torch.equal(got_y, torch.tensor(y.copy(), dtype=torch.int64))


def test_arrays_are_copied_and_bytes_are_pixels():
    x, y = np.full((4, 1, 2, 2), 255, dtype=np.uint8), np.zeros(4)
    loader = TensorLoader((x, y), **CPU)
    x[:] = 0
    got_x, got_y = epoch(loader)
    assert got_x.unique().tolist() == [1.0]
    assert got_y.dtype == torch.float32


def test_a_tensor_dataset():
    x, y = torch.randn(10, 3), torch.arange(10)
    got_x, got_y = epoch(TensorLoader(TensorDataset(x, y), [1, 5], **CPU))
    assert torch.equal(got_x, x[[1, 5]])
    assert torch.equal(got_y, y[[1, 5]])


THREE = (torch.zeros(4), torch.zeros(4), torch.zeros(4))


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (THREE, ValueError, r"a pair \(x, y\), got 3 parts.*DataLoader\(TensorDataset"),
        (TensorDataset(*THREE), ValueError, "got 3 parts"),
        (TensorDataset(torch.zeros(4)), ValueError, "got 1 parts"),
        (np.zeros((2, 4)), TypeError, r"a pair \(x, y\), got one tensor \[2, 4\]"),
        (DataLoader(TensorDataset(*THREE)), TypeError, "got a DataLoader"),
        ({"x": THREE[0], "y": THREE[1]}, TypeError, "got a dict"),
        ("xy", TypeError, "got a str"),
        ((THREE[0], ["a", "b", "c", "d"]), TypeError, "y must be a tensor or array of numbers, got list"),
        ((torch.tensor(1.0), torch.tensor(1)), ValueError, "x must have a row per sample"),
    ],
)
def test_what_is_no_pair(data, error, message):
    with pytest.raises(error, match=message):
        TensorLoader(data, **CPU)


def test_a_transform_without_a_generator():
    from torchvision.transforms import v2

    with pytest.raises(
        TypeError, match=r"augment calls .*RandomRotation takes no generator.*lambda x, generator=None: t\(x\)"
    ):
        TensorLoader(images(), augment=v2.RandomRotation(10), **CPU)
    wrapped = v2.RandomHorizontalFlip(1.0)
    x, _ = epoch(TensorLoader(images(), augment=lambda x, generator=None: wrapped(x), **CPU))
    assert torch.equal(x, images().images.flip(-1) / 255)
