"""Many runs over activations that are computed once."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch

from lora_lab import prefix_cache, sweeps
from lora_lab.adapt import LoraConfig
from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs import DataConfig, RunConfig, RunError, execute, load_trained, read_run
from lora_lab.sweeps import _one_for_each_prefix, grid, run_sweep
from lora_lab.training import DivergenceError, TrainConfig


@pytest.fixture
def base(tiny_folder, reviews_file):
    return RunConfig(
        model=str(tiny_folder),
        data=DataConfig(name=str(reviews_file)),
        lora=LoraConfig(rank=2, alpha=4, layers="top:1"),
        train=TrainConfig(epochs=1, learning_rate=5e-3),
    )


def test_a_grid_is_every_combination_under_a_name_of_its_own(base):
    configs = grid(base, ranks=[1, 4], layers=["top:1", "all"], seeds=[0, 1, 2])
    found = {(c.lora.rank, c.lora.layers, c.train.seed) for c in configs.values()}
    assert found == {(r, w, s) for r in (1, 4) for w in ("top:1", "all") for s in (0, 1, 2)}
    assert len(configs) == 12
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.") for name in configs)


def test_rank_alone_changes_with_the_rank(base):
    for config in grid(base, ranks=[1, 8]).values():
        assert config.lora.scale == base.lora.scale, "alpha follows"
        assert replace(config, lora=base.lora) == base


def test_a_grid_without_values_is_the_base_alone(base):
    assert list(grid(base).values()) == [base]


def test_a_value_given_twice_is_refused(base):
    with pytest.raises(ValueError, match="rank is given twice"):
        grid(base, ranks=[1, 2, 1])


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
    runs = run_sweep(configs, tmp_path, cache=PrefixCache())
    assert (done.folder / "result.json").stat().st_mtime_ns == written, "it was not run again"
    assert runs[first].result == done.result and runs[second].state == "finished"


def test_several_at_once_give_what_one_after_the_other_gives(base, tmp_path):
    configs = grid(base, ranks=[1, 2], layers=["top:1", "all"])
    told = {}
    cache = PrefixCache(tmp_path / "activations")
    runs = run_sweep(
        configs, tmp_path / "at once", cache=cache, at_once=2, finished=told.__setitem__
    )
    in_turn = run_sweep(configs, tmp_path / "in turn", cache=PrefixCache())
    assert list(runs) == list(configs) and told == runs
    for name, run in runs.items():
        assert run.state == "finished" and run.config == configs[name]
        (epoch,), (alone,) = run.result["history"], in_turn[name].result["history"]
        assert epoch["training_loss"] == pytest.approx(alone["training_loss"], rel=1e-3)


def test_one_run_of_each_prefix_goes_first(base):
    configs = grid(base, ranks=[1, 2, 4], layers=["top:1", "all"], seeds=[0, 1])
    leaders = _one_for_each_prefix(configs)
    assert [config.lora.layers for config in leaders.values()] == ["top:1", "all"]
    assert set(leaders) < set(configs)


def test_a_run_that_fails_at_once_with_others_says_why_and_keeps_the_others(base, tmp_path):
    cache = PrefixCache(tmp_path / "activations")
    diverging = replace(base, train=replace(base.train, learning_rate=1e30, clip_norm=1e30))
    configs = {"good": base, "bad": diverging}
    with pytest.raises(DivergenceError, match="smaller learning rate"):
        run_sweep(configs, tmp_path / "sweep", cache=cache, at_once=2)
    assert read_run(tmp_path / "sweep" / "good").state == "finished"
    assert read_run(tmp_path / "sweep" / "bad").state == "failed"


def test_a_killed_process_is_said_to_be_one(base, tmp_path, monkeypatch):
    monkeypatch.setattr(sweeps, "_run_one", _die)
    with pytest.raises(RunError, match="killed"):
        run_sweep(grid(base, ranks=[1, 2]), tmp_path, cache=PrefixCache(tmp_path / "a"), at_once=2)


def _die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("at_once", [0, 2])
def test_processes_that_cannot_share_a_cache_are_refused(base, tmp_path, at_once):
    with pytest.raises(ValueError, match=f"at_once is {at_once}"):
        run_sweep({"only": base}, tmp_path, cache=PrefixCache(), at_once=at_once)
