"""Do two runs learn the same directions? The paper's figure 3 for any pair of runs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import get_args

import streamlit as st

from lora_lab.dashboard import export, form, once, run_choice, state, trained, wording
from lora_lab.dashboard.inside import anatomy, charts
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet
from lora_lab.derivations.low_rank import subspace_similarities
from lora_lab.inside.spectra import Space, Update
from lora_lab.runs import Run

SPACES: tuple[str, ...] = get_args(Space)
NEWEST = 10  # runs whose files are read to find one to compare with


def show(sheet: Sheet, run: Run, runs: Sequence[Run], place: str) -> None:
    """Subspaces of one matrix in ``run`` and in another run on the same base."""
    st.header(t("inside.similarity.title"), anchor=False)
    others = [o for o in runs if o.id != run.id and o.config.model == run.config.model]
    if not others:
        run_choice.invite(t("inside.similarity.alone"))
        return
    wanted = state.values()["other"]
    other = next((o for o in others if o.id == wanted), None) or _telling(run, place, others)
    if wanted not in ("", other.id):
        st.info(t("inside.similarity.unknown", run=wording.quoted(wanted)))
    run_choice.choose(
        t("inside.other.label"),
        others,
        other,
        lambda name: state.change("other", name),
        key="inside.other",
        fixed=state.is_fixed("other"),
    )
    if not state.presenting():
        form.one(sheet, "space")
    try:
        first, second = anatomy.updates(run), anatomy.updates(other)
    except trained.PROBLEMS as error:
        st.error(t("inside.unreadable", reason=wording.plain(str(error))))
        return
    shared = [name for name in first if name in second]
    if not shared:
        st.info(t("inside.similarity.nothing_shared"))
        return
    if place not in shared:
        strongest = max(shared, key=lambda name: first[name].norm)
        matrix, used = (wording.plain(anatomy.spoken(name)) for name in (place, strongest))
        st.info(t("inside.similarity.instead", matrix=matrix, used=used))
        place = strongest
    _grid(run, other, place, first[place], second[place])


def _telling(run: Run, place: str, others: Sequence[Run]) -> Run:
    """The run to compare with at first: it adapts this matrix too, and started elsewhere if any
    of the newest did."""
    seed = run.config.train.seed
    newest = sorted(others[:NEWEST], key=lambda other: other.config.train.seed == seed)
    for other in newest:
        with suppress(*trained.PROBLEMS):
            if place in anatomy.updates(other):
                return other
    return newest[0]


def _grid(run: Run, other: Run, place: str, first: Update, second: Update) -> None:
    space = state.values()["space"]
    bases = first.directions(space), second.directions(space)
    grid = subspace_similarities(*bases).numpy()
    table = charts.similarity_table(grid)
    draw = partial(
        charts.similarity,
        table,
        across=t("inside.similarity.across", rank=second.rank),
        down=t("inside.similarity.down", rank=first.rank),
    )
    left, right = st.columns(2)
    with left:
        once.chart(draw, width="content")
    size = len(bases[0])
    right.markdown(
        t(
            "inside.similarity.reading",
            matrix=wording.plain(anatomy.spoken(place)),
            first=f"{grid[0, 0]:.2f}",
            all=f"{grid[-1, -1]:.2f}",
            i=first.rank,
            j=second.rank,
            chance_one=f"{1 / size:.3f}",
            chance=f"{max(first.rank, second.rank) / size:.3f}",
            size=size,
        )
    )
    if space != "output" and run.config.train.seed == other.config.train.seed:
        right.info(t("inside.similarity.same_seed"))
    right.caption(t(f"inside.similarity.about.{space}"))
    if not state.presenting():
        export.both(draw, table, f"similarity-{place}-{run.id}-{other.id}")
