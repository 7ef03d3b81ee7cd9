"""Many configurations, one after the other, over activations that are computed once.

Runs that adapt the same upper layers share everything below them: the first one fills the cache,
the others start at once. Each run is an ordinary run folder, so a sweep that was interrupted goes
on with the first run that has not finished.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lora_lab.prefix_cache import PrefixCache
from lora_lab.runs import Run, RunConfig, execute, shared_cache
from lora_lab.training import Listener


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
    configs: Mapping[str, RunConfig],
    folder: Path,
    *,
    cache: PrefixCache | None = None,
    listeners: Sequence[Listener] = (),
) -> dict[str, Run]:
    """Run each configuration in ``folder / name``; finished ones are not run again.

    One at a time. ``benchmarks/`` measures what two at once, with one thread each, would bring.

    Raises:
        RunError: a folder holds another run; else see ``execute``.
    """
    cache = cache or shared_cache()
    return {
        name: execute(config, folder / name, resume=True, listeners=listeners, cache=cache)
        for name, config in configs.items()
    }


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
