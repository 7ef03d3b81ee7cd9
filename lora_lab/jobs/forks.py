"""The worker's side of ``fork_server``: it asks for processes that train, and watches them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from lora_lab import processes

#: macOS may crash in a fork that goes on without a new program, and Windows has none.
AVAILABLE = sys.platform == "linux"
PATIENCE = 2.0  # seconds for the fork server to end

Environment = dict[str, str]


class Forked:
    """A process that trains, as the worker sees it; ``pid`` is None until it has been forked."""

    def __init__(self, line: socket.socket) -> None:
        self.pid: int | None = None
        self._line, self._code = line, None

    def ended(self, patience: float) -> int | None:
        """Its exit code; None if it has none after so many seconds.

        1 if nobody knows: the fork server itself has ended.
        """
        if self._code is None:
            self._line.settimeout(patience)
            with suppress(TimeoutError):
                told = self._line.recv(64)
                if told and self.pid is None:
                    self.pid = int(told)
                else:
                    self._code = int(told or 1)
        return self._code

    def stop(self) -> None:
        """End it, unless it has ended; what is not forked yet ends itself as soon as it is."""
        if self._code is not None:
            return
        if self.pid is not None:
            processes.stop(self.pid)
        else:
            self._line.close()
            self._code = 1

    def close(self) -> None:
        self._line.close()


class ForkServers:
    """The fork server of this process, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._environment: Environment = {}
        self._process: subprocess.Popen | None = None
        self._requests: socket.socket | None = None

    def start(self, folder: Path, log: BinaryIO, environment: Environment) -> Forked:
        """Have the run in ``folder`` trained by a new process.

        Args:
            log: gets what it prints; and what the fork server prints, if that has to be started.
            environment: of both. A change of it starts another fork server.

        Raises:
            OSError: it could not be started.
        """
        line, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with self._lock, its:
            if environment != self._environment or self._process.poll() is not None:
                self._replace(log, environment)
            fds = [its.fileno(), log.fileno()]
            socket.send_fds(self._requests, [os.fsencode(folder)], fds)
        return Forked(line)

    def close(self) -> None:
        """Let the fork server end once the last of its processes has."""
        with self._lock:
            if self._requests:
                self._requests.close()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(PATIENCE)
            self._requests, self._environment = None, {}

    def _replace(self, log: BinaryIO, environment: Environment) -> None:
        if self._requests:
            self._requests.close()
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "lora_lab.jobs.fork_server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the worker's terminal is not for it
                env=environment | {"OPENBLAS_NUM_THREADS": "1"},  # it would start threads at once
            )
        self._environment = environment
