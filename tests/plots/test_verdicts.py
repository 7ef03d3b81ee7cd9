"""The figure of judged intervals: what lies where, and how it is told apart."""

from __future__ import annotations

from lora_lab.evaluation import Interval
from lora_lab.plots.verdicts import judged
from lora_lab.results.verdicts import FAILS, HOLDS, OPEN

ROWS = {
    "within the margin": (0.0, Interval(-0.01, 0.01)),
    "across it, a row with a long name": (-0.02, Interval(-0.03, 0.005)),
    "beyond it": (-0.05, Interval(-0.06, -0.03)),
}

FIGURES = {
    "three outcomes": lambda: judged(ROWS, "Rank 4 against 32", bound=-0.02),
    "one row": lambda: judged({"one": (0.2, Interval(0.1, 0.3))}, "T", x="share", scale=1.0),
    "many rows": lambda: judged(dict.fromkeys("abcdefghi", (0.0, Interval(-0.1, 0.1))), "T"),
}


def test_each_interval_is_drawn_in_points_from_the_top():
    axes = judged(ROWS, "T", bound=-0.02).axes[0]
    spans = [list(line.get_xdata()) for line in axes.lines if len(line.get_ydata()) == 2][2:]
    assert spans == [[-1.0, 1.0], [-3.0, 0.5], [-6.0, -3.0]]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is on top"
    assert list(axes.lines[1].get_xdata()) == [-2.0, -2.0]


def test_outcomes_differ_in_colour_and_in_marker():
    figure = judged(ROWS, "T", bound=-0.02)
    handles = figure.legends[0].legend_handles
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [HOLDS, FAILS, OPEN]
    assert len({h.get_color() for h in handles}) == len({h.get_marker() for h in handles}) == 3


def test_only_what_is_seen_is_explained():
    figure = judged({"one": (0.0, Interval(-1.0, 1.0))}, "T")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [OPEN]
