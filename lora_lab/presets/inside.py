"""Updates to look into: the grid behind notebook 10."""

from __future__ import annotations

from lora_lab.adapt import LoraConfig
from lora_lab.choices import PresetSize
from lora_lab.runs import DataConfig, RunConfig
from lora_lab.sweeps import grid

SEEDS = (0, 1, 2)


def inside(size: PresetSize = "full") -> dict[str, RunConfig]:
    """Do ranks and seeds learn the same? Two ranks, three seeds each.

    LoRA on query and value of all layers with ranks 8 and 64 at alpha / r = 2, on 1,000
    film-review sentences for three epochs: the paper's figures 3 and 4 in small. Quick: ranks 4
    and 16 in the top layer, on 500 sentences.
    """
    quick = size == "quick"
    base = RunConfig(
        data=DataConfig(train_size=500 if quick else 1000),
        lora=LoraConfig(target_modules=("q", "v"), layers="top:1" if quick else "all"),
    )
    return grid(base, ranks=(4, 16) if quick else (8, 64), seeds=SEEDS)
