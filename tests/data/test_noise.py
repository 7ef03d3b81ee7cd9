"""Labels that are wrong on purpose are wrong just as far as was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from scipy.stats import binomtest, norm

from lora_lab.data import DataError, with_noise
from lora_lab.runs import DataConfig

ROWS = 600
NOISES = [("flipped", 0.3), ("shuffled", 0.0), ("one-rater", 0.0)]


def labelled(classes: int = 2, rows: int = ROWS) -> Dataset:
    names = ["negative", "positive"] if classes == 2 else [f"class {i}" for i in range(classes)]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    rows = {"text": [f"text {i}" for i in range(rows)], "label": [i % classes for i in range(rows)]}
    return Dataset.from_dict(rows, features=features)


def rated(rating: float, spread: float, rows: int = ROWS) -> Dataset:
    """Sentences on which raters agreed that far."""
    return (
        labelled(rows=rows)
        .add_column("rating", [rating] * rows)
        .add_column("spread", [spread] * rows)
    )


def labels(data: Dataset) -> np.ndarray:
    return np.asarray(data["label"])


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.375, 1.0])
def test_just_the_share_is_flipped_and_always_to_another_class(classes, share):
    clean = labelled(classes)
    noisy = with_noise(clean, "flipped", share, seed=3)
    assert (labels(noisy) != labels(clean)).sum() == round(share * ROWS)
    assert noisy["text"][:] == clean["text"][:] and noisy.features == clean.features


def test_each_other_class_is_as_likely():
    clean = labelled(4, rows=4000)
    moved = (labels(with_noise(clean, "flipped", 1.0)) - labels(clean)) % 4
    assert set(moved) == {1, 2, 3}
    for step in (1, 2, 3):
        assert binomtest(int((moved == step).sum()), 4000, 1 / 3).pvalue > 1e-4


def test_shuffling_keeps_how_many_there_are_of_each_class_and_nothing_else():
    clean = labelled(3)
    dealt = labels(with_noise(clean, "shuffled"))
    assert (np.bincount(dealt) == np.bincount(labels(clean))).all()
    agree = int((dealt == labels(clean)).sum())
    assert binomtest(agree, ROWS, 1 / 3).pvalue > 1e-4, "no better than chance"


@pytest.mark.parametrize(("rating", "spread"), [(1.0, 1.0), (-0.5, 2.0), (0.0, 0.7)])
def test_one_rater_follows_mean_and_spread(rating, spread):
    drawn = labels(with_noise(rated(rating, spread, rows=4000), "one-rater", seed=1))
    positive = norm.sf(0, loc=rating, scale=spread)
    assert binomtest(int(drawn.sum()), 4000, positive).pvalue > 1e-4


def test_raters_who_agree_leave_no_doubt():
    for rating, label in ((2.0, 1), (-2.0, 0)):
        assert set(labels(with_noise(rated(rating, 0.0), "one-rater"))) == {label}


@pytest.mark.parametrize(
    ("noise", "share"), [("flipped", 0.3), ("shuffled", 0.0), ("one-rater", 0)]
)
def test_the_seed_alone_decides_which_labels(noise, share):
    data = rated(0.3, 1.0)
    first, again, other = (labels(with_noise(data, noise, share, seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


def test_no_noise_is_the_same_data():
    clean = labelled()
    assert with_noise(clean, "none") is clean


@pytest.mark.usefixtures("fetched")
@pytest.mark.parametrize(
    ("noise", "share"), [("flipped", 0.5), ("shuffled", 0.0), ("one-rater", 0)]
)
def test_only_what_is_learnt_from_is_spoilt(noise, share):
    plain = DataConfig("news", train_size=200).load()
    spoilt = DataConfig("news", train_size=200, noise=noise, noise_share=share).load()
    assert spoilt["train"]["text"][:] == plain["train"]["text"][:]
    assert spoilt["train"]["label"][:] != plain["train"]["label"][:]
    for split in ("validation", "test"):
        assert spoilt[split]["text"][:] == plain[split]["text"][:]
        assert spoilt[split]["label"][:] == plain[split]["label"][:]


@pytest.mark.parametrize(
    ("noise", "share", "says"),
    [
        ("loud", 0.0, "loud.*flipped"),
        ("flipped", 1.5, "1.5"),
        ("flipped", -0.1, "-0.1"),
        ("shuffled", 0.2, "only 'flipped'"),
        ("none", 0.2, "only 'flipped'"),
    ],
)
def test_noise_that_there_is_not_is_refused(noise, share, says):
    with pytest.raises(DataError, match=says):
        with_noise(labelled(), noise, share)
    with pytest.raises(DataError, match=says):
        DataConfig(noise=noise, noise_share=share)


@pytest.mark.parametrize("data", [labelled(), labelled(3)])
def test_one_rater_needs_ratings_and_two_classes(data):
    with pytest.raises(DataError, match="raters"):
        with_noise(data, "one-rater")
