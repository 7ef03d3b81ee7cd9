"""A small run that sweeps vary."""

from __future__ import annotations

from pathlib import Path

import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.runs import DataConfig, RunConfig
from lora_lab.training import TrainConfig


@pytest.fixture
def base(tiny_folder: Path, reviews_file: Path) -> RunConfig:
    return RunConfig(
        model=str(tiny_folder),
        data=DataConfig(name=str(reviews_file)),
        lora=LoraConfig(rank=2, alpha=4, layers="top:1"),
        train=TrainConfig(epochs=1, learning_rate=5e-3),
    )
