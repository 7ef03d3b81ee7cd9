"""Sheets of settings: every value survives the address, garbage never gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from lora_lab.dashboard.sheet import Preset, Sheet
from lora_lab.dashboard.train import settings
from lora_lab.dashboard.train.settings import SHEET
from lora_lab.data import EMBEDDED
from lora_lab.runs import LEARNING_RATES, RunConfig

#: One setting of every kind, so that a kind is tested before any page needs it.
EVERY_KIND = Sheet(
    "every_kind",
    (
        Choice(name="choice", default="a", options=("a", "b", None)),
        Whole(name="whole", default=3, low=0, high=999_999_999),
        Several(name="several", default=("x",), options=("x", "y", "z"), together="all-three"),
        LayerChoice(name="layers", default="all", count=12),
        Source(name="source", default="here", options=("here", "there"), known=lambda _: False),
        Switch(name="switch"),
        Text(name="text", longest=40),
    ),
)


def values_of(setting: Setting) -> st.SearchStrategy:
    """Every value that a setting can have, by its declaration."""
    match setting:
        case Choice() | Source():
            return st.sampled_from(setting.options)
        case Whole():
            return st.integers(setting.low, setting.high)
        case Switch():
            return st.booleans()
        case Text():
            return st.text(max_size=setting.longest)
        case Several():
            chosen = st.sets(st.sampled_from(setting.options), min_size=1)
            return chosen.map(lambda names: tuple(o for o in setting.options if o in names))
        case LayerChoice():
            numbers = st.sets(st.integers(0, setting.count - 1), min_size=1)
            listed = numbers.map(lambda chosen: ",".join(map(str, sorted(chosen))))
            top = st.integers(1, setting.count).map(lambda k: f"top:{k}")
            return st.one_of(st.just("all"), top, listed)
    raise AssertionError(f"no test knows the kind {type(setting).__name__}")


def any_values(sheet: Sheet) -> st.SearchStrategy:
    return st.fixed_dictionaries({s.name: values_of(s) for s in sheet.settings})


@pytest.mark.parametrize("sheet", [SHEET, EVERY_KIND], ids=lambda sheet: sheet.name)
@given(data=st.data())
def test_settings_survive_the_address(sheet, data):
    values = data.draw(any_values(sheet))
    assert sheet.read_address(sheet.write_address(values)) == (values, [])


@pytest.mark.parametrize("sheet", [SHEET, EVERY_KIND], ids=lambda sheet: sheet.name)
@given(data=st.data())
def test_any_text_gives_usable_values(sheet, data):
    parameters = data.draw(st.dictionaries(st.sampled_from(sheet.names), st.text()))
    values, problems = sheet.read_address(parameters)
    assert sheet.read_address(sheet.write_address(values)) == (values, [])
    for problem in problems:
        assert values[problem.name] == problem.setting.default_for(values.get(sheet.lead))


@given(any_values(SHEET))
def test_every_choice_makes_configurations_that_survive_json(values):
    configs = settings.run_configs(values)
    assert len(set(configs)) == values["seeds"]
    for config in configs:
        assert RunConfig.from_dict(config.as_dict()) == config


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rank", "0"), ("rank", "65"), ("rank", "-1"), ("rank", "8.5"), ("rank", "٨"),
        ("rank", "9" * 5000), ("rank", ""), ("alpha", "nan"), ("method", "LoRA"),
        ("rate", "inf"), ("rate", "nan"), ("rate", "0.00123"), ("epochs", "0"),
        ("train", "-5"), ("seed", "1e3"), ("targets", ""), ("targets", "q,w"),
        ("targets", ".*"), ("layers", "top:7"), ("layers", "top:0"), ("layers", "6"),
        ("layers", ""), ("layers", "0-999999999999"), ("layers", "<script>"),
        ("data", "../../etc/passwd"), ("data", "own-../../../etc/passwd"),
        ("data", "own-" + "0" * 32), ("data", "/etc/passwd"), ("seeds", "4"), ("seeds", "1000"),
        ("precision", "int8"), ("prefix", "on"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_falls_back_and_is_told(name, text):
    values, problems = SHEET.read_address({name: text})
    assert values == SHEET.defaults()
    assert [(p.name, p.text) for p in problems] == [(name, text)]


def test_an_unknown_name_is_told():
    values, [problem] = SHEET.read_address({"colour": "red"})
    assert values == SHEET.defaults() and problem.setting is None


def test_the_learning_rate_follows_the_method_unless_it_is_given():
    for method, rate in LEARNING_RATES.items():
        assert SHEET.read_address({"method": method})[0]["rate"] == rate
        assert SHEET.changed(SHEET.defaults(), "method", method)["rate"] == rate
    assert SHEET.read_address({"method": "full", "rate": "1e-3"})[0]["rate"] == 1e-3


def test_a_change_changes_nothing_else():
    values = SHEET.defaults()
    assert SHEET.changed(values, "rank", 3) == values | {"rank": 3}


def test_presets_differ_and_can_be_linked():
    everything = [SHEET.preset_values(preset) for preset in SHEET.presets]
    for values in everything:
        assert everything.count(values) == 1
        assert SHEET.read_address(SHEET.write_address(values)) == (values, [])


def test_a_sheet_without_a_leading_setting_has_plain_defaults():
    assert EVERY_KIND.defaults()["whole"] == 3
    assert EVERY_KIND.preset_values(Preset("more", {"whole": 4}))["whole"] == 4
    assert EVERY_KIND.write_address(EVERY_KIND.defaults()) == {}


def test_only_what_matters_for_the_method_is_shown():
    shown = {
        m: {s.name for s in SHEET.that_matter({"method": m})} & {"rank", "alpha"}
        for m in settings.METHODS
    }
    assert shown == {
        "lora": {"rank", "alpha"}, "two-sided": {"rank"}, "head": set(), "full": set()
    }  # fmt: skip


def test_all_six_matrices_are_what_is_called_all_linear():
    assert settings.run_config(SHEET.defaults()).lora.target_modules == "all-linear"


def test_every_domain_can_be_chosen():
    for domain in EMBEDDED:
        values, problems = SHEET.read_address({"data": domain})
        assert settings.run_config(values).data.name == domain and not problems
