"""Pictures of an update: norms by layer, singular values, shared directions, accuracy of cuts."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from lora_lab.dashboard import state
from lora_lab.dashboard.chart_style import BLUE, SKY, VERMILLION, either, letters
from lora_lab.dashboard.language import t

_FORMATS = {"relative": ".1%", "norm": ".2f", "effective": ".1f"}
_WIDTH = 720  # of a file that someone saves; on the page a chart is as wide as there is room
_MOST_COLUMNS = 12  # with a number in each cell


def by_layer(frame: pd.DataFrame, measure: str, dark: bool) -> alt.LayerChart | alt.Chart:
    """A table in colour: layers across, matrices down."""
    shown, largest = _FORMATS[measure], float(frame[measure].max()) or 1.0
    pale, strong = ("#1F3443", SKY) if dark else ("#E3EEF6", BLUE)
    tips = [
        alt.Tooltip("layer:N", title=t("inside.layers.layer")),
        alt.Tooltip("matrix:N", title=t("inside.layers.matrix")),
        alt.Tooltip(f"{measure}:Q", format=shown, title=t(f"inside.measure.option.{measure}")),
    ]
    base = alt.Chart().encode(
        x=alt.X(
            "layer:O",
            title=t("inside.layers.layer"),
            axis=alt.Axis(orient="top", labelAngle=0, **_cells()),
        ),
        y=alt.Y(
            "matrix:N",
            sort=list(dict.fromkeys(frame["matrix"])),
            title=None,
            axis=alt.Axis(**_cells()),
        ),
        tooltip=tips,
    )
    scale = alt.Scale(domain=[0, largest], range=[pale, strong])
    cells = base.mark_rect().encode(color=alt.Color(f"{measure}:Q", scale=scale, legend=None))
    height = alt.Step(letters() + 20)
    if frame["layer"].nunique() > _MOST_COLUMNS:
        return alt.layer(cells, data=frame, width=_WIDTH, height=height)
    on_strong, on_pale = ("#0b1a24", "#e8e6e3") if dark else ("#ffffff", "#2d2b29")
    is_strong = f"datum.{measure} > {(0.6 if dark else 0.8) * largest}"
    numbers = base.mark_text(fontSize=letters()).encode(
        text=alt.Text(f"{measure}:Q", format=shown),
        color=alt.ColorValue(**either(is_strong, on_strong, on_pale)),
    )
    return alt.layer(cells, numbers, data=frame, width=_WIDTH, height=height)


def spectrum_table(update: np.ndarray, base: np.ndarray | None) -> pd.DataFrame:
    """Singular values by number (``i``) and by what they are ``of``."""
    named = {t("inside.spectrum.update"): update, t("inside.spectrum.base"): base}
    tables = [
        pd.DataFrame({"i": np.arange(1, len(values) + 1), "value": values, "of": name})
        for name, values in named.items()
        if values is not None
    ]
    return pd.concat(tables, ignore_index=True)


def spectrum(frame: pd.DataFrame, dark: bool) -> alt.Chart:
    """``spectrum_table`` on a logarithmic axis."""
    own, others = t("inside.spectrum.update"), t("inside.spectrum.base")
    last = int(frame["i"].max())
    # What rounding leaves of a value that is 0 would stretch the axis over many decades.
    drawn = frame[frame["value"] > 1e-6 * frame["value"].max()]
    reach = [0.8 * float(drawn["value"].min()), 1.25 * float(drawn["value"].max())]
    colour = alt.Scale(domain=[own, others], range=[_blue(dark), VERMILLION])
    return (
        alt.Chart(drawn)
        .mark_line(point=alt.OverlayMarkDef(size=80, filled=True), strokeWidth=1.5)
        .encode(
            x=alt.X(
                "i:Q",
                title=t("inside.spectrum.index"),
                scale=alt.Scale(domain=[0.5, last + 0.5], nice=False),
                axis=_counted(1, last),
            ),
            y=alt.Y(
                "value:Q",
                title=t("inside.spectrum.value"),
                scale=alt.Scale(type="log", domain=reach, nice=False),
                axis=alt.Axis(format="~g", values=_decades(*reach), **_type()),
            ),
            color=alt.Color("of:N", scale=colour, legend=_legend()),
            shape=alt.Shape("of:N", scale=alt.Scale(domain=[own, others]), legend=_legend()),
            tooltip=[
                alt.Tooltip("of:N", title=" "),
                alt.Tooltip("i:Q"),
                alt.Tooltip("value:Q", format=".3g", title=t("inside.spectrum.value")),
            ],
        )
        .properties(width=_WIDTH, height=_height())
    )


def similarity_table(grid: np.ndarray) -> pd.DataFrame:
    """A row for each phi(i, j); both count from 1."""
    i, j = (index.ravel() + 1 for index in np.indices(grid.shape))
    return pd.DataFrame({"i": i, "j": j, "phi": grid.ravel()})


def similarity(frame: pd.DataFrame, across: str, down: str) -> alt.Chart:
    """``similarity_table`` as in the paper's figure 3."""
    rows, columns = int(frame["i"].max()), int(frame["j"].max())
    room, largest = (480, 60) if state.presenting() else (290, 36)  # 290 fits on a phone
    step = float(np.clip(room / max(rows, columns), 4, largest))
    return (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X("j:O", title=across, axis=_sparse(columns)),
            y=alt.Y("i:O", title=down, axis=_sparse(rows)),
            color=alt.Color(
                "phi:Q",
                scale=alt.Scale(domain=[0, 1], scheme="viridis"),
                legend=_legend("φ(i, j)", format=".1f", gradientLength=14 * letters()),
            ),
            tooltip=[
                alt.Tooltip("i:O"),
                alt.Tooltip("j:O"),
                alt.Tooltip("phi:Q", format=".3f", title="φ(i, j)"),
            ],
        )
        .properties(width=alt.Step(step), height=alt.Step(step))
    )


def of_cuts(
    frame: pd.DataFrame, chosen: int, reference: float, dark: bool
) -> alt.LayerChart | alt.Chart:
    """Validation accuracy over the rank kept, with 95% intervals; dashed: as trained."""
    low, high = float(frame["low"].min()), float(frame["high"].max())
    reach = [min(low, reference) - 0.02, max(high, reference) + 0.02]
    x = alt.X(
        "rank:Q",
        title=t("inside.rescored.axis"),
        scale=alt.Scale(domain=[-0.5, float(frame["trained"].max()) + 0.5], nice=False),
        axis=_counted(0, int(frame["trained"].max())),
    )
    scale = alt.Scale(domain=reach, nice=False, zero=False)
    y = alt.Y(
        "accuracy:Q",
        title=t("inside.rescored.accuracy"),
        scale=scale,
        axis=alt.Axis(format=".0%", tickCount=5, **_type()),
    )
    tips = [
        alt.Tooltip("rank:Q", title="k"),
        alt.Tooltip("accuracy:Q", format=".1%", title=t("inside.rescored.accuracy")),
        alt.Tooltip("low:Q", format=".1%", title=t("inside.rescored.from")),
        alt.Tooltip("high:Q", format=".1%", title=t("inside.rescored.to")),
    ]
    base = alt.Chart().encode(x=x, tooltip=tips)
    whiskers = base.mark_rule(color=_blue(dark), strokeWidth=3, opacity=0.6).encode(
        y=alt.Y("low:Q", scale=scale), y2=alt.Y2("high:Q")
    )
    line = base.mark_line(color=_blue(dark), strokeWidth=1.5).encode(y=y)
    is_chosen = f"datum.rank === {chosen}"
    points = base.mark_point(filled=True, opacity=1).encode(
        y=y,
        size=alt.SizeValue(**either(is_chosen, 220, 90)),
        color=alt.ColorValue(**either(is_chosen, VERMILLION, _blue(dark))),
    )
    rule = alt.Chart(pd.DataFrame({"level": [reference]})).mark_rule(
        strokeDash=[7, 5], strokeWidth=2, color=VERMILLION
    )
    level = rule.encode(y=alt.Y("level:Q", scale=scale))
    layers = level, whiskers, line, points
    return alt.layer(*layers, data=frame, width=_WIDTH, height=_height())


def _height() -> int:
    """Larger letters take room from the curves."""
    return 400 if state.presenting() else 280


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 of each power of ten from ``low`` to ``high``."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5)]
    return [tick for tick in ticks if low <= tick <= high]


def _counted(first: int, last: int) -> alt.Axis:
    """Whole numbers only: some versions of Vega would write halves as if they were whole."""
    step = max(1, (last - first + 1) // 16)
    return alt.Axis(values=list(range(first, last + 1, step)), format="d", **_type())


def _sparse(count: int) -> alt.Axis:
    """At most some sixteen numbers along an axis, 1 and the last among them."""
    every = max(1, count // 16)
    values = [1, *range(every, count + 1, every)] if every > 1 else list(range(1, count + 1))
    return alt.Axis(values=values, labelAngle=0, **_cells())


def _legend(title: str | None = None, **more: Any) -> alt.Legend:
    size = letters()
    return alt.Legend(
        title=title, orient="top", labelFontSize=size, titleFontSize=size, labelLimit=600, **more
    )


def _type() -> dict[str, Any]:
    """Letters along an axis."""
    return dict(labelFontSize=letters(), titleFontSize=letters(), titleFontWeight="normal")


def _cells() -> dict[str, Any]:
    """An axis along cells: letters in the middle of each, and no line."""
    return _type() | dict(ticks=False, domain=False, labelFlush=False)


def _blue(dark: bool) -> str:
    return SKY if dark else BLUE
