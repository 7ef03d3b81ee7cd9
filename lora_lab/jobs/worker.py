"""What a dask worker does with a run: start a process that trains it, watch it, stop it if asked.

Training is not done in the worker itself, for three reasons. A thread of a worker cannot be
stopped: cancelling within two seconds means killing a process, and here that is one which holds
this run and nothing else. If memory runs out, the system kills the largest process, which is the
one that trains: the worker lives on, says what happened and takes the next run. And the peak of
memory that a run reports is its own. Where the system can, that process is forked from one that
has imported everything (``fork_server``); elsewhere the price is a few seconds of imports a run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import psutil

from lora_lab import processes
from lora_lab.jobs import outcomes, tickets
from lora_lab.jobs.forks import AVAILABLE, Environment, Forked, ForkServers

EVERY = 0.1  # seconds between two looks for a wish to cancel

_fork_servers = ForkServers()


def train(folder: str, number: int, at_once: int) -> str:
    """Train the run in ``folder`` to its end, or until it is cancelled or loses its ticket.

    Args:
        number: of the ticket.
        at_once: how many runs share this machine.

    Returns:
        Why it has no result, or nothing if its own files say what became of it.

    Raises:
        RuntimeError: another worker had this run and died.
        OSError, StorageError: no process could be started, or the folder cannot be written.
    """
    run = Path(folder)
    if (run / "worker.json").exists():  # dask gives the work of a dead worker to another one
        raise RuntimeError(outcomes.LOST_WORKER)
    _note(run, os.getpid())  # until that process has begun
    process = _start(run, at_once)
    known = None
    try:
        while (code := process.ended(EVERY)) is None:
            if process.pid != known:
                known = process.pid
                _note(run, known)
            if not _is_wanted(run, number):
                process.stop()
    finally:
        process.stop()
        process.close()
    return outcomes.of_process(run, code)


def close() -> None:
    """Let go of what is kept ready for further runs."""
    _fork_servers.close()


class Fresh:
    """A process that trains and was started from nothing; see ``Forked``."""

    def __init__(self, folder: Path, log: BinaryIO, environment: Environment) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lora_lab.jobs.trainer", str(folder)],
            stdin=subprocess.PIPE,  # closes when this process ends, however it ends
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the server's terminal is not for it
            env=environment,
        )
        self.pid = self._process.pid

    def ended(self, patience: float) -> int | None:
        try:
            return self._process.wait(patience)
        except subprocess.TimeoutExpired:
            return None

    def stop(self) -> None:
        if self._process.poll() is None:
            processes.stop(self.pid)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def _note(run: Path, pid: int) -> None:
    with suppress(psutil.NoSuchProcess):  # it has ended already
        tickets.write_json(run / "worker.json", processes.identity(pid))


def _is_wanted(run: Path, number: int) -> bool:
    """Not if it was cancelled, or if the server that submitted it has given it up or is gone."""
    ticket = tickets.read(run)
    return bool(ticket and ticket.number == number and ticket.holds and not ticket.cancelled)


def _start(run: Path, at_once: int) -> Forked | Fresh:
    from dask.system import CPU_COUNT

    threads = str(max(1, CPU_COUNT // at_once))
    environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    with open(run / "log.txt", "ab") as log:
        start = _fork_servers.start if AVAILABLE else Fresh
        return start(run, log, environment)
