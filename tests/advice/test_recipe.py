"""From a row of results back to the configuration, and to the command that trains it."""

from __future__ import annotations

import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.adapt import LoraConfig
from lora_lab.advice.candidates import PRESETS
from lora_lab.advice.recipe import configuration, train_command
from lora_lab.cli.main import build_parser
from lora_lab.cli.settings import run_config
from lora_lab.presets import preset
from lora_lab.results.table import runs_table
from lora_lab.runs import DataConfig, Run, RunConfig
from lora_lab.training import TrainConfig

from ..made_runs import answers, lora, make_run


def plain(config: RunConfig) -> RunConfig:
    """Names of matrices in one spelling, the first seed, and no settings of another method."""
    targets = config.lora.target_modules
    targets = targets if isinstance(targets, str) else ",".join(targets)
    return replace(
        config,
        lora=replace(config.lora, target_modules=targets),
        train=replace(config.train, seed=0),
        data=replace(config.data, seed=0),
        two_sided=RunConfig().two_sided,
    )


def row_of(run: Run):
    return next(runs_table([run]).itertuples())


def trained_by(command: str) -> RunConfig:
    program, *words = shlex.split(command)
    assert program == "lora-lab" and words[0] == "train"
    return plain(run_config(build_parser().parse_args(words)))


@pytest.mark.parametrize("name", PRESETS)
def test_each_setting_that_is_advised_among_comes_back_from_its_row(name, tmp_path):
    kinds = {plain(c) for c in preset(name).values() if c.method == "lora"}
    for number, config in enumerate(sorted(kinds, key=repr)):
        size = config.data.train_size or 7461  # the table tells how many there were
        run = make_run(tmp_path / str(number), config, answers(0.8), train_examples=size)
        found = configuration(row_of(run))
        assert found == replace(config, data=replace(config.data, train_size=size))
        assert trained_by(train_command(found)) == found


@given(
    lora=st.builds(
        LoraConfig,
        rank=st.integers(1, 64),
        alpha=st.floats(0.01, 300),
        target_modules=st.sampled_from(["all-linear", "q", "q,v", "up,down"]),
        layers=st.sampled_from(["all", "top:2", "bottom:1", "0,3-5"]),
        scaling=st.sampled_from(["alpha/r", "alpha/sqrt(r)"]),
        dropout=st.sampled_from([0.0, 0.3]),
    ),
    train=st.builds(
        TrainConfig,
        epochs=st.integers(1, 40),
        learning_rate=st.floats(1e-6, 1.0),
        weight_decay=st.sampled_from([0.0, 0.01, 1.0]),
        keep=st.sampled_from(["best", "last"]),
        validate_every=st.integers(1, 40),
    ),
    data=st.builds(
        DataConfig,
        name=st.sampled_from(["movie-reviews", "my reviews.csv", "--weird"]),
        train_size=st.none() | st.integers(1, 10**6),
    ),
    model=st.sampled_from(["minilm", "org/some model", "$(reboot)"]),
)
def test_the_command_trains_exactly_the_configuration(lora, train, data, model):
    config = RunConfig(model=model, data=data, lora=lora, train=train)
    if data.name.startswith("--"):
        config = replace(config, data=replace(data, name="tweets"))
    assert trained_by(train_command(config)) == config


def test_another_size_can_be_asked_for_and_other_methods_have_no_recipe(tmp_path):
    row = row_of(make_run(tmp_path / "a", lora(), answers(0.8)))
    assert configuration(row, 321).data.train_size == 321
    head = row_of(make_run(tmp_path / "b", lora(method="head"), answers(0.7)))
    with pytest.raises(ValueError, match="'head'"):
        configuration(head)
