"""Kinds of settings: what values each can have, and how a value is written in an address.

What a setting is called stands in the catalogue of texts, under the name of its sheet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from lora_lab.targets import choose_layers

ALL = "all"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One thing to choose.

    Attributes:
        name: in the address and as the form's key.
        group: heading in the form.
        methods: values of the sheet's leading setting (the method, on the train page) for which
            it means something; the form hides it for the others. Empty: for all.
        by_lead: defaults that depend on the leading setting.
        detail: presenters do without it.
    """

    name: str
    group: str = ""
    default: Any = None
    methods: tuple[str, ...] = ()
    by_lead: Mapping[str, Any] = field(default_factory=dict, hash=False)
    detail: bool = False

    def default_for(self, lead: str | None) -> Any:
        return self.by_lead.get(lead, self.default)

    def matters_for(self, method: str | None) -> bool:
        return not self.methods or method in self.methods

    def write(self, value: Any) -> str:
        """The value as text for an address."""
        return f"{value:g}" if isinstance(value, float) else str(value)

    def read(self, text: str) -> Any:
        """The inverse of ``write``.

        Raises:
            ValueError: not a value of this setting.
        """
        raise TypeError(f"{type(self).__name__} does not say how it is read")


@dataclass(frozen=True, kw_only=True)
class Choice(Setting):
    """One of a few values; None stands for all. ``ladder``: they form a scale, so a slider;
    ``many``: too many to lie side by side, so a list that opens."""

    options: tuple[Any, ...]
    ladder: bool = False
    many: bool = False

    def write(self, value: Any) -> str:
        return ALL if value is None else super().write(value)

    def read(self, text: str) -> Any:
        written = {self.write(option): option for option in self.options}
        if text in written:
            return written[text]
        number = float(text)  # 1e-3 and 0.001 are one number
        for option in self.options:
            if isinstance(option, int | float) and math.isclose(option, number, rel_tol=1e-9):
                return option
        raise ValueError(f"{text!r} is not one of {', '.join(written)}")


@dataclass(frozen=True, kw_only=True)
class Source(Setting):
    """Sentences to learn from: one of ``options``, or an upload that is known on this server."""

    options: tuple[str, ...]
    known: Callable[[str], bool]

    def read(self, text: str) -> str:
        if text not in self.options and not self.known(text):
            raise ValueError(f"{text!r} is neither one of {', '.join(self.options)} nor an upload")
        return text


@dataclass(frozen=True, kw_only=True)
class Switch(Setting):
    """On or off."""

    default: bool = False

    def write(self, value: bool) -> str:
        return "on" if value else "off"

    def read(self, text: str) -> bool:
        if text not in ("on", "off"):
            raise ValueError(f"{text!r} is neither on nor off")
        return text == "on"


@dataclass(frozen=True, kw_only=True)
class Text(Setting):
    """Letters of any kind, at most ``longest``; ``lines``: how high its box is."""

    default: str = ""
    longest: int = 300
    lines: int = 1

    def read(self, text: str) -> str:
        if len(text) > self.longest:
            raise ValueError(f"{len(text)} letters are more than {self.longest}")
        return text


@dataclass(frozen=True, kw_only=True)
class Whole(Setting):
    """A whole number; ``steps`` are the values a slider offers."""

    low: int
    high: int
    steps: tuple[int, ...] = ()

    def read(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and self.low <= int(text[:9]) <= self.high):
            raise ValueError(f"{text!r} is not a whole number from {self.low} to {self.high}")
        return int(text[:9])


@dataclass(frozen=True, kw_only=True)
class Several(Setting):
    """At least one of a few names; all of them together have a name of their own."""

    options: tuple[str, ...]
    together: str

    def write(self, value: Sequence[str]) -> str:
        return self.together if set(value) == set(self.options) else ",".join(value)

    def read(self, text: str) -> tuple[str, ...]:
        names = self.options if text == self.together else text.split(",")
        if not set(names) <= set(self.options):
            raise ValueError(f"{text!r} is not made of {', '.join(self.options)}")
        return tuple(option for option in self.options if option in names)


@dataclass(frozen=True, kw_only=True)
class Names(Setting):
    """Some, or none, of the names that are only known when the page is drawn, in an order."""

    default: tuple[str, ...] = ()
    most: int = 40
    longest: int = 120

    def write(self, value: Sequence[str]) -> str:
        return ",".join(quote(name, safe=" :.+-") for name in value)  # a name may hold a comma

    def read(self, text: str) -> tuple[str, ...]:
        names = tuple(unquote(name) for name in text.split(",") if name)
        if len(names) > self.most or any(len(name) > self.longest for name in names):
            raise ValueError(f"more than {self.most} names, or one above {self.longest} letters")
        if not all(name.isprintable() for name in names) or len(set(names)) < len(names):
            raise ValueError("a name that cannot be shown, or one that comes twice")
        return names


@dataclass(frozen=True, kw_only=True)
class LayerChoice(Setting):
    """Layers of the model as text: "all", "top:2" or numbers from 0 such as "0,3,5"."""

    count: int

    def read(self, text: str) -> str:
        text = text.strip()
        if len(text) > 40 or re.search(r"\d{3}", text):  # "0-999999999" would be counted out
            raise ValueError("that names no layers of this model")
        numbers = choose_layers(text, self.count)
        if text == ALL or text.startswith("top:"):
            return ALL if text == ALL else f"top:{len(numbers)}"
        return ",".join(map(str, numbers))
