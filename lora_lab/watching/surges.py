"""When is a bad day an alarm? A daily share watched with a promised rate of false alarms.

A reference period says what is normal: X0 negative sentences of N0. Afterwards each day brings n
sentences, x of them negative. As long as nothing changes, and the sentences of a day are
independent draws, x given the reference is beta-binomial (Jeffreys' prior):

    x | X0, N0  ~  BetaBinomial(n, X0 + 1/2, N0 - X0 + 1/2)

which is wider than a binomial, since the normal share itself is only estimated. A day is an alarm
if so many negative sentences, or more, had a probability of at most 1 / ``one_in``. That holds on
average over reference periods and days; an unlucky reference makes all days after it worse.

Counts are whole numbers, so the true rate lies below the promise: ``SurgeRule.rate`` says where.
Slow changes, which no single day shows, are for ``drift``.
"""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

# SciPy is imported where it is used: it takes a second.


@dataclass(frozen=True)
class DayCount:
    """How many sentences a day brought, and how many of them were called negative."""

    date: datetime.date
    sentences: int
    negative: int


@dataclass(frozen=True)
class SurgeRule:
    """What is normal, and from where on a day is an alarm.

    Attributes:
        sentences, negative: of the reference period, N0 and X0.
        one_in: on average at most one false alarm in so many days.

    Raises:
        ValueError: no reference, more negative sentences than sentences, or ``one_in`` below 2.
    """

    sentences: int
    negative: int
    one_in: float = 100.0

    def __post_init__(self) -> None:
        if not 0 <= self.negative <= self.sentences or self.sentences < 1:
            raise ValueError(
                f"A reference of {self.sentences} sentences with {self.negative} negative ones "
                "cannot be: at least one sentence, and no more negative ones than there are."
            )
        check_one_in(self.one_in)

    @property
    def share(self) -> float:
        """Expected share of negative sentences, the mean of Beta(X0 + 1/2, N0 - X0 + 1/2)."""
        return (self.negative + 0.5) / (self.sentences + 1)

    def tail(self, sentences: int) -> np.ndarray:
        """P(x >= k) on a normal day of n sentences, for k = 0 .. n + 1. Shape (n + 2,)."""
        return _tail(self.sentences, self.negative, int(sentences))

    def p_value(self, sentences: int, negative: int) -> float:
        """How likely a normal day is to be at least as bad as this one."""
        return float(self.tail(sentences)[negative])

    def limit(self, sentences: int) -> int:
        """The fewest negative sentences of n that are an alarm; n + 1 if none are."""
        # The tail falls from 1 to 0, so that the first place at most 1 / one_in exists.
        return int(np.argmax(self.tail(sentences) <= 1 / self.one_in))

    def rate(self, sentences: int) -> float:
        """Probability that a normal day of n sentences is an alarm: at most 1 / ``one_in``."""
        return float(self.tail(sentences)[self.limit(sentences)])

    def power(self, sentences: int, share: float) -> float:
        """Probability of an alarm on a day whose sentences are called negative with ``share``."""
        from scipy.stats import binom

        return float(binom.sf(self.limit(sentences) - 1, sentences, share))

    def alarms(self, sentences: np.ndarray, negative: np.ndarray) -> np.ndarray:
        """Which days are alarms. Any shape, the same for all three."""
        sizes, which = np.unique(sentences, return_inverse=True)
        limits = np.array([self.limit(n) for n in sizes])
        return np.asarray(negative) >= limits[which].reshape(np.shape(negative))


@lru_cache(maxsize=4096)
def _tail(reference: int, negative: int, sentences: int) -> np.ndarray:
    from scipy.stats import betabinom

    a, b = negative + 0.5, reference - negative + 0.5
    mass = betabinom.pmf(np.arange(sentences + 1), sentences, a, b)
    tail = np.append(mass[::-1].cumsum()[::-1], 0.0)
    tail[0] = 1.0
    tail.flags.writeable = False  # the cache hands out the same array again
    return tail


def daily_counts(days: Iterable[tuple[datetime.date, bool]]) -> list[DayCount]:
    """From (date, is it negative?) of each sentence, in any order, to the days in order.

    Days without a sentence are left out: they say nothing.
    """
    sentences: Counter[datetime.date] = Counter()
    negative: Counter[datetime.date] = Counter()
    for date, is_negative in days:
        sentences[date] += 1
        negative[date] += bool(is_negative)
    return [DayCount(date, sentences[date], negative[date]) for date in sorted(sentences)]


def rule_from(reference: Sequence[DayCount], one_in: float = 100.0) -> SurgeRule:
    """The rule that a reference period gives."""
    return SurgeRule(
        sum(day.sentences for day in reference), sum(day.negative for day in reference), one_in
    )


def homogeneity(reference: Sequence[DayCount]) -> float:
    """p-value of the chi-squared test that all days of the reference have the same share.

    A small one says that days differ by more than chance: weekdays, topics, several sentences of
    one article. The rule then raises more false alarms than it promises.
    """
    from scipy.stats import chi2_contingency

    table = np.array([[day.negative, day.sentences - day.negative] for day in reference])
    if len(table) < 2 or (table.sum(axis=0) == 0).any():
        return 1.0
    return float(chi2_contingency(table, correction=False).pvalue)


def chance_of_any(rate: float, days: float) -> float:
    """Probability of at least one false alarm in so many days, each with this rate.

    1 - (1 - rate)^days, if days are independent; with a shared reference it is a little less.
    """
    return -math.expm1(days * math.log1p(-rate))


def one_in_for(chance: float, days: float) -> float:
    """The ``one_in`` with which so many days pass without a false alarm but for this chance.

    The inverse of ``chance_of_any`` (Sidak 1967).

    Raises:
        ValueError: a chance outside 0 to 1, or no days.
    """
    if not 0 < chance < 1 or not days > 0:
        raise ValueError(f"Need a chance between 0 and 1, and days; got {chance} and {days}.")
    return -1 / math.expm1(math.log1p(-chance) / days)


def check_one_in(one_in: float) -> None:
    """Raises ValueError unless it is a rate that a rule can promise."""
    if not (math.isfinite(one_in) and one_in >= 2):
        raise ValueError(f"one_in is {one_in}: a false alarm in so many days, at least 2.")
