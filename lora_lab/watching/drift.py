"""Slow changes: Page's cumulative sum over the days.

E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954). With p0 the normal share and p1
the share to be found, a day of n sentences with x negative ones adds its log-likelihood ratio, and
the sum never falls below zero:

    S_t = max(0, S_(t-1) + x_t log(p1 / p0) + (n_t - x_t) log((1 - p1) / (1 - p0)))

An alarm is S_t > h; the sum then begins anew at 0. While nothing changes a day's mean addition is
negative (minus a Kullback-Leibler divergence), so that the sum keeps returning to zero; once the
share has moved towards p1 it climbs, however little each single day shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lora_lab.watching.surges import SurgeRule, check_one_in


@dataclass(frozen=True)
class DriftRule:
    """A one-sided cumulative sum.

    Attributes:
        p0, p1: the share that is normal and the larger one that is to be found.
        threshold: h, in nats.

    Raises:
        ValueError: unless 0 < p0 < p1 < 1 and the threshold is positive.
    """

    p0: float
    p1: float
    threshold: float

    def __post_init__(self) -> None:
        if not 0 < self.p0 < self.p1 < 1 or not self.threshold > 0:
            raise ValueError(
                f"Need 0 < p0 < p1 < 1 and a positive threshold; got p0 {self.p0}, p1 {self.p1}, "
                f"threshold {self.threshold}."
            )

    def steps(self, sentences: np.ndarray, negative: np.ndarray) -> np.ndarray:
        """What each day adds, in nats. Any shape, the same for all three."""
        x, n = np.asarray(negative), np.asarray(sentences)
        return x * np.log(self.p1 / self.p0) + (n - x) * np.log((1 - self.p1) / (1 - self.p0))

    def sums(self, sentences: np.ndarray, negative: np.ndarray) -> np.ndarray:
        """S_t before an alarm sets it back. Shape (..., days), as both arguments."""
        return _sums(self.steps(sentences, negative), self.threshold)

    def alarms(self, sentences: np.ndarray, negative: np.ndarray) -> np.ndarray:
        """Which days are alarms. Shape (..., days), as both arguments."""
        return self.sums(sentences, negative) > self.threshold


def drift_rule(
    reference: SurgeRule,
    sizes: Sequence[int],
    *,
    odds_ratio: float = 1.5,
    one_in: float = 100.0,
    seed: int = 0,
    paths: int = 1000,
    days: int = 300,
) -> DriftRule:
    """A cumulative sum with on average one false alarm in ``one_in`` days, found by simulation.

    Simulated are quiet streams of ``days`` days each, whose sizes are drawn from ``sizes``. The
    share of each is drawn from what the reference leaves possible, Beta(X0 + 1/2, N0 - X0 + 1/2):
    a share that is truly a little higher than estimated looks like a drift on every day, so that
    a threshold for p0 alone would promise too much.

    Args:
        odds_ratio: what to look for: the odds of a negative sentence, times this.

    Raises:
        ValueError: no sizes, an odds ratio of at most 1, or ``one_in`` below 2.
    """
    check_one_in(one_in)
    if len(sizes) == 0 or not odds_ratio > 1:
        raise ValueError(
            f"Need sizes of days and an odds ratio above 1; got {len(sizes)} and {odds_ratio}."
        )
    p0 = reference.share
    odds = odds_ratio * p0 / (1 - p0)
    probe = DriftRule(p0, odds / (1 + odds), threshold=1.0)
    random = np.random.default_rng(seed)
    shares = random.beta(
        reference.negative + 0.5, reference.sentences - reference.negative + 0.5, (paths, 1)
    )
    sentences = random.choice(np.asarray(sizes), (paths, days))
    steps = probe.steps(sentences, random.binomial(sentences, shares))
    low, high = 0.0, float(probe.steps(np.max(sizes), np.max(sizes))) * days
    for _ in range(25):  # bisection: the higher the threshold, the fewer alarms
        middle = (low + high) / 2
        rate = (_sums(steps, middle) > middle).mean()
        low, high = (middle, high) if rate > 1 / one_in else (low, middle)
    return DriftRule(p0, probe.p1, high)


def _sums(steps: np.ndarray, threshold: float) -> np.ndarray:
    by_day = np.ascontiguousarray(np.moveaxis(steps, -1, 0))  # one day of all streams at a time
    sums, current = np.empty_like(by_day, dtype=float), np.zeros(by_day.shape[1:])
    for day, step in enumerate(by_day):
        current = np.maximum(0, current * (current <= threshold) + step)
        sums[day] = current
    return np.moveaxis(sums, 0, -1)
