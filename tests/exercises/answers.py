"""What an exercise's tests know besides its reference: other right answers, and wrong ones that are really given.

A day's file, `tests/exercises/dayNN.py`, holds

    from answers import Answers

    ANSWERS = {
        "day03.leaky_relu_grad": Answers(
            right=[lambda z: 0.01 + 0.99 * (z > 0)],
            wrong=[
                (lambda z: (z > 0).float(), "derivative of plain ReLU"),  # the answer, and a fragment of its message
                ...,
            ],
        ),
    }

with at least one right answer and three wrong ones whose fragments differ: each wrong answer must get a message with
its own fragment, and with no other. The reference is not repeated here: it is what the solution notebook hands to its
`check`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answers:
    """Answers to one exercise."""

    right: Sequence[Any]
    wrong: Sequence[tuple[Any, str]]
