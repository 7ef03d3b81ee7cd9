"""Sentences that visitors bring: a CSV file, checked, then kept in a folder of the runs folder.

What is kept has two columns, text and label, and is named by a hash of its content: a visitor's
file name never becomes a path, equal files are one, and nobody can write over another's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from lora_lab.checkpoints import write_atomically
from lora_lab.dashboard import folders
from lora_lab.dashboard.language import t
from lora_lab.data import DataError, read_data
from lora_lab.data.files import read_file

LONGEST_NAME = 60
MOST_BYTES = 2_000_000
MOST_ROWS = 10_000
MOST_FILES = 200
_ID = re.compile(r"own-[0-9a-f]{32}")


class UploadError(ValueError):
    """A file that cannot be used; the message says why, in the visitor's language."""


def read(content: bytes) -> pd.DataFrame:
    """The rows of a CSV file, every cell as text.

    Raises:
        UploadError: too large, too long, no CSV, or without two columns to choose from.
    """
    if len(content) > MOST_BYTES:
        raise UploadError(t("train.upload.too_large", most=MOST_BYTES // 1_000_000))
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        raise UploadError(t("train.upload.not_utf8")) from None
    with _as_file(content) as file:
        table = _checked(file, read_file)
    if len(table) > MOST_ROWS:
        raise UploadError(t("train.upload.too_long", rows=len(table), most=MOST_ROWS))
    if len(table.columns) < 2:
        raise UploadError(t("train.upload.one_column"))
    return table


def keep(table: pd.DataFrame, text: str, label: str, name: str) -> str:
    """Keep the two columns named; returns the id under which they are found again.

    Raises:
        UploadError: these columns are no labelled sentences, or there is no room.
        StorageError: the folder cannot be written.
    """
    if text == label:
        raise UploadError(t("train.upload.same_column"))
    rows = pd.DataFrame({"text": table[text], "label": table[label]})
    content = rows.to_csv(index=False).encode()
    identity = f"own-{hashlib.sha256(content).hexdigest()[:32]}"
    if known(identity):
        return identity
    if _folder().is_dir() and len(list(_folder().glob("*.csv"))) >= MOST_FILES:
        raise UploadError(t("train.upload.no_room", most=MOST_FILES))
    with _as_file(content) as file:
        data, _ = _checked(file, read_data)
    facts = {
        "name": "".join(c if c.isprintable() else " " for c in name)[:LONGEST_NAME].strip(),
        "classes": list(data["train"].features["label"].names),
        "examples": {split: len(part) for split, part in data.items()},
    }
    write_atomically(path(identity), content)
    write_atomically(path(identity).with_suffix(".json"), json.dumps(facts).encode())
    return identity


def known(identity: str) -> bool:
    """Whether this is the id of an upload that is kept here."""
    return bool(_ID.fullmatch(identity)) and path(identity).with_suffix(".json").is_file()


def path(identity: str) -> Path:
    return _folder() / f"{identity}.csv"


def facts(identity: str) -> dict[str, Any]:
    """The file's own name, its classes and how many sentences each split has."""
    return json.loads(path(identity).with_suffix(".json").read_text(encoding="utf-8"))


def identity_of(data: str) -> str:
    """The id of an upload from the name of a run's data; empty for other data."""
    stem = Path(data).stem
    return stem if known(stem) and Path(data) == path(stem) else ""


def _folder() -> Path:
    return folders.runs_folder() / "uploads"


@contextmanager
def _as_file(content: bytes) -> Iterator[Path]:
    """The content as a file for the library's readers, as long as the ``with`` block lasts."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "upload.csv"
        file.write_bytes(content)
        yield file


def _checked(file: Path, read_with: Callable[[Path], Any]) -> Any:
    """What a reader makes of the file; its errors in the visitor's language, or at least without
    the name of the temporary file."""
    try:
        return read_with(file)
    except DataError as error:
        reason = str(error).replace(str(file), file.name)
        if error.reason:
            reason = t(f"train.upload.because.{error.reason}", **error.details)
        raise UploadError(t("train.upload.refused", reason=reason)) from error
