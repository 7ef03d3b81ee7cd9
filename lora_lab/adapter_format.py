"""What an adapter folder says, checked by itself: nothing here knows which model it is for.

A folder holds ``adapter_config.json`` and ``adapter_model.safetensors``, as PEFT writes them.
Reading is strict: a value that cannot be understood is an error, never a guess.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lora_lab.layers import TwoSidedForm

CONFIG_FILE = "adapter_config.json"
WEIGHTS_FILE = "adapter_model.safetensors"
LORA, TWO_SIDED, HEAD = "LORA", "LORA_LAB_TWO_SIDED", "LORA_LAB_HEAD"
#: What PEFT puts before the name of every tensor.
PREFIX = "base_model.model."
#: Where the safetensors header keeps what PEFT's format has no place for.
METADATA_KEY = "lora_lab"

#: PEFT's options that are honoured here, or that change nothing about what the adapter computes.
_UNDERSTOOD = {
    "peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules",
    "layers_to_transform", "modules_to_save", "base_model_name_or_path", "bias", "fan_in_fan_out",
    "init_lora_weights", "inference_mode", "auto_mapping", "revision", "peft_version", "form",
    "megatron_core", "qalora_group_size", "ensure_weight_tying",
}  # fmt: skip
_NEEDED = {
    LORA: ("r", "lora_alpha", "target_modules"),
    TWO_SIDED: ("r", "form", "target_modules"),
    HEAD: (),
}
_READABLE_NAMES = {"r": "rank (r)", "lora_alpha": "alpha (lora_alpha)"}
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class AdapterError(ValueError):
    """An adapter folder that cannot be read, or does not fit the model exactly."""


@dataclass(frozen=True)
class AdapterFile:
    """A folder's content.

    Attributes:
        kind: LORA, TWO_SIDED or HEAD.
        config: ``adapter_config.json``, every value of a type that makes sense.
        tensors: by their names in the file; all finite.
        labels: the classes in the head's order, or None in a file written by PEFT.
        base_fingerprint: digest of the base weights, or None in a file written by PEFT.
    """

    kind: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]
    labels: list[str] | None
    base_fingerprint: str | None

    @property
    def base_name(self) -> str | None:
        return self.config.get("base_model_name_or_path") or None


def read_adapter(folder: Path) -> AdapterFile:
    """Read and check a folder. Only safetensors is opened: nothing is ever unpickled.

    Raises:
        AdapterError: a file missing, unreadable or damaged; an unknown variant; a value of the
            wrong type; tensors that are not finite; two files that do not belong together.
    """
    if not folder.is_dir():
        raise AdapterError(f"There is no adapter folder {folder}.")
    config = _read_config(folder)
    _check_variant(config)
    _check_values(config)
    tensors, metadata = _read_weights(folder)
    for key, tensor in tensors.items():
        if tensor.dtype not in _FLOATS:
            raise AdapterError(f"{key} holds {tensor.dtype} numbers, which no adapter weight is.")
        if not torch.isfinite(tensor).all():
            raise AdapterError(f"{key} holds NaN or infinite values: its training diverged.")
    settings, labels = metadata.get("settings", {}), metadata.get("labels")
    if settings != {key: config.get(key) for key in settings}:
        raise AdapterError(
            f"{CONFIG_FILE} and {WEIGHTS_FILE} in {folder} do not belong together: the weights "
            f"were saved with {settings}. Copy or save both again."
        )
    if not (labels is None or _is_list_of(labels, _is_text)):
        raise AdapterError(f"The adapter's labels must be a list of texts, not {labels!r}.")
    return AdapterFile(
        config["peft_type"], config, tensors, labels, metadata.get("base_fingerprint")
    )


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AdapterError(f"{folder} has no {CONFIG_FILE}, so it is not an adapter.") from None
    except OSError as error:
        raise AdapterError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise AdapterError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise AdapterError(f"{path} must hold a JSON object, not {config!r:.40}.")
    return config


def _read_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors, and our own metadata (empty for a file written by PEFT)."""
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        pickled = sorted(f.name for f in folder.iterdir() if f.suffix in {".bin", ".pt", ".pth"})
        detail = (
            f" {pickled[0]} is pickled, and unpickling can run code: refused." if pickled else ""
        )
        raise AdapterError(f"{folder} has no {WEIGHTS_FILE}.{detail}")
    try:
        with safe_open(path, framework="pt") as opened:
            tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
            metadata = json.loads((opened.metadata() or {}).get(METADATA_KEY, "{}"))
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise AdapterError(
            f"{path} is truncated or not a safetensors file ({error}). Copy it again."
        ) from None
    if not (isinstance(metadata, dict) and isinstance(metadata.get("settings", {}), dict)):
        raise AdapterError(f"{path}: the header entry '{METADATA_KEY}' must hold a JSON object.")
    return tensors, metadata


def _check_variant(config: dict[str, Any]) -> None:
    kind = config.get("peft_type")
    if kind not in (LORA, TWO_SIDED, HEAD):
        raise AdapterError(
            f"The adapter's peft_type is {kind!r}; this workbench reads {LORA}, {TWO_SIDED} and "
            f"{HEAD}."
        )
    unknown = sorted(key for key, value in config.items() if key not in _UNDERSTOOD and value)
    if config.get("bias", "none") != "none":
        unknown.append("bias")
    if config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        unknown.append("init_lora_weights")  # PiSSA, OLoRA and the like change the base weights
    if unknown:
        raise AdapterError(
            "The adapter is a LoRA variant that is not implemented here: "
            + ", ".join(f"{key} = {config[key]!r}" for key in unknown)
            + ". Reading it as plain LoRA would give wrong answers."
        )


def _check_values(config: dict[str, Any]) -> None:
    for key in _NEEDED[config["peft_type"]]:
        if config.get(key) is None:
            raise AdapterError(
                f"{CONFIG_FILE} does not give the adapter's {_READABLE_NAMES.get(key, key)}."
            )
    for key, (wanted, is_right) in _VALUES.items():
        value = config.get(key)
        if value is not None and not is_right(value):
            raise AdapterError(
                f"In {CONFIG_FILE} the {_READABLE_NAMES.get(key, key)} is {value!r}; it must be "
                f"{wanted}."
            )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    """A number that a float can hold: JSON also knows NaN, Infinity and integers of any size."""
    largest = sys.float_info.max
    return (_is_whole(value) or isinstance(value, float)) and -largest <= value <= largest


def _is_list_of(value: object, is_right: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and all(map(is_right, value))


#: What each option must be where it is given (PEFT writes null for what is not).
_VALUES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "r": ("a whole number of at least 1", lambda v: _is_whole(v) and v >= 1),
    "lora_alpha": ("a positive number", lambda v: _is_number(v) and v > 0),
    "lora_dropout": ("at least 0 and less than 1", lambda v: _is_number(v) and 0 <= v < 1),
    "use_rslora": ("true or false", lambda v: isinstance(v, bool)),
    "form": (f"one of {', '.join(get_args(TwoSidedForm))}", lambda v: v in get_args(TwoSidedForm)),
    "target_modules": (
        "a list of names, or one regular expression",
        lambda v: _is_text(v) or _is_list_of(v, _is_text),
    ),
    "layers_to_transform": (
        "a layer number or a list of them",
        lambda v: _is_whole(v) or _is_list_of(v, _is_whole),
    ),
    "task_type": ("a text", _is_text),
    "base_model_name_or_path": ("a text", _is_text),
}
