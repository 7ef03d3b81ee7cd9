"""Refused: configurations that nobody could have meant."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from lora_lab.adapt import TwoSidedConfig
from lora_lab.adapter_files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    AdapterError,
    load_adapter,
    save_adapter,
)

from .made import (
    LORA,
    assert_same_answers,
    assert_unchanged,
    edit_config,
    edit_metadata,
    fresh,
    peft_save,
    refuse,
    state,
    trained,
)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("r", r"does not give the adapter's rank \(r\)"),
        ("lora_alpha", r"does not give the adapter's alpha \(lora_alpha\)"),
        ("target_modules", "does not give the adapter's target_modules"),
        ("peft_type", "peft_type is None"),
    ],
)
def test_what_must_be_in_the_configuration(folder: Path, key: str, message: str) -> None:
    for absent in (..., None):
        edit_config(folder, **{key: absent})
        refuse(folder, message)


@pytest.mark.parametrize("key", ["r", "form", "target_modules"])
def test_what_must_be_in_a_two_sided_configuration(key: str, tmp_path: Path) -> None:
    save_adapter(trained("bert", TwoSidedConfig("diagonal")), tmp_path)
    edit_config(tmp_path, **{key: ...})
    refuse(tmp_path, f"does not give the adapter's .*{key}")


@pytest.mark.parametrize(
    "variant",
    [
        dict(use_dora=True),
        dict(use_bdlora={"nblocks": 2}),
        dict(lora_bias=True),
        dict(rank_pattern={"query": 2}),
        dict(alpha_pattern={"query": 2}),
        dict(bias="all"),
        dict(bias="lora_only"),
        dict(bias=None),
        dict(init_lora_weights="pissa"),
        dict(init_lora_weights="olora"),
        dict(init_lora_weights=[]),
        dict(exclude_modules=["key"]),
        dict(trainable_token_indices=[1]),
        dict(something_of_the_future=1),
    ],
    ids=lambda variant: "-".join(variant),
)
def test_unknown_variants(folder: Path, variant: dict[str, Any]) -> None:
    edit_config(folder, **variant)
    refuse(folder, f"variant that is not implemented here: {next(iter(variant))} = ")


@pytest.mark.parametrize("options", [dict(use_dora=True), dict(lora_bias=True), dict(bias="all")])
def test_variants_as_peft_writes_them(options: dict[str, Any], tmp_path: Path) -> None:
    peft_save(tmp_path, **options)
    refuse(tmp_path, "variant that is not implemented here")


@pytest.mark.parametrize("kind", ["IA3", "ADALORA", "lora", 5, ["LORA"], {}, True])
def test_other_kinds_of_adapters(folder: Path, kind: Any) -> None:
    edit_config(folder, peft_type=kind)
    refuse(folder, "peft_type is .*this workbench reads LORA")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("r", ["8", True, False, 0, -1, 4.0, [4], {"r": 4}, 1e400]),
        ("lora_alpha", ["8", True, 0, -1, float("nan"), float("inf"), 10**400, [8], {}]),
        ("lora_dropout", ["0.1", 1, 1.5, -0.1, True, float("nan"), [0]]),
        ("use_rslora", ["no", 0, 1, [], {}]),
        ("target_modules", [5, True, {"query": 1}, [5], [None], [["query"]]]),
        ("layers_to_transform", ["all", "top:1", 1.0, True, ["0"], [True], {"0": 1}]),
        ("base_model_name_or_path", [5, ["x"], True, {}]),
        ("task_type", [5, ["SEQ_CLS"], False]),
    ],
)
def test_values_of_absurd_types(folder: Path, key: str, values: list[Any]) -> None:
    for value in values:
        edit_config(folder, **{key: value})
        refuse(folder, rf"In {CONFIG_FILE} the .*{key}.* is .*; it must be ")


@pytest.mark.parametrize("form", ["round", 5, ["dense"], True, {"low-rank": 1}])
def test_form_that_does_not_exist(form: Any, tmp_path: Path) -> None:
    save_adapter(trained("bert", TwoSidedConfig("dense", target_modules=("query",))), tmp_path)
    edit_config(tmp_path, form=form)
    refuse(tmp_path, "the form is .*; it must be one of low-rank, diagonal, dense")


@pytest.mark.parametrize("pattern", ["(", "*", "a{99999999999}", "(" * 20_000 + ")" * 20_000])
def test_pattern_that_cannot_be_read(peft_folder: Path, pattern: str) -> None:
    edit_config(peft_folder, target_modules=pattern)
    refuse(peft_folder, "no regular expression")


@pytest.mark.parametrize("targets", [[], "", [""], ["nothing"], "query", r".*\.nothing"])
def test_targets_that_are_not_in_the_model(peft_folder: Path, targets: Any) -> None:
    edit_config(peft_folder, target_modules=targets)
    refuse(peft_folder, r"this model does not have. Its linear layers are .*layer\.\*\.attention")


@pytest.mark.parametrize("numbers", [99, [99], -1])
def test_layers_that_are_not_in_the_model(peft_folder: Path, numbers: Any) -> None:
    edit_config(peft_folder, layers_to_transform=numbers)
    refuse(peft_folder, "in layers .*99|-1.*, which this model does not have")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(max_examples=60)
@given(st.data())
def test_no_configuration_gives_anything_but_an_adapter_error(
    stored: Path, data: st.DataObject
) -> None:
    """Whatever stands in the file: it is read right, or refused with the model unchanged."""
    folder = stored.with_name("any")
    shutil.copytree(stored, folder, dirs_exist_ok=True)
    config = json.loads((folder / CONFIG_FILE).read_text())
    keys = st.sampled_from(sorted(config)) | st.text(max_size=6)
    edit_config(folder, **data.draw(st.dictionaries(keys, JSON_VALUES, min_size=1, max_size=3)))
    model = fresh()
    before = state(model)
    try:
        load_adapter(model, folder)
    except AdapterError:
        assert_unchanged(model, before)
    else:
        assert_same_answers(model, trained("bert", LORA))


@pytest.mark.parametrize("content", ["[]", "5", "{", "[" * 100_000, '{"settings": 5}'])
def test_metadata_that_makes_no_sense(folder: Path, content: str) -> None:
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"lora_lab": content})
    refuse(folder, "must hold a JSON object|not a safetensors file")


@pytest.mark.parametrize("labels", [5, "abc", {"a": 1}, [1, 2, 3]])
def test_labels_that_make_no_sense(folder: Path, labels: Any) -> None:
    edit_metadata(folder, labels=labels)
    refuse(folder, "labels must be a list of texts")
