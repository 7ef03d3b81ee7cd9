"""Well-known transformer configurations, without weights and without a network.

Each entry holds only the numbers that fix the shapes; what it leaves out is the default of
the transformers configuration class. The configuration itself is built when asked for.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PretrainedConfig,
    PreTrainedModel,
)
from transformers.pytorch_utils import Conv1D

from lora_lab.targets import (
    ALL_LINEAR,
    SHORT_NAMES,
    TargetError,
    find_targets,
    layer_number,
    name_pattern,
    short_names_for,
    split_names,
)

_IDENTICAL_BLOCKS = frozenset(SHORT_NAMES)


@dataclass(frozen=True)
class Architecture:
    """A published model's shape.

    Attributes:
        name: what the workbench calls it.
        published_as: the checkpoint these numbers describe, with its vocabulary.
        model_type: transformers' name for the family.
        settings: arguments of that family's configuration class.
    """

    name: str
    published_as: str
    model_type: str
    settings: Mapping[str, Any] = field(hash=False)

    def configuration(self) -> PretrainedConfig:
        """A new transformers configuration."""
        return AutoConfig.for_model(self.model_type, **self.settings)


def configuration(
    model: str | PretrainedConfig | Mapping[str, Any], num_labels: int = 2
) -> PretrainedConfig:
    """A transformers configuration of one's own: changing it changes nothing else.

    Args:
        model: a built-in name, a configuration to copy, or the contents of a config.json.
        num_labels: outputs of a classification head.

    Raises:
        ValueError: no such name (the message lists the names and suggests the closest), or a
            ``model_type`` that transformers does not know, or ``num_labels`` below 1.
        TypeError: none of the three.
    """
    if isinstance(num_labels, bool) or not isinstance(num_labels, int) or num_labels < 1:
        raise ValueError(f"num_labels is {num_labels!r}; it must be a whole number, 1 or more.")
    if isinstance(model, str):
        settings = _named(model)
    elif isinstance(model, PretrainedConfig):
        settings = copy.deepcopy(model)
    elif isinstance(model, Mapping):
        settings = _from_json(model)
    else:
        raise TypeError(
            f"model is a {type(model).__name__}; give a built-in name, a transformers "
            "configuration or the contents of a config.json."
        )
    settings.num_labels = num_labels
    return settings


def on_meta_device(settings: PretrainedConfig, *, split_qkv: bool = False) -> PreTrainedModel:
    """The model as shapes without data, to classify sequences where transformers can.

    Where it has no such head for the family, the bare base model. Code that a configuration
    points to is never run.

    Args:
        split_qkv: replace the fused q, k, v matrix by three, for counting only: GPT-2's
            ``attn.c_attn`` becomes ``attn.c_attn.q``, ``.k`` and ``.v``.

    Raises:
        ValueError: transformers has no model for this configuration, or cannot build it.
    """
    has_head = type(settings) in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING
    auto = AutoModelForSequenceClassification if has_head else AutoModel
    with torch.device("meta"):
        model = auto.from_config(settings, trust_remote_code=False)
        if split_qkv:
            for name in find_targets(model, "qkv"):
                out, in_ = matrix_shape(model.get_submodule(name))
                three = nn.ModuleDict({part: nn.Linear(in_, out // 3) for part in "qkv"})
                model.set_submodule(name, three)
    return model


def names_fused_parts(settings: PretrainedConfig, target_modules: str | Sequence[str]) -> bool:
    """Whether the targets name q, k or v where the architecture has one matrix for all three.

    Raises:
        TargetError: they name the whole matrix as well.
    """
    names = set(split_names(target_modules))
    if not names & {"q", "k", "v"} or "qkv" not in SHORT_NAMES.get(settings.model_type, {}):
        return False
    if names & {"qkv", "c_attn"}:
        raise TargetError(
            f"Targets {', '.join(sorted(names))} name the fused matrix and its parts. Use either "
            "'qkv' (what apply_lora adapts) or some of 'q', 'k', 'v' (how the paper counts)."
        )
    return True


def with_two_blocks(settings: PretrainedConfig) -> PretrainedConfig | None:
    """The same architecture with two blocks, if one block has the shapes of all; else None.

    That holds for families known to repeat one block, and the two blocks are compared to make
    sure. Others may mix kinds: mixtures of experts with dense blocks, convolution stages of
    growing width, attention of several sizes.
    """
    count = getattr(settings, "num_hidden_layers", 0)
    if settings.model_type not in _IDENTICAL_BLOCKS or count <= 2:
        return None
    short = copy.deepcopy(settings)
    short.num_hidden_layers = 2
    if getattr(short, "layer_types", None):  # one word for each layer, on what it attends to
        short.layer_types = short.layer_types[:2]
    model = on_meta_device(short)
    return short if _block_shapes(model, 0) == _block_shapes(model, 1) else None


def same_in_every_block(name: str, model: nn.Module) -> bool:
    """Whether a target name surely means the same matrices in each block.

    True for short names, and for suffixes without a number; a pattern may count digits.
    """
    if name == ALL_LINEAR or name in short_names_for(model):
        return True
    is_suffix = any(f".{module}".endswith(f".{name}") for module, _ in model.named_modules())
    return is_suffix and not any(part.isdigit() for part in name.split("."))


def matrix_shape(layer: nn.Module) -> tuple[int, int]:
    """(out, in) of a linear layer; GPT-2's Conv1D stores (in, out)."""
    rows, columns = layer.weight.shape
    return (columns, rows) if isinstance(layer, Conv1D) else (rows, columns)


def _block_shapes(model: nn.Module, block: int) -> list[tuple[str, torch.Size]]:
    return [
        (name_pattern(name), parameter.shape)
        for name, parameter in model.named_parameters()
        if layer_number(name) == block
    ]


def _named(name: str) -> PretrainedConfig:
    if name in ARCHITECTURES:
        return ARCHITECTURES[name].configuration()
    longer = [known for known in ARCHITECTURES if name and known.startswith(name.lower())]
    close = longer or get_close_matches(name.lower(), ARCHITECTURES, n=1)
    raise ValueError(
        f"There is no built-in architecture {name!r}."
        + (f" Did you mean {close[0]!r}?" if close else "")
        + f" Built in: {', '.join(ARCHITECTURES)}. For any other model pass its transformers "
        "configuration, or the contents of its config.json."
    )


def _from_json(contents: Mapping[str, Any]) -> PretrainedConfig:
    others = copy.deepcopy(dict(contents))
    model_type = others.pop("model_type", None)
    if model_type not in CONFIG_MAPPING:
        raise ValueError(
            f"model_type is {model_type!r}, which transformers does not know. Pass the whole "
            "config.json of a transformers model, with its 'model_type'."
        )
    return AutoConfig.for_model(model_type, **others)


def _encoder(layers: int, hidden: int, heads: int, **others: int) -> dict[str, Any]:
    """BERT's family: the feed-forward part is four times as wide as the hidden state."""
    return dict(
        num_hidden_layers=layers,
        hidden_size=hidden,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        **others,
    )


def _roberta(layers: int, hidden: int, heads: int) -> dict[str, Any]:
    # 514 positions: two more than the 512 tokens, because numbering starts after the padding's.
    return _encoder(
        layers, hidden, heads, vocab_size=50265, max_position_embeddings=514, type_vocab_size=1
    )


def _gpt(layers: int, hidden: int, heads: int, context: int = 1024) -> dict[str, Any]:
    return dict(n_layer=layers, n_embd=hidden, n_head=heads, n_positions=context, vocab_size=50257)


_UNCASED = dict(vocab_size=30522, max_position_embeddings=512, type_vocab_size=2)
_CASED = _UNCASED | dict(vocab_size=28996)
_DEBERTA_V2_XXLARGE = _encoder(48, 1536, 24, vocab_size=128100, type_vocab_size=0) | dict(
    max_position_embeddings=512,
    position_biased_input=False,  # no absolute positions ...
    relative_attention=True,  # ... but relative ones, in 2 * 256 buckets
    position_buckets=256,
    norm_rel_ebd="layer_norm",
    share_att_key=True,
    pos_att_type=["p2c", "c2p"],
    conv_kernel_size=3,  # one convolution beside the first block
    conv_act="gelu",
)

_ALL = (
    Architecture("minilm", "all-MiniLM-L6-v2, uncased", "bert", _encoder(6, 384, 12, **_UNCASED)),
    Architecture("bert-base", "bert-base-uncased", "bert", _encoder(12, 768, 12, **_UNCASED)),
    Architecture("bert-base-cased", "bert-base-cased", "bert", _encoder(12, 768, 12, **_CASED)),
    Architecture("bert-large", "bert-large-uncased", "bert", _encoder(24, 1024, 16, **_UNCASED)),
    Architecture("bert-large-cased", "bert-large-cased", "bert", _encoder(24, 1024, 16, **_CASED)),
    Architecture("roberta-base", "roberta-base, cased", "roberta", _roberta(12, 768, 12)),
    Architecture("roberta-large", "roberta-large, cased", "roberta", _roberta(24, 1024, 16)),
    Architecture(
        "distilbert",
        "distilbert-base-uncased",
        "distilbert",
        dict(
            n_layers=6,
            dim=768,
            n_heads=12,
            hidden_dim=3072,
            vocab_size=30522,
            max_position_embeddings=512,
        ),
    ),
    Architecture(
        "deberta-xxl", "deberta-v2-xxlarge, cased, 1.5B", "deberta-v2", _DEBERTA_V2_XXLARGE
    ),
    Architecture("gpt2", "gpt2 (small), cased", "gpt2", _gpt(12, 768, 12)),
    Architecture("gpt2-medium", "gpt2-medium, cased", "gpt2", _gpt(24, 1024, 16)),
    Architecture("gpt2-large", "gpt2-large, cased", "gpt2", _gpt(36, 1280, 20)),
    Architecture("gpt2-xl", "gpt2-xl, cased", "gpt2", _gpt(48, 1600, 25)),
    Architecture(
        "llama-2-7b",
        "Llama-2-7b, cased",
        "llama",
        _encoder(32, 4096, 32, vocab_size=32000, max_position_embeddings=4096)
        | dict(intermediate_size=11008, num_key_value_heads=32),
    ),
    # Brown et al. 2020 (arXiv 2005.14165), table 2.1. Its alternating sparse attention has the
    # same parameters as the dense attention of GPT-2.
    Architecture("gpt3-175b", "GPT-3 175B in GPT-2's layout", "gpt2", _gpt(96, 12288, 96, 2048)),
)

#: The built-in architectures by name.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType({a.name: a for a in _ALL})
