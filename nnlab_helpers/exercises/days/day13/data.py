"""Checks of day 13, second part: mend patients G to I, fed wrongly, and J and K, who measure wrongly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.data import ImageSet, Normalize, TensorLoader
from nnlab_helpers.exercises.checking import Trial, any_of, exercise
from nnlab_helpers.exercises.days.day13 import patients

# The patients as they came in, whatever somebody puts into `patients` later.
ILL = {letter: getattr(patients, f"patient_{letter.lower()}") for letter in "GHIJK"}

# G, H and I: data ------------------------------------------------------------------------------------------------


@exercise(
    "day13.patient_g",
    title="Patient G",
    stars=1,
    hints=(
        "Work out by hand what becomes of the grey value 200.",
        "`//` is division without a remainder: 200 // 255 is 0, and so is 254 // 255.",
        "images / 255 gives floats.",
    ),
    learned="`/` between integers makes floats in today's Python and PyTorch; in Python 2 it did what `//` does.",
)
def patient_g(answer: Callable[..., Any], t: Trial) -> None:
    """Hold all grey values against their normalised ones, and name what goes wrong on the way."""
    cases = [
        (torch.tensor([51, 204, 255], dtype=torch.uint8).view(3, 1, 1, 1), 0.5, 0.5),
        (torch.arange(256, dtype=torch.uint8).view(4, 1, 8, 8), 0.13, 0.31),
        (t.randint(0, 256, (3, 1, 5, 4)).to(torch.uint8), 0.4, 0.2),
    ]
    for images, mean, std in cases:
        got = t.call(answer, images, mean, std)
        pixels = images.float() / 255
        want = (pixels - mean) / std
        t.expect(
            got,
            want,
            given=f"mean {mean}, std {std}" + (", the grey values 51, 204 and 255" if images.numel() == 3 else ""),
            known={
                "still ill: everything below 255 becomes 0. `//` drops the fraction, for floats as well.": ILL["G"](
                    images, mean, std
                ),
                "Rounding to 0 or 1 throws the grey values away just as well.": (pixels.round() - mean) / std,
                "These are bytes from 0 to 255, with a mean and std that are meant for 0 to 1.": any_of(
                    (images.float() - mean) / std, (images.float() - mean * 255) / std
                ),
                "Scaled, but not normalised.": pixels,
                "Divide by 255, the largest grey value, and not by 256.": (images.float() / 256 - mean) / std,
                "The bytes were divided by 255 twice.": (pixels / 255 - mean) / std,
                "Multiplied by std: it is to be divided by.": (pixels - mean) * std,
                "The mean was divided by std as it is, and subtracted too late.": pixels / std - mean,
            },
        )
        t.require(got.dtype == torch.float32, f"float32 was expected, got {str(got.dtype).removeprefix('torch.')}")


def _counting(t: Trial) -> tuple[ImageSet, Tensor, Tensor]:
    """310 tiny images that show their own number, in two parts of odd sizes."""
    count = 310
    numbers = torch.arange(count)
    images = torch.stack([numbers // 256, numbers % 256], dim=1).to(torch.uint8).view(count, 1, 1, 2)
    order = torch.randperm(count, generator=t.generator)
    return ImageSet(images, numbers % 10, tuple("0123456789"), "numbers"), order[:205], order[205:]


def _fed(loader: Any) -> tuple[Tensor, Tensor, list[int]]:
    batches = [(x.cpu(), y.cpu()) for x, y in loader]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches]), [len(y) for _, y in batches]


@exercise(
    "day13.patient_h",
    title="Patient H",
    stars=2,
    hints=(
        "Fetch the first validation batch twice and show both. Which of the settings makes them differ?",
        "`common` goes into both loaders. Not everything in it is meant for both.",
        "Take `augment` out of `common`, and give it to the training loader alone.",
    ),
    learned="Validation answers one question, the same one every time. Normalising belongs to it, augmenting does not.",
)
def patient_h(answer: Callable[..., Any], t: Trial) -> None:
    """Mark augmented images, and look at what both loaders yield."""
    digits, train_index, val_index = _counting(t)
    normalize = Normalize(0.5, 0.25)

    def augment(x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return x + 100 + torch.rand(len(x), 1, 1, 1, generator=generator, device=x.device)

    got = t.call(answer, digits, train_index, val_index, augment, normalize, "cpu")
    t.require(
        isinstance(got, tuple | list) and len(got) == 2 and all(isinstance(one, TensorLoader) for one in got),
        f"two TensorLoaders were expected, (training, validation); got {got!r:.80}",
    )
    train_x, train_y, sizes = _fed(got[0])
    val_x, val_y, val_sizes = _fed(got[1])
    clean = normalize(digits.images[val_index].float() / 255)
    in_train, in_val = bool((train_x > 100).all()), bool((val_x > 100).any())
    if in_val and not in_train:
        t.fail("validation is augmented, and training no longer is", "Are the two exchanged?")
    t.require(
        not in_val,
        "still ill: the validation loader augments",
        "What it yields changes each time, and is harder than what the network will meet.",
    )
    t.require(
        in_train,
        "the validation images are clean now, but the training images are not augmented any more",
        "The cure should not cost the training its variety: only one of the two loaders was ill.",
    )
    t.expect(
        (len(train_y), len(val_y)),
        (len(train_index), len(val_index)),
        given="205 images to train with and 105 to validate",
        what="the numbers of images",
        known={"A last batch that is not full is left out.": (200, 100)},
    )
    t.require(sizes[0] == val_sizes[0] == 100, f"the batches hold {sizes[0]} and {val_sizes[0]} images, not 100")
    t.require(
        not torch.equal(train_y, digits.labels[train_index]),
        "the training loader does not shuffle: with every epoch the same batches come in the same order",
    )
    t.require(
        torch.equal(val_y, digits.labels[val_index]),
        "the validation loader shuffles, or does not hold the validation images",
        "In a fixed order a second look is comparable image by image.",
    )
    t.expect(val_x, clean, given="the validation loader", what="the images", known={
        "They are not normalised: the network would be tested on another scale than it was trained on.":
            digits.images[val_index].float() / 255})  # fmt: skip
    t.require(
        torch.equal(train_y.sort().values, digits.labels[train_index].sort().values),
        "the training loader does not hold the training images",
    )
    plain = bool((train_x > 110).all())
    t.require(plain, "the training images are augmented, but no longer normalised")
    again = _fed(got[1])[0]
    t.require(torch.equal(again, val_x), "asked twice, the validation loader yields two different things")
    t.require(not torch.equal(_fed(got[0])[1], train_y), "the training loader has the same order in every epoch")


@exercise(
    "day13.patient_i",
    title="Patient I",
    stars=1,
    hints=(
        "Try it with count = 5 and val = 2. Which numbers are in both parts?",
        "One slice drops the *first* `val` of the order, the other takes the *last* `val`.",
        "Take for validation exactly what training drops: order[:val].",
    ),
    learned="Always assert it: set(train).isdisjoint(val). It costs one line.",
)
def patient_i(answer: Callable[..., Any], t: Trial) -> None:
    """Check that the parts are disjoint, whole, of the right sizes, random and repeatable."""
    for count, val in ((5, 2), (10, 1), (40, 10), (31, 30), (12, 9)):
        got = t.call(answer, count, val, torch.Generator().manual_seed(count))
        given = f"count = {count} and val = {val}"
        t.require(
            isinstance(got, tuple | list) and len(got) == 2 and all(isinstance(part, Tensor) for part in got),
            f"two tensors were expected, (training, validation); got {got!r:.60}",
        )
        train, held = (part.tolist() for part in got)
        both = sorted(set(train) & set(held))
        if len(train) == val != len(held) == count - val:
            t.fail(f"for {given} the two parts are exchanged", "Training comes first; `val` is the size of the other.")
        t.require(
            not both,
            f"still ill: for {given} both parts hold {', '.join(map(str, both[:5]))}{' ...' if len(both) > 5 else ''}",
            "What the network has trained on cannot tell how well it does on new images.",
        )
        t.require(
            len(held) == val,
            f"for {given} the validation part holds {len(held)} numbers",
            "Nothing is in both parts any more, but one has lost its size.",
        )
        t.require(
            sorted(train + held) == list(range(count)),
            f"for {given} the parts together hold {len(set(train + held))} of the {count} numbers",
            "Nothing is in both parts any more, but some numbers are in neither.",
        )
    draws = [
        [part.tolist() for part in t.call(answer, 40, 10, torch.Generator().manual_seed(seed))] for seed in (1, 1, 2, 3)
    ]
    held_back = [sorted(val) for _, val in draws]
    t.require(
        draws[0] == draws[1],
        "equal generators give different parts: draw from `generator`, and from nothing else",
    )
    t.require(
        len({tuple(val) for val in held_back}) == 3,
        "nothing is in both parts, but the parts are the same for every generator",
        "Without a shuffle, a file sorted by class puts whole classes into one part.",
    )


# J and K: measuring ----------------------------------------------------------------------------------------------


class _Notes(list[bool]):
    """Notes that a copy of a model shares with the original: measuring on a copy is a cure as well."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _Notes:
        return self


class _Moody(nn.Module):
    """Right in evaluation mode; in training mode it turns every second answer round. Notes its modes."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Dropout(0.5)
        self.seen = _Notes()

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(self.training or self.inner.training)
        return x if not self.training else -x


@exercise(
    "day13.patient_j",
    title="Patient J",
    stars=2,
    hints=(
        "Which layers behave differently in training and in evaluation? Who tells them which it is?",
        "`model.eval()` before the forward pass. And afterwards? The caller may be in the middle of an epoch.",
        "Note model.training first, and put it back with model.train(noted) when you have measured.",
    ),
    learned="`no_grad` and `eval` are two different things: one saves the graph, the other changes what layers do.",
)
def patient_j(answer: Callable[..., Any], t: Trial) -> None:
    """Hand over a model that takes notes, in both modes, and one with real dropout."""
    for count, classes in ((4, 2), (13, 5)):
        x, y = t.randn(count, classes), t.randint(0, classes, (count,))
        want = (x.argmax(1) == y).float().mean().item()
        for training in (True, False):
            model = _Moody().train(training)
            got = t.call(answer, model, x, y)
            mode = "training" if training else "evaluation"
            t.require(model.seen, "the model was never asked")
            t.require(
                not any(model.seen),
                "still ill: the model predicts in training mode",
                "Dropout silences half of its units while you measure. Less noise, from averages or from no_grad, "
                "does not change that."
                if len(model.seen) == 1
                else "Asking several times averages the noise; the units are silenced all the same.",
            )
            t.expect(got, want, given=f"a model handed over in {mode} mode", known={
                "That is in percent; a share from 0 to 1 is asked for.": 100 * want,
                "That is the share of *wrong* answers.": 1 - want,
                "That is the number of right answers, not their share.": want * count})
            if model.training != training or model.inner.training != training:
                t.fail(
                    f"the number is right, but the model came in {mode} mode and was left in the other",
                    "The rest of the training would run without dropout, and nothing would say so."
                    if training
                    else "Not every caller is training: put back the mode that was there.",
                )
    net = nn.Sequential(nn.Linear(6, 40), nn.ReLU(), nn.Dropout(0.5), nn.Linear(40, 3))
    x, y = t.randn(30, 6), t.randint(0, 3, (30,))
    numbers = {float(t.call(answer, net.train(), x, y, watch=(net,))) for _ in range(3)}
    t.require(len(numbers) == 1, "asked three times about the same network, it gives different numbers")
    t.require(any(isinstance(layer, nn.Dropout) and layer.p == 0.5 for layer in net), "the dropout layer was changed")


@exercise(
    "day13.patient_k",
    title="Patient K",
    stars=1,
    hints=(
        "Work out the small example: what counts a sample in the batch of 3, what the one in the batch of 1?",
        "Multiply each batch's mean by its size, and count the samples as they come by.",
        "total += loss.item() * len(y); count += len(y); at the end total / count.",
    ),
    learned="With 500 samples in batches of 499 the last one would weigh as much as all the others together.",
)
def patient_k(answer: Callable[..., Any], t: Trial) -> None:
    """Hand over batches of even and uneven sizes, as something that can be walked through once."""
    model = nn.Identity()
    for sizes in ((6, 2), (4, 4), (5, 5, 2), (1, 7, 3)):
        batches = [(3 * t.randn(size, 4), t.randint(0, 4, (size,))) for size in sizes]
        means = [F.cross_entropy(x, y).item() for x, y in batches]
        count = sum(sizes)
        total = sum(mean * size for mean, size in zip(means, sizes, strict=True))
        got = t.call(answer, model, iter(batches))
        t.expect(
            got,
            total / count,
            given=f"batches of {', '.join(map(str, sizes[:-1]))} and {sizes[-1]}",
            known={
                "still ill: every batch counts the same, and so the samples of a small one count more.": sum(means)
                / len(means),
                "The smaller last batch is left out: its samples belong to the mean as well.": (
                    lambda means=means, sizes=sizes: sum(m * s for m, s in zip(means[:-1], sizes, strict=False))
                    / max(1, sum(sizes[:-1]))
                ),
                "Sums are added up rightly, but divided by the number of batches.": total / len(sizes),
                "That divides by the batches times the size of the last one; sizes differ.": total
                / (len(sizes) * sizes[-1]),
                "That divides by the batches times the size of the first one; sizes differ.": total
                / (len(sizes) * sizes[0]),
                "Every batch is weighed by the size of the first; weigh each by its own, len(y).": sum(means)
                * sizes[0]
                / count,
                "Means are added up and divided by the samples: weigh each by its batch's size.": sum(means) / count,
                "That is the total over all samples; divide by how many there were.": total,
            },
        )
