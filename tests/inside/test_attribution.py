"""Leaving words out, of a model whose every probability is known in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lora_lab.inside.attribution import leave_one_word_out

WEIGHTS = {"superb": 2.0, "dull": -1.5, "not": -0.5}


def probability(text: str) -> float:
    return 1 / (1 + np.exp(-sum(WEIGHTS.get(word, 0.0) for word in text.split())))


def predict(texts: Sequence[str]) -> np.ndarray:
    positive = np.array([probability(text) for text in texts])
    return np.stack([1 - positive, positive], axis=1)


def test_an_effect_is_what_the_answer_loses_without_the_word():
    found = leave_one_word_out(predict, "superb  but\nnot dull superb")
    assert [word.text for word in found.words] == ["superb", "but", "not", "dull", "superb"]
    whole = probability("superb but not dull superb")
    assert found.answer == 1 and found.probability == pytest.approx(whole)
    without = [2.0 - 2.0, 2.0, 2.5, 3.5, 0.0]
    for word, score in zip(found.words, without, strict=True):
        assert word.effect == pytest.approx(whole - 1 / (1 + np.exp(-score)))


def test_effects_are_on_the_answer_that_the_model_gives():
    found = leave_one_word_out(predict, "not dull")
    assert found.answer == 0
    assert all(word.effect > 0 for word in found.words), "both words speak for negative"


def test_a_single_word_is_compared_with_nothing_at_all():
    [word] = leave_one_word_out(predict, "superb").words
    assert word.effect == pytest.approx(probability("superb") - 0.5)


def test_the_model_is_asked_once_about_each_text():
    asked = []

    def counting(texts):
        asked.extend(texts)
        return predict(texts)

    leave_one_word_out(counting, "a b c")
    assert asked == ["a b c", "b c", "a c", "a b"]


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_a_text_without_words_is_refused(text):
    with pytest.raises(ValueError, match="no words"):
        leave_one_word_out(predict, text)
