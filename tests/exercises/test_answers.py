"""Every exercise accepts right answers, refuses wrong ones with their own messages, and stands in its lesson."""

from __future__ import annotations

import ast
import time
from collections import Counter

import pytest
from harness import DECLARED, IDS, answer_in, answers, calls, defining_statement, scripts, text_of, tree

from nnlab_helpers.exercises.checking.declare import find
from nnlab_helpers.exercises.checking.grade import grade
from nnlab_helpers.exercises.checking.mistakes import functions

every_exercise = pytest.mark.parametrize("exercise_id", IDS)
every_lesson = pytest.mark.parametrize("path", scripts("lesson"), ids=lambda path: path.stem)


@every_exercise
def test_reference_is_right(exercise_id: str) -> None:
    outcome = grade(exercise_id, answer_in(exercise_id, "solution"))
    assert outcome.passed, text_of(outcome)


@every_exercise
def test_check_takes_less_than_a_second(exercise_id: str) -> None:
    reference = answer_in(exercise_id, "solution")
    seconds = []
    for _ in range(2):  # the first one may pay for something that torch loads on first use
        start = time.process_time()
        grade(exercise_id, reference)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1


@every_exercise
def test_alternatives_are_right(exercise_id: str) -> None:
    right = answers()[exercise_id].right
    assert right, "at least one other right answer is needed"
    for number, answer in enumerate(right):
        outcome = grade(exercise_id, answer)
        assert outcome.passed, f"right answer {number}: {text_of(outcome)}"


@every_exercise
def test_wrong_answers_get_their_own_message(exercise_id: str) -> None:
    wrong = answers()[exercise_id].wrong
    fragments = [fragment for _, fragment in wrong]
    assert len(set(fragments)) >= 3, "at least three wrong answers with different messages are needed"
    for answer, fragment in wrong:
        outcome = grade(exercise_id, answer)
        assert outcome.status == "wrong", f"the answer that should be told {fragment!r}: {text_of(outcome)}"
        assert {one for one in fragments if one in text_of(outcome)} == {fragment}, text_of(outcome)


@pytest.mark.parametrize("exercise_id", DECLARED)
def test_declared_mistakes_get_their_own_message(exercise_id: str) -> None:
    mistakes = find(exercise_id).formula.mistakes or {}
    for message, mistake in mistakes.items():
        for number, function in enumerate(functions(mistake)):
            outcome = grade(exercise_id, function)
            assert outcome.status == "wrong", f"{message} ({number}): {text_of(outcome)}"
            told = [one for one in mistakes if one in outcome.notes]
            assert told == [message], f"{message} ({number}): {text_of(outcome)}"


@every_exercise
def test_untouched_stub_is_not_attempted(exercise_id: str) -> None:
    outcome = grade(exercise_id, answer_in(exercise_id, "lesson"))
    assert outcome.status == "not attempted", text_of(outcome)


@every_exercise
def test_lesson_does_not_contain_the_solution(exercise_id: str) -> None:
    """Neither the reference's statements nor, for a value, an assignment of it stand anywhere in the day's lesson."""
    solution, _ = defining_statement(exercise_id, "solution")
    path = next(path for path in scripts("lesson") if path.stem.startswith(exercise_id[:5]))
    lesson = {ast.unparse(node) for node in ast.walk(tree(path)) if isinstance(node, ast.stmt)}
    wanted = solution.body if isinstance(solution, ast.FunctionDef | ast.ClassDef) else [solution]
    code = [ast.unparse(node) for node in wanted if not _is_docstring(node)]
    assert not set(code) <= lesson, f"{path.name} contains the solution: {code}"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


@every_exercise
def test_exercise_is_complete(exercise_id: str) -> None:
    found = find(exercise_id)
    texts = [found.title, found.learned, *found.hints]
    assert all(text.strip() and text == text.strip() for text in texts)
    assert len(set(found.hints)) == len(found.hints)
    assert found.learned.endswith((".", "?", "`", ")"))


def test_answers_belong_to_exercises() -> None:
    assert set(answers()) == set(IDS)


@pytest.mark.parametrize("kind", ["lesson", "solution"])
def test_every_exercise_is_used_once(kind: str) -> None:
    """In one lesson, by one `check`, and in its solution; and no other id is asked for."""
    used = Counter((id, path.stem) for path in scripts(kind) for id, _ in calls(path))
    assert {id for id, _ in used} == set(IDS)
    assert len(used) == len(IDS), "an exercise stands in two places"
    if kind == "lesson":
        assert max(used.values(), default=1) == 1, "a lesson checks an exercise twice"
    assert {id for path in scripts(kind) for id, _ in calls(path, "hint")} <= set(IDS)
    assert all(stem.startswith(id[:5]) for id, stem in used)


@every_lesson
def test_lesson_has_three_exercises(path) -> None:
    assert len(calls(path)) >= 3


@pytest.mark.parametrize("path", scripts("solution"), ids=lambda path: path.stem)
def test_solution_keeps_no_record(path) -> None:
    """Running a solution must not mark the reader's exercises as solved."""
    first = min((call.lineno for _, call in calls(path)), default=0)
    off = [
        node.lineno
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and ast.unparse(node) == "keep_record(False)"
    ]
    assert off, "no keep_record(False)"
    assert off[0] < first
