"""Sweeps with a name: grids of runs that answer a question in class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from lora_lab.adapt import LoraConfig
from lora_lab.choices import ALL_LINEAR
from lora_lab.runs import DataConfig, RunConfig, with_learning_rate_for
from lora_lab.sweeps import grid

Configs = dict[str, RunConfig]

SEEDS = (0, 1, 2, 3, 4)
RANKS = (1, 2, 4, 8, 16, 32)
LAYERS = ("top:1", "top:2", "all")
TRAIN_SIZE = 1000  # what the dashboard proposes for a visitor's first run: the two compare


def classroom() -> Configs:
    """Which setting matters? 21 settings, five seeds each, on the film reviews.

    - LoRA on query and value: ranks 1 to 32, in the top layer, the top two and all of them;
    - LoRA with r = 8 on every linear layer;
    - the head alone, and full fine-tuning, each at the learning rate that suits it.

    alpha / r is 2 throughout, so a change of rank changes the rank alone. All learn from the same
    1,000 sentences for three epochs and are scored on all 2,062 test sentences.
    """
    base = RunConfig(data=DataConfig(train_size=TRAIN_SIZE))
    paper = replace(base, lora=LoraConfig(target_modules=("q", "v")))
    configs = {
        f"lora_{name}": config
        for name, config in grid(paper, ranks=RANKS, layers=LAYERS, seeds=SEEDS).items()
    }
    for name, config in (
        ("lora_all-linear_rank-8", replace(base, lora=LoraConfig(target_modules=ALL_LINEAR))),
        ("head", replace(base, method="head", train=with_learning_rate_for("head", base.train))),
        ("full", replace(base, method="full", train=with_learning_rate_for("full", base.train))),
    ):
        seeds = grid(config, seeds=SEEDS)
        configs |= {f"{name}_{seed}": config for seed, config in seeds.items()}
    return configs


PRESETS: dict[str, Callable[[], Configs]] = {"classroom": classroom}


def preset(name: str) -> Configs:
    """The runs of a preset, by folder name.

    Raises:
        ValueError: there is no such preset.
    """
    if name not in PRESETS:
        raise ValueError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name]()
