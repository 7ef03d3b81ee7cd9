"""Finished runs of a tiny model for pages that look at trained models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lora_lab.adapt import LoraConfig
from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs import DataConfig, Run, RunConfig, execute
from lora_lab.training import TrainConfig

#: Names sort like the dates of real runs: the last one is the newest.
RANDOM, FULL, HEAD, SMALL, LARGE = "0-random", "1-full", "2-head", "3-lora", "4-lora"
RANK, ALPHA = 4, 8.0


def train_all(runs: Path, model: Path, data: Path) -> dict[str, Run]:
    """A full and a head-only run, two LoRA runs of rank 2 and ``RANK``, and one of LoRA that began
    with random weights and learnt from labels that are partly wrong; seconds in all."""
    common = dict(model=str(model), data=DataConfig(str(data)))
    wrong = DataConfig(str(data), noise="flipped", noise_share=0.2, seed=1)
    configs = {
        RANDOM: RunConfig(
            "lora",
            str(model),
            pretrained=False,
            data=wrong,
            lora=LoraConfig(rank=2, alpha=4.0),
            train=replace(_train(5e-3), keep="last", validate_every=2),
        ),
        FULL: RunConfig("full", train=_train(1e-3), **common),
        HEAD: RunConfig("head", train=_train(5e-2), **common),
        SMALL: RunConfig(
            "lora", lora=LoraConfig(rank=2, alpha=4.0), train=_train(5e-3, 1), **common
        ),
        LARGE: RunConfig("lora", lora=LoraConfig(RANK, ALPHA), train=_train(5e-3), **common),
    }
    return {n: execute(c, runs / n, cache=PrefixCache()) for n, c in configs.items()}


def _train(rate: float, seed: int = 0) -> TrainConfig:
    return TrainConfig(epochs=3, batch_size=16, learning_rate=rate, seed=seed)
