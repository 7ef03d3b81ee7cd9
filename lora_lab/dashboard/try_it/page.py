"""Type sentences: who answers what, which words mattered, and where a run is wrong."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from lora_lab.dashboard import export, folders, form, run_choice, state, trained, wording
from lora_lab.dashboard.kinds import Text, Whole
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet
from lora_lab.dashboard.try_it import answers, views
from lora_lab.hard_cases import least_certain, most_wrong
from lora_lab.runs import Run

EXAMPLES = (
    "A film that trusts its audience.\n"
    "Not bad at all.\n"
    "The actors try hard, but nothing saves this plot."
)
SHOWN = 10  # hard sentences of each kind

SHEET = Sheet(
    "try_it",
    (
        Text(name="text", default=EXAMPLES, longest=1500, lines=5),
        Text(name="head", longest=200),
        Whole(name="line", default=1, low=1, high=answers.MOST_SENTENCES),
    ),
)


def show() -> None:
    state.open_page(SHEET)
    st.html(views.CSS)
    st.title(t("try_it.title"), anchor=False)
    runs = folders.finished_runs()
    run, head = run_choice.wanted(runs, t("try_it.run.unsuitable")), None
    if run is None:
        run_choice.invite(t("try_it.empty"))
    else:
        head = _chosen(run, runs)
    form.one(SHEET, "text")
    texts, shortened = answers.sentences(state.values()["text"])
    limits = dict(sentences=answers.MOST_SENTENCES, letters=answers.MOST_LETTERS)
    with st.container(horizontal=True, vertical_alignment="center"):
        # Leaving the box is what hands over the text; a button says so.
        st.button(t("try_it.ask"), key="try_it.ask", disabled=state.is_fixed("text"))
        st.caption(t("try_it.limits", **limits), width="content")
    if shortened:
        st.info(t("try_it.shortened"))
    try:
        if texts:
            _answers(texts, run, head)
        else:
            st.info(t("try_it.nothing_typed"))
        if texts and run:
            _words(texts, run, head)
        if run:
            _hard(run)
    except trained.PROBLEMS as error:
        st.error(t("try_it.unreadable", reason=wording.plain(str(error))))


def _chosen(run: Run, runs: Sequence[Run]) -> Run | None:
    """Choices of the run and of a head-only run beside it, where there is one; returns the latter.

    It is the one that the settings name, else the newest.
    """
    found = answers.head_only_runs(run, runs) if run.config.method != "head" else []
    wanted = state.values()["head"]
    head = next((r for r in found if r.id == wanted), found[0] if found else None)
    if wanted and (head is None or head.id != wanted):
        st.info(t("try_it.head.missing", run=wording.quoted(wanted)))
    both = bool(found) and not state.presenting()
    left, right = st.columns(2) if both else (st.container(), None)
    with left:
        run_choice.choose(t("try_it.run.label"), runs, run, state.look_at, key="try_it.run")
    if right:
        with right:
            run_choice.choose(
                t("try_it.head.label"),
                found,
                head,
                lambda name: state.change("head", name),
                key="try_it.head",
                fixed=state.is_fixed("head"),
            )
    return head


def _answers(texts: list[str], run: Run | None, head: Run | None) -> None:
    with st.spinner(t("try_it.asking")):
        columns = answers.side_by_side(texts, run, head)
    titles = {way: t(f"try_it.way.{way}") for way in ("base", "vader", "head")}
    st.html(views.side_by_side(texts, columns, titles | {"run": _title(run)}))
    about = t("common.then", first=t("try_it.about.base"), second=t("try_it.about.vader"))
    if run and run.config.method != "head" and head is None:
        about = t("common.then", first=about, second=t("try_it.about.no_head"))
    st.caption(about)
    if not state.presenting():
        export.table(answers.table(texts, columns), "answers")


def _words(texts: list[str], run: Run, head: Run | None) -> None:
    st.header(t("try_it.words.title"), anchor=False)
    row = min(state.values()["line"], len(texts)) - 1
    if len(texts) > 1:
        key = "try_it.line"
        st.session_state[key] = row
        st.selectbox(
            t("try_it.line.label"),
            range(len(texts)),
            format_func=lambda number: texts[number],
            key=key,
            disabled=state.is_fixed("line"),
            on_change=lambda: state.change("line", 1 + st.session_state[key]),
        )
    ways = [(_title(run), run)] + ([(t("try_it.way.head"), head)] if head else [])
    rows = []
    st.html(views.legend())
    for title, trained_run in ways:
        with st.spinner(t("try_it.asking")):
            found = answers.words(*trained.identity(trained_run), texts[row])
        names = answers.classes(trained_run)
        st.html(views.words(found, title, names))
        rows += [
            {"run": trained_run.id, "answer": names[found.answer], "word": word.text,
             "effect": round(word.effect, 4)}
            for word in found.words
        ]  # fmt: skip
    st.caption(t("try_it.words.about"))
    if not state.presenting():
        export.table(pd.DataFrame(rows), "words")


@st.fragment
def _hard(run: Run) -> None:
    """The test sentences to learn from; a pass over all of them only for those who ask."""
    st.header(t("try_it.hard.title"), anchor=False)
    examples = run.test.examples
    if not trained.is_scored(run):
        box = st.empty()  # the invitation goes once it was accepted
        with box.container():
            st.markdown(t("try_it.hard.invite", examples=examples))
            if not st.button(t("try_it.hard.button"), key="try_it.hard"):
                return
        box.empty()
    try:
        with st.spinner(t("try_it.hard.scoring", examples=examples)):
            test, probabilities = trained.test_probabilities(run)
    except trained.PROBLEMS as error:
        st.error(t("try_it.unreadable", reason=wording.plain(str(error))))
        return
    names = answers.classes(run)
    for kind, rows in (
        ("wrong", most_wrong(probabilities, test["label"], SHOWN)),
        ("uncertain", least_certain(probabilities, SHOWN)),
    ):
        st.subheader(t(f"try_it.hard.{kind}"), anchor=False)
        if len(rows) == 0:
            st.info(t("try_it.hard.none"))
            continue
        chosen = [test[int(row)] for row in rows]
        st.html(views.hard_sentences(chosen, probabilities[rows], names))
        if not state.presenting():
            export.table(_spreadsheet(chosen, probabilities[rows], names), f"{kind}-{run.id}")
    st.caption(t("try_it.hard.about"))


def _spreadsheet(rows: list[dict], probabilities, names: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame["label"] = [names[label] for label in frame["label"]]
    for index, name in enumerate(names):
        frame[f"P({name})"] = probabilities[:, index].astype(float).round(4)
    return frame


def _title(run: Run | None) -> str:
    """What the run trained, in two or three words."""
    return wording.method(run.config) if run else ""
