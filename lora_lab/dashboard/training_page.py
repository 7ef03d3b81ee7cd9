"""The first page: what a choice of settings costs, and, once trained, what it buys."""

from __future__ import annotations

from collections.abc import Collection

import streamlit as st

from lora_lab import jobs
from lora_lab.checkpoints import StorageError
from lora_lab.dashboard import (
    costs,
    folders,
    form,
    live,
    picture,
    results,
    settings,
    state,
    wording,
)
from lora_lab.dashboard.settings import Problem
from lora_lab.runs import Run, RunConfig, RunError


def show() -> None:
    problems = state.follow_address()
    with st.sidebar:
        form.show()
    if problems:
        st.warning("\n\n".join(map(_unusable, problems)))
    title, button = st.columns([4, 1], vertical_alignment="bottom")
    title.title("What LoRA costs, and what it buys", anchor=False)
    try:
        config = settings.run_config(state.values())
        cost = costs.cost_of(config)
    except ValueError as error:
        st.error(wording.plain(str(error)))
        return
    started = button.button("Start run", type="primary", width="stretch")
    if started:
        _start(config)
    st.html(costs.figures(cost, config.method))
    st.caption(costs.caption(cost))
    dark = st.context.theme.type == "dark"
    st.html(picture.network(config, cost.counted, settings.LAYERS, dark))
    st.caption(picture.caption(config))
    st.header("What it buys", anchor=False)
    _run()


def _start(config: RunConfig) -> None:
    try:
        run = jobs.submit(config, folders.runs_folder(), state.visitor())
    except jobs.LimitError as error:
        st.info(str(error))
        return
    except (RunError, StorageError, OSError) as error:
        st.error(f"The run could not be started. {wording.plain(str(error))}")
        return
    state.look_at(run.id)


def _run() -> None:
    """The run in the address, else the one under way, else what to do first."""
    wanted = state.run_id()
    run = folders.find(wanted)
    if wanted and run is None:
        st.warning(f"There is no run {wording.quoted(wanted)} here. It may have been deleted.")
    if run is None and (run := jobs.current(folders.runs_folder())):
        state.look_at(run.id)
    _choose(run)
    if run is None:
        return
    if run.state in ("waiting", "running"):
        live.watch(run.id)
    else:
        results.show(run)


def _choose(run: Run | None) -> None:
    earlier = {r.id: r for r in folders.finished_runs()}
    if run is not None:
        earlier = {run.id: run} | earlier
    if run is None:
        st.info(
            ("" if earlier else "No run yet. ") + "**Start run** trains on film reviews with the "
            "settings on the left; a thousand sentences take a few minutes at most on a laptop. "
            "You may close this page meanwhile."
        )
    if not earlier:
        return

    def label(run_id: str) -> str:
        score = earlier[run_id].test
        shown = wording.percent(score.accuracy) if score else earlier[run_id].state
        return f"{wording.started(run_id)}  {wording.run_title(earlier[run_id])}: {shown}"

    # Streamlit knows an option by its label. Where a label changes, a new widget must come.
    key = f"chosen run, {run.state if run else 'none'}"
    st.session_state[key] = run.id if run else None
    st.selectbox(
        "Run",
        sorted(earlier, reverse=True),
        format_func=label,
        key=key,
        placeholder="Show an earlier run",
        label_visibility="collapsed",
        on_change=lambda: _look_at(st.session_state[key], earlier),
    )


def _look_at(run_id: str | None, known: Collection[str]) -> None:
    if run_id in known:
        state.look_at(run_id)


def _unusable(problem: Problem) -> str:
    text = wording.quoted(problem.text)
    if problem.setting is None:
        return f"The address names a setting {wording.quoted(problem.name)}, which does not exist."
    used = problem.setting.write(state.values()[problem.name])
    return f"{problem.setting.label} cannot be {text} (from the address); {used} is used instead."
