"""A watched stream: its days with their alarms, what a normal day looks like, what is found."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from lora_lab.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    STYLE,
    figure_of,
    label,
)

if TYPE_CHECKING:
    from lora_lab.watching.daily import Watch
    from lora_lab.watching.surges import SurgeRule

LINE_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
MARKERS = ("o", "s", "^", "D", "v", "X")
Period = tuple[datetime.date, datetime.date]


def watched_days(
    watch: Watch, title: str = "The stream", planted: Mapping[str, Period] | None = None
) -> Figure:
    """Each day's negative share, the limit for a surge, and the cumulative sum for drift below.

    Args:
        planted: periods to shade, by what happened in them.
    """
    with matplotlib.rc_context(STYLE):
        figure, (top, bottom) = figure_of(12, 7, rows=2, sharex=True, height_ratios=(3, 2))
        before, days = watch.reference, watch.days
        dates = [day.date for day in days]
        share = np.array([day.negative / day.sentences for day in days])
        limit = [day.limit / day.sentences for day in days]
        top.plot(
            [day.date for day in before],
            [day.negative / day.sentences for day in before],
            "o", color=GREY, ms=4, label="reference",
        )  # fmt: skip
        top.plot(dates, share, "o-", color=BLUE, ms=4, lw=1, label="watched")
        top.plot(dates, limit, color=RED, ls="--", lw=1.5, drawstyle="steps-mid", label="limit")
        top.axhline(watch.surge_rule.share, color=GREY, lw=1.5)
        surges = np.array([day.surge for day in days])
        top.plot(np.array(dates)[surges], share[surges], "^", color=RED, ms=11, label="surge")
        sums = np.array([day.drift_sum for day in days])
        bottom.plot(dates, sums, color=PURPLE, label="sum")
        bottom.axhline(watch.drift_rule.threshold, color=RED, ls="--", lw=1.5, label="threshold")
        drifts = np.array([day.drift for day in days])
        bottom.plot(np.array(dates)[drifts], sums[drifts], "s", color=RED, ms=8, label="drift")
        label(top, title, "", "share called negative")
        label(bottom, "Cumulative sum; an alarm sets it back", "date", "nats")
        half_day = datetime.timedelta(hours=12)
        for axes in (top, bottom):
            for number, (name, (first, last)) in enumerate((planted or {}).items()):
                axes.axvspan(
                    first - half_day, last + half_day,
                    color=(ORANGE, SKY, GREEN)[number % 3], alpha=0.25,
                    label=name if axes is top else None,
                )  # fmt: skip
            _date_axis(axes)
            axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        top.set_ylim(0, 1)
        bottom.set_ylim(0, 1.15 * max(sums.max(), watch.drift_rule.threshold))
    return figure


def normal_day(rule: SurgeRule, sentences: int, title: str = "A normal day") -> Figure:
    """How likely each number of negative sentences is, and from where on it is an alarm."""
    from scipy.stats import binom

    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(10, 4.4)
        counts = np.arange(sentences + 1)
        tail = rule.tail(sentences)
        limit = rule.limit(sentences)
        mass = tail[:-1] - tail[1:]
        axes.bar(counts[:limit], mass[:limit], color=SKY, label="normal")
        axes.bar(counts[limit:], mass[limit:], color=RED, label=f"alarm: {limit} or more")
        fixed = binom.pmf(counts, sentences, rule.share)
        axes.plot(counts, fixed, "o", color="black", ms=3, label="if the share were known")
        label(axes, title, f"negative sentences of {sentences}", "probability")
        shown = counts[tail[:-1] > 1e-6]
        axes.set_xlim(max(-0.5, rule.share * sentences - (shown[-1] - rule.share * sentences)),
                      shown[-1] + 0.5)  # fmt: skip
        axes.legend(frameon=False)
    return figure


def response_curves(
    x: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    title: str,
    xlabel: str,
    ylabel: str,
    spans: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    mark: float | None = None,
) -> Figure:
    """Lines with markers of their own over the same x, some with an interval at each point.

    Args:
        spans: (low, high) at each x, by the curve's name.
        mark: a dashed horizontal line.
    """
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(10, 4.6)
        label(axes, title, xlabel, ylabel)
        for number, (name, values) in enumerate(curves.items()):
            colour = LINE_COLOURS[number % len(LINE_COLOURS)]
            marker = MARKERS[number % len(MARKERS)]
            axes.plot(x, values, marker=marker, ms=7, color=colour, label=name)
            if spans and name in spans:
                low, high = np.array(spans[name], dtype=float).T
                axes.fill_between(x, low, high, color=colour, alpha=0.2)
        if mark is not None:
            axes.axhline(mark, color=GREY, ls="--", lw=1.5)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def corrected_shares(
    dates: Sequence[datetime.date],
    truth: Sequence[float],
    called: Sequence[float],
    corrected: Sequence[tuple[float, float, float]],
    title: str = "What was called negative, and what was",
) -> Figure:
    """Shares by period: the truth, what the classifier said, and (value, low, high) corrected."""
    with matplotlib.rc_context(STYLE):
        figure, axes = figure_of(11, 4.6)
        label(axes, title, "date", "share of negative sentences")
        value, low, high = np.array(corrected, dtype=float).T
        # A value cut off at 0 or 1 may lie outside its interval by a hair.
        bars = np.maximum([value - low, high - value], 0)
        axes.plot(dates, truth, "D", color="black", ms=5, zorder=5, label="truth")
        axes.plot(dates, called, "s--", color=ORANGE, lw=1.5, label="called negative")
        axes.errorbar(
            dates, value, bars, fmt="o", color=BLUE, capsize=4, label="corrected, 95%", alpha=0.8
        )
        axes.set_ylim(0, 1)
        _date_axis(axes)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _date_axis(axes: Axes) -> None:
    locator = AutoDateLocator(maxticks=7)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
