"""lora-lab: understand LoRA by deriving it, checking it and running it.

    from lora_lab import LoraConfig, TrainConfig, apply_lora, load_data, load_model, train

Names are imported when they are first used: torch and transformers take seconds, and a command
that needs neither should not wait for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same list for editors and type checkers
    from lora_lab.adapt import (
        LoraConfig,
        TwoSidedConfig,
        apply_lora,
        apply_two_sided,
        disabled,
        freeze,
        merge,
        unmerge,
    )
    from lora_lab.adapter_files import load_adapted_model, load_adapter, save_adapter
    from lora_lab.baselines import evaluate_majority, evaluate_vader
    from lora_lab.data import load_data
    from lora_lab.inside.rescoring import Rescorer
    from lora_lab.layers import LoRALinear, TwoSidedLinear
    from lora_lab.models import load_model
    from lora_lab.prediction import evaluate, predict_probabilities
    from lora_lab.prefix_cache import PrefixCache
    from lora_lab.training import TrainConfig, TrainingRun, train

_HOME = {
    "LoRALinear": "layers",
    "LoraConfig": "adapt",
    "PrefixCache": "prefix_cache",
    "Rescorer": "inside.rescoring",
    "TrainConfig": "training",
    "TrainingRun": "training",
    "TwoSidedConfig": "adapt",
    "TwoSidedLinear": "layers",
    "apply_lora": "adapt",
    "apply_two_sided": "adapt",
    "disabled": "adapt",
    "evaluate": "prediction",
    "evaluate_majority": "baselines",
    "evaluate_vader": "baselines",
    "freeze": "adapt",
    "load_adapted_model": "adapter_files",
    "load_adapter": "adapter_files",
    "load_data": "data",
    "load_model": "models",
    "merge": "adapt",
    "predict_probabilities": "prediction",
    "save_adapter": "adapter_files",
    "train": "training",
    "unmerge": "adapt",
}

__all__ = [
    "LoRALinear",
    "LoraConfig",
    "PrefixCache",
    "Rescorer",
    "TrainConfig",
    "TrainingRun",
    "TwoSidedConfig",
    "TwoSidedLinear",
    "apply_lora",
    "apply_two_sided",
    "disabled",
    "evaluate",
    "evaluate_majority",
    "evaluate_vader",
    "freeze",
    "load_adapted_model",
    "load_adapter",
    "load_data",
    "load_model",
    "merge",
    "predict_probabilities",
    "save_adapter",
    "train",
    "unmerge",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lora_lab' has no attribute {name!r}")
    return getattr(import_module(f"lora_lab.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
