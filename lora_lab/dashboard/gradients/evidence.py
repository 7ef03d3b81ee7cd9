"""What the referees found, drawn: verdicts, entries side by side, error over step size."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd
import streamlit as st
import torch

from lora_lab.dashboard import chart_style, export, once, state, wording
from lora_lab.dashboard.gradients import charts, hearing
from lora_lab.dashboard.gradients.hearing import DIFFERENCES, QUICK, SYMBOLIC, Case, Hearing
from lora_lab.dashboard.language import t
from lora_lab.derivations.referees import VALUE, WRONG, Finding

# The words stand beside the colours, which are told apart by everyone.
_MARKS = {"exact": ":blue[✓ {}]", "approximate": ":blue[≈ {}]", "wrong": ":red[**✗ {}**]"}


def verdicts(case: Case, heard: Hearing) -> None:
    """The outcome in a sentence, and each referee's verdict on each variable."""
    _sentence(case, heard)
    st.table(_table(heard), border="horizontal", hide_index=True)
    if not state.presenting():
        st.caption(t("gradients.table.caption"))


def export_findings(case: Case, heard: Hearing) -> None:
    if state.presenting():
        return
    fields = ("variable", "referee", "verdict", "largest_difference", "scale")
    rows = [{name: getattr(finding, name) for name in fields} for finding in heard.findings]
    export.table(pd.DataFrame(rows), f"gradients {case.derivation} {case.mistake}")


def entries(heard: Hearing, variable: str) -> None:
    """The closed form's entries beside those of each referee."""
    claim, looked = heard.trial.claims[variable], {}
    for referee, answers in heard.answers.items():
        looked[referee] = heard.trial.entries(referee, variable, answers[variable])
    off = torch.stack([found.off for found in looked.values()]).any(dim=0)
    panels = {"closed form": (claim, off)} | looked
    largest = max(float(values.abs().max()) for values, _ in panels.values())
    titles = {name: t(f"gradients.entries.{name}") for name in ("row", "column", "value")}
    frames = {name: charts.entries_frame(*panel) for name, panel in panels.items()}
    dark, letters = st.context.theme.type == "dark", chart_style.letters()
    row = st.container(horizontal=True, vertical_alignment="bottom")
    for name, frame in frames.items():
        referee = t(f"gradients.referee.{name}")
        with row.container(width=charts.entries_width(frame, letters)):
            st.markdown(f"**{referee}**")
            once.chart(
                partial(charts.entries_chart, frame, largest, titles, dark, letters),
                alt=t("gradients.entries.alt", referee=referee),
            )
    st.caption(t("gradients.entries.caption"))
    if state.presenting():
        return
    named = {t(f"gradients.referee.{name}"): frame for name, frame in frames.items()}
    table = pd.concat([frame.assign(by=name) for name, frame in frames.items()])
    # A file's ground is white, whatever the visitor's theme.
    picture = partial(charts.beside, named, largest, titles)
    export.both(picture, table, f"entries {heard.trial.derivation.key} {variable}")


def curve(heard: Hearing, variable: str) -> None:
    """The error of central differences over the step, and why it looks as it does."""
    errors = heard.trial.errors(variable, heard.answers[DIFFERENCES][variable])
    titles = {name: t(f"gradients.curve.{name}") for name in ("step", "error")}
    wrong = heard.finding(DIFFERENCES, variable).verdict == WRONG
    dark, letters = st.context.theme.type == "dark", chart_style.letters()
    draw = partial(charts.errors_chart, errors, titles, wrong=wrong)
    once.chart(
        partial(draw, dark=dark, letters=letters),
        alt=t("gradients.curve.heading"),
    )
    if wrong:
        text = t("gradients.curve.wrong", least=_difference(min(errors.errors)))
    elif hearing.is_loss(heard.trial.derivation):
        text = t("gradients.curve.loss", best=_difference(errors.best_step))
    else:
        text = t("gradients.curve.layer", best=_difference(errors.best_step))
    st.markdown(text)
    if not state.presenting():
        export.both(
            partial(draw, dark=False),
            charts.errors_frame(errors),
            f"step size {heard.trial.derivation.key} {variable}",
        )


def _sentence(case: Case, heard: Hearing) -> None:
    """What came of it, in words."""
    asked_all = SYMBOLIC in heard.answers
    if heard.objectors:
        names = _listed([t(f"gradients.in_words.{name}") for name in heard.objectors])
        variables = _listed([_name_of(v) for v in heard.wrong_variables])
        st.error(t("gradients.verdict.wrong", referees=names, variables=variables))
    elif case.planted:
        st.warning(t("gradients.verdict.hidden" if asked_all else "gradients.verdict.unseen"))
    else:
        st.success(t("gradients.verdict.right" if asked_all else "gradients.verdict.so_far"))
    if heard.objectors == (SYMBOLIC,):
        st.info(t("gradients.verdict.sympy_alone"))


def _table(heard: Hearing) -> pd.DataFrame:
    """A row per variable: each referee's verdict and largest difference, see the caption."""
    rows = []
    for name in dict.fromkeys(finding.variable for finding in heard.findings):
        found = {referee: heard.finding(referee, name) for referee in (*QUICK, SYMBOLIC)}
        cells = {
            t(f"gradients.referee.{r}"): _cell(f)
            if r in heard.answers
            else t("gradients.table.not_asked")
            for r, f in found.items()
        }
        rows.append({t("gradients.table.variable"): _name_of(name)} | cells)
    return pd.DataFrame(rows)


def _cell(finding: Finding | None) -> str:
    if finding is None:
        return "–"
    verdict = _MARKS[finding.verdict].format(t(f"gradients.verdict_name.{finding.verdict}"))
    # With less than two digits, both sides of the limit of "exact" would look the same.
    return f"{verdict} {_difference(finding.relative_difference, digits=2)}"


def _difference(number: float, digits: int = 1) -> str:
    if not math.isfinite(number):
        return "–"  # there was nothing to compare
    if number == 0 or number >= 0.01:
        return wording.number(float(f"{number:.2g}"))
    text = f"{number:.{digits - 1}e}".replace("e-0", "e-")
    return text.replace("-", "−")  # where a line may not break


def _name_of(variable: str) -> str:
    """Without a place to break a line: a word joiner follows the slash."""
    return t("gradients.table.value") if variable == VALUE else f"∂L/\u2060∂{variable}"


def _listed(names: list[str]) -> str:
    """a, b and c."""
    *first, last = names
    if not first:
        return last
    return t("gradients.list.comma").join(first) + t("gradients.list.and") + last
