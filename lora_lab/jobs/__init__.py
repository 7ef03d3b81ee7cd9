"""Runs as jobs: a queue in front of worker processes. Who submitted one may go away.

    run = submit(config, Path("runs"), visitor="an id of whoever asks")
    position(run)          # 0: it runs; 1: it is next
    read(run.folder)       # waiting, running, finished, failed or interrupted
    cancel(run); resume(run)

What stands on disk is the truth. A run folder holds, besides the files of ``runs``:

    wanted.json   the configuration that was submitted
    ticket.json   its place in the queue and who keeps it; gone once the run has ended
    worker.json   which process trains it
    cancel        someone wants it stopped
    log.txt       what the process printed

Each file has one writer at a time, and any process may read them: a page needs nothing else. The
process that submits keeps the queue (``queue``), hands each run to a worker of dask when its turn
has come (``cluster``), and there a process of its own trains it (``worker``, ``trainer``), which
on Linux costs no start (``fork_server``).
"""

from lora_lab.jobs.outcomes import (
    CANCELLED,
    CRASHED,
    KILLED,
    LOST_SCHEDULER,
    LOST_WORKER,
    NO_SCHEDULER,
    STOPPED,
)
from lora_lab.jobs.queue import (
    WAITING_LIMIT,
    LimitError,
    cancel,
    resume,
    shut_down,
    submit,
    submit_into,
)
from lora_lab.jobs.reading import (
    current,
    history,
    is_under_way,
    number,
    position,
    read,
    running,
    waiting,
)

__all__ = [
    "CANCELLED",
    "CRASHED",
    "KILLED",
    "LOST_SCHEDULER",
    "LOST_WORKER",
    "NO_SCHEDULER",
    "STOPPED",
    "WAITING_LIMIT",
    "LimitError",
    "cancel",
    "current",
    "history",
    "is_under_way",
    "number",
    "position",
    "read",
    "resume",
    "running",
    "shut_down",
    "submit",
    "submit_into",
    "waiting",
]
