"""Two classifiers on the same sentences: what changed, and whether that could be chance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEVEL = 0.05


@dataclass(frozen=True)
class Paired:
    """A change of answers on N sentences.

    Attributes:
        gained: wrong before, right after.
        lost: right before, wrong after.
        p_value: of McNemar's exact test (1947): how often a coin thrown once for each of these
            sentences would split them at least as unevenly.
    """

    gained: int
    lost: int
    p_value: float

    @property
    def measurable(self) -> bool:
        return self.p_value < LEVEL


def paired_change(labels: np.ndarray, before: np.ndarray, after: np.ndarray) -> Paired:
    """Compare two sets of answers, class indices (N,), on the same sentences.

    Sentences on which both are right, or both wrong, say nothing about which one is better, so
    this sees smaller differences than two separate intervals do.

    Raises:
        ValueError: lengths that differ.
    """
    labels, before, after = map(np.asarray, (labels, before, after))
    if not labels.shape == before.shape == after.shape:
        raise ValueError(
            f"{len(labels)} labels, {len(before)} and {len(after)} answers: a paired comparison "
            "needs both answers for every sentence."
        )
    gained = int(((before != labels) & (after == labels)).sum())
    lost = int(((before == labels) & (after != labels)).sum())
    return Paired(gained, lost, _even_split(gained, gained + lost))


def _even_split(part: int, whole: int) -> float:
    from scipy.stats import binomtest  # takes a moment to import

    return float(binomtest(part, whole).pvalue) if whole else 1.0
