"""What is the same for all visitors is made for the first of them, and shown to every one."""

from __future__ import annotations

from functools import partial

import altair as alt
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from lora_lab.dashboard import language, once, state

made: list[str] = []


def chart(frame: pd.DataFrame, *, colour: str) -> alt.Chart:
    made.append(colour)
    return alt.Chart(frame).mark_point(color=colour).encode(x="a:Q")


def table(frame: pd.DataFrame) -> pd.DataFrame:
    made.append("table")
    return 2 * frame


def page() -> None:
    """Two columns with the same chart, and a table."""
    frame = pd.DataFrame({"a": st.session_state.get("values", [1, 2])})
    left, right = st.columns(2)
    with left:
        once.chart(partial(chart, frame, colour="red"))
        st.markdown("below")
    with right:
        st.markdown("above")
        once.chart(partial(chart, frame, colour="red"))
    doubled = once.result(partial(table, frame))
    st.markdown(f"sum {doubled['a'].sum()}")
    doubled["a"] = 0  # one's own copy


@pytest.fixture
def visit():
    st.cache_data.clear()
    made.clear()

    def open_it(**session) -> AppTest:
        app = AppTest.from_string(f"from {__name__} import page\npage()", default_timeout=60)
        for name, value in session.items():
            app.session_state[name] = value
        app.run()
        assert not app.exception
        return app

    return open_it


def test_the_second_visitor_sees_what_was_drawn_for_the_first(visit):
    for app in (visit(), visit()):
        kinds = [[element.type for element in column.children.values()] for column in app.columns]
        assert kinds == [["vega_lite_chart", "markdown"], ["markdown", "vega_lite_chart"]]
        assert app.markdown[-1].value == "sum 6"
    assert made == ["red", "table"]


def test_other_numbers_letters_or_words_are_another_chart(visit):
    visit()
    for session in (
        dict(values=[1, 3]),
        {language._CHOSEN: "zh"},
        dict(presenting_=True),
    ):
        made.clear()
        visit(**session)
        assert made == ["red", "table"], session


def test_a_chart_may_be_known_by_less_than_it_is_drawn_from(visit, monkeypatch):
    shown: list[dict] = []
    monkeypatch.setattr(st, "altair_chart", lambda chart, **options: shown.append(options))
    for last in (1, 1, 2):
        frame = pd.DataFrame({"a": [last]})
        once.chart(partial(chart, frame, colour="blue"), "loss", last, alt="in words")
    assert made == ["blue", "blue"] and shown == 2 * [dict(alt="in words")]
    assert state.presenting() is False
