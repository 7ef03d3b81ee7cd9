"""Which process is which, also after its number has been given to another; and how to stop one."""

from __future__ import annotations

import platform
from typing import Any

import psutil

#: How a process is written into a file: its number, when it started, on which machine.
Identity = dict[str, Any]
#: Seconds by which two looks at the same start may differ: clocks get corrected.
DRIFT = 2.0


def identity(pid: int | None = None) -> Identity:
    """Of the process with that number, or of this one.

    Raises:
        psutil.NoSuchProcess: it has ended.
    """
    process = psutil.Process(pid)
    return dict(pid=process.pid, process_started=process.create_time(), host=platform.node())


def is_here(whose: Identity) -> bool:
    """Whether the process ran on this machine; another machine's cannot be looked at."""
    return whose.get("host") == platform.node()


def find(whose: Identity) -> psutil.Process | None:
    """The process on this machine, if it still lives."""
    try:
        process = psutil.Process(whose["pid"])
        same = abs(process.create_time() - whose["process_started"]) < DRIFT
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (KeyError, TypeError, psutil.Error):
        return None


def stop(pid: int, patience: float = 1.0) -> None:
    """End a process and its children, by force after ``patience`` seconds."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for action in ("terminate", "kill"):
        for member in family:
            try:
                getattr(member, action)()
            except psutil.NoSuchProcess:
                pass
        family = psutil.wait_procs(family, timeout=patience)[1]
