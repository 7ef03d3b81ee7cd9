"""Which layers a configuration means, and what it says when it means none."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, LlamaConfig

from lora_lab.targets import (
    SHORT_NAMES,
    TargetError,
    choose_layers,
    find_targets,
    head_modules,
    layer_count,
    layer_number,
    name_pattern,
    short_name,
    short_names_for,
    split_names,
)

from .tiny_models import FAMILIES, tiny_config, tiny_model

#: What each short name must find in block 1 (module name after the block's number).
IN_A_BLOCK = {
    "bert": {
        "q": "attention.self.query",
        "k": "attention.self.key",
        "v": "attention.self.value",
        "o": "attention.output.dense",
        "up": "intermediate.dense",
        "down": "output.dense",
    },
    "distilbert": {
        "q": "attention.q_lin",
        "k": "attention.k_lin",
        "v": "attention.v_lin",
        "o": "attention.out_lin",
        "up": "ffn.lin1",
        "down": "ffn.lin2",
    },
    "gpt2": {
        "qkv": "attn.c_attn",
        "o": "attn.c_proj",
        "up": "mlp.c_fc",
        "down": "mlp.c_proj",
    },
    "llama": {
        "q": "self_attn.q_proj",
        "k": "self_attn.k_proj",
        "v": "self_attn.v_proj",
        "o": "self_attn.o_proj",
        "gate": "mlp.gate_proj",
        "up": "mlp.up_proj",
        "down": "mlp.down_proj",
    },
}
IN_A_BLOCK["roberta"] = IN_A_BLOCK["bert"]
IN_A_BLOCK["deberta-v2"] = IN_A_BLOCK["bert"] | {
    name: f"attention.self.{long}_proj"
    for name, long in {"q": "query", "k": "key", "v": "value"}.items()
}
ALIKE = dict.fromkeys(("camembert", "electra", "xlm-roberta"), "bert") | dict.fromkeys(
    ("gemma", "gemma2", "mistral", "qwen2", "qwen3"), "llama"
)
IN_A_BLOCK |= {family: IN_A_BLOCK[model] for family, model in ALIKE.items()}
BLOCKS = {
    "bert": "bert.encoder.layer",
    "roberta": "roberta.encoder.layer",
    "deberta-v2": "deberta.encoder.layer",
    "distilbert": "distilbert.transformer.layer",
    "gpt2": "transformer.h",
    "llama": "model.layers",
    **{family: "model.layers" for family, model in ALIKE.items() if model == "llama"},
    "camembert": "roberta.encoder.layer",
    "electra": "electra.encoder.layer",
    "xlm-roberta": "roberta.encoder.layer",
}


def shapes_only(family: str) -> nn.Module:
    if family in FAMILIES:
        settings = tiny_config(family)
    else:
        small = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=3, vocab_size=100)
        settings = AutoConfig.for_model(family, num_attention_heads=4, **small)
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(settings)


@pytest.fixture(scope="module")
def bert() -> nn.Module:
    return tiny_model("bert")


# Names.


@pytest.mark.parametrize("family", SHORT_NAMES)
def test_each_short_name_finds_one_matrix_in_each_block(family):
    model = shapes_only(family)
    assert set(short_names_for(model)) == IN_A_BLOCK[family].keys()
    for short, long in IN_A_BLOCK[family].items():
        found = find_targets(model, short)
        assert found == [f"{BLOCKS[family]}.{n}.{long}" for n in range(3)]
        assert {short_name(name) for name in found} == {short}  # and back


def test_a_matrix_without_a_short_name_keeps_its_own():
    assert short_name("bert.pooler.dense") == "dense"


@pytest.mark.parametrize("family", SHORT_NAMES)
def test_all_linear_is_every_matrix_of_the_blocks(family):
    model = shapes_only(family)
    short = find_targets(model, tuple(IN_A_BLOCK[family]))
    assert find_targets(model) == find_targets(model, "all-linear") == short
    assert len(short) == 3 * len(IN_A_BLOCK[family])


@pytest.mark.parametrize("family", SHORT_NAMES)
def test_all_linear_has_neither_pooler_nor_head(family):
    model = shapes_only(family)
    found = find_targets(model)
    heads = tuple(head_modules(model))
    assert heads
    assert not [name for name in found if "pooler" in name or name.startswith(heads)]


@pytest.mark.parametrize(
    ("name", "in_block"),
    [
        ("query", ["attention.self.query"]),
        ("self.query", ["attention.self.query"]),
        ("output.dense", ["attention.output.dense", "output.dense"]),
        ("attention.output.dense", ["attention.output.dense"]),
        (r".*\.self\.(query|value)", ["attention.self.query", "attention.self.value"]),
        (r".*\.(key|intermediate\.dense)", ["attention.self.key", "intermediate.dense"]),
    ],
)
def test_suffixes_and_patterns(bert, name, in_block):
    expected = [f"bert.encoder.layer.{n}.{long}" for n in range(3) for long in in_block]
    assert find_targets(bert, name) == expected


def test_a_full_name_is_one_layer(bert):
    name = "bert.encoder.layer.1.attention.self.key"
    assert find_targets(bert, name) == [name]


def test_a_suffix_ends_at_dots(bert):
    with pytest.raises(TargetError, match="No linear layer matches 'uery'"):
        find_targets(bert, "uery")


def test_a_pattern_must_match_the_whole_name(bert):
    with pytest.raises(TargetError, match="No linear layer matches"):
        find_targets(bert, r"attention\.self\.(query|key)")


def test_several_names_come_once_each_and_in_the_models_order(bert):
    as_text = find_targets(bert, "value, q,query")
    assert as_text == find_targets(bert, ("query", "v")) == find_targets(bert, ["v", "q"])
    assert [n.rpartition(".")[2] for n in as_text] == ["query", "value"] * 3


def test_the_pooler_can_be_named_but_lies_in_no_layer(bert):
    assert find_targets(bert, "pooler.dense") == ["bert.pooler.dense"]
    assert "bert.pooler.dense" in find_targets(bert, "dense")
    assert "bert.pooler.dense" not in find_targets(bert, "dense", layers="0-2")
    with pytest.raises(TargetError, match="exist, but not in layers 'top:1'.*bert.pooler.dense"):
        find_targets(bert, "pooler.dense", layers="top:1")


def test_the_head_cannot_be_a_target():
    with pytest.raises(TargetError, match="No linear layer matches 'classifier'"):
        find_targets(tiny_model("bert"), "classifier")
    with pytest.raises(TargetError, match="No linear layer matches 'out_proj'"):
        find_targets(tiny_model("roberta"), "out_proj")


# Layers.


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("all", [0, 1, 2]),
        (" all ", [0, 1, 2]),
        ("top:1", [2]),
        ("top:2", [1, 2]),
        ("top:3", [0, 1, 2]),
        ("bottom:1", [0]),
        ("bottom:2", [0, 1]),
        ("1", [1]),
        ("2,0", [0, 2]),
        (" 0 , 1 - 2 ", [0, 1, 2]),
        ([2, 0, 2], [0, 2]),
        ((1,), [1]),
        (range(2), [0, 1]),
    ],
)
def test_layers(bert, layers, expected):
    found = find_targets(bert, "q", layers)
    assert found == [f"bert.encoder.layer.{n}.attention.self.query" for n in expected]


def test_spans_and_numbers_mix():
    assert choose_layers("0,3-5", 12) == (0, 3, 4, 5)
    assert choose_layers("10-11,3-3", 12) == (3, 10, 11)


@pytest.mark.parametrize(
    "layers",
    [
        "top:0",
        "top:4",
        "bottom:9",
        "3",
        "0-3",
        "2-1",
        "",
        "first",
        "top",
        "top:",
        "1;2",
        "-1",
        "1.0",
    ]
    + [[], [3], [-1], [True], [1.0], ["1"]],
    ids=repr,
)
def test_impossible_layers_are_refused_with_what_is_possible(bert, layers):
    with pytest.raises(TargetError, match="0 to 2") as raised:
        find_targets(bert, "q", layers)
    assert repr(layers) in str(raised.value)


def test_layers_around_spaces_still_include_the_pooler(bert):
    assert find_targets(bert, "pooler.dense", " all ") == ["bert.pooler.dense"]


# Errors list what there is.


def test_unknown_name_lists_short_names_and_layers(bert):
    with pytest.raises(TargetError) as raised:
        find_targets(bert, "q_proj")
    message = str(raised.value)
    assert "No linear layer matches 'q_proj'" in message
    assert "Short names here: q, k, v, o, up, down." in message
    assert "bert.encoder.layer.*.attention.self.query" in message
    assert ".0." not in message, "one line for all blocks"


def test_one_wrong_name_among_right_ones_is_refused(bert):
    with pytest.raises(TargetError, match="No linear layer matches 'typo'"):
        find_targets(bert, "q,typo,v")


@pytest.mark.parametrize("name", ["q", "k", "v"])
def test_q_on_gpt2_gives_advice(name):
    with pytest.raises(TargetError, match="one matrix: use 'qkv'"):
        find_targets(tiny_model("gpt2"), name)


def test_an_unreadable_pattern_is_refused(bert):
    with pytest.raises(TargetError, match=re.escape("'(query' is not a module name or a regular")):
        find_targets(bert, "(query")


@pytest.mark.parametrize("nothing", ["", " , ", (), ("",)], ids=repr)
def test_no_names_are_refused(bert, nothing):
    with pytest.raises(TargetError, match="No target modules given"):
        find_targets(bert, nothing)


def test_a_model_without_linear_layers_in_blocks_is_refused():
    with pytest.raises(TargetError):
        find_targets(nn.Sequential(nn.ReLU()), "all-linear")


def test_target_error_is_a_value_error():
    assert issubclass(TargetError, ValueError)


# Helpers.


def test_split_names():
    assert split_names("q, v") == split_names(["q", "v"]) == ["q", "v"]


@pytest.mark.parametrize(
    ("name", "number", "pattern"),
    [
        ("bert.encoder.layer.11.output.dense", 11, "bert.encoder.layer.*.output.dense"),
        ("3.linear", 3, ".*.linear"),
        ("bert.pooler.dense", None, "bert.pooler.dense"),
        ("ffn.lin1", None, "ffn.lin1"),
    ],
)
def test_layer_number_and_pattern(name, number, pattern):
    assert layer_number(name) == number
    assert name_pattern(name) == pattern


@pytest.mark.parametrize("family", FAMILIES)
def test_layer_count(family):
    assert layer_count(tiny_model(family, layers=2)) == 2
    assert layer_count(nn.Linear(2, 2)) == 0


@pytest.mark.parametrize(
    ("family", "heads"),
    [
        ("bert", ["classifier"]),
        ("roberta", ["classifier"]),
        ("distilbert", ["pre_classifier", "classifier"]),
        ("gpt2", ["score"]),
    ],
)
def test_head_modules(family, heads):
    assert list(head_modules(tiny_model(family))) == heads


@pytest.mark.parametrize("family", FAMILIES)
def test_a_bare_base_model_has_no_head_and_can_be_adapted(family):
    base = AutoModel.from_config(tiny_config(family))
    assert head_modules(base) == {}
    assert len(find_targets(base)) == len(find_targets(tiny_model(family)))


def test_a_module_that_is_no_transformers_model():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), nn.Linear(2, 2))
    assert head_modules(model) == {}
    assert short_names_for(model) == ()
    assert find_targets(model) == ["0.0"]
    with pytest.raises(TargetError) as raised:
        find_targets(model, "q")
    assert "Short names" not in str(raised.value)


def test_grouped_query_attention_keeps_its_own_shapes():
    settings = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(settings)
    (name,) = find_targets(model, "v")
    assert model.get_submodule(name).weight.shape == (16, 32)
