"""The commands of ``lora-lab``: each one a thin reader of the library.

torch and transformers take seconds to import, so every command imports what it needs itself:
help and mistakes in the words are answered at once.
"""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any


def doctor(options: Namespace) -> int:
    from lora_lab.doctor import examine, report

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
        config = _run_config(options)
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


def sweep(options: Namespace) -> None:
    from tqdm.auto import tqdm

    from lora_lab.presets import ALSO_STORED
    from lora_lab.runs import Run, new_run_folder
    from lora_lab.stored_grid import write_grid
    from lora_lab.sweeps import run_sweep

    configs = _sweep_configs(options)
    folder = options.folder or new_run_folder(Path("runs"))
    with tqdm(total=len(configs), unit="run") as bar:

        def finished(name: str, run: Run) -> None:
            bar.set_postfix_str(f"{name}: test accuracy {run.test.accuracy:.3f}")
            bar.update()

        runs = run_sweep(configs, folder, at_once=options.at_once, finished=finished)
    if options.export:
        command = shlex.join(["lora-lab", *options.words])
        write_grid(list(runs.values()), options.export, command)
        if also := ALSO_STORED.get(options.preset):
            also(list(runs.values()), options.export)
    if options.json:
        print(json.dumps({name: {"folder": str(r.folder), **r.result} for name, r in runs.items()}))
        return
    print(f"\n{'run':28}{'test accuracy':>14}{'95% interval':>18}{'trainable':>12}{'seconds':>9}")
    for name, run in runs.items():
        interval = f"{run.test.interval.low:.3f} to {run.test.interval.high:.3f}"
        print(
            f"{name:28}{run.test.accuracy:14.3f}{interval:>18}"
            f"{run.result['trainable']:12,}{run.result['seconds']:9.0f}"
        )
    print(f"\nRuns: {folder}")
    if options.export:
        print(f"Stored as a grid in {options.export}")


def rescore(options: Namespace) -> None:
    from lora_lab.rescoring import Rescorer, halvings
    from lora_lab.runs import load_trained, read_run, shared_cache

    run = read_run(options.folder)
    if run.config.method != "lora":
        raise ValueError(f"{options.folder} is a {run.config.method} run; only LoRA has a rank.")
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
    ranks = _whole_numbers("--ranks", options.ranks) if options.ranks else halvings(trained)
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
    data = (DataConfig(**_data_options(options)) if options.data else run.config.data).load()
    if options.split not in data:
        raise ValueError(f"There is no split {options.split!r}; there are {', '.join(data)}.")
    length = run.config.train.max_length
    scores = {}
    if options.before:
        if run.config.method == "full":
            raise ValueError(
                "--before switches the adapter off, and full fine-tuning has none: its base "
                "weights themselves have changed."
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
    from lora_lab.adapter_files import CONFIG_FILE, load_adapted_model
    from lora_lab.prediction import predict_probabilities
    from lora_lab.runs import load_trained

    texts = options.text or [line.rstrip("\n") for line in sys.stdin if line.strip()]
    if not texts:
        raise ValueError("No text given. Put sentences in quotes, or one a line on standard input.")
    is_adapter = (options.folder / CONFIG_FILE).exists()
    loaded = load_adapted_model(options.folder) if is_adapter else load_trained(options.folder)
    names = [loaded.model.config.id2label[i] for i in range(loaded.model.config.num_labels)]
    for text, row in zip(texts, predict_probabilities(*loaded, texts), strict=True):
        best = int(row.argmax())
        if options.json:
            p = {name: round(float(value), 6) for name, value in zip(names, row, strict=True)}
            print(json.dumps({"text": text, "label": names[best], "probabilities": p}))
        else:
            print(f"{names[best]:10} {row[best]:.3f}  {text}")


def count(options: Namespace) -> None:
    from lora_lab.architectures import ARCHITECTURES
    from lora_lab.counting import count

    if options.list:
        names = list(ARCHITECTURES)
        print(json.dumps(names) if options.json else "\n".join(names))
        return
    model: Any = options.model
    if (file := Path(model) / "config.json").is_file():
        model = json.loads(file.read_text(encoding="utf-8"))
    counted = count(model, _lora_config(options))
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
    from lora_lab.demo import TITLES, run_demo

    methods = tuple(name.strip() for name in options.methods.split(","))
    if unknown := [name for name in methods if name not in TITLES]:
        raise ValueError(f"No method {', '.join(unknown)}; there are {', '.join(TITLES)}.")
    config = _run_config(options)
    run_demo(options.folder, replace(config, method="lora"), methods)


def _sweep_configs(options: Namespace) -> Any:
    from lora_lab.presets import preset
    from lora_lab.runs import RunConfig
    from lora_lab.sweeps import grid

    base = _run_config(options)
    chosen = dict(
        ranks=_whole_numbers("--ranks", options.ranks),
        layers=options.layer_choices.split(),
        seeds=_whole_numbers("--seeds", options.seeds),
    )
    if not options.preset:
        return grid(base, **chosen)
    if base != RunConfig() or any(chosen.values()):
        raise ValueError(
            "--preset decides every setting. Give it alone, or leave it out and give the others."
        )
    return preset(options.preset)


def _run_config(options: Namespace) -> Any:
    from lora_lab.adapt import TwoSidedConfig
    from lora_lab.runs import LEARNING_RATES, DataConfig, RunConfig
    from lora_lab.training import TrainConfig

    method = getattr(options, "method", "lora")
    rate = options.learning_rate
    return RunConfig(
        method=method,
        model=getattr(options, "model", "minilm"),
        data=DataConfig(**_data_options(options)),
        lora=_lora_config(options),
        two_sided=TwoSidedConfig(
            form=getattr(options, "form", "low-rank"),
            rank=options.rank,
            target_modules=options.targets,
            layers=options.layers,
        ),
        train=TrainConfig(
            epochs=options.epochs,
            learning_rate=LEARNING_RATES[method] if rate is None else rate,
            batch_size=options.batch_size,
            weight_decay=options.weight_decay,
            warmup=options.warmup,
            max_length=options.max_length,
            patience=options.patience,
            seed=options.seed,
            prefix=options.prefix,
            precision=options.precision,
        ),
    )


def _lora_config(options: Namespace) -> Any:
    from lora_lab.adapt import LoraConfig

    return LoraConfig(
        rank=options.rank,
        alpha=2.0 * options.rank if options.alpha is None else options.alpha,
        target_modules=options.targets,
        layers=options.layers,
        scaling=options.scaling,
        dropout=options.dropout,
    )


def _data_options(options: Namespace) -> dict[str, Any]:
    return dict(
        name=options.data,
        classes=options.classes,
        train_size=options.train_size,
        text_column=options.text_column,
        label_column=options.label_column,
    )


def _whole_numbers(flag: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"{flag} is {text!r}; write whole numbers such as 1,2,4.") from None
