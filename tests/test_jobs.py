"""Runs in processes of their own: they start, can be stopped, and never look alive when dead."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from lora_lab import jobs
from lora_lab.adapt import LoraConfig
from lora_lab.runs import DataConfig, RunConfig, RunError
from lora_lab.training import TrainConfig

from .data.invented import make_frame


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "runs"
    yield folder
    if run := jobs.current(folder):
        jobs.cancel(run)


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """Long enough to be caught in the middle: fifty epochs on invented sentences."""
    file = tmp_path / "reviews.csv"
    make_frame(200, ("negative", "positive")).to_csv(file, index=False)
    return RunConfig(
        data=DataConfig(str(file)),
        lora=LoraConfig(rank=2, layers="top:1"),
        train=TrainConfig(epochs=50),
    )


def wait_for(condition, seconds: float, what: str):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(0.05)
    pytest.fail(f"Waited {seconds:.0f} s for {what}.")


def until_it_trains(folder: Path) -> None:
    def trains() -> bool:
        run = jobs.read(folder)
        assert run.state == "running", run.reason
        return any(event["event"] == "step" for event in run.metrics)

    wait_for(trains, 120, "the first step")


def test_a_started_run_is_current_at_once_and_the_only_one(runs, config):
    run = jobs.start(config, runs / "one")
    assert run.state == "running" and run.config == config
    assert jobs.current(runs).id == "one"
    with pytest.raises(jobs.BusyError, match="one"):
        jobs.start(config, runs / "two")
    assert not (runs / "two").exists()


def test_cancelled_while_loading(runs, config):
    run = jobs.cancel(jobs.start(config, runs / "one"))
    assert (run.state, run.reason) == ("interrupted", jobs.CANCELLED)
    assert jobs.current(runs) is None


def test_cancelled_while_training_and_gone_on_with(runs, config):
    run = jobs.start(config, runs / "one")
    until_it_trains(run.folder)
    began = time.monotonic()
    run = jobs.cancel(run)
    assert time.monotonic() - began < 2
    assert (run.state, run.reason) == ("interrupted", jobs.CANCELLED)
    assert jobs.resume(run).state == "running"
    assert jobs.current(runs).id == "one"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_worker_shows_as_interrupted(runs, config):
    run = jobs.start(config, runs / "one")
    until_it_trains(run.folder)
    os.kill(json.loads((run.folder / "worker.json").read_text())["pid"], signal.SIGKILL)
    wait_for(lambda: jobs.read(run.folder).state == "interrupted", 2, "the state to change")
    assert jobs.read(run.folder).reason == jobs.VANISHED
    assert jobs.current(runs) is None


def test_a_run_that_cannot_be_says_why(runs, config):
    wrong = RunConfig(data=DataConfig("no-such-data.csv"), train=config.train)
    run = jobs.start(wrong, runs / "one")
    wait_for(lambda: jobs.read(run.folder).state == "failed", 120, "the run to fail")
    assert "no-such-data.csv" in jobs.read(run.folder).reason
    with pytest.raises(RunError, match="only an interrupted run"):
        jobs.resume(jobs.read(run.folder))


def test_a_worker_that_dies_before_the_run_begins_leaves_its_last_words(runs, config, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # Python itself will not start
    run = jobs.start(config, runs / "one")
    wait_for(lambda: jobs.read(run.folder).state == "failed", 30, "the worker to die")
    assert jobs.read(run.folder).reason


def test_another_process_with_the_same_number_is_not_the_worker(runs, config):
    run = jobs.cancel(jobs.start(config, runs / "one"))
    worker = json.loads((run.folder / "worker.json").read_text())
    worker |= {"pid": os.getpid(), "process_started": 1.0}
    (run.folder / "worker.json").write_text(json.dumps(worker))
    assert jobs.cancel(run).state == "interrupted"  # and this process still lives
    assert jobs.current(runs) is None


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError):
        jobs.read(tmp_path)
    assert jobs.current(tmp_path / "none") is None
    assert jobs.history(tmp_path) == []


def test_an_existing_folder_is_not_written_over(runs, config):
    (runs / "one").mkdir(parents=True)
    with pytest.raises(RunError, match="exists already"):
        jobs.start(config, runs / "one")
