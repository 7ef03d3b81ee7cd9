"""What came out of a sweep, as tables in its folder.

results.csv, results.parquet       a row per setting over its seeds: means and intervals
every_run.csv, every_run.parquet   a row per run, with its state and, if it failed, the reason
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import pandas as pd

from lora_lab.checkpoints import write_atomically
from lora_lab.results.table import COLUMNS, as_table, runs_table, settings_of, settings_table
from lora_lab.runs import Run

#: Columns of a table of runs in any state; numbers that a run does not have are missing.
ATTEMPT_COLUMNS = {"id": "str", "state": "str", "reason": "str"} | {
    name: {"int64": "Int64"}.get(kind, kind)
    for name, kind in COLUMNS.items()
    if name not in ("id", "right")
}
_SEED = re.compile(r"_?seed-\d+")


def summary_table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """One row per setting with a finished run, in the order of the runs; see ``settings_table``.

    ``name`` is that of its runs without the seed.
    """
    table = settings_table(runs_table(runs.values()))
    names = [_SEED.sub("", members[0]) or members[0] for members in table["members"]]
    table.insert(0, "name", pd.Series(names, dtype="str"))
    return table.drop(columns="id")


def attempts_table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """One row per run in any state: what it was asked to be, and what came out if it finished."""
    results = {row["id"]: row for row in runs_table(runs.values()).to_dict("records")}
    rows = [
        dict.fromkeys(ATTEMPT_COLUMNS)
        | settings_of(run.config)
        | dict(train=run.config.data.train_size)
        | results.get(run.id, {})
        | dict(id=run.id, state=run.state, reason=run.reason)
        for run in runs.values()
    ]
    return as_table(rows, ATTEMPT_COLUMNS)


def write_tables(runs: Mapping[str, Run], folder: Path) -> None:
    """Write both tables, as CSV and as Parquet.

    Raises:
        StorageError: a file could not be written.
    """
    for name, table in {"results": summary_table(runs), "every_run": attempts_table(runs)}.items():
        parquet = BytesIO()
        table.to_parquet(parquet, index=False)
        write_atomically(folder / f"{name}.parquet", parquet.getvalue())
        if "members" in table:
            table = table.assign(members=table["members"].map(" ".join))
        content = table.to_csv(index=False, lineterminator="\n")
        write_atomically(folder / f"{name}.csv", content.encode())
