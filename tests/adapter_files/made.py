"""Adapters as tests of their files need them: trained ones, damaged ones, those that PEFT wrote."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig as PeftLoraConfig
from peft import get_peft_model
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from lora_lab.adapt import (
    LoraConfig,
    TwoSidedConfig,
    adapted_layers,
    apply_lora,
    apply_two_sided,
    freeze,
)
from lora_lab.adapter_files import CONFIG_FILE, WEIGHTS_FILE, AdapterError, load_adapter
from lora_lab.targets import head_modules

from ..tiny_models import TARGETS, tiny_batch, tiny_model

#: transformers changed a method's name, and PEFT still calls the old one.
PEFT_NOISE = "ignore:.is_gradient_checkpointing:FutureWarning"


def fresh(family: str = "bert", **settings: object) -> PreTrainedModel:
    """The same base each time, under a head that a loaded file must replace."""
    model = tiny_model(family, **settings).eval()
    with torch.random.fork_rng():
        for head in head_modules(model).values():
            shake(head.parameters())
    return model


def shake(parameters: Iterator[nn.Parameter]) -> None:
    """Pretend to have trained."""
    with torch.no_grad():
        for parameter in parameters:
            parameter.copy_(torch.randn_like(parameter) / 4)


def trained(
    family: str = "bert", config: LoraConfig | TwoSidedConfig | None = None, **settings: object
) -> PreTrainedModel:
    """A model whose adapter and head have moved away from where they started."""
    model = tiny_model(family, **settings).eval()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        if isinstance(config, LoraConfig):
            apply_lora(model, config)
        elif isinstance(config, TwoSidedConfig):
            apply_two_sided(model, config)
        else:
            freeze(model)
        shake(p for p in model.parameters() if p.requires_grad)
    return model.eval()


LORA = LoraConfig(rank=4, alpha=8, target_modules=("query", "value"))


def logits(model: nn.Module) -> Tensor:
    batch = tiny_batch(size=5, length=9)
    with torch.no_grad():
        return model(**{k: batch[k] for k in ("input_ids", "attention_mask")}).logits


def assert_same_answers(one: nn.Module, other: nn.Module) -> None:
    torch.testing.assert_close(logits(one), logits(other), rtol=1e-5, atol=1e-5)


def state(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that a failed load must leave as it was."""
    return {
        "tensors": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "required": {name: p.requires_grad for name, p in model.named_parameters()},
        "modules": [
            (name, type(module), module.training) for name, module in model.named_modules()
        ],
    }


def assert_unchanged(model: nn.Module, before: dict[str, Any]) -> None:
    now = state(model)
    assert now["modules"] == before["modules"] and now["required"] == before["required"]
    assert not adapted_layers(model)
    assert all(torch.equal(now["tensors"][k], v) for k, v in before["tensors"].items())


def refuse(folder: Path, message: str, model: nn.Module | None = None) -> None:
    """``folder`` must not load, for the reason given, and must not touch the model."""
    model = model or fresh()
    before = state(model)
    with pytest.raises(AdapterError, match=message):
        load_adapter(model, folder)
    assert_unchanged(model, before)


def edit_config(folder: Path, **changes: Any) -> None:
    """Set entries of the configuration; ``...`` removes one."""
    path = folder / CONFIG_FILE
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


def edit_weights(
    folder: Path, change: Callable[[dict[str, Tensor]], object], keep_metadata: bool = True
) -> None:
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata() if keep_metadata else {"format": "pt"}
    change(tensors)
    save_file(tensors, folder / WEIGHTS_FILE, metadata=metadata)


def edit_metadata(folder: Path, **changes: Any) -> None:
    with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        ours = json.loads(file.metadata()["lora_lab"]) | changes
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"lora_lab": json.dumps(ours)})


def peft_save(
    folder: Path, family: str = "bert", base: nn.Module | None = None, **options: Any
) -> nn.Module:
    """Let PEFT adapt, pretend to train and save. Returns PEFT's model."""
    options.setdefault("target_modules", list(TARGETS[family][1]))
    if family == "distilbert" and options["target_modules"] == "all-linear":
        options["modules_to_save"] = ["pre_classifier", "classifier"]  # or PEFT raises
    config = PeftLoraConfig(**{"task_type": "SEQ_CLS", "r": 4, "lora_alpha": 8} | options)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it had to set fan_in_fan_out itself
        model = get_peft_model(base or fresh(family), config)
        shake(p for p in model.parameters() if p.requires_grad)
        model.save_pretrained(folder)
    return model.eval()
