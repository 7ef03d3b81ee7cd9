"""What the pages read from disk: the folder of runs, and baselines on a run's data.

A folder in it that is no run itself may be a sweep's, with a run in each of its folders. Such a run
is called SWEEP/RUN and comes after all others.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from lora_lab import jobs
from lora_lab.data import EMBEDDED, is_fetched
from lora_lab.evaluation import Evaluation
from lora_lab.results import stored_baselines
from lora_lab.results.stored_baselines import Baselines
from lora_lab.runs import DataConfig, Run, RunConfig, RunError

NEWEST = 200  # runs that are offered to look at
CLOCK_TICK = 50_000_000  # nanoseconds: what a file system's clock may lag behind


def runs_folder() -> Path:
    return Path(os.environ.get("LORA_LAB_RUNS") or "runs").absolute()


def find(run_id: str) -> Run | None:
    """The run of that name; None for a name that is not one of the folder's entries."""
    folder = runs_folder()
    # What a listing names lies in that folder: no name leads out of it.
    for part in run_id.split("/", maxsplit=1):
        if not part or not folder.is_dir() or part not in os.listdir(folder):
            return None
        folder /= part
    try:
        return _read(folder)
    except (RunError, OSError):
        return None


def recent_runs() -> list[Run]:
    """The newest runs in any state, newest first; without what they measured if under way."""
    return _looked().recent


def waiting() -> list[Run]:
    """Runs that wait for a worker, the next one first."""
    return _looked().waiting


def finished_runs() -> list[Run]:
    """Finished runs with a test result, newest first."""
    stamped = [(f, s) for f in _folders() if (s := _result_written(f))]
    found = [_finished(folder, stamp) for folder, stamp in stamped]
    return [run for run in found if run and run.test]


def finished_here() -> list[Run]:
    """Finished runs that this machine trained, newest first."""
    return [run for run in finished_runs() if _host(str(run.folder)) == platform.node()]


def other_seeds(run: Run, others: list[Run]) -> list[Run]:
    """Finished runs, this one included, that differ in the seeds alone; by the training's."""

    def without_seed(of: Run) -> RunConfig:
        train, data = replace(of.config.train, seed=0), replace(of.config.data, seed=0)
        return replace(of.config, train=train, data=data)

    same = [other for other in others if without_seed(other) == without_seed(run)]
    return list({other.config.train.seed: other for other in [*same, run]}.values())


def comparable(run: Run, others: list[Run]) -> list[Run]:
    """Other finished runs scored on the same test sentences."""
    sentences = run.result.get("test_fingerprint")
    same = (o for o in others if sentences and o.result.get("test_fingerprint") == sentences)
    return [other for other in same if other.id != run.id]


def baselines(run: Run, split: str) -> dict[str, Evaluation]:
    """Majority class and, where its answers fit the classes, VADER; empty without the data.

    A run that waits or trains has none before its process has scored them.
    """
    try:
        found = _stored_baselines(str(run.folder))
    except FileNotFoundError:
        if run.state in ("waiting", "running"):
            return {}
        found = _baselines(run)
    return found.get(split, {})


def examples(data: str) -> dict[str, int]:
    """How many sentences each split of a data set has; empty where it cannot be told."""
    try:
        return {} if data in EMBEDDED and not is_fetched() else _examples(data)
    except (ValueError, OSError, RuntimeError):
        return {}


@st.cache_data(show_spinner=False, max_entries=500)
def _examples(data: str) -> dict[str, int]:
    return {split: len(rows) for split, rows in DataConfig(data).load().items()}


@st.cache_resource(show_spinner=False, max_entries=500)
def _stored_baselines(folder: str) -> Baselines:
    """They never change; that there are none yet is not remembered.

    Raises:
        FileNotFoundError: there are none.
    """
    found = stored_baselines.read(Path(folder))
    if found is None:
        raise FileNotFoundError(folder)
    return found


def _baselines(run: Run) -> Baselines:
    """Of a run from the command line, whose process left none."""
    try:
        return _scored_baselines(run.config.data)
    except (ValueError, OSError, RuntimeError):
        return {}  # the data has gone since: the run's own numbers still stand


@st.cache_resource(show_spinner=False, max_entries=20)
def _scored_baselines(config: DataConfig) -> Baselines:
    return stored_baselines.score(config)


@dataclass(frozen=True)
class _Looked:
    """One look at the folder of runs, for all visitors."""

    recent: list[Run]
    waiting: list[Run]


def _looked() -> _Looked:
    """With a class's runs in the queue, to read them all for every visitor takes too long."""
    stamps = sorted((str(folder), _changed(folder)) for folder in _folders())
    newest = max((stamp for _, stamp in stamps), default=0)
    if time.time_ns() - newest < CLOCK_TICK:  # the next change may get the same stamp
        return _look(runs_folder())
    return _look_once(str(runs_folder()), hash(tuple(stamps)))


@st.cache_resource(show_spinner=False, max_entries=4, ttl=2)
def _look_once(runs: str, stamps: int) -> _Looked:
    """``stamps`` changes with every file that comes or goes in a run's folder, thus with its
    state; that a server elsewhere has died is seen when the time is over."""
    return _look(Path(runs))


def _look(runs: Path) -> _Looked:
    recent = [run for folder in _folders()[:NEWEST] if (run := _finished_or_not(folder))]
    queue = [run for run in jobs.waiting(runs) if run.state == "waiting"]
    return _Looked(recent, queue)


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:
        return 0  # deleted meanwhile


def _folders() -> list[Path]:
    """Whatever may be a run, the newest first; what is in a sweep's folder after the others."""
    entries = _entries(runs_folder())
    return entries + [inner for entry in entries if not _is_run(entry) for inner in _entries(entry)]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted((entry for entry in folder.iterdir() if entry.is_dir()), reverse=True)
    except OSError:
        return []  # there is none yet, or it was deleted meanwhile


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("wanted.json", "config.json"))


class _SweepRun(Run):
    @property
    def id(self) -> str:
        return f"{self.folder.parent.name}/{self.folder.name}"


def _read(folder: Path) -> Run:
    """A run under the name that the pages call it by.

    Raises:
        RunError: see ``jobs.read``.
    """
    run = jobs.read(folder)
    return run if folder.parent == runs_folder() else _SweepRun(**vars(run))


def _finished_or_not(folder: Path) -> Run | None:
    stamp = _result_written(folder)
    if stamp and (run := _finished(folder, stamp)):
        return run
    try:
        return _read(folder)
    except RunError:
        return None


def _finished(folder: Path, written: float) -> Run | None:
    try:
        return _read_once(str(folder), written)
    except RunError:
        return None


@st.cache_resource(show_spinner=False, max_entries=2000)
def _read_once(folder: str, written: float) -> Run:
    """A finished run does not change, so it is read once; ``written`` tells it from a new one.

    Raises:
        RunError: not finished; that is not remembered, because the queue gives a run up only a
            moment after its result is on disk.
    """
    run = _read(Path(folder))
    if run.state != "finished":
        raise RunError(f"The run in {folder} has not finished.")
    return run


@st.cache_resource(show_spinner=False, max_entries=2000)
def _host(folder: str) -> str:
    """Which machine trained a finished run."""
    try:
        return json.loads((Path(folder) / "status.json").read_text()).get("host", "")
    except (OSError, ValueError):
        return ""


def _result_written(folder: Path) -> float:
    try:
        return (folder / "status.json").stat().st_mtime * (folder / "result.json").is_file()
    except OSError:
        return 0.0
