"""A process that has imported what runs need, and forks itself for each of them. Linux only.

torch and transformers take seconds to import and hundreds of megabytes. A fork has them at once
and shares that memory. What is forked must hold nothing that a copy could break: no threads (but
that of pyarrow's allocator, which is made for it), no arithmetic done, no random numbers drawn. So
this process imports, forks, waits, and nothing else.

Each run has a pair of sockets. The worker keeps one end; the other is the standard input of the
process that trains, which reads the end of file when the worker ends, however it does so
(``trainer``). Through the same pair the fork server tells the worker that process's number and its
exit code.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path

PRELOADED = (
    "lora_lab.jobs.trainer",
    "lora_lab.listeners",
    "transformers.models.auto.modeling_auto",
    "transformers.models.bert.modeling_bert",
    "transformers.models.bert.tokenization_bert",
    "sklearn.metrics",
)
EVERY = 0.1  # seconds between two looks for processes that have ended


def serve(requests: socket.socket) -> None:
    """Fork for each request, until the worker has gone and all that was forked has ended."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # forks share what the collector does not touch
    lines: dict[int, socket.socket] = {}
    is_open = True
    while is_open or lines:
        ready, _, _ = select.select([requests] * is_open, [], [], EVERY if lines else None)
        if ready:
            folder, fds, _, _ = socket.recv_fds(requests, 4096, 2)
            is_open = bool(folder)
            if folder:
                _fork(Path(os.fsdecode(folder)), *fds, requests, lines)
        _tell_who_ended(lines)


def _fork(
    folder: Path, line: int, log: int, requests: socket.socket, lines: dict[int, socket.socket]
) -> None:
    pid = os.fork()
    if pid == 0:
        for others in (requests, *lines.values()):
            others.close()
        _train(folder, line, log)
    os.close(log)
    lines[pid] = socket.socket(fileno=line)
    _tell(lines[pid], pid)


def _train(folder: Path, line: int, log: int) -> None:
    """What the forked process does; it does not return."""
    code = 1
    try:
        os.setsid()
        for number, source in enumerate((line, log, log)):
            os.dup2(source, number)
        from lora_lab.jobs import trainer

        code = trainer.main(folder)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tell_who_ended(lines: dict[int, socket.socket]) -> None:
    for pid in list(lines):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with lines.pop(pid) as line:
                _tell(line, os.waitstatus_to_exitcode(status))


def _tell(line: socket.socket, number: int) -> None:
    with suppress(OSError):  # the worker has gone
        line.send(str(number).encode())


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
