"""Which of the experiments that came with the app the compare page shows."""

from __future__ import annotations

import streamlit as st

from lora_lab.dashboard import language, state
from lora_lab.dashboard.compare import measured
from lora_lab.dashboard.kinds import Choice
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet
from lora_lab.presets import PRESETS

SETTING = Choice(name="grid", default=measured.CLASSROOM, options=tuple(PRESETS), many=True)
#: The axis that shows what an experiment asks, where that is not the rank.
AXES = {"rate-and-scale": "rate", "which-matrices": "trainable", "how-much-data": "train"}
#: What stays when another experiment is looked at: the rest names things that only one has.
_KEPT = ("unit", "whose")


def choose(sheet: Sheet) -> None:
    """A choice among what has shipped, and what the shown experiment holds."""
    current = state.values()[SETTING.name]
    options = [name for name in PRESETS if (measured.STORED / name).is_dir()]
    options += [current] * (current not in options)
    if len(options) < 2:
        return
    key = state.bind(language.key(SETTING.name), current)
    st.selectbox(
        t("compare.grid.label"),
        options,
        format_func=language.named(options, lambda name: t(f"compare.grid.option.{name}")),
        key=key,
        disabled=state.is_fixed(SETTING.name),
        on_change=lambda: _take(sheet, st.session_state[key]),
    )
    st.caption(t(f"compare.grid.about.{current}"))


def _take(sheet: Sheet, grid: str) -> None:
    values = state.values()
    kept = {name: v for name, v in values.items() if name in _KEPT or name.startswith("for_")}
    state.replace(sheet.defaults(grid) | kept)
