"""Refused: tensors that are missing, too many, or of another shape than was said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lora_lab.adapter_files import AdapterError, load_adapter

from .made import edit_config, edit_weights, fresh, peft_save, refuse


def first(tensors: dict[str, Tensor], part: str) -> str:
    return next(key for key in sorted(tensors) if part in key)


@pytest.mark.parametrize("part", ["lora_A", "lora_B"])
def test_missing_tensors(folder: Path, part: str) -> None:
    edit_weights(folder, lambda t: t.pop(first(t, part)))
    refuse(folder, f"1 tensors are missing from the file: .*layer.0.attention.self.query.{part}")


def test_many_missing_tensors_are_counted(folder: Path) -> None:
    edit_weights(folder, lambda t: [t.pop(k) for k in sorted(t) if "lora_" in k])
    refuse(folder, "12 tensors are missing.* and 9 more")


@pytest.mark.parametrize("part", ["classifier.weight", "classifier.bias"])
def test_missing_head(folder: Path, part: str) -> None:
    edit_weights(folder, lambda t: t.pop(first(t, part)))
    refuse(folder, f"head is not in the file.*random: {part} missing")


def test_missing_head_of_peft(tmp_path: Path) -> None:
    """PEFT leaves the head out unless the task type says that there is one."""
    peft_save(tmp_path / "a", task_type=None)
    refuse(tmp_path / "a", "head is not in the file")
    peft_save(tmp_path / "b", "roberta", task_type=None, modules_to_save=["out_proj"])
    refuse(tmp_path / "b", "head is not in the file.*classifier.dense", fresh("roberta"))


def test_extra_tensors(folder: Path) -> None:
    edit_weights(folder, lambda t: t.update({"base_model.model.other": torch.ones(2)}))
    refuse(folder, "1 tensors in the file belong to no part of this model: other")


def test_tensors_of_more_layers_than_the_configuration_names(peft_folder: Path) -> None:
    edit_config(peft_folder, layers_to_transform=[0, 1])
    refuse(peft_folder, "4 tensors in the file belong to no part")


@pytest.mark.parametrize("part", ["lora_A", "lora_B", "classifier.weight", "classifier.bias"])
@pytest.mark.parametrize("change", [lambda t: t.new_ones(2, 2), lambda t: t.new_ones(()), "cut"])
def test_wrong_shapes(folder: Path, part: str, change: Any) -> None:
    def spoil(tensors: dict[str, Tensor]) -> None:
        key = first(tensors, part)
        tensors[key] = tensors[key][1:].clone() if change == "cut" else change(tensors[key])

    edit_weights(folder, spoil)
    refuse(folder, rf"{part}.* has shape \(.*\), but this model .* need \(")


def test_rank_that_is_not_the_tensors(peft_folder: Path) -> None:
    edit_config(peft_folder, r=5)
    refuse(peft_folder, r"has shape \(4, 32\).* need \(5, 32\)")


def test_rank_above_the_layers_size(tmp_path: Path) -> None:
    """PEFT allows it; here it is an error, and the base must not stay frozen behind."""
    peft_save(tmp_path, r=40)
    refuse(tmp_path, "does not fit this model: rank is 40")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("part", ["lora_A", "lora_B", "classifier.bias"])
def test_numbers_that_are_none(folder: Path, part: str, value: float) -> None:
    edit_weights(folder, lambda t: t[first(t, part)].view(-1)[-1:].fill_(value))
    refuse(folder, f"{part}.* holds NaN or infinite values")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.float8_e4m3fn])
def test_tensors_of_strange_types(folder: Path, dtype: torch.dtype) -> None:
    edit_weights(folder, lambda t: t.update({k: v.to(dtype) for k, v in t.items()}))
    refuse(folder, f"holds {dtype} numbers")


def test_another_architecture(folder: Path, tmp_path: Path) -> None:
    peft_save(tmp_path / "gpt2", "gpt2")
    refuse(tmp_path / "gpt2", "attn.c_attn.*which this model does not have")
    refuse(folder, "another base model", fresh("roberta"))
    with pytest.raises(AdapterError, match="head is not in the file|does not have"):
        load_adapter(fresh("roberta"), folder, allow_other_base=True)
