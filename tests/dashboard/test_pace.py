"""How long a run will take: told from finished runs, and only from those that can tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.adapt import LoraConfig
from lora_lab.dashboard import pace
from lora_lab.runs import DataConfig, Run, RunConfig
from lora_lab.training import TrainConfig

EXAMPLES = {"train": 700, "validation": 300, "test": 200}
CONFIG = RunConfig(data=DataConfig(train_size=100), train=TrainConfig(epochs=2))


def finished(config: RunConfig = CONFIG, seconds: float = 40.0, train: int = 100) -> Run:
    result = {
        "seconds": seconds,
        "train_examples": train,
        "history": [{}] * config.train.epochs,
        "validation": {"examples": EXAMPLES["validation"]},
    }
    return Run(Path("a"), config, "finished", "", [], result)


def test_the_same_run_takes_the_same_time():
    expected = pace.expect(CONFIG, EXAMPLES, [finished()])
    assert expected.seconds == pytest.approx(40) and expected.alike and expected.runs == 1


def test_time_grows_with_epochs_and_with_sentences():
    def seconds(config: RunConfig) -> float:
        return pace.expect(config, EXAMPLES, [finished()]).seconds

    longer = replace(CONFIG, train=TrainConfig(epochs=6))
    assert seconds(longer) == pytest.approx(3 * 40)
    more = replace(CONFIG, data=DataConfig(train_size=400))
    everything = replace(CONFIG, data=DataConfig(train_size=None))
    assert 40 < seconds(more) < seconds(everything) < 7 * 40


def test_runs_like_it_tell_more_than_others_of_the_method():
    other = replace(CONFIG, lora=LoraConfig(layers="top:1"))
    runs = [finished(other, seconds=5.0), finished()]
    assert pace.expect(CONFIG, EXAMPLES, runs).seconds == pytest.approx(40)
    rough = pace.expect(CONFIG, EXAMPLES, [finished(other, seconds=5.0)])
    assert rough.seconds == pytest.approx(5) and not rough.alike


def test_one_slow_run_among_many_does_not_decide():
    runs = [finished(), finished(seconds=4000), finished()]
    assert pace.expect(CONFIG, EXAMPLES, runs).seconds == pytest.approx(40)


@pytest.mark.parametrize("examples", [EXAMPLES, {}])
def test_unknown_is_unknown(examples):
    full = finished(replace(CONFIG, method="full"))
    assert pace.expect(CONFIG, examples, [full]) is None
    assert pace.expect(CONFIG, {}, [finished()]) is None
