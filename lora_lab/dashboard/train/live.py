"""A run that waits or trains: its place, progress, time left, curves and the way to stop it."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import Any

import streamlit as st

from lora_lab import jobs
from lora_lab.checkpoints import StorageError
from lora_lab.dashboard import export, folders, once, wording
from lora_lab.dashboard.language import t
from lora_lab.dashboard.train import charts
from lora_lab.runs import Run, RunError

EVERY = 2.0  # seconds between two looks: each costs the training a little
STATES = ("waiting", "running")


@st.fragment(run_every=EVERY)
def watch(run_id: str, state: str) -> None:
    """Show a run under way; when it begins and when it has ended, draw the whole page anew."""
    run = folders.find(run_id)
    if run is None or run.state != state:
        st.rerun()
    start = _last(run.metrics, "start")
    if run.state == "waiting":
        _bar(run, 0.0, place(run))
    elif start is None:
        _since(run, "status.json", t("train.live.loading"))
    else:
        _progress(run, start["steps"])
        curves(run)


def place(run: Run) -> str:
    """Where a waiting run stands in the queue, in words."""
    queue = [other.id for other in folders.waiting()]
    ahead = queue.index(run.id) if run.id in queue else 0
    return t("train.live.next") if ahead == 0 else t("train.live.waiting", ahead=ahead)


def curves(run: Run, *, to_take_away: bool = False) -> None:
    """Training loss and validation accuracy so far."""
    start = _last(run.metrics, "start")
    if start is None:
        return
    steps, events = start["steps"], run.metrics
    dark = st.context.theme.type == "dark"
    known = str(run.folder), json.dumps(events[-1])
    left, right = st.columns(2)
    with left:
        loss = partial(charts.loss_chart, events, steps, dark)
        once.chart(loss, *known)
        st.caption(t("train.live.loss"))
        if to_take_away:
            export.figure(loss, f"loss-{run.id}")
    with right:
        if not _last(events, "epoch"):
            st.info(t("train.live.no_epoch_yet"), icon=None)
            return
        baselines = folders.baselines(run, "validation")
        accuracy = partial(charts.accuracy_chart, events, steps, baselines, dark)
        once.chart(accuracy, *known, *baselines)
        st.caption(t("train.live.accuracy"))
        if to_take_away:
            export.figure(accuracy, f"validation-{run.id}")


def time_left(events: list[dict[str, Any]]) -> float | None:
    """Seconds until the last step at the pace measured so far; None before there is a pace."""
    timed = [e for e in events if e["event"] in ("step", "epoch")]
    if not timed or timed[-1]["step"] - timed[0]["step"] < 1:
        return None
    first, last = timed[0], timed[-1]
    pace = (last["seconds"] - first["seconds"]) / (last["step"] - first["step"])
    return pace * (last["steps"] - last["step"])


def _progress(run: Run, steps: int) -> None:
    done = max((e["step"] for e in run.metrics), default=0)
    if done >= steps:
        _since(run, "metrics.jsonl", t("train.live.scoring"), done=1.0)
        return
    left, epochs = time_left(run.metrics), run.config.train.epochs
    text = t(
        "train.live.progress",
        epoch=1 + done * epochs // steps,
        epochs=epochs,
        step=f"{done:,}",
        steps=f"{steps:,}",
        left=t("train.live.no_pace_yet")
        if left is None
        else t("train.live.left", duration=wording.duration(left)),
    )
    _bar(run, done / steps, text)


def _since(run: Run, file: str, what: str, done: float = 0.0) -> None:
    """A step of unknown length: the seconds that pass show that it is alive.

    Args:
        file: the one that was written last before the step.
    """
    try:
        since = (run.folder / file).stat().st_mtime
    except OSError:
        since = time.time()
    seconds = f"{max(0, time.time() - since):.0f}"
    _bar(run, done, t("train.live.since", what=what, seconds=seconds))


def _bar(run: Run, share: float, text: str) -> None:
    bar, button = st.columns([5, 1], vertical_alignment="center")
    bar.progress(min(1.0, share), text)
    # A callback: it is heard also if the run changes its state in the moment of the click, when the
    # page is drawn anew before it comes to this button.
    button.button(
        t("train.live.cancel"),
        key=f"cancel.{run.id}",
        width="stretch",
        on_click=_cancel,
        args=(run,),
    )


def _cancel(run: Run) -> None:
    try:
        jobs.cancel(run)
    except (RunError, StorageError, OSError) as error:
        st.error(wording.plain(str(error)))


def _last(events: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    return next((e for e in reversed(events) if e["event"] == kind), None)
