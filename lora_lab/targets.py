"""Which linear layers does a configuration mean? Names, suffixes, patterns, layer numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn
from transformers.pytorch_utils import Conv1D

from lora_lab.choices import ALL_LINEAR

_BERT = {
    "q": r".*\.attention\.self\.query",
    "k": r".*\.attention\.self\.key",
    "v": r".*\.attention\.self\.value",
    "o": r".*\.attention\.output\.dense",
    "up": r".*\.layer\.\d+\.intermediate\.dense",
    "down": r".*\.layer\.\d+\.output\.dense",
}
_LLAMA = {
    "q": r".*\.self_attn\.q_proj",
    "k": r".*\.self_attn\.k_proj",
    "v": r".*\.self_attn\.v_proj",
    "o": r".*\.self_attn\.o_proj",
    "gate": r".*\.mlp\.gate_proj",
    "up": r".*\.mlp\.up_proj",
    "down": r".*\.mlp\.down_proj",
}

#: The short names of papers for the matrices of a block, per transformers ``model_type``.
SHORT_NAMES: dict[str, dict[str, str]] = {
    "bert": _BERT,
    "roberta": _BERT,
    "deberta-v2": {
        **_BERT,
        "q": r".*\.attention\.self\.query_proj",
        "k": r".*\.attention\.self\.key_proj",
        "v": r".*\.attention\.self\.value_proj",
    },
    "distilbert": {
        "q": r".*\.attention\.q_lin",
        "k": r".*\.attention\.k_lin",
        "v": r".*\.attention\.v_lin",
        "o": r".*\.attention\.out_lin",
        "up": r".*\.ffn\.lin1",
        "down": r".*\.ffn\.lin2",
    },
    "gpt2": {
        "qkv": r".*\.attn\.c_attn",
        "o": r".*\.attn\.c_proj",
        "up": r".*\.mlp\.c_fc",
        "down": r".*\.mlp\.c_proj",
    },
    "llama": _LLAMA,
    # These call their matrices as one of the above does.
    **dict.fromkeys(("camembert", "electra", "xlm-roberta"), _BERT),
    **dict.fromkeys(("gemma", "gemma2", "mistral", "qwen2", "qwen3"), _LLAMA),
}

_LAYER_NUMBER = re.compile(r"(?:^|\.)(\d+)\.")


class TargetError(ValueError):
    """A target name or layer choice that matches nothing, or cannot be understood."""


def find_targets(
    model: nn.Module,
    target_modules: str | Sequence[str] = ALL_LINEAR,
    layers: str | Sequence[int] = "all",
) -> list[str]:
    """Full names of the linear layers that are meant, in the model's order.

    Args:
        model: a transformers model (weights not needed: the meta device will do).
        target_modules: "all-linear" (every linear layer in the numbered blocks), or names. A
            name is a short one ("q", "v", "up"), a full name, a suffix of dotted parts
            ("query", "output.dense"), or a regular expression for the full name. One text
            with commas counts as several names.
        layers: "all", "top:K", "bottom:K", a list of layer numbers from 0, or a text such as
            "0,3-5".

    Raises:
        TargetError: a name or layer that matches nothing; the message lists what there is.
    """
    if isinstance(layers, str):
        layers = layers.strip()
    linear_layers = _linear_layers(model)
    chosen_layers = choose_layers(layers, layer_count(model))
    in_blocks = [name for name in linear_layers if layer_number(name) is not None]
    names = split_names(target_modules)
    if names == [ALL_LINEAR]:
        matched = set(in_blocks)
    else:
        short_names = SHORT_NAMES.get(_model_type(model), {})
        matched = set()
        for name in names:
            found = _matches(name, linear_layers, short_names)
            if not found:
                raise TargetError(_no_match(name, linear_layers, short_names))
            matched.update(found)
    # A layer outside the blocks (BERT's pooler) has no number: it is meant only by "all".
    chosen = [
        name
        for name in linear_layers
        if name in matched
        and (layers == "all" if layer_number(name) is None else layer_number(name) in chosen_layers)
    ]
    if not chosen:
        raise TargetError(
            f"Target modules {', '.join(names)} exist, but not in layers {layers!r}. They are in: "
            f"{', '.join(sorted(matched))}."
        )
    return chosen


def choose_layers(layers: str | Sequence[int], count: int) -> tuple[int, ...]:
    """Layer numbers, ascending, for a choice among ``count`` layers.

    Raises:
        TargetError: not a valid choice, or a number outside 0 .. count - 1.
    """
    advice = f"Use 'all', 'top:2', 'bottom:2' or numbers from 0 to {count - 1} such as '0,3-5'."
    if isinstance(layers, str):
        text = layers.strip()
        if text == "all":
            return tuple(range(count))
        if ends := re.fullmatch(r"(top|bottom):(\d+)", text):
            size = int(ends[2])
            if not 1 <= size <= count:
                raise TargetError(f"layers is {layers!r}, but the model has {count}. {advice}")
            return tuple(range(count - size, count) if ends[1] == "top" else range(size))
        numbers: list[int] = []
        for part in text.split(","):
            if not (span := re.fullmatch(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*", part)):
                raise TargetError(f"layers is {layers!r}, which cannot be read. {advice}")
            first, last = int(span[1]), int(span[2] or span[1])
            numbers.extend(range(first, min(last, count) + 1))  # past the end is one error, not 1e9
    else:
        numbers = list(layers)
    wrong = [
        n for n in numbers if isinstance(n, bool) or not isinstance(n, int) or not 0 <= n < count
    ]
    if wrong or not numbers:
        raise TargetError(
            f"layers is {layers!r}, but the model has layers 0 to {count - 1}. {advice}"
        )
    return tuple(sorted(set(numbers)))


def layer_number(module_name: str) -> int | None:
    """Number of the block that a module lies in, or None outside the blocks."""
    found = _LAYER_NUMBER.search(module_name)
    return int(found[1]) if found else None


def name_pattern(module_name: str) -> str:
    """The name with ``*`` for numbers: the same for matrices at the same place of each block."""
    return _LAYER_NUMBER.sub(".*.", module_name)


def short_name(module_name: str) -> str:
    """What papers call a matrix ("q", "up"), in any family; else the last part of its name."""
    for names in SHORT_NAMES.values():
        for short, pattern in names.items():
            if re.fullmatch(pattern, module_name):
                return short
    return module_name.rpartition(".")[2]


def layer_count(model: nn.Module) -> int:
    """How many numbered blocks the base model has."""
    numbers = [layer_number(name) for name in _linear_layers(model)]
    return 1 + max((n for n in numbers if n is not None), default=-1)


def head_modules(model: nn.Module) -> dict[str, nn.Module]:
    """The task head: the model's children outside the pre-trained base that have parameters."""
    prefix = getattr(model, "base_model_prefix", "")
    if not prefix or not hasattr(model, prefix):  # a bare base model: all of it is pre-trained
        return {}
    return {
        name: child
        for name, child in model.named_children()
        if name != prefix and any(True for _ in child.parameters())
    }


def short_names_for(model: nn.Module) -> tuple[str, ...]:
    """Short names ("q", "v", ...) that this model's architecture understands."""
    return tuple(SHORT_NAMES.get(_model_type(model), {}))


def _linear_layers(model: nn.Module) -> list[str]:
    heads = tuple(f"{name}." for name in head_modules(model))
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and not f"{name}.".startswith(heads or "\0")
    ]


def split_names(target_modules: str | Sequence[str]) -> list[str]:
    """The names in ``target_modules``; one text with commas holds several.

    Raises:
        TargetError: there is none.
    """
    # Only a single text is split: a regular expression in a list may hold commas of its own.
    parts = target_modules.split(",") if isinstance(target_modules, str) else target_modules
    names = [part.strip() for part in parts if part.strip()]
    if not names:
        raise TargetError("No target modules given. Use 'all-linear' or names such as 'q,v'.")
    return names


def _matches(name: str, candidates: list[str], short_names: dict[str, str]) -> list[str]:
    if name in short_names:
        return [c for c in candidates if re.fullmatch(short_names[name], c)]
    suffixes = [c for c in candidates if c == name or c.endswith(f".{name}")]
    if suffixes:
        return suffixes
    try:
        return [c for c in candidates if re.fullmatch(name, c)]
    except re.error as error:
        raise TargetError(
            f"{name!r} is not a module name or a regular expression: {error}"
        ) from None


def _no_match(name: str, candidates: list[str], short_names: dict[str, str]) -> str:
    message = f"No linear layer matches {name!r}."
    if name in {"q", "k", "v"} and "qkv" in short_names:
        message += " This architecture computes q, k and v with one matrix: use 'qkv'."
    if short_names:
        message += f" Short names here: {', '.join(short_names)}."
    patterns = sorted({name_pattern(candidate) for candidate in candidates})
    return message + f" Linear layers (* is the layer number): {', '.join(patterns)}."


def _model_type(model: nn.Module) -> str:
    return getattr(getattr(model, "config", None), "model_type", "")
