"""The queue as everyone sees it: what is being trained, and who is next."""

from __future__ import annotations

import streamlit as st

from lora_lab.dashboard import folders, wording
from lora_lab.dashboard.language import t
from lora_lab.runs import Run

SHOWN = 30
EVERY = 4.0  # seconds between two looks


def place_before_start() -> str:
    """How long the queue is, for someone who is about to join it."""
    ahead = len(folders.waiting())
    return t("train.queue.ahead", ahead=ahead) if ahead else t("train.queue.empty")


@st.fragment(run_every=EVERY)
def show() -> None:
    """All runs under way, for as long as there are any."""
    training = [run for run in folders.recent_runs() if run.state == "running"]
    queue = folders.waiting()
    if not training and not queue:
        return
    title = t("train.queue.title", running=len(training), waiting=len(queue))
    with st.expander(title, icon=":material/format_list_numbered:", key="queue"):
        lines = [f"- {t('train.queue.running')} {_title(run)}" for run in training]
        places = enumerate(queue[:SHOWN], start=1)
        lines += [f"{place}. {_title(run)}" for place, run in places]
        st.markdown("\n".join(lines))
        if len(queue) > SHOWN:
            st.caption(t("train.queue.more", count=len(queue) - SHOWN))


def _title(run: Run) -> str:
    return wording.plain(wording.run_title(run))
