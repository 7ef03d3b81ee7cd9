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

from lora_lab.evaluation import Interval

# SciPy is imported where it is used: it takes a second.

LEVEL = 0.95

#: What a comparison speaks about: two trained models, or two settings whatever the seed.
Basis = Literal["mcnemar", "sentences", "seeds"]


@dataclass(frozen=True)
class Difference:
    """The first accuracy minus the second, on the same sentences.

    Attributes:
        value, interval: the difference and its 95% interval, as shares (0.01 is one point).
        p_value: how often chance alone would part two equals at least so far. Of several
            comparisons, both are corrected: see ``paired_difference``.
        basis: "mcnemar": one trained model each, McNemar's exact test. "seeds": several seeds
            each, so it holds for the settings. "sentences": several seeds against one, so it
            holds for these trained models only, as "mcnemar" does.
        wins, losses: on how many sentences the first is right and the second wrong, and the other
            way round (for several seeds: is right more often, and less often).
    """

    value: float
    interval: Interval
    p_value: float
    basis: Basis
    wins: int
    losses: int

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
    Simulated, it holds the truth in 95 of 100 cases or more as long as seeds spread no more than
    choices of sentences do; two seeds of a setting that spreads four times as much: in 88.

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


def mean_interval(values: Sequence[float], *, comparisons: int = 1) -> Interval:
    """Student's 95% interval for the mean of independent values, such as one for each seed.

    For what is no share of right answers: a loss, a gap between two losses. Of two settings,
    hand in one difference for each seed. It speaks of new seeds and not of new sentences.

    Args:
        comparisons: see ``paired_difference``.

    Raises:
        ValueError: fewer than two values, which have no spread; ``comparisons`` below 1.
    """
    from scipy.stats import t as student

    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or x.size < 2:
        raise ValueError(f"Need two values or more to see a spread; got {x.size}.")
    level = _level_of_each(comparisons)
    half = float(student.ppf((1 + level) / 2, x.size - 1) * x.std(ddof=1) / np.sqrt(x.size))
    return Interval(float(x.mean()) - half, float(x.mean()) + half)


def paired_difference(
    first: np.ndarray, second: np.ndarray, *, comparisons: int = 1, matched: bool = False
) -> Difference:
    """Compare two settings on the same sentences.

    One seed each: McNemar's exact test, a binomial test on the sentences that just one of the two
    got right. The interval follows from that test (Clopper and Pearson's for the binomial).

    More: a t-test for seeds crossed with sentences (random effects of both). Its variance is

        var(d) / N  +  sum over both sides of (s^2 - e / N) / K,  at least the first term,

    d_i being the difference of the shares of seeds that got sentence i right, s^2 the variance
    between a side's seeds, and e what neither seed nor sentence explains, which the first term
    holds already. Degrees of freedom after Welch and Satterthwaite. A side with one seed has no
    s^2, which ``basis`` says. Simulated, settings that are equal are told apart in at most 5 of
    100 cases.

    Args:
        first, second: (K, N) or (N,) booleans, one row per seed: whether a sentence was got
            right. The N sentences are the same ones in the same order. Several settings are
            taken together by handing in, row by row, the mean of their answers.
        comparisons: how many are made at once, this one among them. Each takes its part of the
            5% (Bonferroni): p is multiplied by their number and the interval is as much wider, so
            that all intervals together hold in 95 of 100 cases.
        matched: row k of both sides shares its luck, for instance a seed that drew the same
            training sentences for both. What it did to both cancels: seeds count by the variance
            s^2 of their differences, with K - 1 degrees of freedom.

    Raises:
        ValueError: no sentences, or not the same number of them; ``comparisons`` below 1;
            ``matched`` and not as many seeds on both sides.
    """
    level = _level_of_each(comparisons)
    a, b = np.atleast_2d(first).astype(float), np.atleast_2d(second).astype(float)
    if a.shape[1] != b.shape[1] or a.size == 0 or b.size == 0:
        raise ValueError(
            f"{a.shape[1]} and {b.shape[1]} sentences: only answers to the same sentences, and at "
            "least one, can be compared."
        )
    if matched and len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} seeds cannot be matched one by one.")
    difference = a.mean(axis=0) - b.mean(axis=0)
    if len(a) == len(b) == 1:
        found = _mcnemar(difference, level)
    elif matched:  # one side: the differences, against nothing
        found = replace(_crossed(a - b, np.zeros_like(b[:1]), level), basis="seeds")
    else:
        found = _crossed(a, b, level)
    return replace(found, p_value=min(1.0, comparisons * found.p_value))


def _level_of_each(comparisons: int) -> float:
    """Bonferroni: each of several comparisons takes its part of the 5%."""
    if comparisons < 1:
        raise ValueError(f"comparisons is {comparisons}; this one counts, so it is at least 1.")
    return 1 - (1 - LEVEL) / comparisons


def _mcnemar(difference: np.ndarray, level: float) -> Difference:
    from scipy.stats import binomtest

    wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
    decided, share = wins + losses, (wins + losses) / len(difference)
    if decided == 0:
        unseen = binomtest(0, len(difference)).proportion_ci(level, method="wilson")
        reach = float(unseen.high)  # sentences elsewhere might part them
        return Difference(0.0, Interval(-reach, reach), 1.0, "mcnemar", 0, 0)
    test = binomtest(wins, decided, 0.5)
    bounds = test.proportion_ci(level, method="exact")
    interval = Interval(share * (2 * bounds.low - 1), share * (2 * bounds.high - 1))
    p_value = min(1.0, float(test.pvalue))
    return Difference(float(difference.mean()), interval, p_value, "mcnemar", wins, losses)


def _crossed(a: np.ndarray, b: np.ndarray, level: float) -> Difference:
    from scipy.stats import t as student

    difference, n = a.mean(axis=0) - b.mean(axis=0), a.shape[1]
    several = [right for right in (a, b) if len(right) > 1]
    basis: Basis = "seeds" if len(several) == 2 else "sentences"
    parts = [(float(right.mean(axis=1).var(ddof=1)) / len(right), len(right) - 1)
             for right in several]  # fmt: skip
    seeds = sum(part for part, _ in parts)
    counted_already = sum(_residual(right) / right.size for right in several)
    choice_of_sentences = float(difference.var(ddof=1)) / n if n > 1 else 0.0
    variance = choice_of_sentences + max(0.0, seeds - counted_already)
    if variance == 0:  # every sentence and seed says the same
        return replace(_mcnemar(difference, level), basis=basis)
    parts.append((choice_of_sentences, max(1, n - 1)))
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    # Of a sum it is never below that of a part; what was counted already is taken off the sum.
    freedom = max(freedom, min(degrees for _, degrees in parts))
    value, error = float(difference.mean()), np.sqrt(variance)
    half = float(student.ppf((1 + level) / 2, freedom) * error)
    return Difference(
        value=value,
        interval=Interval(value - half, value + half),
        p_value=2 * float(student.sf(abs(value) / error, freedom)),
        basis=basis,
        wins=int((difference > 0).sum()),
        losses=int((difference < 0).sum()),
    )


def _residual(right: np.ndarray) -> float:
    """Variance of (K, N) answers that neither the seed nor the sentence explains."""
    seeds, sentences = right.mean(axis=1, keepdims=True), right.mean(axis=0, keepdims=True)
    rest = right - seeds - sentences + right.mean()
    degrees = (right.shape[0] - 1) * (right.shape[1] - 1)
    return float((rest**2).sum()) / degrees if degrees else 0.0
