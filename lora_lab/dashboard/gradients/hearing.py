"""One closed form before its referees: what they were asked and what they answered."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import streamlit as st
from torch import Tensor

from lora_lab.derivations.catalogue import (
    CATALOGUE,
    Derivation,
    LayerShape,
    LossShape,
    Shape,
    find,
)
from lora_lab.derivations.mistakes import MISTAKES, Mistake, find_mistake
from lora_lab.derivations.referees import WRONG, Finding, Report, Trial, prepare

AUTOGRAD, DIFFERENCES, SYMBOLIC = "autograd", "central differences", "symbolic"
QUICK = (AUTOGRAD, DIFFERENCES)  # milliseconds; SymPy takes seconds and is asked on demand
NONE = "none"

# SymPy keeps Python's interpreter busy: one class full of questions must not stop the server.
_one_at_a_time = Lock()

Values = Mapping[str, Any]
Estimates = dict[str, Tensor]


@dataclass(frozen=True)
class Case:
    """What is examined: a derivation at a shape, perhaps with a mistake planted in it."""

    derivation: str
    mistake: str
    shape: Shape
    seed: int

    @classmethod
    def of(cls, values: Values) -> Case:
        """The case that a page's values ask for. A mistake of another derivation is not planted."""
        derivation = find(values["derivation"])
        fits = values["mistake"] in {mistake.name for mistake in mistakes_of(derivation.key)}
        mistake = values["mistake"] if fits else NONE
        return cls(derivation.key, mistake, shape_of(derivation, values), values["seed"])

    @property
    def planted(self) -> Mistake | None:
        return None if self.mistake == NONE else find_mistake(self.mistake)

    def trial(self) -> Trial:
        derivation = self.planted.applied() if self.planted else find(self.derivation)
        return prepare(derivation, self.shape, self.seed)

    def without_mistake(self) -> Case:
        """The case as SymPy sees it, which never looks at the program."""
        return Case(self.derivation, NONE, self.shape, self.seed)


@dataclass(frozen=True)
class Hearing:
    """A trial and what each referee that was asked said about it."""

    trial: Trial
    answers: dict[str, Estimates]  # referee -> variable -> estimates

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(
            finding
            for referee, estimates in self.answers.items()
            for finding in self.trial.judge(referee, estimates)
        )

    @property
    def objectors(self) -> tuple[str, ...]:
        return Report(self.findings).caught_by()

    @property
    def wrong_variables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f.variable for f in self.findings if f.verdict == WRONG))

    def finding(self, referee: str, variable: str) -> Finding | None:
        found = (f for f in self.findings if (f.referee, f.variable) == (referee, variable))
        return next(found, None)


def hear(case: Case, referees: tuple[str, ...]) -> Hearing:
    """Ask the referees; who was asked the same before answers at once."""
    return Hearing(case.trial(), {referee: _answer(case, referee) for referee in referees})


def mistakes_of(derivation: str) -> tuple[Mistake, ...]:
    return tuple(mistake for mistake in MISTAKES if mistake.derivation == derivation)


def shape_of(derivation: Derivation, values: Values) -> Shape:
    """The sizes among the values that this derivation has."""
    if is_loss(derivation):
        classes = values["classes"] if has_classes(derivation) else 1
        return LossShape(values["examples"], classes)
    return LayerShape((values["examples"],), values["inputs"], values["outputs"], values["rank"])


def is_loss(derivation: Derivation) -> bool:
    return isinstance(derivation.shapes[0], LossShape)


def has_classes(derivation: Derivation) -> bool:
    return is_loss(derivation) and derivation.shapes[0].classes > 1


def has_rank(derivation: Derivation) -> bool:
    """Whether the rank changes any of its inputs."""
    if is_loss(derivation):
        return False
    one, two = (derivation.inputs(LayerShape((1,), 3, 3, rank), 0) for rank in (1, 2))
    return any(one[name].shape != two[name].shape for name in one)


LOSSES = tuple(d.key for d in CATALOGUE if is_loss(d))
SOFTMAX = tuple(d.key for d in CATALOGUE if has_classes(d))
LAYERS = tuple(d.key for d in CATALOGUE if not is_loss(d))
RANKED = tuple(d.key for d in CATALOGUE if has_rank(d))


def _answer(case: Case, referee: str) -> Estimates:
    if referee == SYMBOLIC:
        case = case.without_mistake()
    return _asked(case.derivation, case.mistake, case.shape, case.seed, referee)


@st.cache_data(show_spinner=False, max_entries=1000)
def _asked(derivation: str, mistake: str, shape: Shape, seed: int, referee: str) -> Estimates:
    with _one_at_a_time if referee == SYMBOLIC else nullcontext():
        return Case(derivation, mistake, shape, seed).trial().ask(referee)
