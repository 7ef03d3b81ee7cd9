"""Train: what a choice of settings costs before the click, and what it bought after."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import streamlit as st

from lora_lab import jobs
from lora_lab.advice import pace
from lora_lab.budget.counting import Count
from lora_lab.checkpoints import StorageError
from lora_lab.dashboard import (
    code_tabs,
    drawing,
    export,
    folders,
    form,
    language,
    state,
    uploads,
    wording,
)
from lora_lab.dashboard.budget import counts
from lora_lab.dashboard.compare import measured
from lora_lab.dashboard.language import t
from lora_lab.dashboard.train import (
    costs,
    live,
    model_picture,
    queue_view,
    results,
    settings,
    upload_form,
)
from lora_lab.runs import Run, RunConfig, RunError

SHEET = settings.SHEET


def show() -> None:
    state.open_page(SHEET)
    with st.sidebar:
        form.show(SHEET, below={"data": upload_form.show})
    st.title(t("train.title"), anchor=False)
    values = state.values()
    try:
        configs = [_fitting(config) for config in settings.run_configs(values)]
        classes = _classes(values["data"])
        cost = costs.cost_of(configs[0], classes)
    except ValueError as error:
        st.error(wording.plain(str(error)))
        return
    if _bar(configs):
        _start(configs)
    st.html(costs.figures(cost, configs[0].method))
    st.caption(costs.caption(cost))
    _picture(configs[0], cost.counted)
    if configs[0].method == "lora" and classes == 2 and not state.presenting():
        _code(configs[0])  # its head, like most, tells two classes apart
    st.header(t("train.bought"), anchor=False)
    _run()


def _picture(config: RunConfig, counted: Count) -> None:
    what = (config, counted, settings.LAYERS)
    drawn = model_picture.svg(*what, dark=st.context.theme.type == "dark")
    st.html(drawing.image(drawn, model_picture.description(*what)))
    st.caption(model_picture.caption(config))
    if not state.presenting():
        export.figure(model_picture.svg(*what, dark=False, ground="white"), "adapted-matrices")


def _fitting(config: RunConfig) -> RunConfig:
    """All sentences, where more are asked for than the data has."""
    there = folders.examples(config.data.name)
    if config.data.train_size and there and config.data.train_size >= there["train"]:
        return replace(config, data=replace(config.data, train_size=None))
    return config


def _classes(source: str) -> int:
    return len(uploads.facts(source)["classes"]) if uploads.known(source) else 2


def _bar(configs: list[RunConfig]) -> bool:
    """Scale, expected time and place in the queue, always on screen; whether to start."""
    first, several = configs[0], len(configs)
    with st.container(key="scale", horizontal=True, vertical_alignment="center"):
        with st.container(gap=None):
            st.markdown(_scale(first))
            before = queue_view.place_before_start()
            st.caption(t("common.then", first=_expected(configs), second=before))
        label = t("train.start.one") if several == 1 else t("train.start.many", count=several)
        return st.button(label, key="start", type="primary", width="content")


def _scale(config: RunConfig) -> str:
    if config.method != "lora":
        return t("train.scale.none", method=wording.method(config))
    lora = config.lora
    return t(
        "train.scale.is",
        alpha=wording.number(lora.alpha),
        rank=lora.rank,
        scale=wording.number(lora.scale),
    )


def _expected(configs: list[RunConfig]) -> str:
    examples = folders.examples(configs[0].data.name)
    expected = pace.foresee(configs[0], examples, folders.finished_here(), _shipped_rates())
    if expected is None:
        return t("train.expected.unknown")
    key = "train.expected.alike" if expected.alike else "train.expected.method"
    if not expected.here:
        key = "train.expected.scaled" if expected.judges_here else "train.expected.elsewhere"
    seconds = expected.seconds * len(configs)
    return t(key, duration=wording.duration(seconds), count=expected.runs)


@st.cache_resource(show_spinner=False)
def _shipped_rates() -> pace.Rates:
    return pace.Rates.of(measured.shipped().runs)


def _code(config: RunConfig) -> None:
    with st.expander(t("common.code.title"), icon=":material/code:"):
        drawn = counts.blueprint(config.model, "")
        code_tabs.show(drawn, config.model, config.lora, head=True)


def _start(configs: list[RunConfig]) -> None:
    """Hand in all of them, and look at the first."""
    runs: list[Run] = []
    for config in configs:
        try:
            runs.append(jobs.submit(config, folders.runs_folder(), state.visitor()))
        except jobs.LimitError:
            st.info(t("train.start.limit", started=len(runs), count=len(configs)))
            break
        except (RunError, StorageError, OSError) as error:
            st.error(t("train.start.failed", reason=wording.plain(str(error))))
            break
    if runs:
        state.look_at(runs[0].id)


def _run() -> None:
    """The run in the address, else what to do first; and the way to the others."""
    wanted = state.run_id()
    run = folders.find(wanted)
    if wanted and run is None:
        st.warning(t("train.no_such_run", name=wording.quoted(wanted)))
    recent = folders.recent_runs()
    if any(other.state in live.STATES for other in recent):
        queue_view.show()
    if run is None:
        st.info(t("train.empty.some" if recent else "train.empty.none"))
    _choose(run, recent)
    if run is None:
        return
    if run.state in live.STATES:
        live.watch(run.id, run.state)
    else:
        results.show(run)


def _choose(run: Run | None, recent: list[Run]) -> None:
    known = {r.id: r for r in recent}
    if run is not None:
        known = {run.id: run} | known
    if not known:
        return

    def label(run_id: str) -> str:
        score = known[run_id].test
        state_of = t(f"train.state.{known[run_id].state}")
        shown = wording.percent(score.accuracy) if score else state_of
        return f"{wording.started(run_id)}  {shown}  {wording.run_title(known[run_id])}"

    # A browser knows an option by its text. Where that changes, a new widget must come.
    key = language.key(f"chosen run, {run.state if run else 'none'}")
    state.bind(key, run.id if run else None)
    st.selectbox(
        t("train.choose.label"),
        sorted(known, reverse=True),
        format_func=language.named(known, label),
        key=key,
        placeholder=t("train.choose.placeholder"),
        label_visibility="collapsed",
        on_change=lambda: _look_at(st.session_state[key], known),
    )


def _look_at(run_id: str | None, known: Collection[str]) -> None:
    if run_id in known:
        state.look_at(run_id)
