"""Figures of notebook 9: numbers of sentences, over-fitting, domains, differences, raters."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lab.evaluation import Interval
from lora_lab.plots import data
from lora_lab.results.comparing import Difference

POINTS = {n: (a, a - 0.05, a + 0.03) for n, a in ((16, 0.55), (64, 0.6), (1024, 0.8), (7461, 0.85))}
LEVELS = {"VADER": 0.63, "majority class": 0.5, "zero-shot": 0.64}
SEEDS = [([0.7, 0.4, 0.1], [0.69, 0.5, 0.9]), ([0.6, 0.3, 0.1], [0.65, 0.6, 0.7])]
NAMES = ["movie-reviews", "product-reviews", "tweets", "news"]
TABLE = np.linspace(0.5, 0.9, 16).reshape(4, 4)
NOTES = [[f"{100 * v:+.1f}*" for v in row] for row in TABLE]
CLEAR = Difference(0.05, Interval(0.02, 0.08), 0.001, "seeds", 300, 200)
UNCLEAR = Difference(-0.01, Interval(-0.04, 0.02), 0.6, "seeds", 200, 220)

FIGURES = {
    "over sentences": lambda: data.over_sentences(
        {"LoRA": POINTS, "full fine-tuning": POINTS, "head only": POINTS}, title="T", levels=LEVELS
    ),
    "over sentences, one": lambda: data.over_sentences({"LoRA": {16: (0.5, 0.4, 0.6)}}, title="T"),
    "losses": lambda: data.loss_curves(
        {"LoRA, top two layers": SEEDS, "full fine-tuning": SEEDS}, title="T", unknowing=0.69
    ),
    "losses, one": lambda: data.loss_curves({"LoRA": SEEDS[:1]}, title="T"),
    "domains": lambda: data.transfer_tables(
        {"LoRA": TABLE, "full fine-tuning": TABLE}, NAMES, title="T", notes={"LoRA": NOTES}
    ),
    "domains, two": lambda: data.transfer_tables(
        {"LoRA": TABLE[:2, :2]}, NAMES[:2], title="Learnt here, tested there"
    ),
    "differences": lambda: data.differences(
        {"LoRA - full, 16 sentences": CLEAR, "LoRA - full, all": UNCLEAR}, title="T", x="points"
    ),
    "raters": lambda: data.over_raters(
        [1, 2, 5, 20], {"film reviews": [0.2, 0.1, 0.05, 0.02]}, title="T", chosen=2
    ),
}  # fmt: skip


def test_sentences_are_on_a_logarithmic_scale_with_their_intervals():
    axes = data.over_sentences({"a": POINTS}, title="T", levels={"VADER": 0.63}).axes[0]
    assert axes.get_xscale() == "log"
    (bars,) = axes.containers
    np.testing.assert_allclose(bars.lines[0].get_xdata(), list(POINTS))
    ends = [(s[0][1], s[1][1]) for line in bars.lines[2] for s in line.get_segments()]
    assert ends == [pytest.approx((low, high)) for _, low, high in POINTS.values()]
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["VADER: 0.630", "a"]


def test_the_circle_is_at_the_lowest_mean_validation_loss():
    axes = data.loss_curves({"a": SEEDS}, title="T").axes[0]
    circle = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_allclose([line.get_xydata()[0] for line in circle], [(2, 0.55)])
    thick = [line for line in axes.lines if line.get_linewidth() == 3]
    np.testing.assert_allclose(thick[0].get_ydata(), [0.65, 0.35, 0.1])  # training


def test_a_cell_shows_the_row_learnt_from_and_the_column_tested_on():
    table = [[0.9, 0.6], [0.7, 0.8]]
    axes = data.transfer_tables({"a": table}, ["here", "there"], title="T").axes[0]
    cells = {t.get_position(): t.get_text() for t in axes.texts}
    assert cells[(1, 0)] == "0.600", "learnt here, tested there: first row, second column"
    assert cells[(0, 1)] == "0.700"
    assert len(axes.patches) == 2, "the diagonal is framed"


def test_methods_share_the_colours_so_that_they_compare():
    figure = data.transfer_tables({"a": TABLE, "b": TABLE / 2}, NAMES, title="T")
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0.25, 0.9)}


def test_only_a_measurable_difference_is_filled():
    axes = data.differences({"a": CLEAR, "b": UNCLEAR}, title="T", x="x").axes[0]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == [5.0, -1.0]
    assert [dot.get_markerfacecolor() == "white" for dot in dots] == [False, True]
    intervals = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 4]
    np.testing.assert_allclose(intervals, [(2, 8), (-4, 2)])


def test_raters_are_marked_where_chosen():
    axes = FIGURES["raters"]().axes[0]
    curve, mark = axes.lines
    assert curve.get_xydata().tolist() == [[1, 0.2], [2, 0.1], [5, 0.05], [20, 0.02]]
    assert list(mark.get_xdata()) == [2, 2]
