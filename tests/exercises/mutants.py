"""Small changes to a piece of code: the slips that a learner makes, and that a checker must notice."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

SWAPPED_OPERATORS: dict[type, list[type]] = {
    ast.Add: [ast.Sub], ast.Sub: [ast.Add], ast.Mult: [ast.Div], ast.Div: [ast.Mult], ast.FloorDiv: [ast.Div],
    ast.Pow: [ast.Mult], ast.Mod: [ast.FloorDiv], ast.MatMult: [ast.Mult],
    ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq], ast.NotEq: [ast.Eq], ast.Is: [ast.IsNot], ast.IsNot: [ast.Is],
    ast.In: [ast.NotIn], ast.NotIn: [ast.In], ast.And: [ast.Or], ast.Or: [ast.And],
}  # fmt: skip
SWAPPED_NAMES = {
    "mean": "sum", "sum": "mean", "max": "min", "min": "max", "argmax": "argmin", "argmin": "argmax", "train": "eval",
    "eval": "train", "zeros": "ones", "ones": "zeros", "zeros_like": "ones_like", "ones_like": "zeros_like",
    "exp": "log", "log": "exp", "softmax": "sigmoid", "sqrt": "square", "maximum": "minimum", "minimum": "maximum",
}  # fmt: skip
MODULES = ("torch", "F", "nn", "np", "math")
CONVERSIONS = ("item", "tolist", "float")  # a checker takes a number in whatever form it comes
LEFT_ALONE = (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)


@dataclass(frozen=True)
class Mutant:
    """A statement with one change in it; `change` names it, as "the line before  ->  the line after"."""

    change: str
    code: str


def mutants(original: ast.stmt) -> list[Mutant]:
    """All single changes to `original`, each of them once, in a fixed order."""
    module = ast.Module([copy.deepcopy(original)], [])  # each change is made here and taken back
    places = dict(nodes_and_places(module, original))
    found = {ast.unparse(module): Mutant("", "")}
    skipped = {inner for node in places for part in left_alone(node) for inner in ast.walk(part)}
    for node in ast.walk(module.body[0]):
        choices = [] if node in skipped else list(replacements(node))
        if None in choices and (places[node].field not in ("body", "orelse") or places[node].parent is module):
            choices.remove(None)
        before = first_line(places[node].statement) if choices else ""
        for choice in choices:
            with replaced(places[node], choice):
                text = ast.unparse(module)
                if text in found:
                    continue
                after = choice if isinstance(choice, ast.stmt) else places[node].statement
                found[text] = Mutant(f"{before}  ->  {'(removed)' if choice is None else first_line(after)}", text)
    return list(found.values())[1:]


@dataclass(frozen=True)
class Place:
    """Where a node stands: in a field of its parent (at `index`, if that is a list), in the innermost statement."""

    parent: ast.AST
    field: str
    index: int | None
    statement: ast.stmt


def nodes_and_places(parent: ast.AST, statement: ast.stmt) -> Iterator[tuple[ast.AST, Place]]:
    """All nodes below `parent`, which stands in `statement`."""
    for field, value in ast.iter_fields(parent):
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST):
                innermost = node if isinstance(node, ast.stmt) else statement
                yield node, Place(parent, field, index, innermost)
                yield from nodes_and_places(node, innermost)


@contextmanager
def replaced(place: Place, choice: ast.AST | None) -> Iterator[None]:
    """Put `choice` there, or nothing; afterwards, what was there before."""
    before = after = getattr(place.parent, place.field)
    if place.index is None:
        after = choice
    else:
        after = [*before[: place.index], *([choice] if choice else []), *before[place.index + 1 :]]
        if place.field == "body" and not after:
            after = [ast.Pass()]
    if choice is not None:
        ast.fix_missing_locations(choice)
    setattr(place.parent, place.field, after)
    try:
        yield
    finally:
        setattr(place.parent, place.field, before)


def left_alone(node: ast.AST) -> list[ast.AST]:
    """The parts of `node` that the lesson gives or a learner does not write: signatures, checks of the input."""
    parts = [getattr(node, name, None) for name in ("args", "returns")] if isinstance(node, ast.FunctionDef) else []
    parts += [*getattr(node, "decorator_list", []), getattr(node, "annotation", None)]
    return [part for part in (*parts, node if isinstance(node, LEFT_ALONE) else None) if part is not None]


def replacements(node: ast.AST) -> Iterator[ast.AST | None]:
    """What may stand in the place of `node`; None for nothing at all."""
    if isinstance(node, ast.Constant):
        yield from map(ast.Constant, other_constants(node.value))
    elif isinstance(node, ast.BinOp):
        for operator in SWAPPED_OPERATORS.get(type(node.op), []):
            yield ast.BinOp(node.left, operator(), node.right)
        if isinstance(node.op, ast.Sub | ast.Div | ast.Pow | ast.MatMult | ast.FloorDiv):
            yield ast.BinOp(node.right, node.op, node.left)
        yield node.left
        yield node.right
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        for operator in SWAPPED_OPERATORS[type(node.ops[0])]:
            yield ast.Compare(node.left, [operator()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(SWAPPED_OPERATORS[type(node.op)][0](), node.values)
        yield from node.values
    elif isinstance(node, ast.Call):
        yield from other_calls(node)
    elif isinstance(node, ast.Dict):
        for one, other in pairwise(range(len(node.values))):
            values = list(node.values)
            values[one], values[other] = values[other], values[one]
            yield ast.Dict(node.keys, values)
    elif isinstance(node, ast.AugAssign):
        for operator in SWAPPED_OPERATORS.get(type(node.op), []):
            yield ast.AugAssign(node.target, operator(), node.value)
        yield ast.Assign([node.target], node.value)
        yield None
    elif isinstance(node, ast.If | ast.While):
        negated = ast.UnaryOp(ast.Not(), node.test)
        yield type(node)(negated, node.body, node.orelse)
        yield None
    elif isinstance(node, ast.Assign | ast.For | ast.With | ast.Expr):
        if not isinstance(node.value if isinstance(node, ast.Expr) else None, ast.Constant):  # a docstring stays
            yield None
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.expr):
        if isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
            yield ast.Return(ast.Tuple(node.value.elts[::-1], ast.Load()))
        elif not isinstance(node.value, ast.Tuple | ast.List | ast.Dict | ast.Constant):
            yield ast.Return(ast.UnaryOp(ast.USub(), node.value))


def other_constants(value: object) -> list[object]:
    """The constants that a slip would put in the place of `value`."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1, *([-value] if value > 1 else [])]
    if isinstance(value, float):
        return [2 * value, value / 2, -value] if value else [1.0]
    return []


def other_calls(call: ast.Call) -> Iterator[ast.expr]:
    """A call with two arguments exchanged, one left out, a function for its opposite, or no call at all."""
    plain = [arg for arg in call.args if not isinstance(arg, ast.Starred)]
    if len(plain) == len(call.args) >= 2:
        yield ast.Call(call.func, [call.args[1], call.args[0], *call.args[2:]], call.keywords)
    for position in range(len(call.keywords)):
        yield ast.Call(call.func, call.args, call.keywords[:position] + call.keywords[position + 1 :])
    if isinstance(call.func, ast.Attribute):
        other = SWAPPED_NAMES.get(call.func.attr)
        if other:
            yield ast.Call(ast.Attribute(call.func.value, other, ast.Load()), call.args, call.keywords)
        if not isinstance(call.func.value, ast.Name) or call.func.value.id not in MODULES:
            if call.func.attr not in CONVERSIONS:
                yield call.func.value
        elif len(plain) == len(call.args) == 1:
            yield call.args[0]


def first_line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]
