"""A run that has ended: what it bought, beside baselines and other runs; or why it stopped."""

from __future__ import annotations

from functools import partial
from statistics import fmean

import pandas as pd
import streamlit as st

from lora_lab import jobs
from lora_lab.checkpoints import StorageError
from lora_lab.dashboard import chart_style, export, folders, once, state, wording
from lora_lab.dashboard.compare import measured, words
from lora_lab.dashboard.language import t
from lora_lab.dashboard.train import charts, live
from lora_lab.evaluation import Evaluation
from lora_lab.results.table import runs_table
from lora_lab.runs import Run, RunError

OTHERS = 6  # other runs in the comparison
REASONS = ("STOPPED", "KILLED", "CRASHED", "LOST_WORKER", "LOST_SCHEDULER", "NO_SCHEDULER")


def show(run: Run) -> None:
    """A run that neither waits nor trains."""
    if run.state == "finished" and run.test:
        _finished(run)
    elif run.state == "finished":
        st.info(t("train.result.no_test"))
    elif run.state == "interrupted":
        _interrupted(run)
    else:
        st.error(t("train.result.failed", reason=_reason(run)))
        st.caption(t("train.result.log"))
        _go_on(run, t("train.result.again"))
    live.curves(run, to_take_away=True)


def _finished(run: Run) -> None:
    test, name = run.test, wording.method(run.config)
    with st.spinner(t("train.result.baselines")):
        baselines = folders.baselines(run, "test")
    others = folders.finished_runs()
    left, right = st.columns([2, 5])
    left.metric(
        t("train.result.accuracy"),
        wording.percent(test.accuracy),
        t("train.result.interval", interval=wording.interval(test.interval)),
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=t("train.result.counted", correct=f"{test.correct:,}", examples=f"{test.examples:,}"),
    )
    with right:
        for other, score in baselines.items():
            words = t(f"common.baseline.{other}_in_words")
            st.markdown(wording.comparison(name, test, words, score))
        _seeds(folders.other_seeds(run, others))
        st.caption(
            t(
                "train.result.facts",
                trainable=f"{run.result['trainable']:,}",
                duration=wording.took(run.result["seconds"]),
                examples=f"{run.result['train_examples']:,}",
                epoch=run.result["best_epoch"],
            )
        )
        if run.config.keeps_whole_model:
            st.caption(t("train.result.whole_model"))
        else:
            export.adapter(run)
    _comparison(run, folders.comparable(run, others)[:OTHERS], baselines)
    with st.expander(t("train.result.more")):
        _report(test, run.id)


def _seeds(runs: list[Run]) -> None:
    """What a difference is worth: the same settings with other seeds."""
    if len(runs) < 2:
        return
    reached = [run.test.accuracy for run in runs]
    st.markdown(
        t(
            "train.result.seeds",
            count=len(runs),
            mean=wording.percent(fmean(reached)),
            low=wording.percent(min(reached)),
            high=wording.percent(max(reached)),
        )
    )


def _comparison(run: Run, others: list[Run], baselines: dict[str, Evaluation]) -> None:
    mine, *titles = wording.titles([run, *others])
    mine = t("train.result.this_run", title=mine)
    scores = {mine: run.test}
    for other, title in zip(others, titles, strict=True):
        title += f" ({wording.started(other.id)})" * (title in scores)
        scores[title] = other.test
    scores |= {charts.baseline_name(name): score for name, score in baselines.items()}
    dark = st.context.theme.type == "dark"
    draw = partial(charts.comparison_chart, scores, mine, dark)
    once.chart(draw)
    export.figure(lambda: draw().properties(width=chart_style.WIDTH), f"accuracy-{run.id}")
    best = max(others, key=lambda other: other.test.accuracy, default=None)
    if best is not None:
        found = once.result(partial(_against, run, best), str(run.folder), str(best.folder))
        st.markdown(found.text)
        st.caption(" ".join(words.basis_texts([found])))


def _against(run: Run, other: Run) -> words.Verdict:
    """Sentence by sentence, as on Compare: it sees more than whether two intervals overlap."""
    runs = runs_table([run, other])
    names = {
        run.id: t("train.result.this"),
        other.id: t("train.result.best", title=wording.run_title(other)),
    }
    items = measured.items(runs, "runs")
    rows = {row.id: row for row in items.assign(title=items["id"].map(names)).itertuples()}
    return words.verdict(rows[run.id], rows[other.id], runs)


def _report(test: Evaluation, run_id: str) -> None:
    left, right = st.columns(2)
    head = {name: t(f"train.report.{name}") for name in ("precision", "recall", "f1", "sentences")}
    rows = {
        c.name: {
            head["precision"]: round(c.precision, 3),
            head["recall"]: round(c.recall, 3),
            head["f1"]: round(c.f1, 3),
            head["sentences"]: c.support,
        }
        for c in test.classes
    }
    classes = pd.DataFrame.from_dict(rows, orient="index").rename_axis(t("train.report.class"))
    with left:
        st.table(_as_text(classes))
        st.caption(t("train.report.macro", f1=f"{test.macro_f1:.3f}"))
        export.table(classes, f"classes-{run_id}")
    names = [c.name for c in test.classes]
    confusion = pd.DataFrame(
        test.confusion,
        index=[t("train.report.is", name=name) for name in names],
        columns=[t("train.report.called", name=name) for name in names],
    ).rename_axis(t("train.report.confusion"))
    with right:
        st.table(_as_text(confusion))
        st.caption(t("train.report.how"))
        export.table(confusion, f"confusion-{run_id}")


def _as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """For people. Names of classes come from their files, and Streamlit's tables obey Markdown."""
    frame = frame.map(lambda n: f"{n:.3f}" if isinstance(n, float) else f"{n:,}")
    return frame.rename(index=wording.plain, columns=wording.plain)


def _interrupted(run: Run) -> None:
    if run.reason == jobs.CANCELLED:
        st.info(t("train.result.cancelled"))
    else:
        st.warning(t("train.result.interrupted", reason=_reason(run)))
    _go_on(run, t("train.result.resume"))


def _go_on(run: Run, label: str) -> None:
    if st.button(label, key=f"resume.{run.id}"):
        try:
            jobs.resume(run, state.visitor())
        except (RunError, StorageError, OSError) as error:
            st.error(wording.plain(str(error)))
            return
        st.rerun()


def _reason(run: Run) -> str:
    """Why a run ended: what the queue says of it is known in every language."""
    known = {getattr(jobs, name): t(f"train.reason.{name}") for name in REASONS}
    return known.get(run.reason) or wording.plain(run.reason)
