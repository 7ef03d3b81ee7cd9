"""The page of the referees: it shows what they say, plants mistakes and asks SymPy on demand."""

from __future__ import annotations

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from lora_lab.dashboard import export
from lora_lab.dashboard.gradients import charts, hearing
from lora_lab.dashboard.gradients.hearing import NONE, Case
from lora_lab.dashboard.gradients.page import SHEET
from lora_lab.dashboard.language import LANGUAGES, catalogue
from lora_lab.derivations import referees
from lora_lab.derivations.catalogue import CATALOGUE, LayerShape, LossShape, find
from lora_lab.derivations.mistakes import MISTAKES, find_mistake
from lora_lab.derivations.referees import VERDICTS, Report, check

from .conftest import address, again

SCRIPT = """
from lora_lab.dashboard import state
from lora_lab.dashboard.gradients import page as gradients_page
state.begin()
gradients_page.show()
"""
TINY = dict(examples="2", inputs="2", outputs="3", rank="2")  # SymPy is quick here
TINY_SHAPE = LayerShape((2,), 2, 3, 2)
QUICK = ("autograd", "central differences")


@pytest.fixture(autouse=True)
def _nothing_remembered():
    st.cache_data.clear()


def open_page(**parameters: str) -> AppTest:
    app = AppTest.from_string(SCRIPT, default_timeout=60)
    for name, text in parameters.items():
        app.query_params[name] = text
    return again(app)


def says(key: str, language: str = "en") -> str:
    return catalogue()[f"gradients.{key}"][language]


def beginning(key: str) -> str:
    """The part of a text before its first placeholder."""
    return says(key).partition("{")[0]


def written(app: AppTest) -> str:
    kinds = ("title", "markdown", "caption", "info", "warning", "error", "success", "latex")
    return "\n".join(str(element.value) for kind in kinds for element in app.get(kind))


def verdicts(app: AppTest) -> dict[tuple[str, str], str]:
    """(variable, referee) -> verdict, as the table shows them."""
    [table] = app.table
    words = {says(f"verdict_name.{verdict}"): verdict for verdict in VERDICTS}
    shown = table.value.set_index(says("table.variable"))
    found = {}
    for referee in referees.REFEREES:
        for row, cell in shown[says(f"referee.{referee}")].items():
            for word, verdict in words.items():
                if f" {word}" in cell:
                    found[row.rpartition("∂")[2], referee] = verdict
    return found


def ask_sympy(app: AppTest) -> AppTest:
    app.button(key="gradients.sympy").click()
    return again(app)


def plant(app: AppTest, mistake: str) -> AppTest:
    app.pills(key="mistake").set_value(mistake)
    return again(app)


# What is right.


@pytest.mark.parametrize("derivation", CATALOGUE, ids=lambda d: d.key)
def test_the_table_holds_what_the_referees_say(derivation):
    app = open_page(derivation=derivation.key, examples="3", seed="5")
    shape = hearing.shape_of(derivation, dict(examples=3, inputs=5, outputs=3, rank=2, classes=3))
    findings = check(derivation, shapes=[shape], referees=QUICK, seed=5)
    assert verdicts(app) == {(f.variable, f.referee): f.verdict for f in findings}
    assert app.success and not app.error and not app.warning
    assert any(derivation.tex.forward in element.value for element in app.get("latex"))


def test_sympy_is_asked_only_when_someone_asks(monkeypatch):
    asked = []

    def count(*arguments):
        asked.append(arguments)
        return referees.symbolic(*arguments)

    monkeypatch.setitem(referees.REFEREES, "symbolic", count)
    app = open_page(**TINY)
    assert not asked
    assert set(app.table[0].value["SymPy"]) == {says("table.not_asked")}
    ask_sympy(app)
    assert len(asked) == 1
    assert verdicts(app)["A", "symbolic"] == "exact"
    assert says("verdict.right") in written(app)
    # Kept for the mistakes of the same point, for other visitors, and not for another point.
    plant(app, "missing-scaling")
    assert verdicts(app)["A", "symbolic"] == "wrong"
    ask_sympy(open_page(**TINY))
    assert len(asked) == 1
    app.number_input(key="rank").set_value(1)
    again(app)
    assert app.button(key="gradients.sympy") and len(asked) == 1


# What is wrong.


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name)
def test_planting_a_mistake_shows_who_notices(mistake):
    app = plant(open_page(**TINY), mistake.name)
    assert app.selectbox(key="derivation").value == mistake.derivation
    assert address(app)["mistake"] == mistake.name
    ask_sympy(app)
    shape = TINY_SHAPE if mistake.derivation in hearing.LAYERS else LossShape(2)
    report = Report(tuple(check(mistake.applied(), shapes=[shape])), mistake.name)
    assert verdicts(app) == {
        (says("table.value") if f.variable == "value" else f.variable, f.referee): f.verdict
        for f in report.findings
    }
    noticed = {referee for (_, referee), verdict in verdicts(app).items() if verdict == "wrong"}
    assert noticed == set(report.caught_by())
    assert app.error and not app.success
    plant(app, NONE)
    assert app.success and not app.error


def test_one_mistake_is_seen_by_sympy_alone_and_the_page_says_why():
    app = open_page(mistake="alpha-not-alpha-over-r", **TINY)
    assert says("verdict.unseen") in written(app)
    assert "wrong" not in verdicts(app).values()
    ask_sympy(app)
    assert beginning("verdict.wrong") in app.error[0].value
    assert app.error[0].value.endswith("SymPy.")
    assert says("verdict.sympy_alone") in written(app)


@pytest.mark.parametrize("mistake", ["alpha-not-alpha-over-r", "transposed-A"])
def test_at_rank_one_the_page_says_that_nobody_can_see_it(mistake):
    app = ask_sympy(open_page(mistake=mistake, **TINY | {"rank": "1"}))
    assert says("verdict.hidden") in written(app)


def test_a_mistake_of_another_derivation_is_not_planted():
    app = open_page(derivation="softmax-ce", mistake="transposed-A")
    assert app.pills(key="mistake").value == NONE
    assert app.success and not app.error


def test_a_lesson_about_one_derivation_offers_only_its_mistakes():
    app = open_page(derivation="lora-dropout", fix="derivation", ask="Who notices?")
    assert app.selectbox(key="derivation").disabled
    options = app.pills(key="mistake").options
    assert len(options) == 2
    assert says("mistake.option.forgotten-mask") in [str(getattr(o, "content", o)) for o in options]
    plant(app, "forgotten-mask")
    assert app.error


# Looking closer.


def test_another_variable_can_be_looked_at_and_is_in_the_address():
    app = open_page(**TINY)
    assert app.pills(key="variable").value == "A"
    app.pills(key="variable").set_value("B")
    again(app)
    assert address(app)["variable"] == "B"
    app.selectbox(key="derivation").set_value("bce")
    again(app)
    assert app.pills(key="variable").value == "z"


def test_a_mistake_elsewhere_shows_a_gradient_that_is_wrong():
    app = plant(open_page(**TINY), "article-product-rule")  # which has no A
    assert verdicts(app)[app.pills(key="variable").value, "autograd"] == "wrong"


def test_entries_side_by_side_become_one_picture():
    values = torch.tensor([[1.0, -2.0]])
    frame = charts.entries_frame(values, values > 0)
    titles = dict(row="row", column="column", value="value")
    picture = charts.beside({"One": frame, "Other": frame}, 2.0, titles)
    drawing = export.picture(picture, "svg")
    assert b"One" in drawing and b"Other" in drawing


@pytest.mark.parametrize("wrong", [True, False])
def test_a_wrong_gradient_has_no_best_step(wrong):
    errors = referees.DifferenceErrors((1e-1, 1e-2), (1.0, 0.5))
    chart = charts.errors_chart(errors, dict(step="s", error="e"), False, wrong=wrong)
    assert chart.data["best"].tolist() == [False, not wrong]


def test_only_the_sizes_that_a_derivation_has_are_asked_for():
    sizes = {"examples", "inputs", "outputs", "rank", "classes"}
    for key, expected in {
        "bce": {"examples"},
        "mean-softmax-ce": {"examples", "classes"},
        "two-sided-dense": {"examples", "inputs", "outputs"},
        "two-sided-low-rank": {"examples", "inputs", "outputs", "rank"},
        "lora": {"examples", "inputs", "outputs", "rank"},
    }.items():
        app = open_page(derivation=key)
        assert {widget.key for widget in app.number_input} & sizes == expected


@pytest.mark.parametrize("large", [True, False])
@pytest.mark.parametrize("derivation", CATALOGUE, ids=lambda d: d.key)
def test_the_largest_and_the_smallest_shapes_are_judged_right(derivation, large):
    values = {s.name: s.high if large else s.low for s in SHEET.settings if hasattr(s, "high")}
    case = Case.of(values | dict(derivation=derivation.key, mistake=NONE))
    heard = hearing.hear(case, hearing.QUICK)
    assert heard.objectors == ()
    assert set(heard.answers["autograd"]) == set(derivation.variables)


# Addresses, languages, presenter.


@pytest.mark.parametrize(
    "parameters",
    [
        {"derivation": "__import__('os')"},
        {"rank": "99"},
        {"rank": "0"},
        {"examples": "-1", "inputs": "1e9", "outputs": "nan"},
        {"seed": "9" * 5000},
        {"mistake": "<img src=x onerror=alert(1)>"},
        {"variable": "![x](http://example.com/x.png)"},
        {"formula": "\\href{http://example.com}{x}"},
    ],
)
def test_garbage_in_the_address_gives_a_notice(parameters):
    app = open_page(**parameters)
    assert app.warning
    assert verdicts(app) == verdicts(open_page())


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_speaks_every_language(language):
    app = open_page(lang=language, mistake="transposed-A")
    assert app.title[0].value == says("title", language)
    assert says("mistake.why.transposed-A", language) in written(app)


def test_presenters_see_fewer_words_and_the_same_verdicts():
    app = open_page(present="1")
    assert says("lead") not in written(app)
    assert "seed" not in {widget.key for widget in app.number_input}
    everything = open_page()
    assert verdicts(app) == verdicts(everything)
    assert everything.get("download_button") and not app.get("download_button")


def test_every_derivation_mistake_and_referee_has_its_words():
    keys = set(catalogue())
    for derivation in CATALOGUE:
        assert f"gradients.derivation.option.{derivation.key}" in keys
    for mistake in MISTAKES:
        assert f"gradients.mistake.option.{mistake.name}" in keys
        assert f"gradients.mistake.why.{mistake.name}" in keys
        assert find(find_mistake(mistake.name).derivation)
    for where in ("referee", "in_words"):
        assert {f"gradients.{where}.{name}" for name in referees.REFEREES} <= keys
    assert {f"gradients.verdict_name.{verdict}" for verdict in VERDICTS} <= keys
