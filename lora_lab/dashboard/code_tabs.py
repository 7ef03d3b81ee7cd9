"""A choice of settings as code to copy, beside each other for lora_lab and for PEFT."""

from __future__ import annotations

import streamlit as st

from lora_lab.adapt import LoraConfig
from lora_lab.counting import Blueprint
from lora_lab.dashboard import code
from lora_lab.dashboard.language import t


def show(drawn: Blueprint, source: code.Source, lora: LoraConfig, *, head: bool) -> None:
    """See ``code`` for the arguments."""
    ours, pefts = st.tabs(["lora_lab", "PEFT"])
    ours.code(code.lora_lab_code(source, lora, head=head))
    pefts.code(code.peft_code(drawn, source, lora, head=head))
    st.caption(t("common.code.caption"))
