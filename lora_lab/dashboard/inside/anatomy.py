"""A run's updates as the page shows them: read once, compared with the base once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
import torch
from torch import Tensor

from lora_lab.dashboard import trained
from lora_lab.dashboard.language import t
from lora_lab.inside.spectra import Relation, Update, base_weights, read_updates, relation
from lora_lab.models import ModelError
from lora_lab.runs import Run
from lora_lab.targets import SHORT_NAMES, layer_number, short_name

USUAL = list(dict.fromkeys(short for names in SHORT_NAMES.values() for short in names))
MEASURES = ("relative", "norm", "effective")


def updates(run: Run) -> dict[str, Update]:
    """By place, such as "5.v": layer and short name, in the order of the layers.

    Raises:
        AdapterError: the run's adapter cannot be read.
    """
    return _updates(*trained.identity(run))


def overview(run: Run) -> pd.DataFrame:
    """One row per adapted matrix; without the base weights ``relative`` is missing."""
    rows = []
    for place, update in updates(run).items():
        layer = layer_number(update.name)
        beside = compared(run, place)
        rows.append(
            {
                "place": place,
                "layer": "–" if layer is None else layer,
                "matrix": short_name(update.name),
                "norm": update.norm,
                "effective": update.effective_rank,
                "relative": beside.relative if beside else np.nan,
            }
        )
    return pd.DataFrame(rows)


def compared(run: Run, place: str) -> Relation | None:
    """An update beside its base weight; None where the base model is not at hand."""
    return _compared(*trained.identity(run), run.config.model, place)


def singular_values(run: Run, place: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Of an update, and as many of its base weight: None where that is not at hand."""
    update = updates(run)[place]
    base = _base_singular_values(run.config.model, update.name)
    return update.svd.S.numpy(), None if base is None else base[: update.rank]


def spoken(place: str) -> str:
    """ "5.v" in words; a place that is a module's whole name stays as it is."""
    layer, _, matrix = place.partition(".")
    return t("inside.matrix.option", layer=layer, matrix=matrix) if layer.isdigit() else place


@st.cache_resource(show_spinner=False, max_entries=12)
def _updates(folder: str, written: float) -> dict[str, Update]:
    found = read_updates(Path(folder) / "adapter")
    places = {name: f"{layer_number(name)}.{short_name(name)}" for name in found}
    times = Counter(places.values())
    return {
        place if times[place] == 1 else name: found[name]
        for name, place in sorted(places.items(), key=lambda pair: _order(pair[0]))
    }


def _order(name: str) -> tuple[int, int]:
    """By layers, and in each the order that papers use: q, k, v, then the others."""
    layer, matrix = layer_number(name), short_name(name)
    usual = USUAL.index(matrix) if matrix in USUAL else len(USUAL)
    return (-1 if layer is None else layer, usual)


@st.cache_resource(show_spinner=False, max_entries=1)
def _weights(model: str) -> dict[str, Tensor] | None:
    try:
        return base_weights(trained.base(model))
    except (ModelError, OSError):
        return None


@st.cache_data(show_spinner=False, max_entries=5000)
def _compared(folder: str, written: float, model: str, place: str) -> Relation | None:
    update, weights = _updates(folder, written)[place], _weights(model)
    return relation(update, weights[update.name]) if weights else None


@st.cache_data(show_spinner=False, max_entries=500)
def _base_singular_values(model: str, name: str) -> np.ndarray | None:
    weights = _weights(model)
    return torch.linalg.svdvals(weights[name]).numpy() if weights else None
