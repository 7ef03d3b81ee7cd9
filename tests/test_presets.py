"""The classroom's grid is what its description says."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest

from lora_lab.presets import preset
from lora_lab.presets.classroom import LAYERS, RANKS, SEEDS
from lora_lab.runs import LEARNING_RATES


@pytest.fixture(scope="module")
def classroom():
    return preset("classroom")


def test_every_setting_has_the_same_seeds_and_at_least_three(classroom):
    assert len(SEEDS) >= 3
    settings = Counter(
        (c.method, c.lora.rank, str(c.lora.target_modules), c.lora.layers)
        for c in classroom.values()
    )
    assert set(settings.values()) == {len(SEEDS)}
    assert len(settings) == len(RANKS) * len(LAYERS) + 3


def test_it_holds_the_ranks_and_layers_that_the_page_shows(classroom):
    lora = [c for c in classroom.values() if c.method == "lora"]
    on_query_and_value = {
        (c.lora.rank, c.lora.layers) for c in lora if c.lora.target_modules == ("q", "v")
    }
    assert on_query_and_value == set(product((1, 2, 4, 8, 16, 32), ("top:1", "top:2", "all")))
    assert {c.lora.rank for c in lora if c.lora.target_modules == "all-linear"} == {8}
    assert {c.method for c in classroom.values()} == {"lora", "head", "full"}


def test_nothing_else_differs(classroom):
    assert len({c.data for c in classroom.values()}) == 1
    assert {c.lora.scale for c in classroom.values()} == {2.0}
    for config in classroom.values():
        assert config.train.learning_rate == LEARNING_RATES[config.method]
    assert len({(c.train.epochs, c.train.batch_size) for c in classroom.values()}) == 1


def test_names_can_be_folders(classroom):
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
    assert all(set(name) <= allowed for name in classroom)


def test_an_unknown_preset_is_named():
    with pytest.raises(ValueError, match="'school'.*classroom"):
        preset("school")
