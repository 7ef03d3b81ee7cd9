"""The budget page as a visitor meets it: every number by counting again, every garbage refused."""

from __future__ import annotations

import json
import re

import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from lora_lab.adapt import LoraConfig
from lora_lab.budget import paper
from lora_lab.budget.architectures import ARCHITECTURES
from lora_lab.budget.cost import size
from lora_lab.budget.counting import count
from lora_lab.dashboard import language

from .conftest import APP, address, again, labels, open_page, texts

TINY = dict(model_type="bert", hidden_size=32, num_attention_heads=4, num_hidden_layers=3,
            intermediate_size=64, vocab_size=100)  # fmt: skip


@pytest.fixture
def page(app: AppTest) -> AppTest:
    app._page_hash = calc_hash("budget")
    return app


def says(app: AppTest, counted) -> None:
    """The page shows this count."""
    shown = texts(app)
    assert f">{counted.trainable_parameters:,}<" in shown
    assert size(counted.lora_memory.total) in shown
    assert size(counted.full_memory.total) in shown
    assert size(counted.adapter_file_bytes(head=True)) in shown


def snippets(app: AppTest) -> list[str]:
    return [shown.value for shown in app.code if shown.language == "python"]


def test_the_page_opens_with_the_bundled_model(page):
    open_page(page)
    assert not page.error and not page.warning
    says(page, count("minilm", LoraConfig()))
    assert address(page) == {}


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_every_architecture_is_counted_drawn_and_written_as_code(page, model):
    open_page(page, model=model, targets="q,v", head="off", layers="top:2")
    says(page, count(model, LoraConfig(target_modules="q,v", layers="top:2"), head=False))
    assert "<img" in texts(page) and len(snippets(page)) == 2
    assert not page.error


def test_rank_targets_and_layers_change_the_numbers_and_the_link(page):
    open_page(page)
    page.number_input(key="rank").set_value(24)
    again(page)
    page.pills(key="budget.targets").set_value(["q", "down"])
    again(page)
    page.pills(key="budget.layers").set_value("range")
    again(page)
    page.slider(key="budget.layers.range.6").set_value((1, 3))
    again(page)
    config = LoraConfig(rank=24, target_modules="q,down", layers="1-3")
    says(page, count("minilm", config))
    assert address(page) == {"rank": "24", "targets": "q,down", "layers": "1-3"}


@pytest.mark.parametrize("end", ["top", "bottom"])
def test_layers_from_either_end(page, end):
    open_page(page, model="bert-large")
    page.pills(key="budget.layers").set_value(end)
    again(page)
    page.slider(key=f"budget.layers.{end}.24").set_value(5)
    again(page)
    says(page, count("bert-large", LoraConfig(layers=f"{end}:5")))
    page.slider(key=f"budget.layers.{end}.24").set_value(24)
    again(page)
    assert page.slider(key=f"budget.layers.{end}.24").value == 24


def test_a_range_begins_as_the_layers_that_are_chosen(page):
    open_page(page, layers="bottom:2")
    page.pills(key="budget.layers").set_value("range")
    again(page)
    assert page.slider(key="budget.layers.range.6").value == (0, 1)
    says(page, count("minilm", LoraConfig(layers="0-1")))


def test_settings_fit_when_the_architecture_changes_and_come_back(page):
    open_page(page, model="gpt3-175b", targets="qkv,down", layers="top:90")
    says(page, count("gpt3-175b", LoraConfig(target_modules="qkv,down", layers="top:90")))
    page.selectbox(key="model").set_value("minilm")
    again(page)
    says(page, count("minilm", LoraConfig(target_modules="q,k,v,down")))
    page.selectbox(key="model").set_value("gpt3-175b")
    again(page)
    says(page, count("gpt3-175b", LoraConfig(target_modules="qkv,down", layers="top:90")))


@pytest.mark.parametrize(
    ("rank", "targets", "saved"), [(191, "q", True), (192, "q", False), (192, "down", True)]
)
def test_it_says_where_a_and_b_are_no_smaller_than_the_matrix(page, rank, targets, saved):
    open_page(page, rank=str(rank), targets=targets)
    adapted = [k for k in count("minilm", LoraConfig(rank, target_modules=targets)).matrices
               if k.adapted]  # fmt: skip
    assert saved == all(k.adapter_parameters < k.shape[0] * k.shape[1] for k in adapted)
    assert saved == ("nothing is saved" not in texts(page))


def test_the_head_is_counted_or_not(page):
    open_page(page, model="roberta-base")
    says(page, count("roberta-base", LoraConfig()))
    page.toggle(key="head").set_value(False)
    again(page)
    says(page, count("roberta-base", LoraConfig(), head=False))


def test_the_last_target_cannot_be_taken_away(page):
    open_page(page, targets="q")
    page.pills(key="budget.targets").set_value([])
    again(page)
    assert page.pills(key="budget.targets").value == ["q"]


@pytest.mark.parametrize("row", paper.ROWS, ids=str)
def test_the_papers_rows_are_presets_and_the_page_says_which_do_not_add_up(page, row):
    open_page(page)
    page.selectbox(key="preset").set_value(f"{row.model}-r{row.rank}")
    again(page)
    assert f">{row.by_formula:,}<" in texts(page)
    odd = row.model in ("gpt2-medium", "gpt2-large")
    said = page.warning if odd else page.info
    assert f"{row.printed}M" in said[0].value and f"{row.by_formula:,}" in said[0].value
    assert ("does not follow from its own formula" in said[0].value) is odd
    assert bool(page.warning) is odd


def test_a_rank_larger_than_a_matrix_is_explained(page):
    open_page(page, rank="385")
    assert "at most 384" in page.error[0].value
    page.number_input(key="rank").set_value(384)
    again(page)
    assert not page.error


# Configurations pasted in.


def paste(app: AppTest, text: str) -> AppTest:
    app.text_area(key="budget.pasted").set_value(text)
    return again(app)


def test_a_pasted_configuration_is_counted_and_becomes_part_of_the_link(page):
    open_page(page, model="pasted")
    assert "Ctrl+Enter" in page.info[0].value
    [example] = [shown.value for shown in page.code if shown.language == "json"]
    paste(page, example)
    assert address(page)["config"] and not page.error
    paste(page, json.dumps(TINY | {"auto_map": {"AutoModel": "evil.Evil"}}, indent=2))
    says(page, count(TINY, LoraConfig()))
    link = address(page)
    assert json.loads(link["config"]) == TINY
    other = AppTest.from_file(str(APP), default_timeout=120)
    other._page_hash = page._page_hash
    open_page(other, **link)
    says(other, count(TINY, LoraConfig()))
    assert json.loads(other.text_area(key="budget.pasted").value) == TINY


@pytest.mark.parametrize(
    "text",
    [
        "not json", "[]", "{}", '{"model_type": "<b>bort</b>"}', "{" * 3000,
        '{"model_type": "bert", "hidden_size": 99999999999}',
        '{"model_type": "bert", "hidden_size": 33}',
        '{"model_type": "bert", "num_hidden_layers": 100000}',
        '{"model_type": "bert", "hidden_act": "nonsense"}',
        '{"model_type": "llava"}',
    ],
)  # fmt: skip
def test_a_text_that_is_no_configuration_is_refused_in_words(page, text):
    open_page(page, model="pasted")
    paste(page, text)
    assert len(page.error) == 1
    assert "<b>" not in re.sub("`[^`]*`", "", page.error[0].value)
    assert page.text_area(key="budget.pasted").value == text  # to be corrected
    paste(page, json.dumps(TINY))
    assert not page.error


def test_a_family_without_short_names_has_its_own(page):
    settings = dict(model_type="t5", num_layers=2, d_model=32, num_heads=4, d_kv=8, d_ff=64)
    open_page(page, model="pasted", config=json.dumps(settings), targets="q,wo")
    says(page, count(settings, LoraConfig(target_modules="q,wo")))
    assert set(page.pills(key="budget.targets").options) == {"q", "k", "v", "o", "wi", "wo"}


@pytest.mark.parametrize(
    "given",
    [
        {"rank": "banana"},
        {"model": "../../etc"},
        {"config": "<script>alert(1)</script>"},
        {"config": "x" * 30_000},
        {"targets": "![x](http://example.com/x.png)", "layers": "`a`b``"},
        {"alpha": "-1", "head": "perhaps"},
        {"nonsense": ":material/bug: $x$"},
    ],
    ids=lambda given: next(iter(given)),
)
def test_garbage_in_the_address_gives_a_notice(page, given):
    open_page(page, **given)
    assert page.warning
    says(page, count("minilm", LoraConfig()))


# Languages, presenting, lessons.


@pytest.mark.parametrize("chosen", language.LANGUAGES)
@pytest.mark.parametrize("model", ["minilm", "gpt2-large", "gpt3-175b"])
def test_every_language(page, chosen, model):
    open_page(page, model=model, lang=chosen, targets="q,v", rank="4")
    assert (language.catalogue()["budget.title"][chosen]) == page.title[0].value
    assert not page.error


def test_every_architecture_has_a_name_to_read():
    assert {f"budget.model.option.{name}" for name in ARCHITECTURES} <= set(language.catalogue())


def test_presenters_see_numbers_and_pictures_without_code_and_tables(page):
    open_page(page)
    many = len(labels(page))
    open_page(page, present="1")
    assert not snippets(page) and not page.expander
    assert len(labels(page)) < many
    says(page, count("minilm", LoraConfig()))


def test_a_lesson_fixes_what_it_names(page):
    open_page(page, fix="targets,layers,model,rank", layers="top:2", ask="How many?")
    assert page.pills(key="budget.targets").disabled
    assert page.pills(key="budget.layers").disabled
    assert page.slider(key="budget.layers.top.6").disabled
    assert page.selectbox(key="model").disabled and page.number_input(key="rank").disabled


# Code.


def test_the_code_on_the_page_trains_what_the_page_counts(page):
    open_page(page, rank="3", targets="down", layers="2-3")
    for snippet in snippets(page):
        names: dict = {}
        exec(snippet, names)
        learning = sum(p.numel() for p in names["model"].parameters() if p.requires_grad)
        assert f">{learning:,}<" in texts(page)


@pytest.mark.parametrize(("targets", "same"), [("q,v", True), ("q", False)])
def test_where_code_has_one_matrix_for_three_it_is_said(page, targets, same):
    open_page(page, model="gpt2", targets=targets, head="off")
    whole = count("gpt2", LoraConfig(target_modules="qkv")).adapter_parameters
    said = [c.value for c in page.caption if f"{whole:,} in A and B." in c.value]
    assert len(said) == 1 and ("another number" not in said[0]) is same
    ours, pefts = snippets(page)
    assert '"qkv"' in ours and "c_attn" in pefts
