"""Find what belongs to an exercise: the lesson that asks it, its solution, and the answers to try."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib.util
import sys
from pathlib import Path
from typing import Any

from answers import Answers
from lesson import NOTEBOOKS, definitions

from nnlab_helpers.exercises.checking.declare import exercises

FOLDERS = {"lesson": "", "solution": "solutions"}
IDS = [found.id for found in exercises()]
DECLARED = [found.id for found in exercises() if found.formula]  # by a reference, cases and mistakes


@functools.cache
def answers() -> dict[str, Answers]:
    """All `ANSWERS` of the files dayNN.py beside this one."""
    found: dict[str, Answers] = {}
    for path in sorted(Path(__file__).parent.glob("day[0-9][0-9].py")):
        spec = importlib.util.spec_from_file_location(f"exercise_answers_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        found.update(module.ANSWERS)
    return found


@functools.cache
def scripts(kind: str) -> list[Path]:
    """The scripts of all lessons, or of all solutions."""
    return sorted((NOTEBOOKS / FOLDERS[kind] / "py").glob("day[0-9][0-9]_*.py"))


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


@functools.cache
def calls(path: Path, function: str = "check") -> list[tuple[str, ast.Call]]:
    """The ids and calls of `check("...", ...)` or `hint("...")` in a script, in their order."""
    return [
        (node.args[0].value, node)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == function
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]


@functools.cache
def script_of(exercise_id: str, kind: str) -> Path:
    """The one lesson, or the one solution, that checks this exercise."""
    found = [path for path in scripts(kind) if any(id == exercise_id for id, _ in calls(path))]
    assert len(found) == 1, f"{exercise_id} is checked in {len(found)} {kind}s: {[path.name for path in found]}"
    assert found[0].stem.startswith(exercise_id[:5] + "_"), f"{exercise_id} is checked in {found[0].name}"
    return found[0]


def handed_over(exercise_id: str, kind: str) -> tuple[ast.expr, list[str]]:
    """What a lesson or solution hands to (its last) `check` of this exercise, and the names in it."""
    path = script_of(exercise_id, kind)
    value = [call.args[1] for id, call in calls(path) if id == exercise_id][-1]
    names = [node.id for node in ast.walk(value) if isinstance(node, ast.Name) and not hasattr(builtins, node.id)]
    return value, names


def answer_in(exercise_id: str, kind: str) -> Any:
    """The stub that the lesson hands to `check`, or the reference that the solution does."""
    value, names = handed_over(exercise_id, kind)
    found = definitions(script_of(exercise_id, kind).stem, *names, folder=FOLDERS[kind])
    return eval(compile(ast.Expression(value), "<check>", "eval"), vars(found))


def defining_statement(exercise_id: str, kind: str) -> tuple[ast.stmt, str]:
    """The last top-level statement that defines what is handed to `check`, and the name it defines."""
    _, names = handed_over(exercise_id, kind)
    for statement in reversed(tree(script_of(exercise_id, kind)).body):
        defined = [getattr(statement, "name", None)]
        if isinstance(statement, ast.Assign):
            parts = [part for target in statement.targets for part in ast.walk(target)]
            defined = [part.id for part in parts if isinstance(part, ast.Name)]
        if set(defined) & set(names):
            return statement, next(name for name in defined if name in names)
    raise AssertionError(f"{script_of(exercise_id, kind).name} does not define what it hands to check: {names}")


def text_of(outcome: Any) -> str:
    """All that the learner reads."""
    return "\n".join((outcome.headline, *outcome.notes))
