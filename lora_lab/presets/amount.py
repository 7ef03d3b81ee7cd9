"""How much data, how good, and from where: the grids behind notebook 9.

Another seed draws other training sentences here, so that intervals hold for the choice of these
as well; where so few are learnt from, it matters more than anything else. Nobody who has 16
labelled sentences has a thousand more to choose an epoch by: runs end with their last epoch's
weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from lora_lab.adapt import LoraConfig
from lora_lab.choices import Method, PresetSize
from lora_lab.data import EMBEDDED
from lora_lab.runs import DataConfig, RunConfig, with_learning_rate_for
from lora_lab.training import TrainConfig

Configs = dict[str, RunConfig]

SEEDS = (0, 1, 2)
PAPER = LoraConfig(rank=8, alpha=16.0, target_modules=("q", "v"))
#: Sentences to learn from (None: all there are) and passes over them: few sentences need many,
#: or a run would end after a handful of steps.
EPOCHS: dict[int | None, int] = {16: 40, 64: 20, 256: 8, 1024: 3, None: 1}
MUCH = 1024


def how_much_data(size: PresetSize = "full") -> Configs:
    """How much data does each method need? 15 settings, three seeds each.

    LoRA (r = 8 on query and value), full fine-tuning and the head alone, on 16, 64, 256, 1,024 and
    all film-review sentences. Quick: LoRA in the top layer, up to 256.
    """
    quick = size == "quick"
    methods: tuple[Method, ...] = ("lora",) if quick else ("lora", "full", "head")
    sizes = (16, 64, 256) if quick else tuple(EPOCHS)
    lora = replace(PAPER, layers="top:1") if quick else PAPER
    return _with_seeds(
        {
            f"{method}_{sentences or 'all'}": _config(method, sentences, lora=lora)
            for method in methods
            for sentences in sizes
        }
    )


def over_fitting(size: PresetSize = "full") -> Configs:
    """What helps against over-fitting? Five settings, three seeds each.

    256 sentences, twelve epochs, each method at four times its usual rate, so that it happens
    within these few steps. LoRA (r = 8 on query and value of the top two layers) plain, with L2
    (weight decay 1), with dropout 0.3, and with the best epoch kept (early stopping); full
    fine-tuning plain. Quick: LoRA in the top layer, plain, on 64 sentences for 15 epochs, at ten
    times its usual rate.
    """
    quick = size == "quick"
    sentences, epochs, faster = (64, 15, 10) if quick else (256, 12, 4)
    lora = replace(PAPER, layers="top:1" if quick else "top:2")

    def config(method: Method = "lora", lora: LoraConfig = lora, **train) -> RunConfig:
        plain = _config(method, sentences, epochs=epochs, lora=lora)
        train |= dict(validate_every=1, learning_rate=faster * plain.train.learning_rate)
        return replace(plain, train=replace(plain.train, **train))

    if quick:
        return _with_seeds({"lora_plain": config()})
    return _with_seeds(
        {
            "lora_plain": config(),
            "lora_best-epoch": config(keep="best"),
            "lora_l2": config(weight_decay=1.0),
            "lora_dropout": config(lora=replace(lora, dropout=0.3)),
            "full_plain": config("full"),
        }
    )


def wrong_labels(size: PresetSize = "full") -> Configs:
    """What do wrong labels cost? Two settings, three seeds each.

    1,024 sentences, LoRA (r = 8 on query and value): 40% of the labels flipped, or each label as
    one rater would have given it. ``how-much-data`` has the same
    without noise. Quick: 256 sentences, LoRA in the top two layers, also without noise.
    """
    noises = {"flipped-0.4": ("flipped", 0.4), "one-rater": ("one-rater", 0.0)}
    if size == "quick":
        plain = _config("lora", 256, lora=replace(PAPER, layers="top:2"))
        noises["none"] = ("none", 0.0)
    else:
        plain = _config("lora", MUCH)
    return _with_seeds(
        {
            f"lora_{name}": replace(plain, data=replace(plain.data, noise=noise, noise_share=share))
            for name, (noise, share) in noises.items()
        }
    )


def domains(size: PresetSize = "full") -> Configs:
    """What is left in another domain? Eight settings, three seeds each.

    LoRA (r = 8 on query and value) and full fine-tuning on 512 sentences of each of the four
    domains for three epochs, each method at three times its usual rate, since at the usual one so
    few steps leave LoRA at the majority class; scored on the test sentences of all four. Quick:
    LoRA in the top two layers on 256 film-review and 256 product-review sentences.
    """
    quick = size == "quick"
    faster = 1 if quick else 3
    settings = {}
    for method in ("lora",) if quick else ("lora", "full"):
        for domain in ("movie-reviews", "product-reviews") if quick else EMBEDDED:
            lora = replace(PAPER, layers="top:2") if quick else PAPER
            sentences, epochs = (256, 8) if quick else (512, 3)
            plain = _config(method, sentences, epochs=epochs, lora=lora, domain=domain)
            rate = faster * plain.train.learning_rate
            plain = replace(plain, train=replace(plain.train, learning_rate=rate))
            others = ("movie-reviews", "product-reviews") if quick else tuple(EMBEDDED)
            settings[f"{method}_{domain}"] = replace(
                plain, also_test=tuple(name for name in others if name != domain)
            )
    return _with_seeds(settings)


def no_pre_training(size: PresetSize = "full") -> Configs:
    """What is pre-training worth? Two settings, three seeds each.

    LoRA (r = 8 on query and value) and full fine-tuning of a base whose weights were drawn at
    random, on 1,024 sentences for three epochs. ``how-much-data`` has the same on the pre-trained
    base. Quick: LoRA in the top two layers, 256 sentences, both bases.
    """
    if size == "quick":
        lora = _config("lora", 256, lora=replace(PAPER, layers="top:2"))
        settings = {"lora_random": replace(lora, pretrained=False), "lora_pretrained": lora}
    else:
        # A random base is not to be preserved: it wants the usual rate of a whole network.
        full = _config("full", MUCH)
        full = replace(full, train=replace(full.train, learning_rate=5e-4))
        settings = {
            "lora_random": replace(_config("lora", MUCH), pretrained=False),
            "full_random": replace(full, pretrained=False),
        }
    return _with_seeds(settings)


def _config(
    method: Method,
    sentences: int | None,
    *,
    epochs: int | None = None,
    lora: LoraConfig = PAPER,
    domain: str = "movie-reviews",
) -> RunConfig:
    epochs = EPOCHS[sentences] if epochs is None else epochs
    train = TrainConfig(epochs=epochs, validate_every=epochs, keep="last")
    return RunConfig(
        method=method,
        data=DataConfig(domain, train_size=sentences),
        lora=lora,
        train=with_learning_rate_for(method, train),
    )


def _with_seeds(settings: Mapping[str, RunConfig]) -> Configs:
    return {
        f"{name}_seed-{seed}": replace(
            config,
            data=replace(config.data, seed=seed),
            train=replace(config.train, seed=seed),
        )
        for name, config in settings.items()
        for seed in SEEDS
    }
