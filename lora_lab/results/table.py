"""Many runs as one tidy table: a row per run, and a row per setting over its seeds."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from lora_lab.results.comparing import interval_over_seeds
from lora_lab.runs import Run, RunConfig
from lora_lab.runs.answers import read_answers

#: Columns of a table of runs and their types. What a method does not have (the rank of a head) is
#: empty; ``setting`` is one for runs that differ only in the seed; ``sentences`` is one for runs
#: scored on the same test sentences; ``right`` says, packed, which of them were got right;
#: ``frozen`` is an adapter that was drawn and did not learn; ``flipped`` the share of wrong labels.
COLUMNS = {
    "id": "str",
    "setting": "str",
    "method": "str",
    "model": "str",
    "pretrained": "bool",
    "rank": "Int64",
    "alpha": "float64",
    "scale": "float64",
    "scaling": "str",
    "dropout": "float64",
    "frozen": "bool",
    "layers": "str",
    "targets": "str",
    "rate": "float64",
    "decay": "float64",
    "epochs": "int64",
    "keep": "str",
    "data": "str",
    "train": "int64",
    "noise": "str",
    "flipped": "float64",
    "seed": "int64",
    "trainable": "int64",
    "seconds": "float64",
    "memory": "Int64",
    "validation": "float64",
    "test": "float64",
    "low": "float64",
    "high": "float64",
    "examples": "int64",
    "sentences": "str",
    "right": "str",
}
#: Columns of a table of epochs: the learning curves of the runs in ``id``.
EPOCH_COLUMNS = {
    "id": "str",
    "epoch": "int64",
    "step": "int64",
    "training_loss": "float64",
    "validation_loss": "float64",
    "validation_accuracy": "float64",
}
#: Columns of a table of scores on the test sentences of other data, several for each run.
ELSEWHERE_COLUMNS = {
    "id": "str",
    "data": "str",
    "test": "float64",
    "low": "float64",
    "high": "float64",
    "examples": "int64",
    "sentences": "str",
    "right": "str",
}
#: What may differ between the runs of one setting.
_OF_A_RUN = ("id", "seed", "seconds", "memory", "validation", "test", "low", "high", "right")


def runs_table(runs: Iterable[Run]) -> pd.DataFrame:
    """One row per finished run that has a test result; others are left out."""
    return as_table([_row(run) for run in runs if run.state == "finished" and run.test], COLUMNS)


def epochs_table(runs: Iterable[Run]) -> pd.DataFrame:
    """One row per epoch of each finished run."""
    rows = [
        {"id": run.id} | {name: epoch[name] for name in EPOCH_COLUMNS if name != "id"}
        for run in runs
        if run.result
        for epoch in run.result["history"]
    ]
    return as_table(rows, EPOCH_COLUMNS)


def elsewhere_table(runs: Iterable[Run]) -> pd.DataFrame:
    """One row for each finished run and each other data set that it was scored on."""
    rows = []
    for run in runs:
        for name, stored in ((run.result or {}).get("elsewhere") or {}).items():
            answers = read_answers(run.folder / "elsewhere" / name)
            rows.append(
                dict(
                    id=run.id,
                    data=name,
                    test=stored["accuracy"],
                    low=stored["interval"]["low"],
                    high=stored["interval"]["high"],
                    examples=stored["examples"],
                    sentences=stored["test_fingerprint"],
                    right=pack(answers.right) if answers else "",
                )
            )
    return as_table(rows, ELSEWHERE_COLUMNS)


def as_table(rows: list[dict[str, Any]] | pd.DataFrame, columns: dict[str, str]) -> pd.DataFrame:
    """Rows with exactly these columns and types; an empty text is "", not missing.

    Raises:
        ValueError, KeyError, TypeError: a column is missing, or a value is of another type.
    """
    names = list(columns)
    frame = (
        pd.DataFrame(columns=names) if isinstance(rows, list) and not rows else pd.DataFrame(rows)
    )
    frame = frame[names]
    empty = {name: "" for name, kind in columns.items() if kind == "str"}
    return frame.fillna(empty).astype(columns)


def settings_of(config: RunConfig) -> dict[str, Any]:
    """What a run is asked to be, as the columns of ``COLUMNS`` that do not need its result."""
    adapter = {"lora": config.lora, "two-sided": config.two_sided}.get(config.method)
    return dict(
        method=config.method,
        model=config.model,
        pretrained=config.pretrained,
        rank=adapter.rank if adapter else None,
        alpha=config.lora.alpha if config.method == "lora" else None,
        scale=config.lora.scale if config.method == "lora" else None,
        scaling=config.lora.scaling if config.method == "lora" else "",
        dropout=config.lora.dropout if config.method == "lora" else None,
        frozen=config.method == "lora" and not config.lora.train_update,
        layers=words(adapter.layers) if adapter else "",
        targets=words(adapter.target_modules) if adapter else "",
        rate=config.train.learning_rate,
        decay=config.train.weight_decay,
        epochs=config.train.epochs,
        keep=config.train.keep,
        data=config.data.name,
        noise=config.data.noise,
        flipped=config.data.noise_share,
        seed=config.train.seed,
    )


def settings_table(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per setting, from a table of runs: seeds taken together.

    ``id`` is the setting's; ``test`` and ``validation`` are means; ``low`` and ``high`` are
    ``interval_over_seeds``; ``seconds`` is the median and ``memory`` the largest; ``seeds`` counts
    and ``members`` lists the runs. A seed that was run twice counts once, with its latest run:
    the same number again tells nothing new about other seeds.
    """
    latest = runs.sort_values("id", kind="stable").drop_duplicates(["setting", "seed"], keep="last")
    rows = [_setting_row(group) for _, group in latest.groupby("setting", sort=False)]
    columns = {name: kind for name, kind in COLUMNS.items() if name not in ("seed", "right")}
    frame = as_table(rows, columns | {"seeds": "int64", "members": "object"})
    order = {setting: place for place, setting in enumerate(runs["setting"].unique())}
    return frame.sort_values("id", key=lambda ids: ids.map(order)).reset_index(drop=True)


def right_answers(runs: pd.DataFrame) -> np.ndarray | None:
    """(K, N) booleans, a row per run of the table; None where one has not stored its answers."""
    if not len(runs) or not (runs["right"] != "").all():
        return None
    return np.array([unpack(row.right, row.examples) for row in runs.itertuples()])


def pareto_front(cost: pd.Series, accuracy: pd.Series) -> pd.Series:
    """Which rows no other row beats: none is at least as cheap and as good, and better in one.

    Rows with a missing cost are not on the front.
    """
    better = (cost.to_numpy(float)[:, None], accuracy.to_numpy(float)[:, None])
    cheap, good = better[0] <= better[0].T, better[1] >= better[1].T
    strictly = (better[0] < better[0].T) | (better[1] > better[1].T)
    beaten = (cheap & good & strictly).any(axis=0)
    return pd.Series(~beaten & cost.notna().to_numpy(), cost.index)


def pack(right: np.ndarray) -> str:
    """Booleans (N,) as text, eight in a byte, in base64."""
    return base64.b64encode(np.packbits(right).tobytes()).decode()


def unpack(text: str, examples: int) -> np.ndarray:
    """The inverse of ``pack``.

    Raises:
        ValueError: the text holds another number of answers.
    """
    bits = np.unpackbits(np.frombuffer(base64.b64decode(text, validate=True), np.uint8))
    if not 0 <= len(bits) - examples < 8:
        raise ValueError(f"{len(bits)} stored answers do not fit {examples} test sentences.")
    return bits[:examples].astype(bool)


def _row(run: Run) -> dict[str, Any]:
    result, test = run.result, run.test
    answers = read_answers(run.folder)
    fits = answers is not None and int(answers.right.sum()) == test.correct
    return settings_of(run.config) | dict(
        id=run.id,
        setting=_setting(run.config, result),
        train=result["train_examples"],
        trainable=result["trainable"],
        seconds=result["seconds"],
        memory=result["peak_memory"],
        validation=result["validation"]["accuracy"],
        test=test.accuracy,
        low=test.interval.low,
        high=test.interval.high,
        examples=test.examples,
        sentences=result.get("test_fingerprint") or "",
        right=pack(answers.right) if fits else "",
    )


def _setting(config: RunConfig, result: dict[str, Any]) -> str:
    """Ten hex digits that are the same for runs which differ only in the seeds.

    Another seed may draw other training examples; what is held out tells the data apart.
    """
    values = config.as_dict()
    del values["train"]["seed"], values["train"]["checkpoint_every"], values["data"]["seed"]
    data = result.get("held_out_fingerprint", result["data_fingerprint"])
    for part, method in (("lora", "lora"), ("two_sided", "two-sided")):
        if config.method != method:
            del values[part]  # it decides nothing
    text = json.dumps([values, data], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=5).hexdigest()


def _setting_row(group: pd.DataFrame) -> dict[str, Any]:
    bounds = interval_over_seeds(group["test"].tolist(), int(group["examples"].iloc[0]))
    first = group.iloc[0].drop([*_OF_A_RUN, "setting"]).to_dict()
    return first | dict(
        id=group["setting"].iloc[0],
        setting=group["setting"].iloc[0],
        seconds=group["seconds"].median(),
        memory=group["memory"].max(),
        validation=group["validation"].mean(),
        test=group["test"].mean(),
        low=bounds.low,
        high=bounds.high,
        seeds=len(group),
        members=tuple(group["id"]),
    )


def words(value: str | tuple) -> str:
    """A choice of layers or matrices as words: "top:2", "0 3 5", "q v"."""
    return value.replace(",", " ") if isinstance(value, str) else " ".join(map(str, value))
