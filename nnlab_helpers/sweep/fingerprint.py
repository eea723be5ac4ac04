"""Which code made a result: a digest of a function and of all it uses that may change from one day to the next.

Code written in a notebook or in a module of the user's is followed through every global it names; a module that it
uses by name (`import mine`) counts whole. Of the package itself the parts that make results count as one piece: any
change in them is a change. Installed libraries count by version.
"""

from __future__ import annotations

import ast
import dataclasses
import dis
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
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


def code_version(function: Callable[..., Any], *, rounding: bool = True) -> str:
    """Return a digest of `function`, of what it calls and reads, and of the versions of Python and its libraries.

    Followed are functions, classes and plain data that it names, and what it uses of the user's own modules, which also
    count by their source, imports within the function included. Comments, line numbers and names of files do not count.

    Args:
        function: any callable.
        rounding: whether tensors of floats count by their content, to the last bit, as everything else does; if not,
            by their dtype and shape alone, so that the digest is the same on processors that round differently.

    Raises:
        TypeError: it uses a global object that cannot be checked for changes (an open file, a lock).

    Example:
        >>> code_version(lambda config, seed: {"loss": 1.0}) == code_version(lambda config, seed: {"loss": 2.0})
        False
    """
    digest = hashlib.sha256(f"python {python_version()} torch {library_version('torch')}".encode())
    for part in _Walk(rounding).parts(function, getattr(function, "__qualname__", repr(function))):
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()[:_DIGITS]


class _Walk:
    """Goes through everything that is reached from one object, once."""

    def __init__(self, rounding: bool = True) -> None:
        self._rounding = rounding
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
            yield _source_of(value) if _is_users_own(value) else _module(value.__name__)
        elif isinstance(value, functools.partial):
            yield from self._all(enumerate([value.func, *value.args]), name)
            yield from self._all(value.keywords.items(), name)
        elif isinstance(value, types.MethodType):
            yield from self.parts(value.__func__, name)
            yield from self.parts(value.__self__, f"{name}.self")
        elif inspect.isroutine(value) or isinstance(value, type):
            value = inspect.unwrap(value) if callable(value) else value
            yield f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
            if is_library(value):
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
            if value.is_floating_point() and not self._rounding:
                return
            yield hashlib.sha256(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data).hexdigest()
        elif isinstance(value, torch.Generator):
            yield from self.parts(value.get_state(), name)
        elif hasattr(value, "__dict__") or dataclasses.is_dataclass(value):
            yield from self._object(value, name)
        else:
            yield self._content(value, name)

    def _object(self, value: Any, name: str) -> Iterator[str]:
        names = vars(value) if hasattr(value, "__dict__") else [field.name for field in dataclasses.fields(value)]
        yield from self.parts(type(value), f"{name}.class")
        try:
            found = list(self._all(((key, getattr(value, key)) for key in sorted(names)), name))
        except TypeError:
            if not is_library(type(value)):
                raise
            found = [self._content(value, name)]  # a library's object, such as a table of pandas, as a whole
        yield from found

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
                used = function.__globals__[variable]
                yield from self.parts(used, variable)
                yield from self._used_of(used, variable, code)
        for module in _imported_within(code, function.__globals__.get("__package__") or ""):
            yield from self.parts(module, module.__name__)
            yield from self._used_of(module, module.__name__, code)

    def _used_of(self, module: Any, name: str, code: types.CodeType) -> Iterator[str]:
        """What `code` may use of a module of the user's: whatever it has under a name that occurs in the code."""
        if isinstance(module, types.ModuleType) and _is_users_own(module):
            for attribute in sorted(_names_in(code) & vars(module).keys()):
                value = vars(module)[attribute]
                if id(value) not in self._seen or isinstance(value, _PLAIN):
                    yield from self.parts(value, f"{name}.{attribute}")
                    yield from self._used_of(value, f"{name}.{attribute}", code)

    def _content(self, value: Any, name: str) -> str:
        import joblib

        try:
            return str(joblib.hash(value))
        except Exception as error:
            raise TypeError(
                f"{name}, a {type(value).__name__}, cannot be checked for changes since the last run ({error}): "
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


def _names_in(code: types.CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    return set(code.co_names).union(*map(_names_in, inner))


def _imported_within(code: types.CodeType, package: str) -> Iterator[types.ModuleType]:
    """The user's own modules that a function imports when it is called (and so may be imported now)."""
    steps = list(dis.get_instructions(code))
    for number, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":
            level, names = (before.argval for before in steps[number - 2 : number])  # as `import` itself takes them
            for name in (str(step.argval), *(f"{step.argval}.{inner}" for inner in names or ())):
                yield from _users_modules(name, package, level)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _imported_within(constant, package)


def _users_modules(name: str, package: str, level: int) -> Iterator[types.ModuleType]:
    """The module called `name`, and those that it lies in, where they are the user's own."""
    try:
        parts = importlib.util.resolve_name("." * level + name, package if level else None).split(".")
        for end in range(1, len(parts) + 1):
            spec = importlib.util.find_spec(".".join(parts[:end]))
            if spec is None or _of_library(parts[0], spec.origin):
                return
            yield importlib.import_module(".".join(parts[:end]))
    except Exception:  # no module, or one that cannot be imported: the run will say so
        return


def is_library(value: Any) -> bool:
    """Whether `value` is the package's, an installed library's or Python's own, and not written by the user."""
    name = getattr(value, "__module__", None) or "builtins"
    if name == "__main__" or name not in sys.modules:
        return False
    if not (isinstance(value, type) or hasattr(value, "__code__")):
        return True
    return _of_library(name.partition(".")[0], getattr(sys.modules[name], "__file__", None))


def _is_users_own(module: types.ModuleType) -> bool:
    file, top = getattr(module, "__file__", None), module.__name__.partition(".")[0]
    return top != "__main__" and file is not None and not _of_library(top, file)


def _of_library(top: str, file: str | None) -> bool:
    if top == PACKAGE or top in sys.stdlib_module_names:
        return True
    return any(part in ("site-packages", "dist-packages") for part in Path(file or "").parts)


def _source_of(module: types.ModuleType) -> str:
    """A digest of a module's file as it lies there now, which is what another process would import."""
    path = Path(str(module.__file__))
    try:
        return hashlib.sha256(_bare(path).encode()).hexdigest()
    except (OSError, SyntaxError, ValueError):  # not Python's own text: a compiled module
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"


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
