"""Checks of notebook 12: false alarms, limits, corrected shares, cumulative sums."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import binom

from lora_lab.exercises.checking import attempt, check, expect, numbers, one_number
from lora_lab.watching.surges import chance_of_any


@check
def check_any_false_alarm(function: Callable[[float, int], float]) -> str:
    """``function(rate, days)``: the chance of at least one false alarm in so many quiet days."""
    for rate, days in ((0.01, 30), (0.05, 90), (0.2, 1)):
        mistakes = {
            "That adds the days up. It is the expected number of false alarms; days on which "
            "several would come are counted several times.": rate * days,
            "That adds the days up and cuts at 1, which is only an upper bound.": (
                min(1.0, rate * days)
            ),
            "That is the chance that no day is an alarm; you want the opposite.": (1 - rate)
            ** days,
            "That is the chance that every day is an alarm.": rate**days,
            "That is the chance that not every day is an alarm.": 1 - rate**days,
            "That is the chance of a single day.": rate,
            "That is exactly one false alarm; two or more count as well.": (
                days * rate * (1 - rate) ** (days - 1)
            ),
            "That is a percentage; return a probability.": 100 * chance_of_any(rate, days),
            "e^(-rate·days) is close for small rates, but not exact: multiply the chances of quiet "
            "days.": -math.expm1(-rate * days),
        }
        got = one_number(attempt(function, rate, days))
        expect(got, chance_of_any(rate, days), mistakes, f"rate {rate}, {days} days")
    return "A rule that errs once in 100 days errs in about one month of four."


@check
def check_limit(function: Callable[[float, int, float], int]) -> str:
    """``function(share, sentences, one_in)``: the fewest negative sentences that are an alarm.

    The normal share is known. A normal day reaches the limit with probability at most 1 / one_in.
    """
    for share, sentences, one_in in ((0.45, 200, 100), (0.3, 300, 1000), (0.2, 25, 50)):
        normal, rate = binom(sentences, share), 1 / one_in
        counts = np.arange(sentences + 2)

        def first(small: np.ndarray, counts: np.ndarray = counts) -> int:
            return int(counts[np.argmax(small)])

        right = first(normal.sf(counts - 1) <= rate)
        above = counts >= normal.mean()
        mistakes = {
            "One too low: sf(k) is P(X > k), without k itself. P(X >= k) is sf(k - 1).": (
                first(normal.sf(counts) <= rate)
            ),
            "One too high: the limit itself already is an alarm.": right + 1,
            "That is mean + 2 standard deviations, which promises nothing about the rate.": (
                math.ceil(normal.mean() + 2 * normal.std())
            ),
            "That is mean + 3 standard deviations, which promises nothing about the rate.": (
                math.ceil(normal.mean() + 3 * normal.std())
            ),
            "That asks for P(X = k) small; a day that is worse still is an alarm too, so add up "
            "the whole tail.": first((normal.pmf(counts) <= rate) & above),
            "That is the limit from below, for days with too few.": int(normal.ppf(rate)),
            "That is the expected number, which half of all days reach.": round(normal.mean()),
            "That divides the rate by two, for two sides. Only too many are an alarm here.": (
                first(normal.sf(counts - 1) <= rate / 2)
            ),
            "That is a share; return a number of sentences.": right / sentences,
        }
        got = one_number(attempt(function, share, sentences, one_in))
        where = f"share {share}, {sentences} sentences, one in {one_in:g}"
        expect(got, right, {m: v for m, v in mistakes.items() if v != right}, where)
    return "Counts are whole numbers, so the true rate lies below the promise."


@check
def check_true_share(function: Callable[[float, float, float], float]) -> str:
    """``function(called, sensitivity, specificity)``: the true share, by Rogan and Gladen."""
    for called, se, sp in ((0.45, 0.8, 0.9), (0.3, 0.7, 0.85), (0.05, 0.75, 0.9), (0.95, 0.8, 0.6)):
        j = se + sp - 1
        free = (called + sp - 1) / j
        mistakes = {
            "A share lies between 0 and 1: cut the result there.": free,
            "That only looks for what was missed (called / Se). Sentences that are wrongly called "
            "negative have to come off first.": called / se,
            "That only takes off the wrong alarms (1 - Sp); what was missed has to be added.": (
                called - (1 - sp)
            ),
            "That goes the other way: it is what would be called negative if so many were.": (
                called * se + (1 - called) * (1 - sp)
            ),
            "Se and Sp are swapped.": (called + se - 1) / j,
            "The division by J = Se + Sp - 1 is missing.": called + sp - 1,
            "That divides by Se instead of by J = Se + Sp - 1.": (called + sp - 1) / se,
            "That is the share of the *other* sentences.": 1 - min(1.0, max(0.0, free)),
            "That multiplies by J; divide.": (called + sp - 1) * j,
            "That is a percentage; return a share.": 100 * free,
        }
        right = min(1.0, max(0.0, free))
        got = one_number(attempt(function, called, se, sp))
        expect(got, right, mistakes, f"called {called}, Se {se}, Sp {sp}")
    return "The smaller J, the more a small error in Se or Sp matters."


@check
def check_cumulative_sum(function: Callable[[Sequence[float], float], Sequence[float]]) -> str:
    """``function(steps, threshold)``: Page's sum on each day, before an alarm sets it back."""
    for steps, threshold in (
        ([0.5, -2.0, 1.0, 1.5, -0.5, 1.0, 2.5, 1.0, -0.25], 2.0),
        ([-1.0, 0.75, 0.75, 3.0, 0.5, -4.0, 1.25], 3.5),
    ):
        right = _path(steps, threshold)
        mistakes = {
            "The sum falls below 0. It must not: what was good long ago would hide what is bad "
            "now.": _path(steps, threshold, floor=-math.inf),
            "The sum goes on after an alarm. It begins anew at 0 on the day after.": (
                _path(steps, math.inf)
            ),
            "That is the plain cumulative sum: no floor at 0, and nothing after an alarm.": (
                np.cumsum(steps)
            ),
            "On the day of the alarm the sum itself is wanted, not the 0 that it is set to.": [
                0.0 if value > threshold else value for value in right
            ],
            "Only the day's own step is cut at 0, and nothing is added up.": np.maximum(steps, 0),
            "That cuts each step at 0 before adding, so the sum can never fall.": (
                _path(list(np.maximum(steps, 0)), threshold)
            ),
            "Those are the alarms; return the sums.": [value > threshold for value in right],
            "The first day is missing: it starts from 0, not with 0.": [0.0, *right[:-1]],
        }
        got = numbers(attempt(function, list(steps), threshold), len(steps), "one sum for each day")
        expect(got, right, mistakes, f"steps {steps}, threshold {threshold}")
    return "One line of arithmetic a day, and it finds what no single day shows."


def _path(steps: Sequence[float], threshold: float, floor: float = 0.0) -> list[float]:
    sums, current = [], 0.0
    for step in steps:
        current = max(floor, current + step)
        sums.append(current)
        if current > threshold:
            current = 0.0
    return sums
