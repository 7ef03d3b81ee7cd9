"""What is taken away is what was shown, and harmless where it is opened."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import altair as alt
import pandas as pd
import pytest
import streamlit as st
from matplotlib.figure import Figure

from lora_lab.dashboard import export, language
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


def test_a_file_speaks_the_language_of_the_page_that_offered_it(monkeypatch):
    """Streamlit has it made later, in a thread that knows of no visitor."""
    offered = []
    monkeypatch.setattr(st, "download_button", lambda label, make, **more: offered.append(make))
    for spoken in ("zh", "en"):
        with language.speaking(spoken):
            export.figure(lambda: document([text(language.t("train.title"), 0, 14)], (9, 9), False),
                          "figure")  # fmt: skip
    with ThreadPoolExecutor(1) as another_thread:
        drawings = [another_thread.submit(make).result() for make in offered[1::2]]
    titles = [language.catalogue()["train.title"][spoken].encode() for spoken in ("zh", "en")]
    assert [title in drawing for title, drawing in zip(titles, drawings, strict=True)] == [True] * 2
