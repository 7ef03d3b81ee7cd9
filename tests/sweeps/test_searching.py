"""A search proposes, the queue runs; what was told is kept, and the test is never looked at."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import log10
from pathlib import Path

import numpy as np
import pytest

from lora_lab import processes
from lora_lab.runs import Run, RunConfig, read_run
from lora_lab.sweeps import Range, best_of, search, searching

from ..made_runs import answers, lora, make_run

CHOICES = {"rank": (1, 2, 4, 8), "rate": Range(1e-4, 1e-2)}
BASE = lora()


def good_at(config: RunConfig) -> float:
    """Validation accuracy: a hill over rank and rate."""
    distance = abs(log10(config.train.learning_rate) + 3) + abs(config.lora.rank - 4) / 4
    return 0.85 - 0.1 * distance - 0.01 * config.train.seed


@dataclass
class Queue:
    """Stands in for ``run_in_queue`` and trains nothing."""

    validation: Callable[[RunConfig], float] = good_at
    fails: Callable[[RunConfig], bool] = lambda config: False
    killed_after: int = -1  # batches
    batches: list[list[str]] = field(default_factory=list)
    made: Counter = field(default_factory=Counter)

    def __call__(self, configs, folder: Path, *, finished) -> dict[str, Run]:
        if len(self.batches) == self.killed_after:
            raise KeyboardInterrupt
        self.batches.append(list(configs))
        return {name: self._run(folder / name, config) for name, config in configs.items()}

    def _run(self, folder: Path, config: RunConfig) -> Run:
        if (folder / "result.json").exists():
            run = read_run(folder)
            assert run.config == config
            return run
        self.made[folder.name] += 1
        if self.fails(config):
            return Run(folder, config, "failed", "no memory", [], None)
        validation = {"accuracy": self.validation(config)}
        # The test says the opposite of validation.
        right = answers(1 - validation["accuracy"], config.train.seed)
        return make_run(folder, config, right, validation=validation)


@pytest.fixture
def queue(monkeypatch):
    def use(**how) -> Queue:
        made = Queue(**how)
        monkeypatch.setattr(searching, "run_in_queue", made)
        return made

    return use


def settings(trials) -> list[dict]:
    return [trial.setting for trial in trials]


@pytest.mark.parametrize("sampler", ["bayes", "random"])
def test_the_same_seed_proposes_the_same_and_another_seed_something_else(sampler, queue, tmp_path):
    queue()
    first, again, other = (
        search(BASE, tmp_path / name, CHOICES, trials=12, sampler=sampler, seed=seed)
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert settings(first) == settings(again) != settings(other)
    assert [trial.number for trial in first] == list(range(12))


@pytest.mark.parametrize("killed_after", [0, 1, 5])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(killed_after, queue, tmp_path):
    queue()
    undisturbed = search(BASE, tmp_path / "undisturbed", CHOICES, trials=12)
    folder = tmp_path / "killed"
    used = queue(killed_after=killed_after)
    with pytest.raises(KeyboardInterrupt):
        search(BASE, folder, CHOICES, trials=12)
    before, used.killed_after = len(used.batches), -1
    found = search(BASE, folder, CHOICES, trials=12)
    assert settings(found) == settings(undisturbed) and before == killed_after
    assert [trial.value for trial in found] == [trial.value for trial in undisturbed]
    assert set(used.made.values()) == {1}, "no run twice"


def test_more_trials_can_be_asked_for_and_the_others_are_kept(queue, tmp_path):
    used = queue()
    few = search(BASE, tmp_path, CHOICES, trials=4)
    assert len(search(BASE, tmp_path, CHOICES, trials=4)) == 4 and len(used.batches) == 2
    more = search(BASE, tmp_path, CHOICES, trials=8)
    assert settings(more)[:4] == settings(few) and len(more) == 8


def test_each_trial_is_judged_by_the_mean_validation_over_its_seeds(queue, tmp_path):
    queue()
    trials = search(BASE, tmp_path, CHOICES, trials=12, seeds=(0, 1, 2, 3))
    for trial in trials:
        assert {run.config.train.seed for run in trial.runs.values()} == {0, 1, 2, 3}
        for run in trial.runs.values():
            assert run.config.lora.rank == trial.setting["rank"]
            assert run.config.train.learning_rate == trial.setting["rate"]
        assert trial.value == pytest.approx(
            np.mean([good_at(r.config) for r in trial.runs.values()])
        )
    best = best_of(trials)
    assert best.value == max(trial.value for trial in trials)
    assert np.mean(best.test) == min(np.mean(trial.test) for trial in trials), "not by the test"


def test_the_bayesian_search_crowds_where_it_is_good(queue, tmp_path):
    """Trials after the random ones at the start, against as many random ones."""
    queue()
    later = {
        sampler: np.mean([
            trial.value
            for seed in range(2)
            for trial in search(
                BASE, tmp_path / f"{sampler} {seed}", CHOICES, trials=20, sampler=sampler, seed=seed
            )[12:]
        ])
        for sampler in ("bayes", "random")
    }  # fmt: skip
    assert later["bayes"] > later["random"]


def test_a_range_is_drawn_evenly_in_its_logarithm(queue, tmp_path):
    queue()
    trials = search(BASE, tmp_path, {"rate": Range(1e-4, 1e-2)}, trials=30, sampler="random")
    rates = np.array([trial.setting["rate"] for trial in trials])
    assert ((rates >= 1e-4) & (rates <= 1e-2)).all() and len(set(rates)) > 25
    assert 7 <= (rates < 1e-3).sum() <= 23, "half of them below the middle of the decades"


def test_a_failed_run_fails_its_trial_and_not_the_search(queue, tmp_path):
    used = queue(fails=lambda config: config.lora.rank == 8 and config.train.seed == 1)
    trials = search(BASE, tmp_path, {"rank": (1, 8)}, trials=10, sampler="random")
    assert {t.setting["rank"]: t.value is None for t in trials} == {1: False, 8: True}
    assert len(search(BASE, tmp_path, {"rank": (1, 8)}, trials=10, sampler="random")) == 10
    assert len(used.batches) == 5, "what failed counts as tried"
    assert best_of(trials).setting == {"rank": 1}


def test_nothing_is_best_where_everything_failed(queue, tmp_path):
    queue(fails=lambda config: True)
    assert best_of(search(BASE, tmp_path, {"rank": (1, 8)}, trials=2)) is None


def test_the_same_setting_again_costs_no_run(queue, tmp_path):
    used = queue()
    search(BASE, tmp_path, {"rank": (1, 2)}, trials=8)
    assert len(used.made) == 6 and set(used.made.values()) == {1}


def test_a_trial_that_another_search_has_is_left_to_it(queue, tmp_path):
    """Many machines share a study: here the parent of this process has the first trial."""
    used = queue()
    study = searching._open(tmp_path, "")
    trial = study.ask(searching._distributions(CHOICES))
    trial.set_user_attr("owner", processes.identity(os.getppid()))
    trials = search(BASE, tmp_path, CHOICES, trials=3)
    assert len(trials) == 3 and trials[0].value is None and not trials[0].runs
    assert sum(map(len, used.batches)) == 2 * 3


def test_a_trial_whose_search_has_died_is_taken_over(queue, tmp_path):
    queue()
    study = searching._open(tmp_path, "")
    trial = study.ask(searching._distributions(CHOICES))
    trial.set_user_attr("owner", processes.identity() | {"pid": 2**22 + 1})
    trials = search(BASE, tmp_path, CHOICES, trials=1)
    assert len(trials) == 1 and trials[0].value is not None


def test_the_database_can_be_elsewhere(queue, tmp_path):
    queue()
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    search(BASE, tmp_path / "study", CHOICES, trials=2, storage=url)
    assert (tmp_path / "shared.db").exists() and not (tmp_path / "study" / "study.db").exists()
    assert len(search(BASE, tmp_path / "study", CHOICES, trials=4, storage=url)) == 4


def test_it_is_quiet(queue, tmp_path, capfd):
    queue()
    search(BASE, tmp_path, CHOICES, trials=2)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("choices", "more", "says"),
    [
        (CHOICES, dict(seeds=(0, 1)), "at least 3 different seeds; got 0, 1"),
        (CHOICES, dict(seeds=(0, 0, 1)), "at least 3"),
        (CHOICES, dict(trials=0), "trials is 0"),
        ({"rank": (4,)}, {}, "nothing to choose"),
        ({}, {}, "nothing to choose"),
        ({"rank": Range(1, 8)}, {}, "whole numbers"),
        ({"rate": (1e-3, Range(2e-3, 1e-2))}, {}, "stands alone"),
        ({"seed": (0, 1)}, {}, "cannot choose seed"),
        ({"rank": (2, 2)}, {}, "rank is given twice"),
        ({"rank": (0, 2)}, {}, "rank is 0"),
        ({"alpha": (2.0, 4.0), "scale": (1.0, 2.0)}, {}, "alphas and scales"),
    ],
)
def test_a_search_that_cannot_be_is_refused(choices, more, says, queue, tmp_path):
    used = queue()
    with pytest.raises(ValueError, match=says):
        search(BASE, tmp_path, choices, **{"trials": 2} | more)
    assert not used.batches


def test_a_study_is_not_mixed_with_another(queue, tmp_path):
    queue()
    search(BASE, tmp_path, CHOICES, trials=2)
    for base, choices in ((BASE, CHOICES | {"rank": (1, 2)}), (lora(layers="top:1"), CHOICES)):
        with pytest.raises(ValueError, match="other settings, choices or seeds"):
            search(base, tmp_path, choices, trials=4)
