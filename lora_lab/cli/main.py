"""The command line ``lora-lab COMMAND``: its words. ``commands`` says what they do."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from lora_lab.choices import (
    ALL_LINEAR,
    Keep,
    LabelNoise,
    Method,
    Precision,
    PrefixChoice,
    PresetSize,
    Scaling,
    TwoSidedForm,
)
from lora_lab.cli import commands, sweep


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status.

    0 is success, 1 a check that failed, 2 a request that could not be carried out.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    options = build_parser().parse_args(words)
    options.words = words
    try:
        status = options.run(options) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # whoever reads the output, such as ``head``, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("Stopped. Go on with the same command and --resume.", file=sys.stderr)
        return 130
    except (ValueError, RuntimeError, OSError, ModuleNotFoundError) as error:
        # Every error raised on purpose is one of these and says what to do.
        print(f"lora-lab: {error}", file=sys.stderr)
        return 2


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lora-lab", description="Learn LoRA by running it.")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable, help: str, *groups: Callable) -> argparse.ArgumentParser:
        sub = subparsers.add_parser(name, help=help, description=help)
        sub.set_defaults(run=run)
        for group in groups:
            group(sub)
        return sub

    command("doctor", commands.doctor, "Say what is missing and how to get it.", _json_flag)

    fetch = command("fetch", commands.fetch, "Fetch the embedded data once.")
    fetch.add_argument("--archive", type=Path, help="a local copy of vaderSentiment-0.5.zip")
    fetch.add_argument("--force", action="store_true", help="fetch again")

    train = command(
        "train", commands.train, "Train one method on one data set.",
        _training_data_flags, _method_flags, _lora_flags, _train_flags, _json_flag,
    )  # fmt: skip
    train.add_argument("--folder", type=Path, help="run folder (default: a new one under runs/)")
    train.add_argument("--config", type=Path, help="all settings from a JSON file instead")
    train.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    train.add_argument("--tensorboard", action="store_true", help="also write TensorBoard events")

    command(
        "sweep", sweep.sweep, "Many runs: every combination, a named grid, or a search.",
        _training_data_flags, _method_flags, _lora_flags, _train_flags, _sweep_flags, _json_flag,
    )  # fmt: skip

    rescore = command(
        "rescore",
        commands.rescore,
        "Score a LoRA run at smaller ranks or another alpha, untrained.",
        _json_flag,
    )
    rescore.add_argument("folder", type=Path, help="folder of a finished LoRA run")
    rescore.add_argument("--ranks", help="such as 0,1,2,4 (default: 0, 1, 2, 4 ... to its rank)")
    rescore.add_argument("--alpha", type=float, help="in the place of the trained one")
    rescore.add_argument("--split", default="validation", help="default: validation")

    advise = command(
        "advise", commands.advise, "Suggest settings from measured grids, for a budget.", _json_flag
    )  # fmt: skip
    _model_flag(advise)
    advise.add_argument("--data", default="movie-reviews", help="as for train")
    advise.add_argument(
        "--train-size", type=int, required=True, help="labelled sentences to learn from"
    )
    advise.add_argument(
        "--minutes", type=float, required=True, help="for the training of one run here"
    )
    advise.add_argument("--parameters", type=int, help="most trainable parameters (default: any)")
    advise.add_argument(
        "--grid",
        type=Path,
        help="a grid of your own (sweep --export) instead of those that ship",
    )

    stored = command(
        "cache", commands.cache, "Where frozen layers' activations are kept, and how many."
    )
    stored.add_argument("--clear", action="store_true", help="delete them")

    evaluate = command(
        "evaluate",
        commands.evaluate,
        "Score a finished run on any data, before and after training.",
        _data_flags,
        _json_flag,
    )
    evaluate.set_defaults(data=None)  # the run's own data, unless another is named
    evaluate.add_argument("folder", type=Path, help="folder of a finished run")
    evaluate.add_argument("--split", default="test", help="default: test")
    evaluate.add_argument(
        "--before", action="store_true", help="also with the adapter switched off, same head"
    )

    predict = command(
        "predict", commands.predict, "Classify sentences with a trained run.", _json_flag
    )
    predict.add_argument("folder", type=Path, help="folder of a finished run, or of an adapter")
    predict.add_argument("text", nargs="*", help="sentences; without any, lines of standard input")
    _file_flags(predict, required=False)
    predict.add_argument(
        "--output", type=Path, help="(default: NAME.predicted.KIND beside the file)"
    )
    predict.add_argument("--force", action="store_true", help="replace an output that exists")
    predict.add_argument(
        "--resume", action="store_true", help="go on with the answers of an interrupted command"
    )

    watch = command(
        "watch", commands.watch, "Raise an alarm when a file's days grow negative.", _json_flag
    )
    watch.add_argument("folder", type=Path, help="folder of a finished run, or of an adapter")
    _file_flags(watch, required=True)
    watch.add_argument("--date-column", default="date", help="dates such as 2024-02-29")
    watch.add_argument("--negative", default="negative", help="the class to count")
    watch.add_argument(
        "--reference-days", type=int, default=30, help="first days, taken for normal (default: 30)"
    )
    watch.add_argument(
        "--one-in", type=float, default=100.0, help="days to a false alarm (default: 100)"
    )

    count = command(
        "count", commands.count, "Count parameters and memory exactly.", _lora_flags, _json_flag
    )
    count.add_argument(
        "--model", default="minilm", help="built-in name or a folder with config.json"
    )
    count.add_argument("--list", action="store_true", help="list the built-in architectures")

    check = command(
        "check", commands.check, "Check every derivation with three referees.", _json_flag
    )
    check.add_argument(
        "--mistake", metavar="NAME", help="switch a seeded mistake on ('list' shows)"
    )

    demo = command(
        "demo", commands.demo, "The main job: baselines, head only and LoRA on film reviews.",
        _data_flags, _lora_flags, _train_flags,
    )  # fmt: skip
    demo.add_argument("--folder", type=Path, default=Path("runs/demo"))
    demo.add_argument("--methods", default="head,lora", help="of lora, two-sided, head, full")
    return parser


def _json_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _file_flags(parser: argparse.ArgumentParser, *, required: bool) -> None:
    group = parser.add_argument_group("file")
    group.add_argument(
        "--file",
        type=Path,
        required=required,
        help="CSV, TSV, JSONL or Parquet, or .txt with one text on each line",
    )
    group.add_argument("--text-column", default="text")
    group.add_argument("--encoding", default="utf-8", help="of CSV, TSV, JSONL and text files")


def _data_flags(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data", default="movie-reviews", help="embedded name, file, folder or hub name"
    )
    group.add_argument("--classes", type=int, help="2 or 3 for embedded data (default 2)")
    group.add_argument("--train-size", type=int, help="use only so many training examples")
    group.add_argument("--text-column", default="text")
    group.add_argument("--label-column", default="label")
    return group


def _training_data_flags(parser: argparse.ArgumentParser) -> None:
    group = _data_flags(parser)
    group.add_argument(
        "--noise", choices=get_args(LabelNoise), default="none", help="spoil training labels"
    )
    group.add_argument("--noise-share", type=float, default=0.0, help="of labels to flip, 0 to 1")
    group.add_argument(
        "--data-seed", type=int, default=0, help="draws the --train-size examples and the noise"
    )
    group.add_argument(
        "--also-test", default="", help="embedded data to score as well, such as tweets,news"
    )


def _method_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", choices=get_args(Method), default="lora")
    _model_flag(parser)
    parser.add_argument("--form", choices=get_args(TwoSidedForm), default="low-rank")
    parser.add_argument(
        "--from-scratch", action="store_true", help="draw the model's weights at random"
    )


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


def _sweep_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what varies", "Every combination is run.")
    group.add_argument("--ranks", default="", help="such as 1,2,4,8; alpha follows")
    group.add_argument("--alphas", default="", help="such as 8,16, in the place of following")
    group.add_argument("--scales", default="", help="such as 0.5,2: alpha/r; or a range 0.5..8")
    group.add_argument("--scalings", default="", help="'alpha/r alpha/sqrt(r)'")
    group.add_argument("--layer-choices", default="", help="such as 'top:1 top:2 all'")
    group.add_argument("--target-choices", default="", help="such as 'q,v all-linear'")
    group.add_argument("--dropouts", default="", help="such as 0,0.1")
    group.add_argument("--rates", default="", help="such as 3e-4,1e-3; or a range 1e-4..1e-2")
    group.add_argument("--train-sizes", default="", help="such as 16,256,all")
    group.add_argument("--methods", default="", help="such as lora,full,head, each at its own rate")
    group.add_argument("--seeds", default="", help="such as 0,1,2; intervals need at least three")
    group = parser.add_argument_group("instead of every combination")
    group.add_argument("--preset", help="a grid with a name, such as classroom, without settings")
    group.add_argument("--size", choices=get_args(PresetSize), help="of a preset (default: full)")
    group.add_argument(
        "--search", choices=("bayes", "random"), help="propose settings; ranges are for it"
    )
    group.add_argument("--trials", type=int, help="settings that a search tries (default: 20)")
    group.add_argument(
        "--storage", default="", metavar="URL",
        help="a search's database, for many machines (default: study.db in its folder)",
    )  # fmt: skip
    group = parser.add_argument_group("how it runs")
    group.add_argument(
        "--folder", type=Path, help="the same folder again goes on (default: a new one in runs/)"
    )
    group.add_argument("--at-once", type=int, help="runs at a time (default: what suits the cores)")
    group.add_argument(
        "--export", type=Path, metavar="FOLDER",
        help="also write runs.csv, epochs.csv, elsewhere.csv and origin.json there",
    )  # fmt: skip


def _train_flags(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    group.add_argument("--epochs", type=int, default=3)
    group.add_argument("--learning-rate", type=float, help="default: what suits the method")
    group.add_argument("--batch-size", type=int, default=32)
    group.add_argument("--weight-decay", type=float, default=0.01)
    group.add_argument("--warmup", type=float, default=0.1)
    group.add_argument("--max-length", type=int, default=128)
    group.add_argument("--patience", type=int)
    group.add_argument("--validate-every", type=int, default=1, help="epochs (default: 1)")
    group.add_argument(
        "--keep",
        choices=get_args(Keep),
        default="best",
        help="which epoch's weights (default: best)",
    )
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


if __name__ == "__main__":
    sys.exit(main())
