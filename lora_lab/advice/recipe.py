"""A row of results as the configuration to train again, and that as a command."""

from __future__ import annotations

import shlex
from typing import Any

from lora_lab.adapt import LoraConfig
from lora_lab.models import DEFAULT_MODEL
from lora_lab.runs import DataConfig, RunConfig
from lora_lab.training import TrainConfig


def configuration(row: Any, train_size: int | None = None) -> RunConfig:
    """What a row of ``results.table``, as ``itertuples`` gives it, was trained with; from seed 0.

    What the table does not tell is at its default, but for validation: where the last epoch's
    weights are kept anyway, there is one at the end.

    Args:
        train_size: sentences to learn from (default: as many as the row's).

    Raises:
        ValueError: a method without a rank, alpha and scaling.
    """
    if row.method != "lora":
        raise ValueError(f"The row's method is {row.method!r}; only 'lora' has all the settings.")
    epochs = int(row.epochs)
    return RunConfig(
        model=row.model,
        pretrained=bool(row.pretrained),
        data=DataConfig(
            row.data,
            train_size=int(row.train if train_size is None else train_size),
            noise=row.noise,
            noise_share=float(row.flipped),
        ),
        lora=LoraConfig(
            rank=int(row.rank),
            alpha=float(row.alpha),
            scaling=row.scaling,
            dropout=float(row.dropout),
            train_update=not row.frozen,
            target_modules=row.targets.replace(" ", ","),
            layers=row.layers.replace(" ", ","),
        ),
        train=TrainConfig(
            epochs=epochs,
            learning_rate=float(row.rate),
            weight_decay=float(row.decay),
            keep=row.keep,
            validate_every=epochs if row.keep == "last" else 1,
        ),
    )


def train_command(config: RunConfig) -> str:
    """The command that trains a LoRA configuration, as one would type it.

    Names rank, alpha, matrices, layers, learning rate, epochs and size, and else only what is not
    at its default.
    """
    lora, train, data = config.lora, config.train, config.data
    usual, usual_lora, usual_data = TrainConfig(), LoraConfig(), DataConfig()
    words: list[Any] = ["lora-lab", "train"]
    if config.model != DEFAULT_MODEL:
        words += ["--model", config.model]
    if data.name != usual_data.name:
        words += ["--data", data.name]
    if data.train_size is not None:
        words += ["--train-size", data.train_size]
    words += ["--rank", lora.rank, "--alpha", lora.alpha, "--targets", lora.target_modules]
    words += ["--layers", lora.layers]
    for name in ("scaling", "dropout"):
        if getattr(lora, name) != getattr(usual_lora, name):
            words += [f"--{name}", getattr(lora, name)]
    words += ["--learning-rate", train.learning_rate, "--epochs", train.epochs]
    for name in ("weight_decay", "keep", "validate_every"):
        if getattr(train, name) != getattr(usual, name):
            words += [f"--{name.replace('_', '-')}", getattr(train, name)]
    return shlex.join(map(_word, words))


def _word(value: Any) -> str:
    """Numbers as short as they can be without changing."""
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value)
