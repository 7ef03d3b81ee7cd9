"""The workbench's pages. They read what the library counts and what runs leave on disk."""

from __future__ import annotations

import gc

import streamlit as st

from lora_lab.dashboard import style, training_page

# What has been imported stays. Without this, every collection of garbage looks at PyTorch's half
# million objects, a third of a second in which no visitor is served.
gc.collect()
gc.freeze()


def main() -> None:
    """Called by Streamlit on every visit and every change."""
    st.set_page_config(page_title="LoRA workbench", layout="wide")
    st.html(style.CSS)
    page = st.navigation(
        [st.Page(training_page.show, title="Costs and training", url_path="train", default=True)],
        position="top",
    )
    page.run()
