"""Who keeps the queue: one per process. Its thread alone speaks with dask."""

from __future__ import annotations

import atexit
import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lora_lab.checkpoints import StorageError
from lora_lab.jobs import outcomes
from lora_lab.jobs.cluster import Cluster, ended
from lora_lab.jobs.tickets import Ticket

if TYPE_CHECKING:
    from distributed import Future

EVERY = 0.5  # seconds between two looks while something waits or runs
PATIENCE = 5.0  # seconds for the thread to end

_log = logging.getLogger(__name__)


@dataclass
class _Handed:
    """A run that a worker has."""

    ticket: Ticket
    worker: str
    future: Future


class Keeper:
    """Hands waiting runs to workers, first come, first served, and writes down how they ended.

    ``lock`` guards the two lists against visitors; the thread starts with the first run.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._news = threading.Event()
        self._waiting: list[Ticket] = []
        self._running: list[_Handed] = []
        self._cluster: Cluster | None = None
        self._thread: threading.Thread | None = None

    def add(self, ticket: Ticket) -> None:
        with self.lock:
            ticket.write()
            self._waiting.append(ticket)
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep, name="queue", daemon=True)
                self._thread.start()
        self.poke()

    def poke(self) -> None:
        self._news.set()

    def close(self) -> None:
        cluster, thread = self._cluster, self._thread
        self.give_up()
        self.poke()
        if thread:
            thread.join(PATIENCE)
        if cluster:
            cluster.close()

    def give_up(self) -> None:
        """Let go of every run. Without a ticket, workers stop what they train."""
        with self.lock:
            left = [*self._waiting, *(handed.ticket for handed in self._running)]
            self._waiting, self._running = [], []
            self._cluster = self._thread = None
        for ticket in left:
            outcomes.settle(ticket.folder, "interrupted", outcomes.STOPPED)

    def _keep(self) -> None:
        me = threading.current_thread()
        while self._thread is me:
            self._news.wait(EVERY if self._waiting or self._running else None)
            self._news.clear()
            try:
                self._look()
            except Exception:
                if self._thread is me:
                    _log.exception("The queue of runs stumbled over one of them and goes on.")

    def _look(self) -> None:
        self._drop_cancelled()
        if (self._waiting or self._running) and self._connected():
            self._settle_ended()
            while self._hand_over():
                pass
        for ticket in [*self._waiting, *(handed.ticket for handed in self._running)]:
            ticket.sign_of_life()

    def _drop_cancelled(self) -> None:
        with self.lock:
            dropped = [t for t in self._waiting if t.cancelled or not t.folder.exists()]
            self._waiting = [ticket for ticket in self._waiting if ticket not in dropped]
        for ticket in dropped:
            outcomes.settle(ticket.folder, "interrupted", outcomes.CANCELLED)

    def _connected(self) -> bool:
        """Whether the scheduler answers. If it went away, what it had is interrupted; if it was
        never there, so is all that waits: nobody should wait for nothing."""
        before = self._cluster
        try:
            cluster = before or Cluster()
            if before is None:
                atexit.register(self.give_up)
            cluster.look()
        except Exception as error:  # also a dask that does not fit: it must be known, too
            _log.warning("No scheduler: %s", error)
            self._cluster = None
            if before:
                before.close()
            for handed in self._take_running():
                outcomes.settle(handed.ticket.folder, "interrupted", outcomes.LOST_SCHEDULER)
            if before is None:
                with self.lock:
                    left, self._waiting = self._waiting, []
                for ticket in left:
                    outcomes.settle(ticket.folder, "interrupted", outcomes.NO_SCHEDULER)
            return False
        with self.lock:
            if self._thread is threading.current_thread():
                self._cluster = cluster
                return True
        cluster.close()  # the queue was closed while the cluster started
        return False

    def _settle_ended(self) -> None:
        for handed in list(self._running):
            folder = handed.ticket.folder
            if handed.future.done():
                state, why = ended(handed.future)
                if why and handed.ticket.cancelled:
                    state, why = "interrupted", outcomes.CANCELLED
                outcomes.settle(folder, state, why)
            elif not self._cluster.has(handed.worker):
                self._cluster.give_up(handed.future)
                outcomes.settle(folder, "failed", outcomes.LOST_WORKER)
            else:
                continue
            self._running.remove(handed)

    def _hand_over(self) -> bool:
        """Give the next run to a worker that has a place for it; false if there is none."""
        with self.lock:
            worker = self._cluster.free_worker([handed.worker for handed in self._running])
            if not self._waiting or worker is None:
                return False
            ticket = self._waiting.pop(0)
            try:
                ticket = ticket.hand_over()
                future = self._cluster.start(ticket.folder, ticket.number, worker, self.poke)
                self._running.append(_Handed(ticket, worker, future))
            except (StorageError, OSError) as error:
                outcomes.settle(ticket.folder, "failed", str(error))
        return True

    def _take_running(self) -> list[_Handed]:
        with self.lock:
            taken, self._running = self._running, []
        return taken
