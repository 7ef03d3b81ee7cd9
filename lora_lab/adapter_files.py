"""Adapters on disk in PEFT's format.

A LoRA adapter written here opens with ``peft.PeftModel.from_pretrained`` and the other way
round. The classification head is always part of the file: without it a reloaded classifier
would answer at random.

Two-sided adapters and bare heads have no counterpart in PEFT. They use the same layout under a
``peft_type`` of their own, which PEFT refuses rather than misreads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_lab.adapt import adapted_layers
from lora_lab.adapter_fit import (
    base_fingerprint,
    check_base,
    head_tensors,
    labels_of,
    parameter_keys,
    put_on,
    task_of,
)
from lora_lab.adapter_format import (
    CONFIG_FILE,
    HEAD,
    LORA,
    METADATA_KEY,
    PREFIX,
    TWO_SIDED,
    WEIGHTS_FILE,
    AdapterError,
    AdapterFile,
    read_adapter,
)
from lora_lab.checkpoints import write_atomically
from lora_lab.layers import AdaptedLinear, LoRALinear, TwoSidedLinear
from lora_lab.models import DEFAULT_MODEL, EMBEDDED_HUB_NAME, LoadedModel, load_model
from lora_lab.targets import head_modules

__all__ = [
    "AdapterError",
    "CONFIG_FILE",
    "WEIGHTS_FILE",
    "base_fingerprint",
    "load_adapted_model",
    "load_adapter",
    "save_adapter",
]

#: The last layer of a classification head, in one architecture or another.
_OUTPUT_LAYERS = (".classifier.weight", ".out_proj.weight", ".score.weight")


def save_adapter(model: nn.Module, folder: Path | str) -> Path:
    """Write the adapters of ``model`` and its head. Works for a bare trained head as well.

    The file also names the labels and carries a fingerprint of the base weights, so that it
    cannot be put on another base by mistake.

    Returns:
        The folder.

    Raises:
        AdapterError: adapters of several kinds, which one file cannot describe.
        StorageError: the folder cannot be written.
    """
    folder = Path(folder)
    layers = adapted_layers(model)
    settings = _common_settings(layers)
    tensors = dict(head_tensors(model))
    for name, layer in layers.items():
        for parameter, key in parameter_keys(layer).items():
            tensors[f"{name}.{key}"] = getattr(layer, parameter)
    ours = {
        "labels": labels_of(model),
        "base_fingerprint": base_fingerprint(model),
        "settings": settings,
    }
    content = save(
        {PREFIX + name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"format": "pt", METADATA_KEY: json.dumps(ours)},
    )
    config = json.dumps(_describe(model, layers) | settings, indent=2, sort_keys=True)
    write_atomically(folder / WEIGHTS_FILE, content)
    write_atomically(folder / CONFIG_FILE, config.encode())
    return folder


def load_adapter(
    model: nn.Module, folder: Path | str, *, allow_other_base: bool = False
) -> list[str]:
    """Apply the adapter in ``folder`` to ``model``, a base model with a head of the same size.

    Nothing in the model changes unless everything fits. Afterwards the adapters and the head
    require gradients, as after ``apply_lora``.

    Args:
        allow_other_base: accept a base whose weights or name differ from those the adapter
            was trained on.

    Returns:
        Full names of the adapted layers.

    Raises:
        AdapterError: says which of these: a file missing, truncated, not safetensors or
            pickled; no rank or alpha; a value of the wrong type; an unknown variant; another
            base model, task or other labels; tensors missing, left over, of the wrong shape or
            not finite; no head.
    """
    file = read_adapter(Path(folder))
    if not allow_other_base:
        check_base(file, model)
    return put_on(file, model)


def load_adapted_model(folder: Path | str, *, base: str | None = None) -> LoadedModel:
    """Base model, adapter and tokenizer in one call, from an adapter folder.

    Args:
        base: where the base model is, when it is not to be found under the name in the file.
            Its weights must still be those that the adapter was trained on.

    Raises:
        AdapterError, ModelError: see ``load_adapter`` and ``load_model``.
    """
    file = read_adapter(Path(folder))
    name = base or file.base_name
    if not name:
        raise AdapterError(f"{folder} does not say which base model it is for. Name the base.")
    labels = file.labels or _numbered_labels(file)
    loaded = load_model(DEFAULT_MODEL if name == EMBEDDED_HUB_NAME else name, labels=labels)
    check_base(file, loaded.model, any_name=base is not None)
    put_on(file, loaded.model)
    loaded.model.eval()
    return loaded


def _common_settings(layers: dict[str, AdaptedLinear]) -> dict[str, Any]:
    """What the adapter's answers depend on besides its tensors, in PEFT's words."""
    settings = [_settings(layer) for layer in layers.values()] or [{"peft_type": HEAD}]
    if any(other != settings[0] for other in settings):
        raise AdapterError(
            "The model's adapters differ in kind, rank or alpha, which one adapter file cannot "
            "describe. Use one configuration for all layers."
        )
    return settings[0]


def _settings(layer: AdaptedLinear) -> dict[str, Any]:
    if isinstance(layer, TwoSidedLinear):
        return {"peft_type": TWO_SIDED, "form": layer.form, "r": layer.rank}
    return {
        "peft_type": LORA,
        "r": layer.rank,
        "lora_alpha": layer.alpha,
        "use_rslora": layer.scaling_rule == "alpha/sqrt(r)",
    }


def _describe(model: nn.Module, layers: dict[str, AdaptedLinear]) -> dict[str, Any]:
    """The rest of ``adapter_config.json``: PEFT's keys for LoRA, fewer for the others."""
    described: dict[str, Any] = {
        "task_type": task_of(model),
        "base_model_name_or_path": getattr(model, "name_or_path", "") or None,
        "modules_to_save": list(head_modules(model)),
        "inference_mode": True,
    }
    if not layers:
        return described
    described["target_modules"] = list(layers)
    first = next(iter(layers.values()))
    if isinstance(first, LoRALinear):
        described |= {
            "lora_dropout": first.dropout,
            "bias": "none",
            "fan_in_fan_out": isinstance(first.base, Conv1D),
            "init_lora_weights": True,
        }
    return described


def _numbered_labels(file: AdapterFile) -> list[str]:
    """Placeholder names for a file that names no labels: one for each output of its head."""
    for key, tensor in file.tensors.items():
        if key.endswith(_OUTPUT_LAYERS) and tensor.dim() == 2:
            return [f"LABEL_{i}" for i in range(tensor.shape[0])]
    raise AdapterError(
        "The classification head is not in the file, so the model would answer at random. Save "
        "the adapter again with its head."
    )
