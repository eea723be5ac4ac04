"""What a learner's code really calls, for exercises whose text forbids something."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch.overrides import TorchFunctionMode

from nnlab_helpers.exercises.checking.learner_code import is_learners

# Patterns for `forbids=`.
AUTOGRAD = (
    *("torch.autograd.grad", "torch.autograd.backward", "torch.autograd.functional.*", "torch.autograd.forward_ad.*"),
    *("torch._functorch.eager_transforms.*", "torch._functorch.apis.grad*", "torch._functorch.apis.vjp*"),
)
LAYERS = ("torch.nn.modules.*.__init__",)  # building one, also the learner's own
CONVOLUTIONS = (
    *("torch*.conv?d", "torch*.conv_t*", "torch*.*convolution"),
    *("numpy.*convolve", "scipy.*convolve*", "scipy.*correlate*"),
)


def called(*names: str) -> tuple[str, ...]:
    """Patterns for functions, methods and layers of torch, NumPy and SciPy: `called("group_norm", "GroupNorm")`."""
    return tuple(f"{library}*.{name}{end}" for name in names for library in ("torch", "numpy", "scipy")
                 for end in ("", ".__init__"))  # fmt: skip


@dataclass
class Calls:
    """The full names of what was called, as in "torch.nn.functional.relu", "torch._C.TensorBase.exp", "math.exp"."""

    names: dict[str, int] = field(default_factory=dict)

    def note(self, name: str) -> None:
        """Count a call."""
        self.names[name] = self.names.get(name, 0) + 1

    def first(self, patterns: Sequence[str]) -> str | None:
        """Return the first name that fits one of the patterns (`*` for anything)."""
        return next((name for name in self.names if any(fnmatchcase(name, p) for p in patterns)), None)

    @property
    def count(self) -> int:
        """How many calls of tensor operations and of library functions were made: it grows with a loop's length."""
        return sum(self.names.values())


class _Functions(TorchFunctionMode):
    def __init__(self, calls: Calls) -> None:
        super().__init__()
        self.calls = calls

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.note(_name(func))
        return func(*args, **(kwargs or {}))


def _name(function: Any) -> str:
    """As in "torch.nn.functional.relu", "torch._C.TensorBase.exp", "builtins.len"."""
    module = getattr(function, "__module__", None) or getattr(getattr(function, "__objclass__", None), "__module__", "")
    return f"{module}.{getattr(function, '__qualname__', '')}"


@contextmanager
def traced() -> Iterator[Calls]:
    """Note all that is called inside: functions, methods and operators of torch, functions of other libraries.

    The learner's own functions, whatever they are called, are not noted; what they call is. NumPy's ufuncs (`np.exp`)
    leave no trace. (A `TorchDispatchMode` would see still more, but loads torch._dynamo, for seconds.)
    """
    calls = Calls()

    def profile(frame: types.FrameType, event: str, arg: Any) -> None:
        if event == "call" and not is_learners(frame) and frame.f_globals.get("__name__") != __name__:
            calls.note(f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}")
        elif event == "c_call":
            calls.note(_name(arg))

    before = sys.getprofile()
    with _Functions(calls):
        sys.setprofile(profile)
        try:
            yield calls
        finally:
            sys.setprofile(before)


def forbidden(calls: Calls, forbids: Mapping[str, Sequence[str]]) -> str | None:
    """Return the first message of `forbids` (message -> patterns) of which something was called."""
    return next((message for message, patterns in forbids.items() if calls.first(patterns)), None)
