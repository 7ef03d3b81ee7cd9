"""What is asked of ``advise``, and why it may be refused."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from typing import Any, Literal

from lora_lab.models import DEFAULT_MODEL

Kind = Literal[
    "number", "nothing", "seeds", "model", "data", "too_few", "too_many", "parameters", "time"
]
_MESSAGES: dict[Kind, str] = {
    "number": "{name} is {given!r}; it must be {wanted}.",
    "nothing": "There is no measured grid to judge by. This computes the one that ships with the "
    "package: lora-lab sweep --preset classroom --export lora_lab/stored/classroom",
    "seeds": "No LoRA setting in the grid has {wanted} seeds or more, and fewer do not tell a good "
    "setting from a lucky run. Sweep with --seeds 0,1,2.",
    "model": "The model {given!r} was not measured, only {known}: what suits one model need not "
    "suit another.",
    "data": "The data {given!r} was not measured, only {known}: what suits one kind of text need "
    "not suit another.",
    "too_few": "{given:,} sentences are fewer than the fewest that were measured, {low:,}.",
    "too_many": "{given:,} sentences are more than the most that were measured, {high:,}.",
    "parameters": "No measured setting has at most {given:,} trainable parameters, the head's "
    "included. The smallest has {needed:,}.",
    "time": "No measured setting trains in at most {given:,.0f} seconds here. The quickest needs "
    "about {needed:,} seconds (--minutes {minutes:g}).",
}
#: Refusals that a sweep of one's own can overcome.
_MEASURABLE = ("model", "data", "too_few", "too_many")


class AdviceError(ValueError):
    """No advice can be given: the message says why, and what to do.

    Attributes:
        kind, values: the reason, for whoever says it in other words or another language.
        commands: what measures it and then asks again; empty where that is not the way.
    """

    def __init__(self, kind: Kind, commands: tuple[str, ...] = (), **values: Any) -> None:
        text = _MESSAGES[kind].format(**values)
        if commands:
            text += "\nTo measure it, and then to ask again:\n  " + "\n  ".join(commands)
        super().__init__(text)
        self.kind, self.values, self.commands = kind, values, commands


@dataclass(frozen=True)
class Question:
    """What to train and what it may cost.

    Attributes:
        train_size: labelled sentences to learn from.
        seconds: for the training of one run on this machine.
        parameters: most trainable parameters, the head's included (None: any number).
        data: as ``load_data`` names it.

    Raises:
        AdviceError: a number that is not one, or not above zero.
    """

    model: str = DEFAULT_MODEL
    train_size: int = 1000
    seconds: float = 300.0
    parameters: int | None = None
    data: str = "movie-reviews"

    def __post_init__(self) -> None:
        for name in ("train_size", "parameters"):
            given = getattr(self, name)
            if given is None and name == "parameters":
                continue
            if isinstance(given, bool) or not isinstance(given, int) or given < 1:
                wanted = "a whole number of at least 1"
                raise AdviceError("number", name=name, given=given, wanted=wanted)
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise AdviceError("number", name="seconds", given=self.seconds, wanted="above 0")

    def refusal(self, kind: Kind, **values: Any) -> AdviceError:
        """Why this cannot be answered, with what would make it answerable."""
        if kind == "model" or kind == "data":
            values["known"] = ", ".join(values["known"])
        if kind == "time":
            # Rounded up in the unit of the command line, so that asking for it is enough.
            values["minutes"] = math.ceil(values["needed"] / 60 * 100) / 100
            values["needed"] = math.ceil(values["needed"])
        commands = self._commands() if kind in _MEASURABLE else ()
        return AdviceError(kind, commands, **values)

    def _commands(self) -> tuple[str, str]:
        """A sweep that measures what was asked for, and the same question to its result."""
        plain = "".join(c if c.isalnum() else "-" for c in self.model.rpartition("/")[2])
        folder = f"runs/measured-{plain}-{self.train_size}"
        asked = ["--model", self.model, "--data", self.data, "--train-size", str(self.train_size)]
        sweep = ["lora-lab", "sweep", *asked, "--ranks", "1,8,32"]
        sweep += ["--layer-choices", "top:1 top:2 all", "--seeds", "0,1,2"]
        sweep += ["--folder", folder, "--export", f"{folder}-grid"]
        again = ["lora-lab", "advise", *asked, "--minutes", f"{self.seconds / 60:g}"]
        if self.parameters is not None:
            again += ["--parameters", str(self.parameters)]
        again += ["--grid", f"{folder}-grid"]
        return shlex.join(sweep), shlex.join(again)
