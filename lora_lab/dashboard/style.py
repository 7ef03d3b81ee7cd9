"""The little CSS that Streamlit's theme cannot say: less empty space, figures that never wrap."""

from __future__ import annotations

import streamlit as st

_ALWAYS = """
.stMainBlockContainer {padding: 4rem 2rem 3rem}
@media (max-width: 640px) {.stMainBlockContainer {padding: 4.4rem 1rem 3rem}}
[data-testid="stSidebarHeader"] {height: 2.6rem; padding-bottom: 0; margin-bottom: 0}
[data-testid="stSidebarUserContent"] {padding-bottom: 2rem}
a:focus-visible {outline: 2px solid currentColor !important; outline-offset: -2px}
.stMainBlockContainer h1 {padding-top: .3rem}
.st-key-header {gap: .9rem; margin-bottom: -.6rem}
.st-key-scale {flex-wrap: nowrap}
:has(> .st-key-scale) {position: sticky; top: 3.75rem; z-index: 90; padding: .3rem 0;
  background: var(--page, transparent)}
.figures {display: grid; grid-template-columns: repeat(auto-fit, minmax(8.6rem, 1fr));
  gap: .6rem .5rem}
.figures.long {grid-template-columns: repeat(auto-fit, minmax(12.6rem, 1fr))}
.figures > div {border-left: 4px solid #0072B2; padding-left: .6rem; line-height: 1.35}
.figures > div > div {font-size: .86rem; white-space: nowrap}
.figures > div > .value {font-size: 1.6rem; font-weight: 600; font-variant-numeric: tabular-nums}
.drawing {overflow-x: auto}
.network {width: 100%; min-width: 510px; max-width: 1080px; display: block}
"""
_PRESENTING = "html {font-size: 23px !important} .network {max-width: none}"


def css(presenting: bool, background: str) -> str:
    """The style element; a presenter's type can be read from the last row.

    Args:
        background: the page's colour, for what stays while the rest scrolls below it.
    """
    page = f":root {{--page: {background}}}"
    return f"<style>{page}{_ALWAYS}{_PRESENTING * presenting}</style>"


def background() -> str:
    """The page's colour in the visitor's theme, as ``.streamlit/config.toml`` says."""
    return st.get_option(f"theme.{st.context.theme.type or 'light'}.backgroundColor") or "Canvas"
