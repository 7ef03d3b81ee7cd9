"""``update_tables`` as files beside a stored grid: adapters themselves are too large to ship.

matrices.csv, similarity.csv, truncated.csv: see the columns in ``update_tables``
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd

from lora_lab.checkpoints import write_atomically
from lora_lab.inside.update_tables import (
    MATRIX_COLUMNS,
    SIMILARITY_COLUMNS,
    TRUNCATED_COLUMNS,
    UpdateTables,
    counts,
    numbers,
    update_tables,
)
from lora_lab.results.stored_grid import GridError
from lora_lab.results.table import as_table, unpack
from lora_lab.runs import Run

TABLES = {
    "matrices": MATRIX_COLUMNS,
    "similarity": SIMILARITY_COLUMNS,
    "truncated": TRUNCATED_COLUMNS,
}
FILES = tuple(f"{name}.csv" for name in TABLES)
DIGITS = "%.5g"


def write_updates(runs: Sequence[Run], folder: Path) -> UpdateTables:
    """Store ``update_tables`` of these runs, numbers rounded to five digits.

    Raises:
        AdapterError, RunError: see ``update_tables``.
        StorageError: a file could not be written.
    """
    tables = update_tables(runs)
    for name in TABLES:
        frame = getattr(tables, name)
        content = frame.to_csv(index=False, float_format=DIGITS, lineterminator="\n")
        write_atomically(folder / f"{name}.csv", content.encode())
    return tables


def read_stored_updates(folder: Path) -> UpdateTables:
    """Stored tables, checked: spectra fit their norms and ranks, grids and answers their counts.

    Raises:
        GridError: no tables there, or they are damaged.
    """
    try:
        texts = [(folder / name).read_text(encoding="utf-8") for name in FILES]
        tables = UpdateTables(*map(_table, texts, TABLES.values()))
        _check(tables)
    except FileNotFoundError as error:
        raise GridError(
            f"There are no stored updates in {folder}: {Path(error.filename).name} is missing."
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise GridError(f"The stored updates in {folder} cannot be read: {error}") from error
    return tables


def _table(text: str, columns: dict[str, str]) -> pd.DataFrame:
    texts = {name: kind for name, kind in columns.items() if kind == "str"}
    frame = as_table(pd.read_csv(StringIO(text), dtype=texts), columns)
    if frame.empty:
        raise ValueError(f"a table of {', '.join(list(columns)[:3])} ... has no rows")
    return frame


def _check(tables: UpdateTables) -> None:
    ranks = dict(zip(tables.matrices["run"], tables.matrices["rank"], strict=True))
    pairs = tables.similarity
    named = {*pairs["first"], *pairs["second"], *tables.truncated["run"]}
    if unknown := named - ranks.keys():
        raise ValueError(f"there are no spectra of {', '.join(sorted(unknown))}")
    for row in tables.matrices.itertuples():
        values = numbers(row.singular_values)
        fits = len(values) == row.rank and np.isclose(np.linalg.norm(values), row.norm, rtol=1e-2)
        if not fits or (np.diff(values) > 0).any():
            raise ValueError(f"the singular values of {row.matrix} in {row.run} do not fit")
    for row in pairs.itertuples():
        phi = numbers(row.phi)
        cells = len(counts(ranks[row.first])) * len(counts(ranks[row.second]))
        if len(phi) != cells or not ((phi >= 0) & (phi <= 1)).all():
            raise ValueError(f"phi of {row.first} and {row.second} in {row.matrix} does not fit")
    for row in tables.truncated.itertuples():
        if not np.isclose(unpack(row.right, row.examples).mean(), row.accuracy, atol=1e-4):
            raise ValueError(f"the answers of {row.run} cut to rank {row.rank} do not fit")
