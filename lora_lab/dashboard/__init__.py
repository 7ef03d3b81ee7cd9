"""The workbench's pages. They read what the library counts and what runs leave on disk."""

from __future__ import annotations

import streamlit as st

from lora_lab.dashboard import gradients_page, header, state, style, train_page
from lora_lab.dashboard.language import t

# Every page in the order of the navigation: ``name``_page.py has SHEET, whose name is the page's
# address, and show(). A new page is added here and nowhere else.
PAGES = (train_page, gradients_page)
FIRST = train_page


def main() -> None:
    """Called by Streamlit on every visit and every change."""
    st.set_page_config(page_title="lora-lab", layout="wide")
    state.begin()
    st.html(style.css(state.presenting(), style.background()))
    page = st.navigation([_page(module) for module in PAGES], position="top")
    bar = header.show()
    page.run()
    with bar:
        header.lesson()


def _page(module) -> st.Page:
    name = module.SHEET.name
    return st.Page(
        module.show, title=t(f"common.pages.{name}"), url_path=name, default=module is FIRST
    )
