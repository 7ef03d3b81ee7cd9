"""From the words of a command to configurations. What takes long to import is imported late."""

from __future__ import annotations

from argparse import Namespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lora_lab.adapt import LoraConfig
    from lora_lab.runs import RunConfig
    from lora_lab.sweeps import Range


def run_config(options: Namespace) -> RunConfig:
    from lora_lab.adapt import TwoSidedConfig
    from lora_lab.runs import LEARNING_RATES, DataConfig, RunConfig
    from lora_lab.training import TrainConfig

    method = getattr(options, "method", "lora")
    rate = options.learning_rate
    return RunConfig(
        method=method,
        model=getattr(options, "model", "minilm"),
        pretrained=not getattr(options, "from_scratch", False),
        data=DataConfig(**data_options(options)),
        lora=lora_config(options),
        two_sided=TwoSidedConfig(
            form=getattr(options, "form", "low-rank"),
            rank=options.rank,
            target_modules=options.targets,
            layers=options.layers,
        ),
        train=TrainConfig(
            epochs=options.epochs,
            learning_rate=LEARNING_RATES[method] if rate is None else rate,
            batch_size=options.batch_size,
            weight_decay=options.weight_decay,
            warmup=options.warmup,
            max_length=options.max_length,
            patience=options.patience,
            validate_every=options.validate_every,
            keep=options.keep,
            seed=options.seed,
            prefix=options.prefix,
            precision=options.precision,
        ),
        also_test=tuple(words(getattr(options, "also_test", ""), ",")),
    )


def lora_config(options: Namespace) -> LoraConfig:
    from lora_lab.adapt import LoraConfig

    return LoraConfig(
        rank=options.rank,
        alpha=2.0 * options.rank if options.alpha is None else options.alpha,
        target_modules=options.targets,
        layers=options.layers,
        scaling=options.scaling,
        dropout=options.dropout,
    )


def data_options(options: Namespace) -> dict[str, Any]:
    chosen = dict(
        name=options.data,
        classes=options.classes,
        train_size=options.train_size,
        text_column=options.text_column,
        label_column=options.label_column,
    )
    if "noise" in options:  # only what trains has training labels to spoil
        chosen |= dict(noise=options.noise, noise_share=options.noise_share, seed=options.data_seed)
    return chosen


def sweep_choices(options: Namespace) -> dict[str, Any]:
    """The values of a sweep's plural flags, by the names of ``sweeps.grid``; empty if not given."""
    return dict(
        methods=words(options.methods, ","),
        train_sizes=[
            None if size == "all" else whole_numbers("--train-sizes", size)[0]
            for size in words(options.train_sizes, ",")
        ],
        ranks=whole_numbers("--ranks", options.ranks),
        alphas=numbers("--alphas", options.alphas),
        scales=numbers("--scales", options.scales),
        scalings=options.scalings.split(),
        layers=options.layer_choices.split(),
        targets=options.target_choices.split(),
        dropouts=numbers("--dropouts", options.dropouts),
        rates=numbers("--rates", options.rates),
        seeds=whole_numbers("--seeds", options.seeds),
    )


def words(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def whole_numbers(flag: str, text: str) -> list[int]:
    try:
        return [int(part) for part in words(text, ",")]
    except ValueError:
        raise ValueError(f"{flag} is {text!r}; write whole numbers such as 1,2,4.") from None


def numbers(flag: str, text: str) -> list[float | Range]:
    """Numbers such as 1e-4,1e-3, or ranges such as 1e-4..1e-2."""
    from lora_lab.sweeps import Range

    try:
        parts = [[float(end) for end in part.split("..")] for part in words(text, ",")]
    except ValueError:
        raise ValueError(f"{flag} is {text!r}; write numbers such as 0.001,0.01.") from None
    return [part[0] if len(part) == 1 else Range(*part) for part in parts]
