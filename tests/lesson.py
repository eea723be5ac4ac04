"""A lesson's own definitions, importable in tests without running the lesson."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def definitions(stem: str, *names: str, folder: str = "", root: Path = NOTEBOOKS) -> SimpleNamespace:
    """The functions, classes and constants `names` of the lesson `stem`, as attributes of a namespace.

    Only these statements at the top level of `notebooks/[folder/]py/<stem>.py` run, in their order: imports,
    `def` and `class`, assignments of constants (`LIMITS = (-8, 8)`) and of lambdas, `device = pick_device()`,
    and any assignment to one of `names`. Where a name is defined more than once, the last definition counts.

    >>> definitions("day03_activations", "swish").swish(torch.tensor(0.0))

    Raises: FileNotFoundError if there is no such script; LookupError if it does not define one of `names`.
    """
    path = root / folder / "py" / f"{stem}.py"
    if not path.is_file():
        raise FileNotFoundError(f"no lesson script at {path}")
    module = ModuleType(f"lesson_{folder}_{stem}" if folder else f"lesson_{stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and pickle look a class's module up here
    defined: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8"), str(path)).body:
        targets = _targets(node)
        asked = bool(targets & set(names))
        if not (asked or _is_definition(node)):
            continue
        try:
            exec(compile(ast.Module([node], []), str(path), "exec"), module.__dict__)
        except NameError:  # it needs something that only running the lesson makes
            if asked:
                raise
            continue
        defined |= targets
    missing = [name for name in names if name not in defined]
    if missing:
        raise LookupError(f"{path.name} does not define {', '.join(missing)} at its top level")
    return SimpleNamespace(**{name: getattr(module, name) for name in names})


def _targets(node: ast.stmt) -> set[str]:
    """The names a statement defines: a def, a class or a plain assignment."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
    return set()


def _is_definition(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return True
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    if isinstance(node.value, ast.Lambda) or ast.unparse(node.value) == "pick_device()":
        return True
    return _is_constant(node.value)


def _is_constant(value: ast.expr) -> bool:
    """Numbers, strings, and tuples, lists, sets, dicts and arithmetic of them."""
    allowed = ast.Constant | ast.Tuple | ast.List | ast.Set | ast.Dict | ast.UnaryOp | ast.BinOp
    syntax = ast.unaryop | ast.operator | ast.expr_context
    return all(isinstance(part, allowed | syntax) for part in ast.walk(value))
