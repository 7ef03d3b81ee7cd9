"""The settings as a form: each kind of setting knows one widget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from lora_lab.dashboard import settings, state, wording
from lora_lab.dashboard.kinds import Choice, LayerChoice, Setting, Several, Whole
from lora_lab.dashboard.settings import Values
from lora_lab.demo import TITLES


def show() -> None:
    """All settings that mean something for the chosen method, and the presets."""
    values = state.values()
    _presets(values)
    group = ""
    for setting in settings.SETTINGS:
        if values["method"] not in setting.methods:
            continue
        if setting.group != group:
            group = setting.group
            st.subheader(group)
        _WIDGETS[type(setting)](setting, values[setting.name])
        if setting.name == "alpha":
            _scale(values)


def _presets(values: Values) -> None:
    names = {p.name: p for p in settings.PRESETS}
    same = (n for n, p in names.items() if settings.preset_values(p) == values)
    _bind("preset", next(same, None))
    st.selectbox(
        "Preset",
        names,
        key="preset",
        placeholder="Your own settings",
        on_change=lambda: _take_preset(names.get(st.session_state.preset)),
    )


def _take_preset(preset: settings.Preset | None) -> None:
    if preset:
        state.replace(settings.preset_values(preset))


def _scale(values: Values) -> None:
    alpha, rank = values["alpha"], values["rank"]
    scale = settings.run_config(values).lora.scale
    st.markdown(f"Scale **alpha / r** = {alpha} / {rank} = **{wording.number(scale)}**")


def _choice(setting: Choice, value: Any) -> None:
    key = _bind(setting.name, value)
    common = dict(key=key, help=setting.help, on_change=_take(setting))
    if setting.ladder:
        st.select_slider(setting.label, setting.options, format_func=_shown, **common)
    else:
        shown = {name: title[0].upper() + title[1:] for name, title in TITLES.items()}
        st.pills(setting.label, setting.options, required=True, format_func=shown.get, **common)


def _shown(value: Any) -> str:
    return "all" if value is None else wording.number(value)


def _whole(setting: Whole, value: int) -> None:
    box = st.container() if not setting.steps else None
    if setting.steps:
        slider, box = st.columns([5, 3], vertical_alignment="bottom")
        steps = tuple(sorted({*setting.steps, value}))
        key = _bind(setting.name, value, "slider")
        slider.select_slider(
            setting.label, steps, key=key, help=setting.help, on_change=_take(setting, "slider")
        )
    box.number_input(
        setting.label + (", typed" if setting.steps else ""),
        setting.low,
        setting.high,
        key=_bind(setting.name, value),
        help=None if setting.steps else setting.help,
        label_visibility="collapsed" if setting.steps else "visible",
        on_change=_take(setting),
    )


def _several(setting: Several, value: tuple[str, ...]) -> None:
    st.pills(
        setting.label,
        setting.options,
        selection_mode="multi",
        key=_bind(setting.name, list(value)),
        help=setting.help,
        on_change=_take(setting, convert=lambda names: setting.read(",".join(names))),
    )


def _layers(setting: LayerChoice, value: str) -> None:
    kind = value.partition(":")[0] if not value[0].isdigit() else "chosen"
    everything = range(setting.count)
    st.segmented_control(
        setting.label,
        ("all", "top", "chosen"),
        required=True,
        format_func={"all": "All", "top": "Top", "chosen": "Chosen"}.get,
        key=_bind(setting.name, kind, "kind"),
        help=setting.help,
        on_change=_take(
            setting,
            "kind",
            {"all": "all", "top": "top:2", "chosen": ",".join(map(str, everything))}.get,
        ),
    )
    if kind == "top":
        st.select_slider(
            "How many, from the top",
            range(1, setting.count + 1),
            key=_bind(setting.name, int(value.partition(":")[2]), "top"),
            on_change=_take(setting, "top", lambda number: f"top:{number}"),
        )
    elif kind == "chosen":
        st.pills(
            "Which ones",
            everything,
            selection_mode="multi",
            key=_bind(setting.name, [int(n) for n in value.split(",")], "numbers"),
            on_change=_take(setting, "numbers", lambda n: ",".join(map(str, sorted(n)))),
        )


def _key(name: str, part: str) -> str:
    return f"{name}.{part}" if part else name


def _bind(name: str, value: Any, part: str = "") -> str:
    """Make the widget show ``value``; returns its key. The settings rule, not the widget."""
    key = _key(name, part)
    if key not in st.session_state or st.session_state[key] != value:
        st.session_state[key] = value
    return key


def _take(
    setting: Setting, part: str = "", convert: Callable[[Any], Any] = lambda value: value
) -> Callable[[], None]:
    """What a widget calls when it was moved: its value goes into the settings.

    Emptied or the last of several names taken away: that leaves the setting as it was.
    """
    key = _key(setting.name, part)

    def take() -> None:
        if st.session_state[key] not in (None, []):
            state.change(setting.name, convert(st.session_state[key]))

    return take


_WIDGETS = {Choice: _choice, Whole: _whole, Several: _several, LayerChoice: _layers}
