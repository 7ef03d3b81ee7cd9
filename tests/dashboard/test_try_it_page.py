"""Typed sentences get each model's own answers, and stay text whatever they say."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from lora_lab.baselines import vader_scores
from lora_lab.dashboard import trained
from lora_lab.dashboard.try_it import answers, views
from lora_lab.inside.attribution import Attribution, Word
from lora_lab.models import load_model
from lora_lab.prediction import predict_probabilities
from lora_lab.runs import load_trained, read_run
from lora_lab.runs.answers import Answers

from .conftest import address, open_page, texts
from .finished import FULL, HEAD, LARGE, RANDOM, train_all

TYPED = "the plot was superb\nthe pace was dull and clumsy"
LINES = TYPED.splitlines()
NAMES = ("negative", "positive")
HOSTILE = [
    "<script>window.hacked=1</script>",
    "<img src=x onerror=alert(1)>",
    "[link](http://example.com) ![i](http://example.com/x.png)",
    "{title} %s ${x} $x$ :material/bug:",
    "a\u202eb\x00c\ufffe superb",
    "好电影 🎬 superb",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_folder, reviews_file):
    folder = tmp_path_factory.mktemp("trained") / "runs"
    train_all(folder, tiny_folder, reviews_file)
    return folder


@pytest.fixture
def page(folder, monkeypatch) -> AppTest:
    monkeypatch.setenv("LORA_LAB_RUNS", str(folder))
    return AppTest.from_function(_page, default_timeout=120)


def _page():
    from lora_lab.dashboard import state
    from lora_lab.dashboard.try_it import page as try_it_page

    state.begin()
    try_it_page.show()


def html(app: AppTest) -> list[str]:
    return [element.proto.body for element in app.get("html")]


def cells(app: AppTest) -> list[list[str]]:
    """The table of answers, row by row, tags taken away."""
    [table] = [body for body in html(app) if "VADER" in body]
    found = [
        re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row) for row in re.findall("<tr>.*?</tr>", table)
    ]
    return [[unescape(re.sub("<.*?>", " ", cell)).split() for cell in row] for row in found]


def answer(p: np.ndarray) -> list[str]:
    return [NAMES[int(p.argmax())], f"{100 * p.max():.1f}%"]


def test_each_column_is_that_models_own_answer(page, folder, tiny_folder):
    open_page(page, text=TYPED)
    head, *rows = cells(page)
    assert [" ".join(cell) for cell in head] == [
        "sentence", "Base, untrained head", "VADER rules", "Head only", "LoRA"
    ]  # fmt: skip
    base = predict_probabilities(*load_model(tiny_folder, labels=NAMES), LINES)
    trained_head, lora = (
        predict_probabilities(*load_trained(folder / name), LINES) for name in (HEAD, LARGE)
    )
    for i, (sentence, *found) in enumerate(rows):
        assert " ".join(sentence) == LINES[i]
        score = vader_scores(LINES)[i]
        said = "undecided" if score == 0 else "positive" if score > 0 else "negative"
        vader = [said, "score", f"{score:+.2f}"]
        assert found == [answer(base[i]), vader, answer(trained_head[i]), answer(lora[i])]


def test_without_a_run_those_answer_that_need_none(page, tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_LAB_RUNS", str(tmp_path / "none"))
    open_page(page)
    assert "no finished run yet" in texts(page)
    assert page.get("page_link")
    head, *rows = cells(page)
    assert len(head) == 3 and len(rows) == 3
    assert not page.error


def test_a_head_only_run_is_not_shown_twice(page):
    open_page(page, text=TYPED, run=HEAD)
    assert [" ".join(cell) for cell in cells(page)[0]][3:] == ["Head only"]


@pytest.mark.parametrize("name", [FULL, RANDOM])
def test_a_whole_model_answers_too(page, folder, name):
    open_page(page, text=TYPED, run=name)
    expected = predict_probabilities(*load_trained(folder / name), LINES)
    assert cells(page)[1][-1] == answer(expected[0])
    assert not page.error


def test_a_head_on_another_base_does_not_stand_beside_it(page):
    open_page(page, text=TYPED, run=RANDOM)
    assert "Head only" not in {" ".join(cell) for cell in cells(page)[0]}


def test_the_words_that_are_coloured_are_those_that_change_the_answer(page, folder):
    open_page(page, text=TYPED)
    loaded = load_trained(folder / LARGE)
    [whole, without] = predict_probabilities(*loaded, ["the plot was superb", "the plot was"])
    effect = round(100 * float(whole[whole.argmax()] - without[whole.argmax()]))
    [shown] = [body for body in html(page) if "LoRA:" in body]
    assert f"superb<small>{effect:+d}</small>" in shown


def test_another_sentence_can_be_looked_at(page):
    open_page(page, text=TYPED)
    page.selectbox(key="try_it.line").set_value(1).run()
    assert not page.exception
    assert address(page)["line"] == "2"
    assert any("clumsy" in body for body in html(page) if "LoRA:" in body)


@pytest.fixture
def nothing_kept(monkeypatch):
    """Runs of an earlier version, which kept no answers."""
    trained._scored().clear()
    monkeypatch.setattr(trained, "read_answers", lambda folder: None)


def test_answers_that_training_kept_need_no_pass(page, folder, reviews, monkeypatch):
    computed = predict_probabilities(*load_trained(folder / LARGE), reviews["test"]["text"])
    monkeypatch.setattr(trained, "_classifier", None)
    test, kept = trained.test_probabilities(read_run(folder / LARGE))
    assert test["text"] == reviews["test"]["text"]
    np.testing.assert_allclose(kept, computed, atol=1e-5)


def test_kept_answers_to_other_sentences_are_not_used(folder, monkeypatch):
    run = read_run(folder / LARGE)
    _, expected = trained.test_probabilities(run)
    others = Answers(1 - expected, np.full(len(expected), 7))
    monkeypatch.setattr(trained, "read_answers", lambda folder: others)
    trained._scored().clear()
    np.testing.assert_allclose(trained.test_probabilities(run)[1], expected, atol=1e-5)


def test_hard_sentences_come_on_request_and_are_the_hardest(page, folder, reviews, nothing_kept):
    open_page(page, text=TYPED)
    page.button(key="try_it.hard").click().run()
    assert not page.exception and not page.error
    p = predict_probabilities(*load_trained(folder / LARGE), reviews["test"]["text"])
    unsure = reviews["test"]["text"][int(np.abs(p[:, 0] - 0.5).argmin())]
    assert any(unsure in body for body in html(page))
    labels = np.asarray(reviews["test"]["label"])
    if (p.argmax(axis=1) == labels).all():
        assert "answers every test sentence rightly" in texts(page)
    else:
        believed = p[np.arange(len(labels)), labels]
        worst = reviews["test"]["text"][int(believed.argmin())]
        assert any(worst in body for body in html(page))


def test_the_test_sentences_are_answered_once_for_everyone(page, monkeypatch, nothing_kept):
    open_page(page, text=TYPED)
    page.button(key="try_it.hard").click().run()
    monkeypatch.setattr(trained, "_classifier", None)
    another = AppTest.from_function(_page, default_timeout=120)
    open_page(another, text=TYPED)
    assert "people said" in texts(another)


@pytest.mark.parametrize("typed", HOSTILE)
def test_what_is_typed_is_shown_as_text(page, typed):
    open_page(page, text=typed)
    assert not page.error
    for body in html(page):
        assert "<script>" not in body and "<img" not in body
    shown = " ".join(cells(page)[1][0])
    assert shown == " ".join("".join(c if c.isprintable() else " " for c in typed).split())


def test_too_much_is_cut_and_said(page):
    open_page(page, text="\n".join(f"superb {i}" for i in range(40)))
    assert "only the beginning is used" in page.info[0].value
    assert len(cells(page)) == 1 + answers.MOST_SENTENCES
    open_page(page, text="x" * 5000)
    assert page.warning and not page.error


def test_an_empty_box_asks_for_a_sentence(page):
    open_page(page, text=" \n ")
    assert "Type a sentence" in texts(page)
    assert not page.error


def test_an_unknown_head_only_run_is_told(page):
    open_page(page, text=TYPED, head="<b>x</b>")
    assert "` <b>x</b> `" in page.info[0].value
    assert len(cells(page)[0]) == 5


def test_it_speaks_chinese(page):
    open_page(page, text=TYPED, lang="zh")
    assert page.title[0].value.startswith("试一试")
    assert cells(page)[0][-2] == ["仅分类头"]


@given(st.text(max_size=4000))
def test_any_text_becomes_a_few_short_visible_sentences(text):
    found, shortened = answers.sentences(text)
    assert len(found) <= answers.MOST_SENTENCES
    for sentence in found:
        assert sentence and len(sentence) <= answers.MOST_LETTERS and sentence.isprintable()
    if not shortened:
        assert "".join("".join(found).split()) == "".join(
            c for c in text if c.isprintable() and not c.isspace()
        )


@given(st.lists(st.tuples(st.text(min_size=1), st.floats(-1, 1)), min_size=1, max_size=5))
def test_coloured_words_hold_no_markup_of_the_visitors(pairs):
    found = Attribution(0, 0.75, tuple(Word(text, effect) for text, effect in pairs))
    spans = "".join(views._word(word.text, word.effect) for word in found.words)
    assert set(re.findall(r"</?(\w+)", spans)) <= {"span", "small"}
    for text, effect in pairs:
        shown = views._word(text, effect)
        assert ('class="for"' in shown) == (round(100 * effect) >= 1)
        assert ('class="against"' in shown) == (round(100 * effect) <= -1)
