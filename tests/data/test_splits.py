import hashlib
import os
import subprocess
import sys
from collections import Counter

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from lora_lab.data import DataError, subset
from lora_lab.data.splits import gaps, hash_fraction, split_by_hash, split_stratified

from .invented import make_frame, sentence

TEXTS = [sentence(i) for i in range(5000)]


def labelled(counts: dict[str, int]) -> Dataset:
    names = sorted(counts)
    ids = [i for i, name in enumerate(names) for _ in range(counts[name])]
    features = Features(text=Value("string"), label=ClassLabel(names=names))
    texts = [sentence(i) for i in range(len(ids))]
    return Dataset.from_dict({"text": texts, "label": ids}, features=features)


def test_shares_are_about_70_10_20():
    share = {split: n / len(TEXTS) for split, n in Counter(split_by_hash(TEXTS)).items()}
    assert share["train"] == pytest.approx(0.7, abs=0.02)
    assert share["validation"] == pytest.approx(0.1, abs=0.02)
    assert share["test"] == pytest.approx(0.2, abs=0.02)


def test_a_row_keeps_its_split_whatever_the_other_rows_are():
    whole = dict(zip(TEXTS, split_by_hash(TEXTS), strict=True))
    part = TEXTS[::-3]
    assert split_by_hash(part) == [whole[text] for text in part]


def test_splits_are_the_same_in_every_process():
    """Python's own hash() changes from process to process; results need one that stays."""
    digest = hashlib.blake2b(b"amber", digest_size=8).hexdigest()
    assert hash_fraction("amber") == int(digest, 16) / 16**16
    code = f"from lora_lab.data.splits import *; print(*split_by_hash({TEXTS[:50]}))"
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        said = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
        assert said.split() == split_by_hash(TEXTS[:50])


@pytest.mark.parametrize("rows", [6, 7, 11, 30, 100])
def test_stratified_split_gives_every_split_every_class(rows):
    table = make_frame(rows)
    splits = split_stratified(table["text"], table["label"])
    assert not gaps(splits, table["label"], ["bad", "good"])
    shuffled = table.sample(frac=1, random_state=1)
    again = split_stratified(shuffled["text"], shuffled["label"])
    assert dict(zip(shuffled["text"], again, strict=True)) == dict(
        zip(table["text"], splits, strict=True)
    )


def test_stratified_split_keeps_a_group_with_two_labels_together():
    groups = [sentence(i // 2) for i in range(40)]
    labels = ["bad", "good"] * 10 + ["good", "good"] * 10
    splits = split_stratified(groups, labels)
    assert all(splits[i] == splits[i + 1] for i in range(0, 40, 2))


@pytest.mark.parametrize("size", [3, 4, 10, 57, 100, 399, 400])
def test_subset_is_stratified(size):
    data = labelled({"a": 280, "b": 117, "c": 3})
    counts = Counter(subset(data, size, seed=1)["label"])
    assert counts.total() == size
    assert set(counts) == {0, 1, 2}
    for label, total in enumerate((280, 117, 3)):
        assert counts[label] == pytest.approx(size * total / 400, abs=2)


def test_a_smaller_subset_lies_inside_a_larger_one():
    data = labelled({"a": 80, "b": 17, "c": 9})
    taken = [set(subset(data, size, seed=4)["text"]) for size in range(3, 107)]
    assert all(small < large for small, large in zip(taken, taken[1:], strict=False))


def test_subset_depends_on_the_seed_and_not_on_row_order():
    data = labelled({"a": 80, "b": 20})
    assert subset(data, 30, seed=0)["text"][:] == subset(data, 30, seed=0)["text"][:]
    assert set(subset(data, 30, seed=0)["text"]) != set(subset(data, 30, seed=1)["text"])
    shuffled = data.shuffle(seed=5)
    assert set(subset(shuffled, 30, seed=0)["text"]) == set(subset(data, 30, seed=0)["text"])


def test_subset_keeps_rows_in_order_and_labels_with_their_texts():
    data = labelled({"a": 30, "b": 30})
    label_of = dict(zip(data["text"], data["label"], strict=True))
    part = subset(data, 20, seed=0)
    assert all(label_of[row["text"]] == row["label"] for row in part)
    places = [data["text"][:].index(text) for text in part["text"]]
    assert places == sorted(places)


@pytest.mark.parametrize("size", [0, 1, -5, 51, 10.5, True, "10"])
def test_subset_of_impossible_size(size):
    with pytest.raises(DataError, match="size|from 2 to 50"):
        subset(labelled({"a": 25, "b": 25}), size)


def test_subset_wants_one_split():
    data = labelled({"a": 5, "b": 5})
    with pytest.raises(DataError, match="data\\['train'\\]"):
        subset(DatasetDict(train=data), 4)
