"""A sheet's settings as a form: each kind of setting knows one widget."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import Any

import streamlit as st

from lora_lab.dashboard import language, state, wording
from lora_lab.dashboard.kinds import (
    Choice,
    LayerChoice,
    Setting,
    Several,
    Source,
    Switch,
    Text,
    Whole,
)
from lora_lab.dashboard.language import t
from lora_lab.dashboard.sheet import Preset, Sheet


def show(sheet: Sheet, below: Mapping[str, Callable[[str], None]] | None = None) -> None:
    """The presets, and all settings that mean something for the leading setting's value.

    Presenters see no details. A group that is nothing but details waits behind a heading.

    Args:
        below: what else to draw under a setting, by its name, with which it is called.
    """
    if sheet.presets:
        presets(sheet)
    shown = [s for s in sheet.that_matter(state.values()) if _is_wanted(s)]
    for group, settings in groupby(shown, key=lambda setting: setting.group):
        members = list(settings)
        with _heading(sheet, group, folded=all(s.detail for s in members)):
            for setting in members:
                one(sheet, setting.name)
                if below and setting.name in below:
                    below[setting.name](setting.name)


def one(sheet: Sheet, name: str) -> None:
    """One setting, where this is called."""
    setting = sheet[name]
    _WIDGETS[type(setting)](sheet, setting, state.values()[name])


def option_text(sheet: Sheet, setting: Setting, value: Any) -> str:
    """What an option is called: by the catalogue if it is there, else as it is."""
    if value is None:
        return t("common.all")
    if isinstance(value, int | float):
        return wording.number(value)
    key = f"{sheet.name}.{setting.name}.option.{value}"
    return t(key) if language.has(key) else str(value)


def _is_wanted(setting: Setting) -> bool:
    return not (setting.detail and state.presenting() and not state.is_fixed(setting.name))


def _heading(sheet: Sheet, group: str, folded: bool):
    if not group:
        return st.container()
    title = t(f"{sheet.name}.group.{group}")
    if folded:
        return st.expander(title)
    st.subheader(title, anchor=False)
    return st.container()


def presets(sheet: Sheet) -> None:
    """Named sets of values, to choose one from."""
    known = {preset.name: preset for preset in sheet.presets}
    values = state.values()
    same = (name for name, p in known.items() if sheet.preset_values(p) == values)
    key = _bind("preset", next(same, None))
    st.selectbox(
        t("common.preset.label"),
        known,
        format_func=language.named(known, lambda name: t(f"{sheet.name}.preset.{name}")),
        key=key,
        placeholder=t("common.preset.none"),
        disabled=state.in_lesson(),
        on_change=lambda: _take_preset(sheet, known.get(st.session_state[key])),
    )


def _take_preset(sheet: Sheet, preset: Preset | None) -> None:
    if preset:
        state.replace(sheet.preset_values(preset))


def _label(sheet: Sheet, setting: Setting) -> str:
    return t(f"{sheet.name}.{setting.name}.label")


def _help(sheet: Sheet, setting: Setting) -> str | None:
    key = f"{sheet.name}.{setting.name}.help"
    return t(key) if language.has(key) else None


def _texts(sheet: Sheet, setting: Choice | Several) -> Callable[[Any], str]:
    return language.named(setting.options, lambda option: option_text(sheet, setting, option))


def _common(sheet: Sheet, setting: Setting, key: str) -> dict[str, Any]:
    """What every widget of a setting is told."""
    return dict(key=key, help=_help(sheet, setting), disabled=state.is_fixed(setting.name))


def _choice(sheet: Sheet, setting: Choice, value: Any) -> None:
    common = _common(sheet, setting, _bind(setting.name, value))
    common |= dict(format_func=_texts(sheet, setting), on_change=_take(setting))
    label = _label(sheet, setting)
    if setting.ladder:
        st.select_slider(label, setting.options, **common)
    elif setting.many:
        st.selectbox(label, setting.options, **common)
    else:
        st.pills(label, setting.options, required=True, **common)


def _source(sheet: Sheet, setting: Source, value: str) -> None:
    options = setting.options if value in setting.options else (*setting.options, value)
    st.selectbox(
        _label(sheet, setting),
        options,
        format_func=language.named(options, wording.data),
        on_change=_take(setting),
        **_common(sheet, setting, _bind(setting.name, value)),
    )


def _switch(sheet: Sheet, setting: Switch, value: bool) -> None:
    common = _common(sheet, setting, _bind(setting.name, value))
    st.toggle(_label(sheet, setting), on_change=_take(setting), **common)


def _text(sheet: Sheet, setting: Text, value: str) -> None:
    common = _common(sheet, setting, _bind(setting.name, value))
    common |= dict(max_chars=setting.longest, on_change=_take(setting))
    if setting.lines > 1:
        st.text_area(_label(sheet, setting), height=28 * setting.lines + 20, **common)
    else:
        st.text_input(_label(sheet, setting), **common)


def _whole(sheet: Sheet, setting: Whole, value: int) -> None:
    label, box = _label(sheet, setting), st.container()
    if setting.steps:
        slider, box = st.columns([5, 3], vertical_alignment="bottom")
        steps = tuple(sorted({*setting.steps, value}))
        common = _common(sheet, setting, _bind(setting.name, value, "slider"))
        slider.select_slider(label, steps, on_change=_take(setting, "slider"), **common)
        label = t("common.typed", label=label)
    common = _common(sheet, setting, _bind(setting.name, value))
    common |= dict(help=None, label_visibility="collapsed") if setting.steps else {}
    box.number_input(label, setting.low, setting.high, on_change=_take(setting), **common)


def _several(sheet: Sheet, setting: Several, value: tuple[str, ...]) -> None:
    st.pills(
        _label(sheet, setting),
        setting.options,
        selection_mode="multi",
        format_func=_texts(sheet, setting),
        on_change=_take(setting, convert=lambda names: setting.read(",".join(names))),
        **_common(sheet, setting, _bind(setting.name, list(value))),
    )


def _layers(sheet: Sheet, setting: LayerChoice, value: str) -> None:
    kind = value.partition(":")[0] if not value[0].isdigit() else "chosen"
    everything = range(setting.count)
    first = {"all": "all", "top": "top:2", "chosen": ",".join(map(str, everything))}
    if setting.count < 2:
        first["top"] = "top:1"
    st.segmented_control(
        _label(sheet, setting),
        tuple(first),
        required=True,
        format_func=language.named(first, lambda kind: t(f"common.layers.{kind}")),
        on_change=_take(setting, "kind", first.get),
        **_common(sheet, setting, _bind(setting.name, kind, "kind")),
    )
    fixed = state.is_fixed(setting.name)
    if kind == "top":
        st.select_slider(
            t("common.layers.how_many"),
            range(1, setting.count + 1),
            key=_bind(setting.name, int(value.partition(":")[2]), "top"),
            disabled=fixed,
            on_change=_take(setting, "top", lambda number: f"top:{number}"),
        )
    elif kind == "chosen":
        st.pills(
            t("common.layers.which"),
            everything,
            selection_mode="multi",
            key=_bind(setting.name, [int(n) for n in value.split(",")], "numbers"),
            disabled=fixed,
            on_change=_take(setting, "numbers", lambda n: ",".join(map(str, sorted(n)))),
        )


def _key(name: str, part: str) -> str:
    return language.key(f"{name}.{part}" if part else name)


def _bind(name: str, value: Any, part: str = "") -> str:
    """Make the widget show ``value``; returns its key. The settings rule, not the widget."""
    return state.bind(_key(name, part), value)


def _take(
    setting: Setting, part: str = "", convert: Callable[[Any], Any] = lambda value: value
) -> Callable[[], None]:
    """What a widget calls when it was moved: its value goes into the settings.

    Emptied or the last of several names taken away: that leaves the setting as it was.
    """
    key = _key(setting.name, part)

    def take() -> None:
        chosen = st.session_state[key]
        if chosen == [] or (chosen is None and None not in getattr(setting, "options", ())):
            return
        state.change(setting.name, convert(chosen))

    return take


_WIDGETS = {
    Choice: _choice,
    Source: _source,
    Switch: _switch,
    Text: _text,
    Whole: _whole,
    Several: _several,
    LayerChoice: _layers,
}
