"""Dated sentences become days, and the days a verdict."""

from __future__ import annotations

import datetime
import json

import numpy as np
import pandas as pd
import pytest

from lora_lab.data import DataError
from lora_lab.models import load_model
from lora_lab.prediction import predict_probabilities
from lora_lab.watching.daily import days_of_file, watch
from lora_lab.watching.surges import DayCount

START = datetime.date(2024, 1, 1)


def stream(shares, sentences=40, seed=0):
    random = np.random.default_rng(seed)
    return [
        DayCount(START + datetime.timedelta(days=i), sentences, int(random.binomial(sentences, p)))
        for i, p in enumerate(shares)
    ]


def test_a_surge_and_a_drift_are_told_apart():
    surge = watch(stream([0.4] * 50 + [0.8] + [0.4] * 9))
    assert [day.date for day in surge.days if day.surge] == [START + datetime.timedelta(days=50)]
    drift = watch(stream([0.4] * 50 + [0.5] * 40))
    assert any(day.drift for day in drift.days) and drift.alarms[0].date.month > 1
    assert len(surge.reference) == 30 and len(surge.days) == 30


def test_the_two_rules_together_keep_the_promise():
    """Over many quiet streams; each day with an alarm of either kind counts once."""
    alarms = days = 0
    for seed in range(10):
        found = watch(stream([0.4] * 330, seed=seed), one_in=25)
        alarms, days = alarms + len(found.alarms), days + len(found.days)
    assert 0 < alarms / days < 1.3 / 25


def test_what_is_found_is_told_day_by_day():
    days = stream([0.4] * 40 + [0.9])
    found = watch(days, one_in=50)
    assert found.surge_rule.one_in == 100, "half of the false alarms for each rule"
    last = found.days[-1]
    assert last.limit == found.surge_rule.limit(40) <= last.negative
    assert last.expected == pytest.approx(40 * found.surge_rule.share)
    table = found.table()
    assert table.splitlines()[-1].startswith("2024-02-10") and "SURGE" in table.splitlines()[-1]
    assert "Careful" not in table
    again = json.loads(json.dumps(found.as_dict()))
    assert again["days"][-1]["surge"] is True and again["reference"][0]["date"] == "2024-01-01"
    uneven = watch(stream([0.1, 0.7] * 20))
    assert uneven.even < 0.01 and "differ by more than chance" in uneven.table()


@pytest.mark.parametrize("reference_days", [0, 10, 11])
def test_no_day_to_watch(reference_days):
    with pytest.raises(ValueError, match="10 days.*--reference-days"):
        watch(stream([0.4] * 10), reference_days=reference_days)


@pytest.fixture
def loaded(tiny_folder):
    return load_model(tiny_folder, labels=["negative", "positive"])


TEXTS = ["the plot was superb", "dull", "the cast was moving", "clumsy", " ", "the pace was dull"]


def test_days_of_a_file_are_the_models_answers(loaded, tmp_path):
    dates = ["2024-03-02", "2024-03-01", "2024-03-02T08:30", "2024-03-02", "never", "2024-03-01"]
    frame = pd.DataFrame({"when": dates, "said": TEXTS})
    frame.to_csv(tmp_path / "a.csv", index=False)
    found = days_of_file(loaded, tmp_path / "a.csv", date_column="when", text_column="said")
    there = frame[frame["said"].str.strip() != ""]
    called = predict_probabilities(*loaded, list(there["said"])).argmax(axis=1) == 0
    days = there["when"].str[:10]
    assert found == [
        DayCount(datetime.date(2024, 3, d), int((days == f"2024-03-0{d}").sum()),
                 int(called[(days == f"2024-03-0{d}").to_numpy()].sum()))
        for d in (1, 2)
    ]  # fmt: skip
    there.assign(when=pd.to_datetime(days)).to_parquet(tmp_path / "a.parquet")
    options = dict(date_column="when", text_column="said")
    assert days_of_file(loaded, tmp_path / "a.parquet", **options) == found
    positive = days_of_file(loaded, tmp_path / "a.parquet", negative="positive", **options)
    assert [a.negative + b.negative for a, b in zip(found, positive, strict=True)] == [2, 3]


@pytest.mark.parametrize(
    "content, options, kind, says",
    [
        ("date,text\n29.2.2024,dull\n", {}, DataError, "row 1.*'29.2.2024', expected a date"),
        ("date,text\n2024-02-29,dull\n,x\n", {}, DataError, "row 2: column 'date'"),
        ("day,text\n2024-02-29,dull\n", {}, DataError, "no column 'date'.*--date-column"),
        ("date,said\n2024-02-29,dull\n", {}, DataError, "no column 'text'.*--text-column"),
        ("date,text\n2024-02-29,dull\n", {"negative": "bad"}, ValueError, "negative, positive"),
    ],
)
def test_what_cannot_be_watched_is_explained(loaded, tmp_path, content, options, kind, says):
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(kind, match=says):
        days_of_file(loaded, tmp_path / "a.csv", **options)
