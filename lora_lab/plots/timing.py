"""Where time goes: bars made of parts, and bars with the range of their measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from lora_lab.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    STYLE,
    YELLOW,
    figure_of,
    label,
)


def part_bars(
    rows: Mapping[str, Mapping[str, float]], *, title: str, x: str, share: bool = False
) -> Figure:
    """One stacked bar per row, made of named parts; what a row lacks counts as 0.

    Args:
        share: the values are shares of 1 and are labelled in per cent.
    """
    parts = list(dict.fromkeys(name for row in rows.values() for name in row))
    palette = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY)
    widest = max(sum(row.values()) for row in rows.values()) or 1.0
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, max(3.6, 1.8 + 0.75 * len(rows)))
        start = np.zeros(len(rows))
        for number, part in enumerate(parts):
            value = np.array([row.get(part, 0.0) for row in rows.values()])
            colour = palette[number % len(palette)]
            bars = axes.barh(range(len(rows)), value, 0.6, start, color=colour, label=part)
            texts = [f"{v:.0%}" if share else f"{v:.3g}" for v in value]
            shown = [t if v > 0.055 * widest else "" for t, v in zip(texts, value, strict=True)]
            ink = "white" if colour in (BLUE, GREEN, RED, GREY) else "black"
            axes.bar_label(bars, shown, label_type="center", color=ink)
            start += value
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, widest)
        label(axes, title, x, "", grid=False)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    return figure


def time_bars(
    times: Mapping[str, Sequence[float]],
    *,
    title: str,
    x: str,
    floor: float | None = None,
) -> Figure:
    """One bar per row, as long as the median of its times, with their range from end to end.

    Args:
        floor: a dashed line at what no row can go below.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 1.9 + 0.6 * len(times))
        label(axes, title, x, "", grid=False)
        for row, values in enumerate(times.values()):
            middle, low, high = np.median(values), min(values), max(values)
            axes.barh(row, middle, 0.6, color=SKY)
            axes.plot([low, high], [row, row], "|-", color="black", ms=11, lw=1.5)
            axes.text(high, row, f"  {middle:.3g}", va="center")
        axes.set_yticks(range(len(times)), list(times))
        axes.set_ylim(len(times) - 0.5, -0.5 if floor is None else -1.0)
        axes.set_xlim(0, 1.13 * max(max(values) for values in times.values()))
        if floor is not None:
            axes.axvline(floor, color=RED, ls="--")
            axes.text(floor, -0.72, f" floor {floor:.3g}", color=RED, va="center")
    return figure
