"""The workbench's pages. They read what the library counts and what runs leave on disk."""

from __future__ import annotations

import gc
from types import ModuleType

import streamlit as st

from lora_lab.dashboard import header, state, style
from lora_lab.dashboard.budget import page as budget_page
from lora_lab.dashboard.compare import page as compare_page
from lora_lab.dashboard.gradients import page as gradients_page
from lora_lab.dashboard.inside import page as inside_page
from lora_lab.dashboard.language import t
from lora_lab.dashboard.train import page as train_page
from lora_lab.dashboard.try_it import page as try_it_page

# Every page in the order of the navigation: each has a folder, whose page.py has SHEET, with the
# page's address for a name, and show(). A new page is added here and nowhere else.
PAGES = (budget_page, train_page, compare_page, inside_page, try_it_page, gradients_page)
FIRST = train_page

# What has been imported stays. Without this, every collection of garbage looks at PyTorch's half
# million objects, a third of a second in which no visitor is served.
gc.collect()
gc.freeze()


def main() -> None:
    """Called by Streamlit on every visit and every change."""
    st.set_page_config(page_title="lora-lab", layout="wide")
    state.begin()
    st.html(style.css(state.presenting(), style.background()))
    pages = [_page(module) for module in PAGES]
    # The first page is at "/"; a link that names it finds it as well.
    named = st.Page(FIRST.show, title=_title(FIRST), url_path=_name(FIRST), visibility="hidden")
    page = st.navigation([*pages, named], position="top")
    bar = header.show()
    page.run()
    with bar:
        header.lesson()


def _page(module: ModuleType) -> st.Page:
    if module is FIRST:
        return st.Page(module.show, title=_title(module), default=True)
    return st.Page(module.show, title=_title(module), url_path=_name(module))


def _title(module: ModuleType) -> str:
    return t(f"common.pages.{_name(module)}")


def _name(module: ModuleType) -> str:
    return module.SHEET.name
