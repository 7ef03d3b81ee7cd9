"""Differences with their intervals beside the bound that a claim draws."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lora_lab.evaluation import Interval
from lora_lab.plots.style import BLUE, GREY, RED, STYLE, figure_of, label
from lora_lab.results.verdicts import FAILS, HOLDS, OPEN, above

#: Colour and marker of each outcome: either alone tells them apart.
_LOOK = {HOLDS: (BLUE, "o"), FAILS: (RED, "X"), OPEN: (GREY, "s")}


def judged(
    rows: Mapping[str, tuple[float, Interval]],
    title: str,
    *,
    bound: float = 0.0,
    x: str = "difference in accuracy, points",
    scale: float = 100.0,
) -> Figure:
    """Each value with its interval, and whether that lies above, below or across ``bound``.

    Args:
        rows: value and interval by name, the first on top.
        bound: the dashed line; a thin line marks 0.
        scale: what values are multiplied by to be drawn (100: shares as points).
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(10, 2.4 + 0.42 * len(rows))
        label(axes, title, x, "")
        axes.axvline(0, color=GREY, lw=1)
        axes.axvline(scale * bound, color="black", ls="--", lw=1.5)
        seen = []
        for place, (value, interval) in enumerate(rows.values()):
            outcome = above(interval, bound)
            seen.append(outcome)
            colour, marker = _LOOK[outcome]
            low, high = scale * interval.low, scale * interval.high
            axes.plot([low, high], [place, place], color=colour, solid_capstyle="butt")
            axes.plot([scale * value], [place], marker, color=colour, ms=9)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        handles = [
            Line2D([], [], color=_LOOK[o][0], marker=_LOOK[o][1], ms=9, label=o)
            for o in _LOOK
            if o in seen
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure
