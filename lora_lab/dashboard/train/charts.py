"""Curves of a run and the comparison of accuracies, as Altair charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from lora_lab.dashboard.chart_style import (
    BLUE,
    GREY,
    HEIGHT,
    SKY,
    VERMILLION,
    apart,
    letters,
    line_height,
)
from lora_lab.dashboard.language import t
from lora_lab.evaluation import Evaluation


def baseline_name(name: str) -> str:
    """What a baseline is called in a chart."""
    return t(f"common.baseline.{name}")


def loss_chart(events: list[dict[str, Any]], steps: int, dark: bool) -> alt.Chart:
    """Training loss: single batches thin, the mean of each epoch as points."""
    batches = _frame(events, "step", ("step", "loss"))
    epochs = _frame(events, "epoch", ("step", "training_loss"))
    x = _step_axis(steps)
    y = alt.Y(
        "loss:Q", title=t("common.chart.training_loss"), scale=alt.Scale(zero=True), axis=_axis()
    )
    # Points, because a line cannot be seen before there are two of them.
    dots = alt.OverlayMarkDef(size=12, color=_blue(dark))
    line = alt.Chart(batches).mark_line(
        color=_blue(dark), strokeWidth=1.5, opacity=0.75, point=dots
    )
    means = alt.Chart(epochs).mark_point(color=VERMILLION, filled=True, size=90)
    tips = [
        alt.Tooltip("step", title=t("common.chart.step")),
        alt.Tooltip("training_loss", format=".3f", title=t("common.chart.mean_of_epoch")),
    ]
    points = means.encode(x=x, y=alt.Y("training_loss:Q"), tooltip=tips)
    layers = [line.encode(x=x, y=y), *([] if epochs.empty else [points])]
    return alt.layer(*layers).properties(height=HEIGHT)


def accuracy_chart(
    events: list[dict[str, Any]],
    steps: int,
    baselines: Mapping[str, Evaluation],
    dark: bool,
) -> alt.Chart:
    """Validation accuracy with its 95% interval after each epoch; baselines dashed."""
    names = ("step", "validation_accuracy", "low", "high")
    rows = [
        e | dict(zip(("low", "high"), e["validation_interval"], strict=True))
        for e in events
        if e["event"] == "epoch"
    ]
    frame = _frame(rows, "epoch", names)
    levels = [0.5, *(b.accuracy for b in baselines.values()), *frame["low"]]
    bottom = max(0.0, min(levels) - 0.04)
    top = min(1.0, max([0.8, *frame["high"]]) + 0.02)
    x, scale = _step_axis(steps), alt.Scale(domain=[bottom, top], nice=False)
    y = alt.Y(
        "validation_accuracy:Q",
        title=t("common.chart.validation_accuracy"),
        scale=scale,
        axis=_axis(format=".0%"),
    )
    base = alt.Chart().encode(x=x)
    tips = [
        alt.Tooltip("step", title=t("common.chart.step")),
        alt.Tooltip("validation_accuracy", format=".1%", title=t("common.chart.accuracy")),
        alt.Tooltip("low", format=".1%", title=t("common.chart.from")),
        alt.Tooltip("high", format=".1%", title=t("common.chart.to")),
    ]
    whiskers = base.mark_rule(color=_blue(dark), strokeWidth=3).encode(
        y=alt.Y("low:Q"), y2=alt.Y2("high:Q"), tooltip=tips
    )
    line = base.mark_line(color=_blue(dark), strokeWidth=1.5).encode(y=y)
    points = base.mark_point(color=_blue(dark), filled=True, size=110).encode(y=y, tooltip=tips)
    layers = [_baselines(baselines, scale, steps)] if baselines else []
    return alt.layer(*layers, line, whiskers, points, data=frame, height=HEIGHT)


def comparison_chart(scores: Mapping[str, Evaluation], chosen: str, dark: bool) -> alt.Chart:
    """Test accuracies with their 95% intervals, one row each, ``chosen`` in colour.

    Names stand above their bars: beside them they would leave no room on a narrow screen.
    """
    frame = pd.DataFrame(
        [
            dict(name=n, accuracy=e.accuracy, low=e.interval.low, high=e.interval.high)
            | dict(text=f"{100 * e.accuracy:.1f}%", kind="this" if n == chosen else "other")
            for n, e in scores.items()
        ]
    )
    reach = [float(frame["low"].min()) - 0.02, float(frame["high"].max()) + 0.05]
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=["this", "other"], range=[_blue(dark), GREY]),
        legend=None,
    )
    y = alt.Y(
        "name:N",
        sort=None,
        title=None,
        scale=alt.Scale(paddingOuter=0.4),
        axis=alt.Axis(
            labelAlign="left",
            labelPadding=0,
            labelOffset=-1.2 * letters(),
            labelLimit=alt.ExprRef("width"),
            labelOverlap=False,
            labelFontSize=letters(),
            ticks=False,
            domain=False,
        ),
    )
    x = alt.X("low:Q", scale=alt.Scale(domain=reach), title=t("common.chart.test_accuracy"),
              axis=_axis(format=".0%"))  # fmt: skip
    base = alt.Chart().encode(y=y, color=colour)
    tips = [
        alt.Tooltip("name", title=t("common.chart.run")),
        alt.Tooltip("accuracy", format=".1%", title=t("common.chart.accuracy")),
        alt.Tooltip("low", format=".1%", title=t("common.chart.from")),
        alt.Tooltip("high", format=".1%", title=t("common.chart.to")),
    ]
    bars = base.mark_rule(strokeWidth=4, opacity=0.55).encode(
        x=x, x2=alt.X2("high:Q"), tooltip=tips
    )
    points = base.mark_point(filled=True, size=130, opacity=1).encode(
        x=alt.X("accuracy:Q"), tooltip=tips
    )
    labels = base.mark_text(align="left", dx=8, fontSize=letters()).encode(
        x=alt.X("high:Q"), text=alt.Text("text:N")
    )
    return alt.layer(bars, points, labels, data=frame, height=alt.Step(3.4 * letters()))


def _baselines(baselines: Mapping[str, Evaluation], scale: alt.Scale, steps: int) -> alt.Chart:
    """Dashed lines, each with its name behind its end."""
    named = [
        (score.accuracy, f"{baseline_name(name)} {100 * score.accuracy:.0f}%")
        for name, score in baselines.items()
    ]
    line = line_height(scale.domain[1] - scale.domain[0], HEIGHT)
    y = alt.Y("level:Q", scale=scale)
    rules = alt.Chart(pd.DataFrame(named, columns=["level", "name"]))
    names = pd.DataFrame(apart(named, line), columns=["level", "name"])
    names["end"] = max(1, steps)
    rule = rules.mark_rule(strokeDash=[7, 5], strokeWidth=2, color=VERMILLION).encode(y=y)
    text = alt.Chart(names).mark_text(align="left", dx=5, fontSize=letters() - 1, color=VERMILLION)
    return rule + text.encode(y=y, x=alt.X("end:Q"), text=alt.Text("name:N"))


def _frame(events: list[dict[str, Any]], kind: str, columns: tuple[str, ...]) -> pd.DataFrame:
    rows = [{c: e[c] for c in columns} for e in events if e["event"] == kind]
    return pd.DataFrame(rows, columns=list(columns), dtype=float)


def _step_axis(steps: int) -> alt.X:
    return alt.X(
        "step:Q",
        title=t("common.chart.step"),
        scale=alt.Scale(domain=[0, max(1, steps)], nice=False),
        axis=_axis(tickMinStep=1, format="d"),
    )


def _axis(**more: Any) -> alt.Axis:
    size = letters()
    return alt.Axis(
        labelFontSize=size,
        titleFontSize=size,
        titleFontWeight="normal",
        grid=True,
        tickCount=5,
        **more,
    )


def _blue(dark: bool) -> str:
    return SKY if dark else BLUE
