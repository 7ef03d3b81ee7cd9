"""Colours, type sizes and the small steps that every figure starts with.

Nothing here touches pyplot, so no figure is kept alive and no backend is chosen. Colours are
Okabe and Ito's, which people with any kind of colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#767676"
YELLOW = "#F0E442"
#: Colour of each sentiment class; other names get the remaining colours in order.
CLASS_COLOURS = {"negative": RED, "neutral": GREY, "positive": BLUE}
OTHER_COLOURS = (GREEN, ORANGE, PURPLE, SKY, BLUE, RED)
STYLE = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2,
}


def colours(names: Sequence[str]) -> list[str]:
    """A colour for each class."""
    spare = iter(OTHER_COLOURS * (1 + len(names) // len(OTHER_COLOURS)))
    return [CLASS_COLOURS.get(name) or next(spare) for name in names]


def figure_of(
    width: float, height: float, *, rows: int = 1, columns: int = 1, **how: Any
) -> tuple[Figure, Any]:
    """An empty figure of this size in inches, and its axes (one, or an array of them)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **how)


def label(axes: Axes, title: str, x: str, y: str, *, grid: bool = True) -> None:
    """Title, names of both axes with their units, and a light grid."""
    axes.set(title=title, xlabel=x, ylabel=y)
    if grid:
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)


def interval_points(axes: Axes, x: Sequence[float], points: Sequence[tuple], **style: Any) -> None:
    """Dots at (value, low, high) with their intervals, joined by a line."""
    if points:
        value, low, high = np.array(points, dtype=float).T
        axes.errorbar(x, value, [value - low, high - value], fmt="o-", capsize=5, ms=8, **style)
