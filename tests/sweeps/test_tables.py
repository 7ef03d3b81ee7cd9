"""A sweep's tables tell of every run, also of those that failed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lora_lab.results.comparing import interval_over_seeds
from lora_lab.runs import Run
from lora_lab.sweeps import attempts_table, summary_table, write_tables

from ..made_runs import answers, lora, make_run

SEEDS = (0, 1, 2)


@pytest.fixture
def runs(tmp_path):
    made = {}
    for rank, accuracy in ((8, 0.8), (2, 0.7)):
        for seed in SEEDS:
            name = f"rank-{rank}_seed-{seed}"
            right = answers(accuracy, seed)
            made[name] = make_run(tmp_path / name, lora(rank=rank, seed=seed), right)
    lost = tmp_path / "rank-4_seed-0"
    made[lost.name] = Run(lost, lora(rank=4), "failed", "no memory, sorry", [], None)
    return made


def test_a_row_per_setting_over_its_seeds_with_its_interval(runs):
    table = summary_table(runs).set_index("name")
    assert list(table.index) == ["rank-8", "rank-2"], "in the order of the runs"
    for name, row in table.iterrows():
        own = [runs[f"{name}_seed-{seed}"].test for seed in SEEDS]
        accuracies = [test.accuracy for test in own]
        bounds = interval_over_seeds(accuracies, own[0].examples)
        assert row["test"] == pytest.approx(np.mean(accuracies)) and row["seeds"] == 3
        assert (row["low"], row["high"]) == pytest.approx((bounds.low, bounds.high))


def test_a_row_per_run_whatever_became_of_it(runs):
    table = attempts_table(runs).set_index("id")
    assert list(table.index) == list(runs)
    failed = table.loc["rank-4_seed-0"]
    assert (failed["state"], failed["reason"]) == ("failed", "no memory, sorry")
    assert failed["rank"] == 4 and failed["train"] == 1000 and pd.isna(failed["test"])
    finished = table[table["state"] == "finished"]
    assert len(finished) == 6 and finished["test"].notna().all()


def test_both_are_written_as_csv_and_as_parquet(runs, tmp_path):
    write_tables(runs, tmp_path)
    for name, table in {"results": summary_table(runs), "every_run": attempts_table(runs)}.items():
        parquet = pd.read_parquet(tmp_path / f"{name}.parquet")
        csv = pd.read_csv(tmp_path / f"{name}.csv")
        assert list(parquet.columns) == list(csv.columns) == list(table.columns)
        assert len(parquet) == len(csv) == len(table)
        for column in ("test", "low", "high", "rank"):
            wanted = table[column].astype(float)
            assert parquet[column].astype(float).tolist() == pytest.approx(wanted, nan_ok=True)
            assert csv[column].astype(float).tolist() == pytest.approx(wanted, nan_ok=True)


def test_a_sweep_of_which_nothing_finished_has_tables_too(tmp_path):
    lost = Run(tmp_path / "one", lora(), "failed", "why", [], None)
    write_tables({"one": lost}, tmp_path)
    assert pd.read_csv(tmp_path / "results.csv").empty
    assert pd.read_csv(tmp_path / "every_run.csv")["reason"].tolist() == ["why"]
