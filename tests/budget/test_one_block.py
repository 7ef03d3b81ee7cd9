"""One block standing for all gives the same count as the whole model."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoConfig, BertConfig, MixtralConfig

from lora_lab.adapt import LoraConfig
from lora_lab.budget import counting
from lora_lab.budget.architectures import (
    ARCHITECTURES,
    configuration,
    on_meta_device,
    same_in_every_block,
    with_two_blocks,
)
from lora_lab.budget.counting import count
from lora_lab.targets import SHORT_NAMES

from ..tiny_models import tiny_model

SMALL_AND_MEDIUM = [
    name for name in ARCHITECTURES if name not in ("gpt3-175b", "llama-2-7b", "deberta-xxl")
]
QUICK_CHOICES = [
    dict(),
    dict(layers="top:2"),
    dict(layers="0,3-5", target_modules="o,up"),
    dict(layers="bottom:1", target_modules="down"),
    dict(target_modules="q,v"),
    dict(target_modules="k", layers=(1, 4)),
    dict(target_modules="dense,c_proj,out_lin,o", layers=" all "),
]


@pytest.fixture
def slow(monkeypatch):
    """Count on the whole model only."""

    def switch() -> None:
        monkeypatch.setattr(counting, "_measure_one_block", lambda *_: None)

    return switch


@pytest.mark.parametrize("choice", QUICK_CHOICES, ids=str)
@pytest.mark.parametrize("model", [*SMALL_AND_MEDIUM, "llama-2-7b", "deberta-xxl"])
def test_the_quick_count_equals_the_whole_model(model, choice, slow):
    targets = choice.get("target_modules", "all-linear")
    if "dense" in targets:  # a suffix that finds the pooler too, where there is one
        family = ARCHITECTURES[model].model_type
        targets = {"gpt2": "c_proj", "distilbert": "out_lin", "llama": "o_proj"}.get(
            family, "dense"
        )
    config = LoraConfig(rank=4, **(choice | dict(target_modules=targets)))
    quick = count(model, config)
    slow()
    assert quick == count(model, config)


@pytest.mark.parametrize("choice", [dict(), dict(layers="2-3", target_modules="q,down")], ids=str)
@pytest.mark.parametrize("family", sorted(set(SHORT_NAMES) - {"distilbert", "gpt2"}))
def test_the_quick_count_equals_the_whole_model_in_every_family(family, choice, slow):
    settings = AutoConfig.for_model(
        family, num_hidden_layers=5, hidden_size=32, num_attention_heads=4, vocab_size=99
    )
    assert with_two_blocks(settings) is not None
    quick = count(settings, LoraConfig(rank=2, **choice))
    slow()
    assert quick == count(settings, LoraConfig(rank=2, **choice))


def test_the_whole_gpt3_equals_the_quick_count(slow):
    quick = count("gpt3-175b", LoraConfig(rank=4, target_modules="q,v"))
    slow()
    assert quick == count("gpt3-175b", LoraConfig(rank=4, target_modules="q,v"))


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_all_built_in_models_are_counted_the_quick_way(model, monkeypatch):
    built = []
    monkeypatch.setattr(
        counting, "on_meta_device", lambda s, **k: built.append(s) or on_meta_device(s, **k)
    )
    count(model, LoraConfig(rank=1, target_modules="q,v"))
    assert [settings.num_hidden_layers for settings in built] == [2]


@pytest.mark.parametrize(
    "targets",
    [
        "bert.encoder.layer.5.attention.self.query",
        "5.attention.self.query",
        r".*\.layer\.1\d\..*\.query",
        r".*\.layer\.\d\d\..*\.query",
        r"bert.encoder.layer...attention.self.query",
    ],
)
def test_names_that_tell_blocks_apart_are_counted_on_the_whole_model(targets, slow):
    config = LoraConfig(rank=1, target_modules=targets)
    counted = count("bert-base", config)
    assert counted.adapted_matrices in (1, 2, 10)
    slow()
    assert counted == count("bert-base", config)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("all-linear", True),
        ("q", True),
        ("query", True),
        ("output.dense", True),
        ("0.output.dense", False),
        (".*query", False),
        ("bert.encoder.layer.0.output.dense", False),
    ],
)
def test_names_that_mean_the_same_in_every_block(name, expected):
    assert same_in_every_block(name, tiny_model()) is expected


def test_only_identical_blocks_are_counted_once(monkeypatch):
    assert with_two_blocks(configuration("bert-base")).num_hidden_layers == 2
    assert with_two_blocks(MixtralConfig()) is None, "blocks may differ"
    assert with_two_blocks(BertConfig(num_hidden_layers=2)) is None, "nothing to gain"
    from lora_lab.budget import architectures

    def with_a_wider_second_block(settings):
        model = on_meta_device(settings)
        model.bert.encoder.layer[1].output.dense = torch.nn.Linear(5, 5, device="meta")
        return model

    monkeypatch.setattr(architectures, "on_meta_device", with_a_wider_second_block)
    assert with_two_blocks(configuration("bert-base")) is None
