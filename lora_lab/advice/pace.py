"""How long a run will take, judged by finished runs: this machine's, else those of a grid."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import pandas as pd

from lora_lab.data.splits import HELD_OUT
from lora_lab.runs import Run, RunConfig
from lora_lab.training import TrainConfig

JUDGES = 10  # the newest runs that a rate is taken from
ENOUGH = 1000  # sentences: a run that reads fewer is mostly warming up, and tells of no other
FORWARD = 1 / 3  # of a training step: what a validation sentence costs, which needs no backward


@dataclass(frozen=True)
class Expectation:
    """Seconds that a run will take, and how many finished runs say so."""

    seconds: float
    runs: int
    alike: bool  # the same layers and kind of arithmetic, not only the same method
    here: bool = True  # measured on this machine
    judges_here: int = 0  # where it was not: runs that say how fast this machine is beside it


def foresee(
    config: RunConfig, examples: dict[str, int], finished: list[Run], rates: Rates
) -> Expectation | None:
    """The best that is known: runs like it here; else a grid's runs like it, at the speed that this
    machine had on other runs; else runs that have only the method in common. See ``expect`` and
    ``expect_from_grid``."""
    here = expect(config, examples, finished)
    there = expect_from_grid(config, examples, rates)
    if there is None or (here and (here.alike or not there.alike)):
        return here
    beside = list(_beside_grid(finished, rates))[:JUDGES]
    seconds = there.seconds * (median(beside) if beside else 1)
    return replace(there, seconds=seconds, judges_here=len(beside))


def expect(config: RunConfig, examples: dict[str, int], finished: list[Run]) -> Expectation | None:
    """From the seconds per sentence of finished runs; None where none tells.

    Args:
        examples: sentences in each split of the run's data.
        finished: this machine's finished runs, newest first. Short ones tell how long a short run
            takes, and others where there is nothing better.
    """
    if not examples:
        return None
    same_method = [run for run in finished if _method(run.config) == _method(config)]
    read = _to_read(config, examples)
    if read >= ENOUGH:
        same_method = [run for run in same_method if is_long_enough(run)] or same_method
    alike = [run for run in same_method if _work(run.config) == _work(config)]
    judges = (alike or same_method)[:JUDGES]
    if not judges:
        return None
    rate = median(run.result["seconds"] / sentences_of(run) for run in judges)
    return Expectation(rate * read, len(judges), bool(alike))


@dataclass(frozen=True)
class Rates:
    """Seconds per sentence of a grid's runs, worked out once for any number of questions.

    Attributes:
        by_method: the median of all runs with a method and a model.
        by_layers: of those that also adapt the same layers.
    """

    by_method: dict[tuple[str, str], Rate]
    by_layers: dict[tuple[str, str, str], Rate]

    @classmethod
    def of(cls, grid: pd.DataFrame) -> Rates:
        """
        Args:
            grid: a table of runs with usual arithmetic (``TrainConfig``).
        """
        held_out = validated(grid)
        read = sentences(grid["train"], held_out, grid["epochs"], grid["epochs"])
        timed = grid.assign(rate=grid["seconds"] / read, held_out=held_out)

        def medians(*columns: str) -> dict[tuple, Rate]:
            return {
                key: Rate(runs["rate"].median(), runs["held_out"].median(), len(runs))
                for key, runs in timed.groupby(list(columns))
            }

        return cls(medians("method", "model"), medians("method", "model", "layers"))


@dataclass(frozen=True)
class Rate:
    """Seconds per sentence, sentences held out for validation, and how many runs say so."""

    seconds: float
    held_out: float
    runs: int


def expect_from_grid(
    config: RunConfig, examples: dict[str, int], rates: Rates
) -> Expectation | None:
    """From the seconds per sentence of runs that another machine trained; None where none tells.

    Args:
        examples: sentences in each split of the run's data, as far as they are known.
    """
    usual = TrainConfig()
    train = config.data.train_size or examples.get("train")
    kind = config.method, config.model
    if not train or config.train.precision != usual.precision or kind not in rates.by_method:
        return None
    alike = None
    if config.train.prefix == usual.prefix:
        alike = rates.by_layers.get((*kind, _layers(config) or ""))
    rate = alike or rates.by_method[kind]
    validation = examples.get("validation", rate.held_out)
    return Expectation(
        rate.seconds * sentences(train, validation, config.train.epochs, _validations(config)),
        rate.runs,
        alike is not None,
        here=False,
    )


def _beside_grid(finished: list[Run], rates: Rates) -> Iterator[float]:
    """How many times as long as in the grid each long run took, where the grid has runs like it."""
    for run in finished:
        held_out = run.result["validation"]["examples"]
        examples = dict(train=run.result["train_examples"], validation=held_out)
        there = expect_from_grid(run.config, examples, rates)
        if there and there.alike and is_long_enough(run):
            per_sentence = there.seconds / _to_read(run.config, examples)
            yield run.result["seconds"] / sentences_of(run) / per_sentence


def validated(runs: pd.DataFrame) -> pd.Series:
    """About how many sentences each run was validated on: a table tells only those of the test."""
    return runs["examples"] * HELD_OUT["validation"] / HELD_OUT["test"]


def sentences(train: Any, validation: Any, epochs: Any, validations: Any) -> Any:
    """What a run reads, counted in sentences of training.

    Args:
        train, validation: sentences in each split.
        epochs, validations: passes over each of them.
    """
    return epochs * train + FORWARD * validations * validation


def _to_read(config: RunConfig, examples: dict[str, int]) -> float:
    """What a run will read if nothing stops it early, see ``sentences``."""
    train = min(config.data.train_size or examples["train"], examples["train"])
    return sentences(train, examples["validation"], config.train.epochs, _validations(config))


def sentences_of(run: Run) -> float:
    """What a finished run has read, see ``sentences``."""
    history = run.result["history"]
    held_out = run.result["validation"]["examples"]
    return sentences(run.result["train_examples"], held_out, history[-1]["epoch"], len(history))


def is_long_enough(run: Run) -> bool:
    """Whether a finished run's seconds per sentence tell how fast others will be."""
    return sentences_of(run) >= ENOUGH


def _validations(config: RunConfig) -> int:
    return math.ceil(config.train.epochs / config.train.validate_every)


def _method(config: RunConfig) -> tuple:
    return config.method, config.model, config.train.precision


def _work(config: RunConfig) -> tuple:
    """What decides how much there is to compute for one sentence, besides the method."""
    return config.data.name, _layers(config), config.train.prefix


def _layers(config: RunConfig) -> str | None:
    layers = {"lora": config.lora.layers, "two-sided": config.two_sided.layers}
    return layers.get(config.method)
