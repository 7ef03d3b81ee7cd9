"""Which runs the pages see: those in the folder, those of sweeps in it, and nothing outside."""

from __future__ import annotations

import os
import time

import pytest

from lora_lab import jobs
from lora_lab.dashboard import folders
from lora_lab.jobs.tickets import Ticket, write_json
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


def wait_in_queue(folder, number: int) -> None:
    folder.mkdir(parents=True)
    write_json(folder / "wanted.json", lora(rank=number).as_dict())
    Ticket(folder, number=number).write()


def test_the_queue_is_in_the_order_of_its_tickets_whatever_the_folders_are_called(made):
    for number, name in ((3, "a"), (2, "c"), (1, "b")):
        wait_in_queue(made / name, number)
    assert [run.id for run in folders.waiting()] == ["b", "c", "a"]
    Ticket(made / "b", number=1).hand_over()
    assert [run.id for run in folders.waiting()] == ["c", "a"]


def test_a_folder_is_read_again_when_something_came_or_went_in_it(made, monkeypatch):
    wait_in_queue(made / "a", 1)
    yesterday = time.time() - 86_400
    for folder in (made / "a", *(made / name for name in EXPECTED)):
        os.utime(folder, (yesterday, yesterday))
    read, looks = jobs.read, []
    monkeypatch.setattr(jobs, "read", lambda folder: looks.append(folder.name) or read(folder))
    first = [(run.id, run.state) for run in folders.recent_runs()]
    everything, looks[:] = list(looks), []
    assert {"a", *(name.split("/")[-1] for name in EXPECTED)} <= set(everything)
    assert [(run.id, run.state) for run in folders.recent_runs()] == first
    folders.finished_runs()
    assert [run.id for run in folders.waiting()] == ["a"]
    assert looks == [], "nothing has changed"
    (made / "a" / "ticket.json").unlink()
    assert folders.waiting() == []
    assert set(looks) == {"a"}


def test_a_run_under_way_is_looked_at_again_after_a_while(made, monkeypatch):
    """Its process may die elsewhere, and then no file changes."""
    wait_in_queue(made / "a", 1)
    yesterday = time.time() - 86_400
    os.utime(made / "a", (yesterday, yesterday))
    assert [run.id for run in folders.waiting()] == ["a"]
    monkeypatch.setattr(Ticket, "holds", False)
    assert [run.id for run in folders.waiting()] == ["a"]
    later = time.monotonic() + 3
    monkeypatch.setattr(folders.time, "monotonic", lambda: later)
    assert folders.waiting() == []
