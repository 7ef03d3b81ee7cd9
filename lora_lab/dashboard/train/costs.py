"""What the chosen method costs, counted by the library and kept for the next look."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lora_lab.adapt import LoraConfig, TwoSidedConfig, apply_two_sided, trainable_parameters
from lora_lab.budget.architectures import configuration, on_meta_device
from lora_lab.budget.cost import size
from lora_lab.budget.counting import Blueprint, Count, Memory
from lora_lab.dashboard import wording
from lora_lab.dashboard.language import t
from lora_lab.runs import RunConfig


@dataclass(frozen=True)
class Cost:
    """What one run trains, stores and holds in memory."""

    trainable: int
    parameters: int
    share: float
    file: int
    memory: Memory
    counted: Count


def cost_of(config: RunConfig, classes: int = 2) -> Cost:
    """Exact for every method; the same for any learning rate, data and seed.

    Args:
        classes: what the head tells apart.

    Raises:
        ValueError: the configuration cannot be applied to the model.
    """
    return _cost_of(config.model, config.method, config.lora, config.two_sided, classes)


@st.cache_data(show_spinner=False, max_entries=1000)
def _cost_of(
    model: str, method: str, lora: LoraConfig, two_sided: TwoSidedConfig, classes: int
) -> Cost:
    counted = _blueprint(model, classes).count(lora)
    if method == "full":
        every = counted.base_parameters + counted.head_parameters
        return Cost(every, every, 1.0, counted.model_file_bytes(), counted.full_memory, counted)
    if method == "head":
        counted = replace(counted, adapter_parameters=0)
    elif method == "two-sided":
        shapes = on_meta_device(configuration(model, classes))
        apply_two_sided(shapes, two_sided)
        adapter = trainable_parameters(shapes) - counted.head_parameters
        counted = replace(counted, adapter_parameters=adapter)
    return Cost(
        trainable=counted.trainable_parameters,
        parameters=counted.trainable_parameters + counted.frozen_parameters,
        share=counted.share,
        file=counted.adapter_file_bytes(head=True),
        memory=counted.lora_memory,
        counted=counted,
    )


@st.cache_resource(show_spinner=False, max_entries=20)
def _blueprint(model: str, classes: int) -> Blueprint:
    return Blueprint(model, classes)


def figures(cost: Cost, method: str) -> str:
    """Four numbers, each beside what full fine-tuning needs, as HTML."""
    counted, memory = cost.counted, cost.memory
    every = counted.base_parameters + counted.head_parameters
    if method == "full":
        beside = (
            t("train.cost.every_one"),
            t("train.cost.of", number=f"{cost.parameters:,}"),
            t("train.cost.whole_model"),
            t("train.cost.of_which_adam", size=size(memory.optimizer)),
        )
    else:
        beside = (
            t("train.cost.full", number=f"{every:,}"),
            t("train.cost.of", number=f"{cost.parameters:,}"),
            t("train.cost.full", number=size(counted.model_file_bytes())),
            t("train.cost.full", number=size(counted.full_memory.total)),
        )
    numbers = (
        f"{cost.trainable:,}",
        wording.share(cost.share),
        size(cost.file),
        size(memory.total),
    )
    labels = (t(f"train.cost.{what}") for what in ("trainable", "share", "file", "memory"))
    cells = (
        f'<div><div>{label}</div><div class="value">{number}</div><div>{other}</div></div>'
        for label, number, other in zip(labels, numbers, beside, strict=True)
    )
    return f'<div class="figures">{"".join(cells)}</div>'


def caption(cost: Cost) -> str:
    """What the four numbers hold, in one sentence."""
    memory = cost.memory
    return t(
        "train.cost.caption",
        weights=size(memory.weights),
        gradients=size(memory.gradients),
        moments=size(memory.optimizer),
    )
