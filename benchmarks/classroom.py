"""A class opens the dashboard at once: how long does a page take to follow, and what breaks?

    python benchmarks/classroom.py --sessions 30 --seconds 120

starts ``streamlit run app.py`` on a free port of this machine with a folder of runs of its own,
opens so many sessions over real websockets, and lets all of them move sliders and start runs while
as many runs are trained as the workbench trains at a time. Then it stops the server and looks for
every run that a session has seen. The sessions share the cores with what they measure.

With ``--spread`` every other visitor is on another page than Train: Budget, Compare or Gradients.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from streamlit.util import calc_hash
from visitor import Visitor

HERE = Path(__file__).parent
ROOT = HERE.parent
MOST_SESSIONS = 100  # each is a thread and a page in memory
THINKING = 5.0  # mean seconds between two actions of a visitor
RUNS_EACH = 2  # a visitor starts so many, at moments of its own
WARM_UP = 180.0  # at most so many seconds until runs train
#: Where the class is, visitor after visitor, if it is spread.
SPREAD = ("train", "budget", "train", "compare", "train", "gradients")


@dataclass
class Watch:
    """What the server and its worker processes need, seen from outside.

    Attributes:
        peak: bytes.
        training: how many runs are trained right now; ``looks`` counts how often how many were.
    """

    server: psutil.Process
    peak: Counter = field(default_factory=Counter)
    training: int = 0
    looks: Counter = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)

    def keep_looking(self) -> None:
        while not self._over.wait(0.5):
            with suppress(psutil.Error):
                workers = self.server.children(recursive=True)
                sizes = [_resident(process) for process in workers]
                self.training = sum(_trains(process) for process in workers)
                self.looks[self.training] += 1
                self._note("server", _resident(self.server))
                self._note("workers", sum(sizes))
                self._note("largest_worker", max(sizes, default=0))

    def stop(self) -> None:
        self._over.set()

    def server_seconds(self) -> float:
        """What the server has computed so far; what else the machine does changes it little."""
        times = self.server.cpu_times()
        return times.user + times.system

    def _note(self, what: str, size: int) -> None:
        self.peak[what] = max(self.peak[what], size)


@contextmanager
def dashboard(runs: Path, log: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The app as a user starts it, on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.address=127.0.0.1", f"--server.port={port}", "--server.headless=true"]
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", *options],
            cwd=ROOT,
            env=os.environ | {"LORA_LAB_RUNS": str(runs)},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_answers(process, port, log)
        yield port, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def visit(visitor: Visitor, until: float, took: list[float], runs: int) -> None:
    """Move sliders, start so many runs, think in between."""
    chance, left = visitor.chance, runs
    span = until - time.monotonic()
    starts = sorted(time.monotonic() + chance.uniform(0, 0.8) * span for _ in range(runs))
    while True:
        await asyncio.sleep(min(10.0, chance.expovariate(1 / THINKING)))
        if time.monotonic() >= until:
            return
        if left and time.monotonic() > starts[runs - left]:
            left -= 1
            seconds = await visitor.start_a_run()
        else:
            seconds = await visitor.move_a_slider()
        if seconds is not None:
            took.append(seconds)


async def lesson(
    port: int, pages: Sequence[str], seconds: float, watch: Watch, seed: int
) -> tuple[list[Visitor], dict[str, Any]]:
    """All that happens between the first visitor and the last, one for each of the pages."""
    visitors = [
        # Of the numbers on Budget most are ranks that no matrix has: it refuses them at once.
        Visitor(port, random.Random(f"{seed}.{i}"), _address(page), types=page != "budget")
        for i, page in enumerate(pages)
    ]
    # The teacher comes before the class and waits until PyTorch is loaded.
    first = await visitors[0].open(patience=WARM_UP)
    opened = await asyncio.gather(*(visitor.open() for visitor in visitors[1:]))
    on_train = [one for one, page in zip(visitors, pages, strict=True) if page == "train"]
    for visitor in on_train[:2]:
        await visitor.move_a_slider()
        await visitor.start_a_run()
    deadline = time.monotonic() + WARM_UP
    while watch.training < 2 and time.monotonic() < deadline:
        await asyncio.sleep(0.5)
    watch.looks.clear()
    took: dict[str, list[float]] = {page: [] for page in pages}
    before = watch.server_seconds()
    until = time.monotonic() + seconds
    await asyncio.gather(
        *(
            visit(visitor, until, took[page], RUNS_EACH if page == "train" else 0)
            for visitor, page in zip(visitors, pages, strict=True)
        )
    )
    looks, every = sum(watch.looks.values()), [t for times in took.values() for t in times]
    measured = {
        "first_page_seconds": first,
        "opening": spread([t for t in opened if t is not None]),
        "interaction": spread(every),
        "on_each_page": {page: spread(times) for page, times in took.items()},
        "processor_seconds_per_interaction": (watch.server_seconds() - before) / max(1, len(every)),
        "share_of_time_with_two_training": sum(n for k, n in watch.looks.items() if k >= 2)
        / max(1, looks),
        "received_bytes": sum(visitor.received for visitor in visitors),
    }
    await asyncio.gather(*(visitor.close() for visitor in visitors))
    return visitors, measured


def spread(seconds: Sequence[float]) -> dict[str, float]:
    if len(seconds) < 2:
        return {"count": len(seconds), "p50": sum(seconds), "p95": sum(seconds)}
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return {"count": len(seconds), "p50": cuts[9], "p95": cuts[18], "longest": max(seconds)}


def _address(page: str) -> str:
    """Streamlit's name for a page; the app's first has none."""
    return "" if page == "train" else calc_hash(page)


def benchmark(pages: Sequence[str], seconds: float, seed: int) -> dict[str, Any]:
    from lora_lab import jobs  # after the parser: it takes seconds
    from lora_lab.runs import environment

    with tempfile.TemporaryDirectory() as place:
        runs, log = Path(place) / "runs", Path(place) / "server.log"
        with dashboard(runs, log) as (port, server):
            watch = Watch(server)
            watcher = threading.Thread(target=watch.keep_looking)
            watcher.start()
            try:
                visitors, measured = asyncio.run(lesson(port, pages, seconds, watch, seed))
            finally:
                watch.stop()
                watcher.join()
            at_the_end = Counter(run.state for run in jobs.history(runs))
            workers = server.children(recursive=True)
        survivors = psutil.wait_procs(workers, timeout=10)[1]
        after = {run.id: run for run in jobs.history(runs)}
        printed = log.read_text(errors="replace")
    seen = set().union(*(visitor.runs for visitor in visitors))
    lost = [i for i in seen if i not in after or after[i].state in ("waiting", "running")]
    errors = [error for visitor in visitors for error in visitor.errors]
    errors += [f"in the log: {line}" for line in printed.splitlines() if _is_an_error(line)]
    errors += [f"{run.id} failed: {run.reason}" for run in after.values() if run.state == "failed"]
    errors += [f"process {process.pid} outlived the server" for process in survivors]
    return measured | {
        "sessions": len(pages),
        "seconds": seconds,
        "runs": {"started": len(after), "lost": len(lost), **at_the_end},
        "memory": dict(watch.peak),
        "errors": len(errors),
        "first_errors": errors[:10],
        "made_with": environment(),
    }


def report(result: dict[str, Any]) -> str:
    """The result in lines, with what was to be reached."""
    times, memory, runs = result["interaction"], result["memory"], result["runs"]
    states = ", ".join(f"{n} {s}" for s, n in runs.items() if s not in ("started", "lost"))
    rows = [
        ("interaction, median", f"{times['p50']:.2f} s", ""),
        ("interaction, 95 of 100", f"{times['p95']:.2f} s", "under 1 s"),
        ("interactions", f"{times['count']:,}", ""),
        ("processor time of each", f"{result['processor_seconds_per_interaction']:.2f} s", ""),
        ("opening the page, 95 of 100", f"{result['opening']['p95']:.1f} s", ""),
        ("time with two runs in training", f"{result['share_of_time_with_two_training']:.0%}", ""),
        ("errors", str(result["errors"]), "0"),
        ("runs lost", f"{runs['lost']} of {runs['started']} ({states})", "0"),
        ("memory of the server, peak", f"{memory['server'] / 1e9:.2f} GB", "under 1.5 GB"),
        ("memory of all workers, peak", f"{memory['workers'] / 1e9:.2f} GB", ""),
    ]
    lines = [f"{result['sessions']} sessions, {result['seconds']:.0f} s", ""]
    pages = result["on_each_page"].items() if len(result["on_each_page"]) > 1 else ()
    rows[2:2] = [(f"  on {page}, 95 of 100", f"{own['p95']:.2f} s", "") for page, own in pages]
    lines += [f"{name:30}{value:>24}   {goal}".rstrip() for name, value, goal in rows]
    return "\n".join(lines + result["first_errors"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=120.0, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of what the visitors do")
    parser.add_argument("--spread", action="store_true", help="every other visitor not on Train")
    options = parser.parse_args()
    if not 3 <= options.sessions <= MOST_SESSIONS or options.seconds <= 0:
        parser.error(f"--sessions goes from 3 to {MOST_SESSIONS}, --seconds must be positive.")
    places = SPREAD if options.spread else ("train",)
    pages = [places[i % len(places)] for i in range(options.sessions)]
    result = benchmark(pages, options.seconds, options.seed)
    file = HERE / "results" / ("classroom_spread.json" if options.spread else "classroom.json")
    file.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{report(result)}\n\nWritten to {file.relative_to(ROOT)}.")
    reached = result["interaction"]["p95"] < 1 and result["memory"]["server"] < 1.5e9
    return 0 if reached and not result["errors"] and not result["runs"]["lost"] else 1


def _wait_until_it_answers(process: subprocess.Popen, port: int, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError):
            if urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2):
                return
        time.sleep(0.2)
    raise RuntimeError(f"The server does not answer. It printed:\n{log.read_text()}")


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def _trains(process: psutil.Process) -> bool:
    """Who trains lets others go first; the process that it was forked from does not."""
    try:
        return process.nice() > 0 and any("lora_lab.jobs" in word for word in process.cmdline())
    except psutil.Error:
        return False


def _is_an_error(line: str) -> bool:
    return any(word in line for word in ("Traceback", "Error", "Exception", "CRITICAL"))


if __name__ == "__main__":
    sys.exit(main())
