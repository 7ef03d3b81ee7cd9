"""Adapters on disk in PEFT's format, read strictly: what does not fit exactly is an error.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``. A LoRA adapter written
here opens with ``peft.PeftModel.from_pretrained`` and the other way round. The classification
head is always part of the file: without it a reloaded classifier would answer at random.

Two-sided adapters and bare heads have no counterpart in PEFT. They use the same layout under a
``peft_type`` of their own, which PEFT refuses rather than misreads.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from lora_lab.adapt import (
    LoraConfig,
    TwoSidedConfig,
    adapted_layers,
    apply_lora,
    apply_two_sided,
    freeze,
)
from lora_lab.checkpoints import write_atomically
from lora_lab.layers import AdaptedLinear, LoRALinear, TwoSidedLinear
from lora_lab.models import DEFAULT_MODEL, EMBEDDED_HUB_NAME, LoadedModel, load_model
from lora_lab.targets import TargetError, find_targets, head_modules

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
LORA, TWO_SIDED, HEAD = "LORA", "LORA_LAB_TWO_SIDED", "LORA_LAB_HEAD"
_PREFIX = "base_model.model."
_METADATA_KEY = "lora_lab"

#: PEFT's options that are honoured here, or that change nothing about what the adapter computes.
_UNDERSTOOD = {
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules",
    "layers_to_transform", "modules_to_save", "base_model_name_or_path", "bias", "fan_in_fan_out",
    "init_lora_weights", "inference_mode", "auto_mapping", "revision", "peft_version", "form",
    "megatron_core", "qalora_group_size", "ensure_weight_tying",
}  # fmt: skip


class AdapterError(ValueError):
    """An adapter folder that cannot be read, or does not fit the model exactly."""


@dataclass(frozen=True)
class _AdapterFile:
    """A folder's content: the configuration, the tensors and our own metadata, if any."""

    folder: Path
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


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
    tensors = {f"{_PREFIX}{name}": tensor for name, tensor in _head_tensors(model).items()}
    for name, layer in layers.items():
        for parameter, key in _parameter_keys(layer).items():
            tensors[f"{_PREFIX}{name}.{key}"] = getattr(layer, parameter)
    ours = {
        "labels": [model.config.id2label[i] for i in range(model.config.num_labels)],
        "base_fingerprint": base_fingerprint(model),
    }
    content = save(
        {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()},
        metadata={"format": "pt", _METADATA_KEY: json.dumps(ours)},
    )
    config = json.dumps(_describe(model, layers), indent=2, sort_keys=True)
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
            pickled; no rank or alpha; an unknown variant; another base model or other labels;
            tensors missing, left over, of the wrong shape or not finite; no head.
    """
    file = _read(Path(folder))
    if adapted_layers(model):
        raise AdapterError("The model has adapters already. Load the base model anew.")
    if not allow_other_base:
        _check_base(file, model)
    _check_labels(file, model)
    names = _target_names(file, model)
    expected = _expected_shapes(file, model, names)
    _check_tensors(file, expected)

    kind = file.config["peft_type"]
    if kind == LORA:
        apply_lora(model, _lora_config(file, names))
    elif kind == TWO_SIDED:
        apply_two_sided(model, _two_sided_config(file, names))
    else:
        freeze(model)
    with torch.no_grad():
        for name, layer in adapted_layers(model).items():
            for parameter, key in _parameter_keys(layer).items():
                getattr(layer, parameter).copy_(file.tensors[f"{_PREFIX}{name}.{key}"])
        for name, tensor in _head_tensors(model).items():
            tensor.copy_(file.tensors[f"{_PREFIX}{name}"])
    return names


def load_adapted_model(folder: Path | str, *, base: str | None = None) -> LoadedModel:
    """Base model, adapter and tokenizer in one call, from an adapter folder.

    Args:
        base: the base model, when it is not to be found under the name in the file.

    Raises:
        AdapterError, ModelError: see ``load_adapter`` and ``load_model``.
    """
    file = _read(Path(folder))
    name = base or file.config.get("base_model_name_or_path")
    if not name:
        raise AdapterError(f"{folder} does not say which base model it is for. Name the base.")
    labels = file.metadata.get("labels") or _numbered_labels(file)
    loaded = load_model(DEFAULT_MODEL if name == EMBEDDED_HUB_NAME else name, labels=labels)
    load_adapter(loaded.model, folder, allow_other_base=base is not None)
    loaded.model.eval()
    return loaded


def base_fingerprint(model: nn.Module) -> str:
    """Digest of the frozen base weights, the same before, during and after adaptation."""
    heads = tuple(f"{name}." for name in head_modules(model))
    layers = adapted_layers(model)
    own = {f"{n}.{p}" for n, layer in layers.items() for p in _parameter_keys(layer)}
    digest = hashlib.blake2b(digest_size=16)
    weights = {}
    for name, parameter in model.named_parameters():
        if name in own or name.startswith(heads):
            continue
        layer = layers.get(name.removesuffix(".base.weight"))
        tensor = layer.stored_weight if layer and name.endswith(".base.weight") else parameter
        weights[name.replace(".base.", ".")] = tensor
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        values = tensor.detach().cpu().contiguous()
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _describe(model: nn.Module, layers: dict[str, AdaptedLinear]) -> dict[str, Any]:
    """``adapter_config.json``: PEFT's keys for LoRA, the same style for the others."""
    common = {
        "task_type": "SEQ_CLS",
        "base_model_name_or_path": getattr(model, "name_or_path", "") or None,
        "modules_to_save": list(head_modules(model)),
        "inference_mode": True,
    }
    if not layers:
        return common | {"peft_type": HEAD}
    first = next(iter(layers.values()))
    common["target_modules"] = list(layers)
    if isinstance(first, TwoSidedLinear):
        settings = {(type(l), getattr(l, "form", ""), l.rank) for l in layers.values()}
        described = {"peft_type": TWO_SIDED, "form": first.form, "r": first.rank}
    else:
        settings = {
            (type(l), l.rank, getattr(l, "alpha", 0), getattr(l, "scaling_rule", ""))
            for l in layers.values()
        }
        described = {
            "peft_type": LORA,
            "r": first.rank,
            "lora_alpha": first.alpha,
            "lora_dropout": first.dropout,
            "use_rslora": first.scaling_rule == "alpha/sqrt(r)",
            "bias": "none",
            "fan_in_fan_out": isinstance(first.base, Conv1D),
            "init_lora_weights": True,
        }
    if len(settings) > 1:
        raise AdapterError(
            "The model's adapters differ in kind, rank or alpha, which one adapter file cannot "
            "describe. Use one configuration for all layers."
        )
    return common | described


def _parameter_keys(layer: AdaptedLinear) -> dict[str, str]:
    """Name of each adapter parameter in the module, and in the file."""
    if isinstance(layer, LoRALinear):
        return {"A": "lora_A.weight", "B": "lora_B.weight"}
    return {name: f"two_sided_{name}" for name, _ in layer.named_parameters(recurse=False)}


def _head_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {
        f"{head}.{name}": tensor
        for head, module in head_modules(model).items()
        for name, tensor in module.state_dict(keep_vars=True).items()
    }


def _read(folder: Path) -> _AdapterFile:
    if not folder.is_dir():
        raise AdapterError(f"There is no adapter folder {folder}.")
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(f"{folder} has no {CONFIG_FILE}, so it is not an adapter.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise AdapterError(f"{folder / CONFIG_FILE} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise AdapterError(f"{folder / CONFIG_FILE} must hold a JSON object.")
    _check_variant(config)
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        pickled = [f.name for f in folder.iterdir() if f.suffix in {".bin", ".pt", ".pth"}]
        detail = f" {pickled[0]} is pickled, and unpickling can run code: refused." if pickled else ""
        raise AdapterError(f"{folder} has no {WEIGHTS_FILE}.{detail}")
    try:
        with safe_open(weights, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            metadata = json.loads((opened.metadata() or {}).get(_METADATA_KEY, "{}"))
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise AdapterError(
            f"{weights} is truncated or not a safetensors file ({error}). Copy it again."
        ) from None
    return _AdapterFile(folder, config, tensors, metadata)


def _check_variant(config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind not in (LORA, TWO_SIDED, HEAD):
        raise AdapterError(
            f"The adapter's peft_type is {kind!r}; this workbench reads {LORA}, {TWO_SIDED} and "
            f"{HEAD}."
        )
    unknown = sorted(k for k, v in config.items() if k not in _UNDERSTOOD and v)
    if config.get("bias", "none") != "none":
        unknown.append("bias")
    if config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        unknown.append("init_lora_weights")  # PiSSA, OLoRA and the like change the base weights
    if unknown:
        raise AdapterError(
            "The adapter is a LoRA variant that is not implemented here: "
            + ", ".join(f"{k} = {config[k]!r}" for k in unknown)
            + ". Reading it as plain LoRA would give wrong answers."
        )
    needed = {LORA: ("r", "lora_alpha", "target_modules"), TWO_SIDED: ("r", "form"), HEAD: ()}
    for key in needed[kind]:
        if config.get(key) is None:
            what = {"r": "rank (r)", "lora_alpha": "alpha (lora_alpha)"}.get(key, key)
            raise AdapterError(f"{CONFIG_FILE} does not give the adapter's {what}.")
    if kind == LORA:
        rank, alpha = config["r"], config["lora_alpha"]
        if not (isinstance(rank, int) and rank > 0 and isinstance(alpha, int | float) and alpha > 0):
            raise AdapterError(f"The adapter's rank {rank!r} and alpha {alpha!r} must be positive.")


def _check_base(file: _AdapterFile, model: nn.Module) -> None:
    told = file.metadata.get("base_fingerprint")
    name, own = file.config.get("base_model_name_or_path"), getattr(model, "name_or_path", "")
    if told:
        differs = told != base_fingerprint(model)
    else:  # written by PEFT, which records the name alone
        differs = bool(name and own and name != own)
    if differs:
        raise AdapterError(
            f"The adapter was trained on another base model: {name or 'unnamed'}, not "
            f"{own or 'this one'}, or the base weights have changed. On a different base its "
            "answers mean nothing. If you are sure, pass allow_other_base=True."
        )


def _check_labels(file: _AdapterFile, model: nn.Module) -> None:
    told = file.metadata.get("labels")
    own = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if told and told != own:
        raise AdapterError(f"The adapter's head answers {told}; this model's classes are {own}.")


def _target_names(file: _AdapterFile, model: nn.Module) -> list[str]:
    """Which of the model's layers the configuration means, by PEFT's rules."""
    targets = file.config.get("target_modules")
    if file.config["peft_type"] == HEAD:
        return []
    layers = file.config.get("layers_to_transform")
    if isinstance(layers, int):
        layers = [layers]
    try:
        # PEFT takes a text for one regular expression and a list for names or suffixes.
        names = (targets,) if isinstance(targets, str) else tuple(targets)
        return find_targets(model, names, "all" if layers is None else layers)
    except TargetError as error:
        raise AdapterError(f"The adapter does not fit this model. {error}") from None


def _expected_shapes(
    file: _AdapterFile, model: nn.Module, names: list[str]
) -> dict[str, tuple[int, ...]]:
    shapes = {_PREFIX + n: tuple(t.shape) for n, t in _head_tensors(model).items()}
    rank = file.config.get("r")
    for name in names:
        base = model.get_submodule(name)
        out, in_ = base.weight.T.shape if isinstance(base, Conv1D) else base.weight.shape
        if file.config["peft_type"] == LORA:
            sides = {"lora_A.weight": (rank, in_), "lora_B.weight": (out, rank)}
        else:
            sides = {
                "low-rank": {"P": (out, rank), "Q": (rank, out), "R": (in_, rank), "S": (rank, in_)},
                "diagonal": {"u": (out,), "v": (in_,)},
                "dense": {"U": (out, out), "V": (in_, in_)},
            }.get(file.config["form"])
            if sides is None:
                raise AdapterError(f"The two-sided form {file.config['form']!r} is unknown.")
            sides = {f"two_sided_{side}": shape for side, shape in sides.items()}
        shapes |= {f"{_PREFIX}{name}.{key}": shape for key, shape in sides.items()}
    return shapes


def _check_tensors(file: _AdapterFile, expected: dict[str, tuple[int, ...]]) -> None:
    missing = sorted(expected.keys() - file.tensors.keys())
    adapter_keys = (".lora_A.weight", ".lora_B.weight")
    head_missing = [k for k in missing if not k.endswith(adapter_keys) and ".two_sided_" not in k]
    if head_missing:
        raise AdapterError(
            "The classification head is not in the file, so the model would answer at random: "
            f"{_some(head_missing)} missing. Save the adapter again with its head."
        )
    if missing:
        raise AdapterError(f"{len(missing)} tensors are missing from the file: {_some(missing)}.")
    extra = sorted(file.tensors.keys() - expected.keys())
    if extra:
        raise AdapterError(
            f"{len(extra)} tensors in the file belong to no part of this model: {_some(extra)}."
        )
    for key, shape in expected.items():
        tensor = file.tensors[key]
        if tuple(tensor.shape) != shape:
            raise AdapterError(
                f"{key} has shape {tuple(tensor.shape)}, but this model and the adapter's "
                f"configuration need {shape}."
            )
        if not torch.isfinite(tensor).all():
            raise AdapterError(f"{key} holds NaN or infinite values: its training diverged.")


def _lora_config(file: _AdapterFile, names: list[str]) -> LoraConfig:
    return LoraConfig(
        rank=file.config["r"],
        alpha=file.config["lora_alpha"],
        target_modules=tuple(names),
        dropout=file.config.get("lora_dropout") or 0.0,
        scaling="alpha/sqrt(r)" if file.config.get("use_rslora") else "alpha/r",
    )


def _two_sided_config(file: _AdapterFile, names: list[str]) -> TwoSidedConfig:
    return TwoSidedConfig(
        form=file.config["form"], rank=file.config["r"], target_modules=tuple(names)
    )


def _numbered_labels(file: _AdapterFile) -> list[str]:
    """Placeholder names for a file that names no labels: one for each output of its head."""
    outputs = [t.shape[0] for k, t in file.tensors.items() if k.endswith(("classifier.weight", "out_proj.weight", "score.weight"))]  # fmt: skip
    if not outputs:
        raise AdapterError(
            "The classification head is not in the file, so the model would answer at random. "
            "Save the adapter again with its head."
        )
    return [f"LABEL_{i}" for i in range(min(outputs))]


def _some(keys: list[str]) -> str:
    shown = ", ".join(key.removeprefix(_PREFIX) for key in keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
