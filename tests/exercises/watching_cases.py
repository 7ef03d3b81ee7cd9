"""Right and wrong answers to the exercises of notebook 12."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import binom

from lora_lab.exercises.watching import (
    check_any_false_alarm,
    check_cumulative_sum,
    check_limit,
    check_true_share,
)


def any_alarm(rate, days):
    return 1 - (1 - rate) ** days


ANY = [
    (lambda rate, days: rate * days, "adds the days up"),
    (lambda rate, days: (1 - rate) ** days, "no day is an alarm"),
    (lambda rate, days: rate**days, "every day is an alarm"),
    (lambda rate, days: 1 - rate**days, "not every day"),
    (lambda rate, days: rate, "single day"),
    (lambda rate, days: days * rate * (1 - rate) ** (days - 1), "exactly one"),
    (lambda rate, days: 100 * any_alarm(rate, days), "percentage"),
    (lambda rate, days: 1 - math.exp(-rate * days), "not exact"),
    (lambda rate, days: 0.5, "should give"),
]


def limit(share, sentences, one_in):
    k = 0
    while binom.sf(k - 1, sentences, share) > 1 / one_in:
        k += 1
    return k


def limit_where(test):
    def answer(share, sentences, one_in):
        normal = binom(sentences, share)
        return next(k for k in range(sentences + 2) if test(normal, k, 1 / one_in))

    return answer


LIMIT = [
    (limit_where(lambda normal, k, rate: normal.sf(k) <= rate), "One too low"),
    (lambda *a: limit(*a) + 1, "One too high"),
    (lambda p, n, _: math.ceil(n * p + 2 * math.sqrt(n * p * (1 - p))), "2 standard deviations"),
    (
        limit_where(lambda normal, k, rate: k > normal.mean() and normal.pmf(k) <= rate),
        "the whole tail",
    ),
    (lambda p, n, one_in: binom.ppf(1 / one_in, n, p), "from below"),
    (lambda p, n, _: round(p * n), "half of all days"),
    (lambda p, n, one_in: limit(p, n, one_in) / n, "a share"),
    (lambda *_: 3, "should give"),
]


def true_share(called, se, sp):
    return min(1.0, max(0.0, (called + sp - 1) / (se + sp - 1)))


SHARE = [
    (lambda q, se, sp: (q + sp - 1) / (se + sp - 1), "between 0 and 1"),
    (lambda q, se, sp: q / se, "wrongly called"),
    (lambda q, se, sp: q - (1 - sp), "what was missed"),
    (lambda q, se, sp: q * se + (1 - q) * (1 - sp), "the other way"),
    (lambda q, se, sp: (q + se - 1) / (se + sp - 1), "swapped"),
    (lambda q, se, sp: (q + sp - 1) / se, "by Se instead"),
    (lambda q, se, sp: 1 - true_share(q, se, sp), "*other*"),
    (lambda q, se, sp: (q + sp - 1) * (se + sp - 1), "multiplies by J"),
    (lambda *_: 0.123, "should give"),
]


def page(steps, threshold):
    sums, current = [], 0.0
    for step in steps:
        current = max(0.0, current + step)
        sums.append(current)
        current = 0.0 if current > threshold else current
    return sums


def no_floor(steps, threshold):
    sums, current = [], 0.0
    for step in steps:
        current += step
        sums.append(current)
        current = 0.0 if current > threshold else current
    return sums


SUMS = [
    (no_floor, "falls below 0"),
    (lambda steps, threshold: page(steps, math.inf), "goes on after an alarm"),
    (lambda steps, threshold: np.cumsum(steps), "plain cumulative sum"),
    (
        lambda steps, threshold: [0 if s > threshold else s for s in page(steps, threshold)],
        "the sum itself is wanted",
    ),
    (lambda steps, threshold: [max(0, s) for s in steps], "nothing is added up"),
    (lambda steps, threshold: page([max(0, s) for s in steps], threshold), "never fall"),
    (lambda steps, threshold: [s > threshold for s in page(steps, threshold)], "Those are the"),
    (lambda steps, threshold: [0.0, *page(steps, threshold)[:-1]], "first day"),
    (lambda steps, threshold: page(steps, threshold)[1:], "needed, got"),
    (lambda steps, threshold: [9.0] * len(steps), "should give"),
]

CASES = {
    check_any_false_alarm: ([any_alarm], ANY),
    check_limit: ([limit, lambda p, n, one_in: binom.isf(1 / one_in, n, p) + 1], LIMIT),
    check_true_share: ([true_share], SHARE),
    check_cumulative_sum: ([page, lambda steps, t: np.array(page(steps, t))], SUMS),
}
