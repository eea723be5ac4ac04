from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from nnlab_helpers import device as module
from nnlab_helpers.device import available_devices, describe_device, pick_device, seed_everything


@pytest.fixture
def machine(monkeypatch):
    """Pretend that the machine has so many devices of each kind."""

    def pretend(**counts):
        monkeypatch.setattr(module, "_device_count", lambda kind: {"cpu": 1, **counts}.get(kind, 0))

    monkeypatch.delenv("NNLAB_DEVICE", raising=False)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    return pretend


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, "cpu"),
        ({"xpu": 1}, "xpu"),
        ({"xpu": 1, "mps": 1}, "mps"),
        ({"xpu": 1, "mps": 1, "cuda": 2}, "cuda"),
    ],
)
def test_best_device_comes_first(machine, counts, expected):
    machine(**counts)
    assert pick_device() == torch.device(expected)
    assert pick_device("auto") == torch.device(expected)
    assert available_devices()[0] == expected


def test_variable_overrides_and_argument_overrides_both(machine, monkeypatch):
    machine(cuda=2, mps=1)
    monkeypatch.setenv("NNLAB_DEVICE", "mps")
    assert pick_device() == torch.device("mps")
    assert "$NNLAB_DEVICE" in describe_device()
    assert pick_device("cuda:1") == torch.device("cuda:1")
    assert pick_device(torch.device("cpu")) == torch.device("cpu")


@pytest.mark.parametrize("empty", ["", "auto", "  "])
def test_empty_variable_says_nothing(machine, monkeypatch, empty):
    machine(xpu=1)
    monkeypatch.setenv("NNLAB_DEVICE", empty)
    assert pick_device().type == "xpu"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", "", "vulkan"])
def test_unknown_device(machine, name):
    machine()
    with pytest.raises(ValueError, match="cuda, mps, xpu, cpu"):
        pick_device(name)


def test_an_accelerator_that_a_package_adds_to_pytorch(machine, monkeypatch):
    added = torch.device("privateuseone")  # PyTorch's name for it, until the package gives its own
    machine(**{added.type: 1})
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: added)
    assert available_devices() == [added.type, "cpu"]
    assert pick_device() == pick_device(added.type) == added
    machine(**{added.type: 1, "xpu": 1})
    assert pick_device().type == "xpu"
    with pytest.raises(ValueError, match=f"cuda, mps, xpu, {added.type}, cpu"):
        pick_device("gpu")


def test_unavailable_device_says_what_is_available(machine, monkeypatch):
    machine(mps=1)
    with pytest.raises(RuntimeError, match=r"'cuda'.*Available: mps, cpu"):
        pick_device("cuda")
    monkeypatch.setenv("NNLAB_DEVICE", "xpu")
    with pytest.raises(RuntimeError, match=r"\$NNLAB_DEVICE"):
        pick_device()


def test_index_beyond_the_last_device(machine):
    machine(cuda=2)
    with pytest.raises(RuntimeError, match="there are 2"):
        pick_device("cuda:2")


def test_description_names_device_and_reason(machine):
    machine()
    text = describe_device()
    assert text.startswith("cpu (")
    assert "cuda: " in text
    assert describe_device("cpu").endswith("asked for")


def draws():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_seed_everything_seeds_all_three():
    seed_everything(7)
    first = draws()
    assert draws() != first
    seed_everything(np.int64(7))
    assert draws() == first
    seed_everything(2**32 - 1)


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range(seed):
    with pytest.raises(ValueError, match=r"2\*\*32 - 1"):
        seed_everything(seed)


@pytest.mark.parametrize("seed", [1.0, "1", None, True])
def test_seed_of_the_wrong_type(seed):
    with pytest.raises(TypeError, match="whole number"):
        seed_everything(seed)
