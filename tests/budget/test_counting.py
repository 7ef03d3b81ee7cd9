"""Exact counts: the LoRA paper's numbers, real models, PEFT, and the quick way against the slow."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError

import peft
import pytest
import torch
from safetensors.torch import save
from transformers import (
    AlbertConfig,
    AutoConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    GPT2Config,
    MixtralConfig,
    PretrainedConfig,
    T5Config,
    ViTConfig,
)

from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora, trainable_parameters
from lora_lab.budget import cost, counting
from lora_lab.budget.architectures import (
    ARCHITECTURES,
    configuration,
    on_meta_device,
    same_in_every_block,
    with_two_blocks,
)
from lora_lab.budget.counting import Blueprint, Count, MatrixKind, count
from lora_lab.targets import (
    SHORT_NAMES,
    TargetError,
    find_targets,
    head_modules,
    layer_number,
    name_pattern,
)

from ..tiny_models import FAMILIES, TARGETS, tiny_config, tiny_model


def q_and_v(rank: int) -> LoraConfig:
    return LoraConfig(rank=rank, target_modules="q,v")


# The paper's numbers.


@pytest.mark.parametrize(
    ("model", "rank", "paper", "exact"),
    [
        ("roberta-base", 8, 0.3e6, 294_912),
        ("roberta-large", 8, 0.8e6, 786_432),
        ("bert-base", 8, None, 294_912),
        ("bert-base-cased", 8, None, 294_912),
        ("deberta-xxl", 16, 4.7e6, 4_718_592),
        ("gpt3-175b", 1, 4.7e6, 4_718_592),
        ("gpt3-175b", 8, 37.7e6, 37_748_736),
    ],
)
def test_the_papers_counts(model, rank, paper, exact):
    counted = count(model, q_and_v(rank))
    assert counted.adapter_parameters == exact
    if paper is not None:
        assert round(exact / 1e6, 1) * 1e6 == pytest.approx(paper)


@pytest.mark.parametrize(
    ("model", "layers", "d", "paper", "exact"),
    [("gpt2-medium", 24, 1024, 0.35e6, 393_216), ("gpt2-large", 36, 1280, 0.77e6, 737_280)],
)
def test_two_of_the_papers_counts_do_not_follow_from_its_formula(model, layers, d, paper, exact):
    counted = count(model, q_and_v(4)).adapter_parameters
    assert counted == exact == 2 * layers * 4 * (d + d)
    assert abs(counted - paper) > 0.03e6, "not a matter of rounding"
    settings = [(matrices, rank) for matrices in range(1, 7) for rank in range(1, 65)]
    assert not [s for s in settings if round(s[0] * layers * s[1] * 2 * d / 1e4) * 1e4 == paper]


def test_the_papers_gpt3_checkpoint():
    counted = count("gpt3-175b", q_and_v(4))
    assert counted.adapter_parameters == 18_874_368
    assert counted.adapter_file_bytes("float16") == 37_748_736  # 37.7 MB; the paper says 35 MB
    assert counted.model_file_bytes("float16") == pytest.approx(350e9, rel=0.003)
    assert counted.adapted_matrices == 192


def test_counts_leave_the_head_out():
    two, many = (count("bert-base", q_and_v(8), num_labels=n) for n in (2, 100))
    none = count("bert-base", q_and_v(8), head=False)
    assert two.adapter_parameters == many.adapter_parameters == none.adapter_parameters
    assert two.base_parameters == many.base_parameters == none.base_parameters
    assert [c.head_parameters for c in (two, many, none)] == [2 * 769, 100 * 769, 0]
    assert none.trainable_parameters == none.adapter_parameters


# Known sizes of published checkpoints (base model without head).


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ("minilm", 22_713_216),
        ("bert-base", 109_482_240),
        ("bert-base-cased", 108_310_272),
        ("bert-large", 335_141_888),
        ("roberta-base", 124_055_040),
        ("distilbert", 66_362_880),
        ("gpt2", 124_439_808),
        ("gpt2-medium", 354_823_168),
        ("gpt2-large", 774_030_080),
        ("gpt2-xl", 1_557_611_200),
        ("llama-2-7b", 6_738_415_616 - 32_000 * 4096),  # without the language-model head
        ("gpt3-175b", 174_604_259_328),
    ],
)
def test_base_parameters_of_published_models(model, parameters):
    assert count(model, LoraConfig()).base_parameters == parameters


def test_deberta_has_one_and_a_half_billion_parameters():
    assert count("deberta-xxl", q_and_v(16)).base_parameters == pytest.approx(1.56e9, rel=0.01)


@pytest.mark.parametrize(
    ("model", "vocabulary"),
    [
        ("minilm", 30522),
        ("bert-base", 30522),
        ("bert-base-cased", 28996),
        ("bert-large", 30522),
        ("bert-large-cased", 28996),
        ("roberta-base", 50265),
        ("roberta-large", 50265),
        ("distilbert", 30522),
        ("deberta-xxl", 128100),
        ("gpt2", 50257),
        ("gpt3-175b", 50257),
        ("llama-2-7b", 32000),
    ],
)
def test_vocabularies_and_whether_they_are_cased(model, vocabulary):
    assert configuration(model).vocab_size == vocabulary
    assert ("uncased" in ARCHITECTURES[model].published_as) == (vocabulary == 30522)


# Real instantiation and PEFT.

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
    counted = count("bert-base", q_and_v(8))
    every = counted.base_parameters + counted.head_parameters
    assert counted.full_memory.total == 16 * every
    assert counted.lora_memory.total == 4 * every + 4 * counted.adapter_parameters + (
        12 * counted.trainable_parameters
    )


# One block standing for all gives the same as the whole model.

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
    quick = count("gpt3-175b", q_and_v(4))
    slow()
    assert quick == count("gpt3-175b", q_and_v(4))


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_all_built_in_models_are_counted_the_quick_way(model, monkeypatch):
    built = []
    monkeypatch.setattr(
        counting, "on_meta_device", lambda s, **k: built.append(s) or on_meta_device(s, **k)
    )
    count(model, q_and_v(1))
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


def test_built_in_configurations_are_new_each_time():
    configuration("minilm").vocab_size = 1
    assert configuration("minilm").vocab_size == 30522
    assert all(isinstance(configuration(name), PretrainedConfig) for name in ARCHITECTURES)


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
    assert count("bert-base", q_and_v(4)).note == ""


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


# The result.


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
    counted = count("gpt2", q_and_v(4))
    contents = json.loads(json.dumps(counted.as_dict()))
    assert contents == counted.as_dict()
    assert contents["adapter_parameters"] == 147_456
    assert contents["adapter_file_bytes"] == {"float32": 589_824, "float16": 294_912}
    assert contents["lora_memory"]["total"] == counted.lora_memory.total
    assert contents["matrices"][0]["shape"] == [768, 768]


def test_table_reads():
    table = count("gpt3-175b", q_and_v(4)).table()
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


# What is refused.


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("bert-bas", "bert-base"), ("GPT3", "gpt3-175b"), ("roberta_base", "roberta-base")],
)
def test_an_unknown_name_lists_the_names_and_suggests_one(name, suggestion):
    with pytest.raises(ValueError, match=f"Did you mean '{suggestion}'") as raised:
        count(name, LoraConfig())
    assert all(known in str(raised.value) for known in ARCHITECTURES)


@pytest.mark.parametrize("name", ["", "xyz"])
def test_a_name_like_no_other_gets_no_suggestion(name):
    with pytest.raises(ValueError, match="no built-in architecture") as raised:
        count(name, LoraConfig())
    assert "Did you mean" not in str(raised.value)


@pytest.mark.parametrize("contents", [{}, {"model_type": "bort"}, {"model_type": None}])
def test_a_config_json_of_no_known_type_is_refused(contents):
    with pytest.raises(ValueError, match="which transformers does not know.*config.json"):
        count(contents, LoraConfig())


def test_something_else_is_refused():
    with pytest.raises(TypeError, match="model is a int; give a built-in name"):
        count(3, LoraConfig())


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


def test_an_unknown_number_type_is_refused():
    with pytest.raises(ValueError, match="dtype is 'int3'; it must be one of float32, float16"):
        count("minilm", LoraConfig()).adapter_file_bytes("int3")


# Blueprints: built once, counted often.


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
