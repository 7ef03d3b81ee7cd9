"""Two sliders that need no training: cut the update to rank k, rescale alpha, score again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from lora_lab.dashboard import export, language, once, state, trained, wording
from lora_lab.dashboard.inside import anatomy, charts
from lora_lab.dashboard.kinds import ALL, Whole
from lora_lab.dashboard.language import t
from lora_lab.dashboard.trained import Score, Scores, SoFar
from lora_lab.evaluation import Evaluation
from lora_lab.inside.spectra import share_kept
from lora_lab.results.comparing import paired_difference
from lora_lab.runs import Run

EVERYTHING = 4096  # a rank that no run has: nothing is cut
TIMES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Cut(Whole):
    """How many directions are kept; all of them, unless someone says how many."""

    default: int = EVERYTHING
    low: int = 0
    high: int = EVERYTHING

    def write(self, value: int) -> str:
        return ALL if value == EVERYTHING else super().write(value)

    def read(self, text: str) -> int:
        return EVERYTHING if text == ALL else super().read(text)


@st.fragment
def show(run: Run) -> None:
    """Sliders and what the changed update scores; moving one redraws only this part."""
    st.header(t("inside.rescored.title"), anchor=False)
    st.markdown(t("inside.rescored.about"))
    rank, alpha = run.config.lora.rank, run.config.lora.alpha
    keep, times = min(state.values()["keep"], rank), state.values()["times"]
    left, right = st.columns(2)
    with left:
        # "All of them" is said as such, so that it holds for a run of another rank as well.
        _slider("keep", range(rank + 1), keep, str, lambda k: EVERYTHING if k == rank else k)
        kept = share_kept(anatomy.updates(run).values(), keep)
        st.caption(t("inside.rescored.kept", share=wording.percent(kept)))
    with right:
        _slider("times", TIMES, times, lambda factor: _alpha(factor, alpha))
        scale = wording.number(times * run.config.lora.scale)
        st.caption(t("inside.rescored.scale", scale=scale, rank=rank))
    scores = trained.scores(run)
    try:
        _result(run, scores, keep, times)
        _curve(run, scores, keep, times)
    except trained.PROBLEMS as error:
        st.error(t("inside.unreadable", reason=wording.plain(str(error))))
    trained.prepare(run)  # while the visitor reads


def _result(run: Run, scores: Scores, keep: int, times: float) -> None:
    as_trained = Evaluation.from_dict(run.result["validation"])
    left, right = st.columns([2, 3], vertical_alignment="center")
    number = left.empty()
    if (keep, times) == (scores.rank, 1.0):
        _metric(number, as_trained)
        right.markdown(t("inside.rescored.unchanged"))
        return
    with right:
        after = _scored(
            scores,
            keep,
            times,
            t("inside.rescored.scoring"),
            lambda part: _metric(number, part, of=as_trained.examples),
        )
        _metric(number, after.evaluation, as_trained)
        # The number stands there already while the answers to compare with are computed, once.
        before = _scored(scores, scores.rank, 1.0, t("inside.rescored.scoring_trained"))
        _compared(scores, before, after)
        if keep == 0 or times == 0:
            st.caption(t("inside.rescored.nothing_left"))


def _compared(scores: Scores, before: Score, after: Score) -> None:
    """Is the difference real? Both answered the same sentences."""
    change = paired_difference(after.answers == scores.labels, before.answers == scores.labels)
    verdict = "none"
    if change.measurable:
        verdict = "better" if change.value > 0 else "worse"
    st.markdown(t(f"inside.rescored.verdict.{verdict}"))
    if change.wins == change.losses == 0:
        st.markdown(t("inside.rescored.same"))
        return
    p = "< 0.001" if change.p_value < 0.001 else f"= {change.p_value:.3f}"
    st.markdown(t("inside.rescored.paired", gained=change.wins, lost=change.losses, p=p))
    if change.measurable and after.evaluation.interval.overlaps(before.evaluation.interval):
        st.caption(t("inside.rescored.sharper"))


def _metric(
    place: DeltaGenerator,
    score: Evaluation,
    before: Evaluation | None = None,
    of: int | None = None,
) -> None:
    """The number at its place; ``of`` so many sentences, where it rests on the first ones."""
    delta, arrow = None, "auto"
    if before is not None:
        points = round(100 * (score.accuracy - before.accuracy), 1)
        delta = t("inside.rescored.delta", points=f"{points:+.1f}" if points else "±0.0")
        arrow = "auto" if points else "off"
    box = place.container()
    box.metric(
        t("inside.rescored.accuracy"),
        wording.percent(score.accuracy),
        delta,
        delta_color="off",
        delta_arrow=arrow,
        border=True,
        help=t("inside.rescored.counted", correct=score.correct, examples=score.examples),
    )
    interval = t("inside.rescored.interval", interval=wording.interval(score.interval))
    if of is not None:
        so_far = t("inside.rescored.so_far", done=score.examples, examples=of)
        interval = t("common.then", first=so_far, second=interval)
    box.caption(interval)


def _scored(
    scores: Scores,
    rank: int,
    times: float,
    doing: str,
    so_far: SoFar = lambda part: None,
) -> Score:
    if scores.has(rank, times):
        return scores.at(rank, times)
    waits = t("inside.rescored.waiting") if trained.is_scoring() else ""
    # Streamlit says the seconds that have passed in English only.
    with st.spinner(
        t("common.then", first=doing, second=waits), show_time=language.current() == "en"
    ):
        return scores.at(rank, times, so_far)


def _curve(run: Run, scores: Scores, keep: int, times: float) -> None:
    """Accuracy over the rank kept, of all cuts that anyone has scored at this alpha."""
    ladder = _ladder(scores.rank)
    missing = [k for k in ladder if not scores.has(k, times)]
    box = st.empty()  # the button goes once its work is done
    if missing and box.button(_invitation(scores, len(missing)), key="inside.all"):
        bar = box.progress(0.0)
        for done, k in enumerate(missing):
            bar.progress(done / len(missing), t("inside.rescored.progress", rank=k))
            scores.at(k, times)
        box.empty()
    cuts = [k for k in range(scores.rank + 1) if scores.has(k, times)]
    if len(cuts) < 2 or not scores.has(scores.rank, 1.0):
        return
    rows = []
    for k in cuts:
        e = scores.at(k, times).evaluation
        bounds = dict(low=e.interval.low, high=e.interval.high)
        rows.append(dict(rank=k, times=times, accuracy=e.accuracy, **bounds, trained=scores.rank))
    frame = pd.DataFrame(rows)
    reference = scores.at(scores.rank, 1.0).evaluation.accuracy
    dark = st.context.theme.type == "dark"
    draw = partial(charts.of_cuts, frame, keep, reference, dark)
    once.chart(draw)
    st.caption(t("inside.rescored.curve"))
    if not state.presenting():
        export.both(draw, frame.drop(columns="trained"), f"cuts-{run.id}")


def _invitation(scores: Scores, missing: int) -> str:
    """What the button says; how long it takes, once a pass has shown that."""
    text = t("inside.rescored.all", count=missing)
    if scores.seconds is None:
        return text
    lasts = t("inside.rescored.lasts", duration=wording.duration(missing * scores.seconds))
    return t("common.then", first=text, second=lasts)


def _ladder(rank: int) -> list[int]:
    """Every cut of a small rank, doublings of a large one."""
    if rank <= 8:
        return list(range(rank + 1))
    return [0, *(2**i for i in range(rank.bit_length()) if 2**i < rank), rank]


def _slider(
    name: str,
    options: Sequence[Any],
    value: Any,
    shown: Callable[[Any], str],
    stored: Callable[[Any], Any] = lambda chosen: chosen,
) -> None:
    key = f"inside.{name}"
    st.session_state[key] = value
    st.select_slider(
        t(f"inside.{name}.label"),
        options,
        format_func=language.named(options, shown),
        key=key,
        help=t(f"inside.{name}.help"),
        disabled=state.is_fixed(name),
        on_change=lambda: state.change(name, stored(st.session_state[key])),
    )


def _alpha(factor: float, alpha: float) -> str:
    return t("inside.times.option", alpha=wording.number(factor * alpha), times=f"{factor:g}")
