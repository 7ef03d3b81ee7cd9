"""What each setting does while the others stay: the answer at the top of the compare page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from lora_lab.dashboard import once, unusual, wording
from lora_lab.dashboard.compare import measured
from lora_lab.dashboard.compare.words import points
from lora_lab.dashboard.language import t
from lora_lab.results.comparing import Difference, paired_difference
from lora_lab.results.table import right_answers

_NUMBERS = ("rank", "scale", "rate", "train")
_WORDS = ("layers", "targets")  # ordered by how many parameters they train
#: What makes a setting, but for alpha, which follows from rank and s.
_MAKE = (
    *("method", "model", "rank", "scale", "layers", "targets", "rate", "epochs", "data", "train"),
    *unusual.COLUMNS,
)


@dataclass(frozen=True)
class Contrast:
    """Two settings that differ in one ``quantity``, the smaller first; or two methods."""

    quantity: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Told:
    """A sentence for each setting that was varied, as Markdown, and what they rest on."""

    first: str
    others: list[str]
    about: str


def show(runs: pd.DataFrame, known_by: str) -> None:
    """A sentence for each setting that was varied, what moves accuracy most first; the others
    folded, so that the chart is still seen on a small screen.

    Args:
        known_by: the runs' ``fingerprint``.
    """
    told = once.result(partial(tell, runs), known_by)
    if told is None:
        return
    st.markdown(f"- {told.first}")
    count = len(told.others)
    label = t("compare.effect.others", count=count) if count else t("compare.effect.how")
    with st.expander(label):
        st.markdown("\n".join(f"- {sentence}" for sentence in told.others))
        st.caption(told.about)


def tell(runs: pd.DataFrame) -> Told | None:
    """None where no setting was varied alone."""
    items = measured.items(runs, "settings")
    pairs = [(one, _answers(one, runs)) for one in contrasts(items)]
    pairs = [pair for pair in pairs if all(right is not None for right in pair[1])]
    found = [(one, paired_difference(*right, comparisons=len(pairs))) for one, right in pairs]
    if not found:
        return None
    found.sort(key=lambda pair: (not pair[1].measurable, -abs(pair[1].value)))
    varied = measured.varying(items, *_NUMBERS, *_WORDS, *unusual.COLUMNS)
    if not measured.rates_vary(items):
        varied -= {"rate"}
    first, *others = (_sentence(*pair, varied) for pair in found)
    about = [t("compare.effect.about", count=len(found)), *_shared(items)]
    return Told(first, others, " ".join(about))


def contrasts(items: pd.DataFrame) -> list[Contrast]:
    """The smallest against the largest value of each quantity, all else equal: among the settings
    tried with most values, those that the validation set likes best. Then LoRA against each other
    method, each at its best."""
    steady = measured.steady(items)
    found = [pair for name in (*_NUMBERS, *_WORDS) if (pair := _extremes(steady, name))]
    return [*found, *_methods(steady)]


def _extremes(items: pd.DataFrame, quantity: str) -> Contrast | None:
    placed = items[items[quantity].notna() & (items[quantity] != "")]
    others = [name for name in _MAKE if name != quantity]
    groups = [group for _, group in placed.groupby(others, dropna=False, sort=False)]
    groups = [group for group in groups if group[quantity].nunique() > 1]
    if not groups:
        return None
    most = max(groups, key=lambda g: (g[quantity].nunique(), g["validation"].max()))
    order = quantity if quantity in _NUMBERS else "trainable"
    rows = list(most.sort_values(order, kind="stable").drop_duplicates(quantity).itertuples())
    return Contrast(quantity, rows[0], rows[-1])


def _methods(items: pd.DataFrame) -> Iterator[Contrast]:
    best = {row.method: row for row in measured.best_of_methods(items).itertuples()}
    for method, row in best.items():
        if method != "lora" and "lora" in best:
            yield Contrast("method", row, best["lora"])


def _answers(one: Contrast, runs: pd.DataFrame) -> list[Any]:
    """For the second setting, then the first: their difference is what the change brings."""
    members = (one.second.members, one.first.members)
    return [right_answers(runs[runs["id"].isin(names)]) for names in members]


def _sentence(one: Contrast, found: Difference, varied: set[str]) -> str:
    if one.quantity == "method":
        first, second = (row.title for row in (one.first, one.second))
        same = ""
    else:
        write = {"layers": wording.layers, "targets": wording.targets}
        write = write.get(one.quantity, wording.number)
        first, second = (write(getattr(row, one.quantity)) for row in (one.first, one.second))
        rest = measured.name(one.second, varied - {one.quantity})
        same = t("compare.effect.same", name=wording.plain(rest))
    return t(
        f"compare.effect.{'real' if found.measurable else 'none'}",
        quantity=t(f"compare.effect.{one.quantity}"),
        first=wording.plain(first),
        second=wording.plain(second),
        before=wording.percent(one.first.test),
        after=wording.percent(one.second.test),
        value=points(found.value),
        low=points(found.interval.low),
        high=points(found.interval.high),
        same=same,
    )


def _shared(items: pd.DataFrame) -> list[str]:
    """What all settings have in common, which their names therefore leave out."""
    texts = {
        "data": wording.data,
        "train": lambda size: t("common.title.sentences", count=size),
        "epochs": lambda count: t("compare.title.epochs", count=count),
        "scale": lambda scale: f"s = {wording.scale(scale)}",
    }
    values = {name: items[name].dropna().unique() for name in texts}
    facts = [texts[name](found[0]) for name, found in values.items() if len(found) == 1]
    listed = t("common.comma").join(map(wording.plain, facts))
    return [t("compare.effect.shared", facts=listed)] if facts else []
