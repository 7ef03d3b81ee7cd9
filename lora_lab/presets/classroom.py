"""The grid behind the dashboard's Compare page."""

from __future__ import annotations

from dataclasses import replace

from lora_lab.adapt import LoraConfig
from lora_lab.choices import ALL_LINEAR, PresetSize
from lora_lab.runs import DataConfig, RunConfig, with_learning_rate_for
from lora_lab.sweeps import grid

SEEDS = (0, 1, 2, 3, 4)
RANKS = (1, 2, 4, 8, 16, 32)
LAYERS = ("top:1", "top:2", "all")
TRAIN_SIZE = 1000  # what the dashboard proposes for a visitor's first run: the two compare


def classroom(size: PresetSize = "full") -> dict[str, RunConfig]:
    """Which setting matters? 21 settings, five seeds each, on the film reviews.

    - LoRA on query and value: ranks 1 to 32, in the top layer, the top two and all of them;
    - LoRA with r = 8 on every linear layer;
    - the head alone, and full fine-tuning, each at the learning rate that suits it.

    alpha / r is 2 throughout, so a change of rank changes the rank alone. All learn from the same
    1,000 sentences for three epochs and are scored on all 2,062 test sentences. Quick: ranks 1
    and 8 in the top layer, and the head, three seeds, 200 sentences.
    """
    quick = size == "quick"
    seeds = SEEDS[:3] if quick else SEEDS
    base = RunConfig(data=DataConfig(train_size=200 if quick else TRAIN_SIZE))
    paper = replace(base, lora=LoraConfig(target_modules=("q", "v")))
    ranks, layers = ((1, 8), ("top:1",)) if quick else (RANKS, LAYERS)
    configs = {
        f"lora_{name}": config
        for name, config in grid(paper, ranks=ranks, layers=layers, seeds=seeds).items()
    }
    others = {
        "lora_all-linear_rank-8": replace(base, lora=LoraConfig(target_modules=ALL_LINEAR)),
        "head": replace(base, method="head", train=with_learning_rate_for("head", base.train)),
        "full": replace(base, method="full", train=with_learning_rate_for("full", base.train)),
    }
    for name in ("head",) if quick else others:
        for seed, config in grid(others[name], seeds=seeds).items():
            configs[f"{name}_{seed}"] = config
    return configs
