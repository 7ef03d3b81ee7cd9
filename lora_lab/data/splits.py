"""Which row goes where: splits by hash, and stratified subsets."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from datasets import ClassLabel, Dataset, DatasetDict

from .report import DataError

SPLITS = ("train", "validation", "test")
HELD_OUT = {"test": 0.2, "validation": 0.1}  # the rest, 0.7, is for training


def hash_fraction(text: str) -> float:
    """A number in [0, 1) that depends on the text alone, uniform over texts."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def split_by_hash(groups: Sequence[str], held_out: Mapping[str, float] = HELD_OUT) -> list[str]:
    """The split of each row, from the hash of its group's name and nothing else.

    So a row keeps its split whatever the row order, the seed, or the rows that come and go
    elsewhere, and a group of near-duplicates is never torn apart. Shares are met on average.
    """

    def split_of(group: str) -> str:
        position = hash_fraction(group)
        for split, share in held_out.items():
            if position < share:
                return split
            position -= share
        return "train"

    return [split_of(group) for group in groups]


def split_stratified(
    groups: Sequence[str], labels: Sequence[str], held_out: Mapping[str, float] = HELD_OUT
) -> list[str]:
    """The split of each row, class by class: for data too small for `split_by_hash`.

    Within a class the groups are ranked by hash. The first go to the first held-out split, the
    next to the second, at least one group each; the rest is for training. Still independent of
    order and seed, but not of the other rows. A group with several labels counts for the one
    that comes first in the alphabet.
    """
    label_of: dict[str, str] = {}
    for group, label in zip(groups, labels, strict=True):
        label_of[group] = min(label, label_of.get(group, label))
    by_class: dict[str, list[str]] = defaultdict(list)
    for group, label in label_of.items():
        by_class[label].append(group)

    split_of: dict[str, str] = {}
    for members in by_class.values():
        members.sort(key=hash_fraction)
        start = 0
        for split, share in held_out.items():
            end = start + max(1, round(share * len(members)))
            split_of |= dict.fromkeys(members[start:end], split)
            start = end
    return [split_of.get(group, "train") for group in groups]


def gaps(splits: Sequence[str], labels: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Every class missing from a split, as "'class' in split"; an empty list is what one wants."""
    present = set(zip(splits, labels, strict=True))
    return [f"{name!r} in {s}" for s in SPLITS for name in classes if (s, name) not in present]


def subset(dataset: Dataset, size: int, seed: int = 0) -> Dataset:
    """`size` rows with the class shares of the whole, and at least one row of every class.

    Rows keep their order. With the same seed a smaller subset lies inside a larger one, so a
    series of sizes adds data and never swaps it. Which rows are taken depends on the seed and the
    texts, not on the row order (save among rows with the same text).

    Raises:
        DataError: `dataset` is not one split with a ClassLabel column `label`, or `size` is less
            than the number of classes or more than the number of rows.
    """
    if isinstance(dataset, DatasetDict) or not isinstance(
        getattr(dataset, "features", {}).get("label"), ClassLabel
    ):
        raise DataError(
            f"subset takes one split with class labels, got {type(dataset).__name__}: "
            "write for example subset(data['train'], 500)"
        )
    labels, texts = dataset["label"][:], dataset["text"][:]
    totals = Counter(labels)
    if isinstance(size, bool) or not isinstance(size, int):
        raise DataError(f"size is a number of rows, a whole number, got {size!r}")
    if not len(totals) <= size <= len(labels):
        raise DataError(
            f"cannot take {size} rows: there are {len(labels)}, in {len(totals)} classes, and "
            f"every class needs one; choose a size from {len(totals)} to {len(labels)}"
        )

    # Each class is dealt out evenly over the interval [0, 1): its k-th row, in an order drawn by
    # the seed, stands at k / n. Any beginning of the merged line is stratified and holds all
    # shorter beginnings; and all classes have their first row at 0.
    drawn = sorted(range(len(labels)), key=lambda i: (hash_fraction(f"{seed} {texts[i]}"), i))
    dealt: Counter[int] = Counter()
    position = {}
    for i in drawn:
        position[i] = dealt[labels[i]] / totals[labels[i]]
        dealt[labels[i]] += 1
    line = sorted(drawn, key=position.__getitem__)  # stable: ties stay in drawn order
    return dataset.select(sorted(line[:size]))
