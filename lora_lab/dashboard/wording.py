"""How the pages write numbers, durations, names and text that others wrote."""

from __future__ import annotations

import re
from datetime import datetime

from lora_lab.demo import TITLES
from lora_lab.evaluation import Evaluation, Interval
from lora_lab.runs import Run, RunConfig


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}%"


def share(value: float) -> str:
    """A share of the model with three significant figures at most: 2.84%, 0.0034%."""
    return f"{100 * value:.3g}%"


def size(number: int) -> str:
    """Bytes in decimal units."""
    for unit, one in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= one:
            return f"{number / one:,.1f} {unit}"
    return f"{number} B"


def duration(seconds: float) -> str:
    """A time as one would say it: to 5 seconds below two minutes, to minutes beyond ten."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 120:
        return f"{5 * round(seconds / 5)} s"
    minutes, rest = divmod(round(seconds / 10) * 10, 60)
    return f"{minutes} min {rest} s" if minutes < 10 and rest else f"{minutes} min"


def number(value: float) -> str:
    """A setting such as a size, a scale or a learning rate: 1,000, 0.25, 0.00005."""
    return f"{value:,.7f}".rstrip("0").rstrip(".") if value < 1 else f"{value:,.6g}"


def interval(bounds: Interval) -> str:
    return f"{100 * bounds.low:.1f} to {percent(bounds.high)}"


def method(config: RunConfig) -> str:
    """What a run trains, in two or three words."""
    title = TITLES[config.method]
    return title[0].upper() + title[1:]


def run_title(run: Run) -> str:
    """A run in one line, telling it apart from its neighbours."""
    config = run.config
    parts = [method(config)]
    adapter = {"lora": config.lora, "two-sided": config.two_sided}.get(config.method)
    if adapter:
        targets = adapter.target_modules
        targets = targets if isinstance(targets, str) else ",".join(targets)
        layers = adapter.layers if isinstance(adapter.layers, str) else _list(adapter.layers)
        parts[0] += f" r={adapter.rank}"
        parts += [targets.replace(",", " "), f"layers {layers}"]
    size = config.data.train_size
    parts.append(f"{size:,} sentences" if size else "all sentences")
    parts.append(f"{config.train.epochs} epoch{'s' * (config.train.epochs > 1)}")
    if config.train.seed:
        parts.append(f"seed {config.train.seed}")
    return ", ".join(parts)


def in_two_lines(run: Run) -> str:
    """The title for a narrow place: what learned, then from what."""
    parts = run_title(run).split(", ")
    cut = 3 if run.config.method in ("lora", "two-sided") else 1
    return f"{', '.join(parts[:cut])}\n{', '.join(parts[cut:])}"


def started(run_id: str) -> str:
    """Day and time from the folder's name; a folder named by hand keeps its name."""
    try:
        return datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S").strftime("%d %b %H:%M:%S")
    except ValueError:
        return run_id


def comparison(first: str, a: Evaluation, second: str, b: Evaluation) -> str:
    """A sentence on two accuracies measured on the same examples."""
    gap = 100 * (a.accuracy - b.accuracy)
    direction = "above" if gap > 0 else "below"
    if a.interval.overlaps(b.interval):
        return f"{first} against {second}: no measurable difference, the intervals overlap."
    return (
        f"{first} is {abs(gap):.1f} points {direction} {second}: a measurable difference, "
        "the intervals do not overlap."
    )


def plain(text: str) -> str:
    """Text from elsewhere for a Markdown element, shown letter by letter and never obeyed."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def quoted(text: str, longest: int = 40) -> str:
    """A short piece of text from elsewhere as code: no link, image or emoji comes of it."""
    text = "".join(c if c.isprintable() else " " for c in text)
    text = text[:longest] + "…" * (len(text) > longest)
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if text.strip() else "nothing"


def _list(numbers: tuple[int, ...]) -> str:
    return " ".join(map(str, numbers))
