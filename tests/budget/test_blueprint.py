"""Blueprints: built once, counted often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.budget import counting
from lora_lab.budget.architectures import on_meta_device
from lora_lab.budget.counting import Blueprint, count
from lora_lab.targets import find_targets, layer_number, name_pattern

from ..tiny_models import FAMILIES, tiny_config


def test_a_blueprint_counts_what_count_counts_in_any_order():
    drawn = Blueprint("gpt2")
    configs = [
        LoraConfig(rank=3, **choice)
        for choice in (dict(), dict(target_modules="q,v"), dict(target_modules="qkv"),
                       dict(layers="top:2"), dict(layers="2-4", target_modules="up"))
    ]  # fmt: skip
    for config in (*configs, *reversed(configs)):
        assert drawn.count(config) == count("gpt2", config)
        assert drawn.count(config, head=False) == count("gpt2", config, head=False)


def test_a_blueprint_is_built_once(monkeypatch):
    built = []
    monkeypatch.setattr(
        counting, "on_meta_device", lambda s, **k: built.append(s) or on_meta_device(s, **k)
    )
    drawn = Blueprint("gpt3-175b")
    for rank in (1, 2, 3):
        drawn.count(LoraConfig(rank=rank))
    assert (drawn.blocks, len(drawn.places), drawn.head_names) == (96, 4, ("score",))
    assert len(built) == 1


def test_a_refused_count_leaves_the_blueprint_usable():
    drawn = Blueprint("minilm")
    for bad in (LoraConfig(rank=385), LoraConfig(target_modules="nothing")):
        with pytest.raises(ValueError):
            drawn.count(bad)
    assert drawn.count(LoraConfig()) == count("minilm", LoraConfig())


def test_threads_may_share_a_blueprint():
    drawn, config = Blueprint("minilm"), LoraConfig(rank=2)
    expected = count("minilm", config)
    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(drawn.count, config) for _ in range(40)]
        names = [pool.submit(lambda: Blueprint.all_linear_names.func(drawn)) for _ in range(40)]
    assert all(result.result() == expected for result in results)
    assert len({found.result() for found in names}) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_places_say_which_blocks_have_a_matrix(family):
    for settings in (tiny_config(family), tiny_config(family, layers=2)):
        drawn = Blueprint(settings)
        model = on_meta_device(settings)
        for name in find_targets(model):
            assert layer_number(name) in drawn.places[name_pattern(name)]
        assert sum(map(len, drawn.places.values())) == len(find_targets(model))
        assert set(drawn.places) < drawn.all_linear_names
        assert drawn.stored_transposed == (family == "gpt2")
