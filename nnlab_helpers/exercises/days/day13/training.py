"""Checks of day 13, first part: name eleven illnesses, and mend patients A to F, whose training goes wrong."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nnlab_helpers.exercises.checking import Trial, exercise
from nnlab_helpers.exercises.days.day13 import patients

# The patients as they came in, whatever somebody puts into `patients` later.
ILL = {letter: getattr(patients, f"patient_{letter.lower()}") for letter in "ABCDEF"}

FAULTS = {
    1: "a layer that is never updated",
    2: "batches that count alike, small or large",
    3: "dropout at work while measuring",
    4: "gradients of earlier steps never cleared",
    5: "hidden units silent from the start",
    6: "inputs never scaled",
    7: "labels that belong to other images",
    8: "pixels that lose their fractions",
    9: "softmax applied twice",
    10: "steps many times too long",
    11: "steps many times too short",
    12: "validation images augmented",
    13: "validation images trained on",
}
ILLNESS = {"A": 4, "B": 9, "C": 10, "D": 5, "E": 7, "F": 1, "G": 8, "H": 12, "I": 13, "J": 3, "K": 2}
AGAINST = {
    ("A", 10): "With steps too long the very first update ratio is too large. A's is healthy at first, and grows.",
    ("B", 11): "A network that learns slowly reads as few digits as its loss tells. B reads most of them, at a loss "
    "that a healthy network has when it reads hardly any: can the loss fall to 0 at all?",
    ("B", 7): "With wrong labels it could not read three digits in four.",
    ("C", 4): "Gradients can only pile up over several steps. C's update ratio is far too large in the first one.",
    ("D", 1): "It is more than one layer that does not move. Look at the column 'alive'.",
    ("D", 11): "Short steps are still steps. All of D's weights stand still: see the column 'alive'.",
    ("E", 5): "All of E's units are alive, and all of its layers move.",
    ("E", 11): "E's update ratios are as large as the healthy ones: it walks as far, but to no end.",
    ("E", 9): "Softmax twice still learns. E reads no more digits than guessing would.",
    ("F", 5): "All of F's units are alive. Which of its three update ratios stands out?",
    ("F", 11): "Two of F's three update ratios are healthy. What about the third?",
    ("G", 6): "Raw bytes would reach far beyond the healthy range. G's stay inside it; what lies between is missing.",
    ("H", 3): "Then training digits would give a new number each time as well. With H only validation digits do.",
    ("I", 12): "Augmented validation images are harder to read. I's are read too well.",
    ("I", 7): "Wrong labels make results worse. I's validation accuracy is too good, compared with fresh digits.",
    ("J", 12): "J measures whatever digits it is given, training digits too, and wavers on both: it is not the images.",
    ("K", 3): "There is no dropout in the healthy network. And what has the batch size to do with it?",
}
LOOK = {
    "A": "Compare A's first update ratios with its later ones: what could build up?",
    "B": "Hold B's last loss against the share of digits that it reads. Do the two fit together?",
    "C": "Look at C's update ratio in the very first step, beside the grey line.",
    "D": "Look at D's update ratios, and at the column 'alive'.",
    "E": "E's instruments are in order, yet it cannot even learn one batch. What is left, if model and step are sound?",
    "F": "Look at F's update ratios, layer by layer.",
    "G": "Look at G's histogram: which values are there, and which are not?",
    "H": "H gives another number each time, but only for validation digits.",
    "I": "Compare I's validation accuracy with that on fresh digits.",
    "J": "J gives another number each time, for training and validation digits alike.",
    "K": "K's loss depends on the batch size, and on nothing else.",
}


@exercise(
    "day13.diagnoses",
    title="Name them",
    stars=2,
    hints=(
        "Begin with the easiest: G's histogram, I's fresh digits, K's batch sizes. Then H and J, by what differs "
        "between them.",
        "Among A to F use the update ratios: exact zeros (which layers?), too large at once, too large later, healthy.",
        "B and E are left: their steps are not too long. One of them reads most digits at a high loss, the other "
        "learns nothing although nothing in the network is wrong.",
    ),
    learned="Most symptoms have several causes. It is the second instrument that tells them apart.",
)
def diagnoses(answer: Any, t: Trial) -> None:
    """Compare with the faults, letter by letter, and say what speaks against a wrong one."""
    t.require(isinstance(answer, dict), f"a dict from letters to numbers was expected, got {type(answer).__name__}")
    t.require(set(answer) == set(ILLNESS), f"the letters should be A to K, got {', '.join(map(str, answer))}")
    for letter, want in ILLNESS.items():
        said = answer[letter]
        if said is None or said is Ellipsis:
            t.fail(f"patient {letter}: still without a diagnosis", LOOK[letter])
        whole = isinstance(said, int) and not isinstance(said, bool)
        t.require(
            whole and said in FAULTS, f"patient {letter}: a whole number from 1 to 13 was expected, got {said!r:.40}"
        )
        if said != want:
            t.fail(f"patient {letter}: not number {said}, {FAULTS[said]}", AGAINST.get((letter, said), LOOK[letter]))


# A and C: loops --------------------------------------------------------------------------------------------------


def _loop(
    model: nn.Module, x: Tensor, y: Tensor, epochs: int, batch: int, rate: float, *, way: str = ""
) -> tuple[list[float], Tensor]:
    """Losses and final weights of the healthy loop, or of a known false cure."""
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    history = []
    for _ in range(epochs):
        total, count = 0.0, 0
        if way == "cleared once an epoch":
            optimizer.zero_grad()
        for inputs, target in zip(x.split(batch), y.split(batch), strict=True):
            if way != "cleared once an epoch":
                optimizer.zero_grad()
            loss = F.cross_entropy(model(inputs), target)
            (loss * len(target) / batch if way == "sum over batch_size" else loss).backward()
            optimizer.step()
            total += loss.item() * (len(target) if way not in ("unweighted total", "mean of batches") else 1)
            count += 1 if way == "mean of batches" else len(target)
        history.append(total / count)
    return history, _flat(model)


def _flat(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def _linear(t: Trial, inputs: int = 4, classes: int = 3) -> nn.Linear:
    model = nn.Linear(inputs, classes)
    with torch.no_grad():
        model.weight.copy_(t.randn(classes, inputs))
        model.bias.zero_()
    return model


def _heal_loop(answer: Callable[..., Any], t: Trial, ill: Callable[..., Any], *, letter: str) -> None:
    x, y, rate = t.randn(11, 4), t.randint(0, 3, (11,)), 0.3
    start = _linear(t)
    first = torch.autograd.grad(F.cross_entropy(start(x), y), [*start.parameters()])
    gradient = torch.cat([g.flatten() for g in first])
    cases = [
        (11, 1, "one batch of 11, one epoch: a single step"),
        (11, 2, "one batch of 11, two epochs: two steps"),
        (4, 2, "11 samples in batches of 4, 4 and 3, two epochs"),
        (3, 3, "11 samples in batches of 3, 3, 3 and 2, three epochs"),
    ]
    for batch, epochs, given in cases:
        model, sick = copy.deepcopy(start), copy.deepcopy(start)
        losses = t.call(answer, model, x, y, epochs, batch, rate)
        want, weights = _loop(start, x, y, epochs, batch, rate)
        moved = _flat(model) - _flat(start)
        ill_losses = ill(sick, x, y, epochs, batch, rate)
        t.require(
            moved.abs().max() > 0,
            f"after {given} no weight has moved",
            "Gradients are there between `backward` and `step`, and are needed by `step`: is something in the way?",
        )
        if (letter == "C" or batch < 11 or epochs > 1) and torch.allclose(_flat(model), _flat(sick), rtol=1e-4):
            sign = "the second step still carries the gradient of the first" if letter == "A" else (
                "the first step is 11 times as long as rate times gradient"
            )
            t.fail(f"still ill: {sign}", f"seen with {given}")
        if batch == 11 and epochs == 1:
            factor = (moved @ gradient / (gradient @ gradient) / -rate).item()
            t.require(
                abs(factor - 1) < 1e-3,
                f"the first step should be 1 x rate x gradient, and is {factor:.3g} x",
                "Was the rate changed? The caller has chosen it; the fault is elsewhere."
                if letter == "A"
                else "A correction that suits one batch size is none: where does the batch size come in as a factor?",
            )
        known = {
            "Gradients are now cleared once in an epoch; they have to be cleared before every step.": _loop(
                start, x, y, epochs, batch, rate, way="cleared once an epoch"
            )[1],
            "Right for full batches. The smaller last one is divided by `batch_size`, and so counts too little.": _loop(
                start, x, y, epochs, batch, rate, way="sum over batch_size"
            )[1],
        }
        t.expect(_flat(model), weights, given=given, what="the weights after training", known=known, rtol=1e-3)
        reports = {
            "The steps are right. But the report adds up batch means as if they were sums.": _loop(
                start, x, y, epochs, batch, rate, way="unweighted total"
            )[0],
            "The report is a mean over batches; weigh each batch by its samples.": _loop(
                start, x, y, epochs, batch, rate, way="mean of batches"
            )[0],
            "The weights are well, but the reported losses are still those of the ill patient.": ill_losses,
        }
        t.expect(losses, want, given=given, what="the losses", known=reports, rtol=1e-3)


@exercise(
    "day13.patient_a",
    title="Patient A",
    stars=2,
    hints=(
        "Write down the five things that happen to a batch in `train` above, and tick them off here.",
        "Without anything else, `backward` adds to what is already in `p.grad`.",
        "One line, before `loss.backward()`, in the inner loop: it is the first line in the inner loop of `train`.",
    ),
    learned="Added up for ever, gradients act like momentum of 1: the weights swing through the valley and never stop.",
)
def patient_a(answer: Callable[..., Any], t: Trial) -> None:
    """Compare weights and losses with a healthy loop, on one step first and then on several."""
    _heal_loop(answer, t, ILL["A"], letter="A")


@exercise(
    "day13.patient_b",
    title="Patient B",
    stars=1,
    hints=(
        "What does F.cross_entropy expect as its first argument: logits or probabilities?",
        "It brings its own log-softmax. Its input must not have been through one that flattens it.",
        "Hand the output of `model(x)` to F.cross_entropy as it is.",
    ),
    learned="The second softmax sees only numbers from 0 to 1, so with ten classes the loss never falls below 1.46.",
)
def patient_b(answer: Callable[..., Any], t: Trial) -> None:
    """Compare the value, then the gradient."""
    model = nn.Identity()
    cases = [
        (torch.tensor([[2.0, 0.0]]), torch.tensor([0])),
        (t.randn(5, 4), t.randint(0, 4, (5,))),
        (30 * t.randn(7, 10), t.randint(0, 10, (7,))),
    ]
    for logits, y in cases:
        logits.requires_grad_()
        got = t.call(answer, model, logits, y)
        want = F.cross_entropy(logits, y)
        p = logits.softmax(1)
        given = "logits [[2., 0.]] and the label [0]" if len(y) == 1 else f"{len(y)} random rows of logits"
        t.expect(
            got,
            want,
            given=given,
            known={
                "still ill: scores are squeezed into 0 to 1 before a loss that does the same.": F.cross_entropy(p, y),
                "`nll_loss` wants *logarithms* of probabilities, and got logits.": F.nll_loss(logits, y),
                "`nll_loss` wants *logarithms* of probabilities, and got the probabilities.": F.nll_loss(p, y),
                "Sigmoid in place of softmax flattens the scores as well.": F.cross_entropy(logits.sigmoid(), y),
                "That is the sum over the batch; the mean is asked for.": want * len(y),
            },
        )
        t.require(got.requires_grad, "the loss has no graph behind it: `backward` could not start from it")
        slope = torch.autograd.grad(got, logits)[0]
        t.expect(slope, torch.autograd.grad(want, logits)[0], given=given, what="the gradient of the logits")


@exercise(
    "day13.patient_c",
    title="Patient C",
    stars=2,
    hints=(
        "How long is the very first step, compared with rate times the gradient of the mean loss?",
        "The gradient of a sum over 20 samples is 20 times that of their mean.",
        "Let cross_entropy take its mean. Then the line with `total` has to weigh it by len(target).",
    ),
    learned="A rate that was tuned to summed losses fits one batch size alone; with means it travels better.",
)
def patient_c(answer: Callable[..., Any], t: Trial) -> None:
    """Compare weights and losses with a healthy loop, on one step first and then on several."""
    _heal_loop(answer, t, ILL["C"], letter="C")


@exercise(
    "day13.patient_d",
    title="Patient D",
    stars=1,
    draws=True,
    hints=(
        "Which signs can the weights have? And the inputs of the second layer, which have been through a ReLU?",
        "`nn.init.uniform_(tensor, a, b)` draws from a to b. Where should the middle of that range be?",
        "nn.init.uniform_(layer.weight, -bound, bound)",
    ),
    learned="The first loss was log 10 to the last digit: a network that gives the same answer to everything.",
)
def patient_d(answer: Callable[..., Any], t: Trial) -> None:
    """Look at mean, deviation and life of the layers of two networks, and at their biases."""
    for sizes in ((60, 90, 80, 50), (200, 60, 50, 40)):
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
        model = nn.Sequential(*layers[:-1])
        linear = [layer for layer in model if isinstance(layer, nn.Linear)]
        for layer in linear:  # so that what is left as it was is noticed
            nn.init.constant_(layer.weight, 7.0)
            nn.init.constant_(layer.bias, 7.0)
        t.call(answer, model)
        t.require(
            [layer for layer in model if isinstance(layer, nn.Linear)] == linear,
            "the model has other layers now; change the weights of those it had, in place",
        )
        for number, layer in enumerate(linear, start=1):
            weight, want = layer.weight.detach(), math.sqrt(2 / layer.in_features)
            mean, std, place = weight.mean().item(), weight.std().item(), f"layer {number} of {len(linear)}"
            t.require(
                not (weight == 7).all(), f"the weights of {place} are as they were: every linear layer gets new ones"
            )
            t.require(
                std > 0,
                f"all weights of {place} are {weight[0, 0].item():.3g}",
                "Equal weights make equal units with equal gradients: they can never become different.",
            )
            if weight.max() <= 0:
                t.fail(
                    f"still ill: no weight of {place} is positive",
                    "What comes out of a ReLU is never negative. Times negative weights, it silences the next layer.",
                )
            t.require(
                weight.min() < 0,
                f"no weight of {place} is negative",
                "Now nobody is silent and all units say nearly the same: half of the weights should have each sign.",
            )
            t.require(
                abs(mean) < 0.15 * std, f"the weights of {place} have the mean {mean:.3f}; it should be about 0"
            )
            t.require(
                0.93 < std / want < 1.07,
                f"the weights of {place} have the standard deviation {std:.3f}; sqrt(2 / {layer.in_features}) is "
                f"{want:.3f}",
                "Silence is cured, but at this scale signals grow or fade from layer to layer."
                if abs(std / want - 1 / math.sqrt(2)) > 0.1
                else "Half the variance is meant for networks without ReLU.",
            )
            t.require(
                not layer.bias.detach().any(),
                f"the biases of {place} are not 0",
                "Lifting all units with a bias wakes them, but leaves their weights as ill as before.",
            )


# E and F: batches and the optimizer ------------------------------------------------------------------------------


@exercise(
    "day13.patient_e",
    title="Patient E",
    stars=1,
    hints=(
        "Follow one image and its label through both lines. Do they end in the same place?",
        "Each call of torch.randperm draws another order.",
        "Draw one order, and index both x and y with it.",
    ),
    learned="Nothing in the network can tell: only eyes that see a picture and its label side by side.",
)
def patient_e(answer: Callable[..., Any], t: Trial) -> None:
    """Number the samples, so that each batch tells which image and which label it holds."""
    for count, size in ((7, 3), (24, 8), (31, 10)):
        x = torch.arange(count).float()[:, None, None].repeat(1, 2, 2)
        y = torch.arange(count)
        generator = torch.Generator().manual_seed(count)
        given = f"{count} samples in batches of {size}"
        orders = []
        for _ in range(2):
            batches = t.call(answer, x, y, size, generator)
            t.require(
                isinstance(batches, list | tuple) and all(len(pair) == 2 for pair in batches),
                f"a list of pairs (x, y) was expected, got {type(batches).__name__}",
            )
            sizes = [len(pair[1]) for pair in batches]
            full = [size] * (count // size) + [count % size] * (count % size > 0)
            t.expect(sizes, full, given=given, what="the sizes of the batches", known={
                "The last, smaller batch is left out: its samples are lost to this epoch.": full[:-1]})
            images = torch.cat([pair[0] for pair in batches])
            labels = torch.cat([pair[1] for pair in batches])
            t.require(images.shape == x.shape, f"the images have shape {list(images.shape)}, not {list(x.shape)}")
            order = images[:, 0, 0].long()
            if not torch.equal(order, labels):
                first = int((order != labels).nonzero()[0])
                t.fail(
                    f"still ill: of {given}, image {order[first]} comes with the label of image {labels[first]}",
                    "Both are shuffled, but not in the same way."
                    if not torch.equal(order, y) and not torch.equal(labels, y)
                    else "Now one of the two is shuffled and the other is not.",
                )
            t.require(
                torch.equal(order.sort().values, y), f"for {given} some sample comes twice and another not at all"
            )
            orders.append(order)
        t.require(
            not torch.equal(orders[0], y),
            "image and label belong together now, but nothing is shuffled any more",
            "Batches that are the same in every epoch, in the order of the file, are an illness of their own.",
        )
        t.require(not torch.equal(*orders), "two epochs have the same order; it should be a new one at every call")
    again = [t.call(answer, x, y, 10, torch.Generator().manual_seed(5))[0][1].tolist() for _ in range(2)]
    t.require(
        again[0] == again[1], "equal generators give different orders: draw from `generator`, and from nothing else"
    )


@exercise(
    "day13.patient_f",
    title="Patient F",
    stars=2,
    draws=True,
    hints=(
        "Which parameters does the optimizer know? When did it learn of them?",
        "`model.parameters()` was read before the new layer existed.",
        "Move the line that makes the optimizer below the line that puts the new layer in.",
    ),
    learned="It still learns, as the layers below adapt to random weights at the top, so the curve alone won't tell.",
)
def patient_f(answer: Callable[..., Any], t: Trial) -> None:
    """Let the optimizer take a step, and see who has moved, and how far."""
    for classes, rate in ((5, 0.1), (3, 0.4)):
        model = nn.Sequential(nn.Linear(6, 7), nn.Tanh(), nn.Linear(7, 2))
        first, old = model[0], model[2]
        optimizer = t.call(answer, model, classes, rate)
        t.require(
            isinstance(optimizer, torch.optim.Optimizer), f"an optimizer was expected, got {type(optimizer).__name__}"
        )
        head = model[-1]
        t.require(len(model) == 3 and model[0] is first, "only the last layer should be replaced")
        t.require(
            head is not old and isinstance(head, nn.Linear) and (head.in_features, head.out_features) == (7, classes),
            f"the last layer should be a new nn.Linear(7, {classes}), and is {head}",
        )
        t.require(head.bias is not None, "the new layer has no bias; the old one had one")
        x, y = t.randn(9, 6), t.randint(0, classes, (9,))
        t.require(
            all(p.requires_grad for p in model.parameters()),
            "some parameters are frozen now: the whole network should be trained",
        )
        gradients = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        for (name, p), old_p, g in zip(model.named_parameters(), before, gradients, strict=True):
            moved = p.detach() - old_p
            if not moved.any():
                t.fail(
                    *(
                        ("still ill: after one step the new last layer has not moved",
                         "It has gradients. Does the optimizer know that it exists?")
                        if name.startswith("2")
                        else ("the new last layer is trained now, and the layers below it no longer are",
                              "The optimizer is for the whole network.")
                    )
                )
            t.expect(moved, -rate * g, given=f"a rate of {rate}", what=f"the step of {name}", known={
                "The gradient was added where it should be subtracted.": rate * g})
