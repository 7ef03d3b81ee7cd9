"""The rule keeps what it promises: by SciPy, by simulation, and against exact power."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom, binom, binomtest

from lora_lab.watching.surges import (
    DayCount,
    SurgeRule,
    chance_of_any,
    daily_counts,
    homogeneity,
    one_in_for,
    rule_from,
)

DAY = datetime.date(2024, 2, 28)


@settings(max_examples=40)
@given(
    reference=st.integers(1, 3000), part=st.floats(0, 1), sentences=st.integers(1, 120),
    one_in=st.floats(2, 1e4),
)  # fmt: skip
def test_limit_and_p_value_are_the_beta_binomials(reference, part, sentences, one_in):
    rule = SurgeRule(reference, round(part * reference), one_in)
    normal = betabinom(sentences, rule.negative + 0.5, reference - rule.negative + 0.5)
    for k in {0, sentences // 2, sentences}:
        assert rule.p_value(sentences, k) == pytest.approx(normal.sf(k - 1), rel=1e-6, abs=1e-9)
    limit = rule.limit(sentences)
    assert rule.rate(sentences) <= 1 / one_in, "the promise"
    assert rule.tail(sentences)[limit - 1] > 1 / one_in, "and no stricter than it has to be"
    assert rule.share == pytest.approx(normal.mean() / sentences)


def test_a_large_reference_gives_the_binomial_test():
    rule = SurgeRule(10**8, 4 * 10**7)
    for k in (16, 22, 25, 40):
        exact = binomtest(k, 40, 0.4, alternative="greater").pvalue
        assert rule.p_value(40, k) == pytest.approx(exact, rel=1e-4)


def test_a_small_reference_makes_the_rule_more_careful():
    limits = [SurgeRule(n, n * 2 // 5).limit(40) for n in (50, 200, 10_000)]
    assert limits == sorted(limits, reverse=True) and limits[0] > limits[-1]


@pytest.mark.parametrize("share", [0.1, 0.45])
def test_false_alarms_come_as_seldom_as_promised(share):
    """Over many references and days; the exact rate, which counts make smaller, is told as well."""
    random = np.random.default_rng(0)
    alarms, told, days = 0, [], 100
    for _ in range(600):
        rule = SurgeRule(1200, random.binomial(1200, share), one_in=50)
        sentences = random.choice([20, 45], days)
        alarms += rule.alarms(sentences, random.binomial(sentences, share)).sum()
        told += [rule.rate(n) for n in (20, 45)]
    expected = 600 * days * np.mean(told)
    # Days share their references, so the count spreads more than a binomial: four deviations.
    assert abs(alarms - expected) < 4 * 1.5 * np.sqrt(expected)
    assert alarms < 600 * days / 50


def test_power_is_what_simulated_surges_are_found_with():
    rule = SurgeRule(1200, 540)
    found = rule.alarms(np.full(4000, 40), np.random.default_rng(1).binomial(40, 0.7, 4000)).sum()
    assert binomtest(int(found), 4000, rule.power(40, 0.7)).pvalue > 0.001
    assert rule.power(40, 0.7) == pytest.approx(binom.sf(rule.limit(40) - 1, 40, 0.7))
    powers = [rule.power(n, 0.7) for n in (10, 40, 160)]
    assert powers == sorted(powers) and powers[-1] > 0.999


def test_alarms_say_for_each_day_what_the_limit_says():
    rule = SurgeRule(1000, 400)
    sentences, negative = np.meshgrid([1, 10, 40], range(41), indexing="ij")
    negative = np.minimum(negative, sentences)
    by_one = [
        [x >= rule.limit(n) for n, x in zip(*row, strict=True)]
        for row in zip(sentences, negative, strict=True)
    ]
    assert (rule.alarms(sentences, negative) == by_one).all()
    assert rule.limit(1) == 2, "one sentence alone can never be an alarm here"


def test_over_a_month_against_simulated_months():
    alarm = np.random.default_rng(2).random((20_000, 30)) < 0.01
    assert chance_of_any(0.01, 30) == pytest.approx(alarm.any(axis=1).mean(), abs=0.01)
    assert chance_of_any(0.01, 1) == pytest.approx(0.01)


@given(chance=st.floats(1e-6, 0.99), days=st.integers(1, 1000))
def test_one_in_for_turns_chance_of_any_round(chance, days):
    assert chance_of_any(1 / one_in_for(chance, days), days) == pytest.approx(chance)


def test_sentences_become_days():
    later = DAY + datetime.timedelta(days=2)
    found = daily_counts([(later, True), (DAY, False), (later, np.bool_(False)), (DAY, True)])
    assert found == [DayCount(DAY, 2, 1), DayCount(later, 2, 1)], "in order, without empty days"
    assert rule_from(found, 30) == SurgeRule(4, 2, 30)


def test_days_that_differ_by_more_than_chance_are_noticed():
    random = np.random.default_rng(3)
    even = [DayCount(DAY, 40, int(x)) for x in random.binomial(40, 0.4, 30)]
    uneven = [DayCount(DAY, 40, int(x)) for x in random.binomial(40, [0.3, 0.5] * 15)]
    assert homogeneity(even) > 0.01 > homogeneity(uneven)
    assert homogeneity(even[:1]) == homogeneity([DayCount(DAY, 40, 0)] * 9) == 1


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: SurgeRule(0, 0), "at least one sentence"),
        (lambda: SurgeRule(3, 4), "no more negative"),
        (lambda: SurgeRule(3, 1, 1.5), "at least 2"),
        (lambda: SurgeRule(3, 1, float("nan")), "at least 2"),
        (lambda: one_in_for(0, 30), "between 0 and 1"),
        (lambda: one_in_for(0.1, 0), "days"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
