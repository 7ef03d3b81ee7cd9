"""The one list of settings: every value survives the address, garbage never gets through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.dashboard import settings
from lora_lab.dashboard.kinds import Choice, LayerChoice, Setting, Several, Whole
from lora_lab.runs import LEARNING_RATES, RunConfig


def values_of(setting: Setting) -> st.SearchStrategy:
    """Every value that a setting can have, by its declaration."""
    if isinstance(setting, Choice):
        return st.sampled_from(setting.options)
    if isinstance(setting, Whole):
        return st.integers(setting.low, setting.high)
    if isinstance(setting, Several):
        chosen = st.sets(st.sampled_from(setting.options), min_size=1)
        return chosen.map(lambda names: tuple(o for o in setting.options if o in names))
    assert isinstance(setting, LayerChoice)
    numbers = st.sets(st.integers(0, setting.count - 1), min_size=1)
    listed = numbers.map(lambda chosen: ",".join(map(str, sorted(chosen))))
    return st.one_of(
        st.just("all"), st.integers(1, setting.count).map(lambda k: f"top:{k}"), listed
    )


any_values = st.fixed_dictionaries({s.name: values_of(s) for s in settings.SETTINGS})


@given(any_values)
def test_settings_survive_the_address(values):
    assert settings.read_address(settings.write_address(values)) == (values, [])


@given(any_values)
def test_every_choice_makes_a_configuration_that_survives_json(values):
    config = settings.run_config(values)
    assert RunConfig.from_dict(config.as_dict()) == config


@given(st.dictionaries(st.sampled_from([s.name for s in settings.SETTINGS]), st.text()))
def test_any_text_gives_usable_values(parameters):
    values, problems = settings.read_address(parameters)
    settings.run_config(values)
    for problem in problems:
        assert values[problem.name] == problem.setting.default_for(values["method"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rank", "0"), ("rank", "65"), ("rank", "-1"), ("rank", "8.5"), ("rank", "٨"),
        ("rank", "9" * 5000), ("rank", ""), ("alpha", "nan"), ("method", "LoRA"),
        ("rate", "inf"), ("rate", "nan"), ("rate", "0.00123"), ("epochs", "0"),
        ("train", "-5"), ("seed", "1e3"), ("targets", ""), ("targets", "q,w"),
        ("targets", ".*"), ("layers", "top:7"), ("layers", "top:0"), ("layers", "6"),
        ("layers", ""), ("layers", "0-999999999999"), ("layers", "<script>"),
    ],
)  # fmt: skip
def test_what_is_out_of_range_falls_back_and_is_told(name, text):
    values, problems = settings.read_address({name: text})
    assert values == settings.defaults()
    assert [(p.name, p.text) for p in problems] == [(name, text)]


def test_an_unknown_name_is_told():
    values, [problem] = settings.read_address({"colour": "red"})
    assert values == settings.defaults() and problem.setting is None


def test_the_learning_rate_follows_the_method_unless_it_is_given():
    for method, rate in LEARNING_RATES.items():
        assert settings.read_address({"method": method})[0]["rate"] == rate
    assert settings.read_address({"method": "full", "rate": "1e-3"})[0]["rate"] == 1e-3


def test_presets_differ_and_can_be_linked():
    everything = [settings.preset_values(preset) for preset in settings.PRESETS]
    for values in everything:
        assert everything.count(values) == 1
        assert settings.read_address(settings.write_address(values)) == (values, [])


def test_all_six_matrices_are_what_is_called_all_linear():
    assert settings.run_config(settings.defaults()).lora.target_modules == "all-linear"
