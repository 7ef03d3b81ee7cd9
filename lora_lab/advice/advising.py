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
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lora_lab.advice.machine_speed import WORK, Speed, rates
from lora_lab.advice.pace import sentences, validated
from lora_lab.advice.question import Question
from lora_lab.advice.recipe import configuration
from lora_lab.evaluation import Interval
from lora_lab.presets import STORED
from lora_lab.results.comparing import Difference, paired_difference
from lora_lab.results.stored_grid import StoredGrid, read_grid
from lora_lab.results.table import right_answers, settings_table
from lora_lab.runs import RunConfig

#: Presets whose settings a practitioner chooses among; the others spoil something on purpose.
PRESETS = ("classroom", "rate-and-scale", "rank-and-rule", "which-matrices", "how-much-data")
SEEDS = 3  # settings with fewer are not advised
CLOSE = 1.1  # sizes whose ratio is at most this count as one


@dataclass(frozen=True)
class Measured:
    """A setting as it was measured.

    Attributes:
        config: what to train, with the asked number of sentences; None for other methods.
        grids: the names of the grids that hold its runs.
        train: how many sentences it was measured with.
        validation, error: mean over the seeds, and its standard error.
        test, interval: mean over the seeds; 95% for new seeds and new sentences.
        reached: the lowest and the highest single run on the test.
        seconds: what one run with the asked number of sentences is expected to take.
    """

    method: str
    config: RunConfig | None
    grids: tuple[str, ...]
    train: int
    rate: float
    seeds: int
    validation: float
    error: float
    test: float
    interval: Interval
    reached: tuple[float, float]
    trainable: int
    seconds: float
    right: np.ndarray = field(repr=False, compare=False)

    @property
    def cost(self) -> tuple[float, int]:
        return self.seconds, self.trainable


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


def measured_grids(folder: Path = STORED) -> dict[str, StoredGrid]:
    """The stored results of ``PRESETS``, as far as they ship.

    Raises:
        GridError: one of them is damaged.
    """
    return {name: read_grid(folder / name) for name in PRESETS if (folder / name).is_dir()}


@dataclass(frozen=True)
class Candidates:
    """Everything that was measured for a model, data and number of sentences, whatever it costs.

    Attributes:
        settings: their ``seconds`` are those of the machine that measured.
        measured_sizes, examples: see ``Advice``.
        origins: of all grids, by name.
    """

    settings: tuple[Measured, ...]
    measured_sizes: tuple[int, ...]
    examples: int
    origins: dict[str, dict[str, Any]]


def candidates(question: Question, grids: Mapping[str, StoredGrid]) -> Candidates:
    """What an answer can choose among; neither the budget nor this machine's speed matters yet.

    Args:
        grids: stored results by name.

    Raises:
        AdviceError: the question lies outside of what was measured.
    """
    runs = _comparable(question, grids)
    known, near = _sizes(question, runs)
    table = settings_table(runs[runs["train"].isin(near)])
    return Candidates(
        settings=tuple(_measured(question, table, runs, rates(grids))),
        measured_sizes=known,
        examples=int(runs["examples"].iloc[0]),
        origins={name: grid.origin for name, grid in grids.items()},
    )


def advise(question: Question, among: Candidates, speed: Speed) -> Advice:
    """The setting to begin with.

    Args:
        among: what was measured for the question's model, data and number of sentences.
        speed: of this machine, see ``machine_speed``.

    Raises:
        AdviceError: nothing fits the budget.
    """
    found = [replace(one, seconds=one.seconds * speed.ratio) for one in among.settings]
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
        measured_sizes=among.measured_sizes,
        examples=among.examples,
        speed=speed,
        origins={name: origin for name, origin in among.origins.items()
                 if any(name in one.grids for one in named)},
    )  # fmt: skip


def _comparable(question: Question, grids: Mapping[str, StoredGrid]) -> pd.DataFrame:
    """Ordinary runs of the asked model and data, with enough seeds, on the same test sentences."""
    if not grids:
        raise question.refusal("nothing")
    parts = [grid.runs.assign(id=f"{name}/" + grid.runs["id"]) for name, grid in grids.items()]
    runs = pd.concat(parts, ignore_index=True)
    runs = runs[runs["pretrained"] & ~runs["frozen"] & (runs["noise"] == "none")]
    runs = runs[runs.groupby("setting")["seed"].transform("nunique") >= SEEDS]
    if not (runs["method"] == "lora").any():
        raise question.refusal("seeds", wanted=SEEDS)
    for kind in ("model", "data"):
        wanted = getattr(question, kind)
        known = sorted(runs.loc[runs["method"] == "lora", kind].unique())
        if wanted not in known:
            raise question.refusal(kind, given=wanted, known=known)
        runs = runs[runs[kind] == wanted]
    return runs[runs["sentences"] == runs["sentences"].mode().iloc[0]]


def _sizes(question: Question, runs: pd.DataFrame) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The measured sizes, and those that the answer can rest on."""
    known = sorted(int(size) for size in runs.loc[runs["method"] == "lora", "train"].unique())
    asked = question.train_size
    if not known[0] <= asked <= known[-1]:
        kind = "too_few" if asked < known[0] else "too_many"
        raise question.refusal(kind, given=asked, low=known[0], high=known[-1])
    nearest = min(known, key=lambda size: abs(math.log(asked / size)))
    near = (size for size in known if max(size / nearest, nearest / size) <= CLOSE)
    return tuple(known), tuple(near)


def _measured(
    question: Question, table: pd.DataFrame, runs: pd.DataFrame, known: pd.DataFrame
) -> list[Measured]:
    held_out = float(validated(runs).iloc[0])
    found = []
    for row in table.itertuples():
        own = runs[runs["id"].isin(row.members)]
        is_lora = row.method == "lora"
        validations = 1 if row.keep == "last" else row.epochs
        read = sentences(question.train_size, held_out, row.epochs, validations)
        rate = known.loc[tuple(getattr(row, name) for name in WORK), "first"]
        found.append(
            Measured(
                method=row.method,
                config=configuration(row, question.train_size) if is_lora else None,
                grids=tuple(dict.fromkeys(name.rpartition("/")[0] for name in row.members)),
                train=row.train,
                rate=row.rate,
                seeds=row.seeds,
                validation=row.validation,
                error=float(own["validation"].std(ddof=1)) / math.sqrt(row.seeds),
                test=row.test,
                interval=Interval(row.low, row.high),
                reached=(float(own["test"].min()), float(own["test"].max())),
                trainable=row.trainable,
                seconds=float(rate * read),
                right=right_answers(own),
            )
        )
    return found


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
