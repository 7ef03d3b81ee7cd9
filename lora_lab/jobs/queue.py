"""What visitors can ask for: to put a run into the queue, take it out, or let it go on."""

from __future__ import annotations

import json
import time
from pathlib import Path

from lora_lab import processes
from lora_lab.checkpoints import write_atomically
from lora_lab.jobs import outcomes, reading, tickets, worker
from lora_lab.jobs.keeper import Keeper
from lora_lab.jobs.tickets import Ticket
from lora_lab.runs import Run, RunConfig, RunError, new_run_folder

WAITING_LIMIT = 3
PATIENCE = 3.0  # seconds for a run to end once it is cancelled

_keeper = Keeper()


class LimitError(RuntimeError):
    """A visitor has as many runs waiting as one may have."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"You have {limit} run{'s' * (limit != 1)} waiting already, which is as many as one "
            "visitor may have. Wait until one of them starts, or cancel one."
        )
        self.limit = limit


def submit(config: RunConfig, runs: Path, visitor: str, limit: int = WAITING_LIMIT) -> Run:
    """Put a run at the end of the queue, or join one that is the same and has not ended.

    Args:
        visitor: an id of whoever asks, for ``limit``, the runs that one may have waiting.

    Raises:
        LimitError: ``visitor`` has that many waiting.
        StorageError, OSError: the folder cannot be written.
    """
    with _keeper.lock:
        for ticket in tickets.held(runs):
            if not ticket.cancelled and (run := _readable(ticket.folder)) and run.config == config:
                return run
        own = [t for t in tickets.held(runs) if t.visitor == visitor and not t.handed_over]
        if len(own) >= limit:
            raise LimitError(limit)
        return _add(config, new_run_folder(runs), visitor)


def submit_into(folder: Path, config: RunConfig) -> Run:
    """Put a run with a folder of its own into the queue, however many wait already: for sweeps.

    One that waits or runs is joined, one that was interrupted or failed goes on where it stopped,
    and one that has finished is left as it is.

    Raises:
        RunError: the folder holds a run with other settings, or one that cannot be read.
        StorageError, OSError: the folder cannot be written.
    """
    with _keeper.lock:
        if not any((folder / name).exists() for name in ("config.json", "wanted.json")):
            return _add(config, folder)
        run = reading.read(folder)
        if run.config != config:
            raise RunError(f"{folder} holds a run with other settings. Use another folder.")
        return resume(run) if run.state in ("interrupted", "failed") else run


def resume(run: Run, visitor: str = "") -> Run:
    """Put a run that was interrupted or failed at the end of the queue, to go on where it stopped.

    Raises:
        RunError: it waits, runs or has finished.
        StorageError, OSError: the folder cannot be written.
    """
    with _keeper.lock:
        state = reading.read(run.folder).state
        if state not in ("interrupted", "failed"):
            raise RunError(
                f"The run {run.id} is {state}; only one that was interrupted or failed can go on."
            )
        for leftover in ("worker.json", tickets.CANCEL):
            (run.folder / leftover).unlink(missing_ok=True)
        # An old "running" would keep the new process from going on.
        outcomes.settle(run.folder, "interrupted", outcomes.STOPPED)
        _keeper.add(Ticket(run.folder, visitor=visitor))
        return reading.read(run.folder)


def cancel(run: Run) -> Run:
    """Take a run out of the queue, or stop it; what is on disk stays, and it can be resumed.

    A worker on another machine may see the wish later; then the run is still running on return.
    """
    ticket = tickets.read(run.folder)
    if ticket is None or not ticket.holds:
        _stop_stray(run)
        return reading.read(run.folder)
    tickets.ask_to_cancel(run.folder)
    _keeper.poke()
    deadline = time.monotonic() + PATIENCE
    while (run.folder / tickets.FILE).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return reading.read(run.folder)


def shut_down() -> None:
    """Stop everything that runs or waits here; all of it can be resumed."""
    _keeper.close()
    worker.close()


def _add(config: RunConfig, folder: Path, visitor: str = "") -> Run:
    write_atomically(folder / "wanted.json", json.dumps(config.as_dict(), indent=2).encode())
    _keeper.add(Ticket(folder, visitor=visitor))
    return reading.read(folder)


def _readable(folder: Path) -> Run | None:
    try:
        return reading.read(folder)
    except RunError:
        return None  # deleted or damaged by hand


def _stop_stray(run: Run) -> None:
    """End a run that no queue keeps, such as one from the command line.

    Raises:
        RunError: its process is on another machine.
    """
    status = tickets.read_json(run.folder / "status.json")
    if status.get("state") != "running":
        return
    if not processes.is_here(status):
        raise RunError(f"The run {run.id} is on another machine and can only be stopped there.")
    if process := processes.find(status):
        processes.stop(process.pid)
    outcomes.settle(run.folder, "interrupted", outcomes.CANCELLED)
