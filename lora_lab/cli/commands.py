"""The commands of ``lora-lab``: each one a thin reader of the library.

torch and transformers take seconds to import, so every command imports what it needs itself:
help and mistakes in the words are answered at once.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

from lora_lab.cli.settings import data_options, lora_config, run_config, whole_numbers


def doctor(options: Namespace) -> int:
    from lora_lab.cli.doctor import examine, report

    findings = examine()
    print(json.dumps(findings, indent=2) if options.json else report(findings))
    return 0 if all(finding["ok"] for finding in findings) else 1


def fetch(options: Namespace) -> None:
    from lora_lab.data import fetch

    print(f"The data is in {fetch(force=options.force, archive=options.archive)}.")


def train(options: Namespace) -> None:
    from lora_lab.listeners import ProgressBar, TensorBoard
    from lora_lab.runs import RunConfig, execute, new_run_folder, read_run

    if options.resume and options.folder and (options.folder / "config.json").exists():
        config = read_run(options.folder).config
    elif options.resume:
        raise ValueError("--resume needs --folder with the run to go on with.")
    elif options.config:
        config = RunConfig.from_dict(json.loads(options.config.read_text(encoding="utf-8")))
    else:
        config = run_config(options)
    folder = options.folder or new_run_folder(Path("runs"))
    listeners = [ProgressBar(config.method)]
    if options.tensorboard:
        listeners.append(TensorBoard(folder / "tensorboard"))
    run = execute(config, folder, resume=options.resume, listeners=listeners)
    if options.json:
        print(json.dumps({"folder": str(run.folder), **run.result}))
    else:
        print(
            f"\n{run.test}\n\n{run.result['trainable']:,} trainable parameters. Run: {run.folder}"
        )


def rescore(options: Namespace) -> None:
    from lora_lab.inside.rescoring import Rescorer, halvings
    from lora_lab.runs import load_trained, read_run, shared_cache

    run = read_run(options.folder)
    if run.config.method != "lora":
        raise ValueError(f"{options.folder} is a {run.config.method} run; only LoRA has a rank.")
    if run.config.keeps_whole_model:
        raise ValueError(
            f"{options.folder} began with random weights, so it is kept as a whole model: its "
            "update is part of that and can no longer be cut. Take a run on a pre-trained base."
        )
    loaded, data = load_trained(options.folder), run.config.data.load()
    if options.split not in data:
        raise ValueError(f"There is no split {options.split!r}; there are {', '.join(data)}.")
    rescorer = Rescorer(
        *loaded,
        data[options.split],
        max_length=run.config.train.max_length,
        cache=shared_cache(),
    )
    trained = run.config.lora.rank
    ranks = whole_numbers("--ranks", options.ranks) if options.ranks else halvings(trained)
    scores = {rank: rescorer.score(rank=rank, alpha=options.alpha) for rank in ranks}
    if options.json:
        print(json.dumps({rank: score.as_dict() for rank, score in scores.items()}))
        return
    print(f"Trained with rank {trained}. Accuracy on {options.split}, the update cut to a rank:")
    for rank, score in scores.items():
        print(
            f"  rank {rank:3}: {score.accuracy:.3f}, 95% interval {score.interval.low:.3f} to "
            f"{score.interval.high:.3f}"
        )


def advise(options: Namespace) -> None:
    from lora_lab.advice.advising import advise
    from lora_lab.advice.candidates import candidates, measured_grids
    from lora_lab.advice.machine_speed import speed_here
    from lora_lab.advice.question import Question
    from lora_lab.advice.text import as_dict, as_text
    from lora_lab.results.stored_grid import read_grid

    question = Question(
        model=options.model,
        train_size=options.train_size,
        seconds=60 * options.minutes,
        parameters=options.parameters,
        data=options.data,
    )
    if options.grid:
        grids = {str(options.grid): read_grid(options.grid)}
    else:
        grids = measured_grids()
    among = candidates(question, grids)
    among.near(question)  # raises before a trial takes its seconds
    advice = advise(question, among, speed_here(grids, Path("runs"), question.data))
    print(json.dumps(as_dict(advice)) if options.json else as_text(advice))


def cache(options: Namespace) -> None:
    from lora_lab.runs import shared_cache

    cache = shared_cache()
    if options.clear:
        cache.clear()
    print(
        f"{cache.disk_used() / 2**20:.0f} MiB in {cache.folder}, at most "
        f"{cache.disk_limit / 2**20:.0f} MiB."
    )


def evaluate(options: Namespace) -> None:
    from lora_lab.adapt import disabled
    from lora_lab.prediction import evaluate
    from lora_lab.runs import DataConfig, load_trained, read_run

    run = read_run(options.folder)
    loaded = load_trained(options.folder)
    data = (DataConfig(**data_options(options)) if options.data else run.config.data).load()
    if options.split not in data:
        raise ValueError(f"There is no split {options.split!r}; there are {', '.join(data)}.")
    length = run.config.train.max_length
    scores = {}
    if options.before:
        if run.config.keeps_whole_model:
            raise ValueError(
                "--before switches the adapter off, and this run has none: it is kept as a whole "
                "model, after full fine-tuning or a start from random weights."
            )
        with disabled(loaded.model):
            scores["before"] = evaluate(*loaded, data[options.split], max_length=length)
    scores["after"] = evaluate(*loaded, data[options.split], max_length=length)
    if options.json:
        print(json.dumps({name: score.as_dict() for name, score in scores.items()}))
        return
    for name, score in scores.items():
        title = "Adapter off, head as trained:" if name == "before" else "After training:"
        print(f"{title}\n{score}\n")


def predict(options: Namespace) -> None:
    from lora_lab.cli.files import predict_file, trained
    from lora_lab.prediction import predict_probabilities

    if options.file:
        predict_file(options)
        return
    texts = options.text or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise ValueError("No text given. Put sentences in quotes, or one a line on standard input.")
    loaded, max_length = trained(options.folder)
    names = [loaded.model.config.id2label[i] for i in range(loaded.model.config.num_labels)]
    answers = predict_probabilities(*loaded, texts, max_length=max_length)
    for text, row in zip(texts, answers, strict=True):
        best = int(row.argmax())
        if options.json:
            p = {name: round(float(value), 6) for name, value in zip(names, row, strict=True)}
            print(json.dumps({"text": text, "label": names[best], "probabilities": p}))
        else:
            print(f"{names[best]:10} {row[best]:.3f}  {text}")


def watch(options: Namespace) -> None:
    from lora_lab.cli.files import watch

    watch(options)


def count(options: Namespace) -> None:
    from lora_lab.budget.architectures import ARCHITECTURES
    from lora_lab.budget.counting import count

    if options.list:
        names = list(ARCHITECTURES)
        print(json.dumps(names) if options.json else "\n".join(names))
        return
    model: Any = options.model
    if (file := Path(model) / "config.json").is_file():
        model = json.loads(file.read_text(encoding="utf-8"))
    counted = count(model, lora_config(options))
    print(json.dumps(counted.as_dict()) if options.json else counted.table())


def check(options: Namespace) -> int:
    from lora_lab.derivations.mistakes import MISTAKES
    from lora_lab.derivations.referees import check_all

    if options.mistake == "list":
        for mistake in MISTAKES:
            print(f"{mistake.name:28} {mistake.explanation}")
        return 0
    report = check_all(mistake=options.mistake)
    print(json.dumps(report.as_dict()) if options.json else report.table())
    return 0 if report.ok else 1


def demo(options: Namespace) -> None:
    from lora_lab.cli.demo import TITLES, run_demo

    methods = tuple(name.strip() for name in options.methods.split(","))
    if unknown := [name for name in methods if name not in TITLES]:
        raise ValueError(f"No method {', '.join(unknown)}; there are {', '.join(TITLES)}.")
    config = run_config(options)
    run_demo(options.folder, replace(config, method="lora"), methods)
