"""Grids: every combination of the values that are given, each under a name of its own."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from lora_lab.adapt import LoraConfig
from lora_lab.choices import Method, Scaling
from lora_lab.runs import LEARNING_RATES, RunConfig

_ADAPTERS = ("lora", "two-sided")
_ALL = get_args(Method)
#: For which methods a dimension decides anything; in the order of a name's parts.
DECIDES: dict[str, tuple[str, ...]] = {
    "train": _ALL,
    "rank": _ADAPTERS,
    "alpha": ("lora",),
    "scale": ("lora",),
    "scaling": ("lora",),
    "layers": _ADAPTERS,
    "targets": _ADAPTERS,
    "dropout": ("lora",),
    "rate": _ALL,
    "seed": _ALL,
}


@dataclass(frozen=True)
class Range:
    """Any number from ``low`` to ``high``, for a search: it draws their logarithm evenly.

    Raises:
        ValueError: not 0 < low < high.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ValueError(
                f"The range {self.low:g}..{self.high:g} is empty or reaches 0; write the smaller "
                "number first, such as 1e-4..1e-2."
            )


def grid(
    base: RunConfig,
    *,
    methods: Sequence[Method] = (),
    train_sizes: Sequence[int | None] = (),
    ranks: Sequence[int] = (),
    alphas: Sequence[float] = (),
    scales: Sequence[float] = (),
    scalings: Sequence[Scaling] = (),
    layers: Sequence[str | tuple[int, ...]] = (),
    targets: Sequence[str | tuple[str, ...]] = (),
    dropouts: Sequence[float] = (),
    rates: Sequence[float] = (),
    seeds: Sequence[int] = (),
) -> dict[str, RunConfig]:
    """Every combination of the values given, by a name that says what is special about it.

    A value that is not given is that of ``base``. What decides nothing for a method (the rank of
    a head) does not multiply its runs. alpha keeps the ratio alpha / rank of ``base``, so that
    rank is the only thing that a change of rank changes, unless alphas or scales are given.

    Args:
        methods: each learns at the rate that suits it (``LEARNING_RATES``), unless rates are given.
        train_sizes: training examples; None for all.
        scales: values of s, what ``B A`` is multiplied by; alpha follows from them.
        scalings: rules that make s out of alpha and the rank.

    Raises:
        ValueError: a value given twice or refused, one that decides nothing for any of the
            methods, a ``Range``, or alphas together with scales.
    """
    given = dict(
        train=train_sizes, rank=ranks, alpha=alphas, scale=scales, scaling=scalings, layers=layers,
        targets=targets, dropout=dropouts, rate=rates, seed=seeds,
    )  # fmt: skip
    chosen = {name: list(options) for name, options in given.items() if options}
    if ranges := [name for name in chosen if any(isinstance(o, Range) for o in chosen[name])]:
        raise ValueError(f"A range of {', '.join(ranges)} is for a search; a grid needs values.")
    check_choices(chosen | ({"method": [*methods]} if methods else {}), methods or (base.method,))
    configs: dict[str, RunConfig] = {}
    for method in methods or (base.method,):
        own = {name: options for name, options in chosen.items() if method in DECIDES[name]}
        for combination in itertools.product(*own.values()):
            setting = dict(zip(own, combination, strict=True))
            name = _name(setting, method if methods else "")
            try:
                configs[name] = with_setting(base, method if methods else None, **setting)
            except ValueError as error:
                raise ValueError(f"The run {name} cannot be: {error}") from error
    return configs


def check_choices(chosen: Mapping[str, Sequence[Any]], methods: Sequence[str]) -> None:
    """Raise ValueError for values given twice or in vain, or that contradict each other."""
    for name, options in chosen.items():
        if len(set(options)) < len(options):
            raise ValueError(f"A {name} is given twice among {_listed(options)}.")
        if name in DECIDES and not set(methods) & set(DECIDES[name]):
            raise ValueError(f"The {name} decides nothing for {', '.join(methods)}.")
    if "alpha" in chosen and "scale" in chosen:
        raise ValueError("Both alphas and scales are given; alpha follows from the scale.")


def with_setting(
    base: RunConfig,
    method: Method | None = None,
    *,
    train: int | None | str = "",
    rank: int | None = None,
    alpha: float | None = None,
    scale: float | None = None,
    scaling: Scaling | None = None,
    layers: str | tuple[int, ...] | None = None,
    targets: str | tuple[str, ...] | None = None,
    dropout: float | None = None,
    rate: float | None = None,
    seed: int | None = None,
) -> RunConfig:
    """``base`` with these values; see ``grid``, of whose combinations each is one.

    Args:
        train: training examples, None for all; "" leaves the number alone.

    Raises:
        ValueError: a value that the configurations refuse.
    """
    if method is not None:
        base = replace(base, method=method)
        rate = LEARNING_RATES[method] if rate is None else rate
    where = _given(rank=rank, layers=layers, target_modules=targets)
    if base.method == "two-sided":
        base = replace(base, two_sided=replace(base.two_sided, **where))
    else:
        lora = replace(base.lora, **where, **_given(scaling=scaling, dropout=dropout))
        follows = base.lora.alpha / base.lora.rank * lora.rank
        lora = replace(lora, alpha=follows if alpha is None else alpha)
        base = replace(base, lora=lora if scale is None else _scaled(lora, scale))
    learning = replace(base.train, **_given(learning_rate=rate, seed=seed))
    data = base.data if train == "" else replace(base.data, train_size=train)
    return replace(base, data=data, train=learning)


def _scaled(lora: LoraConfig, scale: float) -> LoraConfig:
    """The same with the alpha that gives this scale, which is proportional to it."""
    return replace(lora, alpha=scale / replace(lora, alpha=1.0).scale)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _name(setting: dict[str, Any], method: str) -> str:
    parts = [method] * bool(method) + [f"{key}-{plain(value)}" for key, value in setting.items()]
    return "_".join(parts) or "only"


def plain(value: Any) -> str:
    """A value as part of a folder name: letters, digits, points and dashes."""
    if value is None:
        return "all"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    text = f"{value:g}" if isinstance(value, float) else str(value).replace(",", ".")
    return "".join(c if c.isascii() and c.isalnum() or c in ".-" else "-" for c in text).strip("-")


def _listed(options: Sequence[Any]) -> str:
    return ", ".join("all" if option is None else str(option) for option in options)
