"""What training has written into a run's updates: norms, singular values, directions, cuts."""

from __future__ import annotations

from functools import partial

import streamlit as st

from lora_lab.dashboard import (
    export,
    folders,
    form,
    language,
    once,
    run_choice,
    state,
    trained,
    wording,
)
from lora_lab.dashboard.inside import anatomy, charts, rescoring, similarity
from lora_lab.dashboard.kinds import Choice, Text
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet
from lora_lab.evaluation import Evaluation
from lora_lab.runs import Run

SHEET = Sheet(
    "inside",
    (
        Choice(name="measure", default="relative", options=anatomy.MEASURES, detail=True),
        Text(name="matrix", longest=200),
        Text(name="other", longest=200),
        Choice(name="space", default="A", options=similarity.SPACES, detail=True),
        rescoring.Cut(name="keep"),
        Choice(name="times", default=1.0, options=rescoring.TIMES, ladder=True),
    ),
)  # fmt: skip


def show() -> None:
    state.open_page(SHEET)
    st.title(t("inside.title"), anchor=False)
    runs = [run for run in folders.finished_runs() if _has_update(run)]
    run = run_choice.wanted(runs, t("inside.run.unsuitable"))
    if run is None:
        run_choice.invite(t("inside.empty"))
        return
    st.caption(t("inside.lead"))
    run_choice.choose(t("inside.run.label"), runs, run, state.look_at, key="inside.run")
    try:
        with st.spinner(t("inside.reading")):
            places = list(anatomy.updates(run))
            frame = anatomy.overview(run)
    except trained.PROBLEMS as error:
        st.error(t("inside.unreadable", reason=wording.plain(str(error))))
        return
    _summary(run, len(places))
    _layers(run, frame)
    place = _chosen_matrix(frame)
    _spectrum(run, place)
    sliders = st.container()  # filled last: a pass over the data must not hold up the rest
    similarity.show(SHEET, run, runs, place)
    with sliders:
        rescoring.show(run)


def _has_update(run: Run) -> bool:
    """A run that began with random weights is kept as a whole model, its update merged."""
    return run.config.method == "lora" and not run.config.keeps_whole_model


def _summary(run: Run, matrices: int) -> None:
    lora, validation = run.config.lora, Evaluation.from_dict(run.result["validation"])
    if not lora.train_update:
        st.info(t("inside.not_learnt"))
    st.markdown(
        t(
            "inside.summary",
            rank=lora.rank,
            alpha=wording.number(lora.alpha),
            rule=lora.scaling.replace("/", " / "),
            scale=wording.scale(lora.scale),
            matrices=matrices,
            accuracy=wording.percent(validation.accuracy),
            interval=wording.interval(validation.interval),
        )
    )


def _layers(run: Run, frame) -> None:
    st.header(t("inside.layers.title"), anchor=False)
    measure = state.values()["measure"]
    if not state.presenting():
        form.one(SHEET, "measure")
    if measure == "relative" and frame["relative"].isna().all():
        st.info(t("inside.layers.no_base"))
        measure = "norm"
    draw = partial(charts.by_layer, frame, measure, dark())
    once.chart(draw)
    st.caption(t(f"inside.layers.about.{measure}"))
    if not state.presenting():
        export.both(draw, frame, f"updates-{run.id}")


def _chosen_matrix(frame) -> str:
    """The matrix that the settings name; by default the one that changed most."""
    places = list(frame["place"])
    most = "norm" if frame["relative"].isna().all() else "relative"
    largest = frame.loc[frame[most].idxmax(), "place"]
    wanted = state.values()["matrix"]
    if wanted and wanted not in places:
        used = wording.plain(anatomy.spoken(largest))
        st.info(t("inside.matrix.missing", matrix=wording.quoted(wanted), used=used))
    place = wanted if wanted in places else largest
    st.header(t("inside.matrix.title"), anchor=False)
    key = "inside.matrix"
    st.session_state[key] = place
    st.selectbox(
        t("inside.matrix.label"),
        places,
        format_func=language.named(places, anatomy.spoken),
        key=key,
        help=t("inside.matrix.help"),
        disabled=state.is_fixed("matrix"),
        on_change=lambda: state.change("matrix", st.session_state[key]),
    )
    return place


def _spectrum(run: Run, place: str) -> None:
    update, base = anatomy.singular_values(run, place)
    if not update.any():
        st.info(t("inside.spectrum.zero"))
        return
    table = charts.spectrum_table(update, base)
    draw = partial(charts.spectrum, table, dark())
    once.chart(draw)
    beside = anatomy.compared(run, place)
    if beside:
        st.markdown(
            t(
                "inside.spectrum.relation",
                relative=wording.share(beside.relative),
                norm=f"{beside.norm:.2f}",
                along=f"{beside.base_along:.2f}",
                chance=f"{beside.by_chance:.2f}",
                times=f"{beside.amplification:.1f}",
            )
        )
    st.caption(t("inside.spectrum.about"))
    if not state.presenting():
        export.both(draw, table, f"singular-values-{place}-{run.id}")


def dark() -> bool:
    return st.context.theme.type == "dark"
