"""From a configuration to a trained, scored and saved run; and back to its model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import DatasetDict

from lora_lab.adapt import apply_lora, apply_two_sided, freeze, merge, remove_adapters
from lora_lab.adapter_files import load_adapted_model, save_adapter
from lora_lab.checkpoints import StorageError
from lora_lab.data import cache_folder, fingerprint, load_data
from lora_lab.listeners import MetricsFile
from lora_lab.models import LoadedModel, load_model
from lora_lab.prediction import evaluate_probabilities, predict_probabilities
from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs.answers import Answers, save_answers
from lora_lab.runs.config import RunConfig
from lora_lab.runs.folder import Run, RunError, read_run, write_json, write_status
from lora_lab.runs.machine import environment, forget_peak_memory, peak_memory
from lora_lab.training import Listener, TrainingRun, train


def execute(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = False,
    listeners: Sequence[Listener] = (),
    cache: PrefixCache | None = None,
) -> Run:
    """Load, adapt, train, evaluate and save; every step leaves its trace in ``folder``.

    Args:
        resume: go on from the folder's checkpoint if there is one.
        cache: activations of frozen layers (default: those that all runs on this machine share).

    Raises:
        RunError: the folder holds a run already (and ``resume`` is off), or it is running.
        DataError, ModelError, TargetError, ValueError: a setting that cannot be.
        DivergenceError, StorageError: see ``train``.
    """
    if (folder / "config.json").exists():
        earlier = read_run(folder)
        if earlier.state == "running":
            raise RunError(f"{folder} is being trained by another process right now.")
        if not resume:
            raise RunError(
                f"{folder} holds a {earlier.state} run. Use --resume to go on with it, or "
                "another folder."
            )
        if earlier.config != config:
            raise RunError(f"{folder} holds a run with other settings. Use another folder.")
        if earlier.state == "finished":
            return earlier
    write_json(folder / "config.json", config.as_dict() | {"made_with": environment()})
    write_status(folder, "running")
    forget_peak_memory()
    try:
        data = config.data.load()
        model, tokenizer = prepare_model(config, data)
        run = train(
            model,
            tokenizer,
            data,
            config.train,
            folder=folder,
            resume=resume,
            listeners=[MetricsFile(folder / "metrics.jsonl"), *listeners],
            cache=cache or shared_cache(),
        )
        elsewhere = _score_elsewhere(config, model, tokenizer, folder)
        if config.keeps_whole_model:
            merge(model)
            remove_adapters(model)
            _save_whole_model(model, tokenizer, folder / "model")
        else:
            save_adapter(model, folder / "adapter")
        if run.test_probabilities is not None:
            labels = np.asarray(data["test"]["label"])
            save_answers(Answers(run.test_probabilities, labels), folder)
        write_json(folder / "result.json", _result(run, data) | {"elsewhere": elsewhere})
    except KeyboardInterrupt:
        write_status(folder, "interrupted", "stopped by the user")
        raise
    except Exception as error:
        try:
            write_status(folder, "failed", _in_words(error))
        except StorageError:
            pass  # the disk is full or gone: the first error says so
        raise
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    write_status(folder, "finished")
    return read_run(folder)


def shared_cache() -> PrefixCache:
    """The activations that all runs of this user share, in the cache folder."""
    return PrefixCache(cache_folder() / "activations")


def prepare_model(config: RunConfig, data: DatasetDict) -> LoadedModel:
    """The model of a run before training: loaded, adapted, frozen as the method says."""
    seed = config.train.seed
    loaded = load_model(config.model, labels=data, seed=seed, pretrained=config.pretrained)
    torch.manual_seed(seed)  # draws the adapters' random halves
    if config.method == "lora":
        apply_lora(loaded.model, config.lora)
    elif config.method == "two-sided":
        apply_two_sided(loaded.model, config.two_sided)
    elif config.method == "head":
        freeze(loaded.model)
    return loaded


def load_trained(folder: Path) -> LoadedModel:
    """The trained model of a finished run.

    Raises:
        RunError: the run has not finished.
    """
    run = read_run(folder)
    if run.state != "finished":
        raise RunError(f"The run in {folder} is {run.state}, so there is no trained model yet.")
    if run.config.keeps_whole_model:
        return load_model(folder / "model", labels=run.result["labels"], new_head=False)
    return load_adapted_model(folder / "adapter")


def _result(run: TrainingRun, data: DatasetDict) -> dict[str, Any]:
    return {
        "labels": list(data["train"].features["label"].names),
        "data_fingerprint": fingerprint(data),
        "held_out_fingerprint": fingerprint({s: rows for s, rows in data.items() if s != "train"}),
        "test_fingerprint": fingerprint({"test": data["test"]}) if "test" in data else None,
        "train_examples": len(data["train"]),
        "trainable": run.trainable,
        "best_epoch": run.best_epoch,
        "steps": run.steps,
        "seconds": run.seconds,
        "truncated": run.truncated,
        "peak_memory": peak_memory(),
        "history": list(run.history),
        "validation": run.validation.as_dict(),
        "test": run.test.as_dict() if run.test else None,
    }


def _score_elsewhere(config: RunConfig, model, tokenizer, folder: Path) -> dict[str, Any]:
    """Scores on the test splits of other data, by its name; the answers go into ``folder``."""
    scores = {}
    for name in config.also_test:
        test = load_data(name, classes=config.data.classes)["test"]
        p = predict_probabilities(
            model, tokenizer, test["text"][:], max_length=config.train.max_length
        )
        save_answers(Answers(p, np.asarray(test["label"])), folder / "elsewhere" / name)
        found = evaluate_probabilities(p, test).as_dict()
        scores[name] = found | {"test_fingerprint": fingerprint({"test": test})}
    return scores


def _save_whole_model(model, tokenizer, folder: Path) -> None:
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except OSError as error:
        raise StorageError(f"Could not write {folder}: {error.strerror or error}.") from error


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return (
            "The computer's memory was not enough for this run. Try fewer layers, a smaller rank "
            "or model, shorter texts, or fewer runs at a time."
        )
    return str(error) or type(error).__name__
