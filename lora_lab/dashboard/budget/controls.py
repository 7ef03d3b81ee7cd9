"""The budget page's controls: what the form draws for all pages, and what fits any architecture."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from lora_lab.budget import pasted
from lora_lab.budget.counting import Blueprint
from lora_lab.budget.pasted import PastedError
from lora_lab.dashboard import form, state, wording
from lora_lab.dashboard.budget import fitting
from lora_lab.dashboard.budget.settings import PASTED, SHEET
from lora_lab.dashboard.kinds import ALL
from lora_lab.dashboard.language import t
from lora_lab.targets import ALL_LINEAR, choose_layers

_TEXT, _SHOWN = "budget.pasted", "budget.pasted shown"


def show_model() -> None:
    """Presets and the architecture, which the other controls depend on."""
    form.presets(SHEET)
    if not state.presenting():
        st.caption(t("budget.preset_note"))
    st.subheader(t("budget.group.model"), anchor=False)
    form.one(SHEET, "model")
    if state.values()["model"] == PASTED:
        _configuration()


def show_adapter(blueprint: Blueprint) -> None:
    """Rank, matrices and layers that this architecture has, and the head."""
    if blueprint.head_names:
        form.one(SHEET, "head")
    st.subheader(t("budget.group.adapter"), anchor=False)
    form.one(SHEET, "rank")
    _targets(fitting.offered(blueprint))
    _layers(blueprint.blocks)
    if not state.presenting():
        form.one(SHEET, "alpha")


def refusal() -> str:
    """What is wrong with the pasted text, in the visitor's language; empty if nothing."""
    error = st.session_state.get("budget.refused")
    return said(error) if error else ""


def said(error: PastedError) -> str:
    """A refusal in the visitor's language; what the visitor wrote is shown and never obeyed."""
    details = {
        name: wording.quoted(value, 200) if name in ("family", "error") else value
        for name, value in error.details.items()
    }
    return t(f"budget.refused.{error.reason}", **details)


def _configuration() -> None:
    kept = state.values()["config"]
    if st.session_state.get(_SHOWN) != kept or _TEXT not in st.session_state:
        # It came by a link or with this session: show it as one would write it.
        st.session_state[_TEXT] = json.dumps(json.loads(kept), indent=1) if kept else ""
        st.session_state[_SHOWN] = kept
        st.session_state["budget.refused"] = None
    st.text_area(
        t("budget.config.label"),
        key=_TEXT,
        height=180,
        max_chars=pasted.LONGEST,
        placeholder='{"model_type": "bert", "hidden_size": 256, …}',
        help=t("budget.config.help"),
        disabled=state.is_fixed("config"),
        on_change=_take_configuration,
    )


def _take_configuration() -> None:
    """Keep what can be read; otherwise the box stays as it is and the page says what is wrong."""
    text, refused = st.session_state[_TEXT].strip(), None
    try:
        kept = SHEET["config"].read(text)
    except PastedError as error:
        kept, refused = "", error
    st.session_state[_SHOWN] = kept
    st.session_state["budget.refused"] = refused
    state.change("config", kept)


def _targets(names: tuple[str, ...]) -> None:
    fitted = fitting.fit_targets(state.values()["targets"], names)
    chosen = fitting.every(names) if fitted == (ALL_LINEAR,) else fitted
    key = _bind("targets", list(chosen))

    def take() -> None:
        if after := fitting.after_click(chosen, st.session_state[key]):
            state.change("targets", fitting.fit_targets(after, names))

    st.pills(
        t("budget.targets.label"),
        names,
        selection_mode="multi",
        key=key,
        help=t("budget.targets.help"),
        disabled=state.is_fixed("targets"),
        on_change=take,
    )


def _layers(blocks: int) -> None:
    if blocks < 2:
        return
    value = fitting.fit_layers(state.values()["layers"], blocks)
    end, _, number = value.partition(":")
    kind = end if number or value == ALL else "range"
    half = max(1, blocks // 2)
    present = choose_layers(value, blocks)  # a range begins as what is adapted already
    as_range = f"{present[0]}-{present[-1]}"
    first = {ALL: ALL, "top": f"top:{half}", "bottom": f"bottom:{half}", "range": as_range}
    common = dict(disabled=state.is_fixed("layers"))
    key = _bind("layers", kind)
    st.pills(
        t("budget.layers.label"),
        tuple(first),
        required=True,
        format_func=lambda name: t(f"budget.layers.{name}"),
        key=key,
        help=t("budget.layers.help", last=blocks - 1),
        on_change=lambda: state.change("layers", first[st.session_state[key]]),
        **common,
    )
    if kind in ("top", "bottom"):
        slider = _bind(f"layers.{kind}.{blocks}", int(number))
        st.slider(
            t("budget.layers.how_many"),
            1,
            blocks,
            key=slider,
            on_change=lambda: state.change("layers", f"{kind}:{st.session_state[slider]}"),
            **common,
        )
    elif kind == "range":
        slider = _bind(f"layers.range.{blocks}", tuple(map(int, value.split("-"))))
        st.slider(
            t("budget.layers.from_to"),
            0,
            blocks - 1,
            key=slider,
            on_change=lambda: state.change("layers", "{}-{}".format(*st.session_state[slider])),
            **common,
        )


def _bind(name: str, value: Any) -> str:
    """Make the widget show ``value``; returns its key. The settings rule, not the widget."""
    key = f"budget.{name}"
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return key
