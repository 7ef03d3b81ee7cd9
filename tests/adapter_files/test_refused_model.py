"""Refused: an adapter for a model that is not its base."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lora_lab.adapt import adapted_layers
from lora_lab.adapter_files import AdapterError, load_adapter

from .made import fresh, logits, peft_save, refuse


def test_base_with_other_weights(folder: Path) -> None:
    other = fresh(seed=5)
    refuse(folder, "trained on another base model.*answers mean nothing", other)
    load_adapter(other, folder, allow_other_base=True)
    assert adapted_layers(other)


def test_base_name_is_not_held_against_our_files(folder: Path) -> None:
    """A fingerprint says more than a name: the same weights may lie in another folder."""
    model = fresh()
    model.name_or_path = "somewhere/else"
    load_adapter(model, folder)


def test_base_of_another_name_for_a_file_of_peft(tmp_path: Path) -> None:
    base = fresh()
    base.name_or_path = "their/base"
    peft_save(tmp_path, base=base)
    model = fresh()
    model.name_or_path = "my/base"
    refuse(tmp_path, "another base model: their/base, not my/base", model)
    load_adapter(model, tmp_path, allow_other_base=True)
    model = fresh()
    model.name_or_path = "their/base"
    load_adapter(model, tmp_path)


def test_other_labels(folder: Path) -> None:
    model = fresh()
    model.config.id2label = {0: "bad", 1: "so so", 2: "good"}
    refuse(folder, r"answers \['LABEL_0'.*classes are \['bad', 'so so', 'good'\]", model)


def test_another_number_of_labels_in_a_file_of_peft(peft_folder: Path) -> None:
    refuse(peft_folder, r"has shape \(3, 32\).* need \(2, 32\)", fresh(labels=2))


def test_another_task(tmp_path: Path) -> None:
    """A head for tokens has the shape of a head for sentences."""
    peft_save(tmp_path, task_type="TOKEN_CLS")
    refuse(tmp_path, "task is TOKEN_CLS; this model's is SEQ_CLS")


def test_a_model_that_has_adapters(folder: Path) -> None:
    model = fresh()
    load_adapter(model, folder)
    expected = logits(model)
    with pytest.raises(AdapterError, match="has adapters already"):
        load_adapter(model, folder)
    assert torch.equal(logits(model), expected)
