"""Classify without a labelled example: a sentence gets the class whose description is nearer.

An encoder's vectors are compared, as nearest class means are (Snell et al. 2017, arXiv 1703.05175);
here the two centres are the vectors of descriptions, and nothing is learnt.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import nn
from transformers import PreTrainedTokenizerBase

from lora_lab.prediction import mean_pooled

#: Of the negative class, then of the positive one; chosen before any result was seen.
DESCRIPTIONS = ("This film is bad.", "This film is good.")


def embed(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str]
) -> np.ndarray:
    """One vector of length 1 per sentence: the mean of its tokens' vectors, scaled. (N, H)"""
    means = mean_pooled(model, tokenizer, sentences)
    return means / np.linalg.norm(means, axis=1, keepdims=True)


def leaning(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Cosine with the positive centre less that with the negative one. (N,)

    Args:
        points: (N, H), rows of length 1.
        centres: (2, H), rows of length 1: negative, positive.
    """
    return points @ (centres[1] - centres[0])


def positive(leanings: np.ndarray, tie: int) -> np.ndarray:
    """Class 1 above 0, class 0 below, ``tie`` at exactly 0. (N,)"""
    return np.where(leanings == 0, tie, leanings > 0).astype(int)
