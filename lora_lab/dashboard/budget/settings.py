"""The settings of the budget page: any architecture, so names and layers of any number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lora_lab.budget import paper, pasted
from lora_lab.budget.architectures import ARCHITECTURES
from lora_lab.dashboard.kinds import ALL, Choice, Setting, Switch, Whole
from lora_lab.dashboard.sheet import Preset, Sheet
from lora_lab.targets import ALL_LINEAR

PASTED = "pasted"
LARGEST_RANK = 1024


@dataclass(frozen=True, kw_only=True)
class Names(Setting):
    """Target names, whatever the architecture calls its matrices: read only for their form."""

    default: tuple[str, ...] = (ALL_LINEAR,)
    most: int = 30

    def write(self, value: Sequence[str]) -> str:
        return ",".join(value)

    def read(self, text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        if len(names) > self.most or not all(
            re.fullmatch(r"[A-Za-z][\w.-]{0,59}", name, re.ASCII) for name in names
        ):
            raise ValueError(f"{text!r} is not a list of names")
        return names


@dataclass(frozen=True, kw_only=True)
class Stretch(Setting):
    """Layers that lie together: "all", "top:2", "bottom:2" or a range such as "3-5"."""

    default: str = ALL

    def read(self, text: str) -> str:
        ends = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", text, re.ASCII)
        if ends:
            first, last = int(ends[1]), int(ends[2] or ends[1])
            if first <= last:
                return f"{first}-{last}"
        elif text == ALL or re.fullmatch(r"(top|bottom):[1-9]\d{0,2}", text, re.ASCII):
            return text
        raise ValueError(f"{text!r} names no layers")


@dataclass(frozen=True, kw_only=True)
class Configuration(Setting):
    """A pasted transformers configuration, kept as short JSON; empty without one."""

    default: str = ""

    def read(self, text: str) -> str:
        return pasted.tidy(text) if text else ""


def _preset(row: paper.Row) -> Preset:
    values = {"model": row.model, "rank": row.rank, "targets": paper.TARGETS, "head": False}
    return Preset(f"{row.model}-r{row.rank}", values)


SHEET = Sheet(
    "budget",
    (
        Choice(
            name="model",
            group="model",
            default="minilm",
            options=(*ARCHITECTURES, PASTED),
            many=True,
        ),
        Configuration(name="config", group="model"),
        Switch(name="head", group="model", default=True),
        Whole(
            name="rank",
            group="adapter",
            default=8,
            low=1,
            high=LARGEST_RANK,
            steps=(1, 2, 4, 8, 16, 32, 64, 128, 256),
        ),
        Names(name="targets", group="adapter"),
        Stretch(name="layers", group="adapter"),
        Whole(name="alpha", group="adapter", default=16, low=1, high=1024, detail=True),
    ),
    tuple(map(_preset, paper.ROWS)),
)
