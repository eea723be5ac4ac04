"""Which code made a result: a digest of a function and of all it uses that may change from one day to the next.

Code written in a notebook or in a module of the user's is followed through every global it names. Of the package itself
the parts that make results count as one piece: any change in them is a change. Installed libraries count by version.
"""

from __future__ import annotations

import ast
import dataclasses
import dis
import functools
import hashlib
import importlib.metadata
import inspect
import platform
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

import nnlab_helpers

PACKAGE = "nnlab_helpers"
MAKES_RESULTS = ("device", "augment", "metrics", "models", "data", "train")  # and not plots, exercises, commands
_PLAIN = (int, float, complex, str, bytes, bool, type(None), type(...))
_MADE_BY_PYTHON = ("__dict__", "__weakref__", "__doc__", "__module__", "__firstlineno__", "__abstractmethods__")
_SLOTS = (types.MemberDescriptorType, types.GetSetDescriptorType)
_DIGITS = 16  # of the digest, in hexadecimal: 64 bits


def code_version(function: Callable[..., Any]) -> str:
    """Return a digest of `function`, of what it calls and reads, and of the versions of Python and its libraries.

    Followed are functions, classes and plain data that it names; comments, line numbers and names of files do not
    count. Tensors and arrays count by their content.

    Raises:
        TypeError: it uses a global object of which nobody can tell whether it has changed (an open file, a lock).

    Example:
        >>> code_version(lambda config, seed: {"loss": 1.0}) == code_version(lambda config, seed: {"loss": 2.0})
        False
    """
    digest = hashlib.sha256(f"python {python_version()} torch {library_version('torch')}".encode())
    for part in _Walk().parts(function, getattr(function, "__qualname__", repr(function))):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:_DIGITS]


class _Walk:
    """Goes through everything that is reached from one object, once."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # the objects too, so that no id is given out twice meanwhile

    def parts(self, value: Any, name: str) -> Iterator[str]:
        """Yield a description of `value`, found under `name`, and of whatever it leads to."""
        if isinstance(value, _PLAIN):
            yield f"{name} {type(value).__name__} {value!r}"
            return
        if id(value) in self._seen:
            yield f"{name} again"
            return
        self._seen[id(value)] = value
        yield f"{name} {type(value).__name__}"
        if isinstance(value, types.ModuleType):
            yield _module(value.__name__)
        elif isinstance(value, functools.partial):
            yield from self._all(enumerate([value.func, *value.args]), name)
            yield from self._all(value.keywords.items(), name)
        elif isinstance(value, types.MethodType):
            yield from self.parts(value.__func__, name)
            yield from self.parts(value.__self__, f"{name}.self")
        elif inspect.isroutine(value) or isinstance(value, type):
            value = inspect.unwrap(value) if callable(value) else value
            yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
            if _is_library(value):
                yield _module(value.__module__ or "builtins")
            elif isinstance(value, type):
                yield from self._class(value, name)
            else:
                yield from self._function(value, name)
        elif isinstance(value, (list, tuple)):
            yield from self._all(enumerate(value), name)
        elif isinstance(value, dict):
            yield from self._all(value.items(), name)
        elif isinstance(value, (set, frozenset)):
            yield repr(sorted(repr(item) for item in value))
        elif isinstance(value, property):
            yield from self._all(enumerate([value.fget, value.fset, value.fdel]), name)
        elif isinstance(value, (staticmethod, classmethod)):
            yield from self.parts(value.__func__, name)
        elif isinstance(value, torch.Tensor):
            yield f"{value.dtype} {tuple(value.shape)}"
            yield hashlib.sha256(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()
        elif isinstance(value, torch.Generator):
            yield from self.parts(value.get_state(), name)
        elif hasattr(value, "__dict__") or dataclasses.is_dataclass(value):
            yield from self.parts(type(value), f"{name}.class")
            names = vars(value) if hasattr(value, "__dict__") else [field.name for field in dataclasses.fields(value)]
            yield from self._all(((key, getattr(value, key)) for key in sorted(names)), name)
        else:
            yield self._content(value, name)

    def _all(self, items: Any, name: str) -> Iterator[str]:
        for key, value in items:
            yield from self.parts(value, f"{name}[{key!r}]")

    def _class(self, cls: type, name: str) -> Iterator[str]:
        for base in cls.__bases__:
            yield from self.parts(base, f"{name}.base")
        for key, value in sorted(vars(cls).items()):
            python_made = key in _MADE_BY_PYTHON or key.startswith("_abc_") or isinstance(value, _SLOTS)
            if not python_made:
                yield from self.parts(value, f"{name}.{key}")

    def _function(self, function: Any, name: str) -> Iterator[str]:
        code = function.__code__
        yield from _code(code)
        yield from self.parts(function.__defaults__ or (), f"{name}.defaults")
        yield from self.parts(function.__kwdefaults__ or {}, f"{name}.kwdefaults")
        for cell, variable in zip(function.__closure__ or (), code.co_freevars, strict=True):
            try:
                yield from self.parts(cell.cell_contents, variable)
            except ValueError:  # not filled yet
                yield f"{variable} empty"
        for variable in sorted(_globals_named(code)):
            if variable in function.__globals__:
                yield from self.parts(function.__globals__[variable], variable)

    def _content(self, value: Any, name: str) -> str:
        import joblib

        try:
            return str(joblib.hash(value))
        except Exception as error:
            raise TypeError(
                f"cannot tell whether {name}, a {type(value).__name__}, has changed since the last run ({error}): "
                "make it inside the function, or pass what matters of it in the configuration"
            ) from error


def _code(code: types.CodeType) -> Iterator[str]:
    yield code.co_code.hex()
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount, code.co_kwonlyargcount))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _code(constant)
        elif isinstance(constant, frozenset):
            yield repr(sorted(map(repr, constant)))
        else:
            yield repr(constant)


def _globals_named(code: types.CodeType) -> set[str]:
    found = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found |= _globals_named(constant)
    return found


def _is_library(value: Any) -> bool:
    """Whether `value` is the package's, an installed library's or Python's own, and not written by the user."""
    name = getattr(value, "__module__", None) or "builtins"
    if name == "__main__" or name not in sys.modules:
        return False
    top = name.partition(".")[0]
    if top == PACKAGE or top in sys.stdlib_module_names or not (isinstance(value, type) or hasattr(value, "__code__")):
        return True
    file = getattr(sys.modules[name], "__file__", None) or ""
    return any(part in ("site-packages", "dist-packages") for part in Path(file).parts)


def _module(name: str) -> str:
    top = name.partition(".")[0]
    if top == PACKAGE:
        return f"{PACKAGE} {package_digest()}"
    return f"{top} {library_version(top)}"


@functools.cache
def library_version(module: str) -> str:
    """Return the installed version of a module's library, or Python's for a module of its own."""
    if module in sys.stdlib_module_names:
        return python_version()
    try:
        return importlib.metadata.version(module)
    except importlib.metadata.PackageNotFoundError:
        return str(getattr(sys.modules.get(module), "__version__", "unknown"))


def python_version() -> str:
    """Python without its last number: repairs of Python leave its code as it is."""
    return ".".join(platform.python_version_tuple()[:2])


@functools.cache
def package_digest() -> str:
    """Return a digest of the code of the package's `MAKES_RESULTS`, as it was when first asked.

    Comments, docstrings and layout do not count.
    """
    root = Path(str(nnlab_helpers.__file__)).parent
    digest = hashlib.sha256()
    files = [path for part in MAKES_RESULTS for path in (root / f"{part}.py", *(root / part).rglob("*.py"))]
    for path in sorted(path for path in files if path.exists()):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + _bare(path).encode() + b"\0")
    return digest.hexdigest()[:_DIGITS]


def _bare(path: Path) -> str:
    """The syntax of a source file without its docstrings."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return ast.dump(tree)
