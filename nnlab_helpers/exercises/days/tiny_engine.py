"""The scalar engine of day 1, for checks that take a learner's operation through it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


class Value:
    """The lesson's number that remembers which numbers it was made from (a test holds the two to be alike)."""

    def __init__(self, data: float, symbol: str = "", inputs: Sequence[tuple[Any, float]] = ()) -> None:
        """Hold `data`, made by `symbol` from `inputs`: pairs of a Value and the local slope."""
        self.data = float(data)
        self.grad = 0.0
        self.symbol = symbol
        self.inputs = inputs

    def __add__(self, other: Any) -> Value:
        """Sum; moves one for one with either."""
        return Value(self.data + other.data, "+", [(self, 1.0), (other, 1.0)])

    def __mul__(self, other: Any) -> Value:
        """Product; moves with each at the rate of the other."""
        return Value(self.data * other.data, "×", [(self, other.data), (other, self.data)])

    def tanh(self) -> Value:
        """Squeeze into (-1, 1)."""
        value = math.tanh(self.data)
        return Value(value, "tanh", [(self, 1 - value * value)])


def slopes(result: Any, *leaves: Any) -> tuple[float, ...]:
    """Slopes of `result` with respect to `leaves`, by way of `inputs`; touches nobody's `grad`.

    Raises:
        TypeError: somewhere on the way `inputs` are not pairs of a Value and a number.
    """
    order: list[Any] = []
    seen: set[int] = set()

    def visit(value: Any) -> None:
        if id(value) in seen:
            return
        seen.add(id(value))
        for pair in value.inputs:
            if not (isinstance(pair, tuple | list) and len(pair) == 2 and hasattr(pair[0], "inputs")):
                raise TypeError(f"{pair!r:.60}")
            if not isinstance(pair[1], int | float):
                raise TypeError(f"{pair[1]!r:.60} as a slope")
            visit(pair[0])
        order.append(value)

    visit(result)
    grads = {id(value): 0.0 for value in (*order, *leaves)}
    grads[id(result)] = 1.0
    for value in reversed(order):
        for source, slope in value.inputs:
            grads[id(source)] += slope * grads[id(value)]
    return tuple(grads[id(leaf)] for leaf in leaves)
