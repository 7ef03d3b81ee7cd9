"""A configuration as code that runs: for lora_lab, and for PEFT. Both train the same numbers.

The code needs neither weights nor a network: models are built as shapes on torch's meta device,
which is enough to count. Where the weights are is said in a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any

from lora_lab.adapt import LoraConfig
from lora_lab.budget.architectures import ARCHITECTURES
from lora_lab.budget.counting import Blueprint
from lora_lab.models import DEFAULT_MODEL
from lora_lab.targets import choose_layers

Source = str | Mapping[str, Any]  # a built-in name, or the contents of a config.json

_ON_THE_HUB = {
    "minilm": "sentence-transformers/all-MiniLM-L6-v2",
    "bert-base": "google-bert/bert-base-uncased",
    "bert-base-cased": "google-bert/bert-base-cased",
    "bert-large": "google-bert/bert-large-uncased",
    "bert-large-cased": "google-bert/bert-large-cased",
    "roberta-base": "FacebookAI/roberta-base",
    "roberta-large": "FacebookAI/roberta-large",
    "distilbert": "distilbert/distilbert-base-uncased",
    "deberta-xxl": "microsoft/deberta-v2-xxlarge",
    "gpt2": "openai-community/gpt2",
    "gpt2-medium": "openai-community/gpt2-medium",
    "gpt2-large": "openai-community/gpt2-large",
    "gpt2-xl": "openai-community/gpt2-xl",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
}
_FOUND_BY_PEFT = {"classifier", "score"}  # heads that it trains without being told
_ALWAYS = ("rank", "alpha", "target_modules", "layers")
_META = """\
# Shapes without weights: nothing is downloaded.
with torch.device("meta"):
    model = {auto}.from_config({config})
"""


def lora_lab_code(source: Source, lora: LoraConfig, *, head: bool = True) -> str:
    """Apply ``lora`` with this package, and print what is trained."""
    if head and source == DEFAULT_MODEL:
        imports = "from lora_lab import LoraConfig, apply_lora, load_model\n"
        last, model = (
            "",
            'model, tokenizer = load_model("minilm", labels=["negative", "positive"])\n',
        )
    else:
        auto = _auto(head)
        imports = (
            f"import torch\nfrom transformers import {auto}\n\n"
            "from lora_lab import LoraConfig, apply_lora\n"
        )
        last = "from lora_lab.budget.architectures import configuration\n"
        model = _META.format(auto=auto, config=f"configuration({_literal(source)})")
        model += _weights(source, auto)
    return (
        f"{imports}from lora_lab.adapt import trainable_parameters\n{last}\n{model}"
        f"apply_lora(model, {_call('LoraConfig', _own_arguments(lora))})\n"
        'print(f"{trainable_parameters(model):,} trainable parameters")\n'
    )


def peft_code(blueprint: Blueprint, source: Source, lora: LoraConfig, *, head: bool = True) -> str:
    """The same for PEFT.

    Raises:
        ValueError: targets or layers that the architecture does not have.
    """
    auto = _auto(head)
    if isinstance(source, str):
        family, settings = ARCHITECTURES[source].model_type, dict(ARCHITECTURES[source].settings)
    else:
        settings = dict(source)
        family = settings.pop("model_type")
    config = f"AutoConfig.for_model({family!r}, **settings)"
    return (
        "import torch\nfrom peft import LoraConfig, get_peft_model\n"
        f"from transformers import AutoConfig, {auto}\n\n"
        f"settings = {_literal(settings)}\n"
        f"{_META.format(auto=auto, config=config)}{_weights(source, auto)}"
        f"model = get_peft_model(model, {_call('LoraConfig', _pefts(blueprint, lora, head))})\n"
        "model.print_trainable_parameters()\n"
    )


def peft_targets(
    adapted: Collection[str], every: Collection[str], layers: Collection[int]
) -> list[str] | str:
    """What PEFT has to be told so that it finds the adapted matrices and no others.

    Args:
        adapted, every: names of linear layers, with ``*`` for the block's number.
        layers: numbers of the adapted blocks, for a pattern.

    Returns:
        Ends of names, as one would write them; where no ends tell the matrices apart (BERT's two
        ``output.dense``), one pattern, which names the blocks as well.
    """
    ends = [_end(name, set(adapted), every) for name in adapted]
    if None not in ends:
        return list(dict.fromkeys(ends))
    numbers = "|".join(map(str, sorted(layers)))
    return "|".join(_pattern(name, numbers) for name in adapted)


def _pefts(blueprint: Blueprint, lora: LoraConfig, head: bool) -> dict[str, Any]:
    adapted = [kind.name for kind in blueprint.count(lora).matrices if kind.adapted]
    layers = choose_layers(lora.layers, blueprint.blocks)
    targets = peft_targets(adapted, blueprint.all_linear_names, layers)
    arguments: dict[str, Any] = {"task_type": "SEQ_CLS"} if head else {}
    arguments |= {"r": lora.rank, "lora_alpha": _number(lora.alpha), "target_modules": targets}
    if isinstance(targets, list) and len(layers) < blueprint.blocks:
        arguments["layers_to_transform"] = list(layers)
        arguments["layers_pattern"] = list(
            dict.fromkeys(name.split(".*.")[0].rpartition(".")[2] for name in adapted)
        )
    if lora.dropout:
        arguments["lora_dropout"] = lora.dropout
    if lora.scaling != "alpha/r":
        arguments["use_rslora"] = True
    if lora.init == "gaussian":
        arguments["init_lora_weights"] = "gaussian"
    if blueprint.stored_transposed:
        arguments["fan_in_fan_out"] = True
    if head and not set(blueprint.head_names) <= _FOUND_BY_PEFT:
        arguments["modules_to_save"] = list(blueprint.head_names)
    return arguments


def _own_arguments(lora: LoraConfig) -> dict[str, Any]:
    values = {field.name: (getattr(lora, field.name), field.default) for field in fields(lora)}
    chosen = {n: v for n, (v, usual) in values.items() if n in _ALWAYS or v != usual}
    return chosen | {"alpha": _number(lora.alpha)}


def _end(name: str, adapted: set[str], every: Collection[str]) -> str | None:
    """The shortest end of a name that no frozen matrix shares; None if there is none."""
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        end = ".".join(parts[-length:])
        if "*" in end:
            return None
        if {other for other in every if f".{other}".endswith(f".{end}")} <= adapted:
            return end
    return None


def _pattern(name: str, numbers: str) -> str:
    """A regular expression for a name in these blocks, whatever stands before the blocks."""
    before, star, after = name.partition(".*.")
    if not star:
        return rf"(?:.*\.)?{re.escape(name)}"
    inside = r"\.\d+\.".join(re.escape(part) for part in after.split(".*."))
    return rf"(?:.*\.)?{re.escape(before.rpartition('.')[2])}\.(?:{numbers})\.{inside}"


def _weights(source: Source, auto: str) -> str:
    if not isinstance(source, str) or source not in _ON_THE_HUB:
        return ""
    return f'# With its weights: {auto}.from_pretrained("{_ON_THE_HUB[source]}")\n'


def _auto(head: bool) -> str:
    return "AutoModelForSequenceClassification" if head else "AutoModel"


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    inside = "".join(f"    {key}={_literal(value)},\n" for key, value in arguments.items())
    return f"{name}(\n{inside})"


def _literal(value: Any) -> str:
    """The value as one would type it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Mapping):
        inside = "".join(f"    {_literal(k)}: {_literal(v)},\n" for k, v in value.items())
        return f"{{\n{inside}}}"
    if isinstance(value, list | tuple):
        if len(value) > 3 and all(type(each) is int for each in value):
            run = range(value[0], value[0] + len(value))
            if list(value) == list(run):
                return f"list({run})"
        inside = ", ".join(map(_literal, value))
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return repr(value)


def _number(value: float) -> float | int:
    return int(value) if float(value).is_integer() else value
