"""A run's folder tells everything, and no finished work is ever lost."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import psutil
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.adapt import LoraConfig, TwoSidedConfig, adapted_layers
from lora_lab.cli.demo import run_demo
from lora_lab.data import fetch, load_data
from lora_lab.prediction import evaluate, predict_probabilities
from lora_lab.runs import (
    LEARNING_RATES,
    DataConfig,
    RunConfig,
    RunError,
    execute,
    forget_peak_memory,
    list_runs,
    load_trained,
    new_run_folder,
    peak_memory,
    prepare_model,
    read_run,
    with_learning_rate_for,
)
from lora_lab.runs.answers import read_answers
from lora_lab.training import DivergenceError, TrainConfig


@pytest.fixture(scope="module")
def config(tiny_folder, reviews_file) -> RunConfig:
    return RunConfig(
        model=str(tiny_folder),
        data=DataConfig(name=str(reviews_file)),
        lora=LoraConfig(rank=2, alpha=4),
        two_sided=TwoSidedConfig(rank=2),
        train=TrainConfig(epochs=2, batch_size=16, learning_rate=5e-3),
    )


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    return execute(config, tmp_path_factory.mktemp("runs") / "finished")


@pytest.mark.parametrize("method", ["lora", "two-sided", "head", "full"])
def test_every_method_can_be_trained_and_loaded_again_with_its_score(
    method, config, reviews, tmp_path
):
    run = execute(
        replace(config, method=method, train=with_learning_rate_for(method, config.train)),
        tmp_path / method,
    )
    assert run.state == "finished"
    again = evaluate(*load_trained(run.folder), reviews["test"])
    assert again.confusion == run.test.confusion
    assert again.loss == pytest.approx(run.test.loss, rel=1e-4)


@pytest.mark.parametrize("method", ["lora", "head"])
def test_a_run_from_scratch_can_be_loaded_again_with_its_answers(method, config, tmp_path):
    run = execute(replace(config, method=method, pretrained=False), tmp_path / method)
    model, tokenizer = load_trained(run.folder)
    answers, data = read_answers(run.folder), run.config.data.load()
    p = predict_probabilities(model, tokenizer, data["test"]["text"])
    assert (p.argmax(axis=1) == answers.probabilities.argmax(axis=1)).all()
    assert p == pytest.approx(answers.probabilities, abs=1e-5)


def test_weights_from_scratch_are_those_of_the_seed_and_not_the_pretrained_ones(config, reviews):
    def weights(seed: int, pretrained: bool) -> torch.Tensor:
        drawn = replace(config, pretrained=pretrained, train=replace(config.train, seed=seed))
        return prepare_model(drawn, reviews).model.bert.embeddings.word_embeddings.weight

    assert torch.equal(weights(0, False), weights(0, False))
    assert not torch.equal(weights(0, False), weights(1, False))
    assert torch.equal(weights(0, True), weights(1, True))
    # The tiny model's own weights were drawn with seed 0.
    assert not torch.equal(weights(1, False), weights(1, True))


def test_an_update_that_does_not_learn_stays_as_it_was_drawn(config, reviews, tmp_path):
    frozen = replace(config, lora=replace(config.lora, train_update=False))
    before = prepare_model(frozen, reviews).model
    after = load_trained(execute(frozen, tmp_path / "run").folder).model
    drawn, kept = adapted_layers(before), adapted_layers(after)
    assert drawn.keys() == kept.keys() and drawn
    for name, layer in drawn.items():
        assert layer.B.abs().sum() > 0, "with B = 0 there would be no update"
        assert torch.equal(layer.A, kept[name].A)
        assert torch.equal(layer.B, kept[name].B)
    assert not torch.equal(before.classifier.weight, after.classifier.weight)


def test_scores_elsewhere_are_those_of_the_trained_model(config, tmp_path):
    fetch()
    short = replace(config.train, max_length=32)  # the tiny model has room for 40 tokens
    run = execute(replace(config, train=short, also_test=("news",)), tmp_path / "run")
    stored = run.result["elsewhere"]["news"]
    test = load_data("news")["test"]
    by_hand = evaluate(*load_trained(run.folder), test, max_length=32)
    assert [tuple(row) for row in stored["confusion"]] == list(by_hand.confusion)
    assert stored["examples"] == len(test)
    answers = read_answers(run.folder / "elsewhere" / "news")
    assert answers.right.sum() == by_hand.correct


def test_other_data_to_score_must_be_embedded(config):
    with pytest.raises(ValueError, match="nws.*movie-reviews"):
        replace(config, also_test=("nws",))


def test_a_finished_run_says_with_what_it_was_made(finished, reviews):
    stored = json.loads((finished.folder / "config.json").read_text())
    assert {"torch", "transformers", "python", "cores"} <= stored["made_with"].keys()
    assert finished.result["data_fingerprint"]
    assert finished.result["train_examples"] == len(reviews["train"])
    assert not (finished.folder / "checkpoint.safetensors").exists(), "no longer needed"


def test_finished_work_is_never_overwritten(finished, config):
    before = {f: f.read_bytes() for f in finished.folder.rglob("*") if f.is_file()}
    with pytest.raises(RunError, match="finished run"):
        execute(config, finished.folder)
    with pytest.raises(RunError, match="other settings"):
        execute(replace(config, method="head"), finished.folder, resume=True)
    assert execute(config, finished.folder, resume=True).test == finished.test
    assert before == {f: f.read_bytes() for f in finished.folder.rglob("*") if f.is_file()}


def test_a_run_whose_process_is_gone_is_interrupted(finished, config, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("config.json", "status.json"):
        (folder / name).write_bytes((finished.folder / name).read_bytes())
    status = json.loads((folder / "status.json").read_text())
    status["state"] = "running"
    (folder / "status.json").write_text(json.dumps(status))
    assert read_run(folder).state == "running", "this very process"
    with pytest.raises(RunError, match="right now"):
        execute(config, folder, resume=True)
    # The number of a process that has ended may be given to another: its start time differs.
    status["process_started"] = psutil.Process().create_time() - 100
    (folder / "status.json").write_text(json.dumps(status))
    assert read_run(folder).state == "interrupted"
    assert execute(config, folder, resume=True).test == finished.test


def test_a_failed_run_keeps_the_reason(config, tmp_path, monkeypatch):
    from lora_lab import training

    monkeypatch.setattr(
        training, "mean_cross_entropy", lambda logits, labels: logits.sum() * torch.nan
    )
    with pytest.raises(DivergenceError):
        execute(config, tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert run.state == "failed" and "diverged" in run.reason
    assert run.test is None
    with pytest.raises(RunError, match="failed"):
        load_trained(run.folder)


def test_too_little_memory_is_said_in_plain_words(config, tmp_path, monkeypatch):
    from lora_lab.runs import execution

    def too_much(*_):
        torch.empty(2**60)

    monkeypatch.setattr(execution, "prepare_model", too_much)
    with pytest.raises(RuntimeError):
        execute(config, tmp_path / "run")
    assert "memory was not enough" in read_run(tmp_path / "run").reason


def test_runs_are_listed_and_other_folders_are_not(finished, tmp_path):
    runs = finished.folder.parent
    (runs / "not-a-run").mkdir(exist_ok=True)
    (runs / "broken").mkdir(exist_ok=True)
    (runs / "broken" / "config.json").write_text("{")
    assert [run.id for run in list_runs(runs)] == ["finished"]
    assert list_runs(tmp_path / "nowhere") == []
    with pytest.raises(RunError, match="no run"):
        read_run(runs / "not-a-run")


def test_new_run_folders_cannot_be_guessed(tmp_path):
    names = {new_run_folder(tmp_path).name for _ in range(100)}
    assert len(names) == 100


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can forget a peak")
def test_each_run_of_a_process_has_a_peak_of_its_own():
    large = bytearray(400 * 2**20)
    large[::4096] = b"x" * len(large[::4096])  # touched: now it is resident
    before = peak_memory()
    del large
    forget_peak_memory()
    assert peak_memory() < before - 300 * 2**20


@given(
    rank=st.integers(1, 64),
    alpha=st.floats(0.1, 100),
    layers=st.sampled_from(["all", "top:2", (0, 3)]),
    targets=st.sampled_from(["all-linear", "q,v", ("query", "value")]),
    size=st.none() | st.integers(1, 10_000),
    rate=st.floats(1e-6, 1),
)
def test_a_configuration_survives_json(rank, alpha, layers, targets, size, rate):
    config = RunConfig(
        lora=LoraConfig(rank=rank, alpha=alpha, layers=layers, target_modules=targets),
        data=DataConfig(train_size=size),
        train=TrainConfig(learning_rate=rate),
    )
    assert RunConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    "values, says",
    [
        (dict(method="magic"), "magic"),
        (dict(lora=dict(rnak=8)), "rnak"),
        (dict(lora=5), "JSON object"),
        (dict(surprise=1), "surprise"),
        (dict(train=dict(epochs=0)), "epochs"),
    ],
)
def test_wrong_configurations_are_explained(values, says):
    with pytest.raises(ValueError, match=says):
        RunConfig.from_dict(values)


def test_full_fine_tuning_wants_a_smaller_rate_than_lora():
    assert LEARNING_RATES["lora"] >= 10 * LEARNING_RATES["full"]


def test_the_demo_writes_its_summary_and_adapter(config, tmp_path, capsys):
    summary = run_demo(tmp_path, config)
    assert json.loads((tmp_path / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert list(summary["methods"]) == ["majority", "vader", "head", "lora"]
    for row in summary["methods"].values():
        low, high = row["interval"]
        assert low <= row["test_accuracy"] <= high
    assert summary["methods"]["head"]["trainable_parameters"] == 2 * 32 + 2
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    printed = capsys.readouterr().out
    for row in summary["methods"].values():
        assert row["title"] in printed and f"{row['test_accuracy']:.3f}" in printed
    again = run_demo(tmp_path, config)
    for name, row in again["methods"].items():
        assert row["test_accuracy"] == summary["methods"][name]["test_accuracy"]
