from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from closeness import rounding
from gpu import DEVICE, on_gpu

from nnlab_helpers.augment import Compose, Erase, Noise, Rotate, Shift
from nnlab_helpers.data import ImageSet, Normalize, TensorLoader

CPU = {"device": "cpu"}


def images(count=50, channels=1, side=6):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, channels, side, side), dtype=torch.uint8, generator=generator)
    return ImageSet(pixels, torch.arange(count), tuple(map(str, range(count))))  # the label tells the row


def epoch(loader):
    batches = list(loader)
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


# What comes out


@pytest.mark.parametrize("index", [None, [4, 2, 9, 30, 31, 49], slice(5, 30), torch.arange(50) % 2 == 0])
@pytest.mark.parametrize("shuffle", [False, True])
def test_images_and_labels_stay_together(index, shuffle):
    data = images()
    x, y = epoch(TensorLoader(data, index, batch_size=8, shuffle=shuffle, **CPU))
    expected = data if index is None else data.take(index)
    assert sorted(y.tolist()) == sorted(expected.labels.tolist())
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert torch.equal(x, data.images[y].float() / 255)
    assert torch.equal(y, expected.labels) is not shuffle


@pytest.mark.parametrize(
    ("count", "batch_size", "drop_last", "sizes"),
    [
        (50, 16, False, [16, 16, 16, 2]),
        (50, 16, True, [16, 16, 16]),
        (48, 16, False, [16, 16, 16]),
        (48, 16, True, [16, 16, 16]),
        (5, 16, False, [5]),
        (1, 1, False, [1]),
    ],
)
def test_batch_sizes(count, batch_size, drop_last, sizes):
    loader = TensorLoader(images(count), batch_size=batch_size, drop_last=drop_last, shuffle=True, **CPU)
    assert [len(y) for _, y in loader] == sizes
    assert len(loader) == len(sizes)
    assert loader.num_samples == sum(sizes)


def test_pixels_then_augment_then_normalize():
    seen = []

    def augment(x, generator):
        seen.append((x.min().item(), x.max().item(), generator.device.type))
        return x + 1

    loader = TensorLoader(images(), augment=augment, normalize=lambda x: x * 10, **CPU)
    x, _ = epoch(loader)
    assert seen[0][0] >= 0
    assert seen[0][1] <= 1
    torch.testing.assert_close(x, (images().images / 255 + 1) * 10)


def test_batches_are_ours_to_change():
    data = images()
    before = data.images.clone()
    for index in (None, [1, 2, 3]):
        loader = TensorLoader(data, index, **CPU)
        first, labels = epoch(loader)
        for x, y in loader:
            x.zero_()
            y.zero_()
        x, y = epoch(loader)
        assert torch.equal(x, first)
        assert torch.equal(y, labels)
    assert torch.equal(data.images, before)


def test_pairs_of_tensors():
    x, y = torch.randn(10, 3), torch.randn(10)
    got_x, got_y = epoch(TensorLoader((x, y), batch_size=4, **CPU))
    assert torch.equal(got_x, x)
    assert torch.equal(got_y, y)
    for batch, _ in TensorLoader((x, y), **CPU):
        batch.zero_()
    assert x.all()


def test_loaders_share_the_memory_of_the_images():
    data = images()
    one, two = TensorLoader(data, [0, 1], **CPU), TensorLoader(data, **CPU)
    assert one._x.data_ptr() == two._x.data_ptr() == data.images.data_ptr()


# Randomness


AUGMENT = Compose([Shift(1), Rotate(20), Noise(0.1), Erase()])


def test_a_validation_pass_is_bitwise_the_same_every_time():
    loader = TensorLoader(images(), range(5, 40), batch_size=8, normalize=Normalize(0.4, 0.3), **CPU)
    passes = [epoch(loader) for _ in range(3)]
    for x, y in passes[1:]:
        assert torch.equal(x, passes[0][0])
        assert torch.equal(y, passes[0][1])


def test_epochs_differ_and_repeat_with_the_seed():
    def run(seed, epochs=3):
        loader = TensorLoader(images(), shuffle=True, seed=seed, augment=AUGMENT, **CPU)
        return [epoch(loader) for _ in range(epochs)]

    one, same, other = run(1), run(1), run(2)
    for (x, y), (x2, y2) in zip(one, same, strict=True):
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)
    orders = {tuple(y.tolist()) for _, y in one + other}
    assert len(orders) == 6


def test_augmentation_differs_between_epochs_batches_and_images():
    data = ImageSet(images(1).images.expand(8, -1, -1, -1).clone(), torch.zeros(8, dtype=torch.int64), ("a",))
    loader = TensorLoader(data, batch_size=4, augment=Noise(0.1), **CPU)
    x = torch.cat([epoch(loader)[0], epoch(loader)[0]])
    assert len(x.flatten(1).unique(dim=0)) == 16


def test_global_generators_are_neither_used_nor_moved():
    def states():
        return torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()

    before = states()
    loader = TensorLoader(images(), shuffle=True, augment=AUGMENT, **CPU)
    first = epoch(loader)
    after = states()
    assert torch.equal(before[0], after[0])
    assert np.array_equal(before[1], after[1])
    assert before[2] == after[2]
    torch.manual_seed(12345)
    loader.set_epoch(0)
    assert torch.equal(epoch(loader)[0], first[0])


def test_shuffles_are_spread_evenly():
    loader = TensorLoader(images(10), shuffle=True, batch_size=10, **CPU)
    first = torch.bincount(torch.tensor([next(iter(loader))[1][0].item() for _ in range(1000)]), minlength=10)
    assert first.min() > 60  # 100 expected, deviation 9.5
    assert first.max() < 140


def test_resume_goes_on_with_the_same_batches():
    def make():
        return TensorLoader(images(), shuffle=True, seed=3, augment=AUGMENT, **CPU)

    whole = make()
    expected = [epoch(whole) for _ in range(5)]
    stopped = make()
    for _ in range(2):
        epoch(stopped)
    state = stopped.state_dict()
    assert state == {"epoch": 2, "seed": 3}
    resumed = TensorLoader(images(), shuffle=True, seed=0, augment=AUGMENT, **CPU)
    resumed.load_state_dict(state)
    for x, y in expected[2:]:
        x2, y2 = epoch(resumed)
        assert torch.equal(x, x2)
        assert torch.equal(y, y2)


def test_two_loops_at_a_time_do_not_disturb_each_other():
    reference = TensorLoader(images(), shuffle=True, batch_size=10, augment=AUGMENT, **CPU)
    first, second = epoch(reference), epoch(reference)
    loader = TensorLoader(images(), shuffle=True, batch_size=10, augment=AUGMENT, **CPU)
    pairs = list(zip(loader, loader, strict=True))
    assert torch.equal(torch.cat([a[0] for a, _ in pairs]), first[0])
    assert torch.equal(torch.cat([b[0] for _, b in pairs]), second[0])


# Normalize


@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_come_from_the_given_images_alone(channels):
    data = images(channels=channels)
    index = torch.tensor([3, 3, 10, 20])
    chosen = data.images[index].double() / 255
    measured = Normalize.from_images(data, index)
    np.testing.assert_allclose(measured.mean, chosen.mean(dim=(0, 2, 3)))
    np.testing.assert_allclose(measured.std, chosen.std(dim=(0, 2, 3), correction=0))
    changed = data.images.clone()
    changed[[i for i in range(50) if i not in (3, 10, 20)]] = 0
    assert Normalize.from_images(ImageSet(changed, data.labels, data.classes), index) == measured
    assert Normalize.from_images(data) != measured


def test_statistics_over_several_blocks(monkeypatch):
    whole = Normalize.from_images(images())
    monkeypatch.setattr("nnlab_helpers.data.loader._CHUNK", 7)
    assert Normalize.from_images(images()) == whole
    assert Normalize.from_images(images(), range(50)) == whole


@pytest.mark.parametrize("channels", [1, 3])
def test_normalized_images_have_mean_0_and_deviation_1(channels):
    data = images(channels=channels)
    normalize = Normalize.from_images(data)
    x, _ = epoch(TensorLoader(data, normalize=normalize, **CPU))
    torch.testing.assert_close(x.mean(dim=(0, 2, 3)), torch.zeros(channels), atol=rounding(steps=128), rtol=0)
    std = x.std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(std, torch.ones(channels), atol=rounding(steps=128), rtol=0)
    torch.testing.assert_close(normalize.inverse(x), data.images / 255, atol=rounding(), rtol=0)


def test_normalize_one_number_serves_every_channel_and_leaves_its_input_alone():
    x = torch.rand(2, 3, 4, 4)
    before = x.clone()
    torch.testing.assert_close(Normalize(0.5, 0.5)(x), x * 2 - 1)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Normalize(0.5, 0), ValueError, "std must be greater than 0"),
        (lambda: Normalize(0.5, float("nan")), ValueError, "std"),
        (lambda: Normalize(float("inf"), 1), ValueError, "mean"),
        (lambda: Normalize((0.5, 0.5), 1), ValueError, "mean has 2 values, std 1"),
        (lambda: Normalize(0.5, 1)(torch.zeros(1, 1, 2, 2, dtype=torch.uint8)), TypeError, "divide by 255"),
        (lambda: Normalize((0, 0, 0), (1, 1, 1))(torch.zeros(1, 1, 2, 2)), ValueError, "C = 3"),
        (lambda: Normalize.from_images(images(), []), ValueError, "no images"),
        (lambda: Normalize.from_images(images(), [50]), IndexError, "outside"),
        (lambda: Normalize.from_images(images(1, side=1)), ValueError, "same value"),
    ],
)
def test_normalize_refuses(make, error, message):
    with pytest.raises(error, match=message):
        make()


# Arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"index": []}, ValueError, "no data"),
        ({"index": [50]}, IndexError, "outside"),
        ({"index": [0.5]}, TypeError, "whole numbers"),
        ({"batch_size": 64, "drop_last": True}, ValueError, "no batch"),
        ({"seed": -1}, ValueError, "seed"),
        ({"device": "gpu"}, ValueError, "unknown device"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        TensorLoader(images(), **{**CPU, **arguments})


def test_lengths_must_agree():
    with pytest.raises(ValueError, match="3 rows, 4 labels"):
        TensorLoader((torch.zeros(3), torch.zeros(4)), **CPU)


def test_one_tensor_is_no_data():
    with pytest.raises(TypeError, match=r"a pair \(x, y\), got one tensor \[2, 4\]"):
        TensorLoader(torch.zeros(2, 4), **CPU)


def test_bad_epoch():
    with pytest.raises(ValueError, match="epoch"):
        TensorLoader(images(), **CPU).set_epoch(-1)


def test_default_device_is_the_picked_one(monkeypatch):
    monkeypatch.setenv("NNLAB_DEVICE", "cpu")
    assert TensorLoader(images()).device == torch.device("cpu")


def test_repr_tells_what_is_done_to_a_batch():
    text = repr(TensorLoader(images(), batch_size=16, shuffle=True, augment=Shift(2), **CPU))
    assert "50 rows" in text
    assert "4 batches of 16" in text
    assert "augment=Shift(max_pixels=2" in text


@on_gpu
def test_on_a_gpu_the_same_rows_in_the_same_order():
    arguments = {"index": range(5, 45), "batch_size": 16, "shuffle": True, "normalize": Normalize(0.4, 0.3)}
    x, y = epoch(TensorLoader(images(), **arguments, device="cpu"))
    x2, y2 = epoch(TensorLoader(images(), **arguments, device=DEVICE))
    assert x2.device.type == DEVICE.type
    assert torch.equal(y2.cpu(), y)
    torch.testing.assert_close(x2.cpu(), x)
    augmented = TensorLoader(images(), augment=AUGMENT, device=DEVICE)
    assert not torch.equal(epoch(augmented)[0], epoch(augmented)[0])
