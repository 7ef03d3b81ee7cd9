"""What all pages have in common: language, presenter, lessons, and an address that says it all."""

from __future__ import annotations

import re
from types import SimpleNamespace
from urllib.parse import parse_qsl, urlsplit

import pytest
import streamlit
from streamlit.util import calc_hash

import lora_lab.dashboard
from lora_lab.dashboard import form, language, state
from lora_lab.dashboard.kinds import Choice, Text, Whole
from lora_lab.dashboard.sheet import Sheet
from lora_lab.dashboard.train.settings import SHEET

from .conftest import address, again, labels, open_page, texts

OTHER = Sheet(
    "other",
    (
        Whole(name="rank", group="g", default=8, low=1, high=64),
        Choice(name="colour", group="g", default="red", options=("red", "blue")),
        Text(name="words", group="more", longest=20, detail=True),
    ),
)


def show_other() -> None:
    state.open_page(OTHER)
    form.show(OTHER)
    streamlit.markdown(f"rank {state.values()['rank']}, {state.values()['colour']}")


@pytest.fixture
def two_pages(app, monkeypatch):
    """The app with a second page, whose texts are invented here."""
    keys = ["common.pages.other", "other.group.g", "other.group.more"]
    keys += [f"other.{name}.label" for name in OTHER.names]
    invented = {key: {"en": key, "zh": f"{key} 中"} for key in keys}
    every = language.catalogue() | invented
    monkeypatch.setattr(language, "catalogue", lambda: every)
    page = SimpleNamespace(SHEET=OTHER, show=show_other)
    monkeypatch.setattr(lora_lab.dashboard, "PAGES", (*lora_lab.dashboard.PAGES, page))
    return app


def go_to(app, page: str, **given: str):
    """As the navigation does, which leaves the address empty; or as a link with one."""
    app._page_hash = calc_hash("" if page == "train" else page)
    app.query_params = dict(given)
    return again(app)


def go_back(app, monkeypatch, page: str, **given: str):
    monkeypatch.setattr(state, "_went_back", lambda: True)
    go_to(app, page, **given)
    monkeypatch.undo()
    return app


def test_each_page_keeps_its_values_and_its_address(two_pages):
    app = open_page(two_pages, rank="32")
    go_to(app, "other")
    assert "rank 8" in texts(app) and address(app) == {}
    app.number_input(key="rank").set_value(5)
    again(app)
    assert address(app) == {"rank": "5"}
    go_to(app, "train")
    assert app.number_input(key="rank").value == 32 and address(app) == {"rank": "32"}
    go_to(app, "other")
    assert "rank 5" in texts(app) and address(app) == {"rank": "5"}


def test_a_link_to_either_page_shows_what_it_says(two_pages):
    app = open_page(two_pages)
    go_to(app, "other", rank="3", colour="blue")
    assert "rank 3, blue" in texts(app)
    go_to(app, "train", rank="16")
    assert app.number_input(key="rank").value == 16


def test_a_link_may_name_the_first_page(app):
    app._page_hash = calc_hash("train")
    open_page(app, rank="3")
    assert app.number_input(key="rank").value == 3 and address(app) == {"rank": "3"}


def test_the_back_button_brings_earlier_values_back(app, monkeypatch):
    open_page(app, rank="32")
    app.number_input(key="rank").set_value(5)
    again(app)
    go_back(app, monkeypatch, "train", rank="32")
    assert app.number_input(key="rank").value == 32
    assert address(app) == {"rank": "32"}


def test_the_back_button_undoes_language_and_presenter(app, monkeypatch):
    open_page(app, lang="zh", present="1")
    go_back(app, monkeypatch, "train")
    assert address(app) == {}
    assert app.button(key="start").label == "Start run"
    assert not app.toggle(key="header.presenter").value


def test_a_click_that_brings_an_older_address_undoes_nothing(app):
    open_page(app, rank="32")
    app.number_input(key="rank").set_value(5)
    again(app)
    app.query_params = {"rank": "32"}  # what the browser still believed when it was clicked
    again(app)
    assert app.number_input(key="rank").value == 5
    assert address(app) == {"rank": "5"}


def test_problems_of_an_address_are_told_once_something_is_changed_no_longer(app):
    open_page(app, rank="banana")
    assert app.warning
    app.number_input(key="rank").set_value(5)
    again(app)
    assert not app.warning


def test_the_language_can_be_switched_and_is_in_the_address(app):
    open_page(app)
    english = labels(app)
    app.segmented_control(key="header.language").set_value("zh")
    again(app)
    assert address(app) == {"lang": "zh"}
    assert len(labels(app)) == len(english)
    assert "训练" in app.title[0].value
    assert "秩 r" in labels(app)
    app.segmented_control(key="header.language").set_value("en")
    again(app)
    assert labels(app) == english and address(app) == {}


def test_a_link_brings_its_language_and_a_browser_its_own(app):
    app.context = {"locale": "zh-CN"}
    open_page(app)
    assert "训练" in app.title[0].value and address(app) == {}
    app.segmented_control(key="header.language").set_value("en")
    again(app)
    assert address(app) == {"lang": "en"}


@pytest.mark.parametrize("locale", ["fr-FR", "", "zh", "en-US", "zh_CN", "x" * 50])
def test_any_browser_gets_a_language(app, locale):
    app.context = {"locale": locale}
    open_page(app)
    assert "Start run" in app.button(key="start").label or locale.startswith("zh")


@pytest.mark.parametrize("method", ["lora", "two-sided", "head", "full"])
@pytest.mark.parametrize("chosen", list(language.LANGUAGES))
def test_every_method_in_every_language_presented_or_not(app, method, chosen):
    open_page(app, method=method, lang=chosen)
    many = len(labels(app))
    open_page(app, method=method, lang=chosen, present="1")
    assert len(labels(app)) < many
    assert "font-size" in texts(app)


def test_presenter_mode_is_in_the_address(app):
    open_page(app)
    app.toggle(key="header.presenter").set_value(True)
    again(app)
    assert address(app) == {"present": "1"}
    app.toggle(key="header.presenter").set_value(False)
    again(app)
    assert address(app) == {}


def test_a_run_puts_nothing_back_that_is_as_it_should_be(app):
    """What a run sets reaches the browser late, perhaps after the visitor's next click."""
    open_page(app, present="1", lang="en")
    for _ in range(2):
        again(app)
        assert not app.toggle(key="header.presenter").proto.set_value
        assert not app.segmented_control(key="header.language").proto.set_value
    open_page(app, present="0")
    assert app.toggle(key="header.presenter").proto.set_value


def test_a_lesson_fixes_settings_and_asks(app):
    open_page(app, rank="4", fix="rank,method,layers", ask="What does *alpha* do?")
    assert app.number_input(key="rank").disabled and app.select_slider(key="rank.slider").disabled
    assert app.pills(key="method").disabled
    assert app.segmented_control(key="layers.kind").disabled
    assert not app.number_input(key="alpha").disabled
    assert "What does \\*alpha\\* do" in app.info[0].value
    app.number_input(key="alpha").set_value(64)
    again(app)
    expected = {"rank": "4", "alpha": "64", "fix": "method,rank,layers"}
    assert address(app) == expected | {"ask": "What does *alpha* do?"}


def test_what_a_lesson_fixes_stays_whatever_else_changes(app):
    open_page(app, rate="0.5", fix="rate")
    app.pills(key="method").set_value("full")
    again(app)
    assert app.select_slider(key="rate").value == 0.5
    assert app.selectbox(key="preset").disabled


def test_a_lesson_belongs_to_its_page(two_pages):
    app = open_page(two_pages, fix="rank", ask="Why?")
    go_to(app, "other")
    assert not app.number_input(key="rank").disabled and not app.info
    go_to(app, "train")
    assert app.number_input(key="rank").disabled and "Why" in app.info[0].value


def test_a_teacher_makes_a_lesson_that_opens_as_made(app):
    open_page(app, rank="4", lang="zh")
    app.multiselect(key="lesson.train.fix@zh").set_value(["rank", "alpha"])
    app.text_area(key="lesson.train.ask").set_value("为什么? 50% & more = <b>?")
    again(app)
    link = app.code[0].value
    made = dict(parse_qsl(urlsplit(link).query))
    app.query_params = made
    again(app)
    rank = app.number_input(key="rank@zh")
    assert rank.disabled and rank.value == 4
    assert "50\\% \\& more" in app.info[0].value
    assert address(app) == made


@pytest.mark.parametrize("asked", ["x" * 5000, "<script>alert(1)</script>", "![a](http://b/c)", ""])
def test_a_question_is_short_plain_text(app, asked):
    open_page(app, ask=asked)
    shown = "".join(info.value for info in app.info)
    assert len(shown.replace("\\", "")) < 1000
    assert "](http" not in shown and not re.search(r"(?<!\\)<script", shown)
    assert len(address(app).get("ask", "")) <= state.LONGEST_QUESTION


def test_every_setting_can_be_fixed(app):
    """A fixed setting is shown disabled, even a detail before an audience."""
    for method in ("lora", "full"):
        open_page(app, method=method, fix=",".join(SHEET.names), present="1")
        controls = [e for e in app.sidebar if hasattr(e, "disabled") and e.key != "preset"]
        assert controls and all(element.disabled for element in controls)
