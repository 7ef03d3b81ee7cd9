"""Tables from the Hugging Face hub, through `datasets.load_dataset`."""

import datasets
import pandas as pd

from .embedded import EMBEDDED
from .files import SPLIT_NAMES
from .report import DataError

RawSplits = dict[str, pd.DataFrame]


def read_hub(
    name: str, config: str | None, label_column: str
) -> tuple[RawSplits, list[str] | None, tuple[str, ...]]:
    """Raw tables by split, class names if the data set declares them, and notes.

    Code that comes with a data set is never run. Splits of other names than train, validation
    and test (and their usual abbreviations) are left alone. A test split without any label, as
    competitions publish it, cannot test anything: validation takes its place.

    Raises:
        DataError: offline, not found, without a train split, or a configuration must be chosen.
    """
    try:
        loaded = datasets.load_dataset(name, config)
    except Exception as error:  # the hub raises many kinds, none of them for people
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"cannot load {name!r} from the Hugging Face hub: {reason}\n"
            "If you are offline, or the name is no hub data set: give an embedded name "
            f"({', '.join(EMBEDDED)}), or the path of a local .csv, .tsv, .jsonl or .parquet "
            "file. If the data set has several configurations, pass config="
        ) from error

    notes = []
    splits: RawSplits = {}
    classes = None
    for given, dataset in loaded.items():
        split = SPLIT_NAMES.get(given)
        if split is None or split in splits:
            notes.append(f"split {given!r} of the hub data set not used")
            continue
        feature = dataset.features.get(label_column)
        splits[split] = dataset.to_pandas()
        splits[split].index = range(1, len(dataset) + 1)
        if isinstance(feature, datasets.ClassLabel):
            classes = list(feature.names)
            names = [
                classes[value] if value is not None and value >= 0 else None
                for value in dataset[label_column]
            ]
            splits[split][label_column] = pd.Series(names, splits[split].index, dtype=object)
    if "train" not in splits:
        raise DataError(f"{name!r} has no train split, only: {', '.join(loaded)}")
    test = splits.get("test")
    if test is not None and label_column in test and test[label_column].isna().all():
        notes.append("the test split has no labels: left out")
        del splits["test"]
        if "validation" in splits:
            splits["test"] = splits.pop("validation")
            notes[-1] += ", validation serves as test"
    return splits, classes, tuple(notes)
