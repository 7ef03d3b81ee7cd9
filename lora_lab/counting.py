"""What does LoRA cost? Exact parameter counts, file sizes and training memory, without weights.

The model is built on torch's meta device, where tensors have shapes but no data, and
``apply_lora`` itself adapts it: what is counted is what would be trained.

The counts agree with the LoRA paper (Hu et al. 2021, arXiv 2106.09685), with two exceptions:
its 0.35M and 0.77M for GPT-2 medium and large (r = 4, q and v) do not follow from its own
formula, 2 matrices x layers x r x (d + d), which gives 393,216 and 737,280.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch import nn
from transformers import PretrainedConfig

from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora
from lora_lab.architectures import (
    configuration,
    matrix_shape,
    names_fused_parts,
    on_meta_device,
    same_in_every_block,
    with_two_blocks,
)
from lora_lab.targets import (
    ALL_LINEAR,
    TargetError,
    choose_layers,
    find_targets,
    head_modules,
    layer_number,
    name_pattern,
    split_names,
)

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}

_SEPARATE_NOTE = (
    "q, k and v are counted as separate d x d matrices, as in the LoRA paper. This architecture "
    "computes them with one fused matrix, which apply_lora adapts as 'qkv' and which costs 4 d r: "
    "the same as two separate ones."
)


@dataclass(frozen=True)
class MatrixKind:
    """Matrices that sit at the same place of every block.

    Attributes:
        name: full module name with ``*`` for the layer number.
        shape: (out, in).
        in_model: how many the base model has.
        adapted: how many of them get an adapter.
        adapter_parameters: of one adapter, r (out + in); 0 where none is adapted.
    """

    name: str
    shape: tuple[int, int]
    in_model: int
    adapted: int
    adapter_parameters: int


@dataclass(frozen=True)
class Memory:
    """Bytes that training holds for the parameters; activations come on top.

    Attributes:
        weights: float32, frozen ones included.
        gradients: float32, of trainable parameters.
        optimizer: AdamW's two float32 moments of each trainable parameter.
    """

    weights: int
    gradients: int
    optimizer: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer


@dataclass(frozen=True)
class Count:
    """The exact cost of one LoRA configuration on one architecture.

    Attributes:
        model: built-in name, or the ``model_type`` of a given configuration.
        rank: r.
        base_parameters: pre-trained parameters, without task head or language-model head.
        adapter_parameters: all A and B, without the head (as papers and PEFT count).
        head_parameters: the classification head; 0 if counted without one.
        train_head: whether the head learns too.
        matrices: every kind of linear layer in the blocks, and any other that is adapted.
        note: what a reader has to know about the number; empty if nothing.
    """

    model: str
    rank: int
    base_parameters: int
    adapter_parameters: int
    head_parameters: int
    train_head: bool
    matrices: tuple[MatrixKind, ...]
    note: str = ""

    @property
    def trainable_parameters(self) -> int:
        return self.adapter_parameters + (self.head_parameters if self.train_head else 0)

    @property
    def frozen_parameters(self) -> int:
        return self.base_parameters + (0 if self.train_head else self.head_parameters)

    @property
    def share(self) -> float:
        """Trainable parameters among all, 0 to 1, as PEFT's ``print_trainable_parameters``."""
        return self.trainable_parameters / (self.trainable_parameters + self.frozen_parameters)

    @property
    def adapted_matrices(self) -> int:
        return sum(kind.adapted for kind in self.matrices)

    def adapter_file_bytes(self, dtype: str = "float32", *, head: bool = False) -> int:
        """Tensor data of a safetensors file with the adapter, and with the head if asked for.

        The file is longer by its header: 8 bytes and a JSON text of about 100 bytes a tensor.
        """
        parameters = self.adapter_parameters + (self.head_parameters if head else 0)
        return parameters * _bytes_per_number(dtype)

    def model_file_bytes(self, dtype: str = "float32") -> int:
        """Tensor data of a file with the whole fine-tuned model: base and head."""
        return (self.base_parameters + self.head_parameters) * _bytes_per_number(dtype)

    @property
    def lora_memory(self) -> Memory:
        every = self.base_parameters + self.head_parameters + self.adapter_parameters
        return _memory(every, trainable=self.trainable_parameters)

    @property
    def full_memory(self) -> Memory:
        """The same for full fine-tuning, which trains base and head and has no adapter."""
        every = self.base_parameters + self.head_parameters
        return _memory(every, trainable=every)

    def as_dict(self) -> dict[str, Any]:
        """Everything, derived numbers included, ready for JSON."""
        return asdict(self) | {
            "matrices": [asdict(kind) | {"shape": list(kind.shape)} for kind in self.matrices],
            "trainable_parameters": self.trainable_parameters,
            "frozen_parameters": self.frozen_parameters,
            "share": self.share,
            "adapted_matrices": self.adapted_matrices,
            "adapter_file_bytes": {d: self.adapter_file_bytes(d) for d in ("float32", "float16")},
            "model_file_bytes": {d: self.model_file_bytes(d) for d in ("float32", "float16")},
            "lora_memory": asdict(self.lora_memory) | {"total": self.lora_memory.total},
            "full_memory": asdict(self.full_memory) | {"total": self.full_memory.total},
        }

    def table(self) -> str:
        """The same as text, for reading."""
        head = f"{self.head_parameters:,} ({'trained' if self.train_head else 'frozen'})"
        files = " / ".join(_size(self.adapter_file_bytes(d)) for d in ("float32", "float16"))
        lines = [
            f"{self.model}, LoRA of rank {self.rank} on {self.adapted_matrices} matrices",
            f"  base        {self.base_parameters:,}",
            f"  adapter     {self.adapter_parameters:,} ({files} in float32 / float16)",
            f"  head        {head}",
            f"  trainable   {self.trainable_parameters:,} ({self.share:.3%} of all)",
            f"{'Training memory without activations':<36}{'LoRA':>12}{'full fine-tuning':>18}",
        ]
        for part in ("weights", "gradients", "optimizer", "total"):
            lora, full = (_size(getattr(m, part)) for m in (self.lora_memory, self.full_memory))
            lines.append(f"  {part:<34}{lora:>12}{full:>18}")
        width = max(len(kind.name) for kind in self.matrices)
        lines.append(f"{'Matrix':<{width}}{'out x in':>17}{'adapted':>12}  parameters each")
        for kind in self.matrices:
            shape, number = "{} x {}".format(*kind.shape), f"{kind.adapted} of {kind.in_model}"
            each = f"{kind.adapter_parameters:,}"
            lines.append(f"{kind.name:<{width}}{shape:>17}{number:>12}{each:>17}")
        return "\n".join(lines + ([f"Note: {self.note}"] if self.note else []))


def count(
    model: str | PretrainedConfig | Mapping[str, Any],
    config: LoraConfig,
    *,
    num_labels: int = 2,
    head: bool = True,
) -> Count:
    """Count what ``config`` trains on ``model``, to the last parameter.

    Args:
        model: a built-in name (``architectures.ARCHITECTURES``), a transformers configuration,
            or the contents of a config.json with its ``model_type``.
        config: targets, layers and rank. Where q, k and v are one fused matrix (GPT-2) they
            may be named apart here, as in the paper; ``note`` says that ``apply_lora`` cannot.
        num_labels: outputs of the classification head.
        head: False counts without a head.

    Raises:
        ValueError: unknown architecture, a rank larger than a matrix, ``num_labels`` below 1.
        TargetError: a target or layer that matches nothing.
    """
    settings = configuration(model, num_labels)
    apart = names_fused_parts(settings, config.target_modules)
    quick = _measure_one_block(settings, config, apart)
    sizes = quick or _measure(on_meta_device(settings, split_qkv=apart), config)
    return Count(
        model=model if isinstance(model, str) else settings.model_type,
        rank=config.rank,
        train_head=config.train_head,
        note=_SEPARATE_NOTE if apart else "",
        **(sizes if head else sizes | {"head_parameters": 0}),
    )


def _measure_one_block(
    settings: PretrainedConfig, config: LoraConfig, split_qkv: bool
) -> dict[str, Any] | None:
    """Count on a model of two blocks, the first standing for all; None where that is unsafe.

    It makes GPT-3 as quick as a small model. Unsafe are blocks that may differ, names that may
    tell blocks apart, and choices that match nothing: the error must list the whole model.
    """
    if (short := with_two_blocks(settings)) is None:
        return None
    blocks = settings.num_hidden_layers
    chosen = choose_layers(config.layers, blocks)
    model = on_meta_device(short, split_qkv=split_qkv)
    if not all(same_in_every_block(name, model) for name in split_names(config.target_modules)):
        return None
    # "all" stays, since it means layers outside the blocks too.
    means_all = isinstance(config.layers, str) and config.layers.strip() == "all"
    try:
        return _measure(
            model, replace(config, layers="all" if means_all else (0,)), blocks, len(chosen)
        )
    except TargetError:
        return None


def _measure(
    model: nn.Module, config: LoraConfig, blocks: int | None = None, chosen: int | None = None
) -> dict[str, Any]:
    """Adapt ``model`` and count; the fields of ``Count`` that come from it.

    With ``blocks`` (in the whole model) and ``chosen`` (those adapted), block 0 counts so often
    and the others not at all.
    """
    heads = tuple(f"{name}." for name in head_modules(model))
    base = head = 0
    for name, parameter in model.named_parameters():
        if heads and name.startswith(heads):
            head += parameter.numel()
        else:
            base += parameter.numel() * _times(name, blocks)
    linear_layers = find_targets(model, ALL_LINEAR)
    linear_layers += [name for name in apply_lora(model, config) if name not in linear_layers]
    adapted = adapted_layers(model)
    kinds: dict[tuple[str, tuple[int, int]], list[int]] = {}
    for name in linear_layers:
        key = name_pattern(name), matrix_shape(model.get_submodule(name))
        kind = kinds.setdefault(key, [0, 0, 0])  # in the model, adapted, parameters of one
        kind[0] += _times(name, blocks)
        if name in adapted:
            kind[1] += _times(name, chosen)
            kind[2] = sum(p.numel() for p in adapted[name].parameters(recurse=False))
    return dict(
        base_parameters=base,
        adapter_parameters=sum(number * each for _, number, each in kinds.values()),
        head_parameters=head,
        matrices=tuple(MatrixKind(*key, *numbers) for key, numbers in kinds.items()),
    )


def _times(name: str, repeats: int | None) -> int:
    """How often the module or parameter counts: see ``_measure``."""
    number = layer_number(name)
    return 1 if repeats is None or number is None else repeats * (number == 0)


def _memory(parameters: int, *, trainable: int) -> Memory:
    float32 = BYTES["float32"]
    return Memory(parameters * float32, trainable * float32, trainable * 2 * float32)


def _bytes_per_number(dtype: str) -> int:
    if dtype not in BYTES:
        raise ValueError(f"dtype is {dtype!r}; it must be one of {', '.join(BYTES)}.")
    return BYTES[dtype]


def _size(number: int) -> str:
    """Bytes for reading, in decimal units: 37.7 MB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} B"
