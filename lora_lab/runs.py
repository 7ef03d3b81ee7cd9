"""A run from its configuration to its files: one folder holds everything there is to know.

config.json            what was asked for, the data's fingerprint, versions and machine
status.json            running, finished or failed, and why
metrics.jsonl          one line per event, while it trains
checkpoint.safetensors weights, optimiser and random state, to go on after an interruption
adapter/  or  model/   the trained weights (a whole model for full fine-tuning)
test_answers.safetensors   what the trained model answers on each test text, see ``answers``
elsewhere/NAME/            the same on the test texts of other data
result.json            scores on validation and test, parameters, seconds
"""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from datasets import DatasetDict

from lora_lab import processes
from lora_lab.adapt import (
    LoraConfig,
    TwoSidedConfig,
    apply_lora,
    apply_two_sided,
    freeze,
    merge,
    remove_adapters,
)
from lora_lab.adapter_files import load_adapted_model, save_adapter
from lora_lab.answers import Answers, save_answers
from lora_lab.checkpoints import StorageError, write_atomically
from lora_lab.choices import LabelNoise, Method, State
from lora_lab.data import (
    EMBEDDED,
    cache_folder,
    check_noise,
    fingerprint,
    load_data,
    with_noise,
)
from lora_lab.evaluation import Evaluation
from lora_lab.listeners import MetricsFile, read_metrics
from lora_lab.models import DEFAULT_MODEL, LoadedModel, load_model
from lora_lab.prediction import evaluate_probabilities, predict_probabilities
from lora_lab.prefix_cache import PrefixCache
from lora_lab.training import Listener, TrainConfig, TrainingRun, train

#: Peak learning rates that suit each method, chosen on validation. LoRA wants far more than full
#: fine-tuning, and a lone linear head far more again: at LoRA's rate it is still half trained
#: after three epochs, and would make LoRA look better than it is.
LEARNING_RATES: dict[str, float] = {"lora": 1e-3, "two-sided": 1e-3, "head": 5e-2, "full": 5e-5}


class RunError(ValueError):
    """A run folder that cannot be used as asked."""


@dataclass(frozen=True)
class DataConfig:
    """What to load, see ``load_data``, and what to spoil, see ``data.with_noise``.

    Attributes:
        noise, noise_share: what is wrong with the labels of the training split.
        seed: draws the training examples if there are to be ``train_size``, and the noise.

    Raises:
        DataError: noise that there is not.
    """

    name: str = "movie-reviews"
    classes: int | None = None
    train_size: int | None = None
    text_column: str = "text"
    label_column: str = "label"
    noise: LabelNoise = "none"
    noise_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_noise(self.noise, self.noise_share)

    def load(self) -> DatasetDict:
        data = load_data(
            self.name,
            classes=self.classes,
            train_size=self.train_size,
            text_column=self.text_column,
            label_column=self.label_column,
            seed=self.seed,
        )
        data["train"] = with_noise(data["train"], self.noise, self.noise_share, self.seed)
        return data


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result.

    Attributes:
        pretrained: False draws every weight of the model at random: the control that shows what
            pre-training is worth.
        also_test: embedded data whose test sentences are scored as well, besides the run's own.

    Raises:
        ValueError: an unknown method, or data to score that is not embedded.
    """

    method: Method = "lora"
    model: str = DEFAULT_MODEL
    pretrained: bool = True
    data: DataConfig = field(default_factory=DataConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    two_sided: TwoSidedConfig = field(default_factory=TwoSidedConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    also_test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := [name for name in self.also_test if name not in EMBEDDED]:
            raise ValueError(
                f"also_test names {', '.join(unknown)}; it can name {', '.join(EMBEDDED)}."
            )
        if self.method not in get_args(Method):
            raise ValueError(
                f"method is {self.method!r}; it must be one of {', '.join(get_args(Method))}."
            )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """The inverse of ``as_dict``, also after a trip through JSON.

        Raises:
            ValueError: settings that do not exist, or values out of range.
        """
        parts = {
            "data": DataConfig,
            "lora": LoraConfig,
            "two_sided": TwoSidedConfig,
            "train": TrainConfig,
        }
        built = {k: _build(parts[k], v) if k in parts else v for k, v in values.items()}
        return _build(cls, built)

    @property
    def keeps_whole_model(self) -> bool:
        """Whether its result is a whole model: there is no base that an adapter could go on."""
        return self.method == "full" or not self.pretrained


@dataclass(frozen=True)
class Run:
    """What is known about a run folder. ``result`` is None until it has finished.

    ``made_with`` names versions and machine, see ``environment``.
    """

    folder: Path
    config: RunConfig
    state: State
    reason: str
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None
    made_with: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def test(self) -> Evaluation | None:
        """Scores on the test split."""
        stored = self.result and self.result["test"]
        return Evaluation.from_dict(stored) if stored else None


def new_run_folder(runs: Path) -> Path:
    """A folder name that is free and cannot be guessed: date, time and a random part."""
    return runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


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
    _write_json(folder / "config.json", config.as_dict() | {"made_with": environment()})
    _write_status(folder, "running")
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
        _write_json(folder / "result.json", _result(run, data) | {"elsewhere": elsewhere})
    except KeyboardInterrupt:
        _write_status(folder, "interrupted", "stopped by the user")
        raise
    except Exception as error:
        try:
            _write_status(folder, "failed", _in_words(error))
        except StorageError:
            pass  # the disk is full or gone: the first error says so
        raise
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    _write_status(folder, "finished")
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


def read_run(folder: Path) -> Run:
    """A run as its files tell it. A run whose process is gone is "interrupted".

    Raises:
        RunError: no run there, or its files cannot be read.
    """
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        made_with = values.pop("made_with", {})
        config = RunConfig.from_dict(values)
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        result = None
        if (folder / "result.json").exists():
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"There is no run in {folder}.") from None
    except ValueError as error:
        raise RunError(f"The files of the run in {folder} cannot be read: {error}") from error
    state, reason = status["state"], status.get("reason", "")
    if state == "running" and not _is_alive(status):
        state, reason = "interrupted", "its process has ended; go on with --resume"
    metrics = read_metrics(folder / "metrics.jsonl")
    return Run(folder, config, state, reason, metrics, result, made_with)


def list_runs(runs: Path) -> list[Run]:
    """All readable runs in a folder of runs, oldest first."""
    found = []
    for folder in sorted(runs.iterdir()) if runs.is_dir() else []:
        try:
            found.append(read_run(folder))
        except RunError:
            continue
    return found


def environment() -> dict[str, Any]:
    """Versions and machine, stored with every result."""
    packages = ("lora-lab", "torch", "transformers", "datasets")
    return {
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
    }


def with_learning_rate_for(method: Method, config: TrainConfig) -> TrainConfig:
    """The same training settings at the learning rate that suits the method."""
    return replace(config, learning_rate=LEARNING_RATES[method])


def peak_memory() -> int | None:
    """Largest resident memory of this process, in bytes; None where unknown.

    Since its start or, where the system can, since ``forget_peak_memory``.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def forget_peak_memory() -> None:
    """Let ``peak_memory`` begin anew: a process that trains several runs has a peak for each.

    Only Linux can; elsewhere the peak is that of the whole process so far.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


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


def _write_status(folder: Path, state: State, reason: str = "") -> None:
    _write_json(folder / "status.json", dict(state=state, reason=reason) | processes.identity())


def _is_alive(status: dict[str, Any]) -> bool:
    """Another machine's process cannot be looked at from here and is taken to live."""
    return not processes.is_here(status) or processes.find(status) is not None


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
        return (
            "The computer's memory was not enough for this run. Try fewer layers, a smaller rank "
            "or model, shorter texts, or fewer runs at a time."
        )
    return str(error) or type(error).__name__


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(values, indent=2).encode())


def _build(kind: type, values: Any) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__} must be a JSON object, got {values!r}.")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"{kind.__name__} has no setting {', '.join(unknown)}.")
    # JSON has no tuples; the frozen configurations have no lists.
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
