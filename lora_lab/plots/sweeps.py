"""Settings side by side: accuracy over one, all in order, paired differences, powers of rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from lora_lab.plots.spectra import DASHES, MARKERS, PALETTE
from lora_lab.plots.style import BLUE, GREY, RED, STYLE, figure_of, label
from lora_lab.results.comparing import Difference

#: Accuracy of a setting with its 95% interval: (value, low, high).
Scored = tuple[float, float, float]
#: The same at a value of the setting that varies: (x, value, low, high).
Point = tuple[float, float, float, float]
INTERVAL = "test accuracy, 95% interval"
SHIFT = 0.012  # of the width, between neighbouring curves, so that intervals can be seen


def accuracy_over(
    panels: Mapping[str, Mapping[str, Sequence[Point]]],
    *,
    title: str,
    ticks: Sequence[float] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """Accuracy over a positive number on a log axis, a curve per name, side by side per panel.

    Args:
        panels: name of the x-axis -> curves. Curves of the same name look the same.
        ticks: values to name on the x-axis (default: powers of ten).
        levels: dashed horizontal lines with their names.
    """
    names = list(dict.fromkeys(name for curves in panels.values() for name in curves))
    with matplotlib.rc_context(STYLE):
        figure, grid = figure_of(11, 5, columns=len(panels), sharey=True, squeeze=False)
        for axes, (x, curves) in zip(grid[0], panels.items(), strict=True):
            label(axes, "", x, INTERVAL if axes is grid[0][0] else "")
            axes.set_xscale("log")
            reach = [point[0] for points in curves.values() for point in points]
            step = (max(reach) / min(reach)) ** SHIFT
            for name, points in curves.items():
                number = names.index(name)
                shift = step ** (number - (len(names) - 1) / 2)
                at, value, low, high = np.array(sorted(points), dtype=float).T
                axes.errorbar(
                    at * shift, value, [value - low, high - value], capsize=4, **_look(number, name)
                )
            if ticks is not None:
                axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
                axes.xaxis.set_minor_locator(NullLocator())
                axes.set_xticklabels([f"{tick:g}" for tick in ticks])
            for number, (name, value) in enumerate((levels or {}).items()):
                axes.axhline(value, color=GREY, ls=DASHES[1 + number % 3], lw=1.5, label=name)
        grid[0][0].set_title(title)
        grid[0][-1].legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def settings_in_order(
    settings: Mapping[str, Scored],
    *,
    title: str,
    notes: Mapping[str, str] | None = None,
    levels: Mapping[str, float] | None = None,
) -> Figure:
    """One dot per setting with its interval, the best on top.

    Args:
        notes: written at the right of a setting's row, for example how many parameters it trains.
        levels: dashed vertical lines with their names.
    """
    order = sorted(settings, key=lambda name: -settings[name][0])
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 1.9 + 0.5 * len(order))
        label(axes, title, INTERVAL, "")
        for row, name in enumerate(order):
            value, low, high = settings[name]
            axes.plot([low, high], [row, row], color=BLUE, lw=4, alpha=0.45)
            axes.plot([value], [row], "o", color=BLUE, ms=9)
            note = (notes or {}).get(name, "")
            _at_the_right(axes, row, f"{value:.3f}   {note}".rstrip())
        for number, (name, value) in enumerate((levels or {}).items()):
            axes.axvline(value, color=GREY, ls=DASHES[1 + number % 3], lw=1.5, label=name)
        _legend_below(figure, axes.get_legend_handles_labels()[0])
        _rows(axes, order)
    return figure


def differences(
    groups: Mapping[str, Mapping[str, Difference]], *, title: str, x: str = "difference"
) -> Figure:
    """A forest plot: each paired difference with its interval, in percentage points.

    Args:
        groups: heading -> name of a row -> its difference; the heading "" is not drawn.
    """
    with matplotlib.rc_context(STYLE):
        lines: list[tuple[str, Difference | None]] = []
        for heading, rows in groups.items():
            lines += [(heading, None)] if heading else []
            lines += list(rows.items())
        figure, axes = figure_of(11, 2.4 + 0.42 * len(lines))
        label(axes, title, f"{x}, percentage points (corrected 95% interval)", "")
        axes.axvline(0, color="black", lw=1)
        for row, (_, found) in enumerate(lines):
            if found is not None:
                _difference(axes, row, found)
        _rows(axes, [name for name, _ in lines])
        for text, (_, found) in zip(axes.get_yticklabels(), lines, strict=True):
            text.set_weight("normal" if found else "bold")
        _legend_below(figure, [_dot(True, "measurable"), _dot(False, "no measurable difference")])
    return figure


def powers(
    ranks: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    *,
    title: str,
    y: str,
) -> Figure:
    """Sizes over the rank, both on log axes, where a power of the rank is a straight line.

    Args:
        panels: heading -> name -> one size per rank; each curve is divided by its first value.
    """
    with matplotlib.rc_context(STYLE):
        figure, grid = figure_of(11, 5.2, columns=len(panels), sharey=True, squeeze=False)
        for axes, (heading, curves) in zip(grid[0], panels.items(), strict=True):
            label(axes, heading, "rank r", y if axes is grid[0][0] else "")
            axes.set_xscale("log", base=2)
            axes.set_yscale("log", base=2)
            for number, (name, values) in enumerate(curves.items()):
                axes.plot(ranks, np.asarray(values) / values[0], **_look(number, name))
            axes.set_xticks(ranks, [f"{rank:,}" for rank in ranks])
            axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16))
        figure.suptitle(title, x=0.01, ha="left", fontsize=14)
    return figure


def _look(number: int, name: str) -> dict[str, Any]:
    at = number % len(PALETTE)
    return dict(color=PALETTE[at], ls=DASHES[at], marker=MARKERS[at], ms=8, label=name)


def _difference(axes: Axes, row: int, found: Difference) -> None:
    low, value, high = (
        100 * part for part in (found.interval.low, found.value, found.interval.high)
    )
    dot = _dot(found.measurable)
    axes.plot([low, high], [row, row], color=dot.get_color(), lw=2.5)
    axes.plot([value], [row], marker=dot.get_marker(), color=dot.get_color(), ms=9,
              mfc=dot.get_markerfacecolor())  # fmt: skip
    _at_the_right(axes, row, f"{value:+.1f}")


def _dot(measurable: bool, name: str = "") -> Line2D:
    colour = RED if measurable else GREY
    style = dict(marker="o", mfc=colour) if measurable else dict(marker="s", mfc="white")
    return Line2D([], [], color=colour, ms=9, label=name, **style)


def _rows(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)


def _at_the_right(axes: Axes, row: int, text: str) -> None:
    axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center")


def _legend_below(figure: Figure, handles: Sequence[Line2D]) -> None:
    if handles:
        figure.legend(handles=handles, loc="outside lower right", ncols=2, frameon=False)
