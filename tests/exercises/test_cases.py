"""Every check tries more than fixed cases: whoever knows its answers by heart is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import cases, description, sizes
from harness import IDS, answer_in, text_of

OTHER_SEED = 1
# Exercises whose checks call the answer with the same arguments every time, and why that is enough.
SAME_EVERY_TIME = {
    "day04.normed_network": "it gives a network, which is then called with random inputs",
    "day11.read_scalars": "it is given a folder, and random numbers in its files",
    "day11.winning_rate": "it is given a folder, and random numbers in its files",
    "day13.patient_d": "it draws weights itself, thousands of them",
    "day13.patient_e": "it draws the order itself",
    "day13.patient_i": "it draws the division itself",
    "day13.patient_k": "it is given an iterator over random batches",
}
SAME_SIZE = {
    **dict.fromkeys(
        ("day05.train_and_val", "day06.repaired_loop", "day13.patient_a", "day13.patient_c", "day13.patient_f"),
        "a program to be mended that asks nothing of sizes: one set of data or one network is enough",
    ),
    "day11.both_losses": "what it is given is a history; the losses differ",
    "day17.mended_net": "the network to be mended is of one size",
    "day07.gradient_flow": "what it is given is a network; sizes of its gradients differ by layer",
    "day13.patient_h": "it is called once, and gives two loaders of different lengths",
}


def test_exceptions_are_exercises() -> None:
    assert SAME_EVERY_TIME.keys() | SAME_SIZE.keys() <= set(IDS)


@pytest.mark.parametrize("exercise_id", IDS)
def test_some_cases_are_random_and_of_several_sizes(exercise_id: str) -> None:
    """Seen by checking the reference with two seeds; and it is right whatever numbers are drawn."""
    reference = answer_in(exercise_id, "solution")
    _, found = cases(exercise_id, reference)
    outcome, others = cases(exercise_id, reference, seed=OTHER_SEED)
    assert outcome.passed, f"refused with other random numbers: {text_of(outcome)}"
    if not callable(reference):  # a value is there or not; nothing is tried
        assert not found
        return
    assert found, "the check never calls the answer"
    random = any(case not in others for case in found)
    assert random != (exercise_id in SAME_EVERY_TIME), f"{len(found)} cases, random ones: {random}"
    with_size = {sizes(case) for case in found} - {()}
    assert len(with_size) != 1 or exercise_id in SAME_SIZE, f"all {len(found)} cases are of one size: {with_size}"


def test_a_check_without_its_random_cases_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this test file is for, on one exercise: numbers that do not depend on the seed are no random ones."""
    from nnlab_helpers.exercises.checking.trial import Trial

    reference = answer_in("day03.leaky_relu_grad", "solution")
    assert cases("day03.leaky_relu_grad", reference)[1] != cases("day03.leaky_relu_grad", reference, seed=1)[1]
    monkeypatch.setattr(Trial, "randn", lambda trial, *shape: torch.ones(shape))
    assert cases("day03.leaky_relu_grad", reference)[1] == cases("day03.leaky_relu_grad", reference, seed=1)[1]


def test_a_description_tells_values_apart_and_outlives_a_change() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.ones(2, 3)
    values = [
        1, 1.5, "a", None, [1], (1,), {"a": 1}, {"a": 2}, x, torch.zeros(2, 3), torch.ones(3, 2), np.ones(2), generator,
        torch.nn.Linear(1, 2), lambda: x,
    ]  # fmt: skip
    told = [description(value) for value in values]
    assert all(one not in told[:number] for number, one in enumerate(told))
    assert told == [description(value) for value in values]
    x.zero_()
    assert description(x) == description(torch.zeros(2, 3)) != told[8]


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (torch.ones(2, 3), (2, 3)),
        (np.ones(4), (4,)),
        ([1, 2], (2, (), ())),
        ([torch.ones(2), 1], (2, (2,), ())),
        (1.5, ()),
        ("a", ()),
    ],
)
def test_sizes(value, size) -> None:
    assert sizes(description(value)) == size
