"""Advice on the compare page, and which experiment it shows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from lora_lab.adapt import LoraConfig
from lora_lab.dashboard.compare import advice, measured
from lora_lab.dashboard.train import settings
from lora_lab.presets import PRESETS
from lora_lab.results.stored_grid import write_grid
from lora_lab.runs import DataConfig, RunConfig
from lora_lab.training import TrainConfig

from ..made_runs import answers, lora, make_run
from .conftest import address as address_of
from .conftest import texts

PAGE = """
from lora_lab.dashboard import state
from lora_lab.dashboard.compare import page as compare_page
state.begin()
compare_page.show()
"""


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two experiments: layers and ranks, of which all layers at rank 32 are best; and sizes."""
    runs = {"classroom": [], "how-much-data": []}
    for seed in (0, 1, 2):
        for layers, seconds, accuracy in (("top:1", 4.0, 0.65), ("all", 40.0, 0.75)):
            for rank in (1, 32):
                config = lora(rank=rank, layers=layers, seed=seed)
                right = answers(accuracy + rank / 400, 100 * rank + seed)
                folder = tmp_path / "runs-0" / f"{layers.replace(':', '-')}-{rank}-{seed}"
                made = make_run(folder, config, right, seconds=seconds, trainable=9000 * rank)
                runs["classroom"].append(made)
        for size in (16, 64):
            config = replace(lora(rank=8, seed=seed), data=DataConfig(train_size=size))
            folder = tmp_path / "runs-1" / f"{size}-{seed}"
            right = answers(0.5 + size / 1000, size + seed)
            runs["how-much-data"].append(make_run(folder, config, right, train_examples=size))
    for name, made in runs.items():
        write_grid(made, tmp_path / "stored" / name, f"lora-lab sweep --preset {name}")
    monkeypatch.setattr(measured, "STORED", tmp_path / "stored")
    return tmp_path / "stored"


def open_page(**address: str) -> AppTest:
    app = AppTest.from_string(PAGE, default_timeout=120)
    for name, text in address.items():
        app.query_params[name] = text
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    return texts(app).replace("\\", "")


def command(app: AppTest) -> str:
    return next(c.value for c in app.code if c.value.startswith("lora-lab train"))


# ------------------------------------------------------------------ the answer


def test_advice_names_setting_cost_sureness_and_ground_in_both_languages(runs, stored):
    app = open_page()
    text = said(app)
    assert "Begin with LoRA r=32, alpha=64, q v, all layers, learning rate 0.001, 3 epochs." in text
    assert "each of the other settings (3) is measurably worse" in text
    assert "classroom (" in text and "3 seeds, 400 test sentences" in text
    assert "Times are those of another computer" in text
    assert "--train-size 1000 --rank 32 --alpha 64 --targets q,v --layers all" in command(app)
    chinese = open_page(lang="zh")
    assert "从这组设置开始" in said(chinese) and "把握" in said(chinese)
    assert command(chinese) == command(app)


def test_a_budget_in_the_address_is_obeyed_and_own_runs_tell_the_time(runs, stored):
    assert "--layers top:1" in command(open_page(for_minutes="0.25"))
    assert "--rank 1 " in command(open_page(for_parameters="30000"))
    make_run(runs / "20250101-120000-aaaaaaaa", lora(), answers(0.8), seconds=400.0)
    make_host(runs / "20250101-120000-aaaaaaaa")
    app = open_page(for_minutes="2")
    assert "--layers top:1" in command(app), "all layers take ten times as long here"
    assert "runs that have finished on this computer (1)" in said(app)


def make_host(folder: Path) -> None:
    """A run's files say that this machine trained it."""
    import json
    import platform

    status = {"state": "finished", "reason": "", "host": platform.node()}
    (folder / "status.json").write_text(json.dumps(status))


def test_what_is_asked_is_in_the_address(runs, stored):
    app = open_page()
    assert not any(name.startswith("for_") for name in address_of(app))
    app.number_input(key="for_size").set_value(100).run()
    assert address_of(app)["for_size"] == "100" and not app.exception
    assert "100 sentences were not measured; 64 is the nearest." in said(app)


@pytest.mark.parametrize(
    "address, text",
    [
        ({"for_model": "bert-base"}, "was not measured, only ` minilm `"),
        ({"for_size": "5"}, "5 sentences are fewer than the fewest that were measured, 16"),
        ({"for_size": "999999"}, "more than the most that were measured, 1,000"),
        ({"for_minutes": "0.1"}, "Begin with"),
        ({"for_size": "1000", "for_parameters": "3000"}, "The smallest has 9,000"),
    ],
)
def test_refusals_are_plain_text_with_what_to_do(runs, stored, address, text):
    app = open_page(**address)
    assert text in said(app)
    assert not app.error
    if "for_model" in address or "fewe" in text:
        assert any("lora-lab sweep" in c.value for c in app.code)


@pytest.mark.parametrize(
    "address",
    [
        {"for_model": "![x](http://a.b/x.png) <b>$y$</b> `z`"}, {"for_model": "../../etc/passwd"},
        {"for_model": "x" * 101}, {"for_size": "-5"}, {"for_size": "1e9"}, {"for_minutes": "nan"},
        {"for_minutes": "-1"}, {"for_parameters": "7"}, {"for_model": ""}, {"grid": "../runs"},
        {"grid": "<script>"},
    ],
)  # fmt: skip
def test_hostile_questions_are_refused_or_left_out(runs, stored, address):
    app = open_page(**address)
    raw = " ".join(e.value for kind in ("markdown", "info", "warning") for e in app.get(kind))
    assert "![x](" not in raw.replace("` ![x](", "").replace("`` ![x](", "")
    assert "<script>" not in raw.replace("` <script> `", "")
    assert app.dataframe, "the page is there"


def test_presenters_see_fewer_controls(runs, stored):
    assert {"for_model", "for_size"} <= keys(open_page())
    assert "for_model" not in keys(open_page(present="1"))
    assert "for_size" in keys(open_page(present="1"))


def keys(app: AppTest) -> set[str]:
    return {e.key for kind in ("text_input", "number_input") for e in app.get(kind)}


def test_without_shipped_grids_it_says_so(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(measured, "STORED", tmp_path / "nowhere")
    make_run(runs / "20250101-120000-aaaaaaaa", lora(), answers(0.8))
    assert "no measured results have come with the app" in said(open_page())


# ------------------------------------------------------------------ on to the train page


def config(rank: int = 8, **changes) -> RunConfig:
    made = RunConfig(data=DataConfig(train_size=1000), train=TrainConfig(learning_rate=3e-3))
    targets = changes.pop("targets", "q,v")
    return replace(made, lora=LoraConfig(rank=rank, target_modules=targets, **changes))


@pytest.mark.parametrize(
    "advised",
    [
        config(), config(rank=32, alpha=64.0, layers="top:2"), config(layers="bottom:2"),
        config(targets="all-linear"), config(rank=64, alpha=16.0, scaling="alpha/sqrt(r)"),
    ],
    ids=str,
)  # fmt: skip
def test_the_train_page_opens_with_what_was_advised(advised):
    address, missing = advice.for_train(advised)
    assert not missing
    values, problems = settings.SHEET.read_address(address)
    asked = settings.run_config(values)
    assert not problems
    assert asked.lora.rank == advised.lora.rank and asked.train == advised.train
    assert asked.lora.scale == pytest.approx(advised.lora.scale)
    layers = {"bottom:2": "0,1"}.get(advised.lora.layers, advised.lora.layers)
    assert asked.lora.layers == layers and asked.data.train_size == 1000


@pytest.mark.parametrize(
    "advised",
    [
        config(rank=8, alpha=16.0, scaling="alpha/sqrt(r)"),  # that alpha is no whole number
        replace(config(), train=TrainConfig(epochs=40)),
        replace(config(), train=TrainConfig(keep="last")),
        config(dropout=0.3),
    ],
    ids=str,
)
def test_what_the_train_page_cannot_ask_for_is_named(advised, monkeypatch):
    monkeypatch.setattr(advice, "t", lambda key, **values: key)
    monkeypatch.setattr(advice.unusual, "t", lambda key, **values: key)
    assert len(advice.for_train(advised)[1]) == 1


def test_other_sizes_lead_to_the_nearest_that_the_train_page_offers(runs, stored):
    app = open_page(for_size="800")
    assert "1,000 is the nearest to 800" in said(app)
    assert "--train-size 800" in command(app), "the command takes what was asked for"


# ------------------------------------------------------------------ which experiment


def test_another_experiment_can_be_looked_at_and_says_where_it_comes_from(runs, stored):
    app = open_page(grid="how-much-data")
    assert app.title[0].value == "How much data does each method need?"
    assert app.code[-1].value == "lora-lab sweep --preset how-much-data"
    assert set(app.dataframe[0].value["train"]) == {16, 64}
    assert open_page().title[0].value == "Which setting matters?"


def test_a_change_of_experiment_forgets_what_only_the_other_one_had(runs, stored):
    chosen = open_page().dataframe[0].value["id"][0]
    app = open_page(chosen=chosen, layers="all", whose="shipped", for_size="64")
    app.selectbox(key="grid").set_value("how-much-data").run()
    assert not app.exception and not app.warning
    assert address_of(app) == {"grid": "how-much-data", "whose": "shipped", "for_size": "64"}
    assert app.button_group(key="axis").value == "train"


def test_only_what_has_shipped_is_offered_and_what_has_not_can_be_computed(runs, stored):
    app = open_page(grid="controls")
    assert "--preset controls --export lora_lab/stored/controls" in app.code[0].value
    assert len(app.selectbox(key="grid").options) == 3 < len(PRESETS)
    assert len(open_page().selectbox(key="grid").options) == 2


@pytest.mark.parametrize("name", [n for n in PRESETS if (measured.STORED / n).is_dir()])
def test_every_shipped_experiment_is_shown_with_names_that_tell_its_settings_apart(runs, name):
    app = open_page(grid=name)
    assert not app.warning and not app.error
    assert app.dataframe[0].value["title"].is_unique
    rows = measured.shipped(name)
    assert all(measured.items(part, "settings")["title"].is_unique
               for _, part in rows.runs.groupby("sentences"))  # fmt: skip
