"""Figures of a watched stream: what is an alarm stands out, and stands where it was."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from scipy.stats import betabinom

from lora_lab.plots import watching as plots
from lora_lab.watching.daily import watch
from lora_lab.watching.surges import DayCount, SurgeRule

START = datetime.date(2024, 3, 1)
DATES = [START + datetime.timedelta(days=i) for i in range(70)]
NEGATIVE = [16, 14, 18, 15] * 10 + [33] + [16] * 9 + [21] * 20
WATCH = watch([DayCount(d, 40, x) for d, x in zip(DATES, NEGATIVE, strict=True)])
WEEKS = DATES[::7]
PLANTED = {"a surge": (DATES[40], DATES[40]), "a slow drift": (DATES[50], DATES[69])}

FIGURES = {
    "days": lambda: plots.watched_days(WATCH, planted=PLANTED),
    "days, nothing planted": lambda: plots.watched_days(WATCH),
    "normal day": lambda: plots.normal_day(SurgeRule(1200, 480), 40),
    "normal day, few": lambda: plots.normal_day(SurgeRule(40, 1), 5),
    "curves": lambda: plots.response_curves(
        [0, 1, 2],
        {"one": [0, 0.5, 1], "another, with a longer name": [0, 0.2, 0.4]},
        spans={"one": [(0, 0.1), (0.4, 0.6), (0.9, 1)]},
        title="Found",
        xlabel="size",
        ylabel="share",
        mark=0.8,
    ),
    "corrected": lambda: plots.corrected_shares(
        WEEKS, [0.4] * 10, [0.45] * 10, [(0.41, 0.3, 0.5)] * 9 + [(0.0, 0.0, 0.1)]
    ),
}


def test_alarms_are_marked_on_their_days():
    top, bottom = plots.watched_days(WATCH).axes
    lines = {line.get_label(): line for line in (*top.lines, *bottom.lines)}
    surges = [day.date for day in WATCH.days if day.surge]
    drifts = [day.date for day in WATCH.days if day.drift]
    assert list(lines["surge"].get_xdata()) == surges and DATES[40] in surges
    assert list(lines["drift"].get_xdata()) == drifts and drifts
    assert len(lines["reference"].get_xdata()) == 30
    assert lines["limit"].get_ydata()[0] == WATCH.days[0].limit / 40


def test_a_normal_day_shows_the_beta_binomial_and_the_alarms_part_of_it():
    rule = SurgeRule(1200, 480)
    axes = plots.normal_day(rule, 40).axes[0]
    bars = {round(bar.get_x() + bar.get_width() / 2): bar for bar in axes.patches}
    for count in (10, 16, 30):
        mass = betabinom(40, 480.5, 720.5).pmf(count)
        assert bars[count].get_height() == pytest.approx(mass, abs=1e-9)
    limit = rule.limit(40)
    assert bars[limit].get_facecolor() != bars[limit - 1].get_facecolor()


def test_curves_keep_their_values_and_intervals():
    axes = FIGURES["curves"]().axes[0]
    assert list(axes.lines[0].get_ydata()) == [0, 0.5, 1]
    heights = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert {0.4, 0.6} <= set(np.round(heights, 6))
    assert len({line.get_marker() for line in axes.lines[:2]}) == 2, "told apart without colour"
