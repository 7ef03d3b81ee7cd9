"""A run's ticket: a file in its folder from the moment it is submitted until it has ended."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_lab import processes
from lora_lab.checkpoints import write_atomically

FILE = "ticket.json"
CANCEL = "cancel"
#: Seconds without a sign of life after which a server on another machine is taken for dead.
SILENCE = 60.0


@dataclass(frozen=True)
class Ticket:
    """A place in the queue.

    Attributes:
        number: the order of the queue; later ones are larger.
        handed_over: whether a worker has got the run.
        server: the process that keeps the queue; without it the ticket means nothing.
    """

    folder: Path
    number: int = field(default_factory=time.time_ns)
    visitor: str = ""
    handed_over: bool = False
    server: processes.Identity = field(default_factory=processes.identity)

    @property
    def holds(self) -> bool:
        """Whether the server that gave it out still lives."""
        if processes.is_here(self.server):
            return processes.find(self.server) is not None
        try:
            return time.time() - (self.folder / FILE).stat().st_mtime < SILENCE
        except OSError:
            return False

    @property
    def cancelled(self) -> bool:
        return (self.folder / CANCEL).exists()

    def write(self) -> None:
        values = dict(number=self.number, visitor=self.visitor, handed_over=self.handed_over)
        write_json(self.folder / FILE, values | {"server": self.server})

    def hand_over(self) -> Ticket:
        """The same ticket, written anew for a run that a worker gets now."""
        handed = replace(self, handed_over=True)
        handed.write()
        return handed

    def sign_of_life(self) -> None:
        """For servers on other machines, which cannot see this process."""
        try:
            os.utime(self.folder / FILE)
        except OSError:
            pass  # the folder was deleted while its run waited


def read(folder: Path) -> Ticket | None:
    values = read_json(folder / FILE)
    try:
        return Ticket(folder, **values) if values else None
    except TypeError:
        return None  # written by another version


def held(runs: Path) -> list[Ticket]:
    """Tickets of the waiting and running runs in a folder of runs, in the order of the queue."""
    found = [ticket for file in runs.glob(f"*/{FILE}") if (ticket := read(file.parent))]
    # A class has many tickets of one server: it is looked for once.
    servers = {tuple(ticket.server.values()): ticket for ticket in found}
    living = {server for server, ticket in servers.items() if ticket.holds}
    holding = (ticket for ticket in found if tuple(ticket.server.values()) in living)
    return sorted(holding, key=lambda ticket: ticket.number)


def remove(folder: Path) -> None:
    """Take the run out of the queue, together with a wish to cancel it."""
    for name in (CANCEL, FILE):
        (folder / name).unlink(missing_ok=True)


def ask_to_cancel(folder: Path) -> None:
    """Leave word for whoever has the run, on whichever machine."""
    (folder / CANCEL).touch()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, empty if the file is missing or holds something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(values, indent=2).encode())
