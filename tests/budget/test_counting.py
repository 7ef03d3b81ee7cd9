"""Exact counts: real models, PEFT and any configuration that transformers knows."""

from __future__ import annotations

import json

import peft
import pytest
import torch
from safetensors.torch import save
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    GPT2Config,
    T5Config,
    ViTConfig,
)

from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora, trainable_parameters
from lora_lab.budget.counting import count
from lora_lab.targets import TargetError, head_modules

from ..tiny_models import FAMILIES, TARGETS, tiny_config, tiny_model

CHOICES = [
    LoraConfig(rank=2),
    LoraConfig(rank=3, layers="top:1"),
    LoraConfig(rank=1, layers=(0, 2)),
    LoraConfig(rank=2, target_modules=r".*(lin1|intermediate\.dense|c_fc)"),
    LoraConfig(rank=2, target_modules="o,down", train_head=False),
]


@pytest.mark.parametrize("config", CHOICES, ids=range(len(CHOICES)))
@pytest.mark.parametrize("family", FAMILIES)
def test_counts_equal_a_real_model(family, config):
    counted = count(tiny_config(family), config, num_labels=3)
    model = tiny_model(family)
    every = sum(p.numel() for p in model.parameters())
    head = sum(p.numel() for m in head_modules(model).values() for p in m.parameters())
    apply_lora(model, config)
    assert counted.base_parameters == every - head
    assert counted.head_parameters == head
    assert counted.trainable_parameters == trainable_parameters(model)
    assert counted.adapter_parameters == sum(p.numel() for p in model.parameters()) - every
    assert counted.adapted_matrices == len(adapted_layers(model))
    assert counted.frozen_parameters == sum(
        p.numel() for p in model.parameters() if not p.requires_grad
    )


@pytest.mark.parametrize("rank", [1, 5])
@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_counts_equal_pefts(family, which, rank):
    targets = TARGETS[family][which]
    counted = count(tiny_config(family), LoraConfig(rank=rank, target_modules=targets))
    twin = peft.get_peft_model(
        AutoModelForSequenceClassification.from_config(tiny_config(family, labels=2)),
        peft.LoraConfig(
            task_type="SEQ_CLS",
            r=rank,
            target_modules=list(targets),
            modules_to_save=["pre_classifier", "classifier"] if family == "distilbert" else None,
            fan_in_fan_out=family == "gpt2",
        ),
    )
    lora = sum(p.numel() for n, p in twin.named_parameters() if ".lora_" in n)
    trainable, every = twin.get_nb_trainable_parameters()
    assert counted.adapter_parameters == lora
    assert counted.trainable_parameters == trainable
    # PEFT keeps the untrained head beside the trained one, and counts both in `every`.
    assert counted.frozen_parameters == every - trainable - counted.head_parameters


def test_adapter_file_is_as_long_as_a_real_one_without_its_header():
    model, config = tiny_model(labels=2), LoraConfig(rank=3)
    apply_lora(model, config)
    counted = count(tiny_config(), config)
    for dtype in ("float32", "float16"):
        cast = {"dtype": getattr(torch, dtype)}
        adapter = {n: p.to(**cast) for n, p in model.named_parameters() if n[-2:] in (".A", ".B")}
        contents = save(adapter)
        header = 8 + int.from_bytes(contents[:8], "little")
        assert len(contents) - header == counted.adapter_file_bytes(dtype)
    both = counted.adapter_file_bytes(head=True) - counted.adapter_file_bytes()
    assert both == 4 * counted.head_parameters


def test_optimizer_state_is_what_adamw_keeps():
    model, config = tiny_model(labels=2), LoraConfig(rank=3)
    apply_lora(model, config)
    counted = count(tiny_config(), config)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning)
    model(input_ids=torch.tensor([[5, 6]])).logits.square().sum().backward()
    optimizer.step()
    moments = [t for state in optimizer.state.values() for t in state.values() if t.ndim > 0]
    assert counted.lora_memory.optimizer == sum(t.nbytes for t in moments)
    assert counted.lora_memory.gradients == sum(p.grad.nbytes for p in learning)
    assert counted.lora_memory.weights == sum(p.nbytes for p in model.parameters())


def test_full_fine_tuning_takes_four_numbers_a_parameter():
    counted = count("bert-base", LoraConfig(rank=8, target_modules="q,v"))
    every = counted.base_parameters + counted.head_parameters
    assert counted.full_memory.total == 16 * every
    assert counted.lora_memory.total == 4 * every + 4 * counted.adapter_parameters + (
        12 * counted.trainable_parameters
    )


# Any transformers configuration.


@pytest.mark.parametrize(
    "settings",
    [
        AlbertConfig(hidden_size=32, num_attention_heads=4, intermediate_size=64, vocab_size=50),
        T5Config(d_model=32, d_ff=64, d_kv=8, num_heads=4, num_layers=2, vocab_size=50),
    ],
    ids=lambda s: s.model_type,
)
def test_shared_parameters_count_once(settings):
    settings.num_labels = 2
    counted = count(settings, LoraConfig(rank=2))
    model = AutoModelForSequenceClassification.from_config(settings)
    every = sum(p.numel() for p in model.parameters())
    assert counted.base_parameters + counted.head_parameters == every
    apply_lora(model, LoraConfig(rank=2))
    assert counted.trainable_parameters == trainable_parameters(model)


def test_a_family_without_a_sentence_classifier_is_counted_without_a_head():
    counted = count(ViTConfig(), LoraConfig(rank=2))
    assert counted.head_parameters == 0
    assert counted.base_parameters == pytest.approx(86.4e6, rel=0.01)


def test_a_config_json_counts_as_its_configuration():
    settings = tiny_config("roberta")
    contents = json.loads(settings.to_json_string())
    before = json.dumps(contents)
    assert count(contents, LoraConfig(rank=2)) == count(settings, LoraConfig(rank=2))
    assert json.dumps(contents) == before


def test_the_given_configuration_and_the_random_state_stay_as_they_are():
    settings = tiny_config("gpt2", labels=3)
    before, state = settings.to_dict(), torch.get_rng_state()
    count(settings, LoraConfig(rank=2, target_modules="q,v"), num_labels=7)
    assert settings.to_dict() == before
    assert torch.equal(torch.get_rng_state(), state)


# q, k and v of GPT-2.


def test_q_and_v_apart_cost_what_the_fused_matrix_costs():
    apart, fused = (
        count("gpt2", LoraConfig(rank=4, target_modules=t)) for t in (("q", "v"), "qkv")
    )
    assert apart.adapter_parameters == fused.adapter_parameters == 12 * 4 * 4 * 768
    assert (apart.adapted_matrices, fused.adapted_matrices) == (24, 12)
    assert apart.base_parameters == fused.base_parameters
    assert "separate d x d matrices, as in the LoRA paper" in apart.note
    assert fused.note == ""
    assert count("bert-base", LoraConfig(rank=4, target_modules="q,v")).note == ""


@pytest.mark.parametrize(("names", "matrices"), [("q", 1), ("q,k,v", 3), ("v,up", 2)])
def test_other_choices_of_separate_matrices(names, matrices):
    counted = count(GPT2Config(n_layer=1), LoraConfig(rank=1, target_modules=names))
    assert counted.adapted_matrices == matrices
    assert counted.adapter_parameters == sum(
        {"q": 2, "k": 2, "v": 2, "up": 5}[name] * 768 for name in names.split(",")
    )


@pytest.mark.parametrize("names", ["q,qkv", "c_attn,v"])
def test_the_fused_matrix_and_its_parts_are_refused_together(names):
    with pytest.raises(TargetError, match="name the fused matrix and its parts"):
        count("gpt2", LoraConfig(target_modules=names))


# What is refused.


@pytest.mark.parametrize("labels", [0, -1, True, 2.0, "2"])
def test_impossible_numbers_of_labels_are_refused(labels):
    with pytest.raises(ValueError, match="num_labels is .* whole number"):
        count("minilm", LoraConfig(), num_labels=labels)


@pytest.mark.parametrize("model", ["minilm", tiny_config("gpt2", layers=2)], ids=["quick", "whole"])
def test_a_rank_too_large_is_refused(model):
    with pytest.raises(ValueError, match=r"rank is 385; for a \d+ x \d+ layer"):
        count(model, LoraConfig(rank=385))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LoraConfig(target_modules="typo"), "No linear layer matches 'typo'. Short names here"),
        (LoraConfig(layers="top:7"), "layers is 'top:7', but the model has 6"),
        (LoraConfig(layers=(6,)), "the model has layers 0 to 5"),
        (LoraConfig(target_modules="pooler.dense", layers=(4,)), "not in layers .4,."),
        (LoraConfig(target_modules=""), "No target modules given"),
    ],
)
def test_choices_that_match_nothing_are_refused_as_by_apply_lora(config, message):
    with pytest.raises(TargetError, match=message):
        count("minilm", config)
