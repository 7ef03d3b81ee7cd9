"""What a run is asked for: which data, which model, which method, how to train."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args

from datasets import DatasetDict

from lora_lab.adapt import LoraConfig, TwoSidedConfig
from lora_lab.choices import LabelNoise, Method
from lora_lab.data import EMBEDDED, check_noise, load_data, with_noise
from lora_lab.models import DEFAULT_MODEL
from lora_lab.training import TrainConfig

#: Peak learning rates that suit each method, chosen on validation. LoRA wants far more than full
#: fine-tuning, and a lone linear head far more again: at LoRA's rate it is still half trained
#: after three epochs, and would make LoRA look better than it is.
LEARNING_RATES: dict[str, float] = {"lora": 1e-3, "two-sided": 1e-3, "head": 5e-2, "full": 5e-5}


@dataclass(frozen=True)
class DataConfig:
    """What to load, see ``load_data``, and what to spoil, see ``data.with_noise``.

    Attributes:
        noise, noise_share: what is wrong with the labels of the training split.
        seed: draws the training examples if there are to be ``train_size``, and the noise.

    Raises:
        DataError: noise that there is not.
    """

    name: str = "movie-reviews"
    classes: int | None = None
    train_size: int | None = None
    text_column: str = "text"
    label_column: str = "label"
    noise: LabelNoise = "none"
    noise_share: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        check_noise(self.noise, self.noise_share)

    def load(self) -> DatasetDict:
        data = load_data(
            self.name,
            classes=self.classes,
            train_size=self.train_size,
            text_column=self.text_column,
            label_column=self.label_column,
            seed=self.seed,
        )
        data["train"] = with_noise(data["train"], self.noise, self.noise_share, self.seed)
        return data


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run's result.

    Attributes:
        pretrained: False draws every weight of the model at random: the control that shows what
            pre-training is worth.
        also_test: embedded data whose test sentences are scored as well, besides the run's own.

    Raises:
        ValueError: an unknown method, or data to score that is not embedded.
    """

    method: Method = "lora"
    model: str = DEFAULT_MODEL
    pretrained: bool = True
    data: DataConfig = field(default_factory=DataConfig)
    lora: LoraConfig = field(default_factory=LoraConfig)
    two_sided: TwoSidedConfig = field(default_factory=TwoSidedConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    also_test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if unknown := [name for name in self.also_test if name not in EMBEDDED]:
            raise ValueError(
                f"also_test names {', '.join(unknown)}; it can name {', '.join(EMBEDDED)}."
            )
        if self.method not in get_args(Method):
            raise ValueError(
                f"method is {self.method!r}; it must be one of {', '.join(get_args(Method))}."
            )

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> RunConfig:
        """The inverse of ``as_dict``, also after a trip through JSON.

        Raises:
            ValueError: settings that do not exist, or values out of range.
        """
        parts = {
            "data": DataConfig,
            "lora": LoraConfig,
            "two_sided": TwoSidedConfig,
            "train": TrainConfig,
        }
        built = {k: _build(parts[k], v) if k in parts else v for k, v in values.items()}
        return _build(cls, built)

    @property
    def keeps_whole_model(self) -> bool:
        """Whether its result is a whole model: there is no base that an adapter could go on."""
        return self.method == "full" or not self.pretrained


def with_learning_rate_for(method: Method, config: TrainConfig) -> TrainConfig:
    """The same training settings at the learning rate that suits the method."""
    return replace(config, learning_rate=LEARNING_RATES[method])


def _build(kind: type, values: Any) -> Any:
    if not isinstance(values, dict):
        raise ValueError(f"{kind.__name__} must be a JSON object, got {values!r}.")
    known = {f.name for f in fields(kind)}
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"{kind.__name__} has no setting {', '.join(unknown)}.")
    # JSON has no tuples; the frozen configurations have no lists.
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
