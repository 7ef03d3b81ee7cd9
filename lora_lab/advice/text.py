"""Advice in plain English, for the terminal; and as values, for programs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Any

from lora_lab.advice.advising import Advice, Rival
from lora_lab.advice.candidates import Measured
from lora_lab.advice.recipe import train_command
from lora_lab.runs import RunConfig

WIDTH = 100  # letters
RIVALS = 5  # in the text; all of them are in the JSON
METHODS = {"lora": "LoRA", "full": "full fine-tuning", "head": "head only",
           "two-sided": "two-sided"}  # fmt: skip


def as_text(advice: Advice) -> str:
    """What to train, what to expect, how sure that is, and what it rests on."""
    one, question = advice.advised, advice.question
    lines = [
        f"Begin with {name(one)}.",
        f"  test accuracy {one.test:.1%}, 95% interval {one.interval.low:.1%} to "
        f"{one.interval.high:.1%} (single runs: {one.reached[0]:.1%} to {one.reached[1]:.1%})",
        f"  about {_seconds(one.seconds)} of training here, {one.trainable:,} trainable parameters",
        f"  {train_command(one.config)}",
        "",
        _wrapped(f"Why: {_why(advice)}"),
        _wrapped(f"How sure: {_sure(advice)}"),
    ]
    shown = [*advice.rivals[:RIVALS], *advice.methods]
    if shown:
        width = max(len(name(rival.setting)) for rival in shown)
        lines += ["", f"{'Besides':<{width + 2}}{'test':>6}{'against the best, points':>28}"
                  f"{'seconds':>9}{'trainable':>12}"]  # fmt: skip
        lines += [f"  {_row(rival, width)}" for rival in shown]
    if left := len(advice.rivals) - RIVALS:
        lines += [f"  and {left} more (--json)"] if left > 0 else []
    lines += ["", *_rests_on(advice)]
    if question.train_size not in advice.sizes:
        lines.append(
            f"{question.train_size:,} sentences were not measured; the nearest is {one.train:,}."
        )
    return "\n".join(lines)


def as_dict(advice: Advice) -> dict[str, Any]:
    """Everything in ``Advice``, ready for JSON."""

    def setting(one: Measured) -> dict[str, Any]:
        apart = ("right", "pace", "reads", "config", "interval")
        values = {k: v for k, v in vars(one).items() if k not in apart}
        config = one.config.as_dict() if one.config else None
        return values | {"interval": asdict(one.interval), "config": config}

    def rival(other: Rival) -> dict[str, Any]:
        return setting(other.setting) | {"difference": asdict(other.difference)}

    return {
        "question": asdict(advice.question),
        "command": train_command(advice.advised.config),
        "advised": setting(advice.advised),
        "best": setting(advice.best),
        "difference": advice.difference and asdict(advice.difference),
        "rivals": [rival(one) for one in advice.rivals],
        "methods": [rival(one) for one in advice.methods],
        "settings": advice.settings,
        "worse": advice.worse,
        "sizes": advice.sizes,
        "measured_sizes": advice.measured_sizes,
        "examples": advice.examples,
        "speed": asdict(advice.speed),
        "origins": advice.origins,
    }


def name(one: Measured) -> str:
    """A setting in a few words: "LoRA, rank 8, alpha 16, q,v in all layers, rate 0.001"."""
    if one.config is None:
        return f"{METHODS[one.method]}, rate {one.rate:g}"
    lora, train = one.config.lora, one.config.train
    parts = [f"LoRA, rank {lora.rank}", f"alpha {lora.alpha:g}"]
    if lora.scaling != "alpha/r":
        parts.append(f"scaling {lora.scaling}")
    parts += [f"{lora.target_modules} in {_layers(lora.layers)}", f"rate {train.learning_rate:g}"]
    parts += _training(one.config)
    return ", ".join(parts)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent="  ")


def _training(config: RunConfig) -> list[str]:
    train = config.train
    epochs = [f"{train.epochs} epoch{'s' * (train.epochs > 1)}"]
    return epochs + ["last epoch kept"] * (train.keep == "last")


def _layers(chosen: str) -> str:
    kind, _, count = chosen.partition(":")
    if chosen == "all":
        return "all layers"
    if not count:
        return f"layers {chosen}"
    return f"the {kind} layer" if count == "1" else f"the {kind} {count} layers"


def _why(advice: Advice) -> str:
    if advice.settings == 1:
        return "it is the only LoRA setting that was measured there and fits the budget."
    among = f"best on validation of {advice.settings} settings that were measured there and fit"
    if advice.difference is None:
        return f"{among} ({advice.advised.validation:.1%})."
    return (
        f"the cheapest that comes close to the {among}. That one is {name(advice.best)}; "
        f"on the test this one is off by {_points(advice.difference)} points."
    )


def _sure(advice: Advice) -> str:
    one, others = advice.advised, advice.settings - 1
    if others == 0:
        text = "nothing to compare it with."
    elif advice.worse == others:
        text = f"the other {others} are measurably worse."
    else:
        text = (
            f"{advice.worse} of the other {others} are measurably worse than the best, "
            f"{others - advice.worse} cannot be told apart from it."
        )
    text += (
        f" {one.seeds} seeds, {advice.examples:,} test sentences; compared on the same sentences, "
        "corrected for all comparisons."
    )
    if others:
        text += (
            f" To be the best of {advice.settings} takes some luck, so its accuracy on validation, "
            f"{advice.best.validation:.1%}, promises too much; the test had no part in that choice."
        )
    return text


def _rests_on(advice: Advice) -> list[str]:
    lines = [
        f"It rests on runs with {_sizes(advice)} of {advice.question.data}, and on nothing else:"
    ]
    for grid, origin in advice.origins.items():
        made = origin["made_with"]
        lines.append(
            f"  {grid}, {origin['date']}: {origin['command']}\n"
            f"    lora-lab {made.get('lora-lab', '?')}, torch {made.get('torch', '?')}, "
            f"{made.get('system', '?')}, {made.get('cores', '?')} cores"
        )
    speed = advice.speed
    basis = {
        "runs": f"finished runs of this machine ({speed.runs})",
        "trial": "a short trial on this machine",
        "elsewhere": "the machine of these grids; nothing has been timed here yet",
    }
    ratio = "" if speed.basis == "elsewhere" else f", {speed.ratio:.2g} times their seconds"
    return [*lines, f"Times go by {basis[speed.basis]}{ratio}."]


def _sizes(advice: Advice) -> str:
    return " and ".join(f"{size:,}" for size in advice.sizes) + " sentences"


def _row(rival: Rival, width: int) -> str:
    one = rival.setting
    return (
        f"{name(one):<{width}}{one.test:6.1%}{_points(rival.difference):>28}"
        f"{one.seconds:9.0f}{one.trainable:12,}"
    )


def _points(difference: Any) -> str:
    bounds = difference.interval
    low, high = 100 * bounds.low, 100 * bounds.high
    return f"{100 * difference.value:+.1f} ({low:+.1f} to {high:+.1f})"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
