"""Tables from files: CSV, TSV, JSONL and Parquet, and folders that hold one file per split.

Readers return the raw table. Its index counts the rows from 1, the header not included, so that
later messages can say which row they mean.
"""

import difflib
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.parquet

from .report import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def read_path(path: Path, encoding: str = "utf-8") -> dict[str, pd.DataFrame]:
    """Raw tables by split for a folder, or one table under the name "all" for a file.

    Raises:
        DataError: the path does not exist, is of another kind, or its content cannot be read.
    """
    if path.is_dir():
        return _read_folder(path, encoding)
    return {"all": read_file(path, encoding)}


def read_file(path: Path, encoding: str = "utf-8") -> pd.DataFrame:
    """One raw table; raises DataError saying where in the file the trouble is."""
    suffix = check_file(path, SUFFIXES)
    if suffix == ".parquet":
        table = _parquet(path)
    elif suffix == ".jsonl":
        table = _jsonl(path, _decoded(path, encoding))
    else:
        table = _separated(path, _decoded(path, encoding), "\t" if suffix == ".tsv" else ",")
    if table.empty:
        raise DataError(
            f"{path} has no rows, only column names ({', '.join(map(str, table.columns))}); "
            "add at least a few dozen rows",
            "no_rows",
        )
    table.index = range(1, len(table) + 1)
    return table


def check_file(path: Path, suffixes: Sequence[str]) -> str:
    """The kind of a file by its suffix.

    Raises:
        DataError: there is no such file, it is of another kind, or it is empty.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"no such file: {path} (looked in {path.absolute().parent}){_near(path)}")
    if suffix not in suffixes:
        raise DataError(
            f"{path} is of kind {suffix or 'unknown'!r}, expected one of {', '.join(suffixes)}; "
            "save it again as one of these"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); was it saved completely?", "empty")
    return suffix


def _read_folder(folder: Path, encoding: str) -> dict[str, pd.DataFrame]:
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        split = SPLIT_NAMES.get(path.stem.lower())
        if split is None or path.suffix.lower() not in SUFFIXES:
            continue
        if split in found:
            raise DataError(
                f"{folder} has two files for the {split} split: {found[split].name} and "
                f"{path.name}; leave one"
            )
        found[split] = path
    if "train" not in found:
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:10]) or "nothing"
        raise DataError(
            f"the folder {folder} has no train file; there is: {there}. Expected train.*, and if "
            f"you like validation.* and test.*, each one of {', '.join(SUFFIXES)}"
        )
    return {split: read_file(path, encoding) for split, path in found.items()}


def _decoded(path: Path, encoding: str) -> str:
    content = path.read_bytes()
    is_utf8 = encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    try:
        text = content.decode("utf-8-sig" if is_utf8 else encoding)
    except LookupError as error:
        raise DataError(f"unknown encoding {encoding!r}; try 'utf-8' or 'cp1252'") from error
    except UnicodeError as error:
        position = getattr(error, "start", 0)
        line = content.count(b"\n", 0, position) + 1
        is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        guess = "encoding='utf-16'" if is_utf16 else "encoding='cp1252' or 'gb18030'"
        raise DataError(
            f"{path} is not {encoding}: byte {position} (0x{content[position]:02x}, in line {line})"
            f" does not fit; save the file as UTF-8, or pass its encoding, for instance {guess}"
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"{path} has a NUL character in line {line}: it is damaged, no text file, or in "
            "UTF-16 (then pass encoding='utf-16')",
            "damaged",
            line=line,
        )
    if not text.strip():
        raise DataError(f"{path} is empty: nothing but blanks; was it saved completely?", "empty")
    return text


def _separated(path: Path, text: str, separator: str) -> pd.DataFrame:
    # Every field stays a string, and only an empty one is missing: "NA" and "null" are words.
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, na_values=[""]
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise badly_separated(path, error) from error
    check_field_count(path, table)
    return table


def badly_separated(path: Path, error: Exception) -> DataError:
    """What pandas said about a CSV or TSV file, with what to do."""
    said = str(error).strip().removeprefix("Error tokenizing data. C error: ")
    said = said.replace("EOF inside string starting at", "a quote is never closed, opened in")
    return DataError(
        f"{path} cannot be read: {said}; a field that holds a separator or a "
        'line break must stand in "double quotes", and quotes inside it are doubled',
        "no_table",
        line=_line(said),
    )


def check_field_count(path: Path, table: pd.DataFrame) -> None:
    """Raises DataError if pandas took fields without a name in the header for an index."""
    if not isinstance(table.index, pd.RangeIndex):
        raise DataError(
            f"{path} has more fields in line 2 than names in the header "
            f"({', '.join(map(str, table.columns))}); put fields that hold a separator in "
            '"double quotes"',
            "more_fields",
        )


def _line(said: str) -> int:
    """The line that a parser's message names; its rows count from 0, the header included."""
    found = re.search(r"(line|row) (\d+)", said)
    return int(found[2]) + (found[1] == "row") if found else 1


def _jsonl(path: Path, text: str) -> pd.DataFrame:
    # object: pandas would turn whole numbers beside a missing value into floats
    return pd.DataFrame(list(json_records(path, text.split("\n"))), dtype=object)


def json_records(path: Path, lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The object on each line that is not blank; raises DataError naming the line."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{path}, line {number}, column {error.colno}: {error.msg}; every line of a "
                ".jsonl file is one complete JSON object"
            ) from error
        if not isinstance(record, dict):
            raise DataError(
                f"{path}, line {number} holds a {type(record).__name__}, expected an object such "
                'as {"text": "...", "label": "..."} on each line'
            )
        yield record


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pyarrow.parquet.read_table(path).to_pandas(integer_object_nulls=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path} is not a readable Parquet file: {error}; write it again, or save it as CSV"
        ) from error


def _near(path: Path) -> str:
    if not path.parent.is_dir():
        return "; that folder does not exist either"
    there = [other.name for other in path.parent.iterdir() if other.suffix.lower() in SUFFIXES]
    close = difflib.get_close_matches(path.name, there)
    return f"; did you mean {' or '.join(close)}?" if close else "; check the spelling"
