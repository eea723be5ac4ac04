"""How big a model is: parameters in all, and layer by layer."""

from __future__ import annotations

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
