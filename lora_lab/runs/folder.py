"""A run's folder: what its files say, and whether its process still lives."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_lab import processes
from lora_lab.checkpoints import write_atomically
from lora_lab.choices import State
from lora_lab.evaluation import Evaluation
from lora_lab.listeners import read_metrics
from lora_lab.runs.config import RunConfig


class RunError(ValueError):
    """A run folder that cannot be used as asked."""


@dataclass(frozen=True)
class Run:
    """What is known about a run folder. ``result`` is None until it has finished.

    ``made_with`` names versions and machine, see ``environment``.
    """

    folder: Path
    config: RunConfig
    state: State
    reason: str
    metrics: list[dict[str, Any]]
    result: dict[str, Any] | None
    made_with: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def test(self) -> Evaluation | None:
        """Scores on the test split."""
        stored = self.result and self.result["test"]
        return Evaluation.from_dict(stored) if stored else None


def new_run_folder(runs: Path) -> Path:
    """A folder name that is free and cannot be guessed: date, time and a random part."""
    return runs / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}"


def read_run(folder: Path) -> Run:
    """A run as its files tell it. A run whose process is gone is "interrupted".

    Raises:
        RunError: no run there, or its files cannot be read.
    """
    try:
        values = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        made_with = values.pop("made_with", {})
        config = RunConfig.from_dict(values)
        status = json.loads((folder / "status.json").read_text(encoding="utf-8"))
        result = None
        if (folder / "result.json").exists():
            result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"There is no run in {folder}.") from None
    except ValueError as error:
        raise RunError(f"The files of the run in {folder} cannot be read: {error}") from error
    state, reason = status["state"], status.get("reason", "")
    if state == "running" and not _is_alive(status):
        state, reason = "interrupted", "its process has ended; go on with --resume"
    metrics = read_metrics(folder / "metrics.jsonl")
    return Run(folder, config, state, reason, metrics, result, made_with)


def list_runs(runs: Path) -> list[Run]:
    """All readable runs in a folder of runs, oldest first."""
    found = []
    for folder in sorted(runs.iterdir()) if runs.is_dir() else []:
        try:
            found.append(read_run(folder))
        except RunError:
            continue
    return found


def write_status(folder: Path, state: State, reason: str = "") -> None:
    """Leave word of how a run stands, and of the process that trains it.

    Raises:
        StorageError: the file could not be written.
    """
    write_json(folder / "status.json", dict(state=state, reason=reason) | processes.identity())


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Replace a file of a run as a whole, or not at all. Raises as ``write_status``."""
    write_atomically(path, json.dumps(values, indent=2).encode())


def _is_alive(status: dict[str, Any]) -> bool:
    """Another machine's process cannot be looked at from here and is taken to live."""
    return not processes.is_here(status) or processes.find(status) is not None
