"""The built-in architectures have the sizes that their authors published."""

from __future__ import annotations

import pytest
from transformers import PretrainedConfig

from lora_lab.adapt import LoraConfig
from lora_lab.budget.architectures import ARCHITECTURES, configuration
from lora_lab.budget.counting import count


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
    assert count(
        "deberta-xxl", LoraConfig(rank=16, target_modules="q,v")
    ).base_parameters == pytest.approx(1.56e9, rel=0.01)


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


def test_built_in_configurations_are_new_each_time():
    configuration("minilm").vocab_size = 1
    assert configuration("minilm").vocab_size == 30522
    assert all(isinstance(configuration(name), PretrainedConfig) for name in ARCHITECTURES)


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
