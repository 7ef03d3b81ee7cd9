"""What the compare page leaves out: other test sentences always, the rest as the visitor says."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from lora_lab.dashboard import form, state, wording
from lora_lab.dashboard.compare import measured
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet


def show(sheet: Sheet, runs: pd.DataFrame) -> pd.DataFrame:
    """Draw the filters; returns the runs that pass, all scored on the same sentences."""
    form.one(sheet, "unit")
    form.one(sheet, "whose")
    comparable = _same_test(
        measured.of_origin(state.values()["whose"], runs), set(runs["sentences"])
    )
    return measured.narrowed(comparable, state.values() | _filters(comparable))


def _same_test(runs: pd.DataFrame, known: set[str]) -> pd.DataFrame:
    """The runs scored on the chosen test sentences, one of the ``known``; says which others there
    are."""
    sets = measured.test_sets(runs)
    wanted = state.values()["test"]
    current = wanted if wanted in sets else next(iter(sets), "")
    if wanted and wanted not in known:
        _unknown("test", [wanted])
    if len(sets) > 1:
        key = "compare.test"
        st.session_state[key] = current
        st.selectbox(
            t("compare.test.label"),
            sets,
            format_func=sets.get,
            key=key,
            help=t("compare.test.help"),
            disabled=state.is_fixed("test"),
            on_change=lambda: state.change("test", st.session_state[key]),
        )
    if older := int((runs["sentences"] == "").sum()):
        st.caption(t("compare.older", count=older))
    if elsewhere := len(runs[~runs["sentences"].isin(["", current])]):
        st.caption(t("compare.elsewhere", count=elsewhere))
    return runs[(runs["sentences"] == current) & (runs["sentences"] != "")]


def _filters(runs: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Draw a filter for each column that has more than one value; returns what they let through.

    Names from the address that no run has are told and not obeyed.
    """
    kept = {}
    for name, column in measured.FILTERS.items():
        found = runs[runs[column] != ""][column].drop_duplicates().sort_values()
        texts = {str(value): _filter_text(name, value) for value in found}
        wanted = state.values()[name]
        kept[name] = tuple(value for value in wanted if value in texts)
        if unknown := [value for value in wanted if value not in texts]:
            _unknown(name, unknown)
        if len(texts) > 1 and not state.presenting():  # a presenter does with fewer controls
            _several(name, texts, kept[name])
    return kept


def _filter_text(name: str, value: Any) -> str:
    if name == "methods":
        return t(f"train.method.option.{value}")
    return {"layers": wording.layers, "targets": wording.targets}.get(name, wording.number)(value)


def _several(name: str, texts: dict[str, str], chosen: tuple[str, ...]) -> None:
    """A choice among values that only the runs know; none of them means all."""
    key = f"compare.{name}"
    st.session_state[key] = list(chosen)
    st.multiselect(
        t(f"compare.{name}.label"),
        texts,
        format_func=texts.get,
        key=key,
        placeholder=t("compare.filter.any"),
        disabled=state.is_fixed(name),
        on_change=lambda: state.change(name, tuple(st.session_state[key])),
    )


def _unknown(name: str, values: list[str]) -> None:
    texts = t("common.comma").join(map(wording.quoted, values))
    st.warning(t("compare.filter.unknown", label=t(f"compare.{name}.label"), text=texts))
