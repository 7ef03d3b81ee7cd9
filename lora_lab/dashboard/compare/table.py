"""The compare page's table: every item with its numbers, to sort, search, tick and take away."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from lora_lab.dashboard import export, wording
from lora_lab.dashboard.language import t

KEY = "compare.table"
LETTER, WIDEST = 8, 420  # pixels: of a letter, and of the column of names
#: Columns in order, and how their numbers are written.
SHOWN = {
    "title": None,
    "test": "%.1f",
    "low": "%.1f",
    "high": "%.1f",
    "validation": "%.1f",
    "trainable": "localized",
    "seconds": "%.0f",
    "memory": "localized",
    "whose": None,
    "seeds": "%d",
    "seed": "%d",
    "method": None,
    "rank": "%d",
    "alpha": None,
    "scale": None,
    "layers": None,
    "targets": None,
    "rate": None,
    "epochs": "%d",
    "data": None,
    "train": "localized",
    "id": None,
}


def show_table(items: pd.DataFrame, chosen: list[str], choose: Callable[[list[str]], None]) -> None:
    """The table; ticking rows calls ``choose`` with ids, those chosen before in their order."""
    frame = readable(items)
    widest = max(map(len, frame["title"]))
    ids = items["id"].tolist()
    _mark([ids.index(name) for name in chosen])
    st.dataframe(
        frame,
        hide_index=True,
        height=min(560, 38 * (len(frame) + 1) + 4),
        column_config={name: _column(name, widest) for name in frame},
        key=KEY,
        on_select=lambda: choose(_ticked(ids, chosen)),
        selection_mode="multi-row",
        alt=t("compare.table.heading"),
    )
    export.table(items.drop(columns=["members", "setting"]), "runs")
    st.caption(t("compare.table.about"))


def readable(items: pd.DataFrame) -> pd.DataFrame:
    """The columns that are shown: percents, megabytes and words in the visitor's language."""
    shares = {name: 100 * items[name] for name in ("test", "low", "high", "validation")}
    return items.assign(
        **shares,
        memory=(items["memory"].astype("Float64") / 1e6).round().astype("Int64"),
        method=[t(f"train.method.option.{method}") for method in items["method"]],
        whose=[t(f"compare.whose.option.{origin}") for origin in items["whose"]],
        data=[wording.data(source) for source in items["data"]],
        layers=[wording.layers(layers) if layers else "" for layers in items["layers"]],
        targets=[wording.targets(targets) for targets in items["targets"]],
    )[[name for name in SHOWN if name in items]]


def _column(name: str, longest_title: int):
    label = t(f"compare.column.{name}")
    if SHOWN[name]:
        return st.column_config.NumberColumn(label, format=SHOWN[name])
    width = min(WIDEST, LETTER * longest_title + 20) if name == "title" else None
    return st.column_config.Column(label, width=width)


def _mark(rows: list[int]) -> None:
    """Make the table's ticks show ``rows``; the settings rule, not the widget."""
    held = st.session_state.get(KEY)
    if held is None or sorted(held["selection"]["rows"]) != sorted(rows):
        st.session_state[KEY] = {"selection": {"rows": rows}}


def _ticked(ids: list[str], chosen: list[str]) -> list[str]:
    rows = st.session_state[KEY]["selection"]["rows"]
    names = [ids[row] for row in rows if row < len(ids)]
    return [n for n in chosen if n in names] + [n for n in names if n not in chosen]
