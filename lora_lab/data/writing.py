"""Rows to a file, chunk by chunk: the counterpart of ``rows``, for CSV, TSV, JSONL and Parquet."""

import contextlib
import csv
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow
import pyarrow.parquet

from .files import SUFFIXES
from .report import DataError
from .rows import Row, read_rows


def check_output(path: Path) -> str:
    """The kind of file to write, by its suffix; raises DataError if it cannot be written."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise DataError(
            f"the output {path} is of kind {suffix or 'unknown'!r}, expected one of "
            f"{', '.join(SUFFIXES)}"
        )
    return suffix


def write_rows(path: Path, chunks: Iterable[list[Row]], schema: pyarrow.Schema) -> None:
    """Write all rows with the columns of ``schema``, then put the file in its place as a whole.

    What a row lacks is empty in CSV and null elsewhere. The types of the schema matter to Parquet
    alone; CSV writes lists, objects and truth values as JSON does.

    Raises:
        DataError: a value does not fit the schema.
        OSError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    suffix = check_output(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        if suffix == ".parquet":
            _write_parquet(unfinished, chunks, schema)
        elif suffix == ".jsonl":
            with open(unfinished, "w", encoding="utf-8", newline="\n") as file:
                _write_jsonl(file, chunks, schema.names)
        else:
            with open(unfinished, "w", encoding="utf-8", newline="") as file:
                _write_separated(file, chunks, schema.names, "\t" if suffix == ".tsv" else ",")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def widened(schema: pyarrow.Schema, rows: Sequence[Row]) -> pyarrow.Schema:
    """The schema with the columns and types that these rows add.

    Raises:
        DataError: a column that holds values of several kinds.
    """
    try:
        found = pyarrow.Table.from_pylist([dict.fromkeys(_names(rows)) | row for row in rows])
        return pyarrow.unify_schemas([schema, found.schema], promote_options="permissive")
    except pyarrow.ArrowException as error:
        raise _does_not_fit(error) from error


def _names(rows: Sequence[Row]) -> dict[str, None]:
    return dict.fromkeys(name for row in rows for name in row)


def _write_separated(
    file: IO[str], chunks: Iterable[list[Row]], names: Sequence[str], separator: str
) -> None:
    # All texts in quotes: whatever line break stands in one of them, it stays in it.
    writer = csv.writer(
        file, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    )
    writer.writerow(names)
    for chunk in chunks:
        writer.writerows([_cell(row.get(name)) for name in names] for row in chunk)


def _cell(value: Any) -> Any:
    if isinstance(value, bool | list | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value if value is None or isinstance(value, int | float) else str(value)


def _write_jsonl(file: IO[str], chunks: Iterable[list[Row]], names: Sequence[str]) -> None:
    for chunk in chunks:
        for row in chunk:
            whole = {name: row.get(name) for name in names}
            file.write(json.dumps(whole, ensure_ascii=False, default=str) + "\n")


def _write_parquet(path: Path, chunks: Iterable[list[Row]], schema: pyarrow.Schema) -> None:
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for chunk in chunks:
            try:
                writer.write_table(pyarrow.Table.from_pylist(chunk, schema))
            except pyarrow.ArrowException as error:
                raise _does_not_fit(error) from error


def _does_not_fit(error: Exception) -> DataError:
    return DataError(
        f"a column holds values of several kinds, which Parquet does not allow ({error}); "
        "write .jsonl or .csv instead"
    )


def schema_of(path: Path, encoding: str = "utf-8", *, typed: bool = False) -> pyarrow.Schema:
    """The columns of a file that ``read_rows`` reads.

    Args:
        typed: with the types of JSON values, which takes a pass over the whole file and which only
            Parquet needs; otherwise their type says nothing.

    Raises:
        DataError: the file cannot be read, or ``typed`` and a column holds several kinds.
    """
    if path.suffix.lower() == ".parquet" and path.is_file():
        with contextlib.suppress(pyarrow.ArrowException):  # read_rows tells it better
            return pyarrow.parquet.read_schema(path)
    schema = pyarrow.schema([])
    for rows in read_rows(path, encoding=encoding):
        if typed and path.suffix.lower() == ".jsonl":
            schema = widened(schema, rows)
            continue
        new = [name for name in _names(rows) if name not in schema.names]
        schema = pyarrow.schema([*schema, *((name, pyarrow.string()) for name in new)])
        if path.suffix.lower() != ".jsonl":  # the first row has all columns
            break
    return schema
