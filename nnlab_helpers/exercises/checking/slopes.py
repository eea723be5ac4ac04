"""The gradients that flow back through a result."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import torch
from torch import nn

from nnlab_helpers.exercises.checking.cases import Case, changed
from nnlab_helpers.exercises.checking.mistakes import Parts


def slopes(
    ask: Callable[[Case], Parts], one: Case, named: Callable[[Case], dict[str, Any]], free: Collection[str] = ()
) -> Parts:
    """Ask with inputs that require gradients, and return the gradient of a fixed random mixture of the results.

    One part for each float tensor among the inputs and each weight of a model, but for those that are `free` to change;
    none if no result depends on them.
    """
    left = [id(part) for name, value in named(one).items() if name in free for part in _tensors(value)]
    one = changed(lambda value: value if id(value) in left else _leaf(value), one)
    given = {name: value for name, value in named(one).items() if name not in free}
    leaves = [found for name, value in given.items() for found in _leaves(name, value)]
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros((), dtype=torch.float64)
    for value in (value for _, part in ask(one) for value in _tensors(part)):
        lots = torch.randn(value.shape, generator=generator, dtype=torch.float64)
        if value.requires_grad:
            total = total + (value * lots.to(value)).sum()
    if not leaves or not total.requires_grad:
        return []
    found = torch.autograd.grad(total, [leaf for _, leaf in leaves], allow_unused=True, materialize_grads=True)
    return [(f"the gradient that flows back to {what}", grad) for (what, _), grad in zip(leaves, found, strict=True)]


def _leaf(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.is_floating_point():
        return value.detach().clone().requires_grad_()
    return value


def _leaves(name: str, value: Any) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, nn.Module):
        yield from ((f"`{part}` of `{name}`", p) for part, p in value.named_parameters() if p.requires_grad)
    elif isinstance(value, torch.Tensor) and value.requires_grad:
        yield f"`{name}`", value
    elif isinstance(value, list | tuple):
        for position, part in enumerate(value):
            yield from _leaves(f"{name}[{position}]", part)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
