"""The code that a visitor copies: it runs, and both dialects train the same numbers."""

from __future__ import annotations

import contextlib
import io
import re

import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.budget.counting import Blueprint, count
from lora_lab.dashboard.code import lora_lab_code, peft_code, peft_targets

TINY = dict(num_hidden_layers=4, hidden_size=32, num_attention_heads=4, intermediate_size=48,
            vocab_size=60)  # fmt: skip
PASTED = {
    "llama": TINY | {"model_type": "llama"},
    "qwen2": TINY | {"model_type": "qwen2", "num_key_value_heads": 2},
    "megatron-bert": TINY | {"model_type": "megatron-bert"},
    "distilbert": dict(model_type="distilbert", n_layers=3, dim=32, n_heads=4, hidden_dim=48),
    "gpt2": dict(model_type="gpt2", n_layer=3, n_embd=32, n_head=4, vocab_size=60),
    "keyword": TINY | {"model_type": "bert", "lambda": 1, "class": "x"},
}
CHOICES = [
    LoraConfig(),
    LoraConfig(rank=3, alpha=1.5, layers="top:2"),
    LoraConfig(rank=1, layers="1-2", target_modules=("o", "up")),
    LoraConfig(rank=2, layers="bottom:1", target_modules=("down",)),
    LoraConfig(rank=2, target_modules=("down", "up")),
    LoraConfig(rank=4, scaling="alpha/sqrt(r)", dropout=0.1, init="gaussian"),
]


def printed(code: str) -> int:
    """Run the code as it stands; the number of trainable parameters that it prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "copied", "exec"), {"__name__": "__main__"})
    text = output.getvalue()
    return int(re.search(r"([\d,]+) trainable|trainable params: ([\d,]+)", text)[0].split()[
        0 if "trainable parameters" in text else -1
    ].replace(",", ""))  # fmt: skip


def both(source, lora: LoraConfig, head: bool) -> list[int]:
    drawn = Blueprint(source)
    codes = lora_lab_code(source, lora, head=head), peft_code(drawn, source, lora, head=head)
    return [printed(code) for code in codes]


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("lora", CHOICES, ids=range(len(CHOICES)))
@pytest.mark.parametrize("model", ["minilm", "gpt2"])
def test_both_snippets_run_and_print_what_is_counted(model, lora, head):
    expected = count(model, lora, head=head).trainable_parameters
    assert both(model, lora, head) == [expected, expected]


@pytest.mark.parametrize("head", [True, False])
@pytest.mark.parametrize("lora", [LoraConfig(rank=2), LoraConfig(rank=2, layers="top:1")])
@pytest.mark.parametrize("family", PASTED)
def test_a_pasted_configuration_becomes_code_that_runs(family, lora, head):
    source = PASTED[family]
    expected = count(source, lora, head=head).trainable_parameters
    assert both(source, lora, head) == [expected, expected]


@pytest.mark.parametrize("model", ["roberta-base", "deberta-xxl", "llama-2-7b", "gpt3-175b"])
def test_large_models_need_no_weights(model):
    lora = LoraConfig(rank=4, target_modules="all-linear", layers="top:2")
    expected = count(model, lora).trainable_parameters
    assert both(model, lora, head=True) == [expected, expected]


def test_text_in_a_configuration_stays_text():
    evil = TINY | {"model_type": "bert", "note": "\"); raise SystemExit('run'); (\"", "x": "'\n"}
    lora = LoraConfig(rank=1)
    assert both(evil, lora, head=True) == [count(evil, lora).trainable_parameters] * 2


@pytest.mark.parametrize(
    ("adapted", "expected"),
    [
        (["l.*.a.query"], ["query"]),
        (["l.*.a.query", "l.*.a.value"], ["query", "value"]),
        (["l.*.a.out.dense", "l.*.out.dense"], ["out.dense"]),
        (["l.*.a.out.dense"], ["a.out.dense"]),
        (["l.*.out.dense"], r"(?:.*\.)?l\.(?:0|2)\.out\.dense"),
    ],
)
def test_peft_is_told_ends_of_names_where_they_suffice(adapted, expected):
    every = ["l.*.a.query", "l.*.a.value", "l.*.a.out.dense", "l.*.out.dense", "pooler.dense"]
    assert peft_targets(adapted, every, (2, 0)) == expected
