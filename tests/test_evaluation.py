"""Metrics against their definitions and against scikit-learn; intervals against their formula."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn import metrics

from lora_lab.evaluation import (
    CALIBRATION_BINS,
    Evaluation,
    Interval,
    calibration_bins,
    calibration_error,
    compare,
    evaluate_predictions,
    wilson_interval,
)

NAMES = ("negative", "neutral", "positive")


@st.composite
def scored(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, tuple[str, ...], np.ndarray]:
    """Labels, predictions, names and the probabilities that the predictions come from."""
    classes, rows = draw(st.integers(2, 5)), draw(st.integers(1, 60))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probabilities = generator.dirichlet([draw(st.sampled_from([0.1, 1, 10]))] * classes, rows)
    labels = generator.integers(
        0, draw(st.integers(1, classes)), rows
    )  # some classes may be absent
    names = tuple(f"class {i}" for i in range(classes))
    return labels, probabilities.argmax(axis=1), names, probabilities


# The interval


@given(st.integers(1, 5000), st.floats(0, 1))
def test_wilson_interval_is_wilson_s_formula(examples: int, share: float) -> None:
    """Wilson 1927: centre (p + z^2/2n) and half width, both over 1 + z^2/n."""
    correct = round(share * examples)
    z, p, n = 1.959963984540054, correct / examples, examples
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    found = wilson_interval(correct, examples)
    assert found.low == pytest.approx(centre - half, abs=1e-12)
    assert found.high == pytest.approx(centre + half, abs=1e-12)
    assert 0 <= found.low <= p <= found.high <= 1


@pytest.mark.parametrize("n", [1, 10, 872])
def test_wilson_interval_at_the_ends(n: int) -> None:
    """With k = 0 the upper limit is z^2 / (n + z^2), and the other end is its mirror image."""
    z2 = 1.959963984540054**2
    none, all_ = wilson_interval(0, n), wilson_interval(n, n)
    assert none.low == 0 and none.high == pytest.approx(z2 / (n + z2))
    assert all_.high == 1 and all_.low == pytest.approx(n / (n + z2))


@given(st.integers(1, 300), st.integers(0, 300))
def test_wilson_interval_is_symmetric_and_shrinks(examples: int, correct: int) -> None:
    assume(correct <= examples)
    found, mirrored = (
        wilson_interval(correct, examples),
        wilson_interval(examples - correct, examples),
    )
    assert found.low == pytest.approx(1 - mirrored.high, abs=1e-12)
    larger = wilson_interval(4 * correct, 4 * examples)
    assert larger.high - larger.low < found.high - found.low


@pytest.mark.parametrize(("correct", "examples"), [(0, 0), (3, 2), (-1, 5)])
def test_impossible_counts(correct: int, examples: int) -> None:
    with pytest.raises(ValueError):
        wilson_interval(correct, examples)


def test_overlap() -> None:
    middle = Interval(0.4, 0.6)
    for other, expected in [
        (Interval(0.5, 0.7), True),
        (Interval(0.6, 0.7), True),
        (Interval(0.61, 0.7), False),
        (Interval(0.1, 0.39), False),
        (Interval(0.0, 1.0), True),
        (Interval(0.45, 0.5), True),
    ]:
        assert middle.overlaps(other) is other.overlaps(middle) is expected
    assert str(middle) == "[0.400, 0.600]"


# Metrics


@settings(max_examples=40)
@given(scored())
def test_counts_agree_with_their_definitions(data: tuple) -> None:
    labels, predictions, names, probabilities = data
    found = evaluate_predictions(labels, predictions, names, probabilities)
    pairs = list(zip(labels, predictions, strict=True))
    assert found.examples == len(labels)
    assert found.correct == sum(y == p for y, p in pairs)
    assert found.accuracy == found.correct / found.examples
    assert found.interval == wilson_interval(found.correct, found.examples)
    for i, report in enumerate(found.classes):
        for j in range(len(names)):
            assert found.confusion[i][j] == pairs.count((i, j))
        hits, said, there = pairs.count((i, i)), (predictions == i).sum(), (labels == i).sum()
        assert report.name == names[i] and report.support == there
        assert report.precision == pytest.approx(hits / said if said else 0)
        assert report.recall == pytest.approx(hits / there if there else 0)
        assert report.f1 == pytest.approx(2 * hits / (said + there) if said + there else 0)
    assert found.macro_f1 == pytest.approx(sum(c.f1 for c in found.classes) / len(names))
    chosen = probabilities[np.arange(len(labels)), labels].clip(np.finfo(float).eps)
    assert found.loss == pytest.approx(-np.log(chosen).mean(), rel=1e-6)


@settings(max_examples=40)
@given(scored())
def test_scikit_learn_agrees(data: tuple) -> None:
    labels, predictions, names, probabilities = data
    found = evaluate_predictions(labels, predictions, names, probabilities)
    indices = range(len(names))
    options = dict(labels=indices, average="macro", zero_division=0)
    assert found.accuracy == metrics.accuracy_score(labels, predictions)
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, predictions, **options))
    precision = metrics.precision_score(labels, predictions, **options)
    assert np.mean([c.precision for c in found.classes]) == pytest.approx(precision)
    recall = metrics.recall_score(labels, predictions, **options)
    assert np.mean([c.recall for c in found.classes]) == pytest.approx(recall)
    matrix = metrics.confusion_matrix(labels, predictions, labels=indices)
    assert np.array_equal(found.confusion, matrix)
    assert found.loss == pytest.approx(metrics.log_loss(labels, probabilities, labels=indices))


def test_rows_are_true_classes_and_columns_predictions() -> None:
    found = evaluate_predictions([0, 0, 1], [1, 1, 1], ["no", "yes"])
    assert found.confusion == ((0, 2), (0, 1))


def test_without_probabilities_there_is_no_loss() -> None:
    found = evaluate_predictions([0, 1], [0, 1], ["no", "yes"])
    assert found.loss is None and found.calibration_error is None and found.calibration == ()
    assert "loss" not in str(found)


def test_sure_and_wrong_costs_much_but_not_infinitely() -> None:
    found = evaluate_predictions([0], [1], ["no", "yes"], np.array([[0, 1]], dtype=np.float32))
    assert 15 < found.loss < math.inf


# Calibration


@settings(max_examples=40)
@given(scored())
def test_calibration_error_is_a_weighted_mean_distance(data: tuple) -> None:
    labels, _, _, probabilities = data
    bins = calibration_bins(labels, probabilities)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    assert sum(b.count for b in bins) == len(labels)
    for b in bins:
        assert b.count > 0 and b.high - b.low == pytest.approx(1 / CALIBRATION_BINS)
        assert b.low - 1e-9 <= b.confidence <= b.high + 1e-9 and 0 <= b.accuracy <= 1
    assert [b.low for b in bins] == sorted({b.low for b in bins})
    error = calibration_error(bins)
    # By the triangle inequality it lies between that of one bin and that of one bin each.
    assert abs(confidence.mean() - right.mean()) - 1e-9 <= error
    assert error <= np.abs(confidence - right).mean() + 1e-9 <= 1 + 1e-9


@pytest.mark.parametrize(
    ("confidence", "right", "expected"),
    [
        (1.0, [True] * 5, 0.0),
        (1.0, [False] * 5, 1.0),
        (0.8, [True, True, True, True, False], 0.0),
        (0.8, [True] * 5, 0.2),
        (0.55, [False] * 5, 0.55),
        (0.5, [True, False], 0.0),
    ],
)
def test_calibration_error_of_known_cases(
    confidence: float, right: list[bool], expected: float
) -> None:
    """Always the first of two classes, always as sure."""
    labels = np.array([0 if r else 1 for r in right])
    probabilities = np.tile([confidence, 1 - confidence], (len(right), 1))
    assert calibration_error(calibration_bins(labels, probabilities)) == pytest.approx(expected)


def test_errors_in_opposite_directions_do_not_cancel() -> None:
    """Right when unsure and wrong when sure: perfect on average, and badly calibrated."""
    probabilities = np.array([[0.6, 0.4]] * 5 + [[0.9, 0.1]] * 5)
    labels = np.array([0] * 5 + [0, 0, 0, 1, 1])
    bins = calibration_bins(labels, probabilities)
    assert [b.count for b in bins] == [5, 5]
    assert calibration_error(bins) == pytest.approx((0.4 + 0.3) / 2)


# To a file and back


@settings(max_examples=40)
@given(scored(), st.booleans())
def test_a_trip_through_json_changes_nothing(data: tuple, with_probabilities: bool) -> None:
    labels, predictions, names, probabilities = data
    found = evaluate_predictions(
        labels, predictions, names, probabilities if with_probabilities else None
    )
    assert Evaluation.from_dict(found.as_dict()) == found
    text = json.dumps(found.as_dict(), allow_nan=False)
    back = Evaluation.from_dict(json.loads(text))
    assert back == found and str(back) == str(found)
    assert {f.name for f in dataclasses.fields(found)} == json.loads(text).keys()


def test_the_report_shows_what_was_measured() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.3, 0.7]])
    found = evaluate_predictions(
        [0, 1, 0, 1], [0, 1, 1, 1], ["no", "a very long name"], probabilities
    )
    first, header, *_ = lines = str(found).splitlines()
    assert first.startswith(f"accuracy 0.750, 95% interval {found.interval}, macro F1 0.733")
    assert f"loss {found.loss:.3f}, calibration error {found.calibration_error:.3f}" in first
    assert header.split() == ["precision", "recall", "F1", "support"]
    assert lines[3].split()[-4:] == ["0.667", "1.000", "0.800", "2"]
    assert [line.split()[-2:] for line in lines[-2:]] == [["1", "1"], ["0", "2"]]


# What is refused


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([], [], "at least one; got 0 and 0"),
        ([0, 1], [0], "as many predictions as labels .*; got 1 and 2"),
        ([[0, 1]], [[0, 1]], "Need as many"),
        ([0, 3], [0, 1], r"A label lies outside 0 .. 2.*\['negative'"),
        ([-1, 0], [0, 1], "A label lies outside"),
        ([0, 1], [0, 3], "A prediction lies outside"),
        ([0, 1], [0, -1], "A prediction lies outside"),
    ],
)
def test_labels_and_predictions_that_cannot_be_scored(
    labels: list, predictions: list, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_predictions(labels, predictions, NAMES)


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([[0.5, 0.3, 0.2]], r"have shape \(1, 3\); 2 examples and 3 classes need \(2, 3\)"),
        ([[0.5, 0.5], [0.5, 0.5]], "have shape"),
        ([[0.5, 0.3, 0.2], [math.nan, 0.5, 0.5]], "NaN or infinite"),
        ([[0.5, 0.3, 0.2], [math.inf, 0, 0]], "NaN or infinite"),
        ([[0.5, 0.3, 0.2], [2.0, 1.0, 0.5]], "sum to 1"),
        ([[0.5, 0.3, 0.2], [1.5, -0.5, 0.0]], "at least 0"),
    ],
)
def test_probabilities_that_are_none(probabilities: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_predictions([0, 1], [0, 1], NAMES, np.array(probabilities))


def test_a_comparison_claims_a_difference_only_where_the_intervals_are_apart() -> None:
    truth = [0, 1] * 50

    def right(count: int) -> Evaluation:
        return evaluate_predictions(truth, truth[:count] + [1 - y for y in truth[count:]], "ab")

    assert compare("A", right(90), "B", right(88)) == (
        "A against B: +2.0 points; the intervals overlap: **no measurable difference**."
    )
    assert compare("A", right(50), "B", right(90)) == (
        "A against B: -40.0 points; the intervals do not meet: **a measurable difference**."
    )
