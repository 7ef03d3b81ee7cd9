"""Figures shared by the notebooks and the app: data in, ``Figure`` out.

Nothing here touches pyplot, so no figure is kept alive and no backend is chosen. Colours are
Okabe and Ito's, which people with any kind of colour vision can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lora_lab.evaluation import Evaluation, wilson_interval

BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, GREY = "#CC79A7", "#56B4E9", "#767676"
YELLOW = "#F0E442"
#: Colour of each sentiment class; other names get the remaining colours in order.
CLASS_COLOURS = {"negative": RED, "neutral": GREY, "positive": BLUE}
_OTHERS = (GREEN, ORANGE, PURPLE, SKY, BLUE, RED)
_STYLE = {
    "font.size": 13,
    "axes.titlesize": 14,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2,
}


def learning_curves(events: Sequence[Mapping[str, Any]], title: str = "Training") -> Figure:
    """Loss and validation accuracy with its 95% interval, from the events of a run.

    Args:
        events: what a listener of ``train`` is given, or ``read_metrics`` returns; may be only
            the beginning of a run.
    """
    steps = [e for e in events if e["event"] == "step"]
    epochs = [e for e in events if e["event"] == "epoch"]
    with matplotlib.rc_context(_STYLE):
        figure, (left, right) = _figure(11, 4, columns=2)
        _title(left, f"{title}: loss", "optimiser step", "cross-entropy (nats)")
        _title(right, f"{title}: validation", "optimiser step", "accuracy, 95% interval")
        batch = [e["loss"] for e in steps]
        left.plot([e["step"] for e in steps], batch, "o-", color=GREY, ms=4, label="one batch")
        at = [e["step"] for e in epochs]
        losses = [e["validation_loss"] for e in epochs]
        left.plot(at, losses, "s-", color=BLUE, ms=8, label="validation split")
        points = [(e["validation_accuracy"], *e["validation_interval"]) for e in epochs]
        _points(right, at, points, color=BLUE)
        total = max([e.get("steps", 0) for e in events] or [0])
        for axes in (left, right):
            axes.set_xlim(0, max(total, 10) * 1.03)
        left.set_ylim(0, 1.1 * max([0.7, *batch, *losses]))
        left.legend(frameon=False, loc="lower left")
        if not epochs:
            right.set_ylim(0, 1)
            right.text(0, 0.5, "  waits for the end of an epoch", color=GREY)
    return figure


def accuracy_comparison(
    evaluations: Mapping[str, Evaluation], *, title: str = "Accuracy", chance: float | None = None
) -> Figure:
    """One dot per method with its Wilson 95% interval, in the order given, first on top."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(9, 1.6 + 0.6 * len(evaluations))
        _title(axes, title, "accuracy, Wilson 95% interval", "")
        rows = list(range(len(evaluations)))
        for row, e in zip(rows, evaluations.values(), strict=True):
            axes.plot([e.interval.low, e.interval.high], [row, row], color=BLUE, lw=4, alpha=0.45)
            axes.plot([e.accuracy], [row], "o", color=BLUE, ms=9)
            axes.text(e.interval.high, row, f"  {e.accuracy:.3f}", va="center")
        axes.set_yticks(rows, list(evaluations))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        if chance is not None:
            axes.axvline(chance, color=GREY, ls="--", lw=1.5)
            axes.text(chance, -0.5, " chance", color=GREY, va="top")
        low, high = axes.get_xlim()
        axes.set_xlim(low, high + 0.15 * (high - low))  # room for the numbers
    return figure


def confusion_matrix(evaluation: Evaluation, title: str = "Confusion matrix") -> Figure:
    """Counts, and each as a share of its true class (row), which also sets the shade."""
    with matplotlib.rc_context(_STYLE):
        size = 3.4 + 1.1 * len(evaluation.classes)
        figure, axes = _figure(size + 0.6, size)
        draw_confusion(axes, evaluation, title)
    return figure


def draw_confusion(axes: Axes, evaluation: Evaluation, title: str) -> None:
    """``confusion_matrix`` on axes of a larger figure."""
    names = [c.name for c in evaluation.classes]
    counts = np.array(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        share = shares[row, column]
        ink = "white" if share > 0.55 else "black"
        text = f"{count:,}\n{share:.0%} of row"
        axes.text(column, row, text, ha="center", va="center", color=ink)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    _title(axes, title, "predicted class", "true class", grid=False)


def calibration_diagram(evaluation: Evaluation, title: str = "Calibration") -> Figure:
    """Accuracy against confidence per bin, with Wilson intervals, and how many are in each bin.

    Raises:
        ValueError: the evaluation has no probabilities.
    """
    bins = evaluation.calibration
    if not bins:
        raise ValueError("This method gives no probabilities, so it has no calibration.")
    with matplotlib.rc_context(_STYLE):
        figure, (top, bottom) = _figure(7, 6, rows=2, height_ratios=(3, 1), sharex=True)
        _title(top, title, "", "share that is right")
        top.plot([0, 1], [0, 1], "--", color=GREY, lw=1.5, label="perfectly calibrated")
        bounds = [wilson_interval(round(b.accuracy * b.count), b.count) for b in bins]
        points = [(b.accuracy, i.low, i.high) for b, i in zip(bins, bounds, strict=True)]
        _points(top, [b.confidence for b in bins], points, color=BLUE, label="model, 95% interval")
        start = 1 / len(evaluation.classes)
        top.set_xlim(start - 0.02, 1.01)
        top.set_ylim(0, 1.02)
        top.legend(frameon=False, loc="lower right")
        edges, counts = [b.low for b in bins], [b.count for b in bins]
        bottom.bar(edges, counts, bins[0].high - bins[0].low, align="edge", ec="white", color=SKY)
        _title(bottom, "", "confidence (largest probability)", "sentences")
    return figure


def probability_bars(
    names: Sequence[str], rows: Mapping[str, Sequence[float]], title: str = "Answer"
) -> Figure:
    """One stacked bar from 0 to 1 per row; each piece is a class's probability."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(10, 1.5 + 0.55 * len(rows))
        start = np.zeros(len(rows))
        values = np.array(list(rows.values()), dtype=float)
        for column, (name, colour) in enumerate(zip(names, colours(names), strict=True)):
            value = values[:, column]
            bars = axes.barh(range(len(rows)), value, 0.65, start, color=colour, label=name)
            shown = [f"{v:.0%}" if v > 0.08 else "" for v in value]
            axes.bar_label(bars, shown, label_type="center", color="white", weight="bold")
            start += value
        axes.set_yticks(range(len(rows)), [shorten(row, 42, placeholder=" …") for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        _title(axes, title, "probability", "", grid=False)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def threshold_view(
    labels: Sequence[int], positive: Sequence[float], threshold: float, at: Evaluation
) -> Figure:
    """Precision and recall of class 1 at every threshold, and the confusion matrix at one.

    Args:
        labels, positive: (N,) classes 0 or 1, and the probability of class 1.
        at: the evaluation with class 1 answered where ``positive >= threshold``.
    """
    y, p = np.asarray(labels), np.asarray(positive)
    grid = np.linspace(0.01, 0.99, 99)
    said = p[None, :] >= grid[:, None]  # (threshold, N)
    hits = (said & (y == 1)).sum(axis=1)
    recall = hits / max((y == 1).sum(), 1)
    precision = np.where(said.any(axis=1), hits / np.maximum(said.sum(axis=1), 1), np.nan)
    with matplotlib.rc_context(_STYLE):
        figure, (left, right) = _figure(11, 4.6, columns=2)
        name = at.classes[1].name
        _title(left, f"Class '{name}'", f"threshold on P({name})", "precision, recall")
        left.plot(grid, precision, color=BLUE, label="precision")
        left.plot(grid, recall, color=ORANGE, ls="-.", label="recall")
        left.axvline(threshold, color=GREY, ls="--", lw=1.5)
        for value, colour in ((at.classes[1].precision, BLUE), (at.classes[1].recall, ORANGE)):
            left.plot([threshold], [value], "o", color=colour, ms=9)
        left.set_ylim(0, 1.04)
        left.legend(frameon=False, loc="lower left")
        draw_confusion(right, at, f"At {threshold:.2f}: accuracy\n{at.accuracy:.3f} {at.interval}")
    return figure


def histogram(
    groups: Mapping[str, Sequence[float]],
    edges: Sequence[float],
    *,
    title: str,
    x: str,
    mark: float | None = None,
) -> Figure:
    """How many sentences lie between which ``edges``, groups stacked; ``mark``: a dashed line."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(9, 4)
        _title(axes, title, x, "sentences")
        names = list(groups)
        axes.hist(list(groups.values()), edges, stacked=True, color=colours(names), label=names)
        if mark is not None:
            axes.axvline(mark, color=RED, ls="--")
        if len(names) > 1:
            axes.legend(frameon=False)
    return figure


def disagreement(
    ratings: Sequence[float], spreads: Sequence[float], title: str = "Rater disagreement"
) -> Figure:
    """Spread between the raters of a sentence against its mean rating, as a density."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(9, 4.4)
        below = "mean rating (dashed: 0, where the class changes)"
        _title(axes, title, below, "standard deviation of the ratings", grid=False)
        density = axes.hexbin(ratings, spreads, gridsize=40, cmap="viridis", mincnt=1)
        figure.colorbar(density, ax=axes, label="sentences")
        axes.axvline(0, color=RED, ls="--", lw=1.5)
    return figure


def colours(names: Sequence[str]) -> list[str]:
    """A colour for each class."""
    spare = iter(_OTHERS * (1 + len(names) // len(_OTHERS)))
    return [CLASS_COLOURS.get(name) or next(spare) for name in names]


def _figure(width: float, height: float, *, rows: int = 1, columns: int = 1, **how: Any):
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **how)


def _title(axes: Axes, title: str, x: str, y: str, *, grid: bool = True) -> None:
    axes.set(title=title, xlabel=x, ylabel=y)
    if grid:
        axes.grid(alpha=0.25)
        axes.set_axisbelow(True)


def _points(axes: Axes, x: Sequence[float], points: Sequence[tuple], **style: Any) -> None:
    """Dots at (value, low, high) with their intervals, joined by a line."""
    if points:
        value, low, high = np.array(points, dtype=float).T
        axes.errorbar(x, value, [value - low, high - value], fmt="o-", capsize=5, ms=8, **style)


def part_bars(
    rows: Mapping[str, Mapping[str, float]], *, title: str, x: str, share: bool = False
) -> Figure:
    """One stacked bar per row, made of named parts; what a row lacks counts as 0.

    Args:
        share: the values are shares of 1 and are labelled in per cent.
    """
    parts = list(dict.fromkeys(name for row in rows.values() for name in row))
    palette = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY)
    widest = max(sum(row.values()) for row in rows.values()) or 1.0
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(11, max(3.6, 1.8 + 0.75 * len(rows)))
        start = np.zeros(len(rows))
        for number, part in enumerate(parts):
            value = np.array([row.get(part, 0.0) for row in rows.values()])
            colour = palette[number % len(palette)]
            bars = axes.barh(range(len(rows)), value, 0.6, start, color=colour, label=part)
            texts = [f"{v:.0%}" if share else f"{v:.3g}" for v in value]
            shown = [t if v > 0.055 * widest else "" for t, v in zip(texts, value, strict=True)]
            ink = "white" if colour in (BLUE, GREEN, RED, GREY) else "black"
            axes.bar_label(bars, shown, label_type="center", color=ink)
            start += value
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(0, widest)
        _title(axes, title, x, "", grid=False)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03))
    return figure


def time_bars(
    times: Mapping[str, Sequence[float]],
    *,
    title: str,
    x: str,
    floor: float | None = None,
) -> Figure:
    """One bar per row, as long as the median of its times, with their range from end to end.

    Args:
        floor: a dashed line at what no row can go below.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _figure(11, 1.9 + 0.6 * len(times))
        _title(axes, title, x, "", grid=False)
        for row, values in enumerate(times.values()):
            middle, low, high = np.median(values), min(values), max(values)
            axes.barh(row, middle, 0.6, color=SKY)
            axes.plot([low, high], [row, row], "|-", color="black", ms=11, lw=1.5)
            axes.text(high, row, f"  {middle:.3g}", va="center")
        axes.set_yticks(range(len(times)), list(times))
        axes.set_ylim(len(times) - 0.5, -0.5 if floor is None else -1.0)
        axes.set_xlim(0, 1.13 * max(max(values) for values in times.values()))
        if floor is not None:
            axes.axvline(floor, color=RED, ls="--")
            axes.text(floor, -0.72, f" floor {floor:.3g}", color=RED, va="center")
    return figure
