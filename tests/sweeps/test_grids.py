"""A grid holds every combination that makes a difference, once, under a name of its own."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.adapt import LoraConfig
from lora_lab.choices import Method, Scaling
from lora_lab.runs import LEARNING_RATES, DataConfig, RunConfig
from lora_lab.sweeps import Range, grid, with_setting

BASE = RunConfig(data=DataConfig(train_size=100), lora=LoraConfig(rank=4, alpha=6.0))
FOLDER_NAME = set("abcdefghijklmnopqrstuvwxyz0123456789-_.")

#: For each flag of a grid: values, and where a run keeps them.
DIMENSIONS = {
    "train_sizes": ([16, 64, None], lambda c: c.data.train_size),
    "ranks": ([1, 8], lambda c: c.lora.rank),
    "alphas": ([3.0, 12.0], lambda c: c.lora.alpha),
    "scales": ([0.5, 2.0, 8.0], lambda c: c.lora.scale),
    "scalings": (["alpha/r", "alpha/sqrt(r)"], lambda c: c.lora.scaling),
    "layers": (["top:1", "0,3", "0-3", (0, 1)], lambda c: c.lora.layers),
    "targets": (["q,v", "all-linear", ("q", "k")], lambda c: c.lora.target_modules),
    "dropouts": ([0.0, 0.1], lambda c: c.lora.dropout),
    "rates": ([3e-5, 1e-4, 1e-3], lambda c: c.train.learning_rate),
    "seeds": ([0, 1, 2], lambda c: c.train.seed),
}


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_each_dimension_varies_what_it_says(dimension):
    values, kept = DIMENSIONS[dimension]
    configs = grid(BASE, **{dimension: values})
    assert [kept(config) for config in configs.values()] == values


@given(chosen=st.lists(st.sampled_from(sorted(DIMENSIONS)), unique=True, max_size=4))
def test_a_grid_is_every_combination_under_a_name_that_can_be_a_folder(chosen):
    if {"alphas", "scales"} <= set(chosen):
        chosen.remove("alphas")
    configs = grid(BASE, **{name: DIMENSIONS[name][0] for name in chosen})
    found = [tuple(DIMENSIONS[n][1](config) for n in chosen) for config in configs.values()]
    expected = list(product(*(DIMENSIONS[name][0] for name in chosen)))
    assert len(found) == len(expected) and set(found) == set(expected)
    assert all(name and set(name) <= FOLDER_NAME for name in configs)


def test_rank_alone_changes_with_the_rank():
    for config in grid(BASE, ranks=[1, 8, 16]).values():
        assert config.lora.alpha / config.lora.rank == BASE.lora.alpha / BASE.lora.rank
        assert replace(config, lora=BASE.lora) == BASE


def test_an_alpha_that_is_given_is_that_alpha_whatever_the_rank():
    configs = grid(BASE, ranks=[1, 16], alphas=[5.0, 7.0]).values()
    assert {(c.lora.rank, c.lora.alpha) for c in configs} == set(product((1, 16), (5.0, 7.0)))


@pytest.mark.parametrize("rule", get_args(Scaling))
def test_a_scale_is_that_scale_whatever_rank_and_rule(rule):
    for config in grid(BASE, ranks=[1, 9], scales=[0.5, 3.0], scalings=[rule]).values():
        wanted = 0.5 if config.lora.alpha < with_setting(config, scale=3.0).lora.alpha else 3.0
        assert config.lora.scale == pytest.approx(wanted) and config.lora.scaling == rule


def test_each_method_learns_at_its_own_rate_unless_rates_are_given():
    methods = get_args(Method)
    for config in grid(BASE, methods=methods).values():
        assert config.train.learning_rate == LEARNING_RATES[config.method]
    given_rates = grid(BASE, methods=methods, rates=[1e-4]).values()
    assert {(c.method, c.train.learning_rate) for c in given_rates} == {(m, 1e-4) for m in methods}


def test_what_decides_nothing_for_a_method_does_not_multiply_its_runs():
    configs = grid(
        BASE, methods=get_args(Method), ranks=[1, 2], alphas=[4.0, 8.0, 16.0], layers=["top:1"],
        seeds=[0, 1],
    )  # fmt: skip
    runs = {m: sum(c.method == m for c in configs.values()) for m in get_args(Method)}
    assert runs == {"lora": 2 * 3 * 2, "two-sided": 2 * 2, "head": 2, "full": 2}
    assert {"head_seed-0", "head_seed-1", "two-sided_rank-1_layers-top-1_seed-0"} <= set(configs)


def test_two_sided_runs_get_their_own_rank_layers_and_targets():
    base = replace(BASE, method="two-sided")
    [config] = grid(base, ranks=[3], layers=["top:2"], targets=["q"]).values()
    found = config.two_sided
    assert (found.rank, found.layers, found.target_modules) == (3, "top:2", "q")
    assert config.lora == BASE.lora


def test_a_grid_without_values_is_the_base_alone():
    assert list(grid(BASE).values()) == [BASE]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (dict(ranks=[1, 2, 1]), "rank is given twice among 1, 2, 1"),
        (dict(methods=["lora", "lora"]), "method is given twice"),
        (dict(train_sizes=[16, None, None]), "train is given twice among 16, all, all"),
        (dict(ranks=[1, 0]), "rank-0 cannot be: rank is 0"),
        (dict(rates=[1e-3, -1.0]), "rate-1 cannot be: learning_rate"),
        (dict(scalings=["alpha"]), "scaling-alpha cannot be"),
        (dict(scales=[0.0]), "scale-0 cannot be"),
        (dict(methods=["magic"]), "magic"),
        (dict(alphas=[4.0], scales=[2.0]), "alphas and scales"),
        (dict(methods=["head", "full"], ranks=[1]), "rank decides nothing for head, full"),
        (dict(rates=[Range(1e-4, 1e-2)]), "range of rate is for a search"),
    ],
)
def test_what_cannot_be_is_named(values, says):
    with pytest.raises(ValueError, match=says):
        grid(BASE, **values)


@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0), (1.0, float("inf"))])
def test_an_empty_range_is_refused(low, high):
    with pytest.raises(ValueError, match="range"):
        Range(low, high)
