"""What does LoRA cost? Exact parameter counts, file sizes and training memory, without weights.

The model is built on torch's meta device, where tensors have shapes but no data, and
``apply_lora`` itself adapts it: what is counted is what would be trained.

The counts agree with the LoRA paper (Hu et al. 2021, arXiv 2106.09685), with two exceptions:
its 0.35M and 0.77M for GPT-2 medium and large (r = 4, q and v) do not follow from its own
formula, 2 matrices x layers x r x (d + d), which gives 393,216 and 737,280.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from threading import RLock
from typing import Any

from torch import nn
from transformers import PretrainedConfig
from transformers.pytorch_utils import Conv1D

from lora_lab.adapt import LoraConfig, adapted_layers, apply_lora, remove_adapters
from lora_lab.budget.architectures import (
    configuration,
    matrix_shape,
    names_fused_parts,
    on_meta_device,
    same_in_every_block,
    with_two_blocks,
)
from lora_lab.budget.cost import Count, MatrixKind, Memory
from lora_lab.targets import (
    ALL_LINEAR,
    SHORT_NAMES,
    TargetError,
    choose_layers,
    find_targets,
    head_modules,
    layer_count,
    layer_number,
    name_pattern,
    split_names,
)

__all__ = ["Blueprint", "Count", "MatrixKind", "Memory", "count"]

_SEPARATE_NOTE = (
    "q, k and v are counted as separate d x d matrices, as in the LoRA paper. This architecture "
    "computes them with one fused matrix, which apply_lora adapts as 'qkv' and which costs 4 d r: "
    "the same as two separate ones."
)


def count(
    model: str | PretrainedConfig | Mapping[str, Any],
    config: LoraConfig,
    *,
    num_labels: int = 2,
    head: bool = True,
) -> Count:
    """Count what ``config`` trains on ``model``, to the last parameter.

    Args:
        model: a built-in name (``ARCHITECTURES``), a transformers configuration,
            or the contents of a config.json with its ``model_type``.
        config: targets, layers and rank. Where q, k and v are one fused matrix (GPT-2) they
            may be named apart here, as in the paper; ``note`` says that ``apply_lora`` cannot.
        num_labels: outputs of the classification head.
        head: False counts without a head.

    Raises:
        ValueError: unknown architecture, a rank larger than a matrix, ``num_labels`` below 1.
        TargetError: a target or layer that matches nothing.
    """
    return Blueprint(model, num_labels).count(config, head=head)


class Blueprint:
    """An architecture without weights: built once, then counted again and again at once.

    It makes GPT-3 as quick as a small model: where one block has the shapes of all, two blocks
    are built and the first stands for all. Several threads may share a blueprint.

    Attributes:
        settings: the transformers configuration.
    """

    def __init__(
        self, model: str | PretrainedConfig | Mapping[str, Any], num_labels: int = 2
    ) -> None:
        self.settings = configuration(model, num_labels)
        self._name = model if isinstance(model, str) else self.settings.model_type
        self._models: dict[tuple[bool, bool], nn.Module] = {}
        self._lock = RLock()

    @cached_property
    def short_names(self) -> tuple[str, ...]:
        """What the matrices of a block are called in papers; empty for other families."""
        return tuple(SHORT_NAMES.get(self.settings.model_type, {}))

    @cached_property
    def blocks(self) -> int:
        """How many numbered blocks there are."""
        return self.settings.num_hidden_layers if self.short else self._look(layer_count)

    @cached_property
    def places(self) -> Mapping[str, tuple[int, ...]]:
        """In which blocks the matrices lie, by name with ``*`` for the number."""
        found: dict[str, list[int]] = {}
        for name in self._look(find_targets):
            found.setdefault(name_pattern(name), []).append(layer_number(name))
        if self.short:
            return {name: tuple(range(self.blocks)) for name in found}
        return {name: tuple(dict.fromkeys(numbers)) for name, numbers in found.items()}

    @cached_property
    def all_linear_names(self) -> frozenset[str]:
        """Every linear layer, head and pooler included, with ``*`` for the block's number."""
        modules = self._look(lambda model: list(model.named_modules()))
        linear = (name for name, module in modules if isinstance(module, nn.Linear | Conv1D))
        return frozenset(map(name_pattern, linear))

    @cached_property
    def stored_transposed(self) -> bool:
        """Whether W is stored as (in, out), as in GPT-2."""
        return self._look(lambda model: any(isinstance(m, Conv1D) for m in model.modules()))

    @cached_property
    def head_names(self) -> tuple[str, ...]:
        """The parts of the task head; empty for a family without one."""
        return tuple(self._look(head_modules))

    def count(self, config: LoraConfig, *, head: bool = True) -> Count:
        """The same as the function ``count``."""
        apart = names_fused_parts(self.settings, config.target_modules)
        with self._lock:
            quick = _measure_one_block(self, config, apart)
            sizes = quick or _measure(self.model(split_qkv=apart), config)
        return Count(
            model=self._name,
            rank=config.rank,
            train_head=config.train_head,
            note=_SEPARATE_NOTE if apart else "",
            **(sizes if head else sizes | {"head_parameters": 0}),
        )

    def model(self, *, short: bool = False, split_qkv: bool = False) -> nn.Module:
        """Shapes without data: of all blocks, or of the two that stand for all."""
        with self._lock:
            if (short, split_qkv) not in self._models:
                settings = self._short if short else self.settings
                self._models[short, split_qkv] = on_meta_device(settings, split_qkv=split_qkv)
            return self._models[short, split_qkv]

    @property
    def short(self) -> bool:
        """Whether two blocks stand for all."""
        return self._short is not None

    @cached_property
    def _short(self) -> PretrainedConfig | None:
        return with_two_blocks(self.settings)

    def _look(self, look: Callable[[nn.Module], Any]) -> Any:
        """What ``look`` finds in the model while no adapter is being counted in it."""
        with self._lock:
            return look(self.model(short=self.short))


def _measure_one_block(
    blueprint: Blueprint, config: LoraConfig, split_qkv: bool
) -> dict[str, Any] | None:
    """Count on two blocks, the first standing for all; None where that is unsafe.

    Unsafe are blocks that may differ, names that may tell blocks apart, and choices that match
    nothing: the error must list the whole model.
    """
    if not blueprint.short:
        return None
    blocks = blueprint.blocks
    chosen = choose_layers(config.layers, blocks)
    model = blueprint.model(short=True, split_qkv=split_qkv)
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
    and the others not at all. The model is given back without adapters.
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
    remove_adapters(model)
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
