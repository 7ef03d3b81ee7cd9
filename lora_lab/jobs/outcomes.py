"""How a run ended when its own process could not write it down, in words for its visitors."""

from __future__ import annotations

import signal
from pathlib import Path

from lora_lab.checkpoints import StorageError
from lora_lab.choices import State
from lora_lab.jobs import tickets

CANCELLED = "cancelled"
STOPPED = "the workbench was stopped before the run had ended"
KILLED = (
    "The process that trained it was killed. Most often that means that the computer ran out of "
    "memory: try fewer layers, a smaller rank or model, or fewer runs at a time."
)
CRASHED = "The process that trained it crashed. Its last words are in log.txt in the run's folder."
LOST_WORKER = "The worker that trained it has gone: it was killed, or its machine stopped."
LOST_SCHEDULER = "the connection to the scheduler was lost"
NO_SCHEDULER = "the scheduler that hands out the work could not be reached"

_FROM_OUTSIDE = {getattr(signal, name, None) for name in ("SIGKILL", "SIGTERM", "SIGHUP")}


def of_process(folder: Path, code: int) -> str:
    """What to say of a training process by its exit code; nothing if it has said it itself."""
    if tickets.read_json(folder / "status.json").get("state") in ("finished", "failed"):
        return ""
    if code < 0:
        return KILLED if -code in _FROM_OUTSIDE else CRASHED
    lines = _log_lines(folder)
    return lines[-1].removeprefix("lora-lab: ") if lines else CRASHED


def settle(folder: Path, state: State, reason: str) -> None:
    """Write how the run ended, unless it is known already, and give up its ticket.

    Args:
        reason: empty if the process that trained has said it itself.
    """
    status = tickets.read_json(folder / "status.json")
    if reason and folder.exists() and status.get("state") != "finished":
        try:
            tickets.write_json(folder / "status.json", status | {"state": state, "reason": reason})
        except StorageError:
            pass  # the disk is full; without its ticket the run shows as interrupted
    tickets.remove(folder)


def _log_lines(folder: Path) -> list[str]:
    try:
        text = (folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()]
