"""Models in wrappers: what `torch.compile` and data parallelism put before the names of weights is left out here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

COMPILED = "_orig_mod."


def weights_of(model: nn.Module) -> dict[str, Any]:
    """The `state_dict()` of `model`, under the names it has without wrappers."""
    return {plain_name(name): value for name, value in _bare(model).state_dict().items()}


def put_weights(model: nn.Module, weights: Mapping[str, Any]) -> None:
    """Load what `weights_of` gave, of this model or of one that is wrapped in another way."""
    bare = _bare(model)
    bare.load_state_dict({name: weights[plain_name(name)] for name in bare.state_dict()})


def state_of(part: Any) -> dict[str, Any]:
    """The state of a part of a run: of a module its weights, of anything else its `state_dict()`."""
    return weights_of(part) if isinstance(part, nn.Module) else part.state_dict()


def put_state(part: Any, state: dict[str, Any]) -> None:
    """Load what `state_of` gave."""
    put_weights(part, state) if isinstance(part, nn.Module) else part.load_state_dict(state)


def plain_name(name: str) -> str:
    """The name of a weight, without what compiling a part of the model put into it."""
    return name.replace(COMPILED, "")


def _bare(model: nn.Module) -> nn.Module:
    while True:
        if isinstance(model, (nn.DataParallel, DistributedDataParallel)):
            model = model.module
        elif "_orig_mod" in dict(model.named_children()):  # torch.compile's
            model = model.get_submodule("_orig_mod")
        else:
            return model
