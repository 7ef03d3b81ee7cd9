"""Which words mattered? Leave each one out and see how the answer's probability changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

#: N texts to probabilities (N, C).
Predict = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Word:
    """A word, and what the answer's probability loses without it (below 0: it gains)."""

    text: str
    effect: float


@dataclass(frozen=True)
class Attribution:
    """A model's answer to a text, and the effect of each of its words on that answer.

    Attributes:
        answer: the most probable class.
        probability: of that class.
        words: in the text's order.
    """

    answer: int
    probability: float
    words: tuple[Word, ...]


def leave_one_word_out(predict: Predict, text: str) -> Attribution:
    """The effect ``P(answer | text) - P(answer | text without the word)`` of every word.

    It describes the model's behaviour near this text, no more: words that do the same work
    (two words of praise) each look unimportant, and effects do not add up to the answer.

    Raises:
        ValueError: no words.
    """
    words = text.split()
    if not words:
        raise ValueError("The text has no words. Type at least one.")
    without = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    whole, *others = predict([" ".join(words), *without])
    answer = int(whole.argmax())
    effects = [float(whole[answer] - p[answer]) for p in others]
    return Attribution(answer, float(whole[answer]), tuple(map(Word, words, effects)))
