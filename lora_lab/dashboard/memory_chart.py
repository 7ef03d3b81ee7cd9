"""Weights, gradients and optimiser as stacked bars: LoRA beside full fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from lora_lab.cost import Memory

PARTS = ("weights", "gradients", "optimizer")
_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


def memory_table(memories: Mapping[str, Memory]) -> pd.DataFrame:
    """Bytes of each part, a row per method."""
    rows = {name: [getattr(m, part) for part in PARTS] for name, m in memories.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(PARTS))


def memory_chart(
    memories: Mapping[str, Memory], parts: Mapping[str, str], axis: str, dark: bool
) -> alt.LayerChart:
    """The chart.

    Args:
        memories: by the names that stand beside the bars.
        parts: what "weights", "gradients" and "optimizer" are called in the legend.
        axis: title of the axis, in which {unit} is replaced.
    """
    most = max(memory.total for memory in memories.values())
    unit, one = next((name, size) for name, size in _UNITS if most >= size)
    rows = [
        dict(method=name, part=parts[part], order=order, size=getattr(memory, part) / one)
        for name, memory in memories.items()
        for order, part in enumerate(PARTS)
    ]
    totals = [
        dict(method=name, size=m.total / one, text=f"{m.total / one:,.3g} {unit}")
        for name, m in memories.items()
    ]
    y = alt.Y(
        "method:N",
        sort=None,
        title=None,
        axis=alt.Axis(labelFontSize=14, labelLimit=220, ticks=False, domain=False),
    )
    x = alt.X(
        "size:Q",
        stack="zero",
        title=axis.format(unit=unit),
        scale=alt.Scale(domain=[0, 1.18 * most / one], nice=False),
        axis=alt.Axis(labelFontSize=14, titleFontSize=14, titleFontWeight="normal", tickCount=5),
    )
    colours = ["#8A8A8A", "#E69F00", "#56B4E9" if dark else "#0072B2"]  # two of Okabe and Ito's
    colour = alt.Color(
        "part:N",
        sort=list(parts.values()),
        scale=alt.Scale(domain=[parts[part] for part in PARTS], range=colours),
        legend=alt.Legend(orient="top", title=None, labelFontSize=14, labelLimit=300),
    )
    tips = [
        alt.Tooltip("method:N", title=" "),
        alt.Tooltip("part:N", title="  "),
        alt.Tooltip("size:Q", format=",.3~g", title=unit),
    ]
    bars = alt.Chart(pd.DataFrame(rows)).mark_bar(size=34)
    bars = bars.encode(x=x, y=y, color=colour, order=alt.Order("order:Q"), tooltip=tips)
    text = alt.Chart(pd.DataFrame(totals)).mark_text(
        align="left", dx=7, fontSize=15, color="#e8e6e3" if dark else "#2d2b29"
    )
    return (bars + text.encode(x="size:Q", y=y, text="text:N")).properties(height=alt.Step(52))
