"""Every preset is what its description says, in both sizes."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from lora_lab.choices import PresetSize
from lora_lab.presets import PRESETS, preset
from lora_lab.presets.classroom import LAYERS, RANKS
from lora_lab.runs import LEARNING_RATES, RunConfig

WORDS = "zero one two three four five six seven eight nine ten".split()
SIZES = get_args(PresetSize)
QUICK_SENTENCES, QUICK_RUNS = 600, 30


def number(word: str) -> int:
    return WORDS.index(word.lower()) if word.lower() in WORDS else int(word)


def by_setting(configs: dict[str, RunConfig]) -> dict[RunConfig, list[int]]:
    """The seeds of each setting. Some presets draw the training sentences by the same seed."""
    found = defaultdict(list)
    for config in configs.values():
        assert config.data.seed in (0, config.train.seed)
        data, train = replace(config.data, seed=0), replace(config.train, seed=0)
        found[replace(config, data=data, train=train)].append(config.train.seed)
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PRESETS)
def test_every_setting_has_the_same_seeds(name, size):
    seeds = {tuple(sorted(found)) for found in by_setting(preset(name, size)).values()}
    [common] = seeds
    assert len(set(common)) == len(common)
    if size == "quick" and "two seeds" in " ".join(PRESETS[name].__doc__.split()):
        assert len(common) == 2
    else:
        assert len(common) >= 3, "an interval over seeds needs three"


@pytest.mark.parametrize("name", PRESETS)
def test_the_description_counts_settings_and_seeds(name):
    settings = by_setting(preset(name))
    said = re.search(r"(\w+) (?:settings|ranks), (\w+) seeds each", PRESETS[name].__doc__)
    assert said, "it says how many settings there are, and how many seeds each"
    assert (number(said[1]), number(said[2])) == (len(settings), len(next(iter(settings.values()))))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PRESETS)
def test_names_can_be_folders(name, size):
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert all(set(run) <= allowed and run.strip(".") for run in preset(name, size))


@pytest.mark.parametrize("name", PRESETS)
def test_the_quick_size_is_small(name):
    configs = preset(name, "quick").values()
    assert len(configs) <= QUICK_RUNS
    assert all((config.data.train_size or 10**6) <= QUICK_SENTENCES for config in configs)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PRESETS)
def test_runs_are_scored_on_the_same_sentences_unless_domains_are_the_question(name, size):
    """Noise and the number of training sentences leave what is held out alone."""
    held_out = {(c.data.name, c.data.classes) for c in preset(name, size).values()}
    assert len(held_out) == 1 or name == "domains"


def test_the_classrooms_grid_holds_the_ranks_and_layers_that_the_page_shows():
    configs = preset("classroom").values()
    lora = [c for c in configs if c.method == "lora"]
    on_query_and_value = {
        (c.lora.rank, c.lora.layers) for c in lora if c.lora.target_modules == ("q", "v")
    }
    assert on_query_and_value == set(product(RANKS, LAYERS))
    assert {c.lora.rank for c in lora if c.lora.target_modules == "all-linear"} == {8}
    assert {c.method for c in configs} == {"lora", "head", "full"}


def test_nothing_else_differs_in_the_classrooms_grid():
    configs = preset("classroom").values()
    assert len({c.data for c in configs}) == 1
    assert {c.lora.scale for c in configs} == {2.0}
    for config in configs:
        assert config.train.learning_rate == LEARNING_RATES[config.method]
    assert len({(c.train.epochs, c.train.batch_size) for c in configs}) == 1


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="'school'.*classroom"):
        preset("school")
