"""dask.distributed as the queue sees it: workers with places, and one task for each run.

The local cluster lives in the server's own process. Its worker has a thread for each run, and all
that such a thread does is to watch the process that trains (``worker`` says why there is one). So
there is no nanny, no dashboard, no port to which others could send programs (only two on the
loopback, which dask insists on and which answer nothing), and nothing that outlives the server.
A scheduler elsewhere, named in LORA_LAB_SCHEDULER, is used in just the same way.

dask is handed a run only when a worker has a free place, and is told which worker. It never has a
queue of its own, so runs start in the order in which they were submitted; nothing is stolen from
one worker by another; and a worker that dies takes no waiting run with it.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lora_lab.choices import State
from lora_lab.jobs import outcomes, worker

if TYPE_CHECKING:
    from distributed import Future

SCHEDULER = "LORA_LAB_SCHEDULER"
AT_ONCE = "LORA_LAB_AT_ONCE"
PATIENCE = 10.0  # seconds for a scheduler to answer

_SETTINGS = {
    "distributed.scheduler.http.routes": [],  # nothing to look at, and nothing to break into
    "distributed.worker.http.routes": [],
    "distributed.scheduler.active-memory-manager.start": False,
    "distributed.scheduler.work-stealing": False,
    "distributed.worker.profile.enabled": False,  # it would look at every thread 100 times a second
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.tick.limit": "1h",  # a busy server is no reason for a warning
    "distributed.diagnostics.nvml": False,
}


class Cluster:
    """A connection to the scheduler named in the environment, or to one started here.

    Raises:
        OSError: the scheduler cannot be reached.
    """

    def __init__(self) -> None:
        import dask
        import distributed  # imported late: it takes a second, and most visitors only look

        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        address = os.environ.get(SCHEDULER)
        self._local = None
        if not address:
            # Without a network dask warns that it knows no address of this machine; it needs none.
            warnings.filterwarnings("ignore", "Couldn't detect a suitable IP")
            dask.config.set(_SETTINGS)
            self._local = distributed.LocalCluster(
                n_workers=1,
                threads_per_worker=runs_at_once(),
                processes=False,
                memory_limit=None,
                silence_logs=False,
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                scheduler_kwargs={"dashboard": False},
            )
            # At the end of the process dask would wait for the threads that watch over training.
            self._local.shutdown_on_close = False
        self._client = distributed.Client(
            self._local or address, timeout=PATIENCE, set_as_default=False
        )
        self._places: dict[str, int] = {}

    def look(self) -> None:
        """See which workers there are now.

        Raises:
            OSError: the scheduler has gone.
        """
        if self._client.status != "running":
            raise OSError(outcomes.LOST_SCHEDULER)
        self._places = dict(self._client.nthreads())  # by address: how many runs at once

    def has(self, address: str) -> bool:
        """Whether that worker was there at the last look."""
        return address in self._places

    def free_worker(self, busy: Iterable[str]) -> str | None:
        """The worker with most places free; ``busy`` names one for each run under way."""
        free = Counter(self._places)
        free.subtract(busy)
        best = max(self._places, key=free.__getitem__, default=None)
        return best if best is not None and free[best] > 0 else None

    def start(self, folder: Path, number: int, address: str, ended: Callable[[], None]) -> Future:
        """Have the worker at ``address`` train a run; ``ended`` is called when it has ended."""
        future = self._client.submit(
            worker.train,
            str(folder),
            number,
            self._places[address],
            key=f"{folder.name}-{number}",
            workers=[address],
            pure=False,
        )
        future.add_done_callback(lambda _: ended())
        return future

    def give_up(self, future: Future) -> None:
        """Forget a run whose worker has gone, so that dask does not start it again."""
        self._client.cancel([future], force=True)

    def close(self) -> None:
        with suppress(TimeoutError):
            self._client.close(timeout=PATIENCE)
            if self._local:
                self._local.close(timeout=PATIENCE)


def runs_at_once() -> int:
    """How many runs this machine trains at a time.

    A small model does not keep two cores busy: two runs with a thread each take less time than
    one after the other (``benchmarks/`` measures it). More than four at a time would only make
    each of them slow, and each needs its memory.
    """
    from dask.system import CPU_COUNT
    from distributed.system import MEMORY_LIMIT

    wanted = os.environ.get(AT_ONCE, "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return max(1, min(CPU_COUNT, 4, int(MEMORY_LIMIT / 2**31)))


def ended(future: Future) -> tuple[State, str]:
    """How a run ended: its state, and why if its own files do not say so."""
    if future.status == "finished":
        return "failed", future.result()
    if future.status == "error":
        return "failed", str(future.exception()) or outcomes.LOST_WORKER
    return "interrupted", outcomes.LOST_SCHEDULER
