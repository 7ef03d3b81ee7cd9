"""What a dask worker does with a run: start a process that trains it, watch it, stop it if asked.

Training is not done in the worker itself, for three reasons. A thread of a worker cannot be
stopped: cancelling within two seconds means killing a process, and here that is one which holds
this run and nothing else. If memory runs out, the system kills the largest process, which is the
one that trains: the worker lives on, says what happened and takes the next run. And the peak of
memory that a run reports is its own. The price is a few seconds of imports for each run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lora_lab import processes
from lora_lab.jobs import outcomes, tickets

EVERY = 0.1  # seconds between two looks for a wish to cancel


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
    process = _start(run, at_once)
    try:
        tickets.write_json(run / "worker.json", processes.identity(process.pid))
        while process.poll() is None:
            if not _is_wanted(run, number):
                processes.stop(process.pid)
            try:
                process.wait(EVERY)
            except subprocess.TimeoutExpired:
                pass
    finally:
        processes.stop(process.pid)
        process.stdin.close()
    return outcomes.of_process(run, process.wait())


def _is_wanted(run: Path, number: int) -> bool:
    """Not if it was cancelled, or if the server that submitted it has given it up or is gone."""
    ticket = tickets.read(run)
    return bool(ticket and ticket.number == number and ticket.holds and not ticket.cancelled)


def _start(run: Path, at_once: int) -> subprocess.Popen:
    from dask.system import CPU_COUNT

    threads = str(max(1, CPU_COUNT // at_once))
    with open(run / "log.txt", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lora_lab.jobs.trainer", str(run)],
            stdin=subprocess.PIPE,  # closes when this process ends, however it ends
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the server's terminal is not for it
            env=os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
