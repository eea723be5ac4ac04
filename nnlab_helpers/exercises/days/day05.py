"""Checks of day 5: fair splits, statistics, batches, data sets of one's own, moving a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nnlab_helpers.exercises.checking import Trial, any_of, exercise


@exercise(
    "day05.stratified_split",
    title="A split that is fair",
    stars=2,
    hints=(
        "Work class by class: where do the labels equal c? Those positions are the ones to shuffle and to cut in two.",
        "(labels == c).nonzero().flatten() are the positions of class c, and labels.unique() lists the classes.",
        "rows = rows[torch.randperm(len(rows), generator=generator)]; the first round(fraction * len(rows)) go to "
        "validation, the others to training. Join the pieces of all classes with torch.cat.",
    ),
    learned="Where one person gave many images, split by person: the network must not meet the same hand again.",
)
def stratified_split(answer: Callable[..., Any], t: Trial) -> None:
    """Check that the parts are disjoint, complete, stratified, random and seeded."""
    cases = [
        (torch.tensor([0, 0, 0, 0, 1, 1]), 0.5),
        (torch.tensor([2, 0, 2, 0, 2, 0, 2, 2, 0, 2]), 0.25),
        (t.randint(0, 5, (203,)), 0.2),
        (t.randint(0, 3, (150,)), 0.34),
    ]
    for labels, fraction in cases:
        given = f"labels {labels.tolist()}" if len(labels) <= 10 else f"{len(labels)} random labels"
        given = f"{given} and a fraction of {fraction}"
        train, val = _two_indices(t.call(answer, labels, fraction, torch.Generator().manual_seed(1)), t, given)
        _check_parts(train, val, labels, fraction, t, given)

    labels = cases[2][0]
    seeds = (1, 1, 2)
    global_state = torch.get_rng_state()
    drawn = [t.call(answer, labels, 0.2, torch.Generator().manual_seed(seed))[1].sort().values for seed in seeds]
    t.require(
        torch.equal(drawn[0], drawn[1]) and torch.equal(global_state, torch.get_rng_state()),
        "the same generator, seeded alike, gives two different splits: draw with "
        "`torch.randperm(n, generator=generator)` and with nothing else.",
    )
    t.require(
        not torch.equal(drawn[0], drawn[2]),
        "generators with different seeds give the same split: which images of a class are taken must be drawn at "
        "random. A folder is often sorted by writer or date.",
    )
    every = torch.stack([_taken(t.call(answer, labels, 0.5, _seeded(seed)), len(labels)) for seed in range(40)])
    t.require(
        every.any(0).all() and not every.all(0).any(),
        "some positions are always in validation, or never, whatever the seed: every image of a class must have "
        "the same chance.",
    )


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _taken(parts: Any, count: int) -> Tensor:
    return torch.zeros(count, dtype=torch.bool).index_fill(0, parts[1], True)


def _two_indices(got: Any, t: Trial, given: str) -> tuple[Tensor, Tensor]:
    t.require(
        isinstance(got, tuple | list) and len(got) == 2,
        f"two things are to be returned, (train_index, val_index); got {type(got).__name__}",
    )
    for name, part in zip(("train_index", "val_index"), got, strict=True):
        t.require(isinstance(part, Tensor), f"{name} must be a tensor, got {type(part).__name__}")
        if part.dtype == torch.bool:
            t.fail(f"{name} is a mask of True and False; positions are asked for: mask.nonzero().flatten()")
        t.require(
            part.dtype == torch.int64 and part.ndim == 1,
            f"for {given}: {name} must be positions, int64 of shape [M]; got {part.dtype} of shape {list(part.shape)}",
        )
    return got[0], got[1]


def _check_parts(train: Tensor, val: Tensor, labels: Tensor, fraction: float, t: Trial, given: str) -> None:
    count = len(labels)
    both = torch.cat([train, val])
    t.require(
        len(both) == 0 or (both.min() >= 0 and both.max() < count),
        f"for {given}: a position lies outside the {count} labels",
    )
    sizes = torch.bincount(labels)
    t.require(
        len(both) != count or both.max() >= sizes.max(),
        f"for {given}: no position from {sizes.max()} on is ever used, others several times",
        "Positions *within* a class are not positions in `labels`: use them to index the class's own positions.",
    )
    shared = sorted(set(train.tolist()) & set(val.tolist()))
    t.require(
        len(set(both.tolist())) == len(both) or shared, f"for {given}: a position stands twice in the same part"
    )
    t.require(
        not shared,
        f"for {given}: position {shared[0] if shared else ''} is in both parts",
        "What the network has trained on cannot validate it.",
    )
    want = torch.tensor([round(fraction * n) for n in sizes.tolist()])
    got = torch.bincount(labels[val], minlength=len(sizes))
    if torch.equal(got, want):
        t.require(len(both) == count, f"for {given}: {count - len(both)} images are in neither part")
        return
    headline = f"for {given}: validation should have {want.tolist()} of the classes, it has {got.tolist()}"
    if torch.equal(torch.bincount(labels[train], minlength=len(sizes)), want):
        t.fail(headline, "The two parts are exchanged: the fraction goes to validation, and training comes first.")
    if abs(int(got.sum()) - int(want.sum())) <= len(sizes):
        t.fail(headline, "The number is (nearly) right, not the classes: draw from each class separately, and `round`.")
    t.fail(headline)


@exercise(
    "day05.train_statistics",
    title="Statistics of colour images",
    stars=1,
    hints=(
        "Pick the training images first. Then make them floats, then divide by 255, and only then average.",
        "One number per channel: average over images, rows and columns, and leave the channels. mean(dim=...) takes "
        "several dimensions at once.",
        "pixels = images[train_index].float() / 255; pixels.mean(dim=(0, 2, 3)), and std likewise.",
    ),
    learned="Whether you divide by n or n - 1 no longer matters with a million pixels; the check takes either.",
)
def train_statistics(answer: Callable[..., Any], t: Trial) -> None:
    """Hold mean and deviation per channel against those of the training images alone."""
    red = torch.zeros(3, 3, 12, 12, dtype=torch.uint8)
    red[:2, 0, :, :6] = 255
    red[2] = 200  # not in training
    cases = [(red, torch.tensor([0, 1]), "two images, their left half red, and a grey one that is not for training")]
    for count, height, width, train in ((9, 11, 13, 6), (7, 16, 9, 4)):
        brightness = 20 + 235 * t.rand(count, 3, 1, 1)
        images = (brightness * t.rand(count, 3, height, width)).to(torch.uint8)
        cases.append((images, torch.randperm(count, generator=t.generator)[:train], f"{count} random images"))
    for images, index, given in cases:
        got = t.call(answer, images, index)
        t.require(
            isinstance(got, tuple | list) and len(got) == 2,
            f"two things are to be returned, (mean, std); got {type(got).__name__}",
        )
        x, everything = images[index].double() / 255, images.double() / 255
        rest = torch.ones(len(images), dtype=torch.bool).index_fill(0, index, False)
        channels = (0, 2, 3)
        inside = x.std(dim=(2, 3)).mean(dim=0)
        between = x.mean(dim=(2, 3)).std(dim=0)
        for name, value, reduce in (
            ("mean", got[0], lambda x, dim=channels: x.mean(dim=dim)),
            ("std", got[1], lambda x, dim=channels: x.std(dim=dim)),
        ):
            want, one = reduce(x), reduce(x, (0, 1, 2, 3))
            known = {
                "That is over all images: the others must have no say, take `images[train_index]`.": reduce(everything),
                "That is over all images, the others among them, and in units of 0 to 255 besides.": 255
                * reduce(everything),
                "That is over the images that are *not* for training.": reduce(everything[rest]),
                "That is in units of 0 to 255: divide by 255.": 255 * want,
                "Bytes run from 0 to 255, so it is 255 that becomes 1: divide by 255, not by 256.": want * 255 / 256,
                "That is one number over all channels; each channel has its own.": any_of(one, one.expand(3)),
                "That is one number over all channels, of the raw bytes: each channel has its own, and 255 counts as "
                "1.": any_of(255 * one, 255 * one.expand(3)),
                "That is one number for each place in the image: average over rows and columns too.": any_of(
                    *(unit * place for unit in (1, 255) for place in (reduce(x, 0), x.std(dim=0, correction=0)))
                ),
                "That is integer division: bytes became 0 or 1 before anything was measured.": reduce(
                    (images[index] // 255).double()
                ),
            }
            if name == "std":
                known |= {
                    "That is the variance: the root is missing.": want**2,
                    "That is the average of the images' own deviations. It misses that some images are brighter "
                    "than others: take one deviation over all pixels.": inside,
                    "That is the deviation of the images' averages: take it over all pixels.": between,
                }
            t.expect(value, want.float(), given=given, what=f"the {name}", known=known, rtol=3.5e-3, atol=1e-5)


@exercise(
    "day05.batch_counts",
    title="How many batches?",
    stars=1,
    hints=(
        "How often does the batch size fit in whole? What is left over makes one more batch, if anything is left.",
        "divmod(50, 16) is (3, 2): three full batches and two left over, so four batches, the last of two.",
        "Where nothing is left over, there is no extra batch, and the last one is full. With drop_last what is left "
        "over is thrown away.",
    ),
    learned="The number of batches is ceil(N / B), in Python -(-N // B); with drop_last it is N // B.",
)
def batch_counts(answer: Any, t: Trial) -> None:
    """Compare four pairs, one question at a time."""
    t.require(
        isinstance(answer, list | tuple) and len(answer) == 4,
        "a list of four pairs is asked for",
    )
    questions = [(55_000, 128, False), (1_000, 250, False), (1_001, 250, False), (1_001, 250, True)]
    for number, (pair, (count, size, drop)) in enumerate(zip(answer, questions, strict=True), start=1):
        t.require(
            isinstance(pair, list | tuple) and len(pair) == 2,
            f"answer {number} must be a pair (number of batches, size of the last one), got {pair!r}",
        )
        whole, rest = divmod(count, size)
        want = (whole, size) if drop or rest == 0 else (whole + 1, rest)
        known: dict[str, Any] = {
            "The other way round: number of batches first, then the size of the last.": want[::-1],
        }
        if rest == 0:
            known["Nothing is left over, so there is no extra batch, and the last one is full."] = any_of(
                (whole + 1, 0), (whole, 0), (whole + 1, size)
            )
        elif drop:
            known |= {
                "With drop_last the incomplete batch is left out.": (whole + 1, rest),
                "The last batch that is *kept* is a full one.": any_of((whole, rest), (whole, 0)),
            }
        else:
            known |= {
                "The images that are left over make a batch too.": any_of((whole, size), (whole, rest)),
                "The number of batches is right, but the last one is not full: what is left over?": (whole + 1, size),
            }
        t.expect(tuple(pair), want, given=f"question {number}", known=known)


@exercise(
    "day05.same_or_not",
    title="A Dataset of your own",
    stars=2,
    draws=True,
    hints=(
        "Keep images and labels in __init__. How many neighbours are there among N images?",
        "N images have N - 1 pairs. Convert on the way out: self.images[i].float() / 255.",
        "int(self.labels[i] == self.labels[i + 1]) is `same`; "
        "asking a tensor for images[i + 1] beyond its end raises IndexError by itself",
    ),
    learned="Nothing was copied in __init__: a data set of pairs takes no more memory than the images.",
)
def same_or_not(answer: Callable[..., Any], t: Trial) -> None:
    """Read data sets of pairs, item by item, and through a loader."""
    small = (torch.tensor([[[[255, 51]]], [[[102, 0]]], [[[0, 204]]]], dtype=torch.uint8), torch.tensor([4, 4, 9]))
    for images, labels in (small, (t.randint(0, 256, (9, 1, 3, 5)).to(torch.uint8), t.randint(0, 2, (9,)))):
        dataset = t.call(answer, images, labels)
        count = len(labels) - 1
        given = f"labels {labels.tolist()}"
        length = t.call(len, dataset)
        t.expect(length, count, given=given, what="the length", known={
            "That is the number of images. The last one has no neighbour: how many pairs are there?": count + 1,
            "Neighbours overlap, 0 and 1, then 1 and 2: a pair is missing.": count - 1,
        })  # fmt: skip
        for i in range(count):
            _check_pair(t.call(lambda dataset, i: dataset[i], dataset, i), i, images, labels, t)
        _check_end(dataset, count, t)
    loader = torch.utils.data.DataLoader(dataset, batch_size=3)
    first, _, same = t.call(lambda loader: next(iter(loader)), loader)
    t.expect(tuple(first.shape), (3, 1, 3, 5), given="a DataLoader with batches of 3", what="the shape of `first`")
    t.expect(tuple(same.shape), (3,), given="a DataLoader with batches of 3", what="the shape of `same`")
    t.require(
        torch.equal(dataset[0][0], images[0].float() / 255),
        "after the data set was read once, its items have changed: do not change the images in place.",
    )


def _check_pair(item: Any, i: int, images: Tensor, labels: Tensor, t: Trial) -> None:
    given = f"item {i} with labels {labels.tolist()}"
    t.require(
        isinstance(item, tuple | list) and len(item) == 3,
        f"an item is a triple (first, second, same); got {type(item).__name__}",
    )
    for name, got, raw, other in (
        ("first", item[0], images[i], images[i + 1]),
        ("second", item[1], images[i + 1], images[i]),
    ):
        t.expect(got, raw.float() / 255, given=given, what=name, known={
            "The pixels are still bytes from 0 to 255: a float from 0 to 1 is asked for.": any_of(raw, raw.float()),
            "That is integer division: every pixel below 255 became 0.": any_of(raw // 255, (raw // 255).float()),
            "The two images are exchanged, or one of them stands twice.": other.float() / 255,
        })  # fmt: skip
    same = bool(labels[i] == labels[i + 1])
    number = item[2].item() if isinstance(item[2], Tensor) and item[2].numel() == 1 else item[2]
    t.require(
        isinstance(number, int | np.integer) and not (isinstance(item[2], Tensor) and item[2].ndim),
        f"for {given}: `same` must be a whole number, 1 or 0; got {item[2]!r}",
    )
    t.expect(int(number), int(same), given=given, what="same", known={
        "Turned round: 1 is for equal labels.": int(not same),
        "That is a label, or a difference of labels: only 1 or 0 is asked for.": any_of(
            int(labels[i]), int(labels[i + 1]), int(labels[i] - labels[i + 1])),
    })  # fmt: skip


def _check_end(dataset: Any, count: int, t: Trial) -> None:
    for beyond in (count, count + 1, count + 5):
        try:
            dataset[beyond]
        except IndexError:
            continue
        except Exception as error:
            t.fail(f"item {beyond} of {count} must raise IndexError, it raised {type(error).__name__}: {error}")
        t.fail(
            f"item {beyond} of a data set of length {count} was given out; it must raise IndexError",
            "Without it `for item in dataset` never ends or runs past the last pair.",
        )


@exercise(
    "day05.shift_right",
    title="Move a batch",
    stars=3,
    hints=(
        "The pixel that ends in column j was in column j - by before. For a whole batch that is a table [B, W]: "
        "torch.arange(W) minus by as a column.",
        "x.take_along_dim(columns, dim=3) fetches along the last dimension; columns as [B, 1, 1, W]. Where a column "
        "lies outside 0 to W - 1, fetch any (clamp) and put a zero over it.",
        "source = torch.arange(W) - by[:, None]; inside = (source >= 0) & (source < W); then "
        "x.take_along_dim(source.clamp(0, W - 1)[:, None, None], dim=3) * inside[:, None, None]",
    ),
    learned="The package's Shift pads once and takes windows of the padded batch: no image is visited on its own.",
)
def shift_right(answer: Callable[..., Any], t: Trial) -> None:
    """Move small and random batches, a number per image."""
    row = torch.tensor([[[[1.0, 2.0, 3.0]]]])
    cases = [
        (row, torch.tensor([1])),
        (row, torch.tensor([-1])),
        (row, torch.tensor([0])),
        (torch.cat([row, row]), torch.tensor([2, -2])),
        (1 + t.rand(6, 1, 5, 7), torch.tensor([0, 3, -1, 6, -6, 2])),
        (1 + t.rand(4, 1, 8, 5), t.randint(-4, 5, (4,))),
        (t.randint(1, 256, (3, 1, 2, 4)).to(torch.uint8), torch.tensor([1, -2, 3])),
    ]
    for x, by in cases:
        got = t.call(answer, x, by)
        what = f"a row {x[0, 0, 0].tolist()}" if x.numel() <= 6 else f"a batch {list(x.shape)}"
        given = f"{what} and by = {by.tolist()}"
        want = _moved(x, by.tolist())
        t.expect(got, want, given=given, known={
            "What leaves on one side comes in on the other: `roll` goes round. Zeros must come in.":
                lambda x=x, by=by: _each(x, by, lambda image, k: image.roll(k, -1)),
            "To the wrong side: positive is to the right.": lambda x=x, by=by: _moved(x, (-by).tolist()),
            "The edge is smeared: what comes in must be 0, not a copy of the last column.":
                lambda x=x, by=by: _each(x, by, _smeared),
            "Every image was moved by the first number; each has its own.":
                lambda x=x, by=by: _moved(x, [int(by[0])] * len(by)),
            "The images moved up or down: columns are the last dimension.":
                lambda x=x, by=by: _down(x, by),
            "Nothing has moved.": x,
        })  # fmt: skip
        t.require(got.dtype == x.dtype, f"for {given}: the result has dtype {got.dtype}, the batch {x.dtype}")
        t.require(
            got.data_ptr() != x.data_ptr(),
            f"for {given}: the result is the batch itself or a view of it; return a new tensor",
        )


def _moved(x: Tensor, by: list[int]) -> Tensor:
    y = torch.zeros_like(x)
    width = x.shape[3]
    for image, source, k in zip(y, x, by, strict=True):
        if k >= 0:
            image[..., k:] = source[..., : width - k]
        else:
            image[..., :k] = source[..., -k:]
    return y


def _each(x: Tensor, by: Tensor, move: Callable[[Tensor, int], Tensor]) -> Tensor:
    return torch.stack([move(image, k) for image, k in zip(x, by.tolist(), strict=True)])


def _smeared(image: Tensor, k: int) -> Tensor:
    width = image.shape[-1]
    return image[..., (torch.arange(width) - k).clamp(0, width - 1)]


def _down(x: Tensor, by: Tensor) -> Tensor:
    """Return the batch moved down by `by`, as far as the height allows."""
    height = x.shape[2]
    return _moved(x.transpose(2, 3), by.clamp(-height, height).tolist()).transpose(2, 3)


@exercise(
    "day05.train_and_val",
    title="Two data sets that share nothing but images",
    stars=2,
    hints=(
        "How many objects of the class Pictures are there, and how many transforms can one of them hold?",
        "Make two Pictures, one for each subset. Both may use the same images tensor: that costs no memory.",
        "Subset(Pictures(images, labels, augment), train_index), and the same with plain and val_index.",
    ),
    learned="Copying the data set object is cheap: both copies point at the same images in memory.",
)
def train_and_val(answer: Callable[..., Any], t: Trial) -> None:
    """Fetch items from both sets with transforms that leave a mark, and count their calls."""
    images = t.randint(0, 200, (9, 1, 4, 5)).to(torch.uint8)
    labels = t.randint(0, 4, (9,))
    train_index, val_index = [7, 2, 4, 0, 8], [3, 1, 6]
    calls = {"augment": 0, "plain": 0}

    def plain(picture: Any) -> Tensor:
        calls["plain"] += 1
        return torch.tensor(np.array(picture)).reshape(1, 4, 5).float() / 255

    def augment(picture: Any) -> Tensor:
        calls["augment"] += 1
        return torch.tensor(np.array(picture)).reshape(1, 4, 5).float() / 255 + 10 * calls["augment"]

    got = t.call(answer, images, labels, train_index, val_index, augment, plain)
    t.require(
        isinstance(got, tuple | list) and len(got) == 2,
        f"two data sets are to be returned, (train, val); got {type(got).__name__}",
    )
    train, val = got
    for name, part, index in (("training", train, train_index), ("validation", val, val_index)):
        size = t.call(len, part)
        t.require(size == len(index), f"the {name} set should have {len(index)} items, it has {size}")
    for _ in range(2):  # twice, and in turns: the sets must not disturb each other
        for part, index, name in ((val, val_index, "validation"), (train, train_index, "training")):
            for i, position in enumerate(index):
                _check_item(part, i, images[position], labels[position], name, calls, t)


def _check_item(part: Any, i: int, image: Tensor, label: Tensor, name: str, calls: dict[str, int], t: Trial) -> None:
    before = dict(calls)
    item = t.call(lambda part, i: part[i], part, i)
    t.require(
        isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], Tensor),
        f"item {i} of the {name} set should be (tensor, label)",
        "Is a transform missing?",
    )
    x, got_label = item
    marked = bool((x >= 9).any())
    if name == "validation":
        t.require(not marked, "a validation picture comes out augmented: the two sets still share one transform.")
    else:
        t.require(
            marked,
            "a training picture comes out without augmentation.",
            "Taking the augmentation away from both is no cure: training should have it.",
        )
        t.require(
            calls["augment"] > before["augment"],
            "fetching a training picture does not call `augment`: it was augmented once, beforehand.",
            "Augmentation must be new each time a picture is seen; that is what makes more of the data.",
        )
    extra = calls["augment"] - before["augment"] if name == "training" else 0
    t.require(extra <= 1, "`augment` is called more than once for a picture")
    pixels = image.float() / 255 + (10 * calls["augment"] if name == "training" else 0)
    t.expect(x, pixels, given=f"item {i} of the {name} set", what="the picture")
    t.expect(int(got_label), int(label), given=f"item {i} of the {name} set", what="the label")
