"""Is a gradient right? A closed form before three referees, with mistakes to plant in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from lora_lab.dashboard import form, language, state
from lora_lab.dashboard.gradients import evidence, hearing
from lora_lab.dashboard.gradients.hearing import (
    LAYERS,
    NONE,
    QUICK,
    RANKED,
    SOFTMAX,
    SYMBOLIC,
    Case,
    Hearing,
)
from lora_lab.dashboard.kinds import Choice, Whole
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Sheet
from lora_lab.derivations.catalogue import ALPHA, CATALOGUE, Derivation, find
from lora_lab.derivations.mistakes import MISTAKES, find_mistake

_SIZE = dict(group="shape", low=1, high=6)
_POINT = (
    Choice(
        name="derivation",
        group="formula",
        default="lora",
        options=tuple(d.key for d in CATALOGUE),
        many=True,
    ),
    Whole(name="examples", default=4, **_SIZE),
    Whole(name="inputs", default=5, methods=LAYERS, **_SIZE),
    Whole(name="outputs", default=3, methods=LAYERS, **_SIZE),
    Whole(name="rank", default=2, methods=RANKED, **_SIZE | dict(high=4)),
    Whole(name="classes", default=3, methods=SOFTMAX, **_SIZE | dict(low=2)),
    Whole(name="seed", group="shape", default=0, low=0, high=9999, detail=True),
)
_MISTAKE = Choice(
    name="mistake", default=NONE, options=(NONE, *(mistake.name for mistake in MISTAKES))
)
_VARIABLE = Choice(
    name="variable",
    default="A",
    options=tuple(dict.fromkeys(v for d in CATALOGUE for v in d.variables)),
)
SHEET = Sheet("gradients", (*_POINT, _MISTAKE, _VARIABLE), lead="derivation")
_IN_SIDEBAR = Sheet("gradients", _POINT, lead="derivation")

_ASKED = "gradients.asked"  # the cases for which this visitor asked SymPy


def show() -> None:
    state.open_page(SHEET)
    with st.sidebar:
        form.show(_IN_SIDEBAR)
    st.title(t("gradients.title"), anchor=False)
    if not state.presenting():
        st.markdown(t("gradients.lead"))
    case = Case.of(state.values())
    _formula(case)
    _choose_mistake(case)
    heard = _hear(case)
    st.header(t("gradients.entries.heading"), anchor=False)
    variable = _choose_variable(case, heard)
    evidence.entries(heard, variable)
    st.header(t("gradients.curve.heading"), anchor=False)
    evidence.curve(heard, variable)


# The claim, and what may be wrong with it.


def _formula(case: Case) -> None:
    """The forward formula and its gradients, as the paper would print them."""
    derivation = find(case.derivation)
    lines = (*derivation.tex.where, *derivation.tex.gradients.values())
    aligned = r" \\[6pt] ".join(line.replace("=", "&=", 1) for line in lines)
    # Beside each other where there is room, else below one another.
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.latex(derivation.tex.forward, width="content")
        st.latex(rf"\begin{{aligned}} {aligned} \end{{aligned}}", width="content")
    st.caption(_about(derivation, case))


def _about(derivation: Derivation, case: Case) -> str:
    parts = [
        t("gradients.formula.loss" if hearing.is_loss(derivation) else "gradients.formula.layer")
    ]
    if "lora" in derivation.key:
        rank = case.shape.rank
        parts.append(t("gradients.formula.scaling", alpha=ALPHA, rank=rank, scaling=ALPHA / rank))
    return "  \n".join(parts)


def _choose_mistake(case: Case) -> None:
    offered = hearing.mistakes_of(case.derivation) if state.is_fixed("derivation") else MISTAKES
    options = (NONE, *(mistake.name for mistake in offered))
    _pick(_MISTAKE, options, case.mistake, take=_plant)
    if case.planted:
        st.markdown(t(f"gradients.mistake.why.{case.mistake}"))


def _plant(name: str) -> None:
    """A mistake brings along the derivation in which people make it."""
    where = {} if name == NONE else {"derivation": find_mistake(name).derivation}
    state.replace(state.values() | {"mistake": name} | where)


def _choose_variable(case: Case, heard: Hearing) -> str:
    """Which gradient is looked at closely: the chosen one, else a wrong one, else the last."""
    variables = find(case.derivation).variables
    wrong = [name for name in heard.wrong_variables if name in variables]
    wanted = state.values()["variable"]
    shown = wanted if wanted in variables else (*wrong, variables[-1])[0]
    _pick(_VARIABLE, variables, shown, take=lambda name: state.change("variable", name))
    return shown


def _pick(setting: Choice, options: Sequence[str], shown: str, take: Callable[[str], None]) -> None:
    """Pills for a setting of which not every option is on offer."""
    if st.session_state.get(setting.name) != shown:
        st.session_state[setting.name] = shown
    st.pills(
        t(f"gradients.{setting.name}.label"),
        options,
        required=True,
        format_func=language.named(options, lambda o: form.option_text(SHEET, setting, o)),
        help=t(f"gradients.{setting.name}.help"),
        key=setting.name,
        disabled=state.is_fixed(setting.name),
        on_change=lambda: take(st.session_state[setting.name]),
    )


# The hearing.


def _hear(case: Case) -> Hearing:
    """The verdicts. SymPy takes seconds, so it is asked on demand and nothing else waits for it."""
    asked = st.session_state.setdefault(_ASKED, set())
    heard = hearing.hear(case, QUICK)
    shown = st.empty()
    if case.without_mistake() in asked:
        with shown.container():
            evidence.verdicts(case, heard)
            with st.spinner(t("gradients.sympy.waiting"), show_time=True):
                heard = hearing.hear(case, (*QUICK, SYMBOLIC))
    with shown.container():
        evidence.verdicts(case, heard)
        if SYMBOLIC not in heard.answers:
            st.button(
                t("gradients.sympy.button"),
                key="gradients.sympy",
                help=t("gradients.sympy.about"),
                icon=":material/function:",
                type="primary" if case.planted and not heard.objectors else "secondary",
                on_click=asked.add,
                args=(case.without_mistake(),),
            )
    evidence.export_findings(case, heard)
    return heard
