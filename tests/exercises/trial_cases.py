"""Right and wrong answers to the exercises of notebook 11."""

from __future__ import annotations

import math

from lora_lab.evaluation import Interval
from lora_lab.exercises.trial import (
    check_corrected,
    check_reading,
    check_sentences_needed,
    check_suffices,
)
from lora_lab.results.verdicts import FAILS, HOLDS, OPEN, above


def reading(low, high):
    return above(Interval(low, high))


def by_the_middle(low, high):
    return HOLDS if low + high > 0 else FAILS


READING = [
    (lambda low, high: HOLDS if low > 0 else FAILS, "no refutation"),
    (lambda low, high: FAILS if high < 0 else HOLDS, "has not been shown"),
    (by_the_middle, "judges by the middle"),
    (lambda low, high: reading(-high, -low), "wrong way round"),
    (lambda low, high: HOLDS if low > 0 else OPEN, "measurably worse"),
    (lambda low, high: low > 0, "Return one of"),
    (lambda low, high: "no idea", "Return one of"),
    (lambda low, high: OPEN, "should give"),
]


def enough(low, high, margin):
    return above(Interval(low, high), -margin)


def two_sided(low, high, margin):
    if high < -margin or low > margin:
        return FAILS
    return HOLDS if -margin < low and high < margin else OPEN


SUFFICES = [
    (lambda low, high, margin: OPEN, "should give"),
    (lambda low, high, margin: reading(low, high), "margin is not used"),
    (lambda low, high, margin: FAILS if high < -margin else HOLDS, "not the same as equal"),
    (lambda low, high, margin: FAILS if high < 0 else HOLDS, "instead of 0"),
    (two_sided, "better by any amount"),
    (lambda low, high, margin: above(Interval(low, high), margin), "a loss is negative"),
    (lambda low, high, margin: HOLDS if low > -margin else FAILS, "refutes nothing"),
    (lambda low, high, margin: 3, "Return one of"),
]


def bonferroni(p_values):
    return [min(1.0, len(p_values) * p) for p in p_values]


CORRECTED = [
    (lambda p: p, "Nothing is corrected"),
    (lambda p: [len(p) * x for x in p], "at most 1"),
    (lambda p: [x / len(p) for x in p], "Divided"),
    (lambda p: [min(1.0, (len(p) - sorted(p).index(x)) * x) for x in p], "Holm"),
    (lambda p: [min(1.0, (len(p) - 1) * x) for x in p], "one less"),
    (lambda p: 0.3, "one number for each"),
    (lambda p: [0.5] * len(p), "should give"),
    (lambda p: "text", "list of numbers"),
]


def exact(difference, disagree):
    return 1.96**2 * (disagree - difference**2) / difference**2


def needed(difference, disagree):
    return math.ceil(exact(difference, disagree))


NEEDED = [
    (lambda d, s: math.ceil((s - d**2) / d**2), "forgets the 1.96"),
    (lambda d, s: math.ceil(1.96**2 * s / d**2), "square of their mean"),
    (lambda d, s: math.ceil(1.96 * math.sqrt(s - d**2) / d), "square root"),
    (lambda d, s: math.floor(exact(d, s)), "round up"),
    (lambda d, s: exact(d, s), "no parts of sentences"),
    (lambda d, s: math.ceil(1.96 * (s - d**2) / d**2), "inside the square"),
    (lambda d, s: 872, "should give"),
    (lambda d, s: [needed(d, s)], "Return one number"),
]

#: check -> (right answers, (wrong answer, what it must be told) ...)
CASES = {
    check_reading: ([reading], READING),
    check_suffices: ([enough], SUFFICES),
    check_corrected: ([bonferroni, lambda p: tuple(bonferroni(p))], CORRECTED),
    check_sentences_needed: ([needed, lambda d, s: float(needed(d, s))], NEEDED),
}
