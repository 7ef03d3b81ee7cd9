"""The loop: what learns, what stays, and that neither a kill nor a full disk loses work."""

from __future__ import annotations

import json
import math
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_lab import training
from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora, freeze
from lora_lab.checkpoints import CheckpointError, StorageError
from lora_lab.listeners import MetricsFile, TensorBoard, read_metrics
from lora_lab.models import load_model
from lora_lab.prediction import evaluate
from lora_lab.training import DivergenceError, TrainConfig, learning_rate, set_training_mode, train

CONFIG = TrainConfig(epochs=3, batch_size=16, learning_rate=5e-3, checkpoint_every=2)
LORA = LoraConfig(rank=2, alpha=4, dropout=0.1)


@pytest.fixture
def adapted(tiny_folder, reviews):
    def build(lora: LoraConfig = LORA, seed: int = 0):
        loaded = load_model(tiny_folder, labels=reviews, seed=seed)
        torch.manual_seed(seed)
        apply_lora(loaded.model, lora)
        return loaded

    return build


def trained_tensors(model) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


def assert_bitwise_equal(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    different = [name for name in first if not torch.equal(first[name], second[name])]
    assert not different


@pytest.fixture
def uninterrupted(adapted, reviews):
    model, tokenizer = adapted()
    train(model, tokenizer, reviews, CONFIG)
    return trained_tensors(model)


# --- what training does -----------------------------------------------------------------------


def test_lora_learns_the_task_and_leaves_the_base_bit_for_bit(adapted, reviews):
    model, tokenizer = adapted()
    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    run = train(model, tokenizer, reviews, replace(CONFIG, epochs=6))
    assert run.history[-1]["training_loss"] < 0.8 * run.history[0]["training_loss"]
    assert run.test.interval.low > 0.5, "better than guessing"
    assert_bitwise_equal(frozen, {n: p for n, p in model.named_parameters() if not p.requires_grad})


def test_two_runs_with_one_seed_are_equal_to_the_last_bit(adapted, reviews, uninterrupted):
    model, tokenizer = adapted()
    train(model, tokenizer, reviews, CONFIG)
    assert_bitwise_equal(trained_tensors(model), uninterrupted)


def test_another_seed_gives_another_order_and_other_weights(adapted, reviews, uninterrupted):
    model, tokenizer = adapted()
    train(model, tokenizer, reviews, replace(CONFIG, seed=1))
    assert any(not torch.equal(t, uninterrupted[n]) for n, t in trained_tensors(model).items())


def test_head_only_training_changes_nothing_but_the_head(tiny_folder, reviews):
    model, tokenizer = load_model(tiny_folder, labels=reviews)
    freeze(model)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    train(model, tokenizer, reviews, CONFIG)
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_full_fine_tuning_changes_the_base(tiny_folder, reviews):
    model, tokenizer = load_model(tiny_folder, labels=reviews)
    before = model.bert.encoder.layer[0].output.dense.weight.detach().clone()
    run = train(model, tokenizer, reviews, replace(CONFIG, learning_rate=1e-3))
    assert not torch.equal(before, model.bert.encoder.layer[0].output.dense.weight)
    assert run.trainable == sum(p.numel() for p in model.parameters())


def test_nothing_to_train_is_an_error(tiny_folder, reviews):
    model, tokenizer = load_model(tiny_folder, labels=reviews)
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="apply_lora"):
        train(model, tokenizer, reviews, CONFIG)


def test_the_model_ends_with_the_weights_of_the_best_epoch(adapted, reviews):
    model, tokenizer = adapted()
    run = train(model, tokenizer, reviews, replace(CONFIG, epochs=4, learning_rate=0.05))
    best = run.history[run.best_epoch - 1]
    assert best["validation_accuracy"] == max(h["validation_accuracy"] for h in run.history)
    again = evaluate(model, tokenizer, reviews["validation"])
    assert again.accuracy == best["validation_accuracy"]
    assert again.loss == pytest.approx(best["validation_loss"], rel=1e-5)


def test_early_stopping_waits_for_patience_and_no_longer(adapted, reviews, monkeypatch):
    accuracies = iter([0.5, 0.8, 0.7, 0.6, 0.9, 0.9])
    real = training.evaluate_tokenised

    def scripted(model, text, dataset, **reading):
        return replace(real(model, text, dataset, **reading), accuracy=next(accuracies, 0.8))

    monkeypatch.setattr(training, "evaluate_tokenised", scripted)
    model, tokenizer = adapted()
    run = train(model, tokenizer, reviews, replace(CONFIG, epochs=6, patience=2))
    assert [h["validation_accuracy"] for h in run.history] == [0.5, 0.8, 0.7, 0.6]
    assert run.best_epoch == 2


def test_an_epoch_that_is_not_validated_costs_no_patience(adapted, reviews, monkeypatch):
    accuracies = iter([0.8, 0.7, 0.9])
    real = training.evaluate_tokenised

    def scripted(model, text, dataset, **reading):
        return replace(real(model, text, dataset, **reading), accuracy=next(accuracies, 0.8))

    monkeypatch.setattr(training, "evaluate_tokenised", scripted)
    model, tokenizer = adapted()
    config = replace(CONFIG, epochs=6, patience=1, validate_every=2)
    run = train(model, tokenizer, reviews, config)
    assert [h["epoch"] for h in run.history] == [2, 4] and run.best_epoch == 2


@pytest.mark.parametrize(("every", "validated"), [(1, [1, 2, 3]), (2, [2, 3]), (5, [3])])
def test_validation_comes_every_so_many_epochs_and_after_the_last(
    every, validated, adapted, reviews
):
    model, tokenizer = adapted()
    run = train(model, tokenizer, reviews, replace(CONFIG, validate_every=every))
    assert [record["epoch"] for record in run.history] == validated


def test_what_is_validated_changes_nothing_that_is_learnt(adapted, reviews):
    kept = []
    for every in (1, 3):
        model, tokenizer = adapted()
        train(model, tokenizer, reviews, replace(CONFIG, validate_every=every, keep="last"))
        kept.append(trained_tensors(model))
    assert_bitwise_equal(*kept)


def test_the_last_epoch_can_be_kept_in_the_place_of_the_best(adapted, reviews, monkeypatch):
    accuracies = iter([0.9, 0.8, 0.7])
    real = training.evaluate_tokenised
    after_epoch = []

    def scripted(model, text, dataset, **reading):
        after_epoch.append(trained_tensors(model))
        return replace(real(model, text, dataset, **reading), accuracy=next(accuracies, 0.5))

    monkeypatch.setattr(training, "evaluate_tokenised", scripted)
    model, tokenizer = adapted()
    run = train(model, tokenizer, reviews, replace(CONFIG, keep="last"))
    assert run.best_epoch == 3
    assert_bitwise_equal(trained_tensors(model), after_epoch[2])
    assert any(not torch.equal(after_epoch[0][n], t) for n, t in after_epoch[2].items())


def test_a_diverging_loss_stops_with_advice(adapted, reviews):
    model, tokenizer = adapted()
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    with pytest.raises(DivergenceError, match="smaller learning rate"):
        train(model, tokenizer, reviews, CONFIG)


def test_a_frozen_base_is_in_eval_mode_and_adapters_in_train_mode(adapted):
    model, _ = adapted()
    set_training_mode(model)
    assert not model.bert.encoder.layer[0].output.dropout.training
    assert all(layer.training for layer in adapted_layers(model).values())
    assert model.dropout.training, "the head's own dropout stays on"
    set_training_mode(model, base_dropout=True)
    assert model.bert.encoder.layer[0].output.dropout.training
    model.bert.requires_grad_(True)
    set_training_mode(model)
    assert model.bert.encoder.layer[0].output.dropout.training, "a base that learns has dropout"


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    config, steps = TrainConfig(learning_rate=1.0, warmup=0.25), 40
    rates = [learning_rate(config, step, steps) for step in range(steps)]
    peak = rates.index(max(rates))
    assert max(rates) == 1.0 and peak in (9, 10)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 0 < rates[-1] < 0.05
    assert learning_rate(replace(config, warmup=0.0), 0, steps) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        dict(epochs=0),
        dict(epochs=2.5),
        dict(batch_size=-1),
        dict(learning_rate=0),
        dict(learning_rate=float("nan")),
        dict(weight_decay=-0.1),
        dict(warmup=1.5),
        dict(patience=0),
        dict(validate_every=0),
        dict(keep="first"),
        dict(clip_norm=0),
        dict(seed=-1),
        dict(max_length=True),
    ],
)
def test_a_setting_out_of_range_is_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        TrainConfig(**wrong)


def test_truncated_texts_are_counted(adapted, reviews):
    model, tokenizer = adapted()
    run = train(model, tokenizer, reviews, replace(CONFIG, epochs=1, max_length=6))
    lengths = [len(ids) for ids in tokenizer(list(reviews["train"]["text"]))["input_ids"]]
    assert run.truncated == sum(length > 6 for length in lengths) > 0


# --- interruptions ----------------------------------------------------------------------------

KILLED_RUN = """
import json, os, signal, sys
from pathlib import Path
import torch
from lora_lab import checkpoints, training
from lora_lab.adapt import LoraConfig, apply_lora
from lora_lab.data import load_data
from lora_lab.listeners import MetricsFile
from lora_lab.models import load_model

job = json.loads(sys.argv[1])
torch.set_num_threads(job["threads"])
rate, replace_file, writes = training.learning_rate, os.replace, 0

def rate_or_die(config, step, total):
    if step == job.get("step"):
        os.kill(os.getpid(), signal.SIGKILL)
    return rate(config, step, total)

def replace_or_die(source, target):
    global writes
    writes += str(target).endswith("checkpoint.safetensors")
    if writes == job.get("write"):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace_file(source, target)

training.learning_rate, os.replace = rate_or_die, replace_or_die
data = load_data(job["data"])
model, tokenizer = load_model(job["model"], labels=data)
torch.manual_seed(0)
apply_lora(model, LoraConfig(**job["lora"]))
folder = Path(job["folder"])
training.train(model, tokenizer, data, training.TrainConfig(**job["config"]), folder=folder,
               resume=True, listeners=[MetricsFile(folder / "metrics.jsonl")])
"""


@pytest.mark.parametrize(
    "moments",
    [
        pytest.param([dict(step=5), dict(step=17)], id="twice, within epochs"),
        pytest.param([dict(write=4)], id="while writing a checkpoint"),
    ],
)
def test_a_killed_run_resumes_to_the_same_weights(
    moments, adapted, reviews, reviews_file, tiny_folder, tmp_path, uninterrupted
):
    for moment in moments:
        job = dict(
            threads=torch.get_num_threads(),
            data=str(reviews_file),
            model=str(tiny_folder),
            folder=str(tmp_path),
            lora=dict(rank=2, alpha=4, dropout=0.1),
            config=dict(epochs=3, batch_size=16, learning_rate=5e-3, checkpoint_every=2),
            **moment,
        )
        ended = subprocess.run([sys.executable, "-c", KILLED_RUN, json.dumps(job)], check=False)
        assert ended.returncode == -signal.SIGKILL
    metrics = tmp_path / "metrics.jsonl"
    with metrics.open("a") as file:
        file.write('{"event": "step", "st')  # a line that a kill cut short
    model, tokenizer = adapted()
    run = train(
        model,
        tokenizer,
        reviews,
        CONFIG,
        folder=tmp_path,
        resume=True,
        listeners=[MetricsFile(metrics)],
    )
    assert_bitwise_equal(trained_tensors(model), uninterrupted)
    steps = [e["step"] for e in read_metrics(metrics) if e["event"] == "step"]
    assert steps == sorted(set(steps)) and steps[0] == 1
    assert [e["epoch"] for e in read_metrics(metrics) if e["event"] == "epoch"] == [1, 2, 3]
    assert len(run.history) == 3


def test_a_run_that_keeps_the_last_epoch_resumes_to_the_same_weights(adapted, reviews, tmp_path):
    config = replace(CONFIG, keep="last", validate_every=2)
    model, tokenizer = adapted()
    whole = train(model, tokenizer, reviews, config)
    uninterrupted = trained_tensors(model)

    def stop_in_the_last_epoch(event):
        if event["event"] == "step" and event["epoch"] == 3:
            raise KeyboardInterrupt

    model, tokenizer = adapted()
    with pytest.raises(KeyboardInterrupt):
        stopping = [stop_in_the_last_epoch]
        train(model, tokenizer, reviews, config, folder=tmp_path, listeners=stopping)
    model, tokenizer = adapted()
    run = train(model, tokenizer, reviews, config, folder=tmp_path, resume=True)
    assert_bitwise_equal(trained_tensors(model), uninterrupted)
    assert [h["epoch"] for h in run.history] == [h["epoch"] for h in whole.history] == [2, 3]
    assert run.best_epoch == 3


def test_a_full_disk_ends_with_a_message_and_keeps_finished_epochs(
    adapted, reviews, tmp_path, uninterrupted
):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk_after_first_epoch(event):
        if event["event"] == "step" and event["epoch"] == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))

    model, tokenizer = adapted()
    try:
        with pytest.raises(StorageError, match="--resume"):
            train(
                model,
                tokenizer,
                reviews,
                CONFIG,
                folder=tmp_path,
                listeners=[fill_disk_after_first_epoch],
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [f.name for f in tmp_path.iterdir()] == ["checkpoint.safetensors"], "no rubbish left"
    model, tokenizer = adapted()
    starts = []
    train(
        model,
        tokenizer,
        reviews,
        CONFIG,
        folder=tmp_path,
        resume=True,
        listeners=[lambda e: starts.append(e["step"]) if e["event"] == "start" else None],
    )
    first_epoch = math.ceil(len(reviews["train"]) / CONFIG.batch_size)
    assert starts[0] >= first_epoch, "the first epoch was not lost"
    assert_bitwise_equal(trained_tensors(model), uninterrupted)


def test_a_folder_that_cannot_be_written_is_said_plainly(adapted, reviews, tmp_path):
    (tmp_path / "file").write_text("in the way")
    model, tokenizer = adapted()
    with pytest.raises(StorageError, match="Could not write"):
        train(model, tokenizer, reviews, CONFIG, folder=tmp_path / "file" / "run")


def test_metrics_that_cannot_be_written_are_said_plainly(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics({"event": "start", "step": 0})
    metrics.path.unlink()
    metrics.path.symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left"):
        metrics({"event": "step", "step": 1})


def test_a_checkpoint_of_another_run_is_refused(adapted, reviews, tmp_path):
    model, tokenizer = adapted()
    train(model, tokenizer, reviews, replace(CONFIG, epochs=1), folder=tmp_path)
    model, tokenizer = adapted()
    for other in (replace(CONFIG, epochs=2), replace(CONFIG, epochs=1, learning_rate=1e-3)):
        with pytest.raises(CheckpointError, match="another configuration"):
            train(model, tokenizer, reviews, other, folder=tmp_path, resume=True)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x08" + b"\0" * 40])
def test_a_damaged_checkpoint_is_refused(adapted, reviews, tmp_path, content):
    (tmp_path / "checkpoint.safetensors").write_bytes(content)
    model, tokenizer = adapted()
    with pytest.raises(CheckpointError):
        train(model, tokenizer, reviews, CONFIG, folder=tmp_path, resume=True)


# --- listeners --------------------------------------------------------------------------------


def test_tensorboard_gets_the_numbers_of_the_metrics_file(adapted, reviews, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model, tokenizer = adapted()
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    train(model, tokenizer, reviews, CONFIG, listeners=[metrics, TensorBoard(tmp_path / "tb")])
    events = EventAccumulator(str(tmp_path / "tb"))
    events.Reload()
    written = [e for e in read_metrics(metrics.path) if e["event"] == "epoch"]
    shown = events.Scalars("epoch/validation_accuracy")
    assert [s.step for s in shown] == [e["step"] for e in written]
    assert [s.value for s in shown] == pytest.approx([e["validation_accuracy"] for e in written])


def test_metrics_of_no_run_are_empty(tmp_path: Path):
    assert read_metrics(tmp_path / "nothing.jsonl") == []


def test_a_batch_in_parts_gives_the_step_of_the_whole_batch(adapted, reviews, monkeypatch):
    """The mean over a batch is the mean of its parts, weighted by their sizes."""
    weights = {}
    real = training.logits_function
    for most_tokens in (10_000, 60):
        monkeypatch.setattr(training, "TOKENS_AT_ONCE", most_tokens)
        model, tokenizer = adapted(LoraConfig(rank=2, alpha=4))
        model.dropout.p = 0.0  # the head's mask would be drawn in another order
        parts = []

        def counted(*args, parts=parts, **options):
            logits = real(*args, **options)
            return lambda rows: (parts.append(len(rows)), logits(rows))[1]

        monkeypatch.setattr(training, "logits_function", counted)
        train(model, tokenizer, reviews, TrainConfig(epochs=1, batch_size=10, learning_rate=1e-3))
        weights[max(parts)] = trained_tensors(model)
    assert max(weights) == 10 and min(weights) < 10, "once whole, once in parts"
    for name, whole in weights[10].items():
        torch.testing.assert_close(weights[min(weights)][name], whole, rtol=1e-2, atol=1e-4)
