"""Tables of the budget page: matrix by matrix, and the rows of the LoRA paper recomputed."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lora_lab.budget import paper
from lora_lab.budget.cost import Count
from lora_lab.dashboard import export
from lora_lab.dashboard.budget.counts import Asked
from lora_lab.dashboard.language import t


def paper_says(what: Asked, counted: Count) -> None:
    """Beside a row of the paper: whether its number follows from its formula."""
    for row in paper.ROWS:
        shown = (what.model, what.rank, what.targets, what.layers)
        if shown == (row.model, row.rank, paper.TARGETS, "all"):
            text = t(f"budget.paper.{'agrees' if row.agrees else 'differs'}", **_of(row))
            (st.info if row.agrees else st.warning)(text)
    if counted.note:
        st.caption(t("budget.paper.apart"))


def _of(row: paper.Row) -> dict[str, str]:
    return dict(
        table=str(row.table),
        printed=row.printed,
        rounded=row.rounded,
        matrices=f"{row.matrices:,}",
        width=f"{row.width:,}",
        rank=str(row.rank),
        exact=f"{row.by_formula:,}",
    )


def matrices(counted: Count) -> None:
    with st.expander(t("budget.matrices.title")):
        frame = pd.DataFrame(
            [
                {
                    t("budget.matrices.name"): kind.name,
                    t("budget.matrices.shape"): "{:,} × {:,}".format(*kind.shape),
                    t("budget.matrices.adapted"): f"{kind.adapted} / {kind.in_model}",
                    t("budget.matrices.each"): kind.adapter_parameters,
                    t("budget.matrices.together"): kind.adapter_parameters * kind.adapted,
                }
                for kind in counted.matrices
            ]
        )
        _table(frame, "budget-matrices")


def paper_rows() -> None:
    with st.expander(t("budget.paper.title")):
        st.markdown(t("budget.paper.formula"))
        frame = pd.DataFrame(
            [
                {
                    t("budget.paper.model"): t(f"budget.model.option.{row.model}"),
                    "r": row.rank,
                    t("budget.paper.matrices"): row.matrices,
                    "d": row.width,
                    t("budget.paper.exact"): row.by_formula,
                    t("budget.paper.printed"): f"{row.printed} M",
                    t("budget.paper.verdict"): t("budget.paper.yes")
                    if row.agrees
                    else t("budget.paper.no", rounded=row.rounded),
                }
                for row in paper.ROWS
            ]
        )
        _table(frame, "lora-paper")


def _table(frame: pd.DataFrame, name: str) -> None:
    """The rows with thousands apart, and a button that takes them away."""
    grouped = st.column_config.NumberColumn(format="localized")
    numbers = frame.select_dtypes("number").columns
    st.dataframe(frame, hide_index=True, column_config=dict.fromkeys(numbers, grouped))
    export.table(frame, name)
