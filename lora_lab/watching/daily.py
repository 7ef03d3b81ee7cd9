"""A stream of dated sentences, watched: each day's negative share against a reference period."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lora_lab.batch_prediction import check_text_column, class_names, merged, scored_chunks
from lora_lab.data import DataError
from lora_lab.data.writing import schema_of
from lora_lab.models import LoadedModel
from lora_lab.watching.drift import DriftRule, drift_rule
from lora_lab.watching.surges import DayCount, SurgeRule, daily_counts, homogeneity, rule_from

#: Below this p-value the days of the reference differ by more than chance.
UNEVEN = 0.01


@dataclass(frozen=True)
class WatchedDay:
    """A day after the reference period.

    Attributes:
        expected: negative sentences that a normal day of this size has on average.
        limit: the fewest that are a surge.
        p_value: how likely a normal day is to be at least as bad.
        drift_sum: the cumulative sum, in nats, before an alarm sets it back to 0.
        surge, drift: whether the one rule or the other raises an alarm.
    """

    date: datetime.date
    sentences: int
    negative: int
    expected: float
    limit: int
    p_value: float
    drift_sum: float
    surge: bool
    drift: bool


@dataclass(frozen=True)
class Watch:
    """What a stream looked like.

    Attributes:
        reference: its first days, from which the rules are made.
        even: p-value of the test that these days differ by chance alone.
        one_in: both rules together raise on average at most one false alarm in so many days.
        days: all later days, in order.
    """

    reference: tuple[DayCount, ...]
    even: float
    one_in: float
    surge_rule: SurgeRule
    drift_rule: DriftRule
    days: tuple[WatchedDay, ...]

    @property
    def alarms(self) -> list[WatchedDay]:
        return [day for day in self.days if day.surge or day.drift]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, texts and lists, ready for JSON."""
        values = asdict(self)
        for day in (*values["reference"], *values["days"]):
            day["date"] = day["date"].isoformat()
        return values

    def table(self) -> str:
        """One line for each day, and what the rules are."""
        rule, drift = self.surge_rule, self.drift_rule
        lines = [
            f"Reference: {len(self.reference)} days, {rule.sentences:,} sentences, "
            f"{rule.share:.1%} negative.",
            f"At most one false alarm in {self.one_in:g} days, on average: half of it for surges, "
            f"half for drift (towards {drift.p1:.1%}, threshold {drift.threshold:.2f}).",
        ]
        if self.even < UNEVEN:
            lines.append(
                f"Careful: the reference days differ by more than chance (p = {self.even:.2g}), so "
                "false alarms will be more frequent."
            )
        lines.append(
            f"\n{'date':10}  {'sentences':>9}  {'negative':>8}  {'expected':>8}  {'limit':>5}  "
            f"{'p':>7}  {'drift':>5}"
        )
        for day in self.days:
            alarm = " ".join(n for n, on in (("SURGE", day.surge), ("DRIFT", day.drift)) if on)
            lines.append(
                f"{day.date}  {day.sentences:9,}  {day.negative:8,}  {day.expected:8.1f}  "
                f"{day.limit:5}  {day.p_value:7.4f}  {day.drift_sum:5.2f}  {alarm}".rstrip()
            )
        return "\n".join(lines)


def watch(
    days: Sequence[DayCount],
    *,
    reference_days: int = 30,
    one_in: float = 100.0,
    odds_ratio: float = 1.5,
) -> Watch:
    """Take the first days for normal and test all later ones for surges and for drift.

    Each of the two rules gets half of the false alarms (Bonferroni). The reference stays as it is:
    one that took in each quiet day would follow a slow drift instead of finding it.

    Raises:
        ValueError: no day would be left to watch, no reference, or ``one_in`` below 2.
    """
    if not 1 <= reference_days < len(days):
        raise ValueError(
            f"There are {len(days)} days with sentences; a reference of {reference_days} leaves "
            "none to watch. Shorten it with --reference-days."
        )
    reference, later = tuple(days[:reference_days]), days[reference_days:]
    surge_rule = rule_from(reference, 2 * one_in)
    slow_rule = drift_rule(
        surge_rule, [day.sentences for day in reference], odds_ratio=odds_ratio, one_in=2 * one_in
    )
    sums = slow_rule.sums(
        np.array([day.sentences for day in later]), np.array([day.negative for day in later])
    )
    watched = tuple(
        WatchedDay(
            date=day.date,
            sentences=day.sentences,
            negative=day.negative,
            expected=day.sentences * surge_rule.share,
            limit=(limit := surge_rule.limit(day.sentences)),
            p_value=surge_rule.p_value(day.sentences, day.negative),
            drift_sum=float(total),
            surge=day.negative >= limit,
            drift=bool(total > slow_rule.threshold),
        )
        for day, total in zip(later, sums, strict=True)
    )
    return Watch(reference, homogeneity(reference), one_in, surge_rule, slow_rule, watched)


def days_of_file(
    loaded: LoadedModel,
    source: Path | str,
    *,
    date_column: str = "date",
    text_column: str = "text",
    negative: str = "negative",
    encoding: str = "utf-8",
    max_length: int = 128,
) -> list[DayCount]:
    """Each day of a file, by the model's answers; rows without a text are left out.

    Args:
        source: a file as ``predict_file`` takes it, its rows in any order.
        date_column: dates, or texts that begin with one as in 2024-02-29.
        negative: the class to count.

    Raises:
        DataError: the file cannot be read, lacks a column, or a date is none.
        ValueError: the model knows no such class.
    """
    source, names = Path(source), class_names(loaded.model)
    if negative not in names:
        raise ValueError(f"The model has no class {negative!r}; it has {', '.join(names)}.")
    columns = schema_of(source, encoding).names
    check_text_column(columns, text_column)
    if date_column not in columns:
        raise DataError(
            f"no column {date_column!r}; there are: {', '.join(columns)}; name the one with the "
            "dates with --date-column"
        )

    def answers() -> Iterator[tuple[datetime.date, bool]]:
        row = 0
        for chunk in scored_chunks(
            loaded, source, text_column=text_column, encoding=encoding, max_length=max_length
        ):
            for values, p in zip(chunk.rows, chunk.probabilities, strict=True):
                row += 1
                if not np.isnan(p).any():
                    date = _date(values.get(date_column), row, date_column)
                    yield date, names[int(p.argmax())] == negative

    with merged(loaded.model):
        return daily_counts(answers())


def _date(value: Any, row: int, column: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(str(value).strip()[:10])
    except ValueError:
        raise DataError(
            f"row {row}: column {column!r} holds {value!r}, expected a date such as 2024-02-29"
        ) from None
