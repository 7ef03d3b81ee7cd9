"""Every check passes its solutions and names the typical mistakes.

The answers stand in ``*_cases.py`` beside this file, one for each notebook.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from lora_lab import exercises
from lora_lab.exercises.checking import Verdict
from tests.exercises.sentiment_cases import pad
from tests.exercises.speed_cases import waste

HERE = Path(__file__).parent
NOTEBOOKS = sorted((HERE.parents[1] / "notebooks").glob("*.ipynb"))
CASES = {
    checker: cases
    for path in sorted(HERE.glob("*_cases.py"))
    for checker, cases in importlib.import_module(f"tests.exercises.{path.stem}").CASES.items()
}
CHECKS = {
    name: checker
    for module in pkgutil.iter_modules(exercises.__path__, "lora_lab.exercises.")
    for name, checker in vars(importlib.import_module(module.name)).items()
    if name.startswith("check_")
}
RIGHT = [
    pytest.param(checker, answer, id=f"{checker.__name__} {number}")
    for checker, (answers, _) in CASES.items()
    for number, answer in enumerate(answers)
]
WRONG = [
    pytest.param(checker, answer, says, id=f"{checker.__name__}: {says}")
    for checker, (_, mistakes) in CASES.items()
    for answer, says in mistakes
]
each_check = pytest.mark.parametrize("checker", CASES, ids=lambda checker: checker.__name__)


def test_every_check_has_answers_here():
    assert set(CHECKS.values()) == set(CASES)


@each_check
def test_at_least_three_typical_mistakes_are_named(checker):
    right, wrong = CASES[checker]
    assert right and len({says for _, says in wrong} - {"should give"}) >= 3


@pytest.mark.parametrize("checker, solution", RIGHT)
def test_a_right_answer_is_solved(checker, solution):
    verdict = checker(solution)
    assert verdict.solved, verdict
    assert repr(verdict).startswith("✓ Solved.")


@pytest.mark.parametrize("checker, answer, says", WRONG)
def test_a_wrong_answer_is_named(checker, answer, says):
    verdict = checker(answer)
    assert verdict.state == "wrong"
    assert says in verdict.message


@each_check
@pytest.mark.parametrize("empty", [..., None, (..., ...)])
def test_an_empty_stub_is_open_and_nothing_is_raised(checker, empty):
    assert checker(lambda *_: empty).state == "open"


@each_check
def test_no_function_yet_is_open(checker):
    assert repr(checker(...)).startswith("○ Not solved yet.")


@each_check
def test_not_implemented_is_open(checker):
    def stub(*_):
        raise NotImplementedError

    assert checker(stub).state == "open"


@each_check
def test_odd_types_give_a_verdict_and_no_traceback(checker):
    for odd in (0, "text", [], {}, [[1], [2, 3]], object(), (1, 2, 3), True):
        assert isinstance(checker(lambda *_, odd=odd: odd), Verdict)


@pytest.mark.parametrize(
    "checker, solution", [("check_pad_batch", pad), ("check_padding_waste", waste)]
)
def test_the_learner_cannot_change_the_question_for_the_next_one(checker, solution):
    def mutating(rows, other):
        answer = solution(rows, other)
        rows.clear()
        return answer

    assert CHECKS[checker](mutating).solved
    assert CHECKS[checker](solution).solved


def _markdown(path):
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def _check_calls(path):
    """(name of the check, name of the function it is given) in the notebook's code."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            for found in re.finditer(r"^(check_\w+)\((\w+)\)", cell.source, re.MULTILINE):
                yield found.groups()


@pytest.mark.parametrize(
    "path, checker, name",
    [(path, *call) for path in NOTEBOOKS for call in _check_calls(path)],
    ids=lambda value: getattr(value, "stem", value),
)
def test_the_folded_solution_in_the_notebook_passes(path, checker, name):
    blocks = re.findall(r"```python\n(.*?)```", _markdown(path), re.DOTALL)
    solutions = [block for block in blocks if re.search(rf"^(def|class) {name}\b", block, re.M)]
    assert len(solutions) == 1, f"{len(solutions)} folded solutions define {name}"
    namespace = {"np": np, "torch": torch, "math": math, "nn": torch.nn}
    exec(solutions[0], namespace)
    verdict = CHECKS[checker](namespace[name])
    assert verdict.solved, verdict


def test_every_check_is_called_in_one_notebook():
    called = [checker for path in NOTEBOOKS for checker, _ in _check_calls(path)]
    assert sorted(called) == sorted(CHECKS)
