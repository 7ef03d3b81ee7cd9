"""Every text that a visitor reads, from one catalogue: ``strings/*.toml``, one file per page.

A key is the file's name and the table's: ``[title]`` in ``budget.toml`` is "budget.title", and
``[rank.label]`` in ``train.toml`` is "train.rank.label". Each table holds one text per language.
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

LANGUAGES = {"en": "English", "zh": "中文"}
DEFAULT = "en"
_CHOSEN = "language_"  # in the session
_asked = threading.local()  # for whom this thread draws, and in which language


def t(key: str, **values: Any) -> str:
    """The text of ``key`` in the visitor's language, with the values put in."""
    return catalogue()[key][current()].format(**values)


def has(key: str) -> bool:
    return key in catalogue()


def named(options: Iterable[Any], text: Callable[[Any], str]) -> Callable[[Any], str]:
    """The texts of a widget's options, settled now: Streamlit may ask for them again later, when
    it no longer knows whose language is meant."""
    return {option: text(option) for option in options}.__getitem__


def key(name: str) -> str:
    """A widget's key, another one in each language: a browser knows an option by its text only,
    and would go on showing the old one."""
    return name if current() == DEFAULT else f"{name}@{current()}"


def current() -> str:
    """The visitor's language. The session is asked once in each thread that draws for it: a page
    has a thousand texts, and every one asks here."""
    if told := getattr(_asked, "told", None):
        return told
    visit = get_script_run_ctx(suppress_warning=True)
    if visit is None or getattr(_asked, "visit", None) is not visit:
        _asked.visit = visit
        _asked.language = st.session_state.get(_CHOSEN) or of_browser()
    return _asked.language


def choose(language: str) -> None:
    """From now on; an empty name is that of the visitor's browser."""
    st.session_state[_CHOSEN] = language
    _asked.visit = None


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """For what is made in a thread that knows of no visitor."""
    _asked.told = language
    try:
        yield
    finally:
        _asked.told = None


def of_browser() -> str:
    """The catalogue's language that the visitor's browser asks for."""
    wanted = (st.context.locale or DEFAULT).split("-")[0].lower()
    return wanted if wanted in LANGUAGES else DEFAULT


@cache
def catalogue() -> dict[str, dict[str, str]]:
    """All texts by key, then by language."""
    texts: dict[str, dict[str, str]] = {}
    for file in files(__package__).joinpath("strings").iterdir():
        if file.name.endswith(".toml"):
            tables = tomllib.loads(file.read_text(encoding="utf-8"))
            _collect(file.name.removesuffix(".toml"), tables, texts)
    return texts


def _collect(key: str, table: dict[str, Any], texts: dict[str, dict[str, str]]) -> None:
    found = {name: text for name, text in table.items() if isinstance(text, str)}
    if found:
        texts[key] = found
    for name, inner in table.items():
        if isinstance(inner, dict):
            _collect(f"{key}.{name}", inner, texts)
