"""Random small changes to the reference answers are refused."""

from __future__ import annotations

import ast
import sys
import time
from typing import Any

import pytest
from harness import FOLDERS, IDS, answer_in, defining_statement, handed_over, script_of, text_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mutants import Mutant, mutants
from survivors import SURVIVORS

from nnlab_helpers.exercises.checking.grade import grade

EXAMPLES = 100  # mutants tried per exercise: mostly all there are
SHORTEST_LIMIT = 0.5  # seconds, for mutants that never end


def evaluate(exercise_id: str, mutant: Mutant) -> Any:
    """Return what the solution would hand to `check` if it contained the mutant."""
    script = script_of(exercise_id, "solution")
    scope = dict(vars(sys.modules[f"lesson_{FOLDERS['solution']}_{script.stem}"]))
    exec(compile(mutant.code, "<mutant>", "exec"), scope)
    value, _ = handed_over(exercise_id, "solution")
    return eval(compile(ast.Expression(value), "<check>", "eval"), scope)


def accepted(exercise_id: str, mutant: Mutant, time_limit: float) -> bool:
    """Whether the checker takes the mutant for a right answer."""
    try:
        answer = evaluate(exercise_id, mutant)
    except Exception:  # a value that cannot even be computed
        return False
    return grade(exercise_id, answer, time_limit=time_limit).passed


@pytest.mark.parametrize("exercise_id", IDS)
def test_mutants_are_refused(exercise_id: str, record_property) -> None:
    statement, _ = defining_statement(exercise_id, "solution")
    found = mutants(statement)
    assert found, "the reference is too short to be changed"
    reasons = SURVIVORS.get(exercise_id, {})
    stale = set(reasons) - {mutant.change for mutant in found}
    assert not stale, f"listed in survivors.py, but no such change exists any more: {stale}"

    reference = answer_in(exercise_id, "solution")
    start = time.monotonic()
    outcome = grade(exercise_id, reference)
    assert outcome.passed, text_of(outcome)
    time_limit = max(SHORTEST_LIMIT, 5 * (time.monotonic() - start))

    verdicts: dict[str, bool] = {}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(found))
    def try_one(mutant: Mutant) -> None:
        if mutant.change not in verdicts:
            verdicts[mutant.change] = accepted(exercise_id, mutant, time_limit)

    try_one()
    for mutant in found:
        if mutant.change in reasons:
            try_one.hypothesis.inner_test(mutant)

    survived = {change for change, passed in verdicts.items() if passed}
    record_property("mutants", (len(verdicts), len(survived), len(survived & set(reasons))))
    unexplained = sorted(survived - set(reasons))
    assert not unexplained, "the checker accepts these changes:\n  " + "\n  ".join(unexplained)
    refused = sorted(set(reasons) - survived)
    assert not refused, "listed in survivors.py, but refused:\n  " + "\n  ".join(refused)


CODE = '''
def f(x, dim=1):
    """Doc."""
    if dim > 9:
        raise ValueError(f"{dim} - 1")
    total = x.sum(dim=0) - 2.0
    total.add_(1)
    names = {"a": 1.5, "b": x}
    return total
'''
CHANGED = "total = x.sum(dim=0) - 2.0"
OTHER_CODE = """
def g(x, y, on):
    count = 0
    while on and x > 3:
        count += 2
        x = torch.sub(x, y)
    if x not in y or x is None:
        y = -abs(torch.exp(x))
    keep = True
    return y ** 3, count // 2
"""


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (CHANGED, "total = x.sum(dim=1) - 2.0"),
        (CHANGED, "total = x.sum(dim=0) + 2.0"),
        (CHANGED, "total = x.sum(dim=0) - 4.0"),
        (CHANGED, "total = x.sum(dim=0)"),
        (CHANGED, "total = x.sum() - 2.0"),
        (CHANGED, "total = x.mean(dim=0) - 2.0"),
        (CHANGED, "total = x - 2.0"),
        (CHANGED, "total = 2.0 - x.sum(dim=0)"),
        (CHANGED, "(removed)"),
        ("total.add_(1)", "(removed)"),
        ("if dim > 9:", "if dim >= 9:"),
        ("names = {'a': 1.5, 'b': x}", "names = {'a': x, 'b': 1.5}"),
        ("return total", "return -total"),
        ("count = 0", "count = 1"),
        ("count = 0", "count = -1"),
        ("while on and x > 3:", "while not (on and x > 3):"),
        ("while on and x > 3:", "while on or x > 3:"),
        ("while on and x > 3:", "while on:"),
        ("while on and x > 3:", "while on and x <= 3:"),
        ("while on and x > 3:", "while on and x > 4:"),
        ("while on and x > 3:", "(removed)"),
        ("count += 2", "count -= 2"),
        ("count += 2", "count = 2"),
        ("count += 2", "(removed)"),
        ("x = torch.sub(x, y)", "x = torch.sub(y, x)"),
        ("if x not in y or x is None:", "if x in y or x is None:"),
        ("if x not in y or x is None:", "if x not in y or x is not None:"),
        ("if x not in y or x is None:", "(removed)"),
        ("y = -abs(torch.exp(x))", "y = abs(torch.exp(x))"),
        ("y = -abs(torch.exp(x))", "y = -abs(torch.log(x))"),
        ("y = -abs(torch.exp(x))", "y = -abs(x)"),
        ("keep = True", "keep = False"),
        ("return (y ** 3, count // 2)", "return (count // 2, y ** 3)"),
        ("return (y ** 3, count // 2)", "return (y * 3, count // 2)"),
        ("return (y ** 3, count // 2)", "return (3 ** y, count // 2)"),
        ("return (y ** 3, count // 2)", "return (y ** 3, count / 2)"),
    ],
)
def test_mutants_make_the_slips_of_learners(before: str, after: str) -> None:
    found = [mutant.change for code in (CODE, OTHER_CODE) for mutant in mutants(ast.parse(code).body[0])]
    assert f"{before}  ->  {after}" in found


def test_mutants_are_all_different_and_leave_signatures_docstrings_and_errors_alone() -> None:
    original = ast.parse(CODE).body[0]
    found = mutants(original)
    texts = [mutant.code for mutant in found]
    assert len({*texts, ast.unparse(original)}) == len(texts) + 1
    assert ast.unparse(original) == ast.unparse(ast.parse(CODE))
    assert all("def f(x, dim=1):" in text and '"""Doc."""' in text for text in texts)
    assert not any(mutant.change.startswith("raise") for mutant in found)
    assert found == [Mutant(old.change, new.code) for old, new in zip(mutants(original), found, strict=True)]


def test_survivors_belong_to_exercises() -> None:
    assert set(SURVIVORS) <= set(IDS)
