"""How big a model is: parameters in all, and layer by layer; how wide one may be that must not be bigger."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    import pandas


def count_parameters(model: nn.Module, trainable_only: bool = True) -> int:
    """Count the numbers in the parameters of `model`; a parameter shared by two layers counts once.

    Args:
        model: any module.
        trainable_only: leave out frozen parameters (`requires_grad=False`).

    Example:
        >>> count_parameters(nn.Linear(3, 2))
        8
    """
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trainable_only)


def width_for_budget(budget: int, depth: int, in_features: int = 784, out_features: int = 10) -> int:
    """Return the largest hidden width at which an `MLP` of `depth` equal hidden layers has at most `budget` parameters.

    Args:
        budget: weights and biases in all.
        depth: hidden layers, all of the same width.
        in_features: numbers per sample.
        out_features: logits per sample.

    Raises:
        ValueError: a depth or size below 1, or a budget too small for a width of 1.

    Example:
        >>> width_for_budget(50_000, depth=1), width_for_budget(50_000, depth=8)
        (62, 44)
    """
    if min(depth, in_features, out_features) < 1:
        raise ValueError(f"depth and sizes must be at least 1, got depth {depth}, {in_features} in, {out_features} out")
    # With the width w the count is (in_features + 1) w + (depth - 1) (w + 1) w + (w + 1) out_features.
    square, linear = depth - 1, in_features + depth + out_features
    least = square + linear + out_features
    if budget < least:
        raise ValueError(f"{depth} hidden layers of one unit take {least} parameters already: {budget} are too few")
    rest = budget - out_features
    if not square:
        return rest // linear
    return (math.isqrt(linear**2 + 4 * square * rest) - linear) // (2 * square)


def parameter_table(model: nn.Module) -> pandas.DataFrame:
    """List the layers of `model` that own parameters: their kind, shapes and counts, with a last row for the total.

    Returns:
        A frame indexed by the layer's name, with the columns `kind`, `shapes` (text such as "weight [256, 784], bias
        [256]"), `parameters` and `trainable` (counts). A parameter shared by two layers counts with the first one.
    """
    import pandas

    rows = []
    seen: set[int] = set()
    for name, module in model.named_modules():
        owned = {key: p for key, p in module.named_parameters(recurse=False) if id(p) not in seen}
        seen.update(id(p) for p in owned.values())
        if owned:
            rows.append(
                {
                    "layer": name or "(model)",
                    "kind": type(module).__name__,
                    "shapes": ", ".join(f"{key} {list(p.shape)}" for key, p in owned.items()),
                    "parameters": sum(p.numel() for p in owned.values()),
                    "trainable": sum(p.numel() for p in owned.values() if p.requires_grad),
                }
            )
    total = {"layer": "total", "kind": "", "shapes": "", "parameters": sum(r["parameters"] for r in rows)}
    rows.append({**total, "trainable": sum(r["trainable"] for r in rows)})
    return pandas.DataFrame(rows, columns=["layer", "kind", "shapes", "parameters", "trainable"]).set_index("layer")
