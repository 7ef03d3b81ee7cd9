"""What the compare page shows: shipped rows and the visitor's own, filtered, chosen and named."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from lora_lab.dashboard import folders, unusual, wording
from lora_lab.dashboard.language import t
from lora_lab.presets import STORED
from lora_lab.results.stored_grid import GridError, read_grid
from lora_lab.results.table import epochs_table, pareto_front, runs_table, settings_table
from lora_lab.runs import Run

CLASSROOM = "classroom"
ORIGINS = SHIPPED, OWN = "shipped", "own"
_MARK = "shipped."  # before the ids of shipped rows: no visitor's run is taken for one
#: Columns that a visitor can narrow down, by the name of the filter.
FILTERS = {"methods": "method", "layers": "layers", "targets": "targets", "sizes": "train"}
METHODS_IN_ORDER = ("lora", "full", "head", "two-sided")


@dataclass(frozen=True)
class Rows:
    """Every run and its epochs; where the shipped ones come from, or why there are none."""

    runs: pd.DataFrame
    epochs: pd.DataFrame
    origin: dict[str, Any]
    problem: str = ""


def shipped(grid: str = CLASSROOM) -> Rows:
    """The runs of a grid that comes with the package, by the name of its preset."""
    return _shipped(str(STORED / grid))


def everything(grid: str = CLASSROOM) -> Rows:
    """Shipped runs first, then the visitor's own, newest first."""
    mine = folders.finished_runs()
    own, stored = _own(tuple(str(run.folder) for run in mine), mine), shipped(grid)
    runs = pd.concat([stored.runs, own.runs], ignore_index=True)
    epochs = pd.concat([stored.epochs, own.epochs], ignore_index=True)
    return Rows(runs, epochs, stored.origin, stored.problem)


def fingerprint(runs: pd.DataFrame) -> str:
    """What a table of runs is known by, where something made of it is kept (``once``)."""
    rows = pd.util.hash_pandas_object(runs, index=False).to_numpy()
    return hashlib.blake2b(rows.tobytes(), digest_size=16).hexdigest()


def whose(ids: pd.Series) -> pd.Series:
    """ "shipped" or "own", for ids of runs or of settings."""
    return ids.str.startswith(_MARK).map({True: SHIPPED, False: OWN})


def of_origin(origin: str, runs: pd.DataFrame) -> pd.DataFrame:
    """The runs of one of the ``ORIGINS``; anything else means all."""
    return runs[whose(runs["id"]) == origin] if origin in ORIGINS else runs


def test_sets(runs: pd.DataFrame) -> dict[str, str]:
    """Test sentences by their fingerprint and what they are called, most runs first.

    Runs of versions that did not note their test sentences are in none.
    """
    known = runs[runs["sentences"] != ""]
    order = known["sentences"].value_counts(sort=True).index
    firsts = known.drop_duplicates("sentences").set_index("sentences").loc[order]
    return {
        sentences: t("compare.test.named", data=wording.data(row.data), count=f"{row.examples:,}")
        for sentences, row in zip(firsts.index, firsts.itertuples(), strict=True)
    }


def narrowed(runs: pd.DataFrame, values: dict[str, Any]) -> pd.DataFrame:
    """The runs that pass every filter; an empty filter lets all through."""
    runs = of_origin(values["whose"], runs)
    keep = pd.Series(True, runs.index)
    for name, column in FILTERS.items():
        if values[name]:
            keep &= runs[column].astype(str).isin(values[name])
    return runs[keep]


def items(runs: pd.DataFrame, unit: str) -> pd.DataFrame:
    """What is compared: settings over their seeds, or single runs; ``title`` tells them apart."""
    if unit == "settings":
        found = settings_table(runs)
    else:
        members = [(name,) for name in runs["id"]]
        found = runs.drop(columns="right").assign(seeds=1, members=members).reset_index(drop=True)
    return found.assign(whose=whose(found["id"]), title=titles(found))


def resolved(chosen: Sequence[str], items: pd.DataFrame, runs: pd.DataFrame) -> list[str]:
    """The items that the ids mean, in the order chosen: a run also means its setting, and a
    setting its first run, so that a choice outlives a change of unit."""
    setting_of = dict(zip(runs["id"], runs["setting"], strict=True))
    first_of = {setting: run for run, setting in reversed(setting_of.items())}
    present = set(items["id"])
    meant = (next((i for i in (n, setting_of.get(n), first_of.get(n)) if i in present), None)
             for n in chosen)  # fmt: skip
    return list(dict.fromkeys(name for name in meant if name))


def suggested(items: pd.DataFrame, looked_at: Sequence[str]) -> list[str]:
    """Whom to compare as long as nothing is chosen: the run that is looked at, then the best item
    of each method by validation, of a single method the two best; the test is not for choosing. A
    lucky seed is not taken for a good setting where there are settings with several."""
    candidates = steady(items)
    best = best_of_methods(candidates)
    if len(best) == 1:
        best = candidates.nlargest(2, "validation")
    return list(dict.fromkeys([*looked_at, *best["id"]]))


def steady(items: pd.DataFrame) -> pd.DataFrame:
    """Those with several seeds, if there are any."""
    return items[items["seeds"] > 1] if (items["seeds"] > 1).any() else items


def best_of_methods(items: pd.DataFrame) -> pd.DataFrame:
    """The best of each method by validation, LoRA first."""
    best = items.sort_values("validation", ascending=False).drop_duplicates("method")
    return best.sort_values("method", key=lambda names: names.map(METHODS_IN_ORDER.index))


def front(items: pd.DataFrame, cost: str) -> pd.Series:
    """Which items are on the Pareto front. Seconds of different machines do not compare, so for
    these each origin has a front of its own."""
    if cost != "seconds":
        return pareto_front(items[cost], items["test"])
    parts = [pareto_front(part[cost], part["test"]) for _, part in items.groupby("whose")]
    return pd.concat(parts).loc[items.index] if parts else pd.Series(dtype=bool)


def titles(items: pd.DataFrame) -> list[str]:
    """Names as short as they can be: what all have in common is left out."""
    vary = {"rank", *varying(items, "targets", "layers", "data", "train", "epochs")}
    vary |= varying(items, *unusual.COLUMNS) | ({"seed"} & set(items.columns))
    vary |= set() if scale_follows_rank(items) else varying(items, "scale")
    if rates_vary(items):
        vary.add("rate")
    if whose(items["id"]).nunique() > 1:
        vary.add("whose")
    names = _names(items, vary)
    repeated = pd.Series(names, dtype="str").duplicated(keep=False)
    return [
        f"{name} ({wording.started(members[0].removeprefix(_MARK))})" if again else name
        for name, again, members in zip(names, repeated, items["members"], strict=True)
    ]


def series(items: pd.DataFrame, axis: str) -> list[str]:
    """Which points of a chart belong together: what its axis does not tell."""
    if axis == "alpha" and alpha_follows_rank(items):
        axis = "rank"
    rate = {"rate"} if rates_vary(items) else set()
    if axis in ("alpha", "scale"):
        return _names(items, {"rank"} | rate)
    vary = varying(items, "layers", "targets", "train", *unusual.COLUMNS) | rate
    vary |= set() if scale_follows_rank(items) else varying(items, "scale")
    vary |= {"rank"} if axis in ("layers", "rate") else set()
    return _names(items, vary - {axis})


def rates_vary(items: pd.DataFrame) -> bool:
    """Whether any method was tried at several learning rates: each has a usual one of its own."""
    return items.groupby("method")["rate"].nunique().gt(1).any()


def alpha_follows_rank(items: pd.DataFrame) -> bool:
    """Whether alpha / r is the same for all: then alpha changes with the rank and never alone."""
    return items["scale"].nunique() == 1 and items["rank"].nunique() > 1


def scale_follows_rank(items: pd.DataFrame) -> bool:
    """Whether alpha is the same for all: then s changes with the rank, by the rule, never alone."""
    return items["alpha"].nunique() == 1 and items["rank"].nunique() > 1


def varying(items: pd.DataFrame, *columns: str) -> set[str]:
    """The columns that have more than one value, not counting rows that have none."""
    return {c for c in columns if items[c].replace("", None).dropna().nunique() > 1}


def _names(items: pd.DataFrame, say: Collection[str]) -> list[str]:
    """What each row is called when this is said; s only where it is not the usual one."""
    usual = items["scale"].mode()
    scale = usual.iloc[0] if len(usual) else None
    return [name(row, say, scale) for row in items.itertuples()]


def name(row: Any, say: Collection[str], usual_scale: float | None = None) -> str:
    """What a row is called when this is said."""
    parts = [t(f"train.method.option.{row.method}")]
    if "rank" in say and pd.notna(row.rank):
        parts[0] += f" r={row.rank}"
    if "scale" in say and pd.notna(row.scale) and row.scale != usual_scale:
        parts.append(f"s={wording.scale(row.scale)}")
    if "targets" in say and row.targets:
        parts.append(wording.targets(row.targets))
    if "layers" in say and row.layers:
        parts.append(wording.layers(row.layers))
    if "data" in say:
        parts.append(wording.data(row.data))
    if "train" in say:
        parts.append(t("common.title.sentences", count=row.train))
    if "epochs" in say:
        one = row.epochs == 1
        parts.append(t("common.title.epoch" if one else "compare.title.epochs", count=row.epochs))
    if "rate" in say:
        parts.append(t("compare.title.rate", rate=wording.number(row.rate)))
    parts += [text for column, text in unusual.of_row(row).items() if column in say]
    if "seed" in say:
        parts.append(t("common.title.seed", seed=row.seed))
    if "whose" in say and not row.id.startswith(_MARK):
        parts.append(t("compare.title.own"))
    return t("common.comma").join(parts)


@st.cache_resource(show_spinner=False, max_entries=12)
def _shipped(folder: str) -> Rows:
    try:
        grid = read_grid(Path(folder))
    except GridError as error:
        return Rows(runs_table([]), epochs_table([]), {}, str(error))
    runs = grid.runs.assign(id=_MARK + grid.runs["id"], setting=_MARK + grid.runs["setting"])
    return Rows(runs, grid.epochs.assign(id=_MARK + grid.epochs["id"]), grid.origin)


@st.cache_resource(show_spinner=False, max_entries=8)
def _own(folders_of_runs: tuple[str, ...], _runs: list[Run]) -> Rows:
    """Finished runs do not change, so they are put into a table once."""
    return Rows(runs_table(_runs), epochs_table(_runs), {})
