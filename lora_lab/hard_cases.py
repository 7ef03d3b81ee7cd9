"""The examples to look at first: those on which a model is least certain, or most wrong."""

from __future__ import annotations

import numpy as np


def least_certain(probabilities: np.ndarray, count: int) -> np.ndarray:
    """Rows of ``probabilities`` (N, C) whose two likeliest classes are closest, closest first."""
    second, first = np.sort(probabilities, axis=1)[:, -2:].T
    return np.argsort(first - second, kind="stable")[:count]


def most_wrong(probabilities: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Rows answered wrongly, the one whose true class was thought least likely first."""
    labels = np.asarray(labels)
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    believed = probabilities[wrong, labels[wrong]]
    return wrong[np.argsort(believed, kind="stable")][:count]
