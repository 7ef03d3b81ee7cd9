"""What run folders say about jobs. Nothing is written here, and no queue is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lora_lab import processes
from lora_lab.jobs import tickets
from lora_lab.jobs.outcomes import STOPPED
from lora_lab.jobs.tickets import Ticket, read_json
from lora_lab.runs import Run, RunConfig, RunError, read_run


def read(folder: Path) -> Run:
    """A run as its files tell it, also before its training has begun.

    Raises:
        RunError: no run there, or its files cannot be read.
    """
    ticket = tickets.read(folder)  # before the status, which is written before a ticket goes
    run = _stored(folder)
    if ticket and ticket.holds:
        return replace(run, state=_state(ticket), reason="", result=None)
    status = read_json(folder / "status.json")
    if status.get("state", "running") != "running":
        return run
    if run.state == "running" and (ticket is None or processes.is_here(status)):
        return run  # from the command line, or its server was killed this very moment
    return replace(run, state="interrupted", reason=STOPPED)


def is_under_way(folder: Path) -> bool:
    """Whether a run waits or runs; cheaper than ``read`` for one that does.

    Raises:
        RunError: no run there, or its files cannot be read.
    """
    ticket = tickets.read(folder)
    return bool(ticket and ticket.holds) or read(folder).state in ("waiting", "running")


def waiting(runs: Path) -> list[Run]:
    """Runs that wait for a worker, the next one first."""
    return [run for run in _active(runs) if run.state == "waiting"]


def running(runs: Path) -> list[Run]:
    """Runs that workers have, the oldest first."""
    return [run for run in _active(runs) if run.state == "running"]


def current(runs: Path) -> Run | None:
    """The run to show to someone who asks for none: the one that has run longest."""
    return next(iter(running(runs)), None)


def position(run: Run) -> int:
    """How many runs start before it and it itself: 1 for the next one, 0 if it does not wait."""
    queue = [t.folder for t in tickets.held(run.folder.parent) if not t.handed_over]
    return queue.index(run.folder) + 1 if run.folder in queue else 0


def number(run: Run) -> int:
    """What the queue is sorted by; 0 for a run that is not in it."""
    ticket = tickets.read(run.folder)
    return ticket.number if ticket else 0


def history(runs: Path) -> list[Run]:
    """All readable runs, oldest first; unlike ``list_runs`` also those that have not begun."""
    return _readable(sorted(runs.iterdir()) if runs.is_dir() else [])


def _active(runs: Path) -> list[Run]:
    return _readable([ticket.folder for ticket in tickets.held(runs)])


def _readable(folders: list[Path]) -> list[Run]:
    found = []
    for folder in folders:
        try:
            found.append(read(folder))
        except (RunError, OSError):
            continue
    return found


def _state(ticket: Ticket) -> str:
    return "running" if ticket.handed_over else "waiting"


def _stored(folder: Path) -> Run:
    """The run without regard to the queue; before training only ``wanted.json`` tells of it."""
    begun = (folder / "config.json").exists() and (folder / "status.json").exists()
    if begun or not (folder / "wanted.json").exists():
        return read_run(folder)
    try:
        config = RunConfig.from_dict(read_json(folder / "wanted.json"))
    except (TypeError, ValueError) as error:
        raise RunError(f"The files of the run in {folder} cannot be read: {error}") from error
    status = read_json(folder / "status.json")
    state, reason = status.get("state", "interrupted"), status.get("reason", "")
    return Run(folder, config, state, reason, [], None)
