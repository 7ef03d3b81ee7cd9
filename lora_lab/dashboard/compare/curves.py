"""Learning curves over one another."""

from __future__ import annotations

from collections.abc import Mapping

import altair as alt
import pandas as pd

from lora_lab.dashboard.compare.charts import colour, scaled_axis
from lora_lab.dashboard.language import t


def curves(
    epochs: pd.DataFrame, quantity: str, colours: Mapping[str, str], *, legend: bool
) -> alt.LayerChart:
    """A thick line for the mean of each item (``title``), a thin one for each of its runs; large
    points for the means, too, if ``any_validated_once``."""
    digits = "%" if quantity == "validation_accuracy" else ".2f"
    title = t(f"compare.chart.{quantity}")
    scale = alt.Scale(zero=False, nice=True)
    base = alt.Chart().encode(
        x=alt.X("epoch:Q", title=t("compare.chart.epoch"), axis=_whole(epochs["epoch"])),
        color=colour("title", colours, legend),
    )
    tips = [
        alt.Tooltip("title:N", title=t("compare.column.title")),
        alt.Tooltip("seed:Q", title=t("compare.column.seed")),
        alt.Tooltip("epoch:Q", title=t("compare.chart.epoch")),
        alt.Tooltip("step:Q", title=t("compare.chart.step")),
        alt.Tooltip(f"{quantity}:Q", title=title, format=".3f"),
    ]
    runs = base.encode(
        y=alt.Y(f"{quantity}:Q", title=title, scale=scale, axis=scaled_axis(digits)),
        detail=alt.Detail("id:N"),
        tooltip=tips,
    )
    means = base.encode(y=alt.Y(f"mean({quantity}):Q", title=title, scale=scale))
    thin = runs.mark_line(strokeWidth=1, opacity=0.45)
    points = runs.mark_point(filled=True, size=40, opacity=0.6)
    points_of_means = alt.OverlayMarkDef(size=160) if any_validated_once(epochs) else False
    thick = means.mark_line(strokeWidth=3.5, point=points_of_means)
    return alt.layer(thin, points, thick, data=epochs, height=280)


def any_validated_once(epochs: pd.DataFrame) -> bool:
    """Whether there is an item of which no line can be seen."""
    return epochs.groupby("title")["epoch"].nunique().min() == 1


def _whole(epochs: pd.Series) -> alt.Axis:
    """Whole epochs only, and no more of them than can be read."""
    first, last = int(epochs.min()), int(epochs.max())
    step = max(1, last // 8)
    shown = [epoch for epoch in range(step, last + 1, step) if epoch >= first]
    return scaled_axis("d", values=shown, tickCount=len(shown), labelOverlap=False)
