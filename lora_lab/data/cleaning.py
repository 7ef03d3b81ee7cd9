"""From a raw table to usable rows: what is dropped, what is changed, what is refused."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import pandas as pd

from .report import TRUNCATED, DataError

MAX_CHARACTERS = 10_000
MAX_CLASSES = 50
MIN_PER_CLASS = 3  # one for each split
FILL_TEXT = "(no text)"
MISSING_POLICIES = ("drop", "fill", "error")


@dataclass(frozen=True)
class Cleaned:
    """Usable rows: a frame with `text`, `label` (names) and whatever `keep` named."""

    frame: pd.DataFrame
    classes: tuple[str, ...]
    dropped: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def clean(
    frame: pd.DataFrame,
    *,
    text_column: str = "text",
    label_column: str = "label",
    labels: Sequence[str] | None = None,
    on_missing: str = "drop",
    max_characters: int = MAX_CHARACTERS,
    keep: Sequence[str] = (),
) -> Cleaned:
    """Apply the policies to a raw table, whose index holds row numbers for messages.

    Missing is None, NaN or blank. A missing text is dropped ("drop"), replaced by `FILL_TEXT`
    ("fill") or refused ("error"). A missing label is dropped or, with "error", refused: it is
    never filled in, since an invented label teaches the invention. Numbers in the text column
    become text; NUL characters become spaces; texts are cut to `max_characters`.

    Labels may be strings, whole numbers or booleans. Class names are sorted (numbers by value),
    or are `labels` in the order given, and then any other label is refused.

    Raises:
        DataError: a column is missing, a policy is violated, or the labels are no classes.
    """
    if on_missing not in MISSING_POLICIES:
        raise DataError(f"on_missing is one of {MISSING_POLICIES}, got {on_missing!r}")
    if isinstance(max_characters, bool) or not isinstance(max_characters, int):
        raise DataError(f"max_characters is a whole number, got {max_characters!r}")
    if max_characters < 1:
        raise DataError(f"max_characters must be at least 1, got {max_characters}")
    _check_columns(frame, text_column, label_column)
    rows = pd.DataFrame({"text": frame[text_column], "label": frame[label_column]}, dtype=object)
    rows = rows.join(frame[list(keep)])
    dropped: Counter[str] = Counter()
    changed: Counter[str] = Counter()

    for column, given in (("label", label_column), ("text", text_column)):
        missing = rows[column].map(is_missing).astype(bool)
        if not missing.any():
            continue
        if on_missing == "error":
            raise DataError(
                f"{missing.sum()} rows have no {column} (column {given!r}), first "
                f"{_rows(rows.index[missing])}; complete them, or pass on_missing='drop'"
            )
        if column == "text" and on_missing == "fill":
            rows.loc[missing, "text"] = FILL_TEXT
            changed[f"missing text replaced by {FILL_TEXT!r}"] = int(missing.sum())
        else:
            dropped[f"no {column}"] = int(missing.sum())
            rows = rows[~missing]
    if rows.empty:
        raise DataError(
            f"no row has both a text (column {text_column!r}) and a label (column "
            f"{label_column!r}); check that these are the right columns",
            "nothing_left",
        )

    rows["text"] = _clean_texts(rows["text"], text_column, max_characters, changed)
    rows["label"], classes = _class_names(rows["label"], label_column, labels)
    return Cleaned(rows, classes, dict(dropped), dict(changed), _notes(classes, labels))


def check_classes(labels: Iterable[str], classes: Sequence[str]) -> None:
    """Refuse data with one class only, or with a class too small to be in every split."""
    counts = Counter(labels)
    if len(classes) < 2:
        raise DataError(
            f"only one class, {classes[0]!r}: a classifier needs at least two; add rows of "
            "another class, or check label_column",
            "one_class",
            name=classes[0],
        )
    small = {name: counts[name] for name in classes if counts[name] < MIN_PER_CLASS}
    if small:
        listed = ", ".join(f"{name!r} has {count}" for name, count in small.items())
        raise DataError(
            f"too few examples: {listed}; every class needs at least {MIN_PER_CLASS} "
            "(train, validation and test one each, better hundreds): add rows or leave the "
            "class out",
            "small_class",
            name=min(small, key=small.get),
            count=min(small.values()),
            least=MIN_PER_CLASS,
        )


def _check_columns(frame: pd.DataFrame, text_column: str, label_column: str) -> None:
    columns = [str(column) for column in frame.columns]
    for argument, column in (("text_column", text_column), ("label_column", label_column)):
        if column not in columns:
            hint = f"pass {argument}= with one of these"
            if len(columns) == 1 and any(mark in columns[0] for mark in ";\t,|"):
                hint = "the header looks like several columns: save with ',' (.csv) or tab (.tsv)"
            raise DataError(f"no column {column!r}; there are: {', '.join(columns)}; {hint}")
    if text_column == label_column:
        raise DataError(f"text_column and label_column are both {text_column!r}; name two columns")


def is_missing(value: Any) -> bool:
    """Whether a field holds nothing: None, NaN or blanks."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _clean_texts(
    texts: pd.Series, column: str, max_characters: int, changed: Counter[str]
) -> pd.Series:
    cleaned = [
        clean_text(text, row, column, max_characters, changed) for row, text in texts.items()
    ]
    return pd.Series(cleaned, texts.index, dtype=object)


def clean_text(text: Any, row: Any, column: str, max_characters: int, changed: Counter[str]) -> str:
    """One text as the models get it; what was changed is counted in ``changed``.

    Raises:
        DataError: naming the row, if it holds no text or half a character.
    """
    if not isinstance(text, str):
        if not isinstance(text, Real):
            raise DataError(
                f"row {row}: column {column!r} holds a {type(text).__name__}, expected text"
            )
        changed["number turned into text"] += 1
        text = str(text)
    if "\0" in text:
        changed["NUL characters turned into spaces"] += 1
        text = text.replace("\0", " ")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(
            f"row {row}: the text holds half of a surrogate pair, which is no character; "
            "save the file again as UTF-8 from its original"
        )
    if len(text) > max_characters:
        changed[TRUNCATED] += 1
        text = text[:max_characters]
    return text


def _class_names(
    values: pd.Series, column: str, allowed: Sequence[str] | None
) -> tuple[pd.Series, tuple[str, ...]]:
    names = values.map(_name_of(values, column))
    distinct = set(names)
    if allowed is not None:
        classes = tuple(dict.fromkeys(_plain_name(value) for value in allowed))
        unknown = ~names.isin(classes)
        if unknown.any():
            examples = ", ".join(map(repr, sorted(set(names[unknown]))[:5]))
            raise DataError(
                f"{unknown.sum()} rows have a label outside labels={list(classes)}: {examples}, "
                f"first {_rows(names.index[unknown])}; correct them or extend labels="
            )
        return names, classes
    if len(distinct) > MAX_CLASSES:
        raise DataError(
            f"column {column!r} has {len(distinct)} distinct values, for instance "
            f"{', '.join(map(repr, sorted(distinct)[:3]))}: that looks like a number, an id or "
            f"free text, not a class (at most {MAX_CLASSES}); choose another label_column, or "
            "list the classes with labels=",
            "no_classes",
            count=len(distinct),
            most=MAX_CLASSES,
        )
    whole_numbers = all(_is_whole_number(name) for name in distinct)
    return names, tuple(sorted(distinct, key=int if whole_numbers else None))


def _name_of(values: pd.Series, column: str) -> Callable[[Any], str]:
    """How to name labels; whole numbers written as floats, such as 1.0, lose their ".0"."""
    numbers = []
    for row, value in values.items():
        if not isinstance(value, str | Real):
            raise DataError(
                f"row {row}: label column {column!r} holds a {type(value).__name__}, expected a "
                "word, a whole number or true/false"
            )
        numbers.append(_as_float(value))
    if all(number is not None for number in numbers):
        fractions = [number for number in numbers if not number.is_integer()]
        if fractions:
            raise DataError(
                f"column {column!r} holds numbers with fractions, for instance {fractions[0]}: "
                "that looks like a rating (regression), not a class; turn it into classes "
                "first, for example 'negative' below 0 and 'positive' above",
                "fractions",
                number=fractions[0],
            )
        return lambda value: _plain_name(value if isinstance(value, bool) else int(float(value)))
    return _plain_name


def _plain_name(value: Any) -> str:
    name = str(value).strip()
    return name.lower() if name in ("True", "False") else name


def _as_float(value: Any) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _is_whole_number(name: str) -> bool:
    return name.lstrip("+-").isdecimal()


def _notes(classes: Sequence[str], labels: Sequence[str] | None) -> tuple[str, ...]:
    folded = Counter(name.casefold() for name in classes)
    twins = [name for name in classes if folded[name.casefold()] > 1]
    if labels is None and twins:
        return (f"classes that differ only in case: {', '.join(map(repr, twins))}; one class?",)
    return ()


def _rows(index: pd.Index) -> str:
    shown = ", ".join(str(row) for row in index[:5])
    return f"row {shown}" if len(index) == 1 else f"rows {shown}"
