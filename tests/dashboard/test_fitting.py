"""Settings of one architecture on another: always something that can be counted and copied."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_lab.adapt import LoraConfig
from lora_lab.budget.architectures import ARCHITECTURES
from lora_lab.budget.counting import Blueprint
from lora_lab.dashboard.budget import fitting
from lora_lab.dashboard.budget.settings import SHEET
from lora_lab.targets import choose_layers, find_targets

T5 = dict(model_type="t5", num_layers=2, d_model=32, num_heads=4, d_kv=8, d_ff=64, vocab_size=50)
NAMES = ("q", "k", "v", "qkv", "o", "gate", "up", "down", "all-linear", "wi", "nonsense")

some_names = st.lists(st.sampled_from(NAMES), min_size=1).map(tuple)
some_layers = st.one_of(
    st.just("all"),
    st.builds("{}:{}".format, st.sampled_from(["top", "bottom"]), st.integers(1, 999)),
    st.lists(st.integers(0, 999), min_size=2, max_size=2).map(lambda n: f"{min(n)}-{max(n)}"),
)


@cache
def drawn(name: str) -> Blueprint:
    return Blueprint(T5 if name == "t5" else name)


@pytest.mark.parametrize("name", [*ARCHITECTURES, "t5"])
@given(asked=some_names, layers=some_layers)
@settings(max_examples=15)
def test_what_is_fitted_can_be_counted_and_trained(name, asked, layers):
    names = fitting.offered(drawn(name))
    targets = fitting.fit_targets(asked, names)
    layers = fitting.fit_layers(layers, drawn(name).blocks)
    counted = drawn(name).count(LoraConfig(rank=1, target_modules=targets, layers=layers))
    blocks = choose_layers(layers, drawn(name).blocks)
    assert 0 < counted.adapted_matrices <= sum(kind.in_model for kind in counted.matrices)
    assert fitting.fit_targets(targets, names) == targets
    assert fitting.fit_layers(layers, drawn(name).blocks) == layers
    assert blocks
    trained = fitting.as_trained(targets, names)
    assert find_targets(drawn(name).model(), trained, layers)


@given(some_names, some_layers)
def test_names_and_layers_survive_the_address(names, layers):
    for name, value in (("targets", tuple(dict.fromkeys(names))), ("layers", layers)):
        assert SHEET[name].read(SHEET[name].write(value)) == value


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_offered_name_means_a_matrix_of_each_block(name):
    for offered in fitting.offered(drawn(name)):
        counted = drawn(name).count(LoraConfig(rank=1, target_modules=(offered,)))
        assert counted.adapted_matrices == drawn(name).blocks


def test_a_family_without_short_names_offers_its_own():
    assert set(fitting.offered(drawn("t5"))) == {"q", "k", "v", "o", "wi", "wo"}


def test_the_fused_matrix_and_its_parts_take_each_others_place():
    assert fitting.after_click(("q", "v"), ("q", "v", "qkv")) == ("qkv",)
    assert fitting.after_click(("qkv", "o"), ("k", "qkv", "o")) == ("k", "o")
    assert fitting.after_click(("q",), ("q", "up")) == ("q", "up")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("targets", ""), ("targets", ".*"), ("targets", "q,"), ("targets", "<b>"),
        ("targets", ",".join(f"x{n}" for n in range(31))), ("targets", "q" * 61),
        ("layers", ""), ("layers", "top:0"), ("layers", "5-3"), ("layers", "0-9999999999"),
        ("layers", "٣"), ("layers", "top:-1"), ("config", "{"), ("config", "[]"),
        ("rank", "0"), ("rank", "1025"), ("model", "gpt5"), ("head", "maybe"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_falls_back_and_is_told(name, text):
    values, problems = SHEET.read_address({name: text})
    assert values == SHEET.defaults()
    assert [(problem.name, problem.text) for problem in problems] == [(name, text)]


def test_presets_can_be_linked():
    for preset in SHEET.presets:
        values = SHEET.preset_values(preset)
        assert SHEET.read_address(SHEET.write_address(values)) == (values, [])
