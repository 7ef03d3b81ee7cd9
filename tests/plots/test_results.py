"""Figures of results: accuracies, learning curves, confusion, calibration, distributions."""

from __future__ import annotations

import numpy as np
import pytest

from lora_lab import plots
from lora_lab.evaluation import evaluate_predictions, wilson_interval
from lora_lab.plots.style import BLUE, RED

NAMES = ["negative", "positive"]
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, 300)
POSITIVE = np.clip(LABELS * 0.4 + RANDOM.random(300) * 0.6, 0, 1)
PROBABILITIES = np.stack([1 - POSITIVE, POSITIVE], axis=1)
EVALUATION = evaluate_predictions(LABELS, PROBABILITIES.argmax(1), NAMES, PROBABILITIES)
POOR = evaluate_predictions(LABELS, np.zeros(300, int), NAMES)
EVENTS = [
    {"event": "start", "step": 0, "steps": 40, "trainable": 5},
    {"event": "step", "step": 10, "steps": 40, "loss": 0.7},
    {"event": "step", "step": 20, "steps": 40, "loss": 0.6},
    {
        "event": "epoch",
        "step": 20,
        "steps": 40,
        "validation_loss": 0.55,
        "validation_accuracy": 0.8,
        "validation_interval": [0.7, 0.9],
    },
]
THREE = ["negative", "neutral", "positive"]
THREE_WAY = evaluate_predictions([0, 0, 1, 2, 2], [0, 1, 2, 2, 1], THREE)  # not symmetric

FIGURES = {
    "curves": lambda: plots.learning_curves(EVENTS, "LoRA"),
    "curves, first event": lambda: plots.learning_curves(EVENTS[:1], "LoRA"),
    "curves, nothing": lambda: plots.learning_curves([], "LoRA"),
    "comparison": lambda: plots.accuracy_comparison(
        {"majority class": POOR, "a method with a long name": EVALUATION}, chance=0.5
    ),
    "confusion": lambda: plots.confusion_matrix(EVALUATION),
    "confusion of three": lambda: plots.confusion_matrix(THREE_WAY),
    "calibration": lambda: plots.calibration_diagram(EVALUATION),
    "bars": lambda: plots.probability_bars(
        NAMES, {"before": [0.5, 0.5], "a row with a long name " * 3: [0.02, 0.98]}, "Title " * 8
    ),
    "threshold": lambda: plots.threshold_view(LABELS, POSITIVE, 0.5, EVALUATION),
    "histogram": lambda: plots.histogram(
        {"negative": [-3, -1], "positive": [1, 2, 2]}, np.linspace(-4, 4, 9), title="T", x="x"
    ),
    "disagreement": lambda: plots.disagreement(
        RANDOM.normal(0, 2, 500), RANDOM.random(500), "How much the raters of a sentence disagree"
    ),
}


def interval_ends(axes):
    """(low, high) of every error bar, from the artists."""
    segments = [s for c in axes.containers for lines in c.lines[2] for s in lines.get_segments()]
    return [(s[0][1], s[1][1]) for s in segments]


def test_learning_curves_hold_the_events():
    left, right = plots.learning_curves(EVENTS).axes
    assert left.lines[0].get_xydata().tolist() == [[10, 0.7], [20, 0.6]]
    assert left.lines[1].get_xydata().tolist() == [[20, 0.55]]
    assert right.lines[0].get_xydata().tolist() == [[20, 0.8]]
    assert interval_ends(right) == [pytest.approx((0.7, 0.9))]
    assert left.get_xlim()[1] >= 40, "the axis shows the whole run from the start"


def test_comparison_shows_each_accuracy_and_interval_in_order():
    axes = plots.accuracy_comparison({"majority": POOR, "model": EVALUATION}).axes[0]
    for row, e in enumerate((POOR, EVALUATION)):
        bar, dot = axes.lines[2 * row : 2 * row + 2]
        assert bar.get_xdata().tolist() == [e.interval.low, e.interval.high]
        assert dot.get_xydata().tolist() == [[e.accuracy, row]]
        assert axes.texts[row].get_text().strip() == f"{e.accuracy:.3f}"
    assert [t.get_text() for t in axes.get_yticklabels()] == ["majority", "model"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the first is on top"


def test_the_chance_line_is_inside_even_when_everything_is_better():
    good = evaluate_predictions(LABELS, LABELS, NAMES)
    low, high = plots.accuracy_comparison({"good": good}, chance=0.5).axes[0].get_xlim()
    assert low < 0.5 < high


def test_confusion_rows_are_true_classes():
    axes = plots.confusion_matrix(THREE_WAY).axes[0]
    shown = {tuple(map(int, t.get_position())): t.get_text() for t in axes.texts}
    for true in range(3):
        for predicted in range(3):
            count = THREE_WAY.confusion[true][predicted]
            assert shown[predicted, true].startswith(f"{count}\n")  # x is the column
    assert shown[2, 2].endswith("50% of row")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_calibration_has_a_dot_an_interval_and_a_bar_per_bin():
    top, bottom = plots.calibration_diagram(EVALUATION).axes
    expected = [(b.confidence, b.accuracy) for b in EVALUATION.calibration]
    dots = max(top.lines, key=lambda line: len(line.get_xdata()) * (line.get_marker() == "o"))
    np.testing.assert_allclose(dots.get_xydata(), expected)
    first = EVALUATION.calibration[0]
    interval = wilson_interval(round(first.accuracy * first.count), first.count)
    assert interval_ends(top)[0] == pytest.approx((interval.low, interval.high))
    assert [p.get_height() for p in bottom.patches] == [b.count for b in EVALUATION.calibration]


def test_calibration_needs_probabilities():
    with pytest.raises(ValueError, match="no probabilities"):
        plots.calibration_diagram(POOR)


def test_probability_bars_are_stacked_to_one():
    axes = plots.probability_bars(NAMES, {"a": [0.25, 0.75], "b": [0.9, 0.1]}).axes[0]
    first, second = axes.containers[:2]
    assert [p.get_width() for p in first] == [0.25, 0.9]
    assert [p.get_x() for p in second] == [0.25, 0.9]
    assert [p.get_width() for p in second] == pytest.approx([0.75, 0.1])
    assert [t.get_text() for t in axes.texts if t.get_text()] == ["25%", "90%", "75%", "10%"]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.8])
def test_threshold_dots_lie_on_their_curves(threshold):
    at = evaluate_predictions(LABELS, (POSITIVE >= threshold).astype(int), NAMES)
    left = plots.threshold_view(LABELS, POSITIVE, threshold, at).axes[0]
    precision, recall, line, precision_dot, recall_dot = left.lines
    row = int(np.argmin(abs(precision.get_xdata() - threshold)))
    assert line.get_xdata()[0] == threshold
    assert precision_dot.get_ydata()[0] == pytest.approx(precision.get_ydata()[row])
    assert recall_dot.get_ydata()[0] == pytest.approx(recall.get_ydata()[row])
    assert precision_dot.get_ydata()[0] == at.classes[1].precision


def test_histogram_counts_and_stacks():
    figure = plots.histogram({"negative": [-3, -1], "positive": [1, 2, 2]}, [-4, 0, 4],
                             title="T", x="x", mark=0)  # fmt: skip
    axes = figure.axes[0]
    heights = [[p.get_height() for p in group] for group in axes.containers]
    assert heights == [[2, 0], [0, 3]]
    stacked = plots.histogram({"a": [1, 1], "b": [1]}, [0, 2], title="T", x="x").axes[0]
    assert stacked.containers[1][0].get_y() == 2, "groups stand on one another"
    assert axes.lines[0].get_xdata() == [0, 0]


def test_disagreement_counts_every_sentence():
    hexagons = plots.disagreement([0, 0, 3], [1, 1, 0.5]).axes[0].collections[0]
    assert hexagons.get_array().sum() == 3


def test_classes_keep_their_colour_and_others_differ():
    assert plots.colours(NAMES) == [RED, BLUE]
    assert plots.colours(["positive"]) == [BLUE]
    assert len(set(plots.colours(list("abcdef")))) == 6
    assert len(plots.colours([str(i) for i in range(20)])) == 20
