"""Which LoRA settings to begin with, judged by measured grids and by nothing else.

Among the settings that were measured at about the asked number of sentences and fit the budget,
the one with the best mean accuracy on *validation* is the best: to choose by the test would make
its test accuracy too good to be true. What is advised is the cheapest setting that

- is not measurably worse than the best on the test sentences (``results.comparing``,
  corrected for all comparisons), and
- lies within one standard error of the best's validation accuracy: the rule of Breiman, Friedman,
  Olshen and Stone, "Classification and Regression Trees" (1984), section 3.4.3. Without it, the
  fewer seeds there are and the more settings are compared, the more would pass as equal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from lora_lab.advice.candidates import Candidates, Measured
from lora_lab.advice.machine_speed import Speed
from lora_lab.advice.question import Question
from lora_lab.results.comparing import Difference, paired_difference


@dataclass(frozen=True)
class Rival:
    """Another setting, and its accuracy minus that of the best, on the same test sentences."""

    setting: Measured
    difference: Difference


@dataclass(frozen=True)
class Advice:
    """What to train, and how sure that is.

    Attributes:
        advised: the cheapest of the settings that are as good as the best.
        best: the best on validation; often the same.
        difference: the advised setting's test accuracy minus the best's; None if it is the best.
        rivals: settings that are not measurably worse than the best, the advised one and the best
            not among them; best on validation first.
        settings: how many LoRA settings fit the budget, among which the best was chosen.
        methods: the best of each other method at this size, whatever it costs.
        sizes: measured numbers of sentences that this rests on.
        measured_sizes: all that LoRA was measured with.
        examples: test sentences.
        origins: of each grid that the named settings come from.
    """

    question: Question
    advised: Measured
    best: Measured
    difference: Difference | None
    rivals: tuple[Rival, ...]
    settings: int
    methods: tuple[Rival, ...]
    sizes: tuple[int, ...]
    measured_sizes: tuple[int, ...]
    examples: int
    speed: Speed
    origins: dict[str, dict[str, Any]]

    @property
    def worse(self) -> int:
        """How many of the settings are measurably worse than the best."""
        return self.settings - 1 - len(self.rivals) - (self.difference is not None)


def advise(question: Question, among: Candidates, speed: Speed) -> Advice:
    """The setting to begin with.

    Args:
        among: what was measured for the question's model and data.
        speed: of this machine, see ``machine_speed``.

    Raises:
        AdviceError: the size lies outside of what was measured, or nothing fits the budget.
    """
    asked, near = question.train_size, among.near(question)
    found = [s.trained_with(asked, speed.ratio) for s in among.settings if s.train in near]
    lora = _affordable(question, [one for one in found if one.method == "lora"])
    best = min(lora, key=lambda one: (-one.validation, one.cost))
    methods = _best_of_other_methods(found)
    comparisons = max(1, len(lora) - 1 + len(methods))

    def rival(one: Measured) -> Rival:
        return Rival(one, paired_difference(one.right, best.right, comparisons=comparisons))

    others = [rival(one) for one in lora if one is not best]
    equal = [o for o in others if not (o.difference.measurable and o.difference.value < 0)]
    within = [o for o in equal if o.setting.validation >= best.validation - best.error]
    advised = min([best, *(o.setting for o in within)], key=lambda one: one.cost)
    rivals = [o for o in equal if o.setting is not advised]
    rivals.sort(key=lambda o: (-o.setting.validation, o.setting.cost))
    own = next((o.difference for o in within if o.setting is advised), None)
    named = [advised, best, *(o.setting for o in rivals), *methods]
    return Advice(
        question=question,
        advised=advised,
        best=best,
        difference=own,
        rivals=tuple(rivals),
        settings=len(lora),
        methods=tuple(map(rival, methods)),
        sizes=tuple(sorted({one.train for one in named})),
        measured_sizes=among.sizes,
        examples=among.examples,
        speed=speed,
        origins={name: origin for name, origin in among.origins.items()
                 if any(name in one.grids for one in named)},
    )  # fmt: skip


def _affordable(question: Question, settings: list[Measured]) -> list[Measured]:
    small = [s for s in settings if s.trainable <= (question.parameters or math.inf)]
    if not small:
        needed = min(s.trainable for s in settings)
        raise question.refusal("parameters", given=question.parameters, needed=needed)
    quick = [s for s in small if s.seconds <= question.seconds]
    if not quick:
        needed = min(s.seconds for s in small)
        raise question.refusal("time", given=question.seconds, needed=needed)
    return quick


def _best_of_other_methods(settings: list[Measured]) -> list[Measured]:
    others = sorted((s for s in settings if s.method != "lora"), key=lambda s: -s.validation)
    best: dict[str, Measured] = {}
    for setting in others:
        best.setdefault(setting.method, setting)
    return list(best.values())
