"""Tell an exercise that nobody has touched yet from an attempt."""

from __future__ import annotations

import ast
import contextlib
import dis
import functools
import inspect
import textwrap
import types
from typing import Any

from nnlab_helpers.exercises.checking.learner_code import INSTALLED

EMPTY = {"RESUME", "NOP", "LOAD_CONST", "RETURN_CONST", "RETURN_VALUE", "COPY_FREE_VARS", "MAKE_CELL"}


def untouched(answer: Any) -> bool:
    """Return whether nothing was filled in: None, `...`, collections of them, a function or class of stubs only."""
    if answer is None or answer is Ellipsis:
        return True
    if isinstance(answer, list | tuple | dict):
        parts = list(dict.values(answer) if isinstance(answer, dict) else answer)
        return bool(parts) and all(part is None or part is Ellipsis for part in parts)
    if isinstance(answer, type):
        functions = _methods(answer)
        if functions:  # a constructor that only calls its parent's waits for nothing: all else is inherited
            return all(map(_stub, functions)) and not all(map(_only_calls_parent, functions))
        own = {name for name in vars(answer) if not (name.startswith("__") and name.endswith("__"))}
        return not own and answer.__bases__ == (object,)
    function = _function(answer)
    return function is not None and _stub(function)


def marked(answer: Any) -> bool:
    """Return whether a `...` that waits for the learner's code still stands in a function or class."""
    if not isinstance(answer, type) and _function(answer) is None:
        answer = type(answer)
    functions = _methods(answer) if isinstance(answer, type) else [_function(answer)]
    trees = [tree for function in functions if function for tree in _tree(function)]
    return any(_waits(node) for tree in trees for node in ast.walk(tree))


def _waits(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr | ast.Assign | ast.AnnAssign | ast.Return) else None
    return isinstance(value, ast.Constant) and value.value is Ellipsis


def _function(answer: Any) -> types.FunctionType | None:
    if isinstance(answer, functools.partial):
        answer = answer.func
    if isinstance(answer, types.MethodType):
        answer = answer.__func__
    if isinstance(answer, types.FunctionType | functools._lru_cache_wrapper):  # others may raise anything when asked
        with contextlib.suppress(ValueError):
            answer = inspect.unwrap(answer)
    return answer if isinstance(answer, types.FunctionType) else None


def _methods(cls: type) -> list[types.FunctionType]:
    """The functions that the learner wrote in a class; none for a class that came with a library."""
    found = []
    for value in vars(cls).values():
        if isinstance(value, staticmethod | classmethod):
            value = value.__func__
        if isinstance(value, property):
            value = value.fget
        if isinstance(value, types.FunctionType):
            file = value.__code__.co_filename
            if not file.startswith(INSTALLED) and file != "<string>":  # a dataclass's own methods come from a string
                found.append(value)
    return found


def _tree(function: types.FunctionType) -> list[ast.stmt]:
    """The statement that defines `function`, if its source can be found."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function))).body
    except (OSError, TypeError, SyntaxError, IndentationError):
        return []


def _stub(function: types.FunctionType) -> bool:
    tree = _tree(function)
    if tree and isinstance(tree[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return all(_says_nothing(statement) for statement in tree[0].body)
    # Without the source (typed at a prompt, built by exec) the compiled code tells as much about plain stubs.
    code = function.__code__
    returns = [i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_CONST", "RETURN_CONST")]
    return {i.opname for i in dis.get_instructions(code)} <= EMPTY and set(returns) <= {None, Ellipsis}


def _only_calls_parent(function: types.FunctionType) -> bool:
    """Nothing but `super().__init__(...)` and perhaps a docstring."""
    tree = _tree(function)
    body = tree[0].body if tree and isinstance(tree[0], ast.FunctionDef) else []
    calls = [ast.unparse(statement).startswith("super().__init__(") for statement in body]
    return any(calls) and all(calls[1:]) and (calls[0] or isinstance(getattr(body[0], "value", None), ast.Constant))


def _says_nothing(statement: ast.stmt) -> bool:
    """A docstring, `...`, `pass`, `return None`, `raise NotImplementedError` or the usual `super().__init__()`."""
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Raise):
        return "NotImplemented" in ast.unparse(statement)
    if isinstance(statement, ast.Return):
        return statement.value is None or (
            isinstance(statement.value, ast.Constant) and statement.value.value in (None, Ellipsis)
        )
    if isinstance(statement, ast.Expr):
        if isinstance(statement.value, ast.Constant):
            return statement.value.value is Ellipsis or isinstance(statement.value.value, str)
        return ast.unparse(statement.value).startswith("super().__init__(")
    return False
