"""What has no place on the axis of the compare page's chart: lines across, and their names."""

from __future__ import annotations

import altair as alt
import pandas as pd

from lora_lab.dashboard.chart_style import apart, letters
from lora_lab.dashboard.language import t
from lora_lab.dashboard.wording import percent


def lines_across(items: pd.DataFrame, line: float, middle: float, dark: bool) -> alt.LayerChart:
    """Dashed lines for what has no place on the axis. Points mostly rise from the lower left to the
    upper right, so a line is named at its left end above ``middle`` and at its right end below."""
    ink = "#c9c5c0" if dark else "#55524e"
    rules = alt.Chart(items).mark_rule(strokeDash=[7, 5], strokeWidth=1.8, color=ink)
    names = names_across(items, line)
    chart = rules.encode(y=alt.Y("test:Q"))
    for side, part in (("left", names["test"] >= middle), ("right", names["test"] < middle)):
        text = alt.Chart(names[part]).mark_text(
            align=side, baseline="bottom", dx=6 if side == "left" else -6, dy=-3,
            fontSize=letters() - 1, color=ink,
        )  # fmt: skip
        x = alt.XValue(0 if side == "left" else "width")
        chart += text.encode(y=alt.Y("test:Q"), x=x, text=alt.Text("text:N"))
    return chart


def names_across(items: pd.DataFrame, line: float) -> pd.DataFrame:
    """What to write (``text``) at which height (``test``): no name covers another, or a line.

    Lines of one ``series`` share a name, which says where they reach.
    """
    names: list[tuple[float, str]] = []
    for series, rows in items.groupby("series", sort=False):
        low, high = (percent(share) for share in (rows["test"].min(), rows["test"].max()))
        reach = low if low == high else t("common.interval", low=low, high=high)
        title = rows["title"].iloc[0] if len(rows) == 1 else series
        named = t("common.comma").join((title, reach))
        names.append((float(rows["test"].max()), named))
    return pd.DataFrame(apart(names, line, items["test"]), columns=["test", "text"])
