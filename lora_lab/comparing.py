"""Is the difference real? Intervals over seeds and sentences, and paired comparisons.

Two things make an accuracy uncertain: which sentences happened to be in the test, and which seed
the training started from. All seeds of a setting are scored on the same sentences, so the two do
not shrink together: more seeds never make up for few sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lora_lab.evaluation import Interval, wilson_interval

# SciPy is imported where it is used: it takes a second.

LEVEL = 0.95

#: What a comparison speaks about: two trained models, or two settings whatever the seed.
Basis = Literal["mcnemar", "sentences", "seeds"]


@dataclass(frozen=True)
class Difference:
    """The first accuracy minus the second, on the same sentences.

    Attributes:
        value, interval: the difference and its 95% interval, as shares (0.01 is one point).
        p_value: how often chance alone would part two equals at least so far.
        basis: "mcnemar": one trained model each, McNemar's exact test. "seeds": several seeds
            each, so it holds for the settings. "sentences": several seeds against one, so it
            holds for these trained models only, as "mcnemar" does.
        sentences: how many sentences the two answered differently, one right and one wrong
            (for several seeds: differently on the mean).
    """

    value: float
    interval: Interval
    p_value: float
    basis: Basis
    sentences: int

    @property
    def measurable(self) -> bool:
        return self.p_value < 1 - LEVEL


def interval_over_seeds(accuracies: Sequence[float], examples: int) -> Interval:
    """95% interval for the accuracy that a setting has over new seeds and new sentences.

    With K seeds, mean accuracy p and variance s^2 between seeds, on the same N sentences,

        V = p (1 - p) / N  +  s^2 / K,

    and the interval is Wilson's at the number of sentences n = p (1 - p) / V that would give this
    variance in a simple sample (the design effect of Kish 1965), with Student's t in the place of
    the normal quantile, at Welch and Satterthwaite's degrees of freedom, because s^2 is estimated
    from a few seeds. So it stays within 0 and 1, is Wilson's interval for one seed, and errs on
    the wide side: the first term would be smaller if seeds erred on different sentences.

    Raises:
        ValueError: no seed, no sentence, or an accuracy outside 0 to 1.
    """
    from scipy.stats import t as student

    p = np.asarray(accuracies, dtype=float)
    if p.size == 0 or examples < 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"Need accuracies between 0 and 1 and sentences; got {accuracies}.")
    mean = float(p.mean())
    between_seeds = float(p.var(ddof=1)) / len(p) if len(p) > 1 else 0.0
    simple = mean * (1 - mean)
    variance = simple / examples + between_seeds
    n, freedom = float(examples), np.inf
    if between_seeds > 0:
        n = simple / variance
        freedom = (len(p) - 1) * (variance / between_seeds) ** 2
    t = float(student.ppf((1 + LEVEL) / 2, freedom))
    centre = (mean + t**2 / (2 * n)) / (1 + t**2 / n)
    half = t / (1 + t**2 / n) * np.sqrt(simple / n + t**2 / (4 * n**2))
    return Interval(max(0.0, float(centre - half)), min(1.0, float(centre + half)))


def compare(first: np.ndarray, second: np.ndarray) -> Difference:
    """Compare two settings on the same sentences.

    One seed each: McNemar's exact test, a binomial test on the sentences that just one of the two
    got right. The interval follows from that test (Clopper and Pearson's for the binomial).

    More: Welch's t-test on the differences d_i of the shares of seeds that got sentence i right,
    with var(d) / N for the choice of sentences and s^2 / K of each side for the choice of seeds;
    a side with a single seed has no s^2, which ``basis`` says.

    Args:
        first, second: (K, N) or (N,) booleans, one row per seed: whether a sentence was got
            right. The N sentences are the same ones in the same order.

    Raises:
        ValueError: no sentences, or not the same number of them.
    """
    a, b = np.atleast_2d(first).astype(float), np.atleast_2d(second).astype(float)
    if a.shape[1] != b.shape[1] or a.size == 0 or b.size == 0:
        raise ValueError(
            f"{a.shape[1]} and {b.shape[1]} sentences: only answers to the same sentences, and at "
            "least one, can be compared."
        )
    difference = a.mean(axis=0) - b.mean(axis=0)
    if len(a) == len(b) == 1:
        return _mcnemar(difference)
    return _welch(difference, a.mean(axis=1), b.mean(axis=1))


def _mcnemar(difference: np.ndarray) -> Difference:
    from scipy.stats import binomtest

    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    decided, share = wins + losses, (wins + losses) / len(difference)
    if decided == 0:
        reach = wilson_interval(0, len(difference)).high  # sentences elsewhere might part them
        return Difference(0.0, Interval(-reach, reach), 1.0, "mcnemar", 0)
    test = binomtest(wins, decided, 0.5)
    bounds = test.proportion_ci(LEVEL, method="exact")
    interval = Interval(share * (2 * bounds.low - 1), share * (2 * bounds.high - 1))
    p_value = min(1.0, float(test.pvalue))
    return Difference(float(difference.mean()), interval, p_value, "mcnemar", decided)


def _welch(difference: np.ndarray, *accuracies: np.ndarray) -> Difference:
    from scipy.stats import t as student

    n = len(difference)
    parts = [(float(p.var(ddof=1)) / len(p), len(p) - 1) for p in accuracies if len(p) > 1]
    basis: Basis = "seeds" if len(parts) == 2 else "sentences"
    if n > 1:
        parts.append((float(difference.var(ddof=1)) / n, n - 1))
    variance, value = sum(part for part, _ in parts), float(difference.mean())
    sentences = int((difference != 0).sum())
    if variance == 0:  # every sentence and seed says the same
        return replace(_mcnemar(difference), basis=basis)
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    half = float(student.ppf((1 + LEVEL) / 2, freedom)) * np.sqrt(variance)
    p_value = 2 * float(student.sf(abs(value) / np.sqrt(variance), freedom))
    return Difference(value, Interval(value - half, value + half), p_value, basis, sentences)
