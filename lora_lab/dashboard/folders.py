"""What the pages read from disk: the folder of runs, and baselines on a run's data."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from lora_lab import jobs
from lora_lab.baselines import evaluate_majority, evaluate_vader, understands
from lora_lab.evaluation import Evaluation
from lora_lab.runs import DataConfig, Run, RunError


def runs_folder() -> Path:
    return Path(os.environ.get("LORA_LAB_RUNS") or "runs").absolute()


def find(run_id: str) -> Run | None:
    """The run of that name; None for a name that is not one of the folder's entries."""
    runs = runs_folder()
    if not run_id or not runs.is_dir() or run_id not in os.listdir(runs):
        return None
    try:
        return jobs.read(runs / run_id)
    except RunError:
        return None


def finished_runs() -> list[Run]:
    """Finished runs with a test result, newest first."""
    runs = runs_folder()
    folders = sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []
    stamped = [(f, s) for f in folders if (s := _result_written(f))]
    found = [_finished(str(folder), stamp) for folder, stamp in stamped]
    return [run for run in found if run and run.test]


def comparable(run: Run, others: list[Run]) -> list[Run]:
    """Other finished runs scored on the same test sentences."""
    return [o for o in others if o.id != run.id and _test_of(o) == _test_of(run)]


def baselines(run: Run, split: str) -> dict[str, Evaluation]:
    """Majority class and, where its answers fit the classes, VADER; empty without the data."""
    try:
        return _baselines(run.config.data).get(split, {})
    except (ValueError, OSError, RuntimeError):
        return {}  # the data has gone since: the run's own numbers still stand


@st.cache_data(show_spinner=False, max_entries=20)
def _baselines(config: DataConfig) -> dict[str, dict[str, Evaluation]]:
    data = config.load()
    methods = {"Majority class": evaluate_majority}
    if understands(data["train"].features["label"].names):
        methods["VADER rules"] = evaluate_vader
    return {
        split: {name: evaluate(data, split) for name, evaluate in methods.items()}
        for split in ("validation", "test")
    }


@st.cache_data(show_spinner=False, max_entries=2000)
def _finished(folder: str, written: float) -> Run | None:
    """A finished run does not change, so it is read once; ``written`` tells it from a new one."""
    try:
        run = jobs.read(Path(folder))
    except RunError:
        return None
    return run if run.state == "finished" else None


def _result_written(folder: Path) -> float:
    try:
        return (folder / "status.json").stat().st_mtime * (folder / "result.json").is_file()
    except OSError:
        return 0.0


def _test_of(run: Run) -> tuple:
    """Which sentences the test was: the training subset does not matter."""
    support = tuple((report.name, report.support) for report in run.test.classes)
    return run.config.data.name, support
