"""How fast this machine is against another: told by its own runs, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lora_lab.advice import machine_speed
from lora_lab.advice.machine_speed import Speed, rates, speed_of, try_out
from lora_lab.results.stored_grid import grid_of
from lora_lab.runs import DataConfig, RunConfig
from lora_lab.training import TrainConfig

from ..made_runs import answers, lora, make_run

WORK = ("lora", "minilm", "all", "q v", "movie-reviews")
SENTENCES = 3 * 1000 + 3 * 200 / 3  # three epochs, each followed by 200 sentences to validate on


@pytest.fixture
def made(tmp_path):
    """Makes a run; 400 test sentences stand for 200 to validate on."""

    def make(config: RunConfig = lora(), seconds: float = 30.0, **changes):  # noqa: B008
        number = len(list(tmp_path.iterdir()))
        changes = {"validation": {"accuracy": 0.8, "examples": 200}} | changes
        return make_run(tmp_path / f"{number:02}", config, answers(0.8), seconds=seconds, **changes)

    return make


def grids(*several):
    return {str(n): grid_of(runs, "a command") for n, runs in enumerate(several)}


def test_a_rate_is_seconds_per_sentence(made):
    known = rates(grids([made(seconds=32.0)]))
    assert known.loc[WORK, "usual"] == pytest.approx(32 / SENTENCES)
    assert known.loc[WORK, "first"] == known.loc[WORK, "usual"]


def test_the_first_run_computes_for_the_others_and_a_busy_grid_does_not_count(made):
    quiet = [made(lora(seed=seed), seconds) for seed, seconds in enumerate((20.0, 10.0, 10.0))]
    busy = [made(lora(seed=seed), 70.0) for seed in range(3)]
    known = rates(grids(quiet, busy))
    assert known.loc[WORK, "first"] == pytest.approx(20 / SENTENCES)
    assert known.loc[WORK, "usual"] == pytest.approx(10 / SENTENCES)


def test_rank_and_rate_are_no_other_work_but_layers_and_method_are(made):
    runs = [made(lora(rank=1), 10.0), made(lora(rank=32), 10.0), made(lora(layers="top:1"), 1.0)]
    runs.append(made(lora(method="head"), 0.5))
    assert len(rates(grids(runs))) == 3


def test_own_runs_tell_how_fast_this_machine_is(made):
    known = rates(grids([made(seconds=10.0)]))
    own = [made(lora(rank=4), seconds) for seconds in (20.0, 30.0, 900.0)]
    assert speed_of(known, own) == Speed(pytest.approx(3.0), "runs", 3)
    longer = made(replace(lora(), train=TrainConfig(epochs=1)), 20.0, train_examples=2000)
    assert speed_of(known, [longer]).basis == "runs"


def test_runs_of_other_work_or_arithmetic_tell_nothing(made):
    known = rates(grids([made(seconds=10.0)]))
    others = [
        made(lora(layers="top:2")),
        made(lora(data=DataConfig("tweets"))),
        made(replace(lora(), train=TrainConfig(precision="bfloat16"))),
        made(replace(lora(), train=TrainConfig(prefix="off"))),
    ]
    assert speed_of(known, others) == Speed() == speed_of(known, [])
    assert Speed().basis == "elsewhere" and Speed().ratio == 1


def test_a_run_that_is_mostly_warming_up_tells_nothing(made):
    known = rates(grids([made(seconds=10.0)]))
    history = [{"epoch": 1}]
    short = made(seconds=30.0, train_examples=100, history=history)
    assert speed_of(known, [short]) == Speed()
    enough = made(seconds=30.0, train_examples=1000, history=history)
    assert speed_of(known, [short, enough]).runs == 1


def test_a_trial_trains_here_and_times_the_second_epoch(
    made, monkeypatch, tiny_folder, reviews_file
):
    known = rates(grids([made(lora(model=str(tiny_folder), data=DataConfig(str(reviews_file))))]))
    trained = []

    def watched(model, tokenizer, splits, config):
        run = machine_speed_train(model, tokenizer, splits, config)
        trained.append((run, len(splits["train"]), len(splits["validation"])))
        return run

    machine_speed_train = machine_speed.train
    monkeypatch.setattr(machine_speed, "train", watched)
    speed = try_out(known, str(reviews_file))
    [(run, sentences, validated)] = trained
    seconds = run.history[1]["seconds"] - run.history[0]["seconds"]
    rate = seconds / (sentences + validated / 3)
    assert speed == Speed(pytest.approx(rate / known["usual"].iloc[0]), "trial")
    assert run.test is None, "nobody needs it"


def test_without_a_rate_of_all_layers_there_is_no_trial(made):
    known = rates(grids([made(lora(layers="top:1"))]))
    assert try_out(known, "movie-reviews") == Speed() == try_out(known, "tweets")
