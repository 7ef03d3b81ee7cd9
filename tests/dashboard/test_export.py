"""What is taken away is what was shown, and harmless where it is opened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import altair as alt
import pandas as pd
import pytest
import streamlit as st
from matplotlib.figure import Figure

from lora_lab.dashboard import chart_style, export, language, state
from lora_lab.dashboard.drawing import document, text

FRAME = pd.DataFrame({"name": ["原文", "b"], "accuracy": [0.5, 0.75]})


def drawn() -> Figure:
    figure = Figure()
    figure.add_subplot().plot([1, 2], [3, 4])
    return figure


def chart() -> alt.Chart:
    return alt.Chart(FRAME).mark_point().encode(x="name:N", y="accuracy:Q")


def test_a_table_comes_back_as_it_was():
    pd.testing.assert_frame_equal(pd.read_csv(BytesIO(export.csv(FRAME))), FRAME)
    named = FRAME.set_index("name")
    pd.testing.assert_frame_equal(pd.read_csv(BytesIO(export.csv(named)), index_col=0), named)


@pytest.mark.parametrize("text", ["=cmd()", "+1", "-1", "@x"])
def test_no_cell_becomes_a_formula(text):
    read = pd.read_csv(BytesIO(export.csv(pd.DataFrame({text: [text]}))))
    assert read.iloc[0, 0] == f"'{text}" and read.columns[0] == f"'{text}"


def drawing() -> str:
    return document([text("<原文>", 0, 14)], (60, 20), dark=False, ground="white")


@pytest.mark.parametrize("make", [drawn, chart, drawing])
def test_a_figure_becomes_both_kinds_of_picture(make):
    assert export.picture(make(), "png").startswith(b"\x89PNG\r\n")
    assert b"<svg" in export.picture(make(), "svg")
    assert b"<svg" in export.picture(make, "svg")  # made only when it is asked for


def test_a_file_is_written_as_the_page_was_that_offered_it(monkeypatch):
    """Streamlit has it made later, in a thread that knows of no visitor."""

    def drawing() -> str:
        words = f"{language.t('train.title')} in {chart_style.letters()} pixels"
        return document([text(words, 0, 14)], (9, 9), False)

    offered = []
    monkeypatch.setattr(st, "download_button", lambda label, make, **more: offered.append(make))
    visitors = [("zh", False), ("en", True)]
    for visitor in visitors:
        with state.seen_by(*visitor):
            export.figure(drawing, "figure")
    monkeypatch.setattr(st, "session_state", None)  # nobody's
    with ThreadPoolExecutor(1) as another_thread:
        svgs = [another_thread.submit(make).result().decode() for make in offered[1::2]]
    for (spoken, presenter), svg in zip(visitors, svgs, strict=True):
        title = language.catalogue()["train.title"][spoken]
        assert f"{title} in {20 if presenter else 14} pixels" in svg
