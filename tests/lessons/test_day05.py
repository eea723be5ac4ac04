"""Day 5's own data sets, normalisation and loader, held against the package, PyTorch and torchvision."""

import pytest
import torch
from closeness import rounding
from lesson import definitions
from PIL import Image
from torch.utils.data import DataLoader

from nnlab_helpers.augment import Flip
from nnlab_helpers.data import ImageSet, Normalize, TensorLoader, load_folder, make_splits

LESSON = "day05_data"


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (70, 1, 28, 28), generator=generator).to(torch.uint8)
    return ImageSet(pixels, torch.randint(0, 3, (70,), generator=generator), ("a", "b", "c"))


@pytest.fixture
def folder(images, tmp_path):
    for i, (image, label) in enumerate(zip(images.images[:12], images.labels[:12].tolist(), strict=True)):
        place = tmp_path / images.classes[label]
        place.mkdir(exist_ok=True)
        Image.fromarray(image[0].numpy()).save(place / f"{i:03}.png")
    return tmp_path


def to_bytes(picture):
    return torch.tensor(list(picture.tobytes()), dtype=torch.uint8).view(1, *picture.size[::-1])


def test_the_lessons_standardisation_is_the_packages(images):
    x = images.images.float() / 255
    own = definitions(LESSON, "Standardize").Standardize(0.13, 0.31)
    torch.testing.assert_close(own(x), Normalize(0.13, 0.31)(x))


def test_the_lessons_folder_reads_what_the_package_reads(folder):
    own = definitions(LESSON, "PictureFolder").PictureFolder(folder, transform=to_bytes)
    package = load_folder(folder)
    assert tuple(own.classes) == package.classes
    assert [label for _, label in own] == package.labels.tolist()
    assert torch.equal(torch.stack([x for x, _ in own]), package.images)


@pytest.mark.parametrize("prepared", [False, True])
def test_the_lessons_loader_gives_the_packages_batches(images, prepared):
    lesson = definitions(LESSON, "ResidentLoader", "device")
    options = {"augment": Flip(1.0), "normalize": Normalize(0.2, 0.3)} if prepared else {}
    own = lesson.ResidentLoader(images.images, images.labels, batch_size=32, **options)
    package = TensorLoader(images, batch_size=32, device=lesson.device, **options)
    sizes = []
    for (x, y), (want_x, want_y) in zip(own, package, strict=True):
        torch.testing.assert_close(x, want_x)
        assert torch.equal(y, want_y)
        sizes.append(len(y))
    assert sizes == [32, 32, 6]


def test_the_lessons_loader_keeps_images_and_labels_together_when_it_shuffles(images):
    lesson = definitions(LESSON, "ResidentLoader")
    marked = torch.arange(70, dtype=torch.uint8).view(70, 1, 1, 1)
    batches = list(lesson.ResidentLoader(marked, torch.arange(70), batch_size=32, shuffle=True))
    x, y = torch.cat([x.flatten() for x, _ in batches]).cpu(), torch.cat([y for _, y in batches]).cpu()
    assert torch.equal((x * 255).round().long(), y)
    assert y.tolist() != list(range(70))
    assert sorted(y.tolist()) == list(range(70))


def test_the_lessons_pictures_feed_the_same_through_a_dataloader(images):
    pictures = definitions(LESSON, "Pictures").Pictures(images.images, images.labels, to_bytes)
    x, y = next(iter(DataLoader(pictures, batch_size=70)))
    assert torch.equal(x, images.images)
    assert torch.equal(y, images.labels)


def test_the_lesson_counts_images_that_are_in_both_sets(images):
    count_shared = definitions(LESSON, "count_shared").count_shared
    assert count_shared(images.images[:40], images.images[40:]) == 0
    assert count_shared(images.images[:40], images.images[33:]) == 7


def test_choosing_inputs_with_a_look_at_the_test_samples_beats_a_coin():
    coin_accuracy = definitions(LESSON, "coin_accuracy").coin_accuracy
    seeds = range(100, 112)  # other ones than the lesson's
    assert min(coin_accuracy(seed, slice(0, 100)) for seed in seeds) > 0.65
    assert sum(coin_accuracy(seed, slice(0, 50)) for seed in seeds) / len(seeds) == pytest.approx(0.5, abs=0.12)


def test_the_solutions_split_has_the_packages_class_counts(images):
    split = definitions(LESSON, "stratified_split", folder="solutions").stratified_split
    labels = torch.arange(3).repeat_interleave(torch.tensor([50, 30, 20]))
    train, val = split(labels, 0.2, torch.Generator().manual_seed(0))
    package = make_splits(labels, val=0.2, test=0, seed=0)
    for own, theirs in ((train, package.train), (val, package.val)):
        assert torch.equal(torch.bincount(labels[own]), torch.bincount(labels[theirs]))
    assert sorted(torch.cat([train, val]).tolist()) == list(range(100))


def test_the_solutions_statistics_are_the_packages(images):
    statistics = definitions(LESSON, "train_statistics", folder="solutions").train_statistics
    colour = images.images.expand(-1, 3, -1, -1) // torch.tensor([1, 2, 3], dtype=torch.uint8).view(3, 1, 1)
    index = torch.arange(0, 70, 3)
    mean, std = statistics(colour, index)
    package = Normalize.from_images(ImageSet(colour, images.labels, images.classes), index)
    assert mean.tolist() == pytest.approx(package.mean, rel=rounding(steps=512))
    assert std.tolist() == pytest.approx(package.std, rel=rounding(steps=1024))
