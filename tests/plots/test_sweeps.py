"""Figures of notebook 8: accuracy over a setting, settings in order, differences, powers."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lab.evaluation import Interval
from lora_lab.plots import sweeps
from lora_lab.results.comparing import Difference

RATES = (3e-4, 1e-3, 3e-3, 1e-2)
CURVE = [(rate, 0.7 + i / 100, 0.68 + i / 100, 0.73 + i / 100) for i, rate in enumerate(RATES)]
REAL = Difference(0.03, Interval(0.01, 0.05), 0.001, "seeds", 70, 30)
WORSE = Difference(-0.03, Interval(-0.05, -0.01), 0.001, "seeds", 30, 70)
NONE = Difference(0.01, Interval(-0.02, 0.04), 0.6, "seeds", 50, 40)
SETTINGS = {"head": (0.65, 0.62, 0.68), "a setting, long name": (0.8, 0.78, 0.82), "b": (0.7,) * 3}

FIGURES = {
    "over": lambda: sweeps.accuracy_over(
        {"learning rate": {"s = 0.5": CURVE, "s = 8": CURVE[:2]}}, title="T " * 40, ticks=RATES
    ),
    "over, two panels": lambda: sweeps.accuracy_over(
        {
            "rate × s": {"s = 0.5": CURVE, "s = 2": CURVE, "s = 8": CURVE},
            "rate × √s": {"s = 0.5": CURVE, "s = 2": CURVE, "s = 8": CURVE},
        },
        title="T " * 20,
        levels={"head only": 0.655},
    ),
    "in order": lambda: sweeps.settings_in_order(
        SETTINGS, title="T", notes={"head": "22,713,986 parameters"}, levels={"majority": 0.5}
    ),
    "in order, no notes": lambda: sweeps.settings_in_order(SETTINGS, title="T"),
    "differences": lambda: sweeps.differences(
        {"top:1": {"r = 1 against 8": REAL, "r = 2 against 8": NONE}, "all": {"r = 1": WORSE}},
        title="T",
    ),
    "one difference": lambda: sweeps.differences({"": {"a": NONE}}, title="T"),
    "powers": lambda: sweeps.powers(
        (4, 16, 64),
        {"α/r": {"gradient": [4, 2, 1], "step": [1, 1, 1]}, "α/√r": {"gradient": [1, 1, 1]}},
        title="T",
        y="relative size",
    ),
}


def test_each_point_has_its_interval_and_curves_keep_their_look():
    left, right = FIGURES["over, two panels"]().axes
    for axes in (left, right):
        assert axes.get_xscale() == "log"
        for bars in axes.containers:
            ends = [(s[0][1], s[1][1]) for line in bars.lines[2] for s in line.get_segments()]
            assert ends == [pytest.approx(point[2:]) for point in CURVE]
            x = bars.lines[0].get_xdata()
            np.testing.assert_allclose(x, RATES, rtol=0.06)  # shifted a little, to be seen
    colours = [[bars.lines[0].get_color() for bars in axes.containers] for axes in (left, right)]
    assert colours[0] == colours[1] and len(set(colours[0])) == 3


def test_ticks_are_the_values_that_were_tried():
    axes = FIGURES["over"]().axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.0003", "0.001", "0.003", "0.01"]


def test_points_are_joined_from_left_to_right_whatever_their_order():
    axes = sweeps.accuracy_over({"x": {"a": CURVE[::-1]}}, title="T").axes[0]
    assert axes.containers[0].lines[0].get_ydata().tolist() == [point[1] for point in CURVE]


def test_the_best_setting_is_on_top_with_its_number_and_note():
    axes = FIGURES["in order"]().axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a setting, long name", "b", "head"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is on top"
    assert axes.lines[0].get_xdata().tolist() == [0.78, 0.82]
    shown = [t.get_text() for t in axes.texts]
    assert shown == ["0.800", "0.700", "0.650   22,713,986 parameters"]
    assert axes.lines[-1].get_xdata() == [0.5, 0.5], "a level"


def test_a_difference_is_in_points_and_looks_measurable_only_if_it_is():
    axes = FIGURES["differences"]().axes[0]
    intervals = [line for line in axes.lines if len(set(line.get_xdata())) == 2]
    assert [line.get_xdata().tolist() for line in intervals] == [
        pytest.approx([1.0, 5.0]),
        pytest.approx([-2.0, 4.0]),
        pytest.approx([-5.0, -1.0]),
    ]
    dots = [line for line in axes.lines if len(line.get_xdata()) == 1]
    assert [line.get_marker() for line in dots] == ["o", "s", "o"]
    assert dots[0].get_color() == dots[2].get_color() != dots[1].get_color()
    assert [t.get_text() for t in axes.texts] == ["+3.0", "+1.0", "-3.0"]


def test_headings_of_groups_are_bold_rows_of_their_own():
    axes = FIGURES["differences"]().axes[0]
    rows = {t.get_text(): t.get_weight() for t in axes.get_yticklabels()}
    assert [name for name, weight in rows.items() if weight == "bold"] == ["top:1", "all"]
    assert len(rows) == 5


def test_powers_begin_at_one_and_are_straight():
    left, right = FIGURES["powers"]().axes
    assert left.lines[0].get_ydata().tolist() == [1, 0.5, 0.25]
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")
    assert [t.get_text() for t in right.get_xticklabels()] == ["4", "16", "64"]
