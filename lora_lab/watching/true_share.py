"""From the share that a classifier calls negative to the share that is: Rogan and Gladen.

W. J. Rogan and B. Gladen, "Estimating prevalence from the results of a screening test", American
Journal of Epidemiology 107 (1978). A classifier finds a share Se of the negative sentences
(sensitivity) and leaves a share Sp of the others alone (specificity). If p of all are negative, it
calls

    q = p Se + (1 - p) (1 - Sp)

negative, which solved for p is the correction. Its slope J = Se + Sp - 1 (Youden's J) is what is
left of a change: a surge of d in p moves q by d J alone.

Both rates must hold where they are used: they are to be measured on labelled sentences of the same
kind, others than those that the classifier learned from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lora_lab.evaluation import Interval


@dataclass(frozen=True)
class ErrorRates:
    """How a classifier did on labelled sentences.

    Attributes:
        negative, found: sentences that are negative, and how many of them it called so.
        other, cleared: all others, and how many of them it did not call negative.

    Raises:
        ValueError: counts that cannot be, or a classifier no better than chance.
    """

    negative: int
    found: int
    other: int
    cleared: int

    def __post_init__(self) -> None:
        if not (0 <= self.found <= self.negative and 0 <= self.cleared <= self.other):
            raise ValueError(f"These counts cannot be: {self}.")
        if self.negative < 1 or self.other < 1 or self.youden <= 0:
            raise ValueError(
                f"{self}: it needs both kinds of sentences and a classifier that calls negative "
                "ones negative more often than others. What does not depend on the truth cannot "
                "tell it."
            )

    @property
    def sensitivity(self) -> float:
        return self.found / self.negative

    @property
    def specificity(self) -> float:
        return self.cleared / self.other

    @property
    def youden(self) -> float:
        """J = Se + Sp - 1: which part of a change the classifier shows."""
        return self.sensitivity + self.specificity - 1

    def observed(self, share: Any) -> Any:
        """The share called negative if ``share`` is. Numbers or arrays."""
        return share * self.sensitivity + (1 - share) * (1 - self.specificity)


def error_rates(is_negative: np.ndarray, called_negative: np.ndarray) -> ErrorRates:
    """From booleans (N,) of labelled sentences: the truth, and what the classifier said."""
    truth, said = np.asarray(is_negative, bool), np.asarray(called_negative, bool)
    return ErrorRates(
        negative=int(truth.sum()),
        found=int((truth & said).sum()),
        other=int((~truth).sum()),
        cleared=int((~truth & ~said).sum()),
    )


def corrected_share(called: int, sentences: int, rates: ErrorRates) -> float:
    """The share that is negative, if so many of the sentences were called so; within 0 to 1.

    Raises:
        ValueError: no sentences, or more called negative than there are.
    """
    _check(called, sentences)
    return _corrected(called / sentences, rates.sensitivity, rates.specificity)


def corrected_interval(called: int, sentences: int, rates: ErrorRates) -> Interval:
    """95% interval of the share that is negative (Lang and Reiczigel 2014).

    It takes in that q, Se and Sp are all estimated. As in Agresti and Coull's interval, each is
    first drawn a little towards the middle, or the interval would be too narrow near 0 and 1.
    It is cut off at 0 and 1: [0, 0] says that fewer were called negative than errors alone would.

    Z. Lang and J. Reiczigel, "Confidence limits for prevalence of disease adjusted for estimated
    sensitivity and specificity", Preventive Veterinary Medicine 113 (2014).

    Raises:
        ValueError: as in ``corrected_share``.
    """
    from scipy.stats import norm

    _check(called, sentences)
    z = float(norm.ppf(0.975))
    n, n_se, n_sp = sentences + z**2, rates.negative + 2, rates.other + 2
    q = (called + z**2 / 2) / n
    se, sp = (rates.found + 1) / n_se, (rates.cleared + 1) / n_sp
    j = se + sp - 1
    if j <= 0:
        return Interval(0.0, 1.0)
    p = (q + sp - 1) / j
    from_se, from_sp = se * (1 - se) / n_se, sp * (1 - sp) / n_sp
    shift = 2 * z**2 * (p * from_se - (1 - p) * from_sp)
    half = z / j * np.sqrt(q * (1 - q) / n + p**2 * from_se + (1 - p) ** 2 * from_sp)
    centre = p + shift
    return Interval(*(float(np.clip(centre + sign * half, 0, 1)) for sign in (-1, 1)))


def _corrected(q: float, se: float, sp: float) -> float:
    return min(1.0, max(0.0, (q + sp - 1) / (se + sp - 1)))


def _check(called: int, sentences: int) -> None:
    if not 0 <= called <= sentences or sentences < 1:
        raise ValueError(f"{called} of {sentences} sentences cannot be called negative.")
