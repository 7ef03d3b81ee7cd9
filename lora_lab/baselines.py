"""What an answer costs without training: the most frequent class, and VADER's rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from datasets import DatasetDict
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from lora_lab.evaluation import Evaluation, evaluate_predictions

#: VADER's own threshold on its compound score for three classes (its README).
VADER_NEUTRAL_BAND = 0.05
#: In the place of a class: VADER found no sentiment word, and there is no neutral class.
UNDECIDED = -1


def evaluate_majority(data: DatasetDict, split: str = "test") -> Evaluation:
    """Always answer the training set's most frequent class."""
    labels, names = _labels(data, split)
    answer = _majority(data)
    return evaluate_predictions(labels, np.full(len(labels), answer), names)


def evaluate_vader(data: DatasetDict, split: str = "test") -> Evaluation:
    """Answer by the sign of VADER's compound score (Hutto and Gilbert 2014).

    With two classes a score of exactly 0, no sentiment word found, gets the training set's
    most frequent class; with three, scores within 0.05 of 0 are neutral.

    Raises:
        ValueError: the classes are not negative / (neutral /) positive.
    """
    labels, names = _labels(data, split)
    if not understands(names):
        raise ValueError(
            f"VADER answers negative, neutral or positive; the classes here are {names}."
        )
    answers = vader_answers(vader_scores(data[split]["text"]), names)
    answers = np.where(answers == UNDECIDED, _majority(data), answers)
    return evaluate_predictions(labels, answers, names)


def understands(names: Sequence[str]) -> bool:
    """Whether VADER's answers fit these class names."""
    return set(names) in ({"negative", "positive"}, {"negative", "neutral", "positive"})


def vader_scores(texts: Sequence[str]) -> np.ndarray:
    """VADER's compound score in [-1, 1] of each text. Shape (N,)."""
    analyser = SentimentIntensityAnalyzer()
    return np.array([analyser.polarity_scores(text)["compound"] for text in texts])


def vader_answers(scores: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The class that each compound score stands for. Shape (N,).

    With three classes, scores within 0.05 of 0 are neutral; with two, a score of exactly 0 is
    ``UNDECIDED``.
    """
    negative, positive = names.index("negative"), names.index("positive")
    if "neutral" in names:
        between, band = names.index("neutral"), VADER_NEUTRAL_BAND
        answers = np.where(scores >= band, positive, np.where(scores <= -band, negative, between))
    else:
        answers = np.where(scores > 0, positive, np.where(scores < 0, negative, UNDECIDED))
    return answers


def _labels(data: DatasetDict, split: str) -> tuple[np.ndarray, list[str]]:
    return np.asarray(data[split]["label"]), list(data[split].features["label"].names)


def _majority(data: DatasetDict) -> int:
    return int(np.bincount(np.asarray(data["train"]["label"])).argmax())
