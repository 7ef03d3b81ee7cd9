"""What can be set on the train page, and the run that a choice of settings asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from lora_lab.adapt import LoraConfig, TwoSidedConfig
from lora_lab.budget.architectures import configuration
from lora_lab.choices import Method, Precision, PrefixChoice
from lora_lab.dashboard import uploads
from lora_lab.dashboard.kinds import ALL, Choice, LayerChoice, Several, Source, Whole
from lora_lab.dashboard.sheet import Preset, Sheet, Values
from lora_lab.data import EMBEDDED
from lora_lab.models import DEFAULT_MODEL
from lora_lab.runs import LEARNING_RATES, DataConfig, RunConfig
from lora_lab.targets import ALL_LINEAR, SHORT_NAMES
from lora_lab.training import TrainConfig

METHODS: tuple[str, ...] = get_args(Method)
WITH_RANK = ("lora", "two-sided")
_MODEL = configuration(DEFAULT_MODEL)
LAYERS: int = _MODEL.num_hidden_layers
TARGETS: tuple[str, ...] = tuple(SHORT_NAMES[_MODEL.model_type])

_RATES = tuple(float(f"{digit}e{power}") for power in range(-5, 0) for digit in (1, 2, 3, 5)) + (
    1.0,
)

SHEET = Sheet(
    name="train",
    lead="method",
    settings=(
        Choice(name="method", group="what", default="lora", options=METHODS),
        Whole(
            name="rank",
            group="what",
            default=8,
            low=1,
            high=64,
            steps=(1, 2, 4, 8, 16, 32, 64),
            methods=WITH_RANK,
        ),
        Whole(name="alpha", group="what", default=16, low=1, high=256, methods=("lora",)),
        LayerChoice(name="layers", group="what", default=ALL, count=LAYERS, methods=WITH_RANK),
        Several(
            name="targets",
            group="what",
            default=TARGETS,
            options=TARGETS,
            together=ALL_LINEAR,
            methods=WITH_RANK,
        ),
        Source(
            name="data",
            group="from",
            default="movie-reviews",
            options=tuple(EMBEDDED),
            known=uploads.known,
        ),
        Choice(
            name="train",
            group="from",
            default=1000,
            options=(100, 250, 500, 1000, 2500, 5000, None),
            ladder=True,
        ),
        Choice(
            name="rate",
            group="how",
            default=LEARNING_RATES["lora"],
            by_lead=LEARNING_RATES,
            options=_RATES,
            ladder=True,
        ),
        Choice(
            name="epochs", group="how", default=3, options=(1, 2, 3, 4, 5, 6, 8, 10), ladder=True
        ),
        Choice(
            name="seeds", group="how", default=1, options=(1, 2, 3, 5), ladder=True, detail=True
        ),
        Whole(name="seed", group="how", default=0, low=0, high=9999, detail=True),
        Choice(
            name="prefix",
            group="speed",
            default="float32",
            options=get_args(PrefixChoice),
            detail=True,
        ),
        Choice(
            name="precision",
            group="speed",
            default="float32",
            options=get_args(Precision),
            detail=True,
        ),
    ),
    presets=(
        Preset("every_matrix"),
        Preset("paper", {"targets": ("q", "v")}),
        Preset("smallest", {"rank": 1, "alpha": 2, "layers": "top:1"}),
        Preset("two_sided", {"method": "two-sided"}),
        Preset("head", {"method": "head"}),
        Preset("full", {"method": "full"}),
        Preset("wrong_rate", {"rate": LEARNING_RATES["full"]}),
    ),
)


def run_config(values: Values) -> RunConfig:
    """The run that the values ask for, the first one if they ask for several seeds.

    Raises:
        ValueError: values that do not go together.
    """
    targets = ALL_LINEAR if set(values["targets"]) == set(TARGETS) else values["targets"]
    where = dict(rank=values["rank"], target_modules=targets, layers=values["layers"])
    return RunConfig(
        method=values["method"],
        data=DataConfig(_data(values["data"]), train_size=values["train"]),
        lora=LoraConfig(alpha=float(values["alpha"]), **where),
        two_sided=TwoSidedConfig(**where),
        train=TrainConfig(
            epochs=values["epochs"],
            learning_rate=values["rate"],
            seed=values["seed"],
            prefix=values["prefix"],
            precision=values["precision"],
        ),
    )


def run_configs(values: Values) -> list[RunConfig]:
    """One run for each seed that the values ask for.

    Raises:
        ValueError: values that do not go together.
    """
    first = run_config(values)
    seeds = range(first.train.seed, first.train.seed + values["seeds"])
    return [replace(first, train=replace(first.train, seed=seed)) for seed in seeds]


def _data(source: str) -> str:
    """What ``load_data`` knows it by."""
    return source if source in EMBEDDED else str(uploads.path(source))
