"""Finished runs written by hand: folders with results that a test chooses, and no training."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lora_lab.adapt import LoraConfig
from lora_lab.evaluation import evaluate_predictions
from lora_lab.runs import DataConfig, Run, RunConfig, read_run
from lora_lab.runs.answers import Answers, save_answers
from lora_lab.training import TrainConfig

NAMES = ("negative", "positive")
MADE_WITH = {"python": "3.11.0", "torch": "2.13.0", "system": "Linux x86_64", "cores": 2}


def lora(rank: int = 8, seed: int = 0, layers: str = "all", **changes: Any) -> RunConfig:
    config = RunConfig(
        data=DataConfig(train_size=1000),
        lora=LoraConfig(rank=rank, alpha=2.0 * rank, target_modules=("q", "v"), layers=layers),
        train=TrainConfig(seed=seed),
    )
    return replace(config, **changes)


def answers(accuracy: float, seed: int = 0, sentences: int = 400) -> np.ndarray:
    """(N,) right answers: hard sentences are hard for every seed."""
    difficulty = np.random.default_rng(99).random(sentences)
    luck = np.random.default_rng(seed).normal(scale=0.05, size=sentences)
    return difficulty + luck < accuracy


def make_run(
    folder: Path,
    config: RunConfig,
    right: np.ndarray,
    *,
    sentences: str = "0123456789abcdef",
    trainable: int = 74_498,
    seconds: float = 30.0,
    keep_answers: bool = True,
    **changes: Any,
) -> Run:
    """A finished run that got ``right`` right; ``changes`` go into its result."""
    folder.mkdir(parents=True)
    labels = np.arange(len(right)) % 2
    truth = np.eye(2)[np.where(right, labels, 1 - labels)]
    probabilities = 0.1 + 0.8 * truth
    score = evaluate_predictions(labels, probabilities.argmax(1), NAMES, probabilities)
    history = [
        dict(
            epoch=epoch, step=32 * epoch, training_loss=0.7 / epoch, validation_loss=0.6 / epoch,
            validation_accuracy=score.accuracy - 0.05 * (3 - epoch), seconds=10.0 * epoch,
            validation_interval=[score.interval.low, score.interval.high],
        )
        for epoch in (1, 2, 3)
    ]  # fmt: skip
    result = dict(
        labels=NAMES, data_fingerprint="feedfeedfeedfeed", test_fingerprint=sentences,
        train_examples=config.data.train_size or 7461, trainable=trainable, best_epoch=3,
        steps=96, seconds=seconds, truncated=0, peak_memory=800_000_000, history=history,
        validation=score.as_dict(), test=score.as_dict(),
    ) | changes  # fmt: skip
    files = {
        "config.json": config.as_dict() | {"made_with": MADE_WITH},
        "status.json": {"state": "finished", "reason": ""},
        "result.json": result,
    }
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values))
    if keep_answers:
        save_answers(Answers(probabilities, labels), folder)
    return read_run(folder)
