"""The train page as a visitor meets it, driven without a browser."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest

from lora_lab import jobs
from lora_lab.adapt import LoraConfig
from lora_lab.budget.counting import Blueprint, count
from lora_lab.dashboard import code, export, folders, uploads, wording
from lora_lab.dashboard.train import settings
from lora_lab.runs import DataConfig, Run, read_run
from lora_lab.training import TrainConfig

from ..data.invented import make_frame
from ..made_runs import answers, lora, make_run
from .conftest import address, again, open_page, texts, wait_for

TINY = {"method": "head", "train": "100", "epochs": "1"}


def start(app):
    app.button(key="start").click()
    return again(app)


def test_the_empty_page_says_what_to_do(app):
    open_page(app)
    assert "No run yet" in texts(app)
    assert "measured on another computer" in texts(app)  # how long it takes
    assert not app.error and not app.warning


@pytest.mark.parametrize("rank", [1, 24, 64])
def test_changing_the_rank_changes_the_counts_exactly(app, rank):
    open_page(app)
    app.number_input(key="rank").set_value(rank)
    again(app)
    counted = count("minilm", LoraConfig(rank=rank))
    assert f">{counted.trainable_parameters:,}<" in texts(app)
    assert f"of {counted.trainable_parameters + counted.frozen_parameters:,}" in texts(app)
    assert address(app)["rank"] == str(rank)


def test_the_slider_and_the_box_show_one_rank(app):
    open_page(app)
    app.select_slider(key="rank.slider").set_value(32).run()
    assert app.number_input(key="rank").value == 32
    app.number_input(key="rank").set_value(20).run()
    assert app.select_slider(key="rank.slider").value == 20


def test_the_effective_scale_is_always_shown(app):
    open_page(app, rank="64", alpha="16")
    assert "16 / 64 = **0.25**" in texts(app)
    app.pills(key="method").set_value("full")
    again(app)
    assert "no scale" in texts(app)


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


def test_a_choice_can_be_taken_away_as_code(app):
    open_page(app, rank="4", layers="top:2", targets="q,v")
    lora = LoraConfig(rank=4, layers="top:2", target_modules=("q", "v"))
    blocks = [block.value for block in app.code]
    assert code.lora_lab_code("minilm", lora).strip() in blocks  # that both run: see test_code
    assert code.peft_code(Blueprint("minilm"), "minilm", lora).strip() in blocks
    for given in ({"method": "full"}, {"method": "lora", "present": "1"}):
        open_page(app, **given)
        assert not any("LoraConfig" in block.value for block in app.code)


def test_a_method_that_nobody_has_timed_takes_unknown_time(app):
    open_page(app, method="two-sided")
    assert "not known yet" in texts(app)


def test_settings_of_a_hidden_method_come_back(app):
    open_page(app, rank="32")
    for method in ("head", "lora"):
        app.pills(key="method").set_value(method)
        again(app)
    assert app.number_input(key="rank").value == 32


@pytest.mark.parametrize(
    "given",
    [
        {"rank": "banana"},
        {"rank": "<img src=x onerror=alert(1)>"},
        {"layers": "top:99", "targets": "![x](http://example.com/x.png)", "rate": "`a`b``"},
        {"nonsense": ":material/bug: $x$"},
        {"run": "../../etc"},
        {"run": ".."},
        {"run": "uploads"},
        {"data": "../../etc/passwd"},
        {"lang": "xx", "present": "maybe"},
        {"fix": "rank,<b>"},
    ],
)
def test_garbage_in_the_address_gives_a_notice(app, given):
    open_page(app, **given)
    assert app.warning
    assert "332,546" in texts(app)  # the defaults are used


def test_more_sentences_than_there_are_means_all_of_them(app, own_data):
    open_page(app, data=own_data, train="5000", method="head", epochs="1")
    start(app)
    [run] = jobs.history(folders.runs_folder())
    assert run.config.data.train_size is None


def test_the_head_is_as_wide_as_the_classes(app, runs):
    frame = make_frame(120, ("red", "green", "blue"))
    open_page(app, data=uploads.keep(frame, "text", "label", "colours.csv"), method="head")
    assert f">{count('minilm', LoraConfig(), num_labels=3).head_parameters:,}<" in texts(app)


def test_a_run_from_click_to_result(app, runs, own_data):
    open_page(app, data=own_data, **TINY)
    start(app)
    [run] = jobs.history(runs)
    under_way = ("waiting", "running")
    wait_for(lambda: jobs.read(run.folder).state not in under_way, "the run to end")
    assert jobs.read(run.folder).state == "finished", jobs.read(run.folder).reason
    again(app)
    assert not app.error
    finished = read_run(run.folder)
    assert f"{100 * finished.test.accuracy:.1f}%" in texts(app)
    assert "the majority class" in texts(app) and "VADER" in texts(app)
    assert "difference" in texts(app)
    assert finished.result["trainable"] == count("minilm", LoraConfig()).head_parameters
    assert "judged by" in texts(app)  # the next run's time is known from this one
    names = ZipFile(BytesIO(export.zipped(run.folder / "adapter"))).namelist()
    assert "adapter/adapter_config.json" in names


def test_runs_beside_each_other_are_called_by_what_tells_them_apart():
    first = Run(Path("1"), settings.run_config(settings.SHEET.defaults()), "finished", "", [], None)
    longer = replace(first, config=replace(first.config, train=TrainConfig(epochs=1, seed=4)))
    assert wording.titles([first, longer]) == [
        "LoRA r=8, alpha=16, all matrices, all layers, 3 epochs",
        "LoRA r=8, alpha=16, all matrices, all layers, 1 epoch, seed 4",
    ]
    assert wording.titles([first]) == ["LoRA r=8, alpha=16, all matrices, all layers"]


@pytest.mark.parametrize(
    ("chosen", "words"),
    [("all", "all layers"), ("top:1", "top layer"), ("top:2", "top 2 layers"),
     ("0,5", "layers 0 5"), ((0, 5), "layers 0 5"), ("5", "layers 5")],
)  # fmt: skip
def test_layers_in_words(chosen, words):
    assert wording.layers(chosen) == words


def test_a_run_looked_at_before_the_queue_gave_it_up_is_found_later(runs, monkeypatch):
    config = settings.run_config(settings.SHEET.defaults())
    folder = runs / "20250101-120000-deadbeef"
    folder.mkdir(parents=True)
    for name in ("wanted.json", "ticket.json"):
        (folder / name).write_text("{}")
    monkeypatch.setattr(Run, "test", property(lambda run: run.result))
    run = Run(folder, config, "running", "", [], {"accuracy": 1})
    monkeypatch.setattr(jobs, "read", lambda _: run)
    assert folders.finished_runs() == []
    monkeypatch.setattr(jobs, "read", lambda _: replace(run, state="finished"))
    (folder / "ticket.json").unlink()
    assert [found.id for found in folders.finished_runs()] == [folder.name]


def test_several_seeds_are_several_runs(app, runs, own_data):
    open_page(app, data=own_data, seeds="3", seed="5", **TINY)
    start(app)
    assert {run.config.train.seed for run in jobs.history(runs)} == {5, 6, 7}
    same = {replace(r.config, train=replace(r.config.train, seed=0)) for r in jobs.history(runs)}
    assert len(same) == 1


def test_the_queue_is_visible_and_a_full_one_refuses_kindly(app, runs, own_data, monkeypatch):
    open_page(app, data=own_data, seeds="2", **TINY | {"epochs": "10"})
    start(app)
    read = jobs.read

    def second_waits(folder):
        run = read(folder)
        return replace(run, state="waiting" if run.config.train.seed else "running")

    monkeypatch.setattr(jobs, "read", second_waits)
    monkeypatch.setattr(folders, "_read_before", {})
    again(app)
    assert "Waiting before it: 1" in texts(app)
    assert "seed 1" in texts(app)

    def refuse(*_):
        raise jobs.LimitError(2)

    monkeypatch.setattr(jobs, "submit", refuse)
    start(app)
    assert "Your settings stay as they are" in texts(app)
    assert not app.error


def test_cancel_stops_a_run(app, runs, own_data):
    open_page(app, data=own_data, epochs="10")
    start(app)
    [run] = jobs.history(runs)
    app.button(key=f"cancel.{run.id}").click()
    again(app)
    wait_for(lambda: jobs.read(run.folder).state == "interrupted", "the run to stop")
    again(app)
    assert "cancelled" in texts(app)
    assert app.button(key=f"resume.{run.id}")


def test_a_click_on_cancel_is_heard_although_the_run_begins_in_that_moment(app, monkeypatch):
    """The page is then drawn anew before it comes to the button."""
    config = settings.run_config(settings.SHEET.defaults())
    states = iter(["waiting"] * 2 + ["waiting", "running"] + ["running"] * 20)
    run = Run(Path("r"), config, "waiting", "", [], None)
    monkeypatch.setattr(folders, "find", lambda _: replace(run, state=next(states)))
    cancelled = []
    monkeypatch.setattr(jobs, "cancel", cancelled.append)
    open_page(app, run="r")
    app.button(key="cancel.r").click()
    again(app)
    assert [one.id for one in cancelled] == ["r"]


def failed_run(runs, reason: str) -> str:
    folder = runs / "20250101-120000-deadbeef"
    folder.mkdir(parents=True)
    config = settings.run_config(settings.SHEET.defaults()).as_dict()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "status.json").write_text(json.dumps({"state": "failed", "reason": reason}))
    return folder.name


def test_a_failed_run_says_why_in_plain_words(app, runs):
    name = failed_run(runs, "The loss became nan at step 7. Try *smaller* <b>rates</b>.")
    open_page(app, run=name)
    assert "The loss became nan at step 7" in app.error[0].value.replace("\\", "")
    assert "*smaller*" not in app.error[0].value  # shown letter by letter, not as Markdown
    assert "Traceback" not in texts(app)


def test_a_run_kept_as_a_whole_model_has_no_adapter_and_says_so(app, runs):
    config = lora(train=TrainConfig(keep="last"), pretrained=False)
    config = replace(config, data=DataConfig(noise="flipped", noise_share=0.2))
    run = make_run(runs / "20250101-120000-deadbeef", config, answers(0.6))
    open_page(app, run=run.id)
    assert "no adapter to take away" in texts(app)
    assert not [b for b in app.get("download_button") if "Adapter" in b.proto.label]
    title = wording.run_title(run)
    for unusual in ("from random weights", "20% of labels wrong", "last epoch kept"):
        assert unusual in title


def test_the_data_of_another_seed_is_the_same_setting(runs):
    one, two = (
        make_run(runs / f"20250101-12000{seed}-aaaaaaaa", config, answers(0.8, seed))
        for seed in (0, 1)
        for config in [replace(lora(seed=seed), data=DataConfig(train_size=64, seed=seed))]
    )
    assert folders.other_seeds(one, [two]) == [two, one]


def test_the_best_other_run_is_compared_sentence_by_sentence(app, runs):
    """Two intervals that overlap hide a difference that the answers show."""
    low, high = answers(0.75), answers(0.79)  # by the same luck: nothing is got wrong anew
    one = make_run(runs / "20250101-120000-aaaaaaaa", lora(rank=2), low)
    two = make_run(runs / "20250101-120001-bbbbbbbb", lora(rank=8), high)
    assert one.test.interval.overlaps(two.test.interval)
    shown = texts(open_page(app, run=two.id))
    assert "is better than" in shown and "McNemar" in shown
    assert "the intervals overlap" not in shown.split("is better than")[1]


def test_an_error_of_the_library_becomes_a_message(app, monkeypatch):
    def refuse(values):
        raise ValueError("rank is too large for this matrix.")

    open_page(app)
    monkeypatch.setattr(settings, "run_configs", refuse)
    open_page(app, method="head")
    assert "rank is too large" in app.error[0].value.replace("\\", "")


def test_an_upload_becomes_the_data(app, runs):
    open_page(app)
    frame = make_frame(80).rename(columns={"text": "*comment*", "label": "<b>class</b>"})
    app.file_uploader(key="upload.file").upload("../m*i*ne.csv", frame.to_csv(index=False).encode())
    again(app)
    app.selectbox(key="upload.text").set_value("*comment*")
    app.selectbox(key="upload.label").set_value("<b>class</b>")
    app.button(key="upload.use").click()
    again(app)
    identity = address(app)["data"]
    assert uploads.known(identity)
    assert app.selectbox(key="data").value == identity
    open_page(app, data=identity)  # and the link works
    assert not app.warning


@pytest.mark.parametrize(
    "content",
    [b"", b"one\ncolumn\n", b"\xff\xfe\0\1", b"text,label\n<script>alert(1)</script>,1\n",
     b"text,text\n=cmd(),1\n", b"# [x](http://example.com)\n"],
)  # fmt: skip
def test_a_hostile_upload_is_refused_in_words(app, runs, content):
    open_page(app)
    app.file_uploader(key="upload.file").upload("bad.csv", content)
    again(app)
    if not app.error:  # readable, but no labelled sentences
        app.button(key="upload.use").click()
        again(app)
    assert app.error
    shown = app.error[0].value
    assert "](http" not in shown and not re.search(r"(?<!\\)<script", shown)
    assert "data" not in address(app)
    assert not (runs / "uploads").exists()
