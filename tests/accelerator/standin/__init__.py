"""A stand-in accelerator: PyTorch loads it by itself where this package's folder is on PYTHONPATH.

To PyTorch it is a device like CUDA, made by somebody else (`torch.device("standin")`), with memory and random numbers
of its own, and without float64; standin.cpp tells more. It says whether a program keeps its tensors together and bears
other random numbers and roundings. It says nothing about speed, and it has no mixed precision.
"""

from __future__ import annotations

import hashlib
import subprocess
import types
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("standin.cpp")
BUILT = Path(__file__).parents[3] / "build" / "standin"


def library() -> Path:
    """Where the compiled device lies: a name for each version of the source and of PyTorch."""
    digest = hashlib.sha256(SOURCE.read_bytes() + version("torch").encode()).hexdigest()
    return BUILT / f"standin-{digest[:16]}.so"


def build() -> Path:
    """Compile the device where that has not been done: half a minute, with g++.

    Raises:
        FileNotFoundError: there is no g++.
        subprocess.CalledProcessError: it does not compile (with this version of PyTorch).
    """
    made, torch = library(), find_spec("torch")
    assert torch is not None
    assert torch.origin is not None
    home = Path(torch.origin).parent
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        part = made.with_suffix(".part")
        flags = ["-shared", "-fPIC", "-std=c++20", "-O1", "-w"]
        libraries = [f"-L{home / 'lib'}", "-ltorch_cpu", "-lc10"]
        subprocess.run(["g++", *flags, f"-I{home / 'include'}", "-o", part, SOURCE, *libraries], check=True)
        part.replace(made)
    return made


class _CurrentDevice:
    """`with torch.standin.device(...)`: there is only one."""

    def __init__(self, device: object) -> None: ...

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...


def load() -> None:
    """Make the device known to PyTorch, if it has been built."""
    if not library().exists():
        return
    import torch  # is being imported just now, and calls this at its end

    torch.ops.load_library(library())
    torch.utils.rename_privateuse1_backend("standin")
    ops, module = torch.ops.standin, types.ModuleType("torch.standin")
    functions: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda device: None,
        "synchronize": lambda device=None: None,
        "device": _CurrentDevice,
        "manual_seed": ops.manual_seed,
        "manual_seed_all": ops.manual_seed,
        "get_rng_state": lambda device=None: ops.get_rng_state(),
        "set_rng_state": lambda state, device=None: ops.set_rng_state(state),
        "get_amp_supported_dtype": lambda: [],
        "_is_in_bad_fork": lambda: False,
    }
    vars(module).update(functions)
    torch._register_device_module("standin", module)
    torch.utils.generate_methods_for_privateuse1_backend()
    # As with CUDA, `model.to(device)` then moves the parameters and does not make others.
    torch.__future__.set_swap_module_params_on_conversion(True)
    # PyTorch prints by way of float64, except on those devices of which it knows that they have none.
    printing = torch._tensor_str
    printing.tensor_totype = lambda t: t.float() if t.device.type == "standin" else t.double()
