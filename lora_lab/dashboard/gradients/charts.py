"""A gradient entry by entry, and the error of central differences, as Altair charts."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd
from torch import Tensor

from lora_lab.dashboard.chart_style import BLUE, SKY, VERMILLION, either
from lora_lab.derivations.referees import DifferenceErrors

# In sizes of a letter: width and height of a cell, and room for the name above, in one line.
CELL, NARROWEST = (2.8, 2.2), 11.5
FLOOR = 1e-16  # a logarithmic axis has no zero, and float64 near 1 has nothing below this


def entries_frame(values: Tensor, off: Tensor) -> pd.DataFrame:
    """A row per entry; rows of the matrix are numbered from 1, a vector is a single row."""
    table, marks = (t.reshape(-1, t.shape[-1]).tolist() for t in (values, off))
    return pd.DataFrame(
        [
            dict(row=i, column=j, value=value, off=marks[i - 1][j - 1])
            for i, row in enumerate(table, 1)
            for j, value in enumerate(row, 1)
        ]
    )


def entries_width(frame: pd.DataFrame, letters: int = 14) -> int:
    return round(letters * max(NARROWEST, CELL[0] * int(frame["column"].max())))


def beside(
    frames: Mapping[str, pd.DataFrame], largest: float, titles: dict[str, str]
) -> alt.HConcatChart:
    """The entries by each referee in one picture, with their names above."""
    charts = {name: entries_chart(frame, largest, titles, False) for name, frame in frames.items()}
    return alt.hconcat(
        *(c.properties(width=entries_width(frames[n]), title=n) for n, c in charts.items())
    )


def entries_chart(
    frame: pd.DataFrame, largest: float, titles: dict[str, str], dark: bool, letters: int = 14
) -> alt.LayerChart:
    """Blue is negative, orange positive, white zero; entries that are off have a thick frame."""
    largest = largest or 1.0
    ordinal = dict(axis=None, scale=alt.Scale(paddingInner=0.08, paddingOuter=0.04))
    tips = [alt.Tooltip(name, title=titles[name]) for name in ("row", "column")]
    tips.append(alt.Tooltip("value", format=".6g", title=titles["value"]))
    base = alt.Chart().encode(
        x=alt.X("column:O", **ordinal), y=alt.Y("row:O", **ordinal), tooltip=tips
    )
    scale = alt.Scale(scheme="blueorange", domain=[-largest, largest])
    cells = base.mark_rect().encode(
        color=alt.Color("value:Q", scale=scale, legend=None),
        stroke=alt.StrokeValue(**either("datum.off", "#fff" if dark else "#000", "transparent")),
        # Where it is not seen, too: charts in a row stay in line.
        strokeWidth=alt.StrokeWidthValue(3),
    )
    strong = f"abs(datum.value) > {0.7 * largest!r}"
    numbers = base.mark_text(fontSize=0.85 * letters).encode(
        text=alt.Text("value:Q", format=".2f" if largest < 10 else ".1f"),
        color=alt.ColorValue(**either(strong, "#ffffff", "#1c1c1c")),
    )
    return alt.layer(cells, numbers, data=frame, height=alt.Step(CELL[1] * letters))


def errors_frame(errors: DifferenceErrors) -> pd.DataFrame:
    return pd.DataFrame({"step": errors.steps, "error": errors.errors})


def errors_chart(
    errors: DifferenceErrors,
    titles: dict[str, str],
    dark: bool,
    *,
    wrong: bool = False,
    letters: int = 14,
) -> alt.LayerChart:
    """Error over step, both on logarithmic axes; the best step is filled in another colour.

    The error's axis always begins at the same place: a mistake's flat line is then seen to be high.

    Args:
        wrong: the gradient is, so that no step is the best.
        letters: their size in pixels.
    """
    axis = alt.Axis(
        labelFontSize=letters, titleFontSize=letters, titleFontWeight="normal", grid=True,
        format=".0e", tickCount=6,
    )  # fmt: skip
    frame = errors_frame(errors).assign(
        shown=lambda f: f["error"].clip(lower=FLOOR),
        best=lambda f: (f["step"] == errors.best_step) & (not wrong),
    )
    blue = SKY if dark else BLUE
    tips = [alt.Tooltip(name, format=".1e", title=titles[name]) for name in ("step", "error")]
    base = alt.Chart().encode(
        x=alt.X("step:Q", title=titles["step"], scale=alt.Scale(type="log"), axis=axis),
        y=alt.Y(
            "shown:Q",
            title=titles["error"],
            scale=alt.Scale(type="log", domain=[FLOOR, max(1.0, 10 * max(errors.errors))]),
            axis=axis,
        ),
        tooltip=tips,
    )
    colour = alt.ColorValue(**either("datum.best", VERMILLION, blue))
    points = base.mark_point(filled=True, size=110, opacity=1).encode(color=colour)
    line = base.mark_line(color=blue, strokeWidth=1.5)
    return alt.layer(line, points, data=frame, height=300)
