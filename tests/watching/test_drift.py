"""The cumulative sum: Page's recursion, the promised rate, and what it finds that days do not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from lora_lab.watching.drift import DriftRule, drift_rule
from lora_lab.watching.surges import SurgeRule


def test_steps_are_log_likelihood_ratios():
    rule = DriftRule(0.4, 0.5, 3.0)
    n, x = np.array([40, 7, 0]), np.array([21, 0, 0])
    expected = binom.logpmf(x, n, 0.5) - binom.logpmf(x, n, 0.4)
    np.testing.assert_allclose(rule.steps(n, x), expected, atol=1e-12)


def test_sums_follow_pages_recursion_and_begin_anew_after_an_alarm():
    rule, random = DriftRule(0.4, 0.5, 1.5), np.random.default_rng(0)
    n = random.integers(5, 40, (3, 60))
    x = random.binomial(n, 0.47)
    sums, alarms = rule.sums(n, x), rule.alarms(n, x)
    assert alarms.any() and not alarms.all()
    for path in range(3):
        current = 0.0
        for day, step in enumerate(rule.steps(n[path], x[path])):
            current = max(0.0, current + step)
            assert sums[path, day] == pytest.approx(current)
            assert alarms[path, day] == (current > 1.5)
            if current > 1.5:
                current = 0.0


def test_false_alarms_come_as_seldom_as_promised():
    """Over many references, each with its own threshold, and fresh quiet streams."""
    random, rates = np.random.default_rng(0), []
    for seed in range(14):
        reference = SurgeRule(1200, int(random.binomial(1200, 0.45)))
        rule = drift_rule(reference, [20, 40], one_in=40, seed=seed, paths=150, days=200)
        n = random.choice([20, 40], (100, 200))
        rates.append(rule.alarms(n, random.binomial(n, 0.45)).mean())
    error = np.std(rates, ddof=1) / np.sqrt(len(rates))
    assert abs(np.mean(rates) - 1 / 40) < 4 * error + 0.15 / 40
    assert error < 1 / 100, "the test can tell"


def test_a_drift_that_days_miss_is_found():
    reference = SurgeRule(4000, 1600)
    slow = drift_rule(reference, [40], paths=200, days=200)
    x = np.random.default_rng(1).binomial(40, 0.46, (200, 60))
    n = np.full_like(x, 40)
    by_day, by_sum = reference.alarms(n, x), slow.alarms(n, x)
    assert by_sum[:, :20].any(axis=1).mean() > 0.2 + by_day[:, :20].any(axis=1).mean()


def test_the_rule_can_be_computed_again():
    reference = SurgeRule(900, 300)
    options = dict(paths=100, days=100)
    first, again = (drift_rule(reference, [30], seed=4, **options) for _ in range(2))
    assert first == again
    stricter = drift_rule(reference, [30], seed=4, one_in=1000, **options)
    assert stricter.threshold > first.threshold
    odds = first.p1 / (1 - first.p1) / (first.p0 / (1 - first.p0))
    assert odds == pytest.approx(1.5) and first.p0 == reference.share


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda: DriftRule(0.5, 0.4, 1.0), "p0 < p1"),
        (lambda: DriftRule(0.4, 0.5, 0.0), "positive threshold"),
        (lambda: drift_rule(SurgeRule(9, 3), []), "sizes"),
        (lambda: drift_rule(SurgeRule(9, 3), [5], odds_ratio=1.0), "odds ratio"),
        (lambda: drift_rule(SurgeRule(9, 3), [5], one_in=1), "at least 2"),
    ],
)
def test_what_cannot_be_is_refused(make, says):
    with pytest.raises(ValueError, match=says):
        make()
