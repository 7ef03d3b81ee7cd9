"""Turn a pre-trained model into an adapted one: choose layers, wrap them, freeze the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import nn

from lora_lab.choices import (
    ALL_LINEAR,
    Backward,
    Initialisation,
    Scaling,
    TwoSidedForm,
    TwoSidedInitialisation,
)
from lora_lab.layers import (
    AdaptedLinear,
    LoRALinear,
    TwoSidedLinear,
    check_lora_numbers,
    scale,
)
from lora_lab.targets import find_targets, head_modules


@dataclass(frozen=True)
class LoraConfig:
    """Where LoRA goes and how strong it is.

    Attributes:
        rank: r of every update ``s B A``.
        alpha: numerator of the scaling s.
        target_modules, layers: see ``targets.find_targets``.
        scaling: "alpha/r" or "alpha/sqrt(r)".
        dropout: on the input of the low-rank branch, during training.
        init: how A starts; B starts at zero.
        train_head: whether the task head learns too. A new head must; keep it True unless
            the head has been trained before.
        train_update: False keeps A and B as they were drawn, and draws B like A, since with
            B = 0 there would be no update: the control that shows what learning them is worth.
        backward: "derived" (the closed form) or "autograd".

    Raises:
        ValueError: a number out of range, an unknown option.
    """

    rank: int = 8
    alpha: float = 16.0
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    layers: str | tuple[int, ...] = "all"
    scaling: Scaling = "alpha/r"
    dropout: float = 0.0
    init: Initialisation = "kaiming"
    train_head: bool = True
    train_update: bool = True
    backward: Backward = "derived"

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ValueError(f"rank is {self.rank!r}; it must be a whole number of at least 1.")
        check_lora_numbers(self.alpha, self.dropout, self.scaling, self.init)

    @property
    def scale(self) -> float:
        """s, what ``B A`` is multiplied by."""
        return scale(self.alpha, self.rank, self.scaling)


@dataclass(frozen=True)
class TwoSidedConfig:
    """Where ``U W V`` goes and in which shape; see ``layers.TwoSidedLinear``."""

    form: TwoSidedForm = "low-rank"
    rank: int = 8
    target_modules: str | tuple[str, ...] = ALL_LINEAR
    layers: str | tuple[int, ...] = "all"
    init: TwoSidedInitialisation = "identity"
    train_head: bool = True
    backward: Backward = "derived"


def apply_lora(model: nn.Module, config: LoraConfig) -> list[str]:
    """Wrap the chosen layers of ``model`` in ``LoRALinear``, in place, and freeze the rest.

    A is drawn from torch's global generator: call ``torch.manual_seed`` before, to repeat it.

    Returns:
        Full names of the adapted layers.

    Raises:
        TargetError: a target or layer that matches nothing (nothing is changed then).
        ValueError: the model has adapters already, or the rank exceeds a layer's size.
    """
    names = _adapt(
        model,
        config,
        lambda base: LoRALinear(
            base,
            config.rank,
            config.alpha,
            scaling=config.scaling,
            dropout=config.dropout,
            init=config.init,
            backward=config.backward,
        ),
    )
    if not config.train_update:
        for layer in adapted_layers(model).values():
            layer.draw_B()
            for parameter in layer.parameters(recurse=False):
                parameter.requires_grad_(False)
    return names


def apply_two_sided(model: nn.Module, config: TwoSidedConfig) -> list[str]:
    """Like ``apply_lora``, with ``TwoSidedLinear``."""
    return _adapt(
        model,
        config,
        lambda base: TwoSidedLinear(
            base, config.form, config.rank, init=config.init, backward=config.backward
        ),
    )


def _adapt(
    model: nn.Module,
    config: LoraConfig | TwoSidedConfig,
    wrap: Callable[[nn.Module], AdaptedLinear],
) -> list[str]:
    if adapted_layers(model):
        raise ValueError(
            "The model has adapters already; a second set would be stacked on the first. "
            "Call remove_adapters(model) or load the model anew."
        )
    names = find_targets(model, config.target_modules, config.layers)
    required = {name: p.requires_grad for name, p in model.named_parameters()}
    try:
        wrapped = {name: wrap(model.get_submodule(name)) for name in names}
    except Exception:  # out of memory, too
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(required[name])
        raise
    for name, layer in wrapped.items():
        layer.train(layer.base.training)  # a model in eval mode must not start to drop inputs
        replace_module(model, name, layer)
    freeze(model, train_head=config.train_head)
    return names


def freeze(model: nn.Module, *, train_head: bool = True) -> None:
    """Only adapters, and the head if asked for, keep ``requires_grad``."""
    model.requires_grad_(False)
    for layer in adapted_layers(model).values():
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(True)
    if train_head:
        for head in head_modules(model).values():
            head.requires_grad_(True)


def adapted_layers(model: nn.Module) -> dict[str, AdaptedLinear]:
    """The adapted layers by full name, in the model's order."""
    return {n: m for n, m in model.named_modules() if isinstance(m, AdaptedLinear)}


def merge(model: nn.Module) -> None:
    """Merge every adapter into its base weight: no extra work at inference.

    All or none: if one layer refuses, the others are put back.

    Raises:
        ValueError: non-finite adapter weights, with the layer's name.
    """
    done: list[AdaptedLinear] = []
    for name, layer in adapted_layers(model).items():
        was_merged = layer.merged
        try:
            layer.merge()
        except ValueError as error:
            for earlier in done:
                earlier.unmerge()
            raise ValueError(f"{name}: {error}") from None
        if not was_merged:
            done.append(layer)


def unmerge(model: nn.Module) -> None:
    """Restore every base weight, bit for bit."""
    for layer in adapted_layers(model).values():
        layer.unmerge()


@contextmanager
def disabled(model: nn.Module) -> Iterator[nn.Module]:
    """``with disabled(model):`` the adapted layers act as their frozen bases.

    The head is not touched: it stays as trained.
    """
    layers = list(adapted_layers(model).values())
    before = [layer.enabled for layer in layers]
    try:
        for layer in layers:
            layer.enabled = False
        yield model
    finally:
        for layer, enabled in zip(layers, before, strict=True):
            layer.enabled = enabled


def remove_adapters(model: nn.Module) -> None:
    """Put the base layers back. Merged adapters stay in the weights, others are dropped."""
    for name, layer in adapted_layers(model).items():
        replace_module(model, name, layer.base)


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Set the submodule ``name`` of ``model``."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)


def trainable_parameters(model: nn.Module) -> int:
    """Number of parameters with ``requires_grad``, head included."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
