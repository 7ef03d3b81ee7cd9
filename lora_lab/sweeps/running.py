"""Many configurations: through the queue, several at once, or one by one in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from lora_lab import jobs
from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs import Run, RunConfig, RunError, execute

Configs = Mapping[str, RunConfig]
#: Called with a run's name and the run, as soon as it has finished (or, in the queue, failed).
Finished = Callable[[str, Run], None]

IN_QUEUE = 30  # runs of a sweep that are handed in at a time: each look at the queue reads them
EVERY = 0.3  # seconds between two looks


def run_sweep(
    configs: Configs,
    folder: Path,
    *,
    cache: PrefixCache | None = None,
    finished: Finished = lambda name, run: None,
) -> dict[str, Run]:
    """Run each configuration in ``folder / name``, in this process and one after the other.

    For notebooks and other short sweeps: no queue has to start. Finished runs are not run again.

    Args:
        cache: for the activations (default: the one that all runs on this machine share).

    Raises:
        RunError: a folder holds another run; else see ``execute``. The first run that fails ends
            the sweep; finished ones are kept, and the same call goes on with the others.
    """
    runs = {}
    for name, config in configs.items():
        runs[name] = execute(config, folder / name, resume=True, cache=cache)
        finished(name, runs[name])
    return runs


def run_in_queue(
    configs: Configs,
    folder: Path,
    *,
    finished: Finished = lambda name, run: None,
) -> dict[str, Run]:
    """Run each configuration in ``folder / name`` as a job: several at once, on many machines.

    How many at once and where, the queue decides (``jobs``): on this machine LORA_LAB_AT_ONCE, or
    the workers of the scheduler in LORA_LAB_SCHEDULER. The queue stays open for more; call
    ``jobs.shut_down`` in the end, or to stop.

    A run that fails is reported like the others, with its state and reason, and does not stop the
    sweep. The same call goes on where an earlier one ended, however it did: finished runs are left
    as they are, interrupted ones go on from their checkpoint, failed ones are tried again.

    Returns:
        Each run as it ended: finished, failed or, if someone cancelled it, interrupted.

    Raises:
        RunError: a folder holds a run with other settings, or the scheduler cannot be reached.
        StorageError, OSError: a folder cannot be written.
    """
    leader_of = leaders(configs)
    # Those that fill the cache for others go first.
    left = sorted(configs, key=lambda name: leader_of[name] != name)
    under_way: list[str] = []
    ended: dict[str, Run] = {}
    while left or under_way:
        for name in list(left):
            may_start = leader_of[name] == name or leader_of[name] in ended
            if may_start and len(under_way) < IN_QUEUE:
                jobs.submit_into(folder / name, configs[name])
                left.remove(name)
                under_way.append(name)
        for name in [name for name in under_way if not jobs.is_under_way(folder / name)]:
            run = jobs.read(folder / name)
            if run.reason == jobs.NO_SCHEDULER:
                raise RunError(f"Nothing can be run: {run.reason}.")
            under_way.remove(name)
            if run.reason == jobs.STOPPED:  # someone else's queue had it and has gone
                left.append(name)
                continue
            ended[name] = run
            finished(name, run)
        if under_way:
            time.sleep(EVERY)
    return {name: ended[name] for name in configs}


def leaders(configs: Configs) -> dict[str, str]:
    """For each run the first one with the same frozen layers below: it fills the cache for all.

    A run that shares nothing, or is the first, leads itself.
    """
    first: dict[str, str] = {}
    return {
        name: first.setdefault(_frozen(config) or name, name) for name, config in configs.items()
    }


def _frozen(config: RunConfig) -> str:
    """What decides the activations that a run reads from the cache; nothing if it reads none."""
    train, adapter = config.train, config.lora
    if config.method == "full" or train.prefix == "off" or train.base_dropout:
        return ""
    if config.method == "two-sided":
        adapter = config.two_sided
    where = "" if config.method == "head" else (adapter.layers, adapter.target_modules)
    base = (config.model, None if config.pretrained else train.seed)
    sentences = replace(config.data, noise="none", noise_share=0.0)
    return repr((where, base, sentences, train.max_length, train.prefix, train.precision))
