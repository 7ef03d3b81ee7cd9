"""What the chosen method costs, counted by the library and kept for the next look."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from lora_lab.adapt import apply_two_sided, trainable_parameters
from lora_lab.architectures import configuration, on_meta_device
from lora_lab.counting import Count, Memory, count
from lora_lab.dashboard import wording
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


@st.cache_data(show_spinner=False, max_entries=1000)
def cost_of(config: RunConfig) -> Cost:
    """Exact for every method.

    Raises:
        ValueError: the configuration cannot be applied to the model.
    """
    counted = count(config.model, config.lora)
    if config.method == "full":
        every = counted.base_parameters + counted.head_parameters
        return Cost(every, every, 1.0, counted.model_file_bytes(), counted.full_memory, counted)
    if config.method == "head":
        counted = replace(counted, adapter_parameters=0)
    elif config.method == "two-sided":
        model = on_meta_device(configuration(config.model))
        apply_two_sided(model, config.two_sided)
        adapter = trainable_parameters(model) - counted.head_parameters
        counted = replace(counted, adapter_parameters=adapter)
    return Cost(
        trainable=counted.trainable_parameters,
        parameters=counted.trainable_parameters + counted.frozen_parameters,
        share=counted.share,
        file=counted.adapter_file_bytes(head=True),
        memory=counted.lora_memory,
        counted=counted,
    )


def show(cost: Cost, method: str) -> None:
    """Four numbers, each beside what full fine-tuning needs."""
    full = cost.counted.base_parameters + cost.counted.head_parameters
    alike = method == "full"
    numbers = (
        (
            "Trainable parameters",
            f"{cost.trainable:,}",
            "every one" if alike else f"full: {full:,}",
            "The adapter's matrices and the classification head.",
        ),
        (
            "Share of the model",
            wording.share(cost.share),
            f"of {cost.parameters:,}",
            "Trainable parameters among all, adapter and head included.",
        ),
        (
            "File to keep",
            wording.size(cost.file),
            "the whole model" if alike else f"full: {wording.size(cost.counted.model_file_bytes())}",
            "Trained weights in float32, head included.",
        ),
        (
            "Training memory",
            wording.size(cost.memory.total),
            "weights + gradients + Adam" if alike else
            f"full: {wording.size(cost.counted.full_memory.total)}",
            f"Weights {wording.size(cost.memory.weights)}, gradients "
            f"{wording.size(cost.memory.gradients)}, AdamW's two moments "
            f"{wording.size(cost.memory.optimizer)}, in float32. Activations come on top and "
            "depend on the length of the sentences.",
        ),
    )  # fmt: skip
    for column, (label, value, beside, help) in zip(st.columns(4), numbers, strict=True):
        column.metric(
            label, value, beside, delta_color="off", delta_arrow="off", help=help, border=True
        )
