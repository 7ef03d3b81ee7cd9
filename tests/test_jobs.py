"""The queue with real workers and real processes: nothing is lost, nobody waits for nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from lora_lab import jobs, processes
from lora_lab.adapt import LoraConfig
from lora_lab.jobs import cluster, tickets
from lora_lab.results import stored_baselines
from lora_lab.runs import DataConfig, Run, RunConfig, RunError
from lora_lab.training import TrainConfig

from .waiting import PATIENCE, wait_for

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of runs, of which one at a time is trained."""
    monkeypatch.setenv(cluster.AT_ONCE, "1")
    yield tmp_path / "runs"
    jobs.shut_down()


@pytest.fixture
def short(tiny_folder: Path, reviews_file: Path) -> RunConfig:
    return RunConfig(
        model=str(tiny_folder),
        data=DataConfig(str(reviews_file)),
        lora=LoraConfig(rank=2),
        train=TrainConfig(epochs=1),
    )


@pytest.fixture
def long(short: RunConfig) -> RunConfig:
    """Long enough to be caught in the middle on any machine."""
    return replace(short, train=TrainConfig(epochs=100_000))


def with_seed(config: RunConfig, seed: int) -> RunConfig:
    return replace(config, train=replace(config.train, seed=seed))


def until(run: Run, state: str) -> Run:
    """Wait for a state; any other end than the one waited for is a failure."""

    def reached() -> Run | None:
        now = jobs.read(run.folder)
        if now.state in ("finished", "failed", "interrupted"):
            assert now.state == state, f"{now.state}: {now.reason}"
        return now if now.state == state else None

    return wait_for(reached, f"{run.id} to be {state}")


def until_it_trains(run: Run) -> psutil.Process:
    """Wait for the first step; returns the process that makes them."""

    def trains() -> bool:
        now = jobs.read(run.folder)
        assert now.state in ("waiting", "running"), now.reason
        return any(event["event"] == "step" for event in now.metrics)

    wait_for(trains, "the first step")
    return process_of(run)


def process_of(run: Run) -> psutil.Process:
    return processes.find(json.loads((run.folder / "worker.json").read_text()))


def ids(found: list[Run]) -> list[str]:
    return [run.id for run in found]


def test_first_come_first_served(runs, short):
    one, two, three = (jobs.submit(with_seed(short, seed), runs, "a") for seed in range(3))
    until(one, "running")
    assert [jobs.position(run) for run in (one, two, three)] == [0, 1, 2]
    assert ids(jobs.waiting(runs)) == [two.id, three.id]
    assert ids(jobs.running(runs)) == [one.id] and jobs.current(runs).id == one.id
    assert sorted(ids(jobs.history(runs))) == sorted([one.id, two.id, three.id])

    ended = [until(run, "finished") for run in (one, two, three)]
    assert all(run.test for run in ended)
    began = [json.loads((r.folder / "worker.json").read_text())["process_started"] for r in ended]
    over = [(run.folder / "result.json").stat().st_mtime for run in ended]
    # A process's start is only known to some hundredths of a second.
    assert all(start > end - 0.1 for start, end in zip(began[1:], over[:-1], strict=True))
    assert jobs.waiting(runs) == jobs.running(runs) == []
    assert jobs.current(runs) is None
    assert [jobs.position(run) for run in ended] == [0, 0, 0]


def test_a_finished_run_keeps_its_baselines(runs, short):
    run = until(jobs.submit(short, runs, "a"), "finished")
    found = wait_for(lambda: stored_baselines.read(run.folder), "the baselines")
    assert found == stored_baselines.score(short.data)


def test_two_at_once_share_the_cores(runs, long, monkeypatch):
    monkeypatch.setenv(cluster.AT_ONCE, "2")
    one, two, three = (jobs.submit(with_seed(long, seed), runs, "a") for seed in range(3))
    trainers = [until_it_trains(one), until_it_trains(two)]
    assert jobs.read(three.folder).state == "waiting"
    threads = {int(process.environ()["OMP_NUM_THREADS"]) for process in trainers}
    assert threads == {max(1, psutil.cpu_count() // 2)} or max(threads) == 1
    assert len({process.pid for process in trainers} - {os.getpid()}) == 2


def test_nothing_listens_beyond_this_machine(runs, long):
    until(jobs.submit(long, runs, "a"), "running")
    listening = [c for c in psutil.Process().net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} <= {"127.0.0.1", "::1"}


def test_the_same_configuration_joins_the_run_that_waits_or_runs(runs, long, short):
    first, second = jobs.submit(long, runs, "a"), jobs.submit(short, runs, "b")
    assert jobs.submit(short, runs, "c").id == second.id
    until(first, "running")
    assert jobs.submit(long, runs, "d").id == first.id
    assert len(jobs.history(runs)) == 2
    jobs.cancel(first)
    until(second, "finished")
    again = jobs.submit(short, runs, "c")
    assert again.id != second.id, "a finished run is not joined: it has ended"


def test_a_visitor_may_have_only_so_many_waiting(runs, long):
    until(jobs.submit(long, runs, "a"), "running")
    for seed in range(1, 4):
        jobs.submit(with_seed(long, seed), runs, "a")
    with pytest.raises(jobs.LimitError, match="3 runs waiting") as refusal:
        jobs.submit(with_seed(long, 4), runs, "a")
    assert refusal.value.limit == 3
    assert len(jobs.history(runs)) == 4, "what is refused leaves nothing behind"
    assert jobs.submit(with_seed(long, 3), runs, "a").state == "waiting", "joining is free"
    other = jobs.submit(with_seed(long, 4), runs, "b")
    assert jobs.position(other) == 4
    jobs.cancel(jobs.waiting(runs)[0])
    assert jobs.position(other) == 3
    assert jobs.submit(with_seed(long, 5), runs, "a").state == "waiting"


def test_cancelled_while_waiting(runs, long):
    first, second, third = (jobs.submit(with_seed(long, seed), runs, "a") for seed in range(3))
    until(first, "running")
    began = time.monotonic()
    cancelled = jobs.cancel(second)
    assert time.monotonic() - began < 2
    assert (cancelled.state, cancelled.reason) == ("interrupted", jobs.CANCELLED)
    assert not (second.folder / "worker.json").exists(), "no worker ever had it"
    assert jobs.position(third) == 1
    assert jobs.read(first.folder).state == "running"


def test_cancelled_while_loading_and_the_next_one_starts(runs, long, short):
    first, second = jobs.submit(long, runs, "a"), jobs.submit(short, runs, "a")
    until(first, "running")
    cancelled = jobs.cancel(first)
    assert (cancelled.state, cancelled.reason) == ("interrupted", jobs.CANCELLED)
    until(second, "finished")


def test_cancelled_while_training_and_gone_on_with(runs, long):
    run = jobs.submit(long, runs, "a")
    process = until_it_trains(run)
    wait_for((run.folder / "checkpoint.safetensors").exists, "a checkpoint")
    began = time.monotonic()
    cancelled = jobs.cancel(run)
    assert time.monotonic() - began < 2
    assert (cancelled.state, cancelled.reason) == ("interrupted", jobs.CANCELLED)
    assert not process.is_running()

    resumed = jobs.resume(cancelled)
    assert resumed.state == "waiting" and resumed.id == run.id
    with pytest.raises(RunError, match="only one that was interrupted or failed"):
        jobs.resume(resumed)

    def goes_on() -> bool:
        events = jobs.read(run.folder).metrics
        return any(e["event"] == "start" and e["step"] > 0 for e in events)

    wait_for(goes_on, "the run to go on where it stopped")


@posix
def test_a_killed_process_fails_its_run_and_the_next_one_starts(runs, long, short):
    first, second = jobs.submit(long, runs, "a"), jobs.submit(short, runs, "a")
    until_it_trains(first).kill()  # as the system does when memory runs out
    failed = until(first, "failed")
    assert failed.reason == jobs.KILLED and "memory" in failed.reason
    until(second, "finished")
    assert jobs.resume(failed).state == "waiting", "what was trained before is not lost"


@posix
def test_a_crash_is_told_from_a_kill(runs, long):
    run = jobs.submit(long, runs, "a")
    until_it_trains(run).send_signal(signal.SIGSEGV)
    assert until(run, "failed").reason == jobs.CRASHED


def test_a_run_that_cannot_be_says_why(runs, short):
    run = jobs.submit(replace(short, data=DataConfig("no-such-data.csv")), runs, "a")
    assert "no-such-data.csv" in until(run, "failed").reason


def test_a_process_that_does_not_start_leaves_its_last_words(runs, short, monkeypatch):
    monkeypatch.setenv("PYTHONHOME", "/nowhere")  # Python itself will not start
    run = jobs.submit(short, runs, "a")
    assert until(run, "failed").reason not in ("", jobs.KILLED)


def test_a_deleted_folder_does_not_hold_the_queue_up(runs, long, short):
    first, second, third = (
        jobs.submit(config, runs, "a") for config in (long, with_seed(long, 1), short)
    )
    until(first, "running")
    for file in second.folder.iterdir():
        file.unlink()
    second.folder.rmdir()
    jobs.cancel(first)
    until(third, "finished")
    assert not second.folder.exists()


def in_order(runs: Path) -> list[Run]:
    """All runs as they were submitted; their names only know the second."""
    return sorted(
        jobs.history(runs), key=lambda run: (run.folder / "wanted.json").stat().st_mtime_ns
    )


SERVER = """
import sys
from pathlib import Path
from lora_lab import jobs
from lora_lab.runs import RunConfig
import json

runs, *configs = sys.argv[1:]
for config in configs:
    jobs.submit(RunConfig.from_dict(json.loads(config)), Path(runs), "a")
print("submitted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def server(runs: Path, short: RunConfig, long: RunConfig) -> Iterator[subprocess.Popen]:
    """Another process that keeps a queue: a short run, a long one, and one that waits."""
    configs = (short, long, with_seed(long, 1))
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(runs), *(json.dumps(c.as_dict()) for c in configs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"submitted\n", process.stderr.read().decode()
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("end", ["exit", pytest.param("kill", marks=posix)])
def test_when_the_server_ends_so_do_its_processes_and_no_run_is_lost(end, server, runs):
    done, running, waiting = in_order(runs)
    process = until_it_trains(running)
    assert jobs.read(done.folder).state == "finished"
    assert jobs.read(waiting.folder).state == "waiting" and jobs.position(waiting) == 1
    if end == "kill":
        server.kill()
        server.wait(PATIENCE)
    else:
        server.stdin.close()
        server.stdin = None
        assert server.wait(PATIENCE) == 0
        assert server.stderr.read() == b"", "ending is quiet"
    wait_for(lambda: not process.is_running(), "the training process to end")

    assert jobs.read(done.folder).state == "finished"
    for run in (running, waiting):
        left = jobs.read(run.folder)
        assert (left.state, left.reason) == ("interrupted", jobs.STOPPED)
    assert jobs.waiting(runs) == jobs.running(runs) == []
    # The next server is this process.
    until_it_trains(jobs.resume(jobs.read(waiting.folder)))


@posix
def test_a_queue_kept_elsewhere_obeys_and_is_joined(server, runs, long):
    _, running, waiting = in_order(runs)
    process = until_it_trains(running)
    assert jobs.submit(long, runs, "b").id == running.id
    assert jobs.cancel(waiting).reason == jobs.CANCELLED
    assert jobs.cancel(running).reason == jobs.CANCELLED
    assert not process.is_running()


@pytest.fixture
def scheduler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """A scheduler of its own; the value starts a worker that serves it."""
    file, started = tmp_path / "scheduler.json", []

    def start(*what: str) -> subprocess.Popen:
        command = [sys.executable, "-m", *what, "--scheduler-file", str(file), "--no-dashboard"]
        with open(tmp_path / "dask.log", "ab") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log))
        return started[-1]

    start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0")
    wait_for(file.exists, "the scheduler")
    monkeypatch.setenv(cluster.SCHEDULER, json.loads(file.read_text())["address"])
    yield lambda: start("distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny")
    jobs.shut_down()
    for process in reversed(started):
        process.kill()
        process.wait(PATIENCE)


@posix
def test_workers_elsewhere_and_one_that_dies(scheduler, runs, long, short):
    first, second = jobs.submit(long, runs, "a"), jobs.submit(short, runs, "a")
    worker = scheduler()
    process = until_it_trains(first)
    assert psutil.Process(worker.pid) in process.parents()
    worker.kill()
    worker.wait(PATIENCE)
    assert until(first, "failed").reason == jobs.LOST_WORKER
    wait_for(lambda: not process.is_running(), "the training process to end")
    assert jobs.read(second.folder).state == "waiting", "what waits does not suffer"
    scheduler()
    until(second, "finished")
    assert jobs.read(first.folder).state == "failed", "a lost run is not started again by itself"


def test_a_scheduler_that_is_not_there(runs, short, monkeypatch):
    monkeypatch.setenv(cluster.SCHEDULER, "tcp://127.0.0.1:1")
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    run = jobs.submit(short, runs, "a")
    assert until(run, "interrupted").reason == jobs.NO_SCHEDULER


def left_behind(folder: Path, config: RunConfig, **server: object) -> Run:
    """A waiting run whose ticket says that ``server`` keeps it."""
    folder.mkdir(parents=True)
    (folder / "wanted.json").write_text(json.dumps(config.as_dict()))
    tickets.Ticket(folder, server=processes.identity() | server).write()
    return jobs.read(folder)


def test_another_process_with_the_same_number_keeps_no_queue(runs, short):
    assert left_behind(runs / "one", short).state == "waiting"
    assert left_behind(runs / "two", short, process_started=1.0).state == "interrupted"
    assert ids(jobs.waiting(runs)) == ["one"]


def test_a_server_on_another_machine_is_believed_while_it_gives_signs_of_life(runs, short):
    run = left_behind(runs / "one", short, host="elsewhere", pid=1)
    assert run.state == "waiting"
    os.utime(run.folder / tickets.FILE, (0, 0))
    left = jobs.read(run.folder)
    assert (left.state, left.reason) == ("interrupted", jobs.STOPPED)


def test_a_run_from_the_command_line_can_be_cancelled(runs, short):
    folder = runs / "one"
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        status = processes.identity(process.pid) | {"state": "running"}
        (folder / "config.json").write_text(json.dumps(short.as_dict()))
        (folder / "status.json").write_text(json.dumps(status))
        run = jobs.read(folder)
        assert run.state == "running"
        assert jobs.cancel(run).reason == jobs.CANCELLED
        assert processes.find(status) is None


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RunError):
        jobs.read(tmp_path)
    assert jobs.current(tmp_path / "none") is None
    assert jobs.history(tmp_path) == jobs.history(tmp_path / "none") == []
    assert jobs.waiting(tmp_path / "none") == []


def test_what_is_no_run_folder_is_passed_over(runs, short):
    runs.mkdir()
    (runs / "notes.txt").write_text("mine")
    (runs / "broken").mkdir()
    (runs / "broken" / "wanted.json").write_text('{"method": "magic"}')
    left_behind(runs / "one", short)
    assert ids(jobs.history(runs)) == ["one"]


@pytest.mark.parametrize("wish, expected", [("3", 3), ("0", None), ("many", None), ("", None)])
def test_how_many_at_once(wish, expected, monkeypatch):
    monkeypatch.setenv(cluster.AT_ONCE, wish)
    chosen = cluster.runs_at_once()
    assert chosen == expected if expected else 1 <= chosen <= max(1, psutil.cpu_count())
