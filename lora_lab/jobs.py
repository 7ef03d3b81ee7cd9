"""Runs in processes of their own: start, watch, cancel, go on. Who started one may go away.

A run folder holds, besides the files of ``runs``:

    wanted.json   the configuration the process was started with
    worker.json   which process it is, and whether it was cancelled
    log.txt       what the process printed
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from lora_lab.checkpoints import write_atomically
from lora_lab.runs import Run, RunConfig, RunError, read_run

CANCELLED = "cancelled"
VANISHED = "its process ended too early: it was killed, ran out of memory, or the machine stopped"

_starting = threading.Lock()


class BusyError(RuntimeError):
    """Another run is under way; one at a time is trained."""

    def __init__(self, run: Run) -> None:
        super().__init__(f"The run {run.id} is still being trained. Wait for it, or cancel it.")
        self.run = run


def start(config: RunConfig, folder: Path) -> Run:
    """Train ``config`` in ``folder``, in a new process that outlives this one.

    Raises:
        BusyError: another run in the same folder of runs is under way.
        RunError: ``folder`` exists.
        StorageError, OSError: the folder cannot be written, or no process started.
    """
    with _starting:
        _refuse_if_busy(folder.parent)
        if folder.exists():
            raise RunError(f"{folder} exists already. Start the run in another folder.")
        write_atomically(folder / "wanted.json", json.dumps(config.as_dict(), indent=2).encode())
        _launch(folder)
    return read(folder)


def resume(run: Run) -> Run:
    """Go on with an interrupted run from its last checkpoint.

    Raises:
        BusyError: another run in the same folder of runs is under way.
        RunError: the run is not interrupted.
    """
    with _starting:
        _refuse_if_busy(run.folder.parent)
        if read(run.folder).state != "interrupted":
            raise RunError(f"{run.folder} is {run.state}; only an interrupted run can go on.")
        _launch(run.folder, resume=(run.folder / "config.json").exists())
    return read(run.folder)


def cancel(run: Run, patience: float = 1.0) -> Run:
    """Stop a run's process, by force after ``patience`` seconds; what is on disk stays.

    Raises:
        RunError: the run's process is on another machine.
    """
    worker = _worker(run.folder)
    if worker.get("host") != platform.node():
        raise RunError(f"The run {run.id} is on another machine and can only be stopped there.")
    if (process := _process(worker)) is None:
        return read(run.folder)
    _write_worker(run.folder, worker | {"cancelled": True})
    # Fetching the data starts pip, which must not go on alone.
    family = [process, *_ignoring_absence(lambda: process.children(recursive=True), [])]
    for member in family:
        _ignoring_absence(member.terminate)
    for member in psutil.wait_procs(family, timeout=patience)[1]:
        _ignoring_absence(member.kill)
    psutil.wait_procs(family, timeout=patience)
    return read(run.folder)


def current(runs: Path) -> Run | None:
    """The run that is under way in a folder of runs, if any."""
    for folder in sorted(runs.iterdir(), reverse=True) if runs.is_dir() else []:
        if _is_working(_worker(folder)) and (run := _readable(folder)) and run.state == "running":
            return run
    return None


def history(runs: Path) -> list[Run]:
    """All readable runs, oldest first; unlike ``list_runs`` also those that are only starting."""
    folders = sorted(runs.iterdir()) if runs.is_dir() else []
    return [run for folder in folders if (run := _readable(folder))]


def read(folder: Path) -> Run:
    """``read_run``, which also knows a process that is still loading or died before training.

    Raises:
        RunError: no run there, or its files cannot be read.
    """
    worker = _worker(folder)
    working = _is_working(worker)
    try:
        run = read_run(folder)
    except RunError:
        if not (folder / "wanted.json").exists() or (folder / "status.json").exists():
            raise
        run = _before_training(folder, worker, working)
    status = _json(folder / "status.json")
    if working and status.get("pid") != worker.get("pid"):
        return replace(run, state="running", reason="")  # resumed: the status is an old one
    if run.state == "running" and not working:
        run = replace(run, state="interrupted")
    if run.state == "interrupted":
        return replace(run, reason=CANCELLED if worker.get("cancelled") else VANISHED)
    return run


def _before_training(folder: Path, worker: dict[str, Any], working: bool) -> Run:
    values = _json(folder / "wanted.json")
    try:
        config = RunConfig.from_dict(values)
    except (TypeError, ValueError) as error:
        raise RunError(f"The files of the run in {folder} cannot be read: {error}") from error
    if working:
        return Run(folder, config, "running", "", [], None)
    lines = _log_lines(folder)
    if worker.get("cancelled") or not lines:
        return Run(folder, config, "interrupted", "", [], None)
    return Run(folder, config, "failed", lines[-1].removeprefix("lora-lab: "), [], None)


def _log_lines(folder: Path) -> list[str]:
    try:
        text = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]


def _launch(folder: Path, *, resume: bool = False) -> None:
    what = ["--resume"] if resume else ["--config", str(folder / "wanted.json")]
    command = [sys.executable, "-m", "lora_lab", "train", *what, "--folder", str(folder)]
    with open(folder / "log.txt", "ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the app's terminal must not reach it
        )
    # Nobody else waits for it, and a process that no one waited for looks alive for ever.
    threading.Thread(target=process.wait, daemon=True).start()
    try:
        started = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0
    identity = dict(pid=process.pid, process_started=started, host=platform.node())
    _write_worker(folder, identity | {"cancelled": False})


def _refuse_if_busy(runs: Path) -> None:
    if busy := current(runs):
        raise BusyError(busy)


def _readable(folder: Path) -> Run | None:
    try:
        return read(folder)
    except RunError:
        return None


def _worker(folder: Path) -> dict[str, Any]:
    """Who trains: as ``start`` wrote it, or for a run from the command line its own status."""
    return _json(folder / "worker.json") or _json(folder / "status.json")


def _write_worker(folder: Path, worker: dict[str, Any]) -> None:
    write_atomically(folder / "worker.json", json.dumps(worker, indent=2).encode())


def _is_working(worker: dict[str, Any]) -> bool:
    if worker and worker.get("host") != platform.node():
        return True  # cannot be looked at from here; its status has the last word
    return _process(worker) is not None


def _process(worker: dict[str, Any]) -> psutil.Process | None:
    try:
        process = psutil.Process(worker["pid"])
        # A process number alone may have been given to another program since.
        same = process.create_time() == worker["process_started"]
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (KeyError, TypeError, psutil.Error):
        return None


def _ignoring_absence(action, otherwise=None):
    try:
        return action()
    except psutil.NoSuchProcess:
        return otherwise


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
