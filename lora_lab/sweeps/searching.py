"""Searching for a good setting with Optuna, where a grid of all combinations would take too long.

Each trial is a setting that the sampler proposes and a run per seed, which are ordinary run folders
and go through the same queue as a sweep's. What a trial is judged by is the mean accuracy on
VALIDATION over at least three seeds. The test is never looked at while searching. Even so the best
of many trials is the luckiest as well as a good one, so its validation accuracy flatters it, the
more the more trials there were; its accuracy on the test does not.

"bayes" is the tree-structured Parzen estimator (Bergstra et al. 2011), which proposes what lies
where good settings were dense so far, after ten random ones. "random" is the baseline that it has
to beat (Bergstra and Bengio 2012).

The study, that is all trials so far, is a database: by default an SQLite file in the search's
folder. Several machines share one study if they are given the same database and the same folder;
each takes trials that are missing. Trials are proposed two at a time, by a sampler that is seeded
anew for each: a search that was killed goes on with the same proposals as if nothing had happened,
and runs that had finished are not repeated.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lora_lab import jobs, processes
from lora_lab.runs import Run, RunConfig, RunError
from lora_lab.sweeps.grids import DECIDES, Range, check_choices, plain, with_setting
from lora_lab.sweeps.running import Finished, run_in_queue

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

Sampler = Literal["bayes", "random"]
#: What to choose from, by dimension: values, or a range of numbers.
Choices = Mapping[str, Sequence[Any] | Range]

LEAST_SEEDS = 3
AT_A_TIME = 2  # trials; the sampler knows nothing of the other one's result
_SEARCHED = tuple(name for name in DECIDES if name not in ("train", "seed"))
_DIGITS = 3  # of a number out of a range: more would make no difference, and a long name
_UNOWNED = timedelta(minutes=1)  # after which a trial that nobody signed was left behind


@dataclass(frozen=True)
class Trial:
    """A setting that was tried, and its runs by name.

    Attributes:
        number: in the study, from 0.
        value: mean validation accuracy over the seeds; None if a run failed.
    """

    number: int
    setting: dict[str, Any]
    runs: dict[str, Run]
    value: float | None

    @property
    def test(self) -> list[float]:
        """Test accuracy of each seed."""
        return [run.test.accuracy for run in self.runs.values() if run.test]


def search(
    base: RunConfig,
    folder: Path,
    choices: Choices,
    *,
    trials: int,
    sampler: Sampler = "bayes",
    seeds: Sequence[int] = (0, 1, 2),
    seed: int = 0,
    storage: str = "",
    finished: Finished = lambda name, run: None,
) -> list[Trial]:
    """Have the study in ``folder`` hold so many trials, and return them all.

    Args:
        base: everything that is not chosen.
        choices: by names of ``grids.DECIDES``, such as ``{"rank": (2, 8), "rate": Range(...)}``.
        trials: of the whole study; those that it has are not repeated. One with a failed run
            counts, too: it would most likely fail again.
        seeds: of each trial's runs.
        seed: of the sampler.
        storage: the study's database as a URL (default: ``study.db`` in the folder). The study is
            called like the folder.

    Raises:
        ValueError: fewer than three seeds, nothing to choose, a value that cannot be, or a study
            that was begun with other choices.
        RunError, StorageError, OSError: see ``run_in_queue``.
    """
    _check(base, choices, trials, seeds)
    folder.mkdir(parents=True, exist_ok=True)
    study = _open(folder, storage)
    _same_search(study, base, choices, seeds)
    while batch := _next(study, choices, trials, sampler, seed):
        configs = {}
        for trial in batch:
            configs |= _configs(base, _setting(trial, choices), seeds)
        runs = run_in_queue(configs, folder, finished=finished)
        for trial in batch:
            of_trial = [runs[name] for name in _configs(base, _setting(trial, choices), seeds)]
            _tell(study, trial, of_trial)
    return [_trial(found, base, choices, seeds, folder) for found in study.get_trials()]


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The trial with the highest validation accuracy; of equals the earlier one."""
    valued = [trial for trial in trials if trial.value is not None]
    return max(valued, key=lambda trial: trial.value, default=None)


def _check(base: RunConfig, choices: Choices, trials: int, seeds: Sequence[int]) -> None:
    if len(set(seeds)) < LEAST_SEEDS:
        raise ValueError(
            f"A search judges each setting by at least {LEAST_SEEDS} different seeds; "
            f"got {', '.join(map(str, seeds)) or 'none'}."
        )
    if trials < 1:
        raise ValueError(f"trials is {trials}; it must be at least 1.")
    if unknown := [name for name in choices if name not in _SEARCHED]:
        raise ValueError(
            f"A search cannot choose {', '.join(unknown)}; it can choose {', '.join(_SEARCHED)}."
        )
    ranges = {name: o for name, o in choices.items() if isinstance(o, Range)}
    values = {name: list(o) for name, o in choices.items() if name not in ranges}
    if any(isinstance(option, Range) for options in values.values() for option in options):
        raise ValueError("A range stands alone: it holds all numbers between its ends.")
    if not ranges and all(len(options) < 2 for options in values.values()):
        raise ValueError("There is nothing to choose: give several values, or a range of rates.")
    if "rank" in ranges:
        raise ValueError("Ranks are whole numbers: give each one instead of a range.")
    ends = {name: [o.low, o.high] for name, o in ranges.items()}
    check_choices(values | ends, (base.method,))
    for name, options in (values | ends).items():
        for option in options:
            with_setting(base, **{name: option})


def _open(folder: Path, storage: str) -> Study:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.create_study(
        study_name=folder.resolve().name,
        storage=storage or f"sqlite:///{folder.resolve() / 'study.db'}",
        direction="maximize",
        load_if_exists=True,
    )


def _same_search(study: Study, base: RunConfig, choices: Choices, seeds: Sequence[int]) -> None:
    values = {n: repr(o if isinstance(o, Range) else list(o)) for n, o in choices.items()}
    wanted = json.dumps([base.as_dict(), values, list(seeds)], sort_keys=True)
    if study.user_attrs.get("search", wanted) != wanted:
        raise ValueError(
            f"The study {study.study_name!r} was begun with other settings, choices or seeds. "
            "Repeat those, or search in another folder."
        )
    study.set_user_attr("search", wanted)


def _next(
    study: Study, choices: Choices, trials: int, sampler: Sampler, seed: int
) -> list[FrozenTrial]:
    """Trials to run now: those that a killed search left behind, else new ones."""
    from optuna.trial import TrialState

    running = study.get_trials(states=(TrialState.RUNNING,))
    batch = [trial for trial in running if _is_left_behind(trial)]
    while not batch or (batch[-1].number + 1) % AT_A_TIME:
        number = len(study.get_trials(deepcopy=False))
        if number >= trials:
            break
        study.sampler = _sampler(sampler, seed, number)
        trial = study.ask(_distributions(choices))
        trial.set_user_attr("owner", processes.identity())
        batch.append(study.get_trials()[trial.number])
    return batch


def _is_left_behind(trial: FrozenTrial) -> bool:
    owner = trial.user_attrs.get("owner")
    if owner is None:
        return datetime.now() - trial.datetime_start > _UNOWNED
    if owner["pid"] == os.getpid():  # a search before this one, in the same process
        return processes.is_here(owner)
    return processes.is_here(owner) and processes.find(owner) is None


def _sampler(kind: Sampler, seed: int, number: int) -> Any:
    """Seeded by the trial's number, so that it does not matter when the process began."""
    import optuna

    drawn = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
    if kind == "random":
        return optuna.samplers.RandomSampler(seed=drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        # It takes trials that run for bad ones, so that two at a time are not the same.
        return optuna.samplers.TPESampler(seed=drawn, constant_liar=True)


def _distributions(choices: Choices) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    return {
        name: FloatDistribution(options.low, options.high, log=True)
        if isinstance(options, Range)
        else CategoricalDistribution([plain(option) for option in options])
        for name, options in choices.items()
    }


def _setting(trial: FrozenTrial, choices: Choices) -> dict[str, Any]:
    setting = {}
    for name, value in trial.params.items():
        options = choices[name]
        if isinstance(options, Range):
            setting[name] = float(f"{value:.{_DIGITS}g}")
        else:
            setting[name] = next(option for option in options if plain(option) == value)
    return setting


def _configs(
    base: RunConfig, setting: dict[str, Any], seeds: Sequence[int]
) -> dict[str, RunConfig]:
    """A setting's runs, called like those of a grid: the same setting again has the same runs."""
    name = "_".join(f"{key}-{plain(value)}" for key, value in setting.items())
    return {f"{name}_seed-{seed}": with_setting(base, **setting, seed=seed) for seed in seeds}


def _tell(study: Study, trial: FrozenTrial, runs: Sequence[Run]) -> None:
    from optuna.trial import TrialState

    if all(run.state == "finished" for run in runs):
        value = mean(run.result["validation"]["accuracy"] for run in runs)
        study.tell(trial.number, value, skip_if_finished=True)
    else:
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _trial(
    found: FrozenTrial, base: RunConfig, choices: Choices, seeds: Sequence[int], folder: Path
) -> Trial:
    setting, runs = _setting(found, choices), {}
    for name in _configs(base, setting, seeds):
        try:
            runs[name] = jobs.read(folder / name)
        except RunError:
            continue  # another machine has not begun it yet
    return Trial(found.number, setting, runs, found.value)
