"""Rows of a file in chunks, however long the file is: CSV, TSV, JSONL, Parquet, plain text.

A row is a dictionary from column to value. Fields of CSV and TSV are strings, an empty one ""; JSON
and Parquet keep their types. Every row of the file is there, in order, blank ones too; only JSONL
skips blank lines, which hold no object.
"""

import codecs
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from .files import SUFFIXES, badly_separated, check_field_count, check_file, json_records
from .report import DataError

Row = dict[str, Any]

ROW_SUFFIXES = (*SUFFIXES, ".txt")
#: The column of a plain text file, which has one text on each line and no header.
PLAIN_COLUMN = "text"


def read_rows(path: Path, chunk_rows: int = 4096, encoding: str = "utf-8") -> Iterator[list[Row]]:
    """Lists of at most ``chunk_rows`` rows; never more than one of them is in memory.

    Raises:
        DataError: the file cannot be read, at once or where the trouble begins; or has no rows.
    """
    suffix = check_file(path, ROW_SUFFIXES)
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(f"unknown encoding {encoding!r}; try 'utf-8' or 'cp1252'") from error
    if suffix == ".parquet":
        chunks = _parquet(path, chunk_rows)
    elif suffix in (".csv", ".tsv"):
        chunks = _separated(path, chunk_rows, encoding, "\t" if suffix == ".tsv" else ",")
    elif suffix == ".jsonl":
        chunks = _chunks(json_records(path, _lines(path, encoding)), chunk_rows)
    else:
        chunks = _chunks(({PLAIN_COLUMN: line} for line in _lines(path, encoding)), chunk_rows)
    return _explained(chunks, path, encoding)


def _explained(chunks: Iterator[list[Row]], path: Path, encoding: str) -> Iterator[list[Row]]:
    read = 0
    try:
        for chunk in filter(None, chunks):
            yield chunk
            read += len(chunk)
    except UnicodeError as error:
        raise DataError(
            f"{path} is not {encoding}, somewhere after row {read}: {error}; save the file as "
            "UTF-8, or give its encoding, for instance cp1252 or gb18030"
        ) from error
    if read == 0:
        raise DataError(f"{path} has no rows")


def _separated(path: Path, chunk_rows: int, encoding: str, separator: str) -> Iterator[list[Row]]:
    try:
        with pd.read_csv(
            path,
            sep=separator,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,  # in a file of one column a blank line is a row
            encoding=_without_mark(encoding),
            chunksize=chunk_rows,
        ) as reader:
            for table in reader:
                check_field_count(path, table)
                yield table.fillna("").to_dict("records")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise badly_separated(path, error) from error


def _parquet(path: Path, chunk_rows: int) -> Iterator[list[Row]]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(chunk_rows):
                yield batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file: {error}; write it again, or save it as CSV"
        ) from error


def _lines(path: Path, encoding: str) -> Iterator[str]:
    # newline="\n": only that ends a line; other such characters may stand inside a text.
    with open(path, encoding=_without_mark(encoding), newline="\n") as file:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    rows = iter(rows)
    while chunk := list(islice(rows, size)):
        yield chunk


def _without_mark(encoding: str) -> str:
    """The same encoding, which in UTF-8 leaves out a byte order mark at the start."""
    return "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
