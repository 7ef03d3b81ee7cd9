"""Many runs over activations that are computed once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_lab import prefix_cache
from lora_lab.adapt import LoraConfig
from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs import DataConfig, RunConfig, execute, load_trained
from lora_lab.sweeps import grid, run_sweep
from lora_lab.training import TrainConfig


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
    steps = []
    runs = run_sweep(
        configs,
        tmp_path,
        cache=PrefixCache(),
        listeners=[lambda e: steps.append(e["step"]) if e["event"] == "start" else None],
    )
    assert steps == [0], "only the second run trained"
    assert runs[first].result == done.result and runs[second].state == "finished"
