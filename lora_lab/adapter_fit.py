"""An adapter file on a model: it must fit exactly, or nothing in the model changes.

Also what a model has that a file speaks of: its base weights, head, labels and task.
"""

from __future__ import annotations

import hashlib
import re

import torch
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
from lora_lab.adapter_format import HEAD, LORA, PREFIX, TWO_SIDED, AdapterError, AdapterFile
from lora_lab.layers import AdaptedLinear, LoRALinear
from lora_lab.targets import ALL_LINEAR, find_targets, head_modules, layer_number, name_pattern

#: PEFT's names for tasks, by the ending of transformers' class names.
_TASKS = {
    "ForSequenceClassification": "SEQ_CLS",
    "ForTokenClassification": "TOKEN_CLS",
    "ForQuestionAnswering": "QUESTION_ANS",
}


def put_on(file: AdapterFile, model: nn.Module) -> list[str]:
    """Check everything, then change the model."""
    if adapted_layers(model):
        raise AdapterError("The model has adapters already. Load the base model anew.")
    _check_head_meaning(file, model)
    names = _meant_layers(file, model)
    _check_tensors(file, model, names)
    try:
        if file.kind == LORA:
            apply_lora(model, _lora_config(file, names))
        elif file.kind == TWO_SIDED:
            apply_two_sided(model, _two_sided_config(file, names))
        else:
            freeze(model)
    except ValueError as error:  # a rank above the layer's size, which PEFT allows
        raise AdapterError(f"The adapter does not fit this model: {error}") from None
    with torch.no_grad():
        for name, layer in adapted_layers(model).items():
            for parameter, key in parameter_keys(layer).items():
                getattr(layer, parameter).copy_(file.tensors[f"{PREFIX}{name}.{key}"])
        for name, tensor in head_tensors(model).items():
            tensor.copy_(file.tensors[PREFIX + name])
    return names


def check_base(file: AdapterFile, model: nn.Module, *, any_name: bool = False) -> None:
    name, own = file.base_name, getattr(model, "name_or_path", "")
    if file.base_fingerprint:
        differs = file.base_fingerprint != base_fingerprint(model)
    else:  # written by PEFT, which records the name alone
        differs = bool(name and own and name != own) and not any_name
    if differs:
        raise AdapterError(
            f"The adapter was trained on another base model: {name or 'unnamed'}, not "
            f"{own or 'this one'}, or the base weights have changed. On a different base its "
            "answers mean nothing. If you are sure, use load_adapter with allow_other_base=True."
        )


def base_fingerprint(model: nn.Module) -> str:
    """Digest of the frozen base weights, the same before, during and after adaptation."""
    heads = tuple(f"{name}." for name in head_modules(model))
    layers = adapted_layers(model)
    own = {f"{n}.{p}" for n, layer in layers.items() for p in parameter_keys(layer)}
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
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(values.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def parameter_keys(layer: AdaptedLinear) -> dict[str, str]:
    """Name of each adapter parameter in the module, and in the file."""
    if isinstance(layer, LoRALinear):
        return {"A": "lora_A.weight", "B": "lora_B.weight"}
    return {name: f"two_sided_{name}" for name, _ in layer.named_parameters(recurse=False)}


def head_tensors(model: nn.Module) -> dict[str, Tensor]:
    return {
        f"{head}.{name}": tensor
        for head, module in head_modules(model).items()
        for name, tensor in module.state_dict(keep_vars=True).items()
    }


def labels_of(model: nn.Module) -> list[str]:
    return [model.config.id2label[i] for i in range(model.config.num_labels)]


def task_of(model: nn.Module) -> str | None:
    """PEFT's name for what the model does, if it has one."""
    kind = type(model).__name__
    return next((task for ending, task in _TASKS.items() if kind.endswith(ending)), None)


def _check_head_meaning(file: AdapterFile, model: nn.Module) -> None:
    """The same numbers of outputs can mean other classes, or tokens instead of sentences."""
    task, own_task = file.config.get("task_type"), task_of(model)
    if task and own_task and task != own_task:
        raise AdapterError(f"The adapter's task is {task}; this model's is {own_task}.")
    own = labels_of(model)
    if file.labels and file.labels != own:
        raise AdapterError(
            f"The adapter's head answers {file.labels}; this model's classes are {own}."
        )


def _meant_layers(file: AdapterFile, model: nn.Module) -> list[str]:
    """The layers that the configuration means by PEFT's rules, in the model's order.

    A text is one regular expression, a list holds names or suffixes, and a name that matches
    nothing is passed over: PEFT itself writes names of the head when told "all-linear". That
    hides no mistake, since the tensors in the file must belong to just these layers.
    """
    if file.kind == HEAD:
        return []
    linear_layers = find_targets(model, (".*",))
    targets, numbers = file.config["target_modules"], file.config.get("layers_to_transform")
    if targets == ALL_LINEAR:
        meant = linear_layers
    elif isinstance(targets, str):
        try:
            meant = [name for name in linear_layers if re.fullmatch(targets, name)]
        except (re.error, OverflowError, RecursionError) as error:
            raise AdapterError(
                f"The adapter's target_modules {targets!r} is no regular expression: {error}"
            ) from None
    else:
        suffixes = tuple(f".{target}" for target in targets)
        meant = [name for name in linear_layers if f".{name}".endswith(suffixes)]
    if numbers not in (None, []):
        chosen = [numbers] if isinstance(numbers, int) else numbers
        meant = [name for name in meant if layer_number(name) in chosen]
    if not meant:
        where = "" if numbers is None else f" in layers {numbers}"
        raise AdapterError(
            f"The adapter is for layers {targets!r}{where}, which this model does not have. Its "
            f"linear layers are {', '.join(sorted(set(map(name_pattern, linear_layers))))}."
        )
    return meant


def _lora_shapes(file: AdapterFile, out: int, in_: int) -> dict[str, tuple[int, ...]]:
    rank = file.config["r"]
    return {"lora_A.weight": (rank, in_), "lora_B.weight": (out, rank)}


def _two_sided_shapes(file: AdapterFile, out: int, in_: int) -> dict[str, tuple[int, ...]]:
    rank = file.config["r"]
    factors = {
        "low-rank": {"P": (out, rank), "Q": (rank, out), "R": (in_, rank), "S": (rank, in_)},
        "diagonal": {"u": (out,), "v": (in_,)},
        "dense": {"U": (out, out), "V": (in_, in_)},
    }[file.config["form"]]
    return {f"two_sided_{name}": shape for name, shape in factors.items()}


def _check_tensors(file: AdapterFile, model: nn.Module, names: list[str]) -> None:
    """The file must hold the head and the adapters of these layers: no less, no more."""
    head = {PREFIX + name: tuple(tensor.shape) for name, tensor in head_tensors(model).items()}
    expected = dict(head)
    shapes_of = _lora_shapes if file.kind == LORA else _two_sided_shapes
    for name in names:
        base = model.get_submodule(name)
        out, in_ = base.weight.T.shape if isinstance(base, Conv1D) else base.weight.shape
        for key, shape in shapes_of(file, out, in_).items():
            expected[f"{PREFIX}{name}.{key}"] = shape

    if lost := sorted(head.keys() - file.tensors.keys()):
        raise AdapterError(
            "The classification head is not in the file, so the model would answer at random: "
            f"{_some(lost)} missing. Save the adapter again with its head."
        )
    if missing := sorted(expected.keys() - file.tensors.keys()):
        raise AdapterError(f"{len(missing)} tensors are missing from the file: {_some(missing)}.")
    if extra := sorted(file.tensors.keys() - expected.keys()):
        raise AdapterError(
            f"{len(extra)} tensors in the file belong to no part of this model: {_some(extra)}."
        )
    for key, shape in expected.items():
        if tuple(file.tensors[key].shape) != shape:
            raise AdapterError(
                f"{key} has shape {tuple(file.tensors[key].shape)}, but this model and the "
                f"adapter's configuration need {shape}."
            )


def _lora_config(file: AdapterFile, names: list[str]) -> LoraConfig:
    return LoraConfig(
        rank=file.config["r"],
        alpha=file.config["lora_alpha"],
        target_modules=tuple(names),
        dropout=file.config.get("lora_dropout") or 0.0,
        scaling="alpha/sqrt(r)" if file.config.get("use_rslora") else "alpha/r",
    )


def _two_sided_config(file: AdapterFile, names: list[str]) -> TwoSidedConfig:
    return TwoSidedConfig(
        form=file.config["form"], rank=file.config["r"], target_modules=tuple(names)
    )


def _some(keys: list[str]) -> str:
    shown = ", ".join(key.removeprefix(PREFIX) for key in keys[:3])
    return shown if len(keys) <= 3 else f"{shown} and {len(keys) - 3} more"
