"""Answers of a long job on disk as they come: what is there survives a full disk or a power cut.

The first line says in JSON what was answered by whom; after it each row of probabilities takes
4 bytes per class. A row that was cut off in the middle is dropped when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lora_lab.checkpoints import StorageError
from lora_lab.data import DataError


class AnswerStore:
    """Probabilities (rows, C) appended to a file.

    Attributes:
        path: the file.
        rows: how many rows it holds.
    """

    def __init__(
        self, path: Path, job: dict[str, Any], classes: int, *, force: bool, resume: bool
    ) -> None:
        """Begin anew, or go on with the answers of the same job.

        Args:
            job: what decides the answers, ready for JSON.
            force: drop what an interrupted job has left.
            resume: go on with it, if there is any.

        Raises:
            DataError: there are answers and neither was asked for, or they are of another job.
            StorageError: the file cannot be written.
        """
        self.path, self.rows = path, 0
        self._header = json.dumps(job, sort_keys=True).encode() + b"\n"
        self._classes = classes
        if path.exists() and not force:
            self._take_up(resume)
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self._header)
        except OSError as error:
            raise StorageError(f"Could not write {path}: {error.strerror or error}.") from error

    def append(self, probabilities: np.ndarray) -> None:
        """Add rows (n, C).

        Raises:
            StorageError: they could not be written; says what is kept and how to go on.
        """
        try:
            with open(self.path, "ab") as file:
                file.write(np.ascontiguousarray(probabilities, dtype=np.float32).tobytes())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self.interrupted(self.path, error) from error
        self.rows += len(probabilities)

    def read(self, size: int) -> Iterator[np.ndarray]:
        """All rows in order, in arrays of at most ``size`` of them."""
        with open(self.path, "rb") as file:
            file.seek(len(self._header))
            for start in range(0, self.rows, size):
                count = min(size, self.rows - start) * self._classes
                yield np.fromfile(file, np.float32, count).reshape(-1, self._classes)

    def interrupted(self, path: Path, error: OSError) -> StorageError:
        """What to say when ``path`` could not be written."""
        return StorageError(
            f"Could not write {path}: {error.strerror or error}. The answers to the first "
            f"{self.rows:,} rows are kept in {self.path}. Free some space, then run the same "
            "command with --resume."
        )

    def _take_up(self, resume: bool) -> None:
        with open(self.path, "rb") as file:
            header = file.readline()
        width = 4 * self._classes
        rows = (self.path.stat().st_size - len(header)) // width
        if not resume:
            raise DataError(
                f"{self.path} holds the answers of an interrupted job to {rows:,} rows; --resume "
                "goes on with it, --force begins anew"
            )
        if header != self._header:
            raise DataError(
                f"{self.path} holds the answers of another job: the file, the model or a setting "
                "has changed since; --force begins anew"
            )
        os.truncate(self.path, len(header) + rows * width)
        self.rows = rows
