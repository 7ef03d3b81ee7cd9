"""A sweep's results as a few small files that can be shipped, with what produced them.

runs.csv       a row per run, see ``results.table.COLUMNS``
epochs.csv     a row per epoch of each run: the learning curves
elsewhere.csv  a row per run and other data that it was scored on
origin.json    command, date, seeds, data, versions and machine
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from lora_lab.checkpoints import write_atomically
from lora_lab.results.table import (
    COLUMNS,
    ELSEWHERE_COLUMNS,
    EPOCH_COLUMNS,
    as_table,
    elsewhere_table,
    epochs_table,
    right_answers,
    runs_table,
)
from lora_lab.runs import Run

TABLES = {
    "runs": COLUMNS,
    "epochs": EPOCH_COLUMNS,
    "elsewhere": ELSEWHERE_COLUMNS,
}
FILES = (*(f"{name}.csv" for name in TABLES), "origin.json")
FACTS = ("command", "date", "runs", "seeds", "seconds", "data", "made_with")


class GridError(ValueError):
    """A stored grid that cannot be written or read."""


@dataclass(frozen=True)
class StoredGrid:
    """Tables of runs, of epochs, of scores elsewhere, and ``origin``: everything in ``FACTS``."""

    runs: pd.DataFrame
    epochs: pd.DataFrame
    elsewhere: pd.DataFrame
    origin: dict[str, Any]


def write_grid(runs: Sequence[Run], folder: Path, command: str) -> StoredGrid:
    """Store ``grid_of`` these runs.

    Raises:
        GridError: see ``grid_of``.
        StorageError: a file could not be written.
    """
    grid = grid_of(runs, command)
    for name in TABLES:
        content = getattr(grid, name).to_csv(index=False, lineterminator="\n")
        write_atomically(folder / f"{name}.csv", content.encode())
    origin = json.dumps(grid.origin, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / "origin.json", origin.encode())
    return grid


def grid_of(runs: Sequence[Run], command: str) -> StoredGrid:
    """Finished runs, with what they answered.

    Args:
        command: what computes these runs anew, as one would type it.

    Raises:
        GridError: no run, or one without a test result.
    """
    table = runs_table(runs)
    if len(table) < max(1, len(runs)):
        raise GridError(f"{len(runs) - len(table)} of {len(runs)} runs have no test result.")
    return StoredGrid(
        table, epochs_table(runs), elsewhere_table(runs), _origin(runs, table, command)
    )


def read_grid(folder: Path) -> StoredGrid:
    """A stored grid, checked: every run has its curves, answers and origin.

    Raises:
        GridError: no grid there, or it is damaged.
    """
    try:
        *tables, origin = ((folder / name).read_text(encoding="utf-8") for name in FILES)
        grid = StoredGrid(*map(_table, tables, TABLES.values()), json.loads(origin))
        # Runs that learnt from different data are tested on different sentences.
        answers = [right_answers(runs) for _, runs in grid.runs.groupby("sentences")]
    except FileNotFoundError:
        raise GridError(f"There is no stored grid in {folder}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GridError(f"The stored grid in {folder} cannot be read: {error}") from error
    if missing := [fact for fact in FACTS if fact not in grid.origin]:
        raise GridError(f"origin.json in {folder} does not tell: {', '.join(missing)}.")
    complete = bool(answers) and all(right is not None for right in answers)
    if not complete or set(grid.epochs["id"]) != set(grid.runs["id"]):
        raise GridError(f"Answers or learning curves are missing in {folder}.")
    return grid


def _table(text: str, columns: dict[str, str]) -> pd.DataFrame:
    texts = {name: kind for name, kind in columns.items() if kind == "str"}
    return as_table(pd.read_csv(StringIO(text), dtype=texts), columns)


def _origin(runs: Sequence[Run], table: pd.DataFrame, command: str) -> dict[str, Any]:
    made_with: dict[str, list] = {}
    for run in runs:
        for name, value in run.made_with.items():
            if value not in made_with.setdefault(name, []):
                made_with[name].append(value)
    facts = (
        command,
        date.today().isoformat(),
        len(table),
        sorted(int(seed) for seed in table["seed"].unique()),
        round(float(table["seconds"].sum()), 1),
        {
            "names": sorted(table["data"].unique()),
            "train": sorted(int(size) for size in table["train"].unique()),
            "fingerprints": sorted({run.result["data_fingerprint"] for run in runs}),
            "test": _one_or_all(int(size) for size in table["examples"]),
            "test_fingerprint": _one_or_all(table["sentences"]),
        },
        {name: _one_or_all(found) for name, found in made_with.items()},
    )
    return dict(zip(FACTS, facts, strict=True))


def _one_or_all(values: Iterable[Any]) -> Any:
    """What all agree on, or each different value once."""
    different = list(dict.fromkeys(values))
    return different[0] if len(different) == 1 else different
