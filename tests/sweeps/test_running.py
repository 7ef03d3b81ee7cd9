"""Many runs over activations that are computed once; none is lost and none is run twice."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_lab import jobs, prefix_cache
from lora_lab.choices import State
from lora_lab.jobs import cluster
from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs import DataConfig, Run, RunConfig, RunError, execute, load_trained
from lora_lab.sweeps import grid, run_in_queue, run_sweep, running
from lora_lab.sweeps.running import leaders

from ..waiting import wait_for

# ------------------------------------------------------------------ in this process


def test_layers_below_run_once_for_the_whole_sweep(base, tmp_path, monkeypatch):
    built = []
    real = prefix_cache._chunks

    def counted(encoder, text, block):
        built.append((len(text), block))
        return real(encoder, text, block)

    monkeypatch.setattr(prefix_cache, "_chunks", counted)
    configs = grid(base, ranks=[1, 2, 4], seeds=[0, 1])
    runs = run_sweep(configs, tmp_path, cache=PrefixCache())
    assert [run.state for run in runs.values()] == ["finished"] * 6
    assert len(built) == len(set(built)) == 3, "train, validation and test, once each"


def test_each_run_is_the_run_that_it_would_be_alone(base, tmp_path):
    configs = grid(base, ranks=[1, 2])
    runs = run_sweep(configs, tmp_path / "sweep", cache=PrefixCache())
    for name, config in configs.items():
        alone = execute(config, tmp_path / name, cache=PrefixCache())
        first, second = (load_trained(run.folder).model for run in (runs[name], alone))
        pairs = zip(first.parameters(), second.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)


def test_a_sweep_goes_on_with_what_has_not_finished(base, tmp_path):
    configs = grid(base, ranks=[1, 2])
    first, second = configs
    done = run_sweep({first: configs[first]}, tmp_path, cache=PrefixCache())[first]
    written = (done.folder / "result.json").stat().st_mtime_ns
    told = {}
    runs = run_sweep(configs, tmp_path, cache=PrefixCache(), finished=told.__setitem__)
    assert (done.folder / "result.json").stat().st_mtime_ns == written, "it was not run again"
    assert runs[first].result == done.result and runs[second].state == "finished"
    assert told == runs and list(runs) == list(configs)


# ------------------------------------------------------------------ who goes first


def test_one_run_of_each_prefix_leads_the_others(base):
    configs = grid(base, ranks=[1, 2, 4], layers=["top:1", "all"], seeds=[0, 1])
    led_by = leaders(configs)
    assert {configs[leader].lora.layers for leader in led_by.values()} == {"top:1", "all"}
    assert len(set(led_by.values())) == 2
    for name, leader in led_by.items():
        assert configs[name].lora.layers == configs[leader].lora.layers


def test_runs_that_share_nothing_wait_for_nobody(base):
    alone = [
        grid(replace(base, method="full"), seeds=[0, 1]),
        grid(replace(base, train=replace(base.train, prefix="off")), seeds=[0, 1]),
        grid(replace(base, pretrained=False), seeds=[0, 1]),  # the seed draws the base
        grid(base, train_sizes=[20, 40]),  # other sentences
    ]
    for configs in alone:
        assert leaders(configs) == {name: name for name in configs}


def test_noise_in_the_labels_leaves_the_sentences_what_they_are(base):
    noisy = replace(base, data=replace(base.data, noise="flipped", noise_share=0.5))
    assert leaders({"plain": base, "noisy": noisy}) == {"plain": "plain", "noisy": "plain"}


# ------------------------------------------------------------------ a queue as a test makes it


class Queue:
    """Stands in for ``jobs``: each run ends as ``ends`` says, one at each look."""

    STOPPED, NO_SCHEDULER = jobs.STOPPED, jobs.NO_SCHEDULER

    def __init__(self, ends: dict[str, list[tuple[State, str]]] | None = None) -> None:
        self.ends = ends or {}
        self.handed_in: list[str] = []
        self.configs: dict[str, RunConfig] = {}
        self.under_way: list[str] = []
        self.most = 0
        self.order: list[tuple[str, str]] = []

    def submit_into(self, folder: Path, config: RunConfig) -> None:
        self.configs[folder.name] = config
        self.under_way.append(folder.name)
        self.order.append(("in", folder.name))
        self.most = max(self.most, len(self.under_way))

    def is_under_way(self, folder: Path) -> bool:
        if self.under_way and self.under_way[0] == folder.name:
            self.order.append(("out", self.under_way.pop(0)))
            return False
        return folder.name in self.under_way

    def read(self, folder: Path) -> Run:
        left = self.ends.get(folder.name, [])
        state, reason = left.pop(0) if left else ("finished", "")
        return Run(folder, self.configs[folder.name], state, reason, [], None)


@pytest.fixture
def queue(monkeypatch):
    def use(**ends: list[tuple[State, str]]) -> Queue:
        made = Queue({name.replace("_", "-"): states for name, states in ends.items()})
        monkeypatch.setattr(running, "jobs", made)
        monkeypatch.setattr(running, "EVERY", 0.0)
        return made

    return use


def test_followers_are_handed_in_when_their_leader_has_ended(base, queue, tmp_path):
    configs = grid(base, ranks=[1, 2, 4], layers=["top:1", "all"])
    used = queue()
    runs = run_in_queue(configs, tmp_path)
    assert list(runs) == list(configs)
    for name, leader in leaders(configs).items():
        if name != leader:
            assert used.order.index(("out", leader)) < used.order.index(("in", name))
    assert [name for what, name in used.order[:2]] == list(dict.fromkeys(leaders(configs).values()))


def test_a_leader_that_fails_does_not_hold_its_followers_up(base, queue, tmp_path):
    configs = grid(base, ranks=[1, 2, 4])
    queue(rank_1=[("failed", "no memory")])
    told = {}
    runs = run_in_queue(configs, tmp_path, finished=told.__setitem__)
    assert [run.state for run in runs.values()] == ["failed", "finished", "finished"]
    assert told == runs and runs["rank-1"].reason == "no memory"


def test_only_so_many_runs_are_in_the_queue_at_a_time(base, queue, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "IN_QUEUE", 3)
    used = queue()
    run_in_queue(grid(replace(base, method="full"), seeds=range(10)), tmp_path)
    assert used.most == 3


def test_a_run_that_another_queue_left_behind_is_handed_in_again(base, queue, tmp_path):
    used = queue(seed_0=[("interrupted", jobs.STOPPED)])
    runs = run_in_queue(grid(base, seeds=[0, 1]), tmp_path)
    assert [run.state for run in runs.values()] == ["finished", "finished"]
    assert used.order.count(("in", "seed-0")) == 2


def test_a_run_that_someone_cancelled_stays_so(base, queue, tmp_path):
    used = queue(seed_0=[("interrupted", jobs.CANCELLED)])
    runs = run_in_queue(grid(base, seeds=[0, 1]), tmp_path)
    assert runs["seed-0"].state == "interrupted" and used.order.count(("in", "seed-0")) == 1


def test_without_a_scheduler_nothing_is_waited_for(base, queue, tmp_path):
    queue(seed_0=[("interrupted", jobs.NO_SCHEDULER)])
    with pytest.raises(RunError, match="scheduler"):
        run_in_queue(grid(base, seeds=[0, 1]), tmp_path)


# ------------------------------------------------------------------ the real queue


@pytest.fixture
def real_queue(monkeypatch):
    monkeypatch.setenv(cluster.AT_ONCE, "2")
    yield
    jobs.shut_down()


@pytest.mark.usefixtures("real_queue")
def test_several_at_once_give_what_one_after_the_other_gives_and_a_failure_stops_none(
    base, tmp_path, reviews_file
):
    later = tmp_path / "later.csv"
    configs = {"missing": replace(base, data=DataConfig(str(later)))} | grid(
        base, ranks=[1, 2], layers=["top:1", "all"]
    )
    told = {}
    runs = run_in_queue(configs, tmp_path / "queue", finished=told.__setitem__)
    assert list(runs) == list(configs) and told == runs
    lost = runs.pop("missing")
    assert lost.state == "failed" and "later.csv" in lost.reason
    in_turn = run_sweep({n: configs[n] for n in runs}, tmp_path / "in turn", cache=PrefixCache())
    for name, run in runs.items():
        assert run.state == "finished" and run.config == configs[name]
        (epoch,), (alone,) = run.result["history"], in_turn[name].result["history"]
        assert epoch["training_loss"] == pytest.approx(alone["training_loss"], rel=1e-3)

    # Once what was missing is there, the same call mends the one run and leaves the others alone.
    shutil.copy(reviews_file, later)
    written = {name: (run.folder / "result.json").stat().st_mtime_ns for name, run in runs.items()}
    again = run_in_queue(configs, tmp_path / "queue")
    assert [run.state for run in again.values()] == ["finished"] * 5
    assert {n: (again[n].folder / "result.json").stat().st_mtime_ns for n in written} == written

    with pytest.raises(RunError, match="other settings"):
        run_in_queue({"missing": base}, tmp_path / "queue")


SWEEP = """
import json, sys
from pathlib import Path
from lora_lab.runs import RunConfig
from lora_lab.sweeps import run_in_queue

configs = {name: RunConfig.from_dict(values) for name, values in json.loads(sys.argv[1]).items()}
run_in_queue(configs, Path(sys.argv[2]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_sweep_repeats_nothing_and_goes_on_in_the_middle(base, tmp_path, monkeypatch):
    monkeypatch.setenv(cluster.AT_ONCE, "1")
    long = replace(base, train=replace(base.train, epochs=80, validate_every=40))
    configs = {"first": base, "second": long, "third": base}
    words = json.dumps({name: config.as_dict() for name, config in configs.items()})
    sweep = subprocess.Popen([sys.executable, "-c", SWEEP, words, str(tmp_path)])
    second = tmp_path / "second"
    wait_for((second / "checkpoint.safetensors").exists, "the second run's checkpoint")
    sweep.send_signal(signal.SIGKILL)
    sweep.wait(10)
    wait_for(lambda: not jobs.is_under_way(second), "the training process to end")
    assert [jobs.read(tmp_path / n).state for n in ("second", "third")] == ["interrupted"] * 2
    written = (tmp_path / "first" / "result.json").stat().st_mtime_ns
    try:
        runs = run_in_queue(configs, tmp_path)
    finally:
        jobs.shut_down()
    assert [run.state for run in runs.values()] == ["finished"] * 3
    assert (tmp_path / "first" / "result.json").stat().st_mtime_ns == written
    [start] = [event for event in runs["second"].metrics if event["event"] == "start"]
    assert start["step"] > 0, "it went on from its checkpoint"
