"""Choosing among finished runs, and the way to the first one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from lora_lab.dashboard import folders, language, state, wording
from lora_lab.dashboard.language import t
from lora_lab.runs import Run


def wanted(runs: Sequence[Run], unsuitable: str) -> Run | None:
    """The run that the address names, else the newest; None without any.

    Args:
        runs: those that the page can show, the newest first.
        unsuitable: what to say about a run that is there but not among them.
    """
    known = {run.id: run for run in runs}
    name = state.run_id()
    if name in known:
        return known[name]
    if name:
        there = folders.find(name)
        instead = t("run_choice.instead") if runs else ""
        if there is None:
            why = t("run_choice.unknown", run=wording.quoted(name))
            st.warning(t("common.then", first=why, second=instead))
        else:
            unfinished = t("run_choice.unfinished", run=wording.quoted(name))
            why = unsuitable if there.state == "finished" else unfinished
            st.info(t("common.then", first=why, second=instead))
    elif runs:
        state.look_at(runs[0].id)
    return runs[0] if runs else None


def choose(
    label: str,
    runs: Sequence[Run],
    chosen: Run | None,
    take: Callable[[str], None],
    *,
    key: str,
    fixed: bool = False,
) -> None:
    """A list of runs; ``take`` gets the name of the one that is picked."""
    known = {run.id: run for run in runs}
    key = f"{key}.{language.current()}"  # Streamlit knows an option by what it is called
    st.session_state[key] = chosen.id if chosen else None

    def taken() -> None:
        if st.session_state[key] in known:
            take(st.session_state[key])

    st.selectbox(
        label,
        list(known),
        format_func=language.named(known, lambda name: title(known[name])),
        key=key,
        placeholder=t("run_choice.placeholder"),
        disabled=fixed,
        on_change=taken,
    )


def title(run: Run) -> str:
    named = f"{wording.started(run.id)}  {wording.run_title(run)}"
    if run.test is None:
        return named
    return t("run_choice.scored", title=named, score=wording.percent(run.test.accuracy))


def invite(text: str) -> None:
    """What a page says that has no run to show, and the way to get one."""
    # Imported here: the list of pages imports every page.
    from lora_lab.dashboard.train import page as train_page

    with st.container(border=True):
        st.markdown(text)
        page = st.Page(train_page.show, url_path=train_page.SHEET.name, default=True)
        st.page_link(page, label=t("run_choice.train"), icon=":material/model_training:")
