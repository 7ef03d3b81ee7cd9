"""lora-lab: understand LoRA by deriving it, checking it and running it.

    from lora_lab import LoraConfig, TrainConfig, apply_lora, load_data, load_model, train
"""

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
from lora_lab.layers import LoRALinear, TwoSidedLinear
from lora_lab.models import load_model
from lora_lab.prediction import evaluate, predict_probabilities
from lora_lab.training import TrainConfig, TrainingRun, train

__all__ = [
    "LoRALinear",
    "LoraConfig",
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
