"""What is unusual about a run, in words: the settings that most runs leave as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lora_lab.adapt import LoraConfig
from lora_lab.dashboard.language import t
from lora_lab.runs import RunConfig


def _of(config: RunConfig) -> dict[str, Any]:
    """Named like the columns of ``results.table``."""
    lora = config.lora if config.method == "lora" else LoraConfig()
    return dict(
        pretrained=config.pretrained,
        frozen=not lora.train_update,
        scaling=lora.scaling,
        dropout=lora.dropout,
        decay=config.train.weight_decay,
        keep=config.train.keep,
        noise=config.data.noise,
        flipped=config.data.noise_share,
    )


_USUAL = _of(RunConfig())
COLUMNS = tuple(_USUAL)


def of_run(config: RunConfig) -> list[str]:
    """Of a run: a text for each setting that is not the usual one."""
    return list(_texts(_of(config)).values())


def of_row(row: Any) -> dict[str, str]:
    """The same for a row of a table of runs or settings, by column."""
    return _texts({name: getattr(row, name) for name in COLUMNS})


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """A method without adapters has an empty text or nothing where LoRA has a value."""
    texts = {}
    for name, usual in _USUAL.items():
        value = values[name]
        if value in (usual, "") or pd.isna(value) or value == "flipped":
            continue  # how many are flipped says that they are
        key = f"common.unusual.{name}" + f".{value}" * (name == "noise")
        texts[name] = t(key, value=f"{100 * value:g}" if name == "flipped" else value)
    return texts
