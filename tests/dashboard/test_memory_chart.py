"""The bars of memory: as long as what is counted, and a chart that Vega-Lite accepts."""

from __future__ import annotations

import altair as alt
import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.budget.cost import size
from lora_lab.budget.counting import count
from lora_lab.dashboard import export
from lora_lab.dashboard.budget.memory_chart import PARTS, memory_chart

NAMES = dict(zip(PARTS, ("权重", "梯度", "矩"), strict=True))
UNITS = {"TB": 1e12, "GB": 1e9, "MB": 1e6}


@pytest.mark.parametrize(
    ("model", "unit"), [("minilm", "MB"), ("llama-2-7b", "GB"), ("gpt3-175b", "TB")]
)
@pytest.mark.parametrize("dark", [True, False])
def test_bars_are_as_long_as_what_is_counted(model, unit, dark):
    counted = count(model, LoraConfig())
    memories = {"LoRA": counted.lora_memory, "full": counted.full_memory}
    chart = memory_chart(memories, NAMES, "memory in {unit}", dark)
    alt.Chart.from_dict(chart).to_dict()  # raises where the schema does not allow it
    bars, totals = (layer["data"]["values"] for layer in chart["layer"])
    for name, memory in memories.items():
        lengths = {bar["part"]: bar["size"] * UNITS[unit] for bar in bars if bar["method"] == name}
        assert lengths == pytest.approx({NAMES[part]: getattr(memory, part) for part in PARTS})
        (total,) = (row for row in totals if row["method"] == name)
        assert total["size"] * UNITS[unit] == pytest.approx(memory.total)
        assert total["text"] == size(memory.total)
        assert total["size"] < chart["layer"][0]["encoding"]["x"]["scale"]["domain"][1]


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<svg")])
def test_it_can_be_taken_away(kind, start):
    counted = count("minilm", LoraConfig())
    chart = memory_chart({"LoRA": counted.lora_memory}, NAMES, "{unit}", dark=False)
    assert export.picture(chart, kind).startswith(start)
