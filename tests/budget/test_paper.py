"""The paper's printed sizes against its formula, and the formula against counted shapes."""

from __future__ import annotations

import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.budget.counting import count
from lora_lab.budget.paper import ROWS, TARGETS


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_the_formula_gives_what_is_counted(row):
    counted = count(row.model, LoraConfig(rank=row.rank, target_modules=TARGETS))
    assert row.by_formula == counted.adapter_parameters
    assert row.matrices == counted.adapted_matrices


def test_two_printed_numbers_do_not_follow_from_the_formula():
    odd = {row.model: (row.printed, row.rounded) for row in ROWS if not row.agrees}
    assert odd == {"gpt2-medium": ("0.35", "0.39"), "gpt2-large": ("0.77", "0.74")}


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
    counted = count(model, LoraConfig(rank=rank, target_modules=TARGETS))
    assert counted.adapter_parameters == exact
    if paper is not None:
        assert round(exact / 1e6, 1) * 1e6 == pytest.approx(paper)


@pytest.mark.parametrize(
    ("model", "layers", "d", "paper", "exact"),
    [("gpt2-medium", 24, 1024, 0.35e6, 393_216), ("gpt2-large", 36, 1280, 0.77e6, 737_280)],
)
def test_two_of_the_papers_counts_do_not_follow_from_its_formula(model, layers, d, paper, exact):
    counted = count(model, LoraConfig(rank=4, target_modules=TARGETS)).adapter_parameters
    assert counted == exact == 2 * layers * 4 * (d + d)
    assert abs(counted - paper) > 0.03e6, "not a matter of rounding"
    settings = [(matrices, rank) for matrices in range(1, 7) for rank in range(1, 65)]
    assert not [s for s in settings if round(s[0] * layers * s[1] * 2 * d / 1e4) * 1e4 == paper]


def test_the_papers_gpt3_checkpoint():
    counted = count("gpt3-175b", LoraConfig(rank=4, target_modules=TARGETS))
    assert counted.adapter_parameters == 18_874_368
    assert counted.adapter_file_bytes("float16") == 37_748_736  # 37.7 MB; the paper says 35 MB
    assert counted.model_file_bytes("float16") == pytest.approx(350e9, rel=0.003)
    assert counted.adapted_matrices == 192


def test_counts_leave_the_head_out():
    two, many = (
        count("bert-base", LoraConfig(rank=8, target_modules=TARGETS), num_labels=n)
        for n in (2, 100)
    )
    none = count("bert-base", LoraConfig(rank=8, target_modules=TARGETS), head=False)
    assert two.adapter_parameters == many.adapter_parameters == none.adapter_parameters
    assert two.base_parameters == many.base_parameters == none.base_parameters
    assert [c.head_parameters for c in (two, many, none)] == [2 * 769, 100 * 769, 0]
    assert none.trainable_parameters == none.adapter_parameters
