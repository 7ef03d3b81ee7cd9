"""Wrong labels on purpose: what a training set looks like when its labels cannot be trusted."""

from collections.abc import Sequence

import numpy as np
from datasets import ClassLabel, Dataset

from lora_lab.choices import LabelNoise

from .report import DataError


def with_noise(dataset: Dataset, noise: LabelNoise, share: float = 0.0, seed: int = 0) -> Dataset:
    """The same texts with labels that are partly wrong; held-out splits are to be left alone.

    Args:
        dataset: one split with a ClassLabel column ``label``.
        noise: "none"; "flipped": a ``share`` of the rows, drawn at random, gets another class,
            each other one equally often; "shuffled": labels are dealt out anew, so that nothing
            can be learnt from them but their shares; "one-rater": the label that a single rater
            would have given, drawn from a normal distribution with the row's mean ``rating`` and
            its ``spread`` (two classes only).
        share: of rows to flip, 0 .. 1; only "flipped" uses it.

    Raises:
        DataError: an unknown noise, a share out of range, no ratings for "one-rater".
    """
    check_noise(noise, share)
    labels = np.asarray(dataset["label"])
    classes = dataset.features["label"].num_classes
    random = np.random.default_rng(seed)
    if noise == "none":
        return dataset
    if noise == "flipped":
        rows = random.permutation(len(labels))[: round(share * len(labels))]
        labels = labels.copy()
        labels[rows] = (labels[rows] + random.integers(1, classes, len(rows))) % classes
    elif noise == "shuffled":
        labels = random.permutation(labels)
    else:
        labels = _one_rater(dataset, random)
    return _relabelled(dataset, labels)


def check_noise(noise: str, share: float) -> None:
    """Raise DataError for noise that there is not."""
    if noise not in LabelNoise.__args__:
        raise DataError(f"noise is {noise!r}; it must be one of {', '.join(LabelNoise.__args__)}")
    if not 0 <= share <= 1 or (share and noise != "flipped"):
        raise DataError(
            f"noise_share is {share!r} for noise {noise!r}; it is the share of labels to flip, "
            "0 to 1, and only 'flipped' has one"
        )


def _one_rater(dataset: Dataset, random: np.random.Generator) -> np.ndarray:
    names = dataset.features["label"].names
    if names != ["negative", "positive"] or not {"rating", "spread"} <= set(dataset.features):
        raise DataError(
            "noise 'one-rater' needs the embedded sentences in two classes: they alone say how "
            "far their raters were apart"
        )
    rating = random.normal(np.asarray(dataset["rating"]), np.asarray(dataset["spread"]))
    return (rating > 0).astype(int)


def _relabelled(dataset: Dataset, labels: Sequence[int]) -> Dataset:
    feature = ClassLabel(names=dataset.features["label"].names)
    rest = dataset.remove_columns("label")
    return rest.add_column("label", [int(label) for label in labels], feature=feature)
