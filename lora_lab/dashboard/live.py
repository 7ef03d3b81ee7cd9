"""A run under way: progress, time left, curves and the way to stop it. Reads files only."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from lora_lab import jobs
from lora_lab.checkpoints import StorageError
from lora_lab.dashboard import charts, folders, wording
from lora_lab.runs import Run, RunError

EVERY = 2.0  # seconds between two looks: each costs the training a little


@st.fragment(run_every=EVERY)
def watch(run_id: str) -> None:
    """Show a running run; when it has ended, draw the whole page anew."""
    run = folders.find(run_id)
    if run is None or run.state not in ("waiting", "running"):
        st.rerun()
    if run.state == "waiting":
        before = jobs.position(run) - 1
        runs = "another run" if before == 1 else f"{before} other runs"
        _bar(run, 0.0, f"Waiting for {runs}" if before > 0 else "Waiting: next in the queue")
        return
    start = _last(run.metrics, "start")
    if start is None:
        _waiting(run, "Loading the model and the sentences")
    else:
        _progress(run, start["steps"])
        curves(run)


def curves(run: Run) -> None:
    """Training loss and validation accuracy so far."""
    start = _last(run.metrics, "start")
    if start is None:
        return
    dark = st.context.theme.type == "dark"
    left, right = st.columns(2)
    left.altair_chart(charts.loss_chart(run.metrics, start["steps"], dark))
    left.caption("Thin line: single batches. Points: mean of each epoch.")
    if not _last(run.metrics, "epoch"):
        right.info("Validation accuracy appears after the first epoch.", icon=None)
        return
    baselines = folders.baselines(run, "validation")
    right.altair_chart(charts.accuracy_chart(run.metrics, start["steps"], baselines, dark))
    right.caption("Bars: 95% interval. Dashed: what an answer costs without training.")


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
        _waiting(run, "Scoring the test sentences", done=1.0)
        return
    epoch = 1 + sum(e["event"] == "epoch" for e in run.metrics)
    left = time_left(run.metrics)
    pace = "measuring the pace" if left is None else f"about {wording.duration(left)} left"
    text = f"Epoch {epoch} of {run.config.train.epochs}, step {done:,} of {steps:,}, {pace}"
    _bar(run, done / steps, text)


def _waiting(run: Run, what: str, done: float = 0.0) -> None:
    """A step of unknown length: the seconds that pass show that it is alive."""
    try:
        since = max(f.stat().st_mtime for f in run.folder.iterdir() if f.suffix == ".json")
        what += f", {max(0, time.time() - since):.0f} s"
    except (OSError, ValueError):
        pass
    _bar(run, done, what)


def _bar(run: Run, share: float, text: str) -> None:
    bar, button = st.columns([5, 1], vertical_alignment="center")
    bar.progress(min(1.0, share), text)
    if button.button("Cancel", key=f"cancel.{run.id}", width="stretch"):
        try:
            jobs.cancel(run)
        except (RunError, StorageError, OSError) as error:
            st.error(wording.plain(str(error)))
            return
        st.rerun()


def _last(events: list[dict[str, Any]], kind: str) -> dict[str, Any] | None:
    return next((e for e in reversed(events) if e["event"] == kind), None)
