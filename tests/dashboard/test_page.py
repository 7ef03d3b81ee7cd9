"""The page as a visitor meets it, driven without a browser."""

from __future__ import annotations

import json

import pytest

from lora_lab import jobs
from lora_lab.adapt import LoraConfig
from lora_lab.counting import count
from lora_lab.dashboard import settings
from lora_lab.runs import read_run

from .conftest import wait_for

TINY = {"method": "head", "train": "100", "epochs": "1"}


def texts(app) -> str:
    """Everything that is written on the page."""
    kinds = ("title", "header", "markdown", "caption", "info", "warning", "error", "metric")
    found = [element.value for kind in kinds for element in app.get(kind)]
    found += [element.proto.body for element in app.get("html")]
    return "\n".join(map(str, found))


def open_page(app, **address: str):
    for name, text in address.items():
        app.query_params[name] = text
    app.run()
    assert not app.exception
    return app


def start(app):
    app.button[0].click().run()
    assert not app.exception
    return app


def test_the_empty_page_says_what_to_do(app):
    open_page(app)
    assert "No run yet" in texts(app)
    assert not app.error and not app.warning


@pytest.mark.parametrize("rank", [1, 24, 64])
def test_changing_the_rank_changes_the_counts_exactly(app, rank):
    open_page(app)
    app.number_input(key="rank").set_value(rank).run()
    assert not app.exception
    counted = count("minilm", LoraConfig(rank=rank))
    assert f">{counted.trainable_parameters:,}<" in texts(app)
    assert f"of {counted.trainable_parameters + counted.frozen_parameters:,}" in texts(app)
    assert dict(app.query_params)["rank"] in (str(rank), [str(rank)])


def test_the_slider_and_the_box_show_one_rank(app):
    open_page(app)
    app.select_slider(key="rank.slider").set_value(32).run()
    assert app.number_input(key="rank").value == 32
    app.number_input(key="rank").set_value(20).run()
    assert app.select_slider(key="rank.slider").value == 20


def test_the_effective_scale_is_always_shown(app):
    open_page(app, rank="64", alpha="16")
    assert "16 / 64 = **0.25**" in texts(app)


@pytest.mark.parametrize("method", settings.METHODS)
def test_every_method_has_counts(app, method):
    open_page(app, method=method)
    counted = count("minilm", LoraConfig())
    expected = {
        "lora": counted.trainable_parameters,
        "head": counted.head_parameters,
        "full": counted.base_parameters + counted.head_parameters,
        # P, Q, R, S: twice what B and A hold
        "two-sided": 2 * counted.adapter_parameters + counted.head_parameters,
    }[method]
    assert f">{expected:,}<" in texts(app)


def test_settings_of_a_hidden_method_come_back(app):
    open_page(app, rank="32")
    for method in ("head", "lora"):
        app.pills(key="method").set_value(method).run()
        assert not app.exception
    assert app.number_input(key="rank").value == 32


@pytest.mark.parametrize(
    "address",
    [
        {"rank": "banana"},
        {"rank": "<img src=x onerror=alert(1)>"},
        {"layers": "top:99", "targets": "![x](http://example.com/x.png)", "rate": "`a`b``"},
        {"nonsense": ":material/bug: $x$"},
        {"run": "../../etc"},
        {"run": ".."},
    ],
)
def test_garbage_in_the_address_gives_a_notice(app, address):
    open_page(app, **address)
    assert app.warning
    assert "332,546" in texts(app)  # the defaults are used


def test_a_run_from_click_to_result(app, runs, small_data):
    open_page(app, **TINY)
    start(app)
    [run] = jobs.history(runs)
    assert run.state in ("waiting", "running")
    wait_for(lambda: jobs.read(run.folder).result, 120, "the run to end")
    assert jobs.read(run.folder).state == "finished", jobs.read(run.folder).reason
    app.run()
    assert not app.exception and not app.error
    finished = read_run(run.folder)
    assert f"{100 * finished.test.accuracy:.1f}%" in texts(app)
    assert "the majority class" in texts(app) and "VADER" in texts(app)
    assert "difference" in texts(app)
    assert finished.result["trainable"] == count("minilm", LoraConfig()).head_parameters


def test_the_same_settings_join_a_run_and_others_wait_their_turn(
    app, runs, small_data, monkeypatch
):
    monkeypatch.setenv("LORA_LAB_AT_ONCE", "1")
    open_page(app, **TINY | {"epochs": "10"})
    start(app)
    [first] = jobs.history(runs)
    wait_for(lambda: jobs.running(runs), 30, "the run to start")
    start(app)
    assert [run.id for run in jobs.history(runs)] == [first.id]

    app.number_input(key="seed").set_value(1).run()
    start(app)
    [second] = jobs.waiting(runs)
    [progress] = app.get("progress")
    assert "next in the queue" in progress.proto.text
    app.button(key=f"cancel.{second.id}").click().run()
    assert not app.exception
    assert jobs.read(second.folder).state == "interrupted"
    app.run()
    assert "cancelled" in texts(app)
    assert jobs.read(first.folder).state == "running"


def test_a_visitor_with_too_many_waiting_is_told_kindly(app, runs, small_data, monkeypatch):
    monkeypatch.setenv("LORA_LAB_AT_ONCE", "1")
    open_page(app, **TINY | {"epochs": "10"})
    for seed in range(5):
        app.number_input(key="seed").set_value(seed).run()
        start(app)
        wait_for(lambda: jobs.running(runs), 30, "the first run to start")
    assert "3 runs waiting already" in app.info[0].value
    assert len(jobs.history(runs)) == 4


def failed_run(runs, reason: str) -> None:
    folder = runs / "20250101-120000-deadbeef"
    folder.mkdir(parents=True)
    config = settings.run_config(settings.defaults()).as_dict()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "status.json").write_text(json.dumps({"state": "failed", "reason": reason}))
    return folder.name


def test_a_failed_run_says_why_in_plain_words(app, runs):
    name = failed_run(runs, "The loss became nan at step 7. Try *smaller* <b>rates</b>.")
    open_page(app, run=name)
    assert "The loss became nan at step 7" in app.error[0].value.replace("\\", "")
    assert "*smaller*" not in app.error[0].value  # shown letter by letter, not as Markdown
    assert "Traceback" not in texts(app)


def test_an_error_of_the_library_becomes_a_message(app, monkeypatch):
    def refuse(values):
        raise ValueError("rank is too large for this matrix.")

    open_page(app)
    monkeypatch.setattr(settings, "run_config", refuse)
    open_page(app, method="head")
    assert "rank is too large" in app.error[0].value.replace("\\", "")
