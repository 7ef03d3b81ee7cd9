"""Which settings matter: learning rate and scale, rank and its rule, matrices, layers, controls.

All learn from the 1,000 film-review sentences of the classroom's grid, for three epochs, with three
seeds, so that all of these can be compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lora_lab.adapt import LoraConfig
from lora_lab.choices import PresetSize
from lora_lab.presets.classroom import TRAIN_SIZE
from lora_lab.runs import DataConfig, RunConfig, with_learning_rate_for

Configs = dict[str, RunConfig]

SEEDS = (0, 1, 2)
QUICK_SIZE = 300
PAPER = ("q", "v")  # the matrices that the paper adapts most


def rate_and_scale(size: PresetSize = "full") -> Configs:
    """Do learning rate and scale do the same? 15 settings, three seeds each.

    LoRA, r = 8 on query and value of the top two layers: four rates times three scales alpha / r.
    In all layers: two more rates at alpha / r = 2. Full fine-tuning at the rate that suits LoRA
    (the classroom's grid has its own). Quick: two rates times two scales in the top layer, 300
    sentences; small rate with large scale and large rate with small scale have one product.
    """
    base = _base(size)
    quick = size == "quick"
    rates = (5e-4, 8e-3) if quick else (3e-4, 1e-3, 3e-3, 1e-2)
    scales = (0.5, 8.0) if quick else (0.5, 2.0, 8.0)
    layers = "top:1" if quick else "top:2"
    settings = {
        f"lora_rate-{rate:g}_scale-{scale:g}": _with_rate(
            replace(base, lora=_lora(alpha=scale * 8, layers=layers)), rate
        )
        for rate in rates
        for scale in scales
    }
    if not quick:
        for rate in (3e-4, 3e-3):
            settings[f"lora_all_rate-{rate:g}"] = _with_rate(replace(base, lora=_lora()), rate)
        settings["full_rate-0.001"] = _with_rate(replace(base, method="full"), 1e-3)
    return _with_seeds(settings)


def rank_and_rule(size: PresetSize = "full") -> Configs:
    """What does a larger rank do when alpha stays? Six settings, three seeds each.

    LoRA on query and value of the top two layers with alpha = 16: ranks 1, 8 and 64 under
    alpha / r and under rsLoRA's alpha / sqrt(r). Quick: the top layer, 300 sentences.
    """
    layers = "top:1" if size == "quick" else "top:2"
    settings = {
        f"{rule.replace('/', '-').replace('(', '-').replace(')', '')}_rank-{rank}": replace(
            _base(size), lora=_lora(rank=rank, alpha=16.0, scaling=rule, layers=layers)
        )
        for rule in ("alpha/r", "alpha/sqrt(r)")
        for rank in (1, 8, 64)
    }
    return _with_seeds(settings)


def which_matrices(size: PresetSize = "full") -> Configs:
    """Which matrices and layers are worth adapting? Five settings, three seeds each.

    LoRA with r = 8: query, value, all four of attention, or the two of the feed-forward part in
    all layers; query and value in the bottom two. The classroom's grid has query and value in the
    top layers and in all, and every linear layer. Quick: query or value in the top layer, 300
    sentences.
    """
    if size == "quick":
        chosen = {m: _lora(target_modules=(m,), layers="top:1") for m in PAPER}
    else:
        chosen = {
            "q": _lora(target_modules=("q",)),
            "v": _lora(target_modules=("v",)),
            "attention": _lora(target_modules=("q", "k", "v", "o")),
            "feed-forward": _lora(target_modules=("up", "down")),
            "bottom-2": _lora(layers="bottom:2"),
        }
    return _with_seeds({name: replace(_base(size), lora=lora) for name, lora in chosen.items()})


def controls(size: PresetSize = "full") -> Configs:
    """Is it the learning of the update that counts? Two settings, three seeds each.

    A random update that is frozen, with the head alone learning; and LoRA on shuffled labels. The
    classroom's grid has the head alone, LoRA and full fine-tuning. Quick: also LoRA and the head,
    in the top layer, 300 sentences.
    """
    base = _base(size)
    layers = "top:1" if size == "quick" else "all"
    head = with_learning_rate_for("head", base.train)
    settings = {
        "random": replace(
            base, lora=_lora(alpha=4.0, layers=layers, train_update=False), train=head
        ),
        "shuffled": replace(
            base, lora=_lora(layers=layers), data=replace(base.data, noise="shuffled")
        ),
    }
    if size == "quick":
        settings["head"] = replace(base, method="head", train=head)
        settings["lora"] = replace(base, lora=_lora(layers=layers))
    return _with_seeds(settings)


def _base(size: PresetSize) -> RunConfig:
    return RunConfig(data=DataConfig(train_size=QUICK_SIZE if size == "quick" else TRAIN_SIZE))


def _lora(rank: int = 8, alpha: float = 16.0, **more) -> LoraConfig:
    return LoraConfig(rank=rank, alpha=alpha, **{"target_modules": PAPER} | more)


def _with_rate(config: RunConfig, rate: float) -> RunConfig:
    return replace(config, train=replace(config.train, learning_rate=rate))


def _with_seeds(settings: Mapping[str, RunConfig]) -> Configs:
    return {
        f"{name}_seed-{seed}": replace(config, train=replace(config.train, seed=seed))
        for name, config in settings.items()
        for seed in SEEDS
    }
