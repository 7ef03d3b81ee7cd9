"""What stands above every page: language, presenter mode, and how a teacher makes a lesson."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import streamlit as st

from lora_lab.dashboard import language, state
from lora_lab.dashboard.language import t


def show():
    """The controls; returns where ``lesson`` goes once the page is known."""
    bar = st.container(
        key="header", horizontal=True, horizontal_alignment="right", vertical_alignment="center"
    )
    with bar:
        _language()
        _presenter()
    return bar


def lesson() -> None:
    """A small form that makes a link: which settings are fixed, and what the class is asked."""
    if state.presenting():
        return
    sheet = state.open_sheet()
    with st.popover(t("common.lesson.make"), icon=":material/school:", type="tertiary"):
        st.caption(t("common.lesson.about"))
        fixed = st.multiselect(
            t("common.lesson.fix"),
            sheet.names,
            format_func=language.named(sheet.names, lambda name: t(f"{sheet.name}.{name}.label")),
            placeholder=t("common.lesson.none"),
            key=language.key(f"lesson.{sheet.name}.fix"),
        )
        asked = st.text_area(
            t("common.lesson.ask"),
            max_chars=state.LONGEST_QUESTION,
            key=f"lesson.{sheet.name}.ask",
        )
        parameters = urlencode(state.lesson_address(fixed, asked), quote_via=quote)
        st.markdown(t("common.lesson.link"))
        st.code(f"{st.context.url or ''}?{parameters}", language=None, wrap_lines=True)


def _language() -> None:
    key = state.bind("header.language", language.current())
    st.segmented_control(
        t("common.language"),
        language.LANGUAGES,
        required=True,
        format_func=language.LANGUAGES.get,
        key=key,
        label_visibility="collapsed",
        on_change=lambda: state.speak(st.session_state[key]),
    )


def _presenter() -> None:
    key = state.bind("header.presenter", state.presenting())
    st.toggle(
        t("common.presenter.label"),
        key=key,
        help=t("common.presenter.help"),
        on_change=lambda: state.present(st.session_state[key]),
    )
