"""What came out of training: curves, accuracies with their intervals, confusions, ratings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lora_lab.evaluation import Evaluation, wilson_interval
from lora_lab.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    RED,
    SKY,
    STYLE,
    colours,
    figure_of,
    interval_points,
    label,
)


def learning_curves(events: Sequence[Mapping[str, Any]], title: str = "Training") -> Figure:
    """Loss and validation accuracy with its 95% interval, from the events of a run.

    Args:
        events: what a listener of ``train`` is given, or ``read_metrics`` returns; may be only
            the beginning of a run.
    """
    steps = [e for e in events if e["event"] == "step"]
    epochs = [e for e in events if e["event"] == "epoch"]
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(11, 4, columns=2)
        label(left, f"{title}: loss", "optimiser step", "cross-entropy (nats)")
        label(right, f"{title}: validation", "optimiser step", "accuracy, 95% interval")
        batch = [e["loss"] for e in steps]
        left.plot([e["step"] for e in steps], batch, "o-", color=GREY, ms=4, label="one batch")
        at = [e["step"] for e in epochs]
        losses = [e["validation_loss"] for e in epochs]
        left.plot(at, losses, "s-", color=BLUE, ms=8, label="validation split")
        points = [(e["validation_accuracy"], *e["validation_interval"]) for e in epochs]
        interval_points(right, at, points, color=BLUE)
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
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(9, 1.6 + 0.6 * len(evaluations))
        label(axes, title, "accuracy, Wilson 95% interval", "")
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
    with matplotlib.rc_context(STYLE):
        size = 3.4 + 1.1 * len(evaluation.classes)
        figure, axes = figure_of(size + 0.6, size)
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
    label(axes, title, "predicted class", "true class", grid=False)


def calibration_diagram(evaluation: Evaluation, title: str = "Calibration") -> Figure:
    """Accuracy against confidence per bin, with Wilson intervals, and how many are in each bin.

    Raises:
        ValueError: the evaluation has no probabilities.
    """
    bins = evaluation.calibration
    if not bins:
        raise ValueError("This method gives no probabilities, so it has no calibration.")
    with matplotlib.rc_context(STYLE):
        figure, (top, bottom) = figure_of(7, 6, rows=2, height_ratios=(3, 1), sharex=True)
        label(top, title, "", "share that is right")
        top.plot([0, 1], [0, 1], "--", color=GREY, lw=1.5, label="perfectly calibrated")
        bounds = [wilson_interval(round(b.accuracy * b.count), b.count) for b in bins]
        points = [(b.accuracy, i.low, i.high) for b, i in zip(bins, bounds, strict=True)]
        interval_points(
            top, [b.confidence for b in bins], points, color=BLUE, label="model, 95% interval"
        )
        start = 1 / len(evaluation.classes)
        top.set_xlim(start - 0.02, 1.01)
        top.set_ylim(0, 1.02)
        top.legend(frameon=False, loc="lower right")
        edges, counts = [b.low for b in bins], [b.count for b in bins]
        bottom.bar(edges, counts, bins[0].high - bins[0].low, align="edge", ec="white", color=SKY)
        label(bottom, "", "confidence (largest probability)", "sentences")
    return figure


def probability_bars(
    names: Sequence[str], rows: Mapping[str, Sequence[float]], title: str = "Answer"
) -> Figure:
    """One stacked bar from 0 to 1 per row; each piece is a class's probability."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(10, 1.5 + 0.55 * len(rows))
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
        label(axes, title, "probability", "", grid=False)
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
    with matplotlib.rc_context(STYLE):
        figure, (left, right) = figure_of(11, 4.6, columns=2)
        name = at.classes[1].name
        label(left, f"Class '{name}'", f"threshold on P({name})", "precision, recall")
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
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(9, 4)
        label(axes, title, x, "sentences")
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
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(9, 4.4)
        below = "mean rating (dashed: 0, where the class changes)"
        label(axes, title, below, "standard deviation of the ratings", grid=False)
        density = axes.hexbin(ratings, spreads, gridsize=40, cmap="viridis", mincnt=1)
        figure.colorbar(density, ax=axes, label="sentences")
        axes.axvline(0, color=RED, ls="--", lw=1.5)
    return figure
