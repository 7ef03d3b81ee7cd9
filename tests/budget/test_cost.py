"""What a count says: its parts, its table, its sizes."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.budget import cost
from lora_lab.budget.counting import Count, MatrixKind, count

from ..tiny_models import tiny_config


def test_matrix_kinds_list_every_place_in_a_block():
    counted = count("minilm", LoraConfig(rank=2, target_modules="q,down", layers="top:2"))
    prefix = "bert.encoder.layer.*"
    assert counted.matrices == (
        MatrixKind(f"{prefix}.attention.self.query", (384, 384), 6, 2, 2 * 768),
        MatrixKind(f"{prefix}.attention.self.key", (384, 384), 6, 0, 0),
        MatrixKind(f"{prefix}.attention.self.value", (384, 384), 6, 0, 0),
        MatrixKind(f"{prefix}.attention.output.dense", (384, 384), 6, 0, 0),
        MatrixKind(f"{prefix}.intermediate.dense", (1536, 384), 6, 0, 0),
        MatrixKind(f"{prefix}.output.dense", (384, 1536), 6, 2, 2 * 1920),
    )
    assert counted.adapted_matrices == 4


def test_a_pooler_that_is_adapted_is_listed():
    counted = count("minilm", LoraConfig(rank=1, target_modules="pooler.dense"))
    assert counted.matrices[-1] == MatrixKind("bert.pooler.dense", (384, 384), 1, 1, 768)
    assert counted.adapter_parameters == 768


@pytest.mark.parametrize("train_head", [True, False])
def test_parts_add_up(train_head):
    c = count("distilbert", LoraConfig(rank=8, train_head=train_head))
    every = c.base_parameters + c.adapter_parameters + c.head_parameters
    assert c.trainable_parameters + c.frozen_parameters == every
    assert c.share == c.trainable_parameters / every
    assert c.adapter_parameters == sum(k.adapted * k.adapter_parameters for k in c.matrices)
    assert c.trainable_parameters - c.adapter_parameters == train_head * c.head_parameters


def test_as_dict_survives_json():
    counted = count("gpt2", LoraConfig(rank=4, target_modules="q,v"))
    contents = json.loads(json.dumps(counted.as_dict()))
    assert contents == counted.as_dict()
    assert contents["adapter_parameters"] == 147_456
    assert contents["adapter_file_bytes"] == {"float32": 589_824, "float16": 294_912}
    assert contents["lora_memory"]["total"] == counted.lora_memory.total
    assert contents["matrices"][0]["shape"] == [768, 768]


def test_table_reads():
    table = count("gpt3-175b", LoraConfig(rank=4, target_modules="q,v")).table()
    for text in (
        "18,874,368",
        "37.7 MB",
        "0.011% of all",
        "96 of 96",
        "2.8 TB",
        "Note: q, k and v",
    ):
        assert text in table
    small = count(tiny_config(), LoraConfig(rank=1, target_modules="q", train_head=False)).table()
    assert "(frozen)" in small
    assert "Note" not in small


def test_sizes_are_readable():
    sizes = [cost.size(n) for n in (7, 1_500, 37_748_736, 350 * 10**9, 28 * 10**11)]
    assert sizes == ["7 B", "1.5 kB", "37.7 MB", "350.0 GB", "2.8 TB"]


def test_a_count_cannot_be_changed():
    counted = count("minilm", LoraConfig())
    assert isinstance(counted, Count)
    with pytest.raises(FrozenInstanceError):
        counted.adapter_parameters = 0
    assert hash(counted)


def test_an_unknown_number_type_is_refused():
    with pytest.raises(ValueError, match="dtype is 'int3'; it must be one of float32, float16"):
        count("minilm", LoraConfig()).adapter_file_bytes("int3")
