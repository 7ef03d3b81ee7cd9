"""The main job: one pre-trained BERT, real film reviews, and honest numbers side by side."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_lab.baselines import evaluate_majority, evaluate_vader
from lora_lab.checkpoints import write_atomically
from lora_lab.evaluation import Evaluation
from lora_lab.listeners import ProgressBar
from lora_lab.runs import (
    Run,
    RunConfig,
    environment,
    execute,
    peak_memory,
    read_run,
    with_learning_rate_for,
)

#: What each trained method is called in the table.
TITLES = {"head": "head only", "lora": "LoRA", "two-sided": "two-sided", "full": "full fine-tuning"}


def run_demo(folder: Path, config: RunConfig, methods: tuple[str, ...] = ("head", "lora")) -> dict:
    """Baselines, then each method on the same split; prints a table, writes ``summary.json``.

    A method that was interrupted goes on where it stopped; a finished one is run again.

    Args:
        folder: gets one run folder per method, ``summary.json`` and ``adapter/`` (LoRA's).
        config: data, model and settings; the learning rate is set for each method, except
            LoRA's, which is taken as given.

    Returns:
        What was written to ``summary.json``.
    """
    started = time.perf_counter()
    data = config.data.load()
    print(
        f"{config.data.name}: {len(data['train']):,} sentences to learn from, "
        f"{len(data['validation']):,} to choose the epoch, {len(data['test']):,} to report.\n"
    )
    rows = [
        _row("majority class", evaluate_majority(data), 0, 0.0),
        _timed_row("VADER rules", lambda: evaluate_vader(data)),
    ]
    for method in methods:
        run = _run_method(folder / method, config, method)
        rows.append(_row(TITLES[method], run.test, run.result["trainable"], run.result["seconds"]))
        if method == "lora":
            shutil.rmtree(folder / "adapter", ignore_errors=True)
            shutil.copytree(run.folder / "adapter", folder / "adapter")
    summary = {
        "data": config.data.name,
        "examples": {split: len(rows_) for split, rows_ in data.items()},
        "config": config.as_dict(),
        "methods": {row.pop("key"): row for row in rows},
        "seconds": time.perf_counter() - started,
        "peak_memory": peak_memory(),
        "made_with": environment(),
    }
    write_atomically(folder / "summary.json", json.dumps(summary, indent=2).encode())
    print("\n" + table(summary))
    return summary


def table(summary: dict[str, Any]) -> str:
    """The summary as text: one row per method, then what the intervals allow to say."""
    lines = [
        f"{'method':18}{'test accuracy':>15}{'95% interval':>19}{'trainable':>13}{'seconds':>9}"
    ]
    methods = summary["methods"]
    for row in methods.values():
        low, high = row["interval"]
        lines.append(
            f"{row['title']:18}{row['test_accuracy']:15.3f}{f'{low:.3f} to {high:.3f}':>19}"
            f"{row['trainable_parameters']:13,}{row['seconds']:9.0f}"
        )
    if "head" in methods and "lora" in methods:
        lines.append("\n" + _compare(methods["lora"], methods["head"]))
    if "full" in methods and "lora" in methods:
        lines.append(_compare(methods["lora"], methods["full"]))
    lines.append(
        f"The whole job took {summary['seconds'] / 60:.1f} minutes"
        + (f" and {summary['peak_memory'] / 2**30:.1f} GiB." if summary["peak_memory"] else ".")
    )
    return "\n".join(lines)


def _compare(first: dict[str, Any], second: dict[str, Any]) -> str:
    gap = first["test_accuracy"] - second["test_accuracy"]
    apart = (
        first["interval"][0] > second["interval"][1] or second["interval"][0] > first["interval"][1]
    )
    verdict = (
        "the intervals do not meet" if apart else "no measurable difference: intervals overlap"
    )
    return f"{first['title']} against {second['title']}: {100 * gap:+.1f} points, {verdict}."


def _run_method(folder: Path, config: RunConfig, method: str) -> Run:
    train = config.train if method == "lora" else with_learning_rate_for(method, config.train)
    wanted = replace(config, method=method, train=train)
    resume = False
    if (folder / "config.json").exists():
        earlier = read_run(folder)
        resume = earlier.state == "interrupted" and earlier.config == wanted
        if not resume and earlier.state != "running":
            shutil.rmtree(folder)
    return execute(wanted, folder, resume=resume, listeners=[ProgressBar(TITLES[method])])


def _timed_row(title: str, evaluate) -> dict[str, Any]:
    started = time.perf_counter()
    evaluation = evaluate()
    return _row(title, evaluation, 0, time.perf_counter() - started)


def _row(title: str, test: Evaluation, trainable: int, seconds: float) -> dict[str, Any]:
    keys = {"majority class": "majority", "VADER rules": "vader"}
    keys |= {shown: method for method, shown in TITLES.items()}
    return {
        "key": keys[title],
        "title": title,
        "test_accuracy": test.accuracy,
        "interval": [test.interval.low, test.interval.high],
        "trainable_parameters": trainable,
        "seconds": seconds,
    }
