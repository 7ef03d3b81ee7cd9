"""What the pages read from disk: the folder of runs, and baselines on a run's data.

A folder in it that is no run itself may be a sweep's, with a run in each of its folders. Such a run
is called SWEEP/RUN and comes after all others.
"""

from __future__ import annotations

import json
import math
import os
import platform
import time
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import streamlit as st

from lora_lab import jobs
from lora_lab.data import EMBEDDED, is_fetched
from lora_lab.evaluation import Evaluation
from lora_lab.results import stored_baselines
from lora_lab.results.stored_baselines import Baselines
from lora_lab.runs import DataConfig, Run, RunConfig, RunError

NEWEST = 200  # runs that are offered to look at
READ_ANEW = 2.0  # seconds for which a run under way is taken to live on
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
    return [read.run for read in _looked()[:NEWEST]]


def waiting() -> list[Run]:
    """Runs that wait for a worker, the next one first."""
    queue = [read for read in _looked() if read.run.state == "waiting"]
    return [read.run for read in sorted(queue, key=lambda read: read.number)]


def finished_runs() -> list[Run]:
    """Finished runs with a test result, newest first."""
    return [r.run for r in _looked() if r.run.state == "finished" and r.run.test]


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
class _Read:
    """A run as it was read, and what to know it by when it has changed.

    Attributes:
        number: its place in the queue, see ``jobs.number``.
        changed: when a file last came or went in its folder, in nanoseconds.
        until: when to read it anew all the same, on the monotonic clock.
    """

    run: Run
    number: int
    changed: int
    until: float


_read_before: dict[str, _Read] = {}


def _looked() -> list[_Read]:
    return [read for folder in _folders() if (read := _looked_at(*folder))]


def _looked_at(folder: str, changed: int) -> _Read | None:
    """The run in a folder; read once as long as nothing comes or goes there, thus as its state
    does not change. With a class's runs in the queue, to read them all for every visitor takes
    too long. That a server elsewhere has died is in no folder and seen when the time is over."""
    before = _read_before.get(folder)
    if before and before.changed == changed and time.monotonic() < before.until:
        return before
    try:
        run = _read(Path(folder))
    except (RunError, OSError):
        return None
    until = math.inf if run.state == "finished" else time.monotonic() + READ_ANEW
    read = _Read(run, jobs.number(run), changed, until)
    if time.time_ns() - changed > CLOCK_TICK:  # else the next change may get the same stamp
        _read_before[folder] = read
    return read


def _folders() -> list[tuple[str, int]]:
    """Whatever may be a run, the newest first, and when it changed; what is in a sweep's folder
    after the others."""
    found = _entries(str(runs_folder()))
    runs = [entry for entry in found if _is_run(entry[0])]
    inner = chain.from_iterable(_entries(folder) for folder, _ in found if not _is_run(folder))
    return [*runs, *(entry for entry in inner if _is_run(entry[0]))]


def _entries(folder: str) -> list[tuple[str, int]]:
    try:
        with os.scandir(folder) as found:
            folders = [(entry.path, entry.stat().st_mtime_ns) for entry in found if entry.is_dir()]
    except OSError:
        return []  # there is none yet, or it was deleted meanwhile
    return sorted(folders, reverse=True)


def _is_run(folder: str) -> bool:
    return any(os.path.exists(f"{folder}/{name}") for name in ("wanted.json", "config.json"))


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


@st.cache_resource(show_spinner=False, max_entries=2000)
def _host(folder: str) -> str:
    """Which machine trained a finished run."""
    try:
        return json.loads((Path(folder) / "status.json").read_text()).get("host", "")
    except (OSError, ValueError):
        return ""
