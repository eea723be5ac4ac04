"""The layers of the package: imports point down the table only, and nothing heavy loads before it is needed."""

from __future__ import annotations

import ast
import graphlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

import nnlab_helpers

ROOT = Path(nnlab_helpers.__file__).parent
# A module may import only modules that stand earlier.
LAYERS = [
    *("files", "device", "augment", "metrics", "models", "data", "tracking"),
    *("train", "sweep", "exercises", "plots", "pairs", "cli"),
]
HEAVY = {"torchvision", "pandas", "sklearn", "scipy", "joblib", "torchmetrics", "matplotlib", "tensorboard"}
MAY_LOAD = {"plots": {"matplotlib"}}
LIGHT = ["nnlab_helpers", *(f"nnlab_helpers.{layer}" for layer in LAYERS if layer not in ("plots", "pairs", "cli"))]
LIGHT = [name for name in LIGHT if importlib.util.find_spec(name)]  # a layer may still wait to be written

FILES = sorted(ROOT.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def layer_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "nnlab_helpers" and len(parts) > 1 else None


def imports_of(path: Path, tree: ast.AST) -> set[str]:
    """Names of all modules imported in `tree`, relative ones resolved."""
    found: set[str] = set()
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:  # `from nnlab_helpers import plots` imports the module plots
                full = f"{base}.{alias.name}"
                found.add(full if full in MODULES else base)
    return found


def at_import_time(tree: ast.Module) -> ast.Module:
    """`tree` without function bodies and `if TYPE_CHECKING:` blocks."""

    class Strip(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.AST) -> None:
            return None

        visit_AsyncFunctionDef = visit_FunctionDef

        def visit_If(self, node: ast.If) -> ast.AST | None:
            if "TYPE_CHECKING" in ast.unparse(node.test):
                return None
            return self.generic_visit(node)

    return ast.fix_missing_locations(Strip().visit(tree))


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_imports_point_down(path):
    module = module_name(path)
    layer = layer_of(module)
    if layer is None:
        assert not [name for name in imports_of(path, ast.parse(path.read_text())) if layer_of(name)]
        return
    assert layer in LAYERS, f"{module} has no place in the order of layers: add it to LAYERS"
    for imported in imports_of(path, ast.parse(path.read_text())):
        below = layer_of(imported)
        if below is not None and below != layer:
            assert LAYERS.index(below) < LAYERS.index(layer), f"{module} imports {imported}, which stands above it"


def test_no_import_circles():
    graph = {
        name: {other for other in imports_of(path, at_import_time(ast.parse(path.read_text()))) if other in MODULES}
        for name, path in MODULES.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError and names the circle


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_heavy_modules_are_imported_where_they_are_used(path):
    tree = at_import_time(ast.parse(path.read_text()))
    top = {name.split(".")[0] for name in imports_of(path, tree)}
    assert not (top & HEAVY) - MAY_LOAD.get(layer_of(module_name(path)) or "", set())


def test_nothing_heavy_loads_with_the_package():
    code = f"""
import importlib, sys
for name in {LIGHT}:
    importlib.import_module(name)
    loaded = sorted({HEAVY} & set(sys.modules))
    assert not loaded, f"importing {{name}} loads {{loaded}}"
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_jupyter_and_nnlab_start_without_building_parsers():
    """Newer versions of jsonschema import one with a parser for each part of an address: 2 s at every start."""
    code = "import sys, nbformat; sys.exit('lark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr or "importing nbformat loads lark"
