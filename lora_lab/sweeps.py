"""Many configurations over activations that are computed once.

Runs that adapt the same upper layers share everything below them: the first one fills the cache,
the others start at once. Each run is an ordinary run folder, so a sweep that was interrupted goes
on with the runs that have not finished.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import torch

from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs import Run, RunConfig, RunError, execute, read_run, shared_cache

Configs = Mapping[str, RunConfig]
#: Called with a run's name and the run, as soon as it has finished.
Finished = Callable[[str, Run], None]


def grid(
    base: RunConfig,
    *,
    ranks: Sequence[int] = (),
    layers: Sequence[str] = (),
    targets: Sequence[str] = (),
    seeds: Sequence[int] = (),
) -> dict[str, RunConfig]:
    """Every combination of the values given, by a name that says what is special about it.

    alpha keeps the ratio alpha / rank of ``base``, so that rank is the only thing that a change
    of rank changes. A value that is not given is that of ``base``.

    Raises:
        ValueError: a value given twice, or one that ``LoraConfig`` refuses.
    """
    values = dict(rank=ranks, layers=layers, targets=targets, seed=seeds)
    chosen = {name: list(options) for name, options in values.items() if options}
    for name, options in chosen.items():
        if len(set(options)) < len(options):
            raise ValueError(f"A {name} is given twice among {options}.")
    configs = {}
    for combination in itertools.product(*chosen.values()):
        setting = dict(zip(chosen, combination, strict=True))
        name = "_".join(f"{key}-{_plain(value)}" for key, value in setting.items())
        configs[name or "only"] = _with(base, **setting)
    return configs


def run_sweep(
    configs: Configs,
    folder: Path,
    *,
    cache: PrefixCache | None = None,
    at_once: int = 1,
    finished: Finished = lambda name, run: None,
) -> dict[str, Run]:
    """Run each configuration in ``folder / name``; finished ones are not run again.

    Args:
        cache: for the activations (default: the one that all runs on this machine share).
        at_once: how many runs at a time, each in a process of its own with its share of the
            cores. A small model does not keep two cores busy: on two, two runs with a thread each
            take less time than one after the other (``benchmarks/`` measures it).
        finished: see ``Finished``.

    Raises:
        ValueError: ``at_once`` below 1, or a cache without a folder, which processes cannot share.
        RunError: a folder holds another run, or a process was killed; else see ``execute``.
            Finished runs are kept, and the same call goes on with the others.
    """
    cache = cache or shared_cache()
    if at_once < 1 or (at_once > 1 and cache.folder is None):
        raise ValueError(
            f"at_once is {at_once}; it must be at least 1, and runs in several processes share "
            "their activations through files: give the cache a folder."
        )
    if at_once == 1:
        for name, config in configs.items():
            finished(name, execute(config, folder / name, resume=True, cache=cache))
    else:
        leaders = _one_for_each_prefix(configs)
        others = {name: config for name, config in configs.items() if name not in leaders}
        for group in (leaders, others):
            _run_at_once(group, folder, cache, at_once, finished)
    return {name: read_run(folder / name) for name in configs}


def _one_for_each_prefix(configs: Configs) -> dict[str, RunConfig]:
    """The first run with each set of frozen layers: run before the others, they fill the cache."""
    leaders: dict[str, tuple[str, RunConfig]] = {}
    for name, config in configs.items():
        lora, train = config.lora, config.train
        below = (lora.layers, lora.target_modules, train.max_length, train.prefix, train.precision)
        key = repr((config.method, config.model, config.data, *below))
        leaders.setdefault(key, (name, config))
    return dict(leaders.values())


def _run_at_once(
    configs: Configs, folder: Path, cache: PrefixCache, at_once: int, finished: Finished
) -> None:
    workers = min(at_once, len(configs))
    if workers == 0:
        return
    threads = max(1, (os.cpu_count() or 1) // workers)
    # Forking a process in which torch has run threads can lock up; a new one cannot.
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))
    try:
        limits = dict(memory_limit=cache.memory_limit, disk_limit=cache.disk_limit)
        names = {
            pool.submit(_run_one, config, folder / name, cache.folder, limits, threads): name
            for name, config in configs.items()
        }
        for future in as_completed(names):
            future.result()
            finished(names[future], read_run(folder / names[future]))
    except BrokenProcessPool:
        raise RunError(
            "A process of this sweep was killed, perhaps for want of memory. Finished runs are "
            "kept: the same command goes on with the others. Fewer at once need less memory."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _run_one(
    config: RunConfig, folder: Path, cache_folder: Path, limits: dict[str, int], threads: int
) -> None:
    torch.set_num_threads(threads)
    execute(config, folder, resume=True, cache=PrefixCache(cache_folder, **limits))


def _with(
    base: RunConfig,
    rank: int | None = None,
    layers: str | None = None,
    targets: str | None = None,
    seed: int | None = None,
) -> RunConfig:
    lora, train = base.lora, base.train
    if rank is not None:
        lora = replace(lora, rank=rank, alpha=lora.alpha / lora.rank * rank)
    if layers is not None:
        lora = replace(lora, layers=layers)
    if targets is not None:
        lora = replace(lora, target_modules=targets)
    if seed is not None:
        train = replace(train, seed=seed)
    return replace(base, lora=lora, train=train)


def _plain(value: object) -> str:
    """A value as part of a folder name: letters, digits, points and dashes."""
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in str(value))
