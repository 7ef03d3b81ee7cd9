"""Settings made for one architecture, put onto another: what of them means something there."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lora_lab.budget.counting import Blueprint
from lora_lab.dashboard.kinds import ALL
from lora_lab.targets import ALL_LINEAR, SHORT_NAMES

_APART, _FUSED = ("q", "k", "v"), "qkv"


def offered(blueprint: Blueprint) -> tuple[str, ...]:
    """Names for the matrices of a block: the papers' short ones where the family is known.

    Where q, k and v are one matrix, they may be counted apart as well, as the LoRA paper does.
    """
    if names := blueprint.short_names:
        return (*_APART, *names) if _FUSED in names else names
    return tuple(dict.fromkeys(_suffix(name, blueprint.places) for name in blueprint.places))


def short_name(name: str, blueprint: Blueprint) -> str:
    """What a matrix is called beside a drawing: its short name, else the end of its own."""
    numbered = name.replace("*", "0")
    whole, _, part = numbered.rpartition(".")
    for short, pattern in SHORT_NAMES.get(blueprint.settings.model_type, {}).items():
        if re.fullmatch(pattern, numbered):
            return short
        if short == _FUSED and re.fullmatch(pattern, whole):
            return part
    return _suffix(name, blueprint.places)


def fit_targets(asked: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Those of the asked names that are offered; every matrix if none is."""
    wanted = set(asked)
    if _FUSED in wanted and _FUSED not in names:
        wanted |= set(_APART)
    chosen = tuple(name for name in names if name in wanted)
    if _FUSED in chosen:  # the whole matrix and its parts exclude each other
        chosen = tuple(name for name in chosen if name not in _APART)
    if not chosen or set(chosen) == set(every(names)):
        return (ALL_LINEAR,)
    return chosen


def every(names: Sequence[str]) -> tuple[str, ...]:
    """What all linear layers are, in the offered names."""
    return tuple(name for name in names if _FUSED not in names or name not in _APART)


def after_click(before: Sequence[str], after: Sequence[str]) -> tuple[str, ...]:
    """The names chosen by a click: the fused matrix takes the place of its parts, or they its."""
    if _FUSED in after and _FUSED not in before:
        return tuple(name for name in after if name not in _APART)
    if _FUSED in before and set(after) & set(_APART):
        return tuple(name for name in after if name != _FUSED)
    return tuple(after)


def as_trained(targets: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """The same targets as code can adapt them: parts of a fused matrix become the whole."""
    if _FUSED not in names or not set(targets) & set(_APART):
        return tuple(targets)
    return tuple(dict.fromkeys(_FUSED if name in _APART else name for name in targets))


def fit_layers(asked: str, blocks: int) -> str:
    """The asked layers cut to those that there are."""
    end, _, number = asked.partition(":")
    if number:
        return f"{end}:{min(int(number), blocks)}"
    if asked == ALL:
        return ALL
    first, last = (min(int(each), blocks - 1) for each in asked.split("-"))
    return f"{first}-{last}"


def _suffix(name: str, others: Sequence[str]) -> str:
    """The end of a name: its last part, or the last two where these tell all namesakes apart."""
    alike = [_end(other, 2) for other in others if _end(other, 1) == _end(name, 1)]
    together = len(alike) == 1 or len(set(alike)) < len(alike) or "*" in "".join(alike)
    return _end(name, 1 if together else 2)


def _end(name: str, parts: int) -> str:
    return ".".join(name.split(".")[-parts:])
