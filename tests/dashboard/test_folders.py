"""Which runs the pages see: those in the folder, those of sweeps in it, and nothing outside."""

from __future__ import annotations

import pytest

from lora_lab.dashboard import folders
from lora_lab.results.table import runs_table

from ..made_runs import answers, lora, make_run


@pytest.fixture
def made(tmp_path, monkeypatch):
    runs = tmp_path / "runs"
    monkeypatch.setenv("LORA_LAB_RUNS", str(runs))
    for name in ("20260101-120000-aa", "20260102-120000-bb", "ranks/rank-1_seed-0",
                 "rates/rank-1_seed-0", "ranks/deeper/rank-1"):  # fmt: skip
        make_run(runs / name, lora(), answers(0.8))
    make_run(tmp_path / "outside" / "run", lora(), answers(0.8))
    (runs / "ranks" / "results.csv").write_text("no run\n")
    (runs / "notes.txt").write_text("mine\n")
    (runs / "uploads" / "own-1").mkdir(parents=True)
    return runs


EXPECTED = [
    "20260102-120000-bb",
    "20260101-120000-aa",
    "rates/rank-1_seed-0",
    "ranks/rank-1_seed-0",
]


def test_runs_of_sweeps_come_after_the_others_under_names_of_their_own(made):
    assert [run.id for run in folders.finished_runs()] == EXPECTED
    assert [run.id for run in folders.recent_runs()] == EXPECTED
    assert runs_table(folders.finished_runs())["id"].is_unique


@pytest.mark.parametrize("name", EXPECTED)
def test_each_is_found_by_its_name(made, name):
    assert folders.find(name).id == name


@pytest.mark.parametrize(
    "name",
    [
        "", "/", "ranks", "ranks/", "/ranks", "..", ".", "../outside/run", "outside/run",
        "ranks/../../outside/run", "ranks/results.csv", "ranks/deeper/rank-1", "ranks/..",
        "ranks//rank-1_seed-0", "uploads/own-1",
        "20260101-120000-aa/..", "ranks/results.csv/x", "ranks\\rank-1_seed-0", "ranks/\0",
    ],
)  # fmt: skip
def test_no_name_leads_anywhere_else(made, name):
    assert folders.find(name) is None


def test_absolute_names_are_no_names(made):
    assert folders.find(str(made.parent / "outside" / "run")) is None
    assert folders.find(str(made / "ranks" / "rank-1_seed-0")) is None
