"""``lora-lab sweep``: many runs, by every combination, by a preset's name or by a search."""

from __future__ import annotations

import json
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_lab.cli.settings import run_config, sweep_choices

if TYPE_CHECKING:
    from lora_lab.runs import Run, RunConfig
    from lora_lab.sweeps import Trial

#: What a search's choices are called, by the names of a grid's.
_SEARCHED = dict(
    ranks="rank", alphas="alpha", scales="scale", scalings="scaling", layers="layers",
    targets="targets", dropouts="dropout", rates="rate",
)  # fmt: skip
STOPPED = 130  # the usual exit status after Ctrl-C


def sweep(options: Namespace) -> int:
    """Exit status 1 if a run failed; the others are not stopped by that."""
    from lora_lab.runs import new_run_folder

    configs = _configs(options)
    folder = options.folder or new_run_folder(Path("runs"))
    with _queue(options.at_once):
        try:
            if options.search:
                return _search(options, folder)
            return _grid(options, configs, folder)
        except KeyboardInterrupt:
            print(f"Stopped. The same command with --folder {folder} goes on.", file=sys.stderr)
            return STOPPED


@contextmanager
def _queue(at_once: int | None) -> Iterator[None]:
    """The queue for this command alone, with so many runs at a time (None: what suits)."""
    from lora_lab import jobs
    from lora_lab.jobs import cluster

    before = os.environ.get(cluster.AT_ONCE, "")
    if at_once is not None:
        if at_once < 1 or os.environ.get(cluster.SCHEDULER):
            raise ValueError(
                f"--at-once is {at_once}; it is the number of runs at a time on this machine, at "
                f"least 1. With {cluster.SCHEDULER}, its workers decide (--nthreads)."
            )
        os.environ[cluster.AT_ONCE] = str(at_once)
    try:
        yield
    finally:
        jobs.shut_down()
        os.environ[cluster.AT_ONCE] = before


def _configs(options: Namespace) -> dict[str, RunConfig]:
    """The runs of a preset or of a grid; none for a search, which proposes its own."""
    from lora_lab.presets import preset
    from lora_lab.runs import RunConfig
    from lora_lab.sweeps import grid

    base, chosen = run_config(options), sweep_choices(options)
    if options.size and not options.preset:
        raise ValueError("--size is a preset's; give --preset as well, or leave it out.")
    if not options.search and (options.trials is not None or options.storage):
        raise ValueError("--trials and --storage are a search's; give --search as well.")
    if options.preset:
        if base != RunConfig() or any(chosen.values()) or options.search:
            raise ValueError(
                "--preset decides every setting. Give it alone, or leave it out and give the "
                "others."
            )
        return preset(options.preset, options.size or "full")
    if options.search:
        return {}
    if chosen["methods"] and options.learning_rate is not None:
        raise ValueError("Each of --methods has its own rate; give --rates to change that.")
    return grid(base, **chosen)


def _grid(options: Namespace, configs: Mapping[str, RunConfig], folder: Path) -> int:
    from lora_lab.presets import ALSO_STORED
    from lora_lab.results.stored_grid import write_grid
    from lora_lab.sweeps import run_in_queue, write_tables

    _note_few_seeds(len({config.train.seed for config in configs.values()}))
    with _Progress(len(configs)) as progress:
        runs = run_in_queue(configs, folder, finished=progress.finished)
    write_tables(runs, folder)
    failed = _failed(runs)
    if options.export and not failed:
        write_grid(list(runs.values()), options.export, shlex.join(["lora-lab", *options.words]))
        if also := ALSO_STORED.get(options.preset):
            print("Now the tables of its updates: some minutes.", file=sys.stderr)
            also(list(runs.values()), options.export)
    if options.json:
        print(json.dumps({name: _facts(run) for name, run in runs.items()}))
    else:
        _print_settings(runs, folder)
        if options.export and not failed:
            print(f"Stored as a grid in {options.export}")
    _print_failed(failed)
    if options.export and failed:
        print("Nothing was exported: a grid is stored as a whole.", file=sys.stderr)
    return 1 if failed else 0


def _search(options: Namespace, folder: Path) -> int:
    from lora_lab.sweeps import Range, best_of, search, write_tables

    given = {name: values for name, values in sweep_choices(options).items() if values}
    seeds = given.pop("seeds", [0, 1, 2])
    if unknown := given.keys() - _SEARCHED:
        raise ValueError(f"A search has no choice of {', '.join(sorted(unknown))}.")
    choices = {
        _SEARCHED[name]: values[0] if len(values) == 1 and isinstance(values[0], Range) else values
        for name, values in given.items()
    }
    with _Progress(None) as progress:
        trials = search(
            run_config(options),
            folder,
            choices,
            trials=20 if options.trials is None else options.trials,
            sampler=options.search,
            seeds=seeds,
            seed=options.seed,
            storage=options.storage,
            finished=progress.finished,
        )
    runs = {name: run for trial in trials for name, run in trial.runs.items()}
    write_tables(runs, folder)
    best, failed = best_of(trials), _failed(runs)
    if options.json:
        print(json.dumps([_trial_facts(trial) for trial in trials]))
    else:
        _print_settings(runs, folder)
        _print_best(best, len(trials))
    _print_failed(failed)
    return 1 if failed else 0


class _Progress:
    """A bar that names each run as it ends."""

    def __init__(self, total: int | None) -> None:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=total, unit="run", delay=1)  # a mistake in the words comes first

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def finished(self, name: str, run: Run) -> None:
        told = f"test accuracy {run.test.accuracy:.3f}" if run.test else run.state
        self._bar.set_postfix_str(f"{name}: {told}")
        self._bar.update()


def _note_few_seeds(seeds: int) -> None:
    if seeds < 3:
        print(
            f"Note: {seeds} seed{'s' * (seeds != 1)}. An interval over seeds needs at least three "
            "(--seeds 0,1,2); with fewer, two settings may seem to differ by luck.",
            file=sys.stderr,
        )


def _print_settings(runs: Mapping[str, Run], folder: Path) -> None:
    from lora_lab.sweeps import summary_table

    print(
        f"\n{'setting':36}{'seeds':>6}{'validation':>11}{'test':>7}{'95% interval':>17}"
        f"{'trainable':>12}{'seconds':>9}"
    )
    for row in summary_table(runs).itertuples():
        interval = f"{row.low:.3f} to {row.high:.3f}"
        print(
            f"{row.name:36}{row.seeds:6}{row.validation:11.3f}{row.test:7.3f}{interval:>17}"
            f"{row.trainable:12,}{row.seconds:9.0f}"
        )
    print(f"\nAlso in {folder / 'results.csv'} and {folder / 'every_run.csv'} (and .parquet).")


def _print_best(best: Trial | None, trials: int) -> None:
    from lora_lab.results.comparing import interval_over_seeds

    if best is None:
        print("\nNo trial has a result.")
        return
    setting = ", ".join(f"{name} {value}" for name, value in best.setting.items())
    print(f"\nThe best of {trials} trials by validation: {setting}")
    print(f"  validation {best.value:.3f}, which flatters it: it is the best of {trials}")
    if best.test:
        examples = next(iter(best.runs.values())).test.examples
        bounds = interval_over_seeds(best.test, examples)
        print(
            f"  test       {sum(best.test) / len(best.test):.3f}, 95% interval {bounds.low:.3f} to "
            f"{bounds.high:.3f} over {len(best.test)} seeds; it had no part in the choice"
        )


def _failed(runs: Mapping[str, Run]) -> dict[str, Run]:
    return {name: run for name, run in runs.items() if run.state != "finished"}


def _print_failed(failed: Mapping[str, Run]) -> None:
    if failed:
        print(
            f"\n{len(failed)} run{'s' * (len(failed) != 1)} did not finish. The same command with "
            "the same --folder tries them again.",
            file=sys.stderr,
        )
    for name, run in failed.items():
        print(f"  {name} ({run.state}): {run.reason}", file=sys.stderr)


def _facts(run: Run) -> dict[str, Any]:
    facts = {"folder": str(run.folder), "state": run.state, "reason": run.reason}
    return facts | (run.result or {})


def _trial_facts(trial: Trial) -> dict[str, Any]:
    return dict(
        number=trial.number,
        setting=trial.setting,
        validation=trial.value,
        test=trial.test,
        runs={name: _facts(run) for name, run in trial.runs.items()},
    )
