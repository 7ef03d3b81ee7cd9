"""A process per run without the cost of a start, and with nothing lost by that."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lora_lab.jobs.forks import AVAILABLE, Forked, ForkServers

from .waiting import PATIENCE, wait_for

pytestmark = pytest.mark.skipif(not AVAILABLE, reason="only Linux has a fork server")


@pytest.fixture(scope="module")
def servers() -> Iterator[ForkServers]:
    made = ForkServers()
    yield made
    made.close()


def start(servers: ForkServers, folder: Path, **environment: str) -> Forked:
    with open(folder / "log.txt", "ab") as log:
        return servers.start(folder, log, os.environ | environment)


def code_of(process: Forked) -> int:
    wait_for(lambda: process.ended(0.1) is not None, "the process to end")
    process.close()
    return process.ended(0.1)


@pytest.fixture
def wrong(tmp_path) -> Path:
    """A run that cannot be: its process ends by itself."""
    (tmp_path / "wanted.json").write_text('{"method": "magic"}')
    return tmp_path


@pytest.fixture
def endless(tmp_path) -> Path:
    """A run whose process waits for its own configuration."""
    os.mkfifo(tmp_path / "wanted.json")
    return tmp_path


def begun(process: Forked) -> psutil.Process:
    wait_for(lambda: process.ended(0.1) is None and process.pid, "the process to begin")
    return psutil.Process(process.pid)


def test_its_exit_code_and_its_last_words_arrive(servers, wrong):
    assert code_of(start(servers, wrong)) == 2
    assert "magic" in (wrong / "log.txt").read_text().splitlines()[-1]


def test_one_server_serves_many_and_another_environment_has_its_own(servers, wrong):
    used = []
    for environment in ({}, {}, {"LORA_LAB_TEST": "another"}, {}):
        assert code_of(start(servers, wrong, **environment)) == 2
        used.append(servers._process)
    assert used[0] is used[1] and len({server.pid for server in used}) == 3
    for former in used[:-1]:
        assert former.wait(PATIENCE) == 0, "it ends when it is no longer asked"


def test_it_holds_no_thread_that_a_fork_could_lose(servers, wrong):
    code_of(start(servers, wrong))
    tasks = Path(f"/proc/{servers._process.pid}/task").iterdir()
    others = [t for t in tasks if int(t.name) != servers._process.pid]
    assert {(task / "comm").read_text().strip() for task in others} <= {"jemalloc_bg_thd"}


def test_a_process_can_be_stopped(servers, endless):
    process = start(servers, endless)
    forked = begun(process)
    assert forked.ppid() == servers._process.pid
    wait_for(lambda: os.getsid(forked.pid) == forked.pid, "a session of its own")
    process.stop()
    assert code_of(process) in (-signal.SIGTERM, -signal.SIGKILL), "by force if it takes long"


def test_a_kill_from_outside_is_told_from_an_error(servers, endless):
    process = start(servers, endless)
    begun(process).kill()
    assert code_of(process) == -signal.SIGKILL


def test_it_ends_with_whoever_asked_for_it(servers, endless):
    process = start(servers, endless)
    forked = begun(process)
    process.close()  # as the system does when a process ends
    wait_for(lambda: not forked.is_running(), "the process to end")


def test_stopped_before_it_has_begun(wrong):
    fresh = ForkServers()
    process = start(fresh, wrong)  # whose server is still importing
    process.stop()
    assert process.ended(0.1) is not None and process.pid is None
    process.close()
    fresh.close()


def test_without_its_server_a_process_goes_on_and_the_next_has_a_new_one(servers, endless):
    process = start(servers, endless)
    forked, former = begun(process), servers._process
    former.kill()
    former.wait(10)
    assert process.ended(0.1) is None and forked.is_running()
    forked.kill()
    assert code_of(process) == 1, "nobody was there to read its code"
    (endless / "wanted.json").unlink()
    (endless / "wanted.json").write_text("{}")
    following = start(servers, endless)
    begun(following)
    assert servers._process.pid != former.pid
    following.stop()
    following.close()
