"""Runs side by side: what a setting buys, and whether the difference is real."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from lora_lab.dashboard import export, form, once, state, wording
from lora_lab.dashboard.compare import advice, charts, curves, effects, filters, grids, measured
from lora_lab.dashboard.compare.measured import Rows
from lora_lab.dashboard.compare.table import show_table
from lora_lab.dashboard.compare.words import basis_texts, verdicts
from lora_lab.dashboard.kinds import Choice, Names, Text
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet

MOST_CHOSEN = len(charts.COLOURS)
MOST_NAMED = 8  # more names in a sentence are not read
SHEET = Sheet(
    "compare",
    (
        grids.SETTING,
        Choice(name="unit", default="settings", options=("settings", "runs")),
        Choice(name="whose", default="both", options=("both", *measured.ORIGINS)),
        Text(name="test", longest=16),
        Names(name="methods"),
        Names(name="layers"),
        Names(name="targets"),
        Names(name="sizes"),
        Choice(
            name="axis",
            default="rank",
            options=(*charts.STEPS, *charts.COSTS),
            by_lead=grids.AXES,
        ),
        Names(name="chosen", most=MOST_CHOSEN),
        *advice.SETTINGS,
    ),
    lead=grids.SETTING.name,
)


def show() -> None:
    state.open_page(SHEET)
    with st.sidebar:
        grids.choose(SHEET)
    grid = state.values()["grid"]
    rows = measured.everything(grid)
    st.title(t(f"compare.grid.option.{grid}"), anchor=False)
    if rows.problem:
        _no_grid(rows.problem, grid)
    if rows.runs.empty:
        st.info(t("compare.empty"))
        return
    with st.sidebar:
        kept = filters.show(SHEET, rows.runs)
    counts = measured.whose(kept["id"]).value_counts()
    shipped, own = (int(counts.get(origin, 0)) for origin in ("shipped", "own"))
    st.caption(t("compare.lead", shipped=shipped, own=own))
    mine = measured.of_origin(measured.OWN, rows.runs)
    if not own and (elsewhere := int((~mine["sentences"].isin(kept["sentences"])).sum())):
        st.caption(t("compare.own_elsewhere", count=elsewhere))
    if kept.empty:
        st.info(t("compare.nothing_left"))
        return
    unit, of_kept = state.values()["unit"], measured.fingerprint(kept)
    effects.show(kept, of_kept)
    items = once.result(partial(measured.items, kept, unit), of_kept, unit)
    chosen, is_suggestion = _chosen(items, kept)
    axis = state.values()["axis"]
    items = items.assign(series=measured.series(items, axis))
    colours = charts.colours_of(items["series"][charts.has_place(items, axis)])
    known_by = (of_kept, unit, *chosen)
    _accuracy(items, axis, colours, chosen, known_by)
    advice.show(SHEET)
    st.header(t("compare.verdict.heading"), anchor=False)
    _choose(items, chosen, is_suggestion)
    _verdicts(items, chosen, kept, known_by)
    _curves(items, chosen, rows, colours, (axis, *known_by))
    st.header(t("compare.table.heading"), anchor=False)
    show_table(items, chosen, _take_chosen)
    if rows.origin:
        _origin(rows.origin)


def _no_grid(problem: str, grid: str) -> None:
    st.warning(t("compare.no_grid", reason=wording.plain(problem)))
    st.code(f"lora-lab sweep --preset {grid} --export lora_lab/stored/{grid}", language="bash")


def _accuracy(
    items: pd.DataFrame,
    axis: str,
    colours: dict[str, str],
    chosen: list[str],
    known_by: tuple[str, ...],
) -> None:
    form.one(_with_axes(items, axis), "axis")
    front = measured.front(items, axis) if axis in charts.COSTS else None
    dark = st.context.theme.type == "dark"
    draw = partial(charts.accuracy_over, items, axis, colours, front, chosen, dark)
    once.chart(partial(draw, legend=False), axis, *known_by)
    placed = items[charts.has_place(items, axis)]
    st.html(charts.legend(colours))
    export.figure(partial(draw, legend=True), f"accuracy-over-{axis}")
    st.caption(" ".join(_notes(items, placed, axis, front)))


def _with_axes(items: pd.DataFrame, current: str) -> Sheet:
    """The sheet without the axes that few experiments vary, where this one does not."""
    varied = measured.varying(items, "train") | {current}
    varied |= {"rate"} if measured.rates_vary(items) else set()
    setting = SHEET["axis"]
    shown = [axis for axis in setting.options if axis not in ("rate", "train") or axis in varied]
    return Sheet(SHEET.name, (replace(setting, options=tuple(shown)),))


def _notes(
    items: pd.DataFrame, placed: pd.DataFrame, axis: str, front: pd.Series | None
) -> list[str]:
    """How to read the chart: only what can be seen in it."""
    notes, both = [], items["whose"].nunique() > 1
    if both:
        notes.append(t("compare.chart.marks"))
    if len(placed) < len(items):
        notes.append(t("compare.chart.across"))
    if front is not None:
        notes.append(t("compare.chart.front"))
        if axis == "seconds" and both:
            notes.append(t("compare.chart.seconds"))
        if front.sum() <= MOST_NAMED:
            members = items[front].sort_values(axis)["title"].map(wording.plain)
            notes.append(t("compare.chart.members", names=t("common.comma").join(members)))
    elif axis == "alpha" and measured.alpha_follows_rank(items):
        notes.append(t("compare.chart.alpha_follows"))
    elif placed[axis].nunique() == 1:
        notes.append(t("compare.chart.one_value", axis=t(f"compare.axis.option.{axis}")))
    return notes


def _chosen(items: pd.DataFrame, runs: pd.DataFrame) -> tuple[list[str], bool]:
    """The items in the address, else a suggestion; says which of the address are not here."""
    wanted = state.values()["chosen"]
    if wanted:
        found = measured.resolved(wanted, items, runs)
        known = {*runs["id"], *runs["setting"]}
        if missing := [name for name in wanted if name not in known]:
            names = t("common.comma").join(map(wording.quoted, missing))
            st.warning(t("compare.missing", names=names))
        if found:
            return found[:MOST_CHOSEN], False
    looked_at = measured.resolved([state.run_id()], items, runs)
    return measured.suggested(items, looked_at)[:MOST_CHOSEN], True


def _take_chosen(names: list[str]) -> None:
    state.change("chosen", tuple(names[:MOST_CHOSEN]))


def _choose(items: pd.DataFrame, chosen: list[str], is_suggestion: bool) -> None:
    titles = dict(zip(items["id"], items["title"], strict=True))
    key = "compare.chosen"
    st.session_state[key] = chosen
    st.multiselect(
        t("compare.chosen.label"),
        titles,
        format_func=titles.get,
        key=key,
        max_selections=MOST_CHOSEN,
        help=t("compare.chosen.help"),
        placeholder=t("compare.chosen.placeholder"),
        disabled=state.is_fixed("chosen"),
        on_change=lambda: _take_chosen(st.session_state[key]),
    )
    if is_suggestion:
        several = items["method"].nunique() > 1
        st.caption(t(f"compare.chosen.suggested.{'of_each' if several else 'two'}"))


def _verdicts(
    items: pd.DataFrame, chosen: list[str], runs: pd.DataFrame, known_by: tuple[str, ...]
) -> None:
    rows = {row.id: row for row in items.itertuples()}
    if len(chosen) < 2:
        st.info(t("compare.verdict.choose"))
        return
    first, *others = (rows[name] for name in chosen)
    found = once.result(partial(verdicts, first, others, runs), *known_by)
    st.markdown("\n".join(f"- {one.text}" for one in found))
    st.caption(" ".join(basis_texts(found)))


def _curves(
    items: pd.DataFrame,
    chosen: list[str],
    rows: Rows,
    above: dict[str, str],
    known_by: tuple[str, ...],
) -> None:
    """Args: ``above`` are the colours of the chart over these."""
    picked = items.set_index("id").loc[chosen]
    title_of = {run: row.title for row in picked.itertuples() for run in row.members}
    epochs = rows.epochs[rows.epochs["id"].isin(title_of)]
    seeds = rows.runs.set_index("id")["seed"]
    epochs = epochs.assign(title=epochs["id"].map(title_of), seed=epochs["id"].map(seeds))
    st.header(t("compare.curves.heading"), anchor=False)
    colours = charts.colours_below(picked, above)
    quantities = ("validation_accuracy", "training_loss")
    for column, quantity in zip(st.columns(2), quantities, strict=True):
        draw = partial(curves.curves, epochs, quantity, colours)
        with column:
            once.chart(partial(draw, legend=False), quantity, *known_by)
            export.figure(partial(draw, legend=True), f"curves-{quantity}")
    st.html(charts.legend(colours))
    about = "about_points" if curves.any_validated_once(epochs) else "about"
    st.caption(t(f"compare.curves.{about}"))


def _origin(origin: dict[str, Any]) -> None:
    data, made_with = origin["data"], origin["made_with"]
    with st.expander(t("compare.origin.heading")):
        st.markdown(
            t(
                "compare.origin.facts",
                runs=origin["runs"],
                seeds=_listed(origin["seeds"]),
                date=origin["date"],
                minutes=round(origin["seconds"] / 60),
                train=_listed(f"{size:,}" for size in data["train"]),
                data=_listed(map(wording.data, data["names"])),
                test=_listed(f"{size:,}" for size in _several(data["test"])),
                fingerprint=_listed(data["fingerprints"]),
            )
        )
        versions = _listed(
            f"{name} {' / '.join(map(str, _several(value)))}" for name, value in made_with.items()
        )
        st.markdown(t("compare.origin.made_with", versions=wording.plain(versions)))
        st.markdown(t("compare.origin.again"))
        st.code(origin["command"], language="bash", wrap_lines=True)


def _several(value: Any) -> list[Any]:
    """What is one value where all runs agree, and else a list of them."""
    return value if isinstance(value, list) else [value]


def _listed(values: Any) -> str:
    return t("common.comma").join(map(str, values))
