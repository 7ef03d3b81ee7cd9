"""Ours against PEFT with the transformers Trainer: the same job, alternating, in one process tree.

    python benchmarks/side_by_side.py [--train-size 1000] [--rounds 3]

Both sides get the same model, data, split, head, rank, alpha, target layers, batch size, epochs,
learning rate, schedule and seed. PEFT runs with the Trainer's sensible defaults: dynamic padding,
nothing else. Each round runs the two one after the other, each in a fresh process, so that a
machine that changes speed changes it for both; what is reported are ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lora_lab.runs import environment, peak_memory

RESULTS = Path(__file__).parent / "results" / "latest.json"
TARGETS = ("query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense")
BATCH, RATE, RANK, ALPHA = 32, 1e-3, 8, 16


def run_ours(size: int, epochs: int, seed: int) -> dict:
    from lora_lab import LoraConfig, TrainConfig, apply_lora, load_data, load_model, train

    data = load_data("movie-reviews", train_size=size)
    model, tokenizer = load_model(labels=data, seed=seed)
    apply_lora(model, LoraConfig(rank=RANK, alpha=ALPHA, target_modules=TARGETS))
    train_only = type(data)({"train": data["train"], "validation": data["validation"].select([0])})
    started = time.perf_counter()
    train(
        model,
        tokenizer,
        train_only,
        TrainConfig(epochs=epochs, learning_rate=RATE, batch_size=BATCH, seed=seed),
    )
    return _outcome(model, tokenizer, data, time.perf_counter() - started)


def run_peft(size: int, epochs: int, seed: int) -> dict:
    from peft import LoraConfig, get_peft_model
    from transformers import DataCollatorWithPadding, Trainer, TrainingArguments

    from lora_lab import load_data, load_model

    data = load_data("movie-reviews", train_size=size)
    model, tokenizer = load_model(labels=data, seed=seed)
    model = get_peft_model(
        model,
        LoraConfig(
            task_type="SEQ_CLS",
            r=RANK,
            lora_alpha=ALPHA,
            target_modules=[*TARGETS],
            exclude_modules=r".*pooler.*",
        ),
    )
    tokenised = data["train"].map(
        lambda rows: tokenizer(rows["text"], truncation=True, max_length=128),
        batched=True,
        remove_columns=[c for c in data["train"].column_names if c != "label"],
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=epochs,
                per_device_train_batch_size=BATCH,
                learning_rate=RATE,
                warmup_steps=0.1,
                weight_decay=0.01,
                seed=seed,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
            ),
            train_dataset=tokenised,
            data_collator=DataCollatorWithPadding(tokenizer),
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    return _outcome(model, tokenizer, data, seconds)


SIDES = {"ours": run_ours, "peft": run_peft}


def _outcome(model, tokenizer, data, seconds: float) -> dict:
    from lora_lab.prediction import predict_probabilities

    peak = peak_memory()
    p = predict_probabilities(model, tokenizer, data["test"]["text"])
    right = sum(int(a == b) for a, b in zip(p.argmax(axis=1), data["test"]["label"], strict=True))
    return {
        "seconds": seconds,
        "examples": len(data["train"]),
        "peak_memory": peak,
        "accuracy": right / len(p),
        "trainable": sum(q.numel() for q in model.parameters() if q.requires_grad),
    }


def compare(size: int, epochs: int, rounds: int) -> dict:
    """Run both sides ``rounds`` times in turn, a new seed each round."""
    outcomes: dict[str, list[dict]] = {side: [] for side in SIDES}
    for seed in range(rounds):
        order = list(SIDES) if seed % 2 == 0 else list(SIDES)[::-1]
        for side in order:
            command = [sys.executable, __file__, "--side", side, "--train-size", str(size)]
            command += ["--epochs", str(epochs), "--seed", str(seed)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            outcome = json.loads(done.stdout.splitlines()[-1])
            outcomes[side].append(outcome)
            pace = 1000 * outcome["seconds"] / (outcome["examples"] * epochs)
            print(
                f"round {seed + 1} {side:5} {pace:6.1f} ms per example, accuracy "
                f"{outcome['accuracy']:.3f}, {outcome['peak_memory'] / 2**30:.2f} GiB",
                flush=True,
            )
    ratios = [
        p["seconds"] / o["seconds"] for o, p in zip(outcomes["ours"], outcomes["peft"], strict=True)
    ]
    return {
        "job": dict(train_size=size, epochs=epochs, rounds=rounds, rank=RANK, targets=TARGETS),
        "time_ratio_peft_over_ours": dict(
            median=statistics.median(ratios), low=min(ratios), high=max(ratios)
        ),
        "memory_ratio_ours_over_peft": statistics.median(
            o["peak_memory"] / p["peak_memory"]
            for o, p in zip(outcomes["ours"], outcomes["peft"], strict=True)
        ),
        "mean_accuracy": {s: statistics.mean(o["accuracy"] for o in outcomes[s]) for s in SIDES},
        "outcomes": outcomes,
        "made_with": environment(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train-size", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        outcome = SIDES[options.side](options.train_size, options.epochs, options.seed)
        print(json.dumps(outcome))
        return
    result = compare(options.train_size, options.epochs, options.rounds)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    ratio = result["time_ratio_peft_over_ours"]
    print(
        f"PEFT's time / ours: {ratio['median']:.2f} (rounds {ratio['low']:.2f} to "
        f"{ratio['high']:.2f}). Memory, ours / PEFT: {result['memory_ratio_ours_over_peft']:.2f}."
    )


if __name__ == "__main__":
    main()
