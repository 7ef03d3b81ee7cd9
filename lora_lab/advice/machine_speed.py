"""What a run would take here, by seconds that another machine measured.

A rate is seconds per sentence, counted as ``pace.sentences`` does. Rates belong to a kind of work:
method, model, layers, matrices and data; rank, alpha and learning rate hardly change the time. How
fast this machine is against the other is one number, told by runs that it has finished itself or by
a short trial.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import pandas as pd
from datasets import DatasetDict

from lora_lab import processes
from lora_lab.adapt import LoraConfig
from lora_lab.advice.pace import JUDGES, is_long_enough, sentences, sentences_of, validated
from lora_lab.results.stored_grid import StoredGrid
from lora_lab.results.table import words
from lora_lab.runs import DataConfig, Run, RunConfig, prepare_model, read_run
from lora_lab.training import TrainConfig, train

WORK = ["method", "model", "layers", "targets", "data"]
TRIAL = 128  # sentences for each of a trial's two epochs: a few seconds on two cores


@dataclass(frozen=True)
class Speed:
    """Seconds here for each second of the grids.

    Attributes:
        basis: "runs": finished runs of this machine; "trial": a short training here; "elsewhere":
            nothing is known about this machine, so the grids' seconds are taken as they are.
        runs: how many finished runs.
    """

    ratio: float = 1.0
    basis: Literal["runs", "trial", "elsewhere"] = "elsewhere"
    runs: int = 0


def speed_here(grids: Mapping[str, StoredGrid], runs: Path, data: str) -> Speed:
    """From the folder's finished runs, else from a trial, else unknown: where data or model are not
    there, a trial is not to be had."""
    known = rates(grids)
    speed = speed_of(known, finished_here(runs))
    if speed.basis == "elsewhere":
        try:
            speed = try_out(known, data)
        except (ValueError, RuntimeError, OSError, ModuleNotFoundError):
            pass
    return speed


def finished_here(runs: Path) -> Iterator[Run]:
    """Finished runs that this machine trained, newest first."""
    for folder in sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []:
        try:
            status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
            if status["state"] == "finished" and processes.is_here(status):
                yield read_run(folder)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no run, or none that can be read


def rates(grids: Mapping[str, StoredGrid]) -> pd.DataFrame:
    """Seconds per sentence of each kind of work: the index is ``WORK``.

    ``usual`` is the median of a grid's runs. ``first`` is its slowest run: the first with certain
    layers also computes what the frozen ones below give, which the others read. Of several grids
    the quickest counts, since other work on a machine only ever slows.
    """
    found = [_rates(grid).groupby(WORK)["rate"].agg(usual="median", first="max")
             for grid in grids.values()]  # fmt: skip
    return pd.concat(found).groupby(level=WORK).min()


def speed_of(known: pd.DataFrame, finished: Iterable[Run]) -> Speed:
    """From this machine's finished runs, newest first, that are long and whose work has a rate.

    Args:
        known: ``rates``.
    """
    ratios, usual = [], TrainConfig()
    for run in finished:
        settings = run.config.train
        if (settings.precision, settings.prefix) != (usual.precision, usual.prefix):
            continue
        if is_long_enough(run) and (work := _work(run.config)) in known.index:
            rate = run.result["seconds"] / sentences_of(run)
            ratios.append(rate / known.loc[work, "usual"])
        if len(ratios) == JUDGES:
            break
    return Speed(median(ratios), "runs", len(ratios)) if ratios else Speed()


def try_out(known: pd.DataFrame, data: str) -> Speed:
    """Train LoRA in all layers for a few seconds, and time the second epoch, when all is warm.

    Raises:
        DataError, ModelError and others: see ``runs.execute``.
    """
    works = [dict(zip(WORK, work, strict=True)) for work in known.index]
    works = [w for w in works if (w["method"], w["layers"], w["data"]) == ("lora", "all", data)]
    if not works:
        return Speed()
    config = RunConfig(
        model=works[0]["model"],
        data=DataConfig(data),
        lora=LoraConfig(target_modules=works[0]["targets"].replace(" ", ",")),
        train=TrainConfig(epochs=2),
    )
    full = config.data.load()
    sizes = {"train": TRIAL, "validation": TRIAL // 4}
    splits = DatasetDict({s: full[s].shuffle(seed=0).select(range(min(n, len(full[s]))))
                          for s, n in sizes.items()})  # fmt: skip
    model, tokenizer = prepare_model(config, splits)
    first, second = train(model, tokenizer, splits, config.train).history
    read = sentences(len(splits["train"]), len(splits["validation"]), 1, 1)
    rate = (second["seconds"] - first["seconds"]) / read
    return Speed(rate / known.loc[tuple(works[0].values()), "usual"], "trial")


def _work(config: RunConfig) -> tuple[str, ...]:
    adapter = {"lora": config.lora, "two-sided": config.two_sided}.get(config.method)
    where = (words(adapter.layers), words(adapter.target_modules)) if adapter else ("", "")
    return config.method, config.model, *where, config.data.name


def _rates(grid: StoredGrid) -> pd.DataFrame:
    runs = grid.runs
    validations = runs["id"].map(grid.epochs["id"].value_counts())
    read = sentences(runs["train"], validated(runs), runs["epochs"], validations)
    return runs.assign(rate=runs["seconds"] / read)
