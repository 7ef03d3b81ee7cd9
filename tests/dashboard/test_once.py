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
    monkeypatch.setattr(st, "vega_lite_chart", lambda chart, **options: shown.append(options))
    for last in (1, 1, 2):
        frame = pd.DataFrame({"a": [last]})
        once.chart(partial(chart, frame, colour="blue"), "loss", last, alt="in words")
    assert made == ["blue", "blue"] and shown == 2 * [dict(alt="in words")]
    assert state.presenting() is False


class Watched(alt.Chart):
    """Notes how Altair writes data, for the whole process, while a chart is asked for its own."""

    def to_dict(self, *args, **options):
        made.append(alt.data_transformers.active)
        return super().to_dict(*args, **options)


def watched(frame: pd.DataFrame) -> alt.Chart:
    return Watched(frame).mark_point().encode(x=alt.X("a:Q"))


def test_a_chart_on_a_page_does_not_take_the_data_out_of_a_file_made_meanwhile(visit, monkeypatch):
    """Were it drawn with another way to write data, a file of another thread would be empty."""
    shown: list[dict] = []
    monkeypatch.setattr(st, "vega_lite_chart", shown.append)
    monkeypatch.setattr(once, "CHECKS", False)
    once.chart(partial(watched, pd.DataFrame({"a": [1.5, 2.5]})))
    assert set(made) == {"default"}
    [specification] = shown
    assert [{"a": 1.5}, {"a": 2.5}] in specification["datasets"].values()
    assert "config" not in specification, "the page decides on sizes"
