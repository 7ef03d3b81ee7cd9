"""Answers that cost no training: the majority class, and VADER's rules."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from lora_lab.baselines import (
    UNDECIDED,
    VADER_NEUTRAL_BAND,
    evaluate_majority,
    evaluate_vader,
    understands,
    vader_answers,
    vader_scores,
)

TWO, THREE = ["negative", "positive"], ["negative", "neutral", "positive"]
GOOD = ["A wonderful, charming story!", "I love this brilliant cast."]
BAD = ["A terrible, boring mess.", "I hate this awful ending."]
PLAIN = ["The camera stands on the table.", "It has two acts."]


def data_of(
    names: list[str], train: list[str], test: list[tuple[str, str]], **splits: list
) -> DatasetDict:
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})

    def split(rows: list[tuple[str, str]]) -> Dataset:
        texts, labels = [t for t, _ in rows], [names.index(label) for _, label in rows]
        return Dataset.from_dict({"text": texts, "label": labels}, features=features)

    train_rows = [("never read", label) for label in train]
    return DatasetDict(
        train=split(train_rows), test=split(test), **{k: split(v) for k, v in splits.items()}
    )


def rows(texts: list[str], label: str) -> list[tuple[str, str]]:
    return [(text, label) for text in texts]


def test_scores_have_the_sign_of_the_sentiment() -> None:
    assert (vader_scores(GOOD) > VADER_NEUTRAL_BAND).all()
    assert (vader_scores(BAD) < -VADER_NEUTRAL_BAND).all()
    assert (vader_scores([*PLAIN, ""]) == 0).all()
    assert vader_scores([]).shape == (0,)


def test_majority_comes_from_the_training_data() -> None:
    """The most frequent class of train, though another one is more frequent in test."""
    data = data_of(
        TWO,
        train=["positive", "negative", "positive"],
        test=rows(GOOD, "positive") + rows(BAD * 2, "negative"),
        validation=rows(BAD, "negative"),
    )
    found = evaluate_majority(data)
    assert found.confusion == ((0, 4), (0, 2))
    assert found.accuracy == 2 / 6
    assert found.loss is None and found.calibration_error is None
    assert evaluate_majority(data, "validation").accuracy == 0


def test_equally_frequent_classes_give_the_first() -> None:
    data = data_of(THREE, train=["positive", "neutral"], test=rows(PLAIN, "neutral"))
    assert evaluate_majority(data).accuracy == 1


@pytest.mark.parametrize("names", [TWO, TWO[::-1]])
@pytest.mark.parametrize("majority", TWO)
def test_vader_with_two_classes(names: list[str], majority: str) -> None:
    """A sentence without any sentiment word gets the training data's majority."""
    data = data_of(
        names,
        train=[majority, majority, *TWO],
        test=rows(GOOD, "positive") + rows(BAD, "negative") + rows(PLAIN, majority),
    )
    found = evaluate_vader(data)
    assert found.accuracy == 1 and found.examples == 6
    assert [c.name for c in found.classes] == names


@pytest.mark.parametrize("names", [THREE, ["positive", "negative", "neutral"]])
def test_vader_with_three_classes(names: list[str]) -> None:
    test = rows(GOOD, "positive") + rows(BAD, "negative") + rows(PLAIN, "neutral")
    assert evaluate_vader(data_of(names, train=["positive"], test=test)).accuracy == 1


@pytest.mark.parametrize(
    ("score", "two", "three"),
    [
        (0.05, "positive", "positive"),
        (0.0499, "positive", "neutral"),
        (0.0, "negative", "neutral"),
        (-0.0499, "negative", "neutral"),
        (-0.05, "negative", "negative"),
    ],
)
def test_scores_near_zero(
    score: float, two: str, three: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neutral is within 0.05 of 0, the ends not included, as VADER's authors have it."""
    monkeypatch.setattr("lora_lab.baselines.vader_scores", lambda texts: np.full(len(texts), score))
    for names, answer in ((TWO, two), (THREE, three)):
        data = data_of(names, train=["negative"], test=[("any", answer)])
        assert evaluate_vader(data).accuracy == 1


@pytest.mark.parametrize("names", [["bad", "good"], ["negative", "neutral"], [*THREE, "mixed"]])
def test_vader_on_other_classes(names: list[str]) -> None:
    data = data_of(names, train=[names[0]], test=[("fine", names[1])])
    assert not understands(names)
    with pytest.raises(
        ValueError, match=f"VADER answers negative, neutral or positive.*{names[0]}"
    ):
        evaluate_vader(data)
    assert evaluate_majority(data).examples == 1


def test_vader_understands_the_classes_in_any_order() -> None:
    assert understands(TWO) and understands(THREE[::-1])


def test_vader_is_undecided_only_where_no_class_means_neutral() -> None:
    scores = np.array([0.6, 0.0, -0.6])
    assert vader_answers(scores, TWO[::-1]).tolist() == [
        TWO[::-1].index("positive"), UNDECIDED, TWO[::-1].index("negative")
    ]  # fmt: skip
    assert [THREE[n] for n in vader_answers(scores, THREE)] == ["positive", "neutral", "negative"]
