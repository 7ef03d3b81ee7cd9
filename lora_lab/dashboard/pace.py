"""How long a run will take, judged by runs that this machine has finished."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from lora_lab.runs import Run, RunConfig

JUDGES = 10  # the newest runs that a rate is taken from
FORWARD = 1 / 3  # of a training step: what a validation sentence costs, which needs no backward


@dataclass(frozen=True)
class Expectation:
    """Seconds that a run will take, and how many finished runs say so."""

    seconds: float
    runs: int
    alike: bool  # the same layers and kind of arithmetic, not only the same method


def expect(config: RunConfig, examples: dict[str, int], finished: list[Run]) -> Expectation | None:
    """From the seconds per sentence of finished runs; None where none tells.

    Args:
        examples: sentences in each split of the run's data.
        finished: this machine's finished runs, newest first.
    """
    if not examples:
        return None
    same_method = [run for run in finished if _method(run.config) == _method(config)]
    alike = [run for run in same_method if _work(run.config) == _work(config)]
    judges = (alike or same_method)[:JUDGES]
    if not judges:
        return None
    rate = median(run.result["seconds"] / _sentences_of(run) for run in judges)
    train = min(config.data.train_size or examples["train"], examples["train"])
    return Expectation(
        rate * _sentences(train, examples["validation"], config.train.epochs),
        len(judges),
        bool(alike),
    )


def _sentences_of(run: Run) -> float:
    held_out = run.result["validation"]["examples"]
    epochs = len(run.result["history"])
    return _sentences(run.result["train_examples"], held_out, epochs)


def _sentences(train: int, validation: int, epochs: int) -> float:
    """What is read in all epochs, counted in sentences of training."""
    return epochs * (train + FORWARD * validation)


def _method(config: RunConfig) -> tuple:
    return config.method, config.model, config.train.precision


def _work(config: RunConfig) -> tuple:
    """What decides how much there is to compute for one sentence, besides the method."""
    layers = {"lora": config.lora.layers, "two-sided": config.two_sided.layers}
    return config.data.name, layers.get(config.method), config.train.prefix
