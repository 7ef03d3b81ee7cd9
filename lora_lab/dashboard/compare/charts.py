"""The compare page's chart: accuracy over a quantity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from html import escape
from itertools import chain, repeat
from typing import Any

import altair as alt
import pandas as pd

from lora_lab.dashboard.chart_style import GREY, letters, line_height
from lora_lab.dashboard.compare.across import lines_across
from lora_lab.dashboard.compare.measured import alpha_follows_rank
from lora_lab.dashboard.language import t
from lora_lab.dashboard.wording import percent

#: Okabe and Ito's palette without its yellow, which white ground swallows, and without black.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
STEPS = ("rank", "alpha", "scale", "layers", "rate", "train")  # a place for each value
COSTS = ("trainable", "seconds")  # a scale on which each power of ten is as long
HEIGHT = 380


def accuracy_over(
    items: pd.DataFrame,
    axis: str,
    colours: Mapping[str, str],
    front: pd.Series | None,
    chosen: list[str],
    dark: bool,
    *,
    legend: bool,
) -> alt.LayerChart:
    """Test accuracy with its interval over a quantity, a colour for each ``series``
    (``colours``).

    Items without the quantity (a head has no rank) are dashed lines across. ``front`` marks the
    items of the Pareto front, which a line joins.
    """
    placed = items[has_place(items, axis)].copy()
    placed["text"] = _interval_texts(placed)
    x = _x(placed, axis)
    low, high = _reach(items)
    scale = alt.Scale(domain=[low, high], nice=False, zero=False)
    y = alt.Y("test:Q", title=t("compare.chart.accuracy"), scale=scale, axis=scaled_axis("%"))
    base = alt.Chart().encode(x=x, color=colour("series", colours, legend))
    if axis in STEPS and placed.groupby(axis)["series"].nunique().gt(1).any():
        base = base.encode(xOffset=alt.XOffset("series:N", sort=list(colours)))
    tips = [
        alt.Tooltip("title:N", title=t("compare.column.title")),
        alt.Tooltip("text:N", title=t("compare.column.test")),
        alt.Tooltip("seeds:Q", title=t("compare.column.seeds")),
        alt.Tooltip("trainable:Q", title=t("compare.column.trainable"), format=",d"),
        alt.Tooltip("seconds:Q", title=t("compare.column.seconds"), format=".0f"),
    ]
    shape = alt.Shape(
        "whose:N",
        scale=alt.Scale(domain=["shipped", "own"], range=["circle", "diamond"]),
        legend=None,
    )
    line = line_height(high - low, HEIGHT)
    across = items[~has_place(items, axis)]
    layers = [lines_across(across, line, (low + high) / 2, dark)]
    if front is not None:
        layers.append(_front(placed[front.loc[placed.index]], axis, y))
    elif axis in ("rank", "rate", "train") or (axis == "alpha" and alpha_follows_rank(items)):
        middle = alt.Y("mean(test):Q", title=t("compare.chart.accuracy"))
        layers.append(
            base.mark_line(strokeWidth=1.5, opacity=0.5).encode(
                y=middle, detail=alt.Detail("whose:N")
            )
        )
    layers.append(
        base.mark_rule(strokeWidth=3, opacity=0.45).encode(
            y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), tooltip=tips
        )
    )
    layers.append(
        base.mark_point(filled=True, size=95, opacity=1).encode(y=y, shape=shape, tooltip=tips)
    )
    ring = base.transform_filter(alt.FieldOneOfPredicate(field="id", oneOf=chosen))
    ink = "#ffffff" if dark else "#1f1d1b"
    layers.append(
        ring.mark_point(size=330, strokeWidth=2, color=ink).encode(y=y, color=alt.ColorValue(ink))
    )
    return alt.layer(*layers, data=placed, height=HEIGHT)


def has_place(items: pd.DataFrame, axis: str) -> pd.Series:
    """Which items have a value on the axis; a head has no rank."""
    return items[axis].notna() & (items[axis] != "")


def colours_of(series: Iterable[str]) -> dict[str, str]:
    """A colour for each name, as they first come; where colours are short, those seen most often
    come first, and all others share grey."""
    counted = Counter(series)
    coloured = {name for name, _ in counted.most_common(len(COLOURS))}
    names = sorted(counted, key=lambda name: name not in coloured)
    return dict(zip(names, chain(COLOURS, repeat(GREY)), strict=False))


def colours_below(items: pd.DataFrame, above: Mapping[str, str]) -> dict[str, str]:
    """A colour for each item (``title``): that of its ``series`` in the chart above.

    The second item of a series, and what has no colour above, gets another: one that is not used
    there, as long as there are any.
    """
    seen = {above.get(series) for series in items["series"]}
    free = [colour for colour in COLOURS if colour not in seen]
    free.sort(key=lambda colour: colour in above.values())  # those of other series come last
    unused, colours = chain(free, repeat(GREY)), {}
    for title, series in zip(items["title"], items["series"], strict=True):
        same = above.get(series, GREY)
        colours[title] = next(unused) if same == GREY or same in colours.values() else same
    return colours


def legend(colours: Mapping[str, str]) -> str:
    """What each colour means, as HTML: it wraps on a narrow screen, which a chart's does not."""
    swatch = "display:inline-block;width:1em;height:.35em;margin-right:.5em;vertical-align:middle"
    rows = (
        f'<span><span style="{swatch};background:{colour}"></span>{escape(name)}</span>'
        for name, colour in colours.items()
    )
    place = "display:flex;flex-wrap:wrap;gap:.2rem 1.4rem"
    return f'<div style="{place}">{"".join(rows)}</div>'


def _x(items: pd.DataFrame, axis: str) -> alt.X:
    title = t(f"compare.axis.option.{axis}")
    if axis in COSTS:
        scale = alt.Scale(type="log", nice=False, padding=24)
        ticks = _powers_of_ten(items[axis].min(), items[axis].max())
        return alt.X(
            f"{axis}:Q",
            title=title,
            scale=scale,
            axis=scaled_axis("~s", values=ticks, tickCount=len(ticks)),
        )
    order = sorted(items[axis].unique(), key=_size_of) if axis == "layers" else "ascending"
    kind = "N" if axis == "layers" else "O"
    digits = dict(format=".3~r", formatType="number") if axis == "scale" else {}
    ticks = alt.Axis(labelAngle=0, **digits, **_text())
    return alt.X(f"{axis}:{kind}", title=title, sort=order, axis=ticks)


def _powers_of_ten(low: float, high: float) -> list[int]:
    """Places to mark on a logarithmic axis; with their doubles and fives, where few are reached."""
    powers = [10**power for power in range(10)]
    if sum(low <= power <= high for power in powers) >= 3:
        return powers
    return [step * power for power in powers for step in (1, 2, 5)]


def _size_of(layers: str) -> tuple[float, str]:
    """How many layers a choice names, for its place on the axis."""
    if layers == "all":
        return float("inf"), layers
    kind, _, number = layers.partition(":")
    return float(number) if number.isdigit() else float(len(kind.split())), layers


def _front(items: pd.DataFrame, axis: str, y: alt.Y) -> alt.Chart:
    line = alt.Chart(items.sort_values(axis)).mark_line(
        interpolate="step-after", strokeWidth=2.5, color=GREY, strokeDash=[3, 3]
    )
    if axis == "seconds":  # of different machines, see measured.front
        line = line.encode(detail=alt.Detail("whose:N"))
    return line.encode(x=alt.X(f"{axis}:Q"), y=y)


def colour(field: str, colours: Mapping[str, str], legend: bool) -> alt.Color:
    shown = alt.Legend(
        title=None, orient="bottom", columns=2, labelLimit=460, labelFontSize=letters()
    )
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    return alt.Color(f"{field}:N", scale=scale, legend=shown if legend else None)


def _reach(items: pd.DataFrame) -> tuple[float, float]:
    low, high = float(items["low"].min()), float(items["high"].max())
    return max(0.0, low - 0.02), min(1.0, high + 0.02)


def _interval_texts(items: pd.DataFrame) -> list[str]:
    rows = zip(items["test"], items["low"], items["high"], strict=True)
    return [
        f"{percent(test)} ({t('common.interval', low=f'{100 * low:.1f}', high=percent(high))})"
        for test, low, high in rows
    ]


def scaled_axis(number_format: str, **more: Any) -> alt.Axis:
    return alt.Axis(format=number_format, grid=True, **({"tickCount": 5} | more), **_text())


def _text() -> dict[str, Any]:
    return dict(labelFontSize=letters(), titleFontSize=letters(), titleFontWeight="normal")
