"""How the pages write numbers, durations, names and text that others wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from lora_lab.choices import ALL_LINEAR
from lora_lab.dashboard import unusual, uploads
from lora_lab.dashboard.language import has, t
from lora_lab.evaluation import Evaluation, Interval
from lora_lab.runs import Run, RunConfig


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}%"


def share(value: float) -> str:
    """A share of the model with three significant figures at most: 2.84%, 0.0034%."""
    return f"{100 * value:.3g}%"


def duration(seconds: float) -> str:
    """A time as one would say it: to 5 seconds below two minutes, to minutes beyond ten."""
    if seconds < 10:
        return t("common.duration.seconds", seconds=max(1, round(seconds)))
    if seconds < 120:
        return t("common.duration.seconds", seconds=5 * round(seconds / 5))
    minutes, rest = divmod(round(seconds / 10) * 10, 60)
    if minutes < 10 and rest:
        return t("common.duration.both", minutes=minutes, seconds=rest)
    if minutes < 120:
        return t("common.duration.minutes", minutes=minutes)
    return t("common.duration.hours", hours=f"{minutes / 60:.1f}")


def took(seconds: float) -> str:
    """A time that was measured: to the second below two minutes."""
    if seconds < 120:
        return t("common.duration.seconds", seconds=max(1, round(seconds)))
    return duration(seconds)


def number(value: float) -> str:
    """A setting such as a size, a scale or a learning rate: 1,000, 0.25, 0.00005."""
    return f"{value:,.7f}".rstrip("0").rstrip(".") if value < 1 else f"{value:,.6g}"


def scale(value: float) -> str:
    """s to three digits: alpha / sqrt(r) has no end."""
    return number(float(f"{value:.3g}"))


def interval(bounds: Interval) -> str:
    return t("common.interval", low=f"{100 * bounds.low:.1f}", high=percent(bounds.high))


def method(config: RunConfig) -> str:
    """What a run trains, in two or three words."""
    return t(f"train.method.option.{config.method}")


def data(source: str) -> str:
    """Sentences by the name that ``load_data`` or an address knows them by, in a few words."""
    key = f"train.data.option.{source}"
    if has(key):
        return t(key)
    identity = source if uploads.known(source) else uploads.identity_of(source)
    return one_line(uploads.facts(identity)["name"] if identity else Path(source).name)


def run_title(run: Run) -> str:
    """A run in one line, telling it apart from its neighbours."""
    what, whence = _title_parts(run)
    return t("common.comma").join([*what, *whence])


def titles(runs: Sequence[Run]) -> list[str]:
    """Titles for runs beside each other: of their data and training, only what tells them apart."""
    parts = [_title_parts(run) for run in runs]
    shared = set.intersection(*(set(whence) for _, whence in parts)) if parts else set()
    return [
        t("common.comma").join([*what, *(part for part in whence if part not in shared)])
        for what, whence in parts
    ]


def layers(chosen: str | Sequence[int]) -> str:
    """Layers as a configuration names them, in words."""
    if chosen == "all":
        return t("common.title.all_layers")
    if not isinstance(chosen, str):
        chosen = " ".join(map(str, chosen))
    kind, _, count = chosen.partition(":")
    if kind not in ("top", "bottom"):
        return t("common.title.layers", layers=chosen.replace(",", " "))
    return t(f"common.title.{kind}_layer{'s' * (count != '1')}", count=count)


def targets(chosen: str | Sequence[str]) -> str:
    """Matrices as a configuration names them, in words."""
    if chosen == ALL_LINEAR:
        return t("common.title.all_matrices")
    return (chosen if isinstance(chosen, str) else " ".join(chosen)).replace(",", " ")


def started(run_id: str) -> str:
    """Day and time from the folder's name; a folder named by hand keeps its name."""
    try:
        when = datetime.strptime(run_id[:15], "%Y%m%d-%H%M%S")
    except ValueError:
        return run_id
    return when.strftime(t("common.moment"))


def comparison(first: str, a: Evaluation, second: str, b: Evaluation) -> str:
    """A sentence on two accuracies measured on the same examples."""
    if a.interval.overlaps(b.interval):
        return t("common.compared.same", first=first, second=second)
    gap = 100 * (a.accuracy - b.accuracy)
    key = "common.compared.above" if gap > 0 else "common.compared.below"
    return t(key, first=first, second=second, points=f"{abs(gap):.1f}")


def one_line(text: str) -> str:
    """Text from elsewhere without line breaks and letters that cannot be seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def plain(text: str) -> str:
    """Text from elsewhere for a Markdown element, shown letter by letter and never obeyed."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def quoted(text: str, longest: int = 40) -> str:
    """A short piece of text from elsewhere as code: no link, image or emoji comes of it."""
    text = "".join(c if c.isprintable() else " " for c in text)
    text = text[:longest] + "…" * (len(text) > longest)
    fence = "`" * (1 + max((len(ticks) for ticks in re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if text.strip() else t("common.nothing")


def _title_parts(run: Run) -> tuple[list[str], list[str]]:
    """What learned, and from what."""
    config = run.config
    what = [method(config)]
    adapter = {"lora": config.lora, "two-sided": config.two_sided}.get(config.method)
    if adapter:
        what[0] += f" r={adapter.rank}"
        if config.method == "lora":
            what.append(f"alpha={number(adapter.alpha)}")
        what += [targets(adapter.target_modules), layers(adapter.layers)]
    size = config.data.train_size
    sentences = t("common.title.sentences", count=size) if size else t("common.title.every")
    epochs = config.train.epochs
    whence = [
        data(config.data.name),
        sentences,
        t("common.title.epoch") if epochs == 1 else t("common.title.epochs", count=epochs),
    ]
    whence += unusual.of_run(config)
    if config.train.seed:
        whence.append(t("common.title.seed", seed=config.train.seed))
    return what, whence
