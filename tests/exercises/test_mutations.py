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

from nnlab_helpers.exercises.engine import grade

EXAMPLES = 40  # mutants tried per exercise, of often more than a hundred
SHORTEST_LIMIT = 0.5  # seconds, for mutants that never end


def evaluate(exercise_id: str, mutant: Mutant) -> Any:
    """Return what the solution would hand to `check` if it contained the mutant."""
    script = script_of(exercise_id, "solution")
    scope = dict(vars(sys.modules[f"lesson_{FOLDERS['solution']}_{script.stem}"]))
    exec(compile(ast.Module([mutant.code], []), "<mutant>", "exec"), scope)
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


def test_survivors_belong_to_exercises() -> None:
    assert set(SURVIVORS) <= set(IDS)
