"""How long a run will take: told from finished runs, and only from those that can tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.advice import pace
from lora_lab.runs import DataConfig, Run, RunConfig
from lora_lab.training import TrainConfig

EXAMPLES = {"train": 700, "validation": 300, "test": 200}
CONFIG = RunConfig(data=DataConfig(train_size=100), train=TrainConfig(epochs=2))


def finished(config: RunConfig = CONFIG, seconds: float = 40.0, train: int = 100) -> Run:
    last, every = config.train.epochs, config.train.validate_every
    result = {
        "seconds": seconds,
        "train_examples": train,
        "history": [{"epoch": epoch} for epoch in range(every, last + 1, every)],
        "validation": {"examples": EXAMPLES["validation"]},
    }
    return Run(Path("a"), config, "finished", "", [], result)


def test_the_same_run_takes_the_same_time():
    expected = pace.expect(CONFIG, EXAMPLES, [finished()])
    assert expected.seconds == pytest.approx(40) and expected.alike and expected.runs == 1


def test_epochs_that_were_not_validated_were_trained_all_the_same():
    every = replace(CONFIG, train=TrainConfig(epochs=4))
    twice = replace(every, train=TrainConfig(epochs=4, validate_every=2))
    run = finished(twice)
    run.result["history"] = [{"epoch": 2}, {"epoch": 4}]
    read = 4 * 100 + 2 * pace.FORWARD * EXAMPLES["validation"]
    asked = 4 * 100 + 4 * pace.FORWARD * EXAMPLES["validation"]
    assert pace.expect(every, EXAMPLES, [run]).seconds == pytest.approx(40 * asked / read)


def test_time_grows_with_epochs_and_with_sentences():
    def seconds(config: RunConfig) -> float:
        return pace.expect(config, EXAMPLES, [finished()]).seconds

    longer = replace(CONFIG, train=TrainConfig(epochs=6))
    assert seconds(longer) == pytest.approx(3 * 40)
    more = replace(CONFIG, data=DataConfig(train_size=400))
    everything = replace(CONFIG, data=DataConfig(train_size=None))
    assert 40 < seconds(more) < seconds(everything) < 7 * 40


def test_what_is_validated_seldom_takes_less_time():
    often = replace(CONFIG, train=TrainConfig(epochs=10))
    seldom = replace(CONFIG, train=TrainConfig(epochs=10, validate_every=10))
    expected = pace.expect(seldom, EXAMPLES, [finished(often)])
    assert expected.seconds == pytest.approx(40 * (1000 + 100) / (1000 + 1000))
    again = pace.expect(often, EXAMPLES, [finished(seldom)])
    assert again.seconds == pytest.approx(40 * (1000 + 1000) / (1000 + 100))


def test_runs_like_it_tell_more_than_others_of_the_method():
    other = replace(CONFIG, lora=LoraConfig(layers="top:1"))
    runs = [finished(other, seconds=5.0), finished()]
    assert pace.expect(CONFIG, EXAMPLES, runs).seconds == pytest.approx(40)
    rough = pace.expect(CONFIG, EXAMPLES, [finished(other, seconds=5.0)])
    assert rough.seconds == pytest.approx(5) and not rough.alike


def test_a_short_run_is_mostly_warming_up_and_tells_of_short_ones():
    short, long = finished(seconds=20.0), finished(seconds=40.0, train=2000)
    more = replace(CONFIG, data=DataConfig(train_size=600))
    read = 2 * (600 + 100)
    rate_of_long = 40.0 / (2 * (2000 + 100))
    expected = pace.expect(more, EXAMPLES, [short, long])
    assert expected.seconds == pytest.approx(rate_of_long * read) and expected.runs == 1
    assert pace.expect(more, EXAMPLES, [short]).runs == 1
    assert pace.expect(CONFIG, EXAMPLES, [short]).seconds == pytest.approx(20)
    assert pace.expect(CONFIG, EXAMPLES, [short, short, long]).seconds == pytest.approx(20)


def test_one_slow_run_among_many_does_not_decide():
    runs = [finished(), finished(seconds=4000), finished()]
    assert pace.expect(CONFIG, EXAMPLES, runs).seconds == pytest.approx(40)


def grid(**columns: list) -> pace.Rates:
    return pace.Rates.of(table(**columns))


def table(**columns: list) -> pd.DataFrame:
    usual = dict(method=["lora"], model=[CONFIG.model], layers=["all"], epochs=[2], train=[100])
    return pd.DataFrame(usual | dict(seconds=[40.0], examples=[600]) | columns)


@pytest.mark.parametrize("examples", [EXAMPLES, {}])
def test_where_nothing_has_run_the_grid_tells(examples):
    expected = pace.expect_from_grid(CONFIG, examples, grid())
    assert expected.seconds == pytest.approx(40)  # 600 for the test are 300 to validate
    assert expected.alike and expected.runs == 1 and not expected.here
    longer = replace(CONFIG, train=TrainConfig(epochs=6))
    assert pace.expect_from_grid(longer, examples, grid()).seconds == pytest.approx(3 * 40)


def test_runs_of_the_grid_with_the_same_layers_tell_more():
    two = dict(method=["lora"] * 2, model=[CONFIG.model] * 2, epochs=[2] * 2, train=[100] * 2)
    rows = grid(**two, layers=["all", "top:1"], seconds=[40.0, 5.0], examples=[600] * 2)
    assert pace.expect_from_grid(CONFIG, EXAMPLES, rows).seconds == pytest.approx(40)
    other = replace(CONFIG, lora=LoraConfig(layers="top:2"))
    rough = pace.expect_from_grid(other, EXAMPLES, rows)
    assert not rough.alike and rough.runs == 2


def test_the_grid_tells_about_layers_and_runs_here_how_fast_this_machine_is():
    two = dict(method=["lora"] * 2, model=[CONFIG.model] * 2, epochs=[2] * 2, train=[100] * 2)
    rates = grid(**two, layers=["all", "top:1"], seconds=[40.0, 5.0], examples=[600] * 2)
    long = finished(replace(CONFIG, train=TrainConfig(epochs=6)), seconds=2 * 3 * 40.0)
    top = replace(CONFIG, lora=LoraConfig(layers="top:1"))

    twice = pace.foresee(top, EXAMPLES, [long], rates)  # as slow here as in all layers
    assert twice.seconds == pytest.approx(2 * 5) and twice.judges_here == 1 and not twice.here
    short = finished(seconds=400.0)  # mostly warming up
    assert pace.foresee(top, EXAMPLES, [short], rates).seconds == pytest.approx(5)
    assert pace.foresee(top, EXAMPLES, [], rates).judges_here == 0
    own = pace.foresee(top, EXAMPLES, [long, finished(top, seconds=7.0)], rates)
    assert own.seconds == pytest.approx(7) and own.here


def test_layers_of_which_the_grid_knows_nothing_are_told_by_the_method():
    other = replace(CONFIG, lora=LoraConfig(layers="top:2"))
    rough = pace.foresee(other, EXAMPLES, [finished(seconds=80.0)], grid())
    assert rough.seconds == pytest.approx(80) and rough.here and not rough.alike
    assert pace.foresee(replace(CONFIG, method="full"), EXAMPLES, [], grid()) is None


def test_what_the_grid_cannot_tell():
    everything = replace(CONFIG, data=DataConfig(train_size=None))
    half = replace(CONFIG, train=TrainConfig(precision="auto"))
    for config, examples in (
        (replace(CONFIG, method="full"), EXAMPLES),
        (half, EXAMPLES),
        (everything, {}),  # data that is not fetched yet
    ):
        assert pace.expect_from_grid(config, examples, grid()) is None
    assert pace.expect_from_grid(CONFIG, EXAMPLES, pace.Rates.of(table()[:0])) is None


@pytest.mark.parametrize("examples", [EXAMPLES, {}])
def test_unknown_is_unknown(examples):
    full = finished(replace(CONFIG, method="full"))
    assert pace.expect(CONFIG, examples, [full]) is None
    assert pace.expect(CONFIG, {}, [finished()]) is None
