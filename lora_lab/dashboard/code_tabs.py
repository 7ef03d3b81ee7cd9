"""A choice of settings as code to copy, beside each other for lora_lab and for PEFT."""

from __future__ import annotations

import streamlit as st

from lora_lab.adapt import LoraConfig
from lora_lab.budget.counting import Blueprint
from lora_lab.dashboard import code
from lora_lab.dashboard.language import t


def show(drawn: Blueprint, source: code.Source, lora: LoraConfig, *, head: bool) -> None:
    """See ``code`` for the arguments."""
    for tab, text in zip(
        st.tabs(["lora_lab", "PEFT"]), _texts(drawn, source, lora, head), strict=True
    ):
        tab.code(text)
    st.caption(t("common.code.caption"))


@st.cache_data(show_spinner=False, max_entries=1000)
def _texts(_drawn: Blueprint, source: code.Source, lora: LoraConfig, head: bool) -> tuple[str, str]:
    """Kept, since PEFT's names for the matrices are found by counting."""
    ours = code.lora_lab_code(source, lora, head=head)
    return ours, code.peft_code(_drawn, source, lora, head=head)
