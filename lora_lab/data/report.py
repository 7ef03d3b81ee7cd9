"""What went into a data set and what was left out: `DataReport`, `DataError`, `fingerprint`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset

TRUNCATED = "text cut to the maximum length"


class DataError(ValueError):
    """Data that cannot be used, told for people: what was given, what was expected, what to do.

    Attributes:
        reason: one word for what is wrong with a file, for whoever says it in another language;
            empty for other errors.
        details: what that sentence needs.
    """

    def __init__(self, message: str, reason: str = "", **details: Any) -> None:
        super().__init__(message)
        self.reason = reason
        self.details = details


@dataclass(frozen=True)
class DataReport:
    """The story of one reading: how many rows came in, which left and why, what remains.

    Attributes:
        source: the embedded name, the path or the hub name that was read.
        rows_read: rows found in the source, before any was dropped.
        dropped: rows left out, by reason.
        changed: rows kept but altered, by what was done to them.
        splits: rows by split and class name; with `train_size`, after the reduction.
        split_method: how rows came to their splits, in words.
        notes: anything else a reader of results should know.
    """

    source: str
    rows_read: int
    dropped: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    split_method: str = ""
    notes: tuple[str, ...] = ()

    @property
    def truncated(self) -> int:
        """Rows whose text was cut to the maximum length."""
        return self.changed.get(TRUNCATED, 0)

    @property
    def sizes(self) -> dict[str, int]:
        """Rows per split."""
        return {split: sum(counts.values()) for split, counts in self.splits.items()}

    def summary(self) -> str:
        """The whole report as one readable text."""
        lines = [f"{self.source}: {self.rows_read:,} rows read, {sum(self.sizes.values()):,} used"]
        lines += [f"  dropped {count:,}: {reason}" for reason, count in self.dropped.items()]
        lines += [f"  changed {count:,}: {what}" for what, count in self.changed.items()]
        for split, counts in self.splits.items():
            classes = ", ".join(f"{name} {count:,}" for name, count in counts.items())
            lines.append(f"  {split} {sum(counts.values()):,}: {classes}")
        if self.split_method:
            lines.append(f"  splits: {self.split_method}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def class_counts(data: Mapping[str, Dataset]) -> dict[str, dict[str, int]]:
    """Rows by split and class name; classes without a row are listed with 0."""
    counts = {}
    for split, dataset in data.items():
        ids = dataset["label"][:]
        names = dataset.features["label"].names
        counts[split] = {name: ids.count(i) for i, name in enumerate(names)}
    return counts


def fingerprint(data: Mapping[str, Dataset]) -> str:
    """Sixteen hex digits that change when a split, a text, a label or the row order changes.

    Results carry it, so that two of them can be compared only if they rest on the same data.
    Other columns (rating, spread, raters) do not count, nor does where the data came from.
    """
    digest = hashlib.blake2b(digest_size=8)
    for split in sorted(data):
        dataset = data[split]
        names = dataset.features["label"].names
        for text, label in zip(dataset["text"], dataset["label"], strict=True):
            digest.update(json.dumps([split, text, names[label]]).encode())
    return digest.hexdigest()
