"""How good is a classifier? Metrics with their intervals, from probabilities and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# SciPy and scikit-learn are imported where they are used: together they take a second, and training
# need not wait for them to begin.

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Interval:
    """A 95% confidence interval."""

    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        return self.low <= other.high and other.low <= self.high

    def __str__(self) -> str:
        return f"[{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class ClassReport:
    """Scores of one class. Precision, recall and F1 are 0 where nothing could be counted."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class CalibrationBin:
    """Predictions with a confidence in [low, high): their mean confidence and accuracy."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one data set of N examples, C classes.

    Attributes:
        accuracy, interval: share of right answers and its Wilson 95% interval.
        macro_f1: unweighted mean of the classes' F1.
        loss: mean cross-entropy in nats, a probability of 0 counting as 2.2e-16; None for a
            method without probabilities.
        calibration_error: expected calibration error in [0, 1] (Guo et al. 2017), or None.
        classes: one report per class.
        confusion: C x C counts, rows are true classes, columns predictions.
        calibration: the bins behind ``calibration_error``.
    """

    examples: int
    correct: int
    accuracy: float
    interval: Interval
    macro_f1: float
    loss: float | None
    calibration_error: float | None
    classes: tuple[ClassReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[CalibrationBin, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Evaluation:
        """The inverse of ``as_dict``, also after a trip through JSON."""
        return cls(
            **{
                **values,
                "interval": Interval(**values["interval"]),
                "classes": tuple(ClassReport(**c) for c in values["classes"]),
                "confusion": tuple(tuple(row) for row in values["confusion"]),
                "calibration": tuple(CalibrationBin(**b) for b in values["calibration"]),
            }
        )

    def __str__(self) -> str:
        lines = [
            f"accuracy {self.accuracy:.3f}, 95% interval {self.interval}, "
            f"macro F1 {self.macro_f1:.3f}, {self.examples:,} examples"
        ]
        if self.loss is not None:
            lines[0] += f", loss {self.loss:.3f}, calibration error {self.calibration_error:.3f}"
        width = max(12, *(len(c.name) for c in self.classes))
        lines.append(f"{'':{width}}  precision  recall     F1  support")
        for c in self.classes:
            lines.append(
                f"{c.name:{width}}  {c.precision:9.3f}  {c.recall:6.3f}  {c.f1:5.3f}  "
                f"{c.support:7,}"
            )
        lines.append("confusion matrix (rows: true, columns: predicted)")
        for c, row in zip(self.classes, self.confusion, strict=True):
            lines.append(f"{c.name:{width}}  " + "  ".join(f"{n:7,}" for n in row))
        return "\n".join(lines)


def evaluate_predictions(
    labels: Sequence[int] | np.ndarray,
    predictions: Sequence[int] | np.ndarray,
    names: Sequence[str],
    probabilities: np.ndarray | None = None,
) -> Evaluation:
    """Score predictions against labels.

    Args:
        labels, predictions: (N,) class indices in 0 .. C-1.
        names: C class names.
        probabilities: (N, C), rows summing to one, if the method has them.

    Raises:
        ValueError: no examples, lengths that differ, indices out of range; probabilities of
            another shape, not finite or not summing to one.
    """
    y, p = np.asarray(labels), np.asarray(predictions)
    if y.size == 0 or y.ndim != 1 or y.shape != p.shape:
        raise ValueError(
            f"Need as many predictions as labels and at least one; got {p.size} and {y.size}."
        )
    for what, values in (("label", y), ("prediction", p)):
        if values.min() < 0 or values.max() >= len(names):
            raise ValueError(
                f"A {what} lies outside 0 .. {len(names) - 1}: the classes are {list(names)}."
            )
    if probabilities is not None:
        _check_probabilities(probabilities, (len(y), len(names)))
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    indices = list(range(len(names)))
    correct = int((y == p).sum())
    precision, recall, f1, support = precision_recall_fscore_support(
        y, p, labels=indices, zero_division=0
    )
    bins = () if probabilities is None else calibration_bins(y, probabilities)
    return Evaluation(
        examples=len(y),
        correct=correct,
        accuracy=correct / len(y),
        interval=wilson_interval(correct, len(y)),
        macro_f1=float(f1.mean()),
        loss=None if probabilities is None else _log_loss(y, probabilities, indices),
        calibration_error=None if probabilities is None else calibration_error(bins),
        classes=tuple(
            ClassReport(str(name), float(a), float(b), float(c), int(n))
            for name, a, b, c, n in zip(names, precision, recall, f1, support, strict=True)
        ),
        confusion=tuple(
            tuple(int(n) for n in row) for row in confusion_matrix(y, p, labels=indices)
        ),
        calibration=bins,
    )


def compare(name: str, a: Evaluation, other: str, b: Evaluation) -> str:
    """Two scores in a sentence, in Markdown, that claims no more than their intervals allow."""
    gap = 100 * (a.accuracy - b.accuracy)
    if a.interval.overlaps(b.interval):
        verdict = "the intervals overlap: **no measurable difference**"
    else:
        verdict = "the intervals do not meet: **a measurable difference**"
    return f"{name} against {other}: {gap:+.1f} points; {verdict}."


def wilson_interval(correct: int, examples: int) -> Interval:
    """Wilson's 95% interval for a proportion (Wilson 1927), from SciPy."""
    from scipy.stats import binomtest

    bounds = binomtest(correct, examples).proportion_ci(method="wilson")
    return Interval(float(bounds.low), float(bounds.high))


def calibration_bins(labels: np.ndarray, probabilities: np.ndarray) -> tuple[CalibrationBin, ...]:
    """Group predictions by confidence (largest probability) in bins of equal width."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    return tuple(
        CalibrationBin(
            low=b / CALIBRATION_BINS,
            high=(b + 1) / CALIBRATION_BINS,
            count=int((which == b).sum()),
            confidence=float(confidence[which == b].mean()),
            accuracy=float(right[which == b].mean()),
        )
        for b in range(CALIBRATION_BINS)
        if (which == b).any()
    )


def calibration_error(bins: Sequence[CalibrationBin]) -> float:
    """Mean distance between confidence and accuracy, weighted by count (Guo et al. 2017)."""
    total = sum(b.count for b in bins)
    return sum(b.count * abs(b.confidence - b.accuracy) for b in bins) / total


def _check_probabilities(probabilities: np.ndarray, shape: tuple[int, int]) -> None:
    if probabilities.shape != shape:
        raise ValueError(
            f"The probabilities have shape {probabilities.shape}; {shape[0]} examples and "
            f"{shape[1]} classes need {shape}."
        )
    if not np.isfinite(probabilities).all():
        raise ValueError("Some probabilities are NaN or infinite: the model's training diverged.")
    if (probabilities < 0).any() or (np.abs(probabilities.sum(axis=1) - 1) > 1e-3).any():
        raise ValueError("Each example's probabilities must be at least 0 and sum to 1.")


def _log_loss(labels: np.ndarray, probabilities: np.ndarray, indices: list[int]) -> float:
    from sklearn.metrics import log_loss

    rows = probabilities.astype(np.float64)
    rows = rows / rows.sum(axis=1, keepdims=True)
    return float(log_loss(labels, rows, labels=indices))
