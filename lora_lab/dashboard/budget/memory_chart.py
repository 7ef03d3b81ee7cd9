"""Weights, gradients and optimiser as stacked bars: LoRA beside full fine-tuning.

The chart is plain Vega-Lite: to have Altair check it would take longer than all else on the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lora_lab.budget.cost import Memory, size

PARTS = ("weights", "gradients", "optimizer")
_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


def memory_chart(
    memories: Mapping[str, Memory],
    parts: Mapping[str, str],
    axis: str,
    dark: bool,
    letters: int = 14,
) -> dict[str, Any]:
    """The chart.

    Args:
        memories: by the names that stand beside the bars.
        parts: what "weights", "gradients" and "optimizer" are called in the legend.
        axis: title of the axis, in which {unit} is replaced.
        letters: their size in pixels.
    """
    most = max(memory.total for memory in memories.values())
    unit, one = next((name, bytes_) for name, bytes_ in _UNITS if most >= bytes_)
    rows = [
        dict(method=name, part=parts[part], order=order, size=getattr(memory, part) / one)
        for name, memory in memories.items()
        for order, part in enumerate(PARTS)
    ]
    totals = [
        dict(method=name, size=memory.total / one, text=size(memory.total))
        for name, memory in memories.items()
    ]
    y = dict(
        field="method",
        type="nominal",
        sort=None,
        title=None,
        axis=dict(labelFontSize=letters, labelLimit=220, ticks=False, domain=False),
    )
    x = dict(
        field="size",
        type="quantitative",
        stack="zero",
        title=axis.format(unit=unit),
        scale=dict(domain=[0, 1.35 * most / one], nice=False),  # room for the total
        axis=dict(
            tickCount=4, labelFontSize=letters, titleFontSize=letters, titleFontWeight="normal"
        ),
    )
    colours = ["#8A8A8A", "#E69F00", "#56B4E9" if dark else "#0072B2"]  # two of Okabe and Ito's
    colour = dict(
        field="part",
        type="nominal",
        scale=dict(domain=[parts[part] for part in PARTS], range=colours),
        legend=dict(orient="top", title=None, labelFontSize=letters, labelLimit=300),
    )
    tips = [
        dict(field="method", type="nominal", title=" "),
        dict(field="part", type="nominal", title="  "),
        dict(field="size", type="quantitative", format=",.3~g", title=unit),
    ]
    bars = dict(
        data=dict(values=rows),
        mark=dict(type="bar", size=34),
        encoding=dict(
            x=x, y=y, color=colour, tooltip=tips, order=dict(field="order", type="quantitative")
        ),
    )
    ink = "#e8e6e3" if dark else "#2d2b29"
    text = dict(
        data=dict(values=totals),
        mark=dict(type="text", align="left", dx=7, fontSize=letters + 1, color=ink),
        encoding=dict(
            x=dict(field="size", type="quantitative"), y=y, text=dict(field="text", type="nominal")
        ),
    )
    return dict(layer=[bars, text], height=dict(step=52))
