"""A run that has ended: what it bought, beside baselines and other runs; or why it stopped."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from lora_lab import jobs
from lora_lab.checkpoints import StorageError
from lora_lab.dashboard import charts, folders, live, state, wording
from lora_lab.evaluation import Evaluation
from lora_lab.runs import Run, RunError

OTHERS = 6  # other runs in the comparison
IN_WORDS = {"Majority class": "the majority class", "VADER rules": "VADER's rules"}


def show(run: Run) -> None:
    """A run in any state but "running"."""
    if run.state == "finished" and run.test:
        _finished(run)
    elif run.state == "finished":
        st.info("This run's data has no test split, so there is no test accuracy.")
    elif run.state == "interrupted":
        _interrupted(run)
    else:
        st.error(f"This run failed. {wording.plain(run.reason)}")
        st.caption("What it printed is in `log.txt` in its folder.")
        _go_on(run, "Try again")
    live.curves(run)


def _finished(run: Run) -> None:
    test, name = run.test, wording.method(run.config)
    with st.spinner("Scoring the baselines on the same sentences"):
        baselines = folders.baselines(run, "test")
    left, right = st.columns([2, 5])
    left.metric(
        "Test accuracy",
        wording.percent(test.accuracy),
        f"95%: {wording.interval(test.interval)}",
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=f"{test.correct:,} of {test.examples:,} sentences that the training never saw. "
        "The interval is Wilson's.",
    )
    with right:
        for other, score in baselines.items():
            st.markdown(wording.comparison(name, test, IN_WORDS[other], score))
        st.caption(
            f"{run.result['trainable']:,} trainable parameters, "
            f"{wording.duration(run.result['seconds'])} of training on "
            f"{run.result['train_examples']:,} sentences, best epoch {run.result['best_epoch']}."
        )
    _comparison(run, baselines)
    with st.expander("Precision, recall, F1 and confusion matrix"):
        _report(test)


def _comparison(run: Run, baselines: dict[str, Evaluation]) -> None:
    others = folders.comparable(run, folders.finished_runs())[:OTHERS]
    mine = f"This run: {wording.method(run.config)}"
    scores = {mine: run.test}
    for other in others:
        title = wording.in_two_lines(other)
        title += f" ({wording.started(other.id)})" * (title in scores)
        scores[title] = other.test
    dark = st.context.theme.type == "dark"
    st.altair_chart(charts.comparison_chart(scores | baselines, mine, dark))
    best = max(others, key=lambda other: other.test.accuracy, default=None)
    if best is not None:
        title = f"the best other run ({wording.plain(wording.run_title(best))})"
        st.markdown(wording.comparison("This run", run.test, title, best.test))


def _report(test: Evaluation) -> None:
    left, right = st.columns(2)
    rows = [
        {
            "class": c.name,
            "precision": f"{c.precision:.3f}",
            "recall": f"{c.recall:.3f}",
            "F1": f"{c.f1:.3f}",
            "sentences": f"{c.support:,}",
        }
        for c in test.classes
    ]
    left.table(pd.DataFrame(rows).set_index("class"))
    left.caption(f"Macro F1 {test.macro_f1:.3f}")
    names = [c.name for c in test.classes]
    matrix = pd.DataFrame(
        [[f"{n:,}" for n in row] for row in test.confusion],
        index=[f"is {name}" for name in names],
        columns=[f"called {name}" for name in names],
    )
    right.table(matrix)
    right.caption("Rows: what people said. Columns: what the model answered.")


def _interrupted(run: Run) -> None:
    if run.reason == jobs.CANCELLED:
        st.info("This run was cancelled before its end. It can go on where it stopped.")
    else:
        st.warning(f"This run stopped before its end: {wording.plain(run.reason)}.")
    _go_on(run, "Go on with this run")


def _go_on(run: Run, label: str) -> None:
    if st.button(label, key=f"resume.{run.id}"):
        try:
            jobs.resume(run, state.visitor())
        except (RunError, StorageError, OSError) as error:
            st.error(wording.plain(str(error)))
            return
        st.rerun()
