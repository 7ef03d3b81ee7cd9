"""What an architecture costs to adapt, kept so that each is built and counted only once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lora_lab.adapt import LoraConfig
from lora_lab.budget import pasted
from lora_lab.budget.counting import Blueprint, Count
from lora_lab.budget.pasted import PastedError
from lora_lab.dashboard.budget import fitting
from lora_lab.dashboard.budget.settings import PASTED
from lora_lab.dashboard.sheet import Values
from lora_lab.targets import ALL_LINEAR


@dataclass(frozen=True)
class Asked:
    """What is counted: the settings, as far as they change a cost, put onto one architecture."""

    model: str
    config: str
    rank: int
    targets: tuple[str, ...]
    layers: str
    head: bool

    def lora(self, alpha: float = 16.0) -> LoraConfig:
        targets = ALL_LINEAR if self.targets == (ALL_LINEAR,) else self.targets
        return LoraConfig(
            rank=self.rank, alpha=float(alpha), target_modules=targets, layers=self.layers
        )


@st.cache_resource(show_spinner=False, max_entries=100)
def blueprint(model: str, config: str) -> Blueprint | PastedError:
    """The architecture, or why the pasted one is refused: both are worth remembering."""
    try:
        return pasted.blueprint(config) if model == PASTED else Blueprint(model)
    except PastedError as error:
        return error


def asked(values: Values, drawn: Blueprint) -> Asked:
    return Asked(
        model=values["model"],
        config=values["config"] if values["model"] == PASTED else "",
        rank=values["rank"],
        targets=fitting.fit_targets(values["targets"], fitting.offered(drawn)),
        layers=fitting.fit_layers(values["layers"], drawn.blocks),
        head=values["head"] and bool(drawn.head_names),
    )


def as_trained(what: Asked, drawn: Blueprint) -> Asked:
    """The same with whole matrices in the place of parts that no code can adapt apart."""
    return replace(what, targets=fitting.as_trained(what.targets, fitting.offered(drawn)))


@st.cache_data(show_spinner=False, max_entries=5000)
def counted(what: Asked) -> Count:
    """Exact.

    Raises:
        ValueError: the rank is larger than a side of a chosen matrix.
    """
    drawn = blueprint(what.model, what.config)
    return drawn.count(what.lora(), head=what.head)


def largest_rank(what: Asked) -> int:
    """The shortest side of the chosen matrices."""
    small = counted(replace(what, rank=1))
    return min(min(kind.shape) for kind in small.matrices if kind.adapted)
