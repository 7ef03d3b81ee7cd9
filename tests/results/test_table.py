"""Many runs as a table: nothing is mixed that does not belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.results.comparing import interval_over_seeds
from lora_lab.results.table import (
    COLUMNS,
    epochs_table,
    pack,
    pareto_front,
    right_answers,
    runs_table,
    settings_table,
    unpack,
)
from lora_lab.runs import DataConfig
from lora_lab.runs.answers import FILE

from ..made_runs import answers, lora, make_run


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_packed_answers_come_back(right):
    assert unpack(pack(np.array(right)), len(right)).tolist() == right


@pytest.mark.parametrize(("text", "examples"), [("AAAA", 25), ("AAAA", 16), ("!", 8), ("", 1)])
def test_answers_that_do_not_fit_are_refused(text, examples):
    with pytest.raises(ValueError):
        unpack(text, examples)


def test_a_row_says_what_the_run_was_and_what_came_out(tmp_path):
    right = answers(0.8)
    run = make_run(tmp_path / "run", lora(rank=4, seed=3, layers="top:2"), right)
    table = runs_table([run])
    row = table.iloc[0]
    assert dict(table.dtypes.astype(str)) == COLUMNS
    assert (row["id"], row["rank"], row["alpha"], row["scale"]) == ("run", 4, 8.0, 2.0)
    assert (row["layers"], row["targets"], row["seed"], row["train"]) == ("top:2", "q v", 3, 1000)
    assert row["test"] == pytest.approx(right.mean())
    assert row["low"] < row["test"] < row["high"]
    assert right_answers(table).tolist() == [right.tolist()]
    assert epochs_table([run])["step"].tolist() == [32, 64, 96]


def test_what_a_method_does_not_have_is_empty(tmp_path):
    row = runs_table([make_run(tmp_path / "run", lora(method="head"), answers(0.7))]).iloc[0]
    assert pd.isna(row["rank"]) and pd.isna(row["alpha"]) and row["layers"] == ""


def test_an_empty_table_has_all_columns():
    assert list(runs_table([])) == list(COLUMNS)
    assert settings_table(runs_table([])).empty


def test_runs_without_a_result_are_left_out(tmp_path):
    run = make_run(tmp_path / "run", lora(), answers(0.8))
    untested = replace(run, result=run.result | {"test": None})
    for other in (replace(run, state="interrupted"), replace(run, result=None), untested):
        assert runs_table([other]).empty


def test_answers_that_are_missing_or_of_another_run_are_not_taken(tmp_path):
    make_run(tmp_path / "other", lora(), answers(0.6))
    wrong = make_run(tmp_path / "wrong", lora(), answers(0.8))
    (wrong.folder / FILE).write_bytes((tmp_path / "other" / FILE).read_bytes())
    bare = make_run(tmp_path / "bare", lora(), answers(0.8), keep_answers=False)
    assert runs_table([wrong, bare])["right"].tolist() == ["", ""]
    assert right_answers(runs_table([wrong, bare])) is None


# ------------------------------------------------------------------ settings


def test_only_the_seed_may_differ_within_a_setting(tmp_path):
    base = lora()
    others = {
        "seed": lora(seed=1),
        "rank": lora(rank=4),
        "layers": lora(layers="top:1"),
        "method": lora(method="head"),
        "rate": lora(train=replace(base.train, learning_rate=1e-4)),
        "epochs": lora(train=replace(base.train, epochs=5)),
        "size": lora(data=DataConfig(train_size=500)),
    }
    configs = {"base": base} | others
    runs = [make_run(tmp_path / name, c, answers(0.8)) for name, c in configs.items()]
    setting = runs_table(runs).set_index("id")["setting"]
    same = {name for name in others if setting[name] == setting["base"]}
    assert same == {"seed"}


def test_what_decides_nothing_does_not_part_settings(tmp_path):
    heads = [lora(rank=rank, method="head") for rank in (1, 8)]
    runs = [make_run(tmp_path / str(i), c, answers(0.7)) for i, c in enumerate(heads)]
    assert runs_table(runs)["setting"].nunique() == 1, "a head has no rank"


def test_other_data_is_another_setting(tmp_path):
    runs = [make_run(tmp_path / name, lora(), answers(0.8), data_fingerprint=name) for name in "ab"]
    assert runs_table(runs)["setting"].nunique() == 2


def test_a_setting_is_the_mean_of_its_seeds_with_an_interval_over_them(tmp_path):
    found = [answers(accuracy, seed) for seed, accuracy in enumerate((0.78, 0.80, 0.85))]
    runs = [make_run(tmp_path / str(s), lora(seed=s), r) for s, r in enumerate(found)]
    [row] = settings_table(runs_table(runs)).to_dict("records")
    accuracies = [right.mean() for right in found]
    interval = interval_over_seeds(accuracies, 400)
    assert row["test"] == pytest.approx(np.mean(accuracies))
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["seeds"] == 3 and sorted(row["members"]) == ["0", "1", "2"]


def test_a_seed_that_ran_twice_counts_once(tmp_path):
    runs = [
        make_run(tmp_path / "20250101", lora(seed=0), answers(0.7)),
        make_run(tmp_path / "20250102", lora(seed=0), answers(0.9)),
        make_run(tmp_path / "20250103", lora(seed=1), answers(0.8)),
    ]
    [row] = settings_table(runs_table(runs)).to_dict("records")
    assert set(row["members"]) == {"20250102", "20250103"} and row["seeds"] == 2


def test_settings_keep_the_order_of_their_first_runs(tmp_path):
    runs = [
        make_run(tmp_path / f"{place}", lora(rank=rank), answers(0.8))
        for place, rank in enumerate((32, 1, 8))
    ]
    assert settings_table(runs_table(runs))["rank"].tolist() == [32, 1, 8]


# ------------------------------------------------------------------ the Pareto front

points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=15)


@given(points)
def test_the_front_holds_just_what_nothing_beats(pairs):
    frame = pd.DataFrame(pairs, columns=["cost", "accuracy"])

    def beaten(cost, accuracy):
        return any(c <= cost and a >= accuracy and (c, a) != (cost, accuracy) for c, a in pairs)

    expected = [not beaten(*pair) for pair in pairs]
    assert pareto_front(frame["cost"], frame["accuracy"]).tolist() == expected


def test_what_has_no_cost_is_not_on_the_front():
    frame = pd.DataFrame({"cost": [1.0, None], "accuracy": [0.5, 0.9]})
    assert pareto_front(frame["cost"], frame["accuracy"]).tolist() == [True, False]
