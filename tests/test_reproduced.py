"""The stored results of the presets can be had again: one run of each, trained anew.

The interval of a stored setting is about its mean over new seeds and new sentences. A single run on
the same sentences spreads around the mean of the K stored ones as its seed wants it, so it lies, in
95 of 100 cases, within Student's prediction interval

    mean  +-  t(K - 1)  s  sqrt(1 + 1 / K).

Where that is the wider of the two, it is what the run must land in. (Other machines add up in
another order: the same seed gives almost, not exactly, the same accuracy.)
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from lora_lab.data import fetch
from lora_lab.evaluation import Interval
from lora_lab.presets import STORED, preset
from lora_lab.results.stored_grid import StoredGrid, read_grid
from lora_lab.results.table import COLUMNS, as_table, settings_of, settings_table
from lora_lab.runs import execute

NAMES = sorted(folder.name for folder in STORED.iterdir() if folder.is_dir())


@pytest.fixture(scope="module", params=NAMES)
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def grid(name) -> StoredGrid:
    return read_grid(STORED / name)


def for_one_run(accuracies: list[float], interval: Interval) -> Interval:
    """The interval of a setting, widened to where a single run of it may land."""
    k, mean = len(accuracies), float(np.mean(accuracies))
    spread = student.ppf(0.975, k - 1) * np.std(accuracies, ddof=1) * np.sqrt(1 + 1 / k)
    return Interval(min(interval.low, mean - spread), max(interval.high, mean + spread))


def test_what_is_stored_is_what_the_preset_runs_today(name, grid):
    configs = preset(name)
    assert set(grid.runs["id"]) == set(configs)
    rows = [settings_of(configs[run]) for run in grid.runs["id"]]
    columns = {column: COLUMNS[column] for column in rows[0]}
    pd.testing.assert_frame_equal(as_table(rows, columns), grid.runs[list(columns)])
    for run in grid.runs.itertuples():
        assert configs[run.id].data.train_size in (None, run.train)
    assert f"--preset {name}" in grid.origin["command"]


def test_its_cheapest_run_lands_where_its_setting_says(name, grid, tmp_path):
    fetch()
    cheapest = grid.runs.loc[grid.runs["seconds"].idxmin()]
    of_setting = grid.runs[grid.runs["setting"] == cheapest["setting"]]
    run = execute(preset(name)[cheapest["id"]], tmp_path / cheapest["id"])
    assert run.result["test_fingerprint"] == cheapest["sentences"], "the same test sentences"
    [stored] = settings_table(of_setting).itertuples()
    expected = for_one_run(of_setting["test"].tolist(), Interval(stored.low, stored.high))
    assert expected.low <= run.test.accuracy <= expected.high
