"""One readable training loop for every method: what requires a gradient is trained."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from datasets import DatasetDict
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from lora_lab.adapt import adapted_layers, trainable_parameters
from lora_lab.batches import tokenise, training_batches
from lora_lab.checkpoints import Progress, load_checkpoint, save_checkpoint
from lora_lab.choices import Keep, Precision, PrefixChoice
from lora_lab.closed_form import mean_cross_entropy
from lora_lab.data import fingerprint
from lora_lab.evaluation import Evaluation
from lora_lab.forward import logits_function
from lora_lab.precision import frozen_stored_in, settle
from lora_lab.prediction import evaluate_probabilities, evaluate_tokenised, probabilities
from lora_lab.prefix_cache import PrefixCache

#: Called with every event of a run: a dictionary whose "event" is "start", "step" or "epoch".
Listener = Callable[[dict[str, Any]], None]
LOG_EVERY = 10  # steps
#: A batch of longer texts is computed in parts: its activations would set the peak of memory.
TOKENS_AT_ONCE = 1280


class DivergenceError(RuntimeError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train.

    Attributes:
        epochs: passes over the training set.
        learning_rate: peak of AdamW's rate. LoRA wants about ten times what full fine-tuning
            wants, because its updates start at zero and are small.
        batch_size: examples per step.
        weight_decay: AdamW's decoupled L2, on matrices only.
        warmup: share of all steps over which the rate rises; it falls linearly to 0 after.
        clip_norm: largest norm of the whole gradient.
        max_length: tokens kept of each text.
        patience: stop after this many epochs without a better validation result (None: never).
        validate_every: epochs between two validations; after the last there always is one.
        keep: the weights to end with: those of the "best" epoch by validation, or the "last".
        base_dropout: also switch on the dropout inside a frozen base. A base that is itself
            trained always has it.
        prefix: how activations below the first adapted layer are kept, so that frozen layers
            run once and not in every epoch; "off" runs them each time.
        precision: "bfloat16" computes in it, while all that learns stays in float32; "auto"
            does so where it is clearly faster, so results may then differ between machines.
        seed: order of the examples and every dropout.
        checkpoint_every: steps between two checkpoints within an epoch.

    Raises:
        ValueError: a number out of range.
    """

    epochs: int = 3
    learning_rate: float = 1e-3
    batch_size: int = 32
    weight_decay: float = 0.01
    warmup: float = 0.1
    clip_norm: float = 1.0
    max_length: int = 128
    patience: int | None = None
    validate_every: int = 1
    keep: Keep = "best"
    base_dropout: bool = False
    prefix: PrefixChoice = "float32"
    precision: Precision = "float32"
    seed: int = 0
    checkpoint_every: int = 100

    def __post_init__(self) -> None:
        for name, smallest in (
            ("epochs", 1),
            ("batch_size", 1),
            ("max_length", 3),
            ("checkpoint_every", 1),
            ("patience", 1),
            ("validate_every", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < smallest:
                raise ValueError(
                    f"{name} is {value!r}; it must be a whole number of at least {smallest}."
                )
        for name, allowed, says in (
            ("learning_rate", lambda v: v > 0, "positive, for example 1e-3 for LoRA"),
            ("weight_decay", lambda v: v >= 0, "at least 0"),
            ("warmup", lambda v: 0 <= v <= 1, "between 0 and 1, a share of all steps"),
            ("clip_norm", lambda v: v > 0, "positive, usually 1"),
        ):
            value = getattr(self, name)
            if not math.isfinite(value) or not allowed(value):
                raise ValueError(f"{name} is {value!r}; it must be {says}.")
        for name, choices in (("prefix", PrefixChoice), ("precision", Precision), ("keep", Keep)):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of "
                    f"{', '.join(get_args(choices))}."
                )


@dataclass(frozen=True)
class TrainingRun:
    """What came out of ``train``; the model holds the weights of ``best_epoch``.

    Attributes:
        history: per validated epoch: training loss, validation loss and accuracy, seconds.
        best_epoch: from 1, by validation accuracy, ties to the lower loss; or simply the last,
            if the configuration keeps that one.
        test: on the test split with these weights; None without a test split.
        trainable: parameters that learned, head included.
        seconds: time spent training and validating, over all attempts.
        truncated: texts of the training set that were longer than ``max_length`` tokens.
        test_probabilities: (N, C), what the model answers on each test text; None like ``test``.
    """

    config: TrainConfig
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    validation: Evaluation
    test: Evaluation | None
    trainable: int
    steps: int
    seconds: float
    truncated: int
    test_probabilities: np.ndarray | None = field(default=None, compare=False, repr=False)


def train(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: DatasetDict,
    config: TrainConfig | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    listeners: Sequence[Listener] = (),
    cache: PrefixCache | None = None,
) -> TrainingRun:
    """Train every parameter that requires a gradient; keep the best epoch by validation.

    Args:
        data: splits train, validation and, if wanted, test; columns text and label.
        folder: where ``checkpoint.safetensors`` goes; None keeps nothing on disk.
        resume: go on from that file if it exists. The weights at the end equal those of an
            uninterrupted run, bit for bit, on the same machine.
        listeners: see ``Listener``.
        cache: where activations of frozen layers are kept (None: in memory, for this call).

    Raises:
        ValueError: nothing to train, or the data's classes are not the model's.
        DivergenceError: the loss became NaN or infinite.
        StorageError: a checkpoint could not be written; earlier ones are kept.
        CheckpointError: the checkpoint belongs to another run.
    """
    config = config or TrainConfig()
    precision = settle(config.precision, next(model.parameters()).device)
    with frozen_stored_in(model, precision):
        reading = dict(cache=cache or PrefixCache(), prefix=config.prefix, precision=precision)
        return _train(model, tokenizer, data, config, folder, resume, listeners, reading)


def _train(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    data: DatasetDict,
    config: TrainConfig,
    folder: Path | None,
    resume: bool,
    listeners: Sequence[Listener],
    reading: dict[str, Any],
) -> TrainingRun:
    parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not parameters:
        raise ValueError("No parameter requires a gradient. Call apply_lora(model, ...) first.")
    text = {s: tokenise(tokenizer, data[s]["text"], config.max_length) for s in data}
    labels = torch.tensor(data["train"]["label"])
    optimizer = make_optimizer(model, config)
    batches_per_epoch = math.ceil(len(labels) / config.batch_size)
    total_steps = config.epochs * batches_per_epoch

    torch.manual_seed(config.seed)
    progress, best, best_validation = Progress(), {}, None
    path = folder / "checkpoint.safetensors" if folder else None
    identity = _identity(model, config, data, parameters) if path else ""
    if path and resume and path.exists():
        progress, best = load_checkpoint(path, identity, model, optimizer)
    clock = _Clock(progress)
    _tell(
        listeners,
        event="start",
        step=progress.step,
        steps=total_steps,
        trainable=trainable_parameters(model),
    )

    while progress.epoch < config.epochs and not _out_of_patience(progress, config):
        set_training_mode(model, config.base_dropout)
        forward = logits_function(model, text["train"], **reading)
        batches = training_batches(text["train"], config.batch_size, config.seed, progress.epoch)
        for rows in batches[progress.batch :]:
            loss_value = 0.0
            for part in text["train"].pieces(rows, TOKENS_AT_ONCE):
                logits = forward(part)
                loss = mean_cross_entropy(logits, labels[part].to(logits.device))
                loss = loss * (len(part) / len(rows))  # the parts' gradients add up to the batch's
                loss_value += _finite(loss.item(), progress.step, config)
                loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters.values(), config.clip_norm)
            rate = learning_rate(config, progress.step, total_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()

            progress.step += 1
            progress.batch += 1
            progress.loss_sum += loss_value * len(rows)
            progress.loss_count += len(rows)
            if progress.step % LOG_EVERY == 0 or progress.step == 1:
                _tell(
                    listeners,
                    event="step",
                    step=progress.step,
                    steps=total_steps,
                    epoch=progress.epoch + 1,
                    loss=loss_value,
                    learning_rate=rate,
                    gradient_norm=float(norm),
                    seconds=clock.read(),
                )
            if path and progress.step % config.checkpoint_every == 0:
                clock.read()
                save_checkpoint(path, identity, progress, model, optimizer, best)

        progress.epoch += 1
        if progress.epoch % config.validate_every == 0 or progress.epoch == config.epochs:
            validation = evaluate_tokenised(
                model, text["validation"], data["validation"], **reading
            )
            record = dict(
                epoch=progress.epoch,
                step=progress.step,
                training_loss=progress.loss_sum / progress.loss_count,
                validation_loss=validation.loss,
                validation_accuracy=validation.accuracy,
                validation_interval=[validation.interval.low, validation.interval.high],
                seconds=clock.read(),
            )
            progress.history.append(record)
            if config.keep == "last" or _is_best(progress.history):
                progress.best_epoch, best_validation = progress.epoch, validation
                best = {name: p.detach().clone() for name, p in parameters.items()}
            _tell(listeners, event="epoch", steps=total_steps, **record)
        progress.batch, progress.loss_sum, progress.loss_count = 0, 0.0, 0
        if path:
            save_checkpoint(path, identity, progress, model, optimizer, best)

    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(best[name])
    model.eval()

    answers = probabilities(model, text["test"], **reading) if "test" in data else None
    return TrainingRun(
        config=config,
        history=tuple(progress.history),
        best_epoch=progress.best_epoch,
        # Known already, unless the best epoch was before an interruption.
        validation=best_validation
        or evaluate_tokenised(model, text["validation"], data["validation"], **reading),
        test=None if answers is None else evaluate_probabilities(answers, data["test"]),
        trainable=trainable_parameters(model),
        steps=progress.step,
        seconds=progress.seconds,
        truncated=text["train"].truncated,
        test_probabilities=answers,
    )


def set_training_mode(model: nn.Module, base_dropout: bool = False) -> None:
    """Train mode for what learns. A frozen base stays in eval mode: its dropout would only
    add noise and cost time, unless ``base_dropout`` asks for it.
    """
    model.train()
    base = getattr(model, getattr(model, "base_model_prefix", "") or "base_model", None)
    adapters = adapted_layers(model).values()
    own = {id(p) for layer in adapters for p in layer.parameters(recurse=False)}
    if base is None or base_dropout:
        return
    if not any(p.requires_grad and id(p) not in own for p in base.parameters()):
        base.eval()
        for layer in adapters:
            layer.train()


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019) on what requires a gradient; no decay on vectors."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=0.0, fused=True)


def learning_rate(config: TrainConfig, step: int, total_steps: int) -> float:
    """Rate of optimiser step ``step`` (from 0): linear rise, then linear fall towards 0."""
    warmup_steps = round(config.warmup * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    return config.learning_rate * (total_steps - step) / max(1, total_steps - warmup_steps)


class _Clock:
    """Adds the time since the last reading to ``progress.seconds``."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.last = progress, time.perf_counter()

    def read(self) -> float:
        now = time.perf_counter()
        self.progress.seconds += now - self.last
        self.last = now
        return self.progress.seconds


def _tell(listeners: Sequence[Listener], **event: Any) -> None:
    for listener in listeners:
        listener(event)


def _is_best(history: list[dict[str, Any]]) -> bool:
    def key(record: dict[str, Any]) -> tuple[float, float]:
        return record["validation_accuracy"], -record["validation_loss"]

    return all(key(history[-1]) > key(earlier) for earlier in history[:-1])


def _out_of_patience(progress: Progress, config: TrainConfig) -> bool:
    """Whether it is too long since the best epoch; one that was not validated decides nothing."""
    if config.patience is None or not progress.history:
        return False
    return progress.history[-1]["epoch"] - progress.best_epoch >= config.patience


def _finite(loss: float, step: int, config: TrainConfig) -> float:
    if not math.isfinite(loss):
        raise DivergenceError(
            f"The loss became {loss} at step {step + 1}: training diverged. Try a smaller "
            f"learning rate (now {config.learning_rate:g}; 1e-3 suits LoRA, 5e-5 full "
            "fine-tuning), a smaller alpha/r, a longer warm-up or a smaller clip_norm."
        )
    return loss


def _identity(
    model: nn.Module, config: TrainConfig, data: DatasetDict, parameters: dict[str, Tensor]
) -> str:
    """What must be equal for a checkpoint to be continued."""
    settings = {k: v for k, v in asdict(config).items() if k != "checkpoint_every"}
    shapes = {name: list(p.shape) for name, p in parameters.items()}
    base = getattr(model, "name_or_path", "")
    text = json.dumps([base, settings, fingerprint(data), shapes], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
