"""Adapters on disk give the same answers through PEFT and back."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import RobertaForTokenClassification

from lora_lab.adapt import LoraConfig, TwoSidedConfig, adapted_layers, apply_lora
from lora_lab.adapter_files import CONFIG_FILE, load_adapter, save_adapter

from ..tiny_models import FAMILIES, TARGETS, tiny_config
from .made import (
    LORA,
    PEFT_NOISE,
    assert_same_answers,
    edit_config,
    edit_weights,
    fresh,
    logits,
    peft_save,
    refuse,
    trained,
)

# PEFT reads what we write


@pytest.mark.filterwarnings(PEFT_NOISE)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "choice",
    [
        dict(rank=1, alpha=1, targets=0),
        dict(rank=4, alpha=16, targets=1),
        dict(rank=8, alpha=7.5, targets=2, scaling="alpha/sqrt(r)"),
        dict(rank=3, alpha=6, targets=1, layers=(0, 2)),
        dict(rank=2, alpha=16, targets="all-linear", layers="top:1", dropout=0.1),
        dict(rank=2, alpha=4, targets="all-linear"),
    ],
    ids=lambda choice: "-".join(map(str, choice.values())),
)
def test_peft_gives_the_same_answers_with_our_file(
    family: str, choice: dict[str, Any], tmp_path: Path
) -> None:
    choice = dict(choice)
    targets = choice.pop("targets")
    names = targets if isinstance(targets, str) else TARGETS[family][targets]
    # Four layers, all linear: more than 20 names, which PEFT shortens to suffixes on its own.
    model = trained(family, LoraConfig(target_modules=names, **choice), layers=4)
    save_adapter(model, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # PEFT's way to report missing tensors
        theirs = PeftModel.from_pretrained(fresh(family, layers=4), tmp_path).eval()
    assert_same_answers(model, theirs)
    assert not torch.allclose(logits(model), logits(fresh(family, layers=4)), atol=0.01)


@pytest.mark.filterwarnings(PEFT_NOISE)
def test_peft_would_have_warned_about_a_missing_tensor(folder: Path) -> None:
    """The test above rests on this warning."""
    edit_weights(folder, lambda tensors: tensors.pop(sorted(tensors)[0]))
    with pytest.warns(UserWarning, match="missing"):
        PeftModel.from_pretrained(fresh(), folder)


@pytest.mark.parametrize("config", [None, TwoSidedConfig("diagonal", target_modules=("query",))])
def test_peft_refuses_what_it_has_no_counterpart_for(
    config: TwoSidedConfig | None, tmp_path: Path
) -> None:
    save_adapter(trained("bert", config), tmp_path)
    with pytest.raises((KeyError, ValueError)):
        PeftModel.from_pretrained(fresh(), tmp_path)


def test_peft_knows_our_file_as_an_adapter_of_a_token_classifier(tmp_path: Path) -> None:
    model = RobertaForTokenClassification(tiny_config("roberta")).eval()
    apply_lora(model, LORA)
    save_adapter(model, tmp_path)
    assert json.loads((tmp_path / CONFIG_FILE).read_text())["task_type"] == "TOKEN_CLS"


# We read what PEFT writes


@pytest.mark.filterwarnings(PEFT_NOISE)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(r=1, lora_alpha=32),
        dict(r=8, lora_alpha=3, use_rslora=True, lora_dropout=0.2),
        dict(target_modules="all-linear"),
        dict(layers_to_transform=1),
        dict(layers_to_transform=[0, 2], init_lora_weights="gaussian"),
        dict(layers_to_transform=[]),
        dict(target_modules="regular expression"),
        dict(target_modules="all-linear", layers=5),
    ],
    ids=lambda options: "-".join(f"{k}={v}" for k, v in options.items()) or "plain",
)
def test_we_give_the_same_answers_with_peft_s_file(
    family: str, options: dict[str, Any], tmp_path: Path
) -> None:
    options = dict(options)
    layers = options.pop("layers", 3)
    if options.get("target_modules") == "regular expression":
        last = TARGETS[family][0][0].rpartition(".")[2]
        options["target_modules"] = rf".*\.[0,2]\..*{last}"  # the comma must not split it
    theirs = peft_save(tmp_path, family, fresh(family, layers=layers), **options)
    model = fresh(family, layers=layers)
    names = load_adapter(model, tmp_path)
    assert_same_answers(model, theirs)
    assert list(adapted_layers(model)) == names
    in_peft = [n for n, m in theirs.base_model.model.named_modules() if hasattr(m, "lora_A")]
    assert names == in_peft


def test_pooler_is_adapted_when_peft_adapted_it(tmp_path: Path) -> None:
    theirs = peft_save(tmp_path, "bert", target_modules=["dense"])
    model = fresh()
    assert "bert.pooler.dense" in load_adapter(model, tmp_path)
    assert_same_answers(model, theirs)


def test_all_linear_spelled_out_in_the_file_means_what_it_means_to_peft(tmp_path: Path) -> None:
    theirs = peft_save(tmp_path, "bert", target_modules="all-linear")
    edit_config(tmp_path, target_modules="all-linear")
    model = fresh()
    load_adapter(model, tmp_path)
    assert_same_answers(model, theirs)


def test_short_names_of_papers_mean_nothing_in_a_file(peft_folder: Path) -> None:
    """PEFT has no 'q' for 'query': a file that says so was not written for this model."""
    edit_config(peft_folder, target_modules=["q", "v"])
    refuse(peft_folder, r"\['q', 'v'\], which this model does not have.*self\.query")


def test_half_precision_file_fits_a_float32_model(peft_folder: Path) -> None:
    edit_weights(peft_folder, lambda t: t.update({k: v.half() for k, v in t.items()}))
    model = fresh()
    load_adapter(model, peft_folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
