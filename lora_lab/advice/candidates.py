"""The measured settings that advice can choose among, for a model and its data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lora_lab.advice.machine_speed import WORK, rates
from lora_lab.advice.pace import sentences, validated
from lora_lab.advice.question import Question
from lora_lab.advice.recipe import configuration
from lora_lab.evaluation import Interval
from lora_lab.presets import STORED
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
        config: what to train; None for other methods than LoRA.
        grids: the names of the grids that hold its runs.
        train: how many sentences it was measured with.
        validation, error: mean over the seeds, and its standard error.
        test, interval: mean over the seeds; 95% for new seeds and new sentences.
        reached: the lowest and the highest single run on the test.
        seconds: what one run is expected to take.
        right: (seeds, examples), which test sentences each run got right.
        pace: seconds per sentence that a run reads, on the machine that measured.
        reads: so many sentences for the validations, and each one of training so often.
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
    pace: float
    reads: tuple[float, int]

    @property
    def cost(self) -> tuple[float, int]:
        return self.seconds, self.trainable

    def trained_with(self, size: int, ratio: float) -> Measured:
        """The same, to be trained with another number of sentences.

        Args:
            ratio: seconds here for each second of the machine that measured.
        """
        held_out, epochs = self.reads
        config = self.config and replace(
            self.config, data=replace(self.config.data, train_size=size)
        )
        return replace(self, config=config, seconds=self.pace * ratio * (epochs * size + held_out))


@dataclass(frozen=True)
class Candidates:
    """Everything that was measured for a model and its data, at any size and whatever it costs.

    Attributes:
        settings: as they were trained, with the seconds of the machine that measured.
        sizes: numbers of sentences that LoRA was measured with, the fewest first.
        examples: test sentences, the same for all.
        origins: of all grids, by name.
    """

    settings: tuple[Measured, ...]
    sizes: tuple[int, ...]
    examples: int
    origins: dict[str, dict[str, Any]]

    def near(self, question: Question) -> tuple[int, ...]:
        """The measured sizes that the answer can rest on.

        Raises:
            AdviceError: the asked one is outside of the measured.
        """
        asked, low, high = question.train_size, self.sizes[0], self.sizes[-1]
        if not low <= asked <= high:
            kind = "too_few" if asked < low else "too_many"
            raise question.refusal(kind, given=asked, low=low, high=high)
        nearest = min(self.sizes, key=lambda size: abs(math.log(asked / size)))
        return tuple(s for s in self.sizes if max(s / nearest, nearest / s) <= CLOSE)


def measured_grids(folder: Path = STORED) -> dict[str, StoredGrid]:
    """The stored results of ``PRESETS``, as far as they ship.

    Raises:
        GridError: one of them is damaged.
    """
    return {name: read_grid(folder / name) for name in PRESETS if (folder / name).is_dir()}


def candidates(question: Question, grids: Mapping[str, StoredGrid]) -> Candidates:
    """What was measured for the question's model and data; its size and budget do not matter yet.

    Args:
        grids: stored results by name.

    Raises:
        AdviceError: nothing was measured for them.
    """
    runs = _comparable(question, grids)
    sizes = sorted(int(size) for size in runs.loc[runs["method"] == "lora", "train"].unique())
    return Candidates(
        settings=tuple(_measured(runs, rates(grids))),
        sizes=tuple(sizes),
        examples=int(runs["examples"].iloc[0]),
        origins={name: grid.origin for name, grid in grids.items()},
    )


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


def _measured(runs: pd.DataFrame, known: pd.DataFrame) -> list[Measured]:
    """Every setting; ``known`` are the ``rates``."""
    held_out = float(validated(runs).iloc[0])
    found = []
    for row in settings_table(runs).itertuples():
        own = runs[runs["id"].isin(row.members)]
        validations = 1 if row.keep == "last" else row.epochs
        pace = float(known.loc[tuple(getattr(row, name) for name in WORK), "first"])
        found.append(
            Measured(
                method=row.method,
                config=configuration(row) if row.method == "lora" else None,
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
                seconds=pace * sentences(row.train, held_out, row.epochs, validations),
                right=right_answers(own),
                pace=pace,
                reads=(sentences(0, held_out, row.epochs, validations), row.epochs),
            )
        )
    return found
