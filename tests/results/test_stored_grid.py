"""A stored grid comes back as it was written, says where it is from, and damage is noticed."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from lora_lab.results.stored_grid import FILES, GridError, read_grid, write_grid
from lora_lab.results.table import epochs_table, right_answers, runs_table

from ..made_runs import MADE_WITH, answers, lora, make_run

COMMAND = "lora-lab sweep --preset classroom"


@pytest.fixture
def runs(tmp_path):
    configs = [lora(seed=0), lora(seed=1), lora(seed=0, method="head")]
    return [
        make_run(tmp_path / f"run {i}", config, answers(0.8, i)) for i, config in enumerate(configs)
    ]


@pytest.fixture
def stored(runs, tmp_path):
    write_grid(runs, tmp_path / "grid", COMMAND)
    return tmp_path / "grid"


def test_what_was_written_comes_back(runs, stored):
    grid = read_grid(stored)
    pd.testing.assert_frame_equal(grid.runs, runs_table(runs))
    pd.testing.assert_frame_equal(grid.epochs, epochs_table(runs))
    assert (right_answers(grid.runs) == right_answers(runs_table(runs))).all()


def test_it_says_what_produced_it(stored):
    origin = read_grid(stored).origin
    assert origin["command"] == COMMAND and origin["runs"] == 3 and origin["seeds"] == [0, 1]
    assert origin["made_with"] == MADE_WITH
    assert origin["data"]["test_fingerprint"] == "0123456789abcdef"
    assert origin["data"]["train"] == [1000] and origin["data"]["test"] == 400


def test_it_names_every_set_of_test_sentences(runs, tmp_path):
    right = answers(0.8, sentences=300)
    other = make_run(tmp_path / "other", lora(seed=5), right, sentences="f" * 16)
    write_grid([*runs, other], tmp_path / "grid", COMMAND)
    grid = read_grid(tmp_path / "grid")
    assert grid.origin["data"]["test"] == [400, 300]
    assert grid.origin["data"]["test_fingerprint"] == ["0123456789abcdef", "f" * 16]


def test_runs_tested_on_different_sentences_can_be_one_grid(runs, tmp_path):
    fewer = answers(0.7, sentences=150)
    other = make_run(tmp_path / "other", lora(seed=5), fewer, sentences="f" * 16)
    write_grid([*runs, other], tmp_path / "grid", COMMAND)
    found = read_grid(tmp_path / "grid").runs
    assert (right_answers(found[found["sentences"] == "f" * 16]) == fewer).all()


def test_an_empty_grid_is_refused(tmp_path):
    with pytest.raises(GridError):
        write_grid([], tmp_path / "grid", COMMAND)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_told(stored, name):
    (stored / name).unlink()
    with pytest.raises(GridError, match="no stored grid"):
        read_grid(stored)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"nonsense\n1\n", b"\xff\xfe", b"[]"])
def test_a_damaged_file_is_told(stored, name, content):
    (stored / name).write_bytes(content)
    with pytest.raises(GridError):
        read_grid(stored)


def test_missing_facts_answers_and_curves_are_told(stored):
    origin = json.loads((stored / "origin.json").read_text())
    del origin["made_with"]
    (stored / "origin.json").write_text(json.dumps(origin))
    with pytest.raises(GridError, match="made_with"):
        read_grid(stored)


@pytest.mark.parametrize(("name", "column"), [("runs.csv", "right"), ("epochs.csv", None)])
def test_rows_without_answers_or_curves_are_told(stored, name, column):
    frame = pd.read_csv(stored / name)
    frame = frame.assign(**{column: ""}) if column else frame.iloc[:1]
    frame.to_csv(stored / name, index=False)
    with pytest.raises(GridError, match="missing"):
        read_grid(stored)
